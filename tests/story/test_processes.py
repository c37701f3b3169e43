"""What real processes do when all goes well, and when one of them, the broker or PostgreSQL goes away."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psutil
import pytest
from django.conf import settings as used

from config.embedded.processes import Child
from npd.models import Contact
from sync.models import WebhookEvent
from sync.outbox import notify
from tests.story.conftest import (
    Held,
    Staff,
    leases,
    names_on_board,
    own_sandbox,
    read,
    save,
    sweep_every_second,
    sweep_never,
    sweeps,
    synced,
    terminate_connections,
    web_with,
)
from tests.support.sandbox import Sandbox
from tests.support.site import Site

PEOPLE = [f"Person {number:02}" for number in range(20)]


class TestWithUnsignedWebhooks:
    @pytest.fixture
    def sandbox(self, running_sandbox: list[Child]) -> Iterator[Sandbox]:
        """Monday as the owner of a personal token meets it."""
        with own_sandbox(running_sandbox) as found:
            yield found

    def test_an_edit_comes_back_through_the_door_with_the_token(self, site: Site) -> None:
        there_and_back(site)


def test_an_edit_comes_back_through_the_bare_door_by_its_signature(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_with(site, MONDAY_WEBHOOK_TOKEN=""):
        monkeypatch.setattr(used, "MONDAY_WEBHOOK_TOKEN", "")
        site.manage("monday_setup")
        there_and_back(site)


def there_and_back(site: Site) -> None:
    """A save goes to the board, an edit on the board comes back, each within a few seconds."""
    contact = save(site, name="Zoë Ångström", email="zoe@example.com", role_title="Buyer")
    item = site.wait_for("the item", lambda: site.sandbox.item_named("Zoë Ångström"))
    site.wait_for("the link", lambda: read(site, contact)["sync_status"] == "synced")
    site.sandbox.act("edit", item_id=item["id"], column_id="role_title", text="Head of purchasing")
    site.wait_for("the edit", lambda: read(site, contact)["role_title"] == "Head of purchasing")
    site.wait_for("both agree", lambda: read(site, contact)["sync_status"] == "synced")
    assert WebhookEvent.objects.filter(item_id=item["id"], column_id="role_title").exists()


@pytest.mark.parametrize("whole", [False, True], ids=["a process of the only worker", "one of two workers"])
def test_a_board_goes_on_at_once_when_what_worked_on_it_is_killed(quiet_site: Site, staff: Staff, whole: bool) -> None:
    site = quiet_site
    site.processes.end("worker")  # its processes may have connections to Monday from before
    site.processes.work("beat")
    sweep_never()
    workers = [staff(f"worker-{number}") for number in range(1 + whole)]
    site.sandbox.control("latency", call_ms=4_000)
    Contact.objects.bulk_create(Contact(name=name) for name in PEOPLE)
    notify.notify_now("contact")
    worker, process = site.wait_for("a call is in the air", lambda: calling(workers))
    former = Held.now()
    if whole:
        os.killpg(worker, signal.SIGKILL)
    else:
        os.kill(process, signal.SIGKILL)
    site.sandbox.control("latency", call_ms=0)
    site.wait_for("another takes the board", former.was_taken_over)
    assert not former.would_have_ended()
    site.wait_for("everybody is synced", synced, 40)
    assert names_on_board(site) == PEOPLE


def calling(workers: Sequence[Child]) -> tuple[int, int] | None:
    """The worker of which a process calls Monday, and that process, by their ids."""
    for worker in workers:
        for process in psutil.Process(worker.pid).children(recursive=True):
            with suppress(psutil.Error):
                if used.SANDBOX_PORT in [one.raddr.port for one in process.net_connections() if one.raddr]:
                    return worker.pid, process.pid
    return None


def test_all_processes_recover_when_postgresql_has_ended_their_connections(site: Site) -> None:
    sweep_every_second()
    save(site, name="Before")
    site.wait_for("the first is synced", lambda: synced("Before"))
    # A board that was held at that moment is free again when its lease ends, after a minute.
    site.wait_for("no board is held", lambda: not leases())
    children = dict(site.processes.children)
    assert terminate_connections() > len(children) - 1
    swept = sweeps()
    save(site, name="After")
    site.wait_for("the second is synced", lambda: synced("After"), 15)
    site.wait_for("beat sends, the worker sweeps", lambda: sweeps() > swept, 20)
    assert {name: child.ended for name, child in children.items()} == dict.fromkeys(children)


def test_two_workers_at_once_make_one_item_per_record(site: Site, staff: Staff) -> None:
    other = staff("worker-2")
    site.sandbox.control("latency", mutation_ms=20)
    for start in range(0, len(PEOPLE), 5):
        Contact.objects.bulk_create(Contact(name=name) for name in PEOPLE[start : start + 5])
        for _ in range(4):  # one for each process of both pools
            notify.notify_now("contact")
    site.wait_for("everybody is synced", synced, 20)
    assert names_on_board(site) == PEOPLE
    both = [site.processes.children["worker"], other]
    assert all("sync.work_board" in "\n".join(child.last_lines(500)) for child in both)


def test_without_beat_the_wake_up_alone_carries_a_save(site: Site) -> None:
    site.processes.end("beat")
    save(site, name="Carried by its wake-up")
    site.wait_for("the contact is synced", lambda: synced("Carried by its wake-up"))
