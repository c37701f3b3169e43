"""What a person answered to a question of identity, carried out before the look reads anything.

Everything here is NPD's side alone: who is linked with which item. The records' looks do the rest. An answer that no
longer applies is handed back with the reason.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from uuid import UUID

import pghistory
from django.db.models import QuerySet

from sync.choices import Cause, Priority, QueueDirection
from sync.engine.causes import cause_of_rows
from sync.engine.findings import settled_identity
from sync.engine.paused import waits_for
from sync.engine.questions import DIFFERENT, LEAVE, NEW_ITEM, NEW_RECORD, SAME, TAKES
from sync.engine.reading import as_uuid
from sync.engine.same_person import CannotUnite, unite
from sync.engine.subjects import Batch, Outcome, Subject
from sync.enqueue import enqueue_item, enqueue_many
from sync.hooks import KIND_IDENTITY, RECORD, Choice, OpenConflict, desk
from sync.lease import giving_way
from sync.letting_go import remember
from sync.models import Decision, RefusedItem, SyncMetadata
from sync.pausing import paused_for_writers

AS_NEW = "as_new"
"""The key of an item's queue row under which it says that the item is to become a record of its own."""


class NoLonger(RuntimeError):
    """The answer can't be carried out any more; the message says why."""


def carry_out_answers(batch: Batch) -> None:
    """Carry out every stored answer to a question of identity; raises LeaseLost."""
    for subject in batch.subjects:
        for conflict in [c for c in subject.conflicts if c.kind == KIND_IDENTITY]:
            choice = conflict.choices.get(RECORD)
            if choice is not None and choice.value:
                giving_way(partial(_answer, batch, subject, conflict, choice))


def _answer(batch: Batch, subject: Subject, conflict: OpenConflict, choice: Choice) -> None:
    with pghistory.context(cause="sync", batch=str(batch.id)), batch.lease.held():
        try:
            done = _carry_out(batch, subject, conflict, choice)
        except (NoLonger, CannotUnite) as reason:
            entity_type = subject.record.entity_type()
            words = f"It could not be done: {reason}"
            desk().hand_back(entity_type, [subject.id], words, only=conflict.conflict_id)
            enqueue_item(
                entity_type,
                conflict.monday_item_id,
                cause=Cause.DEPENDENCY,
                priority=Priority.PERSON,
                due_in_seconds=0,
            )
            subject.conflicts = [replace(c, choices={}) if c is conflict else c for c in subject.conflicts]
            return
        if not done:
            return
        _close(subject, conflict, done)
        _wake_the_others(batch, choice)
    subject.conflicts = [c for c in subject.conflicts if c is not conflict]


def _carry_out(batch: Batch, subject: Subject, conflict: OpenConflict, choice: Choice) -> str:
    """Do what was chosen and return it as a sentence; an empty text where another module or the write does it."""
    value, item_id = str(choice.value), conflict.monday_item_id
    if (record_id := as_uuid(value)) is not None:
        return _link_item(batch, subject, record_id, item_id)
    if value.isdigit():
        return _take_item(batch, subject, value)
    if value.startswith((SAME, TAKES)):
        batch.paused = paused_for_writers(batch.board.link.entity_type)
        if waits_for(batch, subject, QueueDirection.TO_NPD):
            return ""
        return _unite(batch, subject, value)
    return _by_word(batch, subject, value, item_id)


def _by_word(batch: Batch, subject: Subject, value: str, item_id: str) -> str:
    if value == DIFFERENT:
        subject.ledger.made_from_item = False
        _ledger_of(subject).update(made_from_item=False)
        return "They are two; both stay."
    if value == NEW_RECORD:
        return _new_record(batch, item_id, str(subject.claimed.payload.get("by", "")))
    if value == LEAVE:
        why = "A person said that it has nothing to do with NPD."
        remember(batch.board.link.entity_type, item_id, None, why)
        return "The item is left alone."
    subject.as_new = subject.as_new or value == NEW_ITEM
    return ""


def _link_item(batch: Batch, subject: Subject, record_id: UUID, item_id: str) -> str:
    """The item is this record's, which may be another than the one that the question stands at."""
    records = batch.board.model._default_manager
    record = records.select_for_update(no_key=True, of=("self",)).filter(pk=record_id).first()
    if record is None:
        raise NoLonger("That record was deleted meanwhile.")
    if record.monday_id is not None:
        raise NoLonger(f"“{record}” has another item by now.")
    if not record.may_sync:
        raise NoLonger(f"Sync is off for “{record}”. Turn it on, then choose again.")
    _must_be_free(batch, item_id)
    records.filter(pk=record.pk).update(monday_id=item_id)
    _forget(batch, item_id)
    words = f"Linked “{record}” with the item {item_id}, as a person chose."
    if record.pk == subject.id:
        subject.record.monday_id = item_id
        subject.say("link", words)
        return words
    Decision.objects.create(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=item_id,
        kind="link",
        sentence=words,
        batch_id=batch.id,
        actor=str(subject.claimed.payload.get("by", "")),
        cause=cause_of_rows(subject.claimed),
    )
    enqueue_many(record.entity_type(), [record.pk], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    return words


def _unite(batch: Batch, subject: Subject, value: str) -> str:
    """The look of a record that goes ends here; the one that stays is looked at anew, with its item."""
    told = as_uuid(value.partition(":")[2])
    if told is None:
        raise NoLonger("the answer names no record.")
    made, other = (subject.id, told) if value.startswith(SAME) else (told, subject.id)
    done = unite(batch, made, other, str(subject.claimed.payload.get("by", "")))
    subject.end(Outcome.SETTLED, done)
    return done


def _take_item(batch: Batch, subject: Subject, item_id: str) -> str:
    if subject.record.monday_id is not None:
        raise NoLonger(f"“{subject.record}” has an item by now.")
    return _link_item(batch, subject, subject.id, item_id)


def _must_be_free(batch: Batch, item_id: str) -> None:
    owner = batch.board.model._default_manager.filter(monday_id=item_id).first()
    if owner is not None:
        raise NoLonger(f"The item belongs to “{owner}” by now.")


def _forget(batch: Batch, item_id: str) -> None:
    """What was remembered against the item is overruled."""
    RefusedItem.objects.filter(entity_type=batch.board.link.entity_type, item_id=item_id).delete()


def _new_record(batch: Batch, item_id: str, by: str) -> str:
    _must_be_free(batch, item_id)
    # It stays remembered: none of the records with its key is to find it by that key again.
    why = "A person said that it is none of the records with the same key."
    remember(batch.board.link.entity_type, item_id, None, why)
    enqueue_item(
        batch.board.link.entity_type,
        item_id,
        cause=Cause.PERSON,
        priority=Priority.PERSON,
        due_in_seconds=0,
        payload={AS_NEW: True, "by": by},
    )
    return "The item becomes a record of its own."


def _close(subject: Subject, conflict: OpenConflict, done: str) -> None:
    desk().record([settled_identity(subject, conflict, done)])


def _wake_the_others(batch: Batch, choice: Choice) -> None:
    """Records that waited for the same answer say so until their next look."""
    entity_type = batch.board.link.entity_type
    waiting = SyncMetadata.objects.filter(
        entity_type=entity_type, conflicts__identity__contains=[choice.seen_npd or ""]
    )
    ids = [UUID(entity_id) for entity_id in waiting.values_list("entity_id", flat=True)]
    mine = {subject.id for subject in batch.subjects if subject.outcome is Outcome.OPEN}
    others = [entity_id for entity_id in ids if entity_id not in mine]
    if others:
        enqueue_many(entity_type, others, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _ledger_of(subject: Subject) -> QuerySet[SyncMetadata]:
    return SyncMetadata.objects.filter(
        entity_type=subject.record.entity_type(), entity_id=str(subject.id), system="monday"
    )
