"""Undoes an import: values by the sync's own undo, records that it created by deleting the untouched ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Count
from pghistory.core import event_models

from npd.imports.import_lookup import MODELS, labels_of
from npd.imports.models import ImportJob, ImportRow, Result, RowOutcome
from sync.kernel.db import update_many
from sync.models import Decision, SyncedModel
from sync.operations.decision_undo import decisions_of_batch, plan_decision_undo, undo_decisions
from sync.outbox import notify

# One transaction: a save of one of these records waits for its end.
UNDO_BATCH = 100

KEPT_NOTE = "It stays: it was changed, deleted or pointed at since the import. Delete it yourself where it should go."


@dataclass(frozen=True)
class UndoPreview:
    """What an undo would do now: values put back, values left alone, records deleted, records that stay.

    `values_forgotten` are those whose earlier value the history no longer has.
    """

    values: int
    values_left: int
    values_forgotten: int
    records: int
    records_left: int


def undo_preview(job: ImportJob) -> UndoPreview:
    """Return what undoing the import would do now."""
    decisions = _decisions_of(job)
    forgotten = _pruned_fields(_written_rows(job, RowOutcome.CHANGED), decisions)
    steps = plan_decision_undo(decisions)
    undoable_steps = sum(1 for step in steps if not step.stale)
    created = [row.record_id for row in _written_rows(job, RowOutcome.NEW) if row.record_id]
    deletable = len(untouched_records(job.entity_type, created))
    others = [UUID(key) for key in job.options.get("organizations_made", [])]
    deleted_with = set(created) if job.entity_type == "contact" else set()
    deletable_others = len(untouched_records("organization", others, deleted_with=deleted_with))
    return UndoPreview(
        undoable_steps,
        len(steps) - undoable_steps,
        sum(map(len, forgotten.values())),
        deletable + deletable_others,
        len(created) + len(others) - deletable - deletable_others,
    )


def undo_batch(job: ImportJob) -> int:
    """Undo the next rows in the caller's transaction; return how many were decided, 0 when none is left."""
    rows = list(_written_rows(job, RowOutcome.CHANGED)[:UNDO_BATCH]) or list(
        _written_rows(job, RowOutcome.NEW)[:UNDO_BATCH]
    )
    if not rows:
        _delete_untouched(job, "organization", [UUID(key) for key in job.options.get("organizations_made", [])])
        return 0
    if rows[0].outcome == RowOutcome.CHANGED:
        _restore_values(job, rows)
    else:
        deleted = _delete_untouched(job, job.entity_type, [row.record_id for row in rows if row.record_id])
        for row in rows:
            row.result, row.note = Result.KEPT, KEPT_NOTE
            if row.record_id in deleted:
                row.result, row.note = Result.UNDONE, "The record was deleted."
    update_many(rows, ["result", "note"])
    transaction.on_commit(partial(notify.notify_board, job.entity_type), robust=True)
    return len(rows)


def untouched_records(entity_type: str, ids: Iterable[UUID], *, deleted_with: Iterable[UUID] = ()) -> list[UUID]:
    """Return those records that nothing changed since they were created, and to which no record points.

    `deleted_with` are records that are deleted together with them, and so keep none of them.
    """
    model: Any = MODELS[entity_type]
    wanted = list(ids)
    if not wanted:
        return []
    events = event_models(tracks_model=model)[0]._default_manager.filter(pgh_obj_id__in=wanted)
    counted = events.order_by().values_list("pgh_obj_id").annotate(number=Count("pgh_id"))
    # The one event is the record's creation.
    unchanged = {key for key, number in counted if number == 1}
    existing = set(model._default_manager.filter(pk__in=wanted).values_list("pk", flat=True))
    referenced: set[UUID] = set()
    for relation in model._meta.related_objects:
        if issubclass(relation.related_model, SyncedModel):
            name = relation.field.attname
            rows = relation.related_model._default_manager.filter(**{f"{name}__in": wanted})
            referenced |= set(rows.exclude(pk__in=list(deleted_with)).values_list(name, flat=True))
    return [key for key in wanted if key in unchanged & existing - referenced]


def _decisions_of(job: ImportJob, ids: Iterable[UUID] | None = None) -> list[Decision]:
    decisions = decisions_of_batch(job.pk).filter(kind="import")
    return list(decisions if ids is None else decisions.filter(entity_id__in=list(ids)))


def _written_rows(job: ImportJob, outcome: RowOutcome) -> Any:
    return job.rows.filter(outcome=outcome, result=Result.WRITTEN).order_by("number")


def _pruned_fields(rows: Iterable[ImportRow], decisions: Iterable[Decision]) -> dict[int, list[str]]:
    # Each row's fields that the history no longer has: it is kept for a set time.
    recorded: dict[UUID | None, set[str]] = {}
    for move in decisions:
        recorded.setdefault(move.entity_id, set()).update(move.values.get("raw_before") or {})
    found = {row.pk: [name for name in row.after if name not in recorded.get(row.record_id, ())] for row in rows}
    return {key: names for key, names in found.items() if names}


def _restore_values(job: ImportJob, rows: Sequence[ImportRow]) -> None:
    decisions = _decisions_of(job, [row.record_id for row in rows if row.record_id])
    undone = undo_decisions(decisions, by=job.done_by or job.by)
    kept: dict[UUID | None, list[str]] = {}
    for step in undone.left:
        kept.setdefault(step.decision.entity_id, []).append(f"{step.label}: {step.stale}")
    pruned_fields, labels = _pruned_fields(rows, decisions), labels_of(job.entity_type)
    for row in rows:
        reasons = kept.get(row.record_id, [])
        if names := pruned_fields.get(row.pk):
            fields = ", ".join(labels[name] for name in names)
            reason = (
                "its history is deleted, so it isn't known whether it is still the imported value. Change it "
                "yourself; the import’s page shows the value before."
            )
            reasons = [*reasons, f"{fields}: {reason}"]
        row.note = " ".join(reasons)
        row.result = Result.KEPT if row.note else Result.UNDONE


def _delete_untouched(job: ImportJob, entity_type: str, ids: Sequence[UUID]) -> set[UUID]:
    """Delete the untouched ones of these under their locks; return which were deleted."""
    model: Any = MODELS[entity_type]
    locked = list(model._default_manager.select_for_update().filter(pk__in=ids).order_by("pk"))
    deletable = set(untouched_records(entity_type, [one.pk for one in locked]))
    deleted = [one for one in locked if one.pk in deletable]
    by = job.done_by or job.by
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=by.pk,
            content_type=ContentType.objects.get_for_model(type(one)),
            object_id=str(one.pk),
            object_repr=str(one)[:200],
            action_flag=DELETION,
            change_message=f"Import undone: record deleted. (“{job.file_name}”)",
        )
        for one in deleted
    )
    model._default_manager.filter(pk__in=deletable).delete()
    return deletable
