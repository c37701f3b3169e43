"""A worker gets TERM in the middle of a slow call: it ends after that call, and another goes on where it ended."""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.conf import settings as used

from npd.models import Contact
from sync.models import SyncQueue
from sync.outbox import wakeups
from tests.story.conftest import Staff, leases, names_on_board, synced
from tests.support.child import Child
from tests.support.site import Site

FEW = [f"Person {number:03}" for number in range(12)]
TWO_BATCHES = [f"Person {number:03}" for number in range(120)]
SLOW = 2.0
"""Seconds that a call takes here."""
LONGEST = 90.0
"""Seconds after which a worker is taken to work on; what shows that it doesn't is the number of its calls."""


@pytest.fixture
def site(quiet_site: Site) -> Site:
    """Without beat's sweep, what goes on does so by a wake-up, which no worker that rests may take."""
    quiet_site.processes.end("beat")
    quiet_site.processes.end("worker")
    return quiet_site


def in_hand() -> int:
    return SyncQueue.objects.filter(status="in_progress").count()


def end(child: Child) -> None:
    """As a deployment does: TERM to the main process."""
    child.terminate()
    try:
        assert child.process
        child.process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        pytest.fail("\n".join(["It did not end after its call. Its last lines:", *child.last_lines(20)]))
    assert child.ended == 0, child.last_lines(20)


def nothing_in_hand_and_no_attempt_lost() -> None:
    assert (in_hand(), leases()) == (0, 0)
    rows = SyncQueue.objects.filter(status="pending", entity_type="contact")
    assert rows.exists()
    assert set(rows.values_list("attempts", flat=True)) == {0}


def test_in_the_middle_of_a_write_its_answer_is_settled_and_no_other_batch_begun(site: Site, staff: Staff) -> None:
    worker = staff("worker-1")
    Contact.objects.bulk_create(Contact(name=name) for name in TWO_BATCHES)
    site.sandbox.control("latency", mutation_ms=SLOW * 2_000 / 100)  # each of the hundred in a document
    wakeups.wake_board("contact")
    site.wait_for("the first items are there", lambda: names_on_board(site))
    end(worker)
    linked = Contact.objects.exclude(monday_id=None).count()
    assert 0 < linked == len(names_on_board(site)) < len(TWO_BATCHES)
    nothing_in_hand_and_no_attempt_lost()
    goes_on(site, TWO_BATCHES, staff)


def goes_on(site: Site, people: list[str], staff: Staff | None = None) -> None:
    """Another finishes all of it and makes nothing twice; with `staff` by the wake-up that the first has left."""
    site.sandbox.control("latency", call_ms=0, mutation_ms=0)
    if staff:
        staff("worker-2")

    def all_synced() -> bool:
        if not staff:
            # Also what the deliveries of the items' making enqueued since: no worker takes it here.
            site.manage("sync_drain")
        return synced(*people)

    site.wait_for("everybody is synced", all_synced, LONGEST)
    assert names_on_board(site) == people


def test_a_cron_run_in_the_web_process_ends_after_its_call(site: Site) -> None:
    Contact.objects.bulk_create(Contact(name=name) for name in FEW)
    site.sandbox.control("latency", call_ms=SLOW * 1_000)
    secret = {"Authorization": f"Bearer {used.CRON_SECRET}"}
    with ThreadPoolExecutor(max_workers=1) as pool:
        run = pool.submit(requests.post, site.path("/cron/sync-queue"), headers=secret, timeout=LONGEST)
        site.wait_for("the batch is in hand", in_hand, LONGEST)
        site.processes.end("web", signal.SIGTERM)
        assert run.exception() or run.result().status_code == 200
    nothing_in_hand_and_no_attempt_lost()
    assert names_on_board(site) == []
    site.processes.serve()
    goes_on(site, FEW)
