"""The schedule: made once after migrate, then left to the administrator."""

from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from config.celery import app
from sync.tasks import Scheduler

pytestmark = pytest.mark.django_db(transaction=True)  # beat closes old connections


def migrate() -> None:
    call_command("migrate", verbosity=0)


def entry(task: str) -> PeriodicTask:
    return PeriodicTask.objects.get(task=task)


def test_migrate_makes_each_job_once() -> None:
    PeriodicTask.objects.all().delete()
    IntervalSchedule.objects.all().delete()
    for _ in range(2):
        migrate()
    assert sorted(PeriodicTask.objects.values_list("name", flat=True)) == sorted(settings.SCHEDULE)
    assert str(entry("sync.sweep").interval) == "every 10 seconds"
    assert (entry("sync.prune").crontab.hour, entry("sync.prune").crontab.minute) == ("2", "40")
    times = list(IntervalSchedule.objects.values_list("every", "period"))
    assert len(times) == len(set(times))


def test_what_an_administrator_chose_survives_the_next_migrate_and_the_next_beat() -> None:
    migrate()
    interval = IntervalSchedule.objects.create(every=3, period="seconds")
    PeriodicTask.objects.filter(task="sync.sweep").update(interval=interval)
    PeriodicTask.objects.filter(task="sync.refresh_quota").update(enabled=False)
    theirs = PeriodicTask.objects.create(name="theirs", task="theirs.task", interval=interval)
    migrate()
    schedule = Scheduler(app=app).schedule
    assert str(entry("sync.sweep").interval) == "every 3 seconds"
    assert entry("sync.refresh_quota").enabled is False
    assert PeriodicTask.objects.filter(pk=theirs.pk).exists()
    assert "Start due jobs" in schedule
    assert "Compare the API quota with Monday's figures" not in schedule


def test_a_schedule_that_could_not_be_read_is_read_again() -> None:
    PeriodicTask.objects.update(enabled=False)
    PeriodicTasks.update_changed()
    scheduler = Scheduler(app=app)
    scheduler.tick()
    fails = iter([True])

    def go_away(execute: Any, sql: str, *query: Any) -> Any:
        if f'FROM "{PeriodicTask._meta.db_table}"' in sql and next(fails, False):
            raise OperationalError("terminating connection due to administrator command")
        return execute(sql, *query)

    interval = IntervalSchedule.objects.create(every=9, period="days")
    PeriodicTask.objects.create(name="theirs", task="theirs.task", interval=interval, last_run_at=timezone.now())
    with connection.execute_wrapper(go_away):
        assert 0 < scheduler.tick() <= 2
        assert next(fails, None) is None
        scheduler.tick()
    assert list(scheduler.schedule) == ["theirs"]


def test_every_job_is_a_task_that_celery_knows_with_the_time_that_it_takes() -> None:
    """Celery ignores unknown settings, and tasks that don't exist."""
    app.loader.import_default_modules()
    assert {task for task, *_ in settings.SCHEDULE.values()} <= app.tasks.keys()
    assert (app.conf.task_acks_late, app.conf.task_soft_time_limit, app.conf.task_time_limit) == (True, 270, 300)
    assert app.tasks["sync.compare_boards"].soft_time_limit >= 3_600
