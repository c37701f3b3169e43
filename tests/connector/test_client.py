"""The HTTP edge: what is sent, and what each kind of failure means."""

import gzip
import json
import logging
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from sync.monday import errors
from sync.monday.account import parse_account_info
from sync.monday.board_items import WriteRequest
from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Complexity
from tests.connector.bodies import failed
from tests.support.refusals import refusal

URL = "https://monday.test/v2"
TOKEN = "secret-token-of-the-account"
QUERY = "query Q { me { id } }"
MUTATION = "mutation Write { a: x { id } b: x { id } }"


@pytest.fixture
def client() -> Iterator[MondayClient]:
    with responses.mock:
        yield MondayClient(URL, TOKEN, version="2026-10")


def test_a_document_is_sent_with_variables_token_version_and_key(client: MondayClient) -> None:
    responses.post(URL, json={"data": {"me": {"id": "1"}}})
    client.execute(MUTATION, {"ids": ["1"]}, idempotency_key="create-1")
    request = responses.calls[0].request
    assert json.loads(request.body or "") == {"query": MUTATION, "variables": {"ids": ["1"]}}
    assert request.headers["Authorization"] == TOKEN
    assert request.headers["API-Version"] == "2026-10"
    assert request.headers["Idempotency-Key"] == "create-1"
    assert request.headers["Content-Type"] == "application/json"


def test_a_netrc_entry_is_not_used(client: MondayClient, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine monday.test login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    responses.post(URL, json={"data": {}})
    client.execute(QUERY, {})
    assert responses.calls[0].request.headers["Authorization"] == TOKEN


def test_an_answer_carries_request_version_complexity_and_replay(client: MondayClient) -> None:
    complexity = {"query": 30, "after": 970, "reset_in_x_seconds": 12}
    responses.post(
        URL,
        json={"data": {"me": {"id": "1"}, "complexity": complexity}, "extensions": {"request_id": "req-1"}},
        headers={"API-Version": "2026-10", "Idempotency-Replayed": "true", "Date": "Mon, 30 Nov 2026 13:00:05 GMT"},
    )
    answer = client.execute(QUERY, {})
    assert answer.dated == datetime(2026, 11, 30, 13, 0, 5, tzinfo=UTC)
    assert answer.complexity == Complexity(30, 970, 12)
    assert (answer.request_id, answer.api_version, answer.replayed) == ("req-1", "2026-10", True)


@pytest.mark.parametrize("date", ["", "now", "Mon, 30 Nov 2026 13:00:05 -0000", "Mon, 99 Nov 2026 13:00:05 GMT"])
def test_a_date_that_names_no_moment_is_left_out(client: MondayClient, date: str) -> None:
    responses.post(URL, json={"data": {}}, headers={"Date": date})
    assert client.execute(QUERY, {}).dated is None


def test_an_error_that_repeats_the_token_says_it_nowhere_and_a_value_stays(client: MondayClient) -> None:
    failure = failed(f"{TOKEN} may not", "ColumnValueException", ["b"])
    failure["extensions"]["error_data"] = {"column_id": "x", "column_value": TOKEN}
    data = {"a": {"id": TOKEN}, "b": None}
    responses.post(URL, json={"data": data, "errors": [failure]})
    answer = client.execute(MUTATION, {})
    assert answer.data == data
    assert TOKEN not in str([vars(error) for error in answer.errors])
    assert answer.errors[0].message.startswith("[secret] may not")
    responses.post(URL, status=400, json={"errors": [failure]})
    with pytest.raises(errors.MondayError) as refused:
        client.execute(MUTATION, {})
    assert TOKEN not in f"{refused.value} {vars(refused.value)}"


@pytest.mark.parametrize("status", [200, 400])
def test_an_error_that_repeats_a_webhooks_address_says_it_nowhere(client: MondayClient, status: int) -> None:
    url = "https://npd.test/webhooks/monday/secret-part/"
    failure = failed(f"Failed to communicate with URL {url}, token secret-part", "RecordInvalidException")
    responses.post(URL, status=status, json={"data": None, "errors": [failure]})
    with pytest.raises(errors.MondayError, match="Failed to communicate") as refused:
        client.execute(MUTATION, {"url": url})
    nested = [f"{error} {vars(error)}" for error in refused.value.errors]
    assert "secret-part" not in f"{refused.value} {vars(refused.value)} {nested}"


ONE_WRITE = WriteRequest({"text": MUTATION, "variables": {}}, ["r0"], [])
TWO_WRITES = WriteRequest({"text": MUTATION, "variables": {}}, ["r0", "r1"], [])


def test_an_error_alone_is_of_the_one_write_that_was_sent(client: MondayClient) -> None:
    responses.post(URL, json={"data": None, "errors": [failed("Item not found", "InvalidItemIdException", ["r0"])]})
    written = MondayConnector(client).write(ONE_WRITE, "key").by_alias["r0"]
    assert written.kind is errors.ITEM_NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "error", "status"),
    [
        (TWO_WRITES, failed("Item not found", "InvalidItemIdException", ["r0"]), 200),
        (ONE_WRITE, failed("Item not found", "InvalidItemIdException", ["r0"]), 500),
        (ONE_WRITE, failed("Internal server error", "INTERNAL_SERVER_ERROR", ["r0"]), 200),
        (ONE_WRITE, failed("Item not found", "InvalidItemIdException", ["r0", "board"]), 200),
    ],
    ids=["two writes", "server failed", "internal error", "below the write"],
)
def test_otherwise_nobody_knows_what_an_answer_without_data_did(
    client: MondayClient, request_: WriteRequest, error: dict[str, Any], status: int
) -> None:
    responses.post(URL, status=status, json={"errors": [error]})
    with refusal(errors.ANSWER_WITHOUT_DATA):
        MondayConnector(client).write(request_, "key")


@pytest.mark.parametrize(("status", "path"), [(422, ["r1"]), (404, ["r1"]), (500, None), (503, ["r1"])])
def test_one_alias_error_leaves_others_unknown(client: MondayClient, status: int, path: list[str | int] | None) -> None:
    body = {"errors": [failed("Item not found", "InvalidItemIdException", path)]}
    responses.post(URL, status=status, json=body)
    with refusal(errors.ANSWER_WITHOUT_DATA, match="Item not found") as caught:
        client.execute(MUTATION, {})
    assert (caught.value.outcome_unknown, caught.value.http_status) == (True, status)


@pytest.mark.parametrize(
    ("header", "seconds"), [("22", 22.0), ("Wed, 21 Oct 2026 07:28:42 GMT", None), ("²", None), ("9" * 400, 86_400.0)]
)
def test_the_wait_is_the_header_s(client: MondayClient, header: str, seconds: float | None) -> None:
    responses.post(URL, status=429, body="<html>slow down</html>", headers={"Retry-After": header})
    with refusal(errors.LIMIT_REACHED) as caught:
        client.execute(QUERY, {})
    assert caught.value.wait_seconds == seconds


@pytest.mark.parametrize(("wait", "seconds"), [("1e300", 86_400.0), ("9" * 400, 86_400.0), ("-5", 0.0), ("NaN", None)])
def test_an_absurd_wait_is_none_or_a_day(client: MondayClient, wait: str, seconds: float | None) -> None:
    extensions = f'{{"code": "DAILY_LIMIT_EXCEEDED", "retry_in_seconds": {wait}}}'
    responses.post(URL, status=429, body=f'{{"errors": [{{"message": "x", "extensions": {extensions}}}]}}')
    with refusal(errors.DAILY_LIMIT_REACHED) as caught:
        client.execute(QUERY, {})
    assert caught.value.wait_seconds == seconds


POLICY = (
    '"minuteRate";q=5000;w=60, "concurrency";q=250;qu="concurrent-requests", '
    '"complexityMinute";q=5000000;w=60;qu="content-bytes"'
)


@pytest.mark.parametrize(
    ("policy", "expected"), [(POLICY, 5_000_000), ("complexityMinute ; q=7", 7), ('"complexityMinute";q=many', None)]
)
def test_the_points_of_a_minute_are_read_where_a_header_names_them(
    client: MondayClient, policy: str, expected: int | None
) -> None:
    responses.post(URL, json={"data": {}}, headers={"RateLimit-Policy": policy})
    assert client.execute(QUERY, {}).points_limit == expected


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", "{}", '{"errors": [{"message": "no"}]}'])
def test_an_error_without_an_id_in_its_body_bears_the_one_of_the_header(client: MondayClient, body: str) -> None:
    responses.post(URL, status=502, body=body, headers={"X-Request-Id": "req-7"})
    with refusal(errors.SERVER_FAILED, match="req-7"):
        client.execute(QUERY, {})


def test_each_mutation_goes_out_with_a_key_and_no_query_does(client: MondayClient) -> None:
    responses.post(URL, json={"data": {}})
    for document in (MUTATION, MUTATION, QUERY):
        client.execute(document, {})
    first, second, query = (call.request.headers.get("Idempotency-Key") for call in responses.calls)
    assert None not in (first, second)
    assert first != second
    assert query is None


def test_another_versions_answer_is_refused_and_tells_the_account(client: MondayClient) -> None:
    responses.post(URL, json={"data": {"me": {"id": "1"}}}, headers={"API-Version": "2026-07"})
    with refusal(errors.WRONG_VERSION, match="2026-10 was asked for, 2026-07 answered") as caught:
        client.execute(QUERY, {})
    assert caught.value.scope is errors.Scope.ACCOUNT
    account = parse_account_info(caught.value.answer)
    assert (account.user_id, account.version_value) == ("1", "2026-07")


@pytest.mark.parametrize("data", [None, []])
def test_a_limit_in_a_query_s_answer_is_no_empty_answer(client: MondayClient, data: Any) -> None:
    limit = failed("Slow down", "FIELD_LIMIT_EXCEEDED", ["items"], retry_in_seconds=15)
    responses.post(URL, json={"data": data, "errors": [limit]})
    with refusal(errors.LIMIT_REACHED) as caught:
        client.execute(QUERY, {})
    assert (caught.value.wait_seconds, caught.value.path_alias) == (15, "items")


NESTED = pytest.param("[" * 200_000, id="nested")


@pytest.mark.parametrize("body", ["<html>welcome</html>", "[1, 2]", '"text"', "{}", "", NESTED])
def test_a_success_that_is_no_graphql_answer_has_an_unknown_outcome(client: MondayClient, body: str) -> None:
    responses.post(URL, body=body)
    with refusal(errors.UNREADABLE_ANSWER):
        client.execute(MUTATION, {})


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_an_answer_without_end_is_read_to_a_limit_and_unreadable(
    client: MondayClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr("sync.monday.client.MAX_ANSWER_BYTES", 2_000_000)
    text = f'{{"data": {{"me": "{"x" * 60_000_000}"}}}}'.encode()
    responses.post(URL, body=gzip.compress(text) if headers else text, headers=headers)
    tracemalloc.start()
    with refusal(errors.UNREADABLE_ANSWER):
        client.execute(MUTATION, {})
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("body", ["", "<html>Attention Required!</html>"])
def test_a_firewall_s_page_is_no_missing_permission(client: MondayClient, body: str) -> None:
    responses.post(URL, status=403, body=body)
    with refusal(errors.FIREWALL_REJECTED) as caught:
        client.execute(MUTATION, {})
    assert caught.value.outcome_unknown


def test_a_redirect_is_not_followed_with_the_token(client: MondayClient) -> None:
    responses.post(URL, status=307, headers={"Location": "https://elsewhere.test/v2"})
    with refusal(errors.WRONG_ADDRESS):
        client.execute(QUERY, {})
    assert len(responses.calls) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (requests.ConnectTimeout("slow"), errors.UNREACHABLE),
        (requests.exceptions.ProxyError("no proxy"), errors.UNREACHABLE),
        (requests.exceptions.InvalidURL("bad"), errors.UNREACHABLE),
        (requests.ReadTimeout("slow"), errors.TIMED_OUT),
        (requests.ConnectionError("reset"), errors.CONNECTION_LOST),
        (requests.exceptions.ChunkedEncodingError("cut"), errors.CONNECTION_LOST),
    ],
)
def test_a_transport_fault_tells_if_it_ran(client: MondayClient, fault: Exception, expected: errors.ErrorKind) -> None:
    responses.post(URL, body=fault)
    with refusal(expected) as caught:
        client.execute(MUTATION, {})
    assert type(fault).__name__ not in str(caught.value)


def test_a_refused_connection_is_said_in_words() -> None:
    with refusal(errors.UNREACHABLE) as caught:
        MondayClient("http://127.0.0.1:9/v2", TOKEN, version="2026-10").execute(QUERY, {})
    assert "No connection to Monday could be made: it was refused." in str(caught.value)


def test_an_answer_that_trickles_ends_at_the_timeout() -> None:
    stopped = threading.Event()

    def trickle(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
            while not stopped.wait(0.02):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,), daemon=True)
        thread.start()
        client = MondayClient(f"http://127.0.0.1:{listener.getsockname()[1]}/v2", TOKEN, version="2026-10", timeout=0.2)
        with refusal(errors.TIMED_OUT):
            client.execute(MUTATION, {})
        stopped.set()
        thread.join(timeout=5)


@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_log_or_error_has_the_token(client: MondayClient, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    responses.post(URL, status=status, body="not JSON")
    with pytest.raises(errors.MondayError) as caught:
        client.execute(QUERY, {})
    texts = [str(caught.value), repr(caught.value), repr(client), str(vars(client)), caplog.text]
    assert all(TOKEN not in text for text in texts)


@pytest.mark.parametrize("token", ["abc\ndef", "abc\x00", "schlüssel"])
def test_a_token_that_can_t_be_a_header_is_refused_without_being_told(token: str) -> None:
    with pytest.raises(ValueError, match="MONDAY_API_KEY") as caught:
        MondayClient(URL, token, version="2026-10")
    assert token not in str(caught.value)
