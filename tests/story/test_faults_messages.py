"""The broker is off for a whole run or restarts again and again, or too many send messages at once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import requests
from django.conf import settings as used

from config.embedded.postgres import EmbeddedPostgres
from npd.models import Contact
from sync.clock import sync_now
from sync.models import SyncQueue
from tests.embedded.conftest import folder_of_ones_own
from tests.story.conftest import Staff, every_second, save, sweeps, synced
from tests.support.arrived import Writers, all_arrived
from tests.support.child import Child
from tests.support.people import session_cookie
from tests.support.servers import ROOT, free_port
from tests.support.site import Processes, Site, start_child
from tests.support.waiting import wait_for

NAMES = [f"Person {number}" for number in range(5)]


class OwnRedis:
    """A test's own Redis, which stops and starts and keeps its messages in `folder`.

    Without a redis-server the test is skipped, or fails if CI=true.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            missing = "no redis-server on this machine (Debian, Ubuntu: sudo apt install redis-server)"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
        folder.mkdir()
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.come_back()

    def leave(self) -> None:
        assert self._server.stop(), "Redis had to be killed"

    def come_back(self) -> None:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1"]
        options = ["--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        self._server: Child = start_child("redis", [*command, *options], dict(os.environ))
        wait_for("Redis answers", self._answers)

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, decode_responses=True)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False


class OwnPostgres:
    """The embedded broker in its own cluster, which stops and starts."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder, fast=True)
        self.come_back()
        self._server.create_database("broker")
        self.url = f"sqla+postgresql+psycopg://postgres@/broker?host={self._server.socket}"

    def leave(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server.start()


OwnBroker = OwnRedis | OwnPostgres


@contextmanager
def away(broker: OwnBroker) -> Iterator[None]:
    broker.leave()
    try:
        yield
    finally:
        broker.come_back()


@pytest.fixture
def own_broker(request: pytest.FixtureRequest, processes: Processes) -> Iterator[OwnBroker]:
    """The broker of all processes, made for this test, which stops it."""
    with folder_of_ones_own() as folder:
        broker = request.param(folder / "broker")
        with processes.with_variables(CELERY_BROKER_URL=broker.url):
            yield broker
        broker.leave()


@pytest.mark.parametrize("own_broker", [OwnRedis, OwnPostgres], ids=["Redis", "PostgreSQL"], indirect=True)
def test_with_the_broker_off_saves_succeed_and_cron_or_drain_carry_them(own_broker: OwnBroker, site: Site) -> None:
    every_second("sync.sweep")
    people = Writers()
    with away(own_broker):
        site.wait_for("readiness tells", lambda: not ready(site)["ready"])
        for name in NAMES[:2]:
            save(site, name=name, role_title=people.number())
        # Webhooks that came while their item was being made are looked at some seconds later.
        site.wait_for("cron carries them", lambda: cron(site)["failed"] == 0 and synced(*NAMES[:2]), 40)
        save(site, name=NAMES[2], role_title=people.number())
        people.change(NAMES[:1])
        site.wait_for("drain carries them", lambda: drained(site) and synced(*NAMES[:3]), 60)
    save(site, name=NAMES[3], role_title=people.number())
    site.wait_for("the worker carries it", lambda: synced(NAMES[3]), 40)
    people.new(NAMES[4:])
    site.wait_for("beat's sweep finds it", lambda: synced(NAMES[4]), 40)
    assert [site.processes.children[name].ended for name in ("web", "worker", "beat")] == [None] * 3
    all_arrived(site.sandbox)


@pytest.mark.parametrize("own_broker", [OwnRedis], indirect=True)
def test_a_redis_that_takes_or_keeps_no_messages_is_said_in_its_own_words(own_broker: OwnRedis, site: Site) -> None:
    client = own_broker.client()
    assert ready(site) == {"ready": True, "reasons": []}
    client.config_set("maxmemory", 1_000_000)  # less than it takes empty
    save(site, name="Ann")
    assert "used memory > 'maxmemory'" in str(ready(site)["reasons"])
    SyncQueue.objects.update(next_retry=sync_now() - timedelta(minutes=9), created_at=sync_now() - timedelta(minutes=9))
    cookie = session_cookie(site.user, site.url)
    home = requests.get(site.path("/admin/"), cookies={cookie["name"]: cookie["value"]}, timeout=30)
    assert "used memory &gt; &#x27;maxmemory&#x27;" in home.text
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
    assert "maxmemory_policy allkeys-lru" in str(ready(site)["reasons"])
    client.config_set("maxmemory", 0)
    client.config_set("requirepass", "changed")
    assert "Redis takes no messages: Authentication required" in str(ready(site)["reasons"])
    client.config_set("requirepass", "")
    site.wait_for("the worker carries it", lambda: synced("Ann"), 40)
    site.wait_for("readiness is back", lambda: ready(site)["ready"])
    assert [child.ended for child in site.processes.children.values()] == [None] * 3


@pytest.mark.parametrize("own_broker", [OwnRedis], indirect=True)
def test_a_redis_that_was_a_replica_for_a_while_ends_nobody(own_broker: OwnRedis, site: Site) -> None:
    every_second("sync.sweep")
    save(site, name="Ann")
    site.wait_for("the first is synced", lambda: synced("Ann"))
    worker = site.processes.children["worker"]
    client = own_broker.client()
    client.replicaof("127.0.0.1", free_port())
    save(site, name="Bo")
    assert "read only replica" in str(ready(site)["reasons"])
    site.wait_for("the worker can't read, and tries again", told_by([worker], "read only replica", 3), 60)
    client.replicaof("NO", "ONE")
    site.wait_for("the worker carries it", lambda: synced("Bo"), 60)
    swept = sweeps()
    site.wait_for("beat sends, the worker sweeps", lambda: sweeps() > swept, 60)
    assert [child.ended for child in site.processes.children.values()] == [None] * 3


def drained(site: Site) -> bool:
    command = [sys.executable, "manage.py", "sync_drain"]
    return subprocess.run(command, env=site.processes.env, cwd=ROOT, timeout=60, check=False).returncode == 0


def ready(site: Site) -> dict[str, object]:
    return requests.get(site.path("/readyz"), timeout=10).json()


def cron(site: Site) -> dict[str, int]:
    secret = {"Authorization": f"Bearer {used.CRON_SECRET}"}
    return requests.post(site.path("/cron/sync-queue"), headers=secret, timeout=60).json()


AT_ONCE = 30


@pytest.mark.parametrize(
    ("own_broker", "restarts"), [(OwnRedis, 10), (OwnPostgres, 3)], ids=["Redis", "PostgreSQL"], indirect=["own_broker"]
)
def test_a_broker_restart_ends_no_worker(own_broker: OwnBroker, quiet_site: Site, staff: Staff, restarts: int) -> None:
    site, people = quiet_site, Writers()
    every_second("sync.sweep")
    site.sandbox.control("latency", call_ms=700)
    site.processes.work()
    workers = [site.processes.children["worker"], staff("worker-2")]
    for number in range(1, restarts + 1):
        people.new([f"Person {number}.{index}" for index in range(AT_ONCE)])
        site.wait_for("a worker has work in hand", SyncQueue.objects.filter(status="in_progress").exists)
        with away(own_broker):
            site.wait_for("both have lost it", told_by(workers, "Connection to broker lost", number))
        site.wait_for("both are connected", told_by(workers, "Connected to ", number + 1))
    site.sandbox.control("latency", call_ms=0)
    site.wait_for("everybody is synced", synced, 60)
    assert Contact.objects.count() == restarts * AT_ONCE
    assert [child.ended for child in [*workers, site.processes.children["beat"]]] == [None] * 3
    all_arrived(site.sandbox)


def told_by(workers: list[Child], words: str, times: int) -> Callable[[], bool]:
    """Return a check whether each of these workers has said this at least so often, or has ended."""
    return lambda: all(w.ended is not None or "\n".join(w.last_lines(100_000)).count(words) >= times for w in workers)
