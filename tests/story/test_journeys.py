"""Two people at work with everything running: a new administrator, and somebody on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from conflicts.models import SyncConflict
from npd.models import Contact
from sync import attention
from tests.conftest import PAGE_TIMEOUT
from tests.story.conftest import every_second, own_sandbox, sign_in, synced, worker_asleep
from tests.support.child import Child
from tests.support.pages import barriers, inbox_badge
from tests.support.receivers import MailServer, mail_server
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
    with mail_server() as server:
        yield server


@pytest.fixture
def new_site(
    transactional_db: None, processes: Processes, running_sandbox: list[Child], mails: MailServer
) -> Iterator[Site]:
    """As it is started for the first time: an administrator, a mail server, and Monday's address but no token."""
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


def test_a_new_administrator_connects_syncs_and_is_notified(new_site: Site, page: Page, mails: MailServer) -> None:
    monday = new_site.sandbox
    board = a_board(monday, "Our people", *PEOPLE)
    ann = an_item(monday, board, "Ann Ångström", mail=mail("ann@example.com"), job="Head")
    sign_in(new_site, page)
    page.get_by_text("Not set up: nothing is synced yet").wait_for()
    add_contact(page, "Ann Ångström", "ann@example.com")
    add_contact(page, "Bob Stone", "bob@example.com")
    follow_by_mail(page)
    page.goto("/admin/")
    connect(page, monday.token)
    set_up(page, board)

    page.get_by_role("link", name="Go to Home").click()
    page.locator("#npd-home").wait_for()
    expect(page.get_by_text("Not set up")).to_have_count(0)
    new_site.wait_for("everybody is synced", synced)
    assert monday.item_named("Bob Stone")
    contact = Contact.objects.get(monday_id=ann)
    assert contact.role_title == "Head"

    with worker_asleep(new_site):
        page.goto(f"/admin/npd/contact/{contact.pk}/change/")
        page.locator("[name=role_title]").fill("Director")
        page.get_by_role("button", name="Save and continue editing").click()
        page.get_by_text(re.compile("was (?:added|changed) successfully")).wait_for()
        monday.act("edit", item_id=ann, column_id="job", text="Chair")
    expect(inbox_badge(page)).to_have_text("1")
    message = new_site.wait_for("the first notification", lambda: mails.mails and mails.mails[0])
    assert mails.recipients == ["admin@example.com"]
    # The mail's own link leads to both sides.
    text = message.get_body(("plain",)).get_content()
    link = re.search(rf"{re.escape(new_site.url)}\S+/screen/", text)
    assert link, text
    page.goto(link[0])
    page.locator(".cfl-current").wait_for()
    for value in ("Director", "Chair"):
        expect(page.locator("[data-row]")).to_contain_text(value)
    page.get_by_role("radio", name="Chair").check()
    page.get_by_role("button", name="Resolve", exact=True).click()
    page.get_by_text("Resolved: Role is “").wait_for()
    expect(inbox_badge(page)).to_have_text("")
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
    """A token that Monday refuses is not kept; one that it takes is never shown."""
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


def set_up(page: Page, board: str) -> None:
    """From the choice of boards to the run, on a phone: contacts on a board that is there, organizations on a new."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="Next: Boards").click()
    page.get_by_label("Board of Contacts").select_option(board)
    page.get_by_role("button", name="Next: Fields").click()
    for kind in ("Organizations", "Contacts"):
        page.get_by_role("heading", name=f"{kind}: which field is which column?").wait_for()
        assert not barriers(page)
        page.get_by_role("button", name="Next", exact=True).click()
    # The worker compares, and the page follows by itself.
    page.get_by_role("button", name="Start", exact=True).wait_for()
    assert not barriers(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="The set-up is done", exact=True).wait_for()
    page.set_viewport_size({"width": 1280, "height": 900})


def edit(site: Site, contact: Contact, column: str, text: str) -> None:
    site.sandbox.act("edit", item_id=contact.monday_id, column_id=column, text=text)


# Somebody on a phone.


def test_somebody_on_a_phone_resolves_a_conflict_and_corrects_a_record(site: Site, chromium: Browser) -> None:
    for name in ("Ann", "Grace Okonkwo"):
        Contact.objects.create(name=name, email=f"{name.split()[0].lower()}@example.com", role_title="Old")
    site.wait_for("both are synced", synced)
    ann, grace = Contact.objects.order_by("name")
    with worker_asleep(site):
        Contact.objects.filter(pk=ann.pk).update(role_title="A role with a name that is a good deal longer than others")
        edit(site, ann, "role_title", "Monday's")
        Contact.objects.filter(pk=grace.pk).update(email=BAD_EMAIL)
    site.wait_for("both need attention", lambda: sum(attention.counts().values()) == 2)
    context = chromium.new_context(
        base_url=site.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, locale="en-GB"
    )
    context.set_default_timeout(PAGE_TIMEOUT)
    page, faults = context.new_page(), list[str]()

    page.goto("/admin/")
    faults += barriers(page)
    sign_in(site, page)
    faults += barriers(page)
    rows = page.locator("[data-row]")
    expect(rows).to_have_count(2)
    # Six lines of a card: a value may take four, as who chooses a side has to see it.
    assert max(rows.evaluate_all("rows => rows.map(row => row.offsetHeight)")) <= 155
    faults += barriers(page)
    rows.filter(has_text="Ann").get_by_role("link", name="Ann", exact=True).tap()
    page.locator(".cfl-current").wait_for()
    faults += barriers(page)
    page.get_by_role("radio", name="Monday's").check()
    page.get_by_role("button", name="Resolve", exact=True).tap()
    page.get_by_text("Resolved: Role is “").wait_for()
    faults += barriers(page)

    page.goto("/admin/npd/contact/")
    faults += barriers(page)
    page.get_by_role("link", name="Grace Okonkwo", exact=True).tap()
    page.locator("#npd-state [data-act=rejected]").tap()
    page.locator("[data-summary]").wait_for()
    faults += barriers(page)
    page.locator("input[name=pick-email][value=custom]").check()
    page.locator("input[name=value-email]").fill("grace@okonkwo.example")
    page.get_by_role("button", name="Resolve", exact=True).tap()
    page.locator("[data-state]").first.wait_for()
    page.goto(f"/admin/npd/contact/{grace.pk}/change/")
    page.locator("#npd-state .npd-badge-ok").wait_for()
    faults += barriers(page)
    context.close()

    assert not faults
    site.wait_for("both sides agree", synced)
    assert {item["values"]["email"] for item in site.sandbox.items()} == {"ann@example.com", "grace@okonkwo.example"}
    assert site.sandbox.item(ann.monday_id)["values"]["role_title"] == "Monday's"
