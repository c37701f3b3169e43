"""Celery tasks, their schedule as rows, and Beat's scheduler.

Tasks are wake-ups without state; the rows of jobs are the truth. Each ends soon when its worker shuts down, and
continues on its next run (sync/kernel/process.py).
"""

import time
from contextlib import suppress
from typing import Any

import structlog
from celery import current_app, shared_task
from django.conf import settings
from django.db import Error, connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from sync.limits import probes
from sync.operations.comparison import compare_due_boards
from sync.operations.notifications import notify_people
from sync.operations.retention import prune
from sync.operations.setup.plan import make_plan
from sync.operations.setup.run import advance_setups
from sync.operations.sweep import sweep_due_boards
from sync.operations.worker import work
from sync.outbox.claim import orphaned_boards
from sync.outbox.pauses import resume_ended
from sync.outbox.wakeups import wake_board
from sync.records.approvals import release_obsolete

# The time limit of tasks that read whole boards, because a board of 100,000 items takes 200 calls. The others have
# CELERY_TASK_TIME_LIMIT.
LONG_SECONDS = 3_600

# Messages of scheduled tasks expire, so that a worker that was away for a day finds only an hour's.
EXPIRES_SECONDS = 3_600


@shared_task(name="sync.work_board")
def work_board(entity_type: str) -> None:
    """Work one board's due jobs; ends at once if another worker has the board."""
    work(entity_type)


@shared_task(name="sync.sweep")
def sweep() -> None:
    """Work every board with due jobs, also if its wake-up was lost, and end the pauses whose time is over."""
    resume_ended()
    work()


@shared_task(name="sync.refresh_quota")
def refresh_quota() -> None:
    """Compare the used quota with Monday's own figures."""
    probes.refresh_quota()


@shared_task(name="sync.prune")
def prune_old() -> None:
    """Delete rows that are kept no longer."""
    prune()


@shared_task(name="sync.sweep_boards")
def sweep_boards() -> None:
    """Find changes that no webhook reported, on the boards that are due."""
    sweep_due_boards()


@shared_task(name="sync.compare_boards", soft_time_limit=LONG_SECONDS, time_limit=LONG_SECONDS + 60)
def compare_boards() -> None:
    """Compare every item with its record and base, nightly on the boards that are due."""
    compare_due_boards()


@shared_task(name="sync.release_approvals")
def release_approvals() -> None:
    """End the open approval requests whose cause is gone, such as a deletion whose item was restored."""
    release_obsolete()


@shared_task(name="sync.set_up", soft_time_limit=LONG_SECONDS, time_limit=LONG_SECONDS + 60)
def carry_on_set_ups() -> None:
    """Continue the set-ups that people have started."""
    advance_setups()


@shared_task(name="sync.plan_set_up", soft_time_limit=LONG_SECONDS, time_limit=LONG_SECONDS + 60)
def plan_set_up(key: str) -> None:
    """Make the plan that a page of the set-up waits for; for thousands of records it takes long."""
    make_plan(key)


@shared_task(name="sync.notify_people")
def notify() -> None:
    """Notify people of entries that need attention, as each of them chose."""
    notify_people()


def make_missing_periodic_tasks(**kwargs: object) -> None:
    """Create missing rows of the schedule after migrate; from then on only administrators change them."""
    # There is no table if the app's migrations were undone.
    if PeriodicTask._meta.db_table not in connection.introspection.table_names():
        return
    for name, (task, schedule, description) in settings.SCHEDULE.items():
        if not PeriodicTask.objects.filter(name=name).exists():
            options = {"expire_seconds": EXPIRES_SECONDS}
            values = {"task": task, "schedule": schedule, "description": description, "options": options}
            ModelEntry.from_entry(name, current_app, **values)


log = structlog.get_logger(__name__)

# The board of a killed worker should continue within five seconds.
ORPHANS_EVERY_SECONDS = 2.0


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, which also looks for boards whose worker was killed."""

    _orphans_checked_at = -ORPHANS_EVERY_SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send due tasks and wake workers for killed workers' boards; return the seconds until the next tick."""
        try:
            wait = super().tick(*args, **kwargs)
        except Error:
            # django-celery-beat would end if the database goes away while it reads a schedule that has changed.
            log.exception("schedule not read")
            self._initial_read = True
            self._heap_invalidated = True
            return ORPHANS_EVERY_SECONDS
        seconds_left = self._orphans_checked_at + ORPHANS_EVERY_SECONDS - time.monotonic()
        if seconds_left > 0:
            return min(wait, seconds_left)
        self._orphans_checked_at = time.monotonic()
        with suppress(Error):  # if the database is down, the schedule's own queries report it and connect again
            for entity_type in orphaned_boards():
                wake_board(entity_type)
        return min(wait, ORPHANS_EVERY_SECONDS)
