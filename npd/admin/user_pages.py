"""Users, groups and API tokens; and other applications' pages, in our theme."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from knox.admin import AuthTokenAdmin as KnoxTokenAdmin
from knox.models import AuthToken
from rest_framework.authtoken.models import Token, TokenProxy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from sync.admin.admin_base import ValidIdsMixin

if TYPE_CHECKING:
    _DjangoUserAdmin = DjangoUserAdmin[User]
else:
    _DjangoUserAdmin = DjangoUserAdmin


admin.site.unregister(User)


admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(ValidIdsMixin, _DjangoUserAdmin, ModelAdmin):
    """Who may sign in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    # Django's two-box chooser has neither room on a phone nor names for a screen reader.
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the users by name."""
        found: QuerySet[User] = super().get_queryset(request)
        return found.order_by("username")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What goes with a user, without the keys of tokens: a key is a token's whole text."""
        listed, *others = super().get_deleted_objects(objs, request)
        keys = Token.objects.filter(user__in=list(objs)).values_list("key", flat=True)
        return mask_keys(listed, list(keys)), *others


def mask_keys(texts: Any, keys: Collection[str]) -> Any:
    """Return a nested list of texts with dots in place of these keys."""
    if isinstance(texts, list):
        return [mask_keys(one, keys) for one in texts]
    return "Token: •••" if any(key in str(texts) for key in keys) else texts


@admin.register(Group)
class GroupAdmin(ValidIdsMixin, DjangoGroupAdmin, ModelAdmin):
    """What groups of users may do."""

    filter_horizontal = ()


# Its page would show the keys of all users in clear text; `manage.py drf_create_token` creates them.
admin.site.unregister(TokenProxy)


admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class AuthTokenAdmin(ValidIdsMixin, KnoxTokenAdmin, ModelAdmin):
    """Tokens for the API, of which only a hash is stored; a new one is shown once."""

    list_display = ("user", "token_key", "created", "expiry")
    fields = ("user", "expiry")
    raw_id_fields = ()
    autocomplete_fields = ("user",)

    def get_readonly_fields(self, request: HttpRequest, obj: AuthToken | None = None) -> tuple[str, ...]:
        # A token's user can't be changed later.
        return ("user",) if obj else ()

    def save_model(self, request: HttpRequest, obj: AuthToken, form: Any, change: bool) -> None:
        """Save, and keep a new token's text for the answer to this request: it is stored nowhere else."""
        obj.save()
        if not change:
            request.new_token = form.token  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: AuthToken, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the new token the only time that this is possible; no message, cookie or cache keeps it."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"The new token of {obj.user}",
            "opts": self.opts,
            "token": request.new_token,  # type: ignore[attr-defined]
            "list_url": reverse("admin:knox_authtoken_changelist"),
        }
        return TemplateResponse(request, "npd/new_token.html", context)
