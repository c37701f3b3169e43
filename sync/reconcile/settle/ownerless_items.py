"""Items that no record has, and second items of linked records: what becomes of each is stored."""

from collections.abc import Collection
from copy import copy
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, OperationalError, models, transaction

from conflicts.reports import KIND_IDENTITY, ConflictReport
from conflicts.store import close_identity_conflicts, save_reports
from sync import choices
from sync.boards.board_columns import set_create_obstacle
from sync.clock import SyncNow
from sync.kernel.db import update_many
from sync.models import IgnoredItem, Intent, IntentState, SyncedModel, SyncMetadata, Tombstone
from sync.outbox.pauses import locked_pause
from sync.reconcile import field_values, identity, new_items, pass_plan
from sync.reconcile.duplicates import after_copy_answers, copy_reports, is_asked
from sync.reconcile.gather.item_facts import item_now
from sync.reconcile.pass_history import cause_of_claim
from sync.reconcile.settle.answers import records_asking
from sync.reconcile.settle.pass_run import PassRun, end_events, end_jobs, lock_ledgers, mark_settling
from sync.records import unmatched_items
from sync.records.item_links import ignore_item


def settle_items(run: PassRun, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Write what becomes of the unmatched items; return the plan with what was carried out."""
    strangers = [
        item.facts.item
        for item in plan.items
        if item.facts.item and not field_values.npd_id_of(run.board, item.facts.item)
    ]
    if run.link.creates_held and any(field_values.match_text_of_item(run.board, item) for item in strangers):
        set_create_obstacle(run.link, "creates_held", "")  # somebody has filled it in
    deleted_items = {deleted.item_id for deleted in plan.deleted.values()}
    return replace(plan, items=tuple(_settle_item(run, planned, deleted_items) for planned in plan.items))


def _settle_item(run: PassRun, planned: pass_plan.ItemPlan, deleted_items: Collection[str]) -> pass_plan.ItemPlan:
    """Carry a plan out as far as it still holds; return what was carried out.

    Events of an item of deleted records, or of those that it wakes, are theirs to check.
    """
    item_plan = planned
    if planned.act is pass_plan.ItemAct.DUPLICATE:
        pass  # its calls were sent, and end its job
    elif pause := locked_pause(run.entity_type):
        paused = pass_plan.Ending(pass_plan.Outcome.RELEASED, pause)
        item_plan = pass_plan.ItemPlan(planned.facts, paused, keeps_finding=True)
    else:
        item_plan = new_items.item_as_locked(planned, *item_now(run.board, planned))
    if item_plan.act is pass_plan.ItemAct.CREATE:
        item_plan = _with_record_stored(run, item_plan)
    _write_item(run, item_plan)
    facts = item_plan.facts
    if item_plan.outcome is pass_plan.Outcome.SETTLED and not item_plan.woken and facts.item_id not in deleted_items:
        end_events(item_plan.ending.detail, pk__in=facts.new_events)
    end_jobs(run, [(facts.claim, item_plan.ending)])
    return item_plan


def _write_item(run: PassRun, plan: pass_plan.ItemPlan) -> None:
    """Write what a plan says of records, questions and what is remembered."""
    entity_type = run.entity_type
    item_id = plan.facts.item_id
    if plan.act in pass_plan.GIVING:
        _write_given(run, plan)
    elif plan.act is pass_plan.ItemAct.ASK:
        _write_question(run, plan)
    elif plan.tombstone is not None:
        changed = {"monday_id": plan.tombstone.monday_id, "state": plan.tombstone.state}
        Tombstone.objects.filter(pk=plan.tombstone.pk).update(**changed)
    # What people are shown of it decides nothing. The unmatched item is taken before the ignored one.
    if plan.finding is not None:
        unmatched_items.note_unmatched(run.link, [plan.finding], decided=True)
    elif not plan.keeps_finding:
        unmatched_items.clear_unmatched(entity_type, [item_id])
    if plan.problems:
        problems = {"reason": plan.problems}
        IgnoredItem.objects.update_or_create(entity_type=entity_type, item_id=item_id, defaults=problems)
    if plan.closes and (closed := close_identity_conflicts(entity_type, item_id, plan.closes)):
        # The records that waited find out what that means for them.
        run.wake(set(closed) | records_asking(entity_type, [item_id]))
    if plan.act in (*pass_plan.GIVING, pass_plan.ItemAct.OWNED) and plan.record:
        run.wake([plan.record.pk])
    if plan.woken:
        run.wake(plan.woken, cause=choices.Cause.WEBHOOK, direction=choices.QueueDirection.TO_NPD)


def _write_given(run: PassRun, plan: pass_plan.ItemPlan) -> None:
    """Give the item to the plan's record, unless that was made with it, and say so in its history."""
    assert plan.record is not None
    facts = plan.facts
    creates = plan.act is pass_plan.ItemAct.CREATE
    if not creates:
        run.records.filter(pk=plan.record.pk).update(monday_id=facts.item_id)
    if creates and facts.as_new:
        # It stays remembered: none of the records with its key is to find it by that key again.
        ignore_item(run.entity_type, facts.item_id, None, "A person said that it is a record of its own.")
    elif facts.chosen_id is not None or (creates and facts.ignored is not None):
        IgnoredItem.objects.filter(entity_type=run.entity_type, item_id=facts.item_id).delete()
    kind = "create" if creates else "link"
    cause = cause_of_claim(facts.claim)
    cause |= {"events": list(facts.new_events), "rule": f"an item without a record: {kind}"}
    if run.read_request:
        cause["read"] = run.read_request
    by = str(facts.claim.payload.get("by", ""))
    columns = {"actor": by, "request_id": run.read_request}
    run.log_decision(plan.record.pk, facts.item_id, kind, plan.sentence, cause=cause, **columns)


def _with_record_stored(run: PassRun, plan: pass_plan.ItemPlan) -> pass_plan.ItemPlan:
    """Store the record made of the item; only NPD's database can tell that it can't be."""
    assert plan.record is not None
    try:
        store_new_record(copy(plan.record), is_automatic=not plan.facts.as_new)
    except OperationalError:  # a lock, or the connection: nothing that the item is to blame for
        raise
    except DatabaseError as error:
        is_there = run.records.filter(models.Q(pk=plan.record.pk) | models.Q(monday_id=plan.facts.item_id)).exists()
        return new_items.after_rejection(run.board, plan, str(error).splitlines()[0], is_there=is_there)
    return plan


def store_new_record(record: SyncedModel, *, is_automatic: bool = True) -> None:
    """Store a record made from an item; raises DatabaseError.

    One that a person wanted to be a record of its own (not `is_automatic`) is not asked about once more. Its own pass,
    which merges the two sides and writes the NPD ID, is written by the caller.
    """
    with transaction.atomic():
        mark_settling([record.pk])
        record.save(force_insert=True)
        key: dict[str, Any] = {"entity_type": record.entity_type(), "entity_id": str(record.pk), "system": "monday"}
        SyncMetadata.objects.update_or_create(**key, defaults={"made_from_item": is_automatic})


def _write_question(run: PassRun, plan: pass_plan.ItemPlan) -> None:
    """Ask to whom the item belongs; a record that could get it waits for the answer, its other conflicts stay."""
    entity_type = run.entity_type
    item_id = plan.facts.item_id
    save_reports([ConflictReport(entity_type, plan.asked[0].pk, item_id, KIND_IDENTITY, data=dict(plan.question))])
    waiting = sorted(record.pk for record in identity.linkable(plan.asked))
    ledgers = lock_ledgers(entity_type, waiting) if waiting else {}
    for ledger in ledgers.values():
        ledger.conflicts = {**ledger.conflicts, "identity": [plan.question["what"]]}
        ledger.asked_items = [item_id]
    update_many(list(ledgers.values()), ["conflicts", "asked_items"])
    run.records.filter(pk__in=waiting).update(sync_status=choices.RecordSyncStatus.CONFLICT)


def settle_duplicates(run: PassRun, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Store what became of every second item.

    Return the plan with its items as that leaves them, and the records whose answers were carried out, or failed.
    """
    settled = [duplicate for duplicate in plan.duplicates if duplicate.outcome is not pass_plan.Outcome.OPEN]
    if not settled:
        return plan
    second_items = {
        duplicate.facts.item_id: duplicate for duplicate in settled if duplicate.act is pass_plan.ItemAct.DUPLICATE
    }
    # Reads of the next minutes are compared with what took effect, by the time at which that was known.
    applied = [intent.pk for duplicate in settled for intent in duplicate.intents]
    Intent.objects.filter(pk__in=applied).update(state=IntentState.APPLIED, settled_at=SyncNow())
    ended = [duplicate for duplicate in settled if duplicate.kind]
    cause = {"read": run.read_request, "rule": "a second item has the record's NPD ID"}
    for duplicate in ended:
        item_id = duplicate.item.id
        line = (duplicate.second_of.pk, item_id, duplicate.kind, duplicate.sentence)
        run.log_decision(*line, request_id=run.read_request, cause=cause)
        if duplicate.act is pass_plan.ItemAct.DUPLICATE:
            end_events(duplicate.ending.detail, item_id=item_id)
    unmatched_items.clear_unmatched(
        run.entity_type, {duplicate.item.id for duplicate in ended if not is_asked(duplicate)}
    )
    save_reports(list(copy_reports(run.board, plan, settled)))
    end_jobs(run, [(duplicate.facts.claim, duplicate.ending) for duplicate in second_items.values()])
    plan = replace(plan, items=tuple(second_items.get(item.facts.item_id, item) for item in plan.items))
    return after_copy_answers(plan, settled)
