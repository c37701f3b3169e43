"""A value that Monday refuses, as the row in which a person settles it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from conflicts.choice import CUSTOM, MONDAY, NPD
from conflicts.differences import Part, parts
from conflicts.errors import Sides
from conflicts.outcome import same
from conflicts.presenting import Posted
from conflicts.refused_case import Case


@dataclass(frozen=True)
class RefusedRow:
    """What the screen shows of the value; `why_no_monday` is why Monday's can't be taken, empty where it can."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    why_no_monday: str
    long: bool = False
    pick: str = ""
    value: str = ""
    problem: str = ""
    before: Sides = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def seen(self) -> str:
        """The values on the screen, as they travel with the form."""
        return json.dumps([self.npd, self.monday])

    @property
    def npd_parts(self) -> list[Part]:
        """NPD's value, with what Monday's has not marked."""
        return parts(self.npd, self.monday)

    @property
    def monday_parts(self) -> list[Part]:
        """Monday's value, with what NPD's has not marked."""
        return parts(self.monday, self.npd)

    @property
    def shown_value(self) -> str:
        """What stands in the field to type in: what was typed, else the value of the chosen side, at first NPD's."""
        return {CUSTOM: self.value, MONDAY: self.monday or "", NPD: self.npd or ""}.get(
            self.pick, self.npd or ""
        )

    @property
    def npd_changed(self) -> bool:
        """Whether NPD's value is another one than the person saw."""
        return "npd" in self.changed

    @property
    def monday_changed(self) -> bool:
        """Whether Monday's value is another one than the person saw."""
        return "monday" in self.changed


def row_of(case: Case, posted: Posted | None = None, problem: str = "") -> RefusedRow:
    """The row; what was posted stays chosen, and what changed meanwhile is marked."""
    pick = posted.picks.get(case.key) if posted else None
    seen = posted.seen.get(case.key, {}) if posted else {}
    now = {"npd": case.npd, "monday": case.monday}
    lines = any("\n" in (value or "") for value in now.values())
    return RefusedRow(
        case.key,
        case.field.label,
        case.npd,
        case.monday,
        case.why_not_monday(),
        long=lines or case.field.converter == "long_text",
        pick=pick.choose if pick else "",
        value=(pick.value or "") if pick else "",
        problem=problem,
        before=seen,
        changed=tuple(side for side in now if seen and not same(now[side], seen.get(side))),
    )
