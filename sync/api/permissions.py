"""Who may do what: the model permissions that also rule the admin."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission, DjangoModelPermissions

from sync.queue_permissions import Steering, may

_VIEW = ["%(app_label)s.view_%(model_name)s"]
_CHANGE = ["%(app_label)s.change_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """As in the admin; unlike DRF's class, reading needs the permission to view."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": _VIEW,
        "HEAD": _VIEW,
    }


class MayChange(ModelPermissions):
    """For actions by POST on a thing that is there: they need the permission to change it."""

    perms_map = {**ModelPermissions.perms_map, "POST": _CHANGE}


class MaySteer(BasePermission):
    """For one act on the queue, by its own permission."""

    def __init__(self, act: Steering) -> None:
        self.act = act

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller is known and may do it."""
        return bool(request.user.is_authenticated) and may(request.user, self.act)
