"""The addresses below /api/v1/sync/, and those of whoever follows what happens, directly below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, path

from sync.api.board_endpoints import BlockedFieldViewSet, BoardViewSet, UpdateLoopViewSet
from sync.api.deletion_endpoints import ApprovalViewSet, IgnoredItemViewSet, TombstoneViewSet
from sync.api.event_endpoints import EventFeedView, WebhookDeliveryViewSet, WebhookEndpointViewSet
from sync.api.export_endpoints import export_paths
from sync.api.history_endpoints import HistoryBatchViewSet, HistoryViewSet, UndoBatch, UndoOne
from sync.api.inbox_endpoints import InboxViewSet
from sync.api.mapping_endpoints import BoardColumnsViewSet, BoardDraftViewSet, BoardFieldViewSet
from sync.api.queue_endpoints import PauseViewSet, QueueViewSet, ScheduleViewSet
from sync.api.request_rules import slash_paths
from sync.api.state_endpoints import SyncStateViewSet, SyncStatsView
from sync.api.unmatched_endpoints import UnmatchedItemViewSet

_ENDPOINTS = WebhookEndpointViewSet.as_view({"get": "list", "post": "create"})
_ENDPOINT = WebhookEndpointViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})
_ROTATE = WebhookEndpointViewSet.as_view({"post": "rotate_secret"})
_REPLAY = WebhookDeliveryViewSet.as_view({"post": "replay"})

following = [
    path("events/", EventFeedView.as_view(), name="events"),
    path("webhook-endpoints/", _ENDPOINTS, name="webhook-endpoints"),
    path("webhook-endpoints/<uuid:pk>/", _ENDPOINT, name="webhook-endpoint"),
    *slash_paths("webhook-endpoints/<uuid:pk>/rotate-secret", _ROTATE, "webhook-endpoint-rotate-secret"),
    *slash_paths(
        "webhook-endpoints/<uuid:pk>/test", WebhookEndpointViewSet.as_view({"post": "test"}), "webhook-endpoint-test"
    ),
    path("webhook-deliveries/", WebhookDeliveryViewSet.as_view({"get": "list"}), name="webhook-deliveries"),
    path("webhook-deliveries/<int:pk>/", WebhookDeliveryViewSet.as_view({"get": "retrieve"}), name="webhook-delivery"),
    *slash_paths("webhook-deliveries/<int:pk>/replay", _REPLAY, "webhook-delivery-replay"),
]


def unmatched_paths(action: str) -> list[URLPattern]:
    """Return the address of what a person wants of an unmatched item."""
    view = UnmatchedItemViewSet.as_view({"post": action})
    return slash_paths(f"unmatched-items/<int:pk>/{action}", view, f"sync-unmatched-item-{action}")


urlpatterns = [
    path("queue/", QueueViewSet.as_view({"get": "list"}), name="sync-queue"),
    *slash_paths("queue/stats", QueueViewSet.as_view({"get": "stats"}), "sync-queue-stats"),
    path("queue/<int:pk>/", QueueViewSet.as_view({"get": "retrieve"}), name="sync-queue-row"),
    *slash_paths("queue/<int:pk>/retry", QueueViewSet.as_view({"post": "retry"}), "sync-queue-retry"),
    *slash_paths("queue/<int:pk>/cancel", QueueViewSet.as_view({"post": "cancel"}), "sync-queue-cancel"),
    *slash_paths("queue/<int:pk>/discard", QueueViewSet.as_view({"post": "discard"}), "sync-queue-discard"),
    *slash_paths("queue/retry", QueueViewSet.as_view({"post": "retry_all"}), "sync-queue-retry-all"),
    *slash_paths("queue/cancel", QueueViewSet.as_view({"post": "cancel_all"}), "sync-queue-cancel-all"),
    *slash_paths("queue/discard", QueueViewSet.as_view({"post": "discard_all"}), "sync-queue-discard-all"),
    *slash_paths("queue/pause", PauseViewSet.as_view({"post": "pause"}), "sync-queue-pause"),
    *slash_paths("queue/resume", PauseViewSet.as_view({"post": "resume"}), "sync-queue-resume"),
    path("pauses/", PauseViewSet.as_view({"get": "list", "post": "create"}), name="sync-pauses"),
    path("pauses/<int:pk>/", PauseViewSet.as_view({"get": "retrieve", "delete": "destroy"}), name="sync-pause"),
    path("unmatched-items/", UnmatchedItemViewSet.as_view({"get": "list"}), name="sync-unmatched-items"),
    path("unmatched-items/<int:pk>/", UnmatchedItemViewSet.as_view({"get": "retrieve"}), name="sync-unmatched-item"),
    *unmatched_paths("create"),
    *unmatched_paths("link"),
    *unmatched_paths("ignore"),
    *unmatched_paths("restore"),
    path("ignored-items/", IgnoredItemViewSet.as_view({"get": "list"}), name="sync-ignored-items"),
    path(
        "ignored-items/<int:pk>/",
        IgnoredItemViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="sync-ignored-item",
    ),
    path("inbox/", InboxViewSet.as_view({"get": "list"}), name="sync-inbox"),
    path("inbox/causes/", InboxViewSet.as_view({"get": "causes"}), name="sync-inbox-causes"),
    *slash_paths("inbox/assign", InboxViewSet.as_view({"post": "assign"}), "sync-inbox-assign"),
    path(
        "inbox/entries/<str:key>/",
        InboxViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="sync-inbox-entry",
    ),
    path("guard/", ApprovalViewSet.as_view({"get": "list"}), name="sync-guard"),
    path("guard/<int:pk>/", ApprovalViewSet.as_view({"get": "retrieve"}), name="sync-guard-request"),
    *slash_paths("guard/approve", ApprovalViewSet.as_view({"post": "approve"}), "sync-guard-approve"),
    *slash_paths("guard/reject", ApprovalViewSet.as_view({"post": "reject"}), "sync-guard-reject"),
    *slash_paths("history/<int:pk>/undo", UndoOne.as_view(), "sync-undo"),
    *slash_paths("batches/<uuid:batch_id>/undo", UndoBatch.as_view(), "sync-undo-batch"),
    *export_paths("queue", "jobs", QueueViewSet),
    *export_paths("history", "history", HistoryViewSet),
    path("history/", HistoryViewSet.as_view({"get": "list"}), name="sync-history"),
    path("history/<int:pk>/", HistoryViewSet.as_view({"get": "retrieve"}), name="sync-history-entry"),
    path("batches/", HistoryBatchViewSet.as_view({"get": "list"}), name="sync-batches"),
    path("batches/<uuid:batch_id>/", HistoryBatchViewSet.as_view({"get": "retrieve"}), name="sync-batch"),
    path("boards/", BoardViewSet.as_view({"get": "list"}), name="sync-boards"),
    path(
        "boards/<str:entity_type>/",
        BoardViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="sync-board",
    ),
    path(
        "boards/<str:entity_type>/columns/",
        BoardColumnsViewSet.as_view({"get": "columns", "put": "check"}),
        name="sync-board-columns",
    ),
    *slash_paths(
        "boards/<str:entity_type>/columns/<str:column_id>/accept-title",
        BoardColumnsViewSet.as_view({"post": "accept_title"}),
        "sync-board-column-title",
    ),
    path(
        "boards/<str:entity_type>/fields/<str:field>/",
        BoardFieldViewSet.as_view({"patch": "partial_update"}),
        name="sync-board-field",
    ),
    path(
        "boards/<str:entity_type>/draft/",
        BoardDraftViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="sync-board-draft",
    ),
    *slash_paths(
        "boards/<str:entity_type>/draft/compare", BoardDraftViewSet.as_view({"post": "compare"}), "sync-draft-compare"
    ),
    *slash_paths(
        "boards/<str:entity_type>/draft/apply", BoardDraftViewSet.as_view({"post": "apply"}), "sync-draft-apply"
    ),
    path("blocked-fields/", BlockedFieldViewSet.as_view({"get": "list"}), name="sync-blocked-fields"),
    *slash_paths("blocked-fields/retry", BlockedFieldViewSet.as_view({"post": "retry"}), "sync-blocked-fields-retry"),
    path("update-loops/", UpdateLoopViewSet.as_view({"get": "list"}), name="sync-update-loops"),
    *slash_paths("update-loops/retry", UpdateLoopViewSet.as_view({"post": "retry"}), "sync-update-loops-retry"),
    path("deleted-records/", TombstoneViewSet.as_view({"get": "list"}), name="sync-deleted-records"),
    path("deleted-records/<int:pk>/", TombstoneViewSet.as_view({"get": "retrieve"}), name="sync-deleted-record"),
    *slash_paths(
        "deleted-records/<int:pk>/restore", TombstoneViewSet.as_view({"post": "restore"}), "sync-deleted-record-restore"
    ),
    path("schedule/", ScheduleViewSet.as_view({"get": "list"}), name="sync-schedule"),
    path(
        "schedule/<int:pk>/",
        ScheduleViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="sync-scheduled-job",
    ),
    path("states/", SyncStateViewSet.as_view({"get": "list"}), name="sync-states"),
    *slash_paths("stats", SyncStatsView.as_view(), "sync-stats"),
]
