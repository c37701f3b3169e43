"""The addresses below /api/v1/sync/."""

from __future__ import annotations

from django.urls import path

from sync.api.approval_endpoints import ApprovalViewSet
from sync.api.history_endpoints import UndoBatch, UndoOne
from sync.api.queue_endpoints import PauseViewSet, QueueViewSet
from sync.api.request_rules import slash_paths
from sync.api.state_endpoints import SyncStateViewSet
from sync.api.stats_endpoint import SyncStatsView

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
    path("pauses/", PauseViewSet.as_view({"get": "list"}), name="sync-pauses"),
    path("guard/", ApprovalViewSet.as_view({"get": "list"}), name="sync-guard"),
    *slash_paths("guard/approve", ApprovalViewSet.as_view({"post": "approve"}), "sync-guard-approve"),
    *slash_paths("guard/reject", ApprovalViewSet.as_view({"post": "reject"}), "sync-guard-reject"),
    *slash_paths("history/<int:pk>/undo", UndoOne.as_view(), "sync-undo"),
    *slash_paths("batches/<uuid:batch_id>/undo", UndoBatch.as_view(), "sync-undo-batch"),
    path("states/", SyncStateViewSet.as_view({"get": "list"}), name="sync-states"),
    *slash_paths("stats", SyncStatsView.as_view(), "sync-stats"),
]
