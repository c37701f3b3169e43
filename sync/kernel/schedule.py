"""The periodic tasks as rows of django-celery-beat: made once, and an administrator's from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps as present_apps
from django.conf import settings

EXPIRES_SECONDS = 3_600
"""Seconds after which a message expires: a worker that was away for a day finds an hour's messages."""


@dataclass(frozen=True)
class Job:
    """A task that runs every so many seconds, minutes or hours, or daily at an hour and minute (UTC)."""

    name: str
    task: str
    description: str
    every: tuple[int, str] | None = None
    at: tuple[int, int] | None = None


def make_missing_jobs(apps: Any = present_apps, **kwargs: object) -> None:
    """Make the rows that are missing, after migrate; when a job runs, and whether, is never changed here."""
    try:
        PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    except LookupError:  # its migrations were undone
        return
    for job in settings.SCHEDULE:
        if PeriodicTask.objects.filter(name=job.name).exists():
            continue
        values = {"task": job.task, "description": job.description, "expire_seconds": EXPIRES_SECONDS}
        PeriodicTask.objects.get_or_create(name=job.name, defaults=values | _times(apps, job))


def _times(apps: Any, job: Job) -> dict[str, Any]:
    if job.every:
        number, period = job.every
        return {"interval": _row(apps, "IntervalSchedule", every=number, period=period)}
    assert job.at is not None
    hour, minute = job.at
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    return {"crontab": _row(apps, "CrontabSchedule", hour=str(hour), minute=str(minute), **every_day)}


def _row(apps: Any, model: str, **values: Any) -> Any:
    rows = apps.get_model("django_celery_beat", model).objects
    # Several rows may be alike, because an administrator can add one.
    return rows.filter(**values).order_by("pk").first() or rows.create(**values)
