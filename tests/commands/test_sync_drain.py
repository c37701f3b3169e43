"""`sync_drain` against the sandbox, over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from npd.models import Contact, Organization
from sync.choices import QueueStatus
from sync.models import BoardLink, SyncQueue
from sync.operations import worker
from sync.operations.worker import drain
from sync.outbox.claim import acquire
from tests.admin import states
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)

Run = Callable[..., str]


def test_without_a_token_it_leaves_the_rows_and_counts_what_is_left(run: Run, settings: Any) -> None:
    states.boards()
    for name in ("Ann", "Bo"):
        Contact.objects.create(name=name)
    SyncQueue.objects.create(entity_type="organization", remote_id="1", status=QueueStatus.FAILED)
    settings.MONDAY_API_KEY = ""
    output = run("sync_drain")
    assert "Left: 2 contacts pending. Monday isn't connected" in output
    assert "Left: 1 organization failed: retry under Jobs in the admin." in output
    assert SyncQueue.objects.filter(status=QueueStatus.PENDING).count() == 2


def test_while_monday_is_away_it_ends_and_says_that_sync_is_paused(run: Run, settings: Any) -> None:
    states.boards()
    Contact.objects.create(name="Ann")
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    output = run("sync_drain")
    assert "Left: 1 contact pending." in output
    assert "Next attempt at" in output


def test_it_waits_for_a_board_that_another_worker_holds(world: World, run: Run) -> None:
    world.contact("Ada Byron")
    lease = acquire(BoardLink.objects.get(entity_type="contact"), seconds=0.7)
    assert lease is not None
    assert "1 checked: 1 done" in run("sync_drain")


def test_progress_is_printed_while_this_board_has_more(world: World) -> None:
    Organization.objects.create(name="Initech")
    BoardLink.objects.filter(entity_type="contact").update(batch_limit=4)
    Contact.objects.bulk_create(Contact(name=f"Person {number}") for number in range(5))
    world.sandbox.control("latency", call_ms=300)
    lines: list[str] = []
    assert drain("contact", lines.append, progress_seconds=0.25).checked == 5
    assert lines[0] == "4 of at least 5 checked …"


def test_a_record_whose_pass_fails_counts_once_as_checked_and_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Contact.objects.bulk_create(Contact(name=name) for name in ("Ann", "Bo"))

    def fail(*args: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(worker, "reconcile", fail)
    assert str(drain("contact")) == "2 checked: 0 done, 2 failed."
