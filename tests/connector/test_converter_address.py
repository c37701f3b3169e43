"""An address that was edited on the board: split into its parts if that is certain, else a conflict, never a loss."""

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from npd.models import ADDRESS_FIELDS
from sync.monday.columns import make_converter
from sync.monday.columns.phones import region_code
from sync.monday.conversion import AmbiguousSplit

ADDRESS = make_converter("address")
LETTERS = st.text("abcdefghÄßé' .-", min_size=1, max_size=8).filter(lambda text: text.strip() != "").map(str.strip)
STREETS = st.builds("{} {}".format, st.integers(1, 999), LETTERS)
CODES = st.from_regex(r"\A[A-Z]{0,2}[0-9]{3,5}\Z")
KINDS = {
    "address_street": STREETS,
    "address_city": LETTERS,
    "address_state": LETTERS,
    "address_zip": CODES,
    "address_country": LETTERS,
}
Parts = dict[str, str]


def _text(parts: Any) -> str:
    return ", ".join(part for part in parts if part)


def _pieces(parts: Parts) -> list[str]:
    return [piece.strip() for part in parts.values() for piece in part.split(",") if piece.strip()]


@st.composite
def addresses(draw: st.DrawFn) -> Parts:
    """An address whose parts are all different; a part can be empty, and a street can have two pieces."""
    parts = {name: draw(st.just("") | kind) for name, kind in KINDS.items()}
    if parts["address_street"] and draw(st.booleans()):
        parts["address_street"] += f", {draw(st.sampled_from(['Apt 4', 'Floor 3', 'Rear']))}"
    pieces = _pieces(parts)
    assume(pieces)
    assume(len(set(pieces)) == len(pieces))
    return parts


@given(addresses(), st.data())
def test_a_changed_part_comes_back_into_that_part_alone(before: Parts, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in ADDRESS_FIELDS if before[name]]))
    new = data.draw(KINDS[name])
    assume(new not in _pieces(before))
    others = [piece.strip() for piece in before[name].split(",")][1:]
    after = before | {name: ", ".join([new, *others])}
    assert ADDRESS.to_local(_text(after.values()), before) == after


@given(addresses(), st.data())
def test_a_part_that_was_taken_out_is_emptied_and_the_others_stay(before: Parts, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in ADDRESS_FIELDS if before[name]]))
    after = before | {name: ""}
    assume(_text(after.values()))
    read = ADDRESS.to_local(_text(after.values()), before)
    assert {key: value or "" for key, value in read.items()} == after


@given(addresses(), st.data())
def test_what_still_stands_on_the_board_never_lands_in_another_part(before: Parts, data: st.DataObject) -> None:
    pieces = _pieces(before)
    new = data.draw(st.lists(LETTERS | CODES | STREETS, max_size=4))
    edited = data.draw(st.permutations([*data.draw(st.lists(st.sampled_from(pieces), unique=True)), *new]))
    try:
        after = ADDRESS.to_local(_text(edited), before)
    except AmbiguousSplit:
        return
    for name in ADDRESS_FIELDS:
        staying = [piece for piece in _pieces({name: before[name]}) if piece in edited and piece not in new]
        assert [piece for piece in staying if piece not in _pieces({name: after[name] or ""})] == []
    assert ADDRESS.canonical_local(after) == ADDRESS.canonical_remote(_text(edited))


ANY = st.none() | st.text(max_size=40) | st.text(" ,\n\r\t\u00a0aä\u0308éZß.", max_size=20)


@given(st.fixed_dictionaries(dict.fromkeys(ADDRESS_FIELDS, ANY)), ANY, st.text(max_size=40))
def test_a_divided_address_reads_the_same(current: dict[str, str | None], remote: str | None, typed: str) -> None:
    assert ADDRESS.to_local(ADDRESS.to_remote(current, None), current) == current
    assert ADDRESS.canonical_local(ADDRESS.from_text(typed, current)) == ADDRESS.canonical_remote(typed)
    with suppress(AmbiguousSplit):
        divided = ADDRESS.to_local(remote, current)
        assert set(divided) == set(ADDRESS_FIELDS)
        assert ADDRESS.canonical_local(divided) == ADDRESS.canonical_remote(remote)


SPRINGFIELD = ("12 Main St", "Springfield", "IL", "62701", "USA")


@pytest.mark.parametrize(
    ("before", "edited"),
    [
        # A flat was added and the zip code removed: as many pieces as before, each in the wrong place.
        (SPRINGFIELD, "12 Main St, Apt 4, Springfield, IL, USA"),
        (("12 Main St", "Springfield", "", "62701", ""), "12 Main St, Apt 4, Springfield"),
        (("Pier", "Bath", "Maine", "", "USA"), "Old Pier, Rear, BATH, U.S.A."),
        (SPRINGFIELD, "PO Box 9, 12 Elm St, Boston, 02101, USA"),
        (("", "", "", "", ""), "12 Main St, 62701 Springfield, IL, 1, USA"),
        (("12 Main St", "New York", "New York", "10001", ""), "12 Main St, New York, 10001"),
    ],
)
def test_an_address_whose_parts_have_slipped_is_asked_about(before: tuple[str, ...], edited: str) -> None:
    with pytest.raises(AmbiguousSplit, match="address_"):
        ADDRESS.to_local(edited, dict(zip(ADDRESS_FIELDS, before, strict=True)))


@pytest.mark.parametrize(
    ("before", "edited", "after"),
    [
        (SPRINGFIELD, "500 Elm St, Boston, MA, 02101, USA", ("500 Elm St", "Boston", "MA", "02101", "USA")),
        (
            ("12 Main St", "Albany", "New York", "12201", ""),
            "1 Broadway, New York, New York, 10001",
            ("1 Broadway", "New York", "New York", "10001", ""),
        ),
        (("", "Paris 7", "", "", ""), "Paris 8", ("", "Paris 8", "", "", "")),
        (("1 Pier", "Norfolk", "", "TBD", ""), "1 Pier, Norfolk, 23511", ("1 Pier", "Norfolk", "", "23511", "")),
    ],
)
def test_a_whole_address_comes_back_in_parts(before: tuple[str, ...], edited: str, after: tuple[str, ...]) -> None:
    read = ADDRESS.to_local(edited, dict(zip(ADDRESS_FIELDS, before, strict=True)))
    assert tuple(value or "" for value in read.values()) == after


def test_names_of_countries_are_read_without_those_of_all_towns() -> None:
    assert region_code("Deutschland") == "DE"
    assert "phonenumbers.geodata" not in sys.modules
