"""A person's requests about a record's sync (a pass now, another direction) and about a board's columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from sync import limits, registry
from sync.boards import board_columns
from sync.choices import Cause, ColumnProblem, Priority, RecordSyncStatus, SyncDirection
from sync.kernel.messages import ActionError, NotPossible
from sync.limits import breaker, credentials
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata
from sync.operations.setup import board_setup
from sync.outbox import enqueue, enqueue_comparison, notify
from sync.records import authors, availability
from sync.registry import link_of

# Codes of the reasons why nothing is sent, or not now.
PUSH_REASONS = ("direction", "item_removed", "board")

# Who turned a record's sync off is searched among this many changes.
MAX_CHANGES = 500

# States of an item, in the sync state, in which nothing can be written to it.
UNWRITABLE_STATES = ("archived", "deleted", "missing", "moved", "inactive")


@dataclass(frozen=True)
class PushResult:
    triggered: bool  # whether a pass that sends was enqueued
    message: str  # for the person
    reason_code: str = ""  # why nothing is sent; if `triggered`, why not now


def push_record(record: SyncedModel, by: str) -> PushResult:
    """Enqueue a pass of a record, ahead of other work; raises ActionError if Monday or the board is not set up.

    The request overrides `sync_enabled` once, but neither the direction nor the filter, and it waits for the end of a
    pause.
    """
    link = link_of(record.entity_type())
    # A stop that may be over is probed at once.
    breaker.ask_again_after_commit()
    if missing := credentials.no_token_reason():
        raise ActionError(missing, code="not_configured")
    if link is None or not link.board_id:
        raise ActionError(
            f"There is no board for {record.entity_type()} records: choose one under Boards, “Set up…”.",
            code="not_configured",
        )
    if record.sync_direction in (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD):
        label = SyncDirection(record.sync_direction).label
        message = f"Nothing was sent: the direction of “{record}” is “{label}”. Change its direction first."
        return PushResult(False, message, "direction")
    sync_state = SyncMetadata.objects.of(record.entity_type(), [record.pk]).first()
    payload = {"by_name": True, "by": by}  # for this record alone: overrides `sync_enabled`
    enqueue(record.entity_type(), [record.pk], cause=Cause.PERSON, priority=Priority.PERSON, payload=payload)
    if reason := availability.of(link, urgent=True).detail:
        return PushResult(True, f"It waits: {reason}", "board")
    if sync_state is not None and sync_state.remote_state in UNWRITABLE_STATES:
        reason = sync_state.note or f"its item on Monday is {sync_state.remote_state}, so nothing can be written there."
        return PushResult(True, f"It waits: {reason}", "item_removed")
    condition = ", unless the filter leaves it out" if link.sync_filter else ""
    return PushResult(True, f"“{record}” is sent to Monday now{condition}.")


def set_direction(record: SyncedModel, direction: SyncDirection, *, expected: str) -> None:
    """Change a record's direction; raises NotPossible if it isn't the `expected` one any more."""
    with transaction.atomic():
        # NO KEY: a contact saved meanwhile may still point at this organization.
        rows = type(record)._default_manager.select_for_update(no_key=True, of=("self",))
        current = rows.get(pk=record.pk)
        if current.sync_direction != expected or current.sync_direction == direction:
            label = SyncDirection(current.sync_direction).label
            raise NotPossible(f"Nothing was changed: the direction of “{current}” is now “{label}”. Check again.")
        type(record)._default_manager.filter(pk=record.pk).update(sync_direction=direction.value)
        transaction.on_commit(lambda: notify.notify_board(record.entity_type()), robust=True)


def sync_turned_off(record: SyncedModel) -> dict[str, str]:
    """Return who turned a record's sync off (`by`); empty if its newest changes don't tell."""
    history = authors.latest_events(type(record), [record.pk], limit=MAX_CHANGES).get(record.pk, [])
    edit = authors.last_edit(history, ["sync_enabled"], authors.users_of(history))
    return {"by": edit.who} if edit else {}


def retry_field(mapping: FieldMapping, ids: Sequence[UUID], by: str) -> int:
    """Enqueue the records whose sync is on, for a pass that retries rejected and throttled values; return how many."""
    records = registry.entity(mapping.link.entity_type).model._default_manager
    is_off = RecordSyncStatus.DISABLED
    synced = list(records.filter(pk__in=ids).exclude(sync_status=is_off).order_by("pk").values_list("pk", flat=True))
    if not synced:
        why = "the sync of its records is off" if ids else f"“{mapping.label}” isn't blocked there any more"
        raise NotPossible(f"Nothing was done: {why}.")
    with transaction.atomic():
        entity_type = mapping.link.entity_type
        enqueue(entity_type, synced, cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by})
    return len(synced)


def check_board(link: BoardLink) -> str:
    """Check the columns, and whether creates are still held; return a sentence. Raises MondayError, NotPossible."""
    # Even if the board is blocked, because its problem may have been fixed.
    if reason := availability.of(link, urgent=True, unblocked=True).detail:
        raise NotPossible(f"NPD Sync didn't ask Monday: {reason}")
    before = _problem_labels(link)
    # A person waits for the answer, so it may use the reserve.
    with limits.urgent_calls():
        board = board_columns.inspect_board(link)
        if board is not None and link.creates_held:  # a reason, which may be over
            match = link.mappings.get(key=link.match_key)
            column = board.column(match.column_id)
            if column is not None:
                pages = limits.connector().list_items(link.board_id, [column.id, link.npd_id_column])
                reason = board_setup.reason_to_hold(column, link.npd_id_column, pages)
                board_columns.set_create_obstacle(link, "creates_held", reason)
    if board is None:
        raise NotPossible(
            f"The board {link.board_id} isn't shown by Monday: it is archived, deleted, or hidden "
            "from NPD Sync's user on Monday."
        )
    after = _problem_labels(link)
    for mapping in link.mappings.filter(problem_code=ColumnProblem.HIDDEN):
        # Only an item's values show that a hidden column is visible again.
        blocked = board_columns.blocked_sync_states(link, mapping)[:1]
        enqueue_comparison(link.entity_type, [UUID(row.entity_id) for row in blocked])
    notify.notify_board(link.entity_type)
    if fixed := sorted(before - after):
        return f"{', '.join(fixed)}: the column is back. Its field is synced again."
    if lost := sorted(after - before):
        return f"{', '.join(lost)}: the column is gone, hidden or of another type. Its field is blocked."
    if after:
        return f"NPD Sync asked Monday: nothing has changed. Still blocked: {', '.join(sorted(after))}."
    return "NPD Sync asked Monday: every mapped column is there."


def _problem_labels(link: BoardLink) -> set[str]:
    # Read again, because the caller's link doesn't have the problems that the check has just stored.
    fresh = BoardLink.objects.get(pk=link.pk)
    labels = fresh.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE)
    return {*labels.values_list("label", flat=True), *(["NPD ID"] if fresh.npd_id_problem else [])}
