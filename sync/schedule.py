"""What a job of the schedule is: plain facts, which the settings list before Django has loaded any model."""

from __future__ import annotations

from dataclasses import dataclass

OURS = ("sync.", "npd.", "conflicts.", "config.")
"""How the names of this project's tasks begin."""
EXPIRES_SECONDS = 3_600
"""A worker that was away for a day has an hour's messages to end, and no clock of a machine is so wrong."""


@dataclass(frozen=True)
class Job:
    """A task that runs by the clock: every so many seconds, or daily at an hour and minute (UTC).

    `does` and `without` are sentences for a person: what it does, and what is missing when it is off. `longest` is
    the longest interval that a person may choose, in seconds.
    """

    name: str
    task: str
    does: str
    without: str
    every: int = 0
    longest: int = 0
    at: tuple[int, int] | None = None
