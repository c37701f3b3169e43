"""Who did what by hand: lines in the admin's log about records and rows, by whatever door it was done."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

__all__ = ["ADDITION", "CHANGE", "DELETION", "note", "note_each", "note_many", "write"]

LONGEST_NAME = 200


def note(
    user: AbstractBaseUser | AnonymousUser, about: Model, sentence: str, *, flag: int = CHANGE, name: str = ""
) -> None:
    """Log what somebody did with one record or row; `name` where it isn't called by itself."""
    note_many(user, [about], sentence, flag=flag, name=name)


def note_many(
    user: AbstractBaseUser | AnonymousUser,
    about: Iterable[Model],
    sentence: str,
    *,
    flag: int = CHANGE,
    name: str = "",
) -> None:
    """Log what somebody did with each of these, in one statement, in the caller's transaction."""
    note_each(user, [(one, sentence) for one in about], flag=flag, name=name)


def note_each(
    user: AbstractBaseUser | AnonymousUser,
    acts: Iterable[tuple[Model, str]],
    *,
    flag: int = CHANGE,
    name: str = "",
) -> None:
    """Log what somebody did with each of these, a sentence of its own for each, in one statement."""
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
            content_type=ContentType.objects.get_for_model(type(one)),
            object_id=str(one.pk),
            object_repr=(name or str(one))[:LONGEST_NAME],
            action_flag=flag,
            change_message=sentence,
        )
        for one, sentence in acts
    )


def write(
    user: AbstractBaseUser | AnonymousUser,
    kind: type[Model],
    sentence: str,
    *,
    name: str,
    key: object | None = None,
) -> None:
    """Log what somebody did with one thing of a kind, or without `key` with many of them, under this name."""
    LogEntry.objects.create(
        user_id=user.pk,  # type: ignore[misc]  # permissions let nobody anonymous in
        content_type=ContentType.objects.get_for_model(kind),
        object_id=None if key is None else str(key),
        object_repr=name[:LONGEST_NAME],
        action_flag=CHANGE,
        change_message=sentence,
    )
