"""manage.py sync_reconcile: compare every linked record, reconcile what differs, and sweep every board now."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from sync import registry
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import SyncNow
from sync.kernel import process
from sync.kernel.humanize import count_with_noun
from sync.limits import batch_size, quota
from sync.models import BoardLink, Intent, IntentState, SyncQueue
from sync.monday.errors import MondayError
from sync.operations import preview
from sync.operations.detect.listing import BoardListing, records_without_item
from sync.operations.detect.sweep import run_full_sweep
from sync.operations.preview import ChangeKind, PlannedChange, change_line, plan_changes
from sync.operations.worker import remaining_lines
from sync.outbox.claim import Claim
from sync.reconcile.gather import Gatherer
from sync.reconcile.lookups import load_board
from sync.records import availability
from sync.registry import EntitySpec, link_of


class Command(BaseCommand):
    help = (
        "Compares every linked record with its item, and looks at all that differ or have something open, and at every "
        "item that no record has, until done. With --dry-run it prints what that would do, as the engine itself "
        "decides, and what it would cost; -v 2 lists every line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the plan, write nothing on either side")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile and report; exit 1 where something could not be checked, 0 also with conflicts open."""
        if options["dry_run"]:
            boards, client = plan_sync()
            for line in plan_lines(boards, client, every_line=options["verbosity"] > 1):
                self.stdout.write(line)
            if problems := plan_problems(boards):
                raise CommandError("\n".join(problems))
            return
        with process.shutdown_on_signals() as interrupted:
            report, problems = run_full_sweep(self.stdout.write)
        for line in report:
            self.stdout.write(line)
        for line in remaining_lines():
            self.stdout.write(f"Left: {line}")
        if interrupted.signal_number:
            words = "Interrupted: not everything was synced. Run it again for the rest."
            raise CommandError(words, returncode=interrupted.exit_code)
        if problems:
            raise CommandError("\n".join(problems))


# The dry run: what every pass would do, decided by reconcile itself, and what it would cost. First, what a full sweep
# would claim.


def _all_claims(spec: EntitySpec, ids: Sequence[UUID], items: Iterable[str], size: int) -> Iterator[Claim]:
    """Yield what a sweep would claim: these records and items, and what has a due job besides."""
    due = SyncQueue.objects.filter(
        entity_type=spec.entity_type, status=QueueStatus.PENDING, next_retry__lte=SyncNow()
    ).order_by("id")
    # A sweep leaves out records without an item, without sync, and deleted ones; their jobs are due all the same.
    others = {pk for pk in due.values_list("entity_id", flat=True) if pk}
    linked = spec.model._default_manager.exclude(monday_id=None).exclude(sync_status=RecordSyncStatus.DISABLED)
    others -= set(linked.filter(pk__any_of=list(others)).values_list("pk", flat=True))
    wanted = list(dict.fromkeys([*ids, *sorted(others)]))
    for start in range(0, len(wanted), size):
        yield from _claims(spec, wanted[start : start + size])
    due_items = due.filter(entity_id=None, remote_id__isnull=False).values_list("remote_id", flat=True)
    for item in dict.fromkeys([*map(str, due_items), *items]):
        yield preview.item_claim(spec.entity_type, item)


def _claims(spec: EntitySpec, ids: Sequence[UUID]) -> Iterator[Claim]:
    rows: dict[UUID, list[SyncQueue]] = {}
    waiting = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__in=ids, status=QueueStatus.PENDING)
    for row in waiting.order_by("priority", "id"):
        assert row.entity_id is not None
        rows.setdefault(row.entity_id, []).append(row)
    unconfirmed = set(_unconfirmed_intents(spec).filter(entity_id__in=ids).values_list("entity_id", flat=True))
    for pk in ids:
        if pk not in unconfirmed:
            yield preview.sweep_claim(spec.entity_type, pk, rows.get(pk, []))


def _unconfirmed_intents(spec: EntitySpec) -> models.QuerySet[Intent]:
    """Return the intents for which a claim skips a record (sync/outbox/claim.py)."""
    pending = models.Q(deadline__gt=SyncNow()) | models.Q(item_id="")
    return Intent.objects.filter(pending, entity_type=spec.entity_type, state=IntentState.OPEN)


# The plan, board by board, in batches as large as a pass takes.


# Changes of each kind that are listed, unless all are asked for.
SHOWN_PER_KIND = 5


@dataclass
class BoardSyncPlan:
    """What would happen on one board."""

    entity_type: str
    title: str
    checked: int = 0
    unchanged: int = 0
    changes: list[PlannedChange] = field(default_factory=list)
    calls: int = 0  # what carrying it out costs
    unconfirmed: int = 0
    problem: str = ""  # why the board, or the rest of it, could not be planned
    gatherer: Gatherer = field(default_factory=Gatherer)  # foresees what earlier passes would ask to be approved
    # Those that passes link may come again, for their items have jobs, too.
    linked: set[UUID | None] = field(default_factory=set)

    def add(self, change: PlannedChange) -> None:
        if change.kind is ChangeKind.LINK:
            if change.entity_id in self.linked:
                return
            self.linked.add(change.entity_id)
        self.changes.append(change)

    @property
    def counts(self) -> Counter[ChangeKind]:
        return Counter(change.kind for change in self.changes)


def plan_sync() -> tuple[list[BoardSyncPlan], preview.ReadOnlyClient]:
    """Plan what `sync_reconcile` would do now, board by board, in batches; nothing is written anywhere.

    The client has counted what the dry run itself has cost.
    """
    boards = []
    with preview.read_only_client() as reading:
        for spec in registry.entities():
            board = BoardSyncPlan(spec.entity_type, spec.board_title)
            boards.append(board)
            _plan_board(board, spec, reading)
    return boards, reading


def _plan_board(board: BoardSyncPlan, spec: EntitySpec, reading: preview.ReadOnlyClient) -> None:
    link = link_of(spec.entity_type)
    board.problem = availability.of(spec.entity_type, reads=True).blocked_reason
    if board.problem or link is None:
        return
    board.calls -= reading.calls
    listing = BoardListing(link, is_preview=True)
    ids = list[UUID]()
    try:
        for page in listing.pages():
            same = len(page.settled)
            board.checked += same
            board.unchanged += same
            ids += page.unsettled
    except MondayError as error:  # linked records alone are planned
        board.problem = f"The board could not be listed. {error.sentence}"
    ids = sorted([*ids, *listing.unlisted(), *records_without_item(spec)])
    items = [] if board.problem else listing.unmatched
    # The real run lists the board, too.
    board.calls += reading.calls
    board.unconfirmed = _unconfirmed_intents(spec).values("entity_id").distinct().count()
    size = batch_size(link.pk)
    claims = _all_claims(spec, ids, items, size)
    while chunk := list(islice(claims, size)):
        if stop_reason := _plan_chunk(board, link, chunk):
            board.problem = f"Monday could not be read to the end. {stop_reason}"
            return


def _plan_chunk(board: BoardSyncPlan, link: BoardLink, chunk: Sequence[Claim]) -> str:
    """Plan one chunk, in parts where Monday rejects it as a whole; return why no more can be read."""
    runs = preview.plan_pass(load_board(link), chunk, board.gatherer)
    planned = runs[0]
    if planned.rejected and len(chunk) > 1:
        half = len(chunk) // 2
        return _plan_chunk(board, link, chunk[:half]) or _plan_chunk(board, link, chunk[half:])
    if planned.unread and len(chunk) > 1:
        return planned.unread
    board.checked += len(chunk)
    for run in runs:
        changes = list(plan_changes(run))
        if run is planned:
            board.unchanged += len(run.plan.records.keys() - {change.entity_id for change in changes})
        board.calls += preview.run_cost(run)
        for change in changes:
            board.add(change)
    return ""


# The plan as lines for a person.


def plan_problems(boards: Iterable[BoardSyncPlan]) -> list[str]:
    """Return why boards could not be planned, or not to the end."""
    return [f"{board.title}: {board.problem}" for board in boards if board.problem]


def plan_lines(boards: Sequence[BoardSyncPlan], reading: preview.ReadOnlyClient, *, every_line: bool) -> Iterator[str]:
    for board in boards:
        yield from _board_lines(board, every_line=every_line)
        yield ""
    total = sum((board.counts for board in boards), Counter[ChangeKind]())
    changes = [f"{total[kind]:,} {kind.label}" for kind in ChangeKind if total[kind]]
    yield f"Plan: {', '.join(changes)}." if changes else "Plan: nothing to do, both sides are the same."
    yield f"This dry run took {_cost_text(reading.calls)}; nothing was written on either side."
    cost = _cost_text(sum(board.calls for board in boards))
    yield f"It takes about {cost}. Run `manage.py sync_reconcile`."


def _board_lines(board: BoardSyncPlan, *, every_line: bool) -> Iterator[str]:
    yield f"{board.title}: {board.checked:,} checked, {board.unchanged:,} of them the same on both sides."
    for kind in ChangeKind:
        changes = [change for change in board.changes if change.kind is kind]
        if not changes:
            continue
        yield f"  {len(changes):,} {kind.label}"
        listed = changes if every_line else changes[:SHOWN_PER_KIND]
        yield from (f"      {change_line(change)}" for change in listed)
        if rest := len(changes) - len(listed):
            yield f"      and {rest:,} more (-v 2 lists all)"
    if board.unconfirmed:
        yield f"  {board.unconfirmed:,} wait for the outcome of a call without an answer, and are not synced yet."
    if board.problem:
        yield f"  Not checked: {board.problem}"
    elif board.calls:
        yield f"  It takes about {_cost_text(board.calls)}."


def _cost_text(calls: int) -> str:
    share = quota.share_of_day(calls)
    of_day = f" ({share:.1%} of the day's API quota)" if share is not None else ""
    return f"{count_with_noun(calls, 'call')}{of_day}"
