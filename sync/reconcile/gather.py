"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Count, ProtectedError, RestrictedError
from django.db.models.deletion import Collector

from sync.choices import ApprovalKind, ApprovalState, DeletedRecordPolicy, RemovedItemPolicy
from sync.clock import SyncNow
from sync.connectors.base.board import EventKind
from sync.kernel.conflict_store import current_store
from sync.models import ApprovalRequest, BoardLink, Decision, Intent, IntentState, SyncMetadata, Tombstone, WebhookEvent
from sync.outbox.claim import Claim
from sync.reconcile.batch import new_ledger
from sync.reconcile.facts import DeletedFacts, RecordFacts, RemovalFacts, Settings
from sync.reconcile.field_values import BoardContext
from sync.records.authors import monday_editor_name, monday_user_name, monday_users
from sync.records.tombstones import rebuild_records

DAY = timedelta(days=1)


def load_settings() -> Settings:
    """Return the settings that rules read, as they are now."""
    return Settings(
        gone_quiet_seconds=float(settings.GONE_QUIET_SECONDS),
        tombstone_days=settings.TOMBSTONE_DAYS,
        loop_times=settings.LOOP_TIMES,
        journal_days=settings.JOURNAL_DAYS,
        new_item_wait_seconds=settings.NEW_ITEM_WAIT_SECONDS,
    )


# Records.

# Their history: recent events, writes of ours, loops.

# Relations and edit times.

# Identity: who could be whose.

# Removed items and deleted records.


def gather_deleted(board: BoardContext, claims: Sequence[Claim]) -> list[DeletedFacts]:
    """Return what is known of deleted records before their items are read; of what never was a record, nothing."""
    entity_type = board.link.entity_type
    ids = [claim.entity_id for claim in claims if claim.entity_id]
    tombstones = {t.entity_id: t for t in Tombstone.objects.filter(entity_type=entity_type, entity_id__in=ids)}
    ledgers = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, tombstones)}
    conflicts = current_store().open_conflicts(entity_type, tombstones)
    intents: dict[UUID, list[Intent]] = {}
    open_intents = Intent.objects.filter(entity_id__in=list(tombstones), state=IntentState.OPEN)
    for intent in open_intents.exclude(item_id="").order_by("created_at"):
        intents.setdefault(intent.entity_id, []).append(intent)
    records = rebuild_records(board.model, list(tombstones.values()))
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model._default_manager.filter(monday_id__in=items)}
    return [
        DeletedFacts(
            claim,
            records[claim.entity_id],
            ledgers.get(str(claim.entity_id)) or new_ledger(entity_type, claim.entity_id),
            tuple(intents.get(claim.entity_id, ())),
            tuple(conflicts.get(claim.entity_id, ())),
            tombstone=tombstones[claim.entity_id],
            owner=owners.get(tombstones[claim.entity_id].monday_id or ""),
        )
        for claim in claims
        if claim.entity_id in tombstones
    ]


def gather_bearers(
    board: BoardContext, deleted: Sequence[DeletedFacts], npd_ids: Mapping[UUID, UUID]
) -> list[DeletedFacts]:
    """Add the records whose NPD IDs the items bear; `npd_ids` are these, by the deleted record."""
    bearers = board.model._default_manager.in_bulk(list(set(npd_ids.values()))) if npd_ids else {}
    return [replace(facts, bearer=bearers.get(npd_ids.get(facts.id))) for facts in deleted]


def gather_editors(board: BoardContext, deleted: Sequence[DeletedFacts]) -> list[DeletedFacts]:
    """Add who edited these items on Monday, as webhooks told."""
    if not deleted:
        return []
    events: dict[str, list[WebhookEvent]] = {}
    items = [facts.tombstone.monday_id for facts in deleted]
    for event in WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=items):
        events.setdefault(str(event.item_id), []).append(event)
    users = monday_users()
    return [
        replace(facts, events=tuple(events.get(str(facts.tombstone.monday_id), ())), users=users) for facts in deleted
    ]


def current_deletion_policy(link: BoardLink) -> tuple[DeletedRecordPolicy, dict[str, Any]]:
    """Return what becomes of items and the filter, as they are now and not when the board was taken, minutes ago."""
    links = BoardLink.objects.filter(pk=link.pk)
    policy, sync_filter = links.values_list("deleted_record_policy", "sync_filter").get()
    return DeletedRecordPolicy(policy), sync_filter


def gather_removals(
    board: BoardContext, removed: Sequence[tuple[RecordFacts, str]], policy: RemovedItemPolicy, loop_times: int
) -> list[RemovalFacts]:
    """Return what is known of records whose items are gone, each with the state of its item."""
    rejected = _rejected_deletions(board, [record for record, _ in removed])
    # Who archived or deleted these items, by name, as far as webhooks told.
    ids = [record.record.monday_id for record, _ in removed]
    events = WebhookEvent.objects.filter(item_id__in=ids).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
    users = {str(event.item_id): event.user_id for event in events.order_by("id")}
    people = monday_users() if users else {}
    too_often = (
        _recreated_too_often([r.id for r, _ in removed], loop_times) if policy == RemovedItemPolicy.CREATE else set()
    )
    return [
        RemovalFacts(
            record,
            state,
            actor=monday_user_name(user, people) if user else "",
            editor=monday_editor_name(user, people) if user else "",
            rejected=rejected.get(record.id, ""),
            is_removed_too_often=record.id in too_often,
        )
        for record, state in removed
        for user in [users.get(record.record.monday_id or "")]
    ]


def _rejected_deletions(board: BoardContext, records: Sequence[RecordFacts]) -> dict[UUID, str]:
    """The records whose deletion a person rejected since their items are gone: `rejected`, later `kept`."""
    since = {facts.id: facts.ledger.removed_since for facts in records if facts.ledger.removed_since}
    acts = ApprovalRequest.objects.filter(
        entity_type=board.link.entity_type,
        kind=ApprovalKind.RECORDS,
        entity_id__in=since,
        state__in=(ApprovalState.REJECTED, ApprovalState.KEPT),
    )
    return {act.entity_id: act.state for act in acts.order_by("id") if act.at >= since[act.entity_id]}


def _recreated_too_often(ids: Sequence[UUID], times: int) -> set[UUID]:
    """The records whose item was made again by the board's setting so many times within a day; 0 is never."""
    if times <= 0:
        return set()
    made = Decision.objects.filter(entity_id__in=ids, kind="unlinked", values__again=True, at__gt=SyncNow() - DAY)
    often = made.order_by().values("entity_id").annotate(times=Count("id")).filter(times__gte=times)
    return {row["entity_id"] for row in often if row["entity_id"]}


def current_removal_policy(link: BoardLink) -> RemovedItemPolicy:
    """Return what becomes of records whose items are gone, as it is now and not when the board was taken."""
    return RemovedItemPolicy(BoardLink.objects.values_list("removed_item_policy", flat=True).get(pk=link.pk))


def gather_obstacles(removals: Sequence[RemovalFacts], wanted: Collection[UUID]) -> list[RemovalFacts]:
    """Add what keeps the wanted records from being deleted in NPD; a few queries each."""
    found = {one.record.id: deletion_obstacles(one.record.record) for one in removals if one.record.id in wanted}
    return [
        replace(facts, needed_by=found[facts.record.id][0], loss=found[facts.record.id][1])
        if facts.record.id in found
        else facts
        for facts in removals
    ]


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (ProtectedError, RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_count_by_kind(list(objects))} in NPD can't be without “{record}”.", ""
    others = [one for rows in collector.data.values() for one in rows if one != record]
    others += [one for rows in collector.fast_deletes for one in rows]
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


# Items without a record.
