"""Who steered the queue: a line in the admin's log for each act of a person."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from sync.acts_log import write
from sync.models import SyncQueue

NAME = "Sync queue"


def note(user: AbstractBaseUser | AnonymousUser, sentence: str, row: SyncQueue | None = None) -> None:
    """Log what somebody did, by whatever door; of one row, or of the queue as a whole."""
    if row is None:
        write(user, SyncQueue, sentence, name=NAME)
    else:
        write(user, SyncQueue, sentence, key=row.pk, name=f"#{row.pk} {row}")
