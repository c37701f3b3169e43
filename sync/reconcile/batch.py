"""What one pass is about: its records and deleted records, with everything that is known of them and what becomes of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

import pghistory
from django.db import models

from sync.choices import ApprovalState, Cause, Priority, QueueDirection
from sync.clock import sync_now
from sync.connectors.base.board_items import Item
from sync.kernel.conflict_store import ConflictReport, FieldConflict, OpenConflict, Option, current_store
from sync.kernel.counters import PASSES, RECORDS_PROCESSED, Increment, Latency, increment, observe_latency
from sync.kernel.db import retry_on_lock_timeout
from sync.kernel.secret_texts import without_secrets
from sync.merge import FieldSelection
from sync.models import BoardLink, Intent, QueuePause, SyncedModel, SyncMetadata, SyncQueue, Tombstone
from sync.models import Decision as DecisionRow
from sync.outbox import finish
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.facts import DeletedFacts, HistoryLine, ItemFacts, ReceivedEvent, RecordFacts, RecordHistory
from sync.reconcile.field_plan import EditFacts, FieldFacts, FieldPlan, FieldsPlan
from sync.reconcile.field_values import BoardContext, RelatedFacts
from sync.reconcile.resolutions import ResolutionResults

if TYPE_CHECKING:
    from sync.reconcile.deleted_records import DeletedPlan
    from sync.reconcile.duplicates import DuplicateItem
    from sync.reconcile.lost_updates import LostUpdate, LostUpdateReport
    from sync.reconcile.new_items import ItemPlan
    from sync.reconcile.restraints import ClearsPlan, LoopPlan


T = TypeVar("T")


def new_ledger(entity_type: str, entity_id: UUID) -> SyncMetadata:
    """Return a sync state that is not stored yet, with plain values where it would hold database defaults."""
    empty: dict[str, Any] = {name: {} for name in ("base", "blocked_fields", "altered", "conflicts", "seen")}
    texts: dict[str, Any] = dict.fromkeys(("note", "remote_state", "last_error", "left_out"), "")
    return SyncMetadata(
        entity_type=entity_type, entity_id=str(entity_id), error_count=0, removed_passes=0, **empty, **texts
    )


# What a pass found out about a record whose item is not on its board any more.


ARCHIVED, DELETED, MISSING, MOVED = "archived", "deleted", "missing", "moved"

REPORTED_STATES = (ARCHIVED, DELETED)
"""States that the item itself told; one that Monday doesn't show, or that is elsewhere, is not surely gone."""

REMOVED_STATES = (ARCHIVED, DELETED, MISSING, MOVED)


class RecordAction(StrEnum):
    """What becomes of the record: nothing yet, or what a policy or a person decided."""

    NOTHING = ""
    CREATE = "create"
    DELETE = "delete"
    UNLINK = "unlink"


@dataclass(frozen=True)
class RemovedItem:
    """The item's state, what was edited since both sides agreed, and what is asked or done about it.

    `what` says what happened, in a sentence; with `options` a person is asked. `by` is who decided on `act`, as a
    phrase; `chosen`, that it was a person, by the record's conflict or on its page. `result` is what was done,
    `problem` why a choice can't be carried out; both are sentences.

    `approval` is what is to be stored about its deletion in NPD: counted as done, or waiting, or an open request
    released; `was_rejected`, that a person's rejection is followed by this pass for the first time.
    """

    state: str
    what: str = ""
    fields: tuple[FieldConflict, ...] = ()
    options: tuple[Option, ...] = ()
    act: RecordAction = RecordAction.NOTHING
    by: str = ""
    chosen: bool = False
    result: str = ""
    problem: str = ""
    approval: ApprovalState | None = None
    was_rejected: bool = False

    def undecided(self, *, is_asked: bool) -> RemovedItem:
        """Return it with nothing done, and asked about only where that was asked before."""
        return replace(self, act=RecordAction.NOTHING, options=self.options if is_asked else ())

    @property
    def needs_answer(self) -> bool:
        """Whether a person has to decide."""
        return bool(self.options) and not self.result

    @property
    def conflict_data(self) -> dict[str, Any]:
        """What the conflict says of it, as `ConflictReport.data` wants it."""
        return {"what": self.what, "options": [option.to_json() for option in self.options]}


# What a pass is about: a record with everything that is known of it, and what becomes of it step by
# step.


class Outcome(StrEnum):
    """How a record's jobs end."""

    OPEN = "open"
    SETTLED = "settled"
    FAILED = "failed"
    RELEASED = "given back"
    DEFERRED = "snoozed"
    PAUSED = "paused"
    """Its rows wait in the `paused_directions`, which somebody paused."""


@dataclass(frozen=True)
class Ending:
    """How what was claimed together ends; `paused` are the directions whose pauses keep something of it waiting."""

    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    wait_seconds: float = 0
    paused: frozenset[str] = frozenset()


@dataclass
class WorkUnit:
    """What was claimed together; `outcome` says how its jobs end, `detail` why.

    `isolate` lets what is released come alone next time; `is_question`: a person is asked about it. `intent` announces
    its call, and `written_item` is the item as that call's answer showed it.
    """

    claim: Claim
    outcome: Outcome = field(default=Outcome.OPEN, kw_only=True)
    detail: str = field(default="", kw_only=True)
    wait_seconds: float = field(default=0, kw_only=True)
    isolate: bool = field(default=False, kw_only=True)
    is_question: bool = field(default=False, kw_only=True)
    intent: Intent | None = field(default=None, kw_only=True)
    written_item: Item | None = field(default=None, kw_only=True)

    @property
    def is_open(self) -> bool:
        """Whether the pass goes on for it."""
        return self.outcome is Outcome.OPEN

    @property
    def by(self) -> str:
        """The person who asked for it, or an empty text."""
        return str(self.claim.payload.get("by", ""))

    @property
    def is_settled(self) -> bool:
        """Whether its pass came to an end that is to be stored."""
        return self.outcome is Outcome.SETTLED

    @property
    def result(self) -> str:
        """What its completed jobs say became of them."""
        return self.detail

    def end(self, outcome: Outcome, detail: str = "") -> None:
        """Decide how its jobs end."""
        # Why it failed may quote what a library or Monday was sent; it is stored, and shown to people.
        self.outcome, self.detail = outcome, without_secrets(detail) if outcome is Outcome.FAILED else detail

    def drop(self, outcome: Outcome, detail: str) -> None:
        """End without applying anything that was planned; what was sent is found out by the next pass."""
        self.intent = None
        self.end(outcome, detail)


def end_jobs(batch: Batch, units: Iterable[WorkUnit]) -> None:
    """End what was claimed as its outcomes say, in the caller's transaction under the lease."""
    token, listed = batch.lease.token, list(units)
    completed: dict[str, list[SyncQueue]] = {}
    released: dict[tuple[str, bool], list[SyncQueue]] = {}
    for unit in listed:
        if unit.outcome in (Outcome.SETTLED, Outcome.PAUSED):
            detail = unit.result if unit.outcome is Outcome.SETTLED else unit.detail
            completed.setdefault(detail, []).extend(unit.claim.rows)
        elif unit.outcome is Outcome.RELEASED:
            released.setdefault((unit.detail, unit.isolate), []).extend(unit.claim.rows)
    for detail, rows in completed.items():
        finish.complete(rows, token, detail)
    for unit in listed:
        if unit.outcome is Outcome.DEFERRED:
            finish.defer(list(unit.claim.rows), token, unit.wait_seconds, unit.detail)
        elif unit.outcome is Outcome.FAILED:
            is_final = finish.fail(list(unit.claim.rows), token, unit.detail)
            if is_final and unit.claim.entity_id is not None:
                why = f"Your resolution could not be applied: {unit.detail}"
                current_store().reject_resolutions(batch.entity_type, [unit.claim.entity_id], why)
    for (detail, isolate), rows in released.items():
        finish.release(rows, token, detail, at_most=int(isolate))


@dataclass
class RecordSync(WorkUnit):
    """A record in a pass; `reason` says why it is not in sync.

    `left_out` says why the board's filter leaves it out, `leaving` why it does so from this pass on, which only takes
    over what was changed on Monday until now; `filter_changed`, that the sync state doesn't say yet what the filter
    does, and `dropped_fields`, of which a pair that leaves sends and asks nothing any more. `overtaken`: somebody saved
    it during the pass, so that another one follows; `needs_pass`: one follows for what this one found.

    `paused_directions` are those in which something of it is left to be done. What became of a person's decisions
    stands in `carried_out`, with the value that stands now, and `handed_back`, with the reason, by the conflict's kind
    and the field.
    """

    record: SyncedModel
    ledger: SyncMetadata
    intents: list[Intent] = field(default_factory=list)
    conflicts: list[OpenConflict] = field(default_factory=list)
    events: list[ReceivedEvent] = field(default_factory=list)
    processed: bool = False
    has_failed_job: bool = False
    owned_items: set[str] = field(default_factory=set)
    item: Item | None = None
    left_out: str = ""
    leaving: str = ""
    filter_changed: bool = False
    overtaken: bool = False
    removed_item: RemovedItem | None = None
    field_plans: dict[str, FieldPlan] = field(default_factory=dict)
    dropped_fields: set[str] = field(default_factory=set)
    write_npd_id: bool = False
    creates: bool = False
    create_only: bool = False
    unconfirmed: bool = False
    link_to: str | None = None
    unlink_reason: str = ""
    unlink_actor: str = ""
    as_new: bool = False
    excluded_items: tuple[str, ...] = ()
    needs_pass: bool = False
    possible_duplicate: dict[str, Any] | None = None
    reason: str = ""
    carried_out: dict[tuple[str, str], str | None] = field(default_factory=dict)
    handed_back: dict[tuple[str, str], str] = field(default_factory=dict)
    identity_conflict: dict[str, Any] | None = None
    log: list[HistoryLine] = field(default_factory=list)
    confirmed_intents: dict[UUID, str] = field(default_factory=dict)
    late_writes: dict[str, dict[str, Any]] = field(default_factory=dict)
    create_bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, Item] = field(default_factory=dict)
    history: RecordHistory = field(default_factory=RecordHistory)
    lost_updates: tuple[LostUpdate, ...] = ()
    lost_reports: tuple[LostUpdateReport, ...] = ()
    write_loops: dict[str, LoopPlan] = field(default_factory=dict)
    lost_current: dict[str, str | None] = field(default_factory=dict)
    paused_directions: set[str] = field(default_factory=set)

    @property
    def id(self) -> UUID:
        """The record's id."""
        return self.record.pk

    @property
    def may_sync(self) -> bool:
        """Whether it is synced: its own settings let it, and the filter doesn't leave it out."""
        return self.record.may_sync and not self.left_out

    @property
    def off_reason(self) -> str:
        """Why it isn't synced, for what is closed because of that."""
        return self.left_out if self.record.may_sync else "Sync was turned off for this record."

    @property
    def item_id(self) -> str:
        """The id of the item that was read or written, or an empty text."""
        item = self.written_item or self.item
        return item.id if item else ""

    @property
    def is_deleted(self) -> bool:
        """Whether this pass deleted the record in NPD."""
        return (
            self.removed_item is not None
            and self.removed_item.act is RecordAction.DELETE
            and bool(self.removed_item.result)
        )

    @property
    def facts(self) -> RecordFacts:
        """What is so, without what was decided of it; its sync state is the one that the pass brings up to date."""
        return RecordFacts(
            self.claim,
            self.record,
            self.ledger,
            tuple(self.intents),
            tuple(self.conflicts),
            tuple(self.events),
            self.has_failed_job,
            frozenset(self.owned_items),
            self.item,
            self.history,
        )

    @property
    def causes(self) -> Cause:
        """Everything that gave a reason for a pass."""
        return self.claim.causes

    @property
    def is_push_by_name(self) -> bool:
        """Whether a person asked for this one push by name."""
        return self.facts.is_push_by_name

    @property
    def is_webhook_only(self) -> bool:
        """Whether nothing but webhooks gave a reason for a pass."""
        return self.facts.is_webhook_only

    def conflict_report(self, kind: str, item_id: str | None = None, **values: Any) -> ConflictReport:
        """Return what this pass tells the store of conflicts about it; `item_id` where it isn't the record's own."""
        item_id = (self.record.monday_id or "") if item_id is None else item_id
        return ConflictReport(self.record.entity_type(), self.id, item_id, kind, **values)

    def enqueue(self, cause: Cause = Cause.DEPENDENCY, priority: Priority = Priority.EDIT, **more: Any) -> None:
        """Let a pass of its own follow."""
        enqueue_many(self.record.entity_type(), [self.id], cause=cause, priority=priority, **more)

    def resolved_conflict(self, kind: str, key: str) -> OpenConflict | None:
        """Return the conflict of this kind in which a person decided on a field, or on the record itself."""
        return self.facts.resolved_conflict(kind, key)

    def resolution_for(self, kind: str, key: str) -> FieldSelection | None:
        """Return what a person chose for a field, or for the record itself, in a conflict of this kind."""
        return self.facts.resolution_for(kind, key)

    def carried_out_of(self, kind: str) -> dict[str, str | None]:
        """Return the fields of which a person's decision was carried out, with the value that stands now."""
        return {key: value for (of, key), value in self.carried_out.items() if of == kind}

    def rejected_of(self, kind: str) -> dict[str, str]:
        """Return the fields of which a person's decision is handed back, or can't be written, with the reason."""
        plans = self.field_plans.items()
        blocked = {k: p.blocked_reason for k, p in plans if p.resolved_kind == kind and p.blocked_reason}
        return {key: reason for (of, key), reason in self.handed_back.items() if of == kind} | blocked

    def open_fields(self, *kinds: str) -> list[str]:
        """Return the fields in the open conflicts of these kinds."""
        return self.facts.open_fields(*kinds)

    @property
    def result(self) -> str:
        """A record says by itself what became of it."""
        return ""

    def end(self, outcome: Outcome, detail: str = "", *, reason: str | None = None) -> None:
        """Decide how its jobs end."""
        super().end(outcome, detail)
        if reason is not None:
            self.reason = reason

    def leave_open(self, reason: str) -> None:
        """End its pass for now: it is not in sync, for this reason."""
        self.end(Outcome.SETTLED, reason=reason)

    def drop(self, outcome: Outcome, detail: str) -> None:
        """End without applying anything that was planned; what was sent is found out by the next pass."""
        self.field_plans, self.link_to = {}, None
        super().drop(outcome, detail)

    def copy(self) -> Self:
        """Return the same once more: an attempt at settling changes it, and may come to nothing."""
        copied, ledger = object.__new__(type(self)), object.__new__(SyncMetadata)
        # By hand: the copy module takes ten times as long, which is a tenth of an unchanged record's pass.
        copied.__dict__.update(
            (name, value.copy() if type(value) in (dict, list, set) else value) for name, value in vars(self).items()
        )
        ledger.__dict__.update(
            (name, value.copy() if type(value) is dict else value) for name, value in vars(self.ledger).items()
        )
        copied.ledger = ledger
        return copied

    @property
    def fields(self) -> FieldsPlan:
        """What is planned of its fields until now."""
        return FieldsPlan(
            dict(self.field_plans),
            dict(self.confirmed_intents),
            ResolutionResults(dict(self.carried_out), dict(self.handed_back), dict(self.lost_current)),
            (),
            self.write_npd_id,
            "",
            frozenset(self.dropped_fields),
            frozenset(self.paused_directions),
        )

    def take_fields(self, fields: FieldsPlan) -> None:
        """Keep what was decided of its fields where later steps still look for it."""
        self.field_plans, self.write_npd_id = dict(fields.plans), fields.write_npd_id
        self.confirmed_intents |= fields.confirmed_intents
        self.carried_out |= fields.results.carried_out
        self.handed_back |= fields.results.handed_back
        self.lost_current |= fields.results.lost_current
        self.dropped_fields |= fields.dropped
        self.paused_directions |= fields.paused
        self.log_lines(fields.log)
        if fields.reason:
            self.leave_open(fields.reason)

    def log_lines(self, lines: Iterable[HistoryLine]) -> None:
        """Add lines to the record's history."""
        for line in lines:
            self.log_decision(line.kind, line.sentence, line.key, actor=line.actor, **line.values)

    def log_decision(self, kind: str, sentence: str, key: str = "", *, actor: str = "", **values: Any) -> None:
        """Add a line to the record's history; without an actor it is whoever asked for the pass."""
        item_id = (self.item.id if self.item else self.record.monday_id) or ""
        self.log.append(HistoryLine(kind, sentence, key, actor or self.by, values, item_id))


@dataclass
class DeletedRecord(WorkUnit):
    """A deleted record in a pass: what is so, and what was decided of it."""

    facts: DeletedFacts
    plan: DeletedPlan

    @property
    def id(self) -> UUID:
        """The record's id."""
        return self.facts.id

    @property
    def tombstone(self) -> Tombstone:
        """What is remembered of it."""
        return self.facts.tombstone

    @property
    def item_id(self) -> str:
        """The id of the item that was read, or an empty text."""
        return self.facts.item.id if self.facts.item else ""

    @property
    def result(self) -> str:
        """How the item stands."""
        return self.plan.reason

    def follow(self, plan: DeletedPlan) -> None:
        """Go on as planned; how its jobs end stays, once that is known."""
        self.plan = plan
        if self.is_open:
            self.wait_seconds = plan.ending.wait_seconds
            self.end(plan.ending.outcome, plan.ending.detail)


@dataclass
class Batch:
    """All records of one pass over one board, under one lease; `is_preview`: a dry run, in which nothing is sent.

    `pauses` are the directions that were paused when the pass began, each with its pause (restraints.py).
    `known_items` are claimed items that a record has by now.
    `unknown_jobs` are jobs of what is no record, nor remembered as one. Of the unmatched items, in
    the order of their claims, `item_facts` are what is so and `item_plans` what becomes of them. `planned_records` are
    what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """

    lease: Lease
    board: BoardContext
    id: UUID
    is_preview: bool = False
    record_syncs: list[RecordSync] = field(default_factory=list)
    deleted_claims: list[Claim] = field(default_factory=list)
    deleted_records: list[DeletedRecord] = field(default_factory=list)
    unknown_jobs: list[WorkUnit] = field(default_factory=list)
    unmatched_claims: list[WorkUnit] = field(default_factory=list)
    known_items: tuple[str, ...] = ()
    duplicate_items: list[tuple[WorkUnit, DuplicateItem]] = field(default_factory=list)
    item_facts: Sequence[ItemFacts] = ()
    item_plans: Sequence[ItemPlan] = ()
    planned_records: dict[UUID, SyncedModel] = field(default_factory=dict)
    calls: int = 0
    stop_reason: str = ""
    read_at: datetime | None = None
    read_request: str = ""
    clears: ClearsPlan | None = None
    related: RelatedFacts = field(default_factory=RelatedFacts)
    edits: EditFacts = field(default_factory=EditFacts)
    pauses: dict[str, QueuePause] = field(default_factory=dict)

    @property
    def link(self) -> BoardLink:
        """The board link that the pass is about."""
        return self.board.link

    @property
    def entity_type(self) -> str:
        """Of what type all its records are."""
        return self.board.link.entity_type

    def field_facts(self, record_sync: RecordSync) -> FieldFacts:
        """Return everything from which the record's fields are decided."""
        return FieldFacts(
            self.board,
            record_sync.facts,
            self.related,
            self.edits,
            record_sync.late_writes,
            record_sync.create_bases,
            record_sync.creates,
        )

    @property
    def records(self) -> models.QuerySet[SyncedModel]:
        """All records of that type."""
        return self.board.model._default_manager.all()

    def log_decision(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **more: str
    ) -> None:
        """Write a line into the history of a record that is not in the pass itself."""
        DecisionRow.objects.create(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.id,
            cause=cause,
            **more,
        )

    def in_transaction(self, work: Callable[[], T]) -> T:
        """Do it in a transaction under the lease, its changes marked as the sync's; again after a lock timeout."""

        def attempt() -> T:
            with pghistory.context(cause="sync", batch=str(self.id)), self.lease.transaction():
                return work()

        return retry_on_lock_timeout(attempt)

    def add_history(self, histories: Mapping[UUID, RecordHistory]) -> None:
        """Let the records know what was read of what happened to them before."""
        for record_sync in self.record_syncs if histories else ():
            record_sync.history = histories.get(record_sync.id, record_sync.history)

    @property
    def open_records(self) -> list[RecordSync]:
        """The records for which the pass goes on."""
        return [record_sync for record_sync in self.record_syncs if record_sync.is_open]

    @property
    def open_deleted(self) -> list[DeletedRecord]:
        """The deleted records for which the pass goes on."""
        return [deleted_record for deleted_record in self.deleted_records if deleted_record.is_open]


# What a pass did, in numbers: for whoever ran it, and for the counts behind `/metrics`.


WAITING_OUTCOMES = (Outcome.RELEASED, Outcome.DEFERRED, Outcome.PAUSED)


@dataclass(frozen=True)
class PassResult:
    """How many records a pass settled, how many failed, how many wait again."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0


def pass_result(batch: Batch) -> PassResult:
    """Count the records and items of a pass by how their jobs end."""
    units = [*batch.record_syncs, *batch.deleted_records, *batch.unknown_jobs, *batch.unmatched_claims]
    outcomes = [unit.outcome for unit in units]
    return PassResult(
        completed=outcomes.count(Outcome.SETTLED),
        failed=outcomes.count(Outcome.FAILED),
        waiting=sum(outcome in WAITING_OUTCOMES for outcome in outcomes),
    )


def count_pass(batch: Batch) -> None:
    """Add the pass to the installation's counts; part of the transaction that settles it."""
    board, result = batch.entity_type, pass_result(batch)
    counts = {"completed": result.completed, "failed": result.failed, "waiting": result.waiting}
    increment([Increment(PASSES, board), *(Increment(RECORDS_PROCESSED, board, how, n) for how, n in counts.items())])
    deliveries = list(_deliveries(batch))
    now = sync_now() if deliveries else None
    latencies = [Latency(direction, (now - since).total_seconds()) for direction, since in deliveries if now]
    observe_latency(board, latencies)


def _deliveries(batch: Batch) -> Iterator[tuple[QueueDirection, datetime]]:
    """What this pass carried over which way, and since when each change had been on its way.

    A save that was written into a row that waited already counts from that row's first save: for so long the other
    side has lacked something. What a sweep found, or a person asked for, has no such beginning and isn't counted.
    """
    saves = {
        record_sync.id: [
            row.id
            for row in record_sync.claim.rows
            if row.direction == QueueDirection.TO_MONDAY and row.causes & Cause.SAVE
        ]
        for record_sync in batch.record_syncs
        if record_sync.written_item is not None
    }
    # In one query: claims don't read it, and asked for row by row it would be one each.
    ids = [row_id for of_record in saves.values() for row_id in of_record]
    created = dict(SyncQueue.objects.filter(id__in=ids).values_list("id", "created_at")) if ids else {}
    for record_sync in batch.record_syncs:
        if record_sync.outcome not in (Outcome.SETTLED, Outcome.PAUSED):
            continue
        if saved := [created[row_id] for row_id in saves.get(record_sync.id, ()) if row_id in created]:
            yield QueueDirection.TO_MONDAY, min(saved)
        if record_sync.events and any(line.kind == "pull" for line in record_sync.log):
            yield QueueDirection.TO_NPD, min(event.received_at for event in record_sync.events)
