"""What is forgotten: rows that nothing needs any more, after a set time, in batches of their own transactions.

Kept whatever their age: open intents and those of a create that may have to be made anew, deliveries that nobody
has weighed, what a board's sweep has not come to yet, the newest change of every record, and what waits for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from pghistory.core import event_models

from sync import registry, stopping
from sync.graveyard import prunable_tombstones, prune_tombstones
from sync.guard.limits import OPEN
from sync.letting_go import LEFT_OUT
from sync.metrics.hours import KEPT_DAYS

log = structlog.get_logger(__name__)

BATCH = 1_000
"""Rows a transaction: short enough that nobody waits for it."""
SWEEP_SLACK = "1 hour"
"""A sweep reads again what is at most so much older than its cursor, and knows by these rows what isn't new."""

SWEEP_LIMIT = "30 days"
"""For a sweep that doesn't get on, rows are kept no longer than this: Monday's own log isn't either."""

_AGE = "sync_now() - make_interval(days => %(days)s)"
_JOURNAL_AGE = f"""least({_AGE}, (
    SELECT min(greatest(link.swept_to - interval '{SWEEP_SLACK}', sync_now() - interval '{SWEEP_LIMIT}'))
    FROM sync_board_links AS link WHERE link.board_id = old.board_id AND link.swept_to IS NOT NULL))"""  # noqa: S608 - literals of this module
# Literals of this module and names of our own tables only; values travel as parameters.
_COUNT = "SELECT count(*) FROM {table} AS old WHERE {where}"
_DELETE = """
    DELETE FROM {table} WHERE {key} = ANY (ARRAY(
        SELECT old.{key} FROM {table} AS old WHERE {where} ORDER BY old.{key} LIMIT %(batch)s
        FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True)
class Rule:
    """What of one table is forgotten: `where` is SQL about the row `old`, `days` how old it must be."""

    name: str
    table: str
    where: str
    days: int
    key: str = "id"
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pruned:
    """How many rows of one kind were forgotten, or would be."""

    name: str
    rows: int


def prune(*, dry_run: bool = False, progress: Callable[[Pruned], None] | None = None) -> list[Pruned]:
    """Forget what is old enough, or only count it; `progress` is told of each kind when it is done."""
    found = []
    for rule in rules():
        found.append(Pruned(rule.name, count(rule) if dry_run else delete(rule)))
        if progress:
            progress(found[-1])
    stones = prunable_tombstones().count() if dry_run else prune_tombstones()
    found.append(Pruned("tombstones", stones))
    if progress:
        progress(found[-1])
    if not dry_run:
        log.info("pruned", **{one.name.replace(" ", "_"): one.rows for one in found})
    return found


def rules() -> list[Rule]:
    """Return what is forgotten, in an order in which nothing hangs in the air; of 0 days, nothing ever is."""
    return [rule for rule in _rules(settings.HISTORY_DAYS, settings.JOURNAL_DAYS) if rule.days > 0]


def _rules(history: int, journal: int) -> list[Rule]:
    return [
        # Who was left out by the set-up stays known: its sync may be turned on years later (letting_go.py).
        Rule(
            "decisions",
            "sync_decisions",
            f"old.at < {_AGE} AND old.kind <> %(left_out)s",
            history,
            params={"left_out": LEFT_OUT},
        ),
        Rule(
            "deliveries",
            "sync_webhook_events",
            f"old.weighed_at IS NOT NULL AND old.received_at < {_JOURNAL_AGE}",
            journal,
        ),
        Rule("intents", "sync_intents", _intents(), journal),
        Rule(
            "queue rows",
            "sync_queue",
            f"old.status = 'completed' AND coalesce(old.finished_at, old.created_at) < {_AGE}",
            settings.QUEUE_DAYS,
        ),
        Rule("audits", "sync_audits", f"old.at < {_AGE}", history),
        Rule("latencies", "sync_latency_hours", f"old.hour < {_AGE}", KEPT_DAYS),
        Rule(
            "guarded acts",
            "sync_guarded_acts",
            f"old.state <> ALL (%(open)s) AND coalesce(old.decided_at, old.at) < {_AGE}",
            history,
            params={"open": [str(state) for state in OPEN]},
        ),
        *_changes(history),
    ]


def count(rule: Rule) -> int:
    """Return how many rows a rule would forget now."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(table=rule.table, where=rule.where), _params(rule))
        return int(cursor.fetchone()[0])


def delete(rule: Rule) -> int:
    """Forget a rule's rows, each batch in a transaction of its own; rows that somebody holds wait for the next time.

    So does the rest when the worker is told to end.
    """
    sql = _DELETE.format(table=rule.table, where=rule.where, key=rule.key)
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(sql, _params(rule) | {"batch": BATCH})
            deleted = int(cursor.rowcount)
        total += deleted
        if deleted < BATCH or stopping.asked():
            return total


def _params(rule: Rule) -> dict[str, Any]:
    return {"days": rule.days, **rule.params}


def _intents() -> str:
    """Settled ones; but of a record that still has no item, the create whose outcome was once unknown stays.

    By it the record's next create goes alone, under a key of its own.
    """
    waiting = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record "  # noqa: S608 - names of our own tables
        "WHERE record.id = old.entity_id AND record.monday_id IS NULL)"
        for spec in registry.entities()
    )
    return f"""
        old.state <> 'open' AND old.created_at < {_JOURNAL_AGE}
        AND coalesce(old.settled_at, old.created_at) < {_AGE}
        AND NOT EXISTS (SELECT 1 FROM sync_intents AS other
            WHERE other.idempotency_key = old.idempotency_key AND other.state = 'open')
        AND (old.state <> 'void' OR old.item_id <> '' OR old.looks = 0 OR ({waiting or "true"}))
    """  # noqa: S608 - as above


def _changes(days: int) -> Iterator[Rule]:
    """The history of records; of each that is there, its newest old change stays, from which later ones are told."""
    for spec in registry.entities():
        for events in event_models(tracks_model=spec.model):
            table = _table(events)
            where = f"""
                old.pgh_created_at < {_AGE} AND (
                    EXISTS (SELECT 1 FROM {table} AS newer WHERE newer.pgh_obj_id = old.pgh_obj_id
                        AND newer.pgh_id > old.pgh_id AND newer.pgh_created_at < {_AGE})
                    OR NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record WHERE record.id = old.pgh_obj_id))
            """  # noqa: S608 - as above
            yield Rule(f"changes of {spec.model._meta.verbose_name_plural}", table, where, days, key="pgh_id")
    unused = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} AS event WHERE event.pgh_context_id = old.id)"  # noqa: S608
        for table in _all_event_tables()
    )
    where = f"old.created_at < {_AGE} AND {unused or 'true'}"
    yield Rule("contexts of changes", "pghistory_context", where, days)


def _all_event_tables() -> list[str]:
    return [_table(model) for model in event_models()]


def _table(model: Any) -> str:
    return str(connection.ops.quote_name(model._meta.db_table))
