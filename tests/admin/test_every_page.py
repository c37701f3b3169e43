"""The first page, the banner, the sidebar, the guide."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import TokenProxy

from config.navigation import INBOX, SECTIONS
from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import MondayAccount, UnmatchedItem
from tests.admin import states
from tests.admin.test_records import words_of

GUIDE = "/admin/sync/mondayaccount/connect/"


def test_the_first_page_lists_what_needs_a_person(browser_of_person: Client, world: dict[str, Any]) -> None:
    MondayAccount.objects.update(
        stop_reason="Monday refuses the token.", stopped_until=states.sync_now() + states.timedelta(minutes=1)
    )
    text = words_of(browser_of_person.get("/admin/").content.decode())
    assert "1 conflict to resolve" in text
    assert "1 failed job Monday refused the item" in text
    assert "1 blocked field Email: NPD can’t use Monday’s value" in text
    assert "Organizations and Contacts: stopped Monday refuses the token. Next attempt at" in text


def test_an_unmatched_item_is_called_by_its_name_with_why_and_since_when(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    UnmatchedItem.objects.filter(item_id="7001").update(name="Somebody met at the fair")
    text = words_of(browser_of_person.get("/admin/sync/unmatcheditem/").content.decode())
    assert re.search(r"Somebody met at the fair .*It has no email yet", text)
    states.told_by_webhook("7001", "Somebody met at the fair")
    listed = words_of(browser_of_person.get("/admin/sync/syncqueue/?what=items").content.decode())
    assert "“Somebody met at the fair”" in listed


def test_an_item_that_is_a_records_own_is_no_new_item(browser_of_person: Client, world: dict[str, Any]) -> None:
    states.candidate(world["synced"].monday_id)
    queue = "/admin/sync/syncqueue/?status__exact=pending&what="
    assert browser_of_person.get(f"{queue}items").content.decode().count('<tr class="data-row') == 1
    assert "New item 5001" in browser_of_person.get(f"{queue}records").content.decode()


PAGES = [
    ("/admin/npd/contact/", "Contacts"),
    ("/admin/conflicts/syncconflict/", "Conflicts"),
    ("/admin/sync/syncqueue/", "Queue"),
    ("/admin/sync/unmatcheditem/", "Unmatched items"),
    ("/admin/sync/boardlink/", "Boards"),
    ("/admin/sync/intent/", "API writes"),
    ("/admin/sync/tombstone/", "Deleted records"),
    ("/admin/sync/apitoken/", "API tokens"),
    ("/admin/django_celery_beat/periodictask/", "Schedule"),
]

ENTRIES = {
    **dict.fromkeys(("Conflicts", "Unmatched items"), "Inbox"),
    **dict.fromkeys(("Queue", "API writes", "API tokens", "Schedule"), "Settings"),
}
"""The line of the sidebar that leads to a list which has none of its own."""


def test_a_list_is_called_the_same_in_the_sidebar_the_heading_and_the_window(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    for path, name in PAGES:
        html = browser_of_person.get(path).content.decode()
        here = re.findall(r'<a\s[^>]*aria-current="page".*?</a>', html, re.DOTALL)
        entry = ENTRIES.get(name, name).split()
        assert [words_of(link).split()[: len(entry)] for link in here] == [entry]
        heading = re.search(r"<h1.*?</h1>", html, re.DOTALL)
        assert heading
        crumbs = re.findall(r'<span class="npd-crumb[^>]*>(.*?)</span>', heading[0], re.DOTALL)
        assert [words_of(crumb).strip() for crumb in crumbs] == [*([ENTRIES[name]] if name in ENTRIES else []), name]
        title = re.search(r"<title>(.*?)</title>", html, re.DOTALL)
        assert title
        assert title[1].strip() == f"{name} | NPD Sync"


def test_a_name_is_escaped_once_in_the_heading_and_the_window(browser_of_person: Client, world: dict[str, Any]) -> None:
    record = states.contact("Ann & <b>Bob</b>")
    html = browser_of_person.get(f"/admin/npd/contact/{record.pk}/change/").content.decode()
    shown = "Ann &amp; &lt;b&gt;Bob&lt;/b&gt;"
    assert re.search(rf"<title>\s*{shown} \| Contacts \| NPD Sync", html)
    assert f'npd-crumb-page">{shown}</span>' in html


def test_the_address_of_the_api_leads_to_its_pages(browser_of_person: Client) -> None:
    assert browser_of_person.get("/api/v1/").headers["Location"] == "/api/v1/docs/"


def test_the_first_page_says_when_nothing_needs_a_person(browser_of_person: Client) -> None:
    states.boards()
    states.synced("Ann", "5001")
    text = words_of(browser_of_person.get("/admin/").content.decode())
    assert "Nothing needs attention." in text
    assert "No job is pending." in text


def test_the_first_page_of_a_new_installation_opens(browser_of_person: Client) -> None:
    text = words_of(browser_of_person.get("/admin/").content.decode())
    assert "No records yet." in text
    assert "manage.py" not in text


def test_the_sidebar_counts_what_needs_attention(browser_of_person: Client, world: dict[str, Any]) -> None:
    def badge() -> str:
        html = browser_of_person.get("/admin/auth/group/").content.decode()
        found = re.search(r'<a\s+href="/admin/inbox/".*?</a>', html, re.DOTALL)
        assert found
        return words_of(found[0])

    # A conflict, a failed job, a blocked field and an unmatched item.
    assert badge().split() == ["Inbox", "4"]
    SyncConflict.objects.update(resolved_at=states.sync_now())
    assert badge().split() == ["Inbox", "3"]


def test_the_sidebar_has_eight_entries_and_the_settings_lead_to_all_other_pages(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    html = browser_of_person.get("/admin/settings/").content.decode()
    sidebar = re.search(r'id="nav-sidebar-apps".*?</ol>', html, re.DOTALL)
    assert sidebar
    entries = re.findall(r'<a\s+href="([^"?]+)', sidebar[0])
    assert entries == [
        *("/admin/", "/admin/inbox/", "/admin/npd/contact/", "/admin/npd/organization/", "/admin/sync/decision/"),
        *("/admin/sync/tombstone/", "/admin/sync/boardlink/", "/admin/settings/"),
    ]
    behind_the_inbox = {
        reverse(f"admin:{one.model}_changelist") for one in SECTIONS if one.group == INBOX and one.model
    }
    linked = {*entries, *re.findall(r'href="([^"?]+)', html), *behind_the_inbox}
    lists = {reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry}
    assert not lists - linked


@pytest.mark.parametrize(
    ("term", "path"),
    [("Inbox", "/admin/inbox/"), ("settings", "/admin/settings/"), ("gloss", "/admin/glossary/"),
     ("blocked f", "/admin/sync/boardlink/blocked/"), ("webhooks", "/admin/sync/webhookevent/")],
)  # fmt: skip
def test_every_page_is_found_by_its_name(
    browser_of_person: Client, world: dict[str, Any], term: str, path: str
) -> None:
    assert f'href="{path}"' in browser_of_person.get(f"/admin/search/?s={term}&extended=1").content.decode()


def test_the_sidebar_shows_only_what_the_person_may_see(client: Client, world: dict[str, Any]) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    client.force_login(reader)
    html = client.get("/admin/").content.decode()
    assert 'href="/admin/npd/contact/"' in html
    assert 'href="/admin/sync/webhookevent/"' not in html
    assert 'href="/admin/conflicts/syncconflict/"' not in html
    assert "Petra" not in html
    assert "7001" not in html
    assert "calls to Monday" not in html


def test_every_page_says_that_monday_is_the_sandbox(browser_of_person: Client, world: dict[str, Any]) -> None:
    for path in ("/admin/", "/admin/npd/contact/", "/admin/auth/user/add/", GUIDE):
        html = browser_of_person.get(path).content.decode()
        assert "Not the real Monday: the sandbox at" in html
        assert 'href="http://127.0.0.1:18241/"' in html
        assert f'href="{GUIDE}"' in html


def test_the_banner_is_gone_when_monday_itself_is_called(browser_of_person: Client, settings: Any) -> None:
    settings.MONDAY_API_URL = "https://api.monday.com/v2"
    html = browser_of_person.get("/admin/").content.decode()
    assert re.findall(r'class="(npd-banner[^"]*)"', html) == ["npd-banner npd-banner-warn npd-stale"]


def test_without_a_token_the_banner_says_the_next_step(browser_of_person: Client, settings: Any) -> None:
    settings.MONDAY_API_KEY = ""
    text = words_of(browser_of_person.get("/admin/").content.decode())
    assert "Monday isn’t connected: changes are kept, and synced once it is." in text
    assert "played by the sandbox" not in text


def test_a_password_in_the_sandboxs_address_is_not_shown(browser_of_person: Client, settings: Any) -> None:
    settings.MONDAY_API_URL = "http://user:hidden@127.0.0.1:18241/v2?token=hidden"
    html = browser_of_person.get("/admin/").content.decode()
    assert "hidden@" not in html
    assert "token=hidden" not in html
    assert 'href="http://127.0.0.1:18241/"' in html


def test_the_guide_says_what_is_set_and_never_the_value(
    browser_of_person: Client, world: dict[str, Any], settings: Any
) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "webhook-token-that-no-page-may-show"
    settings.MONDAY_SIGNING_SECRET = ""
    html = browser_of_person.get(GUIDE).content.decode()
    text = words_of(html)
    assert "MONDAY_API_KEY Set" in text
    assert "MONDAY_WEBHOOK_TOKEN Set" in text
    assert "MONDAY_SIGNING_SECRET Not set" in text
    assert "manage.py monday_setup" in text
    assert "that-no-page-may-show" not in html


def test_the_guide_needs_a_sign_in_and_the_right_to_view_the_account(client: Client, db: None) -> None:
    assert client.get(GUIDE).status_code == 302
    staff = User.objects.create_user("staff", is_staff=True)
    client.force_login(staff)
    assert client.get(GUIDE).status_code == 403
    assert GUIDE not in client.get("/admin/").content.decode()
    staff.user_permissions.add(Permission.objects.get(codename="view_mondayaccount"))
    assert client.get(GUIDE).status_code == 200


def test_tokens_that_are_kept_in_clear_have_no_page() -> None:
    assert TokenProxy not in admin.site._registry


def test_no_page_of_another_application_is_left_without_the_theme(browser_of_person: Client) -> None:
    for model, model_admin in admin.site._registry.items():
        assert any(base.__module__.startswith("unfold") for base in type(model_admin).__mro__), model


def test_what_is_searched_for_is_found_by_name_and_number_or_said_to_be_missing(
    browser_of_person: Client, world: dict[str, Any], client: Client
) -> None:
    def found(term: str) -> list[str]:
        page = browser_of_person.get("/admin/search/", {"s": term, "extended": "1"})
        return [str(result.link) for result in page.context_data["results"]]  # type: ignore[attr-defined]

    record, conflict = world["synced"], world["conflict"]
    assert reverse("admin:npd_contact_change", args=[record.pk]) in found(record.name.upper())
    assert reverse("admin:npd_contact_change", args=[record.pk]) in found(record.monday_id)
    conflicts = reverse("admin:conflicts_syncconflict_change", args=[conflict.pk])
    assert conflicts in found(Contact.objects.get(pk=conflict.entity_id).name)
    assert browser_of_person.get(conflicts).status_code in (200, 302)
    assert any("/sync/boardlink/" in link for link in found("9001"))
    assert found("nobody is called so") == ["/admin/#nothing-found"]
    client.force_login(User.objects.create_user("guest", is_staff=True))
    page = client.get("/admin/search/", {"s": record.name, "extended": "1"})
    assert [str(one.link) for one in page.context_data["results"]] == ["/admin/#nothing-found"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_demo", [True, False])
def test_only_a_demo_says_at_its_door_where_the_password_is(
    client: Client, db: None, settings: Any, is_demo: bool
) -> None:
    settings.DEMO = is_demo
    assert ("<code>make run</code>" in client.get("/admin/login/").content.decode()) is is_demo


def test_a_page_that_fetches_itself_leaves_the_messages_to_the_next_that_is_opened(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    def said(**headers: str) -> list[str]:
        page = browser_of_person.get("/admin/npd/contact/", headers=headers)
        return [str(one) for one in page.context["messages"]]

    browser_of_person.post("/admin/npd/contact/", {"action": "turn_sync_off", "_selected_action": [world["synced"].pk]})
    assert said(**{"X-NPD-Live": "1"}) == []
    assert len(said()) == 1
    assert said() == []
