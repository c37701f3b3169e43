"""The addresses of conflicts, below /api/v1/sync/."""

from __future__ import annotations

from django.urls import path

from conflicts.api.views import ConflictViewSet
from sync.api.urls import both

urlpatterns = [
    path("conflicts/", ConflictViewSet.as_view({"get": "list"}), name="sync-conflicts"),
    *both("conflicts/stats", ConflictViewSet.as_view({"get": "stats"}), "sync-conflicts-stats"),
    path("conflicts/<uuid:pk>/", ConflictViewSet.as_view({"get": "retrieve"}), name="sync-conflict"),
    *both(
        "conflicts/<uuid:pk>/resolve", ConflictViewSet.as_view({"post": "resolve"}), "sync-conflict-resolve"
    ),
    *both("conflicts/<uuid:pk>/undo", ConflictViewSet.as_view({"post": "undo"}), "sync-conflict-undo"),
]
