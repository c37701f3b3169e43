"""What is sent to Monday and what it answered, as values: writes.py makes them of plans, act.py sends them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import DeletedRecordPolicy
from sync.models import ApprovalRequest, Intent
from sync.monday.board_items import Item
from sync.monday.errors import MondayError, Scope


class Kind(StrEnum):
    CHANGE = "change"
    CREATE = "create"
    ARCHIVE = "archive"
    DELETE = "delete"


@dataclass(frozen=True)
class FieldWrite:
    """A field's value as its column takes it."""

    key: str
    column_id: str
    value: Any
    entry: Mapping[str, Any]  # what the intent says of it
    creates_labels: bool = False


@dataclass(frozen=True)
class Write:
    """What is sent about one unit: a record, a deleted record, or a record's second item."""

    unit: str
    record_id: UUID
    item_id: str = ""
    fields: tuple[FieldWrite, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)  # other columns, by id
    name: str = ""  # of a new item
    # What was so when the write was decided, and must be so still when it is announced.
    settings: tuple[bool, str, str | None] = (True, "", None)  # of the record
    mappings: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # version and direction by key
    tombstone: int | None = None  # of a deleted record
    policy: DeletedRecordPolicy | None = None  # for deleted records, where no person chose
    # Counts the write, stored where it is announced, so that a crash leaves it counted; once, however it is divided.
    approval: ApprovalRequest | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {value.column_id: value.value for value in self.fields} | dict(self.columns)


class Verdict(StrEnum):
    DONE = "done"
    GONE = "the item left the board"
    REFUSED = "refused for the unit's own sake"
    FAILED = "the call failed for the unit's own sake"
    STOPPED = "stopped by account or board"
    HELD = "the call failed, perhaps for the unit's own sake: it waits alone"
    WITHDRAWN = "paused or changed meanwhile: nothing of what was planned holds"
    NAME_ONLY = "a new item was refused for a value: its name alone is sent next"


@dataclass(frozen=True)
class Answer:
    """What became of one write."""

    verdict: Verdict
    detail: str = ""  # why it was not done
    item: Item | None = None  # as the last answer shows it
    intent: Intent | None = None  # the announcement, where it stands open
    alone: Mapping[str, Item] = field(default_factory=dict)  # by field, where a value was sent by itself
    rejected: Mapping[str, MondayError] = field(default_factory=dict)  # by field, what Monday refused
    unsent: frozenset[str] = frozenset()  # fields that were not sent after all
    is_bare: bool = False  # the item was made, or was to be made, with its name alone
    demanded: frozenset[str] = frozenset()  # columns for lack of which a new item was refused
    at_most: int = 0  # in how large a document a stopped unit is sent next
    wait_seconds: float = 0  # how long a held one waits

    def item_of(self, key: str) -> Item | None:
        """Return the item as the answer to this field's own call showed it, else as the call's answer did."""
        return self.alone.get(key) or self.item


NOTHING_SENT = Answer(Verdict.DONE)


def is_refused(error: MondayError) -> bool:
    """Whether a document was refused for what it says, before anything of it ran: it may be divided, or made anew."""
    return error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)
