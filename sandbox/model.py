"""What stands on the boards: plain data, without behaviour or I/O."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.names import NOTHING, Names


@dataclass
class Column:
    id: str
    title: str
    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    description: str | None = None
    archived: bool = False
    hidden: bool = False  # its values are not shown to the API's user
    revision: int = 1
    # Not kept: the world puts its own here.
    names: Names = field(default=NOTHING, compare=False, repr=False)


@dataclass
class Group:
    id: str
    title: str
    color: str
    position: str
    archived: bool = False
    deleted: bool = False


@dataclass
class Cell:
    """One column value: `raw` is what Monday would read back, None when empty."""

    raw: Any
    updated_at: str | None = None


@dataclass
class Item:
    id: int
    board_id: int
    group_id: str
    name: str
    rank: float
    created_at: str
    updated_at: str
    creator_id: int
    changed_by: int
    state: str = "active"
    parent_id: int | None = None
    cells: dict[str, Cell] = field(default_factory=dict)

    def raw(self, column_id: str) -> Any:
        cell = self.cells.get(column_id)
        return None if cell is None else cell.raw


@dataclass
class Board:
    id: int
    name: str
    kind: str
    created_at: str
    updated_at: str
    creator_id: int
    description: str | None = None
    workspace_id: int | None = None
    state: str = "active"
    items_limit: int = 10_000
    type: str = "board"
    columns: list[Column] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def column(self, column_id: str) -> Column | None:
        """A visible column; one that was deleted is gone."""
        return next((c for c in self.columns if c.id == column_id and not c.archived), None)

    def visible_columns(self) -> list[Column]:
        return [c for c in self.columns if not c.archived]

    def visible_groups(self) -> list[Group]:
        return [g for g in self.groups if not g.deleted and not g.archived]

    def group(self, group_id: str) -> Group | None:
        return next((g for g in self.visible_groups() if g.id == group_id), None)


@dataclass
class Hook:
    """A webhook subscription."""

    id: int
    board_id: int
    url: str
    event: str
    config: dict[str, Any] | None
    user_id: int
    deleted: bool = False


@dataclass
class Activity:
    """One row of a board's activity log; `created_at` counts 100-ns ticks since the epoch."""

    id: str
    board_id: int
    event: str
    entity: str
    data: dict[str, Any]
    user_id: int
    created_at: int
    item_id: int | None = None


@dataclass
class Tag:
    """A tag of the account, for all boards."""

    id: int
    name: str
    color: str


@dataclass
class Update:
    """What somebody wrote under an item; with `parent_id` a reply to another update. `body` is HTML."""

    id: int
    item_id: int
    body: str
    text_body: str
    creator_id: int
    created_at: str
    edited_at: str
    parent_id: int | None = None
    deleted: bool = False


@dataclass
class Job:
    """A bulk operation: one of `bulk_archive_items` and `bulk_delete_items`."""

    id: str
    board_id: int
    user_id: int
    state: str
    item_ids: list[int]
    created_at: str
    updated_at: str
    status: str = "PENDING"
    succeeded: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)


def board_from(document: dict[str, Any]) -> Board:
    columns = [Column(**c) for c in document.pop("columns")]
    groups = [Group(**g) for g in document.pop("groups")]
    return Board(**document, columns=columns, groups=groups)


def item_to(item: Item) -> dict[str, Any]:
    document = dict(vars(item))
    document["cells"] = {key: [cell.raw, cell.updated_at] for key, cell in item.cells.items()}
    return document


def item_from(document: dict[str, Any]) -> Item:
    cells = {key: Cell(raw, moment) for key, (raw, moment) in document.pop("cells").items()}
    return Item(**document, cells=cells)


def board_to(board: Board) -> dict[str, Any]:
    columns = [{k: v for k, v in vars(column).items() if k != "names"} for column in board.columns]
    return vars(board) | {"columns": columns, "groups": [vars(group) for group in board.groups]}
