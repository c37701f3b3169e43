"""Writes to Monday and their answers, as values: record_writes.py makes them from plans, and act.py sends them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import WaitsFor
from sync.models import ApprovalRequest, Intent
from sync.monday.board_items import Item
from sync.monday.errors import MondayError, Scope


@dataclass(frozen=True)
class FieldWrite:
    """A field's value as its column takes it."""

    key: str
    column_id: str
    value: Any
    entry: Mapping[str, Any]  # the intent's entry for it
    creates_labels: bool = False


@dataclass(frozen=True)
class Write:
    """A write about one unit: a record, a deleted record, or a record's duplicate."""

    unit: str
    record_id: UUID
    item_id: str = ""
    fields: tuple[FieldWrite, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)  # other columns, by id
    # The record's settings at the time of the plan; if they change before the call, it isn't sent. None if the record
    # was deleted, or the item is its duplicate.
    settings: tuple[bool, str, str | None] | None = None
    removes: str = ""  # the policy by which a deleted record's item leaves the board, stored with the intent
    is_divided: bool = False  # it is alone in its document, and each of its values has an alias of its own
    # Counts the write, once however it is divided; stored with the intent, so that it counts even after a crash.
    approval: ApprovalRequest | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {value.column_id: value.value for value in self.fields} | dict(self.columns)


class Verdict(StrEnum):
    DONE = "done"
    GONE = "the item left the board"
    FAILED = "refused, or the call failed, for the unit's own sake"
    STOPPED = "stopped by account or board"
    HELD = "the call failed, perhaps for the unit's own sake: it waits alone"
    WITHDRAWN = "paused or changed meanwhile: nothing of what was planned holds"
    NAME_ONLY = "a new item was refused for a value: its name alone is sent next"


@dataclass(frozen=True)
class WriteAnswer:
    """The result of one write."""

    verdict: Verdict
    detail: str = ""  # why it was not done
    item: Item | None = None  # as the last answer shows it
    intent: Intent | None = None  # the write's intent, if it is still open
    alone: Mapping[str, Item] = field(default_factory=dict)  # by field, for values that were sent alone
    rejected: Mapping[str, MondayError] = field(default_factory=dict)  # the errors of refused values, by field
    unsent: frozenset[str] = frozenset()  # fields that were not sent after all
    is_bare: bool = False  # the item was to be created with its name alone
    at_most: int = 0  # the largest number of records in a stopped unit's next document
    wait_seconds: float = 0  # how long a unit waits
    waits_for: WaitsFor = WaitsFor.NOTHING  # what ends its wait sooner

    def item_of(self, key: str) -> Item | None:
        """Return the item from the answer to this field's own call, else from the answer to the whole write."""
        return self.alone.get(key) or self.item


NOTHING_SENT = WriteAnswer(Verdict.DONE)


def is_refused(error: MondayError) -> bool:
    """Whether Monday refused a document because of its content before running it, so that it may be divided."""
    return error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)
