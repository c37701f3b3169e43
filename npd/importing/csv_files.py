"""Reading CSV: the encoding and the separator are found out."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator

from django.utils.translation import gettext_lazy

from npd.importing.columns import knows
from npd.importing.errors import ImportFileError
from npd.importing.tables import MAX_CELL, Row, Table, limited

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": gettext_lazy("Windows-1252 (Western Europe)"),
    "cp1250": gettext_lazy("Windows-1250 (Central Europe)"),
    "iso-8859-15": "ISO 8859-15",
    "mac-roman": "Mac Roman",
    "utf-16": "UTF-16",
}
"""What a person may choose where it is found out wrongly."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_csv(name: str, content: bytes, encoding: str = "") -> Table:
    """Return a CSV file's table; raises ImportFileError."""
    text, said = _text(name, content, encoding)
    if "\0" in text:
        raise ImportFileError(
            f"{name} holds NUL bytes, which no text has: it is damaged, or no CSV file. Save it anew as “CSV UTF-8”."
        )
    separator = _separator(text)
    titles, rows = limited(name, _rows(name, text, separator))
    return Table(titles, rows, f"CSV, {said}, separated by {SEPARATORS[separator]}")


def _text(name: str, content: bytes, encoding: str) -> tuple[str, str]:
    """The text, and its encoding in words. Without a mark it is UTF-8 where it can be, else what Excel writes."""
    marked = next((codec for mark, codec in _MARKS if content.startswith(mark)), "")
    tries = [marked or encoding] if marked or encoding else [*_without_mark(content), "utf-8", "cp1252"]
    for codec in tries:
        try:
            said = str(ENCODINGS.get(codec, codec.upper().removesuffix("-SIG")))
            return content.decode(codec).removeprefix("\ufeff"), said
        except (UnicodeDecodeError, LookupError):
            continue
    said = str(ENCODINGS.get(tries[-1], tries[-1]))
    raise ImportFileError(
        f"{name} can't be read as {said}. Choose another encoding, or save the file anew as “CSV UTF-8”."
    )


def _without_mark(content: bytes) -> list[str]:
    """UTF-16 is told by its NUL bytes: every other one of a text in Latin letters."""
    head = content[:2000]
    if head[1::2].count(0) * 3 > len(head):
        return ["utf-16-le"]
    return ["utf-16-be"] if head[::2].count(0) * 3 > len(head) else []


def _separator(text: str) -> str:
    """The separator by which the first row names the most columns that are known, else the most columns."""

    def found(separator: str) -> tuple[int, int]:
        try:
            first = next(
                (row for row in csv.reader(io.StringIO(text[:MAX_CELL]), delimiter=separator) if row), []
            )
        except csv.Error:
            first = []
        return sum(knows(title) for title in first), len(first)

    return max(SEPARATORS, key=found)


def _rows(name: str, text: str, separator: str) -> Iterator[Row]:
    csv.field_size_limit(10 * MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ImportFileError(
                f"Row {number} of {name} can't be read: {error}. Check its quotation marks, or save the file "
                "anew as CSV."
            ) from error
        if cells is None:
            return
        yield Row(number, [unguarded(cell.strip()) for cell in cells])


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe stands before it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and cell else cell


def unguarded(cell: str) -> str:
    """Return a cell without the apostrophe that `guarded`, or a spreadsheet, put before it."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") else cell
