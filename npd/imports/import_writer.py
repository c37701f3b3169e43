"""Writes a confirmed import batch by batch, each row only where planning it again gives what was shown; and undoes it.

A batch is one transaction, so an import that was cut off continues where it ended. Triggers, history and
outbox see its bulk writes as they see saves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Count, QuerySet
from pghistory.core import event_models

from npd.imports.files import FileRow, FileTable
from npd.imports.messages import display_value
from npd.imports.models import ImportJob, ImportRow, Result, RowOutcome, labelled
from npd.imports.resources import (
    FileColumn,
    ImportOptions,
    PlannedRow,
    RecordResource,
    labels_of,
    resource_of,
    same_value,
)
from npd.models import Organization
from sync import registry
from sync.choices import Priority, QueueStatus
from sync.kernel.db import update_many
from sync.kernel.messages import Conflict
from sync.models import Decision, SyncedModel, SyncQueue
from sync.models.state import fold_alike
from sync.operations.decision_undo import decisions_of_batch, plan_decision_undo, undo_decisions
from sync.outbox import notify
from sync.reconcile.field_values import stored_field_values, update_values
from sync.reconcile.lookups import match_key
from sync.records.authors import actor_label, log_action_each, log_action_many


@dataclass
class WrittenRecord:
    """A written record, its values after; without a row where it was made as a reference."""

    target: SyncedModel
    row: ImportRow | None
    after: Mapping[str, Any]
    touched_before: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def file_row(self) -> ImportRow:
        assert self.row is not None
        return self.row

    @property
    def is_new(self) -> bool:
        return self.row is None or self.row.outcome == RowOutcome.NEW

    def log_sentence(self, job: ImportJob) -> str:
        message = f"Imported: row {self.row.number} of" if self.row else "Imported: named in"
        labels, names = labels_of(self.target.entity_type()), () if self.row is None or self.is_new else self.row.after
        changed = f" Changed {', '.join(labels[name] for name in names)}." if names else ""
        return f"{message} “{job.file_name}”.{changed}"

    def keep_before(self) -> None:
        """Keep, before anything is set, the values of each touched mapping's fields."""
        if not self.is_new:
            self.touched_before = {
                key: stored_field_values(self.target, fields) for key, fields in self.touched_mappings()
            }

    def touched_mappings(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Return the touched mappings, with all their fields; a field without a mapping stands for itself."""
        mapped_fields: set[str] = set()
        for mapping in registry.entity(self.target.entity_type()).mappings:
            if touched := set(mapping.fields) & set(self.after):
                mapped_fields |= touched
                yield mapping.key, mapping.fields
        yield from ((name, (name,)) for name in self.after if name not in mapped_fields)


def _pending_jobs(entity_type: str, ids: Iterable[UUID]) -> QuerySet[SyncQueue]:
    return SyncQueue.objects.filter(entity_type=entity_type, status=QueueStatus.PENDING, entity_id__in=list(ids))


def log_written(job: ImportJob, written: Sequence[WrittenRecord], *, queued: Collection[UUID | None] = ()) -> None:
    """Write the decisions about what was written, in the caller's transaction; jobs of `queued` keep their priority."""
    if not written:
        return
    by = job.done_by or job.by
    Decision.objects.bulk_create(fold_alike([line for one in written for line in _decisions(job, by, one)]))
    for flag in (ADDITION, CHANGE):
        acts = [(one.target, one.log_sentence(job)) for one in written if one.is_new == (flag == ADDITION)]
        log_action_each(by, acts, flag=flag)
    ids = [one.target.pk for one in written if one.target.pk not in queued]
    # The triggers give a fresh edit's priority; thousands at once must not come before a person's own edits.
    _pending_jobs(written[0].target.entity_type(), ids).update(priority=Priority.LOAD)


def _decisions(job: ImportJob, by: User, one: WrittenRecord) -> Iterator[Decision]:
    who = actor_label(by)
    where = f"“{job.file_name}”, row {one.row.number}" if one.row else f"“{job.file_name}”"
    common: dict[str, Any] = {
        "entity_type": one.target.entity_type(),
        "entity_id": one.target.pk,
        "remote_id": one.target.monday_id or "",
        "kind": "import",
        "actor": who,
        "batch_id": job.pk,
        "cause": {"by": who, "causes": ["import"]},
    }
    if one.is_new:
        yield Decision(key="", sentence=f"Made by the import of {where}.", **common)
        return
    labels = labels_of(job.entity_type)
    labels.update({mapping.key: mapping.label for mapping in registry.entity(job.entity_type).mappings})
    for key, before in one.touched_before.items():
        after = stored_field_values(one.target, before)
        old, new = _display_values(before), _display_values(after)
        yield Decision(
            key=key,
            sentence=f"{labels[key]} set to {_quote(new)} (was {_quote(old)}) by the import of {where}.",
            values={"before": old, "after": new, "raw_before": before, "raw_after": after},
            **common,
        )


def _display_values(raw: Mapping[str, Any]) -> str:
    return ", ".join(text for value in raw.values() if (text := display_value(value)))


def _quote(text: str) -> str:
    return f"“{text}”" if text else "empty"


# Writing what was confirmed, batch by batch.


# One transaction: a save of one of these records waits for its end.
WRITE_BATCH = 500


def write_batch(job: ImportJob) -> int:
    """Write the next rows in the caller's transaction; return how many were decided, 0 when none is left."""
    waiting = job.rows.filter(outcome__in=(RowOutcome.NEW, RowOutcome.CHANGED), result=Result.WAITING)
    rows = list(waiting.order_by("number")[:WRITE_BATCH])
    if rows:
        _write_rows(job, rows)
        update_many(rows, ["result", "note", "record_id"])
        transaction.on_commit(partial(notify.notify_board, job.entity_type), robust=True)
    return len(rows)


def _create_organizations(job: ImportJob, new: Mapping[str, str]) -> None:
    """Create the missing organizations, {id: name}, that rows name."""
    if not new:
        return
    made: list[SyncedModel] = [Organization(id=UUID(key), name=name) for key, name in new.items()]
    Organization.objects.bulk_create(made)  # type: ignore[arg-type]
    log_written(job, [WrittenRecord(one, None, {}) for one in made])
    job.options = job.options | {"organizations_made": [*job.options.get("organizations_made", []), *new]}
    job.save(update_fields=["options"])
    transaction.on_commit(partial(notify.notify_board, "organization"), robust=True)


def _write_rows(job: ImportJob, rows: Sequence[ImportRow]) -> None:
    """Decide each row under the records' locks, write, and log what was written."""
    model: Any = registry.entity(job.entity_type).model
    records = _lock_records(job.entity_type, rows)
    queued = set(_pending_jobs(job.entity_type, records).values_list("entity_id", flat=True))
    resource = _plan_again(job, rows)
    changed, created = [], []
    for row in rows:
        now = resource.planned[row.number]
        if reason := _obstacle(job, row, now, records):
            skip_row(row, reason)
            now.after = {}
        elif row.outcome == RowOutcome.NEW:
            created.append(_apply(row, now, model()))
        elif row.record_id:
            changed.append(_apply(row, now, records[row.record_id]))
    _create_organizations(job, resource.organizations)

    def write(some: Sequence[WrittenRecord]) -> None:
        targets = [one.target for one in some]
        if some[0].is_new:
            model._default_manager.bulk_create(targets)
        else:
            update_many(targets, sorted({name for one in some for name in one.after}))

    log_written(job, [*_store(changed, write), *_store(created, write)], queued=queued)


def _lock_records(entity_type: str, rows: Sequence[ImportRow]) -> dict[UUID, SyncedModel]:
    """Lock the records to be changed, and those that rows point at; return the former."""
    wanted = {entity_type: {row.record_id for row in rows if row.outcome == RowOutcome.CHANGED}}
    targets: dict[str, set[Any]] = {}
    for one in registry.own_relations(registry.entity(entity_type).model):
        ids = {raw["id"] for row in rows if isinstance(raw := row.after.get(one.name), dict)}
        targets.setdefault(registry.target_of(one).entity_type(), set()).update(ids)
    found: dict[str, dict[UUID, SyncedModel]] = {}
    # Organizations before contacts, as saves and passes lock them: another order could deadlock.
    for kind in sorted({*wanted, *targets}, reverse=True):
        model: Any = registry.entity(kind).model
        locked = model._default_manager.select_for_update(no_key=True, of=("self",)).order_by("pk")
        found[kind] = {one.pk: one for one in locked.filter(pk__in=wanted.get(kind, set()) | targets.get(kind, set()))}
    return found[entity_type]


def _plan_again(job: ImportJob, rows: Sequence[ImportRow]) -> RecordResource:
    fields = zip(job.columns, job.options["fields"], strict=True)
    columns = [FileColumn(at, title, name, label) for at, ((title, label), name) in enumerate(fields)]
    options = ImportOptions(job.options["clear_empty"], job.options["make_organizations"])
    table = FileTable(job.titles, [FileRow(row.number, row.cells) for row in rows], {})
    # Records that earlier rows of this file created: the preview took them for different people.
    own = job.rows.filter(outcome=RowOutcome.NEW, result=Result.WRITTEN, record_id__isnull=False).values("record_id")
    make = resource_of(job.entity_type)
    resource = make(job.entity_type, table, columns, options, apart=own, new_ids=job.organizations)
    resource.plan()
    return resource


def _obstacle(job: ImportJob, row: ImportRow, now: PlannedRow, records: Mapping[UUID, SyncedModel]) -> str:
    """Return why a row isn't written: what it would write now isn't what was shown. Empty where it is."""
    labels, noun = labels_of(job.entity_type), job.entity_type
    problems = labelled(now.problems)
    moved = [name for name in row.before if not same_value(row.before[name], now.before.get(name))]
    why, is_unsure = "", now.outcome in (RowOutcome.AMBIGUOUS, RowOutcome.REPEATED)
    if row.outcome == RowOutcome.NEW and (now.record is not None or is_unsure):
        why = f"A {noun} that it may be about was made since the preview. {problems or 'Import the row again.'}"
    elif row.outcome == RowOutcome.CHANGED and row.record_id not in records:
        why = f"The {noun} was deleted since the preview. Import the row again to create it again."
    elif row.outcome == RowOutcome.CHANGED and (now.record is None or now.record.pk != row.record_id):
        key = labels[registry.entity(noun).match_key].lower()
        why = f"The {key} by which it was found was changed since the preview, or is another's too. Import it again."
    elif problems:
        why = f"Since the preview this became wrong: {problems}"
    elif now.outcome == RowOutcome.UNCHANGED:
        why = "It says so already: somebody made the same change since the preview."
    elif moved:
        current = "; ".join(f"{labels[name]} is now “{_value_now(now, name)}”" for name in moved)
        why = f"It was changed since the preview: {current}. Nothing of this row was written. Import it again."
    # What it would change now, but wasn't shown, is left alone: only what was shown is written.
    elif not all(_was_shown(job, raw, now.after.get(name)) for name, raw in row.after.items()):
        why = "It would write something else now than was shown. Import the row again."
    return why


def _was_shown(job: ImportJob, raw: Any, now: Any) -> bool:
    if isinstance(raw, dict) and isinstance(now, dict) and raw["id"] in job.organizations:
        # It was to be created, and may have been, by this import or by somebody else.
        return match_key("organization", "name", raw["name"]) == match_key("organization", "name", now["name"])
    return same_value(raw, now)


def _value_now(now: PlannedRow, name: str) -> str:
    assert now.record is not None
    return display_value(now.before[name] if name in now.before else stored_field_values(now.record, [name])[name])


def _apply(row: ImportRow, now: PlannedRow, target: SyncedModel) -> WrittenRecord:
    values = {name: now.after[name] for name in row.after}
    written = WrittenRecord(target, row, values)
    written.keep_before()
    for name, value in update_values(type(target), values).items():
        setattr(target, name, value)
    return written


def _store(written: Sequence[WrittenRecord], write: Callable[[Sequence[WrittenRecord]], None]) -> list[WrittenRecord]:
    # Written together; where the database rejects one, one by one, so that one bad row stops no other.
    if not written:
        return []
    try:
        with transaction.atomic():
            write(written)
    except OperationalError:  # a lock, or the connection: no row is to blame
        raise
    except (DatabaseError, Conflict) as error:
        if len(written) > 1:
            return [stored for one in written for stored in _store([one], write)]
        reason = str(error).strip().splitlines()[0]
        skip_row(written[0].file_row, f"NPD's database rejected it: {reason}. Correct the row and import it again.")
        return []
    for one in written:
        one.file_row.result, one.file_row.record_id = Result.WRITTEN, one.target.pk
    return list(written)


def skip_row(row: ImportRow, reason: str) -> None:
    row.result, row.note = Result.LEFT, reason


# Undoes an import: values by the sync's own undo, records that it created by deleting the untouched ones.


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
    decisions = _decisions_of(job)
    rows = list(_written_rows(job, RowOutcome.CHANGED))
    forgotten = _pruned_fields(rows, decisions)
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
    model: Any = registry.entity(entity_type).model
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
    found = {row.pk: [name for name in row.before if name not in recorded.get(row.record_id, ())] for row in rows}
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
                "yourself; the import's page shows the value before."
            )
            reasons = [*reasons, f"{fields}: {reason}"]
        row.note = " ".join(reasons)
        row.result = Result.KEPT if row.note else Result.UNDONE


def _delete_untouched(job: ImportJob, entity_type: str, ids: Sequence[UUID]) -> set[UUID]:
    """Delete the untouched ones of these under their locks; return which were deleted."""
    model: Any = registry.entity(entity_type).model
    # With the key's lock, for they are deleted: no row may begin to point at one between the check and that.
    locked = list(model._default_manager.select_for_update().filter(pk__in=ids).order_by("pk"))
    deletable = set(untouched_records(entity_type, [one.pk for one in locked]))
    deleted = [one for one in locked if one.pk in deletable]
    sentence = f"Deleted by the undo of the import “{job.file_name}”."
    log_action_many(job.done_by or job.by, deleted, sentence, flag=DELETION)
    model._default_manager.filter(pk__in=deletable).delete()
    return deletable
