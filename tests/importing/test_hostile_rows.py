"""Files whose rows, titles or names are the attack: nothing grows with the square of a file, and no cell is trusted."""

from __future__ import annotations

import io
import string
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from npd.imports.files import MAX_TITLE, ImportFileError, unescape_formula
from npd.imports.import_jobs import MAX_WAITING, clean_file_name, run_all, upload
from npd.imports.models import ImportFile, ImportJob
from npd.imports.resources import ImportOptions
from npd.models import Contact
from sync.clock import sync_now
from sync.models.synced_model import LONG_TEXT_CHARACTERS
from sync.operations.exports import escape_formula
from tests.importing.attacks import sheet, workbook
from tests.importing.conftest import imported, offered, outcomes
from tests.support.waiting import beside, somebody_waits, wait_for

pytestmark = pytest.mark.django_db


def in_a_sheet(text: str) -> bytes:
    """A workbook with one record of this name."""
    return workbook(sheet(f'<row r="3"><c r="A3" t="inlineStr"><is><t>{text}</t></is></c></row>'))


def test_what_is_said_of_a_record_that_a_file_repeats_grows_with_the_file_alone(person: User) -> None:
    said = {}
    for rows in (100, 1_000):
        job = offered(person, "Name,Email\n" + "".join(f"Info {number},info@x.org\n" for number in range(rows)))
        assert job.counts["repeated"] == rows
        said[rows] = sum(len(str(row.problems)) for row in job.rows.all())
    assert said[1_000] < 15 * said[100]


def test_titles_are_short_so_that_no_row_is_compared_with_megabytes(person: User) -> None:
    with pytest.raises(ImportFileError) as refused:
        offered(person, f"Name,{'x' * (MAX_TITLE + 1)}\nAnn,1\n")
    assert (refused.value.code, refused.value.facts) == ("long_cell", {"row": 1, "most": MAX_TITLE})
    assert offered(person, f"Name,{'x' * MAX_TITLE}\nAnn,1\n").counts["new"] == 1


def test_a_row_is_compared_with_the_titles_no_further_than_it_fits(person: User) -> None:
    # Every title was brought into its plain form anew for every row: 10 MB kept a worker busy for hours.
    titles = ",".join(["Name", *(f"{number}{'x' * 900}" for number in range(199))])
    rows = "\n".join(f"Ann {number}" for number in range(1_000))
    begun = time.process_time()
    assert offered(person, f"{titles}\n{rows}\n").counts["new"] == 1_000
    assert time.process_time() - begun < 8


def test_rows_of_a_file_that_come_to_one_e_mail_address_are_repeated_also_by_npd_id(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    job = imported(person, f"id,Name,Email\n{ann.pk},Ann,new@x.org\n,Bob,NEW@x.org\n,Eve,eve@x.org\n")
    assert outcomes(job) == {2: "repeated", 3: "repeated", 4: "new"}
    assert set(Contact.objects.values_list("name", "email")) == {("Ann", "ann@x.org"), ("Eve", "eve@x.org")}


def test_a_text_that_is_too_long_is_a_fault_of_its_row(person: User) -> None:
    job = imported(person, f"Name,Notes\nAnn,{'x' * (LONG_TEXT_CHARACTERS + 1)}\nBob,{'x' * LONG_TEXT_CHARACTERS}\n")
    assert outcomes(job) == {2: "invalid", 3: "new"}
    assert list(Contact.objects.values_list("name", flat=True)) == ["Bob"]


def test_people_who_share_an_e_mail_address_already_can_be_told_apart_by_npd_id(person: User) -> None:
    both = [Contact.objects.create(name=name, email="info@x.org") for name in ("Ann", "Bob")]
    rows = "".join(f"{one.pk},{one.name} B,info@x.org\n" for one in both)
    assert outcomes(offered(person, f"id,Name,Email\n{rows}")) == {2: "changed", 3: "changed"}


def test_a_nul_in_a_spreadsheets_cell_or_title_is_no_text(person: User) -> None:
    assert offered(person, in_a_sheet("A_x0000_nn"), name="x.xlsx").rows.get(number=3).cells == ["Ann"]


def test_a_cell_of_a_rejected_row_that_was_saved_as_xlsx_loses_its_apostrophe(person: User) -> None:
    assert offered(person, in_a_sheet("&apos;+46 8"), name="x.xlsx").rows.get(number=3).cells == ["+46 8"]


@given(st.text(alphabet=[*"'=+-@＝＋－＠ a;\t\r\n\u00a0\u200b\ufeff", *string.digits], max_size=8))
def test_an_escaped_cell_is_no_formula_and_is_read_as_it_was(cell: str) -> None:
    escaped = escape_formula(cell)
    assert escaped.lstrip(" \u00a0\u200b\ufeff")[:1] not in [*"=+-@\t\r\n＝＋－＠"]
    assert unescape_formula(escaped.strip()).strip() == cell.strip() or escaped.strip() != escaped


def test_the_rows_that_were_not_imported_begin_no_cell_where_a_semicolon_separates(person: User, admin: Client) -> None:
    job = offered(person, "Name,Email\nBob;=1+1,nowhere\n")
    page = admin.get(f"/admin/npd/contact/import/{job.pk}/not-imported.csv").content
    assert b'"Bob;=1+1","nowhere",' in page


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.csv", "y.csv"),
        ("a\r\nSet-Cookie: x.csv", "aSet-Cookie: x.csv"),
        ("a\u202evsc.exe", "avsc.exe"),
        ("\udc80.csv", ".csv"),
        ("\0", "file"),
        ("..", "file"),
    ],
)
def test_a_files_name_is_a_name_and_nothing_else(name: str, kept: str) -> None:
    assert clean_file_name(name) == kept


def test_imports_are_forgotten_after_their_days_whether_or_not_another_follows(person: User) -> None:
    offered(person, "Name,Email\nA,a@x.org\n")
    ImportJob.objects.update(made_at=sync_now() - timedelta(days=31))
    run_all()
    assert not ImportJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_files_sent_at_once_no_more_wait_than_may(person: User) -> None:
    def send() -> None:
        upload("contact", "p.csv", io.BytesIO(b"Name\nAnn\n"), options=ImportOptions(), by=person)

    second: list[Any] = []
    for _ in range(MAX_WAITING - 1):
        send()

    def meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if "INSERT" in sql and "npd_import_files" in sql and not second:
            second.append(beside(send))
            wait_for("the other to be stored, or to wait", lambda: second[0].done() or somebody_waits(), 30)
        return answer

    with connection.execute_wrapper(meanwhile):
        send()
    refused = second[0].exception(30)
    assert (refused.code, ImportFile.objects.count()) == ("too_many_waiting", MAX_WAITING)
