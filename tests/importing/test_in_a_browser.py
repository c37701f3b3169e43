"""The import in a real browser: by keyboard, with progress that moves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from npd.imports.import_jobs import run_all
from npd.models import Contact
from tests.admin import states
from tests.support.pages import barriers
from tests.support.waiting import beside

pytestmark = [pytest.mark.django_db(transaction=True)]
TEXT = (
    "NPD ID,Name,Email,Phone,Company,Colour\n,Anne Ångström,ann@x.org,+46 8 123 45,Nova,red\n"
    f",Bob,not an address,,,blue\n,Eve {'Very' * 30},eve@x.org,,,\n,Twin,twin@x.org,,,\n,Twin,twin@x.org,,,\n"
)


def previewed(page: Any, file: Path) -> None:
    """This file is chosen, and its preview asked for by a key."""
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Preview").press("Enter")


@contextmanager
def a_worker() -> Iterator[None]:
    """A worker beside the page: does once what waits."""
    worker = beside(run_all)
    yield
    worker.result(60)


def test_a_file_is_previewed_imported_and_undone_with_the_keyboard(open_page: Any, tmp_path: Path) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    file = tmp_path / "people.csv"
    file.write_text(f"NPD ID,Name,Email\n{ann.pk},Anne,\n,Bob,bob@x.org\n,Eve,no address\n")
    page, errors = open_page(390, "light")
    page.goto("/admin/npd/contact/import/")
    previewed(page, file)
    page.get_by_text("The file waits for a worker to read it.").wait_for()
    with a_worker():
        page.get_by_text("becomes Anne").wait_for()
    page.get_by_role("link", name="Download 1 row not imported (CSV)").wait_for()
    page.get_by_role("button", name="Import 2 rows").press("Enter")
    page.get_by_text("0 of 2 rows").wait_for()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]
    with a_worker():
        page.get_by_text("2 rows were imported.").wait_for()
    assert set(Contact.objects.values_list("name", flat=True)) == {"Anne", "Bob"}
    page.get_by_role("link", name="Undo…").press("Enter")
    page.get_by_text("1 record that the import created is deleted.").wait_for()
    page.get_by_role("button", name="Undo it and delete 1 record").press("Enter")
    with a_worker():
        page.get_by_text("2 rows were undone.").wait_for()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]
    assert not errors


FAULTY = (
    "Person,Mailbox,Company,Ring,Job title\n"
    "Ann,ann@x.org,,+46 8 123 45,\n"
    "Bob,not an address,,,\n"
    "Cleo,cleo@x.org,Nobody knows,,\n"
    "Dan,dan@x.org,,call me maybe,\n"
    f"Eve,eve@x.org,,,{'x' * 300}\n"
    "Fay,fay@x.org,,,Head\n"
    "Fay,fay@x.org,,,CEO\n"
    "Ann,ann@x.org,,+46 8 123 45,\n"
)
NAMES = {3: "Email: ", 4: "Organization: ", 5: "Phone: ", 6: "Role: ", 7: "more than once", 8: "more than once"}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_five_kinds_of_faults_are_named_given_back_as_a_spreadsheet_and_the_rest_imported(
    open_page: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    states.boards()
    file = tmp_path / "people.csv"
    file.write_text(FAULTY)
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/import/")
    assert not barriers(page)
    previewed(page, file)
    with a_worker():
        page.get_by_role("alert").get_by_text("No column of people.csv tells which contact").wait_for()
    assert not barriers(page)
    page.get_by_label("Person is read as").select_option("Name")
    page.get_by_label("Mailbox is read as").select_option("Email")
    page.get_by_role("button", name="Preview again").press("Enter")
    with a_worker():
        page.get_by_role("button", name="Import 2 rows").wait_for()
    ring = page.get_by_label("Ring is read as")
    ring.select_option("Phone")
    assert page.get_by_role("button", name="Import 2 rows").is_disabled()
    page.get_by_text("You have changed something").wait_for()
    page.get_by_role("button", name="Preview again").press("Enter")
    with a_worker():
        page.get_by_role("button", name="Import 1 row").wait_for()
    for number, name in NAMES.items():
        header = page.get_by_role("rowheader", name=f"Row {number}", exact=True)
        assert name in page.get_by_role("row").filter(has=header).inner_text()
    page.get_by_text("Row 9 is the same as row 2; imported once.").wait_for()
    assert not barriers(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download 6 rows not imported (XLSX)").click()
    sheet = load_workbook(io.BytesIO(download.value.path().read_bytes())).active
    assert [row[0].value for row in sheet.rows] == ["Person", "Bob", "Cleo", "Dan", "Eve", "Fay", "Fay"]
    page.get_by_role("button", name="Import 1 row").press("Enter")
    with a_worker():
        page.get_by_text("1 row was imported.").wait_for()
    assert not barriers(page)
    assert list(Contact.objects.values_list("name", "phone")) == [("Ann", "+46 8 123 45")]
    assert not errors
