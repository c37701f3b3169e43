"""The board's filter in a pass: which records and items it leaves out, and how a pair leaves and returns.

A pair is synced while the conditions of both sides hold. Out of the filter nothing of it is sent, taken over, cleared,
deleted or unlinked; link, base and NPD ID stay, so that the merge goes on from the base once it is back. What can't be
known leaves a pair as it was (docs/reference/merge.md has the table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from sync.reconcile.batch import Batch, FieldPlan, Outcome, RecordSync
from sync.reconcile.facts import DeletedFacts
from sync.reconcile.field_plan import cell_of, sides_of
from sync.reconcile.field_values import ACTIVE, BoardContext, related_name, stored_values
from sync.records.item_links import UNLINK_KEY
from sync.registry import relation_of

LEFT_OUT = "Left out by the filter:"
_WOULD_NOT_MATCH = "Its item would not match, so none is created."

_UNMAPPED = Unknown("The field is not mapped any more.")


# What a record, an item, and an item that would be made say to the conditions.


def record_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the record matches the conditions on NPD's records."""
    conditions = board.sync_filter.records
    return verdict_of(conditions, lambda one: _record_holds(board, one, record)) if conditions else HOLDS


def item_verdict(board: BoardContext, item: Item, record: SyncedModel | None = None) -> FilterVerdict:
    """Return whether the item matches the conditions on Monday's items; `record` is the one that has it."""

    def holds(one: FilterCondition) -> bool | None:
        if one.field == GROUP:
            # Of an item that was moved to another board it is one of that board's.
            is_known = item.group_id is not None and item.board_id in (None, board.link.board_id)
            group: Side = item.group_id if is_known else Unknown("Its group was not read.")
            return condition_holds(one.op, group, frozenset(one.values), str)
        mapping = _mapping_of(board, one)
        if mapping is None or not mapping.column_id:
            return None
        convert = board.converter(mapping, record)
        if convert.names_items and item.state != ACTIVE:
            return None  # an item that is gone leaves every cell of connected boards empty
        value = sides_of(convert, None, remote=cell_of(convert, mapping, item)).remote
        return condition_holds(one.op, value, _wanted(board, convert, mapping, one), convert.display)

    conditions = board.sync_filter.items
    return verdict_of(conditions, holds) if conditions else HOLDS


def new_item_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the item that a pass would make for a record would match, so that none is made to be left out."""

    def holds(one: FilterCondition) -> bool | None:
        if one.field == GROUP:
            # Without a group of its own choice the item goes to the topmost one, which isn't known here.
            group: Side = board.link.group_id or Unknown("The group is not known.")
            return condition_holds(one.op, group, frozenset(one.values), str)
        mapping = _mapping_of(board, one)
        if mapping is None or not mapping.column_id:
            return None
        convert, value = board.converter(mapping, record), None
        ways = {mapping.direction, record.sync_direction}
        if ways.isdisjoint({SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD}) or mapping.column_id == "name":
            value = sides_of(convert, None, local=stored_values(record, mapping)).local
        return condition_holds(one.op, value, _wanted(board, convert, mapping, one), convert.display)

    conditions = board.sync_filter.items
    return verdict_of(conditions, holds) if conditions else HOLDS


def may_have_new_item(board: BoardContext, record: SyncedModel) -> bool:
    """Whether the filter lets an item be made for this record."""
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


def exclude_records(batch: Batch) -> None:
    """End the records that the conditions on NPD's records leave out; no call is made for them."""
    if not batch.board.sync_filter:
        return
    for record_sync in [open_record for open_record in batch.open_records if _is_filtered(open_record)]:
        verdict = record_verdict(batch.board, record_sync.record)
        was_out = record_sync.ledger.left_out == FilterSide.RECORD
        if verdict.leaves_out(was_out=was_out):
            leave_out(record_sync, FilterSide.RECORD, exclusion_sentence(batch.board, FilterSide.RECORD, verdict))
        elif verdict.holds is None:
            record_sync.reason = exclusion_sentence(batch.board, FilterSide.RECORD, verdict)
            if not record_sync.record.monday_id:
                record_sync.leave_open(f"{record_sync.reason} No item was searched or made.")


def exclude_items(batch: Batch) -> None:
    """End the records whose items the conditions on Monday's items leave out; what just left is noted as leaving."""
    board = batch.board
    for record_sync in [
        open_record
        for open_record in batch.open_records
        if _is_filtered(open_record) and (open_record.item or open_record.creates)
    ]:
        item, was_out = record_sync.item, bool(record_sync.ledger.left_out)
        if item is None:
            verdict = new_item_verdict(board, record_sync.record)
        else:
            verdict = item_verdict(board, item, record_sync.record)
        sentence = exclusion_sentence(board, FilterSide.ITEM, verdict)
        was_synced = item is not None and not was_out and not record_sync.link_to and record_sync.ledger.base
        if verdict.holds is False and was_synced:
            record_sync.leaving = sentence
        elif verdict.leaves_out(was_out=was_out):
            leave_out(record_sync, FilterSide.ITEM, sentence if item else f"{sentence} {_WOULD_NOT_MATCH}")
        elif verdict.holds is None and item is None:
            record_sync.creates = False
            record_sync.leave_open(f"{sentence} No item was made.")
        elif verdict.holds is None:
            record_sync.reason = sentence
        elif was_out:
            _note_return(record_sync)


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


def is_removed_item_excluded(batch: Batch, record_sync: RecordSync, item: Item | None) -> bool:
    """Leave a record out whose item has left the board while the filter left it out, or by what it says now."""
    was_out = bool(record_sync.ledger.left_out)
    if not (batch.board.sync_filter or was_out) or not _is_filtered(record_sync):
        return False
    verdict = HOLDS if item is None else item_verdict(batch.board, item, record_sync.record)
    if item is None and batch.board.sync_filter.items:
        verdict = FilterVerdict(None)
    if verdict.holds is True and was_out:
        _note_return(record_sync)
    if verdict.holds is True or (verdict.holds is None and not was_out):
        return False
    sentence = exclusion_sentence(batch.board, FilterSide.ITEM, verdict) or record_sync.ledger.note
    leave_out(record_sync, FilterSide.ITEM, sentence)
    return True


def deleted_exclusion(board: BoardContext, deleted: DeletedFacts, item: Item | None = None) -> str:
    """Return why a deleted record, or its item, is left out; empty where it isn't. What isn't known stays as it was."""
    if not board.sync_filter:
        return ""
    side = FilterSide.RECORD if item is None else FilterSide.ITEM
    verdict = record_verdict(board, deleted.record) if item is None else item_verdict(board, item, deleted.record)
    if verdict.holds is False or (verdict.holds is None and deleted.ledger.left_out == side):
        return exclusion_sentence(board, side, verdict)
    return ""


def leave_out(record_sync: RecordSync, side: FilterSide, sentence: str) -> None:
    """End the record's pass: nothing is done with it as long as the filter leaves it out."""
    if not record_sync.ledger.left_out:
        kept = " Both sides keep what they have." if record_sync.record.monday_id else ""
        record_sync.log_decision("left_out", f"{sentence}{kept}")
    record_sync.left_out, record_sync.ledger.left_out = sentence, side
    record_sync.creates = False
    record_sync.identity_conflict = record_sync.possible_duplicate = None
    # What Monday says meanwhile is not read: the first pass after its return reads the item.
    record_sync.ledger.remote_state = ""
    record_sync.ledger.removed_since, record_sync.ledger.removed_passes = None, 0
    record_sync.end(Outcome.SETTLED, sentence, reason=sentence)


def _note_return(record_sync: RecordSync) -> None:
    record_sync.log_decision("returned", "It matches the filter again, and is synced again.")
    record_sync.ledger.left_out = ""


def _is_filtered(record_sync: RecordSync) -> bool:
    """Whether the filter decides: not of a record whose sync is off, nor of one that a person unlinks."""
    is_unlink = bool(record_sync.claim.payload.get(UNLINK_KEY) or record_sync.unlink_reason)
    return (record_sync.record.may_sync or record_sync.is_push_by_name) and not is_unlink


# A pair that leaves by a value of this pass: what Monday says is still taken over, nothing is sent any more.


def keep_only_pulls(batch: Batch, record_sync: RecordSync) -> None:
    """Of a pair that leaves with this pass, drop all plans but those that take Monday's edits over."""
    board = batch.board
    if not record_sync.leaving and not _leaves_by_pull(board, record_sync):
        return
    chosen = not record_sync.leaving
    record_sync.write_npd_id = False
    for key, plan in list(record_sync.field_plans.items()):
        # What a person chose while the pair was in is still done; else what sends nothing and asks nobody.
        stays = chosen if plan.resolves is not None else plan.send_raw is None and plan.conflict is None
        if not stays:
            nothing = FieldDecision(plan.mapping.key, Action.NOTHING, "left out by the filter")
            record_sync.field_plans[key] = replace(
                plan, decision=nothing, send_raw=None, write_raw=None, conflict=None, resolves=None
            )
            record_sync.dropped_fields.add(key)


def _leaves_by_pull(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether the record fails its conditions once it has what this pass takes over."""
    plans = record_sync.field_plans
    if not any(
        condition.field in plans and plans[condition.field].write_raw for condition in board.sync_filter.records
    ):
        return False

    def holds(one: FilterCondition) -> bool | None:
        taken = plans[one.field].write_raw if one.field in plans else None
        return _record_holds(board, one, record_sync.record, taken)

    return verdict_of(board.sync_filter.records, holds).holds is False


def _waits_for_pull(plan: FieldPlan, record_sync: RecordSync) -> bool:
    """Whether what Monday says is taken over only once a pause ends, or a person lets it be emptied."""
    if plan.blocked_code is BlockedCode.PAUSED:
        return QueueDirection.TO_NPD in record_sync.paused_directions
    return plan.blocked_code is BlockedCode.APPROVAL and plan.decision.action is not Action.PUSH


def leave_after_write(batch: Batch, record_sync: RecordSync, record: SyncedModel) -> None:
    """In settle: leave a record out that this pass brought out of the filter; `record` is as it was just written."""
    board = batch.board
    if not board.sync_filter or record_sync.outcome is not Outcome.SETTLED or record_sync.left_out:
        return
    if not record.may_sync or record_sync.unlink_reason or record_sync.overtaken or record_sync.removed_item:
        return
    if any(_waits_for_pull(plan, record_sync) for plan in record_sync.field_plans.values()):
        return  # out of the filter it would never be taken over
    side, sentence = FilterSide.ITEM, record_sync.leaving
    written = [*record_sync.answers.values(), *([record_sync.written_item] if record_sync.written_item else [])]
    has_pulled = any(plan.write_raw is not None for plan in record_sync.field_plans.values())
    if not sentence and has_pulled and (found := record_verdict(board, record)).holds is False:
        side, sentence = FilterSide.RECORD, exclusion_sentence(board, FilterSide.RECORD, found)
    if not sentence and written and (found := item_verdict(board, written[-1], record)).holds is False:
        sentence = exclusion_sentence(board, FilterSide.ITEM, found)
    if sentence:
        leave_out(record_sync, side, sentence)


# Beside a board's listing: what the sync states say already, and what a pass has to find.


def compare_filter(batch: Batch) -> None:
    """Note of each listed record whether the filter leaves it out, as its sync state says, or a pass has to say so."""
    board = batch.board
    for record_sync in [s for s in batch.record_syncs if board.sync_filter or s.ledger.left_out]:
        stored, side = record_sync.ledger.left_out, FilterSide.RECORD
        verdict = record_verdict(board, record_sync.record)
        if verdict.holds is True and record_sync.item is not None:
            side, verdict = FilterSide.ITEM, item_verdict(board, record_sync.item, record_sync.record)
        is_out = verdict.holds is False or (verdict.holds is None and bool(stored))
        if is_out and stored and record_sync.record.is_left_out:
            record_sync.left_out = record_sync.ledger.note or exclusion_sentence(board, side, verdict)
        elif record_sync.record.may_sync:
            record_sync.filter_changed = is_out or bool(stored)
