"""The periodic jobs in the database: created once, then the administrator's; edits are never overwritten."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from sync.kernel.timetable import EXPIRES_SECONDS, TASK_PREFIXES, PeriodicJob

log = structlog.get_logger(__name__)

SCHEDULE_LOCK = 0x5C4ED01E
"""An advisory lock's number: when two beats start together, the second finds everything created."""

UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


def ensure_periodic_jobs() -> None:
    """Create missing entries, correct our part of the others, and remove those of retired jobs."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Held until the commit: of two beats that start together, the second finds everything created.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEDULE_LOCK])
        existing = {entry.name: entry for entry in PeriodicTask.objects.all()}
        for job in settings.SCHEDULE:
            if job.name in existing:
                # Only what is ours; when it runs is the administrator's to choose.
                entry = existing[job.name]
                changes = {name: value for name, value in _fixed_fields(job).items() if getattr(entry, name) != value}
                if changes:
                    PeriodicTask.objects.filter(pk=entry.pk).update(**changes)
                    # Beat notices edits by this mark, which `update` doesn't set.
                    PeriodicTasks.update_changed()
        missing = [job for job in settings.SCHEDULE if job.name not in existing]
        for job in missing:
            PeriodicTask.objects.create(name=job.name, **_fixed_fields(job), **default_schedule(job))
        if missing:
            log.info("schedule made", jobs=[job.name for job in missing])
        own_tasks = Q()
        for prefix in TASK_PREFIXES:
            own_tasks |= Q(task__startswith=prefix)
        # A retired task would fail in the worker, or run twice under its new name. Entries of others stay.
        retired = PeriodicTask.objects.filter(own_tasks).exclude(name__in=[job.name for job in settings.SCHEDULE])
        for entry in retired:
            log.info("job removed", job=entry.name, task=entry.task)
            entry.delete()


def job_for_entry(entry: PeriodicTask) -> PeriodicJob | None:
    """Return what the settings say of an entry; None for one that is not ours."""
    return next((job for job in settings.SCHEDULE if job.name == entry.name), None)


def default_schedule(job: PeriodicJob) -> dict[str, Any]:
    """Return a job's time where nobody has chosen another, as an entry's fields."""
    if job.at is not None:
        return {"crontab": daily_schedule(*job.at)}
    return {"interval": interval_schedule(*largest_unit(job.every))}


def interval_schedule(every: int, period: str) -> IntervalSchedule:
    """Return the row of an interval, the same for all entries that use it."""
    # Several rows may be alike, because an administrator can add one; the oldest is used.
    found = IntervalSchedule.objects.filter(every=every, period=period).order_by("pk").first()
    return found or IntervalSchedule.objects.create(every=every, period=period)


def daily_schedule(hour: int, minute: int) -> CrontabSchedule:
    """Return the row of a time of day (UTC)."""
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    values = {"hour": str(hour), "minute": str(minute), **every_day}
    return CrontabSchedule.objects.filter(**values).order_by("pk").first() or CrontabSchedule.objects.create(**values)


def largest_unit(seconds: int) -> tuple[int, str]:
    """Return an interval in its largest whole unit: 600 seconds as 10 minutes."""
    size, period = next((size, period) for size, period in UNITS if seconds % size == 0)
    return seconds // size, period


def interval_seconds(every: int, period: str) -> float:
    """Return an interval's length in seconds."""
    return timedelta(**{period: every}).total_seconds()


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


def longest_seconds(entry: PeriodicTask, every: int, period: str) -> int:
    """Return the longest interval that the job may have, where this one is longer and as good as off; else 0."""
    job = job_for_entry(entry)
    longest = job.max_seconds if job is not None else 0
    return longest if longest and interval_seconds(every, period) > longest else 0


def choose_interval(entry: PeriodicTask, every: int, period: str) -> list[str]:
    """Put an interval on an entry, unsaved; return the names of its columns that changed."""
    entry.interval = interval_schedule(every, period)
    return ["interval"]


def choose_time(entry: PeriodicTask, at: time) -> list[str]:
    """Put a time of day on an entry, unsaved; return the names of its columns that changed."""
    entry.crontab = daily_schedule(at.hour, at.minute)
    return ["crontab"]


def save_choices(entry: PeriodicTask, changed: list[str]) -> None:
    """Write what was chosen and nothing else, for Beat writes the row too."""
    if changed:
        entry.save(update_fields=[*changed, "date_changed"])


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
