"""Boards, fields and the filter: what is offered, what is refused, and what is kept."""

import re
from typing import Any

import pytest

from npd.models import Contact
from sync.monday import connector
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, people, set_up


def test_the_accounts_boards_are_offered_up_to_a_limit(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    board = a_board(wizard.monday, "Customers")
    assert f"Customers ({board})" in wizard.get("boards/")
    monkeypatch.setattr(connector, "MAX_LISTED_BOARDS", 0)
    assert "This list doesn't show all boards." in wizard.get("boards/")


def test_the_board_of_the_same_name_is_preselected(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Contacts")
    html = wizard.client.get(START + "boards/").content.decode()
    assert re.findall(r'<option value="(\w+)" selected', html) == ["new", board]


def test_a_relation_is_suggested_with_its_board_and_otherwise_its_row_says_why_not(wizard: Wizard) -> None:
    page = wizard.boards(contact="new")
    assert wizard.choices["contact"].fields["organization"].column == ""
    assert "The board of these records isn't set up, so no column is suggested" in page
    assert "Next: Plan" in page
    assert "Next: Fields of Contacts" in wizard.boards(contact="new", organization="new")
    wizard.boards(organization="new")
    wizard.boards(organization="new", contact="new")
    assert wizard.choices["contact"].fields["organization"].column == "+"


def test_boards_that_can_not_be_listed_are_asked_for_again(away: Wizard) -> None:
    page = away.get("boards/")
    assert "The boards can't be listed" in page
    assert "Try again" in page


def test_one_board_for_both_kinds_is_refused_and_nothing_is_kept(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "Everything", *PEOPLE)
    assert "Two kinds of records can't share a board" in wizard.boards(contact=board, organization=board)
    wizard.planned(board)
    wizard.start()
    assert "belongs to the contact records" in wizard.boards(organization=board)
    assert not wizard.choices


def test_the_board_that_the_environment_names_is_the_one(wizard: Wizard, settings: Any) -> None:
    named, other_board = a_board(wizard.monday, "Named"), a_board(wizard.monday, "Other")
    settings.MONDAY_CONTACTS_BOARD_ID = named
    assert f"has set board {named}" in wizard.boards(contact=other_board)
    wizard.boards(contact=named)
    assert wizard.choices["contact"].board_id == named


@pytest.mark.parametrize(("items", "creates"), [(1, False), (3, True)])
def test_items_become_records_where_the_board_has_more_of_them_than_npd_has_records(
    wizard: Wizard, items: int, creates: bool
) -> None:
    people()
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=[{"name": f"Item {number}"} for number in range(items)])
    wizard.boards(contact=board)
    assert wizard.choices["contact"].creates_records is creates


def test_of_another_board_that_the_environment_names_the_columns_are_suggested_anew(
    wizard: Wizard, settings: Any
) -> None:
    set_up(wizard)
    Contact.objects.update(monday_id=None)
    renamed = [(f"new_{column}", title, kind) for column, title, kind in PEOPLE]
    settings.MONDAY_CONTACTS_BOARD_ID = a_board(wizard.monday, "New CRM", *renamed)
    wizard.boards(contact=settings.MONDAY_CONTACTS_BOARD_ID)
    columns = {key: choice.column for key, choice in wizard.choices["contact"].fields.items()}
    assert (columns["email"], columns["phone"], columns["role_title"]) == ("new_mail", "new_tel", "new_job")


def test_a_kind_keeps_what_was_chosen_when_the_boards_are_chosen_again(wizard: Wizard) -> None:
    wizard.boards(contact="new", organization="new")
    wizard.fields("contact", column_notes="", direction_role_title="npd_to_monday")
    before = wizard.choices["contact"]
    wizard.boards(contact="new", organization="")
    assert wizard.choices == {"contact": before}


REFUSED = (
    ({"column_role_title": "tel"}, "Select a valid choice"),
    ({"column_email": ""}, "Email must be synced, for records and items are matched by it"),
    ({"direction_email": "none"}, "Email must be synced"),
    ({"direction_name": "none"}, "Name must be synced, for it is required in NPD"),
    ({"column_role_title": "job", "column_organization": "job"}, "is already the column of"),
)


def test_what_can_not_be_mapped_is_said_beside_its_field_and_nothing_is_kept(wizard: Wizard) -> None:
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE, ("rank", "Rank", "numbers")))
    before = wizard.choices
    for changes, words in REFUSED:
        page = wizard.fields("contact", **changes)
        assert "Check the fields marked below" in page
        assert words in page
        assert wizard.choices == before


# The filter.


def sync_filter(wizard: Wizard) -> Any:
    return wizard.choices["contact"].sync_filter


def begun(wizard: Wizard, *groups: str) -> list[str]:
    """Map a board with these groups; return their ids."""
    board = wizard.monday.add_board("CRM", *PEOPLE)
    query = "mutation ($b: ID!, $n: String!) { create_group(board_id: $b, group_name: $n) { id } }"
    answers = [wizard.monday.query(query, b=board, n=name) for name in groups]
    wizard.boards(contact=board)
    wizard.fields("contact")
    return [answer["data"]["create_group"]["id"] for answer in answers]


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_filter_is_planned_in_numbers_before_it_applies_and_taken_back_with_nothing_lost(wizard: Wizard) -> None:
    set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Customer")
    wizard.drain()
    wizard.post("change/contact/")
    wizard.fields("contact", records=[("role_title", "is", "Customer")])
    wizard.plan()
    assert wizard.plan_shown() == {"filtered": 1}
    assert "Role is not “Customer”" in wizard.get("plan/")
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}

    wizard.apply()
    bob = Contact.objects.get(email="bob@x.org")
    assert (Contact.objects.get(email="ann@x.org").sync_status, bob.sync_status) == ("synced", "disabled")
    Contact.objects.filter(pk=bob.pk).update(notes="kept")
    wizard.drain()
    assert wizard.monday.item(str(bob.monday_id))["values"]["notes"] == ""

    wizard.post("change/contact/")
    wizard.fields("contact", records=[])
    wizard.plan()
    assert wizard.plan_shown() == {"push": 1}
    wizard.apply()
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert wizard.monday.item(str(bob.monday_id))["values"]["notes"] == "kept"


def test_groups_are_chosen_by_their_titles(wizard: Wizard) -> None:
    friends, more_friends, foes = begun(wizard, "Friends", "Friends", "Foes; and more")
    assert "The board has no group “Fiends”. Choose one" in wizard.fields(items=[("group", "is", "Fiends")])
    assert sync_filter(wizard) == {}
    wizard.fields(items=[("group", "is", "friends; foes;; and more")])
    [stored] = sync_filter(wizard)["items"]
    assert sorted(stored["values"]) == sorted([friends, more_friends, foes])
    assert "Items on Monday where Group is" in wizard.get("fields/contact/")
    html = wizard.client.get(START + "fields/contact/").content.decode()
    assert "friends; foes;; and more" in html


REFUSED_CONDITIONS = [
    (("", "contains", "Berlin"), "Choose a field"),
    (("role_title", "is", ""), "Type a value"),
    (("email", "is", "no address"), "no address"),
]


def test_a_condition_that_can_not_be_is_said_beside_it_and_nothing_is_stored(wizard: Wizard) -> None:
    begun(wizard)
    for row, words in REFUSED_CONDITIONS:
        assert words in wizard.fields(records=[("name", "is_filled", ""), row])
        assert sync_filter(wizard) == {}


def test_a_field_that_the_filter_asks_for_stays_synced(wizard: Wizard) -> None:
    begun(wizard)
    wizard.fields(records=[("role_title", "is", "Customer"), ("", "is", "")])  # as the page has its last row
    assert len(sync_filter(wizard)["records"]) == 1
    assert "This field isn't synced." in wizard.fields("contact", column_role_title="")


# Later changes go the same way.
