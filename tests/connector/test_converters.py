"""Converters, case by case: canonical forms, what is sent, and what stays as people wrote it."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync.monday.board_items import Reading, Reason
from sync.monday.columns import CONVERTERS, make_converter
from sync.monday.columns.labels import label_settings
from sync.monday.conversion import Converter, ConverterOptions, ListConverter, UnknownValue
from tests.connector.board_cell import BoardCell, cell_for

ADDRESS = {
    "address_street": "12 Main St, Apt 4",
    "address_city": "Springfield",
    "address_state": None,
    "address_zip": "62701",
    "address_country": "USA",
}
EMPTY_ADDRESS: dict[str, str | None] = dict.fromkeys(ADDRESS)


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("text", [None, "", "  \n\t"])
def test_nothing_an_empty_text_and_whitespace_are_all_empty(name: str, text: str | None) -> None:
    fields = EMPTY_ADDRESS if name == "address" else {"field": None}
    raw = fields | {next(iter(fields)): text}
    assert make_converter(name).canonical_local(raw) is None
    assert make_converter(name).to_remote(raw, None) is None


@pytest.mark.parametrize("name", CONVERTERS)
def test_an_unknown_reading_is_refused_with_its_reason(name: str) -> None:
    reading = Reading("c", "", is_known=False, reason=Reason("column_not_shown"))
    with pytest.raises(UnknownValue, match="column_not_shown"):
        make_converter(name).cell_value(reading)


def test_text_is_compared_composed_with_plain_line_ends_and_trimmed() -> None:
    text = make_converter("text")
    assert text.canonical_local({"notes": "  Zoe\u0308\r\nline\rend "}) == "Zoë\nline\nend"
    assert text.canonical_remote("Zoë\nline\nend") == "Zoë\nline\nend"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", {"email": "ada@B.test", "text": "Ada"}),
        ("link", {"url": "https://b.test", "text": "Shop"}),
        ("phone", {"phone": "12025550169", "countryShortName": "US"}),
    ],
)
def test_a_base_keeps_what_npd_does_not_know_and_no_time(name: str, value: dict[str, str]) -> None:
    assert make_converter(name).cell_value(Reading("c", name, value=value | {"changed_at": "x"})) == value


def test_an_email_s_own_label_stays_and_a_repeated_address_goes_with_the_old_one() -> None:
    email = make_converter("email")
    expected = {"email": "new@b.test", "text": "Write me"}
    assert email.to_remote({"email": "new@b.test"}, {"email": "old@b.test", "text": "Write me"}) == expected
    assert email.to_remote({"email": "new@b.test"}, {"email": "old@b.test", "text": "old@B.test"}) == {
        "email": "new@b.test",
        "text": "new@b.test",
    }


def test_a_number_is_read_in_the_cell_s_country_and_pulled_so_that_it_stays_that_number() -> None:
    phone = make_converter("phone")
    british = {"phone": "020 7946 0958", "countryShortName": "GB"}
    assert phone.canonical_remote(british) == "+442079460958"
    assert phone.to_local(british, {"phone": None}) == {"phone": "+44 20 7946 0958"}


def test_a_phone_s_country_stays_while_it_is_still_right() -> None:
    phone = make_converter("phone")
    canadian = {"phone": "16135550100", "countryShortName": "CA"}
    assert phone.to_remote({"phone": "202 555 0169"}, canadian)["countryShortName"] == "CA"
    assert phone.to_remote({"phone": "+49 30 901820"}, canadian)["countryShortName"] == "DE"


@pytest.mark.parametrize(("name", "length"), [("long_text", 2000), ("name", 255), ("text", 65_536)])
def test_a_value_at_the_limit_is_sent_and_an_empty_name_is_not(name: str, length: int) -> None:
    assert make_converter(name).rejection_reason({"notes": "x" * length}) is None
    assert make_converter("name").rejection_reason({"notes": " "})


@pytest.mark.parametrize("text", ["\u200b", " \ufeff ", "\u2800\u3164", "\u00ad", "\u0301", " \u0489\u200b\u093e"])
def test_a_name_without_a_visible_character_is_empty_on_both_sides(text: str) -> None:
    for name in ("name", "relation_name"):
        assert make_converter(name).canonical_remote({"name": text}) is None
    assert make_converter("name").canonical_local({"name": text}) is None
    assert make_converter("name").rejection_reason({"name": text})
    assert make_converter("name").canonical_remote({"name": f"A{text}"}) is not None


def test_an_address_is_one_text_of_its_filled_parts() -> None:
    assert make_converter("address").to_remote(ADDRESS, None) == "12 Main St, Apt 4, Springfield, 62701, USA"


def test_a_typed_address_that_can_t_be_divided_goes_to_the_street_whole() -> None:
    address = make_converter("address")
    typed = address.from_text("14 Main St, Springfield", ADDRESS)
    assert typed == EMPTY_ADDRESS | {"address_street": "14 Main St, Springfield"}
    assert address.canonical_local(typed) == "14 Main St, Springfield"


@pytest.mark.parametrize(
    ("name", "canonical", "shown"),
    [
        ("phone", "+12025550169;ext=5", "+1 202-555-0169 ext. 5"),
        ("phone", "+442079460018;ext=4", "+44 20 7946 0018 ext. 4"),
        ("phone", "ask Bob", "ask Bob"),
        ("text", None, ""),
    ],
)
def test_a_value_is_shown_as_people_write_it(name: str, canonical: str | None, shown: str) -> None:
    assert make_converter(name).display(canonical) == shown


@pytest.mark.parametrize(
    ("typed", "region", "stored"),
    [
        ("030 9988776", "US", None), ("030/12 34", "US", None), ("0170 1234567", "US", None), ("12", "US", None),
        ("5550123", "US", None), ("4930123456", "US", None), ("12", "DE", None), ("+49 1", "US", None),
        ("keine Ahnung", "DE", None), ('="+4930999"', "DE", None), ("4.93012E+11", "DE", None), ("49E10", "DE", None),
        ("+49 30 123456 / +49 171 999999", "DE", None), ("030 123456 or 0171 1234567", "DE", None),
        ("030 9988776", "Atlantis", None), ("0049 30 123456", "Atlantis", "+49 30 123456"),
        ("030 9988776", "Deutschland", "+49 30 9988776"), ("030 9988776", "Suisse", None),
        ("030 9988776", "DE", "+49 30 9988776"), ("030/12 34", "DE", "+49 30 1234"),
        ("(202) 555-0169 x5", "US", "+1 202-555-0169 ext. 5"), ("0049 30 123456", "US", "+49 30 123456"),
        ("+49 (0)30/123456", "US", "+49 (0)30/123456"), ("\u202a+49 30 123456\u202c", "US", "+49 30 123456"),
        ("+49 171 1234567", "US", "+49 171 1234567"), ("", "US", None),
    ],
)  # fmt: skip
def test_only_a_number_of_a_country_gets_it_and_is_sent(typed: str, region: str, stored: str | None) -> None:
    converter = make_converter("phone", ConverterOptions(region=region))
    reason = converter.rejection_reason({"phone": typed})
    if stored or not typed:
        assert (converter.from_text(typed, {"phone": ""}), reason) == ({"phone": stored}, None)
        return
    assert reason
    assert converter.canonical_local({"phone": typed}) == typed
    with pytest.raises(ValueError, match=re.escape(typed)):
        converter.from_text(typed, {"phone": ""})


STAGES = {"planned": "Planned", "running": "Running", "done": "Finished"}
ONE_VALUE = ["status", "dropdown", "text", "long_text"]
TEXTS = st.text("abAB 1()ßé", min_size=1, max_size=6).filter(lambda text: text.strip() and not text.isdecimal())
CHOICES = st.dictionaries(TEXTS.map(str.strip), TEXTS, min_size=1, max_size=6)


def a_cell(name: str, choices: dict[str, str], labels: tuple[str, ...] = ()) -> tuple[BoardCell, Converter]:
    """The cell that set-up makes for these choices, or one with these labels."""
    cell, _ = cell_for(name, label_settings(name, labels or tuple(choices.values())))
    return cell, make_converter(name, replace(cell.options, choices=choices))


@given(st.sampled_from(ONE_VALUE), CHOICES, st.data())
def test_every_value_comes_back_as_itself(name: str, choices: dict[str, str], data: st.DataObject) -> None:
    """Even if a label is another choice's value."""
    cell, converter = a_cell(name, choices)
    value, other = data.draw(st.sampled_from(sorted(choices))), data.draw(st.sampled_from(sorted(choices)))
    shown = {choice: converter.canonical_local({"stage": choice}) for choice in choices}
    assume(len({str(label).casefold() for label in shown.values()}) == len(choices))
    raw = converter.cell_value(cell.write(converter.to_remote({"stage": value}, None)))
    assert converter.canonical_remote(raw) == shown[value] == cell.event_value(converter)
    assert converter.to_local(raw, {"stage": other}) == {"stage": value}


@pytest.mark.parametrize("name", ONE_VALUE)
@pytest.mark.parametrize("text", ["Planned", "PLANNED", " planned", "planned"])
def test_the_board_may_say_the_label_or_the_value(name: str, text: str) -> None:
    cell, converter = a_cell(name, STAGES, ("Planned", text))
    raw = converter.cell_value(cell.write({"labels": [text]} if name == "dropdown" else _as(name, text)))
    assert converter.canonical_remote(raw) == converter.canonical_local({"stage": "planned"})
    assert converter.to_local(raw, {"stage": "done"}) == {"stage": "planned"}
    assert converter.from_text(text, {"stage": "done"}) == {"stage": "planned"}


@pytest.mark.parametrize("name", ONE_VALUE)
def test_a_label_that_names_no_choice_is_refused_with_what_is_allowed(name: str) -> None:
    cell, converter = a_cell(name, STAGES, ("Someday",))
    raw = converter.cell_value(cell.write({"labels": ["Someday"]} if name == "dropdown" else _as(name, "Someday")))
    with pytest.raises(UnknownValue, match=r"Planned.*Running.*Finished"):
        converter.to_local(raw, {"stage": "done"})
    with pytest.raises(ValueError, match=r"Planned.*Running.*Finished"):
        converter.from_text("Someday", {"stage": "done"})


def test_a_label_that_the_column_has_in_other_letters_is_not_made_again() -> None:
    cell, converter = a_cell("status", STAGES, ("planned", "finished"))
    cell.write(converter.to_remote({"stage": "done"}, None))
    assert [label["label"] for label in cell.options.column_settings["labels"]] == ["planned", "finished"]


@pytest.mark.parametrize("name", ["dropdown", "list_text"])
def test_a_list_of_choices_is_one_of_labels(name: str) -> None:
    cell, converter = a_cell(name, STAGES)
    raw = converter.cell_value(cell.write(converter.to_remote({"stages": ["planned", "done"]}, None)))
    assert converter.canonical_remote(raw) == ("Finished", "Planned")
    assert converter.to_local(raw, {"stages": ["done", "running"]}) == {"stages": ["done", "planned"]}
    assert isinstance(converter, ListConverter)
    assert converter.merge_elements(("Finished", "Planned", "Running"), raw, {"stages": ["running"]}) == {
        "stages": ["running", "planned", "done"]
    }


def test_merged_choices_keep_both_sides_where_one_choices_label_is_the_value_of_another() -> None:
    cell, converter = a_cell("dropdown", {"a": "b", "b": "a"})
    raw = converter.cell_value(cell.write({"labels": ["a"]}))  # the label of the value b
    assert converter.to_local(raw, {"stages": []}) == {"stages": ["b"]}
    assert isinstance(converter, ListConverter)
    assert converter.merge_elements(("a", "b"), raw, {"stages": ["a"]}) == {"stages": ["a", "b"]}


def _as(name: str, text: str) -> Any:
    return {"label": text} if name == "status" else {"text": text} if name == "long_text" else text
