"""reconcile(): read both sides, merge, announce, write, settle. The one operation behind every cause."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import structlog

from sync import account, finish
from sync.budget.boards import learned
from sync.claims import Claimed
from sync.connectors.monday.errors import MondayError, Scope, TooComplex
from sync.engine import record_gone
from sync.engine.answering import carry_out_answers
from sync.engine.burying import bury
from sync.engine.candidates import settle_candidates
from sync.engine.clearing import guard
from sync.engine.copies_sent import part_copies
from sync.engine.drifting import explains, hold_back, notice
from sync.engine.graves import open_graves
from sync.engine.identity import identify
from sync.engine.late_landings import know_late_landings
from sync.engine.loading import load
from sync.engine.loops import damp
from sync.engine.overwritten import judge
from sync.engine.paused import hold_paused
from sync.engine.planning import plan
from sync.engine.quiet import end_quiet
from sync.engine.reading import read
from sync.engine.refusals import call_failed
from sync.engine.relations import find_related
from sync.engine.same_person import find_twins
from sync.engine.settling import settle
from sync.engine.stale_reads import read_suspects_again
from sync.engine.subjects import Batch, Board, Outcome, Subject
from sync.engine.tagging import make_tags
from sync.engine.tally import Tally, count_look_alone, tally_of
from sync.engine.unlinking import unlink_where_asked
from sync.engine.weighing import weigh
from sync.engine.writing import write
from sync.lease import Lease, giving_way
from sync.pausing import by_direction

log = structlog.get_logger(__name__)


def reconcile(lease: Lease, claimed: Sequence[Claimed], batch_id: uuid.UUID) -> Tally:
    """Make both sides of the claimed records equal, or say of each why not; raises LeaseLost.

    `batch_id` names this look in the ledger, the history and the log.
    """
    started = time.monotonic()
    batch = Batch(lease, Board.of(lease.link), batch_id)
    if prepare(batch, claimed):
        _look(batch)
    _finish(batch)
    bury(batch)
    settle(batch, started)
    if not batch.subjects:
        count_look_alone(batch)
    tally = tally_of(batch)
    log.info(
        "look done",
        seconds=round(time.monotonic() - started, 3),
        records=len(claimed),
        calls=batch.calls,
        completed=tally.completed,
        failed=tally.failed,
        waiting=tally.waiting,
    )
    return tally


def prepare(batch: Batch, claimed: Sequence[Claimed]) -> bool:
    """Load what NPD knows of the claimed records, and end those that need no call; return whether any is left."""
    load(batch, claimed)
    batch.paused = by_direction(batch.board.link.entity_type)
    carry_out_answers(batch)
    record_gone.begin(batch)
    weigh(batch)
    end_quiet(batch.board, batch.subjects)
    return bool(batch.open or batch.candidates or open_graves(batch))


def _look(batch: Batch) -> None:
    if not decide(batch):
        return
    make_tags(batch)
    write(batch)
    part_copies(batch)
    if all(subject.outcome is not Outcome.GIVEN_BACK for subject in batch.subjects):
        account.grow_batches()


def decide(batch: Batch) -> bool:
    """Read both sides and decide everything; return False where Monday could not be read.

    Of a batch that only plans (a dry run) nothing is sent, and whoever calls it takes back what it writes.
    """
    hold_back(batch)
    try:
        found = read(batch)
        notice(batch, found)
        identify(batch, found)
        unlink_where_asked(batch)
        read_suspects_again(batch)
    except MondayError as error:
        if explains(batch, error):
            _come_back(batch, error)
        else:
            _read_failed(batch, error)
        return False
    account.unblock(batch.board.link)
    know_late_landings(batch)
    find_related(batch, found)
    record_gone.settle(batch, found)
    settle_candidates(batch, found)
    find_twins(batch)
    for subject in batch.open:
        if subject.unlinks:
            continue
        plan(batch, subject, subject.item)
        _without_item(batch, subject)
    hold_paused(batch)
    judge(batch)
    damp(batch)
    guard(batch)
    return True


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
    subjects = [*batch.open, *(grave.subject for grave in open_graves(batch))]
    records = len(subjects) + len(batch.candidates)
    back = refused and records > 1
    smaller = isinstance(error, TooComplex) and learned(batch.board.link.pk).size < records
    alone = back and not smaller
    if not refused:
        call_failed(batch, subjects, error)
        if not batch.stopped:
            account.hold(batch.board.link, error)
    for subject in [subject for subject in subjects if subject.open]:
        subject.alone = alone
        subject.end(Outcome.GIVEN_BACK if back else Outcome.FAILED, error.sentence)
    batch.snoozed |= {claimed.rows[0].id for claimed in batch.candidates}
    giving_way(lambda: _candidates_unread(batch, error.sentence, alone=alone, failed=refused and not back))


def _come_back(batch: Batch, error: MondayError) -> None:
    """The next look leaves out what asked for a column that is gone."""
    for subject in [*batch.open, *(grave.subject for grave in open_graves(batch))]:
        subject.end(Outcome.GIVEN_BACK, error.sentence)
    batch.snoozed |= {claimed.rows[0].id for claimed in batch.candidates}
    giving_way(lambda: _candidates_unread(batch, error.sentence, alone=False, failed=False))


def _candidates_unread(batch: Batch, words: str, *, alone: bool, failed: bool) -> None:
    with batch.lease.held():
        if failed:
            for claimed in batch.candidates:
                finish.fail(claimed.rows, batch.lease.token, words)
        else:
            rows = [row for claimed in batch.candidates for row in claimed.rows]
            finish.give_back(rows, batch.lease.token, words, alone=alone)


def _finish(batch: Batch) -> None:
    for subject in batch.subjects:
        if subject.bare and subject.written is not None:
            subject.end(Outcome.GIVEN_BACK, "Its item was made; the other fields follow.")
        elif subject.open:
            subject.end(Outcome.SETTLED)


__all__ = ["Tally", "decide", "prepare", "reconcile"]
