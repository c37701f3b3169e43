"""The plan for everything that a full sweep would reconcile, with its cost, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from sync import registry
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import SyncNow
from sync.connectors.base.errors import ConnectorError
from sync.kernel.humanize import count_with_noun
from sync.limits import board_costs, quota
from sync.models import BoardLink, Intent, IntentState, SyncQueue
from sync.operations.detect.comparison import BoardListing, records_without_item
from sync.operations.preview import planned_pass
from sync.outbox.claim import Claim
from sync.records import availability
from sync.registry import EntitySpec, link_of


def _all_claims(spec: EntitySpec, ids: Sequence[UUID], items: Iterable[str], size: int) -> Iterator[Claim]:
    for start in range(0, len(ids), size):
        yield from _claims(spec, ids[start : start + size], by_sweep=True)
    # Records with a due job that a sweep leaves out: without an item, without sync, or deleted.
    for page in _pages(_due_jobs(spec).exclude(entity_id=None).order_by("entity_id"), "entity_id", size):
        linked = spec.model._default_manager.exclude(monday_id=None).exclude(sync_status=RecordSyncStatus.DISABLED)
        linked_ids = set(linked.filter(pk__in=page).values_list("pk", flat=True))
        yield from _claims(spec, [pk for pk in page if pk not in linked_ids], by_sweep=False)
    due = _due_jobs(spec).filter(entity_id=None, remote_id__isnull=False).values_list("remote_id", flat=True)
    for item in dict.fromkeys([*(str(item) for item in due), *items]):
        yield planned_pass.item_claim(spec.entity_type, item)


def _claims(spec: EntitySpec, ids: Sequence[UUID], *, by_sweep: bool) -> Iterator[Claim]:
    rows: dict[UUID, list[SyncQueue]] = {}
    waiting = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__in=ids, status=QueueStatus.PENDING)
    for row in waiting.order_by("priority", "id"):
        assert row.entity_id is not None
        rows.setdefault(row.entity_id, []).append(row)
    unconfirmed = set(_unconfirmed_intents(spec).filter(entity_id__in=ids).values_list("entity_id", flat=True))
    for pk in ids:
        if pk not in unconfirmed:
            yield planned_pass.sweep_claim(spec.entity_type, pk, rows.get(pk, []), by_sweep=by_sweep)


def _due_jobs(spec: EntitySpec) -> QuerySet[SyncQueue]:
    return SyncQueue.objects.filter(entity_type=spec.entity_type, status=QueueStatus.PENDING, next_retry__lte=SyncNow())


def _unconfirmed_intents(spec: EntitySpec) -> QuerySet[Intent]:
    """Return the intents for which a claim skips a record (sync/outbox/claim.py)."""
    pending = Q(deadline__gt=SyncNow()) | Q(item_id="")
    return Intent.objects.filter(pending, entity_type=spec.entity_type, state=IntentState.OPEN)


def _pages(rows: QuerySet[Any], key: str, size: int) -> Iterator[list[UUID]]:
    last: UUID | None = None
    while True:
        rest = rows if last is None else rows.filter(**{f"{key}__gt": last})
        page = list(rest.values_list(key, flat=True).distinct()[:size])
        if not page:
            return
        yield page
        last = page[-1]


# The dry run of `sync_reconcile`: what every pass would do, decided by reconcile itself, nothing done.


SHOWN_PER_KIND = 5
"""Changes of each kind that are kept for the output, unless all are asked for."""


@dataclass
class RunCost:
    """API calls, and complexity points as far as they are known."""

    calls: int = 0
    points: float = 0.0


@dataclass
class BoardSyncPlan:
    """What would happen on one board: how many changes of each kind, and the first of them (or all).

    `problem` says why the board, or the rest of it, could not be planned.
    """

    entity_type: str
    title: str
    checked: int = 0
    unchanged: int = 0
    counts: Counter[planned_pass.ChangeKind] = field(default_factory=Counter)
    changes: list[planned_pass.PlannedChange] = field(default_factory=list)
    cost: RunCost = field(default_factory=RunCost)
    unconfirmed: int = 0
    problem: str = ""


@dataclass
class SyncPlan:
    """The plan of all boards, and what the dry run itself has cost."""

    boards: list[BoardSyncPlan] = field(default_factory=list)
    dry_run_cost: RunCost = field(default_factory=RunCost)

    @property
    def problems(self) -> list[str]:
        """Return why boards could not be planned, or not to the end."""
        return [f"{board.title}: {board.problem}" for board in self.boards if board.problem]

    @property
    def cost(self) -> RunCost:
        return RunCost(sum(b.cost.calls for b in self.boards), sum(b.cost.points for b in self.boards))


PlanProgress = Callable[[BoardSyncPlan], None]


def plan_sync(progress: PlanProgress | None = None, *, every_line: bool = False) -> SyncPlan:
    """Plan what `sync_reconcile` would do now, board by board, in batches; nothing is written anywhere."""
    plan = SyncPlan()
    with planned_pass.read_only_client() as client:
        for spec in registry.entities():
            board = BoardSyncPlan(spec.entity_type, spec.board_title)
            plan.boards.append(board)
            _plan_board(board, spec, client, every_line=every_line, progress=progress)
        plan.dry_run_cost = RunCost(client.calls, client.points)
    return plan


def _plan_board(
    board: BoardSyncPlan,
    spec: EntitySpec,
    client: planned_pass.ReadOnlyClient,
    *,
    every_line: bool,
    progress: PlanProgress | None,
) -> None:
    link = link_of(spec.entity_type)
    board.problem = availability.of(spec.entity_type).blocked_reason
    if board.problem or link is None:
        return
    before, listing, ids = RunCost(client.calls, client.points), BoardListing(link, is_preview=True), list[UUID]()
    try:
        for page in listing.pages():
            board.checked += (same := len(page.settled))
            board.unchanged += same
            ids += page.unsettled
    except ConnectorError as error:  # linked records alone are planned
        board.problem = f"The board could not be listed. {error.sentence}"
    ids = sorted([*ids, *listing.unlisted(), *records_without_item(spec)])
    items = [] if board.problem else listing.unmatched
    board.cost = RunCost(client.calls - before.calls, client.points - before.points)
    board.unconfirmed = _unconfirmed_intents(spec).values("entity_id").distinct().count()
    state = planned_pass.DryRunState()
    size = board_costs(link.pk).size
    claims = _all_claims(spec, ids, items, size)
    while chunk := list(islice(claims, size)):
        if stop_reason := _plan_chunk(board, link, chunk, state, every_line=every_line):
            board.problem = f"Monday could not be read to the end. {stop_reason}"
            return
        if progress:
            progress(board)


def _plan_chunk(
    board: BoardSyncPlan, link: BoardLink, chunk: Sequence[Claim], state: planned_pass.DryRunState, *, every_line: bool
) -> str:
    """Plan one chunk, in parts where Monday rejects it as a whole; return why no more can be read."""
    runs = planned_pass.plan_pass(link, chunk, state)
    planned = runs[0]
    if planned.rejected and len(chunk) > 1:
        half = len(chunk) // 2
        stop_reason = _plan_chunk(board, link, chunk[:half], state, every_line=every_line)
        return stop_reason or _plan_chunk(board, link, chunk[half:], state, every_line=every_line)
    if planned.unread and len(chunk) > 1:
        return planned.unread
    changes = [list(planned_pass.plan_changes(run)) for run in runs]
    board.checked += len(chunk)
    board.unchanged += len(planned.plan.records.keys() - {change.entity_id for change in changes[0]})
    for run, of_run in zip(runs, changes, strict=True):
        calls, points = planned_pass.run_cost(run, of_run)
        board.cost.calls, board.cost.points = board.cost.calls + calls, board.cost.points + points
    for change in (change for of_run in changes for change in of_run):
        if change.kind is planned_pass.ChangeKind.LINK:
            if change.entity_id in state.linked:
                continue
            state.linked.add(change.entity_id)
        board.counts[change.kind] += 1
        if every_line or board.counts[change.kind] <= SHOWN_PER_KIND:
            board.changes.append(change)
    return ""


# The plan as lines for a person, and as JSON for a program.


def plan_lines(plan: SyncPlan) -> Iterator[str]:
    for board in plan.boards:
        yield from _board_lines(board)
        yield ""
    total = {kind: sum(board.counts[kind] for board in plan.boards) for kind in planned_pass.ChangeKind}
    changes = [f"{number:,} {planned_pass.CHANGE_TEXTS[kind].counted}" for kind, number in total.items() if number]
    yield f"Plan: {', '.join(changes)}." if changes else "Plan: nothing to do, both sides are the same."
    yield f"This dry run took {_cost_text(plan.dry_run_cost)}; nothing was written on either side."
    yield f"It takes about {_cost_text(plan.cost)}. Run `manage.py sync_reconcile`."


def _board_lines(board: BoardSyncPlan) -> Iterator[str]:
    yield f"{board.title}: {board.checked:,} checked, {board.unchanged:,} of them the same on both sides."
    for kind in planned_pass.ChangeKind:
        if not board.counts[kind]:
            continue
        text = planned_pass.CHANGE_TEXTS[kind]
        yield f"  {text.sign} {board.counts[kind]:,} {text.counted}"
        listed = [change for change in board.changes if change.kind is kind]
        yield from (f"      {planned_pass.change_line(change)}" for change in listed)
        if rest := board.counts[kind] - len(listed):
            yield f"      and {rest:,} more (-v 2 lists all)"
    if board.unconfirmed:
        yield f"  {board.unconfirmed:,} wait for the outcome of a call without an answer, and are not synced yet."
    if board.problem:
        yield f"  Not checked: {board.problem}"
    elif board.cost.calls:
        yield f"  It takes about {_cost_text(board.cost)}."


def plan_json(plan: SyncPlan) -> dict[str, Any]:
    return {
        "boards": [
            {
                "entity_type": board.entity_type,
                "board": board.title,
                "looked_at": board.checked,
                "unchanged": board.unchanged,
                "waiting_for_an_answer": board.unconfirmed,
                "counts": {str(kind): board.counts[kind] for kind in planned_pass.ChangeKind},
                "entries": [planned_pass.change_json(entry) for entry in board.changes],
                "cost_of_the_real_run": _cost_as_json(board.cost),
                "problem": board.problem,
            }
            for board in plan.boards
        ],
        "cost": {"of_this_dry_run": _cost_as_json(plan.dry_run_cost), "of_the_real_run": _cost_as_json(plan.cost)},
        "problems": plan.problems,
    }


def _cost_as_json(cost: RunCost) -> dict[str, Any]:
    return {"calls": cost.calls, "complexity": round(cost.points)}


def _cost_text(cost: RunCost) -> str:
    points = f" and {round(cost.points):,} points of complexity" if cost.points else ""
    share = quota.share_of_day(cost.calls)
    of_day = f" ({share:.1%} of the day's API quota)" if share is not None else ""
    return f"{count_with_noun(cost.calls, 'call')}{of_day}{points}"
