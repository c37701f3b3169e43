"""Reading XLSX: the first sheet that is shown, cells as the texts that a person sees."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import openpyxl
from openpyxl.utils import get_column_letter

from npd.importing.errors import ImportFileError
from npd.importing.tables import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Row, Table, limited

MAX_UNPACKED = 150_000_000
"""Bytes that the parts of the file may hold once unpacked."""


def read_xlsx(name: str, content: bytes) -> Table:
    """Return the table of an XLSX file's first sheet; raises ImportFileError."""
    _refuse_bombs(name, content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what openpyxl leaves out (styles, validation) isn't imported anyway
            formulas = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False)
            values = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheet = next((s for s in values.worksheets if s.sheet_state == "visible"), None)
            if sheet is None:
                raise ImportFileError(
                    f"{name} shows no sheet. Save it as XLSX with the records on its first sheet."
                )
            titles, rows = limited(name, _rows(name, sheet, formulas[sheet.title]))
    except ImportFileError:
        raise
    except Exception as error:  # whatever a damaged file makes the library raise
        raise ImportFileError(
            f"{name} can't be read as XLSX ({type(error).__name__}). Open it in your spreadsheet program and save it "
            "anew as XLSX or CSV, without a password."
        ) from error
    return Table(titles, rows, f"XLSX, sheet “{sheet.title}”")


def _refuse_bombs(name: str, content: bytes) -> None:
    """Refuse before unpacking what would fill the memory; Python reads no more of a part than it declares."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(content)).infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise ImportFileError(f"{name} is damaged: {error}. Save it anew as XLSX or CSV.") from error
    if sum(part.file_size for part in parts) > MAX_UNPACKED or len(parts) > 10_000:
        raise ImportFileError(
            f"{name} unpacks to more than {MAX_UNPACKED // 1_000_000} MB, so it was not opened. Copy the rows into a "
            "new sheet and save that."
        )


def _rows(name: str, values: Any, formulas: Any) -> Iterator[Row]:
    # What a sheet says of its size may be a lie; cells alone count.
    for sheet in (values, formulas):
        sheet.reset_dimensions()
    both = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
    cells_read = 0
    for number, (shown, written) in enumerate(both, start=1):
        cells_read += len(shown)
        if cells_read > MAX_CELLS:
            raise ImportFileError(
                f"{name} has too many cells, most of them empty. Copy the rows into a new sheet and save that."
            )
        if number > 4 * MAX_ROWS:
            raise ImportFileError(
                f"{name} has more than {4 * MAX_ROWS:,} rows. Divide it into several files."
            )
        width = max((index for index, cell in enumerate(shown, 1) if cell.value not in (None, "")), default=0)
        if width > MAX_COLUMNS:
            yield Row(number, [""] * width)
            continue
        width = max(width, max((i for i, cell in enumerate(written, 1) if cell.value is not None), default=0))
        cells = [text_of(cell.value) for cell in shown[:width]]
        broken = {
            index: said
            for index, (cell, formula) in enumerate(zip(shown[:width], written[:width], strict=False))
            if (said := _broken(cell, formula, number))
        }
        yield Row(number, cells, broken)


def _broken(shown: Any, written: Any, number: int) -> str:
    """Why a cell holds no value that can be read; most do."""
    where = (
        f"{get_column_letter(shown.column)}{number}" if getattr(shown, "column", None) else f"row {number}"
    )
    if shown.data_type == "e":
        return f"Cell {where} shows the error {shown.value}. Mend its formula, or type the value."
    if written.data_type == "f" and shown.value is None:
        return (
            f"Cell {where} holds a formula whose result isn't in the file. Open the file in a spreadsheet program and "
            "save it, or paste the values."
        )
    return ""


def text_of(value: Any) -> str:
    """Return a cell's value as text: whole numbers without a point, dates as 2026-11-20."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value).strip()
