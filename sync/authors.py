"""Who edited: in NPD by the record's own history, on Monday by the account's people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.translation import gettext as _
from pghistory.core import event_models

from sync.models import MondayAccount, SyncedModel

SYNC = "Monday sync"
LONGEST_ACTOR = 200
EDITS_READ = 20
"""How far back a record's history is searched for the edit of a field that is being sent."""

_LATEST = """
    SELECT event.* FROM unnest(%s::uuid[]) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table} WHERE pgh_obj_id = wanted.id ORDER BY pgh_id DESC LIMIT {edits}
    ) AS event
"""
_WAYS = {"api": "by the API", "undo": "by an undo", "import": "by an import", "sync": "by the sync"}


@dataclass(frozen=True)
class Edit:
    """Who gave a field its value in NPD, by which way (a phrase, as "by the API"), and when."""

    who: str
    way: str
    at: datetime


def latest_edits(
    model: type[SyncedModel], ids: Iterable[UUID], *, without_batch: str = ""
) -> dict[UUID, list[Any]]:
    """Return the newest changes of these records, each record's newest first, in two queries.

    `without_batch` is a look whose own writes are left out.
    """
    events, wanted = _event_model(model), list(ids)
    if events is None or not wanted:
        return {}
    sql = _LATEST.format(table=f'"{events._meta.db_table}"', edits=EDITS_READ)
    rows = list(events._default_manager.raw(sql, [wanted]))
    contexts = events._meta.get_field("pgh_context").related_model._default_manager.in_bulk(
        list({row.pgh_context_id for row in rows if row.pgh_context_id})
    )
    found: dict[UUID, list[Any]] = {}
    for row in rows:
        row.pgh_context = contexts.get(row.pgh_context_id)
        told = row.pgh_context.metadata if row.pgh_context else {}
        if without_batch and told.get("batch") == without_batch:
            continue
        found.setdefault(row.pgh_obj_id, []).append(row)
    return {key: sorted(rows, key=lambda row: -row.pgh_id) for key, rows in found.items()}


def editor_of(history: Sequence[Any], attnames: Iterable[str], users: Mapping[Any, Any]) -> Edit | None:
    """Return the last edit in `history` (newest first) that changed one of these columns; None where none did."""
    names = list(attnames)
    for event, before in zip(history, [*history[1:], None], strict=False):
        told = event.pgh_context.metadata if event.pgh_context else {}
        if before is None and event.pgh_label != "insert":
            return None
        if before is None or any(getattr(event, name) != getattr(before, name) for name in names):
            return Edit(actor_of(told, users), way_of(told), event.pgh_created_at)
    return None


def actor_of(context: Mapping[str, Any], users: Mapping[Any, Any]) -> str:
    """Return the name of who made a change, by what its history says of it."""
    if context.get("cause") == "sync":
        return SYNC
    user = users.get(context.get("user"))
    if user is not None:
        return named(user)
    if context.get("user"):
        return "a user who is gone"
    return str(context.get("cause") or _("a script"))


def way_of(context: Mapping[str, Any]) -> str:
    """Return by which way a change was made, as a phrase; empty where nothing is known of it."""
    cause = str(context.get("cause") or "")
    if cause:
        return _WAYS.get(cause, f"by {cause}")
    return "in the admin" if "/admin/" in str(context.get("url", "")) else ""


def users_of(events: Iterable[Any]) -> dict[Any, Any]:
    """Return the NPD users that these changes name, by id."""
    told = [event.pgh_context.metadata for event in events if event.pgh_context]
    ids = {context["user"] for context in told if context.get("user")}
    return dict(get_user_model()._default_manager.in_bulk(list(ids))) if ids else {}


def monday_people() -> Mapping[str, Any]:
    """Return what is known of the account's people, by id."""
    found = MondayAccount.objects.filter(id=1).values_list("users", flat=True).first()
    return found or {}


def name_on_monday(user_id: str, people: Mapping[str, Any]) -> str:
    """Return the name of a Monday user, said to be Monday's: "Bea Board on Monday", else "Monday user 4711"."""
    bare = bare_name(user_id, people)
    return f"{bare} on Monday" if people.get(user_id, {}).get("name") else bare


def bare_name(user_id: str, people: Mapping[str, Any]) -> str:
    """Return the name of a Monday user, or the id where the account's directory doesn't hold it."""
    return str(people.get(user_id, {}).get("name") or "") or f"Monday user {user_id}"


def _event_model(model: type[SyncedModel]) -> Any:
    models = event_models(tracks_model=model)
    return models[0] if models else None


def called(user: AbstractBaseUser) -> str:
    """What a person is called in a decision: the full name, else the username, no longer than its column."""
    return named(user)[:LONGEST_ACTOR]


def named(user: AbstractBaseUser) -> str:
    """Return a person's full name, else the username."""
    return str(user.get_full_name() or user.get_username())  # type: ignore[attr-defined]
