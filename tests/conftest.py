"""Fixtures for every test. The servers themselves come from tests/plugin.py.

sandbox      the Monday simulator, running and empty; settings.MONDAY_API_URL points at it
world        both boards set up and empty, worked in the test's own process; see tests/support/world.py
site         sandbox, web, worker and beat as real processes on the test database, boards and webhooks set up
quiet_site   the same, while worker and beat rest
person       an administrator, Dora Demo
browser      Django's test client, in which `person` is signed in
open_page    signed-in pages of a real browser on this process's own web server, one for each call
page         a page of a real browser; with `site` its relative addresses are NPD's
admin_page   the same, signed in as the site's administrator
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from django.test import Client

from sandbox import __main__ as sandbox_program
from sync.boards.webhooks import webhook_url
from sync.outbox import wakeups
from tests.support import rows
from tests.support.child import Child
from tests.support.clock import reset_clock
from tests.support.in_process import Application, Hooks, answering, calls_in_process
from tests.support.people import session_cookie
from tests.support.prepared import Prepared, Stages
from tests.support.sandbox import Sandbox
from tests.support.site import Processes, Site, sandbox_process
from tests.support.world import World, set_up_boards

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The time that a machine takes says nothing about the code. `.ci/run` tries more examples.
hypothesis.settings.register_profile(
    "npd",
    deadline=None,
    max_examples=100 if os.environ.get("CI") == "true" else 40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("npd")

# Headless shell first: it has no windows, which nobody sees and which cost as much as a page.
CHROMIUM_NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
PROCESSES = {"running_sandbox", "processes", "running", "played"}
PAGE_TIMEOUT = 30_000  # milliseconds: for what must come, on a machine with much else to do


def pytest_configure() -> None:
    """Make passwords quick to hash (the real hash still works), and serve static files by name: none are collected."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    by_name = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": by_name}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with processes or a browser as hostile, except the README's journey, and put the slow ones first."""
    for item in items:
        names = getattr(item, "fixturenames", [])
        if not PROCESSES.isdisjoint(names):
            item.add_marker("processes")
        if "chromium" in names:
            item.add_marker("browser")
        if "sandbox" in names:
            item.add_marker("sandbox")
        if item.get_closest_marker("processes") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))  # the summary names each that needed it
            if not item.get_closest_marker("journey"):
                item.add_marker("hostile")
    # Processes restart when the next test wants other settings, so the tests of chaos stay together.
    items.sort(key=lambda item: "arena" not in getattr(item, "fixturenames", []))
    # The slow ones last would leave one process alone at the end. Before them comes the site of a new administrator,
    # for which other processes would be ended and started again.
    for marks in (("processes", "browser"), ("slow",)):
        items.sort(key=lambda item, marks=marks: not any(map(item.get_closest_marker, marks)))
    items.sort(key=lambda item: "new_site" not in getattr(item, "fixturenames", []))


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empty the tables without the command `flush`, which recreates types and permissions after each test."""
    from django.test import TransactionTestCase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: rows.empty())
        patch.setattr(TransactionTestCase, "_should_reload_connections", lambda self: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def answer_in_process() -> Iterator[None]:
    """Let applications within this process answer calls to their addresses."""
    with calls_in_process():
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    rows.begin_with_migrated()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Disconnect everybody from the test database at its end, such as a closing thread of `live_server`."""
    with django_db_blocker.unblock():
        rows.keep_migrated()
        rows.keep_filled()
    yield
    with django_db_blocker.unblock():
        rows.end_other_sessions()


@pytest.fixture(autouse=True)
def no_late_wake_ups() -> Iterator[None]:
    """Cancel the wake-ups that a test has scheduled, so that none is sent during the next one."""
    yield
    with wakeups._lock:
        for timer in wakeups._scheduled.values():
            timer.cancel()
        wakeups._scheduled.clear()
        wakeups._last_sent.clear()


@pytest.fixture(scope="session", autouse=True)
def answers_as_declared() -> Iterator[None]:
    """Check each answer of DRF's test client against the OpenAPI schema."""
    from rest_framework.test import APIClient

    from tests.support import api_schema

    original_request = APIClient.request

    def request(self: APIClient, **environ: Any) -> Any:
        answer = original_request(self, **environ)
        api_schema.check(environ["REQUEST_METHOD"], environ["PATH_INFO"], answer)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(APIClient, "request", request)
        yield


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[list[Child]]:
    """The sandbox's process for the whole run, in a list of one; `sandbox` replaces it when it has ended."""
    holder: list[Child] = []
    yield holder
    for child in holder:
        child.stop(5)


@pytest.fixture(scope="session")
def sandbox_within() -> Application:
    return sandbox_program.build(sandbox_program.Settings(settings.MONDAY_API_KEY, settings.MONDAY_SIGNING_SECRET))


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox without boards, webhooks and faults, reset after the test.

    With `processes` or `running_sandbox` it is a process of its own, else it is within this one.
    """
    url = f"http://127.0.0.1:{settings.SANDBOX_PORT}"
    simulator = Sandbox(url, settings.MONDAY_API_KEY, settings.MONDAY_SIGNING_SECRET)
    with ExitStack() as stack:
        stack.callback(simulator.session.close)
        if PROCESSES.isdisjoint(request.fixturenames):
            stack.enter_context(answering(url, request.getfixturevalue("sandbox_within")))
            running = None
        else:
            running = request.getfixturevalue("running_sandbox")
            if not running or running[0].ended is not None:
                running[:] = [sandbox_process()]
            simulator.pid = running[0].pid
        simulator.reset()
        yield simulator
        if running is None or running[0].ended is None:
            simulator.reset()


@pytest.fixture(scope="session")
def hooks() -> Iterator[Hooks]:
    """Receives the webhooks of `world`."""
    with Hooks().receiving() as hooks:
        yield hooks


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    return Prepared()


@pytest.fixture
def world(
    transactional_db: None,
    sandbox: Sandbox,
    prepared: Prepared,
    hooks: Hooks,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Two empty boards, set up; nothing has been saved yet."""
    settings.MONDAY_API_URL = sandbox.api_url
    settings.SITE_URL = hooks.url
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    settings.MONDAY_TIMEOUT_SECONDS = 5.0
    prepared.restore_or_make(sandbox, "world", set_up_boards)
    hooks.deliveries.clear()
    cache.clear()  # it counts requests by user, and a restored user has the id of another test's
    yield World(sandbox, hooks, monkeypatch, Stages(prepared, sandbox, "world"))
    reset_clock()


@pytest.fixture(scope="session")
def processes(django_db_setup: None, django_db_blocker: object) -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.stop()


@pytest.fixture
def quiet_site(transactional_db: None, processes: Processes, sandbox: Sandbox, prepared: Prepared) -> Iterator[Site]:
    """NPD whose worker and beat rest, or have not begun yet; see tests/support/site.py."""
    npd = Site(processes, sandbox)
    try:
        prepared.restore_or_make(sandbox, f"site at {webhook_url()}", npd.fill)
        npd.begin()
        yield npd
    finally:
        sandbox.reset()
        processes.rest()
        npd.api.close()


@pytest.fixture
def site(quiet_site: Site) -> Site:
    quiet_site.processes.work()
    return quiet_site


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """The system's Chromium. Without one the test is skipped, or fails if CI=true."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not program:
        end_test = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end_test("no Chromium on this machine (Debian, Ubuntu: sudo apt install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_TIMEOUT)
    # Playwright's synchronous API runs an event loop in this thread, where Django would refuse its ORM.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    connections.close_all()  # under that loop this thread has connections of its own
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
        connections.close_all()


@pytest.fixture
def page(chromium: "Browser") -> Iterator["Page"]:
    context = chromium.new_context(
        base_url=settings.SITE_URL, locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(PAGE_TIMEOUT)
    yield context.new_page()
    context.close()


@pytest.fixture
def admin_page(page: "Page", site: Site) -> "Page":
    page.context.add_cookies([session_cookie(site.user, site.url)])
    return page


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("dora", "dora@example.com", "x", first_name="Dora", last_name="Demo")


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


@pytest.fixture
def open_page(chromium: "Browser", live_server: Any, person: Any) -> Iterator[Callable[..., tuple["Page", list[str]]]]:
    """Opens a page of a width and colour scheme in which `person` is signed in; the list collects its errors."""
    contexts = []

    def is_fault(line: Any) -> bool:
        """Return whether it is an error, other than the browser's own about a form that was refused or stale."""
        return bool(line.type == "error" and not line.text.endswith(("400 (Bad Request)", "409 (Conflict)")))

    def make_page(width: int = 1280, scheme: Any = "light", zone: str | None = None) -> tuple["Page", list[str]]:
        viewport = {"width": width, "height": 900}
        context = chromium.new_context(
            base_url=live_server.url, viewport=viewport, color_scheme=scheme, timezone_id=zone
        )
        context.set_default_timeout(2 * PAGE_TIMEOUT)
        contexts.append(context)
        context.add_cookies([session_cookie(person, live_server.url)])
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda line: errors.append(line.text) if is_fault(line) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield make_page
    for context in contexts:
        context.close()
