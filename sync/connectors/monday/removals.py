"""The GraphQL documents that take items off a board: archived or deleted, each under an alias of its own.

Both mutations answer the item with its new `state`, which `items.parse_written` reads
(developer.monday.com/api-reference/reference/items). Nothing of the API brings an item back: restoring is for
people, on the board, within 30 days of a deletion.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.documents import Document, checked_alias, mutation

__all__ = ["ARCHIVED", "DELETED", "Removal", "archive_items", "delete_items"]

ARCHIVED = "archived"
"""The state of an item that `archive_items` answers."""
DELETED = "deleted"
"""The state of an item that `delete_items` answers; Monday's recycle bin keeps it for 30 days."""


@dataclass(frozen=True)
class Removal:
    """One item that is to leave its board."""

    alias: str
    item_id: str


def archive_items(
    removals: Sequence[Removal], column_ids: Sequence[str], types: Collection[str] = ()
) -> Document:
    """One mutation that archives many items; raises ValueError where there is none."""
    return _removing("archive_item", removals, column_ids, types)


def delete_items(
    removals: Sequence[Removal], column_ids: Sequence[str], types: Collection[str] = ()
) -> Document:
    """One mutation that deletes many items; raises ValueError where there is none."""
    return _removing("delete_item", removals, column_ids, types)


def _removing(
    field: str, removals: Sequence[Removal], column_ids: Sequence[str], types: Collection[str]
) -> Document:
    declarations: list[str] = []
    fields: list[str] = []
    variables: dict[str, Any] = {"columns": list(column_ids)}
    for removal in removals:
        alias = checked_alias(removal.alias)
        declarations.append(f"$item_{alias}: ID!")
        fields.append(f"{alias}: {field}(item_id: $item_{alias}) {{ ...ItemFields }}")
        variables[f"item_{alias}"] = removal.item_id
    return mutation("$columns: [String!]", declarations, fields, variables, types)
