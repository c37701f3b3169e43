"""What Home says of boards and groups, and what lists say of records: one number each, whatever happens."""

import pytest
from django.test import Client

from npd.models import Contact
from sync.outbox import pauses
from tests.admin.test_records import words_of
from tests.support.world import World

HOME = "/admin/"
CONTACTS = "/admin/npd/contact/"


@pytest.fixture
def browser(world: World) -> Client:
    return world.browser(world.administrator("eve"))


def board_line(browser: Client) -> tuple[int, ...]:
    """The records, synced and pending contacts of Home."""
    boards = browser.get(HOME).context["boards"]
    line = next(board for board in boards if board.title == "Contacts")
    return tuple(number for _label, number, _url in line.figures)


def tabs(browser: Client) -> dict[str, int]:
    """The tabs above the list of contacts, with their numbers."""
    return {tab.label: tab.count for tab in browser.get(CONTACTS).context["cl"].tabs}


def archive(world: World, *records: Contact, how: str = "archive") -> None:
    for record in records:
        world.sandbox.act(how, item_id=record.monday_id)
    world.hear(*records)


def test_a_pause_is_the_boards_and_its_records_stay_synced_pending_or_in_need_of_somebody(
    world: World, browser: Client
) -> None:
    records = world.linked_together(5)
    archive(world, *records[:2])
    before = tabs(browser)
    assert before["Needs attention"] == 2
    pauses.pause("eve")
    assert board_line(browser) == (5, 3, 0)
    world.save(records[4], role_title="Chair")
    assert board_line(browser) == (5, 2, 1)
    assert tabs(browser) == before | {"Pending": 1}
    [group] = [box.group for box in browser.get(HOME).context["boxes"]]
    assert group.records == before["Needs attention"]
    assert "Paused by eve" in words_of(browser.get(f"{CONTACTS}?health=pending").content.decode())
