"""Listings and logs that Monday gives only in part: nothing is concluded from what is missing, and it is said."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from npd.models import Contact
from sync import attention
from sync.clock import sync_now
from sync.models import ApiQuota, BoardLink, WebhookEvent
from sync.monday import board_events
from sync.operations.comparison import compare_board
from sync.operations.sweep import sweep_board, sweep_due_boards
from tests.reports.test_odd_answers import changing_answers, objects_in
from tests.support.world import World, mail


def told() -> str:
    """What Home says of the comparison."""
    return " ".join(entry.detail for entry in attention.entries() if entry.code == "comparison")


@pytest.mark.parametrize("cursor", ["same", "new"])
def test_a_listing_whose_pages_lead_nowhere_ends_and_is_said(world: World, cursor: str) -> None:
    world.list_in_pages_of_eight()
    Contact.objects.bulk_create([Contact(name=f"P{n:03}", email=f"p{n}@example.com") for n in range(20)])
    world.hear(rounds=3, minutes=1)
    world.sandbox.control("faults", cursor=cursor, count=None)
    before = world.calls()
    result = compare_board(world.link())
    assert ("same page" in result.problem, "same page" in told(), world.calls() - before < 8) == (True, True, True)
    assert not BoardLink.objects.exclude(stops={}).exists(), "only the listing has failed"
    world.sandbox.control("faults", "DELETE")
    assert (compare_board(world.link()).items, told()) == (20, "")


@pytest.mark.parametrize("cursor", ["same", "new"])
def test_a_search_whose_pages_lead_nowhere_ends_and_concludes_nothing(world: World, cursor: str) -> None:
    world.list_in_pages_of_eight()
    for number in range(10):
        world.add(f"P{number}", email=mail("info@example.org"))
    bea = world.linked("Bea")
    world.sandbox.control("faults", cursor=cursor, count=None)
    ann = world.contact("Ann", email="info@example.org")
    before = world.calls()
    world.save(bea, role_title="Boss")
    world.work(ann)
    assert (world.status(ann), ann.monday_id, world.status(bea)) == ("pending", None, "synced")
    assert world.calls() - before <= 12
    world.sandbox.control("faults", "DELETE")
    world.work(ann, minutes=2)
    assert (world.status(ann), len(world.sandbox.items())) == ("conflict", 11)


@pytest.mark.parametrize("by_id", [False, True])
def test_an_item_that_spoils_each_page_is_named_and_tried_alone_and_the_others_are_compared(
    world: World, by_id: bool
) -> None:
    people = world.linked_together(6, role_title="Old")
    bad, edited = people[2], people[4]
    world.sandbox.control("webhooks", rule="drop", count=None)
    world.edit(edited, "role_title", "New")
    world.sandbox.control("faults", unreadable=[bad.monday_id], by_id=by_id)
    for night in range(2):
        world.pass_time(hours=24)
        before = world.calls()
        result = compare_board(world.link())
        assert (result.problem, result.items, result.unlisted) == ("", 6, 0)
        assert ("P2" in told()) is by_id
        # The board, the page, its ids, the items; of six in halves: six more calls, if none is known to fail.
        expected = 4 if not by_id else 10 if night == 0 else 5
        assert world.calls() - before <= expected
    world.work(edited)
    assert (edited.role_title, world.status(bad)) == ("New", "synced")
    world.sandbox.control("faults", "DELETE")
    compare_board(world.link())
    assert (told(), world.link().listing_state) == ("", {})


def test_a_listing_that_is_too_short_two_nights_in_a_row_is_the_comparisons_problem(world: World) -> None:
    world.linked_together(6)
    for night in range(3):
        world.pass_time(hours=24)
        if night < 2:
            world.sandbox.control("faults", listing=4)
        result = compare_board(world.link())
        assert (bool(result.problem), bool(told())) == (night == 1, night == 1), (night, result.problem)
        assert result.unlisted == 0
    world.work()
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


@pytest.mark.parametrize(("log", "brought_by"), [(None, "webhooks"), ([], "the comparison"), ([], "nothing")])
def test_a_log_that_stays_empty_while_the_board_changes_is_the_comparisons_problem(
    world: World, log: Any, brought_by: str
) -> None:
    ann = world.linked("Ann", role_title="Old")
    sweep_board(world.link())

    def without_logs(query: str, data: Any) -> None:
        for node in objects_in(data):
            if "activity_logs" in node:
                node["activity_logs"] = log

    changing_answers(world, without_logs)
    for night in range(2):
        world.pass_time(hours=20)
        if brought_by != "nothing":
            world.edit(ann, "role_title", f"New {night}")
            world.deliver(times=brought_by == "webhooks")
        world.work(minutes=30)
        sweep_board(world.link())
        world.pass_time(hours=4)
        sweep_board(world.link())
        result = compare_board(world.link())
        world.work(ann)
    assert ("log has shown no change" in result.problem) is (brought_by != "nothing")
    assert (brought_by in told()) is (brought_by != "nothing")


def test_once_an_hour_the_log_is_read_an_hour_back(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    sweep_due_boards()
    world.sandbox.control("webhooks", rule="drop", count=None)
    world.pass_time(minutes=70)
    sweep_due_boards()
    world.sandbox.control("faults", late_rows=[50 * 60, 0], count=None)
    world.edit(ann, "role_title", "Theirs")
    world.pass_time(minutes=1)
    for _ in range(9):
        world.pass_time(minutes=11)
        world.sandbox.act("rename", item_id=ann.monday_id, name=f"Ann {world.offset}")
        sweep_due_boards()
    rows = WebhookEvent.objects.filter(trigger_id__startswith=board_events.LOG_PREFIX, column_id="role_title")
    assert rows.count() == 1, "a row that came 50 minutes late, once"


def test_a_sweep_keeps_to_its_share_of_the_day_and_the_next_goes_on_from_there(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    ApiQuota.objects.update_or_create(id=1, defaults={"day_limit": 120})  # three calls a board and day
    world.patch.setattr(board_events, "NUMBERED_PAGES", board_events.NUMBERED_PAGES._replace(rows=4))
    world.pass_time(minutes=30)
    sweep_due_boards()
    world.sandbox.control("webhooks", rule="drop", count=None)
    world.pass_time(hours=1)
    for number in range(20):
        world.edit(ann, "role_title", f"v{number}")
        world.pass_time(seconds=2)
    world.pass_time(minutes=5)
    spent = []
    for _ in range(3):
        before = world.calls()
        sweep_board(world.link())
        spent.append(world.calls() - before)
    assert max(spent) == 3
    rows = WebhookEvent.objects.filter(trigger_id__startswith=board_events.LOG_PREFIX, column_id="role_title")
    assert (rows.count(), world.link().log_state.get("gap")) == (20, None)
    swept_at = world.link().swept_at
    assert swept_at is not None
    assert swept_at > sync_now(), "who took more than a call waits for longer"


def test_a_row_of_the_log_that_can_not_be_read_hides_no_other_and_is_in_the_log(world: World) -> None:
    ann = world.linked(role_title="Old")
    sweep_board(world.link())
    world.sandbox.control("webhooks", rule="drop", count=None)
    world.edit(ann, "notes", {"text": "theirs"})
    world.edit(ann, "role_title", "New")

    def spoil_newest(query: str, data: Any) -> None:
        for node in objects_in(data):
            if node.get("activity_logs"):
                node["activity_logs"][0] = {**node["activity_logs"][0], "created_at": None}

    changing_answers(world, spoil_newest)
    world.pass_time(minutes=20)
    with capture_logs() as logs:
        result = sweep_board(world.link())
    assert (result.new_events, result.problem) == (1, "")
    assert [entry["rows"] for entry in logs if entry["event"] == "rows of the activity log not read"] == [1]
