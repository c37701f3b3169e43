"""The clock of some machines is ten minutes ahead: leases, waits, budget and signatures follow the database's."""

from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from django.conf import settings as used

from sync.clock import sync_now
from sync.models import BoardLease
from tests.chaos.points import QUERY
from tests.chaos.workers import Hand
from tests.story.conftest import read, save, sweep_every_second, synced
from tests.support.arrived import Writers, all_arrived, unrest
from tests.support.child import command_of
from tests.support.servers import ROOT
from tests.support.site import Processes, Site, purge_broker, started
from tests.support.waiting import wait_for

OFF = 600  # seconds
NAMES = [f"Person {number}" for number in range(3)]
WRONG = {"PYTHONPATH": str(ROOT / "tests" / "support" / "clock_off"), "CLOCK_OFF_SECONDS": str(OFF)}
"""What puts the clock of a child process ahead."""


@pytest.fixture
def ahead_of_beat(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Web and worker have the wrong clock; webhooks must be signed, for the door without a token is used."""
    monkeypatch.setattr(used, "MONDAY_WEBHOOK_TOKEN", "")  # the set-up, in this process, registers it
    with processes.with_variables(**WRONG, MONDAY_WEBHOOK_TOKEN=""):
        yield


@pytest.fixture
def right_beat(ahead_of_beat: None, quiet_site: Site) -> Iterator[None]:
    """Beat, with the right clock: a worker that is ahead of it would take each of its messages for too old."""
    purge_broker()
    beat = started("beat-right", command_of("beat"), quiet_site.processes.env | {"CLOCK_OFF_SECONDS": "0"})
    yield
    beat.stop(5)


@pytest.mark.usefixtures("right_beat")
def test_with_the_clocks_of_web_and_worker_ahead_edits_go_there_and_back(quiet_site: Site) -> None:
    site = quiet_site
    site.processes.work("worker")
    assert abs(told_by_the_web(site) - OFF) < OFF / 2
    sweep_every_second()
    people = Writers()
    contact = save(site, name="Zoë", role_title=people.number())
    item = site.wait_for("the item", lambda: site.sandbox.item_named("Zoë"))
    site.wait_for("both agree", lambda: synced("Zoë"))
    site.sandbox.act("edit", item_id=item["id"], column_id="role_title", text="00002")
    site.wait_for("the edit", lambda: read(site, contact)["role_title"] == "00002")
    people.new(NAMES)  # without a wake-up: beat's sweep finds them
    all_arrived(site.sandbox)
    deliveries = site.sandbox.control("webhooks", "GET")["deliveries"]
    assert {delivery["state"] for delivery in deliveries} == {"delivered"}


def told_by_the_web(site: Site) -> float:
    """By how many seconds the web process's clock is ahead of the database's."""
    answer = requests.get(site.path("/healthz"), timeout=10)
    told: datetime = parsedate_to_datetime(answer.headers["Date"])
    return (told - sync_now()).total_seconds()


class Two:
    """Workers with a right clock, and workers with a wrong one, forked at will."""

    def __init__(self, right: Hand, wrong: Hand) -> None:
        self.right, self.wrong = right, wrong


@pytest.fixture(scope="module")
def hands() -> Iterator[Two]:
    """Kept for the module."""
    found = Two(Hand({}), Hand({}))
    yield found
    found.right.stop()
    found.wrong.stop()


@pytest.fixture
def two(quiet_site: Site, hands: Two) -> Iterator[Two]:
    """Celery's worker and beat rest."""
    env = quiet_site.processes.env
    hands.right.env, hands.wrong.env = env, env | WRONG
    for hand in (hands.right, hands.wrong):
        hand.start()
    yield hands
    for hand in (hands.right, hands.wrong):
        for worker in hand.workers.values():
            hand.kill(worker)


def claimed(hand: Hand) -> int:
    """How many records a worker that looks now gets hold of."""
    worker = hand.run("work")
    assert worker.problem == ""
    return int(worker.told["result"]["claimed"])


def rest_by(hand: Hand) -> None:
    """Work until nothing is left to do: each new item's webhook may come after the last worker has looked."""
    wait_for("the queue is at rest", lambda: claimed(hand) == 0 and not unrest(), 60)


@pytest.mark.parametrize("holder", ["right", "wrong"])
def test_a_lease_ends_by_the_databases_clock(
    quiet_site: Site, two: Two, later: Callable[[float], None], holder: str
) -> None:
    owner, other = (two.right, two.wrong) if holder == "right" else (two.wrong, two.right)
    Writers().new(NAMES)
    stopped = owner.wait(owner.fork("work", at=1, only=QUERY))
    token = BoardLease.objects.get(link__entity_type="contact").token
    assert token is not None
    later(50)
    assert claimed(other) == 0
    assert BoardLease.objects.get(link__entity_type="contact").token == token
    later(70)
    assert claimed(other) >= len(NAMES)  # a webhook of the first of the new items may have come by then
    assert owner.let_go(stopped).told["result"]["completed"] == 0
    rest_by(other)
    all_arrived(quiet_site.sandbox)
