"""Which rows are kept for how long, and how old ones are deleted in small batches."""

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, models
from django.dispatch import Signal
from pghistory.core import event_models

from sync import registry
from sync.kernel import process
from sync.kernel.db import run_sql
from sync.kernel.secret_texts import reencrypt
from sync.models import NotificationReceiver, StoredSecret
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.records.tombstones import prune_tombstones

log = structlog.get_logger(__name__)

# Sent in each run: who keeps secrets and old rows elsewhere does the same with them.
pruning = Signal()

_ENCRYPTED: tuple[tuple[type[models.Model], str], ...] = ((StoredSecret, "sealed"), (NotificationReceiver, "address"))

# Rows per transaction: few enough that nobody waits long for its locks.
BATCH_SIZE = 1_000

# A sweep reads this much before its cursor again, and knows by these rows what isn't new.
SWEEP_OVERLAP = "1 hour"

# A token that has expired or was revoked is listed this much longer, and its refusal says so.
ENDED_TOKEN_DAYS = 90

# Where a sweep makes no progress, rows are kept no longer than this: Monday's own log isn't either.
SWEEP_MAX_AGE = "30 days"

_AGE = "sync_now() - make_interval(days => %(days)s)"

_JOURNAL_AGE = f"""least({_AGE}, (
    SELECT min(greatest(link.swept_to - interval '{SWEEP_OVERLAP}', sync_now() - interval '{SWEEP_MAX_AGE}'))
    FROM sync_board_links AS link WHERE link.board_id = old.board_id AND link.swept_to IS NOT NULL))"""  # noqa: S608 - literals of this module

# Literals of this module and names of our own tables only; values travel as parameters.
_DELETE = """
    DELETE FROM {table} WHERE {key} = ANY (ARRAY(
        SELECT old.{key} FROM {table} AS old WHERE {where} ORDER BY old.{key} LIMIT %(batch)s
        FOR UPDATE SKIP LOCKED))
"""

# What of one table is deleted: a name, the table, its key, the days for which a row is kept, and SQL about `old`.
Rule = tuple[str, str, str, int, str]


def prune() -> dict[str, int]:
    """Delete what is old enough; return how many rows of each kind."""
    counts: dict[str, int] = {}
    encrypt_anew()
    pruning.send(None)
    for name, table, key, days, where in _rules():
        if days <= 0:
            continue  # they are kept for ever
        sql = _DELETE.format(table=table, key=key, where=where)
        params = {"days": days, "batch": BATCH_SIZE, "open": [str(state) for state in OPEN_REQUEST_STATES]}
        counts[name] = _delete_rows(sql, params)
    counts["deleted records"] = prune_tombstones()
    log.info("pruned", **{name.lower().replace(" ", "_"): rows for name, rows in counts.items()})
    return counts


def _delete_rows(sql: str, params: Mapping[str, Any]) -> int:
    """Delete in batches, each a transaction of its own; locked rows, and the rest on shutdown, are for the next run."""
    total = 0
    while True:
        deleted = run_sql(sql, params)
        total += deleted
        if deleted < BATCH_SIZE or process.is_shutting_down():
            return total


def encrypt_anew() -> int:
    """Encrypt with the key of now what an older key made; return how many, so that the older one can go."""
    changed = 0
    for model, column in _ENCRYPTED:
        rows = model._default_manager
        for key, stored in rows.exclude(**{column: ""}).values_list("pk", column):
            if sealed := reencrypt(stored):
                # Where somebody entered another one meanwhile, theirs stands.
                changed += rows.filter(pk=key, **{column: stored}).update(**{column: sealed})
    return changed


def _rules() -> Iterator[Rule]:
    """Yield the rules, in an order that leaves no row without what it refers to."""
    history = settings.HISTORY_DAYS
    journal = settings.JOURNAL_DAYS
    yield "activity", "sync_decisions", "id", history, f"old.at < {_AGE}"
    is_processed = f"old.processed_at IS NOT NULL AND old.received_at < {_JOURNAL_AGE}"
    yield "deliveries", "sync_webhook_events", "id", journal, is_processed
    yield "API writes", "sync_intents", "id", journal, _intent_condition()
    is_finished = f"old.status = 'completed' AND old.finished_at < {_AGE}"
    yield "jobs", "sync_queue", "id", settings.QUEUE_DAYS, is_finished
    is_decided = f"old.state <> ALL (%(open)s) AND coalesce(old.decided_at, old.at) < {_AGE}"
    yield "approval requests", "sync_approval_requests", "id", history, is_decided
    yield "API tokens", "knox_authtoken", "digest", ENDED_TOKEN_DAYS, f"old.expiry < {_AGE}"
    yield from _change_rules(history)


def _intent_condition() -> str:
    # Settled intents; but of a record that still has no item, the create that was once unconfirmed stays: it
    # makes the record's next create go alone, under a key of its own.
    unlinked = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record "  # noqa: S608 - names of our own tables
        "WHERE record.id = old.entity_id AND record.monday_id IS NULL)"
        for spec in registry.entities()
    )
    return f"""
        old.state <> 'open' AND old.created_at < {_JOURNAL_AGE}
        AND coalesce(old.settled_at, old.created_at) < {_AGE}
        AND NOT EXISTS (SELECT 1 FROM sync_intents AS other
            WHERE other.idempotency_key = old.idempotency_key AND other.state = 'open')
        AND (old.state <> 'void' OR old.item_id <> '' OR old.lookups = 0 OR ({unlinked or "true"}))
    """  # noqa: S608 - as above


def _change_rules(days: int) -> Iterator[Rule]:
    # The newest old change of each existing record stays: later changes are read as differences from it. That of a
    # deleted record stays as long as there is activity about it, which shows the name that it had.
    for spec in registry.entities():
        for events in event_models(tracks_model=spec.model):
            table = _table(events)
            where = f"""
                old.pgh_created_at < {_AGE} AND (
                    EXISTS (SELECT 1 FROM {table} AS newer WHERE newer.pgh_obj_id = old.pgh_obj_id
                        AND newer.pgh_id > old.pgh_id AND newer.pgh_created_at < {_AGE})
                    OR NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record WHERE record.id = old.pgh_obj_id)
                    AND NOT EXISTS (SELECT 1 FROM sync_decisions AS activity WHERE activity.entity_id = old.pgh_obj_id))
            """  # noqa: S608 - as above
            name = f"changes of {spec.model._meta.verbose_name_plural}"
            yield name, table, "pgh_id", days, where
    unused = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} AS event WHERE event.pgh_context_id = old.id)"  # noqa: S608
        for table in map(_table, event_models())
    )
    where = f"old.created_at < {_AGE} AND {unused or 'true'}"
    yield "contexts of changes", "pghistory_context", "id", days, where


def _table(model: Any) -> str:
    return str(connection.ops.quote_name(model._meta.db_table))
