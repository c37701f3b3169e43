"""What the engine wrote down: decisions, ledger, intents, webhook deliveries, tombstones, refused items."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter

from sync.admin import words
from sync.admin.base import ReadOnlyAdmin, RecordLinkMixin, ids_named, page_now
from sync.admin.filters import EntityFilter, MomentsFilter
from sync.admin.undo import UndoPagesMixin, batch_undo_url, undo_url
from sync.choices import SyncStatus
from sync.explain.chains import chains, in_words
from sync.loops_now import damped_fields, of_the_ledgers_record
from sync.models import Decision, Intent, IntentState, SyncMetadata, WebhookEvent
from sync.undo import decisions_of_batch, may_be_undone, may_undo

_LEDGER = {
    SyncStatus.PENDING: ("wait", "schedule"),
    SyncStatus.IN_PROGRESS: ("go", "sync"),
    SyncStatus.COMPLETED: ("ok", "check_circle"),
    SyncStatus.FAILED: ("bad", "error"),
    SyncStatus.SKIPPED: ("off", "sync_disabled"),
}
_INTENT = {
    IntentState.OPEN: ("wait", "schedule"),
    IntentState.APPLIED: ("ok", "check_circle"),
    IntentState.LANDED: ("ok", "check_circle"),
    IntentState.REFUSED: ("bad", "error"),
    IntentState.VOID: ("off", "block"),
}


class RecordSearchMixin:
    """Finds rows also by the name of their record."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return what the search fields find, and the rows of records so named."""
        found, doubles = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
        named = [str(key) for key in ids_named(search_term)]
        return (found | queryset.filter(entity_id__in=named) if named else found), doubles


@admin.register(Decision)
class DecisionAdmin(RecordLinkMixin, RecordSearchMixin, UndoPagesMixin, ReadOnlyAdmin):
    """One decision a row, as a sentence."""

    list_display = ("moment", "record", "kind_of_record", "said", "actor")
    list_filter = (EntityFilter, ("at", MomentsFilter))
    search_fields = ("sentence", "remote_id", "actor", "entity_id", "batch_id")
    json_fields = ("values", "cause")
    change_form_outer_before_template = "sync/decision_buttons.html"
    empty_title = gettext_lazy("Nothing decided yet")
    empty_words = gettext_lazy(
        "Every change that a look sends, takes over or hands to a person is written down here."
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say what led to it in words, before the columns."""
        return ["what_led_to_it", *ReadOnlyAdmin.get_fields(self, request, obj)]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer to take it back, and the batch that it belongs to."""
        row = kwargs.get("obj")
        if isinstance(row, Decision) and may_undo(request.user, [row]):
            context["undo_url"] = undo_url(row) if may_be_undone(row) else ""
            context["batch_url"] = _batch_url(row)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description=gettext_lazy("What led to it"))
    def what_led_to_it(self, row: Decision) -> str:
        """Return the chain of causes as a line."""
        return in_words(chains([row])[row.pk]) or words.NOTHING

    @admin.display(description=gettext_lazy("Sentence"))
    def said(self, row: Decision) -> str:
        """Return the sentence as a list shows it."""
        return words.plain(row.sentence)

    @admin.display(description=gettext_lazy("When"), ordering="at")
    def moment(self, row: Decision) -> SafeString | str:
        """Return when, in words."""
        return words.time_tag(row.at, page_now(row))


def _batch_url(row: Decision) -> str:
    """Where the whole batch is taken back; empty where nothing of it could be."""
    if row.batch_id is None or not decisions_of_batch(row.batch_id).exists():
        return ""
    return batch_undo_url(row.batch_id)


class HeldFilter(RadioFilter):
    """Records of which a field can't flow."""

    title = gettext_lazy("held fields")
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return held for whatever reason, and because somebody rewrites it."""
        return [("yes", _("With held fields")), ("loop", str(_("Rewritten after each of our writes")))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries with held fields."""
        if self.value() == "loop":
            return queryset.filter(Exists(damped_fields().filter(of_the_ledgers_record())))
        return queryset.exclude(held={}) if self.value() else queryset


@admin.register(SyncMetadata)
class LedgerAdmin(RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What the last look found of each record."""

    list_display = (
        "state",
        "record",
        "kind_of_record",
        "remote_id",
        "seen",
        "agreed",
        "held_fields",
        "trouble",
    )
    list_filter = (("sync_status", ChoicesCheckboxFilter), EntityFilter, HeldFilter)
    search_fields = ("remote_id", "last_error", "note", "entity_id")
    ordering = ("-id",)
    json_fields = ("base", "held", "altered", "conflicts")
    empty_title = gettext_lazy("The ledger is empty")
    empty_words = gettext_lazy("The first look at a record writes its entry.")

    @admin.display(description=gettext_lazy("Last look"), ordering="sync_status")
    def state(self, row: SyncMetadata) -> SafeString:
        """Return what the last look found."""
        kind, symbol = _LEDGER[SyncStatus(row.sync_status)]
        return words.badge(kind, symbol, row.get_sync_status_display())

    @admin.display(description=gettext_lazy("Looked at"), ordering="last_sync_attempt")
    def seen(self, row: SyncMetadata) -> SafeString | str:
        """Return when it was last looked at."""
        return words.time_tag(row.last_sync_attempt, page_now(row))

    @admin.display(description=gettext_lazy("Last in sync"), ordering="last_successful_sync")
    def agreed(self, row: SyncMetadata) -> SafeString | str:
        """Return when both sides last agreed."""
        return words.time_tag(row.last_successful_sync, page_now(row))

    @admin.display(description=gettext_lazy("Last error"))
    def trouble(self, row: SyncMetadata) -> str:
        """Return the last error as a list shows it."""
        return words.plain(row.last_error or "") or words.NOTHING

    @admin.display(description=gettext_lazy("Held fields"))
    def held_fields(self, row: SyncMetadata) -> str:
        """Return which fields can't flow."""
        return ", ".join(row.held) or words.NOTHING


@admin.register(Intent)
class IntentAdmin(RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What was announced before each call that writes."""

    list_display = ("outcome", "record", "kind_of_record", "what", "item_id", "sent")
    list_filter = (("state", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("item_id", "board_id", "request_id", "entity_id")
    ordering = ("-created_at",)
    json_fields = ("values", "body", "answer")
    empty_title = gettext_lazy("Nothing was sent yet")
    empty_words = gettext_lazy("Before anything is written to Monday, it is announced here.")

    @admin.display(description=gettext_lazy("Outcome"), ordering="state")
    def outcome(self, row: Intent) -> SafeString:
        """Return what is known of the call."""
        kind, symbol = _INTENT[IntentState(row.state)]
        return words.badge(kind, symbol, row.get_state_display())

    @admin.display(description=gettext_lazy("What"))
    def what(self, row: Intent) -> str:
        """Return whether an item was changed or made, and which fields were sent."""
        return f"{_('change') if row.item_id else _('new item')}: {', '.join(row.values) or _('no fields')}"

    @admin.display(description=gettext_lazy("Announced"), ordering="created_at")
    def sent(self, row: Intent) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.created_at, page_now(row))


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """Deliveries as they came."""

    list_display = ("received", "type", "board_id", "item_id", "column_id", "weighed")
    list_filter = (("received_at", MomentsFilter),)
    search_fields = ("item_id", "board_id", "type", "trigger_id", "outcome")
    ordering = ("-id",)
    json_fields = ("body",)
    empty_title = gettext_lazy("No webhook came yet")
    empty_words = gettext_lazy("`manage.py monday_check` says whether Monday can reach this site.")

    @admin.display(description=gettext_lazy("Received"), ordering="received_at")
    def received(self, row: WebhookEvent) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.received_at, page_now(row))

    @admin.display(description=gettext_lazy("Outcome"))
    def weighed(self, row: WebhookEvent) -> str:
        """Return what became of it."""
        return row.outcome or (_("weighed") if row.weighed_at else _("not weighed yet"))
