"""Wrong decisions on fields."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sync.merge import Action, Field, FieldDecision
from sync.monday.board_items import Reading
from sync.reconcile.pass_plan import RecordPlan
from tests.chaos import acts, drills
from tests.chaos.planted import Wrong, bug, instead_of

last_writer_wins = bug(
    "last_writer_wins", "where both sides changed a field, NPD's value is sent without asking", act=acts.edit_both
)


@instead_of(last_writer_wins, "sync.merge:decide_field")
def _sends_without_asking(right: Wrong, field: Field) -> FieldDecision:
    decision: FieldDecision = right(field)
    if decision.action is Action.CONFLICT:
        return FieldDecision(Action.PUSH, "NPD was written last")
    return decision


cleared_field_skipped = bug(
    "cleared_field_skipped", "a field that was emptied in NPD is not emptied on Monday", act=drills.drill_emptied_in_npd
)


@instead_of(cleared_field_skipped, "sync.merge:decide_field")
def _sends_no_empty_value(right: Wrong, field: Field) -> FieldDecision:
    decision: FieldDecision = right(field)
    if decision.action is Action.PUSH and field.local is None:
        return FieldDecision(Action.NOTHING)
    return decision


base_not_updated = bug(
    "base_not_updated", "what both sides agreed on is not stored after a write", act=acts.edit_in_npd
)


@instead_of(base_not_updated, "sync.reconcile.changes:settle_fields")
def _keeps_the_old_base(right: Wrong, plan: RecordPlan, *args: Any) -> None:
    base = plan.sync_state.base
    right(plan, *args)
    plan.sync_state.base = base


unknown_read_as_empty = bug(
    "unknown_read_as_empty", "a value that could not be read is taken for an empty one", act=drills.drill_column_hidden
)


@instead_of(unknown_read_as_empty, "sync.reconcile.emptied_cells:emptied_fields")
def _asks_about_no_empty_cell(right: Wrong, *args: Any) -> Iterator[Any]:
    return iter(())


@instead_of(unknown_read_as_empty, "sync.monday.board_items:Item.reading")
def _reads_as_empty(right: Wrong, item: Any, column_id: str) -> Reading:
    reading: Reading = right(item, column_id)
    types = {"email": "email", "phone": "phone", "notes": "long_text", "role_title": "text"}
    return (
        reading
        if reading.is_known
        else replace(
            reading,
            type=reading.type or types.get(column_id, ""),
            text=None,
            value=None,
            extra={},
            is_known=True,
            reason="",
        )
    )


pull_without_compare_and_set = bug(
    "pull_without_compare_and_set",
    "a pulled value is written over what was saved in NPD since it was read",
    act=drills.drill_saved_while_pulled,
)


@instead_of(pull_without_compare_and_set, "sync.reconcile.changes:still_holds")
def _holds_always(right: Wrong, *args: Any) -> bool:
    return True
