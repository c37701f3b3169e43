"""A file as rows of text, whatever kind of file it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO

from npd.importing.errors import ImportFileError

MAX_BYTES = 10_000_000
MAX_ROWS = 50_000
MAX_COLUMNS = 200
MAX_CELL = 100_000
MAX_CELLS = MAX_ROWS * MAX_COLUMNS
"""Cells that are walked through, the empty ones between others too."""
MAX_TEXT = 50_000_000
"""Characters in all cells together: one string may stand in many cells of an XLSX file."""
"""Characters of one cell; the longest field of a record is far shorter."""


@dataclass(frozen=True)
class Row:
    """One row: its number as a spreadsheet shows it, its cells, and what is wrong with some of them, by position."""

    number: int
    cells: Sequence[str]
    broken: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """The titles of the columns, the rows below them, and how the file was read, in words."""

    titles: Sequence[str]
    rows: Sequence[Row]
    how: str


def table_of(name: str, file: BinaryIO, *, encoding: str = "") -> Table:
    """Return what a CSV or XLSX file holds; raises ImportFileError. `encoding` (of CSV) empty: found out."""
    from npd.importing.csv_files import read_csv
    from npd.importing.xlsx_files import read_xlsx

    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ImportFileError(
            f"{name} is larger than {MAX_BYTES // 1_000_000} MB. Divide it into several files, each with the "
            "titles in its first row."
        )
    if not content.strip():
        raise ImportFileError(f"{name} is empty. Choose the file that holds your records.")
    ending = PurePath(name).suffix.lower()
    if content.startswith(b"PK\x03\x04"):
        return read_xlsx(name, content)
    if ending in (".xls", ".xlsx", ".xlsm", ".ods", ".numbers") or content.startswith(b"\xd0\xcf\x11\xe0"):
        raise ImportFileError(
            f"{name} can't be read as a spreadsheet. Open it in your spreadsheet program and save it as XLSX or "
            "CSV, without a password."
        )
    return read_csv(name, content, encoding)


def limited(name: str, rows: Iterator[Row]) -> tuple[Sequence[str], list[Row]]:
    """Return the titles and the rows that hold something; raises ImportFileError past the limits."""
    titles: Sequence[str] | None = None
    kept: list[Row] = []
    text = 0
    for row in rows:
        if len(row.cells) > MAX_COLUMNS:
            raise ImportFileError(
                f"Row {row.number} of {name} has more than {MAX_COLUMNS} columns. Keep only those to import; if it "
                "has fewer, a quotation mark or separator is missing there."
            )
        if any(len(cell) > MAX_CELL for cell in row.cells):
            raise ImportFileError(
                f"Row {row.number} of {name} holds a cell of more than {MAX_CELL:,} characters; probably a "
                "quotation mark "
                "is missing there. Mend it and choose the file again."
            )
        text += sum(map(len, row.cells))
        if text > MAX_TEXT:
            raise ImportFileError(
                f"{name} holds more than {MAX_TEXT:,} characters. Divide it into several files, each with the titles "
                "in its first row."
            )
        if not any(row.cells) and not row.broken:
            continue
        if titles is None:
            titles = row.cells
            continue
        kept.append(row)
        if len(kept) > MAX_ROWS:
            raise ImportFileError(
                f"{name} has more than {MAX_ROWS:,} rows. Divide it into several files, each with the titles in "
                "its first row."
            )
    if titles is None or not kept:
        raise ImportFileError(f"{name} holds no rows below its titles, so there is nothing to import.")
    return titles, kept
