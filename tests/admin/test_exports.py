"""Lists as files: what is filtered is what is exported, and no cell is a formula."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any
from uuid import uuid4

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from npd.models import Contact
from sync.admin import list_exports
from sync.models import Decision
from tests.admin import states
from tests.admin.test_records import words_of

CONTACTS = "/admin/npd/contact/"
pytestmark = pytest.mark.django_db


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def csv_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def exported(client: Client, address: str, query: str = "") -> list[dict[str, str]]:
    """The rows of a short list as CSV."""
    answer = client.post(f"{address}export/{query}", {"format": "csv"})
    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    return csv_rows(body(answer))


def test_what_the_list_shows_is_what_the_file_has(browser: Client, world: dict[str, Any]) -> None:
    for query in ("", "?health=attention", "?q=Zo", "?o=-1", "?health=attention&o=-1", "?sync_status__exact=pending"):
        listed = [row.name for row in browser.get(f"{CONTACTS}{query}").context["cl"].result_list]
        assert [row["Name"] for row in exported(browser, CONTACTS, query)] == listed, query
    page = browser.get(f"{CONTACTS}?health=attention&p=1").content.decode()
    assert 'href="/admin/npd/contact/export/?health=attention"' in page


def test_a_record_is_exported_with_its_fields_and_its_sync(browser: Client, world: dict[str, Any]) -> None:
    Contact.objects.filter(pk=world["dead"].pk).update(phone="+49 30 1234")
    row = next(row for row in exported(browser, CONTACTS) if row["Name"] == "Petra Keller")
    assert row["Sync"] == "Needs attention"
    assert "Monday refused the item" in row["Why"]
    assert (row["Phone"], row["NPD ID"]) == ("'+49 30 1234", str(world["dead"].pk))
    assert datetime.fromisoformat(row["Updated (UTC)"])


def test_no_cell_is_a_formula(browser: Client, world: dict[str, Any]) -> None:
    nasty = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx"]
    for name in nasty:
        states.contact(name)
    states.contact("Ann;=1+1")
    cells = {row["Name"] for row in exported(browser, CONTACTS)}
    assert {f"'{name}" for name in nasty} <= cells
    # Also where a semicolon separates.
    assert b'"Ann;=1+1"' in body(browser.post(f"{CONTACTS}export/", {"format": "csv"}))
    answer = browser.post(f"{CONTACTS}export/", {"format": "xlsx"})
    sheet = openpyxl.load_workbook(io.BytesIO(body(answer))).active
    found = {cell.value: cell.data_type for cell in sheet["A"]}
    assert found['=HYPERLINK("http://x")'] == found["+1"] == "s"
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}
    assert any(isinstance(cell.value, datetime) for row in sheet.iter_rows(min_row=2) for cell in row)


def test_who_may_not_see_a_list_may_not_export_it(client: Client, world: dict[str, Any]) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    client.force_login(reader)
    for address in (CONTACTS, "/admin/sync/decision/", "/admin/conflicts/syncconflict/", "/admin/sync/syncqueue/"):
        assert client.get(f"{address}export/").status_code == 403
        assert client.post(f"{address}export/", {"format": "csv"}).status_code == 403
    # To see it is not enough: to have it as a file is a right of its own.
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    client.force_login(User.objects.get(pk=reader.pk))
    assert "npd-export-button" not in client.get(CONTACTS).content.decode()
    assert client.post(f"{CONTACTS}export/", {"format": "csv"}).status_code == 403
    reader.user_permissions.add(Permission.objects.get(codename="export_lists"))
    client.force_login(User.objects.get(pk=reader.pk))
    assert len(exported(client, CONTACTS)) == Contact.objects.count()
    logged = LogEntry.objects.latest("id")
    assert (logged.user_id, logged.change_message) == (reader.pk, f"Exported {Contact.objects.count()} rows as CSV.")


def test_nothing_is_made_by_opening_the_page_or_by_an_unknown_format(browser: Client, world: dict[str, Any]) -> None:
    page = browser.get(f"{CONTACTS}export/?health=failed")
    assert "Export 1 contact" in words_of(page.content.decode())
    assert b"Export 1 contact" in browser.post(f"{CONTACTS}export/?health=failed", {"format": "exe"}).content
    assert b"nothing to export" in browser.get(f"{CONTACTS}export/?q=zzzz").content
    assert browser.get(f"{CONTACTS}export/?updated_at__year=99999").status_code == 400


def test_a_list_that_is_too_long_for_excel_is_had_as_csv(
    browser: Client, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_exports, "MAX_XLSX_ROWS", 2)
    answer = browser.post(f"{CONTACTS}export/", {"format": "xlsx"}, follow=True)
    assert "No file was made: for Excel it may have 2 rows." in words_of(answer.content.decode())
    monkeypatch.setattr(list_exports, "BATCH_ROWS", 2)
    assert len(exported(browser, CONTACTS)) == Contact.objects.count() > 2


def test_an_export_of_hundreds_takes_few_queries(
    browser: Client, world: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    Decision.objects.bulk_create(
        Decision(entity_type="contact", entity_id=uuid4(), kind="push", sentence=f"No. {number}")
        for number in range(300)
    )
    for number in range(30):
        states.synced(f"More {number}", f"99{number}")
    for address in (CONTACTS, "/admin/sync/decision/", "/admin/sync/syncqueue/", "/admin/conflicts/syncconflict/"):
        with django_assert_max_num_queries(46):
            exported(browser, address)
