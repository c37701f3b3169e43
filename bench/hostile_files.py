"""Measures how long a file holds the web process, and how much memory that takes: a request for its columns or preview.

    python -m bench.hostile_files

Files that were made to stop the process are refused in words; laborious ones are previewed or refused, and the largest
ordinary ones previewed. Gates: the slowest and the largest of each, of the processor's seconds and of Python's memory;
seconds of files that are previewed are goals.
"""

import io
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import xlsxwriter

from bench.servers import database_and_sandbox, machine
from bench.table import Row, options_of, publish

if TYPE_CHECKING:
    from django.test import Client

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


def slashes(number: int, length: int = 99) -> str:
    """Return a text of this length, with slashes as between alternatives."""
    return ("/".join(f"{number:x}") + "/a" * length)[:length]


def sheets_of_texts(sheets: int, rows: int, columns: int, text_of: Callable[[int], str] = slashes) -> bytes:
    """Return a workbook whose cells above the titles are the texts of as many numbers."""
    out = io.BytesIO()
    number = 0
    with xlsxwriter.Workbook(out) as book:
        for _ in range(sheets):
            page = book.add_worksheet()
            for row in range(rows):
                for column in range(columns):
                    number += 1
                    page.write(row, column, text_of(number))
            page.write_row(rows, 0, ["Name", "Email"])
            page.write_row(rows + 1, 0, ["Ann", "a@x.org"])
    return out.getvalue()


def sheets_of_two_rows(sheets: int) -> bytes:
    """Return a workbook of so many sheets, each with titles and, in the last row that there is, a record."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for _ in range(sheets):
            book.add_worksheet().write(0, 0, "Name;Email")
    content = out.getvalue()
    last = b'<row r="1048576"><c r="A1048576" t="str"><v>Ann;a@x.org</v></c></row></sheetData>'
    for number in range(1, sheets + 1):
        content = changed(content, f"xl/worksheets/sheet{number}.xml", b"</sheetData>", last)
    return content


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
    "10 sheets of long texts above the titles": lambda: sheets_of_texts(10, 20, 200),
    "10 sheets of words as in titles above them": lambda: sheets_of_texts(10, 20, 200, "{}x handys/work phones".format),
    "200 sheets of short titles": lambda: sheets_of_texts(200, 2, 190, lambda number: slashes(number, 4)),
    "600 ligatures in each cell": lambda: cells("Company", "%d" + "ﷺ" * 600),
    "25 titles of 131,000 ligatures": lambda: b",".join(["ﷺ".encode() * 131_000] * 25) + b"\nx",
}


def cells(title: str, cell: str, rows: int = 5_000) -> bytes:
    """Return a file of new contacts with such a cell each; “%d” in it is the row's number."""
    return f"Name,{title}\n".encode() + b"".join(f"P{row},{cell % row}\n".encode() for row in range(rows))


def labels(rows: int, columns: int, texts: int) -> bytes:
    """Return a file of new contacts with so many numbers each, beside each a label, of which there are so many."""
    titles = [f"Phone {place} - {kind}" for place in range(columns) for kind in ("Label", "Value")]
    lines = [",".join(["Name", *titles])]
    for row in range(rows):
        numbers = [f"Kind {(row + place) % texts},+49 30 9{row:05}{place:02}" for place in range(columns)]
        lines.append(",".join([f"Person {row}", *numbers]))
    return "\n".join(lines).encode()


def people(rows: int) -> bytes:
    """Return a file of new contacts with a name, an address, a number, a company and a role each."""
    lines = [
        f"Person {number};Ace;p{number}@x{number % 700}.org;030 {900_000 + number};Firm {number % 700};Chief\n"
        for number in range(rows)
    ]
    return ("Vorname;Nachname;E-Mail;Telefon;Firma;Position\n" + "".join(lines)).encode()


def wide_rows(rows: int, columns: int) -> bytes:
    """Return a file of new contacts with an address or a number in each of so many columns."""
    titles = [f"Phone {place}" if place % 2 else f"E-mail {place} Address" for place in range(columns)]
    lines = [",".join(["Name", *titles])]
    for row in range(rows):
        cells = [f"+49 30 9{row:05}{place:02}" if place % 2 else f"a{row}.{place}@x.org" for place in range(columns)]
        lines.append(",".join([f"Person {row}", *cells]))
    return "\n".join(lines).encode()


# What holds the process longest in a preview, refused or not.
PREVIEWED: dict[str, Callable[[], bytes]] = {
    "1,950 rows of 99 labels and numbers": lambda: labels(1_950, 99, 990),
    "a text of 1,900 signs in each row": lambda: cells("Notes", "%d " + "x" * 1_900),
    "a number of 1,900 digits in each row": lambda: cells("Phone", "%d" + "1" * 1_900),
    "many words beside a number in each row": lambda: cells("Phone", "ask %d 030 901820 or " + "x 1 " * 400),
    "130 addresses in each row": lambda: cells("Email", "a%d@x.org; " + "b@x.org; " * 130),
    "no address among many signs in each row": lambda: cells("Email", "a%d@b@c " + "a@b@c " * 300),
    "quotation marks for an address and a number": lambda: cells("Email,Phone", "%d" + "“" * 300 + "," + "“" * 300),
    "a row of nothing that is valid": lambda: cells("Email,Phone,Company", "no %d,ask 12345,No"),
    "100 sheets of a first and a last row": lambda: sheets_of_two_rows(100),
    "5,000 organizations that aren't in NPD": lambda: cells("Company", "Firm %d"),
}

ORDINARY: dict[str, Callable[[], bytes]] = {
    "5,000 people": lambda: people(5_000),
    "1,900 rows of 199 addresses and numbers": lambda: wide_rows(1_900, 199),
}


def cost(client: "Client", content: bytes, *, is_refused: bool | None) -> tuple[float, float]:
    """Return the seconds and the megabytes of the slower and the larger request: for a file's columns, for its preview.

    Tracing the memory takes time, so each request is made twice. None as `is_refused` is for a file that may be.
    """
    seconds = []
    megabytes = []
    were_refused = []
    for step in ("read", ""):
        began = time.thread_time()
        page = preview(client, content, step)
        seconds.append(time.thread_time() - began)
        were_refused.append("form" in page.context_data)
        tracemalloc.start()
        preview(client, content, step)
        megabytes.append(tracemalloc.get_traced_memory()[1] / 1_000_000)
        tracemalloc.stop()
    if is_refused not in (None, any(were_refused)):
        raise SystemExit("A hostile file was read, or an ordinary one refused.")
    return max(seconds), max(megabytes)


def preview(client: "Client", content: bytes, step: str) -> Any:
    from django.core.files.uploadedfile import SimpleUploadedFile

    file = SimpleUploadedFile("people", content)
    data = {"import_file": file, "step": step, "create_missing": "on"}
    return client.post("/admin/npd/contact/import/", data, follow=True)


def rows_of(kind: str, costs: dict[str, tuple[float, float]], *, gate: bool) -> list[Row]:
    slowest = max(costs, key=lambda name: costs[name][0])
    largest = max(costs, key=lambda name: costs[name][1])
    seconds = costs[slowest][0]
    megabytes = costs[largest][1]
    return [
        Row(f"slowest {kind} file", f"≤ {SECONDS:g} s", f"{seconds:.1f} s, {slowest}", seconds <= SECONDS, gate),
        Row(f"largest {kind} file", f"≤ {MEGABYTES:g} MB", f"{megabytes:.0f} MB, {largest}", megabytes <= MEGABYTES),
    ]


def main() -> int:
    options_of("hostile_files", __doc__)
    print(machine(), flush=True)
    with database_and_sandbox(fast=True, ALLOWED_HOSTS="testserver"):
        from django.contrib.auth.models import User
        from django.test import Client

        client = Client()
        client.force_login(User.objects.create_superuser("bench"))
        hostile = {name: cost(client, make(), is_refused=True) for name, make in HOSTILE.items()}
        previewed = {name: cost(client, make(), is_refused=None) for name, make in PREVIEWED.items()}
        ordinary = {name: cost(client, make(), is_refused=False) for name, make in ORDINARY.items()}
    return publish(
        [
            *rows_of("hostile", hostile, gate=True),
            *rows_of("laborious", previewed, gate=False),
            *rows_of("ordinary", ordinary, gate=False),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
