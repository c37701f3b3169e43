"""What a pass changes in NPD's records: of its plan, Monday's answers and the rows as they are locked. Pure.

settle.py locks, asks here, and writes what it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from conflicts.reports import KIND_IDENTITY, RECORD_KEY, ConflictReport
from sync.choices import ApprovalState, Cause, LedgerDirection, Priority, QueueDirection, QueueStatus, RecordSyncStatus
from sync.kernel.triggers import BOOKKEEPING
from sync.models import ApprovalRequest, SyncedModel, SyncMetadata, WriteLoop
from sync.monday.conversion import UnknownValue
from sync.reconcile.board_filter import left_after_write
from sync.reconcile.deleted_records import after_removals
from sync.reconcile.facts import BoardNow, HistoryLine
from sync.reconcile.field_values import ACTIVE, BoardContext
from sync.reconcile.identity import wants_new_item
from sync.reconcile.lost_updates import lost_lines, seen_after
from sync.reconcile.pass_plan import Outcome, PassFacts, Plan, RecordAction, RecordPlan
from sync.reconcile.removed_items import deleted, follows_policy, note_unlinked, recreated
from sync.reconcile.restraints import ended_requests, has_local_writes
from sync.reconcile.settlement import FieldsSettlement, conflict_reports, settled_fields, state_after, sync_status
from sync.reconcile.writes import NOTHING_SENT, Answer, Answers, after_answers
from sync.records.authors import SYNC_ACTOR

RECHECK_SECONDS = 10
"""By then Monday has filled in what it computes itself."""


def answered(facts: PassFacts, plan: Plan, answers: Answers) -> Plan:
    """Return the plan as Monday's answers leave it."""
    return after_answers(after_removals(facts.board, plan, answers), answers)


@dataclass(frozen=True)
class Wake:
    cause: Cause = Cause.DEPENDENCY
    priority: Priority = Priority.EDIT
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordChanges:
    """What a pass writes of one record; `plan` is as it ends, its facts have the record as it is then.

    `values` go to its row, or it `deletes` the record, which was gone already where it isn't `is_there`. `ignored` are
    items that are remembered against all, `excluded` against this record alone, with the reasons. `keeps_intent`: the
    announcement stays open, for the answer didn't show what was written.
    """

    plan: RecordPlan
    answer: Answer = NOTHING_SENT
    is_there: bool = True
    values: Mapping[str, Any] = field(default_factory=dict)
    deletes: bool = False
    wakes: tuple[Wake, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    keeps_intent: bool = False

    @property
    def id(self) -> UUID:
        return self.plan.id

    @property
    def shown_values(self) -> dict[str, Any]:
        """What Monday's answer shows of the fields that were sent, as a base has it."""
        found = {}
        for key, field_plan in self.plan.plans.items():
            item = self.answer.item_of(key)
            if field_plan.send_raw is not None and item is not None:
                with suppress(UnknownValue):
                    found[key] = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
        return found

    def before_deletion(self, loss: str) -> RecordChanges:
        """Return it as NPD shows it now: `loss` is what other records would lose by its deletion.

        A policy deletes only what nobody would miss: what names the record since it was decided is asked about.
        """
        removal = self.plan.removal
        if self.deletes and removal is not None and loss and not removal.chosen:
            return dropped(replace(self.plan, removal=None), self.answer, Outcome.RELEASED, _CHANGED)
        return self

    def after_deletion(self, needed: str) -> RecordChanges:
        """Return it once NPD was asked to delete the record; `needed` is why it could not."""
        assert self.plan.removal is not None
        return replace(self, plan=deleted(self.plan, self.plan.removal, needed))


_CHANGED = "It changed while it was synced."
SETTINGS_CHANGED = "Its settings changed while it was synced."


def dropped(plan: RecordPlan, answer: Answer, outcome: Outcome, detail: str) -> RecordChanges:
    """Nothing of the record is written that was planned; what was sent is found out by the next pass."""
    return RecordChanges(plan.drop(outcome, detail), answer.dropped())


def record_changes(
    board: BoardContext,
    plan: RecordPlan,
    answer: Answer,
    record: SyncedModel | None,
    read_at: datetime,
    paused: str = "",
    now: BoardNow | None = None,
) -> RecordChanges:
    """Return what is written of a record; `record` is what NPD holds now, None where it was deleted meanwhile.

    `paused` is why nothing may be written any more, as a sentence; `now` are the board's settings by now.
    """
    if paused and has_local_writes(plan):
        plan, answer = plan.drop(Outcome.RELEASED, paused), answer.dropped()
    if record is None:
        return RecordChanges(plan, answer, is_there=False)
    if (record.sync_enabled, record.sync_direction) != (plan.record.sync_enabled, plan.record.sync_direction):
        return dropped(plan, answer, Outcome.RELEASED, SETTINGS_CHANGED)
    if now is not None and plan.is_settled and _is_outdated(plan, now):
        return dropped(replace(plan, removal=None), answer, Outcome.RELEASED, SETTINGS_CHANGED)
    found = settled_fields(plan, answer, record, read_at)
    one = RecordChanges(
        _with_fields(plan, found),
        answer,
        values=found.values,
        wakes=(Wake(),) if found.overtaken else (),
        keeps_intent=found.keeps_intent,
    )
    one = _with_link(_with_unlink(_with_removed_item(one, record)), record)
    ended = one.plan.with_facts(record=_as_written(record, one.values))
    return replace(one, plan=ended if found.overtaken else left_after_write(board, ended, answer.item))


def _is_outdated(plan: RecordPlan, now: BoardNow) -> bool:
    """Whether what it takes over, or does because its item is gone, rests on a setting that was changed since."""
    if plan.removal is not None and not follows_policy(plan.removal, now.removed_item_policy):
        return True
    taken = [one.mapping for one in plan.plans.values() if one.write_raw is not None]
    return any(now.mappings.get(one.key) != (one.version, one.direction) for one in taken)


def _with_fields(plan: RecordPlan, found: FieldsSettlement) -> RecordPlan:
    plan = plan.with_state(base=found.base, altered=found.altered).logged(*found.lines)
    if found.results:
        known = plan.fields.results
        results = replace(known, carried_out={**known.carried_out, **found.results})
        plan = replace(plan, fields=replace(plan.fields, results=results))
    if found.recheck and plan.is_settled:
        return plan.end(Outcome.DEFERRED, found.recheck, wait_seconds=RECHECK_SECONDS)
    return plan


def _with_unlink(one: RecordChanges) -> RecordChanges:
    """The item of a record that lets go of it is remembered."""
    plan, unlink, item_id = one.plan, one.plan.unlink, one.plan.record.monday_id
    if unlink is None or not plan.is_settled or not item_id:
        return one
    sentence = (
        f"Unlinked from its item: {unlink.why}. Its sync is off; both sides keep what they have. "
        "“Link again” on the record's page undoes it."
    )
    plan = plan.logged(HistoryLine("unlinked", sentence, actor=unlink.actor)).with_state(remote_state="")
    values = {**one.values, "monday_id": None, "sync_enabled": False}
    return replace(one, plan=plan, values=values, ignored={item_id: f"Unlinked from “{plan.record}”: {unlink.why}."})


def _with_removed_item(one: RecordChanges, record: SyncedModel) -> RecordChanges:
    """What was decided about a record whose item is gone, as long as that is so of the record as it is locked."""
    plan, removal = one.plan, one.plan.removal
    if removal is None or not removal.act or not plan.is_settled:
        return one
    # Anything of it, mapped or not, may differ from what the pass read.
    names = [f.attname for f in record._meta.concrete_fields if f.attname not in BOOKKEEPING]
    is_edited = any(getattr(record, name) != getattr(plan.record, name) for name in names)
    is_linked_anew = record.monday_id != plan.record.monday_id
    if is_linked_anew or (removal.act is RecordAction.DELETE and is_edited):
        return dropped(replace(plan, removal=None), one.answer, Outcome.RELEASED, _CHANGED)
    if removal.act is RecordAction.CREATE:
        # The next pass makes the item, as the act of whoever asked for it; else of the board's setting.
        by = {"by": plan.facts.claim.payload.get("by") or SYNC_ACTOR}
        wake = Wake(Cause.PERSON, Priority.PERSON, by) if removal.chosen else Wake(payload=by)
        values = {**one.values, "monday_id": None}
        return replace(one, plan=recreated(plan, removal), values=values, wakes=(*one.wakes, wake))
    return replace(one, deletes=removal.act is RecordAction.DELETE)


def _with_link(one: RecordChanges, record: SyncedModel) -> RecordChanges:
    """The item that is its own by now, and those that a person said are not, once its own is made."""
    plan = note_unlinked(one.plan)
    own = plan.link_to or plan.record.monday_id
    values = {**one.values, "monday_id": plan.link_to} if plan.link_to not in (None, record.monday_id) else one.values
    excluded: dict[str, str] = {}
    if own and wants_new_item(plan.facts):
        # Where a pass after the answer found the item that a lost call had made, only the question names the others.
        answered = [c for c in plan.facts.conflicts if c.kind == KIND_IDENTITY and RECORD_KEY in c.resolutions]
        others = plan.identity.excluded_items or [c.monday_item_id for c in answered]
        why = f"A person said that it is not the item of “{plan.record}”."
        excluded = {item_id: why for item_id in others if item_id and item_id != own}
    return replace(one, plan=plan, values=values, excluded=excluded)


def _as_written(record: SyncedModel, values: Mapping[str, Any]) -> SyncedModel:
    if not values:
        return record
    # By hand, as changed_ledger; what is cached of a related record goes with its id.
    written = object.__new__(type(record))
    vars(written).update(vars(record), _state=copy(record._state))
    written._state.fields_cache = dict(record._state.fields_cache)
    for name, value in values.items():
        setattr(written, name, value)
    return written


# All records of a pass.


@dataclass(frozen=True)
class Changes:
    """What a pass writes of its records besides their own rows, once it is known which of these NPD takes.

    `ledgers` are the rows of their sync state, `ended` the requests for approval that are over, `reports` what the
    store of conflicts is told. What points at the `awaited` records waits no more.
    """

    records: Sequence[RecordChanges] = ()
    ledgers: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)
    ended: Sequence[tuple[ApprovalState, ApprovalRequest]] = ()
    reports: Sequence[ConflictReport] = ()
    awaited: Sequence[UUID] = ()

    @property
    def present(self) -> list[RecordChanges]:
        return [one for one in self.records if one.is_there]

    @property
    def existing(self) -> list[RecordPlan]:
        return [one.plan for one in self.present if not one.plan.is_deleted]


def changes(
    facts: PassFacts,
    plan: Plan,
    written: Sequence[RecordChanges],
    before: Mapping[str, SyncMetadata],
    took: dict[str, Any],
) -> Changes:
    """Return what a pass writes; `before` are the locked rows of the sync state, `took` what the pass itself says."""
    there = {one.id: one.plan for one in written if one.is_there}
    shown = [one.id for one in written if one.answer.item is not None]
    done = plan.with_records(there.values())
    ended = [(state, act) for act, state, one in ended_requests(done, shown) if one.id in there]
    for state, act in ended:
        if state is ApprovalState.RELEASED:
            line = HistoryLine("approval", f"Nothing waits for approval any more: {act.label}.", act.key)
            there[act.entity_id] = there[act.entity_id].logged(line)
    there = {
        key: one.logged(*lost_lines(one)).with_state(seen=seen_after(one, facts.settings, facts.now))
        for key, one in there.items()
    }
    existing = {key: one for key, one in there.items() if not one.is_deleted}
    known = {key: before[str(key)] for key in existing}
    gone_before = [one for key, one in existing.items() if known[key].remote_state not in ("", ACTIVE)]
    returned = [one.id for one in gone_before if one.ledger.remote_state == ACTIVE]
    # What points at a record that gets no item waits no more.
    left = [k for k, one in existing.items() if one.left_out and not one.record.monday_id and not known[k].left_out]
    return Changes(
        [replace(one, plan=there[one.id]) if one.is_there else one for one in written],
        {key: _ledger_row(facts, one, known[key]) | took for key, one in existing.items()},
        ended,
        [report for one in there.values() for report in conflict_reports(one)],
        [*returned, *left],
    )


def _ledger_row(facts: PassFacts, plan: RecordPlan, before: SyncMetadata) -> dict[str, Any]:
    ups = any(p.send_raw is not None for p in plan.plans.values())
    downs = any(p.write_raw is not None for p in plan.plans.values())
    one_way = LedgerDirection.LOCAL_TO_REMOTE if ups else LedgerDirection.REMOTE_TO_LOCAL
    direction = LedgerDirection.BIDIRECTIONAL if ups == downs else one_way
    return state_after(plan, before, facts.now) | {"id": before.pk, "sync_direction": direction}


def statuses(
    board: BoardContext, found: Changes, jobs: Sequence[tuple[UUID, str, str]], with_intent: Collection[UUID]
) -> dict[RecordSyncStatus, list[UUID]]:
    """Return which records have which status from now on.

    `jobs` are those that are left, pending or failed: whose, in which status, and which way.
    """
    saved = {pk for pk, *job in jobs if job == [QueueStatus.PENDING, QueueDirection.TO_MONDAY]}
    with_open_work = {pk for pk, *_ in jobs} | set(with_intent)
    by_status = dict[RecordSyncStatus, list[UUID]]()
    for plan in found.existing:
        status = sync_status(board, plan, found.ledgers[plan.id], has_open_work=plan.id in with_open_work)
        if plan.left_out and plan.id in saved and plan.record.may_sync:
            # Somebody saved it meanwhile: its next pass decides anew.
            status = RecordSyncStatus.PENDING
        by_status.setdefault(status, []).append(plan.id)
    return by_status


def loops_of(plans: Sequence[RecordPlan], *, has_ended: bool) -> Iterator[WriteLoop]:
    """Yield what was counted of fields that something on the board rewrites, or what is over."""
    for plan in plans:
        for loop in plan.loops.values() if plan.is_settled else ():
            if loop.has_ended is has_ended:
                yield WriteLoop(
                    entity_type=plan.record.entity_type(),
                    entity_id=plan.id,
                    key=loop.key,
                    times=list(loop.times),
                    by=loop.by,
                    throttle_count=loop.throttle_count,
                    throttled_until=loop.throttled_until,
                )


# What a pass did, in numbers.


@dataclass(frozen=True)
class PassResult:
    """How many records a pass settled, how many failed, how many wait again."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0


def pass_result(plan: Plan) -> PassResult:
    """Count the records and items of a pass by how their jobs end."""
    outcomes = [one.outcome for one in plan.records.values()] + [item.outcome for item in plan.items]
    outcomes += [one.ending.outcome for one in plan.deleted.values()]
    outcomes += [job.ending.outcome for job in plan.other_jobs]
    return PassResult(
        completed=outcomes.count(Outcome.SETTLED),
        failed=outcomes.count(Outcome.FAILED),
        waiting=sum(one in (Outcome.RELEASED, Outcome.DEFERRED) for one in outcomes),
    )
