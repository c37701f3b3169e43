"""An item of a board as it was read, and what is written to items.

A reading is either known or says why it isn't. Unknown is never the same as empty: a value behind an error, a
column missing from the answer, or a type that we can't read must not look like a value that someone cleared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.monday.errors import MondayError

NAME_COLUMN = "name"

# Among the types of the columns that are read: the group of each item is asked for too.
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
    known: bool = True  # otherwise nothing may be concluded from the value
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
        """The value of a column ("name": the item's name); unknown, with a reason, if the answer lacks it."""
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
    """The items that a batch asked for, and those that it found."""

    linked: dict[str, Item] = field(default_factory=dict)
    by_npd_id: list[Item] = field(default_factory=list)
    by_match: list[Item] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)  # of the parts that have further pages
    request_id: str = ""


# The column by which an item without a link is recognised: its id, and its type "email", "name", "text" …
MatchColumn = tuple[str, str]


@dataclass(frozen=True)
class ItemWrite:
    """New values of one item, by column id: the key "name" is its name, None clears a column."""

    alias: str
    values: Mapping[str, Any]
    item_id: str = ""  # empty for a new item


# The state of an item in the answer to its archiving.
ARCHIVED = "archived"


# The state of an item in the answer to its deletion.
#
# Monday's recycle bin keeps it for 30 days.
DELETED = "deleted"


@dataclass(frozen=True)
class WriteRequest:
    """A write, ready to be sent."""

    body: Mapping[str, Any]  # JSON, which can be stored and sent again under its key
    aliases: Sequence[str]  # of its entries, one for each item
    column_ids: Sequence[str]  # are read back of every item


@dataclass(frozen=True)
class WriteResult:
    """What became of each alias of a write: the item as it is now, or the error."""

    by_alias: Mapping[str, Item | MondayError]
    request_id: str = ""
    replayed: bool = False  # Monday repeated the answer to an earlier sending under the same key
