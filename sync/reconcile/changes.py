"""Compute what a pass sends to Monday from the plans of its records, and take the answers into these; send.py sends it.

Implements M11, M13 of docs/reference/merge/limits-and-stops.md: a refused value blocks its field; an item is made with
its name alone.
"""

from typing import Any

from sync.choices import ActivityKind, BlockedCode
from sync.fields.field_values import BoardContext, npd_id_of
from sync.kernel.secret_texts import without_secrets
from sync.merge import Action
from sync.models import SyncedModel
from sync.models.jobs import REFILLED_SINCE
from sync.models.records_and_items import INACTIVE
from sync.monday.board_items import NAME_COLUMN
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.missing import removed_items
from sync.words.message import Message


def settings_of(record: SyncedModel) -> tuple[bool, str, str | None]:
    """Return the settings that must not change between a record's plan and its call."""
    return record.sync_enabled, record.sync_direction, record.monday_id


def item_writes(board: BoardContext, plan: pass_plan.Plan) -> tuple[list[outcomes.Write], list[outcomes.Write]]:
    """Return the writes of a plan's open records: the changes of items, and the new items."""
    changes = [write_of(board, record_plan) for record_plan in plan.open_records if not record_plan.creates]
    creates = [write_of(board, record_plan) for record_plan in plan.open_records if record_plan.creates]
    return [write for write in changes if write.values], creates


def write_of(board: BoardContext, plan: pass_plan.RecordPlan) -> outcomes.Write:
    """Return the write of a record: the planned values, and its NPD ID, which an unlinked record's item loses."""
    values: dict[str, Any] = {}
    entries: dict[str, dict[str, Any]] = {}
    creates_labels = False
    for key, field_plan in plan.fields.items():
        if field_plan.send_raw is None:
            continue
        mapping = field_plan.mapping
        entries[key] = {
            "local": field_plan.send_raw,
            "read": field_plan.remote_raw,
            "base": field_plan.base,
            "column": mapping.column_id,
            "version": mapping.version,
            # The record has a united list only after the answer; until then its own list isn't a later edit.
            "united": field_plan.decision.action is Action.BOTH and not field_plan.choice,
        }
        if key in plan.doubts.dropped_cells:
            # If a late event says that somebody emptied it, they are asked.
            entries[key][REFILLED_SINCE] = (field_plan.base or {}).get("at") or plan.record.created_at.isoformat()
        values[mapping.column_id] = field_plan.converter.to_remote(field_plan.send_raw, field_plan.remote_raw)
        creates_labels = creates_labels or field_plan.converter.has_labels
    if plan.unlink_reason:
        values |= removed_items.cleared_columns(board, plan)
    elif plan.creates or lacks_npd_id(board, plan):
        values[board.link.npd_id_column] = str(plan.id)
    return outcomes.Write(
        plan.id,
        plan.item_id,
        values,
        entries,
        creates_labels,
        settings=settings_of(plan.record),
        refused_at=plan.history.create_refused_at if plan.creates else None,
    )


def lacks_npd_id(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether its item has another NPD ID than the record's, or none."""
    if plan.item is None or not board.link.npd_id_column:
        return False
    return npd_id_of(board, plan.item) not in (None, str(plan.id))


def take_answer(plan: pass_plan.RecordPlan, write: outcomes.Write) -> None:
    """Take Monday's answer: refused values are blocked, unsent ones are no longer planned.

    An item can't be created without its name; if another value is refused, it is created with its name alone.
    """
    plan.write = write
    for key, error in write.rejected.items():
        field_plan = plan.fields[key]
        value = field_plan.display_local(field_plan.send_raw or field_plan.local_raw)
        advice = Message("choose_another_value" if field_plan.choice else f"advice_{error.kind}")
        problem = without_secrets(error.message.rstrip(" ."))
        field_plan.block(BlockedCode.REJECTED, Message("monday_rejected", value=value, quote=problem, advice=advice))
        sentence = Message("value_rejected", label=field_plan.mapping.label, quote=problem)
        plan.add_line(ActivityKind.BLOCKED, sentence, key, values={"request": error.request_id})
    for key, field_plan in plan.fields.items():
        if key in write.unsent or (write.is_name_only and field_plan.mapping.column_id != NAME_COLUMN):
            field_plan.send_raw = None
    if write.item is not None and plan.creates:
        plan.link_to = write.item.id
        plan.item = write.item
        plan.sync_state.remote_state = write.item.state
        plan.add_line(ActivityKind.CREATE, Message("item_created", item=write.item.name))
    if plan.creates and any(plan.fields[key].mapping.column_id == NAME_COLUMN for key in write.rejected):
        # No item is made without a name, and the answer stays the same until that changes.
        plan.end(Message("not_put_on_board", why=write.ending.detail))
        return
    if write.is_gone:
        # It left the board after it was read.
        plan.sync_state.remote_state = INACTIVE
    if write.is_withdrawn:
        plan.start_anew(write.ending)
    elif not write.is_done:
        plan.ending = write.ending
