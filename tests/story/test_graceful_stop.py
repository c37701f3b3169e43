"""A worker gets TERM during a slow call: it ends after that call, and another continues where it ended."""

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
# Seconds that a call takes here.
SLOW = 2.0
# Seconds after which a worker counts as still working. That it begins nothing is shown by the number of its calls.
LONGEST = 90.0


@pytest.fixture
def site(quiet_site: Site) -> Site:
    """Without beat's sweep only a wake-up continues the work, and no resting worker may take it."""
    quiet_site.processes.end("beat")
    quiet_site.processes.end("worker")
    return quiet_site


def in_hand() -> int:
    return SyncQueue.objects.filter(status="in_progress").count()


def end(child: Child) -> None:
    """End a worker by TERM to its main process, as a deployment does."""
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
    site.sandbox.control("latency", mutation_ms=SLOW * 2_000 / 100)  # for each of the hundred in a document
    wakeups.wake_board("contact")
    site.wait_for("the first items are there", lambda: names_on_board(site))
    end(worker)
    linked = Contact.objects.exclude(monday_id=None).count()
    assert 0 < linked == len(names_on_board(site)) < len(TWO_BATCHES)
    nothing_in_hand_and_no_attempt_lost()
    goes_on(site, TWO_BATCHES, staff)


def goes_on(site: Site, people: list[str], staff: Staff | None = None) -> None:
    """Another finishes everything and makes nothing twice; with `staff` the wake-up that the first left starts it."""
    site.sandbox.control("latency", call_ms=0, mutation_ms=0)
    if staff:
        staff("worker-2")

    def all_synced() -> bool:
        if not staff:
            # No worker takes what the deliveries about new items have enqueued since.
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
