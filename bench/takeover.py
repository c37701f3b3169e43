"""Measures how soon a board continues after its worker is killed (SIGKILL) in the middle of a call.

    python -m bench.takeover [--kills 20]

There are two workers with two processes each, and beat. Nobody saves anything meanwhile, so beat has to notice the
kill. The board's worker is killed in turn while it reads and while it writes, and then replaced. It has claimed five
records; five more wait. The times run from the kill until another worker has the board's lease, and until the records
are in sync: all ten after a read, the five that waited after a write, whose outcome is unknown until its deadline.

Gate: in the end every change has arrived once. Seconds are goals.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.calls import prepare
from bench.latency import percentile
from bench.servers import ROOT, machine
from bench.site import Site, running_site
from bench.table import Row, options_of, publish
from tests.support.child import Child, command_of

GOAL_SECONDS = 3.5
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 240.0
CLAIMED = 5
RECORDS_PER_KILL = 10  # those that aren't claimed wait
READ_MS = 4_000
MUTATION_MS = 1_500
Answer = TypeVar("Answer")


def wait_until(event: str, condition: Callable[[], Answer]) -> Answer:
    """Return the first truthy answer; exit if there is none in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{event}: not within {PATIENCE_SECONDS:.0f} s.")
        time.sleep(LOOK_SECONDS)
    return answer


def start_worker(site: Site, name: str) -> None:
    """Start a worker, and wait until it takes messages."""
    # `lease_holder` finds the worker by this name in pg_stat_activity.
    env = {**os.environ, "PGAPPNAME": name}
    child = Child(name, command_of("worker"), env, ROOT, site.sandbox.folder / f"{name}.log")
    child.start()
    site.children[name] = child
    wait_until(f"{name} is ready", lambda: " ready." in "\n".join(child.last_lines(50)))


def lease_holder() -> tuple[str, str] | None:
    """Return the token and the worker's name of the contacts' board's lease; None if nobody has it."""
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


def is_in_call(writes: bool, names: Sequence[str]) -> bool:
    """Whether a worker has claimed all these contacts and is writing them, or reading them."""
    from npd.models import Contact
    from sync.models import Intent, SyncQueue

    ids = list(Contact.objects.filter(name__in=names).values_list("pk", flat=True))
    jobs = SyncQueue.objects.filter(entity_id__in=ids, direction="to_monday", status="in_progress").count()
    intents = Intent.objects.filter(entity_id__in=ids, state="open").count()
    return (jobs, intents) == (len(ids), len(ids) if writes else 0)


def change(names: Sequence[str]) -> None:
    """Change contacts by a bulk write, which wakes no worker."""
    from npd.models import Contact

    Contact.objects.filter(name__in=names).update(role_title="Changed")


def are_synced(names: Sequence[str]) -> bool:
    from npd.models import Contact

    return not Contact.objects.filter(name__in=names).exclude(sync_status="synced").exists()


def is_queue_empty() -> bool:
    from sync.models import SyncQueue

    return not SyncQueue.objects.exclude(status="completed").exists()


def kill(site: Site, writes: bool, names: Sequence[str]) -> tuple[float, float]:
    """Kill a worker during a call; return the seconds until the board is taken over, and until the rest is in sync."""
    from sync.models import BoardLease
    from sync.outbox import wakeups

    wait_until("the board is free", lambda: lease_holder() is None)
    site.sandbox.control("latency", call_ms=0 if writes else READ_MS, mutation_ms=MUTATION_MS if writes else 0)
    change(names[:CLAIMED])
    wakeups.wake_board("contact")
    wait_until("the call has begun", lambda: is_in_call(writes, names[:CLAIMED]))
    change(names[CLAIMED:])
    lease = lease_holder()
    if lease is None:
        raise SystemExit("The worker ended its call before it could be killed.")
    token, name = lease
    os.killpg(site.children[name].pid, signal.SIGKILL)
    begun = time.monotonic()
    site.sandbox.control("latency", call_ms=0, mutation_ms=0)
    wait_until("another worker takes the board", lambda: not BoardLease.objects.filter(token=token).exists())
    takeover_seconds = time.monotonic() - begun
    wait_until("the other records are in sync", lambda: are_synced(names[CLAIMED:] if writes else names))
    sync_seconds = time.monotonic() - begun
    site.children.pop(name).stop(1)
    start_worker(site, name)
    return takeover_seconds, sync_seconds


def arrived(site: Site) -> int:
    """Return the number of changes on the board, each on its own item."""
    boards = site.sandbox.control("boards")
    titles = {item["name"]: item["values"]["role_title"] for board in boards for item in board["items"]}
    return list(titles.values()).count("Changed")


def measure(kills: int) -> list[Row]:
    names = [f"Person {number}" for number in range(kills * RECORDS_PER_KILL)]
    with running_site() as site:
        site.start("web")
        prepare(len(names))
        site.start("beat")
        for worker in ("worker-1", "worker-2"):
            start_worker(site, worker)
        wait_until("the set-up's jobs have ended", is_queue_empty)
        groups = [names[start : start + RECORDS_PER_KILL] for start in range(0, len(names), RECORDS_PER_KILL)]
        times = [kill(site, bool(number % 2), group) for number, group in enumerate(groups)]
        wait_until("the killed writes are settled", lambda: are_synced(names))
        changes = arrived(site)
    return [
        _seconds(f"{kills} killed workers: the board has another", [takeover for takeover, _ in times]),
        _seconds("… all but what it wrote in sync", [sync for _, sync in times]),
        Row("… changes that arrived", f"{len(names):,}", f"{changes:,}", changes == len(names)),
    ]


def _seconds(figure: str, seconds: Sequence[float]) -> Row:
    longest = max(seconds)
    words = f"p50 {percentile(sorted(seconds), 0.5):.1f} s, longest {longest:.1f} s"
    return Row(figure, f"≤ {GOAL_SECONDS:g} s", words, longest <= GOAL_SECONDS, gate=False)


def main() -> int:
    kills = options_of("takeover", __doc__, kills=20).kills
    print(f"{kills} kills ({machine()})", flush=True)
    return publish(measure(kills))


if __name__ == "__main__":
    raise SystemExit(main())
