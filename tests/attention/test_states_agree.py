"""What Home says of boards and groups, and what lists say of records: one number each, whatever happens."""

import re
from typing import Any

import pytest
from django.test import Client

from conflicts.models import SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact
from sync.attention import Kind
from sync.models import BoardLink, FieldMapping
from sync.outbox import pauses
from sync.state.record_view import RecordState, describe_one
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


def board_line(browser: Client) -> tuple[int, ...]:
    """The number of contacts on Home, then of those synced, pending, that need attention, and with sync off."""
    boards = browser.get(HOME).context["boards"]
    line = next(board for board in boards if board.title == "Contacts")
    return tuple(number for _label, number, _url in line.figures)


def tabs(browser: Client) -> dict[str, int]:
    """The tabs above the list of contacts, with their numbers."""
    return {tab.label: tab.count for tab in browser.get(CONTACTS).context["cl"].tabs}


def archive(world: World, *records: Contact, action: str = "archive") -> None:
    for record in records:
        world.sandbox.act(action, item_id=record.monday_id)
    world.hear(*records)


def test_a_paused_boards_records_stay_synced_pending_or_in_need(world: World, browser: Client) -> None:
    records = world.linked_together(5)
    archive(world, *records[:2])
    before = tabs(browser)
    assert before["Needs attention"] == 2
    pauses.pause("eve")
    assert board_line(browser) == (5, 3, 0, 2, 0)
    world.save(records[4], role_title="Chair")
    assert board_line(browser) == (5, 2, 1, 2, 0)
    assert tabs(browser) == before | {"Pending": 1}
    [group] = [box.group for box in browser.get(HOME).context["boxes"]]
    assert group.records == before["Needs attention"]
    assert "Paused by eve" in words_of(browser.get(f"{CONTACTS}?health=pending").content.decode())


def test_a_conflict_resolved_during_an_outage_needs_nobody(world: World, browser: Client) -> None:
    record = world.linked("Ann", role_title="Head")
    world.edit(record, "role_title", "Chief")
    Contact.objects.filter(pk=record.pk).update(role_title="Chair")
    world.hear(record)
    assert (tabs(browser)["Needs attention"], board_line(browser)) == (1, (1, 0, 0, 1, 0))
    conflict = SyncConflict.objects.get(entity_id=record.pk)
    shown_values = {"role_title": {"npd": "Chair", "monday": "Chief"}}
    world.sandbox.faults({"status": 503})
    resolve(conflict.pk, by=world.administrator("pat"), resolution_type="keep_npd", seen=shown_values)
    world.work(record)
    assert record.sync_status == "conflict"
    assert (tabs(browser).get("Needs attention"), board_line(browser)) == (None, (1, 0, 1, 0, 0))
    view = describe_one(record)
    [field] = [field for field in view.fields if field.key == "role_title"]
    assert (view.state, field.state) == (RecordState.PENDING, RecordState.PENDING)
    assert "Monday" in view.reason


def test_a_lost_column_is_one_row_of_its_board_and_its_records_keep_their_states(world: World, browser: Client) -> None:
    records = world.linked_together(4, role_title="Head")
    archive(world, records[3])
    before = tabs(browser)
    world.delete_column("role_title")
    world.save(records[0], role_title="Chair")
    link = world.link()
    browser.post(f"/admin/sync/boardlink/{link.pk}/check/")
    world.work()
    assert FieldMapping.objects.get(link=link, key="role_title").problem
    # Only the edit waits, for its column.
    assert board_line(browser) == (4, 2, 1, 1, 0)
    assert tabs(browser) == before | {"Pending": 1}
    home = browser.get(HOME)
    first = home.context["boxes"][0].group
    assert (first.kind, first.records) == (Kind.BLOCKED, 4)
    [line] = [board for board in home.context["boards"] if board.title == "Contacts"]
    assert "npd-badge-warn" in line.badge
    assert "Syncing; 1 column can&#x27;t be used" in line.badge
    resting = browser.get(f"{CONTACTS}{records[1].pk}/change/").content.decode()
    assert "Fix the column" in resting
    words = words_of(browser.get(f"/admin/sync/boardlink/{link.pk}/change/").content.decode())
    assert "The column “Role” was deleted" in words
    assert "I have restored it: check now" in words
    assert "Syncing; 1 column can't be used" in words


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
