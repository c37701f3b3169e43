"""One delivery and its wake-up, in one statement: 300 a second must fit beside everything else that the web does.

The statement is a transaction of its own, so both are stored or neither; it sees one moment, so an item that gains
its record meanwhile becomes a candidate, which is that record's wake-up by the time it is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from sync import registry
from sync.boards import setting_of
from sync.choices import Cause, Priority
from sync.enqueue import ITEM_WAITS, RECORD_WAITS
from sync.models import SyncedModel
from sync.prepared import fetch_prepared

CANDIDATE_WAIT_SECONDS = 10
"""An item without a record is looked at once it was quiet for so long."""

_TAKE = """
WITH link AS MATERIALIZED (
    SELECT entity_type FROM sync_board_links
    WHERE entity_type = ANY (%(types)s::text[]) AND CASE WHEN entity_type = ANY (%(set)s::text[])
        THEN entity_type = ANY (%(named)s::text[]) ELSE board_id = %(board_id)s AND board_id <> '' END
    ORDER BY array_position(%(types)s::text[], entity_type::text) LIMIT 1
), stored AS (
    INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, column_id, type, body, outcome, weighed_at)
    SELECT %(trigger_id)s, %(board_id)s, %(item_id)s, %(column_id)s, %(type)s, %(body)s, outcome,
        CASE WHEN outcome = '' THEN NULL ELSE sync_now() END
    FROM (SELECT CASE WHEN EXISTS (SELECT FROM link) THEN %(outcome)s ELSE %(no_board)s END AS outcome) AS told
    ON CONFLICT (trigger_id, item_id, column_id, type) DO NOTHING
    RETURNING outcome
), record AS MATERIALIZED (
    {records}
), meant AS (
    SELECT link.entity_type FROM link CROSS JOIN stored WHERE stored.outcome = ''
), woken AS (
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes, next_retry)
    SELECT meant.entity_type, record.id, 'to_npd', 'update', '{{}}', %(priority)s, %(cause)s, sync_now()
    FROM meant CROSS JOIN record
    {record_waits}
    RETURNING entity_type
), candidate AS (
    INSERT INTO sync_queue (entity_type, remote_id, direction, operation, payload, priority, causes, next_retry)
    SELECT meant.entity_type, %(item_id)s, 'to_npd', 'create', '{{}}', %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(wait)s)
    FROM meant WHERE NOT EXISTS (SELECT FROM record)
    {item_waits}
)
SELECT (SELECT outcome FROM stored), (SELECT entity_type FROM woken)
"""
_RECORD = """
    SELECT id FROM {table} WHERE monday_id = %(item_id)s AND {entity_type} = (SELECT entity_type FROM link)
"""


@dataclass(frozen=True)
class Delivery:
    """What is stored: `outcome` is empty where its item is to be looked at, else why not."""

    trigger_id: str
    board_id: str
    item_id: str | None
    column_id: str | None
    type: str
    body: Any
    outcome: str


@dataclass(frozen=True)
class Taken:
    """`outcome` as it was stored, None where the delivery was there already; `woken` the type whose record was."""

    outcome: str | None
    woken: str | None


def take(delivery: Delivery, no_board: str) -> Taken:
    """Store it unless it is there, and the waiting row of its record, or of its item while no record has it.

    `no_board` is the outcome of one whose board no type is linked to.
    """
    models = {spec.entity_type: spec.model for spec in registry.entities()}
    params = {
        **vars(delivery),
        "body": Jsonb(delivery.body),
        "no_board": no_board,
        "priority": int(Priority.EDIT),
        "cause": int(Cause.WEBHOOK),
        "wait": CANDIDATE_WAIT_SECONDS,
        **_boards(delivery.board_id, models),
    }
    return Taken(*fetch_prepared(_statement(tuple(models.items())), params)[0])


def _boards(board_id: str, types: Mapping[str, Any]) -> dict[str, list[str]]:
    """The types, those whose board the environment names, and of these the ones that it calls by this id."""
    chosen = {entity_type: setting_of(entity_type) for entity_type in types}
    return {
        "types": list(chosen),
        "set": [entity_type for entity_type, found in chosen.items() if found],
        "named": [entity_type for entity_type, found in chosen.items() if found and found == board_id],
    }


@lru_cache(maxsize=8)
def _statement(models: tuple[tuple[str, type[SyncedModel]], ...]) -> str:
    """The statement for these types; it differs by their tables."""
    quote = connection.ops.quote_name
    records = " UNION ALL ".join(
        _RECORD.format(table=quote(model._meta.db_table), entity_type=f"'{entity_type}'")
        for entity_type, model in models
    )
    return _TAKE.format(records=records, record_waits=RECORD_WAITS, item_waits=ITEM_WAITS)
