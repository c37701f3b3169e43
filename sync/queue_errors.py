"""Why the queue can't be steered as asked."""

from __future__ import annotations

from django.utils.translation import ngettext

HELD = "A save that takes long holds some of these rows. Look at the list, and do the rest when it is done."


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


class GaveWay(QueueError):
    """It came to its middle: `done` rows are steered and stay so, for the rest a save stood in the way too long."""

    def __init__(self, done: int, of: int) -> None:
        super().__init__(
            ngettext(
                "%(done)s of %(of)s row is done, and stays so.",
                "%(done)s of %(of)s rows are done, and stay so.",
                of,
            )
            % {"done": f"{done:,}", "of": f"{of:,}"}
            + f" {HELD}"
        )
        self.done = done
