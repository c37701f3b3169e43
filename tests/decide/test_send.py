"""What Monday's answers mean where a value is refused, and where an item is made."""

from typing import Any

import pytest

from sync.choices import SyncDirection
from sync.fields.field_values import local_values
from sync.merge import Action, FieldDecision
from sync.monday.board_items import Item
from sync.monday.errors import FIELD_REJECTED, NAME_REJECTED, RULES_BROKEN, MondayError
from sync.reconcile.changes import take_answer, write_of
from sync.reconcile.outcomes import Outcome, Write
from sync.reconcile.pass_plan import FieldPlan, RecordPlan
from sync.reconcile.send import rejected_fields
from tests.decide.builders import answered_as, board, changed, contact, draft, item, mapping, taken

NAME, ROLE, NOTES = mapping("name"), mapping(), mapping("notes")
ANN = contact(name="Ann", role_title="Boss", notes="Tall")


def plans(**sends: bool) -> dict[str, FieldPlan]:
    """Plans of name, role and notes; a field is sent unless `sends` says no."""
    by_key = {}
    for field in (NAME, ROLE, NOTES):
        raw, converter = local_values(ANN, field), board(NAME, ROLE, NOTES).converter(field, ANN)
        send = raw if sends.get(field.key, True) else None
        by_key[field.key] = FieldPlan(
            field, converter, SyncDirection.BIDIRECTIONAL, FieldDecision(Action.PUSH), raw, send_raw=send
        )
    return by_key


def plan_of_ann(*, creates: bool = False, **sends: bool) -> RecordPlan:
    shown = None if creates else item(ANN)
    return changed(draft(ANN, item=shown), creates=creates, fields=plans(**sends))


def write(**sends: bool) -> Write:
    return write_of(board(NAME, ROLE, NOTES), plan_of_ann(**sends))


REFUSED = MondayError(FIELD_REJECTED, "too long", request_id="r-1")
MADE = Item("8", "Ann", "active")


def test_broken_rules_refuse_the_values_of_all_columns_that_they_name() -> None:
    error = MondayError(RULES_BROKEN, "Two rules are broken")
    error.columns = {"role_title": "Too short", "notes": "Should not be empty", "elsewhere": "Should not be empty"}
    rejected = rejected_fields(write(), error)
    expected = {"role_title": "Too short", "notes": "Should not be empty"}
    assert {key: refusal.message for key, refusal in rejected.items()} == expected
    error.columns = {"elsewhere": "Should not be empty"}
    assert rejected_fields(write(), error) == {}
    assert rejected_fields(write(name=False, notes=False), error) == {}


# --- what an answer means for a record --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "more"),
    [
        (Outcome.OPEN, {}),
        (Outcome.FAILED, {"is_gone": True}),
        (Outcome.FAILED, {}),
        (Outcome.RELEASED, {}),
        (Outcome.DEFERRED, {}),
        (Outcome.RELEASED, {"is_withdrawn": True}),
    ],
)
def test_what_is_not_the_records_fault_costs_no_attempt(outcome: Outcome, more: dict[str, bool]) -> None:
    plan = taken(take_answer, plan_of_ann(), answered_as(outcome, "Why.", **more))
    assert plan.outcome is outcome
    assert plan.ending.detail == ("" if outcome is Outcome.OPEN else "Why.")
    assert (plan.sync_state.remote_state == "inactive") is ("is_gone" in more)


ROWS: dict[str, tuple[Write, dict[str, Any]]] = {
    "refused for its name: it waits for another name": (
        answered_as(Outcome.FAILED, "Too long.", rejected={"name": MondayError(NAME_REJECTED, "too long")}),
        {"outcome": Outcome.DONE, "reason": "It can't be put on the board: Too long."},
    ),
    "refused for another value, made with its name alone": (
        answered_as(Outcome.OPEN, item=MADE, rejected={"role_title": REFUSED}, is_name_only=True),
        {"outcome": Outcome.OPEN, "reason": ""},
    ),
    "refused for a value that Monday doesn't name, and again with its name alone": (
        answered_as(Outcome.FAILED, "No.", is_name_only=True),
        {"outcome": Outcome.FAILED, "reason": "", "detail": "No."},
    ),
    "found on the board, though its create was refused": (
        answered_as(Outcome.OPEN, item=MADE, is_name_only=True),
        {"outcome": Outcome.OPEN, "reason": ""},
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_new_item(row: str) -> None:
    answer, expected = ROWS[row]
    plan = taken(take_answer, plan_of_ann(creates=True), answer)
    assert {name: getattr(plan.ending if name == "detail" else plan, name) for name in expected} == expected
    if answer.is_name_only:
        assert [key for key, field in plan.fields.items() if field.send_raw is not None] == ["name"]
