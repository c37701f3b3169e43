"""What a backfill would do, before anything is written: counts with samples and reasons, and what it costs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sync import account, pausing
from sync.backfill.board import Index
from sync.backfill.candidates import CHUNK, chunks, considered
from sync.backfill.rows import row_of
from sync.backfill.waits import hours_of_waiting
from sync.boards import link_of
from sync.choices import QueueDirection
from sync.claims import Claimed
from sync.clock import sync_now
from sync.connectors.monday.documents import ITEMS_PER_PAGE, ITEMS_PER_READ
from sync.connectors.monday.ingest import ROWS_PER_JOB, BoardRoom, board_room, parse_room
from sync.engine.identity import identify
from sync.engine.loading import load
from sync.engine.reading import match_text
from sync.engine.subjects import Batch, Board, Subject
from sync.lease import Lease
from sync.models import ApiBudget
from sync.registry import EntitySpec
from sync.standstill import why_not

SAMPLES = 3
CALLS_A_JOB = 7  # its start, four questions, and what a listing may need besides its pages
SECONDS_A_JOB = 130  # the waits between these questions
SECONDS_A_CALL = 2


class Impossible(RuntimeError):
    """A backfill can't begin; the message says why and what to do."""


@dataclass
class Group:
    """Records that the backfill treats alike, with the first few of them and why."""

    ids: list[UUID] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)

    def add(self, subject: Subject, reason: str = "") -> None:
        """Count a record in."""
        self.ids.append(subject.id)
        if len(self.samples) < SAMPLES:
            self.samples.append(f"{subject.record}: {reason}" if reason else str(subject.record))


@dataclass
class Preview:
    """What would become of every record without an item, and the price.

    `create` travel in the file; `ordinary` are created by aliased mutations, because a value of theirs can't
    travel in one. `link`, `ambiguous` and `invalid` are left to the ordinary look too: it links, asks a person, or
    says what is wrong. `left_out` counts the held fields of records that are created all the same. `second` are the
    ambiguous records that are looked at when the imports are done, because one of them brings the item they match.
    """

    spec: EntitySpec
    at: datetime
    room: BoardRoom
    calls_so_far: int = 0
    create: Group = field(default_factory=Group)
    ordinary: Group = field(default_factory=Group)
    link: Group = field(default_factory=Group)
    ambiguous: Group = field(default_factory=Group)
    invalid: Group = field(default_factory=Group)
    left_out: Group = field(default_factory=Group)
    second: list[UUID] = field(default_factory=list)
    items: int = 0

    @property
    def age_seconds(self) -> float:
        """How long ago this was seen."""
        return (sync_now() - self.at).total_seconds()

    @property
    def records(self) -> int:
        """How many records were looked at."""
        groups = (self.create, self.ordinary, self.link, self.ambiguous, self.invalid)
        return sum(len(group.ids) for group in groups)

    @property
    def jobs(self) -> int:
        """How many files it takes."""
        return math.ceil(len(self.create.ids) / ROWS_PER_JOB)

    @property
    def calls(self) -> int:
        """How many API calls are still to come, about."""
        listings = sum(
            math.ceil((self.items + min(done * ROWS_PER_JOB, len(self.create.ids))) / ITEMS_PER_PAGE)
            for done in range(1, self.jobs + 1)
        )
        # A look reads, then writes; one that asks a person only reads.
        looks = 2 * (len(self.ordinary.ids) + len(self.link.ids)) + len(self.ambiguous.ids)
        return self.jobs * CALLS_A_JOB + listings + math.ceil(looks / ITEMS_PER_READ)

    @property
    def minutes(self) -> int:
        """How long it takes about, the hour's limit of imported items included."""
        hours = hours_of_waiting(len(ids) for ids in chunks(self.create.ids, ROWS_PER_JOB))
        seconds = self.jobs * SECONDS_A_JOB + self.calls * SECONDS_A_CALL + hours * 3600
        return max(1, math.ceil(seconds / 60)) if self.records else 0

    @property
    def share_of_day(self) -> float | None:
        """The calls as a share of the day's allowance, None where that isn't known."""
        limit = ApiBudget.objects.filter(id=1).values_list("day_limit", flat=True).first()
        return self.calls / limit if limit else None

    @property
    def too_many(self) -> int:
        """How many items more than the board may hold this would make."""
        if self.room.limit is None:
            return 0
        return max(0, self.items + len(self.create.ids) + len(self.ordinary.ids) - self.room.limit)


def preview(spec: EntitySpec, tell: Callable[[int, int], None] = lambda done, of: None) -> Preview:
    """Look at every record without an item, and at the whole board; raises Impossible, MondayError.

    `tell` hears how many records were looked at, and of how many.
    """
    reason, link = why_not(spec.entity_type), link_of(spec.entity_type)
    reason = reason or pausing.why_waits(spec.entity_type, QueueDirection.TO_MONDAY)
    if reason or link is None:
        raise Impossible(reason)
    board = Board.of(link)
    room = parse_room(account.client().execute(*board_room(link.board_id)))
    ids = list(considered(board).values_list("pk", flat=True))
    found = Preview(spec, sync_now(), room, calls_so_far=1)
    if not ids:
        return found
    index = Index.of(_batch(board), lambda items: tell(0, len(ids)))
    found.items, found.calls_so_far = len(index.items), 1 + index.calls
    sorter = _Sorter(found, index)
    for done, chunk in enumerate(chunks(ids)):
        batch = _batch(board)
        load(batch, [Claimed(entity_id, None, []) for entity_id in chunk])
        identify(batch, index.hits(batch.subjects))
        for subject in batch.subjects:
            sorter.sort(batch, subject)
        tell(min((done + 1) * CHUNK, len(ids)), len(ids))
    return found


def _batch(board: Board) -> Batch:
    """A look that nobody takes: it has a lease's name and no lease, and writes nothing."""
    return Batch(Lease(board.link), board, uuid.uuid4())


@dataclass
class _Sorter:
    found: Preview
    index: Index
    linked: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def sort(self, batch: Batch, subject: Subject) -> None:
        """Put a record into its group, as the engine would decide it after those before."""
        if subject.creates:
            self._new(batch, subject)
        elif subject.link_to and subject.link_to not in self.linked:
            self.linked.add(subject.link_to)
            self.found.link.add(subject, f"the item “{subject.item.name}”" if subject.item else "")
        elif subject.link_to:
            self.found.ambiguous.add(subject, "the item with the same key belongs to another record")
        else:
            self.found.ambiguous.add(subject, subject.note)

    def _new(self, batch: Batch, subject: Subject) -> None:
        row = row_of(batch, subject)
        key = match_text(batch, subject)
        if row.invalid:
            self.found.invalid.add(subject, row.invalid)
        elif key and key in self.keys:
            # The look after the first one's create would find its item, and ask.
            self.found.ambiguous.add(subject, "another record with the same key gets an item first")
            self.found.second.append(subject.id)
        else:
            self.keys.add(key)
            (self.found.ordinary if row.ordinary else self.found.create).add(subject, row.ordinary)
            for label, reason in row.left_out.items():
                self.found.left_out.add(subject, f"{label}: {reason}")
