"""A person's own notifications, with a test and a preview; for administrators how everybody's receivers fare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_POST

from sync.admin import admin_base
from sync.admin.admin_base import ReadOnlyAdmin, badge, see_other, time_tag
from sync.admin.inbox_offers import ActionResult, InboxAction, register_action
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError
from sync.kernel.outgoing_calls import AddressError, check_address
from sync.models import NotificationReceiver
from sync.models.followers import Frequency, Medium
from sync.operations.attention import AttentionEntry, AttentionKind
from sync.operations.notifications import Choice, address_host, choose, preview, send_test
from sync.operations.notifications.letters import NO_EMAIL, are_emails_files, is_email_configured

CHATS = (Medium.SLACK, Medium.TEAMS)
HOURS = [(hour, f"{hour:02d}:00") for hour in range(24)]


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - {"localtime", "Factory"}))


class AddressInput(forms.PasswordInput):
    """A field for an address that is a secret: what was typed or stored never comes back to the page."""

    input_type = "url"


class NotificationForm(forms.Form):
    """How somebody wants to be notified: a frequency for each medium, an hour and a time zone for the daily message."""

    zone = forms.ChoiceField(label="Time zone of the daily message")

    def __init__(self, user: User, data: Any = None) -> None:
        self.user = user
        self.stored = {row.medium: row for row in NotificationReceiver.objects.filter(user=user)}
        known = next(iter(self.stored.values()), None)
        here = known.zone if known else timezone.get_current_timezone_name()
        super().__init__(data, initial={"zone": here})
        cast("forms.ChoiceField", self.fields["zone"]).choices = [(name, name.replace("_", " ")) for name in _zones()]
        for medium in Medium:
            row = self.stored.get(medium)
            self.fields[f"{medium}_frequency"] = forms.ChoiceField(
                label="How often", choices=Frequency.choices, initial=row.frequency if row else Frequency.OFF
            )
            self.fields[f"{medium}_hour"] = forms.TypedChoiceField(
                label="Daily at", choices=HOURS, coerce=int, initial=row.hour if row else 8
            )
            if medium in CHATS:
                self.fields[f"{medium}_address"] = self._address_field(medium)

    def _address_field(self, medium: Medium) -> forms.CharField:
        row = self.stored.get(medium)
        host = address_host(row) if row else ""
        kept = (
            f"Stored: an address at {host}. Leave this empty to keep it." if host else "Once saved, it is never shown."
        )
        hints = {"autocomplete": "off", "placeholder": "https://…", "spellcheck": "false"}
        return forms.CharField(
            label="Webhook address", required=False, max_length=2000, widget=AddressInput(attrs=hints), help_text=kept
        )

    def clean(self) -> dict[str, Any]:
        """Say what is missing before anything is stored."""
        cleaned = cast("dict[str, Any]", super().clean())
        if cleaned.get("email_frequency", Frequency.OFF) != Frequency.OFF:
            if not is_email_configured():
                self.add_error("email_frequency", NO_EMAIL)
            elif not self.user.email:
                self.add_error("email_frequency", NO_OWN_ADDRESS)
        for medium in CHATS:
            name = f"{medium}_address"
            address = cleaned.get(name, "").strip()
            row = self.stored.get(medium)
            try:
                if address:
                    check_address(address)
            except AddressError as why:
                self.add_error(name, str(why))
            wants = cleaned.get(f"{medium}_frequency", Frequency.OFF) != Frequency.OFF
            if wants and not address and not (row and address_host(row)) and name not in self.errors:
                self.add_error(name, f"Enter the webhook address of {medium.label}, or choose Off.")
            cleaned[name] = address
        return cleaned

    def choices(self) -> Iterator[Choice]:
        data = self.cleaned_data
        for medium in Medium:
            frequency = Frequency(data[f"{medium}_frequency"])
            yield Choice(medium, frequency, data[f"{medium}_hour"], data["zone"], data.get(f"{medium}_address", ""))

    @property
    def parts(self) -> list[FormPart]:
        return [
            FormPart(
                medium,
                self[f"{medium}_frequency"],
                self[f"{medium}_hour"],
                self[f"{medium}_address"] if medium in CHATS else None,
                _about(medium, self.user),
            )
            for medium in Medium
        ]


@dataclass(frozen=True)
class FormPart:
    medium: Medium
    frequency: forms.BoundField
    hour: forms.BoundField
    address: forms.BoundField | None
    about: str


NO_OWN_ADDRESS = "Your account has no email address. An administrator can enter it under Users."


def _about(medium: Medium, user: User) -> str:
    if medium == Medium.SLACK:
        return "In Slack: create an app, turn on Incoming Webhooks, add one to a channel, and copy its address."
    if medium == Medium.TEAMS:
        return (
            "In Teams: beside the channel choose Workflows, “Post to a channel when a webhook request is received”, "
            "and copy the address."
        )
    if not is_email_configured():
        return NO_EMAIL
    if not user.email:
        return NO_OWN_ADDRESS
    if are_emails_files():
        return f"No email server is set up: what would go to {user.email} is written as a file into var/mail."
    return f"Goes to {user.email}, the address of your account."


@dataclass(frozen=True)
class ReceiverState:
    """How one receiver fares, in words."""

    receiver: NotificationReceiver
    now: datetime

    @property
    def badge(self) -> SafeString:
        return state_badge(self.receiver)

    @property
    def lines(self) -> list[str]:
        """Return what there is to say: since when it fails and why, and when a message was last sent."""
        row, found = self.receiver, []
        if row.failed_since:
            span = humanize.relative_time(row.failed_since, self.now)
            found.append(f"Failing since {humanize.day_and_time(row.failed_since)} ({span}): {row.problem}")
            if row.stopped_at:
                found.append("No message is sent any more. Correct it and save, or send a test that arrives.")
            elif row.next_attempt and row.frequency != Frequency.OFF:
                found.append(f"Next attempt {humanize.relative_time(max(row.next_attempt, self.now), self.now)}.")
        sent = f"{humanize.relative_time(row.last_sent, self.now)}" if row.last_sent else "nothing yet"
        return [*found, f"Last {_sent_to(row)}: {sent}."]


def _sent_to(row: NotificationReceiver) -> str:
    is_file = row.medium == Medium.EMAIL and are_emails_files()
    return "written into var/mail" if is_file else f"sent by {row.get_medium_display()}"


def state_badge(row: NotificationReceiver) -> SafeString:
    if row.frequency == Frequency.OFF:
        return badge("off", "notifications_off", "Off")
    if row.stopped_at:
        return badge("bad", "notifications_off", "Switched off")
    if row.failed_since:
        return badge("warn", "error", "Failing")
    when = f", {row.hour:02d}:00" if row.frequency == Frequency.DAILY else ""
    return badge("ok", "notifications_active", f"{row.get_frequency_display()}{when}")


@require_http_methods(["GET", "HEAD", "POST"])
def notifications_page(request: HttpRequest) -> HttpResponse:
    """Show a person's own notifications, and store what they choose."""
    user = cast("User", request.user)
    form = NotificationForm(user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        choose(user, form.choices())
        messages.success(request, "Your notifications were saved.")
        return see_other(reverse("npd-notifications"))
    now = sync_now()
    rows = sorted(form.stored.values(), key=lambda row: Medium.values.index(row.medium))
    context = {
        **admin.site.each_context(request),
        "title": "Notifications",
        "form": form,
        "states": [ReceiverState(row, now) for row in rows if row.frequency != Frequency.OFF or row.failed_since],
        "preview": preview(user),
        "overview": _overview(request),
    }
    status = 400 if form.errors else 200
    return TemplateResponse(request, "sync/notifications.html", context, status=status)


def _overview(request: HttpRequest) -> dict[str, Any] | None:
    if not request.user.has_perm("sync.view_notificationreceiver"):
        return None
    failing = NotificationReceiver.objects.exclude(failed_since=None).exclude(frequency=Frequency.OFF).count()
    return {"failing": failing, "url": reverse("admin:sync_notificationreceiver_changelist")}


@require_POST
def test_receiver(request: HttpRequest) -> HttpResponse:
    """Send a test to one of a person's own receivers, and say what came of it."""
    medium = request.POST.get("medium", "")
    if medium not in Medium.values:
        raise Http404
    rows = NotificationReceiver.objects.filter(user=cast("User", request.user), medium=medium)
    receiver = rows.select_related("user").first()
    if receiver is None:
        raise Http404
    try:
        send_test(receiver)
    except ActionError as why:
        messages.warning(request, str(why))
    else:
        messages.success(request, f"A test was {_sent_to(receiver)}.")
    return see_other(reverse("npd-notifications"))


def _test_from_inbox(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    rows = NotificationReceiver.objects.filter(user=cast("User", request.user), pk__in=[one.row_id for one in found])
    done, problems = [], []
    for receiver in rows.select_related("user"):
        try:
            send_test(receiver)
        except ActionError as why:
            problems.append(f"{receiver.get_medium_display()}: {why}")
        else:
            done.append(receiver.get_medium_display())
    return ActionResult(len(done), f"A test was sent by {humanize.join_first(done)}.", problems)


register_action(
    InboxAction(
        "send_test",
        "Send a test",
        frozenset({AttentionKind.NOTIFICATION}),
        _test_from_inbox,
        effects={AttentionKind.NOTIFICATION: "Sends a message now. If it is taken, messages are sent again."},
    )
)


@admin.register(NotificationReceiver)
class NotificationReceiverAdmin(ReadOnlyAdmin):
    """Everybody's receivers, those that fail first: whom nobody reaches any more."""

    list_display = ("who", "medium", "state", "failing", "problem", "sent")
    list_filter = ("medium", "frequency")
    search_fields = ("user__username", "user__email")
    list_select_related = ("user",)
    summary = ("who", "medium", "state", "failing", "problem", "sent")
    ordering = ("failed_since", "user__username", "medium")
    empty_title = "Nobody is notified yet"
    empty_words = "Everybody chooses for themselves, under Notifications in the menu of their name."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).select_related("user")
        return rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Everything but the address, which nobody sees."""
        return [*self.summary, "zone", "failures", "next_attempt", "chosen_at"]

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().row_context(request, row)
        return context | {"page_name": f"{self.who(row)} · {row.get_medium_display()}"}

    @admin.display(description="Person", ordering="user__username")
    def who(self, row: NotificationReceiver) -> str:
        return row.user.get_full_name() or row.user.get_username()

    @admin.display(description="State", ordering="frequency")
    def state(self, row: NotificationReceiver) -> SafeString:
        return state_badge(row)

    @admin.display(description="Failing since", ordering="failed_since")
    def failing(self, row: NotificationReceiver) -> SafeString | str:
        return time_tag(row.failed_since, admin_base.page_now(row))

    sent = admin_base.time_column("last_sent", "Last sent")
