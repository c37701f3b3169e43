"""Fenced finishes: how a claimed row ends. Every statement says `WHERE lease_token = …`.

All of these run inside a transaction that holds the lease (`Lease.held`), so that a worker that lost its
board can't finish rows that another has taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from sync.choices import Cause
from sync.marks import mark_failed
from sync.metrics import Count, add
from sync.metrics.names import DEAD_LETTERS, FAILED_ATTEMPTS
from sync.models import SyncQueue

BACKOFF_MINUTES = (1, 5, 15, 60)
"""Minutes from a failed attempt to the next; the first attempt is made at once, the fifth is the last."""

_COMPLETE = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now(), lease_token = NULL,
        error_message = %s, reason = ''
    WHERE id = ANY (%s::bigint[]) AND lease_token = %s AND status = 'in_progress'
"""
_DEAD = """
    UPDATE sync_queue SET status = 'failed', finished_at = sync_now(), lease_token = NULL, error_message = %s
    WHERE id = %s AND lease_token = %s AND status = 'in_progress'
"""
_WAIT = """
    UPDATE sync_queue AS leaving SET status = 'pending', lease_token = NULL, attempts = {attempts},
        next_retry = {due}, error_message = coalesce(%(error)s, error_message), reason = %(reason)s,
        claim_alone = %(alone)s, causes = causes | %(cause)s, counted = false
    WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND status = 'in_progress'
"""
# The row goes, what it knew stays: its urgency, and, unless a save wrote the waiting row, its attempts
# and the later time. The waiting row is looked for by the two unique indexes that make it the only one.
_HAND_OVER = """
    WITH moved AS (
        UPDATE sync_queue AS waiting SET
            priority = least(waiting.priority, leaving.priority),
            attempts = CASE WHEN waiting.causes & %(save)s = 0 THEN greatest(waiting.attempts, {attempts})
                       ELSE waiting.attempts END,
            next_retry = CASE WHEN waiting.causes & %(save)s = 0 THEN greatest(waiting.next_retry, {due})
                         ELSE waiting.next_retry END,
            causes = waiting.causes | leaving.causes, payload = leaving.payload || waiting.payload,
            claim_alone = waiting.claim_alone OR %(alone)s
        FROM sync_queue AS leaving CROSS JOIN LATERAL (
            SELECT id FROM sync_queue AS same
            WHERE same.status = 'pending' AND same.entity_type = leaving.entity_type
              AND same.entity_id = leaving.entity_id AND same.direction = leaving.direction
            UNION ALL
            SELECT id FROM sync_queue AS same
            WHERE same.status = 'pending' AND same.entity_type = leaving.entity_type
              AND same.entity_id IS NULL AND leaving.entity_id IS NULL AND same.remote_id = leaving.remote_id
        ) AS same
        WHERE leaving.id = ANY (%(ids)s) AND leaving.lease_token = %(token)s AND leaving.status = 'in_progress'
          AND waiting.id = same.id AND waiting.status = 'pending'
        RETURNING leaving.id AS left_id, waiting.id AS waiting_id
    )
    UPDATE sync_queue AS row SET status = 'completed', finished_at = sync_now(), lease_token = NULL,
        error_message = 'superseded by #' || moved.waiting_id, reason = ''
    FROM moved WHERE row.id = moved.left_id
"""
_AS_BEFORE = "leaving.attempts - leaving.counted::int"
_COUNTED = "leaving.attempts"
_AT_ONCE = "leaving.next_retry"
_LATER = "sync_now() + make_interval(secs => %(seconds)s)"
_BACKOFF = (
    "coalesce(leaving.last_attempt, sync_now()) + make_interval(secs => %(seconds)s * (0.9 + 0.2 * random()))"
)


def complete(rows: Iterable[SyncQueue], token: UUID, words: str = "") -> int:
    """End rows whose record was looked at; return how many were still ours."""
    ids = [row.id for row in rows]
    if not ids:
        return 0
    with connection.cursor() as cursor:
        # As one text: written out number by number a hundred of them take longer than the statement.
        cursor.execute(_COMPLETE, [words, f"{{{','.join(map(str, ids))}}}", token])
        return int(cursor.rowcount)


def fail(rows: Sequence[SyncQueue], token: UUID, error: str) -> bool:
    """Count a failure of the record itself; return whether it was the last and the row is a dead letter.

    Of a record's rows that were due the one with the most attempts goes on, the others end with it. One that
    was not due waits on as it did.
    """
    counted = [row for row in rows if row.counted] or list(rows)
    leading = max(counted, key=lambda row: (row.attempts, -row.id))
    complete([row for row in counted if row.id != leading.id], token, f"superseded by #{leading.id}")
    give_back([row for row in rows if row not in counted], token, "")
    dead = leading.attempts >= leading.max_attempts
    board = leading.entity_type
    add([Count(FAILED_ATTEMPTS, board), Count(DEAD_LETTERS, board, value=float(dead))])
    if dead:
        with connection.cursor() as cursor:
            cursor.execute(_DEAD, [error, leading.id, token])
    else:
        minutes = BACKOFF_MINUTES[min(max(leading.attempts, 1), len(BACKOFF_MINUTES)) - 1]
        told = {"error": error, "cause": int(Cause.FAILURE), "seconds": minutes * 60}
        _to_waiting([leading.id], token, _COUNTED, _BACKOFF, told)
    return dead


def give_back(rows: Iterable[SyncQueue], token: UUID, reason: str, *, alone: bool = False) -> None:
    """Return rows with their attempt, due as before: what stopped them was not their record."""
    _to_waiting([row.id for row in rows], token, _AS_BEFORE, _AT_ONCE, {"reason": reason, "alone": alone})


def snooze(rows: Iterable[SyncQueue], token: UUID, seconds: float, reason: str) -> None:
    """Return rows with their attempt, to be looked at after a wait of the record's own."""
    _to_waiting([row.id for row in rows], token, _AS_BEFORE, _LATER, {"reason": reason, "seconds": seconds})


def _to_waiting(ids: Sequence[int], token: UUID, attempts: str, due: str, told: Mapping[str, Any]) -> None:
    """Make rows wait again; where a save has written another meanwhile, they end and hand over."""
    if not ids:
        return
    usual = {"error": None, "reason": "", "alone": False, "cause": 0, "seconds": 0, "save": int(Cause.SAVE)}
    params = {**usual, **told, "token": token, "ids": list(ids)}
    with connection.cursor() as cursor:
        cursor.execute(_HAND_OVER.format(attempts=attempts, due=due), params)
        if cursor.rowcount == len(ids):
            return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_WAIT.format(attempts=attempts, due=due), params)
    except IntegrityError:  # a save committed its row between the two statements
        _one_by_one(ids, token, attempts, due, told)


def _one_by_one(ids: Sequence[int], token: UUID, attempts: str, due: str, told: Mapping[str, Any]) -> None:
    for row_id in ids:
        _to_waiting([row_id], token, attempts, due, told)


def give_back_lost(entity_type: str, token: UUID) -> None:
    """Take back the rows of a worker that died or lost the board.

    A row that was claimed with others gets its attempt back and comes alone next; one that was alone keeps it.
    """
    lost = SyncQueue.objects.filter(entity_type=entity_type, status="in_progress").exclude(lease_token=token)
    among_others: dict[UUID, list[SyncQueue]] = {}
    for row in lost.select_for_update().order_by("entity_id", "id"):
        assert row.lease_token is not None
        if row.claim_size > 1:
            among_others.setdefault(row.lease_token, []).append(row)
        else:
            words = "The worker ended while it looked at this record alone."
            dead = fail([row], row.lease_token, words)
            mark_failed(entity_type, row.entity_id, words, dead=dead)
    for owner, rows in among_others.items():
        give_back(rows, owner, "Its worker ended before it was done.", alone=True)
