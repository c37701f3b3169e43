"""The ledger's service, reports and endpoints over 200,000 sync states: time, statements, queries.

    python -m bench.ledger [--records 100000]

The service makes, begins and ends half of them as one batch; the others are own records, 5,000 with a job. Then page,
command and API are opened once to warm up and three times, of which the quickest counts. Statements and queries are
gates; milliseconds are goals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from bench.ground import ground, machine
from bench.lists import client, opened
from bench.table import Row, publish, warn

GOAL_MS = 1_000
MOST_QUERIES = 15
MOST_QUERIES_OF_STATS = 30  # it answers for the queue, the quota and every board, too
ERROR = "Jira answers 500 to issue {}."
ADDRESSES = {
    "GET sync/stats": "/api/v1/sync/stats",
    "GET sync/states/": "/api/v1/sync/states/?page_size=500",
    "GET sync/states/, own, pending": "/api/v1/sync/states/?system=monday&sync_status=pending&page_size=500",
    "GET sync/states/, narrowed": "/api/v1/sync/states/?sync_status=failed&stale_hours=1&page_size=500",
}


def measured(name: str, most: int, work: Callable[[], Any], *, goal: bool = True) -> Row:
    """How long it takes, and in how many statements."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    begun = time.perf_counter()
    with CaptureQueriesContext(connection) as asked:
        work()
    milliseconds = 1_000 * (time.perf_counter() - begun)
    return row(name, milliseconds, len(asked), most, goal=goal)


def row(name: str, milliseconds: float, queries: int, most: int, *, goal: bool = True) -> Row:
    """Queries are the gate; the milliseconds are shown beside them."""
    target = f"≤ {most} queries" + (f", ≤ {GOAL_MS:,} ms" if goal else "")
    if goal and milliseconds > GOAL_MS:
        warn(f"{name}: {milliseconds:,.0f} ms, over the goal of {GOAL_MS:,}")
    return Row(name, target, f"{queries} queries, {milliseconds:,.0f} ms", queries <= most)


def main() -> int:
    """Fill by the service, open, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    number = parser.parse_args().records
    found: list[Row] = []
    with ground(fast=True, ALLOWED_HOSTS="testserver", SITE_URL="http://testserver", DEBUG="false"):
        from datetime import timedelta

        from django.db import connection

        from sync.ledger import SyncStateService

        warn(f"on {machine()}")
        service, ids = SyncStateService(), [str(one) for one in range(number)]
        what = f"{number:,} states"
        found.append(
            measured(
                f"create_sync_states: {what}",
                1,
                lambda: service.create_sync_states("issue", {one: f"J{one}" for one in ids}),
                goal=False,
            )
        )
        batch = service.begin_batch("issue", ids[:1])
        service.finish_batch(batch)
        begun: list[Any] = []
        found.append(
            measured(f"begin_batch: {what}", 1, lambda: begun.append(service.begin_batch("issue")), goal=False)
        )
        ends = {one: f"hash {one}" for one in ids[number // 50 :]}
        failed = {one: ERROR.format(one) for one in ids[: number // 50]}
        found.append(
            measured(
                f"finish_batch: {what}",
                1,
                lambda: service.finish_batch(begun[0], completed=ends, failed=failed, api_calls=number // 100),
                goal=False,
            )
        )
        with connection.cursor() as cursor:
            # This application's own records, and jobs of some: what the queue says of them is joined.
            cursor.execute(
                "INSERT INTO sync_metadata"
                " (entity_type, entity_id, sync_status, last_sync_attempt, last_successful_sync)"
                " SELECT 'contact', md5(n::text)::uuid::text, 'completed', sync_now(), sync_now()"
                " FROM generate_series(1, %s) n",
                [number],
            )
            cursor.execute(
                "INSERT INTO sync_queue (entity_type, entity_id)"
                " SELECT 'contact', md5(n::text)::uuid FROM generate_series(1, %s) n",
                [number // 20],
            )
            # As the engine's rows are: wide by their bases.
            cursor.execute(
                "UPDATE sync_metadata SET base = (SELECT jsonb_object_agg('field' || n, jsonb_build_object('local',"
                " md5(id::text || n), 'remote', md5(id::text), 'item', id::text, 'version', 1))"
                " FROM generate_series(1, 8) n WHERE sync_metadata.id > 0)"
            )
            # The update has left a dead version of every row behind, which no table in use would have.
            cursor.execute("VACUUM FULL ANALYZE sync_metadata")
            cursor.execute("ANALYZE sync_queue")
        for name, most, work in (
            ("needing_sync: all", 1, lambda: service.needing_sync("issue", ends)),
            ("stale: the first 500", 1, lambda: list(service.stale(timedelta(days=1))[:500])),
        ):
            work()
            found.append(measured(f"{name} of {what}", most, work))
        browser = client()
        for name, address in ADDRESSES.items():
            page = opened(browser, address)
            most = MOST_QUERIES_OF_STATS if address.endswith("stats") else MOST_QUERIES
            found.append(row(f"{name} of {what}", page.milliseconds, page.queries, most))
    return publish(found)


if __name__ == "__main__":
    raise SystemExit(main())
