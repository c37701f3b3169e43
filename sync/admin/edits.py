"""Shows edits of records in NPD as unsaved entries of the activity, if no stored entry is about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Exists, F, ForeignKey, Max, Min, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from sync import registry
from sync.choices import Cause, QueueDirection, QueueStatus, SyncDirection, TombstoneState
from sync.models import Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, decisions
from sync.records import authors
from sync.records.tombstones import deleted_names

# The kind of an unsaved entry about an edit in NPD that no stored entry is about.
EDIT = "edit"

# What is written for these causes has stored entries at once.
_LOGGED_CAUSES = ("sync", decisions.IMPORT_KIND, authors.UNDO_CAUSE)


def board_mappings() -> QuerySet[FieldMapping]:
    types = [spec.entity_type for spec in registry.entities()]
    rows = FieldMapping.objects.filter(link__entity_type__in=types).select_related("link")
    return rows.order_by("position", "pk")


def history_fields(model: type[SyncedModel]) -> list[Any]:
    """Return the fields that a record's history has."""
    fields: Iterable[Any] = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and field.name not in model.BOOKKEEPING]


def unsent_since(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[registry.RecordKey, datetime]:
    """Return since when edits of these records, or of those with the newest jobs, weren't sent; one query."""
    # Each status separately, because each has its own index.
    is_left = Q(status=QueueStatus.PENDING) | Q(status=QueueStatus.IN_PROGRESS) | Q(status=QueueStatus.FAILED)
    about = Q(entity_id__isnull=False) if ids is None else Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=F("causes").bitand(int(Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=QueueDirection.TO_MONDAY, saves__gt=0)
    # For a deleted record only its deletion waits.
    deleted = Tombstone.objects.filter(entity_type=OuterRef("entity_type"), entity_id=OuterRef("entity_id"))
    jobs = jobs.exclude(Exists(deleted.exclude(state=TombstoneState.RESTORED)))
    states = SyncMetadata.objects.filter(entity_type=OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(OuterRef("entity_id"), TextField()))
    records = jobs.annotate(synced_at=Subquery(states.values("last_successful_sync")))
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(first=Min("created_at"), newest=Max("pk"))
    moments: dict[Any, datetime] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        moments[row["entity_type"], row["entity_id"]] = max(since, row["synced_at"] or since)
    return moments


@dataclass(frozen=True)
class Edit:
    """A change of a record's row in NPD."""

    entity_type: str
    entity_id: UUID
    at: datetime
    who: str
    event: Any  # of the record's history
    before: Any | None  # the event before; None if the edit created the record
    fields: Sequence[Any]  # those that it changed; none if it created the record
    group_id: str  # as in `authors.LastEdit`
    is_unsent: bool  # which only matters for fields that are sent at all


def edits_of(
    keys: Collection[registry.RecordKey],
    unsent: Mapping[registry.RecordKey, datetime],
    *,
    limit: int = authors.MAX_EVENTS,
) -> list[Edit]:
    """Return the edits among the newest events of these records' history; a query for each type, one for the users."""
    histories: dict[registry.RecordKey, list[Any]] = {}
    for spec in registry.entities():
        ids = [entity_id for entity_type, entity_id in keys if entity_type == spec.entity_type]
        events_by_id = authors.latest_events(spec.model, ids, limit=limit)
        histories |= {(spec.entity_type, entity_id): events for entity_id, events in events_by_id.items()}
    users = authors.users_of(event for events in histories.values() for event in events)
    edits = []
    for (entity_type, entity_id), events in histories.items():
        fields = history_fields(registry.entity(entity_type).model)
        is_sent = events[0].sync_enabled and SyncDirection(events[0].sync_direction).sends
        since = unsent.get((entity_type, entity_id)) if is_sent else None
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if before is None and event.pgh_label != "insert":
                continue
            context = authors.context_of(event)
            is_logged = context.get("cause") in _LOGGED_CAUSES
            is_unsent = since is not None and event.pgh_created_at > since and not is_logged
            edits.append(
                Edit(
                    entity_type=entity_type,
                    entity_id=entity_id,
                    at=event.pgh_created_at,
                    who=authors.actor_name(context, users),
                    event=event,
                    before=before,
                    fields=[field for field in fields if before and _value(event, field) != _value(before, field)],
                    group_id=authors.group_id_of(context, event.pgh_context_id),
                    is_unsent=is_unsent,
                )
            )
    return edits


def _value(event: Any, field: Any) -> Any:
    return getattr(event, field.attname)


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[Edit]:
    """Return the edits that weren't sent, newest first, of these records or of those with the newest jobs."""
    unsent = unsent_since(ids, limit=limit)
    edits = [edit for edit in edits_of(unsent.keys(), unsent) if edit.is_unsent]
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


def entries_of(edits: Sequence[Edit], mappings: Sequence[FieldMapping]) -> list[Decision]:
    """Return an unsaved entry about each new record, and about each field that was changed."""
    keys: dict[tuple[str, str], str] = {}
    sent = set[tuple[str, str]]()
    for mapping in mappings:
        for name in mapping.fields:
            place = (mapping.link.entity_type, name)
            keys[place] = mapping.key if len(mapping.fields) == 1 else name
            if mapping.column_id and SyncDirection(mapping.direction).sends:
                sent.add(place)
    sent_types = {entity_type for entity_type, _ in sent}
    names = _related_names(edits)
    entries = []
    for edit in edits:
        if edit.before is None:
            entries.append(_entry(edit, "create", "Created", unsent=edit.is_unsent and edit.entity_type in sent_types))
        for field in edit.fields:
            place = (edit.entity_type, field.name)
            if field.name == "sync_enabled":
                entries.append(_entry(edit, EDIT, f"Sync turned {'on' if edit.event.sync_enabled else 'off'}"))
                continue
            texts = {"before": _text(field, edit.before, names), "after": _text(field, edit.event, names)}
            entry = _entry(edit, EDIT, "", unsent=edit.is_unsent and place in sent, **texts)
            entry.key = keys.get(place, field.name)
            entries.append(entry)
    return entries


def _entry(edit: Edit, kind: str, sentence: str, **values: object) -> Decision:
    """Return an unsaved entry about an edit, with the columns that the database would fill in."""
    return Decision(
        entity_type=edit.entity_type,
        entity_id=edit.entity_id,
        remote_id="",
        key="",
        kind=kind,
        sentence=sentence,
        values={"event": edit.event.pgh_id, **values},
        actor=edit.who,
        at=edit.at,
        cause={},
    )


def with_edits(
    record: SyncedModel, rows: Sequence[Decision], mappings: Sequence[FieldMapping], *, limit: int
) -> list[Decision]:
    """Return a record's entries, and unsaved ones for the edits that none of them is about.

    The entry about a push is about the last edit that it sent. An import and an undo have entries of their own, so
    those about their pushes are left out.
    """
    unsent = unsent_since([record.pk], limit=1)
    # One event more, because the changes of an event are the differences to the one before.
    edits = edits_of([(record.entity_type(), record.pk)], unsent, limit=limit + 1)
    edit_at = {edit.at.isoformat(): edit for edit in edits if edit.before}
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    batches = {str(row.batch_id) for row in rows if row.batch_id}
    sent = set[tuple[Any, str]]()
    entries = []
    for row in rows:
        edit = edit_at.get(row.cause.get("npd", {}).get("at")) if row.kind == "push" else None
        if edit and edit.group_id in batches:
            continue
        # A push that overwrote an edit on Monday says what was there, not what NPD had before.
        if edit and not row.values.get("overridden"):
            sent.update((edit.event.pgh_id, name) for name in fields_of.get(row.key, [row.key]))
        entries.append(row)
    others = [
        replace(edit, fields=[field for field in edit.fields if (edit.event.pgh_id, field.name) not in sent])
        for edit in edits
        if edit.group_id not in batches
    ]
    return entries + entries_of(others, mappings)


def _related_names(edits: Sequence[Edit]) -> dict[UUID, str]:
    """Return the names of the records, also of deleted ones, at which changed fields point, by id."""
    names: dict[UUID, str] = {}
    for field in {field for edit in edits for field in edit.fields if isinstance(field, ForeignKey)}:
        model: Any = field.related_model
        changes = [edit for edit in edits if field in edit.fields]
        ids = {_value(event, field) for edit in changes for event in (edit.event, edit.before)} - {None}
        targets = model._default_manager.in_bulk(ids)
        names |= deleted_names(model.entity_type(), ids - targets.keys())
        names |= {key: str(target) for key, target in targets.items()}
    return names


def _text(field: Any, event: Any, names: Mapping[UUID, str]) -> str:
    """Return the value that a row of the history has in a field; `names` are those of related records."""
    value = _value(event, field)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(field, ForeignKey):
        return names.get(value, "one that was deleted") if value else ""
    if isinstance(field, ArrayField):
        return ", ".join(value or [])
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    return "" if value is None else str(value)
