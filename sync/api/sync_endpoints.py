"""The API under `sync/`: jobs, sync states and statistics; what waits for a person, approvals, and the activity."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from django.contrib.auth.models import User
from django.db import models, transaction
from django.urls import path
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync import attention, choices, registry
from sync.api import api_base
from sync.boards import availability
from sync.kernel.acts import ACTS, NotPossible
from sync.models import ActivityLine, ApprovalRequest, Attention, SyncMetadata, SyncQueue
from sync.models.activity_lines import seen_by
from sync.operations.activity_undo import may_undo, undo_lines
from sync.outbox.operate import operate_one
from sync.queue import SyncQueueService
from sync.records import approvals
from sync.records.authors import log_action


class QueueRowSerializer(serializers.ModelSerializer[SyncQueue]):
    """A job: a record may differ, or without entity_id an unmatched item."""

    monday_id = serializers.CharField(
        source="remote_id", read_only=True, allow_null=True, help_text="The item, for a job about an unmatched item."
    )

    retried_as = serializers.IntegerField(
        source="payload.retried_as", read_only=True, allow_null=True, help_text="The job that replaces this failed one."
    )
    error_code = api_base.message_code("error_message")
    reason_code = api_base.message_code("reason")

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "direction", "operation", "payload", "status"),
            "retried_as",
            *("priority", "attempts", "max_attempts", "last_attempt", "next_retry", "error_message", "error_code"),
            *("reason", "reason_code", "created_at", "finished_at"),
        ]
        read_only_fields = fields


class QueueFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of the queue."""

    status = filters.MultipleChoiceFilter(choices=choices.QueueStatus.choices, help_text="May be given several times.")
    monday_id = filters.CharFilter(field_name="remote_id", help_text="The item.")

    class Meta:
        model = SyncQueue
        fields = ["entity_type", "entity_id", "direction", "operation"]


class QueueBoardStatsSerializer(serializers.Serializer[Any]):
    """Jobs of one record type."""

    pending = serializers.IntegerField(default=0)
    in_progress = serializers.IntegerField(default=0)
    completed = serializers.IntegerField(default=0)
    failed = serializers.IntegerField(default=0)


class QueueStatsSerializer(QueueBoardStatsSerializer):
    """Jobs by state; `due` counts the pending ones that can be synced now."""

    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    by_type = serializers.DictField(child=QueueBoardStatsSerializer())


class JobPermissions(api_base.ModelPermissions):
    """Each action on a job has a permission of its own."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS:
            return super().has_permission(request, view)
        if view.action is None:  # a method that isn't supported: 405 follows
            return request.user.is_authenticated
        return ACTS[view.action].is_allowed(request.user)


class QueueViewSet(api_base.ApiView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """Jobs, the newest first."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class = QueueFilter
    ordering_fields = ["id", "priority", "attempts", "next_retry", "created_at", "finished_at"]
    permission_classes = [JobPermissions]

    @extend_schema(responses=QueueStatsSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @extend_schema(request=None, description=ACTS["retry"].effect)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        return self._operate(request, SyncQueueService().manual_retry, "Retried")

    @extend_schema(request=None, description=ACTS["cancel"].effect)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return self._operate(request, partial(operate_one, action="cancel"), "Cancelled")

    @extend_schema(request=None, description=ACTS["discard"].effect)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        return self._operate(request, partial(operate_one, action="discard"), "Discarded")

    @transaction.atomic
    def _operate(self, request: Request, act: Callable[[int, str], SyncQueue], verb: str) -> Response:
        job = self.get_object()
        updated = act(job.pk, request.user.get_username())
        log_action(request.user, job, f"{verb} by the API.")
        return Response(self.get_serializer(updated).data)


# Columns of a sync state that only other code fills.
OF_OTHER_SYSTEMS = [
    *("content_hash", "local_modified", "remote_modified"),
    *("conflict_opened_at", "conflict_resolved_at", "resolution_strategy"),
]


class SyncStateSerializer(serializers.ModelSerializer[SyncMetadata]):
    """A sync state; `remote_id` is the item's if the system is Monday, and also `jira_id` if it is Jira.

    Of NPD's own records it has no `content_hash` and other columns that only states of other systems have.
    """

    jira_id = serializers.CharField(read_only=True, allow_null=True)
    error_code = api_base.message_code("last_error")
    note_code = api_base.message_code("note")

    class Meta:
        model = SyncMetadata
        read_only_fields = [
            *("id", "system", "entity_type", "entity_id", "remote_id", "jira_id"),
            *("sync_status", "sync_direction"),
            *("last_sync_attempt", "last_successful_sync", "error_count", "last_error", "error_code"),
            *("note", "note_code", "sync_batch_id", "conflicts", "sync_duration_ms", "api_calls_count"),
        ]
        fields = [*read_only_fields, *OF_OTHER_SYSTEMS]
        extra_kwargs = {name: {"required": False} for name in OF_OTHER_SYSTEMS}

    def to_representation(self, instance: SyncMetadata) -> dict[str, Any]:
        data = super().to_representation(instance)
        is_own = instance.system == "monday" and registry.is_registered(instance.entity_type)
        return {name: value for name, value in data.items() if not (is_own and name in OF_OTHER_SYSTEMS)}


class SyncStateFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of sync states."""

    sync_status = filters.MultipleChoiceFilter(
        choices=choices.SyncStatus.choices, help_text="May be given several times."
    )

    class Meta:
        model = SyncMetadata
        fields = ["system", "entity_type", "entity_id", "remote_id", "sync_direction"]


class SyncStateViewSet(api_base.ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[SyncMetadata]):
    """Sync states of records and of other code's rows, the newest first."""

    queryset = SyncMetadata.objects.order_by("-id")
    serializer_class = SyncStateSerializer
    filterset_class = SyncStateFilter
    ordering_fields = ["id", "last_sync_attempt", "last_successful_sync", "error_count"]
    permission_classes = [api_base.ModelPermissions]


class RecordCountsSerializer(serializers.Serializer[Any]):
    """Records of one type by their sync status."""

    synced = serializers.IntegerField()
    pending = serializers.IntegerField()
    conflict = serializers.IntegerField()
    disabled = serializers.IntegerField()
    total = serializers.IntegerField()
    last_synced = serializers.DateTimeField(allow_null=True)
    board = serializers.CharField(help_text="Why the board can't be synced now; empty if it can.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """The figures of the sync as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    needs_attention = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many things of each kind that you may view wait for a person: one decision is one, as on Home.",
    )
    stop_reason = serializers.CharField(
        help_text="What stops every board now, other than a pause; empty if nothing does."
    )
    stopped_until = serializers.DateTimeField(allow_null=True)


class SyncStatsView(api_base.ApiView):
    """The figures of the sync as a whole."""

    queryset = SyncQueue.objects.none()  # for its permission to view
    permission_classes = [api_base.ModelPermissions]

    @extend_schema(responses=SyncStatsSerializer, operation_id="sync_stats")
    def get(self, request: Request) -> Response:
        """Records by status, the queue, what waits for a person, and whether Monday is called."""
        stats = sync_stats() | {"needs_attention": attention.group_counts(attention.kinds_shown_to(request.user))}
        return Response(SyncStatsSerializer(stats).data)


def sync_stats() -> dict[str, Any]:
    """Return the figures for SyncStatsSerializer."""
    overview = availability.Overview()
    records: dict[str, dict[str, Any]] = {}
    for spec in registry.entities():
        by_status = spec.model.objects.order_by().values_list("sync_status")
        rows = list(by_status.annotate(models.Count("pk"), models.Max("monday_last_synced")))
        records[spec.entity_type] = {
            **dict.fromkeys(choices.RecordSyncStatus.values, 0),
            **{status: number for status, number, _ in rows},
            "total": sum(number for _, number, _ in rows),
            "last_synced": max((last for *_, last in rows if last), default=None),
            "board": overview.displayed_by_type[spec.entity_type].detail,
        }
    stop = overview.account.stop
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "stop_reason": stop.reason if stop and stop.lasts_at(overview.now) else "",
        "stopped_until": stop.until if stop and stop.until > overview.now else None,
    }


class AttentionListSerializer(serializers.ListSerializer[Any]):
    """Reads the names of a page's records together."""

    def to_representation(self, data: Iterable[Attention]) -> list[Any]:  # type: ignore[override]
        return super().to_representation(attention.as_entries(list(data)))


class ActSerializer(serializers.Serializer[Any]):
    """An act on something that waits; Home, or the page at its `url`, does it."""

    code = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field's own label is an attribute
    effect = serializers.CharField(read_only=True)


class AttentionSerializer(serializers.Serializer[Any]):
    """A thing that waits for a person. It concerns a record, an unmatched item, a board or the account."""

    id = serializers.IntegerField(read_only=True)
    key = serializers.CharField(read_only=True, help_text="Stays the same as long as the same thing waits.")
    kind = serializers.ChoiceField(choices=attention.Kind.choices, read_only=True)
    code = serializers.CharField(read_only=True, help_text="Why, within its kind.")
    cause = serializers.CharField(read_only=True, help_text="Equal for things that are listed together.")
    title = serializers.CharField(read_only=True, help_text="The cause in words.")
    detail = serializers.CharField(read_only=True, help_text="Its own reason.")
    entity_type = serializers.CharField(read_only=True, help_text="Empty if it concerns every board.")
    entity_id = serializers.UUIDField(read_only=True, allow_null=True)
    monday_id = serializers.CharField(read_only=True, source="item_id", help_text="The item.")
    field = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True, help_text="The name of the record, item or board.")
    since = serializers.DateTimeField(read_only=True)
    url = serializers.CharField(read_only=True, help_text="The admin's page for it.")
    acts = serializers.SerializerMethodField(help_text="What you may do about it.")

    class Meta:
        list_serializer_class = AttentionListSerializer

    @extend_schema_field(ActSerializer(many=True))
    def get_acts(self, entry: attention.Entry) -> Any:
        return ActSerializer(attention.offered_acts(self.context["request"].user, entry), many=True).data


class AttentionFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of things that wait."""

    kind = filters.MultipleChoiceFilter(choices=attention.Kind.choices, help_text="May be given several times.")
    monday_id = filters.CharFilter(field_name="item_id", help_text="The item.")
    since = filters.IsoDateTimeFilter(lookup_expr="gte", help_text="From this moment on.")

    class Meta:
        model = Attention
        fields = ["code", "cause", "entity_type", "entity_id"]


class AttentionViewSet(api_base.ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[Attention]):
    """Things that wait for a person, as far as you may view them: the gravest first, then the oldest."""

    queryset = Attention.objects.none()
    serializer_class = AttentionSerializer
    filterset_class = AttentionFilter
    ordering_fields = ["id", "since"]
    permission_classes = [api_base.HasAnyPermission]

    def get_queryset(self) -> models.QuerySet[Attention]:
        return attention.seen_by(self.request.user).order_by(attention.KIND_PLACE, "since", "id")


class ApprovalSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A deletion or an emptied field, with a person's decision or without one yet."""

    label_code = api_base.message_code("label")
    decided_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = ApprovalRequest
        fields = [
            *("id", "entity_type", "entity_id", "kind", "key", "state", "label", "label_code"),
            *("at", "decided_at", "decided_by"),
        ]
        read_only_fields = fields


class ApprovalViewSet(api_base.ApiView, viewsets.ReadOnlyModelViewSet[ApprovalRequest]):
    """Bulk deletions, the newest first."""

    # Cells that were filled in again without a question only count towards the limit.
    queryset = (
        ApprovalRequest.objects.exclude(state=choices.ApprovalState.REFILLED)
        .select_related("decided_by")
        .order_by("-id")
    )
    serializer_class = ApprovalSerializer
    filterset_fields = ["entity_type", "entity_id", "kind", "state"]
    ordering_fields = ["id", "at", "decided_at"]
    permission_classes = [api_base.ModelPermissions]

    @extend_schema(request=None, description=ACTS["approve"].effect)
    @action(detail=True, methods=["post"], permission_classes=[api_base.MayChange])
    def approve(self, request: Request, pk: str) -> Response:
        return self._decide(request, approvals.approve)

    @extend_schema(request=None, description=ACTS["reject"].effect)
    @action(detail=True, methods=["post"], permission_classes=[api_base.MayChange])
    def reject(self, request: Request, pk: str) -> Response:
        return self._decide(request, approvals.reject)

    def _decide(self, request: Request, decide: Callable[[models.QuerySet[ApprovalRequest], User], int]) -> Response:
        approval = self.get_object()
        if not decide(ApprovalRequest.objects.filter(pk=approval.pk), cast("User", request.user)):
            state = choices.ApprovalState(approval.state).label.lower()
            raise NotPossible(f"It doesn't wait any more: it is {state}, or its cause has ended.")
        return Response(self.get_serializer(self.get_object()).data)


class ActivitySerializer(serializers.ModelSerializer[ActivityLine]):
    """An act of the sync or of a person on a record; `key` is the field, `values` has the old and the new value."""

    monday_id = serializers.CharField(source="remote_id", read_only=True, help_text="The item.")
    code = api_base.message_code("sentence")

    class Meta:
        model = ActivityLine
        fields = [
            *("id", "at", "entity_type", "entity_id", "monday_id", "kind", "key"),
            *("code", "sentence", "values", "actor", "cause", "batch_id", "undoes"),
        ]
        read_only_fields = fields


class ActivityFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of the activity."""

    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", help_text="From this moment on.")

    class Meta:
        model = ActivityLine
        fields = ["entity_type", "entity_id", "kind", "batch_id"]


class MayUndo(api_base.ModelPermissions):
    """For an undo, which needs the right to change the record; the view checks it once it knows the record."""

    perms_map = {**api_base.ModelPermissions.perms_map, "POST": ["%(app_label)s.view_%(model_name)s"]}


class ActivityViewSet(api_base.ApiView, viewsets.ReadOnlyModelViewSet[ActivityLine]):
    """The activity, the newest first."""

    queryset = ActivityLine.objects.order_by("-at", "-id")
    serializer_class = ActivitySerializer
    filterset_class = ActivityFilter
    ordering_fields = ["id", "at"]
    permission_classes = [MayUndo]

    def get_queryset(self) -> models.QuerySet[ActivityLine]:
        return seen_by(self.request.user, super().get_queryset())

    @extend_schema(
        request=None,
        description=f"{ACTS['undo'].effect} Answers with the entry of the undo, by which it can be undone.",
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        entry = self.get_object()
        if not may_undo(request.user, [entry]):
            raise PermissionDenied
        result = undo_lines([entry], by=cast("User", request.user))
        if not result.undone:
            reason = " ".join(step.refusal for step in result.left_alone) or "There is no value to restore."
            raise NotPossible(reason)
        return Response(self.get_serializer(result.lines[0]).data)


router = SimpleRouter()
router.register("queue", QueueViewSet, "sync-queue")
router.register("states", SyncStateViewSet, "sync-states")
router.register("attention", AttentionViewSet, "sync-attention")
router.register("approvals", ApprovalViewSet, "sync-approvals")
router.register("activity", ActivityViewSet, "sync-activity")
urlpatterns = [*router.urls, path("stats/", SyncStatsView.as_view(), name="sync-stats")]
