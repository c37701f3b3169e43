"""The queue in numbers. A row is due when its time has come and its board can be worked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q

from sync import registry
from sync.boards import link_of
from sync.choices import QueueStatus
from sync.clock import SyncNow, sync_now
from sync.models import Backfill, BackfillState, BoardLink, Intent, IntentState, QueuePause, SyncQueue
from sync.standstill import free_since, workable


def stats() -> dict[str, Any]:
    """Count rows by state; `pending` holds those in backoff or snooze too, `due` those that could go now."""
    by_type = _by_type()
    found: dict[str, Any] = {
        status: sum(counts.get(status, 0) for counts in by_type.values()) for status in QueueStatus.values
    }
    links = _workable()
    found["due"] = _due().filter(entity_type__in=[link.entity_type for link in links]).count()
    found["oldest_due_seconds"] = _oldest(links)
    found["by_type"] = by_type
    return found


def oldest_due_seconds() -> float:
    """For how many seconds the row that is due longest has been due; 0 when none is."""
    return _oldest(_workable())


def _oldest(links: list[BoardLink]) -> float:
    now = sync_now()
    ages = [(now - since).total_seconds() for link in links if (since := _due_since(link)) is not None]
    return max([0.0, *ages])


def _due_since(link: BoardLink) -> datetime | None:
    """Since when the board's oldest due row could have been worked: not while its board could not."""
    rows = _due().filter(entity_type=link.entity_type).order_by("next_retry")
    oldest = rows.values_list("next_retry", flat=True).first()
    return None if oldest is None else max(oldest, free_since(link) or oldest)


def _due() -> Any:
    """Rows whose time has come, without what no worker may touch: a bulk import's, and those of a paused direction.

    A bulk import's are its records, and as long as it makes items those that no record has (sync/claims.py).
    """
    carried = Intent.objects.filter(
        entity_id=OuterRef("entity_id"), state=IntentState.OPEN, backfill__isnull=False
    )
    due = SyncQueue.objects.filter(status=QueueStatus.PENDING, next_retry__lte=SyncNow())
    paused = QueuePause.objects.filter(
        Q(entity_type="") | Q(entity_type=OuterRef("entity_type")),
        Q(direction="") | Q(direction=OuterRef("direction")),
    )
    importing = Backfill.objects.filter(
        entity_type=OuterRef("entity_type"),
        state__in=[BackfillState.STARTED, BackfillState.UPLOADED, BackfillState.LISTED],
        seen_at__gt=SyncNow() - timedelta(minutes=3),
        put_at__gt=SyncNow() - timedelta(minutes=30),
    )
    items = Q(entity_id=None) & Exists(importing)
    return due.filter(~Exists(carried), ~Exists(paused), ~items)


def _workable() -> list[BoardLink]:
    links = [link_of(spec.entity_type) for spec in registry.entities()]
    return [link for link in links if link is not None and workable(link)]


def _by_type() -> dict[str, dict[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT entity_type, status, count(*) FROM sync_queue GROUP BY 1, 2")
        found: dict[str, dict[str, int]] = {}
        for entity_type, status, count in cursor.fetchall():
            found.setdefault(entity_type, {})[status] = count
        return found
