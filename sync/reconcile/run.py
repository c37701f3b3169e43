"""Runs a pass, from reading to the log line about it; `sync.reconcile` says which step is where."""

import time
import uuid
from collections import Counter
from collections.abc import Sequence

import structlog
from django.db import transaction

from sync.boards.board_columns import store_inspection
from sync.clock import SyncNow
from sync.fields.lookups import load_board
from sync.limits import breaker
from sync.limits.api_quota import batch_size
from sync.models import BoardLink
from sync.monday.errors import TOO_COMPLEX, MondayError, Scope
from sync.monday.lag import LAG_BUCKETS
from sync.outbox.claim import Claim, Lease
from sync.reconcile import read_lag
from sync.reconcile.decide import AFTER_READING, BEFORE_READING, decide, end_unread
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather.gatherer import Gatherer
from sync.reconcile.pass_plan import ANSWERED, LINKED, Ending, Outcome, Plan
from sync.reconcile.send import Executor, send_plan
from sync.reconcile.settle.pass_run import PassRun
from sync.reconcile.settle.transaction import settle_pass
from sync.words.message import of_error

log = structlog.get_logger(__name__)


def reconcile(
    lease: Lease, claims: Sequence[Claim], batch_id: uuid.UUID, writes_wait_seconds: float = 0
) -> Counter[Outcome]:
    """Make both sides of the claimed records equal, or store why they differ; return the outcomes.

    `batch_id` identifies this pass in the sync state, the history and the log. With `writes_wait_seconds` nothing is
    sent, and records with something to send wait for that time. Raises LeaseLost.
    """
    started = time.monotonic()
    gatherer = Gatherer()
    facts = gatherer.read_claims(load_board(lease.link), claims)
    plan = plan_pass(gatherer, facts)
    if facts.columns is not None:
        store_inspection(lease.link, facts.columns)
    stop_reason = breaker.WRITES_STOPPED if writes_wait_seconds else ""
    executor = Executor(lease, facts.board, stop_reason, read_at=facts.now, began_at=started)
    if facts.error is not None:
        _end_after_failed_read(lease, gatherer, facts, plan)
    elif gatherer.calls:  # without one, all jobs ended before reading
        breaker.end_board_stop(lease.link)
        BoardLink.objects.filter(pk=lease.link.pk).update(last_pass_at=SyncNow())
        send_plan(executor, facts, plan)
        endings = [record_plan.ending for record_plan in plan.records.values()]
        released = [ending for ending in endings if ending.outcome is Outcome.RELEASED]
        # Only a pass that went through shows that Monday copes with this many records; changed links are no failure.
        if not executor.stop_reason and all(ending in (ANSWERED, LINKED) for ending in released):
            breaker.forget_failures(has_written=executor.has_written)
    run = PassRun(lease, facts.board, batch_id, started, writes_wait_seconds=writes_wait_seconds)
    run.calls = gatherer.calls + executor.calls
    run.read_request_id = gatherer.request_id
    plan = settle_pass(run, facts, plan)
    return _log_pass(run, facts, plan, len(claims))


def plan_pass(gatherer: Gatherer, facts: PassFacts) -> Plan:
    """Decide what needs no item, read Monday into the facts, and decide the rest.

    If Monday can't be read, `facts.error` is set and only the rules before reading were applied.
    """
    plan = decide(facts, rules=BEFORE_READING)
    gatherer.gather(facts, plan)
    if facts.error is None:
        decide(facts, plan, AFTER_READING)
    return plan


def _end_after_failed_read(lease: Lease, gatherer: Gatherer, facts: PassFacts, plan: Plan) -> None:
    """End the jobs of a pass that couldn't read; only a record's own failure costs an attempt."""
    error = facts.error
    assert error is not None
    record_count = len(plan.open_records) + len(plan.open_deleted)
    released = Ending(Outcome.RELEASED, of_error(error))
    if facts.columns is not None:
        # The next pass leaves out the missing column.
        end_unread(facts, plan, released)
    elif error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD):
        log.warning("read refused", board=lease.link.entity_type, scope=str(error.scope), reason=error.sentence)
        end_unread(facts, plan, _ending_of_refused_read(gatherer, facts, error, record_count + len(facts.item_claims)))
    else:
        log.warning("read failed", board=lease.link.entity_type, scope=str(error.scope), reason=error.sentence)
        breaker.stop_board_or_account(lease.link, error)
        ending = ending_of_failed_read(error, record_count, was_isolated=lease.was_isolated)
        end_unread(facts, plan, ending, ending_of_items=released)


def _ending_of_refused_read(gatherer: Gatherer, facts: PassFacts, error: MondayError, claim_count: int) -> Ending:
    """Return the ending of so many claims whose document Monday refused; one that was read alone is at fault."""
    link = facts.board.link
    if error.kind is TOO_COMPLEX and batch_size(link.pk) < claim_count:
        # No record is at fault, and the board's next document is smaller (limits/metered_client.py).
        return Ending(Outcome.RELEASED, of_error(error))
    if refusal := gatherer.try_without_items(facts.board):
        # A document without items is refused too, so the board waits.
        breaker.stop_board(link, refusal)
        return Ending(Outcome.RELEASED, of_error(refusal))
    if claim_count > 1:
        # They are read one by one, to find the one at fault.
        return Ending(Outcome.RELEASED, of_error(error), at_most=1)
    return Ending(Outcome.FAILED, of_error(error))


def ending_of_failed_read(error: MondayError, record_count: int, *, was_isolated: bool) -> Ending:
    """Return the ending of so many records that couldn't be read; a failure of one alone is an attempt."""
    is_transport = error.scope is Scope.TRANSPORT
    # One of the records may be at fault, so they are read again in parts; one that fails alone is at fault.
    at_most = max(1, record_count // breaker.PARTS) if is_transport else 0
    counts_attempt = is_transport and record_count == 1 and was_isolated
    return Ending(Outcome.FAILED if counts_attempt else Outcome.RELEASED, of_error(error), at_most=at_most)


def _log_pass(run: PassRun, facts: PassFacts, plan: Plan, claim_count: int) -> Counter[Outcome]:
    """Count the reads that lagged, and log the pass and what went wrong in it; return its outcomes."""
    lags = [read_lag.confirmed_lag(facts, record_plan) for record_plan in plan.records.values()]
    if confirmed := [lag for lag in lags if lag is not None]:
        _count_read_lags(run.link, confirmed)
    for record_id, fault in plan.event_faults:
        log.error("events not checked", record=str(record_id), exc_info=fault)
    outcomes = Counter(entity.outcome for entity in (*plan.records.values(), *plan.deleted.values()))
    outcomes.update(item.outcome for item in plan.items)
    outcomes.update(ending.outcome for _, ending in plan.other_jobs)
    log.info(
        "pass done",
        seconds=round(time.monotonic() - run.started, 3),
        records=claim_count,
        calls=run.calls,
        completed=outcomes[Outcome.SETTLED],
        failed=outcomes[Outcome.FAILED],
        waiting=outcomes[Outcome.RELEASED] + outcomes[Outcome.DEFERRED],
    )
    return outcomes


def _count_read_lags(link: BoardLink, lags: Sequence[float]) -> None:
    """Count after how many seconds reads showed what was reported, for /metrics."""
    with transaction.atomic():
        counts = BoardLink.objects.select_for_update().values_list("read_lags", flat=True).get(pk=link.pk)
        for lag in lags:
            bucket = next((str(limit) for limit in LAG_BUCKETS if lag <= limit), "inf")
            counts[bucket] = counts.get(bucket, 0) + 1
            counts["sum"] = counts.get("sum", 0.0) + lag
        BoardLink.objects.filter(pk=link.pk).update(read_lags=counts)
