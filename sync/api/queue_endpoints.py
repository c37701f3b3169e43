"""The queue and the schedule by API: jobs and counts; retry, cancel and discard of one job or of all that match; pause
and resume; and when each job of the clock runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar, TypeVar

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, WholeNumber, filtered_by, ordered_by
from sync.api.request_rules import (
    Deprecation,
    EntityType,
    KnownFieldsMixin,
    MayOperateQueue,
    ModelPermissions,
    QuotingMixin,
    TrueOrFalse,
)
from sync.choices import QueueDirection, QueueStatus
from sync.clock import sync_now
from sync.kernel import humanize, periodic_jobs
from sync.kernel.action_errors import Conflict, PartiallyDone
from sync.kernel.timetable import PeriodicJob
from sync.models import QueuePause, SyncQueue
from sync.models.jobs import QueueAction
from sync.outbox.operate import BulkResult, expected_rows
from sync.outbox.pauses import pause_target
from sync.queue import SyncQueueService
from sync.records.authors import log_action, log_queue_action
from sync.records.item_links import unmatched_condition


@extend_schema_serializer(deprecate_fields=["remote_id"])
class QueueRowSerializer(QuotingMixin, serializers.ModelSerializer[SyncQueue]):
    """A reason to look at a record; a candidate (no entity_id) is an item that no record has yet.

    `remote_id` is the old name of `monday_id`.
    """

    quoting = ("error_message", "reason", "payload")

    monday_id = serializers.CharField(
        source="remote_id", read_only=True, allow_null=True, help_text="The item, of a job about an unmatched item."
    )

    class Meta:
        model = SyncQueue
        fields = [
            *(
                "id",
                "entity_type",
                "entity_id",
                "monday_id",
                "remote_id",
                "direction",
                "operation",
                "payload",
                "status",
            ),
            *("priority", "attempts", "max_attempts", "last_attempt", "next_retry", "error_message"),
            *("reason", "created_at", "finished_at"),
        ]
        read_only_fields = fields


class QueueBoardStatsSerializer(serializers.Serializer[Any]):
    """The rows of one record type."""

    pending = serializers.IntegerField(default=0)
    in_progress = serializers.IntegerField(default=0)
    completed = serializers.IntegerField(default=0)
    failed = serializers.IntegerField(default=0)


class QueueStatsSerializer(QueueBoardStatsSerializer):
    """How many rows are in which state; `due` ones would be worked now, by a board that can be worked."""

    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    by_type = serializers.DictField(child=QueueBoardStatsSerializer())


class ExpectedSerializer(KnownFieldsMixin):
    """How many rows are meant."""

    expect = serializers.IntegerField(
        min_value=0,
        help_text="The `count` of the list with the same filters, as you saw it; 409 where it is another now.",
    )


class SteeredSerializer(serializers.Serializer[Any]):
    """What became of the rows."""

    done = serializers.IntegerField(help_text="Jobs that were retried, cancelled or discarded.")
    in_flight = serializers.IntegerField(help_text="Jobs in progress; they were left alone.")
    left = serializers.IntegerField(help_text="Other jobs, which it doesn't fit.")


_FILTERED = ("operation", "priority", "attempts", "last_attempt", "next_retry", "created_at", "finished_at")


@filtered_by(SyncQueue, _FILTERED, monday_id="remote_id")
class QueueFilter(FilterSet):  # type: ignore[misc]
    """The filters of the queue."""

    status = django_filters.MultipleChoiceFilter(choices=QueueStatus.choices, help_text="May be given several times.")
    entity_type = EntityType()
    direction = django_filters.ChoiceFilter(choices=QueueDirection.choices)
    entity_id = django_filters.UUIDFilter()
    candidates = TrueOrFalse(
        method="of_new_items", label="Unmatched items", help_text="true: only items that no record has yet."
    )

    def of_new_items(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows about unmatched items, or the others."""
        return queryset.filter(unmatched_condition()) if value else queryset.exclude(unmatched_condition())


@ordered_by(SyncQueue, ("id", "status", *_FILTERED))
class QueueListFilter(QueueFilter):
    """The same with an order, which means nothing to an action on all that match."""


# The queue: pending and failed jobs; retry, cancel and discard of one job or of all that match.


JOB_ACTIONS = ("retry", "cancel", "discard")
BULK_ACTIONS = ("retry_all", "cancel_all", "discard_all")
_DONE_VERBS = {"retry": "Retried", "cancel": "Cancelled", "discard": "Discarded"}
JobAction = Callable[[int, str], SyncQueue]
BulkAction = Callable[[QuerySet[SyncQueue], str], BulkResult]
ActionMethod = TypeVar("ActionMethod", bound=Callable[..., Response])


def _bulk_schema(name: str, description: str) -> Callable[[ActionMethod], ActionMethod]:
    """The schema of an action on all rows that match."""
    schema: Callable[[ActionMethod], ActionMethod] = extend_schema(
        operation_id=name,
        request=ExpectedSerializer,
        responses=SteeredSerializer,
        description=(
            f"{description} Jobs are narrowed by the same filters as the list; 409 where another number matches now."
        ),
    )
    return schema


@extend_schema_view(
    list=extend_schema(description="Jobs, newest first."), retrieve=extend_schema(description="One job.")
)
class QueueViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """The queue, read-only except for actions on its rows."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = dict.fromkeys((*JOB_ACTIONS, *BULK_ACTIONS), (409,))
    narrowed: ClassVar[tuple[str, ...]] = ("list", *BULK_ACTIONS)
    scopes: ClassVar[dict[str, str]] = dict.fromkeys((*JOB_ACTIONS, *BULK_ACTIONS), "operate")

    @property
    def filterset_class(self) -> type[FilterSet]:
        """The filters of this action."""
        return QueueFilter if self.action in BULK_ACTIONS else QueueListFilter

    def get_permissions(self) -> Any:
        """Each action has a permission of its own."""
        steers = self.action in (*JOB_ACTIONS, *BULK_ACTIONS)
        return [MayOperateQueue(QueueAction(_action_name(self.action)))] if steers else super().get_permissions()

    @extend_schema(responses=QueueStatsSerializer, filters=False, description="The queue in numbers.")
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @extend_schema(request=None, description="Retry a job now, with all its attempts.")
    def retry(self, request: Request, pk: int) -> Response:
        """Retry a job now; 409 with a sentence where it can't be."""
        return self._run_one(request, SyncQueueService().manual_retry)

    @extend_schema(request=None, description="Close a pending job without a sync.")
    def cancel(self, request: Request, pk: int) -> Response:
        """Cancel a pending job; 409 with a sentence where it can't be."""
        return self._run_one(request, SyncQueueService().cancel)

    @extend_schema(request=None, description="Close a failed job.")
    def discard(self, request: Request, pk: int) -> Response:
        """Discard a failed job; 409 with a sentence where it can't be."""
        return self._run_one(request, SyncQueueService().discard)

    @_bulk_schema("retry_jobs", "Retry all failed and pending jobs that match now.")
    def retry_all(self, request: Request) -> Response:
        """Retry all that match now."""
        return self._run_bulk(request, SyncQueueService().retry_all)

    @_bulk_schema("cancel_jobs", "Close all pending jobs that match without a sync.")
    def cancel_all(self, request: Request) -> Response:
        """Cancel all pending jobs that match."""
        return self._run_bulk(request, SyncQueueService().cancel_all)

    @_bulk_schema("discard_jobs", "Close all failed jobs that match.")
    def discard_all(self, request: Request) -> Response:
        """Discard all failed jobs that match."""
        return self._run_bulk(request, SyncQueueService().discard_all)

    def _run_one(self, request: Request, job_action: JobAction) -> Response:
        row: SyncQueue = self.get_object()
        with transaction.atomic():
            updated = job_action(row.pk, request.user.get_username())
            log_queue_action(request.user, f"{_DONE_VERBS[self.action]} by the API.", row)
        return Response(self.get_serializer(updated).data)

    def _run_bulk(self, request: Request, bulk_action: BulkAction) -> Response:
        params = ExpectedSerializer(data=request.data)
        params.is_valid(raise_exception=True)
        # The list's own filters, so that a program acts on exactly what it listed.
        rows, expected = self.filter_queryset(self.get_queryset()), params.validated_data["expect"]
        verb, given = _DONE_VERBS[_action_name(self.action)], request.META.get("QUERY_STRING", "")
        filters_text = f", narrowed by {given}" if given else ""
        try:
            found = bulk_action(expected_rows(rows, expected), request.user.get_username())
        # Part of it is done and stays so, and is logged as such.
        except PartiallyDone as error:
            log_queue_action(
                request.user,
                f"{verb} {error.done:,} of {expected:,} jobs by the API{filters_text}; a save had the rest locked.",
            )
            raise
        log_queue_action(request.user, f"{verb} {found.done:,} jobs by the API{filters_text}.")
        left = expected - found.done - found.in_flight  # finished rows included
        return Response(SteeredSerializer(replace(found, left=left)).data)


def _action_name(action: str) -> str:
    """The action's name for one row or many."""
    return action.removesuffix("_all")


# Pauses by API: what is paused, pause, resume.


PAUSED_DIRECTIONS = [("", "Both directions"), *QueueDirection.choices]


class PauseSerializer(serializers.ModelSerializer[QueuePause]):
    """What is paused; an empty entity_type means every board, an empty direction both."""

    direction = serializers.ChoiceField(choices=PAUSED_DIRECTIONS, read_only=True)

    class Meta:
        model = QueuePause
        fields = ["id", "entity_type", "direction", "paused_by", "why", "paused_at"]
        read_only_fields = fields


class WhatSerializer(KnownFieldsMixin):
    """What is to be resumed: everything, where neither is given."""

    entity_type = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="One board; empty: every one."
    )
    direction = serializers.ChoiceField(
        choices=QueueDirection.choices,
        required=False,
        allow_blank=True,
        default="",
        help_text="One direction; empty: both.",
    )


class PauseRequestSerializer(WhatSerializer):
    """What is to be paused, and why."""

    why = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=500, help_text="Shown wherever it keeps something."
    )


@ordered_by(QueuePause, ("id", "entity_type", "direction", "paused_at"))
@filtered_by(QueuePause, ("direction", "paused_by", "paused_at"))
class PauseFilter(FilterSet):  # type: ignore[misc]
    """The filters of pauses; one of every board, or of both directions, is not among those of one."""

    entity_type = EntityType()


_BY_PAUSES = Deprecation(
    date(2026, 11, 22), date(2027, 11, 22), "Use POST sync/pauses/ and DELETE sync/pauses/{id}/ instead."
)


@extend_schema_view(
    list=extend_schema(description="The pauses in force, the widest first."),
    retrieve=extend_schema(description="One pause, while it is in force."),
)
class PauseViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[QueuePause]):
    """The pauses."""

    queryset = QueuePause.objects.order_by("entity_type", "direction")
    serializer_class = PauseSerializer
    filterset_class = PauseFilter
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = dict.fromkeys(
        ("create", "destroy", "pause", "resume"), (409,)
    )
    scopes: ClassVar[dict[str, str]] = dict.fromkeys(("create", "destroy", "pause", "resume"), "operate")
    deprecated: ClassVar[dict[str, Deprecation]] = dict.fromkeys(("pause", "resume"), _BY_PAUSES)

    def get_permissions(self) -> Any:
        """Whoever may see the queue may see its pauses."""
        reads = self.action in ("list", "retrieve")
        return [MayOperateQueue(QueueAction.VIEW if reads else QueueAction.PAUSE)]

    @extend_schema(
        request=PauseRequestSerializer,
        responses=dict.fromkeys((200, 201), PauseSerializer),
        description="Pause everything, one board, one direction, or one direction of one board, until the pause is "
        "deleted. Nothing is lost. 201 with `Location`; 200 with the pause that is there already, which stays so.",
    )
    def create(self, request: Request) -> Response:
        """Pause; 409 with a sentence where there is no such board."""
        found, is_new = self._pause(request)
        address = request.build_absolute_uri(reverse("sync-pause", args=[found.pk]))
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(self.get_serializer(found).data, code, headers={"Location": address})

    @extend_schema(description="End the pause; what waited is worked from now on.")
    def destroy(self, request: Request, pk: int) -> Response:
        """Resume what it paused; 409 where somebody else has just done so."""
        self._resume(request, (found := self.get_object()).entity_type, found.direction)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=PauseRequestSerializer,
        responses=PauseSerializer,
        description="Pause everything, one board, one direction, or one direction of one board, until it is resumed. "
        "Nothing is lost; what is paused already stays as it is.",
    )
    def pause(self, request: Request) -> Response:
        """Pause; 409 with a sentence where there is no such board."""
        return Response(self.get_serializer(self._pause(request)[0]).data)

    @extend_schema(
        request=WhatSerializer,
        responses=PauseSerializer(many=True),
        description="End that pause; answers those that are still in force.",
    )
    def resume(self, request: Request) -> Response:
        """Resume; 409 with a sentence where just that isn't paused."""
        params = WhatSerializer(data=request.data)
        params.is_valid(raise_exception=True)
        self._resume(request, **params.validated_data)
        return Response(self.get_serializer(self.get_queryset(), many=True).data)

    def _pause(self, request: Request) -> tuple[QueuePause, bool]:
        """The pause that was asked for, and whether it is a new one."""
        params = PauseRequestSerializer(data=request.data)
        params.is_valid(raise_exception=True)
        now = sync_now()
        with transaction.atomic():
            found = SyncQueueService().pause(request.user.get_username(), **params.validated_data)
            is_new = found.paused_at >= now  # else somebody else's stands
            if is_new:
                target = pause_target(found.entity_type, found.direction)
                log_queue_action(request.user, f"Paused {target} by the API.")
        return found, is_new

    def _resume(self, request: Request, entity_type: str, direction: str) -> None:
        target = pause_target(entity_type, direction)
        # In no transaction of ours: it moves what waited a thousand rows at a time, which saves would wait for.
        if not SyncQueueService().resume(request.user.get_username(), entity_type=entity_type, direction=direction):
            raise Conflict(f"Nobody paused {target}, so there is nothing to resume. See GET sync/pauses/.")
        log_queue_action(request.user, f"Resumed {target} by the API.")


# The schedule: when each job of the clock runs and last did; its time and its switch are changed.


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

    # As a job says it: of an interval in other units, `every` and `period` say nothing.
    every = WholeNumber(method="of_interval", min_value=1, label="Every")
    period = django_filters.ChoiceFilter(field_name="interval__period", choices=PERIODS, label="Period")

    def of_interval(self, queryset: QuerySet[Any], name: str, value: int) -> QuerySet[Any]:
        """Those with so many of their period between two runs."""
        return queryset.filter(interval__every=value, interval__period__in=periodic_jobs.PERIODS)


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
