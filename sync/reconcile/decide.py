"""Decides what a pass does, as a pure function of its facts: the list of rules, and the reasons for their order.

Each rule takes the facts, which stay as they are, and fills in the plan. The rules in this file end records that need
no call, for example because a webhook only reports our own write (W26 in docs/reference/merge/after-a-write.md), or
that can't be decided yet; the others have modules of their own.

What depends on Monday's answer to a write is no rule: changes.py, and settle/record.py with `leave_out_after_write` of
board_filter.py.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

from sync.choices import BlockedCode, Cause
from sync.fields import field_bases, field_values
from sync.fields.field_values import BoardContext
from sync.models.records_and_items import SWALLOWED
from sync.monday.board_events import EventKind, ItemEvent
from sync.monday.board_items import NAME_COLUMN
from sync.monday.conversion import UnknownValue
from sync.reconcile import our_writes, pass_plan
from sync.reconcile.board_filter import filter_item, filter_record, keep_only_pulls
from sync.reconcile.change_events import EDIT_KINDS, event_value
from sync.reconcile.emptied_cells import hold_emptied_cells, note_dropped_edits
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import fill_in_fields
from sync.reconcile.lost_updates import find_lost_updates, keep_lost_values
from sync.reconcile.missing.deleted_records import (
    decide_deleted_records,
    end_deleted_without_call,
    take_items_of_deleted,
)
from sync.reconcile.missing.duplicates import decide_duplicates, find_possible_duplicates
from sync.reconcile.missing.identity import identify_records
from sync.reconcile.missing.questions import apply_answers
from sync.reconcile.missing.removed_items import apply_unlinks, decide_removed_items, requested_unlink
from sync.reconcile.missing.unmatched_items import decide_unmatched
from sync.reconcile.read_lag import note_unshown_edits, set_aside_stale_reads, wait_for_stale_items
from sync.reconcile.restraints import request_approvals, throttle_write_loops
from sync.words.message import Message, sentences

NO_RECORD = pass_plan.Ending(pass_plan.Outcome.SETTLED, Message("no_such_record"))


def each_record(rule: pass_plan.RecordRule) -> pass_plan.PlanRule:
    """Return the plan rule that applies this rule to every open record."""

    @wraps(rule)
    def apply(facts: PassFacts, plan: pass_plan.Plan) -> None:
        for record_plan in plan.records.values():
            if record_plan.is_open:
                rule(facts, record_plan)

    return apply


def end_without_call(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """End a record that needs no call: its sync is off, a save changed nothing, or a webhook reports what is known."""
    board = facts.board
    record_facts = plan.facts
    causes = record_facts.causes
    if not plan.record.may_sync and not record_facts.is_pushed_by_name and not requested_unlink(record_facts):
        # The item isn't read any more. With sync on again, this makes the first pass read it (`_has_nothing_new`).
        plan.sync_state.remote_state = ""
        plan.end(pass_plan.Outcome.SETTLED, Message("sync_is_off"), reason="")
    elif causes == Cause.SAVE and not record_facts.history.unchecked_events and _has_nothing_new(board, plan):
        plan.end(pass_plan.Outcome.SETTLED, Message("nothing_changed"))
    elif causes == Cause.WEBHOOK and _is_echo(board, plan):
        plan.ending = pass_plan.NOTHING_NEW


def _has_nothing_new(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether NPD's half of every base is still the record's value, and nothing else is left for a pass to do."""
    record = plan.record
    facts = plan.facts
    sync_state = plan.sync_state
    has_open_work = any(
        (
            facts.has_open_work,
            plan.lost_updates,
            facts.has_failed_job,
            any(entry.get("code") != BlockedCode.RELATION_SKIPPED for entry in sync_state.blocked_fields.values()),
            any(SWALLOWED in entry for entry in sync_state.altered.values()),
            sync_state.note,
            sync_state.left_out,
            sync_state.remote_state != field_values.ACTIVE,
        )
    )
    if not record.monday_id or has_open_work:
        return False
    for mapping in board.mapped:
        base = field_bases.base_of(sync_state, mapping, record.monday_id)
        converter = board.converter(mapping, record)
        # A base marked AS_SENT says that Monday has somebody's edit, which no pass has pulled yet.
        if base is None or base.get(field_bases.AS_SENT):
            return False
        if not field_bases.sides_of(converter, base, local=field_values.local_values(record, mapping)).local_unchanged:
            return False
    return True


def _is_echo(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether all events only report values of the base, which are mostly our own writes."""
    events = plan.history.unchecked_events
    if not events or not _has_nothing_new(board, plan):
        return False
    return all(row.event is not None and _reports_base(board, plan, row.event) for row in events)


def _reports_base(board: BoardContext, plan: pass_plan.RecordPlan, event: ItemEvent) -> bool:
    """Whether an event reports nothing but values of the base."""
    values: dict[str, Any] = {}  # by column
    if event.kind in EDIT_KINDS:
        column = NAME_COLUMN if event.kind is EventKind.RENAMED else event.column_id or ""
        if column == board.link.npd_id_column:
            return False  # somebody may have typed it, and no base has its value
        values = {column: event.value}
    elif event.kind is EventKind.CREATED:
        values = {mapping.column_id: (event.column_values or {}).get(mapping.column_id) for mapping in board.mapped}
        values[NAME_COLUMN] = {"name": event.item_name}
    elif event.kind is not EventKind.OTHER and (event.kind is not EventKind.MOVED or board.sync_filter.asks_group):
        return False  # for its new group the filter may leave it out
    for mapping in board.mapped:
        if mapping.column_id not in values:
            continue
        base = field_bases.base_of(plan.sync_state, mapping, plan.record.monday_id or "")
        converter = board.converter(mapping, plan.record)
        with suppress(UnknownValue):
            value = event_value(converter, values[mapping.column_id], event.column_type or "")
            if base is not None and value == converter.canonical_remote(base["remote"]):
                continue
        return False
    return True


def end_unmatchable(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """End a record without an item if a column that matches items is missing: a new item could be a second one."""
    match = facts.board.match_mapping
    reason = facts.board.link.npd_id_problem
    if not reason and match is not None and match.problem:
        reason = sentences(match.problem, Message("match_column_missing"))
    if reason and not plan.record.monday_id:
        plan.end_settled(reason)


def end_uncreatable(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Settle a record that can't have an item because its name is missing or blocked."""
    if not plan.creates:
        return
    name = next((entry for entry in plan.fields.values() if entry.mapping.column_id == NAME_COLUMN), None)
    if name is None or name.blocked_code:
        problem = name.blocked_reason if name else Message("no_name_mapped")
        plan.end_settled(Message("not_put_on_board", why=problem))


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
    each_record(note_dropped_edits),  # likewise
    # These depend on the records' final plans.
    decide_duplicates,
    each_record(end_uncreatable),  # without a name to send
)

RULES = (*BEFORE_READING, *AFTER_READING)


def new_plan(facts: PassFacts) -> pass_plan.Plan:
    """Return the plan in which nothing is decided yet."""
    return pass_plan.Plan(
        {record.id: pass_plan.RecordPlan(record) for record in facts.records},
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
