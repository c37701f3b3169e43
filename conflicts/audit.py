"""What people did with conflicts, as lines of the admin's log."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from conflicts.models import SyncConflict
from sync.acts_log import write

MANY = "Conflicts"


def note(
    user: AbstractBaseUser | AnonymousUser,
    sentence: str,
    conflict: SyncConflict | None = None,
    name: str = "",
) -> None:
    """Log what somebody did, by whatever door: with one conflict of the record `name`, or with many."""
    write(user, SyncConflict, sentence, key=conflict.pk if conflict else None, name=name or MANY)
