"""Fields that are blocked until somebody acts, rejected by Monday or rewritten there: which, on which records."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sync.choices import BlockedCode
from sync.clock import SyncNow
from sync.models import FieldMapping, SyncMetadata, WriteLoop

# On which side a field is blocked: Monday rejected the value, the value is over Monday's limit, or the cause is in NPD.
SIDE_MONDAY = "monday"
SIDE_LIMIT = "limit"
SIDE_NPD = "npd"

# The side of a relation that is left out, which doesn't keep its record from being in sync.
LEFT_OUT = "left out"

# The sides of the codes that are not blocked here.
SIDES = {BlockedCode.REJECTED: SIDE_MONDAY, BlockedCode.LIMIT: SIDE_LIMIT, BlockedCode.LEFT_OUT: LEFT_OUT}

# Marks a field that a person kept different: nobody is asked until its value or column changes.
KEPT_BY = "kept_by"

# In that mark: Monday's stored value when the field was kept different; missing until a pass has read it.
KEPT_REMOTE = "remote"

# In a field blocked for another reason: its kept-different entry, for when that reason ends.
KEPT_ENTRY = "kept"

# A field of a record: the kind, the record's id, the field's key.
FieldRef = tuple[str, UUID, str]


def is_rejected(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry of the ledger's `blocked_fields` is a value that Monday rejects."""
    return bool(entry) and entry is not None and entry.get("side") in (SIDE_MONDAY, SIDE_LIMIT)


def is_blocking(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of `blocked_fields` keeps its record from being in sync; one kept different doesn't."""
    return KEPT_BY not in entry and entry.get("side") != LEFT_OUT


def kept_entry(entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry that a person kept different, also where the field is blocked for another reason by now."""
    if not entry:
        return None
    return dict(entry) if KEPT_BY in entry else entry.get(KEPT_ENTRY)


def mark_kept_different(ledger: SyncMetadata, key: str, by: Mapping[str, Any] | None) -> None:
    """Keep a blocked value different, or ask about it again where `by` is None.

    The caller has locked the row.
    """
    # The old mark goes in both cases: a new one replaces it, or the person is asked again.
    entry = {name: value for name, value in ledger.blocked_fields[key].items() if name != KEPT_BY}
    ledger.blocked_fields = {**ledger.blocked_fields, key: entry if by is None else {**entry, KEPT_BY: dict(by)}}
    ledger.save(update_fields=["blocked_fields"])


# Write loops: which fields are throttled because somebody on Monday rewrites them.


def throttled_fields() -> QuerySet[WriteLoop]:
    return WriteLoop.objects.filter(throttled_until__gt=SyncNow())


def throttled_records(mapping: FieldMapping) -> list[UUID]:
    loops = throttled_fields().filter(entity_type=mapping.link.entity_type, key=mapping.key)
    return list(loops.order_by("entity_id").values_list("entity_id", flat=True))
