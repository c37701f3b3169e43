"""What a look tells the keeper of conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from sync.engine.subjects import Subject
from sync.hooks import KIND_FIELDS, KIND_IDENTITY, FieldConflict, Finding, OpenConflict
from sync.merge import Action


def findings_of(subject: Subject) -> Iterator[Finding]:
    """Yield one finding for every kind of conflict that this look opened, keeps or ends."""
    yield from _fields(subject)
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
    return tuple(found)


def _fields(subject: Subject) -> Iterator[Finding]:
    found, unsure = waiting_for_a_person(subject), undecided(subject)
    was_open = bool(_open_fields(subject))
    if found or (was_open and (subject.planned or not subject.record.may_sync)):
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
        )


def undecided(subject: Subject) -> tuple[str, ...]:
    """Return the fields in conflict that this look could not decide: they stay as they are, with their choices."""
    decided = {conflict.key for conflict in waiting_for_a_person(subject)}
    return tuple(
        key
        for key in _open_fields(subject)
        if key not in decided and (planned := subject.planned.get(key)) and planned.hold
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
    if subject.identity:
        best = str(subject.identity["candidates"][0]["id"]) if subject.identity["candidates"] else ""
        yield Finding(kind, subject.id, best, KIND_IDENTITY, data=subject.identity)
        current: str | None = best
    else:
        current = None
    for conflict in subject.conflicts:
        if (
            conflict.kind == KIND_IDENTITY
            and conflict.monday_item_id != current
            and _answered(subject, conflict)
        ):
            yield Finding(
                kind,
                subject.id,
                conflict.monday_item_id,
                KIND_IDENTITY,
                closing_note="It is known now which item it is.",
            )


def _answered(subject: Subject, conflict: OpenConflict) -> bool:
    """Whether it is known whose the item in question is, or that this record asks for none any more."""
    if not subject.record.may_sync or conflict.monday_item_id in subject.owned_items:
        return True
    linked_now = subject.link_to is not None or subject.creates or subject.identity is not None
    return linked_now or conflict.monday_item_id == subject.record.monday_id
