"""From the board to NPD: webhooks only say that something may differ, and NPD gets what was read."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.clock import sync_now
from sync.kernel.db import run_sql
from sync.models import ActivityLine, MondayAccount, SyncQueue, WebhookEvent
from tests.engine.conftest import choose, clash
from tests.queue.test_claims import just_before
from tests.support.world import TOM, World, mail


def test_a_save_between_read_and_settle_is_not_overwritten(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "From Monday")
    typed = Contact.objects.filter(pk=contact.pk)
    world.meanwhile(lambda: typed.update(role_title="Typed meanwhile"), after="read")
    world.run_pass(contact)
    assert (world.status(contact), contact.role_title) == ("conflict", "Typed meanwhile")
    assert world.values(contact)["role_title"] == "From Monday"


def test_a_record_for_which_a_webhook_waits_does_not_say_synced(world: World) -> None:
    """Even while its board is stopped, so that no pass looks at it."""
    tripping, edited = world.linked("Ann"), world.linked("Bob")
    world.sandbox.faults({"status": 503, "count": 100})
    world.save(tripping, role_title="Chair")
    assert (world.status(tripping), world.status(edited)) == ("pending", "synced")
    world.edit(edited, "role_title", "Boss")
    world.hear(edited)
    assert world.status(edited) == "pending"
    world.sandbox.control("faults", "DELETE")
    world.settle(edited)
    world.hear(edited)
    assert (edited.role_title, world.status(edited)) == ("Boss", "synced")


def test_a_choice_whose_look_became_a_dead_letter_can_be_made_anew(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    with world.broken():
        for _ in range(6):
            world.work()
            world.pass_time(minutes=70)
    assert world.row(contact).status == "failed"
    choose(conflict, person, "keep_monday")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")


def test_an_edit_comes_in_however_long_its_authors_name_is(world: World) -> None:
    contact = world.linked(role_title="Old")
    MondayAccount.objects.update(users={str(TOM): {"name": "Tom " * 60}})
    edit = {"item_id": contact.monday_id, "column_id": "role_title", "value": "Theirs", "user_id": TOM}
    world.sandbox.act("edit", **edit)
    world.hear(contact)
    assert (contact.role_title, contact.sync_status) == ("Theirs", "synced")
    assert ActivityLine.objects.get(entity_id=contact.pk, kind="pull").actor.startswith("Tom Tom")


def test_a_webhook_that_comes_as_a_pass_ends_leaves_its_record_pending(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.pass_time(minutes=1)
    world.edit(contact, "role_title", "First")
    world.deliver()

    def deliver_for_later() -> None:
        world.edit(contact, "role_title", "Second")
        world.deliver()
        SyncQueue.objects.filter(status="pending").update(next_retry=sync_now() + timedelta(minutes=9))

    with just_before('UPDATE "contacts" SET "sync_status"', deliver_for_later):
        world.work(contact)
    assert (contact.role_title, contact.sync_status) == ("First", "pending")
    world.work(contact, minutes=10)
    assert (contact.role_title, contact.sync_status) == ("Second", "synced")


def test_who_wrote_a_value_in_conflict_on_monday_is_known_after_its_events_are_pruned(world: World) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"users": {str(TOM): {"name": "Tom Board"}}})
    contact = world.linked(role_title="Old")
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="Theirs", user_id=TOM)
    world.deliver()
    world.save(contact, role_title="Ours")
    WebhookEvent.objects.all().delete()
    world.run_pass(contact)
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    assert conflict.about["editors"]["role_title"]["who"] == "Tom Board"
    browser = world.browser(world.administrator("lead"))
    for url in (f"/admin/conflicts/syncconflict/{conflict.pk}/screen/", f"/api/v1/sync/conflicts/{conflict.pk}/"):
        assert "Tom Board" in browser.get(url).content.decode()
    world.edit(contact, "role_title", "Newer")
    WebhookEvent.objects.all().delete()
    world.run_pass(contact)
    conflict.refresh_from_db()
    assert (conflict.monday_data["role_title"], "editors" in conflict.about) == ("Newer", False), "it isn't Tom's"


@pytest.mark.parametrize(
    ("account", "reported", "who"),
    [
        ({"user_id": "1"}, ["Theirs"], f"Monday user {TOM}"),
        ({"user_id": "1", "users": {str(TOM): {"name": "Tom Board"}}}, ["Theirs"], "Tom Board"),
        ({"user_id": ""}, ["Theirs"], "An unknown user"),  # it may be ourselves
        ({"user_id": str(TOM)}, ["Theirs"], None),  # ourselves
        ({"user_id": "1"}, ["Earlier", "Theirs"], f"Monday user {TOM}"),
        ({"user_id": "1"}, ["Earlier"], None),  # the event with the present value was lost
    ],
)
def test_who_wrote_a_value_in_conflict_is_whom_the_newest_event_names_if_it_has_this_value(
    world: World, account: dict[str, Any], reported: list[str], who: str | None
) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults=account)
    contact = world.linked(role_title="Old")
    for value in reported:
        world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value=value, user_id=TOM)
    world.deliver()
    if reported[-1] != "Theirs":
        world.edit(contact, "role_title", "Theirs")
    world.pass_time(minutes=15)  # no read lags that long
    world.save(contact, role_title="Ours")
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    assert conflict.monday_data["role_title"] == "Theirs"
    assert conflict.about.get("editors", {}).get("role_title", {}).get("who") == who


REFUSED_BY_NPD = {
    "one value": ("CHECK (role_title <> 'Theirs')", {"role_title": "Old"}),
    "two values together": ("CHECK (NOT (role_title = 'Theirs' AND notes = 'Theirs'))", {"notes": ""}),
    "two values": ("CHECK (role_title <> 'Theirs' AND notes <> 'Theirs')", {"notes": "", "role_title": "Old"}),
    "a value that another record has": ("UNIQUE (role_title)", {"role_title": "Old"}),
}


@pytest.fixture
def house_rule() -> Iterator[Callable[[str], None]]:
    """Adds a constraint of this house's own to the table of contacts."""
    yield lambda constraint: run_sql(f"ALTER TABLE contacts ADD CONSTRAINT house_rule {constraint}")
    run_sql("ALTER TABLE contacts DROP CONSTRAINT IF EXISTS house_rule")


@pytest.mark.parametrize("what", REFUSED_BY_NPD)
def test_values_that_npds_database_refuses_stay_on_the_board_and_the_others_come_in(
    world: World, house_rule: Callable[[str], None], what: str
) -> None:
    constraint, refused = REFUSED_BY_NPD[what]
    ann = world.linked("Ann", email="ann@example.org", role_title="Old")
    world.linked("Bob", role_title="Theirs" if what.startswith("a value") else "Chair")
    house_rule(constraint)
    edits = {"role_title": "Theirs", "notes": {"text": "Theirs"}, "email": mail("new@example.org")}
    for column, value in edits.items():
        world.edit(ann, column, value)
    world.hear(ann, rounds=2, minutes=1)
    expected = {"role_title": "Theirs", "notes": "Theirs", "email": "new@example.org"} | refused
    assert {name: getattr(ann, name) for name in expected} == expected
    assert (world.sync_state(ann).blocked_fields.keys(), world.status(ann)) == (refused.keys(), "pending")
    assert all("house_rule" in world.block_of(ann, name) for name in refused)
    assert not SyncQueue.objects.filter(status__in=("pending", "failed")).exists()
    for name in refused:
        world.edit(ann, name, {"text": "Hers"} if name == "notes" else "Hers")
    world.hear(ann, rounds=2, minutes=1)
    expected |= dict.fromkeys(refused, "Hers")
    assert {name: getattr(ann, name) for name in expected} == expected
    assert (world.sync_state(ann).blocked_fields, world.status(ann)) == ({}, "synced")
