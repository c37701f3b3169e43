"""Set-up of a board: find or make it, adopt the columns that are there, make those that are missing.

Everything is idempotent: a second run finds what the first one made and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sync.connectors.monday.answers import Api
from sync.connectors.monday.boards import (
    CREATE_BOARD,
    CREATE_COLUMN,
    CREATE_GROUP,
    Board,
    BoardColumn,
    column_from,
    make,
    read_boards,
)
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import MondayError, Scope, UnreadableAnswer
from sync.connectors.monday.hooks import WEBHOOK_EVENTS, Hook, ensure_webhooks, url_fingerprint
from sync.connectors.monday.items import NAME_COLUMN

__all__ = [
    "WEBHOOK_EVENTS",
    "BoardPlan",
    "BoardSetup",
    "BoardSpec",
    "ColumnSpec",
    "Hook",
    "ensure_board",
    "ensure_webhooks",
    "plan_board",
    "url_fingerprint",
]

RELATION = "board_relation"
# A used column id can't be used again even after its column was deleted; such a refusal is answered by
# letting Monday choose. What concerns the account, the board or the network is no refusal of the id.
_REFUSALS_OF_AN_ID = frozenset({Scope.RECORD, Scope.FIELD, Scope.COLUMN, Scope.DOCUMENT})


@dataclass(frozen=True)
class ColumnSpec:
    """A column that is needed; `key` is the caller's own name, `preferred_id` 1 to 20 of a-z and "_".

    `types` are the types that will do, the best first; empty: only `type`, which is the one that is made. An
    optional column is adopted where the board has one and never made. A board_relation must lead to
    `target_board`.
    """

    key: str
    title: str
    type: str
    preferred_id: str | None = None
    types: tuple[str, ...] = ()
    optional: bool = False
    target_board: str | None = None

    def takes(self, column: BoardColumn) -> bool:
        """Whether a column on the board will do."""
        leads_there = self.target_board is not None and self.target_board in column.target_boards
        return column.type in (self.types or (self.type,)) and (column.type != RELATION or leads_there)

    def rank(self, column: BoardColumn) -> int:
        """How well a column that will do does: 0 is best."""
        return (self.types or (self.type,)).index(column.type)


@dataclass(frozen=True)
class BoardSpec:
    """A board that is needed; without `board_id` a new one is made."""

    entity_type: str
    title: str
    board_id: str | None
    columns: Sequence[ColumnSpec]


@dataclass(frozen=True)
class BoardPlan:
    """What set-up would do: columns to adopt by key, columns to make, and the same in words.

    `unfit` says, by key, why a column that one would expect to be used is not.
    """

    board: Board | None
    adopt: Mapping[str, BoardColumn]
    make: Sequence[ColumnSpec]
    words: list[str] = field(default_factory=list)
    unfit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardSetup:
    """What set-up did; `columns` gives the column of each key, `groups` the titles of the usable groups."""

    board_id: str
    groups: Mapping[str, str]
    columns: dict[str, BoardColumn]
    created: list[str]
    adopted: list[str]
    made_board: bool
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def group_id(self) -> str | None:
        """The topmost group."""
        return next(iter(self.groups), None)


def plan_board(api: Api, spec: BoardSpec) -> BoardPlan:
    """Read the board and say what is missing; changes nothing."""
    board = read_boards(api, [spec.board_id]).get(spec.board_id) if spec.board_id else None
    usable = board if board is not None and board.is_active else None
    plan = _columns_plan(usable, spec)
    plan.words[:0] = _board_words(spec, board)
    return plan


def ensure_board(api: Api, spec: BoardSpec, *, keep: Callable[[str], None] = lambda _: None) -> BoardSetup:
    """Make what is missing and return the board with its columns; raises MondayError where Monday refuses.

    `keep` is told the id of a board that was made before anything else can fail, so that none is made twice.
    """
    plan = plan_board(api, spec)
    created, made_board = [], plan.board is None
    if plan.board is None:
        board = _make_board(api, spec, keep)
        created.append(f"board “{spec.title}” ({board.id})")
        plan = _columns_plan(board, spec)
    else:
        board = plan.board
    if not board.groups:
        board = replace(board, groups=_make_group(api, board.id, spec.title))
        created.append(f"group “{spec.title}”, for the board had none that takes items")
    columns = dict(plan.adopt)
    for wanted in plan.make:
        columns[wanted.key] = column = _make_column(api, board.id, wanted)
        created.append(f"column “{wanted.title}” ({column.id})")
    adopted = [f"column “{column.title}” ({column.id})" for column in plan.adopt.values()]
    return BoardSetup(board.id, board.groups, columns, created, adopted, made_board, plan.unfit)


def _columns_plan(board: Board | None, spec: BoardSpec) -> BoardPlan:
    there = list(board.columns) if board is not None else []
    adopt: dict[str, BoardColumn] = {}
    missing: list[ColumnSpec] = []
    unfit: dict[str, str] = {}
    # What is needed chooses before what is only welcome.
    for wanted in sorted(spec.columns, key=lambda column: column.optional):
        found = _adoptable(wanted, there)
        if found is not None:
            adopt[wanted.key] = found
            if found in there:
                there.remove(found)
            continue
        if why := next(_why_not(wanted, there), None):
            unfit[wanted.key] = why
        if not wanted.optional:
            missing.append(wanted)
    words = [f"adopt column “{column.title}” ({column.id})" for column in adopt.values()]
    words += [f"create column “{column.title}” of type {column.type}" for column in missing]
    return BoardPlan(board, adopt, missing, words, unfit)


def _adoptable(wanted: ColumnSpec, there: Sequence[BoardColumn]) -> BoardColumn | None:
    """The column with the preferred id, else the best one with the same title, each only if it will do."""
    if wanted.type == NAME_COLUMN:
        return BoardColumn(NAME_COLUMN, wanted.title, NAME_COLUMN)
    fitting = sorted(filter(wanted.takes, there), key=wanted.rank)
    by_id = next((column for column in fitting if column.id == wanted.preferred_id), None)
    return by_id or next((column for column in fitting if _same_title(wanted, column)), None)


def _why_not(wanted: ColumnSpec, there: Sequence[BoardColumn]) -> Iterator[str]:
    """Why the column that bears the id or the title is not used, in words."""
    for column in there:
        if column.id != wanted.preferred_id and not _same_title(wanted, column):
            continue
        if column.type == RELATION and RELATION in (wanted.types or (wanted.type,)):
            yield f"column “{column.title}” ({column.id}) leads to another board than {wanted.target_board or 'ours'}"
        else:
            types = ", ".join(wanted.types or (wanted.type,))
            yield f"column “{column.title}” ({column.id}) is of type {column.type}, not {types}"


def _same_title(wanted: ColumnSpec, column: BoardColumn) -> bool:
    return column.title.strip().casefold() == wanted.title.strip().casefold()


def _board_words(spec: BoardSpec, board: Board | None) -> list[str]:
    if board is not None and board.is_active:
        return [f"use board “{board.name}” ({board.id})"]
    reason = ""
    if spec.board_id:
        reason = f", for board {spec.board_id} is {board.state if board else 'not to be found'}"
    return [f"create board “{spec.title}”{reason}"]


def _make_board(api: Api, spec: BoardSpec, keep: Callable[[str], None]) -> Board:
    made = make(api, Document(CREATE_BOARD, {"title": spec.title}), "create_board")
    board_id = str(made["id"])
    keep(board_id)
    board = read_boards(api, [board_id]).get(board_id)
    if board is None:
        raise UnreadableAnswer(
            f"Board {board_id} was made but can't be read yet; run the set-up again in a minute"
        )
    return board


def _make_group(api: Api, board_id: str, title: str) -> dict[str, str]:
    made = make(api, Document(CREATE_GROUP, {"board": board_id, "title": title}), "create_group")
    return {str(made["id"]): title}


def _make_column(api: Api, board_id: str, column: ColumnSpec) -> BoardColumn:
    variables = {"board": board_id, "title": column.title, "type": column.type} | _defaults(column)
    if column.preferred_id:
        try:
            with_id = Document(CREATE_COLUMN, variables | {"id": column.preferred_id})
            return column_from(make(api, with_id, "create_column"))
        except MondayError as error:
            if not _refuses_the_id(error):
                raise
    return column_from(make(api, Document(CREATE_COLUMN, variables), "create_column"))


def _defaults(column: ColumnSpec) -> dict[str, str]:
    """Where a relation leads is set as the column is made (developer.monday.com/api-reference/reference/connect)."""
    if column.type != RELATION or column.target_board is None:
        return {}
    settings = {"boardIds": [int(column.target_board)], "allowMultipleItems": False}
    return {"defaults": json.dumps(settings)}


def _refuses_the_id(error: MondayError) -> bool:
    single = error.errors[0] if len(error.errors) == 1 else error
    return single.scope in _REFUSALS_OF_AN_ID
