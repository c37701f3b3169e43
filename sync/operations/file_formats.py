"""CSV and XLSX files of records: limited in size, without formulas, in the dialects of other programs."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

import tablib
from import_export.formats import base_formats
from openpyxl.utils.escape import unescape

MAX_BYTES = 10_000_000
MAX_ROWS = 5_000
MAX_COLUMNS = 200
# Lines of a file including blank ones; a sheet of Excel has as many.
MAX_LINES = 1_048_576
# Cells of a sheet including empty ones: a row is as wide as its last cell, even if that is empty.
MAX_CELLS = 10_000_000
# Characters of one cell; the longest field of a record is far shorter.
MAX_CELL = 100_000
# Bytes of an XLSX file's parts once unpacked.
MAX_UNPACKED = 50_000_000
# An office file has no DOCTYPE (ECMA-376, part 2). Entities in it could make a short text a thousand times as long.
DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))

# Columns that are added on reading: the row's number in the spreadsheet, and the cells to the right of the titles.
ROW_NUMBER = "row number"
SURPLUS = "cells without a title"

SEPARATORS = ",;\t|"


class FileError(ValueError):
    """The file can't be read; the text tells the person why."""


# Writing puts an apostrophe before a text that a spreadsheet would take for a formula; Japanese Excel also takes wide
# signs for one. Texts that begin with apostrophes or blanks before such a sign get an apostrophe, too, so that reading
# removes just the one that writing has added.
_FORMULA = re.compile("['\\s\u00a0\u200b\ufeff]*[=+\\-@\t\r\n＝＋－＠]")


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


class CSV(base_formats.CSV):  # type: ignore[misc]  # import_export has no types
    def is_binary(self) -> bool:
        """Have the upload stored as bytes, because a text file would lose its line ends."""
        return True

    def get_read_mode(self) -> str:
        return "rb"

    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        out = io.StringIO(newline="")
        # German Excel separates by semicolons, so one in an unquoted name would begin a cell.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerows([escape_formula(cell) for cell in row] for row in (dataset.headers, *dataset))
        return f"\ufeff{out.getvalue()}".encode()  # without the BOM, Excel reads UTF-8 as Windows-1252

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> Any:
        text = _decode(in_stream)
        separator = ""
        if hint := re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text):  # Excel's own first line
            separator = hint[1]
            text = text[hint.end() :]
        csv.field_size_limit(10 * MAX_CELL)
        try:
            separator = separator or max(SEPARATORS, key=lambda sign: _width(text, sign))
            return _dataset([unescape_formula(cell) for cell in row] for row in _csv_rows(text, separator))
        except csv.Error as error:
            raise FileError(f"The file is no CSV file that can be read: {error}.") from error


def _width(text: str, separator: str) -> int:
    """Return how many titles a text has with this separator."""
    try:
        return len(next(_csv_rows(text, separator), ()))
    except csv.Error:
        return 0


def _csv_rows(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _decode(content: bytes) -> str:
    encodings = ["utf-16"] if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8-sig" and error.end == len(content) and error.reason == "unexpected end of data":
                raise FileError("The file ends in the middle of a character: it was cut off. Save it again.") from error
            continue
        # NUL: UTF-16 without a BOM.
        if "\0" not in text:
            return text
    raise FileError("The file is no text in UTF-8 or Windows-1252. Save it as “CSV UTF-8”, or as XLSX.")


class XLSX(base_formats.XLSX):  # type: ignore[misc]
    """Reads the first visible sheet, each cell as the text that a person sees."""

    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        from xlsxwriter import Workbook  # not loaded by every process that starts

        out = io.BytesIO()
        with Workbook(out, {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.set_column(0, len(dataset.headers) - 1, 22)
            sheet.freeze_panes(1, 0)
            for number, row in enumerate((dataset.headers, *dataset)):
                for column, cell in enumerate(row):
                    # As a text, so never as a formula. write_string returns non-zero if the text is too long.
                    if cell and sheet.write_string(number, column, cell):
                        raise FileError(f"Row {number + 1} has a text that is too long for a cell of Excel. Use CSV.")
        return out.getvalue()

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> Any:
        from openpyxl import load_workbook

        try:
            with zipfile.ZipFile(io.BytesIO(in_stream)) as packed:
                if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED:
                    raise FileError("The workbook is too large once unpacked. Copy the rows into a new file.")
                if any(mark in packed.read(part) for part in packed.infolist() for mark in DOCTYPES):
                    raise FileError("The workbook defines texts of its own (DOCTYPE). Save it again.")
            # Read row by row, so that a cell far to the right, or a text that many cells share, takes no memory.
            book = load_workbook(io.BytesIO(in_stream), read_only=True, data_only=True)
            sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
            sheet.reset_dimensions()  # a sheet's own statement of its size may be wrong
            return _dataset(_texts_of_rows(sheet.iter_rows(values_only=True)))
        except FileError:
            raise
        # openpyxl raises all kinds of errors: for a password, an unknown compression, a missing part.
        except Exception as error:
            raise FileError("The file is no XLSX file that can be read. Save it again, or as “CSV UTF-8”.") from error


def _texts_of_rows(rows: Iterable[Sequence[Any]]) -> Iterator[list[str]]:
    cells = 0
    for row in rows:
        cells += len(row)
        if cells > MAX_CELLS:
            raise FileError("The sheet has cells far to the right of its table. Copy the rows into a new file.")
        if any(row[MAX_COLUMNS:]):
            _check_columns(len(row))
        yield [_cell_text(cell) for cell in row[:MAX_COLUMNS]]


def _cell_text(value: Any) -> str:
    """Return a cell's value as text: whole numbers without a point, dates as 2026-11-20."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Spreadsheets store 15 digits; more digits of a number would be invented.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    # Excel escapes characters that XML can't hold, as _x0000_; PostgreSQL can't store that character.
    return str(unescape(str(value))).replace("\0", "")


def _check_columns(number: int) -> None:
    if number > MAX_COLUMNS:
        raise FileError(f"A file may have {MAX_COLUMNS} columns; this one has more.")


def _dataset(rows: Iterable[Sequence[str]]) -> Any:
    """Return the rows that aren't empty, each cut to the number of titles, with their row numbers."""
    dataset = None
    for number, row in enumerate(rows, start=1):
        if number > MAX_LINES:
            raise FileError(f"A file may have {MAX_LINES:,} lines; this one has more. Copy the rows into a new file.")
        if not any(row):
            continue
        if any(len(cell) > MAX_CELL for cell in row):
            raise FileError(f"Row {number} has a cell of more than {MAX_CELL:,} characters.")
        if dataset is None:
            titles = list(row)
            _check_columns(len(titles))
            dataset = tablib.Dataset(headers=[*titles, ROW_NUMBER, SURPLUS])
            continue
        cells = [*row[: len(titles)], *[""] * (len(titles) - len(row))]
        dataset.append([*cells, number, "".join(row[len(titles) :])])
        if len(dataset) > MAX_ROWS:
            raise FileError(f"A file may have {MAX_ROWS:,} rows below its titles; this one has more. Split it.")
    if not dataset:
        raise FileError("The file has no rows below its titles.")
    return dataset
