"""How Home announces what becomes of removed items and deleted records, and that its numbers are those of lists."""

from typing import Any

import pytest
from django.test import Client

from npd.models import Contact
from sync.attention import Kind
from sync.models import BoardLink
from tests.support.attention import untrue_rows
from tests.support.world import World

HOME = "/admin/"
CONTACTS = "/admin/npd/contact/"


@pytest.fixture
def browser(world: World) -> Client:
    return world.browser(world.administrator("eve"))


def archive(world: World, *records: Contact, action: str = "archive") -> None:
    for record in records:
        world.sandbox.act(action, item_id=record.monday_id)
    world.hear(*records)


def test_an_approval_says_who_deleted_what(world: World, browser: Client, settings: Any) -> None:
    settings.GUARD_RECORDS = 3
    keys = [record.pk for record in world.linked_together(6)]
    form = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    browser.post("/admin/npd/contact/", form)
    world.work()
    [box] = browser.get(HOME).context["boxes"]
    assert box.lead.startswith("eve deleted 6 contacts in NPD. Together with")


def test_deletions_that_wait_for_approval_are_announced_so(world: World, browser: Client, settings: Any) -> None:
    settings.GUARD_RECORDS = 3
    BoardLink.objects.update(removed_item_policy="delete")
    records = world.linked_together(6)
    archive(world, *records[:2])
    [box] = browser.get(HOME).context["boxes"]
    assert "Then each record is deleted in NPD, too" in box.lead
    archive(world, *records[2:5], action="delete")
    leads = " ".join(box.lead for box in browser.get(HOME).context["boxes"])
    assert leads.count("Then so many at once wait for your approval before they are deleted in NPD;") == 1, "said once"
    world.work(seconds=601)
    [box] = browser.get(HOME).context["boxes"]
    assert (box.group.kind, box.group.records) == (Kind.APPROVAL, 5)
    assert box.lead.startswith("Their items were archived or deleted on Monday. Together")
    assert untrue_rows() == []
