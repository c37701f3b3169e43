"""Rows of a bulk import as CSV: what a column value is as a cell, and what a job's report says of its rows.

A cell has to read back as the very value that a create would have written. A value of which that can't be said
for certain has no cell (NoCell), and its record goes the ordinary way. Formats:
developer.monday.com/api-reference/docs/importing-items-in-bulk, "Column type validation".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sync.connectors.monday.converters.labels import labels_in

NULL = "<NULL>"
"""The cell that clears a value in an import that updates items."""
RELATION_COLUMNS = 5
RELATION_ITEMS = 50

Settings = Mapping[str, Any]


class NoCell(ValueError):
    """The value can't be put into a cell for certain; the message says why, to follow a field's name."""


def _text(value: Any, settings: Settings) -> str:
    return str(value)


def _long_text(value: Any, settings: Settings) -> str:
    return str(value["text"] if isinstance(value, Mapping) else value)


def _email(value: Any, settings: Settings) -> str:
    address, label = str(value["email"]), str(value.get("text") or "")
    if any(sign in address + label for sign in "<>\n"):
        raise NoCell("an e-mail address with < or > can't be told apart from its label")
    return address if label in ("", address) else f"{label} <{address}>"


def _phone(value: Any, settings: Settings) -> str:
    """The cell names no country: only a number that says its own reads the same everywhere."""
    number = str(value["phone"])
    if not number.startswith("+"):
        raise NoCell("a telephone number without its country code would lose its country")
    return number


def _link(value: Any, settings: Settings) -> str:
    url, text = str(value["url"]), str(value.get("text") or "")
    if any(sign in url + text for sign in "[]()\n"):
        raise NoCell("a link with brackets can't be told apart from its text")
    return url if text in ("", url) else f"[{text}]({url})"


def _date(value: Any, settings: Settings) -> str:
    if value.get("time"):
        raise NoCell("a date with a time can't be imported")
    return str(value["date"])


def _status(value: Any, settings: Settings) -> str:
    known = labels_in(settings)
    label = str(value["label"]) if "label" in value else known.get(str(value.get("index")), "")
    return _known_label(label, known, ",")


def _dropdown(value: Any, settings: Settings) -> str:
    known = labels_in(settings)
    labels = value.get("labels")
    names = list(labels) if labels is not None else [known.get(str(i), "") for i in value.get("ids", [])]
    return ",".join(_known_label(str(name), known, "") for name in names)


def _known_label(label: str, known: Mapping[str, str], allowed: str) -> str:
    if label not in known.values():
        raise NoCell("imports make no labels, and this one isn't known")
    if label.isdecimal() or label != label.strip() or ("," in label and "," not in allowed):
        raise NoCell("a label with a comma, of digits, or with outer spaces may be read as something else")
    return label


def _people(value: Any, settings: Settings) -> str:
    kinds = {"person": "user", "team": "team"}
    members = value["personsAndTeams"]
    return ",".join(f"{kinds.get(str(m.get('kind')), 'user')}:{m['id']}" for m in members)


def _relation(value: Any, settings: Settings) -> str:
    ids = [str(one) for one in value["item_ids"]]
    if len(ids) > RELATION_ITEMS:
        raise NoCell(f"an import links at most {RELATION_ITEMS} items")
    if len(settings.get("boardIds") or []) > 1:
        raise NoCell("its column links to several boards")
    return ",".join(ids)


_CELLS: dict[str, Callable[[Any, Settings], str]] = {
    "name": _text,
    "text": _text,
    "numbers": _text,
    "long_text": _long_text,
    "email": _email,
    "phone": _phone,
    "link": _link,
    "date": _date,
    "status": _status,
    "dropdown": _dropdown,
    "people": _people,
    "board_relation": _relation,
}


def can_be_imported(column_type: str) -> bool:
    """Whether bulk imports take values for columns of this type (the reference page's list)."""
    return column_type in _CELLS


def cell(column_type: str, value: Any, settings: Settings | None = None) -> str:
    """The cell of a value as `create_item` would be sent it; None is an empty cell. Raises NoCell."""
    if value is None:
        return ""
    form = _CELLS.get(column_type)
    if form is None:
        raise NoCell(f"Monday's bulk import takes no columns of the type {column_type}")
    try:
        text = form(value, settings or {})
    except (KeyError, TypeError, AttributeError):
        raise NoCell(f"its value has no form that a bulk import knows ({column_type})") from None
    if text.strip().upper() == NULL:  # whatever is made of spaces and case
        raise NoCell(f"the text {NULL} means an empty cell in an import")
    if "\x00" in text:
        raise NoCell("it holds a character that no file can carry")
    return text


def as_csv(column_ids: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """The file: `name` first, then the column ids; commas and quotes as RFC 4180 has them, in UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    header = ["name", *(column_id for column_id in column_ids if column_id != "name")]
    writer.writerow(header)
    writer.writerows([row.get(column_id, "") for column_id in header] for row in rows)
    return text.getvalue().encode()


def reasons_in(report: bytes, key_column: str) -> dict[str, str]:
    """What a report says against rows: the key column's value → the reason.

    The report's form is not published. A file that doesn't hold the key column, or no column that sounds like
    a reason, says nothing.
    """
    try:
        lines = list(csv.reader(io.StringIO(report.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return {}
    if not lines or key_column not in lines[0]:
        return {}
    key, reasons = lines[0].index(key_column), _reason_columns(lines[0])
    found = {}
    for line in lines[1:]:
        words = [line[at] for at in reasons if at < len(line) and line[at].strip()]
        if key < len(line) and words:
            found[line[key].strip()] = words[0].strip()
    return found


def _reason_columns(header: Sequence[str]) -> list[int]:
    return [
        at
        for at, title in enumerate(header)
        if any(word in title.lower() for word in ("error", "reason", "message"))
    ]
