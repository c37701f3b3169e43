"""What a person chose about a value that a write of ours went over: it is taken back to both sides, or stays lost."""

from __future__ import annotations

from dataclasses import replace

from sync.engine.planned import Planned
from sync.engine.related import NotFound
from sync.engine.subjects import Batch, Subject
from sync.engine.typing_in import typed
from sync.hooks import KIND_OVERWRITTEN, Choice
from sync.merge import Field, Picked, Way

STALE = "What stands there changed after you chose. Look at it again and choose anew."


def with_choice(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Field:
    """Carry out what a person chose about a lost value of this field, where what they saw still stands."""
    choice = choice_of_lost(subject, field.key)
    if choice is None:
        return field
    if choice.choose == "npd":
        return _keep(subject, planned, field, choice)
    if choice.choose not in ("monday", "custom"):
        return _refused(subject, field, "There is no last agreed value to go back to.")
    if field.way is not Way.BOTH:
        return _refused(subject, field, "The field flows one way only; change its direction first.")
    return _write_anew(batch, subject, planned, field, choice)


def _keep(subject: Subject, planned: Planned, field: Field, choice: Choice) -> Field:
    stands = choice.seen_npd or None
    if _shown(planned, field) != {stands}:
        return _stale(subject, planned, field)
    subject.lost_applied[field.key] = stands
    return field


def _write_anew(batch: Batch, subject: Subject, planned: Planned, field: Field, choice: Choice) -> Field:
    text = (choice.seen_monday if choice.choose == "monday" else choice.value) or ""
    try:
        raw = typed(planned.convert, subject.record, planned.mapping.fields, text, batch.related)
        value = planned.convert.local(raw)
    except (ValueError, NotFound) as wrong:
        return _refused(subject, field, str(wrong))
    # Half of it may stand already, where the call's answer was lost.
    if not _shown(planned, field) <= {choice.seen_npd or None, planned.convert.display(value) or None}:
        return _stale(subject, planned, field)
    planned.takes_back = text
    return replace(field, picked=Picked("custom", value, anew=True))


def _shown(planned: Planned, field: Field) -> set[str | None]:
    return {planned.convert.display(value) or None for value in (field.local, field.remote)}


def choice_of_lost(subject: Subject, key: str) -> Choice | None:
    """Return what a person chose about a field's lost value, if anybody did."""
    return next(
        (c.choices[key] for c in subject.conflicts if c.kind == KIND_OVERWRITTEN and key in c.choices), None
    )


def _stale(subject: Subject, planned: Planned, field: Field) -> Field:
    subject.lost_shown[field.key] = planned.convert.display(field.local) or None
    return _refused(subject, field, STALE)


def _refused(subject: Subject, field: Field, reason: str) -> Field:
    subject.lost_rejected[field.key] = reason
    return field
