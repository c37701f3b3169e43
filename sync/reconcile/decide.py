"""Decides what a pass does, as a pure function of its facts: the list of rules, and the reasons for their order.

Each rule takes the facts, which stay as they are, and fills in the plan.

What depends on Monday's answer to a write is no rule: changes.py, and settle/record.py with `leave_out_after_write` of
board_filter.py.
"""

from collections.abc import Sequence
from functools import wraps

from sync.reconcile import our_writes, pass_plan
from sync.reconcile.board_filter import filter_item, filter_record, keep_only_pulls
from sync.reconcile.emptied_cells import hold_emptied_cells, note_dropped_edits
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import fill_in_fields
from sync.reconcile.lost_updates import find_lost_updates, keep_lost_values
from sync.reconcile.missing.deleted_records import (
    decide_deleted_records,
    end_deleted_without_call,
    take_items_of_deleted,
)
from sync.reconcile.missing.duplicates import find_possible_duplicates
from sync.reconcile.missing.identity import end_uncreatable, end_unmatchable, identify_records
from sync.reconcile.missing.questions import apply_answers
from sync.reconcile.missing.removed_items import apply_unlinks, decide_removed_items
from sync.reconcile.missing.unmatched_items import decide_unmatched
from sync.reconcile.no_call_needed import end_without_call
from sync.reconcile.read_lag import note_unshown_edits, set_aside_stale_reads, wait_for_stale_items
from sync.reconcile.restraints import request_approvals, throttle_write_loops
from sync.words.message import Message

NO_RECORD = pass_plan.Ending(pass_plan.Outcome.SETTLED, Message("no_such_record"))


def each_record(rule: pass_plan.RecordRule) -> pass_plan.PlanRule:
    """Return the plan rule that applies this rule to every open record."""

    @wraps(rule)
    def apply(facts: PassFacts, plan: pass_plan.Plan) -> None:
        for record_plan in plan.records.values():
            if record_plan.is_open:
                rule(facts, record_plan)

    return apply


BEFORE_READING: tuple[pass_plan.PlanRule, ...] = (
    # An answer to “who is this?” changes links, on which everything below depends.
    apply_answers,
    # Then end all that needs no call. Lost updates are found before unchanged records end: the events may tell of edits
    # that we overwrote.
    end_deleted_without_call,  # deleted records
    each_record(filter_record),  # by the conditions on NPD's records
    find_lost_updates,  # also of deleted records
    each_record(end_without_call),  # sync off; nothing changed; our own echo
    each_record(end_unmatchable),  # a column that matches items is missing
)

AFTER_READING: tuple[pass_plan.PlanRule, ...] = (
    # What Monday's answers don't show yet decides nothing.
    take_items_of_deleted,
    wait_for_stale_items,
    # Links come before everything that compares the two sides. decide_removed_items ends the records whose items are
    # gone, so it asks for approvals itself; so does decide_deleted_records.
    identify_records,
    decide_removed_items,
    # A person's request to unlink overrides the rules for removed items. Stale cells must not reach the filter.
    apply_unlinks,
    each_record(set_aside_stale_reads),
    each_record(hold_emptied_cells),  # nor must cells that nobody emptied
    each_record(filter_item),  # by the conditions on Monday's items
    # Unmatched items come before deleted records because one may take over from a removed item.
    decide_unmatched,
    decide_deleted_records,
    find_possible_duplicates,
    # Fields are merged with the bases that earlier writes left. Then the restraints apply: a pair that the
    # filter leaves out after this pass only pulls, a field in a loop is throttled, and too many clears wait.
    each_record(our_writes.take_bases),
    each_record(fill_in_fields),
    each_record(keep_only_pulls),
    keep_lost_values,  # depends on the field plans
    each_record(throttle_write_loops),
    request_approvals,
    each_record(note_unshown_edits),  # of what is sent in the end
    each_record(note_dropped_edits),
    each_record(end_uncreatable),  # without a name to send
)

RULES = (*BEFORE_READING, *AFTER_READING)


def new_plan(facts: PassFacts) -> pass_plan.Plan:
    """Return the plan in which nothing is decided yet."""
    return pass_plan.Plan(
        {record_facts.id: pass_plan.RecordPlan(record_facts) for record_facts in facts.records},
        {deleted.id: pass_plan.DeletedPlan(deleted) for deleted in facts.deleted},
        other_jobs=[(claim, NO_RECORD) for claim in facts.unknown],
    )


def decide(
    facts: PassFacts, plan: pass_plan.Plan | None = None, rules: Sequence[pass_plan.PlanRule] = RULES
) -> pass_plan.Plan:
    """Fill in and return the plan of a pass with these facts: a new one, or one that earlier rules began."""
    plan = new_plan(facts) if plan is None else plan
    for rule in rules:
        rule(facts, plan)
    return plan


def end_unread(
    facts: PassFacts, plan: pass_plan.Plan, ending: pass_plan.Ending, ending_of_items: pass_plan.Ending | None = None
) -> None:
    """End a pass after a failed read with `ending`; claims of items may have another one."""
    for record_plan in (*plan.open_deleted, *plan.open_records):
        record_plan.ending = ending
    # No rule has planned these items, because that comes after reading.
    plan.other_jobs += [(claim, ending_of_items or ending) for claim in facts.item_claims]
