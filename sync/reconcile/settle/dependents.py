"""What settled records mean for others: passes of records and items, and the relations that wait for a record."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from conflicts.reports import SAME_NAME, OpenConflict
from conflicts.store import in_question
from sync import registry
from sync.choices import Cause, Priority, QueueDirection, UnmatchedReason
from sync.fields.field_values import ACTIVE
from sync.kernel.acts import CREATE_ITEM
from sync.merge import Action
from sync.models import AwaitedRelation, IgnoredItem, SyncMetadata, WriteLoop
from sync.monday.board_items import NAME_COLUMN
from sync.outbox import enqueue
from sync.reconcile.facts import asked_items
from sync.reconcile.missing.questions import quoted_names
from sync.reconcile.missing.removed_items import creating_job
from sync.reconcile.pass_plan import RecordPlan
from sync.reconcile.settle.pass_run import PassRun
from sync.records import item_links, tombstones
from sync.words.message import Message

# A record that a relation waits for may come before this transaction is committed, so the pass is repeated once.
AWAIT_RETRY_SECONDS = 60


def follow_removals(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Queue the creation of new items, and ignore the items that records are unlinked from."""
    for record_plan in plans:
        removal = record_plan.removal
        if removal is not None and removal.act == CREATE_ITEM and removal.result:
            run.enqueue([record_plan.id], **creating_job(record_plan, removal))
        if item_id := record_plan.unlinked_item_id:
            reason = Message("item_unlinked", record=str(record_plan.facts.record), why=record_plan.unlink_reason)
            item_links.ignore_item(run.entity_type, item_id, record_plan.id, reason)


def store_write_loops(run: PassRun, now: datetime, plans: Iterable[RecordPlan]) -> None:
    """Store the counted rewrites, delete loops that are over, and queue passes for when throttling ends."""
    loops = []
    counted = []  # by this pass
    for record_plan in plans:
        for field_plan in record_plan.fields.values() if record_plan.is_done else ():
            if loop := field_plan.loop:
                loops.append(loop)
                counted += [loop] if loop is not record_plan.history.loops.get(field_plan.key) else []
    for loop in counted:
        if not loop.times:
            WriteLoop.objects.filter(entity_type=run.entity_type, entity_id=loop.entity_id, key=loop.key).delete()
    WriteLoop.objects.bulk_create(
        [loop for loop in counted if loop.times],
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttled_until"],
    )
    throttled = {(loop.throttled_until, loop.entity_id) for loop in loops if loop.throttled_until}
    for until in sorted({until for until, _ in throttled}):
        wait = max((until - now).total_seconds(), 0) + 1
        ids = sorted(record_id for record_until, record_id in throttled if record_until == until)
        later = {"direction": QueueDirection.TO_NPD, "due_in_seconds": wait}
        run.enqueue(ids, cause=Cause.SWEEP, **later)


def store_awaited(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Store which relations wait for a record, and delete the rows of those that no longer do.

    The other table's triggers enqueue the waiting records (sync/kernel/triggers.py).
    """
    planned = {plan.id: plan.fields for plan in plans if plan.fields}
    if not run.board.relations or not planned:
        return
    # Each with the type and the item id or name of the record that it waits for.
    targets = {mapping.key: registry.target_of(relation).entity_type() for mapping, relation in run.board.relations}
    waiting = [
        (entity_id, key, targets[key], field_plan.awaited.target)
        for entity_id, field_plans in planned.items()
        for key, field_plan in field_plans.items()
        if field_plan.awaited and key in targets
    ]
    stored = AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=list(planned))
    before = {(row.entity_id, row.key, row.target_type, row.target): row.pk for row in stored}
    outdated = [pk for relation, pk in before.items() if relation not in waiting]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    new = [relation for relation in waiting if relation not in before]
    AwaitedRelation.objects.bulk_create(
        AwaitedRelation(
            entity_type=run.entity_type, entity_id=entity_id, key=key, target_type=target_type, target=target
        )
        for entity_id, key, target_type, target in new
    )
    records = sorted({entity_id for entity_id, *_ in new})
    later = {"direction": QueueDirection.TO_NPD, "due_in_seconds": AWAIT_RETRY_SECONDS}
    run.enqueue(records, priority=Priority.SWEEP, **later)


def enqueue_pointing(run: PassRun, plans: Sequence[RecordPlan], sync_states: Mapping[str, SyncMetadata]) -> None:
    """Queue the records whose relations waited for records whose items are back, or that will have none."""
    ids = []
    for plan in plans:
        before = sync_states[str(plan.id)]
        was_gone = before.remote_state not in ("", ACTIVE)
        is_left_out = plan.filter_reason and not before.left_out and not plan.record.monday_id
        if is_left_out or (was_gone and plan.sync_state.remote_state == ACTIVE):
            ids.append(plan.id)
    for field in registry.relations_to(run.board.model) if ids else ():
        pointing = field.model.objects.filter(**{f"{field.name}__in": ids}).order_by("pk")
        record_ids = pointing.values_list("pk", flat=True)
        enqueue(field.model.entity_type(), record_ids, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


def follow_links(run: PassRun, plans: Iterable[RecordPlan]) -> None:
    """Have deleted records decided again whose items records have now; such an item isn't left alone any more."""
    if linked_items := [plan.link_to for plan in plans if plan.link_to]:
        tombstones.enqueue_tombstones(run.entity_type, linked_items)
        IgnoredItem.objects.filter(entity_type=run.entity_type, item_id__in=linked_items, left_alone=True).delete()


def list_asked_items(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Don't list the candidate items of open questions as unmatched, because they are shown there.

    Those with only a record's name stay in the list, which other records of that name are compared with; it says why.
    """
    asked_about = list[str]()
    findings = list[item_links.UnmatchedFinding]()
    for record_plan in (plan for plan in plans if plan.asks_which_item):
        question = record_plan.question
        assert question is not None
        if question.data["asks"] == SAME_NAME:
            names = {"names": quoted_names([record_plan.record])}
            findings += [
                item_links.UnmatchedFinding(item["id"], item["label"], UnmatchedReason.AMBIGUOUS, names)
                for item in question.candidates
            ]
        else:
            asked_about += [item["id"] for item in question.candidates]
    item_links.clear_unmatched(run.entity_type, asked_about)
    # Once each, because two records may have one name.
    by_item = {finding.item_id: finding for finding in findings}
    item_links.note_unmatched(run.link, by_item.values(), from_pass=True)


def enqueue_in_question(
    run: PassRun, plans: Sequence[RecordPlan], conflicts: Mapping[UUID, Sequence[OpenConflict]]
) -> None:
    """Queue the items and records of which people are or were asked whose they are, if that may be known now.

    `conflicts` are those that are open after the pass. An item that nobody is asked about any more is decided anew.
    """
    match = run.board.match_mapping
    matched = [mapping for mapping in run.board.mapped if mapping is match or mapping.column_id == NAME_COLUMN]
    synced = (Action.PUSH, Action.PULL, Action.BOTH, Action.AGREED)
    item_ids = set[str]()
    changed = list[UUID | str]()
    for plan in plans:
        decisions = [plan.fields[mapping.key].decision for mapping in matched if mapping.key in plan.fields]
        is_changed = any(decision.action in synced for decision in decisions)
        if is_changed or plan.creates or plan.link_to or not plan.takes_part:
            changed += [plan.id, *filter(None, [plan.item_id])]
        item_ids |= asked_items(plan.facts.record, plan.facts.conflicts) - asked_items(plan.record, conflicts[plan.id])
    if changed:
        items, records = in_question(run.entity_type, changed)
        item_ids |= items
        run.enqueue(records)
    run.enqueue_items(sorted(item_ids.difference(plan.item_id for plan in plans)))
