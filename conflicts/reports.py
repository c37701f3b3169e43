"""What a pass reports of conflicts, and what it reads of them: values alone, which know neither rows nor queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sync.kernel.acts import ACTS
from sync.merge import FieldSelection

KIND_FIELDS = "fields"
KIND_IDENTITY = "identity"
KIND_DELETE = "delete"
KIND_LOST_UPDATE = "overwritten"

KIND_FIRST_MATCH = "first_match"
"""Not stored: what attention calls a conflict of fields that nobody changed, because they never were the same."""

KIND_REPLACED = "replaced"
"""Not stored either: an overwritten edit of which all that is asked about stood in columns that were replaced."""

KIND_DELETED_RECORD = "deleted_record"
KIND_RESTORED_ITEM = "restored_item"
"""Nor these: a deletion in NPD whose item is on the board still, or again; KIND_DELETE is then that of an item."""

DELETIONS = (KIND_DELETE, KIND_DELETED_RECORD, KIND_RESTORED_ITEM)

KIND_UNDO = "undo"
"""Not a conflict: of an OpenConflict, a settled one whose resolution a person wants undone (resolutions.py)."""

RECORD_KEY = "record"
"""The key of a resolution about the record itself: of a delete or of an identity."""


CREATE_ITEM = "create_item"
RESTORE_RECORD = "restore_record"
DELETE_RECORD = "delete_record"
ARCHIVE_ITEM = "archive_item"
DELETE_ITEM = "delete_item"
UNLINK = "unlink"
OPTION_ACTS = (CREATE_ITEM, RESTORE_RECORD, DELETE_RECORD, ARCHIVE_ITEM, DELETE_ITEM, UNLINK)
"""What an option creates, deletes or unlinks: acts of `sync.kernel.acts`."""

MERGE_RECORDS = "merge_records"
"""What `does` says where a record is deleted because another is the same; nothing to be done with many at once."""

DELETING_ACTS = frozenset({MERGE_RECORDS, *(act for act in OPTION_ACTS if ACTS[act].deletes)})
"""After these a record or an item is gone: no page offers them as anything else."""


@dataclass(frozen=True)
class Option:
    """One option of a conflict that is about the record itself and not about values.

    `choose` is npd (use NPD), monday (use Monday) or custom, which `value` then specifies; `label` is the
    button's text, `effect` one sentence on what will happen. `does` is one of OPTION_ACTS, MERGE_RECORDS, or empty.
    """

    choose: str
    label: str
    effect: str
    value: str = ""
    does: str = ""

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
    """An open conflict of a record, with the stored resolutions by field (empty where none).

    Of KIND_UNDO it is a resolved conflict without fields in conflict, `resolved_kind` is its own kind, its
    resolutions are those to be undone, and `inverse` is what `ConflictReport.inverse` said of each field when it
    was resolved. `seeks_item`: this identity conflict asks which item is the record's, and not which record an
    item belongs to. `monday` has Monday's values by field, as displayed.
    """

    conflict_id: UUID
    kind: str
    monday_item_id: str
    fields: tuple[str, ...]
    resolutions: Mapping[str, FieldSelection] = field(default_factory=dict)
    resolved_kind: str = ""
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeks_item: bool = False
    monday: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldConflict:
    """The values of one field in conflict, as displayed; None is empty.

    `is_replaced`: Monday's stood in a column that was replaced, and nobody wrote over it.
    """

    key: str
    npd: str | None
    base: str | None
    monday: str | None
    reason: str = ""
    is_replaced: bool = False


@dataclass(frozen=True)
class ConflictReport:
    """What a pass found of one record and kind: the fields in conflict now, none when the conflict is over.

    `undecided` names fields whose conflict stays as it is, because a side could not be read. `applied` maps a field to
    the result of an applied resolution; `rejected` maps a field to the reason why its resolution was returned to the
    person. For the kinds delete and identity `data` says what it is about: {what: a sentence, options:
    [Option.to_json()]}, and for an identity also candidates: [{id, label, linked_to, values by field}] and item (the
    one in question, likewise); empty when the conflict is over. Their resolution has RECORD_KEY, in `applied` and
    `rejected` too.

    `inverse` has for each applied field the stored values that undo it: {before, after}, each {local, remote, base}.
    `undone` maps a field whose resolution was to be undone to an empty text where it was, so that its conflict is open
    again, else to the reason why not. A report of KIND_UNDO ends every undo request of the record.

    For the kind overwritten, fields are added and stay until their resolution is applied or until they are in `ended`,
    with the reason; a report with nothing but a `closing_reason` closes it (sync off, unlinked, record deleted).
    `asked_in` has of fields that leave a conflict the kind of the one that asks about them from now on.
    """

    entity_type: str
    entity_id: UUID
    monday_item_id: str
    kind: str
    fields: Sequence[FieldConflict] = ()
    undecided: Sequence[str] = ()
    applied: Mapping[str, str | None] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    closing_reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    undone: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, str] = field(default_factory=dict)
    asked_in: Mapping[str, str] = field(default_factory=dict)
