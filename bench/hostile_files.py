"""Measures how long an import holds the web process with files that were made to stop it, and how much memory it takes.

    python -m bench.hostile_files

Each is refused in words. Gates: the slowest and the largest one, of the processor's seconds and of Python's memory.
"""

import io
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import xlsxwriter

from bench.table import Row, options_of, publish
from sync.operations.file_formats import read_file
from sync.operations.workbooks import FileError

SECONDS = 2.0
MEGABYTES = 150.0

PART = "xl/worksheets/sheet1.xml"
STYLES = "xl/styles.xml"


def sheet(*rows: list[object]) -> bytes:
    """Return a workbook of one sheet with these rows."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        page = book.add_worksheet()
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
    return out.getvalue()


def changed(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    """Return a workbook with other text in one of its parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, data.replace(old, new) if name == part else data)
    return out.getvalue()


def in_sheet(content: bytes) -> bytes:
    return changed(sheet(["Name"], ["Ann"]), PART, b"</sheetData>", content + b"</sheetData>")


def in_styles(tag: bytes, content: bytes) -> bytes:
    return changed(sheet(["Name"], ["Ann"]), STYLES, tag, content + tag)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a number format of a million signs": lambda: in_styles(
        b"<fonts", b'<numFmts><numFmt numFmtId="9" formatCode="' + b"[" * 1_000_000 + b'"/></numFmts>'
    ),
    "20,000 number formats": lambda: in_styles(
        b"<fonts", b"".join(b'<numFmt numFmtId="%d" formatCode="0"/>' % number for number in range(20_000))
    ),
    "a million cell styles": lambda: in_styles(b"</cellXfs>", b"<xf/>" * 1_000_000),
    "a cell with a million attributes": lambda: in_sheet(b"<c" + b' a=""' * 1_000_000 + b"/>"),
    "a million tags within tags": lambda: in_sheet(b"<a>" * 1_000_000 + b"</a>" * 1_000_000),
    "six million escapes": lambda: in_sheet(b"<row><c t='str'><v>" + b"_x0041_" * 6_000_000 + b"</v></c></row>"),
    "a long text in each cell": lambda: in_sheet(
        b"".join(b"<row><c t='str'><v>" + b"x" * 9_000 + b"</v></c></row>" for _ in range(4_900))
    ),
    "5,000 rows of 2,000 cells": lambda: in_sheet((b"<row>" + b"<c><v>1</v></c>" * 2_000 + b"</row>") * 5_000),
    "a comment of 45 MB": lambda: in_sheet(b"<!--" + b"x" * 45_000_000 + b"-->"),
    "white space without end": lambda: in_sheet(b" " * 50_000_001),
    "countless short tags": lambda: in_sheet(b"<row>" + b"<c/>" * 2_500_000 + b"</row>"),
    "countless empty rows": lambda: in_sheet(b"<row/>" * 1_900_000),
    "countless merged cells": lambda: in_sheet(b"<mergeCell/>" * 1_900_000),
    "countless sheets": lambda: changed(
        sheet(["Name"], ["Ann"]),
        "xl/workbook.xml",
        b"</sheets>",
        b"".join(b'<sheet name="%d" r:id="rId1"/>' % number for number in range(300_000)) + b"</sheets>",
    ),
    "10 MB of commas": lambda: b"Name\n" + b"," * 9_990_000,
    "a million rows of commas": lambda: b"Name\n" + b",,,,,,,,\n" * 1_040_000,
    "a row of 2,000 cells": lambda: b"Name\n" + b"x," * 1_999 + b"\n",
    "a cell of 10 MB": lambda: b"Name\n" + b"x" * 9_900_000,
}


def cost(content: bytes) -> tuple[float, float]:
    """Return the seconds and the megabytes until a file is refused; tracing the memory takes some of the time."""
    began = time.thread_time()
    tracemalloc.start()
    try:
        read_file(content)
    except FileError:
        most = tracemalloc.get_traced_memory()[1]
    else:
        raise SystemExit("A hostile file was read.")
    finally:
        tracemalloc.stop()
    return time.thread_time() - began, most / 1_000_000


def main() -> int:
    options_of("hostile_files", __doc__)
    costs = {name: cost(make()) for name, make in HOSTILE.items()}
    slowest = max(costs, key=lambda name: costs[name][0])
    largest = max(costs, key=lambda name: costs[name][1])
    seconds = costs[slowest][0]
    megabytes = costs[largest][1]
    rows = [
        Row(f"slowest of {len(costs)} files", f"≤ {SECONDS:g} s", f"{seconds:.1f} s, {slowest}", seconds <= SECONDS),
        Row("largest of them", f"≤ {MEGABYTES:g} MB", f"{megabytes:.0f} MB, {largest}", megabytes <= MEGABYTES),
    ]
    return publish(rows)


if __name__ == "__main__":
    raise SystemExit(main())
