"""What a look tells the keeper of conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sync.engine.gone_findings import about_its_item
from sync.engine.left_in_npd import stays_left
from sync.engine.overwritten import findings_of_overwritten
from sync.engine.subjects import Outcome, Subject
from sync.engine.undo_findings import about_wishes, told
from sync.engine.undoing import reopened
from sync.hooks import KIND_DELETE, KIND_FIELDS, KIND_IDENTITY, RECORD, FieldConflict, Finding, OpenConflict
from sync.merge import Action


def findings_of(subject: Subject) -> Iterator[Finding]:
    """Yield one finding for every kind of conflict that this look opened, keeps or ends."""
    yield from about_its_item(subject)
    if subject.deleted:
        others = [conflict for conflict in subject.conflicts if conflict.kind != KIND_DELETE]
        yield from findings_of_gone(subject.record.entity_type(), {subject.id: others})
        return
    yield from _fields(subject)
    yield from about_wishes(subject)
    yield from findings_of_overwritten(subject)
    yield from _identity(subject)


def findings_of_gone(entity_type: str, open_of: Mapping[UUID, list[OpenConflict]]) -> Iterator[Finding]:
    """Yield what ends every open conflict of records that were deleted in NPD."""
    for entity_id, conflicts in open_of.items():
        for conflict in conflicts:
            yield Finding(
                entity_type,
                entity_id,
                conflict.monday_item_id,
                conflict.kind,
                closing_note="The record was deleted in NPD.",
            )


def waiting_for_a_person(subject: Subject) -> tuple[FieldConflict, ...]:
    """Return the fields in conflict now; one whose choice could not be carried out yet is still among them."""
    found = []
    for key, planned in subject.planned.items():
        if planned.conflict:
            found.append(planned.conflict)
        elif planned.asked and key not in subject.applied:
            found.append(planned.asked)
    return (*found, *reopened(subject, KIND_FIELDS))


def _fields(subject: Subject) -> Iterator[Finding]:
    found, unsure = waiting_for_a_person(subject), undecided(subject)
    was_open, undone = bool(_open_fields(subject)), told(subject, KIND_FIELDS)
    if found or undone or (was_open and (subject.planned or not subject.record.may_sync)):
        yield Finding(
            entity_type=subject.record.entity_type(),
            entity_id=subject.id,
            monday_item_id=subject.record.monday_id or "",
            kind=KIND_FIELDS,
            fields=found,
            undecided=unsure,
            applied=subject.applied,
            rejected=_rejected(subject),
            closing_note=_closing(subject),
            inverse=subject.inverse,
            undone=undone,
        )


def undecided(subject: Subject) -> tuple[str, ...]:
    """Return the fields in conflict that this look could not decide: they stay as they are, with their choices."""
    decided = {conflict.key for conflict in waiting_for_a_person(subject)}
    return tuple(
        key
        for key in _open_fields(subject)
        if key not in decided and (planned := subject.planned.get(key)) and planned.hold
        if not stays_left(subject, planned)
    )


def _rejected(subject: Subject) -> dict[str, str]:
    """Choices handed back: the values moved on, or the chosen one can't be written."""
    unwritable = {key: p.hold for key, p in subject.planned.items() if p.asked and p.hold}
    return {key: reason for key, reason in (subject.rejected | unwritable).items() if key in subject.planned}


def _closing(subject: Subject) -> str:
    if not subject.record.may_sync:
        return "Sync was turned off for this record."
    moved = (Action.PUSH, Action.PULL)
    known = [
        p.decision.reason
        for key in _open_fields(subject)
        if (p := subject.planned.get(key)) and p.decision.action in moved
    ]
    return f"It was settled: {'; '.join(dict.fromkeys(known))}." if known else "Both sides say the same now."


def _open_fields(subject: Subject) -> list[str]:
    return [key for conflict in subject.conflicts if conflict.kind == KIND_FIELDS for key in conflict.fields]


def _identity(subject: Subject) -> Iterator[Finding]:
    kind = subject.record.entity_type()
    asked = set()
    for item_id, question in _questions(subject):
        asked.add(item_id)
        yield Finding(kind, subject.id, item_id, KIND_IDENTITY, data=question)
    for conflict in subject.conflicts:
        answer_waits = subject.outcome is Outcome.PAUSED and RECORD in conflict.choices
        if conflict.kind != KIND_IDENTITY or conflict.monday_item_id in asked or answer_waits:
            continue
        if done := subject.answered_identity.get(conflict.monday_item_id):
            yield settled_identity(subject, conflict, done)
        elif subject.as_new and RECORD in conflict.choices:
            yield from _own_item_made(subject, conflict)
        elif _answered(subject, conflict):
            yield Finding(
                kind,
                subject.id,
                conflict.monday_item_id,
                KIND_IDENTITY,
                closing_note="It is known now which item it is.",
            )


def _questions(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is asked in this look: which item is the record's, or whether another record is the same person."""
    if subject.identity:
        yield (
            str(subject.identity["candidates"][0]["id"]) if subject.identity["candidates"] else "",
            subject.identity,
        )
    if subject.twin:
        yield subject.record.monday_id or "", subject.twin


def _own_item_made(subject: Subject, conflict: OpenConflict) -> Iterator[Finding]:
    """The answer “none of them” is carried out once the record has an item of its own, by whatever look."""
    found = bool(subject.record.monday_id) and subject.item is not None and subject.outcome is Outcome.SETTLED
    if subject.link_to is not None or found:
        yield settled_identity(subject, conflict, "None of them: a new item was made.")


def settled_identity(subject: Subject, conflict: OpenConflict, done: str) -> Finding:
    """Return what tells the desk that an answer to “who is this?” was carried out."""
    return Finding(
        subject.record.entity_type(),
        subject.id,
        conflict.monday_item_id,
        KIND_IDENTITY,
        applied={RECORD: done},
        closing_note=done,
    )


def _answered(subject: Subject, conflict: OpenConflict) -> bool:
    """Whether it is known whose the item in question is, or that this record asks for none any more."""
    if not subject.record.may_sync or conflict.monday_item_id in subject.owned_items:
        return True
    linked_now = subject.link_to is not None or subject.creates or subject.identity is not None
    looked = subject.item is not None and subject.outcome is Outcome.SETTLED
    mine = conflict.monday_item_id == subject.record.monday_id
    return linked_now or (looked and bool(subject.record.monday_id) and (mine or conflict.seeks_item))
