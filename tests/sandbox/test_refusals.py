"""Of what is refused nothing stays, not even until a restart; and nonsense is refused before it is kept."""

import pytest

from tests.sandbox.conftest import TOKEN, Simulator

LOGS = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(%s) { event } } }"


@pytest.mark.parametrize("arguments", ["limit: -5", "limit: 0", "limit: 2, page: 0"])
def test_pages_that_cannot_be_are_refused_everywhere(simulator: Simulator, board: str, arguments: str) -> None:
    logs = LOGS % arguments
    for document in (f"{{ boards({arguments}) {{ id }} }}", f"{{ items({arguments}) {{ id }} }}"):
        assert simulator.refusal(document)["extensions"]["code"] == "InvalidArgumentException"
    assert simulator.refusal(logs, b=[board])["extensions"]["code"] == "InvalidArgumentException"


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


def test_an_id_of_the_request_is_the_same_in_header_and_body_but_without_a_token_there_is_none(
    simulator: Simulator,
) -> None:
    for document in ("{ me { id } }", "{ nothing }", "{ me { id }", "mutation { delete_item(item_id: 5) { id } }"):
        answer = simulator.post(document)
        assert answer.headers["X-Request-Id"] == answer.json()["extensions"]["request_id"]
    refused = simulator.post("{ me { id } }", Authorization="wrong")
    assert set(refused.json()) == {"errors"}
    assert not {"X-Request-Id", "API-Version"} & set(refused.headers)
