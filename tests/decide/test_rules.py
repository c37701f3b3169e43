"""What rules decide where both sides changed a field, and what a column makes of lists, addresses and numbers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from sync.choices import BlockedCode
from sync.merge import Action, FieldSelection
from sync.reconcile.facts import ChangeEvent, RecordHistory
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.field_values import BoardContext, PassSettings
from sync.reconcile.pass_plan import FieldPlan
from tests.decide.field_builders import FieldFacts, board, chosen, field_facts, of_organization, organization


def value_to_send(plan: FieldPlan) -> Any:
    """What the field's column is given."""
    return plan.convert.to_remote(plan.send_raw or {}, plan.remote_raw)


def role(rule: str) -> BoardContext:
    return board({"role_title": {"rule": rule}})


def planned(given: FieldFacts, key: str = "role_title") -> FieldPlan:
    return decide_fields(*given)[key]


def clash(rule: str, **more: Any) -> FieldPlan:
    return planned(field_facts({"role_title": "Mine"}, {"role_title": "Theirs"}, of=role(rule), **more))


@pytest.mark.parametrize(
    ("rule", "winner", "sent", "written"),
    [("npd_wins", "NPD", {"role_title": "Mine"}, None), ("monday_wins", "Monday", None, {"role_title": "Theirs"})],
)
def test_the_winning_side_is_written_and_the_other_overridden(rule: str, winner: str, sent: Any, written: Any) -> None:
    found = clash(rule)
    assert (found.send_raw, found.write_raw, found.decision.overrides) == (sent, written, True)
    assert found.decision.reason == f"changed on both sides; {winner} wins"


def test_a_text_that_is_no_list_is_asked_about_under_the_rule_union() -> None:
    found = clash("union").conflict
    assert found is not None
    assert "only lists" in found.reason


# The newer edit.


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOLD = ChangeEvent("role_title", "Theirs", "Boss", True, "", NOON, True)


def change(seconds: int, role: str = "Mine", *, cause: str = "", label: str = "update", notes: str = "") -> Any:
    """A change in NPD's history, so many seconds after Monday's."""
    context = SimpleNamespace(metadata={"cause": cause})
    values = {"role_title": role, "notes": notes, "name": "Ann", "email": "ann@example.com"}
    at = NOON + timedelta(seconds=seconds)
    return SimpleNamespace(pgh_label=label, pgh_created_at=at, pgh_context=context, **values)


def edits(*history: Any, told: tuple[ChangeEvent, ...] = (TOLD,)) -> RecordHistory:
    """NPD's changes, the newest first, and what Monday told."""
    return RecordHistory(npd_edits=history, monday_edits=told)


FIRST = change(-600, "Boss", label="insert")
OTHER = ChangeEvent("role_title", "Other", "Theirs", True, "", NOON + timedelta(minutes=5), True)


@pytest.mark.parametrize(
    ("row", "edited", "action", "why"),
    [
        ("NPD's edit is the newer one", edits(change(10), FIRST), Action.PUSH, "newer"),
        ("Monday's edit is the newer one", edits(change(-10), FIRST), Action.PULL, "newer"),
        ("within five seconds the order is not known", edits(change(4), FIRST), Action.CONFLICT, "within 5 seconds"),
        ("what the sync wrote is nobody's edit", edits(change(10, cause="sync"), FIRST), Action.CONFLICT, "in NPD"),
        ("a later edit of another field", edits(change(20, notes="later"), change(-10), FIRST), Action.PULL, "newer"),
        ("without an event Monday's time isn't known", edits(change(10), FIRST, told=()), Action.CONFLICT, "on Monday"),
        (
            "the last event told another value",
            edits(change(600), FIRST, told=(TOLD, OTHER)),
            Action.CONFLICT,
            "on Monday",
        ),
        ("of a record without a history nothing is known", edits(), Action.CONFLICT, "in NPD is not known"),
        ("a history that was pruned tells no time", edits(change(10)), Action.CONFLICT, "in NPD is not known"),
    ],
)
def test_by_the_rule_newest_the_newer_edit_wins(row: str, edited: RecordHistory, action: Action, why: str) -> None:
    found = clash("newest", history=edited).decision
    assert (found.action, why in found.reason) == (action, True), (row, found.reason)
    assert found.overrides is (action is not Action.CONFLICT)


# Lists that are united.


def united(here: list[str], there: str, agreed: list[str] | None = None, **rule: str) -> FieldPlan:
    """The aliases of an organization, as NPD and as the column's text says them."""
    base = None if agreed is None else ({"aliases": agreed}, ", ".join(agreed))
    given = of_organization("aliases", {"aliases": here}, there, agreed=base, of_field=rule or {"rule": "union"})
    return planned(given, "aliases")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            "base plus what either side added, minus what either removed",
            united(["One", "Two", "Ours"], "Two, Three, Theirs", ["One", "Two", "Three"]),
        ),
        ("no base: both", united(["Two", "Ours"], "Theirs, Two", first_match="union")),
    ],
)
def test_lists_are_united_on_both_sides(row: str, found: FieldPlan) -> None:
    assert found.decision.action is Action.BOTH, row
    assert found.write_raw is not None
    assert sorted(found.write_raw["aliases"]) == ["Ours", "Theirs", "Two"]
    assert sorted(value_to_send(found).split(", ")) == ["Ours", "Theirs", "Two"]
    assert not found.decision.overrides


def test_an_element_that_the_column_cant_carry_is_held() -> None:
    found = united(["One", "Smith, Jones"], "One, Theirs", ["One"])
    assert (found.send_raw, found.write_raw) == (None, None)
    assert found.blocked_code in (BlockedCode.INVALID, BlockedCode.UNKNOWN, BlockedCode.LIMIT)
    assert "“Smith, Jones” holds a comma" in found.blocked_reason


# An address in one column.


UNDIVIDED = "Floor 3, 14 Main St, Springfield, IL"
PARTS = {"address_street": "12 Main St", "address_city": "Springfield"}
WHOLE = "12 Main St, Springfield"


def address(there: str, *conflicts: Any) -> FieldPlan:
    given = of_organization("address", PARTS, there, agreed=(PARTS, WHOLE), conflicts=conflicts)
    return planned(given, "address")


def test_an_address_is_divided_only_where_it_changed() -> None:
    assert address(WHOLE).decision.action is Action.NOTHING
    written = address("14 Main St, Springfield").write_raw
    assert written is not None
    assert (written["address_street"], written["address_city"]) == ("14 Main St", "Springfield")


@pytest.mark.parametrize(
    ("choose", "typed", "sent", "street"),
    [
        ("npd", None, WHOLE, None),
        ("monday", None, None, UNDIVIDED),
        ("base", None, WHOLE, None),
        ("custom", "A, B, C", "A, B, C", "A, B, C"),
    ],
)
def test_an_odd_address_is_settled(choose: str, typed: str | None, sent: str | None, street: str | None) -> None:
    assert address(UNDIVIDED).conflict is not None
    choice = chosen("address", FieldSelection(choose, typed, WHOLE, UNDIVIDED))
    found = address(UNDIVIDED, choice)
    assert (found.conflict, found.resolves) == (None, choice)
    assert (found.send_raw and value_to_send(found)) == sent
    assert (found.write_raw and found.write_raw["address_street"]) == street


# Numbers without a country.


@pytest.mark.parametrize(
    ("country", "setting", "expected"),
    [("United Kingdom", "US", "+442079460018"), ("", "GB", "+442079460018"), ("Atlantis", "GB", None)],
)
def test_a_number_takes_its_organizations_country(country: str, setting: str, expected: str | None) -> None:
    firm = organization(None, address_country=country, sync_enabled=False)
    of = replace(board({"organization": {"column_id": ""}}), settings=PassSettings(region=setting))
    plan = planned(
        field_facts({"phone": "020 7946 0018", "organization": firm}, {"phone": None}, of=of, agreed={"phone": ""}),
        "phone",
    )
    assert (value_to_send(plan)["phone"] if plan.send_raw else None) == expected
