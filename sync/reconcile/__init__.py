"""The one operation behind every cause: what is so, what shall be, what Monday did, what NPD writes.

facts   = gather(claims)               what NPD knows, what Monday says, what the items point at: gather.py
plan    = decide(facts)                pure: the ordered list of rules in decide.py
answers = send(facts, plan)            announces, sends, maps answers; nothing else calls a mutation
plan    = answered(facts, plan, answers)      pure, as all that is written is: changes.py
settle_pass(facts, plan, answers)      locks, compares, writes; nothing else of a pass writes
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from sync.kernel.messages import own_fault
from sync.limits import board_costs, breaker, write_stop
from sync.models import Intent
from sync.monday.board_items import Item
from sync.monday.errors import TOO_COMPLEX, MondayError, Scope
from sync.outbox.claim import Claim, Lease, LeaseLost
from sync.reconcile import gather
from sync.reconcile.act import Executor, send
from sync.reconcile.changes import PassResult, answered, pass_result
from sync.reconcile.decide import unread
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import Gatherer, claimed, facts_of_creates
from sync.reconcile.identity import ANSWERED, LINKED
from sync.reconcile.lookups import load_board
from sync.reconcile.pass_plan import LostUpdates, Outcome, PassFacts, Plan, ending
from sync.reconcile.settle import PassRun, settle_creates, settle_pass, store_columns
from sync.reconcile.settlement import PassId
from sync.reconcile.unconfirmed_writes import Fate, after_own_fault, after_resending, decide_unconfirmed
from sync.reconcile.writes import OUTCOMES, Answers

log = structlog.get_logger(__name__)


def reconcile(lease: Lease, claims: Sequence[Claim], batch_id: uuid.UUID, hold_seconds: float = 0) -> PassResult:
    """Make both sides of the claimed records equal, or say of each why not; raises LeaseLost.

    `batch_id` names this pass in the sync state, the history and the log. With `hold_seconds` nothing is sent: what
    would be waits for so long.
    """
    started, board, gatherer = time.monotonic(), load_board(lease.link), Gatherer()
    facts = claimed(board, claims)
    run = PassRun(lease, board, PassId(batch_id), started, hold_seconds=hold_seconds)
    stop_reason = write_stop.HELD if hold_seconds else ""
    executor = Executor(lease, board, len(facts.records) or 1, stop_reason, read_at=facts.now)
    facts, plan, answers = _sent(run, executor, gatherer, facts)
    this, calls = PassId(batch_id, gatherer.read_request), gatherer.calls + executor.calls
    run = replace(run, board=facts.board, this=this, calls=calls)
    plan = settle_pass(run, facts, plan, answers)
    for record in plan.records.values():
        log_faults(record.id, record.lost)
    for deleted in plan.deleted.values():
        log_faults(deleted.id, deleted.lost)
    tally = pass_result(plan)
    log.info(
        "pass done",
        seconds=round(time.monotonic() - started, 3),
        records=len(claims),
        calls=run.calls,
        completed=tally.completed,
        failed=tally.failed,
        waiting=tally.waiting,
    )
    return tally


def log_faults(record_id: uuid.UUID, lost: LostUpdates) -> None:
    """Log the errors of ours for which a record's events could not be checked; its sync went on."""
    for fault in lost.faults:
        log.error("events not checked", record=str(record_id), exc_info=fault)


def _sent(run: PassRun, executor: Executor, gatherer: Gatherer, facts: PassFacts) -> tuple[PassFacts, Plan, Answers]:
    """Read, decide and send, as far as Monday can be read; return the plan as the answers leave it."""
    facts, plan = gatherer.gather(facts)
    if facts.columns is not None:
        store_columns(run.link, facts.columns)
    if facts.error is not None:
        return facts, _unread(run, executor, facts, plan), Answers()
    if not gatherer.calls:
        return facts, plan, Answers()
    breaker.reset_board(run.link)
    run = replace(run, board=facts.board, this=replace(run.this, read_request=gatherer.read_request))
    executor.board = facts.board
    answers = send(executor, facts, plan)
    plan = answered(facts, plan, answers)
    given_back = [one for one in plan.records.values() if one.outcome is Outcome.RELEASED]
    if not executor.stop_reason and all(one.ending.detail in (ANSWERED, LINKED) for one in given_back):
        breaker.grow_batches(has_written=executor.has_written)
    return facts, plan, answers


def _unread(run: PassRun, executor: Executor, facts: PassFacts, plan: Plan) -> Plan:
    """Nothing was sent: jobs go back with their attempt, one by one where the document was refused.

    Where a column is gone the next pass leaves out what asked for it. A document that was only too complex is no
    record's fault: its jobs go back together where the board's next one is smaller for it (limits/metered_client.py).
    """
    cause, columns = facts.error, facts.columns
    assert cause is not None
    units = [*plan.open_records, *plan.open_deleted, *facts.item_claims]
    is_rejected = columns is None and cause.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD)
    releases = not is_rejected or len(units) > 1
    shrinks = cause.kind is TOO_COMPLEX and board_costs(run.link.pk).size < len(units)
    how = ending(
        Outcome.RELEASED if releases else Outcome.FAILED,
        cause.sentence,
        at_most=int(is_rejected and releases and not shrinks),
    )
    if columns is not None:
        return unread(facts, plan, how, how)
    log.warning("read failed", board=run.entity_type, scope=str(cause.scope), reason=cause.sentence)
    if is_rejected:
        return unread(facts, plan, how, how)
    answer = executor.failed_call(cause, len(plan.open_records) + len(plan.open_deleted))
    if not executor.stop_reason:
        breaker.trip(run.link, cause)
    failed = ending(OUTCOMES[answer.verdict], answer.detail, at_most=answer.at_most)
    return unread(facts, plan, failed, how)


def confirm_creates(lease: Lease, stop_reason: str = "") -> str:
    """Find out about every create without an answer whose deadline is over: one look-up, then document by document.

    With a `stop_reason` none is sent again. Return why Monday can't be asked any more, or an empty text; raises
    LeaseLost.
    """
    # They are found by the NPD ID column: until it is back, nothing is created again.
    if lease.link.npd_id_problem or not (documents := gather.unconfirmed_creates(lease.link.entity_type)):
        return ""
    board = load_board(lease.link)
    try:
        items = gather.items_of_creates(board, documents)
    except MondayError as error:
        breaker.trip(lease.link, error)
        return error.sentence
    for intents in documents:
        try:
            stop_reason = _confirm_document(lease, board, intents, items, stop_reason) or stop_reason
        except LeaseLost:
            raise
        # An error of our own is these records' alone: the others of the board go on.
        except Exception as error:
            log.exception("creates not confirmed", board=lease.link.entity_type, records=len(intents))
            settle_creates(lease, board, after_own_fault(intents, own_fault(error)))
    return stop_reason


def _confirm_document(
    lease: Lease, board: BoardContext, intents: Sequence[Intent], items: Mapping[str, Item] | None, stop_reason: str
) -> str:
    """Find out about one document; with a `stop_reason` it is looked for once more instead of sent again."""
    facts = facts_of_creates(board, intents, items)
    plans, executor = decide_unconfirmed(facts), Executor(lease, board, len(intents), stop_reason)
    log.info("create without answer", board=lease.link.entity_type, records=len(intents), found=len(facts.items or ()))
    if stop_reason:
        wait = facts.wait_seconds
        again = Fate.LOOK_AGAIN
        plans = [replace(p, fate=again, wait_seconds=wait) if p.fate is Fate.RESEND else p for p in plans]
    elif any(plan.fate is Fate.RESEND for plan in plans):
        answer = executor.resend(intents)
        is_own = facts.others_answered or executor.is_own_failure
        plans = after_resending(replace(facts, others_answered=is_own), answer)
        if executor.has_written:
            breaker.grow_batches(has_written=True)
    settle_creates(lease, board, plans)
    return executor.stop_reason
