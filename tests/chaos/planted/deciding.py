"""Wrong decisions on fields."""

from dataclasses import replace
from typing import Any

from sync.merge import Action, Field, FieldDecision
from sync.monday.board_items import Reading
from sync.reconcile.settle.record import SettledRecord
from tests.chaos import acts, drills
from tests.chaos.planted import Wrong, also_at, answer, plant


@plant(
    "last_writer_wins",
    "where both sides changed a field, NPD's value is sent without asking",
    acts.edit_both,
    "sync.merge:decide_field",
)
def _sends_without_asking(right: Wrong, field: Field) -> FieldDecision:
    decision: FieldDecision = right(field)
    if decision.action is Action.CONFLICT:
        return FieldDecision(Action.PUSH, "NPD was written last")
    return decision


@plant(
    "cleared_field_skipped",
    "a field that was emptied in NPD is not emptied on Monday",
    drills.drill_emptied_in_npd,
    "sync.merge:decide_field",
)
def _sends_no_empty_value(right: Wrong, field: Field) -> FieldDecision:
    decision: FieldDecision = right(field)
    if decision.action is Action.PUSH and field.local is None:
        return FieldDecision(Action.NOTHING)
    return decision


@plant(
    "base_not_updated",
    "what both sides agreed on is not stored after a write",
    acts.edit_in_npd,
    "sync.reconcile.settle.record:SettledRecord.settle_fields",
)
def _keeps_the_old_base(right: Wrong, settled: SettledRecord, *args: Any) -> None:
    base = settled.plan.sync_state.base
    right(settled, *args)
    settled.plan.sync_state.base = base


@plant(
    "unknown_read_as_empty",
    "a value that could not be read is taken for an empty one",
    drills.drill_column_hidden,
    "sync.monday.board_items:Item.reading",
)
def _reads_as_empty(right: Wrong, item: Any, column_id: str) -> Reading:
    reading: Reading = right(item, column_id)
    types = {"email": "email", "phone": "phone", "notes": "long_text", "role_title": "text"}
    if reading.is_known:
        return reading
    kind = reading.type or types.get(column_id, "")
    return replace(reading, type=kind, text=None, value=None, extra={}, is_known=True, reason="")


also_at("unknown_read_as_empty", "sync.reconcile.emptied_cells:emptied_fields")(answer(()))


plant(
    "pull_without_compare_and_set",
    "a pulled value is written over what was saved in NPD since it was read",
    drills.drill_saved_while_pulled,
    "sync.reconcile.settle.record:still_holds",
)(answer(True))
