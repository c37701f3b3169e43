"""What a resolution leads to on both sides, whether it can be stored there, and the errors that say why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from django.core.exceptions import ValidationError

from conflicts.conflict_context import ConflictContext
from conflicts.models import BASE, CUSTOM, MONDAY, NPD, ConflictKind, SyncConflict
from sync.kernel import humanize
from sync.kernel.action_errors import ActionError, Conflict
from sync.kernel.conflict_store import KIND_FIELDS, KIND_LOST_UPDATE
from sync.merge import FieldSelection
from sync.reconcile.field_plan import base_of
from sync.reconcile.field_values import RelatedNotFound, clean_values, parse_input
from sync.reconcile.gather import read_until

MAX_QUOTED_LENGTH = 60

Sides = Mapping[str, str | None]
"""The values of one field on both sides, by "npd" and "monday"; None is empty."""


class InvalidResolution(ActionError):
    """Nothing was stored. `problems` has a sentence for each field concerned, none where all is meant."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        self.problems = dict(problems or {})
        super().__init__(" ".join([sentence, *self.problems.values()]))
        self.sentence = sentence


class DecidedTooLate(Conflict):
    """Nothing was stored, for it is not as the person saw it; `current` has the present values by field."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)


class NotAsSeen(DecidedTooLate):
    """The values are no longer those that were seen."""

    default_code = "stale"

    @classmethod
    def of(cls, labels: str, current: Mapping[str, Sides]) -> NotAsSeen:
        """Return the error about these fields."""
        return cls(f"{labels} changed while you were deciding. Check the current values, then choose again.", current)


class NotOpen(DecidedTooLate):
    """Nothing waits for a decision."""

    default_code = "not_waiting"


# What a resolution leads to: the value that both sides will have, and which of them changes. Pure.


@dataclass(frozen=True)
class Effect:
    """The value that both sides will have, and the sides that change."""

    value: str | None
    npd_changes: bool
    monday_changes: bool

    @property
    def where(self) -> str:
        """The sides that change, in words."""
        if self.npd_changes and self.monday_changes:
            return "NPD and Monday change"
        if self.npd_changes:
            return "NPD changes, Monday stays"
        if self.monday_changes:
            return "Monday changes, NPD stays"
        return "Nothing changes"

    @property
    def written(self) -> str:
        """The sides that were changed, in words."""
        if self.npd_changes and self.monday_changes:
            return "written in NPD and on Monday"
        if self.npd_changes:
            return "written in NPD"
        return "written on Monday" if self.monday_changes else "nothing had to be written"


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two displayed values are the same; an empty text is empty, line ends count as one kind."""
    return normalize_text(one) == normalize_text(other)


def is_same(seen: Sides, now: Sides) -> bool:
    """Whether both sides still have what was seen of them."""
    return all(same_text(seen.get(side), now[side]) for side in (NPD, MONDAY))


def normalize_text(text: str | None) -> str | None:
    """The text with \\n as line end, or None where it is empty."""
    return text.replace("\r\n", "\n").replace("\r", "\n") or None if text else None


def effect_of(
    choose: str, *, npd: str | None, base: str | None, monday: str | None, value: str | None, kind: str = KIND_FIELDS
) -> Effect:
    """Return what choosing this leads to; until an overwritten edit is resolved, both sides have NPD's."""
    result = {NPD: npd, BASE: base, MONDAY: monday, CUSTOM: value}[choose]
    if kind == KIND_LOST_UPDATE:
        both_change = not same_text(result, npd)
        return Effect(normalize_text(result), npd_changes=both_change, monday_changes=both_change)
    return Effect(
        normalize_text(result),
        npd_changes=choose != NPD and not same_text(result, npd),
        monday_changes=choose != MONDAY and not same_text(result, monday),
    )


def selection_effect(conflict: SyncConflict, key: str, selection: FieldSelection) -> Effect:
    """Return what a field's choice leads to, from the values that it was made for."""
    return effect_of(
        selection.choose,
        npd=selection.npd,
        base=conflict.base_data.get(key),
        monday=selection.monday,
        value=selection.value,
        kind=conflict.kind,
    )


def quote_value(value: str | None) -> str:
    """A value inside a sentence: quoted, on one line, shortened."""
    if not value:
        return "(empty)"
    return f"“{humanize.shorten(' '.join(value.split()), MAX_QUOTED_LENGTH)}”"


# Whether a chosen value can be stored: as the mapping's converter and the model's own field see it.


def fields_with_base(conflict: SyncConflict, context: ConflictContext) -> set[str]:
    """Return the fields in conflict that have a base, also an empty one.

    Of an overwritten edit none: both sides have the same value now.
    """
    if conflict.kind == ConflictKind.OVERWRITTEN:
        return set()
    known = {key for key in conflict.conflict_fields if conflict.base_data.get(key) is not None}
    if context.ledger is None:
        return known
    # What has no mapping any more keeps its base.
    stored = set(context.ledger.base) - {mapping.key for mapping in context.mappings}
    stored |= {mapping.key for mapping in context.mappings if base_of(context.ledger, mapping, conflict.monday_item_id)}
    return known | (stored & set(conflict.conflict_fields))


def selection_problem(conflict: SyncConflict, context: ConflictContext, key: str, selection: FieldSelection) -> str:
    """Return why this choice can't be stored, as a sentence; empty when it can.

    A value that a side has already is checked only for being required; the pass that applies it says what the
    other side makes of it.
    """
    mapped, record = context.mapped.get(key), context.record
    if mapped is None or record is None:
        return f"{key}: this field is no longer mapped to a column, so the next sync closes its conflict."
    if mapped.required and selection_effect(conflict, key, selection).value is None:
        return f"{mapped.label} of {record} can't be empty. Choose a side that has a value, or type one."
    if selection.choose == CUSTOM:
        return text_problem(context, key, selection.value or "")
    if selection.choose == MONDAY and conflict.kind == ConflictKind.OVERWRITTEN:
        return text_problem(context, key, selection.monday or "")  # no side has it: as if it were typed
    return ""


def text_problem(context: ConflictContext, key: str, text: str) -> str:
    """Return why a typed text can't be stored in NPD or on Monday, as a sentence; empty when it can."""
    mapped, record, converter = context.mapped[key], context.record, context.converter(key)
    assert record is not None
    try:
        raw = read_until(partial(parse_input, converter, record, mapped.fields, text))
        limit = converter.rejection_reason(raw)
    except (ValueError, RelatedNotFound) as error:
        return f"{mapped.label}: {error}"
    try:
        clean_values(record, raw)
    except ValidationError as error:
        return f"{mapped.label} of {record}: {' '.join(error.messages)} Correct it, or choose a side."
    return f"{mapped.label}: Monday won't take it ({limit}). Shorten it, or choose a side." if limit else ""
