"""What the product says of itself when all is quiet: the status of each record, and a queue at rest."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from sync.clock import SyncNow
from sync.models import Intent, IntentState
from tests.chaos.evidence import Entity, Evidence


def the_status_is_true(evidence: Evidence) -> Iterator[str]:
    """synced: nothing open, both equal. conflict: one is open. pending: with a reason. disabled: it is."""
    for entity in evidence.entities:
        record = entity.record
        if record is None:
            continue
        kinds = entity.open_kinds() - ({"identity"} if record.monday_id else set())
        status = record.sync_status
        if not entity.may_sync:
            if status != "disabled":
                yield f"{entity.words} is switched off and says {status!r}"
        elif bool(kinds) != (status == "conflict"):
            yield f"{entity.words} says {status!r} with open conflicts {sorted(kinds)}"
        elif status == "pending" and not reason_of(entity):
            yield f"{entity.words} is pending, and says no reason"
        elif status == "synced" and not entity.linked:
            yield f"{entity.words} says synced, and its item is {entity.item and entity.item['state']}"


def reason_of(entity: Entity) -> str:
    """Why the record is not in sync, as the ledger says it; empty where it says nothing."""
    ledger = entity.ledger
    return "" if ledger is None else ledger.note or str({**ledger.blocked_fields, **ledger.altered} or "")


def the_queue_is_at_rest(evidence: Evidence) -> Iterator[str]:
    """Nothing is in progress, no call's outcome unknown; what waits has its time; nothing failed for good."""
    queries = {
        "in progress": "SELECT entity_type, entity_id FROM sync_queue WHERE status = 'in_progress'",
        "due and not worked": "SELECT entity_type, coalesce(entity_id::text, remote_id), reason FROM sync_queue"
        " WHERE status = 'pending' AND next_retry <= sync_now()",
        "failed for good": "SELECT entity_type, coalesce(entity_id::text, remote_id), error_message"
        " FROM sync_queue WHERE status = 'failed' AND error_message NOT LIKE 'The worker ended while%'",
    }
    for words, query in queries.items():
        with connection.cursor() as cursor:
            cursor.execute(query)
            yield from (f"{words}: {row}" for row in cursor.fetchall())
    # What became of a call for a record that was switched off since, is found out when it is switched on.
    off = {entity.record_id for entity in evidence.entities if entity.record and not entity.may_sync}
    for intent in Intent.objects.filter(state=IntentState.OPEN, deadline__lte=SyncNow()):
        if str(intent.entity_id) not in off:
            yield f"an open intent: {intent.entity_type} {intent.entity_id}"
