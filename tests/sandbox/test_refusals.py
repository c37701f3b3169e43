"""Of what is refused nothing stays, not even until a restart; and nonsense is refused before it is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Process, Receiver, Simulator
from tests.support.waiting import wait_for

COUNT = "query ($b: [ID!]) { boards(ids: $b) { items_count columns { id } } }"
LOGS = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(%s) { event } } }"


def count(simulator: Simulator, board: str) -> int:
    found: int = simulator.data(COUNT, b=[board])["boards"][0]["items_count"]
    return found


def test_of_items_put_on_a_board_together_none_stays_when_one_is_refused(
    simulator: Simulator, receiver: Receiver
) -> None:
    board = simulator.board({"role": "text"})
    simulator.subscribe(board, receiver.url, "create_item")
    rows = [{"name": "Ada", "values": {"role": "Buyer"}}, {"name": "Bo", "values": {"nowhere": "x"}}]
    answer = simulator.session.post(
        f"{simulator.url}/_control/items", json={"board_id": int(board), "items": rows, "webhooks": True}, timeout=10
    )
    assert answer.status_code == 400
    assert count(simulator, board) == 0
    events = simulator.data(LOGS % "limit: 50", b=[board])["boards"][0]["activity_logs"]
    assert "create_pulse" not in [row["event"] for row in events]
    last = simulator.item(board, "Cy")
    assert [event["pulseId"] for event in receiver.wait()] == [int(last)]


@pytest.mark.parametrize("arguments", ["limit: -5", "limit: 0", "limit: 2, page: 0"])
def test_pages_that_cannot_be_are_refused_everywhere(simulator: Simulator, board: str, arguments: str) -> None:
    logs = LOGS % arguments
    for document in (f"{{ boards({arguments}) {{ id }} }}", f"{{ items({arguments}) {{ id }} }}"):
        assert simulator.refusal(document)["extensions"]["code"] == "InvalidArgumentException"
    assert simulator.refusal(logs, b=[board])["extensions"]["code"] == "InvalidArgumentException"


def test_an_id_is_only_what_monday_writes_as_one(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    spellings = [f" {item}", f"{item[:1]}_{item[1:]}", f"+{item}"]
    assert simulator.data("query ($i: [ID!]) { items(ids: $i) { id } }", i=spellings)["items"] == []
    error = simulator.refusal('mutation { archive_item(item_id: "abc") { id } }')
    assert error["extensions"]["error_data"] == {"item_id": None}


def test_a_query_by_get_is_answered_as_monday_does_since_2025_08(simulator: Simulator) -> None:
    answer = simulator.session.get(
        f"{simulator.url}/v2", params={"query": "{ me { id } }"}, headers={"Authorization": TOKEN}, timeout=10
    )
    (error,) = answer.json()["errors"]
    assert answer.status_code == 400
    assert error["extensions"]["code"] == "INVALID_GRAPHQL_REQUEST"
    assert error["extensions"]["details"] == "Request body must be a JSON with query."


def test_versions_of_old_are_served_by_maintenance_and_those_that_never_were_by_the_current(
    simulator: Simulator,
) -> None:
    answers = {
        asked: simulator.post("{ version { value } }", API_Version=asked)
        for asked in ("2024-10", "2025-01", "2025-07", "2026-01", "2024-02", "2027-04")
    }
    served = {asked: answer.headers["API-Version"] for asked, answer in answers.items()}
    assert served == dict.fromkeys(answers, "2026-07") | {"2024-02": "2026-10", "2027-04": "2026-10"}
    assert served == {asked: answer.json()["data"]["version"]["value"] for asked, answer in answers.items()}


@pytest.mark.parametrize(
    "document", ["{ nothing }", "{ me(nothing: 1) { id } }", "query ($n: Int!) { items(limit: $n) { id } }"]
)
def test_an_invalid_document_is_refused_in_the_form_of_the_version_that_was_asked_for(
    simulator: Simulator, document: str
) -> None:
    # Before 2025-10 with HTTP 400 and a code (community 116967), since then as recorded by monday_ruby on 2025-10-27.
    before = simulator.post(document, API_Version="2025-07")
    assert (before.status_code, before.headers["API-Version"]) == (400, "2026-07")
    assert {error["extensions"]["code"] for error in before.json()["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
    for asked in ("2025-10", "2026-07", "2026-10", ""):
        since = simulator.post(document, API_Version=asked)
        assert (since.status_code, "API-Version" in since.headers) == (200, False)
        assert set(since.json()) == {"errors", "extensions"}
        assert [error.get("extensions") for error in since.json()["errors"]] == [None]


def test_an_unknown_field_is_refused_in_monday_s_words(simulator: Simulator) -> None:
    refused = simulator.refusal("{ items(ids: [1]) { invalid_field } }")  # monday_ruby, 2025-10-27
    assert refused["message"] == 'Cannot query field "invalid_field" on type "Item".'


def test_a_document_that_can_t_be_parsed_is_refused_with_more_than_one_entry(simulator: Simulator) -> None:
    answer = simulator.post("{ me { id }")  # the words as in community 106532, 109054
    assert answer.status_code == 400
    errors = answer.json()["errors"]
    assert len(errors) > 1
    assert {error["extensions"]["code"] for error in errors} == {"PARSING_ERROR"}
    assert all(error["message"].startswith("parsing error: syntax error: ") for error in errors)


def test_an_id_of_the_request_is_the_same_in_header_and_body_but_without_a_token_there_is_none(
    simulator: Simulator,
) -> None:
    for document in ("{ me { id } }", "{ nothing }", "{ me { id }", "mutation { delete_item(item_id: 5) { id } }"):
        answer = simulator.post(document)
        assert answer.headers["X-Request-Id"] == answer.json()["extensions"]["request_id"]
    refused = simulator.post("{ me { id } }", Authorization="wrong")
    assert set(refused.json()) == {"errors"}
    assert not {"X-Request-Id", "API-Version"} & set(refused.headers)


def test_a_failure_of_monday_s_own_answers_no_data_and_another_key_for_its_code(simulator: Simulator) -> None:
    document = 'mutation { archive_group(board_id: "nothing", group_id: "nothing") { id } }'  # monday_ruby, 2025-10-24
    answer = simulator.post(document)
    failed = {"status_code": 500, "error_code": "INTERNAL_SERVER_ERROR", "service": "monolith"}
    assert answer.status_code == 200
    assert answer.json()["data"] is None
    assert answer.json()["errors"] == [{"message": "Internal server error", "path": [], "extensions": failed}]


def test_a_request_that_fails_as_a_whole_is_answered_in_the_old_form_and_named_in_the_header(
    simulator: Simulator,
) -> None:
    simulator.control("faults", {"status": 500})
    answer = simulator.post("{ me { id } }")  # monday_ruby, 2025-11-19
    failed = {"status_code": 500, "error_code": "INTERNAL_SERVER_ERROR"}
    entry = {"message": "Internal server error", "extensions": failed}
    assert (answer.status_code, "X-Request-Id" in answer.headers) == (500, True)
    assert answer.json() == {**failed, "error_message": "Internal server error", "errors": [entry]}


def test_a_group_that_isn_t_there_is_forbidden_to_archive(simulator: Simulator) -> None:
    board = simulator.board({})
    document = 'mutation ($b: ID!) { archive_group(board_id: $b, group_id: "nothing") { id } }'
    refused = simulator.refusal(document, b=board)
    told = {"code": "USER_UNAUTHORIZED", "status_code": 403, "error_data": {}, "service": "monolith"}
    assert (refused["message"], refused["extensions"]) == ("User unauthorized to perform action", told)


def test_no_webhook_tells_of_an_item_that_a_killed_sandbox_forgets(
    start: Callable[..., Process], receiver: Receiver, tmp_path: Path
) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({})
    one.subscribe(board, receiver.url, "create_item")
    fields = " ".join(f'r{n}: create_item(board_id: "{board}", item_name: "x") {{ id }}' for n in range(160))
    # The body goes out, the answer is not waited for: the kill comes as soon as the first webhook does.
    with pytest.raises(requests.RequestException):
        one.session.post(
            f"{one.url}/v2",
            json={"query": f"mutation {{ {fields} }}"},
            headers={"Authorization": TOKEN},
            timeout=(5, 0.01),
        )
    wait_for("the first webhook", lambda: receiver.got, 120)
    one.stop(kill=True)
    told = {str(event["pulseId"]) for event in receiver.wait()}
    one.start()
    kept = {item["id"] for found in one.read("boards") for item in found["items"]}
    assert told <= kept
