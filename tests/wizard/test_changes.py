"""Later changes of what is mapped go the same way: map, plan, run."""

from __future__ import annotations

import pytest
from django.urls import reverse

from npd.models import Contact
from sync.models import BoardLink, FieldMapping
from tests.admin.forms import values_of
from tests.wizard.conftest import PEOPLE as COLUMNS
from tests.wizard.conftest import Wizard, a_board, draft, people, words_of

# What a save leaves to the queue is told apart from what a look wrote by its transaction.
pytestmark = [pytest.mark.django_db(transaction=True)]


def set_up(wizard: Wizard) -> BoardLink:
    people()
    columns = (*COLUMNS, ("position", "Position", "text"))
    wizard.all_the_way(contact=a_board(wizard.monday, "CRM", *columns))
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def page_of(link: BoardLink) -> str:
    return reverse("admin:sync_boardlink_change", args=[link.pk])


def test_another_column_is_planned_before_it_is_written(wizard: Wizard) -> None:
    link = set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    wizard.drain()
    assert "Change through the plan" in words_of(wizard.client.get(page_of(link)).content.decode())
    wizard.post("change/contact/")
    assert draft().fields["role_title"]["column"] == "job"
    wizard.mark = wizard.last_call()
    wizard.map("contact", column_role_title="position")
    wizard.work()
    assert draft().found["counts"]["linked"] == 2
    assert draft().found["fields"] == {"to_monday Role": 1}
    assert "Updated on Monday 1 Ann Ångström (Role)" in wizard.get("plan/")
    assert not wizard.mutations()
    assert FieldMapping.objects.get(key="role_title").column_id == "job"
    wizard.confirm()
    wizard.work()
    wizard.drain()
    mapping = FieldMapping.objects.get(key="role_title")
    assert (mapping.column_id, mapping.version) == ("position", 2)
    assert "Role is now in the column position (as chosen)" in draft().outcome["done"]
    assert wizard.monday.item_named("Ann Ångström")["values"]["position"] == "Head"  # type: ignore[index]
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_a_direction_chosen_on_the_boards_page_leads_to_the_plan(wizard: Wizard) -> None:
    link = set_up(wizard)
    form = values_of(wizard.client.get(page_of(link)), "boardlink_form")
    (name,) = [
        key.replace("column_id", "direction") for key, value in form.items()
        if key.startswith("mappings") and key.endswith("column_id") and value == "job"
    ]  # fmt: skip
    page = words_of(wizard.client.post(page_of(link), form | {name: "npd_to_monday"}, follow=True).content.decode())
    assert "Column and direction are not changed yet: this is the plan" in page
    assert FieldMapping.objects.get(key="role_title").direction == "bidirectional"
    wizard.work()
    wizard.confirm()
    wizard.work()
    wizard.drain()
    assert FieldMapping.objects.get(key="role_title").direction == "npd_to_monday"
    assert {one.version for one in FieldMapping.objects.all()} == {1}
    assert not [name for name in wizard.mutations() if "item" in name or "column" in name]


def test_a_field_that_is_left_out_keeps_its_values_on_both_sides(wizard: Wizard) -> None:
    set_up(wizard)
    wizard.post("change/contact/")
    wizard.map("contact", direction_phone="none")
    wizard.work()
    wizard.confirm()
    wizard.work()
    wizard.drain()
    Contact.objects.filter(email="ann@x.org").update(phone="+12025550123")
    wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["tel"] == ""  # type: ignore[index]
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_a_field_never_mapped_needs_no_column(wizard: Wizard) -> None:
    people()
    wizard.boards(contact=a_board(wizard.monday, "CRM", *COLUMNS))
    wizard.map("contact", column_notes="", column_phone="")
    wizard.work()
    wizard.confirm()
    wizard.work()
    wizard.drain()
    assert FieldMapping.objects.get(key="notes").direction == "none"
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert "Notes" not in {column["title"] for column in wizard.monday.boards()[0]["columns"]}


def test_a_field_that_gets_its_first_column_later_stays_at_its_first_version(wizard: Wizard) -> None:
    """Nothing was agreed about a field without a column, so there is no base to end: as by the command."""
    people()
    wizard.boards(contact=a_board(wizard.monday, "CRM", *COLUMNS))
    wizard.map("contact", column_notes="")
    wizard.work()
    wizard.confirm()
    wizard.work()
    wizard.post("change/contact/")
    Contact.objects.filter(email="ann@x.org").update(notes="Met at the fair")
    wizard.map("contact", column_notes="+", direction_notes="bidirectional")
    wizard.work()
    wizard.confirm()
    wizard.work()
    wizard.drain()
    mapping = FieldMapping.objects.get(key="notes")
    assert (mapping.direction, mapping.version) == ("bidirectional", 1)
    assert wizard.monday.item_named("Ann Ångström")["values"][mapping.column_id] == "Met at the fair"  # type: ignore[index]
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
