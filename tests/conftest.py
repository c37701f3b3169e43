"""Fixtures for every test. The servers themselves come from tests/plugin.py.

sandbox      the Monday simulator, running and empty; settings.MONDAY_API_URL points at it
site         sandbox, web, worker and beat as real processes on the test database, boards and webhooks set up
page         a page of a real browser; with `site` its relative addresses are NPD's
admin_page   the same, signed in as the site's administrator
"""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from config.embedded.processes import Child
from tests.support.sandbox import Sandbox
from tests.support.site import Processes, Site, sandbox_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome"]
PAGE_TIMEOUT = 30_000  # milliseconds: for what must come, on a machine with much else to do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, so that `-m "not processes and not browser"` is the quick run."""
    for item in items:
        names = getattr(item, "fixturenames", [])
        if "site" in names or "sandbox" in names:
            item.add_marker("processes")
        if "browser" in names:
            item.add_marker("browser")


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empty the tables by DELETE after a test: for a few rows TRUNCATE of fifty tables takes forty times as long."""
    from django.db.backends.postgresql.operations import DatabaseOperations

    def sql_flush(self: object, style: object, tables: list[str], **options: object) -> list[str]:
        deletes = [f'DELETE FROM "{table}"' for table in sorted(tables)]
        # Without triggers and foreign keys: no outbox rows, and in any order.
        return ["SET session_replication_role = replica", *deletes, "SET session_replication_role = DEFAULT"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        yield


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[list[Child]]:
    """The sandbox's process, kept for the run; a list of one, which `sandbox` replaces when it has ended."""
    holder: list[Child] = []
    yield holder
    for child in holder:
        child.stop(5)


@pytest.fixture
def sandbox(running_sandbox: list[Child]) -> Iterator[Sandbox]:
    """A sandbox without boards, webhooks and faults; reset again after the test."""
    if not running_sandbox or running_sandbox[0].ended is not None:
        running_sandbox[:] = [sandbox_process()]
    url = f"http://127.0.0.1:{settings.SANDBOX_PORT}"
    found = Sandbox(url, settings.MONDAY_API_KEY, settings.MONDAY_SIGNING_SECRET)
    found.reset()
    yield found
    if running_sandbox[0].ended is None:
        found.reset()
    found.session.close()


@pytest.fixture(scope="session")
def processes(django_db_setup: None, django_db_blocker: object) -> Iterator[Processes]:
    """Web, worker and beat, on the test database, for the run."""
    found = Processes()
    yield found
    found.stop()


@pytest.fixture
def site(transactional_db: None, processes: Processes, sandbox: Sandbox) -> Iterator[Site]:
    """NPD as it runs in production; see tests/support/site.py."""
    found = Site(processes, sandbox)
    try:
        found.prepare()
        yield found
    finally:
        sandbox.reset()
        processes.rest()
        found.api.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The system's Chromium. Without one the test is skipped, but never where CI=true."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not program:
        missing = "no Chromium on this machine (Debian, Ubuntu: sudo apt install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_TIMEOUT)
    # Its synchronous API runs an event loop in this thread, in which Django refuses its ORM otherwise.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        yield found
        found.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A fresh page, 1280 by 900, relative addresses are NPD's."""
    context = browser.new_context(
        base_url=settings.SITE_URL, locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(PAGE_TIMEOUT)
    yield context.new_page()
    context.close()


@pytest.fixture
def admin_page(page: "Page", site: Site) -> "Page":
    """A page that is signed in as the site's administrator."""
    from django.test import Client

    client = Client()
    client.force_login(site.user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site.url}])
    return page
