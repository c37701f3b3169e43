"""Who may do what: the model permissions that also rule the admin."""

from __future__ import annotations

from rest_framework.permissions import DjangoModelPermissions

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
