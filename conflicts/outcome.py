"""What a choice leads to: the value that both sides will hold, and which of them has to change. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from conflicts.choice import BASE, CUSTOM, MONDAY, NPD
from sync.hooks import KIND_FIELDS, KIND_OVERWRITTEN


@dataclass(frozen=True)
class Outcome:
    """The value that both sides will hold, and the sides that change to hold it."""

    value: str | None
    npd_changes: bool
    monday_changes: bool

    @property
    def where(self) -> str:
        """The sides that change, in words."""
        if self.npd_changes and self.monday_changes:
            return _("NPD and Monday change")
        if self.npd_changes:
            return _("NPD changes, Monday stays")
        if self.monday_changes:
            return _("Monday changes, NPD stays")
        return _("Nothing changes")

    @property
    def written(self) -> str:
        """The sides that were changed, in words."""
        if self.npd_changes and self.monday_changes:
            return _("written in NPD and on Monday")
        if self.npd_changes:
            return _("written in NPD")
        return _("written on Monday") if self.monday_changes else _("nothing had to be written")


def same(one: str | None, other: str | None) -> bool:
    """Whether two displayed values are the same; an empty text is empty, line ends count as one kind."""
    return unified(one) == unified(other)


def unified(text: str | None) -> str | None:
    """The text with \\n as line end, or None where it is empty."""
    return text.replace("\r\n", "\n").replace("\r", "\n") or None if text else None


def outcome(
    choose: str,
    *,
    npd: str | None,
    base: str | None,
    monday: str | None,
    value: str | None,
    kind: str = KIND_FIELDS,
) -> Outcome:
    """Return what choosing this leads to; of an overwritten edit both sides hold NPD's value until then."""
    result = {NPD: npd, BASE: base, MONDAY: monday, CUSTOM: value}[choose]
    if kind == KIND_OVERWRITTEN:
        changes = not same(result, npd)
        return Outcome(unified(result), npd_changes=changes, monday_changes=changes)
    return Outcome(
        unified(result),
        npd_changes=choose != NPD and not same(result, npd),
        monday_changes=choose != MONDAY and not same(result, monday),
    )


def shown(value: str | None, most: int = 60) -> str:
    """A value inside a sentence: quoted, on one line, shortened."""
    if not value:
        return _("(empty)")
    line = " ".join(value.split())
    return f"“{line if len(line) <= most else line[: most - 1] + '…'}”"
