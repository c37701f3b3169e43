"""Decide whether a cell that is empty now was emptied by somebody, before anything rests on it.

Monday drops cells of an item that goes to another board and back, and reads were seen to show connected items as none;
nobody did that, and no event tells of it.

Implements docs/reference/merge/empty-cells.md. `request_approvals` (restraints.py) holds what is
too many.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sync import merge
from sync.choices import ApprovalKind, ApprovalState, SyncDirection
from sync.fields.field_bases import ComparedField
from sync.fields.field_values import BoardContext
from sync.models import WebhookEvent
from sync.models.activity_lines import UNREPORTED
from sync.models.records_and_items import INACTIVE, MOVED
from sync.monday.board_events import BATCH_CHANGE, OFF_BOARD_TYPES
from sync.monday.board_items import ARCHIVED, DELETED
from sync.monday.lag import LONGEST_LAG
from sync.reconcile import pass_plan
from sync.reconcile.change_events import ChangeEvent
from sync.reconcile.facts import PassFacts
from sync.reconcile.read_lag import UNSHOWN_EDIT, seconds_to_look, set_aside
from sync.words.message import Message

WAITS_FOR_LOG = Message("waits_for_log")
WAITS_FOR_LOOK = Message("waits_for_look")

_FROM_MONDAY = (SyncDirection.BIDIRECTIONAL, SyncDirection.MONDAY_TO_NPD)

# The stored states of an item that is off its board.
_OFF_BOARD = (ARCHIVED, DELETED, MOVED, INACTIVE)


def emptied_fields(board: BoardContext, plan: pass_plan.EntityPlan) -> Iterator[ComparedField]:
    """Yield the fields whose cell is empty while their base has a value, if NPD takes values from Monday."""
    item = plan.item
    if item is None:
        return
    for mapping in board.mapped:
        if item.reading(mapping.column_id).text:  # nearly all
            continue
        field = plan.compared(board, mapping)
        if field.base is None or field.remote_raw == field.base["remote"]:
            continue
        if field.remote is None and field.sides.remote_changed and plan.direction_of(mapping) in _FROM_MONDAY:
            yield field


def hold_emptied_cells(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Note the cells that nobody emptied, and set those aside of which that isn't known yet. A rule for a record.

    All other empty cells were emptied by a person, or count as if they were.
    """
    if plan.item is None or not plan.record.may_sync:
        return
    dropped = set[str]()
    unreported = list[ComparedField]()
    for field in emptied_fields(facts.board, plan):
        key = field.mapping.key
        request = facts.approvals.open_requests.get((plan.id, ApprovalKind.CLEAR_NPD, key))
        is_decided = request is not None and request.state != ApprovalState.PENDING
        if not is_decided and was_emptied(facts, plan, field):
            continue
        if request is None and _was_off_board(facts, plan, field):
            dropped.add(key)
        elif request is None:
            unreported.append(field)
        elif UNREPORTED in request.values and request.state != ApprovalState.APPROVED:
            dropped.add(key)
    _note_unreported(facts, plan, unreported)
    plan.doubts.dropped_cells |= dropped


def _was_off_board(facts: PassFacts, plan: pass_plan.RecordPlan, field: ComparedField) -> bool:
    """Whether the item is known to have been off its board since both sides agreed on the field."""
    events = _events_since_agreed(facts, plan, field)
    is_stored = plan.facts.sync_state.remote_state in _OFF_BOARD
    return is_stored or any(event.type in OFF_BOARD_TYPES for event in events)


def _note_unreported(facts: PassFacts, plan: pass_plan.RecordPlan, fields: Sequence[ComparedField]) -> None:
    """Set cells aside of which no event tells, until a sweep that began after they were read has ended.

    Connected items are read again once more after ten minutes. A person's *Sync now* fills all in again at once.
    """
    first_reads = plan.sync_state.emptied
    plan.sync_state.emptied = {}
    if not fields:
        return
    link = facts.board.link
    dropped = set[str]()
    unexplained = set[str]()
    reasons = dict[str, str]()
    looks = list[float]()
    for field in fields:
        key = field.mapping.key
        first_read = first_reads.get(key, facts.now.isoformat())
        read_at = datetime.fromisoformat(first_read)
        seconds_left = (read_at + LONGEST_LAG - facts.now).total_seconds()
        is_connected = field.converter.names_items
        edit = _last_change(facts, plan, field)
        look = seconds_to_look(edit.arrived, facts.now) if edit else None
        if plan.facts.is_sync_pressed:
            dropped.add(key)
        elif look:
            reasons[key] = UNSHOWN_EDIT
            looks.append(look)
        elif link.log_read_to is None or link.log_read_to < read_at:
            reasons[key] = WAITS_FOR_LOG
        elif is_connected and seconds_left > 0:
            reasons[key] = WAITS_FOR_LOOK
            looks.append(seconds_left)
        elif is_connected:
            unexplained.add(key)
        elif link.log_read_from is not None and link.log_read_from <= _agreed_at(plan, field):
            dropped.add(key)
        if key in reasons:
            plan.sync_state.emptied[key] = first_read
    plan.doubts.dropped_cells = frozenset(dropped)
    plan.doubts.unexplained_cells = frozenset(unexplained)
    set_aside(facts.board, plan, reasons, look_in_seconds=min(looks, default=None))


def _agreed_at(plan: pass_plan.EntityPlan, field: ComparedField) -> datetime:
    """Return when both sides agreed on a field's base: since the record is there, if that isn't known."""
    at = (field.base or {}).get("at")
    return datetime.fromisoformat(at) if at else plan.record.created_at


def cells_that_nobody_emptied(facts: PassFacts, plan: pass_plan.EntityPlan) -> frozenset[str]:
    """Return the fields of a removed item, or of a deleted record's, whose empty cell is nobody's edit."""
    emptied = emptied_fields(facts.board, plan)
    return frozenset(field.mapping.key for field in emptied if not was_emptied(facts, plan, field))


def was_emptied(facts: PassFacts, plan: pass_plan.EntityPlan, field: ComparedField) -> bool:
    """Whether somebody is known to have emptied the cell, by an event, or the item that it named left its board."""
    if is_emptied_by_removal(facts, field):
        return True
    change = _last_change(facts, plan, field)
    is_told = change is not None and not (change.is_known and change.value is not None)
    return is_told or any(event.type == BATCH_CHANGE for event in _events_since_agreed(facts, plan, field))


def is_emptied_by_removal(facts: PassFacts, field: ComparedField) -> bool:
    """Whether its cell of connected boards is empty because the item that the base names left its board."""
    if field.base is None or field.remote is not None or not field.converter.names_items:
        return False
    return field.base_remote in facts.removed_related_items


def _last_change(facts: PassFacts, plan: pass_plan.EntityPlan, field: ComparedField) -> ChangeEvent | None:
    """Return the newest reported change of a field since both sides agreed on it."""
    return plan.cell(facts.board, field.mapping, _events_since_agreed(facts, plan, field)).newest_change


def _events_since_agreed(facts: PassFacts, plan: pass_plan.EntityPlan, field: ComparedField) -> Sequence[WebhookEvent]:
    since = _agreed_at(plan, field) - merge.CLOCK_TOLERANCE
    return [event for event in facts.events.get(plan.item_id, ()) if event.happened_at >= since]
