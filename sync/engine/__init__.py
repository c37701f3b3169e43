"""reconcile(): read both sides, merge, announce, write, settle. The one operation behind every cause."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sync import account, finish
from sync.budget.boards import learned
from sync.claims import Claimed
from sync.connectors.monday.errors import MondayError, Scope, TooComplex
from sync.engine.candidates import settle_candidates
from sync.engine.findings import findings_of_gone
from sync.engine.identity import identify
from sync.engine.loading import load
from sync.engine.planning import plan
from sync.engine.quiet import end_quiet
from sync.engine.reading import read
from sync.engine.refusals import call_failed
from sync.engine.relations import find_related
from sync.engine.settling import settle
from sync.engine.stale_reads import read_suspects_again
from sync.engine.subjects import Batch, Board, Outcome, Subject
from sync.engine.tagging import make_tags
from sync.engine.writing import write
from sync.hooks import desk
from sync.lease import Lease, giving_way
from sync.models import Decision, Tombstone

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tally:
    """How many records a look settled, how many failed, how many wait again."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0


def reconcile(lease: Lease, claimed: Sequence[Claimed]) -> Tally:
    """Make both sides of the claimed records equal, or say of each why not; raises LeaseLost."""
    started = time.monotonic()
    batch = Batch(lease, Board.of(lease.link), uuid.uuid4())
    load(batch, claimed)
    _settle_gone(batch)
    end_quiet(batch.board, batch.subjects)
    if batch.open or batch.candidates:
        _look(batch)
    _finish(batch)
    settle(batch, started)
    tally = _tally(batch)
    log.info(
        "look done",
        board=lease.link.entity_type,
        batch=str(batch.id),
        records=len(claimed),
        calls=batch.calls,
        completed=tally.completed,
        failed=tally.failed,
        waiting=tally.waiting,
    )
    return tally


def _look(batch: Batch) -> None:
    try:
        found = read(batch)
        identify(batch, found)
        read_suspects_again(batch)
    except MondayError as error:
        _read_failed(batch, error)
        return
    account.unblock(batch.board.link)
    find_related(batch, found)
    settle_candidates(batch, found)
    for subject in batch.open:
        plan(batch, subject, subject.item)
        _without_item(batch, subject)
    make_tags(batch)
    write(batch)
    if all(subject.outcome is not Outcome.GIVEN_BACK for subject in batch.subjects):
        account.grow_batches()


def _without_item(batch: Batch, subject: Subject) -> None:
    """A record that may only take over from Monday makes no item there."""
    if subject.creates and subject.record.sync_direction == "monday_to_npd":
        subject.end(
            Outcome.SETTLED,
            note="There is no item for it on Monday, and its direction lets nothing be sent. "
            "Make the item on the board, or change the direction.",
        )


def _read_failed(batch: Batch, error: MondayError) -> None:
    """Nothing was written: rows go back with their attempt, one by one where the document was refused.

    One that was only too complex is no record's fault: its rows go back together where the board's next document is
    smaller for it (budget/metered.py).
    """
    log.warning(
        "read failed",
        board=batch.board.link.entity_type,
        scope=str(error.scope),
        reason=error.sentence,
    )
    refused = error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD)
    records = len(batch.open) + len(batch.candidates)
    back = refused and records > 1
    smaller = isinstance(error, TooComplex) and learned(batch.board.link.pk).size < records
    alone = back and not smaller
    if not refused:
        call_failed(batch, batch.open, error)
        if not batch.stopped:
            account.hold(batch.board.link, error)
    for subject in batch.open:
        subject.alone = alone
        subject.end(Outcome.GIVEN_BACK if back else Outcome.FAILED, error.sentence)
    batch.snoozed |= {claimed.rows[0].id for claimed in batch.candidates}
    giving_way(lambda: _candidates_unread(batch, error.sentence, alone=alone, failed=refused and not back))


def _candidates_unread(batch: Batch, words: str, *, alone: bool, failed: bool) -> None:
    with batch.lease.held():
        for claimed in batch.candidates:
            if failed:
                finish.fail(claimed.rows, batch.lease.token, words)
            else:
                finish.give_back(claimed.rows, batch.lease.token, words, alone=alone)


def _settle_gone(batch: Batch) -> None:
    """A record that was deleted in NPD: its tombstone says what stays. Deletes are not carried to Monday yet."""
    if batch.gone:
        giving_way(lambda: _store_gone(batch))


def _store_gone(batch: Batch) -> None:
    words = "Deleted in NPD. Its item stays on Monday: deletes are not synced."
    entity_type = batch.board.link.entity_type
    ids = [claimed.entity_id for claimed in batch.gone if claimed.entity_id]
    with batch.lease.held():
        stones = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=ids)
        stones.update(note=words)
        Decision.objects.bulk_create(
            Decision(
                entity_type=entity_type,
                entity_id=stone.entity_id,
                remote_id=stone.monday_id or "",
                kind="delete",
                sentence=words,
                batch_id=batch.id,
            )
            for stone in stones
        )
        desk().record(list(findings_of_gone(entity_type, desk().open_of(entity_type, ids))))
        for claimed in batch.gone:
            finish.complete(claimed.rows, batch.lease.token, words)


def _finish(batch: Batch) -> None:
    for subject in batch.subjects:
        if subject.bare and subject.written is not None:
            subject.end(Outcome.GIVEN_BACK, "Its item was made; the other fields follow.")
        elif subject.open:
            subject.end(Outcome.SETTLED)


def _tally(batch: Batch) -> Tally:
    outcomes = [subject.outcome for subject in batch.subjects]
    return Tally(
        completed=outcomes.count(Outcome.SETTLED)
        + len(batch.gone)
        + len(batch.candidates)
        - len(batch.snoozed),
        failed=outcomes.count(Outcome.FAILED),
        waiting=outcomes.count(Outcome.GIVEN_BACK) + outcomes.count(Outcome.SNOOZED) + len(batch.snoozed),
    )


__all__ = ["Tally", "reconcile"]
