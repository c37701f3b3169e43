"""How a look ends its queue rows, its intents, its events and the record's dead letters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection

from sync import finish
from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.engine.paused import leave_waiting
from sync.engine.subjects import Batch, Outcome, Subject
from sync.hooks import desk
from sync.models import Intent, IntentState, SyncQueue, WebhookEvent

_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def end_rows(batch: Batch) -> None:
    """End every subject's rows as its outcome says, and what hangs on them."""
    token = batch.lease.token
    settled = [row for s in batch.subjects if s.outcome is Outcome.SETTLED for row in s.claimed.rows]
    finish.complete(settled, token)
    given_back: dict[tuple[str, bool], list[SyncQueue]] = {}
    for subject in batch.subjects:
        rows = subject.claimed.rows
        if subject.outcome is Outcome.FAILED:
            if finish.fail(rows, token, subject.words):
                words = f"Your choice could not be carried out: {subject.words}"
                desk().hand_back(batch.board.link.entity_type, [subject.id], words)
        elif subject.outcome is Outcome.SNOOZED:
            finish.snooze(rows, token, subject.wait_seconds, subject.words)
        elif subject.outcome is Outcome.GIVEN_BACK:
            given_back.setdefault((subject.words, subject.alone), []).extend(rows)
        elif subject.outcome is Outcome.PAUSED:
            finish.complete(rows, token, subject.words)
    for (reason, alone), returned in given_back.items():
        finish.give_back(returned, token, reason, alone=alone)
    leave_waiting(batch.board.link.entity_type, batch.subjects)
    _end_journal(batch)
    _close_dead_letters(
        batch, [s for s in batch.subjects if s.outcome is Outcome.SETTLED and (s.planned or s.deleted)]
    )


def _end_journal(batch: Batch) -> None:
    """Intents that were answered are applied, older ones were found out about; events have been weighed."""
    for subject in batch.subjects:
        if subject.intent and subject.unsure:
            Intent.objects.filter(pk=subject.intent.pk).update(item_id=subject.item_id, deadline=SyncNow())
    for subject in batch.subjects:
        if subject.intent and subject.written:
            subject.intent.answer = _answer(subject)
    intents_applied(
        [(s.intent, s.item_id) for s in batch.subjects if s.intent and s.written and not s.unsure]
    )
    looked = [s for s in batch.subjects if s.outcome is Outcome.SETTLED and s.planned]
    older = {intent.pk: s for s in looked for intent in s.intents}
    landed = [pk for pk, s in older.items() if pk in s.intents_found]
    Intent.objects.filter(pk__in=landed).update(state=IntentState.LANDED, settled_at=SyncNow())
    Intent.objects.filter(pk__in=[pk for pk in older if pk not in landed]).update(
        state=IntentState.VOID, settled_at=SyncNow()
    )
    weighed = [
        s for s in batch.subjects if s.outcome is Outcome.SETTLED and (s.weighed or s.item is not None)
    ]
    events = [event.pk for s in weighed for event in s.events]
    outcome = f"weighed in look {batch.id}"
    WebhookEvent.objects.filter(pk__in=events, weighed_at=None).update(weighed_at=SyncNow(), outcome=outcome)


def intents_applied(answered: Sequence[tuple[Intent, str]]) -> None:
    """Store that these intents were answered, with the item that each was about."""
    if not answered:
        return
    columns: list[Any] = [
        [i.pk for i, _ in answered],
        [item for _, item in answered],
        [i.request_id for i, _ in answered],
        [None if i.answer is None else json.dumps(i.answer) for i, _ in answered],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_APPLIED, columns)


def _answer(subject: Subject) -> dict[str, Any]:
    """The raw values that Monday's answer showed of what was sent, by field: by them an event is known as ours."""
    found = {}
    for key, planned in subject.planned.items():
        item = planned.answered or subject.written
        if planned.send_raw is not None and item is not None:
            try:
                found[key] = planned.convert.raw_of(item.reading(planned.mapping.column_id))
            except UnknownValue:
                continue
    return found


def _close_dead_letters(batch: Batch, settled: Sequence[Subject]) -> None:
    closing = {s.id: s.claimed.rows[0].id for s in settled}
    dead = SyncQueue.objects.filter(
        entity_type=batch.board.link.entity_type,
        entity_id__in=closing,
        status="failed",
        created_at__lt=SyncNow(),
    )
    for row in dead:
        assert row.entity_id is not None
        SyncQueue.objects.filter(pk=row.pk, status="failed").update(
            status="completed", error_message=f"superseded by #{closing[row.entity_id]}"
        )
