"""Send a plan: store each write's intent, join writes in documents, split refused ones, and return the answers.

A document is the writes of one call. Nothing else under sync/ calls a mutation. changes.py and the rules decide what is
sent and what an answer means.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

import structlog
from django.conf import settings

from sync.choices import ApprovalState, CallKind, RecordSyncStatus, WaitsFor
from sync.clock import SyncNow, sync_now
from sync.fields import lookups
from sync.fields.field_values import ACTIVE, BoardContext, npd_id_of
from sync.limits import breaker, connector, failed_writes, meter_board_calls
from sync.models import ApprovalRequest, BoardLink, Intent, IntentState
from sync.monday import board_items, errors
from sync.monday.errors import MondayError, Scope
from sync.monday.item_documents import prepare_archive, prepare_changes, prepare_creates, prepare_delete
from sync.monday.lag import LOOKS
from sync.outbox import wakeups
from sync.outbox.claim import Lease, LeaseLost
from sync.outbox.pauses import locked_pause
from sync.reconcile import gather, pass_plan
from sync.reconcile.changes import item_writes, settings_of, take_answer
from sync.reconcile.facts import CHANGED, SETTINGS_CHANGED
from sync.reconcile.gather.item_facts import owners_of
from sync.reconcile.missing import deleted_records, duplicates
from sync.reconcile.pass_plan import Write, WriteAnswer, WriteVerdict
from sync.reconcile.restraints import new_clear_requests
from sync.words.message import Message, of_error, sentences

# A call whose intent is older isn't sent; normally it is sent within milliseconds.
INTENT_SECONDS = 10

# A pass begins no call after this time, because each may take half as long again and its task has a time limit.
PASS_SECONDS = 60

# Why a call that takes an item, or its NPD ID, off the board has failed although Monday answered it.
WITHOUT_EFFECT = Message("call_swallowed")

log = structlog.get_logger(__name__)

# By the unit of each write.
Answers = dict[str, WriteAnswer]

# A write with its committed intent.
Announced = tuple[Write, Intent]


def send(executor: Executor, plan: pass_plan.Plan) -> None:
    """Send everything planned, and add Monday's answers to the plan; raises LeaseLost."""
    board = executor.board
    # The items of deleted records leave the board, or lose their NPD IDs.
    to_remove = [deleted for deleted in plan.open_deleted if deleted.act]
    answers: Answers = {}
    for policy, kind in deleted_records.REMOVAL_CALLS.items():
        plans = [deleted for deleted in to_remove if deleted.act == policy]
        answers |= executor.send(kind, [deleted_records.item_removal_write(board, deleted) for deleted in plans])
    for deleted in to_remove:
        deleted_records.take_removal_answer(board, deleted, answers[str(deleted.id)])
    # Stored before their writes are sent, so that they count even after a crash.
    ApprovalRequest.objects.bulk_create(new_clear_requests(plan, ApprovalState.DONE, ApprovalState.KEPT))
    # The records' values are sent, and their items created.
    changes, creates = item_writes(board, plan)
    answers = executor.send(CallKind.CHANGE, changes) | executor.create(creates)
    for write in (*changes, *creates):
        take_answer(plan.records[write.record_id], answers[write.unit])
    send_duplicates(executor, plan)


def send_duplicates(executor: Executor, plan: pass_plan.Plan) -> None:
    """Clear the NPD IDs of duplicates, or archive them; raises LeaseLost."""
    board = executor.board
    planned = [item for item in plan.items if item.act in pass_plan.DUPLICATES]
    units = {item.facts.item_id: f"{item.original_record.pk} {item.item.id} {item.act}" for item in planned}
    without_npd_id = {board.link.npd_id_column: None}
    clearings = [
        Write(units[item.facts.item_id], item.original_record.pk, item.item.id, without_npd_id)
        for item in planned
        if item.act == pass_plan.CLEAR_NPD_ID
    ]
    cleared = executor.send(CallKind.CHANGE, clearings)
    archives = []
    for item in planned:
        unit = units[item.facts.item_id]
        if duplicates.is_to_archive(board, item, cleared.get(unit)):
            approval = duplicates.archive_request(item) if item.is_ours else None
            archives.append(Write(unit, item.original_record.pk, item.item.id, approval=approval))
    archived = executor.send(CallKind.ARCHIVE, archives)
    for item in planned:
        unit = units[item.facts.item_id]
        duplicates.take_answers(board, item, [sent[unit] for sent in (cleared, archived) if unit in sent])


class Executor:
    """Sends the writes of one pass under its lease; after an error of the account or board it sends nothing more."""

    def __init__(
        self,
        lease: Lease,
        board: BoardContext,
        stop_reason: str = "",
        read_at: datetime | None = None,
        began_at: float | None = None,
    ) -> None:
        self.lease = lease
        self.board = board
        self.stop_reason = stop_reason  # why nothing more is sent
        self.read_at = read_at  # when the pass began to read what it decided by
        self.calls = 0  # made to Monday
        self.began_at = time.monotonic() if began_at is None else began_at  # when the pass began, monotonic
        self.intended_at = 0.0  # when committing the intents of the present call began, monotonic
        self.has_written = False  # Monday has carried out a write of this pass
        # Failed documents that `send` still has to judge, and how many it has judged before.
        self.unjudged: list[tuple[MondayError, Sequence[Write]]] = []
        self.judged = 0

    @cached_property
    def repeats(self) -> failed_writes.Repeats:
        """How many repeats were allowed when the pass began, because its writes aren't settled before its end."""
        return failed_writes.repeats_left()

    def send(self, kind: CallKind, writes: Sequence[Write]) -> Answers:
        """Send the writes and return their answers by unit; raises LeaseLost.

        Failed documents are judged at the end: if others were written, the failure is a record's own and no outage.
        """
        answers: Answers = {}
        place = 0
        repeated = 0
        failures = failed_writes.failures_of([write.record_id for write in writes]) if writes else {}
        for document in documents_of(writes, failures):
            failure = failures.get(document[0].record_id)
            # A repeat is counted if Monday failed on each record while others were written.
            if failure is None or not failure.is_at_fault:
                answers |= self._send_document(kind, document)
                continue
            # Each document that failed in this pass has used up a repeat.
            if self.repeats.remaining - self.judged - len(self.unjudged) < 1:
                place += 1
                wait = failed_writes.seconds_until_turn(place)
                turn = WaitsFor.TURN
                answer = WriteAnswer(WriteVerdict.HELD, Message("waits_turn"), wait_seconds=wait, waits_for=turn)
                answers |= {write.unit: copy(answer) for write in document}
                continue
            sent = self._send_document(kind, document)
            answers |= sent
            repeated += sum(answer.verdict is WriteVerdict.DONE for answer in sent.values())
        if repeated and self.repeats.is_quiet and not self.unjudged:
            # Monday copes with these records again, so twice as many are tried next.
            failed_writes.make_turns_due(2 * repeated)
        self._judge(answers)
        return answers

    def _judge(self, answers: Answers) -> None:
        """Complete the answers for the records of failed documents."""
        if not self.unjudged:
            return
        documents = [(error, {write.record_id for write in writes}) for error, writes in self.unjudged]
        judgements = failed_writes.judge_failed_writes(documents, others_written=self.has_written)
        for (error, writes), judgement in zip(self.unjudged, judgements, strict=True):
            waits = Message(f"waits_{judgement.waits_for}") if judgement.waits_for else ""
            detail = sentences(waits, of_error(error))
            if judgement.ends_pass and not judgement.is_at_fault:
                self.stop_reason = detail
            verdict = WriteVerdict.HELD
            if len(writes) > 1:
                verdict = WriteVerdict.STOPPED
            elif judgement.is_at_fault:
                verdict = WriteVerdict.FAILED
                detail = of_error(error)
            for write in writes:
                if write.unit not in answers:  # a trial on another record's item
                    continue
                answer = answers[write.unit]
                answer.verdict = verdict
                answer.detail = detail
                answer.wait_seconds = judgement.wait_seconds
                answer.waits_for = judgement.waits_for
        self.judged += len(self.unjudged)
        self.unjudged = []

    def create(self, writes: Sequence[Write]) -> Answers:
        """Create items; an item refused because of a value is created with its name alone. Raises LeaseLost."""
        made = self._find_created(writes)
        answers = self.send(CallKind.CREATE, [write for write in writes if write.unit not in made])
        name_only = []
        for write in writes:
            if write.unit in answers and answers[write.unit].verdict is WriteVerdict.NAME_ONLY:
                others = [key for key, column in write.columns.items() if column != board_items.NAME_COLUMN]
                only_name = write.without(others)
                only_name.refused_at = self.read_at
                name_only.append(only_name)
        if name_only and not self.stop_reason:
            made |= self._search_items(name_only)
            made |= self._find_created([write for write in name_only if write.unit not in made])
        made |= self.send(CallKind.CREATE, [write for write in name_only if write.unit not in made])
        for unit, answer in made.items():
            answer.rejected = {**answers[unit].rejected, **answer.rejected} if unit in answers else {}
            if answer.verdict is WriteVerdict.NAME_ONLY:
                # If it is refused for a value again, nothing more can be left out.
                answer.verdict = WriteVerdict.FAILED
            answer.is_name_only = True
            answers[unit] = answer
        return answers

    def _find_created(self, writes: Sequence[Write]) -> Answers:
        """Return answers for creates that Monday refused lately, and may have carried out all the same.

        Searches may be late, so the board's activity log is asked which items our user has created since.
        """
        refused_at = {write.unit: write.refused_at for write in writes if write.refused_at}
        if not refused_at:
            return {}
        self.calls += 1
        created = gather.read_created_items(self.board, min(refused_at.values()))
        if created is None:
            return {}  # nothing but a search can tell
        answers = {}
        for write in writes:
            if item := created.by_npd_id.get(str(write.record_id)):
                answers[write.unit] = WriteAnswer(WriteVerdict.DONE, item=item)
            elif created.has_unknown and write.unit in refused_at:
                detail = Message("new_item_unknown")
                answers[write.unit] = WriteAnswer(WriteVerdict.HELD, detail, wait_seconds=LOOKS[-2])
        return answers

    def _search_items(self, writes: Sequence[Write]) -> Answers:
        """Return answers for the creates not to send again: the item is there after all, or can't be searched for."""
        self.calls += 1
        try:
            items = gather.items_with_npd_ids(self.board, [str(write.record_id) for write in writes])
        except MondayError as error:
            self._stop(error)
            return {write.unit: WriteAnswer(WriteVerdict.STOPPED, of_error(error)) for write in writes}
        if items is None:
            detail = Message("npd_ids_unreadable")
            return {write.unit: WriteAnswer(WriteVerdict.STOPPED, detail) for write in writes}
        answers = {}
        for write in writes:
            if item := items.get(str(write.record_id)):
                answers[write.unit] = WriteAnswer(WriteVerdict.DONE, item=item)
        return answers

    def resend(self, intents: Sequence[Intent]) -> board_items.WriteResult | MondayError | None:
        """Send a document of unanswered creates again under its own key; None if the board is paused or stopped.

        The lease and the intents' deadline are moved past the time in which this call may land. Raises LeaseLost.
        """
        if self.stop_reason:
            return None
        body = next(intent.body for intent in intents if intent.body)
        deadline_seconds = _deadline_seconds()
        self.intended_at = time.monotonic()
        self.lease.renew(deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS)
        with self.lease.transaction():
            if locked_pause(self.board.link.entity_type):
                return None
            deadline = SyncNow() + timedelta(seconds=deadline_seconds)
            Intent.objects.filter(pk__in=[intent.pk for intent in intents]).update(deadline=deadline)
        request = board_items.WriteRequest(body, [intent.alias for intent in intents], self.board.columns)
        try:
            result = self._write(request, intents[0].idempotency_key, len(intents))
        except MondayError as error:
            # A repeated failure proves nothing new about other writes.
            if error.scope is not Scope.TRANSPORT and not is_refused(error):
                self._stop_writing(error)
            return error
        # A replayed answer is the first call's, and so doesn't show that Monday writes now.
        self.has_written |= _has_item(result) and not result.replayed
        return result

    def _send_document(self, kind: CallKind, writes: Sequence[Write]) -> Answers:
        """Commit the intents of one call and make it; after a failure it isn't repeated in this pass."""
        stop_reason = self.stop_reason
        if not stop_reason and not self.has_written and len(self.unjudged) >= failed_writes.PARTS:
            stop_reason = breaker.WRITES_STOPPED
        if not stop_reason and time.monotonic() - self.began_at > PASS_SECONDS:
            stop_reason = Message("monday_is_slow")
        if stop_reason or not writes:
            return {write.unit: WriteAnswer(WriteVerdict.STOPPED, stop_reason) for write in writes}
        answer_of_stop = self._answer_of_stop(kind)
        if answer_of_stop.detail:
            return {write.unit: copy(answer_of_stop) for write in writes}
        idempotency_key = uuid.uuid4().hex
        answers, announced, request = commit_intents(self, kind, writes, idempotency_key)
        if request is None:
            return answers
        try:
            result = self._write(request, idempotency_key, len(announced))
        except MondayError as error:
            if error.scope is not Scope.BOARD:
                log.warning("document failed", records=len(announced), scope=str(error.scope), reason=error.sentence)
                if is_refused(error):
                    return answers | self._split_refused_document(kind, announced, error)
                return answers | self._end_failed_call(announced, error)
            # The board refuses each of its writes.
            result = board_items.WriteResult(dict.fromkeys(request.aliases, error), error.request_id or "")
        return answers | self._read_answers(kind, announced, result)

    def _write(self, request: board_items.WriteRequest, idempotency_key: str, size: int) -> board_items.WriteResult:
        """Make one call; if no part of it has a known outcome, the whole call has failed, and raises that error."""
        check_intent_age(self)
        self.calls += 1
        with meter_board_calls(self.board.link, size, writes=True):
            result = connector().write(request, idempotency_key)
        failed = [written for written in result.by_alias.values() if isinstance(written, MondayError)]
        unknown = [error for error in failed if error.outcome_unknown]
        if len(unknown) == len(result.by_alias) and not result.replayed:
            raise unknown[0]
        return result

    def _read_answers(self, kind: CallKind, announced: Sequence[Announced], result: board_items.WriteResult) -> Answers:
        """Return the answers to the units of a call that Monday has answered, and end the intents of refused ones."""
        is_written = _has_item(result)
        self.has_written |= is_written
        if is_written:
            breaker.end_board_stop(self.board.link, kind)
        answers: Answers = {}
        forbidden: list[tuple[Write, MondayError]] = []
        for number, (write, intent) in enumerate(announced):
            intent.request_id = result.request_id
            if write.is_divided:
                answers[write.unit] = self._read_answers_to_values((write, intent), result, kind)
            elif isinstance(outcome := result.by_alias[f"r{number}"], board_items.Item):
                if _is_without_effect(self.board, kind, write, outcome):
                    # The next attempt reads the item, and sends it again if this answer was right.
                    ends = {"state": IntentState.VOID, "settled_at": SyncNow()} if kind is CallKind.CHANGE else {}
                    Intent.objects.filter(pk=intent.pk, state=IntentState.OPEN).update(deadline=SyncNow(), **ends)
                    answers[write.unit] = WriteAnswer(WriteVerdict.FAILED, WITHOUT_EFFECT)
                    continue
                answers[write.unit] = WriteAnswer(WriteVerdict.DONE, item=outcome, intent=intent)
            elif outcome.kind is errors.BOARD_FORBIDDEN and kind is CallKind.CHANGE and write.entries:
                _close_intents([intent], IntentState.REJECTED)
                forbidden.append((write, outcome))
            else:
                answers[write.unit] = self._end_rejected(kind, (write, intent), outcome)
        return answers | self._end_forbidden(kind, forbidden)

    def _read_answers_to_values(
        self, announced: Announced, result: board_items.WriteResult, kind: CallKind
    ) -> WriteAnswer:
        """Return the answer to a unit whose values were sent alone, so that only the refused ones are blocked."""
        write, intent = announced
        item: board_items.Item | None = None
        by_field: dict[str, board_items.Item] = {}
        rejected: dict[str, MondayError] = {}
        for number, key in enumerate(write.entries):
            outcome = result.by_alias[f"v{number}"]
            if isinstance(outcome, board_items.Item):
                item = by_field[key] = outcome
            elif outcome.scope in (Scope.FIELD, Scope.COLUMN) or outcome.kind is errors.BOARD_FORBIDDEN:
                rejected[key] = outcome
            else:
                answer = self._end_rejected(kind, announced, outcome)
                answer.item = item
                answer.items_by_field = by_field
                answer.rejected = rejected
                answer.unsent = frozenset(write.entries) - by_field.keys() - rejected.keys()
                return answer
        if isinstance(npd_id_item := result.by_alias.get("npdid"), board_items.Item):
            item = npd_id_item
        return WriteAnswer(WriteVerdict.DONE, item=item, intent=intent, items_by_field=by_field, rejected=rejected)

    def _end_rejected(self, kind: CallKind, announced: Announced, error: MondayError) -> WriteAnswer:
        """Answer a write with an error of its own, and end its intent unless it may have taken effect."""
        write, intent = announced
        if error.scope is Scope.BOARD:
            _close_intents([intent], IntentState.REJECTED)
            # The name alone is tried first, because only a column may be forbidden.
            is_name_only = set(write.columns.values()) <= {board_items.NAME_COLUMN}
            if error.kind is errors.BOARD_FORBIDDEN and kind is CallKind.CREATE and not is_name_only:
                return WriteAnswer(WriteVerdict.NAME_ONLY, of_error(error))
            if error.kind is errors.BOARD_FORBIDDEN and kind is not CallKind.CREATE:
                return WriteAnswer(WriteVerdict.FAILED, of_error(error))
            # Only calls of this kind wait, because the board can still be read.
            if not breaker.stop_of_call(self.board.link, kind):
                breaker.stop_board(self.board.link, error, kind)
            return self._answer_of_stop(kind)
        if not write.is_divided and error.scope in (Scope.FIELD, Scope.COLUMN):
            _close_intents([intent], IntentState.REJECTED)
            return self._end_rejected_value(kind, write, error)
        if not error.outcome_unknown:
            _close_intents([intent], IntentState.REJECTED)
        verdict = WriteVerdict.FAILED
        if error.kind in (errors.ITEM_NOT_FOUND, errors.ITEM_INACTIVE):
            verdict = WriteVerdict.GONE
        elif error.scope in (Scope.ACCOUNT, Scope.LIMIT):
            self._stop_writing(error)
            verdict = WriteVerdict.STOPPED
        return WriteAnswer(verdict, of_error(error), intent=intent if error.outcome_unknown else None)

    def _end_rejected_value(self, kind: CallKind, write: Write, error: MondayError) -> WriteAnswer:
        """Answer a refused value: a new item is sent with its name alone, a change with each other value alone."""
        if error.kind is errors.COLUMN_NOT_FOUND:
            # The read before a create doesn't show that a column is missing.
            wakeups.sweep_soon(BoardLink.objects.filter(pk=self.board.link.pk))
        if error.column_id == self.board.link.npd_id_column:
            breaker.stop_board(self.board.link, error, kind)
            return self._answer_of_stop(kind)
        rejected = rejected_fields(write, error)
        if kind is CallKind.CREATE:
            is_name = any(write.columns[key] == board_items.NAME_COLUMN for key in rejected)
            verdict = WriteVerdict.FAILED if is_name else WriteVerdict.NAME_ONLY
            return WriteAnswer(verdict, of_error(error), rejected=rejected)
        if not write.entries:
            return WriteAnswer(WriteVerdict.FAILED, of_error(error))
        remaining = write.without(rejected)
        remaining.is_divided = True
        if not remaining.values:
            return WriteAnswer(WriteVerdict.DONE, rejected=rejected)
        answer = self._send_document(kind, [remaining])[write.unit]
        answer.rejected = {**rejected, **answer.rejected}
        return answer

    def _end_forbidden(self, kind: CallKind, forbidden: Sequence[tuple[Write, MondayError]]) -> Answers:
        """Find out what the token's user may not write (a column, an item, or the board), and answer these writes.

        1. A column that an error names is closed.
        2. Else the board is closed if another record's item refuses a write that changes nothing. It is open if it has
           taken a write of this pass.
        3. Two records are tried with each value alone. If the item takes one, the columns of the refused ones are
           closed, and the other records are sent without them. If it takes none, it is closed. Without another record
           in sync, the second such item closes the board.
        """
        closed_columns = {error.column_id for write, error in forbidden if error.column_id in write.columns.values()}
        if closed_columns:
            return self._send_without_columns(kind, forbidden, closed_columns)
        trial = None if self.has_written or not forbidden else unchanged_write(self.board, forbidden)
        if trial is not None:
            trial.is_divided = True
            tried = self._send_document(kind, [trial])[trial.unit]
            if tried.verdict is not WriteVerdict.DONE:
                # Whether the board is closed isn't known: all is sent again when this answer allows it.
                tried.intent = None
                return {write.unit: copy(tried) for write, _ in forbidden}
            if tried.intent:
                # The trial's record isn't in this pass, so nothing else ends this intent.
                _close_intents([tried.intent], IntentState.APPLIED if tried.item else IntentState.REJECTED)
            if tried.item is None:
                return self._stop_kind(kind, forbidden)
        answers = {write.unit: WriteAnswer(WriteVerdict.FAILED, of_error(error)) for write, error in forbidden}
        for number, (write, _) in enumerate(forbidden[:2]):  # not a call for each, because they could be many
            # The record's own NPD ID changes nothing, so a closed item refuses it and an open one takes it.
            divided = copy(write)
            divided.values = {self.board.link.npd_id_column: str(write.record_id), **write.values}
            divided.is_divided = True
            answer = self._send_document(kind, [divided])[write.unit]
            if answer.item is None and answer.rejected:
                _close_intents([answer.intent] if answer.intent else [], IntentState.REJECTED)
                if number > 0 and not self.has_written:
                    return self._stop_kind(kind, forbidden)
                continue
            answers[write.unit] = answer
            closed_columns = {write.columns[key] for key in answer.rejected}
            if closed_columns:
                return answers | self._send_without_columns(kind, forbidden[number + 1 :], closed_columns)
        return answers

    def _send_without_columns(
        self, kind: CallKind, forbidden: Sequence[tuple[Write, MondayError]], closed_columns: Collection[str | None]
    ) -> Answers:
        """Send forbidden writes without the closed columns; what is forbidden again is so for another reason."""
        rejected = {}
        remaining = []
        for write, error in forbidden:
            rejected[write.unit] = {key: error for key, column in write.columns.items() if column in closed_columns}
            remaining.append(write.without(rejected[write.unit]))
        sent_answers = self._send_document(kind, [write for write in remaining if write.values])
        answers = {}
        for write in remaining:
            answer = sent_answers.get(write.unit) or WriteAnswer(WriteVerdict.DONE)
            answer.rejected = {**rejected[write.unit], **answer.rejected}
            answers[write.unit] = answer
        return answers

    def _stop_kind(self, kind: CallKind, forbidden: Sequence[tuple[Write, MondayError]]) -> Answers:
        """Have all calls of this kind wait, because the board takes none of them."""
        breaker.stop_board(self.board.link, forbidden[0][1], kind)
        return {write.unit: self._answer_of_stop(kind) for write, _ in forbidden}

    def _answer_of_stop(self, kind: CallKind) -> WriteAnswer:
        """Return the answer to writes that wait for calls of this kind; without a detail if these aren't stopped."""
        stop = breaker.stop_of_call(self.board.link, kind)
        if stop is None:
            return WriteAnswer(WriteVerdict.HELD)
        seconds = (stop.until - sync_now()).total_seconds()
        return WriteAnswer(WriteVerdict.HELD, stop.reason, wait_seconds=seconds, waits_for=WaitsFor.WRITES)

    def _split_refused_document(self, kind: CallKind, announced: Sequence[Announced], error: MondayError) -> Answers:
        """Send the halves of a document that Monday refused before running it, until the write at fault is alone."""
        writes = [write for write, _ in announced]
        if len(writes) == 1 and error.scope is Scope.DOCUMENT:
            # The error doesn't name this record, and other records may meet it as well.
            _close_intents([intent for _, intent in announced], IntentState.VOID)
            self.unjudged.append((error, writes))
            return {writes[0].unit: WriteAnswer(WriteVerdict.STOPPED, of_error(error))}
        if len(writes) == 1:
            return {writes[0].unit: self._end_rejected(kind, announced[0], error)}
        _close_intents([intent for _, intent in announced], IntentState.REJECTED)
        half = len(writes) // 2
        return self._send_document(kind, writes[:half]) | self._send_document(kind, writes[half:])

    def _end_failed_call(self, announced: Sequence[Announced], error: MondayError) -> Answers:
        """Stop writing, or leave the document to be judged at the end if it or its answer was lost on the way.

        It isn't split: its parts could be written twice.
        """
        if error.kind is errors.ANSWER_WITHOUT_DATA:
            # The request is over, though its outcome isn't known, so changes may be read again at once. Creates are
            # searched for by NPD ID later, because Monday's search lags behind.
            ids = [intent.pk for _, intent in announced if intent.item_id]
            Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(deadline=SyncNow())
        elif not error.outcome_unknown:
            _close_intents([intent for _, intent in announced], IntentState.REJECTED)
        if error.scope is Scope.TRANSPORT:
            self.unjudged.append((error, [write for write, _ in announced]))
        else:
            self._stop_writing(error)
        answers = {}
        for write, intent in announced:
            open_intent = intent if error.outcome_unknown else None
            answers[write.unit] = WriteAnswer(WriteVerdict.STOPPED, self.stop_reason, intent=open_intent)
        return answers

    def end_failed_read(self, error: MondayError, record_count: int) -> pass_plan.Ending:
        """Stop the board or account after a failed read of so many records; a failure of one alone is an attempt."""
        self._stop(error)
        is_transport = error.scope is Scope.TRANSPORT
        # One of the records may be at fault, so they are read again in parts; one that fails alone is at fault.
        at_most = max(1, record_count // 4) if is_transport else 0
        counts_attempt = is_transport and record_count == 1 and self.lease.was_isolated
        outcome = pass_plan.Outcome.FAILED if counts_attempt else pass_plan.Outcome.RELEASED
        return pass_plan.Ending(outcome, of_error(error), at_most=at_most)

    def _stop_writing(self, error: MondayError) -> None:
        """Stop writes only, if the account refuses them; the next read stops everything if it is refused too."""
        if error.scope is not Scope.ACCOUNT:
            self._stop(error)
            return
        self.stop_reason = sentences(breaker.WRITES_STOPPED, of_error(error))
        breaker.stop_refused_writes(error)

    def _stop(self, error: MondayError) -> None:
        """Stop the board or the account, and send nothing more in this pass."""
        self.stop_reason = of_error(error)
        breaker.stop_board_or_account(self.board.link, error)


def documents_of(writes: Sequence[Write], failures: Mapping[UUID, failed_writes.Failures]) -> list[list[Write]]:
    """Divide writes into documents. Those that failed together are sent in parts, those at fault last.

    Whatever is written before them shows that their failure is no outage. Writes that failed alone during an outage,
    such as probes, are sent together.
    """
    documents = [[write for write in writes if write.record_id not in failures]]
    groups: dict[tuple[bool, str], list[Write]] = {}  # by whether they are at fault, and by their failed document
    for write in writes:
        failure = failures.get(write.record_id)
        if failure is not None:
            is_probe = failure.size == 1 and not failure.is_at_fault
            groups.setdefault((failure.is_at_fault, "" if is_probe else failure.document), []).append(write)
    for (_, failed_document), group in sorted(groups.items(), key=lambda item: item[0][0]):
        size = failures[group[0].record_id].size
        part_size = 1
        if not failed_document:
            part_size = len(group)
        elif size > failed_writes.FEW:
            part_size = math.ceil(size / failed_writes.PARTS)
        documents += [group[start : start + part_size] for start in range(0, len(group), part_size)]
    return [document for document in documents if document]


def request_of(board: BoardContext, kind: CallKind, writes: Sequence[Write]) -> board_items.WriteRequest:
    """Return the request. The n-th unit has the alias rn; if its values are sent alone, the n-th value has vn."""
    link = board.link
    aliased = [(f"r{number}", write) for number, write in enumerate(writes)]
    if kind in (CallKind.ARCHIVE, CallKind.DELETE):
        prepare = prepare_delete if kind is CallKind.DELETE else prepare_archive
        return prepare({alias: write.item_id for alias, write in aliased}, board.columns, board.types)
    labels = any(write.creates_labels for write in writes)
    if kind is CallKind.CREATE:
        creates = [board_items.ItemWrite(alias, write.values) for alias, write in aliased]
        group = link.group_id or None
        return prepare_creates(link.board_id, group, creates, board.columns, board.types, create_labels=labels)
    changes = [board_items.ItemWrite(alias, write.values, write.item_id) for alias, write in aliased]
    if writes[0].is_divided:
        [write] = writes
        changes = [
            board_items.ItemWrite(f"v{number}", {column_id: write.values[column_id]}, write.item_id)
            for number, column_id in enumerate(write.columns.values())
        ]
        if others := write.without(write.entries).values:
            changes.append(board_items.ItemWrite("npdid", others, write.item_id))
    return prepare_changes(link.board_id, changes, board.columns, board.types, create_labels=labels)


def commit_intents(
    executor: Executor, kind: CallKind, writes: Sequence[Write], idempotency_key: str
) -> tuple[Answers, Sequence[Announced], board_items.WriteRequest | None]:
    """Commit an intent for each write that may still be sent, and renew the lease past the call's deadline.

    Return the answers of writes that aren't sent (all, if the board was paused meanwhile), the others with their
    intents, and the request. Raises LeaseLost.
    """
    lease = executor.lease
    board = executor.board
    read_at = {"read_at": executor.read_at.isoformat()} if executor.read_at else {}
    deadline_seconds = _deadline_seconds()
    executor.intended_at = time.monotonic()
    with lease.transaction(seconds=deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS):
        pause = locked_pause(board.link.entity_type)
        reasons = {write.unit: pause for write in writes} if pause else outdated_units(board, writes)
        unsent = {unit: WriteAnswer(WriteVerdict.WITHDRAWN, reason) for unit, reason in reasons.items()}
        allowed = [write for write in writes if write.unit not in unsent]
        if not allowed:
            return unsent, [], None
        request = request_of(board, kind, allowed)
        intents = [
            Intent(
                id=uuid.uuid4(),
                entity_type=board.link.entity_type,
                entity_id=write.record_id,
                board_id=board.link.board_id,
                item_id=write.item_id,
                idempotency_key=idempotency_key,
                alias=f"r{number}",
                values={key: {**entry, **read_at} for key, entry in write.entries.items()},
                body={"removes": write.removes} if write.removes else None,
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=deadline_seconds),
            )
            for number, write in enumerate(allowed)
        ]
        if kind is CallKind.CREATE:
            # Its body is stored, so that the create can be sent again under its key.
            intents[0].body = dict(request.body)
        Intent.objects.bulk_create(intents)
        ApprovalRequest.objects.bulk_create([write.approval for write in allowed if write.approval])
    for write in allowed:
        # Stored now: a part of a divided write must not store it again.
        write.approval = None
    return unsent, list(zip(allowed, intents, strict=True)), request


def outdated_units(board: BoardContext, writes: Sequence[Write]) -> dict[str, Message]:
    """Read again under the lease what may have changed since the plan; return by unit why it isn't sent."""
    board_now = lookups.load_board(board.link, pass_settings=board.settings)
    if _settings_of_board(board_now) != _settings_of_board(board):
        return {write.unit: SETTINGS_CHANGED for write in writes}
    records = board.model.objects.in_bulk([write.record_id for write in writes])
    owned = owners_of(board.link.entity_type, [write.item_id for write in writes if write.settings is None])
    outdated = {}
    for write in writes:
        record = records.get(write.record_id)
        if write.settings is None:
            # A record may have got the item, or the deleted record may have been restored.
            if write.item_id in owned or (write.removes and record is not None):
                outdated[write.unit] = CHANGED
        elif record is None or settings_of(record) != write.settings:
            outdated[write.unit] = SETTINGS_CHANGED
    return outdated


def _settings_of_board(board: BoardContext) -> tuple[object, ...]:
    mappings = {mapping.key: (mapping.version, mapping.direction) for mapping in board.mappings}
    return mappings, board.link.sync_filter, board.link.deleted_record_policy


def check_intent_age(executor: Executor) -> None:
    """Raise LeaseLost if the intents are too old because this process was frozen.

    Another worker may have the board by now, and the intents' deadline no longer covers the call.
    """
    if time.monotonic() - executor.intended_at > INTENT_SECONDS:
        raise LeaseLost("NPD Sync was interrupted before it sent this, so nothing was sent.")


def _deadline_seconds() -> float:
    return float(settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)


def _close_intents(intents: Iterable[Intent], state: IntentState) -> None:
    """End these intents in this state, unless they have ended."""
    void = {"settled_at": SyncNow()} if state is IntentState.VOID else {}
    ids = [intent.pk for intent in intents]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(state=state, **void)


def rejected_fields(write: Write, error: MondayError) -> dict[str, MondayError]:
    """Return the refused values by the columns that Monday names, or the only value that was sent."""
    columns = error.columns or {board_items.NAME_COLUMN if error.kind is errors.NAME_REJECTED else error.column_id}
    rejected = {key: error.of_column(column) for key, column in write.columns.items() if column in columns}
    is_only = len(write.entries) == 1 and not (error.columns or error.kind is errors.NAME_REJECTED)
    return rejected or (dict.fromkeys(write.entries, error) if is_only else {})


def is_refused(error: MondayError) -> bool:
    """Whether Monday refused a document because of its content before running it, so that it may be split."""
    return error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)


def _is_without_effect(board: BoardContext, kind: CallKind, write: Write, item: board_items.Item) -> bool:
    """Whether the answer to a removal shows the item on the board, or with the NPD ID that it was to lose."""
    if kind in (CallKind.ARCHIVE, CallKind.DELETE):
        return item.state == ACTIVE
    is_cleared = write.values.get(board.link.npd_id_column, "") is None
    return is_cleared and bool(npd_id_of(board, item))


def _has_item(result: board_items.WriteResult) -> bool:
    return any(isinstance(outcome, board_items.Item) for outcome in result.by_alias.values())


def unchanged_write(board: BoardContext, forbidden: Sequence[tuple[Write, MondayError]]) -> Write | None:
    """Return a write that changes nothing, to the item of another record in sync; None if there is none."""
    in_sync = lookups.linked_records(board.link.entity_type).filter(sync_status=RecordSyncStatus.SYNCED)
    # Another one each time, because its item may be closed while the board is open.
    record = in_sync.exclude(pk__in=[write.record_id for write, _ in forbidden]).order_by("?").first()
    if record is None:
        return None
    values = {board.link.npd_id_column: str(record.pk)}  # which its item has already
    return Write(str(record.pk), record.pk, str(record.monday_id), values, settings=settings_of(record))
