"""Settle: what a look did becomes NPD's truth, by compare-and-set, in one transaction under the lease."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pghistory
import structlog
from django.db import DatabaseError, OperationalError, connection, transaction

from sync import finish
from sync.choices import Cause, LedgerDirection, Priority
from sync.clock import SyncNow
from sync.engine import status
from sync.engine.findings import findings_of, waiting_for_a_person
from sync.engine.planning import new_base
from sync.engine.subjects import Batch, Outcome, Planned, Subject, converter_of, raw_of
from sync.enqueue import enqueue_many
from sync.hooks import desk
from sync.merge import Action
from sync.models import Decision, Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, WebhookEvent

log = structlog.get_logger(__name__)

LOCK_TIMEOUT_MS = 500
"""Below PostgreSQL's deadlock_timeout (1 s): a settle gives way to a save and is repeated, never the save."""
TRIES = 20


def settle(batch: Batch, started: float) -> None:
    """Settle every subject and end its rows; raises LeaseLost when another worker has the board."""
    if not batch.subjects:
        return
    for attempt in range(1, TRIES + 1):
        before = [subject.snapshot() for subject in batch.subjects]
        try:
            with pghistory.context(cause="sync", batch=str(batch.id)), batch.lease.held():
                _settle_all(batch, started)
                return
        except OperationalError as busy:
            if attempt == TRIES:
                raise
            for subject, state in zip(batch.subjects, before, strict=True):
                subject.restore(state)
            log.info("settle gave way to a save", attempt=attempt, error=type(busy).__name__)


def _settle_all(batch: Batch, started: float) -> None:
    ids = sorted(subject.id for subject in batch.subjects)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [",".join(str(i) for i in ids)])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
    model = batch.board.model
    locked = {
        r.pk: r
        for r in model._default_manager.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
    }
    ledgers = _locked_ledgers(batch, ids)
    present = [s for s in batch.subjects if s.id in locked]
    for subject in present:
        _settle_one(batch, subject, locked[subject.id])
    desk().record([finding for subject in present for finding in findings_of(subject)])
    _store_ledgers(batch, present, ledgers, started)
    _end_rows(batch)
    Decision.objects.bulk_create([_stamped(row, batch, s) for s in present for row in s.log])
    status.decide(batch, present)


def _locked_ledgers(batch: Batch, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    entity_type = batch.board.link.entity_type
    missing = [SyncMetadata(entity_type=entity_type, entity_id=str(i), system="monday") for i in ids]
    SyncMetadata.objects.bulk_create(missing, ignore_conflicts=True)
    rows = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    return {row.entity_id: row for row in rows.select_for_update().order_by("entity_id")}


def _settle_one(batch: Batch, subject: Subject, record: SyncedModel) -> None:
    """Write one record, in a savepoint of its own: what NPD refuses here is this record's failure alone."""
    before = subject.snapshot()
    if _settings(record) != _settings(subject.record):
        subject.drop(Outcome.GIVEN_BACK, "Its settings changed while it was looked at.")
        return
    try:
        with transaction.atomic():
            _write_record(batch, subject, record)
    except OperationalError:
        raise
    except DatabaseError as refused:
        log.warning("record not settled", record=str(subject.id), error=type(refused).__name__)
        subject.restore(before)
        subject.drop(Outcome.FAILED, f"NPD's database refused what came from Monday: {_first_line(refused)}")


def _settings(record: SyncedModel) -> tuple[bool, str]:
    return record.sync_enabled, record.sync_direction


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _write_record(batch: Batch, subject: Subject, record: SyncedModel) -> None:
    values: dict[str, Any] = {}
    for planned in subject.planned.values():
        values |= _settle_field(subject, planned, record)
    if subject.link_to and record.monday_id != subject.link_to:
        values["monday_id"] = subject.link_to
    if values:
        type(record)._default_manager.filter(pk=record.pk).update(**values)
        for name, value in values.items():
            setattr(record, name, value)
    subject.record = record


def _settle_field(subject: Subject, planned: Planned, record: SyncedModel) -> dict[str, Any]:
    """Move one field and its base; return what to write to the record."""
    item = subject.written or subject.item
    if item is None or planned.hold or planned.conflict or not planned.mapping.column_id:
        return _settle_unmoved(subject, planned)
    action = planned.decision.action
    sent = planned.send_raw is not None and subject.written is not None
    if action is Action.PUSH and sent:
        return _pushed(subject, planned, item)
    if action is Action.BOTH and not sent:
        return {}
    if action in (Action.PULL, Action.BOTH) and planned.write_raw is not None:
        return _pulled(subject, planned, record, item, sent=sent)
    if action is Action.AGREED:
        _move_base(subject, planned, item.id, planned.local_raw, planned.remote_raw)
    elif action is Action.NOTHING and planned.base is not None:
        subject.ledger.base[planned.mapping.key] = planned.base
    return {}


def _settle_unmoved(subject: Subject, planned: Planned) -> dict[str, Any]:
    """A held field or one in conflict keeps its base, as the intents left it."""
    if planned.base is not None and subject.item is not None:
        subject.ledger.base[planned.mapping.key] = planned.base
    return {}


def _pushed(subject: Subject, planned: Planned, item: Any) -> dict[str, Any]:
    convert = converter_of(planned.mapping)
    reading = item.reading(planned.mapping.column_id)
    answered = convert.raw_of(reading) if reading.known else planned.remote_raw
    _move_base(subject, planned, item.id, planned.send_raw, answered)
    sent, stands = convert.local(planned.send_raw or {}), convert.remote(answered)
    before = convert.display(convert.remote(planned.remote_raw)) if planned.remote_raw is not None else ""
    subject.say(
        "push",
        _moved(planned, "sent to Monday", before, convert.display(sent)),
        planned.mapping.key,
        before=before,
        after=convert.display(sent),
        overridden=planned.decision.overrides,
    )
    if reading.known and sent != stands:
        subject.ledger.altered[planned.mapping.key] = {
            "reason": f"Monday made “{convert.display(stands)}” of “{convert.display(sent)}”. Change it on either side."
        }
    _note_choice(subject, planned, convert.display(sent))
    return {}


def _pulled(
    subject: Subject, planned: Planned, record: SyncedModel, item: Any, *, sent: bool
) -> dict[str, Any]:
    """Write a value only where the record still holds the one that the merge saw; else a row waits."""
    convert = converter_of(planned.mapping)
    if convert.local(raw_of(record, planned.mapping)) != convert.local(planned.local_raw):
        enqueue_many(record.entity_type(), [record.pk], cause=Cause.SAVE, priority=Priority.EDIT)
        return {}
    assert planned.write_raw is not None
    answered = convert.raw_of(item.reading(planned.mapping.column_id)) if sent else planned.remote_raw
    _move_base(subject, planned, item.id, planned.write_raw, answered)
    before, after = (convert.display(convert.local(raw)) for raw in (planned.local_raw, planned.write_raw))
    subject.say(
        "pull",
        _moved(planned, "taken over from Monday", before, after),
        planned.mapping.key,
        before=before,
        after=after,
        overridden=planned.decision.overrides,
    )
    _note_choice(subject, planned, after)
    return dict(planned.write_raw)


def _moved(planned: Planned, how: str, before: str, after: str) -> str:
    was = f" (was “{before}”)" if before else ""
    return f"{planned.mapping.label} “{after}”{was} {how}: {planned.decision.reason}."


def _note_choice(subject: Subject, planned: Planned, result: str) -> None:
    if planned.choice:
        subject.applied[planned.mapping.key] = result or None


def _move_base(subject: Subject, planned: Planned, item_id: str, local_raw: Any, remote_raw: Any) -> None:
    key = planned.mapping.key
    subject.ledger.base[key] = new_base(planned.mapping, item_id, local_raw, remote_raw)
    subject.ledger.altered.pop(key, None)


def _store_ledgers(
    batch: Batch, subjects: Sequence[Subject], stored: dict[str, SyncMetadata], started: float
) -> None:
    milliseconds = int((time.monotonic() - started) * 1000)
    rows = []
    for subject in subjects:
        row, seen = stored[str(subject.id)], subject.ledger
        row.base, row.altered = seen.base, seen.altered
        row.held = held_of(subject)
        row.note, row.remote_state = subject.note, seen.remote_state
        row.remote_id = subject.record.monday_id
        row.sync_batch_id, row.sync_duration_ms, row.api_calls_count = batch.id, milliseconds, batch.calls
        row.last_sync_attempt = SyncNow()
        row.sync_direction = _ledger_direction(subject)
        row.conflicts = _conflicts_of(subject, seen.conflicts)
        _note_failure(subject, row)
        subject.ledger = row
        rows.append(row)
    if rows:
        fields = [
            "base",
            "altered",
            "held",
            "note",
            "remote_state",
            "remote_id",
            "sync_batch_id",
            "sync_duration_ms",
            "api_calls_count",
            "last_sync_attempt",
            "sync_direction",
            "conflicts",
            "error_count",
            "last_error",
        ]
        SyncMetadata.objects.bulk_update(rows, fields)


def held_of(subject: Subject) -> dict[str, Any]:
    """What is held after this look; a look that planned nothing leaves what was held."""
    if not subject.planned:
        return dict(subject.ledger.held)
    return {
        key: {
            "reason": p.hold,
            "side": "npd" if p.write_raw is None and p.decision.action is Action.PULL else "monday",
            "local": p.local_raw,
            "column": p.mapping.column_id,
            "version": p.mapping.version,
        }
        for key, p in subject.planned.items()
        if p.hold
    }


def _ledger_direction(subject: Subject) -> str:
    ups = any(p.send_raw is not None for p in subject.planned.values())
    downs = any(p.write_raw is not None for p in subject.planned.values())
    if ups == downs:
        return LedgerDirection.BIDIRECTIONAL
    return LedgerDirection.LOCAL_TO_REMOTE if ups else LedgerDirection.REMOTE_TO_LOCAL


def _conflicts_of(subject: Subject, before: dict[str, Any]) -> dict[str, Any]:
    kinds = dict(before) if not subject.planned and subject.outcome is not Outcome.SETTLED else {}
    fields = [conflict.key for conflict in waiting_for_a_person(subject)]
    if fields:
        kinds["fields"] = fields
    if subject.identity:
        kinds["identity"] = [subject.identity["what"]]
    return kinds


def _note_failure(subject: Subject, row: SyncMetadata) -> None:
    if subject.outcome is Outcome.FAILED:
        row.error_count, row.last_error = row.error_count + 1, subject.words
    elif subject.outcome is Outcome.SETTLED:
        row.error_count, row.last_error = 0, ""


def _end_rows(batch: Batch) -> None:
    token = batch.lease.token
    settled = [row for s in batch.subjects if s.outcome is Outcome.SETTLED for row in s.claimed.rows]
    finish.complete(settled, token)
    for subject in batch.subjects:
        rows = subject.claimed.rows
        if subject.outcome is Outcome.FAILED:
            finish.fail(rows, token, subject.words)
        elif subject.outcome is Outcome.SNOOZED:
            finish.snooze(rows, token, subject.wait_seconds, subject.words)
        elif subject.outcome is Outcome.GIVEN_BACK:
            finish.give_back(rows, token, subject.words, alone=subject.alone)
    _end_journal(batch)
    _close_dead_letters(batch, [s for s in batch.subjects if s.outcome is Outcome.SETTLED])


def _end_journal(batch: Batch) -> None:
    """Intents that were answered are applied, older ones were found out about; events have been weighed."""
    for subject in batch.subjects:
        if subject.intent and subject.written:
            Intent.objects.filter(pk=subject.intent.pk).update(
                state=IntentState.APPLIED,
                settled_at=SyncNow(),
                request_id=subject.intent.request_id,
                item_id=subject.written.id,
                answer={"state": subject.written.state},
            )
    looked = [s for s in batch.subjects if s.outcome is Outcome.SETTLED and s.item is not None]
    older = {intent.pk: s for s in looked for intent in s.intents}
    landed = [pk for pk, s in older.items() if pk in s.intents_found]
    Intent.objects.filter(pk__in=landed).update(state=IntentState.LANDED, settled_at=SyncNow())
    Intent.objects.filter(pk__in=[pk for pk in older if pk not in landed]).update(
        state=IntentState.VOID, settled_at=SyncNow()
    )
    events = [event.pk for s in batch.subjects if s.outcome is Outcome.SETTLED for event in s.events]
    outcome = f"weighed in look {batch.id}"
    WebhookEvent.objects.filter(pk__in=events, weighed_at=None).update(weighed_at=SyncNow(), outcome=outcome)


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


def _stamped(row: Decision, batch: Batch, subject: Subject) -> Decision:
    row.batch_id = batch.id
    row.request_id = subject.intent.request_id if subject.intent else ""
    return row
