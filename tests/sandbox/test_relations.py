"""People, tags, places and connected boards."""

from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

MAYA = 67210011
TYPES = {"owner": "people", "land": "country", "place": "location", "topics": "tags"}
CELL = """query ($i: [ID!], $c: [String!]) { items(ids: $i) { column_values(ids: $c) {
  __typename text value ... on PeopleValue { persons_and_teams { id kind } }
  ... on CountryValue { country { code name } } ... on LocationValue { lat lng address city }
  ... on TagsValue { tag_ids tags { id name } }
  ... on BoardRelationValue { linked_item_ids display_value linked_items { id name board { id } } } } } }"""
REFUSED: list[tuple[str, Any, str]] = [
    ("owner", {"personsAndTeams": [{"id": 12, "kind": "person"}]}, "InvalidUserIdException"),
    ("owner", {"personsAndTeams": [{"id": -4, "kind": "person"}]}, "ColumnValueException"),
    ("owner", {"personsAndTeams": [{"id": MAYA, "kind": "robot"}]}, "ColumnValueException"),
    ("owner", "Maya Lind", "ColumnValueException"),
    ("land", "US", "ColumnValueException"),
    ("land", {"countryCode": "XX", "countryName": "Nowhere"}, "ColumnValueException"),
    ("place", {"lat": "90", "lng": "0", "address": "pole"}, "ColumnValueException"),
    ("place", {"lat": "0", "lng": "-180.1", "address": "x"}, "ColumnValueException"),
    ("place", {"address": "only words"}, "ColumnValueException"),
    ("topics", {"tag_ids": [1]}, "ColumnValueException"),
    # Simple strings are not supported there, the empty one neither.
    ("land", "", "ColumnValueException"),
    ("place", "", "ColumnValueException"),
]


@pytest.fixture
def board(simulator: Simulator) -> str:
    return simulator.board(TYPES)


def cell(simulator: Simulator, item: str, column: str) -> dict[str, Any]:
    found: dict[str, Any] = simulator.data(CELL, i=[item], c=[column])["items"][0]["column_values"][0]
    return found


def related(simulator: Simulator, target: str, **settings: Any) -> str:
    """A board with a column `firm` that is connected to `target`."""
    made = simulator.board({})
    simulator.data(
        'mutation ($b: ID!, $d: JSON) { create_column(board_id: $b, title: "Firm", id: "firm",'
        " column_type: board_relation, defaults: $d) { id settings } }",
        b=made,
        d={"boardIds": [int(target)], **settings},
    )
    return made


@pytest.mark.parametrize(("column", "written", "code"), REFUSED)
def test_a_bad_value_is_refused(simulator: Simulator, board: str, column: str, written: Any, code: str) -> None:
    item = simulator.item(board)
    (error,) = simulator.change(board, item, {column: written})["errors"]
    assert error["extensions"]["code"] == code
    assert cell(simulator, item, column)["value"] is None


def test_a_relation_takes_only_items_of_its_boards_and_one_where_it_says_so(simulator: Simulator) -> None:
    firms, other = simulator.board({}), simulator.board({})
    one, two, stranger = simulator.item(firms), simulator.item(firms), simulator.item(other)
    single = related(simulator, firms, allowMultipleItems=False)
    several = related(simulator, firms)
    for board, ids, words in (
        (several, [stranger], "not in the connected boards"),
        (several, ["12"], "no item"),
        (single, [one, two], "one item"),
        (several, "text", "simple strings"),
    ):
        item = simulator.item(board)
        written = {"item_ids": ids} if isinstance(ids, list) else ids
        (error,) = simulator.change(board, item, {"firm": written})["errors"]
        assert (error["extensions"]["code"], words in error["message"]) == ("ColumnValueException", True)
    item = simulator.item(several, firm={"item_ids": [int(one), two]})
    assert cell(simulator, item, "firm")["linked_item_ids"] == [one, two]
