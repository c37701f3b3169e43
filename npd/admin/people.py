"""Who works here: users, groups, tokens; and other applications' pages, in our theme."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from knox.admin import AuthTokenAdmin as KnoxTokenAdmin
from knox.models import AuthToken
from rest_framework.authtoken.models import Token, TokenProxy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from sync.admin.base import KnownIdsMixin

if TYPE_CHECKING:
    _DjangoUserAdmin = DjangoUserAdmin[User]
else:
    _DjangoUserAdmin = DjangoUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(KnownIdsMixin, _DjangoUserAdmin, ModelAdmin):
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
        return without_keys(listed, list(keys)), *others


def without_keys(listed: Any, keys: Collection[str]) -> Any:
    """Return a nested list of texts with dots where these keys stood."""
    if isinstance(listed, list):
        return [without_keys(one, keys) for one in listed]
    return _("Token: •••") if any(key in str(listed) for key in keys) else listed


@admin.register(Group)
class GroupAdmin(KnownIdsMixin, DjangoGroupAdmin, ModelAdmin):
    """What groups of users may do."""

    filter_horizontal = ()


# Its page would show the keys of all users in clear; `manage.py drf_create_token` makes them.
admin.site.unregister(TokenProxy)

admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class AuthTokenAdmin(KnownIdsMixin, KnoxTokenAdmin, ModelAdmin):
    """Tokens for the API, of which only a hash is stored; a new one is shown once."""

    list_display = ("user", "token_key", "created", "expiry")
    fields = ("user", "expiry")
    raw_id_fields = ()
    autocomplete_fields = ("user",)

    def get_readonly_fields(self, request: HttpRequest, obj: AuthToken | None = None) -> tuple[str, ...]:
        """Whose token it is stays as it was."""
        return ("user",) if obj else ()

    def save_model(self, request: HttpRequest, obj: AuthToken, form: Any, change: bool) -> None:
        """Save, and show a new token the only time that this is possible."""
        obj.save()
        if not change:
            text = _("The new token of %(user)s: %(token)s Copy it now; it can't be shown again.") % {
                "user": obj.user,
                "token": form.token,
            }
            self.message_user(
                request,
                (_("%(text)s Send it as “Authorization: Bearer …”.") % {"text": text}),
                messages.WARNING,
            )
