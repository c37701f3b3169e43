"""Plays one seed after another in good order, for `python -m tests.chaos.golden`, and writes what came of each.

Not one of the suite's tests. GOLDEN_FOLDER is where the texts go, GOLDEN_NAMES which scripts are played.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from config.embedded.processes import Child
from tests.chaos import run as running
from tests.chaos.arena import ENDED, SETTLE_SECONDS, Arena
from tests.chaos.conftest import Crew
from tests.chaos.golden import orderly, scripts
from tests.chaos.golden.told import Told
from tests.chaos.script import Script
from tests.chaos.stage import Stage
from tests.chaos.workers import Hand, Worker
from tests.plugin import SERVERS
from tests.support.sandbox import Sandbox
from tests.support.site import Processes, started
from tests.support.waiting import wait_for

ONLY_LIVE = ("kill_celery", "stop_beat", "flush_broker")
"""Steps on Celery's worker, Beat and the broker, which have no part in a run where workers come one by one."""
NUMBERED = """
    SELECT format('%I', owner.relname), sequence.relname FROM pg_class AS sequence
    JOIN pg_depend ON pg_depend.objid = sequence.oid AND pg_depend.deptype IN ('a', 'i')
    JOIN pg_class AS owner ON owner.oid = pg_depend.refobjid WHERE sequence.relkind = 'S'
"""
"""Every table that numbers its rows, and by which sequence."""
NAMES = os.environ.get("GOLDEN_NAMES", "").split()


class OneByOne(Hand):
    """A hand whose workers work while no webhook comes in; where a script starts two at once, one after the other."""

    settle: Callable[[], None]

    def fork(self, do: str, at: int | None = None, end: str = "", only: str = "") -> Worker:
        """Begin a piece of work, and wait until it ended or stopped."""
        return self._behind_the_gate(lambda: super(OneByOne, self).wait(super(OneByOne, self).fork(do, at, end, only)))

    def let_go(self, worker: Worker) -> Worker:
        """A stopped worker goes on, to its end."""
        return self._behind_the_gate(lambda: super(OneByOne, self).let_go(worker))

    def _behind_the_gate(self, work: Callable[[], Worker]) -> Worker:
        self.settle()
        orderly.gate().touch()
        try:
            return work()
        finally:
            orderly.gate().unlink()
            self.settle()


class Orderly(Arena):
    """An arena in which every webhook that may come has come before anything else happens.

    A query without ORDER BY gives rows as they lie on their pages, or as an index has them. Here they lie as they were
    last written: an old snapshot that stays open keeps PostgreSQL from giving the place of dead ones to others. And
    nobody learns how many they are, which would make another plan better at a moment of its own.
    """

    snapshot: psycopg.Connection | None = None

    def prepare(self, live: bool) -> None:
        """As ever, on tables that are as new, and number their rows from 1."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
                cursor.execute(f"VACUUM FULL {table}")
            cursor.execute(NUMBERED)
            for table, sequence in cursor.fetchall():
                cursor.execute(f"SELECT setval('{sequence}', 1, false) WHERE NOT EXISTS (SELECT FROM {table})")
        self._keep_a_snapshot()
        super().prepare(live)

    def restart_postgres(self) -> None:
        """It ends and starts, and again nothing is cleared away."""
        super().restart_postgres()
        self._keep_a_snapshot()

    def close(self) -> None:
        """Time is real again; nobody works."""
        super().close()
        if self.snapshot:
            self.snapshot.close()

    def _keep_a_snapshot(self) -> None:
        if self.snapshot:
            self.snapshot.close()
        told = connection.get_connection_params()
        names = ("host", "port", "dbname", "user", "password")
        self.snapshot = psycopg.connect(**{name: told[name] for name in names if told.get(name)})
        self.snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.snapshot.execute("SELECT 1")

    def delivered(self) -> None:
        """Wait until Monday has sent what it may send now, also what waited for this moment."""
        wait_for("the sandbox has sent its webhooks", self._nothing_due, SETTLE_SECONDS)

    def between_steps(self, number: int) -> None:
        """Note what belongs to this step, its webhooks included."""
        self.delivered()
        super().between_steps(number)

    def _nothing_due(self) -> bool:
        """Of those at the front that have come to an end, none is asked for again."""
        deliveries = self.webhooks(self.all_ended)["deliveries"]
        for one in deliveries:
            if one["state"] not in ENDED:
                break
            self.all_ended = int(one["id"])
        left = [one for one in deliveries if one["state"] not in (*ENDED, "held")]
        if not left:
            return True
        now = orderly.seconds(self.sandbox.control("clock", "GET")["now"])
        return all(one["state"] != "waiting" and (one["next_try"] or 0) > now for one in left)


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[list[Child]]:
    """The sandbox that writes down what it is asked, instead of the usual one."""
    command = [sys.executable, "-m", "tests.chaos.golden.orderly", "--port", str(settings.SANDBOX_PORT)]
    command += ["--token", settings.MONDAY_API_KEY, "--signing-secret", settings.MONDAY_SIGNING_SECRET]
    child = started("sandbox", command, dict(os.environ), f"http://127.0.0.1:{settings.SANDBOX_PORT}/")
    yield [child]
    child.stop(5)


@pytest.fixture(scope="session")
def crew(processes: Processes) -> Iterator[Crew]:
    """Processes that leave nothing to chance, and workers one by one."""
    orderly.leave_nothing_to_chance()
    found = Crew(processes, OneByOne({}), DJANGO_SETTINGS_MODULE="tests.chaos.golden.settings")
    yield found
    found.hand.stop()


@pytest.fixture
def arena(transactional_db: None, crew: Crew, sandbox: Sandbox, pytestconfig: pytest.Config) -> Iterator[Arena]:
    """Empty, and not prepared yet."""
    found = Orderly(crew.processes, crew.hand, sandbox, pytestconfig.stash[SERVERS].postgres, _make_anew)
    crew.hand.settle = found.delivered  # type: ignore[attr-defined]
    with crew.at_work():
        yield found
        sandbox.reset()
        found.close()


def _make_anew(name: str, make: Callable[[], None]) -> None:
    """Nothing is put back: the calls of the set-up are recorded, too."""
    make()


@pytest.mark.parametrize("name", NAMES)
def test_play(arena: Orderly, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripts()[name]
    steps = tuple(step for step in script.steps if step.do not in ONLY_LIVE)
    orderly.calls_file().write_text("")
    told = Told(arena)
    for do, function in running.STEPS.items():
        monkeypatch.setitem(running.STEPS, do, _in_order(function, do, told))
    arena.prepare(live=False)
    told.write(name, running.run(Script(script.seed, False, steps), arena))


def _in_order(function: Callable[..., str | None], do: str, told: Told) -> Callable[..., str | None]:
    @wraps(function)
    def in_order(stage: Stage, **args: Any) -> str | None:
        stage.arena.delivered()
        told.begins(do, args)
        return function(stage, **args)

    return in_order
