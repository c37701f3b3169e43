"""Blocked fields, which wait until somebody acts, and fields that a person kept different."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sync.choices import BlockedCode
from sync.models import SyncMetadata

# The key in an entry that a person kept different: nobody is asked until the value or column changes, or the field is
# blocked for another reason.
KEPT_BY = "kept_by"

# In KEPT_BY's value: Monday's stored value at that time; missing until a pass has read it.
KEPT_REMOTE = "remote"

# The type and id of a record, and the key of its field.
FieldRef = tuple[str, UUID, str]


def is_rejected(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry of `blocked_fields` is a value that Monday rejects, or that exceeds its column's limit."""
    return entry is not None and entry.get("code") in (BlockedCode.REJECTED, BlockedCode.LIMIT)


def is_blocking(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of `blocked_fields` keeps its record out of sync.

    Kept-different ones don't, nor do relations to records that will have no item.
    """
    return KEPT_BY not in entry and entry.get("code") != BlockedCode.RELATION_SKIPPED


def mark_kept_different(sync_state: SyncMetadata, key: str, by: Mapping[str, Any] | None) -> None:
    """Keep a blocked value different, or ask about it again if `by` is None; the caller has locked the row."""
    entry = {name: value for name, value in sync_state.blocked_fields[key].items() if name != KEPT_BY}
    sync_state.blocked_fields = {
        **sync_state.blocked_fields,
        key: entry if by is None else {**entry, KEPT_BY: dict(by)},
    }
    sync_state.save(update_fields=["blocked_fields"])
