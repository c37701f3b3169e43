"""How a record's sync stands, as pages, API and commands show it: state, reason, and each field on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast
from django.db.models.lookups import In
from django.utils.text import capfirst

from sync import attention, choices
from sync.attention import Entry, Kind, Wording
from sync.kernel import humanize
from sync.merge import NO_SYNC
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.monday.conversion import UnknownValue
from sync.outbox.pauses import Pause
from sync.reconcile.lookups import settings_with
from sync.records.availability import BoardAvailability, Overview
from sync.records.blocked_fields import KEPT_BY, is_blocking, is_rejected
from sync.registry import EntitySpec, item_url
from sync.state.record_fields import NOT_KNOWN, FieldDisplay


class RecordState(models.TextChoices):
    """The state of a record's sync, as badges, lists, filters, Home and the API show it."""

    SYNCED = "synced", "Synced"
    PENDING = "pending", "Pending"
    ATTENTION = "attention", "Needs attention"
    OFF = "off", "Sync off"


class StateReason(models.TextChoices):
    """Why a record is in its state."""

    IN_SYNC = "in_sync", "Both ways"
    TO_MONDAY = "to_monday", "One way, to Monday"
    TO_NPD = "to_npd", "One way, to NPD"
    PENDING = "pending", "Pending"
    CONFLICT = "conflict", "Conflict"
    FAILED = "failed", "Failed"
    APPROVAL = "approval", "Waits for approval"
    GONE = "gone", "Removed on Monday"
    BLOCKED = "blocked", "Rejected or blocked fields"
    COLUMN = "column", "Fields blocked by their column"
    SYNC_OFF = "sync_off", "Turned off"
    NO_SYNC = "no_sync", "Direction “Sync off”"
    LEFT_OUT = "left_out", "Left out by the filter"

    @property
    def state(self) -> RecordState:
        return next(state for state, reasons in REASONS_OF_STATE.items() if self in reasons)


REASONS_OF_STATE: Mapping[RecordState, tuple[StateReason, ...]] = {
    # A column that can't be used is a problem of the board, and the board's page says so.
    RecordState.SYNCED: (StateReason.IN_SYNC, StateReason.TO_MONDAY, StateReason.TO_NPD, StateReason.COLUMN),
    RecordState.PENDING: (StateReason.PENDING,),
    RecordState.ATTENTION: (
        StateReason.CONFLICT,
        StateReason.FAILED,
        StateReason.APPROVAL,
        StateReason.GONE,
        StateReason.BLOCKED,
    ),
    RecordState.OFF: (StateReason.SYNC_OFF, StateReason.NO_SYNC, StateReason.LEFT_OUT),
}

_ONE_WAY = {
    choices.SyncDirection.NPD_TO_MONDAY: StateReason.TO_MONDAY,
    choices.SyncDirection.MONDAY_TO_NPD: StateReason.TO_NPD,
}


def filter_by_state(records: models.QuerySet[SyncedModel], state: str) -> models.QuerySet[SyncedModel]:
    """Return the records in this state, or all if there is no such state."""
    if state not in RecordState.values:
        return records
    return with_state_reasons(records).filter(models.Q(state_reason__in=REASONS_OF_STATE[RecordState(state)]))


def with_state_reasons(records: models.QuerySet[SyncedModel]) -> models.QuerySet[SyncedModel]:
    """Annotate each record with `state_reason`, so that the query that reads a page of records reads it, too."""
    return records.annotate(state_reason=_state_reason(records.model))


def counts_by_state(counts: Mapping[StateReason, int]) -> dict[RecordState, int]:
    """Return the number of records in each state, from the numbers by reason."""
    return {state: sum(counts.get(reason, 0) for reason in reasons) for state, reasons in REASONS_OF_STATE.items()}


def state_counts(records: models.QuerySet[SyncedModel]) -> Counter[RecordState]:
    """Count these records by state, in one query."""
    rows = records.order_by().values_list(_state_reason(records.model)).annotate(number=models.Count("pk"))
    counts: Counter[RecordState] = Counter()
    for reason, number in rows:
        counts[StateReason(reason).state] += number
    return counts


def counts_by_reason(specs: Iterable[EntitySpec]) -> dict[str, dict[StateReason, int]]:
    """Count the records of these types by type and reason, in one query."""
    queries = []
    for spec in specs:
        records = spec.model._default_manager.order_by().annotate(
            board=models.Value(spec.entity_type, models.CharField()), state_reason=_state_reason(spec.model)
        )
        queries.append(records.values_list("board", "state_reason").annotate(number=models.Count("pk")))
    if not queries:
        return {}
    rows = queries[0].union(*queries[1:], all=True) if len(queries) > 1 else queries[0]
    counts: dict[str, dict[StateReason, int]] = {}
    for entity_type, name, number in rows:
        counts.setdefault(entity_type, {})[StateReason(name)] = number
    return counts


def _state_reason(model: type[models.Model], ids: Collection[UUID] | None = None) -> models.Case:
    """Return the SQL expression for why a record is in its state, reading only what is about `ids` if given."""
    cases = [
        models.When(models.Q(sync_status__in=statuses) & condition, then=models.Value(reason.value))
        for statuses, reason, condition in _rules(model, ids)
    ]
    return models.Case(*cases, default=models.Value(StateReason.PENDING.value), output_field=models.CharField())


def _rules(
    model: type[models.Model], ids: Collection[UUID] | None
) -> list[tuple[list[choices.RecordSyncStatus], StateReason, models.Q]]:
    """Return the rules in order, the first that fits counts: the stored statuses, the reason, and its condition.

    A record waits for a person if it has a row in the view `sync_attention`. A pause changes no record's state.
    """
    entity_type = model.entity_type()  # type: ignore[attr-defined]
    among = {"entity_id__isnull": False} if ids is None else {"entity_id__in": ids}

    def waits_as(*kinds: Kind, **values: Any) -> models.Q:
        rows = attention.waiting(kinds=kinds).filter(entity_type=entity_type, **among, **values)
        return models.Q(pk__in=rows.values("entity_id"))

    # A column that can't be used has one row for the whole board. Only records edited since then wait for it, not those
    # that were made without it and have no base.
    column_rows = attention.waiting(kinds=[Kind.BLOCKED]).filter(
        entity_type=entity_type, entity_id=None, code=_of_field("blocked_fields", "code")
    )
    edited = column_rows.alias(local=_of_field("blocked_fields", "local"), agreed=_of_field("base", "local")).filter(
        ~models.Q(local=models.F("agreed")), local__isnull=False, agreed__isnull=False
    )
    sync_states = SyncMetadata.objects.of(entity_type, ids).exclude(blocked_fields={})
    only_without_column = sync_states.filter(models.Exists(column_rows), ~models.Exists(edited))
    jobs = SyncQueue.objects.filter(entity_type=entity_type, **among).exclude(status=choices.QueueStatus.COMPLETED)
    # The sync state has ids as text. Compared as text, all of them are read once, by the index.
    pk_as_text = Cast(models.F("pk"), models.TextField())
    asked = waits_as(Kind.CONFLICT, Kind.DUPLICATE)
    synced = [choices.RecordSyncStatus.SYNCED]
    disabled = [choices.RecordSyncStatus.DISABLED]
    conflict = [choices.RecordSyncStatus.CONFLICT]
    changing = [*conflict, choices.RecordSyncStatus.PENDING]
    return [
        *((synced, reason, models.Q(sync_direction=direction)) for direction, reason in _ONE_WAY.items()),
        (synced, StateReason.IN_SYNC, models.Q()),
        (disabled, StateReason.SYNC_OFF, models.Q(sync_enabled=False)),
        (disabled, StateReason.NO_SYNC, models.Q(sync_direction=choices.SyncDirection.NONE)),
        (disabled, StateReason.LEFT_OUT, models.Q()),
        (conflict, StateReason.GONE, waits_as(Kind.REMOVED) & ~asked),
        (conflict, StateReason.CONFLICT, asked),
        # A conflict whose resolution was chosen is like any pending change.
        # Zero failures in a row: all attempts are used up. A job that is tried again is a pending change.
        (changing, StateReason.FAILED, waits_as(Kind.FAILED, values__failures=0)),
        (changing, StateReason.APPROVAL, waits_as(Kind.APPROVAL)),
        (changing, StateReason.GONE, waits_as(Kind.REMOVED)),
        (changing, StateReason.BLOCKED, waits_as(Kind.REJECTED, Kind.BLOCKED)),
        (changing, StateReason.PENDING, models.Q(pk__in=jobs.values("entity_id"))),
        (changing, StateReason.COLUMN, models.Q(In(pk_as_text, only_without_column.values("entity_id")))),
        (changing, StateReason.PENDING, models.Q()),
    ]


def _of_field(column: str, key: str) -> models.Func:
    """Return the SQL expression for a value of an attention row's field in a JSON column of the outer sync state."""
    return models.Func(
        models.OuterRef(column), models.F("field"), models.Value(key),
        function="jsonb_extract_path_text", output_field=models.TextField(),
    )  # fmt: skip


# The length of an entry [value, when] of the sync state's `seen`, which a pass read; a lost edit's has a third part.
_READING_PARTS = 2

# States of an item, in the sync state, in which nothing can be written to it.
UNWRITABLE_STATES = ("archived", "deleted", "missing", "moved", "inactive")


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

    @property
    def state(self) -> RecordState:
        return next((state for state, reasons in _FIELD_STATES.items() if self in reasons), RecordState.PENDING)


_FIELD_STATES = {
    RecordState.SYNCED: (FieldReason.IN_SYNC, FieldReason.KEPT_DIFFERENT, FieldReason.RELATION_SKIPPED),
    RecordState.ATTENTION: (FieldReason.CONFLICT, FieldReason.REJECTED, FieldReason.BLOCKED),
    RecordState.OFF: (FieldReason.NOT_SYNCED,),
}


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
    to_monday: bool
    to_npd: bool
    rule: choices.Rule  # what decides if both sides changed
    names: tuple[str, ...] = ()  # the record's own fields

    @property
    def state(self) -> RecordState:
        return self.reason_code.state


class RecordView:
    """How a record's sync stands: its state, the reason, the next attempt, and each field on both sides.

    Pages and the API show `state`. A pass may change the record while a page is made, so every sentence follows it, not
    the record's stored status.
    """

    def __init__(self, record: SyncedModel, page: _Page) -> None:
        self.record = record
        self._page = page

    @cached_property
    def sync_state(self) -> SyncMetadata:
        """The record's sync state; unsaved before its first pass, with the values that the database would give it."""
        return self._page.sync_states.get(str(self.record.pk)) or SyncMetadata(
            base={},
            blocked_fields={},
            altered={},
            conflicts={},
            seen={},
            note="",
            sync_status=choices.SyncStatus.PENDING,
        )

    @property
    def _jobs(self) -> Sequence[SyncQueue]:
        return self._page.jobs.get(self.record.pk, [])

    @property
    def _pending(self) -> SyncQueue | None:
        return next((job for job in self._jobs if job.status == choices.QueueStatus.PENDING), None)

    @cached_property
    def reason_code(self) -> StateReason:
        return StateReason(self._page.state_reasons.get(self.record.pk, StateReason.PENDING))

    @property
    def _blocked_entries(self) -> dict[str, dict[str, Any]]:
        """The blocked fields without those whose column is back, because these are being synced again."""
        blocked: dict[str, dict[str, Any]] = self.sync_state.blocked_fields
        by_column = {key for key, entry in blocked.items() if entry.get("code") == choices.BlockedCode.COLUMN}
        if not by_column:  # most records, for which no mappings have to be read
            return blocked
        usable = {mapping.key for mapping in self._page.mappings if mapping.has_usable_column}
        return {key: entry for key, entry in blocked.items() if key not in by_column & usable}

    @property
    def state(self) -> RecordState:
        return self.reason_code.state

    @property
    def entries(self) -> Sequence[Entry]:
        """What waits for a person, the gravest first; of several jobs that are tried again, the next one."""
        entries = self._page.entries.get(self.record.pk, ())
        retried = {entry.job for entry in entries if entry.is_being_retried}
        if len(retried) < 2:
            return entries
        # A job for each direction, with different attempts and times: two sentences would contradict each other.
        following = next((job.pk for job in self._jobs if job.pk in retried), max(retried))
        return [entry for entry in entries if not entry.is_being_retried or entry.job == following]

    @property
    def is_explained_by_entries(self) -> bool:
        """Whether the first entry is the reason of the state: something of the record, or a column of its board."""
        is_asked = self.state is RecordState.ATTENTION or self.reason_code is StateReason.COLUMN
        return is_asked or self._is_retried

    @property
    def reason(self) -> str:
        """The reason of the state as a sentence; pages show the next attempt beside it, and a stop's end above it."""
        if self.is_explained_by_entries:
            sentence = self.entries[0].sentence if self.entries else ""
            if self._is_retried and self.pause:
                return f"Waits: paused; {sentence.removeprefix(attention.RETRYING)}"
            return sentence
        is_resolved = (
            self.reason_code is StateReason.PENDING and self.record.sync_status == choices.RecordSyncStatus.CONFLICT
        )
        if is_resolved and not self.stop:
            return "Saving what was chosen for its conflict."
        sentence = humanize.without_request_id(self.explanation)
        # The page shows the rest of the stop's reason above all records.
        if self.stop and self.state is not RecordState.SYNCED and sentence.startswith(self.stop):
            return self.stop
        return sentence

    @property
    def _is_retried(self) -> bool:
        """Whether nothing but the next attempt of a job is awaited, or the end of a pause."""
        is_stopped = bool(self.stop_reason) and self.pause is None
        return not is_stopped and bool(self.entries) and self.entries[0].is_being_retried

    @property
    def other_entries(self) -> Sequence[Entry]:
        """The entries beside the reason."""
        return self.entries[1:] if self.is_explained_by_entries else self.entries

    @property
    def stop(self) -> str:
        """Why nothing is sent to Monday now, in one sentence; for a person's pause the whole reason."""
        return self.stop_reason if self.pause else humanize.first_sentence(self.stop_reason)

    @property
    def has_failed(self) -> bool:
        """Whether all attempts failed, so that nothing happens before a person acts."""
        return self.reason_code is StateReason.FAILED

    @property
    def agrees(self) -> bool:
        """Whether both sides are the same, without a remark."""
        return self.state is RecordState.SYNCED and not self.reason

    @property
    def request_ids(self) -> list[str]:
        """The ids of the requests to Monday that the reason names, for administrators."""
        return humanize.request_ids(self.explanation)

    @property
    def now(self) -> datetime:
        """The time at which all of this was read."""
        return self._page.boards.now

    @property
    def next_try_words(self) -> str:
        """When the next attempt comes; empty if none is planned, or the reason says when."""
        if self.record.sync_status != choices.RecordSyncStatus.PENDING or self.stop_reason:
            return ""
        moment = self.next_try
        if moment is None or any(entry.kind is Kind.REMOVED for entry in self.entries):
            return ""
        return "now" if moment <= self.now else humanize.relative_time(moment, self.now)

    @property
    def attempts(self) -> int:
        return self._pending.attempts if self._pending else 0

    @property
    def next_try(self) -> datetime | None:
        """The later of the job's time and the end of a stop; None during a pass or a pause."""
        job = self._pending
        if job is None or any(job.status == choices.QueueStatus.IN_PROGRESS for job in self._jobs):
            return None
        board = self._page.board
        if board.pause is not None:
            return None
        return max(job.next_retry, board.until or job.next_retry)

    @property
    def stop_reason(self) -> str:
        """Why nothing is sent to Monday now even on a person's click: a pause, a stop, or a missing set-up."""
        board = self._page.board
        # A person's click may use the reserve of the quota, and skips batching.
        return "" if board.waits_for_quota else humanize.without_request_id(board.detail)

    @property
    def pause(self) -> Pause | None:
        """A person's pause of the board, or of all boards."""
        return self._page.board.pause

    @property
    def is_connected(self) -> bool:
        return self._page.board.is_set_up

    @property
    def removed_item(self) -> str:
        """The state of an item that the last pass found to have left the board, such as “archived”; else empty."""
        state = self.sync_state.remote_state
        return state if self.record.monday_id and self.record.may_sync and state in UNWRITABLE_STATES else ""

    @property
    def failed_jobs(self) -> tuple[int, ...]:
        return tuple(job.pk for job in self._jobs if job.status == choices.QueueStatus.FAILED)

    @property
    def item_url(self) -> str | None:
        link = self._page.link
        item = self.record.monday_id
        return item_url(link, item) if link and item else None

    @property
    def conflict_fields(self) -> tuple[str, ...]:
        """The fields in conflict, without those whose resolution was chosen already."""
        asked = {value.key for entry in self.entries if entry.kind is Kind.CONFLICT for value in entry.values}
        return tuple(key for key in self.sync_state.conflicts.get("fields", ()) if key in asked)

    @property
    def spellings(self) -> Mapping[str, str]:
        """The displayed texts of fields that are stored in another spelling, by field."""
        return self._page.display.spellings(self.record) if self._page.link else {}

    @property
    def mappings(self) -> Sequence[FieldMapping]:
        return self._page.mappings

    @property
    def labels(self) -> Mapping[str, str]:
        return {mapping.key: mapping.label for mapping in self.mappings}

    @property
    def without_column(self) -> Sequence[str]:
        return self._page.without_column[self.record.pk]

    @property
    def explanation(self) -> str:
        """Why it isn't in sync, without what waits for a person; for a record in sync, the fields kept different."""
        if self.reason_code is StateReason.SYNC_OFF:
            return "Sync is off for this record."
        if self.reason_code is StateReason.NO_SYNC:
            return f"{capfirst(NO_SYNC)}."
        if self.reason_code is StateReason.LEFT_OUT:
            return self.sync_state.note or "The filter leaves it out."
        if self.state is RecordState.SYNCED and self.reason_code is not StateReason.COLUMN:
            return " ".join(
                f"{self.labels.get(key, key)} differs: {entry[KEPT_BY].get('who', '')} left both as they are."
                for key, entry in self.sync_state.blocked_fields.items()
                if KEPT_BY in entry
            )
        reason = next((text for text in self._reasons() if text), "")
        return reason or self._page.board.detail or "A change is waiting for its next sync."

    def _reasons(self) -> Iterator[str]:
        for job in self._jobs:
            if job.status == choices.QueueStatus.FAILED:
                yield job.error_message
            elif job.status == choices.QueueStatus.IN_PROGRESS:
                yield "It is being synced right now."
            elif reason := self._page.board.detail:
                yield reason
            elif job.error_message:
                yield f"Attempt {job.attempts} of {job.max_attempts} failed: {job.error_message}"
            else:
                yield job.reason
        yield self.sync_state.note
        for key, entry in [*self._blocked_entries.items(), *self.sync_state.altered.items()]:
            yield f"{self.labels.get(key, key)}: {entry['reason']}"

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
        if not mapping.column_id:
            direction = choices.SyncDirection.NONE
        is_synced = direction is not choices.SyncDirection.NONE
        reason = self._blocked_reason(key) if is_synced else FieldReason.NOT_SYNCED
        if reason is None:
            reason = FieldReason.NO_BASE if base is None else _compared((local, base_local), (remote, base_remote))
        details = [
            entries[key]["reason"] for entries in (self._blocked_entries, self.sync_state.altered) if key in entries
        ]
        if key in self.sync_state.blocked_fields and not details:
            details = ["Its column is back, or was replaced: the value is on its way."]
        return FieldView(
            key=key,
            label=mapping.label,
            local=local,
            base_local=base_local,
            base_remote=base_remote,
            remote=remote,
            read_at=read_at,
            reason_code=reason,
            detail=str(details[0]) if details else "",
            to_monday=direction.sends,
            to_npd=direction.receives,
            rule=choices.Rule(mapping.rule),
            names=tuple(mapping.fields),
        )

    def _blocked_reason(self, key: str) -> FieldReason | None:
        """Return why a field waits for a person, or is kept different; None if neither."""
        entry = self._blocked_entries.get(key)
        if key in self.conflict_fields:
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

        That is the base, or for a blocked or conflicting field what a pass has read since.
        """
        key = mapping.key
        agreed_at = datetime.fromisoformat(base["at"]) if base and "at" in base else None
        if key not in self.sync_state.blocked_fields and key not in self.sync_state.conflicts.get("fields", ()):
            moments = (agreed_at, self.sync_state.last_successful_sync) if base else ()
            return base_remote, max((moment for moment in moments if moment), default=None)
        readings = [reading for reading in self.sync_state.seen.get(key, ()) if len(reading) == _READING_PARTS]
        raw, when = readings[-1] if readings else (None, "")
        read_at = datetime.fromisoformat(when) if when else None
        if read_at is None or (agreed_at is not None and agreed_at >= read_at):
            return base_remote, agreed_at
        convert = self._page.display.board.converter(mapping, self.record)
        try:
            return convert.display(convert.canonical_remote(raw)), read_at
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


def describe(records: Sequence[SyncedModel], boards: Overview | None = None) -> dict[UUID, RecordView]:
    """Return the views of records of one model, in a few queries; pass `boards` if the overview was read already."""
    page = _Page(records, boards) if records else None
    return {record.pk: RecordView(record, page) for record in records} if page else {}


def describe_one(record: SyncedModel, boards: Overview | None = None) -> RecordView:
    return describe([record], boards)[record.pk]


class _Page:
    """The rows that the views of some records of one model share; each table is read once, when first needed."""

    def __init__(self, records: Sequence[SyncedModel], boards: Overview | None = None) -> None:
        entity_type = records[0].entity_type()
        self.boards = boards or Overview([entity_type])
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
        """The records' jobs that are not completed, those due first before others."""
        jobs: dict[UUID, list[SyncQueue]] = {}
        rows = SyncQueue.objects.filter(entity_type=self._entity_type, entity_id__in=self._ids)
        for job in rows.exclude(status=choices.QueueStatus.COMPLETED).order_by("next_retry"):
            if job.entity_id:
                jobs.setdefault(job.entity_id, []).append(job)
        return jobs

    @cached_property
    def state_reasons(self) -> Mapping[UUID, str]:
        """Why each record is in its state, by the same SQL as lists and counts."""
        if all(hasattr(record, "state_reason") for record in self._records):
            return {record.pk: record.state_reason for record in self._records}  # type: ignore[attr-defined]  # with_state_reasons
        model = type(self._records[0])
        rows = model._default_manager.filter(pk__in=self._ids).order_by()
        return dict(rows.annotate(state_reason=_state_reason(model, self._ids)).values_list("pk", "state_reason"))

    @cached_property
    def board(self) -> BoardAvailability:
        return self.boards.for_display(self.boards.of(self._entity_type))

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

    @property
    def link(self) -> BoardLink | None:
        return self.board.link

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The board's mappings."""
        return list(self.link.mappings.all()) if self.link else []

    @cached_property
    def display(self) -> FieldDisplay:
        """The display of these records' fields."""
        assert self.link is not None
        return FieldDisplay(self.link, self.mappings, self._records, settings_with(self.boards.account))
