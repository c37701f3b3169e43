"""What becomes of a record's fields, by the rows of docs/reference/merge/field.md, from facts alone."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from conflicts.reports import ConflictKind, FieldSelection, UndoRequest
from npd.models import Organization
from sync.choices import BlockedCode, Cause, SyncDirection
from sync.fields.field_bases import new_base
from sync.fields.field_values import Reference, RelatedRecords, reference_to
from sync.merge import Action
from sync.monday.board_items import Reading
from sync.reconcile.changes import write_of
from sync.reconcile.field_plan import decide_fields, fill_in_fields
from sync.reconcile.pass_plan import FieldPlan, RecordPlan
from sync.reconcile.resolutions import STALE_RESOLUTION
from sync.words.message import Message
from tests.decide import builders
from tests.decide.builders import (
    ITEM,
    FieldFacts,
    after,
    board,
    chosen,
    field_facts,
    intent,
    item,
    mapping,
    organization,
    roles,
)
from tests.support.words import said

ACME = organization()
NO_ITEM = organization(item=None, name="Local", sync_enabled=False)
NO_WAY = {"sync_direction": SyncDirection.NONE}
UP, DOWN = {"sync_direction": SyncDirection.NPD_TO_MONDAY}, {"sync_direction": SyncDirection.MONDAY_TO_NPD}
UNAGREED: dict[str, Any] = {"without_base": ["role_title"]}


def planned(key: str, fields: FieldFacts) -> FieldPlan:
    return decide_fields(*fields)[key]


def record_plan(fields: FieldFacts) -> RecordPlan:
    return after(fill_in_fields, *fields)


def role(**of_field: Any) -> Any:
    return board(mapping(**of_field))


THEIRS_FIRST = role(first_match="monday_wins")


@pytest.mark.parametrize(
    ("row", "fields", "action", "sent", "written"),
    [
        ("neither side moved", roles(), Action.NOTHING, None, None),
        ("changed in NPD", roles("Chair"), Action.PUSH, "Chair", None),
        ("emptied in NPD clears the column", roles(""), Action.PUSH, "", None),
        ("changed on Monday", roles(there="Chair"), Action.PULL, None, "Chair"),
        ("emptied on Monday clears the field", roles(there=""), Action.PULL, None, ""),
        ("both changed to the same", roles("Chair", "Chair"), Action.AGREED, None, None),
        ("changed here, emptied there", roles("Mine", ""), Action.CONFLICT, None, None),
        ("no base, the same on both sides", roles(**UNAGREED), Action.AGREED, None, None),
        ("no base, empty in NPD", roles("", **UNAGREED), Action.PULL, None, "Boss"),
        ("no base, empty on Monday", roles(there="", **UNAGREED), Action.PUSH, "Boss", None),
        ("no base: by the first match", roles("Mine", on=THEIRS_FIRST, **UNAGREED), Action.PULL, None, "Boss"),
        ("equal in canonical form: nothing", roles(" Boss\u00a0"), Action.NOTHING, None, None),
        ("against the record's direction", roles("Mine", record=NO_WAY), Action.NOTHING, None, None),
        *(
            ("both directions have to allow a way", roles("Mine", "Theirs", **ways), Action.NOTHING, None, None)
            for ways in (
                {"on": role(direction=SyncDirection.MONDAY_TO_NPD), "record": UP},
                {"on": role(direction=SyncDirection.NPD_TO_MONDAY), "record": DOWN},
            )
        ),
    ],
)
def test_a_field_is_decided_by_its_row(row: str, fields: FieldFacts, action: Action, sent: Any, written: Any) -> None:
    plan = planned("role_title", fields)
    raws = [None if raw is None else raw["role_title"] for raw in (plan.send_raw, plan.pull_raw)]
    assert (plan.decision.action, *raws) == (action, sent, written), row


def test_a_number_in_another_form_is_the_same_number() -> None:
    assert planned("phone", field_facts({"phone": "+44 (0)20 7946-0018"})).decision.action is Action.NOTHING


@pytest.mark.parametrize(
    ("direction", "here", "there", "sent", "written"),
    [
        (SyncDirection.NPD_TO_MONDAY, None, {"role_title": "Theirs"}, {"role_title": "Boss"}, None),
        (SyncDirection.MONDAY_TO_NPD, {"role_title": "Mine"}, None, None, {"role_title": "Boss"}),
    ],
)
@pytest.mark.parametrize("without_base", [[], ["role_title"]])
def test_one_way_the_target_s_own_edit_is_said_to_be_overridden(
    direction: str, here: Any, there: Any, sent: Any, written: Any, without_base: list[str]
) -> None:
    """The history keeps it, so that it can be taken back."""
    fields = field_facts(here, there, on=role(direction=direction), without_base=without_base)
    plan = planned("role_title", fields)
    assert (plan.send_raw, plan.pull_raw, plan.decision.overrides) == (sent, written, True)


def test_without_a_base_what_differs_is_asked_about() -> None:
    fields = roles("Mine", on=role(rule="npd_wins"), **UNAGREED)
    assert planned("role_title", fields).conflict is not None


def test_a_base_of_another_mapping_version_counts_as_none() -> None:
    fields = roles("Mine", on=role(version=2))
    fields.facts.sync_state.base["role_title"]["version"] = 1
    assert planned("role_title", fields).decision.action is Action.CONFLICT


def test_a_field_that_npd_emptied_while_it_was_held_is_not_filled_from_a_new_column() -> None:
    fields = roles("", "Chair", on=role(version=2))
    fields.facts.sync_state.base["role_title"]["version"] = 1
    assert planned("role_title", fields).decision.action is Action.CONFLICT
    on = role(version=2, direction=SyncDirection.NPD_TO_MONDAY)
    one_way = roles("", "Chair", on=on)
    one_way.facts.sync_state.base["role_title"]["version"] = 1
    assert planned("role_title", one_way).decision.action is Action.PUSH
    never_agreed = roles("", "Chair", **UNAGREED)
    assert planned("role_title", never_agreed).decision.action is Action.PULL


def test_a_relation_that_npd_emptied_is_not_filled_from_a_new_column_whatever_item_it_had() -> None:
    """The agreed value isn't known any more, but it wasn't empty."""
    on = board(mapping("organization", version=2))
    fields = field_facts(None, {"organization": ACME}, on=on, agreed={"organization": organization(item=None)})
    fields = fields._replace(of_pass=replace(fields.of_pass, related=related(i70=ACME)))
    fields.facts.sync_state.base["organization"]["version"] = 1
    assert planned("organization", fields).decision.action is Action.CONFLICT


def test_what_both_sides_changed_differently_is_a_conflict_with_its_three_values() -> None:
    conflict = planned("role_title", roles("Mine", "Theirs")).conflict
    assert conflict is not None
    assert (conflict.npd, conflict.base, conflict.monday) == ("Mine", "Boss", "Theirs")


@pytest.mark.parametrize(
    ("row", "key", "fields", "code"),
    [
        ("unknown is not empty", "role_title", roles("x", unknown=["role_title"]), "unknown"),
        ("a field that NPD requires is not emptied", "name", field_facts(None, {"name": ""}), "required"),
        ("what NPD's constraints refuse stays", "email", field_facts(None, {"email": "no address"}), "invalid"),
        ("a field without a column", "phone", field_facts(on=board(mapping("phone", column_id=""))), "column"),
        ("what is too long for NPD", "role_title", field_facts(None, {"role_title": "x" * 300}), "invalid"),
        (
            "several items where NPD holds one",
            "organization",
            field_facts(None, {"organization": ["7", "8"]}),
            "unknown",
        ),
    ],
)
def test_what_can_not_be_written_is_blocked_with_its_reason(row: str, key: str, fields: FieldFacts, code: str) -> None:
    plan = planned(key, fields)
    assert (plan.blocked_code, plan.send_raw, plan.pull_raw) == (BlockedCode(code), None, None), row
    assert plan.blocked_reason


def test_what_monday_refused_is_not_sent_again_until_it_or_a_person_changes_that() -> None:
    entry = {"reason": said("No."), "code": "rejected", "local": {"role_title": "x"}}
    refused = {"blocked_fields": {"role_title": entry | {"column": "role_title", "version": 1}}}
    assert planned("role_title", roles("x", sync_state=refused)).blocked_reason == "No."
    by_person = roles("x", sync_state=refused, causes=[Cause.PERSON])
    assert planned("role_title", by_person).send_raw == {"role_title": "x"}
    assert planned("role_title", roles("y", sync_state=refused)).send_raw == {"role_title": "y"}


KEPT = {"reason": said("No."), "code": "rejected", "column": "role_title", "version": 1}
KEPT |= {"local": {"role_title": "x"}, "kept_by": {"who": "Ada", "remote": "Boss"}}


@pytest.mark.parametrize(
    ("row", "fields", "sent"),
    [
        ("it stays left", roles("x"), None),
        ("whatever else a person asks", roles("x", causes=[Cause.PERSON]), None),
        ("it flows once somebody changes it", roles("y"), "y"),
        ("its column changed", roles("x", on=role(version=2)), "x"),
        (
            "NPD's value is chosen in a conflict",
            roles("x", "z", conflicts=(chosen("role_title", FieldSelection("npd", None, "x", "z")),)),
            "x",
        ),
        ("an edit that a rule overrules", roles("x", "z", on=role(rule="npd_wins")), None),
    ],
)
def test_a_value_that_a_person_left_in_npd(row: str, fields: FieldFacts, sent: str | None) -> None:
    fields.plan.sync_state.blocked_fields = {"role_title": KEPT}
    plan = planned("role_title", fields)
    assert (plan.send_raw and plan.send_raw["role_title"]) == sent, row


def test_a_record_without_sync_that_is_sync_pressed_sends_what_npd_changed_and_nothing_else() -> None:
    fields = field_facts({"role_title": "Mine"}, {"notes": "Theirs"}, record={"sync_enabled": False})
    plans = decide_fields(*fields)
    assert plans["role_title"].send_raw == {"role_title": "Mine"}
    assert (plans["notes"].decision.action, plans["notes"].pull_raw) == (Action.NOTHING, None)


# --- an item that is to be created, and its NPD ID ------------------------------------------------------------------


def test_a_new_item_gets_what_is_filled() -> None:
    plans = decide_fields(*field_facts({"phone": ""}, creates=True))
    assert {key for key, plan in plans.items() if plan.send_raw is not None} == {"name", "email", "role_title", "notes"}
    assert plans["phone"].decision.action is Action.AGREED


def test_a_new_item_is_made_without_a_column_that_is_gone() -> None:
    plans = decide_fields(*field_facts(on=role(problem="It was deleted."), creates=True))
    assert (plans["role_title"].blocked_code, plans["role_title"].blocked_reason) == ("column", "It was deleted.")
    assert plans["notes"].send_raw is not None


def test_a_record_that_only_takes_over_gets_no_item_and_its_reason() -> None:
    fields = field_facts(creates=True, record={"sync_direction": SyncDirection.MONDAY_TO_NPD})
    assert "lets nothing be sent" in record_plan(fields).reason


def test_a_new_item_gets_nothing_of_a_field_that_comes_from_monday() -> None:
    fields = field_facts(creates=True, on=role(direction=SyncDirection.MONDAY_TO_NPD))
    assert "role_title" not in decide_fields(*fields)


def test_an_item_without_the_npd_id_gets_it_whatever_the_directions_say() -> None:
    def gets_it(fields: FieldFacts) -> bool:
        return write_of(fields.of_pass.board, record_plan(fields)).values.get("npd_id") == str(fields.plan.id)

    assert not gets_it(field_facts())
    assert gets_it(field_facts(record={"id": UUID(int=2)}))
    one_way = board(*(mapping(key, direction=SyncDirection.MONDAY_TO_NPD) for key in ("email", "phone", "role_title")))
    assert gets_it(field_facts(on=one_way, record={"id": UUID(int=2)}))
    emptied = field_facts()
    assert emptied.plan.item is not None
    cells = {**emptied.plan.item.values, "npd_id": Reading("npd_id", "text", text="", value="")}
    emptied.plan.item = replace(emptied.plan.item, values=cells)
    assert gets_it(emptied)


# --- an intent without an answer ------------------------------------------------------------------------------------


def test_a_value_that_an_intent_sent_is_our_own_write_and_what_npd_says_since_is_pushed() -> None:
    ours = intent("role_title", "role_title", {"role_title": "Sent"})
    fields = roles("Later", "Sent", history=builders.history(intents=[ours]))
    plan = decide_fields(*fields)["role_title"]
    assert (plan.decision.action, plan.send_raw) == (Action.PUSH, {"role_title": "Later"})
    assert plan.confirmed_entry == ours.values["role_title"]
    assert fields.plan.landed == {ours.pk}


def test_a_value_that_no_intent_sent_is_merged_against_the_old_base() -> None:
    ours = intent("role_title", "role_title", {"role_title": "Sent"})
    plans = decide_fields(*roles("Sent", "Theirs", history=builders.history(intents=[ours])))
    assert (plans["role_title"].decision.action, plans["role_title"].confirmed_entry) == (Action.CONFLICT, None)


@pytest.mark.parametrize("agreed", [["role_title"], []])
def test_what_was_sent_to_another_item_is_not_our_write_to_this_one(agreed: list[str]) -> None:
    """The record was unlinked before the call's answer came, and linked to an item with the same value."""
    ours = intent("role_title", "role_title", {"role_title": "Sent"})
    ours.item_id = "8"
    plans = decide_fields(*roles("Mine", "Sent", history=builders.history(intents=[ours]), without_base=agreed))
    assert (plans["role_title"].decision.action, plans["role_title"].confirmed_entry) == (Action.CONFLICT, None)


def test_a_field_that_is_left_alone_is_not_blocked_without_a_column() -> None:
    plan = planned("role_title", field_facts(on=role(column_id="", direction=SyncDirection.NONE)))
    assert (plan.decision.action, plan.blocked_code) == (Action.NOTHING, None)


# --- relations ------------------------------------------------------------------------------------------------------


def related(**by_item: Organization) -> RelatedRecords:
    records = {Reference(Organization, "monday_id", item[1:]): [record] for item, record in by_item.items()}
    records |= {Reference(Organization, "pk", str(record.pk)): [record] for record in by_item.values()}
    return {**records, Reference(Organization, "monday_id", "99"): []}


def test_an_item_that_no_record_has_is_waited_for() -> None:
    plan = planned("organization", field_facts(None, {"organization": "99"}, extra={"related": related()}))
    assert (plan.blocked_code, plan.awaited) == (BlockedCode.RELATION, ("item", "99", True))


@pytest.mark.parametrize(
    ("row", "has_board", "values", "code"),
    [
        ("only the relation waits for a record that will get its item", True, {}, BlockedCode.RELATION),
        ("one whose sync is off gets none: skipped", True, {"sync_enabled": False}, BlockedCode.RELATION_SKIPPED),
        ("without a board there is none: skipped", False, {}, BlockedCode.RELATION_SKIPPED),
        ("one that the filter leaves out", True, {"sync_status": "disabled"}, BlockedCode.RELATION_SKIPPED),
    ],
)
def test_a_related_record_without_an_item(row: str, has_board: bool, values: dict[str, Any], code: BlockedCode) -> None:
    other = organization(item=None, name="New", **{"sync_status": "pending"} | values)
    extra = {"related_boards": frozenset({"organization"} if has_board else ())}
    assert planned("organization", field_facts({"organization": other}, extra=extra)).blocked_code == code, row


@pytest.mark.parametrize(
    ("namesakes", "action"),
    [([ACME], Action.AGREED), ([ACME, organization("71", "ACME")], Action.CONFLICT)],
    ids=["one organization", "two organizations"],
)
def test_a_name_in_another_form_names_the_same_organization_unless_another_has_it(
    namesakes: list[Organization], action: Action
) -> None:
    written = Reading("organization", "text", text="ACME", value="ACME")
    shown = {"values": {**item().values, "organization": written}}
    known = {reference_to(Organization, {"name": "ACME"}): namesakes}
    on = board(mapping("organization", converter="relation_name"))
    fields = field_facts({"organization": ACME}, shown, on=on, without_base=["organization"], extra={"related": known})
    assert planned("organization", fields).decision.action is action


@pytest.mark.parametrize(
    ("direction", "local", "shown", "raw"),
    [
        pytest.param("monday_to_npd", NO_ITEM, ACME, "pull_raw", id="over an organization without an item"),
        pytest.param("npd_to_monday", ACME, "99", "send_raw", id="over an item of nobody"),
    ],
)
def test_one_way_a_relation_is_mirrored(direction: str, local: Organization, shown: Any, raw: str) -> None:
    on, extra = board(mapping("organization", direction=direction)), {"related": related(i70=ACME)}
    sides = {"organization": local}, {"organization": shown}
    plan = planned("organization", field_facts(*sides, on=on, agreed={"organization": ACME}, extra=extra))
    assert getattr(plan, raw)["organization"]["id"] == str(ACME.pk)


def test_one_way_from_monday_an_organization_without_an_item_stays_where_it_was_agreed_on_with_an_empty_cell() -> None:
    """The pair is accepted as it is; once it is the base, neither side has changed."""
    on = board(mapping("organization", direction=SyncDirection.MONDAY_TO_NPD))
    fields = field_facts({"organization": NO_ITEM}, on=on, without_base=["organization"])
    first = planned("organization", fields)
    assert (first.decision.action, first.pull_raw) == (Action.AGREED, None)
    fields.facts.sync_state.base["organization"] = new_base(first.mapping, ITEM, first.local_raw, first.remote_raw)
    second = planned("organization", fields)
    assert (second.decision.action, second.pull_raw) == (Action.NOTHING, None)


def test_a_cell_that_a_removed_item_left_empty_was_emptied_by_nobody() -> None:
    """NPD keeps its value and sends a newer choice. If the item still exists, a person emptied the cell."""
    beta, one_way = organization("71", "Beta"), {"direction": SyncDirection.MONDAY_TO_NPD}
    unlinked = organization(item=None, name="Acme", id=ACME.pk)
    rows: list[tuple[bool, Organization, dict[str, Any], Action, str | None]] = [
        (True, ACME, {}, Action.UNDECIDED, None),
        (False, ACME, {}, Action.PULL, None),
        (True, beta, {}, Action.PUSH, "71"),
        (True, beta, {"rule": "monday_wins"}, Action.PUSH, "71"),
        (False, beta, {"rule": "monday_wins"}, Action.PULL, None),
        (True, organization("72", "Acme", id=ACME.pk), {}, Action.PUSH, "72"),
        (True, ACME, {"direction": SyncDirection.NPD_TO_MONDAY}, Action.UNDECIDED, None),
        (True, beta, one_way, Action.UNDECIDED, None),
        (True, unlinked, one_way, Action.UNDECIDED, None),
        (True, unlinked, {}, Action.UNDECIDED, None),
    ]
    for is_removed, local, of_field, action, sent in rows:
        removed = frozenset({"70"} if is_removed else ())
        extra = {"related_boards": frozenset({"organization"}), "removed_related_items": removed}
        on = board(mapping("organization", **of_field))
        plan = planned(
            "organization", field_facts({"organization": local}, on=on, agreed={"organization": ACME}, extra=extra)
        )
        decision = plan.decision.action, plan.send_raw and plan.send_raw["organization"]["item"]
        assert decision == (action, sent), (is_removed, str(local), of_field)


# --- a person's decisions -------------------------------------------------------------------------------------------


def resolved(selection: FieldSelection) -> FieldFacts:
    return roles("Mine", "Theirs", conflicts=(chosen("role_title", selection),))


@pytest.mark.parametrize(
    ("choose", "value", "sent", "written"),
    [
        ("npd", None, "Mine", None),
        ("monday", None, None, "Theirs"),
        ("base", None, "Boss", "Boss"),
        ("custom", "Typed", "Typed", "Typed"),
        ("custom", "Mine", "Mine", None),
        ("custom", "Theirs", None, "Theirs"),
    ],
)
def test_a_choice_that_holds_is_applied(choose: str, value: str | None, sent: str | None, written: str | None) -> None:
    plan = planned("role_title", resolved(FieldSelection(choose, value, "Mine", "Theirs")))
    raws = [None if raw is None else raw["role_title"] for raw in (plan.send_raw, plan.pull_raw)]
    assert (raws, plan.choice) == ([sent, written], choose)


@pytest.mark.parametrize(
    ("row", "selection", "more", "words"),
    [
        (
            "it flows one way",
            FieldSelection("monday", None, "Mine", "Theirs"),
            {"on": role(direction=SyncDirection.NPD_TO_MONDAY)},
            "only NPD's value can be chosen",
        ),
        (
            "no last agreed value",
            FieldSelection("base", None, "Mine", "Theirs"),
            {"without_base": ["role_title"]},
            "no last synced value",
        ),
        ("made for other values", FieldSelection("npd", None, "Mine", "Older"), {}, "changed after you chose"),
    ],
)
def test_a_choice_may_be_rejected(row: str, selection: FieldSelection, more: dict[str, Any], words: str) -> None:
    plans = decide_fields(*roles("Mine", "Theirs", conflicts=(chosen("role_title", selection),), **more))
    assert words in plans["role_title"].rejected[ConflictKind.FIELDS], row
    assert plans["role_title"].resolved_conflict is None


def lost(selection: FieldSelection) -> FieldFacts:
    return field_facts(conflicts=(chosen("role_title", selection, ConflictKind.OVERWRITTEN),))


def test_a_lost_value_stays_lost_or_goes_back_to_both_sides() -> None:
    plans = decide_fields(*lost(FieldSelection("npd", None, "Boss", "Lost")))
    assert plans["role_title"].applied == {ConflictKind.OVERWRITTEN: "Boss"}
    back = planned("role_title", lost(FieldSelection("monday", None, "Boss", "Lost")))
    assert (back.send_raw, back.pull_raw) == ({"role_title": "Lost"}, {"role_title": "Lost"})

    typed = planned("role_title", lost(FieldSelection("custom", "Typed", "Boss", "Lost")))
    assert (typed.send_raw, typed.pull_raw) == ({"role_title": "Typed"}, {"role_title": "Typed"})


@pytest.mark.parametrize("choose", ["npd", "monday"])
@pytest.mark.parametrize(("local", "remote"), [("Newer", "Newer"), ("Newer", "Boss"), ("Boss", "Newer")])
def test_a_choice_on_a_lost_value_is_outdated_when_a_side_moves(choose: str, local: str, remote: str) -> None:
    conflict = chosen("role_title", FieldSelection(choose, None, "Boss", "Lost"), ConflictKind.OVERWRITTEN)
    plans = decide_fields(*roles(local, remote, conflicts=(conflict,)))
    assert plans["role_title"].rejected == {ConflictKind.OVERWRITTEN: Message(STALE_RESOLUTION)}


def undo(on: Any, **now: str) -> FieldFacts:
    mapping = next(mapping for mapping in on.mappings if mapping.key == "role_title")
    base = new_base(mapping, "7", {"role_title": "Boss"}, "Boss")
    before = {"local": {"role_title": "Mine"}, "remote": "Theirs", "base": base}
    request = UndoRequest(ConflictKind.FIELDS, "role_title", FieldSelection("npd"), before, base)
    return field_facts(now, now, on=on, undo_requests=(request,))


def test_an_undo_puts_both_sides_back_while_neither_moved() -> None:
    plan = planned("role_title", undo(board()))
    assert (plan.send_raw, plan.pull_raw) == ({"role_title": "Theirs"}, {"role_title": "Mine"})
    late = decide_fields(*undo(board(), role_title="Newer"))
    assert "changed since" in late["role_title"].undo_rejection
    moved_case = undo(board())
    moved_case.plan.item = item(role_title="Newer")
    moved = decide_fields(*moved_case)
    assert "Monday's value has changed since" in moved["role_title"].undo_rejection
