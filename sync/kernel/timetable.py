"""What a periodic job is: plain facts, because the settings list jobs before Django has loaded any model."""

from __future__ import annotations

from dataclasses import dataclass

TASK_PREFIXES = ("sync.", "npd.", "conflicts.", "config.")
"""The beginning of the names of this project's tasks."""

EXPIRES_SECONDS = 3_600
"""Seconds after which a message expires: a worker that was away for a day finds an hour's messages."""


@dataclass(frozen=True)
class PeriodicJob:
    """A task that runs by the clock: every so many seconds, or daily at an hour and minute (UTC).

    Beat's row is known by the `name`, so that never changes; people read the `title`. `description` and `when_off`
    are sentences for a person: what it does, and what is missing when it is off.
    `max_seconds` is the longest interval that a person may choose.
    """

    name: str
    task: str
    title: str
    description: str
    when_off: str
    every: int = 0
    max_seconds: int = 0
    at: tuple[int, int] | None = None
