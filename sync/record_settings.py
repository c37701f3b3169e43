"""What a person sets for one record: paused with a reason, resumed, another direction; docs/decisions/0054 says why so.

A pause is `sync_enabled` off. Its reason is kept with the change itself, in the record's history, so that it can't
belong to another one. Each of these writes under the record's lock, and refuses what was decided on an older page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.db import transaction
from django.db.models import F, Q, Subquery
from django.utils.translation import gettext as _
from pghistory.core import event_models

from sync import wake
from sync.authors import actor_of, users_of
from sync.choices import SyncDirection
from sync.models import SyncedModel

LONGEST_WHY = 500
WHY = "why"
"""The key of a change's context under which its reason stands."""


class SetAlready(RuntimeError):
    """The record is not as the page said that asked for this; the message says how it is now."""


@dataclass(frozen=True)
class Pause:
    """Who turned a record's sync off, when, and why; `why` is empty where nobody said."""

    by: str
    at: datetime
    why: str = ""


def pause(record: SyncedModel, why: str) -> None:
    """Pause the sync of one record; raises SetAlready for one that is paused."""
    with transaction.atomic(), pghistory.context(**{WHY: cleaned(why)}):
        now = _locked(record)
        if not now.sync_enabled:
            found = pause_of(now)
            by = _(" by %(who)s") % {"who": found.by} if found else ""
            raise SetAlready(
                _("“%(record)s” was paused already%(by)s. Nothing was changed.") % {"record": now, "by": by}
            )
        _write(now, sync_enabled=False)


def resume(record: SyncedModel) -> None:
    """Let one record sync again; raises SetAlready for one that isn't paused."""
    with transaction.atomic():
        now = _locked(record)
        if now.sync_enabled:
            raise SetAlready(
                _("“%(record)s” is not paused any more: somebody else has resumed it.") % {"record": now}
            )
        _write(now, sync_enabled=True)


def turn(record: SyncedModel, direction: SyncDirection, *, shown: str) -> None:
    """Give one record another direction; raises SetAlready where it isn't the `shown` one any more."""
    with transaction.atomic():
        now = _locked(record)
        if now.sync_direction != shown or now.sync_direction == direction:
            label = SyncDirection(now.sync_direction).label
            raise SetAlready(
                _("Nothing was changed: the direction of “%(record)s” is “%(direction)s” by now. Look again.")
                % {"record": now, "direction": label}
            )
        _write(now, sync_direction=direction.value)


def pause_of(record: SyncedModel) -> Pause | None:
    """Return the pause of a record whose sync is off, as far as its history tells; None for any other."""
    if record.sync_enabled:
        return None
    found = _turned_off(record)
    if found is None:
        return None
    told: dict[str, Any] = found.pgh_context.metadata if found.pgh_context else {}
    return Pause(actor_of(told, users_of([found])), found.pgh_created_at, str(told.get(WHY, "")))


def cleaned(why: str) -> str:
    """Return a reason as it is kept: one line, not too long."""
    return " ".join(why.replace("\0", "").split())[:LONGEST_WHY]


def _turned_off(record: SyncedModel) -> Any | None:
    """The change since which the sync has been off; None where it is older than what is kept."""
    models = event_models(tracks_model=type(record))
    if not models:
        return None
    changes: Any = models[0]._default_manager.filter(pgh_obj_id=record.pk).select_related("pgh_context")
    # The last change that shows it on; the one after it turned it off, however often the record was edited since.
    last_on = changes.filter(sync_enabled=True).order_by("-pgh_id").values("pgh_id")[:1]
    after = changes.annotate(last_on=Subquery(last_on)).filter(
        Q(last_on=None) | Q(pgh_id__gt=F("last_on")), sync_enabled=False
    )
    found = after.order_by("pgh_id").first()
    never_on = found is not None and found.last_on is None
    return None if never_on and found.pgh_label != "insert" else found


def _locked(record: SyncedModel) -> SyncedModel:
    # NO KEY: a contact that is saved meanwhile may still point at this organization.
    rows = type(record)._default_manager.select_for_update(no_key=True, of=("self",))
    return rows.get(pk=record.pk)


def _write(record: SyncedModel, **values: Any) -> None:
    type(record)._default_manager.filter(pk=record.pk).update(**values)
    transaction.on_commit(lambda: wake.board(record.entity_type()), robust=True)
