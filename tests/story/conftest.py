"""What stories do with the site and its processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
from playwright.sync_api import Locator, Page, expect

from npd.models import Contact
from sync.models import BoardLease
from tests.support.child import Child, command_of
from tests.support.clock import move_clock, reset_clock
from tests.support.sandbox import Sandbox
from tests.support.site import CHILDREN_NAME, Site, log_of, start_child

Staff = Callable[..., Child]


class Hand:
    def __init__(self, press: Callable[[Locator], None] = Locator.click) -> None:
        self.press, self.clicks = press, 0

    def click(self, target: Locator) -> None:
        self.press(target)
        self.clicks += 1


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desk", "phone"])
def screen(page: Page, request: pytest.FixtureRequest) -> Page:
    """Play each journey on a light desktop screen and on a dark phone."""
    width, scheme = request.param
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    return page


@contextmanager
def own_sandbox(running: list[Child], *options: str) -> Iterator[Sandbox]:
    """A sandbox with its own options on the run's port; the usual one comes back at its next use."""
    for child in running:
        child.stop(5)
    command = [sys.executable, "-m", "sandbox", "--port", str(settings.SANDBOX_PORT)]
    command += ["--token", settings.MONDAY_API_KEY, *options]
    url = f"http://127.0.0.1:{settings.SANDBOX_PORT}"
    running[:] = [start_child("sandbox", command, dict(os.environ), f"{url}/")]
    simulator = Sandbox(url, settings.MONDAY_API_KEY, settings.MONDAY_SIGNING_SECRET, running[0].pid)
    try:
        yield simulator
    finally:
        simulator.session.close()
        running[0].stop(5)


@pytest.fixture
def staff(quiet_site: Site) -> Iterator[Staff]:
    """Starts further workers: `staff("worker-2")`. They end with the test."""
    hired: list[Child] = []

    def hire(name: str) -> Child:
        hired.append(start_child(name, command_of("worker"), quiet_site.processes.env))
        quiet_site.wait_for(f"{name} is ready", lambda: " ready." in "\n".join(hired[-1].last_lines(50)), 90)
        return hired[-1]

    yield hire
    for child in hired:  # without waiting until they end by themselves
        if child.ended is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.finish(time.monotonic() + 15)


@pytest.fixture
def later(quiet_site: Site) -> Iterator[Callable[[float], None]]:
    """Moves the clock of database and sandbox: `later(90)`. Only while no live worker has a call in the air."""

    def move(seconds: float) -> None:
        move_clock(seconds)
        quiet_site.sandbox.control("clock", offset_seconds=seconds)

    yield move
    quiet_site.processes.rest()  # the clock goes back: nobody may be at work
    reset_clock()


@contextmanager
def worker_asleep(site: Site) -> Iterator[None]:
    """Stop the worker for a while, as if two people were faster than it."""
    group = site.processes.children["worker"].pid
    site.wait_for("the worker has nothing in hand", lambda: not in_hand())
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def in_hand() -> bool:
    """Whether a row is due or worked on, or one of our processes has a transaction open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM sync_queue WHERE status = 'in_progress'"
            " OR (status = 'pending' AND next_retry <= sync_now()))"
            " OR EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle')",
            [CHILDREN_NAME],
        )
        return bool(cursor.fetchone()[0])


def open_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [CHILDREN_NAME])
        return int(cursor.fetchone()[0])


def terminate_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [CHILDREN_NAME]
        )


def every_second(task: str) -> None:
    """Let beat run this task every second, so that a test needn't wait ten seconds or a minute."""
    interval, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task=task).update(interval=interval)
    PeriodicTasks.update_changed()


def leases() -> int:
    return BoardLease.objects.exclude(token=None).count()


def sweeps() -> int:
    return log_of("worker").read_text(errors="replace").count("Task sync.sweep")


def synced(*names: str) -> bool:
    contacts = Contact.objects.filter(name__in=names) if names else Contact.objects.all()
    return contacts.exists() and not contacts.exclude(sync_status="synced").exists()


def save(site: Site, **values: Any) -> dict[str, Any]:
    answer = site.api.post(site.path("/api/v1/contacts/"), json=values, timeout=10)
    assert answer.status_code == 201, answer.text
    return answer.json()


def names_on_board(site: Site) -> list[str]:
    return sorted(item["name"] for item in site.sandbox.items())


def sign_in(site: Site, page: Page) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(site.username)
    page.get_by_label("Password", exact=True).fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
