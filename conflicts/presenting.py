"""A conflict made ready for its screen: one row a field, and what the other fields say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.humanize.templatetags.humanize import apnumber

from conflicts import editors
from conflicts.choice import CHOICES, CUSTOM, MONDAY, NPD, Pick
from conflicts.differences import Part, parts, parts_of_base
from conflicts.editors import Editor
from conflicts.errors import Sides
from conflicts.models import ConflictKind, SyncConflict
from conflicts.outcome import Outcome, outcome, same
from conflicts.records import MappedField, default_label, mapped_fields, record_of
from conflicts.validation import base_known
from sync.boards import link_of, mappings_of
from sync.engine.showing import Shown
from sync.hooks import RECORD
from sync.models import SyncedModel, SyncMetadata

WORDS = {
    "npd": "NPD’s value",
    "base": "the last agreed value",
    "monday": "Monday’s value",
    "custom": "a typed value",
    "auto": "over by itself",
}
WORDS_OF_OVERWRITTEN = {**WORDS, "npd": "what stood on both sides", "monday": "the overwritten value"}


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
        return words.get(self.pick, "")

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
    conflict: SyncConflict, posted: Posted | None = None, problems: Mapping[str, str] | None = None
) -> list[Row]:
    """The rows to choose in; what was posted, or handed back by a look, stays chosen."""
    link = link_of(conflict.entity_type)
    mapped = mapped_fields(conflict.entity_type, link)
    in_npd, on_monday = editors.in_npd(conflict, mapped), editors.on_monday(conflict, link)
    known = base_known(conflict)
    choice = conflict.stored_choice
    picks = posted.picks if posted else {**choice.handed_back, **choice.fields}
    seen = posted.seen if posted else _seen_before(choice.handed_back)
    rows = []
    for key in conflict.conflict_fields:
        pick = picks.get(key, Pick(""))
        row = _row(conflict, key, mapped, pick)
        row.has_base = key in known
        row.npd_by, row.monday_by = in_npd.get(key), on_monday.get(key)
        row.problem = (problems or {}).get(key, "" if posted else choice.reasons.get(key, ""))
        _mark_changes(row, seen, joined=posted is not None and key not in seen)
        rows.append(row)
    return rows


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


def settled_rows(conflict: SyncConflict) -> list[Row]:
    """The fields that left the conflict, with what was chosen and what it led to."""
    if conflict.is_about_record:
        return []
    mapped = mapped_fields(conflict.entity_type, link_of(conflict.entity_type))
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


def edited_rows(conflict: SyncConflict) -> list[Row]:
    """Of a delete, the fields that were edited on the side that is still there."""
    mapped = mapped_fields(conflict.entity_type, link_of(conflict.entity_type))
    gone = NPD if record_of(conflict) is None else MONDAY
    rows = [_row(conflict, key, mapped, Pick("")) for key in conflict.conflict_fields]
    for row in rows:
        row.gone, row.has_base = gone, row.base is not None
    return rows


def gone_fields(conflict: SyncConflict, posted: Posted | None) -> list[str]:
    """Labels of fields that the person saw in conflict and that have left it since."""
    seen = posted.seen if posted else {}
    left = [key for key in seen if key not in conflict.conflict_fields and key != RECORD]
    return [default_label(conflict.entity_type, key) for key in left]


def other_fields(conflict: SyncConflict) -> list[str]:
    """Sentences about the fields that are not in conflict, as the last look found them."""
    mapped = mapped_fields(conflict.entity_type, link_of(conflict.entity_type))
    ledger = SyncMetadata.objects.filter(
        entity_type=conflict.entity_type, entity_id=str(conflict.entity_id), system="monday"
    ).first()
    if ledger is None:
        return []
    others = [f for key, f in mapped.items() if key not in conflict.conflict_fields]
    troubled = {**ledger.altered, **ledger.held}
    fine = [f.label for f in others if f.key in ledger.base and f.key not in troubled]
    reasons = {f.label: troubled.get(f.key, {}).get("reason") for f in others}
    held = [f"{label} is held: {reason}" for label, reason in reasons.items() if reason]
    return [*([_in_sync(fine)] if fine else []), *held]


def equal_fields(conflict: SyncConflict, record: SyncedModel | None) -> list[tuple[str, str]]:
    """The other fields that are the same on both sides, each with its value."""
    link = link_of(conflict.entity_type)
    if record is None or link is None:
        return []
    mappings = [one for one in mappings_of(link) if one.key not in conflict.conflict_fields]
    ledger = SyncMetadata.objects.filter(
        entity_type=conflict.entity_type, entity_id=str(conflict.entity_id), system="monday"
    ).first()
    if ledger is None or not mappings:
        return []
    shown = Shown(link, mappings, [record])
    fine = [
        one for one in mappings if one.key in ledger.base and one.key not in {**ledger.altered, **ledger.held}
    ]
    return [(one.label, shown.sides(record, one, None)[0]) for one in fine]


def _in_sync(labels: list[str]) -> str:
    names = ", ".join(labels)
    if len(labels) == 1:
        return f"The other field is in sync: {names}."
    return f"The {apnumber(len(labels))} other fields are in sync: {names}."
