"""Settle, the one writer: what a pass did becomes NPD's truth, in transactions under the lease.

A pass is settled once, by compare-and-set, all of it in one transaction; in others before it problems of columns, and
creates without an answer. What a plan rests on may have changed since it was gathered: it is checked again where it is
written, and where it is no longer so the job goes back, for its next pass to decide anew.

It stays whole, for nothing else of a pass writes rows but what act announces: who asks what a pass may write, and what
of it is written together, reads one module.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial, reduce
from operator import or_
from typing import Any
from uuid import UUID

import pghistory
import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, OperationalError, models, transaction

from conflicts.reports import KIND_IDENTITY, ConflictReport
from conflicts.store import close_identity_conflicts, reject_resolutions, save_reports
from sync import choices, registry
from sync.boards import board_columns
from sync.boards.board_columns import set_create_obstacle
from sync.clock import SyncNow, sync_now
from sync.kernel import grouped
from sync.kernel.db import fetch_rows, retry_on_lock_timeout, run_sql, update_many
from sync.kernel.messages import RestoreError
from sync.limits import write_stop
from sync.models import (
    ApprovalRequest,
    AwaitedRelation,
    BoardLink,
    Decision,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
    WriteLoop,
)
from sync.models.state import approval_payload_key, fold_alike
from sync.outbox import finish, notify
from sync.outbox.claim import Lease, claim_records
from sync.outbox.pauses import locked_pause
from sync.outbox.queue_rows import enqueue
from sync.reconcile import deleted_records, field_values, gather, identity, new_items, pass_plan, settlement
from sync.reconcile.changes import RecordChanges, answered_values, record_changes
from sync.reconcile.duplicates import after_copy_answers, copy_reports, is_asked
from sync.reconcile.facts import HistoryLine, InspectedColumns
from sync.reconcile.lookups import load_board
from sync.reconcile.lost_updates import lost_lines, seen_after
from sync.reconcile.pass_history import PassHistory, cause_of_claim
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import ended_requests, has_local_writes, new_clear_requests
from sync.reconcile.unconfirmed_writes import CreatePlan, Fate, may_link
from sync.records import unmatched_items
from sync.records.approvals import OPEN_REQUEST_STATES, release_obsolete
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import exclude_match, ignore_item
from sync.records.tombstones import NEW_ITEM, enqueue_tombstones, restore_record, set_late_item
from sync.registry import relation_of, target_of

log = structlog.get_logger(__name__)

_SETTLING = "SELECT set_config('npd.settling', %s, true)"
"""Tells the triggers of these records' table that their pass is writing (sync/kernel/triggers.py)."""


@dataclass(frozen=True)
class PassRun:
    """A pass as it is stored: under which lease, of which board, and what its rows say of it."""

    lease: Lease
    board: field_values.BoardContext
    batch_id: UUID
    started: float  # monotonic
    read_request: str = ""  # the id of the request that read Monday
    calls: int = 0  # that went to Monday
    hold_seconds: float = 0  # writes are stopped for so long: what could not be sent waits

    @property
    def link(self) -> BoardLink:
        return self.board.link

    @property
    def entity_type(self) -> str:
        return self.board.link.entity_type

    @property
    def records(self) -> models.QuerySet[SyncedModel]:
        return self.board.model._default_manager.all()

    def wake(self, ids: Iterable[UUID] = (), priority: choices.Priority = choices.Priority.EDIT, **job: Any) -> None:
        """Let these records, or items, have another pass; it follows from this one where `job` has no other cause."""
        enqueue(self.entity_type, ids, **{"cause": choices.Cause.DEPENDENCY, "priority": priority, **job})

    def log_decision(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **columns: str
    ) -> None:
        """Write a line into the history of a record that is not in the pass itself."""
        Decision.objects.create(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.batch_id,
            cause=cause,
            **columns,
        )

    def store_history(self, plans: Sequence[pass_plan.RecordPlan]) -> None:
        history = PassHistory(self.board, plans, self.batch_id, self.read_request)
        Decision.objects.bulk_create(fold_alike(history.rows()))


def settle_pass(run: PassRun, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Write what a pass did, by the plan as the answers left it, in one transaction; return how all of it ended.

    Its changes are marked as the sync's. Raises LeaseLost when another worker has the board.
    """
    context = undo_context(plan.records.values())

    def attempt() -> pass_plan.Plan:
        with pghistory.context(cause="sync", batch=str(run.batch_id), **context), run.lease.transaction():
            _lock_records(run, plan)
            if plan.answers:
                _settle_answers(run, plan)
            settled = _end_open(_settle_duplicates(run, _settle_items(run, plan)))
            if settled.deleted or settled.other_jobs:
                settled = settled.with_deleted(_settle_deleted(run, settled))
            return _settle_records(run, facts, settled) if settled.records else settled

    return retry_on_lock_timeout(attempt)


def _lock_records(run: PassRun, plan: pass_plan.Plan) -> None:
    """Lock all records of which the pass may write, in the order of their ids, before any other row."""
    if not (plan.answers or plan.items or plan.deleted):
        return  # the claimed ones alone: they are locked where they are read
    named, _, _ = identity.named_in(plan.answers)
    ids = {*plan.records, *named}.union(*(item.names for item in plan.items))
    list(run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk").values_list("pk"))
    _lock_failed_jobs(run, plan)


def _lock_failed_jobs(run: PassRun, plan: pass_plan.Plan) -> None:
    """Lock the jobs of records of which one has failed, in the order of their ids, and before the sync state.

    A retry locks a failed job, then the one that takes its place, and a discard the sync state after it: as both give
    way after a moment, one that met a pass in the middle would be told that somebody holds on to its rows.
    """
    failed = [record_plan.id for record_plan in plan.records.values() if record_plan.facts.has_failed_job]
    if failed:
        states = (choices.QueueStatus.FAILED, choices.QueueStatus.PENDING)
        jobs = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=failed, status__in=states)
        list(jobs.select_for_update().order_by("pk").values_list("pk"))


def _end_open(plan: pass_plan.Plan) -> pass_plan.Plan:
    """End what the pass went through to the end; of a new item that has its name alone the other fields follow."""
    ended = []
    for record_plan in plan.records.values():
        if record_plan.answer.is_bare and record_plan.answer.item is not None:
            detail = "Its item was created; the other fields follow."
            ended.append(record_plan.end(pass_plan.Outcome.RELEASED, detail))
        elif record_plan.is_open:
            ended.append(record_plan.end(pass_plan.Outcome.SETTLED))
    return plan.with_records(ended)


# How a pass ends its jobs, its intents and its events.


APPROVAL = approval_payload_key("")
"""In the payload of a job whose delete a person approved or rejected."""


def end_jobs(run: PassRun, jobs: Iterable[pass_plan.Job]) -> None:
    """End what was claimed, in the caller's transaction under the lease."""
    token = run.lease.token
    decided = []
    together: dict[pass_plan.Ending, list[SyncQueue]] = {}
    for claim, ended in jobs:
        if ended.outcome is pass_plan.Outcome.FAILED:
            wait = ended.wait_seconds
            is_final = finish.fail(list(claim.rows), token, ended.detail, at_most=ended.at_most, wait_seconds=wait)
            if is_final and claim.entity_id is not None:
                reason = f"Your resolution could not be applied: {ended.detail}"
                reject_resolutions(run.entity_type, [claim.entity_id], reason)
        elif not ended.is_open:  # a second item's job ends with what became of its calls
            together.setdefault(ended, []).extend(claim.rows)
        if claim.entity_id and APPROVAL in claim.payload:
            decided.append(claim.entity_id)
    for ended, rows in together.items():
        if ended.outcome is pass_plan.Outcome.SETTLED:
            finish.complete(rows, token, ended.detail)
        elif ended.outcome is pass_plan.Outcome.DEFERRED:
            times = {"rounds": ended.rounds, "at_most": ended.at_most}
            finish.defer(rows, token, ended.wait_seconds, ended.detail, **times)
        elif run.hold_seconds and ended.detail == write_stop.HELD:
            finish.defer(rows, token, run.hold_seconds, ended.detail, at_most=None)
        else:
            finish.release(rows, token, ended.detail, at_most=ended.at_most)
    # What a person approved or rejected says at once that it was carried out.
    if decided:
        release_obsolete(decided)


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def end_intents(answered: Iterable[pass_plan.RecordPlan], settled: Sequence[pass_plan.RecordPlan]) -> None:
    """Store that intents were answered, with the item that each was about; older ones were found out about."""
    applied = [(plan.answer.intent, plan) for plan in answered if plan.answer.intent and plan.answer.item]
    if applied:
        columns: list[Any] = [
            [intent.pk for intent, _ in applied],
            [plan.item_id for _, plan in applied],
            [intent.request_id for intent, _ in applied],
            [json.dumps(answered_values(plan)) if plan.plans else None for _, plan in applied],
        ]
        run_sql(_UPDATE_APPLIED, columns)
    older: dict[IntentState, list[UUID]] = {IntentState.CONFIRMED: [], IntentState.VOID: []}
    for plan in settled:
        for intent in plan.facts.intents:
            state = IntentState.CONFIRMED if intent.pk in plan.landed_intents else IntentState.VOID
            older[state].append(intent.pk)
    for state, ids in older.items():
        Intent.objects.filter(pk__in=ids).update(state=state, settled_at=SyncNow())


def _end_events(outcome: str, **events: Any) -> None:
    WebhookEvent.objects.filter(processed_at=None, **events).update(processed_at=SyncNow(), outcome=outcome[:200])


# People's answers to “who is this?”.


def _settle_answers(run: PassRun, plan: pass_plan.Plan) -> None:
    """Carry out what people answered, as far as it still can be: decided anew on rows that are locked."""
    entity_type = run.entity_type
    answers = [replace(answer, done="", outdated="", hands_over=False) for answer in plan.answers]
    named, items, merged = identity.named_in(answers)
    # The answers stay, and the next pass carries them out.
    if merged and locked_pause(entity_type):
        return
    facts = gather.answer_facts(run.board, named, items, merged)
    asked_items: set[str] = set()
    reports = []
    for answer in identity.decide_answers(answers, facts):
        asked_of = plan.records[answer.asked_of]
        item_id = answer.conflict.monday_item_id
        if answer.outdated:
            reason = f"It could not be done: {answer.outdated}"
            reject_resolutions(entity_type, [answer.asked_of], reason, only=answer.conflict.conflict_id)
            run.wake(items=[item_id], priority=choices.Priority.PERSON)
        elif answer.done:
            _carry_out_answer(run, asked_of, answer)
            reports.append(settlement.identity_report(asked_of, answer.conflict, answer.done))
            asked_items |= {item_id, *(asked_of.ledger.asked_items or ())}
    if reports:
        save_reports(reports)
        # Records that waited for the same answer say so until their next pass.
        run.wake(_records_asking(entity_type, sorted(asked_items - {""})) - plan.records.keys())


def _carry_out_answer(run: PassRun, asked_of: pass_plan.RecordPlan, answer: pass_plan.IdentityAnswer) -> None:
    entity_type = run.entity_type
    by = asked_of.facts.by
    if answer.kind is pass_plan.AnswerKind.MERGE:
        _merge_records(run, answer, by)
    elif answer.kind is pass_plan.AnswerKind.LINK and answer.record_id is not None:
        run.records.filter(pk=answer.record_id).update(monday_id=answer.item_id)
        # What was remembered against the item is overruled.
        IgnoredItem.objects.filter(entity_type=entity_type, item_id=answer.item_id).delete()
        cause = cause_of_claim(asked_of.facts.claim)
        run.log_decision(answer.record_id, answer.item_id, "link", answer.done, actor=by, cause=cause)
        if answer.record_id != answer.asked_of:
            run.wake([answer.record_id], choices.Priority.PERSON)
    elif answer.kind is pass_plan.AnswerKind.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_of]).update(made_from_item=False)
    elif answer.kind is pass_plan.AnswerKind.NEW_RECORD:
        # It stays remembered: none of the records with its key is to find it by that key again.
        reason = "A person said that it is none of the records with the same key."
        ignore_item(entity_type, answer.item_id, None, reason)
        unmatched_items.reopen_items(run.link, [unmatched_items.UnmatchedFinding(answer.item_id)])
        wish = {unmatched_items.AS_NEW: True, "by": by}
        priority = choices.Priority.PERSON
        run.wake(items=[answer.item_id], priority=priority, cause=choices.Cause.PERSON, payload=wish)
    elif answer.kind is pass_plan.AnswerKind.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, "A person said that it has nothing to do with NPD.")


def _merge_records(run: PassRun, answer: pass_plan.IdentityAnswer, by: str) -> None:
    assert answer.made_id is not None
    assert answer.record_id is not None
    made = run.records.get(pk=answer.made_id)  # an answer before this one may have given it its item
    copy(made).delete()
    if answer.hands_over:
        run.records.filter(pk=answer.record_id).update(monday_id=made.monday_id)
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (answer.made_id, answer.record_id):
        run.log_decision(entity_id, made.monday_id or "", "link", answer.done, actor=by, cause=cause)
    run.wake([answer.record_id], choices.Priority.PERSON)


def _records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}


# What is found of a column is stored at once, and not with the records: it is about the board and all its records, of
# which whole tables are updated (no pass holds its own records' locks meanwhile), and it stands whatever becomes of
# this pass.


def store_columns(link: BoardLink, columns: InspectedColumns) -> None:
    mappings = {mapping.key: mapping for mapping in link.mappings.all()}
    for key in columns.healed:
        if key in mappings:
            board_columns.set_problem(link, mappings[key], None)
    if columns.shown is not None:
        board_columns.check_columns(link, columns.shown)
    for key in columns.hidden:
        if key in mappings:
            board_columns.set_hidden(link, mappings[key])


# Items that no record has.


def _settle_items(run: PassRun, plan: pass_plan.Plan) -> pass_plan.Plan:
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
        item_plan = new_items.item_as_locked(planned, *gather.item_now(run.board, planned))
    if item_plan.act is pass_plan.ItemAct.CREATE:
        item_plan = _with_record_stored(run, item_plan)
    _write_item(run, item_plan)
    facts = item_plan.facts
    if item_plan.outcome is pass_plan.Outcome.SETTLED and not item_plan.woken and facts.item_id not in deleted_items:
        _end_events(item_plan.ending.detail, pk__in=facts.new_events)
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
        run.wake(set(closed) | _records_asking(entity_type, [item_id]))
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
        run_sql(_SETTLING, [str(record.pk)])
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


# Second items of linked records.


def _settle_duplicates(run: PassRun, plan: pass_plan.Plan) -> pass_plan.Plan:
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
            _end_events(duplicate.ending.detail, item_id=item_id)
    unmatched_items.clear_unmatched(
        run.entity_type, {duplicate.item.id for duplicate in ended if not is_asked(duplicate)}
    )
    save_reports(list(copy_reports(run.board, plan, settled)))
    end_jobs(run, [(duplicate.facts.claim, duplicate.ending) for duplicate in second_items.values()])
    plan = replace(plan, items=tuple(second_items.get(item.facts.item_id, item) for item in plan.items))
    return after_copy_answers(plan, settled)


# Creates without an answer.


def settle_creates(lease: Lease, board: field_values.BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Store what became of the creates of one document, and count the attempts that failed; raises LeaseLost."""

    def store() -> None:
        with lease.transaction():
            _link_created(board, [plan for plan in plans if plan.fate is Fate.LINK])
            for (fate, seconds), alike in grouped(plans, lambda plan: (plan.fate, plan.wait_seconds)).items():
                intents = Intent.objects.filter(pk__in=[plan.intent.pk for plan in alike])
                if fate is Fate.VOID:
                    intents.update(state=IntentState.VOID, lookups=1, settled_at=SyncNow())
                elif fate is not Fate.LINK:
                    looked_for = {} if fate is Fate.WAIT else {"lookups": 1}
                    intents.update(deadline=SyncNow() + timedelta(seconds=seconds), **looked_for)

    retry_on_lock_timeout(store)
    if failed := sorted((plan.intent.entity_id, plan.detail) for plan in plans if plan.fate is Fate.FAIL):
        _count_attempts(lease, dict(failed))


def _link_created(board: field_values.BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Link records with what was made for them; of one that was deleted, the tombstone learns the item."""
    made = {plan.intent.entity_id: plan.item.id for plan in plans if plan.item is not None}
    if not made:
        return
    entity_type = board.link.entity_type
    records = board.model._default_manager
    rows = records.select_for_update(of=("self",)).filter(pk__in=made).order_by("pk")
    locked = {record.pk: record for record in rows}
    owners = dict(records.filter(monday_id__in=made.values()).values_list("monday_id", "pk"))
    linked: list[Intent] = []
    others: list[Intent] = []
    for intent in (plan.intent for plan in plans):
        key = intent.entity_id
        item_id = made[key]
        if may_link(locked.get(key), key, owners.get(item_id)):
            locked[key].monday_id = item_id
            linked.append(Intent(pk=intent.pk, entity_id=key, item_id=item_id))
            continue
        others.append(intent)
        if item_id not in owners:
            set_late_item(entity_type, key, item_id)
    update_many([locked[intent.entity_id] for intent in linked], ["monday_id"])
    update_many(linked, ["item_id"])
    Intent.objects.filter(pk__in=[intent.pk for intent in linked]).update(deadline=SyncNow())
    ended = Intent.objects.filter(pk__in=[intent.pk for intent in others])
    ended.update(state=IntentState.CONFIRMED, settled_at=SyncNow())
    # Its pass settles the rest, whatever its job waits for or has ended as.
    enqueue(entity_type, sorted(locked), cause=choices.Cause.DEPENDENCY, priority=choices.Priority.EDIT)


def _count_attempts(lease: Lease, failed: Mapping[UUID, str]) -> None:
    """Let an attempt of each of these records fail; a job that a save has locked is spared."""
    claims = list(zip(claim_records(lease, list(failed)), failed.values(), strict=True))

    def count() -> None:
        with lease.transaction():
            for place, (claim, reason) in enumerate(claims):
                if claim.rows:
                    wait = write_stop.wait_for_turn(place)
                    finish.fail_unsettled(claim.rows, lease.token, reason, wait_seconds=wait)

    retry_on_lock_timeout(count)


# Deleted records: tombstones, questions, history, intents and jobs.


def _settle_deleted(run: PassRun, plan: pass_plan.Plan) -> list[pass_plan.DeletedPlan]:
    """Store what became of the pass's deleted records and end their jobs."""
    planned = list(plan.deleted.values())
    entity_type = run.entity_type
    rows = Tombstone.objects.select_for_update().filter(pk__in=[deleted.facts.tombstone.pk for deleted in planned])
    tombstones = {row.entity_id: row for row in rows.order_by("pk") if row.state != choices.TombstoneState.RESTORED}
    pause = locked_pause(entity_type) if any(deleted.restores for deleted in planned) else ""
    locked = [
        deleted_records.deleted_as_locked(deleted, pause, is_there=deleted.id in tombstones) for deleted in planned
    ]
    settled = [_restored(run, deleted, tombstones[deleted.id]) if deleted.restores else deleted for deleted in locked]
    now = sync_now()
    changed = [deleted for deleted in settled if deleted.id in tombstones]
    after = [deleted_records.tombstone_after(deleted, tombstones[deleted.id], now) for deleted in changed]
    update_many(after, ["state", "settled_at", "note", "reason_code"])
    for deleted in changed:
        if deleted.new_state == choices.TombstoneState.UNLINKED and deleted.item_id:
            reason = f"Its record “{deleted.facts.record}” was deleted in NPD, and the item was unlinked."
            ignore_item(entity_type, deleted.item_id, deleted.id, reason)
    freed = [deleted.item_id for deleted in changed if deleted.frees_item and deleted.item_id]
    run.wake(items=freed, due_in_seconds=UNMATCHED_ITEM_WAIT_SECONDS)
    # The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked.
    ledgers = [ledger for deleted in changed if (ledger := deleted_records.ledger_after(deleted)) is not None]
    names = ["conflicts", "asked_items", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(ledgers, update_conflicts=True, unique_fields=key, update_fields=names)
    # What went is counted already, and what didn't is decided anew.
    ended = [deleted for deleted in settled if deleted.ending.outcome is pass_plan.Outcome.SETTLED]
    ApprovalRequest.objects.bulk_create(deleted_records.new_removal_requests(ended))
    save_reports([report for deleted in settled for report in deleted_records.deletion_reports(deleted)])
    plans = [deleted_records.with_its_history(deleted) for deleted in settled]
    run.store_history(plans)
    end_intents(plans, [record_plan for record_plan in plans if record_plan.is_settled])
    # A record that is there again is told by its own pass what was lost.
    still_deleted = {deleted.id for deleted in locked if deleted.id in tombstones and not deleted.restores}
    checked = [deleted for deleted in ended if deleted.id in still_deleted]
    events = [event.pk for deleted in checked for event in deleted.facts.events]
    _end_events(f"processed in pass {run.batch_id}", pk__in=events)
    end_jobs(run, [*((deleted.facts.claim, deleted.ending) for deleted in settled), *plan.other_jobs])
    return settled


def _restored(run: PassRun, plan: pass_plan.DeletedPlan, tombstone: Tombstone) -> pass_plan.DeletedPlan:
    """Store the record again as a person chose; a person is asked anew where NPD can't take it back."""
    restored = deleted_records.after_restoring(plan)
    try:
        restore_record(tombstone, item_id=plan.item_to_keep or NEW_ITEM, sentence=restored.reason)
    except RestoreError as error:
        policy = choices.DeletedRecordPolicy(run.board.link.deleted_record_policy)
        return deleted_records.ask_about_deletion(plan, policy, str(error))
    return restored


# The rows of the sync state of a pass: locked, brought up to date, stored in one statement.


_COLUMNS = (
    *("base", "altered", "blocked_fields", "note", "remote_state", "seen", "removed_since", "removed_passes"),
    *("remote_id", "sync_batch_id", "sync_duration_ms", "api_calls_count", "sync_direction"),
    *("conflicts", "asked_items", "left_out", "error_count", "last_error"),
)

_UPDATE = f"""
    UPDATE sync_metadata AS ledger
    SET {", ".join(f"{name} = seen.{name}" for name in _COLUMNS)}, last_sync_attempt = sync_now()
    FROM jsonb_populate_recordset(NULL::sync_metadata, %s::jsonb) AS seen
    WHERE ledger.id = seen.id
"""  # noqa: S608 - made of the names above


def lock_ledgers(entity_type: str, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' sync state rows in the order of their ids, made where they are missing."""
    rows = SyncMetadata.objects.of(entity_type, ids).select_for_update().order_by("entity_id")
    locked = {row.entity_id: row for row in rows}
    # Nearly all are there, and to INSERT all of them took a quarter of a pass over unchanged records.
    if missing := [key for key in map(str, ids) if key not in locked]:
        made = [SyncMetadata(entity_type=entity_type, entity_id=key, system="monday") for key in missing]
        SyncMetadata.objects.bulk_create(made, ignore_conflicts=True)
        locked = {row.entity_id: row for row in rows.all()}
    return locked


# The records that are there: by compare-and-set.


def _settle_records(run: PassRun, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    ids = sorted(plan.records)
    run_sql(_SETTLING, [",".join(str(pk) for pk in ids)])
    # A related record that was deleted meanwhile is this record's failure, and not the commit's.
    run_sql("SET CONSTRAINTS ALL IMMEDIATE")
    locked = {r.pk: r for r in run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    _lock_failed_jobs(run, plan)
    ledgers = lock_ledgers(run.entity_type, ids)
    _settle_claimed(
        run, facts.linked_items, [record_plan for record_plan in plan.records.values() if record_plan.id in locked]
    )
    # `pause` waits for our end.
    paused = locked_pause(run.entity_type) if any(map(has_local_writes, plan.records.values())) else ""
    rests_on_settings = any(
        has_local_writes(record_plan) or record_plan.removal for record_plan in plan.records.values()
    )
    now = load_board(run.link, settings_now=run.board.settings) if rests_on_settings else None
    changes = []
    for key, record_plan in plan.records.items():
        planned = record_changes(run.board, record_plan, locked.get(key), facts.now, paused, now)
        changes.append(_write_record(record_plan, planned))
    present = {change.plan.id: change.plan for change in changes if change.is_there}
    shown = [change.plan.id for change in changes if change.plan.answer.item is not None]
    over = ended_requests(plan.with_records(present.values()), shown)
    ended = [(request, state) for request, state, record_plan in over if record_plan.id in present]
    for request, state in ended:
        if state is choices.ApprovalState.RELEASED:
            line = HistoryLine("approval", f"Nothing waits for approval any more: {request.label}.", request.key)
            present[request.entity_id] = present[request.entity_id].logged(line)
    for key, record_plan in present.items():
        seen_values = seen_after(record_plan, run.board.settings, facts.now)
        present[key] = record_plan.logged(*lost_lines(record_plan)).with_state(seen=seen_values)
    changes = [replace(change, plan=present.get(change.plan.id, change.plan)) for change in changes]
    _write_changes(run, facts, plan, changes, ledgers, ended)
    return plan.with_records(change.plan for change in changes)


def _write_record(planned: pass_plan.RecordPlan, changes: RecordChanges) -> RecordChanges:
    """Write one record; return what is so then.

    Each has a savepoint of its own: what NPD refuses is that record's failure alone, and only its database can tell.
    """
    record = changes.plan.record
    if changes.deletes:
        needed, loss = gather.deletion_obstacles(record)
        changes = changes.before_deletion(loss)
        return changes.after_deletion(needed or _delete(record)) if changes.deletes else changes
    if not changes.values:
        return changes
    try:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**changes.values)
    except OperationalError:
        raise
    except DatabaseError as error:
        log.warning("record not written", record=str(record.pk), error=type(error).__name__)
        refusal = str(error).strip().splitlines()[0]
        detail = f"NPD's database rejected what came from Monday: {refusal}"
        return RecordChanges(planned.drop(pass_plan.Outcome.FAILED, detail))
    return changes


def _delete(record: SyncedModel) -> str:
    """Delete the record in NPD; return why it can't be deleted, in words."""
    try:
        with transaction.atomic():
            copy(record).delete()
    except OperationalError:
        raise
    except (models.ProtectedError, models.RestrictedError, DatabaseError) as error:
        return f"NPD's database rejected it: {str(error).splitlines()[0]}"
    return ""


# What the settle transaction writes for all records together.


def _write_changes(
    run: PassRun,
    facts: pass_plan.PassFacts,
    plan: pass_plan.Plan,
    changes: Sequence[RecordChanges],
    ledgers: Mapping[str, SyncMetadata],
    ended: Sequence[tuple[ApprovalRequest, choices.ApprovalState]],
) -> None:
    """Write what hangs on the records: `ledgers` are the locked rows, `ended` the requests for approval that end."""
    present = [change.plan for change in changes if change.is_there]
    existing = [record_plan for record_plan in present if not record_plan.is_deleted]
    for change in changes:
        item = change.plan.answer.item
        if not change.is_there and item is not None:
            # Of a record that was deleted while its item was made, the tombstone learns the item.
            set_late_item(run.entity_type, change.plan.id, item.id)
        for job in change.wakes:
            run.wake([change.plan.id], **job)
        for item_id, reason in change.ignored.items():
            ignore_item(run.entity_type, item_id, change.plan.id, reason)
        for item_id, reason in change.excluded.items():
            exclude_match(run.entity_type, item_id, change.plan.id, reason)
    _store_approvals(run, plan, ended)
    _store_write_loops(run, facts, present)
    save_reports([report for record_plan in present for report in settlement.conflict_reports(record_plan)])
    _finish_deleted(run.entity_type, [record_plan for record_plan in present if record_plan.is_deleted])
    rows = _store_ledgers(run, facts, existing, ledgers)
    _store_awaited(run, existing)
    _enqueue_pointing(run, _no_longer_awaited(existing, ledgers))
    if linked_items := [record_plan.link_to for record_plan in existing if record_plan.link_to]:
        enqueue_tombstones(run.entity_type, linked_items)
    # Items among which a record's question lets choose are asked about there, and not listed as unmatched beside it.
    questions = [record_plan.identity.question for record_plan in existing if record_plan.identity.question]
    candidates = [candidate["id"] for question in questions for candidate in question["candidates"]]
    unmatched_items.clear_unmatched(run.entity_type, candidates)
    _finish_jobs(run, changes)
    run.store_history(present)
    _write_statuses(run, existing, rows)


def _settle_claimed(run: PassRun, known_items: Sequence[str], present: Sequence[pass_plan.RecordPlan]) -> None:
    """No item of theirs is unmatched, and none of them is deleted."""
    if known_items:
        # Its webhook may have come while it was being linked.
        unmatched_items.clear_unmatched(run.entity_type, known_items)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    created = [
        record_plan.id
        for record_plan in present
        if any(row.operation != choices.Operation.UPDATE for row in record_plan.facts.claim.rows)
    ]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=run.entity_type, entity_id__in=created)
        tombstones.exclude(state=choices.TombstoneState.RESTORED).update(
            state=choices.TombstoneState.RESTORED,
            settled_at=SyncNow(),
            note="The record is there again.",
            reason_code="",
        )


def _store_approvals(
    run: PassRun, plan: pass_plan.Plan, ended: Iterable[tuple[ApprovalRequest, choices.ApprovalState]]
) -> None:
    """Count what is deleted or emptied, store what waits, and end the requests that are over."""
    removals = {record_plan.id: record_plan.removal for record_plan in plan.records.values() if record_plan.removal}
    rejected = [pk for pk, removal in removals.items() if removal.was_rejected]
    # A pass found that it wants none of this kind any more.
    reopened = [pk for pk, removal in removals.items() if removal.approval == choices.ApprovalState.RELEASED]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type)
    deletions = requests.filter(kind=choices.ApprovalKind.RECORDS)
    _end_requests(
        deletions.filter(entity_id__in=rejected), choices.ApprovalState.KEPT, [choices.ApprovalState.REJECTED]
    )
    _end_requests(deletions.filter(entity_id__in=reopened), choices.ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    outdated = [request.pk for request in plan.outdated_requests]
    _end_requests(requests.filter(pk__in=outdated), choices.ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    for state, of_state in grouped(ended, lambda pair: pair[1]).items():
        # Only those that nobody decided meanwhile: the next pass ends the others.
        undecided = {request.state for request, _ in of_state}
        _end_requests(requests.filter(pk__in=[request.pk for request, _ in of_state]), state, undecided)
    waiting = new_clear_requests(plan, choices.ApprovalState.PENDING)
    ApprovalRequest.objects.bulk_create([*new_deletion_requests(plan), *waiting])


def _end_requests(requests: models.QuerySet[ApprovalRequest], state: str, before: Iterable[str]) -> None:
    requests.filter(state__in=list(before)).update(state=state, at=SyncNow())


def _store_write_loops(run: PassRun, facts: pass_plan.PassFacts, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Store what was counted, forget what is over, and come back when a pause ends."""
    loops = [loop for record_plan in plans if record_plan.is_settled for loop in record_plan.loops.values()]
    if over := [models.Q(entity_id=loop.entity_id, key=loop.key) for loop in loops if not loop.times]:
        WriteLoop.objects.filter(reduce(or_, over), entity_type=run.entity_type).delete()
    WriteLoop.objects.bulk_create(
        [loop for loop in loops if loop.times and loop._state.adding],
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttle_count", "throttled_until"],
    )
    throttled = {(loop.throttled_until, loop.entity_id) for loop in loops if loop.throttled_until}
    for until, alike in grouped(sorted(throttled), lambda pair: pair[0]).items():
        wait = max((until - facts.now).total_seconds(), 0) + 1
        later = {"direction": choices.QueueDirection.TO_NPD, "due_in_seconds": wait}
        run.wake([record_id for _, record_id in alike], choices.Priority.SWEEP, cause=choices.Cause.SWEEP, **later)


def _store_ledgers(
    run: PassRun,
    facts: pass_plan.PassFacts,
    existing: Sequence[pass_plan.RecordPlan],
    ledgers: Mapping[str, SyncMetadata],
) -> dict[UUID, dict[str, Any]]:
    """Store what the records' sync state says; return the rows, by record."""
    of_pass = {
        "sync_batch_id": run.batch_id,
        "sync_duration_ms": int((time.monotonic() - run.started) * 1000),
        "api_calls_count": run.calls,
    }
    rows = {
        record_plan.id: settlement.ledger_row(record_plan, ledgers[str(record_plan.id)], facts.now) | of_pass
        for record_plan in existing
    }
    if rows:
        # In one statement: Django's bulk_update takes 3 ms a row.
        run_sql(_UPDATE, [json.dumps(list(rows.values()), cls=DjangoJSONEncoder)])
    return rows


def _no_longer_awaited(existing: Sequence[pass_plan.RecordPlan], ledgers: Mapping[str, SyncMetadata]) -> list[UUID]:
    """Return the records whose items are back, or that get none any more: what points at them waits no more."""
    ids = []
    for record_plan in existing:
        before = ledgers[str(record_plan.id)]
        was_gone = before.remote_state not in ("", field_values.ACTIVE)
        is_left_out = record_plan.left_out and not before.left_out and not record_plan.record.monday_id
        if is_left_out or (was_gone and record_plan.ledger.remote_state == field_values.ACTIVE):
            ids.append(record_plan.id)
    return ids


def _finish_jobs(run: PassRun, changes: Sequence[RecordChanges]) -> None:
    """End every record's rows as its outcome says, and what hangs on them."""
    plans = [change.plan for change in changes]
    settled = [record_plan for record_plan in plans if record_plan.is_settled]
    # A settled record says by itself what became of it.
    end_jobs(run, [(plan.facts.claim, pass_plan.SETTLED if plan.is_settled else plan.ending) for plan in plans])
    for change in changes:
        if change.keeps_intent and (intent := change.plan.answer.intent):
            Intent.objects.filter(pk=intent.pk).update(item_id=change.plan.item_id, deadline=SyncNow())
    answered = [change.plan for change in changes if not change.keeps_intent]
    end_intents(answered, [record_plan for record_plan in settled if record_plan.plans])
    checked = [record_plan for record_plan in settled if record_plan.ending.processed or record_plan.item is not None]
    events = [event.pk for record_plan in checked for event in record_plan.facts.events]
    _end_events(f"processed in pass {run.batch_id}", pk__in=events)
    carried_out = [record_plan for record_plan in settled if record_plan.plans or record_plan.is_deleted]
    finish.end_failed(
        run.entity_type, {record_plan.id: record_plan.facts.claim.rows[0].id for record_plan in carried_out}
    )


def _write_statuses(
    run: PassRun, existing: Sequence[pass_plan.RecordPlan], ledgers: Mapping[UUID, Mapping[str, Any]]
) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    ids = [record_plan.id for record_plan in existing]
    open_states = (choices.QueueStatus.PENDING, choices.QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "direction"))
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = {entity_id for entity_id, _, _ in jobs} | set(intents)
    # What was told of an item before its record had it is a job of the item.
    owners = {record_plan.item_id: record_plan.id for record_plan in existing if record_plan.item_id}
    deliveries = SyncQueue.objects.filter(
        entity_type=run.entity_type, entity_id=None, status=choices.QueueStatus.PENDING
    )
    item_ids = list(deliveries.filter(remote_id__in=owners).values_list("remote_id", flat=True))
    with_open_work |= {owners[str(item_id)] for item_id in item_ids}
    if item_ids:
        # They say pending until then.
        wake = partial(notify.notify_board, run.entity_type, UNMATCHED_ITEM_WAIT_SECONDS)
        transaction.on_commit(wake, robust=True)
    to_monday = (choices.QueueStatus.PENDING, choices.QueueDirection.TO_MONDAY)
    saved = {entity_id for entity_id, *job in jobs if tuple(job) == to_monday}
    statuses: dict[UUID, choices.RecordSyncStatus] = {}
    for record_plan in existing:
        key = record_plan.id
        has_open_work = key in with_open_work
        statuses[key] = settlement.sync_status(run.board, record_plan, ledgers[key], has_open_work=has_open_work)
        if record_plan.left_out and key in saved and record_plan.record.may_sync:
            # Somebody saved it meanwhile: its next pass decides anew.
            statuses[key] = choices.RecordSyncStatus.PENDING
    for status, of_status in grouped(statuses, lambda key: statuses[key]).items():
        is_synced = status == choices.RecordSyncStatus.SYNCED
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=of_status).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        stored = SyncMetadata.objects.of(run.entity_type, of_status)
        stored.update(sync_status=settlement.LEDGER_STATUS[status], **settled_at)
    if failed := [entity_id for entity_id, status, _ in jobs if entity_id and status == choices.QueueStatus.FAILED]:
        SyncMetadata.objects.of(run.entity_type, failed).update(sync_status=choices.SyncStatus.FAILED)


def _finish_deleted(entity_type: str, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    ids = [plan.id for plan in plans]
    for plan in plans:
        assert plan.removal is not None
        is_reported = plan.removal.state in pass_plan.REPORTED_STATES
        state = choices.TombstoneState(plan.removal.state) if is_reported else choices.TombstoneState.NOTHING_LEFT
        Tombstone.objects.filter(entity_type=entity_type, entity_id=plan.id).update(
            state=state, note=plan.removal.result, reason_code="", settled_at=SyncNow()
        )
    AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for plan in plans for intent in plan.facts.intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())


# Relations: who waits for whom.
#
# Only the relation waits for a record that has no item yet, or for an item or a name that is no
# record yet, never its record: the field is blocked with its reason, and the triggers of the other
# table enqueue the record (sync/kernel/triggers.py).


AWAIT_RETRY_SECONDS = 60
"""What a relation waits for may come while the pass that says so isn't committed: it is looked for once more."""

_UPSERT_AWAITED = """
    INSERT INTO sync_awaited_relations (id, entity_type, entity_id, key, target_type, target)
    SELECT gen_random_uuid(), %s, entity_id, key, target_type, target
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS told (entity_id, key, target_type, target)
    ORDER BY entity_id, key
    ON CONFLICT (entity_type, entity_id, key) DO UPDATE
    SET target_type = excluded.target_type, target = excluded.target
    WHERE (sync_awaited_relations.target_type, sync_awaited_relations.target)
        IS DISTINCT FROM (excluded.target_type, excluded.target)
    RETURNING entity_id
"""


def _store_awaited(run: PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Write down which relations wait for a record; the others wait no more."""
    planned = {plan.id: plan.plans for plan in plans if plan.plans}
    if not run.board.relations or not planned:
        return
    waiting = settlement.awaited_relations(run.board, planned)
    current = {(entity_id, key) for entity_id, key, _, _ in waiting}
    stored = AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=list(planned))
    outdated = [row.pk for row in stored if (row.entity_id, row.key) not in current]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    if not waiting:
        return
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    new = sorted({row[0] for row in fetch_rows(_UPSERT_AWAITED, [run.entity_type, *columns])})
    run.wake(new, choices.Priority.SWEEP, direction=choices.QueueDirection.TO_NPD, due_in_seconds=AWAIT_RETRY_SECONDS)


def _enqueue_pointing(run: PassRun, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        relations = [relation_of(spec.model, mapping.fields) for mapping in spec.mappings]
        names = [field.name for field in relations if field is not None and target_of(field) is run.board.model]
        if names:
            pointing = reduce(or_, (models.Q(**{f"{name}__in": ids}) for name in names))
            # Only ids, and of one model in one query.
            pks = spec.model._default_manager.filter(pointing).order_by("pk").values_list("pk", flat=True)
            enqueue(spec.entity_type, pks, cause=choices.Cause.DEPENDENCY, priority=choices.Priority.SWEEP)
