"""The one view of a record's sync that all doors render; and the four states of a record, of one as of many."""

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

from sync import attention, choices
from sync.attention import Entry, Kind, Wording
from sync.kernel import humanize
from sync.limits import BlockedKind
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.monday.conversion import UnknownValue
from sync.outbox.pauses import Pause
from sync.reconcile.lookups import settings_of
from sync.records.availability import BoardAvailability, Overview
from sync.records.blocked_fields import KEPT_BY, is_blocking, is_rejected
from sync.registry import EntitySpec, item_url
from sync.state.record_fields import NOT_KNOWN, FieldDisplay

# The four states of a record, and why it is in one: of one record, as a filter of a list, and counted.


class RecordState(models.TextChoices):
    """What a badge, a list, a filter, the first page and the API say of a record."""

    SYNCED = "synced", "Synced"
    PENDING = "pending", "Pending"
    ATTENTION = "attention", "Needs attention"
    OFF = "off", "Sync off"


class Part(models.TextChoices):
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
    NO_SYNC = "no_sync", "Direction “no sync”"
    LEFT_OUT = "left_out", "Left out by the filter"

    @property
    def state(self) -> RecordState:
        return next(state for state, parts in PARTS.items() if self in parts)


PARTS: Mapping[RecordState, tuple[Part, ...]] = {
    # A column that can't be used is one thing of the board, whose line and page say so.
    RecordState.SYNCED: (Part.IN_SYNC, Part.TO_MONDAY, Part.TO_NPD, Part.COLUMN),
    RecordState.PENDING: (Part.PENDING,),
    RecordState.ATTENTION: (Part.CONFLICT, Part.FAILED, Part.APPROVAL, Part.GONE, Part.BLOCKED),
    RecordState.OFF: (Part.SYNC_OFF, Part.NO_SYNC, Part.LEFT_OUT),
}

_ONE_WAY = {choices.SyncDirection.NPD_TO_MONDAY: Part.TO_MONDAY, choices.SyncDirection.MONDAY_TO_NPD: Part.TO_NPD}


def filter_by_health(records: models.QuerySet[SyncedModel], health: str) -> models.QuerySet[SyncedModel]:
    """Return the records in this state; all of them where no such one is known."""
    if health not in RecordState.values:
        return records
    return with_parts(records).filter(models.Q(part__in=PARTS[RecordState(health)]))


def with_parts(records: models.QuerySet[SyncedModel]) -> models.QuerySet[SyncedModel]:
    """Have each record say, as `part`, why it is in its state: in the query that reads a page of them."""
    return records.annotate(part=_part(records.model))


def by_state(counts: Mapping[Part, int]) -> dict[RecordState, int]:
    """Return how many records are in each state, of the numbers by part."""
    return {state: sum(counts.get(part, 0) for part in parts) for state, parts in PARTS.items()}


def state_counts(records: models.QuerySet[SyncedModel]) -> Counter[RecordState]:
    """Count these records by state, in one query."""
    rows = records.order_by().values_list(_part(records.model)).annotate(number=models.Count("pk"))
    counts: Counter[RecordState] = Counter()
    for part, number in rows:
        counts[Part(part).state] += number
    return counts


def health_counts(specs: Iterable[EntitySpec]) -> dict[str, dict[Part, int]]:
    """Count the records of every type by part, in one query for all of them."""
    queries = []
    for spec in specs:
        part = _part(spec.model)
        records = spec.model._default_manager.order_by().annotate(
            board=models.Value(spec.entity_type, models.CharField()), part=part
        )
        queries.append(records.values_list("board", "part").annotate(number=models.Count("pk")))
    if not queries:
        return {}
    rows = queries[0].union(*queries[1:], all=True) if len(queries) > 1 else queries[0]
    counts: dict[str, dict[Part, int]] = {}
    for entity_type, name, number in rows:
        counts.setdefault(entity_type, {})[Part(name)] = number
    return counts


def _part(model: type[models.Model], ids: Collection[UUID] | None = None) -> models.Case:
    """Why a record is in its state; `ids`: of these records alone."""
    rules = _rules(model, ids)
    cases = [
        models.When(models.Q(sync_status__in=statuses) & holds, then=models.Value(part.value))
        for statuses, part, holds in rules
    ]
    return models.Case(*cases, default=models.Value(Part.PENDING.value), output_field=models.CharField())


def _rules(
    model: type[models.Model], ids: Collection[UUID] | None
) -> list[tuple[list[choices.RecordSyncStatus], Part, models.Q]]:
    """What of each status makes the state what it is: the first of these that holds.

    Whether a record waits for a person say its rows of `sync_attention`. A pause is its board's, and changes none of
    them. With `ids` no more is read than what is about these.
    """
    entity_type = model.entity_type()  # type: ignore[attr-defined]
    among = {"entity_id__isnull": False} if ids is None else {"entity_id__in": ids}

    def waits_as(*kinds: Kind, **values: Any) -> models.Q:
        rows = attention.waiting(kinds=kinds).filter(entity_type=entity_type, **among, **values)
        return models.Q(pk__in=rows.values("entity_id"))

    # One column that can't be used is one row of the board; of its records those wait that were edited since.
    columns = attention.waiting(kinds=[Kind.BLOCKED]).filter(
        entity_type=entity_type, entity_id=None, code=_of_field("blocked_fields", "code")
    )
    edited = columns.alias(local=_of_field("blocked_fields", "local"), agreed=_of_field("base", "local")).filter(
        models.Q(local__isnull=False), models.Q(agreed=None) | ~models.Q(local=models.F("agreed"))
    )
    ledgers = SyncMetadata.objects.of(entity_type, ids).exclude(blocked_fields={})
    resting = ledgers.filter(models.Exists(columns), ~models.Exists(edited))
    jobs = SyncQueue.objects.filter(entity_type=entity_type, **among).exclude(status=choices.QueueStatus.COMPLETED)
    asked = waits_as(Kind.CONFLICT, Kind.DUPLICATE)
    synced = [choices.RecordSyncStatus.SYNCED]
    disabled = [choices.RecordSyncStatus.DISABLED]
    conflict = [choices.RecordSyncStatus.CONFLICT]
    changing = [*conflict, choices.RecordSyncStatus.PENDING]
    return [
        *((synced, part, models.Q(sync_direction=direction)) for direction, part in _ONE_WAY.items()),
        (synced, Part.IN_SYNC, models.Q()),
        (disabled, Part.SYNC_OFF, models.Q(sync_enabled=False)),
        (disabled, Part.NO_SYNC, models.Q(sync_direction=choices.SyncDirection.NONE)),
        (disabled, Part.LEFT_OUT, models.Q()),
        (conflict, Part.GONE, waits_as(Kind.REMOVED) & ~asked),
        (conflict, Part.CONFLICT, asked),
        # What was chosen for a conflict is on its way, as any change of a record that is pending.
        (changing, Part.FAILED, waits_as(Kind.FAILED, values__failures=0)),
        (changing, Part.APPROVAL, waits_as(Kind.APPROVAL)),
        (changing, Part.GONE, waits_as(Kind.REMOVED)),
        (changing, Part.BLOCKED, waits_as(Kind.REJECTED, Kind.BLOCKED)),
        (changing, Part.PENDING, models.Q(pk__in=jobs.values("entity_id"))),
        # The ledger names records as text; asked so, all of them are read once, by their index.
        (changing, Part.COLUMN, models.Q(In(Cast(models.F("pk"), models.TextField()), resting.values("entity_id")))),
        (changing, Part.PENDING, models.Q()),
    ]


def _of_field(column: str, key: str) -> models.Func:
    """A value of the field of an attention row, as the ledger around it has it in this column."""
    return models.Func(
        models.OuterRef(column), models.F("field"), models.Value(key),
        function="jsonb_extract_path_text", output_field=models.TextField(),
    )  # fmt: skip


# An entry of `seen` of so many parts is what a pass read; longer ones say that a value was lost.
_READING_PARTS = 2


# States of an item, in the ledger, in which nothing can be written to it.
UNWRITABLE_STATES = ("archived", "deleted", "missing", "moved", "inactive")


class FieldReason(StrEnum):
    """Why a field of a record is in its state."""

    IN_SYNC = "in_sync"
    KEPT_DIFFERENT = "kept_different"
    LEFT_OUT = "left_out"
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
    RecordState.SYNCED: (FieldReason.IN_SYNC, FieldReason.KEPT_DIFFERENT, FieldReason.LEFT_OUT),
    RecordState.ATTENTION: (FieldReason.CONFLICT, FieldReason.REJECTED, FieldReason.BLOCKED),
    RecordState.OFF: (FieldReason.NOT_SYNCED,),
}


@dataclass(frozen=True)
class FieldView:
    """One mapped field as displayed: NPD now, both halves of the base, Monday as last known, and how it stands."""

    key: str
    label: str
    local: str
    base_local: str
    base_remote: str
    remote: str
    read_at: datetime | None  # when a pass last knew that Monday shows this value; None where it was never read
    reason_code: FieldReason
    detail: str  # the stored reason
    to_monday: bool
    to_npd: bool
    rule: choices.Rule  # what decides where both sides changed
    names: tuple[str, ...] = ()  # the record's own fields that it is made of

    @property
    def state(self) -> RecordState:
        return self.reason_code.state


class RecordView:
    """How one record's sync stands: its state and why, when it goes on, and each field on both sides.

    `status` is what the record itself says, one of the four that are stored; what a page or the API shows is `state`.
    """

    def __init__(self, record: SyncedModel, page: _Page) -> None:
        self.record = record
        self._page = page
        self.status: str = record.sync_status

    @cached_property
    def ledger(self) -> SyncMetadata:
        return self._page.ledgers.get(str(self.record.pk)) or SyncMetadata(
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
    def reason_code(self) -> Part:
        return Part(self._page.parts.get(self.record.pk, Part.PENDING))

    @property
    def _held_still(self) -> dict[str, dict[str, Any]]:
        """Its blocked fields without those whose column is back: they are synced again and need nobody."""
        held: dict[str, dict[str, Any]] = self.ledger.blocked_fields
        if not any(entry.get("code") == choices.BlockedCode.COLUMN for entry in held.values()):
            return held
        broken = {mapping.key for mapping in self._page.mappings if not mapping.has_usable_column}
        return {
            key: entry
            for key, entry in held.items()
            if entry.get("code") != choices.BlockedCode.COLUMN or key in broken
        }

    @property
    def state(self) -> RecordState:
        return self.reason_code.state

    @property
    def entries(self) -> Sequence[Entry]:
        """Why it waits for a person, the gravest first."""
        return self._page.entries.get(self.record.pk, ())

    @property
    def is_explained_by_entries(self) -> bool:
        """Whether what waits for a person is all that is to be said: of the record, or of its board's column."""
        return self.state is RecordState.ATTENTION or self.reason_code is Part.COLUMN

    @property
    def reason(self) -> str:
        """The reason, as a sentence; the time of the next look is beside it, and what ends a stop above the page."""
        if self.is_explained_by_entries:
            return self.entries[0].sentence if self.entries else ""
        if self.reason_code is Part.PENDING and self.status == choices.RecordSyncStatus.CONFLICT and not self.stop:
            return "What was chosen for its conflict is being applied."
        words = humanize.without_request_id(self.words)
        if words and self.status != choices.RecordSyncStatus.SYNCED and words.startswith(self.stop):
            words = self.stop or words
        return words

    @property
    def others(self) -> Sequence[Entry]:
        """What waits beside the reason."""
        return self.entries[1:] if self.is_explained_by_entries else self.entries

    @property
    def stop(self) -> str:
        """Why nothing is sent to Monday now, in one sentence; of a person's pause all that is known."""
        return self.stop_reason if self.pause else humanize.first_sentence(self.stop_reason)

    @property
    def has_failed(self) -> bool:
        """Whether all attempts failed, so that nothing happens before a person acts."""
        return self.reason_code is Part.FAILED

    @property
    def agrees(self) -> bool:
        """Whether both sides say the same, and nothing else is to be said."""
        return self.state is RecordState.SYNCED and not self.reason

    @property
    def has_conflict(self) -> bool:
        return any(entry.kind is Kind.CONFLICT for entry in self.entries)

    @property
    def requests(self) -> list[str]:
        """The ids of the requests to Monday that the reason names, for administrators."""
        return humanize.request_ids(self.words)

    @property
    def now(self) -> datetime:
        """The time of all that is said here."""
        return self._page.boards.now

    @property
    def next_try_words(self) -> str:
        """When the next look comes, in words; empty where none is planned, or the reason says until when."""
        if self.status != choices.RecordSyncStatus.PENDING or self.stop_reason:
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
        """The later of the job's own time and the end of a stop; None where a person's resume or a pass comes first."""
        job = self._pending
        if job is None or any(job.status == choices.QueueStatus.IN_PROGRESS for job in self._jobs):
            return None
        board = self._page.board
        if board.pause is not None:
            return None
        return max(job.next_retry, board.until or job.next_retry)

    @property
    def stop_reason(self) -> str:
        """Why nothing is sent to Monday now, also if a person asks: a pause, a stop, or that nothing is set up."""
        board = self._page.board
        passes = board.reason_code in (BlockedKind.QUOTA, BlockedKind.BATCHING)
        return "" if passes else humanize.without_request_id(board.detail)

    @property
    def pause(self) -> Pause | None:
        """A person's pause of its board, or of everything."""
        return self._page.pause

    @property
    def is_connected(self) -> bool:
        return self._page.board.is_set_up

    @property
    def removed_item(self) -> str:
        """How its item left the board, as the last pass found: archived, deleted, moved, missing; else empty."""
        state = self.ledger.remote_state
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
        """The fields about which a person is asked; one whose answer is on its way is as any other."""
        asked = {value.key for entry in self.entries if entry.kind is Kind.CONFLICT for value in entry.values}
        return tuple(key for key in self.ledger.conflicts.get("fields", ()) if key in asked)

    @property
    def spellings(self) -> Mapping[str, str]:
        """Those of its texts that are stored in another spelling than they are shown in, by field."""
        return self._page.display.spellings(self.record) if self._page.link else {}

    @property
    def mappings(self) -> Sequence[FieldMapping]:
        return self._page.mappings

    @property
    def labels(self) -> Mapping[str, str]:
        return {mapping.key: mapping.label for mapping in self.mappings}

    @property
    def without_column(self) -> Sequence[str]:
        return self._page.columns[self.record.pk]

    @property
    def words(self) -> str:
        """The first reason that fits, as a sentence; of a record in sync only what of it may differ.

        What needs a person is said by its `entries`.
        """
        if not self.record.may_sync:
            is_on = self.record.sync_enabled
            return "Its direction is “no sync”." if is_on else "Sync is off for this record."
        if self.record.is_left_out:
            return self.ledger.note or "The filter leaves it out."
        if self.status == choices.RecordSyncStatus.SYNCED:
            return " ".join(
                f"{self.labels.get(key, key)} differs from Monday's: {entry[KEPT_BY].get('who', '')} kept it different."
                for key, entry in self.ledger.blocked_fields.items()
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
        yield self.ledger.note
        for key, entry in [*self._held_still.items(), *self.ledger.altered.items()]:
            yield f"{self.labels.get(key, key)}: {entry['reason']}"

    @cached_property
    def fields(self) -> tuple[FieldView, ...]:
        """Every mapped field; related records are read for all records of the page at once."""
        return tuple(self._field(mapping) for mapping in self._page.mappings)

    def _field(self, mapping: FieldMapping) -> FieldView:
        # A pair that belongs to another item or column than those of now is no base.
        entry: dict[str, Any] | None = self.ledger.base.get(mapping.key)
        is_current = entry and mapping.is_current(entry) and self.record.monday_id in (None, entry["item"])
        key = mapping.key
        base = entry if is_current else None
        local, base_local, base_remote = self._page.display.sides(self.record, mapping, base)
        remote, read_at = self._monday(mapping, base, base_remote)
        directions = {self.record.sync_direction, mapping.direction}
        flows = bool(mapping.column_id) and choices.SyncDirection.NONE not in directions
        up = flows and choices.SyncDirection.MONDAY_TO_NPD not in directions
        down = flows and choices.SyncDirection.NPD_TO_MONDAY not in directions
        reason = self._blocked(key) if up or down else FieldReason.NOT_SYNCED
        if reason is None:
            reason = FieldReason.NO_BASE if base is None else _compared((local, base_local), (remote, base_remote))
        details = [entries[key]["reason"] for entries in (self._held_still, self.ledger.altered) if key in entries]
        if key in self.ledger.blocked_fields and not details:
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
            to_monday=up,
            to_npd=down,
            rule=choices.Rule(mapping.rule),
            names=tuple(mapping.fields),
        )

    def _blocked(self, key: str) -> FieldReason | None:
        entry = self._held_still.get(key)
        if key in self.conflict_fields:
            return FieldReason.CONFLICT
        if entry is None:
            return None
        if KEPT_BY in entry:
            return FieldReason.KEPT_DIFFERENT
        if not is_blocking(entry):
            return FieldReason.LEFT_OUT
        return FieldReason.REJECTED if is_rejected(entry) else FieldReason.BLOCKED

    def _monday(
        self, mapping: FieldMapping, base: Mapping[str, Any] | None, base_remote: str
    ) -> tuple[str, datetime | None]:
        """What Monday shows and since when that is known: read by the pass that left this field open, or as in the
        base, which our own write moves past what its pass had read.
        """
        key = mapping.key
        agreed_at = datetime.fromisoformat(base["at"]) if base and "at" in base else None
        if key not in self.ledger.blocked_fields and key not in self.ledger.conflicts.get("fields", ()):
            moments = (agreed_at, self.ledger.last_successful_sync) if base else ()
            return base_remote, max((moment for moment in moments if moment), default=None)
        readings = [reading for reading in self.ledger.seen.get(key, ()) if len(reading) == _READING_PARTS]
        raw, when = readings[-1] if readings else (None, "")
        read_at = datetime.fromisoformat(when) if when else None
        if read_at is None or (agreed_at is not None and agreed_at >= read_at):
            return base_remote, agreed_at
        convert = self._page.display.board.converter(mapping, self.record)
        try:
            return convert.display(convert.remote(raw)), read_at
        except UnknownValue:
            return base_remote, agreed_at


def _compared(npd: tuple[str, str], monday: tuple[str, str]) -> FieldReason:
    """Told from what each side shows now and what it showed when both were in sync."""
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
    """Return how records of one model stand, in a few queries whatever their number.

    `boards` is how all boards stand, where that was read.
    """
    page = _Page(records, boards) if records else None
    return {record.pk: RecordView(record, page) for record in records} if page else {}


def describe_one(record: SyncedModel, boards: Overview | None = None) -> RecordView:
    return describe([record], boards)[record.pk]


class _Page:
    """Everything that the views of some records of one model rest on."""

    def __init__(self, records: Sequence[SyncedModel], boards: Overview | None = None) -> None:
        entity_type = records[0].entity_type()
        self.boards = boards or Overview([entity_type])
        self._ids = [record.pk for record in records]
        self._records = records
        self._entity_type = entity_type

    @cached_property
    def ledgers(self) -> Mapping[str, SyncMetadata]:
        return {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(self._entity_type, self._ids)}

    @cached_property
    def jobs(self) -> Mapping[UUID, Sequence[SyncQueue]]:
        """The records' jobs that are not completed, by what comes first."""
        jobs: dict[UUID, list[SyncQueue]] = {}
        rows = SyncQueue.objects.filter(entity_type=self._entity_type, entity_id__in=self._ids)
        for job in rows.exclude(status=choices.QueueStatus.COMPLETED).order_by("next_retry"):
            if job.entity_id:
                jobs.setdefault(job.entity_id, []).append(job)
        return jobs

    @cached_property
    def parts(self) -> Mapping[UUID, str]:
        """Why each record is in its state, as lists and counts have it."""
        if all(hasattr(record, "part") for record in self._records):
            return {record.pk: record.part for record in self._records}  # type: ignore[attr-defined]  # with_parts
        model = type(self._records[0])
        rows = model._default_manager.filter(pk__in=self._ids).order_by()
        return dict(rows.annotate(part=_part(model, self._ids)).values_list("pk", "part"))

    @cached_property
    def board(self) -> BoardAvailability:
        return self.boards.for_display(self.boards.of(self._entity_type))

    @cached_property
    def columns(self) -> Mapping[UUID, Sequence[str]]:
        """The fields of each record that have no column on the board, or one that doesn't fit, by their keys."""
        columns = {record.pk: list[str]() for record in self._records}
        for ledger in self.ledgers.values():
            held = ledger.blocked_fields.items()
            columns[UUID(ledger.entity_id)] = [
                key for key, entry in held if entry.get("code") == choices.BlockedCode.COLUMN
            ]
        return columns

    @cached_property
    def entries(self) -> Mapping[UUID, Sequence[Entry]]:
        """Why the records wait for a person; a column that can't be used is one thing of all that wait for it."""
        names = {record.pk: str(record) for record in self._records}
        mappings = {(self._entity_type, mapping.key): mapping for mapping in self.mappings}
        return attention.on_records(self._entity_type, self.columns, names, Wording(mappings))

    @property
    def pause(self) -> Pause | None:
        return self.board.pause

    @property
    def link(self) -> BoardLink | None:
        return self.board.link

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The board's mappings, read where a field is shown or named."""
        return list(self.link.mappings.all()) if self.link else []

    @cached_property
    def display(self) -> FieldDisplay:
        """What the fields of these records say, read where a page shows fields."""
        assert self.link is not None
        return FieldDisplay(self.link, self.mappings, self._records, settings_of(self.boards.account))
