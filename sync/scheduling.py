"""The schedule in the database: made once, edited by the administrator, never overwritten.

An entry's name, task and description are ours and follow the settings. When it runs, and whether, is the
administrator's from the moment the entry is made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from sync.schedule import EXPIRES_SECONDS, OURS, Job

log = structlog.get_logger(__name__)

LOCK = 0x5C4ED01E
"""An advisory lock's number: of two beats that start together, the second finds everything made."""
UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


def ensure() -> None:
    """Make the entries that are missing, correct what is ours of the others, and remove those of retired jobs."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        there = {entry.name: entry for entry in PeriodicTask.objects.all()}
        for job in settings.SCHEDULE:
            if job.name in there:
                _correct(there[job.name], job)
        missing = [job for job in settings.SCHEDULE if job.name not in there]
        for job in missing:
            PeriodicTask.objects.create(name=job.name, **_ours(job), **usual(job))
        if missing:
            log.info("schedule made", jobs=[job.name for job in missing])
        _remove_retired()


def job_of(entry: PeriodicTask) -> Job | None:
    """Return what the settings say of an entry; None of one that somebody else has made."""
    return next((job for job in settings.SCHEDULE if job.name == entry.name), None)


def usual(job: Job) -> dict[str, Any]:
    """Return when a job runs where nobody has chosen another time, as an entry's fields."""
    if job.at is not None:
        return {"crontab": daily(*job.at)}
    return {"interval": interval(*in_units(job.every))}


def interval(every: int, period: str) -> IntervalSchedule:
    """Return the row of an interval, the same for all entries that use it."""
    found = IntervalSchedule.objects.filter(every=every, period=period).order_by("pk").first()
    return found or IntervalSchedule.objects.create(every=every, period=period)


def daily(hour: int, minute: int) -> CrontabSchedule:
    """Return the row of a time of day (UTC)."""
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    values = {"hour": str(hour), "minute": str(minute), **every_day}
    return CrontabSchedule.objects.filter(**values).order_by("pk").first() or CrontabSchedule.objects.create(
        **values
    )


def in_units(seconds: int) -> tuple[int, str]:
    """Return an interval in its largest whole unit: 600 seconds as 10 minutes."""
    size, period = next((size, period) for size, period in UNITS if seconds % size == 0)
    return seconds // size, period


def seconds_of(every: int, period: str) -> float:
    """Return an interval's length."""
    return timedelta(**{period: every}).total_seconds()


def _ours(job: Job) -> dict[str, Any]:
    return {
        "task": job.task,
        "description": job.does,
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
        "queue": None,
        "expire_seconds": EXPIRES_SECONDS,
    }


def _correct(entry: PeriodicTask, job: Job) -> None:
    wrong = {name: value for name, value in _ours(job).items() if getattr(entry, name) != value}
    if wrong:
        PeriodicTask.objects.filter(pk=entry.pk).update(**wrong)
        PeriodicTasks.update_changed()


def _remove_retired() -> None:
    """What this project no longer schedules would fail in the worker, or run twice under its new name."""
    mine = Q()
    for prefix in OURS:
        mine |= Q(task__startswith=prefix)
    retired = PeriodicTask.objects.filter(mine).exclude(name__in=[job.name for job in settings.SCHEDULE])
    for entry in retired:
        log.info("job removed", job=entry.name, task=entry.task)
        entry.delete()
