"""How Home announces what becomes of removed items and deleted records, and that its numbers are those of lists."""

import re
from typing import Any

import pytest
from django.test import Client

from npd.models import Contact
from sync.attention import Kind
from sync.models import BoardLink
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.attention import untrue_rows
from tests.support.people import staff_who_may
from tests.support.world import World

HOME = "/admin/"
CONTACTS = "/admin/npd/contact/"


@pytest.fixture
def browser(world: World) -> Client:
    return world.browser(world.administrator("eve"))


def tabs(browser: Client) -> dict[str, int]:
    """The tabs above the list of contacts, with their numbers."""
    return {tab.label: tab.count for tab in browser.get(CONTACTS).context["cl"].tabs}


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
    assert "After that, NPD Sync deletes the records in NPD" in box.lead
    archive(world, *records[2:5], action="delete")
    leads = " ".join(box.lead for box in browser.get(HOME).context["boxes"])
    assert leads.count("After that, the records wait for approval before NPD Sync deletes them") == 1, "said once"
    world.work(seconds=601)
    [box] = browser.get(HOME).context["boxes"]
    assert (box.group.kind, box.group.records) == (Kind.APPROVAL, 5)
    assert box.lead.startswith("Their items were archived or deleted on Monday. Together")
    assert untrue_rows() == []


def test_a_removed_item_is_restored_first_or_created_again_by_menu(world: World, browser: Client) -> None:
    records = world.linked_together(2)
    archive(world, *records, action="delete")
    page = browser.get(HOME)
    [box] = page.context["boxes"]
    assert [button.code for button in box.buttons] == ["", "create_item", "unlink", "delete_record"]
    [main] = re.findall(r'<a\s+class="npd-button npd-button-main"[^>]*>(.*?)</a>', page.content.decode(), re.DOTALL)
    assert words_of(main).startswith("Restore on Monday")


def test_who_may_only_resolve_reads_the_number_of_the_lists_tab(world: World) -> None:
    records = world.linked_together(3)
    archive(world, records[0])
    states.dead("Failed")
    resolver = staff_who_may("view_contact", "view_syncconflict", "change_syncconflict")
    browser = world.browser(resolver)
    page = browser.get(HOME)
    [box] = page.context["boxes"]
    assert tabs(browser)["Needs attention"] == box.group.records + 1
    assert "1 more record needs somebody else." in words_of(page.content.decode())
    assert "not part of your role" not in box.lead
