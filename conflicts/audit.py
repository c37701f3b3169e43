"""What people did with conflicts, as lines of the admin's log."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.utils import translation

from conflicts.history import WRITTEN_IN
from conflicts.models import SyncConflict
from conflicts.records import name_of, record_of
from sync.acts_log import write
from sync.models import SyncedModel

MANY = "Conflicts"


def note(
    user: AbstractBaseUser | AnonymousUser,
    sentence: str,
    conflict: SyncConflict | None = None,
    name: str = "",
) -> None:
    """Log what somebody did, by whatever door: with one conflict of the record `name`, or with many."""
    write(user, SyncConflict, sentence, key=conflict.pk if conflict else None, name=name or MANY)


def note_of(
    user: AbstractBaseUser, sentence: str, conflict: SyncConflict, record: SyncedModel | None = None
) -> None:
    """Log what somebody did with one conflict, under its record's name; `record` where it was read already."""
    with translation.override(WRITTEN_IN):
        name = name_of(conflict, record or record_of(conflict))
    note(user, sentence, conflict, name)
