"""Decides what a pass does, as a pure function of its facts: the list of rules, and the reasons for their order.

Each rule takes the facts and the plan so far, and returns a new plan. `decide` alone tells what a pass would do,
but for what only Monday's answer shows: record_writes.py and changes.py, with the filter's last rule
(`left_out_after_write`).
"""

from collections.abc import Sequence
from dataclasses import replace

from sync.reconcile import pass_plan, sides
from sync.reconcile.board_filter import filter_item, filter_record, keep_only_pulls
from sync.reconcile.deleted_records import decide_deleted_records, end_before_reading
from sync.reconcile.duplicates import decide_duplicates, find_possible_duplicates
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import with_fields
from sync.reconcile.identity import carry_out_answers, identify_records
from sync.reconcile.lost_updates import find_lost_updates, keep_lost_values
from sync.reconcile.new_items import decide_unmatched
from sync.reconcile.record_writes import end_uncreatable
from sync.reconcile.removed_items import decide_removals
from sync.reconcile.restraints import request_approvals, throttle_write_loops
from sync.reconcile.unconfirmed_writes import with_earlier_bases


def each_record(rule: pass_plan.RecordRule) -> pass_plan.PlanRule:
    """Return the plan rule that applies this rule to every open record."""

    def apply(facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
        decided = [(record_plan, rule(facts, record_plan)) for record_plan in plan.open_records]
        return plan.with_records([after for before, after in decided if after is not before])

    return apply


BEFORE_READING: tuple[pass_plan.PlanRule, ...] = (
    # An answer to “who is this?” changes links, on which everything below depends.
    carry_out_answers,
    # Then end all that needs no call. Lost updates are found before unchanged records end: the events may tell of edits
    # that we overwrote.
    end_before_reading,  # deleted records
    each_record(filter_record),  # by the conditions on NPD's records
    find_lost_updates,  # also of deleted records
    sides.end_unchanged,  # sync off; nothing changed; our own echo
    each_record(sides.end_unmatchable),  # a column that matches items is missing
)

AFTER_READING: tuple[pass_plan.PlanRule, ...] = (
    # Links come before everything that compares the two sides. decide_removals ends the records with removed items, so
    # it asks for approvals itself; so does decide_deleted_records.
    identify_records,
    decide_removals,
    # A person's request to unlink overrides the rules for removed items. Stale items must not reach the filter.
    sides.apply_unlinks,
    each_record(sides.repeat_stale_read),
    each_record(filter_item),  # by the conditions on Monday's items
    # Unmatched items come before deleted records because one may take over from a removed item.
    decide_unmatched,
    decide_deleted_records,
    find_possible_duplicates,
    # Fields are merged with the bases that earlier writes left. Then the restraints apply: a pair that the
    # filter leaves out after this pass only pulls, a field in a loop is throttled, and too many clears wait.
    each_record(with_earlier_bases),
    each_record(with_fields),
    each_record(keep_only_pulls),
    keep_lost_values,  # depends on the field plans
    each_record(throttle_write_loops),
    request_approvals,
    # These depend on the records' final plans.
    decide_duplicates,
    each_record(end_uncreatable),  # without a name to send
)

RULES = (*BEFORE_READING, *AFTER_READING)


def decide(
    facts: PassFacts, plan: pass_plan.Plan | None = None, rules: Sequence[pass_plan.PlanRule] = RULES
) -> pass_plan.Plan:
    """Return the plan of a pass with these facts; `plan` and `rules` continue from an earlier plan."""
    if plan is None:
        no_record = pass_plan.Ending(pass_plan.Outcome.SETTLED, "There is no such record, and none is remembered.")
        plan = pass_plan.Plan(
            {record.id: pass_plan.RecordPlan(record) for record in facts.records},
            {deleted.id: pass_plan.DeletedPlan(deleted) for deleted in facts.deleted},
            other_jobs=tuple((claim, no_record) for claim in facts.unknown),
        )
    for rule in rules:
        plan = rule(facts, plan)
    return plan


def unread(
    facts: PassFacts, plan: pass_plan.Plan, ending: pass_plan.Ending, ending_of_items: pass_plan.Ending
) -> pass_plan.Plan:
    """Return the plan after a failed read: everything that is open ends with these endings."""
    plan = plan.with_deleted(replace(deleted, ending=ending) for deleted in plan.open_deleted)
    plan = plan.with_records(replace(record_plan, ending=ending) for record_plan in plan.open_records)
    jobs = tuple((claim, ending_of_items) for claim in facts.item_claims) if not plan.items else ()
    return replace(plan, other_jobs=(*plan.other_jobs, *jobs))
