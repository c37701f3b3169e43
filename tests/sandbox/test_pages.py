"""The board page as the server sends it, and its live updates."""

import json
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.sandbox.conftest import Process, Simulator, wait_until
from tests.support.serving import Quiet, local, serving


def page(simulator: Simulator, path: str) -> str:
    answer = simulator.session.get(simulator.url + path, timeout=10)
    assert answer.ok
    return answer.text


def test_names_and_cells_are_escaped(simulator: Simulator, board: str) -> None:
    simulator.item(board, "<script>alert(1)</script>", role='"><img src=x>')
    text = page(simulator, f"/board/{board}")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert" in text
    assert "script-src" not in text


@pytest.fixture
def npd() -> Iterator[tuple[str, list[str]]]:
    """An NPD whose queue holds one candidate, and the Authorization headers it saw."""
    seen: list[str] = []

    class Handler(Quiet):
        def reply(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            row = {"remote_id": "8000000001", "reason": "waits for a name", "next_retry": None}
            self.answer(json.dumps({"results": [row]}).encode())

    with serving(local(Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", seen


def events(simulator: Simulator, wanted: str) -> str:
    with requests.get(f"{simulator.url}/events", stream=True, timeout=20) as stream:
        for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
            if wanted in line:
                return str(line)
    raise AssertionError(f"the stream ended without {wanted}")


def test_items_link_to_their_records_and_say_why_they_wait(
    start: Callable[..., Process], npd: tuple[str, list[str]]
) -> None:
    url, seen = npd
    one = start("--npd-url", url, "--npd-token", "secret")
    board = one.board()
    one.item(board, "New")
    item = one.item(board, "Known", npd_id="8f3c-1")
    assert f'href="{url}/go/8f3c-1"' in page(one, f"/board/{board}/row/{item}")
    assert seen == []
    assert "waits for a name" in events(one, "waits for a name")
    assert set(seen) == {"Token secret"}


def test_an_npd_that_cannot_be_reached_is_said_once(start: Callable[..., Process]) -> None:
    one = start("--npd-url", "http://127.0.0.1:9", "--npd-token", "secret")
    assert '"reachable": false' in events(one, '"reachable": false')
    assert wait_until(lambda: one.read("clock"), "the sandbox still answers")
