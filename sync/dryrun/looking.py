"""One look that only plans: the engine's own steps up to the decision, in a transaction that is taken back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from sync.budget.boards import learned
from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.claims import Claimed
from sync.clock import sync_now
from sync.dryrun.entries import WRITING, Entry, entries_of
from sync.engine import decide, prepare
from sync.engine.subjects import Batch, Board, Outcome
from sync.engine.tagging import TAGS_PER_CALL, missing_tags
from sync.engine.writing import calls_to_write
from sync.lease import LOCK_TIMEOUT_MS, Lease
from sync.models import BoardLink, GuardedAct, SyncQueue


class Unleased(Lease):
    """Stands in for a lease where nothing is going to be written: it takes no board and keeps nobody waiting."""

    def renew(self, seconds: float = 0) -> None:
        """Hold nothing."""

    @contextmanager
    def held(self, *, step: bool = False) -> Iterator[None]:
        """Open a transaction (a savepoint of the one that is taken back); there is nothing to renew."""
        with transaction.atomic():
            yield


@dataclass
class Looked:
    """What one look would do, and which calls that would take.

    `stopped` says why Monday can't be read now; `refused`: this document was, as a whole, and parts of it may not be.
    """

    entries: list[Entry] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    points: float = 0.0
    records: int = 0
    unchanged: int = 0
    stopped: str = ""
    refused: bool = False

    def add(self, other: Looked) -> None:
        """Count a look that follows this one."""
        self.entries += other.entries
        self.reads, self.writes = self.reads + other.reads, self.writes + other.writes
        self.points += other.points


@dataclass
class Memory:
    """What looks of one dry run leave to later ones, although their transactions are taken back: the guard's count."""

    acts: list[GuardedAct] = field(default_factory=list)


def look(link: BoardLink, wanted: Sequence[Claimed], memory: Memory) -> Looked:
    """Plan one look at these records and items. Nothing stays in the database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        mark = _guarded_before(memory)
        batch, read = _decided(link, wanted)
        if not read and _all_came_back(batch):
            # It has learned that a column is gone: as the next look would, this one does without it.
            batch, read = _decided(link, wanted)
        found = _told(batch, read=read)
        if read and (followers := _followers(batch)):
            found.add(_told(*_decided(link, followers)))
        memory.acts += GuardedAct.objects.filter(pk__gt=mark, entity_type=link.entity_type)
        transaction.set_rollback(True)
    found.records = len(wanted)
    return found


def _decided(link: BoardLink, wanted: Sequence[Claimed]) -> tuple[Batch, bool]:
    batch = Batch(Unleased(link), Board.of(link), uuid.uuid4(), only_plans=True)
    claimed = [_in_the_air(batch, one) for one in wanted]
    return batch, decide(batch) if prepare(batch, claimed) else True


def _all_came_back(batch: Batch) -> bool:
    return all(subject.outcome is Outcome.GIVEN_BACK for subject in batch.subjects)


def _followers(batch: Batch) -> list[Claimed]:
    """The records that items were linked with or became: their own looks follow at once."""
    items = [claimed.remote_id for claimed in batch.candidates]
    seen = {subject.id for subject in batch.subjects}
    owners = batch.board.model._default_manager.filter(monday_id__in=items).exclude(pk__in=seen)
    kind = batch.board.link.entity_type
    return [as_swept(kind, pk, []) for pk in owners.order_by("pk").values_list("pk", flat=True)]


def one_record(link: BoardLink, entity_id: UUID) -> tuple[Batch, list[Entry]]:
    """Return what a look at one record (or at what is left of a deleted one) would find and do. Nothing stays."""
    with transaction.atomic():
        rows = SyncQueue.objects.filter(
            entity_type=link.entity_type, entity_id=entity_id, status=QueueStatus.PENDING
        )
        wanted = as_swept(link.entity_type, entity_id, list(rows.order_by("priority", "id")))
        batch, _ = _decided(link, [wanted])
        found = list(entries_of(batch))
        transaction.set_rollback(True)
    return batch, found


def as_swept(entity_type: str, entity_id: UUID, rows: Sequence[SyncQueue], *, sweeps: bool = True) -> Claimed:
    """Return a record as a sweep would have it claimed: with its waiting rows, or with the one that it would write."""
    if not sweeps:
        return Claimed(entity_id, None, list(rows))
    mine = list(rows) or [_row(entity_type, entity_id, None)]
    for row in mine:
        row.causes = row.causes | int(Cause.SWEEP)
    return Claimed(entity_id, None, mine)


def as_candidate(entity_type: str, item_id: str) -> Claimed:
    """Return an item that no record has as a sweep would have it claimed."""
    return Claimed(None, item_id, [_row(entity_type, None, item_id)])


def _row(entity_type: str, entity_id: UUID | None, item_id: str | None) -> SyncQueue:
    """A row as a sweep writes it; not stored."""
    candidate = entity_id is None
    return SyncQueue(
        id=0, entity_type=entity_type, entity_id=entity_id, remote_id=item_id, payload={}, attempts=0,
        direction=QueueDirection.TO_NPD if candidate else QueueDirection.TO_MONDAY,
        operation=Operation.CREATE if candidate else Operation.UPDATE, status=QueueStatus.PENDING,
        priority=Priority.SWEEP, causes=int(Cause.SWEEP), reason="", error_message="", created_at=sync_now(),
    )  # fmt: skip


def _in_the_air(batch: Batch, wanted: Claimed) -> Claimed:
    """A candidate ends by its row, so it needs one: a new one in progress, which is in nobody's way."""
    if wanted.entity_id is not None:
        return wanted
    values: dict[str, Any] = {
        "entity_type": batch.board.link.entity_type, "remote_id": wanted.remote_id, "causes": int(Cause.SWEEP),
        "status": QueueStatus.IN_PROGRESS, "lease_token": batch.lease.token, "operation": Operation.CREATE,
        "direction": QueueDirection.TO_NPD, "priority": Priority.SWEEP,
    }  # fmt: skip
    row = SyncQueue.objects.create(**values)
    row.refresh_from_db()
    return Claimed(None, wanted.remote_id, [row])


def _guarded_before(memory: Memory) -> int:
    """Let the guard see what earlier looks of this dry run would have done; return where its new rows begin."""
    for act in memory.acts:
        act.pk = None
        act._state.adding = True
    GuardedAct.objects.bulk_create(memory.acts, ignore_conflicts=True)
    return GuardedAct.objects.aggregate(last=Max("pk"))["last"] or 0


def _told(batch: Batch, read: bool) -> Looked:
    known = learned(batch.board.link.pk)
    found = Looked(reads=batch.calls)
    if read:
        tags = -(-len(missing_tags(batch)) // TAGS_PER_CALL)
        removals = len({grave.would for grave in batch.graves if grave.would is not None})
        found.writes = calls_to_write(batch) + tags + removals
    else:
        failed = [s.words for s in batch.subjects if s.outcome is Outcome.FAILED]
        found.stopped = batch.stopped or (failed[0] if failed else "")
        found.refused = _all_came_back(batch) and bool(batch.subjects)
    found.entries = list(entries_of(batch))
    written = {entry.entity_id for entry in found.entries if entry.what in WRITING}
    found.points = batch.calls * known.read_points + len(written) * known.write_points
    touched = {entry.entity_id for entry in found.entries if entry.entity_id}
    found.unchanged = sum(s.id not in touched for s in batch.subjects)
    return found
