"""Reads that lag, rows and webhooks that are late, writes without effect, and listings that can't be read."""

from typing import Any

import pytest

from tests.sandbox.conftest import CHANGE, Receiver, Simulator

BY_ID = "query ($i: [ID!]) { items(ids: $i) { id name state board { id } column_values { id text } } }"
LISTED = """query ($b: [ID!], $n: Int) { boards(ids: $b) { items_page(limit: $n) {
  cursor items { id name column_values { id text } } } } }"""
NEXT = "query ($c: String!) { next_items_page(cursor: $c, limit: 1) { cursor items { id } } }"
FOUND = """query ($b: ID!, $t: String!) { items_page_by_column_values(board_id: $b, limit: 9,
  columns: [{column_id: "role", column_values: [$t]}]) { items { id } } }"""


class Reader:
    """What reads say of the item "Ada" on the board."""

    def __init__(self, simulator: Simulator, board: str) -> None:
        self.simulator, self.board, self.offset = simulator, board, 0
        self.item = simulator.new_item(board, "Ada", role="Old")

    def wait(self, seconds: int) -> None:
        self.offset += seconds
        self.simulator.control("clock", offset_seconds=self.offset)

    def by_id(self) -> dict[str, Any]:
        return next(iter(self.simulator.data(BY_ID, i=[self.item])["items"]), {})

    def listed(self, key: str = "name", limit: int = 9) -> list[str]:
        page = self.simulator.data(LISTED, b=[self.board], n=limit)["boards"][0]["items_page"]
        return [item[key] if key in item else role_of(item) for item in page["items"]]

    def found(self, role: str) -> int:
        return len(self.simulator.data(FOUND, b=self.board, t=role)["items_page_by_column_values"]["items"])

    def says(self) -> dict[str, Any]:
        item = self.by_id()
        return {
            "cells": role_of(item) if item else None,
            "names": item.get("name"),
            "states": item.get("state"),
            "listings": (self.listed(), self.listed("role")),
            "searches": (self.found("Old"), self.found("New")),
        }


def role_of(item: dict[str, Any]) -> str:
    return next(str(cell["text"]) for cell in item["column_values"] if cell["id"] == "role")


@pytest.fixture
def reader(simulator: Simulator, board: str) -> Reader:
    return Reader(simulator, board)


@pytest.mark.parametrize("what", ["cells", "names", "states", "listings", "searches"])
def test_each_thing_lags_by_itself(reader: Reader, what: str) -> None:
    sandbox, before = reader.simulator, reader.says()
    sandbox.control("faults", lag=[what], edits=60)
    sandbox.act("edit", item_id=reader.item, column_id="role", text="New")
    sandbox.act("rename", item_id=reader.item, name="Bo")
    if what == "states":
        sandbox.act("archive", item_id=reader.item)
    lagging = reader.says()
    reader.wait(61)
    current = reader.says()
    assert lagging[what] == before[what] != current[what]
    alone = {"listings", "searches"} if what == "states" else {"listings"} if what in ("cells", "names") else set()
    alone |= {"searches"} if what == "cells" else set()
    assert {key for key in current if lagging[key] != current[key]} == {what} | alone


def test_persons_edits_and_our_writes_have_their_own_lags_and_the_latest_counts(reader: Reader, board: str) -> None:
    reader.simulator.control("faults", lag="all", edits=60, writes=600)
    reader.simulator.change(board, reader.item, {"role": "Ours"})
    reader.simulator.act("edit", item_id=reader.item, column_id="role", text="Theirs")
    assert role_of(reader.by_id()) == "Old"
    answer = reader.simulator.data("query ($b: [ID!]) { boards(ids: $b, latest: true) { items_page { items {"
                                   " column_values { id text } } } } }", b=[board])  # fmt: skip
    assert role_of(answer["boards"][0]["items_page"]["items"][0]) == "Theirs"
    reader.wait(61)
    assert role_of(reader.by_id()) == "Theirs"
    reader.simulator.change(board, reader.item, {"role": "Later"})
    reader.wait(550)
    assert role_of(reader.by_id()) == "Theirs"
    reader.simulator.control("faults", "DELETE")
    assert role_of(reader.by_id()) == "Later"


def test_new_and_moved_items_are_shown_late_too(reader: Reader) -> None:
    sandbox, other = reader.simulator, reader.simulator.add_board("Other")
    sandbox.control("faults", lag=["new", "states"], edits=60)
    moved, reader.item = reader.item, str(sandbox.act("add", board_id=reader.board, name="Bo")["id"])
    sandbox.act("move_to_board", item_id=moved, board_id=other, group_id="topics")
    assert (reader.by_id(), reader.listed()) == ({}, ["Ada"])
    reader.wait(61)
    assert (reader.by_id()["name"], reader.listed()) == ("Bo", ["Bo"])
    # What the other board has no column for is lost, also where the item comes back.
    sandbox.act("move_to_board", item_id=moved, board_id=reader.board, group_id="topics")
    assert sandbox.item(moved)["values"]["role"] == ""


def test_rows_and_webhooks_are_late_each_by_its_own_time(simulator: Simulator, board: str, receiver: Receiver) -> None:
    document = "query ($b: [ID!]) { boards(ids: $b) { activity_logs { event data } } }"
    simulator.control("faults", late_rows=[0, 600, 60])
    simulator.control("webhooks", rule="delay", seconds=[600, 0, 60], count=None)
    simulator.subscribe(board, receiver.url, "create_item")
    for name in "ABC":
        simulator.new_item(board, name)
    for offset in (0, 61, 601):
        simulator.control("clock", offset_seconds=offset)
        receiver.wait(offset // 60 // 5 + 1 + (offset == 61))
    assert [event["pulseName"] for event in receiver.events] == ["B", "C", "A"]
    simulator.control("faults", "DELETE")
    rows = len(simulator.data(document, b=[board])["boards"][0]["activity_logs"])
    simulator.control("faults", late_rows=[60, 0])
    simulator.new_item(board, "D")
    simulator.new_item(board, "E")
    assert len(simulator.data(document, b=[board])["boards"][0]["activity_logs"]) == rows + 1


def test_a_swallowed_write_is_answered_and_not_made(reader: Reader, board: str) -> None:
    sandbox = reader.simulator
    sandbox.faults({"swallow": True}, {"swallow": True, "columns": ["role"], "count": 3})
    answer = sandbox.data(CHANGE, b=board, i=reader.item, v='{"role": "New", "name": "Bo"}')
    assert answer["change_multiple_column_values"]["name"] == "Ada"
    sandbox.change(board, reader.item, {"role": "New", "amount": "5"})
    assert "errors" not in sandbox.query("mutation ($i: ID) { archive_item(item_id: $i) { id } }", i=reader.item)
    created = sandbox.item(sandbox.new_item(board, "Cy", role="Boss", amount="7"))
    item = sandbox.item(reader.item)
    assert (item["name"], item["state"], item["values"]["role"], item["values"]["amount"]) == (
        "Ada",
        "active",
        "Old",
        "5",
    )
    assert (created["values"]["role"], created["values"]["amount"]) == ("", "7")
    assert not sandbox.control("faults", "GET")


@pytest.mark.parametrize("cursor", ["same", "new"])
def test_a_page_comes_again(reader: Reader, board: str, cursor: str) -> None:
    others = [reader.simulator.new_item(board, name) for name in "BC"]
    first = reader.simulator.data(LISTED, b=[board], n=1)["boards"][0]["items_page"]["cursor"]
    reader.simulator.control("faults", cursor=cursor)
    again = reader.simulator.data(NEXT, c=first)["next_items_page"]
    assert (again["cursor"] == first) == (cursor == "same")
    pages = [again, reader.simulator.data(NEXT, c=again["cursor"])["next_items_page"]]
    assert [page["items"][0]["id"] for page in pages] == [others[0], others[0]]


@pytest.mark.parametrize("which", ["first", "its id"])
def test_an_item_whose_cells_no_listing_can_read(reader: Reader, which: str) -> None:
    sandbox, ids = reader.simulator, "query ($b: [ID!]) { boards(ids: $b) { items_page { items { id } } } }"
    fault = {"unreadable": "first" if which == "first" else [reader.item]}
    sandbox.faults(fault)
    answer = sandbox.query(LISTED, b=[reader.board], n=9)
    assert (answer.get("data"), answer["errors"][0]["extensions"]["code"]) == (None, "INTERNAL_SERVER_ERROR")
    assert sandbox.data(ids, b=[reader.board])["boards"][0]["items_page"]["items"] == [{"id": reader.item}]
    assert reader.by_id()["name"] == "Ada"
    sandbox.control("faults", "DELETE")
    sandbox.faults(fault | {"by_id": True})
    assert "errors" in sandbox.query(BY_ID, i=[reader.item])
