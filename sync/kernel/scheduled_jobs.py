"""The periodic tasks as rows of django-celery-beat: created once, then only administrators change them."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

# Messages expire, so that a worker that was away for a day finds only an hour's.
EXPIRES_SECONDS = 3_600


@dataclass(frozen=True)
class Job:
    """A task that runs at an interval (number and period), or daily at an hour and minute in UTC."""

    name: str
    task: str
    description: str
    every: tuple[int, str] | None = None
    at: tuple[int, int] | None = None


def make_missing_jobs(**kwargs: object) -> None:
    """Create missing rows after migrate; existing ones are never changed."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

    # There is no table if the app's migrations were undone.
    if PeriodicTask._meta.db_table not in connection.introspection.table_names():
        return
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    for job in settings.SCHEDULE:
        if PeriodicTask.objects.filter(name=job.name).exists():
            continue
        values = {"task": job.task, "description": job.description, "expire_seconds": EXPIRES_SECONDS}
        if job.every:
            number, period = job.every
            values["interval"] = _row(IntervalSchedule, every=number, period=period)
        elif job.at:
            hour, minute = job.at
            values["crontab"] = _row(CrontabSchedule, hour=str(hour), minute=str(minute), **every_day)
        PeriodicTask.objects.get_or_create(name=job.name, defaults=values)


def _row(model: Any, **values: Any) -> Any:
    # An administrator may have added an equal row.
    return model.objects.filter(**values).order_by("pk").first() or model.objects.create(**values)
