"""An edit on Monday that was overwritten: it waits, with what stands, until a person settles it."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts.models import SyncConflict
from conflicts.progress import conflict_progress
from conflicts.reports import ConflictReport, FieldConflict
from conflicts.resolution import resolve, undo
from npd.models import Contact
from sync.models import Decision
from tests.conflicts.conftest import conflict_of, record, seen
from tests.support.world import World

pytestmark = pytest.mark.django_db

ROLE = FieldConflict("role_title", "Stands", None, "Lost", "Grace wrote it while it was being sent.")
PHONE = FieldConflict("phone", "+44 20 7946 0812", None, "+44 20 7946 0999")


def lost(contact: Contact, *fields: FieldConflict, **more: Any) -> ConflictReport:
    return ConflictReport("contact", contact.pk, contact.monday_id or "", "overwritten", fields, **more)


def test_it_stays_with_its_values_whatever_later_looks_find(contact: Contact) -> None:
    record(lost(contact, ROLE))
    record(lost(contact))
    record(lost(contact, PHONE))
    conflict = conflict_of(contact)
    assert conflict.conflict_fields == ["role_title", "phone"]
    assert conflict.npd_data == {"role_title": "Stands", "phone": PHONE.npd}
    assert conflict.monday_data == {"role_title": "Lost", "phone": PHONE.monday}


def test_of_a_second_loss_the_first_value_stays_in_the_history(contact: Contact) -> None:
    record(lost(contact, ROLE))
    record(lost(contact, replace(ROLE, monday="Lost later")))
    assert conflict_of(contact).monday_data == {"role_title": "Lost later"}
    line = Decision.objects.get(kind="conflict_lost_again")
    assert (line.values["monday"], line.values["second"]) == ("Lost", "Lost later")


@pytest.mark.django_db(transaction=True)
def test_its_resolution_tells_what_was_written_and_can_be_undone(world: World, ada: User) -> None:
    contact = world.linked(role_title="Stands")
    record(lost(contact, ROLE))
    conflict = conflict_of(contact)
    resolve(conflict.pk, by=ada, resolution_type="keep_monday", seen=seen(ROLE))
    world.work()
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Lost", "Lost")
    assert not conflict_of(contact).is_open
    assert "written in NPD and on Monday" in conflict_progress(conflict_of(contact)).sentence
    undo(conflict.pk, by=ada)
    world.work()
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Stands", "Stands")
    again = SyncConflict.objects.get()
    assert (again.is_open, again.resolution) == (True, None)
    assert (again.npd_data, again.monday_data) == ({"role_title": "Stands"}, {"role_title": "Lost"})
    assert world.status(contact) == "conflict"
    world.deliver()
    world.look(contact)
    assert (world.status(contact), conflict_of(contact).is_open) == ("conflict", True)
