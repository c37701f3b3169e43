"""Set-ups that stand open: nobody's is mixed with another's, replaced unseen, or in the way of another kind's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from npd.models import Contact
from sync.clock import sync_now
from sync.connectors.monday.monday_connector import MondayConnector
from sync.models import BoardLink, FieldMapping, SetupDraft
from tests.admin.forms import values_of
from tests.wizard.conftest import PEOPLE, Wizard, a_board, draft, people, plans_shown, words_of
from tests.wizard.test_changes import change, page_of, set_up
from tests.wizard.test_held_to_the_plan import drawn_up


def ask_on_the_boards_page(wizard: Wizard, link: BoardLink, column: str, **changes: str) -> str:
    """Save the board's page with another direction or rule of the field that has this column."""
    form = values_of(wizard.client.get(page_of(link)), "boardlink_form")
    (name,) = [
        key for key, value in form.items()
        if key.startswith("mappings") and key.endswith("column_id") and value == column
    ]  # fmt: skip
    asked = {name.replace("column_id", what): value for what, value in changes.items()}
    return words_of(wizard.client.post(page_of(link), form | asked, follow=True).content.decode())


def said() -> list[str]:
    return [one.get_change_message() for one in LogEntry.objects.order_by("pk")]


def test_a_change_asked_on_the_boards_page_carries_no_other_open_change_along(wizard: Wizard) -> None:
    link = set_up(wizard)
    change(wizard, direction_phone="none")
    before = draft().fields
    page = ask_on_the_boards_page(wizard, link, "job", direction="npd_to_monday")
    assert "Another change is open: Phone: Sync “Phone” (tel)" in page
    assert draft().fields == before
    assert "Another change is open" in wizard.post("change/contact/")
    assert draft().fields == before
    wizard.post("discard/contact/")
    assert not SetupDraft.objects.filter(entity_type="contact").exists()
    ask_on_the_boards_page(wizard, link, "job", direction="npd_to_monday")
    assert draft().fields["role_title"]["direction"] == "npd_to_monday"
    assert draft().fields["phone"]["direction"] == "bidirectional"


def test_plan_and_log_say_what_changes_in_the_mapping(away: Wizard) -> None:
    drawn_up(away.person)
    changes = {"direction_email": "npd_to_monday", "rule_email": "npd_wins", "direction_phone": "none"}
    away.choose("contact", column_role_title="position", **changes)
    SetupDraft.objects.update(state="compared", found_at=sync_now())
    page = away.get("plan/")
    assert "Role Column “role_title” (role_title) “position” (position)" in page
    assert "Email Direction" in page
    assert "Email Rule" in page
    assert "Phone Sync “phone” (phone)" in page
    assert "Name Column" not in page
    assert "Where both sides are filled and differ, you are asked" in page
    away.confirm()
    for line in (said()[-1], next(one for one in said()[::-1] if "fields mapped" in one)):
        assert "Role: Column “role_title” (role_title) → “position” (position)" in line
        assert "Email: Direction" in line
        assert "Email: Rule" in line
        assert "not synced" in line


@pytest.mark.django_db(transaction=True)  # what the board's page asks for is drawn up after its transaction
def test_the_boards_page_calls_monday_after_its_save_and_logs_only_what_it_wrote(
    wizard: Wizard, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = set_up(wizard)
    held: list[bool] = []
    read_boards = MondayConnector.read_boards

    def read(*arguments: Any) -> Any:
        held.append(connection.in_atomic_block)
        return read_boards(*arguments)

    monkeypatch.setattr(MondayConnector, "read_boards", read)
    first = LogEntry.objects.count()
    page = ask_on_the_boards_page(wizard, link, "job", direction="npd_to_monday", rule="npd_wins")
    assert "Column and direction are not changed yet: this is the plan" in page
    assert held
    assert not any(held)
    mapping = FieldMapping.objects.get(key="role_title")
    assert (mapping.direction, mapping.rule) == ("bidirectional", "npd_wins")
    [written] = [one for one in said()[first:] if one.startswith("Changed")]
    assert "irection" not in written
    wizard.post("discard/contact/")
    first = LogEntry.objects.count()
    ask_on_the_boards_page(wizard, link, "job", direction="npd_to_monday")
    assert said()[first] == "Asked for other columns or directions; not written yet."
    assert "Role: Direction" in said()[-1]
    wizard.work()
    wizard.mark = wizard.last_call()
    wizard.apply()
    assert FieldMapping.objects.get(key="role_title").direction == "npd_to_monday"
    assert {one.version for one in FieldMapping.objects.all()} == {1}
    assert not [name for name in wizard.mutations() if "item" in name or "column" in name]


def test_an_abandoned_set_up_of_the_other_kind_neither_blocks_nor_joins(wizard: Wizard) -> None:
    people()
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE), organization="new")
    wizard.map("contact")
    wizard.get("plan/")
    wizard.work()
    assert draft().state == "compared"
    page = wizard.get("plan/")
    assert "Contacts: the plan" in page
    assert "Organizations: not mapped yet" in page
    wizard.map("organization")
    wizard.work()
    assert "Apply the plan of Organizations" in wizard.get("plan/")
    wizard.post("plan/")
    assert {one.state for one in SetupDraft.objects.all()} == {"compared"}
    wizard.post("plan/", **plans_shown("contact"))
    assert (draft().state, draft("organization").state) == ("running", "compared")
    wizard.work()
    assert draft().state == "done", draft().problem
    assert not BoardLink.objects.filter(entity_type="organization").exists()


def test_a_field_that_points_at_a_set_up_not_chosen_is_refused(away: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    away.boards(contact="new", organization="new")
    away.map("organization")
    away.map("contact", column_organization="+")
    away.work()
    page = away.post("plan/", **plans_shown("contact"))
    assert "Organization points at the organization records, whose set-up was not chosen" in page
    assert draft().state == "compared"


def test_one_that_is_being_applied_is_not_said_to_be_discarded(wizard: Wizard) -> None:
    people()
    wizard.compared("new")
    wizard.confirm()
    page = wizard.post("discard/contact/")
    assert "This set-up was confirmed meanwhile, and is being applied." in page
    assert "was discarded" not in page
    page = wizard.boards(contact="", organization="new")
    assert "Organizations: which field is which column?" in page
    assert (draft().state, draft("organization").state) == ("running", "draft")
    wizard.post("discard/organization/")
    wizard.work()
    page = wizard.post("discard/contact/")
    assert "This set-up was applied meanwhile; there is nothing to discard." in page
    assert draft().state == "done"
