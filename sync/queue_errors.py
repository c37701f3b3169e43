"""Why the queue can't be steered as asked."""

from __future__ import annotations


class QueueError(RuntimeError):
    """It can't be steered that way; the message says why and what to do."""


class CountChanged(QueueError):
    """Another number of rows matches now than a person saw; `now` is that number, and nothing was done."""

    def __init__(self, expected: int, now: int) -> None:
        super().__init__(
            f"{now:,} rows match now, not {expected:,}. Nothing was done. Look at the list again, then repeat it with "
            "the number of now."
        )
        self.now = now
