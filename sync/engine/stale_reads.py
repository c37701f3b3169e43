"""Reads that may be stale: one that shows what our own write has just replaced is read once more."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sync.account import client
from sync.budget import sending
from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.documents import read_items
from sync.connectors.monday.items import parse_items
from sync.engine.subjects import Batch, Subject
from sync.models import Intent, IntentState

WINDOW = timedelta(minutes=2)
"""Monday answers plain reads from replicas that may lag behind (its schema's `latest` argument says so)."""


def read_suspects_again(batch: Batch) -> None:
    """Read once more, in one call, the items that still show a value we replaced; raises MondayError."""
    suspects = _suspects(batch)
    if not suspects:
        return
    batch.calls += 1
    ids = [subject.item.id for subject in suspects if subject.item]
    document = read_items(ids, batch.board.columns, batch.board.types)
    with sending(batch.board.link, len(suspects)):
        items = {item.id: item for item in parse_items(client().execute(*document), batch.board.columns)}
    for subject in suspects:
        if subject.item is not None:
            subject.item = items.get(subject.item.id, subject.item)


def _suspects(batch: Batch) -> list[Subject]:
    by_id = {subject.id: subject for subject in batch.open if subject.item is not None}
    recent = Intent.objects.filter(
        entity_id__in=by_id, state=IntentState.APPLIED, settled_at__gt=SyncNow() - WINDOW
    ).exclude(item_id="")
    latest: dict[tuple[UUID, str], Intent] = {}
    for intent in recent.order_by("created_at"):
        for key in intent.values:
            latest[intent.entity_id, key] = intent
    found = {
        entity_id for (entity_id, key), intent in latest.items() if _shows_old(batch, by_id, intent, key)
    }
    return [subject for entity_id, subject in by_id.items() if entity_id in found]


def _shows_old(batch: Batch, by_id: dict[UUID, Subject], intent: Intent, key: str) -> bool:
    """Whether the item shows exactly the value that this write replaced, and not the one it wrote."""
    subject, entry = by_id[intent.entity_id], intent.values[key]
    mapping = next((m for m in batch.board.mappings if (m.key, m.column_id) == (key, entry["column"])), None)
    if subject.item is None or mapping is None:
        return False
    convert = batch.board.converter(mapping, subject.record)
    try:
        now = convert.remote(convert.raw_of(subject.item.reading(entry["column"])))
        return now == convert.remote(entry["read"]) and now != convert.local(entry["local"])
    except UnknownValue:
        return False
