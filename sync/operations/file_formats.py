"""CSV and XLSX files of records: of limited size, no cell a formula, and read as other programs write them."""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from itertools import zip_longest
from typing import Any
from xml.parsers import expat

import tablib
from import_export.formats import base_formats

MAX_BYTES = 10_000_000
MAX_ROWS = 5_000
MAX_COLUMNS = 200
# Characters of one cell; the longest field of a record is far shorter.
MAX_CELL = 100_000
# Bytes that the parts of an XLSX file may have once unpacked, and characters that its cells may have.
MAX_UNPACKED = 100_000_000

TOO_LARGE = "The workbook is too large once unpacked. Copy the rows, as values, into a new file."
# Lines of a sheet for each row that it may have: some are blank.
MAX_BLANK = 2

ROW_NUMBER = "row number"
# Columns of a read file beside its own: the row's number in the spreadsheet, and what stands beyond the titles.
SURPLUS = "cells without a title"

SEPARATORS = ",;\t|"


class FileError(ValueError):
    """The file can't be read; the text says why to whoever chose it."""


# A text that a spreadsheet would take for a formula has an apostrophe before it, in Japanese Excel also after wide
# signs. Apostrophes and blanks that it had before the sign count for nothing, so that reading takes off just what
# writing has put there.
_FORMULA = re.compile("['\\s\u00a0\u200b\ufeff]*[=+\\-@\t\r\n＝＋－＠]")


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


class CSV(base_formats.CSV):  # type: ignore[misc]  # import_export has no types
    def is_binary(self) -> bool:
        """Let the upload be kept as the bytes that it has: a text file would lose its line ends."""
        return True

    def get_read_mode(self) -> str:
        return "rb"

    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        out = io.StringIO(newline="")
        # Where a semicolon separates, as in German Excel, an unquoted one in a name would begin a cell.
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerows([escape_formula(cell) for cell in row] for row in (dataset.headers, *dataset))
        return f"\ufeff{out.getvalue()}".encode()  # without the mark Excel reads UTF-8 as Windows-1252

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> Any:
        text = _decode(in_stream)
        separator = ""
        if excel_says := re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text):
            separator = excel_says[1]
            text = text[excel_says.end() :]
        csv.field_size_limit(10 * MAX_CELL)
        try:
            separator = separator or max(SEPARATORS, key=lambda sign: _width(text, sign))
            return _dataset([unescape_formula(cell) for cell in row] for row in _csv_rows(text, separator))
        except csv.Error as error:
            raise FileError(f"The file is no CSV file that can be read: {error}.") from error


def _width(text: str, separator: str) -> int:
    """Return how many titles a text has where this separates them."""
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
        if "\0" not in text:
            return text
    raise FileError("The file is no text in UTF-8 or Windows-1252. Save it as “CSV UTF-8”, or as XLSX.")


class XLSX(base_formats.Format):  # type: ignore[misc]
    """The first sheet that is shown, each cell as the text that a person sees."""

    CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, encoding: str | None = None) -> None:
        """Take an encoding as every format, though a workbook has none."""

    def get_title(self) -> str:
        return "xlsx"

    def get_extension(self) -> str:
        return "xlsx"

    def get_content_type(self) -> str:
        return self.CONTENT_TYPE

    def can_import(self) -> bool:
        return True

    def can_export(self) -> bool:
        return True

    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        from xlsxwriter import Workbook  # not loaded by every process that starts

        out = io.BytesIO()
        with Workbook(out, {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.set_column(0, len(dataset.headers) - 1, 22)
            sheet.freeze_panes(1, 0)
            for number, row in enumerate((dataset.headers, *dataset)):
                for column, cell in enumerate(row):
                    # As a text, whatever it begins with.
                    if cell and sheet.write_string(number, column, cell):
                        raise FileError(f"Row {number + 1} has a text that is too long for a cell of Excel. Use CSV.")
        return out.getvalue()

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> Any:
        from python_calamine import CalamineError, SheetTypeEnum, SheetVisibleEnum, load_workbook

        try:
            book = load_workbook(io.BytesIO(_measured(in_stream)))
            shown = (
                sheet.name
                for sheet in book.sheets_metadata
                if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
            )
            sheet = book.get_sheet_by_name(next(shown, ""))
            above, before = sheet.start or (0, 0)
            rows: list[list[str]] = [[]] * above + [
                [""] * before + [_cell_text(cell) for cell in row] for row in sheet.iter_rows()
            ]
        except FileError:
            raise
        # Beside calamine's own errors those of zlib and zipfile: a password, a packing that Python doesn't know.
        except (CalamineError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError) as error:
            raise FileError("The file is no XLSX file that can be read. Save it again, or as “CSV UTF-8”.") from error
        return _dataset(rows)


def _cell_text(value: Any) -> str:
    """Return a cell's value as text: whole numbers without a point, dates as 2026-11-20."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Spreadsheets keep 15 digits: the others of a larger number would be made up.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    # What Excel writes as _x0000_ is no text, and no database stores it.
    return str(value).replace("\0", "")


def _measured(content: bytes) -> bytes:
    """Return a workbook with those parts alone that were measured: calamine reads what it gets more freely."""
    out = io.BytesIO()
    measurement = Measurement()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(out, "w") as measured:
        if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED:
            raise FileError(TOO_LARGE)
        for name in packed.namelist():
            data = packed.read(name)  # of what it says to have, however much is packed there
            with suppress(expat.ExpatError):  # a picture, or a drawing in old Excel's half HTML
                measurement.take(data)
                measured.writestr(name, data)
    if measurement.characters() > MAX_UNPACKED:
        raise FileError(TOO_LARGE)
    return out.getvalue()


class Measurement:
    """What a workbook takes in memory: calamine makes room up to the outermost cell of a sheet, and copies a shared
    text into each cell that shows it.
    """

    def __init__(self) -> None:
        self.texts: list[list[int]] = []  # the lengths of shared texts, by the part that holds them
        self.shown: Counter[int] = Counter()  # in how many cells each is shown

    def take(self, data: bytes) -> None:
        """Measure a part, as UTF-8 as calamine reads it; raises FileError where it is too large."""
        self.row = 0
        self.column = 0
        self.is_shared = False
        self.value = ""
        self.lengths: list[int] = []
        self.texts.append(self.lengths)
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._interrupt
        parser.Parse(data, True)

    def characters(self) -> int:
        longest = [max(lengths) for lengths in zip_longest(*self.texts, fillvalue=0)]
        return sum(number * longest[place] for place, number in self.shown.items() if place < len(longest))

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._interrupt()
        name = tag.rpartition(":")[2]
        if name == "row":
            self.row = int(attributes.get("r") or self.row + 1)
            self.column = 0
        elif name == "c":
            letters = attributes.get("r", "").rstrip("0123456789")
            self.row = int(attributes["r"][len(letters) :]) if letters else self.row
            self.column = _column_number(letters) if letters else self.column + 1
            self.is_shared = attributes.get("t") == "s"
        elif name in ("v", "is"):  # a cell without a value may be anywhere: it only has a colour
            _check_size(self.row // MAX_BLANK, self.column)
            self.value = ""
        elif name == "si":
            self.lengths.append(0)

    def _end(self, tag: str) -> None:
        if self.is_shared and tag.rpartition(":")[2] == "v":
            self.shown[int(self.value)] += 1

    def _text(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(text)
        elif self.is_shared:
            self.value += text

    def _interrupt(self, *details: Any) -> None:
        self.value += " "  # no number any more, for calamine would take what stands behind it alone

    def _doctype(self, *details: Any) -> None:
        raise FileError("The workbook holds what no spreadsheet writes. Save it again.")


def _column_number(letters: str) -> int:
    """Return a column's number: A is 1, AA 27."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - 64
    return number


def _check_size(rows: int, columns: int) -> None:
    if rows > MAX_ROWS:
        raise FileError(f"A file may have {MAX_ROWS:,} rows below its titles; this one has more. Split it.")
    if columns > MAX_COLUMNS:
        raise FileError(f"A file may have {MAX_COLUMNS} columns; this one has more.")


def _dataset(rows: Iterable[Sequence[str]]) -> Any:
    """Return the rows that aren't empty, each as wide as the titles, with their numbers."""
    dataset = None
    for number, row in enumerate(rows, start=1):
        if not any(row):
            continue
        if any(len(cell) > MAX_CELL for cell in row):
            raise FileError(f"Row {number} has a cell of more than {MAX_CELL:,} characters.")
        if dataset is None:
            titles = list(row)
            _check_size(0, len(titles))
            dataset = tablib.Dataset(headers=[*titles, ROW_NUMBER, SURPLUS])
            continue
        cells = [*row[: len(titles)], *[""] * (len(titles) - len(row))]
        dataset.append([*cells, number, "".join(row[len(titles) :])])
        _check_size(len(dataset), 0)
    if not dataset:
        raise FileError("The file has no rows below its titles.")
    return dataset
