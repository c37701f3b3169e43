"""Rules of `items_page` by column type, and whole values."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.clock import Clock
from sandbox.filters import in_board, matching
from sandbox.operations import boards, columns, items
from sandbox.whole_values import with_values
from sandbox.world import World
from tests.sandbox.conftest import Simulator
from tests.sandbox.test_reading import RULES, names

MAYA, TOM = 67210011, 67210012
TYPES = {"owner": "people", "land": "country", "place": "location", "day": "date", "span": "timeline",
         "stars": "rating", "topics": "tags", "kinds": "dropdown", "phone": "phone", "ticked": "checkbox",
         "site": "link", "stage": "status"}  # fmt: skip
TODAY = datetime.now(UTC).date()
BY_VALUES = """query ($b: ID!, $c: [ItemsPageByColumnValuesQuery!]) {
  items_page_by_column_values(board_id: $b, columns: $c) { items { name } } }"""


def ahead(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


@pytest.fixture(scope="module")
def filled(running: Simulator) -> dict[str, str]:
    """Three items, the last one empty, and a tag; nothing here changes them. It is noon."""
    noon = datetime.combine(TODAY, time(12), UTC)
    running.control("clock", {"offset_seconds": (noon - datetime.now(UTC)).total_seconds()})
    board = running.board(TYPES)
    made = running.data('mutation { create_or_get_tag(tag_name: "Export") { id } }')["create_or_get_tag"][
        "id"
    ]
    running.item(board, "Ada", owner=f"{MAYA}", land={"countryCode": "US", "countryName": "United States"},
                 day=ahead(3), span={"from": ahead(-2), "to": ahead(5)}, stars={"rating": 4},
                 topics={"tag_ids": [made]}, kinds={"labels": ["a", "b"]}, phone="+12025550169 US",
                 site={"url": "https://b.test", "text": "B"}, ticked={"checked": "true"},
                 stage={"label": "Done"})  # fmt: skip
    running.item(board, "Bo", owner=f"{TOM}, {MAYA}", land={"countryCode": "IL", "countryName": "Israel"},
                 day=ahead(-40), span={"from": ahead(10), "to": ahead(12)}, stars={"rating": 1},
                 kinds={"labels": ["b"]}, phone="+442079460990 GB",
                 stage={"label": "Stuck"})  # fmt: skip
    running.item(board, "Cy")
    return {"board": board, "tag": made}


@pytest.mark.parametrize(
    ("column", "operator", "value", "found"),
    [
        ("owner", "any_of", [f"person-{TOM}"], ["Bo"]),
        ("owner", "any_of", ["person-0"], ["Cy"]),
        ("owner", "any_of", ["assigned_to_me"], []),
        ("owner", "not_any_of", [f"person-{TOM}"], ["Ada", "Cy"]),
        ("owner", "contains_text", "okafor", ["Bo"]),
        ("land", "any_of", ["US"], ["Ada"]),
        ("land", "is_empty", [], ["Cy"]),
        ("stars", "any_of", [4], ["Ada"]),
        ("stars", "not_any_of", [0], ["Ada", "Bo"]),
        ("topics", "any_of", [-1], ["Bo", "Cy"]),
        ("kinds", "any_of", [1], ["Ada"]),
        ("kinds", "contains_terms", "b", ["Ada", "Bo"]),
        ("phone", "any_of", ["GB"], ["Bo"]),
        ("phone", "contains_text", "2025550", ["Ada"]),
        ("ticked", "is_not_empty", [], ["Ada"]),
        ("stage", "any_of", [5], ["Cy"]),
        ("stage", "contains_terms", "Done", ["Ada"]),
        ("stage", "any_of", ["Done"], []),
        ("day", "any_of", ["EXACT", ahead(3)], ["Ada"]),
        ("day", "any_of", ["$$$blank$$$"], ["Cy"]),
        ("day", "any_of", ["TODAY"], []),
        ("day", "any_of", ["PAST_DATETIME"], ["Bo"]),
        ("day", "greater_than", ["TODAY"], ["Ada"]),
        ("day", "lower_than_or_equal", ["EXACT", ahead(3)], ["Ada", "Bo"]),
        ("day", "between", [ahead(-50), ahead(0)], ["Bo"]),
        ("day", "within_the_next", ["1", "WEEKS"], ["Ada"]),
        ("day", "within_the_last", [50], ["Bo"]),
        ("span", "any_of", ["CURRENT"], ["Ada"]),
        ("span", "greater_than", ["TODAY"], ["Bo"]),
        ("__last_updated__", "any_of", ["TODAY"], ["Ada", "Bo", "Cy"]),
        ("__last_updated__", "greater_than_or_equals", ["EXACT", ahead(1)], []),
        ("__last_updated__", "greater_than_or_equals", ["EXACT", f"{TODAY}T11:59:00Z"], ["Ada", "Bo", "Cy"]),
        ("__last_updated__", "greater_than_or_equals", ["EXACT", f"{TODAY}T23:00:00+00:00"], []),
        ("__last_updated__", "between", ["2020-01-01T00:00:00Z", f"{TODAY}T13:00:00Z"], ["Ada", "Bo", "Cy"]),
        ("group", "any_of", ["topics"], ["Ada", "Bo", "Cy"]),
        ("name", "any_of", ["ada", " BO "], ["Ada", "Bo"]),
    ],
)
def test_rules_compare_as_each_type_s_page_says(
    running: Simulator, filled: dict[str, str], *, column: str, operator: str, value: Any, found: list[str]
) -> None:
    assert names(running, filled["board"], column, operator, value) == found


def test_a_range_is_compared_by_its_start_or_its_end(running: Simulator, filled: dict[str, str]) -> None:
    rule = {"column_id": "span", "operator": "greater_than", "compare_value": ["EXACT", ahead(4)]}
    for attribute, found in (("START_DATE", ["Bo"]), ("END_DATE", ["Ada", "Bo"])):
        query = {"rules": [rule | {"compare_attribute": attribute}]}
        page = running.data(RULES, b=[filled["board"]], q=query)["boards"][0]["items_page"]
        assert [item["name"] for item in page["items"]] == found


def test_a_tag_and_a_relation_are_filtered_by_id(running: Simulator, filled: dict[str, str]) -> None:
    assert names(running, filled["board"], "topics", "any_of", [int(filled["tag"])]) == ["Ada"]


@pytest.mark.parametrize(
    ("column", "operator", "value"),
    [
        ("place", "is_empty", []),
        ("day", "between", ["TODAY"]),
        ("day", "within_the_next", ["soon"]),
        ("stars", "within_the_next", ["1"]),
    ],
)
def test_what_does_not_apply_is_refused(
    running: Simulator, filled: dict[str, str], *, column: str, operator: str, value: Any
) -> None:
    query = {"rules": [{"column_id": column, "operator": operator, "compare_value": value}]}
    error = running.refusal(RULES, b=[filled["board"]], q=query)
    assert error["extensions"]["code"] == "InvalidArgumentException"


def test_items_are_put_in_order_by_several_columns(running: Simulator, filled: dict[str, str]) -> None:
    orders = [{"column_id": "stars", "direction": "desc"}, {"column_id": "name"}]
    page = running.data(RULES, b=[filled["board"]], q={"order_by": orders})["boards"][0]["items_page"]
    assert [item["name"] for item in page["items"]] == ["Cy", "Ada", "Bo"]


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("land", ["us", "IL"], ["Ada", "Bo"]),
        ("owner", ["maya lind"], ["Ada", "Bo"]),
        ("kinds", ["a"], ["Ada"]),
        ("site", ["https://b.test"], ["Ada"]),
        ("day", [ahead(3)], ["Ada"]),
        ("stage", ["done"], ["Ada"]),
        ("phone", ["GB"], ["Bo"]),
        ("phone", [None], ["Cy"]),
        ("site", [""], ["Bo", "Cy"]),
    ],
)
def test_whole_values_are_compared_as_each_type_s_page_says(
    running: Simulator, filled: dict[str, str], column: str, values: list[Any], found: list[str]
) -> None:
    asked = [{"column_id": column, "column_values": values}]
    page = running.data(BY_VALUES, b=filled["board"], c=asked)["items_page_by_column_values"]
    assert [item["name"] for item in page["items"]] == found


@pytest.mark.parametrize(
    ("column", "values"),
    [("place", ["x"]), ("stars", ["4"]), ("topics", ["x"]), ("kinds", ["a", "b"]), ("nowhere", ["x"])],
)
def test_types_without_whole_values_refuse(
    running: Simulator, filled: dict[str, str], column: str, values: list[str]
) -> None:
    asked = [{"column_id": column, "column_values": values}]
    code = running.refusal(BY_VALUES, b=filled["board"], c=asked)["extensions"]["code"]
    assert code == ("ResourceNotFoundException" if column == "nowhere" else "InvalidArgumentException")


WORDS = st.sampled_from(["", "a", "A ", "b", "b c"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "write", "rename", "archive", "restore", "ask"]), st.integers(0, 4), WORDS
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_an_index_finds_what_reading_every_item_finds(steps: list[tuple[str, int, str]]) -> None:
    world = World(Clock())
    board = boards.create_board(world, 67210000, "Contacts", "public", empty=True)
    columns.create_column(world, 67210000, board.id, "Role", "text", column_id="role")
    made: list[int] = []
    for step, which, words in steps:
        item = world.items[made[which]] if which < len(made) else None
        if step == "add":
            made.append(items.create_item(world, 67210000, board.id, words or "x", {"role": words}).id)
        elif item is not None and step in ("archive", "restore"):
            items.set_state(world, 67210000, item.id, {"archive": "archived", "restore": "active"}[step])
        elif item is not None and item.state == "active" and step == "write":
            items.change_values(world, 67210000, item, {"role": words})
        elif item is not None and item.state == "active" and step == "rename":
            items.change_values(world, 67210000, item, {"name": words or "x"})
        for column_id in ("role", "name"):
            _check(world, board.id, column_id, words)
    world.close()


def _check(world: World, board_id: int, column_id: str, words: str) -> None:
    board = world.boards[board_id]
    wanted = words.strip().casefold()
    read = [
        item.id
        for item in world.items_of(board_id)
        if (item.name if column_id == "name" else item.raw("role") or "").strip().casefold() == wanted
    ]
    asked = [{"column_id": column_id, "column_values": [words]}]
    assert [item.id for item in with_values(world, board, asked)] == read
    if wanted:
        query = {"rules": [{"column_id": column_id, "compare_value": [words]}]}
        meant = matching(world, board, 67210000, query)
        assert [item.id for item in in_board(world, board, query) if meant(item)] == read
    assert world.active_count(board_id) == len(world.items_of(board_id))
