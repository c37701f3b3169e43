"""Settle: what a look did becomes NPD's truth, by compare-and-set, in one transaction under the lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pghistory
import structlog
from django.db import DatabaseError, OperationalError, connection, transaction

from sync.choices import Cause, Priority, QueueDirection
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.items import Item
from sync.engine import ledgers as ledgers_of
from sync.engine import status
from sync.engine.apart import remember_apart
from sync.engine.causes import stamped
from sync.engine.clearing import end_acts
from sync.engine.ending import end_rows
from sync.engine.findings import findings_of
from sync.engine.gone_acts import carry_out, end_deleted, tell_unlinked
from sync.engine.loops import keep as keep_loops
from sync.engine.overwritten import keep as keep_lost
from sync.engine.paused import not_stopped, takes_over
from sync.engine.planning import new_base
from sync.engine.raws import raws_of_pull, raws_of_push
from sync.engine.related import ACTIVE
from sync.engine.relations import keep_awaited, wake_pointing
from sync.engine.subjects import Batch, Outcome, Planned, Subject
from sync.engine.tally import count_look
from sync.engine.undoing import inverse_of, put_base_back
from sync.engine.unlinking import let_go
from sync.engine.values import still_holds, to_store
from sync.enqueue import enqueue_many
from sync.graveyard import learned_item, wake_graves
from sync.hooks import desk
from sync.lease import giving_way
from sync.merge import Action
from sync.models import Decision, SyncedModel, SyncMetadata

log = structlog.get_logger(__name__)

SECONDS_TO_LOOK_AGAIN = 10
_UNTOLD = object()


def settle(batch: Batch, started: float) -> None:
    """Settle every subject and end its rows; raises LeaseLost when another worker has the board."""
    if not batch.subjects:
        return
    before = [subject.snapshot() for subject in batch.subjects]

    def attempt() -> None:
        for subject, state in zip(batch.subjects, before, strict=True):
            subject.restore(state)
        with pghistory.context(cause="sync", batch=str(batch.id)), batch.lease.held():
            _settle_all(batch, started)

    giving_way(attempt)


def _settle_all(batch: Batch, started: float) -> None:
    ids = sorted(subject.id for subject in batch.subjects)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [",".join(str(i) for i in ids)])
        # A related record that was deleted meanwhile is this record's failure, and not the commit's.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    model = batch.board.model
    locked = {
        r.pk: r
        for r in model._default_manager.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
    }
    ledgers = ledgers_of.locked(batch, ids)
    not_stopped(batch, [s for s in batch.subjects if takes_over(s)], QueueDirection.TO_NPD)
    present = [s for s in batch.subjects if s.id in locked]
    _tell_tombstones(batch, [s for s in batch.subjects if s.id not in locked])
    for subject in present:
        _settle_one(batch, subject, locked[subject.id])
    end_acts(batch, present)
    keep_lost(batch, present)
    keep_loops(batch, present)
    desk().record([finding for subject in present for finding in findings_of(subject)])
    there = [s for s in present if not s.deleted]
    end_deleted(batch, [s for s in present if s.deleted])
    back = [s.id for s in there if _came_back(s, ledgers[str(s.id)])]
    ledgers_of.store(batch, there, ledgers, started)
    keep_awaited(batch, there)
    wake_pointing(batch, back)
    if linked := [s.link_to for s in there if s.link_to]:
        wake_graves(batch.board.link.entity_type, linked)
    end_rows(batch)
    Decision.objects.bulk_create(stamped(batch, present))
    status.decide(batch, there)
    count_look(batch)


def _came_back(subject: Subject, stored: SyncMetadata) -> bool:
    """Whether the item was gone at the last look and is there again."""
    return subject.ledger.remote_state == ACTIVE and stored.remote_state not in ("", ACTIVE)


def _tell_tombstones(batch: Batch, deleted: Sequence[Subject]) -> None:
    """Of a record that was deleted while its item was made, the tombstone learns the item."""
    for subject in deleted:
        if subject.written is not None:
            learned_item(batch.board.link.entity_type, subject.id, subject.written.id)


def _settle_one(batch: Batch, subject: Subject, record: SyncedModel) -> None:
    """Write one record, in a savepoint of its own: what NPD refuses here is this record's failure alone."""
    before = subject.snapshot()
    if _settings(record) != _settings(subject.record):
        subject.drop(Outcome.GIVEN_BACK, "Its settings changed while it was looked at.")
        return
    try:
        _write_record(subject, record)
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


def _write_record(subject: Subject, record: SyncedModel) -> None:
    values: dict[str, Any] = {}
    for planned in subject.planned.values():
        values |= _settle_field(subject, planned, record)
    values |= let_go(subject) | carry_out(subject, record)
    tell_unlinked(subject)
    remember_apart(subject)
    if subject.link_to and record.monday_id != subject.link_to:
        values["monday_id"] = subject.link_to
    if values:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**values)
        for name, value in values.items():
            setattr(record, name, value)
    subject.record = record


def _settle_field(subject: Subject, planned: Planned, record: SyncedModel) -> dict[str, Any]:
    """Move one field and its base; return what to write to the record."""
    item = planned.answered or subject.written or subject.item
    if item is None or planned.hold or planned.conflict or not planned.mapping.column_id:
        return _settle_unmoved(subject, planned)
    action = planned.decision.action
    sent = planned.send_raw is not None and subject.written is not None
    if planned.undo is not None:
        return _put_back(subject, planned, record, item, sent=sent)
    if action is Action.PUSH and sent:
        return _pushed(subject, planned, item)
    if action is Action.BOTH and not sent:
        return {}
    if action in (Action.PULL, Action.BOTH) and planned.write_raw is not None:
        return _pulled(subject, planned, record, item, sent=sent)
    if action is Action.AGREED:
        _agreed(subject, planned, item)
    elif action is Action.NOTHING and planned.base is not None:
        subject.ledger.base[planned.mapping.key] = planned.base
        if planned.landed is not None:
            _note_choice(subject, planned, planned.shown(planned.local_raw))
    return {}


def _put_back(
    subject: Subject, planned: Planned, record: SyncedModel, item: Item, *, sent: bool
) -> dict[str, Any]:
    """Undo how the field was settled, only where both sides still are as they were when that was planned."""
    if planned.send_raw is not None and not sent:
        return {}
    if planned.send_raw is not None and _answer(planned, item) is _UNTOLD:
        return _not_told(subject)
    if planned.write_raw is not None and not still_holds(record, planned.local_raw):
        enqueue_many(record.entity_type(), [record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)
        return {}
    put_base_back(subject, planned)
    return to_store(type(record), planned.write_raw) if planned.write_raw is not None else {}


def _settle_unmoved(subject: Subject, planned: Planned) -> dict[str, Any]:
    """A held field or one in conflict keeps its base, as the intents left it."""
    if planned.base is not None and subject.item is not None:
        subject.ledger.base[planned.mapping.key] = planned.base
    return {}


def _pushed(subject: Subject, planned: Planned, item: Any) -> dict[str, Any]:
    convert = planned.convert
    answered = _answer(planned, item)
    if answered is _UNTOLD:
        return _not_told(subject)
    _move_base(subject, planned, item.id, planned.send_raw, answered)
    sent, stands = convert.local(planned.send_raw or {}), convert.remote(answered)
    before = convert.display(convert.remote(planned.remote_raw)) if planned.remote_raw is not None else ""
    _log_move(subject, planned, ("push", "sent to Monday"), before, convert.display(sent))
    if sent != stands:
        subject.ledger.altered[planned.mapping.key] = {
            "reason": f"Monday made “{convert.display(stands)}” of “{convert.display(sent)}”. Change it on either side."
        }
    _note_choice(subject, planned, convert.display(sent))
    return {}


def _pulled(
    subject: Subject, planned: Planned, record: SyncedModel, item: Any, *, sent: bool
) -> dict[str, Any]:
    """Write a value only where the record still holds the one that the merge saw; else a row waits."""
    if not still_holds(record, planned.local_raw):
        enqueue_many(record.entity_type(), [record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)
        return {}
    assert planned.write_raw is not None
    answered = _answer(planned, item) if sent else planned.remote_raw
    if answered is _UNTOLD:
        return _not_told(subject)
    _move_base(subject, planned, item.id, planned.write_raw, answered)
    before, after = planned.shown(planned.local_raw), planned.shown(planned.write_raw)
    how = "written on both sides" if sent else "taken over from Monday"
    _log_move(subject, planned, ("pull", how), before, after)
    _note_choice(subject, planned, after)
    return to_store(type(record), planned.write_raw)


def _agreed(subject: Subject, planned: Planned, item: Item) -> None:
    """Both sides say the same; of a new item's empty fields the answer tells whether Monday left them so."""
    remote_raw = planned.remote_raw
    if subject.creates:
        remote_raw = _answer(planned, item)
        if remote_raw is _UNTOLD:
            _not_told(subject)
            return
        if planned.convert.remote(remote_raw) != planned.convert.local(planned.local_raw):
            _look_once_more(subject, "Monday filled in something of its own.")
            return
    _move_base(subject, planned, item.id, planned.local_raw, remote_raw)


def _answer(planned: Planned, item: Item) -> Any:
    """The raw value that Monday's answer shows, or _UNTOLD where it doesn't."""
    try:
        raw = planned.convert.raw_of(item.reading(planned.mapping.column_id))
        planned.convert.remote(raw)
    except UnknownValue:
        return _UNTOLD
    return raw


def _not_told(subject: Subject) -> dict[str, Any]:
    """The answer doesn't show the value: base and intent stay, and the next look finds out what stands there."""
    subject.unsure = True
    _look_once_more(subject, "Monday's answer didn't show what was written.")
    return {}


def _look_once_more(subject: Subject, words: str) -> None:
    if subject.outcome is Outcome.SETTLED:
        subject.wait_seconds = SECONDS_TO_LOOK_AGAIN
        subject.end(Outcome.SNOOZED, words)


def _log_move(subject: Subject, planned: Planned, way: tuple[str, str], before: str, after: str) -> None:
    """One line in the record's log; what a person chose stands in the log of its conflict already."""
    if planned.choice:
        return
    kind, how = way
    was = f" (was “{before}”)" if before else ""
    subject.say(
        kind,
        f"{planned.mapping.label} “{after}”{was} {how}: {planned.decision.reason}.",
        planned.mapping.key,
        before=before,
        after=after,
        overridden=planned.decision.overrides,
        **(raws_of_pull(planned) if kind == "pull" else raws_of_push(planned)),
    )


def _note_choice(subject: Subject, planned: Planned, result: str) -> None:
    if planned.choice:
        applied = subject.applied if planned.takes_back is None else subject.lost_applied
        applied[planned.mapping.key] = result or None
        subject.inverse[planned.mapping.key] = inverse_of(subject, planned)


def _move_base(subject: Subject, planned: Planned, item_id: str, local_raw: Any, remote_raw: Any) -> None:
    key = planned.mapping.key
    subject.ledger.base[key] = new_base(planned.mapping, item_id, local_raw, remote_raw)
    subject.ledger.altered.pop(key, None)
