"""Pauses by a person: nothing moves, and after the resume both sides are as without the pause."""

import pytest
from django.db import transaction

from npd.models import Contact
from sync.kernel.acts import NotPossible
from sync.models import BoardLink, SyncQueue
from sync.operations.comparison import compare_due_boards
from sync.operations.reconcile_all import reconcile_boards
from sync.operations.sweep import sweep_due_boards
from sync.outbox import pauses
from sync.outbox.pauses import pause
from sync.queue import push_record, resume
from tests.support.waiting import in_background, somebody_waits, wait_for
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)

BOARD = {"entity_type": "contact"}


def rounds(world: World) -> None:
    """Let webhooks arrive, workers work and time pass."""
    for _ in range(3):
        world.hear()
        world.pass_time(seconds=30)
    world.hear()


def test_edits_on_both_sides_during_a_pause_arrive_after_it(world: World) -> None:
    ann = world.linked("Ann", email="ann@example.test", phone="+41 44 668 18 00", role_title="Buyer")
    pause("mary", why="moving house")
    before = world.calls("mutation")
    Contact.objects.filter(pk=ann.pk).update(notes="from NPD", role_title="Head")
    world.edit(ann, "phone", "+41 44 111 22 33")
    new = world.contact("New", email="new@example.test")
    world.sandbox.act("add", board_id=world.board_id(), name="Zoe", values={"email": "zoe@example.test"})
    rounds(world)
    ann.refresh_from_db()
    assert ann.sync_status == "pending"
    assert world.calls("mutation") == before
    assert world.values(ann)["role_title"] == "Buyer"
    new.refresh_from_db()
    assert new.monday_id is None
    assert ann.phone == "+41 44 668 18 00"
    assert not Contact.objects.filter(name="Zoe").exists()
    assert resume("mary")
    rounds(world)
    as_without_a_pause(world, ann, new)


def as_without_a_pause(world: World, ann: Contact, new: Contact) -> None:
    ann.refresh_from_db()
    assert (ann.sync_status, ann.phone, ann.role_title) == ("synced", "+41 44 111 22 33", "Head")
    assert world.values(ann)["role_title"] == "Head"
    assert world.values(ann)["notes"] == "from NPD"
    assert world.item(new)["state"] == "active"
    assert world.status(Contact.objects.get(name="Zoe")) == "synced"
    assert not SyncQueue.objects.exclude(status="completed").exists()


def test_a_paused_board_makes_no_call_whoever_asks(world: World) -> None:
    ann = world.linked("Ann")
    pause("mary", **BOARD)
    Contact.objects.filter(pk=ann.pk).update(notes="new")
    world.edit(ann, "role_title", "Head")
    world.deliver()
    BoardLink.objects.filter(entity_type="organization").update(board_id="")
    before = world.calls()
    world.work()
    world.pass_time(hours=27)
    sweep_due_boards()
    compare_due_boards()
    assert any("Paused by mary" in problem for problem in reconcile_boards(print)[1])
    answer = push_record(ann, "mary")
    assert answer.triggered
    assert answer.message.startswith("It waits: Paused by mary")
    world.work()
    assert world.calls() == before
    assert SyncQueue.objects.filter(status="pending").count() == 2


def test_a_pause_between_decision_and_call_sends_nothing(world: World) -> None:
    ann = world.linked("Ann", role_title="Buyer")
    before = world.calls("mutation")
    world.meanwhile(lambda: pause("mary", **BOARD), after="read")
    world.save(ann, role_title="Head")
    assert world.calls("mutation") == before
    assert [(row.status, row.attempts) for row in SyncQueue.objects.exclude(status="completed")] == [("pending", 0)]
    resume("mary", **BOARD)
    world.work()
    assert world.values(ann)["role_title"] == "Head"
    assert world.status(ann) == "synced"


def test_a_pause_waits_for_a_look_that_is_about_to_write() -> None:
    """Else it would say “paused” while something that saw no pause is still written."""
    with transaction.atomic():
        assert pauses.locked_pause("contact") == ""
        pausing = in_background(lambda: pause("mary"))
        wait_for("the pause waits for the lock", lambda: somebody_waits("= 'advisory'"))
        assert not pausing.done()
        assert pauses.locked_pause("contact") == ""
    pausing.result(60)


def test_a_pause_before_a_create_is_sent_again_keeps_it_back(world: World) -> None:
    """The pause comes while its item is looked for, when the worker has already read that nothing is paused."""
    contact = world.contact("Lost", email="lost@example.test")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    world.wait_out()
    before = world.calls("mutation")
    world.meanwhile(lambda: pause("mary", **BOARD), before="read")
    world.work()
    assert pauses.active_pauses()
    assert world.calls("mutation") == before
    resume("mary", **BOARD)
    world.pass_time(minutes=11)
    rounds(world)
    assert world.status(contact) == "synced"
    assert [item["name"] for item in world.sandbox.items()] == ["Lost"]


def test_what_can_not_be_paused_is_refused_with_what_can(db: None) -> None:
    for steer in (pause, resume):
        with pytest.raises(NotPossible, match="no board for “deals”"):
            steer("mary", entity_type="deals")
    assert not pauses.active_pauses()
