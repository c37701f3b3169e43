"""What other programs are given: API tokens with which they ask, endpoints at which they are told by webhooks.

Tokens are everybody's own, for administrators all. They aren't edited, they are rotated or revoked. Their texts, like
the secrets of endpoints, are shown once, on the page that answers the form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from sync import registry
from sync.admin.admin_base import (
    PageAdmin,
    ReadOnlyAdmin,
    badge,
    badge_column,
    own_page,
    page_now,
    plain_column,
    time_column,
    time_tag,
)
from sync.admin.confirmed_action import Question, RecordTable, run_action
from sync.admin.inbox_offers import ActionResult, InboxAction, register_action
from sync.choices import TokenScope, TokenState
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError, NotAllowed
from sync.models import ApiToken, DeliveryState, DisabledCode, EventType, WebhookDelivery, WebhookEndpoint
from sync.models.api_clients import check_token_name
from sync.operations import outgoing_webhooks
from sync.operations.attention import AttentionEntry, AttentionKind
from sync.operations.event_feed import feed_sight
from sync.records.authors import actor_label, log_action, log_kind_action

# Tokens.


SCOPE_TEXTS = (
    (TokenScope.READ, "Read: everything that you may see"),
    (TokenScope.WRITE, "Write: records, with their sync settings and links"),
    (TokenScope.RESOLVE, "Resolve: conflicts, and undo resolutions"),
    (TokenScope.OPERATE, "Operate: queue, pauses, approvals, unmatched items, undo"),
    (TokenScope.WEBHOOKS, "Webhooks: where events are sent"),
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


# Endpoints and their deliveries.


if TYPE_CHECKING:
    _EndpointForm = forms.ModelForm[WebhookEndpoint]
else:
    _EndpointForm = forms.ModelForm

CHOSEN = ("address", "description", "event_types", "enabled")
OWNER_NOW = "You are its owner now: it gets what you may view."
DESCRIBED = ("owned", "gets", "state", "off_since", "failing", "next_try", "made")


class EndpointForm(_EndpointForm):
    """What a person chooses of an endpoint."""

    address = forms.CharField(
        max_length=2000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://…"}),
        help_text="The address to which events are sent: public, with https. Whoever changes it becomes the owner.",
    )
    event_types = forms.MultipleChoiceField(
        label="Events",
        choices=EventType.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="If you choose none, all events are sent. It never gets more than its owner may view.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = CHOSEN
        help_texts: ClassVar[dict[str, str]] = {
            "enabled": "Switched on again, it gets what it missed. If its owner may view nothing any more, whoever "
            "switches it on becomes the owner."
        }

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"].strip()
        try:
            outgoing_webhooks.check_endpoint_address(address)
        except ActionError as why:
            raise ValidationError(str(why), code="address") from why
        return address

    def _post_clean(self) -> None:
        """Nothing is put on the row here: the service changes it, under its lock."""


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(PageAdmin):
    form = EndpointForm
    list_display = ("name", "host", "state", "events", "owned", "failing")
    list_select_related = ("owner",)
    list_filter = ("enabled",)
    search_fields = ("description", "address")
    search_help_text = "A description or an address"
    ordering = ("created_at", "id")
    change_form_outer_before_template = "sync/webhook_endpoint_buttons.html"
    empty_title = "No other system gets webhooks yet"
    empty_words = "Add an endpoint: from then on, what happens in NPD and you may view is sent to its address, signed."

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/test/", view(require_POST(self.send_test)), name="sync_webhookendpoint_test"),
            path("<uuid:pk>/rotate/", view(require_POST(self.rotate)), name="sync_webhookendpoint_rotate"),
            *super().get_urls(),
        ]

    def get_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> tuple[str, ...]:
        return (*CHOSEN, *DESCRIBED) if obj else CHOSEN

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> tuple[str, ...]:
        return DESCRIBED if obj else ()

    def row_context(self, request: HttpRequest, row: WebhookEndpoint) -> dict[str, Any]:
        return {
            "may_change": self.has_change_permission(request, row),
            "may_view_deliveries": request.user.has_perm("sync.view_webhookdelivery"),
        }

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> WebhookEndpoint:
        """Make or change it by the service; a new one's secret is kept for the answer to this request."""
        values = {name: form.cleaned_data[name] for name in CHOSEN if name in form.cleaned_data}
        try:
            if change:
                touched = {name: value for name, value in values.items() if name in form.changed_data}
                changed = outgoing_webhooks.change_endpoint(form.instance, touched, request.user)
                if changed.owner_id != form.instance.owner_id:
                    messages.info(request, OWNER_NOW)
                return changed
            endpoint, secret = outgoing_webhooks.make_endpoint(values, request.user)
        except NotAllowed as why:
            raise PermissionDenied(str(why)) from why
        request.new_secret = secret  # type: ignore[attr-defined]
        return endpoint

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        """Nothing is left to save."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing hangs on it."""

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the new secret the only time that this is possible."""
        return self._secret_page(request, obj, request.new_secret)  # type: ignore[attr-defined]

    def send_test(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Send a ping, and lead to its delivery."""
        endpoint = self._changeable(request, pk)

        def run() -> str:
            outgoing_webhooks.send_test_event(endpoint)
            return "A test is on its way. See its deliveries for the result."

        return run_action(self, request, run, back_url=self._url(endpoint))

    def rotate(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Ask, then make another secret and show it."""
        endpoint = self._changeable(request, pk)
        if "confirmed" not in request.POST:
            question = Question(
                f"A new secret for {endpoint}?",
                [
                    "The new secret is shown once.",
                    "The present secret still signs for one more day; then it stops working.",
                    *([] if endpoint.owner == request.user else ["You become its owner: it gets what you may view."]),
                ],
                "Create a new secret",
            )
            return run_action(self, request, str, back_url=self._url(endpoint), question=lambda: question)
        try:
            secret = outgoing_webhooks.rotate_secret(endpoint, request.user)
        except NotAllowed as why:
            raise PermissionDenied(str(why)) from why
        log_kind_action(request.user, WebhookEndpoint, "Its secret was rotated.", key=endpoint.pk, name=str(endpoint))
        grace = "The old secret still signs for one more day."
        if endpoint.owner != request.user:
            grace += f" {OWNER_NOW}"
        return self._secret_page(request, endpoint, secret, grace)

    def _changeable(self, request: HttpRequest, pk: Any) -> WebhookEndpoint:
        endpoint = get_object_or_404(WebhookEndpoint, pk=pk)
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        return endpoint

    def _secret_page(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, grace: str = ""
    ) -> HttpResponse:
        title, url = f"The secret of {endpoint}", self._url(endpoint)
        return own_page(self, request, "sync/new_secret.html", title, secret=secret, grace=grace, endpoint_url=url)

    def _url(self, endpoint: WebhookEndpoint) -> str:
        return reverse("admin:sync_webhookendpoint_change", args=[endpoint.pk])

    name = plain_column("Endpoint", str, "description")
    host = plain_column("Server", lambda row: row.address.partition("://")[2].partition("/")[0])

    @admin.display(description="State", ordering="enabled")
    def state(self, row: WebhookEndpoint) -> SafeString:
        if not row.enabled:
            why = row.get_disabled_code_display() if row.disabled_code else "Off"
            return badge("off" if row.disabled_code == "person" else "bad", "webhook", why)
        return badge("warn", "error", "Failing") if row.failing_since else badge("ok", "webhook", "On")

    @admin.display(description="Events")
    def events(self, row: WebhookEndpoint) -> str:
        labels = dict(EventType.choices)
        return humanize.join_first([str(labels.get(one, one)) for one in row.event_types]) or "All"

    @admin.display(description="Owner", ordering="owner__username", empty_value=humanize.DASH)
    def owned(self, row: WebhookEndpoint) -> str | None:
        return actor_label(row.owner) if row.owner else None

    @admin.display(description="Gets")
    def gets(self, row: WebhookEndpoint) -> str:
        sight = feed_sight(row.owner)
        if not sight.entity_types:
            return "Nothing: its owner may view no records. Whoever switches it on becomes its owner."
        names = [str(registry.entity(one).model._meta.verbose_name_plural) for one in sorted(sight.entity_types)]
        what = humanize.join_first([*names, *(["conflicts"] if sight.conflicts else [])])
        return f"What happens to what its owner may view: {what}."

    failing = time_column("failing_since", "Failing since")
    off_since = time_column("disabled_at", "Off since")
    next_try = time_column("next_attempt", "Next attempt")

    @admin.display(description="Made")
    def made(self, row: WebhookEndpoint) -> SafeString | str:
        who = f"by {row.created_by}" if row.created_by else ""
        return format_html("{} {}", time_tag(row.created_at, page_now(row)), who)


_DELIVERY_BADGES = {
    DeliveryState.PENDING: ("wait", "schedule"),
    DeliveryState.IN_PROGRESS: ("wait", "sync"),
    DeliveryState.DELIVERED: ("ok", "check_circle"),
    DeliveryState.FAILED: ("bad", "error"),
}


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("what", "receiver", "state_badge", "tries", "answered", "created", "tried")
    list_filter = ("state", "endpoint")
    list_select_related = ("event", "endpoint")
    ordering = ("-id",)
    actions = ("send_again",)
    summary = ("what", "endpoint", "state_badge", "problem", "answered", "excerpt", "tried", "due")
    change_form_outer_before_template = "sync/webhook_delivery_buttons.html"
    empty_title = "Nothing was sent yet"
    empty_words = "Each event sent to an endpoint is listed here, with its server's answer."

    def row_context(self, request: HttpRequest, row: WebhookDelivery) -> dict[str, Any]:
        return {"may_replay": self.has_replay_permission(request)}

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sync.change_webhookdelivery")

    @admin.action(description="Send again", permissions=["replay"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> HttpResponse:
        """Send these again under their ids; the receiver knows by them what it has."""

        def run() -> str:
            number = outgoing_webhooks.replay_deliveries(queryset.order_by("pk"))
            log_kind_action(request.user, WebhookDelivery, f"{number} sent again.", name="Webhook deliveries")
            return f"{humanize.count_with_noun(number, 'delivery is', 'deliveries are')} sent again."

        return run_action(self, request, run, back_url=request.get_full_path())

    @admin.display(description="Event")
    def what(self, row: WebhookDelivery) -> str:
        if row.event is None:
            return "Test"
        return f"{row.event.get_type_display()} · {registry.type_label(row.event.entity_type)}"

    receiver = plain_column("Endpoint", lambda row: str(row.endpoint), "endpoint")
    tries = plain_column("Attempts", lambda row: row.attempts, "attempts")

    @admin.display(description="Answer", ordering="status_code")
    def answered(self, row: WebhookDelivery) -> str:
        if row.status_code is None:
            return row.problem or humanize.DASH
        return f"HTTP {row.status_code} in {row.duration_ms or 0:,} ms"

    state_badge = badge_column("state", "State", _DELIVERY_BADGES)
    created = time_column("created_at", "Made")
    tried = time_column("last_attempt", "Last attempt")

    @admin.display(description="Next attempt", ordering="next_attempt")
    def due(self, row: WebhookDelivery) -> SafeString | str:
        return humanize.DASH if row.finished_at else time_tag(row.next_attempt, page_now(row))


# What the inbox offers for an endpoint that NPD Sync has switched off.


def _switch_on(
    takes_over: bool, request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]
) -> ActionResult:
    done, problems = 0, []
    for endpoint in WebhookEndpoint.objects.filter(pk__in=[one.row_id for one in found], enabled=False):
        # One that was off for another reason may have lost its owner since.
        if not takes_over and not feed_sight(endpoint.owner).entity_types:
            problems.append(f"{endpoint}: its owner may view nothing any more. Open it to take it over.")
            continue
        try:
            outgoing_webhooks.change_endpoint(endpoint, {"enabled": True}, request.user)
        except ActionError as error:
            problems.append(f"{endpoint}: {error}")
        else:
            done += 1
            log_kind_action(request.user, WebhookEndpoint, "Switched on.", key=endpoint.pk, name=str(endpoint))
    return ActionResult(done, f"{humanize.count_with_noun(done, 'endpoint is', 'endpoints are')} on again.", problems)


def _take_over_question(_request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    number = humanize.count_with_noun(len(found), "endpoint")
    rows = [(one.name, one.cause_text) for one in found]
    return Question(
        f"Become the owner of {number}?",
        ["You become the owner.", "What you may view is sent to the address, also of what was missed."],
        f"Yes, become the owner of {number}",
        [RecordTable(("Endpoint", "Why it is off"), rows, len(rows))],
    )


register_action(
    InboxAction(
        "switch_on",
        "Switch on",
        frozenset({AttentionKind.WEBHOOK}),
        partial(_switch_on, False),
        shortcut="s",
        effects={AttentionKind.WEBHOOK: "Sends it what it missed, and all that follows."},
        fits=lambda entry: entry.cause_code != DisabledCode.OWNER,
    ),
    InboxAction(
        "take_over",
        "Become owner…",
        frozenset({AttentionKind.WEBHOOK}),
        partial(_switch_on, True),
        question=_take_over_question,
        effects={AttentionKind.WEBHOOK: "Makes it yours, and sends it what you may view."},
        fits=lambda entry: entry.cause_code == DisabledCode.OWNER,
    ),
)
