"""Set-up of a board: find or make it, adopt the columns that are there, make those that are missing.

Everything is idempotent: a second run finds what the first one made and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync.connectors.monday.boards import (
    CREATE_BOARD,
    CREATE_COLUMN,
    CREATE_COLUMN_WITHOUT_ID,
    Board,
    BoardColumn,
    ask,
    read_boards,
)
from sync.connectors.monday.client import MondayClient
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

# A used column id can't be used again even after its column was deleted; such a refusal is answered by
# letting Monday choose. What concerns the account, the board or the network is no refusal of the id.
_REFUSALS_OF_AN_ID = frozenset({Scope.RECORD, Scope.FIELD, Scope.COLUMN, Scope.DOCUMENT})


@dataclass(frozen=True)
class ColumnSpec:
    """A column that is needed; `key` is the caller's own name, `preferred_id` 1 to 20 of a-z and "_"."""

    key: str
    title: str
    type: str
    preferred_id: str | None = None


@dataclass(frozen=True)
class BoardSpec:
    """A board that is needed; without `board_id` a new one is made."""

    entity_type: str
    title: str
    board_id: str | None
    columns: Sequence[ColumnSpec]


@dataclass(frozen=True)
class BoardPlan:
    """What set-up would do: columns to adopt by key, columns to make, and the same in words."""

    board: Board | None
    adopt: Mapping[str, BoardColumn]
    make: Sequence[ColumnSpec]
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BoardSetup:
    """What set-up did; `columns` gives the column id of each key."""

    board_id: str
    group_id: str | None
    columns: dict[str, str]
    created: list[str]
    adopted: list[str]
    made_board: bool


def plan_board(client: MondayClient, spec: BoardSpec) -> BoardPlan:
    """Read the board and say what is missing; changes nothing."""
    board = read_boards(client, [spec.board_id]).get(spec.board_id) if spec.board_id else None
    usable = board if board is not None and board.is_active else None
    plan = _columns_plan(usable, spec)
    plan.words[:0] = _board_words(spec, board)
    return plan


def ensure_board(client: MondayClient, spec: BoardSpec) -> BoardSetup:
    """Make what is missing and return the board with its columns; raises MondayError where Monday refuses."""
    plan = plan_board(client, spec)
    created, made_board = [], plan.board is None
    if plan.board is None:
        board = _make_board(client, spec)
        created.append(f"board “{spec.title}” ({board.id})")
        plan = _columns_plan(board, spec)
    else:
        board = plan.board
    columns = {key: column.id for key, column in plan.adopt.items()}
    for column in plan.make:
        columns[column.key] = _make_column(client, board.id, column)
        created.append(f"column “{column.title}” ({columns[column.key]})")
    adopted = [f"column “{column.title}” ({column.id})" for column in plan.adopt.values()]
    return BoardSetup(board.id, board.group_id, columns, created, adopted, made_board)


def _columns_plan(board: Board | None, spec: BoardSpec) -> BoardPlan:
    there = list(board.columns) if board is not None else []
    adopt: dict[str, BoardColumn] = {}
    make: list[ColumnSpec] = []
    for wanted in spec.columns:
        found = _adoptable(wanted, there)
        if found is None:
            make.append(wanted)
            continue
        adopt[wanted.key] = found
        if found in there:
            there.remove(found)
    words = [f"adopt column “{column.title}” ({column.id})" for column in adopt.values()]
    words += [f"create column “{column.title}” of type {column.type}" for column in make]
    return BoardPlan(board, adopt, make, words)


def _adoptable(wanted: ColumnSpec, there: Sequence[BoardColumn]) -> BoardColumn | None:
    """The column with the preferred id, else one with the same title, each only if it has the type."""
    if wanted.type == NAME_COLUMN:
        return BoardColumn(NAME_COLUMN, wanted.title, NAME_COLUMN)
    fitting = [column for column in there if column.type == wanted.type]
    by_id = next((column for column in fitting if column.id == wanted.preferred_id), None)
    same_title = wanted.title.strip().casefold()
    by_title = next((column for column in fitting if column.title.strip().casefold() == same_title), None)
    return by_id or by_title


def _board_words(spec: BoardSpec, board: Board | None) -> list[str]:
    if board is not None and board.is_active:
        return [f"use board “{board.name}” ({board.id})"]
    reason = ""
    if spec.board_id:
        reason = f", for board {spec.board_id} is {board.state if board else 'not to be found'}"
    return [f"create board “{spec.title}”{reason}"]


def _make_board(client: MondayClient, spec: BoardSpec) -> Board:
    made = ask(client, Document(CREATE_BOARD, {"title": spec.title}), "create_board")
    board_id = str(made["id"])
    board = read_boards(client, [board_id]).get(board_id)
    if board is None:
        raise UnreadableAnswer(
            f"Board {board_id} was made but can't be read yet; run the set-up again with its id"
        )
    return board


def _make_column(client: MondayClient, board_id: str, column: ColumnSpec) -> str:
    variables = {"board": board_id, "title": column.title, "type": column.type}
    without_id = Document(CREATE_COLUMN_WITHOUT_ID, variables)
    if not column.preferred_id:
        return str(ask(client, without_id, "create_column")["id"])
    try:
        with_id = Document(CREATE_COLUMN, variables | {"id": column.preferred_id})
        return str(ask(client, with_id, "create_column")["id"])
    except MondayError as error:
        if not _refuses_the_id(error):
            raise
    return str(ask(client, without_id, "create_column")["id"])


def _refuses_the_id(error: MondayError) -> bool:
    single = error.errors[0] if len(error.errors) == 1 else error
    return single.scope in _REFUSALS_OF_AN_ID
