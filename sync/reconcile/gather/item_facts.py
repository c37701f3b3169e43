"""Reads what NPD knows about items: who owns them, and the facts about removed, unmatched and deleted ones."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.deletion import Collector
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import RowNumber
from pghistory.core import event_models

from conflicts.reports import OpenConflict
from conflicts.store import questions_about, records_seeking
from sync import choices, registry
from sync.choices import ActivityKind
from sync.clock import SyncNow
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import grouped
from sync.kernel.db import match_key_sql
from sync.models import (
    ActivityLine,
    ApprovalRequest,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WebhookEvent,
    history_of,
)
from sync.models.activity_lines import UNREPORTED
from sync.monday.board_events import REMOVAL_TYPES
from sync.monday.board_items import Item
from sync.monday.text_forms import key_spellings, match_key
from sync.reconcile import pass_plan
from sync.reconcile.facts import DeletedFacts, ItemFacts, PassFacts, RecordFacts, RemovedItemFacts
from sync.reconcile.missing import deleted_records
from sync.records import authors
from sync.records.approvals import HOUR, OPEN_REQUEST_STATES, ApprovalFacts, read_approvals
from sync.records.item_links import AS_NEW_KEY, left_by_deleted_record
from sync.words.message import Message

DAY = timedelta(days=1)

# A pass reads only the newest events of its items; a field that is rewritten more often is a loop, and shown as such.
MAX_EVENTS = 2_000


def add_removals(facts: PassFacts, plans: Mapping[pass_plan.RecordPlan, str]) -> None:
    """Add the facts about the removal of their items, which are in these states, to the facts about these records."""
    board = facts.board
    people = board.settings.people
    # The requests to delete these records that were rejected since their items were removed.
    since = {plan.id: plan.sync_state.removed_since for plan in plans if plan.sync_state.removed_since}
    requests = ApprovalRequest.objects.filter(
        entity_type=board.link.entity_type,
        kind=choices.ApprovalKind.RECORDS,
        entity_id__in=since,
        # KEPT is a rejected request that a pass has followed.
        state__in=(choices.ApprovalState.REJECTED, choices.ApprovalState.KEPT),
    )
    rejections = {row.entity_id: row.state for row in requests.order_by("id") if row.at >= since[row.entity_id]}
    # The records with an item that the policy re-created too often within a day.
    too_often = set[UUID | None]()
    times = board.settings.loop_times
    if times > 0 and board.link.removed_item_policy == choices.RemovedItemPolicy.CREATE:
        recreated = ActivityLine.objects.filter(
            entity_id__in=[plan.id for plan in plans],
            kind=ActivityKind.UNLINKED,
            values__again=True,
            at__gt=SyncNow() - DAY,
        )
        counts = recreated.order_by().values("entity_id").annotate(times=models.Count("id"))
        too_often = set(counts.filter(times__gte=times).values_list("entity_id", flat=True))
    for plan, state in plans.items():
        record = plan.record
        events = reversed(facts.events.get(record.monday_id or "", ()))
        event = next((row.event for row in events if row.type in REMOVAL_TYPES), None)
        needed, loss = deletion_obstacles(record)
        plan.facts.removal = RemovedItemFacts(
            state,
            actor=authors.monday_editor_name(event.user_id or "", people) if event else "",
            removed_at=event.happened_at if event else None,
            is_deletion_rejected=record.pk in rejections,
            is_rejection_new=rejections.get(record.pk) == choices.ApprovalState.REJECTED,
            is_removed_too_often=record.pk in too_often,
            needed_by=needed,
            loss=loss,
        )


def deleted_facts(
    board: BoardContext, records: Iterable[RecordFacts], tombstones: Mapping[UUID, Tombstone]
) -> tuple[DeletedFacts, ...]:
    """Return the facts about deleted records, before their items are read."""
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model.objects.filter(monday_id__in=items)}
    deleted = []
    for record_facts in records:
        tombstone = tombstones.get(record_facts.id)
        if tombstone is None:
            continue
        owner = owners.get(tombstone.monday_id or "")
        deleted.append(DeletedFacts(**vars(record_facts), tombstone=tombstone, owner=owner))
    return tuple(deleted)


def events_by_item(events: Iterable[WebhookEvent]) -> dict[str, list[WebhookEvent]]:
    """Group events by their item's id; those without an item are under an empty text."""
    return grouped(events, lambda event: event.item_id or "")


def stored_events(board: BoardContext, item_ids: Collection[str]) -> dict[str, list[WebhookEvent]]:
    """Return all stored events about these items, the oldest first, by item; of one with very many the newest."""
    if not item_ids:
        return {}
    place = models.Window(RowNumber(), partition_by=models.F("item_id"), order_by=models.F("received_at").desc())
    rows = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=item_ids).annotate(place=place)
    return events_by_item(rows.filter(place__lte=MAX_EVENTS).order_by("id"))


def add_named_records(board: BoardContext, deleted: Sequence[pass_plan.DeletedPlan]) -> None:
    """Add the records with the NPD IDs that the items of deleted records bear."""
    npd_ids = {plan.id: deleted_records.item_npd_id(board, plan.item) for plan in deleted}
    records = board.model.objects.in_bulk([npd_id for npd_id in npd_ids.values() if npd_id is not None])
    for plan in deleted:
        npd_id = npd_ids[plan.id]
        plan.facts.npd_id_record = records.get(npd_id) if npd_id else None


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what other records would lose by it; empty texts for nothing.

    A cascade counts as a reason too: nobody meant to delete those records.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (models.ProtectedError, models.RestrictedError) as error:
        objects = getattr(error, "protected_objects", None) or getattr(error, "restricted_objects", [])
        return Message("needs_record", others=_count_by_kind(list(objects)), record=str(record)), ""
    cascade = [other for rows in (*collector.data.values(), *collector.fast_deletes) for other in rows]
    others = [other for other in cascade if other != record]
    if others:
        return Message("deleted_with_record", others=_count_by_kind(others), record=str(record)), ""
    emptied: list[models.Model] = []
    groups: list[Any] = [group for rows in collector.field_updates.values() for group in rows]
    for group in groups:
        emptied += [group] if isinstance(group, models.Model) else group
    return "", Message("would_lose_record", others=_count_by_kind(emptied)) if emptied else ""


def _count_by_kind(records: list[models.Model]) -> str:
    """Return the number of records by kind, such as “3 contacts and 1 organization”."""
    names = []
    for options, count in Counter(record._meta for record in records).items():
        names.append(f"{count} {options.verbose_name if count == 1 else options.verbose_name_plural}")
    return " and ".join(names)


def approval_facts(
    facts: PassFacts, compared: Iterable[pass_plan.EntityPlan], planned_requests: Sequence[ApprovalRequest]
) -> ApprovalFacts:
    """Return earlier requests to approve deletes and clears of these records, and the counts for limits."""
    duplicated = [item.duplicate_of.id for item in facts.unmatched if item.duplicate_of is not None]
    ids = {*duplicated, *(plan.id for plan in compared)}
    if not ids:
        return ApprovalFacts()
    return read_approvals(facts.board.link, list(choices.ApprovalKind), ids, planned_requests)


def unreported_records(entity_type: str) -> frozenset[UUID]:
    """Return the records with a cell emptied without a word.

    Those wait for the next sweep, or were sent again, emptied or asked about within the hour.
    """
    waiting = SyncMetadata.objects.of(entity_type).exclude(emptied={}).values_list("entity_id", flat=True)
    requests = ApprovalRequest.objects.filter(entity_type=entity_type, values__has_key=UNREPORTED)
    is_recent = models.Q(state__in=OPEN_REQUEST_STATES) | models.Q(at__gt=SyncNow() - HOUR)
    standing = requests.filter(is_recent).exclude(state=choices.ApprovalState.RELEASED)
    return frozenset({*map(UUID, waiting), *standing.values_list("entity_id", flat=True)})


def items_with_keys(board: BoardContext, keys: Collection[str]) -> list[str]:
    """Return the ids of unmatched items that last had one of these match keys."""
    match = board.match_mapping
    if match is None or not keys:
        return []
    keyed = UnmatchedItem.objects.annotate(match_key=match_key_sql(KeyTextTransform(match.key, "values")))
    rows = keyed.filter(
        entity_type=board.link.entity_type, board_id=board.link.board_id, match_key__in=key_spellings(keys)
    )
    return list(rows.values_list("item_id", flat=True))


# Items with one name that a question shows at most.
MAX_NAMESAKES = 5

# Records with one name that are read at most; some of them may have another match key than the item.
MAX_NAMED_RECORDS = 50


def items_with_names(board: BoardContext, names: Collection[str], room: int) -> list[str]:
    """Return the ids of unmatched items with one of these names: the oldest of each name, and others if there is room.

    The name is compared by its match key.
    """
    if not names:
        return []
    rows = UnmatchedItem.objects.filter(
        entity_type=board.link.entity_type, board_id=board.link.board_id, ignored_at=None
    ).annotate(name_key=match_key_sql("name"))
    namesakes = _first_of_each_name(rows, names, MAX_NAMESAKES, "id")
    places = dict(namesakes.order_by("place", "id").values_list("item_id", "place"))
    oldest = [item_id for item_id, number in places.items() if number == 1]
    return list(places)[: max(room, len(oldest))]


def _first_of_each_name(rows: Any, names: Collection[str], most: int, *order: str) -> Any:
    """Return a few rows of each of these names; however many have one, those of another are among them."""
    place = models.Window(RowNumber(), partition_by=models.F("name_key"), order_by=order)
    return rows.filter(name_key__in=key_spellings(names)).annotate(place=place).filter(place__lte=most)


def unedited_records(model: type[SyncedModel], ids: Collection[UUID]) -> frozenset[UUID]:
    """Return the records that were not edited in NPD, and that no other record points at.

    This takes a query for each history table and each relation to the model.
    """
    unedited = set(ids)
    history = history_of(model)
    if unedited and history:
        edits = history.objects.filter(pgh_obj_id__in=unedited).exclude(pgh_context__metadata__cause="sync")
        unedited -= set(edits.values_list("pgh_obj_id", flat=True))
    histories = set(event_models())
    for relation in model._meta.related_objects if unedited else ():
        if relation.related_model in histories:
            continue
        name = relation.field.name
        pointing: Any = relation.related_model._default_manager.filter(**{f"{name}__in": unedited})
        unedited -= set(pointing.values_list(name, flat=True))
    return frozenset(unedited)


def owners_of(entity_type: str, item_ids: Collection[str]) -> dict[str, SyncedModel]:
    """Return the records that have these items: of this type, or of another type if the item came from its board."""
    owners: dict[str, SyncedModel] = {}
    for spec in sorted(registry.entities(), key=lambda spec: spec.entity_type != entity_type):
        without_owner = [item_id for item_id in item_ids if item_id not in owners]
        if without_owner:
            records = spec.model.objects.filter(monday_id__in=without_owner)
            owners |= {str(record.monday_id): record for record in records}
    return owners


def records_in_answers(
    board: BoardContext, answers: Sequence[pass_plan.IdentityAnswer]
) -> tuple[dict[UUID, SyncedModel], dict[UUID, str]]:
    """Return the records that these answers name, or whose items they name, and why some can't be deleted for another.

    The latter is by the conflict that was answered so.
    """
    ids = {key for answer in answers for key in answer.record_ids}
    is_named = models.Q(pk__in=ids) | models.Q(monday_id__in={answer.item_id for answer in answers})
    records = {record.pk: record for record in board.model.objects.filter(is_named)}
    unedited = unedited_records(board.model, {answer.merged_id for answer in answers if answer.merged_id is not None})
    obstacles = dict[UUID, str]()
    for answer in answers:
        merged = records.get(answer.merged_id) if answer.merged_id else None
        if merged is None:
            continue
        conflict = answer.conflict
        is_as_shown = conflict.shown.get(str(merged.pk)) == field_values.record_values(board, merged)
        problem: str
        if not (is_as_shown and conflict.is_answered_as_shown):
            problem = Message("merged_edited", record=str(merged))
        elif merged.pk not in unedited:
            problem = Message("merged_changed", record=str(merged))
        else:
            problem, _ = deletion_obstacles(merged)
        obstacles[conflict.conflict_id] = problem
    return records, obstacles


def records_with_keys(board: BoardContext, keys: Iterable[str], condition: models.Q) -> list[SyncedModel]:
    """Return the board's records that have one of these match keys or meet this condition."""
    match = board.match_mapping
    wanted = sorted(set(filter(None, keys)))
    records = board.model.objects.all()
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    if match is not None and wanted:
        records = records.annotate(match_key=match_key_sql(match.fields[0]))
        condition |= models.Q(match_key__in=key_spellings(wanted))
    return list(records.filter(condition))


def records_with_names(board: BoardContext, names: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records that have one of these names, by the name's match key; a few of each."""
    match = board.match_mapping
    field_name = registry.name_field(board.model)
    wanted = sorted({match_key(name) for name in names} - {""})
    if not wanted or match is None or field_name in (None, match.fields[0]):
        return {}
    records = board.model.objects.all()
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    records = records.annotate(name_key=match_key_sql(str(field_name)))
    named = _first_of_each_name(records, wanted, MAX_NAMED_RECORDS, "created_at", "pk").order_by("created_at", "pk")
    return grouped(named, lambda record: match_key(field_values.record_name(record)))


def add_identities(
    facts: PassFacts, plans: Sequence[pass_plan.RecordPlan], with_items: Sequence[pass_plan.RecordPlan]
) -> None:
    """Add who has the items that were read for records without one, and which records may be duplicates.

    For items read by their match key, this includes the existing records with the NPD IDs that the items bear; for
    records that were made from an item, other records with the same match key.
    """
    board = facts.board
    entity_type = board.link.entity_type
    if without_item := [plan.id for plan in plans if not plan.record.monday_id]:
        matching = [*facts.items.by_match, *facts.items.by_name]
        npd_ids = [field_values.npd_uuid_of(board, item) for item in matching]
        bearers = board.model.objects.filter(pk__in=list(filter(None, npd_ids)))
        existing = set(bearers.values_list("pk", flat=True))
        rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=[item.id for item in matching])
        former = [plan.facts.former_item.item_id for plan in plans if plan.facts.former_item]
        owned = owners_of(entity_type, [*(item.id for item in (*facts.items.by_npd_id, *matching)), *former])
        owners = {item_id: owner.pk for item_id, owner in owned.items()}
        linked = SyncMetadata.objects.of(entity_type, {*owners.values(), *existing} - set(without_item))
        from_items = linked.filter(made_from_item=True).values_list("entity_id", flat=True)
        unedited = unedited_records(board.model, [UUID(key) for key in from_items])
        facts.owners = owners
        facts.known_npd_ids = frozenset(existing)
        facts.ignored = {row.item_id: row for row in rows}
        facts.unedited = board.model.objects.in_bulk(unedited)
    keys = {
        plan.id: key
        for plan in with_items
        if plan.item and plan.sync_state.made_from_item
        if (key := field_values.match_key_of_item(board, plan.item))
    }
    if not keys:
        return
    with_keys = records_with_keys(board, keys.values(), models.Q(pk__in=[]))
    facts.same_key = grouped(with_keys, lambda record: field_values.match_key_of_record(board, record))
    with_shared_key = [pk for pk, key in keys.items() if any(other.pk != pk for other in facts.same_key.get(key, ()))]
    possible = unedited_records(board.model, with_shared_key)
    for plan in plans:
        plan.facts.is_possible_duplicate = plan.id in possible


def unmatched_facts(facts: PassFacts) -> list[ItemFacts]:
    """Return what NPD knows about the claimed items that no record has."""
    board = facts.board
    ids = [claim.remote_id for claim in facts.item_claims if claim.remote_id]
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    # Claims don't load created_at; fetch it only for items without an event. A dry run has no jobs.
    eventless = [claim for claim in facts.item_claims if claim.remote_id not in facts.events]
    jobs = SyncQueue.objects.filter(pk__in=[job.pk for claim in eventless for job in claim.jobs])
    job_created_at = dict(jobs.values_list("pk", "created_at")) if eventless else {}
    items = {item_id: item for item_id, item in facts.items.by_id.items() if item_id in ids}
    npd_ids = _npd_ids(board, items.values())
    records_of_other_types: list[SyncedModel] = []
    for spec in registry.entities():
        if spec.entity_type != board.link.entity_type:
            has_either = models.Q(monday_id__in=ids) | models.Q(pk__in=npd_ids.values())
            records_of_other_types += spec.model.objects.filter(has_either)
    npd_ids_in_use = {record.pk for record in records_of_other_types}
    unmatched = []
    for claim in facts.item_claims:
        item_id = claim.remote_id or ""
        npd_id = npd_ids.get(item_id)
        # An unused NPD ID belonged to a record that no longer exists (restored database): reuse it.
        is_new_id = npd_id is None or npd_id in npd_ids_in_use or bool(claim.payload.get(AS_NEW_KEY))
        item_facts = ItemFacts(
            claim,
            items.get(item_id),
            events=tuple(facts.events.get(item_id, ())),
            queued_at=next((job_created_at.get(job.pk) for job in claim.jobs), None),
            unconfirmed_until=unconfirmed.get(item_id),
            new_record_id=uuid.uuid4() if is_new_id else npd_id,
        )
        unmatched.append(item_facts)
    is_about = models.Q(monday_id__in=ids) | models.Q(entity_id__in=npd_ids.values())
    types = [spec.entity_type for spec in registry.entities()]
    tombstones = list(Tombstone.objects.filter(is_about, entity_type__in=types).order_by("pk"))
    return _with_present_rows(board, unmatched, tombstones, records_of_other_types)


def reread_item(board: BoardContext, item: ItemFacts) -> ItemFacts:
    """Return the facts about an item as NPD has them under settle's locks."""
    tombstone_ids = [tombstone.pk for tombstone in item.tombstones]
    tombstones = Tombstone.objects.select_for_update().filter(pk__in=tombstone_ids).order_by("pk")
    [item_now] = _with_present_rows(board, [item], list(tombstones), ())
    return item_now


def _with_present_rows(
    board: BoardContext,
    items: Sequence[ItemFacts],
    tombstones: Sequence[Tombstone],
    records_of_other_types: Sequence[SyncedModel],
) -> list[ItemFacts]:
    """Add what NPD has now: the records that may be the items', and which items are ignored."""
    ids = [item.item_id for item in items]
    shown = [item.item for item in items if item.item is not None]
    npd_ids = _npd_ids(board, shown)
    is_concerned = models.Q(item_id__in=ids) | models.Q(entity_id__in=npd_ids.values(), left_alone=True)
    rows = list(IgnoredItem.objects.filter(is_concerned, entity_type=board.link.entity_type))
    unlinked_ids = {row.entity_id for row in rows if row.left_alone} - {None}
    unplanned = UnmatchedItem.objects.filter(entity_type=board.link.entity_type, item_id__in=ids, is_unplanned=True)
    unplanned_ids = set(unplanned.values_list("item_id", flat=True))
    questions = questions_about(board.link.entity_type, ids)
    ignored = _left_by_deleted_records(board, questions) | {row.item_id: row for row in rows}
    asking = records_seeking(board.link.entity_type, ids)
    keys = {item.id: field_values.match_key_of_item(board, item) or "" for item in shown}
    chosen_ids = {item.chosen_id for item in items} - {None}
    named_ids = [*npd_ids.values(), *chosen_ids, *(record_id for record_id, _ in questions.values())]
    records = records_with_keys(board, keys.values(), models.Q(pk__in=named_ids) | models.Q(monday_id__in=ids))
    named = records_with_names(board, [item.name for item in shown if item.id not in npd_ids])
    by_id = {record.pk: record for record in records}
    by_key = grouped(records, lambda record: field_values.match_key_of_record(board, record))
    # A record of another type comes first: its own pass decides about the item.
    owners = {record.monday_id: record for record in reversed([*records_of_other_types, *records]) if record.monday_id}
    complete = []
    for item in items:
        npd_id = npd_ids.get(item.item_id)
        key = keys.get(item.item_id)
        item_tombstones = [row for row in tombstones if row.monday_id == item.item_id or row.entity_id == npd_id]
        asked_id, question = questions.get(item.item_id, (None, None))
        item_now = replace(
            item,
            question=question,
            asked_record=by_id.get(asked_id) if asked_id else None,
            asking_records=frozenset(asking.get(item.item_id, ())),
            owner=owners.get(item.item_id),
            ignored=ignored.get(item.item_id),
            is_unplanned=item.item_id in unplanned_ids,
            tombstones=tuple(item_tombstones),
            npd_id_record=by_id.get(npd_id) if npd_id else None,
            is_of_unlinked=npd_id in unlinked_ids,
            matching=tuple(by_key.get(key, ())) if key else (),
            namesakes=tuple(named.get(match_key(item.item.name), ())) if item.item else (),
            chosen_record=by_id.get(item.chosen_id) if item.chosen_id else None,
        )
        if item_now.is_answered_as_new and npd_id is not None and item.new_record_id == npd_id:
            item_now = replace(item_now, new_record_id=uuid.uuid4())
        complete.append(item_now)
    return complete


def _left_by_deleted_records(
    board: BoardContext, questions: Mapping[str, tuple[UUID, OpenConflict]]
) -> dict[str, IgnoredItem]:
    """Return the rows, not stored yet, of items that a deleted linked record is still asked about, by item."""
    if not questions:
        return {}
    entity_type = board.link.entity_type
    asking = {item_id: record_id for item_id, (record_id, _) in questions.items()}
    deleted = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=asking.values())
    names = {
        row.entity_id: field_values.tombstone_name(row)
        for row in deleted.exclude(monday_id=None).exclude(state=choices.TombstoneState.RESTORED)
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
