"""From a file to a stored plan, and from there to a confirmed import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from npd.importing.columns import MODELS, recognised
from npd.importing.models import ImportJob, ImportRow, ImportState, Outcome
from npd.importing.planning import Options, Plan, Planned
from npd.importing.tables import table_of
from sync import acts_log
from sync.clock import SyncNow, sync_now
from sync.wake import nudge

KEPT_DAYS = 30
"""How long an import can be looked at and undone; its rows hold people's data, so no longer."""


def offer(
    entity_type: str, name: str, file: BinaryIO, *, options: Options, by: User, encoding: str = ""
) -> ImportJob:
    """Read a file, store what it would write, and return that; no record is written. Raises ImportFileError."""
    name = PurePath(name.replace("\\", "/")).name[-200:].replace("\0", "") or "file"
    table = table_of(name, file, encoding=encoding)
    columns = recognised(entity_type, table.titles)
    plan = Plan(entity_type, table, columns, options)
    with transaction.atomic():
        forget_old()
        job = ImportJob.objects.create(
            entity_type=entity_type,
            file_name=name,
            how=table.how[:255],
            options={
                "clear_empty": options.clear_empty,
                "make_organizations": options.make_organizations,
                "fields": [column.field for column in columns],
            },
            columns=[[column.title, column.label] for column in columns],
            counts=plan.counts,
            organizations=plan.organizations,
            by=by,
        )
        ImportRow.objects.bulk_create([_row(job, planned) for planned in plan.rows], batch_size=1000)
    job.refresh_from_db()
    return job


def _row(job: ImportJob, planned: Planned) -> ImportRow:
    return ImportRow(
        job=job,
        number=planned.row.number,
        outcome=planned.outcome,
        record_id=planned.record.pk if planned.record else None,
        name=str(planned.texts.get("name") or planned.record or "")[:255],
        cells=list(planned.row.cells),
        before=planned.before,
        after=planned.after,
        problems=planned.problems,
    )


def to_write(job: ImportJob) -> int:
    """Return how many rows an import writes when it is confirmed."""
    return int(job.counts.get(Outcome.NEW, 0)) + int(job.counts.get(Outcome.CHANGED, 0))


def confirm(job: ImportJob, *, by: User) -> bool:
    """Let what was shown be written; return whether it was this call that did so."""
    return _begin(
        job, ImportState.SHOWN, ImportState.RUNNING, by, _("Import confirmed: %(count)d rows to write.")
    )


def begin_undo(job: ImportJob, *, by: User) -> bool:
    """Let a written import be taken back; return whether it was this call that did so."""
    return _begin(
        job, ImportState.DONE, ImportState.UNDOING, by, _("Import is being undone: %(count)d rows.")
    )


def _begin(job: ImportJob, state: ImportState, to: ImportState, by: User, said: str) -> bool:
    with transaction.atomic():
        rows = ImportJob.objects.filter(pk=job.pk, state=state)
        if not rows.update(state=to, done_by=by, moved_at=SyncNow()):
            return False
        note(job, by, said % {"count": to_write(job)})
        transaction.on_commit(wake, robust=True)
    job.refresh_from_db()
    return True


def discard(job: ImportJob, *, by: User) -> bool:
    """Forget an import that nobody confirmed; return whether it was there."""
    with transaction.atomic():
        # Locked before it is deleted: else one that is confirmed at this moment would vanish while it is written.
        shown = ImportJob.objects.select_for_update().filter(pk=job.pk, state=ImportState.SHOWN).first()
        if shown is None:
            return False
        note(job, by, _("Import discarded; nothing was written."))
        shown.delete()
    return True


def note(job: ImportJob, by: User, text: str) -> None:
    """Leave a line in the audit log about the import as a whole."""
    acts_log.note(by, job, text)


def wake() -> None:
    """Nudge a worker to carry on what is confirmed; a broker that is away costs time, for Beat asks every minute."""
    from npd.tasks import carry_on_imports

    nudge(carry_on_imports)


def forget_old() -> None:
    """Delete imports that are older than they are kept, but none that is being carried out."""
    limit = sync_now() - timedelta(days=KEPT_DAYS)
    busy = (ImportState.RUNNING, ImportState.UNDOING)
    with transaction.atomic():
        old = ImportJob.objects.filter(made_at__lt=limit).exclude(state__in=busy)
        locked = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
        ImportJob.objects.filter(pk__in=list(locked)).delete()


def may_import(user: Any, entity_type: str) -> bool:
    """Whether somebody may import records of this type: whoever may add and change them."""
    opts = MODELS[entity_type]._meta
    return all(user.has_perm(f"{opts.app_label}.{act}_{opts.model_name}") for act in ("add", "change"))


def may_undo(user: Any, job: ImportJob) -> bool:
    """Whether somebody may take an import back: of one that made records, who may delete them, too."""
    opts = MODELS[job.entity_type]._meta
    deletes = bool(job.counts.get(Outcome.NEW))
    makes_others = bool(job.options.get("organizations_made"))
    return (
        may_import(user, job.entity_type)
        and (not deletes or bool(user.has_perm(f"{opts.app_label}.delete_{opts.model_name}")))
        and (not makes_others or bool(user.has_perm("npd.delete_organization")))
    )


def shown(raw: Any) -> str:
    """Return a raw value as people read it."""
    if isinstance(raw, Mapping):
        return str(raw.get("name", ""))
    if isinstance(raw, list):
        return ", ".join(str(part) for part in raw)
    return "" if raw is None else str(raw) if isinstance(raw, str) else json.dumps(raw)
