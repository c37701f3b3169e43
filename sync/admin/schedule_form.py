"""When a job runs, as a person sets it: every so often, or daily at a time."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sync import scheduling
from sync.admin import words
from sync.admin.since_shown import SinceShownForm

PERIODS = [
    ("seconds", gettext_lazy("seconds")),
    ("minutes", gettext_lazy("minutes")),
    ("hours", gettext_lazy("hours")),
    ("days", gettext_lazy("days")),
]
EVERY_DAY = "*"


def timed(entry: PeriodicTask) -> tuple[str, ...]:
    """Return the names of the form's fields that say when an entry runs; none where no form of ours can say it."""
    if entry.interval is not None and entry.interval.period in dict(PERIODS):
        return ("every", "period")
    return ("at",) if entry.crontab is not None and _time_of(entry.crontab) else ()


def _time_of(crontab: CrontabSchedule) -> time | None:
    days = {crontab.day_of_week, crontab.day_of_month, crontab.month_of_year}
    if days != {EVERY_DAY} or str(crontab.timezone) != "UTC":
        return None
    try:
        return time(int(crontab.hour), int(crontab.minute))
    except ValueError:
        return None


class EntryForm(SinceShownForm):
    """An entry's time, and whether it is on."""

    every = forms.IntegerField(
        label=gettext_lazy("Every"), min_value=1, max_value=10_000, widget=UnfoldAdminIntegerFieldWidget
    )
    period = forms.ChoiceField(label=gettext_lazy("Unit"), choices=PERIODS, widget=UnfoldAdminSelectWidget)
    at = forms.TimeField(
        label=gettext_lazy("Every day at (UTC)"),
        input_formats=["%H:%M"],
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "02:40"}),
        error_messages={"invalid": gettext_lazy("Write hours and minutes, for example 02:40.")},
    )

    class Meta:
        """`enabled` is the one field of the row itself."""

        model = PeriodicTask
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entry: PeriodicTask = self.instance
        shown = timed(entry)
        for name in {"every", "period", "at"} - set(shown):
            self.fields.pop(name, None)
        if "every" in shown:
            self.initial.update(every=entry.interval.every, period=entry.interval.period)
        elif shown:
            self.initial["at"] = f"{_time_of(entry.crontab):%H:%M}"
        job = scheduling.job_of(entry)
        if "enabled" in self.fields:
            self.fields["enabled"].label = _("On")
            self.fields["enabled"].help_text = (
                (_("When it is off: %(without)s") % {"without": job.without}) if job else ""
            )

    def clean(self) -> dict[str, Any] | None:
        """Refuse an interval that would be as good as off."""
        cleaned = super().clean()
        job = scheduling.job_of(self.instance)
        every, period = self.cleaned_data.get("every"), self.cleaned_data.get("period")
        if job is None or not job.longest or not every or not period:
            return cleaned
        if scheduling.seconds_of(every, period) > job.longest:
            longest = words.span(job.longest)
            self.add_error(
                "every",
                ValidationError(
                    (
                        _("At most %(longest)s. In between: %(without)s")
                        % {"longest": longest, "without": job.without}
                    ),
                    code="too_long",
                ),
            )
        return cleaned

    def keep(self) -> list[str]:
        """Put what was chosen on the entry; return the names of its columns that changed."""
        changed = [name for name in ("enabled",) if name in self.changed_data]
        chosen = self.cleaned_data
        if {"every", "period"} & set(self.changed_data):
            self.instance.interval = scheduling.interval(chosen["every"], chosen["period"])
            changed.append("interval")
        if "at" in self.changed_data:
            self.instance.crontab = scheduling.daily(chosen["at"].hour, chosen["at"].minute)
            changed.append("crontab")
        return changed
