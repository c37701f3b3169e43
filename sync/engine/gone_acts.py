"""What settling does with a record whose item is gone: let it make a new item, or delete it in NPD.

Letting go of the item (engine/unlinking.py) goes its own way; here it is only told that it was done.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, OperationalError, transaction
from django.db.models import ProtectedError, RestrictedError

from sync.choices import Cause, Priority, TombstoneState
from sync.clock import SyncNow
from sync.engine.gone import Act, Gone
from sync.engine.gone_words import needs
from sync.engine.subjects import Batch, Outcome, Subject
from sync.enqueue import enqueue_many
from sync.models import AwaitedRelation, Intent, IntentState, SyncedModel, Tombstone
from sync.models.synced import BOOKKEEPING


def carry_out(subject: Subject, record: SyncedModel) -> dict[str, Any]:
    """Do what was decided, under the record's lock; return what else is to be written to it."""
    gone = subject.gone
    if gone is None or not gone.act or subject.outcome is not Outcome.SETTLED:
        return {}
    if record.monday_id != subject.record.monday_id or (gone.act is Act.DELETE and _edited(subject, record)):
        subject.gone = None
        subject.drop(Outcome.GIVEN_BACK, "It changed while it was looked at.")
        return {}
    if gone.act is Act.CREATE:
        return _make_again(subject, gone)
    if gone.act is Act.DELETE:
        _delete(subject, gone, record)
    return {}


def tell_unlinked(subject: Subject) -> None:
    """The record has let go of its gone item: the question is answered."""
    gone = subject.gone
    if gone is not None and subject.unlinks and subject.outcome is Outcome.SETTLED:
        subject.gone = replace(
            gone, result="The record stays in NPD; its sync is off, and its item was let go."
        )
        _forget(subject)


def end_deleted(batch: Batch, deleted: list[Subject]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    entity_type, ids = batch.board.link.entity_type, [subject.id for subject in deleted]
    for subject in deleted:
        assert subject.gone is not None
        Tombstone.objects.filter(entity_type=entity_type, entity_id=subject.id).update(
            state=TombstoneState.GONE, note=subject.gone.result, settled_at=SyncNow()
        )
    AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for subject in deleted for intent in subject.intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())


def _make_again(subject: Subject, gone: Gone) -> dict[str, Any]:
    """Unlink, and look again at once: a record without an item is looked up on the board, and made there if need be.

    The old base stays in the ledger; it belongs to the old item, and holds again should that one be linked again.
    """
    result = "The record is kept, and its item is made again from what NPD says now."
    subject.say(
        "unlinked", f"{gone.what} {result}", actor="" if gone.chosen else gone.by, again=not gone.chosen
    )
    subject.gone = replace(gone, result=result)
    _forget(subject)
    subject.note = "Its item is made again at the next look."
    cause, priority = (Cause.PERSON, Priority.PERSON) if gone.chosen else (Cause.DEPENDENCY, Priority.EDIT)
    enqueue_many(subject.record.entity_type(), [subject.id], cause=cause, priority=priority)
    return {"monday_id": None}


def _forget(subject: Subject) -> None:
    subject.ledger.remote_state = ""
    subject.ledger.gone_since, subject.ledger.gone_looks = None, 0


def _delete(subject: Subject, gone: Gone, record: SyncedModel) -> None:
    if needed := needs(record)[0]:
        return _refused(subject, gone, needed)
    try:
        with transaction.atomic():
            copy(record).delete()
    except OperationalError:
        raise
    except (ProtectedError, RestrictedError, DatabaseError) as refused:
        return _refused(subject, gone, f"NPD's database refused it: {str(refused).splitlines()[0]}")
    result = f"{gone.what} So it was deleted in NPD too, {gone.by}."
    subject.say("delete", result)
    subject.gone = replace(gone, result=result)
    return None


def _refused(subject: Subject, gone: Gone, why: str) -> None:
    """It can't be deleted: a person is asked, and of a choice told why it can't be carried out."""
    options = tuple(option for option in gone.options if option.choose != "monday")
    subject.gone = replace(gone, act=Act.NOTHING, options=options, problem=why if gone.chosen else "")
    subject.note = f"{gone.what} It can't be deleted in NPD: {why}"


def _edited(subject: Subject, record: SyncedModel) -> bool:
    """Whether anything of the record, mapped or not, differs from what the look read."""
    names = [f.attname for f in record._meta.concrete_fields if f.attname not in BOOKKEEPING]
    return any(getattr(record, name) != getattr(subject.record, name) for name in names)
