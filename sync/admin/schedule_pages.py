"""The schedule: when each job runs and last did; its time and its switch are an administrator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sync.admin import admin_base
from sync.admin.admin_base import PageAdmin, plain_column
from sync.admin.concurrent_edits import ConcurrentSettingsForm
from sync.kernel import humanize, periodic_jobs
from sync.operations.detect import sweep_interval_text


class ScheduleEntryForm(ConcurrentSettingsForm):
    """An entry's time, and whether it is on."""

    every = forms.IntegerField(label="Every", min_value=1, max_value=10_000, widget=UnfoldAdminIntegerFieldWidget)
    period = forms.ChoiceField(
        label="Unit", choices=[(name, name) for name in periodic_jobs.PERIODS], widget=UnfoldAdminSelectWidget
    )
    at = forms.TimeField(
        label="Every day at (UTC)",
        input_formats=["%H:%M"],
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "02:40"}),
        error_messages={"invalid": "Write hours and minutes, for example 02:40."},
    )

    class Meta:
        model = PeriodicTask
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entry: PeriodicTask = self.instance
        names = periodic_jobs.time_fields(entry)
        for name in {"every", "period", "at"} - set(names):
            self.fields.pop(name, None)
        if "every" in names:
            self.initial.update(every=entry.interval.every, period=entry.interval.period)
        elif names:
            self.initial["at"] = f"{periodic_jobs.time_of_day(entry):%H:%M}"
        job = periodic_jobs.job_for_entry(entry)
        if "enabled" in self.fields:
            self.fields["enabled"].label = "On"
            self.fields["enabled"].help_text = f"If you turn it off: {job.when_off}" if job else ""

    def clean(self) -> dict[str, Any] | None:
        """Refuse an interval that would be as good as off."""
        cleaned = super().clean()
        job = periodic_jobs.job_for_entry(self.instance)
        every, period = self.cleaned_data.get("every"), self.cleaned_data.get("period")
        if job is None or not every or not period:
            return cleaned
        if 0 < job.max_seconds < timedelta(**{period: every}).total_seconds():
            longest = humanize.time_span(job.max_seconds)
            self.add_error("every", ValidationError(f"At most {longest}. In between: {job.when_off}", code="too_long"))
        return cleaned

    def apply_choices(self) -> list[str]:
        """Put what was chosen on the entry; return the names of its columns that changed."""
        changed = [name for name in ("enabled",) if name in self.changed_data]
        chosen = self.cleaned_data
        if {"every", "period"} & set(self.changed_data):
            self.instance.interval = periodic_jobs.interval_schedule(chosen["every"], chosen["period"])
            changed.append("interval")
        if "at" in self.changed_data:
            self.instance.crontab = periodic_jobs.daily_schedule(chosen["at"].hour, chosen["at"].minute)
            changed.append("crontab")
        return changed


# An entry's time is edited on the entry's own page: a row of these is shared by several entries.
for schedule in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(schedule)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(PageAdmin):
    form = ScheduleEntryForm
    list_display = ("job", "state", "runs", "ran", "times")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    ordering = ("name",)
    row_names = ("scheduled job", "scheduled jobs")
    empty_title = "Nothing is scheduled yet"
    empty_words = "Beat makes the entries when it starts."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The jobs stand in the program (SCHEDULE in config/settings.py)."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        """A job of ours can be switched off and not deleted: Beat would make it again."""
        foreign = obj is not None and periodic_jobs.job_for_entry(obj) is None
        return foreign and bool(super().has_delete_permission(request, obj))

    def get_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> tuple[str, ...]:
        chosen = periodic_jobs.time_fields(obj) if obj and self.has_change_permission(request, obj) else ()
        return ("job", "does", "enabled", *chosen, *(() if chosen else ("runs",)), "usually", "ran", "times")

    def get_readonly_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> tuple[str, ...]:
        """Everything but the time and the switch."""
        return ("job", "does", "runs", "usually", "ran", "times")

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: ScheduleEntryForm, change: bool) -> None:
        """Write what was touched and nothing else, for Beat writes the row too; say what a job that is off means."""
        if changed := form.apply_choices():
            obj.save(update_fields=[*changed, "date_changed"])
        job = periodic_jobs.job_for_entry(obj)
        if job is not None and not obj.enabled:
            self.message_user(request, f"“{job.title}” is off. {job.when_off}", messages.WARNING)

    def row_context(self, request: HttpRequest, row: PeriodicTask) -> dict[str, Any]:
        """Call the page what the list calls the job."""
        return super().row_context(request, row) | {"page_name": self.job(row)}

    @admin.display(description="Job", ordering="name")
    def job(self, entry: PeriodicTask) -> str:
        known = periodic_jobs.job_for_entry(entry)
        return known.title if known else str(entry.name)

    times = plain_column("Runs so far", lambda entry: f"{entry.total_run_count:,}", "total_run_count")

    @admin.display(description="What it does")
    def does(self, entry: PeriodicTask) -> str:
        job = periodic_jobs.job_for_entry(entry)
        return job.description if job else entry.description or entry.task

    @admin.display(description="State", ordering="enabled")
    def state(self, entry: PeriodicTask) -> SafeString:
        """Return whether it is on, and what is missing where it isn't."""
        if entry.enabled:
            return admin_base.badge("ok", "schedule", "On")
        job = periodic_jobs.job_for_entry(entry)
        return admin_base.badge("warn", "pause_circle", "Off", title=job.when_off if job else "")

    @admin.display(description="When")
    def runs(self, entry: PeriodicTask) -> str:
        names = periodic_jobs.time_fields(entry)
        if "every" in names:
            often = _interval_text(entry.interval.every, entry.interval.period)
            of_board = _OF_A_BOARD.get(entry.task)
            return f"each board {of_board()}; {often} those that are due" if of_board else often
        if names:
            return _daily_text(int(entry.crontab.hour), int(entry.crontab.minute))
        return str(entry.interval or entry.crontab or entry.solar or entry.clocked or humanize.DASH)

    @admin.display(description="Usually")
    def usually(self, entry: PeriodicTask) -> str:
        """Return when it runs where nobody has chosen another time."""
        job = periodic_jobs.job_for_entry(entry)
        if job is None:
            return humanize.DASH
        return _daily_text(*job.at) if job.at else _interval_text(*periodic_jobs.largest_unit(job.every))

    ran = admin_base.time_column("last_run_at", "Last ran")


# What these run for is the boards that are due; how often one is, their pages say in the same words.
_OF_A_BOARD: Mapping[str, Callable[[], str]] = {
    "sync.sweep_boards": sweep_interval_text,
    "sync.compare_boards": lambda: "once a night",
}


def _interval_text(every: int, period: str) -> str:
    return f"every {period[:-1]}" if every == 1 else f"every {every} {period}"


def _daily_text(hour: int, minute: int) -> str:
    today = timezone.now().astimezone(UTC).replace(hour=hour, minute=minute)
    return f"daily at {humanize.utc_and_local(today)}"
