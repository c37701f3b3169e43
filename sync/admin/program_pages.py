"""API tokens, with which other programs ask.

They are everybody's own, for administrators all. They aren't edited, they are rotated or revoked. Their texts are
shown once, on the page that answers the form.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from sync.admin.admin_base import ReadOnlyAdmin, badge, own_page, page_now, plain_column, time_column, time_tag
from sync.admin.confirmed_action import Question, run_action
from sync.choices import TokenScope, TokenState
from sync.clock import sync_now
from sync.kernel.messages import ActionError
from sync.models import ApiToken
from sync.models.api_clients import check_token_name
from sync.records.authors import log_action

# Tokens.


SCOPE_TEXTS = (
    (TokenScope.READ, "Read: everything that you may see"),
    (TokenScope.WRITE, "Write: records, with their sync settings and links"),
    (TokenScope.RESOLVE, "Resolve: conflicts, and undo resolutions"),
    (TokenScope.OPERATE, "Operate: queue, pauses, approvals, unmatched items, undo"),
)
DAYS = ((30, "30 days"), (90, "90 days"), (365, "A year"), (0, "No expiry"))
GRACE_HOURS = ((0, "Not at all"), (1, "For an hour"), (24, "For 24 hours"))

_TOKEN_BADGES = {
    TokenState.ACTIVE: ("ok", "check"),
    TokenState.EXPIRED: ("off", "event_busy"),
    TokenState.REVOKED: ("off", "block"),
}


class TokenForm(forms.Form):
    """What a new token is for; an administrator may make it for another user, such as a program's own."""

    name = forms.CharField(
        max_length=100, validators=[check_token_name], help_text="What uses it, for example: newsletter tool."
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=SCOPE_TEXTS,
        widget=forms.CheckboxSelectMultiple,
        initial=[TokenScope.READ],
        help_text="Never more than its owner may do.",
    )
    days = forms.TypedChoiceField(label="Valid for", choices=DAYS, coerce=int, initial=90)

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data)
        if user.is_superuser:
            users = User.objects.filter(is_active=True).order_by("username")
            self.fields["user"] = forms.ModelChoiceField(users, initial=user, label="Owner", empty_label=None)


class RotateForm(forms.Form):
    hours = forms.TypedChoiceField(
        label="The old text still works",
        choices=GRACE_HOURS,
        coerce=int,
        initial=24,
        help_text="The token keeps its name, scopes and expiry date. It gets a new text, which is shown once.",
    )


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("title", "owner", "scopes_text", "begins_with", "created", "last_used", "expires", "state")
    search_fields = ("name", "user__username")
    search_help_text = "A token's name, or its owner"
    ordering = ("-created_at", "-id")
    change_form_outer_before_template = "sync/token_buttons.html"
    empty_title = "No API tokens"
    empty_words = "With a token, another program uses the API as you: never more than you may do yourself."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows: QuerySet[ApiToken] = super().get_queryset(request).select_related("user")
        return rows if _is_administrator(request) else rows.filter(user=cast("User", request.user))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns; whose a token is, says something to administrators alone."""
        return [name for name in self.list_display if name != "owner" or _is_administrator(request)]

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_fields if _is_administrator(request) else ("name",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return what the page of a token shows: everything but the hashes."""
        names = ["name", "owner", "state", "scopes_text", "begins_with", "created", "last_used", "expires", "rotated"]
        return [*names, "old_until"] if obj is not None and obj.previous_until else names

    # Everybody who may sign in here has tokens of their own.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Whether it is one's own; the list holds no others."""
        return obj is None or obj.user_id == request.user.pk or _is_administrator(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return True

    # Columns.

    title = plain_column("Name", lambda row: row.name, "name")
    owner = plain_column("Owner", lambda row: row.user.get_username(), "user__username")
    scopes_text = plain_column("Scopes", lambda row: ", ".join(row.scopes))
    begins_with = plain_column("Begins with", lambda row: row.shown_start)

    @admin.display(description="State")
    def state(self, row: ApiToken) -> SafeString:
        state = row.state_at(page_now(row))
        return badge(*_TOKEN_BADGES[state], state.label)

    created = time_column("created_at", "Created")
    last_used = time_column("last_used_at", "Last used")
    rotated = time_column("rotated_at", "Rotated")
    old_until = time_column("previous_until", "Old text works until")

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, row: ApiToken) -> SafeString | str:
        return time_tag(row.expires_at, page_now(row)) if row.expires_at else "Never"

    # What can be done.

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<int:pk>/rotate/", self.admin_site.admin_view(self.rotate_view), name="sync_apitoken_rotate"),
            path("<int:pk>/revoke/", self.admin_site.admin_view(self.revoke_view), name="sync_apitoken_revoke"),
        ]
        return [*own, *super().get_urls()]

    def row_context(self, request: HttpRequest, row: ApiToken) -> dict[str, Any]:
        state = row.state_at(sync_now())
        may_rotate = row.user_id == request.user.pk and state == TokenState.ACTIVE
        return {"may_rotate": may_rotate, "may_revoke": state != TokenState.REVOKED}

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a token, and show its text on the answer to the form: no message, cookie or cache keeps it."""
        user = cast("User", request.user)
        form = TokenForm(user, request.POST if request.method == "POST" else None)
        if form.is_valid():
            chosen = form.cleaned_data
            expires_at = sync_now() + timedelta(days=chosen["days"]) if chosen["days"] else None
            row, text = ApiToken.objects.issue(
                chosen.get("user", user), chosen["name"], scopes=chosen["scopes"], expires_at=expires_at
            )
            log_action(user, row, f"Made, for {row.user.get_username()}.", flag=ADDITION)
            return self._shown_once(request, row, text, f"The new token “{row}”")
        return self._form_page(request, form, "New API token", "Create the token", reverse(_LIST))

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give one's own token a new text, and show that."""
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            return self._none_such(request, pk)
        if row.user_id != request.user.pk:  # or an administrator would act under another person's name
            raise PermissionDenied
        form = RotateForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                text = row.rotate(timedelta(hours=form.cleaned_data["hours"]))
            except ActionError as why:
                form.add_error(None, str(why))
            else:
                log_action(request.user, row, "Rotated.")
                return self._shown_once(request, row, text, f"The new text of the token “{row}”")
        back_url = reverse("admin:sync_apitoken_change", args=[pk])
        return self._form_page(request, form, f"Rotate the token “{row}”", "Rotate it", back_url)

    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End a token, after a question."""
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            return self._none_such(request, pk)

        def run() -> str:
            if row.revoke():
                log_action(request.user, row, "Revoked.")
            return f"The token “{row}” is revoked."

        def question() -> Question:
            effects = ["It stops working at once. This can't be undone.", "Programs that use it are refused."]
            title = f"Revoke the token “{row}”?"
            return Question(title, effects, "Revoke the token", page_name=str(row), deletes=True)

        return run_action(self, request, run, back_url=reverse(_LIST), question=question)

    def _none_such(self, request: HttpRequest, pk: int) -> HttpResponse:
        answer: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))
        return answer

    def _form_page(
        self, request: HttpRequest, form: forms.Form, title: str, button: str, back_url: str
    ) -> HttpResponse:
        status, shown = 400 if form.errors else 200, {"form": form, "button": button, "back_url": back_url}
        return own_page(self, request, "sync/token_form.html", title, status=status, **shown)

    def _shown_once(self, request: HttpRequest, row: ApiToken, text: str, title: str) -> HttpResponse:
        answer = own_page(self, request, "npd/new_token.html", title, token=text, list_url=reverse(_LIST))
        answer.headers["Cache-Control"] = "no-store"
        return answer


_LIST = "admin:sync_apitoken_changelist"


def _is_administrator(request: HttpRequest) -> bool:
    return bool(cast("User", request.user).is_superuser)
