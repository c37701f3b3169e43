"""The schedule: made once, the administrator's from then on, and no clock's or second beat's to spoil."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from config.beat import Entry, Scheduler
from config.celery import app
from config.schedule import SCHEDULE
from sync.kernel import periodic_jobs
from sync.kernel.periodic_jobs import TASK_PREFIXES
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)  # beat closes connections that are old


def entry(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def beat() -> Scheduler:
    """A beat that has just started."""
    return Scheduler(app=app)


def test_beat_makes_what_is_missing_when_it_starts() -> None:
    known = set(beat().schedule)
    names = {job.name for job in SCHEDULE}
    assert {one.name for one in PeriodicTask.objects.filter(enabled=True)} == names
    # What runs at an hour of the day is read when that hour is near.
    assert names - known <= {"delete old data"}
    assert entry("sweep for due rows").interval.schedule.seconds == 10
    assert (entry("delete old data").crontab.hour, entry("delete old data").crontab.minute) == ("2", "40")


def test_every_job_is_a_task_that_the_worker_knows_and_begins_as_ours_do() -> None:
    current_app.loader.import_default_modules()
    for job in SCHEDULE:
        assert job.task in current_app.tasks
        assert job.task.startswith(TASK_PREFIXES)
        assert bool(job.every) != bool(job.at)
        assert job.at or job.every <= job.max_seconds


def test_what_an_administrator_chose_survives_every_start() -> None:
    beat()
    PeriodicTask.objects.filter(task="sync.sweep").update(interval=periodic_jobs.interval_schedule(3, "seconds"))
    PeriodicTask.objects.filter(task="sync.refresh_quota").update(enabled=False)
    PeriodicTask.objects.filter(task="sync.prune").update(crontab=periodic_jobs.daily_schedule(4, 15))
    for _ in range(2):
        beat()
    assert str(entry("sweep for due rows").interval) == "every 3 seconds"
    assert entry("compare the quota with Monday's figures").enabled is False
    assert entry("delete old data").crontab.hour == "4"
    assert PeriodicTask.objects.count() == len(SCHEDULE)


def test_what_is_ours_of_an_entry_follows_the_program() -> None:
    beat()
    PeriodicTask.objects.filter(name="sweep for due rows").update(
        task="sync.an_older_name", args='["x"]', expire_seconds=10, enabled=False
    )
    beat()
    found = entry("sweep for due rows")
    assert (found.task, found.args, found.expire_seconds, found.enabled) == ("sync.sweep", "[]", 3_600, False)


def test_a_job_that_is_no_longer_there_goes_and_a_strangers_stays() -> None:
    beat()
    every = periodic_jobs.interval_schedule(1, "hours")
    PeriodicTask.objects.create(name="retired", task="sync.retired", interval=every)
    PeriodicTask.objects.create(name="theirs", task="theirs.task", interval=every)
    beat()
    assert set(PeriodicTask.objects.exclude(name__in=[job.name for job in SCHEDULE])) == {entry("theirs")}


def test_two_beats_that_start_together_make_each_entry_once() -> None:
    at_once(*[periodic_jobs.ensure_periodic_jobs] * 4)
    assert PeriodicTask.objects.count() == len(SCHEDULE)
    times = [(one.every, one.period) for one in IntervalSchedule.objects.all()]
    assert len(times) == len(set(times))
    assert CrontabSchedule.objects.count() == 1


def test_a_last_run_in_the_future_holds_nothing_up() -> None:
    """A beat whose clock was ten minutes ahead ran before, on another machine."""
    beat()
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    PeriodicTask.objects.update(last_run_at=ahead)
    found = Entry(entry("sweep for due rows"))
    assert found.is_due().is_due
    run = next(found)
    assert not run.is_due().is_due
    assert run.last_run_at < ahead
    off = entry("sweep for due rows")
    off.enabled = False
    assert not Entry(off).is_due().is_due


def test_beat_keeps_when_an_entry_ran_and_nothing_that_is_edited_meanwhile() -> None:
    scheduler = beat()
    running: Any = scheduler.schedule["sweep for due rows"]
    PeriodicTask.objects.filter(task="sync.sweep").update(
        enabled=False, interval=periodic_jobs.interval_schedule(3, "seconds")
    )
    next(running).save()
    found = entry("sweep for due rows")
    assert (found.total_run_count, found.enabled, str(found.interval)) == (1, False, "every 3 seconds")
    assert found.last_run_at is not None
