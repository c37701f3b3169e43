"""A record's sync state as a badge and a sentence, for a list row and for its own page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import registry
from sync.admin import words
from sync.choices import RecordSyncStatus, SyncStatus
from sync.clock import sync_now
from sync.hooks import OpenConflict, desk
from sync.ledger import RecordState, SyncStateService
from sync.models import SyncedModel


@dataclass(frozen=True)
class SyncView:
    """What a page shows of one record's sync: its state, its open conflicts, and the time of the page."""

    record_id: UUID
    state: RecordState
    now: datetime
    conflicts: Sequence[OpenConflict] = field(default_factory=tuple)

    @property
    def stopped(self) -> bool:
        """Whether all attempts failed, so that nothing happens before a person acts."""
        return self.state.status == RecordSyncStatus.PENDING and self.state.ledger_status == SyncStatus.FAILED

    @property
    def next_try(self) -> str:
        """When the next look comes, in words; empty when none is planned."""
        moment = self.state.next_try
        if self.state.status != RecordSyncStatus.PENDING or moment is None:
            return ""
        return "now" if moment <= self.now else words.when(moment, self.now)

    @property
    def why(self) -> str:
        """The reason, as a sentence; the time of the next look stands beside it."""
        return words.without_time(self.state.words)

    @property
    def why_traced(self) -> SafeString:
        """The reason with the id of Monday's request, for the record's own page."""
        return words.traced(self.why)

    @property
    def fields_in_conflict(self) -> str:
        """The fields of open conflicts, by their labels."""
        labels = {shown.key: shown.label for shown in self.state.fields}
        return words.and_more([labels.get(key, key) for key in self.state.conflict_fields])

    @property
    def conflict_url(self) -> str:
        """The screen that settles it; the filtered list when several are open."""
        return conflict_url(self.record_id, self.conflicts)

    @property
    def badge(self) -> SafeString:
        """The state as a label with an icon; a conflict's leads to its screen."""
        if self.stopped:
            return words.badge("bad", "error", _("Stopped"))
        kind, symbol, text = _BADGES[RecordSyncStatus(self.state.status)]
        if self.state.status == RecordSyncStatus.CONFLICT:
            return words.badge(kind, symbol, text, url=self.conflict_url, title=_("Settle this conflict"))
        return words.badge(kind, symbol, text)

    @property
    def detail(self) -> str:
        """What stands beside the badge in a list: when it is tried again, and why it waits."""
        status = self.state.status
        if status == RecordSyncStatus.CONFLICT:
            return self.fields_in_conflict
        if status == RecordSyncStatus.SYNCED:
            return ""
        tried = (
            (_("Next try %(next_try)s.") % {"next_try": self.next_try})
            if self.next_try and not self.stopped
            else ""
        )
        return " ".join(part for part in (tried, words.shorten(words.plain(self.why), 120)) if part)


_BADGES = {
    RecordSyncStatus.SYNCED: ("ok", "check_circle", gettext_lazy("Synced")),
    RecordSyncStatus.PENDING: ("wait", "schedule", gettext_lazy("Pending")),
    RecordSyncStatus.CONFLICT: ("warn", "call_split", gettext_lazy("Conflict")),
    RecordSyncStatus.DISABLED: ("off", "sync_disabled", gettext_lazy("Disabled")),
}


def views_of(records: Sequence[SyncedModel], now: datetime) -> dict[UUID, SyncView]:
    """Return what a page shows of these records; the number of queries doesn't grow with theirs."""
    if not records:
        return {}
    states = SyncStateService().describe_many(records)
    conflicts = desk().open_of(records[0].entity_type(), [record.id for record in records])
    return {key: SyncView(key, state, now, tuple(conflicts.get(key, ()))) for key, state in states.items()}


def view_of(record: SyncedModel) -> SyncView:
    """Return what the record's own page shows."""
    return views_of([record], sync_now())[record.id]


def conflict_url(record_id: UUID, conflicts: Sequence[OpenConflict]) -> str:
    """Return the screen of the one open conflict, or the record's list of several.

    Empty without conflicts, and where no application shows them.
    """
    try:
        if len(conflicts) == 1:
            return reverse("admin:conflicts_syncconflict_screen", args=[conflicts[0].conflict_id])
        listed = reverse("admin:conflicts_syncconflict_changelist")
    except NoReverseMatch:
        return ""
    return f"{listed}?entity_id__exact={record_id}" if conflicts else ""


def refused_url(record: SyncedModel, key: str, state: RecordState) -> str:
    """Return the screen on which a refused value is settled; empty where Monday refuses none, or nothing shows it."""
    if key not in state.refused:
        return ""
    try:
        named = [record.entity_type(), record.pk, key]
        return reverse("admin:conflicts_syncconflict_refused_screen", args=named)
    except NoReverseMatch:
        return ""


def refused_list_url() -> str:
    """Return the list of values that Monday refuses; empty where no application shows them."""
    try:
        return reverse("admin:conflicts_syncconflict_refused")
    except NoReverseMatch:
        return ""


def list_cell(view: SyncView | None) -> SafeString | str:
    """Return the list's column: the badge with its reason below."""
    if view is None:
        return words.NOTHING
    return format_html('{}<span class="npd-why">{}</span>', view.badge, view.detail)


def board_name(entity_type: str) -> str:
    """Return the title of the type's board."""
    return registry.entity(entity_type).board_title


def item_link(state: RecordState | None, record: Any, text: str = "") -> SafeString | str:
    """Return a link to the record's item on Monday; a dash where it has none."""
    if state is None or not state.item_url:
        return words.NOTHING
    return words.external(
        state.item_url,
        text or _("Open"),
        (_("Open the item of %(record)s on Monday, in a new tab") % {"record": record}),
    )
