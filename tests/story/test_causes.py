"""One cause, one card, one answer, with everything running: sixty archived items, and a deleted column."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from npd.models import Contact
from sync.models import FieldMapping
from sync.outbox import notify
from tests.story.conftest import synced
from tests.support.pages import barriers, inbox_badge, press, tab_to
from tests.support.site import Site

INBOX = "/admin/inbox/"


def looked_at(page: Page) -> list[str]:
    """What is in anybody's way, light and dark; the page is left as it was."""
    found = []
    for _ in range(2):
        # The theme reads which scheme a person wants when a page is loaded, and not again.
        is_dark = page.evaluate("document.documentElement.classList.toggle('dark')")
        found += [f"{'dark' if is_dark else 'light'}: {what}" for what in barriers(page)]
    return found


def shown(page: Page, width: int, scheme: Any) -> Page:
    """The page, of this width and scheme."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    return page


def choose(page: Page, name: str) -> None:
    """Press this button with the keyboard."""
    tab_to(page, name)
    press(page, "Enter")


def people(site: Site, number: int) -> list[Contact]:
    """So many contacts, on both sides."""
    Contact.objects.bulk_create(Contact(name=f"Person {n:02}", role_title=f"Role {n}") for n in range(number))
    notify.notify_now("contact")  # what is written in bulk sends no wake-up: beat would find it
    site.wait_for("everybody is synced", synced)
    return list(Contact.objects.order_by("name"))


def test_sixty_archived_items_are_one_card_at_once_and_answered_in_one_act_by_keys(
    site: Site, admin_page: Page
) -> None:
    page, found = shown(admin_page, 1280, "light"), list[str]()
    gone = people(site, 60)
    page.goto(INBOX)
    for one in gone:
        site.sandbox.act("archive", item_id=one.monday_id)
    # Nobody waits for the quiet time, and nobody reloads.
    expect(page.locator(".npd-inbox-cause")).to_have_text(
        re.compile("Archived on the board by .*60 contacts", re.DOTALL), timeout=60_000
    )
    expect(page.locator(".npd-inbox-group")).to_have_count(1)
    expect(inbox_badge(page)).to_have_text("1")
    expect(page.get_by_role("link", name="Restore on Monday")).to_have_attribute("href", re.compile("/board/"))
    found += looked_at(page)

    page.locator("[data-inbox-all]").check()
    expect(page.locator("[data-inbox-selected]")).to_have_text("60 selected")
    expect(page.locator("[data-inbox-bulk][value=delete_removed]")).to_have_text(re.compile("Delete 60 contacts…"))
    page.locator("[data-inbox-all]").uncheck()

    # One by a restore on Monday, which closes its question by itself; one alone; all others together.
    site.sandbox.act("restore", item_id=gone[0].monday_id)
    expect(page.locator(".npd-inbox-cause")).to_have_text(re.compile("59 contacts"), timeout=60_000)
    # Which of them the page shows first is not said anywhere.
    row = page.locator("[data-inbox-row]").first
    words = row.inner_text()
    alone = next(one for one in gone if one.name in words)
    row.focus()
    press(page, "d")
    page.get_by_role("heading", name="Delete 1 contact in NPD?", exact=True).wait_for()
    found += looked_at(page)
    choose(page, "Delete 1 contact")
    page.wait_for_url(f"**{INBOX}**")
    expect(page.locator(".npd-inbox-cause")).to_have_text(re.compile("58 contacts"))
    choose(page, "Create 58 items again…")
    page.get_by_role("heading", name="Create 58 items again on Monday?", exact=True).wait_for()
    found += looked_at(page)
    choose(page, "Create 58 items")
    page.get_by_role("heading", name="Your inbox is empty").wait_for()
    expect(inbox_badge(page)).to_have_text("")
    assert not found

    site.wait_for("everybody is synced again", synced)
    left = {one.name: one.monday_id for one in Contact.objects.all()}
    before = {one.name: one.monday_id for one in gone}
    assert set(left) == set(before) - {alone.name}
    assert {name for name, item in left.items() if item == before[name]} == {gone[0].name}
    active = [item for item in site.sandbox.items() if item["state"] == "active"]
    assert {item["name"] for item in active} == set(left)
    assert len(active) == 59


def test_a_deleted_column_is_one_card_and_replaced_where_it_stands_on_a_phone(site: Site, admin_page: Page) -> None:
    page, found = shown(admin_page, 390, "dark"), list[str]()
    people(site, 12)
    board = {one["name"]: one["id"] for one in site.sandbox.boards()}["Contacts"]
    make = "mutation ($b: ID!) { create_column(board_id: $b, title: %s, column_type: text) { id } }"
    spare = site.sandbox.query(make % '"Spare"', b=board)["data"]["create_column"]["id"]
    role = FieldMapping.objects.get(link__entity_type="contact", key="role_title")
    page.goto(INBOX)
    drop = "mutation ($b: ID!, $c: String!) { delete_column(board_id: $b, column_id: $c) { id } }"
    site.sandbox.query(drop, b=board, c=role.column_id)
    Contact.objects.update(role_title="Another")
    row = page.locator("[data-inbox-row]", has_text="Role")
    expect(row).to_have_count(1, timeout=60_000)
    expect(inbox_badge(page)).to_have_text("1")
    found += looked_at(page)

    row.get_by_role("combobox").select_option(spare)
    row.get_by_role("button", name="Use this column…").click()
    page.get_by_role("button", name="Yes, use this column").wait_for()
    found += looked_at(page)
    page.get_by_role("button", name="Yes, use this column").click()
    page.wait_for_url(f"**{INBOX}**")
    page.get_by_role("heading", name="Your inbox is empty").wait_for()
    found += looked_at(page)
    assert not found
    role.refresh_from_db()
    assert role.column_id == spare
    site.wait_for("everybody is synced again", synced)
    assert {item["values"][spare] for item in site.sandbox.items()} == {"Another"}
