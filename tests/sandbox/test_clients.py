"""Clients that others wrote for Monday drive the sandbox as they would drive Monday.

They differ from ours: they splice values into the documents' text, send ids as numbers, and read errors their own way.
"""

from typing import Any

import monday.resources.base
import pytest
from monday import MondayClient as PyPiClient
from monday.exceptions import MondayQueryError
from monday.resources.types import BoardKind, BoardState, ColumnType
from monday_sdk import MondayClient as OfficialClient

from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("running_sandbox")  # they have HTTP of their own

PERSON = 'Zoë "Zo" O\'Neill'


@pytest.fixture
def pypi(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> PyPiClient:
    """PyPI's `monday`, which has no option for the address."""
    monkeypatch.setitem(monday.resources.base._URLS, "prod", sandbox.api_url)
    return PyPiClient(sandbox.token)


@pytest.fixture
def official(sandbox: Sandbox) -> OfficialClient:
    """Monday's own `monday-api-python-sdk`."""
    client = OfficialClient(sandbox.token, max_retry_attempts=1)
    client._graphql_client.endpoint = sandbox.api_url
    return client


@pytest.fixture
def board(pypi: PyPiClient) -> str:
    """A board with a column of each of a few types, made through the API."""
    made = pypi.boards.create_board("People", BoardKind.PUBLIC)["data"]["create_board"]["id"]
    for item in pypi.boards.fetch_all_items_by_board_id(made):  # Monday fills a new board with examples
        pypi.items.delete_item_by_id(item["id"])
    types = {"Mail": "email", "Call": "phone", "Age": "numbers", "Stage": "status", "Since": "date"}
    for title, column_type in types.items():
        pypi.columns.create_column(made, title, ColumnType(column_type))
    return str(made)


def columns_of(pypi: PyPiClient, board: str) -> dict[str, str]:
    found = pypi.boards.fetch_boards_by_id(board)["data"]["boards"][0]["columns"]
    return {column["title"]: column["id"] for column in found}


def group_of(pypi: PyPiClient, board: str) -> str:
    return str(pypi.groups.get_groups_by_board(board)["data"]["boards"][0]["groups"][0]["id"])


def make(pypi: PyPiClient, board: str, name: str, **values: Any) -> str:
    ids = columns_of(pypi, board)
    columns = {ids[title]: value for title, value in values.items()}
    made = pypi.items.create_item(board, group_of(pypi, board), name, columns, create_labels_if_missing=True)
    return str(made["data"]["create_item"]["id"])


def texts(pypi: PyPiClient, item: str) -> dict[str, str]:
    found = pypi.items.fetch_items_by_id([int(item)])["data"]["items"][0]
    return {value["id"]: value["text"] for value in found["column_values"]}


def test_the_pypi_client_writes_a_value_of_each_type_and_reads_it_back(pypi: PyPiClient, board: str) -> None:
    item = make(
        pypi,
        board,
        PERSON,
        Mail={"email": "zoe@example.com", "text": "zoe"},
        Call={"phone": "+12025550169", "countryShortName": "US"},
        Age="41",
        Stage={"label": "Lead"},
        Since={"date": "2026-01-31"},
    )
    ids, found = columns_of(pypi, board), texts(pypi, item)
    assert found[ids["Mail"]] == "zoe - zoe@example.com"
    assert (found[ids["Age"]], found[ids["Stage"]], found[ids["Since"]]) == ("41", "Lead", "2026-01-31")
    assert pypi.items.fetch_items_by_id([int(item)])["data"]["items"][0]["name"] == PERSON


def test_the_pypi_client_changes_clears_moves_archives_and_deletes_an_item(
    pypi: PyPiClient, board: str, sandbox: Sandbox
) -> None:
    item, ids = make(pypi, board, "Ann", Age="7"), columns_of(pypi, board)
    pypi.items.change_item_value(board, item, ids["Age"], "8")
    assert texts(pypi, item)[ids["Age"]] == "8"
    pypi.items.change_multiple_column_values(board, item, {ids["Age"]: None, "name": "Anna"})
    assert texts(pypi, item)[ids["Age"]] == ""
    other = pypi.groups.create_group(board, "Elsewhere")["data"]["create_group"]["id"]
    pypi.items.move_item_to_group(item, other)
    listed = pypi.groups.get_items_by_group(board, other)["data"]["boards"][0]["groups"][0]["items_page"]
    assert [found["name"] for found in listed["items"]] == ["Anna"]
    pypi.items.archive_item_by_id(item)
    assert pypi.boards.fetch_all_items_by_board_id(board) == []
    pypi.items.delete_item_by_id(item)
    (state,) = {found["state"] for one in sandbox.boards() for found in one["items"] if found["name"] == "Anna"}
    assert state == "deleted"


def test_the_pypi_client_raises_its_own_error_with_mondays_words(pypi: PyPiClient, board: str) -> None:
    item = make(pypi, board, "Ann")
    with pytest.raises(MondayQueryError, match=r"(?i)column"):
        pypi.items.change_multiple_column_values(board, item, {"no_such_column": "x"})
    found = pypi.boards.fetch_boards(ids=[int(board)], state=BoardState.ALL)["data"]["boards"]
    assert [one["name"] for one in found] == ["People"]


def test_mondays_own_client_creates_changes_and_reads_items(
    official: OfficialClient, pypi: PyPiClient, board: str
) -> None:
    ids, group = columns_of(pypi, board), group_of(pypi, board)
    made = official.items.create_item(board, group, "Bea", {ids["Age"]: "5"})
    item = made.data.create_item.id
    official.items.change_status_column_value(board, item, ids["Stage"], "Done")
    official.items.change_simple_column_value(board, item, ids["Mail"], "bea@example.com bea")
    official.items.change_multiple_column_values(board, item, {ids["Age"]: "6"})
    (found,) = official.items.fetch_items_by_id([item])
    values = {value.column.id: value.text for value in found.column_values}
    assert (values[ids["Age"]], values[ids["Stage"]]) == ("6", "Done")
    assert values[ids["Mail"]] == "bea - bea@example.com"
