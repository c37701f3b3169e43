"""What a pass reports of conflicts, and what it reads of them: values alone, which know neither rows nor queries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sync.kernel.messages import ACTS
from sync.merge import FieldSelection

KIND_FIELDS = "fields"
KIND_IDENTITY = "identity"
KIND_DELETE = "delete"
KIND_OVERWRITTEN = "overwritten"

# Not stored: what attention calls a conflict of fields that nobody changed, because they never were the same.
KIND_FIRST_MATCH = "first_match"

# Not stored either: a deletion in NPD whose item is on the board still, or again; KIND_DELETE is then that of an item.
KIND_DELETED_RECORD = "deleted_record"
KIND_RESTORED_ITEM = "restored_item"

DELETIONS = (KIND_DELETE, KIND_DELETED_RECORD, KIND_RESTORED_ITEM)

# Not a conflict: of an OpenConflict, a settled one whose resolution a person wants undone (resolutions.py).
KIND_UNDO = "undo"

# The key of a resolution about the record itself: of a delete or of an identity.
RECORD_KEY = "record"


CREATE_ITEM = "create_item"
RESTORE_RECORD = "restore_record"
DELETE_RECORD = "delete_record"
ARCHIVE_ITEM = "archive_item"
DELETE_ITEM = "delete_item"
UNLINK = "unlink"

# What an option creates, deletes or unlinks: acts of `sync.kernel.messages`.
OPTION_ACTS = (CREATE_ITEM, RESTORE_RECORD, DELETE_RECORD, ARCHIVE_ITEM, DELETE_ITEM, UNLINK)

# What `does` says where a record is deleted because another is the same; nothing to be done with many at once.
MERGE_RECORDS = "merge_records"

# After these a record or an item is gone: no page offers them as anything else.
DELETING_ACTS = frozenset({MERGE_RECORDS, *(act for act in OPTION_ACTS if ACTS[act].deletes)})


@dataclass(frozen=True)
class Option:
    """One option of a conflict that is about the record itself and not about values."""

    choose: str  # npd, monday, or custom, which `value` then specifies
    label: str  # the button's text
    effect: str  # what will happen, in a sentence
    value: str = ""
    does: str = ""  # one of OPTION_ACTS, MERGE_RECORDS, or empty

    @property
    def name(self) -> str:
        """What a form sends of it."""
        return f"{self.choose} {self.value}".strip()

    @property
    def deletes(self) -> bool:
        """Whether a record or an item is gone after it."""
        return self.does in DELETING_ACTS

    def to_json(self) -> dict[str, str]:
        """As stored in `ConflictReport.data["options"]` and in the conflict's `about`."""
        return asdict(self)


@dataclass(frozen=True)
class OpenConflict:
    """An open conflict of a record, or of KIND_UNDO a resolved one whose resolution is to be undone."""

    conflict_id: UUID
    kind: str
    monday_item_id: str
    fields: tuple[str, ...]  # those in conflict; of KIND_UNDO none
    # What people chose, by field; of KIND_UNDO what is to be undone.
    resolutions: Mapping[str, FieldSelection] = field(default_factory=dict)
    resolved_kind: str = ""  # of KIND_UNDO the conflict's own kind
    # Only for KIND_UNDO: the `ConflictReport.inverse` of each field when it was resolved.
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Only for an identity: the question is which item is the record's, not which record an item belongs to.
    seeks_item: bool = False
    monday: Mapping[str, str | None] = field(default_factory=dict)  # Monday's values, as displayed


@dataclass(frozen=True)
class FieldConflict:
    """The values of one field in conflict, as displayed; None is empty."""

    key: str
    npd: str | None
    base: str | None
    monday: str | None
    reason: str = ""


@dataclass(frozen=True)
class ConflictReport:
    """What a pass found of one record and kind; without fields and data the conflict is over.

    For the kind overwritten, fields are added and stay until their resolution is applied or until they are in `ended`;
    a report with nothing but a `closing_reason` closes it (sync off, unlinked, record deleted). A report of KIND_UNDO
    ends every undo request of the record.
    """

    entity_type: str
    entity_id: UUID
    monday_item_id: str
    kind: str
    fields: Sequence[FieldConflict] = ()  # those in conflict now
    undecided: Sequence[str] = ()  # fields that stay as they are, because a side could not be read
    # The results of applied resolutions, by field or under RECORD_KEY.
    applied: Mapping[str, str | None] = field(default_factory=dict)
    # Why a resolution was returned to the person, likewise.
    rejected: Mapping[str, str] = field(default_factory=dict)
    closing_reason: str = ""
    # For a delete and an identity: {what: a sentence, options: [Option.to_json()]}, for an identity also candidates:
    # [{id, label, linked_to, values by field}] and item (the one in question, likewise).
    data: Mapping[str, Any] = field(default_factory=dict)
    # For each applied field, the stored values that undo it: {before, after}, each {local, remote, base}.
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # For each field to be undone, why it was not; an empty text if it was, so that it is in conflict again.
    undone: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, str] = field(default_factory=dict)  # fields of an overwritten edit that leave, with the reason
    asked_in: Mapping[str, str] = field(default_factory=dict)  # of fields that leave, the kind that asks from now on
