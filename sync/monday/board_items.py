"""An item of a board as it was read, and values to write to items.

A reading is either known or says why it isn't. Unknown is never the same as empty: a value behind an error, a
column missing from the answer, or a type that we can't read must not look like a value that someone cleared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sync.monday.errors import MondayError

NAME_COLUMN = "name"

# Listed among the types of the columns that are read, it asks for the group of each item too.
GROUP = "group"

UNSTORABLE_REASON = "it holds characters that NPD can't store; type it again on the board"


@dataclass(frozen=True)
class Reading:
    """One column's value."""

    column_id: str
    type: str
    text: str | None = None
    value: Any = None  # Monday's JSON, decoded
    extra: Mapping[str, Any] = field(default_factory=dict)  # the fields of the column's type
    known: bool = True  # if not, the value means nothing
    reason: str = ""  # why it isn't known

    @classmethod
    def unknown(cls, column_id: str, column_type: str, reason: str) -> Reading:
        return cls(column_id, column_type, known=False, reason=reason)


@dataclass(frozen=True)
class Item:
    """An item as it was when it was read."""

    id: str
    name: str
    state: str  # active, archived or deleted
    name_known: bool = True
    board_id: str | None = None
    updated_at: str | None = None
    group_id: str | None = None  # None where it isn't known
    values: Mapping[str, Reading] = field(default_factory=dict)

    def reading(self, column_id: str) -> Reading:
        """Return the value of a column ("name": the item's name); unknown, with a reason, if the answer lacks it."""
        if column_id == NAME_COLUMN and not self.name_known:
            return Reading.unknown(NAME_COLUMN, "name", UNSTORABLE_REASON)
        if column_id == NAME_COLUMN:
            return Reading(NAME_COLUMN, "name", text=self.name, value=self.name)
        reason = "the column is missing from Monday's answer, or hidden from NPD Sync's user on Monday"
        return self.values.get(column_id) or Reading.unknown(column_id, "", reason)


# Some items and, if there are more, the cursor of the next page (valid for 60 minutes).
ItemPage = tuple[list[Item], str | None]


@dataclass(frozen=True)
class BatchItems:
    """The items in the answer to a batch's read."""

    linked: dict[str, Item] = field(default_factory=dict)
    by_npd_id: list[Item] = field(default_factory=list)
    by_match: list[Item] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)  # of the parts that have further pages
    request_id: str = ""


class ColumnSearch(NamedTuple):
    """A search for items with one of these values in a column."""

    column_id: str
    column_type: str  # "email", "name", "text" …
    values: Sequence[str]


@dataclass(frozen=True)
class ItemWrite:
    """New values of one item, by column id: the key "name" is its name, None clears a column."""

    alias: str
    values: Mapping[str, Any]
    item_id: str = ""  # empty for a new item


# States of an item in the answers to its removal; Monday's recycle bin keeps a deleted item for 30 days.
ARCHIVED = "archived"
DELETED = "deleted"


@dataclass(frozen=True)
class WriteRequest:
    """A write, ready to be sent."""

    body: Mapping[str, Any]  # JSON, which can be stored and sent again under its key
    aliases: Sequence[str]  # one for each item
    column_ids: Sequence[str]  # that are read back


@dataclass(frozen=True)
class WriteResult:
    """For each alias of a write its item as it is now, or the error."""

    by_alias: Mapping[str, Item | MondayError]
    request_id: str = ""
    replayed: bool = False  # Monday repeated the answer to an earlier sending under the same key
