"""How a look at deleted records ends: tombstones, questions, log, intents and queue rows, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pghistory

from sync import finish
from sync.choices import QueueDirection, RecordGone, TombstoneState
from sync.clock import SyncNow
from sync.connectors.monday.items import Item
from sync.engine.asking import ask
from sync.engine.causes import stamped
from sync.engine.ending import intents_applied
from sync.engine.graves import Grave, question_of, without_stone
from sync.engine.paused import leave_waiting, not_stopped
from sync.engine.subjects import Batch, Outcome
from sync.graveyard import NEW_ITEM, OPEN, CannotBringBack, bring_back
from sync.hooks import KIND_DELETE, RECORD, Finding, desk
from sync.lease import giving_way
from sync.letting_go import remember
from sync.models import Decision, Intent, IntentState, SyncMetadata, Tombstone


def lets_rest(grave: Grave, state: TombstoneState, item: Item) -> None:
    """The item has left the board by our call."""
    was = "archived" if state == TombstoneState.ARCHIVED else "deleted"
    where = "the board's archive" if was == "archived" else "Monday's recycle bin, for 30 days"
    note = (
        f"Deleted in NPD, so its item “{item.name}” was {was} on Monday. People can restore it from {where}."
    )
    grave.applied = note if grave.choice else ""
    grave.rest(state, note, kind=was)


def was_let_go(grave: Grave, item: Item) -> None:
    """The item's NPD ID was cleared: it is no record's any more."""
    note = (
        f"Deleted in NPD. Its item “{item.name}” stays on the board and was let go: it makes no new record."
    )
    grave.applied = note if grave.choice else ""
    grave.rest(TombstoneState.UNLINKED, note, kind="unlinked")


def bury(batch: Batch) -> None:
    """Store what became of the look's deleted records and end their rows; raises LeaseLost."""
    if not batch.gone:
        return
    before = [
        (grave.subject.snapshot(), grave.becomes, grave.question, grave.applied) for grave in batch.graves
    ]

    def attempt() -> None:
        for grave, (state, becomes, question, applied) in zip(batch.graves, before, strict=True):
            grave.subject.restore(state)
            grave.becomes, grave.question, grave.applied = becomes, question, applied
        with pghistory.context(cause="sync", batch=str(batch.id)), batch.lease.held():
            _bury_all(batch)

    giving_way(attempt)


def _bury_all(batch: Batch) -> None:
    ids = [grave.stone.pk for grave in batch.graves]
    stones = {s.pk: s for s in Tombstone.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    for grave in batch.graves:
        stone = stones.get(grave.stone.pk)
        if stone is None or stone.state == TombstoneState.RESTORED:
            grave.becomes = grave.question = None
            continue
        if grave.brings_back and not_stopped(batch, [grave.subject], QueueDirection.TO_NPD):
            _bring_back(batch, grave, stone)
        _store(batch, grave, stone)
    desk().record([finding for grave in batch.graves for finding in _findings(grave)])
    Decision.objects.bulk_create(stamped(batch, [grave.subject for grave in batch.graves]))
    _end_intents(batch)
    for grave in batch.graves:
        _end_rows(batch, grave)
    for claimed in without_stone(batch):
        finish.complete(claimed.rows, batch.lease.token, "There is no such record, and none is remembered.")


def _bring_back(batch: Batch, grave: Grave, stone: Tombstone) -> None:
    item = grave.subject.item
    words = "Brought back with what was edited on Monday, as a person chose."
    there = item is not None and item.state == "active"
    if not there:
        words = (
            "Brought back as a person chose, as it was when it was deleted: its item has left the board meanwhile, so "
            "it gets a new one. What was edited there stands in the conflict."
        )
    try:
        bring_back(stone, item_id=item.id if item and there else NEW_ITEM, sentence=words)
    except CannotBringBack as refused:
        grave.rejected = str(refused)
        ask(grave, RecordGone(batch.board.link.record_gone))
        return
    grave.applied, grave.becomes, grave.note = words, TombstoneState.RESTORED, words
    grave.subject.say("restored", words)


def _store(batch: Batch, grave: Grave, stone: Tombstone) -> None:
    if grave.becomes is not None:
        stone.state = grave.becomes
        stone.settled_at = None if grave.becomes in OPEN else SyncNow()
    if grave.note:
        stone.note = grave.note
    stone.save(update_fields=["state", "settled_at", "note"])
    if grave.becomes == TombstoneState.UNLINKED and stone.monday_id:
        why = f"Its record “{grave.name}” was deleted in NPD, and the item was let go."
        remember(stone.entity_type, stone.monday_id, stone.entity_id, why)
    _store_ledger(grave)


def _store_ledger(grave: Grave) -> None:
    """The ledger keeps the base as long as the tombstone stands; of the rest it says what is asked."""
    asked = {"delete": [edit.key for edit in grave.edited] or [RECORD]} if grave.question else {}
    ledger = grave.subject.ledger
    key = {
        "entity_type": grave.stone.entity_type,
        "entity_id": str(grave.stone.entity_id),
        "system": "monday",
    }
    if grave.becomes == TombstoneState.RESTORED or (
        ledger.pk is None and not asked and not ledger.gone_since
    ):
        return
    told = {"conflicts": asked, "note": grave.note, "gone_since": ledger.gone_since}
    SyncMetadata.objects.update_or_create(
        **key,
        defaults={**told, "remote_state": ledger.remote_state if asked else ""},
        create_defaults={**key, **told, "remote_state": ledger.remote_state},
    )


def _findings(grave: Grave) -> Iterator[Finding]:
    if grave.question is not None:
        yield grave.question
    if grave.subject.outcome is not Outcome.SETTLED:
        return
    stone = grave.stone
    asked = question_of(grave)
    if grave.question is None and asked is not None:
        done = {RECORD: grave.applied} if grave.applied else {}
        yield Finding(
            stone.entity_type,
            stone.entity_id,
            asked.monday_item_id,
            KIND_DELETE,
            applied=done,
            closing_note=grave.note,
        )
    for conflict in grave.subject.conflicts:
        if conflict.kind != KIND_DELETE:
            yield Finding(
                stone.entity_type,
                stone.entity_id,
                conflict.monday_item_id,
                conflict.kind,
                closing_note="The record was deleted in NPD.",
            )


def _end_intents(batch: Batch) -> None:
    subjects = [grave.subject for grave in batch.graves]
    intents_applied([(s.intent, s.item_id) for s in subjects if s.intent and s.written])
    settled = [s for s in subjects if s.outcome is Outcome.SETTLED]
    older = {intent.pk: s for s in settled for intent in s.intents}
    landed = [pk for pk, s in older.items() if pk in s.intents_found]
    ended = Intent.objects.filter(pk__in=older)
    ended.filter(pk__in=landed).update(state=IntentState.LANDED, settled_at=SyncNow())
    ended.exclude(pk__in=landed).update(state=IntentState.VOID, settled_at=SyncNow())


def _end_rows(batch: Batch, grave: Grave) -> None:
    subject, token = grave.subject, batch.lease.token
    rows = subject.claimed.rows
    if subject.outcome is Outcome.FAILED:
        if finish.fail(rows, token, subject.words):
            words = f"Your choice could not be carried out: {subject.words}"
            desk().hand_back(grave.stone.entity_type, [grave.stone.entity_id], words)
    elif subject.outcome is Outcome.SNOOZED:
        finish.snooze(rows, token, subject.wait_seconds, subject.words)
    elif subject.outcome is Outcome.GIVEN_BACK:
        finish.give_back(rows, token, subject.words, alone=subject.alone)
    else:
        finish.complete(rows, token, grave.note)
    leave_waiting(grave.stone.entity_type, [subject])
