"""What real processes do when all goes well, and when one of them, the broker or PostgreSQL goes away."""

import os
import signal
from contextlib import suppress

import psutil
from django.conf import settings as used

from npd.models import Contact
from sync.outbox import notify
from tests.story.conftest import (
    Held,
    Staff,
    leases,
    names_on_board,
    save,
    sweep_every_second,
    sweep_never,
    sweeps,
    synced,
    terminate_connections,
)
from tests.support.child import Child
from tests.support.site import Site

PEOPLE = [f"Person {number:02}" for number in range(20)]


def test_a_board_goes_on_at_once_when_the_process_of_a_worker_that_works_on_it_is_killed(
    quiet_site: Site, staff: Staff
) -> None:
    """With Redis one of its pool; over PostgreSQL, where the worker has threads, the worker itself."""
    site = quiet_site
    site.processes.end("worker")  # its processes may have connections to Monday from before
    site.processes.work("beat")
    sweep_never()
    workers = [staff("worker-1"), staff("worker-2")]
    site.sandbox.control("latency", call_ms=4_000)
    Contact.objects.bulk_create(Contact(name=name) for name in PEOPLE)
    notify.notify_now("contact")
    process = site.wait_for("a call is in the air", lambda: calling(workers))
    former = Held.now()
    os.kill(process, signal.SIGKILL)
    site.sandbox.control("latency", call_ms=0)
    site.wait_for("another takes the board", former.was_taken_over)
    assert not former.would_have_ended()
    site.wait_for("everybody is synced", synced, 40)
    assert names_on_board(site) == PEOPLE


def calling(workers: list[Child]) -> int:
    """The workers' process that calls Monday, by its id; 0 where none does."""
    families = [psutil.Process(worker.pid) for worker in workers]
    for process in [*families, *(child for worker in families for child in worker.children(recursive=True))]:
        with suppress(psutil.Error):
            if used.SANDBOX_PORT in [one.raddr.port for one in process.net_connections() if one.raddr]:
                return process.pid
    return 0


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


def test_without_beat_the_wake_up_alone_carries_a_save(site: Site) -> None:
    site.processes.end("beat")
    save(site, name="Carried by its wake-up")
    site.wait_for("the contact is synced", lambda: synced("Carried by its wake-up"))
