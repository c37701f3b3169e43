"""Passes that end without a call, and what items show of their board's columns, from facts alone."""

from dataclasses import replace
from typing import Any

import pytest

from sync.choices import Cause, ColumnProblem, RemovedItemPolicy
from sync.fields.field_values import BoardContext
from sync.models import Intent
from sync.monday.board_items import Item, Reading
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.reconcile.gather.gatherer import column_findings
from sync.reconcile.missing.identity import end_unmatchable
from sync.reconcile.missing.removed_items import apply_unlinks, cleared_columns
from sync.reconcile.no_call_needed import end_without_call
from sync.reconcile.outcomes import Ending, Outcome
from sync.reconcile.pass_plan import Plan, RecordPlan, Removal
from sync.records.item_links import UNLINK_KEY
from tests.decide.builders import BOARD, NOW, after, base, board, contact, draft, facts, history, item, mapping, plain
from tests.support.words import said

ROLE = board(only=["role_title"])
OFF, EDITED_OFF = contact(sync_enabled=False), contact(sync_enabled=False, role_title="New")
OFF_DETAIL = "Sync is off for this record."
PARTED = contact(sync_enabled=False, monday_id=None)
AT_REST = {"remote_state": "active", "base": {"role_title": base("Boss")}}


def settled(cause: Cause = Cause.SAVE, *, payload: dict[str, Any] | None = None, **differs: Any) -> RecordFacts:
    """A record that is as both sides agreed."""
    values = {"sync_state": AT_REST | differs.pop("sync_state", {})} | differs
    record_facts = facts(values.pop("record", None), cause=cause, **values)
    record_facts.claim.jobs[0].payload = payload or {}
    return record_facts


@pytest.mark.parametrize(
    ("case", "record_facts", "detail"),
    [
        ("an unchanged save", settled(), "Nothing that is synced changed."),
        ("a save that changed something", settled(record=contact(role_title="New")), None),
        ("a sweep looks all the same", settled(Cause.SWEEP), None),
        ("without a base", settled(sync_state={"base": {}}), None),
        ("something is blocked", settled(sync_state={"blocked_fields": {"notes": {"code": "invalid"}}}), None),
        ("a note is open", settled(sync_state={"note": "Why."}), None),
        ("Monday's side is not known to stand", settled(sync_state={"remote_state": ""}), None),
        ("a failed job", settled(has_failed_job=True), None),
        ("an open intent", settled(history=history(intents=[plain(Intent, created_at=NOW)])), None),
        ("without an item", settled(record=contact(monday_id=None)), None),
        ("sync is off", settled(record=OFF), "Sync is off for this record."),
        ("its direction is none", settled(record=contact(sync_direction="none")), "Sync is off for this record."),
        ("sync is off, without an item", settled(record=contact(sync_enabled=False, monday_id=None)), OFF_DETAIL),
        ("sync is off, and both sides were edited", settled(Cause.WEBHOOK, record=EDITED_OFF), OFF_DETAIL),
        (
            "sync is off, and it is sent by Sync now",
            settled(Cause.PERSON, record=OFF, payload={"sync_pressed": 1}),
            None,
        ),
        ("sync is off, and it is to be unlinked", settled(Cause.PERSON, record=OFF, payload={UNLINK_KEY: "x"}), None),
        ("so it is, and somebody unlinked it already", settled(record=PARTED, payload={UNLINK_KEY: "x"}), OFF_DETAIL),
    ],
)
def test_a_pass_without_a_call(case: str, record_facts: RecordFacts, detail: str | None) -> None:
    plan = after(end_without_call, PassFacts(ROLE, NOW), RecordPlan(record_facts))
    assert (None if plan.is_open else plan.ending.detail) == detail, case


@pytest.mark.parametrize(
    ("row", "differs", "cleared"),
    [
        ("it bears an NPD ID", {}, {"npd_id": None}),
        ("it bears none", {"values": {"npd_id": Reading("npd_id", "text", text="", value="")}}, {}),
        ("it is archived", {"state": "archived"}, {}),
        ("it is on another board", {"board_id": "2"}, {}),
    ],
)
def test_of_an_unlinked_record_the_items_npd_id_is_cleared(row: str, differs: dict[str, Any], cleared: Any) -> None:
    ann = contact()
    plan = draft(ann, item=replace(item(ann), **differs))
    assert cleared_columns(ROLE, plan) == cleared, row
    assert cleared_columns(board(npd_id_column=""), plan) == {}
    assert cleared_columns(ROLE, draft(ann, item=None)) == {}


@pytest.mark.parametrize("act", [RemovedItemPolicy.DELETE, RemovedItemPolicy.CREATE])
def test_a_persons_wish_to_unlink_goes_over_the_boards_policy(act: RemovedItemPolicy) -> None:
    record_plan = RecordPlan(
        settled(payload={UNLINK_KEY: "Mary"}), ending=Ending(Outcome.DONE), removal=Removal("It was deleted.", act=act)
    )
    [plan] = after(apply_unlinks, None, Plan({record_plan.id: record_plan})).records.values()
    assert (plan.removal, plan.unlink_reason) == (None, "Mary unlinked it")


def shown(kind: str = "text", *, column: str = "role_title", known: bool = True) -> Item:
    cell = Reading(column, kind, text="Boss", is_known=known)
    return Item("7", "Ann", "active", board_id=BOARD, values={column: cell})


FINE, LOST = "", "It was deleted."
ELSEWHERE = shown(column="other")


@pytest.mark.parametrize(
    ("case", "problem", "items", "missing", "healed"),
    [
        ("its column is shown", FINE, [shown()], False, False),
        ("it is not", FINE, [ELSEWHERE], True, False),
        ("one item that shows it is enough", FINE, [ELSEWHERE, shown()], False, False),
        ("it is of another type, which the field can't read", FINE, [shown("numbers")], True, False),
        ("an archived item proves nothing", FINE, [replace(ELSEWHERE, state="archived")], False, False),
        ("nor does one on another board", FINE, [replace(ELSEWHERE, board_id="9")], False, False),
        ("it is shown again", LOST, [shown()], False, True),
        ("again, but its value can't be read", LOST, [shown(known=False)], False, False),
        ("again, but of another type", LOST, [shown("numbers")], False, False),
        ("it is still not shown", LOST, [ELSEWHERE], False, False),
    ],
)
def test_a_column_that_no_item_shows_is_missing_until_one_does(
    case: str, problem: str, items: list[Item], missing: bool, healed: bool
) -> None:
    code = ColumnProblem.MISSING if problem else ""
    field = mapping(options={"column_type": "text"}, problem=problem, problem_code=code)
    expected = (field.key,) * missing, (field.key,) * healed
    assert column_findings(board(field, only=["role_title"]), items) == expected, case


@pytest.mark.parametrize(
    ("on", "reason"),
    [
        (board(mapping("email")), ""),
        (board(mapping("email"), npd_id_problem=said("The NPD ID is gone.")), "The NPD ID is gone."),
        (board(mapping("email", problem="The email is gone.")), "The email is gone. Records and items are matched"),
        (board(only=["notes"]), ""),
    ],
)
def test_without_the_columns_by_which_items_are_known_none_is_created(on: BoardContext, reason: str) -> None:
    plan = after(end_unmatchable, PassFacts(on, NOW), draft(contact(monday_id=None), item=None))
    assert plan.reason.startswith(reason)
    assert plan.is_open is (not reason)
