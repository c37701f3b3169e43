"""Taking an import back: values by the sync's own undo, records that it made by deleting those nobody has touched."""

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
from django.utils.translation import gettext as _
from pghistory.core import event_models

from npd.importing.columns import MODELS, labels_of
from npd.importing.models import ImportJob, ImportRow, Outcome, Result
from sync import wake
from sync.bulk import update_many
from sync.models import Decision, SyncedModel
from sync.undo import carry_out, decisions_of_batch, plan

BATCH = 100
STAYS = (
    "It stays: it was changed, deleted or pointed at since the import. Delete it by hand where it should go."
)


@dataclass(frozen=True)
class Undoable:
    """What an undo would do now: values put back, values left alone, records deleted, records that stay.

    `values_forgotten` are those of which the history doesn't say any more what stood before.
    """

    values: int
    values_left: int
    values_forgotten: int
    records: int
    records_left: int


def undoable(job: ImportJob) -> Undoable:
    """Return what taking the import back would do, as things stand."""
    moves = _moves(job)
    forgotten = _forgotten(_written(job, Outcome.CHANGED), moves)
    steps = plan(moves)
    doable = sum(1 for step in steps if not step.stale)
    made = [row.record_id for row in _written(job, Outcome.NEW) if row.record_id]
    free = len(untouched(job.entity_type, made))
    others = [UUID(key) for key in job.options.get("organizations_made", [])]
    going = set(made) if job.entity_type == "contact" else set()
    free_others = len(untouched("organization", others, going=going))
    return Undoable(
        doable,
        len(steps) - doable,
        sum(map(len, forgotten.values())),
        free + free_others,
        len(made) + len(others) - free - free_others,
    )


def undo_some(job: ImportJob) -> int:
    """Take the next rows back in the caller's transaction; return how many were decided, 0 when none is left."""
    rows = list(_written(job, Outcome.CHANGED)[:BATCH]) or list(_written(job, Outcome.NEW)[:BATCH])
    if not rows:
        _delete_organizations(job)
        return 0
    if rows[0].outcome == Outcome.CHANGED:
        _put_back(job, rows)
    else:
        _delete_made(job, rows)
    update_many(rows, ["result", "note"])
    transaction.on_commit(partial(wake.board, job.entity_type), robust=True)
    return len(rows)


def untouched(entity_type: str, ids: Iterable[UUID], *, going: Iterable[UUID] = ()) -> list[UUID]:
    """Return those records that nothing changed since they were made, and at which no record points.

    `going` are records that are deleted with them, and so keep none of them.
    """
    model: Any = MODELS[entity_type]
    wanted = list(ids)
    if not wanted:
        return []
    events = event_models(tracks_model=model)[0]._default_manager.filter(pgh_obj_id__in=wanted)
    counted = events.order_by().values_list("pgh_obj_id").annotate(number=Count("pgh_id"))
    once = {key for key, number in counted if number == 1}
    there = set(model._default_manager.filter(pk__in=wanted).values_list("pk", flat=True))
    return [key for key in wanted if key in once & there - _pointed_at(model, wanted, list(going))]


def _pointed_at(model: Any, ids: Sequence[UUID], going: Sequence[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    for relation in model._meta.related_objects:
        if issubclass(relation.related_model, SyncedModel):
            name = relation.field.attname
            rows = relation.related_model._default_manager.filter(**{f"{name}__in": list(ids)})
            found |= set(rows.exclude(pk__in=list(going)).values_list(name, flat=True))
    return found


def _moves(job: ImportJob, ids: Iterable[UUID] | None = None) -> list[Decision]:
    moves = decisions_of_batch(job.pk).filter(kind="import")
    return list(moves if ids is None else moves.filter(entity_id__in=list(ids)))


def _written(job: ImportJob, outcome: Outcome) -> Any:
    return job.rows.filter(outcome=outcome, result=Result.WRITTEN).order_by("number")


def _forgotten(rows: Iterable[ImportRow], moves: Iterable[Decision]) -> dict[int, list[str]]:
    """Which fields of each row the history tells nothing of any more, by the row's id: it is kept for a set time."""
    told: dict[UUID | None, set[str]] = {}
    for move in moves:
        told.setdefault(move.entity_id, set()).update(move.values.get("raw_before") or {})
    found = {row.pk: [name for name in row.after if name not in told.get(row.record_id, ())] for row in rows}
    return {key: names for key, names in found.items() if names}


def _put_back(job: ImportJob, rows: Sequence[ImportRow]) -> None:
    moves = _moves(job, [row.record_id for row in rows if row.record_id])
    undone = carry_out(moves, by=job.done_by or job.by)
    stayed: dict[UUID | None, list[str]] = {}
    for step in undone.left:
        stayed.setdefault(step.decision.entity_id, []).append(f"{step.label}: {step.stale}")
    forgotten, labels = _forgotten(rows, moves), labels_of(job.entity_type)
    for row in rows:
        said = stayed.get(row.record_id, [])
        if names := forgotten.get(row.pk):
            fields = ", ".join(labels[name] for name in names)
            pruned = _(
                "the history is pruned, so nobody can tell whether it is still the imported value. Change it by hand; "
                "the import’s page shows what stood before."
            )
            said = [*said, f"{fields}: {pruned}"]
        row.note = " ".join(said)
        row.result = Result.KEPT if row.note else Result.UNDONE


def _log(job: ImportJob, records: Iterable[Any], said: str, flag: int = 2) -> None:
    by = job.done_by or job.by
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=by.pk,
            content_type=ContentType.objects.get_for_model(type(one)),
            object_id=str(one.pk),
            object_repr=str(one)[:200],
            action_flag=flag,
            change_message=f"{said} (“{job.file_name}”)",
        )
        for one in {one.pk: one for one in records}.values()
    )


def _delete_made(job: ImportJob, rows: Sequence[ImportRow]) -> None:
    gone = _delete(job, job.entity_type, [row.record_id for row in rows if row.record_id])
    for row in rows:
        if row.record_id in gone:
            row.result, row.note = Result.UNDONE, "The record was deleted."
        else:
            row.result = Result.KEPT
            row.note = STAYS


def _delete_organizations(job: ImportJob) -> None:
    _delete(job, "organization", [UUID(key) for key in job.options.get("organizations_made", [])])


def _delete(job: ImportJob, entity_type: str, ids: Sequence[UUID]) -> set[UUID]:
    """Delete the untouched of these under their locks; return which went."""
    model: Any = MODELS[entity_type]
    locked = list(model._default_manager.select_for_update().filter(pk__in=ids).order_by("pk"))
    free = set(untouched(entity_type, [one.pk for one in locked]))
    going = [one for one in locked if one.pk in free]
    _log(job, going, "Import undone: record deleted.", DELETION)
    model._default_manager.filter(pk__in=free).delete()
    return free
