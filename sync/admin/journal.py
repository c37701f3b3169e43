"""What the engine wrote down: decisions, ledger, intents, webhook deliveries, tombstones, refused items."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter, RangeDateTimeFilter

from sync.admin import words
from sync.admin.base import PageAdmin, ReadOnlyAdmin, RecordLinkMixin, ids_named, page_now
from sync.admin.filters import EntityFilter
from sync.choices import Cause, Priority, SyncStatus
from sync.models import Decision, Intent, IntentState, RefusedItem, SyncMetadata, Tombstone, WebhookEvent
from sync.queue import SyncQueueService

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
class DecisionAdmin(RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """One decision a row, as a sentence."""

    list_display = ("moment", "record", "kind_of_record", "said", "actor")
    list_filter = (EntityFilter, ("at", RangeDateTimeFilter))
    search_fields = ("sentence", "remote_id", "actor", "entity_id")
    json_fields = ("values",)
    empty_title = "Nothing decided yet"
    empty_words = "Every change that a look sends, takes over or hands to a person is written down here."

    @admin.display(description="Sentence")
    def said(self, row: Decision) -> str:
        """Return the sentence as a list shows it."""
        return words.plain(row.sentence)

    @admin.display(description="When", ordering="at")
    def moment(self, row: Decision) -> SafeString | str:
        """Return when, in words."""
        return words.time_tag(row.at, page_now(row))


class HeldFilter(RadioFilter):
    """Records of which a field can't flow."""

    title = "held fields"
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the one choice."""
        return [("yes", "With held fields")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries with held fields."""
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
    empty_title = "The ledger is empty"
    empty_words = "The first look at a record writes its entry."

    @admin.display(description="Last look", ordering="sync_status")
    def state(self, row: SyncMetadata) -> SafeString:
        """Return what the last look found."""
        kind, symbol = _LEDGER[SyncStatus(row.sync_status)]
        return words.badge(kind, symbol, row.get_sync_status_display())

    @admin.display(description="Looked at", ordering="last_sync_attempt")
    def seen(self, row: SyncMetadata) -> SafeString | str:
        """Return when it was last looked at."""
        return words.time_tag(row.last_sync_attempt, page_now(row))

    @admin.display(description="Last in sync", ordering="last_successful_sync")
    def agreed(self, row: SyncMetadata) -> SafeString | str:
        """Return when both sides last agreed."""
        return words.time_tag(row.last_successful_sync, page_now(row))

    @admin.display(description="Last error")
    def trouble(self, row: SyncMetadata) -> str:
        """Return the last error as a list shows it."""
        return words.plain(row.last_error or "") or words.NOTHING

    @admin.display(description="Held fields")
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
    empty_title = "Nothing was sent yet"
    empty_words = "Before anything is written to Monday, it is announced here."

    @admin.display(description="Outcome", ordering="state")
    def outcome(self, row: Intent) -> SafeString:
        """Return what is known of the call."""
        kind, symbol = _INTENT[IntentState(row.state)]
        return words.badge(kind, symbol, row.get_state_display())

    @admin.display(description="What")
    def what(self, row: Intent) -> str:
        """Return whether an item was changed or made, and which fields were sent."""
        return f"{'change' if row.item_id else 'new item'}: {', '.join(row.values) or 'no fields'}"

    @admin.display(description="Announced", ordering="created_at")
    def sent(self, row: Intent) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.created_at, page_now(row))


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """Deliveries as they came."""

    list_display = ("received", "type", "board_id", "item_id", "column_id", "weighed")
    list_filter = (("received_at", RangeDateTimeFilter),)
    search_fields = ("item_id", "board_id", "type", "trigger_id", "outcome")
    ordering = ("-id",)
    json_fields = ("body",)
    empty_title = "No webhook came yet"
    empty_words = "`manage.py monday_check` says whether Monday can reach this site."

    @admin.display(description="Received", ordering="received_at")
    def received(self, row: WebhookEvent) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.received_at, page_now(row))

    @admin.display(description="Outcome")
    def weighed(self, row: WebhookEvent) -> str:
        """Return what became of it."""
        return row.outcome or ("weighed" if row.weighed_at else "not weighed yet")


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    """Records that were deleted in NPD."""

    list_display = ("name", "kind", "monday_id", "deleted", "what_now")
    list_filter = (EntityFilter,)
    search_fields = ("monday_id", "entity_id", "data__name")
    ordering = ("-deleted_at",)
    json_fields = ("data",)
    empty_title = "Nothing was deleted"
    empty_words = "A record that is deleted in NPD is remembered here."

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say first what the row means; the engine's note says the same in other words."""
        return ["what_now", *(name for name in super().get_fields(request, obj) if name != "note")]

    @admin.display(description="Record")
    def name(self, row: Tombstone) -> str:
        """Return what it was called."""
        return str(row.data.get("name") or row.entity_id)

    @admin.display(description="Type", ordering="entity_type")
    def kind(self, row: Tombstone) -> str:
        """Return the record's type."""
        return row.entity_type.capitalize()

    @admin.display(description="Deleted", ordering="deleted_at")
    def deleted(self, row: Tombstone) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.deleted_at, page_now(row))

    @admin.display(description="What becomes of its item")
    def what_now(self, row: Tombstone) -> str:
        """Return what the row means."""
        if not row.monday_id:
            return "Deleted in NPD. It had no item on Monday."
        return f"Deleted in NPD. {words.ITEM_STAYS}"


@admin.register(RefusedItem)
class RefusedItemAdmin(PageAdmin):
    """Items that are not to become records; deleting a row asks again."""

    list_display = ("item_id", "kind", "reason", "moment")
    list_filter = (EntityFilter,)
    search_fields = ("item_id", "reason")
    ordering = ("-id",)
    readonly_fields = ("entity_type", "item_id", "reason", "at")
    empty_title = "No item was refused"
    empty_words = (
        "An item of a board that must not become a record is listed here. Delete its row to ask again."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are written by the engine alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A reason is a fact."""
        return False

    def delete_model(self, request: HttpRequest, obj: RefusedItem) -> None:
        """Forget the refusal and look at the item again."""
        self._ask_again(request, [obj])
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RefusedItem]) -> None:
        """Forget the refusals and look at the items again."""
        self._ask_again(request, list(queryset))
        super().delete_queryset(request, queryset)

    def _ask_again(self, request: HttpRequest, rows: list[RefusedItem]) -> None:
        for row in rows:
            SyncQueueService().enqueue_item(
                row.entity_type, row.item_id, cause=Cause.PERSON, priority=Priority.PERSON, due_in_seconds=0
            )
        self.message_user(
            request, f"{words.counted(len(rows), 'item')} will be looked at again.", messages.INFO
        )

    @admin.display(description="Type", ordering="entity_type")
    def kind(self, row: RefusedItem) -> str:
        """Return the type of record that it would have become."""
        return row.entity_type.capitalize()

    @admin.display(description="Refused", ordering="at")
    def moment(self, row: RefusedItem) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.at, page_now(row))
