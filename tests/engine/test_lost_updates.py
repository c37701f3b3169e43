"""Somebody edits a cell between our read of it and our write: what they wrote is found again, never silently gone."""

import json
from datetime import datetime
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.clock import sync_now
from sync.models import Decision, Intent, MondayAccount, SyncQueue, WebhookEvent
from tests.inbox.conftest import PATH_TOKEN
from tests.support.waiting import wait_for
from tests.support.world import World

TOKENS_USER = "67210000"


def conflicts_of(contact: Contact) -> list[SyncConflict]:
    return list(SyncConflict.objects.filter(entity_id=contact.pk, kind="overwritten", resolved_at=None))


def the_conflict(contact: Contact) -> SyncConflict:
    [conflict] = conflicts_of(contact)
    return conflict


def take(world: World) -> list[Any]:
    """The deliveries that Monday has sent by now, kept back to be handed in by the test."""
    wait_for("the sandbox has sent its webhooks", world._sent_all)
    deliveries, world.hooks.deliveries[:] = list(world.hooks.deliveries), []
    return deliveries


def test_a_lost_update_is_found_in_whatever_order_its_events_are_weighed_one_by_one(world: World) -> None:
    contact = world.linked(role_title="Old")
    before = sync_now()
    world.overwrite(contact)
    written = Intent.objects.filter(entity_id=contact.pk).latest("created_at")
    assert before < datetime.fromisoformat(written.values["role_title"]["read_at"]) < written.created_at
    deliveries = take(world)
    assert len(deliveries) == 2
    for delivery in reversed(deliveries):
        world.hand_in([delivery])
        world.work()
    world.work()
    assert the_conflict(contact).monday_data == {"role_title": "Theirs"}
    assert Decision.objects.filter(entity_id=contact.pk, kind="overwritten").count() == 1


def test_a_conflict_about_a_lost_edit_outlives_further_looks_and_replays(world: World) -> None:
    contact = world.linked(role_title="Old", notes="old")
    world.overwrite(contact)
    world.hear()
    before = the_conflict(contact)
    assert (before.npd_data, before.monday_data) == ({"role_title": "Ours"}, {"role_title": "Theirs"})
    assert "Monday user 67210012" in before.notes["role_title"]
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Ours", "conflict")
    assert world.sync_state(contact).conflicts == {"overwritten": ["role_title"]}
    world.hand_in(world.delivered)
    world.work()
    world.edit(contact, "notes", "something else")
    world.hear()
    world.look(contact)
    after = the_conflict(contact)
    assert (after.pk, after.monday_data, after.npd_data) == (before.pk, before.monday_data, before.npd_data)
    assert world.values(contact)["notes"] == "something else"
    assert (contact.notes, world.status(contact)) == ("something else", "conflict")


# --- what is no lost update -----------------------------------------------------------------------------------------


def test_our_own_echo_is_no_lost_update_and_costs_no_call(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.save(contact, role_title="Ours")
    before = world.calls()
    world.hear(times=2)
    assert (world.calls(), world.status(contact)) == (before, "synced")
    assert not SyncConflict.objects.exists()
    assert not WebhookEvent.objects.filter(processed_at=None).exists()


def test_a_write_without_an_answer_that_lands_hours_later_pulls_nothing_back(world: World) -> None:
    world.mon_pause()
    MondayAccount.objects.filter(id=1).update(user_id=TOKENS_USER)
    contact = world.linked(role_title="Old")
    Contact.objects.filter(pk=contact.pk).update(role_title="First")
    world.sandbox.faults({"timeout": "before", "on": "mutation"})
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Second")
    world.settle()
    world.hear()
    world.pass_time(hours=2)
    assert world.values(contact)["role_title"] == "Second"
    ours = int(TOKENS_USER)
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="First", user_id=ours)
    world.deliver()
    world.look(contact)
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Second", "Second")
    assert world.status(contact) == "synced"


# --- an edit after a write without an answer --------------------------------------------------------------------------


@pytest.mark.parametrize(("npd", "status"), [("Ours", "synced"), ("Later", "conflict")])
def test_a_cell_that_is_emptied_after_a_write_without_an_answer_was_edited(world: World, npd: str, status: str) -> None:
    """It reads as before the write, which an event says had landed: nothing goes over that edit."""
    contact = emptied_after_unanswered(world)
    Contact.objects.filter(pk=contact.pk).update(role_title=npd)
    world.deliver()
    world.settle()
    world.look(contact)
    contact.refresh_from_db()
    assert (world.values(contact)["role_title"], world.status(contact)) == ("", status)
    assert contact.role_title == ("" if status == "synced" else "Later")


def test_where_its_event_comes_after_our_next_write_somebody_is_asked(world: World) -> None:
    contact = emptied_after_unanswered(world)
    world.settle()
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Ours", "synced")
    world.hear(contact)
    conflict = the_conflict(contact)
    assert (conflict.npd_data, conflict.monday_data) == ({"role_title": "Ours"}, {"role_title": None})
    assert world.status(contact) == "conflict"


def emptied_after_unanswered(world: World) -> Contact:
    contact = world.linked(role_title="")
    Contact.objects.filter(pk=contact.pk).update(role_title="Ours")
    world.sandbox.faults({"timeout": "after", "on": "mutation"})
    world.work()
    world.edit(contact, "role_title", "")
    return contact


# --- what a delivery may say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"triggerTime": "0001-01-01T00:00:00+14:00"},
        {"userId": "٣"},
        {"value": [["x"]], "previousValue": {"value": {"value": []}}},
    ],
    ids=str,
)
def test_whatever_a_delivery_says_its_record_is_synced_both_ways(world: World, odd: dict[str, Any]) -> None:
    contact = world.linked(role_title="Old")
    world.save(contact, role_title="Ours")
    event = {
        "type": "update_column_value",
        "boardId": int(world.board_id()),
        "pulseId": int(contact.monday_id or ""),
        "columnId": "role_title",
        "columnType": "text",
        "value": {"value": "Ours"},
        "previousValue": {"value": "Neither"},
        "userId": 67210012,
        "triggerUuid": "f" * 32,
        "triggerTime": sync_now().isoformat(),
    } | odd
    world.hand_in([(json.dumps({"event": event}).encode(), None, f"/webhooks/monday/{PATH_TOKEN}/")])
    world.work()
    assert not SyncQueue.objects.filter(entity_id=contact.pk, status__in=("pending", "failed")).exists()
    world.save(contact, notes="ours")
    world.edit(contact, "role_title", "Theirs")
    world.hear(contact)
    assert (world.values(contact)["notes"], contact.role_title) == ("ours", "Theirs")
    row = SyncQueue.objects.filter(entity_id=contact.pk).latest("id")
    assert (row.status, row.error_message) == ("completed", "")
