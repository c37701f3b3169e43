"""When a job is tried next is said in one place, and is true: in an outage, after it, and once somebody tries again."""

from typing import Any

import pytest

from npd.models import Contact
from sync.boards.availability import Overview, unanswered_sentence
from sync.choices import QueueStatus
from sync.limits import probes
from sync.models import SyncQueue
from sync.queue import push_record
from tests.support.world import World

FAULTS: dict[str, dict[str, Any]] = {
    "every call fails": {"status": 500},
    "every write fails": {"status": 500, "on": "mutation"},
    "writes aren't served": {"status": 503, "on": "mutation"},
    "no answer, nothing done": {"timeout": "before", "on": "mutation"},
    "no answer, all done": {"timeout": "after"},
    "a limit": {"status": 429, "retry_after": 20},
    "one write fails": {"status": 500, "on": "mutation", "count": 1},
    "some records fail": {"status": 500, "naming": "poison"},
}


def pending() -> list[SyncQueue]:
    return list(SyncQueue.objects.filter(status=QueueStatus.PENDING))


def work_and_check(world: World, *, seconds: float) -> None:
    """Let a worker work after this time: what is said to wait only for one is tried, and nothing else too late."""
    world.pass_time(seconds=seconds)
    overview = Overview()
    due = {job.pk for job in pending() if overview.next_attempt_words(job) == "as soon as a worker is free"}
    for _ in range(2):  # the first may be the probe
        world.work()
    untried = [job for job in pending() if job.pk in due and job.last_attempt and job.last_attempt < overview.now]
    assert [(job, job.reason) for job in untried] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_what_waits_only_for_a_worker_is_tried_by_the_next_one(world: World, fault: str) -> None:
    records = world.linked_together(5, role_title="Boss")
    new = [world.contact(f"New {number}") for number in range(2)]
    world.sandbox.control("faults", **{"count": None, **FAULTS[fault]})
    for number, record in enumerate(records):
        Contact.objects.filter(pk=record.pk).update(role_title="Chair", notes="poison" if number < 3 else "")
    for seconds in (0, 5, 20, 40, 60, 60, 120):
        work_and_check(world, seconds=seconds)
    world.sandbox.control("faults", "DELETE")
    probes.try_again()
    waiting = Overview().unanswered_until
    # With no further time, but the waits for calls that may still take effect.
    work_and_check(world, seconds=0)
    if FAULTS[fault].get("status") != 429:
        assert {job.entity_id for job in pending()} <= waiting.keys()
    assert bool(unanswered_sentence()) == any(until > Overview().now for until in waiting.values())
    work_and_check(world, seconds=400)
    assert pending() == []
    assert not Contact.objects.filter(pk__in=[record.pk for record in (*records, *new)]).exclude(sync_status="synced")
    push_record(records[0], "ann")
    work_and_check(world, seconds=0)
    assert pending() == []
