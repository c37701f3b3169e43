"""What choosing one side does to a conflict, in words and in numbers, before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from django.utils.translation import gettext as _

from conflicts.about_record import option_on_side
from conflicts.choice import NPD
from conflicts.models import ConflictKind, SyncConflict
from conflicts.outcome import outcome
from conflicts.picks import ONE_SIDE
from conflicts.records import default_label
from sync.admin import words

RECORDS_A_CALL = 100
"""As many records as one document carries when nothing holds it back."""


def why_not(conflict: SyncConflict, kept: str) -> str:
    """Why a side can't be chosen for this conflict, and what to do; an empty text where it can."""
    if not conflict.is_open:
        return "It is settled already."
    if conflict.is_being_applied:
        return f"{conflict.stored_choice.by} chose already, and that is being applied."
    if conflict.is_about_record and option_on_side(conflict, ONE_SIDE[kept]) is None:
        return "This way is not offered there. Open it to see which are."
    return ""


def lines(conflict: SyncConflict, kept: str) -> list[str]:
    """What would be done, one sentence a field, or one about the record."""
    if conflict.is_about_record:
        option = option_on_side(conflict, ONE_SIDE[kept])
        return [conflict.what, *([f"{option.label}: {option.effect}"] if option else [])]
    stays, goes = (conflict.npd_data, conflict.monday_data)
    if ONE_SIDE[kept] != NPD:
        stays, goes = goes, stays
    sentence = _("%(field)s: %(stays)s everywhere; the other side’s value %(goes)s gives way.")
    if conflict.kind == ConflictKind.OVERWRITTEN and ONE_SIDE[kept] == NPD:
        sentence = _("%(field)s: %(stays)s everywhere; the overwritten edit %(goes)s gives way.")
    elif conflict.kind == ConflictKind.OVERWRITTEN:
        sentence = _("%(field)s: %(stays)s everywhere; the value that stands now %(goes)s gives way.")
    return [
        sentence
        % {
            "field": default_label(conflict.entity_type, key),
            "stays": words.quoted(stays.get(key)),
            "goes": words.quoted(goes.get(key)),
        }
        for key in conflict.conflict_fields
    ]


@dataclass
class Plan:
    """How many values of NPD and columns on Monday a choice writes, and on how many records.

    `sent` counts by kind of record those with something to write on Monday, `looked_at` all that are looked at.
    """

    npd: int = 0
    monday: int = 0
    about_records: int = 0
    looked_at: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    def add(self, conflict: SyncConflict, kept: str) -> None:
        """Count what choosing this side writes in one conflict."""
        kind = conflict.entity_type
        self.looked_at[kind] = self.looked_at.get(kind, 0) + 1
        if conflict.is_about_record:
            self.about_records += 1
            self.sent[kind] = self.sent.get(kind, 0) + 1
            return
        leads_to = [
            outcome(
                ONE_SIDE[kept],
                npd=conflict.npd_data.get(key),
                base=None,
                monday=conflict.monday_data.get(key),
                value=None,
                kind=conflict.kind,
            )
            for key in conflict.conflict_fields
        ]
        self.npd += sum(one.npd_changes for one in leads_to)
        self.monday += sum(one.monday_changes for one in leads_to)
        if any(one.monday_changes for one in leads_to):
            self.sent[kind] = self.sent.get(kind, 0) + 1

    @property
    def calls(self) -> int:
        """How many calls of Monday's allowance that takes at least: reads and writes of up to 100 records each."""
        return _documents(self.looked_at.values()) + _documents(self.sent.values())

    def to_json(self) -> dict[str, int]:
        """The counts, as the batch keeps them."""
        return {
            "npd": self.npd,
            "monday": self.monday,
            "about_records": self.about_records,
            "calls": self.calls,
        }


def _documents(records: Iterable[int]) -> int:
    return sum(ceil(number / RECORDS_A_CALL) for number in records)
