"""The list of jobs with its actions, and the pages of pauses."""

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import queue
from sync.admin import admin_base, confirmed_action
from sync.choices import QueueStatus
from sync.kernel import humanize
from sync.kernel.messages import ACTS, Act
from sync.models import SyncQueue
from sync.outbox import operate, pauses
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
MAX_REASON_CHARACTERS = 500

# A question lists this many jobs as examples.
MAX_JOBS_SHOWN = 20

# For each act on jobs, the words for the jobs that it doesn't fit.
OTHERS = {"retry": "done already", "cancel": "not pending", "discard": "not failed"}
_STATUS = {"cancel": QueueStatus.PENDING, "discard": QueueStatus.FAILED}


def act_on_jobs(request: HttpRequest, code: str, jobs: QuerySet[SyncQueue]) -> confirmed_action.Report:
    """Retry, cancel or discard jobs, log it, and report why they wait and which jobs were left alone."""
    jobs = jobs.order_by()
    # Read before, because afterwards the rows may not match any more.
    types = set(jobs.values_list("entity_type", flat=True).distinct())
    run = {"retry": retry_all, "cancel": operate.cancel, "discard": operate.discard}[code]
    result = run(jobs, request.user.get_username())
    problems = []
    if result.in_flight:
        problems.append(f"{humanize.count_with_noun(result.in_flight, 'job')} left alone: in progress right now.")
    if result.unsuited:
        problems.append(f"{humanize.count_with_noun(result.unsuited, 'job')} left alone: {OTHERS[code]}.")
    if not result.changed:
        return confirmed_action.Report(problems=problems)
    number = humanize.count_with_noun(result.changed, "job")
    authors.log_model_action(request.user, SyncQueue, f"{ACTS[code].label}: {number}.")
    wait = wait_sentence(result.changed, types) if code == "retry" else ""
    return confirmed_action.Report(f"{ACTS[code].done.format(number=number)} {wait}".rstrip(), problems)


def next_attempt(job: SyncQueue, now: datetime) -> str:
    """Return the time of the job's next attempt in words; empty if it isn't pending."""
    if job.status != QueueStatus.PENDING:
        return ""
    if job.next_retry > now:
        return humanize.relative_time(job.next_retry, now)
    return "when sync goes on"


@admin.register(SyncQueue)
class SyncQueueAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    list_display = ("state", "about", "direction", "attempts", "next_try", "why", "queued")
    list_display_links = ("state",)
    list_filter = (("status", ChoicesCheckboxFilter), admin_base.EntityFilter, ("direction", ChoicesCheckboxFilter))
    search_fields = ("remote_id", "error_message", "reason", "entity_id")
    search_help_text = "A record's name or NPD ID, an item's number, or words of an error"
    ordering = ("-id",)
    actions = ("retry", "cancel", "discard")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Leave out what only the engine reads."""
        fields = [
            "state",
            "about",
            "direction",
            "operation",
            "attempts",
            "next_try",
            "why_in_full",
            "queued",
            "last_try",
        ]
        return [*fields, "payload"] if obj and obj.payload else fields

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        """Return the list's actions that fit this job and that this person may press."""
        fitting = {QueueStatus.FAILED.value: ("retry", "discard"), QueueStatus.PENDING.value: ("retry", "cancel")}
        list_url = reverse("admin:sync_syncqueue_changelist")
        return [
            admin_base.Button(
                ACTS[code].button, code, post_to=list_url, hidden=confirmed_action.selection_of(row, code)
            )
            for code in fitting.get(row.status, ())
            if ACTS[code].is_allowed(request.user)
        ]

    def get_urls(self) -> list[URLPattern]:
        pause = self.admin_site.admin_view(self.pause_view)
        resume = self.admin_site.admin_view(require_POST(self.resume_view))
        pauses = [path("pause/", pause, name="sync_pause"), path("resume/", resume, name="sync_resume")]
        return [*pauses, *super().get_urls()]

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        names = item_names(row.remote_id for row in rows if row.is_unmatched_item)
        for row in rows:
            row.page_items = names

    state = admin_base.badge_column("status", "Status", STATUS_BADGES)
    next_try = admin_base.plain_column(
        "Next attempt", lambda job: next_attempt(job, job.page_now) or humanize.DASH, "next_retry"
    )
    queued = admin_base.time_column("created_at", "Queued")
    last_try = admin_base.time_column("last_attempt", "Last attempt")

    @admin.display(description="Record")
    def about(self, job: Any) -> SafeString | str:
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

    why_in_full = admin_base.plain_column(
        "Why", lambda job: admin_base.with_request_id(job.error_message or job.reason) or humanize.DASH
    )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return ACTS["retry"].is_allowed(request.user)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return ACTS["cancel"].is_allowed(request.user)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return ACTS["discard"].is_allowed(request.user)

    @admin.action(description=ACTS["retry"].button, permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        run = partial(act_on_jobs, request, "retry", queryset)
        return confirmed_action.run_action(self, request, run, request.get_full_path())

    @admin.action(description=ACTS["cancel"].button, permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        return self._end(request, queryset, ACTS["cancel"])

    @admin.action(description=ACTS["discard"].button, permissions=["discard"])
    def discard(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        return self._end(request, queryset, ACTS["discard"])

    def _end(self, request: HttpRequest, queryset: QuerySet[SyncQueue], act: Act) -> HttpResponse:
        jobs = queryset.filter(status=_STATUS[act.code])

        def question() -> confirmed_action.Question:
            number = jobs.count()
            if not number:
                words = f"What is selected is {OTHERS[act.code]}."
                return confirmed_action.Question(f"Nothing to {act.label.lower()}", [words])
            hidden = confirmed_action.selection(request, act.code, jobs)
            examples = list(jobs.order_by("-id")[:MAX_JOBS_SHOWN])
            self.prepare_page(request, examples)
            cells = [(self.about(job), self.why(job)) for job in examples]
            table = confirmed_action.RecordTable(("Record", "Why"), cells, number)
            title = act.many.format(number=humanize.count_with_noun(number, "job"))
            return confirmed_action.Question(f"{title}?", [act.effect], title, [table], hidden, deletes=True)

        def run() -> confirmed_action.Report:
            return act_on_jobs(request, act.code, confirmed_action.confirmed_rows(request, jobs))

        return confirmed_action.run_action(self, request, run, request.get_full_path(), question)

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Pause one board, or all without an `entity_type`, after a question."""
        if not ACTS["pause"].is_allowed(request.user):
            raise PermissionDenied
        entity_type = request.GET.get("entity_type", "")
        label = pauses.pause_label(entity_type)

        @transaction.atomic
        def run() -> confirmed_action.Report:
            why = request.POST.get("why", "")[:MAX_REASON_CHARACTERS]
            pause, is_new = pauses.pause(request.user.get_username(), entity_type=entity_type, why=why)
            if not is_new:
                return confirmed_action.Report(problems=[f"{label}: already paused."])
            authors.log_model_action(request.user, SyncQueue, f"Paused: {label}. {pause.why}".strip())
            return confirmed_action.Report()  # the banner of every page says it

        def question() -> confirmed_action.Question:
            act = ACTS["pause"]
            return confirmed_action.Question(
                f"{act.label} {label.lower()}?", [act.effect], act.label, text=("why", "Why? Shown to others.")
            )

        return confirmed_action.run_action(self, request, run, _back_url(request), question)

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End a pause."""
        if not ACTS["pause"].is_allowed(request.user):
            raise PermissionDenied

        def run() -> confirmed_action.Report:
            entity_type = request.POST.get("entity_type", "")
            label = pauses.pause_label(entity_type)
            if not queue.resume(request.user.get_username(), entity_type=entity_type):
                return confirmed_action.Report(
                    problems=[f"{label}: not paused any more. Somebody else has resumed it."]
                )
            authors.log_model_action(request.user, SyncQueue, f"Resumed: {label}.")
            return confirmed_action.Report(f"{label}: resumed. {resume_sentence(entity_type)}")

        return confirmed_action.run_action(self, request, run, _back_url(request))


def _back_url(request: HttpRequest) -> str:
    return admin_base.own_address(request, request.POST.get("back"), request.GET.get("back")) or reverse("admin:index")


def pause_button(request: HttpRequest, entity_type: str = "", back: str = "") -> admin_base.Button | None:
    """Return the button to the question that pauses one board or all; None for users who may not."""
    act = ACTS["pause"]
    if not act.is_allowed(request.user):
        return None
    target = {"entity_type": entity_type} if entity_type else {}
    url = reverse("admin:sync_pause", query=target | {"back": back or request.path})
    return admin_base.Button(act.button, act.code, url=url, icon="pause_circle")
