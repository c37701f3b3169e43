"""Where a script runs: NPD's real processes, Monday's sandbox, one clock for all, and workers to kill.

The clock moves only while no worker has a call in flight: Celery's worker is idle, and forked workers have ended or
are stopped with no mutation announced.
"""

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import requests
from django.conf import settings
from django.db import connections

from config.embedded.postgres import EmbeddedPostgres
from sync.kernel.db import fetch_rows
from sync.operations.comparison import NIGHT_END_HOUR
from tests.chaos.journal import Journal
from tests.chaos.workers import Hand, Worker
from tests.support.clock import move_clock, reset_clock
from tests.support.prepared import Prepared
from tests.support.rows import end_other_sessions
from tests.support.sandbox import Sandbox
from tests.support.site import Processes, purge_broker, restore_schedule
from tests.support.waiting import wait_for

UNFINISHED = ("waiting",)
ENDED = ("delivered", "dropped", "given up")
SETTLE_SECONDS = 15
MORNING = NIGHT_END_HOUR + 1
# environment of web, worker, beat and hand
CHAOS = {"DJANGO_SETTINGS_MODULE": "tests.chaos.chaos_settings", "MONDAY_TIMEOUT_SECONDS": "5"}
ELSEWHERE = "Elsewhere"  # a board without columns, which NPD Sync doesn't know
LEFT_OUT_TASKS = ("sync.sweep", "config.delete_delivered_messages")


@functools.cache
def until_morning() -> float:
    """Seconds until the nightly comparison is over, so that scripts run by day; the same for all prepared databases."""
    now = datetime.now(UTC)
    morning = now.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    return (morning - now).total_seconds() % 86_400.0


@dataclass(frozen=True)
class Window:
    """The end of a step: Monday's last delivery, and the time in NPD."""

    step: int
    delivery: int
    at: Any


class Arena:
    def __init__(
        self, processes: Processes, hand: Hand, sandbox: Sandbox, prepared: Prepared, postgres: EmbeddedPostgres | None
    ) -> None:
        self.processes, self.hand, self.sandbox, self.postgres = processes, hand, sandbox, postgres
        self.prepared = prepared
        self.api = requests.Session()
        self.offset = self.begun_at = 0.0
        self.live = self.was_live = False
        self.held: list[Worker] = []
        self.journal = Journal()
        self.windows: list[Window] = []
        self.all_ended = 0

    def prepare(self, live: bool) -> None:
        """Fill the empty database and sandbox; start Celery's worker and beat if `live`."""
        from django.contrib.auth.models import User
        from django.test import Client

        from sync.models import ApiToken

        self.live = self.was_live = live
        self.journal, self.held = Journal(), []
        self.windows, self.all_ended = [], 0
        self.offset = self.begun_at = until_morning()
        self.processes.serve()
        self.rest()
        self.hand.start()
        self.prepared.restore_or_make(self.sandbox, "arena", self._fill)
        self._set_clocks()
        purge_broker()
        restore_schedule()
        if live:
            self.processes.work()
        user = User.objects.get()
        self.api = requests.Session()
        self.api.headers["Authorization"] = f"Token {ApiToken.objects.create(user)[1]}"
        client = Client()
        client.force_login(user)
        self.cookie = client.cookies[settings.SESSION_COOKIE_NAME].value

    def _fill(self) -> None:
        from django.contrib.auth.models import User
        from django.core.management import call_command

        self._set_clocks()
        user = User(username="dora", email="dora@example.com", is_staff=True, is_superuser=True)
        user.set_unusable_password()
        user.save()
        call_command("monday_setup", verbosity=0)
        self.sandbox.add_board(ELSEWHERE)
        self.run("task sync.sweep_boards")  # from here on, sweeps know where to begin

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.cookies.set(settings.SESSION_COOKIE_NAME, self.cookie)
        return session

    def path(self, path: str) -> str:
        return f"{settings.SITE_URL}{path}"

    def between_steps(self, number: int) -> None:
        deliveries = self.webhooks(self.windows[-1].delivery if self.windows else 0)["deliveries"]
        last = int(deliveries[-1]["id"]) if deliveries else (self.windows[-1].delivery if self.windows else 0)
        self.windows.append(Window(number, last, fetch_rows("SELECT sync_now()")[0][0]))

    def close(self) -> None:
        for worker in self.hand.workers.values():
            if worker.ended is None:
                self.hand.kill(worker)
        self.rest()
        reset_clock()
        self.api.close()

    # --- time ---------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> bool:
        """Move both clocks forward; False if a stopped worker has announced a mutation."""
        if self.held and self._announced():
            return False
        if self.live and not self.processes.at_rest:
            self.rest()
        self.offset += seconds
        self._set_clocks()
        if self.live:
            self.processes.work()
        return True

    def now(self) -> float:
        """The script's time in seconds, as in Monday's call log."""
        return time.time() + self.offset

    def passed(self) -> float:
        """Seconds by which the script has moved the clock."""
        return self.offset - self.begun_at

    def _set_clocks(self) -> None:
        move_clock(self.offset)
        self.sandbox.control("clock", offset_seconds=self.offset)

    def _announced(self) -> bool:
        return bool(fetch_rows("SELECT 1 FROM sync_intents WHERE state = 'open' AND deadline > sync_now() LIMIT 1"))

    def rest(self) -> None:
        """Stop Celery's worker and beat once they are idle."""
        if not self.processes.at_rest:
            self.processes.rest()

    # --- work ---------------------------------------------------------------------------------------------

    def work(self) -> Worker:
        """Run a worker until nothing is due; in a live run also wait for Celery's worker."""
        worker = self.hand.run("work")
        self._no_problem(worker, "work")
        if self.live:
            self._wait_until_idle()
        return worker

    def run(self, do: str) -> Worker:
        worker = self.hand.run(do)
        self._no_problem(worker, do)
        return worker

    def _no_problem(self, worker: Worker, do: str) -> None:
        if worker.problem:
            self.journal.wrong.append(f"{do}: {worker.problem}")

    def tasks(self) -> list[str]:
        return [task for task, *_ in settings.SCHEDULE.values() if task not in LEFT_OUT_TASKS]

    def _wait_until_idle(self) -> None:
        """Wait at most two seconds; what is left is worked while the script goes on."""
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline and self.due():
            time.sleep(0.03)

    def due(self) -> bool:
        is_due = "status = 'in_progress' OR (status = 'pending' AND next_retry <= sync_now())"
        return bool(fetch_rows(f"SELECT 1 FROM sync_queue WHERE {is_due} LIMIT 1"))

    def leased(self) -> bool:
        """Whether a worker, perhaps a dead one, holds a board."""
        return bool(fetch_rows("SELECT 1 FROM sync_board_leases WHERE token IS NOT NULL AND expires > sync_now()"))

    def webhooks(self, since: int = 0) -> Mapping[str, Any]:
        """Monday's subscriptions, rules and deliveries."""
        report: Mapping[str, Any] = self.sandbox.control("webhooks", "GET", since=since)
        return report

    def delivered(self) -> None:
        """Wait until Monday has sent every webhook that is due."""
        wait_for("the sandbox has sent its webhooks", self._all_sent, SETTLE_SECONDS)

    def _all_sent(self) -> bool:
        """Remember how far all deliveries have ended, and don't read those again."""
        deliveries = self.webhooks(self.all_ended)["deliveries"]
        for delivery in deliveries:
            if delivery["state"] not in ENDED:
                break
            self.all_ended = int(delivery["id"])
        return all(delivery["state"] not in UNFINISHED for delivery in deliveries)

    # --- servers ------------------------------------------------------------------------------------------

    def restart_postgres(self) -> None:
        """Restart the embedded server; on a real one, end all connections to our database."""
        if self.postgres:
            connections.close_all()
            self.postgres.stop()
            self.postgres.start()
            return
        end_other_sessions()

    def flush_broker(self) -> None:
        url = settings.CELERY_BROKER_URL
        if settings.BROKER_IS_REDIS:
            import redis

            with redis.Redis.from_url(url) as client:
                client.flushdb()
            return
        address = url.removeprefix("sqla+").replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(address, autocommit=True) as broker:
            broker.execute("DELETE FROM kombu_message")

    def kill_celery(self) -> None:
        """Kill Celery's worker with its pool (SIGKILL), and start another."""
        self.processes.end("worker")
        self.processes.work()
