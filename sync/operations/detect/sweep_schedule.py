"""When a board is due for a sweep or a comparison under the API quota, and how their findings read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from sync import registry
from sync.boards import board_columns
from sync.choices import SyncDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board import CheckResult
from sync.kernel import humanize, process
from sync.limits import quota
from sync.models import BoardLink, FieldMapping
from sync.records import availability
from sync.registry import link_of

MIN_INTERVAL_SECONDS = 600
"""Between two sweeps of a board where the quota is large or not known."""

# However small the quota: what no webhook told is found the same day.
MAX_INTERVAL_SECONDS = 6 * 3_600

QUOTA_SHARE = 0.05
"""Sweeps take no more than this share of a day's calls: hourly at 1,000 calls and two boards."""

NIGHT_HOUR = 2
"""The hour, in UTC, from which on boards are compared."""

NIGHT_END_HOUR = 5

UNFINISHED_TEXT = "It is not finished: it is under way, or was cut short, and the next night makes it again."

OVERDUE_AFTER = timedelta(hours=26)
"""A comparison that no night had quota for is made as soon as there is some."""


def sweep_interval() -> timedelta:
    """Return how long after a sweep the next one of that board is due."""
    forecast = quota.forecast()
    if not forecast.limit:
        return timedelta(seconds=MIN_INTERVAL_SECONDS)
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    seconds = 86_400 * boards / (forecast.limit * QUOTA_SHARE)
    if forecast.ends_at is not None:
        seconds = max(2 * seconds, 3_600.0)
    return timedelta(seconds=min(MAX_INTERVAL_SECONDS, max(MIN_INTERVAL_SECONDS, seconds)))


def boards_to_sweep() -> Iterator[BoardLink]:
    """Yield the boards whose sweep is due, each claimed for this worker.

    A board that was never swept begins here: earlier changes are found by set-up and comparison.
    """
    wait = sweep_interval()
    for link in _available_boards():
        if process.is_shutting_down():
            return
        if BoardLink.objects.filter(pk=link.pk, swept_at=None).update(swept_at=SyncNow(), swept_to=SyncNow()):
            continue
        due = BoardLink.objects.filter(pk=link.pk, swept_at__lte=SyncNow() - wait)
        if due.update(swept_at=SyncNow()):
            yield link


def boards_to_compare() -> Iterator[BoardLink]:
    """Yield the boards whose nightly comparison is due, each claimed for this worker."""
    for link in _available_boards():
        now = sync_now()
        if process.is_shutting_down():
            return
        last, night = link.compared_at, now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
        is_night = night <= now < night.replace(hour=NIGHT_END_HOUR)
        # Missed nights are made up for, but a board is first compared in a night.
        is_due = (is_night and (last is None or last < night)) or (last is not None and now - last > OVERDUE_AFTER)
        if not is_due:
            continue
        same = Q(compared_at=link.compared_at) if link.compared_at else Q(compared_at=None)
        if BoardLink.objects.filter(same, pk=link.pk).update(compared_at=SyncNow(), compared=UNFINISHED_TEXT):
            yield link


def _available_boards() -> Iterator[BoardLink]:
    """Boards that can be read: set up, not paused, with quota left."""
    for spec in registry.entities():
        board = availability.of(spec.entity_type)
        if board.link is not None and not board.blocked_reason:
            yield board.link


# Findings of sweeps and comparisons as sentences, for the admin and for `monday_check`.


@dataclass(frozen=True)
class BoardProblem:
    """What is wrong with a board and stops part of the sync: what, why and what to do; the admin's `icon`."""

    what: str
    why: str
    icon: str
    about: str


def board_problems(
    link: BoardLink, title: str, mappings: Sequence[FieldMapping] | None = None
) -> Iterator[BoardProblem]:
    """Return what is wrong with this board, the gravest first; `mappings`: its broken ones, if known."""
    if link.npd_id_problem:
        what = f"{title}: nothing new is created, because the NPD ID column is missing"
        yield BoardProblem(what, link.npd_id_problem, "key_off", "columns")
    if link.shape.get("required") and (unfilled := board_columns.unfilled_columns(link, link.mappings.all())):
        what = f"{title}: no item is made, because a required column gets no value"
        yield BoardProblem(what, board_columns.unfilled_sentence(unfilled), "rule", "columns")
    if mappings is None:  # those whose column can't be used
        mappings = list(link.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE))
    for mapping in mappings:
        yield BoardProblem(f"{title}: {mapping.label} is blocked", mapping.problem, "view_column", "field")
    if link.silence:
        yield BoardProblem(f"{title}: Monday reports no edits", link.silence, "notifications_off", "webhooks")
    if link.webhooks_problem:
        what = f"{title}: Monday doesn't report every edit"
        yield BoardProblem(what, link.webhooks_problem, "webhook", "webhooks")
    if link.sweep_problem:
        what = f"{title}: missed changes are not fully known"
        yield BoardProblem(what, link.sweep_problem, "manage_search", "sweeps")


def sweep_findings() -> Iterator[CheckResult]:
    """Return the stored findings for `monday_check`, which asks Monday itself about columns and webhooks."""
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is None or not link.board_id:
            continue
        for problem in board_problems(link, spec.board_title):
            if problem.about not in ("columns", "field"):
                yield CheckResult(False, f"{problem.what}.", problem.why, problem.about)
        if link.swept_at is None or link.sweep_problem:
            continue
        # Two sweeps may be left out before it is reported.
        if sync_now() - link.swept_at > 3 * sweep_interval():
            what = f"{spec.board_title}: not checked for missed changes since {humanize.utc_minute(link.swept_at)}."
            fix = "Start beat and a worker; read the worker's log."
            yield CheckResult(True, what, fix, "sweeps", is_warning=True)
        else:
            yield CheckResult(
                True, f"{spec.board_title}: {last_sweep_text(link, humanize.utc_minute)}", subject="sweeps"
            )


def last_sweep_text(link: BoardLink, written: Callable[[datetime], str] = humanize.day_and_time) -> str:
    """Return when Monday was last asked what changed on the board, as a sentence; `written` gives the moment."""
    if link.swept_at is None:
        return "Not checked for missed changes yet: it begins some minutes after the set-up."
    return f"Checked for missed changes at {written(link.swept_at)}; checked {sweep_interval_text()}."


def sweep_interval_text() -> str:
    """Return how often a board is checked for missed changes now: "every 10 minutes"."""
    minutes = round(sweep_interval().total_seconds() / 60)
    is_short = minutes < 120
    number = humanize.count_with_noun(minutes if is_short else round(minutes / 60), "minute" if is_short else "hour")
    return f"every {number}"


def last_comparison_text(link: BoardLink) -> str:
    """Return what the last night's comparison found and when, as a sentence; empty before the first."""
    if link.compared_at is None:
        return ""
    late = sync_now() - link.compared_at > OVERDUE_AFTER
    line = f"{humanize.day_and_time(link.compared_at)}: {link.compared}"
    if not late:
        return line
    return f"{line} That is more than a day ago: tell your administrator, for beat or a worker isn't running."
