"""Settling all conflicts that match: shown first, confirmed by number, stored one by one for what was shown.

The rows of a batch are the truth and a task's message only a wake-up: whoever works a batch takes its next row under
a lock, so that a worker may end at any moment and two of them don't disturb each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from conflicts import audit, batch_work
from conflicts.batch_lines import Plan, why_not
from conflicts.errors import BadResolution
from conflicts.history import WRITTEN_IN
from conflicts.models import (
    BatchEntry,
    BatchState,
    ConflictBatch,
    Outcome,
    ResolutionType,
    SyncConflict,
    Undoing,
)
from conflicts.picks import ONE_SIDE, current_values
from conflicts.records import names_of_deleted
from sync.admin import words
from sync.admin.base import names_of
from sync.authors import called
from sync.clock import SyncNow, sync_now

CHUNK = 500
"""Conflicts that are read and shown to the database at once."""
LONGEST_NAME = 200
WEEK = timedelta(days=7)
KEPT_UNCONFIRMED = timedelta(days=1)
"""How long a batch is kept that was shown and never confirmed."""
KEPT = timedelta(days=365)
"""How long one is kept that was carried out; the conflicts, their history and the admin's log tell of it for longer."""


def prepare(
    conflicts: QuerySet[SyncConflict],
    kept: str,
    *,
    by: AbstractBaseUser,
    address: str = "",
    matches: str = "",
) -> ConflictBatch:
    """Store what would be settled, with the values of now; nothing is chosen yet.

    `kept` is keep_npd or keep_monday, `address` and `matches` the filter that found them. Raises BadResolution for
    another `kept`.
    """
    if kept not in ONE_SIDE:
        raise BadResolution(_("“%(side)s” is no side. Choose keep_npd or keep_monday.") % {"side": kept})
    plan, ready = Plan(), 0
    with transaction.atomic():
        _forget_old()
        batch = ConflictBatch.objects.create(
            by_id=by.pk, resolution_type=kept, address=address, matches=matches
        )
        rows = conflicts.order_by("detected_at", "id").iterator(chunk_size=CHUNK)
        for chunk in _chunks(rows):
            entries = _entries(batch, chunk, kept)
            for conflict, entry in zip(chunk, entries, strict=True):
                if entry.outcome == Outcome.READY:
                    plan.add(conflict, kept)
                    ready += 1
            BatchEntry.objects.bulk_create(entries)
        batch.total, batch.plan = ready, plan.to_json()
        batch.save(update_fields=["total", "plan"])
    return batch


def _chunks(rows: Iterable[SyncConflict]) -> Iterator[list[SyncConflict]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def _entries(batch: ConflictBatch, conflicts: list[SyncConflict], kept: str) -> list[BatchEntry]:
    keys = {(one.entity_type, one.entity_id) for one in conflicts}
    names = names_of(keys)
    with translation.override(WRITTEN_IN):
        names |= names_of_deleted(keys - set(names))
        return [_entry(batch, one, kept, names) for one in conflicts]


def _entry(batch: ConflictBatch, conflict: SyncConflict, kept: str, names: dict[Any, str]) -> BatchEntry:
    reason = why_not(conflict, kept)
    name = names.get((conflict.entity_type, conflict.entity_id), f"a {conflict.entity_type} that is gone")
    return BatchEntry(
        batch=batch,
        conflict=conflict,
        name=name[:LONGEST_NAME],
        seen={key: [both["npd"], both["monday"]] for key, both in current_values(conflict).items()},
        outcome=Outcome.LEFT_OUT if reason else Outcome.READY,
        reason=reason,
        undo="",
        undo_reason="",
        chosen_at="",
    )


def _forget_old() -> None:
    now, ended = sync_now(), (BatchState.DONE, BatchState.UNDONE)
    old = ConflictBatch.objects.filter(
        Q(state=BatchState.PREPARED, made_at__lt=now - KEPT_UNCONFIRMED)
        | Q(state__in=ended, made_at__lt=now - KEPT)
    )
    # Locked before they are deleted: one that is confirmed, or to be undone, at this moment stays.
    locked = old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
    ConflictBatch.objects.filter(pk__in=list(locked)).delete()


def confirm(batch: ConflictBatch, *, by: AbstractBaseUser, expect: int) -> None:
    """Let a batch be stored, exactly as many as were shown; the rest is a worker's.

    Raises BadResolution where the number is another, the batch was confirmed before, or somebody else prepared it.
    """
    if batch.by_id != by.pk:
        raise BadResolution(
            _("Somebody else prepared this. Choose in the list again, to see what it does now.")
        )
    waits = ConflictBatch.objects.filter(pk=batch.pk, state=BatchState.PREPARED)
    with transaction.atomic():
        if not batch.total or not waits.filter(total=expect).update(
            state=BatchState.RUNNING, confirmed_at=sync_now()
        ):
            raise BadResolution(
                _("The number is not the one shown, or it was confirmed before. Look at the page again.")
            )
        batch_work.wake()
        with translation.override(WRITTEN_IN):
            told = f"{_label(batch)} in {words.counted(batch.total, 'conflict')}: batch {batch.pk}."
        audit.note(by, told)


def stop(batch: ConflictBatch, *, by: AbstractBaseUser) -> int:
    """Leave the rest of a batch as it is; return of how many. What is stored, or undone, already stays so.

    Raises BadResolution where nothing of it waits any more.
    """
    with transaction.atomic():
        locked = ConflictBatch.objects.select_for_update().get(pk=batch.pk)
        if locked.state == BatchState.RUNNING:
            reason = f"{called(by)} stopped the batch before this was stored, so it is open as before."
            rest = locked.entries.filter(outcome=Outcome.READY)
            left = rest.update(outcome=Outcome.LEFT_OUT, reason=reason)
            locked.state = BatchState.DONE
            locked.save(update_fields=["state"])
        elif locked.state == BatchState.UNDOING:
            left = locked.entries.filter(undo=Undoing.WANTED).update(undo="", undo_reason="")
        else:
            left = 0
        if not left:
            raise BadResolution(_("Nothing of it waits any more, so there was nothing to stop."))
        batch_work.wake()
        with translation.override(WRITTEN_IN):
            told = f"Stopped: {words.counted(left, 'conflict')} left as they are: batch {batch.pk}."
        audit.note(by, told)
    return left


def want_undone(batch: ConflictBatch, *, by: AbstractBaseUser) -> int:
    """Ask for all that this batch settled to be undone; return of how many. The rest is a worker's.

    Raises BadResolution where nothing of it can be undone now.
    """
    with transaction.atomic():
        locked = ConflictBatch.objects.select_for_update().get(pk=batch.pk)
        stored = locked.entries.filter(Q(undo="") | Q(undo=Undoing.REFUSED), outcome=Outcome.STORED)
        if locked.state not in (BatchState.DONE, BatchState.UNDONE) or not stored.exists():
            raise BadResolution(_why_no_undo(locked))
        count = stored.update(undo=Undoing.WANTED, undo_reason="")
        locked.state, locked.undo_by_id, locked.undo_asked_at = BatchState.UNDOING, by.pk, sync_now()
        locked.save(update_fields=["state", "undo_by", "undo_asked_at"])
        batch_work.wake()
        with translation.override(WRITTEN_IN):
            told = f"Undo of {words.counted(count, 'conflict')}: batch {batch.pk}."
        audit.note(by, told)
    return count


def _why_no_undo(batch: ConflictBatch) -> str:
    if batch.state == BatchState.PREPARED:
        return _("It was never confirmed, so there is nothing to undo.")
    if batch.state == BatchState.RUNNING:
        return _("It is still being stored. Wait until that is done, then undo it.")
    if batch.state == BatchState.UNDOING:
        return _("It is being undone already.")
    return _("Nothing of it is left to undo.")


def of_late(most: int = 3) -> list[ConflictBatch]:
    """The last batches of the past week that somebody confirmed, newest first; one query."""
    shown = ConflictBatch.objects.exclude(state=BatchState.PREPARED).filter(made_at__gte=SyncNow() - WEEK)
    return list(shown.select_related("by").order_by("-made_at")[:most])


def samples(batch: ConflictBatch, most: int = 10) -> list[BatchEntry]:
    """The first of what will be settled, oldest first, each with its conflict."""
    ready = batch.entries.filter(outcome=Outcome.READY).select_related("conflict")
    return list(islice(ready.order_by("id"), most))


def _label(batch: ConflictBatch) -> str:
    return str(ResolutionType(batch.resolution_type).label)
