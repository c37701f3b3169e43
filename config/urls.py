"""The addresses of the site."""

from django.apps import apps
from django.contrib import admin
from django.urls import URLResolver, include, path, re_path
from django.utils.module_loading import module_has_submodule
from django.views.generic import RedirectView

from config import middleware
from config.glossary import glossary_page
from config.live_updates import live_versions
from sync import registry
from sync.admin.record_pages import register_generated
from sync.api import record_endpoints, service_endpoints


def record_apis() -> list[URLResolver]:
    """Return the API of the records: of the module `api` of each application that has one, the rest is generated."""
    configs = dict.fromkeys(apps.app_configs.get(spec.model._meta.app_label) for spec in registry.entities())
    modules = [f"{one.name}.api" for one in configs if one and module_has_submodule(one.module, "api")]
    own = [path("api/v1/", include(module)) for module in modules]
    return [*own, path("api/v1/", include(list(record_endpoints.generated_paths(own))))]


# Here, for this is read when every application has registered its models and its own classes of the admin.
register_generated(admin.site)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/r/", include(([re_path("", record_endpoints.view_on_site_disabled)], "nowhere"))),
    path("admin/live/", admin.site.admin_view(live_versions), name="npd-live"),
    path("admin/glossary/", admin.site.admin_view(glossary_page), name="npd-glossary"),
    path("admin/", admin.site.urls),
    path("go/<uuid:record_id>", record_endpoints.redirect_to_record, name="go-to-record"),
    path("api/v1/", RedirectView.as_view(pattern_name="docs")),
    *record_apis(),
    path("api/v1/sync/", include("sync.api.urls")),
    path("api/v1/sync/", include("conflicts.api")),
    path("api/v1/schema/", service_endpoints.SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", service_endpoints.DocsView.as_view(url_name="schema"), name="docs"),
    path("webhooks/monday/", service_endpoints.receive_webhook, name="webhook"),
    path("webhooks/monday/<str:token>/", service_endpoints.receive_webhook, name="webhook-with-token"),
    path("cron/sync-queue", service_endpoints.work_queue, name="cron-sync-queue"),
    re_path("^(?:api|webhooks)(?:/|$)", middleware.unknown_address),
    path("healthz", service_endpoints.healthz),
    path("readyz", service_endpoints.readyz),
    path("metrics", service_endpoints.metrics),
]
