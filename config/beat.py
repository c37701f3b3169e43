"""Beat's scheduler: the entries in the database, which it makes where they are missing and never overwrites."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.schedules import schedstate
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from config import health
from sync.scheduling import ensure

CLOCKS_DIFFER = timedelta(seconds=60)
"""A last run that is further in the future was written by a clock that was wrong, or is."""


class Entry(ModelEntry):
    """An entry that a wrong clock holds up no longer than its interval."""

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
        """Keep when it ran; of the rest of its row an administrator may be changing something at this moment."""
        row = self.model
        PeriodicTask.objects.filter(pk=row.pk).update(
            last_run_at=row.last_run_at, total_run_count=row.total_run_count
        )


class Scheduler(DatabaseScheduler):
    """Reads the database's entries only; the settings say which of them must be there."""

    Entry = Entry  # Celery's name for it

    def setup_schedule(self) -> None:
        """Make what is missing. Raises OperationalError while the database is away: beat ends and is started again."""
        ensure()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due, and give a sign of life; returns the seconds until the next look."""
        health.give("beat")
        return super().tick(*args, **kwargs)
