"""CSV and XLSX files of records: limited in size, without formulas, in the dialects of other programs."""

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, time
from typing import Any

import tablib
from import_export.formats import base_formats
from openpyxl.utils.escape import unescape

# A file is read, checked and previewed within one request.
MAX_BYTES = 10_000_000
MAX_ROWS = 5_000
MAX_COLUMNS = 200
# Bytes of an XLSX file's parts once unpacked.
MAX_UNPACKED = 50_000_000
# XML tags of an XLSX file's parts: reading one takes up to 500 bytes of memory, however short it is.
MAX_TAGS = 2_500_000
# Excel's own limit; a larger number of a row is made up, and the rows before it would be filled in.
MAX_SHEET_ROWS = 1_048_576

# Columns that are added on reading: the row's number in the spreadsheet, and the cells to the right of the titles.
ROW_NUMBER = "row number"
SURPLUS = "cells without a title"

SEPARATORS = ",;\t|"


class FileError(ValueError):
    """The file can't be read or written; the text tells the person why."""


# Writing puts an apostrophe before a text that a spreadsheet would take for a formula; Japanese Excel also takes wide
# signs for one. Texts that begin with apostrophes or blanks before such a sign get an apostrophe, too, so that reading
# removes just the one that writing has added. The library's own escape would drop an equals sign for good.
_FORMULA = re.compile("['\\s\u00a0\u200b\ufeff]*[=+\\-@\t\r\n＝＋－＠]")


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def plain_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


class CSV(base_formats.CSV):  # type: ignore[misc]  # import_export has no types
    def export_data(self, dataset: Any, **kwargs: Any) -> str:
        titles, *rows = ([escape_formula(cell) for cell in row] for row in (dataset.headers, *dataset))
        # Quoted, because German Excel separates by semicolons, so one in a name would begin a cell.
        text = super().export_data(tablib.Dataset(*rows, headers=titles), quoting=csv.QUOTE_ALL)
        return str(text)


class XLSX(base_formats.XLSX):  # type: ignore[misc]
    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        """Write each cell as a text, so never as a formula; the library's writer cuts off long texts."""
        from xlsxwriter import Workbook  # not loaded by every process that starts

        out = io.BytesIO()
        with Workbook(out, {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.set_column(0, len(dataset.headers) - 1, 22)
            sheet.freeze_panes(1, 0)
            for number, row in enumerate((dataset.headers, *dataset)):
                for column, cell in enumerate(row):
                    # write_string returns non-zero if the text is too long.
                    if cell and sheet.write_string(number, column, cell):
                        raise FileError(f"Row {number + 1} has a text that is too long for a cell of Excel. Use CSV.")
        return out.getvalue()


class AnyFile(base_formats.TablibFormat):  # type: ignore[misc]
    """Reads both, so that nobody has to say which one it is."""

    def get_title(self) -> str:
        return "CSV or XLSX"

    def can_import(self) -> bool:
        return True

    def create_dataset(self, in_stream: bytes) -> Any:
        """Return the rows that aren't empty, each cut to the number of titles, with their row numbers."""
        dataset = None
        is_workbook = in_stream.startswith(b"PK\x03\x04")
        read_rows = _workbook_rows if is_workbook else _csv_rows
        for number, cells in enumerate(read_rows(in_stream), start=1):
            if number > MAX_SHEET_ROWS:
                raise FileError(f"A file may have {MAX_SHEET_ROWS:,} lines, blank ones too; this one has more.")
            row = [plain_text(cell) for cell in cells]
            if not any(row):
                continue
            if dataset is None:
                width = max(place for place, title in enumerate(row, start=1) if title)
                if width > MAX_COLUMNS:
                    raise FileError(f"A file may have {MAX_COLUMNS} columns; this one has more.")
                dataset = tablib.Dataset(headers=[*row[:width], ROW_NUMBER, SURPLUS])
                continue
            padding = [""] * (width - len(row))
            dataset.append([*row[:width], *padding, number, "".join(row[width:])])
            if len(dataset) > MAX_ROWS:
                raise FileError(f"A file may have {MAX_ROWS:,} rows below its titles; this one has more. Split it.")
        if not dataset:
            raise FileError("The file has no rows below its titles.")
        return dataset


def _csv_rows(content: bytes) -> Iterator[list[str]]:
    text = _decode(content)
    separator = ""
    if hint := re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text):  # Excel's own first line
        separator = hint[1]
        text = text[hint.end() :]
    separator = separator or max(SEPARATORS, key=lambda sign: len(_first_row(text, sign)))
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            yield [unescape_formula(cell) for cell in row]
    except csv.Error as error:
        raise FileError(f"The file can't be read as CSV: {error}.") from error


def _first_row(text: str, separator: str) -> list[str]:
    with suppress(csv.Error):
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    return []


def _decode(content: bytes) -> str:
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ["utf-16"] if is_utf16 else ["utf-8-sig", "cp1252"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8-sig" and error.reason == "unexpected end of data" and error.end == len(content):
                # As Windows-1252, every other character of the file would be a wrong one.
                raise FileError("The file ends in the middle of a character: it was cut off. Save it again.") from error
            continue
        # NUL: UTF-16 without a BOM.
        if "\0" not in text:
            return text
    raise FileError("The file isn't text in UTF-8 or Windows-1252. Save it as “CSV UTF-8”, or as XLSX.")


def _workbook_rows(content: bytes) -> Iterator[list[str]]:
    """Yield the rows of the first visible sheet, each cell as the text that a person sees."""
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            _check_parts(packed)
        # Read row by row and in these columns only, so that a cell far out takes no memory.
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
        for row in sheet.iter_rows(max_row=MAX_SHEET_ROWS, max_col=MAX_COLUMNS + 1, values_only=True):
            # A sheet may have a million empty rows.
            yield [_cell_text(value) for value in row] if row.count(None) < len(row) else []
    except FileError:
        raise
    # openpyxl raises all kinds of errors: for a password, an unknown compression, a missing part.
    except Exception as error:
        raise FileError("The file can't be read as XLSX. Save it again, or as “CSV UTF-8”.") from error


def _check_parts(packed: zipfile.ZipFile) -> None:
    """Raise FileError if reading a workbook's parts would take much memory or time."""
    too_large = FileError("The workbook is too large once unpacked. Copy the rows into a new file, or split it.")
    if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED:
        raise too_large
    tags = 0
    for part in packed.infolist():
        text = packed.read(part).replace(b"\0", b"")  # UTF-16 has a NUL beside each letter of a tag
        # Office programs write none (ECMA-376, part 2). Its entities could make a file a hundred times as long.
        if b"<!DOCTYPE" in text:
            raise FileError("The workbook has a DOCTYPE, which no spreadsheet program writes. Save it again.")
        tags += text.count(b"<")
    if tags > MAX_TAGS:
        raise too_large


def _cell_text(value: Any) -> str:
    """Return a cell's value as text: whole numbers without a point, dates as 2026-11-20."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    # Excel escapes characters that XML can't hold, as _x0000_; PostgreSQL can't store that character, nor half of one.
    text = str(unescape(str(value))).replace("\0", "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
