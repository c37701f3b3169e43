"""What `sync_reconcile` does: sweep, comparison and passes of every board now; or its dry run, which plans them."""

from collections.abc import Callable
from datetime import timedelta

from django.db.models import Q, QuerySet

from sync import choices, registry
from sync.boards import availability
from sync.clock import SyncNow, sync_now
from sync.fields import lookups
from sync.kernel import grouped
from sync.models import Intent, IntentState, SyncQueue
from sync.monday import errors
from sync.operations import comparison, dry_run, worker
from sync.operations.planned_changes import BoardPlan
from sync.operations.sweep import sweep_board
from sync.outbox.claim import Claim
from sync.words.message import Message, of_error

# The calls of a board before its listing: what has changed on it, and its columns.
CALLS_BEFORE_LISTING = 2


def reconcile_boards(say: Callable[[str], object] | None = None) -> tuple[list[str], list[str]]:
    """Compare every board now, and sync what differs, has open work, or was missed by webhooks.

    Return a report and the problems, in sentences; `say` prints lines of progress.
    """
    started = sync_now()
    report = list[str]()
    problems = list[str]()
    for spec in registry.entities():
        reason = availability.of(spec.entity_type, reads=True).blocked_reason
        link = lookups.link_of(spec.entity_type)
        if reason or link is None:
            problems.append(f"{spec.board_title}: {reason}")
            continue
        sweep = sweep_board(link, grace=timedelta(0))
        if sweep.problem:
            problems.append(f"{spec.board_title}: {sweep.problem}")
        result = comparison.compare_board(link, includes_unfinished=True)
        lines = problems if result.problem else report
        lines.append(f"{spec.board_title}: {result.summary}")
    report.append(str(worker.drain(say=say)))
    for spec in registry.entities():
        jobs = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__isnull=False)
        failed = jobs.filter(last_attempt__gte=started).exclude(status=choices.QueueStatus.COMPLETED)
        if error_messages := list(failed.exclude(error_message="").values_list("error_message", flat=True)):
            records = registry.count_of_type(len(error_messages), spec.entity_type)
            problems.append(f"{records} could not be synced. For example: {error_messages[0]}")
        if number := jobs.filter(status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow()).count():
            reason = availability.of(spec.entity_type).detail or Message("reconcile_again")
            records = registry.count_of_type(number, spec.entity_type)
            problems.append(Message("not_reached", records=records, reason=reason))
    return report, problems


# What `sync_reconcile --dry-run` shows of it.


def plan_boards() -> tuple[list[BoardPlan], dry_run.ReadOnlyClient]:
    """Plan what `sync_reconcile` would do now; the client has counted the calls of the dry run itself."""
    with dry_run.read_only_client() as client:
        plans = [_plan_board(spec) for spec in registry.entities()]
    return plans, client


def _plan_board(spec: registry.EntitySpec) -> BoardPlan:
    plan = BoardPlan(spec.entity_type, spec.board_title)
    link = lookups.link_of(spec.entity_type)
    plan.problem = availability.of(spec.entity_type, reads=True).blocked_reason
    if plan.problem or link is None:
        return plan
    listing = dry_run.Listing(lookups.load_board(link))
    try:
        listing.read()
    except errors.MondayError as error:
        plan.problem = Message("board_not_listed", error=of_error(error))
        return plan
    # The real run lists the board, too.
    plan.calls = listing.calls + CALLS_BEFORE_LISTING
    plan.unconfirmed = _unconfirmed_intents(spec).values("entity_id").distinct().count()
    plan.add(*listing.unreadable_changes())
    planned_passes = dry_run.plan_passes(listing, _record_claims(spec, listing), _item_claims(spec, listing))
    for planned_pass in planned_passes:
        if planned_pass.unread_reason:
            plan.problem = Message("monday_not_read", error=planned_pass.unread_reason)
            return plan
        plan.add(*planned_pass.changes)
    records = {key for planned_pass in planned_passes for key in planned_pass.plan.records}
    changed = {change.entity_id for change in plan.changes}
    enqueued = 0
    for planned_pass in planned_passes:
        items = len(planned_pass.plan.items)
        number = len(planned_pass.differing_or_unfinished) + len(planned_pass.plan.deleted) + items
        plan.calls += dry_run.cost_of(planned_pass, number, read_before=enqueued)
        plan.checked += len(planned_pass.plan.records) + items
        enqueued += number
    plan.unchanged = len(records - changed)
    return plan


def _record_claims(spec: registry.EntitySpec, listing: dry_run.Listing) -> list[Claim]:
    """Return the claims of all records after a comparison, and of the records of all other due jobs."""
    compared = comparison.compared_records(spec.model).exclude(monday_id__in=listing.unreadable)
    pending = SyncQueue.objects.filter(entity_type=spec.entity_type, status=choices.QueueStatus.PENDING)
    jobs = grouped(pending.order_by("priority", "id"), lambda job: job.entity_id)
    # A comparison leaves out records that have no item, are disabled or deleted, but their jobs may be due.
    due = [job.entity_id for job in pending.filter(next_retry__lte=SyncNow()).order_by("id") if job.entity_id]
    unconfirmed = set(_unconfirmed_intents(spec).values_list("entity_id", flat=True))
    ids = [*compared.order_by("pk").values_list("pk", flat=True), *comparison.records_without_item(spec), *due]
    return [dry_run.comparison_claim(pk, jobs.get(pk, [])) for pk in dict.fromkeys(ids) if pk not in unconfirmed]


def _item_claims(spec: registry.EntitySpec, listing: dry_run.Listing) -> list[Claim]:
    """Return the claims of all listed items that aren't left alone, and of the items of all other due jobs."""
    due = SyncQueue.objects.filter(
        entity_type=spec.entity_type, status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow(), entity_id=None
    )
    due_items = due.exclude(remote_id=None).order_by("id").values_list("remote_id", flat=True)
    listed = comparison.items_without_record(spec, listing.items)
    return [Claim(None, item_id, []) for item_id in dict.fromkeys([*map(str, due_items), *listed])]


def _unconfirmed_intents(spec: registry.EntitySpec) -> QuerySet[Intent]:
    """Return the intents because of which a claim skips a record (sync/outbox/claim.py)."""
    pending = Q(deadline__gt=SyncNow()) | Q(item_id="")
    return Intent.objects.filter(pending, entity_type=spec.entity_type, state=IntentState.OPEN)
