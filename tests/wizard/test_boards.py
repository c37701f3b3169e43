"""The first two steps: the token, and which board each kind of records has."""

from __future__ import annotations

from typing import Any

from npd.models import Contact
from sync.models import BoardLink, SetupDraft
from tests.wizard.conftest import PEOPLE, Wizard, a_board, draft


def test_boards_are_searched_by_name_and_number(wizard: Wizard) -> None:
    first, second = a_board(wizard.monday, "Customers"), a_board(wizard.monday, "Partners")
    found = wizard.get("boards/?q=custom")
    assert f"Customers ({first})" in found
    assert f"({second})" not in found
    assert f"Partners ({second})" in wizard.get(f"boards/?q={second}")


def test_one_board_for_both_kinds_is_refused_and_nothing_is_kept(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Everything", *PEOPLE)
    assert "Two kinds of records can't have the same board" in wizard.boards(contact=board, organization=board)
    BoardLink.objects.create(entity_type="organization", match_key="name", board_id=board)
    assert "is the one of the organization records" in wizard.boards(contact=board)
    assert not SetupDraft.objects.exists()


def test_another_board_is_refused_while_records_are_linked(away: Wizard) -> None:
    BoardLink.objects.create(entity_type="contact", match_key="email", board_id="7")
    Contact.objects.create(name="Ann", monday_id="77")
    assert "1 record is linked with an item of board 7" in away.boards(contact="new")
    assert not SetupDraft.objects.exists()


def test_the_board_that_the_environment_names_is_the_one(wizard: Wizard, settings: Any) -> None:
    named, other = a_board(wizard.monday, "Named"), a_board(wizard.monday, "Other")
    settings.MONDAY_CONTACTS_BOARD_ID = named
    assert f"has set board {named}" in wizard.boards(contact=other)
    wizard.boards(contact=named)
    assert draft().board_id == named


def test_going_back_and_on_again_keeps_what_was_mapped(away: Wizard) -> None:
    away.boards(contact="new")
    away.map("contact", column_notes="", direction_role_title="npd_to_monday")
    before = draft()
    away.boards(contact="new")
    assert draft().fields == before.fields
    assert draft().mapped


def test_leaving_a_kind_out_forgets_what_was_drawn_up(away: Wizard) -> None:
    away.boards(contact="new", organization="new")
    away.boards(contact="new", organization="")
    assert list(SetupDraft.objects.values_list("entity_type", flat=True)) == ["contact"]
