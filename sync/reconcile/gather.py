"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q, Value
from django.db.models.functions import Lower
from pghistory.core import event_models

from sync import registry
from sync.choices import QueueStatus
from sync.connectors.base.board import EventKind
from sync.kernel.conflict_store import KIND_IDENTITY, current_store
from sync.models import Decision, IgnoredItem, Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, WebhookEvent
from sync.models.state import event_column_text, event_item_name
from sync.outbox.claim import Claim
from sync.reconcile.batch import new_ledger
from sync.reconcile.facts import AnswerFacts, ClaimedFacts, LostCreates, MatchExclusions, RecordFacts
from sync.reconcile.field_values import BoardContext, canonical_expression, stored_values
from sync.records.item_links import unlinked_items

# Records.


def claimed_facts(board: BoardContext, claims: Sequence[Claim]) -> ClaimedFacts:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    model = board.model
    items = [claim.remote_id for claim in claims if claim.entity_id is None]
    owners = dict(model._default_manager.filter(monday_id__in=items).values_list("monday_id", "pk"))
    unmatched: list[Claim] = []
    rows: dict[UUID, list[SyncQueue]] = {}
    for claim in claims:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            unmatched.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    relations = board.joined_relations
    # Without a name select_related would follow every relation.
    found = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    records = found.in_bulk(list(rows))
    merged = {entity_id: Claim(entity_id, None, jobs) for entity_id, jobs in rows.items()}
    return ClaimedFacts(
        records=_record_facts(board, {key: claim for key, claim in merged.items() if key in records}, records),
        deleted=tuple(claim for key, claim in merged.items() if key not in records),
        unmatched=tuple(unmatched),
        known_items=tuple(map(str, owners)),
    )


def _record_facts(
    board: BoardContext, claims: Mapping[UUID, Claim], records: Mapping[UUID, SyncedModel]
) -> tuple[RecordFacts, ...]:
    entity_type = board.link.entity_type
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, claims)}
    intents = _by_record(_open_intents(claims))
    conflicts = current_store().open_conflicts(entity_type, claims)
    failed = SyncQueue.objects.filter(entity_type=entity_type, entity_id__in=claims, status=QueueStatus.FAILED)
    with_failed_job = set(failed.values_list("entity_id", flat=True))
    asked_items = {c.monday_item_id for found in conflicts.values() for c in found if c.kind == KIND_IDENTITY}
    owned: frozenset[str] = frozenset()
    if asked_items:
        linked = board.model._default_manager.filter(monday_id__in=asked_items)
        owned = frozenset(map(str, linked.values_list("monday_id", flat=True)))
    item_ids = [record.monday_id for record in records.values() if record.monday_id]
    events: dict[str, list[WebhookEvent]] = {}
    new = WebhookEvent.objects.filter(processed_at=None, item_id__in=item_ids, board_id=board.link.board_id)
    for event in new.order_by("id"):
        events.setdefault(str(event.item_id), []).append(event)
    return tuple(
        RecordFacts(
            claim,
            records[key],
            ledgers.get(str(key)) or new_ledger(entity_type, key),
            tuple(intents.get(key, ())),
            tuple(conflicts.get(key, ())),
            tuple(events.get(records[key].monday_id or "", ())),
            has_failed_job=key in with_failed_job,
            owned_items=owned,
        )
        for key, claim in claims.items()
    )


def _open_intents(ids: Collection[UUID]) -> Iterable[Intent]:
    return Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).order_by("created_at")


def _by_record(intents: Iterable[Intent]) -> dict[UUID | None, list[Intent]]:
    found: dict[UUID | None, list[Intent]] = {}
    for intent in intents:
        found.setdefault(intent.entity_id, []).append(intent)
    return found


# Their history: recent events, writes of ours, loops.

# Relations and edit times.

# Identity: who could be whose.


MAX_ITEMS = 500
"""So many items at most are asked for; a name that more of them bear in so short a time says nothing."""


def match_exclusions(entity_type: str, items: Iterable[str], records: Iterable[UUID]) -> MatchExclusions:
    """Return what is remembered of these items, and of what was unlinked from these records; a few queries."""
    rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=set(items))
    return MatchExclusions({row.item_id: row for row in rows}, unlinked_items(entity_type, list(records)))


def item_owners(items: Collection[str]) -> dict[str, UUID]:
    """Return the records of any type that are linked with these items, for items move; one query a type."""
    owners: dict[str, UUID] = {}
    for spec in registry.entities():
        rows = spec.model._default_manager.filter(monday_id__in=items).values_list("monday_id", "pk")
        owners |= {str(item_id): key for item_id, key in rows}
    return owners


def existing_records(board: BoardContext, ids: Collection[UUID]) -> frozenset[UUID]:
    """Return which of these records are there."""
    return frozenset(board.model._default_manager.filter(pk__in=ids).values_list("pk", flat=True))


def records_by_match_key(board: BoardContext, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys in canonical form, by key; one query."""
    wanted, match = sorted(set(keys)), board.match_mapping
    if match is None or not wanted:
        return {}
    convert = board.converter(match)
    records = board.model._default_manager.annotate(match_key=Lower(canonical_expression(match.fields[0])))
    found: dict[str, list[SyncedModel]] = {}
    for record in records.filter(match_key__in=[Lower(Value(key)) for key in wanted]):
        found.setdefault(str(convert.local(stored_values(record, match))), []).append(record)
    return {key: found[key] for key in wanted if key in found}


def unedited_records(model: type[SyncedModel], ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these records that nobody changed in NPD, and at which nothing in NPD points.

    One query for each history and each relation to them.
    """
    left = set(ids)
    for events in event_models(tracks_model=model) if left else ():
        edits = events._default_manager.filter(pgh_obj_id__in=left).exclude(pgh_context__metadata__cause="sync")
        left -= set(edits.values_list("pgh_obj_id", flat=True))
    histories = set(event_models())
    for relation in [r for r in model._meta.related_objects if r.related_model not in histories] if left else ():
        name = relation.field.name
        pointing: Any = relation.related_model._default_manager.filter(**{f"{name}__in": left})
        left -= set(pointing.values_list(name, flat=True))
    return frozenset(left)


def unedited_from_items(board: BoardContext, ids: Collection[UUID]) -> dict[UUID, SyncedModel]:
    """Return those of these records that were made from an item, and that nobody touched in NPD."""
    made = SyncMetadata.objects.of(board.link.entity_type, ids).filter(made_from_item=True)
    unedited = unedited_records(board.model, [UUID(key) for key in made.values_list("entity_id", flat=True)])
    return board.model._default_manager.in_bulk(unedited)


def lost_creates(board: BoardContext, ids: Collection[UUID]) -> LostCreates:
    """Return what webhooks told of creates of these records that were given up."""
    void = Intent.objects.filter(entity_id__in=ids, item_id="", state=IntentState.VOID, lookups__gt=0)
    lost = list(void.order_by("created_at"))
    items = _items_in_events(board, lost) if lost else ()
    if not items:
        return LostCreates()
    records = {intent.entity_id for intent in lost}
    # Items from which these records were parted already: they are not to come back by themselves.
    rows = Decision.objects.filter(entity_id__in=records, kind="unlinked").exclude(remote_id="")
    unlinked = frozenset((key, item_id) for key, item_id in rows.values_list("entity_id", "remote_id") if key)
    return LostCreates(frozenset(records), items, unlinked)


def _items_in_events(board: BoardContext, lost: Sequence[Intent]) -> tuple[str, ...]:
    """Items that webhooks named since then as made with one of the NPD IDs, or as taken away under one of the names."""
    ids = {str(intent.entity_id) for intent in lost}
    sent = [entry for intent in lost for entry in intent.values.values() if entry["column"] == "name"]
    names = {str(value) for entry in sent for value in entry["local"].values()}
    events = WebhookEvent.objects.filter(board_id=board.link.board_id, received_at__gte=lost[0].created_at)
    told = events.of_kind(EventKind.CREATED, EventKind.ARCHIVED, EventKind.DELETED).annotate(
        npd_id=event_column_text(board.link.npd_id_column), called=event_item_name()
    )
    named = told.filter(Q(npd_id__in=ids) | Q(called__in=names))
    item_ids = named.order_by("-id").values_list("item_id", flat=True)[:MAX_ITEMS]
    found = [str(item_id) for item_id in dict.fromkeys(item_ids) if item_id]
    owned = set(board.model._default_manager.filter(monday_id__in=found).values_list("monday_id", flat=True))
    return tuple(item_id for item_id in found if item_id not in owned)


def answer_facts(
    board: BoardContext, records: Collection[UUID], items: Collection[str], merged: Collection[UUID], *, is_paused: bool
) -> AnswerFacts:
    """Lock the records that answers name, in the order of their ids, and read what else the answers rest on."""
    # With the key's lock where one of them may be deleted.
    rows = board.model._default_manager.select_for_update(no_key=not merged, of=("self",)).filter(pk__in=records)
    locked = {record.pk: record for record in rows.order_by("pk")}
    linked = board.model._default_manager.filter(monday_id__in=items)
    owners = {str(record.monday_id): record for record in linked} if items else {}
    return AnswerFacts(locked, owners, unedited_records(board.model, merged), is_paused)


# Removed items and deleted records.

# Items without a record.
