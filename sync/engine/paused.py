"""Paused directions in a look: what would be written that way waits, the rest flows.

A field that can't go its way is held with the reason, its base unmoved; what can't be done by halves (an item to be
made, a record to be deleted or unlinked, a person's answer) leaves the whole record as it is. Either way a row of the
paused direction waits, which no claim takes before it is resumed: so nothing has to be remembered elsewhere, and
nothing is lost. A person's choice stays stored meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sync.choices import Cause, Priority, QueueDirection
from sync.engine.gone import Act
from sync.engine.planned import Planned
from sync.engine.subjects import Batch, Outcome, Subject
from sync.enqueue import enqueue_many
from sync.hooks import KIND_DELETE
from sync.pausing import paused_for_writers, words

BOTH = (QueueDirection.TO_MONDAY, QueueDirection.TO_NPD)
_NEEDS = {Act.CREATE: (QueueDirection.TO_MONDAY,), Act.DELETE: (QueueDirection.TO_NPD,), Act.UNLINK: BOTH}
_WEIGHTLESS = Cause.WEBHOOK | Cause.SWEEP | Cause.FAILURE


def hold_paused(batch: Batch) -> None:
    """Hold what the plans would write in a paused direction."""
    if not batch.paused:
        return
    for subject in batch.open:
        if subject.unlinks and waits_for(batch, subject, *BOTH):
            subject.unlinks = subject.unlinks_for = ""
        elif subject.creates:
            waits_for(batch, subject, QueueDirection.TO_MONDAY)
        else:
            _hold_fields(batch, subject)


def hold_gone(batch: Batch, subjects: Iterable[Subject]) -> None:
    """Leave undone what becomes of records whose items are gone; a choice that led to it stays with its conflict."""
    for subject in subjects:
        gone = subject.gone
        if gone is None or not gone.act or not waits_for(batch, subject, *_NEEDS[gone.act]):
            continue
        asked = any(conflict.kind == KIND_DELETE for conflict in subject.conflicts)
        subject.gone = replace(gone, act=Act.NOTHING, options=gone.options if asked else ())
        subject.unlinks = subject.unlinks_for = ""


def waits_for(batch: Batch, subject: Subject, *directions: QueueDirection) -> bool:
    """Leave the subject as it is where one of these directions is paused; return whether it is."""
    stopped = [direction for direction in directions if direction in batch.paused]
    if not stopped:
        return False
    subject.waits |= set(stopped)
    why = words(batch.paused[stopped[0]], stopped[0])
    subject.end(Outcome.PAUSED, why, note=why)
    return True


def _hold_fields(batch: Batch, subject: Subject) -> None:
    for planned in subject.planned.values():
        for direction in _ways(planned):
            if direction in batch.paused:
                _hold(planned, words(batch.paused[direction], direction))
                subject.waits.add(direction)
    if subject.write_npd_id and QueueDirection.TO_MONDAY in batch.paused:
        subject.write_npd_id = False
        subject.waits.add(QueueDirection.TO_MONDAY)


def _ways(planned: Planned) -> list[QueueDirection]:
    """Where the field would be written."""
    up, down = planned.send_raw is not None, planned.write_raw is not None
    return [direction for direction, goes in zip(BOTH, (up, down), strict=True) if goes]


def _hold(planned: Planned, why: str) -> None:
    """Neither applied nor handed back: what a person chose for the field is planned again by a later look."""
    planned.held(why)
    planned.choice, planned.asked, planned.takes_back, planned.undo = "", None, None, None


def leave_waiting(entity_type: str, subjects: Sequence[Subject]) -> None:
    """In settle: put a row into each direction in which something was left to be done, with what its own rows said."""
    for subject in subjects:
        for direction in sorted(subject.waits):
            enqueue_many(
                entity_type, [subject.id], direction=QueueDirection(direction), **_as_claimed(subject)
            )


def _as_claimed(subject: Subject) -> dict[str, Any]:
    """As urgent as the look was, and never of webhooks or sweeps alone: it is known that something is to be done."""
    urgent = min((row.priority for row in subject.claimed.rows), default=Priority.SWEEP)
    return {
        "cause": (subject.causes & ~_WEIGHTLESS) | Cause.DEPENDENCY,
        "priority": Priority(urgent),
        "payload": subject.claimed.payload,
    }


def not_stopped(batch: Batch, subjects: Sequence[Subject], direction: QueueDirection) -> list[Subject]:
    """Return the subjects where this direction wasn't paused since the look began; else give them all back.

    In a transaction under the lease, right before something is written that way: `pause` waits for its end.
    """
    if not subjects:
        return []
    found = paused_for_writers(batch.board.link.entity_type).get(direction)
    if found is None:
        return list(subjects)
    for subject in subjects:
        subject.drop(Outcome.GIVEN_BACK, words(found, direction))
    return []


def takes_over(subject: Subject) -> bool:
    """Whether settling would write more of the record than its bookkeeping."""
    pulls = any(planned.write_raw is not None for planned in subject.planned.values())
    acts = subject.gone is not None and subject.gone.act in (Act.DELETE, Act.UNLINK)
    return subject.outcome is Outcome.SETTLED and bool(pulls or acts or subject.unlinks)
