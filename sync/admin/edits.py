"""Shows edits of records in NPD as unsaved entries of the activity, if no stored entry is about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Exists, F, ForeignKey, Max, Min, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from sync import registry
from sync.choices import Cause, QueueDirection, QueueStatus, SyncDirection, TombstoneState
from sync.kernel import grouped
from sync.models import Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue, Tombstone, decisions
from sync.reconcile.field_values import to_json_value
from sync.records import authors
from sync.records.tombstones import deleted_names

# The kind of an unsaved entry about an edit in NPD that no stored entry is about.
EDIT = "edit"

# The kind of an unsaved entry about the edits of a record that wait to be sent.
WAITING = "waiting"

# What is shown beside an edit that wasn't sent: it waits, or its job failed for good.
PENDING = "Pending"
NOT_SYNCED = "Failed"


def board_mappings() -> QuerySet[FieldMapping]:
    types = [spec.entity_type for spec in registry.entities()]
    rows = FieldMapping.objects.filter(link__entity_type__in=types).select_related("link")
    return rows.order_by("position", "pk")


def keys_of(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return the key of an entry about each mapped field, by type of records and the field's name."""
    return {
        (mapping.link.entity_type, name): mapping.key if len(mapping.fields) == 1 else name
        for mapping in mappings
        for name in mapping.fields
    }


def sent_keys(mappings: Iterable[FieldMapping]) -> dict[tuple[str, str], str]:
    """Return `keys_of` the fields that are sent to a board."""
    return keys_of(mapping for mapping in mappings if mapping.column_id and SyncDirection(mapping.direction).sends)


def history_fields(model: type[SyncedModel]) -> list[Any]:
    """Return the fields that a record's history has."""
    fields: Iterable[Any] = model._meta.concrete_fields
    return [field for field in fields if not field.primary_key and field.name not in model.BOOKKEEPING]


class UnsentSave(NamedTuple):
    """That a record's last saves in NPD weren't sent yet."""

    since: datetime  # its edits after this moment weren't sent
    words: str  # PENDING or NOT_SYNCED


def unsent_saves(ids: Sequence[UUID] | None = None, *, limit: int) -> dict[registry.RecordKey, UnsentSave]:
    """Return what wasn't sent yet of these records, or of those with the newest jobs; one query."""
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
    rows = records.values("entity_type", "entity_id", "synced_at").annotate(
        first=Min("created_at"), newest=Max("pk"), alive=Count("pk", filter=~Q(status=QueueStatus.FAILED))
    )
    saves: dict[Any, UnsentSave] = {}
    for row in rows.order_by("-newest")[:limit]:
        # A job is written a moment after the history's row of its save.
        since = row["first"] - timedelta(seconds=1)
        since = max(since, row["synced_at"] or since)
        saves[row["entity_type"], row["entity_id"]] = UnsentSave(since, PENDING if row["alive"] else NOT_SYNCED)
    return saves


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
    unsent: str  # PENDING or NOT_SYNCED, which only matters for fields that are sent at all; empty if it was sent


def edits_of(
    keys: Collection[registry.RecordKey],
    saves: Mapping[registry.RecordKey, UnsentSave],
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
        save = saves.get((entity_type, entity_id)) if is_sent else None
        for event, before in zip(events, [*events[1:], None], strict=True):
            # The changes of the oldest kept row are unknown.
            if before is None and event.pgh_label != "insert":
                continue
            context = authors.context_of(event)
            is_unsent = save is not None and event.pgh_created_at > save.since and context.get("cause") != "sync"
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
                    unsent=save.words if save and is_unsent else "",
                )
            )
    return edits


def _value(event: Any, field: Any) -> Any:
    return getattr(event, field.attname)


def waiting_edits(ids: Sequence[UUID] | None = None, *, limit: int) -> list[Edit]:
    """Return the edits that weren't sent, newest first, of these records or of those with the newest jobs."""
    saves = unsent_saves(ids, limit=limit)
    unsent_edits = [edit for edit in edits_of(saves.keys(), saves) if edit.unsent]
    return sorted(unsent_edits, key=lambda edit: edit.at, reverse=True)


def entry_of(edit: Edit, kind: str, sentence: str, key: str = "", **values: str) -> Decision:
    """Return an unsaved entry about an edit, with the columns that the database would fill in."""
    return Decision(
        entity_type=edit.entity_type,
        entity_id=edit.entity_id,
        remote_id="",
        key=key,
        kind=kind,
        sentence=sentence,
        values={"event": edit.event.pgh_id, **values},
        actor=edit.who,
        at=edit.at,
        cause={},
    )


def waiting_rows(edits: Sequence[Edit], keys: Mapping[tuple[str, str], str], *, folds: bool) -> list[Any]:
    """Return the entries about each record and person. `edits` are those that weren't sent, newest first.

    `folds` leaves the entries about one record of an act on many, which say of how many others it is
    (`page_folded_count`).
    """
    texts = {entity_type: _Texts(own) for entity_type, own in grouped(edits, lambda edit: edit.entity_type).items()}
    acts: dict[tuple[object, ...], list[list[Any]]] = {}
    for group in grouped(edits, lambda edit: (edit.entity_id, edit.who)).values():
        newest = group[0]
        if rows := _rows_about_one(group, keys, texts[newest.entity_type]):
            act = (newest.entity_type, newest.who, newest.unsent, not rows[0].key, newest.group_id)
            acts.setdefault(act, []).append(rows)
    shown = []
    for alike in acts.values():
        is_folded = folds and len(alike) > decisions.MANY_ALIKE
        for row in chain.from_iterable(alike[:1] if is_folded else alike):
            row.page_folded_count = len(alike) - 1 if is_folded else 0
            shown.append(row)
    return shown


def _rows_about_one(edits: Sequence[Edit], keys: Mapping[tuple[str, str], str], texts: _Texts) -> list[Any]:
    """Return that a record was added, or an entry for each of its fields that are sent, about all edits of it."""
    newest = edits[0]
    if any(edit.before is None for edit in edits):
        return [entry_of(newest, WAITING, "Added in NPD.", unsent=newest.unsent)]
    values: dict[str, tuple[str, str]] = {}
    for edit in reversed(edits):
        for field in edit.fields:
            if key := keys.get((edit.entity_type, field.name)):
                before, after = texts.of_change(field, edit)
                values[key] = (values.get(key, (before,))[0], after)
    return [
        entry_of(newest, WAITING, "", key, before=before, after=after, unsent=newest.unsent)
        for key, (before, after) in values.items()
        if before != after
    ]


def with_edits(
    record: SyncedModel, rows: Sequence[Decision], mappings: Sequence[FieldMapping], *, limit: int
) -> list[Decision]:
    """Return a record's entries, and unsaved ones for the edits that none of them is about.

    Of an edit with an entry of its own, such as an import's, the entry about its push is left out. Any other entry of
    `rows` about a push that sent exactly one edit is changed: it gets the edit's time and author.
    """
    # One event more, because the changes of an event are the differences to the one before.
    saves = unsent_saves([record.pk], limit=1)
    edits = edits_of([(record.entity_type(), record.pk)], saves, limit=limit + 1)
    edit_at = {edit.at.isoformat(): edit for edit in edits if edit.before}
    fields_of = {mapping.key: mapping.fields for mapping in mappings}
    # A pass, an import or an undo has entries of its own.
    batches = {str(row.batch_id) for row in rows if row.batch_id}
    sent = set[tuple[Any, str]]()
    entries = []
    for row in rows:
        edit = edit_at.get(row.cause.get("npd", {}).get("at")) if row.kind == "push" else None
        names = fields_of.get(row.key, [row.key])
        if edit and _push_began_with(edit.before, names, row.values):
            if edit.group_id in batches:
                continue
            # The push sent exactly this edit: one line is shown for both, with the edit's time and author.
            row.at = edit.at
            row.actor = edit.who
            sent.update((edit.event.pgh_id, name) for name in names)
        entries.append(row)
    sent_fields = {name for _, name in sent_keys(mappings)}
    keys = keys_of(mappings)
    texts = _Texts(edits)
    for edit in edits:
        if edit.group_id in batches:
            continue
        if edit.before is None:
            entries.append(entry_of(edit, "create", "Created", unsent=edit.unsent if sent_fields else ""))
        for field in edit.fields:
            if field.name == "sync_enabled":
                entries.append(entry_of(edit, EDIT, f"Sync turned {'on' if edit.event.sync_enabled else 'off'}"))
            elif (edit.event.pgh_id, field.name) not in sent:
                before, after = texts.of_change(field, edit)
                unsent = edit.unsent if field.name in sent_fields else ""
                key = keys.get((edit.entity_type, field.name), field.name)
                entries.append(entry_of(edit, EDIT, "", key, before=before, after=after, unsent=unsent))
    return entries


def _push_began_with(event: Any, names: Sequence[str], entry_values: Mapping[str, Any]) -> bool:
    """Whether an entry about a push says that it replaced the values that this history row has in these fields."""
    columns = {field.name: field.attname for field in event._meta.concrete_fields}
    values = {name: to_json_value(getattr(event, columns[name])) for name in names if name in columns}
    if "raw_before" not in entry_values:
        # Nothing is stored for an empty cell.
        return bool(values) and not entry_values.get("before") and not any(values.values())
    raw_before = entry_values["raw_before"]
    return values == {key: raw.get("id") if isinstance(raw, dict) else raw for key, raw in raw_before.items()}


class _Texts:
    """The values in the history of records of one type as texts."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._related: dict[str, dict[Any, str]] = {}
        for field in {field for edit in edits for field in edit.fields if isinstance(field, ForeignKey)}:
            model: Any = field.related_model
            events = [event for edit in edits for event in (edit.event, edit.before) if event]
            ids = {_value(event, field) for event in events} - {None}
            targets = model._default_manager.in_bulk(ids)
            deleted = deleted_names(model.entity_type(), ids - targets.keys())
            self._related[field.attname] = deleted | {key: str(target) for key, target in targets.items()}

    def of_change(self, field: Any, edit: Edit) -> tuple[str, str]:
        """Return a field's values before and after."""
        return self._text(field, edit.before), self._text(field, edit.event)

    def _text(self, field: Any, event: Any) -> str:
        value = _value(event, field)
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(field, ForeignKey):
            return self._related[field.attname].get(value, "one that was deleted") if value else ""
        if isinstance(field, ArrayField):
            return ", ".join(value or [])
        if field.choices:
            return str(dict(field.flatchoices).get(value, value))
        return "" if value is None else str(value)
