"""Writes a confirmed import batch by batch: each value only where the record still has what was shown; and undoes it.

A batch is one transaction, so an import that was cut off continues where it ended. Triggers, history and
outbox see its bulk writes as they see saves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Count
from pghistory.core import event_models

from npd.imports.import_lookup import FIELDS, MODELS, NPD_ID, RecordMatcher, labels_of
from npd.imports.messages import display_value
from npd.imports.models import ImportJob, ImportRow, Result, RowOutcome
from npd.models import Organization
from sync import registry
from sync.choices import Priority, QueueStatus
from sync.kernel.db import update_many
from sync.models import Decision, SyncedModel, SyncQueue
from sync.models.state import fold_alike
from sync.operations.decision_undo import decisions_of_batch, plan_decision_undo, undo_decisions
from sync.outbox import notify
from sync.reconcile.field_values import still_holds, stored_field_values, update_values
from sync.records.authors import actor_label


@dataclass
class WrittenRecord:
    """A written record, its values before and after; without a row where it was made as a reference."""

    target: SyncedModel
    row: ImportRow | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    touched_before: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def file_row(self) -> ImportRow:
        """The row of the file."""
        assert self.row is not None
        return self.row

    @property
    def is_new(self) -> bool:
        """Whether the import created the record."""
        return not self.before

    def keep_before(self) -> None:
        """Keep, before anything is set, the values of each touched mapping's fields."""
        if self.before:
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


def queued_records(entity_type: str, ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these records have a pending job already: their jobs keep their priority."""
    rows = SyncQueue.objects.filter(entity_type=entity_type, status=QueueStatus.PENDING, entity_id__in=list(ids))
    return {key for key in rows.values_list("entity_id", flat=True) if key is not None}


def log_written(job: ImportJob, written: Sequence[WrittenRecord], *, queued: Collection[UUID] = ()) -> None:
    """Write the decisions about what was written, in the caller's transaction."""
    if not written:
        return
    by = job.done_by or job.by
    Decision.objects.bulk_create(fold_alike([line for one in written for line in _decisions(job, by, one)]))
    labels = labels_of(written[0].target.entity_type())
    entries = []
    for one in written:
        message = f"Imported: row {one.row.number} of" if one.row else "Imported: named in"
        changed = "" if one.is_new else f" Changed {', '.join(labels[name] for name in one.after)}."
        entries.append(
            LogEntry(
                user_id=by.pk,
                content_type=ContentType.objects.get_for_model(type(one.target)),
                object_id=str(one.target.pk),
                object_repr=str(one.target)[:200],
                action_flag=ADDITION if one.is_new else CHANGE,
                change_message=f"{message} “{job.file_name}”.{changed}",
            )
        )
    LogEntry.objects.bulk_create(entries)
    ids = [one.target.pk for one in written if one.target.pk not in queued]
    # The triggers give a fresh edit's priority; thousands at once must not come before a person's own edits.
    SyncQueue.objects.filter(
        entity_type=written[0].target.entity_type(), status=QueueStatus.PENDING, entity_id__in=ids
    ).update(priority=Priority.LOAD)


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
        yield Decision(sentence=f"Made by the import of {where}.", **common)
        return
    labels = labels_of(job.entity_type) | {
        mapping.key: mapping.label for mapping in registry.entity(job.entity_type).mappings
    }
    for key, before in one.touched_before.items():
        after = stored_field_values(one.target, before)
        old, new = _display_values(before), _display_values(after)
        yield Decision(
            key=key,
            sentence=f"{labels.get(key, key)} set to {_quote(new)} (was {_quote(old)}) by the import of {where}.",
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
    create_organizations(job)
    waiting = job.rows.filter(outcome__in=(RowOutcome.NEW, RowOutcome.CHANGED), result=Result.WAITING)
    rows = list(waiting.order_by("number")[:WRITE_BATCH])
    # A reference to an organization that was to be created gets the id that it has now.
    made: Mapping[str, str] = job.options.get("made", {})
    for row in rows:
        for name, raw in row.after.items():
            if isinstance(raw, dict) and raw["id"] in made:
                row.after[name] = raw | {"id": made[raw["id"]]}
    if rows:
        _WriteBatch(job, rows).write()
        update_many(rows, ["result", "note", "record_id"])
        transaction.on_commit(partial(notify.notify_board, job.entity_type), robust=True)
    return len(rows)


def create_organizations(job: ImportJob) -> None:
    """Create, once, the missing organizations that rows name; one that was created meanwhile is used."""
    if not job.organizations or "made" in job.options:
        return
    known = RecordMatcher("organization", "name", job.organizations.values())
    ids: dict[str, str] = {}
    new: list[SyncedModel] = []
    for key, name in job.organizations.items():
        existing = known.exact_matches(name) or known.near_matches(name)
        if existing:
            ids[key] = str(existing[0].pk)
        else:
            ids[key] = key
            new.append(Organization(id=UUID(key), name=name))
    Organization.objects.bulk_create(new)  # type: ignore[arg-type]
    log_written(job, [WrittenRecord(one, None, {}, {}) for one in new])
    job.options = job.options | {"made": ids, "organizations_made": [str(one.pk) for one in new]}
    job.save(update_fields=["options"])
    transaction.on_commit(partial(notify.notify_board, "organization"), robust=True)


class _WriteBatch:
    def __init__(self, job: ImportJob, rows: Sequence[ImportRow]) -> None:
        self.job, self.rows = job, rows
        self.entity_type = job.entity_type
        self.model: Any = MODELS[job.entity_type]
        self.labels = labels_of(job.entity_type)
        self.existing_targets: set[str] = set()
        self.matches: dict[int, set[Any]] = {}

    def write(self) -> None:
        """Decide each row under the records' locks, write, and log what was written."""
        # Organizations before contacts, as saves and passes lock them: another order could deadlock.
        if self.entity_type != "organization":
            self.existing_targets = self._existing_targets()
        ids = [row.record_id for row in self.rows if row.outcome == RowOutcome.CHANGED]
        locked = self.model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk__in=ids)
        records = {one.pk: one for one in locked.order_by("pk")}
        if self.entity_type == "organization":
            self.existing_targets = self._existing_targets()
        queued = queued_records(self.entity_type, records)
        self.matches = self._key_matches()
        changed = [w for row in self._changed_rows() if (w := self._change(row, records.get(row.record_id)))]
        created = [self._apply(row, self.model()) for row in self._new_rows() if not self._lacks_target(row)]

        def update(some: Sequence[WrittenRecord]) -> None:
            update_many([one.target for one in some], sorted({name for one in some for name in one.after}))

        def insert(some: Sequence[WrittenRecord]) -> None:
            self.model._default_manager.bulk_create([one.target for one in some])

        written = [*self._store(changed, update), *self._store(created, insert)]
        log_written(self.job, written, queued=queued)

    def _key_matches(self) -> dict[int, set[Any]]:
        """Return which records the key of each row without an NPD ID fits now, by the row's number."""
        field, columns = registry.entity(self.entity_type).match_key, self.job.options.get("fields", [])
        keys = {
            row.number: text
            for row in self._changed_rows()
            if not _cell(row, columns, NPD_ID) and (text := _cell(row, columns, field))
        }
        known = RecordMatcher(self.entity_type, field, keys.values())
        return {number: {one.pk for one in known.exact_matches(text)} for number, text in keys.items()}

    def _changed_rows(self) -> Iterable[ImportRow]:
        return (row for row in self.rows if row.outcome == RowOutcome.CHANGED)

    def _new_rows(self) -> Iterable[ImportRow]:
        """Return the rows whose record nobody has created meanwhile."""
        rows = [row for row in self.rows if row.outcome == RowOutcome.NEW]
        field = registry.entity(self.entity_type).match_key
        for name in dict.fromkeys((field, "name")):
            with_value = [row for row in rows if row.after.get(name) and (name == field or not row.after.get(field))]
            known = RecordMatcher(self.entity_type, name, [str(row.after[name]) for row in with_value])
            matches = {row.number: {one.pk for one in known.near_matches(str(row.after[name]))} for row in with_value}
            # Records that earlier rows of this file created: the preview took them for different people.
            found = {pk for pks in matches.values() for pk in pks}
            earlier = self.job.rows.filter(outcome=RowOutcome.NEW, result=Result.WRITTEN, record_id__in=list(found))
            created_here = set(earlier.values_list("record_id", flat=True)) if found else set()
            for row in with_value:
                if matches[row.number] - created_here:
                    skip_row(
                        row,
                        f"A {self.entity_type} with this {self.labels[name].lower()} was made since the preview. "
                        "Import the row again to change that one.",
                    )
        return [row for row in rows if row.result == Result.WAITING]

    def _existing_targets(self) -> set[str]:
        """Return the ids of related records that still exist."""
        found: set[str] = set()
        for name in FIELDS[self.entity_type]:
            field = self.model._meta.get_field(name)
            if field.is_relation:
                ids = {raw["id"] for row in self.rows if isinstance(raw := row.after.get(name), dict)}
                # Locked, so that none is deleted before the row that points at it is written.
                existing = field.related_model._default_manager.select_for_update(no_key=True).filter(pk__in=ids)
                found |= {str(pk) for pk in existing.order_by("pk").values_list("pk", flat=True)}
        return found

    def _lacks_target(self, row: ImportRow) -> bool:
        for name, raw in row.after.items():
            if isinstance(raw, dict) and raw["id"] not in self.existing_targets:
                skip_row(
                    row, f"{self.labels[name]} “{raw['name']}” was deleted since the preview. Import the row again."
                )
                return True
        return False

    def _change(self, row: ImportRow, target: SyncedModel | None) -> WrittenRecord | None:
        if target is None:
            skip_row(
                row, f"The {self.entity_type} was deleted since the preview. Import the row again to create it again."
            )
            return None
        if self._lacks_target(row):
            return None
        # A row found by its key must be found by it again, and only this record.
        if self.matches.get(row.number, {target.pk}) != {target.pk}:
            key = self.labels[registry.entity(self.entity_type).match_key].lower()
            skip_row(
                row,
                f"The {key} by which it was found was changed since the preview, here or at another "
                f"{self.entity_type}. "
                "Import the row again.",
            )
            return None
        if still_holds(target, row.after):
            skip_row(row, "It says so already: somebody made the same change since the preview.")
            return None
        # Only what was shown is written: a record that was edited since the preview is left alone as a whole.
        changed = [name for name in row.before if not still_holds(target, {name: row.before[name]})]
        if changed:
            now = {name: getattr(target, name) for name in changed}
            texts = {name: display_value(raw if isinstance(raw, list) else str(raw or "")) for name, raw in now.items()}
            current = "; ".join(f"{self.labels[name]} is now “{text}”" for name, text in texts.items())
            skip_row(
                row, f"It was changed since the preview: {current}. Nothing of this row was written. Import it again."
            )
            return None
        return self._apply(row, target)

    def _apply(self, row: ImportRow, target: SyncedModel) -> WrittenRecord:
        written = WrittenRecord(target, row, row.before, row.after)
        written.keep_before()
        for name, value in update_values(self.model, row.after).items():
            setattr(target, name, value)
        return written

    def _store(self, written: Sequence[WrittenRecord], write: Any) -> list[WrittenRecord]:
        # Written together; where the database rejects one, one by one, so that one bad row stops no other.
        if not written:
            return []
        try:
            with transaction.atomic():
                write(written)
        except OperationalError:  # a lock, or the connection: no row is to blame
            raise
        except DatabaseError as error:
            if len(written) > 1:
                return [stored for one in written for stored in self._store([one], write)]
            reason = str(error).strip().splitlines()[0]
            skip_row(written[0].file_row, f"NPD's database rejected it: {reason}. Correct the row and import it again.")
            return []
        for one in written:
            one.file_row.result, one.file_row.record_id = Result.WRITTEN, one.target.pk
        return list(written)


def _cell(row: ImportRow, columns: Sequence[str], field: str) -> str:
    """Return what a row has in the column that is read as this field; empty where there is none."""
    position = columns.index(field) if field in columns else len(row.cells)
    return str(row.cells[position]) if position < len(row.cells) else ""


def skip_row(row: ImportRow, reason: str) -> None:
    """Leave a row unwritten, with the reason."""
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
    # With the key's lock, for they are deleted: no row may begin to point at one between the check and that.
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
