"""What holds for every value of every column type, with the sandbox's columns as the board."""

import datetime as dt
import json
import unicodedata
from typing import Any

import phonenumbers
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sync.monday.board_items import Reading
from sync.monday.columns import CONVERTERS, make_converter
from sync.monday.conversion import Converter, UnknownValue
from tests.connector.board_cell import ITEMS, BoardCell, cell_for

# Without lone surrogates and NUL, which neither JSON over HTTP nor PostgreSQL carry.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS, max_size=30) | st.text(" ,\n\r\t\u00a0aä\u0308éZß.0", max_size=20)
DAYS = st.dates(dt.date(1970, 1, 1), dt.date(2999, 12, 31)).map(dt.date.isoformat)
# No more digits than a webhook's floating-point numbers keep for certain.
NUMBERS = (
    st.builds("{}e{}".format, st.integers(-(10**15) + 1, 10**15 - 1), st.integers(-20, 0))
    | st.from_regex(r"\A[+-]?[0-9]{1,8}(\.[0-9]{0,7})?\Z")
    | st.sampled_from(["0", "-0", "-0.00", "007", ".5", "5.", "1e3", "1E-7", "4.50"])
)
PHONES = st.builds(
    phonenumbers.format_number,
    st.sampled_from(["US", "GB", "DE", "JP", "IT", "AR", "BR"]).map(phonenumbers.example_number),
    st.sampled_from([phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164]),
)
LINKS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", ""]),
    st.sampled_from(["example.org", "Example.ORG", "a.b.example.org:8080", "localhost", "ü.example"]),
    st.sampled_from(["", "/", "/Path/x", "?q=1", "#top", "/a?b=c#d", "//", "/Ü%c3%9C", "/%7e%"]),
    st.sampled_from(["", "", "x", "%20"]),
)
LABELS = st.lists(TEXTS, max_size=4) | TEXTS
RELATED = st.sampled_from([None, *({"id": f"uuid-{key}", "item": key, "name": name} for key, name in ITEMS.items())])


def _of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return values.map(lambda value: {"field": value})


VALUES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "text": _of(TEXTS),
    "long_text": _of(TEXTS),
    "email": _of(st.from_regex(r"\A[A-Za-z0-9_%+-]{1,12}@[A-Za-z0-9]{1,8}\.[A-Za-z]{2,5}\Z")),
    "phone": _of(PHONES),
    "link": _of(LINKS),
    "status": _of(TEXTS | st.sampled_from(["Done", "Stuck", "2024"])),
    "dropdown": _of(LABELS),
    "date": _of(DAYS),
    "numbers": _of(NUMBERS),
    "checkbox": _of(st.booleans()),
    "relation": _of(RELATED),
    "relation_name": _of(RELATED),
    "list_text": _of(st.lists(TEXTS, max_size=4) | TEXTS),
}
CASES = st.sampled_from(sorted(VALUES)).flatmap(lambda name: VALUES[name].map(lambda value: (name, value)))
Case = tuple[str, dict[str, Any]]


def test_every_converter_is_held_to_these_laws() -> None:
    elsewhere = {"name", "address"}  # in test_converters.py and test_converter_address.py
    assert set(VALUES) | elsewhere == set(CONVERTERS)


def write(case: Case) -> tuple[BoardCell, Converter, Any]:
    """A cell that holds this value, if the column takes it; its converter, and the raw value."""
    name, local = case
    cell, converter = cell_for(name)
    assume(converter.rejection_reason(local) is None)
    return cell, converter, converter.cell_value(cell.write(converter.to_remote(local, None)))


@given(CASES)
def test_what_is_written_reads_back_as_the_same_value(case: Case) -> None:
    _name, local = case
    cell, converter, raw = write(case)
    canonical = converter.canonical_local(local)
    assert converter.canonical_remote(raw) == canonical
    assert converter.canonical_remote(json.loads(json.dumps(raw))) == canonical
    assert converter.to_local(raw, local) == local
    assert cell.event_value(converter) == canonical
    # An empty record gets the same value by a pull.
    pulled = converter.to_local(raw, {key: [] if isinstance(value, list) else "" for key, value in local.items()})
    assert converter.canonical_local(pulled) == canonical
    # After a pull there is nothing to push: the cell stays as it is.
    assert converter.cell_value(cell.write(converter.to_remote(pulled, raw))) == raw


@given(CASES)
def test_clearing_a_filled_cell_leaves_it_empty_on_both_sides(case: Case) -> None:
    _name, local = case
    cell, converter, raw = write(case)
    nothing: dict[str, Any] = {key: [] if isinstance(value, list) else None for key, value in local.items()}
    assert converter.to_remote(nothing, raw) is None
    cleared = converter.cell_value(cell.write(None))
    assert cleared is None
    assert converter.canonical_remote(cleared) is None
    assert cell.event_value(converter) is None
    assert converter.canonical_local(converter.to_local(cleared, local)) is None


@given(CASES)
def test_only_an_empty_value_clears_a_cell(case: Case) -> None:
    name, local = case
    converter = cell_for(name)[1]
    try:
        sent = converter.to_remote(local, None)
    except UnknownValue:
        return
    assert (sent is None) == (converter.canonical_local(local) is None)


@given(CASES)
def test_a_canonical_value_is_its_own_canonical_form(case: Case) -> None:
    name, local = case
    converter = cell_for(name)[1]
    assume(converter.rejection_reason(local) is None)
    canonical = converter.canonical_local(local)
    if name.startswith("relation"):
        again: Any = canonical and {"item": canonical, "name": canonical}
    else:
        again = list(canonical) if isinstance(canonical, tuple) else canonical
    assert converter.canonical_local({"field": again}) == canonical


@given(CASES)
def test_a_value_that_is_shown_and_typed_again_is_the_same_value(case: Case) -> None:
    name, local = case
    converter = cell_for(name)[1]
    assume(converter.rejection_reason(local) is None)
    canonical = converter.canonical_local(local)
    labels = canonical if isinstance(canonical, tuple) else ()
    assume(not any("," in label for label in labels))  # commas separate elements when a person types
    typed = converter.from_text(converter.display(canonical), local)
    assert converter.canonical_local(typed) == canonical
    assert set(typed) == set(local)


ODD_PHONES = st.from_regex(r"\A\+?[0-9() .x-]{3,18}\Z") | TEXTS | PHONES
REGIONS = st.sampled_from(["US", "CA", "GB", "DE", "JP", "IT", "AR", ""])
ODD_CELLS = st.one_of(
    st.tuples(st.just("phone"), st.fixed_dictionaries({"phone": ODD_PHONES, "countryShortName": REGIONS})),
    st.tuples(st.just("email"), st.fixed_dictionaries({"email": TEXTS | st.emails(), "text": TEXTS})),
)


@given(ODD_CELLS, st.none() | ODD_PHONES | st.emails())
def test_whatever_a_cell_says_is_pulled_so_that_it_compares_equal(cell: tuple[str, Any], current: str | None) -> None:
    name, value = cell
    converter = make_converter(name)
    raw = converter.cell_value(Reading("c", name, value=value))
    assert converter.canonical_local(converter.to_local(raw, {"field": current})) == converter.canonical_remote(raw)


@given(st.sampled_from(["text", "long_text", "name", "email", "phone"]), PHONES | st.emails() | TEXTS, TEXTS)
def test_a_typed_value_is_refused_or_taken_as_it_is(name: str, text: str, current: str) -> None:
    converter = make_converter(name)
    try:
        taken = converter.from_text(text, {"field": current})
    except ValueError:
        return
    assert converter.canonical_local(taken) == converter.canonical_local({"field": text})


@given(st.sampled_from(["text", "long_text"]), TEXTS)
def test_a_text_is_sent_and_pulled_with_every_sign_that_is_no_space(name: str, text: str) -> None:
    """Only its composition and its white space may differ from what was typed."""
    _cell, converter, raw = write((name, {"field": text}))
    pulled = converter.to_local(raw, {"field": ""})["field"] or ""
    assert "".join(pulled.split()) == "".join(unicodedata.normalize("NFC", text).split())


@given(CASES, CASES)
def test_a_second_value_replaces_the_first_whole(first: Case, second: Case) -> None:
    after = second[1] if second[0] == first[0] else first[1]
    cell, converter, read = write(first)
    assume(converter.rejection_reason(after) is None)
    raw = converter.cell_value(cell.write(converter.to_remote(after, read)))
    assert converter.canonical_remote(raw) == converter.canonical_local(after)


KEYS = {
    "text": ["text", "value", "name"],
    "long_text": ["text", "value", "name"],
    "list_text": ["text", "value", "name"],
    "relation_name": ["text", "value", "name"],
    "name": ["text", "value", "name"],
    "address": ["text", "value", "name"],
    "email": ["email"],
    "phone": ["phone"],
    "link": ["url"],
    "status": ["label", "index"],
    "dropdown": ["values", "ids", "chosenValues"],
    "date": ["date"],
    "numbers": ["value"],
    "checkbox": ["checked"],
    "relation": ["item_ids", "linkedPulseIds"],
}
# Of labels, the raw value of a cell has only these.
KEYS_OF_CELLS = KEYS | {"status": ["index"], "dropdown": ["ids"]}
EVERY_KEY = sorted({key for keys in KEYS.values() for key in keys} | {"id", "kind", "x"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats(allow_nan=False) | st.text(CHARACTERS, max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(EVERY_KEY), inner, max_size=3),
    max_leaves=6,
)
TYPES = ["text", "long-text", "email", "phone", "link", "color", "dropdown", "date", "numeric", "boolean"]
TYPES += ["multiple-person", "board-relation", "name", "mirror", ""]


@given(st.sampled_from(sorted(CONVERTERS)), JSON, st.sampled_from(TYPES))
def test_a_webhooks_value_is_never_empty_by_mistake(name: str, value: Any, column_type: str) -> None:
    try:
        canonical = make_converter(name).from_event(value, column_type)
    except UnknownValue:
        return
    assert canonical is not None or _says_nothing(name, value)


@given(st.sampled_from(sorted(CONVERTERS)), JSON)
@example("dropdown", {"ids": None, "chosenValues": False})
def test_any_value_of_an_item_is_told_or_unknown_and_never_empty_by_mistake(name: str, value: Any) -> None:
    converter = make_converter(name)
    try:
        canonical = converter.canonical_remote(converter.cell_value(Reading("c", converter.column_type, value=value)))
    except UnknownValue:
        return
    assert canonical is not None or _says_nothing(name, value, KEYS_OF_CELLS)


def _says_nothing(name: str, value: Any, keys: dict[str, list[str]] = KEYS) -> bool:
    """Whether the mapped part of a value holds nothing: null, nothing visible, an empty list or object, or "no"."""
    if isinstance(value, dict) and value:
        present = [value[key] for key in keys[name] if key in value]
        return bool(present) and all(_says_nothing(name, entry, keys) for entry in present)
    if name == "checkbox" and value in (False, "no", "n", "false", "0", "off"):
        return True
    if isinstance(value, str):
        return not any(letter.isprintable() and letter not in ", " for letter in value)
    return value is None or value in ([], {})


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_type_that_nobody_knows_is_unknown_and_not_empty(name: str) -> None:
    with pytest.raises(UnknownValue, match="event_unreadable"):
        make_converter(name).from_event({"value": "x"}, "mirror")
    with pytest.raises(UnknownValue, match=r"other_type.*mirror"):
        make_converter(name).cell_value(Reading("c", "mirror"))
