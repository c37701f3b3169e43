"""The life of an import: read and planned, confirmed or discarded, run or undone, and who may do that."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import PurePath
from typing import Any, BinaryIO
from uuid import UUID

import pghistory
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from npd.imports import files
from npd.imports.files import MAX_BYTES, FileRow, FileTable, ImportFileError, ReaderDied
from npd.imports.import_writer import undo_batch, write_batch
from npd.imports.messages import equal_row_text, other_record_doubt, reading_summary
from npd.imports.models import ImportFile, ImportJob, ImportRow, ImportState, Result, RowOutcome
from npd.imports.resources import (
    CHOICE_CODES,
    FileColumn,
    ImportOptions,
    PlannedRow,
    RecordResource,
    check_columns,
    columns_of,
    counts_of,
    known_titles,
    recognize_fields,
    resource_of,
)
from sync.clock import SyncNow, sync_now
from sync.kernel import process
from sync.kernel.db import advisory_lock
from sync.outbox.notify import send_task
from sync.records.authors import log_action
from sync.registry import may_act

UNCONFIRMED = (ImportState.READING, ImportState.FAILED, ImportState.COLUMNS, ImportState.SHOWN)
CHOOSING = (ImportState.COLUMNS, ImportState.SHOWN)
"""The states in which a person may say which column becomes which field."""

RETENTION_DAYS = 30
"""How long an import can be seen and undone; its rows are personal data, so no longer."""


ALL = "all"


def confirm_import(job: ImportJob, *, by: User, others: Collection[str] = ()) -> bool:
    """Confirm an import; return whether it was this call that did so.

    Of the rows that may be about another record only the `others` are written, by number, or ALL.
    """
    message = "Import confirmed: %(count)d rows to write."
    return _start(job, ImportState.SHOWN, ImportState.RUNNING, by, message, others)


def start_undo(job: ImportJob, *, by: User) -> bool:
    """Start the undo of a written import; return whether it was this call that did so."""
    return _start(job, ImportState.DONE, ImportState.UNDOING, by, "Import is being undone: %(count)d rows.")


def _start(
    job: ImportJob, state: ImportState, new_state: ImportState, by: User, message: str, others: Collection[str] = ()
) -> bool:
    with transaction.atomic():
        rows = ImportJob.objects.filter(pk=job.pk, state=state)
        if not rows.update(state=new_state, done_by=by, moved_at=SyncNow()):
            return False
        doubtful = job.rows.filter(outcome=RowOutcome.OTHER).only("number") if others else ()
        if ticked := [row.pk for row in doubtful if ALL in others or str(row.number) in others]:
            job.rows.filter(pk__in=ticked).update(outcome=RowOutcome.CHANGED, problems=[])
            job.counts[RowOutcome.CHANGED] += len(ticked)
            job.counts[RowOutcome.OTHER] -= len(ticked)
            job.save(update_fields=["counts"])
        log_action(by, job, message % {"count": job.to_write})
        transaction.on_commit(notify_import_worker, robust=True)
    job.refresh_from_db()
    return True


def choose_columns(job: ImportJob, fields: Sequence[str], *, by: User, make_organizations: bool | None = None) -> bool:
    """Have the file compared anew with its columns read into these fields ("": ignored); return whether that could be.

    `make_organizations`, where given, replaces what was chosen with the file. Raises
    ImportFileError where a field is there twice, or none tells which record a row is about.
    """
    columns = columns_of(job.entity_type, job.titles, fields)
    check_columns(job.entity_type, columns)
    chosen = [column.field for column in columns]
    with transaction.atomic():
        waiting = ImportJob.objects.filter(pk=job.pk, state__in=CHOOSING)
        options = job.options | {"chosen": chosen}
        if make_organizations is not None:
            options["make_organizations"] = make_organizations
        if not waiting.update(
            state=ImportState.READING, attempts=0, options=options, counts={}, organizations={}, reason="", facts={},
            columns=_columns_json(columns), rows_read=0, rows_compared=0, moved_at=SyncNow(),
        ):  # fmt: skip
            return False
        read_as = "; ".join(f"“{one.title}” is {one.label}" for one in columns if one.field)
        log_action(by, job, f"Columns chosen: {read_as}."[:1000])
        transaction.on_commit(notify_import_worker, robust=True)
    return True


def discard_import(job: ImportJob, *, by: User) -> bool:
    """Delete an import that nobody confirmed; return whether it existed."""
    with transaction.atomic():
        # Locked before it is deleted: else one that is confirmed at this moment would vanish while it is
        # written.
        unconfirmed = ImportJob.objects.select_for_update().filter(pk=job.pk, state__in=UNCONFIRMED).first()
        if unconfirmed is None:
            return False
        log_action(by, job, "Import discarded; nothing was written.")
        unconfirmed.delete()
    return True


def notify_import_worker() -> None:
    """Notify a worker to read files and run imports; without a broker, Beat asks every minute."""
    send_task("npd.imports")


def delete_expired() -> None:
    """Delete imports that are older than they are kept, but none that is running."""
    limit = sync_now() - timedelta(days=RETENTION_DAYS)
    active = (ImportState.RUNNING, ImportState.UNDOING)
    with transaction.atomic():
        old = ImportJob.objects.filter(made_at__lt=limit).exclude(state__in=active)
        # Locked before they are deleted: one that is confirmed, or to be undone, at this moment stays.
        locked = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
        ImportJob.objects.filter(pk__in=list(locked)).delete()


def may_import(user: Any, entity_type: str) -> bool:
    """Whether a user may import records of this type: whoever may add and change them."""
    return all(may_act(user, act, entity_type) for act in ("add", "change"))


def may_make_organizations(user: Any) -> bool:
    """Whether a user may let an import make organizations that aren't there."""
    return bool(user.has_perm("npd.add_organization"))


def may_undo(user: Any, job: ImportJob) -> bool:
    """Whether a user may undo an import: where it created records, whoever may delete them, too."""
    deletes = bool(job.counts.get(RowOutcome.NEW))
    makes_others = bool(job.options.get("organizations_made"))
    return (
        may_import(user, job.entity_type)
        and (not deletes or may_act(user, "delete", job.entity_type))
        and (not makes_others or bool(user.has_perm("npd.delete_organization")))
    )


# From a file to a stored plan: at once for the command, by a worker for the page.


log = structlog.get_logger(__name__)

MAX_WAITING = 10
"""Files of one person that wait to be read: each is up to 10 MB of the database."""


def read_import_now(
    entity_type: str, name: str, file: BinaryIO, *, options: ImportOptions, by: User, encoding: str = ""
) -> ImportJob:
    """Read a file at once, store what it would write, and return that; raises ImportFileError."""
    job, content = _new_job(entity_type, name, file, options, by, encoding)
    try:
        table = _table(job, content)
    except ReaderDied as error:
        log.warning("the reader of an import ended without an answer", why=str(error))
        raise ImportFileError("reader_died", attempts=1) from error
    plan = _plan_import(job, table)
    with transaction.atomic():
        delete_expired()
        _store(job, table, plan)
    job.refresh_from_db()
    return job


def upload(
    entity_type: str, name: str, file: BinaryIO, *, options: ImportOptions, by: User, encoding: str = ""
) -> ImportJob:
    """Store a file for a worker to read, and return its import; raises ImportFileError. The file isn't opened
    here.
    """
    job, content = _new_job(entity_type, name, file, options, by, encoding)
    with transaction.atomic():
        # One file of the person at a time: of two at once the second one counts the first.
        User.objects.select_for_update(no_key=True).get(pk=by.pk)
        if ImportJob.objects.filter(by=by, state=ImportState.READING).count() >= MAX_WAITING:
            raise ImportFileError("too_many_waiting", most=MAX_WAITING)
        job.save(force_insert=True)
        ImportFile.objects.create(job=job, content=content)
        transaction.on_commit(notify_import_worker, robust=True)
    return job


def _new_job(
    entity_type: str, name: str, file: BinaryIO, options: ImportOptions, by: User, encoding: str
) -> tuple[ImportJob, bytes]:
    """Return an import that isn't stored yet, and its file, checked from outside."""
    name = clean_file_name(name)
    content = file.read(MAX_BYTES + 1)
    files.check_file(name, content)
    stored = asdict(options) | {"encoding": encoding}
    job = ImportJob(entity_type=entity_type, file_name=name, options=stored, by=by, state=ImportState.READING)
    return job, content


def clean_file_name(name: str) -> str:
    """Return a file's name without its folders, and without characters that nobody sees or no table can store."""
    name = "".join(letter for letter in PurePath(name.replace("\\", "/")).name if letter.isprintable())
    return name[-200:] if name.strip(".") else "file"


# --- by a worker ---


def read_pending() -> None:
    """Read the files that wait, the oldest first; those that another worker reads are left to it."""
    while not process.is_shutting_down() and (job := _claim_file()) is not None:
        try:
            _read_file(job)
        # Celery raises it wherever the task is, and it is an Exception: it must end the task, not one file.
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # an unknown error of one file must not stop those behind it
            log.exception("an import could not be read; it is tried again", job=str(job.pk), attempts=job.attempts)


# An attempt is counted before it begins, so that what kills every worker is given up; without a sign of life for so
# long it counts as dead.
ATTEMPTS, LEASE_SECONDS = 3, 60


def _claim_file() -> ImportJob | None:
    """Claim a file that nobody reads for one more attempt; those with all attempts used are given up."""
    dead = Q(moved_at__lt=sync_now() - timedelta(seconds=LEASE_SECONDS))
    due = ImportJob.objects.filter(Q(attempts=0) | dead, state=ImportState.READING).order_by("made_at")
    with transaction.atomic():
        # One that another worker claims, or its owner discards, at this moment is theirs.
        rows = due.select_for_update(skip_locked=True, of=("self",))
        while (job := rows.first()) is not None and job.attempts >= ATTEMPTS:
            _give_up(job)
        if job is not None:
            job.attempts += 1
            counted = {"attempts": job.attempts, "moved_at": SyncNow(), "rows_read": 0, "rows_compared": 0}
            ImportJob.objects.filter(pk=job.pk).update(**counted)
    return job


class Interrupted(Exception):
    """This worker is shutting down, or the file is gone, or another attempt's: no fault of the file."""


class _Attempt:
    """One attempt at a claimed file."""

    def __init__(self, job: ImportJob) -> None:
        # The row, as long as this is the attempt that counts.
        self.row = ImportJob.objects.filter(pk=job.pk, state=ImportState.READING, attempts=job.attempts)
        self._told_at = time.monotonic()

    def tell(self, **progress: int) -> None:
        """Show a sign of life and the progress, at most once a second; raises Interrupted."""
        if process.is_shutting_down():
            raise Interrupted
        if time.monotonic() >= self._told_at + 1:
            self._told_at = time.monotonic()
            if not self.row.update(moved_at=SyncNow(), **progress):
                raise Interrupted

    def is_current(self) -> bool:
        """Whether this is the attempt that counts, in a transaction that keeps it so."""
        return self.row.select_for_update().first() is not None


def _read_file(job: ImportJob) -> None:
    attempt = _Attempt(job)
    content = ImportFile.objects.filter(job=job).values_list("content", flat=True).first()
    table = _stored_table(job) if content is None else None
    if content is None and not (table and table.rows):  # discarded since
        return
    try:
        table = table or _table(job, bytes(content or b""), lambda rows: attempt.tell(rows_read=rows))
        ImportJob.objects.filter(pk=job.pk).update(rows_read=len(table.rows), moved_at=SyncNow())
        plan = _plan_import(job, table, lambda rows: attempt.tell(rows_compared=rows))
        with transaction.atomic():
            if attempt.is_current():
                _store(job, table, plan)
    except ImportFileError as error:
        with transaction.atomic():
            if attempt.is_current() and table is not None and error.code in CHOICE_CODES:
                _ask_for_columns(job, table, error)
            elif attempt.is_current():
                _fail(job, error)
    except ReaderDied as error:
        log.warning(
            "the reader of an import ended without an answer", job=str(job.pk), why=str(error), attempts=job.attempts
        )
        with transaction.atomic():
            # Something outside may have killed the reader, so the file is tried again before it is given up.
            if job.attempts >= ATTEMPTS and attempt.is_current():
                _give_up(job)
    except Interrupted:
        attempt.row.update(attempts=job.attempts - 1)  # it does not count


def _give_up(job: ImportJob) -> None:
    _fail(job, ImportFileError("reader_died", attempts=job.attempts))


def _fail(job: ImportJob, error: ImportFileError) -> None:
    job.state, job.reason, job.facts, job.moved_at = ImportState.FAILED, error.code, error.facts, SyncNow()
    job.save(update_fields=["state", "reason", "facts", "moved_at"])
    ImportFile.objects.filter(job=job).delete()


# --- for both ---


def _table(job: ImportJob, content: bytes, on_rows: Callable[[int], None] = lambda rows: None) -> FileTable:
    return files.read_table(
        content,
        titles=known_titles(),
        encoding=job.options["encoding"],
        limits=files.ReadLimits(settings.IMPORT_READ_SECONDS, settings.IMPORT_READ_MEMORY_MB),
        on_rows=on_rows,
    )


def _plan_import(
    job: ImportJob, table: FileTable, on_rows: Callable[[int], None] = lambda rows: None
) -> RecordResource:
    columns = _columns_of(job, table)
    check_columns(job.entity_type, columns)
    options = ImportOptions(job.options["clear_empty"], job.options["make_organizations"])
    resource = resource_of(job.entity_type)(job.entity_type, table, columns, options, on_rows)
    resource.plan()
    return resource


def _columns_of(job: ImportJob, table: FileTable) -> list[FileColumn]:
    """The file's columns as a person chose them, else as their titles say."""
    fields = job.options.get("chosen") or recognize_fields(job.entity_type, table.titles)
    return columns_of(job.entity_type, table.titles, fields)


def _columns_json(columns: Iterable[FileColumn]) -> list[list[str]]:
    return [[column.title, column.label] for column in columns]


def _stored_table(job: ImportJob) -> FileTable:
    """The file, as its rows were stored when it was first read."""
    rows = job.rows.order_by("number").only("number", "cells", "broken")
    stored = (FileRow(row.number, row.cells, {int(at): what for at, what in row.broken.items()}) for row in rows)
    return FileTable(job.titles, list(stored), {})


def _ask_for_columns(job: ImportJob, table: FileTable, error: ImportFileError) -> None:
    """Store the file without a plan: a person says which column becomes which field."""
    columns = _columns_of(job, table)
    job.state, job.reason, job.facts = ImportState.COLUMNS, error.code, error.facts
    _store_rows(job, table, columns, [PlannedRow(row, {}) for row in table.rows])


def _store(job: ImportJob, table: FileTable, plan: RecordResource) -> None:
    """Store what the file would write, and apart what it writes only where a person says so."""
    planned_rows = plan.planned.values()
    for row in () if job.options["other_people"] else planned_rows:
        if row.record and (doubt := other_record_doubt(job.entity_type, row.before, row.after, plan.labels)):
            row.outcome, row.problems = RowOutcome.OTHER, [("", doubt)]
    for number, other in plan.same_as.items():
        plan.planned[number].problems = [("", equal_row_text(number, other, plan.planned[other].outcome))]
    job.state, job.reason, job.facts = ImportState.SHOWN, "", {}
    job.counts, job.organizations = counts_of(planned_rows), plan.organizations
    _store_rows(job, table, plan.columns, planned_rows)


def _store_rows(
    job: ImportJob, table: FileTable, columns: Sequence[FileColumn], planned_rows: Iterable[PlannedRow]
) -> None:
    """Store the import with its rows, in place of those that it had; the file itself is deleted."""
    is_planned = job.state == ImportState.SHOWN
    job.how = reading_summary(table.reading)[:255] if table.reading else job.how
    job.rows_read = job.rows_compared = len(table.rows)
    job.columns, job.moved_at = _columns_json(columns), SyncNow()
    job.options = job.options | {"fields": [column.field for column in columns]}
    job.save()
    rows = (
        ImportRow(
            job=job,
            number=planned.row.number,
            outcome=planned.outcome if is_planned else "",
            record_id=planned.record.pk if planned.record else None,
            name=str(planned.texts.get("name") or planned.record or "")[:255],
            cells=list(planned.row.cells),
            broken=planned.row.problems,
            before=planned.before,
            after=planned.after,
            problems=planned.problems,
            warnings=planned.warnings,
        )
        for planned in planned_rows
    )
    job.rows.all().delete()
    ImportRow.objects.bulk_create(rows, batch_size=1000)
    ImportFile.objects.filter(job=job).delete()


# Running imports and undos, and reading files; by any process, as often as it is asked.


IMPORT_LOCK = 0x494D504F
"""Key of the advisory lock by which one batch at a time is written; any otherwise unused number."""

ACTIVE_STATES = (ImportState.RUNNING, ImportState.UNDOING)


def run_all() -> None:
    """Delete old imports, run every one that is confirmed, the oldest first, then read the files that wait.

    On shutdown a worker stops in between. Where another worker has a batch, this one leaves the rest to it:
    no worker waits idle for another.
    """
    delete_expired()
    for job_id in list(
        ImportJob.objects.filter(state__in=ACTIVE_STATES).order_by("moved_at").values_list("pk", flat=True)
    ):
        try:
            while not process.is_shutting_down() and _run_batch(job_id):
                pass
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # an unknown error of one import must not stop those behind it
            log.exception("an import could not be continued; it is tried again", job=str(job_id))
    read_pending()


def _run_batch(job_id: UUID) -> ImportJob | None:
    """Do one batch in one transaction; return the import while there is more for this process to do."""
    known = ImportJob.objects.filter(pk=job_id, state__in=ACTIVE_STATES).first()
    if known is None:
        return None
    cause = "import" if known.state == ImportState.RUNNING else "undo"
    with pghistory.context(user=known.done_by_id, cause=cause, batch=str(known.pk)), transaction.atomic():
        # Held to the end of the transaction: two imports that look for one person at once would both create it.
        if not advisory_lock(IMPORT_LOCK, "try"):
            return None
        # Another process may have ended it while this one waited for the lock: then it is read again.
        job = ImportJob.objects.select_for_update().filter(pk=job_id, state=known.state).first()
        if job is None:
            return known
        decided = write_batch(job) if job.state == ImportState.RUNNING else undo_batch(job)
        job.moved_at = SyncNow()
        if not decided:
            is_write = job.state == ImportState.RUNNING
            job.state = ImportState.DONE if is_write else ImportState.UNDONE
            done, skipped = (Result.WRITTEN, Result.LEFT) if is_write else (Result.UNDONE, Result.KEPT)
            counts = {result: job.rows.filter(result=result).count() for result in (done, skipped)}
            message = "Import finished" if is_write else "Import undone"
            log_action(
                job.done_by or job.by, job, f"{message}: {counts[done]} rows done, {counts[skipped]} left alone."
            )
        job.save(update_fields=["moved_at", "state"])
        return job
