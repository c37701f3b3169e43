"""The board's filter in a pass: which records and items it leaves out, and how a pair leaves and returns.

Implements “What a filter leaves out” of docs/reference/merge.md. For items without a record and for matches see
new_items.py and identity.py; they ask the verdicts here.

A pair is synced while the conditions of both sides hold. Out of the filter nothing of it is sent, taken over, cleared,
deleted or unlinked; link, base and NPD ID stay, so that the merge goes on from the base once the pair is back. A
condition that can't be evaluated leaves the pair as it was.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sync import merge
from sync.boards import sync_filter
from sync.boards.sync_filter import FilterCondition, FilterSide, FilterVerdict
from sync.choices import BlockedCode, SyncDirection
from sync.models import FieldMapping, SyncedModel
from sync.monday.board_items import GROUP, Item
from sync.monday.conversion import Canonical, Converter, UnknownValue
from sync.monday.texts import fold_whitespace
from sync.reconcile import field_values, pass_plan
from sync.reconcile.facts import HistoryLine, RecordFacts
from sync.reconcile.field_plan import base_of, cell_of, is_emptied_by_removal, side_of
from sync.records.item_links import UNLINK_KEY
from sync.registry import relation_of

LEFT_OUT = "Left out by the filter:"


# What a record, an item, and an item that would be made say to the conditions.


def record_verdict(
    board: field_values.BoardContext, record: SyncedModel, taken: Mapping[str, Mapping[str, Any] | None] | None = None
) -> FilterVerdict:
    """Return whether the record matches the conditions on NPD's records; `taken` are values that it is to have."""

    def holds(condition: FilterCondition, mapping: FieldMapping) -> bool | None:
        values = dict((taken or {}).get(mapping.key) or field_values.stored_values(record, mapping))
        convert = board.converter(mapping, record)
        if relation_of(board.model, mapping.fields) is None:
            return _side_holds(board, condition, mapping, convert, side_of(convert.local, values))
        # By its name, for a related record without an item has no canonical form yet.
        wanted = frozenset(filter(None, map(fold_whitespace, condition.values)))
        name = fold_whitespace(field_values.related_name(values))
        return sync_filter.condition_holds(condition.op, name, wanted, _text)

    return _verdict(board, FilterSide.RECORD, holds)


def item_verdict(
    board: field_values.BoardContext, item: Item, record: SyncedModel | None = None, emptied: Collection[str] = ()
) -> FilterVerdict:
    """Return whether the item matches the conditions on Monday's items; `record` is the one that has it.

    `emptied` are the fields whose cells nobody emptied: the items that they named left their boards.
    """
    # An item that was moved to another board has a group of that board.
    is_known = item.group_id is not None and item.board_id in (None, board.link.board_id)

    def value_of(mapping: FieldMapping, convert: Converter) -> merge.Side:
        if convert.names_items and item.state != field_values.ACTIVE:
            return merge.Unknown("An item that is gone leaves every cell of connected boards empty.")
        if mapping.key in emptied:
            return merge.Unknown("The item that it named left its board, which empties the cell.")
        return side_of(convert.remote, cell_of(convert, mapping, item))

    return _items_verdict(board, record, item.group_id if is_known else None, value_of)


def new_item_verdict(board: field_values.BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the item that a pass would make for a record would match.

    So that no item is made that the filter would leave out at once.
    """

    def value_of(mapping: FieldMapping, convert: Converter) -> merge.Side:
        ways = {mapping.direction, record.sync_direction}
        if ways.isdisjoint({SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD}) or mapping.column_id == "name":
            return side_of(convert.local, field_values.stored_values(record, mapping))
        return None

    # Without a group of its own choice the item goes to the topmost one, which isn't known here.
    return _items_verdict(board, record, board.link.group_id or None, value_of)


def _items_verdict(
    board: field_values.BoardContext,
    record: SyncedModel | None,
    group_id: str | None,
    value_of: Callable[[FieldMapping, Converter], merge.Side],
) -> FilterVerdict:
    def holds(condition: FilterCondition, mapping: FieldMapping) -> bool | None:
        if not mapping.column_id:
            return None
        convert = board.converter(mapping, record)
        return _side_holds(board, condition, mapping, convert, value_of(mapping, convert))

    return _verdict(board, FilterSide.ITEM, holds, group_id)


def _verdict(
    board: field_values.BoardContext,
    side: FilterSide,
    holds: Callable[[FilterCondition, FieldMapping], bool | None],
    group_id: str | None = None,
) -> FilterVerdict:
    """Return whether all conditions of a side hold, else the sentence that says why, or that it can't be told."""
    conditions = board.sync_filter.records if side is FilterSide.RECORD else board.sync_filter.items
    if not conditions:
        return sync_filter.HOLDS
    by_key = {mapping.key: mapping for mapping in board.mappings}

    def answer(condition: FilterCondition) -> bool | None:
        if condition.field == GROUP:
            group = merge.Unknown("Its group is not known.") if group_id is None else group_id
            return sync_filter.condition_holds(condition.op, group, frozenset(condition.values), str)
        mapping = by_key.get(condition.field)
        return holds(condition, mapping) if mapping else None

    verdict = sync_filter.verdict_of(conditions, answer)
    if verdict.because is None:
        return verdict
    name = sync_filter.field_name(verdict.because, {mapping.key: mapping.label for mapping in board.mappings})
    if side is FilterSide.ITEM:
        name = f"{name} on Monday"
    sentence = f"{LEFT_OUT} {verdict.because.failure(name)}."
    if verdict.holds is None:
        sentence = f"Whether the filter leaves it out is not known, for {name} can't be read."
    return replace(verdict, sentence=sentence)


def _emptied_by_removal(facts: pass_plan.PassFacts, record: RecordFacts, item: Item) -> frozenset[str]:
    """Return the filter's fields whose cells nobody emptied: the items that they named left their boards."""
    filtered = {condition.field for condition in facts.board.sync_filter.items}
    emptied = set[str]()
    for mapping, _ in facts.board.relations:
        convert = facts.board.converter(mapping, record.record)
        base = base_of(record.ledger, mapping, item.id)
        if mapping.key not in filtered or base is None:
            continue
        with suppress(UnknownValue):
            if is_emptied_by_removal(facts, convert, side_of(convert.remote, cell_of(convert, mapping, item)), base):
                emptied.add(mapping.key)
    return frozenset(emptied)


def may_have_new_item(board: field_values.BoardContext, record: SyncedModel) -> bool:
    return record_verdict(board, record).holds is True and new_item_verdict(board, record).holds is True


def _side_holds(
    board: field_values.BoardContext,
    condition: FilterCondition,
    mapping: FieldMapping,
    convert: Converter,
    value: merge.Side,
) -> bool | None:
    wanted = _wanted(board.model, tuple(mapping.fields), convert, condition)
    return sync_filter.condition_holds(condition.op, value, wanted, convert.display)


def _text(value: Canonical) -> str:
    return value if isinstance(value, str) else ""


@lru_cache
def _wanted(
    model: type[SyncedModel], fields: tuple[str, ...], convert: Converter, condition: FilterCondition
) -> frozenset[str]:
    """Return the condition's values as the converter compares them; parts of a text as they are."""
    if condition.op is sync_filter.FilterOp.CONTAINS:
        return frozenset(condition.values)
    empty = field_values.stored_field_values(model(), fields)
    return frozenset().union(*(_canonical_text(convert, empty, text) for text in condition.values))


def _canonical_text(convert: Converter, empty: Mapping[str, Any], text: str) -> frozenset[str]:
    try:
        return sync_filter.elements_of(convert.local(convert.from_text(text, empty)))
    except (UnknownValue, ValueError):
        # The field was mapped otherwise since: what no value is equal to.
        return frozenset({text})


# A pass's records: left out before anything is read, and by their items once these are.


def leave_out(plan: pass_plan.RecordPlan, side: FilterSide, sentence: str) -> pass_plan.RecordPlan:
    """Return the record left out by this side's conditions: its pass ends, and nothing is done with it."""
    if not plan.ledger.left_out:
        kept = " Both sides keep what they have." if plan.record.monday_id else ""
        plan = plan.logged(HistoryLine("left_out", f"{sentence}{kept}"))
    # What Monday says meanwhile is not read: the first pass after its return reads the item.
    plan = plan.with_state(left_out=str(side), remote_state="", removed_since=None, removed_passes=0)
    identity = replace(plan.identity, creates=False, question=None, duplicate=None)
    out = replace(plan, left_out=sentence, identity=identity)
    return out.end(pass_plan.Outcome.SETTLED, sentence, reason=sentence)


def _returned(plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    line = HistoryLine("returned", "It matches the filter again, and is synced again.")
    return plan.logged(line).with_state(left_out="")


def _not_known(plan: pass_plan.RecordPlan, sentence: str, no_item_sentence: str) -> pass_plan.RecordPlan:
    """Keep a pair in, because what the filter says isn't known; without an item none is searched or made."""
    if plan.record.monday_id or plan.item:
        return replace(plan, reason=sentence)
    return replace(plan, identity=replace(plan.identity, creates=False)).end_settled(f"{sentence} {no_item_sentence}")


def filter_record(facts: pass_plan.PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """Leave a record out by the conditions on NPD's records, before any call is made for it."""
    if not facts.board.sync_filter or not _is_filtered(plan.facts):
        return plan
    verdict = record_verdict(facts.board, plan.record)
    if verdict.leaves_out(was_out=plan.ledger.left_out == FilterSide.RECORD):
        return leave_out(plan, FilterSide.RECORD, verdict.sentence)
    return plan if verdict.holds else _not_known(plan, verdict.sentence, "No item was searched or made.")


def filter_item(facts: pass_plan.PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """Leave a record out by the conditions on Monday's items: by its item, or by the one to be created.

    A pair that was synced leaves with this pass, which still takes over what was changed on Monday until now. It
    doesn't leave by a relation that nobody emptied.
    """
    item = plan.item
    if plan.unlink or not (item or plan.creates) or not _is_filtered(plan.facts):
        return plan
    was_out = bool(plan.ledger.left_out)
    verdict = item_verdict(facts.board, item, plan.record) if item else new_item_verdict(facts.board, plan.record)
    if verdict.holds is False and item and (emptied := _emptied_by_removal(facts, plan.facts, item)):
        verdict = item_verdict(facts.board, item, plan.record, emptied)
    sentence = verdict.sentence
    if verdict.holds is False and item and not was_out and plan.ledger.base:
        return replace(plan, leaving=sentence)
    if verdict.leaves_out(was_out=was_out):
        would_not_match = "" if item else " Its item would not match, so none is created."
        return leave_out(plan, FilterSide.ITEM, f"{sentence}{would_not_match}")
    if verdict.holds is None:
        return _not_known(plan, sentence, "No item was made.")
    return _returned(plan) if was_out else plan


def matching_items(
    board: field_values.BoardContext, record: SyncedModel, hits: Sequence[Item]
) -> tuple[list[Item], str, bool]:
    """Return which of these items may be the record's.

    Where the filter leaves out all of them, or that isn't known, also the sentence that says so: the record's pass ends
    with it, for none of them is linked, and a new one would be a second one; and whether so the record is left out.
    """
    if not board.sync_filter.items or not hits:
        return list(hits), "", False
    verdicts = [(item, item_verdict(board, item, record)) for item in hits]
    kept = [item for item, verdict in verdicts if verdict.holds is True]
    unknown = next(((item, verdict) for item, verdict in verdicts if verdict.holds is None), None)
    if unknown is None and kept:
        return kept, "", False
    item, verdict = unknown or verdicts[0]
    why = f"{verdict.sentence} The item “{item.name}” may be this record's, so none was linked or created."
    return kept, why, not unknown


def filter_removed_item(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """Leave a record out whose item has left the board while the filter left it out, or by what it says now."""
    was_out = bool(plan.ledger.left_out)
    if not (board.sync_filter or was_out) or not _is_filtered(plan.facts):
        return plan
    if plan.item is not None:
        verdict = item_verdict(board, plan.item, plan.record)
    else:
        verdict = FilterVerdict(None) if board.sync_filter.items else sync_filter.HOLDS
    if verdict.leaves_out(was_out=was_out):
        return leave_out(plan, FilterSide.ITEM, verdict.sentence or plan.ledger.note)
    return _returned(plan) if was_out else plan


def deleted_exclusion(board: field_values.BoardContext, deleted: RecordFacts, item: Item | None = None) -> str:
    """Return why a deleted record, or its item, is left out; empty where it isn't. What isn't known stays as it was."""
    if not board.sync_filter:
        return ""
    side = FilterSide.RECORD if item is None else FilterSide.ITEM
    verdict = record_verdict(board, deleted.record) if item is None else item_verdict(board, item, deleted.record)
    return verdict.sentence if verdict.leaves_out(was_out=deleted.ledger.left_out == side) else ""


def _is_filtered(facts: RecordFacts) -> bool:
    """Whether the filter decides: not of a record whose sync is off, nor of one that a person unlinks."""
    is_unlink = bool(facts.claim.payload.get(UNLINK_KEY))
    return (facts.record.may_sync or facts.is_push_by_name) and not is_unlink


# A pair that leaves by a value of this pass: what Monday says is still taken over, nothing is sent any more.


def keep_only_pulls(facts: pass_plan.PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """If the pair leaves with this pass, drop all plans except those that take over Monday's edits."""
    if not plan.leaving and not leaves_by_pull(facts.board, plan.record, plan.plans):
        return plan
    plans = dict(plan.plans)
    for key, field_plan in plan.plans.items():
        # What a person chose while the pair was in is still done; else what sends nothing and asks nobody.
        goes_on = (
            not plan.leaving
            if field_plan.resolves is not None
            else field_plan.send_raw is None and field_plan.conflict is None
        )
        if not goes_on:
            nothing = merge.FieldDecision(key, merge.Action.NOTHING, pass_plan.DROPPED)
            dropped = replace(field_plan, decision=nothing, send_raw=None, write_raw=None)
            plans[key] = replace(dropped, conflict=None, resolves=None)
    return replace(plan, plans=plans, write_npd_id=False)


def leaves_by_pull(
    board: field_values.BoardContext, record: SyncedModel, plans: Mapping[str, pass_plan.FieldPlan]
) -> bool:
    """Whether the record fails its conditions once it has what this pass takes over."""
    filtered = [plans[condition.field] for condition in board.sync_filter.records if condition.field in plans]
    taken = {field_plan.mapping.key: field_plan.write_raw for field_plan in filtered if field_plan.write_raw}
    return bool(taken) and record_verdict(board, record, taken).holds is False


def leaves_by_push(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether the item fails its conditions once it has what this pass sends."""
    item = plan.item
    sent = {key: field_plan.send_raw for key, field_plan in plan.plans.items() if field_plan.send_raw is not None}
    if item is None or not any(condition.field in sent for condition in board.sync_filter.items):
        return False

    def value_of(mapping: FieldMapping, convert: Converter) -> merge.Side:
        if mapping.key in sent:
            return side_of(convert.local, sent[mapping.key])
        return side_of(convert.remote, cell_of(convert, mapping, item))

    return _items_verdict(board, plan.record, item.group_id, value_of).holds is False


def left_after_write(
    board: field_values.BoardContext, plan: pass_plan.RecordPlan, written: Item | None
) -> pass_plan.RecordPlan:
    """Leave a settled record out that this pass brought out of the filter, by what stands on both sides now.

    `written` is its item as the answer showed it.
    """
    field_plans = plan.plans.values()
    if not board.sync_filter or not plan.is_settled or plan.left_out or not plan.record.may_sync:
        return plan
    # What Monday says is taken over only once a person lets the field be emptied; out of the filter it never would be.
    is_waiting = any(
        p.blocked_code is BlockedCode.APPROVAL and p.decision.action is not merge.Action.PUSH for p in field_plans
    )
    if plan.unlink or plan.removal or is_waiting:
        return plan
    if plan.leaving:
        return leave_out(plan, FilterSide.ITEM, plan.leaving)
    has_pulled = any(field_plan.write_raw is not None for field_plan in field_plans)
    if has_pulled and (verdict := record_verdict(board, plan.record)).holds is False:
        return leave_out(plan, FilterSide.RECORD, verdict.sentence)
    if written and (verdict := item_verdict(board, written, plan.record)).holds is False:
        return leave_out(plan, FilterSide.ITEM, verdict.sentence)
    return plan
