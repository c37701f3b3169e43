"""What a restart keeps."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.conftest import Process, Receiver

pytestmark = pytest.mark.processes


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = Process("--data", str(tmp_path / "boards.db"))
    yield process
    process.close()


def test_a_restart_keeps_boards_and_webhooks(sandbox: Process, receiver: Receiver) -> None:
    board = sandbox.board({"role": "text", "stage": "status", "site": "link"})
    sandbox.subscribe(board, receiver.url, "change_name")
    item = sandbox.new_item(board, "Ada", role="Buyer", stage={"label": "New label"})
    gone = sandbox.new_item(board, "Bo")
    sandbox.data("mutation ($i: ID) { archive_item(item_id: $i) { id } }", i=gone)
    before = sandbox.boards()
    assert sandbox.stop() == 0
    sandbox.start()
    assert sandbox.boards() == before
    assert sandbox.item(item)["values"]["stage"] == "New label"
    assert int(sandbox.new_item(board, "Cy")) > int(gone)
    sandbox.change(board, item, {"name": "Ada L"})
    assert receiver.wait()[0]["value"] == {"name": "Ada L"}
    a_batch_is_killed_right_after_its_answer(sandbox, board, item)
    sandbox.reset()
    sandbox.stop()
    sandbox.start()
    assert sandbox.boards() == []
    second_board = sandbox.board({})
    assert int(second_board) > int(board)
    assert int(sandbox.new_item(second_board)) > int(gone) + 21


def a_batch_is_killed_right_after_its_answer(sandbox: Process, board: str, item: str) -> None:
    changes = " ".join(f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ id }}' for n in range(20))
    change = 'change_multiple_column_values(board_id: "%s", item_id: "%s", column_values: $%s) { id }'
    refused, renamed = f"bad: {change % (board, item, 'bad')}", f"good: {change % (board, item, 'good')}"
    values = {"bad": json.dumps({"site": "x"}), "good": json.dumps({"role": "y"})}
    answer = sandbox.query(f"mutation ($bad: JSON!, $good: JSON!) {{ {changes} {refused} {renamed} }}", **values)
    assert [error["path"] for error in answer["errors"]] == [["bad"]]
    before = sandbox.boards()
    assert len(before[0]["items"]) == 23
    sandbox.stop(kill=True)
    sandbox.start()
    assert sandbox.boards() == before
    assert sandbox.item(item)["values"]["role"] == "y"
    log = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(limit: 100) { event } } }"
    events = [row["event"] for row in sandbox.data(log, b=[board])["boards"][0]["activity_logs"]]
    assert events.count("create_pulse") == 23
