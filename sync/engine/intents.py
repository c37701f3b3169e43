"""Intents: what is about to be sent, committed before it is sent; and what became of those without an answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings

from sync.choices import QueueDirection
from sync.clock import SyncNow
from sync.engine.paused import not_stopped
from sync.engine.subjects import Batch, Outcome, Subject
from sync.lease import LeaseLost
from sync.merge import Action
from sync.models import FieldMapping, Intent, IntentState

ANNOUNCED_SECONDS = 10
"""A call is sent within milliseconds of its announcement, or not at all."""
IDEMPOTENCY_MINUTES = 30
"""How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency)."""


def announce(
    batch: Batch, subjects: Sequence[Subject], key: str, body: dict[str, Any] | None = None
) -> list[Subject]:
    """Commit one intent a subject under the lease and return those that may still be written; raises LeaseLost.

    The document's body stands in the first one. Settings are read again here: a record that was switched off,
    or whose mapping changed since it was read, is given back; so are all where writing to Monday was paused since.
    The lease is renewed past the call's hard deadline.
    """
    hard = settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS
    batch.announced = time.monotonic()
    batch.lease.renew(hard + settings.MONDAY_TIMEOUT_SECONDS)
    with batch.lease.held():
        allowed = _still_allowed(batch, not_stopped(batch, subjects, QueueDirection.TO_MONDAY))
        for number, subject in enumerate(allowed):
            subject.intent = _intent(batch, subject, key, hard)
            subject.intent.alias = f"r{number}"
            subject.intent.body = body if number == 0 else None
        Intent.objects.bulk_create([s.intent for s in allowed if s.intent])
    return allowed


def check_freshness(batch: Batch) -> None:
    """Send nothing that was announced too long ago, as by a process that was frozen; raises LeaseLost.

    By then another worker may hold the board, and the intent's deadline says nothing any more.
    """
    if time.monotonic() - batch.announced > ANNOUNCED_SECONDS:
        raise LeaseLost(
            "This process stood still between announcing a call and sending it; nothing was sent."
        )


def _still_allowed(batch: Batch, subjects: Sequence[Subject]) -> list[Subject]:
    records = batch.board.model._default_manager.in_bulk([s.id for s in subjects])
    versions = dict(FieldMapping.objects.filter(link=batch.board.link).values_list("key", "version"))
    directions = dict(FieldMapping.objects.filter(link=batch.board.link).values_list("key", "direction"))
    allowed = []
    for subject in subjects:
        now = records.get(subject.id)
        same = now is not None and (now.sync_enabled, now.sync_direction, now.monday_id) == (
            subject.record.sync_enabled,
            subject.record.sync_direction,
            subject.record.monday_id,
        )
        mapped = all(
            (versions.get(key), directions.get(key)) == (planned.mapping.version, planned.mapping.direction)
            for key, planned in subject.planned.items()
        )
        if same and mapped:
            allowed.append(subject)
        else:
            subject.drop(Outcome.GIVEN_BACK, "Its settings changed while it was looked at.")
    return allowed


def _intent(batch: Batch, subject: Subject, key: str, hard: float) -> Intent:
    return Intent(
        id=uuid.uuid4(),
        entity_type=batch.board.link.entity_type,
        entity_id=subject.id,
        board_id=batch.board.link.board_id,
        item_id=subject.item.id if subject.item else "",
        lease_token=batch.lease.token,
        idempotency_key=key,
        values={k: _announced(p) for k, p in subject.planned.items() if p.send_raw is not None},
        state=IntentState.OPEN,
        deadline=SyncNow() + timedelta(seconds=hard),
    )


def _announced(planned: Any) -> dict[str, Any]:
    return {
        "local": planned.send_raw,
        "read": planned.remote_raw,
        "base": planned.base,
        "column": planned.mapping.column_id,
        "version": planned.mapping.version,
        # The record takes a united list only with the answer: until then its own is no later edit of it.
        "united": planned.decision.action is Action.BOTH and not planned.choice,
    }


def void(subjects: Sequence[Subject]) -> None:
    """The call was certainly not carried out: its intents bind nobody."""
    ids = [s.intent.pk for s in subjects if s.intent]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(
        state=IntentState.VOID, settled_at=SyncNow()
    )
    for subject in subjects:
        subject.intent = None


def answered_without_data(subjects: Sequence[Subject]) -> None:
    """The request is over, but what it did is not told: both sides may be read again at once."""
    ids = [s.intent.pk for s in subjects if s.intent]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(deadline=SyncNow())
