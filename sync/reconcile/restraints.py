"""Slows down fields that something on the board keeps rewriting, and holds clears over the limit of an hour.

Implements two rows of docs/reference/merge:

- W29 in after-a-write.md: nothing is sent to a field in an update loop for a day, and for another after each further
  rewrite
- D26 in removed-and-deleted.md, of fields that would be emptied: those over the limit wait for approval. Which may go
  is `ApprovalFacts.verdicts` in sync/records/approvals.py. Deletes are held where they are decided (missing/).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sync import choices, merge
from sync.choices import ActivityKind
from sync.fields.field_values import BoardContext, PassSettings, local_values
from sync.models import ApprovalRequest, WriteLoop
from sync.models.activity_lines import UNREPORTED
from sync.monday.conversion import UnknownValue
from sync.monday.lag import UNLINKED_AN_HOUR
from sync.reconcile import pass_plan
from sync.reconcile.facts import LOOP_WINDOW, PassFacts
from sync.reconcile.field_plan import FieldRule
from sync.records.approvals import CLEARS, ApprovalFacts
from sync.records.authors import monday_editor_name
from sync.words.message import Message

# How long a rewritten field is blocked: once a day it is tried again, because the automation may be gone.
THROTTLE_TIME = timedelta(days=1)


def throttle_write_loops(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Count the rewrites of a record's fields after our writes, and block the fields that are throttled."""
    history = plan.history
    # Nearly all records have neither: for them a pass must not build anything.
    if plan.item is None or plan.creates or not (history.loops or history.last_writes):
        return
    for key, field_plan in plan.fields.items():
        stored = history.loops.get(key)
        if stored is None and (field_plan.is_resting or key not in history.last_writes):
            continue
        loop = _loop_after_pass(facts.board, plan, field_plan, facts.now)
        if loop is None:
            continue
        reason = throttle_reason(loop, field_plan.mapping.label)
        if loop is not stored:
            field_plan.loop = loop
        if loop.throttled_until and loop.throttled_until != (stored.throttled_until if stored else None):
            plan.add_line(ActivityKind.LOOP, reason, key)
        if loop.throttled_until and loop.throttled_until > facts.now and field_plan.send_raw is not None:
            field_plan.loop = loop
            field_plan.block(choices.BlockedCode.THROTTLED, reason)


def _loop_after_pass(
    board: BoardContext, plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan, now: datetime
) -> WriteLoop | None:
    """Return the loop of a field after this pass; None if it has none. A loop without `times` is over.

    A rewrite since our last write counts; the field is throttled after `settings.loop_times` within an hour, and after
    each further rewrite, because the automation that makes them still runs.
    """
    key = field_plan.key
    settings = board.settings
    stored = plan.history.loops.get(key)
    base = field_plan.base
    field = plan.compared(board, field_plan.mapping)
    field.base = base
    is_rewritten = base is not None and field.sides.remote_changed
    if stored is not None:
        is_quiet = not is_rewritten and _is_quiet(stored, now)
        if is_quiet or plan.facts.causes & choices.Cause.PERSON or field_plan.choice:
            return WriteLoop(entity_id=plan.id, key=key, times=[])
    write = plan.history.last_writes.get(key)
    made_base = write is not None and base is not None and base["local"] == write.values[key]["local"]
    if write is None or not (is_rewritten and made_base):
        return stored
    times = stored.times if stored else []
    if any(rewrite["write"] == str(write.pk) for rewrite in times):  # counted already
        return stored
    recent = [rewrite for rewrite in times if datetime.fromisoformat(rewrite["at"]) > now - LOOP_WINDOW]
    loop = WriteLoop(
        entity_type=plan.record.entity_type(),
        entity_id=plan.id,
        key=key,
        times=[*recent, {"at": now.isoformat(), "write": str(write.pk)}],
        by=_rewriter(plan, field_plan, settings) or (stored.by if stored else ""),
        throttled_until=stored.throttled_until if stored else None,
    )
    if settings.loop_times > 0 and (loop.throttled_until or len(loop.times) >= settings.loop_times):
        loop.throttled_until = now + THROTTLE_TIME
    return loop


def _is_quiet(loop: WriteLoop, now: datetime) -> bool:
    """Whether nobody has rewritten the field for an hour since it was last rewritten or throttled."""
    newest = max((datetime.fromisoformat(rewrite["at"]) for rewrite in loop.times), default=now)
    return now - max(newest, loop.throttled_until or newest) > LOOP_WINDOW


def _rewriter(plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan, settings: PassSettings) -> str:
    """Return whom the newest unchecked event about the field's column names; an empty text for nobody."""
    events = [row.event for row in plan.history.unchecked_events if row.event]
    users = [event.user_id for event in events if event.user_id and event.column_id == field_plan.mapping.column_id]
    return monday_editor_name(users[-1], settings.people) if users else ""


def throttle_reason(loop: WriteLoop, label: str) -> Message:
    """Return why nothing is sent to the field, and what a person can do; pages add the time."""
    times = len(loop.times)
    by = loop.by or Message("somebody")
    return Message("throttled" if times > 1 else "throttled_again", by=by, label=label, times=times)


def request_approvals(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Block the fields that would be emptied over the limit; write back the values of rejected requests."""
    plans = plan.open_records
    clears = [clear for record_plan in plans for clear in find_clears(record_plan)]
    clears += [clear for record_plan in plans for clear in _find_refills(record_plan)]
    for clear in clears:
        record_plan = plan.records[clear.entity_id]
        if clear.key in record_plan.doubts.unreported_cells:
            clear.values[UNREPORTED] = True
    ids = {clear.entity_id for clear in clears}
    ids |= {record_plan.id for record_plan in plans if record_plan.sync_state.blocked_fields}
    if not ids:
        return
    # A clear that was done before the present base is another one: the field was filled in again since.
    bases = {(clear.entity_id, clear.key): plan.records[clear.entity_id].fields[clear.key].base for clear in clears}
    began_at = {cell: datetime.fromisoformat(base["at"]) for cell, base in bases.items() if base and "at" in base}
    approvals = facts.approvals.about(CLEARS, ids).for_acts_begun(began_at)
    clear_of = {_key_of(clear): clear for clear in clears}
    stored = approvals.open_requests.items()
    outdated = [row for key, row in stored if key in clear_of and _is_outdated(row, clear_of[key])]
    approvals = approvals.without(outdated)
    requests = approvals.open_requests
    for kind in CLEARS:
        by_cell = {(clear.entity_id, clear.key): clear for clear in clears if clear.kind == kind}
        verdicts = approvals.verdicts(kind, [cell for cell, clear in by_cell.items() if UNREPORTED not in clear.values])
        unreported = [cell for cell, clear in by_cell.items() if UNREPORTED in clear.values]
        verdicts |= _unreported_verdicts(facts, plan, approvals, unreported)
        for cell, (may_go, new_state) in verdicts.items():
            clear = by_cell[cell]
            if new_state is not None:
                clear.state = new_state
                plan.new_requests.append(clear)
            if not may_go:
                _hold_clear(facts, plan.records[clear.entity_id], clear, requests.get(_key_of(clear)))
    plan.open_requests = list(requests.values())
    plan.outdated_requests = outdated


def _is_outdated(request: ApprovalRequest, clear: ApprovalRequest) -> bool:
    """Whether a person was asked about another value, or about a cell of which it is known now that it was emptied."""
    is_explained = UNREPORTED in request.values and UNREPORTED not in clear.values
    is_undecided = request.state == choices.ApprovalState.PENDING
    return request.values.get("value") != clear.values["value"] or (is_undecided and is_explained)


def _find_refills(plan: pass_plan.RecordPlan) -> Iterator[ApprovalRequest]:
    """Yield a request, not stored yet, for each cell that nobody emptied and that the pass would fill in again."""
    for key in plan.doubts.dropped_cells if not plan.facts.is_sync_pressed else ():
        field_plan = plan.fields.get(key)
        if field_plan is None or field_plan.send_raw is None:
            continue
        with suppress(UnknownValue):
            local = field_plan.converter.canonical_local(field_plan.send_raw)
            yield _clear_request(plan, field_plan, choices.ApprovalKind.CLEAR_NPD, local)


def _unreported_verdicts(
    facts: PassFacts, plan: pass_plan.Plan, approvals: ApprovalFacts, cells: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], tuple[bool, choices.ApprovalState | None]]:
    """Return for these cells, which nobody emptied, what `ApprovalFacts.verdicts` does for others.

    Up to the limit they are filled in again, and the number of records is counted; what may not be written on Monday
    waits for a person in any case. A single record whose connected items are shown as none loses them in NPD too.
    """
    states = approvals.states(choices.ApprovalKind.CLEAR_NPD)
    refilled = {entity_id for entity_id, key in cells if plan.records[entity_id].fields[key].send_raw is not None}
    unlinked = {entity_id for entity_id, key in cells if key in plan.records[entity_id].doubts.unexplained_cells}
    verdicts: dict[tuple[UUID, str], tuple[bool, choices.ApprovalState | None]] = {}
    for cell in cells:
        entity_id, key = cell
        is_refill = plan.records[entity_id].fields[key].send_raw is not None
        if cell in states:
            allowed = choices.ApprovalState.REJECTED if is_refill else choices.ApprovalState.APPROVED
            verdicts[cell] = (states[cell] in (allowed, choices.ApprovalState.DONE), None)
            continue
        if key in plan.records[entity_id].doubts.unexplained_cells:
            must_wait = len(unlinked | facts.unreported_records) > UNLINKED_AN_HOUR
        else:
            is_over_limit = approvals.is_over_limit(choices.ApprovalKind.CLEAR_NPD, refilled | facts.unreported_records)
            must_wait = is_over_limit or not is_refill
        state = choices.ApprovalState.REFILLED if is_refill else choices.ApprovalState.DONE
        verdicts[cell] = (not must_wait, choices.ApprovalState.PENDING if must_wait else state)
    return verdicts


def find_clears(plan: pass_plan.RecordPlan) -> Iterator[ApprovalRequest]:
    """Yield a request, not stored yet, for each field of a record that the pass would empty.

    A person's choice between values, and a push that a person asked for by name, need no approval.
    """
    if plan.item is None:
        return
    for field_plan in plan.fields.values():
        send_raw = field_plan.send_raw
        pull_raw = field_plan.pull_raw
        if (send_raw is None and pull_raw is None) or field_plan.choice:
            continue
        converter = field_plan.converter
        # Nobody can say of an unknown value that it would be emptied.
        with suppress(UnknownValue):
            is_cleared = send_raw is not None and converter.canonical_local(send_raw) is None
            if is_cleared and not plan.facts.is_sync_pressed:
                remote = converter.canonical_remote(field_plan.remote_raw)
                if remote is not None:
                    yield _clear_request(plan, field_plan, choices.ApprovalKind.CLEAR_MONDAY, remote)
            if pull_raw is not None and converter.canonical_local(pull_raw) is None:
                local = converter.canonical_local(field_plan.local_raw)
                if local is not None:
                    yield _clear_request(plan, field_plan, choices.ApprovalKind.CLEAR_NPD, local)


def _clear_request(
    plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan, kind: choices.ApprovalKind, value: merge.Canonical
) -> ApprovalRequest:
    mapping = field_plan.mapping
    displayed = field_plan.converter.display(value)
    values = {"record": str(plan.record), "label": mapping.label, "value": displayed}
    return plan.approval_request(kind, Message("approval_of_value", **values), values, mapping.key)


def _sides_of_clear(clear: ApprovalRequest) -> tuple[Message, Message]:
    """Return the side where the field was emptied, and the side that still has a value."""
    sides = (Message("in_npd"), Message("on_monday"))
    return sides if clear.kind == choices.ApprovalKind.CLEAR_MONDAY else sides[::-1]


def _key_of(request: ApprovalRequest) -> tuple[UUID, str, str]:
    return request.entity_id, request.kind, request.key


def _hold_clear(
    facts: PassFacts, plan: pass_plan.RecordPlan, clear: ApprovalRequest, request: ApprovalRequest | None
) -> None:
    """Have a field wait for approval to be emptied, or give it its value back after a rejection."""
    field_plan = plan.fields[clear.key]
    value = clear.values["value"]
    emptied, filled = _sides_of_clear(clear)
    if request is None or request.state != choices.ApprovalState.REJECTED:
        label = field_plan.mapping.label
        reason = Message("clear_waits", emptied=emptied, filled=filled, value=value)
        sentence = Message("approval_needed", label=label, value=value, emptied=emptied, filled=filled)
        if UNREPORTED in clear.values:
            reason = Message("refill_waits", value=value)
            sentence = Message("emptied_unreported", label=label, value=value)
        field_plan.block(choices.BlockedCode.APPROVAL, reason)
        if request is None:
            plan.add_line(ActivityKind.APPROVAL, sentence, clear.key, values={"before": value})
    else:
        _write_back(facts, plan, clear, field_plan)


def _write_back(
    facts: PassFacts, plan: pass_plan.RecordPlan, clear: ApprovalRequest, field_plan: pass_plan.FieldPlan
) -> None:
    """Write the value back, because a person rejected emptying this field."""
    action = merge.Action.PUSH
    needed_direction = choices.SyncDirection.NPD_TO_MONDAY
    if clear.kind == choices.ApprovalKind.CLEAR_MONDAY:
        action = merge.Action.PULL
        needed_direction = choices.SyncDirection.MONDAY_TO_NPD
    if field_plan.direction not in (choices.SyncDirection.BIDIRECTIONAL, needed_direction):
        emptied, filled = _sides_of_clear(clear)
        reason = Message("kept_one_way", value=clear.values["value"], filled=filled, emptied=emptied)
        field_plan.block(choices.BlockedCode.DIRECTION, reason)
        return
    field_plan.decide(action, Message("person_kept_it_filled"))
    field_plan.send_raw = None
    field_plan.pull_raw = None
    FieldRule(facts, plan, field_plan, plan.compared(facts.board, field_plan.mapping)).apply()


def new_clear_requests(plan: pass_plan.Plan, *states: choices.ApprovalState) -> list[ApprovalRequest]:
    """Return the plan's new requests to empty fields that are in one of these states."""
    return [request for request in plan.new_requests if request.state in states]


def ended_requests(
    open_requests: Iterable[ApprovalRequest], plans: Mapping[UUID, pass_plan.RecordPlan]
) -> Iterator[tuple[ApprovalRequest, choices.ApprovalState]]:
    """Yield those open requests that these plans carried out, or that have lost their cause, with their new states."""
    for request in open_requests:
        record_plan = plans.get(request.entity_id)
        if record_plan is None or not record_plan.fields:
            continue
        field_plan = record_plan.fields.get(request.key)
        if field_plan is None or field_plan.conflict:
            yield request, choices.ApprovalState.RELEASED
            continue
        base = record_plan.sync_state.base.get(request.key)
        if field_plan.blocked_code or base is None:
            continue
        try:
            converter = field_plan.converter
            local = converter.canonical_local(base["local"])
            remote = converter.canonical_remote(base["remote"])
            is_on_monday = converter.canonical_remote(field_plan.remote_raw) == remote
            if field_plan.send_raw is not None:
                is_on_monday = record_plan.write.item is not None
            is_in_npd = converter.canonical_local(local_values(record_plan.record, field_plan.mapping)) == local
        except UnknownValue:
            continue
        if not (is_on_monday and is_in_npd and (local is None) is (remote is None)):
            continue
        # Both sides are empty, or both are filled again. If nobody decided so, the cause has ended by itself.
        decision = choices.ApprovalState.APPROVED if local is None else choices.ApprovalState.REJECTED
        state = choices.ApprovalState.DONE if local is None else choices.ApprovalState.KEPT
        if request.state != decision:
            state = choices.ApprovalState.RELEASED
        yield request, state
