"""Boards and fields: what is offered, what can't be, and what is kept."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import BoardLink
from sync.monday import connector
from sync.reconcile.lookups import phone_region
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, mail

HOSTILE = '<img src=x onerror="alert(1)"> "\'& \u202edrawkcab'


def test_the_accounts_boards_are_offered_up_to_a_limit(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    board = a_board(wizard.monday, "Customers")
    assert f"Customers ({board})" in wizard.get("boards/")
    monkeypatch.setattr(connector, "MAX_LISTED_BOARDS", 0)
    assert "There are more boards than can be listed." in wizard.get("boards/")


def test_one_board_for_both_kinds_is_refused_and_nothing_is_kept(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Everything", *PEOPLE)
    assert "Two kinds of records can't have the same board" in wizard.boards(contact=board, organization=board)
    BoardLink.objects.create(entity_type="organization", match_key="name", board_id=board)
    assert "is the one of the organization records" in wizard.boards(contact=board)
    assert not wizard.choices


def test_a_board_that_another_kind_is_being_set_up_with_is_refused(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Everything", *PEOPLE)
    wizard.planned(board)
    wizard.start()
    assert "is the one of the contact records" in wizard.boards(organization=board)


def test_another_board_is_refused_while_records_are_linked(away: Wizard) -> None:
    BoardLink.objects.create(entity_type="contact", match_key="email", board_id="7")
    Contact.objects.create(name="Ann", monday_id="77")
    assert "1 record is linked with an item of board 7" in away.boards(contact="new")
    assert not away.choices


def test_the_board_that_the_environment_names_is_the_one(wizard: Wizard, settings: Any) -> None:
    named, other = a_board(wizard.monday, "Named"), a_board(wizard.monday, "Other")
    settings.MONDAY_CONTACTS_BOARD_ID = named
    assert f"has set board {named}" in wizard.boards(contact=other)
    wizard.boards(contact=named)
    assert wizard.choices["contact"].board_id == named


def test_going_back_and_on_again_keeps_what_was_chosen_and_leaving_a_kind_out_forgets_it(away: Wizard) -> None:
    away.boards(contact="new", organization="new")
    away.fields("contact", column_notes="", direction_role_title="npd_to_monday")
    before = away.choices["contact"]
    away.boards(contact="new", organization="")
    assert away.choices == {"contact": before}


def test_a_column_that_fits_no_field_says_why_and_a_second_one_that_it_is_new(wizard: Wizard) -> None:
    columns = (*PEOPLE, ("rank", "Rank", "numbers"), ("sum", "Span", "timeline"), ("memo", "Meetings", "long_text"),
               ("diary", "Diary", "long_text"))  # fmt: skip
    page = wizard.boards(contact=a_board(wizard.monday, "CRM", *columns))
    assert "“Span” : NPD Sync doesn't read columns of the type timeline." in page
    assert "“Rank” : No field takes columns of the type numbers." in page
    assert "“Notes” is new beside “Meetings”, “Diary”, of the same type." in page


REFUSED = (
    ({"column_role_title": "tel"}, "is of the type phone; Role needs text"),
    ({"column_email": ""}, "Email must be synced, for records and items are matched by it"),
    ({"direction_email": "none"}, "Email must be synced"),
    ({"direction_name": "none"}, "Name must be synced, for it is required in NPD"),
    ({"column_phone": "gone_column"}, "The column gone_column is not on the board any more"),
    ({"column_phone": "+"}, "The board has a column “Phone” that fits"),
    ({"column_organization": "+"}, "Organization needs the other board first"),
    ({"direction_phone": "sideways"}, "Choose one of the directions and rules that are offered"),
    ({"rule_phone": "union"}, "Choose one of the directions and rules that are offered"),
    ({"column_role_title": "job", "column_organization": "job"}, "is the column of"),
)


def test_what_can_not_be_mapped_is_said_beside_its_field_and_nothing_is_kept(wizard: Wizard) -> None:
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE, ("rank", "Rank", "numbers")))
    before = wizard.choices
    for changes, words in REFUSED:
        page = wizard.fields("contact", **changes)
        assert "Check these fields below" in page
        assert words in page
        assert wizard.choices == before


def test_hostile_titles_stay_text(wizard: Wizard) -> None:
    columns = (("mail", HOSTILE, "email"), ("odd", HOSTILE, "timeline"))
    items = [{"name": HOSTILE, "mail": mail("ann@x.org")}]
    Contact.objects.create(name=HOSTILE + "!", email="bob@x.org")
    wizard.planned(a_board(wizard.monday, HOSTILE, *columns, items=items))
    for end in ("boards/", "fields/contact/", "plan/"):
        html = wizard.client.get(START + end).content.decode()
        assert "<img src=x" not in html, end
        assert "&lt;img src=x" in html, end


def test_the_country_of_numbers_without_one_is_chosen_beside_the_phone(away: Wizard) -> None:
    away.boards(contact="new")
    assert "United States (US)" in away.get("fields/contact/")
    away.fields("contact", back="1", phone_region="DE")
    assert phone_region() == "DE"
    away.fields("contact", back="1", phone_region="XX")
    assert phone_region() == "DE"
