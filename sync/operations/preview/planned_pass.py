"""One pass that only plans: reconcile's steps up to the decision, read-only, in a transaction rolled back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, connections, transaction
from django.db.models import Max

from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.clock import sync_now
from sync.connectors.base.account import CallReport
from sync.connectors.base.errors import ConnectorError
from sync.limits import metered_client
from sync.limits.metered_client import MeteredClient
from sync.limits.pass_budget import board_costs
from sync.models import BoardLink, GuardedAct, RefusedItem, SyncedModel, SyncQueue
from sync.operations.preview.planned_changes import WRITE_KINDS, ChangeKind, PlannedChange, batch_changes
from sync.outbox.claim import Claim
from sync.outbox.lease import LOCK_TIMEOUT_MS, Lease
from sync.reconcile import load_batch, read_and_plan
from sync.reconcile.batch import Batch, Outcome
from sync.reconcile.field_values import BoardContext
from sync.reconcile.mutations import TAGS_PER_CALL, count_calls, missing_tags
from sync.records import availability
from sync.registry import link_of

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
    client = ReadOnlyClient(metered_client.client())
    try:
        with metered_client.client_override(client):
            yield client
    finally:
        client.close()


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
    """What the passes of one dry run count for approvals, although their transactions are rolled back."""

    approvals: list[GuardedAct] = field(default_factory=list)


def plan_pass(link: BoardLink, claims: Sequence[Claim], state: DryRunState) -> PlannedPass:
    """Plan one pass over these records and items. Nothing stays in the database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        # Approvals that earlier passes of this dry run asked for count in this one too.
        for act in state.approvals:
            act.pk = None
            act._state.adding = True
        GuardedAct.objects.bulk_create(state.approvals, ignore_conflicts=True)
        last_pk = GuardedAct.objects.aggregate(last=Max("pk"))["last"] or 0
        batch, read = _decide(link, claims)
        if not read and _all_released(batch):
            # The first try found a column missing: as a real next pass would, this one does without it.
            batch, read = _decide(link, claims)
        result = _summarize(batch, read=read)
        # The passes of the records that items were linked with or became follow at once.
        items = [unmatched.claim.remote_id for unmatched in batch.unmatched_claims]
        known_ids = [record_sync.id for record_sync in batch.record_syncs]
        owners = batch.board.model._default_manager.filter(monday_id__in=items).exclude(pk__in=known_ids)
        if read and (owner_ids := list(owners.order_by("pk").values_list("pk", flat=True))):
            claimed = [sweep_claim(link.entity_type, pk, []) for pk in owner_ids]
            result.add(_summarize(*_decide(link, claimed)))
        state.approvals += GuardedAct.objects.filter(pk__gt=last_pk, entity_type=link.entity_type)
        transaction.set_rollback(True)
    result.records = len(claims)
    return result


def _decide(link: BoardLink, claims: Sequence[Claim]) -> tuple[Batch, bool]:
    batch = Batch(NullLease(link), BoardContext.load(link), uuid.uuid4(), is_preview=True)
    claimed = []
    for claim in claims:
        if claim.entity_id is not None:
            claimed.append(claim)
            continue
        # An unmatched item's outcome is written on its job, so it needs a stored one, in progress.
        row = SyncQueue.objects.create(
            entity_type=link.entity_type,
            remote_id=claim.remote_id,
            causes=int(Cause.SWEEP),
            status=QueueStatus.IN_PROGRESS,
            lease_token=batch.lease.token,
            operation=Operation.CREATE,
            direction=QueueDirection.TO_NPD,
            priority=Priority.SWEEP,
        )
        row.refresh_from_db()
        claimed.append(Claim(None, claim.remote_id, [row]))
    return batch, read_and_plan(batch) if load_batch(batch, claimed) else True


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
        with metered_client.client_override(metered_client.client(urgent=True)), read_only_client():
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
        RefusedItem.objects.filter(entity_type=link.entity_type, item_id=item_id).delete()
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
        tags = -(-len(missing_tags(batch)) // TAGS_PER_CALL)
        removals = len(
            {
                deleted_record.planned_removal
                for deleted_record in batch.deleted_records
                if deleted_record.planned_removal is not None
            }
        )
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
