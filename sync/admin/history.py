"""What happened to a record, as sentences: who changed what in NPD, and what the sync decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, ForeignKey, Model
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from pghistory.core import event_models

from sync.admin import words
from sync.admin.undo import batch_undo_url, undo_url
from sync.authors import SYNC, actor_of, users_of
from sync.explain.chains import Link, chains
from sync.ledger import SyncStateService
from sync.models import Decision, SyncedModel
from sync.record_settings import WHY
from sync.undo import may_be_undone


@dataclass(frozen=True)
class Line:
    """One thing that happened; `chain` is what led to it, `undo_url` the page that takes it back."""

    at: datetime
    actor: str
    sentence: str
    by_sync: bool = False
    decided: bool = False
    chain: Sequence[Link] = ()
    undo_url: str = ""
    batch_url: str = ""
    is_undo: bool = False
    taken_back: bool = False

    @property
    def traced(self) -> SafeString:
        """The sentence, with the id of Monday's request in small type."""
        return words.traced(self.sentence)


@dataclass(frozen=True)
class LastChange:
    """Who gave a field its present value, and when."""

    at: datetime
    actor: str


def history_of(record: SyncedModel, limit: int = 50) -> list[Line]:
    """Return the newest things that happened to a record, newest first."""
    decisions = SyncStateService().history(record, limit=limit)
    decided = _decided(decisions)
    told = {str(line.batch_id) for line in decisions if line.batch_id}
    lines = [*changes_of(record, limit, told=told), *decided]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:limit]


def _decided(decisions: Sequence[Decision]) -> list[Line]:
    """Decisions with their causes, and how to take them back; a batch of one line needs no page of its own."""
    led_to = chains(decisions)
    undone = _taken_back(decisions)
    sizes = _sizes({row.batch_id for row in decisions if row.batch_id and may_be_undone(row)})
    return [
        Line(
            row.at,
            row.actor or SYNC,
            row.sentence,
            by_sync=not row.actor,
            decided=True,
            chain=led_to[row.pk],
            undo_url=undo_url(row) if may_be_undone(row) and row.pk not in undone else "",
            batch_url=batch_undo_url(row.batch_id) if row.batch_id and sizes.get(row.batch_id, 0) > 1 else "",
            is_undo=row.undoes is not None,
            taken_back=row.pk in undone,
        )
        for row in decisions
    ]


def _taken_back(decisions: Sequence[Decision]) -> set[int]:
    """Those that an undo took back which was not taken back itself."""
    undos: dict[int, list[int]] = {}
    rows = Decision.objects.filter(entity_id__in={row.entity_id for row in decisions}, undoes__isnull=False)
    for pk, undoes in rows.order_by().values_list("pk", "undoes"):
        undos.setdefault(undoes or 0, []).append(pk)

    def stands(pk: int) -> bool:
        return not any(stands(undo) for undo in undos.get(pk, ()))

    return {row.pk for row in decisions if not stands(row.pk)}


def _sizes(batches: Collection[UUID]) -> dict[UUID, int]:
    """How many moves each of these batches holds."""
    moves = Decision.objects.filter(batch_id__in=batches, values__has_keys=["raw_before", "raw_after"])
    counted = moves.order_by().values_list("batch_id").annotate(number=Count("id"))
    return {batch: number for batch, number in counted if batch is not None}


def changes_of(record: SyncedModel, limit: int = 50, *, told: Collection[str] = ()) -> list[Line]:
    """Return the changes of a record's row with their authors, newest first.

    `told` are looks whose decisions are shown: what these wrote stands there, field by field and with its reason.
    """
    events = _events(record, limit + 1)
    if not events:
        return []
    actors = _actors(events)
    labels = _labels_of_relations(record, events)
    lines = []
    for event, before in zip(events, [*events[1:], None], strict=True):
        sentence = _sentence(record, event, before, labels)
        if sentence and _look_of(event) not in told:
            actor = actors[event.pgh_id]
            lines.append(Line(event.pgh_created_at, actor, sentence, by_sync=actor == SYNC))
    return lines[:limit]


def last_change(record: SyncedModel, attname: str) -> LastChange | None:
    """Return who gave a field its present value, as far as the last fifty changes of the record tell."""
    events = _events(record, 50)
    if not events:
        return None
    present = getattr(record, attname)
    newest = next(
        (
            event
            for event, before in zip(events, [*events[1:], None], strict=True)
            if getattr(event, attname) == present and (before is None or getattr(before, attname) != present)
        ),
        None,
    )
    return LastChange(newest.pgh_created_at, _actors([newest])[newest.pgh_id]) if newest else None


def _events(record: SyncedModel, limit: int) -> list[Any]:
    models = event_models(tracks_model=type(record))
    if not models:
        return []
    rows = models[0]._default_manager.filter(pgh_obj_id=record.pk)
    return list(rows.select_related("pgh_context").order_by("-pgh_id")[:limit])


def _look_of(event: Any) -> str:
    """Return the id of the look that made a change; empty where no look did."""
    return str(event.pgh_context.metadata.get("batch", "")) if event.pgh_context else ""


def _actors(events: Sequence[Any]) -> dict[int, str]:
    users = users_of(events)
    return {
        event.pgh_id: actor_of(event.pgh_context.metadata if event.pgh_context else {}, users)
        for event in events
    }


def _labels_of_relations(record: SyncedModel, events: Sequence[Any]) -> dict[str, dict[Any, str]]:
    """Return, for each relation, the names of what the events point at; one query a relation."""
    labels: dict[str, dict[Any, str]] = {}
    for field in _fields(record):
        if isinstance(field, ForeignKey):
            ids = {getattr(event, field.attname) for event in events} - {None}
            related: type[Model] = field.related_model
            found = related._default_manager.in_bulk(list(ids)) if ids else {}
            labels[field.attname] = {key: str(target) for key, target in found.items()}
    return labels


def _fields(record: SyncedModel) -> list[Any]:
    return [f for f in record._meta.concrete_fields if f.name not in record.BOOKKEEPING and not f.primary_key]


def _sentence(record: SyncedModel, event: Any, before: Any, labels: Mapping[str, Mapping[Any, str]]) -> str:
    if before is None:
        return _("created it") if event.pgh_label == "insert" else ""
    paused = getattr(before, "sync_enabled", False) and not event.sync_enabled
    why = _reason(event) if paused else ""
    parts = [
        f"{field.verbose_name} from {_value(field, before, labels)} to {_value(field, event, labels)}"
        for field in _fields(record)
        if hasattr(event, field.attname) and getattr(event, field.attname) != getattr(before, field.attname)
    ]
    return _("changed %(fields)s%(why)s") % {"fields": _listed(parts), "why": why} if parts else ""


def _reason(event: Any) -> str:
    """Why somebody paused the record, as the end of the sentence."""
    said = str(event.pgh_context.metadata.get(WHY, "")) if event.pgh_context else ""
    return f": {said}" if said else ""


def _value(field: Any, event: Any, labels: Mapping[str, Mapping[Any, str]]) -> str:
    value = getattr(event, field.attname)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(field, ForeignKey):
        return words.quoted(labels[field.attname].get(value, "one that is gone") if value else None)
    if isinstance(field, ArrayField):
        return words.quoted(", ".join(value or []))
    if field.choices:
        return words.quoted(str(dict(field.flatchoices).get(value, value)))
    return words.quoted(value if value is None else str(value))


def _listed(parts: Iterable[str]) -> str:
    shown = list(parts)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
