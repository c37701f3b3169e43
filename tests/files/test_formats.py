"""Files as other programs write them, and exported files that come back unchanged."""

import io
import zipfile
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from django.contrib.admin.models import LogEntry
from django.test import Client

from npd.models import Contact, Organization
from sync.operations.file_formats import AnyFile, FileError, escape_formula, unescape_formula
from tests.files.conftest import counts, exported, preview
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db

AWKWARD = [
    "=1+1", "==1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=already", "''-x", "' =x", "'quoted", "＝1",
    "two\r\nlines", "_x000D_", "x" * 30_000, "007", "1e5", "true", "a;b", 'q"x', "-", "n/a", "NULL",
]  # fmt: skip


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return AnyFile().create_dataset(content).dict


def sheet(*rows: list[Any]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        page = book.add_worksheet()
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        "Name;Role\nZoë;a,b\n".encode(),
        '\ufeffName,Role\r\nZoë,"a,b"\r\n'.encode(),
        "Name;Role\rZoë;a,b\r".encode("cp1252"),
        "sep=;\r\nName;Role\r\nZoë;a,b\r\n".encode("cp1252"),
        "Name\tRole\nZoë\ta,b\n".encode("utf-16"),
        "Name|Role\n\n\nZoë|a,b\n".encode(),
    ],
)
def test_a_csv_file_is_read_as_its_program_wrote_it(content: bytes) -> None:
    [row] = rows_of(content)
    assert (row["Name"], row["Role"]) == ("Zoë", "a,b")


def test_quoted_lines_and_blank_rows_keep_the_numbers_of_the_rows() -> None:
    rows = rows_of(b'Name,Notes\n"Ann","a\nb"\n\nBob,c\n')
    assert [(row["row number"], row["Notes"]) for row in rows] == [(2, "a\nb"), (4, "c")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("Name\nZoë".encode()[:-1], "cut off"),
        pytest.param(b"Name\n" * 2 + b"\n" * 1_048_576, "1,048,576 lines", id="blank lines"),
        (b"Name\nA\0nn\n", "isn't text"),
        (b"Name\n\x81\x8d\n", "isn't text"),
        (b'Name\n"Ann\n', "be read as CSV"),
        (b"Name\n", "no rows"),
        (b"", "no rows"),
        (b",".join(b"t" for _ in range(201)) + b"\n1\n", "200 columns"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(FileError, match=why):
        AnyFile().create_dataset(content)


def test_a_refused_file_is_said_beside_the_field(browser: Client) -> None:
    page = preview(browser, b"Name\nA\0nn\n")
    assert "text in UTF-8" in str(page.context["form"].errors["import_file"])
    page = preview(browser, b"PK\x03\x04 and nothing more")
    assert "be read as XLSX" in str(page.context["form"].errors["import_file"])


def test_a_workbook_is_read_as_a_person_sees_it() -> None:
    [row] = AnyFile().create_dataset(sheet(["Name", "A"], ["Ann", 7.0])).dict
    assert (row["Name"], row["A"]) == ("Ann", "7")


def test_half_a_character_in_a_workbook_is_replaced(browser: Client) -> None:
    content = changed(sheet(["Name", "Notes"], ["Ann", "a HALF b BOTH"]), "xl/sharedStrings.xml", b"HALF", b"_xD800_")
    content = changed(content, "xl/sharedStrings.xml", b"BOTH", b"_xD83D__xDE00_")
    assert "a \ufffd b \U0001f600" in preview(browser, content).content.decode()


def changed(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, data.replace(old, new) if name == part else data)
    return out.getvalue()


PART = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    "end",
    [b"</sheetData>" + b" " * 50_000_001, b"<row>" + b"<c/>" * 2_500_000 + b"</row></sheetData>"],
    ids=["white space without end", "countless short tags"],
)
def test_a_workbook_that_would_fill_the_memory_is_refused(end: bytes) -> None:
    with pytest.raises(FileError, match="too large once unpacked"):
        AnyFile().create_dataset(changed(sheet(["Name"], ["Ann"]), PART, b"</sheetData>", end))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("entity", ["'Ann'", "SYSTEM 'file:///etc/passwd'"])
def test_a_workbook_that_defines_entities_is_refused(encoding: str, entity: str) -> None:
    content = sheet(["Name"], ["Ann"])
    part = zipfile.ZipFile(io.BytesIO(content)).read(PART).decode()
    head = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE x [<!ENTITY a {entity}>]>"
    _, _, body = part.partition("?>")
    with pytest.raises(FileError, match="DOCTYPE"):
        AnyFile().create_dataset(changed(content, PART, part.encode(), (head + body).encode(encoding)))


@pytest.mark.parametrize("place", [b"XFD3", b"XFD1048576", b"A999999999999"])
def test_a_cell_far_out_takes_neither_memory_nor_minutes(place: bytes) -> None:
    number = place.lstrip(b"ADFX")
    row = b'<row r="' + number + b'"><c r="' + place + b'"><v>1</v></c></row></sheetData>'
    dataset = AnyFile().create_dataset(changed(sheet(["Name"], ["Ann"]), PART, b"</sheetData>", row))
    assert [row["Name"] for row in dataset.dict] == ["Ann"]


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99)])
def test_a_workbook_with_a_password_or_an_unknown_packing_is_refused(place: int, value: int) -> None:
    content = bytearray(sheet(["Name"], ["Ann"]))
    content[content.index(b"PK\x01\x02") + place] = value
    content[place - 2] = value
    with pytest.raises(FileError):
        AnyFile().create_dataset(bytes(content))


@pytest.mark.parametrize("text", AWKWARD)
def test_the_escape_of_formulae_is_taken_off_again(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    assert escape_formula(text)[0] not in "=+-@\t\r\n＝"


@pytest.mark.parametrize("file_format", [0, 1])
def test_an_unchanged_export_changes_nothing(browser: Client, file_format: int) -> None:
    nova = [Organization.objects.create(name="Nova", aliases=["a;b", "'c", 'q"x', "=1", "a,b", "-"]) for _ in range(2)]
    billed = Contact.objects.create(name="billing@nova", email="")
    Organization.objects.create(name="Orbit", billing_contact=billed, address_country="Sweden")
    for number, text in enumerate(AWKWARD):
        Contact.objects.create(
            name=text[:200].strip() or "x", email=f"p{number}@x.org", notes=text, organization=nova[number % 2]
        )
    for kind in ("contact", "organization"):
        content = exported(browser, kind, file_format)
        page = preview(browser, content, kind)
        assert list(counts(page)) == ["skip"], (kind, [row.diff for row in page.context["valid_rows"]])
        assert list(counts(preview(browser, content, kind, clear_empty="on"))) == ["skip"]


def test_no_cell_of_an_export_is_a_formula(browser: Client) -> None:
    for text in ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"):
        Contact.objects.create(name=text)
    Contact.objects.create(name="Ann;=1+1")
    content = exported(browser)
    assert b'"\'=HYPERLINK(1)"' in content
    assert b'"Ann;=1+1"' in content
    book = openpyxl.load_workbook(io.BytesIO(exported(browser, file_format=1)))
    cells = [cell for row in book.active.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert "+1" in {cell.value for cell in cells}


def test_a_text_that_no_cell_of_excel_takes_is_not_cut_off(browser: Client) -> None:
    Contact.objects.create(name="Ann", notes="😀" * 20_000)
    answer = browser.post("/admin/npd/contact/export/", {"format": "1", "resource": "0"}, follow=True)
    assert "Row 2 has a text that is too long for a cell of Excel. Use CSV." in answer.content.decode()
    assert list(counts(preview(browser, exported(browser)))) == ["skip"]


def test_an_export_has_the_list_and_no_sync_field(browser: Client, django_assert_max_num_queries: Any) -> None:
    nova = Organization.objects.create(name="Nova")
    for number in range(60):
        Contact.objects.create(name=f"Person {number}", organization=nova)
    with django_assert_max_num_queries(60):
        rows = rows_of(exported(browser, query="?q=person+1"))
    assert {row["Name"] for row in rows} == {f"Person {number}" for number in range(60) if "1" in str(number)}
    assert list(rows[0])[:-2] == ["Name", "Email", "Organization", "Role", "Phone", "Notes", "NPD ID"]
    assert LogEntry.objects.latest("pk").change_message == "Exported 15 rows as CSV. Filters: q."


def test_an_export_asks_for_its_own_right_and_that_to_view(client: Client, db: None) -> None:
    for codes, status in (
        (["view_contact", "export_contact"], 200),
        (["view_contact"], 403),
        (["export_contact"], 403),
    ):
        client.force_login(staff_who_may(*codes, name=" ".join(codes)))
        assert client.get("/admin/npd/contact/export/").status_code == status
        assert client.post("/admin/npd/contact/export/", {"format": "0", "resource": "0"}).status_code == status
