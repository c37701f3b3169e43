"""The effect of a choice: the value that both sides will have, and which sides change. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from conflicts.models import BASE, CUSTOM, MONDAY, NPD, SyncConflict
from conflicts.reports import ConflictKind, FieldSelection
from sync.monday.texts import unix_lines

# The values of one field on both sides, by "npd" and "monday"; None is empty.
Sides = Mapping[str, str | None]

# By whether NPD and Monday change: what changes, where a value is removed, where one is written.
_TEXTS = {
    (True, True): ("NPD and Monday change", "on both sides", "written in NPD and on Monday"),
    (True, False): ("NPD changes, Monday stays", "in NPD", "written in NPD"),
    (False, True): ("Monday changes, NPD stays", "on Monday", "written on Monday"),
    (False, False): ("Nothing changes", "", "nothing had to be written"),
}


@dataclass(frozen=True)
class Effect:
    value: str | None
    npd_changes: bool
    monday_changes: bool

    @property
    def where(self) -> str:
        return _TEXTS[self.npd_changes, self.monday_changes][0]

    @property
    def emptied_side(self) -> str:
        """Where a value is removed, in words; empty if none is."""
        return "" if self.value else _TEXTS[self.npd_changes, self.monday_changes][1]

    @property
    def written(self) -> str:
        return _TEXTS[self.npd_changes, self.monday_changes][2]


def normalize_text(text: str | None) -> str | None:
    """Return the text with \\n as line end, or None if it is empty."""
    return unix_lines(text or "") or None


def same_text(text: str | None, other: str | None) -> bool:
    """Whether two displayed values are the same, regardless of line ends; None equals an empty text."""
    return normalize_text(text) == normalize_text(other)


def is_same(values: Sides, now: Sides) -> bool:
    return all(same_text(values.get(side), now[side]) for side in (NPD, MONDAY))


def effect_of(choose: str, values: Sides, typed: str | None = None, *, kind: str = ConflictKind.FIELDS) -> Effect:
    """Return the effect of choosing a side, or of a typed value."""
    result = typed if choose == CUSTOM else values[choose]
    npd_changes = not same_text(result, values[NPD])
    if kind == ConflictKind.OVERWRITTEN:
        # Until it is resolved, both sides have NPD's value.
        return Effect(normalize_text(result), npd_changes, npd_changes)
    monday_changes = choose != MONDAY and not same_text(result, values[MONDAY])
    return Effect(normalize_text(result), choose != NPD and npd_changes, monday_changes)


def selection_effect(conflict: SyncConflict, key: str, selection: FieldSelection) -> Effect:
    """Return the effect of a field's choice on the values that it was made for."""
    values = {NPD: selection.npd, BASE: conflict.base_data.get(key), MONDAY: selection.monday}
    return effect_of(selection.choose, values, selection.value, kind=conflict.kind)


def applied_effect(conflict: SyncConflict, key: str) -> Effect:
    """Return the effect of a field's applied resolution on the values that it was made for."""
    entry = conflict.merge_selections[key]
    return effect_of(entry["choose"], entry, conflict.resolved_data.get(key), kind=conflict.kind)
