"""Outgoing webhooks: the endpoints of other systems, their secrets, and the log of what they were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import PageAdmin, ReadOnlyAdmin, badge, badge_column, time_column
from sync.admin.confirmed_action import Question, RecordTable, run_action
from sync.admin.inbox_offers import ActionResult, InboxAction, register_action
from sync.kernel import humanize
from sync.kernel.messages import ActionError, NotAllowed
from sync.models import DeliveryState, DisabledCode, EventType, WebhookDelivery, WebhookEndpoint
from sync.operations import outgoing_webhooks
from sync.operations.attention import AttentionEntry, AttentionKind
from sync.operations.event_feed import feed_sight
from sync.records.authors import actor_label, log_kind_action

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
    """The endpoints."""

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
        context = {
            **self.admin_site.each_context(request),
            "title": f"The secret of {endpoint}",
            "opts": self.opts,
            "secret": secret,
            "grace": grace,
            "endpoint_url": self._url(endpoint),
        }
        return TemplateResponse(request, "sync/new_secret.html", context)

    def _url(self, endpoint: WebhookEndpoint) -> str:
        return reverse("admin:sync_webhookendpoint_change", args=[endpoint.pk])

    @admin.display(description="Endpoint", ordering="description")
    def name(self, row: WebhookEndpoint) -> str:
        return str(row)

    @admin.display(description="Server")
    def host(self, row: WebhookEndpoint) -> str:
        return row.address.partition("://")[2].partition("/")[0]

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
        return format_html("{} {}", admin_base.time_tag(row.created_at, admin_base.page_now(row)), who)


_BADGES = {
    DeliveryState.PENDING: ("wait", "schedule"),
    DeliveryState.IN_PROGRESS: ("wait", "sync"),
    DeliveryState.DELIVERED: ("ok", "check_circle"),
    DeliveryState.FAILED: ("bad", "error"),
}


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """The log of deliveries, newest first."""

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

    @admin.display(description="Endpoint", ordering="endpoint")
    def receiver(self, row: WebhookDelivery) -> str:
        return str(row.endpoint)

    @admin.display(description="Attempts", ordering="attempts")
    def tries(self, row: WebhookDelivery) -> int:
        return row.attempts

    @admin.display(description="Answer", ordering="status_code")
    def answered(self, row: WebhookDelivery) -> str:
        if row.status_code is None:
            return row.problem or humanize.DASH
        return f"HTTP {row.status_code} in {row.duration_ms or 0:,} ms"

    state_badge = badge_column("state", "State", _BADGES)
    created = time_column("created_at", "Made")
    tried = time_column("last_attempt", "Last attempt")

    @admin.display(description="Next attempt", ordering="next_attempt")
    def due(self, row: WebhookDelivery) -> SafeString | str:
        return humanize.DASH if row.finished_at else admin_base.time_tag(row.next_attempt, admin_base.page_now(row))


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
    )
)
register_action(
    InboxAction(
        "take_over",
        "Become owner…",
        frozenset({AttentionKind.WEBHOOK}),
        partial(_switch_on, True),
        question=_take_over_question,
        effects={AttentionKind.WEBHOOK: "Makes it yours, and sends it what you may view."},
        fits=lambda entry: entry.cause_code == DisabledCode.OWNER,
    )
)
