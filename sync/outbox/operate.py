"""Retry, cancel or discard jobs for a person, one or a hundred thousand, by bulk statements."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models import QuerySet

from conflicts.store import reject_resolutions
from sync import choices
from sync.kernel import grouped
from sync.kernel.acts import NotPossible
from sync.kernel.db import is_lock_conflict, retry_on_lock_timeout, run_sql
from sync.models import ActivityLine, SyncMetadata, SyncQueue
from sync.models.activity_lines import fold_alike
from sync.models.jobs import FAILING_ATTEMPTS
from sync.outbox import wakeups
from sync.outbox.claim import LOCK_TIMEOUT_MS
from sync.outbox.finish import complete_unclaimed
from sync.words.message import Message

log = structlog.get_logger(__name__)

# The codes of the acts on a job (kernel/acts.py).
JobAction = Literal["retry", "cancel", "discard"]

# Changes the failed and the pending jobs of a chunk, by their ids, and returns how many it changed.
ChunkAct = Callable[[list[int], list[int]], int]

# Jobs of one transaction, during which workers wait for these jobs.
CHUNK = 1_000

# A retried job has the id, the attempts and the error of the failed job in its payload until it succeeds.
_RETRIED = """
    jsonb_build_object('retried', jsonb_build_object(
        'job', {job}, 'attempts', attempts + coalesce((payload #>> '{{retried,attempts}}')::int, 0),
        'error', coalesce(nullif(error_message, '')::jsonb, payload #> '{{retried,error}}', '""')))
"""

# If several failed jobs are about one record, the new job has the newest one's operation, and what all asked for.
# `key` has the columns of a unique index of pending jobs, `also` the other column that identifies the job.
_RETRY = """
    INSERT INTO sync_queue AS row ({key}, {also}, operation, payload, priority, causes, max_attempts, next_retry)
    SELECT DISTINCT ON ({key}) {key}, {also}, operation,
        coalesce(requests, '{{}}') || {retried}, %(priority)s,
        causes | {person}, max_attempts, sync_now()
    FROM sync_queue LEFT JOIN (
        SELECT {key}, jsonb_object_agg(request.key, request.value ORDER BY id) AS requests
        FROM sync_queue CROSS JOIN jsonb_each(payload) AS request WHERE id = ANY (%(ids)s) GROUP BY {key}
    ) AS asked USING ({key})
    WHERE id = ANY (%(ids)s) AND entity_id IS {null} NULL ORDER BY {key}, id DESC
    ON CONFLICT ({key}) WHERE status = 'pending' AND entity_id IS {null} NULL
    DO UPDATE SET
        priority = least(row.priority, excluded.priority), causes = row.causes | excluded.causes,
        payload = row.payload || excluded.payload,
        attempts = 0, next_retry = least(row.next_retry, excluded.next_retry), error_message = '', reason = '',
        waits_for_writes = false
"""

# Afterwards the failed job names the job that replaces it.
_NAME_RETRY = """
    UPDATE sync_queue AS failed SET payload = failed.payload || jsonb_build_object('retried_as', retry.id)
    FROM sync_queue AS retry WHERE failed.id = ANY (%(ids)s) AND retry.status = 'pending'
        AND retry.entity_type = failed.entity_type AND retry.entity_id IS NOT DISTINCT FROM failed.entity_id
        AND CASE WHEN failed.entity_id IS NULL THEN retry.remote_id = failed.remote_id
            ELSE retry.direction = failed.direction END
"""

_SHARED = {"person": int(choices.Cause.PERSON), "retried": _RETRIED.format(job="id")}
_RETRY_RECORDS = _RETRY.format(key="entity_type, entity_id, direction", also="remote_id", null="NOT", **_SHARED)
_RETRY_ITEMS = _RETRY.format(key="entity_type, remote_id", also="direction", null="", **_SHARED)

_MAKE_DUE = f"""
    UPDATE sync_queue SET attempts = 0, next_retry = least(next_retry, sync_now()), error_message = '', reason = '',
        waits_for_writes = false, priority = least(priority, %(priority)s),
        causes = causes | {int(choices.Cause.PERSON)},
        payload = payload || CASE WHEN payload ? 'retried' OR attempts >= {FAILING_ATTEMPTS}
                THEN {_RETRIED.format(job="coalesce(payload #> '{retried,job}', to_jsonb(id))")} ELSE '{{}}' END
    WHERE id = ANY (%(ids)s)
"""  # noqa: S608 - a number of ours


@dataclass(frozen=True)
class BulkResult:
    """The numbers of jobs that were changed, that are in progress, and that the action doesn't fit."""

    changed: int
    in_progress: int
    unsuited: int


def retry(jobs: QuerySet[SyncQueue], by: str, *, priority: choices.Priority = choices.Priority.EDIT) -> BulkResult:
    """Make pending jobs due now, and replace failed ones by new jobs, whose attempts begin anew."""

    def retry_chunk(failed: list[int], pending: list[int]) -> int:
        for sql, ids in ((_MAKE_DUE, pending), (_RETRY_RECORDS, failed), (_RETRY_ITEMS, failed)):
            if ids:
                run_sql(sql, {"ids": ids, "priority": int(priority)})
        run_sql(_NAME_RETRY, {"ids": failed})
        complete_unclaimed(failed, Message("retried_by", by=by))
        changed = [*failed, *pending]
        _add_lines(changed, by, Message("job_retried"))
        jobs = SyncQueue.objects.filter(pk__in=changed).order_by()
        for entity_type in jobs.values_list("entity_type", flat=True).distinct():
            wakeups.wake_on_commit(entity_type)
        return len(changed)

    return _operate("retry", by, jobs, retry_chunk)


def cancel(jobs: QuerySet[SyncQueue], by: str) -> BulkResult:
    """End pending jobs without a pass; people's resolutions that they were to apply are rejected."""

    def cancel_chunk(failed: list[int], pending: list[int]) -> int:
        complete_unclaimed(pending, Message("cancelled_by", by=by))
        # A person's resolution would wait for a pass that doesn't come.
        for entity_type, records in _records_by_type(pending).items():
            reason = Message("cancelled_saving", by=by)
            reject_resolutions(entity_type, records, reason)
        of_items = SyncQueue.objects.filter(pk__in=pending, entity_id=None)
        for entity_type, item_id in of_items.values_list("entity_type", "remote_id"):
            reason = Message("cancelled_carrying_out", by=by)
            reject_resolutions(entity_type, [], reason, item_ids=[str(item_id)])
        _add_lines(pending, by, Message("job_cancelled", by=by))
        _clear_failed(pending)
        return len(pending)

    return _operate("cancel", by, jobs, cancel_chunk)


def discard(jobs: QuerySet[SyncQueue], by: str) -> BulkResult:
    """Discard failed jobs; their records stay as they are until something changes."""

    def discard_chunk(failed: list[int], pending: list[int]) -> int:
        complete_unclaimed(failed, Message("discarded_by", by=by))
        _add_lines(failed, by, Message("job_discarded", by=by))
        _clear_failed(failed)
        return len(failed)

    return _operate("discard", by, jobs, discard_chunk)


# Actions that don't fit a job with such a status; the table says what to do instead.
_UNFIT: Mapping[JobAction, Collection[str]] = {
    "retry": [choices.QueueStatus.COMPLETED],
    "cancel": [choices.QueueStatus.COMPLETED, choices.QueueStatus.FAILED],
    "discard": [choices.QueueStatus.COMPLETED, choices.QueueStatus.PENDING],
}


def operate_one(job_id: int, by: str, action: JobAction) -> SyncQueue:
    """Retry, cancel or discard one job; return it, or the job that a retry made.

    A retry goes ahead of other jobs. Raises NotPossible, with what to do instead, if the action doesn't fit.
    """
    job = SyncQueue.objects.filter(pk=job_id).first()
    if job is None:
        raise NotPossible(f"There is no job {job_id}.")
    if job.status in _UNFIT[action]:
        raise NotPossible(Message(f"unfit_{action}_{job.status}", job=job_id))
    jobs = SyncQueue.objects.filter(pk=job_id)
    if action == "retry":
        result = retry(jobs, by, priority=choices.Priority.PERSON)
    elif action == "cancel":
        result = cancel(jobs, by)
    else:
        result = discard(jobs, by)
    if result.in_progress:
        raise NotPossible(f"Job {job_id} is in progress; wait until it is done.")
    if not result.changed:
        raise NotPossible(f"Job {job_id} changed at the same moment. Check it again.")
    if action == "retry":
        key = {"entity_id": job.entity_id, "direction": job.direction}
        if job.entity_id is None:
            key = {"entity_id": None, "remote_id": job.remote_id}
        waiting = SyncQueue.objects.filter(entity_type=job.entity_type, status=choices.QueueStatus.PENDING, **key)
        # There is none any more if a worker took it at once.
        return waiting.first() or jobs.get()
    return jobs.get()


def _operate(action: JobAction, by: str, jobs: QuerySet[SyncQueue], act: ChunkAct) -> BulkResult:
    """Change the jobs chunk by chunk, each in its transaction, so that a save waits for one chunk at most.

    Raises NotPossible if saves keep jobs locked; the chunks before are done, as its sentence says.
    """
    finished = jobs.order_by().filter(status=choices.QueueStatus.COMPLETED).count()
    ids = list(jobs.order_by("pk").exclude(status=choices.QueueStatus.COMPLETED).values_list("pk", flat=True))
    total = 0
    in_progress = 0
    for start in range(0, len(ids), CHUNK):
        try:
            changed, busy = _operate_chunk(act, ids[start : start + CHUNK])
        except OperationalError as error:
            if not is_lock_conflict(error):
                raise
            log.warning("jobs locked", action=action, by=by, changed=total, of=len(ids))
            raise NotPossible(
                f"Done: {total:,} of {len(ids):,}. Somebody is changing the others at this moment. Check the list, and "
                "do the rest in a minute."
            ) from error
        total += changed
        in_progress += busy
    result = BulkResult(total, in_progress, len(ids) - total - in_progress + finished)
    log.info("jobs changed", action=action, by=by, **asdict(result))
    return result


@retry_on_lock_timeout
def _operate_chunk(act: ChunkAct, ids: Sequence[int]) -> tuple[int, int]:
    """Change one chunk; return how many jobs were changed, and how many are in progress."""
    jobs = SyncQueue.objects.filter(pk__in=ids)
    by_status: dict[str, list[int]] = {choices.QueueStatus.FAILED: [], choices.QueueStatus.PENDING: []}
    # The timeout is below PostgreSQL's deadlock_timeout, because a deadlock could fail the save.
    with transaction.atomic():
        run_sql("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        # Locked before their status is read, and in the order of their ids, so that two actions on the same jobs don't
        # deadlock. A job in progress belongs to its worker.
        locked = jobs.filter(status__in=list(by_status)).select_for_update().order_by("pk")
        for pk, status in locked.values_list("pk", "status"):
            by_status[status].append(pk)
        in_progress = jobs.filter(status=choices.QueueStatus.IN_PROGRESS).count()
        return act(by_status[choices.QueueStatus.FAILED], by_status[choices.QueueStatus.PENDING]), in_progress


def _add_lines(ids: Sequence[int], by: str, sentence: Message) -> None:
    """Add a line of activity for each record of these jobs."""
    jobs = SyncQueue.objects.filter(pk__in=ids, entity_id__isnull=False).order_by("pk")
    lines = []
    for (entity_type, entity_id), group in grouped(jobs, lambda job: (job.entity_type, job.entity_id)).items():
        line = ActivityLine(entity_type=entity_type, entity_id=entity_id, kind=choices.ActivityKind.JOB)
        line.remote_id = group[-1].remote_id or ""
        line.sentence = sentence
        line.actor = by
        line.cause = {"act": sentence.code, "by": by, "causes": ["person"], "rows": [job.pk for job in group]}
        lines.append(line)
    ActivityLine.objects.bulk_create(fold_alike(lines))


def _records_by_type(ids: Sequence[int]) -> dict[str, list[UUID]]:
    jobs = SyncQueue.objects.filter(pk__in=ids, entity_id__isnull=False).order_by("entity_type", "entity_id")
    ids_by_type: dict[str, list[UUID]] = {}
    for entity_type, entity_id in jobs.values_list("entity_type", "entity_id").distinct():
        if entity_id is not None:
            ids_by_type.setdefault(entity_type, []).append(entity_id)
    return ids_by_type


def _clear_failed(ids: Sequence[int]) -> None:
    """End the state `failed` in the sync states of these jobs' records, unless another of their jobs has failed."""
    for entity_type, records in _records_by_type(ids).items():
        still_failed = SyncQueue.objects.filter(
            entity_type=entity_type, entity_id__in=records, status=choices.QueueStatus.FAILED
        )
        cleared = set(records) - set(still_failed.values_list("entity_id", flat=True))
        failed = SyncMetadata.objects.of(entity_type, cleared).filter(sync_status=choices.SyncStatus.FAILED)
        failed.update(sync_status=choices.SyncStatus.PENDING)
