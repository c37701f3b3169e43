"""What a pass writes besides the records that are there: people's answers to “who is this?”, problems of columns, items
that no record has, second items, creates without an answer, deleted records and their tombstones.

What a plan rests on may have changed since it was gathered: it is checked again where it is written, and where it is no
longer so the job goes back, for its next pass to decide anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import pghistory
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Exists, ProtectedError, Q, QuerySet, RestrictedError

from sync.boards import board_columns
from sync.choices import (
    UNCERTAIN_CAUSES,
    Cause,
    DeletedRecordPolicy,
    Priority,
    QueueDirection,
    QueueStatus,
    TombstoneState,
)
from sync.clock import SyncNow, sync_now
from sync.kernel.action_errors import RestoreError
from sync.kernel.conflict_store import KIND_IDENTITY, RECORD_KEY, ConflictReport, current_store
from sync.kernel.db import retry_on_lock_timeout, update_many
from sync.kernel.messages import UnmatchedReason, unmatched_sentence
from sync.models import (
    ApprovalRequest,
    BoardLink,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
)
from sync.models import Decision as DecisionRow
from sync.models.state import fold_alike
from sync.outbox import finish
from sync.outbox.claim import claim_records
from sync.outbox.lease import Lease
from sync.outbox.pauses import locked_pauses, pause_sentence
from sync.outbox.queue_rows import enqueue_item, enqueue_many
from sync.reconcile import queries
from sync.reconcile.conflict_reports import (
    Authors,
    PassId,
    cause_of_claim,
    cause_of_item,
    history_rows,
    identity_report,
    moved_records,
)
from sync.reconcile.deleted_records import (
    DeletedPlan,
    as_record_plan,
    ask_about_deletion,
    deletion_reports,
    ledger_after,
    removal_request,
)
from sync.reconcile.duplicates import DuplicateItem, DuplicatePlan, DuplicateResult, duplicate_report
from sync.reconcile.facts import RETURN, AnswerFacts, DeletedFacts, HistoryLine, ItemFacts
from sync.reconcile.field_values import ACTIVE, BoardContext, match_text_of_item
from sync.reconcile.identity import AnswerKind, AnswerPlan, asked_by, decide_answer, facts_after, link_problem, linkable
from sync.reconcile.new_items import GIVING, ItemAct, ItemPlan, item_finding, not_linked, released
from sync.reconcile.pass_plan import DeletedRecord, Ending, Job, Outcome, Plan, RecordPlan, ending
from sync.reconcile.sides import InspectedColumns
from sync.reconcile.unconfirmed_writes import CreatePlan, Fate, may_link
from sync.records.authors import latest_edits, monday_users, users_of
from sync.records.external_ids import inherit_external_ids
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item
from sync.records.tombstones import NEW_ITEM, OPEN_TOMBSTONE_STATES, restore_record, set_late_item
from sync.records.unmatched_items import (
    AS_NEW,
    UnmatchedFinding,
    clear_unmatched,
    linkable_records,
    note_unmatched,
    reopen_items,
)

T = TypeVar("T")


@dataclass(frozen=True)
class PassRun:
    """A pass as it is stored: under which lease and of which board; `started` is monotonic, `calls` went to Monday."""

    lease: Lease
    board: BoardContext
    this: PassId
    read_at: datetime
    started: float
    calls: int = 0

    @property
    def link(self) -> BoardLink:
        """The board link that the pass is about."""
        return self.lease.link

    @property
    def entity_type(self) -> str:
        """Of what type all its records are."""
        return self.lease.link.entity_type

    @property
    def records(self) -> QuerySet[SyncedModel]:
        """All records of that type."""
        return self.board.model._default_manager.all()

    def in_transaction(self, work: Callable[[], T], **context: Any) -> T:
        """Do it in a transaction under the lease, its changes marked as the sync's; again after a lock timeout."""

        def attempt() -> T:
            with pghistory.context(cause="sync", batch=str(self.this.id), **context), self.lease.transaction():
                return work()

        return retry_on_lock_timeout(attempt)

    def log_decision(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **more: str
    ) -> None:
        """Write a line into the history of a record that is not in the pass itself."""
        DecisionRow.objects.create(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.this.id,
            cause=cause,
            **more,
        )

    def store_history(self, plans: Sequence[RecordPlan]) -> None:
        """Store these records' lines; histories and people are read only where somebody's edit moved."""
        history = latest_edits(self.board.model, moved_records(plans), without_batch=str(self.this.id))
        users = users_of(event for events in history.values() for event in events)
        told = any(plan.facts.events and any(line.key or line.kind == RETURN for line in plan.log) for plan in plans)
        authors = Authors(history, users, monday_users() if told else {})
        DecisionRow.objects.bulk_create(fold_alike(history_rows(plans, self.this, authors)))


# How jobs end.


def end_jobs(run: PassRun, jobs: Iterable[Job]) -> None:
    """End what was claimed, in the caller's transaction under the lease."""
    token, listed = run.lease.token, list(jobs)
    completed: dict[str, list[SyncQueue]] = {}
    given_back: dict[tuple[str, bool], list[SyncQueue]] = {}
    for job in listed:
        if job.ending.outcome in (Outcome.SETTLED, Outcome.PAUSED):
            completed.setdefault(job.ending.detail, []).extend(job.claim.rows)
        elif job.ending.outcome is Outcome.RELEASED:
            given_back.setdefault((job.ending.detail, job.ending.isolate), []).extend(job.claim.rows)
    for detail, rows in completed.items():
        finish.complete(rows, token, detail)
    for job in listed:
        if job.ending.outcome is Outcome.DEFERRED:
            finish.defer(list(job.claim.rows), token, job.ending.wait_seconds, job.ending.detail)
        elif job.ending.outcome is Outcome.FAILED:
            is_final = finish.fail(list(job.claim.rows), token, job.ending.detail)
            if is_final and job.claim.entity_id is not None:
                why = f"Your resolution could not be applied: {job.ending.detail}"
                current_store().reject_resolutions(run.entity_type, [job.claim.entity_id], why)
    for (detail, isolate), rows in given_back.items():
        finish.release(rows, token, detail, at_most=int(isolate))


def enqueue_paused(entity_type: str, plans: Iterable[RecordPlan]) -> None:
    """Put a row into each direction in which something was left to be done, with what its own rows said.

    As urgent as the pass was, and never of webhooks or sweeps alone: it is known that something is to be done.
    """
    for plan in plans:
        claim = plan.facts.claim
        for direction in sorted(plan.paused_directions):
            enqueue_many(
                entity_type,
                [plan.id],
                direction=QueueDirection(direction),
                cause=(claim.causes & ~(UNCERTAIN_CAUSES | Cause.FAILURE)) | Cause.DEPENDENCY,
                priority=Priority(min((row.priority for row in claim.rows), default=Priority.SWEEP)),
                payload=claim.payload,
            )


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def end_intents(answered: Iterable[RecordPlan], settled: Iterable[RecordPlan]) -> None:
    """Store that intents were answered, with the item that each was about; older ones were found out about."""
    done = [(plan.intent, plan.item_id) for plan in answered if plan.intent and plan.written_item]
    if done:
        columns: list[Any] = [
            [intent.pk for intent, _ in done],
            [item_id for _, item_id in done],
            [intent.request_id for intent, _ in done],
            [None if intent.answer is None else json.dumps(intent.answer) for intent, _ in done],
        ]
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE_APPLIED, columns)
    found = list(settled)
    for state, is_confirmed in ((IntentState.CONFIRMED, True), (IntentState.VOID, False)):
        older = [
            intent.pk
            for plan in found
            for intent in plan.facts.intents
            if (intent.pk in plan.fields.confirmed_intents) is is_confirmed
        ]
        Intent.objects.filter(pk__in=older).update(state=state, settled_at=SyncNow())


# People's answers to “who is this?”.


def settle_answers(run: PassRun, plan: Plan) -> None:
    """Carry out what people answered, as far as it still can be: decided anew on rows that are locked."""
    answers = [one for one in plan.answers if not one.is_paused]
    if answers:
        run.in_transaction(partial(_settle_answers, run, plan, answers))


def _settle_answers(run: PassRun, plan: Plan, planned: Sequence[AnswerPlan]) -> None:
    kind, answers = run.entity_type, [one.answer for one in planned]
    named, items, merged = asked_by(answers)
    pauses = locked_pauses(kind) if any(answer.kind is AnswerKind.MERGE for answer in answers) else {}
    facts = queries.answer_facts(run.board, named, items, merged, locks=True)
    facts = replace(facts, is_paused=QueueDirection.TO_NPD in pauses)
    done: list[tuple[RecordPlan, AnswerPlan]] = []
    for answer in answers:
        asked_of = plan.records[answer.asked_of]
        found = _carry_out_answer(run, asked_of, decide_answer(answer, facts), facts)
        facts = facts_after(facts, found)
        if found.outdated:
            detail, conflict = f"It could not be done: {found.outdated}", answer.conflict
            current_store().reject_resolutions(kind, [answer.asked_of], detail, only=conflict.conflict_id)
            urgent: dict[str, Any] = {"priority": Priority.PERSON, "due_in_seconds": 0}
            enqueue_item(kind, conflict.monday_item_id, cause=Cause.DEPENDENCY, **urgent)
        elif found.done:
            done.append((asked_of, found))
    if not done:
        return
    current_store().save_reports([identity_report(one, found.answer.conflict, found.done) for one, found in done])
    # Records that waited for the same answer say so until their next pass.
    asked_items = {found.answer.conflict.monday_item_id for _, found in done}
    asked_items = asked_items.union(*(one.ledger.asked_items or () for one, _ in done)) - {""}
    others = _records_asking(kind, sorted(asked_items)) - plan.records.keys()
    enqueue_many(kind, others, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _carry_out_answer(run: PassRun, asked_of: RecordPlan, plan: AnswerPlan, facts: AnswerFacts) -> AnswerPlan:
    """Write what an answer means; return what became of it."""
    answer, entity_type, by = plan.answer, run.entity_type, asked_of.facts.by
    if not plan.done:
        return plan
    if answer.kind is AnswerKind.MERGE:
        return _merge_records(run, plan, facts, by)
    if answer.kind is AnswerKind.LINK and answer.record_id is not None:
        _store_link(run, answer.record_id, answer.item_id)
        cause = cause_of_claim(asked_of.facts.claim)
        run.log_decision(answer.record_id, answer.item_id, "link", plan.done, actor=by, cause=cause)
        if answer.record_id != answer.asked_of:
            enqueue_many(entity_type, [answer.record_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    elif answer.kind is AnswerKind.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_of]).update(made_from_item=False)
    elif answer.kind is AnswerKind.NEW_RECORD:
        # It stays remembered: none of the records with its key is to find it by that key again.
        why = "A person said that it is none of the records with the same key."
        ignore_item(entity_type, answer.item_id, None, why)
        reopen_items(run.link, [UnmatchedFinding(answer.item_id)])
        urgent: dict[str, Any] = {"cause": Cause.PERSON, "priority": Priority.PERSON, "due_in_seconds": 0}
        enqueue_item(entity_type, answer.item_id, **urgent, payload={AS_NEW: True, "by": by})
    elif answer.kind is AnswerKind.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, "A person said that it has nothing to do with NPD.")
    return plan


def _merge_records(run: PassRun, plan: AnswerPlan, facts: AnswerFacts, by: str) -> AnswerPlan:
    """Make two records one; NPD may still need the one that would go."""
    made_id, other_id = plan.answer.made_id, plan.answer.record_id
    assert made_id is not None
    assert other_id is not None
    made = facts.records[made_id]
    name, item_id = str(made), made.monday_id
    try:
        copy(made).delete()
    except (ProtectedError, RestrictedError):
        problem = f"“{name}” can't be deleted: something else in NPD needs it."
        return AnswerPlan(plan.answer, outdated=problem)
    # Else a system that knows the deleted one would make it anew.
    inherit_external_ids(run.entity_type, made_id, other_id)
    if plan.hands_over:
        run.records.filter(pk=other_id).update(monday_id=item_id)
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (made_id, other_id):
        run.log_decision(entity_id, item_id or "", "link", plan.done, actor=by, cause=cause)
    enqueue_many(run.entity_type, [other_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    return plan


def _store_link(run: PassRun, record_id: UUID, item_id: str) -> None:
    run.records.filter(pk=record_id).update(monday_id=item_id)
    # What was remembered against the item is overruled.
    IgnoredItem.objects.filter(entity_type=run.entity_type, item_id=item_id).delete()


def _records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    """The records that wait for an answer about one of these items."""
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}


# What is found of a column is stored at once, and not with the records: it is about the board and all its records, of
# which whole tables are updated (no pass holds its own records' locks meanwhile), and it stands whatever becomes of
# this pass.


def store_columns(link: BoardLink, found: InspectedColumns) -> None:
    """Store what is wrong, or no longer wrong, with the board's columns."""
    mappings = {mapping.key: mapping for mapping in link.mappings.all()}
    for key in [key for key in found.healed if key in mappings]:
        board_columns.set_problem(link, mappings[key], None)
    if found.shown is not None:
        board_columns.check_columns(link, found.shown)
    for key in [key for key in found.hidden if key in mappings]:
        board_columns.set_hidden(link, mappings[key])


# Items that no record has.


def settle_items(run: PassRun, plan: Plan) -> Plan:
    """Write what becomes of the unmatched items, each in a transaction of its own; return what was carried out.

    Before anything is sent: a second item is one only if the first was linked. Raises LeaseLost.
    """
    undone, carried_out = set[UUID](), list[ItemPlan]()
    for planned in plan.items:
        # An item before it was to give these a record or an item, and that came to nothing.
        wanted = released(planned) if planned.names & undone else planned
        done = run.in_transaction(partial(_settle_item, run, wanted))
        if planned.act in GIVING and done.act is not planned.act:
            undone |= planned.names
        carried_out.append(done)
    second = {item.facts.item_id for item in carried_out if item.act is ItemAct.DUPLICATE}
    duplicates = [one for one in plan.duplicates if one.duplicate.is_answered or one.duplicate.item.id in second]
    return replace(plan, items=tuple(carried_out), duplicates=tuple(duplicates))


def _settle_item(run: PassRun, plan: ItemPlan) -> ItemPlan:
    """Carry a plan out as far as it still holds; return what was carried out."""
    if paused := _defer_if_paused(run, plan.facts, QueueDirection.TO_NPD):
        finding = item_finding(run.board, plan.facts, UnmatchedReason.PAUSED, pause=paused)
        done = released(plan, paused, finding)
    else:
        done = _carry_out_item(run, plan)
        if done.outcome is Outcome.SETTLED and done.facts.events.new:
            events = WebhookEvent.objects.filter(pk__in=done.facts.events.new, processed_at=None)
            events.update(processed_at=SyncNow(), outcome=done.detail[:200])
        end_jobs(run, [Job(done.facts.claim, ending(done.outcome, done.detail, wait_seconds=done.wait_seconds))])
    if not done.problems:
        _note(run, done)
    return done


def _defer_if_paused(run: PassRun, item: ItemFacts, direction: QueueDirection) -> str:
    """Let the row of an item without a record wait in a direction that is paused now; return why, if it does.

    Its direction says which pause holds it: the claim goes by that.
    """
    found_pause = locked_pauses(run.entity_type).get(direction)
    if found_pause is None:
        return ""
    why = pause_sentence(found_pause, direction)
    end_jobs(run, [Job(item.claim, Ending(Outcome.RELEASED, why))])
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id=None, remote_id=item.claim.remote_id)
    rows.filter(status=QueueStatus.PENDING).update(direction=direction)
    return why


def _note(run: PassRun, plan: ItemPlan) -> None:
    """Note what was found of the item for people, who are shown why it has no record; it decides nothing."""
    if plan.finding is not None:
        note_unmatched(run.link, [plan.finding], decided=True)
    elif not plan.keeps_finding:
        clear_unmatched(run.entity_type, [plan.facts.item_id])


def _carry_out_item(run: PassRun, plan: ItemPlan) -> ItemPlan:
    """Write what a plan says of records, questions and what is remembered."""
    facts, entity_type = plan.facts, run.entity_type
    if plan.act in GIVING:
        plan = _give_to_record(run, plan)
    elif plan.act is ItemAct.ASK:
        plan = _ask_owner(run, plan)
    elif plan.tombstone is not None:
        plan = _change_tombstone(plan, plan.tombstone)
    if plan.problems:
        _note(run, plan)  # now: the unmatched item is taken before the ignored one
        IgnoredItem.objects.update_or_create(
            entity_type=entity_type, item_id=facts.item_id, defaults={"reason": plan.problems}
        )
    if plan.closes and (closed := current_store().close_identity_conflicts(entity_type, facts.item_id, plan.closes)):
        # The records that waited find out what that means for them.
        ids = set(closed) | _records_asking(entity_type, [facts.item_id])
        enqueue_many(entity_type, ids, cause=Cause.DEPENDENCY, priority=Priority.EDIT)
    if plan.act in (*GIVING, ItemAct.OWNED) and plan.record:
        enqueue_many(entity_type, [plan.record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)
    if plan.woken:
        enqueue_many(
            entity_type, plan.woken, cause=Cause.WEBHOOK, priority=Priority.EDIT, direction=QueueDirection.TO_NPD
        )
    return plan


def _give_to_record(run: PassRun, plan: ItemPlan) -> ItemPlan:
    """Give the item to the plan's record, or make that, and say so in its history."""
    assert plan.record is not None
    facts, record, kind = plan.facts, plan.record, "link"
    if plan.act is ItemAct.CREATE:
        kind = "create"
        if (stored := _store_new_record(run, plan, record)) is not plan:
            return stored
    elif facts.chosen_id is not None:
        locked = run.records.select_for_update(no_key=True, of=("self",)).filter(pk=record.pk).first()
        if problem := link_problem(locked, run.records.filter(monday_id=facts.item_id).first()):
            return not_linked(facts, problem)
        _store_link(run, record.pk, facts.item_id)
    elif not _still_matches(run, plan) or not _linkable(run, plan).filter(pk=record.pk).update(monday_id=facts.item_id):
        return released(plan)
    read = run.this.read_request
    cause = cause_of_item(facts.claim, facts.events.new, f"an item without a record: {kind}", read)
    said = {"actor": str(facts.claim.payload.get("by", "")), "request_id": read}
    run.log_decision(record.pk, facts.item_id, kind, plan.sentence, cause=cause, **said)
    return plan


def _linkable(run: PassRun, plan: ItemPlan) -> QuerySet[SyncedModel]:
    """The records that may still get the item as it was planned."""
    facts, records = plan.facts, linkable_records(run.entity_type)
    if plan.act is ItemAct.REPLACE and facts.first_item is not None:
        records = run.records.filter(monday_id=facts.first_item.id)
    records = records.filter(~Exists(run.records.filter(monday_id=facts.item_id)))
    # Somebody may have ignored it since.
    return records if facts.ignored else records.filter(~Exists(_ignored(run, facts)))


def _ignored(run: PassRun, facts: ItemFacts) -> QuerySet[IgnoredItem]:
    return IgnoredItem.objects.filter(entity_type=run.entity_type, item_id=facts.item_id)


def _store_new_record(run: PassRun, plan: ItemPlan, record: SyncedModel) -> ItemPlan:
    """Store the record made from the item; return the plan, or another where that can't be."""
    facts, ignored = plan.facts, _ignored(run, plan.facts)
    if (facts.ignored is None and ignored.exists()) or (not facts.as_new and _has_new_match(run, facts)):
        return released(plan)
    try:
        store_new_record(copy(record), is_automatic=not facts.as_new)
    except OperationalError:  # a lock, or the connection: nothing that the item is to blame for
        raise
    except DatabaseError as error:
        if run.records.filter(Q(pk=record.pk) | Q(monday_id=facts.item_id)).exists():
            return released(plan)
        problem = str(error).splitlines()[0]
        finding = item_finding(run.board, facts, UnmatchedReason.DATABASE_REJECTED, problems=problem)
        detail = unmatched_sentence(UnmatchedReason.DATABASE_REJECTED, problems=problem)
        return ItemPlan(facts, detail=detail, finding=finding)
    if facts.as_new:
        # It stays remembered: none of the records with its key is to find it by that key again.
        ignore_item(run.entity_type, facts.item_id, None, "A person said that it is a record of its own.")
    elif facts.ignored is not None:
        ignored.delete()
    return plan


def _still_matches(run: PassRun, plan: ItemPlan) -> bool:
    """Whether a record that was found by its match key alone is still the only one."""
    return plan.act is not ItemAct.LINK or plan.facts.named is not None or not _has_new_match(run, plan.facts)


def _has_new_match(run: PassRun, facts: ItemFacts) -> bool:
    """Whether a record has the item's match key by now that had it not, or wasn't there, when this was decided."""
    key = match_text_of_item(run.board, facts.item) if facts.item else ""
    found = queries.records_by_match_key(run.board, [key]).get(key, []) if key else []
    return not {record.pk for record in found} <= {record.pk for record in facts.matching}


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


def _ask_owner(run: PassRun, plan: ItemPlan) -> ItemPlan:
    """Ask about records that still stand as the question says."""
    asked, entity_type, question = plan.asked, run.entity_type, plan.question
    known = {record.pk: (record.monday_id, record.may_sync) for record in asked}
    locked = run.records.select_for_update(no_key=True, of=("self",)).filter(pk__in=known).order_by("pk")
    if {record.pk: (record.monday_id, record.may_sync) for record in locked} != known:
        return released(plan)
    report = ConflictReport(entity_type, asked[0].pk, plan.facts.item_id, KIND_IDENTITY, data=dict(question))
    current_store().save_reports([report])
    for record in linkable(asked):
        # The record waits for the answer; its other conflicts stay.
        key = {"entity_type": entity_type, "entity_id": str(record.pk), "system": "monday"}
        ledger, _ = SyncMetadata.objects.get_or_create(**key, defaults={"base": {}})
        ledger.refresh_from_db(fields=["conflicts"])
        ledger.conflicts = {**ledger.conflicts, "identity": [question["what"]]}
        ledger.asked_items = [plan.facts.item_id]
        ledger.save(update_fields=["conflicts", "asked_items"])
        run.records.filter(pk=record.pk).update(sync_status="conflict")
    return plan


def _change_tombstone(plan: ItemPlan, changed: Tombstone) -> ItemPlan:
    known = next(tombstone for tombstone in plan.facts.tombstones if tombstone.pk == changed.pk)
    tombstones = Tombstone.objects.filter(pk=known.pk, state=known.state, monday_id=known.monday_id)
    updated = tombstones.update(monday_id=changed.monday_id, state=changed.state)
    return plan if updated else released(plan)


# Second items of linked records.


def settle_duplicates(run: PassRun, plan: Plan, results: Sequence[tuple[DuplicatePlan, DuplicateResult]]) -> Plan:
    """Store what became of every second item, in one transaction; raises LeaseLost.

    Return the plan with its items as that leaves them, and the records whose answers were carried out, or failed.
    """
    found = {done.duplicate.item.id: (done, result) for done, result in results if not done.duplicate.is_answered}
    second = [item for item in plan.items if item.act is ItemAct.DUPLICATE]
    if not results and not second:
        return plan

    def store() -> tuple[ItemPlan, ...]:
        # Reads of the next minutes are compared with what took effect, by the time at which that was known.
        done = [intent.pk for _, result in results for intent in result.intents]
        Intent.objects.filter(pk__in=done).update(state=IntentState.APPLIED, settled_at=SyncNow())
        for one, result in results:
            if result.kind:
                read = run.this.read_request
                cause = {"read": read, "rule": "a second item has the record's NPD ID"}
                about = one.duplicate.record.pk, one.duplicate.item.id
                run.log_decision(*about, result.kind, result.detail, request_id=read, cause=cause)
            if one.duplicate.is_answered and result.outcome is Outcome.SETTLED:
                _store_copy_answer(run, plan.records[one.duplicate.record.pk], one.duplicate, result)
        return tuple(_settle_second(run, item, found) if item in second else item for item in plan.items)

    items = run.in_transaction(store)
    plan = replace(plan, items=items)
    for one, result in results:
        if one.duplicate.is_answered:
            # Of a record with several copies each counts: what failed first stays failed.
            plan = plan.with_records([_after_copy_answer(plan.records[one.duplicate.record.pk], one.duplicate, result)])
    return plan


def _settle_second(
    run: PassRun, item: ItemPlan, found: Mapping[str, tuple[DuplicatePlan, DuplicateResult]]
) -> ItemPlan:
    """End the job of an item that bore the NPD ID, and ask about it unless it left the board."""
    if item.facts.item_id not in found:
        # Writing to Monday is paused, or was until now.
        if paused := _defer_if_paused(run, item.facts, QueueDirection.TO_MONDAY):
            return replace(item, outcome=Outcome.RELEASED, detail=paused)
        end_jobs(run, [Job(item.facts.claim, Ending(Outcome.RELEASED))])
        return replace(item, outcome=Outcome.RELEASED)
    done, result = found[item.facts.item_id]
    detail = f"Who is this? {result.asks}" if result.asks else result.detail
    if result.asks:
        current_store().save_reports([duplicate_report(run.board, done.duplicate)])
    elif result.kind:
        clear_unmatched(run.entity_type, [item.facts.item_id])
    if result.kind:
        WebhookEvent.objects.filter(item_id=item.facts.item_id, processed_at=None).update(
            processed_at=SyncNow(), outcome=detail[:200]
        )
    end_jobs(run, [Job(item.facts.claim, ending(result.outcome, detail))])
    return replace(item, outcome=result.outcome, detail=detail)


def _store_copy_answer(run: PassRun, plan: RecordPlan, duplicate: DuplicateItem, result: DuplicateResult) -> None:
    """Close the question whose answer was carried out."""
    item_id, detail = duplicate.item.id, result.detail
    clear_unmatched(run.entity_type, [item_id])
    report = plan.conflict_report(KIND_IDENTITY, item_id, applied={RECORD_KEY: detail}, closing_reason=detail)
    current_store().save_reports([report])


def _after_copy_answer(plan: RecordPlan, duplicate: DuplicateItem, result: DuplicateResult) -> RecordPlan:
    """A failed one is tried again with the record's next pass."""
    if result.outcome is not Outcome.SETTLED:
        return plan.end(result.outcome, result.detail) if plan.is_open else plan
    left = [conflict for conflict in plan.facts.conflicts if conflict.monday_item_id != duplicate.item.id]
    return plan.with_facts(conflicts=tuple(left))


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


# Deleted records: tombstones, questions, history, intents and jobs, in one transaction.


def settle_deleted(run: PassRun, plan: Plan) -> Plan:
    """Store what became of the pass's deleted records and end their jobs; raises LeaseLost."""
    if not plan.deleted and not plan.other_jobs:
        return plan
    return plan.with_deleted(run.in_transaction(partial(_settle_deleted, run, plan)))


def _settle_deleted(run: PassRun, plan: Plan) -> list[DeletedRecord]:
    ids = [one.facts.tombstone.pk for one in plan.deleted.values()]
    tombstones = {s.pk: s for s in Tombstone.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    ledgers, now, settled = [], sync_now(), list[DeletedRecord]()
    for planned in plan.deleted.values():
        one, tombstone = planned, tombstones.get(planned.facts.tombstone.pk)
        if tombstone is None or tombstone.state == TombstoneState.RESTORED:
            settled.append(replace(one, plan=replace(one.plan, new_state=None, question=None, approval=None)))
            tombstones.pop(one.facts.tombstone.pk, None)
            continue
        if one.plan.restores:
            one = _restored(run, one, tombstone)
        _set_tombstone(tombstone, one.plan, now)
        _free_item(one.facts, one.plan)
        if (ledger := ledger_after(one.facts, one.plan)) is not None:
            ledgers.append(ledger)
        settled.append(one)
    if tombstones:
        update_many(list(tombstones.values()), ["state", "settled_at", "note", "reason_code"])
    # The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked.
    names = ["conflicts", "asked_items", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(ledgers, update_conflicts=True, unique_fields=key, update_fields=names)
    # What went is counted already, and what didn't is decided anew.
    held = [one for one in settled if one.plan.ending.outcome is Outcome.SETTLED]
    requests = [request for one in held if (request := removal_request(run.board.link, one.facts, one.plan))]
    ApprovalRequest.objects.bulk_create(requests)
    current_store().save_reports([report for one in settled for report in deletion_reports(one)])
    plans = [as_record_plan(one) for one in settled]
    run.store_history(plans)
    end_intents(plans, [one for one in plans if one.is_settled])
    end_jobs(run, [*map(_job_of, settled), *plan.other_jobs])
    enqueue_paused(run.entity_type, plans)
    return settled


def _job_of(one: DeletedRecord) -> Job:
    how = one.plan.ending
    is_settled = how.outcome is Outcome.SETTLED
    return Job(one.facts.claim, replace(how, detail=one.plan.reason) if is_settled else how)


def _set_tombstone(tombstone: Tombstone, plan: DeletedPlan, now: datetime) -> None:
    if plan.new_state is not None:
        tombstone.state = plan.new_state
        tombstone.settled_at = None if plan.new_state in OPEN_TOMBSTONE_STATES else now
    tombstone.note = plan.reason or tombstone.note
    tombstone.reason_code = plan.reason_code or tombstone.reason_code


def _free_item(facts: DeletedFacts, plan: DeletedPlan) -> None:
    """An item that is unlinked makes no record; one that is another's by now is as any that no record has."""
    kind, item_id = facts.tombstone.entity_type, facts.tombstone.monday_id
    if plan.new_state == TombstoneState.UNLINKED and item_id:
        why = f"Its record “{facts.record}” was deleted in NPD, and the item was unlinked."
        ignore_item(kind, item_id, facts.id, why)
    if plan.frees_item and item_id:
        wait = UNMATCHED_ITEM_WAIT_SECONDS
        enqueue_item(kind, item_id, cause=Cause.DEPENDENCY, priority=Priority.EDIT, due_in_seconds=wait)


def _restored(run: PassRun, one: DeletedRecord, tombstone: Tombstone) -> DeletedRecord:
    """Store the record again as a person chose; a person is asked anew where NPD can't take it back."""
    facts, plan = one.facts, one.plan
    if found_pause := locked_pauses(run.entity_type).get(QueueDirection.TO_NPD):
        why = pause_sentence(found_pause, QueueDirection.TO_NPD)
        return replace(one, plan=replace(plan, ending=Ending(Outcome.RELEASED, why)), answer=None)
    item_id = NEW_ITEM
    detail = (
        "Restored as a person chose, as it was when it was deleted: its item has left the board meanwhile, so "
        "it gets a new one. What was edited there is in the conflict."
    )
    if facts.item is not None and facts.item.state == ACTIVE:
        item_id, detail = facts.item.id, "Restored with what was edited on Monday, as a person chose."
    try:
        restore_record(tombstone, item_id=item_id, sentence=detail)
    except RestoreError as error:
        policy = DeletedRecordPolicy(run.board.link.deleted_record_policy)
        return replace(one, plan=ask_about_deletion(facts, plan, policy, str(error)))
    history = (*plan.history, HistoryLine("restored", detail))
    done = replace(plan, new_state=TombstoneState.RESTORED, reason=detail, carried_out=detail, history=history)
    return replace(one, plan=done)
