"""Lists as files: what is filtered is what is exported, no cell is a formula, and a long one is its owner's alone."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from npd.models import Contact
from sync.clock import sync_now
from sync.models import Decision, Export, ExportPart, ExportState
from sync.operations import exports
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may

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


@pytest.fixture
def long_from_three(settings: Any) -> None:
    """A list of more than two rows is a long one."""
    settings.EXPORT_ROWS_AT_ONCE = 2


def test_what_the_list_shows_is_what_the_file_has(browser_of_person: Client, world: dict[str, Any]) -> None:
    for query in ("", "?health=attention", "?q=Zo", "?o=-1", "?health=attention&o=-1", "?sync_status__exact=pending"):
        listed = [row.name for row in browser_of_person.get(f"{CONTACTS}{query}").context["cl"].result_list]
        assert [row["Name"] for row in exported(browser_of_person, CONTACTS, query)] == listed, query
    page = browser_of_person.get(f"{CONTACTS}?health=attention&p=1").content.decode()
    assert 'href="/admin/npd/contact/export/?health=attention"' in page


def test_a_record_is_exported_with_its_fields_and_its_sync(browser_of_person: Client, world: dict[str, Any]) -> None:
    Contact.objects.filter(pk=world["dead"].pk).update(phone="+49 30 1234")
    row = next(row for row in exported(browser_of_person, CONTACTS) if row["Name"] == "Petra Keller")
    assert row["Sync"] == "Needs attention"
    assert "Monday refused the item" in row["Why"]
    assert (row["Phone"], row["NPD ID"]) == ("'+49 30 1234", str(world["dead"].pk))
    assert datetime.fromisoformat(row["Updated (UTC)"])


def test_no_cell_is_a_formula(browser_of_person: Client, world: dict[str, Any]) -> None:
    nasty = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx"]
    for name in nasty:
        states.contact(name)
    states.contact("Ann;=1+1")
    cells = {row["Name"] for row in exported(browser_of_person, CONTACTS)}
    assert {f"'{name}" for name in nasty} <= cells
    # Also where a semicolon separates.
    assert b'"Ann;=1+1"' in body(browser_of_person.post(f"{CONTACTS}export/", {"format": "csv"}))
    answer = browser_of_person.post(f"{CONTACTS}export/", {"format": "xlsx"})
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


def test_nothing_is_made_by_opening_the_page_or_by_an_unknown_format(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    page = browser_of_person.get(f"{CONTACTS}export/?health=failed")
    assert "Export 1 contact" in words_of(page.content.decode())
    assert b"Export 1 contact" in browser_of_person.post(f"{CONTACTS}export/?health=failed", {"format": "exe"}).content
    assert b"nothing to export" in browser_of_person.get(f"{CONTACTS}export/?q=zzzz").content
    assert browser_of_person.get(f"{CONTACTS}export/?updated_at__year=99999").status_code == 400
    assert not Export.objects.exists()


# Long ones


def ask(client: Client, file_format: str = "csv", query: str = "") -> Export:
    answer = client.post(f"{CONTACTS}export/{query}", {"format": file_format})
    assert answer.status_code == 303
    found = Export.objects.latest("made_at")
    assert answer.headers["Location"] == f"{CONTACTS}export/{found.pk}/"
    return found


@pytest.mark.usefixtures("long_from_three")
@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_a_long_list_is_written_by_a_worker_and_downloaded(
    browser_of_person: Client, world: dict[str, Any], file_format: str
) -> None:
    made = ask(browser_of_person, file_format)
    address = f"{CONTACTS}export/{made.pk}/"
    assert "Waits for a worker" in words_of(browser_of_person.get(address).content.decode())
    assert browser_of_person.get(f"{address}file/").status_code == 302
    exports.write_exports()
    page = browser_of_person.get(f"{address}progress/").content.decode()
    assert f'href="{address}file/"' in page
    assert "hx-get" not in page
    answer = browser_of_person.get(f"{address}file/")
    content = body(answer)
    assert int(answer.headers["Content-Length"]) == len(content)
    if file_format == "csv":
        names = [row["Name"] for row in csv_rows(content)]
    else:
        names = [cell.value for cell in openpyxl.load_workbook(io.BytesIO(content)).active["A"][1:]]
    assert sorted(names) == sorted(Contact.objects.values_list("name", flat=True))
    assert made.file_name in browser_of_person.get(f"{CONTACTS}export/").content.decode()


@pytest.mark.usefixtures("long_from_three")
def test_an_export_is_its_owners_alone_and_ends_with_their_right(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    owner, client = staff_who_may("view_contact", "export_lists"), Client()
    client.force_login(owner)
    made = ask(client)
    exports.write_exports()
    pages = [f"{CONTACTS}export/{made.pk}/{end}" for end in ("", "progress/", "file/")]
    assert [client.get(page).status_code for page in pages] == [200, 200, 200]
    # Not even an administrator loads another person's file, nor is it found under another list.
    assert [browser_of_person.get(page).status_code for page in pages] == [404, 404, 404]
    assert browser_of_person.get(f"/admin/npd/organization/export/{made.pk}/file/").status_code == 404
    owner.user_permissions.clear()
    client.force_login(User.objects.get(pk=owner.pk))
    assert client.get(pages[2]).status_code == 403
    # Nor is it written for who has lost the right meanwhile.
    Export.objects.update(state=ExportState.WAITING, attempts=0)
    ExportPart.objects.all().delete()
    exports.write_exports()
    made.refresh_from_db()
    assert (made.state, ExportPart.objects.count()) == (ExportState.FAILED, 0)


def test_who_may_not_view_all_that_a_file_names_any_more_does_not_download_it(
    world: dict[str, Any], settings: Any
) -> None:
    settings.EXPORT_ROWS_AT_ONCE = 0
    owner = staff_who_may("export_lists", "view_syncqueue", "view_contact", "view_organization")
    of_contacts, client = Permission.objects.get(codename="view_contact"), Client()
    client.force_login(owner)
    jobs = "/admin/sync/syncqueue/"
    assert client.post(f"{jobs}export/", {"format": "csv"}).status_code == 303
    exports.write_exports()
    made = Export.objects.get()
    address = f"{jobs}export/{made.pk}/file/"
    codes = []
    for change in (owner.user_permissions.remove, owner.user_permissions.add):
        codes.append(client.get(address).status_code)
        change(of_contacts)
    # One that was written with less may be had with more.
    codes.append(client.get(address).status_code)
    assert codes == [200, 403, 200]


@pytest.mark.usefixtures("long_from_three")
def test_an_export_expires_with_its_file(browser_of_person: Client, world: dict[str, Any]) -> None:
    made = ask(browser_of_person)
    exports.write_exports()
    Export.objects.update(made_at=sync_now() - timedelta(hours=25))
    assert browser_of_person.get(f"{CONTACTS}export/{made.pk}/file/").status_code == 404
    exports.write_exports()
    assert not Export.objects.exists()
    assert not ExportPart.objects.exists()


@pytest.mark.usefixtures("long_from_three")
def test_a_worker_that_ended_is_followed_by_another_three_times_in_all(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    made = ask(browser_of_person)
    Export.objects.update(state=ExportState.WRITING, attempts=1, moved_at=sync_now())
    exports.write_exports()
    assert Export.objects.get().state == ExportState.WRITING, "it is another worker's, who has just begun"
    Export.objects.update(moved_at=sync_now() - timedelta(minutes=2))
    exports.write_exports()
    assert Export.objects.get().state == ExportState.DONE
    Export.objects.update(state=ExportState.WRITING, attempts=3, moved_at=sync_now() - timedelta(minutes=2))
    exports.write_exports()
    page = words_of(browser_of_person.get(f"{CONTACTS}export/{made.pk}/").content.decode())
    assert "The file could not be written: the worker ended each time." in page


@pytest.mark.usefixtures("long_from_three")
def test_a_person_has_three_unfinished_exports_at_most(browser_of_person: Client, world: dict[str, Any]) -> None:
    for _ in range(3):
        ask(browser_of_person)
    answer = browser_of_person.post(f"{CONTACTS}export/", {"format": "csv"}, follow=True)
    assert "3 of your exports are not ready yet." in words_of(answer.content.decode())
    assert Export.objects.count() == 3


@pytest.mark.usefixtures("long_from_three")
def test_of_the_finished_ones_of_a_list_a_person_has_the_latest_five(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    other = User.objects.create_superuser("other", password="x")
    client = Client()
    client.force_login(other)
    theirs = ask(client)
    made = []
    for _ in range(7):
        made.append(ask(browser_of_person).pk)
        exports.write_exports()
    waiting = ask(browser_of_person).pk
    kept = set(Export.objects.values_list("pk", flat=True))
    assert kept == {theirs.pk, waiting, *made[2:]}
    # Shorter ones, asked for later, were done before it.
    Export.objects.filter(pk=waiting).update(made_at=Export.objects.get(pk=made[2]).made_at - timedelta(minutes=5))
    exports.write_exports()
    assert set(Export.objects.values_list("pk", flat=True)) == {theirs.pk, waiting, *made[3:]}


def test_an_export_of_hundreds_takes_few_queries(
    browser_of_person: Client, world: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    Decision.objects.bulk_create(
        Decision(entity_type="contact", entity_id=uuid4(), kind="push", sentence=f"No. {number}")
        for number in range(300)
    )
    for number in range(30):
        states.synced(f"More {number}", f"99{number}")
    for address in (CONTACTS, "/admin/sync/decision/", "/admin/sync/syncqueue/", "/admin/conflicts/syncconflict/"):
        with django_assert_max_num_queries(45):
            exported(browser_of_person, address)
