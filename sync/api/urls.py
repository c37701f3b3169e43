"""The addresses below /api/v1/sync/."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import URLPattern, path

from sync.api.guard import GuardViewSet
from sync.api.history import UndoBatch, UndoOne
from sync.api.pauses import PauseViewSet
from sync.api.queue import QueueViewSet
from sync.api.stats import SyncStats
from sync.api.views import also_with_slash


def both(address: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """The address without and with a slash at its end."""
    return [path(address, view, name=name), path(f"{address}/", also_with_slash(view))]


urlpatterns = [
    path("queue/", QueueViewSet.as_view({"get": "list"}), name="sync-queue"),
    *both("queue/stats", QueueViewSet.as_view({"get": "stats"}), "sync-queue-stats"),
    path("queue/<int:pk>/", QueueViewSet.as_view({"get": "retrieve"}), name="sync-queue-row"),
    *both("queue/<int:pk>/retry", QueueViewSet.as_view({"post": "retry"}), "sync-queue-retry"),
    *both("queue/<int:pk>/cancel", QueueViewSet.as_view({"post": "cancel"}), "sync-queue-cancel"),
    *both("queue/<int:pk>/discard", QueueViewSet.as_view({"post": "discard"}), "sync-queue-discard"),
    *both("queue/retry", QueueViewSet.as_view({"post": "retry_all"}), "sync-queue-retry-all"),
    *both("queue/cancel", QueueViewSet.as_view({"post": "cancel_all"}), "sync-queue-cancel-all"),
    *both("queue/discard", QueueViewSet.as_view({"post": "discard_all"}), "sync-queue-discard-all"),
    *both("queue/pause", PauseViewSet.as_view({"post": "pause"}), "sync-queue-pause"),
    *both("queue/resume", PauseViewSet.as_view({"post": "resume"}), "sync-queue-resume"),
    path("pauses/", PauseViewSet.as_view({"get": "list"}), name="sync-pauses"),
    path("guard/", GuardViewSet.as_view({"get": "list"}), name="sync-guard"),
    *both("guard/approve", GuardViewSet.as_view({"post": "approve"}), "sync-guard-approve"),
    *both("guard/reject", GuardViewSet.as_view({"post": "reject"}), "sync-guard-reject"),
    *both("history/<int:pk>/undo", UndoOne.as_view(), "sync-undo"),
    *both("batches/<uuid:batch_id>/undo", UndoBatch.as_view(), "sync-undo-batch"),
    *both("stats", SyncStats.as_view(), "sync-stats"),
]
