"""What imports say of files, cells and rows, by code: what is wrong, and what to do."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.text import get_text_list
from xlsxwriter.utility import xl_rowcol_to_cell

from npd.imports.files import FORMULA, ImportFileError
from npd.imports.models import ImportJob, ImportRow, Result, RowOutcome
from sync.models import ExportFormat
from sync.operations.exports import ListTable, csv_lines, escape_formula, xlsx_file

ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "Windows-1252 (Western Europe)",
    "cp1250": "Windows-1250 (Central Europe)",
    "iso-8859-15": "ISO 8859-15",
    "mac-roman": "Mac Roman",
    "utf-16": "UTF-16",
}
"""The encodings that a person may choose where the wrong one was detected."""

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}

REJECTION_TEXTS = {
    # --- the file as a whole ---
    "too_large": (
        "%(file)s is larger than %(most)s MB. Divide it into several files, each with the titles in its first row."
    ),
    "empty": "%(file)s is empty. Choose the file that holds your records.",
    "no_spreadsheet": (
        "%(file)s can't be read as a spreadsheet. Open it in your spreadsheet program and save it as XLSX or CSV, "
        "without a password."
    ),
    "too_many_waiting": (
        "%(most)s files that you chose wait to be read. Wait until they are, or choose “Discard” on their pages."
    ),
    "too_many_rows": (
        "%(file)s has more than %(most)s rows. Divide it into several files, each with the titles in its first row."
    ),
    "too_many_lines": (
        "%(file)s has more than %(most)s rows, most of them empty. Copy the rows into a new file and save that."
    ),
    "too_many_columns": (
        "Row %(row)s of %(file)s has more than %(most)s columns. Keep only those to import; if it has fewer, a "
        "quotation mark or separator is missing there."
    ),
    "too_many_cells": (
        "%(file)s has more than %(most)s cells, counting the empty ones between others. Copy the rows and columns to "
        "import into a new file and save that."
    ),
    "too_much_text": (
        "%(file)s holds more than %(most)s characters. Divide it into several files, each with the titles in its "
        "first row."
    ),
    "long_cell": (
        "Row %(row)s of %(file)s holds a cell of more than %(most)s characters; probably a quotation mark is "
        "missing there. Fix it and choose the file again."
    ),
    "no_rows": "%(file)s holds no rows below its titles, so there is nothing to import.",
    # --- CSV ---
    "nul_bytes": (
        "%(file)s holds NUL bytes, which no text has: it is damaged, or no CSV file. Save it again as “CSV UTF-8”."
    ),
    "wrong_encoding": (
        "%(file)s can't be read as %(encoding)s. Choose another encoding, or save the file again as “CSV UTF-8”."
    ),
    "bad_csv": (
        "Row %(row)s of %(file)s can't be read: %(why)s. Check its quotation marks, or save the file again as CSV."
    ),
    # --- XLSX ---
    "damaged": "%(file)s is damaged: %(why)s. Save it again as XLSX or CSV.",
    "unreadable": (
        "%(file)s can't be read as XLSX (%(why)s). Open it in your spreadsheet program and save it again as XLSX or "
        "CSV, without a password."
    ),
    "no_sheet": "%(file)s shows no sheet. Save it as XLSX with the records on its first sheet.",
    "unpacks_too_large": (
        "%(file)s unpacks to more than %(most)s MB, so it was not opened. Copy the rows into a new workbook and save "
        "that."
    ),
    "part_too_large": (
        "%(part)s in %(file)s unpacks to more than %(most)s MB, so it was not opened. Copy the rows, as values only, "
        "into a new workbook and save that."
    ),
    "too_compressed": (
        "%(part)s in %(file)s unpacks to more than %(most)s times its size, as no list does, so it was not opened. "
        "Save the file as CSV."
    ),
    "too_many_parts": (
        "%(file)s consists of more than %(most)s parts, so it was not opened. Copy the rows into a new workbook and "
        "save that."
    ),
    "too_many_texts": (
        "%(file)s holds more than %(most)s different texts. Divide it into several files, each with the titles in its "
        "first row."
    ),
    "too_many_pieces": (
        "A cell of %(file)s consists of more than %(most)s pieces of text, each with a format of its own. Copy the "
        "rows, as values only, into a new workbook and save that."
    ),
    # --- reading it ---
    "took_too_long": (
        "%(file)s was not read within %(seconds)s seconds, so that was ended. Divide it into several files, or save "
        "it as CSV."
    ),
    "too_much_memory": (
        "Reading %(file)s takes more memory than it may. Divide it into several files, or save it as CSV."
    ),
    "reader_died": (
        "Reading %(file)s was begun %(attempts)s times and ended each time before it was done. Divide it into several "
        "files, or save it as CSV; if other files fail too, the worker's log says why."
    ),
    # --- its titles ---
    "no_known_column": (
        "The first row of %(file)s names no column that is known, so nothing was read. Put titles there: %(titles)s."
    ),
    "column_twice": (
        "Several columns of %(file)s are %(field)s: %(titles)s. Remove one of them, or give it another title, and "
        "choose the file again."
    ),
    "no_key_column": "No column of %(file)s tells which %(type)s a row is about. Add one of these: %(titles)s.",
}


def rejection_text(file: str, code: str, facts: Mapping[str, Any]) -> str:
    """Return why a file is not imported, and what to do."""
    values = {name: f"{fact:,}" if isinstance(fact, int) else fact for name, fact in facts.items()}
    if "encoding" in values:
        values["encoding"] = ENCODINGS.get(values["encoding"], values["encoding"])
    return REJECTION_TEXTS[code] % {"file": file, **values}


def rejection_of_error(file: str, error: ImportFileError) -> str:
    return rejection_text(file, error.code, error.facts)


def reading_summary(reading: Mapping[str, str]) -> str:
    """Return how a file was read, for the line below its name."""
    if reading["kind"] == "xlsx":
        return f"XLSX, sheet “{reading['sheet']}”"
    encoding = reading["encoding"]
    encoding_label = ENCODINGS.get(encoding, encoding.upper().removesuffix("-SIG"))
    return f"CSV, {encoding_label}, separated by {SEPARATORS[reading['separator']]}"


def broken_cell_text(row: int, position: int, what: str) -> str:
    """Return why a cell has no value that can be read."""
    cell = xl_rowcol_to_cell(row - 1, position)
    if what != FORMULA:
        return f"Cell {cell} shows the error {what}. Fix its formula, or type the value."
    return (
        f"Cell {cell} holds a formula whose result isn't in the file. Open the file in a spreadsheet program and "
        "save it, or paste the values."
    )


# The rows that were not imported, as lines of a file for people.


REASON_TITLE = "Not imported because"
"""The title of the column with the reason; an import ignores it."""


REJECTED = (RowOutcome.INVALID, RowOutcome.AMBIGUOUS, RowOutcome.REPEATED)


def _rejections(*, is_asked: bool) -> tuple[RowOutcome, ...]:
    """The outcomes that are not imported; without those that a person `is_asked` about: another record?"""
    return REJECTED if is_asked else (*REJECTED, RowOutcome.OTHER)


def row_counts(job: ImportJob, *, is_asked: bool = False) -> Counter[RowOutcome | Result]:
    """Return how many rows come to what, each row of the file counted once; what is not imported as INVALID."""
    found = job.rows.exclude(outcome="").order_by().values_list("outcome", "result").annotate(number=Count("id"))
    counts: Counter[RowOutcome | Result] = Counter()
    for outcome, result, number in found:
        kind: RowOutcome | Result = RowOutcome(outcome)
        if result in (Result.UNDONE, Result.KEPT):
            kind = Result(result)
        elif result == Result.LEFT or outcome in _rejections(is_asked=is_asked):
            kind = RowOutcome.INVALID
        counts[kind] += number
    return counts


def rejected_rows(job: ImportJob, *, is_asked: bool = False) -> QuerySet[ImportRow]:
    """Return the rows that are not imported: rejected by the preview, or left alone when it was written."""
    return job.rows.filter(Q(outcome__in=_rejections(is_asked=is_asked)) | Q(result=Result.LEFT))


def warned_rows(job: ImportJob) -> QuerySet[ImportRow]:
    """Return the rows that are imported with values that Monday will probably reject."""
    return job.rows.filter(outcome__in=(RowOutcome.NEW, RowOutcome.CHANGED)).exclude(
        Q(warnings=[]) | Q(result__in=(Result.LEFT, Result.UNDONE, Result.KEPT))
    )


def equal_rows(job: ImportJob) -> QuerySet[ImportRow]:
    """Return the rows that say the same as an earlier one."""
    return job.rows.filter(outcome=RowOutcome.EQUAL).order_by("number")


def equal_row_text(number: int, other: int, outcome: RowOutcome) -> str:
    """Return what becomes of a row that says the same as an earlier one, of which that is the outcome."""
    if outcome in (RowOutcome.NEW, RowOutcome.CHANGED):
        return f"Row {number} is the same as row {other}; imported once."
    comes_to = "changes nothing" if outcome == RowOutcome.UNCHANGED else "is not imported"
    return f"Row {number} is the same as row {other}, which {comes_to}."


def unknown_organization_rows(job: ImportJob, label: str) -> QuerySet[ImportRow]:
    """Return the rows with which nothing is wrong but that their organization, of that label, isn't there."""
    # Several of one name make a row ambiguous, and a cell that can't be read is among the broken.
    rows = job.rows.filter(outcome=RowOutcome.INVALID, broken={}, problems__0__0=label, problems__1__isnull=True)
    return rows.none() if job.options.get("make_organizations") else rows


def other_record_doubt(
    entity_type: str, before: Mapping[str, Any], after: Mapping[str, Any], labels: Mapping[str, str]
) -> str:
    """Return why a row that changes a record so may be about another one, such as who shares its email address, or
    nothing.
    """
    words, new_words = (set(re.findall(r"\w+", str(raw.get("name", "")).casefold())) for raw in (before, after))
    replaced = [name for name, raw in before.items() if name not in ("name", "notes") and raw and after.get(name)]
    # “Bob” and “Bobby” may well be one; where no word begins alike, less else makes it doubtful.
    is_alike = {word[:3] for word in words} & {word[:3] for word in new_words}
    if words == new_words or len(replaced) < (2 if is_alike else 1):
        return ""
    others = get_text_list([labels[name] for name in replaced], "and")
    return (
        f"It would make “{after['name']}” of “{before['name']}” and replace {others}. If this is another "
        f"{entity_type}, correct what it was found by, such as the email or NPD ID; if it is the same, import the row "
        "again and tick it in the preview."
    )


_NUMBER = re.compile(r"[+-]\d[\d ().,/-]*")


def _as_it_came(cell: str) -> str:
    """Return a cell as it is where no spreadsheet can take it for more than a number: a phone number needs no sign."""
    return cell if _NUMBER.fullmatch(cell) else escape_formula(cell)


def _rejected_lines(job: ImportJob, *, is_asked: bool) -> Iterator[list[str]]:
    """Yield the titles, then each row that was not imported, with its number and the reason at its end."""
    titles = job.titles
    indexes = [index for index, title in enumerate(titles) if title != REASON_TITLE]
    yield [*(titles[index] for index in indexes), REASON_TITLE]
    for row in rejected_rows(job, is_asked=is_asked).order_by("number").iterator(chunk_size=2000):
        cells = [row.cells[index] if index < len(row.cells) else "" for index in indexes]
        surplus = row.cells[len(titles) :]
        yield [*cells, f"Row {row.number}: {row.reason}", *surplus]


def rejected_file(job: ImportJob, file_format: str = ExportFormat.CSV, *, is_asked: bool = False) -> Iterator[bytes]:
    """Return those lines as a file, to be corrected and imported again."""
    lines = _rejected_lines(job, is_asked=is_asked)
    table = ListTable("Not imported", next(lines), lines)
    return csv_lines(table, escape=_as_it_came) if file_format == ExportFormat.CSV else iter(xlsx_file(table))


def display_value(raw: Any) -> str:
    """Return a raw value as people read it."""
    if isinstance(raw, Mapping):
        return str(raw.get("name", ""))
    if isinstance(raw, list):
        return ", ".join(str(part) for part in raw)
    return "" if raw is None else str(raw) if isinstance(raw, str) else json.dumps(raw)
