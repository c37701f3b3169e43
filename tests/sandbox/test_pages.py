"""The board page as the server sends it, and its live updates."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import COLUMNS, Simulator, wait_until


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


WRITTEN = {
    "role": "Buyer", "notes": "two\nlines", "amount": "12.50", "email": "a@b.test Ada", "phone": "+46317015500 SE",
    "day": "2026-12-01 10:30", "site": "https://b.test words", "ticked": "v", "stage": "Stuck",
    "kinds": "Buyer, Partner",
    "owner": "Tom Okafor, Noor Haddad", "land": "Sweden", "place": "57.7 11.9 Main hall", "tags": "spring, autumn",
    "trip": "2026-12-01 2026-12-05", "hour": "09:05", "week": "2026-12-07 2026-12-13",
}  # fmt: skip
MORE = {
    "owner": "people", "land": "country", "place": "location", "tags": "tags", "trip": "timeline", "hour": "hour",
    "week": "week",
}  # fmt: skip


def edit(simulator: Simulator, item: str, **more: Any) -> dict[str, str]:
    values: dict[str, str] = simulator.control("actions", {"action": "edit", "item_id": item, **more})[
        "values"
    ]
    return values


def held(simulator: Simulator, board: str, item: str, column: str) -> Any:
    """What the cell's button says that the cell holds."""
    row = page(simulator, f"/board/{board}/row/{item}")
    (button,) = re.findall(rf'data-column="{column}" [^>]*', row)
    found = re.search(r'data-value="([^"]*)"', button)
    return json.loads(unescape(found[1])) if found else None


@pytest.mark.parametrize("column", WRITTEN)
def test_what_a_cell_holds_can_be_written_back_to_undo_an_edit(simulator: Simulator, column: str) -> None:
    board = simulator.board(COLUMNS | MORE)
    item = simulator.item(board)
    before = edit(simulator, item, column_id=column, text=WRITTEN[column])[column]
    kept = held(simulator, board, item, column)
    assert before
    assert kept is not None
    assert edit(simulator, item, column_id=column, value=None)[column] == ""
    assert held(simulator, board, item, column) is None
    assert edit(simulator, item, column_id=column, value=kept)[column] == before


@pytest.mark.parametrize("column", ["stage", "kinds", "owner", "land", "tags"])
def test_what_a_picker_offers_is_what_it_takes(simulator: Simulator, column: str) -> None:
    board = simulator.board(COLUMNS | MORE)
    item = simulator.item(board)
    text = edit(simulator, item, column_id=column, text=WRITTEN[column])[column]
    offer = json.loads(page(simulator, f"/board/{board}/choices?column={column}"))
    row = page(simulator, f"/board/{board}/row/{item}")
    chosen = json.loads(unescape(re.findall(rf'data-column="{column}" [^>]*data-chosen="([^"]*)"', row)[0]))
    names = {choice["key"]: choice["name"] for choice in offer["choices"]}
    assert sorted(names[key] for key in chosen) == sorted(text.split(", "))
    other = next(key for key in names if key not in chosen) if column not in ("kinds", "tags") else chosen[0]
    assert edit(simulator, item, column_id=column, chosen=[other])[column] == names[other]
    assert edit(simulator, item, column_id=column, chosen=[])[column] == ""
    if offer["makes_new"]:
        assert edit(simulator, item, column_id=column, chosen=[], made=["Brand new"])[column] == "Brand new"


@pytest.mark.parametrize(
    "given",
    [
        {"column_id": "stage", "chosen": "1"},
        {"column_id": "stage", "chosen": ["77"]},
        {"column_id": "land", "chosen": [], "made": ["Atlantis"]},
        {"column_id": "land", "chosen": ["XX"]},
        {"column_id": "owner", "chosen": ["person-1"]},
        {"column_id": "role", "chosen": ["1"]},
        {"column_id": "none", "chosen": ["1"]},
    ],
)
def test_what_no_picker_offers_is_refused(simulator: Simulator, given: dict[str, Any]) -> None:
    item = simulator.item(simulator.board(COLUMNS | MORE))
    body = {"action": "edit", "item_id": item, **given}
    answer = simulator.session.post(f"{simulator.url}/_control/actions", json=body, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_groups_stand_in_board_order_and_a_folded_one_gives_its_place_to_the_next(
    simulator: Simulator, board: str
) -> None:
    group = simulator.data(
        'mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old & new", relative_to: "topics",'
        " position_relative_method: after_at) { id } }",
        b=board,
    )["create_group"]["id"]
    rows = [{"name": f"First {n:03}", "group_id": "topics"} for n in range(120)]
    rows += [{"name": f"Second {n}", "group_id": group} for n in range(3)]
    simulator.control("items", {"board_id": board, "items": rows})
    first = page(simulator, f"/board/{board}/list")
    assert first.count("<tr id=") == 100
    assert "Second 0" not in first
    folded = page(simulator, f"/board/{board}/list?closed=topics")
    assert folded.count("<tr id=") == 3
    assert "Old &amp; new" in folded
    assert "120 items" in folded
    assert "1–3 of 3" in folded


def test_rows_are_fetched_together_with_the_counts_of_the_tabs(simulator: Simulator, board: str) -> None:
    ids = [simulator.item(board, name) for name in ("Ada", "Bo", "Cy")]
    simulator.control("actions", {"action": "delete", "item_id": ids[2]})
    answer = json.loads(page(simulator, f"/board/{board}/rows?ids={','.join(ids)},12,x"))
    assert sorted(answer["rows"]) == sorted(ids)
    assert answer["counts"] == {"active": 2, "archived": 0, "deleted": 1, "all": 3}
    assert 'data-action="restore"' in answer["rows"][ids[2]]


def test_a_line_of_the_log_opens_to_what_was_asked_and_answered(simulator: Simulator, board: str) -> None:
    with requests.get(f"{simulator.url}/events?board={board}", stream=True, timeout=10) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == "retry: 1000"
        simulator.data(
            'mutation Two ($b: ID!) { a: create_item(board_id: $b, item_name: "A") { id }'
            ' b: create_item(board_id: $b, item_name: "B") { id } }',
            b=board,
        )
        line = next(one for one in islice(lines, 100) if "2 × create_item" in one)
    for words in ("mutation Two", "2 at the root", "points", "HTTP 200", "Request id"):
        assert words in line


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
        assert one.stop() == 0


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
