"""What becomes of a record's fields, by the rows of MERGE.md, from facts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from npd.models import Organization
from sync.choices import BlockedCode, Cause, SyncDirection
from sync.kernel.conflict_store import KIND_FIELDS, KIND_LOST_UPDATE, KIND_UNDO
from sync.merge import Action, FieldSelection
from sync.reconcile.facts import ChangeEvent
from sync.reconcile.field_plan import EditFacts, FieldFacts, FieldPlan, decide_fields, new_base
from sync.reconcile.field_values import Lacking, RelatedFacts, Want, WantKind
from tests.decide.field_builders import board, chosen, field_facts, intent, organization

ACME = organization()


def planned(key: str, given: FieldFacts) -> FieldPlan:
    return decide_fields(given).plans[key]


def role(**of_field: Any) -> Any:
    return board({"role_title": of_field})


@pytest.mark.parametrize(
    ("row", "given", "action", "sent", "written"),
    [
        ("neither side moved", field_facts(), Action.NOTHING, None, None),
        ("changed in NPD", field_facts({"role_title": "Chair"}), Action.PUSH, "Chair", None),
        ("emptied in NPD clears the column", field_facts({"role_title": ""}), Action.PUSH, "", None),
        ("changed on Monday", field_facts(None, {"role_title": "Chair"}), Action.PULL, None, "Chair"),
        ("emptied on Monday clears the field", field_facts(None, {"role_title": ""}), Action.PULL, None, ""),
        (
            "both changed to the same",
            field_facts({"role_title": "Chair"}, {"role_title": "Chair"}),
            Action.AGREED,
            None,
            None,
        ),
        ("no base, the same on both sides", field_facts(without_base=["role_title"]), Action.AGREED, None, None),
        (
            "no base, empty on Monday",
            field_facts(None, {"role_title": ""}, without_base=["role_title"]),
            Action.PUSH,
            "Boss",
            None,
        ),
        (
            "one way to NPD: Monday's value is mirrored over an edit in NPD",
            field_facts({"role_title": "Mine"}, of=role(direction=SyncDirection.MONDAY_TO_NPD)),
            Action.PULL,
            None,
            "Boss",
        ),
        (
            "one way to Monday: an edit there is written over",
            field_facts(None, {"role_title": "Theirs"}, of=role(direction=SyncDirection.NPD_TO_MONDAY)),
            Action.PUSH,
            "Boss",
            None,
        ),
        (
            "nothing is written against the record's direction",
            field_facts({"role_title": "Mine"}, record={"sync_direction": SyncDirection.NONE}),
            Action.NOTHING,
            None,
            None,
        ),
    ],
)
def test_a_field_is_decided_by_its_row(row: str, given: FieldFacts, action: Action, sent: Any, written: Any) -> None:
    found = planned("role_title", given)
    raws = [None if raw is None else raw["role_title"] for raw in (found.send_raw, found.write_raw)]
    assert (found.decision.action, *raws) == (action, sent, written), row


def test_a_base_of_another_mapping_version_counts_as_none() -> None:
    given = field_facts({"role_title": "Mine"}, of=role(version=2))
    given.facts.ledger.base["role_title"]["version"] = 1
    assert planned("role_title", given).decision.action is Action.CONFLICT


def test_a_field_that_npd_emptied_while_it_was_held_is_not_filled_from_a_new_column() -> None:
    given = field_facts({"role_title": ""}, {"role_title": "Chair"}, of=role(version=2))
    given.facts.ledger.base["role_title"]["version"] = 1
    assert planned("role_title", given).decision.action is Action.CONFLICT
    never_agreed = field_facts({"role_title": ""}, {"role_title": "Chair"}, without_base=["role_title"])
    assert planned("role_title", never_agreed).decision.action is Action.PULL


def test_what_both_sides_changed_differently_is_a_conflict_with_its_three_values() -> None:
    found = planned("role_title", field_facts({"role_title": "Mine"}, {"role_title": "Theirs"})).conflict
    assert found is not None
    assert (found.npd, found.base, found.monday) == ("Mine", "Boss", "Theirs")


@pytest.mark.parametrize(
    ("row", "key", "given", "code"),
    [
        (
            "Unknown is not empty: it is not decided",
            "role_title",
            field_facts({"role_title": "x"}, unknown=["role_title"]),
            "unknown",
        ),
        ("a field that NPD requires is not emptied", "name", field_facts(None, {"name": ""}), "required"),
        (
            "what NPD's constraints refuse stays on the board",
            "email",
            field_facts(None, {"email": "no address"}),
            "invalid",
        ),
        ("a field without a column", "phone", field_facts(of=board({"phone": {"column_id": ""}})), "column"),
    ],
)
def test_what_can_not_be_written_is_blocked_with_its_reason(row: str, key: str, given: FieldFacts, code: str) -> None:
    found = planned(key, given)
    assert (found.blocked_code, found.send_raw, found.write_raw) == (BlockedCode(code), None, None), row
    assert found.blocked_reason


def test_what_monday_refused_is_not_sent_again_until_it_or_a_person_changes_that() -> None:
    entry = {"reason": "No.", "side": "monday", "code": "rejected", "local": {"role_title": "x"}}
    refused = {"blocked_fields": {"role_title": entry | {"column": "role_title", "version": 1}}}
    assert planned("role_title", field_facts({"role_title": "x"}, ledger=refused)).blocked_reason == "No."
    by_person = field_facts({"role_title": "x"}, ledger=refused, causes=[Cause.PERSON])
    assert planned("role_title", by_person).send_raw == {"role_title": "x"}
    assert planned("role_title", field_facts({"role_title": "y"}, ledger=refused)).send_raw == {"role_title": "y"}


def test_a_record_without_sync_that_is_pushed_by_name_sends_what_npd_changed_and_nothing_else() -> None:
    given = field_facts({"role_title": "Mine"}, {"notes": "Theirs"}, record={"sync_enabled": False})
    plans = decide_fields(given).plans
    assert plans["role_title"].send_raw == {"role_title": "Mine"}
    assert (plans["notes"].decision.action, plans["notes"].write_raw) == (Action.NOTHING, None)


# --- an item that is to be created, and its NPD ID ------------------------------------------------------------------


def test_a_new_item_gets_what_is_filled() -> None:
    plans = decide_fields(field_facts({"phone": ""}, creates=True)).plans
    assert {key for key, plan in plans.items() if plan.send_raw is not None} == {"name", "email", "role_title", "notes"}
    assert plans["phone"].decision.action is Action.AGREED


def test_a_new_item_is_made_without_a_column_that_is_gone() -> None:
    plans = decide_fields(field_facts(of=role(problem="It was deleted."), creates=True)).plans
    assert (plans["role_title"].blocked_code, plans["role_title"].blocked_reason) == ("column", "It was deleted.")
    assert plans["notes"].send_raw is not None


def test_a_record_that_only_takes_over_gets_no_item_and_its_reason() -> None:
    given = field_facts(creates=True, record={"sync_direction": SyncDirection.MONDAY_TO_NPD})
    assert "lets nothing be sent" in decide_fields(given).reason


def test_an_item_without_the_npd_id_gets_it() -> None:
    assert not decide_fields(field_facts()).write_npd_id
    assert decide_fields(field_facts(record={"id": UUID(int=2)})).write_npd_id


# --- an intent without an answer ------------------------------------------------------------------------------------


def test_a_value_that_an_intent_sent_is_our_own_write_and_what_npd_says_since_is_pushed() -> None:
    ours = intent("role_title", "role_title", {"role_title": "Sent"})
    found = decide_fields(field_facts({"role_title": "Later"}, {"role_title": "Sent"}, intents=(ours,)))
    plan = found.plans["role_title"]
    assert (plan.decision.action, plan.send_raw) == (Action.PUSH, {"role_title": "Later"})
    assert plan.confirmed_entry == ours.values["role_title"]
    assert found.confirmed_intents == {ours.pk: "7"}


def test_a_value_that_no_intent_sent_is_merged_against_the_old_base() -> None:
    ours = intent("role_title", "role_title", {"role_title": "Sent"})
    found = decide_fields(field_facts({"role_title": "Sent"}, {"role_title": "Theirs"}, intents=(ours,)))
    assert (found.plans["role_title"].decision.action, found.confirmed_intents) == (Action.CONFLICT, {})


def test_a_write_that_landed_late_is_the_base() -> None:
    entry = {"local": {"role_title": "Late"}}
    given = field_facts({"role_title": "Mine"}, {"role_title": "Late"}, known={"late_writes": {"role_title": entry}})
    assert planned("role_title", given).decision.action is Action.PUSH


# --- relations ------------------------------------------------------------------------------------------------------


def related(**by_item: Organization) -> RelatedFacts:
    found = {Want(WantKind.ITEM, Organization, item[1:]): [one] for item, one in by_item.items()}
    return RelatedFacts({**found, Want(WantKind.ITEM, Organization, "99"): []})


def test_what_monday_names_is_looked_up_in_facts() -> None:
    given = field_facts(None, {"organization": "70"}, known={"related": related(i70=ACME)})
    written = planned("organization", given).write_raw
    assert written == {"organization": {"id": str(ACME.pk), "item": "70", "name": "Acme"}}


def test_an_item_that_no_record_has_is_waited_for() -> None:
    plan = planned("organization", field_facts(None, {"organization": "99"}, known={"related": related()}))
    assert (plan.blocked_code, plan.awaits) == (BlockedCode.RELATION, "item 99")


def test_what_was_not_read_is_named_all_at_once_and_nothing_is_asked() -> None:
    other = organization(item=None, name="New")
    with pytest.raises(Lacking) as lacking:
        decide_fields(field_facts({"organization": other}))
    assert lacking.value.wants == {Want(WantKind.BOARD, Organization)}
    with pytest.raises(Lacking) as lacking:
        decide_fields(field_facts(None, {"organization": "98"}))
    assert lacking.value.wants == {Want(WantKind.ITEM, Organization, "98")}


@pytest.mark.parametrize(
    ("row", "has_board", "values", "code", "lines"),
    [
        ("only the relation waits for a record that will get its item", True, {}, BlockedCode.RELATION, 0),
        ("one whose sync is off gets none: left out", True, {"sync_enabled": False}, BlockedCode.LEFT_OUT, 1),
        ("without a board there is none: left out", False, {}, BlockedCode.LEFT_OUT, 1),
    ],
)
def test_a_related_record_without_an_item(
    row: str, has_board: bool, values: dict[str, Any], code: BlockedCode, lines: int
) -> None:
    other = organization(item=None, name="New", sync_status="pending", **{"sync_enabled": True} | values)
    known = RelatedFacts(answers={Want(WantKind.BOARD, Organization): has_board})
    found = decide_fields(field_facts({"organization": other}, known={"related": known}))
    assert (found.plans["organization"].blocked_code, len(found.log)) == (code, lines), row


@pytest.mark.parametrize(("is_removed", "action"), [(True, Action.UNDECIDED), (False, Action.PULL)])
def test_a_cell_that_a_removed_item_left_empty_was_emptied_by_nobody(is_removed: bool, action: Action) -> None:
    answers = {Want(WantKind.REMOVED, Organization, (str(ACME.pk), "70")): is_removed}
    given = field_facts(
        {"organization": ACME}, agreed={"organization": ACME}, known={"related": RelatedFacts(answers=answers)}
    )
    assert planned("organization", given).decision.action is action


# --- the rule “newest” ----------------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def edits(seconds: int, *, cause: str = "") -> EditFacts:
    """NPD's edit so many seconds after Monday's."""
    context = SimpleNamespace(metadata={"cause": cause})
    at = NOON + timedelta(seconds=seconds)
    event = SimpleNamespace(pgh_label="insert", pgh_created_at=at, pgh_context=context, role_title="Mine")
    told = ChangeEvent("role_title", "Theirs", "Boss", True, "", NOON, True)
    return EditFacts({UUID(int=1): [event]}, {UUID(int=1): [told]})


@pytest.mark.parametrize(
    ("row", "edited", "action"),
    [
        ("NPD's edit is the newer one", edits(10), Action.PUSH),
        ("Monday's edit is the newer one", edits(-10), Action.PULL),
        ("within five seconds the order is not known", edits(4), Action.CONFLICT),
        ("what the sync wrote is nobody's edit", edits(10, cause="sync"), Action.CONFLICT),
    ],
)
def test_by_the_rule_newest_the_newer_edit_wins(row: str, edited: EditFacts, action: Action) -> None:
    given = field_facts(
        {"role_title": "Mine"}, {"role_title": "Theirs"}, of=role(rule="newest"), known={"edits": edited}
    )
    assert planned("role_title", given).decision.action is action, row


def test_edit_times_are_wanted_only_where_the_rule_newest_has_to_decide() -> None:
    decide_fields(field_facts({"role_title": "Mine"}, of=role(rule="newest")))
    with pytest.raises(Lacking) as lacking:
        decide_fields(field_facts({"role_title": "Mine"}, {"role_title": "Theirs"}, of=role(rule="newest")))
    assert [want.kind for want in lacking.value.wants] == [WantKind.EDITS]


# --- a person's decisions -------------------------------------------------------------------------------------------


def resolved(selection: FieldSelection, kind: str = KIND_FIELDS, **remote: str) -> FieldFacts:
    conflict = chosen("role_title", selection, kind)
    both = {"role_title": "Mine"}, {"role_title": "Theirs"} | remote
    return field_facts(*both, conflicts=(conflict,))


@pytest.mark.parametrize(
    ("choose", "value", "sent", "written"),
    [
        ("npd", None, "Mine", None),
        ("monday", None, None, "Theirs"),
        ("base", None, "Boss", "Boss"),
        ("custom", "Typed", "Typed", "Typed"),
    ],
)
def test_a_choice_is_carried_out_where_what_was_seen_still_stands(
    choose: str, value: str | None, sent: str | None, written: str | None
) -> None:
    plan = planned("role_title", resolved(FieldSelection(choose, value, "Mine", "Theirs")))
    raws = [None if raw is None else raw["role_title"] for raw in (plan.send_raw, plan.write_raw)]
    assert (raws, plan.choose) == ([sent, written], choose)


def test_a_choice_made_for_other_values_is_handed_back() -> None:
    found = decide_fields(resolved(FieldSelection("npd", None, "Mine", "Older")))
    assert "changed after you chose" in found.results.handed_back[KIND_FIELDS, "role_title"]
    assert found.plans["role_title"].conflict is not None


def lost(selection: FieldSelection, **values: str) -> FieldFacts:
    return field_facts(values, values, conflicts=(chosen("role_title", selection, KIND_LOST_UPDATE),))


def test_a_lost_value_stays_lost_or_goes_back_to_both_sides() -> None:
    kept = decide_fields(lost(FieldSelection("npd", None, "Boss", "Lost")))
    assert kept.results.carried_out == {(KIND_LOST_UPDATE, "role_title"): "Boss"}
    back = planned("role_title", lost(FieldSelection("monday", None, "Boss", "Lost")))
    assert (back.send_raw, back.write_raw) == ({"role_title": "Lost"}, {"role_title": "Lost"})


def test_a_choice_on_a_lost_value_is_outdated_when_what_stands_was_left() -> None:
    found = decide_fields(lost(FieldSelection("npd", None, "Boss", "Lost"), role_title="Newer"))
    assert found.results.lost_current == {"role_title": "Newer"}
    assert (KIND_LOST_UPDATE, "role_title") in found.results.handed_back


def undo(of: Any, **now: str) -> FieldFacts:
    mapping = next(one for one in of.mappings if one.key == "role_title")
    base = new_base(mapping, "7", {"role_title": "Boss"}, "Boss")
    before = {"local": {"role_title": "Mine"}, "remote": "Theirs", "base": base}
    inverse = {"role_title": {"before": before, "after": base}}
    asked = chosen("role_title", FieldSelection("npd"), KIND_UNDO, resolved_kind=KIND_FIELDS, inverse=inverse)
    return field_facts(now, now, of=of, conflicts=(asked,))


def test_an_undo_puts_both_sides_back_while_neither_moved() -> None:
    plan = planned("role_title", undo(board()))
    assert (plan.send_raw, plan.write_raw) == ({"role_title": "Theirs"}, {"role_title": "Mine"})
    late = decide_fields(undo(board(), role_title="Newer"))
    assert "changed since" in late.results.handed_back[KIND_UNDO, "role_title"]


# --- whole plans ----------------------------------------------------------------------------------------------------


def test_deciding_twice_is_the_same_and_changes_nothing_that_is_known() -> None:
    given = field_facts({"role_title": "Mine", "notes": "x"}, {"role_title": "Theirs"})
    before = repr(given.facts.ledger.base)
    assert decide_fields(given) == decide_fields(given)
    assert repr(given.facts.ledger.base) == before
