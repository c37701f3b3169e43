"""Monday carries out no writes while reads work (community 116255, 58767): what that costs, and who waits."""

from typing import Any

import pytest

from npd.models import Contact
from sync.limits import breaker, probes
from sync.models import MondayAccount, SyncQueue
from sync.models.boards_and_account import ALL_WRITES
from sync.monday.errors import CONNECTION_LOST, LIMIT_REACHED, MondayError
from sync.operations.sweep import sweep_due_boards
from tests.limits.conftest import Planned, monday
from tests.support.world import World, mail, staged

__all__ = ["monday"]


def writes_fail(world: World, **more: Any) -> None:
    world.sandbox.control("faults", status=500, on="mutation", count=100_000, **more)


def writes_work(world: World) -> None:
    world.sandbox.control("faults", "DELETE")


def new_contacts(number: int) -> None:
    Contact.objects.bulk_create([Contact(name=f"P{n:03}", email=f"p{n}@example.com") for n in range(number)])


@staged
def synced_contacts(world: World, number: int) -> None:
    """Contacts in sync, after their own webhooks."""
    new_contacts(number)
    world.work()
    world.hear(minutes=2)


def unsynced() -> list[str]:
    return sorted(Contact.objects.exclude(sync_status="synced").values_list("name", flat=True))


def test_records_that_are_each_refused_for_no_known_reason_come_again_together(world: World) -> None:
    world.sandbox.control("faults", partial={"every": 1, "code": "SomethingNewException"}, count=100_000)
    new_contacts(12)
    assert world.calls_while(30, seconds=20) <= 12
    assert world.calls_while(60) <= 6


def test_a_wait_of_a_day_is_ended_by_whoever_tries_again(world: World, monday: Planned) -> None:
    monday.limits(plan="standard")
    ann = world.linked("Ann", role_title="Old")
    world.sandbox.control("faults", status=429, retry_after=86_400, on="mutation")
    world.save(ann, role_title="New")
    world.work(minutes=2)
    assert probes.try_again() == probes.RESUMED
    world.work()
    assert world.values(ann)["role_title"] == "New"


def test_an_edit_whose_webhook_was_lost_comes_in_however_long_writes_fail(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    sweep_due_boards()
    writes_stopped(world)
    world.calls_while(60, seconds=600)
    world.sandbox.control("webhooks", rule="drop", count=None)
    for title in ("First", "Second"):
        world.edit(ann, "role_title", title)
        for _ in range(2):
            world.pass_time(minutes=11)
            sweep_due_boards()
            world.work(ann)
        assert ann.role_title == title


def writes_stopped(world: World) -> None:
    """Writes have failed for twenty minutes, and the next probe is half an hour after the last."""
    stopped(world)
    writes_fail(world)  # a restored sandbox has no faults


@staged
def stopped(world: World) -> None:
    writes_fail(world)
    Contact.objects.bulk_create([Contact(name=f"W{n}", email=f"w{n}@example.com") for n in range(4)])
    world.calls_while(20)
    assert MondayAccount.objects.get().stop_of(ALL_WRITES)


def test_an_edit_on_the_board_of_a_record_whose_own_change_waits_comes_in_meanwhile(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    writes_stopped(world)
    world.save(ann, role_title="New")
    job = SyncQueue.objects.get(entity_id=ann.pk, status="pending")
    writes = world.calls("mutation")
    world.edit(ann, "phone", {"phone": "+4915112345678", "countryShortName": "DE"})
    world.hear(ann, seconds=1)
    assert "15112345678" in ann.phone
    assert (ann.role_title, world.status(ann)) == ("New", "pending")
    assert SyncQueue.objects.filter(pk=job.pk, status="pending", attempts=job.attempts).exists()
    assert world.calls("mutation") == writes
    assert world.calls_while(120, seconds=600) <= 12
    writes_work(world)
    world.calls_while(65, seconds=1_200)
    assert (world.values(ann)["role_title"], world.status(ann)) == ("New", "synced")


@pytest.mark.parametrize(
    "error", [MondayError(CONNECTION_LOST, "gone"), MondayError(LIMIT_REACHED, "slow down", wait_seconds=20)]
)
def test_a_read_that_fails_meanwhile_keeps_edits_out_no_longer_than_without_the_stop(
    world: World, error: MondayError
) -> None:
    ann = world.linked("Ann", role_title="Old")
    writes_stopped(world)
    breaker.stop_account(error)
    writes = world.calls("mutation")
    world.edit(ann, "role_title", "Theirs")
    world.hear(ann, minutes=1)
    assert ann.role_title == "Theirs"
    # Writes are tried once, and wait again as long as before.
    assert MondayAccount.objects.get().stop_of(ALL_WRITES)
    assert world.calls_while(20) <= 8
    assert world.calls("mutation") - writes <= 2
    writes_work(world)
    world.calls_while(65, seconds=1_200)
    assert len(world.sandbox.items()) == 5


def test_an_edit_on_the_board_of_the_field_that_waits_is_a_conflict_at_once(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    writes_stopped(world)
    world.save(ann, role_title="Ours")
    writes = world.calls("mutation")
    world.edit(ann, "role_title", "Theirs")
    world.hear(ann, seconds=1)
    assert (ann.role_title, world.status(ann)) == ("Ours", "conflict")
    assert world.calls("mutation") == writes


def test_what_is_saved_one_by_one_meanwhile_costs_no_read_each(world: World) -> None:
    synced_contacts(world, 12)
    writes_stopped(world)
    before = world.calls()
    for key in Contact.objects.exclude(monday_id=None).values_list("pk", flat=True):
        Contact.objects.filter(pk=key).update(role_title="New")
        world.work(minutes=2)
    assert world.calls() - before <= 8


def test_a_delivery_brings_the_next_attempt_forward_at_most_every_ten_minutes(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    writes_stopped(world)
    before = world.calls("mutation")
    for number in range(6):
        world.edit(ann, "role_title", f"R{number}")
        world.hear(minutes=4)
    assert world.calls("mutation") - before == 2
    writes_work(world)
    world.edit(ann, "role_title", "Last")
    world.hear(rounds=4, minutes=5)
    assert len(world.sandbox.items()) == 5


def test_a_copy_whose_npd_id_is_to_be_cleared_finds_out_that_writes_work_again(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    writes_fail(world)
    copies = [str(world.sandbox.act("duplicate", item_id=contact.monday_id)["id"]) for _ in range(2)]
    world.deliver()
    assert world.calls_while(60) <= 45
    assert world.calls_while(60, seconds=600) <= 10
    assert MondayAccount.objects.get().stop_of(ALL_WRITES)
    writes_work(world)
    assert world.calls_while(65) <= 30
    assert not MondayAccount.objects.get().stop_of(ALL_WRITES)
    assert [world.sandbox.item(copy)["values"]["npd_id"] for copy in copies] == ["", ""]


def test_saves_that_need_no_write_do_not_wait_for_a_probe_each(world: World) -> None:
    synced_contacts(world, 12)
    saved = Contact.objects.filter(pk__in=list(Contact.objects.values_list("pk", flat=True)))
    writes_stopped(world)
    saved.update(notes="New")
    saved.update(notes="")
    assert saved.filter(sync_status="pending").count() == 12
    before = world.calls()
    writes = world.calls("mutation")
    world.work(hours=1)
    assert not saved.exclude(sync_status="synced").exists()
    assert world.calls() - before <= 6
    assert world.calls("mutation") - writes == 1
    assert MondayAccount.objects.get().stop_of(ALL_WRITES)


def test_a_new_item_becomes_a_record_meanwhile(world: World) -> None:
    writes_stopped(world)
    world.add("Bob from the board", email=mail("bob@example.com"))
    before = world.calls()
    world.hear(rounds=3, minutes=2)
    assert Contact.objects.filter(name="Bob from the board").exists()
    assert world.calls() - before <= 8
