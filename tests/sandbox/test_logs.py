"""Activity logs: what is written for which event, who sees it when, and the filters."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

LOGS = """query ($b: [ID!], $f: ISO8601DateTime, $t: ISO8601DateTime, $c: [String], $g: [String], $i: [ID!], $u: [ID!],
  $l: Int, $p: Int) { boards(ids: $b) { activity_logs(from: $f, to: $t, column_ids: $c, group_ids: $g, item_ids: $i,
  user_ids: $u, limit: $l, page: $p) { event entity data user_id created_at } } }"""


def rows(simulator: Simulator, board: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = simulator.data(LOGS, b=[board], **asked)["boards"][0]["activity_logs"]
    return found


def events(simulator: Simulator, board: str, **asked: Any) -> list[str]:
    return [row["event"] for row in rows(simulator, board, **asked)]


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
    assert (role["column_type"], role["textual_value"], role["pulse_name"]) == ("text", "Head", "Ada")
    stage = next(one for one in by_event["update_column_value"] if one["column_id"] == "stage")
    assert (stage["column_type"], stage["previous_value"]) == ("color", None)
    assert by_event["update_name"][0]["value"] == {"name": "Ada L"}
    assert by_event["move_pulse_into_group"][0]["dest_group"] == {"id": group, "title": "Old"}
    assert by_event["move_pulse_from_group"][0]["source_group"]["id"] == "topics"
    for event in ("archive_pulse", "restore_pulse", "delete_pulse"):
        assert (by_event[event][0]["value"], by_event[event][0]["previous_value"]) == ({}, {})
    assert by_event["create_pulse"][0]["column_values_json"] == {"role": {"value": "Buyer"}}
    assert {row["event"] for row in found if row["entity"] == "board"} == {
        "create_board",
        "create_column",
        "create_group",
    }


def test_filters_leave_rows_out_but_board_rows_pass_the_one_on_items(simulator: Simulator, board: str) -> None:
    ada, bo = simulator.item(board, "Ada"), simulator.item(board, "Bo")
    simulator.change(board, ada, {"role": "x"})
    simulator.control(
        "actions", {"action": "edit", "user_id": 67210012, "item_id": bo, "column_id": "amount", "text": "5"}
    )
    pulses = [row for row in rows(simulator, board, i=[ada], l=100) if row["entity"] == "pulse"]
    assert [row["event"] for row in pulses] == ["update_column_value", "create_pulse"]
    assert "create_column" in events(simulator, board, i=[ada], l=100)
    assert events(simulator, board, c=["role"], i=[ada]) == ["update_column_value", "create_column"]
    assert [row["user_id"] for row in rows(simulator, board, u=["67210012"])] == ["67210012"]
    assert set(events(simulator, board, g=["topics"])) == {"update_column_value", "create_pulse"}


def test_pages_go_from_the_newest_row_to_the_oldest(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    for number in range(5):
        simulator.change(board, item, {"amount": str(number)})
    values = [
        json.loads(row["data"])["textual_value"]
        for page in (1, 2, 3)
        for row in rows(simulator, board, c=["amount"], i=[item], l=2, p=page)
        if row["event"] == "update_column_value"
    ]
    assert values == ["4", "3", "2", "1", "0"]
    stamps = [int(row["created_at"]) for row in rows(simulator, board, l=100)]
    assert stamps == sorted(stamps, reverse=True)
    assert all(len(str(stamp)) == 17 for stamp in stamps)


def test_times_bound_what_is_shown(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "early")
    simulator.control("clock", {"offset_seconds": 3600})
    simulator.change(board, item, {"role": "late"})
    between = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 1800, UTC).isoformat()
    assert events(simulator, board, f=between) == ["update_column_value"]
    assert "update_column_value" not in events(simulator, board, t=between, l=100)


@pytest.mark.parametrize("late", [45])
def test_rows_can_be_late_as_published_probes_saw(simulator: Simulator, board: str, late: int) -> None:
    item = simulator.item(board)
    simulator.control("activity", {"late_seconds": late})
    simulator.change(board, item, {"role": "x"})
    assert "update_column_value" not in events(simulator, board, l=100)
    simulator.control("clock", {"offset_seconds": late + 1})
    assert events(simulator, board, l=1) == ["update_column_value"]


def test_what_changes_nothing_is_not_logged(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="Buyer")
    before = len(rows(simulator, board, l=100))
    simulator.change(board, item, {"role": "Buyer", "name": "Ada"})
    assert len(rows(simulator, board, l=100)) == before
