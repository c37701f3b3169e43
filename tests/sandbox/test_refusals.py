"""Of what is refused nothing stays, not even until a restart; and nonsense is refused before it is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Receiver, Simulator, wait_until

SUBITEM = """mutation ($p: ID!, $v: JSON) { create_subitem(parent_item_id: $p, item_name: "Part", column_values: $v) {
  id board { id } } }"""
STARTED = """mutation ($b: ID!) { ingest_items(board_id: $b, group_id: "topics") { job_id upload_url } }"""
STATUS = """query ($j: ID!) { fetch_job_status(job_id: $j) { ... on ItemsJobStatus {
  status counts { created failed invalid } } } }"""
COUNT = "query ($b: [ID!]) { boards(ids: $b) { items_count columns { id } } }"
LOGS = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(%s) { event } } }"


def count(simulator: Simulator, board: str) -> int:
    found: int = simulator.data(COUNT, b=[board])["boards"][0]["items_count"]
    return found


def test_a_first_subitem_that_is_refused_leaves_no_board_behind(
    start: Callable[..., Simulator], tmp_path: Path
) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({})
    item = one.item(board)
    before = one.read("boards")
    assert one.refusal(SUBITEM, p=item, v=json.dumps({"nowhere": "x"}))
    assert one.read("boards") == before
    made = one.data(SUBITEM, p=item, v="{}")["create_subitem"]
    one.stop(kill=True)
    one.start()
    assert {b["id"] for b in one.read("boards")} == {board, made["board"]["id"]}


def test_of_items_put_on_a_board_together_none_stays_when_one_is_refused(
    simulator: Simulator, receiver: Receiver
) -> None:
    board = simulator.board({"role": "text"})
    simulator.subscribe(board, receiver.url, "create_item")
    rows = [{"name": "Ada", "values": {"role": "Buyer"}}, {"name": "Bo", "values": {"nowhere": "x"}}]
    answer = simulator.session.post(
        f"{simulator.url}/_control/items",
        json={"board_id": int(board), "items": rows, "webhooks": True},
        timeout=10,
    )
    assert answer.status_code == 400
    assert count(simulator, board) == 0
    events = simulator.data(LOGS % "limit: 50", b=[board])["boards"][0]["activity_logs"]
    assert "create_pulse" not in [row["event"] for row in events]
    last = simulator.item(board, "Cy")
    assert [event["pulseId"] for event in receiver.wait()] == [int(last)]


def test_settings_stay_as_they_were_when_the_title_beside_them_is_refused(simulator: Simulator) -> None:
    board = simulator.board({"stage": "status"})
    document = """mutation ($b: ID!, $s: JSON) { update_column(board_id: $b, id: "stage", column_type: status,
      revision: "1", title: "", settings: $s) { id } }"""
    assert simulator.refusal(document, b=board, s={"labels": {"1": "Only"}})
    item = simulator.item(board, stage="Stuck")
    assert simulator.cell(item, "stage")["label"] == "Stuck"


def test_a_group_is_not_lost_when_it_is_put_beside_itself(simulator: Simulator) -> None:
    board = simulator.board({})
    document = """mutation ($b: ID!, $a: GroupAttributes!, $v: String!) { update_group(board_id: $b,
      group_id: "topics", group_attribute: $a, new_value: $v) { id } }"""
    assert simulator.refusal(document, b=board, a="relative_position_after", v="topics")
    assert simulator.refusal(document, b=board, a="position", v="nan")
    assert simulator.item(board)


def test_an_import_into_a_board_that_filled_up_meanwhile_says_which_rows_failed(
    simulator: Simulator, receiver: Receiver
) -> None:
    board = simulator.board({})
    simulator.subscribe(board, receiver.url, "create_item")
    job = simulator.data(STARTED, b=board)["ingest_items"]
    simulator.control("ingest", {"hold": "processing"})
    text = "name\n" + "".join(f"row {n}\n" for n in range(5))
    put = requests.put(job["upload_url"], data=text, headers={"Content-Type": "text/csv"}, timeout=10)
    assert put.ok

    def status() -> Any:
        return simulator.data(STATUS, j=job["job_id"])["fetch_job_status"]

    wait_until(lambda: status()["status"] == "PROCESSING", "the import holds")
    simulator.control("boards", {"board_id": int(board), "items_limit": 2})
    simulator.control("ingest", {})
    wait_until(lambda: status()["status"] == "COMPLETED", "the import ends")
    assert status()["counts"] == {"created": 2, "failed": 3, "invalid": 0}
    assert count(simulator, board) == 2
    assert len(receiver.wait(2)) == 2


@pytest.mark.parametrize("label", ["2024", "1"])
def test_a_label_that_is_a_number_is_imported_and_moved_by_its_words(
    simulator: Simulator, label: str
) -> None:
    settings = {"labels": {"1": "Wrong", "7": label}}
    create = """mutation ($b: ID!, $d: JSON) { create_column(board_id: $b, id: "stage", title: "Stage",
      column_type: status, defaults: $d) { id } }"""
    board, other = simulator.board({}), simulator.board({})
    simulator.data(create, b=board, d=settings)
    simulator.data(create, b=other, d={"labels": {"1": "Wrong", "3": label}})
    job = simulator.data(STARTED, b=board)["ingest_items"]
    requests.put(
        job["upload_url"], data=f"name,stage\nAda,{label}\n", headers={"Content-Type": "text/csv"}, timeout=10
    )
    wait_until(
        lambda: simulator.data(STATUS, j=job["job_id"])["fetch_job_status"]["status"] == "COMPLETED", "done"
    )
    (item,) = next(one["items"] for one in simulator.read("boards") if one["id"] == board)
    assert simulator.cell(item["id"], "stage")["index"] == 7
    simulator.data(
        'mutation ($i: ID!, $b: ID!) { move_item_to_board(board_id: $b, group_id: "topics", item_id: $i) { id } }',
        i=item["id"],
        b=other,
    )
    assert simulator.cell(item["id"], "stage")["index"] == 3


@pytest.mark.parametrize(
    ("column_type", "defaults"),
    [
        ("numbers", {"unit": "EUR"}),
        ("numbers", {"precision": True}),
        ("status", {"done_colors": 5}),
        ("status", {"labels": "abc"}),
        ("dropdown", {"labels": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}),
        ("rating", {"limit": "many"}),
        ("subtasks", {"boardIds": [5]}),
    ],
)
def test_settings_that_no_cell_could_be_read_by_are_refused(
    simulator: Simulator, column_type: str, defaults: Any
) -> None:
    board = simulator.board({})
    create = """mutation ($b: ID!, $t: ColumnType!, $d: JSON) { create_column(board_id: $b, title: "C",
      column_type: $t, defaults: $d) { id } }"""
    error = simulator.refusal(create, b=board, t=column_type, d=json.dumps(defaults))
    assert error["extensions"]["code"] == "InvalidArgumentException"
    item = simulator.item(board)
    assert simulator.data("query ($i: [ID!]) { items(ids: $i) { column_values { text } } }", i=[item])


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("amount", "1_000"),
        ("amount", " 42 "),
        ("amount", "１２"),
        ("kinds", {"labels": [["z"]]}),
        ("kinds", {"labels": [None]}),
        ("kinds", {"labels": [" "]}),
        ("kinds", "1, a"),
        ("stage", {"label": " "}),
    ],
)
def test_a_value_that_nobody_meant_is_refused_and_makes_no_label(
    simulator: Simulator, board: str, column: str, given: Any
) -> None:
    item = simulator.item(board)
    document = """mutation ($b: ID!, $i: ID!, $v: JSON!) { change_multiple_column_values(board_id: $b, item_id: $i,
      column_values: $v, create_labels_if_missing: true) { id } }"""
    error = simulator.refusal(document, b=board, i=item, v=json.dumps({column: given}))
    assert error["extensions"]["code"] == "ColumnValueException"


@pytest.mark.parametrize("arguments", ["limit: -5", "limit: 0", "limit: 2, page: 0"])
def test_pages_that_cannot_be_are_refused_everywhere(
    simulator: Simulator, board: str, arguments: str
) -> None:
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


def test_half_an_address_is_no_webhook_s_address(simulator: Simulator, board: str) -> None:
    create = """mutation ($b: ID!, $u: String!) { create_webhook(board_id: $b, url: $u, event: create_item) { id } }"""
    for url in ("http://[", "http://"):
        assert simulator.refusal(create, b=board, u=url)["extensions"]["code"] == "InvalidArgumentException"


def test_a_query_by_get_is_answered_as_monday_does_since_2025_08(simulator: Simulator) -> None:
    answer = simulator.session.get(
        f"{simulator.url}/v2", params={"query": "{ me { id } }"}, headers={"Authorization": TOKEN}, timeout=10
    )
    (error,) = answer.json()["errors"]
    assert answer.status_code == 400
    assert error["extensions"]["code"] == "INVALID_GRAPHQL_REQUEST"
    assert error["extensions"]["details"] == "Request body must be a JSON with query."


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("2024-10", "2026-07"),
        ("2025-07", "2026-07"),
        ("2026-01", "2026-07"),
        ("2024-02", "2026-10"),
        ("2027-04", "2026-10"),
    ],
)
def test_versions_of_old_are_served_by_maintenance_and_those_that_never_were_by_the_current(
    simulator: Simulator, asked: str, served: str
) -> None:
    answer = simulator.post("{ version { value } }", API_Version=asked)
    assert answer.headers["API-Version"] == answer.json()["data"]["version"]["value"] == served


def test_a_refusal_too_names_the_version_that_was_asked_for(simulator: Simulator) -> None:
    answer = simulator.post("{ nothing }", API_Version="2026-07")
    assert (answer.status_code, answer.headers["API-Version"]) == (400, "2026-07")


def test_a_rule_without_an_operator_looks_for_any_of_its_values(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    simulator.item(board, "Bo")
    document = "query ($b: [ID!], $q: ItemsQuery) { boards(ids: $b) { items_page(query_params: $q) { items { id } } } }"
    rule = {"column_id": "role", "compare_value": ["Buyer"], "operator": None}
    found = simulator.data(document, b=[board], q={"rules": [rule]})["boards"][0]["items_page"]["items"]
    assert found == [{"id": item}]


def test_no_webhook_tells_of_an_item_that_a_killed_sandbox_forgets(
    start: Callable[..., Simulator], receiver: Receiver, tmp_path: Path
) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({})
    one.subscribe(board, receiver.url, "create_item")
    fields = " ".join(f'r{n}: create_item(board_id: "{board}", item_name: "x") {{ id }}' for n in range(400))
    # The body goes out, the answer is not waited for: the kill comes as soon as the first webhook does.
    with pytest.raises(requests.RequestException):
        one.session.post(
            f"{one.url}/v2",
            json={"query": f"mutation {{ {fields} }}"},
            headers={"Authorization": TOKEN},
            timeout=(5, 0.01),
        )
    wait_until(lambda: receiver.got, "the first webhook", 20)
    one.stop(kill=True)
    told = {str(event["pulseId"]) for event in receiver.wait()}
    one.start()
    kept = {item["id"] for found in one.read("boards") for item in found["items"]}
    assert told <= kept


@pytest.mark.parametrize(
    "config", [{"columnValue": 5}, {"columnId": "role"}, {"columnId": "nowhere"}, {"columnId": 5}]
)
def test_a_webhook_on_a_status_that_could_never_be_meant_is_refused(
    simulator: Simulator, board: str, receiver: Receiver, config: Any
) -> None:
    create = """mutation ($b: ID!, $u: String!, $c: JSON) { create_webhook(board_id: $b, url: $u, config: $c,
      event: change_status_column_value) { id } }"""
    error = simulator.refusal(create, b=board, u=receiver.url, c=json.dumps(config))
    assert error["extensions"]["code"] == "InvalidArgumentException"
