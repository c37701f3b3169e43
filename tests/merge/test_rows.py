"""Every row of the table "a field, both ways" and "one way" of the merge, by its name."""

from dataclasses import replace

import pytest

from sync.merge import Action, Base, Field, FieldDirection, FieldSelection, Rule, decide_field

B = Base("old", "old")


def field(local: str | None, remote: str | None, base: Base | None = B, **more: object) -> Field:
    return Field("phone", local, remote, base, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "given", "action"),
    [
        ("neither side moved", field("old", "old"), Action.NOTHING),
        ("changed in NPD only", field("new", "old"), Action.PUSH),
        ("emptied in NPD only", field(None, "old"), Action.PUSH),
        ("changed on Monday only", field("old", "new"), Action.PULL),
        ("emptied on Monday only", field("old", None), Action.PULL),
        ("both changed to the same", field("new", "new"), Action.AGREED),
        ("both emptied", field(None, None), Action.AGREED),
        ("both changed differently", field("mine", "theirs"), Action.CONFLICT),
        ("changed here, emptied there", field("mine", None), Action.CONFLICT),
        ("no base, the same", field("x", "x", None), Action.AGREED),
        ("no base, both empty", field(None, None, None), Action.AGREED),
        ("no base, empty in NPD", field(None, "x", None), Action.PULL),
        ("no base, empty on Monday", field("x", None, None), Action.PUSH),
        ("no base, both filled differently", field("x", "y", None), Action.CONFLICT),
    ],
)
def test_a_field_both_ways_is_decided_by_its_row(name: str, given: Field, action: Action) -> None:
    assert decide_field(given).action is action, name


def test_each_half_of_the_base_is_compared_with_its_own_side() -> None:
    altered = Base("what we sent", "what Monday made of it")
    assert decide_field(field("what we sent", "what Monday made of it", altered)).action is Action.NOTHING
    assert decide_field(field("what we sent", "edited", altered)).action is Action.PULL
    assert decide_field(field("edited", "what Monday made of it", altered)).action is Action.PUSH


@pytest.mark.parametrize(("rule", "action"), [(Rule.NPD_WINS, Action.PUSH), (Rule.MONDAY_WINS, Action.PULL)])
def test_a_rule_decides_only_what_both_sides_changed_differently(rule: Rule, action: Action) -> None:
    won = decide_field(field("mine", "theirs", rule=rule))
    assert (won.action, won.overrides) == (action, True)
    assert decide_field(field("old", "theirs", rule=rule)).action is Action.PULL
    assert decide_field(field("mine", "old", rule=rule)).action is Action.PUSH


def test_the_rule_for_first_matches_is_a_rule_of_its_own() -> None:
    given = field("mine", "theirs", None, rule=Rule.NPD_WINS, first_match=Rule.ASK)
    assert decide_field(given).action is Action.CONFLICT


def test_a_field_emptied_in_npd_while_it_was_held_is_not_filled_from_monday_silently() -> None:
    assert decide_field(field(None, "theirs", None, emptied_while_blocked=True)).action is Action.CONFLICT


def test_a_required_field_is_not_emptied_from_monday() -> None:
    assert decide_field(field("old", None, required=True)).action is Action.HOLD


def test_one_way_to_monday_mirrors_npd_over_an_edit_on_the_board() -> None:
    decision = decide_field(field("old", "theirs", way=FieldDirection.TO_MONDAY))
    assert (decision.action, decision.overrides) == (Action.PUSH, True)


def test_one_way_to_npd_mirrors_the_board_over_an_edit_in_npd() -> None:
    decision = decide_field(field("mine", "old", way=FieldDirection.TO_NPD))
    assert (decision.action, decision.overrides) == (Action.PULL, True)


def test_one_way_to_monday_what_was_emptied_while_its_column_was_gone_is_emptied_in_the_new_one() -> None:
    emptied = replace(field(None, "theirs", None, way=FieldDirection.TO_MONDAY), emptied_while_blocked=True)
    assert decide_field(emptied).action is Action.PUSH


@pytest.mark.parametrize(
    ("choose", "typed", "action", "value"),
    [
        ("npd", None, Action.PUSH, None),
        ("monday", None, Action.PULL, None),
        ("base", None, Action.BOTH, "old"),
        ("custom", "typed", Action.BOTH, "typed"),
        ("custom", "mine", Action.PUSH, None),
        ("custom", "theirs", Action.PULL, None),
    ],
)
def test_a_persons_choice_is_carried_out(choose: str, typed: str | None, action: Action, value: str | None) -> None:
    decision = decide_field(field("mine", "theirs", resolution=FieldSelection(choose), typed=typed))
    assert (decision.action, decision.value) == (action, value)


def test_a_choice_counts_also_where_only_one_side_moved() -> None:
    """As with an address that was edited on the board and can't be split."""
    assert decide_field(field("old", "theirs", resolution=FieldSelection("npd"))).action is Action.PUSH
    assert decide_field(field("mine", "old", resolution=FieldSelection("monday"))).action is Action.PULL


@pytest.mark.parametrize("way", [FieldDirection.TO_MONDAY, FieldDirection.TO_NPD])
def test_a_choice_writes_nothing_against_a_direction(way: FieldDirection) -> None:
    mirrored = decide_field(field("mine", "theirs", way=way)).action
    chosen = field("mine", "theirs", way=way, resolution=FieldSelection("custom"), typed="typed")
    assert decide_field(chosen).action is mirrored


def test_choosing_the_last_agreed_value_where_there_was_none_asks_again() -> None:
    assert decide_field(field("mine", "theirs", None, resolution=FieldSelection("base"))).action is Action.CONFLICT
