"""The process that reads one file, CSV by itself and XLSX by calamine.

It is `python -m npd.imports.file_reader MEMORY_MB SECONDS`.

Its input is a line of JSON (`encoding`, `titles`) and the file; its answer is lines of JSON: how the file is
read, its rows, the titles first, and an end; or why it is refused. No pickle: the process that answers has
read a hostile file. No Django, no secret.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import posixpath
import resource
import signal
import sys
import zipfile
from collections.abc import Collection, Iterator
from datetime import date, datetime, time
from functools import cache
from typing import IO, Any, TextIO
from xml.parsers import expat

from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum, load_workbook

from npd.imports.files import (
    FORMULA,
    MAX_CELL,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_LINES,
    FileRow,
    ImportFileError,
    plain_title,
    unescape_formula,
    within_limits,
)

SEPARATORS = (",", ";", "\t", "|")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_csv(content: bytes, encoding: str, titles: Collection[str]) -> tuple[dict[str, str], Iterator[FileRow]]:
    """Return how a CSV file was read, and its rows; raises ImportFileError. `titles`: known ones, plain."""
    text, used = _decode(content, encoding)
    if "\0" in text:
        raise ImportFileError("nul_bytes")

    def known_columns(separator: str) -> tuple[int, int]:
        # How many columns of the first row are known, and how many there are.
        try:
            first = next((row for row in csv.reader(io.StringIO(text[:MAX_CELL]), delimiter=separator) if row), [])
        except csv.Error:
            first = []
        return sum(plain_title(title) in titles for title in first), len(first)

    separator = max(SEPARATORS, key=known_columns)
    return {"kind": "csv", "encoding": used, "separator": separator}, _parse_rows(text, separator)


def _decode(content: bytes, encoding: str) -> tuple[str, str]:
    """Return the text and its encoding: without a BOM UTF-8 where it can be, else what Excel writes."""
    marked_encoding = next((codec for mark, codec in _MARKS if content.startswith(mark)), "")
    encodings = [marked_encoding or encoding]
    if not encodings[0]:
        encodings = ["utf-8", "cp1252"]
        # UTF-16 is recognised by its NUL bytes: every other byte of a text in Latin letters is one.
        head = content[:2000]
        if head[1::2].count(0) * 3 > len(head):
            encodings.insert(0, "utf-16-le")
        elif head[::2].count(0) * 3 > len(head):
            encodings.insert(0, "utf-16-be")
    for codec in encodings:
        try:
            return content.decode(codec).removeprefix("\ufeff"), codec
        except (UnicodeDecodeError, LookupError):
            continue
    raise ImportFileError("wrong_encoding", encoding=encodings[-1])


def _parse_rows(text: str, separator: str) -> Iterator[FileRow]:
    # Above MAX_CELL: what is too long is refused by `within_limits`, which names the row and the limit.
    csv.field_size_limit(10 * MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ImportFileError("bad_csv", row=number, why=str(error)) from error
        if cells is None:
            return
        yield FileRow(number, [unescape_formula(cell.strip()) for cell in cells])


# XLSX: the first visible sheet, cells as the texts that a person sees.
#
# calamine reads the values. Each part is measured before calamine opens it: calamine builds a sheet as a block as wide
# and as high as its outermost cells, and takes an error or a formula without a result for an empty cell
# (tafia/calamine#693).


MB = 1_000_000
MAX_UNPACKED = 150 * MB
"""Bytes that the parts of the file may have once unpacked."""
MAX_PART = {"sharedstrings.xml": 60 * MB, "styles.xml": 2 * MB, "workbook.xml": 2 * MB, "workbook.xml.rels": 2 * MB}
MAX_SHEET = 120 * MB
MAX_PARTS = 2_000
MAX_RATIO = 500
"""How many times its packed size a part may have; a sheet of 50,000 equal rows has 40 times."""
SMALL_PART = MB
MAX_STRINGS = 1_000_000
MAX_INSIDE = 10_000
"""Elements inside one cell or one shared string: a text in several formats has one or two for each."""
CHUNK_BYTES = MB
WORKBOOK, RELATIONS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"


def read_xlsx(content: bytes) -> tuple[dict[str, str], Iterator[FileRow]]:
    """Return how an XLSX file was read, and the rows of its first visible sheet; raises ImportFileError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            _check_unpacked_size(packed)
            for part in packed.infolist():
                if posixpath.basename(part.filename).lower() == "sharedstrings.xml":
                    with packed.open(part) as opened:
                        _StringsMeter().parse(opened)
            book = load_workbook(io.BytesIO(content))
            visible = (
                (index, sheet.name)
                for index, sheet in enumerate(book.sheets_metadata)
                if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
            )
            index, name = next(visible, (-1, ""))
            if index < 0:
                raise ImportFileError("no_sheet")
            measured = _measure_sheet(packed, index)
        return {"kind": "xlsx", "sheet": name}, _rows(book, name, measured.broken)
    except zipfile.BadZipFile as error:
        raise ImportFileError("damaged", why=str(error)) from error
    except (ImportFileError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged file makes the libraries raise
        raise ImportFileError("unreadable", why=type(error).__name__) from error


def _check_unpacked_size(packed: zipfile.ZipFile) -> None:
    # By the sizes that the parts declare: a part that is larger than declared fails when it is measured.
    parts = packed.infolist()
    if len(parts) > MAX_PARTS:
        raise ImportFileError("too_many_parts", most=MAX_PARTS)
    # calamine knows no capitals in names: of two parts it might read the one that was not measured.
    if len({part.filename.lower() for part in parts}) < len(parts):
        raise ImportFileError("damaged", why="two of its parts have the same name")
    if sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise ImportFileError("unpacks_too_large", most=MAX_UNPACKED // MB)
    for part in parts:
        most = MAX_PART.get(posixpath.basename(part.filename).lower(), MAX_SHEET)
        if part.file_size > most:
            raise ImportFileError("part_too_large", part=part.filename[:100], most=most // MB)
        if part.file_size > max(SMALL_PART, MAX_RATIO * part.compress_size):
            raise ImportFileError("too_compressed", part=part.filename[:100], most=MAX_RATIO)


# --- measuring ---


class _PartMeter:
    """Walks through a part without keeping it; refuses what is too large, in all or in one place.

    Only start tags are handled, and by one method: a sheet has millions of elements.
    """

    def parse(self, part: IO[bytes]) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.StartDoctypeDeclHandler = _reject_doctype
        while chunk := part.read(CHUNK_BYTES):
            self.parser.Parse(chunk)
        self.parser.Parse(b"", True)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError


class _StringsMeter(_PartMeter):
    def __init__(self) -> None:
        self.items = self.inside = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.inside += 1
        if _local(tag) == "si":
            self.inside = 0
            self.items += 1
        if self.items > MAX_STRINGS:
            raise ImportFileError("too_many_texts", most=MAX_STRINGS)
        if self.inside > MAX_INSIDE:
            raise ImportFileError("too_many_pieces", most=MAX_INSIDE)


class _SheetMeter(_PartMeter):
    """Measures a sheet's block of cells, and finds the cells whose value can't be read."""

    def __init__(self) -> None:
        self.cells = self.inside = self.row = self.column = self.height = self.width = 0
        self.broken: dict[int, dict[int, str]] = {}
        """What is wrong with cells, by row (from 1) and column (from 0)."""
        self._type = self._text = ""
        self._is_formula = self._has_value = False

    def parse(self, part: IO[bytes]) -> None:
        super().parse(part)
        self._end_cell()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        if name == "v" or name == "is":  # noqa: PLR1714 - a tuple costs a tenth of the whole walk
            self._has_value = True
            if self._is_formula or self._type == "e":
                self.parser.CharacterDataHandler = self._add
        elif name == "c":
            self._end_cell()
            self.inside = 0
            self.cells += 1
            if self.cells > MAX_CELLS:
                raise ImportFileError("too_many_cells", most=MAX_CELLS)
            self._type = attributes.get("t", "")
            if where := attributes.get("r"):
                letters = where.rstrip("0123456789")
                self.column, self.row = _number(letters), int(where[len(letters) :])
            else:
                self.column += 1
            return
        elif name == "row":
            self._end_cell()
            self.row, self.column = int(attributes.get("r") or self.row + 1), 0
            return
        elif name == "f":
            self._is_formula = True
        self.inside += 1
        if self.inside > MAX_INSIDE:
            raise ImportFileError("too_many_pieces", most=MAX_INSIDE)

    def _add(self, text: str) -> None:
        self._text = (self._text + text)[:40]

    def _end_cell(self) -> None:
        """Check the cell before this place, if it has a value."""
        if self._type == "e":
            self.broken.setdefault(self.row, {})[self.column - 1] = self._text.strip() or "#?"
        elif self._is_formula and not self._text.strip() and (self._type != "str" or not self._has_value):
            self.broken.setdefault(self.row, {})[self.column - 1] = FORMULA
        elif not self._has_value:
            return
        if self.row > self.height or self.column > self.width:
            self.height, self.width = max(self.height, self.row), max(self.width, self.column)
            if self.width > MAX_COLUMNS:
                raise ImportFileError("too_many_columns", row=self.row, most=MAX_COLUMNS)
            if self.height > MAX_LINES:
                raise ImportFileError("too_many_lines", most=MAX_LINES)
            if self.height * self.width > MAX_CELLS:
                raise ImportFileError("too_many_cells", most=MAX_CELLS)
        if self._is_formula or self._type == "e":
            self.parser.CharacterDataHandler = None
        self._type = self._text = ""
        self._is_formula = self._has_value = False


@cache
def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


@cache
def _number(letters: str) -> int:
    """Return a column's number: A is 1, AA 27."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - 64
    return number


def _reject_doctype(*_: Any) -> None:
    raise ImportFileError("unreadable", why="DOCTYPE")


def _measure_sheet(packed: zipfile.ZipFile, index: int) -> _SheetMeter:
    listed = [attributes for name, attributes in _elements(packed, WORKBOOK) if name == "sheet"]
    relations = [attributes for name, attributes in _elements(packed, RELATIONS) if name == "Relationship"]
    targets = {one.get("Id"): one.get("Target", "") for one in relations}
    keys = [value for name, value in listed[index].items() if _local(name) == "id"]
    # Where the file can be taken in two ways, calamine might read a sheet that was not measured.
    if len(keys) != 1 or len(targets) < len(relations):
        raise ImportFileError("unreadable", why="sheets")
    path = targets[keys[0]].removeprefix("/xl/")
    if path.startswith(("/", "xl/")) or {"..", "."}.intersection(path.split("/")):
        raise ImportFileError("unreadable", why="path")
    path = f"xl/{path}"
    sheet = _SheetMeter()
    with packed.open(path) as opened:
        sheet.parse(opened)
    return sheet


def _elements(packed: zipfile.ZipFile, path: str) -> list[tuple[str, dict[str, str]]]:
    """Yield the elements of a small part, without their texts."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: found.append((_local(tag), attributes))
    parser.StartDoctypeDeclHandler = _reject_doctype
    parser.Parse(packed.read(path), True)
    return found


# --- values ---


def _rows(book: CalamineWorkbook, name: str, broken: dict[int, dict[int, str]]) -> Iterator[FileRow]:
    sheet = book.get_sheet_by_name(name)
    number, left = 0, [""] * (sheet.start[1] if sheet.start else 0)
    for number, values in enumerate(sheet.iter_rows(), start=1):  # from the first row, but from the first full column
        yield _row(number, [*left, *map(cell_text, values)], broken)
    for further in sorted(row for row in broken if row > number):
        yield _row(further, [], broken)


def _row(number: int, cells: list[str], broken: dict[int, dict[int, str]]) -> FileRow:
    wrong = broken.get(number, {})
    width = max((position for position, cell in enumerate(cells, start=1) if cell), default=0)
    width = max(width, *(position + 1 for position in wrong)) if wrong else width
    return FileRow(number, [*cells[:width], *[""] * (width - len(cells))], wrong)


def cell_text(value: Any) -> str:
    """Return a cell's value as text: whole numbers without a point, dates as 2026-11-20."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Spreadsheets keep 15 digits: the others of a larger number would be made up.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    # What Excel writes as _x0000_ is no text, and no database stores it.
    return unescape_formula(str(value).replace("\0", "").strip())


# The process's entry: limits itself, reads, answers.


XLSX = b"PK\x03\x04"


def main() -> None:
    """Limit this process, read, answer."""
    memory, seconds = int(sys.argv[1]) * 1024 * 1024, int(sys.argv[2])
    with contextlib.suppress(ValueError, OSError):  # macOS has no limit of memory, and says so
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The soft limit ends it by SIGXCPU, from which the reader knows that it took too long.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    for forbidden in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):  # no files and no core dumps
        resource.setrlimit(forbidden, (0, 0))
    signal.alarm(seconds + 5)  # where the worker that would end it has died
    output = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="\n")
    request = json.loads(sys.stdin.buffer.readline())
    try:
        content = sys.stdin.buffer.read()
        if content.startswith(XLSX):
            reading, rows = read_xlsx(content)
        else:
            reading, rows = read_csv(content, request["encoding"], set(request["titles"]))
        _write_message(output, {"how": reading})
        for row in within_limits(rows):
            _write_message(output, [row.number, row.cells, row.problems])
        _write_message(output, {"end": True})
        output.flush()
    except ImportFileError as error:
        _write_message(output, {"refused": error.code, "facts": error.facts})
    except MemoryError:
        _write_message(output, {"refused": "too_much_memory", "facts": {}})


def _write_message(output: TextIO, message: Any) -> None:
    output.write(json.dumps(message, ensure_ascii=False))
    output.write("\n")


if __name__ == "__main__":
    main()
