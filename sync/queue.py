"""SyncQueueService: the queue's door for everything else. The rows are the truth; Celery carries wake-ups only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from sync import account, finish, lease, registry, wake
from sync.boards import link_of
from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.claims import Claimed, claim, has_due
from sync.clock import SyncNow
from sync.connectors.monday.errors import MondayError
from sync.engine import Tally, reconcile
from sync.engine.lost_creates import settle_lost_creates
from sync.enqueue import enqueue_item, enqueue_many
from sync.hooks import desk
from sync.lease import Lease, LeaseLost, giving_way
from sync.marks import mark_failed
from sync.models import BoardLink, SyncQueue

log = structlog.get_logger(__name__)

LINGER_SECONDS = 1.0
"""A wake-up that found the board leased ended at once: its holder looks once more after so long."""
LEASE_WAIT_SECONDS = 0.2


class QueueError(RuntimeError):
    """A row can't be steered that way; the message says why and what to do."""


@dataclass
class Summary:
    """What a run of the queue did, in records."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0
    waiting: int = 0

    def add(self, claimed: int, tally: Tally) -> None:
        """Count one look."""
        self.claimed += claimed
        self.completed += tally.completed
        self.failed += tally.failed
        self.waiting += tally.waiting


class SyncQueueService:
    """Write waiting rows, work them, steer them, count them."""

    def enqueue(
        self,
        entity_type: str,
        entity_id: UUID,
        *,
        direction: QueueDirection = QueueDirection.TO_MONDAY,
        operation: Operation = Operation.UPDATE,
        cause: Cause,
        priority: Priority,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that a record may differ; coalesces with its waiting row of that direction."""
        enqueue_many(
            entity_type,
            [entity_id],
            cause=cause,
            priority=priority,
            direction=direction,
            operation=operation,
            payload=payload,
        )

    def enqueue_item(
        self, entity_type: str, remote_id: str, *, cause: Cause, priority: Priority, due_in_seconds: float
    ) -> None:
        """Say that an item no record has may be new; coalesces with its waiting row."""
        enqueue_item(entity_type, remote_id, cause=cause, priority=priority, due_in_seconds=due_in_seconds)

    def process(
        self,
        entity_type: str | None = None,
        *,
        seconds: float | None = None,
        wait_for_lease: bool = False,
        linger: bool = False,
    ) -> Summary:
        """Work due rows, of one type or of all, until none is due or the time is over.

        A board that another worker holds is left to it, or waited for with `wait_for_lease`. With `linger` the
        board is held a second longer, for wake-ups that found it taken.
        """
        limit = seconds if seconds is not None else settings.CELERY_TASK_TIME_LIMIT / 2
        run = _Run(Summary(), time.monotonic() + limit, wait_for_lease, linger)
        for spec in list(registry.entities()):
            if entity_type in (None, spec.entity_type):
                run.board(spec.entity_type)
        run.summary.waiting = self._waiting(entity_type)
        return run.summary

    def _waiting(self, entity_type: str | None) -> int:
        rows = SyncQueue.objects.filter(status=QueueStatus.PENDING)
        return rows.filter(entity_type=entity_type).count() if entity_type else rows.count()

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a dead letter or a waiting row due now, with all its attempts; raises QueueError."""
        with transaction.atomic():
            row = self._steerable(row_id)
            if row.status == QueueStatus.COMPLETED:
                raise QueueError(
                    f"Row {row_id} is completed; save the record or use “Sync now” to look at it again."
                )
            SyncQueue.objects.filter(pk=row.pk, status=QueueStatus.FAILED).update(
                status=QueueStatus.COMPLETED, finished_at=SyncNow(), error_message=f"retried by {by}"
            )
            self._renew(row, by)
        wake.send(row.entity_type)
        return self._waiting_row(row)

    def _renew(self, row: SyncQueue, by: str) -> None:
        if row.entity_id is None:
            enqueue_item(
                row.entity_type,
                str(row.remote_id),
                cause=Cause.PERSON,
                priority=Priority.PERSON,
                due_in_seconds=0,
            )
        else:
            enqueue_many(
                row.entity_type,
                [row.entity_id],
                cause=Cause.PERSON,
                priority=Priority.PERSON,
                direction=QueueDirection(row.direction),
                operation=Operation(row.operation),
                payload=row.payload | {"by": by},
            )
        self._same(row).update(attempts=0, next_retry=SyncNow(), error_message="", reason="")

    def _same(self, row: SyncQueue) -> Any:
        rows = SyncQueue.objects.filter(entity_type=row.entity_type, status=QueueStatus.PENDING)
        if row.entity_id is None:
            return rows.filter(entity_id=None, remote_id=row.remote_id)
        return rows.filter(entity_id=row.entity_id, direction=row.direction)

    def _waiting_row(self, row: SyncQueue) -> SyncQueue:
        return self._same(row).first() or SyncQueue.objects.get(pk=row.pk)

    def cancel(self, row_id: int, by: str) -> SyncQueue:
        """End a waiting row or a dead letter without looking; raises QueueError for one in flight."""
        with transaction.atomic():
            row = self._steerable(row_id)
            SyncQueue.objects.filter(pk=row.pk).exclude(status=QueueStatus.COMPLETED).update(
                status=QueueStatus.COMPLETED, finished_at=SyncNow(), error_message=f"cancelled by {by}"
            )
            if row.entity_id is not None:
                desk().hand_back(
                    row.entity_type, [row.entity_id], f"{by} cancelled the look that was to carry it out."
                )
        return SyncQueue.objects.get(pk=row_id)

    def _steerable(self, row_id: int) -> SyncQueue:
        row = SyncQueue.objects.select_for_update().filter(pk=row_id).first()
        if row is None:
            raise QueueError(f"There is no queue row {row_id}.")
        if row.status == QueueStatus.IN_PROGRESS:
            raise QueueError(f"Row {row_id} is being worked on right now; wait until it is done.")
        return row

    def get_queue_stats(self) -> dict[str, Any]:
        """Count rows by state; `pending` holds those in backoff or snooze too, `due` those that could go now."""
        by_type = _by_type()
        stats: dict[str, Any] = {
            status: sum(counts.get(status, 0) for counts in by_type.values()) for status in QueueStatus.values
        }
        stats["due"] = self._due().count()
        stats["oldest_due_seconds"] = self.oldest_due_seconds()
        stats["by_type"] = by_type
        return stats

    def oldest_due_seconds(self) -> float:
        """Return for how many seconds the row that is due longest has been due; 0 when none is."""
        return _age(self._due().order_by("next_retry").values_list("next_retry", flat=True).first())

    def _due(self) -> Any:
        waiting = SyncQueue.objects.filter(status=QueueStatus.PENDING, next_retry__lte=SyncNow())
        return waiting.filter(entity_type__in=self._workable())

    def _workable(self) -> list[str]:
        types = [spec.entity_type for spec in registry.entities()]
        return [entity_type for entity_type in types if account.workable(link_of(entity_type))]


def _age(moment: Any) -> float:
    if moment is None:
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM sync_now() - %s)", [moment])
        return float(cursor.fetchone()[0])


def _by_type() -> dict[str, dict[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT entity_type, status, count(*) FROM sync_queue GROUP BY 1, 2")
        found: dict[str, dict[str, int]] = {}
        for entity_type, status, count in cursor.fetchall():
            found.setdefault(entity_type, {})[status] = count
        return found


def _after_fault(held: Lease, claimed: list[Claimed], words: str) -> None:
    with held.held():
        for one in claimed:
            if len(claimed) > 1:
                finish.give_back(one.rows, held.token, words, alone=True)
            else:
                dead = finish.fail(one.rows, held.token, words)
                mark_failed(held.link.entity_type, one.entity_id, words, dead=dead)


def _release(held: Lease) -> None:
    """Give the board back, over a new connection where PostgreSQL has ended ours; else the lease runs out."""
    try:
        held.release()
    except (OperationalError, InterfaceError):
        connection.close()
        with suppress(OperationalError, InterfaceError):
            held.release()


@dataclass
class _Run:
    """One call of process()."""

    summary: Summary
    until: float
    wait_for_lease: bool
    linger: bool

    def board(self, entity_type: str) -> None:
        link = link_of(entity_type)
        if (
            link is None
            or not has_due(entity_type)
            or not account.workable_or_probe_due(link)
            or not account.ready()
        ):
            return
        held = self._lease(link)
        if held is None:
            return
        try:
            self._work(held)
        except LeaseLost as lost:
            log.warning("board lost", board=entity_type, reason=str(lost))
        finally:
            _release(held)

    def _lease(self, link: BoardLink) -> Lease | None:
        while (held := lease.take(link)) is None and self.wait_for_lease and time.monotonic() < self.until:
            time.sleep(LEASE_WAIT_SECONDS)
        return held

    def _work(self, held: Lease) -> None:
        lingered = not self.linger
        while True:
            if time.monotonic() > self.until:
                wake.send(held.link.entity_type)
                return
            if not account.workable(held.link) or not self._lost_creates(held):
                return
            claimed = claim(held, account.batch_size())
            if claimed:
                self._look(held, claimed)
            elif lingered:
                return
            else:
                held.renew()
                time.sleep(LINGER_SECONDS)
                lingered = True

    def _lost_creates(self, held: Lease) -> bool:
        try:
            settle_lost_creates(held)
        except MondayError as error:
            account.hold(held.link, error)
            return False
        return True

    def _look(self, held: Lease, claimed: list[Claimed]) -> None:
        """A fault of our own costs a batch nothing: its records come alone next, where it counts."""
        try:
            self.summary.add(len(claimed), reconcile(held, claimed))
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("look failed", board=held.link.entity_type, records=len(claimed))
            self._after_fault(held, claimed, error)

    def _after_fault(self, held: Lease, claimed: list[Claimed], error: Exception) -> None:
        fault = type(error).__name__
        words = f"NPD Sync itself failed on this record ({fault}). Please report it with the worker's log."
        giving_way(lambda: _after_fault(held, claimed, words))
        self.summary.failed += len(claimed) == 1
