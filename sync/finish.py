"""Fenced finishes: how a claimed row ends. Every statement says `WHERE lease_token = …`.

All of these run inside a transaction that holds the lease (`Lease.held`), so that a worker that lost its
board can't finish rows that another has taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from sync.choices import Cause
from sync.marks import mark_failed
from sync.models import SyncQueue

BACKOFF_MINUTES = (1, 5, 15, 60)
"""Minutes from a failed attempt to the next; the first attempt is made at once, the fifth is the last."""

_COMPLETE = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now(), lease_token = NULL,
        error_message = %s, reason = ''
    WHERE id = ANY (%s) AND lease_token = %s AND status = 'in_progress'
"""
_DEAD = """
    UPDATE sync_queue SET status = 'failed', finished_at = sync_now(), lease_token = NULL, error_message = %s
    WHERE id = %s AND lease_token = %s AND status = 'in_progress'
"""
_WAIT = """
    UPDATE sync_queue SET status = 'pending', lease_token = NULL, attempts = %s, next_retry = {when},
        error_message = %s, reason = %s, claim_alone = %s, causes = causes | %s, counted = false
    WHERE id = %s AND lease_token = %s AND status = 'in_progress'
"""
# The row goes, what it knew stays: its urgency, and, unless a save wrote the waiting row, its attempts
# and the later time.
_HAND_OVER = """
    UPDATE sync_queue AS waiting SET
        priority = least(waiting.priority, leaving.priority),
        attempts = CASE WHEN waiting.causes & {save} = 0 THEN greatest(waiting.attempts, %s) ELSE waiting.attempts END,
        next_retry = CASE WHEN waiting.causes & {save} = 0 THEN greatest(waiting.next_retry, {when})
                     ELSE waiting.next_retry END,
        causes = waiting.causes | leaving.causes, payload = leaving.payload || waiting.payload,
        claim_alone = waiting.claim_alone OR %s
    FROM sync_queue AS leaving
    WHERE leaving.id = %s AND waiting.status = 'pending' AND waiting.entity_type = leaving.entity_type
      AND waiting.id <> leaving.id
      AND ((waiting.entity_id = leaving.entity_id AND waiting.direction = leaving.direction)
           OR (leaving.entity_id IS NULL AND waiting.entity_id IS NULL AND waiting.remote_id = leaving.remote_id))
    RETURNING waiting.id
"""
_AT_ONCE = "next_retry"
_BACKOFF = "coalesce(last_attempt, sync_now()) + make_interval(secs => %s)"
_LATER = "sync_now() + make_interval(secs => %s)"


def complete(rows: Iterable[SyncQueue], token: UUID, words: str = "") -> int:
    """End rows whose record was looked at; return how many were still ours."""
    with connection.cursor() as cursor:
        cursor.execute(_COMPLETE, [words, [row.id for row in rows], token])
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
    if dead:
        with connection.cursor() as cursor:
            cursor.execute(_DEAD, [error, leading.id, token])
    else:
        minutes = BACKOFF_MINUTES[min(max(leading.attempts, 1), len(BACKOFF_MINUTES)) - 1]
        _to_waiting(
            leading, token, leading.attempts, (_BACKOFF, _jittered(minutes * 60)), error, "", Cause.FAILURE
        )
    return dead


def _jittered(seconds: float) -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 0.9 + 0.2 * random()")
        return seconds * float(cursor.fetchone()[0])


def give_back(rows: Iterable[SyncQueue], token: UUID, reason: str, *, alone: bool = False) -> None:
    """Return rows with their attempt, due as before: what stopped them was not their record."""
    for row in rows:
        _to_waiting(
            row,
            token,
            row.attempts - int(row.counted),
            (_AT_ONCE, None),
            row.error_message,
            reason,
            Cause(0),
            alone,
        )


def snooze(rows: Iterable[SyncQueue], token: UUID, seconds: float, reason: str) -> None:
    """Return rows with their attempt, to be looked at after a wait of the record's own."""
    for row in rows:
        _to_waiting(
            row,
            token,
            row.attempts - int(row.counted),
            (_LATER, seconds),
            row.error_message,
            reason,
            Cause(0),
        )


def _to_waiting(
    row: SyncQueue,
    token: UUID,
    attempts: int,
    when: tuple[str, float | None],
    error: str,
    reason: str,
    cause: Cause,
    alone: bool = False,
) -> None:
    """Make a row wait again; where a save has written another meanwhile, this one ends and hands over."""
    if _handed_over(row, token, attempts, when, alone):
        return
    sql, seconds = when
    params: list[Any] = [
        attempts,
        *([seconds] if seconds is not None else []),
        error,
        reason,
        alone,
        int(cause),
        row.id,
        token,
    ]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_WAIT.format(when=sql), params)
    except IntegrityError:  # a save committed its row between the two statements
        _handed_over(row, token, attempts, when, alone)


def _handed_over(
    row: SyncQueue, token: UUID, attempts: int, when: tuple[str, float | None], alone: bool
) -> bool:
    sql, seconds = when
    leaving = sql.replace("next_retry", "leaving.next_retry").replace("last_attempt", "leaving.last_attempt")
    params: list[Any] = [attempts, *([seconds] if seconds is not None else []), alone, row.id]
    with connection.cursor() as cursor:
        cursor.execute(_HAND_OVER.format(save=int(Cause.SAVE), when=leaving), params)
        waiting = cursor.fetchone()
    if waiting is None:
        return False
    complete([row], token, f"superseded by #{waiting[0]}")
    return True


def give_back_lost(entity_type: str, token: UUID) -> None:
    """Take back the rows of a worker that died or lost the board.

    A row that was claimed with others gets its attempt back and comes alone next; one that was alone keeps it.
    """
    lost = SyncQueue.objects.filter(entity_type=entity_type, status="in_progress").exclude(lease_token=token)
    for row in lost.select_for_update().order_by("entity_id", "id"):
        assert row.lease_token is not None
        if row.claim_size > 1:
            give_back([row], row.lease_token, "Its worker ended before it was done.", alone=True)
        else:
            words = "The worker ended while it looked at this record alone."
            dead = fail([row], row.lease_token, words)
            mark_failed(entity_type, row.entity_id, words, dead=dead)
