"""What a look tells the keeper of conflicts about a record whose item is gone, or is back."""

from __future__ import annotations

from collections.abc import Iterator

from sync.engine.gone import Gone
from sync.engine.subjects import Subject
from sync.hooks import KIND_DELETE, KIND_FIELDS, RECORD, Finding, OpenConflict

ACTIVE = "active"


def about_its_item(subject: Subject) -> Iterator[Finding]:
    """Yield what becomes of the question what is to be done, and of open questions that can't be settled meanwhile."""
    asked = next((c for c in subject.conflicts if c.kind == KIND_DELETE), None)
    gone = subject.gone
    if gone is not None and gone.asks and not subject.unlinks:
        yield _asking(subject, gone)
        yield from _postponed(subject)
    elif asked is not None and (words := _over(subject)):
        applied = {RECORD: gone.result} if gone is not None and gone.result and gone.chosen else {}
        yield Finding(
            subject.record.entity_type(),
            subject.id,
            asked.monday_item_id,
            KIND_DELETE,
            applied=applied,
            closing_note=words,
        )


def _asking(subject: Subject, gone: Gone) -> Finding:
    return Finding(
        subject.record.entity_type(),
        subject.id,
        subject.record.monday_id or "",
        KIND_DELETE,
        fields=gone.fields,
        rejected={RECORD: gone.problem} if gone.problem else {},
        data=gone.data,
    )


def _over(subject: Subject) -> str:
    """Why nobody is asked any more what becomes of the record; empty where that isn't known."""
    if subject.gone is not None and subject.gone.result:
        return subject.gone.result
    if subject.unlinks:
        return "The record was unlinked from its item."
    if not subject.record.may_sync:
        return "Sync was turned off for this record."
    read = subject.item is not None and subject.ledger.remote_state == ACTIVE
    return "The item is on the board again." if read and subject.gone is None else ""


def _postponed(subject: Subject) -> Iterator[Finding]:
    """Choices of fields can't be carried out without an item: they are handed back, their conflict stays."""
    for conflict in subject.conflicts:
        if conflict.kind == KIND_FIELDS and conflict.choices:
            yield _handing_back(subject, conflict)


def _handing_back(subject: Subject, conflict: OpenConflict) -> Finding:
    words = "The item is gone, so nothing could be written. Settle first what becomes of the record."
    return Finding(
        subject.record.entity_type(),
        subject.id,
        conflict.monday_item_id,
        KIND_FIELDS,
        undecided=conflict.fields,
        rejected=dict.fromkeys(conflict.choices, words),
    )
