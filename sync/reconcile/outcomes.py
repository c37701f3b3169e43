"""What came of a record in a pass: how its jobs end, and a write with its answer.

A `Write` is what send.py sends about one item; it fills in the answer, of which rules and settling read what became
of it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.models import ApprovalRequest, Intent
from sync.models.jobs import ROUNDS_KEY
from sync.monday import board_items
from sync.monday.errors import MondayError
from sync.outbox.claim import Claim
from sync.words.message import Message


class Outcome(StrEnum):
    """How a record's jobs end."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"  # its job is due again
    DEFERRED = "deferred"  # its job is due again after a wait, if it has one


@dataclass(frozen=True)
class Ending:
    """How the jobs of one claim end, and why."""

    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    wait_seconds: float = 0
    at_most: int = 0  # the number of records that its next pass may have; 0: any number
    is_unsent: bool = False  # writes were stopped before its write was sent
    rounds: int = 0  # the number of passes in a row that could not decide it
    waits_for_writes: bool = False  # a write that succeeds ends its wait


OPEN = Ending()
DONE = Ending(Outcome.DONE)
SYNC_OFF = Ending(Outcome.DONE, Message("sync_is_off"))
UNCHANGED = Ending(Outcome.DONE, Message("nothing_changed"))
NOTHING_NEW = Ending(Outcome.DONE, Message("known_already"))  # its events are checked, without a read of its item
# Only its link was changed, by a person's answer or because its item was found; the next pass compares the two sides.
ANSWERED = Ending(Outcome.RELEASED, Message("answer_first"))
LINKED = Ending(Outcome.RELEASED, Message("linked_differs_next"))

# A record that can't be decided is repeated by the next pass, this many times in a row; then once more after a wait.
MAX_ROUNDS = 2
ROUNDS_WAIT_SECONDS = 60


def repeat_ending(claim: Claim, reason: str) -> Ending:
    """Return the ending of a claim that the next pass repeats; after MAX_ROUNDS in a row, it waits a minute."""
    rounds = int(claim.payload.get(ROUNDS_KEY, 0)) + 1
    wait = ROUNDS_WAIT_SECONDS if rounds > MAX_ROUNDS else 0
    return Ending(Outcome.DEFERRED, reason, wait, rounds=rounds)


@dataclass(eq=False)
class Write:
    """A write about a record, a deleted record, or a record's duplicate, and what came of it.

    What Monday refuses of it is left out, and the rest is sent again.
    """

    record_id: UUID
    item_id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)  # as the columns take them, by the column's id
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # for the intent, by the field's key
    creates_labels: bool = False
    # The record's settings at the time of the plan; if they change before the call, it isn't sent. None if the record
    # was deleted, or the item is its duplicate.
    settings: tuple[bool, str, str | None] | None = None
    removes: str = ""  # the policy by which a deleted record's item leaves the board, stored with the intent
    refused_at: datetime | None = None  # when Monday refused to create its item lately, which it may have done
    # Counts the write for the bulk limit, once however it is divided; stored with the intent, in case of a crash.
    approval: ApprovalRequest | None = None
    # Once it is sent:
    is_divided: bool = False  # it is alone in its document, and each of its values has an alias of its own
    is_name_only: bool = False  # a value of the new item was refused, so it is created with its name alone
    intent: Intent = field(init=False, repr=False)  # of its last call
    # What came of it:
    ending: Ending = OPEN  # of the record's jobs, which stay open if it was carried out
    is_gone: bool = False  # the item left the board
    is_withdrawn: bool = False  # paused or changed meanwhile: nothing of what was planned holds
    item: board_items.Item | None = None  # as the last answer shows it
    open_intent: Intent | None = None  # `intent`, if it is still open
    items_by_field: Mapping[str, board_items.Item] = field(default_factory=dict)  # only of values that were sent alone
    rejected: Mapping[str, MondayError] = field(default_factory=dict)  # the errors of refused values, by field
    unsent: Collection[str] = ()  # fields that were not sent after all

    @property
    def is_done(self) -> bool:
        """Whether Monday has carried it out, without the values that it refused."""
        return self.ending.outcome is Outcome.OPEN

    def item_of(self, key: str) -> board_items.Item | None:
        """Return the item from the answer to this field's value, if it was sent alone, else to the whole write."""
        return self.items_by_field.get(key) or self.item

    @property
    def columns(self) -> dict[str, str]:
        """The columns of its fields, by the field's key."""
        return {key: entry["column"] for key, entry in self.entries.items()}

    def leave_out(self, keys: Iterable[str]) -> None:
        """Don't send these fields."""
        left_out = {self.columns[key] for key in keys}
        self.entries = {key: entry for key, entry in self.entries.items() if entry["column"] not in left_out}
        self.values = {column_id: value for column_id, value in self.values.items() if column_id not in left_out}

    def refuse(self, rejected: Mapping[str, MondayError]) -> None:
        """Leave out these fields, because Monday refused them with these errors."""
        self.rejected = {**self.rejected, **rejected}
        self.leave_out(rejected)

    def end(self, ending: Ending, *, item: board_items.Item | None = None, is_open: bool = False) -> None:
        """Note what came of it; with `is_open` the intent of its last call isn't ended yet."""
        self.ending = ending
        self.item = item
        self.open_intent = self.intent if is_open else None

    def fail(self, detail: str, *, is_open: bool = False) -> None:
        """End it with a failure that is the record's own, and counts as an attempt."""
        self.end(Ending(Outcome.FAILED, detail), is_open=is_open)

    def stop(self, detail: str, *, is_open: bool = False) -> None:
        """End it for no fault of the record, which is due again."""
        self.end(Ending(Outcome.RELEASED, detail, is_unsent=True), is_open=is_open)

    def hold(self, detail: str, seconds: float) -> None:
        """Have it wait for so long, or until another write succeeds."""
        self.end(Ending(Outcome.DEFERRED, detail, seconds, waits_for_writes=True))


# Shared by all records about which nothing was sent yet.
NOT_SENT = Write(UUID(int=0))
