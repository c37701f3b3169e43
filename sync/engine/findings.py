"""What a look tells the keeper of conflicts."""

from __future__ import annotations

from collections.abc import Iterator

from sync.engine.subjects import Outcome, Subject
from sync.hooks import KIND_FIELDS, KIND_IDENTITY, FieldConflict, Finding
from sync.merge import Action


def findings_of(subject: Subject) -> Iterator[Finding]:
    """Yield one finding for every kind of conflict that this look opened, keeps or ends."""
    yield from _fields(subject)
    yield from _identity(subject)


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
    found = waiting_for_a_person(subject)
    was_open = any(conflict.kind == KIND_FIELDS for conflict in subject.conflicts)
    looked = bool(subject.planned) or subject.outcome is Outcome.SETTLED
    if found or (was_open and looked):
        yield Finding(
            entity_type=subject.record.entity_type(),
            entity_id=subject.id,
            monday_item_id=subject.record.monday_id or "",
            kind=KIND_FIELDS,
            fields=found,
            applied=subject.applied,
            rejected=_rejected(subject),
            closing_note=_closing(subject),
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
        if conflict.kind == KIND_IDENTITY and conflict.monday_item_id != current and _answered(subject):
            yield Finding(
                kind,
                subject.id,
                conflict.monday_item_id,
                KIND_IDENTITY,
                closing_note="It is known now which item it is.",
            )


def _answered(subject: Subject) -> bool:
    """A look that found, linked or will create the record's item, or a record whose sync is off."""
    found = subject.item is not None or subject.creates or subject.identity is not None
    return found or not subject.record.may_sync
