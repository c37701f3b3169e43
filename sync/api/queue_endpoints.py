"""The queue and how sync stands, by API: jobs, pauses, the sync state of everything in the ledger, and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import django_filters
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.urls import re_path
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import ShapedView, filtered_by
from sync.api.problems import BadQuery
from sync.api.request_rules import ApiRouter, ApiView, KnownFieldsMixin, ModelPermissions, TrueOrFalse, act, allowed
from sync.choices import ApprovalState, LedgerDirection, RecordSyncStatus, SyncStatus, TokenScope
from sync.kernel.messages import Conflict, PartiallyDone
from sync.limits import credentials, quota
from sync.models import ApprovalRequest, QueuePause, SyncMetadata, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.operations import attention
from sync.operations.detect.comparison import latest_verification
from sync.outbox.operate import BulkResult, expected_rows
from sync.outbox.pauses import pause_target
from sync.queue import SyncQueueService
from sync.records import availability
from sync.records.authors import log_queue_action
from sync.records.item_links import unmatched_condition
from sync.records.ledger_statistics import MAX_HOURS, Selection, statistics, with_served_status


class QueueRowSerializer(serializers.ModelSerializer[SyncQueue]):
    """A reason to sync a record; one without entity_id is about an unmatched item."""

    monday_id = serializers.CharField(
        source="remote_id", read_only=True, allow_null=True, help_text="The item, of a job about an unmatched item."
    )

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "direction", "operation", "payload", "status"),
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


@filtered_by(QueueRowSerializer, order=False)
class QueueFilter(FilterSet):  # type: ignore[misc]
    """The filters of the queue."""

    unmatched_items = TrueOrFalse(
        method=lambda rows, _, of_items: rows.filter(unmatched_condition() if of_items else ~unmatched_condition()),
        label="Unmatched items",
        help_text="true: only items that no record has yet.",
    )


_DONE_VERBS = {"retry": "Retried", "cancel": "Cancelled", "discard": "Discarded"}
JobAction = Callable[[int, str], SyncQueue]
BulkAction = Callable[[QuerySet[SyncQueue], str], BulkResult]


MaySteer = allowed(lambda request, view: is_allowed(request.user, QueueAction(_action_name(view.action))))
"""For an action on one job or on many, by its own permission."""


_one = partial(act, responses=QueueRowSerializer, permission_classes=[MaySteer])
_all = partial(
    act,
    detail=False,
    request=ExpectedSerializer,
    responses=SteeredSerializer,
    permission_classes=[MaySteer],
    filterset_class=QueueFilter,  # an order means nothing to these
)


class QueueViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """Jobs, the newest first. What acts on all that match is narrowed by the filters of the list."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class: type[FilterSet] = filtered_by(QueueRowSerializer)(QueueFilter)
    permission_classes = [ModelPermissions]
    narrowed: ClassVar[tuple[str, ...]] = ("list", "retry_all", "cancel_all", "discard_all")
    scope = TokenScope.OPERATE

    @extend_schema(responses=QueueStatsSerializer, filters=False)
    @action(detail=False)
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @_one()
    def retry(self, request: Request, pk: int) -> Response:
        """Retry a job now, with all its attempts."""
        return self._run_one(request, SyncQueueService().manual_retry)

    @_one()
    def cancel(self, request: Request, pk: int) -> Response:
        """Close a pending job without a sync."""
        return self._run_one(request, SyncQueueService().cancel)

    @_one()
    def discard(self, request: Request, pk: int) -> Response:
        """Close a failed job."""
        return self._run_one(request, SyncQueueService().discard)

    @_all(path="retry")
    def retry_all(self, request: Request) -> Response:
        """Retry all failed and pending jobs that match; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().retry_all)

    @_all(path="cancel")
    def cancel_all(self, request: Request) -> Response:
        """Close all pending jobs that match without a sync; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().cancel_all)

    @_all(path="discard")
    def discard_all(self, request: Request) -> Response:
        """Close all failed jobs that match; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().discard_all)

    def _run_one(self, request: Request, job_action: JobAction) -> Response:
        row: SyncQueue = self.get_object()
        with transaction.atomic():
            updated = job_action(row.pk, request.user.get_username())
            log_queue_action(request.user, f"{_DONE_VERBS[self.action]} by the API.", row)
        return Response(self.get_serializer(updated).data)

    def _run_bulk(self, request: Request, bulk_action: BulkAction) -> Response:
        # The list's own filters, so that a program acts on exactly what it listed.
        expected, rows = ExpectedSerializer.read(request)["expect"], self.filter_queryset(self.get_queryset())
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
    return action.removesuffix("_all")


class PauseSerializer(serializers.ModelSerializer[QueuePause]):
    """What is paused; an empty entity_type means every board."""

    class Meta:
        model = QueuePause
        fields = ["id", "entity_type", "paused_by", "why", "paused_at"]
        read_only_fields = fields


class PauseRequestSerializer(KnownFieldsMixin):
    """What is to be paused, and why."""

    entity_type = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="One board; empty: every one."
    )
    why = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=500, help_text="Shown wherever it keeps something."
    )


MayPause = allowed(
    lambda request, view: is_allowed(
        request.user, QueueAction.VIEW if request.method in SAFE_METHODS else QueueAction.PAUSE
    )
)
"""For whoever may see the queue, or pause it."""


class PauseViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[QueuePause]):
    """The pauses in force, that of everything first."""

    queryset = QueuePause.objects.order_by("entity_type")
    serializer_class = PauseSerializer
    # One of every board is not among those of one.
    filterset_class: type[FilterSet] = filtered_by(PauseSerializer)(FilterSet)
    permission_classes = [MayPause]
    scope = TokenScope.OPERATE

    @extend_schema(request=PauseRequestSerializer, responses=dict.fromkeys((200, 201), PauseSerializer))
    def create(self, request: Request) -> Response:
        """Pause everything, or one board, until the pause is deleted. Nothing is lost. 201 with `Location`; 200 with
        the pause that is there already, which stays so.
        """
        asked = PauseRequestSerializer.read(request)
        with transaction.atomic():
            found, is_new = SyncQueueService().pause(request.user.get_username(), **asked)
            if is_new:
                target = pause_target(found.entity_type)
                log_queue_action(request.user, f"Paused {target} by the API.")
        headers = {"Location": self.reverse_action("detail", args=[found.pk])}
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(self.get_serializer(found).data, code, headers=headers)

    def destroy(self, request: Request, pk: int) -> Response:
        """End the pause; what waited is worked from now on."""
        found = self.get_object()
        entity_type, target = found.entity_type, pause_target(found.entity_type)
        # In no transaction of ours: it moves what waited a thousand rows at a time, which saves would wait for.
        if not SyncQueueService().resume(request.user.get_username(), entity_type=entity_type):
            raise Conflict(f"Nobody paused {target}, so there is nothing to resume. See GET sync/pauses/.")
        log_queue_action(request.user, f"Resumed {target} by the API.")
        return Response(status=status.HTTP_204_NO_CONTENT)


class SyncStateSerializer(serializers.ModelSerializer[SyncMetadata]):
    """The sync state of one thing; `monday_id` and `jira_id` are the remote id where the system is Monday, or Jira."""

    monday_id = serializers.SerializerMethodField(help_text="The item, where the system is Monday.")
    jira_id = serializers.CharField(read_only=True, allow_null=True)
    sync_status = serializers.ChoiceField(source="served_status", choices=SyncStatus.choices, read_only=True)

    class Meta:
        model = SyncMetadata
        fields = [
            *("id", "system", "entity_type", "entity_id", "remote_id", "monday_id", "jira_id"),
            *("sync_status", "sync_direction"),
            *("last_sync_attempt", "last_successful_sync", "error_count", "last_error", "note", "sync_batch_id"),
            *("content_hash", "conflicts", "conflict_opened_at", "conflict_resolved_at", "resolution_strategy"),
            *("sync_duration_ms", "api_calls_count", "local_modified", "remote_modified"),
        ]
        read_only_fields = fields

    def get_monday_id(self, row: SyncMetadata) -> str | None:
        return row.remote_id if row.system == "monday" else None


STALE = "Only those whose last success is longer ago, or never was; skipped ones are never stale."


@extend_schema_field({"type": "number", "minimum": 0, "maximum": MAX_HOURS, "description": STALE})
class HoursFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """A number of hours; the schema says so, whatever column it is compared with."""


@filtered_by(SyncStateSerializer)
class SyncStateFilter(FilterSet):  # type: ignore[misc]
    """The filters of sync states."""

    entity_type = django_filters.CharFilter()  # of other code's things too
    jira_id = django_filters.CharFilter(help_text="The remote id of a row of Jira's.")
    sync_status = django_filters.MultipleChoiceFilter(
        field_name="served_status", choices=SyncStatus.choices, help_text="May be given several times."
    )
    conflicts = TrueOrFalse(
        method=lambda rows, _, is_open: rows.filter(~Q(conflicts={}) if is_open else Q(conflicts={})),
        label="Conflicts",
        help_text="true: only those with an open one.",
    )
    stale_hours = HoursFilter(
        method=lambda rows, _, hours: rows.stale(timedelta(hours=float(hours))),
        min_value=0,
        max_value=MAX_HOURS,
        label="Stale",
        help_text=STALE,
    )
    monday_id = django_filters.CharFilter(
        method=lambda rows, _, item: rows.filter(system="monday", remote_id=item),
        label="Monday item",
        help_text="The item's id.",
    )


class SyncStateViewSet(ShapedView, mixins.ListModelMixin, viewsets.GenericViewSet[SyncMetadata]):
    """Sync states, the newest first: of records, and of what other code keeps in sync."""

    queryset = SyncMetadata.objects.order_by("-id")  # whose permission page and report ask for
    serializer_class = SyncStateSerializer
    filterset_class = SyncStateFilter
    permission_classes = [ModelPermissions]

    def get_queryset(self) -> QuerySet[SyncMetadata]:
        return with_served_status(super().get_queryset())


# The figures of sync states, a part of `sync/stats`.


class LedgerStatsParams(serializers.Serializer[Any]):
    """Which part of the ledger the figures are of."""

    system = serializers.CharField(required=False, help_text="Of the sync states: one system, as monday, jira.")
    entity_type = serializers.CharField(required=False, help_text="Of the sync states: one type.")
    status = serializers.ChoiceField(SyncStatus.choices, required=False, help_text="Of the sync states.")
    direction = serializers.ChoiceField(LedgerDirection.choices, required=False, help_text="Of the sync states.")
    hours = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_HOURS, help_text="The window of the sync states; 24 unless said."
    )


class LedgerGroupSerializer(serializers.Serializer[Any]):
    """How many rows there are of one kind."""

    system = serializers.CharField()
    entity_type = serializers.CharField()
    status = serializers.CharField()
    direction = serializers.CharField()
    number = serializers.IntegerField()


class LedgerDurationSerializer(serializers.Serializer[Any]):
    """Milliseconds of the pass or batch that carried a thing."""

    median = serializers.IntegerField(allow_null=True)
    p95 = serializers.IntegerField(allow_null=True)
    p99 = serializers.IntegerField(allow_null=True)


class LedgerConflictsSerializer(serializers.Serializer[Any]):
    """Conflicts of the system and type: open now, opened and resolved within the window."""

    open = serializers.IntegerField()
    opened = serializers.IntegerField()
    resolved = serializers.IntegerField()
    median_wait_seconds = serializers.FloatField(allow_null=True)


class LedgerErrorSerializer(serializers.Serializer[Any]):
    """Errors that differ in numbers and ids alone, the newest as example."""

    number = serializers.IntegerField()
    example = serializers.CharField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    newest = serializers.DateTimeField()


class LedgerUnsyncedSerializer(serializers.Serializer[Any]):
    """The thing that waits longest since it was in sync."""

    system = serializers.CharField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    status = serializers.CharField()
    last_successful_sync = serializers.DateTimeField()


class LedgerBarSerializer(serializers.Serializer[Any]):
    """A part of the window."""

    since = serializers.DateTimeField()
    tried = serializers.IntegerField()
    failed = serializers.IntegerField()


class LedgerStatsSerializer(serializers.Serializer[Any]):
    """The ledger in figures; a window counts each thing once, by when it was last tried."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    total = serializers.IntegerField(help_text="Rows, whenever they were tried.")
    by_status = serializers.DictField(child=serializers.IntegerField())
    groups = LedgerGroupSerializer(many=True)
    tried = serializers.IntegerField(help_text="Rows last tried within the window.")
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Of those that ended, the share not failed; 0 to 1."
    )
    per_hour = serializers.FloatField()
    duration_ms = LedgerDurationSerializer()
    api_calls = serializers.IntegerField()
    api_calls_per_thing = serializers.FloatField(allow_null=True)
    api_calls_per_batch = serializers.FloatField(allow_null=True)
    batches = serializers.IntegerField()
    conflicts = LedgerConflictsSerializer()
    errors = LedgerErrorSerializer(many=True)  # type: ignore[assignment]  # the name of a property of serializers
    oldest_unsynced = LedgerUnsyncedSerializer(allow_null=True)
    never_synced = serializers.IntegerField()
    hours = LedgerBarSerializer(many=True)


class RecordCountsSerializer(serializers.Serializer[Any]):
    """Records of one type by their sync status."""

    synced = serializers.IntegerField()
    pending = serializers.IntegerField()
    conflict = serializers.IntegerField()
    disabled = serializers.IntegerField()
    total = serializers.IntegerField()
    last_synced = serializers.DateTimeField(allow_null=True)
    board = serializers.CharField(help_text="Why the board can't be worked now; empty when it can.")
    window_seconds = serializers.FloatField(
        help_text="For how long changes are gathered before the next sync; 0: each goes out at once."
    )


class AllowanceSerializer(serializers.Serializer[Any]):
    """Calls to Monday of the UTC day; null where the plan's limit isn't known."""

    used = serializers.FloatField(help_text="By everyone who uses the account; a refused call counts a tenth.")
    limit = serializers.IntegerField(allow_null=True)
    left = serializers.FloatField(allow_null=True)
    reserve = serializers.IntegerField(help_text="What is kept of it for what a person clicked.")
    forecast_ends_at = serializers.DateTimeField(
        source="ends_at",
        allow_null=True,
        help_text="Where it is tight: at the rate of the last hour, if before midnight UTC.",
    )
    words = serializers.CharField()
    as_of = serializers.DateTimeField(allow_null=True, help_text="When Monday last reported its own figure.")


class VerifiedSerializer(serializers.Serializer[Any]):
    """Records that said `synced`, as the last nightly comparison of each board found them."""

    at = serializers.DateTimeField(allow_null=True, help_text="The newest comparison; null: there was none yet.")
    compared = serializers.IntegerField(help_text="Records that were compared.")
    differed = serializers.IntegerField(help_text="Of these, records that differed: there should be none.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """How sync stands as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    open_conflicts = serializers.IntegerField(help_text="Records that wait for a person.")
    waiting_for_approval = serializers.IntegerField(help_text="Bulk deletions that wait for approval.")
    needs_attention = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many things of each kind wait for a person, as far as you may view them: the inbox's entries.",
    )
    verified = VerifiedSerializer()
    budget = AllowanceSerializer()
    monday_configured = serializers.BooleanField()
    paused = serializers.CharField(help_text="Why Monday isn't called now; empty when it is.")
    paused_until = serializers.DateTimeField(allow_null=True)
    last_synced = serializers.DateTimeField(allow_null=True)
    ledger = LedgerStatsSerializer(help_text="Sync states, other systems' too, as far as the parameters choose.")


class SyncStatsView(ApiView):
    """How sync stands as a whole."""

    queryset = SyncQueue.objects.none()  # its permission to view is the one needed here
    permission_classes = [ModelPermissions]

    def query_parameters(self) -> dict[str, bool]:
        return super().query_parameters() | dict.fromkeys(LedgerStatsParams().fields, False)

    @extend_schema(parameters=[LedgerStatsParams], responses=SyncStatsSerializer)
    def get(self, request: Request) -> Response:
        """Records by status, the queue, open conflicts, whether Monday is called, and the ledger in figures."""
        params = LedgerStatsParams(data=request.query_params)
        if not params.is_valid():
            raise BadQuery(params.errors, code="invalid")
        chosen = dict(params.validated_data)
        ledger = statistics(Selection(window=timedelta(hours=chosen.pop("hours", 24)), **chosen)).to_json()
        if not request.user.has_perm("sync.view_syncmetadata"):
            ledger |= {"errors": [], "oldest_unsynced": None}  # these name single records, and say what went wrong
        attention_counts = attention.counts(attention.scope_of(request.user))
        return Response(
            SyncStatsSerializer(sync_stats() | {"ledger": ledger, "needs_attention": attention_counts}).data
        )


def sync_stats() -> dict[str, Any]:
    """The figures that SyncStatsSerializer shows."""
    boards, records = availability.overview(), dict[str, dict[str, Any]]()
    for spec in registry.entities():
        by_status = spec.model._default_manager.order_by().values_list("sync_status")
        rows = list(by_status.annotate(Count("pk"), Max("monday_last_synced")))
        records[spec.entity_type] = {
            **dict.fromkeys(RecordSyncStatus.values, 0),
            **{status: number for status, number, _ in rows},
            "total": sum(number for _, number, _ in rows),
            "last_synced": max((last for *_, last in rows if last), default=None),
            "board": boards.by_type[spec.entity_type].detail,
            "window_seconds": boards.batching_delay,
        }
    latest = [one["last_synced"] for one in records.values() if one["last_synced"]]
    account = boards.account
    until = account.stopped_until if account.stopped_until and account.stopped_until > boards.now else None
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "open_conflicts": sum(one[RecordSyncStatus.CONFLICT] for one in records.values()),
        "waiting_for_approval": ApprovalRequest.objects.filter(state=ApprovalState.PENDING).count(),
        "verified": latest_verification(),
        "budget": quota.forecast(),
        "monday_configured": credentials.is_configured(),
        "paused": account.stop_reason if until or account.needs_probe else "",
        "paused_until": until,
        "last_synced": max(latest, default=None),
    }


router = ApiRouter()
router.register("queue", QueueViewSet, "sync-queue")
router.register("pauses", PauseViewSet, "sync-pauses")
router.register("states", SyncStateViewSet, "sync-states")
urlpatterns = [*router.urls, re_path("^stats/?$", SyncStatsView.as_view(), name="sync-stats")]
