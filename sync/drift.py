"""Columns that drift: renamed ones are followed by their id, of those gone or changed in type the field is held.

Noticed by every sweep and nightly comparison, which read the board, and by looks whose answer lacks a column. A
mapping whose column can't be used bears its `problem` in words; its field is held on every record, in NPD's own
tables and without a call, so that nothing says `synced` whose value Monday has lost. A column that is there again
has its old base, another one has none; either way the records that hold the field are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F

from sync import account, drift_titles, registry
from sync.choices import (
    Cause,
    Priority,
    QueueDirection,
    QueueStatus,
    RecordSyncStatus,
    SyncDirection,
    SyncStatus,
)
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.boards import Board, read_boards
from sync.enqueue import enqueue_many
from sync.models import BoardLink, FieldMapping, SyncMetadata, SyncQueue
from sync.models.synced import unsynced
from sync.setup_columns import NPD_ID_TITLE, spec_of

log = structlog.get_logger(__name__)

NAME = "name"
ASK_AGAIN = timedelta(hours=1)
"""So long after the last look at a record of a hidden column one is looked at again."""
_REMAP = (
    "Restore it on the board (undo, or the board's trash), or choose another column in the admin (Boards), or run "
    "`manage.py monday_setup`, which makes a new one."
)
_KEPT = "The field is held: edits are kept on both sides, and flow once it has a column again."
_HIDDEN = "is on the board, but Monday doesn't show its values to the token's user"

_HOLD = """
    UPDATE sync_metadata AS ledger SET
        sync_status = CASE WHEN record.sync_status = %(pending)s THEN %(status)s ELSE ledger.sync_status END,
        held = held || jsonb_build_object(%(key)s::text,
        jsonb_build_object('reason', %(reason)s::text, 'side', 'npd', 'local', NULL, 'column', %(column)s::text,
            'version', %(version)s::int) || CASE
            WHEN jsonb_exists(held -> %(key)s::text, 'left_by') THEN jsonb_build_object('left', held -> %(key)s::text)
            WHEN jsonb_exists(held -> %(key)s::text, 'left')
            THEN jsonb_build_object('left', held -> %(key)s::text -> 'left')
            ELSE '{{}}' END)
    FROM {table} AS record
    WHERE ledger.entity_type = %(entity_type)s AND ledger.system = 'monday' AND ledger.entity_id = record.id::text
      AND record.monday_id IS NOT NULL AND record.sync_enabled AND record.sync_direction <> 'none'
"""
_MARK = """
    UPDATE {table} SET sync_status = %(pending)s
    WHERE monday_id IS NOT NULL AND sync_status = %(synced)s AND sync_enabled AND sync_direction <> 'none'
"""


def examine(link: BoardLink, board: Board) -> list[FieldMapping]:
    """Compare the link's columns with the board's; store what is wrong, or is no more.

    Returns the mappings in trouble.
    """
    troubled = []
    for mapping in link.mappings.all():
        problem = _problem_of(link, mapping, board)
        if problem:
            troubled.append(mapping)
        if bool(problem) != bool(mapping.problem) or (problem and problem != mapping.problem):
            set_problem(link, mapping, problem)
        elif _HIDDEN in problem:
            _look_at_one(link, mapping)
    set_npd_id_problem(link, _npd_id_problem(link, board))
    _remember(link, board)
    return troubled


def look_at_board(link: BoardLink) -> Board | None:
    """Ask Monday for the board, in one call, and examine it; None where it doesn't show it. Raises MondayError."""
    board = read_boards(account.client(), [link.board_id]).get(link.board_id)
    if board is not None and board.is_active:
        examine(link, board)
        return board
    return None


def _problem_of(link: BoardLink, mapping: FieldMapping, board: Board) -> str:
    if not _is_watched(mapping):
        return ""
    column = board.column(mapping.column_id)
    if column is None:
        return f"{_called(link, mapping)} is gone from the board, or hidden from the token's user. {_KEPT} {_REMAP}"
    before = mapping.options.get("column_type")
    if before and column.type != before and not reads_type(mapping, [column.type]):
        return f"{_called(link, mapping)} is of the type {column.type} now; it was {before}. {_KEPT} {_REMAP}"
    # That it is on the board was known; only an item that shows its value says that it is not hidden any more.
    return mapping.problem if _HIDDEN in mapping.problem else ""


def hidden_words(link: BoardLink, mapping: FieldMapping) -> str:
    """What is wrong with a column that the board has and its items don't show."""
    return (
        f"{_called(link, mapping)} {_HIDDEN}. The field is held: edits are kept on both sides. Give the user the "
        "right to see the column, or choose another column for the field in the admin (Boards)."
    )


def _is_watched(mapping: FieldMapping) -> bool:
    return mapping.column_id not in ("", NAME) and mapping.direction != SyncDirection.NONE


def reads_type(mapping: FieldMapping, types: Iterable[str]) -> bool:
    """Whether the mapping's converter is the one that reads columns of these types, too."""
    spec = spec_of(mapping)
    return spec is not None and all(spec.converter_for(one) == mapping.converter for one in types)


def _called(link: BoardLink, mapping: FieldMapping) -> str:
    return f"The column “{title_of(link, mapping.column_id) or mapping.label}” ({mapping.column_id})"


def title_of(link: BoardLink, column_id: str) -> str:
    """The title under which the board last showed the column, or an empty text."""
    return str(link.shape.get("columns", {}).get(column_id, {}).get("title") or "")


def titled(link: BoardLink, column_id: str) -> str:
    """The column for a person: its title with its id, or the id alone."""
    title = title_of(link, column_id)
    return f"{title} ({column_id})" if title else column_id


def _npd_id_problem(link: BoardLink, board: Board) -> str:
    if not link.npd_id_column:
        return ""
    column = board.column(link.npd_id_column)
    if column is not None and column.type == "text":
        return ""
    what = (
        "is gone from the board, or hidden from the token's user"
        if column is None
        else f"is of the type {column.type} now"
    )
    title = title_of(link, link.npd_id_column) or NPD_ID_TITLE
    return (
        f"The column “{title}” ({link.npd_id_column}), which holds the NPD ID, {what}. No item and no record is made "
        "until it is back, for none could be told from a copy; linked records flow. Restore it on the board, or run "
        "`manage.py monday_setup`, which makes it anew."
    )


def _remember(link: BoardLink, board: Board) -> None:
    columns: Mapping[str, Any] = {
        column.id: {"title": column.title, "type": column.type, "settings": dict(column.settings)}
        for column in board.columns
    }
    gone = {m.column_id: link.shape.get("columns", {}).get(m.column_id) for m in link.mappings.all()}
    kept = {key: {**told, "gone": True} for key, told in gone.items() if told and key not in columns}
    shape = {"name": board.name, "columns": {**kept, **columns}}
    seen_before = link.shape.get("columns", {})
    if shape != link.shape:
        BoardLink.objects.filter(pk=link.pk).update(shape=shape)
        link.shape = shape
    watched = [mapping.column_id for mapping in link.mappings.all() if _is_watched(mapping)]
    drift_titles.remember(link, [*watched, *filter(None, [link.npd_id_column])], seen_before)


def set_problem(link: BoardLink, mapping: FieldMapping, problem: str, *, everywhere: bool = True) -> None:
    """Flag a mapping, and hold its field `everywhere`; or let it go, and look at the records that hold it."""
    log.warning(
        "column drifted", board=link.entity_type, field=mapping.key, problem=problem or "none any more"
    )
    with transaction.atomic():
        before, mapping.problem = mapping.problem, problem
        FieldMapping.objects.filter(pk=mapping.pk).update(problem=problem)
        if problem and everywhere:
            _hold_everywhere(link, mapping)
        elif before and not problem:
            let_go(link, mapping)


def _hold_everywhere(link: BoardLink, mapping: FieldMapping) -> None:
    """Records first, then the ledger: the order in which all lock them."""
    table = connection.ops.quote_name(registry.entity(link.entity_type).model._meta.db_table)
    params: dict[str, Any] = {
        "entity_type": link.entity_type,
        "key": mapping.key,
        "reason": mapping.problem,
        "column": mapping.column_id,
        "version": mapping.version,
        "status": SyncStatus.PENDING.value,
        "pending": RecordSyncStatus.PENDING.value,
        "synced": RecordSyncStatus.SYNCED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MARK.format(table=table), params)
        cursor.execute(_HOLD.format(table=table), params)


def let_go(link: BoardLink, mapping: FieldMapping) -> None:
    """Look at every record that holds this field; where records are matched by it, at those without an item too."""
    held = SyncMetadata.objects.filter(
        entity_type=link.entity_type, system="monday", held__has_key=mapping.key
    )
    _look_at(link, held.values_list("entity_id", flat=True))
    if mapping.key == link.match_key:
        _look_at_unlinked(link)


def _look_at_one(link: BoardLink, mapping: FieldMapping) -> None:
    """Is a hidden column shown by now? One item tells, asked for now and then; the others are left alone."""
    held = SyncMetadata.objects.filter(
        entity_type=link.entity_type, system="monday", held__has_key=mapping.key
    )
    newest = held.order_by(F("last_sync_attempt").desc(nulls_last=True)).first()
    if newest is not None and (newest.last_sync_attempt or sync_now() - ASK_AGAIN) <= sync_now() - ASK_AGAIN:
        _look_at(link, [newest.entity_id])


def set_npd_id_problem(link: BoardLink, problem: str) -> None:
    """Say what is wrong with the NPD ID column; where nothing is any more, look at what waited for it."""
    if problem == link.npd_id_problem:
        return
    before, link.npd_id_problem = link.npd_id_problem, problem
    with transaction.atomic():
        BoardLink.objects.filter(pk=link.pk).update(npd_id_problem=problem)
        if before and not problem:
            _look_at_unlinked(link)


def _look_at_unlinked(link: BoardLink) -> None:
    model = registry.entity(link.entity_type).model
    waiting = model._default_manager.filter(monday_id=None).exclude(unsynced())
    _look_at(link, waiting.values_list("pk", flat=True))
    SyncQueue.objects.filter(
        entity_type=link.entity_type, entity_id=None, status=QueueStatus.PENDING, next_retry__gt=SyncNow()
    ).update(next_retry=SyncNow())


def _look_at(link: BoardLink, ids: Iterable[Any]) -> None:
    found = sorted({UUID(str(one)) for one in ids})
    if found:
        enqueue_many(
            link.entity_type,
            found,
            cause=Cause.SWEEP,
            priority=Priority.SWEEP,
            direction=QueueDirection.TO_NPD,
        )
