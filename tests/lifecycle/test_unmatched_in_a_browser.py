"""The list of unmatched items on an open page."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from sync.models import BoardLink, UnmatchedItem
from tests.support.world import World

pytestmark = [pytest.mark.django_db(transaction=True)]
HALF_A_MINUTE = 31_000
LIST = "/admin/sync/unmatcheditem/"


def strangers(world: World, *names: str) -> list[UnmatchedItem]:
    BoardLink.objects.update(creates_records=False)
    items = [world.add(name, role_title="Buyer") for name in names]
    world.hear(seconds=11)
    world.work(seconds=301)
    return [UnmatchedItem.objects.get(item_id=item) for item in items]


def test_an_open_list_counts_anew_what_is_added(world: World, person: User, open_page: Any) -> None:
    strangers(world, "One")
    page, errors = open_page(390, "dark")
    page.clock.install()
    page.goto(LIST)
    assert "1 unmatched item" in page.locator("#npd-pagination").inner_text()
    world.add("Two")
    world.hear()
    page.clock.fast_forward(HALF_A_MINUTE)
    page.get_by_role("link", name="Two, on Monday, in a new tab").wait_for()
    page.get_by_text("2 unmatched items").wait_for()
    # The boxes of rows that came in by themselves work as those of the first ones.
    page.locator("input.action-select").first.check()
    page.get_by_text("1 of 2 selected").wait_for()
    assert not errors
