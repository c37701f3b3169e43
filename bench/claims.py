"""Compares the queue's claim and completion, in batches of 100, with hand-written SQL.

    python -m bench.claims [--rows 5000] [--rounds 5]

Each worker process has its own board. The hand-written way is the minimum that is as safe: only psycopg with prepared
statements. It locks and checks the lease, claims due rows with SKIP LOCKED under a token, counts their attempt and
commits; then it completes the rows with the token, again under the lease. Both ways take turns, so that other load on
the machine meets both alike. The ratio is the median of the rounds' ratios.
"""

import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import psycopg

from bench.servers import database_and_sandbox, machine
from bench.table import Row, options_of, publish

BATCH = 100
WORKERS = (1, 2, 4)
GATE = 0.75
BOARDS = [f"bench{number}" for number in range(max(WORKERS))]

_FILL = """
    INSERT INTO sync_queue (entity_type, entity_id, direction)
    SELECT board, gen_random_uuid(), 'to_monday' FROM unnest(%s::text[]) AS board, generate_series(1, %s)
"""
_TAKE_LEASE = """
    UPDATE sync_board_leases SET token = %s, expires = sync_now() + interval '1 hour'
    WHERE link_id = %s AND (token IS NULL OR expires <= sync_now())
"""
_DROP_LEASE = "UPDATE sync_board_leases SET token = NULL, expires = sync_now() WHERE link_id = %s AND token = %s"
_LEASE = "SELECT 1 FROM sync_board_leases WHERE link_id = %s AND token = %s AND expires > sync_now() FOR UPDATE"
_CLAIM = """
    UPDATE sync_queue SET status = 'in_progress', lease_token = %s, last_attempt = sync_now(), attempts = attempts + 1
    WHERE id IN (SELECT id FROM sync_queue
                 WHERE status = 'pending' AND entity_type = %s AND next_retry <= sync_now()
                 ORDER BY priority, next_retry, id LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING *
"""
_FINISH = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now(), lease_token = NULL
    WHERE id = ANY (%s) AND lease_token = %s AND status = 'in_progress'
"""
Way = Callable[[str, int], None]
# In a worker process: the barrier at which this number of workers wait for each other.
_start: dict[int, Any] = {}


def by_hand(board: str, rows: int) -> None:
    """Claim and complete rows with SQL alone."""
    from sync.models.boards_and_account import BoardLink

    link = BoardLink.objects.get(entity_type=board).pk
    token = uuid.uuid4()
    db = _plain_connection()
    assert db.execute(_TAKE_LEASE, [token, link]).rowcount == 1
    while rows > 0:
        with db.transaction():
            assert db.execute(_LEASE, [link, token]).fetchone()
            claimed = db.execute(_CLAIM, [token, board, BATCH]).fetchall()
        with db.transaction():
            assert db.execute(_LEASE, [link, token]).fetchone()
            rows -= db.execute(_FINISH, [[row[0] for row in claimed], token]).rowcount
    db.execute(_DROP_LEASE, [link, token])


_connections: list[psycopg.Connection[Any]] = []


def _plain_connection() -> psycopg.Connection[Any]:
    if not _connections:
        _connections.append(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))
    return _connections[0]


def ours(board: str, rows: int) -> None:
    """Claim and complete rows as a worker does."""
    from sync.models.boards_and_account import BoardLink
    from sync.outbox.claim import acquire, claim
    from sync.outbox.finish import complete

    lease = acquire(BoardLink.objects.get(entity_type=board))
    assert lease is not None
    while rows > 0:
        claimed = claim(lease, BATCH)
        with lease.transaction():
            rows -= complete([row for record in claimed for row in record.rows], lease.token)
    lease.release()


WAYS: dict[str, Way] = {"by hand": by_hand, "ours": ours}


def _set_up(url: str, barriers: dict[int, Any]) -> None:
    import django

    os.environ["DATABASE_URL"] = url
    django.setup()
    _start.update(barriers)


def _work(way: str, board: str, rows: int, workers: int) -> tuple[float, float]:
    """Work in a worker process, together with the others; return the times of begin and end."""
    _start[workers].wait()
    begun = time.monotonic()
    WAYS[way](board, rows)
    return begun, time.monotonic()


@dataclass
class Queue:
    """The database with its queue, and the processes that work it."""

    url: str
    pool: ProcessPoolExecutor

    def run(self, way: str, workers: int, rows: int) -> float:
        """Return the rows a second of all workers together."""
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("TRUNCATE sync_queue")
            db.execute(_FILL, [BOARDS[:workers], rows])
            # Otherwise autovacuum and a checkpoint might slow one way and not the other.
            db.execute("VACUUM ANALYZE sync_queue")
            db.execute("CHECKPOINT")
        runs: list[Future[tuple[float, float]]] = [
            self.pool.submit(_work, way, board, rows, workers) for board in BOARDS[:workers]
        ]
        times = [future.result() for future in runs]
        with psycopg.connect(self.url) as db:
            unfinished = db.execute(
                "SELECT count(*) FROM sync_queue WHERE status <> 'completed' OR attempts <> 1"
            ).fetchone()
        if unfinished != (0,):
            raise SystemExit(f"{way}: rows left or with a wrong count of attempts: {unfinished}")
        return workers * rows / (max(end for _, end in times) - min(begun for begun, _ in times))


@contextmanager
def queue(url: str) -> Iterator[Queue]:
    """Make a board for each worker, and the processes."""
    from django.db import connection

    from sync.models.boards_and_account import BoardLease, BoardLink

    for board in BOARDS:
        BoardLease.objects.create(link=BoardLink.objects.create(entity_type=board, board_id=board, match_key="name"))
    connection.close()
    # Not forked, because a copy of this process would share its connections.
    context = get_context("spawn")
    barriers = {number: context.Barrier(number) for number in WORKERS}
    with ProcessPoolExecutor(max(WORKERS), mp_context=context, initializer=_set_up, initargs=(url, barriers)) as pool:
        yield Queue(url, pool)


def beside_by_hand(jobs: Queue, workers: int, rows: int, rounds: int) -> Row:
    speeds_of: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way, speeds in speeds_of.items():
            speed = jobs.run(way, workers, rows if number else BATCH * 10)
            if number:  # the first round warms up
                speeds.append(speed)
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(speeds_of["ours"], speeds_of["by hand"], strict=True)
    )
    mine = statistics.median(speeds_of["ours"])
    theirs = statistics.median(speeds_of["by hand"])
    return Row(
        f"claim + complete, {workers} worker{'s' if workers > 1 else ''}",
        f"≥ {GATE:.0%} of hand-written SQL",
        f"{ratio:.0%} ({mine:,.0f} of {theirs:,.0f} rows/s)",
        ratio >= GATE,
    )


def main() -> int:
    options = options_of("claims", __doc__, rows=5_000, rounds=5)
    with database_and_sandbox(), queue(os.environ["DATABASE_URL"]) as jobs:
        print(f"Batches of {BATCH}, {options.rounds} rounds of {options.rows:,} rows a worker ({machine()})")
        rows = [beside_by_hand(jobs, workers, options.rows, options.rounds) for workers in WORKERS]
    return publish(rows)


if __name__ == "__main__":
    raise SystemExit(main())
