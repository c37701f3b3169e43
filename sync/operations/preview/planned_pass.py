"""One pass that only plans: reconcile's steps up to the decision, read-only, in a transaction rolled back; and what it
would change, line by line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db import OperationalError, connection, connections, transaction

from sync.choices import Cause, DeletedRecordPolicy, Operation, Priority, QueueDirection, QueueStatus, TombstoneState
from sync.clock import sync_now
from sync.connectors.base.connector import CallReport
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ConnectorError
from sync.kernel.conflict_store import KIND_FIELDS, KIND_LOST_UPDATE
from sync.kernel.humanize import quote
from sync.limits import MeteredClient, board_costs, client, client_override, urgent_calls
from sync.models import ApprovalRequest, BoardLink, IgnoredItem, SyncedModel, SyncQueue
from sync.outbox.claim import Claim
from sync.outbox.lease import LOCK_TIMEOUT_MS, Lease
from sync.reconcile import load_batch, read_and_plan
from sync.reconcile.act import TAGS_PER_CALL, count_calls, missing_tags
from sync.reconcile.batch import Batch, DeletedRecord, Outcome, RecordAction, RecordSync
from sync.reconcile.conflict_reports import conflict_reports
from sync.reconcile.deleted_records import new_removal_requests
from sync.reconcile.field_plan import FieldPlan
from sync.reconcile.field_values import BoardContext
from sync.reconcile.new_items import GIVING, ItemAct
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.restraints import new_clear_requests
from sync.records import availability
from sync.registry import link_of

# What a pass would change, line by line, read off the batch that was decided and never written.


class ChangeKind(StrEnum):
    """What would happen, in the order in which it is listed."""

    PUSH = "push"
    PULL = "pull"
    CREATE = "create"
    LINK = "link"
    NEW_RECORD = "new record"
    CONFLICT = "conflict"
    ASK = "ask"
    ARCHIVE = "archive"
    DELETE_ITEM = "delete item"
    DELETE_RECORD = "delete record"
    UNLINK = "unlink"
    BLOCKED = "blocked"
    LEFT = "left"
    FAILED = "failed"


WRITE_KINDS = frozenset(
    {ChangeKind.PUSH, ChangeKind.CREATE, ChangeKind.ARCHIVE, ChangeKind.DELETE_ITEM, ChangeKind.UNLINK}
)
"""Kinds that cost the points of a write on Monday."""

_ITEM_REMOVALS = {
    DeletedRecordPolicy.ARCHIVE: ChangeKind.ARCHIVE,
    DeletedRecordPolicy.DELETE: ChangeKind.DELETE_ITEM,
    DeletedRecordPolicy.UNLINK: ChangeKind.UNLINK,
}

_REMOVED_ITEM_KINDS = {
    RecordAction.CREATE: ChangeKind.CREATE,
    RecordAction.DELETE: ChangeKind.DELETE_RECORD,
    RecordAction.UNLINK: ChangeKind.UNLINK,
}
_NEW_ITEM_KINDS = {
    ItemAct.CREATE: ChangeKind.NEW_RECORD,
    ItemAct.LINK: ChangeKind.LINK,
    ItemAct.REPLACE: ChangeKind.LINK,
}


@dataclass(frozen=True)
class PlannedChange:
    """One thing that would happen to one record, item or field; values as displayed."""

    kind: ChangeKind
    entity_type: str
    name: str
    entity_id: UUID | None = None
    item_id: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""


def batch_changes(batch: Batch) -> Iterator[PlannedChange]:
    """Yield what the batch decided."""
    for record_sync in batch.record_syncs:
        yield from _record_changes(record_sync)
    for deleted_record in batch.deleted_records:
        yield from _deletion_changes(deleted_record)
    yield from _new_item_changes(batch)


def _record_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    """Yield what the pass would do with one record; nothing where both sides equal their base."""
    changes = [*_lifecycle_changes(record_sync), *_conflict_changes(record_sync)]
    if record_sync.is_open:
        changes += _field_changes(record_sync)
    changes += [
        _record_change(record_sync, ChangeKind.BLOCKED, field_plan, reason=field_plan.blocked_reason)
        for field_plan in record_sync.field_plans.values()
        if field_plan.blocked_reason and not field_plan.is_left_out and not field_plan.conflict
    ]
    yield from changes
    if record_sync.outcome in (Outcome.FAILED, Outcome.RELEASED):
        yield _record_change(record_sync, ChangeKind.FAILED, reason=record_sync.detail)
    elif not changes and record_sync.reason:
        yield _record_change(record_sync, ChangeKind.LEFT, reason=record_sync.reason)


def _record_change(
    record_sync: RecordSync, kind: ChangeKind, field_plan: FieldPlan | None = None, **values: str
) -> PlannedChange:
    return PlannedChange(
        kind,
        record_sync.record.entity_type(),
        str(record_sync.record),
        record_sync.id,
        record_sync.record.monday_id or record_sync.item_id,
        field_plan.mapping.label if field_plan else "",
        **values,
    )


def _lifecycle_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    if record_sync.removed_item is not None and record_sync.removed_item.act:
        yield _record_change(
            record_sync,
            _REMOVED_ITEM_KINDS[record_sync.removed_item.act],
            reason=f"{record_sync.removed_item.what} {record_sync.removed_item.by}".strip(),
        )
    elif record_sync.unlink_reason:
        yield _record_change(record_sync, ChangeKind.UNLINK, reason="It is to be unlinked.")
    elif record_sync.is_open and record_sync.creates:
        yield _record_change(record_sync, ChangeKind.CREATE, reason="It has no item on the board.")
    elif record_sync.link_to:
        name = record_sync.item.name if record_sync.item else record_sync.link_to
        yield _record_change(record_sync, ChangeKind.LINK, after=name, reason="Its item was found on the board.")


def _field_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    # A created item's fields are part of its creation, and no changes of their own.
    for field_plan in record_sync.field_plans.values():
        local, remote = field_plan.display_local(field_plan.local_raw), ""
        if field_plan.remote_raw is not None:
            try:
                remote = field_plan.convert.display(field_plan.convert.remote(field_plan.remote_raw))
            except UnknownValue:
                remote = "(not known)"
        reason = field_plan.decision.reason
        if field_plan.send_raw is not None and not record_sync.creates:
            after = field_plan.display_local(field_plan.send_raw)
            yield _record_change(record_sync, ChangeKind.PUSH, field_plan, before=remote, after=after, reason=reason)
        if field_plan.write_raw is not None:
            after = field_plan.display_local(field_plan.write_raw)
            yield _record_change(record_sync, ChangeKind.PULL, field_plan, before=local, after=after, reason=reason)


def _conflict_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    """Return the conflicts that would be open, new or not."""
    labels = {key: field_plan.mapping.label for key, field_plan in record_sync.field_plans.items()}
    for report in conflict_reports(record_sync):
        if report.kind in (KIND_FIELDS, KIND_LOST_UPDATE):
            for one in report.fields:
                field_plan = record_sync.field_plans.get(one.key)
                if field_plan is not None and field_plan.choose:
                    continue
                change = _record_change(
                    record_sync, ChangeKind.CONFLICT, before=one.npd or "", after=one.monday or "", reason=one.reason
                )
                yield replace(change, field=labels.get(one.key, one.key))
        elif report.data:
            yield _record_change(record_sync, ChangeKind.ASK, reason=str(report.data.get("what", "")))


def _deletion_changes(deleted_record: DeletedRecord) -> Iterator[PlannedChange]:
    tombstone, plan = deleted_record.tombstone, deleted_record.plan
    about: Mapping[str, Any] = {
        "entity_type": tombstone.entity_type,
        "name": str(deleted_record.facts.record),
        "entity_id": tombstone.entity_id,
        "item_id": tombstone.monday_id or "",
    }
    if plan.removal is not None:
        yield PlannedChange(_ITEM_REMOVALS[plan.removal], **about, reason="Its record was deleted in NPD.")
    elif plan.question is not None:
        yield PlannedChange(ChangeKind.ASK, **about, reason=str(plan.question.data.get("what", "")))
    elif plan.restores:
        yield PlannedChange(ChangeKind.NEW_RECORD, **about, reason="A person chose to restore it.")
    elif plan.new_state is TombstoneState.PENDING_APPROVAL:
        yield PlannedChange(ChangeKind.BLOCKED, **about, reason=plan.reason)
    elif deleted_record.outcome in (Outcome.FAILED, Outcome.RELEASED):
        yield PlannedChange(ChangeKind.FAILED, **about, reason=deleted_record.detail)


def _new_item_changes(batch: Batch) -> Iterator[PlannedChange]:
    """What becomes of items without a record; where Monday could not be read, why that is."""
    entity_type = batch.entity_type
    for unread in batch.unmatched_claims if not batch.item_plans else ():
        item = unread.claim.remote_id or ""
        yield PlannedChange(ChangeKind.LEFT, entity_type, f"item {item}", None, item, reason=unread.detail)
    for plan in batch.item_plans:
        item = plan.facts.item_id
        if plan.act in _NEW_ITEM_KINDS:
            kind, record = _NEW_ITEM_KINDS[plan.act], plan.record
            entity_id = record.pk if record else None
            yield PlannedChange(kind, entity_type, str(record), entity_id, item, reason=plan.sentence)
        else:
            kind = ChangeKind.ASK if plan.act is ItemAct.ASK else ChangeKind.LEFT
            yield PlannedChange(kind, entity_type, f"item {item}", None, item, reason=plan.detail)


# How a change reads: counted in a plan, and by itself as an act, for people and for programs.


VALUE_LENGTH = 60


class _ChangeText(NamedTuple):
    """The sign and the words of one kind of change: of many that are counted, and of a single one."""

    sign: str
    counted: str
    act: str


CHANGE_TEXTS = {
    ChangeKind.PUSH: _ChangeText("→", "to send to Monday", "send to Monday"),
    ChangeKind.PULL: _ChangeText("←", "to update from Monday", "update from Monday"),
    ChangeKind.CREATE: _ChangeText("+", "items to make on the board", "make an item"),
    ChangeKind.LINK: _ChangeText("=", "to link with an item", "link"),
    ChangeKind.NEW_RECORD: _ChangeText("+", "records to make in NPD", "make a record"),
    ChangeKind.CONFLICT: _ChangeText("!", "fields in conflict", "ask you"),
    ChangeKind.ASK: _ChangeText("?", "questions to you", "ask you"),
    ChangeKind.ARCHIVE: _ChangeText("-", "items to archive", "archive the item"),
    ChangeKind.DELETE_ITEM: _ChangeText("-", "items to delete", "delete the item"),
    ChangeKind.DELETE_RECORD: _ChangeText("-", "records to delete in NPD", "delete the record"),
    ChangeKind.UNLINK: _ChangeText("~", "to unlink", "unlink"),
    ChangeKind.BLOCKED: _ChangeText("·", "blocked", "leave blocked"),
    ChangeKind.LEFT: _ChangeText("·", "left as they are", "leave as it is"),
    ChangeKind.FAILED: _ChangeText("x", "that could not be synced", "fail"),
}


def change_act(change: PlannedChange) -> str:
    """Return what the next pass would do, as an act: “send to Monday: …”."""
    return f"{CHANGE_TEXTS[change.kind].act}: {change_line(change)}"


def change_line(change: PlannedChange) -> str:
    """Return a change as a person reads it: the record, the field, from what to what, and why."""
    name = f"{change.name} · {change.field}" if change.field else change.name
    reason = f" ({change.reason.rstrip('.')})" if change.reason else ""
    before, after = quote(change.before, VALUE_LENGTH), quote(change.after, VALUE_LENGTH)
    if change.kind is ChangeKind.CONFLICT:
        return f"{name}: NPD {before}, Monday {after}{reason}"
    if change.kind in (ChangeKind.PUSH, ChangeKind.PULL):
        return f"{name}: {before} → {after}{reason}"
    if change.after:
        return f"{name}: {after}{reason}"
    return f"{name}: {change.reason}" if change.reason else name


def change_json(change: PlannedChange) -> dict[str, Any]:
    """Return one change for a program."""
    return {
        "what": str(change.kind),
        "record": change.name,
        "entity_id": str(change.entity_id) if change.entity_id else None,
        "item_id": change.item_id or None,
        "field": change.field or None,
        "before": change.before,
        "after": change.after,
        "reason": change.reason,
    }


BOOKING_LOCK_TIMEOUT = "5s"
"""A call's quota row must never wait for a lock of the transaction in which the call is made."""


class WriteAttempted(RuntimeError):
    """A dry run came to a mutation: an error of this program. Nothing was sent."""


class ReadOnlyClient(MeteredClient):
    """Counts its calls and their points. Each uses, and is recorded over, a database connection of its own.

    A dry run rolls its transaction back, but the calls that it made still count against the quota.
    """

    def __init__(self, metered: MeteredClient) -> None:
        super().__init__(metered.inner, urgent=metered.urgent)
        self.calls = 0
        self.points = 0
        self._executor = ThreadPoolExecutor(1, "dry-run", initializer=_set_lock_timeout)

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Send a query; raises WriteAttempted for a mutation, ConnectorError as the metered client does."""
        if document.lstrip().startswith("mutation"):
            raise WriteAttempted("A dry run came to a call that writes. It was not sent. Please report it.")
        self.calls += 1
        context, send = copy_context(), super().execute
        answer: CallReport = self._executor.submit(context.run, send, document, variables).result()
        self.points += answer.complexity.query if answer.complexity else 0
        return answer

    def close(self) -> None:
        """Close the connection over which calls were recorded."""
        self._executor.submit(connections.close_all).result()
        self._executor.shutdown()


@contextmanager
def read_only_client() -> Iterator[ReadOnlyClient]:
    """Let everything inside read from Monday and write nothing there."""
    reading = ReadOnlyClient(client())
    try:
        with client_override(reading):
            yield reading
    finally:
        reading.close()


def _set_lock_timeout() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [BOOKING_LOCK_TIMEOUT])


# One planned pass: reconcile's own steps up to the decision, in a transaction that is rolled back.


class NullLease(Lease):
    """Stands in for a lease where nothing will be written: it locks no board, and nobody waits for it."""

    def renew(self, seconds: float = 0) -> None:
        """Do nothing."""

    @contextmanager
    def transaction(self, *, seconds: float = 0) -> Iterator[None]:
        """Open a transaction (a savepoint of the one that is rolled back); there is nothing to renew."""
        with transaction.atomic():
            yield


@dataclass
class PlannedPass:
    """What one pass would do, and which calls that would take.

    `stop_reason` says why Monday can't be read now; `rejected`: Monday rejected this document as a whole, and
    may accept parts of it.
    """

    changes: list[PlannedChange] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    points: float = 0.0
    records: int = 0
    unchanged: int = 0
    stop_reason: str = ""
    rejected: bool = False

    def add(self, other: PlannedPass) -> None:
        """Add a pass that follows this one."""
        self.changes += other.changes
        self.reads, self.writes = self.reads + other.reads, self.writes + other.writes
        self.points += other.points


@dataclass
class DryRunState:
    """What passes of one dry run know of earlier ones, although their transactions are rolled back.

    These are the approvals that they asked for, and the records that they linked: the item of one has a job, too.
    """

    approvals: list[ApprovalRequest] = field(default_factory=list)
    linked: set[UUID | None] = field(default_factory=set)


def plan_pass(link: BoardLink, claims: Sequence[Claim], state: DryRunState) -> PlannedPass:
    """Plan one pass over these records and items. Nothing stays in the database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        # Approvals that earlier passes of this dry run asked for count in this one too.
        for act in state.approvals:
            act.pk = None
            act._state.adding = True
        ApprovalRequest.objects.bulk_create(state.approvals, ignore_conflicts=True)
        batch, read = _decide(link, claims)
        if not read and _all_released(batch):
            # The first try found a column missing: as a real next pass would, this one does without it.
            batch, read = _decide(link, claims)
        result = _summarize(batch, read=read)
        # The passes of the records that items were linked with or became follow at once.
        given = {plan.record.pk: plan.record for plan in batch.item_plans if plan.act in GIVING and plan.record}
        known_ids = {record_sync.id for record_sync in batch.record_syncs}
        if claimed := [sweep_claim(link.entity_type, pk, []) for pk in sorted(given.keys() - known_ids)]:
            following, is_read = _decide(link, claimed, given)
            result.add(_summarize(following, read=is_read))
            state.approvals += _new_requests(following)
        state.approvals += _new_requests(batch)
        transaction.set_rollback(True)
    result.records = len(claims)
    return result


def _new_requests(batch: Batch) -> list[ApprovalRequest]:
    """What would count, or wait, for the later passes of this dry run."""
    return [*new_removal_requests(batch), *new_deletion_requests(batch), *new_clear_requests(batch)]


def _decide(
    link: BoardLink, claims: Sequence[Claim], records: Mapping[UUID, SyncedModel] | None = None
) -> tuple[Batch, bool]:
    """Decide a pass; `records` stand in for those that are stored."""
    batch = Batch(NullLease(link), BoardContext.load(link), uuid.uuid4(), is_preview=True)
    batch.planned_records.update(records or {})
    return batch, read_and_plan(batch) if load_batch(batch, claims) else True


def _all_released(batch: Batch) -> bool:
    return all(record_sync.outcome is Outcome.RELEASED for record_sync in batch.record_syncs)


def plan_record(link: BoardLink, entity_id: UUID) -> tuple[Batch, list[PlannedChange]]:
    """Return what a pass over one record (or a deleted one's tombstone) would find and do. Nothing stays."""
    with transaction.atomic():
        rows = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id=entity_id, status=QueueStatus.PENDING)
        record_claim = sweep_claim(link.entity_type, entity_id, list(rows.order_by("priority", "id")))
        batch, _ = _decide(link, [record_claim])
        changes = list(batch_changes(batch))
        transaction.set_rollback(True)
    return batch, changes


@dataclass(frozen=True)
class PlannedLink:
    """What linking an item with a record would change; `problem` says why that can't be told now."""

    changes: Sequence[PlannedChange] = ()
    problem: str = ""


def plan_link(record: SyncedModel, item_id: str) -> PlannedLink:
    """Return what the first pass after linking them would do, by one read of the item. Nothing stays."""
    link, reason = link_of(record.entity_type()), availability.of(record.entity_type(), urgent=True).blocked_reason
    if link is None or reason:
        return PlannedLink(problem=reason)
    try:
        # A person's click may use the urgent reserve of calls.
        with urgent_calls(), read_only_client():
            batch, changes = _plan_linked(link, record, item_id)
    except ConnectorError as error:
        return PlannedLink(problem=error.sentence)
    except OperationalError:
        return PlannedLink(problem="The record is being synced at this moment. Try again in a few seconds.")
    (record_sync,) = batch.record_syncs
    if record_sync.item is None:
        return PlannedLink(problem=batch.stop_reason or record_sync.detail or "Monday doesn't show the item any more.")
    return PlannedLink([change for change in changes if change.kind is not ChangeKind.LEFT])


def _plan_linked(link: BoardLink, record: SyncedModel, item_id: str) -> tuple[Batch, list[PlannedChange]]:
    with transaction.atomic():
        type(record)._default_manager.filter(pk=record.pk).update(monday_id=item_id)
        IgnoredItem.objects.filter(entity_type=link.entity_type, item_id=item_id).delete()
        batch, _ = _decide(link, [sweep_claim(link.entity_type, record.pk, [])])
        changes = list(batch_changes(batch))
        transaction.set_rollback(True)
    return batch, changes


def sweep_claim(entity_type: str, entity_id: UUID, rows: Sequence[SyncQueue], *, by_sweep: bool = True) -> Claim:
    """Return a record as a sweep would claim it: with its pending jobs, or the one that it would write."""
    if not by_sweep:
        return Claim(entity_id, None, list(rows))
    jobs = list(rows) or [_sweep_job(entity_type, entity_id, None)]
    for row in jobs:
        row.causes = row.causes | int(Cause.SWEEP)
    return Claim(entity_id, None, jobs)


def item_claim(entity_type: str, item_id: str) -> Claim:
    """Return an unmatched item as a sweep would have it claimed."""
    return Claim(None, item_id, [_sweep_job(entity_type, None, item_id)])


def _sweep_job(entity_type: str, entity_id: UUID | None, item_id: str | None) -> SyncQueue:
    is_new_item = entity_id is None
    return SyncQueue(
        id=0, entity_type=entity_type, entity_id=entity_id, remote_id=item_id, payload={}, attempts=0,
        direction=QueueDirection.TO_NPD if is_new_item else QueueDirection.TO_MONDAY,
        operation=Operation.CREATE if is_new_item else Operation.UPDATE, status=QueueStatus.PENDING,
        priority=Priority.SWEEP, causes=int(Cause.SWEEP), reason="", error_message="", created_at=sync_now(),
    )  # fmt: skip


def _summarize(batch: Batch, read: bool) -> PlannedPass:
    costs = board_costs(batch.link.pk)
    result = PlannedPass(reads=batch.calls)
    if read:
        names = missing_tags(plan for record_sync in batch.open_records for plan in record_sync.field_plans.values())
        tags = -(-len(names) // TAGS_PER_CALL)
        removals = len({deleted.plan.removal for deleted in batch.deleted_records} - {None})
        result.writes = count_calls(batch) + tags + removals
    else:
        failed = [s.detail for s in batch.record_syncs if s.outcome is Outcome.FAILED]
        result.stop_reason = batch.stop_reason or (failed[0] if failed else "")
        result.rejected = _all_released(batch) and bool(batch.record_syncs)
    result.changes = list(batch_changes(batch))
    written_ids = {change.entity_id for change in result.changes if change.kind in WRITE_KINDS}
    result.points = batch.calls * costs.read_points + len(written_ids) * costs.write_points
    changed_ids = {change.entity_id for change in result.changes if change.entity_id}
    result.unchanged = sum(s.id not in changed_ids for s in batch.record_syncs)
    return result
