"""Who may call the sandbox, and where its secrets come from."""

import pytest

from sandbox.web import Guard, Request
from tests.sandbox.conftest import Simulator


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "[", "10.0.0.9"])
def test_a_name_that_is_not_ours_reads_and_changes_nothing(simulator: Simulator, host: str) -> None:
    for method, path in (("GET", "/_control/boards"), ("GET", "/"), ("DELETE", "/_control/faults"), ("POST", "/v2")):
        answer = simulator.session.request(method, simulator.url + path, headers={"Host": host}, timeout=5)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("listens_at", "host"),
    [(name, name) for name in ("127.0.0.1", "localhost:8001", "[::1]:8001", "LOCALHOST")]
    + [("box", "box:9"), ("0.0.0.0", "sandbox:8001")],
)
def test_our_own_names_are_let_in_and_every_name_where_it_listens_everywhere(listens_at: str, host: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": host}
    assert Guard(listens_at).refusal(Request(environ)) is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["])
def test_the_page_of_another_site_changes_nothing(simulator: Simulator, origin: str) -> None:
    simulator.faults({"status": 500})
    for method, path in (("DELETE", "faults"), ("POST", "reset")):
        address = f"{simulator.url}/_control/{path}"
        answer = simulator.session.request(method, address, json={}, headers={"Origin": origin}, timeout=5)
        assert answer.status_code == 403
    assert len(simulator.control("faults", "GET")) == 1
    assert simulator.session.get(f"{simulator.url}/_control/faults", headers={"Origin": origin}, timeout=5).ok


def test_only_json_changes_anything(simulator: Simulator, board: str) -> None:
    form = simulator.session.post(
        f"{simulator.url}/_control/reset", data="{}", headers={"Content-Type": "text/plain"}, timeout=5
    )
    assert form.status_code == 415
    assert len(simulator.boards()) == 1
