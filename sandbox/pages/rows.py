"""One item as a row of the board's table."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from sandbox.columns import kind_of
from sandbox.model import Board, Column, Item
from sandbox.pages.cells import NPD_ID_TITLE, cell
from sandbox.people import API_USER, NOBODY, is_person, person

FRESH_SECONDS = 10
STATE_WORDS = {"archived": "archived", "deleted": "in the trash"}


@dataclass(frozen=True)
class Looks:
    """How rows are to look now."""

    now: datetime
    npd_url: str | None = None
    focused: int | None = None


def row(board: Board, item: Item, looks: Looks) -> str:
    """A `<tr>`."""
    cells = "".join(cell(column, item) for column in shown_columns(board))
    fresh = _fresh(item, looks.now)
    classes = " ".join(
        name
        for name, on in (
            ("fresh", fresh),
            ("by-npd", fresh and item.changed_by == API_USER.id),
            ("focused", item.id == looks.focused),
            ("gone", item.state != "active"),
        )
        if on
    )
    about = (
        f'data-item="{item.id}" data-state="{item.state}" data-group="{escape(item.group_id)}" '
        f'data-by="{escape(_who(item))}"'
    )
    return (
        f'<tr id="item-{item.id}" class="{classes}" role="row" {about}>'
        f'<th scope="row" role="rowheader" data-title="Item">{_name(item)}'
        f'<span class="under small">{_npd(board, item, looks)}{_just(item) if fresh else ""}{_actions(item)}'
        f"</span></th>{cells}</tr>"
    )


def shown_columns(board: Board) -> list[Column]:
    """The columns of the table, the item's name left out."""
    return [column for column in board.visible_columns() if column.type != "name"]


def headings(board: Board) -> str:
    """The table's head."""
    titles = ["Item", *(column.title for column in shown_columns(board))]
    cells = "".join(f'<th scope="col" role="columnheader">{escape(title)}</th>' for title in titles)
    return f'<tr role="row">{cells}</tr>'


def groups_of(board: Board) -> str:
    """The board's groups as JSON, for the menu that moves items."""
    return json.dumps([{"id": group.id, "title": group.title} for group in board.visible_groups()])


def _name(item: Item) -> str:
    name = escape(item.name)
    if item.state != "active":
        return f'<span class="still">{name}</span> <span class="tag bad">{STATE_WORDS[item.state]}</span>'
    return (
        f'<button type="button" class="cell" tabindex="-1" data-column="name" data-type="name" '
        f'data-value="{escape(json.dumps(item.name, ensure_ascii=False))}" aria-label="Name: {name}">{name}'
        "</button>"
    )


def _just(item: Item) -> str:
    kind = "ok" if item.changed_by == API_USER.id else ""
    return f'<span class="tag {kind} just">just now · {escape(_who(item))}</span>'


def _who(item: Item) -> str:
    return person(item.changed_by).name if is_person(item.changed_by) else ""


def _npd(board: Board, item: Item, looks: Looks) -> str:
    waiting = '<span class="tag warn waiting" hidden></span>'
    npd_id = npd_id_of(board, item)
    if not npd_id:
        return f'<span class="mute">not linked</span> {waiting}'
    if looks.npd_url is None:
        return f'<span class="mute">linked</span> {waiting}'
    address = f"{looks.npd_url}/go/{quote(npd_id, safe='')}"
    words = f"Open {item.name} in NPD"
    link = f'<a class="stop" href="{escape(address)}" tabindex="-1" aria-label="{escape(words)}">In NPD ↗</a>'
    return f"{link} {waiting}"


def npd_id_of(board: Board, item: Item) -> str:
    """The text of the column titled "NPD ID", "" where there is none."""
    column = next((c for c in board.visible_columns() if c.title == NPD_ID_TITLE), None)
    return kind_of(column.type).text(column, item.raw(column.id)).strip() if column else ""


def _actions(item: Item) -> str:
    """What can be done with the item: a menu, or the way back of one that is gone."""
    name = escape(item.name)
    if item.state != "active":
        return (
            f'<button type="button" class="button quiet stop" tabindex="-1" data-action="restore" '
            f'aria-label="Restore {name}">Restore</button>'
        )
    return (
        f'<button type="button" class="button quiet stop more" tabindex="-1" data-menu aria-haspopup="menu" '
        f'aria-label="More for {name}">⋯</button>'
    )


def _fresh(item: Item, now: datetime) -> bool:
    changed = datetime.strptime(item.updated_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    # Items of a bulk load were always there: nobody changed them.
    return item.changed_by != NOBODY and abs((now - changed).total_seconds()) < FRESH_SECONDS
