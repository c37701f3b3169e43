"""Reads the facts about items that no record has, and about those that may be a linked record's duplicate."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models

from conflicts.store import records_asked_about
from sync import registry
from sync.choices import TombstoneState
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.models import Decision, IgnoredItem, Intent, IntentState, SyncedModel, SyncQueue, Tombstone, WebhookEvent
from sync.monday.board_events import EVENT_TYPES
from sync.monday.board_items import Item
from sync.outbox.claim import Claim
from sync.reconcile import field_values
from sync.reconcile.facts import EDIT_KINDS, ItemFacts, PassFacts
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather.owners import events_by_item, records_like
from sync.reconcile.gather.record_facts import by_record, facts_of_records, maker_of
from sync.records.item_links import AS_NEW, left_by_deleted_record


def unmatched_facts(facts: PassFacts) -> list[ItemFacts]:
    """Read what NPD knows about the claimed items that no record has, in a fixed number of queries."""
    board = facts.board
    ids = [claim.remote_id for claim in facts.item_claims if claim.remote_id]
    # By item: the times of the board's first and last event, and the events that no pass has checked.
    on_this_board = models.Q(board_id=board.link.board_id)
    edit_types = [name for kind in EDIT_KINDS for name in EVENT_TYPES[kind]]
    events = WebhookEvent.objects.filter(item_id__in=ids).order_by().values("item_id")
    events = events.annotate(
        first=models.Min("received_at", filter=on_this_board),
        last=models.Max("received_at", filter=on_this_board),
        new=ArrayAgg("pk", filter=models.Q(processed_at=None), order_by="pk", default=models.Value([])),
        new_edits=models.Count("pk", filter=on_this_board & models.Q(processed_at=None, type__in=edit_types)),
    )
    stats: dict[str | None, dict[str, Any]] = {row["item_id"]: dict(row) for row in events}
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    # Claims don't load created_at; fetch it only for items without an event.
    eventless = [claim.rows[0].pk for claim in facts.item_claims if not stats.get(claim.remote_id, {}).get("first")]
    jobs = SyncQueue.objects.filter(pk__in=eventless)
    job_created_at = dict(jobs.values_list("pk", "created_at")) if eventless else {}
    items = {item_id: item for item_id, item in facts.items.linked.items() if item_id in ids}
    npd_ids = _npd_ids(board, items.values())
    records_of_other_types: list[SyncedModel] = []
    for spec in registry.entities():
        if spec.entity_type != board.link.entity_type:
            has_either = models.Q(monday_id__in=ids) | models.Q(pk__in=npd_ids.values())
            records_of_other_types += spec.model._default_manager.filter(has_either)
    npd_ids_in_use = {record.pk for record in records_of_other_types}
    unmatched = []
    for claim in facts.item_claims:
        item_id = claim.remote_id or ""
        npd_id = npd_ids.get(item_id)
        # An unused NPD ID belonged to a record that no longer exists (restored database): reuse it.
        is_new_id = npd_id is None or npd_id in npd_ids_in_use or bool(claim.payload.get(AS_NEW))
        item_stats = stats.get(item_id, {})
        item_facts = ItemFacts(
            claim,
            items.get(item_id),
            last_event=item_stats.get("last"),
            new_events=tuple(item_stats.get("new", ())),
            has_new_edit=bool(item_stats.get("new_edits")),
            known_since=item_stats.get("first") or job_created_at.get(claim.rows[0].pk),
            unconfirmed_until=unconfirmed.get(item_id),
            new_record_id=uuid.uuid4() if is_new_id else npd_id,
        )
        unmatched.append(item_facts)
    is_about = models.Q(monday_id__in=ids) | models.Q(entity_id__in=npd_ids.values())
    types = [spec.entity_type for spec in registry.entities()]
    tombstones = list(Tombstone.objects.filter(is_about, entity_type__in=types).order_by("pk"))
    return _with_rows(board, unmatched, tombstones, records_of_other_types)


def reread_item(board: BoardContext, item: ItemFacts) -> ItemFacts:
    """Return the facts about an item as NPD has them under settle's locks."""
    tombstone_ids = [tombstone.pk for tombstone in item.tombstones]
    tombstones = Tombstone.objects.select_for_update().filter(pk__in=tombstone_ids).order_by("pk")
    [item_now] = _with_rows(board, [item], list(tombstones), ())
    return item_now


def _with_rows(
    board: BoardContext,
    items: Sequence[ItemFacts],
    tombstones: Sequence[Tombstone],
    records_of_other_types: Sequence[SyncedModel],
) -> list[ItemFacts]:
    """Add what NPD has now: the records that may be the items', and which items are ignored."""
    ids = [item.item_id for item in items]
    rows = IgnoredItem.objects.filter(entity_type=board.link.entity_type, item_id__in=ids)
    ignored = _left_by_deleted_records(board, ids) | {row.item_id: row for row in rows}
    shown = [item.item for item in items if item.item is not None]
    npd_ids = _npd_ids(board, shown)
    keys = {item.id: field_values.match_text_of_item(board, item) or "" for item in shown}
    named_ids = [*npd_ids.values(), *(item.chosen_id for item in items if item.chosen_id)]
    records = records_like(board, models.Q(pk__in=named_ids) | models.Q(monday_id__in=ids), keys.values())
    by_id = {record.pk: record for record in records}
    by_key = grouped(records, lambda record: field_values.match_text_of_record(board, record))
    # A record of another type comes first: its own pass decides about the item.
    owners = {record.monday_id: record for record in reversed([*records_of_other_types, *records]) if record.monday_id}
    complete = []
    for item in items:
        npd_id = npd_ids.get(item.item_id)
        key = keys.get(item.item_id)
        of_item = [row for row in tombstones if row.monday_id == item.item_id or row.entity_id == npd_id]
        complete.append(
            replace(
                item,
                owner=owners.get(item.item_id),
                ignored=ignored.get(item.item_id),
                tombstones=tuple(of_item),
                npd_id_record=by_id.get(npd_id) if npd_id else None,
                matching=tuple(by_key.get(key, ())) if key else (),
                chosen_record=by_id.get(item.chosen_id) if item.chosen_id else None,
            )
        )
    return complete


def _left_by_deleted_records(board: BoardContext, ids: Sequence[str]) -> dict[str, IgnoredItem]:
    """Return the rows, not stored yet, of items that a deleted linked record is still asked about, by item."""
    entity_type = board.link.entity_type
    if not (asking := records_asked_about(entity_type, ids)):
        return {}
    deleted = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=asking.values())
    names = {
        row.entity_id: registry.tombstone_name(row)
        for row in deleted.exclude(monday_id=None).exclude(state=TombstoneState.RESTORED)
    }
    return {
        item_id: left_by_deleted_record(entity_type, item_id, names[record_id])
        for item_id, record_id in asking.items()
        if record_id in names
    }


def _npd_ids(board: BoardContext, items: Iterable[Item]) -> dict[str, UUID]:
    """Return the NPD IDs that active items bear, by item."""
    npd_ids = {item.id: field_values.npd_uuid_of(board, item) for item in items if item.state == field_values.ACTIVE}
    return {item_id: npd_id for item_id, npd_id in npd_ids.items() if npd_id is not None}


def with_duplicate_of(facts: PassFacts, items: Sequence[ItemFacts]) -> list[ItemFacts]:
    """Add `duplicate_of`, still without its item, to items that bear the NPD ID of a linked record."""
    linked = {item.item_id: item.npd_id_record for item in items if item.npd_id_record and item.npd_id_record.monday_id}
    by_id = {record.pk: record for record in linked.values()}
    facts_by_id = {record.id: record for record in facts.records if record.id in by_id}
    if unclaimed := {key: Claim(key, None, []) for key in by_id if key not in facts_by_id}:
        facts_by_id |= {record.id: record for record in facts_of_records(facts.board, facts.now, unclaimed, by_id)}
    duplicate_of = {item_id: replace(facts_by_id[record.pk], item=None) for item_id, record in linked.items()}
    return [replace(item, duplicate_of=duplicate_of.get(item.item_id)) for item in items]


def with_duplicate_history(
    board: BoardContext, items: Sequence[ItemFacts], original_items: Mapping[str, Item]
) -> list[ItemFacts]:
    """Add to possible duplicates the evidence: the original item, all intents about the record, the items that it was
    unlinked from, and the users who edited the duplicate.
    """
    ids = {item.duplicate_of.id for item in items if item.duplicate_of is not None}
    intents = by_record(Intent.objects.filter(entity_id__in=ids))
    unlinked = set(Decision.objects.filter(entity_id__in=ids, kind="unlinked").values_list("entity_id", "remote_id"))
    duplicates = [item.item_id for item in items if item.duplicate_of is not None]
    events = events_by_item(WebhookEvent.objects.filter(item_id__in=duplicates).order_by("id"))
    complete = []
    for item in items:
        if item.duplicate_of is None:
            complete.append(item)
            continue
        record = item.duplicate_of
        item_events = events.get(item.item_id, [])
        history = replace(
            record.history,
            intents=intents.get(record.id, ()),
            unlinked_items=frozenset(item_id for record_id, item_id in unlinked if record_id == record.id),
            maker=maker_of(item_events),
            users=frozenset({event.user_id for event in item_events} - {""}),
            token_user=board.settings.token_user,
        )
        record = replace(record, item=original_items.get(record.record.monday_id or ""), history=history)
        complete.append(replace(item, duplicate_of=record))
    return complete
