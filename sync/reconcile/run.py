"""The pass: reads, decides by the ordered list of rules, sends and stores; `sync.reconcile` says which step is where.

Each rule takes the facts, which stay as they are, and fills in the plan. What depends on Monday's answer to a write is
no rule: changes.py, and settle/record.py with `leave_out_after_write` of board_filter.py.
"""

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from functools import wraps

import structlog
from django.db import transaction

from sync.boards.board_columns import store_inspection
from sync.clock import SyncNow
from sync.fields.lookups import load_board
from sync.limits import breaker
from sync.models import BoardLink
from sync.monday.lag import LAG_BUCKETS
from sync.outbox.claim import Claim, Lease
from sync.reconcile import (
    board_filter,
    emptied_cells,
    field_plan,
    lost_updates,
    no_call_needed,
    our_writes,
    read_lag,
    restraints,
)
from sync.reconcile.facts import PassFacts
from sync.reconcile.failed_reads import end_after_failed_read
from sync.reconcile.gather.gatherer import Gatherer
from sync.reconcile.missing import deleted_records, duplicates, identity, questions, removed_items, unmatched_items
from sync.reconcile.outcomes import ANSWERED, LINKED, Ending, Outcome
from sync.reconcile.pass_plan import DeletedPlan, Plan, PlanRule, RecordPlan, RecordRule
from sync.reconcile.send import Executor, send_plan
from sync.reconcile.settle.pass_run import PassRun
from sync.reconcile.settle.transaction import settle_pass
from sync.words.message import Message

log = structlog.get_logger(__name__)


def each_record(rule: RecordRule) -> PlanRule:
    """Return the plan rule that applies this rule to every open record."""

    @wraps(rule)
    def apply(facts: PassFacts, plan: Plan) -> None:
        for record_plan in plan.records.values():
            if record_plan.is_open:
                rule(facts, record_plan)

    return apply


BEFORE_READING: tuple[PlanRule, ...] = (
    # An answer to “who is this?” changes links, on which everything below depends.
    questions.apply_answers,
    # Then end all that needs no call. Lost updates are found before unchanged records end: the events may tell of edits
    # that we overwrote.
    deleted_records.end_deleted_without_call,  # deleted records
    each_record(board_filter.filter_record),  # by the conditions on NPD's records
    lost_updates.find_lost_updates,  # also of deleted records
    each_record(no_call_needed.end_without_call),  # sync off; nothing changed; our own echo
    each_record(identity.end_unmatchable),  # a column that matches items is missing
)

AFTER_READING: tuple[PlanRule, ...] = (
    # What Monday's answers don't show yet decides nothing.
    deleted_records.take_items_of_deleted,
    read_lag.wait_for_stale_items,
    # Links come before everything that compares the two sides. decide_removed_items ends the records whose items are
    # gone, so it asks for approvals itself; so does decide_deleted_records.
    identity.identify_records,  # each record's `item`, or that it gets a new one
    removed_items.decide_removed_items,  # of records whose item is gone
    # A person's request to unlink overrides the rules for removed items. Stale cells must not reach the filter.
    removed_items.apply_unlinks,
    each_record(read_lag.set_aside_stale_reads),  # which Monday's own reports contradict
    each_record(emptied_cells.hold_emptied_cells),  # nor must cells that nobody emptied
    each_record(board_filter.filter_item),  # by the conditions on Monday's items, if it isn't synced yet
    # Unmatched items come before deleted records because one may take over from a removed item.
    unmatched_items.decide_unmatched,
    deleted_records.decide_deleted_records,
    duplicates.find_possible_duplicates,
    # Fields are merged with the bases that earlier writes left. Then the restraints apply: a field in a loop is
    # throttled, and too many clears wait.
    each_record(our_writes.take_bases),
    each_record(field_plan.fill_in_fields),  # what is sent and written of each field, by merge.py
    each_record(restraints.throttle_write_loops),
    restraints.request_approvals,
    lost_updates.keep_lost_updates,  # depends on what is sent in the end
    each_record(identity.end_uncreatable),  # without a name to send
)

RULES = (*BEFORE_READING, *AFTER_READING)


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
    if gatherer.inspected is not None:
        store_inspection(lease.link, gatherer.inspected)
    if gatherer.error is not None:
        end_after_failed_read(lease, gatherer, facts, plan)
    elif gatherer.calls:  # without one, all jobs ended before reading
        executor = Executor(lease, facts.board, gatherer.connector, read_at=facts.now, began_at=started)
        executor.stop_reason = breaker.WRITES_STOPPED if writes_wait_seconds else ""
        _act(executor, facts, plan)
    run = PassRun(lease, facts.board, batch_id, started, writes_wait_seconds=writes_wait_seconds)
    run.calls = gatherer.calls
    run.read_request_id = gatherer.request_id
    plan = settle_pass(run, facts, plan)
    return _log_pass(run, facts, plan, len(claims))


def plan_pass(gatherer: Gatherer, facts: PassFacts) -> Plan:
    """Decide what needs no item, read Monday into the facts, and decide the rest.

    If Monday can't be read, `gatherer.error` is set and only the rules before reading were applied.
    """
    plan = new_plan(facts)
    decide(facts, plan, BEFORE_READING)
    gatherer.gather(facts, plan)
    if gatherer.error is None:
        decide(facts, plan, AFTER_READING)
    return plan


NO_RECORD = Ending(Outcome.DONE, Message("no_such_record"))


def new_plan(facts: PassFacts) -> Plan:
    """Return the plan in which nothing is decided yet."""
    return Plan(
        {record_facts.id: RecordPlan(record_facts) for record_facts in facts.records},
        {deleted.id: DeletedPlan(deleted) for deleted in facts.deleted},
        other_jobs=[(claim, NO_RECORD) for claim in facts.unknown],
    )


def decide(facts: PassFacts, plan: Plan, rules: Sequence[PlanRule]) -> None:
    """Fill in the plan of a pass by these rules."""
    for rule in rules:
        rule(facts, plan)


def _act(executor: Executor, facts: PassFacts, plan: Plan) -> None:
    """Send the plan of a pass that could be read, and forget failures that are over by that. Raises LeaseLost."""
    link = executor.lease.link
    breaker.end_stop(link)
    BoardLink.objects.filter(pk=link.pk).update(last_pass_at=SyncNow())
    send_plan(executor, facts, plan)
    endings = [record_plan.ending for record_plan in plan.records.values()]
    released = [ending for ending in endings if ending.outcome is Outcome.RELEASED]
    # Only a pass that went through shows that Monday copes with this many records; changed links are no failure.
    if not executor.stop_reason and all(ending in (ANSWERED, LINKED) for ending in released):
        breaker.forget_failures(has_written=executor.has_written)


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
        completed=outcomes[Outcome.DONE],
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
