"""Steering rows of the queue, one or a hundred thousand alike: retry, cancel, discard, each set-based.

A row in flight is never touched. Every act is told in the history of the records it was about. How many rows a
person means is said before anything is done: docs/decisions/0045-steering-many-rows.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import OperationalError, connection, transaction
from django.db.models import Count, Q, QuerySet
from psycopg.errors import DeadlockDetected, LockNotAvailable

from sync import wake
from sync.choices import Cause, Priority, QueueStatus, SyncStatus
from sync.hooks import desk
from sync.lease import LOCK_TIMEOUT_MS, giving_way
from sync.models import SyncMetadata, SyncQueue
from sync.queue_errors import HELD, CountChanged, GaveWay, QueueError

log = structlog.get_logger(__name__)

T = TypeVar("T")

CHUNK = 1_000
_END = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now(), error_message = %s, reason = ''
    WHERE id = ANY (%s)
"""
# Where several dead letters are about one record, the newest one's operation goes on.
_AGAIN = """
    INSERT INTO sync_queue AS row ({key}, {also}, operation, payload, priority, causes, max_attempts, next_retry)
    SELECT DISTINCT ON ({key}) {key}, {also}, operation, payload || jsonb_build_object('by', %(by)s::text),
        %(priority)s, causes | {person}, max_attempts, sync_now()
    FROM sync_queue WHERE id = ANY (%(ids)s) AND entity_id IS {null} NULL ORDER BY {key}, id DESC
    ON CONFLICT ({key}) WHERE status = 'pending' AND entity_id IS {null} NULL
    DO UPDATE SET
        priority = least(row.priority, excluded.priority), causes = row.causes | excluded.causes,
        payload = row.payload || excluded.payload,
        attempts = 0, next_retry = least(row.next_retry, excluded.next_retry), error_message = '', reason = ''
"""
_RECORDS_AGAIN = _AGAIN.format(
    key="entity_type, entity_id, direction", also="remote_id", null="NOT", person=int(Cause.PERSON)
)
_ITEMS_AGAIN = _AGAIN.format(
    key="entity_type, remote_id", also="direction", null="", person=int(Cause.PERSON)
)
_AT_ONCE = f"""
    UPDATE sync_queue SET attempts = 0, next_retry = least(next_retry, sync_now()), error_message = '', reason = '',
        priority = least(priority, %(priority)s), causes = causes | {int(Cause.PERSON)},
        payload = payload || jsonb_build_object('by', %(by)s::text)
    WHERE id = ANY (%(ids)s)
"""  # noqa: S608 - a number of ours
_TELL = """
    INSERT INTO sync_decisions (entity_type, entity_id, remote_id, kind, sentence, actor, cause)
    SELECT entity_type, entity_id, coalesce(remote_id, ''), 'steered', %(sentence)s, %(by)s,
        jsonb_build_object('by', %(by)s::text, 'causes', ARRAY['person'], 'rows', array_agg(id ORDER BY id))
    FROM sync_queue WHERE id = ANY (%(ids)s) AND entity_id IS NOT NULL
    GROUP BY entity_type, entity_id, remote_id
"""


@dataclass(frozen=True)
class Steered:
    """How many rows were steered; how many were in flight, and how many others the act doesn't fit."""

    done: int
    in_flight: int
    left: int


@dataclass(frozen=True)
class _Part:
    """Of one chunk: rows that were steered, and rows in flight."""

    done: int
    in_flight: int


@dataclass
class _Rows:
    """The rows of a chunk that may be steered, locked, by what they are; and how many are in flight."""

    by_status: dict[str, list[int]] = field(default_factory=dict)
    in_flight: int = 0

    def of(self, status: QueueStatus) -> list[int]:
        """The ids of those in this state."""
        return self.by_status.get(status, [])

    def part(self, done: int) -> _Part:
        """What became of the chunk."""
        return _Part(done, self.in_flight)


def exactly(rows: QuerySet[SyncQueue], expected: int) -> QuerySet[SyncQueue]:
    """Return just the rows that match now, where there are as many as expected; raises CountChanged.

    Rows that come to match afterwards are not among them. Finished rows are counted, and left out: no act fits them.
    """
    live = ~Q(status=QueueStatus.COMPLETED)
    found = rows.order_by().aggregate(all=Count("pk"), ids=ArrayAgg("pk", filter=live, default=[]))
    if found["all"] != expected:
        raise CountChanged(expected, found["all"])
    return SyncQueue.objects.filter(pk__in=found["ids"])


def retry(rows: QuerySet[SyncQueue], by: str, *, priority: Priority = Priority.EDIT) -> Steered:
    """Make dead letters and waiting rows due now, with all their attempts."""

    def some(ids: Sequence[int]) -> _Part:
        found = _locked(ids)
        dead, waiting = found.of(QueueStatus.FAILED), found.of(QueueStatus.PENDING)
        given = {"by": by, "priority": int(priority)}
        _run(_AT_ONCE, {"ids": waiting, **given}, waiting)
        _end(dead, f"retried by {by}")
        for sql in (_RECORDS_AGAIN, _ITEMS_AGAIN):
            _run(sql, {"ids": dead, **given}, dead)
        _tell([*dead, *waiting], by, f"{by} had it tried again at once, with all its attempts.")
        _wake([*dead, *waiting])
        return found.part(done=len(dead) + len(waiting))

    return _steered("retried", by, rows, some)


def cancel(rows: QuerySet[SyncQueue], by: str) -> Steered:
    """End waiting rows without a look; choices that they were to carry out are handed back."""

    def some(ids: Sequence[int]) -> _Part:
        found = _locked(ids)
        waiting = found.of(QueueStatus.PENDING)
        _end(waiting, f"cancelled by {by}")
        _hand_back(waiting, f"{by} cancelled the look that was to carry it out.")
        _tell(waiting, by, f"{by} cancelled the look that waited. The next change of the record brings one.")
        _no_longer_failed(waiting)
        return found.part(done=len(waiting))

    return _steered("cancelled", by, rows, some)


def discard(rows: QuerySet[SyncQueue], by: str) -> Steered:
    """Throw dead letters away; their records stay as they are until something changes."""

    def some(ids: Sequence[int]) -> _Part:
        found = _locked(ids)
        dead = found.of(QueueStatus.FAILED)
        _end(dead, f"discarded by {by}")
        _tell(dead, by, f"{by} discarded what was given up. The next change of the record brings a look.")
        _no_longer_failed(dead)
        return found.part(done=len(dead))

    return _steered("discarded", by, rows, some)


def _steered(
    what: str, by: str, rows: QuerySet[SyncQueue], some: Callable[[Sequence[int]], _Part]
) -> Steered:
    """Steer the rows a chunk at a time, each in a transaction: a save of one of them waits for no more than that.

    Raises GaveWay where some chunks are done and a save holds on to the rows of the next, QueueError where none is.
    """
    finished = rows.order_by().filter(status=QueueStatus.COMPLETED).count()
    ids = list(rows.order_by("pk").exclude(status=QueueStatus.COMPLETED).values_list("pk", flat=True))
    parts: list[_Part] = []
    for chunk in _chunks(ids):
        # Inside the caller's transaction a second chunk can't give way alone: the rows of the first stay locked.
        keeps = connection.in_atomic_block and bool(parts)
        work = partial(_bounded, partial(some, chunk))
        try:
            parts.append(work() if keeps else patiently(work))
        except QueueError as error:
            if so_far := sum(part.done for part in parts):
                log.warning("queue steered in part", what=what, by=by, rows=so_far, of=len(ids))
                raise GaveWay(so_far, len(ids)) from error
            raise
    done, in_flight = sum(part.done for part in parts), sum(part.in_flight for part in parts)
    found = Steered(done, in_flight, len(ids) - done - in_flight + finished)
    log.info("queue steered", what=what, by=by, rows=done, in_flight=in_flight, left=found.left)
    return found


def patiently(work: Callable[[], T]) -> T:
    """Run a transaction, again when it had to give way to a save; raises QueueError where saves hold on to their rows.

    A save may hold one row and want another that is held here: it is never the save that gives way.
    """
    try:
        return giving_way(work)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
            raise
        raise QueueError(HELD) from error


def _bounded(work: Callable[[], T]) -> T:
    """Wait for no lock as long as PostgreSQL looks for a deadlock: else it could end a save for it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        return work()


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut ids into chunks."""
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


def _locked(ids: Sequence[int]) -> _Rows:
    """Lock what may be steered, in the order of its ids; a row in flight belongs to its worker."""
    named = SyncQueue.objects.filter(pk__in=ids)
    free = named.filter(status__in=[QueueStatus.PENDING, QueueStatus.FAILED])
    found = _Rows()
    for pk, status in free.select_for_update().order_by("pk").values_list("pk", "status"):
        found.by_status.setdefault(status, []).append(pk)
    found.in_flight = named.filter(status=QueueStatus.IN_PROGRESS).count()
    return found


def _run(sql: str, params: Any, ids: Sequence[int]) -> None:
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)


def _end(ids: Sequence[int], said: str) -> None:
    _run(_END, [said, list(ids)], ids)


def _tell(ids: Sequence[int], by: str, sentence: str) -> None:
    _run(_TELL, {"ids": list(ids), "by": by, "sentence": sentence}, ids)


def _records(ids: Sequence[int]) -> dict[str, list[UUID]]:
    """The records that these rows are about, by type."""
    rows = SyncQueue.objects.filter(pk__in=ids, entity_id__isnull=False).order_by("entity_type", "entity_id")
    found: dict[str, list[UUID]] = {}
    for entity_type, entity_id in rows.values_list("entity_type", "entity_id").distinct():
        if entity_id is not None:
            found.setdefault(entity_type, []).append(entity_id)
    return found


def _hand_back(ids: Sequence[int], reason: str) -> None:
    for entity_type, records in _records(ids).items():
        desk().hand_back(entity_type, records, reason)


def _no_longer_failed(ids: Sequence[int]) -> None:
    """The ledger reads `failed` as long as a dead letter is there."""
    for entity_type, records in _records(ids).items():
        dead = SyncQueue.objects.filter(
            entity_type=entity_type, entity_id__in=records, status=QueueStatus.FAILED
        )
        others = set(records) - set(dead.values_list("entity_id", flat=True))
        SyncMetadata.objects.filter(
            entity_type=entity_type,
            system="monday",
            sync_status=SyncStatus.FAILED,
            entity_id__in=[str(record) for record in others],
        ).update(sync_status=SyncStatus.PENDING)


def _wake(ids: Sequence[int]) -> None:
    kinds = SyncQueue.objects.filter(pk__in=ids).order_by().values_list("entity_type", flat=True).distinct()
    for entity_type in list(kinds):
        transaction.on_commit(partial(wake.send, entity_type), robust=True)
