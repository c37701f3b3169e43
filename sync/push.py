"""A push that a person asks for by name: "Sync now", also of a record whose sync is off."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from sync import wake
from sync.account import is_configured
from sync.boards import link_of
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.enqueue import enqueue_many
from sync.marks import mark_pending
from sync.models import SyncedModel, SyncMetadata
from sync.pausing import why_waits
from sync.standstill import standstill

GONE = ("archived", "deleted", "missing", "moved", "inactive")
"""States of an item, in the ledger, in which nothing can be written to it."""


class NotConfigured(RuntimeError):
    """There is no Monday to push to; the message says what to do."""


@dataclass(frozen=True)
class PushAnswer:
    """Whether a look was asked for, in words why not, and the item's id as it was before.

    `waits` is why nothing will be sent for now although a look was asked for; empty where nothing is known.
    """

    triggered: bool
    message: str
    monday_id: str | None
    waits: str = ""


def push_by_name(record: SyncedModel, by: str) -> PushAnswer:
    """Ask for a look at one record, ahead of other work; raises NotConfigured.

    sync_enabled is passed over once, because a person asked; a direction is not, nor a pause, which it waits out.
    """
    link = link_of(record.entity_type())
    if not is_configured():
        raise NotConfigured("Monday isn't configured: set MONDAY_API_KEY, then run `manage.py monday_setup`.")
    if link is None or not link.board_id:
        raise NotConfigured(
            f"There is no board for {record.entity_type()} records: run `manage.py monday_setup`."
        )
    if record.sync_direction in (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD):
        label = SyncDirection(record.sync_direction).label
        return PushAnswer(
            False,
            f"Nothing was sent: the direction of “{record}” is “{label}”. Change its direction first.",
            record.monday_id,
        )
    _enqueue(record, by)
    held = standstill(record.entity_type(), link, urgent=True).words
    waits = held or why_waits(record.entity_type(), QueueDirection.TO_MONDAY) or _gone(record)
    message = f"It waits: {waits}" if waits else f"“{record}” is sent to Monday now."
    return PushAnswer(True, message, record.monday_id, waits)


def _gone(record: SyncedModel) -> str:
    """Why nothing can be written to the record's item, as its last look found; empty where it can."""
    entry = SyncMetadata.objects.filter(
        entity_type=record.entity_type(), system="monday", entity_id=str(record.pk), remote_state__in=GONE
    ).first()
    if entry is None:
        return ""
    return entry.note or f"its item on Monday is {entry.remote_state}, so nothing can be written there."


def _enqueue(record: SyncedModel, by: str) -> None:
    mark_pending(record.entity_type(), record.pk)
    enqueue_many(
        record.entity_type(),
        [record.pk],
        cause=Cause.PERSON,
        priority=Priority.PERSON,
        payload={"by_name": True, "by": by},
    )
    transaction.on_commit(lambda: wake.send(record.entity_type()), robust=True)
