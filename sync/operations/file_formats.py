"""CSV and XLSX files of records: limited in size, without formulas, in the dialects of other programs."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import tablib
from import_export.formats import base_formats

from sync.kernel import grouped, humanize
from sync.monday.text_forms import drop_invisible, fold_title, unix_lines
from sync.operations.workbooks import (
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_SHEET_ROWS,
    SAMPLE_ROWS,
    TOO_MANY_ROWS,
    FileError,
    Row,
    escape_characters,
    read_workbook,
)

# A file is read, checked and previewed within one request.
MAX_BYTES = 10_000_000
# Spreadsheets write empty cells up to the last one that was ever used.
MAX_ROW_CELLS = 1_000

MAX_TITLE = 1_000
# What all sheets' cells that may be titles may take: each its length and a fixed part.
MAX_TITLE_SEARCH = 500_000
TITLE_SEARCH_OF_CELL = 40

# Columns that are added on reading: the row's number in the spreadsheet, and the cells to the right of the titles.
ROW_NUMBER = "row number"
SURPLUS = "cells without a title"

# What a row of sums begins with, as `fold_title` makes it.
SUMS = {
    "total", "totals", "subtotal", "subtotals", "grandtotal", "sum", "summe", "summen", "zwischensumme", "teilsumme",
    "teilergebnis", "endsumme", "gesamt", "gesamtsumme", "gesamtergebnis", "zwischenergebnis", "somme", "soustotal",
    "totalgeneral", "suma", "totale", "subtotale", "totaal", "subtotaal", "eindtotaal", "count", "anzahl",
}  # fmt: skip
# A company may be called so: the row is a sum if numbers stand in columns that aren't imported, and only there.
NAMES_TOO = {"total", "sum", "count"}
# A phone number beside a name is no sum.
_DIALLED = re.compile(r"[+(]|0\d")
# What reports and prints write between and below their rows, alone in a row.
_ROWS = "(records?|rows?|entr(y|ies)|contacts?|datens(a|ä)tze?|einträge?|zeilen?|kontakte?)"
_REPORT_LINE = re.compile(
    r"(page|seite|página|pagina|strona|sida) \d+( ?(of|von|de|sur|di|van|z|av|/) ?\d+)?"
    r"|\W*(printed|generated|exported|created|gedruckt|erstellt|exportiert) (on|by|at|am|von):? .+"
    rf"|\d+ {_ROWS}|(total |number of )*{_ROWS}: *\d+|\W*(end of report|berichtsende)\W*"
    r"|confidential information.*|(copyright|©|\(c\)) .*\d{4}.*",
    re.IGNORECASE,
)
# In the export of a Monday board, items' subitems stand below them, with titles of their own.
SUBITEM_TITLES = ["subitems", "name"]
NUMBERED = 50  # so many of these rows are named in a note

# By so many characters a file's text may grow when its cells are compared, in which “ﷺ” counts for 18.
MAX_LONGER = 1_000_000

# What Western programs write: Windows, Macs, and Excel's “CSV (MS-DOS)”.
LIKELY = ("cp1252", "mac_roman", "cp850")
WINDOWS_MARKS = {byte for byte in range(0x80, 0xA1) if not bytes([byte]).decode("cp1252", "replace").isalpha()}
CHANCE_LETTERS = 2  # so few may stand where words have them by chance

ENCODINGS = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16 (big-endian)",
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
CERTAIN = ("utf-8-sig", "utf-16", "utf-16-be")
# A letter beyond ASCII. Alone among ASCII, such bytes make no word in another encoding.
_UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LONE_UTF8_LETTER = re.compile(rb"(?<![\x80-\xff])(?:" + _UTF8_LETTER.pattern + rb")(?![\x80-\xff])")
ASCII = bytes(range(128))

# How files begin that have no table, though they may be named so.
NO_TABLES = {
    bytes.fromhex("d0cf11e0"): "an XLS workbook, or has a password",
    b"<": "a web page or XML",
    b"{\\RTF": "an RTF document",
    b"{": "JSON",
    b"[{": "JSON",
    b"%PDF": "a PDF",
    b"BEGIN:VCARD": "vCards",
}
BEFORE_TEXT = codecs.BOM_UTF8 + codecs.BOM_UTF16

SEPARATORS = ",;\t|"
SAMPLE_LENGTH = 100_000


# Writing puts an apostrophe before a text that a spreadsheet would take for a formula; Japanese Excel also takes wide
# signs for one. Texts that begin with apostrophes or blanks before such a sign get an apostrophe, too, so that reading
# removes just the one that writing has added. The library's own escape would drop an equals sign for good.
_FORMULA = re.compile("['\\s\u00a0\u200b\ufeff]*[=+\\-@\t\r\n＝＋－＠]")


# Programs write codes as ="01067", so that a spreadsheet keeps their zeros.
_CODE = re.compile('="(.*)"', re.DOTALL)
# People write '01067.
_TYPED_CODE = re.compile("'+[0-9]+")


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) or _TYPED_CODE.fullmatch(text) else text


def unescape_formula(text: str) -> str:
    if not text.startswith(("=", "'")):
        return text
    if code := _CODE.fullmatch(text):
        return code[1].replace('""', '"')
    is_escaped = text.startswith("'") and _FORMULA.match(text[1:])
    return text[1:] if is_escaped or _TYPED_CODE.fullmatch(text) else text


# A BOM where files were put together, and what copying from a page takes along.
OUTER_INVISIBLE = "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"


def plain_text(text: str) -> str:
    """Return a text with \\n as its line ends, without outer blanks; an empty one if nobody sees anything in it."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = unix_lines(text).strip().strip(OUTER_INVISIBLE).strip()
    return text if drop_invisible(text).strip() else ""


class CSV(base_formats.CSV):  # type: ignore[misc]  # import_export has no types
    def export_data(self, dataset: Any, separator: str = ",", **kwargs: Any) -> str:
        titles, *rows = ([escape_formula(cell) for cell in row] for row in (dataset.headers, *dataset))
        # Quoted, because German Excel separates by semicolons, so one in a name would begin a cell.
        text = super().export_data(tablib.Dataset(*rows, headers=titles), quoting=csv.QUOTE_ALL, delimiter=separator)
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
            # Its own writes _x0041_x0042_ so that it reads _x0041B, and takes <r> for the pieces of a rich text.
            sheet._escape_control_characters = escape_characters
            sheet.set_column(0, len(dataset.headers) - 1, 22)
            sheet.freeze_panes(1, 0)
            for number, row in enumerate((dataset.headers, *dataset)):
                for column, cell in enumerate(row):
                    # It returns non-zero if the text is too long.
                    if cell and sheet.write_string(number, column, cell):
                        raise FileError(f"Row {number + 1} has a text that is too long for a cell of Excel. Use CSV.")
        return out.getvalue()


def read_file(
    content: bytes, encoding: str = "", sheet: str = "", count_known: Callable[[Sequence[str]], int] = bool
) -> tuple[Any, list[str], list[str]]:
    """Return a file's rows, notes about how it was read where that isn't certain, and the names of its sheets.

    Without an encoding or a sheet the most likely ones are read. `count_known` returns how many of a row's cells are
    known titles.
    """
    # In UTF-16, too: a BOM is no letter of a beginning, and every other byte is a NUL.
    start = re.sub(rb"[\0\s]", b"", content[:SAMPLE_LENGTH]).lstrip(BEFORE_TEXT).upper()
    for beginning, kind in NO_TABLES.items():
        if start.startswith(beginning):
            raise FileError(f"The file is {kind}. Save it as XLSX without a password, or as “CSV UTF-8”.")
    if not content.startswith(b"PK\x03\x04"):  # no workbook
        encoding = encoding or likely_encoding(content)
        text = _decode(content, encoding)
        # Excel's own first line names the separator.
        hint = re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text, re.IGNORECASE)
        text = text[hint.end() :] if hint else text
        separator = hint[1] if hint else _separator(text, count_known)
        rows, notes = _table(_csv_rows(text, separator), count_known, separator)
        if encoding not in CERTAIN:
            notes.append(f"Read as {ENCODINGS[encoding]}.")
        if encoding in LIKELY and (letter := _LONE_UTF8_LETTER.search(content)):
            line = _line_of(content, letter.start())
            notes.append(
                f"Line {line:,} is written in UTF-8, unlike others: correct its letters in NPD or in the file."
            )
        dataset = _dataset(rows, encoding)
        # For the file of refused rows: German Excel knows semicolons alone.
        dataset.separator = separator if separator in SEPARATORS else SEPARATORS[0]
        return dataset, notes, []
    read = read_workbook(content)
    count_known = _with_limit(count_known)
    tables = {name: _table(rows, count_known) for name, (rows, problem, _) in read.items() if not problem}
    for rows, problem, _ in read.values():
        # One with other titles, such as a log, isn't what the person wants to import.
        if problem and not (tables and not any(count_known(cells) for _, cells in rows)):
            raise FileError(problem)
    chosen = [sheet] if sheet in tables else _likely_sheets(tables, count_known)
    if not chosen:
        raise FileError(
            "No sheet has rows below titles. Hidden sheets are not read, nor formulas whose values aren't in the file: "
            "show the sheet, and save the file in Excel or LibreOffice."
        )
    others = [name for name in read if name not in chosen]
    notes = [f"Sheets that are imported together: {humanize.listed(chosen)}."] if len(chosen) > 1 else []
    notes += [f"Sheets that are not imported: {humanize.listed(others)}."] if others else []
    all_rows: list[Row] = []
    for name in chosen:
        table, notes_of_table = tables[name]
        all_rows += [(f"{number} of “{name}”", cells) for number, cells in table[1:]] if all_rows else table
        notes += [*notes_of_table, *read[name][2]]
    return _dataset(all_rows), notes, list(tables)


def _with_limit(count_known: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str]], int]:
    """Return this function, which raises FileError once looking for titles in all sheets would take seconds."""
    taken = 0

    def count(cells: Sequence[str]) -> int:
        nonlocal taken
        # An address is looked at no further, and a number has no words.
        # Addresses and numbers are looked at no further.
        texts = (cell for cell in cells if "@" not in cell and _has_letter(cell))
        taken += sum(min(len(text), MAX_TITLE) + TITLE_SEARCH_OF_CELL for text in texts)
        if taken > MAX_TITLE_SEARCH:
            raise FileError(
                "The workbook has too many sheets with long texts where titles may stand. Copy the sheet with the "
                "records into a new file."
            )
        return count_known(cells)

    return count


def _likely_sheets(tables: Mapping[str, Any], count_known: Callable[[Sequence[str]], int]) -> list[str]:
    """Return the sheets with the most cells below titles that are known, so none that sums them up."""

    def fitness(names: Sequence[str]) -> int:
        return count_known(tables[names[0]][0][0][1]) * sum(len(tables[name][0]) for name in names)

    # Without empty titles at the end, which a sheet has if something once stood beside its table.
    layouts = grouped(tables, lambda name: ",".join(map(fold_title, tables[name][0][0][1])).rstrip(","))
    return max(layouts.values(), key=fitness, default=[])


def _table(
    rows: Iterable[Row], count_known: Callable[[Sequence[str]], int], separator: str = ","
) -> tuple[list[Row], list[str]]:
    """Return a file's titles with the rows below them, and a note about rows around this table.

    Reports have headings above it, and sums or a copyright below. In prints, and where files were put together, the
    titles are repeated with what stands above them, such as a page's number or the name of a group on Monday.
    """
    filled = _unwrapped(list(_filled_rows(rows)), count_known, separator)

    def likeness(place: int) -> tuple[int, int]:
        known = count_known(filled[place][1])
        # Of titles in two rows, those above have fewer cells.
        return (known, sum(map(bool, filled[place][1])) if known else 0)

    # The last row has no rows below it.
    first = max(range(min(len(filled) - 1, SAMPLE_ROWS)), key=likeness, default=0)
    above = filled[:first]
    around: list[Any] = [number for number, _ in above]
    table = filled[first : first + 1]
    titles = [fold_title(cell) for _, cells in table for cell in cells]
    keys = {place for _, cells in table for place, cell in enumerate(cells) if count_known([cell])}
    for number, cells in filled[first + 1 :]:
        if not _repeats_titles(cells, titles, keys):
            table.append((number, cells))
            continue
        headings = takewhile(_is_repeated, zip(reversed(table[1:]), reversed(above), strict=False))
        start = len(table) - len(list(headings))
        around += [number for number, _ in table[start:]]
        around.append(number)
        del table[start:]
    # In a list of names each row stands alone, and a company may be called “33 Records”.
    if len(list(filter(None, titles))) > 1:
        end = _end_of(table)
        no_records = {*_report_lines(table[:end], count_known), *(number for number, _ in table[end:])}
        around += no_records
        table = [row for row in table if row[0] not in no_records]
    numbers = ", ".join(map(str, sorted(around)[:NUMBERED]))
    more = f" and {len(around) - NUMBERED:,} more" if len(around) > NUMBERED else ""
    return table, [f"Rows without a record (titles, sums, headings), not imported: {numbers}{more}."] if around else []


def _filled_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that aren't empty, with plain texts in their cells."""
    count = 0
    longer = 0
    for number, cells in rows:
        row = [plain_text(cell) for cell in cells]
        for cell in row:
            longer += 0 if cell.isascii() else len(unicodedata.normalize("NFKC", cell)) - len(cell)
            if longer > MAX_LONGER:
                raise FileError(f"Row {number:,}: too many of the file's signs, such as “ﷺ”, stand for several others.")
        if any(row):
            count += 1
            if count > MAX_ROWS + SAMPLE_ROWS:
                raise FileError(TOO_MANY_ROWS)
            yield number, row


def _unwrapped(rows: list[Row], count_known: Callable[[Sequence[str]], int], separator: str) -> list[Row]:
    """Return the rows of a file whose lines a program saved as one cell each, as Excel does with another separator.

    It quotes lines that hold quotation marks, so that those may be such cells alone.
    """
    width = max((len(cells) for _, cells in rows), default=0)
    if any(len(list(filter(None, cells))) > 1 for _, cells in rows):
        return [
            (number, _inner_cells(cells, width, separator) if len(cells) == 1 and '"' in cells[0] else cells)
            for number, cells in rows
        ]
    # Without the blank rows between them, which may be a million.
    text = "\n".join("".join(cells) for _, cells in rows)
    inner_separator = _separator(text, count_known)
    outer = max((count_known(cells) for _, cells in rows[:SAMPLE_ROWS]), default=0)
    inner = max(map(count_known, _first_rows(text, inner_separator)), default=0)
    if inner <= outer:
        return rows
    return [(rows[int(place) - 1][0], cells) for place, cells in _filled_rows(_csv_rows(text, inner_separator))]


def _inner_cells(cells: list[str], width: int, separator: str) -> list[str]:
    """Return the cells that stand in the only cell of a row, if they are as many as those of the other rows."""
    with suppress(csv.Error):  # a cell of a workbook may be longer than one of CSV
        inner = next(csv.reader(io.StringIO(cells[0], newline=""), delimiter=separator), [])
        return inner if len(inner) == width else cells
    return cells


def _is_repeated(rows: tuple[Row, Row]) -> bool:
    """Whether a row repeats a heading: its only cell stands in the same place, or one of its texts is the same."""
    row, heading = ({place: cell for place, cell in enumerate(cells) if cell} for _, cells in rows)
    is_alike = row.keys() == heading.keys()
    return is_alike and (len(row) == 1 or not row.items().isdisjoint(heading.items()))


def _repeats_titles(cells: Sequence[str], titles: Sequence[str], keys: set[int]) -> bool:
    """Whether a row is the titles again, maybe without some of them, or with merged cells over others.

    A person's own cells may read “Newsletter” below that title, but not those in the columns of the `keys`.
    """
    places = [place for place, cell in enumerate(cells) if cell and place < len(titles)]
    filled_keys = keys & set(places)

    def is_repeated(place: int) -> bool:
        cell = cells[place]
        # Folding each cell of a file would take half of a preview.
        is_alike = titles[place][:1] == cell[0].casefold() or not cell[0].isalnum()
        return is_alike and fold_title(cell) == titles[place]

    if not all(map(is_repeated, filled_keys or places)):
        return False
    repeated = sum(map(is_repeated, places))
    if repeated == len(places):
        return repeated > 1 or len(list(filter(None, titles))) == 1
    return repeated > 1 and 2 * repeated >= len(places)


def _report_lines(table: Sequence[Row], count_known: Callable[[Sequence[str]], int]) -> Iterator[int | str]:
    """Yield the numbers of a report's own lines among the rows, and of Monday's subitems with their titles."""
    titles = table[0][1]
    is_among_subitems = False
    group = ""  # what the row above begins with
    for number, cells in table[1:]:
        is_heading = list(map(fold_title, cells[:2])) == SUBITEM_TITLES
        is_among_subitems = is_heading or (is_among_subitems and not cells[0])
        places = [place for place, cell in enumerate(cells) if cell]
        first, *others = map(cells.__getitem__, places)
        # As Excel writes them.
        is_subtotal = first in (f"{group} Total", f"{group} Ergebnis") and not any(map(_has_letter, others))
        group = first
        is_sum = _is_sum(first, others)
        if is_sum and fold_title(first) in NAMES_TOO:
            blanked = ["" if place in places[1:] else title for place, title in enumerate(titles)]
            is_sum = bool(others) and count_known(blanked) == count_known(titles)
        if is_among_subitems or is_subtotal or is_sum or (not others and _REPORT_LINE.fullmatch(first)):
            yield number


def _end_of(table: Sequence[Row]) -> int:
    """Return how many rows stand above a report's last words: one cell each, below a blank row, one as in a report."""
    end = len(table)
    has_report_line = False
    for place in range(len(table) - 1, 1, -1):
        texts = list(filter(None, table[place][1]))
        if len(texts) > 1:
            break
        has_report_line |= bool(_REPORT_LINE.fullmatch(texts[0]))
        if int(table[place][0]) > int(table[place - 1][0]) + 1:
            end = place if has_report_line else end
            has_report_line = False
    return end


def _is_sum(first: str, others: Sequence[str]) -> bool:
    """Whether a row's filled cells are a sum of those above: “Subtotal: 5”, or such a word beside amounts."""
    word = fold_title(first).rstrip("0123456789")
    return word in SUMS and not any(_has_letter(text) or _DIALLED.match(text) for text in others)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _dataset(rows: Sequence[Row], encoding: str = "") -> Any:
    """Return the rows, each cut to the number of titles, with their numbers; a workbook has no encoding."""
    if len(rows) < 2:
        raise FileError("The file has no rows below its titles.")
    if len(rows) > MAX_ROWS + 1:
        raise FileError(TOO_MANY_ROWS)
    titles = rows[0][1]
    width = max(place for place, title in enumerate(titles, start=1) if title)
    if width > MAX_COLUMNS:
        raise FileError(f"A file may have {MAX_COLUMNS} columns; this one has more.")
    if max(map(len, titles)) > MAX_TITLE:
        raise FileError(f"A title has more than {MAX_TITLE:,} characters. Are the titles in another row?")
    dataset = tablib.Dataset(headers=[*titles[:width], ROW_NUMBER, SURPLUS])
    dataset.encoding = encoding
    for number, cells in rows[1:]:
        padding = [""] * (width - len(cells))
        surplus = cells[width:] if any(cells[width:]) else []
        dataset.append([*cells[:width], *padding, number, surplus])
    return dataset


def _csv_rows(text: str, separator: str) -> Iterator[Row]:
    if text.count(separator) > MAX_CELLS:
        raise FileError(f"A file may have {MAX_CELLS:,} cells, empty ones too; this one has more.")
    # MySQL and others write a backslash before a quotation mark within a cell.
    has_escapes = '\\"' in text and re.search(r'[^"\\]\\"[^"\r\n' + re.escape(separator) + "]", text)
    escape = "\\" if has_escapes else None
    quote = "'" if re.match(rf"('[^'\r\n]+'{re.escape(separator)})+'[^'\r\n]+'[\r\n]", text) else '"'
    lines = io.StringIO(text, newline="")
    reader = csv.reader(
        lines, delimiter=separator, quotechar=quote, strict=True, skipinitialspace=True, escapechar=escape
    )
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


def _separator(text: str, count_known: Callable[[Sequence[str]], int]) -> str:
    """Return the sign that separates the cells, judged by the titles and the first rows.

    It cuts the rows into as many cells as the titles. Behind a comma within a text there is mostly a blank.
    """

    def fitness(sign: str) -> tuple[int, bool, float, float, int]:
        rows = _first_rows(text, sign)
        titles = max(rows, key=count_known, default=[])
        width = len(titles)
        cells = [cell for row in rows for cell in row[1:]]
        as_wide = sum(len(row) == width for row in rows) / max(1, len(rows))
        unpadded = sum(not cell.startswith(" ") for cell in cells) / max(1, len(cells))
        return (count_known(titles), width > 1, as_wide, unpadded, width)

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
    """Return a text's encoding, certain only for UTF-8 and UTF-16, else by which of its letters make words."""
    sample = content[:SAMPLE_LENGTH]
    # Every other byte of most letters is a NUL.
    first_nuls = sample[::2].count(0)
    second_nuls = sample[1::2].count(0)
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if max(first_nuls, second_nuls) > len(sample) / 8:
        return "utf-16" if second_nuls > first_nuls else "utf-16-be"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse_broken_utf8(content, error)
        fitting_letters = {encoding: _wordiness(sample, encoding) for encoding in LIKELY}
        likely = max(LIKELY, key=fitting_letters.__getitem__)
        return likely if fitting_letters[likely] > CHANCE_LETTERS else LIKELY[0]
    return "utf-8-sig"


def _wordiness(content: bytes, encoding: str) -> int:
    """Return how many letters beyond ASCII stand where words have them: small ones within, capitals at the start.

    What Windows-1252 has for quotation marks and prices counts only before a small letter.
    """
    text = content.decode(encoding, "replace")
    fitting = 0
    for byte, before, letter, after in zip(content, f" {text}", text, f"{text[1:]} ", strict=False):
        if letter.isascii() or not letter.isalpha() or (byte in WINDOWS_MARKS and not after.islower()):
            continue
        is_fitting = letter.islower() and not after.isupper() if before.isalpha() else letter.isupper()
        fitting += 1 if is_fitting else -1
    return fitting


def _decode(content: bytes, encoding: str) -> str:
    name = ENCODINGS[encoding]
    with suppress(UnicodeError):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8-sig":
                line = _line_of(content, error.start)
                raise FileError(f"Line {line:,} has a byte that isn't {name}. Choose another encoding.") from error
            raise
        if "\0" not in text:  # UTF-16 without a BOM
            return text
    raise FileError(f"The file isn't text in {name}. Choose its encoding, or save it as “CSV UTF-8” or XLSX.")


def _refuse_broken_utf8(content: bytes, error: UnicodeDecodeError) -> None:
    """Raise FileError for UTF-8 with a wrong byte: as Windows-1252, every letter beyond ASCII would be a wrong one."""
    if error.reason == "unexpected end of data" and error.end == len(content):
        raise FileError("The file ends in the middle of a character: it was cut off. Save it again.") from error
    other_bytes, letters = _UTF8_LETTER.subn(b"", content)
    if letters and letters >= len(other_bytes.translate(None, ASCII)):
        line = _line_of(content, error.start)
        raise FileError(
            f"Line {line:,} has a byte that isn't UTF-8, as the rest of the file is. Save it again."
        ) from error


def _line_of(content: bytes, place: int) -> int:
    return len(re.findall(b"\r\n|\r|\n", content[:place])) + 1
