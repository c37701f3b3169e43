"""The clock of NPD's machines is wrong by ten minutes: leases, waits, budget and signatures follow the database's."""

from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from django.conf import settings as used

from npd.models import Contact
from sync.clock import sync_now
from sync.limits import breaker
from sync.models import BoardLease, BoardLink, SyncQueue
from tests.chaos.points import QUERY
from tests.chaos.workers import Hand
from tests.story.conftest import Staff, read, save, sweep_every_second, synced
from tests.support.arrived import Writers, all_arrived, unrest
from tests.support.servers import ROOT
from tests.support.site import Processes, Site, purge_broker
from tests.support.waiting import wait_for

OFF = 600  # seconds
NAMES = [f"Person {number}" for number in range(3)]
BOTH_WAYS = pytest.mark.parametrize("off", [OFF, -OFF], ids=["ahead", "behind"])


def wrong_clock(off: int) -> dict[str, str]:
    """What makes the clock of a child process wrong."""
    return {"PYTHONPATH": str(ROOT / "tests" / "support" / "clock_off"), "CLOCK_OFF_SECONDS": str(off)}


@pytest.fixture
def everywhere(off: int, processes: Processes) -> Iterator[None]:
    """Web, worker and beat have the wrong clock; webhooks must be signed, for the door without a token is used."""
    with processes.with_variables(**wrong_clock(off), MONDAY_WEBHOOK_TOKEN=""):
        yield


@pytest.fixture
def bare_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set-up, in this process, registers it."""
    monkeypatch.setattr(used, "MONDAY_WEBHOOK_TOKEN", "")


@pytest.mark.usefixtures("everywhere", "bare_door")
@BOTH_WAYS
def test_with_every_clock_wrong_edits_go_there_and_back(site: Site, off: int) -> None:
    assert abs(told_by_the_web(site) - off) < OFF / 2
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


@BOTH_WAYS
def test_a_worker_whose_clock_differs_from_beats_makes_its_sweeps(site: Site, staff: Staff, off: int) -> None:
    site.processes.end("worker")
    purge_broker()  # it left wake-ups of the set-up
    staff("worker-off", **wrong_clock(off))
    sweep_every_second()
    Writers().new(NAMES)
    all_arrived(site.sandbox)


class Two:
    """Workers with a right clock, and workers with a wrong one, forked at will."""

    def __init__(self, right: Hand, wrong: Hand) -> None:
        self.right, self.wrong = right, wrong


@pytest.fixture(scope="module")
def hands() -> Iterator[dict[int, Hand]]:
    """By how wrong their clocks are; kept for the module."""
    found = {off: Hand({}) for off in (0, OFF, -OFF)}
    yield found
    for hand in found.values():
        hand.stop()


@pytest.fixture
def two(quiet_site: Site, hands: dict[int, Hand], off: int) -> Iterator[Two]:
    """Celery's worker and beat rest."""
    env = quiet_site.processes.env
    hands[0].env, hands[off].env = env, env | wrong_clock(off)
    for hand in (hands[0], hands[off]):
        hand.start()
    yield Two(hands[0], hands[off])
    for hand in (hands[0], hands[off]):
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


@pytest.mark.parametrize(("off", "holder"), [(OFF, "right"), (-OFF, "wrong")], ids=["ahead", "behind"])
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


@pytest.mark.parametrize("off", [OFF], ids=["ahead"])
def test_a_backoff_ends_by_the_databases_clock(quiet_site: Site, two: Two, later: Callable[[float], None]) -> None:
    Writers().new(NAMES[:1])
    quiet_site.sandbox.faults({"partial": {"every": 1, "code": "RecordInvalidException"}, "on": "create_item"})
    two.wrong.run("work")
    row = SyncQueue.objects.get(entity_type="contact", status="pending")
    assert (row.attempts, bool(row.error_message)) == (1, True)
    assert 50 <= (row.next_retry - sync_now()).total_seconds() <= 66
    assert claimed(two.wrong) == 0
    later(70)
    assert claimed(two.wrong) >= 1  # the webhook of its item may come within the same run
    rest_by(two.wrong)
    all_arrived(quiet_site.sandbox)


@pytest.mark.parametrize("off", [-OFF], ids=["behind"])
def test_a_minutes_allowance_ends_by_the_databases_clock(
    quiet_site: Site, two: Two, later: Callable[[float], None]
) -> None:
    later(100)  # past the minute in which the boards were set up
    quiet_site.sandbox.control("plan", plan="enterprise", minute=10)
    breaker.fetch_account_info()
    BoardLink.objects.filter(entity_type="contact").update(batch_limit=1)  # it grows by one with each quick answer
    Writers().new(f"Person {number}" for number in range(15))
    two.wrong.run("work")
    assert 0 < Contact.objects.filter(sync_status="pending").count() < 15
    calls = quiet_site.sandbox.calls()
    assert claimed(two.wrong) == 0
    assert quiet_site.sandbox.calls(calls[-1]["id"]) == []
    for seconds in (200, 300):
        later(seconds)
        two.wrong.run("work")
    assert set(quiet_site.sandbox.control("plan", "GET")["refused"].values()) <= {0}
    rest_by(two.right)
    all_arrived(quiet_site.sandbox)
