"""Wrong treatment of queue rows."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from sync.kernel.db import fetch_rows, run_sql
from sync.models import SyncQueue
from tests.chaos import acts, drills
from tests.chaos.planted import Wrong, bug, instead_of

stale_finish = bug(
    "stale_finish_accepted",
    "a worker that lost its board may still end its rows",
    act=drills.drill_frozen_past_its_lease,
)


@instead_of(stale_finish, "sync.outbox.claim:Lease.renew")
def _renews_what_it_has_lost(right: Wrong, lease: Any, seconds: float = 0) -> None:
    """As if it still had the board."""


@instead_of(stale_finish, "sync.outbox.claim:Lease._lock_row")
def _lasts_for_ever(right: Wrong, lease: Any) -> float:
    return 3600.0


@instead_of(stale_finish, "sync.outbox.finish:complete")
def _ends_whatever_it_had(right: Wrong, rows: Sequence[Any], token: Any, words: str = "") -> int:
    ids = [row.id for row in rows]
    return SyncQueue.objects.filter(id__in=ids).update(
        status="completed", lease_token=None, error_message=words, reason=""
    )


attempt_not_counted = bug(
    "attempt_not_counted_at_claim",
    "a record that kills its worker is tried for ever",
    act=drills.drill_record_that_kills,
)


@instead_of(attempt_not_counted, "sync.outbox.claim:_claim_due")
def _counts_nothing(right: Wrong, *args: Any) -> list[SyncQueue]:
    rows: list[SyncQueue] = right(*args)
    run_sql(
        "UPDATE sync_queue SET attempts = greatest(attempts - counted::int, 0), counted = false WHERE id = ANY (%s)",
        [[row.id for row in rows]],
    )
    for row in rows:
        row.attempts, row.counted = max(row.attempts - row.counted, 0), False
    return rows


outbox_does_nothing = bug(
    "outbox_with_do_nothing",
    "a save beside a waiting row leaves that row to a claim that can't see the save",
    act=drills.drill_saved_slowly,
)
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


outbox_does_nothing.begin, outbox_does_nothing.end = _do_nothing, _do_update


not_listed = bug("conflict_not_listed", "a conflict is no row of what waits for a person", act=acts.edit_both)


def _switch_triggers(way: str) -> None:
    for table in ("sync_conflicts", "sync_metadata"):
        for operation in ("insert", "update"):
            run_sql(f"ALTER TABLE {table} {way} TRIGGER sync_attention_{operation}")


not_listed.begin = partial(_switch_triggers, "DISABLE")
not_listed.end = partial(_switch_triggers, "ENABLE")


asked_on_and_on = bug(
    "outage_asked_about_on_and_on",
    "while writes fail, each worker that comes by tries one",
    act=drills.drill_writes_fail_for_an_hour,
)


@instead_of(asked_on_and_on, "sync.limits.breaker:seconds_until_attempt")
def _waits_for_nothing(right: Wrong, *args: Any, **more: Any) -> float:
    return 1.0
