"""Who may set up the sync: whoever may change boards and their mappings."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied

NEEDED = ("sync.change_boardlink", "sync.change_fieldmapping")


def may_set_up(user: Any) -> bool:
    """Whether this user may use the wizard."""
    return all(user.has_perm(name) for name in NEEDED)


def check(user: Any) -> None:
    """Raise PermissionDenied for everybody else."""
    if not may_set_up(user):
        raise PermissionDenied
