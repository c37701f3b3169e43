"""Tables as files, CSV or XLSX, in which no cell is a formula."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

XLSX_CHARACTERS = 32_767
"""Characters that a cell can have."""

_BOM = "\ufeff"  # without it Excel reads UTF-8 as Windows-1252


@dataclass(frozen=True)
class ListTable:
    """A list as a table: titles, and its rows as texts, numbers, moments, truth values or lists of texts."""

    title: str
    heads: Sequence[str]
    rows: Iterable[Sequence[Any]]


_FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")
"""Where a formula may begin, in Japanese Excel also by the wide signs; apostrophes and blanks before it count for
nothing, so that an import can take just what was added off again.
"""


def escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it."""
    return f"'{cell}" if cell.lstrip("' \u00a0\u200b\ufeff")[:1] in _FORMULA_SIGNS else cell


def csv_lines(table: ListTable, escape: Callable[[str], str] = escape_formula) -> Iterator[bytes]:
    """Return a table as the lines of a CSV file in UTF-8; moments are in UTC."""
    # Where a semicolon separates, as in German and Swedish Excel, an unquoted one in a name would begin a cell.
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield (_BOM + writer.writerow([escape(head) for head in table.heads])).encode()
    for row in table.rows:
        yield writer.writerow([escape(_csv_cell(value)) for value in row]).encode()


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return str(value)


def xlsx_file(table: ListTable) -> BytesIO:
    """Return a table as an XLSX file of one sheet, written row by row; every text is a text."""
    # Not loaded by every process that starts.
    from xlsxwriter import Workbook

    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss", "remove_timezone": True}
    file = BytesIO()
    with Workbook(file, options) as book:
        sheet = book.add_worksheet(table.title[:31])
        sheet.set_column(0, len(table.heads) - 1, 22)
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for place, head in enumerate(table.heads):
            sheet.write_string(0, place, head, bold)
        for number, row in enumerate(table.rows, 1):
            for place, value in enumerate(row):
                if isinstance(value, datetime):
                    sheet.write_datetime(number, place, value.astimezone(UTC))
                elif isinstance(value, int) and not isinstance(value, bool):
                    sheet.write_number(number, place, value)
                elif text := _text(value):
                    sheet.write_string(number, place, text[:XLSX_CHARACTERS])
    file.seek(0)
    return file
