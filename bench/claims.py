"""Compares the queue's claim and completion, in batches of 100, with hand-written SQL.

    python -m bench.claims [--rows 5000] [--rounds 5]

The hand-written way is the minimum that is as safe: only psycopg with prepared statements. It locks and checks the
lease, claims due rows with SKIP LOCKED under a token, counts their attempt and commits; then it completes the rows with
the token, again under the lease. Both ways take turns, so that other load on the machine meets both alike. The ratio is
the median of the rounds' ratios.
"""

import os
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from bench.servers import database_and_sandbox, machine
from bench.table import Row, options_of, publish

BATCH = 100
GATE = 0.75
BOARD = "bench"

_FILL = """
    INSERT INTO sync_queue (entity_type, entity_id, direction)
    SELECT %s, gen_random_uuid(), 'to_monday' FROM generate_series(1, %s)
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
Database = psycopg.Connection[Any]


def by_hand(db: Database, link: Any, rows: int) -> None:
    """Claim and complete rows with SQL alone."""
    token = uuid.uuid4()
    assert db.execute(_TAKE_LEASE, [token, link.pk]).rowcount == 1
    while rows > 0:
        with db.transaction():
            assert db.execute(_LEASE, [link.pk, token]).fetchone()
            claimed = db.execute(_CLAIM, [token, BOARD, BATCH]).fetchall()
        with db.transaction():
            assert db.execute(_LEASE, [link.pk, token]).fetchone()
            rows -= db.execute(_FINISH, [[row[0] for row in claimed], token]).rowcount
    db.execute(_DROP_LEASE, [link.pk, token])


def ours(db: Database, link: Any, rows: int) -> None:
    """Claim and complete rows as a worker does."""
    from sync.outbox.claim import acquire, claim
    from sync.outbox.finish import complete

    lease = acquire(link)
    assert lease is not None
    while rows > 0:
        claimed = claim(lease, BATCH)
        with lease.transaction():
            rows -= complete([row for record in claimed for row in record.jobs], lease.token)
    lease.release()


def speed(way: Callable[[Database, Any, int], None], db: Database, link: Any, rows: int) -> float:
    """Return the rows a second."""
    db.execute("TRUNCATE sync_queue")
    db.execute(_FILL, [BOARD, rows])
    # Otherwise autovacuum and a checkpoint might slow one way and not the other.
    db.execute("VACUUM ANALYZE sync_queue")
    db.execute("CHECKPOINT")
    begun = time.monotonic()
    way(db, link, rows)
    seconds = time.monotonic() - begun
    unfinished = db.execute("SELECT count(*) FROM sync_queue WHERE status <> 'completed' OR attempts <> 1").fetchone()
    if unfinished != (0,):
        raise SystemExit(f"{way.__name__}: rows left or with a wrong count of attempts: {unfinished}")
    return rows / seconds


def main() -> int:
    options = options_of("claims", __doc__, rows=5_000, rounds=5)
    with database_and_sandbox(), psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as db:
        from sync.models.boards_and_account import BoardLease, BoardLink

        print(f"Batches of {BATCH}, {options.rounds} rounds of {options.rows:,} rows ({machine()})")
        link = BoardLink.objects.create(entity_type=BOARD, board_id="1", match_key="name")
        BoardLease.objects.create(link=link)
        pairs = []
        for number in range(options.rounds + 1):
            rows = options.rows if number else BATCH * 10  # the first round warms up
            pairs.append((speed(ours, db, link, rows), speed(by_hand, db, link, rows)))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs[1:])
    mine, theirs = (statistics.median(speeds) for speeds in zip(*pairs[1:], strict=True))
    measured = f"{ratio:.0%} ({mine:,.0f} of {theirs:,.0f} rows/s)"
    return publish([Row("claim + complete", f"≥ {GATE:.0%} of hand-written SQL", measured, ratio >= GATE)])


if __name__ == "__main__":
    raise SystemExit(main())
