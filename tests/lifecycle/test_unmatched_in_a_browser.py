"""Unmatched items by hand: ignored and taken back, linked after a preview, made into a contact, on open pages."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from npd.models import Contact
from sync.models import BoardLink, SyncQueue, UnmatchedItem
from tests.support.world import World

pytestmark = [pytest.mark.django_db(transaction=True)]
HALF_A_MINUTE = 31_000
LIST = "/admin/sync/unmatcheditem/"


@pytest.fixture
def person(world: World) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "long-enough-1", first_name="Ada")


def strangers(world: World, *names: str) -> list[UnmatchedItem]:
    BoardLink.objects.update(creates_records=False)
    items = [world.add(name, role_title="Buyer") for name in names]
    world.hear(seconds=11)
    world.work(seconds=301)
    return [UnmatchedItem.objects.get(item_id=item) for item in items]


def test_a_stranger_is_ignored_and_taken_back_another_linked_and_the_first_becomes_a_contact(
    world: World, person: User, open_page: Any
) -> None:
    first, second = strangers(world, "Met at the fair", "Robert from the fair")
    friend = world.contact("Bob Fair", email="bob@example.com")
    SyncQueue.objects.all().delete()
    page, errors = open_page(1280, "light")
    page.goto(LIST)
    page.get_by_role("link", name="Met at the fair", exact=True).click()
    page.get_by_role("button", name="Ignore").click()
    page.get_by_text("1 item ignored.").wait_for()
    assert page.get_by_role("link", name="Met at the fair, on Monday").count() == 0
    page.get_by_role("link", name="List them again").click()
    page.get_by_role("link", name="Met at the fair", exact=True).click()
    page.get_by_role("button", name="List it again").click()
    page.get_by_text("will be checked again").wait_for()
    page.goto(LIST)
    page.get_by_role("link", name="Met at the fair, on Monday, in a new tab").wait_for()

    page.get_by_role("link", name="Robert from the fair", exact=True).click()
    page.get_by_role("link", name="Link to…").click()
    page.get_by_role("searchbox").fill("bob@")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show what linking with Bob Fair would change").click()
    page.get_by_role("heading", name="Link it with “Bob Fair”?").wait_for()
    assert page.get_by_role("row", name="NPD Role (empty) Buyer").count() == 1
    assert page.get_by_role("row", name="Monday Email (empty) bob@example.com").count() == 1
    page.get_by_role("button", name="Link them").click()
    page.get_by_text("Being linked").wait_for()

    page.goto(f"{LIST}{first.pk}/change/")
    page.get_by_role("button", name="Create contact").click()
    page.get_by_role("button", name="Yes, create 1 contact").click()
    page.get_by_text("Being created").wait_for()
    page.goto(f"{LIST}{first.pk}/change/")
    world.work()
    # The page of the item that is a contact's now leads to the list.
    page.wait_for_url(f"**{LIST}")
    page.get_by_text("Every item has its record").wait_for()
    assert "0 unmatched items" in page.locator("#npd-pagination").inner_text()
    friend.refresh_from_db()
    assert (friend.monday_id, friend.role_title) == (second.item_id, "Buyer")
    assert Contact.objects.get(monday_id=first.item_id).role_title == "Buyer"
    assert not errors


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
