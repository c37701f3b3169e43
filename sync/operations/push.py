"""“Sync now”: the pass that a person asks for on one record, also where its sync is off."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.kernel.action_errors import ActionError
from sync.limits.metered_client import is_configured
from sync.models import Decision, SyncedModel, SyncMetadata
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many, mark_pending
from sync.records import availability
from sync.registry import link_of

UNWRITABLE_STATES = ("archived", "deleted", "missing", "moved", "inactive")
"""States of an item, in the ledger, in which nothing can be written to it."""


@dataclass(frozen=True)
class PushResult:
    """Whether a pass was enqueued, the message for the person, and the item's id as it was before.

    `wait_reason` says why nothing is sent for now although a pass was enqueued; empty where nothing stops it.
    """

    triggered: bool
    message: str
    monday_id: str | None
    wait_reason: str = ""


def push_record(record: SyncedModel, by: str) -> PushResult:
    """Ask for a look at one record, ahead of other work; raises ActionError where Monday or the board is not set up.

    sync_enabled is passed over once, because a person asked; a direction is not, nor a pause, which it waits out.
    """
    link = link_of(record.entity_type())
    if not is_configured():
        raise ActionError(
            "Monday isn't configured: set MONDAY_API_KEY, then run `manage.py monday_setup`.", code="not_configured"
        )
    if link is None or not link.board_id:
        raise ActionError(
            f"There is no board for {record.entity_type()} records: run `manage.py monday_setup`.",
            code="not_configured",
        )
    if record.sync_direction in (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD):
        label = SyncDirection(record.sync_direction).label
        return PushResult(
            False,
            f"Nothing was sent: the direction of “{record}” is “{label}”. Change its direction first.",
            record.monday_id,
        )
    mark_pending(record.entity_type(), record.pk)
    enqueue_many(
        record.entity_type(),
        [record.pk],
        cause=Cause.PERSON,
        priority=Priority.PERSON,
        payload={"by_name": True, "by": by},
    )
    transaction.on_commit(lambda: notify.notify_now(record.entity_type()), robust=True)
    board = availability.of(link, urgent=True).toward(QueueDirection.TO_MONDAY)
    wait_reason = board.detail or _removed_item_reason(record)
    message = f"It waits: {wait_reason}" if wait_reason else f"“{record}” is sent to Monday now."
    return PushResult(True, message, record.monday_id, wait_reason)


def last_manual_push(record: SyncedModel) -> Decision | None:
    """Return the last push of a record whose sync is off, which only “Sync now” sends; None otherwise."""
    if record.may_sync:
        return None
    pushes = Decision.objects.filter(entity_type=record.entity_type(), entity_id=record.pk, kind="push")
    newest = pushes.filter(cause__has_key="by").order_by("-at", "-id").first()
    since = record.monday_last_synced
    return newest if newest is not None and (since is None or newest.at > since) else None


def _removed_item_reason(record: SyncedModel) -> str:
    """Return why nothing can be written to the record's item, as its last pass found; empty where it can."""
    ledgers = SyncMetadata.objects.of(record.entity_type(), [record.pk])
    entry = ledgers.filter(remote_state__in=UNWRITABLE_STATES).first()
    if entry is None:
        return ""
    return entry.note or f"its item on Monday is {entry.remote_state}, so nothing can be written there."
