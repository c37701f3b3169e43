"""Work the queue to its end, and say what is left and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q

from sync import moments, registry, stopping
from sync.backfill import open_backfill
from sync.boards import link_of
from sync.choices import QueueStatus
from sync.claims import has_due
from sync.clock import SyncNow, sync_now
from sync.models import BoardLease, Intent, IntentState, SyncQueue
from sync.queue import Summary, SyncQueueService
from sync.registry import EntitySpec
from sync.standstill import why_waits, workable

SLICE_SECONDS = 2.0


@dataclass(frozen=True)
class Drained:
    """Queue rows, added up: claimed, and what became of them."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0

    def plus(self, summary: Summary) -> Drained:
        """These and what one more run of the queue did."""
        return Drained(
            self.claimed + summary.claimed,
            self.completed + summary.completed,
            self.failed + summary.failed,
        )

    @property
    def words(self) -> str:
        """The sum as a sentence."""
        return f"{self.claimed:,} looked at: {self.completed:,} done, {self.failed:,} failed."


Progress = Callable[[Drained, int], None]


def drain(
    progress: Progress | None = None, *, entity_type: str | None = None, seconds: float = SLICE_SECONDS
) -> Drained:
    """Process until nothing is due, waiting for others' leases; `progress` is told after each slice.

    Ends with the batch in hand when this process is told to end.
    """
    queue = SyncQueueService()
    total = Drained()
    while True:
        summary = queue.process(entity_type, seconds=seconds if progress else None, wait_for_lease=True)
        total = total.plus(summary)
        if stopping.asked():
            return total
        due = int(queue.get_queue_stats()["due"])
        # Due rows that nobody could claim and nobody works on would not be claimed next time either.
        if not (summary.claimed and due) and not _others_at_work(entity_type):
            return total
        if progress:
            progress(total, due)


def _others_at_work(entity_type: str | None) -> bool:
    """Whether another worker holds a board that has something to do."""
    links = [
        link_of(spec.entity_type) for spec in registry.entities() if entity_type in (None, spec.entity_type)
    ]
    busy = [link for link in links if link and workable(link) and has_due(link.entity_type)]
    leases = BoardLease.objects.filter(link__in=busy, token__isnull=False, expires__gt=SyncNow())
    return leases.exists()


def left_over() -> list[str]:
    """What still stands in the queue, in words, by type: what waits and why, and the dead letters."""
    return [line for spec in registry.entities() for line in _left(spec)]


def _left(spec: EntitySpec) -> list[str]:
    entity_type = spec.entity_type
    rows = SyncQueue.objects.filter(entity_type=entity_type)
    found = rows.aggregate(
        waiting=Count("id", filter=Q(status=QueueStatus.PENDING)),
        working=Count("id", filter=Q(status=QueueStatus.IN_PROGRESS)),
        failed=Count("id", filter=Q(status=QueueStatus.FAILED)),
        soonest=Min("next_retry", filter=Q(status=QueueStatus.PENDING)),
    )
    lines = []
    if found["waiting"]:
        reason = (
            why_waits(entity_type)
            or _in_a_backfill(entity_type)
            or _unknown_outcome(entity_type)
            or _when(found["soonest"])
        )
        lines.append(f"{_counted(found['waiting'], spec)} waiting. {reason}")
    if found["working"]:
        lines.append(f"{_counted(found['working'], spec)} in another worker's hands.")
    if found["failed"]:
        lines.append(
            f"{_counted(found['failed'], spec)} failed for good: retry them in the admin's sync queue."
        )
    return lines


def _counted(number: int, spec: EntitySpec) -> str:
    options = spec.model._meta
    return f"{number:,} {options.verbose_name if number == 1 else options.verbose_name_plural}"


def _in_a_backfill(entity_type: str) -> str:
    """Records that are on their way to the board in bulk are looked at when it is known what became of them."""
    backfill = open_backfill(entity_type)
    if backfill is None:
        return ""
    return f"A backfill is putting {backfill.rows:,} of them on the board; see `manage.py sync_backfill`."


def _unknown_outcome(entity_type: str) -> str:
    """Records with a call whose outcome is not known yet are not touched before its deadline."""
    calls = Intent.objects.filter(entity_type=entity_type, state=IntentState.OPEN, deadline__gt=SyncNow())
    until = calls.aggregate(Max("deadline"))["deadline__max"]
    if until is None:
        return ""
    at = moments.time_of_day(until, seconds=True)
    return f"The outcome of a call to Monday is not known; it is looked for at {at}."


def _when(soonest: datetime) -> str:
    if soonest <= sync_now():
        return "They are due now."
    return f"The next one is due at {moments.time_of_day(soonest, seconds=True)}."
