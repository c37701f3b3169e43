"""Reads XLSX workbooks (ECMA-376): of each sheet the rows, each cell as the text that it shows.

Elements are forgotten as soon as they are read, so that a hostile file takes neither memory nor minutes. openpyxl would
also build styles and properties, which nobody needs here, and refuses workbooks in which those are unusual.
"""

import io
import posixpath
import re
import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Final
from xml.parsers import expat

# A file is read, checked and previewed within one request.
MAX_ROWS = 5_000
MAX_COLUMNS = 200
# The titles are looked for in so many rows.
SAMPLE_ROWS = 20
# Bytes of a workbook's parts once unpacked, and signs that begin its tags and attributes.
MAX_UNPACKED = 50_000_000
MAX_MARKS = 2_000_000
MAX_DEPTH = 100
MAX_TEXT = 10_000_000
MAX_CELLS = 400_000
MAX_PARTS = 5_000
# Excel's own limits; a larger number of a row is made up, and the rows before it would be filled in.
MAX_SHEET_ROWS = 1_048_576
MAX_FORMAT = 255
# Characters of the formats by which all cells are shown, and so many for each of these cells.
MAX_FORMATTING = 2_000_000
FORMATTED_CELL = 10
MAX_CELL = 32_767

_CHUNK = 65_536
_PLACE = re.compile("([A-Z]{1,3})([0-9]{1,7})")
_RANGE = re.compile("([A-Z]{1,3})([0-9]{1,7}):[A-Z]{1,3}([0-9]{1,7})")
# Excel's escapes of characters that XML can't hold, as _x0000_; and what it escapes, among it what looks like one.
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_NO_XML = "\0-\x08\x0b-\x1f\ufffe\uffff"
_ESCAPED = re.compile(f"[{_NO_XML}]|_(?=x[0-9A-Fa-f]{{4}}[_{_NO_XML}])|^<(?=r>)")

# The elements that are looked at, and how many of each a workbook may have. Texts stand in cells (c), and in texts that
# cells share (si); an empty row is a row, too.
MAX_ELEMENTS = dict.fromkeys(("workbookPr", "Relationship", "cellXfs", "cellStyleXfs", "si", "f"), MAX_MARKS) | {
    "sheet": 1_000, "numFmt": 1_000, "mergeCell": 10_000, "xf": 100_000, "row": 200_000, "c": MAX_CELLS,
}  # fmt: skip

Row = tuple[int | str, list[str]]  # its number in the sheet, and its cells
Element = tuple[str, dict[str, str], str]  # its tag, its attributes and its text


class FileError(ValueError):
    """The file can't be read or written; the text tells the person why."""


TOO_LARGE: Final = "The workbook is too large once unpacked. Copy the rows into a new file, or split it."
TOO_MANY_ROWS: Final = f"A file may have {MAX_ROWS:,} rows below its titles; this one has more. Split it."


class Workbook:
    """A workbook's visible sheets, of which `rows` reads one."""

    def __init__(self, content: bytes) -> None:
        self._packed = zipfile.ZipFile(io.BytesIO(content))
        parts = self._packed.infolist()
        if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
            raise FileError(TOO_LARGE)
        for part in parts:
            self._packed.open(part).close()  # raises for a password, or an unknown compression
        self._unpacked = 0
        self._marks = 0
        self._elements_left = MAX_ELEMENTS.copy()
        self._length = 0  # of the texts in all cells
        self._formatting = 0
        # Some programs write other cases and separators into names than into references to them.
        self._parts = {_part_key(name): name for name in self._packed.namelist()}
        [book] = [target for kind, target in self._references("").values() if kind == "officeDocument"]
        references = self._references(book)
        self._counts_from_1904 = False
        self.sheets: dict[str, str] = {}  # the part of each
        for tag, attributes, _ in self._elements(book):
            if tag == "workbookPr":
                self._counts_from_1904 = attributes.get("date1904") in ("1", "true")
            elif tag == "sheet" and attributes.get("state", "visible") == "visible":
                link = next(value for name, value in attributes.items() if name.rpartition(":")[2] == "id")
                kind, target = references[link]
                if kind == "worksheet":
                    self.sheets[attributes["name"]] = self._parts[_part_key(target)]
        by_kind = dict(references.values())
        self._formats = self._read_formats(by_kind.get("styles", ""))
        texts = self._elements(by_kind.get("sharedStrings", ""))
        self._texts = [self._counted(unescaped(text)) for tag, _, text in texts if tag == "si"]
        self._length = 0

    def rows(self, sheet: str) -> tuple[list[Row], str, list[str]]:
        """Return a sheet's rows; why it can't be imported, then only the first ones; what else a person should know."""
        rows = _Rows()
        has_formula = False
        try:
            for tag, attributes, text in self._elements(self.sheets[sheet]):
                if tag == "row":
                    rows.start(attributes)
                elif tag == "f":
                    has_formula = True
                elif tag == "c":
                    rows.go_to_cell(attributes)
                    if text:
                        rows.add(self._shown(text, attributes))
                    elif has_formula and attributes.get("t") != "str":
                        rows.formulas += 1
                    has_formula = False
                elif tag == "mergeCell":
                    rows.merged.append(attributes.get("ref", ""))
            rows.fill_merged()
        except FileError as error:
            return rows.in_order()[:SAMPLE_ROWS], str(error), []
        return rows.in_order(), "", rows.notes()

    def _shown(self, text: str, cell: dict[str, str]) -> str:
        kind = cell.get("t", "n")
        if kind == "s":
            text = self._texts[int(text)]
        elif kind == "b":
            text = "TRUE" if text.strip() == "1" else "FALSE"
        elif kind == "d":
            text = text.removesuffix("Z").removesuffix("T00:00:00")
        elif kind == "n":
            style = int(cell.get("s", "0"))
            code = self._formats[style] if style < len(self._formats) else ""
            self._formatting += len(code) + FORMATTED_CELL * bool(code)
            text = shown_number(text.strip(), code, counts_from_1904=self._counts_from_1904)
        else:
            text = unescaped(text)
        return self._counted(text)

    def _counted(self, text: str) -> str:
        self._length += len(text)
        if self._length > MAX_TEXT or self._formatting > MAX_FORMATTING:
            raise FileError(TOO_LARGE)
        return text

    def _references(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the kind and the target of each relation of a part."""
        folder, name = posixpath.split(part)
        references: dict[str, tuple[str, str]] = {}
        for tag, attributes, _ in self._elements(posixpath.join(folder, "_rels", f"{name}.rels")):
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = attributes["Target"].replace("\\", "/")
                path = posixpath.normpath(posixpath.join("/" + folder, target)).lstrip("/")
                references[attributes["Id"]] = (attributes["Type"].rpartition("/")[2], path)
        return references

    def _read_formats(self, part: str) -> list[str]:
        """Return the number format of each cell style."""
        codes = {str(number): code for number, code in BUILT_IN.items()}
        formats: list[str] = []
        styles: list[str] = []
        for tag, attributes, _ in self._elements(part):
            if tag == "numFmt":
                codes[attributes.get("numFmtId", "")] = code = attributes.get("formatCode", "")
                if len(code) > MAX_FORMAT:
                    raise FileError(f"The workbook has a number format of more than {MAX_FORMAT} characters.")
            elif tag == "xf":
                styles.append(attributes.get("numFmtId", ""))
            elif tag in ("cellXfs", "cellStyleXfs"):
                formats += styles if tag == "cellXfs" else []
                styles = []
        return [codes.get(number, "") for number in formats]

    def _elements(self, part: str) -> Iterator[Element]:
        """Yield the elements of a part that matter: a row at its start, others at their ends."""
        name = self._parts.get(_part_key(part))
        if name is None:
            return
        self._check(name)
        path: list[tuple[str, dict[str, str]]] = []
        pieces: list[str] = []
        elements: list[Element] = []

        def add(tag: str, attributes: dict[str, str]) -> None:
            self._elements_left[tag] -= 1
            if self._elements_left[tag] < 0:
                raise FileError(TOO_LARGE)
            elements.append((tag, attributes, "".join(pieces)))
            pieces.clear()

        def start(tag: str, attributes: dict[str, str]) -> None:
            tag = tag.rpartition(":")[2]
            path.append((tag, attributes))
            if len(path) > MAX_DEPTH:
                raise FileError("The workbook has tags within tags without end. Copy the rows into a new file.")
            if tag == "row":
                add(tag, attributes)

        def data(text: str) -> None:
            if path[-1][0] in ("v", "t") and path[-2][0] != "rPh":  # how Japanese is pronounced
                pieces.append(text)

        def end(_: str) -> None:
            tag, attributes = path.pop()
            if tag in MAX_ELEMENTS and tag != "row":
                add(tag, attributes)

        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = start
        parser.CharacterDataHandler = data
        parser.EndElementHandler = end
        parser.StartDoctypeDeclHandler = _refuse_doctype
        with self._packed.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from elements
                elements.clear()
        parser.Parse(b"", True)

    def _check(self, name: str) -> None:
        """Raise FileError if parsing a part would take much memory or time; this look at it takes little."""
        since_tag = 0
        with self._packed.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                text = chunk.replace(b"\0", b"")  # UTF-16 has a NUL beside each letter of a tag
                tags = text.count(b"<")
                self._unpacked += len(chunk)  # many sheets may be one part
                self._marks += tags + text.count(b"=")
                since_tag = 0 if tags else since_tag + len(text)  # a tag or comment without end is read again and again
                if self._unpacked > MAX_UNPACKED or since_tag > 8 * MAX_CELL or self._marks > MAX_MARKS:
                    raise FileError(TOO_LARGE)


class _Rows:
    """Collects the rows of a sheet that aren't empty."""

    def __init__(self) -> None:
        self.by_number: dict[int, list[str]] = {}
        self.formulas = 0  # whose value isn't in the file
        self.merged: list[str] = []  # as “A2:A4”
        self._hidden: set[int] = set()
        self._row = 0
        self._column = 0

    def start(self, row: dict[str, str]) -> None:
        number = row.get("r", "")
        self._row = max(self._row + 1, int(number)) if number.isdecimal() else self._row + 1
        self._column = 0
        if row.get("hidden") in ("1", "true"):
            self._hidden.add(self._row)

    def go_to_cell(self, cell: dict[str, str]) -> None:
        match = _PLACE.fullmatch(cell.get("r", "").upper())
        self._column = _column_number(match[1]) if match else self._column + 1

    def add(self, text: str) -> None:
        if not text.strip() or self._column > MAX_COLUMNS + 1 or self._row > MAX_SHEET_ROWS:
            return
        cells = self.by_number.setdefault(self._row, [])
        if len(self.by_number) > MAX_ROWS + SAMPLE_ROWS:
            raise FileError(TOO_MANY_ROWS)
        cells.extend([""] * (self._column - len(cells)))
        cells[self._column - 1] = text

    def in_order(self) -> list[Row]:
        return [(number, self.by_number[number]) for number in sorted(self.by_number)]

    def fill_merged(self) -> None:
        """Let each merged cell count for all that it covers in its first column."""
        filled = 0
        numbers = sorted(self.by_number)
        for match in filter(None, map(_RANGE.fullmatch, self.merged)):
            column = _column_number(match[1])
            first = int(match[2])
            last = int(match[3])
            text = (self.by_number.get(first) or [""])[column - 1 : column]
            if not text or not text[0]:
                continue
            covered = numbers[bisect_right(numbers, first) : bisect_right(numbers, last)]
            filled += 1 + len(covered)
            if filled > MAX_CELLS:
                raise FileError(TOO_LARGE)
            for cells in map(self.by_number.__getitem__, covered):
                cells.extend([""] * (column - len(cells)))
                cells[column - 1] = cells[column - 1] or text[0]

    def notes(self) -> list[str]:
        notes = []
        if hidden := len(self._hidden & self.by_number.keys()):
            notes.append(f"Rows that a filter hides are imported, too: {hidden:,}.")
        if self.formulas:  # programs that can't calculate write workbooks so
            saved = "Open the file in Excel or LibreOffice, and save it there."
            notes.append(f"Formulas without a value in the file: {self.formulas:,}. {saved}")
        return notes


def read_workbook(content: bytes) -> dict[str, tuple[list[Row], str, list[str]]]:
    """Return what `Workbook.rows` returns for each visible sheet that has a row below its titles."""
    try:
        book = Workbook(content)
        sheets = {name: book.rows(name) for name in book.sheets}
    except FileError:
        raise
    # All kinds of errors: for a password, an unknown compression, a missing part, text that is no XML.
    except Exception as error:
        raise FileError("The file can't be read as XLSX. Save it again, or as “CSV UTF-8”.") from error
    return {name: read for name, read in sheets.items() if read[1] or len(read[0]) > 1}


def escape_characters(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", text)


def unescaped(text: str) -> str:
    """Return the text before `escape_characters`; PostgreSQL can store neither _x0000_ nor half of a character."""
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse_doctype(*args: Any) -> None:
    # Office programs write none (ECMA-376, part 2). Its entities could make a file a hundred times as long.
    raise FileError("The workbook has a DOCTYPE, which no spreadsheet program writes. Save it again.")


def _part_key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


# What a cell shows: its number by its number format (ECMA-376, part 1, 18.8.31). A date is 2026-11-20 in any format,
# because 1/2/26 would say something else elsewhere.

DATES = [*range(14, 18), 22, *range(27, 32), 36, *range(50, 59)]
TIMES = [*range(18, 22), *range(32, 36), *range(45, 48)]
BUILT_IN = dict.fromkeys(DATES, "yyyy-mm-dd") | dict.fromkeys(TIMES, "hh:mm") | {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%",
    37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00",
}  # fmt: skip

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|[_*].|\[\$(?P<currency>[^\]-]*)[^\]]*\]|\[(?P<elapsed>[hms]+)\]'
    r"|\[<=(?P<limit>[0-9]+)\]|(?P<other>\[[<>=]|general|e[+-]|/|@)|\[[^\]]*\]|(?P<date>am/pm|a/p|[ymdhs])"
    r"|(?P<digits>[0#?][0#?,]*)|(?P<sign>[.;%])|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)

Token = tuple[str, str]  # a group of _TOKEN, "literal" for the texts among them; and its text


def shown_number(text: str, code: str, *, counts_from_1904: bool) -> str:
    """Return what a cell with this number and format shows; a format that isn't known shows the plain number."""
    if text.isdecimal() and len(text) < 16 and code in ("", "0", "General"):
        return text
    try:
        number = float(text)
        sections = _sections(code)
        section = sections[0]
        if any(kind == "limit" and number > float(limit) for kind, limit in section):
            section = sections[1]
        elif number < 0 and len(sections) > 1:
            section = sections[1]
            number = -number
        elif number == 0 and len(sections) > 2:
            section = sections[2]
        kinds = {kind for kind, _ in section}
        if kinds & {"date", "elapsed"}:
            return _shown_date(number, section, counts_from_1904)
        if "other" in kinds or not kinds & {"digits", "literal"}:
            return plain_number(text)
        return _shown_digits(number, section)
    except (ValueError, ArithmeticError, IndexError):  # no number, no date, or no section
        return plain_number(text)


def plain_number(text: str) -> str:
    """Return the number as Excel rounds it, to 15 digits, but never as 4.9E+12, because it may be a phone number."""
    try:
        number = Decimal(text)
        if not number.is_finite() or abs(number.adjusted()) > 30:
            return text
        rounded = number if number == number.to_integral_value() else Decimal(f"{float(text):.15g}")
    except (ValueError, ArithmeticError):
        return text
    digits = f"{rounded:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@lru_cache(maxsize=1_000)
def _sections(code: str) -> list[list[Token]]:
    """Return a format's sections: for positive numbers, negative ones, and nothing."""
    sections: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup or ""
        if kind == "sign" and match[0] == ";":
            sections.append([])
        elif kind in ("quoted", "escaped", "currency", "plain"):
            sections[-1].append(("literal", match[kind]))
        elif kind:
            sections[-1].append((kind, match[kind].lower()))
    return sections


def _shown_date(number: float, section: list[Token], counts_from_1904: bool) -> str:
    seconds = round(number * 86_400)
    if not 0 <= number < 2_958_466:
        raise ValueError("no date")
    if any(kind == "elapsed" for kind, _ in section):
        return f"{seconds // 3_600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}".removesuffix(":00")
    # Excel counts a 29 February 1900.
    day_zero = datetime(1899, 12, 31 if number < 60 else 30, tzinfo=UTC)
    if counts_from_1904:
        day_zero = datetime(1904, 1, 1, tzinfo=UTC)
    moment = day_zero + timedelta(seconds=seconds)
    letters = {text for kind, text in section if kind == "date"}
    time = f"{moment:%H:%M:%S}".removesuffix(":00")
    if letters & {"h", "s"} and not letters & {"y", "d"}:
        return time
    return f"{moment:%Y-%m-%d} {time}".removesuffix(" 00:00")


def _shown_digits(number: float, section: list[Token]) -> str:
    texts = ["" if kind == "limit" else text for kind, text in section]
    point = texts.index(".") if ("sign", ".") in section else len(section)
    places = [place for place, (kind, _) in enumerate(section) if kind == "digits"]
    whole = [place for place in places if place < point]
    # A comma behind the digits divides by a thousand, one between them separates thousands.
    thousands = sum(len(texts[place]) - len(texts[place].rstrip(",")) for place in places)
    masks = [texts[place].rstrip(",") for place in whole]
    decimals = "".join(texts[place].replace(",", "") for place in places if place > point)
    value = Decimal(repr(abs(number))).scaleb(2 * section.count(("sign", "%")) - 3 * thousands)
    rounded = value.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    digits, _, fraction = f"{rounded:f}".partition(".")
    # From the first 0 on, each place shows a digit, and up to the last one behind the point: “0###” is as “0000”.
    digits = digits.lstrip("0").rjust(len("".join(masks).replace(",", "").lstrip("#?")), "0")
    if any("," in mask for mask in masks):
        digits = f"{int(digits or 0):,}"
    while len(fraction) > len(decimals.rstrip("#?")) and fraction.endswith("0"):
        fraction = fraction[:-1]
    # The digits go into their places from the right; the first place takes all that are left.
    for place, mask in reversed(list(zip(whole, masks, strict=True))):
        size = len(digits) if place == whole[0] else len(mask)
        texts[place] = digits[max(0, len(digits) - size) :]
        digits = digits[: max(0, len(digits) - size)]
    for place in places:
        if place > point:
            texts[place] = fraction
            fraction = ""
    if point < len(texts) and not any(texts[place] for place in places if place > point):
        texts[point] = ""
    shown = "".join(texts)
    return f"-{shown}" if number < 0 and rounded else shown
