"""Two large causes of the inbox, from the board to the answer, in a browser: archived items, and a deleted column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from npd.models import Contact
from sync.models import Tombstone
from tests.support.pages import barriers, inbox_badge
from tests.support.world import TOM, World, staged

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True)]
INBOX = "/admin/inbox/"


@staged
def sixty(world: World) -> list[Contact]:
    """Contacts that are in sync, each with a role."""
    made = [world.contact(f"Ann {n:02}", email=f"ann{n}@example.test", role_title=f"Buyer {n}") for n in range(60)]
    world.work()
    world.hear(*made)
    return made


def archived(world: World) -> list[Contact]:
    contacts = sixty(world)
    for one in contacts:
        world.sandbox.act("archive", item_id=one.monday_id, user_id=TOM)
    # Nothing is waited for: from the first webhooks on it is known.
    world.hear()
    return contacts


def opened(open_page: Any, width: int, scheme: str) -> tuple[Page, list[str]]:
    """The inbox, which has one cause."""
    page, errors = open_page(width, scheme)
    page.goto(INBOX)
    expect(page.locator(".npd-inbox-group")).to_have_count(1)
    expect(inbox_badge(page).first).to_have_text(re.compile(r"^\s*1\s*$"))
    assert not barriers(page)
    return page, errors


NEW_COLUMN = """mutation ($board: ID!) {
    create_column(board_id: $board, title: "Position", id: "position", column_type: text) { id } }"""


def press_and_confirm(page: Page, button: str, confirm: str) -> None:
    page.get_by_role("button", name=re.compile(button)).first.click()
    expect(page.locator(".npd-question")).to_be_visible()
    assert not barriers(page)
    page.get_by_role("button", name=re.compile(confirm)).click()
    page.wait_for_url(f"**{INBOX}**")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_sixty_archived_items_are_created_again_in_one_act(
    open_page: Any, world: World, person: User, width: int, scheme: str
) -> None:
    contacts = archived(world)
    before = {one.pk: one.monday_id for one in contacts}
    page, errors = opened(open_page, width, scheme)
    press_and_confirm(page, "^Create 60", "^Create 60")
    world.work()
    world.work()
    page.reload()
    expect(page.get_by_text("60 items created again")).to_be_visible()
    assert not barriers(page)
    after = {one.pk: one.monday_id for one in Contact.objects.filter(sync_status="synced")}
    assert after.keys() == before.keys()
    assert not set(after.values()) & {None, *before.values()}
    assert not errors


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_of_sixty_archived_items_the_records_are_deleted_in_one_act(
    open_page: Any, world: World, person: User, width: int, scheme: str
) -> None:
    archived(world)
    page, errors = opened(open_page, width, scheme)
    press_and_confirm(page, "^Delete 60", "^Delete 60 contacts")
    expect(page.get_by_text(re.compile("60 contacts (are )?deleted"))).to_be_visible()
    assert not barriers(page)
    assert (Contact.objects.count(), Tombstone.objects.count()) == (0, 60)
    assert not errors


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_deleted_column_is_one_cause_and_replaced_on_the_boards_page(
    open_page: Any, world: World, person: User, width: int, scheme: str
) -> None:
    contacts = sixty(world)
    world.delete_column("role_title")
    world.save(contacts[0], role_title="Chair")
    page, errors = opened(open_page, width, scheme)
    world.sandbox.query(NEW_COLUMN, board=world.board_id())
    page.get_by_role("button", name=re.compile("check now")).click()
    page.get_by_role("link", name="Change the mapping").click()
    page.get_by_label("Column of Role").select_option(label="Position")
    assert not barriers(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Role is in the column Position now")).to_be_visible()
    for _ in range(3):
        world.work()
    page.goto(INBOX)
    expect(page.get_by_text("Your inbox is empty")).to_be_visible()
    for contact in Contact.objects.all():
        assert (contact.sync_status, world.values(contact)["position"]) == ("synced", contact.role_title)
    assert not errors
