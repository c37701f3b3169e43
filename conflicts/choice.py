"""What a person chose, as a conflict stores it until a look applies it. No Django in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sync.hooks import Choice

NPD, BASE, MONDAY, CUSTOM = "npd", "base", "monday", "custom"
CHOICES = (NPD, BASE, MONDAY, CUSTOM)
AUTO = "auto"
"""Stands where a choice would, for a field that left its conflict without one."""
UNDO = "undo"
"""The resolution type of a stored choice on a settled conflict: what was chosen there is to be undone."""

Seen = Mapping[str, Sequence[str | None]]
"""The values of fields that were on the screen, each as (NPD's, Monday's)."""


@dataclass(frozen=True)
class Pick:
    """One field's choice, for exactly the values seen (`npd`, `monday`); `value` is a custom text.

    Of a choice about the record itself `value` names the option, `npd` is the sentence that said what happened, and
    `seen` has the values of the edited fields.
    """

    choose: str
    value: str | None = None
    npd: str | None = None
    monday: str | None = None
    seen: Seen = field(default_factory=dict)

    def for_engine(self, inverse: Mapping[str, Any] | None = None) -> Choice:
        """The pick in the engine's words; `inverse` is what undoes it, where that is wanted."""
        return Choice(
            choose=self.choose,
            value=self.value,
            seen_npd=self.npd,
            seen_monday=self.monday,
            seen={key: (npd, monday) for key, (npd, monday) in self.seen.items()},
            inverse=inverse or {},
        )


@dataclass(frozen=True)
class StoredChoice:
    """A resolution as stored: `fields` wait for a look, `handed_back` came back with a reason each."""

    resolution_type: str = ""
    by_id: int | None = None
    by: str = ""
    at: str = ""
    fields: Mapping[str, Pick] = field(default_factory=dict)
    handed_back: Mapping[str, Pick] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> StoredChoice:
        """Read what `to_json` wrote; nothing stored is a choice without fields."""
        if not stored:
            return cls()
        picks = {
            name: {key: Pick(**pick) for key, pick in stored[name].items()}
            for name in ("fields", "handed_back")
        }
        return cls(**{**stored, **picks})

    def to_json(self) -> dict[str, Any] | None:
        """The form that the database keeps; None when nothing is left of it."""
        return asdict(self) if self.fields or self.handed_back else None

    def without(self, keys: set[str]) -> StoredChoice:
        """The choice with these fields done."""
        return replace(self, fields={key: pick for key, pick in self.fields.items() if key not in keys})

    def returning(self, reasons: Mapping[str, str]) -> StoredChoice:
        """The choice with these fields handed back, each with its reason."""
        back = {key: self.fields[key] for key in reasons if key in self.fields}
        if not back:
            return self
        return replace(
            self.without(set(back)),
            handed_back={**self.handed_back, **back},
            reasons={**self.reasons, **{key: reasons[key] for key in back}},
        )

    def only_about(self, keys: set[str]) -> StoredChoice:
        """The choice without fields that are no longer in conflict."""
        return replace(
            self,
            fields={key: pick for key, pick in self.fields.items() if key in keys},
            handed_back={key: pick for key, pick in self.handed_back.items() if key in keys},
            reasons={key: reason for key, reason in self.reasons.items() if key in keys},
        )
