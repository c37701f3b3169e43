"""A Monday morning: what piled up while Monday didn't answer is worked off from Home."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, expect

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.fields import lookups
from tests.story.conftest import Hand, sign_in, synced
from tests.support.pages import barriers_in_both_schemes, inbox_badge
from tests.support.world import mail

if TYPE_CHECKING:
    from tests.support.site import Site

# Their role is edited on both sides, on the board or in NPD; they are archived; Monday refuses their email.
PEOPLE = {"Both": 10, "Board": 10, "Office": 8, "Archived": 5, "Refused": 2}
# Items added on the board; the last has nothing by which NPD could match it.
NEW = {"New 0": {"email": mail("new0@example.com")}, "New 1": {"email": mail("new1@example.com")}, "New 2": {}}
OUTAGE = {"status": 503, "count": None, "retry_after": 600}  # no probe ends it while the page is read
# What Home asks of her: the cause, whom it is about, and the main button.
GROUPS = [
    ("The column “Notes” was deleted", "37 contacts", "Check the board now"),
    ("Archived on the board by Maya Lind", "5 contacts", "Restore on Monday"),
    ("Role changed on both sides", "10 contacts", "Resolve"),
    ("Email was rejected by Monday", "2 contacts", "Fix"),
    ("No email yet, so we can't tell who this is", "Contacts", "Create contact"),
]
# Try again, the column, the board; Resolve and two for each conflict; two for each email after them; Create.
CLICKS = 1 + 1 + 1 + (1 + 2 * 10) + 2 * 2 + 1


def test_a_monday_morning_after_an_outage_is_worked_off_from_home(site: Site, screen: Page) -> None:
    people = in_step(site)
    sign_in(site, screen)
    an_outage_begins(site, screen)
    edits_on_both_sides(site, people)
    faults = barriers_in_both_schemes(screen)
    hand = Hand()

    site.sandbox.control("faults", "DELETE")
    hand.click(screen.get_by_role("button", name="Try again now"))
    screen.get_by_text("Monday answers, and the sync runs again.").wait_for()
    expect(screen.locator("#npd-home-state strong")).to_have_text(f"{len(GROUPS)} things need attention")
    expect(inbox_badge(screen)).to_have_text(str(len(GROUPS)))
    site.wait_for("the one-sided edits went over", lambda: one_sided_edits_went_over(site))
    for (cause, whom, button), group in zip(GROUPS, screen.locator(".npd-home-group").all(), strict=True):
        expect(group.locator(".npd-home-cause")).to_contain_text(cause)
        expect(group.locator("summary").first).to_contain_text(whom)
        expect(group.locator(".npd-button-main")).to_contain_text(button)
    faults += barriers_in_both_schemes(screen)

    the_column_comes_back(site, screen, hand)
    the_archived_are_restored(screen, hand)
    hand.click(main_button(screen, "Role changed on both sides"))
    screen.wait_for_url("**/screen/")
    faults += barriers_in_both_schemes(screen)
    sides = conflicts_are_resolved(screen, hand)
    # The two emails come next.
    faults += barriers_in_both_schemes(screen)
    refused_emails_are_corrected(screen, hand)
    screen.wait_for_url("**/admin/")
    hand.click(main_button(screen, "No email yet, so we can't tell who this is"))

    expect(screen.locator("#npd-home-state strong")).to_have_text("All is well")
    expect(screen.locator(".npd-home-group")).to_have_count(0)
    expect(inbox_badge(screen)).to_have_text("")
    faults += barriers_in_both_schemes(screen)
    assert hand.clicks == CLICKS
    assert not faults
    nothing_is_lost(site, sides)


def in_step(site: Site) -> dict[str, Contact]:
    """Make everybody, the same on both sides; return them by name."""
    Contact.objects.bulk_create(
        Contact(name=f"{group} {number}", email=f"{group}{number}@example.com", role_title="Old", notes="Kept")
        for group, total in PEOPLE.items()
        for number in range(total)
    )
    site.wait_for("everybody is synced", synced)
    site.wait_for("the board's own reports have come in", lambda: all_reported(site))
    return {contact.name: contact for contact in Contact.objects.all()}


def all_reported(site: Site) -> bool:
    return all(report["state"] != "waiting" for report in site.sandbox.control("webhooks", "GET")["deliveries"])


def an_outage_begins(site: Site, page: Page) -> None:
    site.sandbox.faults(OUTAGE)
    Contact.objects.filter(name="Office 0").update(role_title="Office 0 here")
    expect(page.get_by_role("region", name="Sync is stopped")).to_contain_text("Monday is not available just now")


def edits_on_both_sides(site: Site, people: dict[str, Contact]) -> None:
    board = lookups.link_of("contact")
    assert board is not None
    for name, contact in people.items():
        if name.startswith(("Both", "Office")):
            Contact.objects.filter(pk=contact.pk).update(role_title=f"{name} here")
        if name.startswith("Refused"):
            Contact.objects.filter(pk=contact.pk).update(email=f'"{name}"@example.com')
        if name.startswith(("Both", "Board")):
            site.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", text=f"{name} there")
        if name.startswith("Archived"):
            site.sandbox.act("archive", item_id=contact.monday_id)
    for name, values in NEW.items():
        site.sandbox.act("add", board_id=board.board_id, name=name, values=values)
    site.sandbox.control("columns", board_id=board.board_id, column_id="role_title", action="rename", title="Position")
    site.sandbox.control("columns", board_id=board.board_id, column_id="notes", action="delete")


def one_sided_edits_went_over(site: Site) -> bool:
    """Whether these edits reached the other side, and people are only asked about fields edited on both."""
    expected = {
        f"{group} {number}": f"{group} {number} {side}"
        for group, side in (("Board", "there"), ("Office", "here"))
        for number in range(PEOPLE[group])
    }
    in_npd = dict(Contact.objects.filter(name__in=expected).values_list("name", "role_title"))
    items = {item["name"]: item["values"]["role_title"] for item in site.sandbox.items()}
    on_board = {name: items[name] for name in expected}
    asked = Contact.objects.filter(pk__in=SyncConflict.objects.filter(resolved_at=None).values("entity_id"))
    return in_npd == on_board == expected and not asked.exclude(name__startswith="Both").exists()


def main_button(page: Page, cause: str) -> Locator:
    return page.locator(".npd-home-group", has_text=cause).locator(".npd-button-main")


def the_column_comes_back(site: Site, page: Page, hand: Hand) -> None:
    """The column is restored from the board's trash, and NPD is told."""
    board = lookups.link_of("contact")
    assert board is not None
    site.sandbox.control("columns", board_id=board.board_id, column_id="notes", action="restore")
    hand.click(main_button(page, "The column “Notes” was deleted"))
    expect(page.locator(".npd-home-group", has_text="The column “Notes”")).to_have_count(0)


def the_archived_are_restored(page: Page, hand: Hand) -> None:
    """Her button opens the board, where she restores them, and Home notices."""
    with page.expect_popup() as popup:
        hand.click(main_button(page, "Archived on the board"))
    board = popup.value
    board.get_by_role("link", name=re.compile("^Archive")).click()
    restore = board.get_by_role("button", name=re.compile("^Restore Archived"))
    for left in reversed(range(PEOPLE["Archived"])):
        restore.first.click()
        expect(restore).to_have_count(left)
    board.close()
    expect(page.locator(".npd-home-group", has_text="Archived on the board")).to_have_count(0)


def conflicts_are_resolved(page: Page, hand: Hand) -> dict[str, str]:
    """Resolve each conflict by two clicks, and the next opens by itself; return the value chosen for each person."""
    chosen: dict[str, str] = {}
    while len(chosen) < PEOPLE["Both"]:
        name = page.locator(".cfl-name").inner_text().strip()
        side = "here" if len(chosen) % 2 else "there"
        chosen[name] = f"{name} {side}"
        hand.click(page.get_by_role("radio", name=chosen[name]))
        hand.click(page.locator(".cfl-foot .cfl-primary"))
        expect(page.locator(".cfl-name")).not_to_have_text(name)
    return chosen


def refused_emails_are_corrected(page: Page, hand: Hand) -> None:
    for _ in range(PEOPLE["Refused"]):
        name = page.locator(".cfl-name").inner_text().strip()
        field = page.get_by_role("textbox", name="Result for Email")
        hand.click(field)
        field.fill(f"{name.replace(' ', '')}@example.org")
        hand.click(page.locator(".cfl-foot .cfl-primary"))
        expect(page.locator(".cfl-name", has_text=name)).to_have_count(0)


def nothing_is_lost(site: Site, chosen: dict[str, str]) -> None:
    """Both sides have everybody once, with the edited or chosen values, and no note is gone."""
    site.wait_for("both sides agree", synced)
    contacts = {contact.name: contact for contact in Contact.objects.all()}
    items = {item["name"]: item for item in site.sandbox.items()}
    assert sorted(item["name"] for item in site.sandbox.all_items()) == sorted(contacts) == sorted(items)
    assert len(contacts) == sum(PEOPLE.values()) + len(NEW)
    for name, contact in contacts.items():
        cells = items[name]["values"]
        assert contact.monday_id == items[name]["id"]
        assert (contact.role_title, contact.email) == (cells["role_title"], cells["email"])
        assert contact.notes == cells["notes"] == ("" if name in NEW else "Kept")
    assert {name: contacts[name].role_title for name in chosen} == chosen
    assert contacts["Refused 0"].email == "Refused0@example.org"
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
