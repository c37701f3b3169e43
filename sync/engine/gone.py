"""What a look found out about a record whose item is not on its board any more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.hooks import FieldConflict, Option

ARCHIVED, DELETED, MISSING, MOVED = "archived", "deleted", "missing", "moved"
SAID_SO = (ARCHIVED, DELETED)
"""States that the item itself told; one that Monday doesn't show, or that is elsewhere, is not surely gone."""
STATES = (ARCHIVED, DELETED, MISSING, MOVED)


class Act(StrEnum):
    """What becomes of the record: nothing yet, or what a policy or a person decided."""

    NOTHING = ""
    CREATE = "create"
    DELETE = "delete"
    UNLINK = "unlink"


@dataclass(frozen=True)
class Gone:
    """The item's state, what was edited since both sides agreed, and what is asked or done about it.

    `what` says what happened, in a sentence; with `options` a person is asked. `by` is who decided on `act`, as a
    phrase; `chosen`, that it was a person, by the record's conflict. `result` is what was done, `problem` why a choice
    can't be carried out; both are sentences.
    """

    state: str
    what: str = ""
    fields: tuple[FieldConflict, ...] = ()
    options: tuple[Option, ...] = ()
    act: Act = Act.NOTHING
    by: str = ""
    chosen: bool = False
    result: str = ""
    problem: str = ""

    @property
    def asks(self) -> bool:
        """Whether a person has to decide."""
        return bool(self.options) and not self.result

    @property
    def data(self) -> dict[str, Any]:
        """What the conflict says of it, as `Finding.data` wants it."""
        return {"what": self.what, "options": [option.to_json() for option in self.options]}
