"""Fields that something on the board rewrites again and again are slowed down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from sync import connectors
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import SyncNow
from sync.connectors.base.events import InvalidEvent
from sync.models import FieldLoop, Intent, IntentState
from sync.reconcile.batch import Batch, FieldPlan, Outcome, RecordSync
from sync.reconcile.field_plan import sides_of
from sync.records.authors import monday_editor_name, monday_users

LOOP_WINDOW = timedelta(hours=1)
MAX_THROTTLE = timedelta(days=1)
_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def throttle_write_loops(batch: Batch) -> None:
    """Count the fields that were rewritten since our last write, and block those for which it was too often."""
    record_syncs = [s for s in batch.open_records if s.item is not None and not s.creates]
    if not record_syncs or batch.read_at is None:
        return
    rows = FieldLoop.objects.filter(entity_type=batch.entity_type, entity_id__in=[s.id for s in record_syncs])
    known_loops = {(row.entity_id, row.key): row for row in rows}
    writes = _last_writes({s.id for s in record_syncs if any(_is_rewritten(p) for p in s.field_plans.values())})
    for record_sync in record_syncs:
        for key, field_plan in list(record_sync.field_plans.items()):
            loop, write = known_loops.get((record_sync.id, key)), writes.get((record_sync.id, key))
            if loop is None and write is None:
                continue  # nearly all fields: a look at unchanged records must not build anything for them
            if loop is None:
                names = {"entity_type": batch.entity_type, "entity_id": record_sync.id, "key": key}
                loop = FieldLoop(**names, times=[], by="", damped=0)
            _LoopCheck(record_sync, field_plan, loop, batch.read_at).check(write)


def _is_rewritten(field_plan: FieldPlan) -> bool:
    """Whether Monday's side left its half of the base."""
    sides = sides_of(field_plan.convert, field_plan.base, remote=field_plan.remote_raw)
    return sides.base is not None and sides.remote_changed


def _last_writes(ids: Iterable[UUID]) -> dict[tuple[UUID, str], Intent]:
    """Our last write of each field within the hour."""
    wanted = list(ids)
    if not wanted:
        return {}
    rows = Intent.objects.filter(
        entity_id__in=wanted, state__in=_EFFECTIVE_STATES, created_at__gt=SyncNow() - LOOP_WINDOW
    ).order_by("created_at")
    return {(row.entity_id, key): row for row in rows for key in row.values}


class _LoopCheck:
    """One field of one record in a pass, with what is known of its rewriting."""

    def __init__(self, record_sync: RecordSync, field_plan: FieldPlan, loop: FieldLoop, now: datetime) -> None:
        self.record_sync, self.field_plan, self.loop, self.now = record_sync, field_plan, loop, now
        self.key, self.label = field_plan.mapping.key, field_plan.mapping.label

    def check(self, write: Intent | None) -> None:
        """Count, throttle, or end."""
        loop, plan = self.loop, self.field_plan
        is_stored, is_rewritten = loop.pk is not None, _is_rewritten(plan)
        if is_stored and (self.record_sync.causes & Cause.PERSON or plan.resolution):
            self._end_loop("a person acted")
        elif is_rewritten and write is not None and self._is_uncounted(write):
            self._count_rewrite(write)
        elif is_stored and not is_rewritten:
            # Nobody may have rewritten it for an hour since we were last free to write.
            newest = max((datetime.fromisoformat(rewrite["at"]) for rewrite in loop.times), default=self.now)
            if self.now - max(newest, loop.damped_until or newest) > LOOP_WINDOW:
                self._end_loop("it stayed as it was for an hour")
        until = loop.damped_until
        if until is not None and until > self.now and plan.send_raw is not None:
            self.record_sync.field_plans[self.key] = plan.block(self._throttle_reason(until))
            self.record_sync.write_loops[self.key] = loop

    def _is_uncounted(self, write: Intent) -> bool:
        """Each of our writes counts once, and only while the base is what it left behind."""
        entry, base = write.values[self.key], self.field_plan.base
        counted = {rewrite["write"] for rewrite in self.loop.times}
        return base is not None and base["local"] == entry["local"] and str(write.pk) not in counted

    def _count_rewrite(self, write: Intent) -> None:
        loop, oldest = self.loop, self.now - LOOP_WINDOW
        recent = [rewrite for rewrite in loop.times if datetime.fromisoformat(rewrite["at"]) > oldest]
        loop.times = [*recent, {"at": self.now.isoformat(), "write": str(write.pk)}]
        loop.by = self._rewriter() or loop.by
        self.record_sync.write_loops[self.key] = loop
        if settings.LOOP_TIMES > 0 and (loop.damped or len(loop.times) >= settings.LOOP_TIMES):
            # Longer each time: a field that is rewritten once more after its pause is blocked twice as long.
            loop.damped_until = self.now + min(LOOP_WINDOW * 2**loop.damped, MAX_THROTTLE)
            loop.damped = min(loop.damped + 1, 10)
            self.record_sync.log_decision("loop", self._throttle_reason(loop.damped_until), self.key)

    def _throttle_reason(self, until: datetime) -> str:
        times = len(self.loop.times)
        often = f"{times} times within an hour" if times > 1 else "again"
        return (
            f"“{self.label}” was rewritten {often} by {self.loop.by or 'somebody'} on the board after our writes, so "
            f"nothing is sent to it until {until:%Y-%m-%d %H:%M} UTC. Stop the automation that rewrites it, or change "
            "the field's direction; then press “Sync now”."
        )

    def _end_loop(self, why: str) -> None:
        if self.loop.damped:
            detail = f"{self.label}: what is written there counts as no loop any more; {why}."
            self.record_sync.log_decision("loop", detail, self.key)
        self.loop.times, self.loop.damped, self.loop.damped_until = [], 0, None
        self.record_sync.write_loops[self.key] = self.loop

    def _rewriter(self) -> str:
        for stored in reversed(self.record_sync.events):
            with suppress(InvalidEvent):
                event = connectors.get().parse_event(stored.body)
                if event.column_id == self.field_plan.mapping.column_id and event.user_id:
                    return monday_editor_name(event.user_id, monday_users())
        return ""


def store_write_loops(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """In settle: store what was counted, forget what is over, and come back when a pause ends."""
    for record_sync in record_syncs:
        for loop in record_sync.write_loops.values() if record_sync.outcome is Outcome.SETTLED else ():
            which: dict[str, Any] = {"entity_type": loop.entity_type, "entity_id": loop.entity_id, "key": loop.key}
            if loop.times or loop.damped_until is not None:
                values = {name: getattr(loop, name) for name in ("times", "by", "damped", "damped_until")}
                FieldLoop.objects.update_or_create(**which, defaults=values)
            else:
                FieldLoop.objects.filter(**which).delete()
            if loop.damped_until is not None and batch.read_at is not None:
                wait = max((loop.damped_until - batch.read_at).total_seconds(), 0) + 1
                direction = QueueDirection.TO_NPD
                record_sync.enqueue(Cause.SWEEP, Priority.SWEEP, direction=direction, due_in_seconds=wait)
