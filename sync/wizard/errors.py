"""What a person can't do in the wizard just now; the message says why, and what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class WizardError(RuntimeError):
    """It can't be done; nothing was changed."""


class Moved(WizardError):
    """The page is older than what it is about."""


class Begun(WizardError):
    """Another set-up of the same records is open, and holds more than what is stored."""


class Unfit(WizardError):
    """Fields were chosen that can't be mapped so; `by_field` says why, by the field's key."""

    def __init__(self, words: str, by_field: Mapping[str, Sequence[str]]) -> None:
        super().__init__(words)
        self.by_field = by_field


class Overtaken(RuntimeError):
    """A worker's draft was changed or taken by another; what it was about to store counts no more."""
