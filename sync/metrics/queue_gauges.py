"""Gauges of the queue: how many rows are in which state, how long the oldest has been due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sync.choices import QueueStatus
from sync.due import due_rows, due_since, in_progress, oldest
from sync.metrics import names
from sync.metrics.facts import QueueRows
from sync.metrics.samples import Sample, age
from sync.standing import Overview

STATES = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
"""Finished rows are no gauge: counting them would read all of them."""


def samples(now: Overview, rows: Sequence[QueueRows]) -> Iterator[Sample]:
    """Of every board that is linked, zeros too."""
    for standing in now.boards:
        board = standing.entity_type
        mine = [row for row in rows if row.entity_type == board]
        yield from _states(board, mine)
        yield from _attempts(board, mine)
        waiting = due_rows(now, standing, mine)
        yield Sample(names.QUEUE_DUE, sum(row.due for row in waiting), (board,))
        yield age(names.QUEUE_OLDEST_DUE, due_since(standing, waiting), now.now, board)
        yield age(names.QUEUE_OLDEST_CLAIM, oldest(in_progress(mine)), now.now, board)


def _states(board: str, rows: Sequence[QueueRows]) -> Iterator[Sample]:
    by_state = Counter[str]()
    for row in rows:
        by_state[row.status] += row.rows
    for state in STATES:
        yield Sample(names.QUEUE_ROWS, by_state[state], (board, state.value))


def _attempts(board: str, rows: Sequence[QueueRows]) -> Iterator[Sample]:
    by_attempts = Counter[int](dict.fromkeys(range(5), 0))
    for row in rows:
        if row.status == QueueStatus.PENDING:
            by_attempts[row.attempts] += row.rows
    for attempts, number in sorted(by_attempts.items()):
        yield Sample(names.QUEUE_WAITING_BY_ATTEMPTS, number, (board, str(attempts)))
