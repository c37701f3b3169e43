"""What a restart keeps."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.conftest import Receiver, Simulator


@pytest.mark.parametrize("kill", [False, True])
def test_boards_and_webhooks_survive_the_process(
    start: Callable[..., Simulator], receiver: Receiver, tmp_path: Path, kill: bool
) -> None:
    first = start("--data", str(tmp_path / "boards.db"))
    board = first.board()
    hook = first.subscribe(board, receiver.url, "change_name")
    item = first.item(board, "Ada", role="Buyer", stage={"label": "New label"})
    gone = first.item(board, "Bo")
    first.data("mutation ($i: ID) { archive_item(item_id: $i) { id } }", i=gone)
    before = first.read("boards")
    code = first.stop(kill)
    assert kill or code == 0
    first.start()
    assert first.read("boards") == before
    assert first.cell(item, "stage")["label"] == "New label"
    assert int(first.item(board, "Cy")) > int(gone)
    first.change(board, item, {"name": "Ada L"})
    assert receiver.wait()[0]["subscriptionId"] == int((hook or {})["id"])


def test_a_batch_that_was_answered_survives_a_kill_with_what_succeeded_in_it(
    start: Callable[..., Simulator], tmp_path: Path
) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board()
    item = one.item(board, "Ada", role="Buyer")
    changes = " ".join(
        f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ id }}' for n in range(20)
    )
    refused = (
        'bad: change_simple_column_value(board_id: "%s", item_id: "%s", column_id: "site", value: "x") { id }'
    )
    renamed = 'good: change_simple_column_value(board_id: "%s", item_id: "%s", column_id: "role", value: "y") { id }'
    answer = one.ask(f"mutation {{ {changes} {refused % (board, item)} {renamed % (board, item)} }}")
    assert [error["path"] for error in answer["errors"]] == [["bad"]]
    before = one.read("boards")
    assert len(before[0]["items"]) == 21
    one.stop(kill=True)
    one.start()
    assert one.read("boards") == before
    assert one.cell(item, "role")["text"] == "y"
    log = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(limit: 100) { event } } }"
    events = [row["event"] for row in one.data(log, b=[board])["boards"][0]["activity_logs"]]
    assert events.count("create_pulse") == 21


def test_a_reset_never_gives_an_id_twice(start: Callable[..., Simulator], tmp_path: Path) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({})
    item = one.item(board)
    one.control("reset", {})
    assert one.read("boards") == []
    one.stop()
    one.start()
    other = one.board({})
    assert int(other) > int(board)
    assert int(one.item(other)) > int(item)


def test_a_file_of_an_older_sandbox_still_loads(start: Callable[..., Simulator], tmp_path: Path) -> None:
    path = tmp_path / "boards.db"
    stamp = "2026-01-05T09:00:00Z"
    board = {
        "id": 70001, "name": "Contacts", "kind": "public", "created_at": stamp, "updated_at": stamp,
        "creator_id": 67210000, "description": None, "workspace_id": None, "state": "active",
        "items_limit": 10_000,
        "columns": [
            {"id": one, "title": one, "type": kind, "settings": {}, "description": None, "archived": False,
             "revision": 1}
            for one, kind in (("name", "name"), ("role", "text"))
        ],
        "groups": [{"id": "topics", "title": "Group Title", "color": "#579bfc", "position": "65536.0",
                    "archived": False, "deleted": False}],
    }  # fmt: skip
    item = {
        "id": 8000000001, "board_id": 70001, "group_id": "topics", "name": "Ada", "rank": 8000000001.0,
        "created_at": stamp, "updated_at": stamp, "creator_id": 67210000, "changed_by": 67210000,
        "state": "active", "cells": {"role": ["Buyer", stamp]},
    }  # fmt: skip
    database = sqlite3.connect(path)
    for table, key, document in (("boards", 70001, board), ("items", 8000000001, item)):
        database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, document TEXT NOT NULL)")
        database.execute(f"INSERT INTO {table} VALUES (?, ?)", (key, json.dumps(document)))
    database.execute("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    database.execute("INSERT INTO counters VALUES ('item', 8000000002)")
    database.commit()
    database.close()
    one = start("--data", str(path))
    assert one.cell("8000000001", "role")["text"] == "Buyer"
    assert one.item("70001", "Bo") == "8000000002"
    one.control("actions", {"action": "add_subitem", "item_id": 8000000001, "name": "part"})
