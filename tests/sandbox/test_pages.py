"""The board page as the server sends it, and its live updates."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.sandbox.conftest import Simulator, wait_until


def page(simulator: Simulator, path: str) -> str:
    answer = simulator.session.get(simulator.url + path, timeout=10)
    assert answer.ok
    return answer.text


def test_without_boards_the_page_says_how_one_is_made(simulator: Simulator) -> None:
    text = page(simulator, "/")
    assert "There are no boards yet." in text
    assert "This is a sandbox" in text


def test_names_and_cells_are_escaped(simulator: Simulator, board: str) -> None:
    simulator.item(board, "<script>alert(1)</script>", role='"><img src=x>')
    text = page(simulator, f"/board/{board}")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert" in text
    assert "script-src" not in text


def test_items_are_found_by_their_words_and_shown_a_hundred_at_a_time(
    simulator: Simulator, board: str
) -> None:
    rows = [{"name": f"Item {n:03}", "values": {"role": f"role {n}"}} for n in range(150)]
    ids = simulator.control("items", {"board_id": board, "items": rows, "webhooks": False})
    first = page(simulator, f"/board/{board}?sort=board")
    assert first.count("<tr id=") == 100
    assert "1–100 of 150" in first
    assert "101–150 of 150" in page(simulator, f"/board/{board}?sort=board&page=2")
    assert page(simulator, f"/board/{board}?q=role+77").count("<tr id=") == 1
    assert "No item matches." in page(simulator, f"/board/{board}?q=nowhere")
    assert f'id="item-{ids[149]}" class="focused"' in page(simulator, f"/board/{board}/pulses/{ids[149]}")
    assert simulator.session.get(f"{simulator.url}/board/1", timeout=5).status_code == 404


def test_archived_items_have_their_own_list(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada")
    simulator.control("actions", {"action": "archive", "item_id": item})
    assert f'id="item-{item}"' not in page(simulator, f"/board/{board}")
    archived = page(simulator, f"/board/{board}?state=archived")
    assert f'id="item-{item}"' in archived
    assert 'data-action="restore"' in archived


def test_a_row_that_npd_changed_says_so_for_a_while(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada")
    assert "just now · NPD Sync" in page(simulator, f"/board/{board}/row/{item}")
    simulator.control("actions", {"action": "edit", "item_id": item, "column_id": "role", "text": "x"})
    assert "just now · Maya Lind" in page(simulator, f"/board/{board}/row/{item}")
    simulator.control("clock", {"offset_seconds": 60})
    assert "just now" not in page(simulator, f"/board/{board}/row/{item}")


def test_what_a_person_mistypes_is_refused_in_words(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    body = {"action": "edit", "item_id": item, "column_id": "email", "text": "not an address"}
    answer = simulator.session.post(f"{simulator.url}/_control/actions", json=body, timeout=5)
    assert answer.status_code == 400
    assert answer.json() == {"error": "email is not valid", "code": "ColumnValueException"}


def test_open_pages_hear_of_calls_and_changes(simulator: Simulator, board: str) -> None:
    with requests.get(f"{simulator.url}/events?board={board}", stream=True, timeout=10) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == "retry: 1000"
        item = simulator.item(board, "Ada")
        seen = []
        for line in lines:
            seen.append(line)
            if line.startswith("event: call") and any(f'"id": {item}' in one for one in seen):
                break
        assert "event: item" in seen


def test_an_open_page_does_not_hold_up_the_end(start: Callable[..., Simulator]) -> None:
    one = start()
    with requests.get(f"{one.url}/events", stream=True, timeout=10) as stream:
        assert next(stream.iter_lines(chunk_size=1)) == b"retry: 1000"
        begun = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - begun < 2


@pytest.fixture
def npd() -> Iterator[tuple[str, list[str]]]:
    """An NPD whose queue holds one candidate, and the Authorization headers it saw."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            row = {"remote_id": "8000000001", "reason": "waits for a name", "next_retry": None}
            body = json.dumps({"results": [row]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def events(simulator: Simulator, wanted: str) -> str:
    with requests.get(f"{simulator.url}/events", stream=True, timeout=20) as stream:
        for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
            if wanted in line:
                return str(line)
    raise AssertionError(f"the stream ended without {wanted}")


def test_items_link_to_their_records_and_say_why_they_wait(
    start: Callable[..., Simulator], npd: tuple[str, list[str]]
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


def test_an_npd_that_cannot_be_reached_is_said_once(start: Callable[..., Simulator]) -> None:
    one = start("--npd-url", "http://127.0.0.1:9", "--npd-token", "secret")
    assert '"reachable": false' in events(one, '"reachable": false')
    assert wait_until(lambda: one.read("clock"), "the sandbox still answers")
