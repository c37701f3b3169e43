"""Beat's scheduler: the entries in the database, which it creates where missing and never overwrites."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import schedstate
from django.db import Error
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from config import health
from sync.kernel.periodic_jobs import BEAT, ensure_periodic_jobs, report_clock
from sync.outbox import notify
from sync.outbox.claim import orphaned_boards

CLOCKS_DIFFER = timedelta(seconds=60)
"""A last run that is further in the future was written by a wrong clock, or this clock is wrong."""
ORPHANS_EVERY_SECONDS = 2.0
"""How often to check whether a worker was killed: its board is to go on within five seconds."""


class Entry(ModelEntry):
    """An entry that a wrong clock delays no longer than its interval."""

    last_run_at: datetime

    def is_due(self) -> schedstate:
        """Run what ran last "in the future" at once, instead of only when that time has come again."""
        now: datetime = self._default_now()
        from_the_future = self.model.enabled and self.last_run_at > now + CLOCKS_DIFFER
        if from_the_future:
            self.last_run_at = now
        found: schedstate = super().is_due()
        return schedstate(True, found.next) if from_the_future else found

    def save(self) -> None:
        """Store when it ran; an administrator may be changing the rest of its row at this moment."""
        row = self.model
        PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=row.last_run_at, total_run_count=row.total_run_count)


class Scheduler(DatabaseScheduler):
    """Reads the database's entries only; the settings say which of them must exist."""

    Entry = Entry  # Celery's name for it
    _orphans_checked_at = -ORPHANS_EVERY_SECONDS

    def setup_schedule(self) -> None:
        """Create missing entries. Raises OperationalError without a database: beat ends and is restarted."""
        ensure_periodic_jobs()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due, notify for killed workers' boards, write a sign of life; return the next wait."""
        health.beat("beat")
        wait = super().tick(*args, **kwargs)
        left = self._orphans_checked_at + ORPHANS_EVERY_SECONDS - time.monotonic()
        if left > 0:
            return min(wait, left)
        self._orphans_checked_at = time.monotonic()
        with suppress(Error):  # the database is away: the schedule's own queries report it, and connect again
            for entity_type in orphaned_boards():
                notify.notify_now(entity_type)
            report_clock(BEAT)
        return min(wait, ORPHANS_EVERY_SECONDS)
