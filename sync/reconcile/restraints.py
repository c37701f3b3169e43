"""What a plan may not write yet: into a field that somebody rewrites again and again, or what would delete or empty too
much.

Decides of docs/reference/merge.md: of “After a write” *the same field rewritten by someone n times within an hour*; of
“A record and its item” that deletes and clears are counted, and wait for approval.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from conflicts.reports import KIND_DELETE
from sync.choices import ApprovalKind, ApprovalState, BlockedCode, Cause
from sync.merge import Action, Field, FieldDecision, FieldDirection
from sync.models import ApprovalRequest, Intent, SyncedModel, WriteLoop
from sync.monday.board_items import Item
from sync.monday.conversion import ListConverter, UnknownValue
from sync.reconcile.facts import LOOP_WINDOW, HistoryLine, RecordFacts
from sync.reconcile.field_plan import AS_SENT, apply_decision, base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.pass_plan import (
    Act,
    ClearsPlan,
    FieldClear,
    FieldFacts,
    FieldPlan,
    FieldsPlan,
    LoopPlan,
    PassFacts,
    Plan,
    RecordAction,
    RecordPlan,
)
from sync.records.approvals import CLEARS, ApprovalFacts
from sync.records.authors import monday_editor_name


def undecided(plan: RecordPlan) -> RecordPlan:
    """Do nothing about the record's item, and ask about it only where that was asked before."""
    removal = plan.removal
    if removal is not None:
        is_asked = any(conflict.kind == KIND_DELETE for conflict in plan.facts.conflicts)
        removal = replace(removal, act=RecordAction.NOTHING, options=removal.options if is_asked else ())
    return replace(plan, unlink="", removal=removal)


def has_local_writes(plan: RecordPlan) -> bool:
    """Whether settling would write more of the record than its bookkeeping."""
    pulls = any(field_plan.write_raw is not None for field_plan in plan.plans.values())
    act = plan.removal.act if plan.removal else RecordAction.NOTHING
    acts = act in (RecordAction.DELETE, RecordAction.UNLINK) or bool(plan.unlink)
    return plan.is_settled and (pulls or acts)


# Fields that something on the board rewrites again and again are slowed down.


# Each block is twice as long as the one before, but once a day it is tried: the automation may be gone.
MAX_THROTTLE = timedelta(days=1)


def plan_loop(
    facts: RecordFacts, field_plan: FieldPlan, now: datetime, loop_times: int, people: Mapping[str, Any]
) -> LoopPlan | None:
    """Count a rewrite since our last write, throttle the field for which it was too often, or end its loop.

    None where nothing is known of the field, or nothing becomes of it. `loop_times` rewrites within an hour are a loop.
    """
    mapping = field_plan.mapping
    loop = facts.history.loops.get(mapping.key)
    before = known_loop(facts, mapping.key)
    plan = before
    if loop is not None and (facts.causes & Cause.PERSON or field_plan.resolves):
        plan = _ended(plan, mapping.label, "a person acted")
    elif write := uncounted_write(facts, field_plan):
        user = rewriter(facts, mapping.column_id)
        recent = [rewrite for rewrite in plan.times if datetime.fromisoformat(rewrite["at"]) > now - LOOP_WINDOW]
        rewrite = {"at": now.isoformat(), "write": str(write.pk)}
        by = monday_editor_name(user, people) if user else plan.by
        plan = replace(plan, times=(*recent, rewrite), by=by or plan.by)
        if loop_times > 0 and (plan.throttle_count or len(plan.times) >= loop_times):
            # Longer each time: a field that is rewritten once more after its pause is blocked twice as long.
            until = now + min(LOOP_WINDOW * 2**plan.throttle_count, MAX_THROTTLE)
            plan = replace(plan, throttled_until=until, throttle_count=min(plan.throttle_count + 1, 10))
            plan = replace(plan, line=plan.throttle_reason(mapping.label))
    elif loop is not None and not is_rewritten(field_plan) and is_loop_over(loop, now):
        plan = _ended(plan, mapping.label, "it stayed as it was for an hour")
    if plan.throttled_until is not None and plan.throttled_until > now and field_plan.send_raw is not None:
        plan = replace(plan, blocked_reason=plan.throttle_reason(mapping.label))
    return None if plan is before else plan


def known_loop(facts: RecordFacts, key: str) -> LoopPlan:
    loop = facts.history.loops.get(key)
    if loop is None:
        return LoopPlan(key)
    return LoopPlan(key, tuple(loop.times), loop.by, loop.throttle_count, loop.throttled_until)


def is_rewritten(field_plan: FieldPlan) -> bool:
    base = field_plan.base
    raw = field_plan.remote_raw
    if base is None or (raw == base["remote"] and not base.get(AS_SENT)):
        return False
    return sides_of(field_plan.convert, base, remote=raw).remote_changed


def uncounted_write(facts: RecordFacts, field_plan: FieldPlan) -> Intent | None:
    """Return our last write of a field where it was rewritten since.

    Each of our writes counts once, and only while the base is what it left behind.
    """
    key = field_plan.mapping.key
    base = field_plan.base
    write = facts.history.last_writes.get(key)
    loop = facts.history.loops.get(key)
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


def _ended(plan: LoopPlan, label: str, why: str) -> LoopPlan:
    line = f"{label}: what is written there counts as no loop any more; {why}." if plan.throttle_count else ""
    return LoopPlan(plan.key, by=plan.by, line=line)


def throttle_write_loops(facts: PassFacts, plan: Plan) -> Plan:
    """Plan the loops of all open records, and block the fields that are throttled."""
    read = [
        record_plan for record_plan in plan.open_records if record_plan.item is not None and not record_plan.creates
    ]
    # Nearly all records have neither: a look at unchanged ones must not build anything for them.
    rewritten = [
        record_plan for record_plan in read if record_plan.facts.history.loops or record_plan.facts.history.last_writes
    ]
    return plan.with_records(_throttled_fields(record_plan, facts) for record_plan in rewritten)


def _throttled_fields(plan: RecordPlan, facts: PassFacts) -> RecordPlan:
    loops = {}
    plans = dict(plan.plans)
    lines = []
    for key, field_plan in plan.plans.items():
        loop = plan_loop(plan.facts, field_plan, facts.now, facts.board.settings.loop_times, facts.people)
        if loop is None:
            continue
        loops[key] = loop
        if loop.line:
            lines.append(HistoryLine("loop", loop.line, key))
        if loop.blocked_reason:
            plans[key] = field_plan.block(BlockedCode.THROTTLED, loop.blocked_reason)
    if not loops:  # as of nearly all
        return plan
    return replace(plan, loops={**plan.loops, **loops}, fields=replace(plan.fields, plans=plans)).logged(*lines)


# Deletes and clears over the limit wait for a person's approval.


@dataclass(frozen=True)
class ApprovalVerdict:
    """Whether a delete or clear may go now; `new_state` is what is to be stored of one that wasn't counted yet.

    One that goes without asking is stored before its call is announced, so that a crash leaves it counted.
    """

    may_go: bool
    new_state: ApprovalState | None = None


def new_acts(facts: ApprovalFacts, kind: ApprovalKind, wanted: Iterable[Act]) -> set[Act]:
    """Return those that nothing is known of: only for these the limit has to be known."""
    return set(wanted) - facts.states(kind).keys()


def approval_verdicts(facts: ApprovalFacts, kind: ApprovalKind, wanted: Collection[Act]) -> dict[Act, ApprovalVerdict]:
    """Decide which of these acts may go: those let through before, and the new ones where they aren't too many.

    Asked again within the hour one goes, and counts once; so does an approved. Of what a person rejected, the request
    tells.
    """
    states = facts.states(kind)
    new = new_acts(facts, kind, wanted)
    is_held = bool(new) and facts.is_over_limit(kind, {entity_id for entity_id, _ in new})
    of_new = ApprovalVerdict(False, ApprovalState.PENDING) if is_held else ApprovalVerdict(True, ApprovalState.DONE)
    goes = (ApprovalState.APPROVED, ApprovalState.DONE)
    return {act: of_new if act in new else ApprovalVerdict(states[act] in goes) for act in wanted}


def approval_facts(facts: PassFacts, kind: ApprovalKind, wanted: Collection[Act]) -> ApprovalFacts:
    """Return what decides on these acts."""
    return facts.approvals.about([kind], {entity_id for entity_id, _ in wanted})


def new_request(
    record: SyncedModel,
    item_id: str | None,
    kind: ApprovalKind,
    state: ApprovalState,
    label: str,
    values: Mapping[str, Any],
    key: str = "",
) -> ApprovalRequest:
    """Return the row, yet to be stored, by which a delete or clear counts, or waits."""
    return ApprovalRequest(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=item_id or "",
        kind=kind,
        key=key,
        label=label,
        values=dict(values),
        state=state,
    )


# Fields that a pass would empty need approval where they are too many; what it holds stays on the side where it still
# stands.
#
# A person's choice between two values, and a push that a person asked for by name, have been approved by being made.


_EMPTIED_SIDE = {ApprovalKind.CLEAR_MONDAY: "in NPD", ApprovalKind.CLEAR_NPD: "on Monday"}
_SIDE_TO_EMPTY = {ApprovalKind.CLEAR_MONDAY: "on Monday", ApprovalKind.CLEAR_NPD: "in NPD"}


def may_empty(board: BoardContext, facts: RecordFacts, item: Item) -> bool:
    """Whether a pass may empty a field of the record on either side: one is empty already, or a list shrinks."""
    for mapping in board.mappings:
        base = base_of(facts.ledger, mapping, item.id)
        convert = board.converter(mapping, facts.record)
        local_raw = stored_values(facts.record, mapping)
        cell = cell_of(convert, mapping, item)
        if not mapping.column_id or (
            base and base["local"] == local_raw and base["remote"] == cell and not base.get(AS_SENT)
        ):
            continue
        sides = sides_of(convert, None, local=local_raw, remote=cell)
        if isinstance(convert, ListConverter) or (sides.local is None) is not (sides.remote is None):
            return True
    return False


def find_clears(facts: RecordFacts, plans: Iterable[FieldPlan]) -> Iterator[FieldClear]:
    if facts.is_push_by_name or facts.item is None:
        return
    for p in plans:
        if p.choose or (p.send_raw is None and p.write_raw is None):
            continue
        # Where nothing that is known stands there, nothing is emptied.
        with suppress(UnknownValue):
            local = p.convert.local(p.local_raw)
            remote = p.convert.remote(p.remote_raw)
            if p.send_raw is not None and p.convert.local(p.send_raw) is None and remote is not None:
                yield FieldClear(facts, p, ApprovalKind.CLEAR_MONDAY, p.convert.display(remote))
            if p.write_raw is not None and p.convert.local(p.write_raw) is None and local is not None:
                yield FieldClear(facts, p, ApprovalKind.CLEAR_NPD, p.convert.display(local))


def outdated_requests(approvals: ApprovalFacts, clears: Iterable[FieldClear]) -> tuple[ApprovalRequest, ...]:
    """Return the open requests about another value than a clear's: what a person approves or rejects is one value."""
    requests = approvals.open_requests
    requested = [(clear, requests.get(clear.key)) for clear in clears]
    return tuple(act for clear, act in requested if act is not None and act.values.get("value") != clear.value)


def decide_clears(
    approvals: ApprovalFacts,
    clears: Sequence[FieldClear],
    contexts: Mapping[UUID, FieldFacts],
    fields: Mapping[UUID, FieldsPlan],
) -> ClearsPlan:
    """Block the fields that would be emptied where they are too many; carry out what a person rejected.

    `contexts` and `fields` are those of the records with clears.
    """
    released = outdated_requests(approvals, clears)
    remaining = tuple(request for request in approvals.requests if request not in released)
    approvals = replace(approvals, requests=remaining)
    requests = approvals.open_requests
    changed = dict(fields)
    counted = []
    pending = []
    for kind in CLEARS:
        of_kind = [clear for clear in clears if clear.kind == kind]
        rejected = {c.key for c in of_kind if c.key in requests and requests[c.key].state == ApprovalState.REJECTED}
        wanted = {clear.act: clear for clear in of_kind if clear.key not in rejected}
        verdicts = approval_verdicts(approvals, kind, wanted)
        counted += [wanted[act] for act, verdict in verdicts.items() if verdict.new_state is ApprovalState.DONE]
        pending += [wanted[act] for act, verdict in verdicts.items() if verdict.new_state is ApprovalState.PENDING]
        for clear in of_kind:
            entity_id = clear.facts.id
            log: tuple[HistoryLine, ...] = ()
            if clear.key in rejected:
                field_plan = _restored(contexts[entity_id], clear)
            elif verdicts[clear.act].may_go:
                continue
            else:
                field_plan, log = _blocked_clear(clear, is_news=clear.key not in requests)
            before = changed[entity_id]
            plans = {**before.plans, field_plan.mapping.key: field_plan}
            changed[entity_id] = replace(before, plans=plans, log=(*before.log, *log))
    return ClearsPlan(changed, tuple(requests.values()), released, tuple(counted), tuple(pending))


def _blocked_clear(clear: FieldClear, *, is_news: bool) -> tuple[FieldPlan, tuple[HistoryLine, ...]]:
    field_plan = clear.field_plan
    value = clear.value
    key = field_plan.mapping.key
    label = field_plan.mapping.label
    emptied = _EMPTIED_SIDE[clear.kind]
    to_empty = _SIDE_TO_EMPTY[clear.kind]
    blocked = field_plan.block(
        BlockedCode.APPROVAL,
        f"It was emptied {emptied}, with the fields of many records within an hour. It still says “{value}” "
        f"{to_empty}, and is emptied there when somebody approves it under “Approvals”. Or fill it in "
        "again.",
    )
    waits = f"that “{value}” is emptied {to_empty} too waits for approval: too many at once."
    line = HistoryLine("approval", f"{label} was emptied {emptied}; {waits}", key, values={"before": value})
    return blocked, (line,) if is_news else ()


def _restored(context: FieldFacts, clear: FieldClear) -> FieldPlan:
    """A person said that this field is not to be emptied: the side where it was gets the value back."""
    field_plan = clear.field_plan
    key = clear.field_plan.mapping.key
    way = way_of(context.facts, field_plan.mapping)
    convert = field_plan.convert
    is_pull = clear.kind == ApprovalKind.CLEAR_MONDAY
    if way not in (FieldDirection.BOTH, FieldDirection.TO_NPD if is_pull else FieldDirection.TO_MONDAY):
        return field_plan.block(
            BlockedCode.DIRECTION,
            f"Somebody decided that “{clear.value}” stays {_SIDE_TO_EMPTY[clear.kind]}; its direction lets nothing be "
            f"put back {_EMPTIED_SIDE[clear.kind]}. Fill it in there, or change the direction.",
        )
    action = Action.PULL if is_pull else Action.PUSH
    decision = FieldDecision(key, action, "a person decided that it is not emptied")
    field_plan = replace(field_plan, send_raw=None, write_raw=None, decision=decision)
    field = Field(key, convert.local(field_plan.local_raw), convert.remote(field_plan.remote_raw), way=way)
    return apply_decision(context, field_plan, field)


def request_approvals(facts: PassFacts, plan: Plan) -> Plan:
    """Decide on the fields that the open records' plans would empty."""
    open_records = plan.open_records
    clears = [clear for record in open_records for clear in find_clears(record.facts, record.plans.values())]
    with_clears = {clear.facts.id for clear in clears}
    ids = with_clears.union(record.id for record in open_records if record.ledger.blocked_fields)
    if not ids:
        return plan
    approvals = facts.approvals.about(CLEARS, ids)
    contexts = {pk: facts.field_facts(plan.records[pk]) for pk in with_clears}
    fields = {pk: plan.records[pk].fields for pk in with_clears}
    clears_plan = decide_clears(approvals, clears, contexts, fields)
    plan = plan.with_records(plan.records[pk].with_fields(changed) for pk, changed in clears_plan.fields.items())
    return replace(plan, clears=clears_plan)


def new_clear_requests(plan: Plan, *states: ApprovalState) -> list[ApprovalRequest]:
    """Return the rows, yet to be stored, by which the planned clears count, or wait."""
    if plan.clears is None:
        return []
    by_state = {ApprovalState.DONE: plan.clears.counted, ApprovalState.PENDING: plan.clears.pending}
    return [_clear_request(clear, state) for state in states for clear in by_state[state]]


def _clear_request(clear: FieldClear, state: ApprovalState) -> ApprovalRequest:
    """Return the row, yet to be stored, by which it counts, or waits."""
    mapping = clear.field_plan.mapping
    record = clear.facts.record
    item = clear.facts.item
    values = {"record": str(record), "label": mapping.label, "value": clear.value}
    label = f"{mapping.label} “{clear.value}” of {record}"
    return new_request(record, item.id if item else "", clear.kind, state, label, values, key=mapping.key)


def ended_requests(
    plan: Plan, written: Collection[UUID] = ()
) -> Iterator[tuple[ApprovalRequest, ApprovalState, RecordPlan]]:
    """Yield the open requests that this pass ended: carried out, or of which the cause is gone.

    `written` are the records whose items Monday's answer showed.
    """
    for act in plan.clears.requests if plan.clears else ():
        record_plan = plan.records.get(act.entity_id)
        state = (
            _final_state(record_plan, act, is_written=record_plan.id in written)
            if record_plan and record_plan.plans
            else None
        )
        if record_plan and state:
            yield act, state, record_plan


def _final_state(plan: RecordPlan, act: ApprovalRequest, *, is_written: bool) -> ApprovalState | None:
    """What became of an act by this pass; None where it stands as it did, or both sides don't stand on the base."""
    p = plan.plans.get(act.key)
    if p is None or p.conflict:
        return ApprovalState.RELEASED
    base = plan.ledger.base.get(act.key)
    if p.blocked_reason or base is None:
        return None
    try:
        local = p.convert.local(base["local"])
        remote = p.convert.remote(base["remote"])
        is_on_monday = is_written if p.send_raw is not None else p.convert.remote(p.remote_raw) == remote
        is_in_npd = p.convert.local(stored_values(plan.record, p.mapping)) == local
    except UnknownValue:
        return None
    if not is_on_monday or not is_in_npd or (local is None) is not (remote is None):
        return None
    if local is None:
        return ApprovalState.DONE if act.state == ApprovalState.APPROVED else ApprovalState.RELEASED
    return ApprovalState.KEPT if act.state == ApprovalState.REJECTED else ApprovalState.RELEASED
