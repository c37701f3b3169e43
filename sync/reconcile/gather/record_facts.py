"""Reads the facts about the claimed records, their history, and the related records that they and their items name.

The number of queries is fixed, except for a few that an event or a write asks for.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from django.db import models

from conflicts.reports import ConflictKind
from conflicts.store import conflicts_and_undo_requests
from sync import choices
from sync.clock import SyncNow, sync_now
from sync.fields import field_bases, field_values, lookups
from sync.fields.field_bases import new_sync_state
from sync.fields.field_values import BoardContext
from sync.fields.lookups import link_of
from sync.kernel import grouped
from sync.models import Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, Tombstone, WebhookEvent, WriteLoop
from sync.models.records_and_items import SWALLOWED
from sync.monday.board_items import Item
from sync.monday.lag import LONGEST_LAG
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.facts import EVENT_WINDOW, LOOP_WINDOW, ItemFacts, PassFacts, RecordFacts, RecordHistory
from sync.reconcile.gather.item_facts import MAX_EVENTS, deleted_facts, events_by_item, records_in_answers
from sync.reconcile.missing.questions import answers_of
from sync.reconcile.resolutions import chosen_references
from sync.records import authors
from sync.records.tombstones import rebuild_records
from sync.registry import target_of


def read_facts(
    board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
) -> PassFacts:
    """Read what NPD knows about the claims.

    `planned` are records as an earlier pass of a dry run would have left them; they replace the stored ones.
    """
    now = sync_now()
    model = board.model
    item_ids = [claim.remote_id for claim in claims if claim.entity_id is None]
    owners = dict(model.objects.filter(monday_id__any_of=item_ids).values_list("monday_id", "pk"))
    item_claims: list[Claim] = []
    jobs_by_record: dict[UUID, list[SyncQueue]] = {}
    for claim in claims:
        record_id = claim.entity_id or owners.get(claim.remote_id)
        if record_id is None:
            item_claims.append(claim)
        else:
            jobs_by_record.setdefault(record_id, []).extend(claim.jobs)
    relations = board.joined_relations
    # Without a name select_related would follow every relation.
    queryset = model.objects.select_related(*relations) if relations else model.objects.all()
    stored = {record.id: record for record in queryset.filter(pk__any_of=list(jobs_by_record))} | dict(planned)
    claims_by_record = {record_id: Claim(record_id, None, jobs) for record_id, jobs in jobs_by_record.items()}
    missing = [record_id for record_id in claims_by_record if record_id not in stored]
    tombstones: dict[UUID, Tombstone] = {}
    if missing:
        rows = Tombstone.objects.filter(entity_type=board.link.entity_type, entity_id__in=missing)
        tombstones = {row.entity_id: row for row in rows}
    all_records = stored | (rebuild_records(model, list(tombstones.values())) if tombstones else {})
    unknown = tuple(claims_by_record.pop(record_id) for record_id in missing if record_id not in tombstones)
    all_facts = facts_of_records(board, now, claims_by_record, all_records, tombstones)
    of_existing = tuple(record_facts for record_facts in all_facts if record_facts.id in stored)
    answers = [answer for record_facts in of_existing for answer in answers_of(record_facts)]
    answer_records, merge_obstacles = records_in_answers(board, answers) if answers else ({}, {})
    return PassFacts(
        board,
        now,
        records=of_existing,
        deleted=deleted_facts(board, all_facts, tombstones) if tombstones else (),
        unknown=unknown,
        item_claims=tuple(item_claims),
        answer_records=answer_records,
        merge_obstacles=merge_obstacles,
    )


def facts_of_records(
    board: BoardContext,
    now: datetime,
    claims: Mapping[UUID, Claim],
    records: Mapping[UUID, SyncedModel],
    tombstones: Mapping[UUID, Tombstone] = MappingProxyType({}),
) -> list[RecordFacts]:
    """Return the facts about these records, including deleted ones, and their history."""
    entity_type = board.link.entity_type
    sync_states = {
        UUID(sync_state.entity_id): sync_state for sync_state in SyncMetadata.objects.of(entity_type, claims)
    }
    for record_id in claims:
        # In a dry run, an item would become this record.
        is_planned = records[record_id]._state.adding and record_id not in tombstones
        if is_planned or record_id not in sync_states:
            sync_states[record_id] = new_sync_state(entity_type, record_id)
            sync_states[record_id].made_from_item = is_planned
    item_ids = {record_id: (tombstones.get(record_id) or records[record_id]).monday_id or "" for record_id in claims}
    histories = _histories_of(board, now, item_ids, sync_states)
    conflicts, undo_requests = conflicts_and_undo_requests(entity_type, claims)
    all_conflicts = [conflict for record_conflicts in conflicts.values() for conflict in record_conflicts]
    asked_items = {conflict.monday_item_id for conflict in all_conflicts if conflict.kind == ConflictKind.IDENTITY}
    owned: frozenset[str] = frozenset()
    if asked_items:
        linked = board.model.objects.filter(monday_id__in=asked_items)
        owned = frozenset(map(str, linked.values_list("monday_id", flat=True)))
    jobs = SyncQueue.objects.filter(entity_type=entity_type, entity_id__any_of=list(claims))
    with_failed_job = set(jobs.filter(status=choices.QueueStatus.FAILED).values_list("entity_id", flat=True))
    return [
        RecordFacts(
            claim,
            records[record_id],
            sync_states[record_id],
            histories[record_id],
            conflicts=tuple(conflicts.get(record_id, ())),
            undo_requests=tuple(undo_requests.get(record_id, ())),
            has_failed_job=record_id in with_failed_job,
            owned_items=owned,
        )
        for record_id, claim in claims.items()
    ]


def _histories_of(
    board: BoardContext, now: datetime, item_ids: Mapping[UUID, str], sync_states: Mapping[UUID, SyncMetadata]
) -> dict[UUID, RecordHistory]:
    """Read our intents for these records, the events about their items, and their counted rewrites."""
    events_of_board = WebhookEvent.objects.filter(board_id=board.link.board_id)
    is_news = models.Q(processed_at=None) | models.Q(received_at__gt=SyncNow() - LONGEST_LAG)
    of_items = events_of_board.filter(item_id__any_of=list(filter(None, item_ids.values())))
    news = list(of_items.filter(is_news).order_by("id"))
    unchecked = events_by_item(event for event in news if event.processed_at is None)
    # All intents count after a new event, or if there is no base, maybe because a create was never answered, or if
    # Monday answered writes without carrying them out.
    with_all_intents = [
        record_id
        for record_id, item_id in item_ids.items()
        if item_id in unchecked
        or not item_id
        or any(SWALLOWED in entry for entry in sync_states[record_id].altered.values())
        or any(field_bases.base_of(sync_states[record_id], mapping, item_id) is None for mapping in board.mapped)
    ]
    intents = _intents_of(item_ids, with_all_intents)
    write_loops = WriteLoop.objects.filter(entity_type=board.link.entity_type, entity_id__any_of=list(item_ids))
    loops = grouped(write_loops, lambda loop: loop.entity_id)
    histories = {
        record_id: RecordHistory(
            now,
            tuple(intents.get(record_id, ())),
            token_user=board.settings.token_user,
            journal_days=board.settings.journal_days,
            loops={loop.key: loop for loop in loops.get(record_id, ())},
        )
        for record_id in item_ids
    }
    with_events = {item_ids[record_id] for record_id, history in histories.items() if history.ineffective_writes}
    with_events |= {event.item_id or "" for event in news}
    recent_events = events_of_board.filter(item_id__in=with_events, received_at__gt=SyncNow() - EVENT_WINDOW)
    recent = events_by_item(recent_events.order_by("-received_at")[:MAX_EVENTS])
    for record_id, item_id in item_ids.items():
        # Unchecked events count however old they are.
        events = {event.pk: event for event in (*recent.get(item_id, ()), *unchecked.get(item_id, ()))}
        histories[record_id] = replace(histories[record_id], events=tuple(events.values()))
    return histories


def _intents_of(ids: Collection[UUID], with_all: Collection[UUID]) -> dict[UUID, list[Intent]]:
    """Read our intents for these records, the oldest first: open and recent ones, and all for `with_all`.

    Not all for every record, because the nightly listing reads the whole board, and its records have many old intents.
    """
    recent = models.Q(state=IntentState.OPEN) | models.Q(created_at__gt=SyncNow() - LOOP_WINDOW)
    recent |= models.Q(settled_at__gt=SyncNow() - LONGEST_LAG)
    recent |= models.Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW)
    intents = Intent.objects.filter(recent | models.Q(entity_id__any_of=list(with_all)), entity_id__any_of=list(ids))
    return grouped(intents.defer("body").order_by("created_at"), lambda intent: intent.entity_id)


def add_npd_edits(board: BoardContext, plans: Iterable[pass_plan.RecordPlan]) -> None:
    """Add NPD's history to the records with an edited field that has the rule “newest”, which alone asks when."""
    newest = [mapping for mapping in board.mapped if choices.Rule.NEWEST in (mapping.rule, mapping.first_match)]
    edited = [plan for plan in plans if not all(plan.compared(board, mapping).rests() for mapping in newest)]
    npd_edits = authors.latest_events(board.model, {plan.id for plan in edited})
    for plan in edited:
        plan.facts.npd_edits = npd_edits.get(plan.id, ())


def add_related(facts: PassFacts, plan: pass_plan.Plan, compared: Sequence[pass_plan.EntityPlan]) -> None:
    """Add the related records that the rules may look up, and display names for the linked items.

    The plans that are `compared` with their items, also removed or deleted ones, may name some on both sides.
    """
    board = facts.board
    open_records = plan.open_records
    records = [record_plan.record for record_plan in open_records]
    unmatched = [facts.items.by_id.get(claim.remote_id or "") for claim in facts.item_claims]
    naming = [(entity_plan.record, entity_plan.item) for entity_plan in compared if entity_plan.item is not None]
    naming += [(board.model(), item) for item in unmatched if item is not None]
    references: set[field_values.Reference] = set()
    for record, item in naming:
        for relation, data in field_values.differing_relations(board, record, item):
            references.add(field_values.reference_to(target_of(relation), data))
    for record_plan in open_records:
        if record_plan.facts.conflicts or record_plan.facts.undo_requests:
            references |= chosen_references(board, record_plan)
    # Overwritten values are in no cell any more; people read them, and restore them, by name.
    lost_updates = [lost_update for record_plan in open_records for lost_update in record_plan.lost_updates]
    for mapping, relation in board.relations if lost_updates else ():
        if board.converter(mapping).names_items:
            items = {str(lost.value) for lost in lost_updates if lost.key == mapping.key and lost.value is not None}
            references |= {field_values.Reference(target_of(relation), "monday_id", item_id) for item_id in items}
    # `read_facts` has read the records that the relations name, by a join.
    names = [relation.name for _, relation in board.relations]
    joined: list[SyncedModel] = [related for record in records for name in names if (related := getattr(record, name))]
    by_reference = {field_values.Reference(type(other), "pk", str(other.pk)): (other,) for other in joined}
    related = lookups.read_related(references, {**facts.related, **by_reference})
    types_without_item = {other.entity_type() for other in joined if not other.monday_id}
    boards = {name for name in types_without_item if (link := link_of(name)) and link.board_id}
    facts.board = replace(board, item_names={**board.item_names, **_item_names(board, related, open_records)})
    facts.related = related
    facts.related_boards |= boards


def _item_names(
    board: BoardContext, related: field_values.RelatedRecords, plans: Iterable[pass_plan.RecordPlan]
) -> dict[str, str]:
    """Return display names by item id. Names from related records win over stored ones."""
    names: dict[str, str] = {}
    keys = [(mapping, mapping.fields[0]) for mapping, _ in board.relations]
    for plan in plans:
        for mapping, name in keys:
            base = plan.sync_state.base.get(mapping.key)
            for raw in (field_values.local_values(plan.record, mapping), base["local"] if base else {}):
                reference = raw.get(name)
                if isinstance(reference, dict) and reference.get("item"):
                    names.setdefault(str(reference["item"]), str(reference["name"]))
    for reference, hits in related.items():
        if reference.by == "monday_id" and hits:
            names[reference.value] = field_values.record_name(hits[0])
    return names


def with_originals(
    facts: PassFacts, items: Sequence[ItemFacts], original_items: Mapping[str, Item]
) -> Sequence[ItemFacts]:
    """Add `duplicate_of` and its item to copies of a linked record's item, and to bearers of its NPD ID."""
    bearers = [(item, item.copied_record or item.npd_id_record) for item in items]
    originals = {item.item_id: record for item, record in bearers if record is not None and record.monday_id}
    if not originals:
        return items
    by_id = {record.pk: record for record in originals.values()}
    facts_by_id = {record_facts.id: record_facts for record_facts in facts.records if record_facts.id in by_id}
    if unclaimed := {key: Claim(key, None, []) for key in by_id if key not in facts_by_id}:
        unclaimed_facts = facts_of_records(facts.board, facts.now, unclaimed, by_id)
        facts_by_id |= {record_facts.id: record_facts for record_facts in unclaimed_facts}
    complete = []
    for item in items:
        if item.item_id not in originals:
            complete.append(item)
            continue
        record_facts = facts_by_id[originals[item.item_id].pk]
        original_item = original_items.get(item.original_item_id)
        complete.append(replace(item, duplicate_of=record_facts, original_item=original_item))
    return complete
