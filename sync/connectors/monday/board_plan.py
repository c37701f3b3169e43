"""Set-up of a board: find or create it, adopt the columns that it has, create those that are missing.

Idempotent: a second run finds what the first one made and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sync.connectors.base.board_items import NAME_COLUMN
from sync.connectors.base.board_shape import RELATION, Board, BoardColumn, BoardPlan, BoardSetup, BoardSpec, ColumnSpec
from sync.connectors.base.errors import ConnectorError, Scope, UnreadableAnswer
from sync.connectors.monday.board_structure import CREATE_BOARD, CREATE_COLUMN, CREATE_GROUP, parse_column, read_boards
from sync.connectors.monday.graphql import Api, Document, mutate_root

# A column id can't be used again even after its column was deleted. Monday then rejects the id, and we let it
# choose one. An error about the account, the board or the network is no rejection of the id.
_ID_REJECTION_SCOPES = frozenset({Scope.RECORD, Scope.FIELD, Scope.COLUMN, Scope.DOCUMENT})


def plan_board(api: Api, spec: BoardSpec) -> BoardPlan:
    """Read the board and say what is missing; changes nothing."""
    board = read_boards(api, [spec.board_id]).get(spec.board_id) if spec.board_id else None
    # An archived or deleted board can't be used, so another one is planned.
    usable = board if board is not None and board.is_active else None
    plan = _plan_columns(usable, spec)
    if usable is not None:
        plan.steps.insert(0, f"use board “{usable.name}” ({usable.id})")
    else:
        found = board.state if board else "not to be found"
        reason = f", for board {spec.board_id} is {found}" if spec.board_id else ""
        plan.steps.insert(0, f"create board “{spec.title}”{reason}")
    return plan


def ensure_board(api: Api, spec: BoardSpec, *, on_created: Callable[[str], None] = lambda _: None) -> BoardSetup:
    """Create what is missing and return the board with its columns; raises ConnectorError.

    `on_created` gets the id of a new board before any later step can fail, so that no second board is
    created.
    """
    plan = plan_board(api, spec)
    created, created_board = [], plan.board is None
    if plan.board is None:
        board = _create_board(api, spec, on_created)
        created.append(f"board “{spec.title}” ({board.id})")
        plan = _plan_columns(board, spec)
    else:
        board = plan.board
    # New items need a group that takes items.
    if not board.groups:
        document = Document(CREATE_GROUP, {"board": board.id, "title": spec.title})
        group = mutate_root(api, document, "create_group")
        board = replace(board, groups={str(group["id"]): spec.title})
        created.append(f"group “{spec.title}”, for the board had none that takes items")
    columns = dict(plan.to_adopt)
    for wanted in plan.to_create:
        columns[wanted.key] = column = _create_column(api, board.id, wanted)
        created.append(f"column “{wanted.title}” ({column.id})")
    adopted = [f"column “{column.title}” ({column.id})" for column in plan.to_adopt.values()]
    return BoardSetup(board.id, board.groups, columns, created, adopted, created_board, plan.unfit)


def _plan_columns(board: Board | None, spec: BoardSpec) -> BoardPlan:
    available = list(board.columns) if board is not None else []
    adopt: dict[str, BoardColumn] = {}
    missing: list[ColumnSpec] = []
    unfit: dict[str, str] = {}
    # Required columns choose before optional ones.
    for wanted in sorted(spec.columns, key=lambda column: column.optional):
        found = _adoptable_column(wanted, available)
        if found is not None:
            adopt[wanted.key] = found
            # A column serves one field only.
            if found in available:
                available.remove(found)
            continue
        if reason := next(_unfit_reasons(wanted, available), None):
            unfit[wanted.key] = reason
        if not wanted.optional:
            missing.append(wanted)
    steps = [f"adopt column “{column.title}” ({column.id})" for column in adopt.values()]
    steps += [f"create column “{column.title}” of type {column.type}" for column in missing]
    return BoardPlan(board, adopt, missing, steps, unfit)


def _adoptable_column(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> BoardColumn | None:
    """The column with the preferred id, else the best one with the same title, each only if it fits."""
    if wanted.type == NAME_COLUMN:
        return BoardColumn(NAME_COLUMN, wanted.title, NAME_COLUMN)
    acceptable = sorted(filter(wanted.accepts, available), key=wanted.rank)
    by_id = next((column for column in acceptable if column.id == wanted.preferred_id), None)
    return by_id or next((column for column in acceptable if _has_same_title(wanted, column)), None)


def _unfit_reasons(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> Iterator[str]:
    """Why the column with the id or the title is not used, as sentences."""
    for column in available:
        if column.id != wanted.preferred_id and not _has_same_title(wanted, column):
            continue
        if column.type == RELATION and RELATION in (wanted.types or (wanted.type,)):
            yield f"column “{column.title}” ({column.id}) leads to another board than {wanted.target_board or 'ours'}"
        else:
            types = ", ".join(wanted.types or (wanted.type,))
            yield f"column “{column.title}” ({column.id}) is of type {column.type}, not {types}"


def _has_same_title(wanted: ColumnSpec, column: BoardColumn) -> bool:
    return column.title.strip().casefold() == wanted.title.strip().casefold()


def _create_board(api: Api, spec: BoardSpec, on_created: Callable[[str], None]) -> Board:
    created = mutate_root(api, Document(CREATE_BOARD, {"title": spec.title}), "create_board")
    board_id = str(created["id"])
    # Stored before the next call can fail, so that a repeated run creates no second board.
    on_created(board_id)
    board = read_boards(api, [board_id]).get(board_id)
    if board is None:
        raise UnreadableAnswer(f"Board {board_id} was made but can't be read yet; run the set-up again in a minute")
    return board


def _create_column(api: Api, board_id: str, column: ColumnSpec) -> BoardColumn:
    variables = {"board": board_id, "title": column.title, "type": column.type}
    # Monday sets a relation's target as the column is created. NPD's relation holds one record, so it takes one item.
    if column.type == RELATION and column.target_board is not None:
        settings = {"boardIds": [int(column.target_board)], "allowMultipleItems": False}
        variables["defaults"] = json.dumps(settings)
    if column.preferred_id:
        try:
            with_id = Document(CREATE_COLUMN, variables | {"id": column.preferred_id})
            return parse_column(mutate_root(api, with_id, "create_column"))
        except ConnectorError as error:
            cause = error.errors[0] if len(error.errors) == 1 else error
            if cause.scope not in _ID_REJECTION_SCOPES:
                raise
    return parse_column(mutate_root(api, Document(CREATE_COLUMN, variables), "create_column"))
