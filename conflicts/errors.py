"""Why a resolution was not taken.

ResolutionError
├── BadResolution   it can't be meant so: a sentence, and one for each field concerned
├── StaleSeen       the values are no longer those that were seen
└── NotWaiting      the conflict is settled already, or a choice for it is being applied
"""

from __future__ import annotations

from collections.abc import Mapping

Sides = Mapping[str, str | None]
"""The values of one field on both sides, by "npd" and "monday"; None is empty."""


class ResolutionError(Exception):
    """Nothing was stored; the message says why and what to do next."""


class BadResolution(ResolutionError):
    """`problems` has a sentence for each field concerned; it is empty where the whole request is meant."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        self.problems = dict(problems or {})
        super().__init__(" ".join([sentence, *self.problems.values()]))
        self.sentence = sentence


class StaleSeen(ResolutionError):
    """`current` has the present values of every field in conflict."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)


class NotWaiting(ResolutionError):
    """`current` has the values as the conflict tells them."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)
