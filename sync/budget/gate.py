"""May a board be looked at now? Room for a read and a write, and the window in which changes are gathered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import moments
from sync.budget import boards, store, usage
from sync.budget.boards import Demand, Learned
from sync.budget.store import Books
from sync.choices import Priority
from sync.connectors.monday import pacing
from sync.connectors.monday.budget import LOOK_CALLS, MINUTE_RESERVE, Kind, Wait, midnight_after, reserve
from sync.models import BoardLink


@dataclass(frozen=True)
class Offer:
    """A look that there is room for; `only_urgent`: only by the part that is kept for what a person clicked."""

    size: int
    points: int
    urgent: bool = False
    only_urgent: bool = False
    calls: int = LOOK_CALLS


@dataclass(frozen=True)
class Held:
    """Why a board is passed over, as a sentence, and until when.

    `passing` where nothing is wrong: it gathers changes to save calls of the day, or a minute's allowance is used.
    """

    words: str
    until: datetime
    passing: bool = True


def held(link: BoardLink, *, urgent: bool = False) -> Held | None:
    """What the allowance or pacing holds this board by; None where it may be looked at.

    `urgent`: as for a row that a person's click has just written.
    """
    books = store.read_limited()
    if books is None:
        return None
    known = boards.learned(link.pk)
    demand = boards.demand_of(link.entity_type, known.size)
    if urgent:
        demand = Demand(max(1, demand.rows), int(Priority.PERSON), demand.oldest)
    return held_by(books, known, demand)


def held_by(books: Books, known: Learned, demand: Demand, facts: Facts | None = None) -> Held | None:
    """The same, where all that is known of the board has been read already."""
    facts = facts or Facts()
    found = offer(books, known, demand, facts)
    if isinstance(found, Wait):
        words = no_room(found, urgent=demand.priority == Priority.PERSON)
        return Held(words, found.until, found.kind is not Kind.DAY)
    return None if found.urgent else _paced(books, known, demand, facts)


def free_since(link: BoardLink) -> datetime | None:
    """Since when the allowance has let this board be looked at, at the earliest; None where no limit is known.

    A board that was just looked at is worked on, in the portions that a minute allows.
    """
    books = store.read_limited()
    return None if books is None else free_since_by(books, boards.learned(link.pk))


def free_since_by(books: Books, known: Learned, facts: Facts | None = None) -> datetime:
    """The same, where all that is known of the board has been read already."""
    today = midnight_after(books.now) - timedelta(days=1)
    if known.last_look is None:
        return today
    window = (facts or Facts()).window(books)
    return max(today, known.last_look + timedelta(seconds=window))


def window_of(books: Books | None = None, last_hour: Callable[[], usage.LastHour] = usage.last_hour) -> float:
    """The seconds for which every board gathers changes before its next look; 0: none."""
    books = books or store.read()
    left = books.budget.day_left()
    if left is None:
        return 0.0
    hour = last_hour()
    rest = (midnight_after(books.now) - books.now).total_seconds()
    limit = books.budget.allowance.day or 0
    return pacing.window_seconds(pacing.Day(limit, left, hour.calls, hour.boards, rest))


@dataclass(frozen=True)
class Facts:
    """What is asked of the database only where the decision hangs on it; who decides for many boards keeps answers."""

    longer: Callable[[int], int] = boards.needed_by_longer_waiting
    window: Callable[[Books], float] = window_of


def offer(books: Books, known: Learned, demand: Demand, facts: Facts | None = None) -> Offer | Wait:
    """The next look of a board, as large as there is room for, or what leaves none."""
    facts = facts or Facts()
    found = _offer(books, known, demand.rows, facts, urgent=False)
    if demand.priority != Priority.PERSON:
        return found
    if isinstance(found, Offer):
        return Offer(found.size, found.points, urgent=True)
    kept = _offer(books, known, demand.rows, facts, urgent=True)
    return kept if isinstance(kept, Wait) else Offer(kept.size, kept.points, urgent=True, only_urgent=True)


def _offer(books: Books, known: Learned, rows: int, facts: Facts, *, urgent: bool) -> Offer | Wait:
    budget = books.budget
    wanted = min(known.size, max(1, rows))
    room = budget.points_room(urgent=urgent)
    kept = 0 if urgent or room is None else _kept_for_others(books, known, room, wanted, facts)
    fits = pacing.size_that_fits(None if room is None else room - kept, known.read_points, known.write_points)
    if not fits and kept and not budget.points.spent:
        fits = pacing.size_that_fits(room, known.read_points, known.write_points)
    full = min(wanted, _fresh_size(books, known))
    size = min(wanted, fits)
    if size < full and (size == 0 or (not urgent and pacing.is_crumb(size, full))):
        return Wait(Kind.POINTS, budget.points.ends or books.now + timedelta(seconds=1))
    size = max(1, size)
    points = math.ceil(known.read_points + size * known.write_points)
    found = budget.wait(LOOK_CALLS, points, books.now, books.in_air, urgent=urgent)
    return found or Offer(size, points)


def _fresh_size(books: Books, known: Learned) -> int:
    """How many records would fit into a minute of which nothing is spent."""
    return pacing.size_that_fits(_fresh_room(books), known.read_points, known.write_points)


def _fresh_room(books: Books) -> int | None:
    """The points of a minute of which nothing is spent."""
    limit = books.budget.allowance.points
    return None if limit is None else limit - reserve(limit, MINUTE_RESERVE)


def _kept_for_others(books: Books, known: Learned, room: int, wanted: int, facts: Facts) -> int:
    """Points that are left to boards that have waited longer: half of a minute at most, none where all have room."""
    half = (_fresh_room(books) or 0) // 2
    if room - known.read_points - wanted * known.write_points >= half:
        return 0
    return min(half, facts.longer(known.link_id))


def _paced(books: Books, known: Learned, demand: Demand, facts: Facts) -> Held | None:
    """A full batch never waits, nor does a change that has waited for a whole window already."""
    if (
        known.last_look is None
        or not demand.rows
        or demand.rows >= min(known.size, _fresh_size(books, known))
    ):
        return None
    window = timedelta(seconds=facts.window(books))
    if not window:
        return None
    until = known.last_look + window
    if demand.oldest is not None:
        until = min(until, demand.oldest + window)
    until = min(until, midnight_after(books.now))
    return Held(_gathering(window, until), until) if until > books.now else None


def _gathering(window: timedelta, until: datetime) -> str:
    return _(
        "The day's allowance is tight: changes of this board go out every %(span)s; the next at %(time)s."
    ) % {"span": span(window.total_seconds()), "time": moments.time_of_day(until, seconds=True)}


def span(seconds: float) -> str:
    """A length of time in words, as after "every": seconds below two minutes, else minutes or hours."""
    if seconds < 1.5:
        return _("second")
    if seconds < 120:
        return ngettext("%(n)s second", "%(n)s seconds", round(seconds)) % {"n": round(seconds)}
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 120:
        return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}
    return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}


def no_room(wait: Wait, *, urgent: bool) -> str:
    """The reason of a wait, as a sentence; for what is `urgent` nothing is kept any more."""
    day = _("Today's calls to Monday are used up.")
    reasons = {
        Kind.DAY: day
        if urgent
        else _("Today's calls to Monday are used up, but for those kept for what a person asks for."),
        Kind.MINUTE: _("This minute's calls to Monday are used up."),
        Kind.POINTS: _("This minute's complexity points at Monday are used up."),
        Kind.CONCURRENCY: _("As many calls to Monday are in the air as may be."),
    }
    again = _("It goes on by itself at %(time)s.") % {"time": moments.time_of_day(wait.until, seconds=True)}
    return f"{reasons[wait.kind]} {again}"
