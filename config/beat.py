"""Beat: django-celery-beat's scheduler, which also looks for boards whose worker was killed."""

import time
from contextlib import suppress
from typing import Any

from django.db import Error
from django_celery_beat.schedulers import DatabaseScheduler

from sync.outbox import wakeups
from sync.outbox.claim import orphaned_boards

# The board of a killed worker should continue within five seconds.
ORPHANS_EVERY_SECONDS = 2.0


class Scheduler(DatabaseScheduler):
    _orphans_checked_at = -ORPHANS_EVERY_SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send due tasks and wake workers for killed workers' boards; return the seconds until the next tick."""
        wait = super().tick(*args, **kwargs)
        seconds_left = self._orphans_checked_at + ORPHANS_EVERY_SECONDS - time.monotonic()
        if seconds_left > 0:
            return min(wait, seconds_left)
        self._orphans_checked_at = time.monotonic()
        with suppress(Error):  # if the database is down, the schedule's own queries report it and connect again
            for entity_type in orphaned_boards():
                wakeups.wake_board(entity_type)
        return min(wait, ORPHANS_EVERY_SECONDS)
