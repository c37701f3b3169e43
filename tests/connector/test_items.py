"""Reading answers: unknown is never empty, and a part that failed is not a part that found nothing."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.board_items import ItemWrite
from sync.monday.connector import MondayConnector
from sync.monday.errors import translate_error
from sync.monday.graphql import Answer
from sync.monday.item_documents import parse_batch, parse_items, parse_items_at, parse_written_items, prepare_creates
from tests.connector.bodies import COLUMN_IDS, Replying, column, failed, item
from tests.support.refusals import refusal


def _answer(data: dict[str, Any], *failures: dict[str, Any]) -> Answer:
    return Answer(data=data, errors=tuple(translate_error(entry) for entry in failures), request_id="req-1")


def test_a_board_that_is_null_once_is_asked_for_once_more() -> None:
    active = _answer({"board": [{"id": "7", "state": "active"}], "linked": []})
    monday = Replying(_answer({"board": [None], "linked": []}), active)
    assert not MondayConnector(monday).read_batch("7", ["11"], {}, COLUMN_IDS).by_id
    monday = Replying(_answer({"boards": [None]}), _answer({"boards": [None]}), active)
    assert MondayConnector(monday).read_boards(["7"]) == {}
    assert len(monday.answers) == 1, "null twice is no board"


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([], "column_not_shown"),
        ([column("email_1", "mirror", None)], "'mirror'"),
        ([column("email_1", "email", "{broken")], "not_json"),
    ],
)
def test_what_can_t_be_read_is_unknown_with_a_reason_and_not_empty(columns: list[dict[str, Any]], code: str) -> None:
    (read,) = parse_items_at([item(columns=columns)], COLUMN_IDS)
    assert not read.reading("email_1").is_known
    assert code in read.reading("email_1").reason


@pytest.mark.parametrize("deeper", [[], ["value"]])
def test_an_error_at_one_value_makes_that_value_alone_unknown(deeper: list[str | int]) -> None:
    columns = [column("npd_id", "text", '"n-1"'), column("email_1", "email", None)]
    failure = failed("Concurrency limit", "FIELD_LIMIT_EXCEEDED", ["linked", 0, "column_values", 1, *deeper])
    (read,) = parse_items(_answer({"linked": [item(columns=columns)]}, failure), COLUMN_IDS)
    assert not read.reading("email_1").is_known
    assert "Concurrency limit" in read.reading("email_1").reason
    assert read.reading("npd_id").is_known


def test_an_error_at_an_item_s_values_makes_all_of_that_item_s_unknown() -> None:
    failure = failed("blocked", "tooManyRequests", ["linked", 0, "column_values"])
    blind = item("11") | {"column_values": None}
    first, second = parse_items(_answer({"linked": [blind, item("12")]}, failure), COLUMN_IDS)
    assert [first.reading(column_id).is_known for column_id in COLUMN_IDS] == [False, False, False]
    assert "blocked" in first.reading("npd_id").reason
    assert second.reading("npd_id").is_known


def test_a_hole_in_a_list_doesn_t_shift_the_errors_of_its_neighbours() -> None:
    failure = failed("blocked", "tooManyRequests", ["linked", 1, "column_values", 0])
    (read,) = parse_items(_answer({"linked": [None, item("12")]}, failure), COLUMN_IDS)
    assert not read.reading("npd_id").is_known


@pytest.mark.parametrize("deeper", [[], ["column_values"], ["column_values", 0, "value"]])
def test_an_item_that_an_error_left_out_is_not_an_item_that_is_gone(deeper: list[str | int]) -> None:
    """`column_values` is non-null in Monday's schema, so an error in it nulls the whole item."""
    failure = failed("blocked", "tooManyRequests", ["linked", 0, *deeper])
    with refusal(errors.LIMIT_REACHED):
        parse_items(_answer({"linked": [None, item("12")]}, failure), COLUMN_IDS)
    page = {"cursor": None, "items": [None]}
    failure = failed("Internal server error", "INTERNAL_SERVER_ERROR", ["by_npd_id", "items", 0, *deeper])
    with refusal(errors.SERVER_FAILED):
        parse_batch(_answer({"by_npd_id": page}, failure), COLUMN_IDS)


def test_a_look_gives_each_part_and_the_cursor_of_a_part_with_more() -> None:
    result = parse_batch(
        _answer(
            {
                "linked": [item("11")],
                "by_npd_id": {"cursor": "more", "items": [item("12")]},
                "by_match": [{"items_page": {"cursor": None, "items": [item("13")]}}],
            }
        ),
        COLUMN_IDS,
    )
    assert list(result.by_id) == ["11"]
    assert [item.id for item in result.by_npd_id] == ["12"]
    assert [item.id for item in result.by_match] == ["13"]
    assert result.cursors == {"by_npd_id": "more"}


def test_a_listing_whose_cursor_expires_begins_again_and_gives_each_item_once() -> None:
    def first(*ids: str) -> Answer:
        page = {"cursor": "more", "items": [item(item_id) for item_id in ids]}
        return _answer({"page": [{"state": "active", "items_page": page}]})

    last = _answer({"page": {"cursor": None, "items": [item("13")]}})
    expired = _answer({"page": None}, failed("The cursor is expired", "CursorExpiredError", ["page"]))
    monday = MondayConnector(Replying(first("11"), expired, first("11", "12"), last))
    pages = [[read.id for read in page] for page in monday.list_items("7", COLUMN_IDS)]
    assert pages == [["11"], ["12"], ["13"]]
    for_ever = Replying(*[first("11"), expired] * 9)
    with refusal(errors.CURSOR_EXPIRED):
        list(MondayConnector(for_ever).list_items("7", COLUMN_IDS))


@pytest.mark.parametrize("part", ["linked", "by_npd_id", "by_match"])
def test_a_part_that_failed_is_raised_and_not_taken_for_nothing_found(part: str) -> None:
    data = {"linked": [], "by_npd_id": {"cursor": None, "items": []}} | {part: None}
    failure = failed("The board does not exist", "InvalidBoardIdException", [part])
    with refusal(errors.BOARD_NOT_FOUND):
        parse_batch(_answer(data, failure), COLUMN_IDS)
    with refusal(errors.UNREADABLE_ANSWER):
        parse_batch(_answer(data), COLUMN_IDS)


@pytest.mark.parametrize(
    ("board", "path"), [({"items_page": None}, ["by_match", 0, "items_page"]), (None, ["by_match", 0])]
)
def test_a_list_that_failed_inside_a_part_is_raised(board: Any, path: list[str | int]) -> None:
    failure = failed("blocked", "tooManyRequests", path)
    with refusal(errors.LIMIT_REACHED):
        parse_batch(_answer({"by_match": [board]}, failure), COLUMN_IDS)


def test_a_search_on_a_board_that_isn_t_answered_is_not_nothing_found() -> None:
    with refusal(errors.UNREADABLE_ANSWER):
        parse_batch(_answer({"by_match": []}), COLUMN_IDS)


def test_each_written_alias_has_its_item_its_error_or_an_unknown_outcome() -> None:
    failure = failed("email is not valid", "ColumnValueException", ["u1"])
    written = parse_written_items(
        _answer({"u0": item("11"), "u1": None, "u2": None}, failure), ["u0", "u1", "u2"], COLUMN_IDS
    )
    assert getattr(written["u0"], "id", None) == "11"
    assert written["u1"].kind is errors.FIELD_REJECTED
    assert written["u2"].outcome_unknown


def test_a_write_whose_item_can_t_be_read_afterwards_has_an_unknown_outcome() -> None:
    """The mutation ran, but an error in the non-null `column_values` of its item nulls the alias."""
    failure = failed("blocked", "FIELD_LIMIT_EXCEEDED", ["r0", "column_values"], retry_in_seconds=15)
    written = parse_written_items(_answer({"r0": None}, failure), ["r0"], COLUMN_IDS)["r0"]
    assert written.kind is errors.UNREADABLE_ANSWER
    assert written.outcome_unknown
    assert "Blocked" in written.sentence


@pytest.mark.parametrize("value", ['"a\\u0000b"', '"half an emoji: \\ud83d"', '{"deep": ["\\udc00"]}'])
def test_what_the_raw_value_escapes_must_be_storable_too(value: str) -> None:
    (read,) = parse_items_at([item(columns=[column("t", "text", value, "harmless")])], ["t"])
    assert not read.reading("t").is_known
    assert "unstorable" in read.reading("t").reason


def test_a_text_that_only_looks_like_an_escaped_nul_is_known() -> None:
    text = "write \\u0000 for NUL"
    (read,) = parse_items_at([item(columns=[column("t", "text", json.dumps(text), text)])], ["t"])
    assert read.reading("t").value == text


def test_an_item_that_doesn_t_tell_its_state_is_not_one_that_is_gone() -> None:
    failure = failed("blocked", "tooManyRequests", ["linked", 0, "state"])
    with refusal(errors.LIMIT_REACHED):
        parse_items(_answer({"linked": [item("11", state=None)]}, failure), COLUMN_IDS)
    with refusal(errors.UNREADABLE_ANSWER, match="active"):
        parse_items(_answer({"linked": [item("11", state=None)]}), COLUMN_IDS)


@pytest.mark.parametrize("items", [None, [None], [item("11"), None]])
def test_a_page_with_items_left_out_is_not_a_page_with_fewer(items: Any) -> None:
    with refusal(errors.UNREADABLE_ANSWER, match="left items out"):
        parse_batch(_answer({"by_npd_id": {"cursor": None, "items": items}}), COLUMN_IDS)


def test_a_write_that_was_stored_as_json_is_sent_again_as_it_was() -> None:
    sent = Answer({"r0": item("11")}, request_id="req-1")
    monday = Replying(sent, replace(sent, replayed=True))
    request = prepare_creates("1", None, [ItemWrite("r0", {"name": "Ann", "email": {"email": "ann@example.com"}})], [])
    first = MondayConnector(monday).write(request, "key")
    again = MondayConnector(monday).write(replace(request, body=json.loads(json.dumps(request.body))), "key")
    assert monday.calls[0] == monday.calls[1]
    assert (first.replayed, again.replayed, again.request_id) == (False, True, "req-1")
