"""Late answers, approvals and items: the record, its item or the setting has changed meanwhile."""

import pytest
from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import ActivityLine, MondayAccount, SyncMetadata, WebhookEvent
from sync.reconcile.settle import items_and_deletions
from tests.lifecycle.conftest import newcomers, open_conflict, quiet_passes, take_away
from tests.lifecycle.test_item_gone import set_policy
from tests.support.people import unlink
from tests.support.world import World, mail


def test_an_old_item_that_somebody_restores_after_it_was_made_again_is_asked_about_and_stays(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    set_policy("create_item")
    made_by = WebhookEvent.objects.get(type="create_pulse").body["event"]["userId"]
    MondayAccount.objects.update_or_create(id=1, defaults={"user_id": str(made_by)})
    old = take_away(world, contact)
    quiet_passes(world)
    contact.refresh_from_db()
    assert contact.monday_id not in (None, old)
    newcomers(world)
    world.sandbox.act("restore", item_id=old)
    newcomers(world)
    assert world.sandbox.item(old)["state"] == "active"
    assert world.sandbox.item(old)["values"]["npd_id"] == ""
    assert open_conflict(contact.pk, "identity").monday_item_id == old
    assert not ActivityLine.objects.filter(entity_id=contact.pk, kind="archived").exists()


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
