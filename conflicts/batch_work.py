"""What a worker does with batches: stores their choices row by row, then, when asked, undoes them row by row.

Each row has a transaction of its own. What has changed since it was shown is left alone and keeps the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, transaction
from django.utils.translation import gettext_lazy as _

from conflicts.entries import chosen_by_people
from conflicts.errors import ResolutionError, StaleSeen
from conflicts.models import BatchEntry, BatchState, ConflictBatch, Outcome, SyncConflict, Undoing
from conflicts.reopening import IN_ANOTHER
from conflicts.resolution import resolve
from conflicts.undoing import undo
from sync import stopping

log = structlog.get_logger(__name__)

TASK = "conflicts.carry_on_batches"
WORK_SECONDS = 60.0
"""How long one task works before it wakes another: well below a task's time limit."""
NOBODY = _("Whoever asked for this has no account any more, so nothing was done in their name. Do it again.")
OTHER_CHOICE = _("It was settled in another way since, by another choice. Undo that one on its own page.")
CAME_BACK = _(
    "The choice came back without being applied, so there is nothing to undo. It waits in the list."
)
FAILED = _("NPD failed here (%(error)s; the worker's log has more). Settle it on its own page.")
OPEN_AGAIN = _("It is open again already, so there is nothing to undo. Choose in it.")


def wake() -> None:
    """Tell a worker, with the transaction; a message that is lost costs seconds: a job looks every ten."""
    transaction.on_commit(_send, robust=True)


def _send() -> None:
    try:
        current_app.send_task(TASK, retry=False, ignore_result=True)
    except (
        Exception
    ) as error:  # whatever the broker's library raises: the rows are stored, the job finds them
        log.warning("wake-up not sent; the next job takes the batch", error=type(error).__name__)


def carry_on(seconds: float = WORK_SECONDS) -> int:
    """Work all batches that are confirmed or to be undone, for so long at most; return how many rows were done."""
    until, done = time.monotonic() + seconds, 0
    at_work = ConflictBatch.objects.filter(state__in=(BatchState.RUNNING, BatchState.UNDOING))
    for batch in at_work.select_related("by", "undo_by").order_by("made_at", "id"):
        store = batch.state == BatchState.RUNNING
        for row in _rows(batch):
            if stopping.asked() or time.monotonic() > until:
                wake()
                return done
            done += _one(row, batch, _store if store else _undo)
        _finish(batch)
    return done


def _rows(batch: ConflictBatch) -> list[int]:
    """The ids of the rows to work: to be stored, else to be undone."""
    rows = batch.entries.order_by("id")
    if batch.state == BatchState.RUNNING:
        rows = rows.filter(outcome=Outcome.READY)
    else:
        rows = rows.filter(undo__in=(Undoing.WANTED, Undoing.ASKED))
    return list(rows.values_list("pk", flat=True))


def _one(pk: int, batch: ConflictBatch, act: Callable[[BatchEntry, ConflictBatch], bool]) -> int:
    try:
        return _worked(pk, batch, act)
    except (
        OperationalError,
        SoftTimeLimitExceeded,
    ):  # a lock, the connection, the task's time: not this row's fault
        raise
    except Exception as error:  # whatever it is, the rows and batches behind it are not to wait for its mend
        log.exception("a conflict of a batch could not be worked", entry=pk, batch=str(batch.pk))
        _give_up(pk, batch, str(FAILED) % {"error": type(error).__name__})
        return 1


def _give_up(pk: int, batch: ConflictBatch, reason: str) -> None:
    rows = BatchEntry.objects.filter(pk=pk)
    if batch.state == BatchState.RUNNING:
        rows.update(outcome=Outcome.REFUSED, reason=reason)
    else:
        rows.update(undo=Undoing.REFUSED, undo_reason=reason)


def _worked(pk: int, batch: ConflictBatch, act: Callable[[BatchEntry, ConflictBatch], bool]) -> int:
    with transaction.atomic():
        row = BatchEntry.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
        if row is None or not act(row, batch):
            return 0
        row.save(update_fields=["outcome", "reason", "chosen_at", "undo", "undo_reason"])
    return 1


def _store(row: BatchEntry, batch: ConflictBatch) -> bool:
    """Store the side for the values that were shown; whether the row changed."""
    if row.outcome != Outcome.READY:
        return False
    if batch.by is None:
        row.outcome, row.reason = Outcome.REFUSED, str(NOBODY)
        return True
    seen = {key: {"npd": npd, "monday": monday} for key, (npd, monday) in row.seen.items()}
    try:
        stored = resolve(row.conflict_id, by=batch.by, resolution_type=batch.resolution_type, seen=seen)
    except StaleSeen as error:
        row.outcome, row.reason = Outcome.CHANGED, str(error)
    except ResolutionError as error:
        row.outcome, row.reason = Outcome.REFUSED, str(error)
    else:
        row.outcome, row.chosen_at = Outcome.STORED, stored.stored_choice.at
    return True


def _undo(row: BatchEntry, batch: ConflictBatch) -> bool:
    """Ask for the undo, or say what became of it; whether the row changed."""
    conflict = SyncConflict.objects.get(pk=row.conflict_id)
    if row.undo == Undoing.ASKED:
        return not conflict.is_being_undone and _settle_undo(row, conflict)
    if row.undo != Undoing.WANTED or conflict.is_being_applied:
        return False  # what a look may be writing at this moment is undone once it is written
    reason = _why_not(row, conflict, batch)
    if not reason and batch.undo_by is not None:
        try:
            undo(conflict.pk, by=batch.undo_by)
        except ResolutionError as error:
            reason = str(error)
    row.undo, row.undo_reason = (Undoing.REFUSED, reason) if reason else (Undoing.ASKED, "")
    return True


def _why_not(row: BatchEntry, conflict: SyncConflict, batch: ConflictBatch) -> str:
    """Why this batch's choice can't be undone; an empty text where it is still the one that stands."""
    if batch.undo_by is None:
        return str(NOBODY)
    chosen = {entry.get("chosen_at") for entry in chosen_by_people(conflict).values()}
    if conflict.is_open:
        return str(OPEN_AGAIN if row.chosen_at in chosen else CAME_BACK)
    # One that was over by itself has no choice at all: undo() says so.
    return "" if chosen <= {row.chosen_at} else str(OTHER_CHOICE)


def _settle_undo(row: BatchEntry, conflict: SyncConflict) -> bool:
    reasons = [str(entry.get("undo") or "") for entry in conflict.merge_selections.values()]
    left = [reason for reason in dict.fromkeys(reasons) if reason and reason != IN_ANOTHER]
    done = conflict.is_open or IN_ANOTHER in reasons
    row.undo, row.undo_reason = (Undoing.DONE if done else Undoing.REFUSED), " ".join(left)
    return True


def _finish(batch: ConflictBatch) -> None:
    """Close a batch of which no row is left to do."""
    rows, before, after = batch.entries.filter(outcome=Outcome.READY), BatchState.RUNNING, BatchState.DONE
    if batch.state == BatchState.UNDOING:
        rows = batch.entries.filter(undo__in=(Undoing.WANTED, Undoing.ASKED))
        before, after = BatchState.UNDOING, BatchState.UNDONE
    if not rows.exists():
        ConflictBatch.objects.filter(pk=batch.pk, state=before).update(state=after)
