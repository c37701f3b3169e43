"""The board page as the server sends it, and its live updates."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User

from sync.models import ApiToken
from tests.api.conftest import row
from tests.sandbox.conftest import Process, Simulator


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


def events(simulator: Simulator, wanted: str) -> str:
    ends = time.monotonic() + 20
    with requests.get(f"{simulator.url}/events", stream=True, timeout=20) as stream:
        for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
            if wanted in line:
                return str(line)
            if time.monotonic() > ends:
                break
    raise AssertionError(f"the stream did not say {wanted}")


@pytest.mark.django_db(transaction=True)
def test_items_link_to_their_records_and_say_why_they_wait(start: Callable[..., Process], live_server: Any) -> None:
    _token, text = ApiToken.objects.issue(User.objects.create_superuser("simulator"), "simulator")
    one = start("--npd-url", live_server.url, "--npd-token", text)
    board = one.board()
    new = one.item(board, "New")
    row(entity_id=None, remote_id=str(new), reason="waits for a name")
    item = one.item(board, "Known", npd_id="8f3c-1")
    assert f'href="{live_server.url}/go/8f3c-1"' in page(one, f"/board/{board}/row/{item}")
    state = json.loads(events(one, '"waiting": {"').removeprefix("data: "))
    assert state["reachable"]
    assert state["waiting"][str(new)]["reason"] == "waits for a name"
