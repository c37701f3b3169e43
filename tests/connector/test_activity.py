"""What Monday answers about the activity of a board, and what we make of gaps in it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.monday import board_events
from sync.monday.board_events import (
    NUMBERED_PAGES,
    UNREADABLE_ROW,
    EventKind,
    board_activity_query,
    has_no_values,
    parse_board_activity,
    parse_entry,
    parse_event,
    webhook_bodies,
)
from sync.monday.connector import MondayConnector
from sync.monday.errors import BOARD_NOT_FOUND, LOG_SHAPE_CHANGED, UNREADABLE_ANSWER, ErrorKind, MondayError
from sync.monday.graphql import Answer
from tests.connector.bodies import Replying
from tests.support.refusals import refusal

ROW = {
    "id": "r1",
    "event": "update_column_value",
    "entity": "pulse",
    "user_id": "7",
    "created_at": "17951000001234567",
    "data": json.dumps(
        {
            "board_id": 1,
            "pulse_id": 5,
            "pulse_name": "Ada",
            "column_id": "stage",
            "column_type": "color",
            "value": {"label": {"text": "Done"}},
            "previous_value": None,
        }
    ),
}


def row(**changed: Any) -> dict[str, Any]:
    return ROW | changed


def board(**changed: Any) -> dict[str, Any]:
    node = {
        "id": "1",
        "name": "Contacts",
        "state": "active",
        "items_count": 1,
        "groups": [],
        "columns": [{"id": "stage", "title": "Stage", "type": "status", "archived": False, "settings": {}}],
        "activity_logs": [ROW],
    }
    return node | changed


def answer(node: Any, *errors: MondayError, **more: Any) -> Answer:
    return Answer({"boards": [node], "webhooks": [], "me": {"id": "7"}} | more, errors)


def at(error: ErrorKind, *path: str | int) -> MondayError:
    return MondayError(error, "no", path=path)


def test_a_row_is_an_event_as_its_webhook_would_have_told_it() -> None:
    (body,) = webhook_bodies(parse_entry(ROW), "1")
    event = parse_event(body)
    assert (event.kind, event.item_id, event.column_id, event.column_type) == (EventKind.COLUMN, "5", "stage", "status")
    assert (event.value, event.previous_value, event.user_id) == ({"label": {"text": "Done"}}, None, "7")
    assert (event.trigger_id, event.happened_at) == ("log:r1", datetime(2026, 11, 19, 14, 53, 20, 123000, UTC))


def test_a_batch_of_deletes_is_an_event_an_item() -> None:
    entry = parse_entry(row(event="batch_delete_pulses", data=json.dumps({"pulse_ids": [5, 6]})))
    expected = [(EventKind.DELETED, "5"), (EventKind.DELETED, "6")]
    assert [(parse_event(body).kind, parse_event(body).item_id) for body in webhook_bodies(entry, "1")] == expected


def test_a_batch_of_changes_tells_no_values_and_only_touches_its_items() -> None:
    entry = parse_entry(row(event="batch_change_pulses_column_value", data=json.dumps({"pulse_ids": [5, 6]})))
    assert (list(webhook_bodies(entry, "1")), has_no_values(entry), entry.item_ids) == ([], True, ["5", "6"])


@pytest.mark.parametrize(
    "changed",
    [
        {"entity": "board", "event": "create_column"},
        {"data": json.dumps({"pulse_id": 5, "parent_item_id": 4, "column_id": "stage"})},
        {"event": "create_update"},
        {"event": "subscribe"},
    ],
)
def test_rows_about_nothing_that_a_record_holds_are_no_events(changed: dict[str, Any]) -> None:
    entry = parse_entry(row(**changed))
    assert (list(webhook_bodies(entry, "1")), has_no_values(entry)) == ([], False)


@pytest.mark.parametrize("values", ['{"stage": {"index": 1}}', {"stage": {"index": 1}}, "no json"])
def test_a_new_items_values_may_come_as_text(values: Any) -> None:
    entry = parse_entry(row(event="create_pulse", data={"pulse_id": 5, "column_values_json": values}))
    (body,) = webhook_bodies(entry, "1")
    read = parse_event(body).column_values
    assert read == ({"stage": {"index": 1}} if "stage" in values else {})


@pytest.mark.parametrize(
    "changed", [{"created_at": "2026-11-20"}, {"created_at": "1795100000"}, {"id": None}, {"data": "no json"}]
)
def test_a_row_in_another_form_is_no_row(changed: dict[str, Any]) -> None:
    with refusal(LOG_SHAPE_CHANGED):
        parse_entry(row(**changed))


@pytest.mark.parametrize("log", [{"entries": []}, None, [{"id": "1"}]])
def test_a_log_in_another_shape_is_no_empty_log(log: Any) -> None:
    result = parse_board_activity(answer(board(activity_logs=log)))
    assert result.log is None
    assert result.log_problem


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_in_another_form_hides_no_other_row_nor_that_the_page_is_full(place: int) -> None:
    rows = [row(id="r1"), row(id="r2")]
    rows.insert(place, row(created_at=None))
    log = parse_board_activity(answer(board(activity_logs=rows))).log or []
    assert [entry.id for entry in log if entry.id] == ["r1", "r2"]
    assert (log[place].id, log[place].at, log[place].item_ids) == (UNREADABLE_ROW, log[place - 1].at, ())


@pytest.mark.parametrize("part", ["activity_logs", "columns"])
def test_a_part_that_failed_is_not_one_that_is_empty(part: str) -> None:
    with refusal(UNREADABLE_ANSWER):
        parse_board_activity(answer(board(**{part: None}), at(UNREADABLE_ANSWER, "boards", 0, part)))


def test_webhooks_that_cannot_be_read_are_not_webhooks_that_are_gone() -> None:
    failed = at(UNREADABLE_ANSWER, "webhooks")
    assert parse_board_activity(answer(board(), failed, webhooks=None)).hooks is None


@pytest.mark.parametrize("nodes", [[], [None], [board(state="archived")]])
def test_a_board_that_is_not_shown_or_not_active_tells_nothing(nodes: Any) -> None:
    with refusal(BOARD_NOT_FOUND):
        parse_board_activity(Answer({"boards": nodes}, ()))


MOMENT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


def test_more_rows_of_one_second_than_a_query_gives_hide_no_earlier_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_events, "NUMBERED_PAGES", NUMBERED_PAGES._replace(rows=2))
    monkeypatch.setattr(board_events, "LOG_ROWS", 4)
    second = [answer(board(activity_logs=[row(id=f"{number}a"), row(id=f"{number}b")])) for number in range(4)]
    earlier = answer(board(activity_logs=[row(id="earlier", created_at="17950999990000000")]))
    account = Replying(*second, earlier)
    pages = list(MondayConnector(account).read_log("1", MOMENT))
    assert pages[-1][0].id == "earlier"
    ends = [variables["to"] for _, variables, _ in account.calls]
    assert ends == [None, None, "2026-11-19T14:53:21Z", "2026-11-19T14:53:21Z", "2026-11-19T14:53:20Z"]


def test_times_are_asked_for_by_the_second_in_utc() -> None:
    query = board_activity_query("1", MOMENT.replace(microsecond=999_999), NUMBERED_PAGES)
    assert query.variables["from"] == "2026-11-20T14:00:00Z"


# --- the form of 2027-01 ----------------------------------------------------------------------------------------------


def page(*ids: str, cursor: str | None = None) -> Answer:
    return answer(board(activity_logs={"logs": [row(id=row_id) for row_id in ids], "cursor": cursor}))


def test_a_log_in_pages_with_a_cursor_is_read_to_its_end() -> None:
    account = Replying(page("r1", cursor="c1"), page("r2", cursor="c2"), page("r3"), version="2027-01")
    first = MondayConnector(account).read_activity("1", MOMENT)
    further = list(MondayConnector(account).read_log("1", MOMENT, after=first))
    assert [entry.id for entries in [first.log or [], *further] for entry in entries] == ["r1", "r2", "r3"]
    assert [variables.get("page") for _, variables, _ in account.calls] == [None, "c1", "c2"]
    assert all("$from: String" in document and "logs {" in document for document, _, _ in account.calls)
