"""The addresses below /api/v1/sync/, and those of programs, directly below /api/v1/."""

from __future__ import annotations

from django.urls import path, re_path

from sync.api.event_endpoints import EventFeedView, WebhookDeliveryViewSet, WebhookEndpointViewSet
from sync.api.queue_endpoints import PauseViewSet, QueueViewSet, SyncStateViewSet, SyncStatsView
from sync.api.request_rules import ApiRouter
from sync.api.token_endpoints import ApiTokenViewSet, MeView

programs = ApiRouter()
programs.register("tokens", ApiTokenViewSet, "tokens")
programs.register("webhook-endpoints", WebhookEndpointViewSet, "webhook-endpoints")
programs.register("webhook-deliveries", WebhookDeliveryViewSet, "webhook-deliveries")
of_programs = [
    re_path("^me/?$", MeView.as_view(), name="me"),
    path("events/", EventFeedView.as_view(), name="events"),
    *programs.urls,
]

router = ApiRouter()
for prefix, view in {"queue": QueueViewSet, "pauses": PauseViewSet, "states": SyncStateViewSet}.items():
    router.register(prefix, view, f"sync-{prefix.replace('/', '-')}")
urlpatterns = [*router.urls, re_path("^stats/?$", SyncStatsView.as_view(), name="sync-stats")]
