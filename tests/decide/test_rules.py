"""What rules decide if both sides changed a field, and how a column holds lists, addresses and numbers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from conflicts.reports import FieldSelection
from sync.choices import BlockedCode
from sync.fields.field_values import BoardContext, PassSettings
from sync.merge import Action
from sync.models import WebhookEvent
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.pass_plan import FieldPlan
from tests.decide.builders import (
    ITEM,
    NOW,
    FieldFacts,
    board,
    chosen,
    edit,
    field_facts,
    mapping,
    of_organization,
    organization,
    roles,
)


def value_to_send(plan: FieldPlan) -> Any:
    return plan.converter.to_remote(plan.send_raw or {}, plan.remote_raw)


def role(rule: str) -> BoardContext:
    return board(mapping(rule=rule))


def planned(fields: FieldFacts, key: str = "role_title") -> FieldPlan:
    return decide_fields(*fields)[key]


def clash(rule: str, **more: Any) -> FieldPlan:
    return planned(roles("Mine", "Theirs", on=role(rule), **more))


@pytest.mark.parametrize(
    ("rule", "winner", "sent", "written"),
    [("npd_wins", "NPD", {"role_title": "Mine"}, None), ("monday_wins", "Monday", None, {"role_title": "Theirs"})],
)
def test_the_winning_side_is_written_and_the_other_overridden(rule: str, winner: str, sent: Any, written: Any) -> None:
    plan = clash(rule)
    assert (plan.send_raw, plan.pull_raw, plan.decision.overrides) == (sent, written, True)
    assert plan.decision.reason == f"changed on both sides; {winner} wins"


def test_a_text_that_is_no_list_is_asked_about_under_the_rule_union() -> None:
    conflict = clash("union").conflict
    assert conflict is not None
    assert "only lists" in conflict.reason


# The newer edit.


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_SECONDS = (NOON - NOW).total_seconds()
TOLD = edit("Theirs", "Boss", seconds=NOON_SECONDS)


def change(seconds: int, role: str = "Mine", *, cause: str = "", label: str = "update", notes: str = "") -> Any:
    """A change in NPD's history, `seconds` after Monday's."""
    context = SimpleNamespace(metadata={"cause": cause})
    values = {"role_title": role, "notes": notes, "name": "Ann", "email": "ann@example.com"}
    at = NOON + timedelta(seconds=seconds)
    return SimpleNamespace(pgh_label=label, pgh_created_at=at, pgh_context=context, **values)


def edits(*history: Any, news: tuple[WebhookEvent, ...] = (TOLD,)) -> dict[str, Any]:
    """The facts about NPD's history and Monday's events."""
    return {"npd_edits": history, "extra": {"events": {ITEM: news}}}


FIRST = change(-600, "Boss", label="insert")
OTHER = edit("Other", "Theirs", seconds=NOON_SECONDS + 300)


@pytest.mark.parametrize(
    ("row", "edited", "action", "reason"),
    [
        ("NPD's edit is the newer one", edits(change(10), FIRST), Action.PUSH, "newer"),
        ("Monday's edit is the newer one", edits(change(-10), FIRST), Action.PULL, "newer"),
        ("within five seconds the order is not known", edits(change(4), FIRST), Action.CONFLICT, "within 5 seconds"),
        ("what the sync wrote is nobody's edit", edits(change(10, cause="sync"), FIRST), Action.CONFLICT, "in NPD"),
        ("a later edit of another field", edits(change(20, notes="later"), change(-10), FIRST), Action.PULL, "newer"),
        ("without an event Monday's time isn't known", edits(change(10), FIRST, news=()), Action.CONFLICT, "on Monday"),
        (
            "the last event told another value",
            edits(change(600), FIRST, news=(TOLD, OTHER)),
            Action.CONFLICT,
            "on Monday",
        ),
        ("of a record without a history nothing is known", edits(), Action.CONFLICT, "in NPD is not known"),
        ("a history that was pruned tells no time", edits(change(10)), Action.CONFLICT, "in NPD is not known"),
    ],
)
def test_by_the_rule_newest_the_newer_edit_wins(row: str, edited: dict[str, Any], action: Action, reason: str) -> None:
    decision = clash("newest", **edited).decision
    assert (decision.action, reason in decision.reason) == (action, True), (row, decision.reason)
    assert decision.overrides is (action is not Action.CONFLICT)


# Lists that are united.


def united(here: list[str], there: str, agreed: list[str] | None = None, **rule: str) -> FieldPlan:
    """The plan of an organization's aliases, with NPD's list and the column's text."""
    base = None if agreed is None else ({"aliases": agreed}, ", ".join(agreed))
    fields = of_organization("aliases", {"aliases": here}, there, agreed=base, of_field=rule or {"rule": "union"})
    return planned(fields, "aliases")


@pytest.mark.parametrize(
    ("row", "plan"),
    [
        (
            "base plus what either side added, minus what either removed",
            united(["One", "Two", "Ours"], "Two, Three, Theirs", ["One", "Two", "Three"]),
        ),
        ("no base: both", united(["Two", "Ours"], "Theirs, Two", first_match="union")),
    ],
)
def test_lists_are_united_on_both_sides(row: str, plan: FieldPlan) -> None:
    assert plan.decision.action is Action.BOTH, row
    assert plan.pull_raw is not None
    assert sorted(plan.pull_raw["aliases"]) == ["Ours", "Theirs", "Two"]
    assert sorted(value_to_send(plan).split(", ")) == ["Ours", "Theirs", "Two"]
    assert not plan.decision.overrides


def test_an_element_that_the_column_cant_carry_is_held() -> None:
    plan = united(["One", "Smith, Jones"], "One, Theirs", ["One"])
    assert (plan.send_raw, plan.pull_raw) == (None, None)
    assert plan.blocked_code in (BlockedCode.INVALID, BlockedCode.UNKNOWN, BlockedCode.LIMIT)
    assert "“Smith, Jones” holds a comma" in plan.blocked_reason


# An address in one column.


UNDIVIDED = "Floor 3, 14 Main St, Springfield, IL"
PARTS = {"address_street": "12 Main St", "address_city": "Springfield"}
WHOLE = "12 Main St, Springfield"


def address(there: str, *conflicts: Any) -> FieldPlan:
    fields = of_organization("address", PARTS, there, agreed=(PARTS, WHOLE), conflicts=conflicts)
    return planned(fields, "address")


def test_an_address_is_divided_only_where_it_changed() -> None:
    assert address(WHOLE).decision.action is Action.NOTHING
    written = address("14 Main St, Springfield").pull_raw
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
    plan = address(UNDIVIDED, choice)
    assert (plan.conflict, plan.resolved_conflict) == (None, choice)
    assert (plan.send_raw and value_to_send(plan)) == sent
    assert (plan.pull_raw and plan.pull_raw["address_street"]) == street


# Numbers without a country.


@pytest.mark.parametrize(
    ("country", "setting", "expected"),
    [("United Kingdom", "US", "+442079460018"), ("", "GB", "+442079460018"), ("Atlantis", "GB", None)],
)
def test_a_number_takes_its_organizations_country(country: str, setting: str, expected: str | None) -> None:
    firm = organization(None, address_country=country, sync_enabled=False)
    on = replace(board(mapping("organization", column_id="")), settings=PassSettings(region=setting))
    plan = planned(
        field_facts({"phone": "020 7946 0018", "organization": firm}, {"phone": None}, on=on, agreed={"phone": ""}),
        "phone",
    )
    assert (value_to_send(plan)["phone"] if plan.send_raw else None) == expected
