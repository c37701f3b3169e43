"""Activity logs: what is written for which event, who sees it when, and the filters."""

import json
from typing import Any

from tests.sandbox.conftest import Simulator

LOGS = """query ($b: [ID!], $f: ISO8601DateTime, $t: ISO8601DateTime, $c: [String], $g: [String], $i: [ID!], $u: [ID!],
  $l: Int, $p: Int) { boards(ids: $b) { activity_logs(from: $f, to: $t, column_ids: $c, group_ids: $g, item_ids: $i,
  user_ids: $u, limit: $l, page: $p) { event entity data user_id created_at } } }"""


def rows(simulator: Simulator, board: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = simulator.data(LOGS, b=[board], **asked)["boards"][0]["activity_logs"]
    return found


def test_each_event_of_an_item_has_its_row_with_its_data(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    simulator.change(board, item, {"role": "Head", "stage": {"label": "Done"}, "name": "Ada L"})
    group = simulator.data('mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old") { id } }', b=board)[
        "create_group"
    ]["id"]
    for action in ("move", "archive", "restore", "delete"):
        simulator.control("actions", {"action": action, "item_id": item, "group_id": group})
    found = rows(simulator, board, l=100)
    by_event: dict[str, Any] = {}
    for row in found:
        by_event.setdefault(row["event"], []).append(json.loads(row["data"]))
    role = next(one for one in by_event["update_column_value"] if one["column_id"] == "role")
    assert (role["value"], role["previous_value"]) == ({"value": "Head"}, {"value": "Buyer"})
    assert (role["column_type"], role["pulse_name"], role["parent_item_id"]) == ("text", "Ada", None)
    assert {"is_rollup_column", "is_undo_action", "action_record_uuid", "parent_board_id"} <= set(role)
    stage = next(one for one in by_event["update_column_value"] if one["column_id"] == "stage")
    assert (stage["column_type"], stage["previous_value"]) == ("color", None)
    assert by_event["update_name"][0]["value"] == {"name": "Ada L"}
    assert by_event["move_pulse_into_group"][0]["dest_group"] == {"id": group, "title": "Old"}
    assert by_event["move_pulse_from_group"][0]["source_group"]["id"] == "topics"
    for event in ("archive_pulse", "restore_pulse", "delete_pulse"):
        assert (by_event[event][0]["value"], by_event[event][0]["previous_value"]) == ({}, {})
    assert by_event["create_pulse"][0]["column_values_json"] == '{"role": {"value": "Buyer"}}'
    assert {row["event"] for row in found if row["entity"] == "board"} == {
        "create_board",
        "create_column",
        "create_group",
    }


def test_rows_can_be_late_as_published_probes_saw(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    simulator.control("activity", {"late_seconds": 45})
    simulator.change(board, item, {"role": "x"})
    assert "update_column_value" not in [row["event"] for row in rows(simulator, board, l=100)]
    simulator.control("clock", {"offset_seconds": 46})
    assert rows(simulator, board, l=1)[0]["event"] == "update_column_value"
