"""Monday answers a write and doesn't carry it out: it is sent once more, and nobody's edit is taken over by it."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from conflicts.pages.case import conflict_progress
from conflicts.pages.resolution import undo
from sync.models import ActivityLine, BoardLink, Intent, SyncQueue, Tombstone
from tests.engine.conftest import choose, clash
from tests.support.cases import each_once
from tests.support.world import World, mail

MAPPED = {"email": "ann@example.org", "phone": "+442079460018", "role_title": "Boss", "notes": "Likes tea"}
EDITS = {"role_title": "Theirs", "email": mail("t@example.org"), "notes": {"text": "Theirs"}, "name": "Theirs"}


def swallow(world: World, *columns: str, count: int = 1) -> None:
    world.sandbox.control("faults", swallow=True, columns=list(columns) or None, count=count)


def rest(world: World, *records: Any) -> None:
    world.hear(*records, rounds=3, minutes=2)


@pytest.mark.parametrize("column", MAPPED)
def test_a_value_that_a_create_lost_is_sent_once_more(world: World, column: str) -> None:
    swallow(world, column)
    ann = world.contact("Ann", **MAPPED)
    world.work()
    assert (world.status(ann), world.values(ann)[column]) == ("pending", "")
    rest(world, ann)
    assert (world.status(ann), world.values(ann)[column]) == ("synced", MAPPED[column])
    assert world.sync_state(ann).altered == {}


def test_what_has_no_effect_twice_waits_with_a_note_until_a_side_changes(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    calls = world.calls("mutation")
    swallow(world, count=4)
    world.save(ann, role_title="New")
    for _ in range(4):
        rest(world, ann)
        world.run_pass(ann)
        world.pass_time(hours=12)
    assert world.calls("mutation") - calls == 2
    reason = world.sync_state(ann).altered["role_title"]["reason"]
    assert (world.status(ann), ann.role_title, world.values(ann)["role_title"]) == ("pending", "New", "Old")
    assert "Monday took “New” without an error, but still has “Old”. It was sent twice." in reason
    world.save(ann, role_title="Old")
    assert (world.status(ann), world.sync_state(ann).altered) == ("synced", {}), "NPD has what the board has again"
    world.save(ann, role_title="New")
    rest(world, ann)
    assert world.calls("mutation") - calls == 4, "so it counts anew"
    world.save(ann, role_title="Newest")
    rest(world, ann)
    assert (world.status(ann), world.values(ann)["role_title"]) == ("synced", "Newest")
    assert not SyncConflict.objects.exists()


@pytest.mark.parametrize(("column", "minutes"), each_once(list(EDITS), [0, 5]))
def test_an_edit_after_a_write_without_effect_is_a_conflict(world: World, column: str, minutes: int) -> None:
    ann = world.linked("Ann", **MAPPED)
    swallow(world, column, count=9)
    saved = "o@example.org" if column == "email" else "Ours"
    world.save(ann, **{column: saved})
    world.work(minutes=minutes)
    world.edit(ann, column, EDITS[column])
    rest(world, ann)
    conflict = SyncConflict.objects.get(resolved_at=None)
    assert (conflict.kind, conflict.npd_data, getattr(ann, column)) == ("fields", {column: saved}, saved)


@pytest.mark.parametrize(("times", "chosen"), [(1, "npd"), (1, "base"), (1, "custom"), (4, "npd"), (4, "custom")])
def test_a_choice_is_applied_once_monday_stores_it_and_comes_back_if_it_never_does(
    world: World, times: int, chosen: str
) -> None:
    lead = world.administrator("lead")
    ann, conflict = clash(world)
    swallow(world, count=times)
    choose(conflict, lead, role_title={"choose": chosen, "value": "Typed"})
    rest(world, ann, conflict)
    if times > 1:
        assert (conflict_progress(conflict).state, ann.role_title) == ("handed_back", "NPD's")
        assert world.values(ann)["role_title"] == "Monday's"
        return
    value = {"npd": "NPD's", "base": "Old", "custom": "Typed"}[chosen]
    assert (conflict.is_open, world.status(ann)) == (False, "synced")
    assert (ann.role_title, world.values(ann)["role_title"]) == (value, value)


@pytest.mark.parametrize("times", [1, 4])
def test_an_undo_that_monday_does_not_store_restores_neither_side(world: World, times: int) -> None:
    lead = world.administrator("lead")
    ann, conflict = clash(world)
    choose(conflict, lead, "keep_npd")
    rest(world, ann)
    swallow(world, count=times)
    undo(conflict.pk, by=lead)
    rest(world, ann, conflict)
    shown = "NPD's" if times > 1 else "Monday's"
    assert (world.values(ann)["role_title"], ann.role_title) == (shown, "NPD's")
    assert SyncConflict.objects.filter(resolved_at=None).exists() is (times == 1)
    assert ActivityLine.objects.filter(kind="conflict_undo_refused").exists() is (times > 1)


@pytest.mark.parametrize(("policy", "times"), each_once(["archive_item", "delete_item", "unlink"], [1, None]))
def test_a_removal_that_monday_does_not_carry_out_is_sent_again_and_then_said(
    world: World, policy: str, times: int | None
) -> None:
    BoardLink.objects.filter(entity_type="contact").update(deleted_record_policy=policy)
    ann = world.linked("Ann")
    item_id = str(ann.monday_id)
    world.sandbox.control("faults", swallow=True, count=times)
    ann.delete()
    for minutes in (1, 2, 6, 16, 61):
        world.hear(minutes=minutes)
    item = world.sandbox.item(item_id)
    tombstone = Tombstone.objects.get()
    assert not times or not Intent.objects.filter(state="open").exists()
    done = {"archive_item": "archived", "delete_item": "deleted", "unlink": "unlinked"}[policy]
    if times:
        is_there = (item["state"], bool(item["values"]["npd_id"]))
        assert (tombstone.state, is_there) == (done, (done, True) if policy != "unlink" else ("active", False))
        return
    assert (tombstone.state == done, "without carrying" in tombstone.note) == (False, True)
    assert SyncQueue.objects.filter(status="failed").exists()
