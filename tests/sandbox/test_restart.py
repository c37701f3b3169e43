"""What a restart keeps."""

from collections.abc import Callable
from pathlib import Path

from tests.sandbox.conftest import Process, Receiver


def test_a_restart_keeps_boards_and_webhooks(start: Callable[..., Process], receiver: Receiver, tmp_path: Path) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({"role": "text", "stage": "status", "site": "link"})
    one.subscribe(board, receiver.url, "change_name")
    item = one.item(board, "Ada", role="Buyer", stage={"label": "New label"})
    gone = one.item(board, "Bo")
    one.data("mutation ($i: ID) { archive_item(item_id: $i) { id } }", i=gone)
    before = one.read("boards")
    assert one.stop() == 0
    one.start()
    assert one.read("boards") == before
    assert one.cell(item, "stage")["label"] == "New label"
    assert int(one.item(board, "Cy")) > int(gone)
    one.change(board, item, {"name": "Ada L"})
    assert receiver.wait()[0]["value"] == {"name": "Ada L"}
    a_batch_is_killed_right_after_its_answer(one, board, item)
    one.control("reset", {})
    one.stop()
    one.start()
    assert one.read("boards") == []
    other = one.board({})
    assert int(other) > int(board)
    assert int(one.item(other)) > int(gone) + 21


def a_batch_is_killed_right_after_its_answer(one: Process, board: str, item: str) -> None:
    changes = " ".join(f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ id }}' for n in range(20))
    refused = 'bad: change_column_value(board_id: "%s", item_id: "%s", column_id: "site", value: "\\"x\\"") { id }'
    renamed = 'good: change_column_value(board_id: "%s", item_id: "%s", column_id: "role", value: "\\"y\\"") { id }'
    answer = one.ask(f"mutation {{ {changes} {refused % (board, item)} {renamed % (board, item)} }}")
    assert [error["path"] for error in answer["errors"]] == [["bad"]]
    before = one.read("boards")
    assert len(before[0]["items"]) == 23
    one.stop(kill=True)
    one.start()
    assert one.read("boards") == before
    assert one.cell(item, "role")["text"] == "y"
    log = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(limit: 100) { event } } }"
    events = [row["event"] for row in one.data(log, b=[board])["boards"][0]["activity_logs"]]
    assert events.count("create_pulse") == 23
