"""Files of every kind, hostile ones too: read, or refused in words with nothing stored."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User

from npd.imports.files import ImportFileError, unescape_formula
from npd.imports.import_jobs import read_import_now
from npd.imports.messages import rejection_of_error
from npd.imports.models import ImportJob
from npd.imports.resources import ImportOptions
from npd.models import Contact
from sync.operations.exports import escape_formula
from tests.importing.conftest import offered, outcomes, said

pytestmark = pytest.mark.django_db


def xlsx(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


TEXT = 'Name{0}Email{0}Notes\nZoë Łuk{0}zoe@x.org{0}"two\nlines"\n'


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), ("|", "utf-16-le"), (",", "utf-16-be"), (";", "utf-32")],
)
def test_encodings_and_separators_are_found_out(person: User, separator: str, encoding: str) -> None:
    row = offered(person, TEXT.format(separator).encode(encoding)).rows.get()
    assert row.after == {"name": "Zoë Łuk", "email": "zoe@x.org", "notes": "two\nlines"}


def test_what_excel_writes_in_western_europe_is_read(person: User) -> None:
    job = offered(person, "Name;Email\nZoë Ångström – “Co”;z@x.org\n".encode("cp1252"))
    assert job.rows.get().name == "Zoë Ångström – “Co”"
    assert "Windows-1252" in job.how


def test_the_encoding_can_be_named(person: User) -> None:
    content = "Name;Email\nŁukasz;l@x.org\n".encode("cp1250")
    job = read_import_now(
        "contact", "p.csv", io.BytesIO(content), options=ImportOptions(), by=person, encoding="cp1250"
    )
    assert job.rows.get().name == "Łukasz"


def test_cells_of_a_spreadsheet_are_read_as_a_person_sees_them(person: User) -> None:
    job = offered(
        person,
        xlsx(
            ["Name", "Email", "Phone", "Role", "Notes", "Unknown"],
            ["Ann", "ann@x.org", 2025550143.0, datetime.fromisoformat("2026-11-20"), 1.5, "ignored"],
            [None, None, None, None, None, None],
            ["Bob", "bob@x.org", "+46 8 123 45", datetime.fromisoformat("2026-11-20 09:30"), True, None],
        ),
        name="p.xlsx",
    )
    assert job.rows.get(number=2).after == {
        "name": "Ann", "email": "ann@x.org", "phone": "+1 202-555-0143", "role_title": "2026-11-20", "notes": "1.5",
    }  # fmt: skip
    assert job.rows.get(number=4).after["role_title"] == "2026-11-20 09:30"
    assert job.columns[5] == ["Unknown", ""]


def test_a_formula_in_a_csv_file_is_text_and_leaves_again_harmless(person: User) -> None:
    job = offered(person, "Name,Email,Phone\n=cmd|' /C calc'!A0,x@x.org,'+46 8 123 45\n")
    assert job.rows.get().after == {"name": "=cmd|' /C calc'!A0", "email": "x@x.org", "phone": "+46 8 123 45"}
    assert escape_formula("=1+1") == "'=1+1"
    assert unescape_formula(escape_formula("+46 8")) == "+46 8"
    assert unescape_formula(escape_formula("\n=1")) == "=1"


# Made when they are needed: some are large.
HOSTILE = {
    "20 MB": (lambda: b"Name,Email\n" + b"A,a@x.org\n" * 2_000_000, "too_large"),
    "a million rows": (lambda: b"Name\n" + b"A\n" * 150_000, "too_many_rows"),
    "NUL bytes": (lambda: b"Name,Email\nA\0B,a@x.org\n", "nul_bytes"),
    "no text": (lambda: bytes(range(129, 160)) * 3, "wrong_encoding"),
    "empty": (lambda: b" \n ", "empty"),
    "titles only": (lambda: b"Name,Email\n", "no_rows"),
    "no titles": (lambda: b"Ann,ann@x.org\nBob,bob@x.org\n", "no_known_column"),
    "a title twice": (lambda: b"Name,Email,E-mail\nA,a@x.org,b@x.org\n", "column_twice"),
    "nobody is named": (lambda: b"Phone,Notes\n1,2\n", "no_key_column"),
    "an open quotation mark": (lambda: b'Name,Email\n"A,a@x.org\nB,b@x.org\n', "bad_csv"),
    "a giant cell": (lambda: b"Name,Email\n" + b"A" * 200_000 + b",a@x.org\n", "long_cell"),
    "half a zip": (lambda: b"PK\x03\x04" + b"\0" * 50, "damaged"),
    "some zip": (lambda: xlsx(["x"])[:-30], "damaged"),
    "an old spreadsheet": (lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 50, "no_spreadsheet"),
    "a wide spreadsheet": (lambda: xlsx(["Name"] + ["x"] * 16_000, ["A"]), "too_many_columns"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_file_is_refused_in_words_and_nothing_is_stored(person: User, kind: str) -> None:
    content, code = HOSTILE[kind]
    with pytest.raises(ImportFileError) as refused:
        offered(person, content())
    assert refused.value.code == code
    assert "people.csv" in rejection_of_error("people.csv", refused.value)
    assert not ImportJob.objects.exists()
    assert not Contact.objects.exists()


def test_a_spreadsheet_that_lies_about_its_size_is_read_by_its_cells(person: User) -> None:
    content, whole = io.BytesIO(), xlsx(["Name", "Email"], ["A", "a@x.org"])
    with zipfile.ZipFile(io.BytesIO(whole)) as good, zipfile.ZipFile(content, "w") as packed:
        for part in good.infolist():
            text = good.read(part).replace(b'<dimension ref="A1:B2"', b'<dimension ref="A1:XFD1048576"')
            packed.writestr(part, text)
    assert offered(person, content.getvalue()).counts["new"] == 1


def test_a_table_that_begins_further_in_is_read_at_its_place(person: User) -> None:
    job = offered(person, xlsx([None, None], [None, "Name", "Email"], [None, "=A1", "a@x.org"], [None, "B", "b@x.org"]))
    assert outcomes(job) == {3: "invalid", 4: "new"}
    assert "Name: Cell B3 holds a formula whose result isn't in the file" in said(job, 3)
