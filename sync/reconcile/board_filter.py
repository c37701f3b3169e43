"""Applies the board's filter: which records and items a pass leaves out, and how a pair returns.

Implements docs/reference/merge/filter.md. unmatched_items.py and identity.py use its verdicts
for items without a record and for matches.

A pair is synced while the conditions of both sides hold. A pair that is left out keeps its link, base and NPD ID, and
is merged from that base when it returns. Its status is DISABLED, and settling closes its open conflicts, both as if its
sync were off. A condition that can't be evaluated leaves the pair as it was.

The filter decides at the two ends of a pass:

- Before the call `filter_record` leaves a record out that fails. Once the item is read, `filter_item` says whether a
  pair that isn't synced yet, or was left out, may be.
- After the write `leave_out_after_write` leaves a pair out if it fails as both sides have it now, whichever edit did
  that; settle/record.py calls it when the answer is known. Between them the pass syncs it as ever.
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from sync import merge
from sync.choices import ActivityKind, BlockedCode, common_direction
from sync.fields import field_bases, field_values, sync_filter
from sync.fields.field_values import BoardContext
from sync.fields.sync_filter import FilterCondition, FilterSide, FilterVerdict
from sync.models import FieldMapping, SyncedModel
from sync.monday.board_items import GROUP, NAME_COLUMN, Item
from sync.monday.conversion import Converter, UnknownValue
from sync.monday.text_forms import fold_whitespace
from sync.reconcile import pass_plan
from sync.reconcile.emptied_cells import is_emptied_by_removal
from sync.reconcile.facts import PassFacts
from sync.registry import relation_of
from sync.words.message import Message, sentences


def filter_record(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Leave a record out by the conditions on NPD's records, before any call.

    A pair that matches again goes on to `filter_item`, which lets it return.
    """
    if not facts.board.sync_filter or not _filter_applies(plan):
        return
    verdict = record_verdict(facts.board, plan.record)
    left_out_by = plan.sync_state.left_out
    if verdict.leaves_out(was_out=bool(left_out_by)):
        # While it isn't known, the stored side stays; deleted_records.py asks whether it was the item's.
        side = FilterSide(left_out_by) if verdict.holds is None else FilterSide.RECORD
        leave_out(plan, side, verdict.sentence)
    elif not verdict.holds:
        _leave_undecided(plan, verdict, Message("no_item_searched"))


def filter_item(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Leave a record out by the conditions on Monday's items: by its item, or by the item to be created.

    A pair that was left out may return, and one that is synced stays in until the end of this pass.
    """
    item = plan.item
    if plan.unlink_reason or not (item or plan.creates) or not _filter_applies(plan):
        return
    was_out = bool(plan.sync_state.left_out)
    verdict = linked_item_verdict(facts, plan, item) if item else new_item_verdict(facts.board, plan.record)
    # A pair without a base was never synced.
    is_in = item is not None and plan.sync_state.base and plan.record.may_sync and not was_out
    if verdict.leaves_out(was_out=was_out) and not is_in:
        no_item = "" if item else Message("filter_no_item")
        leave_out(plan, FilterSide.ITEM, sentences(verdict.sentence, no_item))
    elif verdict.holds is None:
        _leave_undecided(plan, verdict, Message("no_item_made"))
    elif was_out:
        _return(plan)


def filter_removed_item(board: BoardContext, plan: pass_plan.RecordPlan) -> None:
    """Leave a record with a removed item out if its item doesn't match, or if it was left out before."""
    was_out = bool(plan.sync_state.left_out)
    if not (board.sync_filter or was_out) or not _filter_applies(plan):
        return
    if plan.item is not None:
        verdict = item_verdict(board, plan.item, plan.record)
    else:
        verdict = FilterVerdict(None) if board.sync_filter.items else sync_filter.HOLDS
    if verdict.leaves_out(was_out=was_out):
        leave_out(plan, FilterSide.ITEM, verdict.sentence or plan.sync_state.note)
    elif was_out:
        _return(plan)


def leave_out_after_write(facts: PassFacts, plan: pass_plan.RecordPlan, written: Item | None) -> None:
    """Leave a settled pair out if the record, or the item as it was `written` or else read, fails."""
    item = written or plan.item
    if item is None or not (facts.board.sync_filter and plan.is_done and plan.takes_part):
        return
    # Edits that a read doesn't show yet, or that wait for approval, would never be pulled once the pair is left out.
    is_waiting = bool(plan.doubts.set_aside or plan.doubts.look_in_seconds) or any(
        field_plan.blocked_code is BlockedCode.APPROVAL and field_plan.decision.action is not merge.Action.PUSH
        for field_plan in plan.fields.values()
    )
    if plan.unlink_reason or plan.removal or is_waiting:
        return
    if (verdict := record_verdict(facts.board, plan.record)).holds is False:
        leave_out(plan, FilterSide.RECORD, verdict.sentence)
    elif (verdict := linked_item_verdict(facts, plan, item)).holds is False:
        leave_out(plan, FilterSide.ITEM, verdict.sentence)


def leave_out(plan: pass_plan.RecordPlan, side: FilterSide, sentence: str) -> None:
    """End a record because this side's conditions leave it out; settling closes its open conflicts."""
    sync_state = plan.sync_state
    if not sync_state.left_out:
        line = Message("left_out_linked", filter=sentence) if plan.record.monday_id else sentence
        plan.add_line(ActivityKind.LEFT_OUT, line)
    sync_state.left_out = str(side)
    # The first pass after its return reads the item.
    plan.forget_removed_state()
    plan.filter_reason = sentence
    plan.creates = False
    plan.question = None
    plan.end(sentence)


def _return(plan: pass_plan.RecordPlan) -> None:
    plan.add_line(ActivityKind.LET_IN, Message("let_in"))
    plan.sync_state.left_out = ""


def _leave_undecided(plan: pass_plan.RecordPlan, verdict: FilterVerdict, no_item: Message) -> None:
    """Keep a pair as it is because it isn't known whether it matches; end a record without an item."""
    if plan.record.monday_id or plan.item:
        plan.reason = verdict.sentence
        return
    plan.creates = False
    plan.end(sentences(verdict.sentence, no_item))


def _filter_applies(plan: pass_plan.RecordPlan) -> bool:
    """Whether the filter applies: with sync off only to “Sync now” at the record, never if a person unlinks it."""
    return (plan.record.may_sync or plan.facts.is_sync_pressed) and not plan.facts.unlink_requested_by


def matching_items(
    board: BoardContext, record: SyncedModel, hits: Sequence[Item]
) -> tuple[Sequence[Item], FilterVerdict]:
    """Return those of the found items that the filter doesn't leave out; without any, the verdict says why.

    Then no item is created: it could duplicate one that the filter leaves out, or may leave out.
    """
    if not board.sync_filter.items or not hits:
        return hits, sync_filter.HOLDS
    verdicts = [(item, item_verdict(board, item, record)) for item in hits]
    matching = [item for item, verdict in verdicts if verdict.holds is True]
    unknown = next(((item, verdict) for item, verdict in verdicts if verdict.holds is None), None)
    if unknown is None and matching:
        return matching, sync_filter.HOLDS
    item, verdict = unknown or verdicts[0]
    why = Message("filter_may_be_its_item", filter=verdict.sentence, item=item.name)
    return [], FilterVerdict(verdict.holds, verdict.because, why)


def record_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the record matches the conditions on NPD's records."""

    def value_of(mapping: FieldMapping, converter: Converter) -> merge.Side:
        values = field_values.local_values(record, mapping)
        if relation_of(board.model, mapping.fields) is not None:
            return fold_whitespace(field_values.related_name(values))
        return field_bases.side_of(converter.canonical_local, values)

    return _verdict(board, FilterSide.RECORD, record, value_of)


def item_verdict(
    board: BoardContext, item: Item, record: SyncedModel | None = None, emptied: Collection[str] = ()
) -> FilterVerdict:
    """Return whether the item of `record` matches the conditions on Monday's items.

    `emptied` are the fields with cells that nobody emptied, for example because the items that they named were removed.
    """
    # A moved item is in a group of another board.
    is_group_known = item.group_id is not None and item.board_id in (None, board.link.board_id)

    def value_of(mapping: FieldMapping, converter: Converter) -> merge.Side:
        if converter.names_items and item.state != field_values.ACTIVE:
            return merge.Unknown()  # a removed item leaves every cell of connected boards empty
        if mapping.key in emptied:
            return merge.Unknown()
        return field_bases.side_of(converter.canonical_remote, field_bases.cell_of(converter, mapping, item))

    verdict = _verdict(board, FilterSide.ITEM, record, value_of, item.group_id if is_group_known else None)
    if verdict.holds is None and verdict.because and verdict.because.field in emptied:
        return FilterVerdict(None, verdict.because, Message("filter_unknown_emptied"))
    return verdict


def new_item_verdict(board: BoardContext, record: SyncedModel) -> FilterVerdict:
    """Return whether the item that a pass would create for a record would match; if not, none is created."""

    def value_of(mapping: FieldMapping, converter: Converter) -> merge.Side:
        if common_direction(record.sync_direction, mapping.direction).sends or mapping.column_id == NAME_COLUMN:
            return field_bases.side_of(converter.canonical_local, field_values.local_values(record, mapping))
        return None

    # Without a chosen group, Monday puts the item into the topmost group, which isn't known here.
    return _verdict(board, FilterSide.ITEM, record, value_of, board.link.group_id or None)


def _verdict(
    board: BoardContext,
    side: FilterSide,
    record: SyncedModel | None,
    value_of: Callable[[FieldMapping, Converter], merge.Side],
    group_id: str | None = None,
) -> FilterVerdict:
    """Return whether all conditions of a side hold, with the sentence why not, or why that isn't known.

    `value_of` returns the side's value of a field, as its converter compares it.
    """
    conditions = board.sync_filter.records if side is FilterSide.RECORD else board.sync_filter.items
    if not conditions:
        return sync_filter.HOLDS

    def answer(condition: FilterCondition) -> bool | None:
        if condition.field == GROUP:
            group = merge.Unknown() if group_id is None else group_id
            return sync_filter.condition_holds(condition.op, group, frozenset(condition.values), str)
        mapping = board.mapping_by_key.get(condition.field)
        if mapping is None or (side is FilterSide.ITEM and not mapping.column_id):
            return None
        converter = board.converter(mapping, record)
        value = value_of(mapping, converter)
        if side is FilterSide.RECORD and relation_of(board.model, mapping.fields) is not None:
            # Compared by name because a related record without an item has no canonical form yet.
            names = frozenset(filter(None, map(fold_whitespace, condition.values)))
            return sync_filter.condition_holds(condition.op, value, names, lambda name: str(name or ""))
        wanted = _wanted(board.model, tuple(mapping.fields), converter, condition)
        return sync_filter.condition_holds(condition.op, value, wanted, converter.display)

    verdict = sync_filter.verdict_of(conditions, answer)
    if verdict.because is None:
        return verdict
    name = sync_filter.field_name(verdict.because, {mapping.key: mapping.label for mapping in board.mappings})
    if side is FilterSide.ITEM:
        name = Message("field_on_monday", field=name)
    sentence = Message("filter_leaves_out", condition=verdict.because.failure(name))
    if verdict.holds is None:
        sentence = Message("filter_unknown", field=name)
    return FilterVerdict(verdict.holds, verdict.because, sentence)


def linked_item_verdict(facts: PassFacts, plan: pass_plan.EntityPlan, item: Item) -> FilterVerdict:
    """Return whether a record's item matches; cells that nobody emptied, or another item's removal, decide nothing."""
    verdict = item_verdict(facts.board, item, plan.record)
    if verdict.holds is not False:
        return verdict
    relations = [plan.compared(facts.board, mapping) for mapping, _ in facts.board.relations]
    emptied = {field.mapping.key for field in relations if is_emptied_by_removal(facts, field)}
    return item_verdict(facts.board, item, plan.record, emptied | plan.doubts.unreported_cells)


@lru_cache
def _wanted(
    model: type[SyncedModel], fields: tuple[str, ...], converter: Converter, condition: FilterCondition
) -> frozenset[str]:
    """Return the condition's values as the converter compares them; parts of a text as they are."""
    if condition.op is sync_filter.FilterOp.CONTAINS:
        return frozenset(condition.values)
    empty = field_values.local_field_values(model(), fields)
    wanted = set[str]()
    for text in condition.values:
        try:
            wanted |= sync_filter.elements_of(converter.canonical_local(converter.from_text(text, empty)))
        except (UnknownValue, ValueError):
            # The field's mapping has changed since: no value equals this.
            wanted.add(text)
    return frozenset(wanted)
