"""Jobs, which are retried, cancelled and discarded from their list, and pauses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sync import queue, registry
from sync.admin import admin_base
from sync.admin.admin_base import (
    EntityFilter,
    PageAdmin,
    ReadOnlyAdmin,
    RecordLinkMixin,
    RecordSearchMixin,
    own_address,
    plain_column,
    see_other,
)
from sync.admin.confirmed_action import Question, RecordTable, Report, confirmed_rows, run_action, selection
from sync.apps import LIVE_ROWS
from sync.choices import QueueStatus
from sync.kernel import humanize
from sync.kernel.acts import ACTS, Act
from sync.models import QueuePause, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox import operate, pauses
from sync.outbox.operate import BulkResult
from sync.queue import retry_all
from sync.records import authors
from sync.records.availability import resume_sentence, wait_sentence
from sync.records.item_links import item_names

STATUS_BADGES = {
    QueueStatus.PENDING: ("wait", "schedule"),
    QueueStatus.IN_PROGRESS: ("go", "sync"),
    QueueStatus.COMPLETED: ("ok", "check_circle"),
    QueueStatus.FAILED: ("bad", "error"),
}
MAX_JOBS_SHOWN = 20
"""Jobs that a question lists as examples."""


ENDINGS = {
    "cancel": (QueueStatus.PENDING, operate.cancel, "cancelled", "not pending"),
    "discard": (QueueStatus.FAILED, operate.discard, "discarded", "not failed"),
}
"""How jobs are ended without a sync, by the act: of which status, by what, and the words for it and for the others."""


def left_alone(result: BulkResult, why: str) -> list[str]:
    """Say which jobs an act has left alone, and why."""
    lines = []
    if result.in_flight:
        lines.append(f"{humanize.count_with_noun(result.in_flight, 'job')} left alone: in progress right now.")
    if result.left:
        lines.append(f"{humanize.count_with_noun(result.left, 'job')} left alone: {why}.")
    return lines


def next_attempt(job: Any) -> str:
    """Return when a job is tried next, in words; empty where it isn't."""
    if job.status != QueueStatus.PENDING:
        return ""
    if job.next_retry > job.page_now:
        return humanize.relative_time(job.next_retry, job.page_now)
    return "as soon as its board can be synced"


@admin.register(SyncQueue)
class SyncQueueAdmin(RecordSearchMixin, RecordLinkMixin, ReadOnlyAdmin):
    """Rows that say "this record may differ"."""

    list_display = ("state", "about", "direction", "attempts", "next_try", "why", "queued")
    list_display_links = ("state",)
    list_filter = (("status", ChoicesCheckboxFilter), EntityFilter, ("direction", ChoicesCheckboxFilter))
    search_fields = ("remote_id", "error_message", "reason", "entity_id")
    search_help_text = "A record's name or NPD ID, an item's number, or words of an error"
    ordering = ("-id",)
    json_fields = ("payload",)
    actions = ("retry", "cancel", "discard")
    # Counting what each filter would let through reads the whole table.
    show_facets = admin.ShowFacets.NEVER
    empty_title = "No jobs"
    opens_with = LIVE_ROWS
    empty_words = "No job is pending, in progress or failed. A save in NPD or an edit on a board writes one."

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on the rows the names of new items."""
        super().prepare_page(request, rows)
        names = item_names(row.remote_id for row in rows if row.is_unmatched_item)
        for row in rows:
            row.page_items = names

    state = admin_base.badge_column("status", "Status", STATUS_BADGES)
    next_try = plain_column("Next attempt", lambda job: next_attempt(job) or humanize.DASH, "next_retry")
    queued = admin_base.time_column("created_at", "Queued")

    @admin.display(description="Record")
    def about(self, job: Any) -> SafeString | str:
        """Return the record, or an item that no record has."""
        return self.record_name(job) if job.is_unmatched_item else self.record(job)

    def record_name(self, row: Any) -> str:
        if not row.is_unmatched_item:
            return super().record_name(row)
        name = row.page_items.get(row.remote_id)
        return f"“{humanize.shorten(name, 60)}”" if name else f"New item {row.remote_id}"

    @admin.display(description="Why")
    def why(self, job: SyncQueue) -> SafeString | str:
        text = humanize.without_request_id(job.error_message or job.reason)
        return format_html('<span class="npd-text">{}</span>', text) if text else humanize.DASH

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return is_allowed(request.user, QueueAction.RETRY)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return is_allowed(request.user, QueueAction.CANCEL)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return is_allowed(request.user, QueueAction.DISCARD)

    @admin.action(description=ACTS["retry"].button, permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> None:
        """Let jobs be tried again now, with all their attempts."""
        kinds = set(queryset.order_by().values_list("entity_type", flat=True).distinct())
        result = retry_all(queryset.order_by(), request.user.get_username())
        for text in left_alone(result, "done already"):
            self.message_user(request, text, messages.WARNING)
        if result.done:
            number = humanize.count_with_noun(result.done, "job")
            authors.log_queue_action(request.user, f"Retry: {number}.")
            wait = wait_sentence(result.done, kinds)
            when = f". {wait}" if wait else " now."
            self.message_user(request, f"{number} will be tried again{when}", messages.SUCCESS)

    @admin.action(description=ACTS["cancel"].button, permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        return self._end(request, queryset, ACTS["cancel"])

    @admin.action(description=ACTS["discard"].button, permissions=["discard"])
    def discard(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        return self._end(request, queryset, ACTS["discard"])

    def _end(self, request: HttpRequest, queryset: QuerySet[SyncQueue], act: Act) -> HttpResponse:
        """End jobs without a sync, after a page that says what that means."""
        status, end, ended, others = ENDINGS[act.code]
        jobs = queryset.filter(status=status)

        def question() -> Question:
            number = jobs.count()
            if not number:
                return Question(f"Nothing to {act.label.lower()}", [f"What is selected is {others}."])
            examples = list(jobs.order_by("-id")[:MAX_JOBS_SHOWN])
            self.prepare_page(request, examples)
            cells = [(self.about(job), self.why(job)) for job in examples]
            table = RecordTable(("Record", "Why"), cells, number, listed="newest")
            title = act.title(number=humanize.count_with_noun(number, "job"))
            hidden = selection(request, act.code, number)
            return Question(f"{title}?", [act.effect], title, [table], hidden, deletes=True)

        def run() -> Report:
            result = end(confirmed_rows(request, jobs), request.user.get_username())
            number = humanize.count_with_noun(result.done, "job")
            if result.done:
                authors.log_queue_action(request.user, f"{act.label}: {number}.")
            return Report(f"{number} {ended}." if result.done else "", left_alone(result, others))

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)


# Pauses: one is made by its form, and ended by the button that stands beside it.


def _boards_to_pause() -> list[tuple[str, str]]:
    return [("", "Every board"), *((spec.entity_type, spec.board_title) for spec in registry.entities())]


class PauseForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    entity_type = forms.ChoiceField(
        label="Board",
        required=False,
        choices=_boards_to_pause,
        widget=UnfoldAdminSelectWidget,
        error_messages={"unique": "It is paused already."},
    )
    why = forms.CharField(
        label="Why", required=False, max_length=500, help_text="Shown to others.", widget=UnfoldAdminTextInputWidget
    )

    class Meta:
        model = QueuePause
        fields = ("entity_type", "why")


@admin.register(QueuePause)
class QueuePauseAdmin(PageAdmin):
    form = PauseForm
    fieldsets = (
        (
            None,
            {
                "fields": ("entity_type", "why"),
                "description": "It waits until somebody resumes it. Edits on both sides are kept, and synced then.",
            },
        ),
    )
    list_display = ("board", "paused_by", "since", "why")
    empty_title = "Nothing is paused"

    board = plain_column("Board", lambda pause: pauses.pause_label(pause.entity_type), "entity_type")
    since = admin_base.time_column("paused_at", "Since")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.resume_view))
        return [path("resume/", view, name="sync_queuepause_resume"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_allowed(request.user, QueueAction.PAUSE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        context = {"title": "Pause the sync", "show_save_and_continue": False, **(extra_context or {})}
        response: HttpResponse = super().add_view(request, form_url, context)
        return response

    def save_model(self, request: HttpRequest, obj: QueuePause, form: Any, change: bool) -> None:
        made, _is_new = pauses.pause(request.user.get_username(), entity_type=obj.entity_type, why=obj.why)
        obj.pk = made.pk
        obj.why = made.why

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        authors.log_queue_action(request.user, f"Paused: {pauses.pause_label(obj.entity_type)}. {obj.why}".strip())

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        self.message_user(request, f"{pauses.pause_label(obj.entity_type)}: paused.", messages.SUCCESS)
        return see_other(_back_url(request))

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End the pause that the button stands beside."""

        def run() -> Report:
            entity_type = request.POST.get("entity_type", "")
            label = pauses.pause_label(entity_type)
            if not queue.resume(request.user.get_username(), entity_type=entity_type):
                return Report(problems=[f"{label}: not paused any more. Somebody else has resumed it."])
            authors.log_queue_action(request.user, f"Resumed: {label}.")
            return Report(f"{label}: resumed. {resume_sentence(entity_type)}")

        allowed = is_allowed(request.user, QueueAction.PAUSE)
        # In transactions of its own: it moves many rows.
        return run_action(self, request, run, back_url=_back_url(request), allowed=allowed, atomic=False)


def _back_url(request: HttpRequest) -> str:
    return own_address(request, request.POST.get("back"), request.GET.get("back")) or reverse("admin:index")


def pause_url(request: HttpRequest, entity_type: str = "", back: str = "") -> str:
    """Return the form that pauses this board, or every one, and leads back; empty for who may not."""
    if not is_allowed(request.user, QueueAction.PAUSE):
        return ""
    target = {"entity_type": entity_type} if entity_type else {}
    return f"{reverse('admin:sync_queuepause_add')}?{urlencode(target | {'back': back or request.path})}"
