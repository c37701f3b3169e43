"""Reading answers: unknown is never empty, and a part that failed is never a part that found nothing."""

from typing import Any

import pytest

from sync.connectors.monday import errors
from sync.connectors.monday.answers import Answer
from sync.connectors.monday.codes import error_from
from sync.connectors.monday.documents import items_from, parse_items, parse_look, parse_page, parse_written
from tests.connector.bodies import COLUMN_IDS, column, failed, item


def _answer(data: dict[str, Any], *failures: dict[str, Any]) -> Answer:
    return Answer(data=data, errors=tuple(error_from(entry) for entry in failures), request_id="req-1")


def test_an_item_has_a_reading_for_each_column_with_its_typed_fields() -> None:
    phone = column(
        "phone_1", "phone", '{"phone":"+12025550169","countryShortName":"US"}', country_short_name="US"
    )
    (read,) = items_from([item(columns=[phone])], COLUMN_IDS)
    reading = read.reading("phone_1")
    assert reading.known
    assert reading.value == {"phone": "+12025550169", "countryShortName": "US"}
    assert reading.extra == {"country_short_name": "US"}
    assert (read.id, read.state, read.board_id) == ("11", "active", "7")


def test_the_name_is_read_like_a_column() -> None:
    (read,) = items_from([item()], COLUMN_IDS)
    assert (read.reading("name").type, read.reading("name").value) == ("name", "Ada Lovelace")


def test_a_null_value_is_a_known_empty_one() -> None:
    (read,) = items_from([item(columns=[column("email_1", "email", None)])], COLUMN_IDS)
    assert read.reading("email_1").known
    assert read.reading("email_1").value is None


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], "missing from Monday's answer"),
        ([column("email_1", "mirror", None)], "'mirror'"),
        ([column("email_1", "email", "{broken")], "not JSON"),
    ],
)
def test_what_can_t_be_read_is_unknown_with_a_reason_and_not_empty(
    columns: list[dict[str, Any]], words: str
) -> None:
    (read,) = items_from([item(columns=columns)], COLUMN_IDS)
    assert not read.reading("email_1").known
    assert words in read.reading("email_1").reason


@pytest.mark.parametrize("deeper", [[], ["value"]])
def test_an_error_at_one_value_makes_that_value_alone_unknown(deeper: list[str | int]) -> None:
    columns = [column("npd_id", "text", '"n-1"'), column("email_1", "email", None)]
    failure = failed("Concurrency limit", "FIELD_LIMIT_EXCEEDED", ["linked", 0, "column_values", 1, *deeper])
    (read,) = parse_items(_answer({"linked": [item(columns=columns)]}, failure), COLUMN_IDS)
    assert not read.reading("email_1").known
    assert "Concurrency limit" in read.reading("email_1").reason
    assert read.reading("npd_id").known


def test_an_error_at_an_item_s_values_makes_all_of_that_item_s_unknown() -> None:
    failure = failed("blocked", "tooManyRequests", ["linked", 0, "column_values"])
    blind = item("11") | {"column_values": None}
    first, second = parse_items(_answer({"linked": [blind, item("12")]}, failure), COLUMN_IDS)
    assert [first.reading(column_id).known for column_id in COLUMN_IDS] == [False, False, False]
    assert "Blocked" in first.reading("npd_id").reason
    assert second.reading("npd_id").known


def test_a_hole_in_a_list_doesn_t_shift_the_errors_of_its_neighbours() -> None:
    failure = failed("blocked", "tooManyRequests", ["linked", 1, "column_values", 0])
    (read,) = parse_items(_answer({"linked": [None, item("12")]}, failure), COLUMN_IDS)
    assert not read.reading("npd_id").known


def test_a_look_gives_each_part_and_the_cursor_of_a_part_with_more() -> None:
    result = parse_look(
        _answer(
            {
                "linked": [item("11")],
                "by_npd_id": {"cursor": "more", "items": [item("12")]},
                "by_match": [{"items_page": {"cursor": None, "items": [item("13")]}}],
            }
        ),
        COLUMN_IDS,
    )
    assert list(result.linked) == ["11"]
    assert [found.id for found in result.by_npd_id] == ["12"]
    assert [found.id for found in result.by_match] == ["13"]
    assert result.cursors == {"by_npd_id": "more"}


def test_parts_that_were_not_asked_for_are_empty() -> None:
    result = parse_look(_answer({"by_match": {"cursor": None, "items": [item("13")]}}), COLUMN_IDS)
    assert (result.linked, result.by_npd_id, len(result.by_match)) == ({}, [], 1)


@pytest.mark.parametrize("part", ["linked", "by_npd_id", "by_match"])
def test_a_part_that_failed_is_raised_and_not_taken_for_nothing_found(part: str) -> None:
    data = {"linked": [], "by_npd_id": {"cursor": None, "items": []}} | {part: None}
    failure = failed("The board does not exist", "InvalidBoardIdException", [part])
    with pytest.raises(errors.BoardGone):
        parse_look(_answer(data, failure), COLUMN_IDS)
    with pytest.raises(errors.UnreadableAnswer):
        parse_look(_answer(data), COLUMN_IDS)


@pytest.mark.parametrize(
    ("board", "path"),
    [({"items_page": None}, ["by_match", 0, "items_page"]), (None, ["by_match", 0])],
)
def test_a_list_that_failed_inside_a_part_is_raised(board: Any, path: list[str | int]) -> None:
    failure = failed("blocked", "tooManyRequests", path)
    with pytest.raises(errors.FieldLimitReached):
        parse_look(_answer({"by_match": [board]}, failure), COLUMN_IDS)


def test_a_search_on_a_board_that_isn_t_answered_is_not_nothing_found() -> None:
    with pytest.raises(errors.UnreadableAnswer):
        parse_look(_answer({"by_match": []}), COLUMN_IDS)


@pytest.mark.parametrize(
    "data",
    [
        {"first": [{"items_page": {"cursor": "more", "items": [item()]}}]},
        {"page": {"cursor": "more", "items": [item()]}},
    ],
)
def test_a_page_gives_its_items_and_the_next_cursor(data: dict[str, Any]) -> None:
    page = parse_page(_answer(data), COLUMN_IDS)
    assert ([found.id for found in page.items], page.cursor) == (["11"], "more")


def test_a_missing_page_is_not_an_empty_one() -> None:
    with pytest.raises(errors.UnreadableAnswer):
        parse_page(_answer({}), COLUMN_IDS)


def test_each_written_alias_has_its_item_its_error_or_an_unknown_outcome() -> None:
    failure = failed("email is not valid", "ColumnValueException", ["u1"])
    written = parse_written(
        _answer({"u0": item("11"), "u1": None, "u2": None}, failure), ["u0", "u1", "u2"], COLUMN_IDS
    )
    assert getattr(written["u0"], "id", None) == "11"
    assert isinstance(written["u1"], errors.FieldRefused)
    assert isinstance(written["u2"], errors.OutcomeUnknown)


def test_a_written_item_with_an_unreadable_value_is_written_all_the_same() -> None:
    failure = failed("blocked", "tooManyRequests", ["u0", "column_values", 0])
    written = parse_written(_answer({"u0": item("11")}, failure), ["u0"], COLUMN_IDS)["u0"]
    assert not isinstance(written, errors.MondayError)
    assert not written.reading("npd_id").known
