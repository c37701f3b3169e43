"""A probe of a real account, on boards of its own: what Monday's documentation leaves open, beside the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sync.connectors.base.errors import ConnectorError
from sync.connectors.monday.probe.ground import SET_UP_CALLS, TAKE_AWAY_CALLS, Ground, Unanswered
from sync.connectors.monday.probe.questions import TRIALS, Question, Trial

__all__ = ["Cost", "Finding", "Ground", "Unanswered", "all_questions", "cost", "run"]


@dataclass(frozen=True)
class Finding:
    """What Monday answered to a question; `reason` where it could not be asked."""

    question: Question
    answer: str = ""
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether Monday answered otherwise than the simulator."""
        return not self.reason and self.answer != self.question.simulated


@dataclass(frozen=True)
class Cost:
    questions: int
    calls: int
    seconds: int


def all_questions(*, patient: bool = True) -> list[Question]:
    """Those that are asked; the patient ones wait for an hour."""
    return [question for trial in _trials(patient) for question in trial.questions]


def cost(*, patient: bool) -> Cost:
    """What a run takes, without a call."""
    trials = _trials(patient)
    calls = SET_UP_CALLS + TAKE_AWAY_CALLS + sum(trial.calls for trial in trials)
    return Cost(len(all_questions(patient=patient)), calls, sum(trial.seconds for trial in trials))


def run(ground: Ground, report: Callable[[Finding], None], *, patient: bool = False) -> None:
    """Ask everything and report each answer; at the end, also one by a failure or Ctrl-C, `ground` is taken away.

    Raises ConnectorError or Unanswered where not even the boards could be made.
    """
    try:
        ground.make()
        for trial in _trials(patient):
            for finding in _findings(trial, ground):
                report(finding)
    finally:
        ground.take_away()


def _trials(patient: bool) -> list[Trial]:
    return [trial for trial in TRIALS if patient or not trial.patient]


def _findings(trial: Trial, ground: Ground) -> Iterator[Finding]:
    try:
        answers = trial.ask(ground)
    except ConnectorError as error:
        reason = error.sentence
    except Unanswered as error:
        reason = str(error)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # An answer of a form that nobody has seen is a finding of its own; the recording has it.
        reason = f"Monday's answer has another form than the documented one ({type(error).__name__})"
    else:
        yield from (Finding(question, answers[question.key]) for question in trial.questions)
        return
    yield from (Finding(question, reason=reason) for question in trial.questions)
