"""Commands of NPD: in whose name they act."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import CommandError


def user_named(name: str | None) -> User:
    """Return the user in whose name a command acts: the named one, else the only active administrator."""
    if name:
        found = User.objects.filter(username=name, is_active=True).first()
        if found is None:
            raise CommandError(f"There is no active user “{name}”. Name one with --by.")
        return found
    administrators = list(User.objects.filter(is_superuser=True, is_active=True)[:2])
    if len(administrators) != 1:
        raise CommandError("Say with --by in whose name it is done: the audit log keeps it.")
    return administrators[0]
