"""Deletes both ways through the guard, with a board: held, approved, rejected, released."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.choices import ApprovalState, RemovedItemPolicy
from sync.models import ActivityLine, ApprovalRequest, Attention, BoardLink, Tombstone
from sync.records.approvals import approve, reject
from sync.records.tombstones import restore_by_person
from tests.guard.test_fields import linked, pending_requests, states
from tests.support.world import World


def item_states(world: World, ids: list[str | None]) -> list[str]:
    by_id = {i["id"]: i["state"] for board in world.sandbox.boards() for i in board["items"]}
    return [by_id[str(key)] for key in ids]


@pytest.fixture
def deleted(world: World) -> list[str | None]:
    """Items of three contacts that were deleted at once in NPD, after a pass."""
    contacts = linked(world, 3)
    items = [contact.monday_id for contact in contacts]
    Contact.objects.filter(pk__in=[c.pk for c in contacts]).delete()
    world.work()
    return items


@pytest.fixture
def archived(world: World, settings: Any) -> list[Contact]:
    """Three contacts whose items were archived at once, on a board whose policy deletes; the quiet time is over."""
    BoardLink.objects.filter(entity_type="contact").update(removed_item_policy=RemovedItemPolicy.DELETE)
    contacts = linked(world, 3)
    for contact in contacts:
        world.sandbox.act("archive", item_id=contact.monday_id)
    world.hear()
    world.work(seconds=settings.REMOVED_ITEM_QUIET_SECONDS + 60)
    return contacts


@pytest.mark.parametrize(
    ("decide", "outcome", "items", "state"),
    [(approve, "archived", "archived", ApprovalState.DONE), (reject, "removal_rejected", "active", ApprovalState.KEPT)],
)
def test_a_mass_delete_archives_nothing_until_a_decision_which_is_one_entry(
    world: World, deleted: list[str], mary: User, decide: Any, outcome: str, items: str, state: str
) -> None:
    assert item_states(world, deleted) == ["active"] * 3
    assert set(Tombstone.objects.values_list("state", flat=True)) == {"pending_approval"}
    before = set(ActivityLine.objects.values_list("pk", flat=True))
    decide(pending_requests(), mary)
    world.work()
    rows = ActivityLine.objects.exclude(pk__in=before).order_by("pk")
    assert (item_states(world, deleted), states()) == ([items] * 3, [state] * 3)
    [listed] = [row for row in rows if not row.folded]
    assert (listed.kind, listed.actor) == ("approval", "mary")
    assert {row.fold_id for row in rows} == {listed.fold_id}
    assert [row.reason for row in rows if row.kind != "approval"] == [outcome] * 3


def test_a_restore_ends_the_wait_for_approval_at_once_and_a_late_approval_says_so(
    world: World, deleted: list[str], mary: User, client: Client
) -> None:
    for tombstone in Tombstone.objects.all():
        restore_by_person(tombstone, "pat")
    assert states() == [ApprovalState.RELEASED] * 3
    assert not Attention.objects.filter(kind="approval").exists()
    client.force_login(mary)
    approval = {"action": "approve", "cause": "approval:contact:items", "confirmed": "yes", "expect": "3"}
    [message] = client.post("/admin/home/act/", approval, follow=True).context["messages"]
    assert "nothing of this group waits any more" in str(message)
    assert approve(ApprovalRequest.objects.all(), mary) == 0
    assert not ActivityLine.objects.filter(kind="approval", actor="mary").exists()
    world.work()
    assert item_states(world, deleted) == ["active"] * 3


def test_a_mass_archive_deletes_none_unapproved(world: World, archived: list[Contact], mary: User) -> None:
    assert (Contact.objects.count(), states()) == (3, [ApprovalState.PENDING] * 3)
    approve(pending_requests(), mary)
    world.work()
    assert Contact.objects.count() == 0
    assert states() == [ApprovalState.DONE] * 3
