"""What a person does with jobs, of one or of all that match: retry, cancel, discard; and why each job waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import page_now
from sync.admin.confirmed_action import Question, RecordTable, Report, confirmed_rows, run_action, selection
from sync.choices import Cause, QueueStatus
from sync.kernel import humanize
from sync.kernel.humanize import plural
from sync.models import SyncedModel, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox.operate import BulkResult
from sync.queue import SyncQueueService
from sync.records import authors, availability
from sync.records.availability import BoardAvailability, wait_sentence
from sync.registry import item_url

STATUS_BADGES = {
    QueueStatus.PENDING: ("wait", "schedule"),
    QueueStatus.IN_PROGRESS: ("go", "sync"),
    QueueStatus.COMPLETED: ("ok", "check_circle"),
    QueueStatus.FAILED: ("bad", "error"),
}

_CAUSES = {
    Cause.SAVE: "a save in NPD",
    Cause.PERSON: "a person",
    Cause.WEBHOOK: "an edit on Monday",
    Cause.SWEEP: "a check for missed changes",
    Cause.FAILURE: "a retry after a failure",
    Cause.DEPENDENCY: "a record it depends on",
    Cause.SETUP: "the board's set-up",
}


def job_causes_text(causes: int) -> str:
    return ", ".join(str(text) for cause, text in _CAUSES.items() if Cause(causes) & cause) or "unknown"


def job_reason(row: SyncQueue) -> str:
    """Return why a row stands as it does, in words; when it is looked at next is said beside it.

    Of one whose time has come that is also what holds its board, whatever its last try has met.
    """
    reason = row.error_message or row.reason
    if row.status != QueueStatus.PENDING or (reason and row.next_retry > page_now(row)):
        return reason
    return " ".join(text for text in (reason, job_availability(row).detail) if text)


def board_of(row: SyncQueue) -> BoardAvailability:
    """Return how the job's board stands, as its page has found out, else now; of an unknown type nothing is known."""
    if not hasattr(row, "page_boards"):
        row.page_boards = availability.overview().by_type  # type: ignore[attr-defined]
    boards: Mapping[str, BoardAvailability] = row.page_boards  # type: ignore[attr-defined]
    return boards.get(row.entity_type) or BoardAvailability(row.entity_type, None)


def job_availability(row: SyncQueue) -> BoardAvailability:
    return board_of(row).toward(row.direction)


def item_label(row: SyncQueue, names: Mapping[str, str]) -> str:
    """Return the item's name as a webhook told it, else its number."""
    name = names.get(row.remote_id or "")
    return f"“{humanize.shorten(name, 60)}”" if name else f"New item {row.remote_id}"


def next_pass_text(row: SyncQueue) -> str:
    """Return when the row is looked at next, in words."""
    if row.status == QueueStatus.FAILED:
        return "none until it is retried"
    if row.status != QueueStatus.PENDING:
        return "in progress" if row.status == QueueStatus.IN_PROGRESS else ""
    now = page_now(row)
    if row.next_retry > now:
        return humanize.relative_time(row.next_retry, now)
    board = job_availability(row)
    if board.until is not None and board.until > now:
        return humanize.relative_time(board.until, now)
    return "paused" if board.blocked_reason else "as soon as a worker is free"


def board_item_link(row: SyncQueue, item_id: str, text: str) -> SafeString | str:
    """Return a link to the item on its board; only its text where no board is set up."""
    link = board_of(row).link
    if link is None:
        return text
    return admin_base.external_link(item_url(link, item_id), text, f"{text}, on Monday, in a new tab")


def record_item_id(row: SyncQueue) -> str:
    """Return the number of the record's item; empty where it has none or is gone."""
    if row.entity_id is None:
        return ""
    try:
        model: type[SyncedModel] = registry.entity(row.entity_type).model
    except registry.UnknownEntity:
        return ""
    found = model._default_manager.filter(pk=row.entity_id)
    return found.values_list("monday_id", flat=True).first() or ""


# What a person can do with rows of the queue: which rows an act fits, what it does, and how that is told.


@dataclass(frozen=True)
class QueueOperation:
    """One act. `verb` and `done` make its sentences, `left` says of one row, and of several, why they were left.

    `is_awaited`: whether its rows are worked next, so that its answer says when.
    """

    name: QueueAction
    verb: str
    effect: str
    done: str
    left: tuple[str, str]
    fits: tuple[QueueStatus, ...]
    run: Callable[[QuerySet[SyncQueue], str], BulkResult]
    run_one: Callable[[int, str], SyncQueue]
    is_awaited: bool = False

    def may(self, user: Any) -> bool:
        return is_allowed(user, self.name)


RETRY = QueueOperation(
    QueueAction.RETRY,
    "Retry",
    "Each has all its attempts again, and is tried as soon as its board can be synced.",
    "will be tried again",
    ("is done already", "are done already"),
    (QueueStatus.PENDING, QueueStatus.FAILED),
    SyncQueueService().retry_all,
    SyncQueueService().manual_retry,
    is_awaited=True,
)

CANCEL = QueueOperation(
    QueueAction.CANCEL,
    "Cancel",
    "A pending job is closed without a sync. Its record stays as it is on both sides until the next sync: after a "
    "save, an edit on the board, “Sync now”, or the next check for missed changes.",
    "cancelled",
    ("is not waiting", "are not waiting"),
    (QueueStatus.PENDING,),
    SyncQueueService().cancel_all,
    SyncQueueService().cancel,
)

DISCARD = QueueOperation(
    QueueAction.DISCARD,
    "Discard",
    "A failed job is closed and not tried again. Its record stays as it is on both sides until the next sync: "
    "after a save, an edit on the board, “Sync now”, or the next check for missed changes.",
    "discarded",
    ("has not failed", "have not failed"),
    (QueueStatus.FAILED,),
    SyncQueueService().discard_all,
    SyncQueueService().discard,
)

RETRY_NOW = "Retry now"
"""What a retry is called for a job that is tried again anyway."""

QUEUE_OPERATIONS: dict[str, QueueOperation] = {act.name: act for act in (RETRY, CANCEL, DISCARD)}


@dataclass(frozen=True)
class OperationReach:
    """How far an act reaches among rows: those that it fits, those in flight, and live ones that it doesn't fit."""

    fitting: int
    in_flight: int
    left: int


def with_states(rows: QuerySet[SyncQueue], states: Sequence[str]) -> QuerySet[SyncQueue]:
    """Return the rows in these states; as an OR, for which PostgreSQL unites the partial indexes."""
    return rows.filter(Q(*(("status", state) for state in states), _connector=Q.OR))


def count_reach(operation: QueueOperation, rows: QuerySet[SyncQueue]) -> OperationReach:
    fitting = with_states(rows, operation.fits).count()
    in_flight = rows.filter(status=QueueStatus.IN_PROGRESS).count()
    return OperationReach(fitting, in_flight, with_states(rows, LIVE_STATUSES).count() - fitting - in_flight)


JobKind = tuple[str, str]
"""The type of a job's record, and the job's direction: what tells whether it can be worked now."""


def _kinds_of(operation: QueueOperation, rows: QuerySet[SyncQueue]) -> set[JobKind]:
    """Of the rows that an act fits; none of an act after which nothing is waited for."""
    if not operation.is_awaited:
        return set()
    return set(with_states(rows, operation.fits).order_by().values_list("entity_type", "direction").distinct())


def _done_sentence(operation: QueueOperation, number: int, kinds: set[JobKind]) -> str:
    """Return what was done with so many rows of these kinds, and what they wait for, where they do."""
    wait, now = wait_sentence(number, kinds), " now" if operation.is_awaited else ""
    said = f"{humanize.count_with_noun(number, 'job')} {operation.done}"
    return f"{said}. {wait}" if wait else f"{said}{now}."


def result_sentences(
    operation: QueueOperation, result: BulkResult, kinds: set[JobKind], *, missing: int = 0
) -> list[str]:
    """Return what came of it: what was done, and what was left as it is and why."""
    lines = left_sentences(operation, result.in_flight, result.left, "was", "were")
    if result.done:
        lines.insert(0, _done_sentence(operation, result.done, kinds))
    if missing:
        lines.append(f"{humanize.count_with_noun(missing, 'job is', 'jobs are')} not in the queue any more.")
    return lines


def left_sentences(operation: QueueOperation, in_flight: int, left: int, one: str, many: str) -> list[str]:
    """Return which rows an act leaves alone and why; `one` and `many` are “is” or “was”, “are” or “were”."""
    lines = []
    if in_flight:
        number = humanize.count_with_noun(in_flight, "job is", "jobs are")
        lines.append(f"{number} in progress right now and {plural(in_flight, one, many)} left alone.")
    if left:
        state = plural(left, *operation.left)
        lines.append(f"{humanize.count_with_noun(left, 'job')} {state} and {plural(left, one, many)} left alone.")
    return lines


MAX_JOBS_SHOWN = 20
"""Rows that a question shows as examples."""


class QueueOperationsMixin:
    """Adds the acts to the queue's list; all but the retry of ticked rows are asked about with the number of rows."""

    actions = ("retry", "cancel", "discard")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return RETRY.may(request.user)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return CANCEL.may(request.user)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return DISCARD.may(request.user)

    @admin.action(description="Retry", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        """Let rows be tried again now; that costs nothing, so nobody is asked."""
        return self._operate(request, queryset, RETRY)

    @admin.action(description="Cancel…", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        """Close waiting rows without a look, after a page that says what that means."""
        return self._operate(request, queryset, CANCEL)

    @admin.action(description="Discard…", permissions=["discard"])
    def discard(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        """Throw dead letters away, after a page that says what that means."""
        return self._operate(request, queryset, DISCARD)

    def _operate(self, request: HttpRequest, listed: QuerySet[SyncQueue], operation: QueueOperation) -> HttpResponse:
        keys = sorted({int(key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)})
        is_all = request.POST.get("select_across") == "1"
        # A ticked row that the filters leave out by now is told of, too.
        rows = listed.order_by() if is_all else self.get_queryset(request).filter(pk__in=keys)  # type: ignore[attr-defined]

        def run() -> Report:
            by, kinds = request.user.get_username(), _kinds_of(operation, rows)
            if len(keys) == 1 and not is_all:
                # Alone, so that the error says what is the matter with this very row.
                with transaction.atomic():
                    row = operation.run_one(keys[0], by)
                    log_operation(request, operation, 1, row=row)
                return Report(_done_sentence(operation, 1, kinds))
            result = operation.run(confirmed_rows(request, with_states(rows, operation.fits)) if is_all else rows, by)
            if result.done:
                log_operation(request, operation, result.done)
            missing = 0 if is_all else len(keys) - result.done - result.in_flight - result.left
            text = " ".join(result_sentences(operation, result, kinds, missing=missing))
            return Report(text) if result.done else Report(problems=[text])

        return run_action(
            self, request, run, back_url=request.get_full_path(), atomic=False,
            question=(lambda: self._question(request, operation, rows)) if is_all or operation is not RETRY else None,
        )  # fmt: skip

    def _question(self, request: HttpRequest, operation: QueueOperation, rows: QuerySet[SyncQueue]) -> Question:
        reach = count_reach(operation, rows)
        fitting, verb = humanize.count_with_noun(reach.fitting, "job"), operation.verb
        effects = [operation.effect] if reach.fitting else []
        examples = list(with_states(rows, operation.fits).order_by("-id")[:MAX_JOBS_SHOWN])
        self.prepare_page(examples)  # type: ignore[attr-defined]
        cells = [
            (
                self.record_or_item(row),  # type: ignore[attr-defined]
                row.get_status_display(),
                humanize.without_request_id(job_reason(row)),
            )
            for row in examples
        ]
        table = RecordTable(("Record", "Status", "Why"), cells, reach.fitting, listed="newest")
        return Question(
            f"{verb} {fitting}?" if reach.fitting else f"Nothing to {verb.lower()}",
            [*effects, *left_sentences(operation, reach.in_flight, reach.left, "is", "are")],
            f"Yes, {verb.lower()} {fitting}" if reach.fitting else "",
            [table] if cells else [],
            selection(request, operation.name, reach.fitting),
        )


def log_operation(request: HttpRequest, operation: QueueOperation, rows: int, *, row: SyncQueue | None = None) -> None:
    authors.log_queue_action(request.user, f"{operation.verb}: {humanize.count_with_noun(rows, 'job')}.", row)


LIVE_STATUSES = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
"""Without what is done, which stays in the queue for a while."""
