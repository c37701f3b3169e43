"""Wrong treatment of queue rows."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from sync.kernel.db import fetch_rows, run_sql
from sync.models import SyncQueue
from tests.chaos import acts, drills
from tests.chaos.planted import BUGS, Bug, Wrong, also_at, answer, plant


@plant(
    "stale_finish_accepted",
    "a worker that lost its board may still end its rows",
    drills.drill_frozen_past_its_lease,
    "sync.outbox.claim:Lease.renew",
)
def _renews_what_it_has_lost(right: Wrong, lease: Any, seconds: float = 0) -> None:
    """As if it still had the board."""


also_at("stale_finish_accepted", "sync.outbox.claim:Lease._lock_row")(answer(3600.0))


@also_at("stale_finish_accepted", "sync.outbox.finish:complete")
def _ends_whatever_it_had(right: Wrong, rows: Sequence[Any], token: Any, words: str = "") -> int:
    ids = [row.id for row in rows]
    return SyncQueue.objects.filter(id__in=ids).update(
        status="completed", lease_token=None, error_message=words, reason=""
    )


@plant(
    "attempt_not_counted_at_claim",
    "a record that kills its worker is tried for ever",
    drills.drill_record_that_kills,
    "sync.outbox.claim:_claim_due",
)
def _counts_nothing(right: Wrong, *args: Any) -> list[SyncQueue]:
    rows: list[SyncQueue] = right(*args)
    run_sql(
        "UPDATE sync_queue SET attempts = greatest(attempts - counted::int, 0), counted = false WHERE id = ANY (%s)",
        [[row.id for row in rows]],
    )
    for row in rows:
        row.attempts, row.counted = max(row.attempts - row.counted, 0), False
    return rows


_FUNCTIONS = """
    SELECT pg_get_functiondef(oid) FROM pg_proc
    WHERE proname LIKE 'pgtrigger_sync_outbox%%' AND prosrc LIKE '%%DO UPDATE SET%%'
"""
_originals: list[str] = []


def _do_nothing() -> None:
    _originals[:] = [row[0] for row in fetch_rows(_FUNCTIONS)]
    assert _originals, "The outbox has no upsert any more: the planted bug there plants nothing."
    for text in _originals:
        run_sql(re.sub(r"DO UPDATE SET\s+priority.*?;", "DO NOTHING;", text, flags=re.DOTALL))


def _do_update() -> None:
    for text in _originals:
        run_sql(text)
    _originals.clear()


BUGS["outbox_with_do_nothing"] = Bug(
    "outbox_with_do_nothing",
    "a save beside a waiting row leaves that row to a claim that can't see the save",
    drills.drill_saved_slowly,
    begin=_do_nothing,
    end=_do_update,
)


def _switch_triggers(way: str) -> None:
    for table in ("sync_conflicts", "sync_metadata"):
        for operation in ("insert", "update"):
            run_sql(f"ALTER TABLE {table} {way} TRIGGER sync_attention_{operation}")


BUGS["conflict_not_listed"] = Bug(
    "conflict_not_listed",
    "a conflict is no row of what waits for a person",
    acts.edit_both,
    begin=partial(_switch_triggers, "DISABLE"),
    end=partial(_switch_triggers, "ENABLE"),
)


plant(
    "outage_asked_about_on_and_on",
    "while writes fail, each worker that comes by tries one",
    drills.drill_writes_fail_for_an_hour,
    "sync.limits.breaker:seconds_until_attempt",
)(answer(1.0))
