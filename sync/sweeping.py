"""Look at everything: every linked record anew, and every item of the boards that no record has yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F

from sync import account, registry
from sync.account import why_not, why_waits
from sync.boards import link_of
from sync.choices import Cause, Priority, QueueStatus
from sync.clock import sync_now
from sync.connectors.monday.answers import Api
from sync.connectors.monday.documents import Item, first_page, next_page, parse_page
from sync.connectors.monday.errors import CursorExpired, MondayError
from sync.draining import Drained, Progress, drain
from sync.models import BoardLink, RefusedItem, SyncQueue
from sync.queue import SyncQueueService
from sync.registry import EntitySpec

LISTINGS = 3  # a board's listing is begun anew when its cursor expires, at most this often

_LOOK_AT_LINKED = """
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
    SELECT %s, record.id, 'to_monday', 'update', %s, %s
    FROM {table} AS record
    WHERE record.monday_id IS NOT NULL AND record.sync_enabled AND record.sync_direction <> 'none'
    ORDER BY record.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes
"""


@dataclass(frozen=True)
class Swept:
    """What a sweep saw of one board; `problem` says why it could not be seen, empty otherwise."""

    entity: EntitySpec
    linked: int = 0
    items: int = 0
    candidates: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Reconciled:
    """A finished sweep: what each board held, what the looks did, and what could not be looked at."""

    swept: list[Swept]
    drained: Drained
    problems: list[str] = field(default_factory=list)


def reconcile_everything(progress: Progress | None = None) -> Reconciled:
    """Look at every linked record and every unknown item now, until done."""
    started = sync_now()
    swept = [sweep(spec) for spec in registry.entities()]
    drained = drain(progress)
    problems = [f"{one.entity.board_title}: {one.problem}" for one in swept if one.problem]
    for one in swept:
        problems += _not_looked_at(one.entity.entity_type, started)
    return Reconciled(swept, drained, problems)


def sweep(spec: EntitySpec) -> Swept:
    """Put a look at every linked record and at every unknown item of the board into the queue."""
    reason = why_not(spec.entity_type)
    link = link_of(spec.entity_type)
    if reason or link is None:
        return Swept(spec, problem=reason)
    try:
        ids = [item.id for item in board_items(account.client(), link)]
    except MondayError as error:
        problem = f"The board could not be listed. {error.sentence}"
        return Swept(spec, linked=look_at_linked(spec), problem=problem)
    unknown = unknown_items(spec, ids)
    look_at_unknown(spec, unknown)
    return Swept(spec, linked=look_at_linked(spec), items=len(ids), candidates=len(unknown))


def look_at_linked(spec: EntitySpec) -> int:
    """Enqueue a look at every linked record that sync may touch; return how many."""
    sql = _LOOK_AT_LINKED.format(table=connection.ops.quote_name(spec.model._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(sql, [spec.entity_type, int(Priority.SWEEP), int(Cause.SWEEP)])
        return int(cursor.rowcount)


def look_at_unknown(spec: EntitySpec, item_ids: Iterable[str]) -> None:
    """Enqueue a look at items that no record has, all or none."""
    queue = SyncQueueService()
    with transaction.atomic():
        for item_id in sorted(item_ids):
            queue.enqueue_item(
                spec.entity_type, item_id, cause=Cause.SWEEP, priority=Priority.SWEEP, due_in_seconds=0.0
            )


def board_items(client: Api, link: BoardLink) -> Iterator[Item]:
    """Yield the board's active items, 500 a call, anew where the cursor expires. Raises MondayError."""
    for listing in range(LISTINGS):
        try:
            yield from _pages(client, link)
        except CursorExpired:
            if listing + 1 == LISTINGS:
                raise
        else:
            return


def _pages(client: Api, link: BoardLink) -> Iterator[Item]:
    # Which items there are is all that is asked; a look reads their values.
    columns = [link.npd_id_column]
    page = parse_page(client.execute(*first_page(link.board_id, columns)), columns)
    yield from page.items
    while page.cursor:
        page = parse_page(client.execute(*next_page(page.cursor, columns)), columns)
        yield from page.items


def unknown_items(spec: EntitySpec, item_ids: Iterable[str]) -> list[str]:
    """Return those items that no record has and that were not refused before."""
    ids = list(dict.fromkeys(item_ids))
    known = set(spec.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", flat=True))
    refused = RefusedItem.objects.filter(entity_type=spec.entity_type, item_id__in=ids)
    known |= set(refused.values_list("item_id", flat=True))
    return [item_id for item_id in ids if item_id not in known]


def _not_looked_at(entity_type: str, started: datetime) -> list[str]:
    """Rows of linked records that the sweep meant and that are not done, in one sentence a reason."""
    meant = F("causes").bitand(int(Cause.SWEEP))
    rows = SyncQueue.objects.annotate(meant=meant).filter(
        entity_type=entity_type, entity_id__isnull=False, meant__gt=0
    )
    waiting = rows.filter(status=QueueStatus.PENDING, last_attempt__gte=started).exclude(error_message="")
    dead = rows.filter(status=QueueStatus.FAILED, last_attempt__gte=started)
    untouched = rows.filter(status=QueueStatus.PENDING, next_retry__lte=sync_now())
    lines = []
    if count := waiting.count() + dead.count():
        example = (waiting.first() or dead.first()).error_message  # type: ignore[union-attr]
        lines.append(f"{count:,} {entity_type} records could not be looked at. For example: {example}")
    if count := untouched.count():
        reason = why_waits(entity_type) or "Run `manage.py sync_reconcile` again."
        lines.append(f"{count:,} {entity_type} records were not reached. {reason}")
    return lines
