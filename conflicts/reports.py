"""The values that passes and conflicts exchange, without rows or queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db import models

from sync.kernel import acts, humanize
from sync.monday.text_forms import unix_lines


class ConflictKind(models.TextChoices):
    FIELDS = "fields", "Fields differ"
    OVERWRITTEN = "overwritten", "Lost on Monday"
    DELETE = "delete", "Deleted on one side"
    IDENTITY = "identity", "Who is this?"


def side_headings(kind: str) -> tuple[str, str]:
    """Return the headings of both values; of an edit that was overwritten, both sides have the first one."""
    return ("Now", "Lost on Monday") if kind == ConflictKind.OVERWRITTEN else ("NPD", "Monday")


def normalize_text(text: str | None) -> str | None:
    """Return the text with \\n as line end, or None if it is empty."""
    return unix_lines(text or "") or None


def same_text(text: str | None, other: str | None) -> bool:
    """Whether two displayed values are the same, regardless of line ends; None equals an empty text."""
    return normalize_text(text) == normalize_text(other)


def combined_text(text: str | None, other: str | None) -> str:
    """Return both texts as one; empty if one of them has it all."""
    both = humanize.both_texts(text, other)
    return "" if same_text(both, text) or same_text(both, other) else both


def is_long_text(converter: str, *texts: str | None) -> bool:
    """Whether these are texts of several lines, which can be combined."""
    return converter == "long_text" or any("\n" in (text or "") for text in texts)


# The kind of the report that rejects all undo requests of a record; no row has it.
UNDO_REQUESTS = "undo"

# The kind of a value that Monday rejected (pages/rejections.py), which its page shows like a conflict; no row has it.
REJECTED = "rejected"

# The key of a resolution about the whole record: a delete or an identity.
RECORD_KEY = "record"

# What a question about a whole record or item asks, as `SyncConflict.about["asks"]` has it.
WHICH_RECORD = "which_record"  # whose an item is
SECOND_ITEM = "second_item"  # whether an item with the match key of a record that has one is that record's, too
NAMESAKE = "namesake"  # the same of an item that has only the record's name
COPY = "copy"  # whether an item that had a record's NPD ID is a copy of the record's own
WHICH_ITEM = "which_item"  # which of several items is a record's
SAME_NAME = "same_name"  # whether one of the items with a record's name is its own
FORMER_ITEM = "former_item"  # whether a record gets back the item from which it was unlinked
UNPLANNED = "unplanned"  # whether a record for which the set-up's plan had no new item gets one
SAME_RECORD = "same_record"  # whether a record that was made from an item is the same as another one
REMOVED_ITEM = "removed_item"  # what becomes of a record whose item was removed
DELETED_RECORD = "deleted_record"  # what becomes of the item of a deleted record
RESTORED_ITEM = "restored_item"  # the same, after somebody restored the item

ABOUT_DELETION = (REMOVED_ITEM, DELETED_RECORD, RESTORED_ITEM)

# Those that ask for an item's record; all others about identity ask for a record's item.
ABOUT_ITEM = (WHICH_RECORD, SECOND_ITEM, NAMESAKE, COPY)

# The key of `SyncConflict.about` with who wrote Monday's values.
EDITORS = "editors"


@dataclass(frozen=True)
class FieldSelection:
    """A person's choice for one field or for the record itself, with the values that they saw.

    Its names are those of the API and of the stored resolution.
    """

    choose: str  # npd, base, monday or custom; about a record, the code of the act that answers the question
    value: str | None = None  # the typed text; of an answer, the record or item that it names
    npd: str | None = None  # the value that was shown; about a record, the sentence on what happened
    monday: str | None = None
    # About a deletion: the values of the edited fields that were shown, each as (NPD's, Monday's).
    seen: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    @property
    def seen_values(self) -> dict[str, tuple[str | None, str | None]]:
        """`seen` with None for empty values, for which a form sends an empty text."""
        return {key: (npd or None, monday or None) for key, (npd, monday) in self.seen.items()}


@dataclass(frozen=True)
class Option:
    """One answer to a question about a whole record."""

    choose: str  # the code of its act in `sync.kernel.acts`
    effect: str  # a sentence
    value: str = ""  # the id of the record or item that it names
    label: str = ""  # the button's text; the act's own if it is empty

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or acts.ACTS[self.choose].label)

    @property
    def name(self) -> str:
        """The value that a form sends."""
        return f"{self.choose} {self.value}".strip()

    @property
    def deletes(self) -> bool:
        return acts.ACTS[self.choose].deletes

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class OpenConflict:
    """An open conflict of a record."""

    conflict_id: UUID
    kind: str
    monday_item_id: str
    fields: tuple[str, ...]  # those in conflict
    resolutions: Mapping[str, FieldSelection] = field(default_factory=dict)  # what people chose
    monday: Mapping[str, str | None] = field(default_factory=dict)  # Monday's displayed values
    about: Mapping[str, Any] = field(default_factory=dict)  # of a question about the record, as `ConflictReport.data`
    by: str = ""  # who chose

    @property
    def asks(self) -> str:
        """What is asked about a record or an item, such as WHICH_ITEM; empty about fields."""
        return str(self.about.get("asks", ""))

    @property
    def seeks_item(self) -> bool:
        """Whether it asks for a record's item, not for an item's record."""
        return self.kind == ConflictKind.IDENTITY and self.asks not in ABOUT_ITEM

    @property
    def candidate_ids(self) -> set[str]:
        """The ids of the records or items that an identity's question is about."""
        return {str(candidate["id"]) for candidate in self.about.get("candidates", ())}

    @property
    def answer(self) -> str:
        """The code of the act that a person chose about the whole record; empty without a choice."""
        selection = self.resolutions.get(RECORD_KEY)
        return selection.choose if selection else ""

    @property
    def shown(self) -> Mapping[str, Any]:
        """What the question showed of the records and items that an answer may archive or delete."""
        return dict(self.about.get("shown", {}))

    @property
    def is_answered_as_shown(self) -> bool:
        """Whether the person answered the question as it stands: its sentence names later edits of `shown`."""
        selection = self.resolutions.get(RECORD_KEY)
        return selection is not None and selection.npd == self.about.get("what")


@dataclass(frozen=True)
class UndoRequest:
    """A person's request to take back a choice about a field: both sides get what they had, and it is asked again."""

    kind: str  # of the conflict that was resolved
    key: str
    choice: FieldSelection  # what is to be undone
    before: Mapping[str, Any]  # both sides' raw values and the base, as {local, remote, base}, before it was applied
    after: Mapping[str, Any] | None  # the base after that


@dataclass(frozen=True)
class FieldConflict:
    """The displayed values of one field in conflict; None is empty."""

    key: str
    npd: str | None
    base: str | None  # empty text: both sides agreed on an empty value; None: they never agreed
    monday: str | None
    reason: str = ""


@dataclass
class ConflictReport:
    """A pass's result for one record and kind; without `fields`, `undecided` and `data` the conflict is over.

    For overwritten edits, fields are added and stay until their resolution is applied or until they are in `ended`; a
    report with only a `closing_reason` closes the conflict (sync off, unlinked, record deleted). A report of
    UNDO_REQUESTS rejects every undo request of the record.
    """

    entity_type: str
    entity_id: UUID
    monday_item_id: str
    kind: str
    fields: Sequence[FieldConflict] = ()  # those in conflict now
    undecided: Sequence[str] = ()  # fields that stay in conflict because a side could not be read
    applied: Mapping[str, str | None] = field(default_factory=dict)  # results of resolutions, by field or RECORD_KEY
    rejected: Mapping[str, str] = field(default_factory=dict)  # reasons of rejected resolutions, by field or RECORD_KEY
    closing_reason: str = ""
    by: str = ""  # whose act ends it, such as unlinking the record; empty for the sync
    # For a delete and an identity: {asks: WHICH_ITEM or another of these, what: a sentence, options:
    # [Option.to_json()]}. An identity also has `candidates`, [{id, label, linked_to, values by field}], if it is
    # ABOUT_ITEM the `item`, in the same form, and `shown`: by id the values, by field, of what an answer may archive or
    # delete.
    data: dict[str, Any] = field(default_factory=dict)
    # The stored values that undo each applied field: {before, after}, each {local, remote, base}.
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # For each undo request, why it was rejected; empty if the field is in conflict again.
    undo_results: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, str] = field(default_factory=dict)  # reasons why fields of an overwritten edit left
    # By field {who, at}: the person on Monday who wrote the value in conflict, stored because events are pruned.
    editors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """The sentence of a question about the record."""
        what: str = self.data["what"]
        return what

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """The records or items that an identity's question is about."""
        return list(self.data["candidates"])

    def reject_answer(self, problem: str) -> None:
        """Reject a person's answer to the question about the record for this reason; an empty one rejects nothing."""
        self.rejected = {RECORD_KEY: problem} if problem else {}
