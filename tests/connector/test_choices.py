"""A field with choices: the board shows labels, NPD has values, and either names the value on the board."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync.monday.columns import make_converter
from sync.monday.columns.labels import label_settings
from sync.monday.conversion import Converter, ListConverter, UnknownValue
from tests.connector.board_cell import BoardCell, cell_for

STAGES = {"planned": "Planned", "running": "Running", "done": "Finished"}
ONE_VALUE = ["status", "dropdown", "text", "long_text"]
TEXTS = st.text("abAB 1()ßé", min_size=1, max_size=6).filter(lambda text: text.strip() and not text.isdecimal())
CHOICES = st.dictionaries(TEXTS.map(str.strip), TEXTS, min_size=1, max_size=6)


def a_cell(name: str, choices: dict[str, str], labels: tuple[str, ...] = ()) -> tuple[BoardCell, Converter]:
    """A cell of the column that set-up makes for these choices, or of one that has these labels."""
    cell, _ = cell_for(name, label_settings(name, labels or tuple(choices.values())))
    return cell, make_converter(name, replace(cell.options, choices=choices))


@given(st.sampled_from(ONE_VALUE), CHOICES, st.data())
def test_every_value_is_written_and_comes_back_as_itself(
    name: str, choices: dict[str, str], data: st.DataObject
) -> None:
    """Also where labels are shared, or are other values."""
    cell, convert = a_cell(name, choices)
    value, other = data.draw(st.sampled_from(sorted(choices))), data.draw(st.sampled_from(sorted(choices)))
    shown = {one: convert.local({"stage": one}) for one in choices}
    # No label is just the form in which two others are told apart.
    assume(len({str(label).casefold() for label in shown.values()}) == len(choices))
    raw = convert.stored_value(cell.write(convert.to_remote({"stage": value}, None)))
    assert convert.remote(raw) == shown[value] == cell.told(convert)
    assert convert.to_local(raw, {"stage": other}) == {"stage": value}


@pytest.mark.parametrize("name", ONE_VALUE)
def test_a_value_with_two_spaces_comes_back_as_itself(name: str) -> None:
    """Found by Hypothesis: its label is shared, and the column's label is spelled as the value is."""
    cell, convert = a_cell(name, {"A": "1  1", "1  1": "1 1"})
    raw = convert.stored_value(cell.write(convert.to_remote({"stage": "1  1"}, None)))
    assert convert.remote(raw) == convert.local({"stage": "1  1"}) == cell.told(convert)
    assert convert.to_local(raw, {"stage": "A"}) == {"stage": "1  1"}


@pytest.mark.parametrize("name", ONE_VALUE)
@pytest.mark.parametrize("said", ["Planned", "PLANNED", " planned", "planned"])
def test_the_board_may_say_the_label_or_the_value(name: str, said: str) -> None:
    cell, convert = a_cell(name, STAGES, ("Planned", said))
    raw = convert.stored_value(cell.write({"labels": [said]} if name == "dropdown" else _as(name, said)))
    assert convert.remote(raw) == convert.local({"stage": "planned"})
    assert convert.to_local(raw, {"stage": "done"}) == {"stage": "planned"}
    assert convert.from_text(said, {"stage": "done"}) == {"stage": "planned"}


@pytest.mark.parametrize("name", ONE_VALUE)
def test_a_label_that_names_no_choice_is_refused_with_what_is_allowed(name: str) -> None:
    cell, convert = a_cell(name, STAGES, ("Someday",))
    raw = convert.stored_value(cell.write({"labels": ["Someday"]} if name == "dropdown" else _as(name, "Someday")))
    with pytest.raises(UnknownValue, match="Planned, Running, Finished"):
        convert.to_local(raw, {"stage": "done"})
    with pytest.raises(ValueError, match="Planned, Running, Finished"):
        convert.from_text("Someday", {"stage": "done"})


def test_a_label_that_the_column_has_in_other_letters_is_not_made_again() -> None:
    cell, convert = a_cell("status", STAGES, ("planned", "finished"))
    cell.write(convert.to_remote({"stage": "done"}, None))
    assert [label["label"] for label in cell.options.settings["labels"]] == ["planned", "finished"]


@pytest.mark.parametrize("name", ["dropdown", "list_text"])
def test_a_list_of_choices_is_one_of_labels(name: str) -> None:
    cell, convert = a_cell(name, STAGES)
    raw = convert.stored_value(cell.write(convert.to_remote({"stages": ["planned", "done"]}, None)))
    assert convert.remote(raw) == ("Finished", "Planned")
    assert convert.to_local(raw, {"stages": ["done", "running"]}) == {"stages": ["done", "planned"]}
    assert isinstance(convert, ListConverter)
    assert convert.merge_elements(("Finished", "Planned", "Running"), raw, {"stages": ["running"]}) == {
        "stages": ["running", "planned", "done"]
    }


def _as(name: str, text: str) -> Any:
    return {"label": text} if name == "status" else {"text": text} if name == "long_text" else text
