"""End claimed jobs: complete, retry, give up, release or defer them, if the lease's token still matches."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from conflicts.store import reject_resolutions
from sync.choices import Cause, QueueStatus, SyncStatus
from sync.clock import SyncNow
from sync.kernel.db import run_sql
from sync.models import SyncMetadata, SyncQueue
from sync.models.jobs import ROUNDS_KEY, backoff
from sync.outbox.jobs import mark_pending
from sync.words.message import Message, as_text

# Not by the ORM, which takes 1.2 ms longer for a hundred rows, a quarter of claiming and ending them.
_COMPLETE = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now(), lease_token = NULL,
        error_message = %s, reason = ''
    WHERE id = ANY (%s::bigint[]) AND lease_token = %s AND status = 'in_progress'
"""

# The stored message of a job that another one replaces.
_SUPERSEDED = "jsonb_build_object('code', 'superseded', 'params', jsonb_build_object('job', {job}))::text"

# Keeps the time at which it failed.
_SUPERSEDE_FAILED = f"""
    UPDATE sync_queue AS failed SET status = 'completed', error_message = {_SUPERSEDED.format(job="settled.job")}
    FROM unnest(%s::uuid[], %s::bigint[]) AS settled (record, job)
    WHERE failed.entity_type = %s AND failed.entity_id = settled.record AND failed.status = 'failed'
        AND failed.created_at < sync_now() AND failed.id <> ALL (%s::bigint[])
"""  # noqa: S608 - made of the constant above

_RETURN = """
    UPDATE sync_queue AS leaving SET status = 'pending', lease_token = NULL, attempts = {attempts},
        next_retry = {due}, error_message = coalesce(%(error)s, error_message), reason = %(reason)s,
        waits_for_writes = coalesce(%(waits_for_writes)s, waits_for_writes),
        claim_at_most = coalesce(%(at_most)s::smallint, claim_at_most), causes = causes | %(cause)s, counted = false,
        payload = (payload - %(rounds_key)s::text) || %(payload)s::jsonb
    WHERE id = ANY (%(ids)s) AND lease_token = %(token)s AND status = 'in_progress'
"""

# Ends a row and merges it into the pending row of the same record, which unique indexes make the only one. Unless the
# pending row has news, it also takes over the attempts, the later time and what it waits for.
_MERGE_INTO_PENDING = """
    WITH moved AS (
        UPDATE sync_queue AS waiting SET
            priority = least(waiting.priority, leaving.priority),
            attempts = CASE WHEN waiting.causes & %(new)s = 0 THEN greatest(waiting.attempts, {attempts})
                       ELSE waiting.attempts END,
            next_retry = CASE WHEN waiting.causes & %(new)s = 0 THEN greatest(waiting.next_retry, {due})
                         ELSE waiting.next_retry END,
            reason = CASE WHEN waiting.causes & %(new)s = 0 THEN %(reason)s ELSE waiting.reason END,
            waits_for_writes = CASE WHEN waiting.causes & %(new)s = 0
                               THEN coalesce(%(waits_for_writes)s, waiting.waits_for_writes)
                               ELSE waiting.waits_for_writes END,
            causes = waiting.causes | leaving.causes,
            payload = (leaving.payload - %(rounds_key)s::text) || %(payload)s::jsonb || waiting.payload,
            last_attempt = greatest(waiting.last_attempt, leaving.last_attempt),
            claim_at_most = coalesce(least(nullif(waiting.claim_at_most, 0), nullif(%(at_most)s::smallint, 0)), 0)
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
        error_message = {superseded}, reason = ''
    FROM moved WHERE row.id = moved.left_id
"""

# The causes of a pending row that is due for itself, whatever came of the row that is merged into it.
NEWS = Cause.SAVE | Cause.PERSON

_ATTEMPTS_BEFORE = "leaving.attempts - leaving.counted::int"
_ATTEMPTS_COUNTED = "leaving.attempts"
_DUE_AS_BEFORE = "leaving.next_retry"
_DUE_LATER = "sync_now() + make_interval(secs => %(seconds)s)"

# By whole seconds, so that records that failed in one pass are due together and cost the calls of one pass.
_DUE_AFTER_BACKOFF = (
    "date_trunc('second', coalesce(leaving.last_attempt, sync_now())) + make_interval(secs => %(seconds)s + 1)"
)


def complete(jobs: Iterable[SyncQueue], token: UUID, message: str = "") -> int:
    """Complete jobs after their record's pass; return how many this lease still had."""
    ids = [job.id for job in jobs]
    if not ids:
        return 0
    # As one text, because a hundred single parameters take longer than the statement.
    return run_sql(_COMPLETE, [as_text(message), f"{{{','.join(map(str, ids))}}}", token])


def complete_unclaimed(ids: Sequence[int], message: str) -> None:
    """Complete jobs that no worker has claimed; the caller has locked them."""
    if ids:
        SyncQueue.objects.filter(pk__in=ids).update(
            status=QueueStatus.COMPLETED, finished_at=SyncNow(), lease_token=None, error_message=message, reason=""
        )


def supersede_failed(entity_type: str, settled: Mapping[UUID, int], unmet: Sequence[int]) -> None:
    """Complete the failed jobs of settled records, except `unmet` ones, whose request is still open.

    `settled` has the id of the job that settled each record.
    """
    if settled:
        run_sql(_SUPERSEDE_FAILED, [list(settled), list(settled.values()), entity_type, list(unmet)])


def fail(jobs: Sequence[SyncQueue], token: UUID, error: str, *, at_most: int = 0) -> bool:
    """Count a failed attempt of a record's jobs; return whether it was the last.

    With `at_most` 1 the record is claimed alone from then on. Of several due jobs the one with the most attempts
    continues, also with what the others asked for, and they end; a job that wasn't due stays pending.
    """
    counted_jobs = [job for job in jobs if job.counted] or list(jobs)
    leading = max(counted_jobs, key=lambda job: (job.attempts, -job.id))
    claimed = SyncQueue.objects.filter(pk=leading.pk, lease_token=token, status=QueueStatus.IN_PROGRESS)
    if others := [job for job in counted_jobs if job.id != leading.id]:
        # What the others ask for, such as a person's unlinking, isn't lost with them.
        requests = {key: value for job in (*others, leading) for key, value in job.payload.items()}
        causes = Cause(leading.causes)
        for job in others:
            causes |= Cause(job.causes)
        priority = min(job.priority for job in counted_jobs)
        claimed.update(payload=requests, causes=int(causes), priority=priority)
        complete(others, token, Message("superseded", job=leading.id))
    release([job for job in jobs if job not in counted_jobs], token, "")
    is_final = leading.attempts >= leading.max_attempts
    if is_final:
        claimed.update(status=QueueStatus.FAILED, finished_at=SyncNow(), lease_token=None, error_message=error)
    else:
        seconds = backoff(leading.attempts).total_seconds()
        values = {"error": error, "cause": int(Cause.FAILURE), "seconds": seconds, "at_most": at_most}
        _return_to_pending([leading.id], token, _ATTEMPTS_COUNTED, _DUE_AFTER_BACKOFF, values)
    return is_final


def fail_unsettled(jobs: Sequence[SyncQueue], token: UUID, error: str) -> bool:
    """Fail a record's jobs whose pass wasn't settled, and store the failure in the record's status and sync state."""
    is_final = fail(jobs, token, error, at_most=1)
    entity_type = jobs[0].entity_type
    entity_id = jobs[0].entity_id
    # No pass will apply the person's resolution any more.
    if is_final:
        reason = Message("resolution_not_saved", why=error)
        items = [jobs[0].remote_id] if jobs[0].remote_id and entity_id is None else []
        reject_resolutions(entity_type, [entity_id] if entity_id else [], reason, item_ids=items)
    if entity_id is None:
        return is_final
    mark_pending(entity_type, [entity_id])
    SyncMetadata.objects.of(entity_type, [entity_id]).update(
        sync_status=SyncStatus.FAILED if is_final else SyncStatus.PENDING,
        last_error=error,
        error_count=F("error_count") + 1,
    )
    return is_final


def own_fault(error: Exception) -> Message:
    """Return the error to store if NPD Sync has a bug; it leaves out the text of `error`, which may have values."""
    return Message("own_fault", quote=type(error).__name__)


def release(jobs: Iterable[SyncQueue], token: UUID, reason: str, *, at_most: int = 0) -> None:
    """Make jobs pending again without counting an attempt or changing when and for what they are due.

    With `at_most` they are claimed next in parts of at most that many records, without any others.
    """
    values = {"reason": reason, "waits_for_writes": None, "at_most": at_most}
    _return_to_pending([job.id for job in jobs], token, _ATTEMPTS_BEFORE, _DUE_AS_BEFORE, values)


def defer(  # noqa: PLR0913 - the columns of a job
    jobs: Iterable[SyncQueue],
    token: UUID,
    seconds: float,
    reason: str,
    *,
    waits_for_writes: bool = False,
    rounds: int = 0,
) -> None:
    """Make jobs pending again without counting an attempt, due after a wait, or once a write succeeds.

    Jobs that wait for writes keep the parts in which they are claimed (`claim_at_most`). `rounds` is the number of
    passes in a row that could not decide the record.
    """
    # An edit on Monday that came meanwhile is read at once, though what the pass couldn't do waits.
    news = int(NEWS | Cause.WEBHOOK)
    values: dict[str, Any] = {"reason": reason, "waits_for_writes": waits_for_writes, "seconds": seconds, "new": news}
    if waits_for_writes:
        values["at_most"] = None
    if rounds:
        values["payload"] = json.dumps({ROUNDS_KEY: rounds})
    _return_to_pending([job.id for job in jobs], token, _ATTEMPTS_BEFORE, _DUE_LATER, values)


def _return_to_pending(ids: Sequence[int], token: UUID, attempts: str, due: str, values: Mapping[str, Any]) -> None:
    """Make jobs pending again, or merge them into the job that a save has written meanwhile.

    `attempts` and `due` are the SQL expressions above for a job's attempts and its next due time. None in `values`
    leaves a column as it is.
    """
    if not ids:
        return
    defaults = {"error": None, "reason": "", "waits_for_writes": False, "at_most": 0, "cause": 0, "seconds": 0}
    defaults |= {"payload": "{}", "new": int(NEWS)}
    fixed = {"rounds_key": ROUNDS_KEY, "token": token, "ids": list(ids)}
    texts = {name: as_text(values[name]) for name in ("error", "reason") if values.get(name)}
    params = {**defaults, **values, **texts, **fixed}
    superseded = _SUPERSEDED.format(job="moved.waiting_id")
    if run_sql(_MERGE_INTO_PENDING.format(attempts=attempts, due=due, superseded=superseded), params) == len(ids):
        return
    try:
        with transaction.atomic():
            run_sql(_RETURN.format(attempts=attempts, due=due), params)
    except IntegrityError:  # a save committed its row between the two statements
        for row_id in ids:
            _return_to_pending([row_id], token, attempts, due, values)


# What failed together, or was claimed together when its worker died, comes again in this many parts, to find the record
# at fault.
PARTS = 4


def release_orphaned(entity_type: str, token: UUID) -> None:
    """Release the jobs of a worker that died or lost the board.

    Jobs that were claimed together are claimed again in parts, and the attempt isn't counted. For a record that was
    alone it is, because the record may have killed the worker.
    """
    orphaned = SyncQueue.objects.filter(entity_type=entity_type, status="in_progress").exclude(lease_token=token)
    shared_claims: dict[tuple[UUID, int], list[SyncQueue]] = {}
    for job in orphaned.select_for_update().order_by("entity_id", "id"):
        assert job.lease_token is not None
        if job.claim_size <= 1:
            fail_unsettled([job], job.lease_token, Message("worker_ended_alone"))
            continue
        # A record is seldom the cause and each part costs calls, so a large batch is tried once more as it was.
        is_tried_whole = not job.claim_at_most and job.claim_size >= 2 * PARTS
        at_most = job.claim_size if is_tried_whole else max(1, job.claim_size // PARTS)
        shared_claims.setdefault((job.lease_token, at_most), []).append(job)
    for (lost_token, at_most), jobs in shared_claims.items():
        release(jobs, lost_token, Message("worker_ended"), at_most=at_most)
