"""Edits of records in NPD, by their history; those that no line of activity is about get one of their own."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast
from django.utils.text import capfirst

from sync import choices, registry
from sync.choices import ActivityKind
from sync.clock import sync_now
from sync.fields import field_values, lookups
from sync.kernel.triggers import BOOKKEEPING
from sync.models import ActivityLine, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, history_of
from sync.models.activity_lines import ACT_PAUSE, MAX_ACTOR_LENGTH
from sync.records import authors
from sync.records.tombstones import deleted_names
from sync.words.message import Message

# Changes with these causes get their stored entries in the same transaction.
_LOGGED_CAUSES = ("sync", authors.IMPORT_CAUSE, authors.UNDO_CAUSE)

# How many edits of one record a pass tells of at most.
MAX_EDITS = 500

# A save may be older than the sync that it came too late for.
SAVED_MEANWHILE = timedelta(minutes=1)


def history_fields(model: type[SyncedModel]) -> list[Any]:
    """Return the fields that a record's history has."""
    fields: Iterable[Any] = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and field.name not in BOOKKEEPING]


def unsent_since(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[lookups.RecordKey, tuple[datetime, bool]]:
    """Return the time since which these records, or those with the newest jobs, have unsent edits; one query.

    Beside it stands whether the record was deleted, so that only its deletion is sent.
    """
    # Each status separately, because each has its own index.
    is_left = (
        models.Q(status=choices.QueueStatus.PENDING)
        | models.Q(status=choices.QueueStatus.IN_PROGRESS)
        | models.Q(status=choices.QueueStatus.FAILED)
    )
    about = models.Q(entity_id__isnull=False) if ids is None else models.Q(entity_id__in=ids)
    jobs = SyncQueue.objects.alias(saves=models.F("causes").bitand(int(choices.Cause.SAVE)))
    jobs = jobs.filter(is_left, about, direction=choices.QueueDirection.TO_MONDAY, saves__gt=0)
    states = SyncMetadata.objects.filter(entity_type=models.OuterRef("entity_type"), system="monday")
    states = states.filter(entity_id=Cast(models.OuterRef("entity_id"), models.TextField()))
    records = jobs.annotate(synced_at=models.Subquery(states.values("last_successful_sync")))
    deleted = Tombstone.objects.filter(
        entity_type=models.OuterRef("entity_type"), entity_id=models.OuterRef("entity_id")
    )
    deleted = deleted.exclude(state=choices.TombstoneState.RESTORED)
    records = records.annotate(is_deleted=models.Exists(deleted))
    rows = records.values("entity_type", "entity_id", "synced_at", "is_deleted").annotate(
        first=models.Min("created_at"), newest=models.Max("pk")
    )
    moments: dict[Any, tuple[datetime, bool]] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        moments[row["entity_type"], row["entity_id"]] = max(since, row["synced_at"] or since), row["is_deleted"]
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
    is_by_person: bool  # not by the sync or a script
    is_waiting: bool  # for its record's next pass
    is_unsent: bool  # and to be sent, which only matters for fields that are sent at all


def edits_of(
    keys: Collection[lookups.RecordKey],
    unsent: Mapping[lookups.RecordKey, tuple[datetime, bool]],
    *,
    limit: int = authors.MAX_EVENTS,
) -> list[Edit]:
    """Return the edits among the newest events of these records' history; a query for each type, one for the users."""
    histories: dict[lookups.RecordKey, list[Any]] = {}
    for spec in registry.entities():
        ids = [entity_id for entity_type, entity_id in keys if entity_type == spec.entity_type]
        events_by_id = authors.latest_events(spec.model, ids, limit=limit)
        histories |= {(spec.entity_type, entity_id): events for entity_id, events in events_by_id.items()}
    users = authors.users_of(event for events in histories.values() for event in events)
    edits = []
    for (entity_type, entity_id), events in histories.items():
        fields = history_fields(registry.entity(entity_type).model)
        is_sent = events[0].sync_enabled and choices.SyncDirection(events[0].sync_direction).sends
        since, is_deleted = unsent.get((entity_type, entity_id), (None, False))
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if before is None and event.pgh_label != "insert":
                continue
            context = authors.context_of(event)
            is_logged = context.get("cause") in _LOGGED_CAUSES
            is_waiting = since is not None and event.pgh_created_at > since and not is_logged
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
                    is_by_person=bool(context.get("user")) and not is_logged,
                    is_waiting=is_waiting,
                    is_unsent=is_waiting and is_sent and not is_deleted,
                )
            )
    return edits


def _value(event: Any, field: Any) -> Any:
    return getattr(event, field.attname)


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[Edit]:
    """Return the edits that no pass has seen, newest first, of these records or of those with the newest jobs."""
    unsent = unsent_since(ids, limit=limit)
    edits = [edit for edit in edits_of(unsent.keys(), unsent, limit=MAX_EDITS) if edit.is_waiting]
    return sorted(edits, key=lambda edit: edit.at, reverse=True)


def entries_of(edits: Sequence[Edit], mappings: Sequence[FieldMapping]) -> list[ActivityLine]:
    """Return an unsaved entry about each new record, and about each field that was changed."""
    keys: dict[tuple[str, str], str] = {}
    labels: dict[tuple[str, str], str] = {}
    sent = set[tuple[str, str]]()
    for mapping in mappings:
        for name in mapping.fields:
            place = (mapping.link.entity_type, name)
            if len(mapping.fields) == 1:
                keys[place] = mapping.key
                labels[place] = mapping.label
            if mapping.column_id and choices.SyncDirection(mapping.direction).sends:
                sent.add(place)
    sent_types = {entity_type for entity_type, _ in sent}
    # The names of the records, also of deleted ones, at which changed fields point.
    names: dict[UUID, str] = {}
    for field in {field for edit in edits for field in edit.fields if isinstance(field, models.ForeignKey)}:
        model: Any = field.related_model
        changes = [edit for edit in edits if field in edit.fields]
        ids = {_value(event, field) for edit in changes for event in (edit.event, edit.before)} - {None}
        targets = model.objects.in_bulk(ids)
        names |= deleted_names(model.entity_type(), ids - targets.keys())
        names |= {key: str(target) for key, target in targets.items()}
    entries = []
    for edit in edits:
        if edit.before is None:
            unsent = edit.is_unsent and edit.entity_type in sent_types
            entries.append(_entry(edit, ActivityKind.CREATE, Message("created_in_npd"), unsent=unsent))
        for field in edit.fields:
            place = (edit.entity_type, field.name)
            if field.name == "sync_enabled":
                switched = Message("switched_on" if edit.event.sync_enabled else "switched_off")
                entries.append(_entry(edit, ActivityKind.EDIT, switched, key=field.name))
                continue
            texts = {"before": _text(field, edit.before, names), "after": _text(field, edit.event, names)}
            sentence = Message("transfer", label=labels.get(place, _label(field)), way=Message("way_edited"), **texts)
            is_unsent = edit.is_unsent and place in sent
            key = keys.get(place, field.name)
            entries.append(_entry(edit, ActivityKind.EDIT, sentence, key=key, unsent=is_unsent, **texts))
    return entries


def _label(field: Any) -> str:
    return str(capfirst(str(field.verbose_name)))


def _entry(edit: Edit, kind: ActivityKind, sentence: Message, key: str = "", **values: object) -> ActivityLine:
    """Return an unsaved entry about an edit."""
    return ActivityLine(
        entity_type=edit.entity_type,
        entity_id=edit.entity_id,
        key=key,
        kind=kind,
        sentence=sentence,
        values={"event": edit.event.pgh_id, **values},
        actor=edit.who[:MAX_ACTOR_LENGTH],
        at=edit.at,
        cause={"act": edit.group_id} if edit.group_id else {},
    )


def untold_entries(
    entity_type: str,
    synced_at: Mapping[UUID, datetime | None],
    mappings: Sequence[FieldMapping],
    lines: Sequence[ActivityLine],
) -> list[ActivityLine]:
    """Return unsaved entries about people's edits since these records were synced of which no other line tells.

    A pass tells of the last edit of a field that it sent. An edit that somebody changed again before that, or that
    isn't sent, stays findable by its author, too. `lines` are about to be stored beside these entries.
    """
    limit = _newest_number(registry.entity(entity_type).model, synced_at)
    if not limit:
        return []
    # One event more, because the changes of an event are the differences to the one before.
    edits = edits_of([(entity_type, entity_id) for entity_id in synced_at], {}, limit=limit + 1)
    edits = [edit for edit in edits if edit.is_by_person and _is_after(edit.at, synced_at[edit.entity_id])]
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    untold = _without_told(edits, _told_fields(lines, fields_of))
    if not untold:
        return []
    stored = ActivityLine.objects.filter(entity_id__in={edit.entity_id for edit in untold})
    stored = stored.filter(kind__in=(ActivityKind.CREATE, ActivityKind.EDIT, ActivityKind.PUSH))
    stored = stored.filter(at__gte=min(edit.at for edit in untold))
    return entries_of(_without_told(untold, _told_fields(stored, fields_of)), mappings)


def _without_told(edits: Iterable[Edit], told: Collection[tuple[object, ...]]) -> list[Edit]:
    """Return the edits without the fields of which lines tell; without any, and with a creation that is told, none."""
    untold = []
    for edit in edits:
        fields = [field for field in edit.fields if (edit.entity_id, edit.at, field.name) not in told]
        is_untold_creation = edit.before is None and (edit.entity_id, edit.who[:MAX_ACTOR_LENGTH]) not in told
        if fields or is_untold_creation:
            untold.append(replace(edit, fields=fields))
    return untold


def _newest_number(model: type[SyncedModel], synced_at: Mapping[UUID, datetime | None]) -> int:
    """Return how many of a record's newest events may be younger than its last sync, at most MAX_EDITS."""
    history = history_of(model)
    if history is None:
        return 0
    events = history.objects.filter(pgh_obj_id__in=list(synced_at))
    moments = [moment for moment in synced_at.values() if moment is not None]
    if len(moments) == len(synced_at) and moments:
        events = events.filter(pgh_created_at__gt=min(moments) - SAVED_MEANWHILE)
    numbers = events.order_by().values_list("pgh_obj_id").annotate(number=models.Count("pgh_id"))
    return min(MAX_EDITS, max((number for _, number in numbers), default=0))


def _is_after(moment: datetime, synced_at: datetime | None) -> bool:
    return synced_at is None or moment > synced_at - SAVED_MEANWHILE


def _told_fields(lines: Iterable[ActivityLine], fields_of: Mapping[str, Sequence[str]]) -> set[tuple[object, ...]]:
    """Return the records, times and fields of the edits that lines tell of; of a creation, the record and its author.

    A line with another author or time, such as of who had it sent, and when, doesn't tell of the edit.
    """
    told = set[tuple[object, ...]]()
    now = sync_now()
    for line in lines:
        if line.kind == ActivityKind.CREATE:
            told.add((line.entity_id, line.actor))
            continue
        edited_at = line.at if line.kind == ActivityKind.EDIT else None
        edit = line.cause.get("npd", {})
        if line.kind == ActivityKind.PUSH and edit and edit["who"][:MAX_ACTOR_LENGTH] == line.actor:
            sent_at = line.at if line.pk else now
            edited_at = datetime.fromisoformat(edit["at"])
            if "act" not in line.cause and sent_at - edited_at > ACT_PAUSE:
                edited_at = None
        told |= {(line.entity_id, edited_at, name) for name in fields_of.get(line.key, [line.key])}
    return told


def _text(field: Any, event: Any, names: Mapping[UUID, str]) -> str:
    """Return the value that a row of the history has in a field; `names` are those of related records."""
    value = _value(event, field)
    if isinstance(field, models.ForeignKey):
        return names.get(value, "one that was deleted") if value else ""
    return field_values.field_text(field, value)
