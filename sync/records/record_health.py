"""The five states of a record, and why it is in one: of one record, as a filter of a list, and counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    F,
    Func,
    Model,
    Q,
    QuerySet,
    TextChoices,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast
from django.db.models.lookups import In

from sync.choices import QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection
from sync.models import QueuePause, SyncedModel, SyncMetadata, SyncQueue
from sync.outbox.pauses import active_pauses, pauses_by_direction
from sync.records.blocked_fields import is_blocking, is_rejected
from sync.registry import EntitySpec


class RecordState(TextChoices):
    """What a badge, a list, a filter, the first page and the API say of a record."""

    SYNCED = "synced", "Synced"
    PENDING = "pending", "Pending"
    ATTENTION = "attention", "Needs attention"
    OFF = "off", "Sync off"
    PAUSED = "paused", "Paused"


class Part(TextChoices):
    """Why a record is in its state."""

    IN_SYNC = "in_sync", "Both ways"
    TO_MONDAY = "to_monday", "One way, to Monday"
    TO_NPD = "to_npd", "One way, to NPD"
    PENDING = "pending", "Pending"
    CONFLICT = "conflict", "Conflict"
    FAILED = "failed", "Failed"
    BLOCKED = "blocked", "Rejected or blocked fields"
    SYNC_OFF = "sync_off", "Turned off"
    NO_SYNC = "no_sync", "Direction “no sync”"
    LEFT_OUT = "left_out", "Left out by the filter"
    PAUSED = "paused", "Paused"

    @property
    def state(self) -> RecordState:
        """The state that it is a part of."""
        return next(state for state, parts in PARTS.items() if self in parts)


PARTS: Mapping[RecordState, tuple[Part, ...]] = {
    RecordState.SYNCED: (Part.IN_SYNC, Part.TO_MONDAY, Part.TO_NPD),
    RecordState.PENDING: (Part.PENDING,),
    RecordState.ATTENTION: (Part.CONFLICT, Part.FAILED, Part.BLOCKED),
    RecordState.OFF: (Part.SYNC_OFF, Part.NO_SYNC, Part.LEFT_OUT),
    RecordState.PAUSED: (Part.PAUSED,),
}

_FORMER_VALUES = {
    "excluded": (Part.SYNC_OFF, Part.NO_SYNC, Part.TO_MONDAY, Part.TO_NPD),
    "failing": (Part.FAILED, Part.BLOCKED),
    "waiting": (Part.PENDING,),
    "dead": (Part.FAILED,),
    "held": (Part.BLOCKED,),
}
"""What addresses that somebody has kept may name still."""

_ONE_WAY = {SyncDirection.NPD_TO_MONDAY: Part.TO_MONDAY, SyncDirection.MONDAY_TO_NPD: Part.TO_NPD}


def part_of(
    record: SyncedModel, jobs: Iterable[SyncQueue], held: Mapping[str, Mapping[str, Any]], paused: Collection[str]
) -> Part:
    """Return why a record is in its state, given its unfinished jobs, its blocked fields, and the paused directions.

    Paused is what would be pending else: nothing of a synced record waits, whatever is paused.
    """
    if record.sync_status != RecordSyncStatus.PENDING:
        if record.sync_status == RecordSyncStatus.DISABLED:
            off = Part.NO_SYNC if record.sync_enabled else Part.SYNC_OFF
            return Part.LEFT_OUT if record.is_left_out else off
        if record.sync_status == RecordSyncStatus.CONFLICT:
            return Part.CONFLICT
        return _ONE_WAY.get(SyncDirection(record.sync_direction), Part.IN_SYNC)
    directions: dict[str, set[str]] = {}
    for job in jobs:
        directions.setdefault(job.status, set()).add(job.direction)
    if QueueStatus.FAILED in directions:
        return Part.FAILED
    blocking = [entry for entry in held.values() if is_blocking(entry)]
    pending = directions.get(QueueStatus.PENDING, set())
    stopped = pending <= set(paused) and (bool(pending) or set(paused) == set(QueueDirection.values))
    if stopped and QueueStatus.IN_PROGRESS not in directions and not any(map(is_rejected, blocking)):
        return Part.PAUSED
    return Part.BLOCKED if blocking else Part.PENDING


def health_choices() -> list[tuple[str, str]]:
    """Return states and parts with their labels, in the order of the tiles, each part after its state."""
    found = []
    for state, parts in PARTS.items():
        found.append((state.value, str(state.label)))
        if len(parts) > 1:
            found += [(part.value, f"{state.label}: {part.label}") for part in parts]
    return found


def filter_by_health(records: QuerySet[SyncedModel], health: str) -> QuerySet[SyncedModel]:
    """Return the records in this state, or of this part; all of them where no such one is known."""
    parts: Sequence[Part] = _FORMER_VALUES.get(health, ())
    if health in Part.values:
        parts = (Part(health),)
    if health in RecordState.values:
        parts = PARTS[RecordState(health)]
    if not parts:
        return records
    conditions, found = _conditions(records.model, active_pauses()), Q()
    for part in parts:
        found |= conditions[part]
    return records.filter(found)


def health_counts(specs: Iterable[EntitySpec], pauses: Sequence[QueuePause]) -> dict[str, dict[Part, int]]:
    """Count the records of every type by part, in one query for all of them."""
    queries = []
    for spec in specs:
        conditions = _conditions(spec.model, pauses)
        cases = [When(conditions[part], then=Value(part.value)) for part in conditions if part is not Part.PENDING]
        part = Case(*cases, default=Value(Part.PENDING.value), output_field=CharField())
        records = spec.model._default_manager.order_by().annotate(board=Value(spec.entity_type, CharField()), part=part)
        queries.append(records.values_list("board", "part").annotate(number=Count("pk")))
    if not queries:
        return {}
    rows = queries[0].union(*queries[1:], all=True) if len(queries) > 1 else queries[0]
    found: dict[str, dict[Part, int]] = {}
    for entity_type, name, number in rows:
        found.setdefault(entity_type, {})[Part(name)] = number
    return found


def _conditions(model: type[Model], pauses: Sequence[QueuePause]) -> dict[Part, Q]:
    """What `part_of` says, as conditions, no two of which hold of one record."""
    entity_type = model.entity_type()  # type: ignore[attr-defined]
    jobs = SyncQueue.objects.filter(entity_type=entity_type, entity_id__isnull=False)
    synced, pending = Q(sync_status=RecordSyncStatus.SYNCED), Q(sync_status=RecordSyncStatus.PENDING)
    disabled = Q(sync_status=RecordSyncStatus.DISABLED)
    failed = _with_job(jobs.filter(status=QueueStatus.FAILED))
    rejected = _with_blocked(entity_type, '&& (@.side == "monday" || @.side == "limit")')
    blocked = _with_blocked(entity_type)
    paused = pending & ~failed & ~rejected & _is_paused(jobs, set(pauses_by_direction(entity_type, pauses)))
    return {
        Part.IN_SYNC: synced & ~Q(sync_direction__in=list(_ONE_WAY)),
        **{part: synced & Q(sync_direction=direction) for direction, part in _ONE_WAY.items()},
        Part.CONFLICT: Q(sync_status=RecordSyncStatus.CONFLICT),
        Part.SYNC_OFF: disabled & Q(sync_enabled=False),
        Part.NO_SYNC: disabled & Q(sync_enabled=True, sync_direction=SyncDirection.NONE),
        Part.LEFT_OUT: disabled & Q(sync_enabled=True) & ~Q(sync_direction=SyncDirection.NONE),
        Part.FAILED: pending & failed,
        Part.PAUSED: paused,
        Part.BLOCKED: pending & ~failed & ~paused & blocked,
        Part.PENDING: pending & ~failed & ~paused & ~blocked,
    }


def _is_paused(jobs: QuerySet[SyncQueue], paused: Collection[str]) -> Q:
    """Whether nothing of a record can be worked for people's pauses."""
    if not paused:
        return Q(pk__in=[])
    running = _with_job(jobs.filter(status=QueueStatus.IN_PROGRESS))
    if set(paused) == set(QueueDirection.values):
        return ~running
    waiting = jobs.filter(status=QueueStatus.PENDING)
    held = _with_job(waiting.filter(direction__in=paused))
    return held & ~_with_job(waiting.exclude(direction__in=paused)) & ~running


def _with_job(jobs: QuerySet[SyncQueue]) -> Q:
    return Q(pk__in=jobs.values("entity_id"))


def _with_blocked(entity_type: str, more: str = "") -> Q:
    """The records with a field that keeps them from being in sync (`is_blocking` says the same of one entry)."""
    path = Value(f'$.* ? (!exists(@.left_by) && !(@.side == "left out") {more})')
    blocks = Func(F("held"), path, template="jsonb_path_exists(%(expressions)s::jsonpath)", output_field=BooleanField())
    rows = SyncMetadata.objects.of(entity_type).exclude(held={}).filter(blocks)
    # The ledger names records as text; asked so, all of them are read once, by their index.
    return Q(In(Cast(F("pk"), TextField()), rows.values("entity_id")))
