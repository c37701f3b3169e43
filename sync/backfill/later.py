"""Records that have to wait for an import, though their queue rows are due: the workers would create them one by one.

Rows of later files, and records whose key another record of the file has too: a look finds that one's item only
when it is there. The wait ends by itself soon after this process has died; a save of such a record ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from types import TracebackType
from uuid import UUID

from django.db import connection

from sync.backfill.holding import Wait
from sync.choices import Priority, QueueStatus
from sync.clock import SyncNow, sync_now
from sync.models import SyncQueue

MINUTES = 10
WORDS = "It waits for the bulk import that is at work."

# A row that a save holds is passed over, and so is one that is put off for a reason of its own.
_HOLD = """
    UPDATE sync_queue SET next_retry = sync_now() + make_interval(mins => %s), reason = %s
    WHERE id IN (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND entity_type = %s AND entity_id = ANY (%s) AND priority > %s
          AND (next_retry <= sync_now() OR reason = %s)
        FOR UPDATE SKIP LOCKED)
"""


class Later:
    """Holds back the queue rows of these records until the `with` block ends."""

    def __init__(self, entity_type: str, ids: Iterable[UUID]) -> None:
        self.entity_type = entity_type
        self._all = list(ids)
        self._held = set(self._all)
        self._until: datetime | None = None

    def __enter__(self) -> Later:
        self._hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """They are due now, whatever became of the import."""
        rows = SyncQueue.objects.filter(
            entity_type=self.entity_type, entity_id__in=self._all, status=QueueStatus.PENDING, reason=WORDS
        )
        rows.update(next_retry=SyncNow(), reason="")

    def begin(self, ids: Iterable[UUID]) -> None:
        """These records' turn has come: their rows wait no more."""
        self._held -= set(ids)
        self._hold()

    def during(self, wait: Wait) -> Wait:
        """The same wait, in which the rest is held on."""

        def waits(seconds: float, words: str) -> None:
            wait(seconds, words)
            if self._until is not None and sync_now() > self._until - timedelta(minutes=MINUTES / 2):
                self._hold()

        return waits

    def _hold(self) -> None:
        if not self._held:
            return
        self._until = sync_now() + timedelta(minutes=MINUTES)
        with connection.cursor() as cursor:
            cursor.execute(
                _HOLD, [MINUTES, WORDS, self.entity_type, list(self._held), int(Priority.PERSON), WORDS]
            )
