"""Later changes of what is mapped go the same way: fields, plan, start; also from the board's own page."""

import pytest

from npd.models import Contact
from sync.models import BoardLink, FieldMapping
from tests.wizard.conftest import PEOPLE, Wizard, a_board, people, started


def set_up(wizard: Wizard) -> BoardLink:
    people()
    wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE, ("position", "Position held", "text")))
    wizard.apply()
    wizard.mark = wizard.last_call()
    return BoardLink.objects.get(entity_type="contact")


def all_are_in_sync() -> bool:
    return set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_another_column_is_planned_before_it_is_written(wizard: Wizard) -> None:
    set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    wizard.drain()
    plan = wizard.change(column_role_title="position")
    assert plan.counts["to_monday"] == 1
    assert "1 item is updated on Monday Ann Ångström (Role)" in wizard.get("plan/")
    assert not wizard.mutations()
    assert FieldMapping.objects.get(key="role_title").column_id == "job"
    wizard.apply()
    mapping = FieldMapping.objects.get(key="role_title")
    assert (mapping.column_id, mapping.version) == ("position", 2)
    assert "Role is now in the column position (as chosen)" in started()["done"]
    assert wizard.monday.item_named("Ann Ångström")["values"]["position"] == "Head"
    assert all_are_in_sync()


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_a_field_that_is_left_out_keeps_its_values_on_both_sides(wizard: Wizard) -> None:
    set_up(wizard)
    wizard.change(direction_phone="none")
    wizard.apply()
    Contact.objects.filter(email="ann@x.org").update(phone="+12025550123")
    wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["tel"] == ""
    assert all_are_in_sync()


def test_a_field_needs_no_column_and_stays_at_its_first_version_when_it_gets_one(wizard: Wizard) -> None:
    """Nothing was agreed about a field without a column, so there is no base to end: as by the command."""
    people()
    wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE), column_notes="")
    wizard.apply()
    assert FieldMapping.objects.get(key="notes").direction == "none"
    assert "Notes" not in {column["title"] for column in wizard.monday.boards()[0]["columns"]}
    assert all_are_in_sync()
    Contact.objects.filter(email="ann@x.org").update(notes="Met at the fair")
    wizard.change(column_notes="+", direction_notes="bidirectional")
    wizard.apply()
    mapping = FieldMapping.objects.get(key="notes")
    assert (mapping.direction, mapping.version) == ("bidirectional", 1)
    assert wizard.monday.item_named("Ann Ångström")["values"][mapping.column_id] == "Met at the fair"
    assert all_are_in_sync()
