"""The board's filter in a pass: which records and items it leaves out, and how a pair leaves and returns.

A pair is synced while the conditions of both sides hold. Out of the filter nothing of it is sent, taken over, cleared,
deleted or unlinked; link, base and NPD ID stay, so that the merge goes on from the base once it is back. What can't be
known leaves a pair as it was.

Decides of docs/reference/merge.md: “What a filter leaves out”.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sync.boards.sync_filter import (
    HOLDS,
    FilterCondition,
    FilterOp,
    FilterSide,
    FilterVerdict,
    condition_holds,
    elements_of,
    field_name,
    verdict_of,
)
from sync.choices import BlockedCode, QueueDirection, SyncDirection
from sync.connectors.base.board_items import GROUP, Item
from sync.connectors.base.conversion import Canonical, Converter, UnknownValue, fold_whitespace
from sync.merge import Action, FieldDecision, Side, Unknown
from sync.models import FieldMapping, SyncedModel
from sync.reconcile.facts import HistoryLine, RecordFacts
from sync.reconcile.field_plan import FieldPlan, FieldsPlan, cell_of, sides_of
from sync.reconcile.field_values import ACTIVE, BoardContext, related_name, stored_values
from sync.reconcile.pass_plan import Outcome, PassFacts, Plan, RecordPlan
from sync.records.item_links import UNLINK_KEY
from sync.registry import relation_of

LEFT_OUT = "Left out by the filter:"
_WOULD_NOT_MATCH = "Its item would not match, so none is created."

_UNMAPPED = Unknown("The field is not mapped any more.")


# What a record, an item, and an item that would be made say to the conditions.


def record_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    conditions = board.sync_filter.records
    return verdict_of(conditions, lambda one: _record_holds(board, one, record)) if conditions else HOLDS


def item_verdict(board: BoardContext, item: Item, record: SyncedModel | None = None) -> FilterVerdict:
    """Return whether the item matches the conditions on Monday's items; `record` is the one that has it."""
    # Of an item that was moved to another board it is one of that board's.
    is_known = item.group_id is not None and item.board_id in (None, board.link.board_id)

    def value_of(mapping: FieldMapping, convert: Converter) -> Side:
        if convert.names_items and item.state != ACTIVE:
            return Unknown("An item that is gone leaves every cell of connected boards empty.")
        return sides_of(convert, None, remote=cell_of(convert, mapping, item)).remote

    return _items_verdict(board, record, item.group_id if is_known else None, value_of)


def new_item_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the item that a pass would make for a record would match, so that none is made to be left out."""

    def value_of(mapping: FieldMapping, convert: Converter) -> Side:
        ways = {mapping.direction, record.sync_direction}
        if ways.isdisjoint({SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD}) or mapping.column_id == "name":
            return sides_of(convert, None, local=stored_values(record, mapping)).local
        return None

    # Without a group of its own choice the item goes to the topmost one, which isn't known here.
    return _items_verdict(board, record, board.link.group_id or None, value_of)


def _items_verdict(
    board: BoardContext,
    record: SyncedModel | None,
    group_id: str | None,
    value_of: Callable[[FieldMapping, Converter], Side],
) -> FilterVerdict:
    def holds(one: FilterCondition) -> bool | None:
        if one.field == GROUP:
            group: Side = Unknown("Its group is not known.") if group_id is None else group_id
            return condition_holds(one.op, group, frozenset(one.values), str)
        mapping = _mapping_of(board, one)
        if mapping is None or not mapping.column_id:
            return None
        convert = board.converter(mapping, record)
        return condition_holds(
            one.op, value_of(mapping, convert), _wanted(board, convert, mapping, one), convert.display
        )

    conditions = board.sync_filter.items
    return verdict_of(conditions, holds) if conditions else HOLDS


def may_have_new_item(board: BoardContext, record: SyncedModel) -> bool:
    return record_verdict(board, record).holds is True and new_item_verdict(board, record).holds is True


def exclusion_sentence(board: BoardContext, side: FilterSide, verdict: FilterVerdict) -> str:
    """Return why something is left out, or why that can't be told."""
    condition = verdict.because
    if condition is None:
        return ""
    labels = {mapping.key: mapping.label for mapping in board.mappings}
    name = field_name(condition, labels)
    if side is FilterSide.ITEM:
        name = f"{name} on Monday"
    if verdict.holds is None:
        return f"Whether the filter leaves it out is not known, for {name} can't be read."
    return f"{LEFT_OUT} {condition.failure(name)}."


def _record_holds(
    board: BoardContext, condition: FilterCondition, record: SyncedModel, raw: Mapping[str, Any] | None = None
) -> bool | None:
    """Whether the record's value, or the one that it would have, is as the condition wants it."""
    mapping = _mapping_of(board, condition)
    if mapping is None:
        return None
    values, convert = dict(raw or stored_values(record, mapping)), board.converter(mapping, record)
    if relation_of(board.model, mapping.fields) is not None:
        # By its name, for a related record without an item has no canonical form yet.
        wanted = frozenset(filter(None, map(fold_whitespace, condition.values)))
        return condition_holds(condition.op, fold_whitespace(related_name(values)), wanted, _text)
    value = sides_of(convert, None, local=values).local
    return condition_holds(condition.op, value, _wanted(board, convert, mapping, condition), convert.display)


def _text(value: Canonical) -> str:
    return value if isinstance(value, str) else ""


def _mapping_of(board: BoardContext, condition: FilterCondition) -> FieldMapping | None:
    return next((mapping for mapping in board.mappings if mapping.key == condition.field), None)


def _wanted(
    board: BoardContext, convert: Converter, mapping: FieldMapping, condition: FilterCondition
) -> frozenset[str]:
    """The condition's values as the converter compares them; parts of a text as they are."""
    key = (condition, id(convert))
    if key not in board.filter_values:
        found = frozenset(condition.values)
        if condition.op is not FilterOp.CONTAINS:
            empty = stored_values(board.model(), mapping)
            found = frozenset().union(*(_canonical_text(convert, empty, text) for text in condition.values))
        board.filter_values[key] = found
    return board.filter_values[key]


def _canonical_text(convert: Converter, empty: Mapping[str, Any], text: str) -> frozenset[str]:
    try:
        return elements_of(convert.local(convert.from_text(text, empty)))
    except (UnknownValue, ValueError):
        # The field was mapped otherwise since: what no value is equal to.
        return frozenset({text})


# A pass's records: left out before anything is read, and by their items once these are.


@dataclass(frozen=True)
class FilterPlan:
    """What the filter makes of a record in this pass; an empty one: it is synced, and was.

    `side` is whose conditions leave it out, and `sentence` why. `leaving` says why it leaves with this pass, which
    still takes over what was changed on Monday until now; `returns`, that it matches again. `unknown` is what its sync
    state says where nobody can tell, and `waits` that nothing is searched or made because of that.
    """

    side: FilterSide | None = None
    sentence: str = ""
    leaving: str = ""
    returns: bool = False
    unknown: str = ""
    waits: bool = False
    log: tuple[HistoryLine, ...] = ()


SYNCED = FilterPlan()
_RETURNS = FilterPlan(returns=True, log=(HistoryLine("returned", "It matches the filter again, and is synced again."),))


def decide_record_filter(board: BoardContext, facts: RecordFacts) -> FilterPlan:
    """Return whether the conditions on NPD's records leave it out, before any call is made for it."""
    if not board.sync_filter or not _is_filtered(facts):
        return SYNCED
    verdict = record_verdict(board, facts.record)
    sentence = exclusion_sentence(board, FilterSide.RECORD, verdict)
    if verdict.leaves_out(was_out=facts.ledger.left_out == FilterSide.RECORD):
        return leaves_out(facts, FilterSide.RECORD, sentence)
    if verdict.holds is not None:
        return SYNCED
    if facts.record.monday_id:
        return FilterPlan(unknown=sentence)
    return FilterPlan(unknown=f"{sentence} No item was searched or made.", waits=True)


def decide_item_filter(
    board: BoardContext, facts: RecordFacts, *, is_linking: bool = False, is_unlinked: bool = False
) -> FilterPlan:
    """Return whether the conditions on Monday's items leave a record out: by its item, or by the one to be created."""
    if is_unlinked or not _is_filtered(facts):
        return SYNCED
    item, was_out = facts.item, bool(facts.ledger.left_out)
    verdict = new_item_verdict(board, facts.record) if item is None else item_verdict(board, item, facts.record)
    sentence = exclusion_sentence(board, FilterSide.ITEM, verdict)
    if verdict.holds is False and item is not None and not was_out and not is_linking and facts.ledger.base:
        return FilterPlan(leaving=sentence)
    if verdict.leaves_out(was_out=was_out):
        return leaves_out(facts, FilterSide.ITEM, sentence if item else f"{sentence} {_WOULD_NOT_MATCH}")
    if verdict.holds is None and item is None:
        return FilterPlan(unknown=f"{sentence} No item was made.", waits=True)
    if verdict.holds is None:
        return FilterPlan(unknown=sentence)
    return _RETURNS if was_out else SYNCED


@dataclass(frozen=True)
class FilteredMatches:
    """Those of the items found for a record that the filter doesn't leave out.

    Where it leaves out all of them, or that isn't known, `sentence` says so, and the record's pass ends: none of them
    is linked, and a new one would be a second one. `leaves_out`: so the record itself is left out.
    """

    kept: tuple[Item, ...] = ()
    sentence: str = ""
    leaves_out: bool = False


def matching_items(board: BoardContext, record: SyncedModel, hits: Sequence[Item]) -> FilteredMatches:
    """Return which of these items may be the record's."""
    if not board.sync_filter.items or not hits:
        return FilteredMatches(tuple(hits))
    verdicts = [(item, item_verdict(board, item, record)) for item in hits]
    kept = tuple(item for item, verdict in verdicts if verdict.holds is True)
    unknown = next(((item, verdict) for item, verdict in verdicts if verdict.holds is None), None)
    if unknown is None and kept:
        return FilteredMatches(kept)
    item, verdict = unknown or verdicts[0]
    sentence = exclusion_sentence(board, FilterSide.ITEM, verdict)
    sentence += f" The item “{item.name}” may be this record's, so none was linked or created."
    return FilteredMatches(kept, sentence, leaves_out=unknown is None)


def decide_removed_item(board: BoardContext, facts: RecordFacts, item: Item | None) -> FilterPlan:
    """Leave a record out whose item has left the board while the filter left it out, or by what it says now."""
    was_out = bool(facts.ledger.left_out)
    if not (board.sync_filter or was_out) or not _is_filtered(facts):
        return SYNCED
    verdict = HOLDS if item is None else item_verdict(board, item, facts.record)
    if item is None and board.sync_filter.items:
        verdict = FilterVerdict(None)
    if verdict.holds is True:
        return _RETURNS if was_out else SYNCED
    if verdict.holds is None and not was_out:
        return SYNCED
    sentence = exclusion_sentence(board, FilterSide.ITEM, verdict) or facts.ledger.note
    return leaves_out(facts, FilterSide.ITEM, sentence)


def deleted_exclusion(board: BoardContext, deleted: RecordFacts, item: Item | None = None) -> str:
    """Return why a deleted record, or its item, is left out; empty where it isn't. What isn't known stays as it was."""
    if not board.sync_filter:
        return ""
    side = FilterSide.RECORD if item is None else FilterSide.ITEM
    verdict = record_verdict(board, deleted.record) if item is None else item_verdict(board, item, deleted.record)
    if verdict.holds is False or (verdict.holds is None and deleted.ledger.left_out == side):
        return exclusion_sentence(board, side, verdict)
    return ""


def leaves_out(facts: RecordFacts, side: FilterSide, sentence: str) -> FilterPlan:
    """Nothing is done with it as long as the filter leaves it out."""
    kept = " Both sides keep what they have." if facts.record.monday_id else ""
    log = () if facts.ledger.left_out else (HistoryLine("left_out", f"{sentence}{kept}"),)
    return FilterPlan(side, sentence, log=log)


def _is_filtered(facts: RecordFacts) -> bool:
    """Whether the filter decides: not of a record whose sync is off, nor of one that a person unlinks."""
    is_unlink = bool(facts.claim.payload.get(UNLINK_KEY))
    return (facts.record.may_sync or facts.is_push_by_name) and not is_unlink


# A pair that leaves by a value of this pass: what Monday says is still taken over, nothing is sent any more.


def only_pulls(board: BoardContext, facts: RecordFacts, fields: FieldsPlan, leaving: str) -> FieldsPlan:
    """Of a pair that leaves with this pass, drop all plans but those that take Monday's edits over."""
    if not leaving and not _leaves_by_pull(board, facts.record, fields.plans):
        return fields
    chosen = not leaving
    dropped = {
        # What a person chose while the pair was in is still done; else what sends nothing and asks nobody.
        key: plan
        for key, plan in fields.plans.items()
        if not (chosen if plan.resolves is not None else plan.send_raw is None and plan.conflict is None)
    }
    plans = {
        key: replace(
            plan,
            decision=FieldDecision(plan.mapping.key, Action.NOTHING, "left out by the filter"),
            send_raw=None,
            write_raw=None,
            conflict=None,
            resolves=None,
        )
        for key, plan in dropped.items()
    }
    return replace(fields, plans={**fields.plans, **plans}, dropped=fields.dropped | dropped.keys(), write_npd_id=False)


def _leaves_by_pull(board: BoardContext, record: SyncedModel, plans: Mapping[str, FieldPlan]) -> bool:
    """Whether the record fails its conditions once it has what this pass takes over."""
    if not any(
        condition.field in plans and plans[condition.field].write_raw for condition in board.sync_filter.records
    ):
        return False

    def holds(one: FilterCondition) -> bool | None:
        taken = plans[one.field].write_raw if one.field in plans else None
        return _record_holds(board, one, record, taken)

    return verdict_of(board.sync_filter.records, holds).holds is False


def decide_after_write(
    board: BoardContext,
    facts: RecordFacts,
    fields: FieldsPlan,
    record: SyncedModel,
    *,
    leaving: str = "",
    written: Item | None = None,
) -> FilterPlan:
    """Leave a record out that this pass brought out of the filter: `record` and `written` are as they stand now."""
    if any(_waits_for_pull(plan, fields.paused) for plan in fields.plans.values()):
        return SYNCED  # out of the filter it would never be taken over
    side, sentence = FilterSide.ITEM, leaving
    has_pulled = any(plan.write_raw is not None for plan in fields.plans.values())
    if not sentence and has_pulled and (found := record_verdict(board, record)).holds is False:
        side, sentence = FilterSide.RECORD, exclusion_sentence(board, FilterSide.RECORD, found)
    if not sentence and written and (found := item_verdict(board, written, record)).holds is False:
        sentence = exclusion_sentence(board, FilterSide.ITEM, found)
    return leaves_out(facts, side, sentence) if sentence else SYNCED


def _waits_for_pull(plan: FieldPlan, paused: Collection[str]) -> bool:
    """Whether what Monday says is taken over only once a pause ends, or a person lets it be emptied."""
    if plan.blocked_code is BlockedCode.PAUSED:
        return QueueDirection.TO_NPD in paused
    return plan.blocked_code is BlockedCode.APPROVAL and plan.decision.action is not Action.PUSH


# The rules of a pass.


def exclude_records(facts: PassFacts, plan: Plan) -> Plan:
    found = [(one, decide_record_filter(facts.board, one.facts)) for one in plan.open_records]
    return plan.with_records(filtered(one, verdict) for one, verdict in found if verdict is not SYNCED)


def exclude_items(facts: PassFacts, plan: Plan) -> Plan:
    """End the records whose items the conditions on Monday's items leave out; what just left is noted as leaving."""
    return plan.with_records(
        filtered(
            one,
            decide_item_filter(
                facts.board, one.facts, is_linking=bool(one.link_to), is_unlinked=one.unlink is not None
            ),
        )
        for one in plan.open_records
        if one.item or one.creates
    )


def keep_only_pulls(facts: PassFacts, plan: Plan) -> Plan:
    """Of pairs that leave with this pass, drop all plans but those that take Monday's edits over."""
    kept = []
    for one in plan.open_records:
        fields = only_pulls(facts.board, one.facts, one.fields, one.leaving)
        if fields is not one.fields:
            kept.append(replace(one, fields=fields))
    return plan.with_records(kept)


def left_after_write(board: BoardContext, plan: RecordPlan) -> RecordPlan:
    """Leave a settled record out that this pass brought out of the filter."""
    record = plan.record
    if not board.sync_filter or not plan.is_settled or plan.left_out:
        return plan
    if not record.may_sync or plan.unlink or plan.is_overtaken or plan.removal:
        return plan
    alone = list(plan.answer.alone.values()) if plan.answer else []
    written = plan.written_item or (alone[-1] if alone else None)
    found = decide_after_write(board, plan.facts, plan.fields, record, leaving=plan.leaving, written=written)
    return filtered(plan, found)


def filtered(plan: RecordPlan, found: FilterPlan) -> RecordPlan:
    """Return the record's plan as the filter leaves it; where it leaves it out, its pass ends."""
    plan = plan.logged(*found.log)
    if found.returns:
        plan = plan.with_state(left_out="")
    if found.leaving:
        plan = replace(plan, leaving=found.leaving)
    if found.waits:
        plan = replace(plan, identity=replace(plan.identity, creates=False)).leave_open(found.unknown)
    elif found.unknown:
        plan = replace(plan, reason=found.unknown)
    if found.side is None:
        return plan
    # What Monday says meanwhile is not read: the first pass after its return reads the item.
    plan = plan.with_state(left_out=str(found.side), remote_state="", removed_since=None, removed_passes=0)
    identity = replace(plan.identity, creates=False, question=None)
    out = replace(plan, left_out=found.sentence, identity=identity, duplicate=None)
    return out.end(Outcome.SETTLED, found.sentence, reason=found.sentence)
