"""The transaction that stores a pass, and what it stores of existing records."""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from uuid import UUID

import pghistory
import structlog
from django.db import DatabaseError, OperationalError, models, transaction

from conflicts.reports import ConflictKind, ConflictReport, OpenConflict
from conflicts.store import items_in_question, save_reports
from sync import choices, registry
from sync.choices import ActivityKind
from sync.clock import SyncNow
from sync.fields.field_values import ACTIVE
from sync.fields.lookups import load_board
from sync.kernel import db, grouped
from sync.kernel.acts import CREATE_ITEM
from sync.kernel.secret_texts import without_secrets
from sync.merge import Action
from sync.models import (
    ActivityLine,
    ApprovalRequest,
    AwaitedRelation,
    IgnoredItem,
    Intent,
    IntentState,
    SyncMetadata,
    SyncQueue,
    WriteLoop,
)
from sync.outbox import enqueue, finish, mark_pending_with_jobs, wakeups
from sync.outbox.pauses import locked_pause
from sync.reconcile import conflict_reports, pass_plan, record_states
from sync.reconcile.facts import CHANGED, PassFacts, asked_items
from sync.reconcile.gather.item_facts import deletion_obstacles
from sync.reconcile.lost_updates import seen_after
from sync.reconcile.missing import duplicates
from sync.reconcile.missing.questions import quoted_names
from sync.reconcile.missing.removed_items import creating_job, deletion_must_wait, take_deletion_result
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import ended_requests, new_clear_requests
from sync.reconcile.settle import items_and_deletions, pass_run
from sync.reconcile.settle.record import settle_record
from sync.records import authors, item_links, tombstones
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.words.message import Message

log = structlog.get_logger(__name__)


def settle_pass(run: pass_run.PassRun, facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Write the result of a pass in one transaction; return the plan with every record's outcome.

    The sync is stored as the author of the changes. Raises LeaseLost.
    """
    context = undo_context(plan.records.values())

    @db.retry_on_lock_timeout
    def attempt() -> pass_plan.Plan:
        # The plan stays as it was decided: an attempt that times out is repeated, and a record that can't be written
        # goes back to it.
        settled = plan.copied()
        with pghistory.context(cause="sync", batch=str(run.batch_id), **context), run.lease.transaction():
            # All records that the pass may write are locked in the order of their ids, before any other row; if these
            # are only claimed ones, `_settle_records` locks them when it reads them.
            if plan.identity_answers or plan.items or plan.deleted:
                ids = set(plan.records).union(*(item.record_ids for item in plan.items))
                ids = ids.union(*(answer.record_ids for answer in plan.identity_answers))
                rows = run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
                list(rows.values_list("pk"))
                pass_run.lock_failed_jobs(run, plan)
            if plan.identity_answers:
                items_and_deletions.settle_answers(run, settled)
            items_and_deletions.settle_items(run, facts, settled)
            if settled.deleted or settled.other_jobs:
                items_and_deletions.settle_deleted(run, settled)
            if settled.records:
                _settle_records(run, facts, plan, settled)
        return settled

    return attempt()


def _settle_records(run: pass_run.PassRun, facts: PassFacts, planned: pass_plan.Plan, plan: pass_plan.Plan) -> None:
    """Lock, compare and write the claimed records and the rows that depend on them.

    `plan` is filled in with what was carried out; `planned` is the plan as it was decided.
    """
    ids = sorted(plan.records)
    # Before the first write to a record, because the triggers of its table read this mark.
    pass_run.mark_settling(ids)
    # Check foreign keys now, so that a related record deleted meanwhile fails this record and not the commit.
    db.run_sql("SET CONSTRAINTS ALL IMMEDIATE")
    # Records, failed jobs, sync states: the order in which saves and retries lock them too.
    rows = run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
    locked = {record.pk: record for record in rows}
    pass_run.lock_failed_jobs(run, plan)
    sync_states = pass_run.lock_sync_states(run.entity_type, ids)
    if facts.claimed_linked_items:
        # A webhook may have listed the item as unmatched while it was being linked.
        item_links.clear_unmatched(run.entity_type, facts.claimed_linked_items)
    plans_there = {record_id: record_plan for record_id, record_plan in plan.records.items() if record_id in locked}
    items_and_deletions.end_tombstones(run, plans_there.values())
    for record_plan in plan.records.values():
        if record_plan.write.is_name_only and record_plan.write.item is not None:
            record_plan.end(pass_plan.Outcome.RELEASED, Message("other_fields_follow"))
        elif record_plan.is_open:
            record_plan.end(pass_plan.Outcome.SETTLED)
    # The pause is locked before the first write, so that a later one waits for this transaction. Then the settings are
    # read again, because they may have changed before the lock.
    writes_npd = any(record_plan.writes_npd for record_plan in plan.records.values())
    pause = locked_pause(run.entity_type) if writes_npd else ""
    rests_on_settings = writes_npd or any(record_plan.removal for record_plan in plan.records.values())
    board_now = load_board(run.link, pass_settings=run.board.settings) if rests_on_settings else None
    # Each record is compared with its locked row and written; the database may still reject it.
    for record_id in plan.records.keys() - plans_there.keys():
        if (item := plan.records[record_id].write.item) is not None:
            # The record was deleted while its item was being created: note the item on its tombstone.
            tombstones.set_late_item(run.entity_type, record_id, item.id)
    for record_id, record_plan in plans_there.items():
        settle_record(facts, record_plan, locked[record_id], pause, board_now)
        if failure := _write_record(record_plan):
            record_plan.start_anew(failure)
    # Depends on which plans still apply: the requests for approval that end, and the lost values that are logged.
    requests_to_end = list(ended_requests(plan.open_requests, plans_there))
    for request, state in requests_to_end:
        if state is choices.ApprovalState.RELEASED:
            line = ActivityLine(
                kind=ActivityKind.APPROVAL, sentence=Message("approval_over", request=request.label), key=request.key
            )

            plan.records[request.entity_id].add_lines(line)
    for record_plan in plans_there.values():
        record_plan.sync_state.seen = seen_after(record_plan, run.board.settings, facts.now)
        record_plan.add_lines(*record_plan.lines_about_lost_values)
    _store_approvals(run, planned, requests_to_end)
    _write_dependent_rows(run, facts, list(plan.records.values()), list(plans_there.values()), sync_states)


def _write_record(plan: pass_plan.RecordPlan) -> pass_plan.Ending | None:
    """Write or delete one record in its own savepoint, so that only that record fails if NPD's database rejects it.

    Return how it ends instead if nothing of its plan applies.
    """
    record = plan.record
    deletes = plan.deletes
    if deletes:
        obstacle, loss = deletion_obstacles(record)
        if plan.removal and deletion_must_wait(plan.removal, loss):
            return pass_plan.Ending(pass_plan.Outcome.RELEASED, CHANGED)
        if obstacle:
            take_deletion_result(plan, obstacle)
            return None
    if not (deletes or plan.values):
        return None
    try:
        with transaction.atomic():
            if deletes:
                copy(record).delete()
            else:
                type(record).objects.filter(pk=record.pk).update(**plan.values)
    except OperationalError:
        raise
    except (models.ProtectedError, models.RestrictedError, DatabaseError) as error:
        refusal = without_secrets(str(error).strip().splitlines()[0])
        if deletes:
            take_deletion_result(plan, Message("database_rejected", quote=refusal))
            return None
        log.warning("record not written", record=str(record.pk), error=type(error).__name__)
        return pass_plan.Ending(pass_plan.Outcome.FAILED, Message("database_rejected_monday", quote=refusal))
    if deletes:
        take_deletion_result(plan, "")
    return None


def _store_approvals(
    run: pass_run.PassRun, plan: pass_plan.Plan, ended: Iterable[tuple[ApprovalRequest, choices.ApprovalState]]
) -> None:
    """Store new requests for approval, and end those that were decided or no longer apply."""
    released = choices.ApprovalState.RELEASED
    removed = [record_plan for record_plan in plan.records.values() if record_plan.removal]
    rejected = [entry.id for entry in removed if entry.facts.removal and entry.facts.removal.is_rejection_new]
    # The pass no longer deletes these records.
    reopened = [entry.id for entry in removed if entry.removal and entry.removal.keeps_record]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type)
    deletions = requests.filter(kind=choices.ApprovalKind.RECORDS)
    rejected_deletions = deletions.filter(entity_id__in=rejected)
    _end_requests(rejected_deletions, choices.ApprovalState.KEPT, [choices.ApprovalState.REJECTED])
    _end_requests(deletions.filter(entity_id__in=reopened), released, OPEN_REQUEST_STATES)
    outdated = [request.pk for request in plan.outdated_requests]
    _end_requests(requests.filter(pk__in=outdated), released, OPEN_REQUEST_STATES)
    state_of = dict(ended)
    for state, requests_to_end in grouped(state_of, lambda request: state_of[request]).items():
        # Those that a person decided meanwhile are left to the next pass.
        undecided = {request.state for request in requests_to_end}
        _end_requests(requests.filter(pk__in=[request.pk for request in requests_to_end]), state, undecided)
    new_deletions = [record_plan.approval for record_plan in plan.records.values() if record_plan.approval]
    waiting = new_clear_requests(plan, choices.ApprovalState.PENDING)
    ApprovalRequest.objects.bulk_create([*new_deletions, *waiting])


def _end_requests(requests: models.QuerySet[ApprovalRequest], state: str, from_states: Iterable[str]) -> None:
    requests.filter(state__in=list(from_states)).update(state=state, at=SyncNow())


def _write_dependent_rows(
    run: pass_run.PassRun,
    facts: PassFacts,
    plans: Sequence[pass_plan.RecordPlan],
    plans_there: Sequence[pass_plan.RecordPlan],
    sync_states: Mapping[str, SyncMetadata],
) -> None:
    """Write the rows that depend on the records, for all records together; `sync_states` are locked.

    `plans_there` are those of records that were not deleted meanwhile. Statuses come last, because they depend on the
    jobs that are still open.
    """
    existing = [record_plan for record_plan in plans_there if not record_plan.is_deleted]
    _leave_items_and_queue(run, plans_there)
    _store_write_loops(run, facts, plans_there)
    # Before the jobs end: ending a job closes requests that were carried out, and rejects the choices that are still
    # stored if a record has failed for the last time.
    for record_plan in plans_there:
        duplicates.add_shown_values(run.board, record_plan)
    reports = [report for record_plan in plans_there for report in conflict_reports.conflict_reports(record_plan)]
    for report in reports:
        _add_editors(run, report)
    conflicts = {plan.id: plan.open_conflicts for plan in existing} | save_reports(reports)
    items_and_deletions.finish_deleted_by_pass(run, [plan for plan in plans_there if plan.is_deleted])
    for record_plan in existing:
        before = sync_states[str(record_plan.id)]
        record_states.complete_sync_state(record_plan, before, facts.now, conflicts[record_plan.id])
        record_plan.sync_state.pk = before.pk
    _store_sync_states(run, [record_plan.sync_state for record_plan in existing])
    _store_awaited(run, existing)
    _enqueue_pointing(run, existing, sync_states)
    if newly_linked := [record_plan.link_to for record_plan in existing if record_plan.link_to]:
        tombstones.enqueue_tombstones(run.entity_type, newly_linked)
        # One that was unlinked has a record again.
        IgnoredItem.objects.filter(entity_type=run.entity_type, item_id__in=newly_linked, left_alone=True).delete()
    _list_asked_items(run, [record_plan for record_plan in existing if record_plan.asks_which_item])
    _enqueue_items_in_question(run, existing, conflicts)
    _finish_jobs(run, plans)
    run.store_history(plans_there)
    _write_statuses(run, existing)


def _leave_items_and_queue(run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Ignore the items that records are unlinked from, and queue the next pass of records that need one."""
    for record_plan in plans:
        if record_plan.is_overtaken:
            # From Monday, because jobs from NPD wait while writes are stopped, and people are to be asked at once.
            run.enqueue([record_plan.id], direction=choices.QueueDirection.TO_NPD)
        removal = record_plan.removal
        if removal is not None and removal.act == CREATE_ITEM and removal.result:
            run.enqueue([record_plan.id], **creating_job(record_plan, removal))
        if item_id := record_plan.unlinked_item_id:
            reason = Message("item_unlinked", record=str(record_plan.facts.record), why=record_plan.unlink_reason)
            item_links.ignore_item(run.entity_type, item_id, record_plan.id, reason)


def _store_write_loops(run: pass_run.PassRun, facts: PassFacts, plans: Iterable[pass_plan.RecordPlan]) -> None:
    """Store the counted rewrites, delete loops that are over, and queue passes for when throttling ends."""
    settled = [record_plan for record_plan in plans if record_plan.is_settled]
    loops = [
        field_plan.loop for record_plan in settled for field_plan in record_plan.fields.values() if field_plan.loop
    ]
    for loop in loops:
        if not loop.times:
            WriteLoop.objects.filter(entity_type=run.entity_type, entity_id=loop.entity_id, key=loop.key).delete()
    WriteLoop.objects.bulk_create(
        [loop for loop in loops if loop.times and loop._state.adding],  # only those that this pass has counted
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttled_until"],
    )
    throttled = {(loop.throttled_until, loop.entity_id) for loop in loops if loop.throttled_until}
    for until in sorted({until for until, _ in throttled}):
        wait = max((until - facts.now).total_seconds(), 0) + 1
        ids = sorted(record_id for record_until, record_id in throttled if record_until == until)
        later = {"direction": choices.QueueDirection.TO_NPD, "due_in_seconds": wait}
        run.enqueue(ids, choices.Priority.SWEEP, cause=choices.Cause.SWEEP, **later)


def _store_sync_states(run: pass_run.PassRun, sync_states: Sequence[SyncMetadata]) -> None:
    for sync_state in sync_states:
        sync_state.sync_batch_id = run.batch_id
        sync_state.sync_duration_ms = int((time.monotonic() - run.started) * 1000)
        sync_state.api_calls_count = run.calls
    of_pass = ("sync_batch_id", "sync_duration_ms", "api_calls_count")
    db.update_many(sync_states, [*record_states.STORED, *of_pass])


def _enqueue_pointing(
    run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan], sync_states: Mapping[str, SyncMetadata]
) -> None:
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
        enqueue(field.model.entity_type(), record_ids, cause=choices.Cause.DEPENDENCY, priority=choices.Priority.SWEEP)


def _list_asked_items(run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Don't list the candidate items of open questions as unmatched, because they are shown there.

    Those with only a record's name stay in the list, which other records of that name are compared with; it says why.
    """
    asked_about = list[str]()
    findings = list[item_links.UnmatchedFinding]()
    for record_plan in plans:
        question = record_plan.question
        assert question is not None
        if question.data.get("by_name"):
            names = {"names": quoted_names([record_plan.record])}
            findings += [
                item_links.UnmatchedFinding(item["id"], item["label"], choices.UnmatchedReason.AMBIGUOUS, names)
                for item in question.candidates
            ]
        else:
            asked_about += [item["id"] for item in question.candidates]
    item_links.clear_unmatched(run.entity_type, asked_about)
    # Once each, because two records may have one name.
    by_item = {finding.item_id: finding for finding in findings}
    item_links.note_unmatched(run.link, by_item.values(), from_pass=True)


def _add_editors(run: pass_run.PassRun, report: ConflictReport) -> None:
    """Add to a report about fields who wrote Monday's values."""
    keys = {conflict.key for conflict in report.fields}
    if report.kind != ConflictKind.FIELDS or not keys:
        return
    columns = {mapping.column_id: mapping.key for mapping in run.board.mapped if mapping.key in keys}
    edits = authors.last_monday_edits(report.monday_item_id, columns)
    report.editors = {key: {"who": edit.who, "at": edit.at.isoformat()} for key, edit in edits.items()}


def _enqueue_items_in_question(
    run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan], conflicts: Mapping[UUID, Sequence[OpenConflict]]
) -> None:
    """Queue the items of which people are or were asked whether they are these records', if that may be known now.

    `conflicts` are those that are open after the pass. An item that nobody is asked about any more is decided anew.
    """
    match = run.board.match_mapping
    synced = (Action.PUSH, Action.PULL, Action.BOTH, Action.AGREED)
    item_ids = set[str]()
    changed = list[UUID]()
    for plan in plans:
        key_plan = plan.fields.get(match.key) if match else None
        has_new_key = key_plan is not None and key_plan.decision.action in synced
        if has_new_key or plan.creates or plan.link_to or not plan.is_synced:
            changed.append(plan.id)
        item_ids |= asked_items(plan.facts.record, plan.facts.conflicts) - asked_items(plan.record, conflicts[plan.id])
    if changed:
        item_ids |= items_in_question(run.entity_type, changed)
    run.enqueue_items(sorted(item_ids.difference(plan.item_id for plan in plans)))


# A record that a relation waits for may come before this transaction is committed, so the pass is repeated once.
AWAIT_RETRY_SECONDS = 60


def _store_awaited(run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
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
    later = {"direction": choices.QueueDirection.TO_NPD, "due_in_seconds": AWAIT_RETRY_SECONDS}
    run.enqueue(records, choices.Priority.SWEEP, **later)


def _finish_jobs(run: pass_run.PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """End the records' jobs by their outcomes, and their intents and events."""
    settled = [plan for plan in plans if plan.is_settled]
    # Settled jobs end alike, without their sentence, so that one statement ends them all.
    endings = [(plan.facts.claim, pass_plan.SETTLED if plan.is_settled else plan.ending) for plan in plans]
    pass_run.end_jobs(run, endings)
    for plan in plans:
        if plan.keeps_intent and (intent := plan.write.open_intent):
            Intent.objects.filter(pk=intent.pk).update(item_id=plan.item_id, deadline=SyncNow())
    answered = [plan for plan in plans if not plan.keeps_intent]
    pass_run.end_intents(answered, [plan for plan in settled if plan.fields])
    checked = [plan for plan in settled if plan.ending == pass_plan.NOTHING_NEW or plan.item is not None]
    events = {event.pk for plan in checked for event in plan.history.unchecked_events}
    kept = {key for plan in checked for key in plan.doubts.kept_events}
    pass_run.end_events(f"processed in pass {run.batch_id}", pk__in=events - kept)
    for plan in settled:
        if plan.doubts.look_in_seconds:
            run.enqueue([plan.id], direction=choices.QueueDirection.TO_NPD, due_in_seconds=plan.doubts.look_in_seconds)
    # Older failed jobs of these records are completed, superseded by the job of this pass.
    current_jobs = {
        plan.id: plan.facts.claim.jobs[0].id for plan in settled if plan.fields or plan.is_deleted or plan.unlink_reason
    }
    # An unlinking that failed waits for its retry as long as there is something to unlink.
    failed = [plan for plan in settled if plan.facts.has_failed_job]
    linked = [plan.id for plan in failed if plan.record.monday_id and not plan.is_deleted]
    unlinkings = SyncQueue.objects.filter(
        entity_id__in=linked, status=choices.QueueStatus.FAILED, payload__has_key=item_links.UNLINK_KEY
    )
    open_unlinkings = list(unlinkings.values_list("pk", flat=True)) if linked else []
    finish.supersede_failed(run.entity_type, current_jobs, open_unlinkings)


def _write_statuses(run: pass_run.PassRun, existing: Sequence[pass_plan.RecordPlan]) -> None:
    """Write the statuses of the pass's records, which depend on everything written before."""
    ids = [record_plan.id for record_plan in existing]
    pending = choices.QueueStatus.PENDING
    open_states = (pending, choices.QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "direction"))
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = {entity_id for entity_id, _, _ in jobs} | set(intents)
    # Webhooks that came before the item was linked, such as our own create's, are jobs of the item. They wait for a
    # person who fills in a new item, so these are due now.
    owners = {record_plan.item_id: record_plan.id for record_plan in existing if record_plan.item_id}
    deliveries = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id=None, status=pending)
    item_ids = list(deliveries.filter(remote_id__in=owners).values_list("remote_id", flat=True))
    with_open_work |= {owners[str(item_id)] for item_id in item_ids}
    if item_ids:
        # The records are pending until that job has run. One that this pass has deferred with its record waits.
        ended = [job.pk for record_plan in existing for job in record_plan.facts.claim.jobs]
        new_jobs = deliveries.filter(remote_id__in=item_ids, next_retry__gt=SyncNow()).exclude(pk__in=ended)
        new_jobs.update(next_retry=SyncNow())
        wakeups.wake_on_commit(run.entity_type)
    to_monday = (pending, choices.QueueDirection.TO_MONDAY)
    saved = {entity_id for entity_id, status, direction in jobs if (status, direction) == to_monday}
    statuses: dict[UUID, choices.RecordSyncStatus] = {}
    for record_plan in existing:
        key = record_plan.id
        has_open_work = key in with_open_work
        statuses[key] = record_states.sync_status(run.board, record_plan, has_open_work=has_open_work)
        if record_plan.filter_reason and key in saved and record_plan.record.may_sync:
            # It was saved meanwhile, so the next pass decides again.
            statuses[key] = choices.RecordSyncStatus.PENDING
    for status, record_ids in grouped(statuses, lambda key: statuses[key]).items():
        is_synced = status == choices.RecordSyncStatus.SYNCED
        if is_synced:
            # A webhook's job that comes before the commit finds the record locked, and leaves its status to this.
            transaction.on_commit(partial(mark_pending_with_jobs, run.entity_type, record_ids), robust=True)
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=record_ids).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        stored = SyncMetadata.objects.of(run.entity_type, record_ids)
        stored.update(sync_status=record_states.SYNC_STATE_STATUS[status], last_sync_attempt=SyncNow(), **settled_at)
    if failed := [entity_id for entity_id, status, _ in jobs if entity_id and status == choices.QueueStatus.FAILED]:
        SyncMetadata.objects.of(run.entity_type, failed).update(sync_status=choices.SyncStatus.FAILED)
