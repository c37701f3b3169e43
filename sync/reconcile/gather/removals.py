"""What NPD knows of records whose items are gone, and of deleted ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.deletion import Collector

from sync import choices
from sync.clock import SyncNow
from sync.models import ApprovalRequest, Decision, Tombstone, WebhookEvent
from sync.monday.board import EventKind
from sync.reconcile import deleted_records, field_values, lookups, pass_plan, removed_items
from sync.reconcile.facts import DeletedFacts, ItemFacts, Pair, RecordFacts, RemovalFacts
from sync.reconcile.restraints import may_empty
from sync.records import authors
from sync.records.approvals import CLEARS, ApprovalFacts, known_requests, with_counts

DAY = timedelta(days=1)


def removal_facts(facts: pass_plan.PassFacts, gone: Sequence[RecordFacts]) -> dict[UUID, RemovalFacts]:
    """Return what is known of records whose items are gone."""
    board = facts.board
    people = board.settings.people
    rejected = _rejected_deletions(board, gone)
    too_often = _recreated_too_often(board, [record.id for record in gone])
    # Who archived or deleted these items, and when, as far as webhooks told.
    items = [record.record.monday_id for record in gone]
    events = WebhookEvent.objects.filter(item_id__in=items).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
    last_events = {received.item_id: received.event for received in events.order_by("id")}
    removal_of = {}
    for record in gone:
        event = last_events.get(record.record.monday_id)
        user = event.user_id if event else ""
        removal = RemovalFacts(
            record,
            removed_items.removed_state(board, record),
            actor=authors.monday_user_name(user, people) if user else "",
            editor=authors.monday_editor_name(user, people) if user else "",
            done_at=event.happened_at if event else None,
            rejected=rejected.get(record.id, ""),
            is_removed_too_often=record.id in too_often,
        )
        if removed_items.wants_obstacles(board.settings, removal, facts.now):
            needed, loss = deletion_obstacles(record.record)
            removal = replace(removal, needed_by=needed, loss=loss)
        removal_of[record.id] = removal
    return removal_of


def deleted_facts(
    board: field_values.BoardContext, records: Iterable[RecordFacts], tombstones: Mapping[UUID, Tombstone]
) -> tuple[DeletedFacts, ...]:
    """Return what is known of deleted records before their items are read."""
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model._default_manager.filter(monday_id__in=items)}
    deleted = []
    for record in records:
        if (tombstone := tombstones.get(record.id)) is not None:
            # A create without an answer is confirmed before.
            about_item = tuple(intent for intent in record.intents if intent.item_id)
            owner = owners.get(tombstone.monday_id or "")
            values = vars(record) | {"intents": about_item}
            deleted.append(DeletedFacts(**values, tombstone=tombstone, owner=owner))
    return tuple(deleted)


def with_bearers(board: field_values.BoardContext, deleted: Sequence[DeletedFacts]) -> list[DeletedFacts]:
    """Add to deleted records whose NPD IDs their items bear, and the events by which it is told who edited these."""
    npd_ids = {record.id: deleted_records.wanted_bearer(board, record) for record in deleted}
    wanted = {npd_id for npd_id in npd_ids.values() if npd_id is not None}
    bearers = board.model._default_manager.in_bulk(wanted) if wanted else {}
    shown = [record.item.id for record in deleted if record.item is not None]
    rows = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=shown)
    events = lookups.events_by_item(rows) if shown else {}
    return [
        replace(
            record,
            bearer=bearers.get(npd_ids[record.id]),
            editor_events=tuple(events.get(record.item.id, ())) if record.item else (),
        )
        for record in deleted
    ]


def _rejected_deletions(board: field_values.BoardContext, records: Sequence[RecordFacts]) -> dict[UUID, str]:
    """The records whose deletion a person rejected since their items are gone: `rejected`, later `kept`."""
    since = {record.id: record.ledger.removed_since for record in records if record.ledger.removed_since}
    acts = ApprovalRequest.objects.filter(
        entity_type=board.link.entity_type,
        kind=choices.ApprovalKind.RECORDS,
        entity_id__in=since,
        state__in=(choices.ApprovalState.REJECTED, choices.ApprovalState.KEPT),
    )
    return {act.entity_id: act.state for act in acts.order_by("id") if act.at >= since[act.entity_id]}


def _recreated_too_often(board: field_values.BoardContext, ids: Sequence[UUID]) -> set[UUID]:
    """The records whose item was made again by the board's setting too often within a day; without a limit none."""
    times = board.settings.loop_times
    if times <= 0 or board.link.removed_item_policy != choices.RemovedItemPolicy.CREATE:
        return set()
    made = Decision.objects.filter(entity_id__in=ids, kind="unlinked", values__again=True, at__gt=SyncNow() - DAY)
    often = made.order_by().values("entity_id").annotate(times=models.Count("id")).filter(times__gte=times)
    return {row["entity_id"] for row in often if row["entity_id"]}


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (models.ProtectedError, models.RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_count_by_kind(list(objects))} in NPD can't be without “{record}”.", ""
    cascade = [other for rows in (*collector.data.values(), *collector.fast_deletes) for other in rows]
    others = [other for other in cascade if other != record]
    if others:
        return f"{_count_by_kind(others)} in NPD would be deleted with “{record}”.", ""
    emptied: list[models.Model] = []
    groups: list[Any] = [group for rows in collector.field_updates.values() for group in rows]
    for group in groups:
        emptied += [group] if isinstance(group, models.Model) else list(group)
    return "", f" {_count_by_kind(emptied)} in NPD would no longer name it." if emptied else ""


def _count_by_kind(records: list[models.Model]) -> str:
    """So many records by their kind, as “3 contacts and 1 organization”."""
    counts = Counter(record._meta for record in records)
    return " and ".join(f"{n} {m.verbose_name if n == 1 else m.verbose_name_plural}" for m, n in counts.items())


def known_approvals(
    facts: pass_plan.PassFacts,
    pairs: Sequence[Pair],
    removals: Mapping[UUID, RemovalFacts],
    deleted: Sequence[RecordFacts],
    unmatched: Sequence[ItemFacts],
    foreseen: Sequence[ApprovalRequest],
) -> ApprovalFacts:
    """Return what was asked before about the deletes and clears that this pass may want, and what counts."""
    link = facts.board.link
    emptied = [record.id for record, item in pairs if may_empty(facts.board, record, item)]
    copied = [item.first.id for item in unmatched if item.first is not None]
    kinds = list[choices.ApprovalKind]()
    may_delete = any(removed_items.may_delete(facts.board, removal) for removal in removals.values())
    kinds += [choices.ApprovalKind.RECORDS] if may_delete else []
    kinds += [choices.ApprovalKind.ITEMS] if deleted or copied else []
    kinds += CLEARS if emptied else ()
    ids = {*emptied, *copied, *removals, *(record.id for record in deleted)}
    ids |= {record.id for record, _ in pairs if record.ledger.blocked_fields}
    if not ids:
        return ApprovalFacts()
    requests = known_requests(link, list(choices.ApprovalKind), ids, foreseen)
    return with_counts(requests, link, kinds, foreseen) if kinds else requests
