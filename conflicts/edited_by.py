"""Which conflicts somebody's edits are part of: in NPD by the records' history, on Monday by its deliveries.

Conditions for the list: they are asked of one conflict after another, each by an index, so a page needs few of them.
"""

from __future__ import annotations

import json

from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL
from pghistory.core import event_models

from sync import registry
from sync.authors import EDITS_READ

_IN_NPD = """(sync_conflicts.entity_type = %s AND EXISTS (
    SELECT 1 FROM (
        SELECT context.metadata ->> 'user' AS who, context.metadata ->> 'cause' AS cause, to_jsonb(event) AS now,
            lead(to_jsonb(event)) OVER (ORDER BY event.pgh_id DESC) AS before
        FROM {table} AS event LEFT JOIN pghistory_context AS context ON context.id = event.pgh_context_id
        WHERE event.pgh_obj_id = sync_conflicts.entity_id ORDER BY event.pgh_id DESC LIMIT {edits}) AS edit,
        unnest(sync_conflicts.conflict_fields) AS field, jsonb_array_elements_text(%s::jsonb -> field) AS name
    WHERE edit.who = %s AND edit.cause IS DISTINCT FROM 'sync'
        AND edit.now ->> name IS DISTINCT FROM edit.before ->> name))"""
_ON_MONDAY = """EXISTS (
    SELECT 1 FROM sync_webhook_events AS event
    JOIN sync_field_mappings AS mapping ON mapping.column_id = event.column_id
    JOIN sync_board_links AS link ON link.id = mapping.link_id AND link.entity_type = sync_conflicts.entity_type
    WHERE event.item_id = sync_conflicts.monday_item_id AND mapping.key = ANY(sync_conflicts.conflict_fields)
        AND event.body -> 'event' ->> 'userId' = %s)"""


def edited_in_npd(user_id: str) -> Q:
    """Conflicts about a field that this user of NPD has edited, within the last changes of the record."""
    found = Q(pk__in=[])
    for spec in registry.entities():
        events = event_models(tracks_model=spec.model)
        if events:
            names = {one.key: [_attname(spec, name) for name in one.fields] for one in spec.mappings}
            sql = _IN_NPD.format(table=events[0]._meta.db_table, edits=EDITS_READ)
            found |= _holds(sql, [spec.entity_type, json.dumps(names), user_id])
    return found


def edited_on_monday(user_id: str) -> Q:
    """Conflicts about a column that this user of Monday has edited, as far as deliveries are kept."""
    return _holds(_ON_MONDAY, [user_id])


def _attname(spec: registry.EntitySpec, name: str) -> str:
    return str(spec.model._meta.get_field(name).attname)  # type: ignore[union-attr]


def _holds(sql: str, params: list[str]) -> Q:
    """The SQL as a condition of a query on conflicts."""
    return Q(RawSQL(sql, params, BooleanField()))  # noqa: S611 - literals of this module; what is asked are parameters
