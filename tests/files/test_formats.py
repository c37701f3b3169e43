"""Files as other programs write them, and exported files that come back unchanged."""

import io
import time
import zipfile
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.hostile_files import HOSTILE, MEGABYTES, ORDINARY, PART, SECONDS, STYLES, changed, cost, in_styles, sheet
from npd.models import Contact, Organization
from sync.operations.file_formats import CSV, ROW_NUMBER, XLSX, escape_formula, read_file, unescape_formula
from sync.operations.import_columns import KnownTitles
from sync.operations.import_rows import email_addresses
from sync.operations.record_files import resource_of
from sync.operations.workbooks import FileError
from sync.registry import entities
from tests.files.conftest import counts, exported, preview
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db

AWKWARD = [
    "_x0041_", "_x0041__x0042_", "<r>x</r>",
    "=1+1", "==1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=already", "''-x", "' =x", "'quoted", "＝1",
    "two\r\nlines", "_x000D_", "x" * 30_000, "007", "'007", "''007", "1e5", "true", "a;b", 'q"x', "-", "n/a", "NULL",
]  # fmt: skip


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return read_file(content)[0].dict


@pytest.mark.parametrize(
    "content",
    [
        "Name;Role\nZoë;a,b\n".encode(),
        '\ufeffName,Role\r\nZoë,"a,b"\r\n'.encode(),
        "Name;Role\rZoë;a,b\r".encode("cp1252"),
        "sep=;\r\nName;Role\r\nZoë;a,b\r\n".encode("cp1252"),
        "SEP=;\r\nName;Role\r\nZoë;a,b\r\n".encode(),
        "Name\tRole\nZoë\ta,b\n".encode("utf-16"),
        "Name|Role\n\n\nZoë|a,b\n".encode(),
        'Name,Role\nZoë,"a,b"\n'.encode("utf-16-le"),
        'Name,Role\nZoë,"a,b"\n'.encode("utf-16-be"),
        "Name;Role;\r\r\nZoë;a,b;\r\r\n".encode(),
        "\ufeffsep=;\r\nName;Role;;;\nZoë;a,b;;;\r".encode(),
        *(f'\n \nName{sign}Role\nZoë{sign}"a,b"\n'.encode() for sign in ",;\t|"),
    ],
)
def test_a_csv_file_is_read_as_its_program_wrote_it(content: bytes) -> None:
    [row] = rows_of(content)
    assert (row["Name"], row["Role"]) == ("Zoë", "a,b")


KNOWN = {"Name", "Email"}


@pytest.mark.parametrize(
    ("text", "names", "around"),
    [
        ("Customers 2026,,,\n,,,\nName,Email,A,B\nAnn,a,1,2\n", ["Ann"], "1"),
        ("Report;Customers\nDay;29\n\nName;Email;A\nAnn;a,b;1\n", ["Ann"], "1, 2"),
        ("Name,Email,A,B\nAnn,a,1,2\n\n\nCopyright (c) 2026 Nova\nNova Ltd\n", ["Ann"], "5, 6"),
        ("Name,Email,A,B\nAnn,a,1,2\n\nBob\n\nCid\n\nNova Ltd\nPage 1\n", ["Ann", "Bob", "Cid"], "8, 9"),
        ("Name,Email,A,B\nAnn,a,1,2\nBob,b,1,2\nTotal:,,2,4\n", ["Ann", "Bob"], "4"),
        (
            "Name,Email,A\nTotal,75008,\nTotal Energies\nAnn,a,1\nTotal\n",
            ["Total", "Total Energies", "Ann", "Total"],
            "",
        ),
        ("Name,Email\nAnn,a\nPage 1 of 2\nBob,b\nCount: 2,\nPrinted on 5 May,\n", ["Ann", "Bob"], "3, 5, 6"),
        ("Person,,\nName,Email,Role\nAnn,a,Name\n", ["Ann"], "1"),
        ("Name,Email\nAnn,a\n\ufeffName,Email\nBob,b\n1 contact,\nTotal records: 2,\n", ["Ann", "Bob"], "3, 5, 6"),
        ("Name,A\nAnn,1\nAnn Total,1\nBob Total,2\nGrand Total,3\n", ["Ann", "Bob Total"], "3, 5"),
        ("Name,\n33 Records,\nPage 1\nTotal,\n", ["33 Records", "Page 1", "Total"], ""),
        ("Name,Email\nPage 1 Books\nCopyright Agency\n", ["Page 1 Books", "Copyright Agency"], ""),
        (
            "Team\nName,Subitems,Email\nAnn,s,a\nSubitems,Name,Owner\n,s,Kim\n,t,Kim\nBob,,b\n",
            ["Ann", "Bob"],
            "1, 4, 5, 6",
        ),
        ("Name,Email,A,B\nAnn,a,1,2\nTotal,t@x.org,1,2\n", ["Ann", "Total"], ""),
        ("Name,Email,A,B\nAnn,a,1,2\nBob,,,\n", ["Ann", "Bob"], ""),
        ("People\nNew\nName,Email\nAnn,a\n\nOld\nName,Email\nBob,b\n", ["Ann", "Bob"], "1, 2, 6, 7"),
        ("Name,Email\nAnn,a\nBob,\n\nNAME,Email\nCid,c\n", ["Ann", "Bob", "Cid"], "5"),
        ("List,Page 1\nName,Email\nAnn,a\nBob,b\nList,Page 2\nName,Email\nCid,c\n", ["Ann", "Bob", "Cid"], "1, 5, 6"),
        ("List\n29 May,Kim\nName,Email\nAnn,a\nList\n30 May,Kim\nName,Email\nBob,b\n", ["Ann", "Bob"], "1, 2, 5, 6, 7"),
        ("List,Page 1\nName,Email\nAnn,a\nName,Email\nCid,c\n", ["Ann", "Cid"], "1, 4"),
        ("Name,Email,A\nAnn,a,1\nName,Email,\nBob,b,\n,Email,A\nCid,c\n", ["Ann", "Bob", "Cid"], "3, 5"),
        ("T,Name,Email\nX,Ann,a\nX,Name,Email\nX,Bob,b\n", ["Ann", "Bob"], "3"),
        ("Name,Email,A\nName,a,1\nBob,Email,2\n", ["Name", "Bob"], ""),
        ("Name,Email,A\nAnn,a,1\nAnn Total,t,2\n", ["Ann", "Ann Total"], ""),
        ("Name,Email,News,Events\nAnn,a,News,Events\nBob,b,,Events\n", ["Ann", "Bob"], ""),
        ("Name,Email,News,Events\nAnn,,News,Events\n,b,News,Events\n", ["Ann", ""], ""),
        ("Name,Email,News,Events\nName,a,News,Events\nBob,b,,\n", ["Name", "Bob"], ""),
        ("Name,Email,A,B\nAnn,a,1,2\nName,Email,1,2\nBob,b,1,2\n", ["Ann", "Bob"], "3"),
        ("Name,Email,A,B\nAnn,a,1,2\n,,A,B\nBob,b,1,2\n", ["Ann", "Bob"], "3"),
        (
            "Name,Email,A\nAnn,a,1\nSumme,,1\nBob,b,2\nZwischensumme:,,3\nCid,c,1\nSum,,4\n",
            ["Ann", "Bob", "Cid"],
            "3, 5, 7",
        ),
        ("Name,Email,A\nAnn,a,1\nSubtotal: 1\nBob,b,2\nZwischensumme\nCid,c,1\n", ["Ann", "Bob", "Cid"], "3, 5"),
        ("Name,Email,A\nAnn,a,1\n,Gesamt,1.000 %\nBob,b,1\n", ["Ann", "Bob"], "3"),
        (
            "Name,Email,A\nTotal,,+33 1 47 44 45 46\nTotal,,01 47 44 45 46\nTotal\nBob,b,1\n",
            ["Total"] * 3 + ["Bob"],
            "",
        ),
        ("Name,Email,A\nSumme,s@x.org,1\nSummer,,1\nBob,b,1\n", ["Summe", "Summer", "Bob"], ""),
    ],
)
def test_what_stands_around_the_table_is_no_record_and_is_said(text: str, names: list[str], around: str) -> None:
    rows, notes, _ = read_file(text.encode(), count_known=lambda titles: len(KNOWN & set(titles)))
    assert [row["Name"] for row in rows.dict] == names
    assert notes == ([f"Rows without a record (titles, sums, headings), not imported: {around}."] if around else [])


@pytest.mark.parametrize(
    ("content", "people"),
    [
        (b"Name;Email;;\r\nAnn;a@x.org;;\r\n", ["Ann a@x.org"]),
        (b"\xfe\xff" + "Name\tEmail\nZoë\tz@x.org\n".encode("utf-16-be"), ["Zoë z@x.org"]),
        (b'Name;Phone;"Email"\nAnn;"030\n031";a@x.org\n', ["Ann a@x.org"]),
        ("\u00a0Name\u00a0;Email\u00a0\nAnn\u00a0;a@x.org\n".encode(), ["Ann a@x.org"]),
        ("\ufeffsep=;\rName;Email\rAnn;a@x.org\r".encode(), ["Ann a@x.org"]),
        (b"Name;Notes;Email\nAnn;a, b, c, d;a@x.org\nBob;e, f, g;b@x.org\n", ["Ann a@x.org", "Bob b@x.org"]),
        (b"Name,Email\r\nAnn,a@x.org\r\n\x1a", ["Ann a@x.org"]),
        (b";;Name;Email\n;;Ann;a@x.org\n", ["Ann a@x.org"]),
        (b"# made by hand\n\nName,Email\nAnn,a@x.org\n", ["Ann a@x.org"]),
        (b"Name,Email,Sales\nAnn,a@x.org,10\nBob,b@x.org,20\nSumme,,30\n", ["Ann a@x.org", "Bob b@x.org"]),
        ("Name,Email\n\u200fAnn\u200e,\u202aa@x.org\u202c\n".encode(), ["Ann a@x.org"]),
        (b'Name,Email\nAnn 5" Ace,a@x.org\n"Bob 6"" Ace",b@x.org\n', ['Ann 5" Ace a@x.org', 'Bob 6" Ace b@x.org']),
        (b"'Name','Email'\n'O''Brien','o@x.org'\n", ["O'Brien o@x.org"]),
        (b"#,Name,Email\n1,Ann,a@x.org\n#,Name,Email\n2,Bob,b@x.org\n", ["Ann a@x.org", "Bob b@x.org"]),
        # Saved as CSV by a program that had read each line as one cell.
        (b'"Name,""Email"",Role"\r\n"Ann,""a@x.org"",""Chair, Cook"""\r\n', ["Ann a@x.org"]),
        (b'"Name;Email";;\n"Ann;a@x.org";;\n\n"Bob;b@x.org";;\n', ["Ann a@x.org", "Bob b@x.org"]),
        (b'Name,Email,Role\n"Ann,a@x.org,""Chair, Cook"""\nBob,b@x.org,\n', ["Ann a@x.org", "Bob b@x.org"]),
        (b'"Name,""Email"",Notes"\n"Ann,a@x.org,""one"\n"two"""\n"Bob,b@x.org,"\n', ["Ann a@x.org", "Bob b@x.org"]),
        (sheet(["Name;Email"], ["Ann;a@x.org"], [], ['"Bob; B";b@x.org']), ["Ann a@x.org", "Bob; B b@x.org"]),
        (b'"Name","Email"\n"Ann ""A"", Ace",\n"Bob"\n', ['Ann "A", Ace ', "Bob "]),
        (sheet(["People", "", "Reach"], ["No", "Name", "Email"], [1, "Ann", "a@x.org"]), ["Ann a@x.org"]),
    ],
)
def test_messy_files_are_read(content: bytes, people: list[str]) -> None:
    rows = read_file(content, count_known=KnownTitles(Contact).count)[0]
    assert [f"{row['Name']} {row['Email']}" for row in rows.dict] == people


def test_rows_of_one_cell_keep_their_numbers_below_blank_ones() -> None:
    content = sheet(["Name;Email"], ["Ann;a@x.org"], [], [], ["Bob;b@x.org"])
    rows = read_file(content, count_known=KnownTitles(Contact).count)[0]
    assert [(row[ROW_NUMBER], row["Name"]) for row in rows.dict] == [(2, "Ann"), (5, "Bob")]


def test_a_cell_that_is_longer_than_csv_allows_is_no_line_of_cells() -> None:
    long = b"<row><c t='str'><v>\"" + b"x," * 100_000 + b"</v></c></row></sheetData>"
    content = changed(sheet(["Name", "Email"], ["Ann", "a@x.org"]), PART, b"</sheetData>", long)
    assert [row["Email"] for row in rows_of(content)] == ["a@x.org", ""]


def test_names_with_commas_in_one_column_are_no_cells_of_several() -> None:
    rows = read_file(b'"Name"\n"Ace, Ann"\n"Bob ""B"", Ltd"\n', count_known=KnownTitles(Contact).count)[0]
    assert [row["Name"] for row in rows.dict] == ["Ace, Ann", 'Bob "B", Ltd']


def test_a_repeated_title_row_under_a_merged_cell_is_no_record() -> None:
    def fill(book: Any) -> None:
        for row in (["Firm", "Name", "Email"], ["Nova", "Ann", "a"], [None, "Name", "Email"], [None, "Bob", "b"]):
            book.active.append(row)
        book.active.merge_cells("A2:A4")

    rows = read_file(workbook(fill), count_known=KnownTitles(Contact).count)[0]
    assert [(row["Firm"], row["Name"]) for row in rows.dict] == [("Nova", "Ann"), ("Nova", "Bob")]


def test_of_many_rows_around_the_table_the_first_are_named() -> None:
    text = "Name,Email\nAnn,a\nSubitems,Name\n" + ",s\n" * 60
    [note] = read_file(text.encode(), count_known=lambda titles: len(KNOWN & set(titles)))[1]
    assert note.endswith(", 51, 52 and 11 more.")


def test_a_separator_is_judged_by_all_titles_and_rows() -> None:
    [row, _] = rows_of(b"Name, Vorname;Email\nAce, Ann;a@x.org\nBob, Bo;b@x.org\n")
    assert row["Name, Vorname"] == "Ace, Ann"
    [row] = rows_of(b'Name,Notes\n"Ann \\"Ace\\"","C:\\dir"\n')
    assert (row["Name"], row["Notes"]) == ('Ann "Ace"', "C:dir")
    [row] = rows_of(b'Name,Notes\n"Ann","C:\\dir\\"\n')
    assert row["Notes"] == "C:\\dir\\"
    [row, other] = rows_of(b'Name, Email, Zip\nAnn, "a,b@x.org", ="01067"\nBob,,\'01067\n')
    assert other["Zip"] == row["Zip"]
    assert (row["Name"], row["Email"], row["Zip"]) == ("Ann", "a,b@x.org", "01067")


def test_quoted_lines_and_blank_rows_keep_the_numbers_of_the_rows() -> None:
    rows = rows_of(b'Name,Notes\n"Ann","a\nb"\n\nBob,c\n')
    assert [(row["row number"], row["Notes"]) for row in rows] == [(2, "a\nb"), (4, "c")]


def test_of_unknown_titles_the_first_row_counts_and_the_last_one_never() -> None:
    [row] = read_file(b"A,B\n1,2,3\n", count_known=lambda titles: 0)[0].dict
    assert row["A"] == "1"
    [row] = read_file(b"A,B\n1,Name\n", count_known=lambda titles: "Name" in titles)[0].dict
    assert row["A"] == "1"


def test_apostrophes_may_stand_for_quotation_marks() -> None:
    [row, other] = rows_of(b"'Name';'Email'\n'Ann; A';'a@x.org'\nO'Neil;o'n@x.org\n")
    assert (row["Name"], row["Email"]) == ("Ann; A", "a@x.org")
    assert (other["Name"], other["Email"]) == ("O'Neil", "o'n@x.org")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("Name\nZoë".encode()[:-1], "cut off"),
        pytest.param(b"Name\n" * 2 + b"\n" * 1_048_576, "1,048,576 lines", id="blank lines"),
        (b"Name\nA\0nn\n", "isn't text"),
        (b"\xef\xbb\xbf<html><table>", "is a web page"),
        (b"begin:vcard\nFN:Ann\n", "is vCards"),
        ("\n BEGIN:VCARD\nFN:Ann\n".encode("utf-16"), "is vCards"),
        ("BEGIN:VCARD\nFN:Ann\n".encode("utf-16-be"), "is vCards"),
        (b"{\\rtf1 Name}", "is an RTF"),
        (b'\n[\n  {"name": "Ann"}]', "is JSON"),
        (sheet(["Name"]), "Hidden sheets are not read"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "XLS workbook"),
        (b"Name\n\x81\x8d\n", "isn't text"),
        (b'Name\n"Ann\n', "be read as CSV"),
        (b'Name,Notes\nAnn,"a\nb"\nBob,"the "best" one"\n', "Row 3, in line 4"),
        ("Name\nJürgen\nZoë\nJ".encode() + b"\xfcrgen\nW\xc3\xa4lde\n", "Line 4 has a byte that isn't UTF-8"),
        ("Name\nZoë\nJ".encode() + b"\xfcrgen\n", "Line 3 has a byte that isn't UTF-8"),
        ("Name\rZoë\rJ".encode() + b"\xfcrgen\r", "Line 3 has a byte that isn't UTF-8"),
        ("Name\r\nZoë\r\nJ".encode() + b"\xfcrgen\r\n", "Line 3 has a byte that isn't UTF-8"),
        (b'Name,Notes\rAnn,"a\rb"\rBob,"the "best" one"\r', "Row 3, in line 4"),
        (b"Name\n", "no rows"),
        (b"", "no rows"),
        (b",".join(b"t" for _ in range(201)) + b"\n1\n", "200 columns"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(FileError, match=why):
        read_file(content)


def test_a_line_of_utf8_among_others_is_named() -> None:
    content = b"Name\nJ\xfcrgen\nWei\xdf\n" + "Zoë\n".encode()
    notes = read_file(content)[1]
    assert notes[1].startswith("Line 4 is written in UTF-8, unlike others")
    assert len(read_file("Name\nJürgen\nWeiß\n".encode("cp1252"))[1]) == 1
    assert len(read_file("Имя\nПётр\nАнна\n".encode("cp1251"))[1]) == 1


def test_a_refused_file_is_said_beside_the_field(browser: Client) -> None:
    page = preview(browser, b"Name\nA\0nn\n")
    assert "text in UTF-8" in str(page.context["form"].errors["import_file"])
    page = preview(browser, b"PK\x03\x04 and nothing more")
    assert "be read as XLSX" in str(page.context["form"].errors["import_file"])


def test_hidden_rows_and_formulas_without_a_value_are_said() -> None:
    def fill(book: Any) -> None:
        for row in (["Name", "A"], ["Ann", "=1+1"], ["Bob", 2]):
            book.active.append(row)
        book.active.row_dimensions[3].hidden = True

    rows, notes, _ = read_file(workbook(fill))
    assert [row["Name"] for row in rows.dict] == ["Ann", "Bob"]
    assert notes[0] == "Rows that a filter hides are imported, too: 1."
    assert notes[1].startswith("Formulas without a value in the file: 1.")


def test_half_a_character_in_a_workbook_is_replaced(browser: Client) -> None:
    content = changed(sheet(["Name", "Notes"], ["Ann", "a HALF b BOTH"]), "xl/sharedStrings.xml", b"HALF", b"_xD800_")
    content = changed(content, "xl/sharedStrings.xml", b"BOTH", b"_xD83D__xDE00_")
    assert "a \ufffd b \U0001f600" in preview(browser, content).content.decode()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_within_two_seconds_and_little_memory(browser: Client, name: str) -> None:
    seconds, megabytes = cost(browser, HOSTILE[name](), is_refused=True)
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("name", ORDINARY)
def test_the_largest_ordinary_files_take_little_memory(browser: Client, name: str) -> None:
    _, megabytes = cost(browser, ORDINARY[name](), is_refused=False)
    assert megabytes < MEGABYTES


def test_a_workbook_with_a_long_number_format_in_each_cell_is_refused() -> None:
    """Each such cell takes 40 µs, so that a file of 30 kB would take 15 s."""
    formats = b'<numFmt numFmtId="9" formatCode="' + b"0#" * 29 + b'"/><cellXfs><xf numFmtId="9"/></cellXfs>'
    cells = (b"<row>" + b"<c s='0'><v>123456789</v></c>" * 60 + b"</row>") * 600
    content = changed(in_styles(b"<fonts", formats), PART, b"</sheetData>", cells + b"</sheetData>")
    with pytest.raises(FileError, match="too large once unpacked"):
        read_file(content)


def test_a_workbook_of_very_many_parts_is_refused() -> None:
    """Each part takes 0.1 ms, so that a file of 5 MB would take 7 s."""
    content = io.BytesIO(sheet(["Name"], ["Ann"]))
    with zipfile.ZipFile(content, "a") as book:
        for number in range(5_000):
            book.writestr(f"xl/media/{number}", "")
    with pytest.raises(FileError, match="too large once unpacked"):
        read_file(content.getvalue())


def test_a_sheet_that_is_too_large_is_left_out_if_its_titles_are_not_known() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for title, number in (("Name", 1), ("When", 5_001)):
            page = book.add_worksheet(title)
            for place in range(number + 1):
                page.write(place, 0, place or title)
    rows, notes, _ = read_file(out.getvalue(), count_known=lambda titles: "Name" in titles)
    assert (len(rows), notes) == (1, ["Sheets that are not imported: When."])
    with pytest.raises(FileError, match="5,000 rows"):
        read_file(out.getvalue())


# --- workbooks as other programs write them ---


def as_strict(content: bytes) -> bytes:
    """Return the workbook in the namespaces of Strict Open XML (ISO/IEC 29500-1)."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            for old, new in (
                (b"spreadsheetml/2006/main", b"spreadsheetml/main"),
                (b"/2006/relationships", b"/relationships"),
            ):
                text = text.replace(b"http://schemas.openxmlformats.org/", b"http://purl.oclc.org/ooxml/").replace(
                    old, new
                )
            after.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: changed(content, STYLES, b'<fill><patternFill patternType="none"/></fill>', b"<fill/>"),
        lambda content: changed(content, STYLES, b"</fill>", b'<extLst><ext uri="x"/></extLst></fill>'),
        lambda content: changed(content, STYLES, b"<fonts", b"<fonts odd='1'"),
        lambda content: changed(content, "docProps/core.xml", b"2000-01-01T00:00:00Z", b"1. Januar 2000"),
        lambda content: changed(content, "xl/theme/theme1.xml", b"<a:theme", b"<no theme"),
        lambda content: changed(content, "xl/_rels/workbook.xml.rels", b'Target="', b'Target="/xl/'),
        lambda content: changed(content, PART, b' spans="1:2"', b""),
        lambda content: changed(changed(content, PART, b' r="A2"', b""), PART, b' r="B2"', b""),
        as_strict,
    ],
)  # fmt: skip
def test_a_workbook_is_read_whatever_its_program_wrote_beside_the_cells(change: Any) -> None:
    [row] = rows_of(change(sheet(["Name", "Role"], ["Ann", "Chair"])))
    assert (row["Name"], row["Role"]) == ("Ann", "Chair")


@pytest.mark.parametrize(
    ("number", "number_format", "shown"),
    [
        (1067, "00000", "01067"), (1067, "General", "1067"), (7.0, "0.00", "7.00"), (7.0, "General", "7"),
        (491701234567, "+0", "+491701234567"),
        (2125551234, "[<=9999999]###\\-####;\\(###\\)\\ ###\\-####", "(212) 555-1234"), (0.5, "0%", "50%"),
        (123456789, "000-00-0000", "123-45-6789"), (12, '"K-"0000', "K-0012"), (-5, "0;(0)", "(5)"),
        (1234567.891, "#,##0.00", "1,234,567.89"), (1e15, "General", "1000000000000000"), (0.1 + 0.2, "General", "0.3"),
        (46346, "dd.mm.yyyy", "2026-11-20"), (46346, "mm-dd-yy", "2026-11-20"), (0.75, "h:mm AM/PM", "18:00"),
        (46346.5, "yyyy-mm-dd hh:mm", "2026-11-20 12:00"), (46346, "[$-407]d. mmmm yyyy", "2026-11-20"),
        (1.5, "[h]:mm", "36:00"), (5e6, '0.0,,"M"', "5.0M"), (True, "General", "TRUE"),
        (2.5, "0.##", "2.5"), (2, "0.##", "2"), (1234.5, '#,##0.00\\ "€"', "1,234.50 €"),
        (123456789, "0#\\ ##\\ ##\\ ##\\ ##", "01 23 45 67 89"), (1067, "0####", "01067"), (1067, "0#####", "001067"),
        (123456789, "0#-##-##-##-##", "01-23-45-67-89"), (7, "##0#", "07"), (1.5, "0.#0", "1.50"), (0, "#0", "0"),
    ],
)  # fmt: skip
def test_a_number_is_what_its_cell_shows(number: Any, number_format: str, shown: str) -> None:
    def fill(book: Any) -> None:
        for row in (["Name", "Zip code"], ["Nova", number]):
            book.active.append(row)
        book.active["B2"].number_format = number_format

    assert [row["Zip code"] for row in rows_of(workbook(fill))] == [shown]


def workbook(fill: Any) -> bytes:
    book = openpyxl.Workbook()
    out = io.BytesIO()
    fill(book)
    book.save(out)
    return out.getvalue()


def test_a_merged_cell_counts_for_all_its_rows_and_blank_ones_stay_blank() -> None:
    def fill(book: Any) -> None:
        for row in (["Company", "Name"], ["Nova", "Ann"], [None, "Bob"], [None, None], ["Orbit", "Cid"], [None, "Dan"]):
            book.active.append(row)
        book.active.merge_cells("A2:A4")
        book.active.merge_cells("A5:B5")

    rows = [(row["row number"], row["Company"], row["Name"]) for row in rows_of(workbook(fill))]
    assert rows == [(2, "Nova", "Ann"), (3, "Nova", "Bob"), (5, "Orbit", ""), (6, "", "Dan")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("entity", ["'Ann'", "SYSTEM 'file:///etc/passwd'"])
def test_a_workbook_that_defines_entities_is_refused(encoding: str, entity: str) -> None:
    content = sheet(["Name"], ["Ann"])
    part = zipfile.ZipFile(io.BytesIO(content)).read(PART).decode()
    head = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE x [<!ENTITY a {entity}>]>"
    _, _, body = part.partition("?>")
    with pytest.raises(FileError, match="DOCTYPE"):
        read_file(changed(content, PART, part.encode(), (head + body).encode(encoding)))


@pytest.mark.parametrize("place", [b"XFD3", b"XFD1048576", b"A999999999999"])
def test_a_cell_far_out_takes_neither_memory_nor_minutes(place: bytes) -> None:
    number = place.lstrip(b"ADFX")
    row = b'<row r="' + number + b'"><c r="' + place + b'"><v>1</v></c></row></sheetData>'
    rows = rows_of(changed(sheet(["Name"], ["Ann"]), PART, b"</sheetData>", row))
    assert [row["Name"] for row in rows] == ["Ann"]


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99)])
def test_a_workbook_with_a_password_or_an_unknown_packing_is_refused(place: int, value: int) -> None:
    content = bytearray(sheet(["Name"], ["Ann"]))
    content[content.index(b"PK\x01\x02") + place] = value
    content[place - 2] = value
    with pytest.raises(FileError):
        read_file(bytes(content))


@pytest.mark.parametrize("text", AWKWARD)
def test_the_escape_of_formulae_is_taken_off_again(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    assert escape_formula(text)[0] not in "=+-@\t\r\n＝"


# Pieces of texts that files write otherwise, or that mean something at the start of a cell.
PIECES = [
    "_", "_x", "x0041", "0041", "_x005F_", "<r>", "</r>", "&", "<", "\r", "\n", "\t", "\x0b", "\x1f", "\ufffe",
    "\uffff", "\\", '"', '=\"', "'", ";", ",", "|", "=", "+", "-", "@", " ", "\u00a0", "\ufeff", "\u200b", "0", "ö",
    "😀", "Total",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(texts=["_x0041_x0042_", "_x005F_x0041_", "_x0041\r", "<r></r>"], file_format=XLSX)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), file_format=st.sampled_from([CSV, XLSX]))
def test_any_text_of_a_record_comes_back_as_it_was_exported(person: User, texts: list[str], file_format: Any) -> None:
    with transaction.atomic():
        for number, text in enumerate(texts):
            Contact.objects.create(name=f"{text}{number}", role_title=text, notes=text)
            Organization.objects.create(name=f"{number}{text}", aliases=[text] * bool(text), notes=text)
        for resource in map(resource_of, (Contact, Organization)):
            content = file_format().export_data(resource().export())
            data = content if isinstance(content, bytes) else content.encode("utf-8-sig")
            rows = read_file(data, count_known=KnownTitles(resource._meta.model).count)[0]
            result = resource(options={"clear_empty": "on"}).import_data(rows, dry_run=True, user=person)
            assert [row.diff for row in result.rows] == [[]] * len(texts)
        transaction.set_rollback(True)


@pytest.mark.parametrize("file_format", [0, 1])
def test_an_unchanged_export_changes_nothing(browser: Client, file_format: int) -> None:
    nova = [Organization.objects.create(name="Nova", aliases=["a;b", "'c", 'q"x', "=1", "a,b", "-"]) for _ in range(2)]
    billed = Contact.objects.create(name="billing@nova", email="")
    Organization.objects.create(name="Orbit", billing_contact=billed, address_country="Sweden")
    for number, text in enumerate(AWKWARD):
        Contact.objects.create(
            name=text[:200].strip() or "x", email=f"p{number}@x.org", notes=text, organization=nova[number % 2]
        )
    for kind in (spec.entity_type for spec in entities()):
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


@pytest.mark.parametrize("signs", ["'", "@", "a@", " '", "<"])
def test_the_address_in_a_cell_of_many_signs_is_found_at_once(signs: str) -> None:
    began = time.process_time()
    found = email_addresses("a" + signs * 30_000 + "b@x.org")
    assert time.process_time() - began < 1
    assert set(found) <= {"b@x.org"}
