"""Before a pass, find out whether creates whose answer was lost took effect.

The creates of one call are a document: they have one idempotency key, under which they are sent again together or not
at all. One read searches for all items of a board; `after_search` and `after_resending` decide; each document's
decisions are stored in their own transaction.

Implements W14, W20 and W21 of docs/reference/merge/after-a-write.md: a create found by its NPD ID is linked. If
nothing of a document is found, it is sent again unchanged under its own key, for which Monday replays its answer. If a
part is found, or it can't be sent again, the records' passes create the missing items.

Searches may be late, so before anything is sent again the board's activity log is asked, once for all documents, which
items our user has created since; these are read by id.

Sending again is an attempt: it is made once, when the records' jobs are due, and counts if a record is at fault. If it
fails and the next search finds nothing either, the items are created under another key, when their jobs are due again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import models

from sync import choices
from sync.clock import SyncNow, sync_now
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.fields.lookups import load_board
from sync.kernel import grouped
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import breaker
from sync.limits.metered_client import connector
from sync.models import Intent, IntentState, SyncedModel, SyncQueue
from sync.monday import lag
from sync.monday.board_items import Item, WriteResult
from sync.monday.errors import MondayError, Scope
from sync.outbox import enqueue, finish
from sync.outbox.claim import Lease, LeaseLost, claim_records
from sync.outbox.pauses import active_pause
from sync.reconcile.board_filter import new_item_verdict, record_verdict
from sync.reconcile.created_items import CreatedItems, items_with_npd_ids, read_created_items
from sync.reconcile.gather.item_facts import items_with_keys
from sync.reconcile.send import Executor, is_refused
from sync.records.tombstones import set_late_item
from sync.words.message import of_error

# Seconds until a document on which NPD Sync itself failed is searched for again; a call lands within this time.
FAULT_WAIT_SECONDS = 300

# How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency).
IDEMPOTENCY_MINUTES = 30

# Seconds between two searches while writing is paused; each costs a call, and a pause may last for days.
PAUSED_WAIT_SECONDS = 600

log = structlog.get_logger(__name__)


@dataclass
class UnansweredDocument:
    """The unanswered creates of one document, which is one call, after their deadline."""

    board: BoardContext
    intents: Sequence[Intent]
    items: Mapping[str, Item] | None  # items with the records' NPD IDs, by these; None if one can't be read
    size: int  # the creates in the document, also those that were answered
    records: Mapping[UUID, SyncedModel]  # those that exist
    due: frozenset[UUID]  # records with jobs that are due, or that a dead worker left
    is_paused: bool
    was_voided_before: bool  # one of them was searched for in vain before, in another document
    others_answered: bool  # Monday has answered other writes to the board since
    wait_seconds: float  # how long a call may take to land
    now: datetime
    is_log_read: bool = True  # the activity log was asked which items were created; if not, a search may be late
    is_matched: bool = False  # an item without a record has one's match key by now, so that its pass links or asks
    is_item_unknown: bool = False  # the log names an item that can't be told yet: it may be one of these


class Fate(StrEnum):
    """What happens to an unanswered create."""

    # Link its item. The intent stays open, so that the record's next pass takes the sent values as the base.
    LINK = "link"
    WAIT = "wait"  # nothing is known yet; the record isn't claimed, and its item is searched for again
    LOOK_AGAIN = "look again"  # not found; search once more after the call may have landed, then create it again
    FAIL = "fail"  # as LOOK_AGAIN, and it counts as a failed attempt
    RESEND = "resend"  # send the whole document again under its own key
    VOID = "void"  # it had no effect; the record's next pass creates the item under another key


@dataclass(frozen=True)
class CreatePlan:
    """The decision about one unanswered create."""

    intent: Intent
    fate: Fate
    item: Item | None = None  # to link
    wait_seconds: float = 0  # until the next search
    detail: str = ""  # why it failed


def after_search(document: UnansweredDocument) -> list[CreatePlan]:
    """Decide about each create by the result of the search for its item."""
    items = document.items
    if items is None:
        return _same_fate(document, Fate.WAIT, document.wait_seconds)
    if items:
        plans = []
        for intent in document.intents:
            if item := items.get(str(intent.entity_id)):
                plans.append(CreatePlan(intent, Fate.LINK, item))
            elif not intent.was_searched:
                plans.append(CreatePlan(intent, Fate.LOOK_AGAIN, wait_seconds=document.wait_seconds))
            elif _may_be_late(document):
                plans.append(CreatePlan(intent, Fate.WAIT, wait_seconds=document.wait_seconds))
            else:
                plans.append(CreatePlan(intent, Fate.VOID))
        return plans
    if document.is_paused:
        return _same_fate(document, Fate.WAIT, PAUSED_WAIT_SECONDS)
    is_due = {intent.entity_id for intent in document.intents} <= document.due
    if is_due and is_resendable(document) and not (document.is_item_unknown and _may_be_late(document)):
        return _same_fate(document, Fate.RESEND)
    if _may_be_late(document):
        return _same_fate(document, Fate.WAIT, document.wait_seconds)
    return _same_fate(document, Fate.VOID)


def _may_be_late(document: UnansweredDocument) -> bool:
    """Whether a search may still not find what one of the creates made, and the log doesn't tell either."""
    is_unsure = document.is_item_unknown or not document.is_log_read
    return is_unsure and document.intents[0].created_at + lag.LONGEST_LAG > document.now


def is_resendable(document: UnansweredDocument) -> bool:
    """Whether the document may be sent again: Monday would replay it, and all its creates are unanswered and wanted.

    Not if somebody has added an item with the match key of one meanwhile.
    """
    first = document.intents[0]
    is_young = first.created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > document.now
    has_body = any(intent.body for intent in document.intents)
    is_whole = document.size == len(document.intents) and not first.was_searched and not document.was_voided_before
    may_replay = is_whole and is_young and has_body and not document.is_matched
    return may_replay and all(_is_creatable(document, intent) for intent in document.intents)


def _is_creatable(document: UnansweredDocument, intent: Intent) -> bool:
    """Whether the record would still get a new item."""
    record = document.records.get(intent.entity_id)
    return (
        record is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != choices.SyncDirection.MONDAY_TO_NPD
        and record_verdict(document.board, record).holds is True
        and new_item_verdict(document.board, record).holds is True
    )


def after_resending(document: UnansweredDocument, answer: WriteResult | MondayError | None) -> list[CreatePlan]:
    """Decide about each create after the document was sent again; `answer` is None if writing was paused before."""
    if answer is None:
        return _same_fate(document, Fate.WAIT, PAUSED_WAIT_SECONDS)
    if isinstance(answer, WriteResult):
        plans = []
        for intent in document.intents:
            written = answer.by_alias[intent.alias]
            if not isinstance(written, MondayError):
                plans.append(CreatePlan(intent, Fate.LINK, written))
            elif written.outcome_unknown and not answer.replayed:
                plans.append(CreatePlan(intent, Fate.FAIL, None, document.wait_seconds, of_error(written)))
            else:
                # Also a replay of an unknown outcome: that is the first call's, and the search has found nothing.
                plans.append(CreatePlan(intent, Fate.VOID))
        return plans
    is_alone = len(document.intents) == 1
    if is_refused(answer):
        # The first call's outcome isn't known, but the search has found nothing.
        return _same_fate(document, Fate.VOID)
    if answer.scope is Scope.TRANSPORT:
        # A record that fails alone while others are answered is at fault; an outage costs no attempt.
        fate = Fate.FAIL if is_alone and document.others_answered else Fate.LOOK_AGAIN
        return _same_fate(document, fate, document.wait_seconds, of_error(answer))
    return _same_fate(document, Fate.WAIT, document.wait_seconds)


def may_link(record: SyncedModel | None, record_id: UUID, owner: UUID | None) -> bool:
    """Whether an item that was created for a record may be linked with it; `owner` is the record that has the item.

    The item's webhook may have linked it already. It isn't linked if the record was deleted or has another item.
    """
    return owner == record_id or (owner is None and record is not None and record.monday_id is None)


def _same_fate(document: UnansweredDocument, fate: Fate, wait_seconds: float = 0, detail: str = "") -> list[CreatePlan]:
    return [CreatePlan(intent, fate, None, wait_seconds, detail) for intent in document.intents]


def confirm_creates(lease: Lease, stop_reason: str = "") -> str:
    """Find out about a board's unanswered creates whose deadline is over; with a `stop_reason`, send none again.

    Return why no more calls may be made; empty if they may. Raises LeaseLost.
    """
    # Without the NPD ID column they can't be found, and so nothing is created again.
    if lease.link.npd_id_problem:
        return ""
    unanswered = Intent.objects.filter(entity_type=lease.link.entity_type, state=IntentState.OPEN, item_id="")
    due_keys = unanswered.filter(deadline__lte=SyncNow()).values("idempotency_key")
    # Also the document's other creates, because they are sent again together.
    intents_due = unanswered.filter(idempotency_key__in=due_keys).order_by("pk")
    documents = grouped(intents_due, lambda intent: intent.idempotency_key).values()
    if not documents:
        return ""
    board = load_board(lease.link)
    try:
        ids = {str(intent.entity_id) for intents in documents for intent in intents}
        items = items_with_npd_ids(connector(), board, sorted(ids))
    except MondayError as error:
        breaker.stop_board_or_account(lease.link, error)
        return of_error(error)
    current_stop = stop_reason
    oldest = min(intent.created_at for intent in intents_due)
    read_created = cache(partial(read_created_items, connector(), board, oldest))  # one call for all documents
    for intents in documents:
        try:
            document = _read_document(board, intents, items)
            current_stop = _confirm_document(lease, document, read_created, current_stop)
        except LeaseLost:
            raise
        # An error of our own concerns only these records; the board's others go on.
        except Exception as error:
            log.exception("creates not confirmed", board=lease.link.entity_type, records=len(intents))
            detail = finish.own_fault(error)
            plans = [CreatePlan(intent, Fate.FAIL, None, FAULT_WAIT_SECONDS, detail) for intent in intents]
            _store(lease, board, plans)
    # A stop of writes doesn't end the reads, so the caller goes on.
    return "" if current_stop == breaker.WRITES_STOPPED else current_stop


def _add_created(document: UnansweredDocument, created: CreatedItems | None) -> None:
    """Add those of the created items that are its creates' to the document; None if the log can't be read."""
    if created is None:
        document.is_log_read = False
        return
    ids = {str(intent.entity_id) for intent in document.intents}
    items = {npd_id: item for npd_id, item in created.by_npd_id.items() if npd_id in ids}
    document.items = {**items, **(document.items or {})}
    document.is_item_unknown = created.has_unknown


def _confirm_document(
    lease: Lease, document: UnansweredDocument, read_created: Callable[[], CreatedItems | None], stop_reason: str
) -> str:
    """Find out about one document and return why no more may be sent; with a `stop_reason`, don't send it again."""
    board = document.board
    intents = document.intents
    plans = after_search(document)
    # A search is never late for longer.
    is_recent = intents[0].created_at + lag.LONGEST_LAG > document.now
    if is_recent and any(plan.fate in (Fate.RESEND, Fate.VOID) for plan in plans):
        _add_created(document, read_created())
        plans = after_search(document)
    item_count = len(document.items or ())
    log.info("create without answer", board=lease.link.entity_type, records=len(intents), found=item_count)
    wants_resend = any(plan.fate is Fate.RESEND for plan in plans)  # all or none of a document
    if wants_resend and stop_reason:
        # Only the probe may write now. A document that was searched for isn't sent again: the next search voids it.
        plans = _same_fate(document, Fate.LOOK_AGAIN, document.wait_seconds)
    elif wants_resend:
        executor = Executor(lease, board, connector())
        answer = executor.resend(intents)
        plans = after_resending(document, answer)
        stop_reason = executor.stop_reason
        if executor.has_written:
            breaker.forget_failures(has_written=True)
        elif isinstance(answer, MondayError) and answer.scope is Scope.TRANSPORT:
            stop_reason = breaker.WRITES_STOPPED
    _store(lease, board, plans)
    return stop_reason


def _read_document(
    board: BoardContext, intents: Sequence[Intent], items: Mapping[str, Item] | None
) -> UnansweredDocument:
    """Return the facts about a document; `items` may have NPD IDs of other documents' records too."""
    ids = [intent.entity_id for intent in intents]
    first = intents[0]
    others = Intent.objects.filter(board_id=first.board_id, state=IntentState.APPLIED, settled_at__gt=first.created_at)
    pending = models.Q(status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow())
    abandoned = models.Q(status=choices.QueueStatus.IN_PROGRESS)
    due_jobs = SyncQueue.objects.filter(pending | abandoned, entity_id__in=ids)
    due_ids = due_jobs.values_list("entity_id", flat=True)
    records = board.model.objects.in_bulk(ids)
    keys = {field_values.match_key_of_record(board, record) for record in records.values()} - {""}
    return UnansweredDocument(
        board=board,
        intents=intents,
        items=None if items is None else {key: item for key, item in items.items() if UUID(key) in ids},
        size=Intent.objects.filter(idempotency_key=first.idempotency_key).count(),
        records=records,
        due=frozenset(record_id for record_id in due_ids if record_id),
        is_paused=active_pause(board.link.entity_type) is not None,
        was_voided_before=Intent.objects.filter(entity_id__in=ids, state=IntentState.VOID, was_searched=True).exists(),
        others_answered=others.exists(),
        wait_seconds=float(settings.MONDAY_SETTLE_SECONDS),
        now=sync_now(),
        is_matched=bool(items_with_keys(board, keys)),
    )


def _store(lease: Lease, board: BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Store the decisions about one document's creates, and count failed attempts; raises LeaseLost."""

    @retry_on_lock_timeout
    def attempt() -> None:
        with lease.transaction():
            _link_created(board, [plan for plan in plans if plan.fate is Fate.LINK])
            for (fate, seconds), same_plans in grouped(plans, lambda plan: (plan.fate, plan.wait_seconds)).items():
                intents = Intent.objects.filter(pk__in=[plan.intent.pk for plan in same_plans])
                if fate is Fate.VOID:
                    # Read as `was_voided_before` by a later document of the record.
                    intents.update(state=IntentState.VOID, was_searched=True, settled_at=SyncNow())
                elif fate is not Fate.LINK:
                    searched = {} if fate is Fate.WAIT else {"was_searched": True}
                    intents.update(deadline=SyncNow() + timedelta(seconds=seconds), **searched)

    attempt()
    failed = {plan.intent.entity_id: plan.detail for plan in plans if plan.fate is Fate.FAIL}
    if not failed:
        return
    # Afterwards, because claiming a record's jobs has a transaction of its own. Jobs that a save has locked count none.
    claims = claim_records(lease, list(failed))

    @retry_on_lock_timeout
    def count() -> None:
        with lease.transaction():
            for claim in claims:
                if claim.entity_id and claim.jobs:
                    finish.fail_unsettled(claim.jobs, lease.token, failed[claim.entity_id])

    count()


def _link_created(board: BoardContext, plans: Sequence[CreatePlan]) -> None:
    """Link records with their created items; for a deleted record, the item is stored on its tombstone."""
    item_ids = {plan.intent.entity_id: plan.item.id for plan in plans if plan.item is not None}
    if not item_ids:
        return
    entity_type = board.link.entity_type
    records = board.model.objects
    rows = records.select_for_update(of=("self",)).filter(pk__in=item_ids).order_by("pk")
    locked = {record.pk: record for record in rows}
    owners = dict(records.filter(monday_id__in=item_ids.values()).values_list("monday_id", "pk"))
    for plan in plans:
        record_id = plan.intent.entity_id
        item_id = item_ids[record_id]
        intent = Intent.objects.filter(pk=plan.intent.pk)
        if may_link(locked.get(record_id), record_id, owners.get(item_id)):
            records.filter(pk=record_id).update(monday_id=item_id)
            # Stays open: the record's next pass takes the sent values as its base, without waiting for the deadline.
            intent.update(item_id=item_id, deadline=SyncNow())
        else:
            intent.update(state=IntentState.CONFIRMED, settled_at=SyncNow())
            if item_id not in owners:
                set_late_item(entity_type, record_id, item_id)
    # Also records whose jobs have failed or wait until later.
    enqueue(entity_type, sorted(locked), cause=choices.Cause.DEPENDENCY)
