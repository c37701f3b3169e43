"""Later changes of what is mapped go the same way: map, plan, run."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.urls import reverse

from npd.models import Contact
from sync.kernel.messages import Conflict
from sync.models import BoardLink, FieldMapping
from sync.operations.setup import draft as drafts
from tests.support.waiting import beside, wait_for
from tests.wizard.conftest import PEOPLE as COLUMNS
from tests.wizard.conftest import Wizard, a_board, draft, people, words_of


def set_up(wizard: Wizard) -> BoardLink:
    people()
    wizard.compared(a_board(wizard.monday, "CRM", *COLUMNS, ("position", "Position", "text")))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def page_of(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


def change(wizard: Wizard, **changes: str) -> None:
    """Begin a change of the contacts' mapping, and have it compared."""
    drafts.begin_change(wizard.person, "contact")
    wizard.choose("contact", **changes)
    wizard.work()


def all_are_in_sync() -> bool:
    return set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_another_column_is_planned_before_it_is_written(wizard: Wizard) -> None:
    link = set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    wizard.drain()
    assert "Edit mapping" in words_of(wizard.client.get(page_of(link)).content.decode())
    wizard.mark = wizard.last_call()
    change(wizard, column_role_title="position")
    assert draft().found["counts"]["linked"] == 2
    assert draft().found["fields"] == {"to_monday Role": 1}
    assert "1 item is updated on Monday Ann Ångström (Role)" in wizard.get("plan/")
    assert not wizard.mutations()
    assert FieldMapping.objects.get(key="role_title").column_id == "job"
    wizard.apply()
    mapping = FieldMapping.objects.get(key="role_title")
    assert (mapping.column_id, mapping.version) == ("position", 2)
    assert "Role is now in the column position (as chosen)" in draft().outcome["done"]
    assert wizard.monday.item_named("Ann Ångström")["values"]["position"] == "Head"  # type: ignore[index]
    assert all_are_in_sync()


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_field_that_is_left_out_keeps_its_values_on_both_sides(wizard: Wizard) -> None:
    set_up(wizard)
    change(wizard, direction_phone="none")
    wizard.apply()
    Contact.objects.filter(email="ann@x.org").update(phone="+12025550123")
    wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["tel"] == ""  # type: ignore[index]
    assert all_are_in_sync()


def test_a_field_needs_no_column_and_stays_at_its_first_version_when_it_gets_one(wizard: Wizard) -> None:
    """Nothing was agreed about a field without a column, so there is no base to end: as by the command."""
    people()
    wizard.compared(a_board(wizard.monday, "CRM", *COLUMNS), column_notes="")
    wizard.apply()
    assert FieldMapping.objects.get(key="notes").direction == "none"
    assert "Notes" not in {column["title"] for column in wizard.monday.boards()[0]["columns"]}
    assert all_are_in_sync()
    Contact.objects.filter(email="ann@x.org").update(notes="Met at the fair")
    change(wizard, column_notes="+", direction_notes="bidirectional")
    wizard.apply()
    mapping = FieldMapping.objects.get(key="notes")
    assert (mapping.direction, mapping.version) == ("bidirectional", 1)
    assert wizard.monday.item_named("Ann Ångström")["values"][mapping.column_id] == "Met at the fair"  # type: ignore[index]
    assert all_are_in_sync()


def _waiting_to_begin() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_a_board_that_is_chosen_replaces_no_set_up_that_was_changed_in_the_same_moment(wizard: Wizard) -> None:
    seen, begun, other = (a_board(wizard.monday, name, *COLUMNS) for name in ("Seen", "Begun", "Other"))
    drafts.choose_boards(wizard.person, {"contact": seen})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [drafts.BEGIN_LOCK])
        one = beside(lambda: drafts.choose_boards(wizard.person, {"contact": other}))
        wait_for("the other has looked, and waits to write", lambda: _waiting_to_begin() == 1)
        drafts.choose_boards(wizard.person, {"contact": begun})
    assert isinstance(one.exception(60), Conflict)
    kept = drafts.draft_of("contact")
    assert kept is not None
    assert kept.board_id == begun
    drafts.choose_boards(wizard.person, {"contact": other})  # what is there was seen
    assert drafts.draft_of("contact").board_id == other  # type: ignore[union-attr]
