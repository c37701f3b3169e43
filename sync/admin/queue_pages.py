"""The queue's page: how each board stands and what is paused, above the list of jobs; why each of these waits, and what
a person does with one or with all that match: retry, cancel, discard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import (
    EntityFilter,
    PageChangeList,
    ReadOnlyAdmin,
    RecordLinkMixin,
    RecordSearchMixin,
    UnmatchedItemsFilter,
    badge,
    own_address,
    page_now,
    plain_column,
)
from sync.admin.board_cards import BoardStatus
from sync.admin.confirmed_action import Question, RecordTable, Report, Selection, confirmed_rows, run_action, selection
from sync.apps import LIVE_ROWS
from sync.choices import Cause, QueueStatus
from sync.kernel import humanize
from sync.kernel.humanize import plural
from sync.models import QueuePause, SyncedModel, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox import pauses as outbox_pauses
from sync.outbox.operate import RETRIED_AS, BulkResult
from sync.outbox.pauses import pause_label
from sync.queue import SyncQueueService
from sync.records import authors, availability
from sync.records.availability import BoardAvailability, Overview, number_of, overview, resume_sentence, wait_sentence
from sync.records.item_links import item_names
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
    return " ".join(text for text in (reason, board_of(row).detail) if text)


def board_of(row: SyncQueue) -> BoardAvailability:
    """Return how the job's board stands, as its page has found out, else now; of an unknown type nothing is known."""
    if not hasattr(row, "page_boards"):
        row.page_boards = availability.overview().by_type  # type: ignore[attr-defined]
    boards: Mapping[str, BoardAvailability] = row.page_boards  # type: ignore[attr-defined]
    return boards.get(row.entity_type) or BoardAvailability(row.entity_type, None)


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
    board = board_of(row)
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


def with_states(rows: QuerySet[SyncQueue], states: Sequence[str]) -> QuerySet[SyncQueue]:
    """Return the rows in these states; as an OR, for which PostgreSQL unites the partial indexes."""
    return rows.filter(Q(*(("status", state) for state in states), _connector=Q.OR))


def _types_of(operation: QueueOperation, rows: QuerySet[SyncQueue]) -> set[str]:
    """The records' types of the rows that an act fits; none of an act after which nothing is waited for."""
    if not operation.is_awaited:
        return set()
    return set(with_states(rows, operation.fits).order_by().values_list("entity_type", flat=True).distinct())


def _done_sentence(operation: QueueOperation, number: int, kinds: set[str]) -> str:
    """Return what was done with so many rows of these types, and what they wait for, where they do."""
    wait, now = wait_sentence(number, kinds), " now" if operation.is_awaited else ""
    said = f"{humanize.count_with_noun(number, 'job')} {operation.done}"
    return f"{said}. {wait}" if wait else f"{said}{now}."


def result_sentences(operation: QueueOperation, result: BulkResult, kinds: set[str], *, missing: int = 0) -> list[str]:
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


class QueueOperationsMixin(RecordLinkMixin):
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
        rows = listed.order_by() if is_all else self.get_queryset(request).filter(pk__in=keys)

        def run() -> Report:
            by, kinds = request.user.get_username(), _types_of(operation, rows)
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
        number, in_flight = (with_states(rows, one).count() for one in (operation.fits, [QueueStatus.IN_PROGRESS]))
        left = with_states(rows, LIVE_STATUSES).count() - number - in_flight
        fitting, verb = humanize.count_with_noun(number, "job"), operation.verb
        effects = [operation.effect] if number else []
        examples = list(with_states(rows, operation.fits).order_by("-id")[:MAX_JOBS_SHOWN])
        self.prepare_page(examples)
        cells = [
            (self.record_or_item(row), row.get_status_display(), humanize.without_request_id(job_reason(row)))
            for row in examples
        ]
        table = RecordTable(("Record", "Status", "Why"), cells, number, listed="newest")
        return Question(
            f"{verb} {fitting}?" if number else f"Nothing to {verb.lower()}",
            [*effects, *left_sentences(operation, in_flight, left, "is", "are")],
            f"Yes, {verb.lower()} {fitting}" if number else "",
            [table] if cells else [],
            selection(request, operation.name, number),
        )


def log_operation(request: HttpRequest, operation: QueueOperation, rows: int, *, row: SyncQueue | None = None) -> None:
    authors.log_queue_action(request.user, f"{operation.verb}: {humanize.count_with_noun(rows, 'job')}.", row)


LIVE_STATUSES = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
"""Without what is done, which stays in the queue for a while."""

MAX_COUNTED = 10_000
"""Rows that are counted and can be paged through; further ones are found by the filters."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # has no parameters when it runs
    """Counts no further than the cap; of the whole table it says what the last ANALYZE estimated.

    `known_count` is the number of rows where somebody has counted them already.
    """

    template_name = "sync/queue_pages.html"

    def __init__(self, *args: Any, known_count: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known_count = known_count

    @cached_property
    def count(self) -> int:
        return min(self._row_count, MAX_COUNTED)

    @property
    def count_text(self) -> str:
        """Return how many rows there are: exact, as an estimate, or as more than the cap."""
        if self._row_count <= MAX_COUNTED or self.known_count is not None:
            return f"{self._row_count:,}"
        estimate = self._estimate
        return f"More than {MAX_COUNTED:,}" if estimate <= MAX_COUNTED else f"About {estimate:,}"

    @property
    def is_cut(self) -> bool:
        return self._row_count > MAX_COUNTED

    @cached_property
    def _row_count(self) -> int:
        if self.known_count is not None:
            return self.known_count
        rows: Any = self.object_list
        return int(rows.order_by()[: MAX_COUNTED + 1].count())

    @cached_property
    def _estimate(self) -> int:
        """Return the planner's figure for the whole table; 0 where only a part of it is listed."""
        rows: Any = self.object_list
        if rows.query.where:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = %s::regclass", [rows.model._meta.db_table]
            )
            return int(cursor.fetchone()[0])


class StatusFilter(ChoicesCheckboxFilter):
    """By status; the live ones unless others are chosen, and the boxes say so."""

    def value(self) -> list[str]:
        return self.lookup_val or [str(status) for status in LIVE_STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = set(self.value())
        if chosen >= set(QueueStatus.values):
            return queryset
        return with_states(queryset, sorted(chosen))


NON_FILTER_PARAMS = (PAGE_VAR, ERROR_FLAG, ORDER_VAR)
"""Parameters of the list's address that say nothing about which rows match."""


def is_default_list(params: Mapping[str, Any]) -> bool:
    """Whether these filters, whatever the order and the page, are those that the list opens with."""
    names = {name for name, value in params.items() if any(value) and name not in NON_FILTER_PARAMS}
    return names <= {"status__exact"} and set(params.get("status__exact", LIVE_STATUSES)) == set(LIVE_STATUSES)


MAX_WHY_LENGTH = 500


@dataclass(frozen=True)
class QueuePanel:
    """Everything above the list, and for the first page what it was made of."""

    boards: Sequence[BoardStatus]
    overview: Overview
    live: int
    now: datetime
    why_length: int = MAX_WHY_LENGTH

    @property
    def selections(self) -> list[Selection]:
        """From what a pause is chosen: every board or one."""
        boards = [("", "Every board"), *((spec.entity_type, spec.board_title) for spec in registry.entities())]
        return [Selection("entity_type", "Board", boards)]


def load_panel() -> QueuePanel:
    """Return how the queue stands now."""
    status = overview(finished=True)
    return QueuePanel(
        boards=[BoardStatus(registry.entity(board.entity_type), board, status) for board in status.shown],
        overview=status,
        live=number_of([one for one in status.all_jobs if one.status in LIVE_STATUSES]),
        now=status.now,
    )


def panel_of(request: HttpRequest) -> QueuePanel:
    """Return the panel of a page; whatever the page shows is of one moment."""
    if not hasattr(request, "queue_panel"):
        request.queue_panel = load_panel()  # type: ignore[attr-defined]
    found: QueuePanel = request.queue_panel  # type: ignore[attr-defined]
    return found


def labelled_pauses(pauses: Iterable[QueuePause]) -> list[tuple[str, QueuePause]]:
    """Return the pauses, each with what it holds."""
    return [(pause_label(pause.entity_type), pause) for pause in pauses]


def is_whole(pause: QueuePause) -> bool:
    return not pause.entity_type


class QueueChangeList(PageChangeList):
    """The list with its panel, both of one moment."""

    request: HttpRequest

    def get_results(self, request: HttpRequest) -> None:
        self.request = request
        super().get_results(request)

    def annotate_rows(self, rows: list[Any]) -> None:
        """What the panel shows of the boards is what their rows say, too."""
        for row in rows:
            row.page_now = self.panel.now
            row.page_boards = self.panel.overview.by_type

    def get_filters(self, request: HttpRequest) -> tuple[Any, ...]:
        """The filters that the list opens with are none that a person has set."""
        *found, active = super().get_filters(request)
        return (*found, active and not is_default_list(dict(self.filter_params) | {SEARCH_VAR: ""}))

    @property
    def panel(self) -> QueuePanel:
        return panel_of(self.request)


@admin.register(SyncQueue)
class SyncQueueAdmin(QueueOperationsMixin, RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """Rows that say "this record may differ"."""

    list_display = ("state", "record_or_item", "kind_of_record", "way", "tries", "next_try", "reason_words", "age")
    list_display_links = ("state",)
    list_filter = (("status", StatusFilter), EntityFilter, ("direction", ChoicesCheckboxFilter), UnmatchedItemsFilter)
    search_fields = ("remote_id", "error_message", "reason", "entity_id")
    search_help_text = "A record's name or NPD ID, an item's number, or words of an error"
    ordering = ("-id",)
    json_fields = ("payload",)
    told_columns = (
        *("id", "entity_id", "remote_id", "causes", "status"),
        *("reason", "attempts", "max_attempts", "direction", "created_at"),
    )
    summary = (
        *("record_or_item", "item_on_monday", "state", "full_reason", "next_try", "tries", "wrote_it", "way", "age"),
    )
    # Counting what each filter would let through reads the whole table.
    show_facets = admin.ShowFacets.NEVER
    list_before_template = "sync/queue_panel.html"
    change_form_outer_before_template = "sync/queue_buttons.html"
    empty_title = "No jobs"
    opens_with = LIVE_ROWS
    empty_words = (
        "No job is pending, in progress or failed. A save in NPD or an edit on a board writes a job; those that are "
        "done are listed by the filter “Done”."
    )

    def get_urls(self) -> list[URLPattern]:
        """Add what the panel's Pause and Resume buttons send to."""
        view = self.admin_site.admin_view
        return [
            path("pause/", view(self.pause_view), name="sync_syncqueue_pause"),
            path("resume/", view(require_POST(self.resume_view)), name="sync_syncqueue_resume"),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Pause what the form names; an address asks first: also what, as far as it doesn't name it."""

        def run() -> Report:
            reason = request.POST.get("why", "")[:MAX_WHY_LENGTH]
            entity_type = request.POST.get("entity_type", "")
            made, is_new = outbox_pauses.pause(request.user.get_username(), entity_type=entity_type, why=reason)
            label = pause_label(made.entity_type)
            if not is_new:
                since = humanize.day_and_time(made.paused_at)
                return Report(problems=[f"{label}: already paused by {made.paused_by}, since {since}."])
            authors.log_queue_action(request.user, f"Paused: {label}. {made.why}".strip())
            return Report(f"{label}: paused. Changes are kept and wait until it is resumed.")

        def question() -> Question:
            entity_type = request.GET.get("entity_type")
            chosen = panel_of(request).selections if entity_type is None else []
            title = "Pause the sync?" if entity_type is None else f"Pause: {pause_label(entity_type)}?"
            what = "What you choose" if chosen else "It"
            effects = [
                f"{what} is not synced until somebody resumes it. Nothing is lost: edits on both sides are kept."
            ]
            hidden = [] if entity_type is None else [("entity_type", entity_type)]
            return Question(
                title, effects, "Yes, pause", hidden=[*hidden, ("back", request.GET.get("back", ""))],
                page_name="Pause", why_length=MAX_WHY_LENGTH, selections=chosen,
            )  # fmt: skip

        return self._run(request, run, question=question, asked_by_get=True)

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End the pause that the button stands on."""

        def run() -> Report:
            entity_type = request.POST.get("entity_type", "")
            label = pause_label(entity_type)
            if not SyncQueueService().resume(request.user.get_username(), entity_type=entity_type):
                return Report(problems=[f"{label}: not paused any more. Somebody else has resumed it."])
            authors.log_queue_action(request.user, f"Resumed: {label}.")
            return Report(f"{label}: resumed. {resume_sentence(entity_type)}")

        return self._run(request, run)

    def _run(self, request: HttpRequest, run: Callable[[], Report], **more: Any) -> HttpResponse:
        may_pause = is_allowed(request.user, QueueAction.PAUSE)
        back = request.POST.get("back") or request.GET.get("back")
        back_url = own_address(request, back) or reverse("admin:sync_syncqueue_changelist")
        # In transactions of their own: a pause counts only once it is committed, and a resume moves many rows.
        return run_action(self, request, run, back_url=back_url, allowed=may_pause, atomic=False, **more)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueChangeList]:
        return QueueChangeList

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> CappedPaginator:
        known_count = panel_of(request).live if is_default_list(dict(request.GET.lists())) else None
        return CappedPaginator(queryset, *args, known_count=known_count, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = {"may_pause": is_allowed(request.user, QueueAction.PAUSE)}
        response: HttpResponse = super().changelist_view(request, more | (extra_context or {}))
        return response

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's new items on its rows, and what is known of their boards."""
        super().prepare_page(rows)
        names = item_names(row.remote_id for row in rows if row.is_unmatched_item)
        boards = SimpleLazyObject(lambda: overview().by_type)
        for row in rows:
            row.page_items = names
            row.page_boards = getattr(row, "page_boards", boards)

    def row_context(self, request: HttpRequest, row: SyncQueue) -> dict[str, Any]:
        """Offer what fits the row as it stands; the buttons lead back to the rows that are not done."""
        labels = {QueueAction.RETRY: RETRY_NOW if row.status == QueueStatus.PENDING else "Retry"}
        row_operations = [
            (act.name, labels.get(act.name, f"{act.verb}…"))
            for act in QUEUE_OPERATIONS.values()
            if row.status in act.fits and act.may(request.user)
        ]
        listed = f"{reverse('admin:sync_syncqueue_changelist')}?{LIVE_ROWS}"
        return super().row_context(request, row) | {"live_rows": listed, "row_acts": row_operations}

    @admin.display(description="Status", ordering="status")
    def state(self, row: SyncQueue) -> SafeString:
        """A job that ended because it was retried as another one was not done."""
        if RETRIED_AS in row.payload:
            return badge("off", "replay", "Retried")
        return badge(*STATUS_BADGES[QueueStatus(row.status)], row.get_status_display())

    @admin.display(description="Record")
    def record_or_item(self, row: SyncQueue) -> SafeString | str:
        if not row.is_unmatched_item:
            return self.record(row)
        return board_item_link(row, str(row.remote_id), self.record_name(row))

    def record_name(self, row: Any) -> str:
        if not row.is_unmatched_item:
            return super().record_name(row)
        return item_label(row, row.page_items)

    @admin.display(description="Monday item")
    def item_on_monday(self, row: SyncQueue) -> SafeString | str:
        """Return the item that the row is about, also where only the record knows it."""
        item_id = row.remote_id or record_item_id(row)
        return board_item_link(row, item_id, item_id) if item_id else "none yet"

    @admin.display(description="Why")
    def full_reason(self, row: SyncQueue) -> SafeString | str:
        if current := SyncQueue.objects.filter(pk=row.payload.get(RETRIED_AS)).first():
            url = reverse("admin:sync_syncqueue_change", args=[current.pk])
            link = format_html('<a class="npd-link" href="{}">job {}</a>', url, current.pk)
            return format_html("{} as {}", capfirst(job_reason(row)), link)
        return humanize.without_request_id(job_reason(row)) or humanize.DASH

    way = plain_column("Direction", lambda row: row.get_direction_display(), "direction")
    tries = plain_column("Attempts", lambda row: f"{row.attempts} of {row.max_attempts}")
    next_try = plain_column("Next attempt", lambda row: next_pass_text(row) or humanize.DASH, "next_retry")

    @admin.display(description="Why")
    def reason_words(self, row: SyncQueue) -> SafeString | str:
        text = humanize.without_request_id(job_reason(row))
        return format_html('<span class="npd-text">{}</span>', text) if text else humanize.DASH

    age = admin_base.time_column("created_at", "Queued")

    wrote_it = plain_column("Trigger", lambda row: job_causes_text(row.causes))


def pause_url(request: HttpRequest, entity_type: str = "") -> str:
    """Return the page that asks what to pause, or about this board, and leads back; empty for who may not."""
    if not is_allowed(request.user, QueueAction.PAUSE):
        return ""
    target = {"entity_type": entity_type} if entity_type else {}
    return f"{reverse('admin:sync_syncqueue_pause')}?{urlencode(target | {'back': request.path})}"
