"""One item as a row of the board's table."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from sandbox.columns import kind_of
from sandbox.model import Board, Column, Item
from sandbox.people import API_USER, NOBODY, person

FRESH_SECONDS = 10
NPD_ID_TITLE = "NPD ID"
STATE_WORDS = {"archived": "archived", "deleted": "deleted"}


@dataclass(frozen=True)
class Looks:
    """How rows are to look now."""

    now: datetime
    npd_url: str | None = None
    focused: int | None = None


def row(board: Board, item: Item, looks: Looks) -> str:
    """A `<tr>`."""
    cells = "".join(_cell(column, item) for column in board.visible_columns() if column.type != "name")
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
    return (
        f'<tr id="item-{item.id}" class="{classes}" data-item="{item.id}" data-state="{item.state}">'
        f'<th scope="row" data-title="Item">{_name(item, looks.now)}'
        f'<span class="under small">{_npd(board, item, looks)}{_actions(item)}</span></th>{cells}</tr>'
    )


def headings(board: Board) -> str:
    """The table's head."""
    titles = ["Item", *(column.title for column in board.visible_columns() if column.type != "name")]
    return "<tr>" + "".join(f'<th scope="col">{escape(title)}</th>' for title in titles) + "</tr>"


def _name(item: Item, now: datetime) -> str:
    name = escape(item.name)
    tags = ""
    if item.state in STATE_WORDS:
        tags += f' <span class="tag bad">{STATE_WORDS[item.state]}</span>'
    if _fresh(item, now):
        kind = "ok" if item.changed_by == API_USER.id else ""
        tags += f' <span class="tag {kind} just">just now · {escape(person(item.changed_by).name)}</span>'
    if item.state != "active":
        return f'<span class="still">{name}</span>{tags}'
    return (
        f'<button type="button" class="cell" data-column="name" data-type="name" data-edit="{name}" '
        f'aria-label="Name: {name}. Edit">{name}</button>{tags}'
    )


def _cell(column: Column, item: Item) -> str:
    kind, raw = kind_of(column.type), item.raw(column.id)
    text, title = kind.text(column, raw), escape(column.title)
    shown = _shown(column, text)
    if item.state != "active":
        return f'<td data-title="{title}"><span class="still">{shown}</span></td>'
    state = f' aria-pressed="{"true" if raw else "false"}"' if column.type == "checkbox" else ""
    options = f' data-options="{escape(json.dumps(_options(column)))}"' if _options(column) else ""
    words = f"{column.title} of {item.name}: {text or 'empty'}. Edit"
    return (
        f'<td data-title="{title}"><button type="button" class="cell" data-column="{escape(column.id)}" '
        f'data-type="{column.type}" data-edit="{escape(kind.edit_text(column, raw))}"{options}{state} '
        f'aria-label="{escape(words)}">{shown}</button></td>'
    )


def _shown(column: Column, text: str) -> str:
    if column.type == "checkbox":
        return "☑" if text else "☐"
    if not text:
        return '<span class="mute">–</span>'
    if column.title == NPD_ID_TITLE and len(text) > 12:
        return f'<span class="mute small" title="{escape(text)}">{escape(text[:8])}…</span>'
    if column.type in ("status", "dropdown"):
        return f'<span class="tag">{escape(text)}</span>'
    return f'<span class="clip" title="{escape(text)}">{escape(text)}</span>'


def _options(column: Column) -> list[str]:
    labels = column.settings.get("labels")
    if column.type == "status" and isinstance(labels, dict):
        return ["", *(label for label in labels.values() if label)]
    if column.type == "dropdown" and isinstance(labels, list):
        return ["", *(label["name"] for label in labels)]
    return []


def _npd(board: Board, item: Item, looks: Looks) -> str:
    waiting = '<span class="tag warn waiting" hidden></span>'
    npd_id = npd_id_of(board, item)
    if not npd_id:
        return f'<span class="mute">not linked</span> {waiting}'
    if looks.npd_url is None:
        return f'<span class="mute">linked</span> {waiting}'
    address = f"{looks.npd_url}/go/{quote(npd_id, safe='')}"
    words = f"Open {item.name} in NPD"
    return f'<a href="{escape(address)}" aria-label="{escape(words)}">In NPD ↗</a> {waiting}'


def npd_id_of(board: Board, item: Item) -> str:
    """The text of the column titled "NPD ID", "" where there is none."""
    column = next((c for c in board.visible_columns() if c.title == NPD_ID_TITLE), None)
    return kind_of(column.type).text(column, item.raw(column.id)).strip() if column else ""


def _actions(item: Item) -> str:
    wanted = (
        [("archive", "Archive"), ("delete", "Delete")] if item.state == "active" else [("restore", "Restore")]
    )
    return "".join(
        f'<button type="button" class="button quiet" data-action="{action}" '
        f'aria-label="{words} {escape(item.name)}">{words}</button>'
        for action, words in wanted
    )


def _fresh(item: Item, now: datetime) -> bool:
    changed = datetime.strptime(item.updated_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    # Items of a bulk load were always there: nobody changed them.
    return item.changed_by != NOBODY and abs((now - changed).total_seconds()) < FRESH_SECONDS
