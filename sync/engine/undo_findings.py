"""What a look tells the keeper of conflicts about settled ones that were to be undone."""

from __future__ import annotations

from collections.abc import Iterator

from sync.engine.subjects import Outcome, Subject
from sync.engine.undoing import lost_by, reopened
from sync.hooks import KIND_OVERWRITTEN, KIND_UNDO, FieldConflict, Finding, OpenConflict

_UNMAPPED = "The field is no longer mapped to a column, so nothing was put back."


def told(subject: Subject, kind: str) -> dict[str, str]:
    """Return the wishes about conflicts of a kind that this look ended: an empty text where one was carried out."""
    found = {}
    for key in [key for one in _wishes(subject) if one.settled_kind == kind for key in one.choices]:
        reason = _reason(subject, key)
        if reason is not None:
            found[key] = reason
    return found


def _wishes(subject: Subject) -> list[OpenConflict]:
    return [one for one in subject.conflicts if one.kind == KIND_UNDO]


def _reason(subject: Subject, key: str) -> str | None:
    """Why it was not undone, an empty text where it was, None where that isn't known yet."""
    if subject.undone.get(key) == "":
        return ""
    if not subject.planned or subject.outcome is not Outcome.SETTLED:
        return None
    planned = subject.planned.get(key)
    if planned is None:
        return _UNMAPPED
    return planned.hold if planned.undo and planned.hold else subject.undone.get(key)


def overwritten_again(subject: Subject) -> list[FieldConflict]:
    """Return overwritten edits that are in conflict again, and what a choice had overruled that can't be undone."""
    return [*reopened(subject, KIND_OVERWRITTEN), *_lost(subject)]


def _lost(subject: Subject) -> list[FieldConflict]:
    ended = {
        key for one in _wishes(subject) for key, reason in told(subject, one.settled_kind).items() if reason
    }
    return [field for field in lost_by(subject) if field.key in ended]


def about_wishes(subject: Subject) -> Iterator[Finding]:
    """Yield the end of all wishes to undo; of the single ones the findings of their conflict's kind tell."""
    if _wishes(subject) and (reason := _no_more(subject)):
        who = subject.record.entity_type(), subject.id, subject.record.monday_id or ""
        yield Finding(*who, KIND_UNDO, closing_note=reason)


def _no_more(subject: Subject) -> str:
    """Why nothing of this record can be put back; an empty text where it can."""
    if not subject.record.may_sync:
        return "Sync was turned off for this record, so nothing was put back."
    if subject.gone is not None and subject.gone.asks:
        return "The item is gone, so nothing was put back. Settle first what becomes of the record."
    return ""
