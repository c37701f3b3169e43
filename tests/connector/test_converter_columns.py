"""Converters of the typed columns, case by case: what is compared, sent, kept, and refused in words."""

from pathlib import Path
from typing import Any

import pytest

from sync.monday.board_items import Reading
from sync.monday.columns import CONVERTERS, make_converter
from sync.monday.columns.phones import region_code
from sync.monday.conversion import ConverterOptions, UnknownValue
from tests.connector.board_cell import ITEMS

STATUS = ConverterOptions(
    column_settings={
        "labels": [
            {"id": 0, "label": "Working  on it", "index": 2, "is_deactivated": False},
            {"id": 1, "label": "Done", "index": 0, "is_deactivated": False},
            {"id": 7, "label": "2024", "index": 1, "is_deactivated": False},
            {"id": 9, "label": "Gone", "index": 3, "is_deactivated": True},
            {"id": 5, "label": "", "index": 4, "is_deactivated": False},
        ]
    }
)
DROPDOWN = ConverterOptions(column_settings={"labels": [{"id": 1, "label": "Navy"}, {"id": 2, "label": "Smith, Sons"}]})
OPTIONS = {"status": STATUS, "dropdown": DROPDOWN}
ACME = {"id": "u-1", "item": "44", "name": "ACME"}


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("link", "example.org/x", {"url": "https://example.org/x", "text": "https://example.org/x"}),
        ("long_text", "a\r\nb", {"text": "a\nb"}),
        ("email", "ada@B.test", {"email": "ada@B.test", "text": "ada@B.test"}),
        ("phone", "(202) 555-0169", {"phone": "+12025550169", "countryShortName": "US"}),
        ("phone", "+44 20 7946 0958", {"phone": "+442079460958", "countryShortName": "GB"}),
        ("phone", "202-555-0169 x12", {"phone": "+12025550169 ext. 12", "countryShortName": "US"}),
        ("status", " Working on it", {"label": "Working  on it"}),
        ("status", "2024", {"index": "7"}),
        ("status", "Brand new", {"label": "Brand new"}),
        ("dropdown", ["Navy", "Army", "Navy"], {"labels": ["Navy", "Army"]}),
        ("dropdown", ["Won", "won"], {"labels": ["won"]}),
        ("dropdown", ["Smith, Sons", "Navy"], {"ids": ["2", "1"]}),
        ("numbers", "0", "0"),
        ("checkbox", False, None),
        ("relation_name", {"id": "u-2", "item": None, "name": " Zoë  Ltd"}, "Zoë Ltd"),
        ("list_text", "ACME\nAjax Ltd,", "ACME, Ajax Ltd"),
    ],
)
def test_a_value_is_sent_in_its_column_s_form(name: str, value: Any, sent: Any) -> None:
    converter = make_converter(name, OPTIONS.get(name, ConverterOptions()))
    assert converter.rejection_reason({"field": value}) is None
    assert converter.to_remote({"field": value}, None) == sent


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("numbers", "4.50", "4.5"),
        ("numbers", "1e3", "1000"),
        ("dropdown", ["b", "a", "b"], ["a", "b"]),
        ("list_text", "a, b", ["b", "a"]),
        ("checkbox", None, False),
        ("relation", ACME, {"item": "44"}),
    ],
)
def test_values_are_equal_by_what_they_say(name: str, first: Any, second: Any) -> None:
    converter = make_converter(name)
    assert converter.canonical_local({"field": first}) == converter.canonical_local({"field": second})


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("numbers", "4.50", "4.51"),
        ("name", "ann lee", "Ann Lee"),
        ("status", "done", "Done"),
        ("dropdown", "a, b", ["a", "b"]),
    ],
)
def test_values_that_say_different_things_are_not_equal(name: str, first: Any, second: Any) -> None:
    converter = make_converter(name)
    assert converter.canonical_local({"field": first}) != converter.canonical_local({"field": second})


LABELLED, STARRED = {"url": "https://a.test", "text": "Shop"}, {"date": "2026-01-31", "icon": "star"}


@pytest.mark.parametrize(
    ("name", "existing", "value", "sent"),
    [
        ("link", LABELLED, "https://b.test", LABELLED | {"url": "https://b.test"}),
        (
            "link",
            {"url": "http://a.de", "text": "http://A.de/"},
            "b.de",
            dict.fromkeys(("url", "text"), "https://b.de"),
        ),
        ("date", STARRED, "2026-02-01", STARRED | {"date": "2026-02-01"}),
    ],
)
def test_unknown_parts_go_back_as_they_were_read(name: str, existing: Any, value: Any, sent: Any) -> None:
    assert make_converter(name).to_remote({"field": value}, existing) == sent


EVENING = {"date": "2026-01-31", "time": "23:00:00"}


@pytest.mark.parametrize(
    ("zone", "cell", "day", "sent"),
    [
        ("Asia/Tokyo", EVENING, "2026-02-01", "2026-02-02 23:00:00"),
        ("America/Los_Angeles", {"date": "2026-02-02", "time": "05:00:00"}, "2026-02-01", "2026-02-04 05:00:00"),
        ("Asia/Kathmandu", {"date": "2026-01-31", "time": "18:30:00"}, "2026-02-01", "2026-02-02 18:30:00"),
        ("Europe/Berlin", {"date": "2026-03-28", "time": "23:30:00"}, "2026-03-29", "2026-02-02 23:30:00"),
        *((zone, EVENING, "2026-01-31", "2026-02-03 23:00:00") for zone in ("", "No/Such", "Europe")),
        ("Asia/Tokyo", {"date": "2026-01-31"}, "2026-01-31", "2026-02-03"),
        # At the ends of the calendar the zone has no other day, so the cell's own is taken.
        ("America/Los_Angeles", {"date": "0001-01-01", "time": "01:00:00"}, "0001-01-01", "2026-02-03 01:00:00"),
        ("Asia/Tokyo", {"date": "9999-12-31", "time": "23:00:00"}, "9999-12-31", "2026-02-03 23:00:00"),
    ],
)
def test_a_day_is_that_which_people_see_and_keeps_its_time(zone: str, cell: Any, day: str, sent: str) -> None:
    converter = make_converter("date", ConverterOptions(time_zone=zone))
    raw = converter.cell_value(Reading("due", "date", value=cell))
    assert (converter.canonical_remote(raw), converter.to_local(raw, {"due": None})) == (day, {"due": day})
    again = converter.to_remote({"due": "2026-02-03"}, raw)
    assert " ".join(again.values()) == sent


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("link", "nowhere", "no_link"),
        ("status", "x" * 31, "label_too_long"),
        ("status", "2025", "label_is_index"),
        ("dropdown", ["Smith, Jones"], "label_with_comma"),
        ("dropdown", ["Smith, Sons", "Army"], "'new': 'Army'"),
        ("date", "2026-02-30", "no_day"),
        ("numbers", "about 5", "no_number"),
        ("numbers", "1e309", "number_too_large"),
        ("long_text", "x" * 2431, "text_too_long"),
        ("name", "x" * 256, "name_too_long"),
        ("text", "é" * 40_000, "too_many_bytes"),
        ("list_text", ["x" * 70_000], "too_many_bytes"),
    ],
)
def test_what_monday_can_t_hold_is_told_before_it_is_sent(name: str, value: Any, code: str) -> None:
    reason = make_converter(name, OPTIONS.get(name, ConverterOptions())).rejection_reason({"inventory_url": value})
    assert reason is not None
    assert "inventory url" in reason
    assert code in reason


FULL_STATUS = ConverterOptions(column_settings={"labels": [{"id": n, "label": f"l{n}"} for n in range(40)]})
ONE_LABEL = ConverterOptions(column_settings={"labels": [], "limit_select": True, "label_limit_count": 1})


@pytest.mark.parametrize(
    ("name", "options", "value", "code"),
    [("status", FULL_STATUS, "More", "labels_full"), ("dropdown", ONE_LABEL, ["a", "b"], "too_many_labels")],
)
def test_a_columns_settings_are_checked_first(name: str, options: ConverterOptions, value: Any, code: str) -> None:
    assert code in (make_converter(name, options).rejection_reason({"field": value}) or "")


@pytest.mark.parametrize(
    ("name", "reading", "code"),
    [
        ("status", Reading("c", "status", value=None), "label_not_said"),
        ("dropdown", Reading("c", "dropdown", value={"ids": [3]}), "label_without_text"),
        ("numbers", Reading("c", "numbers", value={"number": 4}), "other_form"),
        ("checkbox", Reading("c", "checkbox", value={"checked": "maybe"}), "other_form"),
        ("numbers", Reading("c", "numbers", text="42"), "text_without_value"),
        ("date", Reading("c", "date", text="2026-01-31"), "text_without_value"),
        ("link", Reading("c", "link", text="NPD - https://npd.test"), "text_without_value"),
    ],
)
def test_a_value_that_lacks_what_tells_it_is_unknown_and_not_empty(name: str, reading: Reading, code: str) -> None:
    converter = make_converter(name)
    with pytest.raises(UnknownValue, match=code):
        converter.canonical_remote(converter.cell_value(reading))


def test_the_empty_status_needs_no_label_to_be_read_as_empty() -> None:
    converter = make_converter("status", STATUS)
    blank = Reading("c", "status", value={"index": 5}, extra={"index": 5, "label": None})
    assert converter.canonical_remote(converter.cell_value(blank)) is None
    assert converter.from_event({"label": {"index": 5, "text": None}}, "color") is None
    stuck = make_converter("status", ConverterOptions(column_settings={"labels": [{"id": 5, "label": "Stuck"}]}))
    assert stuck.canonical_remote(stuck.cell_value(blank)) == "Stuck"


def test_a_value_that_its_typed_field_leaves_out_is_taken_from_the_raw_one() -> None:
    ticked = Reading("c", "checkbox", text="v", value={"checked": "true"}, extra={"checked": None})
    assert make_converter("checkbox").cell_value(ticked) == {"checked": True}
    reading = Reading("c", "status", value={"index": 1}, extra={"index": None, "label": None})
    converter = make_converter("status", STATUS)
    assert converter.canonical_remote(converter.cell_value(reading)) == "Done"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("u.s.a.", "US"), ("United States of America", "US"), ("Côte d’Ivoire", "CI"), ("XK", "XK"),
        ("Vietnam", "VN"), ("Viet Nam", "VN"), ("holland", "NL"), ("Bundesrepublik Deutschland", "DE"),
        ("oesterreich", "AT"), ("Россия", "RU"), ("Česká republika", "CZ"), ("Tschechien", "CZ"), ("Paraguai", "PY"),
        ("\u202aGermany\u202c", "DE"), ("Deutschland\u00a0", "DE"), ("D\u00adE", "DE"),
        ("Republic of the Congo", "CG"), ("Democratic Republic of the Congo", "CD"), ("Atlantis", None),
    ],
)  # fmt: skip
def test_a_country_is_known_however_it_is_written(text: str, code: str | None) -> None:
    assert region_code(text) == code


def test_a_list_keeps_the_place_and_spelling_of_what_stays() -> None:
    converter = make_converter("list_text")
    assert converter.to_local("Beta, ALPHA, Gamma", {"aliases": ["Beta", "Delta"]}) == {
        "aliases": ["Beta", "ALPHA", "Gamma"]
    }
    assert converter.to_local("Navy, army", {"aliases": "ARMY"}) == {"aliases": "Navy, army"}


def test_a_field_of_one_takes_no_two_labels() -> None:
    converter = make_converter("dropdown")
    two = {"values": [{"id": "1", "label": "Navy"}, {"id": "2", "label": "Army"}]}
    with pytest.raises(UnknownValue, match="several_labels"):
        converter.to_local(two, {"branch": ""})
    assert converter.to_local(two, {"branch": []}) == {"branch": ["Navy", "Army"]}


def test_several_connected_items_are_unknown_where_npd_holds_one() -> None:
    converter = make_converter("relation")
    raw = converter.cell_value(Reading("c", "board_relation", extra={"linked_item_ids": ["44", "45"]}))
    assert raw == {"item_ids": ["44", "45"]}
    with pytest.raises(UnknownValue, match="several_items"):
        converter.canonical_remote(raw)


def test_a_relation_is_pulled_as_the_item_or_the_name_that_it_names() -> None:
    assert make_converter("relation").to_local({"item_ids": ["45"]}, {"organization": ACME}) == {
        "organization": {"item": "45"}
    }
    assert make_converter("relation").to_local({"item_ids": ["44"]}, {"organization": ACME}) == {"organization": ACME}
    assert make_converter("relation").to_local(None, {"organization": ACME}) == {"organization": None}
    assert make_converter("relation_name").to_local("Zoë  Ltd", {"organization": ACME}) == {
        "organization": {"name": "Zoë Ltd"}
    }
    assert make_converter("relation_name").to_local(" ACME ", {"organization": ACME}) == {"organization": ACME}


def test_a_relation_is_shown_and_typed_by_name_where_the_name_is_known() -> None:
    converter = make_converter("relation", ConverterOptions(items=ITEMS))
    assert converter.display("44") == "ACME"
    assert converter.from_text("Zoë Ltd", {"organization": ACME}) == {"organization": {"item": "45"}}
    assert converter.from_text("", {"organization": ACME}) == {"organization": None}
    assert make_converter("relation").display("44") == "item 44"
    with pytest.raises(ValueError, match="typed_no_record"):
        converter.from_text("Nobody Inc", {"organization": ACME})
    twice = make_converter("relation", ConverterOptions(items={"44": "ACME", "46": "ACME"}))
    with pytest.raises(ValueError, match="typed_several_records"):
        twice.from_text("ACME", {"organization": None})


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("email", "nobody", "no_email"),
        ("phone", "call me", "no_phone"),
        ("name", "  ", "typed_no_name"),
        ("link", "nowhere", "no_link"),
        ("date", "31.1.2026", "no_day"),
        ("numbers", "1,5", "typed_no_number"),
        ("checkbox", "perhaps", "typed_no_answer"),
    ],
)
def test_a_typed_value_that_can_t_be_right_is_refused_by_its_code(name: str, text: str, code: str) -> None:
    with pytest.raises(ValueError, match=code):
        make_converter(name).from_text(text, {"field": ""})


@pytest.mark.parametrize(
    ("name", "text", "current", "taken"),
    [
        ("checkbox", "Yes", False, True),
        ("numbers", "1e2", None, "100"),
        ("dropdown", "Navy, Army", [], ["Navy", "Army"]),
        ("dropdown", "Navy", "", "Navy"),
        ("list_text", "a\nb", ["b"], ["b", "a"]),
        *((name, " ", "before", None) for name in ("status", "text", "long_text", "email", "phone")),
    ],
)
def test_a_typed_value_is_taken_in_the_form_of_the_field(name: str, text: str, current: Any, taken: Any) -> None:
    assert make_converter(name).from_text(text, {"field": current}) == {"field": taken}


@pytest.mark.parametrize(
    ("name", "value", "column_type", "expected"),
    [
        ("status", {"label": None, "post_id": None}, "color", None),
        ("checkbox", {"checked": "false"}, "boolean", None),
        ("dropdown", {"chosenValues": [{"id": 1, "name": "b"}, {"id": 2, "name": "a"}]}, "dropdown", ("a", "b")),
        ("numbers", {"value": 0}, "numeric", "0"),
        ("relation", {"linkedPulseIds": []}, "board-relation", None),
        ("relation_name", {"text": "ACME"}, "long-text", "ACME"),
    ],
)
def test_a_webhook_s_value_is_read_in_rare_forms_too(name: str, value: Any, column_type: str, expected: Any) -> None:
    assert make_converter(name).from_event(value, column_type) == expected


@pytest.mark.parametrize(
    ("name", "value", "column_type"),
    [
        ("status", {"label": {"index": 3}}, "color"),
        ("status", {"post_id": 5}, "color"),
        ("dropdown", {"ids": [9]}, "dropdown"),
        ("date", "31 Jan", "date"),
        ("numbers", {"value": 0.12345678901234568}, "numeric"),
        ("numbers", {"value": True}, "numeric"),
        ("link", "Shop", "link"),
        ("relation", {"linkedPulseIds": [{"linkedPulseId": 1}, {"linkedPulseId": 2}]}, "board-relation"),
    ],
)
def test_an_undecodable_webhook_value_is_unknown_and_not_empty(name: str, value: Any, column_type: str) -> None:
    with pytest.raises(UnknownValue):
        make_converter(name).from_event(value, column_type)


def test_the_reference_names_every_converter() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/reference/columns.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(CONVERTERS)
