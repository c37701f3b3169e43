"""The clock of some machines is ten minutes ahead: leases, waits, budget and signatures follow the database's."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from django.conf import settings as used

from sync.clock import sync_now
from tests.story.conftest import read, save, sweep_every_second, synced
from tests.support.arrived import Writers, all_arrived
from tests.support.child import command_of
from tests.support.servers import ROOT
from tests.support.site import Processes, Site, purge_broker, started

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
