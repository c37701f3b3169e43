"""Both sides of a record and what they last agreed on, field by field: which differ, and which way each may flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.admin import words
from sync.boards import link_of, mappings_of
from sync.choices import Rule, SyncDirection
from sync.connectors.monday.converters import UnknownValue
from sync.engine.showing import UNTOLD, Shown
from sync.models import FieldMapping, SyncedModel, SyncMetadata

_A_READING = 2
"""An entry of `seen` of so many parts is what a look read; longer ones say that a value was lost."""
_FLOWS = {
    (True, True): gettext_lazy("Both ways"),
    (True, False): gettext_lazy("NPD → Monday"),
    (False, True): gettext_lazy("Monday → NPD"),
    (False, False): gettext_lazy("Not synced"),
}


@dataclass(frozen=True)
class Standing:
    """How a field stands: a badge's colour and icon, and words that say the same."""

    kind: str
    icon: str
    words: str


@dataclass(frozen=True)
class Side:
    """One field's row. `agreed_monday` is Monday's half of the base where it reads otherwise than NPD's.

    `read_at` is when a look read Monday's value; None where it is what the last look left there.
    """

    key: str
    label: str
    npd: str
    agreed: str
    agreed_monday: str
    monday: str
    read_at: datetime | None
    standing: Standing
    flow: str
    rule: str
    note: str
    held: bool = False


class Sides:
    """What the rows are made of: the record, its ledger, and the board as it is mapped."""

    def __init__(self, record: SyncedModel, live: Mapping[str, str] | None = None) -> None:
        """`live` has what Monday shows right now, by field, of those fields that could be read."""
        self.record, self.live = record, live or {}
        self.link = link_of(record.entity_type())
        self.mappings: Sequence[FieldMapping] = mappings_of(self.link) if self.link else []
        self.shown = Shown(self.link, self.mappings, [record]) if self.link else None
        found = SyncMetadata.objects.filter(
            entity_type=record.entity_type(), system="monday", entity_id=str(record.pk)
        ).first()
        self.ledger = found or SyncMetadata(base={}, held={}, altered={}, conflicts={}, seen={})

    def rows(self) -> list[Side]:
        """Return every mapped field."""
        return [self._row(mapping) for mapping in self.mappings]

    def _row(self, mapping: FieldMapping) -> Side:
        assert self.shown is not None
        base = self._base(mapping)
        npd, agreed, agreed_monday = self.shown.sides(self.record, mapping, base)
        monday, read_at = self._monday(mapping, agreed_monday)
        up, down = self._ways(mapping)
        notes = [self.ledger.held, self.ledger.altered]
        return Side(
            key=mapping.key,
            label=mapping.label,
            npd=npd,
            agreed=agreed,
            agreed_monday=agreed_monday if agreed_monday != agreed else "",
            monday=monday,
            read_at=read_at,
            standing=self._standing(mapping, base, (npd, agreed), (monday, agreed_monday)),
            flow=str(_FLOWS[up, down]),
            rule=str(Rule(mapping.rule).label) if up and down else "",
            note=words.plain(next((str(n[mapping.key]["reason"]) for n in notes if mapping.key in n), "")),
            held=mapping.key in self.ledger.held,
        )

    def _base(self, mapping: FieldMapping) -> dict[str, Any] | None:
        """The pair last agreed on; None where it belongs to another item or column than those of now."""
        entry: dict[str, Any] | None = self.ledger.base.get(mapping.key)
        if not entry or (entry["column"], entry["version"]) != (mapping.column_id, mapping.version):
            return None
        return entry if self.record.monday_id in (None, entry["item"]) else None

    def _ways(self, mapping: FieldMapping) -> tuple[bool, bool]:
        """Whether values may go to Monday, and come from there: where record and field both allow it."""
        directions = {self.record.sync_direction, mapping.direction}
        if SyncDirection.NONE in directions or not mapping.column_id:
            return False, False
        return SyncDirection.MONDAY_TO_NPD not in directions, SyncDirection.NPD_TO_MONDAY not in directions

    def _monday(self, mapping: FieldMapping, agreed: str) -> tuple[str, datetime | None]:
        """What Monday shows: read just now, or by the look that left this field open, or as it was agreed."""
        if mapping.key in self.live:
            return self.live[mapping.key], None
        reading = self._last_reading(mapping) if self._is_open(mapping.key) else None
        return reading or (agreed, None)

    def _is_open(self, key: str) -> bool:
        return key in self.ledger.held or key in self.ledger.conflicts.get("fields", ())

    def _last_reading(self, mapping: FieldMapping) -> tuple[str, datetime] | None:
        assert self.shown is not None
        readings = [one for one in self.ledger.seen.get(mapping.key, ()) if len(one) == _A_READING]
        if not readings:
            return None
        raw, when = readings[-1]
        convert = self.shown.board.converter(mapping, self.record)
        try:
            return convert.display(convert.remote(raw)), datetime.fromisoformat(when)
        except UnknownValue:
            return None

    def _standing(
        self, mapping: FieldMapping, base: object, npd: tuple[str, str], monday: tuple[str, str]
    ) -> Standing:
        key = mapping.key
        if self._ways(mapping) == (False, False):
            return Standing("off", "block", _("Not synced"))
        if key in self.ledger.conflicts.get("fields", ()):
            return Standing("warn", "call_split", _("In conflict"))
        if key in self.ledger.held:
            return Standing("warn", "front_hand", _("Held"))
        if base is None:
            return Standing("wait", "schedule", _("Not agreed yet"))
        return _of_values(npd, monday)


def _of_values(npd: tuple[str, str], monday: tuple[str, str]) -> Standing:
    """Told from what each side shows now and what it showed when both agreed."""
    if UNTOLD in (*npd, *monday):
        return Standing("wait", "question_mark", _("Not known"))
    here, there = npd[0] != npd[1], monday[0] != monday[1]
    if here and there:
        return Standing("warn", "call_split", _("Changed on both sides"))
    if here:
        return Standing("wait", "arrow_upward", _("Changed in NPD"))
    if there:
        return Standing("wait", "arrow_downward", _("Changed on Monday"))
    return Standing("ok", "check", _("As agreed"))
