"""People, tags, places and connected boards."""

import json
from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

MAYA, TOM, SALES = 67210011, 67210012, 1180001
TYPES = {"owner": "people", "land": "country", "place": "location", "topics": "tags"}
CELL = """query ($i: [ID!], $c: [String!]) { items(ids: $i) { column_values(ids: $c) {
  __typename text value ... on PeopleValue { persons_and_teams { id kind } }
  ... on CountryValue { country { code name } } ... on LocationValue { lat lng address city }
  ... on TagsValue { tag_ids tags { id name } }
  ... on BoardRelationValue { linked_item_ids display_value linked_items { id name board { id } } } } } }"""
WRITES: list[tuple[str, Any, str, dict[str, Any]]] = [
    (
        "owner",
        {"personsAndTeams": [{"id": str(MAYA), "kind": "person"}, {"id": SALES, "kind": "team"}]},
        "Maya Lind, Sales",
        {"persons_and_teams": [{"id": str(MAYA), "kind": "person"}, {"id": str(SALES), "kind": "team"}]},
    ),
    ("owner", f"{MAYA}, {TOM}", "Maya Lind, Tom Okafor", {"__typename": "PeopleValue"}),
    (
        "land",
        {"countryCode": "US", "countryName": "United States"},
        "United States",
        {"country": {"code": "US", "name": "United States"}},
    ),
    (
        "place",
        {"lat": "29.97", "lng": "31.13", "address": "Giza"},
        "Giza",
        {"lat": 29.97, "lng": 31.13, "address": "Giza", "city": None},
    ),
    ("place", {"lat": -89.9, "lng": 180}, "unknown", {"lat": -89.9, "lng": 180.0, "address": "unknown"}),
    ("place", "29.97 31.13 Giza Pyramid Complex", "Giza Pyramid Complex", {"lng": 31.13}),
]
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


@pytest.mark.parametrize(("column", "written", "text", "fields"), WRITES)
def test_a_written_value_reads_back_in_monday_s_form(
    simulator: Simulator, board: str, *, column: str, written: Any, text: str, fields: dict[str, Any]
) -> None:
    item = simulator.item(board)
    assert "errors" not in simulator.change(board, item, {column: written})
    found = cell(simulator, item, column)
    assert found["text"] == text
    assert fields.items() <= found.items()
    json.loads(found["value"])


@pytest.mark.parametrize(("column", "written", "code"), REFUSED)
def test_a_bad_value_is_refused(simulator: Simulator, board: str, column: str, written: Any, code: str) -> None:
    item = simulator.item(board)
    (error,) = simulator.change(board, item, {column: written})["errors"]
    assert error["extensions"]["code"] == code
    assert cell(simulator, item, column)["value"] is None


def test_ids_of_people_are_numbers_when_they_are_read_back(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, owner={"personsAndTeams": [{"id": str(MAYA), "kind": "person"}]})
    value = json.loads(cell(simulator, item, "owner")["value"])
    assert value["personsAndTeams"] == [{"id": MAYA, "kind": "person"}]
    assert "changed_at" in value


def test_a_relation_shows_the_items_and_neither_value_nor_text(simulator: Simulator) -> None:
    firms = simulator.board({})
    acme = simulator.item(firms, "Acme")
    contacts = related(simulator, firms)
    item = simulator.item(contacts, firm={"item_ids": [acme]})
    found = cell(simulator, item, "firm")
    assert (found["value"], found["text"]) == (None, None)
    assert (found["linked_item_ids"], found["display_value"]) == ([acme], "Acme")
    assert found["linked_items"] == [{"id": acme, "name": "Acme", "board": {"id": firms}}]
    simulator.change(firms, acme, {"name": "Acme Ltd"})
    assert cell(simulator, item, "firm")["display_value"] == "Acme Ltd"
    edit = {"action": "edit", "item_id": item, "column_id": "firm"}
    simulator.control("actions", edit | {"text": ""})
    assert cell(simulator, item, "firm")["linked_item_ids"] == []
    simulator.control("actions", edit | {"text": "acme ltd"})
    assert cell(simulator, item, "firm")["linked_item_ids"] == [acme]
    simulator.change(contacts, item, {"firm": None})
    assert cell(simulator, item, "firm")["linked_item_ids"] == []


def test_a_relation_takes_only_items_of_its_boards_and_one_where_it_says_so(simulator: Simulator) -> None:
    firms, other = simulator.board({}), simulator.board({})
    one, two, stranger = simulator.item(firms), simulator.item(firms), simulator.item(other)
    single = related(simulator, firms, allowMultipleItems=False)
    several = related(simulator, firms)
    for board, ids, words in (
        (several, [stranger], "not connected"),
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


def test_a_deleted_item_leaves_the_relation_and_comes_back_with_it(simulator: Simulator) -> None:
    firms = simulator.board({})
    acme = simulator.item(firms, "Acme")
    item = simulator.item(related(simulator, firms), firm={"item_ids": [acme]})
    for action, linked in (("archive", [acme]), ("restore", [acme]), ("delete", []), ("restore", [acme])):
        simulator.control("actions", {"action": action, "item_id": acme})
        assert cell(simulator, item, "firm")["linked_item_ids"] == linked


def test_a_relation_with_a_reflection_shows_on_both_boards(simulator: Simulator) -> None:
    firms = simulator.board({})
    acme, globex = simulator.item(firms, "Acme"), simulator.item(firms, "Globex")
    contacts = related(simulator, firms, allowMultipleItems=False, allowCreateReflectionColumn=True)
    columns = simulator.data("query ($b: [ID!]) { boards(ids: $b) { columns { id type } } }", b=[firms])
    (side,) = [one["id"] for one in columns["boards"][0]["columns"] if one["type"] == "board_relation"]
    ada = simulator.item(contacts, "Ada", firm={"item_ids": [acme]})
    bo = simulator.item(contacts, "Bo")
    assert cell(simulator, acme, side)["display_value"] == "Ada"
    simulator.change(contacts, bo, {"firm": {"item_ids": [acme]}})
    assert cell(simulator, acme, side)["display_value"] == "Ada, Bo"
    # From the other side: Ada's one firm is now Globex, and Acme lets her go.
    simulator.change(firms, globex, {side: {"item_ids": [ada]}})
    shown = {name: cell(simulator, one, "firm")["display_value"] for name, one in (("Ada", ada), ("Bo", bo))}
    assert shown == {"Ada": "Globex", "Bo": "Acme"}
    assert cell(simulator, acme, side)["display_value"] == "Bo"
    simulator.change(firms, globex, {side: None})
    assert cell(simulator, ada, "firm")["display_value"] == ""
    logs = simulator.data(
        "query ($b: [ID!], $c: [String]) { boards(ids: $b) { activity_logs(column_ids: $c) { event data } } }",
        b=[contacts],
        c=["firm"],
    )["boards"][0]["activity_logs"]
    assert [json.loads(row["data"])["pulse_name"] for row in logs if row["event"] == "update_column_value"] == [
        "Ada",
        "Ada",
        "Bo",
    ]
