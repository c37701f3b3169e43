"""What a person changes about one mapped field: its column, direction or rule; also retrying its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet

from sync import limits, registry
from sync.boards import board_columns
from sync.boards.board_columns import (
    NAME_COLUMN_ID,
    NO_PROBLEM,
    blocked_ledgers,
    fitting_types,
    mapping_spec,
    target_board_of,
    unblock_field,
)
from sync.boards.board_setup import resync_records
from sync.boards.held_creates import reason_to_hold, set_creates_held
from sync.boards.sync_filter import SyncFilter
from sync.choices import Cause, ColumnProblem, Priority, QueueDirection, RecordSyncStatus, Rule, SyncDirection
from sync.kernel.messages import ActionError, Conflict
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.monday.board import RELATION, Board, target_boards
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many, mark_many_pending
from sync.records import availability
from sync.records.blocked_fields import throttled_records
from sync.registry import rules_for


def column_choices(mapping: FieldMapping) -> list[tuple[str, str]]:
    """The columns that the field may have, id and title; its present one first.

    They are those that the board last showed, of a type that fits the field, and not another field's.
    """
    columns: Mapping[str, Mapping[str, Any]] = mapping.link.shape.get("columns", {})
    present = (mapping.column_id, _column_label(mapping.link, mapping.column_id))
    if mapping.column_id == NAME_COLUMN_ID:
        return [present]
    other_fields = _other_fields(mapping)
    fitting = [
        (column_id, _column_label(mapping.link, column_id))
        for column_id in columns
        if column_id != mapping.column_id and not _remap_problem(mapping, column_id, other_fields)
    ]
    return [present, *sorted(fitting, key=lambda one: one[1].casefold())]


def _column_label(link: BoardLink, column_id: str) -> str:
    if not column_id:
        return "(no column)"
    is_deleted = link.shape.get("columns", {}).get(column_id, {}).get("gone")
    return deleted_column_label(link, column_id) if is_deleted else board_columns.column_label(link, column_id)


def deleted_column_label(link: BoardLink | None, column_id: str) -> str:
    """Name a column that is not on the board any more, by its last title where that is known."""
    return f"{board_columns.column_label(link, column_id) if link else column_id}, deleted on the board"


def remap(mapping_id: int, column_id: str, *, by: str, expected: str | None = None) -> str:
    """Map a field to another column and enqueue every linked record; return a sentence on what was done.

    `by` is who asked, as the history names them; `expected` the column that the person saw, if any. Raises
    ActionError, also where it has another by now.
    """
    with transaction.atomic():
        # Locked, so that two people who remap the same field don't both succeed.
        mapping = _lock_mapping(mapping_id)
        # The person decided while looking at another column.
        if expected is not None and mapping.column_id != expected:
            raise Conflict(f"The column of {mapping.label} was changed meanwhile. Check again.")
        if reason := _remap_problem(mapping, column_id, _other_fields(mapping)):
            raise ActionError(reason)
        column = mapping.link.shape["columns"][column_id]
        spec = mapping_spec(mapping)
        FieldMapping.objects.filter(pk=mapping.pk).update(
            column_id=column_id,
            converter=(spec.converter_for(column["type"]) if spec else None) or mapping.converter,
            options={"column_type": column["type"], "settings": column.get("settings") or {}},
            # What was agreed about the old column says nothing about the new one.
            version=F("version") + 1,
            **NO_PROBLEM,
        )
        unblock_field(mapping.link, mapping)
        requeued = resync_records(registry.entity(mapping.link.entity_type), {mapping.remap_key: by})
    sentence = f"{mapping.label} is in the column {_column_label(mapping.link, column_id)} now"
    return ". ".join([sentence, *requeued]) + "."


def needs_column(mapping: FieldMapping) -> bool:
    """Whether a field that is synced has no column, or one that is no more, or of another type."""
    is_gone = mapping.problem_code in (ColumnProblem.MISSING, ColumnProblem.RETYPED)
    return mapping.direction != SyncDirection.NONE and (is_gone or not mapping.column_id)


def _other_fields(mapping: FieldMapping) -> dict[str, str]:
    """The columns that other fields have, with the fields' labels."""
    fields = mapping.link.mappings.all()
    # A field without a direction frees its column for others.
    return {one.column_id: one.label for one in fields if one.pk != mapping.pk and one.direction != SyncDirection.NONE}


def _remap_problem(mapping: FieldMapping, column_id: str, other_fields: Mapping[str, str]) -> str:
    column = mapping.link.shape.get("columns", {}).get(column_id)
    if mapping.column_id == NAME_COLUMN_ID:
        return f"{mapping.label} is the item's name, which is no column."
    if not column or column.get("gone"):
        return f"The column {column_id} is not on the board, as far as is known. Choose another."
    if column_id == mapping.link.npd_id_column:
        return f"The column {_column_label(mapping.link, column_id)} holds the NPD ID. Choose another."
    if other := other_fields.get(column_id):
        return f"The column {_column_label(mapping.link, column_id)} is mapped to {other} already. Choose another."
    return _unfit_problem(mapping, column_id, column)


def _unfit_problem(mapping: FieldMapping, column_id: str, column: Mapping[str, Any]) -> str:
    types = fitting_types(mapping)
    if column["type"] not in types:
        return f"{mapping.label} needs a column of type {' or '.join(types)}; this one is of type {column['type']}."
    if column["type"] == RELATION and target_board_of(mapping) not in target_boards(column.get("settings") or {}):
        label = _column_label(mapping.link, column_id)
        return f"The column {label} doesn't lead to the board that {mapping.label} points at."
    return ""


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


def set_field_direction(mapping: FieldMapping, direction: SyncDirection, *, expected: str, by: str) -> FieldMapping:
    """Set a field's direction for all records, and enqueue those for which that changes anything.

    Raises Conflict where it is another than `expected` by now, or nothing is synced; ActionError for a field that must
    be synced.
    """
    with transaction.atomic():
        current = _lock_mapping(mapping.pk)
        if current.direction != expected:
            raise Conflict(_changed_message(current, str(SyncDirection(current.direction).label)))
        if current.direction == SyncDirection.NONE:
            # It moves values of all records, and another field may have its column by now: a plan shows both.
            raise Conflict(
                f"{current.label} isn't synced. Choose a direction for it by a change that is compared first."
            )
        if direction is SyncDirection.NONE and (reason := _needed_for(current)):
            raise ActionError(f"{current.label} must be synced: {reason}. Nothing was changed.")
        values = {"direction": direction.value} | (NO_PROBLEM if direction is SyncDirection.NONE else {})
        FieldMapping.objects.filter(pk=current.pk).update(**values)
        _enqueue_affected(current, by)
    return current


def _needed_for(mapping: FieldMapping) -> str:
    """Return why the field can't be left out of the sync; empty where it can."""
    # The row, as it is while the mapping is locked.
    link = BoardLink.objects.get(pk=mapping.link_id)
    if mapping.key == registry.entity(link.entity_type).match_key:
        return "records and items are matched by it"
    spec, asked = mapping_spec(mapping), SyncFilter.parse(link.sync_filter)
    if spec is not None and spec.required:
        return "it is required in NPD"
    if mapping.key in {condition.field for condition in (*asked.records, *asked.items)}:
        return "the filter uses it; remove it from the filter first"
    return ""


def check_rule(mapping: FieldMapping, rule: str) -> Rule:
    """Return the rule of that name; raises ActionError for one that the field can't follow."""
    for offered in rules_for(mapping):
        if offered == rule:
            return offered
    if rule not in set(Rule):
        raise ActionError("Nothing was changed: there is no such rule. Choose another one.")
    raise ActionError(
        f"Nothing was changed: “{Rule(rule).label}” is for lists; {mapping.label} holds one value. Choose another rule."
    )


def set_field_rule(mapping: FieldMapping, rule: str, *, expected: str, by: str) -> FieldMapping:
    """Give a field another rule, and reconcile the records for which that changes anything; return it as it is now.

    `expected` is the rule that the person saw. Raises Conflict where it has another by now, ActionError for a rule that
    it can't follow.
    """
    with transaction.atomic():
        current = _lock_mapping(mapping.pk)
        if current.rule != expected:
            raise Conflict(_changed_message(current, str(Rule(current.rule).label)))
        current.rule = check_rule(current, rule).value
        current.save(update_fields=["rule"])
        _enqueue_affected(current, by)
    return current


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
    if found := sorted(after - before):
        return f"{', '.join(found)}: the column is gone, hidden or of another type. Its field is blocked."
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


def _lock_mapping(mapping_id: int) -> FieldMapping:
    return FieldMapping.objects.select_related("link").select_for_update(of=("self",)).get(pk=mapping_id)


def _changed_message(mapping: FieldMapping, label: str) -> str:
    return f"Nothing was done: “{mapping.label}” was changed meanwhile, to “{label}”. Check again."


def _enqueue_affected(mapping: FieldMapping, by: str) -> None:
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
    return [UUID(one) for one in ledgers.order_by("entity_id").values_list("entity_id", flat=True)]
