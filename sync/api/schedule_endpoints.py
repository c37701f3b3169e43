"""The schedule by API: when each job runs and last did; its time and its switch are changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, filtered_by, ordered_by
from sync.api.request_rules import KnownFieldsMixin, ModelPermissions
from sync.kernel import humanize, periodic_jobs
from sync.kernel.timetable import PeriodicJob
from sync.records.authors import log_action

PERIODS = [(name, name) for name in periodic_jobs.PERIODS]
MAX_EVERY = 10_000


class ScheduledJobSerializer(serializers.ModelSerializer[PeriodicTask]):
    """A job that runs by the clock: each `every` `period`, or daily `at` a time (UTC); else as `schedule` says."""

    title = serializers.SerializerMethodField()
    description = serializers.SerializerMethodField(help_text="What it does.")
    when_off = serializers.SerializerMethodField(help_text="What is missing while it is off.")
    every = serializers.SerializerMethodField()
    period = serializers.SerializerMethodField()
    at = serializers.SerializerMethodField(help_text="Hours and minutes, as 02:40.")
    schedule = serializers.SerializerMethodField(help_text="The same in words.")
    longest_seconds = serializers.SerializerMethodField(help_text="The longest interval that it may have; null: any.")

    class Meta:
        model = PeriodicTask
        fields = [
            *("id", "name", "title", "description", "when_off", "enabled", "every", "period", "at", "schedule"),
            *("longest_seconds", "last_run_at", "total_run_count"),
        ]
        read_only_fields = fields

    def get_title(self, entry: PeriodicTask) -> str:
        """What people call it."""
        job = periodic_jobs.job_for_entry(entry)
        return job.title if job else str(entry.name)

    def get_description(self, entry: PeriodicTask) -> str:
        """What it does."""
        job = periodic_jobs.job_for_entry(entry)
        return job.description if job else str(entry.description)

    def get_when_off(self, entry: PeriodicTask) -> str:
        """What is missing while it is off."""
        job = periodic_jobs.job_for_entry(entry)
        return job.when_off if job else ""

    def get_every(self, entry: PeriodicTask) -> int | None:
        """How many of its period lie between two runs."""
        return entry.interval.every if "every" in periodic_jobs.time_fields(entry) else None

    @extend_schema_field(serializers.ChoiceField(choices=PERIODS, allow_null=True))
    def get_period(self, entry: PeriodicTask) -> str | None:
        """The unit of that."""
        return entry.interval.period if "period" in periodic_jobs.time_fields(entry) else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_at(self, entry: PeriodicTask) -> str | None:
        """When it runs each day."""
        found = periodic_jobs.time_of_day(entry)
        return f"{found:%H:%M}" if found else None

    def get_schedule(self, entry: PeriodicTask) -> str:
        """When it runs."""
        return str(entry.interval or entry.crontab or entry.solar or entry.clocked or "")

    def get_longest_seconds(self, entry: PeriodicTask) -> int | None:
        """How long an interval may be."""
        job: PeriodicJob | None = periodic_jobs.job_for_entry(entry)
        return (job.max_seconds or None) if job else None


class ScheduledJobChangeSerializer(KnownFieldsMixin):
    """What is to be changed; what isn't sent stays."""

    enabled = serializers.BooleanField(required=False, help_text="Whether it runs; see `when_off`.")
    every = serializers.IntegerField(required=False, min_value=1, max_value=MAX_EVERY)
    period = serializers.ChoiceField(choices=PERIODS, required=False)
    at = serializers.TimeField(required=False, input_formats=["%H:%M"], format="%H:%M", help_text="As 02:40, in UTC.")

    def __init__(self, entry: PeriodicTask | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entry = entry

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A time of the kind that the entry has, and no interval that would be as good as off."""
        assert self.entry is not None
        offered = periodic_jobs.time_fields(self.entry)
        if unfit := {"every", "period", "at"} & set(attrs) - set(offered):
            known = ", ".join(("enabled", *offered))
            raise serializers.ValidationError(
                {name: [f"This job has no such time. Known: {known}."] for name in sorted(unfit)}, code="invalid"
            )
        if {"every", "period"} & set(attrs):
            attrs["every"] = attrs.get("every", self.entry.interval.every)
            attrs["period"] = attrs.get("period", self.entry.interval.period)
            if seconds := periodic_jobs.longest_seconds(self.entry, attrs["every"], attrs["period"]):
                sentence = f"At most {humanize.time_span(seconds)}."
                raise serializers.ValidationError({"every": [sentence]}, code="max_value")
        return attrs


@ordered_by(PeriodicTask, ("name", "enabled", "last_run_at", "total_run_count"))
@filtered_by(PeriodicTask, ("name", "enabled", "last_run_at"))
class ScheduleFilter(FilterSet):  # type: ignore[misc]
    """The filters of the schedule."""


@extend_schema_view(
    list=extend_schema(description="What runs by the clock, by name: when, when it last did, and whether it is on."),
    retrieve=extend_schema(description="One of them."),
)
class ScheduleViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[PeriodicTask]):
    """The schedule; the jobs themselves stand in the program."""

    queryset = PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked").order_by("name")
    serializer_class = ScheduledJobSerializer
    filterset_class = ScheduleFilter
    permission_classes = [ModelPermissions]
    scopes: ClassVar[dict[str, str]] = {"partial_update": "operate"}

    def get_queryset(self) -> QuerySet[PeriodicTask]:
        """The entries; for a change, with the row locked until it is done."""
        rows = super().get_queryset()
        return rows.select_for_update(of=("self",)) if self.action == "partial_update" else rows

    @extend_schema(
        request=ScheduledJobChangeSerializer,
        responses=ScheduledJobSerializer,
        description="Choose when it runs, or switch it off or on; Beat notices within seconds.",
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change its time, or its switch."""
        with transaction.atomic():
            entry: PeriodicTask = self.get_object()
            body = ScheduledJobChangeSerializer(entry, data=request.data)
            body.is_valid(raise_exception=True)
            chosen, changed = body.validated_data, list[str]()
            if "every" in chosen:
                changed += periodic_jobs.choose_interval(entry, chosen["every"], chosen["period"])
            if "at" in chosen:
                changed += periodic_jobs.choose_time(entry, chosen["at"])
            if "enabled" in chosen:
                entry.enabled = chosen["enabled"]
                changed.append("enabled")
            periodic_jobs.save_choices(entry, changed)
            if changed:
                log_action(request.user, entry, f"Changed by the API: {', '.join(sorted(chosen))}.")
                # Saving took from it what the library resets in memory alone.
                entry.refresh_from_db()
        return Response(self.get_serializer(entry).data)
