"""The addresses of the site."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from config import addresses
from sync.api import cron, docs, go, health, metrics, webhook

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("go/<uuid:record_id>", go.to_record, name="go-to-record"),
    path("api/v1/", RedirectView.as_view(pattern_name="docs")),
    path("api/v1/", include("npd.api.urls")),
    path("api/v1/sync/", include("sync.api.urls")),
    path("api/v1/sync/", include("conflicts.api.urls")),
    path("api/v1/schema/", docs.Schema.as_view(), name="schema"),
    path("api/v1/docs/", docs.Docs.as_view(url_name="schema"), name="docs"),
    path("webhooks/monday/", webhook.monday, name="webhook"),
    path("webhooks/monday/<str:token>/", webhook.monday, name="webhook-with-token"),
    path("cron/sync-queue", cron.sync_queue, name="cron-sync-queue"),
    re_path("^(?:api|webhooks)(?:/|$)", addresses.unknown),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
]
