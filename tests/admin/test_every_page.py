"""The first page, the banner, the sidebar, the guide."""

import re
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from npd.models import Contact
from sync.admin.admin_base import PageAdmin
from sync.clock import sync_now
from sync.models import ApiQuota, BoardLink, MondayAccount
from sync.outbox import pauses
from sync.records.authors import log_action
from sync.state.record_view import RecordState
from tests.admin import all_pages, states
from tests.admin.test_records import LIST, change_page, words_of
from tests.support.pages import barriers
from tests.support.people import signed_in, staff_who_may
from tests.support.rows import count_queries

GUIDE = "/admin/sync/boardlink/set-up/"


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/admin/npd/contact/", ["Contacts"]),
        ("/admin/sync/tombstone/", ["Activity", "Deleted records"]),
        ("/admin/django_celery_beat/periodictask/", ["Settings", "Schedule"]),
    ],
)
def test_sidebar_heading_and_window_call_a_list_the_same(browser: Client, db: None, path: str, way: list[str]) -> None:
    html = browser.get(path).content.decode()
    [sidebar] = re.findall(r'id="nav-sidebar-apps".*?</ol>', html, re.DOTALL)
    [current] = re.findall(r'<a\s[^>]*aria-current="page".*?</a>', sidebar, re.DOTALL)
    assert words_of(current).split()[0] == way[0]
    [heading] = re.findall(r"<h1.*?</h1>", html, re.DOTALL)
    crumbs = re.findall(r'<span class="npd-crumb[^>]*>(.*?)</span>', heading, re.DOTALL)
    assert [words_of(crumb).strip() for crumb in crumbs] == way
    [title] = re.findall(r"<title>(.*?)</title>", html, re.DOTALL)
    assert title.strip() == f"{way[-1]} | NPD Sync"


def test_a_name_is_escaped_once_in_the_heading_and_the_window(browser: Client, world: dict[str, Any]) -> None:
    record = states.contact("Ann & <b>Bob</b>")
    html = browser.get(f"/admin/npd/contact/{record.pk}/change/").content.decode()
    escaped = "Ann &amp; &lt;b&gt;Bob&lt;/b&gt;"
    assert re.search(rf"<title>\s*{escaped} \| Contacts \| NPD Sync", html)
    assert f'npd-crumb-page">{escaped}</span>' in html


def test_the_sidebar_has_five_entries_and_settings_lead_to_the_rest(browser: Client, world: dict[str, Any]) -> None:
    html = browser.get("/admin/settings/").content.decode()
    [sidebar] = re.findall(r'id="nav-sidebar-apps".*?</ol>', html, re.DOTALL)
    entries = re.findall(r'<a\s+href="([^"?]+)', sidebar)
    assert entries == [
        *("/admin/", "/admin/npd/contact/", "/admin/npd/organization/", "/admin/sync/activityline/"),
        "/admin/settings/",
    ]
    activity = browser.get("/admin/sync/activityline/").content.decode()
    tabs = activity.split('class="npd-page-tabs"')[1].split("</nav>")[0]
    advanced = browser.get("/admin/settings/advanced/").content.decode()
    linked = {*entries, *re.findall(r'href="([^"?]+)', html + tabs + advanced)}
    lists = {reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry}
    # A periodic job's page links to its schedules.
    times = {f"/admin/django_celery_beat/{name}/" for name in ("intervalschedule", "crontabschedule")}
    assert lists - linked == times


def test_the_banner_names_the_sandbox_without_its_password_or_the_next_step(browser: Client, settings: Any) -> None:
    def banner() -> str:
        match = re.search(r'<div[^>]*class="npd-banner(?! npd-banner-warn npd-stale).*?</div>', page(), re.DOTALL)
        return match[0] if match else ""

    def page() -> str:
        return browser.get("/admin/auth/user/add/").content.decode()

    settings.MONDAY_API_URL = "http://user:hidden@127.0.0.1:18241/v2?token=hidden"
    assert 'href="http://127.0.0.1:18241/"' in banner()
    assert GUIDE in banner()
    assert "hidden@" not in page()
    assert "token=hidden" not in page()
    settings.MONDAY_API_URL = "https://api.monday.com/v2"
    assert banner() == ""
    settings.MONDAY_API_KEY = ""
    assert "Monday isn't connected" in words_of(banner())


def test_a_reader_of_the_account_sees_the_connection_without_buttons(client: Client, world: dict[str, Any]) -> None:
    client.force_login(staff_who_may("view_mondayaccount"))
    answer = client.get(GUIDE)
    main = answer.content.decode().partition('<div class="npd-wizard">')[2]
    assert "Connection to Monday" in main
    assert not re.findall(r"<button|npd-button|Next: Boards|npd-wizard-steps", main.partition("</main>")[0])


def test_the_connection_is_a_step_of_the_set_up_until_a_board_is_set_up(
    browser: Client, world: dict[str, Any], settings: Any
) -> None:
    settings.MONDAY_API_KEY = "token"
    assert "npd-wizard-steps" not in browser.get(GUIDE).content.decode()
    BoardLink.objects.update(board_id="")
    page = browser.get(GUIDE).content.decode()
    assert "npd-wizard-steps" in page
    assert "Next: Boards" in page


def test_pages_take_few_queries_however_many_rows_they_show(
    browser: Client, person: User, world: dict[str, Any]
) -> None:
    all_pages.furnish(world, person)
    MondayAccount.objects.update(stops={})
    pauses.resume("dora", entity_type="organization")
    ApiQuota.objects.create(id=1, day=sync_now().date())  # as the day's first call to Monday does
    states.stop_board()
    models = [model._meta for model in admin.site._registry]
    lists = [reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist") for meta in models]
    lists += [f"{LIST}?sync_state={state}&q=e" for state in RecordState.values]
    record = world["synced"]
    pages = ["/admin/", change_page(record), "/admin/search/?s=e&extended=1", "/api/v1/sync/attention/"]

    def queries() -> dict[str, int]:
        return {page: count_queries(partial(browser.get, page, follow=True)) for page in [*lists, *pages]}

    queries()  # fills the caches of the process and the session
    before = queries()
    assert {page: before[page] for page in lists if before[page] > 17} == {}, "one of the jobs' reads open calls"
    # Four read who wrote the values in conflict, and what waits for another attempt; two who deleted records, and
    # which have an item's name.
    assert before["/admin/"] <= 23
    for number in range(6):
        states.synced(f"Person {number}", f"8{number}", organization=world["organization"])
        states.waiting(f"Waiting {number}", seconds=-10)
        states.candidate(f"80{number}", seconds=-10)
        states.dead(f"Dead {number}", f"Refused {number % 9}.")
        states.conflicting(f"Many {number}", f"92{number}")
        states.with_invalid_email(f"Invalid {number}", f"93{number}")
        states.decided(record, f"Line {number}")
    assert {page: number for page, number in queries().items() if number > before[page] + 2} == {}


def test_no_page_of_another_application_is_left_without_the_theme(browser: Client) -> None:
    for model, model_admin in admin.site._registry.items():
        assert any(base.__module__.startswith("unfold") for base in type(model_admin).__mro__), model


@pytest.mark.parametrize("is_demo", [True, False])
def test_only_a_demo_tells_where_its_password_is(client: Client, db: None, settings: Any, is_demo: bool) -> None:
    settings.DEMO = is_demo
    assert ("<code>make run</code>" in client.get("/accounts/login/").content.decode()) is is_demo


def test_a_page_that_fetches_itself_leaves_messages_to_the_next(browser: Client, world: dict[str, Any]) -> None:
    def messages(**headers: str) -> list[str]:
        page = browser.get("/admin/npd/contact/", headers=headers)
        return [str(message) for message in page.context["messages"]]

    browser.post("/admin/npd/contact/", {"action": "turn_sync_on", "_selected_action": [world["disabled"].pk]})
    assert messages(**{"X-NPD-Live": "1"}) == []
    assert len(messages()) == 1
    assert messages() == []


def tabs(client: Client, query: str = "") -> list[tuple[str, int, bool]]:
    return [(tab.label, tab.count, tab.is_current) for tab in client.get(f"{LIST}{query}").context["cl"].tabs]


@pytest.mark.django_db
def test_a_list_has_a_tab_with_its_number_for_each_state_that_a_record_has(browser: Client) -> None:
    states.boards()
    states.synced("Ann", "5001")
    assert tabs(browser) == [("All", 0, True)]
    states.with_invalid_email("Held", "5002")
    states.conflicting("Ben", "5003")
    states.disabled("Otto")
    states.waiting("Due")
    assert tabs(browser) == [
        ("All", 0, True), ("Needs attention", 2, False), ("Pending", 1, False), ("Sync off", 1, False),
    ]  # fmt: skip
    assert [label for label, _, _ in tabs(browser, "?q=Otto")] == ["All", "Needs attention", "Pending", "Sync off"]
    pauses.pause("dora", entity_type="contact")
    assert tabs(browser, "?sync_state=pending") == [
        ("All", 0, False), ("Needs attention", 2, False), ("Pending", 1, True), ("Sync off", 1, False),
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_list_without_records_offers_to_add_one_but_a_search_that_finds_nothing_does_not(browser: Client) -> None:
    def offers(query: str = "") -> str:
        return browser.get(f"{LIST}{query}").content.decode().partition('class="npd-empty')[2]

    assert "Add contact" in offers()
    assert "Import a file" in offers()
    states.contact("Nora New")
    search = offers("?q=Norra")
    assert "Nothing found for “Norra”" in search
    assert "Add contact" not in search


@pytest.mark.django_db
def test_an_empty_list_says_what_fills_it(browser: Client) -> None:
    silent = []
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        page = browser.get(reverse(name)).content.decode().partition('class="npd-empty')[2]
        if isinstance(model_admin, PageAdmin) and page and "<p>" not in page:
            silent.append(name)
    assert silent == []
    boards = browser.get("/admin/sync/boardlink/").content.decode().partition('class="npd-empty')[2]
    assert 'href="/admin/sync/boardlink/set-up/"' in boards


@pytest.mark.django_db
def test_administrators_have_one_log_of_who_did_what(browser: Client, person: User, world: dict[str, Any]) -> None:
    record, group = world["synced"], staff_who_may("view_logentry", "view_contact")
    log_action(person, record, "Sync now: sent.")
    page = browser.get("/admin/admin/logentry/")
    text = words_of(page.content.decode())
    assert re.search(r"dora .*Zoë .*Sync now: sent\.", text)
    assert ">History<" not in browser.get(change_page(record)).content.decode()
    before = browser.get(change_page(record).replace("change/", "history/"))
    assert (before.status_code, before.headers["Location"]) == (302, change_page(record))
    clerk = signed_in(group)
    assert clerk.get("/admin/admin/logentry/").status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_keyboard_reaches_content_and_menu(open_page: Any, world: dict[str, Any], width: int, scheme: str) -> None:
    Contact.objects.filter(pk=world["synced"].pk).update(name="Ann")
    page, errors = open_page(width, scheme)
    page.goto(change_page(world["synced"]))
    menu = page.get_by_role("button", name="Menu", exact=True)
    menu.wait_for()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    assert not barriers(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#content').contains(document.activeElement)")
    assert "#" not in page.url
    sidebar = page.locator("#nav-sidebar")
    is_open = width == 1280
    for _ in range(2):
        assert menu.get_attribute("aria-expanded") == str(is_open).lower()
        expect(sidebar).to_be_visible(visible=is_open)
        menu.focus()
        page.keyboard.press("Enter")
        is_open = not is_open
    assert not errors
