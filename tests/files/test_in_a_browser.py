"""The import in a real browser: dirty rows are previewed, imported and undone."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from npd.models import Contact, Organization
from tests.admin import states
from tests.support.pages import barriers

pytestmark = [pytest.mark.django_db(transaction=True)]

LAST_NAMES = ("Ångström", "O'Brien", "Müller; Sohn", "Łukasz", "=SUM(A1)", "van der Berg")


def dirty_row(number: int) -> str:
    """One of 300: every third is known, every tenth is wrong, every twentieth names an unknown company."""
    email = "no address" if number % 10 == 0 else f"P{number}@X.example"
    phone = "#N/A" if number % 2 else f"+46 8 1234{number:03}"
    company = "Unknown AB" if number % 20 == 1 else "nova" if number % 4 == 0 else ""
    return f'First {number};"{LAST_NAMES[number % 6]}";{email};{phone};{company};red\r\n'


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_dirty_rows_are_imported_and_undone(open_page: Any, tmp_path: Path, width: int, scheme: str) -> None:
    states.boards()
    Organization.objects.create(name="Nova")
    for number in range(0, 300, 3):
        Contact.objects.create(name=f"Known {number}", email=f"p{number}@x.example", role_title="Chair")
    before = list(Contact.objects.order_by("pk").values_list("pk", "name", "phone", "organization"))
    file = tmp_path / "fair.csv"
    rows = "".join(dirty_row(number) for number in range(300))
    file.write_bytes(
        f"sep=;\r\nVorname;Nachname;E-Mail-Adresse;Telefon;Firma;Farbe\r\n{rows}".encode("cp1252", "replace")
    )
    page, errors = open_page(width, scheme)

    page.goto("/admin/npd/contact/import/")
    assert not barriers(page)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Preview").press("Enter")
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    expect(page.get_by_text("Columns that are not imported: Farbe.")).to_be_visible()
    expect(page.get_by_role("heading", name="Not imported: 30")).to_be_visible()
    assert "No organization is called “Unknown AB”" in page.content()
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Import 270 rows").press("Enter")

    expect(page.get_by_text("Imported: 180 new, 90 changed")).to_be_visible()
    assert Contact.objects.filter(name__startswith="First").count() == 270
    page.get_by_role("link", name="Undo…").first.click()
    expect(page.get_by_text("180 records that the import made are deleted")).to_be_visible()
    page.get_by_role("button", name=re.compile("Undo and delete")).click()
    expect(page.get_by_text("180 records deleted.")).to_be_visible()
    assert list(Contact.objects.order_by("pk").values_list("pk", "name", "phone", "organization")) == before
    assert not errors
