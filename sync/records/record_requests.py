"""What a person asks of one record's sync: paused with a reason, resumed, another direction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.db import transaction
from django.db.models import F, Q, Subquery
from pghistory.core import event_models

from sync.choices import SyncDirection
from sync.kernel.action_errors import Conflict
from sync.models import SyncedModel
from sync.outbox import notify
from sync.records.authors import actor_name, users_of

MAX_REASON_LENGTH = 500

REASON_KEY = "why"
"""The key in a change's history context for its reason."""


@dataclass(frozen=True)
class RecordPause:
    """Who turned a record's sync off, when, and why; `why` is empty where nobody said."""

    by: str
    at: datetime
    why: str = ""


def pause_record(record: SyncedModel, reason: str) -> None:
    """Pause the sync of one record; raises Conflict for one that is paused."""
    with transaction.atomic(), pghistory.context(**{REASON_KEY: clean_reason(reason)}):
        current = _lock_record(record)
        if not current.sync_enabled:
            found = record_pause(current)
            by = f" by {found.by}" if found else ""
            raise Conflict(f"“{current}” was turned off already{by}. Nothing was changed.")
        _update_record(current, sync_enabled=False)


def resume_record(record: SyncedModel) -> None:
    """Resume one record's sync; raises Conflict for one that isn't paused."""
    with transaction.atomic():
        current = _lock_record(record)
        if current.sync_enabled:
            raise Conflict(f"“{current}” has its sync on already: somebody else turned it on.")
        _update_record(current, sync_enabled=True)


def set_direction(record: SyncedModel, direction: SyncDirection, *, expected: str) -> None:
    """Give one record another direction; raises Conflict where it isn't the `expected` one any more."""
    with transaction.atomic():
        current = _lock_record(record)
        if current.sync_direction != expected or current.sync_direction == direction:
            label = SyncDirection(current.sync_direction).label
            raise Conflict(f"Nothing was changed: the direction of “{current}” is now “{label}”. Check again.")
        _update_record(current, sync_direction=direction.value)


def record_pause(record: SyncedModel) -> RecordPause | None:
    """Return the pause of a record whose sync is off, as far as its history shows; None for any other."""
    if record.sync_enabled:
        return None
    found = _pause_event(record)
    if found is None:
        return None
    metadata: dict[str, Any] = found.pgh_context.metadata if found.pgh_context else {}
    return RecordPause(actor_name(metadata, users_of([found])), found.pgh_created_at, str(metadata.get(REASON_KEY, "")))


def clean_reason(reason: str) -> str:
    """Return a reason as it is stored: one line, cut to its length."""
    return " ".join(reason.replace("\0", "").split())[:MAX_REASON_LENGTH]


def _pause_event(record: SyncedModel) -> Any | None:
    """The change that turned the sync off; None where it is older than the stored history."""
    models = event_models(tracks_model=type(record))
    if not models:
        return None
    changes: Any = models[0]._default_manager.filter(pgh_obj_id=record.pk).select_related("pgh_context")
    # The change after the last one that shows the sync on turned it off, however often the record was edited
    # since.
    last_on = changes.filter(sync_enabled=True).order_by("-pgh_id").values("pgh_id")[:1]
    after = changes.annotate(last_on=Subquery(last_on)).filter(
        Q(last_on=None) | Q(pgh_id__gt=F("last_on")), sync_enabled=False
    )
    found = after.order_by("pgh_id").first()
    never_on = found is not None and found.last_on is None
    return None if never_on and found.pgh_label != "insert" else found


def _lock_record(record: SyncedModel) -> SyncedModel:
    # NO KEY: a contact saved meanwhile may still point at this organization.
    rows = type(record)._default_manager.select_for_update(no_key=True, of=("self",))
    return rows.get(pk=record.pk)


def _update_record(record: SyncedModel, **values: Any) -> None:
    type(record)._default_manager.filter(pk=record.pk).update(**values)
    transaction.on_commit(lambda: notify.notify_board(record.entity_type()), robust=True)
