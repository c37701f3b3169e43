"""People at work in a real browser with everything running: who begins, brings back, is on a phone, may only resolve.

Each is played on a desktop and on a phone, and checks the main pages with axe in light and dark. The Monday morning
after an outage is test_monday_morning.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Locator, Page, expect

from conflicts.models import SyncConflict
from npd.models import Contact
from sync import attention
from sync.models import ActivityLine
from tests.conftest import PAGE_TIMEOUT
from tests.story.conftest import Hand, every_second, names_on_board, own_sandbox, sign_in, synced, worker_asleep
from tests.support.child import Child
from tests.support.pages import barriers, barriers_in_both_schemes, inbox_badge
from tests.support.receivers import MailServer
from tests.support.serving import serving
from tests.support.site import USER, Processes, Site, hashed_password, purge_broker, restore_schedule
from tests.support.world import mail
from tests.wizard.conftest import PEOPLE, a_board, an_item

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOME = "/admin/"
BAD_EMAIL = '"grace okonkwo"@okonkwo.example'


# A new administrator.


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        yield server


@pytest.fixture
def new_site(
    transactional_db: None, processes: Processes, running_sandbox: list[Child], mails: MailServer
) -> Iterator[Site]:
    """A first start: an administrator, a mail server, and Monday's address without a token."""
    nothing = dict.fromkeys(("MONDAY_API_KEY", "MONDAY_WEBHOOK_TOKEN", "MONDAY_SIGNING_SECRET"), "")
    with (
        own_sandbox(running_sandbox) as monday,
        processes.with_variables(**nothing, EMAIL_URL=f"smtp://127.0.0.1:{mails.port}"),
    ):
        get_user_model().objects.create(
            username=USER, email="admin@example.com", password=hashed_password(), is_staff=True, is_superuser=True
        )
        purge_broker()
        restore_schedule()
        every_second("sync.notify_people")
        processes.work()
        yield Site(processes, monday)
        processes.rest()


def test_a_new_administrator_connects_syncs_and_is_notified(new_site: Site, screen: Page, mails: MailServer) -> None:
    monday = new_site.sandbox
    board = a_board(monday, "Our people", *PEOPLE)
    ann = an_item(monday, board, "Ann Ångström", mail=mail("ann@example.com"), job="Head")
    screen.goto(HOME)
    faults = barriers_in_both_schemes(screen)
    sign_in(new_site, screen)
    screen.get_by_text("Not set up: nothing is synced yet").wait_for()
    faults += barriers_in_both_schemes(screen)
    add_contact(screen, "Ann Ångström", "ann@example.com")
    add_contact(screen, "Bob Stone", "bob@example.com")
    follow_by_mail(screen)
    screen.goto(HOME)
    connect(screen, monday.token)
    faults += barriers_in_both_schemes(screen)
    faults += set_up(screen, board)

    screen.get_by_role("link", name="Go to Home").click()
    expect(screen.locator("#npd-home-state strong")).to_have_text("All is well")
    faults += barriers_in_both_schemes(screen)
    assert not faults
    assert synced()
    assert monday.item_named("Bob Stone")
    contact = Contact.objects.get(monday_id=ann)
    assert contact.role_title == "Head"

    with worker_asleep(new_site):
        screen.goto(f"/admin/npd/contact/{contact.pk}/change/")
        screen.locator("[name=role_title]").fill("Director")
        screen.get_by_role("button", name="Save and continue editing").click()
        screen.get_by_text(re.compile("was (?:added|changed) successfully")).wait_for()
        monday.act("edit", item_id=ann, column_id="job", text="Chair")
    expect(inbox_badge(screen)).to_have_text("1")
    message = new_site.wait_for("the first notification", lambda: mails.mails and mails.mails[0])
    assert mails.recipients == ["admin@example.com"]
    # The mail's own link leads to both sides.
    text = message.get_body(("plain",)).get_content()
    link = re.search(rf"{re.escape(new_site.url)}\S+/screen/", text)
    assert link, text
    screen.goto(link[0])
    screen.locator(".cfl-current").wait_for()
    for value in ("Director", "Chair"):
        expect(screen.locator("[data-row]")).to_contain_text(value)
    screen.get_by_role("radio", name="Chair").check()
    screen.get_by_role("button", name="Resolve", exact=True).click()
    screen.get_by_text("Resolved: Role is “").wait_for()
    expect(inbox_badge(screen)).to_have_text("")
    new_site.wait_for("both sides agree", lambda: synced() and not SyncConflict.objects.filter(resolved_at=None))
    contact.refresh_from_db()
    assert contact.role_title == monday.item(ann)["values"]["job"] == "Chair"
    assert len(mails.mails) == 1


def add_contact(page: Page, name: str, email: str) -> None:
    page.goto("/admin/npd/contact/add/")
    page.locator("[name=name]").fill(name)
    page.locator("[name=email]").fill(email)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text(re.compile("was (?:added|changed) successfully")).wait_for()


def follow_by_mail(page: Page) -> None:
    page.goto("/admin/notifications/")
    page.get_by_label("How often").first.select_option("at_once")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your notifications were saved.").wait_for()


def connect(page: Page, token: str) -> None:
    """A token that Monday refuses is not kept, and one that it takes is never shown."""
    page.get_by_role("link", name="Connect Monday").first.click()
    assert page.get_by_role("textbox", name="API token").get_attribute("type") == "password"
    for text, answer in (
        ("a-token-that-monday-refuses", "Monday rejects this token, so it was not kept"),
        (token, "Connected. The token works"),
    ):
        page.get_by_role("textbox", name="API token").fill(text)
        page.get_by_role("button", name="Test and save").click()
        page.get_by_text(answer).wait_for()
        assert text not in page.content()


def set_up(page: Page, board: str) -> list[str]:
    """From the choice of boards to the run: contacts on an existing board, organizations on a new one."""
    page.get_by_role("link", name="Next: Boards").click()
    page.get_by_label("Board of Contacts").select_option(board)
    faults = barriers_in_both_schemes(page)
    page.get_by_role("button", name="Next: Fields").click()
    for kind in ("Organizations", "Contacts"):
        page.get_by_role("heading", name=f"{kind}: which column holds which field?").wait_for()
        conditions_appear_one_after_another(page)
        faults += barriers_in_both_schemes(page)
        page.get_by_role("button", name=re.compile("^Next: ")).click()
    # The worker compares, and the page follows by itself.
    page.get_by_role("button", name="Start", exact=True).wait_for()
    faults += barriers_in_both_schemes(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="The set-up is done", exact=True).wait_for()
    faults += barriers_in_both_schemes(page)
    return faults


def conditions_appear_one_after_another(page: Page) -> None:
    page.get_by_text("Sync only some of them…").click()
    of_records = page.get_by_role("region", name="Records in NPD").get_by_role("group")
    expect(of_records).to_have_count(1)
    of_records.get_by_label("Field").select_option("Name")
    expect(of_records).to_have_count(2)
    of_records.first.get_by_label("Field").select_option("No condition")
    expect(of_records).to_have_count(1)


def edit(site: Site, contact: Contact, column: str, text: str) -> None:
    site.sandbox.act("edit", item_id=contact.monday_id, column_id=column, text=text)


# Somebody who unlinks and deletes too many.


def test_what_was_unlinked_and_deleted_at_once_comes_back_from_the_activity(site: Site, screen: Page) -> None:
    names = [f"Ann {letter}" for letter in "ABCDEFGHIJKL"]
    Contact.objects.bulk_create(Contact(name=name, email=f"{name[-1]}@example.com") for name in names)
    site.wait_for("all are synced", synced)
    items = dict(Contact.objects.values_list("name", "monday_id"))
    sign_in(site, screen)
    faults = act_on_all(screen, "Unlink from Monday…", "Unlink 12 contacts from Monday")
    site.wait_for("all are unlinked", lambda: not Contact.objects.exclude(monday_id=None).exists())
    faults += take_back(screen, "… and 11 more records", "Undo…", "Link 12 contacts with their items again")
    screen.get_by_text("12 contacts are linked again.").wait_for()
    site.wait_for("all are synced again", synced)
    assert dict(Contact.objects.values_list("name", "monday_id")) == items

    faults += act_on_all(screen, "Delete…", "Delete 12 contacts")
    told = ActivityLine.objects.filter(actor=site.username).exclude(kind="unlinked")
    site.wait_for("the passes have told it", lambda: sum(line.is_of_deletion for line in told.all()) == len(names))
    faults += take_back(screen, "Deleted 12 contacts in NPD.", "Restore…", "Restore 12 deleted records")
    screen.get_by_text("12 records restored.").wait_for()
    site.wait_for("both sides are as before", lambda: synced(*names) and names_on_board(site) == names)
    assert not faults


def act_on_all(page: Page, act: str, confirmation: str) -> list[str]:
    """Tick all contacts of the list, and confirm an act on them."""
    page.goto("/admin/npd/contact/?q=Ann")
    page.locator("#action-toggle").check()
    page.locator(".actions").get_by_role("button", name=act).click()
    button = page.get_by_role("button", name=confirmation)
    button.wait_for()
    faults = barriers_in_both_schemes(page)
    button.click()
    return faults


def take_back(page: Page, words: str, link: str, confirmation: str) -> list[str]:
    """Press the link of the activity's line with these words, and confirm it."""
    page.goto("/admin/sync/activityline/")
    faults = barriers_in_both_schemes(page)
    page.locator("tr.data-row", has_text=words).get_by_role("link", name=re.compile(f"^{link}")).click()
    button = page.get_by_role("button", name=confirmation)
    button.wait_for()
    faults += barriers_in_both_schemes(page)
    button.click()
    return faults


# Somebody on a phone.


def test_ten_conflicts_are_resolved_and_a_record_is_corrected_on_a_phone(site: Site, chromium: Browser) -> None:
    names = [f"Ann {letter}" for letter in "ABCDEFGHIJ"]
    Contact.objects.bulk_create(
        Contact(name=name, email=f"{name[-1]}@example.com", role_title="Old") for name in [*names, "Grace Okonkwo"]
    )
    site.wait_for("all are synced", synced)
    grace = Contact.objects.get(name="Grace Okonkwo")
    with worker_asleep(site):
        for contact in Contact.objects.exclude(pk=grace.pk):
            role = f"{contact.name} has a role with a name that is a good deal longer than others"
            Contact.objects.filter(pk=contact.pk).update(role_title=role)
            edit(site, contact, "role_title", f"{contact.name} on Monday")
        Contact.objects.filter(pk=grace.pk).update(email=BAD_EMAIL)
    site.wait_for("all need attention", lambda: sum(attention.counts().values()) == len(names) + 1)
    context = chromium.new_context(
        base_url=site.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, locale="en-GB"
    )
    context.set_default_timeout(PAGE_TIMEOUT)
    page, faults, hand = context.new_page(), list[str](), Hand(Locator.tap)

    page.goto(HOME)
    faults += barriers(page)
    sign_in(site, page)
    group = page.locator(".npd-home-group", has_text="Role changed on both sides")
    group.locator("summary").first.tap()
    rows = page.locator("[data-row]")
    expect(rows).to_have_count(len(names) + 1)
    # A card has eight lines: both values, with who wrote them, may take six, as people have to see them to choose one.
    assert max(rows.evaluate_all("rows => rows.map(row => row.offsetHeight)")) <= 195
    faults += barriers_in_both_schemes(page)
    hand.click(group.locator(".npd-button-main"))
    page.locator(".cfl-current").wait_for()
    faults += barriers_in_both_schemes(page)
    for _ in names:
        hand.click(page.locator("input[name=pick-role_title][value=monday]"))
        next_one = page.locator(".cfl-foot .cfl-primary")
        # The button is within reach of a thumb for every conflict.
        assert next_one.bounding_box()["y"] > 844 - 100
        with page.expect_navigation():
            hand.click(next_one)
    assert hand.clicks == 1 + 2 * len(names)
    expect(page.locator(".cfl-tag", has_text="Rejected by Monday")).to_be_visible()  # the next that waits
    faults += barriers_in_both_schemes(page)

    page.goto("/admin/npd/contact/")
    faults += barriers(page)
    page.get_by_role("link", name="Grace Okonkwo", exact=True).tap()
    page.locator("#npd-state [data-act=rejected]").tap()
    page.locator("[data-summary]").wait_for()
    page.locator("input[name=pick-email][value=custom]").check()
    page.locator("input[name=value-email]").fill("grace@okonkwo.example")
    page.get_by_role("button", name="Resolve", exact=True).tap()
    page.locator(".cfl-strip-settled").wait_for()
    page.goto(f"/admin/npd/contact/{grace.pk}/change/")
    page.locator("#npd-state .npd-badge-ok").wait_for()
    faults += barriers_in_both_schemes(page)
    page.goto(HOME)
    expect(page.locator("#npd-home-state strong")).to_have_text("All is well")
    context.close()

    assert not faults
    site.wait_for("both sides agree", synced)
    items = {item["name"]: item["values"] for item in site.sandbox.items()}
    assert items["Grace Okonkwo"]["email"] == "grace@okonkwo.example"
    assert {name: items[name]["role_title"] for name in names} == {name: f"{name} on Monday" for name in names}
    assert set(Contact.objects.filter(name__in=names).values_list("role_title", flat=True)) == {
        f"{name} on Monday" for name in names
    }


# Somebody who may only resolve.


def test_an_invited_colleague_resolves_conflicts_and_can_do_nothing_else(
    site: Site, screen: Page, chromium: Browser
) -> None:
    Contact.objects.create(name="Ann", email="ann@example.com", role_title="Old")
    site.wait_for("she is synced", synced)
    ann = Contact.objects.get()
    with worker_asleep(site):
        Contact.objects.update(role_title="Head")
        edit(site, ann, "role_title", "Chair")
    site.wait_for("she needs attention", lambda: sum(attention.counts().values()) == 1)
    sign_in(site, screen)
    link = invite(screen, "lea", "Resolve")

    context = chromium.new_context(base_url=site.url, locale="en-GB", viewport=screen.viewport_size)
    context.set_default_timeout(PAGE_TIMEOUT)
    hers = context.new_page()
    hers.goto(link)
    faults = barriers_in_both_schemes(hers)
    for name in ("New password", "New password confirmation"):
        hers.get_by_label(name, exact=True).fill("a long way to the sea")
    hers.get_by_role("button", name="Set the password").click()
    hers.get_by_text("Your password is set").wait_for()
    hers.get_by_label("Username").fill("lea")
    hers.get_by_label("Password", exact=True).fill("a long way to the sea")
    hers.get_by_role("button", name="Sign in", exact=True).click()
    expect(hers.locator("#npd-home-state strong")).to_have_text(
        "1 thing needs attention; everything else syncs as usual"
    )
    expect(hers.get_by_role("link", name="Pause…")).to_have_count(0)
    faults += barriers_in_both_schemes(hers)

    hers.goto(f"/admin/npd/contact/{ann.pk}/change/")
    for name in ("Save", "Sync now", "Delete"):
        expect(hers.get_by_role("button", name=name)).to_have_count(0)
    expect(hers.locator("#contact_form").locator("input:not([type=hidden]), textarea, select")).to_have_count(0)
    faults += barriers_in_both_schemes(hers)
    for path in ("/admin/sync/syncqueue/", "/admin/sync/boardlink/", "/admin/auth/user/", "/admin/npd/contact/add/"):
        answer = hers.goto(path)
        assert answer
        assert answer.status == 403
    faults += barriers_in_both_schemes(hers)

    hers.goto(HOME)
    hers.locator(".npd-home-group").locator(".npd-button-main").click()
    hers.locator(".cfl-current").wait_for()
    expect(hers.locator("input[value=custom], input[type=text]")).to_have_count(0)
    faults += barriers_in_both_schemes(hers)
    hers.get_by_role("radio", name="Chair").check()
    hers.get_by_role("button", name="Resolve, then Home").click()
    expect(hers.locator("#npd-home-state strong")).to_have_text("All is well")
    context.close()

    assert not faults
    site.wait_for("both sides agree", lambda: synced() and not SyncConflict.objects.filter(resolved_at=None))
    ann.refresh_from_db()
    assert ann.role_title == site.sandbox.item(ann.monday_id)["values"]["role_title"] == "Chair"
    assert SyncConflict.objects.get().resolved_by.get_username() == "lea"


def invite(page: Page, name: str, group: str) -> str:
    """Add a user of a group in Settings; return the link by which they set a password, as no mail goes out here."""
    page.goto("/admin/settings/")
    page.get_by_role("link", name=re.compile("^Users")).click()
    page.get_by_role("link", name="Add user").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Email address").fill(f"{name}@example.com")
    page.get_by_role("checkbox", name=re.compile(f"^{group}")).check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Send the link").click()
    return page.locator(".npd-token pre").inner_text()
