"""The addresses below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, include, path
from rest_framework.routers import SimpleRouter

from npd.api.views import ContactPush, ContactViewSet, OrganizationPush, OrganizationViewSet
from sync.api.records import PushViewSet
from sync.api.views import also_with_slash

router = SimpleRouter()
router.register("contacts", ContactViewSet)
router.register("organizations", OrganizationViewSet)


def push_paths(plural: str, view_set: type[PushViewSet]) -> list[URLPattern]:
    """The push by name, without and with a slash at the end."""
    view = view_set.as_view({"post": "push"})
    address = f"{plural}/<str:pk>/sync-to-monday"
    return [
        path(address, view, name=f"{plural}-sync-to-monday"),
        path(f"{address}/", also_with_slash(view)),
    ]


urlpatterns = [
    *push_paths("contacts", ContactPush),
    *push_paths("organizations", OrganizationPush),
    path("", include(router.urls)),
]
