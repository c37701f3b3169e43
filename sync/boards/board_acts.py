"""What a person asks on a board's page: to look at its columns again, to send a blocked value once more."""

from collections.abc import Sequence
from uuid import UUID

from django.db import models, transaction

from sync import limits, registry
from sync.boards import board_columns
from sync.choices import Cause, ColumnProblem, Priority, RecordSyncStatus, SyncDirection
from sync.kernel.messages import Conflict
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.monday.board import Board
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue
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
    with transaction.atomic():
        entity_type = mapping.link.entity_type
        enqueue(entity_type, synced, cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by})
    return len(synced)


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
        types = board_columns.fitting_types(match)
        reason = board_columns.ask_reason_to_hold(limits.connector(), board, link.npd_id_column, column, types)
        board_columns.set_create_obstacle(link, "creates_held", reason)


def _problem_labels(link: BoardLink) -> set[str]:
    # Read again: the check has stored new problems, which the caller's link doesn't have.
    fresh = BoardLink.objects.get(pk=link.pk)
    labels = fresh.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE)
    return {*labels.values_list("label", flat=True), *(["NPD ID"] if fresh.npd_id_problem else [])}


def enqueue_affected(mapping: FieldMapping, by: str) -> None:
    """Enqueue the records on which the field is blocked, kept different, throttled or in conflict."""
    ledgers = SyncMetadata.objects.of(mapping.link.entity_type)
    in_conflict = ledgers.exclude(conflicts={}).filter(
        models.Q(conflicts__fields__contains=[mapping.key]) | models.Q(conflicts__overwritten__contains=[mapping.key])
    )  # fmt: skip
    ids = sorted(
        {
            *_entity_ids(board_columns.blocked_ledgers(mapping.link, mapping)),
            *throttled_records(mapping),
            *_entity_ids(in_conflict),
        }
    )
    with transaction.atomic():
        entity_type = mapping.link.entity_type
        enqueue(entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by})


def _entity_ids(ledgers: models.QuerySet[SyncMetadata]) -> list[UUID]:
    return [UUID(entity_id) for entity_id in ledgers.order_by("entity_id").values_list("entity_id", flat=True)]
