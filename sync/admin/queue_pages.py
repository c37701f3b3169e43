"""The queue's page: how each board stands and what is paused, above the list of jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
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
    record_name_of,
)
from sync.admin.board_cards import BoardStatus
from sync.admin.confirmed_action import Question, Report, Selection, run_action
from sync.admin.list_exports import ExportColumn, ExportMixin
from sync.admin.queue_actions import (
    LIVE_STATUSES,
    QUEUE_OPERATIONS,
    RETRY_NOW,
    STATUS_BADGES,
    QueueOperationsMixin,
    board_item_link,
    item_label,
    job_causes_text,
    job_reason,
    next_pass_text,
    record_item_id,
    with_states,
)
from sync.apps import LIVE_ROWS
from sync.choices import QueueDirection, QueueStatus
from sync.kernel import humanize
from sync.kernel.outgoing_calls import own_address
from sync.models import QueuePause, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox import pauses as outbox_pauses
from sync.outbox.operate import RETRIED_AS
from sync.outbox.pauses import pause_label
from sync.queue import SyncQueueService
from sync.records import authors
from sync.records.availability import Overview, number_of, overview, resume_sentence
from sync.records.item_links import item_names

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


EVERY_BOARD, BOTH_WAYS = "Every board", "Both directions"


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
        """From what a pause is chosen: every board or one, both directions or one."""
        boards = [("", EVERY_BOARD), *((spec.entity_type, spec.board_title) for spec in registry.entities())]
        ways = [("", BOTH_WAYS), *((str(one.value), str(one.label)) for one in QueueDirection)]
        return [Selection("entity_type", "Board", boards), Selection("direction", "Direction", ways)]


def load_panel(visible_types: Collection[str]) -> QueuePanel:
    """Return how the queue stands now; what may name records, of these types alone."""
    status = overview(finished=True)
    return QueuePanel(
        boards=[
            BoardStatus(
                registry.entity(one.entity_type), one, status, hides_reasons=one.entity_type not in visible_types
            )
            for one in status.shown
        ],
        overview=status,
        live=number_of([one for one in status.all_jobs if one.status in LIVE_STATUSES]),
        now=status.now,
    )


def panel_of(request: HttpRequest) -> QueuePanel:
    """Return the panel of a page; whatever the page shows is of one moment."""
    if not hasattr(request, "queue_panel"):
        request.queue_panel = load_panel(registry.visible_types(request.user))  # type: ignore[attr-defined]
    found: QueuePanel = request.queue_panel  # type: ignore[attr-defined]
    return found


def visible_pauses(user: Any, pauses: Iterable[QueuePause]) -> list[tuple[str, QueuePause]]:
    """Return those of everything and of boards that this user may see, each with what it holds."""
    types = {"", *registry.visible_types(user)}
    sees_all = user.has_perm("sync.view_syncqueue")
    return [
        (pause_label(one.entity_type, one.direction), one) for one in pauses if sees_all or one.entity_type in types
    ]


def is_whole(pause: QueuePause) -> bool:
    """Whether it pauses everything."""
    return not pause.entity_type and not pause.direction


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
class SyncQueueAdmin(QueueOperationsMixin, ExportMixin, RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """Rows that say "this record may differ"."""

    list_display = ("state", "record_or_item", "kind_of_record", "way", "tries", "next_try", "reason_words", "age")
    list_display_links = ("state",)
    list_filter = (("status", StatusFilter), EntityFilter, ("direction", ChoicesCheckboxFilter), UnmatchedItemsFilter)
    search_fields = ("remote_id", "known_error_message", "known_reason", "entity_id")
    quoting = ("error_message", "reason", "payload")
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
    change_list_template = "sync/queue_list.html"
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
            made, is_new = outbox_pauses.pause(request.user.get_username(), **_pause_target(request), why=reason)
            label = pause_label(made.entity_type, made.direction)
            if not is_new:
                since = humanize.day_and_time(made.paused_at)
                return Report(problems=[f"{label}: already paused by {made.paused_by}, since {since}."])
            authors.log_queue_action(request.user, f"Paused: {label}. {made.why}".strip())
            return Report(f"{label}: paused. Changes are kept and wait until it is resumed.")

        def question() -> Question:
            target, named = _pause_target(request), request.GET.keys()
            chosen = [one for one in panel_of(request).selections if one.name not in named]
            title = f"Pause: {pause_label(**target)}?" if target["entity_type"] or not chosen else "Pause the sync?"
            what = "What you choose" if chosen else "It"
            effects = [
                f"{what} is not synced until somebody resumes it. Nothing is lost: edits on both sides are kept."
            ]
            hidden = [(name, target[name]) for name in target if name in named]
            return Question(
                title, effects, "Yes, pause", hidden=[*hidden, ("back", request.GET.get("back", ""))],
                page_name="Pause", why_length=MAX_WHY_LENGTH, selections=chosen,
            )  # fmt: skip

        return self._run(request, run, question=question, asked_by_get=True)

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End the pause that the button stands on."""

        def run() -> Report:
            label = pause_label(**_pause_target(request))
            if not SyncQueueService().resume(request.user.get_username(), **_pause_target(request)):
                return Report(problems=[f"{label}: not paused any more. Somebody else has resumed it."])
            authors.log_queue_action(request.user, f"Resumed: {label}.")
            return Report(f"{label}: resumed. {resume_sentence(**_pause_target(request))}")

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
        """Return the paginator; the live rows have been counted for the panel."""
        known_count = panel_of(request).live if is_default_list(dict(request.GET.lists())) else None
        return CappedPaginator(queryset, *args, known_count=known_count, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = {"may_pause": is_allowed(request.user, QueueAction.PAUSE)}
        response: HttpResponse = super().changelist_view(request, more | (extra_context or {}))
        return response

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's new items on its rows, and what is known of their boards."""
        super().prepare_page(rows)
        names = self._item_names(rows)
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
        names = getattr(row, "page_items", None)
        return item_label(row, self._item_names([row]) if names is None else names)

    def _item_names(self, rows: Sequence[Any]) -> dict[str, str]:
        """The names of items that no record has yet, of the types whose records the rows' reader may see."""
        return item_names(
            row.remote_id
            for row in rows
            if row.is_unmatched_item and not registry.is_hidden(row.page_types, row.entity_type)
        )

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

    @admin.display(description="Direction", ordering="direction")
    def way(self, row: SyncQueue) -> str:
        return row.get_direction_display()

    @admin.display(description="Attempts")
    def tries(self, row: SyncQueue) -> str:
        return f"{row.attempts} of {row.max_attempts}"

    @admin.display(description="Next attempt", ordering="next_retry")
    def next_try(self, row: SyncQueue) -> str:
        return next_pass_text(row) or humanize.DASH

    @admin.display(description="Why")
    def reason_words(self, row: SyncQueue) -> SafeString | str:
        text = job_reason(row)
        return (
            format_html('<span class="npd-text">{}</span>', humanize.without_request_id(text))
            if text
            else humanize.DASH
        )

    age = admin_base.time_column("created_at", "Queued")

    def export_columns(self, user: Any) -> list[ExportColumn]:
        """How each job stands, and why; failed ones are exported by the list's filter."""
        return [
            ("Status", lambda row: row.get_status_display()),
            ("Record", lambda row: item_label(row, row.page_items) if row.is_unmatched_item else record_name_of(row)),
            ("Type", lambda row: registry.type_label(row.entity_type)),
            ("Direction", self.way),
            ("Attempts", lambda row: row.attempts),
            ("Last attempt (UTC)", lambda row: row.last_attempt),
            ("Next attempt", self.next_try),
            ("Why", job_reason),
            ("Trigger", self.wrote_it),
            ("Written (UTC)", lambda row: row.created_at),
            ("Done (UTC)", lambda row: row.finished_at),
            ("Item on Monday", lambda row: row.remote_id),
            ("NPD ID", lambda row: row.entity_id),
        ]

    @admin.display(description="Trigger")
    def wrote_it(self, row: SyncQueue) -> str:
        return job_causes_text(row.causes)


def pause_url(request: HttpRequest, entity_type: str = "") -> str:
    """Return the page that asks what to pause, of a board in which direction, and leads back; empty for who may not."""
    if not is_allowed(request.user, QueueAction.PAUSE):
        return ""
    target = {"entity_type": entity_type} if entity_type else {}
    return f"{reverse('admin:sync_syncqueue_pause')}?{urlencode(target | {'back': request.path})}"


def _pause_target(request: HttpRequest) -> dict[str, str]:
    sent = request.POST if request.method == "POST" else request.GET
    return {name: sent.get(name, "") for name in ("entity_type", "direction")}
