"""No failure spends the day's quota: what an hour of each costs, what goes on meanwhile, and that it ends with it."""

from typing import Any

import pytest

from npd.models import Contact, Organization
from sync.limits import probes
from sync.models import SyncQueue
from tests.limits.conftest import Planned
from tests.support.world import World

FIRST_HOUR = 50
OTHER_HOUR = 20


def refused(code: str, message: str = "") -> dict[str, Any]:
    return {"partial": {"every": 1, "code": code, "message": message}}


WRITES: dict[str, dict[str, Any]] = {
    "HTTP 500": {"status": 500},
    "no answer, nothing done": {"timeout": "before"},
    "a limit, wait a second": {"status": 429, "retry_after": 1},
    "HTTP 401": {"status": 401},
    "a locked board": {"status": 423},
    "a board that writes don't know": refused("InvalidBoardIdException"),
    "a viewer's token": refused("USER_ACCESS_DENIED", "User unauthorized to perform action"),
    "those of some records": {"status": 500, "naming": "poison"},
}
ALL: dict[str, dict[str, Any]] = {
    "HTTP 500": {"status": 500},
    "no answer, nothing done": {"timeout": "before"},
    "HTTP 400, whatever is asked": {"status": 400},
    "a limit, wait a second": {"status": 429, "retry_after": 1},
    "HTTP 401": {"status": 401},
}


# One for each wait of the breaker's table; make hostile plays all others.
ALWAYS_PLAYED = [
    ("mutation", "HTTP 500"),
    ("mutation", "a board that writes don't know"),
    ("mutation", "those of some records"),
    ("any", "HTTP 500"),
]


@pytest.mark.parametrize(
    ("on", "fault"),
    [
        pytest.param(on, fault, marks=[] if (on, fault) in ALWAYS_PLAYED else pytest.mark.hostile)
        for on, faults in (("mutation", WRITES), ("any", ALL))
        for fault in faults
    ],
    ids=lambda value: {"mutation": "writes", "any": "all calls"}.get(value, value),
)
def test_an_hour_of_failures_costs_few_calls_and_all_is_synced_after_it(world: World, on: str, fault: str) -> None:
    linked = world.linked_together(4, role_title="Old")
    Organization.objects.create(name="O0")
    world.work()
    world.hear(minutes=2)
    fails = WRITES[fault] if on == "mutation" else ALL[fault]
    world.sandbox.control("faults", **{"on": on, "count": 100_000, **fails})
    Contact.objects.update(role_title="New")
    Organization.objects.update(notes="New")
    Contact.objects.bulk_create([Contact(name=f"N{n:02}", email=f"n{n}@example.com") for n in range(12)])
    Contact.objects.filter(name__in=["P0", "N03", "N07"]).update(notes="poison")
    assert world.calls_while(60, seconds=30) <= FIRST_HOUR
    assert world.calls_while(60) <= OTHER_HOUR
    if on == "mutation":
        world.hooks.deliveries.clear()  # their signatures have expired
        world.edit(linked[1], "phone", {"phone": "+4915112345678", "countryShortName": "DE"})
        world.deliver()
        # A limit stops reads too, for up to six minutes.
        world.calls_while(7 if "a limit" in fault else 0)
        world.work(linked[1])
        assert "15112345678" in linked[1].phone, "edits on the board come in"
    world.sandbox.control("faults", "DELETE")
    world.pass_time(minutes=3)
    for job in SyncQueue.objects.filter(status="failed"):
        world.queue.manual_retry(job.pk, by="lead")
    probes.try_again()
    world.work(seconds=30)
    world.calls_while(65, seconds=1_200)
    names = sorted(item["name"] for item in world.sandbox.items())
    assert names == [*(f"N{n:02}" for n in range(12)), "O0", "P0", "P1", "P2", "P3"], "each was made once"
    assert not Contact.objects.exclude(sync_status="synced").exists()
    assert not Organization.objects.exclude(sync_status="synced").exists()
    assert world.values(linked[2])["role_title"] == "New"


@pytest.mark.parametrize("on", ["mutation", "any"])
def test_a_day_of_failures_takes_a_tenth_of_the_plans_calls(world: World, monday: Planned, on: str) -> None:
    monday.limits(plan="free", day=200)
    world.pass_time(hours=13)
    world.sandbox.control("faults", status=500, on=on, count=100_000)
    Contact.objects.bulk_create([Contact(name=f"N{n:02}", email=f"n{n}@example.com") for n in range(12)])
    assert world.calls_while(22 * 60, seconds=3_600) <= 200 / 10 + 5
