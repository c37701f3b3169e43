"""Send a plan: store each write's intent, join writes in documents, split refused ones, and fill in the answers.

A document is the writes of one call. Nothing else of a pass calls a mutation. changes.py and the rules decide what is
sent and what an answer means. Implements M7 and M10 to M14 of docs/reference/merge/limits-and-stops.md.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

import structlog
from django.conf import settings

from sync.choices import ApprovalState, CallKind
from sync.clock import SyncNow, sync_now
from sync.fields import lookups
from sync.fields.field_values import ACTIVE, BoardContext, npd_id_of
from sync.kernel.acts import ARCHIVE_COPY
from sync.limits import breaker, failed_writes
from sync.limits.metered_client import meter_board_calls
from sync.models import ApprovalRequest, BoardLink, Intent, IntentState
from sync.monday import board_items, errors, item_documents
from sync.monday.connector import MondayConnector
from sync.monday.errors import MondayError, Scope
from sync.monday.lag import LOOKS
from sync.outbox import wakeups
from sync.outbox.claim import Lease, LeaseLost
from sync.outbox.finish import PARTS
from sync.outbox.pauses import locked_pause
from sync.reconcile import created_items, pass_plan
from sync.reconcile.changes import item_writes, settings_of, take_answer
from sync.reconcile.facts import CHANGED, SETTINGS_CHANGED, PassFacts
from sync.reconcile.gather.item_facts import owners_of
from sync.reconcile.missing import deleted_records, duplicates
from sync.reconcile.outcomes import OPEN, Ending, Outcome, Write
from sync.reconcile.restraints import new_clear_requests
from sync.words.message import Message, of_error, sentences

# A call whose intent is older isn't sent; normally it is sent within milliseconds.
INTENT_SECONDS = 10

# A pass begins no call after this time, because each may take half as long again and its task has a time limit.
PASS_SECONDS = 60

log = structlog.get_logger(__name__)


def send_plan(executor: Executor, facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Send everything planned, and add Monday's answers to the plan; raises LeaseLost."""
    board = facts.board
    # The items of deleted records leave the board, or lose their NPD IDs.
    for policy, kind in deleted_records.REMOVAL_CALLS.items():
        removals = {
            deleted: deleted_records.item_removal_write(board, deleted)
            for deleted in plan.open_deleted
            if deleted.act == policy
        }
        executor.send(kind, list(removals.values()))
        for deleted, removal in removals.items():
            deleted_records.take_removal_answer(facts, deleted, removal)
    # Stored before their writes are sent, so that they count even after a crash.
    ApprovalRequest.objects.bulk_create(new_clear_requests(plan, ApprovalState.DONE, ApprovalState.REFILLED))
    # The records' values are sent, and their items created.
    changes, creates = item_writes(board, plan)
    executor.send(CallKind.CHANGE, changes)
    executor.create(creates)
    for write in (*changes, *creates):
        take_answer(plan.records[write.record_id], write)
    send_duplicates(executor, plan)


def send_duplicates(executor: Executor, plan: pass_plan.Plan) -> None:
    """Clear the NPD IDs of duplicates, and archive those that a person called copies; raises LeaseLost."""
    board = executor.board
    columns = {pass_plan.CLEAR_NPD_ID: {board.link.npd_id_column: None}, ARCHIVE_COPY: {}}
    writes = {
        duplicate: Write(duplicate.original_record.pk, duplicate.item.id, columns[duplicate.act])
        for duplicate in plan.items
        if duplicate.is_duplicate
    }
    for act, kind in ((pass_plan.CLEAR_NPD_ID, CallKind.CHANGE), (ARCHIVE_COPY, CallKind.ARCHIVE)):
        executor.send(kind, [write for duplicate, write in writes.items() if duplicate.act == act])
    for duplicate, write in writes.items():
        duplicates.take_answer(board, duplicate, write)


class Executor:
    """Sends the writes of one pass under its lease; after an error of the account or board it sends nothing more."""

    def __init__(
        self,
        lease: Lease,
        board: BoardContext,
        connector: MondayConnector,
        read_at: datetime | None = None,
        began_at: float | None = None,
    ) -> None:
        self.lease = lease
        self.board = board
        self.connector = connector
        self.stop_reason = ""  # why nothing more is sent
        self.read_at = read_at  # when the pass began to read what it decided by
        self.began_at = time.monotonic() if began_at is None else began_at  # when the pass began, monotonic
        self.intended_at = 0.0  # when committing the intents of the present call began, monotonic
        self.has_written = False  # Monday has carried out a write of this pass
        self.failed_calls = 0
        self.unjudged: list[tuple[MondayError, Sequence[Write]]] = []  # failed documents that `send` still has to judge

    @cached_property
    def repeats_left(self) -> int:
        """How many repeats were allowed when the pass began, because its writes aren't settled before its end."""
        return failed_writes.repeats_left()

    # --- what is sent -------------------------------------------------------------------------------------------------

    def send(self, kind: CallKind, writes: Sequence[Write]) -> None:
        """Send the writes, and fill in their answers; raises LeaseLost.

        Failed documents are judged at the end: if others were written, the failure is a record's own and no outage.
        """
        failures = failed_writes.failures_of([write.record_id for write in writes]) if writes else {}
        for document in documents_of(writes, failures):
            failure = failures.get(document[0].record_id)
            is_repeat = failure is not None and failure.is_at_fault
            if is_repeat and self.failed_calls >= self.repeats_left:
                for write in document:
                    write.hold(Message("others_first"), failed_writes.seconds_until_repeats())
                continue
            self._send_document(kind, document)
        self._judge()

    def create(self, writes: Sequence[Write]) -> None:
        """Create items; an item refused because of a value is created with its name alone. Raises LeaseLost."""
        unsent = self._not_in_log(writes)
        self.send(CallKind.CREATE, unsent)
        name_only: Sequence[Write] = [write for write in unsent if write.is_name_only]
        for write in name_only:
            write.leave_out([key for key, column in write.columns.items() if column != board_items.NAME_COLUMN])
            write.refused_at = self.read_at
        if name_only and not self.stop_reason:
            name_only = self._not_in_log(self._not_on_board(name_only))
        self.send(CallKind.CREATE, name_only)

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

    def _not_in_log(self, writes: Sequence[Write]) -> Sequence[Write]:
        """Answer creates that Monday refused lately and may have carried out all the same; return the others.

        Searches may be late, so the board's activity log is asked which items our user has created since.
        """
        refusals = [write.refused_at for write in writes if write.refused_at]
        if not refusals:
            return writes
        created = created_items.read_created_items(self.connector, self.board, min(refusals))
        if created is None:
            return writes  # nothing but a search can tell
        remaining = []
        for write in writes:
            item = created.by_npd_id.get(str(write.record_id))
            if item is None and not (created.has_unknown and write.refused_at):
                remaining.append(write)
                continue
            # If it is its own, it may lack values, which the next pass sends.
            write.is_name_only = True
            if item is not None:
                write.end(OPEN, item=item)
            else:
                write.end(Ending(Outcome.DEFERRED, Message("new_item_unknown"), LOOKS[-2]))
        return remaining

    def _not_on_board(self, writes: Sequence[Write]) -> list[Write]:
        """Answer creates whose item is there after all, or can't be searched for; return the others."""
        reason: str = Message("npd_ids_unreadable")
        try:
            ids = [str(write.record_id) for write in writes]
            items = created_items.items_with_npd_ids(self.connector, self.board, ids)
        except MondayError as error:
            self._stop(error)
            reason = of_error(error)
            items = None
        for write in writes:
            if items is None:
                write.stop(reason)
            elif item := items.get(str(write.record_id)):
                write.end(OPEN, item=item)
        return [write for write in writes if items is not None and str(write.record_id) not in items]

    # --- one document -------------------------------------------------------------------------------------------------

    def _send_document(self, kind: CallKind, writes: Sequence[Write]) -> None:
        """Commit the intents of one call and make it; after a failure it isn't repeated in this pass."""
        stop_reason = self.stop_reason
        if not stop_reason and not self.has_written and len(self.unjudged) >= breaker.FAILED_ENOUGH:
            stop_reason = breaker.WRITES_STOPPED
        if not stop_reason and time.monotonic() - self.began_at > PASS_SECONDS:
            stop_reason = Message("monday_is_slow")
        if stop_reason:
            for write in writes:
                write.stop(stop_reason)
            return
        if not writes or self._hold_if_stopped(kind, writes):
            return
        idempotency_key = uuid.uuid4().hex
        allowed, request = commit_intents(self, kind, writes, idempotency_key)
        if request is None:
            return
        try:
            result = self._write(request, idempotency_key, len(allowed))
        except MondayError as error:
            if error.scope is Scope.BOARD:
                # The board refuses each of its writes.
                result = board_items.WriteResult(dict.fromkeys(request.aliases, error), error.request_id or "")
            else:
                log.warning("document failed", records=len(allowed), scope=str(error.scope), reason=error.sentence)
                if is_refused(error):
                    self._split_refused_document(kind, allowed, error)
                else:
                    self._end_failed_call(allowed, error)
                return
        self._read_answers(kind, allowed, result)

    def _write(self, request: board_items.WriteRequest, idempotency_key: str, size: int) -> board_items.WriteResult:
        """Make one call; if no part of it has a known outcome, the whole call has failed, and raises that error."""
        check_intent_age(self)
        with meter_board_calls(self.board.link, size, writes=True):
            result = self.connector.write(request, idempotency_key)
        failed = [written for written in result.by_alias.values() if isinstance(written, MondayError)]
        unknown = [error for error in failed if error.outcome_unknown]
        if len(unknown) == len(result.by_alias) and not result.replayed:
            raise unknown[0]
        return result

    def _split_refused_document(self, kind: CallKind, writes: Sequence[Write], error: MondayError) -> None:
        """Send the halves of a document that Monday refused before running it, until the write at fault is alone."""
        if len(writes) > 1:
            _close_intents(writes, IntentState.REJECTED)
            half = len(writes) // 2
            self._send_document(kind, writes[:half])
            self._send_document(kind, writes[half:])
        elif error.scope is Scope.DOCUMENT:
            # The error doesn't name this record, and other records may meet it as well.
            _close_intents(writes, IntentState.VOID)
            self._judge_later(error, writes)
            writes[0].stop(of_error(error))
        else:
            self._end_rejected(kind, writes[0], error)

    def _end_failed_call(self, writes: Sequence[Write], error: MondayError) -> None:
        """Stop writing, or leave the document to be judged at the end if it or its answer was lost on the way.

        It isn't split: its parts could be written twice.
        """
        if error.kind is errors.ANSWER_WITHOUT_DATA:
            # The request is over, though its outcome isn't known, so changes may be read again at once. Creates are
            # searched for by NPD ID later, because Monday's search lags behind.
            ids = [write.intent.pk for write in writes if write.item_id]
            Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(deadline=SyncNow())
        elif not error.outcome_unknown:
            _close_intents(writes, IntentState.REJECTED)
        if error.scope is Scope.TRANSPORT:
            self._judge_later(error, writes)
        else:
            self._stop_writing(error)
        for write in writes:
            write.stop(self.stop_reason, is_open=error.outcome_unknown)

    def _judge_later(self, error: MondayError, writes: Sequence[Write]) -> None:
        self.failed_calls += 1
        self.unjudged.append((error, writes))

    def _judge(self) -> None:
        """Complete the answers to failed documents."""
        if not self.unjudged:
            return
        documents = [(error, {write.record_id for write in writes}) for error, writes in self.unjudged]
        at_fault = failed_writes.judge_failed_writes(documents, others_written=self.has_written)
        for (error, records), (_, writes) in zip(documents, self.unjudged, strict=True):
            is_at_fault = at_fault.issuperset(records)
            detail: str = of_error(error)
            if not is_at_fault:
                detail = sentences(breaker.WRITES_STOPPED, detail)
                self.stop_reason = detail
            if len(writes) > 1:
                ending = Ending(Outcome.RELEASED, detail, is_unsent=True)
            elif is_at_fault:
                ending = Ending(Outcome.FAILED, detail)
            else:
                ending = Ending(Outcome.DEFERRED, detail, failed_writes.seconds_until_write(), waits_for_writes=True)
            for write in writes:
                write.ending = ending
        self.unjudged = []

    # --- what Monday answered -----------------------------------------------------------------------------------------

    def _read_answers(self, kind: CallKind, writes: Sequence[Write], result: board_items.WriteResult) -> None:
        """Fill in the answers to the writes of a call that Monday has answered, and end the intents of refused ones."""
        if _has_item(result):
            self.has_written = True
            breaker.end_stop(self.board.link, kind)
        forbidden: dict[Write, MondayError] = {}
        for write in writes:
            write.intent.request_id = result.request_id
            if write.is_divided:
                self._read_answers_to_values(kind, write, result)
                continue
            outcome = result.by_alias[write.intent.alias]
            if isinstance(outcome, MondayError):
                if outcome.kind is errors.BOARD_FORBIDDEN and kind is CallKind.CHANGE and write.entries:
                    forbidden[write] = outcome
                else:
                    self._end_rejected(kind, write, outcome)
            elif _is_without_effect(self.board, kind, write, outcome):
                # The next attempt reads the item, and sends it again if this answer was right.
                ends = {"state": IntentState.VOID, "settled_at": SyncNow()} if kind is CallKind.CHANGE else {}
                Intent.objects.filter(pk=write.intent.pk, state=IntentState.OPEN).update(deadline=SyncNow(), **ends)
                write.fail(Message("call_swallowed"))
            else:
                write.end(OPEN, item=outcome, is_open=True)
        if forbidden:
            _close_intents(forbidden, IntentState.REJECTED)
            self._end_forbidden(kind, forbidden)

    def _read_answers_to_values(self, kind: CallKind, write: Write, result: board_items.WriteResult) -> None:
        """Fill in the answer to a write whose values were sent alone, so that only the refused ones are blocked."""
        item: board_items.Item | None = None
        by_field: dict[str, board_items.Item] = {}
        rejected: dict[str, MondayError] = {}
        failure: MondayError | None = None
        for number, key in enumerate(write.entries):
            outcome = result.by_alias[alias_of_value(number)]
            if isinstance(outcome, board_items.Item):
                item = by_field[key] = outcome
            elif outcome.scope in (Scope.FIELD, Scope.COLUMN) or outcome.kind is errors.BOARD_FORBIDDEN:
                rejected[key] = outcome
            else:
                failure = outcome
                break
        if failure is not None:
            self._end_rejected(kind, write, failure)
            write.unsent = write.entries.keys() - by_field.keys() - rejected.keys()
        else:
            npd_id_item = result.by_alias.get(NPD_ID_ALIAS)
            item = npd_id_item if isinstance(npd_id_item, board_items.Item) else item
            if item is None:
                _close_intents([write], IntentState.REJECTED)
            write.end(OPEN, is_open=item is not None)
        write.item = item
        write.items_by_field = by_field
        write.rejected = {**write.rejected, **rejected}
        if rejected:
            _forget_values(write.intent, rejected)

    def _end_rejected(self, kind: CallKind, write: Write, error: MondayError) -> None:
        """Answer a write with an error of its own, and end its intent unless it may have taken effect."""
        if not error.outcome_unknown:
            _close_intents([write], IntentState.REJECTED)
        if error.scope is Scope.BOARD:
            # The name alone is tried first, because only a column may be forbidden.
            is_name_only = set(write.columns.values()) <= {board_items.NAME_COLUMN}
            is_forbidden = error.kind is errors.BOARD_FORBIDDEN
            if is_forbidden and kind is CallKind.CREATE and not is_name_only:
                write.fail(of_error(error))
                write.is_name_only = True
            elif is_forbidden and kind is not CallKind.CREATE:
                write.fail(of_error(error))
            else:
                self._stop_kind(kind, [write], error)
        elif error.scope in (Scope.FIELD, Scope.COLUMN) and not write.is_divided:
            self._end_rejected_value(kind, write, error)
        elif error.scope in (Scope.ACCOUNT, Scope.LIMIT):
            self._stop_writing(error)
            write.stop(of_error(error), is_open=error.outcome_unknown)
        else:
            write.fail(of_error(error), is_open=error.outcome_unknown)
            write.is_gone = error.kind in (errors.ITEM_NOT_FOUND, errors.ITEM_INACTIVE)

    def _end_rejected_value(self, kind: CallKind, write: Write, error: MondayError) -> None:
        """Answer a refused value: a new item is sent with its name alone, a change with each other value alone."""
        if error.kind is errors.COLUMN_NOT_FOUND:
            # The read before a create doesn't show that a column is missing.
            wakeups.sweep_soon(BoardLink.objects.filter(pk=self.board.link.pk))
        if error.column_id == self.board.link.npd_id_column:
            self._stop_kind(kind, [write], error)
            return
        rejected = rejected_fields(write, error)
        is_name_rejected = any(write.columns[key] == board_items.NAME_COLUMN for key in rejected)
        write.refuse(rejected)
        if kind is CallKind.CREATE:
            write.fail(of_error(error))
            write.is_name_only |= not is_name_rejected
        elif not (write.entries or rejected):
            write.fail(of_error(error))
        else:
            write.is_divided = True
            self._send_rest(kind, [write])

    def _end_forbidden(self, kind: CallKind, forbidden: Mapping[Write, MondayError]) -> None:
        """Find out what the token's user may not write (a column, an item, or the board), and answer these writes.

        Each value of a record is sent alone, beside its NPD ID, which its item has already. If the item takes one, the
        columns of the refused ones are closed, and the other records are sent without them. If it takes none, it is
        closed; the board is, too, if the last other item refused its write, unless it has taken a write of this pass.
        """
        writes = list(forbidden)
        for write, error in forbidden.items():
            write.fail(of_error(error))
        for number, write in enumerate(writes[:2], start=1):  # not a call for each, because they could be many
            write.values = {self.board.link.npd_id_column: str(write.record_id), **write.values}
            write.is_divided = True
            self._send_document(kind, [write])
            closed = {column for key, column in write.columns.items() if key in write.rejected}
            if not (write.is_done and closed):
                continue  # tells nothing about the others
            if write.item is not None:
                others = writes[number:]
                for other in others:
                    other.refuse({key: forbidden[other] for key, column in other.columns.items() if column in closed})
                self._send_rest(kind, others)
                return
            write.rejected = {}  # no value is at fault
            _close_intents([write], IntentState.REJECTED)
            write.fail(of_error(forbidden[write]))
            if not self.has_written and is_last_write_refused(self.board, beside=writes[number - 1 :]):
                self._stop_kind(kind, writes, forbidden[write])
                return

    def _send_rest(self, kind: CallKind, writes: Sequence[Write]) -> None:
        """Send what is left of these writes without their refused values."""
        for write in writes:
            if not write.values:
                write.end(OPEN)
        self._send_document(kind, [write for write in writes if write.values])

    # --- stops --------------------------------------------------------------------------------------------------------

    def _stop_kind(self, kind: CallKind, refused: Sequence[Write], error: MondayError) -> None:
        """Have all calls of this kind wait, because the board takes none of them: it can still be read."""
        if not self._hold_if_stopped(kind, refused):
            breaker.stop_board(self.board.link, error, kind)
            self._hold_if_stopped(kind, refused)

    def _hold_if_stopped(self, kind: CallKind, writes: Sequence[Write]) -> bool:
        """Have the writes wait if calls of this kind are stopped; return whether they are."""
        stop = breaker.stop_of_call(self.board.link, kind)
        if stop is not None:
            for write in writes:
                write.hold(stop.reason, (stop.until - sync_now()).total_seconds())
        return stop is not None

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

    Whatever is written before them shows that their failure is no outage. Large parts come before small ones, because
    more of their records aren't at fault. Writes that failed alone during an outage, such as probes, are sent together.
    """
    never_failed: list[Write] = []
    failed_alone: list[Write] = []
    groups: dict[failed_writes.Failures, list[Write]] = {}
    for write in writes:
        failure = failures.get(write.record_id)
        if failure is None:
            never_failed.append(write)
        elif failure.size == 1 and not failure.is_at_fault:
            failed_alone.append(write)
        else:
            groups.setdefault(failure, []).append(write)
    documents = [never_failed, failed_alone]
    for failure, group in sorted(groups.items(), key=lambda item: (item[0].is_at_fault, -item[0].size)):
        part_size = math.ceil(failure.size / PARTS) if failure.size > breaker.FEW else 1
        documents += [group[start : start + part_size] for start in range(0, len(group), part_size)]
    return [document for document in documents if document]


# The alias of the NPD ID in a document whose values are sent alone.
NPD_ID_ALIAS = "npdid"


def alias_of(number: int) -> str:
    """Return the alias of this write of a document."""
    return f"r{number}"


def alias_of_value(number: int) -> str:
    """Return the alias of this value of a write whose values are sent alone."""
    return f"v{number}"


def request_of(board: BoardContext, kind: CallKind, writes: Sequence[Write]) -> board_items.WriteRequest:
    """Return the request that sends these writes, each under its alias, or the values of one."""
    link = board.link
    by_alias = {alias_of(number): write for number, write in enumerate(writes)}
    if kind in (CallKind.ARCHIVE, CallKind.DELETE):
        item_ids = {alias: write.item_id for alias, write in by_alias.items()}
        return item_documents.prepare_removal(kind, item_ids, board.columns, board.types)
    labels = any(write.creates_labels for write in writes)
    parts = [board_items.ItemWrite(alias, write.values, write.item_id) for alias, write in by_alias.items()]
    if kind is CallKind.CREATE:
        group = link.group_id or None
        return item_documents.prepare_creates(
            link.board_id, group, parts, board.columns, board.types, create_labels=labels
        )
    if writes[0].is_divided:
        [write] = writes
        others = dict(write.values)
        parts = [
            board_items.ItemWrite(alias_of_value(number), {column_id: others.pop(column_id)}, write.item_id)
            for number, column_id in enumerate(write.columns.values())
        ]
        parts += [board_items.ItemWrite(NPD_ID_ALIAS, others, write.item_id)] if others else []
    return item_documents.prepare_changes(link.board_id, parts, board.columns, board.types, create_labels=labels)


def commit_intents(
    executor: Executor, kind: CallKind, writes: Sequence[Write], idempotency_key: str
) -> tuple[Sequence[Write], board_items.WriteRequest | None]:
    """Commit an intent for each write that may still be sent, and renew the lease past the call's deadline.

    Return these writes and their request; the others (all, if the board was paused meanwhile) have their answers.
    Raises LeaseLost.
    """
    lease = executor.lease
    board = executor.board
    read_at = {"read_at": executor.read_at.isoformat()} if executor.read_at else {}
    deadline_seconds = _deadline_seconds()
    executor.intended_at = time.monotonic()
    with lease.transaction(seconds=deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS):
        pause = locked_pause(board.link.entity_type)
        withdrawn = dict.fromkeys(writes, pause) if pause else outdated_writes(board, writes)
        for write, reason in withdrawn.items():
            write.end(Ending(Outcome.RELEASED, reason))
            write.is_withdrawn = True
        allowed = [write for write in writes if write not in withdrawn]
        if not allowed:
            return [], None
        request = request_of(board, kind, allowed)
        for number, write in enumerate(allowed):
            write.intent = Intent(
                id=uuid.uuid4(),
                entity_type=board.link.entity_type,
                entity_id=write.record_id,
                board_id=board.link.board_id,
                item_id=write.item_id,
                idempotency_key=idempotency_key,
                alias=alias_of(number),
                values={key: {**entry, **read_at} for key, entry in write.entries.items()},
                body={"removes": write.removes} if write.removes else None,
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=deadline_seconds),
            )
        if kind is CallKind.CREATE:
            # Its body is stored, so that the create can be sent again under its key.
            allowed[0].intent.body = dict(request.body)
        Intent.objects.bulk_create([write.intent for write in allowed])
        ApprovalRequest.objects.bulk_create([write.approval for write in allowed if write.approval])
    for write in allowed:
        # Stored now: if the write is sent in parts, the next one must not store it again.
        write.approval = None
    return allowed, request


def outdated_writes(board: BoardContext, writes: Sequence[Write]) -> dict[Write, Message]:
    """Read again under the lease what may have changed since the plan; return the writes not to send, and why."""
    board_now = lookups.load_board(board.link, pass_settings=board.settings)
    if _settings_of_board(board_now) != _settings_of_board(board):
        return dict.fromkeys(writes, SETTINGS_CHANGED)
    records = board.model.objects.in_bulk([write.record_id for write in writes])
    owned = owners_of(board.link.entity_type, [write.item_id for write in writes if write.settings is None])
    outdated = {}
    for write in writes:
        record = records.get(write.record_id)
        if write.settings is None:
            # A record may have got the item, or the deleted record may have been restored.
            if write.item_id in owned or (write.removes and record is not None):
                outdated[write] = CHANGED
        elif record is None or settings_of(record) != write.settings:
            outdated[write] = SETTINGS_CHANGED
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


def _close_intents(writes: Iterable[Write], state: IntentState) -> None:
    """End the intents of these writes in this state, unless they have ended."""
    void = {"settled_at": SyncNow()} if state is IntentState.VOID else {}
    ids = [write.intent.pk for write in writes]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(state=state, **void)


def _forget_values(intent: Intent, rejected: Collection[str]) -> None:
    """Take refused fields out of an intent, because passes would wait until a read shows them."""
    intent.values = {key: entry for key, entry in intent.values.items() if key not in rejected}
    Intent.objects.filter(pk=intent.pk, state=IntentState.OPEN).update(values=intent.values)


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


def is_last_write_refused(board: BoardContext, beside: Sequence[Write]) -> bool:
    """Whether Monday refused the last write to an item of the board, without the items of these writes."""
    intents = Intent.objects.filter(board_id=board.link.board_id).exclude(item_id="")
    others = intents.exclude(item_id__in=[write.item_id for write in beside])
    return others.order_by("-created_at").values_list("state", flat=True).first() == IntentState.REJECTED
