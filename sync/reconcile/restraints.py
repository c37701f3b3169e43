"""What a plan may not write yet: in a paused direction, into a field that somebody rewrites again and again, or what
would delete or empty too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from sync.choices import (
    UNCERTAIN_CAUSES,
    ApprovalKind,
    ApprovalState,
    BlockedCode,
    Cause,
    Priority,
    QueueDirection,
    QueueStatus,
)
from sync.clock import SyncNow
from sync.connectors.base.conversion import UnknownValue
from sync.kernel.conflict_store import KIND_DELETE
from sync.merge import Action, Field, FieldDecision, FieldDirection
from sync.models import ApprovalRequest, BoardLink, Intent, QueuePause, SyncQueue, WriteLoop
from sync.outbox.pauses import locked_pauses, pause_sentence
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile import gather
from sync.reconcile.batch import Batch, Ending, FieldPlan, Outcome, RecordAction, RecordSync, WorkUnit, end_jobs
from sync.reconcile.facts import LOOP_WINDOW, RecordFacts
from sync.reconcile.field_plan import apply_decision, sides_of, way_of
from sync.reconcile.field_values import stored_values
from sync.records.approvals import OPEN_REQUEST_STATES, ApprovalFacts, approval_facts, states_by_field
from sync.records.authors import monday_editor_name, monday_users

# Paused directions: what would be written that way waits, the rest goes on.


S = TypeVar("S", bound=WorkUnit)
BOTH_DIRECTIONS = (QueueDirection.TO_MONDAY, QueueDirection.TO_NPD)


def defer_paused(batch: Batch) -> None:
    """Block what the plans would write in a paused direction."""
    if not batch.pauses:
        return
    for record_sync in batch.record_syncs:
        # One whose item is gone has been ended by that, and is unlinked all the same: in NPD alone.
        needed = {Outcome.OPEN: BOTH_DIRECTIONS, Outcome.SETTLED: (QueueDirection.TO_NPD,)}
        directions = needed.get(record_sync.outcome, ()) if record_sync.unlink_reason else ()
        if end_if_paused(batch, record_sync, *directions):
            _leave_undecided(record_sync)
    for record_sync in batch.open_records:
        if record_sync.creates:
            end_if_paused(batch, record_sync, QueueDirection.TO_MONDAY)
        else:
            for key, field_plan in record_sync.field_plans.items():
                written = {QueueDirection.TO_MONDAY: field_plan.send_raw, QueueDirection.TO_NPD: field_plan.write_raw}
                for direction in BOTH_DIRECTIONS:
                    if direction in batch.pauses and written[direction] is not None:
                        # Neither applied nor handed back: what a person chose for it is planned again by a later pass.
                        held = field_plan.block(BlockedCode.PAUSED, pause_sentence(batch.pauses[direction], direction))
                        record_sync.field_plans[key] = replace(held, resolves=None)
                        record_sync.paused_directions.add(direction)
            if record_sync.write_npd_id and QueueDirection.TO_MONDAY in batch.pauses:
                record_sync.write_npd_id = False
                record_sync.paused_directions.add(QueueDirection.TO_MONDAY)


def _leave_undecided(record_sync: RecordSync) -> None:
    """Do nothing about the record's item, and ask about it only where that was asked before."""
    record_sync.unlink_reason = record_sync.unlink_actor = ""
    if record_sync.removed_item is not None:
        is_asked = any(conflict.kind == KIND_DELETE for conflict in record_sync.conflicts)
        record_sync.removed_item = record_sync.removed_item.undecided(is_asked=is_asked)


def pause_ending(pauses: Mapping[str, QueuePause], *directions: QueueDirection) -> Ending | None:
    """Return how the jobs end of what would be written in these directions; None where none of them is paused."""
    paused = [direction for direction in directions if direction in pauses]
    if not paused:
        return None
    return Ending(Outcome.PAUSED, pause_sentence(pauses[paused[0]], paused[0]), paused=frozenset(paused))


def end_if_paused(batch: Batch, record_sync: RecordSync, *directions: QueueDirection) -> bool:
    """Leave the record as it is where one of these directions is paused; return whether it is."""
    ending = pause_ending(batch.pauses, *directions)
    if ending is None:
        return False
    record_sync.paused_directions |= ending.paused
    record_sync.end(Outcome.PAUSED, ending.detail, reason=ending.detail)
    return True


def enqueue_paused(entity_type: str, record_syncs: Sequence[RecordSync]) -> None:
    """In settle: put a row into each direction in which something was left to be done, with what its own rows said.

    As urgent as the pass was, and never of webhooks or sweeps alone: it is known that something is to be done.
    """
    for record_sync in record_syncs:
        for direction in sorted(record_sync.paused_directions):
            enqueue_many(
                entity_type,
                [record_sync.id],
                direction=QueueDirection(direction),
                cause=(record_sync.causes & ~(UNCERTAIN_CAUSES | Cause.FAILURE)) | Cause.DEPENDENCY,
                priority=Priority(min((row.priority for row in record_sync.claim.rows), default=Priority.SWEEP)),
                payload=record_sync.claim.payload,
            )


def unpaused_records(batch: Batch, units: Sequence[S], direction: QueueDirection) -> list[S]:
    """Return the units where this direction wasn't paused since the pass began; else release them all.

    In a transaction under the lease, right before something is written that way: `pause` waits for its end.
    """
    if not units:
        return []
    found_pause = locked_pauses(batch.entity_type).get(direction)
    if found_pause is None:
        return list(units)
    for unit in units:
        unit.drop(Outcome.RELEASED, pause_sentence(found_pause, direction))
    return []


def has_local_writes(record_sync: RecordSync) -> bool:
    """Whether settling would write more of the record than its bookkeeping."""
    pulls = any(field_plan.write_raw is not None for field_plan in record_sync.field_plans.values())
    act = record_sync.removed_item.act if record_sync.removed_item else RecordAction.NOTHING
    acts = act in (RecordAction.DELETE, RecordAction.UNLINK) or bool(record_sync.unlink_reason)
    return record_sync.outcome is Outcome.SETTLED and (pulls or acts)


# Paused directions in a pass at items without a record: they wait as they are.


def defer_item_if_paused(batch: Batch, item: WorkUnit, direction: QueueDirection) -> bool:
    """Let the row of an item without a record wait in a direction that is paused now; return whether it does.

    In a transaction under the lease. Its direction says which pause holds it: the claim goes by that.
    """
    found_pause = locked_pauses(batch.entity_type).get(direction)
    if found_pause is None:
        return False
    item.end(Outcome.RELEASED, pause_sentence(found_pause, direction))
    end_jobs(batch, [item])
    rows = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id=None, remote_id=item.claim.remote_id)
    rows.filter(status=QueueStatus.PENDING).update(direction=direction)
    return True


# Fields that something on the board rewrites again and again are slowed down.
#
# It decides this row of docs/reference/merge.md (“After a write”): the same field rewritten by someone n times within
# an hour after our writes (also on one-way fields): an update loop, throttled and shown.


# Each block is twice as long as the one before, but once a day it is tried: the automation may be gone.
MAX_THROTTLE = timedelta(days=1)


@dataclass(frozen=True)
class LoopPlan:
    """What becomes of one field that somebody rewrites after our writes.

    `times`, `by`, `throttle_count` and `throttled_until` are what WriteLoop stores; one that ended is stored no more.
    `blocked_reason` says why nothing is sent to the field in this pass, `line` is for the record's history.
    """

    key: str
    times: tuple[Mapping[str, str], ...] = ()
    by: str = ""
    throttle_count: int = 0
    throttled_until: datetime | None = None
    blocked_reason: str = ""
    line: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the field counts as a loop no more."""
        return not self.times and self.throttled_until is None

    def throttle_reason(self, label: str) -> str:
        """Why nothing is sent to the field, until when, and what can be done about it."""
        often = f"{len(self.times)} times within an hour" if len(self.times) > 1 else "again"
        return (
            f"“{label}” was rewritten {often} by {self.by or 'somebody'} on the board after our writes, so "
            f"nothing is sent to it until {self.throttled_until:%Y-%m-%d %H:%M} UTC. Stop the automation that rewrites "
            "it, or change the field's direction; then press “Sync now”."
        )


def plan_loop(
    facts: RecordFacts, field_plan: FieldPlan, now: datetime, loop_times: int, people: Mapping[str, Any]
) -> LoopPlan | None:
    """Count a rewrite since our last write, throttle the field for which it was too often, or end its loop.

    None where nothing is known of the field, or nothing becomes of it. `loop_times` rewrites within an hour are a loop.
    """
    mapping, loop = field_plan.mapping, facts.history.loops.get(field_plan.mapping.key)
    plan = known = LoopPlan(mapping.key)
    if loop is not None:
        plan = known = LoopPlan(mapping.key, tuple(loop.times), loop.by, loop.throttle_count, loop.throttled_until)
    if loop is not None and (facts.causes & Cause.PERSON or field_plan.resolves):
        plan = _ended(plan, mapping.label, "a person acted")
    elif write := uncounted_write(facts, field_plan):
        by = rewriter(facts, mapping.column_id)
        plan = _counted(plan, write, monday_editor_name(by, people) if by else "", now)
        if loop_times > 0 and (plan.throttle_count or len(plan.times) >= loop_times):
            plan = _throttled(plan, mapping.label, now)
    elif loop is not None and not is_rewritten(field_plan) and is_loop_over(loop, now):
        plan = _ended(plan, mapping.label, "it stayed as it was for an hour")
    if plan.throttled_until is not None and plan.throttled_until > now and field_plan.send_raw is not None:
        plan = replace(plan, blocked_reason=plan.throttle_reason(mapping.label))
    return None if plan is known else plan


def is_rewritten(field_plan: FieldPlan) -> bool:
    """Whether Monday's side left its half of the base."""
    sides = sides_of(field_plan.convert, field_plan.base, remote=field_plan.remote_raw)
    return sides.base is not None and sides.remote_changed


def uncounted_write(facts: RecordFacts, field_plan: FieldPlan) -> Intent | None:
    """Return our last write of a field where it was rewritten since.

    Each of our writes counts once, and only while the base is what it left behind.
    """
    key, base = field_plan.mapping.key, field_plan.base
    write, loop = facts.history.last_writes.get(key), facts.history.loops.get(key)
    if write is None or base is None or base["local"] != write.values[key]["local"] or not is_rewritten(field_plan):
        return None
    is_counted = loop is not None and any(rewrite["write"] == str(write.pk) for rewrite in loop.times)
    return None if is_counted else write


def rewriter(facts: RecordFacts, column_id: str) -> str:
    """Return the Monday user of whom the newest event on this column tells; empty where none does."""
    events = [received.event for received in reversed(facts.events) if received.event]
    return next((event.user_id for event in events if event.column_id == column_id and event.user_id), "")


def is_loop_over(loop: WriteLoop, now: datetime) -> bool:
    """Whether nobody rewrote the field for an hour since we were last free to write it."""
    newest = max((datetime.fromisoformat(rewrite["at"]) for rewrite in loop.times), default=now)
    return now - max(newest, loop.throttled_until or newest) > LOOP_WINDOW


def _counted(plan: LoopPlan, write: Intent, by: str, now: datetime) -> LoopPlan:
    recent = [one for one in plan.times if datetime.fromisoformat(one["at"]) > now - LOOP_WINDOW]
    return replace(plan, times=(*recent, {"at": now.isoformat(), "write": str(write.pk)}), by=by or plan.by)


def _throttled(plan: LoopPlan, label: str, now: datetime) -> LoopPlan:
    # Longer each time: a field that is rewritten once more after its pause is blocked twice as long.
    until = now + min(LOOP_WINDOW * 2**plan.throttle_count, MAX_THROTTLE)
    plan = replace(plan, throttled_until=until, throttle_count=min(plan.throttle_count + 1, 10))
    return replace(plan, line=plan.throttle_reason(label))


def _ended(plan: LoopPlan, label: str, why: str) -> LoopPlan:
    line = f"{label}: what is written there counts as no loop any more; {why}." if plan.throttle_count else ""
    return LoopPlan(plan.key, by=plan.by, line=line)


def store_write_loops(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """In settle: store what was counted, forget what is over, and come back when a pause ends."""
    settled = [record_sync for record_sync in record_syncs if record_sync.outcome is Outcome.SETTLED]
    loops = [(record_sync.id, loop) for record_sync in settled for loop in record_sync.write_loops.values()]
    over = [Q(entity_id=entity_id, key=loop.key) for entity_id, loop in loops if loop.has_ended]
    if over:
        WriteLoop.objects.filter(reduce(or_, over), entity_type=batch.entity_type).delete()
    rows = [
        WriteLoop(
            entity_type=batch.entity_type,
            entity_id=entity_id,
            key=loop.key,
            times=list(loop.times),
            by=loop.by,
            throttle_count=loop.throttle_count,
            throttled_until=loop.throttled_until,
        )
        for entity_id, loop in loops
        if not loop.has_ended
    ]
    WriteLoop.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttle_count", "throttled_until"],
    )
    waits: dict[float, list[UUID]] = {}
    for row in rows:
        if row.throttled_until is not None and batch.read_at is not None:
            wait = max((row.throttled_until - batch.read_at).total_seconds(), 0) + 1
            waits.setdefault(wait, []).append(row.entity_id)
    for wait, ids in waits.items():
        enqueue_many(
            batch.entity_type,
            list(dict.fromkeys(ids)),
            cause=Cause.SWEEP,
            priority=Priority.SWEEP,
            direction=QueueDirection.TO_NPD,
            due_in_seconds=wait,
        )


def throttle_write_loops(batch: Batch) -> None:
    """Of the old sequence: plan the loops of all open records, and block the fields that are throttled."""
    record_syncs = [s for s in batch.open_records if s.item is not None and not s.creates]
    if not record_syncs or batch.read_at is None:
        return
    loops = gather.write_loops(batch.entity_type, [s.id for s in record_syncs])
    rewritten = [s.id for s in record_syncs if any(map(is_rewritten, s.field_plans.values()))]
    writes = gather.last_writes(rewritten)
    # Nearly all records have neither: a look at unchanged ones must not build anything for them.
    record_syncs = [s for s in record_syncs if s.id in loops or s.id in writes]
    for s in record_syncs:
        s.history = replace(s.history, loops=loops.get(s.id, {}), last_writes=writes.get(s.id, {}))
    planned = [(s.facts, field_plan) for s in record_syncs for field_plan in s.field_plans.values()]
    is_told = any(uncounted_write(facts, p) and rewriter(facts, p.mapping.column_id) for facts, p in planned)
    people = monday_users() if is_told else {}
    for record_sync in record_syncs:
        facts = record_sync.facts
        for key, field_plan in list(record_sync.field_plans.items()):
            loop = plan_loop(facts, field_plan, batch.read_at, settings.LOOP_TIMES, people)
            if loop is None:
                continue
            record_sync.write_loops[key] = loop
            if loop.line:
                record_sync.log_decision("loop", loop.line, key)
            if loop.blocked_reason:
                record_sync.field_plans[key] = field_plan.block(BlockedCode.THROTTLED, loop.blocked_reason)


# Deletes and clears over the limit wait for a person's approval.


@dataclass(frozen=True)
class DestructiveChange:
    """One delete or clear that a pass wants to carry out.

    `key` is the field of a clear, else empty; `label` what would be deleted or emptied, for people; `values` what
    would be lost, as displayed. Two acts on the same record and field are equal.
    """

    entity_id: UUID
    remote_id: str = ""
    key: str = ""
    label: str = field(default="", compare=False)
    values: dict[str, Any] = field(default_factory=dict, compare=False)


def allowed_changes(link: BoardLink, kind: ApprovalKind, wanted: Sequence[DestructiveChange]) -> set[DestructiveChange]:
    """Return those acts that may go now, and hold the others for approval.

    Call it under the board's lease, once a pass and kind, right before the acts are announced. What goes is counted
    before it is sent, so a crash leaves it counted; asked again within the hour it goes, and counts once. An approved
    act goes without counting.
    """
    verdicts = approval_verdicts(approval_facts(link, kind, wanted), wanted)
    new = [new_request(link, kind, act, v.new_state) for act, v in verdicts.items() if v.new_state is not None]
    ApprovalRequest.objects.bulk_create(new)
    return {act for act, verdict in verdicts.items() if verdict.may_go}


@dataclass(frozen=True)
class ApprovalVerdict:
    """Whether an act may go now; `new_state` is what is to be stored of one that wasn't counted yet."""

    may_go: bool
    new_state: ApprovalState | None = None


def approval_verdicts(
    facts: ApprovalFacts, wanted: Sequence[DestructiveChange]
) -> dict[DestructiveChange, ApprovalVerdict]:
    """Decide which of these acts may go: those let through before, and the new ones where they aren't too many."""
    unknown = {act for act in wanted if (act.entity_id, act.key) not in facts.states}
    is_over = bool(unknown) and facts.is_over_limit({act.entity_id for act in unknown})
    new = ApprovalVerdict(not is_over, ApprovalState.PENDING if is_over else ApprovalState.DONE)
    gone = (ApprovalState.APPROVED, ApprovalState.DONE)
    return {
        act: new if act in unknown else ApprovalVerdict(facts.states[act.entity_id, act.key] in gone) for act in wanted
    }


def count_without_asking(link: BoardLink, kind: ApprovalKind, acts: Sequence[DestructiveChange]) -> None:
    """Count acts that go without asking, because the caller asked `is_over_limit` itself; in the caller's pass."""
    if not acts:
        return
    state = states_by_field(link, kind, acts)
    new = [act for act in acts if (act.entity_id, act.key) not in state]
    ApprovalRequest.objects.bulk_create(new_request(link, kind, act, ApprovalState.DONE) for act in new)


def release_approvals(link: BoardLink, kind: ApprovalKind, ids: Sequence[UUID]) -> None:
    """End what is open of these records: a pass found that it wants none of this kind any more."""
    acts = ApprovalRequest.objects.filter(
        entity_type=link.entity_type, kind=kind, entity_id__in=ids, state__in=OPEN_REQUEST_STATES
    )
    acts.update(state=ApprovalState.RELEASED, at=SyncNow())


def new_request(link: BoardLink, kind: ApprovalKind, act: DestructiveChange, state: ApprovalState) -> ApprovalRequest:
    """Return the row, yet to be stored, of an act that is counted or waits for approval."""
    return ApprovalRequest(
        entity_type=link.entity_type,
        entity_id=act.entity_id,
        remote_id=act.remote_id,
        kind=kind,
        key=act.key,
        label=act.label,
        values=act.values,
        state=state,
    )


# Fields that a pass would empty need approval where they are too many; what it holds stays on the side where it still
# stands.
#
# A person's choice between two values, and a push that a person asked for by name, have been
# approved by being made.


CLEARS = (ApprovalKind.CLEAR_MONDAY, ApprovalKind.CLEAR_NPD)
_EMPTIED_SIDE = {ApprovalKind.CLEAR_MONDAY: "in NPD", ApprovalKind.CLEAR_NPD: "on Monday"}
_SIDE_TO_EMPTY = {ApprovalKind.CLEAR_MONDAY: "on Monday", ApprovalKind.CLEAR_NPD: "in NPD"}
ApprovalKey = tuple[UUID, str, str]


@dataclass(frozen=True)
class FieldClear:
    """A field that this pass would empty on one side, with what stands there."""

    record_sync: RecordSync
    field_plan: FieldPlan
    kind: ApprovalKind
    value: str

    @property
    def key(self) -> ApprovalKey:
        """What names its act among all."""
        return self.record_sync.id, self.kind, self.field_plan.mapping.key

    @property
    def as_change(self) -> DestructiveChange:
        """As approvals keep it."""
        label = self.field_plan.mapping.label
        return DestructiveChange(
            self.record_sync.id,
            self.record_sync.item_id,
            self.field_plan.mapping.key,
            f"{label} “{self.value}” of {self.record_sync.record}",
            {"record": str(self.record_sync.record), "label": label, "value": self.value},
        )


def request_approvals(batch: Batch) -> None:
    """Block the fields that would be emptied where they are too many; carry out what a person rejected."""
    clears = [clear for record_sync in batch.open_records for clear in _field_clears(record_sync)]
    ids = {s.id for s in batch.open_records if s.ledger.blocked_fields} | {clear.record_sync.id for clear in clears}
    if not ids:
        return
    acts = ApprovalRequest.objects.filter(
        entity_type=batch.entity_type, entity_id__in=ids, kind__in=CLEARS, state__in=OPEN_REQUEST_STATES
    )
    batch.approvals = {(act.entity_id, act.kind, act.key): act for act in acts}
    for kind in CLEARS:
        wanted = []
        for clear in [clear for clear in clears if clear.kind == kind]:
            act = batch.approvals.get(clear.key)
            if act is not None and act.values.get("value") != clear.value:
                # What a person sees, approves or rejects is one value: another one is another act.
                ApprovalRequest.objects.filter(pk=act.pk).update(state=ApprovalState.RELEASED, at=SyncNow())
                del batch.approvals[clear.key]
                act = None
            if act is not None and act.state == ApprovalState.REJECTED:
                _restore_cleared(batch, clear)
            else:
                wanted.append(clear)
        allowed = allowed_changes(batch.link, kind, [clear.as_change for clear in wanted])
        for clear in wanted:
            if clear.as_change not in allowed:
                _block_clear(batch, clear)


def _field_clears(record_sync: RecordSync) -> Iterator[FieldClear]:
    if record_sync.is_push_by_name or record_sync.item is None:
        return
    for p in record_sync.field_plans.values():
        if p.choose or (p.send_raw is None and p.write_raw is None):
            continue
        # Where nothing that is known stands there, nothing is emptied.
        with suppress(UnknownValue):
            local, remote = p.convert.local(p.local_raw), p.convert.remote(p.remote_raw)
            if p.send_raw is not None and p.convert.local(p.send_raw) is None and remote is not None:
                yield FieldClear(record_sync, p, ApprovalKind.CLEAR_MONDAY, p.convert.display(remote))
            if p.write_raw is not None and p.convert.local(p.write_raw) is None and local is not None:
                yield FieldClear(record_sync, p, ApprovalKind.CLEAR_NPD, p.convert.display(local))


def _block_clear(batch: Batch, clear: FieldClear) -> None:
    record_sync, field_plan, value = clear.record_sync, clear.field_plan, clear.value
    key, label = field_plan.mapping.key, field_plan.mapping.label
    emptied, to_empty = _EMPTIED_SIDE[clear.kind], _SIDE_TO_EMPTY[clear.kind]
    record_sync.field_plans[key] = field_plan.block(
        BlockedCode.APPROVAL,
        f"It was emptied {emptied}, with the fields of many records within an hour. It still says “{value}” "
        f"{to_empty}, and is emptied there when somebody approves it under “Approvals”. Or fill it in "
        "again.",
    )
    if clear.key not in batch.approvals:
        waits = f"that “{value}” is emptied {to_empty} too waits for approval: too many at once."
        record_sync.log_decision("approval", f"{label} was emptied {emptied}; {waits}", key, before=value)


def _restore_cleared(batch: Batch, clear: FieldClear) -> None:
    """A person said that this field is not to be emptied: the side where it was gets the value back."""
    field_plan, record_sync, key = clear.field_plan, clear.record_sync, clear.field_plan.mapping.key
    way, convert = way_of(record_sync, field_plan.mapping), field_plan.convert
    is_pull = clear.kind == ApprovalKind.CLEAR_MONDAY
    if way not in (FieldDirection.BOTH, FieldDirection.TO_NPD if is_pull else FieldDirection.TO_MONDAY):
        record_sync.field_plans[key] = field_plan.block(
            BlockedCode.DIRECTION,
            f"Somebody decided that “{clear.value}” stays {_SIDE_TO_EMPTY[clear.kind]}; its direction lets nothing be "
            f"put back {_EMPTIED_SIDE[clear.kind]}. Fill it in there, or change the direction.",
        )
        return
    action = Action.PULL if is_pull else Action.PUSH
    decision = FieldDecision(key, action, "a person decided that it is not emptied")
    field_plan = replace(field_plan, send_raw=None, write_raw=None, decision=decision)
    field = Field(key, convert.local(field_plan.local_raw), convert.remote(field_plan.remote_raw), way=way)
    record_sync.field_plans[key] = apply_decision(batch, record_sync, field_plan, field)


def finish_approvals(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """In the settle transaction: acts that were carried out, or whose cause is gone, are over."""
    by_id = {record_sync.id: record_sync for record_sync in record_syncs if record_sync.field_plans}
    finished: dict[ApprovalState, list[ApprovalRequest]] = {}
    for act in batch.approvals.values():
        record_sync = by_id.get(act.entity_id)
        state = _final_state(record_sync, act) if record_sync else None
        if record_sync and state:
            finished.setdefault(state, []).append(act)
            if state is ApprovalState.RELEASED:
                record_sync.log_decision("approval", f"Nothing waits for approval any more: {act.label}.", act.key)
    for state, acts in finished.items():
        # Only those that nobody decided meanwhile: the next pass ends the others.
        remaining = ApprovalRequest.objects.filter(
            pk__in=[act.pk for act in acts], state__in={act.state for act in acts}
        )
        remaining.update(state=state, at=SyncNow())


def _final_state(record_sync: RecordSync, act: ApprovalRequest) -> ApprovalState | None:
    """What became of an act by this pass; None where it stands as it did, or both sides don't stand on the base."""
    p = record_sync.field_plans.get(act.key)
    if p is None or p.conflict:
        return ApprovalState.RELEASED
    base = record_sync.ledger.base.get(act.key)
    if p.blocked_reason or base is None:
        return None
    try:
        local, remote = p.convert.local(base["local"]), p.convert.remote(base["remote"])
        is_on_monday = record_sync.written_item is not None
        if p.send_raw is None:
            is_on_monday = p.convert.remote(p.remote_raw) == remote
        is_in_npd = p.convert.local(stored_values(record_sync.record, p.mapping)) == local
    except UnknownValue:
        return None
    if not is_on_monday or not is_in_npd or (local is None) is not (remote is None):
        return None
    if local is None:
        return ApprovalState.DONE if act.state == ApprovalState.APPROVED else ApprovalState.RELEASED
    return ApprovalState.KEPT if act.state == ApprovalState.REJECTED else ApprovalState.RELEASED
