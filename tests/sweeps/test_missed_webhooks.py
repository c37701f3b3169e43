"""The activity log finds what webhooks missed; nothing is done twice."""

import json

import pytest

from npd.models import Contact
from sync.clock import sync_now
from sync.models import ActivityLine, BoardLink, IgnoredItem
from sync.models.activity_lines import triggers_of
from sync.monday import board_events
from sync.operations.comparison import compare_board
from sync.operations.sweep import sweep_board
from tests.support.clock import move_clock
from tests.support.words import said
from tests.support.world import World
from tests.sweeps.conftest import Post


def test_a_lost_webhooks_row_of_the_log_is_taken_over_once(world: World, post: Post) -> None:
    contact = post.unheard()
    counts = [post.sweep().new_events for _ in range(3)]
    assert counts == [1, 0, 0]
    (row,) = post.stored(contact)
    event = row.body["event"]
    assert (event["value"], event["previousValue"]) == ({"value": "Countess"}, {"value": "Analyst"})
    assert (row.type, row.column_id, row.processed_at is None) == ("update_column_value", "role_title", False)
    assert event["userId"].isdigit()
    pulled = ActivityLine.objects.get(entity_id=contact.pk, kind="pull")
    assert f"webhook #{row.pk}" in triggers_of(pulled)
    contact.refresh_from_db()
    assert contact.role_title == "Countess"


def test_what_is_only_seconds_old_is_left_to_its_webhook(world: World, post: Post) -> None:
    contact = world.linked(role_title="Analyst")
    post.swept()
    world.edit(contact, "role_title", "Countess")
    result = post.sweep(contact, after=0.2)
    assert (result.new_events, contact.role_title) == (0, "Analyst")
    post.lose()
    assert post.sweep(after=10).new_events == 1
    contact.refresh_from_db()
    assert contact.role_title == "Countess"


def test_an_edit_left_to_its_webhook_is_found_by_the_next_sweep_while_mondays_clock_is_ahead(
    world: World, post: Post
) -> None:
    contact, other = world.linked(role_title="Analyst"), world.linked(name="Bo", email="bo@example.com")
    post.swept()
    rows = 0
    for record, minutes in ((contact, 10.5), (other, 0), (None, 15)):
        if record:
            post.edit(record, "role_title", "Countess")
        world.pass_time(minutes=minutes)
        move_clock(world.offset - 9 * 60)
        if record is not contact:
            rows += sweep_board(world.link()).new_events
    assert rows == 2


def test_an_edit_after_a_boards_first_cursor_is_found_though_mondays_clock_is_nine_minutes_behind(
    world: World, post: Post
) -> None:
    contact = world.linked(role_title="Analyst")
    move_clock(world.offset + 9 * 60)
    BoardLink.objects.update(swept_to=sync_now())
    post.edit(contact, "role_title", "Countess")
    world.pass_time(minutes=3)
    assert sweep_board(world.link()).new_events == 1


def test_the_cursor_moves_to_mondays_newest_time_and_only_when_the_sweep_is_finished(world: World, post: Post) -> None:
    contact = world.linked(role_title="Analyst")
    post.swept()
    before = world.link().swept_to
    assert before is not None
    post.edit(contact, "role_title", "Countess")
    world.sandbox.faults({"status": 500, "on": "boards"})
    failed = post.sweep()
    assert "could not be asked" in failed.problem
    assert (world.link().swept_to, world.link().sweep_problem) == (before, failed.problem)
    world.settle()
    assert post.sweep().problem == ""
    moved = world.link().swept_to
    assert moved is not None
    assert moved > before
    assert world.link().sweep_problem == ""
    contact.refresh_from_db()
    assert contact.role_title == "Countess"


def test_every_page_of_the_log_is_read(world: World, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_events, "NUMBERED_PAGES", board_events.NUMBERED_PAGES._replace(rows=4))
    monkeypatch.setattr(board_events, "LOG_ROWS", 8)
    contact = world.linked(role_title="0")
    post.swept()
    for number in range(1, 31):
        world.edit(contact, "role_title", str(number))
        if not number % 5:
            world.pass_time(seconds=2)
    post.lose()
    result = post.sweep()
    values = {json.dumps(row.body["event"]["value"]) for row in post.stored(contact)}
    assert result.new_events == 30
    assert len(values) == 30
    contact.refresh_from_db()
    assert contact.role_title == "30"


def test_after_months_idle_the_night_finds_what_is_too_old_for_the_sweep(world: World, post: Post) -> None:
    contact = post.unheard()
    result = post.sweep(contact, after=100 * 24 * 60)
    assert (result.new_events, result.problem, contact.role_title) == (0, "", "Analyst")
    compare_board(world.link())
    world.work(contact)
    assert (contact.role_title, world.status(contact)) == ("Countess", "synced")


@pytest.mark.parametrize(("left_alone", "contacts"), [(False, 2), (True, 1)])
def test_the_night_finds_an_edit_of_an_item_that_is_another_than_a_record_but_not_of_one_left_alone(
    world: World, post: Post, left_alone: bool, contacts: int
) -> None:
    contact = world.linked()
    item_id = world.add("Ann", email=contact.email)
    IgnoredItem.objects.create(
        entity_type="contact", item_id=item_id, entity_id=contact.pk, reason=said("Mary did."), left_alone=left_alone
    )
    world.sandbox.act("edit", item_id=item_id, column_id="email", value="other@example.com")
    post.lose()
    for _ in range(2):  # an item without a record waits for its next edit
        world.pass_time(minutes=30)
        compare_board(world.link())
        world.work()
    assert Contact.objects.count() == contacts
