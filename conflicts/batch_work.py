"""What a worker does with batches: stores their choices row by row, then, when asked, undoes them row by row.

Each row has a transaction of its own. What has changed since it was shown is left alone and keeps the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, connection, transaction
from django.db.models import Case, Q, When
from django.utils.translation import gettext_lazy as _

from conflicts.entries import chosen_by_people
from conflicts.errors import ResolutionError, StaleSeen
from conflicts.models import BatchEntry, BatchState, ConflictBatch, Outcome, SyncConflict, Undoing
from conflicts.reopening import IN_ANOTHER
from conflicts.resolution import resolve
from conflicts.undoing import undo
from sync import stopping
from sync.wake import nudge

log = structlog.get_logger(__name__)

TASK = "conflicts.carry_on_batches"
WORK_SECONDS = 60.0
"""How long one task works before it wakes another: well below a task's time limit."""
CHUNK = 200
"""Rows that are read at once: so soon a worker sees that a person has stopped the rest."""
LOCK = 0x434F4E46
"""Names the advisory lock by which one worker at a time works a row; any number that nothing else here uses."""
_AT_A_LOOK = Case(
    When(Q(conflict__choice__isnull=False) & ~Q(conflict__choice__fields={}), then=True), default=False
)
"""Whether the conflict holds a choice that the record's next look carries out, or undoes."""
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
    from conflicts.tasks import carry_on_batches

    nudge(carry_on_batches)


class _AnotherWorks(Exception):
    """Another worker is at a row of a batch: it goes on, and this one need not."""


def carry_on(seconds: float = WORK_SECONDS) -> int:
    """Work all batches that are confirmed or to be undone, for so long at most; return how many rows were done.

    One worker does: a second one that comes by ends at once.
    """
    until, done = time.monotonic() + seconds, 0
    at_work = ConflictBatch.objects.filter(state__in=(BatchState.RUNNING, BatchState.UNDOING))
    for batch in at_work.select_related("by", "undo_by").order_by("made_at", "id"):
        act = _store if batch.state == BatchState.RUNNING else _undo
        for row in _rows(batch):
            if stopping.asked() or time.monotonic() > until:
                if done:  # else the next job, in seconds, is soon enough
                    wake()
                return done
            try:
                done += _one(row, batch, act)
            except _AnotherWorks:
                return done
        _finish(batch)
    return done


def _rows(batch: ConflictBatch) -> Iterator[int]:
    """The ids of the rows to work, some at a time: to be stored, else those whose undo can get on."""
    rows = batch.entries.order_by("id")
    if batch.state == BatchState.RUNNING:
        rows = rows.filter(outcome=Outcome.READY)
    else:
        # What a look is at is not asked again and again: thousands of rows may wait for one.
        rows = rows.annotate(at_a_look=_AT_A_LOOK).filter(
            Q(undo=Undoing.WANTED) & (Q(conflict__resolved_at__isnull=False) | Q(at_a_look=False))
            | Q(undo=Undoing.ASKED) & (Q(conflict__resolved_at=None) | Q(at_a_look=False))
        )
    last = 0
    while chunk := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:CHUNK]):
        yield from chunk
        last = chunk[-1]


def _one(pk: int, batch: ConflictBatch, act: Callable[[BatchEntry, ConflictBatch], bool]) -> int:
    try:
        return _worked(pk, batch, act)
    except (
        _AnotherWorks,
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
        _be_the_only_one()
        row = BatchEntry.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
        if row is None or not act(row, batch):
            return 0
        row.save(update_fields=["outcome", "reason", "chosen_at", "undo", "undo_reason"])
    return 1


def _be_the_only_one() -> None:
    """Hold, to the end of this transaction, what one worker can hold at a time; raises _AnotherWorks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise _AnotherWorks


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
