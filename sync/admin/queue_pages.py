"""The list of jobs with its acts, pauses, stops, and the banner that shows both above every page."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import addresses, attention, queue
from sync.admin import admin_base, confirmed_action, home_acts, record_panel
from sync.attention import Entry, Kind
from sync.boards import availability
from sync.choices import DELETE, LASTING_STOPS, QueueStatus, StopCode
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.acts import ACTS, Act, NotPossible
from sync.limits import credentials, probes
from sync.models import MondayAccount, SyncQueue, Tombstone
from sync.operations.setup.connection import MAY_CONNECT
from sync.operations.setup.selection import may_see_connection, may_set_up
from sync.outbox import operate, pauses
from sync.queue import retry_all
from sync.records import authors
from sync.records.item_links import item_names

STATUS_BADGES = {
    QueueStatus.PENDING: ("wait", "schedule"),
    QueueStatus.IN_PROGRESS: ("go", "sync"),
    QueueStatus.COMPLETED: ("ok", "check_circle"),
    QueueStatus.FAILED: ("bad", "error"),
}
MAX_REASON_CHARACTERS = 500
# How long a pause may be chosen to last.
PAUSE_HOURS = ("1", "4", "24")
AT_TIME = "until"  # instead of these hours, until a time that the person enters
LONGEST_PAUSE = timedelta(days=365)

# A question lists this many jobs as examples.
MAX_JOBS_SHOWN = 20

# For each act on jobs, the words for the jobs that it doesn't fit.
WHY_LEFT_ALONE = {"retry": "done already", "cancel": "not pending", "discard": "not failed"}
# The status of the jobs that an act fits, if it asks: its question counts them. A retry reports the others afterwards.
_FITTING_STATUS = {"cancel": QueueStatus.PENDING, "discard": QueueStatus.FAILED}


def act_on_jobs(request: HttpRequest, code: str, jobs: models.QuerySet[SyncQueue]) -> confirmed_action.Report:
    """Retry, cancel or discard jobs, log it, and report why they wait and which jobs were left alone."""
    jobs = jobs.order_by()
    # Read before, because afterwards the rows may not match any more.
    types = set(jobs.values_list("entity_type", flat=True).distinct())
    run = {"retry": retry_all, "cancel": operate.cancel, "discard": operate.discard}[code]
    result = run(jobs, request.user.get_username())
    problems = []
    if result.in_progress:
        problems.append(f"{humanize.count_with_noun(result.in_progress, 'job')} left alone: in progress right now.")
    if result.unsuited:
        problems.append(f"{humanize.count_with_noun(result.unsuited, 'job')} left alone: {WHY_LEFT_ALONE[code]}.")
    if not result.changed:
        return confirmed_action.Report(problems=problems)
    number = humanize.count_with_noun(result.changed, "job")
    authors.log_model_action(request.user, SyncQueue, f"{ACTS[code].label}: {number}.")
    wait = availability.wait_sentence(result.changed, types) if code == "retry" else ""
    return confirmed_action.Report(f"{ACTS[code].done.format(number=number)} {wait}".rstrip(), problems)


@home_acts.does(Kind.FAILED, "retry", "discard")
def _act_on_failed_jobs(
    request: HttpRequest, act: Act, entries: Sequence[Entry], shown: home_acts.Shown
) -> confirmed_action.Report:
    return act_on_jobs(request, act.code, SyncQueue.objects.filter(pk__in=[entry.job for entry in entries]))


@admin.register(SyncQueue)
class SyncQueueAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    empty_title = "No jobs"
    empty_words = "Each change becomes a job, which is done within seconds. “Sync now” on a record's page makes one."
    list_display = ("state", "about", "direction", "attempts", "next_try", "why", "queued")
    list_display_links = ("state",)
    list_filter = (("status", ChoicesCheckboxFilter), admin_base.EntityFilter, ("direction", ChoicesCheckboxFilter))
    search_fields = ("remote_id", "error_message__says", "reason__says", "entity_id")
    search_help_text = "Name, item's number, error …"
    ordering = ("-id",)

    # Columns that only the engine reads are left out.
    fields = ("state", "about", "direction", "operation", "attempts", "next_try", "why_in_full", "queued", "last_try")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return (*self.fields, "payload") if obj and obj.payload else self.fields

    def row_buttons(self, request: HttpRequest, row: Any) -> list[admin_base.Button]:
        """Return the list's actions that fit this job and that this person may press."""
        fitting = {QueueStatus.FAILED.value: ("retry", "discard"), QueueStatus.PENDING.value: ("retry", "cancel")}
        codes = [code for code in fitting.get(row.status, ()) if ACTS[code].is_allowed(request.user)]
        return [confirmed_action.list_button(row, code) for code in codes]

    def get_urls(self) -> list[URLPattern]:
        pause = self.admin_site.admin_view(self.pause_view)
        resume = self.admin_site.admin_view(require_POST(self.resume_view))
        try_again = self.admin_site.admin_view(require_POST(self.try_again))
        return [
            path("pause/", pause, name="sync_pause"),
            path("resume/", resume, name="sync_resume"),
            path("try-again/", try_again, name="sync_try_again"),
            *super().get_urls(),
        ]

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        names = item_names(row.remote_id for row in rows if row.is_unmatched_item)
        overview = admin_base.overview_of(request)
        removed = attention.waiting(kinds=[Kind.REMOVED]).filter(entity_id__in={row.entity_id for row in rows})
        quiet_ends = {
            entry.entity_id: record_panel.quiet_end(entry.noticed) for entry in attention.as_entries(list(removed))
        }
        deletions = {row.entity_id for row in rows if row.operation == DELETE and row.status == QueueStatus.COMPLETED}
        outcomes = dict(Tombstone.objects.filter(entity_id__in=deletions).values_list("entity_id", "note"))
        previous_reason = ""
        for row in rows:
            row.page_items = names
            row.page_next = overview.next_attempt_words(row, quiet_ends.get(row.entity_id))
            row.page_reason = overview.reason_of(row)
            if row.status == QueueStatus.COMPLETED and row.operation == DELETE:
                # What became of it since, such as an approval or a restore.
                row.page_reason = outcomes.get(row.entity_id) or row.page_reason
            reason = humanize.without_request_id(row.page_reason)
            # Many jobs in a row often wait for the same.
            row.page_why = "As above" if reason and reason == previous_reason else reason
            previous_reason = reason

    state = admin_base.badge_column("status", "Status", STATUS_BADGES)
    next_try = admin_base.plain_column("Next attempt", lambda job: job.page_next or humanize.DASH, "next_retry")
    queued = admin_base.time_column("created_at", "Queued")
    last_try = admin_base.time_column("last_attempt", "Last attempt")

    @admin.display(description="Record")
    def about(self, job: Any) -> SafeString | str | None:
        return self.record_name(job) if job.is_unmatched_item else self.record(job)

    def record_name(self, row: Any) -> str:
        if not row.is_unmatched_item:
            return super().record_name(row)
        name = row.page_items.get(row.remote_id)
        return f"“{humanize.shorten(name, 60)}”" if name else f"New item {row.remote_id}"

    @admin.display(description="Why")
    def why(self, job: Any) -> SafeString | str:
        return format_html('<span class="npd-text">{}</span>', job.page_why) if job.page_why else humanize.DASH

    why_in_full = admin_base.plain_column(
        "Why", lambda job: admin_base.with_request_id(job.page_reason) or humanize.DASH
    )

    def acts(self, request: HttpRequest) -> list[Act]:
        return [ACTS[code] for code in WHY_LEFT_ALONE if ACTS[code].is_allowed(request.user)]

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[SyncQueue], act: Act) -> HttpResponse:
        jobs = rows.filter(status=_FITTING_STATUS[act.code]) if act.code in _FITTING_STATUS else rows

        def question() -> confirmed_action.Question:
            number = jobs.count()
            if not number:
                words = f"What is selected is {WHY_LEFT_ALONE[act.code]}."
                return confirmed_action.Question(f"Nothing to {act.label.lower()}", [words])
            hidden = confirmed_action.selection_fields(request, act.code, jobs)
            examples = list(jobs.order_by("-id")[:MAX_JOBS_SHOWN])
            self.prepare_page(request, examples)
            cells = [(self.about(job), self.why(job)) for job in examples]
            table = confirmed_action.RecordTable(("Record", "Why"), cells, number)
            title = act.many.format(number=humanize.count_with_noun(number, "job"))
            return confirmed_action.Question(f"{title}?", [act.effect], title, [table], hidden, deletes=True)

        def run() -> confirmed_action.Report:
            chosen = confirmed_action.confirmed_rows(request, jobs) if act.asks else jobs
            return act_on_jobs(request, act.code, chosen)

        back_url = request.get_full_path()
        return confirmed_action.run_action(self, request, run, back_url, question if act.asks else None)

    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Pause one board, or all without an `entity_type`, after a question."""
        if not ACTS["pause"].is_allowed(request.user):
            raise PermissionDenied
        entity_type = request.GET.get("entity_type", "")
        label = pauses.pause_label(entity_type)
        now = timezone.localtime(sync_now())
        why = request.POST.get("why", "")[:MAX_REASON_CHARACTERS]
        chosen = request.POST.get("hours", "")
        typed = request.POST.get("until", "")
        back_url = admin_base.back_url(request)
        until = now + timedelta(hours=int(chosen)) if chosen in PAUSE_HOURS else None

        def run() -> str:
            if not pauses.pause(request.user.get_username(), entity_type=entity_type, why=why, until=until)[1]:
                raise NotPossible(f"{label}: already paused.")
            return ""  # the banner of every page says it

        def question() -> confirmed_action.Question:
            act = ACTS["pause"]
            ends = [("", "Until somebody presses “Resume”.", "")]
            for hours in PAUSE_HOURS:
                end = humanize.due_time(now + timedelta(hours=int(hours)), now)
                ends.append((hours, f"For {humanize.count_with_noun(int(hours), 'hour')},", f"until {end}."))
            ends.append((AT_TIME, "Until this time:", ""))
            return confirmed_action.Question(
                f"{act.label} {label.lower()}?",
                [act.effect],
                act.label,
                inputs=[
                    ("until", f"Time ({humanize.zone_name(now)})", "datetime-local", typed),
                    ("why", "Why? Shown to others.", "text", why),
                ],
                radio=("hours", chosen, ends),
            )

        if chosen == AT_TIME or (typed and not chosen):
            try:
                until = forms.DateTimeField().clean(typed)
                if until <= now:
                    raise ValidationError("That time is over already. Enter a later one.")
                if until > now + LONGEST_PAUSE:
                    raise ValidationError("Enter a time within a year.")
            except ValidationError as error:
                warning = "Enter a time." if error.code else str(error.message)
                if error.code == "ambiguous_timezone":
                    warning = "Clocks change at that hour: it is skipped, or comes twice. Enter another."
                repeated = replace(question(), warning=warning)
                return confirmed_action.question_page(self, request, repeated, back_url, status=400)
        return confirmed_action.run_action(self, request, run, back_url, question)

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        """End a pause."""
        if not ACTS["pause"].is_allowed(request.user):
            raise PermissionDenied

        def run() -> str:
            entity_type = request.POST.get("entity_type", "")
            label = pauses.pause_label(entity_type)
            if not queue.resume(request.user.get_username(), entity_type=entity_type):
                raise NotPossible(f"{label}: not paused any more. Somebody else has resumed it.")
            return f"{label}: resumed. {availability.resume_sentence(entity_type)}"

        return confirmed_action.run_action(self, request, run, admin_base.back_url(request))

    def try_again(self, request: HttpRequest) -> HttpResponse:
        """Ask Monday once whether the stop is over, and go back to the page with the button."""
        if not ACTS["try_again"].is_allowed(request.user):
            raise PermissionDenied

        def run() -> str:
            # The button is also offered while the day's quota is tight: the account may have a larger plan by now.
            was_slowed = availability.is_slowed()
            result = probes.try_again(by=request.user.get_username(), is_slowed=was_slowed)
            sentence = probes.still_stopped_sentence() if result == probes.STOPPED else result
            if was_slowed and result == probes.RESUMED and availability.is_slowed():
                sentence = "The API quota is as tight as before. “Sync now” still works."
            if result in (probes.RESUMED, probes.NOT_STOPPED):
                sentence = f"{sentence} {availability.unanswered_sentence()}".rstrip()
            authors.log_model_action(request.user, MondayAccount, f"Tried again. {sentence}", name="Monday")
            if result not in (probes.RESUMED, probes.TRIED, probes.NOT_STOPPED):
                raise NotPossible(sentence)
            return sentence

        return confirmed_action.run_action(self, request, run, admin_base.back_url(request))


def pause_button(request: HttpRequest, entity_type: str = "", back: str = "") -> admin_base.Button | None:
    """Return the button to the question that pauses one board or all; None for users who may not."""
    act = ACTS["pause"]
    if not act.is_allowed(request.user):
        return None
    target = {"entity_type": entity_type} if entity_type else {}
    url = reverse("admin:sync_pause", query=target | {"back": back or request.path})
    return admin_base.Button(act.button, act.code, url=url, icon="pause_circle")


def banner_context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the banners above every page."""
    has_token = credentials.has_token()
    context: dict[str, Any] = {
        "stopped": SimpleLazyObject(lambda: _stop_banner(request, has_token=has_token)),
        "may_see_connection": may_see_connection(request.user),
    }
    if not has_token:
        context |= {"monday_banner": "missing", "token_problem": credentials.unreadable_reason()}
    elif addresses.is_sandbox():
        context |= {"monday_banner": "sandbox", "sandbox_url": f"{addresses.monday_web_url()}/"}
    return context


def _stop_banner(request: HttpRequest, *, has_token: bool) -> dict[str, Any]:
    """Return the stops and pauses that every page shows, with the buttons that this person may press."""
    user: Any = request.user
    overview = getattr(request, "page_overview", None)  # set by `overview_of`, if the page needs it
    stops = availability.stop_entries() if admin_base.counts_of(request)[Kind.STOP] or not has_token else []
    explanations = []
    for stop in stops:
        permission = MAY_CONNECT if stop.code == StopCode.TOKEN else attention.KINDS[Kind.STOP].permission
        is_for_others = stop.code in LASTING_STOPS and not user.has_perm(permission)
        explanations.append(f"Who may act: {authors.who_has(permission)}." if is_for_others else stop.own_detail)
    buttons: list[admin_base.Button | None] = []  # the main one first
    is_token_in_environment = bool(settings.MONDAY_API_KEY)
    if any(stop.code == StopCode.TOKEN for stop in stops) and user.has_perm(MAY_CONNECT) and may_set_up(user):
        url = reverse("admin:sync_wizard_connect")
        token = admin_base.Button("Enter a new token", "token", f"{url}#npd-token")
        if is_token_in_environment:
            token = admin_base.Button("See where the token is set", "token", f"{url}#npd-wizard-token")
        buttons.append(token)
    # Entering a new token asks Monday anyway.
    if stops and has_token and (is_token_in_environment or not buttons):
        buttons.append(go_on_button(request, "try_again"))
    active = overview.pauses if overview else pauses.active_pauses()
    return {
        "stops": list(zip(stops, explanations, strict=True)),
        "buttons": [*filter(None, buttons)],
        "pauses": [
            (pauses.pause_label(pause.entity_type), pause, go_on_button(request, "resume", pause.entity_type))
            for pause in active
        ],
        # Home then shows no state line.
        "stops_everything": bool(stops) or any(not pause.entity_type for pause in active),
    }


def go_on_button(request: HttpRequest, code: str, entity_type: str = "") -> admin_base.Button | None:
    """Return the button that ends a stop (“try_again”) or a pause (“resume”); None for users who may not."""
    act = ACTS[code]
    if not act.is_allowed(request.user):
        return None
    back = request.get_full_path() if request.method == "GET" else ""
    hidden = {"entity_type": entity_type, "back": back}
    return admin_base.Button(act.label, code, post_to=reverse(f"admin:sync_{code}"), hidden=hidden)
