"""What items point at: items that no record has, second items of records, and the related records that a pass names."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models

from sync import registry
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.models import (
    Decision,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
)
from sync.monday.board import EventKind
from sync.monday.board_events import EVENT_TYPES
from sync.monday.board_items import Item
from sync.outbox.claim import Claim
from sync.reconcile import field_values, lookups, pass_plan, sides
from sync.reconcile.facts import EDIT_KINDS, ItemFacts, Pair, RecordFacts
from sync.reconcile.gather.owners import records_by_match_key, records_like
from sync.reconcile.gather.record_facts import by_record, facts_of_records, maker_of
from sync.reconcile.resolutions import chosen_references
from sync.records.unmatched_items import AS_NEW, LINK_TO
from sync.registry import link_of, target_of


def unmatched_facts(facts: pass_plan.PassFacts) -> list[ItemFacts]:
    """Read what NPD knows of the claimed items that no record has; a handful of queries whatever their number."""
    board = facts.board
    entity_type = board.link.entity_type
    ids = [claim.remote_id for claim in facts.item_claims if claim.remote_id]
    shown = {item_id: facts.items.linked[item_id] for item_id in ids if item_id in facts.items.linked}
    active = {item_id: item for item_id, item in shown.items() if item.state == field_values.ACTIVE}
    npd_ids = {item_id: npd_id for item_id, item in active.items() if (npd_id := field_values.npd_uuid_of(board, item))}
    keys = {item_id: field_values.match_text_of_item(board, item) or "" for item_id, item in shown.items()}
    # How long an item is quiet is told by the board's events.
    here = models.Q(board_id=board.link.board_id)
    edit_types = [name for kind in EDIT_KINDS for name in EVENT_TYPES[kind]]
    rows = WebhookEvent.objects.filter(item_id__in=ids).order_by().values("item_id")
    rows = rows.annotate(
        first=models.Min("received_at", filter=here),
        last=models.Max("received_at", filter=here),
        new=ArrayAgg("pk", filter=models.Q(processed_at=None), order_by="pk", default=models.Value([])),
        new_edits=models.Count("pk", filter=here & models.Q(processed_at=None, type__in=edit_types)),
    )
    events: dict[str | None, dict[str, Any]] = {row["item_id"]: dict(row) for row in rows}
    # A call about the item was announced whose outcome nobody knows.
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    # Claims don't read when a row was written: it is asked for only where no event tells.
    heard = {item_id for item_id, of_item in events.items() if of_item["first"]}
    unheard = [claim.rows[0].pk for claim in facts.item_claims if claim.remote_id not in heard]
    jobs = SyncQueue.objects.filter(pk__in=unheard)
    written = dict(jobs.values_list("pk", "created_at")) if unheard else {}
    remembered = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=ids)
    ignored = {row.item_id: row for row in remembered}
    types = [spec.entity_type for spec in registry.entities()]
    deleted = models.Q(monday_id__in=ids) | models.Q(entity_id__in=npd_ids.values())
    tombstones = list(Tombstone.objects.filter(deleted, entity_type__in=types).order_by("pk"))
    # The records of other types that have the items, or the NPD IDs that they bear; a query for each type.
    owners = dict[str, SyncedModel]()
    taken = set[UUID]()
    for spec in registry.entities():
        if spec.entity_type != entity_type:
            for record in spec.model._default_manager.filter(
                models.Q(monday_id__in=ids) | models.Q(pk__in=npd_ids.values())
            ):
                owners.setdefault(str(record.monday_id), record)
                taken.add(record.pk)
    chosen = {
        claim.remote_id: chosen_id
        for claim in facts.item_claims
        if (chosen_id := field_values.as_uuid(str(claim.payload.get(LINK_TO, ""))))
    }
    named_ids = [*npd_ids.values(), *chosen.values()]
    records = records_like(board, models.Q(pk__in=named_ids) | models.Q(monday_id__in=ids), keys.values())
    by_id = {record.pk: record for record in records}
    by_key = grouped(records, lambda record: field_values.match_text_of_record(board, record))
    for record in records:
        owners.setdefault(str(record.monday_id), record)
    items = []
    for claim in facts.item_claims:
        item_id = claim.remote_id or ""
        of_item = events.get(item_id, {})
        npd_id = npd_ids.get(item_id)
        chosen_id = chosen.get(item_id)
        # The NPD ID that it bears was a record's that is here no more (a restored database); else it is a new one.
        is_new_id = npd_id is None or npd_id in taken or bool(claim.payload.get(AS_NEW))
        items.append(
            ItemFacts(
                claim,
                shown.get(item_id),
                last_event=of_item.get("last"),
                new_events=tuple(of_item.get("new", ())),
                has_new_edit=bool(of_item.get("new_edits")),
                known_since=of_item.get("first") or written.get(claim.rows[0].pk),
                unconfirmed_until=unconfirmed.get(item_id),
                owner=owners.get(item_id),
                ignored=ignored.get(item_id),
                tombstones=tuple(t for t in tombstones if t.monday_id == item_id or t.entity_id == npd_id),
                npd_id_record=by_id.get(npd_id) if npd_id else None,
                matching=tuple(by_key.get(keys[item_id], ())) if keys.get(item_id) else (),
                chosen_record=by_id.get(chosen_id) if chosen_id else None,
                new_record_id=uuid.uuid4() if is_new_id else npd_id,
            )
        )
    return items


def item_now(board: field_values.BoardContext, plan: pass_plan.ItemPlan) -> tuple[ItemFacts, dict[UUID, SyncedModel]]:
    """Return the present facts of the item, as far as the plan rests on them, and the records that it names: settle has
    locked these.
    """
    item = plan.facts
    gives = plan.act in pass_plan.ASSIGNING
    records: dict[UUID, SyncedModel] = {}
    owner = None
    if plan.act in (pass_plan.ItemAct.ASK, pass_plan.ItemAct.LINK, pass_plan.ItemAct.REPLACE):
        records = board.model._default_manager.in_bulk(list(plan.names))
    if plan.act in (pass_plan.ItemAct.LINK, pass_plan.ItemAct.REPLACE):
        owner = board.model._default_manager.filter(monday_id=item.item_id).first()
    key = field_values.match_text_of_item(board, item.item) if gives and item.item else ""
    ignored = IgnoredItem.objects.filter(entity_type=board.link.entity_type, item_id=item.item_id)
    tombstones = Tombstone.objects.select_for_update().filter(pk__in=[plan.tombstone.pk] if plan.tombstone else [])
    now = replace(
        item,
        owner=owner,
        ignored=ignored.first() if gives else None,
        matching=tuple(records_by_match_key(board, [key]).get(key, ())) if key else (),
        tombstones=tuple(tombstones),
    )
    return now, records


def with_first_records(facts: pass_plan.PassFacts, items: Sequence[ItemFacts]) -> list[ItemFacts]:
    """Add to items that bear the NPD ID of a linked record what is known of that record, without its item."""
    linked = {item.item_id: item.npd_id_record for item in items if item.npd_id_record and item.npd_id_record.monday_id}
    by_id = {record.pk: record for record in linked.values()}
    first_facts = {record.id: record for record in facts.records if record.id in by_id}
    if unclaimed := {key: Claim(key, None, []) for key in by_id if key not in first_facts}:
        first_facts |= {record.id: record for record in facts_of_records(facts.board, facts.now, unclaimed, by_id)}
    firsts = {item_id: replace(first_facts[record.pk], item=None) for item_id, record in linked.items()}
    return [replace(item, duplicate_of=firsts.get(item.item_id)) for item in items]


def with_copy_history(
    board: field_values.BoardContext, items: Sequence[ItemFacts], own_items: Mapping[str, Item]
) -> list[ItemFacts]:
    """Add to items that may be a record's second one what tells it: that record's own item, all that was announced
    about it, what it was unlinked from, and who did anything with the item.
    """
    ids = {item.duplicate_of.id for item in items if item.duplicate_of is not None}
    writes = by_record(Intent.objects.filter(entity_id__in=ids))
    unlinked = set(Decision.objects.filter(entity_id__in=ids, kind="unlinked").values_list("entity_id", "remote_id"))
    copies = [item.item_id for item in items if item.duplicate_of is not None]
    events = lookups.events_by_item(WebhookEvent.objects.filter(item_id__in=copies).order_by("id"))
    full = []
    for item in items:
        if item.duplicate_of is None:
            full.append(item)
            continue
        first = item.duplicate_of
        of_item = events.get(item.item_id, [])
        history = replace(
            first.history,
            intents=writes.get(first.id, ()),
            unlinked_items=frozenset(item_id for record_id, item_id in unlinked if record_id == first.id),
            maker=maker_of(of_item),
            users=frozenset({event.user_id for event in of_item} - {""}),
            token_user=board.settings.token_user,
        )
        first = replace(first, item=own_items.get(first.record.monday_id or ""), history=history)
        full.append(replace(item, duplicate_of=first))
    return full


# Where a base names an item while the cell is empty: the model of its record, that item, and the one with the cell.
EmptiedCells: TypeAlias = Sequence[tuple[type[SyncedModel], str, str]]


def emptied_cells(board: field_values.BoardContext, pairs: Sequence[Pair]) -> EmptiedCells:
    return [
        (model, named_item, item.id)
        for record, item in pairs
        for model, named_item in sides.items_of_emptied_cells(board, record, item)
    ]


def with_related(
    facts: pass_plan.PassFacts,
    plan: pass_plan.Plan,
    pairs: Sequence[Pair],
    gone: Sequence[RecordFacts],
    removed: Collection[str],
) -> pass_plan.PassFacts:
    """Add the related records that may be asked for, and the names by which the board's items are shown.

    Both sides of `gone` records and of `pairs` may name some; `removed` are items that have left their boards.
    """
    board = facts.board
    records = [record.facts for record in plan.open_records]
    unmatched = [facts.items.linked.get(claim.remote_id or "") for claim in facts.item_claims]
    naming = [(record.record, item) for record, item in pairs]
    naming += [(board.model(), item) for item in unmatched if item is not None]
    naming += [(record.record, record.item) for record in gone if record.item is not None]
    named = [
        reference for record, item in naming for reference in field_values.differing_relations(board, record, item)
    ]
    references = {field_values.reference_to(target_of(relation), data) for relation, data in named}
    for record in records:
        if record.conflicts:
            references |= chosen_references(board, record)
    # What was overwritten is in no cell any more; people are told of it, and take it back, by its name.
    lost_updates = [lost for record_plan in plan.open_records for lost in record_plan.lost_updates]
    for mapping, relation in board.relations if lost_updates else ():
        if board.converter(mapping).names_items:
            items = {str(lost.value) for lost in lost_updates if lost.key == mapping.key and lost.value is not None}
            references |= {field_values.Reference(target_of(relation), "monday_id", item_id) for item_id in items}
    # What records name in NPD was read with them.
    names = [relation.name for _, relation in board.relations]
    joined: list[SyncedModel] = [
        related for record in records for name in names if (related := getattr(record.record, name)) is not None
    ]
    by_reference = {field_values.Reference(type(other), "pk", str(other.pk)): (other,) for other in joined}
    related = lookups.read_related(references, {**facts.related, **by_reference})
    types_without_item = {other.entity_type() for other in joined if not other.monday_id}
    boards = {name for name in types_without_item if (link := link_of(name)) and link.board_id}
    return replace(
        facts,
        board=board.with_names(_item_names(board, related, records)),
        related=related,
        related_boards=facts.related_boards | boards,
        removed_items=frozenset(removed),
    )


def _item_names(
    board: field_values.BoardContext, related: field_values.RelatedRecords, records: Iterable[RecordFacts]
) -> dict[str, str]:
    """Return by whose names items are shown: of NPD's values, of the ones last agreed, of those on Monday. Pure."""
    names: dict[str, str] = {}
    keys = [(mapping, mapping.fields[0]) for mapping, _ in board.relations]
    for facts in records:
        for mapping, name in keys:
            base = facts.ledger.base.get(mapping.key)
            for raw in (field_values.stored_values(facts.record, mapping), base["local"] if base else {}):
                reference = raw.get(name)
                if isinstance(reference, dict) and reference.get("item"):
                    names.setdefault(str(reference["item"]), str(reference["name"]))
    for reference, hits in related.items():
        if reference.by == "monday_id" and hits:
            names[reference.value] = field_values.record_name(hits[0])
    return names


def items_reported_removed(model: type[SyncedModel], items: Collection[str]) -> set[str]:
    """Return which of these items a pass or a webhook said to be gone from their board; of others Monday can tell."""
    owners = dict(model._default_manager.filter(monday_id__in=items).values_list("pk", "monday_id"))
    ledgers = SyncMetadata.objects.of(model.entity_type(), owners).exclude(remote_state__in=("", field_values.ACTIVE))
    removed = {str(owners[key]) for key in map(UUID, ledgers.values_list("entity_id", flat=True))}
    events = WebhookEvent.objects.filter(item_id__in=set(items) - removed, processed_at=None)
    taken = events.of_kind(EventKind.ARCHIVED, EventKind.DELETED).values_list("item_id", flat=True)
    return removed | {str(item_id) for item_id in taken}
