"""Loops: a field that somebody on Monday, mostly an automation, rewrites after each of our writes.

It is answered a few times, then the field is held for an hour, then for two, four …, up to a day, so that it doesn't
burn the allowance. It ends when the field stays quiet for an hour or a person acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from sync.authors import monday_people, name_on_monday
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.webhooks import BadEvent, parse_event
from sync.engine.planned import Planned
from sync.engine.subjects import Batch, Outcome, Subject
from sync.enqueue import enqueue_many
from sync.models import FieldLoop, Intent, IntentState

WITHIN = timedelta(hours=1)
LONGEST = timedelta(days=1)
_TOOK_EFFECT = (IntentState.APPLIED, IntentState.LANDED)


def damp(batch: Batch) -> None:
    """Count the fields that were rewritten since our last write, and hold those for which it was too often."""
    subjects = [s for s in batch.open if s.item is not None and not s.creates]
    if not subjects or batch.read_at is None:
        return
    known = _known(batch, subjects)
    moved = {s.id for s in subjects if any(_rewritten(p) for p in s.planned.values())}
    writes = _writes(moved)
    for subject in subjects:
        for planned in subject.planned.values():
            key = (subject.id, planned.mapping.key)
            loop = known.get(key) or _new(batch, subject, planned)
            _Field(batch, subject, planned, loop, batch.read_at).judge(writes.get(key))


def _known(batch: Batch, subjects: Iterable[Subject]) -> dict[tuple[UUID, str], FieldLoop]:
    rows = FieldLoop.objects.filter(
        entity_type=batch.board.link.entity_type, entity_id__in=[subject.id for subject in subjects]
    )
    return {(row.entity_id, row.key): row for row in rows}


def _new(batch: Batch, subject: Subject, planned: Planned) -> FieldLoop:
    return FieldLoop(
        entity_type=batch.board.link.entity_type,
        entity_id=subject.id,
        key=planned.mapping.key,
        times=[],
        by="",
        damped=0,
    )


def _rewritten(planned: Planned) -> bool:
    """Whether Monday's side left its half of the base."""
    try:
        return planned.base is not None and (
            planned.convert.remote(planned.remote_raw) != planned.convert.remote(planned.base["remote"])
        )
    except UnknownValue:
        return False


def _writes(ids: Iterable[UUID]) -> dict[tuple[UUID, str], Intent]:
    """Our last write of each field within the hour."""
    wanted = list(ids)
    if not wanted:
        return {}
    rows = Intent.objects.filter(
        entity_id__in=wanted, state__in=_TOOK_EFFECT, created_at__gt=SyncNow() - WITHIN
    ).order_by("created_at")
    return {(row.entity_id, key): row for row in rows for key in row.values}


class _Field:
    """One field of one record under a look, with what is known of its rewriting."""

    def __init__(
        self, batch: Batch, subject: Subject, planned: Planned, loop: FieldLoop, now: datetime
    ) -> None:
        self.batch, self.subject, self.planned, self.loop, self.now = batch, subject, planned, loop, now

    def judge(self, write: Intent | None) -> None:
        """Count, damp, or let go."""
        stored = self.loop.pk is not None
        if stored and (self.subject.causes & Cause.PERSON or self.planned.choice or self.planned.takes_back):
            self._end("a person acted")
        elif _rewritten(self.planned) and write is not None and self._is_new(write):
            self._count(write)
        elif stored and self._is_over():
            self._end("it stayed as it was for an hour")
        until = self.loop.damped_until
        if until is not None and until > self.now and self.planned.send_raw is not None:
            self.planned.held(self._reason(until))
            self.subject.loops[self.planned.mapping.key] = self.loop

    def _is_new(self, write: Intent) -> bool:
        """Each of our writes counts once, and only while the base is what it left behind."""
        entry, base = write.values[self.planned.mapping.key], self.planned.base
        counted = {told["write"] for told in self.loop.times}
        return base is not None and base["local"] == entry["local"] and str(write.pk) not in counted

    def _count(self, write: Intent) -> None:
        self.loop.times = [
            *self._recent(),
            {"at": self.now.isoformat(), "write": str(write.pk)},
        ]
        self.loop.by = self._who() or self.loop.by
        self.subject.loops[self.planned.mapping.key] = self.loop
        if settings.LOOP_TIMES > 0 and (self.loop.damped or len(self.loop.times) >= settings.LOOP_TIMES):
            self._damp()

    def _recent(self) -> list[dict[str, str]]:
        oldest = self.now - WITHIN
        return [told for told in self.loop.times if datetime.fromisoformat(told["at"]) > oldest]

    def _damp(self) -> None:
        """Longer each time: a field that is rewritten once more after its pause is held twice as long."""
        wait = min(WITHIN * 2**self.loop.damped, LONGEST)
        self.loop.damped = min(self.loop.damped + 1, 10)
        self.loop.damped_until = self.now + wait
        self.subject.say("loop", self._reason(self.loop.damped_until), self.planned.mapping.key)

    def _reason(self, until: datetime) -> str:
        times = len(self.loop.times)
        often = f"{times} times within an hour" if times > 1 else "again"
        return (
            f"“{self.planned.mapping.label}” was rewritten {often} by {self.loop.by or 'somebody'} on the board after "
            f"our writes, so nothing is sent to it until {until:%Y-%m-%d %H:%M} UTC. Stop the automation that rewrites "
            f"it, or change the field's direction; then press “Sync now”."
        )

    def _is_over(self) -> bool:
        """Nobody rewrote it for an hour since we were last free to write."""
        newest = max((datetime.fromisoformat(told["at"]) for told in self.loop.times), default=self.now)
        free = max(newest, self.loop.damped_until or newest)
        return not _rewritten(self.planned) and self.now - free > WITHIN

    def _end(self, why: str) -> None:
        if self.loop.damped:
            words = f"{self.planned.mapping.label}: what is written there counts as no loop any more; {why}."
            self.subject.say("loop", words, self.planned.mapping.key)
        self.loop.times, self.loop.damped, self.loop.damped_until = [], 0, None
        self.subject.loops[self.planned.mapping.key] = self.loop

    def _who(self) -> str:
        column = self.planned.mapping.column_id
        for stored in reversed(self.subject.events):
            try:
                event = parse_event(stored.body)
            except BadEvent:
                continue
            if event.column_id == column and event.user_id:
                return name_on_monday(event.user_id, monday_people())
        return ""


def keep(batch: Batch, subjects: Sequence[Subject]) -> None:
    """In settle: store what was counted, forget what is over, and come back when a pause ends."""
    for subject in subjects:
        if subject.outcome is not Outcome.SETTLED:
            continue
        for loop in subject.loops.values():
            _store(loop)
            if loop.damped_until is not None and batch.read_at is not None:
                _come_back(subject, (loop.damped_until - batch.read_at).total_seconds())


def _store(loop: FieldLoop) -> None:
    which: dict[str, Any] = {"entity_type": loop.entity_type, "entity_id": loop.entity_id, "key": loop.key}
    if not loop.times and loop.damped_until is None:
        FieldLoop.objects.filter(**which).delete()
        return
    values: dict[str, Any] = {name: getattr(loop, name) for name in ("times", "by", "damped", "damped_until")}
    FieldLoop.objects.update_or_create(**which, defaults=values)


def _come_back(subject: Subject, seconds: float) -> None:
    enqueue_many(
        subject.record.entity_type(),
        [subject.id],
        cause=Cause.SWEEP,
        priority=Priority.SWEEP,
        direction=QueueDirection.TO_NPD,
        due_in_seconds=max(seconds, 0) + 1,
    )
