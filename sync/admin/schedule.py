"""The schedule in the admin: when each job runs and last did; its time and its switch are an administrator's."""

from __future__ import annotations

from datetime import UTC

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from sync import moments, scheduling
from sync.admin import words
from sync.admin.base import PageAdmin, page_now
from sync.admin.schedule_form import EntryForm, timed

# An entry's time is edited on the entry's own page: a row of these is shared by several entries.
for schedule in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(schedule)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(PageAdmin):
    """What runs by the clock."""

    form = EntryForm
    list_display = ("job", "state", "runs", "ran", "times")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    ordering = ("name",)
    empty_title = gettext_lazy("Nothing is scheduled yet")
    empty_words = gettext_lazy("Beat makes the entries when it starts.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The jobs stand in the program (config/schedule.py)."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        """A job of ours can be switched off and not deleted: Beat would make it again."""
        foreign = obj is not None and scheduling.job_of(obj) is None
        return foreign and bool(super().has_delete_permission(request, obj))

    def get_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> tuple[str, ...]:
        """Return what it is, and below it what can be chosen."""
        chosen = timed(obj) if obj and self.has_change_permission(request, obj) else ()
        return (
            "job",
            "does",
            "enabled",
            *chosen,
            *(() if chosen else ("runs",)),
            "usually",
            "ran",
            "times",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> tuple[str, ...]:
        """Everything but the time and the switch."""
        return ("job", "does", "runs", "usually", "ran", "times")

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: EntryForm, change: bool) -> None:
        """Write what was touched and nothing else, for Beat writes the row too; say what a job that is off means."""
        changed = form.keep()
        if changed:
            obj.save(update_fields=[*changed, "date_changed"])
        job = scheduling.job_of(obj)
        if job is not None and not obj.enabled:
            self.message_user(
                request,
                (_("“%(name)s” is off. %(without)s") % {"name": obj.name, "without": job.without}),
                messages.WARNING,
            )

    @admin.display(description=gettext_lazy("Job"), ordering="name")
    def job(self, entry: PeriodicTask) -> str:
        """Return its name."""
        return str(entry.name)

    @admin.display(description=gettext_lazy("Times"), ordering="total_run_count")
    def times(self, entry: PeriodicTask) -> str:
        """Return how often Beat has sent it."""
        return f"{entry.total_run_count:,}"

    @admin.display(description=gettext_lazy("What it does"))
    def does(self, entry: PeriodicTask) -> str:
        """Return the job's sentence."""
        job = scheduling.job_of(entry)
        return job.does if job else entry.description or entry.task

    @admin.display(description=gettext_lazy("State"), ordering="enabled")
    def state(self, entry: PeriodicTask) -> SafeString:
        """Return whether it is on, and what is missing where it isn't."""
        if entry.enabled:
            return words.badge("ok", "schedule", _("On"))
        job = scheduling.job_of(entry)
        return words.badge("warn", "pause_circle", _("Off"), title=job.without if job else "")

    @admin.display(description=gettext_lazy("When"))
    def runs(self, entry: PeriodicTask) -> str:
        """Return the interval or the time of day."""
        shown = timed(entry)
        if "every" in shown:
            return _every(entry.interval.every, entry.interval.period)
        if shown:
            return _daily(int(entry.crontab.hour), int(entry.crontab.minute))
        return str(entry.interval or entry.crontab or entry.solar or entry.clocked or words.NOTHING)

    @admin.display(description=gettext_lazy("Usually"))
    def usually(self, entry: PeriodicTask) -> str:
        """Return when it runs where nobody has chosen another time."""
        job = scheduling.job_of(entry)
        if job is None:
            return words.NOTHING
        return _daily(*job.at) if job.at else _every(*scheduling.in_units(job.every))

    @admin.display(description=gettext_lazy("Last ran"), ordering="last_run_at")
    def ran(self, entry: PeriodicTask) -> SafeString | str:
        """Return when Beat sent it last; Beat writes that every few minutes."""
        return words.time_tag(entry.last_run_at, page_now(entry))


def _every(every: int, period: str) -> str:
    told = {
        "days": ngettext_lazy("every day", "every %(n)d days", "n"),
        "hours": ngettext_lazy("every hour", "every %(n)d hours", "n"),
        "minutes": ngettext_lazy("every minute", "every %(n)d minutes", "n"),
        "seconds": ngettext_lazy("every second", "every %(n)d seconds", "n"),
        "microseconds": ngettext_lazy("every microsecond", "every %(n)d microseconds", "n"),
    }
    return str(told[period] % {"n": every})


def _daily(hour: int, minute: int) -> str:
    today = timezone.now().astimezone(UTC).replace(hour=hour, minute=minute)
    return _("daily at %(time)s") % {"time": moments.utc_and_here(today)}
