"""Late answers, approvals and items: the record, its item or the setting has changed meanwhile."""

import pytest
from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import SyncMetadata
from sync.reconcile.settle import items_and_deletions
from tests.lifecycle.conftest import newcomers
from tests.support.people import unlink
from tests.support.world import World, mail


def test_an_unlink_that_a_person_wants_outlives_a_save_during_a_failed_look(world: World) -> None:
    contact = world.linked("Ann")
    item = str(contact.monday_id)
    world.sandbox.faults({"timeout": "before", "on": "change_multiple_column_values"})
    unlink(contact)
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.settle()
    assert (world.status(contact), contact.monday_id) == ("disabled", None)
    assert world.sandbox.item(item)["values"]["npd_id"] == ""
    assert SyncMetadata.objects.get(entity_id=str(contact.pk)).conflicts == {}


def test_what_is_edited_on_an_item_while_it_becomes_a_record_is_taken_over(world: World) -> None:
    item_id = world.add("Ann", email=mail("ann@example.com"), role_title="Clerk")
    edit = {"item_id": item_id, "column_id": "role_title", "value": "Director"}
    world.deliver()
    world.pass_time(minutes=6)
    world.meanwhile(lambda: world.sandbox.act("edit", **edit), after="read")
    world.work()
    contact = Contact.objects.get()
    newcomers(world)
    contact.refresh_from_db()
    assert not SyncConflict.objects.exists()
    assert (contact.role_title, contact.sync_status) == ("Director", "synced")


def test_a_long_wait_for_a_lock_keeps_a_new_item(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_way(*args: object, **more: object) -> None:
        monkeypatch.undo()
        raise OperationalError("canceling statement due to lock timeout") from LockNotAvailable()

    item = world.add("Ann", email=mail("ann@example.com"))
    monkeypatch.setattr(items_and_deletions, "store_new_record", gives_way)
    newcomers(world)
    assert items_and_deletions.store_new_record is not gives_way
    assert Contact.objects.get().monday_id == item
