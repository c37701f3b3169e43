"""One column value as a cell of the board's table."""

import json
from html import escape
from typing import Any

from sandbox.columns import kind_of
from sandbox.model import Column, Item
from sandbox.pages.choices import COLOURS, OFFERS, chosen_keys

NPD_ID_TITLE = "NPD ID"
SHORT = 12  # characters of an NPD ID that need no cutting
READ_ONLY = ("subtasks",)
EMPTY = '<span class="mute">–</span>'


def cell(column: Column, item: Item) -> str:
    """A `<td>`; of an item that is not active, without the button that edits."""
    kind, raw = kind_of(column.type), item.raw(column.id)
    text, title = kind.text(column, raw), escape(column.title)
    shown = _shown(column, raw, text)
    frame = f'<td role="gridcell" data-title="{title}" class="of-{column.type}">'
    if item.state != "active" or column.type in READ_ONLY:
        return f'{frame}<span class="still">{shown}</span></td>'
    words = f"{column.title} of {item.name}: {text or 'empty'}"
    return (
        f'{frame}<button type="button" class="cell" tabindex="-1" data-column="{escape(column.id)}" '
        f'data-type="{column.type}"{_held(column, raw)} aria-label="{escape(words)}">{shown}</button></td>'
    )


def _held(column: Column, raw: Any) -> str:
    """What the cell holds, for its editor: the value as the API takes it, and the keys of what is picked."""
    found = ""
    if raw is not None:
        found += f' data-value="{escape(json.dumps(raw, ensure_ascii=False))}"'
    if column.type in OFFERS and (keys := chosen_keys(column, raw)):
        found += f' data-chosen="{escape(json.dumps(keys))}"'
    if column.type == "checkbox":
        found += f' aria-pressed="{"true" if raw else "false"}"'
    return found


def _shown(column: Column, raw: Any, text: str) -> str:
    if column.type == "checkbox":
        return "☑" if text else '<span class="mute">☐</span>'
    if not text:
        return EMPTY
    if column.type == "status":
        return f'<span class="label c{raw["index"] % COLOURS}">{escape(text)}</span>'
    if column.type in ("dropdown", "tags", "people", "board_relation"):
        return _chips(column, text)
    short = raw["text"] if column.type == "link" else text
    if column.title == NPD_ID_TITLE and len(text) > SHORT:
        short = f"{text[:8]}…"
    return f'<span class="clip" title="{escape(text)}">{escape(short)}</span>'


def _chips(column: Column, text: str) -> str:
    mark = {"tags": "#", "board_relation": "↗ "}.get(column.type, "")
    names = text.split(", ")
    chips = "".join(f'<span class="chip">{mark}{escape(name)}</span>' for name in names[:3])
    more = f'<span class="chip">+{len(names) - 3}</span>' if len(names) > 3 else ""
    return f'<span class="chips" title="{escape(text)}">{chips}{more}</span>'
