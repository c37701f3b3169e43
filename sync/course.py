"""How far the claims of one lease have got: what a claim may pass over because an earlier one has been there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sync.choices import Priority

FULL_EVERY_SECONDS = 1.0
"""While more is due than a claim takes, claims go on from where the last one ended for so long,"""
FULL_SHARE = 20
"""and for so many times as long as the last claim from the start took: all that is read in vain costs a twentieth."""


@dataclass
class Course:
    """Kept with a lease, in its holder's memory; forgetting it costs time and nothing else.

    Claims go through a board's rows in the order of their priority and time. The versions and index entries that
    they leave behind lie at its head, and stay there as long as any transaction is open that is older, for no vacuum
    may take them away. A claim from the start reads past all of them; so a claim goes on from where the last one
    ended. What comes to stand before that place (a save whose transaction took long, a row given back) is found by
    the next claim from the start: mostly a second later, and at once when a claim comes out short.
    """

    lost_given_back: bool = False
    reached: dict[int, str] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0

    def found_lost(self) -> None:
        """What another left in progress has been given back, once and for all."""
        self.lost_given_back = True

    def goes_on(self) -> bool:
        """Whether the claim to come may go on from where the last one ended."""
        pause = max(FULL_EVERY_SECONDS, FULL_SHARE * (self.ended - self.started))
        return bool(self.reached) and time.monotonic() < self.ended + pause

    @contextmanager
    def from_start(self) -> Iterator[None]:
        """Have the claim within read from the start."""
        self.reached.clear()
        self.started = time.monotonic()
        yield
        self.ended = time.monotonic()

    def since(self, priorities: Sequence[Priority]) -> list[str]:
        """From when on rows of each priority are read, as the database writes a time."""
        return [self.reached.get(priority, "-infinity") for priority in priorities]

    def went(self, reached: Mapping[str, str], *, short: bool) -> None:
        """Keep how far each priority was read; after a claim that was `short` the next one is from the start."""
        self.reached.update({int(priority): place for priority, place in reached.items()})
        if short:
            self.reached.clear()
