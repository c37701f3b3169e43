"""How long changes are gathered before a look, and how many go into a document: laws without a clock.

The window and why it is so: docs/decisions/0022-pacing.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sync.connectors.monday.budget import DOCUMENT_POINTS, LOOK_CALLS

FULL_BATCH = 100
"""Records a document at most: so many ids one `items` query takes (developer.monday.com/…/reference/items)."""
SHARE_OF_TIMEOUT = 2 / 3
"""A call should take no more than this share of the client's timeout: 20 s of 30 s."""
FIXED_CALLS_A_DAY = 100
"""What sweeps and the hourly report need of a day's calls, a tenth of a small allowance at most."""
SLACK = 0.8
"""Pacing begins when the last hour's calls, carried on to midnight, would take this share of what is left."""
CRUMB = 0.1
"""A document smaller than this share of a full one isn't worth a call of the day while the minute ends soon."""
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Day:
    """How the day stands: calls left after the reserve, calls of the last hour, boards at work, seconds to midnight."""

    limit: int
    left: float
    last_hour: float
    boards: int
    seconds: float


def full_window(day: Day) -> float:
    """Seconds between two looks of a board with which the rest of the day's calls lasts exactly until midnight."""
    fixed = min(FIXED_CALLS_A_DAY, day.limit / 10) * day.seconds / DAY_SECONDS
    spare = day.left - fixed
    if spare <= 0:
        return DAY_SECONDS  # not before midnight, when it is asked anew
    return min(DAY_SECONDS, LOOK_CALLS * max(1, day.boards) * day.seconds / spare)


def window_seconds(day: Day) -> float:
    """Seconds from a board's last look to its next: 0 while the day's allowance suffices, then just enough."""
    if day.seconds <= 0:
        return 0.0
    projected = day.last_hour * day.seconds / 3600.0
    if day.left <= 0:
        return full_window(day)
    tight = (projected / day.left - SLACK) / (1 - SLACK)
    return full_window(day) * min(1.0, max(0.0, tight))


def target_seconds(timeout: float) -> float:
    """How long a call may take that should not come near the client's timeout."""
    return timeout * SHARE_OF_TIMEOUT


def next_size(size: int, records: int, seconds: float, timeout: float) -> int:
    """The size of a board's documents after a call of `records` that was answered after `seconds`."""
    target = target_seconds(timeout)
    if seconds > target:
        return max(1, min(size, math.floor(records * target / seconds)))
    if records < size:
        return size  # a small one that was quick says nothing of a larger one
    return min(FULL_BATCH, size + max(1, size // 10))


def size_after_timeout(records: int) -> int:
    """The size of a board's documents after a call of `records` that got no answer in time, or was too complex."""
    return max(1, records // 4)


def size_that_fits(room: int | None, read_points: float, write_points: float) -> int:
    """How many records a look may carry: their writes fit into one document and, after the read, into `room`."""
    each = max(1.0, write_points)
    fits = DOCUMENT_POINTS / each
    if room is not None:
        fits = min(fits, (room - read_points) / each)
    return max(0, min(FULL_BATCH, math.floor(fits)))


def is_crumb(size: int, full: int) -> bool:
    """Whether so small a document should wait for the minute's end, where `full` would fit into a fresh one."""
    return size < max(1, math.floor(full * CRUMB)) and size < full
