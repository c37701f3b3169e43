"""What each strategy decides of a field, by what both sides say and what they last agreed on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.choices import ResolutionStrategy
from sync.ledger import UNKNOWN_TIMES, choose
from sync.merge import EditTimes, FieldSides, Unknown

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER_HERE = EditTimes(NOON + timedelta(minutes=1), NOON)
LATER_THERE = EditTimes(NOON, NOON + timedelta(minutes=1))
AT_ONCE = EditTimes(NOON, NOON + timedelta(seconds=5))
OPEN = "open"


def value_of(strategy: str, sides: FieldSides, edited: EditTimes = UNKNOWN_TIMES) -> Any:
    choice = choose(strategy, {"summary": sides}, edited)["summary"]
    return OPEN if choice.open else choice.value


@pytest.mark.parametrize("strategy", ResolutionStrategy.values)
@pytest.mark.parametrize(
    ("sides", "value"),
    [
        (FieldSides("new", "old", ("old", "old")), "new"),
        (FieldSides("old", "new", ("old", "old")), "new"),
        (FieldSides("same", "same", ("old", "old")), "same"),
        (FieldSides(None, "old", ("old", "old")), None),
        (FieldSides(None, "there", None), "there"),
        (FieldSides(8, 3, (3, 3)), 8),
    ],
)
def test_what_one_side_changed_is_that_sides_under_every_strategy(strategy: str, sides: FieldSides, value: Any) -> None:
    choice = choose(strategy, {"summary": sides})["summary"]
    assert (choice.value, choice.open, choice.is_disputed) == (value, False, False)


@pytest.mark.parametrize("base", [("old", "old"), None])
@pytest.mark.parametrize(
    ("strategy", "value"),
    [("manual", OPEN), ("auto", OPEN), ("local_wins", "here"), ("jira_wins", "there"), ("monday_wins", "there")],
)
def test_what_both_changed_differently_is_as_the_strategy_says(strategy: str, base: Any, value: str) -> None:
    sides = FieldSides("here", "there", base)
    assert value_of(strategy, sides) == value
    assert choose(strategy, {"summary": sides})["summary"].is_disputed


@pytest.mark.parametrize(
    ("edited", "value"),
    [
        (LATER_HERE, "here"),
        (LATER_THERE, "there"),
        (AT_ONCE, OPEN),
        (EditTimes(NOON, None), OPEN),
        (EditTimes(None, NOON), OPEN),
    ],
)
def test_auto_takes_the_later_edit_where_the_times_have_an_order(edited: EditTimes, value: str) -> None:
    assert value_of("auto", FieldSides("here", "there", ("old", "old")), edited) == value


def test_auto_unites_lists_and_the_others_take_a_whole_one() -> None:
    sides = FieldSides(["a", "b"], ["b", "c"], (["b"], ["b"]))
    found = {strategy: value_of(strategy, sides) for strategy in ResolutionStrategy.values}
    assert found["auto"] == ["a", "b", "c"]
    assert (found["local_wins"], found["jira_wins"], found["manual"]) == (["a", "b"], ["b", "c"], OPEN)


def test_auto_takes_lists_of_anything_else_by_time() -> None:
    sides = FieldSides([{"id": 1}], [{"id": 2}], ([], []))
    assert value_of("auto", sides) == OPEN
    assert value_of("auto", sides, LATER_THERE) == [{"id": 2}]


@pytest.mark.parametrize("strategy", ResolutionStrategy.values)
def test_a_side_that_is_not_known_is_never_overwritten_by_a_strategy(strategy: str) -> None:
    assert value_of(strategy, FieldSides("here", Unknown("hidden"), ("old", "old"))) == OPEN
