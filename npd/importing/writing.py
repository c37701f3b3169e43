"""Writing what was confirmed, batch by batch: each value only where the record still holds what was shown.

A batch is one transaction, so an import that was cut off goes on where it ended. It writes by the ordinary doors:
triggers, history and outbox see bulk writes as they see saves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction
from django.utils.translation import gettext as _

from npd.importing.columns import FIELDS, MODELS, NPD_ID, labels_of
from npd.importing.jobs import shown
from npd.importing.matching import Known
from npd.importing.models import ImportJob, ImportRow, Outcome, Result
from npd.importing.recording import Written, record, waiting_for
from npd.models import Organization
from sync import registry, wake
from sync.bulk import update_many
from sync.engine.values import still_holds, to_store
from sync.models import SyncedModel

BATCH = 500


def write_some(job: ImportJob) -> int:
    """Write the next rows in the caller's transaction; return how many were decided, 0 when none is left."""
    make_organizations(job)
    waiting = job.rows.filter(outcome__in=(Outcome.NEW, Outcome.CHANGED), result=Result.WAITING)
    rows = list(waiting.order_by("number")[:BATCH])
    for row in rows:
        row.after = {name: _made(job, raw) for name, raw in row.after.items()}
    if rows:
        batch = _Batch(job, rows)
        batch.write()
        update_many(rows, ["result", "note", "record_id"])
        transaction.on_commit(partial(wake.board, job.entity_type), robust=True)
    return len(rows)


def make_organizations(job: ImportJob) -> None:
    """Make, once, the organizations that rows name and that are not there; one that came meanwhile is taken."""
    if not job.organizations or "made" in job.options:
        return
    known = Known("organization", "name", job.organizations.values())
    made: dict[str, str] = {}
    new: list[SyncedModel] = []
    for key, name in job.organizations.items():
        there = known.exactly(name) or known.nearly(name)
        if there:
            made[key] = str(there[0].pk)
        else:
            made[key] = key
            new.append(Organization(id=UUID(key), name=name))
    Organization.objects.bulk_create(new)  # type: ignore[arg-type]
    record(job, [Written(one, None, {}, {}) for one in new])
    job.options = job.options | {"made": made, "organizations_made": [str(one.pk) for one in new]}
    job.save(update_fields=["options"])
    transaction.on_commit(partial(wake.board, "organization"), robust=True)


def _made(job: ImportJob, raw: Any) -> Any:
    """A reference to an organization that was to be made, with the id that it has now."""
    made: Mapping[str, str] = job.options.get("made", {})
    return raw | {"id": made[raw["id"]]} if isinstance(raw, dict) and raw["id"] in made else raw


class _Batch:
    def __init__(self, job: ImportJob, rows: Sequence[ImportRow]) -> None:
        self.job, self.rows = job, rows
        self.entity_type = job.entity_type
        self.model: Any = MODELS[job.entity_type]
        self.labels = labels_of(job.entity_type)
        self.there: set[str] = set()
        self.matched: dict[int, set[Any]] = {}

    def write(self) -> None:
        """Decide each row under the records' locks, write, and record what was written."""
        # Organizations before contacts, as saves and looks lock them: else one could end the other.
        if self.entity_type != "organization":
            self.there = self._targets()
        records = self._locked()
        if self.entity_type == "organization":
            self.there = self._targets()
        busy = waiting_for(self.entity_type, records)
        self.matched = self._matched_by_key()
        changes = [w for row in self._changed() if (w := self._change(row, records.get(row.record_id)))]
        news = [w for row in self._new() if (w := self._make(row))]
        done = [*self._store(changes, self._update), *self._store(news, self._insert)]
        record(self.job, done, busy=busy)

    def _locked(self) -> dict[Any, Any]:
        ids = [row.record_id for row in self.rows if row.outcome == Outcome.CHANGED]
        locked = self.model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk__in=ids)
        return {one.pk: one for one in locked.order_by("pk")}

    def _matched_by_key(self) -> dict[int, set[Any]]:
        """Which records the key of each row that gave no NPD ID fits now, by the row's number."""
        field, columns = registry.entity(self.entity_type).match_key, self.job.options.get("fields", [])
        keys = {
            row.number: text
            for row in self._changed()
            if not _cell(row, columns, NPD_ID) and (text := _cell(row, columns, field))
        }
        known = Known(self.entity_type, field, keys.values())
        return {number: {one.pk for one in known.exactly(text)} for number, text in keys.items()}

    def _changed(self) -> Iterable[ImportRow]:
        return (row for row in self.rows if row.outcome == Outcome.CHANGED)

    def _new(self) -> Iterable[ImportRow]:
        """The rows whose record nobody has made meanwhile."""
        rows = [row for row in self.rows if row.outcome == Outcome.NEW]
        field = registry.entity(self.entity_type).match_key
        for name in dict.fromkeys((field, "name")):
            mine = [
                row for row in rows if row.after.get(name) and (name == field or not row.after.get(field))
            ]
            known = Known(self.entity_type, name, [str(row.after[name]) for row in mine])
            near = {row.number: {one.pk for one in known.nearly(str(row.after[name]))} for row in mine}
            ours = self._made_before({pk for pks in near.values() for pk in pks})
            for row in mine:
                if near[row.number] - ours:
                    left(
                        row,
                        f"A {self.entity_type} with this {self.labels[name].lower()} was made since the preview. "
                        "Import the row again to change that one.",
                    )
        return [row for row in rows if row.result == Result.WAITING]

    def _made_before(self, records: Collection[Any]) -> set[Any]:
        """Which of these records earlier rows of this file made: the preview told them apart from the later ones."""
        if not records:
            return set()
        rows = self.job.rows.filter(outcome=Outcome.NEW, result=Result.WRITTEN, record_id__in=list(records))
        return set(rows.values_list("record_id", flat=True))

    def _targets(self) -> set[str]:
        """The ids of related records that are still there."""
        found: set[str] = set()
        for name in FIELDS[self.entity_type]:
            field = self.model._meta.get_field(name)
            if field.is_relation:
                ids = {raw["id"] for row in self.rows if isinstance(raw := row.after.get(name), dict)}
                # Locked, so that none is deleted before the row that points at it is written.
                there = field.related_model._default_manager.select_for_update(no_key=True).filter(pk__in=ids)
                found |= {str(pk) for pk in there.order_by("pk").values_list("pk", flat=True)}
        return found

    def _gone(self, row: ImportRow) -> bool:
        for name, raw in row.after.items():
            if isinstance(raw, dict) and raw["id"] not in self.there:
                left(
                    row,
                    f"{self.labels[name]} “{raw['name']}” was deleted since the preview. Import the row again.",
                )
                return True
        return False

    def _change(self, row: ImportRow, target: SyncedModel | None) -> Written | None:
        if target is None:
            left(
                row,
                f"The {self.entity_type} was deleted since the preview. Import the row again to make it anew.",
            )
            return None
        if self._gone(row):
            return None
        if self.matched.get(row.number, {target.pk}) != {target.pk}:
            said = _(
                "The %(key)s by which it was found was changed since the preview, here or at another %(type)s. "
                "Import the row again."
            )
            key = self.labels[registry.entity(self.entity_type).match_key].lower()
            left(row, said % {"key": key, "type": self.entity_type})
            return None
        if still_holds(target, row.after):
            left(row, "It says so already: somebody made the same change since the preview.")
            return None
        moved = [name for name in row.before if not still_holds(target, {name: row.before[name]})]
        if moved:
            now = "; ".join(f"{self.labels[name]} is now “{self._now(target, name)}”" for name in moved)
            left(
                row,
                f"It was changed since the preview: {now}. Nothing of this row was written. Import it again.",
            )
            return None
        return self._given(row, target)

    def _now(self, target: SyncedModel, name: str) -> str:
        value = getattr(target, name)
        return shown(value if isinstance(value, list) else str(value or ""))

    def _make(self, row: ImportRow) -> Written | None:
        return None if self._gone(row) else self._given(row, self.model())

    def _given(self, row: ImportRow, target: SyncedModel) -> Written:
        written = Written(target, row, row.before, row.after)
        written.remember()
        for name, value in to_store(self.model, row.after).items():
            setattr(target, name, value)
        return written

    def _store(self, written: Sequence[Written], write: Any) -> list[Written]:
        """Write them together; where the database refuses, one by one, so that one bad row stops no other."""
        if not written:
            return []
        try:
            with transaction.atomic():
                write(written)
        except OperationalError:  # a lock, or the connection: no row is to blame
            raise
        except DatabaseError:
            return [one for one in written if self._alone(one, write)]
        for one in written:
            self._done(one)
        return list(written)

    def _alone(self, one: Written, write: Any) -> bool:
        try:
            with transaction.atomic():
                write([one])
        except OperationalError:
            raise
        except DatabaseError as error:
            said = str(error).strip().splitlines()[0]
            left(one.in_row, f"NPD's database refused it: {said}. Correct the row and import it again.")
            return False
        self._done(one)
        return True

    def _done(self, one: Written) -> None:
        one.in_row.result, one.in_row.record_id = Result.WRITTEN, one.target.pk

    def _update(self, written: Sequence[Written]) -> None:
        names = sorted({name for one in written for name in one.after})
        update_many([one.target for one in written], names)

    def _insert(self, written: Sequence[Written]) -> None:
        self.model._default_manager.bulk_create([one.target for one in written])


def _cell(row: ImportRow, columns: Sequence[str], field: str) -> str:
    """What a row says in the column that is read as this field; empty where there is none."""
    position = columns.index(field) if field in columns else len(row.cells)
    return str(row.cells[position]) if position < len(row.cells) else ""


def left(row: ImportRow, why: str) -> None:
    """Leave a row unwritten, and say why."""
    row.result, row.note = Result.LEFT, why
