"""The periodic jobs in the database: created once, then the administrator's; edits are never overwritten."""

from __future__ import annotations

import socket
import time as wall_clock
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from sync.kernel.db import advisory_lock, fetch_rows, run_sql

log = structlog.get_logger(__name__)

SCHEDULE_LOCK = 0x5C4ED01E
"""An advisory lock's number: when two beats start together, the second finds everything created."""

UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))

TASK_PREFIXES = ("sync.", "npd.", "conflicts.", "config.")
"""The beginning of the names of this project's tasks."""

EXPIRES_SECONDS = 3_600
"""Seconds after which a message expires: a worker that was away for a day finds an hour's messages."""


@dataclass(frozen=True)
class PeriodicJob:
    """A task that runs by the clock: every so many seconds, or daily at an hour and minute (UTC).

    Beat's row is known by the `name`, so that never changes; people read the `title`. `description` and `when_off`
    are sentences for a person: what it does, and what is missing when it is off.
    `max_seconds` is the longest interval that a person may choose.
    """

    name: str
    task: str
    title: str
    description: str
    when_off: str
    every: int = 0
    max_seconds: int = 0
    at: tuple[int, int] | None = None


def scheduled_jobs() -> Sequence[PeriodicJob]:
    """Return what the setting SCHEDULE names: a name, for while settings are read no model can be imported."""
    jobs: Sequence[PeriodicJob] = import_string(settings.SCHEDULE)
    return jobs


def ensure_periodic_jobs() -> None:
    """Create missing entries, correct our part of the others, and remove those of retired jobs."""
    with transaction.atomic():
        # Held until the commit: of two beats that start together, the second finds everything created.
        advisory_lock(SCHEDULE_LOCK)
        jobs = {job.name: job for job in scheduled_jobs()}
        existing = {entry.name: entry for entry in PeriodicTask.objects.all()}
        for name in [name for name in jobs if name in existing]:
            # Only what is ours; when it runs is the administrator's to choose.
            entry, fixed = existing[name], _fixed_fields(jobs[name])
            if changes := {column: value for column, value in fixed.items() if getattr(entry, column) != value}:
                PeriodicTask.objects.filter(pk=entry.pk).update(**changes)
                # Beat notices edits by this mark, which `update` doesn't set.
                PeriodicTasks.update_changed()
        missing = [job for name, job in jobs.items() if name not in existing]
        for job in missing:
            PeriodicTask.objects.create(name=job.name, **_fixed_fields(job), **default_schedule(job))
        if missing:
            log.info("schedule made", jobs=[job.name for job in missing])
        # A retired task would fail in the worker, or run twice under its new name. Entries of others stay.
        retired = [one for name, one in existing.items() if name not in jobs and one.task.startswith(TASK_PREFIXES)]
        for entry in retired:
            log.info("job removed", job=entry.name, task=entry.task)
            entry.delete()


def job_for_entry(entry: PeriodicTask) -> PeriodicJob | None:
    """Return what the settings say of an entry; None for one that is not ours."""
    return next((job for job in scheduled_jobs() if job.name == entry.name), None)


def default_schedule(job: PeriodicJob) -> dict[str, Any]:
    """Return a job's time where nobody has chosen another, as an entry's fields."""
    if job.at is not None:
        return {"crontab": daily_schedule(*job.at)}
    return {"interval": interval_schedule(*largest_unit(job.every))}


def interval_schedule(every: int, period: str) -> IntervalSchedule:
    # Several rows may be alike, because an administrator can add one; the oldest is used.
    found = IntervalSchedule.objects.filter(every=every, period=period).order_by("pk").first()
    return found or IntervalSchedule.objects.create(every=every, period=period)


def daily_schedule(hour: int, minute: int) -> CrontabSchedule:
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    values = {"hour": str(hour), "minute": str(minute), **every_day}
    return CrontabSchedule.objects.filter(**values).order_by("pk").first() or CrontabSchedule.objects.create(**values)


def largest_unit(seconds: int) -> tuple[int, str]:
    """Return an interval in its largest whole unit: 600 seconds as 10 minutes."""
    size, period = next((size, period) for size, period in UNITS if seconds % size == 0)
    return seconds // size, period


# When an entry runs, as a person chooses it.


PERIODS = ("seconds", "minutes", "hours", "days")
EVERY_DAY = "*"


def time_of_day(entry: PeriodicTask) -> time | None:
    """Return the time (UTC) of an entry that runs once a day; None of any other."""
    crontab = entry.crontab
    if crontab is None or str(crontab.timezone) != "UTC":
        return None
    if {crontab.day_of_week, crontab.day_of_month, crontab.month_of_year} != {EVERY_DAY}:
        return None
    try:
        return time(int(crontab.hour), int(crontab.minute))
    except ValueError:
        return None


def time_fields(entry: PeriodicTask) -> tuple[str, ...]:
    """Return what says when an entry runs, `every` and `period` or `at`; nothing where none of these can say it."""
    if entry.interval is not None and entry.interval.period in PERIODS:
        return ("every", "period")
    return ("at",) if time_of_day(entry) else ()


# The clocks of the processes that send and take these jobs, beside the database's. Celery stamps a message with its
# end by the clock of beat, and a worker discards it by its own: the one place where a machine's clock decides.


CLOCK_SECONDS = 60
"""A clock that is off by more than this is wrong."""
DISCARD_SECONDS = EXPIRES_SECONDS - CLOCK_SECONDS
"""So far ahead of beat, a worker takes every message for too old."""
BEAT, WORKER, WEB = "beat", "worker", "web"
_MEASURED: dict[str, tuple[float, float]] = {}
"""When a kind of process last measured its clock, by a clock that nobody sets, and what the other said then."""
# An hour's wrong clock must not keep its own row young, so the time is the database's; tests don't move this one.
_STORE_CLOCK = """
    INSERT INTO sync_wrong_clocks (process, seconds, measured_at) VALUES (%s, %s, clock_timestamp())
    ON CONFLICT (process) DO UPDATE SET seconds = excluded.seconds, measured_at = excluded.measured_at
"""
_WRONG_CLOCKS = """
    SELECT process, seconds FROM sync_wrong_clocks WHERE measured_at > clock_timestamp() - interval '5 minutes'
"""
"""SQL: what processes said of themselves lately; one that has ended is forgotten."""


@dataclass(frozen=True)
class ClockProblem:
    """A process whose clock is off by so many seconds, ahead where they are positive."""

    process: str
    seconds: float
    discards: bool = False
    """Whether scheduled jobs are discarded for it."""

    @property
    def sentence(self) -> str:
        """What is wrong, what comes of it, and what to do."""
        place = "ahead of" if self.seconds > 0 else "behind"
        effect = " Every scheduled job is discarded as too old." if self.discards else ""
        off = f"is off by {abs(self.seconds):,.0f} s, {place} the database's"
        return f"The clock of the {self.process} {off}.{effect} Set that machine's clock, by NTP."


def clock_offset() -> float:
    """Return by how many seconds this process's clock is ahead of the database's; negative where it is behind."""
    before = wall_clock.time()
    there: float = fetch_rows("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
    return (before + wall_clock.time()) / 2 - there


def report_clock(kind: str, every: float = 60.0) -> None:
    """Store how wrong this process's clock is, or that it is right again.

    Measured once in `every` seconds, and as soon as somebody set the clock.
    """
    now = wall_clock.monotonic()
    origin = wall_clock.time() - now
    measured_at, measured_origin = _MEASURED.get(kind, (-every, origin))
    if now - measured_at < every and abs(origin - measured_origin) < 1:
        return
    _MEASURED[kind] = (now, origin)
    process, offset = process_name(kind), clock_offset()
    if abs(offset) > CLOCK_SECONDS:
        run_sql(_STORE_CLOCK, [process, offset])
    else:
        run_sql("DELETE FROM sync_wrong_clocks WHERE process = %s", [process])


def process_name(kind: str) -> str:
    """Return what a process of this kind is called, with its machine."""
    return f"{kind} on {socket.gethostname()}"


def wrong_clocks() -> list[ClockProblem]:
    """Return the wrong clocks of the installation: as processes said lately, and of this web process."""
    found: dict[str, float] = dict(fetch_rows(_WRONG_CLOCKS))
    own_offset = clock_offset()
    of_beat = min((offset for name, offset in found.items() if name.startswith(BEAT)), default=0.0)
    problems = [
        ClockProblem(name, offset, (0 if name.startswith(BEAT) else offset) - of_beat > DISCARD_SECONDS)
        for name, offset in sorted(found.items())
    ]
    if abs(own_offset) > CLOCK_SECONDS:
        problems.append(ClockProblem(process_name(WEB), own_offset))
    return problems


def _fixed_fields(job: PeriodicJob) -> dict[str, Any]:
    return {
        "task": job.task,
        "description": job.description,
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
        "queue": None,
        "expire_seconds": EXPIRES_SECONDS,
    }
