"""What stands on the boards: plain data, without behaviour or I/O."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Column:
    id: str
    title: str
    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    description: str | None = None
    archived: bool = False
    revision: int = 1


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
    """A webhook subscription. `signed_app` would be the app's; the sandbox plays one app per run."""

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


def plain(row: Board | Hook | Activity) -> dict[str, Any]:
    """A row as JSON-able data."""
    return asdict(row)
