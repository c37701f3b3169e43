"""The import in a real browser: rows are previewed, imported and undone, on a desk and on a phone."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from npd.models import Contact
from tests.admin import states
from tests.support.pages import barriers

pytestmark = [pytest.mark.django_db(transaction=True)]

FILE = """sep=;
Vorname;Nachname;E-Mail-Adresse;Firma;Farbe
Zoë;Ångström;zoe@x.example;Unknown AB;red
Ann;O'Brien;ann@x.example;;red
Bo;Lee;no address;;red
"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_file_is_previewed_imported_and_undone(open_page: Any, width: int, scheme: str) -> None:
    states.boards()
    Contact.objects.create(name="Ann O'Brien", email="ann@x.example", role_title="Chair")
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/import/")
    assert not barriers(page)
    file = {"name": "fair.csv", "mimeType": "text/csv", "buffer": FILE.encode("cp1252")}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.get_by_role("button", name="Preview").press("Enter")
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    expect(page.get_by_text("Columns that are not imported: Farbe.")).to_be_visible()
    expect(page.get_by_role("heading", name="Not imported: 1")).to_be_visible()
    expect(page.get_by_text("No organization is called “Unknown AB”")).to_be_visible()
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Import 1 row").press("Enter")
    expect(page.get_by_text("Imported: 1 new, 0 changed, 1 unchanged.")).to_be_visible()
    page.get_by_role("link", name="Undo…").first.click()
    page.get_by_role("button", name=re.compile("Undo and delete")).click()
    expect(page.get_by_text("1 record deleted.")).to_be_visible()
    assert Contact.objects.get().name == "Ann O'Brien"
    assert not errors
