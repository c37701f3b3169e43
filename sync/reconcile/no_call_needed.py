"""Ends records whose pass needs no call to Monday.

For example because a webhook only reports our own write: W26 in docs/reference/merge/after-a-write.md.
"""

from contextlib import suppress
from typing import Any

from sync.choices import BlockedCode, Cause
from sync.fields import field_bases, field_values
from sync.fields.field_values import BoardContext
from sync.models.records_and_items import SWALLOWED
from sync.monday.board_events import EventKind, ItemEvent
from sync.monday.board_items import NAME_COLUMN
from sync.monday.conversion import UnknownValue
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.change_events import EDIT_KINDS, event_value
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.removed_items import requested_unlink


def end_without_call(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """End a record that needs no call: its sync is off, a save changed nothing, or a webhook reports what is known."""
    board = facts.board
    record_facts = plan.facts
    causes = record_facts.causes
    if not plan.record.may_sync and not record_facts.is_sync_pressed and not requested_unlink(record_facts):
        # The item isn't read any more. With sync on again, this makes the first pass read it (`_has_nothing_new`).
        plan.sync_state.remote_state = ""
        plan.ending = outcomes.SYNC_OFF
    elif causes == Cause.SAVE and not record_facts.history.unchecked_events and _has_nothing_new(board, plan):
        plan.ending = outcomes.UNCHANGED
    elif causes == Cause.WEBHOOK and _is_echo(board, plan):
        plan.ending = outcomes.NOTHING_NEW


def _has_nothing_new(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether NPD's half of every base is still the record's value, and nothing else is left for a pass to do."""
    record_facts = plan.facts
    sync_state = plan.sync_state
    has_open_work = any(
        (
            record_facts.is_unresolved,
            plan.lost_updates,
            record_facts.has_failed_job,
            any(entry.get("code") != BlockedCode.RELATION_SKIPPED for entry in sync_state.blocked_fields.values()),
            any(SWALLOWED in entry for entry in sync_state.altered.values()),
            sync_state.note,
            sync_state.left_out,
            sync_state.remote_state != field_values.ACTIVE,
        )
    )
    if not plan.record.monday_id or has_open_work:
        return False
    for mapping in board.mapped:
        field = plan.compared(board, mapping)
        # A base marked AS_SENT says that Monday has somebody's edit, which no pass has pulled yet.
        if field.base is None or field.base.get(field_bases.AS_SENT) or not field.sides.local_unchanged:
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
        field = plan.compared(board, mapping)
        with suppress(UnknownValue):
            value = event_value(field.converter, values[mapping.column_id], event.column_type or "")
            if field.base is not None and value == field.base_remote:
                continue
        return False
    return True
