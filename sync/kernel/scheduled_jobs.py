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
    from django_celery_beat.models import PeriodicTask

    # There is no table if the app's migrations were undone.
    if PeriodicTask._meta.db_table not in connection.introspection.table_names():
        return
    for job in settings.SCHEDULE:
        if not PeriodicTask.objects.filter(name=job.name).exists():
            values = {"task": job.task, "description": job.description, "expire_seconds": EXPIRES_SECONDS}
            PeriodicTask.objects.get_or_create(name=job.name, defaults=values | _time_of(job))


def _time_of(job: Job) -> dict[str, Any]:
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    if job.every:
        number, period = job.every
        return {"interval": _row(IntervalSchedule, every=number, period=period)}
    assert job.at is not None
    hour, minute = job.at
    every_day = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
    return {"crontab": _row(CrontabSchedule, hour=str(hour), minute=str(minute), **every_day)}


def _row(model: Any, **values: Any) -> Any:
    # An administrator may have added an equal row.
    return model.objects.filter(**values).order_by("pk").first() or model.objects.create(**values)
