"""The one way in which the engine tells `conflicts` what it found, and asks what a person chose.

`conflicts` registers its desk when Django starts; `sync` knows only this protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

KIND_FIELDS = "fields"
KIND_IDENTITY = "identity"
KIND_DELETE = "delete"
KIND_OVERWRITTEN = "overwritten"
KIND_UNDO = "undo"
"""Not a conflict: of an OpenConflict, a settled one whose resolution a person wants undone (engine/undoing.py)."""
RECORD = "record"
"""The key under which a choice about the record itself stands: of a delete, of an identity."""


@dataclass(frozen=True)
class Option:
    """One way out of a conflict that is about the record itself and not about values.

    `choose` is npd (NPD's side stands), monday (Monday's side stands) or custom, which `value` then names;
    `label` is what a person reads on the button, `effect` what will happen, in one sentence.
    """

    choose: str
    label: str
    effect: str
    value: str = ""

    def to_json(self) -> dict[str, str]:
        """As it stands in `Finding.data["options"]` and in the conflict's `about`."""
        return {"choose": self.choose, "value": self.value, "label": self.label, "effect": self.effect}


@dataclass(frozen=True)
class Choice:
    """What a person chose for one field, for exactly the values seen.

    `choose` is npd, base, monday or custom; `value` is the text typed for custom. `seen_npd` and
    `seen_monday` are the values as displayed when the choice was made. Under the key RECORD it is the choice of
    one of the conflict's options: `seen_npd` is then the sentence that said what happened, and `seen` has of a
    delete the edited fields' values that were seen, each as (NPD's, Monday's).

    Of a KIND_UNDO `choose` is what was chosen and is to be undone, the values are those of the settled conflict,
    and `inverse` is what `Finding.inverse` said of the field when it was settled.
    """

    choose: str
    value: str | None
    seen_npd: str | None
    seen_monday: str | None
    seen: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    inverse: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenConflict:
    """An open conflict of a record, with a stored resolution's choices by field (empty where none).

    Of the kind KIND_UNDO it is a settled conflict, `settled_kind` its own kind, without fields in conflict, and its
    choices are those to be undone. `seeks_item` says of an identity that it asks which item is the record's, and not
    whose an item is.
    """

    conflict_id: UUID
    kind: str
    monday_item_id: str
    fields: tuple[str, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    settled_kind: str = ""
    seeks_item: bool = False


@dataclass(frozen=True)
class FieldConflict:
    """The values of one field in conflict, as displayed; None is empty."""

    key: str
    npd: str | None
    base: str | None
    monday: str | None
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What a look found of one record and kind: the fields in conflict now, none when it is over.

    `undecided` names fields that stay in conflict as they are, because a side could not be read.
    `applied` maps a field to the result that a stored choice led to; `rejected` maps a field to the
    reason for which its choice was handed back. Of the kinds delete and identity `data` says what it is about:
    {what: a sentence, options: [Option.to_json()], candidates: [{id, label, linked_to, values by field}] and item (the
    one in question, alike) of an identity}; empty when it is over; their
    choice stands under RECORD, in `applied` and `rejected` too.

    `inverse` has of each applied field the raw values that undo it: {before, after}, each {local, remote, base}.
    `undone` maps a field whose resolution was to be undone to an empty text where it was, so that its conflict is
    open again, else to the reason why not. A finding of the kind KIND_UNDO ends every wish of the record to undo.

    Of the kind overwritten fields join and stay until their choice is applied, or until they are `over`, with the
    reason; a finding with nothing but a `closing_note` ends it (sync off, unlinked, gone).
    """

    entity_type: str
    entity_id: UUID
    monday_item_id: str
    kind: str
    fields: Sequence[FieldConflict] = ()
    undecided: Sequence[str] = ()
    applied: Mapping[str, str | None] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    closing_note: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    inverse: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    undone: Mapping[str, str] = field(default_factory=dict)
    over: Mapping[str, str] = field(default_factory=dict)


class ConflictDesk(Protocol):
    """Where conflicts are kept."""

    def open_of(self, entity_type: str, ids: Iterable[UUID]) -> dict[UUID, list[OpenConflict]]:
        """Return the open conflicts of these records."""

    def record(self, findings: Sequence[Finding]) -> None:
        """Store what a look found: open, bring up to date, close. Runs inside the settle transaction."""

    def hand_back(
        self, entity_type: str, ids: Iterable[UUID], reason: str, *, only: UUID | None = None
    ) -> None:
        """No look will apply these records' choices any more: let their conflicts be chosen for anew.

        `only` names the one conflict that is meant; the choices of the others stand.
        """

    def close_about(self, entity_type: str, item_id: str, reason: str) -> list[tuple[UUID, str]]:
        """End the open identities that ask about this item; return of each its record and what was asked."""

    def count_open(self) -> Mapping[tuple[str, str], int]:
        """Return how many conflicts wait, by entity type and kind; zeros of every registered type too."""


class _NoDesk:
    """Stands in until one is registered: a conflict then can't be kept, which must not pass silently."""

    def open_of(self, entity_type: str, ids: Iterable[UUID]) -> dict[UUID, list[OpenConflict]]:
        return {}

    def hand_back(
        self, entity_type: str, ids: Iterable[UUID], reason: str, *, only: UUID | None = None
    ) -> None:
        pass

    def close_about(self, entity_type: str, item_id: str, reason: str) -> list[tuple[UUID, str]]:
        return []

    def count_open(self) -> Mapping[tuple[str, str], int]:
        return {}

    def record(self, findings: Sequence[Finding]) -> None:
        if any(finding.fields for finding in findings):
            raise RuntimeError(
                "A conflict was found, but no application keeps conflicts. Add 'conflicts' to INSTALLED_APPS."
            )


_desk: ConflictDesk = _NoDesk()


def register_desk(desk: ConflictDesk) -> None:
    """Make `desk` the keeper of conflicts."""
    global _desk  # noqa: PLW0603 - registered once, when Django starts
    _desk = desk


def desk() -> ConflictDesk:
    """Return the keeper of conflicts."""
    return _desk
