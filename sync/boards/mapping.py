"""What a person does about mapped fields: asking for their columns, and retrying their records."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from sync import limits, registry
from sync.boards import board_columns
from sync.boards.board_columns import blocked_ledgers, fitting_types, reason_to_hold, set_creates_held
from sync.choices import Cause, ColumnProblem, Priority, QueueDirection, RecordSyncStatus, SyncDirection
from sync.kernel.messages import Conflict
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.monday.board import Board
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many, mark_many_pending
from sync.records import availability
from sync.records.blocked_fields import throttled_records


def column_label_now(link: BoardLink, column_id: str) -> str:
    """Name a column by its title, and say where it is not on the board any more; empty without a column."""
    label = board_columns.column_label(link, column_id) if column_id else ""
    is_deleted = link.shape.get("columns", {}).get(column_id, {}).get("gone")
    return f"{label}, deleted on the board" if is_deleted else label


def needs_column(mapping: FieldMapping) -> bool:
    """Whether a field that is synced has no column, or one that is no more, or of another type."""
    is_gone = mapping.problem_code in (ColumnProblem.MISSING, ColumnProblem.RETYPED)
    return mapping.direction != SyncDirection.NONE and (is_gone or not mapping.column_id)


def retry_field(mapping: FieldMapping, ids: Sequence[UUID], by: str) -> int:
    """Send a rejected or throttled value of these records once more; return of how many: those whose sync is on."""
    records = registry.entity(mapping.link.entity_type).model._default_manager
    is_off = RecordSyncStatus.DISABLED
    synced = list(records.filter(pk__in=ids).exclude(sync_status=is_off).order_by("pk").values_list("pk", flat=True))
    if not synced:
        why = "the sync of its records is off" if ids else f"“{mapping.label}” isn't blocked there any more"
        raise Conflict(f"Nothing was done: {why}.")
    _enqueue_for_person(mapping.link.entity_type, synced, by)
    return len(synced)


def _enqueue_for_person(entity_type: str, ids: Sequence[UUID], by: str) -> None:
    with transaction.atomic():
        # The status changes together with the row: nothing says `synced` while its retry is pending.
        mark_many_pending(entity_type, ids)
        enqueue_many(
            entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by},
            direction=QueueDirection.TO_MONDAY,
        )  # fmt: skip
        # After the commit: a worker that is notified earlier would not see the row.
        transaction.on_commit(lambda: notify.notify_now(entity_type), robust=True)


def check_board(link: BoardLink) -> str:
    """Ask Monday for the board's columns now, and say what came of it. Raises MondayError, Conflict."""
    # What blocks the board may be just what has been fixed there.
    if reason := availability.of(link, urgent=True, unblocked=True).detail:
        raise Conflict(f"Monday was not asked: {reason}")
    before = _problem_labels(link)
    # A person waits for the answer, so it may use the reserve.
    with limits.urgent_calls():
        board = board_columns.inspect_board(link)
        if board is not None and link.creates_held:
            _check_held(link, board)
    if board is None:
        raise Conflict(
            f"The board {link.board_id} isn't shown by Monday: it is archived, deleted, or hidden "
            "from NPD Sync's user on Monday."
        )
    after = _problem_labels(link)
    notify.notify_board(link.entity_type)
    if fixed := sorted(before - after):
        return f"{', '.join(fixed)}: the column is back. Its field is synced again."
    if lost := sorted(after - before):
        return f"{', '.join(lost)}: the column is gone, hidden or of another type. Its field is blocked."
    if after:
        return f"Monday was asked: nothing has changed. Still blocked: {', '.join(sorted(after))}."
    return "The board was asked: every mapped column is there."


def _check_held(link: BoardLink, board: Board) -> None:
    match = link.mappings.get(key=link.match_key)
    column = board.column(match.column_id)
    if column is not None:
        types = fitting_types(match)
        reason = reason_to_hold(limits.connector(), board, link.npd_id_column, column, types)
        set_creates_held(link, reason)


def _problem_labels(link: BoardLink) -> set[str]:
    # Read again: the check has stored new problems, which the caller's link doesn't have.
    fresh = BoardLink.objects.get(pk=link.pk)
    labels = fresh.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE)
    return {*labels.values_list("label", flat=True), *(["NPD ID"] if fresh.npd_id_problem else [])}


def enqueue_affected(mapping: FieldMapping, by: str) -> None:
    """Enqueue the records on which the field is blocked, kept different, throttled or in conflict."""
    ledgers = SyncMetadata.objects.of(mapping.link.entity_type)
    in_conflict = ledgers.exclude(conflicts={}).filter(
        Q(conflicts__fields__contains=[mapping.key]) | Q(conflicts__overwritten__contains=[mapping.key])
    )  # fmt: skip
    ids = sorted(
        {*_entity_ids(blocked_ledgers(mapping.link, mapping)), *throttled_records(mapping), *_entity_ids(in_conflict)}
    )
    if ids:
        _enqueue_for_person(mapping.link.entity_type, ids, by)


def _entity_ids(ledgers: QuerySet[SyncMetadata]) -> list[UUID]:
    return [UUID(entity_id) for entity_id in ledgers.order_by("entity_id").values_list("entity_id", flat=True)]
