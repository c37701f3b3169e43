"""Wrong behaviours that can be switched on in the running processes, to see that the oracle notices each of them.

The product knows nothing of them: processes that have `PLANTED_BUG_FILE` in their environment have each wrong function
beside the right one, and ask that file by which name to go, at every call. So a set of processes serves all bugs.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.generating import Act

FILE_VARIABLE = "PLANTED_BUG_FILE"

Wrong = Callable[..., Any]


@dataclass
class Bug:
    """One wrong behaviour: what is wrong, and what stands in for which function ("module:name" or "module:Class.name").

    `act` is the act of a script that shows it. `begin` and `end` change and restore what is no function: a trigger in
    the database.
    """

    name: str
    words: str
    act: Act
    places: list[tuple[str, Wrong]] = field(default_factory=list)
    begin: Callable[[], None] | None = None
    end: Callable[[], None] | None = None


BUGS: dict[str, Bug] = {}


def bug(name: str, words: str, *, act: Act) -> Bug:
    BUGS[name] = Bug(name, words, act)
    return BUGS[name]


def instead_of(planted: Bug, place: str) -> Callable[[Wrong], Wrong]:
    """Let this function stand in for another while the bug is switched on; it is given the right one first."""

    def note(wrong: Wrong) -> Wrong:
        planted.places.append((place, wrong))
        return wrong

    return note


def switched_on() -> str:
    """Which bug is switched on in the process that asks, or an empty text."""
    path = os.environ.get(FILE_VARIABLE)
    try:
        return Path(path).read_text().strip() if path else ""
    except FileNotFoundError:
        return ""


def load() -> None:
    """Know every bug."""
    for module in ("deciding", "writing", "queueing", "receiving", "lifecycle"):
        importlib.import_module(f"tests.chaos.planted.{module}")


def install() -> None:
    """Put every wrong function beside its right one in this process. A place that is gone is an error."""
    load()
    for planted in BUGS.values():
        for place, wrong in planted.places:
            _beside(planted.name, place, wrong)


def _beside(name: str, place: str, wrong: Wrong) -> None:
    owner, attribute = owner_of(place)
    right = getattr(owner, attribute)

    @functools.wraps(right)
    def either(*args: Any, **kwargs: Any) -> Any:
        if switched_on() == name:
            return wrong(right, *args, **kwargs)
        return right(*args, **kwargs)

    setattr(owner, attribute, either)


def owner_of(place: str) -> tuple[Any, str]:
    """What has the function of this place, and its name there; raises LookupError where there is none."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    if not callable(getattr(owner, attribute, None)):
        raise LookupError(f"{place} is no function any more: the planted bug there plants nothing.")
    return owner, attribute
