"""How soon a board goes on when what worked on it is killed: 20 kills (SIGKILL) in the middle of a call.

    python -m bench.takeover [--kills 20] [--broker embedded|redis]

Two workers with two processes each, and beat, as in production; nobody saves anything meanwhile, so that it is beat
who notices. In turn the board's worker is killed while it reads and while it writes, and in turn the whole worker is
or the processes of its pool only; a new one takes its place after that. Five records are in its hands, five more
wait. The times run from the kill until another worker holds the board, and until the last record is in sync that may
flow: all ten after a read, and the five that wait after a write, whose outcome nobody knows before its deadline.

Gates: every board is taken over before its lease ends, and in the end every change has arrived, once. Seconds are
goals.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import psutil

from bench.ground import ROOT, machine
from bench.latency import BROKERS, percentile
from bench.site import Site, has_redis, site
from bench.table import Row, publish, warn
from config.embedded.processes import Child
from config.embedded.supervisor import worker_command

GOAL_SECONDS = 5.0
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
READY_SECONDS = 180.0
IN_HAND, WAITING = 5, 5
READ_MS, MUTATION_MS = 4_000, 1_500
NAMES = ("worker-1", "worker-2")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Kill:
    """One kill: in the middle of what, of how much, and what came of it."""

    writes: bool
    whole: bool
    taken: float
    flowed: float
    in_time: bool

    @property
    def words(self) -> str:
        """A line for who watches."""
        what = "the worker" if self.whole else "its pool"
        return (
            f"{what} killed while it {'writes' if self.writes else 'reads'}: "
            f"taken over after {self.taken:.2f} s, the rest in sync after {self.flowed:.2f} s"
        )


def wait_until(what: str, condition: Callable[[], Found], seconds: float = PATIENCE_SECONDS) -> Found:
    """The first truthy answer; ends the bench where there is none."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:.0f} s.")
        time.sleep(LOOK_SECONDS)
    return answer


def hire(here: Site, name: str) -> None:
    """Start a worker, and wait until it takes messages."""
    # By its name in pg_stat_activity `holder` tells which worker has the board.
    env = {**os.environ, "PGAPPNAME": name, "LOG_LEVEL": "INFO"}  # by whose log it is seen to be ready
    child = Child(name, worker_command(), env, ROOT, here.place.folder / f"{name}.log")
    child.start()
    here.children[name] = child
    wait_until(f"{name} is ready", lambda: " ready." in "\n".join(child.last_lines(50)), READY_SECONDS)


def holder() -> tuple[str, datetime, str] | None:
    """Who holds the contacts' board: the token, until when, and the worker's name; None where nobody does."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lease.token::text, lease.expires, session.application_name FROM sync_board_leases AS lease"
            " JOIN sync_board_links AS link ON link.id = lease.link_id AND link.entity_type = 'contact'"
            " LEFT JOIN pg_stat_activity AS session ON session.pid = lease.session_pid"
            " WHERE lease.token IS NOT NULL AND lease.expires > sync_now()"
        )
        found = cursor.fetchone()
    return None if found is None else (found[0], found[1], found[2] or "")


def in_the_call(writes: bool, names: Sequence[str]) -> bool:
    """Whether all these contacts are in a worker's hands, and it has announced what it writes, or reads."""
    from npd.models import Contact
    from sync.models.jobs import SyncQueue
    from sync.models.state import Intent

    ids = list(Contact.objects.filter(name__in=names).values_list("pk", flat=True))
    claimed = SyncQueue.objects.filter(entity_id__in=ids, direction="to_monday", status="in_progress").count()
    announced = Intent.objects.filter(entity_id__in=ids, state="open").count()
    return (claimed, announced) == (len(ids), len(ids) if writes else 0)


def change(names: Sequence[str], title: str) -> None:
    """As a bulk write does it: nobody is woken."""
    from npd.models import Contact

    Contact.objects.filter(name__in=names).update(role_title=title)


def kill(here: Site, writes: bool, whole: bool, names: Sequence[str]) -> Kill:
    """Have a worker begin, kill it in the middle, and watch."""
    from sync.outbox import notify

    hands, waiting = names[:IN_HAND], names[IN_HAND:]
    wait_until("the board is free", lambda: holder() is None)
    here.place.control("latency", call_ms=0 if writes else READ_MS, mutation_ms=MUTATION_MS if writes else 0)
    change(hands, "Changed")
    notify.notify_now("contact")
    wait_until("the call is in the air", lambda: in_the_call(writes, hands))
    change(waiting, "Changed")
    held = holder()
    if held is None:
        raise SystemExit("The worker ended its call before it could be killed.")
    token, until, name = held
    _shoot(here.children[name], whole)
    begun = time.monotonic()
    here.place.control("latency", call_ms=0, mutation_ms=0)
    in_time = wait_until("another worker takes the board", lambda: _taken(token, until))
    taken = time.monotonic() - begun
    flowing = waiting if writes else names
    wait_until("what may flow is in sync", lambda: _in_sync(flowing))
    found = Kill(writes, whole, taken, time.monotonic() - begun, in_time == "in time")
    here.children.pop(name).stop(1)
    hire(here, name)
    return found


def _shoot(worker: Child, whole: bool) -> None:
    if whole:
        os.killpg(worker.pid, signal.SIGKILL)
        return
    for process in psutil.Process(worker.pid).children(recursive=True):
        process.kill()


def _taken(token: str, until: datetime) -> str:
    """Whether it is another's, and whether that was before the lease's end."""
    from sync.clock import sync_now
    from sync.models.board_link import BoardLease

    if BoardLease.objects.filter(token=token).exists():
        return ""
    return "in time" if sync_now() < until else "late"


def _in_sync(names: Sequence[str]) -> bool:
    from npd.models import Contact

    return not Contact.objects.filter(name__in=names).exclude(sync_status="synced").exists()


def _at_rest() -> bool:
    from sync.models.jobs import SyncQueue

    return not SyncQueue.objects.exclude(status="completed").exists()


def arrived(here: Site) -> int:
    """How many changes stand on the board, each on an item of its own."""
    titles = {
        item["name"]: item["values"]["role_title"] for board in here.place.control("boards") for item in board["items"]
    }
    return list(titles.values()).count("Changed")


def measure(broker: str, kills: int) -> list[Row]:
    """All kills, then until what was in the air is settled."""
    from bench.calls import prepare

    each = IN_HAND + WAITING
    with site(BROKERS[broker]) as here:
        here.start("web")
        prepare(kills * each)
        here.start("beat")
        for name in NAMES:
            hire(here, name)
        wait_until("what the set-up woke has ended", _at_rest)
        found = []
        for number in range(kills):
            names = [f"Person {one}" for one in range(number * each, (number + 1) * each)]
            found.append(kill(here, bool(number % 2), bool(number // 2 % 2), names))
            print(f"{number + 1:3}  {found[-1].words}", flush=True)
        everybody = [f"Person {one}" for one in range(kills * each)]
        wait_until("what was in the air is settled", lambda: _in_sync(everybody), 2 * PATIENCE_SECONDS)
        return [
            *_rows(found),
            Row("… changes that arrived", f"{kills * each:,}", f"{arrived(here):,}", arrived(here) == kills * each),
        ]


def _rows(found: Sequence[Kill]) -> list[Row]:
    in_time = sum(one.in_time for one in found)
    reads, writes = ([one for one in found if one.writes is which] for which in (False, True))
    return [
        Row(
            f"{len(found)} kills: taken over before the lease ended",
            f"{len(found)}",
            f"{in_time}",
            in_time == len(found),
        ),
        _seconds("… another worker holds the board", [one.taken for one in found]),
        _seconds(
            "… killed while it read: all its records, and those that wait, in sync", [one.flowed for one in reads]
        ),
        _seconds("… killed while it wrote: all but what it wrote in sync", [one.flowed for one in writes]),
    ]


def _seconds(figure: str, found: Sequence[float]) -> Row:
    ordered = sorted(found)
    worst = max(ordered, default=math.inf)
    words = f"p50 {percentile(ordered, 0.5):.1f} s, longest {worst:.1f} s"
    return Row(figure, f"≤ {GOAL_SECONDS:g} s", words, worst <= GOAL_SECONDS, gate=False)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--broker", choices=BROKERS, default="embedded")
    asked = parser.parse_args()
    if asked.broker == "redis" and not has_redis():
        warn("No Redis answers; set BENCH_REDIS_URL. The embedded broker is measured instead.")
        asked.broker = "embedded"
    print(f"{asked.kills} kills ({machine()})", flush=True)
    return publish(measure(asked.broker, asked.kills))


if __name__ == "__main__":
    raise SystemExit(main())
