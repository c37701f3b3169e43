"""What becomes of a record in NPD once its pass is done, computed before settle writes it, and whether that is nothing.

Of its fields, by their plans, the record as it is locked, and what Monday's answer shows; of its sync state and status;
what the store of conflicts is told; and what its history says, with the cause of each line. Pure.

Decides of docs/reference/merge.md, “After a write”: *the pair becomes*, *a relation that the answer to a create shows
empty*; and all of “What sync_status may say”.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from conflicts.reports import (
    KIND_DELETE,
    KIND_FIELDS,
    KIND_IDENTITY,
    KIND_LOST_UPDATE,
    KIND_UNDO,
    RECORD_KEY,
    ConflictReport,
    FieldConflict,
    OpenConflict,
)
from sync.choices import Cause, RecordSyncStatus, SyncStatus
from sync.kernel.humanize import without_request_id
from sync.merge import CHANGED_ON_MONDAY, Action, FieldDirection
from sync.models import Decision, Intent, SyncedModel, SyncMetadata
from sync.models.state import MAX_ACTOR_LENGTH, REFILLS, approval_payload_key
from sync.monday.board import EventKind, ItemEvent
from sync.monday.board_items import Item
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.monday.texts import looks_same, match_key, name_invisible
from sync.outbox.claim import Claim
from sync.reconcile import resolutions
from sync.reconcile.facts import RETURN, HistoryLine, RecordFacts
from sync.reconcile.field_plan import AS_SENT, is_kept_different, new_base, way_of, with_kept_different
from sync.reconcile.field_values import ACTIVE, BoardContext, field_of, still_holds, update_values
from sync.reconcile.identity import wants_new_item
from sync.reconcile.lost_updates import LostUpdateConflict, is_telling, seen_after
from sync.reconcile.pass_plan import FieldPlan, Outcome, PassFacts, Plan, RecordAction, RecordPlan
from sync.reconcile.restraints import ended_requests, known_loop
from sync.reconcile.writes import NOTHING_SENT, Answer
from sync.records.authors import SYNC_ACTOR, Deletion, last_author, last_edit, monday_editor_name, monday_user_name
from sync.records.blocked_fields import KEPT_BY, SIDE_NPD, SIDES, is_blocking
from sync.registry import target_of

_NOT_SHOWN = object()


@dataclass(frozen=True)
class FieldSettlement:
    """What becomes of one field: computed first, from its plan and the record as it is locked, and then written.

    `values` are written to the record. `base` is the new pair (None leaves it, an empty one takes it away); `altered`
    why Monday keeps another value than was sent, as the ledger has it (None leaves what was said, an empty one ends
    it), a note where nothing is lost by that. `moved` is its line in the history: kind, how, before, after. `result` is
    the value that a person's decision led to. `overtaken`: the record was saved meanwhile, so a job of its own goes on.
    `recheck` is why both sides are soon read again; `keeps_intent`: the intent stays open until then.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] | None = None
    altered: Mapping[str, Any] | None = None
    moved: tuple[str, str, str, str] | None = None
    resolved: bool = False
    result: str = ""
    overtaken: bool = False
    recheck: str = ""
    keeps_intent: bool = False


_NOT_TOLD = FieldSettlement(recheck="Monday's answer didn't show what was written.", keeps_intent=True)
"""Base and intent stay, and the next pass finds out what stands there."""

_OVERTAKEN = FieldSettlement(overtaken=True)


def settled_field(  # noqa: PLR0911 - a table
    field_plan: FieldPlan, record: SyncedModel, read: Item | None, written: Item | None, *, creates: bool = False
) -> FieldSettlement:
    """Return what becomes of a field: `record` is what NPD holds now, `written` the item as the answer showed it.

    `read` is the item before; `creates` says that the call made it.
    """
    item = written or read
    if item is None or field_plan.blocked_reason or field_plan.conflict or not field_plan.mapping.column_id:
        # A blocked field or one in conflict keeps its base, as the intents left it.
        return FieldSettlement(base=field_plan.base if read is not None else None)
    action = field_plan.decision.action
    sent = field_plan.send_raw is not None and written is not None
    if field_plan.resolves is not None and field_plan.resolved_kind == KIND_UNDO:
        inverse = field_plan.resolves.inverse[field_plan.mapping.key]
        return _settle_undo(field_plan, inverse["before"]["base"], record, item, sent=sent)
    if action is Action.PUSH and sent:
        return _completed(_settle_push(field_plan, item, creates=creates), field_plan, record)
    if action is Action.PULL or (action is Action.BOTH and sent):
        return _settle_pull(field_plan, record, item, sent=sent)
    if action is Action.AGREED:
        return _completed(_settle_agreed(field_plan, item, creates=creates), field_plan, record)
    if action is Action.NOTHING and field_plan.base is not None:
        confirmed = field_plan.confirmed_entry is not None
        result = field_plan.display_local(field_plan.local_raw) if confirmed else ""
        return FieldSettlement(base=field_plan.base, resolved=confirmed, result=result)
    return FieldSettlement()


def _completed(settlement: FieldSettlement, field_plan: FieldPlan, record: SyncedModel) -> FieldSettlement:
    """Store what was agreed on in a form that goes on to mean the same, as a phone number with its country."""
    raw = field_plan.local_raw
    complete = field_plan.convert.completed(raw)
    if complete == raw or not settlement.base or not still_holds(record, raw):
        return settlement
    values = {**settlement.values, **update_values(type(record), complete)}
    return replace(settlement, values=values, base={**settlement.base, "local": dict(complete)})


def _settle_undo(
    field_plan: FieldPlan, base: Mapping[str, Any] | None, record: SyncedModel, item: Item, *, sent: bool
) -> FieldSettlement:
    """Undo how the field was settled, only where both sides still are as they were when that was planned.

    The base is the one of before the resolution, against which both sides have moved apart.
    """
    if field_plan.send_raw is not None and not sent:
        return FieldSettlement()
    if field_plan.send_raw is not None and _answered_value(field_plan, item) is _NOT_SHOWN:
        return _NOT_TOLD
    if field_plan.write_raw is not None and not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    values = update_values(type(record), field_plan.write_raw) if field_plan.write_raw is not None else {}
    return FieldSettlement(values, base=base or {}, altered={}, resolved=True)


def _settle_push(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    convert, answered = field_plan.convert, _answered_value(field_plan, item)
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    sent, stored = convert.local(field_plan.send_raw or {}), convert.remote(answered)
    # Users saw creates drop relations without an error: it is sent once more, as a change of its own.
    if creates and convert.names_items and sent and not stored:
        return FieldSettlement(recheck="Monday made the item without its connected items.")
    before = convert.display(convert.remote(field_plan.remote_raw)) if field_plan.remote_raw is not None else ""
    shown, made = convert.display(sent), convert.display(stored)
    is_lossless = not convert.names_items and looks_same(shown, made)
    advice = "Nothing is lost by that." if is_lossless else "Change it on either side."
    reason = f"Monday made “{name_invisible(made)}” of “{name_invisible(shown)}”. {advice}"
    altered = {"reason": reason, "lossless": is_lossless} if sent != stored else {}
    base = new_base(field_plan.mapping, item.id, field_plan.send_raw, answered)
    moved = ("push", "sent to Monday", before, shown)
    return FieldSettlement(base=base, altered=altered, moved=moved, resolved=True, result=shown)


def _settle_pull(field_plan: FieldPlan, record: SyncedModel, item: Item, *, sent: bool) -> FieldSettlement:
    """Write a value only where the record still holds the one that the merge saw; else a row waits."""
    if field_plan.write_raw is None:
        return FieldSettlement()
    if not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    answered = _answered_value(field_plan, item) if sent else field_plan.remote_raw
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    before, after = field_plan.display_local(field_plan.local_raw), field_plan.display_local(field_plan.write_raw)
    values = update_values(type(record), field_plan.write_raw)
    base = new_base(field_plan.mapping, item.id, field_plan.write_raw, answered)
    moved = ("pull", "written on both sides" if sent else "updated from Monday", before, after)
    return FieldSettlement(values, base=base, altered={}, moved=moved, resolved=True, result=after)


def _settle_agreed(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    """Both sides stay as they are; of a new item's empty fields the answer tells whether Monday left them so."""
    remote_raw = field_plan.remote_raw
    if creates:
        remote_raw = _answered_value(field_plan, item)
        if remote_raw is _NOT_SHOWN:
            return _NOT_TOLD
        if field_plan.convert.remote(remote_raw) != field_plan.convert.local(field_plan.local_raw):
            return FieldSettlement(recheck="Monday filled in a value of its own.")
    base = new_base(field_plan.mapping, item.id, field_plan.local_raw, remote_raw)
    # A person chose what both sides hold already: the empty side, where the other's column was replaced.
    result = field_plan.display_local(field_plan.local_raw) if field_plan.resolves else ""
    return FieldSettlement(base=base, altered={}, resolved=True, result=result)


def _answered_value(field_plan: FieldPlan, item: Item) -> Any:
    """The raw value that Monday's answer shows, or _NOT_SHOWN where it doesn't."""
    try:
        raw = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
        field_plan.convert.remote(raw)
    except UnknownValue:
        return _NOT_SHOWN
    return raw


@dataclass(frozen=True)
class FieldsSettlement:
    """What becomes of all fields of a record: the columns to write, both halves of the sync state, the history.

    `results` are the values to which a person's decisions led, by the conflict's kind and the field; the rest is as
    FieldSettlement has it.
    """

    values: Mapping[str, Any]
    base: dict[str, Any]
    altered: dict[str, Any]
    lines: tuple[HistoryLine, ...]
    results: Mapping[tuple[str, str], str | None]
    overtaken: bool
    recheck: str
    keeps_intent: bool


def settled_fields(plan: RecordPlan, answer: Answer, record: SyncedModel, read_at: datetime) -> FieldsSettlement:
    """Return what becomes of the record's fields, of which `record` is what NPD holds now."""
    plans, ledger = plan.plans, plan.ledger
    base, altered, found = dict(ledger.base), dict(ledger.altered), dict[str, FieldSettlement]()
    for key, field_plan in plans.items():
        if _is_at_rest(field_plan, ledger.base.get(key)):  # as nearly all are
            continue
        one = found[key] = settled_field(field_plan, record, plan.item, answer.item_of(key), creates=plan.creates)
        if one.base and one.base != base.get(key):
            # By its time a page tells whether what a pass read is older than what it then wrote.
            base[key] = {**one.base, "at": read_at.isoformat()}
        elif one.base is not None and not one.base:
            base.pop(key, None)
        if one.altered is not None:
            altered.pop(key, None)
            altered |= {key: one.altered} if one.altered else {}
    return FieldsSettlement(
        values={name: value for one in found.values() for name, value in one.values.items()},
        base=base,
        altered=altered,
        # What a person chose stands in the history of its conflict already.
        lines=tuple(
            _moved_line(plan, plans[k], one) for k, one in found.items() if one.moved and not plans[k].resolves
        ),
        results={
            (plans[k].resolved_kind, k): one.result or None
            for k, one in found.items()
            if one.resolved and plans[k].resolves
        },
        overtaken=any(one.overtaken for one in found.values()),
        recheck=next((one.recheck for one in found.values() if one.recheck), ""),
        keeps_intent=any(one.keeps_intent for one in found.values()),
    )


def _is_at_rest(field_plan: FieldPlan, base: Mapping[str, Any] | None) -> bool:
    """Whether nothing becomes of a field, and its base is the stored one."""
    is_answered = field_plan.resolves is not None or field_plan.confirmed_entry is not None
    return field_plan.base is base and field_plan.decision.action is Action.NOTHING and not is_answered


def values_of_push(field_plan: FieldPlan) -> dict[str, Any]:
    """Return what NPD would hold had Monday's value stood, and what it holds; nothing where that can't be told.

    Where Monday showed what was last agreed, NPD's own spelling of that counts; else what Monday showed, which is
    also what a rule that lets NPD win has overridden.
    """
    convert, base, remote_raw = field_plan.convert, field_plan.base, field_plan.remote_raw
    if remote_raw is None:
        return {}
    try:
        if base and not base.get(AS_SENT) and convert.remote(base["remote"]) == convert.remote(remote_raw):
            before = dict(base["local"])
        else:
            before = dict(convert.to_local(remote_raw, field_plan.local_raw))
    except (AmbiguousSplit, UnknownValue, ValueError):
        return {}
    return {"raw_before": before, "raw_after": dict(field_plan.local_raw)}


def _moved_line(record: RecordPlan, plan: FieldPlan, found: FieldSettlement) -> HistoryLine:
    assert found.moved is not None
    kind, how, before, after = found.moved
    reason, actor, more = plan.decision.reason, "", dict[str, Any]()
    raws = {"raw_before": dict(plan.local_raw), "raw_after": dict(plan.write_raw or {})}
    if kind != "pull":
        raws = values_of_push(plan)
    if kind == PUSH and not before and resolutions.is_column_replaced(record.facts, plan):
        by = record.facts.claim.payload.get(plan.mapping.remap_key, "")
        reason = f"{by} gave it another column" if by else "its column was replaced"
        former = record.ledger.base.get(plan.mapping.key, {}).get("local", plan.local_raw)
        if former == plan.local_raw:
            # Nobody edited it: who made it be sent is who replaced the column.
            actor, how, more = by or SYNC_ACTOR, "filled into the new column", {REFILLS: True}
        else:
            # The empty column isn't what the edit replaced.
            before, raws = plan.display_local(former), {"raw_before": former, "raw_after": dict(plan.local_raw)}
    was = f" (was “{before}”)" if before else ""
    because = "" if reason == CHANGED_ON_MONDAY else f": {reason}"
    sentence = f"{plan.mapping.label} “{after}”{was} {how}{because}."
    values = {"before": before, "after": after, "overridden": plan.decision.overrides}
    return HistoryLine(kind, sentence, plan.mapping.key, actor, values=values | raws | more)


# What its sync state and its status say then, and which of its relations wait.


def state_after(plan: RecordPlan, before: SyncMetadata, now: datetime) -> dict[str, Any]:
    """Return what the record's sync state says after this pass of `now`, where `before` is what is stored."""
    found, plans, outcome = plan.ledger, plan.plans, plan.outcome
    conflicts, asked_items = _ledger_conflicts(plan, found.conflicts), found.asked_items
    if plan.identity.question:
        asked_items = [candidate["id"] for candidate in plan.identity.question["candidates"]]
    blocked = before.blocked_fields
    # A pass that planned nothing leaves what is blocked, and what a person said of it meanwhile.
    if plans:
        blocked = with_kept_different(plan, _blocked_fields(plan, blocked, now), blocked)
    error_count, last_error = before.error_count, before.last_error
    if outcome is Outcome.FAILED:
        error_count, last_error = error_count + 1, plan.ending.detail
    elif outcome is Outcome.SETTLED:
        error_count, last_error = 0, ""
    return {
        "base": found.base,
        "altered": found.altered,
        "blocked_fields": blocked,
        "note": plan.reason,
        "remote_state": found.remote_state,
        "seen": found.seen,
        "removed_since": found.removed_since,
        "removed_passes": found.removed_passes,
        "remote_id": plan.record.monday_id,
        "conflicts": conflicts,
        "asked_items": asked_items if "identity" in conflicts else [],
        "left_out": found.left_out,
        "error_count": error_count,
        "last_error": last_error,
    }


def _blocked_fields(plan: RecordPlan, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What this pass has found blocked, on which side each value is stuck, and since when it is for this reason.

    “left out” is a relation that doesn't keep its record from being in sync.
    """
    found = {}
    for key, p in plan.plans.items():
        if p.blocked_code is not None:
            found[key] = {
                "reason": p.blocked_reason,
                "code": p.blocked_code,
                "side": SIDES.get(p.blocked_code, SIDE_NPD),
                "local": p.local_raw,
                "column": p.mapping.column_id,
                "version": p.mapping.version,
            }
            known = before.get(key, {})
            is_same = all(_comparable(known.get(name)) == _comparable(value) for name, value in found[key].items())
            found[key]["since"] = known.get("since", now.isoformat()) if is_same else now.isoformat()
    return found


def _comparable(value: Any) -> Any:
    return without_request_id(value) if isinstance(value, str) else value


def _ledger_conflicts(plan: RecordPlan, before: dict[str, Any]) -> dict[str, Any]:
    if not plan.may_sync:
        return {}
    lost_fields = list[str]()
    if plan.facts.conflicts or plan.lost.reports:
        lost_fields = [
            *LostUpdateConflict(plan).open_fields,
            *(field.key for field in resolutions.reopened_lost_updates(plan)),
        ]
    kinds = {kind: named for kind, named in before.items() if kind != KIND_LOST_UPDATE}
    if plan.removal is not None:
        # What is open about its values stays as it was; whether it is asked what becomes of the record is known anew.
        kinds.pop(KIND_DELETE, None)
        if plan.removal.needs_answer:
            kinds[KIND_DELETE] = [plan.removal.what]
    else:
        if plan.plans or plan.identity.question is not None or plan.identity.wait_seconds:
            kinds = {}
        fields = [*(conflict.key for conflict in fields_in_conflict(plan)), *undecided_fields(plan)]
        if fields:
            kinds["fields"] = fields
        if plan.identity.question:
            kinds["identity"] = [plan.identity.question["what"]]
    return kinds | ({KIND_LOST_UPDATE: list(dict.fromkeys(lost_fields))} if lost_fields else {})


def sync_status(
    board: BoardContext, plan: RecordPlan, ledger: Mapping[str, Any], *, has_open_work: bool
) -> RecordSyncStatus:
    """Return the first that fits of disabled, conflict, synced, pending; `ledger` is its sync state after the pass."""
    if not plan.may_sync:
        return RecordSyncStatus.DISABLED
    if ledger["conflicts"]:
        return RecordSyncStatus.CONFLICT
    # Monday made something else of a value; a field that isn't synced any more has nothing to put right.
    altered = {key for key, entry in ledger["altered"].items() if not entry.get("lossless")}
    is_altered = altered and any(
        mapping.key in altered and way_of(plan, mapping) is not FieldDirection.NONE for mapping in board.mappings
    )
    if has_open_work or is_altered or any(map(is_blocking, ledger["blocked_fields"].values())) or plan.reason:
        return RecordSyncStatus.PENDING
    if not plan.is_settled or not plan.record.monday_id:
        return RecordSyncStatus.PENDING
    # A side may be known to have left its half of the base, as by a pull that gave way to a save. A relation that is
    # left out, or a value that a person left in NPD, may differ.
    has_diverged = plan.item is not None and any(
        p.decision.action is not Action.NOTHING and key not in ledger["base"]
        for key, p in plan.plans.items()
        if p.mapping.column_id and not p.is_left_out and KEPT_BY not in ledger["blocked_fields"].get(key, {})
    )
    return RecordSyncStatus.PENDING if has_diverged else RecordSyncStatus.SYNCED


LEDGER_STATUS = {
    RecordSyncStatus.SYNCED: SyncStatus.COMPLETED,
    RecordSyncStatus.DISABLED: SyncStatus.SKIPPED,
    RecordSyncStatus.CONFLICT: SyncStatus.COMPLETED,
    RecordSyncStatus.PENDING: SyncStatus.PENDING,
}


def awaited_relations(
    board: BoardContext, plans: Mapping[UUID, Mapping[str, FieldPlan]]
) -> list[tuple[UUID, str, str, str]]:
    """Return which relations wait, each with the type and the item or name of the record that has to come. Pure."""
    targets = {mapping.key: target_of(field).entity_type() for mapping, field in board.relations}
    return [
        (entity_id, key, targets[key], match_key(field_plan.awaits))
        for entity_id, of_record in plans.items()
        for key, field_plan in of_record.items()
        if field_plan.awaits and key in targets
    ]


# Whether a plan is empty: carried out, it would leave all of this as it is stored.


def changed_records(
    facts: PassFacts, plan: Plan, awaited: Iterable[tuple[UUID, str, str, str]], with_jobs: Collection[UUID] = ()
) -> frozenset[UUID]:
    """Return the records of which the pass would send, write, ask or end anything; of all others the plan is empty.

    When the pass was is no change. `awaited` are the stored waits of their relations, as awaited_relations returns
    them. Of those `with_jobs` nothing counts that their jobs stand for: events, an open intent, that they are pending.
    """
    planned = {one.id: one.plans for one in plan.records.values() if one.plans}
    # The database keeps what is waited for in lower case.
    waiting = set(awaited_relations(facts.board, planned))
    found = {entity_id for entity_id, *_ in waiting ^ set(awaited)} & planned.keys()
    found |= {one.record.pk for one in plan.duplicates}
    if clears := plan.clears:
        found |= {clear.facts.id for clear in (*clears.counted, *clears.pending)}
        found |= {act.entity_id for act in clears.released} | {one.id for _, _, one in ended_requests(plan)}
    stored = {one.id: one.ledger for one in facts.records}
    return frozenset(found).union(
        one.id
        for one in plan.records.values()
        if one.id not in found and not _stays(facts, one, stored[one.id], has_job=one.id in with_jobs)
    )


def _acts(one: RecordPlan, *, has_job: bool) -> bool:
    """Whether the pass would do, log or end anything of a record besides what it stores.

    What a job that waits was made for is ended by that.
    """
    known, plans = one.facts, one.plans.values()
    has_ends = (one.item and known.events) or (plans and (known.intents or known.has_failed_job))
    return bool(
        (one.removal or one.unlink or one.creates or one.link_to or one.leaving)
        or (one.log or one.fields.write_npd_id)
        or any(p.send_raw is not None for p in plans)
        or (has_ends and not has_job)
        # What a person decided waits to be carried out.
        or any(conflict.resolutions or conflict.kind == KIND_UNDO for conflict in known.conflicts)
        or any(replace(loop, blocked_reason="") != known_loop(known, loop.key) for loop in one.loops.values())
    )


def _stays(facts: PassFacts, one: RecordPlan, before: SyncMetadata, *, has_job: bool) -> bool:
    """Whether all that the pass would store of this record is stored already, and it does nothing else."""
    known, done = one.facts, one.end(Outcome.SETTLED) if one.is_open else one
    if not done.is_settled or _acts(one, has_job=has_job):
        return False
    fields = settled_fields(one, NOTHING_SENT, one.record, facts.now)
    if fields.values or fields.lines or fields.overtaken or fields.recheck:
        return False
    done = done.with_state(base=fields.base, altered=fields.altered)
    if is_telling(done):
        done = done.with_state(seen=seen_after(done, facts.settings, facts.now))
    after = state_after(done, before, facts.now)
    if any(value != getattr(before, name) for name, value in after.items() if name != "seen"):
        return False
    status = sync_status(facts.board, done, after, has_open_work=False)
    of_ledger = SyncStatus.FAILED if known.has_failed_job else LEDGER_STATUS[status]
    is_said = has_job or (status, of_ledger) == (one.record.sync_status, before.sync_status)
    if not is_said or not _is_seen(after["seen"], before.seen):
        return False
    # Nearly no record has anything to tell the store of conflicts.
    tells = known.conflicts or after["conflicts"] or one.duplicate
    return not (tells and any(_is_news(report, known) for report in conflict_reports(done)))


def _is_seen(after: Mapping[str, Sequence[Sequence[Any]]], before: Mapping[str, Sequence[Sequence[Any]]]) -> bool:
    """Whether passes saw the newest values before; that others are too old to be kept is no reason for a pass."""
    return all(key in before and before[key][-1][0] == entries[-1][0] for key, entries in after.items())


def _is_news(report: ConflictReport, known: RecordFacts) -> bool:
    """Whether the report opens a conflict, or ends one; fields that join or leave one stand in the sync state, too."""
    of_kind = [conflict for conflict in known.conflicts if conflict.kind == report.kind]
    if report.kind == KIND_IDENTITY:
        of_kind = [conflict for conflict in of_kind if conflict.monday_item_id == report.monday_item_id]
    return bool(report.fields or report.undecided or report.data) is not bool(of_kind)


PUSH, CREATED, UNLINKED = "push", "create", "unlinked"
DELETION_KINDS = ("delete", "deleted", "archived")
"""What is told of a deleted record's item: whoever deleted the record did that."""

_FROM_NPD = {PUSH, "overridden", "conflict"}
_FROM_MONDAY = {"pull"}


@dataclass(frozen=True)
class Authors:
    """Who edited what, for the records of one pass; read only where a line of the history asks for it."""

    history: dict[UUID, list[Any]] = field(default_factory=dict)
    users: Mapping[Any, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)
    deletions: Mapping[UUID, Deletion] = field(default_factory=dict)


@dataclass(frozen=True)
class PassId:
    """Which pass it was: its id, and the id of the request that read Monday, or an empty text."""

    id: UUID
    read_request: str = ""


def moved_records(plans: Iterable[RecordPlan]) -> set[UUID]:
    """Return the records of which a line says that somebody's edit in NPD moved: whose is to be known."""
    return {plan.id for plan in plans for line in plan.log if line.key and _needs_history(line)}


def _needs_history(line: HistoryLine) -> bool:
    is_edit = line.kind in _FROM_NPD and REFILLS not in line.values
    return is_edit or bool(line.values.get("overridden"))


def cause_of_claim(claim: Claim) -> dict[str, Any]:
    cause_data: dict[str, Any] = {
        "rows": [row.id for row in claim.rows],
        "causes": [str(cause.name).lower() for cause in Cause if cause in claim.causes],
    }
    if by := claim.payload.get("by"):
        cause_data["by"] = str(by)
    return cause_data


def cause_of_item(claim: Claim, events: Sequence[int], rule: str, read: str) -> dict[str, Any]:
    """Return the cause of a decision on an item that no record had; `read` is the id of the request that read it."""
    cause_data = cause_of_claim(claim) | {"events": list(events), "rule": rule}
    return cause_data | ({"read": read} if read else {})


def history_row(line: HistoryLine, plan: RecordPlan, intent: Intent | None, this: PassId, authors: Authors) -> Decision:
    """Return what is stored of a line of a record's history: with the pass, Monday's request and its cause.

    `intent` announced the record's call, where that stands open.
    """
    field_plan = plan.plans.get(line.key)
    columns = (None, field_plan.mapping.column_id) if field_plan else ()
    events = [(r.pk, r.event) for r in plan.facts.events if r.event and (not columns or r.event.column_id in columns)]
    cause = cause_of_claim(plan.facts.claim) | {"events": [pk for pk, _ in events]}
    if field_plan is not None and field_plan.decision.reason:
        cause |= {"rule": field_plan.decision.reason, "action": str(field_plan.decision.action)}
    if this.read_request:
        cause["read"] = this.read_request
    request_id, actor = this.read_request, line.actor
    if intent is not None and line.kind not in _FROM_MONDAY:
        request_id = intent.request_id
        cause |= {"intent": str(intent.pk), "alias": intent.alias}
    if field_plan is not None:
        editors, actor = _editors(line, plan, field_plan, [event for _, event in events], authors)
        cause |= editors
        if REFILLS in line.values and (by := plan.facts.claim.payload.get(field_plan.mapping.remap_key)):
            cause["by"] = by
    if line.kind == RETURN and not actor:
        restored = [event.user_id for _, event in events if event.kind is EventKind.RESTORED and event.user_id]
        actor = monday_editor_name(restored[-1], authors.people) if restored else ""
    if line.kind in DELETION_KINDS and (deletion := authors.deletions.get(plan.id)):
        actor = actor or deletion.by
        cause |= {"deletion": deletion.act} if deletion.act else {"act": deletion.request} if deletion.request else {}
    is_recreation = plan.removal is not None and plan.removal.act is RecordAction.CREATE
    if (plan.creates and line.kind in (PUSH, CREATED)) or (is_recreation and line.kind == UNLINKED):
        # Whoever asked for the item gave it its values, too, whoever had typed them.
        by = plan.facts.claim.payload.get("by") or line.actor
        actor, act = (str(by), "") if by else last_author(authors.history.get(plan.id, ()), authors.users)
        cause |= {"made": True} | ({"act": act} if act and Cause.SAVE in plan.facts.causes else {})
    # What a person approved or rejected is one act with what came of it.
    approval = plan.facts.claim.payload.get(approval_payload_key(line.key))
    return Decision(
        entity_type=plan.record.entity_type(),
        entity_id=plan.id,
        remote_id=line.item_id,
        key=line.key,
        kind=line.kind,
        sentence=line.sentence,
        values=line.values,
        actor=actor,
        batch_id=this.id,
        request_id=request_id,
        cause=cause,
        # The undo's own entry says what was restored.
        folded=bool(approval) or (line.kind == PUSH and "undo" in cause.get("npd", {})),
        fold_id=UUID(approval) if approval else None,
    )


def _editors(
    line: HistoryLine, plan: RecordPlan, field_plan: FieldPlan, events: Sequence[ItemEvent], authors: Authors
) -> tuple[dict[str, Any], str]:
    """Who edited on either side, as far as it is known, and the actor: of a value taken over its editor."""
    attnames, actor = [field_of(plan.record, name).attname for name in field_plan.mapping.fields], line.actor
    needs_history = _needs_history(line)
    history, found = authors.history.get(plan.id, []) if needs_history else [], dict[str, Any]()
    if (edit := last_edit(history, attnames, authors.users)) is not None:
        found["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
        if edit.is_undo:
            found["npd"]["undo"] = True
        if line.kind == PUSH and not actor and edit.who != SYNC_ACTOR:
            actor = edit.who[:MAX_ACTOR_LENGTH]
        # A first load, and what somebody had sent again, is no act of whoever typed the values, maybe long ago.
        is_of_edit = field_plan.base is not None and (not line.actor or Cause.SAVE in plan.facts.causes)
        if line.kind == PUSH and is_of_edit and edit.act and edit.who != SYNC_ACTOR:
            found["act"] = edit.act
    last = next((event for event in reversed(events) if event.user_id), None)
    if last is not None and last.user_id and field_plan.decision.action is not Action.NOTHING:
        found["monday"] = {"who": monday_user_name(last.user_id, authors.people), "user": last.user_id}
        if last.happened_at is not None:
            found["monday"]["at"] = last.happened_at.isoformat()
        if line.kind in _FROM_MONDAY:
            actor = monday_editor_name(last.user_id, authors.people)
    return found, actor


# What a pass tells the store of conflicts about a record whose item is gone, or is back.


def removed_item_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """Yield what becomes of the question what is to be done, and of open questions that can't be settled meanwhile."""
    removed_item = plan.removal
    if removed_item is not None and removed_item.needs_answer and not plan.unlink:
        rejected = {RECORD_KEY: removed_item.problem} if removed_item.problem else {}
        options = [option.to_json() for option in removed_item.options]
        data = {"what": removed_item.what, "options": options}
        yield plan.conflict_report(KIND_DELETE, fields=removed_item.fields, rejected=rejected, data=data)
        # Choices of fields can't be carried out without an item: they are handed back, their conflict stays.
        detail = "The item left the board, so nothing could be written. First decide what happens to the record."
        for conflict in plan.facts.conflicts:
            if conflict.kind == KIND_FIELDS and conflict.resolutions:
                rejected = dict.fromkeys(conflict.resolutions, detail)
                yield plan.conflict_report(
                    KIND_FIELDS, conflict.monday_item_id, undecided=conflict.fields, rejected=rejected
                )
        return
    conflict_of = {conflict.kind: conflict for conflict in reversed(plan.facts.conflicts)}
    if KIND_DELETE in conflict_of and (detail := _answered_reason(plan)):
        is_chosen = removed_item is not None and removed_item.result and removed_item.chosen
        yield plan.conflict_report(
            KIND_DELETE,
            conflict_of[KIND_DELETE].monday_item_id,
            applied={RECORD_KEY: detail} if is_chosen else {},
            closing_reason=detail,
        )


def _answered_reason(plan: RecordPlan) -> str:
    """Why nobody is asked any more what becomes of the record; empty where that isn't known."""
    if plan.removal is not None and plan.removal.result:
        return plan.removal.result
    if plan.unlink:
        return "The record was unlinked from its item."
    if not plan.may_sync:
        return plan.off_reason
    is_read = plan.item is not None and plan.ledger.remote_state == ACTIVE
    return "The item is on the board again." if is_read and plan.removal is None else ""


# What a pass tells the store of conflicts.


def conflict_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """Yield one report for every kind of conflict that this pass opened, keeps or ends."""
    yield from removed_item_reports(plan)
    if plan.is_deleted:
        why = "The record was deleted in NPD."
        for conflict in plan.facts.conflicts:
            if conflict.kind != KIND_DELETE:
                yield plan.conflict_report(conflict.kind, conflict.monday_item_id, closing_reason=why)
        return
    plans, may_sync = plan.plans, plan.may_sync
    found = () if plan.left_out else fields_in_conflict(plan)
    applied, undone = plan.carried_out_of(KIND_FIELDS), resolutions.undo_results(plan, KIND_FIELDS)
    lost = LostUpdateConflict(plan)
    was_open = plan.facts.open_fields(KIND_FIELDS)
    if found or undone or (was_open and (plans or not may_sync)):
        # What a person resolved says nothing of the fields that left by themselves.
        left = [key for key in was_open if key not in applied] or was_open
        ways = [p.decision for key in left if (p := plans.get(key))]
        moved = [way for way in ways if way.action in (Action.PUSH, Action.PULL)]
        settled = "; ".join(dict.fromkeys(way.reason for way in moved))
        why = f"It was resolved: {settled}." if moved else "Both sides say the same now."
        if lost.replaced:
            why = "The column was replaced. What it had on Monday is asked about as an overwritten edit."
        yield plan.conflict_report(
            KIND_FIELDS,
            fields=found,
            undecided=() if plan.left_out else undecided_fields(plan),
            applied=applied,
            rejected={key: why for key, why in plan.rejected_of(KIND_FIELDS).items() if key in plans},
            closing_reason=why if may_sync else plan.off_reason,
            inverse={key: resolutions.inverse_of(plan, plans[key]) for key in applied},
            undone=undone,
            asked_in=dict.fromkeys((one.key for one in lost.replaced), KIND_LOST_UPDATE),
        )
    yield from resolutions.undo_reports(plan)
    if (overwritten := lost.report) is not None:
        yield overwritten
    yield from _identity_reports(plan)


def fields_in_conflict(plan: RecordPlan) -> tuple[FieldConflict, ...]:
    """Return the fields in conflict now; one whose choice could not be carried out yet is still among them."""
    found = []
    for key, field_plan in plan.plans.items():
        if field_plan.conflict:
            found.append(field_plan.conflict)
        elif field_plan.resolved_kind == KIND_FIELDS and (KIND_FIELDS, key) not in plan.carried_out:
            found.append(resolutions.as_conflict(field_plan))
    return (*found, *resolutions.reopened_conflicts(plan, KIND_FIELDS))


def undecided_fields(plan: RecordPlan) -> tuple[str, ...]:
    """Return the fields in conflict that this pass could not decide: they stay as they are, with their choices."""
    if not (was_open := plan.facts.open_fields(KIND_FIELDS)):  # as of nearly all records
        return ()
    decided = {conflict.key for conflict in fields_in_conflict(plan)}
    return tuple(
        key
        for key in was_open
        if key not in decided and (field_plan := plan.plans.get(key))
        if field_plan.blocked_reason or key in plan.fields.dropped
        if not is_kept_different(plan, field_plan)
    )


def _identity_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """What is asked: which item is the record's, or whether another record is the same person; and what is answered."""
    asked: dict[str, dict[str, Any]] = {}
    if question := plan.identity.question:
        asked[str(question["candidates"][0]["id"]) if question["candidates"] else ""] = question
    if plan.duplicate:
        asked[plan.record.monday_id or ""] = plan.duplicate
    for item_id, question in asked.items():
        yield plan.conflict_report(KIND_IDENTITY, item_id, data=question)
    is_read = plan.item is not None and plan.outcome is Outcome.SETTLED and plan.record.monday_id
    for conflict in plan.facts.conflicts:
        is_answered = RECORD_KEY in conflict.resolutions
        if conflict.kind != KIND_IDENTITY or conflict.monday_item_id in asked:
            continue
        if wants_new_item(plan.facts) and is_answered and not plan.left_out:
            # The answer “none of them” is carried out once the record has an item of its own, by whatever pass.
            if plan.link_to is not None or is_read:
                yield identity_report(plan, conflict, "None of them: a new item was created.")
        elif _is_identity_known(plan, conflict):
            why = plan.left_out or "It is now known which item it is."
            yield plan.conflict_report(KIND_IDENTITY, conflict.monday_item_id, closing_reason=why)


def identity_report(plan: RecordPlan, conflict: OpenConflict, done: str) -> ConflictReport:
    """Return what tells the store of conflicts that an answer to “who is this?” was carried out."""
    applied = {RECORD_KEY: done}
    return plan.conflict_report(KIND_IDENTITY, conflict.monday_item_id, applied=applied, closing_reason=done)


def _is_identity_known(plan: RecordPlan, conflict: OpenConflict) -> bool:
    """Whether it is known whose the item in question is, or that this record asks for none any more."""
    if not plan.may_sync or conflict.monday_item_id in plan.facts.owned_items:
        return True
    linked_now = plan.link_to is not None or plan.creates or plan.identity.question is not None
    is_read = plan.item is not None and plan.outcome is Outcome.SETTLED
    mine = conflict.monday_item_id == plan.record.monday_id
    return linked_now or (is_read and bool(plan.record.monday_id) and (mine or conflict.seeks_item))
