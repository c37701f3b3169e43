"""One side, or one act, for all matching conflicts: shown, confirmed by number, stored row by row, undone the same way.

A row goes the way of a single conflict, by `resolve` and `undo`. It keeps what the conflict can't know: the values that
were shown, why nothing was stored, when its resolution was. What became of it since is read at the conflict.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from itertools import islice
from math import ceil
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import AbstractBaseUser
from django.db import OperationalError, transaction
from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When

from conflicts import lifecycle
from conflicts.case import conflict_progress
from conflicts.messages import (
    ALREADY_REOPENED,
    APPLYING,
    BULK_TITLES,
    HANDED_BACK,
    INTERNAL_FAILURE,
    LEFT_OUT,
    NO_ACCOUNT,
    NOT_APPLIED,
    NOT_OFFERED,
    NOT_UNDONE,
    OVERTAKEN,
    RESOLVED_OTHERWISE,
    SETTLED,
    STATUS_LABELS,
    UNDOING,
    UNDONE,
    WAITING,
    WAYS_BACK,
)
from conflicts.models import (
    BatchEntry,
    BatchState,
    ConflictBatch,
    ConflictKind,
    EntryOutcome,
    ResolutionType,
    SyncConflict,
)
from conflicts.resolution import (
    SIDE_OF_TYPE,
    InvalidResolution,
    Selections,
    current_values,
    deletion_problem,
    resolve,
    undo,
)
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize, process
from sync.kernel.conflict_store import DELETING_ACTS, RECORD_KEY, Option, OptionAct
from sync.kernel.db import advisory_lock
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.outbox.notify import send_task
from sync.records.authors import actor_label
from sync.records.tombstones import deleted_record_names
from sync.registry import count_of_type, record_names

log = structlog.get_logger(__name__)

RECORDS_PER_CALL = 100
"""As many records as one document reads or writes when nothing limits it."""

ENTRIES_PER_CHUNK = 500
"""Conflicts that are read from the database at once."""

ROWS_PER_CHUNK = 200
"""Rows that are worked before the next are read: so soon a worker sees that a person has stopped the rest."""

WORK_SECONDS = 60.0
"""How long one task works before it notifies another: well below a task's time limit."""

BATCH_LOCK = 0x434F4E46
"""Key of the advisory lock by which one worker at a time works a row; any otherwise unused number."""

LONGEST_NAME = 200
WEEK = timedelta(days=7)
MAX_RECENT = 3
"""Batches of the past week on the list of conflicts."""

CHOSEN_ONE_BY_ONE = "Chosen in the inbox"
"""What the batch says that keeps resolutions of the inbox for their undo."""

UNCONFIRMED_RETENTION = timedelta(days=1)
"""How long a batch is kept that was shown and never confirmed."""

BATCH_RETENTION = timedelta(days=365)
"""How long a finished one is kept; the conflicts, their history and the admin log are kept longer."""


# What is shown before: how many, what would be written where, samples.


BULK_TYPES = (*SIDE_OF_TYPE, *(act.value for act in OptionAct))
"""What can be chosen for many: a side, or an act on records and items as a whole."""


def bulk_option(conflict: SyncConflict, resolution_type: str) -> Option | None:
    """The option of a conflict about a record that a bulk resolution chooses; None where it is not offered."""
    side = SIDE_OF_TYPE.get(resolution_type)
    return lifecycle.side_option(conflict, side) if side else lifecycle.act_option(conflict, resolution_type)


def bulk_title(batch: ConflictBatch) -> str:
    """What a bulk resolution does, with its number: of records and items their own noun, where all are of one type."""
    if number := _emptied(batch):
        side = " and ".join(words for name, words in _EMPTIED.items() if batch.plan.get(name))
        return f"Empty {humanize.count_with_noun(number, 'value')} {side}"
    template = BULK_TITLES.get(batch.resolution_type)
    if template is None:
        label = ResolutionType(batch.resolution_type).label
        return f"{label} in {humanize.count_with_noun(batch.total, 'conflict')}"
    types = list(batch.plan.get("types", ()))
    records = count_of_type(batch.total, types[0] if len(types) == 1 else "")
    return str(template % {"records": records, "items": humanize.count_with_noun(batch.total, "item")})


_EMPTIED = {"npd_emptied": "in NPD", "monday_emptied": "on Monday"}
"""Under which names a plan counts what is emptied, and where that is."""


def _emptied(batch: ConflictBatch) -> int:
    return max(int(batch.plan.get(name, 0)) for name in _EMPTIED)


def takes_away(batch: ConflictBatch) -> bool:
    """Whether it deletes records or items, or empties values: its button is red."""
    return batch.resolution_type in DELETING_ACTS or _emptied(batch) > 0


def _empties(conflict: SyncConflict, resolution_type: str) -> bool:
    """Whether the chosen side is empty where the other has a value, in a field at least."""
    if conflict.is_about_record or _exclusion_reason(conflict, resolution_type):
        return False
    return any(effect.emptied_side for effect in _effects(conflict, resolution_type))


def _effects(conflict: SyncConflict, resolution_type: str) -> Iterator[lifecycle.Effect]:
    side = SIDE_OF_TYPE[resolution_type]
    for key in conflict.conflict_fields:
        yield lifecycle.effect_of(side, **conflict.sides(key), base=None, value=None, kind=conflict.kind)


def effect_lines(conflict: SyncConflict, resolution_type: str) -> list[str]:
    option = bulk_option(conflict, resolution_type)
    return [conflict.what, *([f"{option.label}: {option.effect}"] if option else [])]


def _exclusion_reason(conflict: SyncConflict, resolution_type: str) -> str:
    """Why a side can't be chosen for this conflict, and what to do; empty where it can."""
    if not conflict.is_open:
        return "It is resolved already."
    if conflict.is_being_applied:
        return f"{conflict.stored_resolution.by} resolved it already, and that is being applied."
    is_possible = conflict.is_about_record or resolution_type in SIDE_OF_TYPE
    if not is_possible or (conflict.is_about_record and bulk_option(conflict, resolution_type) is None):
        return NOT_OFFERED
    return ""


_COUNTED_AS = {
    OptionAct.CREATE_ITEM: "monday_created",
    OptionAct.RESTORE_RECORD: "npd_created",
    OptionAct.DELETE_RECORD: "npd_deleted",
    OptionAct.ARCHIVE_ITEM: "monday_deleted",
    OptionAct.DELETE_ITEM: "monday_deleted",
    OptionAct.UNLINK: "unlinked",
}
"""Under which name a plan counts what an option does."""


class _Plan:
    """How many values a bulk resolution writes, what it creates and deletes on each side, of how many of each type."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter(
            dict.fromkeys(("npd", "monday", "about_records", *_EMPTIED, *_COUNTED_AS.values()), 0)
        )
        self.read: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def add(self, conflict: SyncConflict, resolution_type: str) -> None:
        """Count what this choice writes in one conflict."""
        sent = conflict.is_about_record
        self.written["about_records"] += conflict.is_about_record
        option = bulk_option(conflict, resolution_type) if conflict.is_about_record else None
        if option and option.does:
            self.written[_COUNTED_AS[OptionAct(option.does)]] += 1
        for effect in () if conflict.is_about_record else _effects(conflict, resolution_type):
            suffix = "" if effect.value else "_emptied"
            self.written[f"npd{suffix}"] += effect.npd_changes
            self.written[f"monday{suffix}"] += effect.monday_changes
            sent = sent or effect.monday_changes
        self.read[conflict.entity_type] += 1
        self.sent[conflict.entity_type] += sent

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and how many calls that takes at least, as the batch stores them."""
        records = [*self.read.values(), *self.sent.values()]
        calls = sum(ceil(number / RECORDS_PER_CALL) for number in records)
        return {**self.written, "calls": calls, "types": dict(self.read)}


def prepare_batches(
    conflicts: QuerySet[SyncConflict], resolution_type: str, *, by: AbstractBaseUser, address: str, matches: str
) -> list[ConflictBatch]:
    """Prepare one batch of what is about values, one of what the side empties, and one of each act on whole records.

    So nobody deletes or empties by a button that speaks of values. What the side can't be chosen for is left out of the
    first.
    """
    found, rest = list[ConflictBatch](), conflicts
    valued = conflicts.exclude(kind=ConflictKind.DELETE).iterator(chunk_size=ENTRIES_PER_CHUNK)
    if emptying := [one.pk for one in valued if _empties(one, resolution_type)]:
        some = SyncConflict.objects.filter(pk__in=emptying)
        found.append(prepare_batch(some, resolution_type, by=by, address=address, matches=matches))
        rest = rest.exclude(pk__in=emptying)
    for act in OptionAct if resolution_type in SIDE_OF_TYPE else ():
        option = {"choose": SIDE_OF_TYPE[resolution_type], "does": act.value}
        does_it = Q(kind=ConflictKind.DELETE, about__options__contains=[option])
        if conflicts.filter(does_it).exists():
            some = conflicts.filter(does_it)
            found.append(prepare_batch(some, act.value, by=by, address=address, matches=matches))
            rest = rest.exclude(pk__in=some.order_by().values("pk"))
    if not found or rest.exists():
        found.insert(0, prepare_batch(rest, resolution_type, by=by, address=address, matches=matches))
    return found


def prepare_batch(
    conflicts: QuerySet[SyncConflict],
    resolution_type: str,
    *,
    by: AbstractBaseUser,
    address: str = "",
    matches: str = "",
) -> ConflictBatch:
    """Store what would be resolved, with the present values; nothing is resolved yet.

    `resolution_type` is one of BULK_TYPES, `address` and `matches` the filter that found them. Raises
    InvalidResolution for another type.
    """
    if resolution_type not in BULK_TYPES:
        raise InvalidResolution(f"“{resolution_type}” can't be chosen for many. Choose one of {', '.join(BULK_TYPES)}.")
    plan = _Plan()
    deletes = resolution_type in DELETING_ACTS
    refused = cache(lambda entity_type: deletion_problem(by, entity_type) if deletes else "")
    with transaction.atomic():
        _delete_expired()
        batch = ConflictBatch.objects.create(
            by_id=by.pk, resolution_type=resolution_type, address=address, matches=matches, total=0
        )
        rows = iter(conflicts.order_by("detected_at", "id").iterator(chunk_size=ENTRIES_PER_CHUNK))
        while chunk := list(islice(rows, ENTRIES_PER_CHUNK)):
            keys = {(one.entity_type, one.entity_id) for one in chunk}
            names = record_names(keys)
            # The batch lists it by this name also once it is restored.
            names |= deleted_record_names(keys - set(names), said="")
            entries = []
            for conflict in chunk:
                reason = _exclusion_reason(conflict, resolution_type) or refused(conflict.entity_type)
                if not reason:
                    plan.add(conflict, resolution_type)
                    batch.total += 1
                name = names.get(
                    (conflict.entity_type, conflict.entity_id), f"a {conflict.entity_type} that was deleted"
                )
                seen = {key: [both["npd"], both["monday"]] for key, both in current_values(conflict).items()}
                outcome = EntryOutcome.LEFT_OUT if reason else EntryOutcome.READY
                entries.append(
                    BatchEntry(
                        batch=batch, conflict=conflict, name=name[:LONGEST_NAME], seen=seen, outcome=outcome,
                        reason=reason, chosen_at="",
                    )
                )  # fmt: skip
            BatchEntry.objects.bulk_create(entries)
        batch.plan = plan.to_json()
        batch.save(update_fields=["total", "plan"])
    return batch


def _delete_expired() -> None:
    now, ended = sync_now(), (BatchState.DONE, BatchState.UNDONE)
    old = ConflictBatch.objects.filter(
        Q(state=BatchState.PREPARED, made_at__lt=now - UNCONFIRMED_RETENTION)
        | Q(state__in=ended, made_at__lt=now - BATCH_RETENTION)
    )
    # Locked before they are deleted: one that is confirmed, or to be undone, at this moment stays.
    locked = old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
    ConflictBatch.objects.filter(pk__in=list(locked)).delete()


def recent_batches() -> list[ConflictBatch]:
    """The last batches of the past week that somebody confirmed as such, newest first; one query."""
    confirmed = (
        ConflictBatch.objects.exclude(state=BatchState.PREPARED)
        .exclude(matches=CHOSEN_ONE_BY_ONE)
        .filter(made_at__gte=SyncNow() - WEEK)
    )
    return list(confirmed.select_related("by").order_by("-made_at")[:MAX_RECENT])


def ready_entries(batch: ConflictBatch) -> QuerySet[BatchEntry]:
    """Return what will be resolved, oldest first, each with its conflict."""
    return batch.entries.filter(outcome=EntryOutcome.READY).select_related("conflict").order_by("id")


# What a person does with a batch. Each act leaves a line in the admin's log and notifies a worker.


def confirm_batch(batch: ConflictBatch, *, by: AbstractBaseUser, expected_count: int) -> None:
    """Let a batch be stored, exactly as many as were shown; the rest is a worker's.

    Raises InvalidResolution where the number is another, the batch was confirmed before, or somebody else prepared it.
    """
    if batch.by_id != by.pk:
        raise InvalidResolution("Somebody else prepared this. Choose in the list again, to see what it does now.")
    unconfirmed = ConflictBatch.objects.filter(pk=batch.pk, state=BatchState.PREPARED)
    with transaction.atomic():
        # One conditional update: of two clicks only one confirms, and only the number that was shown.
        if not batch.total or not unconfirmed.filter(total=expected_count).update(
            state=BatchState.RUNNING, confirmed_at=sync_now()
        ):
            raise InvalidResolution(
                "The number is not the one shown, or it was confirmed before. Check the page again."
            )
        _log_act(batch, by, bulk_title(batch))


def stop_batch(batch: ConflictBatch, *, by: AbstractBaseUser) -> int:
    """Leave the rest of a batch as it is; return of how many. What is stored, or undone, already stays so.

    Raises InvalidResolution where nothing of it waits any more.
    """
    with transaction.atomic():
        locked, left_count = ConflictBatch.objects.select_for_update().get(pk=batch.pk), 0
        if locked.state == BatchState.RUNNING:
            reason = f"{actor_label(by)} stopped the batch before this was stored, so it is open as before."
            rest = locked.entries.filter(outcome=EntryOutcome.READY)
            # One that a worker stores at this moment is waited for, and stays stored; one that it has only listed it
            # reads anew under its lock, and leaves.
            left_count = rest.update(outcome=EntryOutcome.LEFT_OUT, reason=reason)
            locked.state = BatchState.DONE
            locked.save(update_fields=["state"])
        # The state stays: undos that are requested already are in the hands of passes, and are followed to their end.
        elif locked.state == BatchState.UNDOING:
            left_count = locked.entries.filter(outcome=EntryOutcome.UNDO_WANTED).update(
                outcome=EntryOutcome.STORED, reason=""
            )
        if not left_count:
            raise InvalidResolution("All of it was done already, so there was nothing to stop.")
        _log_act(batch, by, f"Stopped: {humanize.count_with_noun(left_count, 'conflict')} left as they are")
    return left_count


def request_undo(batch: ConflictBatch, *, by: AbstractBaseUser) -> int:
    """Request the undo of all that this batch resolved; return of how many. The rest is a worker's.

    Raises InvalidResolution where nothing of it can be undone now.
    """
    if way_back := WAYS_BACK.get(batch.resolution_type):
        raise InvalidResolution(f"This can't be undone at once. {way_back}")
    with transaction.atomic():
        # Locked: a worker that stores the last of its rows at this moment writes the state as well.
        locked = ConflictBatch.objects.select_for_update().get(pk=batch.pk)
        stored = locked.entries.filter(outcome__in=(EntryOutcome.STORED, EntryOutcome.NOT_UNDONE))
        why_not = {
            BatchState.PREPARED: "It was never confirmed, so there is nothing to undo.",
            BatchState.RUNNING: "It is still being stored. Wait until that is done, then undo it.",
            BatchState.UNDOING: "It is being undone already.",
        }
        if locked.state in why_not or not stored.exists():
            raise InvalidResolution(why_not.get(BatchState(locked.state), "Nothing of it is left to undo."))
        count = stored.update(outcome=EntryOutcome.UNDO_WANTED, reason="")
        locked.state, locked.undo_by_id, locked.undo_asked_at = BatchState.UNDOING, by.pk, sync_now()
        locked.save(update_fields=["state", "undo_by", "undo_asked_at"])
        _log_act(batch, by, f"Undo of {humanize.count_with_noun(count, 'conflict')}")
    return count


def batch_of_stored(
    stored: Sequence[SyncConflict], resolution_type: str, names: Mapping[str, str], *, by: AbstractBaseUser
) -> ConflictBatch:
    """Keep resolutions that were stored one by one as a batch, so that one undo takes all of them back."""
    with transaction.atomic():
        batch = ConflictBatch.objects.create(
            by_id=by.pk, resolution_type=resolution_type, state=BatchState.DONE, matches=CHOSEN_ONE_BY_ONE,
            total=len(stored), confirmed_at=sync_now(),
        )  # fmt: skip
        BatchEntry.objects.bulk_create(
            BatchEntry(
                batch=batch, conflict=one, name=names.get(str(one.pk), "")[:LONGEST_NAME], seen={},
                outcome=EntryOutcome.STORED, chosen_at=one.stored_resolution.at,
            )
            for one in stored
        )  # fmt: skip
    return batch


def _log_act(batch: ConflictBatch, by: AbstractBaseUser, sentence: str) -> None:
    notify_batch_worker()
    lifecycle.log_admin_action(by, f"{sentence}: batch {batch.pk}.")


def notify_batch_worker() -> None:
    """Notify a worker on commit; a lost message costs seconds, as Beat asks every ten."""
    transaction.on_commit(lambda: send_task("conflicts.carry_on_batches"), robust=True)


# The state of each conflict of a batch: what its row keeps, and what has become of the conflict since.


MOVING_STATUSES = frozenset({WAITING, APPLYING, UNDOING})
"""States that change without a person."""

UNDER_UNDO = (EntryOutcome.UNDO_WANTED, EntryOutcome.UNDO_REQUESTED)

_OPEN = Q(conflict__resolved_at=None)

_AWAITS_PASS = Q(conflict__resolution__isnull=False) & ~Q(conflict__resolution__fields={})
"""The conflict has a resolution that the record's next pass applies, or undoes."""

_STATUS = Case(
    When(outcome=EntryOutcome.READY, then=Value(WAITING)),
    When(outcome=EntryOutcome.HANDED_BACK, then=Value(HANDED_BACK)),
    When(outcome=EntryOutcome.LEFT_OUT, then=Value(LEFT_OUT)),
    When(outcome=EntryOutcome.NOT_UNDONE, then=Value(NOT_UNDONE)),
    When(outcome=EntryOutcome.UNDONE, then=Value(UNDONE)),
    When(Q(outcome=EntryOutcome.UNDO_REQUESTED) & _OPEN, then=Value(UNDONE)),
    When(outcome__in=UNDER_UNDO, then=Value(UNDOING)),
    When(_OPEN & _AWAITS_PASS, then=Value(APPLYING)),
    When(_OPEN, then=Value(HANDED_BACK)),
    # The choice was not needed, or could not be applied: nobody's resolution ended it.
    When(conflict__resolution_type=ResolutionType.AUTO, then=Value(OVERTAKEN)),
    default=Value(SETTLED),
    output_field=CharField(),
)


def with_status(batch: ConflictBatch) -> QuerySet[Any]:
    """Return the batch's rows, each with `stands`, one of the states above."""
    rows: QuerySet[Any] = batch.entries.annotate(stands=_STATUS).order_by("id")
    return rows


def status_counts(batch: ConflictBatch) -> dict[str, int]:
    """Return how many rows have each state, in the order of STATUS_LABELS; one query."""
    rows = with_status(batch).order_by().values_list("stands").annotate(Count("pk"))
    numbers: dict[str, int] = {str(name): number for name, number in rows}
    return {name: numbers[name] for name in STATUS_LABELS if name in numbers}


def entry_sentence(row: Any) -> str:
    """What became of one row, in words; no query where its conflict was read with it."""
    if row.stands == WAITING:
        return ""
    is_told = row.outcome in (EntryOutcome.HANDED_BACK, EntryOutcome.LEFT_OUT, EntryOutcome.NOT_UNDONE)
    return str(row.reason) if is_told else conflict_progress(row.conflict, with_delay=False).sentence


def delay_reason(batch: ConflictBatch) -> str:
    """What keeps stored choices from being applied, as the first of them says; empty where nothing does."""
    row = with_status(batch).filter(stands=APPLYING).select_related("conflict").first()
    return conflict_progress(row.conflict).delay_reason if row and row.conflict else ""


# The worker's part: it stores resolutions row by row, then, when asked, undoes them row by row.
#
# The rows of a batch are the truth and a task's message only a notification. Each row has a transaction of its own,
# under a lock that one worker has at a time: so a worker may end at any moment, and two don't disturb each other.


class _LockTaken(Exception):
    """Another worker works a row of a batch; this one can end."""


def work_batches(seconds: float = WORK_SECONDS) -> int:
    """Work all batches that are confirmed or to be undone, for so long at most; return how many rows were done.

    Only one worker does: a second one ends at once.
    """
    deadline, count = time.monotonic() + seconds, 0
    active = ConflictBatch.objects.filter(state__in=(BatchState.RUNNING, BatchState.UNDOING))
    for batch in active.select_related("by", "undo_by").order_by("made_at", "id"):
        for pk in _workable_ids(batch):
            if process.is_shutting_down() or time.monotonic() > deadline:
                if count:  # else the next job, in seconds, is soon enough
                    notify_batch_worker()
                return count
            try:
                count += _work_entry(pk, batch)
            except _LockTaken:
                return count
        is_running = batch.state == BatchState.RUNNING
        if not batch.entries.filter(outcome__in=(EntryOutcome.READY,) if is_running else UNDER_UNDO).exists():
            after = BatchState.DONE if is_running else BatchState.UNDONE
            # Only from the state that was worked: meanwhile a person may have stopped it and asked for its undo.
            ConflictBatch.objects.filter(pk=batch.pk, state=batch.state).update(state=after)
    return count


def _workable_ids(batch: ConflictBatch) -> Iterator[int]:
    # To be stored, else those whose undo can go on; some at a time.
    rows = batch.entries.order_by("id")
    if batch.state == BatchState.RUNNING:
        rows = rows.filter(outcome=EntryOutcome.READY)
    else:
        # Rows that wait for a pass are not asked again and again: there may be thousands.
        rows = rows.annotate(awaits_pass=Case(When(_AWAITS_PASS, then=True), default=False)).filter(
            Q(outcome=EntryOutcome.UNDO_WANTED) & (~_OPEN | Q(awaits_pass=False))
            | Q(outcome=EntryOutcome.UNDO_REQUESTED) & (_OPEN | Q(awaits_pass=False))
        )
    last = 0
    # By the last key and not by an offset: rows leave the filter while they are worked.
    while chunk := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:ROWS_PER_CHUNK]):
        yield from chunk
        last = chunk[-1]


def _work_entry(pk: int, batch: ConflictBatch) -> int:
    work = _store if batch.state == BatchState.RUNNING else _undo
    try:
        with transaction.atomic():
            if not advisory_lock(BATCH_LOCK, "try"):  # held to the end of this transaction, so one worker at a time
                raise _LockTaken
            # Skipped where a person's undo holds it, which locks all rows at once: it is worked when that is over.
            row = BatchEntry.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
            if row is None or not work(row, batch):
                return 0
            row.save(update_fields=["outcome", "reason", "chosen_at"])
    except (_LockTaken, OperationalError, SoftTimeLimitExceeded):
        raise  # a lock, the connection, the task's time: not this row's fault
    except Exception as error:  # one row's error must not stop those behind it
        log.exception("a conflict of a batch could not be worked", entry=pk, batch=str(batch.pk))
        failed = EntryOutcome.HANDED_BACK if work is _store else EntryOutcome.NOT_UNDONE
        reason = INTERNAL_FAILURE % {"error": type(error).__name__}
        # In a transaction of its own: that of the row was rolled back with the error.
        BatchEntry.objects.filter(pk=pk).update(outcome=failed, reason=reason)
    return 1


def _store(row: BatchEntry, batch: ConflictBatch) -> bool:
    """Store the side for the values that were shown, or why it came back; return whether the row changed."""
    # A person has stopped the batch since its rows were listed.
    if row.outcome != EntryOutcome.READY:
        return False
    # Whether the values still stand is checked where any choice is: here by `resolve`, then by the record's pass.
    seen = {key: {"npd": npd, "monday": monday} for key, (npd, monday) in row.seen.items()}
    try:
        if batch.by is None:
            raise InvalidResolution(NO_ACCOUNT)
        kind, selections = _choice_of(row, batch.resolution_type)
        stored = resolve(row.conflict_id, by=batch.by, resolution_type=kind, selections=selections, seen=seen)
        row.outcome, row.chosen_at = EntryOutcome.STORED, stored.stored_resolution.at
    except ActionError as error:
        row.outcome, row.reason = EntryOutcome.HANDED_BACK, str(error)
    return True


def _choice_of(row: BatchEntry, resolution_type: str) -> tuple[str, Selections | None]:
    """The type of the resolution, and for an act its option, as a person would choose them on the conflict's page."""
    if resolution_type in SIDE_OF_TYPE:
        return resolution_type, None
    option = lifecycle.act_option(row.conflict, resolution_type)
    if option is None:
        raise InvalidResolution(NOT_OFFERED)
    sides = {side: kind for kind, side in SIDE_OF_TYPE.items()}
    if option.choose in sides:
        return sides[option.choose], None
    return ResolutionType.MERGE.value, {RECORD_KEY: FieldSelection(option.choose, option.value or None)}


def _undo(row: BatchEntry, batch: ConflictBatch) -> bool:
    """Request the undo, or store what became of it; return whether the row changed."""
    conflict = SyncConflict.objects.get(pk=row.conflict_id)
    if row.outcome == EntryOutcome.UNDO_REQUESTED and not conflict.is_being_undone:
        entries = conflict.merge_selections.values()
        is_done = conflict.is_open or any(lifecycle.has_joined_another(entry) for entry in entries)
        reasons = [str(entry.get("undo") or "") for entry in entries if not lifecycle.has_joined_another(entry)]
        row.reason = " ".join(filter(None, dict.fromkeys(reasons)))
        row.outcome = EntryOutcome.UNDONE if is_done else EntryOutcome.NOT_UNDONE
        return True
    if row.outcome != EntryOutcome.UNDO_WANTED or conflict.is_being_applied:
        return False  # what a pass may be writing at this moment is undone once it is written
    # Another resolution since has another time: the batch undoes only its own. A conflict that closed by itself has
    # none at all, and undo() says so.
    chosen = {entry.get("chosen_at") for entry in lifecycle.resolved_by_people(conflict).values()}
    try:
        if batch.undo_by is None:
            raise InvalidResolution(NO_ACCOUNT)
        if conflict.is_open:
            raise InvalidResolution(ALREADY_REOPENED if row.chosen_at in chosen else NOT_APPLIED)
        if not chosen <= {row.chosen_at}:
            raise InvalidResolution(RESOLVED_OTHERWISE)
        undo(conflict.pk, by=batch.undo_by)
        row.outcome, row.reason = EntryOutcome.UNDO_REQUESTED, ""
    except ActionError as error:
        row.outcome, row.reason = EntryOutcome.NOT_UNDONE, str(error)
    return True
