"""Settle everything but existing records: answers about identity, unmatched items, duplicates, deleted records."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError, models, transaction

from conflicts.reports import RECORD_KEY, ConflictKind, OpenConflict
from conflicts.store import close_identity_conflicts, in_question, records_seeking, reject_resolutions, save_reports
from sync import choices
from sync.choices import ActivityKind, TombstoneReason
from sync.clock import SyncNow, sync_now
from sync.fields import field_bases, field_values
from sync.kernel import acts
from sync.kernel.db import update_many
from sync.models import (
    ApprovalRequest,
    AwaitedRelation,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    Tombstone,
)
from sync.models.records_and_items import REPORTED_STATES
from sync.outbox.pauses import locked_pause
from sync.reconcile import conflict_reports, outcomes, pass_plan
from sync.reconcile.change_events import creator_of
from sync.reconcile.facts import PassFacts, asked_items
from sync.reconcile.gather.item_facts import records_in_answers, reread_item
from sync.reconcile.missing import deleted_records, questions, unmatched_items
from sync.reconcile.settle import jobs, pass_run
from sync.reconcile.settle.activity import cause_of_claim, who_ends_conflicts
from sync.records import authors, item_links
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item, left_by_deleted_record
from sync.records.tombstones import WITHOUT_ITEM, restore_record
from sync.words.message import Message, reason_of


def settle_answers(run: pass_run.PassRun, plan: pass_plan.Plan) -> None:
    """Apply people's answers about identity; each is decided again on the locked rows."""
    entity_type = run.entity_type
    for record_plan in plan.records.values():
        record_plan.answers = questions.answers_of(record_plan.facts)
    answers = plan.identity_answers
    # A merge deletes a record: while paused, all answers stay for a later pass.
    if any(answer.merged_id for answer in answers) and locked_pause(entity_type):
        return
    items = set[str]()
    waiting = set[UUID]()  # records that may have to wait for the same answer
    reports = []
    questions.decide_answers(answers, *records_in_answers(run.board, answers))
    for answer in answers:
        record_plan = plan.records[answer.asked_id]
        item_id = answer.conflict.monday_item_id
        if answer.rejection_reason:
            reason = Message("answer_not_done", why=answer.rejection_reason)
            reject_resolutions(entity_type, [answer.asked_id], reason, conflict_id=answer.conflict.conflict_id)
            run.enqueue_items([item_id], priority=choices.Priority.PERSON)
            continue
        _carry_out_answer(run, record_plan, answer)
        applied = {RECORD_KEY: answer.result}
        reports.append(
            record_plan.conflict_report(ConflictKind.IDENTITY, item_id, applied=applied, closing_reason=answer.result)
        )
        items |= {item_id, *asked_items(record_plan.record, record_plan.facts.conflicts)}
        waiting |= asked_records(answer.conflict)
    if reports:
        save_reports(reports)
        waiting = waiting.union(*records_seeking(entity_type, items - {""}).values())
        run.enqueue(waiting - plan.records.keys())


def _carry_out_answer(run: pass_run.PassRun, plan: pass_plan.RecordPlan, answer: pass_plan.IdentityAnswer) -> None:
    """Write what a person's answer says; what needs a call is left to a pass, which this enqueues."""
    entity_type = run.entity_type
    by = plan.facts.claim.requested_by
    if answer.act == acts.MERGE_RECORDS:
        assert answer.merged_id is not None
        assert answer.record_id is not None
        merged = run.records.get(pk=answer.merged_id)  # read again, because an earlier answer may have linked it
        copy(merged).delete()
        if answer.moves_item:
            run.records.filter(pk=answer.record_id).update(monday_id=merged.monday_id)
        merging = {"by": by, "causes": ["person"], "rule": Message("they_are_the_same")}
        # The line of the answer is the asked record's.
        other_id = answer.record_id if answer.merged_id == answer.asked_id else answer.merged_id
        run.log_line(other_id, merged.monday_id or "", ActivityKind.LINK, answer.result, actor=by, cause=merging)
        run.enqueue([answer.record_id], priority=choices.Priority.PERSON)
    elif acts.ACTS[answer.act].links and answer.record_id is not None:
        run.records.filter(pk=answer.record_id).update(monday_id=answer.item_id)
        # The answer overrules that the item was ignored.
        IgnoredItem.objects.filter(entity_type=entity_type, item_id=answer.item_id).delete()
        if answer.record_id != answer.asked_id:
            cause = cause_of_claim(plan.facts.claim)
            run.log_line(answer.record_id, answer.item_id, ActivityKind.LINK, answer.result, actor=by, cause=cause)
            run.enqueue([answer.record_id], priority=choices.Priority.PERSON)
    elif answer.act == acts.NEW_ITEM:
        items = {answer.item_id, *asked_items(plan.record, plan.facts.conflicts)} - {""}
        owned = run.records.filter(monday_id__in=items).values_list("monday_id", flat=True)
        free_items = sorted(items.difference(map(str, owned)))
        for item_id in free_items:
            reason = Message("not_the_item_of", record=str(plan.record))
            item_links.exclude_match(entity_type, item_id, plan.id, reason)
        run.enqueue_items(free_items)
        payload = {item_links.NEW_ITEM_KEY: True, "by": by}
        run.enqueue([plan.id], cause=choices.Cause.PERSON, payload=payload)
    elif answer.act == acts.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_id]).update(made_from_item=False)
    elif answer.act == acts.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, Message("not_needed"))


def asked_records(question: OpenConflict | None) -> set[UUID]:
    """Return the records of which people are asked whether an item is theirs."""
    return set(map(UUID, question.candidate_ids)) if question and not question.seeks_item else set()


def settle_items(run: pass_run.PassRun, facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Write the plans of the unmatched items, and replace them by what was carried out.

    A plan that assigns, asks or changes a tombstone is decided again on the locked rows, after the items before it.
    """
    has_others = any(not item_plan.is_duplicate for item_plan in plan.items)
    pause = locked_pause(run.entity_type) if has_others else ""
    deleted_items = {deleted.item_id for deleted in plan.deleted.values()}
    decided_items = plan.items
    plan.items = []
    for decided in decided_items:
        item_plan = decided
        # The calls about duplicates are made, so their results are stored.
        if pause and not decided.is_duplicate:
            ending = outcomes.Ending(outcomes.Outcome.RELEASED, pause)
            item_plan = pass_plan.ItemPlan(decided.facts, ending, keeps_finding=True)
        elif decided.assigns or decided.candidates or decided.tombstone:
            # One by one, because a record with the item's key may come while others become records.
            item_now = reread_item(run.board, decided.facts)
            item_plan = unmatched_items.decided_again(facts, decided, item_now, plan)
        if item_plan.act == acts.CREATE_RECORD:
            item_plan = _store_record_of_item(run, item_plan)
        # The time matters, because reads in the next minutes are compared with recent writes.
        if item_plan.write.is_done and (intent := item_plan.write.open_intent):
            applied = Intent.objects.filter(pk=intent.pk)
            applied.update(state=IntentState.APPLIED, settled_at=SyncNow())
        _write_item(run, item_plan)
        item_facts = item_plan.facts
        # Events about a deleted record's item are left for that record's plan.
        is_checked = item_plan.outcome is outcomes.Outcome.DONE and not item_plan.to_enqueue
        if is_checked and item_facts.item_id not in deleted_items:
            last = max(item_facts.new_events, default=0)
            jobs.end_events(f"processed in pass {run.batch_id}", item_id=item_facts.item_id, pk__lte=last)
        jobs.end_jobs(run, [(item_facts.claim, item_plan.ending)])
        plan.items.append(item_plan)
    # The record's own pass ends a call about its duplicate whose answer was lost; until then the record is pending.
    ended = [entry.facts.item_id for entry in plan.items if entry.outcome is outcomes.Outcome.DONE]
    unanswered = Intent.objects.filter(item_id__in=ended, state=IntentState.OPEN)
    run.enqueue(run.records.filter(pk__in=unanswered.values("entity_id")).values_list("pk", flat=True))


def _write_item(run: pass_run.PassRun, plan: pass_plan.ItemPlan) -> None:
    """Write an item's plan: the record, a question, the finding for pages, jobs that follow."""
    entity_type = run.entity_type
    item_id = plan.facts.item_id
    if plan.assigns:
        _link_item(run, plan)
    elif plan.candidates:
        _ask_candidates(run, plan)
    elif plan.kind:
        cause = {"read": run.read_request_id, "rule": Message("second_item_has_npd_id")}
        record_id = plan.original_record.pk
        run.log_line(record_id, item_id, plan.kind, plan.sentence, cause=cause, request_id=run.read_request_id)
    elif plan.tombstone is not None:
        changed = {"monday_id": plan.tombstone.monday_id, "state": plan.tombstone.state}
        Tombstone.objects.filter(pk=plan.tombstone.pk).update(**changed)
    # The row of the unmatched item is locked before that of the ignored one.
    if plan.finding is not None:
        item_links.note_unmatched(run.link, [plan.finding], from_pass=True)
    elif not plan.keeps_finding:
        item_links.clear_unmatched(entity_type, [item_id])
    if plan.question is not None:
        save_reports([plan.question])
    if plan.closing_reason:
        # Its answer was to archive it, or that it is a record of its own.
        is_answered = plan.act == acts.ARCHIVE_COPY
        is_answered |= plan.act == acts.CREATE_RECORD and plan.facts.is_answered_as_new
        closed = close_identity_conflicts(entity_type, item_id, plan.closing_reason, is_answered=is_answered)
        # The records that waited for the answer need a pass.
        run.enqueue(asked_records(plan.facts.question).union(closed) if closed else ())
    if plan.closing_reason or plan.facts.has_new_edit:
        run.enqueue(plan.facts.asking_records)
    if not plan.is_duplicate and plan.record:
        run.enqueue([plan.record.pk])
    if plan.to_enqueue:
        run.enqueue(plan.to_enqueue, cause=choices.Cause.WEBHOOK, direction=choices.QueueDirection.TO_NPD)


def _link_item(run: pass_run.PassRun, plan: pass_plan.ItemPlan) -> None:
    """Link the item with the plan's record, and add a line to its history."""
    assert plan.record is not None
    facts = plan.facts
    creates = plan.act == acts.CREATE_RECORD
    if not creates:
        run.records.filter(pk=plan.record.pk).update(monday_id=facts.item_id)
    if creates and facts.wants_new_record:
        # Keeps the records with its key from matching it again.
        ignore_item(run.entity_type, facts.item_id, None, Message("record_of_its_own"))
    elif facts.chosen_id is not None or (creates and facts.ignored is not None):
        IgnoredItem.objects.filter(entity_type=run.entity_type, item_id=facts.item_id).delete()
    kind = ActivityKind.CREATE if creates else ActivityKind.LINK
    cause = cause_of_claim(facts.claim)
    cause |= {"events": facts.new_events, "rule": Message("item_without_record", kind=str(kind))}
    if run.read_request_id:
        cause["read"] = run.read_request_id
    by = facts.claim.requested_by
    if creates and not by and (creator := creator_of(facts.events)) not in ("", run.board.settings.token_user):
        by = authors.monday_editor_name(creator, run.board.settings.people)
    columns = {"actor": by, "request_id": run.read_request_id}
    run.log_line(plan.record.pk, facts.item_id, kind, plan.sentence, cause=cause, **columns)
    for line in plan.lines.values():
        edit = {"key": line.key, "values": line.values}
        run.log_line(plan.record.pk, facts.original_item_id, line.kind, line.sentence, cause=cause, **edit)


def _store_record_of_item(run: pass_run.PassRun, plan: pass_plan.ItemPlan) -> pass_plan.ItemPlan:
    """Store the record created from the item, unless NPD's database rejects it."""
    assert plan.record is not None
    assert plan.facts.item is not None
    base = field_bases.bases_of_equal_fields(run.board, plan.record, plan.facts.item)
    try:
        store_new_record(copy(plan.record), base, is_automatic=not plan.facts.wants_new_record)
    except OperationalError:  # a lock or the connection, so the item isn't at fault
        raise
    except DatabaseError as error:
        is_there = run.records.filter(models.Q(pk=plan.record.pk) | models.Q(monday_id=plan.facts.item_id)).exists()
        problem = Message("quoted", quote=str(error).splitlines()[0])
        return unmatched_items.after_rejection(run.board, plan, problem, is_there=is_there)
    return plan


def store_new_record(record: SyncedModel, base: dict[str, Any], *, is_automatic: bool) -> None:
    """Store a record created from an item, with the values that it took over as its base; raises DatabaseError.

    If it isn't `is_automatic`, a person wanted a record of its own and is not asked again whether it is a duplicate.
    """
    with transaction.atomic():
        pass_run.mark_settling([record.pk])
        record.save(force_insert=True)
        key: dict[str, Any] = {"entity_type": record.entity_type(), "entity_id": str(record.pk), "system": "monday"}
        SyncMetadata.objects.update_or_create(**key, defaults={"made_from_item": is_automatic, "base": base})


def _ask_candidates(run: pass_run.PassRun, plan: pass_plan.ItemPlan) -> None:
    """Have the records that could have the item wait for the answer; settling stores the question."""
    assert plan.question is not None
    entity_type = run.entity_type
    item_id = plan.facts.item_id
    # The record that was asked first doesn't fit any more.
    reason = Message("could_belong_to_another", item=plan.item.name)
    close_identity_conflicts(entity_type, item_id, reason, other_than=plan.question.entity_id)
    waiting = sorted(record.pk for record in plan.candidates if record.monday_id is None and record.may_sync)
    sync_states = pass_run.lock_sync_states(entity_type, waiting) if waiting else {}
    for sync_state in sync_states.values():
        sync_state.conflicts = {**sync_state.conflicts, ConflictKind.IDENTITY: [plan.question.what]}
    update_many(list(sync_states.values()), ["conflicts"])
    run.records.filter(pk__in=waiting).update(sync_status=choices.RecordSyncStatus.CONFLICT)


def settle_deleted(run: pass_run.PassRun, plan: pass_plan.Plan) -> None:
    """Store the results for records that were deleted in NPD before this pass, and end their jobs."""
    deleted_plans = list(plan.deleted.values())
    entity_type = run.entity_type
    rows = Tombstone.objects.select_for_update().filter(
        pk__in=[deleted.facts.tombstone.pk for deleted in deleted_plans]
    )
    tombstones = {row.entity_id: row for row in rows.order_by("pk") if row.state != choices.TombstoneState.RESTORED}
    pause = locked_pause(entity_type) if any(deleted.restores for deleted in deleted_plans) else ""
    # A restored record's own pass checks its events, and reports its lost values.
    restored = set[UUID]()
    for deleted in deleted_plans:
        deleted_records.take_locked(deleted, pause, is_there=deleted.id in tombstones)
        if not deleted.restores:
            continue
        restored.add(deleted.id)
        item_id = deleted.item_to_keep or WITHOUT_ITEM
        sentence = deleted_records.restored_sentence(deleted)
        try:
            restore_record(tombstones[deleted.id], item_id=item_id, sentence=sentence)
        except acts.RestoreError as error:
            deleted_records.ask_about_item(deleted, run.board.link.deleted_record_policy, reason_of(error))
        else:
            deleted_records.end_restored(deleted)
    now = sync_now()
    changed = [deleted for deleted in deleted_plans if deleted.id in tombstones]
    after = [deleted_records.tombstone_after(deleted, tombstones[deleted.id], now) for deleted in changed]
    update_many(after, ["state", "settled_at", "note", "reason_code"])
    for deleted in changed:
        if deleted.new_state == choices.TombstoneState.UNLINKED and deleted.item_id:
            reason = Message("unlinked_from_deleted", record=str(deleted.facts.record))
            ignore_item(entity_type, deleted.item_id, deleted.id, reason)
    # With another record's NPD ID, the item counts as one without a record.
    freed = [deleted.item_id for deleted in changed if deleted.reason_code == TombstoneReason.OTHER_NPD_ID]
    run.enqueue_items(filter(None, freed), due_in_seconds=UNMATCHED_ITEM_WAIT_SECONDS)
    # The sync state keeps its base as long as the tombstone exists.
    sync_states = [state for deleted in changed if (state := deleted_records.sync_state_after(deleted)) is not None]
    names = ["conflicts", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(sync_states, update_conflicts=True, unique_fields=key, update_fields=names)
    # Removals that were made have rows too, so that they count towards the limit. The others are decided again.
    settled = [deleted for deleted in deleted_plans if deleted.is_done]
    ApprovalRequest.objects.bulk_create([deleted.approval for deleted in settled if deleted.approval])
    by = who_ends_conflicts(deleted_plans)
    reports = [report for deleted in deleted_plans for report in conflict_reports.deletion_reports(deleted)]
    save_reports([replace(report, by=by.get(report.entity_id, "")) for report in reports])
    for deleted in deleted_plans:
        deleted_records.take_lines_and_landed_intents(deleted)
    run.store_history(deleted_plans)
    jobs.end_intents(deleted_plans, settled)
    checked = [deleted for deleted in settled if deleted.id in tombstones and deleted.id not in restored]
    _leave_asked_items(run, checked)
    events = [event.pk for deleted in checked for event in deleted.history.unchecked_events]
    jobs.end_events(f"processed in pass {run.batch_id}", pk__in=events)
    jobs.end_jobs(run, [*((deleted.facts.claim, deleted.ending) for deleted in deleted_plans), *plan.other_jobs])


def _leave_asked_items(run: pass_run.PassRun, plans: Sequence[pass_plan.EntityPlan]) -> None:
    """Leave the second items of deleted records to people, and have them listed; decide anew about others' items."""
    without_item = [plan for plan in plans if not plan.record.monday_id]
    if without_item:
        items, _ = in_question(run.entity_type, [plan.id for plan in without_item])
        items = items.union(*(asked_items(plan.record, plan.facts.conflicts) for plan in without_item))
        run.enqueue_items(sorted(items))
    ignored_items = []
    for plan in (plan for plan in plans if plan.record.monday_id):
        second_items = asked_items(plan.record, plan.facts.conflicts) - plan.facts.owned_items
        copies = {entry.monday_item_id for entry in plan.facts.conflicts if entry.answer == acts.ARCHIVE_COPY}
        for item_id in copies & second_items:
            ignore_item(run.entity_type, item_id, None, Message("is_a_copy"))
        name = field_values.record_name(plan.record)
        ignored_items += [left_by_deleted_record(run.entity_type, item_id, name) for item_id in second_items]
    IgnoredItem.objects.bulk_create(ignored_items, ignore_conflicts=True)
    run.enqueue_items(sorted(row.item_id for row in ignored_items))


def end_tombstones(run: pass_run.PassRun, plans: Iterable[pass_plan.RecordPlan]) -> None:
    """End the tombstones of records that were created again under the same id."""
    created = [plan.id for plan in plans if any(job.operation != choices.UPDATE for job in plan.facts.claim.jobs)]
    if created:
        restored = choices.TombstoneState.RESTORED
        tombstones = Tombstone.objects.filter(entity_type=run.entity_type, entity_id__in=created)
        note = Message("record_there_again")
        tombstones.exclude(state=restored).update(state=restored, settled_at=SyncNow(), note=note, reason_code="")


def finish_deleted_by_pass(run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """End the tombstones, waiting relations and intents of records that this pass has deleted."""
    ids = [plan.id for plan in plans]
    _leave_asked_items(run, plans)
    for plan in plans:
        removed_as = plan.sync_state.remote_state
        is_reported = removed_as in REPORTED_STATES
        state = choices.TombstoneState(removed_as) if is_reported else choices.TombstoneState.NOTHING_LEFT
        Tombstone.objects.filter(entity_type=run.entity_type, entity_id=plan.id).update(
            state=state, note=plan.removal and plan.removal.result, reason_code="", settled_at=SyncNow()
        )
    AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for plan in plans for intent in plan.facts.open_intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())
