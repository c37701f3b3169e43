"""What `sync_reconcile` would look at: every linked record, every due row, every item that no record has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from sync.backfill import open_backfill
from sync.choices import QueueStatus
from sync.claims import Claimed
from sync.clock import SyncNow
from sync.dryrun.looking import as_candidate, as_swept
from sync.models import Intent, IntentState, SyncQueue
from sync.models.synced import unsynced
from sync.registry import EntitySpec


def chunks(spec: EntitySpec, items: Iterable[str], size: int) -> Iterator[list[Claimed]]:
    """Yield the claims of a dry run, `size` records and items each; `items` are the board's that no record has."""
    stream = _everything(spec, items, size)
    while chunk := list(islice(stream, size)):
        yield chunk


def waiting_for_an_answer(spec: EntitySpec) -> int:
    """Return how many records no look may touch yet: a call about them has no answer."""
    return _unanswered(spec).values("entity_id").distinct().count()


def items_wait_for_backfill(spec: EntitySpec) -> bool:
    """Whether a backfill of this type is under way, which will tell of its items itself."""
    return open_backfill(spec.entity_type) is not None


def _everything(spec: EntitySpec, items: Iterable[str], size: int) -> Iterator[Claimed]:
    yield from _records(spec, size)
    yield from _others(spec, size)
    due = _due(spec).filter(entity_id=None, remote_id__isnull=False).values_list("remote_id", flat=True)
    if not items_wait_for_backfill(spec):
        for item in dict.fromkeys([*(str(item) for item in due), *items]):
            yield as_candidate(spec.entity_type, item)


def _records(spec: EntitySpec, size: int) -> Iterator[Claimed]:
    """Every linked record that looks may touch, page by page in the order of their ids."""
    linked = spec.model._default_manager.exclude(monday_id=None).exclude(unsynced())
    for page in _pages(linked.order_by("pk"), "pk", size):
        yield from _claims(spec, page, sweeps=True)


def _others(spec: EntitySpec, size: int) -> Iterator[Claimed]:
    """Records with a due row that a sweep does not look at: without an item, without sync, or deleted."""
    rows = _due(spec).exclude(entity_id=None).order_by("entity_id")
    linked = spec.model._default_manager.exclude(monday_id=None).exclude(unsynced())
    for page in _pages(rows, "entity_id", size):
        swept = set(linked.filter(pk__in=page).values_list("pk", flat=True))
        yield from _claims(spec, [pk for pk in page if pk not in swept], sweeps=False)


def _claims(spec: EntitySpec, ids: Sequence[UUID], *, sweeps: bool) -> Iterator[Claimed]:
    rows: dict[UUID, list[SyncQueue]] = {}
    waiting = SyncQueue.objects.filter(
        entity_type=spec.entity_type, entity_id__in=ids, status=QueueStatus.PENDING
    )
    for row in waiting.order_by("priority", "id"):
        assert row.entity_id is not None
        rows.setdefault(row.entity_id, []).append(row)
    unanswered = set(_unanswered(spec).filter(entity_id__in=ids).values_list("entity_id", flat=True))
    for pk in ids:
        if pk not in unanswered:
            yield as_swept(spec.entity_type, pk, rows.get(pk, []), sweeps=sweeps)


def _due(spec: EntitySpec) -> QuerySet[SyncQueue]:
    return SyncQueue.objects.filter(
        entity_type=spec.entity_type, status=QueueStatus.PENDING, next_retry__lte=SyncNow()
    )


def _unanswered(spec: EntitySpec) -> QuerySet[Intent]:
    """As the claim passes them over (sync/claims.py)."""
    pending = Q(deadline__gt=SyncNow()) | Q(item_id="")
    return Intent.objects.filter(pending, entity_type=spec.entity_type, state=IntentState.OPEN)


def _pages(rows: QuerySet[Any], key: str, size: int) -> Iterator[list[UUID]]:
    last: UUID | None = None
    while True:
        rest = rows if last is None else rows.filter(**{f"{key}__gt": last})
        page = list(rest.values_list(key, flat=True).distinct()[:size])
        if not page:
            return
        yield page
        last = page[-1]
