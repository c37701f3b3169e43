"""A pass that only plans: its facts, and what reconcile's rules decide by them. Nothing is written on either side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sync.choices import ApprovalState, Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.clock import sync_now
from sync.limits import MeteredClient, client, client_override
from sync.models import SyncedModel, SyncQueue
from sync.monday.errors import Scope
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.decide import unread
from sync.reconcile.deleted_records import new_removal_requests
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import Gatherer
from sync.reconcile.gather.record_facts import claimed
from sync.reconcile.identity import ANSWERED, LINKED, facts_after
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.writes import changed_records_of, created_records_of


class ReadOnlyClient(MeteredClient):
    """Counts its calls, and refuses to write."""

    def __init__(self, metered: MeteredClient) -> None:
        super().__init__(metered.inner, urgent=metered.urgent)
        self.calls = 0

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Send a query; raises RuntimeError for a mutation, MondayError as the metered client does."""
        if document.lstrip().startswith("mutation"):
            raise RuntimeError("A dry run came to a call that writes. It was not sent. Please report it.")
        self.calls += 1
        return super().execute(document, variables)


@contextmanager
def read_only_client() -> Iterator[ReadOnlyClient]:
    """Let everything inside read from Monday and write nothing there."""
    reading = ReadOnlyClient(client())
    with client_override(reading):
        yield reading


@dataclass(frozen=True)
class PlannedRun:
    """What a pass would find and decide."""

    facts: pass_plan.PassFacts
    plan: pass_plan.Plan
    calls: int = 0
    unread: str = ""  # why Monday could not be read
    rejected: bool = False  # Monday rejected the document as a whole, and may accept parts of it


def plan_pass(board: BoardContext, claims: Sequence[Claim], gatherer: Gatherer) -> list[PlannedRun]:
    """Plan one pass over these records and items, and behind it the one that follows from it at once, if any does.

    What these would count, or ask to be approved, the gatherer foresees in the passes that it is used for later.
    """
    planned = decide_pass(board, claims, gatherer)
    runs = [planned]
    records = _records_after(planned)
    if claimed_next := [sweep_claim(board.link.entity_type, pk, []) for pk in sorted(records)]:
        runs.append(decide_pass(planned.facts.board, claimed_next, gatherer, records, planned.plan))
    for run in reversed(runs):
        clears = new_clear_requests(run.plan, ApprovalState.DONE, ApprovalState.PENDING)
        removals = new_removal_requests(run.plan.deleted.values())
        gatherer.foreseen = [*gatherer.foreseen, *removals, *new_deletion_requests(run.plan), *clears]
    return runs


def _records_after(planned: PlannedRun) -> dict[UUID, SyncedModel]:
    """The records whose passes follow at once, as this one would leave them: linked with an item, made, answered."""
    plan = planned.plan
    facts = planned.facts.answers
    named = facts.records.keys()
    for answer in plan.answers:
        facts = facts_after(facts, answer)
    made = {p.record.pk: p.record for p in plan.items if p.act in pass_plan.GIVING and p.record}
    records = {key: record for key, record in made.items() if key not in plan.records}
    answered = {key: p.record for key, p in plan.records.items() if p.ending.detail == ANSWERED}
    linking = {key: p for key, p in plan.records.items() if p.ending.detail == LINKED}
    records |= {key: p.linked_record for key, p in linking.items()}
    # One that is united with another is gone.
    records |= {key: record for key, record in answered.items() if key not in named}
    linked = {answer.record_id for answer in plan.answers if answer.done and answer.record_id}
    return records | {key: facts.records[key] for key in answered.keys() | linked if key in facts.records}


def decide_pass(
    board: BoardContext,
    claims: Sequence[Claim],
    gatherer: Gatherer,
    records: Mapping[UUID, SyncedModel] = MappingProxyType({}),
    answered: pass_plan.Plan | None = None,
) -> PlannedRun:
    """Decide a pass; `records` stand in for those that are stored, and of those `answered` before no answer is left."""
    facts = claimed(board, claims, records)
    if answered is not None:
        facts = replace(facts, records=tuple(_unanswered(record, answered) for record in facts.records))
    calls_before = gatherer.calls
    facts, plan = gatherer.gather(facts)
    calls = gatherer.calls - calls_before
    cause = facts.error
    if cause is None:
        return PlannedRun(facts, plan, calls)
    if facts.columns is not None:
        # As a real next pass would, this one does without the column that is missing.
        again = decide_pass(facts.board, claims, gatherer, records, answered)
        return replace(again, calls=calls + again.calls)
    released = pass_plan.ending(pass_plan.Outcome.RELEASED, cause.sentence)
    rejected = cause.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD)
    plan = unread(facts, plan, released, released)
    return PlannedRun(facts, plan, calls, cause.sentence, rejected and len(claims) > 1)


def _unanswered(record: RecordFacts, answered: pass_plan.Plan) -> RecordFacts:
    before = answered.records.get(record.id)
    return replace(record, conflicts=before.facts.conflicts, ledger=before.ledger) if before else record


def sweep_claim(entity_type: str, entity_id: UUID, rows: Sequence[SyncQueue]) -> Claim:
    """Return a record as a sweep would claim it: with its pending jobs, or the one that it would write."""
    jobs = list(rows) or [_sweep_job(entity_type, entity_id, None)]
    for row in jobs:
        row.causes = row.causes | int(Cause.SWEEP)
    return Claim(entity_id, None, jobs)


def item_claim(entity_type: str, item_id: str) -> Claim:
    return Claim(None, item_id, [_sweep_job(entity_type, None, item_id)])


def _sweep_job(entity_type: str, entity_id: UUID | None, item_id: str | None) -> SyncQueue:
    is_new_item = entity_id is None
    return SyncQueue(
        id=0, entity_type=entity_type, entity_id=entity_id, remote_id=item_id, payload={}, attempts=0,
        direction=QueueDirection.TO_NPD if is_new_item else QueueDirection.TO_MONDAY,
        operation=Operation.CREATE if is_new_item else Operation.UPDATE, status=QueueStatus.PENDING,
        priority=Priority.SWEEP, causes=int(Cause.SWEEP), reason="", error_message="", created_at=sync_now(),
    )  # fmt: skip


def run_cost(planned: PlannedRun) -> int:
    """Return how many calls carrying it out takes, where Monday takes all documents."""
    if planned.unread:
        return planned.calls
    plan = planned.plan
    writes = bool(changed_records_of(planned.facts.board, plan)) + bool(created_records_of(plan))
    removals = {deleted.item_removal for deleted in plan.deleted.values()} - {None}
    return planned.calls + writes + len(removals)
