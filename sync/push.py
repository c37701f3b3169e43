"""A push that a person asks for by name: "Sync now", also of a record whose sync is off."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from sync import wake
from sync.account import is_configured
from sync.boards import link_of
from sync.choices import Cause, Priority, SyncDirection
from sync.enqueue import enqueue_many
from sync.marks import mark_pending
from sync.models import SyncedModel


class NotConfigured(RuntimeError):
    """There is no Monday to push to; the message says what to do."""


@dataclass(frozen=True)
class PushAnswer:
    """Whether a look was asked for, in words why not, and the item's id as it was before."""

    triggered: bool
    message: str
    monday_id: str | None


def push_by_name(record: SyncedModel, by: str) -> PushAnswer:
    """Ask for a look at one record, ahead of other work; raises NotConfigured.

    sync_enabled is passed over once, because a person asked; a direction is not.
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
    return PushAnswer(True, f"“{record}” is sent to Monday now.", record.monday_id)


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
