"""A board's lease, which lets one worker write to it, and the due jobs that its holder claims.

A lease has a new token each time, and is renewed by steps and never by a timer, so that a worker that hangs loses its
board. The row names its holder's database session too: if a killed holder's session has ended, its board can be taken
at once; the lease of a holder that hangs has to expire.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Greatest

from sync.choices import Cause, Priority, QueueDirection
from sync.clock import SyncNow
from sync.kernel import db, grouped
from sync.models import BoardLease, BoardLink, SyncQueue
from sync.outbox.finish import release_orphaned
from sync.outbox.pauses import IS_PAUSED

# ruff: noqa: S608 - statements made of the fragments below

# Longer than a call and its transaction take. A holder that hangs keeps its board for this time.
STEP_SECONDS = 60

# Below PostgreSQL's deadlock_timeout (1 s), so that a pass gives way and tries again, never a save.
LOCK_TIMEOUT_MS = 500

# A renewal by fewer seconds is skipped, because each leaves a row version behind, which all claims read past while an
# old transaction is open.
SLACK_SECONDS = 5

# How often `sync.sweep` looks for boards with due jobs, as the settings' SCHEDULE begins.
SWEEP_SECONDS = 10

# After this many lost holders in a row each lease has to expire, in case something kills whoever takes the board.
MAX_LOST_HOLDERS = 5

# Locks the row. The subquery runs before the row is searched, so that its lock_timeout limits that wait too.
_LOCK_LEASE = """
    SELECT extract(epoch FROM expires - sync_now())::float, session_pid, pg_backend_pid() FROM sync_board_leases
    WHERE link_id = (SELECT %(link)s::bigint FROM set_config('lock_timeout', %(lock_timeout)s, true))
        AND token = %(token)s AND expires > sync_now()
    FOR UPDATE
"""

# No session has that number and start time. A session whose start time this role may not see counts as the holder's.
_SESSION_ENDED = f"""(lease.session_pid IS NOT NULL AND lease.lost < {MAX_LOST_HOLDERS} AND NOT EXISTS (
    SELECT FROM pg_stat_activity AS session WHERE session.pid = lease.session_pid
        AND (session.backend_start IS NULL OR session.backend_start = lease.session_start)))"""

# Always one row; it is null behind a pooler, which gives clients its own numbers and whose sessions outlive workers.
_SESSION = """(SELECT max(pid) AS pid, max(backend_start) AS start FROM pg_stat_activity
    WHERE pid = pg_backend_pid() AND pid = %(backend_pid)s) AS session"""

_ACQUIRE = f"""
    UPDATE sync_board_leases AS lease SET token = %(token)s,
        expires = sync_now() + make_interval(secs => %(seconds)s),
        session_pid = session.pid, session_start = session.start,
        lost = CASE WHEN lease.token IS NULL THEN 0 ELSE least(lease.lost + 1, {MAX_LOST_HOLDERS}) END
    FROM {_SESSION}
    WHERE lease.link_id = %(link)s AND (lease.token IS NULL OR lease.expires <= sync_now() OR {_SESSION_ENDED})
"""

_MOVE_SESSION = f"""
    UPDATE sync_board_leases AS lease SET session_pid = session.pid, session_start = session.start
    FROM {_SESSION} WHERE lease.link_id = %(link)s AND lease.token = %(token)s
"""

# A lease that has just expired counts too; later on the sweep for due jobs finds the board.
_ORPHANED_BOARDS = f"""
    SELECT link.entity_type FROM sync_board_leases AS lease JOIN sync_board_links AS link ON link.id = lease.link_id
    WHERE lease.token IS NOT NULL AND lease.expires > sync_now() - make_interval(secs => {SWEEP_SECONDS})
        AND (lease.expires <= sync_now() OR {_SESSION_ENDED})
    ORDER BY 1
"""


class LeaseLost(RuntimeError):
    """Another worker has the board now; nothing may be written in the name of this lease."""


class Lease:
    """The right to write to one board; a context manager that releases it at the end."""

    def __init__(self, link: BoardLink) -> None:
        self.link = link
        self.token = uuid.uuid4()
        self.was_isolated = False  # whether the last claim was of records that are claimed without others

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *failure: object) -> None:
        # If PostgreSQL has closed our connection, a new one is tried once; else the lease expires.
        try:
            self.release()
        except (OperationalError, InterfaceError):
            connection.close()
            with suppress(OperationalError, InterfaceError):
                self.release()

    def renew(self, seconds: float = STEP_SECONDS) -> None:
        """Prolong the lease to at least this many seconds from now; raises LeaseLost."""
        row = BoardLease.objects.filter(link=self.link, token=self.token, expires__gt=SyncNow())
        if not row.update(expires=Greatest("expires", SyncNow() + timedelta(seconds=seconds))):
            raise self._lost_error()

    @contextmanager
    def transaction(self, *, seconds: float = 0) -> Iterator[None]:
        """Open a transaction that locks the lease row, so that no former holder can finish; raises LeaseLost.

        Its lock_timeout makes it give way to a save; see `retry_on_lock_timeout`. With `seconds` the lease is renewed
        to that time if less is left (minus `SLACK_SECONDS`).
        """
        with transaction.atomic():
            seconds_left = self._lock_row()
            if seconds_left is None:
                raise self._lost_error()
            if seconds_left < seconds - SLACK_SECONDS:
                self.renew(seconds)
            yield

    def _lock_row(self) -> float | None:
        """Lock the lease row and return its remaining seconds; None if it has expired or another worker has it."""
        params = {"link": self.link.pk, "token": self.token, "lock_timeout": f"{LOCK_TIMEOUT_MS}ms"}
        for seconds_left, stored_pid, server_pid in db.fetch_prepared(_LOCK_LEASE, params):
            # Null behind a pooler, as `_SESSION` stores it.
            own_pid = server_pid if server_pid == _backend_pid() else None
            if stored_pid != own_pid:  # the connection is a new one
                db.run_sql(_MOVE_SESSION, {"link": self.link.pk, "token": self.token, "backend_pid": _backend_pid()})
            return float(seconds_left)
        return None

    def _lost_error(self) -> LeaseLost:
        return LeaseLost(f"another worker has taken the lease of the {self.link.entity_type} board")

    def release(self) -> None:
        """Release the board, unless another worker has it already."""
        BoardLease.objects.filter(link=self.link, token=self.token).update(
            token=None, expires=SyncNow(), session_pid=None, session_start=None, lost=0
        )


def acquire(link: BoardLink, seconds: float = STEP_SECONDS) -> Lease | None:
    """Take the board's lease if it is free or its holder has died; return None if another worker has it, or may have.

    The jobs that a dead holder left in progress are released.
    """
    lease = Lease(link)
    connection.ensure_connection()
    params = {"link": link.pk, "token": lease.token, "seconds": seconds, "backend_pid": _backend_pid()}
    is_taken = db.run_sql(_ACQUIRE, params)
    # The row is created once for each board.
    if not is_taken and BoardLease.objects.get_or_create(link=link)[1]:
        is_taken = db.run_sql(_ACQUIRE, params)
    if not is_taken:
        return None
    try:
        _release_orphaned(lease)
    except LeaseLost:  # this process was frozen until the lease had expired
        return None
    except Exception:
        lease.release()
        raise
    return lease


@db.retry_on_lock_timeout
def _release_orphaned(lease: Lease) -> None:
    with lease.transaction():
        release_orphaned(lease.link.entity_type, lease.token)


def orphaned_boards() -> list[str]:
    """Return the types of boards whose holder died without releasing them; cheap, because it runs every two seconds."""
    return [row[0] for row in db.fetch_rows(_ORPHANED_BOARDS)]


def _backend_pid() -> int:
    """Our session's number as the server gave it when we connected."""
    return int(connection.connection.info.backend_pid)


_NOT_PAUSED = f"NOT {IS_PAUSED.format(entity_type='%(entity_type)s')}"

# Reads only due jobs, priority by priority, by the index sync_queue_due. The subquery calls `sync_now()` once, so that
# it bounds the index scan; the lateral join keeps the order of priorities.
_DUE = f"""
    SELECT due_row.* FROM unnest(%(priorities)s::smallint[]) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT row.id, row.entity_id, row.remote_id, row.direction, row.claim_at_most, row.priority, row.next_retry
        FROM sync_queue AS row
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND row.priority = level.priority
          AND next_retry <= (SELECT sync_now()) AND {_NOT_PAUSED}
          AND NOT (row.claim_at_most > 0 AND %(skip_isolated)s)
          AND NOT (%(skip_waiting)s AND row.waits_for_writes)
          AND NOT (%(skip_saves)s AND row.direction = 'to_monday' AND row.causes & {int(Cause.PERSON)} = 0)
          AND NOT EXISTS (
            SELECT 1 FROM sync_intents AS intent
            WHERE intent.entity_id = row.entity_id AND intent.state = 'open'
              AND (intent.deadline > sync_now() OR intent.item_id = ''))
        ORDER BY next_retry LIMIT %(size)s
        FOR UPDATE SKIP LOCKED
    ) AS due_row LIMIT %(size)s
"""

# Jobs whose worker died with several records are claimed in smaller parts, and never together with other jobs.
_ONE_BATCH = """
    SELECT ranked.* FROM (
        SELECT due.*, row_number() OVER (PARTITION BY claim_at_most ORDER BY priority, next_retry, id) AS place FROM due
    ) AS ranked
    JOIN (SELECT claim_at_most FROM due ORDER BY priority, next_retry, id LIMIT 1) AS head USING (claim_at_most)
    WHERE claim_at_most = 0 OR place <= claim_at_most
"""

# A record's jobs of the other direction; at most one of each is pending.
_SIBLINGS = f"""
    SELECT sibling.id FROM chosen CROSS JOIN unnest(ARRAY{QueueDirection.values}) AS other (direction)
    CROSS JOIN LATERAL (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND entity_id = chosen.entity_id
          AND direction = other.direction AND {_NOT_PAUSED}
        FOR UPDATE SKIP LOCKED
    ) AS sibling WHERE other.direction <> chosen.direction
"""

_NAMED_ROWS = f"""
    SELECT id FROM sync_queue
    WHERE status = 'pending' AND entity_type = %(entity_type)s AND {_NOT_PAUSED}
      AND (entity_id = ANY (%(ids)s::uuid[]) OR entity_id IS NULL AND remote_id = %(remote_id)s)
    FOR UPDATE SKIP LOCKED
"""

# Jobs that changed meanwhile fail the condition on `status`, which is checked again under the lock. A job not due yet,
# claimed with another of its record, counts no attempt.
_CLAIM_ROWS = """
    UPDATE sync_queue SET status = 'in_progress', lease_token = %(token)s, last_attempt = sync_now(),
        attempts = attempts + (next_retry <= sync_now())::int, counted = next_retry <= sync_now(),
        claim_size = {size}, reason = ''
    WHERE status = 'pending' AND id = ANY ({rows})
    RETURNING {columns}
"""

# The columns that passes read, in the model's order, as `from_db` expects. Others are loaded when needed, because
# reading a time is slow.
_COLUMNS = (
    *("id", "entity_type", "entity_id", "remote_id", "direction", "operation", "payload"),
    *("priority", "causes", "attempts", "max_attempts", "counted"),
)

_CLAIM = f"""
    WITH due AS MATERIALIZED ({_DUE}), chosen AS MATERIALIZED ({_ONE_BATCH})
""" + _CLAIM_ROWS.format(
    size="(SELECT count(DISTINCT coalesce(entity_id::text, remote_id)) FROM chosen)",
    rows=f"ARRAY(SELECT id FROM chosen) || ARRAY({_SIBLINGS})",
    columns=", ".join(_COLUMNS) + ", (SELECT bool_or(claim_at_most > 0) FROM chosen) AS was_isolated",
)

_CLAIM_NAMED = _CLAIM_ROWS.format(
    size="greatest(cardinality(%(ids)s::uuid[]), 1)", rows=f"ARRAY({_NAMED_ROWS})", columns=", ".join(_COLUMNS)
)


@dataclass(frozen=True)
class Claim:
    """A record or an unmatched item with all its claimed jobs."""

    entity_id: UUID | None  # None for an item
    remote_id: str | None
    jobs: Sequence[SyncQueue]

    @cached_property
    def causes(self) -> Cause:
        return Cause(reduce(or_, (job.causes for job in self.jobs), 0))

    @cached_property
    def payload(self) -> dict[str, Any]:
        return {key: value for job in self.jobs for key, value in job.payload.items()}

    @property
    def requested_by(self) -> str:
        """The person who asked for the pass; an empty text if nobody did."""
        return str(self.payload.get("by") or "")


def has_due_or_claimed_jobs(entity_type: str) -> bool:
    """Whether jobs of this type are due and its board isn't paused, or a worker, perhaps a dead one, has claimed some.

    This is cheaper than taking the lease.
    """
    return bool(
        db.fetch_rows(
            "SELECT EXISTS (SELECT 1 FROM sync_queue WHERE entity_type = %(entity_type)s AND ("
            f" (status = 'pending' AND next_retry <= sync_now() AND {_NOT_PAUSED}) OR status = 'in_progress'))",
            {"entity_type": entity_type},
        )[0][0]
    )


def claim(
    lease: Lease, size: int, *, only_urgent: bool = False, skip_waiting: bool = False, skip_saves: bool = False
) -> list[Claim]:
    """Claim up to `size` records with a due job; raises LeaseLost.

    `only_urgent` takes only jobs that a person clicked; `skip_waiting` leaves out jobs waiting for writes, `skip_saves`
    what NPD sends without a click, unless their record has another job. Records with an open intent are left out until
    its deadline, with an unanswered create until its outcome is known.
    """
    priorities = [Priority.PERSON] if only_urgent else sorted(Priority)
    params = {"priorities": [int(priority) for priority in priorities], "size": size}
    params |= {"skip_waiting": skip_waiting, "skip_saves": skip_saves}
    return _group_by_record(_claim_due(lease, params))


def claim_records(lease: Lease, ids: Sequence[UUID]) -> list[Claim]:
    """Claim all pending jobs of these records, except jobs that a save has locked; raises LeaseLost.

    Every record is returned, even if none of its jobs was claimed.
    """
    claims = {claimed.entity_id: claimed for claimed in _claim_named(lease, ids)}
    return [claims.get(entity_id) or Claim(entity_id, None, []) for entity_id in ids]


def claim_job(lease: Lease, job: SyncQueue) -> list[Claim]:
    """Claim all pending jobs of this job's record or unmatched item; empty if none is left. Raises LeaseLost."""
    return _claim_named(lease, [job.entity_id]) if job.entity_id else _claim_named(lease, [], job.remote_id)


@db.retry_on_lock_timeout
def _claim_named(lease: Lease, ids: Sequence[UUID], remote_id: str | None = None) -> list[Claim]:
    with lease.transaction(seconds=STEP_SECONDS):
        claimed_rows = _run_claim(lease, _CLAIM_NAMED, {"ids": list(ids), "remote_id": remote_id})
        return _group_by_record([_load_job(values) for values in claimed_rows])


@db.retry_on_lock_timeout
def _claim_due(lease: Lease, params: Mapping[str, Any]) -> list[SyncQueue]:
    """Claim due jobs.

    After records that were claimed in isolation, others are tried first, so that they don't wait for many passes.
    """
    with lease.transaction(seconds=STEP_SECONDS):
        claimed_rows = []
        if lease.was_isolated:
            claimed_rows = _run_claim(lease, _CLAIM, {**params, "skip_isolated": True})
        claimed_rows = claimed_rows or _run_claim(lease, _CLAIM, {**params, "skip_isolated": False})
        if claimed_rows:
            lease.was_isolated = bool(claimed_rows[0][-1])
        return [_load_job(values) for values in claimed_rows]


def _run_claim(lease: Lease, statement: str, params: Mapping[str, Any]) -> list[Any]:
    return db.fetch_prepared(statement, {"entity_type": lease.link.entity_type, "token": lease.token, **params})


def _load_job(values: Sequence[Any]) -> SyncQueue:
    job = SyncQueue.from_db("default", _COLUMNS, values[: len(_COLUMNS)])
    job.payload = json.loads(job.payload) if job.payload != "{}" else {}  # `from_db` leaves it a text
    return job


def _group_by_record(jobs: Sequence[SyncQueue]) -> list[Claim]:
    in_order = sorted(jobs, key=lambda job: (job.priority, job.id))
    by_record = grouped(in_order, lambda job: (job.entity_id, None if job.entity_id else job.remote_id))
    return [Claim(entity_id, remote_id, record_jobs) for (entity_id, remote_id), record_jobs in by_record.items()]
