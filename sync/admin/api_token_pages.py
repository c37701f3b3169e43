"""API tokens: users see their own, superusers all."""

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from knox.models import AuthToken
from unfold.widgets import UnfoldAdminSelectWidget

from sync.admin import admin_base
from sync.kernel.humanize import DASH
from sync.models import ApiToken
from sync.records.authors import full_name

LIFETIMES = ((30, "30 days"), (90, "90 days"), (365, "A year"))

admin.site.unregister(AuthToken)


def owner_name(user: User) -> str:
    """Return a token's owner, who is a person or a program: a program's user can't sign in."""
    name = full_name(user)
    return name if user.is_staff else f"{name} (program)"


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Expiry (and, for superusers, owner) of a new token."""

    days = forms.TypedChoiceField(
        label="Ends after", choices=LIFETIMES, coerce=int, initial=365, widget=UnfoldAdminSelectWidget()
    )


@admin.register(ApiToken)
class ApiTokenAdmin(admin_base.ReadOnlyAdmin):
    form = TokenForm
    list_display = ("owner", "begins_with", "created_at", "ends")
    search_fields = ("token_key", "user__username", "user__first_name", "user__last_name")
    search_help_text = "How a token begins, or its owner"
    ordering = ("-created",)

    begins_with = admin_base.plain_column("Begins with", str, "token_key")  # ApiToken.__str__
    owner = admin_base.plain_column("Owner", lambda token: owner_name(token.user), "user__username")
    created_at = admin_base.time_column("created", "Made")
    ends = admin_base.plain_column(
        "Ends", lambda token: date_format(localtime(token.expiry), "j M Y") if token.expiry else DASH, "expiry"
    )
    empty_title = "No API tokens yet"
    empty_words = "With a token, another program reads and writes records through the API, by the rights of its owner."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request).select_related("user")
        return tokens if request.user.is_superuser else tokens.filter(user=cast("User", request.user))

    # Every user may have tokens, which expire or are deleted, but never change.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or obj.user_id == request.user.pk or request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is not None:
            return list(self.list_display)
        return ["user", "days"] if request.user.is_superuser else ["days"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else list(self.list_display)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk}

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only active users."""
        kwargs |= {"queryset": User.objects.filter(is_active=True).order_by("username")}
        field: Any = super().formfield_for_foreignkey(db_field, request, **kwargs)
        field.label = "Owner"
        field.label_from_instance = owner_name
        field.help_text = (
            "The program may do what the token's owner may, and nothing else. To know later which program has which "
            "token, add a user named after the program, without “May sign in here”."
        )
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create the token; its text goes to `response_add` only."""
        owner = form.cleaned_data.get("user", request.user)
        token, text = ApiToken.objects.create(owner, timedelta(days=form.cleaned_data["days"]))
        obj.user = owner
        obj.digest = token.digest
        obj.token_key = token.token_key
        obj.text = text

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the text in the response itself, so that no message, cookie or cache keeps it."""
        context: dict[str, Any] = {
            "before": "Copy the token now: it can't be shown again.",
            "text": obj.text,
            "after": (
                "The program sends it with each call, in the header “Authorization: Bearer” followed by the token."
            ),
            "back": reverse("admin:sync_apitoken_changelist"),
            "back_label": "Back to the API tokens",
        }
        title = f"A token of {owner_name(obj.user)}"
        answer = admin_base.render_admin_page(self, request, "npd/shown_once.html", title, **context)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """Go back to the list; Django would send users without the change permission to the index."""
        super().response_delete(request, obj_display, obj_id)  # shows the message
        return admin_base.see_other(reverse("admin:sync_apitoken_changelist"))
