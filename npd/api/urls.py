"""The addresses below /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, include, path
from rest_framework.routers import SimpleRouter

from npd.api.views import (
    ContactLinking,
    ContactPush,
    ContactViewSet,
    OrganizationLinking,
    OrganizationPush,
    OrganizationViewSet,
)
from sync.api.records import LinkingViewSet, PushViewSet
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


def linking_paths(plural: str, view_set: type[LinkingViewSet]) -> list[URLPattern]:
    """Unlinking and linking again, each without and with a slash at the end."""
    found = []
    for name, method in (("unlink", "unlink"), ("link-again", "link_again")):
        view, address = view_set.as_view({"post": method}), f"{plural}/<str:pk>/{name}"
        found += [path(address, view, name=f"{plural}-{name}"), path(f"{address}/", also_with_slash(view))]
    return found


urlpatterns = [
    *push_paths("contacts", ContactPush),
    *push_paths("organizations", OrganizationPush),
    *linking_paths("contacts", ContactLinking),
    *linking_paths("organizations", OrganizationLinking),
    path("", include(router.urls)),
]
