"""Monday's reads lag behind its webhooks and behind our writes: no edit is missed, no side swapped, nobody asked."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.attention import waiting
from sync.clock import sync_now
from sync.models import ActivityLine, SyncQueue, WebhookEvent
from sync.operations.comparison import compare_board
from sync.operations.worker import drain
from sync.queue import push_record
from tests.support.cases import each_once
from tests.support.world import World, mail

LOOKS = (2.5, 4.5, 53, 540)


def lag(world: World, *kinds: str, edits: float = 0, writes: float = 0) -> None:
    world.sandbox.faults({"lag": list(kinds) or "all", "edits": edits, "writes": writes})


@pytest.fixture
def ann(world: World) -> Contact:
    ann = world.linked("Ann", email="ann@example.org", phone="+442079460018", role_title="Old", notes="hello")
    world.pass_time(minutes=30)
    return ann


EDITS: dict[str, tuple[Any, str]] = {
    "role_title": ("New", "New"),
    "notes": ({"text": "new notes"}, "new notes"),
    "email": (mail("new@example.org"), "new@example.org"),
    "phone": ({"phone": "+442079460099", "countryShortName": "GB"}, "+442079460099"),
    "name": ("Anna", "Anna"),
}


@pytest.mark.parametrize(
    ("column", "seconds", "looks"),
    [*(("role_title", *when) for when in ((0, 0), (5, 2), (10, 3), (590, 4))), *((column, 2, 1) for column in EDITS)],
)
def test_an_edit_arrives_with_the_first_look_at_which_reads_show_it(
    world: World, ann: Contact, column: str, seconds: float, looks: int
) -> None:
    new, expected = EDITS[column]
    lag(world, edits=seconds)
    world.edit(ann, column, new)
    before = world.calls()
    world.hear(ann)
    for wait in LOOKS[:looks]:
        assert (getattr(ann, column) != expected, world.status(ann)) == (True, "pending")
        assert not waiting().exists()
        world.work(ann, seconds=wait + 0.1)
    assert (getattr(ann, column), world.status(ann)) == (expected, "synced")
    assert world.calls() - before == 1 + looks
    assert not WebhookEvent.objects.filter(processed_at=None).exists()


@pytest.mark.parametrize("column", EDITS)
def test_a_replica_that_is_older_than_the_one_that_showed_an_edit_undoes_nothing(
    world: World, ann: Contact, column: str
) -> None:
    new, expected = EDITS[column]
    lag(world)
    world.edit(ann, column, new)
    world.hear(ann)
    assert getattr(ann, column) == expected
    lag(world, edits=300)
    world.run_pass(ann)
    assert (world.status(ann), getattr(ann, column)) == ("pending", expected)
    for wait in (60, 540):
        world.hear(ann, seconds=wait)
    assert (world.status(ann), getattr(ann, column)) == ("synced", expected)


BEHIND = [{"edits": 0.5, "writes": 4}, {"edits": 4, "writes": 0.5}, {"edits": 0, "writes": 10}]


@pytest.mark.parametrize(("gap", "behind", "is_told_first"), each_once([0.3, 0.6, 3], BEHIND, [True, False]))
def test_a_save_that_follows_an_edit_never_swaps_the_sides(
    world: World, ann: Contact, gap: float, behind: dict[str, float], is_told_first: bool
) -> None:
    lag(world, **behind)
    world.edit(ann, "role_title", "Theirs")
    if is_told_first:
        world.deliver()
    world.pass_time(seconds=gap)
    world.save(ann, role_title="Ours")
    for seconds in (0, 1, 2, 4, 8, 60, 600, 600):
        world.hear(ann, seconds=seconds)
    [question] = SyncConflict.objects.filter(resolved_at=None)
    assert (question.npd_data, question.monday_data) == ({"role_title": "Ours"}, {"role_title": "Theirs"})


@pytest.mark.parametrize("seconds", [1, 8, 10])
def test_quick_saves_while_reads_are_behind_ask_nobody_and_the_last_one_arrives(
    world: World, ann: Contact, seconds: float
) -> None:
    lag(world, writes=seconds)
    for number in range(3):
        world.save(ann, role_title=f"v{number}")
        world.hear(ann, seconds=3)
    for wait in LOOKS[1:]:
        world.hear(ann, seconds=wait)
    assert not SyncConflict.objects.exists()
    assert (world.values(ann)["role_title"], world.status(ann)) == ("v2", "synced")


@pytest.mark.parametrize("act", ["archive", "delete", "restore"])
def test_a_state_that_reads_do_not_show_yet_is_waited_for(world: World, ann: Contact, act: str) -> None:
    if act == "restore":
        world.sandbox.act("archive", item_id=ann.monday_id)
        world.hear(rounds=15, minutes=1)
        assert SyncConflict.objects.filter(resolved_at=None).exists()
    lag(world, edits=2)
    world.sandbox.act(act, item_id=ann.monday_id)
    world.hear(ann)
    world.work(ann, seconds=2.6)
    state = {"archive": "archived", "delete": "deleted"}.get(act, "active")
    assert world.sync_state(ann).remote_state == state
    assert SyncConflict.objects.filter(resolved_at=None).exists() is False
    lag(world, edits=60)
    world.run_pass(ann)
    assert world.sync_state(ann).remote_state == state, "an older replica than the one that showed it"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_item_that_reads_do_not_return_yet_is_waited_for(world: World, is_deleted: bool) -> None:
    lag(world, "new", writes=6)
    ann = world.contact("Ann")
    world.work(ann)
    item_id = ann.monday_id
    world.save(ann, role_title="New")
    if is_deleted:
        ann.delete()
    for wait in (2.6, 4.5):
        world.hear(seconds=wait)
    item = world.sandbox.item(str(item_id))
    assert (item["state"], item["values"]["role_title"]) == (("archived", "") if is_deleted else ("active", "New"))


def test_sync_now_sends_what_was_saved_and_keeps_what_was_reported(world: World, ann: Contact) -> None:
    lag(world, edits=30)
    world.edit(ann, "role_title", "Theirs")
    world.hear(ann)
    world.save(ann, role_title="Ours")
    assert world.values(ann)["role_title"] == "Theirs"
    push_record(ann, "Olga")
    world.work(ann)
    assert (world.values(ann)["role_title"], world.status(ann)) == ("Ours", "synced")
    line = ActivityLine.objects.get(entity_id=ann.pk, kind="overwritten")
    assert (line.values["before"], line.values["raw_before"]) == ("Theirs", {"role_title": "Theirs"})


def test_sync_now_writes_to_an_item_that_is_still_shown_after_it_is_reported_archived(
    world: World, ann: Contact
) -> None:
    lag(world, "states", edits=30)
    world.sandbox.act("archive", item_id=ann.monday_id)
    world.hear(ann)
    world.sandbox.act("restore", item_id=ann.monday_id)
    world.save(ann, role_title="Ours")
    push_record(ann, "Olga")
    world.work(ann)
    assert (world.values(ann)["role_title"], world.status(ann)) == ("Ours", "pending")
    assert SyncQueue.objects.filter(entity_id=ann.pk, status="pending").exists()


@pytest.mark.parametrize("saved", [None, "Ours"])
def test_an_edit_that_no_read_shows_for_ten_minutes_is_not_waited_for_any_longer(
    world: World, ann: Contact, saved: str | None
) -> None:
    lag(world, edits=3_600)
    world.edit(ann, "role_title", "Theirs")
    world.hear()
    if saved:
        world.save(ann, role_title=saved)
    for wait in LOOKS:
        world.hear(ann, seconds=wait + 0.1)
    assert (ann.role_title, world.status(ann)) == (saved or "Old", "synced")
    assert not SyncQueue.objects.filter(status="pending").exists()
    overridden = ActivityLine.objects.filter(entity_id=ann.pk, kind="overwritten")
    assert [line.values["before"] for line in overridden] == (["Theirs"] if saved else [])


def test_a_new_item_and_its_last_edit_become_a_record_once_reads_show_them(world: World) -> None:
    lag(world, edits=30)
    item_id = world.add("Ann", email=mail("ann@example.org"))
    world.hear(seconds=11)
    world.sandbox.act("edit", item_id=item_id, column_id="email", value=mail("new@example.org"))
    for seconds in (11, 11, 11, 30):
        world.hear(seconds=seconds)
        emails = list(Contact.objects.values_list("email", flat=True))
        assert emails in ([], ["new@example.org"])
    assert emails


def test_a_record_is_not_linked_by_a_match_key_that_its_item_has_no_more(world: World) -> None:
    world.link().__class__.objects.update(creates_records=False)
    item_id = world.add("Ann", email=mail("ann@example.org"))
    world.hear(minutes=10)
    lag(world, edits=6)
    world.sandbox.act("edit", item_id=item_id, column_id="email", value=mail("bea@example.org"))
    world.deliver()
    cid = world.contact("Cid", email="ann@example.org")
    world.work(cid)
    assert (cid.monday_id, world.status(cid)) == (None, "pending")
    for seconds in (3, 5):
        world.work(cid, seconds=seconds)
    assert cid.monday_id not in (None, item_id)


def test_neither_the_night_nor_a_drain_takes_what_is_not_shown_yet_for_a_difference(world: World, ann: Contact) -> None:
    bea = world.linked("Bea", role_title="Old")
    world.pass_time(minutes=30)
    lag(world, edits=900, writes=900)
    world.edit(ann, "role_title", "Theirs")
    world.save(bea, role_title="Ours")
    world.hear()
    for _ in range(2):
        result = compare_board(world.link())
        assert (world.link().differed_records, result.problem) == (0, "")
        drain()
        assert SyncQueue.objects.filter(status="pending", next_retry__gt=sync_now()).exists()
        world.pass_time(seconds=7)
    assert not waiting().exists()
