"""Late landings: a write of ours without an answer that takes effect after a look has found that it had not.

Such an intent is remembered for a day (MERGE.md, "After a write"): what it sent is known as ours when it stands on the
board after all, and never taken over from there as somebody's edit, unless an event names another user.
"""

from __future__ import annotations

from typing import Any

from django.db.models import F

from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.engine.planning import base_of
from sync.engine.subjects import Batch, Subject, raw_of
from sync.engine.told import told_of
from sync.engine.weighing import REMEMBERED
from sync.merge import Canonical
from sync.models import FieldMapping, Intent, IntentState, MondayAccount, WebhookEvent


def know_late_landings(batch: Batch) -> None:
    """Note on every subject which values on Monday are writes of ours that were thought to have come to nothing."""
    by_id = {subject.id: subject for subject in batch.open if subject.item is not None}
    for intent in _given_up(by_id):
        subject = by_id[intent.entity_id]
        for mapping in batch.board.mappings:
            entry = intent.values.get(mapping.key)
            if entry and _stands(batch, subject, intent, mapping, entry):
                subject.late[mapping.key] = entry


def _given_up(by_id: Any) -> list[Intent]:
    """Intents of unknown outcome that a look found void; one known not to be carried out ended before its deadline."""
    void = Intent.objects.filter(
        entity_id__in=list(by_id),
        state=IntentState.VOID,
        settled_at__gt=SyncNow() - REMEMBERED,
        settled_at__gte=F("deadline"),
    )
    return list(void.exclude(item_id="").order_by("created_at")) if by_id else []


def _stands(
    batch: Batch, subject: Subject, intent: Intent, mapping: FieldMapping, entry: dict[str, Any]
) -> bool:
    """Whether the cell says what this intent sent, and neither the base nor NPD does.

    A list that was united holds what somebody on Monday added, so it is merged as any other (intents.py).
    """
    item, convert = subject.item, batch.board.converter(mapping, subject.record)
    base = base_of(subject, mapping, item.id) if item is not None else None
    same = (entry["column"], entry["version"]) == (mapping.column_id, mapping.version)
    if item is None or base is None or intent.item_id != item.id or not same or entry.get("united"):
        return False
    try:
        now = convert.remote(convert.raw_of(item.reading(mapping.column_id)))
        known = (convert.remote(base["remote"]), convert.local(raw_of(subject.record, mapping)))
        landed = now == convert.local(entry["local"]) and now not in known
    except UnknownValue:
        return False
    return landed and not _is_somebodys(batch, subject, mapping, now)


def _is_somebodys(batch: Batch, subject: Subject, mapping: FieldMapping, now: Canonical) -> bool:
    """Whether the newest event that tells this value names another user than the token's."""
    user = MondayAccount.objects.filter(id=1).values_list("user_id", flat=True).first() or ""
    rows = WebhookEvent.objects.filter(
        item_id=subject.record.monday_id,
        board_id=batch.board.link.board_id,
        received_at__gt=SyncNow() - REMEMBERED,
    )
    told = told_of(batch.board, subject.record, rows)
    ours = [event for event in told if event.key == mapping.key and event.value == now]
    return bool(user and ours) and ours[-1].user_id not in ("", user)
