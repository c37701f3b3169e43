"""What an import leaves behind besides its values: the record's history, the audit log, a modest place in the queue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType

from npd.importing.columns import labels_of
from npd.importing.jobs import shown
from npd.importing.models import ImportJob, ImportRow
from sync import registry
from sync.authors import called
from sync.choices import Priority, QueueStatus
from sync.engine.values import raw_of_fields
from sync.models import Decision, SyncedModel, SyncQueue


@dataclass
class Written:
    """A record that was written for a row (none: made because rows name it), with its values before and after."""

    target: SyncedModel
    row: ImportRow | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    whole: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def in_row(self) -> ImportRow:
        """The row of the file."""
        assert self.row is not None
        return self.row

    @property
    def is_new(self) -> bool:
        """Whether the import made the record."""
        return not self.before

    def remember(self) -> None:
        """Keep, before anything is set, what the fields of each touched mapping hold."""
        if self.before:
            self.whole = {key: raw_of_fields(self.target, fields) for key, fields in self.parts()}

    def parts(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The mappings that are touched, with all their fields; a field without one stands for itself."""
        mapped: set[str] = set()
        for mapping in registry.entity(self.target.entity_type()).mappings:
            if touched := set(mapping.fields) & set(self.after):
                mapped |= touched
                yield mapping.key, mapping.fields
        yield from ((name, (name,)) for name in self.after if name not in mapped)


def waiting_for(entity_type: str, ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these records wait in the queue already: their rows keep their urgency."""
    rows = SyncQueue.objects.filter(
        entity_type=entity_type, status=QueueStatus.PENDING, entity_id__in=list(ids)
    )
    return {key for key in rows.values_list("entity_id", flat=True) if key is not None}


def record(job: ImportJob, written: Sequence[Written], *, busy: Collection[UUID] = ()) -> None:
    """Leave the lines of what was written, in the caller's transaction."""
    if not written:
        return
    by = job.done_by or job.by
    Decision.objects.bulk_create([line for one in written for line in _decisions(job, by, one)])
    LogEntry.objects.bulk_create([_entry(job, by, one) for one in written])
    ids = [one.target.pk for one in written if one.target.pk not in busy]
    # The triggers call it a fresh edit; thousands at once must not stand before a person's own.
    SyncQueue.objects.filter(
        entity_type=written[0].target.entity_type(), status=QueueStatus.PENDING, entity_id__in=ids
    ).update(priority=Priority.BACKFILL)


def _decisions(job: ImportJob, by: User, one: Written) -> Iterator[Decision]:
    who = called(by)
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
    for key, before in one.whole.items():
        after = raw_of_fields(one.target, before)
        old, new = _words(before), _words(after)
        yield Decision(
            key=key,
            sentence=f"{labels.get(key, key)} set to {_quoted(new)} (was {_quoted(old)}) by the import of {where}.",
            values={"before": old, "after": new, "raw_before": before, "raw_after": after},
            **common,
        )


def _words(raw: Mapping[str, Any]) -> str:
    return ", ".join(text for value in raw.values() if (text := shown(value)))


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "empty"


def _entry(job: ImportJob, by: User, one: Written) -> LogEntry:
    labels = labels_of(one.target.entity_type())
    fields = ", ".join(labels[name] for name in one.after)
    where = f"row {one.row.number} of “{job.file_name}”" if one.row else f"named in “{job.file_name}”"
    said = f"Imported: {where}." if one.is_new else f"Imported: {where}. Changed {fields}."
    return LogEntry(
        user_id=by.pk,
        content_type=ContentType.objects.get_for_model(type(one.target)),
        object_id=str(one.target.pk),
        object_repr=str(one.target)[:200],
        action_flag=ADDITION if one.is_new else CHANGE,
        change_message=said,
    )
