"""Related records and edit times: what the decision on fields lacks, read for all records of a pass together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Lower

from sync.clock import SyncNow
from sync.connectors.base.board import EventKind
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import AmbiguousSplit, UnknownValue
from sync.models import SyncedModel, SyncMetadata, WebhookEvent
from sync.reconcile.facts import ReceivedEvent, RecordFacts, change_events
from sync.reconcile.field_plan import EditFacts
from sync.reconcile.field_values import (
    ACTIVE,
    NOTHING_RELATED,
    BoardContext,
    Lacking,
    RelatedFacts,
    Want,
    WantKind,
    comparable_name,
    fold_name,
    record_name,
    stored_values,
    want_of,
)
from sync.records.authors import latest_edits
from sync.registry import UnknownEntity, link_of, name_field, target_of

T = TypeVar("T")


def related_wants(board: BoardContext, record: SyncedModel, item: Item) -> set[Want]:
    """Return the records that the item's relations name, where they are others than NPD's. Pure."""
    wants = set()
    for mapping, field in board.relations:
        convert, local = board.converter(mapping, record), stored_values(record, mapping)
        with suppress(UnknownValue, AmbiguousSplit):
            value = convert.to_local(convert.stored_value(item.reading(mapping.column_id)), local)
            reference = value.get(mapping.fields[0])
            if isinstance(reference, dict) and reference != local[mapping.fields[0]]:
                wants.add(want_of(target_of(field), reference))
    return wants


def known_related(board: BoardContext, records: Iterable[SyncedModel]) -> dict[Want, Sequence[SyncedModel]]:
    """Return the related records that came with these records."""
    found: dict[Want, Sequence[SyncedModel]] = {}
    for record in records:
        for _, field in board.relations:
            if (related := getattr(record, field.name)) is not None:
                found[Want(WantKind.ID, target_of(field), str(related.pk))] = (related,)
    return found


def item_names(board: BoardContext, related: RelatedFacts, records: Iterable[RecordFacts]) -> dict[str, str]:
    """Return by whose names items are shown: of NPD's values, of the ones last agreed, of those on Monday. Pure."""
    names: dict[str, str] = {}
    keys = [(mapping, mapping.fields[0]) for mapping, _ in board.relations]
    for facts in records:
        for mapping, name in keys:
            base = facts.ledger.base.get(mapping.key)
            for raw in (stored_values(facts.record, mapping), base["local"] if base else {}):
                reference = raw.get(name)
                if isinstance(reference, dict) and reference.get("item"):
                    names.setdefault(str(reference["item"]), str(reference["name"]))
    named = {want.value: found for want, found in related.records.items() if want.kind is WantKind.ITEM}
    return names | {item: record_name(found[0]) for item, found in named.items() if found}


def read_related(wants: Collection[Want], known: RelatedFacts) -> RelatedFacts:
    """Read what is wanted of related records, in a query or two for each kind and model."""
    by_kind: dict[tuple[WantKind, type[SyncedModel]], list[Want]] = {}
    for want in wants:
        assert want.model is not None
        by_kind.setdefault((WantKind(want.kind), want.model), []).append(want)
    records: dict[Want, Sequence[SyncedModel]] = {}
    answers: dict[Want, bool] = {}
    for (kind, model), of_kind in by_kind.items():
        if kind is WantKind.REMOVED:
            answers |= _removed(model, of_kind)
        elif kind is WantKind.BOARD:
            answers |= dict.fromkeys(of_kind, _has_board(model))
        elif kind is not WantKind.EDITS:
            records |= _READERS[kind](model, of_kind)
    return RelatedFacts({**known.records, **records}, {**known.answers, **answers})


def _records_by_id(model: type[SyncedModel], wants: Sequence[Want]) -> dict[Want, Sequence[SyncedModel]]:
    found = {str(one.pk): one for one in model._default_manager.filter(pk__in=[want.value for want in wants])}
    return {want: [found[want.value]] if want.value in found else [] for want in wants}


def _records_by_item(model: type[SyncedModel], wants: Sequence[Want]) -> dict[Want, Sequence[SyncedModel]]:
    items = model._default_manager.filter(monday_id__in=[want.value for want in wants])
    found = {one.monday_id: one for one in items}
    return {want: [found[want.value]] if want.value in found else [] for want in wants}


def _records_by_name(model: type[SyncedModel], wants: Sequence[Want]) -> dict[Want, Sequence[SyncedModel]]:
    names, field, found = sorted({want.value for want in wants} - {""}), name_field(model), list[SyncedModel]()
    if names and field is not None:
        records = model._default_manager.annotate(called=Lower(comparable_name(field)))
        found = list(records.filter(called__in=[Lower(Value(name)) for name in names]))
    lower = [(fold_name(record_name(one)).lower(), one) for one in found]
    return {want: [one for name, one in lower if name == want.value.lower()] for want in wants}


_READERS = {WantKind.ID: _records_by_id, WantKind.ITEM: _records_by_item, WantKind.NAME: _records_by_name}


def _removed(model: type[SyncedModel], wants: Sequence[Want]) -> dict[Want, bool]:
    """Whose items were last seen archived, deleted or elsewhere, or of whose items a webhook just said so."""
    ledgers = SyncMetadata.objects.of(model.entity_type(), [UUID(want.value[0]) for want in wants])
    gone = set(ledgers.exclude(remote_state__in=("", ACTIVE)).values_list("entity_id", flat=True))
    items = [want.value[1] for want in wants if want.value[1] and want.value[0] not in gone]
    removed: set[str | None] = set()
    if items:
        events = WebhookEvent.objects.filter(item_id__in=items, processed_at=None)
        removed = set(events.of_kind(EventKind.ARCHIVED, EventKind.DELETED).values_list("item_id", flat=True))
    return {want: want.value[0] in gone or want.value[1] in removed for want in wants}


def _has_board(model: type[SyncedModel]) -> bool:
    with suppress(UnknownEntity):
        link = link_of(model.entity_type())
        return link is not None and bool(link.board_id)
    return False


def read_until(rule: Callable[[RelatedFacts], T], known: RelatedFacts = NOTHING_RELATED) -> T:
    """Return what a rule says once everything that it finds lacking of related records was read; outside a pass."""
    while True:
        try:
            return rule(known)
        except Lacking as lacking:
            known = read_related(lacking.wants, known)


def read_edits(board: BoardContext, records: Mapping[UUID, SyncedModel], known: EditFacts) -> EditFacts:
    """Read when these records' fields were edited on both sides: four queries for all of them."""
    history = latest_edits(board.model, records)
    ahead = known.ahead
    if history and not known.history:
        # History takes PostgreSQL's own time, everything else `sync_now()`, which tests move.
        with connection.cursor() as cursor:
            cursor.execute("SELECT sync_now() - clock_timestamp()")
            ahead = cursor.fetchone()[0]
    by_item: dict[str, list[ReceivedEvent]] = {}
    items = [record.monday_id for record in records.values() if record.monday_id]
    told = WebhookEvent.objects.filter(
        item_id__in=items,
        board_id=board.link.board_id,
        received_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    )
    for row in told if items else ():
        by_item.setdefault(str(row.item_id), []).append(ReceivedEvent.of(row))
    changes: dict[UUID, Sequence[Any]] = {
        pk: change_events(board, record, by_item.get(record.monday_id or "", ())) for pk, record in records.items()
    }
    found = {pk: history.get(pk, []) for pk in records}
    return EditFacts({**known.history, **found}, {**known.changes, **changes}, ahead)
