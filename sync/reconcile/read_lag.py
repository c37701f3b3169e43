"""Set aside what a pass has read while Monday's answers lag behind, so that nothing is decided by it.

Monday answers reads from replicas, which may be behind what its webhooks report and what we wrote. A read that
contradicts the newest report about a field, and shows what was there before, is *stale*: the field waits, and the item
is read again a little later (`LOOKS`). *Sync now* sends NPD's change all the same.

Implements docs/reference/merge/reads-that-lag.md. `unshown_report` decides about one cell.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from sync import choices, merge
from sync.fields import field_values
from sync.fields.field_bases import ComparedField
from sync.fields.field_values import BoardContext
from sync.models import Intent, IntentState, WebhookEvent
from sync.monday.board_events import LOG_PREFIX, REMOVAL_TYPES, EventKind
from sync.monday.board_items import Item
from sync.monday.lag import LONGEST_LAG, LOOKS, SAME_TIME
from sync.reconcile import pass_plan
from sync.reconcile.cell_history import CellHistory, EarlierRead, OwnWrite
from sync.reconcile.change_events import ChangeEvent
from sync.reconcile.facts import PassFacts, RecordHistory, is_create
from sync.words.message import Message, code_of

UNSHOWN_EDIT = Message("unshown_edit")
UNSHOWN_WRITE = Message("unshown_write")
UNSHOWN_ITEM = Message("unshown_item")

_UNSHOWN_CODES = {UNSHOWN_EDIT.code, UNSHOWN_WRITE.code, UNSHOWN_ITEM.code}


def seconds_to_look(since: datetime, now: datetime) -> float | None:
    """Return the seconds until the next of the `LOOKS` after an event or a write; None after the last."""
    elapsed = (now - since).total_seconds()
    return next((look - elapsed for look in LOOKS if look > elapsed), None)


def set_aside(
    board: BoardContext, plan: pass_plan.RecordPlan, reasons: Mapping[str, str], *, look_in_seconds: float | None
) -> None:
    """Make these fields' cells unknown to all later rules, each with its reason, as a sentence.

    Such a field is not decided, and keeps its base, its unchecked events and its open intents; other fields are synced.
    The record is pending with the last reason, and nothing of it is listed on Home. It is read again after
    `look_in_seconds`, at the latest; with None another event brings its next pass. Calls add up.
    """
    if plan.item is None or not reasons:
        return
    columns = {mapping.column_id: reasons[mapping.key] for mapping in board.mapped if mapping.key in reasons}
    events = [row.pk for row in plan.history.unchecked_events if row.event and row.event.column_id in columns]
    plan.lost_updates = [update for update in plan.lost_updates if update.key not in reasons]
    plan.doubts.set_aside = {**reasons, **plan.doubts.set_aside}
    plan.item = plan.item.without(columns)
    plan.wait_for_look(look_in_seconds, events, next(iter(plan.doubts.set_aside.values())))


# What says something about a field's value on Monday.
Report = ChangeEvent | OwnWrite

# A cell's value as it is compared, and as it was read.
Shown = tuple[merge.Side, Any]


def unshown_report(
    reports: Sequence[Report], cell: Shown, base: Shown | None, earlier_reads: Sequence[EarlierRead]
) -> Report | None:
    """Return the report that a read `cell` doesn't show yet, because it shows what was there before; None if it does.

    The oldest report, and the oldest of the values that earlier passes have read, comes first.
    """
    newest = reports[-1]
    matching = [number for number, report in enumerate(reports) if report.matches(*cell)]
    if matching:
        later = reports[matching[-1] + 1 :]
        if not later:
            return None
        # What a write of ours went over is over, whatever a read shows, until somebody reports it again.
        for report in later:
            if isinstance(report, OwnWrite):
                return report
    if isinstance(newest, OwnWrite) and base is not None and not newest.wrote(base[0]):
        return None  # both sides have agreed on another value since
    # An unknown value may be the same one in another form, which the raw value shows.
    is_base = base == cell or (newest.is_known and base is not None and base[0] == cell[0])
    before = [read.value for read in earlier_reads if read.at < newest.arrived]
    was_read_before = not newest.has_previous and before[-1:] == [cell[0]]
    was_before = any(report.previous_matches(*cell) for report in reports)
    if not (matching or is_base or was_before or was_read_before):
        return None
    for value, _, at in earlier_reads:
        # A read from before the report arrived tells its order only if clocks can't be wrong about it.
        is_later = at >= newest.arrived + SAME_TIME or (at > newest.at + merge.CLOCK_TOLERANCE and not was_before)
        if value == cell[0] and is_later:
            return None
    return newest


def confirmed_lag(facts: PassFacts, plan: pass_plan.RecordPlan) -> float | None:
    """Return after how many seconds a read showed what the record's last one didn't show; None if that isn't so."""
    history = plan.history
    was_unshown = code_of(plan.facts.sync_state.note) in _UNSHOWN_CODES
    if not plan.is_done or not was_unshown or code_of(plan.reason) in _UNSHOWN_CODES:
        return None
    moments = [_arrival(event) for event in history.events]
    moments += [intent.settled_at for intent in history.writes if intent.settled_at]
    return (facts.now - max(moments)).total_seconds() if moments else None


# --- an item that isn't shown yet, or in a state that is over ---------------------------------------------------------

_TAKES_AWAY = REMOVAL_TYPES | {"move_pulse_from_board"}
_BRINGS_BACK = {EventKind.RESTORED.value, "move_pulse_into_board"}
_MAKES = {EventKind.CREATED.value}


def wait_for_stale_items(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Let records wait whose item isn't shown yet, or in a state that is over; deleted ones also for a stale cell.

    A person's *Sync now* writes to an item that is shown on its board, and it is read again all the same.
    """
    for record_plan in plan.open_records:
        item = facts.items.by_id.get(record_plan.record.monday_id or "")
        is_shown = field_values.is_active_on(facts.board, item)
        if not record_plan.record.monday_id:
            wait = _wait_for_matches(facts, record_plan)
        elif is_shown:
            wait = _wait_for_item(facts, record_plan.history, record_plan.record.monday_id, item)
        else:
            # Of a removed item no cell is set aside by itself.
            wait = _wait_for_item_and_cells(facts, record_plan.compared_with(item))
        if wait and is_shown and record_plan.facts.is_sync_pressed:
            removals = [event.pk for event in record_plan.history.unchecked_events if event.type in _TAKES_AWAY]
            record_plan.wait_for_look(wait, removals, UNSHOWN_ITEM)
        else:
            _defer(record_plan, wait)
    for deleted_plan in plan.open_deleted:
        _defer(deleted_plan, _wait_for_item_and_cells(facts, deleted_plan))


def _wait_for_matches(facts: PassFacts, plan: pass_plan.RecordPlan) -> float | None:
    """Return the seconds until items with its match key are read again, because they may not have it any more."""
    key = field_values.match_key_of_record(facts.board, plan.record)
    same_key = [item for item in facts.items.by_match if field_values.match_key_of_item(facts.board, item) == key]
    waits = [wait_for_unmatched_item(facts, item, facts.events.get(item.id, ())) for item in same_key]
    return min(filter(None, waits), default=None)


def wait_for_unmatched_item(facts: PassFacts, item: Item | None, events: Sequence[WebhookEvent]) -> float | None:
    """Return the seconds until an item without a record is read again, because its read is stale; None if it isn't."""
    recent = tuple(event for event in events if event.received_at > facts.now - LONGEST_LAG)
    if not recent:
        return None
    history = RecordHistory(facts.now, events=recent)
    reports = _reports_on_unmatched(facts.board, history, item) if item else {}
    return _first_look(facts, history, None, item, reports)


def _wait_for_item_and_cells(facts: PassFacts, plan: pass_plan.EntityPlan) -> float | None:
    reports = unshown_reports(facts.board, plan)
    return _first_look(facts, plan.history, plan.record.monday_id, plan.item, reports)


def _first_look(
    facts: PassFacts, history: RecordHistory, item_id: str | None, item: Item | None, reports: Mapping[str, Report]
) -> float | None:
    """Return the seconds until an item is read again for itself, its group or one of these cells; None if it isn't."""
    waits = [_wait_for_item(facts, history, item_id, item)]
    if move := _unshown_move(facts.board, history, item):
        waits.append(seconds_to_look(_arrival(move), facts.now))
    waits += [look for _, look in _stale_cells(reports, facts.now).values()]
    return min(filter(None, waits), default=None)


def _defer(plan: pass_plan.EntityPlan, wait: float | None) -> None:
    if wait:
        plan.doubts.is_item_stale = True
        plan.wait(UNSHOWN_ITEM, wait)


def _wait_for_item(facts: PassFacts, history: RecordHistory, item_id: str | None, item: Item | None) -> float | None:
    """Return the seconds until its item is read again, because what was read is older than what is known; else None."""
    is_there = field_values.is_active_on(facts.board, item)
    if is_there and not history.events:
        return None
    events = sorted(history.events, key=lambda event: (event.happened_at, event.pk))
    news = [event for event in events if event.type in _TAKES_AWAY | _BRINGS_BACK | _MAKES]
    newest = news[-1] if news else None
    if newest is not None and newest.type in _TAKES_AWAY:
        return seconds_to_look(_arrival(newest), facts.now) if is_there else None
    if is_there:
        return None
    moments = [
        intent.settled_at
        for intent in history.writes
        if item is None and is_create(intent) and intent.state == IntentState.APPLIED and intent.settled_at
        if intent.item_id == item_id
    ]
    # A new item that is shown as removed was removed.
    if newest is not None and (item is None or newest.type in _BRINGS_BACK):
        moments.append(_arrival(newest))
    return max(filter(None, (seconds_to_look(moment, facts.now) for moment in moments)), default=None)


def _arrival(event: WebhookEvent) -> datetime:
    return event.happened_at if event.trigger_id.startswith(LOG_PREFIX) else event.received_at


# --- cells ------------------------------------------------------------------------------------------------------------


def set_aside_stale_reads(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Set aside the cells of an item that are stale. A person's *Sync now* sends what NPD has changed all the same."""
    board = facts.board
    if plan.item is None:
        return
    stale = _stale_cells(unshown_reports(board, plan), facts.now)
    if plan.facts.is_sync_pressed:
        stale = {key: cell for key, cell in stale.items() if not _will_be_sent(board, plan, key)}
    for key, (sentence, seconds) in stale.items():
        set_aside(board, plan, {key: sentence}, look_in_seconds=seconds)
    move = _unshown_move(board, plan.history, plan.item)
    if move is not None and (look := seconds_to_look(_arrival(move), facts.now)):
        plan.item = plan.item.without_group()
        plan.wait_for_look(look, [move.pk], UNSHOWN_EDIT)


def _stale_cells(reports: Mapping[str, Report], now: datetime) -> dict[str, tuple[Message, float]]:
    """Return why the cells of these fields count as unknown, and the seconds until they are read again."""
    stale = {}
    for key, report in reports.items():
        if look := seconds_to_look(report.arrived, now):
            stale[key] = (UNSHOWN_WRITE if isinstance(report, OwnWrite) else UNSHOWN_EDIT, look)
    return stale


def _will_be_sent(board: BoardContext, plan: pass_plan.RecordPlan, key: str) -> bool:
    """Whether only NPD's value has left its half of the base, by what was read."""
    field = plan.compared(board, board.mapping_by_key[key])
    return field.base is not None and field.sides.local_changed and not field.sides.remote_changed


def _unshown_move(board: BoardContext, history: RecordHistory, item: Item | None) -> WebhookEvent | None:
    """Return the newest event about the item's group, if the filter asks for it and another one is shown."""
    if not board.sync_filter.asks_group or item is None:
        return None
    moves = [row for row in history.events if row.event and row.event.group_id]
    newest = max(moves, key=lambda row: (row.happened_at, row.pk), default=None)
    if newest is None or newest.event is None or newest.event.group_id == item.group_id:
        return None
    return newest


def unshown_reports(board: BoardContext, plan: pass_plan.EntityPlan) -> dict[str, Report]:
    """Return by field what an event, or a write of ours, says that the item as it was read doesn't show yet."""
    if plan.item is None or not (plan.history.events or _recent_writes(plan.history, plan.item)):
        return {}  # nearly all records
    item = plan.item
    cells = [
        plan.cell(board, mapping)
        for mapping in board.mapped
        if plan.direction_of(mapping) is not choices.SyncDirection.NONE
    ]
    reported = {cell: reports for cell in cells if (reports := _reports(cell, item))}
    unshown = {
        cell.mapping.key: _unshown(plan.compared(board, cell.mapping), cell, reported[cell]) for cell in reported
    }
    return {key: report for key, report in unshown.items() if report is not None}


def _reports_on_unmatched(board: BoardContext, history: RecordHistory, item: Item) -> dict[str, Report]:
    """Return by field the event that an item without a record doesn't show yet: it has neither writes nor a base."""
    cells = [
        CellHistory(mapping, board.converter(mapping), history)
        for mapping in board.mapped
        if mapping.direction != choices.SyncDirection.NONE
    ]
    reported = {cell: reports for cell in cells if (reports := _reports(cell, item))}
    unshown = {
        cell.mapping.key: _unshown(ComparedField(board, cell.mapping, None, item), cell, reported[cell])
        for cell in reported
    }
    return {key: report for key, report in unshown.items() if report is not None}


def _unshown(field: ComparedField, cell: CellHistory, reports: Sequence[Report]) -> Report | None:
    """Return what is known of a cell, by these reports, and isn't shown yet."""
    # What was read may be unknown too, as several items are.
    if isinstance(field.remote_raw, merge.Unknown):
        return None
    base = (field.base_remote, field.base["remote"]) if field.base else None
    return unshown_report(reports, (field.remote, field.remote_raw), base, cell.reads)


def _recent_writes(history: RecordHistory, item: Item) -> list[Intent]:
    """Return our writes to an item that a read may not show yet; a create has replaced nothing."""
    since = history.now - LONGEST_LAG
    recent = [write for write in history.writes if write.settled_at and write.settled_at > since]
    return [write for write in recent if write.item_id == item.id and not is_create(write)]


def _reports(cell: CellHistory, item: Item) -> list[Report]:
    """Return what is known about a cell, the oldest first; empty if nothing is as new as a read may be old."""
    history = cell.history
    writes = [write for write in cell.writes_of(_recent_writes(history, item)) if write.took_effect]
    events = []
    for change in cell.changes:
        is_of_write = any(
            write.intended_at - merge.CLOCK_TOLERANCE <= change.at <= write.until + merge.CLOCK_TOLERANCE
            for write in writes
        )
        # Else it is our own echo, in a form that can't be read.
        if change.is_known or not (history.may_be_ours(change) and is_of_write):
            events.append(change)
    events.sort(key=cmp_to_key(_order))
    if not writes and not any(change.is_new or change.arrived > history.now - LONGEST_LAG for change in events):
        return []
    echoes = _echoes(writes, [change for change in events if history.may_be_ours(change)])
    reports: list[Report] = []
    for change in events:
        earlier = [number for number, write in enumerate(writes) if _is_after(change, write, echoes.get(write.id))]
        ended = writes[: earlier[-1] + 1] if earlier else []
        reports += [*ended, change]
        writes = writes[len(ended) :]
    return [*reports, *writes]


def _order(change: ChangeEvent, other: ChangeEvent) -> int:
    """Compare two events of a field: by Monday's time, or if that is the same, by what they replaced, or arrived."""
    if abs(change.at - other.at) > SAME_TIME:
        return -1 if change.at < other.at else 1
    follows = change.is_known and other.is_known and change.has_previous and change.previous == other.value
    leads = change.is_known and other.is_known and other.has_previous and other.previous == change.value
    if follows is not leads:
        return 1 if follows else -1
    return (change.arrived > other.arrived) - (change.arrived < other.arrived)


def _echoes(writes: Sequence[OwnWrite], events: Sequence[ChangeEvent]) -> dict[str, ChangeEvent]:
    """Return the event of each write, by the write's id, where it has arrived: the first since then with its value.

    An undo puts back what a person wrote moments before, whose event is no echo: as a webhook it had arrived before,
    and as a row of the log, which has Monday's time alone, it has replaced another value than the write had read.
    """
    echoes: dict[str, ChangeEvent] = {}
    for write in writes:
        for change in events:
            if change.arrived == change.at:
                is_since = change.arrived >= write.intended_at - merge.CLOCK_TOLERANCE
                is_since = is_since and (not change.has_previous or change.previous == write.read)
            else:
                is_since = change.arrived >= write.intended_at
            if is_since and change.is_known and write.wrote(change.value) and change not in echoes.values():
                echoes[write.id] = change
                break
    return echoes


def _is_after(change: ChangeEvent, write: OwnWrite, echo: ChangeEvent | None) -> bool:
    """Whether an event happened after a write of ours: by Monday's clock, if the write's own event, `echo`, is known.

    Else our clock is compared with Monday's; within seconds, only what the event replaced tells it.
    """
    if echo is not None:
        return change is not echo and _order(change, echo) > 0
    if write.is_replaced_by(change) or change.at > write.until + merge.CLOCK_TOLERANCE:
        return True
    return not change.has_previous and change.at > write.until and not write.wrote(change.value)
