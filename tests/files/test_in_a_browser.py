"""The import in a real browser: its three steps, the refused rows, and the undo, on a desk and on a phone."""

import csv
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect

from npd.models import Contact
from tests.admin import states
from tests.files.conftest import counts, exported, preview
from tests.support.pages import barriers

pytestmark = [pytest.mark.django_db(transaction=True)]

MESSY = 300
PHONES = [
    "0511 / 44 55 66",
    "+49 171 1234567",
    "call her",
    "",
    "030/901820-0",
    "(0511) 445566",
    "n/a",
    "+1 713 555 0150",
    "x",
]


def messy_rows() -> bytes:
    """People as a fair's list has them: doubles, namesakes, odd phones, a second company column."""
    lines = ["sep=;", "Vorname;Nachname;E-Mail-Adresse;Firma;Firma (alt);Telefon geschäftlich;Mobiltelefon;Farbe"]
    for number in range(MESSY):
        name = f"Jörg{number};O’Brien"
        address = f"p{number}@x.example"
        if number % 50 == 7:
            address = f"P{number - 1}@x.example"  # a double
        if number % 60 == 9:
            address = "no address"
        if number % 75 == 0:
            name = "Ann;O'Brien"
        firm = f"Nova {number % 3}" if number % 4 else ""
        lines.append(f"{name};{address};{firm};Alt {number};{PHONES[number % 9]};{PHONES[(number + 4) % 9]};red")
    return "\r\n".join(lines).encode("cp1252")


def refused_reasons(file: str) -> dict[tuple[str, ...], str]:
    titles, *rows = csv.reader(io.StringIO(file), delimiter=";")
    assert titles[-1] == "Reason"
    # What a spreadsheet would calculate, such as “+49 …”, has an apostrophe before it.
    return {tuple(cell.removeprefix("'") for cell in cells): reason for *cells, reason in rows}


def assert_imported_or_refused(row: list[str], reason: str) -> None:
    """Each value of a row is its record's, or there is a reason why not."""
    first_name, last_name, address, firm, old_firm, office, mobile, _ = row
    if reason.startswith("Row "):
        return
    is_address = "@" in address
    record = Contact.objects.filter(name=f"{first_name} {last_name}", email=address if is_address else "").first()
    assert record, (row, reason)
    assert is_address or "Email:" in reason, row
    assert record.organization is not None
    assert record.organization.name == (firm or old_firm), row
    phones = [phone for phone in (mobile, office) if sum(map(str.isdecimal, phone)) >= 5]
    if phones:
        digits = "".join(filter(str.isdecimal, record.phone))
        assert digits.endswith("".join(filter(str.isdecimal, phones[0])).lstrip("0")), (row, record.phone)
    else:
        is_given = bool({mobile, office} - {"", "n/a"})
        assert (record.phone, "Phone:" in reason) == ("", is_given), (row, reason)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_messy_list_goes_through_three_steps_and_each_row_becomes_a_record_or_is_downloaded(
    open_page: Any, person: User, width: int, scheme: str
) -> None:
    states.boards()
    Contact.objects.create(name="Ann O'Brien", email="ann@x.example", role_title="Chair")
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/import/")
    file = {"name": "fair.csv", "mimeType": "text/csv", "buffer": messy_rows()}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.locator(".npd-import form").dispatch_event("submit")
    expect(page.get_by_text("Reading the rows.")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('pageshow'))")
    page.get_by_role("button", name="Next").press("Enter")
    expect(page.get_by_text("Read as Windows-1252")).to_be_visible()
    expect(page.get_by_label("Firma (alt) goes to")).to_have_value("")
    page.get_by_label("Firma (alt) goes to").select_option("organization")
    page.get_by_label("Country of phone numbers without one").select_option("DE")
    page.get_by_label("Create organizations that aren't in NPD").check()
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Preview").press("Enter")
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Firma (alt) goes to")).to_have_value("organization")
    expect(page.get_by_label("Country of phone numbers without one")).to_have_value("DE")
    page.go_forward()
    expect(page.get_by_text("Columns that are not imported: Farbe.")).to_be_visible()
    expect(page.get_by_role("heading", name="Not imported: 6")).to_be_visible()
    expect(page.get_by_role("heading", name="New organizations: 78")).to_be_visible()
    expect(page.get_by_role("heading", name="Namesakes: 4")).to_be_visible()
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Import 294 rows").dblclick()
    expect(page.get_by_text("Imported: 294 new, 0 changed, 0 unchanged. Made 78 organizations:")).to_be_visible()
    expect(page.get_by_text("imported already")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("rows were not imported")).click()
    reasons = refused_reasons(download.value.path().read_text("utf-8-sig"))
    assert len([reason for reason in reasons.values() if reason.startswith("Row ")]) == 6
    for row in csv.reader(messy_rows().decode("cp1252").splitlines()[2:], delimiter=";"):
        assert_imported_or_refused(row, reasons.get(tuple(row), ""))
    undo = page.get_by_role("link", name="Undo…").first.get_attribute("href")
    page.goto("about:blank")  # what the server renders for a page that polls would be taken for the clerk's
    clerk = Client()
    clerk.force_login(person)
    for file_format in (0, 1):
        assert counts(preview(clerk, exported(clerk, file_format=file_format))) == {"skip": 295}
    page.goto(undo)
    page.get_by_role("button", name=re.compile("Undo and delete")).click()
    expect(page.get_by_text("372 records deleted.")).to_be_visible()
    assert Contact.objects.get().name == "Ann O'Brien"
    assert not errors
