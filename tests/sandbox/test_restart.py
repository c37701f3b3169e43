"""What a restart keeps."""

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
