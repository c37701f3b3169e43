"""Wrong behaviours that can be switched on in running processes, to see that the oracle notices each.

The product knows nothing of them: processes with `PLANTED_BUG_FILE` in their environment have each wrong function
beside the right one, and read from that file at every call which to use. So one set of processes serves all bugs.
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
    """A wrong behaviour, the act that shows it, and the functions ("module:name" or "module:Class.name") it replaces.

    `begin` and `end` change and restore what is no function, such as a trigger.
    """

    name: str
    words: str
    act: Act
    places: list[tuple[str, Wrong]] = field(default_factory=list)
    begin: Callable[[], None] | None = None
    end: Callable[[], None] | None = None


BUGS: dict[str, Bug] = {}


def plant(name: str, words: str, act: Act, place: str) -> Callable[[Wrong], Wrong]:
    """Replace the function at `place` while the bug is on; the right one is passed as first argument."""

    def note(wrong: Wrong) -> Wrong:
        BUGS[name] = Bug(name, words, act, [(place, wrong)])
        return wrong

    return note


def also_at(name: str, place: str) -> Callable[[Wrong], Wrong]:
    """Replace another function for the bug of this name."""

    def note(wrong: Wrong) -> Wrong:
        BUGS[name].places.append((place, wrong))
        return wrong

    return note


def answer(value: Any) -> Wrong:
    """A function that always returns this value."""
    return lambda right, *args, **kwargs: value


def switched_on() -> str:
    path = os.environ.get(FILE_VARIABLE)
    try:
        return Path(path).read_text().strip() if path else ""
    except FileNotFoundError:
        return ""


def load() -> None:
    for module in ("deciding", "writing", "queueing", "receiving", "lifecycle", "witnessing"):
        importlib.import_module(f"tests.chaos.planted.{module}")


def install() -> None:
    """Put every wrong function beside its right one; raises LookupError if a place is gone."""
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
    """The owner of a place's function, and its name there; raises LookupError if it is gone."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    if not callable(getattr(owner, attribute, None)):
        raise LookupError(f"{place} is no function any more: the planted bug there plants nothing.")
    return owner, attribute
