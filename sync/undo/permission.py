"""Who may take decisions back: whoever may change the records that they are about."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin

from sync import registry
from sync.models import Decision


def may_undo(user: AbstractBaseUser | AnonymousUser, decisions: Iterable[Decision]) -> bool:
    """Whether somebody may change every record that these decisions are about."""
    if not isinstance(user, PermissionsMixin | AnonymousUser):
        return False
    return all(user.has_perm(_permission(kind)) for kind in {row.entity_type for row in decisions})


def _permission(entity_type: str) -> str:
    try:
        opts = registry.entity(entity_type).model._meta
    except registry.UnknownEntity:
        return "sync.change_decision"
    return f"{opts.app_label}.change_{opts.model_name}"
