"""A conflict made ready for its screen: one row a field, and what the other fields say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conflicts import editors
from conflicts.around import Around
from conflicts.choice import CHOICES, CUSTOM, MONDAY, NPD, Pick
from conflicts.differences import Part, parts, parts_of_base
from conflicts.editors import Editor
from conflicts.errors import Sides
from conflicts.models import ConflictKind, SyncConflict
from conflicts.outcome import Outcome, outcome, same
from conflicts.records import MappedField, default_label
from conflicts.validation import base_known
from sync.engine.showing import Shown
from sync.hooks import RECORD

WORDS = {
    "npd": gettext_lazy("NPD’s value"),
    "base": gettext_lazy("the last agreed value"),
    "monday": gettext_lazy("Monday’s value"),
    "custom": gettext_lazy("a typed value"),
    "auto": gettext_lazy("over by itself"),
}
WORDS_OF_OVERWRITTEN = {
    **WORDS,
    "npd": gettext_lazy("what stood on both sides"),
    "monday": gettext_lazy("the overwritten value"),
}


@dataclass
class Row:
    """One field of the screen. `pick` and `value` are what the person chose, `problem` why it can't be.

    `gone` is the side, npd or monday, that holds nothing any more since the record or its item is gone.
    """

    key: str
    label: str
    npd: str | None
    base: str | None
    monday: str | None
    has_base: bool = True
    long: bool = False
    note: str = ""
    pick: str = ""
    value: str = ""
    problem: str = ""
    before: Sides = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    joined: bool = False
    kind: str = ConflictKind.FIELDS
    gone: str = ""
    npd_by: Editor | None = None
    monday_by: Editor | None = None

    @property
    def _against(self) -> str | None:
        """What NPD's and Monday's values are compared with: what was agreed; where nothing was, each other."""
        return self.base if self.has_base and self.kind == ConflictKind.FIELDS else None

    @property
    def npd_parts(self) -> list[Part]:
        """NPD's value, with what is new in it marked."""
        return _marked(self.npd, self._against, self.monday)

    @property
    def monday_parts(self) -> list[Part]:
        """Monday's value, with what is new in it marked."""
        return _marked(self.monday, self._against, self.npd)

    @property
    def base_parts(self) -> list[Part]:
        """What was agreed, with what a side has not any more marked."""
        return parts_of_base(self.base, self.npd, self.monday)

    @property
    def seen(self) -> str:
        """The values on the screen, as they travel with the form."""
        return json.dumps([self.npd, self.monday])

    @property
    def leads_to(self) -> Outcome | None:
        """What the present choice leads to; None while nothing is chosen."""
        if self.pick not in CHOICES:
            return None
        sides = {"npd": self.npd, "base": self.base, "monday": self.monday}
        return outcome(self.pick, **sides, value=self.value, kind=self.kind)

    @property
    def picked_words(self) -> str:
        """The choice in words."""
        words = WORDS_OF_OVERWRITTEN if self.kind == ConflictKind.OVERWRITTEN else WORDS
        return str(words.get(self.pick, ""))

    @property
    def npd_changed(self) -> bool:
        """Whether NPD's value is another one than the person saw."""
        return "npd" in self.changed

    @property
    def monday_changed(self) -> bool:
        """Whether Monday's value is another one than the person saw."""
        return "monday" in self.changed


def _marked(value: str | None, agreed: str | None, other: str | None) -> list[Part]:
    """The value against what was agreed; where these two are nothing alike, against the other side's."""
    found = parts(value, agreed)
    return found if any(part.marked for part in found) else parts(value, other)


@dataclass(frozen=True)
class Posted:
    """What a person sent: the values seen, and a choice by field."""

    seen: Mapping[str, Sides] = field(default_factory=dict)
    picks: Mapping[str, Pick] = field(default_factory=dict)

    @property
    def selections(self) -> dict[str, dict[str, Any]]:
        """The choices as `resolve` takes them."""
        return {key: {"choose": pick.choose, "value": pick.value} for key, pick in self.picks.items()}


def open_rows(
    conflict: SyncConflict,
    around: Around,
    posted: Posted | None = None,
    problems: Mapping[str, str] | None = None,
) -> list[Row]:
    """The rows to choose in; what was posted, or handed back by a look, stays chosen."""
    mapped, known = around.mapped, base_known(conflict, around)
    choice = conflict.stored_choice
    picks = posted.picks if posted else {**choice.handed_back, **choice.fields}
    seen = posted.seen if posted else _seen_before(choice.handed_back)
    rows = []
    for key in conflict.conflict_fields:
        pick = picks.get(key, Pick(""))
        row = _row(conflict, key, mapped, pick)
        row.has_base = key in known
        row.problem = (problems or {}).get(key, "" if posted else choice.reasons.get(key, ""))
        _mark_changes(row, seen, joined=posted is not None and key not in seen)
        rows.append(row)
    return rows


def name_editors(rows: Sequence[Row], conflict: SyncConflict, around: Around) -> None:
    """Put on each row who gave each side its value, as far as that is known."""
    in_npd = editors.in_npd(conflict, around.mapped)
    on_monday = editors.on_monday(conflict, around.mappings)
    for row in rows:
        row.npd_by, row.monday_by = in_npd.get(row.key), on_monday.get(row.key)


def _seen_before(handed_back: Mapping[str, Pick]) -> dict[str, Sides]:
    return {key: {"npd": pick.npd, "monday": pick.monday} for key, pick in handed_back.items()}


def _row(conflict: SyncConflict, key: str, mapped: Mapping[str, MappedField], pick: Pick) -> Row:
    known = mapped.get(key)
    npd, base, monday = (
        data.get(key) for data in (conflict.npd_data, conflict.base_data, conflict.monday_data)
    )
    has_lines = any("\n" in (value or "") for value in (npd, base, monday))
    return Row(
        key,
        known.label if known else default_label(conflict.entity_type, key),
        npd=npd,
        base=base,
        monday=monday,
        long=has_lines or bool(known and known.converter == "long_text"),
        note=conflict.notes.get(key, ""),
        pick=pick.choose,
        value=pick.value or "" if pick.choose == CUSTOM else "",
        kind=conflict.kind,
    )


def _mark_changes(row: Row, seen: Mapping[str, Sides], *, joined: bool) -> None:
    row.joined = joined
    if row.key in seen:
        row.before = seen[row.key]
        now = {"npd": row.npd, "monday": row.monday}
        row.changed = tuple(side for side in now if not same(now[side], row.before.get(side)))


def settled_rows(conflict: SyncConflict, around: Around) -> list[Row]:
    """The fields that left the conflict, with what was chosen and what it led to."""
    if conflict.is_about_record:
        return []
    mapped = around.mapped
    rows = []
    for key, entry in conflict.merge_selections.items():
        if conflict.is_open and key in conflict.conflict_fields:
            continue
        row = _row(conflict, key, mapped, Pick(entry["choose"]))
        row.npd, row.base, row.monday = entry["npd"], entry["base"], entry["monday"]
        row.value = conflict.resolved_data.get(key) or ""
        row.has_base = row.base is not None
        row.note = str(entry.get("undo") or "")
        rows.append(row)
    return rows


def edited_rows(conflict: SyncConflict, around: Around) -> list[Row]:
    """Of a delete, the fields that were edited on the side that is still there."""
    gone = NPD if around.record is None else MONDAY
    rows = [_row(conflict, key, around.mapped, Pick("")) for key in conflict.conflict_fields]
    for row in rows:
        row.gone, row.has_base = gone, row.base is not None
    return rows


def gone_fields(conflict: SyncConflict, posted: Posted | None) -> list[str]:
    """Labels of fields that the person saw in conflict and that have left it since."""
    seen = posted.seen if posted else {}
    left = [key for key in seen if key not in conflict.conflict_fields and key != RECORD]
    return [default_label(conflict.entity_type, key) for key in left]


def held_fields(conflict: SyncConflict, around: Around) -> list[str]:
    """Sentences about the other fields that can't flow, as the last look found them."""
    troubled = _troubled(around)
    others = [known for key, known in around.mapped.items() if key not in conflict.conflict_fields]
    reasons = {known.label: troubled.get(known.key, {}).get("reason") for known in others}
    held = _("%(field)s is held: %(reason)s")
    return [held % {"field": label, "reason": reason} for label, reason in reasons.items() if reason]


def equal_fields(conflict: SyncConflict, around: Around) -> list[tuple[str, str]]:
    """The other fields that are the same on both sides, each with its value."""
    others = [one for one in around.mappings if one.key not in conflict.conflict_fields]
    if around.record is None or around.link is None or around.ledger is None or not others:
        return []
    shown = Shown(around.link, others, [around.record])
    troubled = _troubled(around)
    fine = [one for one in others if one.key in around.ledger.base and one.key not in troubled]
    return [(one.label, shown.sides(around.record, one, None)[0]) for one in fine]


def _troubled(around: Around) -> dict[str, Any]:
    return {**around.ledger.altered, **around.ledger.held} if around.ledger else {}
