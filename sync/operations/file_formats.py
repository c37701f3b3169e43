"""CSV and XLSX files of records: limited in size, without formulas, in the dialects of other programs."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import tablib
from import_export.formats import base_formats

from sync.kernel import grouped
from sync.monday.text_forms import fold_title
from sync.operations.workbooks import (
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_SHEET_ROWS,
    TOO_MANY_ROWS,
    FileError,
    Row,
    read_workbook,
)

# A file is read, checked and previewed within one request.
MAX_BYTES = 10_000_000
# Spreadsheets write empty cells up to the last one that was ever used.
MAX_ROW_CELLS = 1_000

# Columns that are added on reading: the row's number in the spreadsheet, and the cells to the right of the titles.
ROW_NUMBER = "row number"
SURPLUS = "cells without a title"

MAC_LETTERS = 2  # so few may stand there by chance

# How the files of Excel 97, and all with a password, begin.
OLD_WORKBOOK = bytes.fromhex("d0cf11e0")

# The one column of an upload that is read later.
CONTENT = "content"

ENCODINGS = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252 (Western Europe)",
    "mac_roman": "Mac Roman",
    "cp1250": "Windows-1250 (Central Europe)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
    "iso8859-15": "ISO 8859-15",
    "cp850": "DOS (cp850)",
    "cp932": "Shift JIS (Japanese)",
    "gb18030": "GB 18030 (Chinese)",
}
CERTAIN = ("utf-8-sig", "utf-16")

SEPARATORS = ",;\t|"
# So many rows show by which sign they are separated.
SAMPLE_ROWS = 20
SAMPLE_LENGTH = 100_000


# Writing puts an apostrophe before a text that a spreadsheet would take for a formula; Japanese Excel also takes wide
# signs for one. Texts that begin with apostrophes or blanks before such a sign get an apostrophe, too, so that reading
# removes just the one that writing has added. The library's own escape would drop an equals sign for good.
_FORMULA = re.compile("['\\s\u00a0\u200b\ufeff]*[=+\\-@\t\r\n＝＋－＠]")


# Programs write codes as ="01067", so that a spreadsheet keeps their zeros.
_CODE = re.compile('="(.*)"', re.DOTALL)


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    if code := _CODE.fullmatch(text):
        return code[1].replace('""', '"')
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def plain_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


class CSV(base_formats.CSV):  # type: ignore[misc]  # import_export has no types
    def export_data(self, dataset: Any, **kwargs: Any) -> str:
        titles, *rows = ([escape_formula(cell) for cell in row] for row in (dataset.headers, *dataset))
        # Quoted, because German Excel separates by semicolons, so one in a name would begin a cell.
        text = super().export_data(tablib.Dataset(*rows, headers=titles), quoting=csv.QUOTE_ALL)
        return str(text)


class XLSX(base_formats.Format):  # type: ignore[misc]
    # Not the library's own format, which is there only beside openpyxl.
    def get_title(self) -> str:
        return "xlsx"

    def get_extension(self) -> str:
        return "xlsx"

    def get_content_type(self) -> str:
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def can_export(self) -> bool:
        return True

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
                    # XlsxWriter takes a text that begins with <r> for the pieces of a rich one.
                    pieces = [*cell[:2], cell[2:]] if cell.startswith("<r>") else [cell]
                    write = sheet.write_string if len(pieces) == 1 else sheet.write_rich_string
                    # They return non-zero if the text is too long.
                    if cell and write(number, column, *pieces):
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
        return read_file(in_stream)[0]


class Upload(AnyFile):
    """Leaves the reading to the resource, which knows the sheet and the encoding that a person chose."""

    def create_dataset(self, in_stream: bytes) -> Any:
        return tablib.Dataset([in_stream], headers=[CONTENT])


def read_file(
    content: bytes, encoding: str = "", sheet: str = "", is_known: Callable[[Sequence[str]], bool] = bool
) -> tuple[Any, list[str], list[str]]:
    """Return a file's rows, notes about how it was read where that isn't certain, and the names of its sheets.

    Without an encoding or a sheet the most likely ones are read: the sheets of the layout that has the most rows, among
    those whose titles are known.
    """
    if content.startswith(OLD_WORKBOOK):
        raise FileError("The file is an XLS workbook, or has a password. Save it as XLSX without a password.")
    if not is_workbook(content):
        encoding = encoding or likely_encoding(content)
        notes = [f"Read as {ENCODINGS[encoding]}."] if encoding not in CERTAIN else []
        return _dataset(_csv_rows(_decode(content, encoding))), notes, []
    read = read_workbook(content)
    sheets = {name: rows for name, (rows, problem) in read.items() if not problem}
    for rows, problem in read.values():
        # One with other titles, such as a log, isn't what the person wants to import.
        if problem and not (rows and sheets and not is_known(rows[0][1])):
            raise FileError(problem)
    chosen = [sheet] if sheet in sheets else likely_sheets(sheets, is_known)
    others = [name for name in read if name not in chosen]
    notes = [f"Sheets that are not imported: {', '.join(others)}."] if others else []
    return _dataset(_rows_of_sheets(sheets, chosen)), notes, list(sheets)


def is_workbook(content: bytes) -> bool:
    return content.startswith(b"PK\x03\x04")


def likely_sheets(sheets: Mapping[str, Sequence[Row]], is_known: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return the sheets whose common titles are known and stand above the most rows, so none that sums them up."""

    def fitness(names: Sequence[str]) -> tuple[bool, int]:
        return is_known(sheets[names[0]][0][1]), sum(len(sheets[name]) for name in names)

    layouts = grouped(sheets, lambda name: tuple(map(fold_title, sheets[name][0][1])))
    return max(layouts.values(), key=fitness, default=[])


def _rows_of_sheets(sheets: Mapping[str, Sequence[Row]], names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        for number, cells in sheets[name]:
            yield number if name == names[0] else f"{number} of “{name}”", cells


def _dataset(rows: Iterable[Row]) -> Any:
    dataset = None
    for number, cells in rows:
        row = [plain_text(cell) for cell in cells]
        if not any(row):
            continue
        if dataset is None:
            titles = [cell.casefold() for cell in row]
            width = max(place for place, title in enumerate(row, start=1) if title)
            if width > MAX_COLUMNS:
                raise FileError(f"A file may have {MAX_COLUMNS} columns; this one has more.")
            dataset = tablib.Dataset(headers=[*row[:width], ROW_NUMBER, SURPLUS])
            continue
        if [cell.casefold() for cell in row] == titles:  # files and sheets that were put together repeat it
            continue
        padding = [""] * (width - len(row))
        dataset.append([*row[:width], *padding, number, "".join(row[width:])])
        if len(dataset) > MAX_ROWS:
            raise FileError(TOO_MANY_ROWS)
    if not dataset:
        raise FileError("The file has no rows below its titles.")
    return dataset


def _csv_rows(text: str) -> Iterator[Row]:
    separator = ""
    if hint := re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text):  # Excel's own first line
        separator = hint[1]
        text = text[hint.end() :]
    separator = separator or _separator(text)
    if text.count(separator) > MAX_CELLS:
        raise FileError(f"A file may have {MAX_CELLS:,} cells, empty ones too; this one has more.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    number = 0
    line = 1
    try:
        for number, row in enumerate(reader, start=1):
            if number > MAX_SHEET_ROWS:
                raise FileError(f"A file may have {MAX_SHEET_ROWS:,} lines, blank ones too; this one has more.")
            if len(row) > MAX_ROW_CELLS:
                raise FileError(f"Row {number:,} has more than {MAX_ROW_CELLS:,} cells, empty ones too.")
            line = reader.line_num + 1
            yield number, [unescape_formula(cell) for cell in row]
    except csv.Error as error:
        advice = "Write a quotation mark within a quoted cell twice, and end the cell with one."
        raise FileError(f"Row {number + 1:,}, in line {line:,}, can't be read as CSV: {error}. {advice}") from error


def _separator(text: str) -> str:
    """Return the sign that separates the cells, judged by the titles and the first rows.

    It cuts the rows into as many cells as the titles. Behind a comma within a text there is mostly a blank.
    """

    def fitness(sign: str) -> tuple[bool, float, float, int]:
        rows = _first_rows(text, sign)
        width = len(rows[0]) if rows else 0
        cells = [cell for row in rows for cell in row[1:]]
        as_wide = sum(len(row) == width for row in rows) / max(1, len(rows))
        unpadded = sum(not cell.startswith(" ") for cell in cells) / max(1, len(cells))
        return (width > 1, as_wide, unpadded, width)

    return max(SEPARATORS, key=fitness)


def _first_rows(text: str, separator: str) -> list[list[str]]:
    rows: list[list[str]] = []
    with suppress(csv.Error):
        for row in csv.reader(io.StringIO(text[:SAMPLE_LENGTH], newline=""), delimiter=separator):
            if any(map(str.strip, row)):
                rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
    return rows[: max(1, len(rows) - 1)]  # the last may be cut off


def likely_encoding(content: bytes) -> str:
    """Return a text's encoding, which is certain only for UTF-8 and UTF-16; else by which of its letters make words."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse_broken_utf8(content, error)
        sample = content[:SAMPLE_LENGTH]
        is_mac = _wordiness(sample, "mac_roman") > max(MAC_LETTERS, _wordiness(sample, "cp1252"))
        return "mac_roman" if is_mac else "cp1252"
    return "utf-8-sig"


def _wordiness(content: bytes, encoding: str) -> int:
    """Return how many letters beyond ASCII stand where words have them: small ones within, capitals at the start."""
    text = content.decode(encoding, "replace")
    fitting = 0
    for before, letter in pairwise(f" {text}"):
        if not letter.isascii():
            is_fitting = letter.islower() if before.isalpha() else letter.isupper()
            fitting += 1 if is_fitting else -1
    return fitting


def _decode(content: bytes, encoding: str) -> str:
    with suppress(UnicodeDecodeError, UnicodeError):
        text = content.decode(encoding)
        if "\0" not in text:  # UTF-16 without a BOM
            return text
    name = ENCODINGS[encoding]
    raise FileError(f"The file isn't text in {name}. Choose its encoding, or save it as “CSV UTF-8” or XLSX.")


def _refuse_broken_utf8(content: bytes, error: UnicodeDecodeError) -> None:
    """Raise FileError for UTF-8 with a wrong byte: as Windows-1252, every letter beyond ASCII would be a wrong one."""
    if error.reason == "unexpected end of data" and error.end == len(content):
        raise FileError("The file ends in the middle of a character: it was cut off. Save it again.") from error
    text = content.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(not letter.isascii() for letter in text) > 2 * wrong:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(
            f"Line {line:,} has a byte that isn't UTF-8, as the rest of the file is. Save it again."
        ) from error
