"""What a look did, in numbers: for whoever ran it, and for the counts behind `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.choices import Cause, QueueDirection
from sync.clock import sync_now
from sync.engine.graves import without_stone
from sync.engine.subjects import Batch, Outcome, Subject
from sync.lease import giving_way
from sync.metrics import Count, Latency, add, observe_latency
from sync.metrics.names import LOOKS, RECORDS_LOOKED_AT
from sync.models import SyncQueue

WAITING = (Outcome.GIVEN_BACK, Outcome.SNOOZED, Outcome.PAUSED)


@dataclass(frozen=True)
class Tally:
    """How many records a look settled, how many failed, how many wait again."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0


def tally_of(batch: Batch) -> Tally:
    """Count the records and items of a look by how their rows end."""
    subjects = [*batch.subjects, *(grave.subject for grave in batch.graves)]
    outcomes = [subject.outcome for subject in subjects]
    return Tally(
        completed=outcomes.count(Outcome.SETTLED)
        + len(without_stone(batch))
        + len(batch.candidates)
        - len(batch.snoozed),
        failed=outcomes.count(Outcome.FAILED),
        waiting=sum(outcome in WAITING for outcome in outcomes) + len(batch.snoozed),
    )


def count_look(batch: Batch) -> None:
    """Add the look to the installation's counts; part of the transaction that settles it."""
    board, tally = batch.board.link.entity_type, tally_of(batch)
    add(
        [
            Count(LOOKS, board),
            Count(RECORDS_LOOKED_AT, board, "completed", tally.completed),
            Count(RECORDS_LOOKED_AT, board, "failed", tally.failed),
            Count(RECORDS_LOOKED_AT, board, "waiting", tally.waiting),
        ]
    )
    observe_latency(board, _arrived(batch))


def count_look_alone(batch: Batch) -> None:
    """The same for a look that had no record to settle, only items or deleted records; raises LeaseLost."""

    def attempt() -> None:
        with batch.lease.held():
            count_look(batch)

    giving_way(attempt)


def _arrived(batch: Batch) -> list[Latency]:
    """What this look carried over, with how long each change was on its way until now."""
    written = _written_at([row for subject in batch.subjects for row in _saves(subject)])
    carried = [one for subject in batch.subjects for one in _carried(subject, written)]
    now = sync_now() if carried else None
    return [Latency(direction, (now - since).total_seconds()) for direction, since in carried if now]


def _saves(subject: Subject) -> list[SyncQueue]:
    """The rows that saves wrote, of a record of which something went to Monday."""
    if subject.written is None:
        return []
    return [
        row
        for row in subject.claimed.rows
        if row.direction == QueueDirection.TO_MONDAY and row.causes & Cause.SAVE
    ]


def _written_at(rows: Sequence[SyncQueue]) -> dict[int, datetime]:
    """When each was written, in one query: claims don't read it, and asked for row by row it would be one each."""
    ids = [row.id for row in rows]
    return dict(SyncQueue.objects.filter(id__in=ids).values_list("id", "created_at")) if ids else {}


def _carried(subject: Subject, written: Mapping[int, datetime]) -> Iterator[tuple[QueueDirection, datetime]]:
    """Which ways something of the record went, and since when it waited for that.

    A save that was written into a row that waited already counts from that row's first save: for so long the other
    side has lacked something. What a sweep found, or a person asked for, has no such beginning and isn't counted.
    """
    if subject.outcome not in (Outcome.SETTLED, Outcome.PAUSED):
        return
    saves = [written[row.id] for row in _saves(subject) if row.id in written]
    if saves:
        yield QueueDirection.TO_MONDAY, min(saves)
    if subject.events and any(line.kind == "pull" for line in subject.log):
        yield QueueDirection.TO_NPD, min(event.received_at for event in subject.events)
