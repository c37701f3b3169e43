"""Carrying a confirmed import, or its undo, on to its end; whoever is asked, and however often."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pghistory
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from npd.importing.jobs import note
from npd.importing.models import ImportJob, ImportState, Result
from npd.importing.undoing import undo_some
from npd.importing.writing import write_some
from sync import stopping
from sync.clock import SyncNow

log = structlog.get_logger(__name__)

LOCK = 0x494D504F
"""Names the advisory lock by which one batch is written at a time; any number that nothing else here uses."""
BUSY = (ImportState.RUNNING, ImportState.UNDOING)


def carry_on_all() -> None:
    """Carry on every import that is confirmed, the oldest first; a worker that is told to end stops in between.

    One that comes by while another is at a batch ends: that one goes on, and no worker stands idle for it.
    """
    for job_id in list(
        ImportJob.objects.filter(state__in=BUSY).order_by("moved_at").values_list("pk", flat=True)
    ):
        try:
            carry_on(job_id, patient=False)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever it is, the imports behind it are not to wait for its mend
            log.exception("an import could not be carried on; it is tried again", job=str(job_id))


def carry_on(job_id: UUID, tell: Callable[[ImportJob], None] | None = None, *, patient: bool = True) -> None:
    """Work an import batch by batch; `tell` hears of each. One that is patient takes turns with whoever else does."""
    while not stopping.asked() and (job := _step(job_id, patient=patient)) is not None:
        if tell is not None:
            tell(job)


def _step(job_id: UUID, *, patient: bool = True) -> ImportJob | None:
    """Do one batch in one transaction; return the import while there is more to do, and it is ours to do it."""
    known = ImportJob.objects.filter(pk=job_id, state__in=BUSY).first()
    if known is None:
        return None
    cause = "import" if known.state == ImportState.RUNNING else "undo"
    with (
        pghistory.context(user=known.done_by_id, cause=cause, batch=str(known.pk)),
        transaction.atomic(),
    ):
        if not _alone(patient=patient):
            return None
        job = ImportJob.objects.select_for_update().filter(pk=job_id, state=known.state).first()
        if job is None:
            return known
        decided = write_some(job) if job.state == ImportState.RUNNING else undo_some(job)
        job.moved_at = SyncNow()
        if not decided:
            _finish(job)
        job.save(update_fields=["moved_at", "state"])
        return job


def _alone(*, patient: bool) -> bool:
    """Hold the lock to the end of the transaction: two imports that look for a person at once would both make one."""
    with connection.cursor() as cursor:
        if patient:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _finish(job: ImportJob) -> None:
    writing = job.state == ImportState.RUNNING
    job.state = ImportState.DONE if writing else ImportState.UNDONE
    done, left = (Result.WRITTEN, Result.LEFT) if writing else (Result.UNDONE, Result.KEPT)
    counts = {result: job.rows.filter(result=result).count() for result in (done, left)}
    said = "Import finished" if writing else "Import undone"
    note(job, job.done_by or job.by, f"{said}: {counts[done]} rows done, {counts[left]} left alone.")
