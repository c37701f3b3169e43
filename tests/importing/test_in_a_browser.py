"""The import in a real browser: by keyboard, with progress that moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from npd.imports.import_jobs import run_all
from npd.models import Contact
from sync.records.external_ids import set_external_ids

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.django_db(transaction=True)]
TEXT = (
    "NPD ID,Name,Email,Phone,Company,Colour\n,Anne Ångström,ann@x.org,+46 8 123 45,Nova,red\n"
    f",Bob,not an address,,,blue\n,Eve {'Very' * 30},eve@x.org,,,\n,Twin,twin@x.org,,,\n,Twin,twin@x.org,,,\n"
)


@contextmanager
def a_worker() -> Iterator[None]:
    """A worker beside the page: does once what waits."""

    def work() -> None:
        run_all()
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    yield
    worker.join()


def test_a_file_is_previewed_imported_and_undone_with_the_keyboard(open_page: Any, tmp_path: Path) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    set_external_ids("contact", {ann.pk: {"crm": "1"}})
    file = tmp_path / "people.csv"
    file.write_text("External ID (crm),Name,Email\n1,Anne,\n2,Bob,bob@x.org\n3,Eve,no address\n")
    page, errors = open_page(390, "light")
    page.goto("/admin/npd/contact/import/")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Preview").press("Enter")
    page.get_by_text("The file waits for a worker to read it.").wait_for()
    with a_worker():
        page.get_by_text("becomes Anne").wait_for()
    page.get_by_role("link", name="Download 1 row not imported (CSV)").wait_for()
    page.get_by_role("button", name="Import 2 rows").press("Enter")
    page.get_by_text("0 of 2 rows").wait_for()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]
    with a_worker():
        page.get_by_text("2 rows were written.").wait_for()
    assert set(Contact.objects.values_list("name", flat=True)) == {"Anne", "Bob"}
    page.get_by_role("link", name="Undo…").press("Enter")
    page.get_by_text("1 record that the import created is deleted.").wait_for()
    page.get_by_role("button", name="Undo it and delete 1 record").press("Enter")
    with a_worker():
        page.get_by_text("2 rows were undone.").wait_for()
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]
    assert not errors


def test_a_refused_file_is_told_to_a_screen_reader_and_another_can_be_chosen_there(
    open_page: Any, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("x\n1\n")
    page, _ = open_page(1280, "light")
    page.goto("/admin/npd/contact/import/")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    with a_worker():
        page.get_by_role("alert").get_by_text("The first row of people.csv names no column that is known").wait_for()
    file.write_text("Name,Email\nAnn,ann@x.org\n")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    with a_worker():
        page.get_by_role("button", name="Import 1 row").wait_for()
