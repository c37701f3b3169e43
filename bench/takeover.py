"""How soon a board goes on when the worker that works on it is killed (SIGKILL) in the middle of a call.

    python -m bench.takeover [--kills 20]

Two workers with two processes each, and beat, as in production; nobody saves anything meanwhile, so that it is beat
who notices. In turn the board's worker is killed while it reads and while it writes; a new one takes its place after
that. Five records are in its hands, five more wait. The times run from the kill until another worker holds the
board, and until the last record is in sync that may flow: all ten after a read, and the five that wait after a write,
whose outcome nobody knows before its deadline.

Gate: in the end every change has arrived, once. Seconds are goals.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.calls import prepare
from bench.ground import ROOT, machine
from bench.latency import percentile
from bench.site import Site, site
from bench.table import Row, publish
from tests.support.child import Child, command_of

GOAL_SECONDS = 3.5
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 240.0
IN_HAND = 5
EACH = 10  # records of a kill; those that are not in hand wait
READ_MS = 4_000
MUTATION_MS = 1_500
Answer = TypeVar("Answer")


def wait_until(event: str, condition: Callable[[], Answer]) -> Answer:
    """The first truthy answer; ends the bench where there is none."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{event}: not within {PATIENCE_SECONDS:.0f} s.")
        time.sleep(LOOK_SECONDS)
    return answer


def hire(here: Site, name: str) -> None:
    """Start a worker, and wait until it takes messages."""
    # By its name in pg_stat_activity `holder` tells which worker has the board.
    env = {**os.environ, "PGAPPNAME": name}
    child = Child(name, command_of("worker"), env, ROOT, here.place.folder / f"{name}.log")
    child.start()
    here.children[name] = child
    wait_until(f"{name} is ready", lambda: " ready." in "\n".join(child.last_lines(50)))


def holder() -> tuple[str, str] | None:
    """Who holds the contacts' board: the token and the worker's name; None where nobody does."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lease.token::text, session.application_name FROM sync_board_leases AS lease"
            " JOIN sync_board_links AS link ON link.id = lease.link_id AND link.entity_type = 'contact'"
            " LEFT JOIN pg_stat_activity AS session ON session.pid = lease.session_pid"
            " WHERE lease.token IS NOT NULL AND lease.expires > sync_now()"
        )
        row: tuple[str, str] | None = cursor.fetchone()
    return row


def in_the_call(writes: bool, names: Sequence[str]) -> bool:
    """Whether all these contacts are in a worker's hands, and it has announced what it writes, or reads."""
    from npd.models import Contact
    from sync.models import Intent, SyncQueue

    ids = list(Contact.objects.filter(name__in=names).values_list("pk", flat=True))
    claimed = SyncQueue.objects.filter(entity_id__in=ids, direction="to_monday", status="in_progress").count()
    announced = Intent.objects.filter(entity_id__in=ids, state="open").count()
    return (claimed, announced) == (len(ids), len(ids) if writes else 0)


def change(names: Sequence[str]) -> None:
    """As a bulk write does it: nobody is woken."""
    from npd.models import Contact

    Contact.objects.filter(name__in=names).update(role_title="Changed")


def in_sync(names: Sequence[str]) -> bool:
    from npd.models import Contact

    return not Contact.objects.filter(name__in=names).exclude(sync_status="synced").exists()


def at_rest() -> bool:
    from sync.models import SyncQueue

    return not SyncQueue.objects.exclude(status="completed").exists()


def kill(here: Site, writes: bool, names: Sequence[str]) -> tuple[float, float]:
    """Kill a worker in the middle of a call; the seconds until the board is taken over, and until the rest is done."""
    from sync.models import BoardLease
    from sync.outbox import notify

    wait_until("the board is free", lambda: holder() is None)
    here.place.control("latency", call_ms=0 if writes else READ_MS, mutation_ms=MUTATION_MS if writes else 0)
    change(names[:IN_HAND])
    notify.notify_board("contact")
    wait_until("the call is in the air", lambda: in_the_call(writes, names[:IN_HAND]))
    change(names[IN_HAND:])
    held = holder()
    if held is None:
        raise SystemExit("The worker ended its call before it could be killed.")
    token, name = held
    os.killpg(here.children[name].pid, signal.SIGKILL)
    begun = time.monotonic()
    here.place.control("latency", call_ms=0, mutation_ms=0)
    wait_until("another worker takes the board", lambda: not BoardLease.objects.filter(token=token).exists())
    taken = time.monotonic() - begun
    wait_until("what may flow is in sync", lambda: in_sync(names[IN_HAND:] if writes else names))
    flowed = time.monotonic() - begun
    here.children.pop(name).stop(1)
    hire(here, name)
    return taken, flowed


def arrived(here: Site) -> int:
    """How many changes stand on the board, each on an item of its own."""
    boards = here.place.control("boards")
    titles = {item["name"]: item["values"]["role_title"] for board in boards for item in board["items"]}
    return list(titles.values()).count("Changed")


def measure(kills: int) -> list[Row]:
    """All kills, then until what was in the air is settled."""
    names = [f"Person {number}" for number in range(kills * EACH)]
    with site() as here:
        here.start("web")
        prepare(len(names))
        here.start("beat")
        for worker in ("worker-1", "worker-2"):
            hire(here, worker)
        wait_until("what the set-up woke has ended", at_rest)
        times = [kill(here, bool(number % 2), names[number * EACH : (number + 1) * EACH]) for number in range(kills)]
        wait_until("what was in the air is settled", lambda: in_sync(names))
        changes = arrived(here)
    return [
        _seconds(f"{kills} killed workers: the board has another", [taken for taken, _ in times]),
        _seconds("… all but what it wrote in sync", [flowed for _, flowed in times]),
        Row("… changes that arrived", f"{len(names):,}", f"{changes:,}", changes == len(names)),
    ]


def _seconds(figure: str, seconds: Sequence[float]) -> Row:
    longest = max(seconds)
    words = f"p50 {percentile(sorted(seconds), 0.5):.1f} s, longest {longest:.1f} s"
    return Row(figure, f"≤ {GOAL_SECONDS:g} s", words, longest <= GOAL_SECONDS, gate=False)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    print(f"{kills} kills ({machine()})", flush=True)
    return publish(measure(kills))


if __name__ == "__main__":
    raise SystemExit(main())
