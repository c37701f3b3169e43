"""A linked record whose item is archived, deleted, not shown or elsewhere: merge/removed-and-deleted.md."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import PROTECT
from pghistory.models import Events

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import attention
from sync.admin.activity import actor_of
from sync.attention import Kind
from sync.clock import sync_now
from sync.models import ActivityLine, BoardLink, MondayAccount, SyncQueue, Tombstone, WebhookEvent
from sync.reconcile.gather.item_facts import deletion_obstacles
from sync.records.authors import SYNC_ACTOR, monday_editor_name
from sync.records.item_links import RECREATE_KEY, request_recreation
from sync.records.tombstones import restore_by_person
from tests.admin import states
from tests.engine.test_relations import cell, connected
from tests.lifecycle.conftest import choose, open_conflict, quiet_passes, take_away
from tests.support.people import signed_in
from tests.support.words import said
from tests.support.world import TOM, World


def set_policy(policy: str) -> None:
    BoardLink.objects.filter(entity_type="contact").update(removed_item_policy=policy)


def set_fields(record: Any, **values: Any) -> None:
    type(record).objects.filter(pk=record.pk).update(**values)


def log_of(record_id: Any, kind: str) -> list[str]:
    return list(ActivityLine.objects.filter(entity_id=record_id, kind=kind).values_list("sentence", flat=True))


def test_the_history_names_who_archived_an_item_and_who_restored_it(world: World) -> None:
    contact = world.linked()
    take_away(world, contact)
    event = WebhookEvent.objects.filter(item_id=contact.monday_id).latest("id")
    line = ActivityLine.objects.get(entity_id=contact.pk, kind="removed")
    assert line.actor == monday_editor_name(str(event.user_id), MondayAccount.objects.get().users)
    world.sandbox.act("restore", item_id=contact.monday_id, user_id=TOM)
    world.hear()
    line = ActivityLine.objects.get(entity_id=contact.pk, kind="returned")
    assert line.actor == monday_editor_name(str(TOM), MondayAccount.objects.get().users) != ""


def test_a_deletion_by_the_boards_setting_is_nobodys_who_deleted_the_record_before(world: World, pat: Any) -> None:
    contact = world.linked()
    set_policy("delete_record")
    assert signed_in(pat).post(f"/admin/npd/contact/{contact.pk}/delete/", {"post": "yes"}).status_code == 302
    restore_by_person(Tombstone.objects.get(entity_id=contact.pk), "pat")
    world.work()
    take_away(world, contact, "delete")
    quiet_passes(world)
    assert not Contact.objects.filter(pk=contact.pk).exists()
    line = ActivityLine.objects.filter(entity_id=contact.pk, kind="delete").latest("id")
    assert (line.actor, actor_of(line)) == ("", SYNC_ACTOR)


def test_a_person_has_the_item_made_again_at_once_and_nobody_is_asked_any_more(world: World) -> None:
    contact = world.linked(role_title="Boss")
    item = take_away(world, contact)
    set_fields(contact, role_title="Chair")
    quiet_passes(world)
    assert open_conflict(contact.pk)
    contact.refresh_from_db()
    assert request_recreation("contact", [contact.pk], "pat") == []
    world.work()
    world.work()
    assert world.status(contact) == "synced"
    assert contact.monday_id not in (None, item)
    assert world.values(contact)["role_title"] == contact.role_title
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert len(log_of(contact.pk, "unlinked")) == 1
    decisions = ActivityLine.objects.filter(
        entity_id=contact.pk, kind__in=("unlinked", "create", "push"), cause__causes__contains=["person"]
    )
    assert {decision.actor for decision in decisions} == {"pat"}


def test_a_board_that_is_gone_takes_no_record_with_it(world: World) -> None:
    contact = world.linked()
    set_policy("delete_record")
    world.sandbox.query("mutation ($b: ID!) { delete_board(board_id: $b) { id } }", b=world.board_id())
    world.run_pass(contact)
    quiet_passes(world, 3)
    assert Contact.objects.filter(pk=contact.pk).exists()
    assert not SyncConflict.objects.exists()


# --- there, as the base | archived or deleted: the board link's policy ------------------------------------------


def test_there_as_the_base_archived_or_deleted_delete_the_record(world: World) -> None:
    contact = world.linked(role_title="Boss")
    set_policy("delete_record")
    key = contact.pk
    item = take_away(world, contact, "delete")
    SyncQueue.objects.create(entity_type="contact", entity_id=key, status="failed", error_message=said("it failed"))
    mutations = world.calls("mutation")
    quiet_passes(world)
    assert not Contact.objects.filter(pk=key).exists()
    stone = Tombstone.objects.get(entity_id=key)
    assert (stone.state, stone.monday_id, stone.data["role_title"]) == ("deleted", item, "Boss")
    assert not SyncQueue.objects.filter(entity_id=key).exclude(status="completed").exists()
    assert any("deleted in NPD too" in sentence for sentence in log_of(key, "delete"))
    quiet_passes(world)
    assert world.calls("mutation") == mutations


__all__ = ["connected"]


def settled(world: World) -> None:
    world.hear(rounds=3)


def test_a_removal_of_which_nothing_is_known_in_npd_empties_nothing_there(connected: World) -> None:
    """No webhook tells of it and the organization's sync is off: only the item itself shows why the cell is empty."""
    acme, beta = Organization.objects.create(name="Acme"), Organization.objects.create(name="Beta")
    contact = connected.linked(organization=acme)
    Organization.objects.filter(pk=acme.pk).update(sync_enabled=False)
    connected.work(acme)
    connected.pass_time(minutes=3)
    connected.sandbox.act("delete", item_id=acme.monday_id)
    calls = connected.calls()
    connected.run_pass(contact)
    assert connected.calls() - calls == 2, "the contact's item, and the one that its cell named"
    contact.refresh_from_db()
    assert contact.organization == acme
    assert connected.sync_state(contact).blocked_fields["organization"]["code"] == "relation"
    connected.save(contact, organization=beta)
    settled(connected)
    assert (cell(connected, contact), connected.status(contact)) == ("Beta", "synced")


def test_a_deleted_record_is_named_by_nobody_any_more_on_either_side(connected: World, pat: Any) -> None:
    acme = Organization.objects.create(name="Acme")
    contact = connected.linked(organization=acme)
    take_away(connected, acme, "delete")
    quiet_passes(connected)
    choose(open_conflict(acme.pk), pat, "delete_record")
    connected.work()
    settled(connected)
    assert connected.status(contact) == "synced", connected.sync_state(contact).blocked_fields
    assert contact.organization is None
    assert cell(connected, contact) == ""
    emptied = Events.objects.filter(pgh_obj_id=str(contact.pk)).order_by("pgh_created_at").last()
    assert (emptied.pgh_label, emptied.pgh_context["cause"]) == ("update", "sync")


def test_a_removal_shows_when_a_person_did_it_and_its_quiet_time_begins_when_noticed(world: World) -> None:
    contact = world.linked("Ann")
    then = sync_now()
    world.sandbox.act("archive", item_id=contact.monday_id)
    world.hear(minutes=11)
    [cause] = attention.groups(attention.waiting(kinds=[Kind.REMOVED]))
    assert cause.since is not None
    assert abs(cause.since - then) < timedelta(minutes=1)
    assert cause.noticed is not None
    assert cause.noticed - then > timedelta(minutes=10)
    line = ActivityLine.objects.get(entity_id=contact.pk, kind="removed")
    assert (abs(line.happened_at - then) < timedelta(minutes=1), line.at - then > timedelta(minutes=10)) == (True, True)
    assert Contact.objects.filter(pk=contact.pk).exists()


@pytest.mark.django_db
def test_a_record_that_others_need_is_never_offered_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contact._meta.get_field("organization").remote_field, "on_delete", PROTECT)
    acme = Organization.objects.create(name="Acme")
    Contact.objects.create(name="Ann", organization=acme)
    assert deletion_obstacles(acme) == ("1 contact in NPD can't be without “Acme”.", "")


@pytest.mark.django_db
def test_of_many_items_those_are_made_again_that_their_records_let() -> None:
    """Their directions and links may have changed since the person asked."""
    states.boards()
    one_way, unlinked, two_way = (states.removed(f"Ann {item}", item) for item in ("71", "72", "73"))
    set_fields(one_way, sync_direction="monday_to_npd")
    set_fields(unlinked, monday_id=None)
    SyncQueue.objects.all().delete()
    refused = request_recreation("contact", [one_way.pk, unlinked.pk, two_way.pk], "pat")
    assert [job.entity_id for job in SyncQueue.objects.filter(payload__has_key=RECREATE_KEY)] == [two_way.pk]
    assert len(refused) == 2
