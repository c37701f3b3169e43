"""Why a resolution, an answer or an undo was refused: nothing was stored."""

from __future__ import annotations

from collections.abc import Mapping

from conflicts.effects import Sides
from sync.kernel.messages import ActionError, Conflict


class InvalidResolution(ActionError):
    """Nothing was stored. `problems` has a sentence for each field concerned, none where all is meant."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        self.problems = dict(problems or {})
        super().__init__(" ".join([sentence, *self.problems.values()]))
        self.sentence = sentence


class DecidedTooLate(Conflict):
    """Nothing was stored, for it is not as the person saw it; `current` has the present values by field."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)


class NotAsSeen(DecidedTooLate):
    default_code = "stale"

    def __init__(self, labels: str, current: Mapping[str, Sides]) -> None:
        advice = "Check the current values, then choose again."
        super().__init__(f"{labels} changed while you were deciding. {advice}", current)


class NotOpen(DecidedTooLate):
    default_code = "not_waiting"
