"""Why something can't be done as a person asked: one error, which the admin shows and the API answers with."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import PermissionDenied

from sync.kernel.humanize import plural

ROWS_LOCKED = "A save that takes long has some of them locked. Check the list, and do the rest when it is done."


class ActionError(Exception):
    """The message says why, and what to do.

    ├── Conflict           not as things are by now, or not as the page had shown them
    │   ├── RestoreError
    │   ├── CountChanged
    │   ├── RefusalNoted   the one of them that stores what was told: repeated on what is shown then, it may be done
    │   └── PartiallyDone  the one of them after which something is done
    └── NotAllowed         not by this person

    `code` names the reason for programs: it is the API's `code` (sync/api/problems.py).
    """

    default_code: ClassVar[str] = "invalid"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code


class Conflict(ActionError):
    """Not as things are by now."""

    default_code = "conflict"


class NotAllowed(ActionError, PermissionDenied):
    """This person may not; where nobody catches it, Django answers 403."""

    default_code = "permission_denied"


class RestoreError(Conflict):
    """The record can't come back; a deletion that reconciling takes back is told so, too."""


class CountChanged(Conflict):
    """Another number of rows matches now than a person saw; `actual` is that number, and nothing was done.

    `expected` is below 0 where no number came back.
    """

    def __init__(self, expected: int, actual: int) -> None:
        confirmed = f"not {expected:,}" if expected >= 0 else "and no number was confirmed"
        super().__init__(
            f"{actual:,} match now, {confirmed}. Nothing was done. Check the list again, then repeat it with the "
            "current number."
        )
        self.actual = actual


class RefusalNoted(Conflict):
    """Nothing was done, and it is stored that the person was told why: a rollback would refuse it for ever."""


class PartiallyDone(Conflict):
    """It came to its middle: `done` rows are steered and stay so, for the rest a save stood in the way too long."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(
            plural(total, "%(done)s of %(of)s is done, and stays so.", "%(done)s of %(of)s are done, and stay so.")
            % {"done": f"{done:,}", "of": f"{total:,}"}
            + f" {ROWS_LOCKED}"
        )
        self.done = done
