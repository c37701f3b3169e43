"""The transaction that stores a pass: locks, compares each record with what was read, writes it, and ends its jobs."""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any
from uuid import UUID

import pghistory
import structlog
from django.db import DatabaseError, OperationalError, models, transaction
from psycopg.errors import ForeignKeyViolation

from conflicts.reports import ConflictKind, ConflictReport
from conflicts.store import save_reports
from sync.boards.board_columns import recheck_hold
from sync.choices import ActivityKind, ApprovalKind, ApprovalState, BlockedCode, QueueDirection
from sync.clock import SyncNow
from sync.fields.field_values import BoardContext, update_values
from sync.fields.lookups import load_board
from sync.kernel import db, grouped
from sync.kernel.secret_texts import without_secrets
from sync.models import ApprovalRequest, SyncedModel, SyncMetadata, WebhookEvent
from sync.outbox.pauses import locked_pause
from sync.reconcile import conflict_reports
from sync.reconcile.facts import CHANGED, PassFacts
from sync.reconcile.gather.item_facts import deletion_obstacles
from sync.reconcile.lost_updates import seen_after
from sync.reconcile.missing import duplicates, removed_items
from sync.reconcile.outcomes import DONE, Ending, Outcome
from sync.reconcile.pass_plan import FieldPlan, Plan, RecordPlan
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import ended_requests, new_clear_requests
from sync.reconcile.settle import dependents, items_and_deletions, jobs, pass_run
from sync.reconcile.settle.activity import who_ends_conflicts
from sync.reconcile.settle.record import STORED, SettledRecord, complete_sync_state
from sync.records import authors, item_links, tombstones
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.words.message import Message

# How many of an item's events are searched for who wrote the values in conflict.
MAX_EVENTS_OF_CONFLICT = 50

log = structlog.get_logger(__name__)


def settle_pass(run: pass_run.PassRun, facts: PassFacts, decided: Plan) -> Plan:
    """Write the result of a pass in one transaction; return the plan as it was carried out.

    The sync is stored as the author of the changes. Raises LeaseLost.
    """
    context = undo_context(decided.records.values())

    @db.retry_on_lock_timeout
    def attempt() -> Plan:
        # An attempt that times out is repeated with what was decided.
        plan = decided.copied()
        with pghistory.context(cause="sync", batch=str(run.batch_id), **context), run.lease.transaction():
            if plan.identity_answers or plan.items or plan.deleted:
                _lock_all_records(run, plan)
            if plan.identity_answers:
                items_and_deletions.settle_answers(run, plan)
            items_and_deletions.settle_items(run, facts, plan)
            if plan.deleted or plan.other_jobs:
                items_and_deletions.settle_deleted(run, plan)
            if plan.records:
                _settle_records(run, facts, decided, plan)
            # Last, because an item may have been filled in, archived, ignored or linked.
            recheck_hold(run.link)
        return plan

    return attempt()


def _lock_all_records(run: pass_run.PassRun, plan: Plan) -> None:
    """Lock all records that the pass may write in the order of their ids, before any other row.

    If these are only the claimed ones, `_settle_records` locks them when it reads them.
    """
    ids = set(plan.records).union(*(item.record_ids for item in plan.items))
    ids = ids.union(*(answer.record_ids for answer in plan.identity_answers))
    rows = run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
    list(rows.values_list("pk"))
    pass_run.lock_failed_jobs(run, plan)


def _settle_records(run: pass_run.PassRun, facts: PassFacts, decided: Plan, plan: Plan) -> None:
    """Lock, compare and write the claimed records and the rows that depend on them.

    `plan` is filled in with what was carried out; `decided` stays as the rules left it.
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
    # A webhook, whose job is the item's, may have listed it as unmatched while it was being linked.
    claimed_jobs = [job for record_plan in plan.records.values() for job in record_plan.facts.claim.jobs]
    if linked_items := [str(job.remote_id) for job in claimed_jobs if job.entity_id is None]:
        item_links.clear_unmatched(run.entity_type, linked_items)
    # Without those that were deleted meanwhile.
    record_plans = {record_id: record_plan for record_id, record_plan in plan.records.items() if record_id in locked}
    items_and_deletions.end_tombstones(run, record_plans.values())
    for record_plan in plan.records.values():
        if record_plan.write.is_name_only and record_plan.write.item is not None:
            record_plan.ending = Ending(Outcome.RELEASED, Message("other_fields_follow"))
        elif record_plan.is_open:
            record_plan.ending = DONE
    written = _write_records(run, facts, plan, locked)
    # Which requests for approval end, and which lost values are logged, depends on the plans that still apply.
    states_after = dict(ended_requests(plan.open_requests, record_plans))
    for request, state in states_after.items():
        if state is ApprovalState.RELEASED:
            sentence = Message("approval_over", request=request.label)
            record_plans[request.entity_id].add_line(ActivityKind.APPROVAL, sentence, request.key)
    for record_plan in record_plans.values():
        record_plan.sync_state.seen = seen_after(record_plan, run.board.settings, facts.now)
        record_plan.add_lines(*record_plan.lost_update_lines)
    # By what was decided: also a record that was started anew keeps its requests.
    _store_approvals(run, decided, states_after)
    # From Monday, because jobs from NPD wait while writes are stopped, and people are to be asked at once.
    overtaken = [settled.plan.id for settled in written if settled.is_overtaken]
    run.enqueue(overtaken, direction=QueueDirection.TO_NPD)
    unshown = {settled.plan.id for settled in written if settled.keeps_intent}
    _write_dependent_rows(run, facts, list(record_plans.values()), sync_states)
    jobs.finish_record_jobs(run, plan.records.values(), unshown)
    run.store_history(list(record_plans.values()))
    jobs.write_statuses(run, [record_plan for record_plan in record_plans.values() if not record_plan.is_deleted])


def _write_records(
    run: pass_run.PassRun, facts: PassFacts, plan: Plan, locked: Mapping[UUID, SyncedModel]
) -> list[SettledRecord]:
    """Compare each record with its locked row, and write it; the database may still reject it.

    Return what was written.
    """
    # The pause is locked before the first write, so that a later one waits for this transaction. Then the settings are
    # read again, because they may have changed before the lock.
    changes_npd = any(record_plan.changes_npd for record_plan in plan.records.values())
    pause = locked_pause(run.entity_type) if changes_npd else ""
    rests_on_settings = changes_npd or any(record_plan.removal for record_plan in plan.records.values())
    board_now = load_board(run.link, pass_settings=run.board.settings) if rests_on_settings else None
    written = []
    for record_id, record_plan in plan.records.items():
        if record_id in locked:
            settled = _settle_record(facts, record_plan, locked[record_id], pause, board_now)
            written += [settled] if settled else []
        elif (item := record_plan.write.item) is not None:
            # The record was deleted while its item was being created: note the item on its tombstone.
            tombstones.set_late_item(run.entity_type, record_id, item.id)
    return written


def _settle_record(
    facts: PassFacts, plan: RecordPlan, locked: SyncedModel, pause: str, board_now: BoardContext | None
) -> SettledRecord | None:
    """Write or delete one record; return None if nothing of its plan applies.

    Values that NPD's database refuses stay on the board, and the others are written.
    """
    before = plan.copied() if plan.pulls else None
    settled = SettledRecord(plan, locked)
    settled.settle(facts, pause, board_now)
    if plan.deletes:
        failure = _delete_record(plan)
    elif error := _refusal_of(plan, settled.values):
        log.warning("record not written", record=str(plan.id), error=type(error).__name__)
        failure = Ending(Outcome.FAILED, Message("database_rejected_monday", quote=_sentence_of(error)))
        # That a related record was deleted meanwhile is no fault of the value.
        refused = _refused_fields(before) if before and not isinstance(error.__cause__, ForeignKeyViolation) else []
        if before and refused:
            for field_plan in refused:
                field_plan.block(BlockedCode.INVALID, failure.detail)
            vars(plan).update(vars(before))
            return _settle_record(facts, plan, locked, pause, board_now)
    else:
        failure = None
    if failure:
        plan.start_anew(failure)
    return None if failure else settled


def _refused_fields(plan: RecordPlan) -> list[FieldPlan]:
    """Return the fields whose new values NPD's database refuses, by itself or beside those before it."""
    model = type(plan.record)
    with transaction.atomic():
        refused = [
            field_plan
            for field_plan in plan.fields.values()
            if _refusal_of(plan, update_values(model, field_plan.pull_raw or {}))
        ]
        transaction.set_rollback(True)
    return refused


def _refusal_of(plan: RecordPlan, values: Mapping[str, Any]) -> DatabaseError | None:
    """Write these values of a record in a savepoint of its own; return why NPD's database refuses them."""
    if not values:
        return None
    try:
        with transaction.atomic():
            type(plan.record).objects.filter(pk=plan.id).update(**values)
    except OperationalError:  # a lock or the connection, so the record isn't at fault
        raise
    except DatabaseError as error:
        return error
    return None


def _delete_record(plan: RecordPlan) -> Ending | None:
    """Delete a record because its item was removed, in a savepoint of its own; return how it ends instead, if so."""
    obstacle, loss = deletion_obstacles(plan.record)
    if plan.removal and removed_items.deletion_must_wait(plan.removal, loss):
        return Ending(Outcome.RELEASED, CHANGED)
    if not obstacle:
        try:
            with transaction.atomic():
                copy(plan.record).delete()
        except OperationalError:
            raise
        except DatabaseError as error:
            obstacle = Message("database_rejected", quote=_sentence_of(error))
    removed_items.take_deletion_result(plan, obstacle)
    return None


def _sentence_of(error: DatabaseError) -> str:
    return without_secrets(str(error).strip().splitlines()[0])


def _store_approvals(
    run: pass_run.PassRun, decided: Plan, states_after: Mapping[ApprovalRequest, ApprovalState]
) -> None:
    """Store new requests for approval, and end those that were decided or no longer apply."""
    removed = [record_plan for record_plan in decided.records.values() if record_plan.removal]
    rejected = [plan.id for plan in removed if plan.facts.removal and plan.facts.removal.is_rejection_new]
    # The pass no longer deletes these records.
    kept = [plan.id for plan in removed if plan.removal and plan.removal.keeps_record]
    outdated = [request.pk for request in decided.outdated_requests]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type)
    deletions = requests.filter(kind=ApprovalKind.RECORDS)
    _end_requests(deletions.filter(entity_id__in=rejected), ApprovalState.KEPT, [ApprovalState.REJECTED])
    _end_requests(deletions.filter(entity_id__in=kept), ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    _end_requests(requests.filter(pk__in=outdated), ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    for state, ended in grouped(states_after, lambda request: states_after[request]).items():
        # Those that a person decided meanwhile are left to the next pass.
        undecided = {request.state for request in ended}
        _end_requests(requests.filter(pk__in=[request.pk for request in ended]), state, undecided)
    new_deletions = [record_plan.approval for record_plan in decided.records.values() if record_plan.approval]
    ApprovalRequest.objects.bulk_create([*new_deletions, *new_clear_requests(decided, ApprovalState.PENDING)])


def _end_requests(requests: models.QuerySet[ApprovalRequest], state: str, from_states: Iterable[str]) -> None:
    requests.filter(state__in=list(from_states)).update(state=state, at=SyncNow())


def _write_dependent_rows(
    run: pass_run.PassRun,
    facts: PassFacts,
    record_plans: Sequence[RecordPlan],
    stored_states: Mapping[str, SyncMetadata],
) -> None:
    """Write the rows that depend on the records, for all records together; `stored_states` are locked.

    This comes before the jobs end: ending a job closes requests that were carried out, and rejects the choices that are
    still stored if a record has failed for the last time.
    """
    dependents.follow_removals(run, record_plans)
    dependents.store_write_loops(run, facts.now, record_plans)
    for record_plan in record_plans:
        duplicates.add_shown_values(run.board, record_plan)
    reports = []
    by = who_ends_conflicts(record_plans)
    for record_plan in record_plans:
        for report in conflict_reports.conflict_reports(record_plan):
            report.by = by.get(record_plan.id, "")
            _add_editors(run, record_plan, report)
            reports.append(report)
    kept = [record_plan for record_plan in record_plans if not record_plan.is_deleted]
    conflicts = {record_plan.id: record_plan.open_conflicts for record_plan in kept} | save_reports(reports)
    items_and_deletions.finish_deleted_by_pass(run, [plan for plan in record_plans if plan.is_deleted])
    for record_plan in kept:
        sync_state = record_plan.sync_state
        before = stored_states[str(record_plan.id)]
        complete_sync_state(record_plan, before, facts.now, conflicts[record_plan.id])
        sync_state.pk = before.pk
        sync_state.sync_batch_id = run.batch_id
        sync_state.sync_duration_ms = int((time.monotonic() - run.started) * 1000)
        sync_state.api_calls_count = run.calls
    of_pass = ("sync_batch_id", "sync_duration_ms", "api_calls_count")
    db.update_many([record_plan.sync_state for record_plan in kept], [*STORED, *of_pass])
    dependents.store_awaited(run, kept)
    dependents.enqueue_pointing(run, kept, stored_states)
    dependents.follow_links(run, kept)
    dependents.list_asked_items(run, kept)
    dependents.enqueue_in_question(run, kept, conflicts)


def _add_editors(run: pass_run.PassRun, plan: RecordPlan, report: ConflictReport) -> None:
    """Add to a report about fields who wrote Monday's values: whom the newest event names, if it has this value.

    If it has another one, the event with the present one was lost.
    """
    if report.kind != ConflictKind.FIELDS or not report.fields:
        return
    columns = [plan.fields[conflict.key].mapping.column_id for conflict in report.fields]
    events = WebhookEvent.objects.filter(board_id=run.board.link.board_id, item_id=report.monday_item_id)
    newest_events = list(events.filter(column_id__in=columns).order_by("-received_at")[:MAX_EVENTS_OF_CONFLICT])
    editors = {}
    for conflict in report.fields:
        field_plan = plan.fields[conflict.key]
        value = field_plan.converter.canonical_remote(field_plan.remote_raw)
        change = plan.cell(run.board, field_plan.mapping, newest_events).newest_change
        if change and change.matches(value, field_plan.remote_raw):
            settings = run.board.settings
            if who := authors.monday_editor(change.user_id, settings.people, settings.token_user):
                editors[conflict.key] = {"who": who, "at": change.at.isoformat()}
    report.editors = editors
