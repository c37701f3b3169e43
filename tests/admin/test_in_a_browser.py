"""The admin's pages in a real browser: readable by everyone, at both widths, in both colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from npd.models import Contact
from sync import scheduling
from sync.models import BoardLink, GuardedAct, SyncAudit, SyncQueue
from tests.admin import states

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def urls(live_server: Any, world: dict[str, Any]) -> list[str]:
    """The pages that people use, with every state on them."""
    act = GuardedAct.objects.create(
        entity_type="contact",
        entity_id=world["synced"].pk,
        kind="clear_monday",
        state="held",
        label="Phone “1”",
    )
    SyncAudit.objects.create(entity_type="contact", sampled=3, drifted=1, calls=1)
    scheduling.ensure()
    records = [world[name] for name in ("synced", "held", "conflicting", "waiting")]
    return [
        "/admin/",
        "/admin/npd/contact/",
        "/admin/npd/contact/?q=nobody",
        "/admin/npd/contact/add/",
        *(reverse("admin:npd_contact_change", args=[record.pk]) for record in records),
        reverse("admin:npd_organization_change", args=[world["organization"].pk]),
        reverse("admin:npd_contact_delete", args=[world["synced"].pk]),
        "/admin/sync/syncqueue/",
        reverse(
            "admin:sync_syncqueue_change", args=[SyncQueue.objects.filter(status="failed").latest("id").pk]
        ),
        "/admin/sync/boardlink/",
        reverse("admin:sync_boardlink_change", args=[BoardLink.objects.get(entity_type="contact").pk]),
        "/admin/sync/guardedact/?state__exact=held",
        f"/admin/sync/guardedact/decide/?how=reject&entity_type=contact&kind=clear_monday&upto={act.pk}",
        "/admin/sync/syncaudit/",
        "/admin/sync/syncmetadata/",
        "/admin/sync/decision/",
        "/admin/sync/tombstone/",
        "/admin/sync/mondayaccount/",
        "/admin/sync/mondayaccount/connect/",
        "/admin/auth/user/",
        "/admin/auth/group/add/",
        "/admin/django_celery_beat/periodictask/",
        *(
            reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk])
            for entry in PeriodicTask.objects.filter(task__in=["sync.sweep", "sync.prune"])
        ),
    ]


@pytest.fixture
def open_page(browser: Browser, live_server: Any, person: Any) -> Iterator[Any]:
    """A function that opens a signed-in page of a width and scheme; its errors stand in `errors`."""
    contexts = []

    def opened(width: int, scheme: Any) -> tuple[Page, list[str]]:
        client = Client()
        client.force_login(person)
        context = browser.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_have_no_serious_barrier_no_error_and_nothing_beside_the_screen(
    open_page: Any, urls: list[str], width: int, scheme: str
) -> None:
    page, errors = open_page(width, scheme)
    found = []
    for url in urls:
        page.goto(url)
        page.wait_for_load_state("networkidle")
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        serious = [
            f"{violation['id']}: {violation['nodes'][0]['html'][:120]}"
            for violation in Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        found += [
            f"{url}: {what}" for what in [*serious, *errors, *([f"{overflow} px"] if overflow > 0 else [])]
        ]
        errors.clear()
    assert not found


def test_taking_the_new_value_puts_it_into_the_field(open_page: Any, world: dict[str, Any]) -> None:
    record = world["synced"]
    page, errors = open_page(1280, "light")
    page.goto(reverse("admin:npd_contact_change", args=[record.pk]))
    Contact.objects.filter(pk=record.pk).update(phone="+46 2", organization=None)
    page.fill("#id_phone", "+46 3")
    page.fill("#id_role_title", "Head")
    page.click("button[name=_save]")
    page.click("[data-npd-take=id_phone]")
    assert page.input_value("#id_phone") == "+46 2"
    page.click("button[name=_save]")
    page.wait_for_url("**/admin/npd/contact/")
    record.refresh_from_db()
    assert (record.phone, record.role_title, record.organization) == ("+46 2", "Head", None)
    assert not errors


def test_the_record_is_sent_from_its_page_with_the_keyboard(open_page: Any, world: dict[str, Any]) -> None:
    page, _ = open_page(390, "light")
    page.goto(reverse("admin:npd_contact_change", args=[world["synced"].pk]))
    page.get_by_role("button", name="Sync now").focus()
    page.keyboard.press("Enter")
    page.get_by_text("is sent to Monday now").wait_for()
    assert SyncQueue.objects.get(entity_id=world["synced"].pk, status="pending").payload["by"] == "dora"


def test_links_of_the_sidebar_are_named_by_their_words_alone(open_page: Any, world: dict[str, Any]) -> None:
    page, _ = open_page(1280, "light")
    page.goto("/admin/npd/contact/")
    assert page.get_by_role("link", name="Contacts", exact=True).count() == 2  # sidebar and heading
    assert page.get_by_role("link", name="Conflicts 1", exact=True).count() == 1


def test_an_autocomplete_is_named_by_its_label(open_page: Any, world: dict[str, Any]) -> None:
    states.contact("Nobody yet")
    page, _ = open_page(1280, "light")
    page.goto("/admin/npd/contact/add/")
    assert page.get_by_role("combobox", name="Organization").count() == 1
