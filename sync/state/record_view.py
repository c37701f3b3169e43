"""How a record's sync stands, as pages, API and commands show it: state, reason, and each field on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast
from django.db.models.lookups import In

from sync import attention, choices
from sync.addresses import item_url
from sync.attention import Entry, Kind, Wording
from sync.boards.availability import Overview
from sync.fields.field_bases import last_seen_value, new_sync_state
from sync.fields.lookups import NOT_KNOWN, FieldDisplay, settings_with
from sync.kernel import humanize
from sync.limits.board_limits import BoardAvailability
from sync.merge import NO_SYNC
from sync.models import FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.models.records_and_items import KEPT_BY, is_blocking, is_rejected
from sync.monday.conversion import UnknownValue
from sync.words.message import Message, sentences


class RecordState(models.TextChoices):
    """The state of a record's sync, as badges, lists, filters, Home and the API show it."""

    SYNCED = "synced", "Synced"
    PENDING = "pending", "Pending"
    ATTENTION = "attention", "Needs attention"
    OFF = "off", "Sync off"


def filter_by_state(records: models.QuerySet[SyncedModel], state: str) -> models.QuerySet[SyncedModel]:
    """Return the records in this state."""
    return with_states(records).filter(models.Q(record_state=state))


def with_states(records: models.QuerySet[SyncedModel]) -> models.QuerySet[SyncedModel]:
    """Annotate each record with `record_state`, so that the query that reads a page of records reads it, too."""
    return records.annotate(record_state=_state_expression(records.model))


def state_counts(*queries: models.QuerySet[SyncedModel]) -> list[Counter[RecordState]]:
    """Count the records of each of these queries by state, in one query for all."""
    counted = []
    for place, records in enumerate(queries):
        rows = records.order_by().annotate(place=models.Value(place), record_state=_state_expression(records.model))
        counted.append(rows.values_list("place", "record_state").annotate(models.Count("pk")))
    counts = [Counter[RecordState]() for _ in queries]
    for place, state, number in counted[0].union(*counted[1:], all=True) if counted else ():
        counts[place][RecordState(state)] = number
    return counts


def _state_expression(model: type[models.Model], ids: Collection[UUID] | None = None) -> models.Case:
    """Return the SQL expression for a record's state, reading only what is about `ids` if given.

    A record waits for a person if it has a row in `sync_attention`. A pause changes no record's state.
    """
    entity_type = model.entity_type()  # type: ignore[attr-defined]
    among = {"entity_id__isnull": False} if ids is None else {"entity_id__in": ids}
    # A job that is tried again is a pending change.
    rows = attention.waiting().exclude(kind=Kind.FAILED, values__failures__gt=0)
    waiting = rows.filter(entity_type=entity_type, **among).values("entity_id")
    # A conflict whose resolution was chosen has no row.
    kinds_of_conflicts = [Kind.CONFLICT, Kind.DUPLICATE]
    has_conflict = models.Q(
        sync_status=choices.RecordSyncStatus.CONFLICT, pk__in=waiting.filter(kind__in=kinds_of_conflicts)
    )
    jobs = SyncQueue.objects.filter(entity_type=entity_type, **among).exclude(status=choices.QueueStatus.COMPLETED)
    # A column that can't be used is a problem of the board: it has one row, and the board's page says so. Only records
    # edited since then wait for it, not those that were made without it and have no base.
    column_rows = attention.waiting(kinds=[Kind.BLOCKED]).filter(
        entity_type=entity_type, entity_id=None, code=_field_value("blocked_fields", "code")
    )
    edited = column_rows.alias(
        local=_field_value("blocked_fields", "local"), agreed=_field_value("base", "local")
    ).filter(~models.Q(local=models.F("agreed")), local__isnull=False, agreed__isnull=False)
    sync_states = SyncMetadata.objects.of(entity_type, ids).exclude(blocked_fields={})
    only_without_column = sync_states.filter(models.Exists(column_rows), ~models.Exists(edited))
    # The sync state has ids as text. Compared as text, all of them are read once, by the index.
    pk_as_text = Cast(models.F("pk"), models.TextField())
    # The first that fits counts.
    states = [
        (models.Q(sync_status=choices.RecordSyncStatus.SYNCED), RecordState.SYNCED),
        (models.Q(sync_status=choices.RecordSyncStatus.DISABLED), RecordState.OFF),
        (has_conflict | models.Q(pk__in=waiting.exclude(kind__in=kinds_of_conflicts)), RecordState.ATTENTION),
        (models.Q(pk__in=jobs.values("entity_id")), RecordState.PENDING),
        (models.Q(In(pk_as_text, only_without_column.values("entity_id"))), RecordState.SYNCED),
        # It never gets an item, so it waits for nothing.
        (models.Q(monday_id=None, sync_direction=choices.SyncDirection.MONDAY_TO_NPD), RecordState.OFF),
    ]
    return models.Case(
        *(models.When(condition, then=models.Value(state.value)) for condition, state in states),
        default=models.Value(RecordState.PENDING.value),
        output_field=models.CharField(),
    )


def _field_value(column: str, key: str) -> models.Func:
    """Return the SQL expression for a value of an attention row's field in a JSON column of the outer sync state."""
    return models.Func(
        models.OuterRef(column), models.F("field"), models.Value(key),
        function="jsonb_extract_path_text", output_field=models.TextField(),
    )  # fmt: skip


class FieldReason(StrEnum):
    """Why a field of a record is in its state."""

    IN_SYNC = "in_sync"
    KEPT_DIFFERENT = "kept_different"
    RELATION_SKIPPED = "relation_skipped"
    NO_BASE = "no_base"
    NPD_CHANGED = "npd_changed"
    MONDAY_CHANGED = "monday_changed"
    BOTH_CHANGED = "both_changed"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    NOT_SYNCED = "not_synced"


@dataclass(frozen=True)
class FieldView:
    """A mapped field as displayed: NPD's value, both halves of the base, Monday's last known value, and its state."""

    key: str
    label: str
    local: str
    base_local: str
    base_remote: str
    remote: str
    read_at: datetime | None  # when a pass last knew that Monday has this value; None if it was never read
    reason_code: FieldReason
    detail: str  # the stored reason
    names: tuple[str, ...] = ()  # the record's own fields


class RecordView:
    """How a record's sync stands: its state, the reason, the next attempt, and each field on both sides.

    A pass may change the record while a page is made, so every sentence follows `state`, not the stored status.
    """

    def __init__(self, record: SyncedModel, page: _Page) -> None:
        self.record = record
        self._page = page

    @cached_property
    def sync_state(self) -> SyncMetadata:
        """The record's sync state; unsaved before its first pass, with the values that the database would give it."""
        stored = self._page.sync_states.get(str(self.record.pk))
        return stored or new_sync_state(self.record.entity_type(), self.record.pk)

    @property
    def _jobs(self) -> Sequence[SyncQueue]:
        return self._page.jobs.get(self.record.pk, [])

    @cached_property
    def state(self) -> RecordState:
        return RecordState(self._page.states.get(self.record.pk, RecordState.PENDING))

    @property
    def entries(self) -> Sequence[Entry]:
        """What waits for a person, the gravest first."""
        return self._page.entries.get(self.record.pk, ())

    @property
    def is_explained_by_entries(self) -> bool:
        """Whether the first entry is the reason of the state: something of the record, or a column of its board."""
        if not self.entries:
            return False
        if self.state is RecordState.PENDING:
            # Without a job, it waits for its entry, such as a column that can't be used.
            return not self.stop_reason and (self.entries[0].is_being_retried or not self._jobs)
        is_about_board = self.entries[0].entity_id is None
        return self.state is RecordState.ATTENTION or (self.state is RecordState.SYNCED and is_about_board)

    @property
    def other_entries(self) -> Sequence[Entry]:
        """The entries beside the reason."""
        return self.entries[1:] if self.is_explained_by_entries else self.entries

    @property
    def has_failed(self) -> bool:
        """Whether all attempts failed, so that nothing happens before a person acts."""
        first = self.entries[0] if self.state is RecordState.ATTENTION and self.entries else None
        return first is not None and first.kind is Kind.FAILED and not first.is_being_retried

    @property
    def reason(self) -> str:
        """The reason of the state, in sentences; empty for a record in sync, unless fields are kept different.

        Pages show the next attempt beside it, and why a board is stopped above it.
        """
        if self.is_explained_by_entries:
            return self.entries[0].sentence
        if self.state is RecordState.SYNCED:
            labels = {mapping.key: mapping.label for mapping in self._page.mappings}
            return sentences(
                *(
                    Message("kept_different", label=labels.get(key, key), by=entry[KEPT_BY].get("who", ""))
                    for key, entry in self.sync_state.blocked_fields.items()
                    if KEPT_BY in entry
                )
            )
        if self.state is RecordState.OFF:
            if not self.record.sync_enabled:
                return Message("sync_is_off")
            if not self.record.may_sync:
                return Message("left_by_rule", rule=NO_SYNC)
            why = Message("filter_leaves_it_out")
            if self.record.sync_direction == choices.SyncDirection.MONDAY_TO_NPD and not self.record.monday_id:
                why = Message("only_to_npd_without_item")
            return self.sync_state.note or why
        return humanize.without_request_id(self._why_pending)

    @property
    def _why_pending(self) -> str:
        job = next(iter(self._jobs), None)
        if job is not None and job.status == choices.QueueStatus.IN_PROGRESS:
            return Message("being_synced")
        # Without a job, its last pass held it back, which the end of a stop doesn't change.
        if self._page.board.detail and (job is not None or not self.sync_state.note):
            return self._page.board.detail
        reason = self._page.boards.reason_of(job) if job is not None else ""
        if job is not None and reason and reason == job.error_message:
            return Message("attempt_failed", number=job.attempts, most=job.max_attempts, error=reason)
        return reason or self.sync_state.note or Message("change_waits")

    @property
    def attempts(self) -> str:
        """How many attempts its job took, of how many; empty before the first."""
        job = next(iter(self._jobs), None)
        return f"{job.attempts} of {job.max_attempts} attempts" if job is not None and job.attempts else ""

    @property
    def stop_reason(self) -> str:
        """Why nothing is sent to Monday now even on a person's click: a pause, a stop, or a missing set-up."""
        board = self._page.board
        # A person's click may use the reserve of the quota, and skips batching.
        return "" if board.waits_for_quota else humanize.without_request_id(board.detail)

    @property
    def is_connected(self) -> bool:
        return self._page.board.is_set_up

    @property
    def now(self) -> datetime:
        """The time at which all of this was read."""
        return self._page.boards.now

    @property
    def next_try(self) -> datetime | None:
        """The later of the job's time and the end of a stop; None during a pass or a pause."""
        return self._page.boards.next_attempt(self._next_job) if self._next_job else None

    @property
    def _next_job(self) -> SyncQueue | None:
        """Its first pending job; None during a pass."""
        if any(job.status == choices.QueueStatus.IN_PROGRESS for job in self._jobs):
            return None
        return next((job for job in self._jobs if job.status == choices.QueueStatus.PENDING), None)

    @property
    def next_try_words(self) -> str:
        """When the next attempt comes; empty if none is planned, or the reason says when."""
        if self.record.sync_status != choices.RecordSyncStatus.PENDING or self.stop_reason:
            return ""
        if self._next_job is None or any(entry.kind is Kind.REMOVED for entry in self.entries):
            return ""
        return self._page.boards.next_attempt_words(self._next_job)

    @property
    def item_url(self) -> str | None:
        link = self._page.board.link
        item = self.record.monday_id
        return item_url(link, item) if link and item else None

    @property
    def without_column(self) -> Sequence[str]:
        return self._page.without_column[self.record.pk]

    @cached_property
    def fields(self) -> tuple[FieldView, ...]:
        """The mapped fields; related records are read for all records of the page at once."""
        return tuple(self._field(mapping) for mapping in self._page.mappings)

    def _field(self, mapping: FieldMapping) -> FieldView:
        # A base of another item or column doesn't count.
        entry: dict[str, Any] | None = self.sync_state.base.get(mapping.key)
        is_current = entry and mapping.is_current(entry) and self.record.monday_id in (None, entry["item"])
        key = mapping.key
        base = entry if is_current else None
        local = self._page.display.current(self.record, mapping)
        base_local, base_remote = self._page.display.base_sides(self.record, mapping, base) if base else ("", "")
        remote, read_at = self._known_remote(mapping, base, base_remote)
        direction = choices.common_direction(self.record.sync_direction, mapping.direction)
        is_synced = bool(mapping.column_id) and direction is not choices.SyncDirection.NONE
        reason = self._blocked_reason(key) if is_synced else FieldReason.NOT_SYNCED
        if reason is None:
            reason = FieldReason.NO_BASE if base is None else _compared((local, base_local), (remote, base_remote))
        remark = self.sync_state.blocked_fields.get(key) or self.sync_state.altered.get(key)
        return FieldView(
            key=key,
            label=mapping.label,
            local=local,
            base_local=base_local,
            base_remote=base_remote,
            remote=remote,
            read_at=read_at,
            reason_code=reason,
            detail=str(remark["reason"]) if remark else "",
            names=tuple(mapping.fields),
        )

    def _blocked_reason(self, key: str) -> FieldReason | None:
        """Return why a field waits for a person, or is kept different; None if neither."""
        entry = self.sync_state.blocked_fields.get(key)
        # A conflict whose resolution was chosen already asks for nothing.
        questions = {value.key for entry in self.entries if entry.kind is Kind.CONFLICT for value in entry.values}
        if key in questions.intersection(self.sync_state.conflicts.get("fields", ())):
            return FieldReason.CONFLICT
        if entry is None:
            return None
        if KEPT_BY in entry:
            return FieldReason.KEPT_DIFFERENT
        if not is_blocking(entry):
            return FieldReason.RELATION_SKIPPED
        return FieldReason.REJECTED if is_rejected(entry) else FieldReason.BLOCKED

    def _known_remote(
        self, mapping: FieldMapping, base: Mapping[str, Any] | None, base_remote: str
    ) -> tuple[str, datetime | None]:
        """Return Monday's last known value and the time of that knowledge.

        That is the base, or what a pass has read since of a field that it couldn't sync: one that is blocked or in
        conflict, or was when the sync was turned off or its conflict closed.
        """
        key = mapping.key
        agreed_at = datetime.fromisoformat(base["at"]) if base and "at" in base else None
        is_left = key in self.sync_state.blocked_fields or key in self.sync_state.conflicts.get("fields", ())
        # A base that doesn't count is of another column, and so is what was read then.
        is_left |= self.state is RecordState.OFF or (base is None and key not in self.sync_state.base)
        if not is_left:
            moments = (agreed_at, self.sync_state.last_successful_sync) if base else ()
            return base_remote, max((moment for moment in moments if moment), default=None)
        seen = last_seen_value(self.sync_state, key)
        read_at = datetime.fromisoformat(seen.at) if seen else None
        if seen is None or read_at is None or (agreed_at is not None and agreed_at >= read_at):
            return base_remote, agreed_at
        converter = self._page.display.board.converter(mapping, self.record)
        try:
            return converter.display_remote(seen.value), read_at
        except UnknownValue:
            return base_remote, agreed_at


def _compared(npd: tuple[str, str], monday: tuple[str, str]) -> FieldReason:
    """Compare what each side shows now with what it showed when both were in sync."""
    if NOT_KNOWN in (*npd, *monday):
        return FieldReason.UNKNOWN
    npd_changed = npd[0] != npd[1]
    monday_changed = monday[0] != monday[1]
    if npd_changed and monday_changed:
        return FieldReason.BOTH_CHANGED
    if npd_changed:
        return FieldReason.NPD_CHANGED
    return FieldReason.MONDAY_CHANGED if monday_changed else FieldReason.IN_SYNC


def views_of(records: Sequence[SyncedModel], boards: Overview | None = None) -> dict[UUID, RecordView]:
    """Return the views of records of one model, in a few queries; pass `boards` if the overview was read already."""
    page = _Page(records, boards) if records else None
    return {record.pk: RecordView(record, page) for record in records} if page else {}


def view_of(record: SyncedModel) -> RecordView:
    return views_of([record])[record.pk]


class _Page:
    """The rows that the views of some records of one model share; each table is read once, when first needed."""

    def __init__(self, records: Sequence[SyncedModel], boards: Overview | None = None) -> None:
        entity_type = records[0].entity_type()
        self.boards = boards or Overview()
        self._ids = [record.pk for record in records]
        self._records = records
        self._entity_type = entity_type

    @cached_property
    def sync_states(self) -> Mapping[str, SyncMetadata]:
        return {
            sync_state.entity_id: sync_state for sync_state in SyncMetadata.objects.of(self._entity_type, self._ids)
        }

    @cached_property
    def jobs(self) -> Mapping[UUID, Sequence[SyncQueue]]:
        """The records' jobs that are not completed, the soonest due first."""
        jobs: dict[UUID, list[SyncQueue]] = {}
        rows = SyncQueue.objects.filter(entity_type=self._entity_type, entity_id__in=self._ids)
        for job in rows.exclude(status=choices.QueueStatus.COMPLETED).order_by("next_retry"):
            if job.entity_id:
                jobs.setdefault(job.entity_id, []).append(job)
        return jobs

    @cached_property
    def states(self) -> Mapping[UUID, str]:
        """The records' states, by the same SQL as lists and counts."""
        if all(hasattr(record, "record_state") for record in self._records):
            return {record.pk: record.record_state for record in self._records}  # type: ignore[attr-defined]  # with_states
        model = type(self._records[0])
        rows = model.objects.filter(pk__in=self._ids).order_by()
        return dict(rows.values_list("pk", _state_expression(model, self._ids)))

    @cached_property
    def board(self) -> BoardAvailability:
        return self.boards.for_display(self.boards.availability(self._entity_type))

    @cached_property
    def without_column(self) -> Mapping[UUID, Sequence[str]]:
        """The keys of each record's fields that have no fitting column on the board."""
        keys_of = {record.pk: list[str]() for record in self._records}
        for sync_state in self.sync_states.values():
            keys_of[UUID(sync_state.entity_id)] = [
                key
                for key, entry in sync_state.blocked_fields.items()
                if entry.get("code") == choices.BlockedCode.COLUMN
            ]
        return keys_of

    @cached_property
    def entries(self) -> Mapping[UUID, Sequence[Entry]]:
        """What waits for a person, by record; records that wait for the same column share one entry."""
        names = {record.pk: str(record) for record in self._records}
        mappings = {(self._entity_type, mapping.key): mapping for mapping in self.mappings}
        return attention.on_records(self._entity_type, self.without_column, names, Wording(mappings))

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        return list(self.board.link.mappings.all()) if self.board.link else []

    @cached_property
    def display(self) -> FieldDisplay:
        assert self.board.link is not None
        return FieldDisplay(self.board.link, self.mappings, self._records, settings_with(self.boards.account))
