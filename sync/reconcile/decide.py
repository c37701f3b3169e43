"""Decide: what a pass does, as a pure function of its facts. This file has the order of the rules, with reasons.

Each rule takes the facts and the plan so far, and returns the plan with its own part. To know only what a pass would
do, call `decide`.
"""

from collections.abc import Sequence
from dataclasses import replace

from sync.reconcile import pass_plan, sides
from sync.reconcile.board_filter import filter_item, filter_record, keep_only_pulls
from sync.reconcile.deleted_records import decide_deleted_records, end_unread_deleted
from sync.reconcile.duplicates import decide_duplicates, find_possible_duplicates
from sync.reconcile.field_plan import with_fields
from sync.reconcile.identity import carry_out_answers, identify_records
from sync.reconcile.lost_updates import find_lost_updates, report_what_is_lost
from sync.reconcile.new_items import decide_unmatched
from sync.reconcile.removed_items import decide_removals
from sync.reconcile.restraints import request_approvals, throttle_write_loops
from sync.reconcile.unconfirmed_writes import with_earlier_bases
from sync.reconcile.writes import end_uncreatable


def each_record(rule: pass_plan.RecordRule) -> pass_plan.PlanRule:
    """Return the rule of a pass that decides every record that goes on by itself."""

    def of_pass(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
        decided = [(record, rule(facts, record)) for record in plan.open_records]
        changed = [after for before, after in decided if after is not before]
        return plan.with_records(changed) if changed else plan

    return of_pass


BEFORE_READING: tuple[pass_plan.PlanRule, ...] = (
    # An answer to “who is this?” changes whose item is whose, which everything below asks.
    carry_out_answers,
    # What needs no call ends before one is made: what is settled without the item, what the filter leaves out, and,
    # only after events were checked for edits that we wrote over, what brought nothing new.
    end_unread_deleted,  # deleted, and its item is nobody's business any more
    each_record(filter_record),  # left out by NPD's side of the filter
    find_lost_updates,  # which edits on Monday our writes went over, also of records that were deleted since
    sides.end_unchanged,  # sync off; nothing changed; our own echo
    each_record(sides.end_unmatchable),  # without the column by which a new item would be known, none is made
)

AFTER_READING: tuple[pass_plan.PlanRule, ...] = (
    # Which item is whose comes before everything that compares the two. Whose item is gone is decided before anybody
    # gets a new one. That ends the record's pass, whom later rules don't see any more: approvals are asked at once,
    # there and of deleted records.
    identify_records,  # linked, or its item is gone; one hit links, several are asked about, none is made
    decide_removals,  # gone: quiet first; then the policy, or a question where it was edited or may be there still
    # A person's wish to unlink goes over whatever became of the item: also of records that have ended.
    # The filter looks at the item as it is: one that shows what we have replaced since comes back in the next pass.
    sides.apply_unlinks,  # its NPD ID is cleared; settle turns its sync off and remembers the item
    each_record(sides.look_again_at_stale),
    each_record(filter_item),  # left out by Monday's side of the filter, or leaving with this pass
    # Items without a record come before deleted records: one of them may take the place of a gone one, and one that
    # belongs to a deleted record only wakes that, whose own pass decides.
    decide_unmatched,  # linked, asked about, made into a record, left alone, a second item, gone
    decide_deleted_records,  # archive, delete, unlink or ask; edited or restored since: ask
    find_possible_duplicates,  # a record made from an item whose key is another's by now
    # Fields, by all that is known of earlier writes. Then the limits: a pair that leaves the filter only takes values
    # from Monday; a field in a loop is slowed; too many emptied fields wait for approval. What was lost is reported by
    # what the fields became.
    each_record(with_earlier_bases),
    each_record(with_fields),  # per field: undo, a person's choice, else merge.py; then what either side won't take
    each_record(keep_only_pulls),
    report_what_is_lost,
    each_record(throttle_write_loops),
    request_approvals,
    # Second items go by what the records became, and nothing is made of a record that has no name to send.
    decide_duplicates,
    each_record(end_uncreatable),
)

RULES = (*BEFORE_READING, *AFTER_READING)


def first_plan(facts: pass_plan.PassFacts) -> pass_plan.Plan:
    """Return the plan before any rule: everything goes on, but for jobs of what is no record."""
    nothing = pass_plan.Ending(pass_plan.Outcome.SETTLED, "There is no such record, and none is remembered.")
    return pass_plan.Plan(
        {record.id: pass_plan.RecordPlan(record) for record in facts.records},
        {deleted.id: pass_plan.DeletedPlan(deleted) for deleted in facts.deleted},
        other_jobs=tuple((claim, nothing) for claim in facts.unknown),
    )


def decide(
    facts: pass_plan.PassFacts, plan: pass_plan.Plan | None = None, rules: Sequence[pass_plan.PlanRule] = RULES
) -> pass_plan.Plan:
    """Return the plan of a pass with these facts; with `plan` and `rules`, go on from that plan with those rules."""
    plan = plan or first_plan(facts)
    for rule in rules:
        plan = rule(facts, plan)
    return plan


def unread(
    facts: pass_plan.PassFacts, plan: pass_plan.Plan, ending: pass_plan.Ending, ending_of_items: pass_plan.Ending
) -> pass_plan.Plan:
    """Return the plan where Monday could not be read: what still went on ends so; what had ended stands."""
    ended = [record.end(ending.outcome, ending.detail, at_most=ending.at_most) for record in plan.open_records]
    plan = plan.with_records(ended).with_deleted(replace(deleted, ending=ending) for deleted in plan.open_deleted)
    jobs = tuple((claim, ending_of_items) for claim in facts.item_claims) if not plan.items else ()
    return replace(plan, other_jobs=(*plan.other_jobs, *jobs))
