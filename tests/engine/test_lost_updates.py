"""Somebody edits a cell between our read and our write: the value is found again, never silently lost."""

from datetime import datetime

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sandbox.model import API_USER
from sync.clock import sync_now
from sync.models import ActivityLine, BoardLink, Intent, MondayAccount, WebhookEvent
from tests.support.cases import each_once
from tests.support.people import unlink
from tests.support.world import World


def the_conflict(contact: Contact) -> SyncConflict:
    return SyncConflict.objects.get(entity_id=contact.pk, kind="overwritten", resolved_at=None)


def test_a_lost_update_is_found_in_whatever_order_its_events_are_weighed_one_by_one(world: World) -> None:
    contact = world.linked(role_title="Old")
    before = sync_now()
    world.meanwhile(lambda: world.edit(contact, "role_title", "Theirs"), before="mutation")
    world.save(contact, role_title="Ours")
    written = Intent.objects.filter(entity_id=contact.pk).latest("created_at")
    assert before < datetime.fromisoformat(written.values["role_title"]["read_at"]) < written.created_at
    assert world.deliver(times=0) == 2
    for delivery in reversed(world.delivered[-2:]):
        world.hand_in([delivery])
        world.work()
    world.work()
    conflict = the_conflict(contact)
    assert (conflict.npd_data, conflict.monday_data) == ({"role_title": "Ours"}, {"role_title": "Theirs"})
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Ours", "conflict")
    assert ActivityLine.objects.filter(entity_id=contact.pk, kind="overwritten").count() == 1


@pytest.mark.parametrize("is_read", [False, True])
def test_a_lost_value_that_its_event_does_not_tell_is_in_the_history_unless_a_pass_read_it(
    world: World, is_read: bool
) -> None:
    ann = world.linked(phone="+442079460018")
    theirs = {"phone": "442079460099", "countryShortName": "GB"}  # webhooks leave out the country
    if is_read:
        world.edit(ann, "phone", theirs)
        world.run_pass(ann)
    else:
        world.meanwhile(lambda: world.edit(ann, "phone", theirs), before="mutation")
    world.save(ann, phone="+442079460055")
    world.hear(ann)
    assert (world.values(ann)["phone"], world.status(ann)) == ("+442079460055", "synced")
    lines = ActivityLine.objects.filter(entity_id=ann.pk, kind="overwritten")
    assert [line.values["before"] for line in lines] == ([] if is_read else ["442079460099"])


@pytest.mark.parametrize(
    ("later", "off"),
    each_once(["stays", "unlinked", "deleted", "on again"], ["its sync is off", "the filter leaves it out"]),
)
def test_a_lost_value_of_a_record_that_is_not_synced_any_more_is_in_the_history_once(
    world: World, off: str, later: str
) -> None:
    ann = world.linked(role_title="Old", notes="n")
    world.meanwhile(lambda: world.edit(ann, "role_title", "Theirs"), before="mutation")
    world.save(ann, role_title="Ours")
    links = BoardLink.objects.filter(entity_type="contact")
    if off == "its sync is off":
        Contact.objects.filter(pk=ann.pk).update(sync_enabled=False)
    else:
        links.update(sync_filter={"records": [{"field": "notes", "op": "is_empty", "values": [], "labels": []}]})
    world.hear()
    if later == "unlinked":
        unlink(ann)
    elif later == "deleted":
        Contact.objects.filter(pk=ann.pk).delete()
    elif later == "on again":
        links.update(sync_filter={})
        world.save(ann, sync_enabled=True, role_title="Ours, again")
    world.hear(rounds=2, minutes=11)
    lines = ActivityLine.objects.filter(entity_id=ann.pk, kind="overwritten")
    assert [line.values["before"] for line in lines] == ["Theirs"]
    assert not SyncConflict.objects.exists()


def test_a_value_put_back_over_a_write_that_seemed_void_is_in_the_activity(world: World) -> None:
    contact = world.linked(role_title="Old")
    MondayAccount.objects.update(user_id=str(API_USER.id))
    world.sandbox.faults({"timeout": "after"})
    world.save(contact, role_title="Ours")
    assert world.values(contact)["role_title"] == "Ours"
    world.edit(contact, "role_title", "Old")
    world.settle()
    assert world.values(contact)["role_title"] == "Ours", "it was sent once more, over the edit"
    world.hear(rounds=2, minutes=11)
    assert (world.status(contact), SyncConflict.objects.count()) == ("synced", 0)
    lines = ActivityLine.objects.filter(entity_id=contact.pk, key="role_title", kind="edit")
    assert [(line.values["before"], line.values["after"]) for line in lines] == [("Ours", "Old")]


# --- what is no lost update -----------------------------------------------------------------------------------------


def test_our_own_echo_is_no_lost_update_and_costs_no_call(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.save(contact, role_title="Ours")
    before = world.calls()
    world.hear(times=2)
    assert (world.calls(), world.status(contact)) == (before, "synced")
    assert not SyncConflict.objects.exists()
    assert not WebhookEvent.objects.filter(processed_at=None).exists()
