"""The columns of a board that is set up: checks of the mappings against the board, and fields blocked by a column.

A renamed column is followed by its id; a removed or retyped column blocks its field. Sweeps, nightly comparisons, and
passes with an answer that lacks a column detect it. The mapping's `problem` is set, and its field is blocked on every
record in NPD's own tables, without a call: no record may say `synced` after Monday lost its value. A column that is on
the board but not on some items (HIDDEN) blocks only the records of the pass that saw it. When a column is usable again,
the blocked records get a pass; only a restored column keeps its base.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, models, transaction

from sync import choices, registry
from sync.clock import SyncNow, sync_now
from sync.kernel.db import run_sql
from sync.kernel.humanize import count_with_noun
from sync.limits import metered_client
from sync.models import BoardLink, FieldMapping, IgnoredItem, SyncMetadata, SyncQueue, UnmatchedItem
from sync.models.activity_lines import log_event
from sync.models.synced_model import unsynced
from sync.monday.board_items import NAME_COLUMN, Board
from sync.monday.connector import MondayConnector
from sync.outbox import enqueue_comparison, mark_pending
from sync.words.message import Message

log = structlog.get_logger(__name__)

NPD_ID_KEY = "npd_id"
NPD_ID_TITLE = "NPD ID"


_BLOCK_FIELD = """
    UPDATE sync_metadata AS sync_state SET
        sync_status = CASE WHEN record.sync_status = %(pending)s THEN %(status)s ELSE sync_state.sync_status END,
        blocked_fields = blocked_fields || jsonb_build_object(%(key)s::text,
        jsonb_build_object('reason', %(reason)s::jsonb, 'code', %(code)s::text, 'local', NULL,
            'column', %(column)s::text, 'version', %(version)s::int))
    FROM {table} AS record
    WHERE sync_state.entity_type = %(entity_type)s AND sync_state.system = 'monday'
      AND sync_state.entity_id = record.id::text
      AND record.monday_id IS NOT NULL AND record.sync_status <> 'disabled'
"""


def store_columns(link: BoardLink, board: Board) -> None:
    """Store the board's columns as they were read, and what is wrong with the mapped ones; clear solved problems."""
    for mapping in link.mappings.all():
        code, problem = column_problem(link, mapping, board)
        # Also if one problem replaces another, so that the sentence is current.
        if (code or "", problem or "") != (mapping.problem_code, mapping.problem):
            _set_problem(link, mapping, code, problem)
    set_create_obstacle(link, "npd_id_problem", npd_id_problem(link, board))
    columns: Mapping[str, Any] = {
        column.id: {"title": column.title, "type": column.type, "settings": dict(column.settings)}
        for column in board.columns
    }
    stored_columns = link.shape.get("columns", {})
    mapped_columns = {mapping.column_id: stored_columns.get(mapping.column_id) for mapping in link.mappings.all()}
    # A removed column stays in the shape while it is mapped, so that messages can name its title.
    removed_columns = {
        key: {**column_info, "gone": True}
        for key, column_info in mapped_columns.items()
        if column_info and key not in columns
    }
    shape = {"name": board.name, "columns": {**removed_columns, **columns}}
    link.shape = shape | {"checked_at": sync_now().isoformat()}
    BoardLink.objects.filter(pk=link.pk).update(shape=link.shape)


def read_board(link: BoardLink, connector: MondayConnector | None = None) -> Board | None:
    """Read the board in one call; None if it is invisible or not active. Raises MondayError."""
    board = (connector or metered_client.connector()).read_boards([link.board_id]).get(link.board_id)
    return board if board is not None and board.is_active else None


def inspect_board(link: BoardLink, connector: MondayConnector | None = None) -> Board | None:
    """Read the board in one call and store its columns; None as in `read_board`. Raises MondayError."""
    if (board := read_board(link, connector)) is not None:
        store_columns(link, board)
    return board


def column_problem(
    link: BoardLink, mapping: FieldMapping, board: Board
) -> tuple[choices.ColumnProblem | None, Message | None]:
    """Return the problem of a mapping's column on this board, as a code and a message; calls nothing."""
    # Nothing depends on the column of a field that isn't synced.
    if mapping.column_id in ("", NAME_COLUMN) or mapping.direction == choices.SyncDirection.NONE:
        return None, None
    column = board.column(mapping.column_id)
    name = _column_name(link, mapping)
    if column is None:
        missing = Message("column_missing", column=name)
        return choices.ColumnProblem.MISSING, Message("column_problem", happened=missing)
    former_type = mapping.options.get("column_type")
    # Another type is fine as long as the field's converter reads it.
    if former_type and column.type != former_type and not reads_type(mapping, [column.type]):
        retyped = Message("column_retyped", column=name, type=column.type, former=former_type)
        return choices.ColumnProblem.RETYPED, Message("column_problem", happened=retyped)
    # Its values were hidden, though the column is on the board. Only an item, in a pass or at night, shows whether they
    # still are.
    if mapping.problem_code == choices.ColumnProblem.HIDDEN:
        return choices.ColumnProblem.HIDDEN, mapping.problem
    return None, None


@dataclass(frozen=True)
class InspectedColumns:
    """The columns of a board as a pass read them."""

    board: Board | None = None  # if it was read
    hidden: tuple[str, ...] = ()  # keys of fields whose columns are on the board but not on its items
    healed: tuple[str, ...] = ()  # keys of fields that have no problem any more


def store_inspection(link: BoardLink, columns: InspectedColumns) -> None:
    """Store the state of the columns, also if the pass's records are not settled afterwards.

    It comes before them and updates all the board's records, so the pass must not hold locks on its own.
    """
    mappings = {mapping.key: mapping for mapping in link.mappings.all()}
    for key in columns.healed:
        if key in mappings:
            _set_problem(link, mappings[key], None)
    if columns.board is not None:
        store_columns(link, columns.board)
    for key in columns.hidden:
        if mapping := mappings.get(key):
            # Only the pass's records are blocked, because Monday may show the column on other items.
            _store_problem(link, mapping, choices.ColumnProblem.HIDDEN, hidden_problem(link, mapping))


def hidden_problem(link: BoardLink, mapping: FieldMapping) -> Message:
    """Return the problem of a column that is on the board but not on its items."""
    return Message("column_hidden", column=_column_name(link, mapping))


def reads_type(mapping: FieldMapping, types: Iterable[str]) -> bool:
    """Whether the mapping's converter reads columns of all these types."""
    specs = registry.entity(mapping.link.entity_type).mappings
    # The field may not be registered any more.
    spec = next((spec for spec in specs if spec.key == mapping.key), None)
    return spec is not None and all(spec.types.get(column_type) == mapping.converter for column_type in types)


def _column_name(link: BoardLink, mapping: FieldMapping) -> str:
    is_titled = column_title(link, mapping.column_id)
    return f"The column “{column_label(link, mapping.column_id) if is_titled else mapping.label}”"


def column_title(link: BoardLink, column_id: str) -> str:
    return str(link.shape.get("columns", {}).get(column_id, {}).get("title") or "")


def column_label(link: BoardLink, column_id: str) -> str:
    """Return the column's title, with its id if another column has the same title, or the id alone."""
    title = column_title(link, column_id)
    if not title:
        return column_id
    columns = link.shape.get("columns", {})
    others = (column for key, column in columns.items() if key != column_id and not column.get("gone"))
    is_unique = all(column.get("title") != title for column in others)
    return title if is_unique else f"{title} ({column_id})"


def npd_id_problem(link: BoardLink, board: Board) -> str:
    """Return the problem of the NPD ID column on this board, or an empty text."""
    if not link.npd_id_column:
        return ""
    column = board.column(link.npd_id_column)
    if column is not None and column.type == "text":
        return ""
    title = column_title(link, link.npd_id_column) or NPD_ID_TITLE
    code = "npd_id_missing" if column is None else "npd_id_retyped"
    return Message(code, title=title, id=link.npd_id_column, type=column.type if column else "")


def _set_problem(
    link: BoardLink, mapping: FieldMapping, code: choices.ColumnProblem | None, problem: Message | None = None
) -> None:
    """Store a mapping's problem and block its field on every record, or clear it and enqueue the blocked records."""
    had_problem = bool(mapping.problem)
    blocked = blocked_sync_states(link, mapping)
    with transaction.atomic():
        _store_problem(link, mapping, code, problem)
        number = 0
        if problem:
            model = registry.entity(link.entity_type).model
            # Every synced record with an item. Lock order: records in the order of their ids, then the sync state.
            synced = model.objects.exclude(monday_id=None).exclude(unsynced())
            mark_pending(link.entity_type, list(synced.values_list("pk", flat=True)))
            params = {
                "entity_type": link.entity_type,
                "key": mapping.key,
                "reason": json.dumps(problem.to_json()),
                "code": choices.BlockedCode.COLUMN.value,
                "column": mapping.column_id,
                "version": mapping.version,
                "status": choices.SyncStatus.PENDING.value,
                "pending": choices.RecordSyncStatus.PENDING.value,
            }
            number = run_sql(_BLOCK_FIELD.format(table=connection.ops.quote_name(model._meta.db_table)), params)
        elif had_problem:
            number = blocked.count()
            # The values may have changed on either side while the field was blocked.
            enqueue_comparison(link.entity_type, map(UUID, blocked.values_list("entity_id", flat=True)))
            if mapping.key == link.match_key:
                _enqueue_without_item(link)
        records = registry.count_of_type(number, link.entity_type)
        usable = Message("column_usable", column=_column_name(link, mapping))
        sentence = Message(
            "column_changed",
            board=registry.board_title(link.entity_type),
            happened=problem.params["happened"] if problem else usable,
            label=mapping.label,
            records=records,
        )
        log_event(choices.ActivityKind.COLUMN, sentence, entity_type=link.entity_type)


def _store_problem(
    link: BoardLink, mapping: FieldMapping, code: choices.ColumnProblem | None, problem: Message | None
) -> None:
    log.warning("board column changed", board=link.entity_type, field=mapping.key, problem=problem or "none any more")
    mapping.problem = problem or ""
    mapping.problem_code = code or ""
    FieldMapping.objects.filter(pk=mapping.pk).update(problem=mapping.problem, problem_code=mapping.problem_code)


def blocked_sync_states(link: BoardLink, mapping: FieldMapping) -> models.QuerySet[SyncMetadata]:
    # The partial index needs the condition on {}.
    sync_states = SyncMetadata.objects.of(link.entity_type).exclude(blocked_fields={})
    return sync_states.filter(blocked_fields__has_key=mapping.key)


def set_create_obstacle(link: BoardLink, name: str, reason: str) -> None:
    """Store why nothing is created, in the field `npd_id_problem` or `creates_held`; if empty, enqueue what waited."""
    if reason == getattr(link, name):
        return
    with transaction.atomic():
        # Not before, because a pass that gives way to a save is rolled back and stored again with this `link`.
        transaction.on_commit(partial(setattr, link, name, reason))
        row = BoardLink.objects.filter(pk=link.pk)
        has_waited = row.exclude(**{name: ""}).exists()
        row.update(**{name: reason})
        if has_waited and not reason:
            _enqueue_without_item(link)


def _enqueue_without_item(link: BoardLink) -> None:
    """Enqueue every record without an item, and let unmatched items that wait be due now."""
    model = registry.entity(link.entity_type).model
    without_item = model.objects.filter(monday_id=None).exclude(unsynced())
    enqueue_comparison(link.entity_type, without_item.values_list("pk", flat=True))
    SyncQueue.objects.filter(
        entity_type=link.entity_type, entity_id=None, status=choices.QueueStatus.PENDING, next_retry__gt=SyncNow()
    ).update(next_retry=SyncNow())


# Items that nobody can recognize: a board that has such items creates nothing new, because people might be there twice.
# That begins with a set-up, and ends once no item without a record lacks a match value, or by a person. Passes count
# these items among the stored ones, without a call.

# Items with the NPD ID of a record, or whose match value can't be read, so that their columns have to be looked at.
_NOT_COUNTED = (
    choices.UnmatchedReason.DUPLICATE,
    choices.UnmatchedReason.SYNC_OFF,
    choices.UnmatchedReason.KEY_UNREADABLE,
)


def hold_reason(number: int, title: str) -> Message | None:
    """Return why creates are held, for this number of items with nothing in the match column; None for none."""
    if not number:
        return None
    have = "has" if number == 1 else "have"
    return Message("creates_held", items=count_with_noun(number, "item"), have=have, title=title)


def known_items(entity_type: str, item_ids: Iterable[str]) -> set[str]:
    """Return those of these items that need not be recognized: a record has them, or a person ignores them."""
    ids = list(item_ids)
    ignored = IgnoredItem.objects.filter(entity_type=entity_type, item_id__any_of=ids, left_alone=True)
    linked = registry.entity(entity_type).model.objects.filter(monday_id__any_of=ids)
    return {*ignored.values_list("item_id", flat=True), *map(str, linked.values_list("monday_id", flat=True))}


def recheck_hold(link: BoardLink) -> None:
    """Count the items again that hold creates, and end the hold if there is none; in the caller's transaction."""
    match = link.mappings.filter(key=link.match_key).first() if link.creates_held else None
    # Without its column, no item shows whether it has a match value.
    if match is None or match.problem:
        return
    title = column_title(link, match.column_id) or match.label
    rows = UnmatchedItem.objects.filter(entity_type=link.entity_type, board_id=link.board_id, ignored_at=None)
    has_no_value = models.Q(**{f"values__{link.match_key}": ""}) | ~models.Q(values__has_key=link.match_key)
    if rows.filter(reason_code=choices.UnmatchedReason.QUEUED, values={}).exists():
        # Of items that no pass has read yet, such as all of a new board, nobody knows whether they can be recognized.
        return
    reason = hold_reason(rows.exclude(reason_code__in=_NOT_COUNTED).filter(has_no_value).count(), title)
    if reason is None:
        set_create_obstacle(link, "creates_held", "")
    elif reason != link.creates_held:
        # A person may have ended it since the link was read.
        BoardLink.objects.filter(pk=link.pk).exclude(creates_held="").update(creates_held=reason)
