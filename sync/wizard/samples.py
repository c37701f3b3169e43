"""What records say in a field now, for the page on which a person maps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync import registry
from sync.engine.values import raw_of_fields
from sync.models import SyncedModel
from sync.wizard.fields import Wanted

LOOKED_AT = 30
SAMPLES = 3
LONGEST = 120


def records_say(entity_type: str, fields: Sequence[Wanted]) -> dict[str, list[str]]:
    """Return up to three values of each field, from the newest records; one query."""
    model = registry.entity(entity_type).model
    names = {name for one in fields for name in one.fields}
    joined = [name for name in names if model._meta.get_field(name).is_relation]
    records = list(model._default_manager.select_related(*joined).order_by("-created_at", "pk")[:LOOKED_AT])
    return {one.key: _values(records, one)[:SAMPLES] for one in fields}


def _values(records: Sequence[SyncedModel], one: Wanted) -> list[str]:
    texts = (_text(raw_of_fields(record, one.fields)) for record in records)
    return list(dict.fromkeys(text[:LONGEST] for text in texts if text))


def _text(raw: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (_plain(value) for value in raw.values())))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or "")
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)
