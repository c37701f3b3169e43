"""Settle, the one writer: what a pass did becomes NPD's truth, in transactions under the lease.

A pass is settled once, by compare-and-set, all of it in one transaction; in others before it problems of columns, and
creates without an answer. What a plan rests on may have changed since it was gathered: it is checked again where it is
written, and where it is no longer so the job goes back, for its next pass to decide anew.

It stays whole, for nothing else of a pass writes rows but what act announces: who asks what a pass may write, and what
of it is written together, reads one module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any, TypeVar
from uuid import UUID

import pghistory
import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import ProtectedError, Q, QuerySet, RestrictedError

from conflicts.reports import KIND_IDENTITY, ConflictReport
from conflicts.store import close_identity_conflicts, reject_resolutions, save_reports
from sync import registry
from sync.boards import board_columns
from sync.boards.board_columns import set_creates_held
from sync.choices import (
    ApprovalKind,
    ApprovalState,
    Cause,
    DeletedRecordPolicy,
    Operation,
    Priority,
    QueueDirection,
    QueueStatus,
    RecordSyncStatus,
    SyncStatus,
    TombstoneState,
)
from sync.clock import SyncNow, sync_now
from sync.kernel.db import retry_on_lock_timeout, update_many
from sync.kernel.messages import RestoreError
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
from sync.models.jobs import ROUNDS_KEY
from sync.models.state import approval_payload_key, fold_alike
from sync.outbox import finish
from sync.outbox.claim import Lease, claim_records
from sync.outbox.pauses import locked_pause
from sync.outbox.queue_rows import enqueue_item_many, enqueue_many
from sync.reconcile import deleted_records, duplicates, gather, settlement
from sync.reconcile.changes import Changes, RecordChanges, changes, dropped, loops_of, record_changes, statuses
from sync.reconcile.facts import RETURN, InspectedColumns
from sync.reconcile.field_values import BoardContext, match_text_of_item, npd_id_of
from sync.reconcile.identity import ANSWERED, decide_answers, linkable, named_in
from sync.reconcile.new_items import CHANGED_MEANWHILE, after_rejection, item_as_locked, released
from sync.reconcile.pass_plan import (
    GIVING,
    MAX_ROUNDS,
    REPORTED_STATES,
    ROUNDS_WAIT_SECONDS,
    AnswerKind,
    DeletedPlan,
    DuplicateItem,
    IdentityAnswer,
    ItemAct,
    ItemPlan,
    Job,
    Outcome,
    PassFacts,
    Plan,
    RecordPlan,
    ending,
)
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import has_local_writes, new_clear_requests
from sync.reconcile.unconfirmed_writes import CreatePlan, Fate, may_link
from sync.reconcile.writes import NOTHING_SENT, Answers, end_open
from sync.records.approvals import OPEN_REQUEST_STATES, release_obsolete
from sync.records.authors import deletion_authors, latest_edits, monday_users, users_of
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import exclude_match, ignore_item
from sync.records.tombstones import NEW_ITEM, enqueue_tombstones, restore_record, set_late_item
from sync.records.unmatched_items import AS_NEW, UnmatchedFinding, clear_unmatched, note_unmatched, reopen_items
from sync.registry import relation_of, target_of

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PassRun:
    """A pass as it is stored: under which lease and of which board; `started` is monotonic, `calls` went to Monday."""

    lease: Lease
    board: BoardContext
    this: settlement.PassId
    started: float
    calls: int = 0
    hold_seconds: float = 0  # writes are stopped for so long: what could not be sent waits

    @property
    def link(self) -> BoardLink:
        return self.lease.link

    @property
    def entity_type(self) -> str:
        return self.lease.link.entity_type

    @property
    def records(self) -> QuerySet[SyncedModel]:
        return self.board.model._default_manager.all()

    def in_transaction(self, work: Callable[[], T], **context: Any) -> T:
        """Do it in a transaction under the lease, its changes marked as the sync's; again after a lock timeout."""

        def attempt() -> T:
            with pghistory.context(cause="sync", batch=str(self.this.id), **context), self.lease.transaction():
                return work()

        return retry_on_lock_timeout(attempt)

    def wake(self, ids: Iterable[UUID], priority: Priority = Priority.EDIT, **more: Any) -> None:
        """Let these records have another pass, which follows from this one where `more` says no other cause."""
        enqueue_many(self.entity_type, ids, **{"cause": Cause.DEPENDENCY, "priority": priority} | more)

    def log_decision(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **more: str
    ) -> None:
        """Write a line into the history of a record that is not in the pass itself."""
        Decision.objects.create(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.this.id,
            cause=cause,
            **more,
        )

    def store_history(self, records: Sequence[RecordChanges]) -> None:
        """Store these records' lines; histories and people are read only where somebody's edit moved."""
        plans = [one.plan for one in records]
        history = latest_edits(self.board.model, settlement.moved_records(plans), without_batch=str(self.this.id))
        users = users_of(event for events in history.values() for event in events)
        told = any(plan.facts.events and any(line.key or line.kind == RETURN for line in plan.log) for plan in plans)
        ends = [plan.id for plan in plans if any(line.kind in settlement.DELETION_KINDS for line in plan.log)]
        deletions = deletion_authors((self.entity_type, one) for one in ends)
        authors = settlement.Authors(history, users, monday_users() if told else {}, deletions)
        lines = [(line, one) for one in records for line in one.plan.log]
        rows = [settlement.history_row(line, one.plan, one.answer.intent, self.this, authors) for line, one in lines]
        Decision.objects.bulk_create(fold_alike(rows))


def settle_pass(run: PassRun, facts: PassFacts, plan: Plan, answers: Answers) -> Plan:
    """Write what a pass did, by the plan as the answers left it, in one transaction; return how all of it ended.

    Raises LeaseLost when another worker has the board.
    """

    def attempt() -> Plan:
        _lock_records(run, plan)
        if plan.answers:
            _settle_answers(run, plan, plan.answers)
        settled = _settle_duplicates(run, _settle_items(run, plan), answers)
        settled = end_open(settled, answers)
        if settled.deleted or settled.other_jobs:
            settled = settled.with_deleted(_settle_deleted(run, settled, answers))
        found = _settle_records(run, facts, settled, answers) if settled.records else Changes()
        return settled.with_records(one.plan for one in found.records)

    return run.in_transaction(attempt, **undo_context(plan.records.values()))


def _lock_records(run: PassRun, plan: Plan) -> None:
    """Lock all records of which the pass may write, in the order of their ids, before any other row."""
    if not (plan.answers or plan.items or plan.deleted):
        return  # the claimed ones alone: they are locked where they are read
    named, _, _ = named_in(plan.answers)
    ids = {*plan.records, *named}.union(*(item.names for item in plan.items))
    list(run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk").values_list("pk"))


APPROVAL = approval_payload_key("")
"""In the payload of a job whose delete a person approved or rejected."""


def end_jobs(run: PassRun, jobs: Iterable[Job]) -> None:
    """End what was claimed, in the caller's transaction under the lease."""
    token, listed = run.lease.token, list(jobs)
    completed: dict[str, list[SyncQueue]] = {}
    given_back: dict[tuple[str, int], list[SyncQueue]] = {}
    for job in listed:
        if job.ending.outcome is Outcome.SETTLED:
            completed.setdefault(job.ending.detail, []).extend(job.claim.rows)
        elif job.ending.outcome is Outcome.RELEASED and run.hold_seconds:
            finish.defer(list(job.claim.rows), token, run.hold_seconds, job.ending.detail, at_most=None)
        elif _is_item_to_decide_anew(job):
            rounds = int(job.claim.payload.get(ROUNDS_KEY, 0)) + 1
            wait = ROUNDS_WAIT_SECONDS if rounds > MAX_ROUNDS else 0
            finish.defer(list(job.claim.rows), token, wait, job.ending.detail, rounds=rounds)
        elif job.ending.outcome is Outcome.RELEASED:
            given_back.setdefault((job.ending.detail, job.ending.at_most), []).extend(job.claim.rows)
    for detail, rows in completed.items():
        finish.complete(rows, token, detail)
    for job in listed:
        if job.ending.outcome is Outcome.DEFERRED:
            how = job.ending
            rows = list(job.claim.rows)
            finish.defer(rows, token, how.wait_seconds, how.detail, rounds=how.rounds, at_most=how.at_most)
        elif job.ending.outcome is Outcome.FAILED:
            is_final = finish.fail(list(job.claim.rows), token, job.ending.detail, at_most=job.ending.at_most)
            if is_final and job.claim.entity_id is not None:
                why = f"Your resolution could not be applied: {job.ending.detail}"
                reject_resolutions(run.entity_type, [job.claim.entity_id], why)
    for (detail, at_most), rows in given_back.items():
        finish.release(rows, token, detail, at_most=at_most)
    # What a person approved or rejected says at once that it was carried out.
    if decided := [job.claim.entity_id for job in listed if job.claim.entity_id and APPROVAL in job.claim.payload]:
        release_obsolete(decided)


def _is_item_to_decide_anew(job: Job) -> bool:
    """Whether what was planned for an item no longer held; if it never does, each pass would cost a call in vain."""
    is_released = job.ending.outcome is Outcome.RELEASED
    return is_released and job.claim.entity_id is None and job.ending.detail in (CHANGED_MEANWHILE, ANSWERED)


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def end_intents(answered: Iterable[RecordChanges], settled: Iterable[RecordPlan]) -> None:
    """Store that intents were answered, with the item that each was about; older ones were found out about."""
    done = [(one.answer.intent, one) for one in answered if one.answer.intent and one.answer.item]
    if done:
        columns: list[Any] = [
            [intent.pk for intent, _ in done],
            [one.plan.item_id for _, one in done],
            [intent.request_id for intent, _ in done],
            [json.dumps(one.shown_values) if one.plan.plans else None for _, one in done],
        ]
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE_APPLIED, columns)
    found = list(settled)
    for state, is_confirmed in ((IntentState.CONFIRMED, True), (IntentState.VOID, False)):
        older = [
            intent.pk for plan in found for intent in plan.facts.intents if _has_landed(plan, intent) is is_confirmed
        ]
        Intent.objects.filter(pk__in=older).update(state=state, settled_at=SyncNow())


def _has_landed(plan: RecordPlan, intent: Intent) -> bool:
    """Whether Monday shows what the intent sent, or an event tells that somebody has replaced it."""
    return intent.pk in plan.fields.confirmed_intents or str(intent.pk) in plan.lost.landed.values()


# People's answers to “who is this?”.


def _settle_answers(run: PassRun, plan: Plan, planned: Sequence[IdentityAnswer]) -> None:
    """Carry out what people answered, as far as it still can be: decided anew on rows that are locked."""
    kind = run.entity_type
    answers = [replace(answer, done="", outdated="", hands_over=False) for answer in planned]
    named, items, merged = named_in(answers)
    # The answers stay, and the next pass carries them out.
    if merged and locked_pause(kind):
        return
    facts = gather.answer_facts(run.board, named, items, merged, locks=True)
    decided = decide_answers(answers, facts)
    for answer in [answer for answer in decided if answer.outdated]:
        conflict = answer.conflict
        reject_resolutions(
            kind, [answer.asked_of], f"It could not be done: {answer.outdated}", only=conflict.conflict_id
        )
        enqueue_item_many(kind, [conflict.monday_item_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    done = [(plan.records[answer.asked_of], answer) for answer in decided if answer.done]
    if not done:
        return
    for asked_of, answer in done:
        _carry_out_answer(run, asked_of, answer)
    save_reports([settlement.identity_report(asked_of, answer.conflict, answer.done) for asked_of, answer in done])
    # Records that waited for the same answer say so until their next pass.
    asked_items = {answer.conflict.monday_item_id for _, answer in done}
    asked_items = asked_items.union(*(asked_of.ledger.asked_items or () for asked_of, _ in done)) - {""}
    others = _records_asking(kind, sorted(asked_items)) - plan.records.keys()
    run.wake(others)


def _carry_out_answer(run: PassRun, asked_of: RecordPlan, answer: IdentityAnswer) -> None:
    entity_type = run.entity_type
    by = asked_of.facts.by
    if answer.kind is AnswerKind.MERGE:
        _merge_records(run, answer, by)
    elif answer.kind is AnswerKind.LINK and answer.record_id is not None:
        run.records.filter(pk=answer.record_id).update(monday_id=answer.item_id)
        # What was remembered against the item is overruled.
        IgnoredItem.objects.filter(entity_type=entity_type, item_id=answer.item_id).delete()
        cause = settlement.cause_of_claim(asked_of.facts.claim)
        run.log_decision(answer.record_id, answer.item_id, "link", answer.done, actor=by, cause=cause)
        if answer.record_id != answer.asked_of:
            run.wake([answer.record_id], Priority.PERSON)
    elif answer.kind is AnswerKind.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_of]).update(made_from_item=False)
    elif answer.kind is AnswerKind.NEW_RECORD:
        # It stays remembered: none of the records with its key is to find it by that key again.
        why = "A person said that it is none of the records with the same key."
        ignore_item(entity_type, answer.item_id, None, why)
        reopen_items(run.link, [UnmatchedFinding(answer.item_id)])
        wish = {AS_NEW: True, "by": by}
        enqueue_item_many(entity_type, [answer.item_id], cause=Cause.PERSON, priority=Priority.PERSON, payload=wish)
    elif answer.kind is AnswerKind.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, "A person said that it has nothing to do with NPD.")


def _merge_records(run: PassRun, answer: IdentityAnswer, by: str) -> None:
    made_id = answer.made_id
    other_id = answer.record_id
    assert made_id is not None
    assert other_id is not None
    made = run.records.get(pk=made_id)  # an answer before this one may have given it its item
    copy(made).delete()
    if answer.hands_over:
        run.records.filter(pk=other_id).update(monday_id=made.monday_id)
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (made_id, other_id):
        run.log_decision(entity_id, made.monday_id or "", "link", answer.done, actor=by, cause=cause)
    run.wake([other_id], Priority.PERSON)


def _records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}


# What is found of a column is stored at once, and not with the records: it is about the board and all its records, of
# which whole tables are updated (no pass holds its own records' locks meanwhile), and it stands whatever becomes of
# this pass.


def store_columns(link: BoardLink, found: InspectedColumns) -> None:
    mappings = {mapping.key: mapping for mapping in link.mappings.all()}
    for key in [key for key in found.healed if key in mappings]:
        board_columns.set_problem(link, mappings[key], None)
    if found.shown is not None:
        board_columns.check_columns(link, found.shown)
    for key in [key for key in found.hidden if key in mappings]:
        board_columns.set_hidden(link, mappings[key])


# Items that no record has.


def _settle_items(run: PassRun, plan: Plan) -> Plan:
    """Write what becomes of the unmatched items; return the plan with what was carried out."""
    undone, carried_out = set[UUID](), list[ItemPlan]()
    strangers = [one.facts.item for one in plan.items if one.facts.item and not npd_id_of(run.board, one.facts.item)]
    if run.link.creates_held and any(match_text_of_item(run.board, item) for item in strangers):
        set_creates_held(run.link, "")  # somebody has filled it in
    of_deleted = {one.item_id for one in plan.deleted.values()}
    for planned in plan.items:
        # An item before it was to give these a record or an item, and that came to nothing.
        is_undone = planned.names & undone and planned.act is not ItemAct.DUPLICATE
        wanted = released(planned) if is_undone else planned
        done = _settle_item(run, wanted, of_deleted)
        if planned.act in GIVING and done.act is not planned.act:
            undone |= planned.names
        carried_out.append(done)
    return replace(plan, items=tuple(carried_out))


def _settle_item(run: PassRun, planned: ItemPlan, of_deleted: Collection[str]) -> ItemPlan:
    """Carry a plan out as far as it still holds; return what was carried out.

    Events of an item `of_deleted` records, or of those that it wakes, are theirs to check.
    """
    plan = planned
    if planned.act is ItemAct.DUPLICATE:
        pass  # its calls were sent, and end its job
    elif pause := locked_pause(run.entity_type):
        plan = released(planned, pause)
    else:
        plan = item_as_locked(planned, *gather.item_now(run.board, planned))
    if plan.act is ItemAct.CREATE:
        plan = _with_record_stored(run, plan)
    _write_item(run, plan)
    if plan.outcome is Outcome.SETTLED and not plan.woken and plan.facts.item_id not in of_deleted:
        events = WebhookEvent.objects.filter(pk__in=plan.facts.new_events, processed_at=None)
        events.update(processed_at=SyncNow(), outcome=plan.detail[:200])
    end_jobs(run, [Job(plan.facts.claim, ending(plan.outcome, plan.detail, wait_seconds=plan.wait_seconds))])
    return plan


def _write_item(run: PassRun, plan: ItemPlan) -> None:
    """Write what a plan says of records, questions and what is remembered."""
    facts, entity_type, changed = plan.facts, run.entity_type, plan.tombstone
    if plan.act in GIVING:
        _write_given(run, plan)
    elif plan.act is ItemAct.ASK:
        _write_question(run, plan)
    elif changed is not None:
        Tombstone.objects.filter(pk=changed.pk).update(monday_id=changed.monday_id, state=changed.state)
    # What people are shown of it decides nothing. The unmatched item is taken before the ignored one.
    if plan.finding is not None:
        note_unmatched(run.link, [plan.finding], decided=True)
    elif not plan.keeps_finding:
        clear_unmatched(entity_type, [facts.item_id])
    if plan.problems:
        IgnoredItem.objects.update_or_create(
            entity_type=entity_type, item_id=facts.item_id, defaults={"reason": plan.problems}
        )
    if plan.closes and (closed := close_identity_conflicts(entity_type, facts.item_id, plan.closes)):
        # The records that waited find out what that means for them.
        run.wake(set(closed) | _records_asking(entity_type, [facts.item_id]))
    if plan.act in (*GIVING, ItemAct.OWNED) and plan.record:
        run.wake([plan.record.pk])
    if plan.woken:
        run.wake(plan.woken, cause=Cause.WEBHOOK, direction=QueueDirection.TO_NPD)


def _write_given(run: PassRun, plan: ItemPlan) -> None:
    """Give the item to the plan's record, unless that was made with it, and say so in its history."""
    assert plan.record is not None
    facts, record, creates = plan.facts, plan.record, plan.act is ItemAct.CREATE
    kind, ignored = "create" if creates else "link", facts.ignored is not None
    if not creates:
        run.records.filter(pk=record.pk).update(monday_id=facts.item_id)
    if creates and facts.as_new:
        # It stays remembered: none of the records with its key is to find it by that key again.
        ignore_item(run.entity_type, facts.item_id, None, "A person said that it is a record of its own.")
    elif facts.chosen_id is not None or (creates and ignored):
        IgnoredItem.objects.filter(entity_type=run.entity_type, item_id=facts.item_id).delete()
    read = run.this.read_request
    cause = settlement.cause_of_item(facts.claim, facts.new_events, f"an item without a record: {kind}", read)
    said = {"actor": str(facts.claim.payload.get("by", "")), "request_id": read}
    run.log_decision(record.pk, facts.item_id, kind, plan.sentence, cause=cause, **said)


def _with_record_stored(run: PassRun, plan: ItemPlan) -> ItemPlan:
    """Store the record made of the item; only NPD's database can tell that it can't be."""
    assert plan.record is not None
    try:
        store_new_record(copy(plan.record), is_automatic=not plan.facts.as_new)
    except OperationalError:  # a lock, or the connection: nothing that the item is to blame for
        raise
    except DatabaseError as error:
        is_there = run.records.filter(Q(pk=plan.record.pk) | Q(monday_id=plan.facts.item_id)).exists()
        return after_rejection(run.board, plan, str(error).splitlines()[0], is_there=is_there)
    return plan


def store_new_record(record: SyncedModel, *, is_automatic: bool = True) -> None:
    """Store a record made from an item; raises DatabaseError.

    One that a person wanted to be a record of its own (not `is_automatic`) is not asked about once more. Its own pass,
    which merges the two sides and writes the NPD ID, is written by the caller.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('npd.settling', %s, true)", [str(record.pk)])
        record.save(force_insert=True)
        key: dict[str, Any] = {"entity_type": record.entity_type(), "entity_id": str(record.pk), "system": "monday"}
        SyncMetadata.objects.update_or_create(**key, defaults={"made_from_item": is_automatic})


def _write_question(run: PassRun, plan: ItemPlan) -> None:
    """Ask to whom the item belongs; a record that could get it waits for the answer, its other conflicts stay."""
    asked, entity_type, question, waiting = plan.asked, run.entity_type, plan.question, linkable(plan.asked)
    report = ConflictReport(entity_type, asked[0].pk, plan.facts.item_id, KIND_IDENTITY, data=dict(question))
    save_reports([report])
    ledgers = lock_ledgers(entity_type, sorted(record.pk for record in waiting)) if waiting else {}
    for ledger in ledgers.values():
        ledger.conflicts = {**ledger.conflicts, "identity": [question["what"]]}
        ledger.asked_items = [plan.facts.item_id]
    update_many(list(ledgers.values()), ["conflicts", "asked_items"])
    run.records.filter(pk__in=[record.pk for record in waiting]).update(sync_status=RecordSyncStatus.CONFLICT)


# Second items of linked records.


def _settle_duplicates(run: PassRun, plan: Plan, answers: Answers) -> Plan:
    """Store what became of every second item.

    Return the plan with its items as that leaves them, and the records whose answers were carried out, or failed.
    """
    with_answers = [
        (duplicate, answers.duplicates.get(duplicates.second_item_write(duplicate).unit))
        for duplicate in plan.duplicates
    ]
    settled = [duplicates.answered(duplicate, about) for duplicate, about in with_answers if about is not None]
    if settled or any(item.act is ItemAct.DUPLICATE for item in plan.items):
        plan = replace(plan, items=_settle_second_items(run, plan, settled))
    return duplicates.after_copy_answers(plan, settled)


def _settle_second_items(run: PassRun, plan: Plan, settled: Sequence[DuplicateItem]) -> tuple[ItemPlan, ...]:
    by_item = {duplicate.item.id: duplicate for duplicate in settled if not duplicate.is_answered}
    second = {item.facts.item_id: item for item in plan.items if item.act is ItemAct.DUPLICATE}
    pause = locked_pause(run.entity_type) if second.keys() - by_item.keys() else ""
    items = {key: duplicates.second_item(item, by_item.get(key), pause) for key, item in second.items()}
    # Reads of the next minutes are compared with what took effect, by the time at which that was known.
    carried_out = [intent.pk for duplicate in settled for intent in duplicate.intents]
    Intent.objects.filter(pk__in=carried_out).update(state=IntentState.APPLIED, settled_at=SyncNow())
    ended = [duplicate for duplicate in settled if duplicate.kind]
    for duplicate in ended:
        read = run.this.read_request
        cause = {"read": read, "rule": "a second item has the record's NPD ID"}
        run.log_decision(
            duplicate.record.pk, duplicate.item.id, duplicate.kind, duplicate.detail, request_id=read, cause=cause
        )
        if not duplicate.is_answered:
            events = WebhookEvent.objects.filter(item_id=duplicate.item.id, processed_at=None)
            events.update(processed_at=SyncNow(), outcome=items[duplicate.item.id].detail[:200])
    clear_unmatched(run.entity_type, {duplicate.item.id for duplicate in ended if not duplicate.is_asked})
    save_reports(list(duplicates.copy_reports(run.board, plan, settled)))
    end_jobs(run, [Job(item.facts.claim, ending(item.outcome, item.detail)) for item in items.values()])
    return tuple(items.get(item.facts.item_id, item) for item in plan.items)


# Creates without an answer.


def settle_creates(lease: Lease, board: BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Store what became of the creates of one document, and count the attempts that failed; raises LeaseLost."""
    ids: dict[tuple[Fate, float], list[UUID]] = {}
    for plan in plans:
        ids.setdefault((plan.fate, plan.wait_seconds), []).append(plan.intent.pk)

    def store() -> None:
        with lease.transaction():
            _link_created(board, [plan for plan in plans if plan.fate is Fate.LINK])
            for (fate, seconds), of in ids.items():
                intents = Intent.objects.filter(pk__in=of)
                if fate is Fate.VOID:
                    intents.update(state=IntentState.VOID, lookups=1, settled_at=SyncNow())
                elif fate is not Fate.LINK:
                    looked_for = {} if fate is Fate.WAIT else {"lookups": 1}
                    intents.update(deadline=SyncNow() + timedelta(seconds=seconds), **looked_for)

    retry_on_lock_timeout(store)
    if failed := sorted((plan.intent.entity_id, plan.detail) for plan in plans if plan.fate is Fate.FAIL):
        _count_attempts(lease, dict(failed))


def _link_created(board: BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Link records with what was made for them; of one that was deleted, the tombstone learns the item."""
    made = {plan.intent.entity_id: plan.item.id for plan in plans if plan.item is not None}
    if not made:
        return
    entity_type, records = board.link.entity_type, board.model._default_manager
    locked = {one.pk: one for one in records.select_for_update(of=("self",)).filter(pk__in=made).order_by("pk")}
    owners = dict(records.filter(monday_id__in=made.values()).values_list("monday_id", "pk"))
    linked, others = list[Intent](), list[Intent]()
    for intent in (plan.intent for plan in plans):
        key, item_id = intent.entity_id, made[intent.entity_id]
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
    enqueue_many(entity_type, sorted(locked), cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _count_attempts(lease: Lease, failed: Mapping[UUID, str]) -> None:
    """Let an attempt of each of these records fail; a job that a save has locked is spared."""
    claims = list(zip(claim_records(lease, list(failed)), failed.values(), strict=True))

    def count() -> None:
        with lease.transaction():
            for claim, why in claims:
                if claim.rows:
                    finish.fail_unsettled(claim.rows, lease.token, why)

    retry_on_lock_timeout(count)


# Deleted records: tombstones, questions, history, intents and jobs.


def _settle_deleted(run: PassRun, plan: Plan, answers: Answers) -> list[DeletedPlan]:
    """Store what became of the pass's deleted records and end their jobs."""
    planned, kind = list(plan.deleted.values()), run.entity_type
    rows = Tombstone.objects.select_for_update().filter(pk__in=[one.facts.tombstone.pk for one in planned])
    there = {row.entity_id: row for row in rows.order_by("pk") if row.state != TombstoneState.RESTORED}
    pause = locked_pause(run.entity_type) if any(one.restores for one in planned) else ""
    locked = [deleted_records.deleted_as_locked(one, pause, is_there=one.id in there) for one in planned]
    settled = [_restored(run, one, there[one.id]) if one.restores else one for one in locked]
    now, changed = sync_now(), [one for one in settled if one.id in there]
    tombstones = [deleted_records.tombstone_after(one, there[one.id], now) for one in changed]
    update_many(tombstones, ["state", "settled_at", "note", "reason_code"])
    for one in [one for one in changed if one.new_state == TombstoneState.UNLINKED and one.item_id]:
        why = f"Its record “{one.facts.record}” was deleted in NPD, and the item was unlinked."
        ignore_item(kind, one.item_id, one.id, why)
    if freed := [one.item_id for one in changed if one.frees_item and one.item_id]:
        wait = UNMATCHED_ITEM_WAIT_SECONDS
        enqueue_item_many(kind, freed, cause=Cause.DEPENDENCY, priority=Priority.EDIT, due_in_seconds=wait)
    # The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked.
    ledgers = [ledger for one in changed if (ledger := deleted_records.ledger_after(one)) is not None]
    names = ["conflicts", "asked_items", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(ledgers, update_conflicts=True, unique_fields=key, update_fields=names)
    # What went is counted already, and what didn't is decided anew.
    held = [one for one in settled if one.ending.outcome is Outcome.SETTLED]
    ApprovalRequest.objects.bulk_create(deleted_records.new_removal_requests(held))
    save_reports([report for one in settled for report in deleted_records.deletion_reports(one)])
    found = [
        RecordChanges(deleted_records.as_record_plan(one), answers.deleted.get(one.id, NOTHING_SENT)) for one in settled
    ]
    plans = [one.plan for one in found]
    run.store_history(found)
    end_intents(found, [one for one in plans if one.is_settled])
    # A record that is there again is told by its own pass what was lost.
    deleted = {one.id for one in locked if one.id in there and not one.restores}
    checked = [one for one in settled if one.id in deleted and one.ending.outcome is Outcome.SETTLED]
    _end_events(run, [event.pk for one in checked for event in one.facts.events])
    end_jobs(run, [*(Job(one.facts.claim, one.ending) for one in settled), *plan.other_jobs])
    return settled


def _restored(run: PassRun, plan: DeletedPlan, tombstone: Tombstone) -> DeletedPlan:
    """Store the record again as a person chose; a person is asked anew where NPD can't take it back."""
    restored = deleted_records.after_restoring(plan)
    try:
        restore_record(tombstone, item_id=plan.item_to_keep or NEW_ITEM, sentence=restored.reason)
    except RestoreError as error:
        policy = DeletedRecordPolicy(run.board.link.deleted_record_policy)
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


# What sync_status says from now on.


_JOB_COLUMNS = ("entity_id", "status", "direction")


def write_statuses(run: PassRun, found: Changes) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    ids = list(found.ledgers)
    open_states = (QueueStatus.PENDING, QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = [(pk, status, direction) for pk, status, direction in rows.values_list(*_JOB_COLUMNS) if pk]
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    for status, of in statuses(run.board, found, jobs, intents).items():
        is_synced = status == RecordSyncStatus.SYNCED
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=of).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        SyncMetadata.objects.of(run.entity_type, of).update(sync_status=settlement.LEDGER_STATUS[status], **settled_at)
    if failed := [pk for pk, status, _ in jobs if status == QueueStatus.FAILED]:
        SyncMetadata.objects.of(run.entity_type, failed).update(sync_status=SyncStatus.FAILED)


# How a pass ends its jobs, its intents, its events and the record's failed job.


def finish_jobs(run: PassRun, found: Changes) -> None:
    """End every record's rows as its outcome says, and what hangs on them."""
    plans = [one.plan for one in found.records]
    # A record says by itself what became of it.
    said = [replace(p.ending, detail="") if p.is_settled else p.ending for p in plans]
    end_jobs(run, [Job(plan.facts.claim, how) for plan, how in zip(plans, said, strict=True)])
    settled = [plan for plan in plans if plan.is_settled]
    for one in found.records:
        if one.keeps_intent and (intent := one.answer.intent):
            Intent.objects.filter(pk=intent.pk).update(item_id=one.plan.item_id, deadline=SyncNow())
    end_intents([one for one in found.records if not one.keeps_intent], [p for p in settled if p.plans])
    _end_events(run, [e.pk for p in settled if p.ending.processed or p.item is not None for e in p.facts.events])
    finish.end_failed(run.entity_type, {p.id: p.facts.claim.rows[0].id for p in settled if p.plans or p.is_deleted})


def _end_events(run: PassRun, ids: Sequence[int]) -> None:
    events = WebhookEvent.objects.filter(pk__in=ids, processed_at=None)
    events.update(processed_at=SyncNow(), outcome=f"processed in pass {run.this.id}")


# The records that are there: by compare-and-set.


def _settle_records(run: PassRun, facts: PassFacts, plan: Plan, answers: Answers) -> Changes:
    ids = sorted(plan.records)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [",".join(str(i) for i in ids)])
        # A related record that was deleted meanwhile is this record's failure, and not the commit's.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    locked = {r.pk: r for r in run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    ledgers = lock_ledgers(run.entity_type, ids)
    _store_deletion_approvals(run, plan)
    _settle_claimed(run, facts.linked_items, [one for one in plan.records.values() if one.id in locked])
    # `pause` waits for our end.
    paused = locked_pause(run.entity_type) if any(map(has_local_writes, plan.records.values())) else ""
    rests_on_settings = any(has_local_writes(one) or one.removal for one in plan.records.values())
    now = gather.board_now(run.link) if rests_on_settings else None
    written = [
        _write_record(one, record_changes(run.board, one, answers.of(key), locked.get(key), facts.now, paused, now))
        for key, one in plan.records.items()
    ]
    took = {
        "sync_batch_id": run.this.id,
        "sync_duration_ms": int((time.monotonic() - run.started) * 1000),
        "api_calls_count": run.calls,
    }
    found = changes(facts, plan, written, ledgers, took)
    _write_changes(run, facts, plan, found)
    return found


def _write_record(planned: RecordPlan, found: RecordChanges) -> RecordChanges:
    """Write one record; return what is so then.

    Each has a savepoint of its own: what NPD refuses is that record's failure alone, and only its database can tell.
    """
    record = found.plan.record
    if found.deletes:
        needed, loss = gather.deletion_obstacles(record)
        found = found.before_deletion(loss)
        return found.after_deletion(needed or _delete(record)) if found.deletes else found
    if not found.values:
        return found
    try:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**found.values)
    except OperationalError:
        raise
    except DatabaseError as error:
        log.warning("record not written", record=str(record.pk), error=type(error).__name__)
        why = str(error).strip().splitlines()[0]
        refused = f"NPD's database rejected what came from Monday: {why}"
        return dropped(planned, found.answer, Outcome.FAILED, refused)
    return found


def _delete(record: SyncedModel) -> str:
    """Delete the record in NPD; return why it can't be deleted, in words."""
    try:
        with transaction.atomic():
            copy(record).delete()
    except OperationalError:
        raise
    except (ProtectedError, RestrictedError, DatabaseError) as error:
        return f"NPD's database rejected it: {str(error).splitlines()[0]}"
    return ""


# What the settle transaction writes for all records together.


def _write_changes(run: PassRun, facts: PassFacts, plan: Plan, found: Changes) -> None:
    for one in found.records:
        _write_of_record(run, one)
    _end_approvals(plan, found)
    present, existing = [one.plan for one in found.present], found.existing
    _store_write_loops(run, facts, present)
    save_reports(found.reports)
    _finish_deleted(run.entity_type, [one for one in present if one.is_deleted])
    if found.ledgers:
        with connection.cursor() as cursor:
            # In one statement: Django's bulk_update takes 3 ms a row.
            cursor.execute(_UPDATE, [json.dumps(list(found.ledgers.values()), cls=DjangoJSONEncoder)])
    _store_awaited(run, existing)
    _enqueue_pointing(run, found.awaited)
    if linked_items := [one.link_to for one in existing if one.link_to]:
        enqueue_tombstones(run.entity_type, linked_items)
    finish_jobs(run, found)
    run.store_history(found.present)
    write_statuses(run, found)


def _write_of_record(run: PassRun, one: RecordChanges) -> None:
    """Write what hangs on a single record."""
    if not one.is_there and one.answer.item is not None:
        # Of a record that was deleted while its item was made, the tombstone learns the item.
        set_late_item(run.entity_type, one.id, one.answer.item.id)
    for wake in one.wakes:
        run.wake([one.id], wake.priority, cause=wake.cause, payload=wake.payload)
    for item_id, why in one.ignored.items():
        ignore_item(run.entity_type, item_id, one.id, why)
    for item_id, why in one.excluded.items():
        exclude_match(run.entity_type, item_id, one.id, why)


def _settle_claimed(run: PassRun, known_items: Sequence[str], present: Sequence[RecordPlan]) -> None:
    """No item of theirs is unmatched, and none of them is deleted."""
    if known_items:
        # Its webhook may have come while it was being linked.
        clear_unmatched(run.entity_type, known_items)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    created = [p.id for p in present if any(row.operation != Operation.UPDATE for row in p.facts.claim.rows)]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=run.entity_type, entity_id__in=created)
        tombstones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again.", reason_code=""
        )


def _store_deletion_approvals(run: PassRun, plan: Plan) -> None:
    """Count the deletions before they are carried out, and end the requests that are over."""
    ApprovalRequest.objects.bulk_create(new_deletion_requests(plan))
    removed = [(one.id, one.removal) for one in plan.records.values() if one.removal]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type, kind=ApprovalKind.RECORDS)
    if rejected := [entity_id for entity_id, one in removed if one.was_rejected]:
        kept = requests.filter(state=ApprovalState.REJECTED, entity_id__in=rejected)
        kept.update(state=ApprovalState.KEPT, at=SyncNow())
    if asked := [entity_id for entity_id, one in removed if one.approval == ApprovalState.RELEASED]:
        # A pass found that it wants none of this kind any more.
        ended = requests.filter(entity_id__in=asked, state__in=OPEN_REQUEST_STATES)
        ended.update(state=ApprovalState.RELEASED, at=SyncNow())


def _end_approvals(plan: Plan, found: Changes) -> None:
    """Store what waits; acts that were carried out, or whose cause is gone, are over."""
    if plan.clears is None:
        return
    if plan.clears.released:
        outdated = ApprovalRequest.objects.filter(pk__in=[act.pk for act in plan.clears.released])
        outdated.filter(state__in=OPEN_REQUEST_STATES).update(state=ApprovalState.RELEASED, at=SyncNow())
    ApprovalRequest.objects.bulk_create(new_clear_requests(plan, ApprovalState.PENDING))
    for state in dict.fromkeys(state for state, _ in found.ended):
        acts = [act for ended, act in found.ended if ended is state]
        # Only those that nobody decided meanwhile: the next pass ends the others.
        remaining = ApprovalRequest.objects.filter(
            pk__in=[act.pk for act in acts], state__in={act.state for act in acts}
        )
        remaining.update(state=state, at=SyncNow())


def _store_write_loops(run: PassRun, facts: PassFacts, plans: Sequence[RecordPlan]) -> None:
    """Store what was counted, forget what is over, and come back when a pause ends."""
    over = [Q(entity_id=loop.entity_id, key=loop.key) for loop in loops_of(plans, has_ended=True)]
    if over:
        WriteLoop.objects.filter(reduce(or_, over), entity_type=run.entity_type).delete()
    rows = list(loops_of(plans, has_ended=False))
    WriteLoop.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttle_count", "throttled_until"],
    )
    waits: dict[float, list[UUID]] = {}
    for row in rows:
        if row.throttled_until is not None:
            wait = max((row.throttled_until - facts.now).total_seconds(), 0) + 1
            waits.setdefault(wait, []).append(row.entity_id)
    for wait, ids in waits.items():
        later = {"direction": QueueDirection.TO_NPD, "due_in_seconds": wait}
        run.wake(dict.fromkeys(ids), Priority.SWEEP, cause=Cause.SWEEP, **later)


def _finish_deleted(entity_type: str, plans: Sequence[RecordPlan]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    ids = [plan.id for plan in plans]
    for plan in plans:
        assert plan.removal is not None
        is_told = plan.removal.state in REPORTED_STATES
        state = TombstoneState(plan.removal.state) if is_told else TombstoneState.NOTHING_LEFT
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


def _store_awaited(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Write down which relations wait for a record; the others wait no more."""
    planned = {plan.id: plan.plans for plan in plans if plan.plans}
    if not run.board.relations or not planned:
        return
    waiting = settlement.awaited_relations(run.board, planned)
    current = {(entity_id, key) for entity_id, key, _, _ in waiting}
    known = AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=list(planned))
    outdated = [row.pk for row in known if (row.entity_id, row.key) not in current]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    if not waiting:
        return
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT_AWAITED, [run.entity_type, *columns])
        new = sorted({row[0] for row in cursor.fetchall()})
    run.wake(new, Priority.SWEEP, direction=QueueDirection.TO_NPD, due_in_seconds=AWAIT_RETRY_SECONDS)


def _enqueue_pointing(run: PassRun, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        fields = [relation_of(spec.model, mapping.fields) for mapping in spec.mappings]
        named = [one.name for one in fields if one is not None and target_of(one) is run.board.model]
        if named:
            pointing = reduce(or_, (Q(**{f"{name}__in": ids}) for name in named))
            # Only ids, and of one model in one query.
            pks = list(spec.model._default_manager.filter(pointing).order_by("pk").values_list("pk", flat=True))
            if pks:
                enqueue_many(spec.entity_type, pks, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)
