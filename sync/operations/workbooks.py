"""Reads XLSX workbooks (ECMA-376): of each sheet the rows, each cell as the text that it shows.

A stream of tags, of which only the cells are kept, so that a hostile file takes neither memory nor minutes. openpyxl
would also build styles and properties, which nobody needs here, and refuses workbooks in which those are unusual.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Callable
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
# Bytes of a workbook's parts once unpacked, signs that begin its tags and attributes, and escapes in its texts.
MAX_UNPACKED = 50_000_000
MAX_MARKS = 2_000_000
MAX_ESCAPES = 500_000
MAX_DEPTH = 100
MAX_TEXT = 10_000_000
MAX_CELLS = 400_000
MAX_MERGED = 10_000
MAX_SHEETS = 1_000
# Excel's own limits; a larger number of a row is made up, and the rows before it would be filled in.
MAX_SHEET_ROWS = 1_048_576
MAX_FORMAT = 255
MAX_FORMATS = 1_000
# Characters of the formats by which all cells are shown.
MAX_FORMATTING = 1_000_000
MAX_STYLES = 64_000
MAX_CELL = 32_767

_CHUNK = 65_536
_PLACE = re.compile("([A-Z]{1,3})([0-9]{1,7})")
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")

Row = tuple[int | str, list[str]]  # its number in the sheet, and its cells
Start = Callable[[str, dict[str, str]], None]


class FileError(ValueError):
    """The file can't be read or written; the text tells the person why."""


TOO_LARGE: Final = "The workbook is too large once unpacked. Copy the rows into a new file, or split it."
TOO_MANY_ROWS: Final = f"A file may have {MAX_ROWS:,} rows below its titles; this one has more. Split it."


class Workbook:
    """A workbook's visible sheets, of which `rows` reads one."""

    def __init__(self, content: bytes) -> None:
        self._packed = zipfile.ZipFile(io.BytesIO(content))
        if sum(part.file_size for part in self._packed.infolist()) > MAX_UNPACKED:
            raise FileError(TOO_LARGE)
        for part in self._packed.infolist():
            self._packed.open(part).close()  # raises for a password, or an unknown compression
        self._unpacked = 0
        self._marks = 0
        self._escapes = 0
        self._length = 0  # of the texts in all cells
        # Some programs write other cases and separators into names than into references to them.
        self._parts = {_part_key(name): name for name in self._packed.namelist()}
        [book] = [target for kind, target in self._references("").values() if kind == "officeDocument"]
        self._counts_from_1904 = False
        sheets: list[tuple[str, str]] = []

        def read_book(tag: str, attributes: dict[str, str]) -> None:
            if tag == "workbookPr":
                self._counts_from_1904 = attributes.get("date1904") in ("1", "true")
            elif tag == "sheet" and attributes.get("state", "visible") == "visible":
                link = next(value for name, value in attributes.items() if name.rpartition(":")[2] == "id")
                sheets.append((attributes["name"], link))
                if len(sheets) > MAX_SHEETS:
                    raise FileError(TOO_LARGE)

        self._read(book, read_book)
        references = self._references(book)
        by_kind = dict(references.values())
        self.sheets = {name: references[link][1] for name, link in sheets if references[link][0] == "worksheet"}
        self._formats = self._read_formats(by_kind.get("styles", ""))
        self._texts = self._read_texts(by_kind.get("sharedStrings", ""))

    def rows(self, sheet: str) -> tuple[list[Row], str, list[str]]:
        """Return a sheet's rows; why it can't be imported, then only the first ones; what else a person should know."""
        reader = _SheetReader(self._texts, self._formats, self._length, counts_from_1904=self._counts_from_1904)
        try:
            self._read(self.sheets[sheet], reader.start, reader.end, reader.data)
        except FileError as error:
            return reader.filled_rows()[:SAMPLE_ROWS], str(error), []
        self._length = reader.total
        return reader.filled_rows(), "", reader.notes()

    def _check(self, part: str) -> None:
        """Raise FileError if reading a part would take much memory or time."""
        since_tag = 0
        with self._packed.open(part) as stream:
            while chunk := stream.read(_CHUNK):
                text = chunk.replace(b"\0", b"")  # UTF-16 has a NUL beside each letter of a tag
                tags = text.count(b"<")
                self._unpacked += len(chunk)  # many sheets may be one part
                self._marks += tags + text.count(b"=")
                self._escapes += text.count(b"_x")
                since_tag = 0 if tags else since_tag + len(text)  # a tag or comment without end is read again and again
                is_costly = self._marks > MAX_MARKS or self._escapes > MAX_ESCAPES or since_tag > 8 * MAX_CELL
                if is_costly or self._unpacked > MAX_UNPACKED:
                    raise FileError(TOO_LARGE)

    def _references(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the kind and the target of each relation of a part."""
        folder, name = posixpath.split(part)
        references: dict[str, tuple[str, str]] = {}

        def read(tag: str, attributes: dict[str, str]) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = attributes["Target"].replace("\\", "/")
                path = posixpath.normpath(posixpath.join("/" + folder, target)).lstrip("/")
                references[attributes["Id"]] = (attributes["Type"].rpartition("/")[2], path)

        self._read(posixpath.join(folder, "_rels", f"{name}.rels"), read)
        return references

    def _read_formats(self, part: str) -> list[str]:
        """Return the number format of each cell style."""
        codes = {str(number): code for number, code in BUILT_IN.items()}
        styles: list[str] = []
        inside = [""]

        def read(tag: str, attributes: dict[str, str]) -> None:
            if tag == "numFmt" and "numFmtId" in attributes:
                codes[attributes["numFmtId"]] = attributes.get("formatCode", "")
                if len(attributes.get("formatCode", "")) > MAX_FORMAT or len(codes) > MAX_FORMATS:
                    raise FileError(
                        f"The workbook has more than {MAX_FORMATS:,} number formats, or one that is too long."
                    )
            elif tag in ("cellXfs", "cellStyleXfs", "dxfs"):
                inside[0] = tag
            elif tag == "xf" and inside[0] == "cellXfs":
                styles.append(attributes.get("numFmtId", ""))
                if len(styles) > MAX_STYLES:
                    raise FileError(
                        f"The workbook has more than {MAX_STYLES:,} cell styles. Copy the rows into a new file."
                    )

        if _part_key(part) in self._parts:
            self._read(part, read)
        return [codes.get(number, "") for number in styles]

    def _read_texts(self, part: str) -> list[str]:
        texts: list[str] = []
        pieces: list[str] = []
        tags: list[str] = []
        length = 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            tags.append(tag)

        def end(tag: str) -> None:
            tags.pop()
            if tag == "si":
                texts.append(unescaped("".join(pieces)))
                pieces.clear()

        def data(text: str) -> None:
            nonlocal length
            if tags[-1] == "t" and "rPh" not in tags:  # how Japanese is pronounced
                length += len(text)
                pieces.append(text)
                if length > MAX_TEXT:
                    raise FileError(TOO_LARGE)

        if _part_key(part) in self._parts:
            self._read(part, start, end, data)
        return texts

    def _read(
        self,
        part: str,
        start: Start,
        end: Callable[[str], None] | None = None,
        data: Callable[[str], None] | None = None,
    ) -> None:
        name = self._parts[_part_key(part)]
        self._check(name)
        parser = expat.ParserCreate()
        parser.buffer_text = True
        depth = 0

        def start_tag(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > MAX_DEPTH:
                raise FileError("The workbook has tags within tags without end. Copy the rows into a new file.")
            start(tag.rpartition(":")[2] if ":" in tag else tag, attributes)

        def end_tag(tag: str) -> None:
            nonlocal depth
            depth -= 1
            if end is not None:
                end(tag.rpartition(":")[2] if ":" in tag else tag)

        parser.StartElementHandler = start_tag
        parser.EndElementHandler = end_tag
        parser.CharacterDataHandler = data
        parser.StartDoctypeDeclHandler = _refuse_doctype
        with self._packed.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)


class _SheetReader:
    """Collects the rows of a sheet that aren't empty."""

    def __init__(self, texts: list[str], formats: list[str], total: int, *, counts_from_1904: bool) -> None:
        self._texts = texts
        self._formats = formats
        self._counts_from_1904 = counts_from_1904
        self._rows: dict[int, list[str]] = {}
        self._merged: list[tuple[int, int, int]] = []  # the column, the first and the last row
        self._hidden: set[int] = set()  # the numbers of rows
        self._formulas = 0  # whose value isn't in the file
        self._row = 0
        self._column = 0
        self._cells = 0
        self._cell: dict[str, str] = {}
        self._text: list[str] = []
        self._has_formula = False
        self._length = 0
        self.total = total  # characters in the cells of this sheet and those before it
        self._formatting = 0
        self._tag = ""
        self._within = ""  # a tag whose texts don't count

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._tag = tag
        if tag == "c":
            self._start_cell(attributes)
        elif tag == "row":
            number = attributes.get("r", "")
            self._row = max(self._row + 1, int(number)) if number.isdecimal() else self._row + 1
            self._column = 0
            if attributes.get("hidden") in ("1", "true"):
                self._hidden.add(self._row)
        elif tag == "f":
            self._has_formula = True
        elif tag == "rPh":
            self._within = tag
        elif tag == "mergeCell":
            self._add_merged(attributes.get("ref", ""))

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._cell = attributes
        self._text = []
        self._has_formula = False
        self._length = 0
        self._column += 1
        if match := _PLACE.fullmatch(attributes.get("r", "")):
            self._column = _column_number(match[1])
        self._cells += 1
        if self._cells > MAX_CELLS:
            raise FileError(TOO_LARGE)

    def data(self, text: str) -> None:
        if self._tag in ("v", "t") and not self._within:
            self._length += len(text)
            if self._length > 7 * MAX_CELL:  # an escape is seven characters for one
                raise FileError(f"Row {self._row:,} has a text that is too long for a cell. Use CSV.")
            self._text.append(text)

    def end(self, tag: str) -> None:
        self._tag = ""
        if tag == self._within:
            self._within = ""
        elif tag == "c" and self._has_formula and not self._text and self._cell.get("t") != "str":
            self._formulas += 1
        elif tag == "c" and self._text and self._column <= MAX_COLUMNS + 1 and self._row <= MAX_SHEET_ROWS:
            self._add_cell(self._shown())

    def _add_cell(self, text: str) -> None:
        if not text.strip():
            return
        self.total += len(text)
        if self.total > MAX_TEXT:
            raise FileError(TOO_LARGE)
        cells = self._rows.setdefault(self._row, [])
        if len(self._rows) > MAX_ROWS + SAMPLE_ROWS:
            raise FileError(TOO_MANY_ROWS)
        cells.extend([""] * (self._column - len(cells)))
        cells[self._column - 1] = text

    def _shown(self) -> str:
        text = "".join(self._text)
        kind = self._cell.get("t", "n")
        if kind == "s":
            return self._texts[int(text)]
        if kind == "b":
            return "TRUE" if text.strip() == "1" else "FALSE"
        if kind == "d":
            return text.removesuffix("Z").removesuffix("T00:00:00")
        if kind == "n":
            style = int(self._cell.get("s", "0"))
            code = self._formats[style] if style < len(self._formats) else ""
            self._formatting += len(code)
            if self._formatting > MAX_FORMATTING:
                raise FileError(TOO_LARGE)
            return shown_number(text.strip(), code, counts_from_1904=self._counts_from_1904)
        return unescaped(text)

    def _add_merged(self, reference: str) -> None:
        first, _, last = reference.partition(":")
        corners = [_PLACE.fullmatch(corner) for corner in (first, last)]
        if corners[0] and corners[1] and len(self._merged) < MAX_MERGED:
            column = _column_number(corners[0][1])
            self._merged.append((column, int(corners[0][2]), int(corners[1][2])))

    def notes(self) -> list[str]:
        notes = []
        if hidden := len(self._hidden & self._rows.keys()):
            notes.append(f"Rows that a filter hides are imported, too: {hidden:,}.")
        if self._formulas:  # programs that can't calculate write workbooks so
            saved = "Open the file in Excel or LibreOffice, and save it there."
            notes.append(f"Formulas without a value in the file: {self._formulas:,}. {saved}")
        return notes

    def filled_rows(self) -> list[Row]:
        """Return the rows, in which a merged cell counts for all that it covers in its first column."""
        filled = 0
        for column, first, last in self._merged:
            text = (self._rows.get(first) or [""])[column - 1 : column]
            if not text or not text[0]:
                continue
            for number in range(first + 1, min(last, self._row) + 1):
                filled += 1
                if filled > MAX_CELLS:
                    raise FileError(TOO_LARGE)
                if cells := self._rows.get(number):
                    cells.extend([""] * (column - len(cells)))
                    cells[column - 1] = cells[column - 1] or text[0]
        return sorted(self._rows.items())


def unescaped(text: str) -> str:
    """Return the text without Excel's escapes of characters that XML can't hold, as _x0000_.

    PostgreSQL can't store that character, nor half of one.
    """
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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


# What a cell shows: its number as its number format writes it (ECMA-376, part 1, 18.8.31).

# What a date's cell shows in these formats depends on the computer.
ISO_DATE = "yyyy-mm-dd"
BUILT_IN = dict.fromkeys([14, *range(27, 32), 36, *range(50, 59)], ISO_DATE) | {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
    18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "hh:mm", 21: "hh:mm:ss", 22: f"{ISO_DATE} hh:mm", 32: "hh:mm",
    33: "hh:mm:ss", 34: "hh:mm", 35: "hh:mm:ss", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00",
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<skipped>[_*].)|\[(?P<bracket>[^\[\]]*)\]|(?P<other>general|e[+-]|/|@)'
    r"|(?P<half>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<digit>[0#?])|(?P<sign>[,.%;])|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda number, limit: number < limit,
    ">": lambda number, limit: number > limit,
    "=": lambda number, limit: number == limit,
    "<=": lambda number, limit: number <= limit,
    ">=": lambda number, limit: number >= limit,
    "<>": lambda number, limit: number != limit,
}

MAX_TOKENS = 60

Token = tuple[str, str]  # what it is: a group of _TOKEN, "literal", "elapsed" or "condition"; and its text


def shown_number(text: str, code: str, *, counts_from_1904: bool) -> str:
    """Return what a cell with this number and format shows; a format that isn't known shows the plain number."""
    if text.isdecimal() and len(text) < 16 and code in ("", "0", "General"):
        return text
    try:
        number = float(text)
        section, is_for_negatives = _section_for(number, _sections(code))
        kinds = {kind for kind, _ in section}
        if kinds & {"date", "elapsed"}:
            return _shown_date(number, section, counts_from_1904)
        if "other" in kinds or not kinds & {"digit", "literal"}:
            return plain_number(text)
        return _shown_digits(-number if is_for_negatives else number, section)
    except (ValueError, ArithmeticError):  # no number, or no date
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
    sections: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = str(match.lastgroup)
        text = match[kind]
        if kind == "bracket":
            if text.startswith("$"):  # a currency and a language: [$€-407]
                kind = "quoted"
                text = text[1:].partition("-")[0]
            elif set(text.lower()) in ({"h"}, {"m"}, {"s"}):
                kind = "elapsed"
            elif _CONDITION.match(text):
                kind = "condition"
            else:
                continue  # a colour
        section = sections[-1]
        if kind in ("quoted", "escaped", "plain"):
            before = section.pop()[1] if section and section[-1][0] == "literal" else ""
            section.append(("literal", before + text))
        elif text == ";" and kind == "sign":
            sections.append([])
        elif kind != "skipped":
            section.append((kind, text.lower() if kind in ("date", "elapsed") else text))
    # Thousands of cells with a format that no program writes would take seconds.
    return sections if max(map(len, sections)) <= MAX_TOKENS else [[("other", "")]]


def _section_for(number: float, sections: list[list[Token]]) -> tuple[list[Token], bool]:
    """Return the section of a format that writes this number, and whether it writes it without its minus."""
    for section in sections:
        condition = next((text for kind, text in section if kind == "condition"), "")
        if condition:
            sign, limit = _CONDITION.match(condition).groups()  # type: ignore[union-attr]
            if _COMPARE[sign](number, float(limit)):
                return section, False
    if any(kind == "condition" for kind, _ in sections[0]):
        return sections[min(1, len(sections) - 1)], False
    if number < 0 and len(sections) > 1:
        return sections[1], True
    if number == 0 and len(sections) > 2:
        return sections[2], False
    return sections[0], False


def _shown_date(number: float, section: list[Token], counts_from_1904: bool) -> str:
    seconds = round(number * 86_400)
    if number < 0 or number >= 2_958_466:
        raise ValueError("no date")
    # Excel counts a 29 February 1900.
    day_zero = datetime(1899, 12, 31 if number < 60 else 30, tzinfo=UTC)
    if counts_from_1904:
        day_zero = datetime(1904, 1, 1, tzinfo=UTC)
    moment = day_zero + timedelta(seconds=seconds)
    letters = [text for kind, text in section if kind == "date"]
    if any(text.startswith(("mmm", "ddd")) for text in letters):  # words of some language
        return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
    hour = (moment.hour - 1) % 12 + 1 if any(kind == "half" for kind, _ in section) else moment.hour
    shown = []
    before = ""
    for place, (kind, text) in enumerate(section):
        if kind == "elapsed":
            elapsed = seconds // {"h": 3_600, "m": 60, "s": 1}[text[0]]
            shown.append(f"{elapsed:0{len(text)}d}")
        elif kind == "half":
            shown.append("AM" if moment.hour < 12 else "PM")
        elif kind == "date":
            after = next((other for later, other in section[place + 1 :] if later == "date"), "")
            is_minute = text[0] == "m" and (before.startswith("h") or after.startswith("s"))
            values = {"y": moment.year, "m": moment.month, "d": moment.day, "h": hour, "s": moment.second}
            value = moment.minute if is_minute else values[text[0]]
            if text[0] == "y":
                shown.append(f"{value:04d}" if len(text) > 2 else f"{value % 100:02d}")
            else:
                shown.append(f"{value:0{min(2, len(text.partition('.')[0]))}d}")
        elif kind != "condition":
            shown.append(text)
        if kind in ("date", "elapsed"):
            before = text
    return "".join(shown)


def _shown_digits(number: float, section: list[Token]) -> str:
    places = [place for place, (kind, _) in enumerate(section) if kind == "digit"]
    texts = [text for _, text in section]
    point = next((place for place, token in enumerate(section) if token == ("sign", ".")), len(section))
    whole = [place for place in places if place < point]
    decimals = [place for place in places if place > point]
    commas = [place for place, token in enumerate(section) if token == ("sign", ",")]
    last_place = max(places, default=-1)
    value = Decimal(repr(abs(number))).scaleb(2 * section.count(("sign", "%")))
    # A comma behind the digits divides by a thousand, one between them separates thousands.
    value = value.scaleb(-3 * sum(place > (whole or [last_place])[-1] for place in commas))
    separates = any(whole and whole[0] < place < whole[-1] for place in commas)
    rounded = value.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    digits, _, fraction = f"{rounded:f}".partition(".")
    rest = list(digits.lstrip("0"))
    written = 0
    shown = ""
    for place in reversed(range(point)):
        kind, text = section[place]
        if kind == "sign":
            shown = text + shown if text == "%" else shown
        elif kind != "digit":
            shown = shown if kind == "condition" else text + shown
        else:
            taken = [rest.pop() if rest else {"0": "0", "?": " ", "#": ""}[text]]
            if place == whole[0]:
                taken += reversed(rest)
            for digit in filter(None, taken):
                shown = digit + ("," if separates and written and written % 3 == 0 else "") + shown
                written += 1
    needed = sum(texts[place] == "0" for place in decimals)
    while len(fraction) > needed and fraction.endswith("0"):
        fraction = fraction[:-1]
    if decimals:
        shown += f".{fraction}" if fraction else ""
        point = decimals[-1]
    shown += "".join(text for kind, text in section[point + 1 :] if kind not in ("digit", "condition") and text != ",")
    return f"-{shown}" if number < 0 and rounded else shown
