"""Deletes old rows in small batches, by rules that say how long each kind is kept; and stops that nothing ends."""

from collections.abc import Iterator
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
from sync.limits import breaker
from sync.models import NotificationReceiver, StoredSecret, history_of
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.records.tombstones import prune_tombstones

log = structlog.get_logger(__name__)

# Sent in each run, so that other apps prune their rows and encrypt their secrets again.
pruning = Signal()

_ENCRYPTED: tuple[tuple[type[models.Model], str], ...] = ((StoredSecret, "sealed"), (NotificationReceiver, "address"))

# Rows per transaction, few enough that nobody waits long for their locks.
BATCH_SIZE = 1_000

# An expired or revoked token is listed this much longer, so that its refusal can give the reason.
ENDED_TOKEN_DAYS = 90

_AGE = "sync_now() - make_interval(days => %(days)s)"

# Only literals of this module and names of our own tables are formatted in; values are parameters.
_DELETE = """
    DELETE FROM {table} WHERE {key} = ANY (ARRAY(
        SELECT old.{key} FROM {table} AS old WHERE {where} ORDER BY old.{key} LIMIT %(batch)s
        FOR UPDATE SKIP LOCKED))
"""

# A rule: a name, the table, its key, the days for which a row is kept, and a condition of SQL about `old`.
Rule = tuple[str, str, str, int, str]


def prune() -> dict[str, int]:
    """Delete old rows; return how many of each kind."""
    counts: dict[str, int] = {}
    reencrypt_secrets()
    pruning.send(None)
    breaker.drop_forgotten_stops()
    for name, table, key, days, where in _rules():
        if days <= 0:
            continue  # kept for ever
        sql = _DELETE.format(table=table, key=key, where=where)
        params = {"days": days, "batch": BATCH_SIZE, "open": [str(state) for state in OPEN_REQUEST_STATES]}
        counts[name] = 0
        while True:  # each batch in its own transaction; locked rows are left to the next run
            deleted = run_sql(sql, params)
            counts[name] += deleted
            if deleted < BATCH_SIZE or process.is_shutting_down():
                break
    counts["deleted records"] = prune_tombstones()
    log.info("pruned", **{name.lower().replace(" ", "_"): rows for name, rows in counts.items()})
    return counts


def reencrypt_secrets() -> int:
    """Encrypt with the current key the secrets of an older key; return how many."""
    changed = 0
    for model, column in _ENCRYPTED:
        rows = model._default_manager
        for key, stored in rows.exclude(**{column: ""}).values_list("pk", column):
            if sealed := reencrypt(stored):
                # A secret that somebody has entered meanwhile stays.
                changed += rows.filter(pk=key, **{column: stored}).update(**{column: sealed})
    return changed


def _rules() -> Iterator[Rule]:
    """Yield the rules; a table comes before the tables that it refers to."""
    history = settings.HISTORY_DAYS
    journal = settings.JOURNAL_DAYS
    yield "activity", "sync_decisions", "id", history, f"old.at < {_AGE}"
    is_processed = f"old.processed_at IS NOT NULL AND old.received_at < {_AGE}"
    yield "deliveries", "sync_webhook_events", "id", journal, is_processed
    # Settled intents. If a record still has no item, a create of its that had no answer stays, because then the next
    # create is sent alone, under a key of its own.
    with_items = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record "  # noqa: S608 - names of our own tables
        "WHERE record.id = old.entity_id AND record.monday_id IS NULL)"
        for spec in registry.entities()
    )
    is_settled = f"""
        old.state <> 'open' AND coalesce(old.settled_at, old.created_at) < {_AGE}
        AND NOT EXISTS (SELECT 1 FROM sync_intents AS other
            WHERE other.idempotency_key = old.idempotency_key AND other.state = 'open')
        AND (old.state <> 'void' OR old.item_id <> '' OR NOT old.was_searched OR ({with_items or "true"}))
    """  # noqa: S608 - as above
    yield "API writes", "sync_intents", "id", journal, is_settled
    is_finished = f"old.status = 'completed' AND old.finished_at < {_AGE}"
    yield "jobs", "sync_queue", "id", settings.QUEUE_DAYS, is_finished
    is_decided = f"old.state <> ALL (%(open)s) AND coalesce(old.decided_at, old.at) < {_AGE}"
    yield "approval requests", "sync_approval_requests", "id", history, is_decided
    yield "API tokens", "knox_authtoken", "digest", ENDED_TOKEN_DAYS, f"old.expiry < {_AGE}"
    # Django deletes expired entries only from a full cache, and files of unconfirmed imports are among them.
    yield "cache entries", "sync_cache", "cache_key", 1, f"old.expires < {_AGE}"
    # The newest old change of each existing record stays, because later changes are differences from it. That of a
    # deleted record stays as long as its activity, which shows the record's name.
    for spec in registry.entities():
        if history_model := history_of(spec.model):
            table = _table(history_model)
            is_superseded = f"""
                old.pgh_created_at < {_AGE} AND (
                    EXISTS (SELECT 1 FROM {table} AS newer WHERE newer.pgh_obj_id = old.pgh_obj_id
                        AND newer.pgh_id > old.pgh_id AND newer.pgh_created_at < {_AGE})
                    OR NOT EXISTS (SELECT 1 FROM {_table(spec.model)} AS record WHERE record.id = old.pgh_obj_id)
                    AND NOT EXISTS (SELECT 1 FROM sync_decisions AS activity WHERE activity.entity_id = old.pgh_obj_id))
            """  # noqa: S608 - as above
            yield f"changes of {spec.model._meta.verbose_name_plural}", table, "pgh_id", history, is_superseded
    unused = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} AS event WHERE event.pgh_context_id = old.id)"  # noqa: S608
        for table in map(_table, event_models())
    )
    is_unused = f"old.created_at < {_AGE} AND {unused or 'true'}"
    yield "contexts of changes", "pghistory_context", "id", history, is_unused


def _table(model: Any) -> str:
    return str(connection.ops.quote_name(model._meta.db_table))
