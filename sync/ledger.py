"""SyncStateService: how a record's sync stands, in words, for pages and the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from sync.boards import item_url, link_of, mappings_of
from sync.choices import QueueStatus, RecordSyncStatus, SyncStatus
from sync.engine.showing import Shown
from sync.models import BoardLink, Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.pausing import by_direction, words
from sync.refused import LEFT_BY, is_refused, reason_of
from sync.standstill import standstill


@dataclass(frozen=True)
class FieldState:
    """One mapped field: NPD's value now and both halves of the base, as displayed, with what holds it."""

    key: str
    label: str
    local: str
    base_local: str
    base_remote: str
    note: str = ""


@dataclass(frozen=True)
class RecordState:
    """How one record stands; `words` is the reason, `next_try` when it is tried again.

    `held` has the reason of each field that can't flow, `refused` names those of them that Monday stands in the way of.
    """

    status: str
    ledger_status: str
    words: str = ""
    next_try: datetime | None = None
    attempts: int = 0
    item_url: str | None = None
    conflict_fields: tuple[str, ...] = ()
    held: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    fields: tuple[FieldState, ...] = ()


class SyncStateService:
    """Reads the ledger, and the queue for what waits or is in the air."""

    def describe(self, record: SyncedModel) -> RecordState:
        """Return how one record stands."""
        return self.describe_many([record])[record.pk]

    def describe_many(self, records: Sequence[SyncedModel]) -> dict[UUID, RecordState]:
        """Return how records of one model stand, in a few queries whatever their number."""
        if not records:
            return {}
        view = _View(type(records[0]).entity_type(), records)
        return {record.pk: view.state(record) for record in records}

    def history(self, record: SyncedModel, limit: int = 50) -> list[Decision]:
        """Return what was decided about a record, newest first."""
        rows = Decision.objects.filter(entity_type=record.entity_type(), entity_id=record.pk)
        return list(rows[:limit])


class _View:
    """Everything that the states of a page of records rest on."""

    def __init__(self, entity_type: str, records: Sequence[SyncedModel]) -> None:
        ids = [record.pk for record in records]
        self.link: BoardLink | None = link_of(entity_type)
        self.mappings: Sequence[FieldMapping] = mappings_of(self.link) if self.link else []
        self.shown = Shown(self.link, self.mappings, records) if self.link else None
        paused = by_direction(entity_type)
        held = standstill(entity_type, self.link, paused=paused)
        self.board_trouble, self.held_until = held.words, held.until
        self.paused = {way: words(found, way) for way, found in paused.items()}
        ledgers = SyncMetadata.objects.filter(
            entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
        )
        self.ledgers = {ledger.entity_id: ledger for ledger in ledgers}
        self.rows: dict[UUID, list[SyncQueue]] = {}
        live = SyncQueue.objects.filter(entity_type=entity_type, entity_id__in=ids).exclude(
            status=QueueStatus.COMPLETED
        )
        for row in live.order_by("next_retry"):
            if row.entity_id:
                self.rows.setdefault(row.entity_id, []).append(row)

    def state(self, record: SyncedModel) -> RecordState:
        ledger = self.ledgers.get(str(record.pk))
        rows = self.rows.get(record.pk, [])
        waiting = next((row for row in rows if row.status == QueueStatus.PENDING), None)
        held = {key: reason_of(entry) for key, entry in (ledger.held if ledger else {}).items()}
        return RecordState(
            status=record.sync_status,
            ledger_status=self._ledger_status(record, ledger, rows),
            words=self._words(record, ledger, rows),
            next_try=self._next_try(waiting) if waiting else None,
            attempts=waiting.attempts if waiting else 0,
            item_url=item_url(self.link, record.monday_id) if self.link and record.monday_id else None,
            conflict_fields=tuple((ledger.conflicts if ledger else {}).get("fields", ())),
            held=held,
            refused=tuple(key for key, entry in (ledger.held if ledger else {}).items() if is_refused(entry)),
            fields=tuple(self._field(record, ledger, mapping) for mapping in self.mappings),
        )

    def _next_try(self, waiting: SyncQueue) -> datetime | None:
        """The later of the row's own time and the end of a pause; None where that is when a person resumes it."""
        if waiting.direction in self.paused:
            return None
        return max(waiting.next_retry, self.held_until) if self.held_until else waiting.next_retry

    def _ledger_status(
        self, record: SyncedModel, ledger: SyncMetadata | None, rows: Sequence[SyncQueue]
    ) -> str:
        if any(row.status == QueueStatus.IN_PROGRESS for row in rows):
            return SyncStatus.IN_PROGRESS
        if any(row.status == QueueStatus.PENDING for row in rows):
            return SyncStatus.PENDING
        if any(row.status == QueueStatus.FAILED for row in rows):
            return SyncStatus.FAILED
        return ledger.sync_status if ledger else SyncStatus.PENDING

    def _words(self, record: SyncedModel, ledger: SyncMetadata | None, rows: Sequence[SyncQueue]) -> str:
        """The first reason that fits, as a sentence; of a record in sync only what of it may differ."""
        if not record.may_sync:
            return (
                _("Sync is off for this record.")
                if not record.sync_enabled
                else _("Its direction is “no sync”.")
            )
        if record.sync_status == RecordSyncStatus.SYNCED:
            return self._left(ledger)
        found = [*self._of_rows(rows), *self._of_ledger(ledger)]
        if record.sync_status == RecordSyncStatus.CONFLICT:
            return found[0] if found else _("Both sides changed the same field differently.")
        return found[0] if found else self.board_trouble or _("It waits for its next look.")

    def _left(self, ledger: SyncMetadata | None) -> str:
        """What people have left in NPD: it counts as in sync, and the sides differ."""
        labels = {mapping.key: mapping.label for mapping in self.mappings}
        told = _("%(field)s differs from Monday’s: %(who)s left it in NPD.")
        left = [
            (key, entry[LEFT_BY])
            for key, entry in (ledger.held if ledger else {}).items()
            if LEFT_BY in entry
        ]
        return " ".join(told % {"field": labels.get(key, key), "who": by.get("who", "")} for key, by in left)

    def _of_rows(self, rows: Sequence[SyncQueue]) -> Iterable[str]:
        for row in rows:
            if row.status == QueueStatus.FAILED:
                given_up = _("Given up after %(attempts)s attempts: %(error)s Mend it, then retry.")
                yield given_up % {"attempts": row.attempts, "error": row.error_message}
            elif row.status == QueueStatus.IN_PROGRESS:
                yield _("It is being looked at right now.")
            elif self.board_trouble:
                yield self.board_trouble
            elif row.direction in self.paused:
                yield self.paused[row.direction]
            elif row.error_message:
                yield f"Attempt {row.attempts} of {row.max_attempts} failed: {row.error_message}"
            elif row.reason:
                yield row.reason

    def _of_ledger(self, ledger: SyncMetadata | None) -> Iterable[str]:
        if ledger is None:
            return
        if ledger.conflicts.get("delete") and ledger.note:
            yield ledger.note
        if names := ledger.conflicts.get("identity"):
            yield str(names[0])
        if fields := ledger.conflicts.get("fields"):
            labels = ", ".join(self._label(key) for key in fields)
            yield _("Changed on both sides: %(fields)s.") % {"fields": labels}
        if ledger.note:
            yield ledger.note
        for key, entry in [*ledger.held.items(), *ledger.altered.items()]:
            yield f"{self._label(key)}: {entry['reason']}"

    def _label(self, key: str) -> str:
        return next((mapping.label for mapping in self.mappings if mapping.key == key), key)

    def _field(self, record: SyncedModel, ledger: SyncMetadata | None, mapping: FieldMapping) -> FieldState:
        assert self.shown is not None
        entry: dict[str, Any] | None = (ledger.base if ledger else {}).get(mapping.key)
        notes = [ledger.held, ledger.altered] if ledger else []
        local, base_local, base_remote = self.shown.sides(record, mapping, entry)
        return FieldState(
            key=mapping.key,
            label=mapping.label,
            local=local,
            base_local=base_local,
            base_remote=base_remote,
            note=next((str(found[mapping.key]["reason"]) for found in notes if mapping.key in found), ""),
        )
