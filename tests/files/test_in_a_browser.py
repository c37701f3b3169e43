"""The import in a real browser: its three steps, the refused rows, and the undo, on a desk and on a phone."""

import csv
import io
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from npd.models import Contact
from tests.admin import states
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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_messy_list_goes_through_three_steps_and_each_row_becomes_a_record_or_is_downloaded(
    open_page: Any, width: int, scheme: str
) -> None:
    states.boards()
    Contact.objects.create(name="Ann O'Brien", email="ann@x.example", role_title="Chair")
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/import/")
    file = {"name": "fair.csv", "mimeType": "text/csv", "buffer": messy_rows()}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.locator(".npd-import form").dispatch_event("submit")
    expect(page.get_by_text("Reading the rows.")).to_be_visible()
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
    expect(page.get_by_text("Columns that are not imported: Farbe.")).to_be_visible()
    expect(page.get_by_role("heading", name="Not imported: 6")).to_be_visible()
    expect(page.get_by_role("heading", name="New organizations: 78")).to_be_visible()
    expect(page.get_by_role("heading", name="Namesakes: 4")).to_be_visible()
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Import 294 rows").press("Enter")
    expect(page.get_by_text("Imported: 294 new, 0 changed, 0 unchanged. Made 78 organizations:")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("rows were not imported")).click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert all(row["Reason"] for row in rows)
    records = set(Contact.objects.values_list("name", flat=True))
    assert all(f"Jörg{number} O’Brien" in records for number in range(MESSY) if number % 75 and number % 50 != 7)
    assert len([row for row in rows if row["Reason"].startswith("Row ")]) == 6
    page.get_by_role("link", name="Undo…").first.click()
    page.get_by_role("button", name=re.compile("Undo and delete")).click()
    expect(page.get_by_text("372 records deleted.")).to_be_visible()
    assert Contact.objects.get().name == "Ann O'Brien"
    assert not errors
