"""The import in a real browser: by keyboard, at both widths, in both colour schemes, with progress that moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from npd.importing.jobs import confirm
from npd.importing.models import ImportJob
from npd.importing.running import carry_on_all
from npd.models import Contact
from tests.importing.conftest import imported, offered

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.django_db(transaction=True)]
TEXT = (
    "NPD ID,Name,Email,Phone,Company,Colour\n,Anne Ångström,ann@x.org,+46 8 123 45,Nova,red\n"
    f",Bob,not an address,,,blue\n,Eve {'Very' * 30},eve@x.org,,,\n,Twin,twin@x.org,,,\n,Twin,twin@x.org,,,\n"
)


@pytest.fixture
def open_page(browser: Browser, live_server: Any, person: User, settings: Any) -> Iterator[Any]:
    """A function that opens a signed-in page of a width and scheme; its errors stand in `errors`."""
    settings.MONDAY_API_URL = "http://127.0.0.1:18241/v2"
    contexts = []

    def opened(width: int, scheme: Any) -> tuple[Page, list[str]]:
        client = Client()
        client.force_login(person)
        context = browser.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield opened
    for context in contexts:
        context.close()


def address(job: ImportJob, page: str = "job") -> str:
    return reverse(f"admin:npd_{job.entity_type}_import_{page}", args=[job.pk])


@pytest.fixture
def pages(person: User) -> list[str]:
    """Every page of an import, in every state."""
    Contact.objects.create(name="Ann", email="ann@x.org", phone="1")
    shown = offered(person, TEXT, make_organizations=True)
    done = imported(person, "Name,Email,Phone\nAnna,ann@x.org,2\nNew,new@x.org,\nBad,bad,\n")
    undone = imported(person, "Name,Email\nOther,other@x.org\n")
    ImportJob.objects.filter(pk=undone.pk).update(state="undone")
    running = offered(person, "Name,Email\nSoon,soon@x.org\n")
    confirm(running, by=person)
    start = "/admin/npd/contact/import/"
    return [start, address(shown), address(running), address(done), address(done, "undo"), address(undone)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_have_no_serious_barrier_no_error_and_nothing_beside_the_screen(
    open_page: Any, pages: list[str], width: int, scheme: str
) -> None:
    page, errors = open_page(width, scheme)
    found = []
    for url in ["/admin/npd/contact/", *pages]:
        page.goto(url)
        page.locator("main, #main, #content").first.wait_for()
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found += [
            f"{url} {violation['id']}: {violation['nodes'][0]['html'][:120]}"
            for violation in Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        found += [f"{url}: {what}" for what in [*errors, *([f"{overflow} px"] if overflow > 0 else [])]]
        errors.clear()
    assert not found


def test_a_file_is_imported_with_the_keyboard_and_the_page_follows_by_itself(
    open_page: Any, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Name,Email\nAnn,ann@x.org\nBob,bob@x.org\n")
    page, errors = open_page(390, "light")
    page.goto("/admin/npd/contact/import/")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Show what it would do").press("Enter")
    page.get_by_role("button", name="Import 2 rows").press("Enter")
    page.get_by_text("0 of 2 rows").wait_for()
    assert not Contact.objects.exists()

    def work() -> None:
        carry_on_all()
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    page.get_by_text("2 rows were written.").wait_for()
    worker.join()
    assert set(Contact.objects.values_list("name", flat=True)) == {"Ann", "Bob"}
    assert not errors


def test_a_refused_file_is_told_beside_its_field_to_a_screen_reader(open_page: Any, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("x\n1\n")
    page, _ = open_page(1280, "light")
    page.goto("/admin/npd/contact/import/")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Show what it would do").click()
    page.get_by_role("alert").get_by_text("The first row names no column that is known").wait_for()
