"""The pages of an import, and who may open them."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from npd.imports.import_jobs import run_all
from npd.imports.models import ImportFile, ImportJob
from npd.models import Contact, Organization
from sync.clock import sync_now
from tests.admin import states
from tests.admin.test_records import words_of
from tests.importing.conftest import chosen, imported, offered, outcomes, taken_back, upload, written
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
FILE = b"Name,Email,Phone,Favourite colour\nAnne,ann@x.org,,red\nBob,not an address,1,blue\nEve,eve@x.org,=1,green\n"


def url(job: ImportJob, page: str = "job") -> str:
    return reverse(f"admin:npd_{job.entity_type}_import_{page}", args=[job.pk])


@pytest.fixture
def ann(db: None) -> Contact:
    return Contact.objects.create(name="Ann", email="ann@x.org")


def lines_of(content: bytes, kind: str) -> list[list[Any]]:
    if kind == "xlsx":
        return [[cell.value for cell in row] for row in load_workbook(io.BytesIO(content)).active.rows]
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


@pytest.mark.parametrize(("kind", "escaped"), [("csv", "'"), ("xlsx", "")])
def test_rows_that_were_not_imported_come_as_a_file_that_can_be_imported_once_corrected(
    admin: Client, person: User, ann: Contact, kind: str, escaped: str
) -> None:
    rows = [["=Bob", "not an address", "+46 8 123 41"], ["Eve", "nowhere", "-1"]]
    text = "\n".join(",".join(row) for row in (["Name", "Email", "Phone"], *rows, ["Fay", "fay@x.org", ""]))
    answer = admin.get(url(imported(person, text), kind))
    assert answer.headers["Content-Disposition"].endswith(f'"people - not imported.{kind}"')
    titles, *lines = lines_of(answer.content, kind)
    assert titles == ["Name", "Email", "Phone", "Not imported because"]
    assert [line[:3] for line in lines] == [[f"{escaped}=Bob", *rows[0][1:]], rows[1]]
    assert lines[0][3].startswith("Row 2: Email: ")
    again = offered(person, answer.content, name=f"again.{kind}")
    assert [row.cells[:3] for row in again.rows.order_by("number")] == rows


def test_a_file_that_is_refused_at_a_glance_is_told_beside_the_field(admin: Client) -> None:
    text = words_of(upload(admin, b" \n").content.decode())
    assert "people.csv is empty." in text
    assert not ImportJob.objects.exists()


def test_a_file_is_not_opened_by_the_request_and_what_is_wrong_with_it_stands_on_its_page(admin: Client) -> None:
    answer = chosen(admin, b"PK\x03\x04 no spreadsheet", "people.xlsx")
    job = ImportJob.objects.get()
    assert (answer.url, job.state, job.attempts) == (url(job), "reading", 0)
    assert "HX-Refresh" not in admin.get(url(job, "progress")).headers
    run_all()
    job.refresh_from_db()
    assert (job.state, job.reason) == ("failed", "damaged")
    assert not ImportFile.objects.exists()
    assert admin.get(url(job, "progress")).headers["HX-Refresh"] == "true"
    page = admin.get(url(job)).content.decode()
    assert re.search(r'role="alert">(?:<span[^>]*>error</span>)?people\.xlsx is damaged', page)
    assert 'action="/admin/npd/contact/import/"' in page


def test_a_file_that_waits_for_a_worker_too_long_says_so(admin: Client) -> None:
    chosen(admin, FILE)
    job = ImportJob.objects.get()
    assert "No worker has begun with it yet" not in admin.get(url(job)).content.decode()
    ImportJob.objects.update(moved_at=sync_now() - timedelta(seconds=30))
    assert "No worker has begun with it yet" in admin.get(url(job)).content.decode()
    ImportJob.objects.update(attempts=1)
    assert "hourglass_empty" not in admin.get(url(job)).content.decode()
    ImportJob.objects.update(moved_at=sync_now() - timedelta(seconds=90))
    assert "The worker that read it has ended." in admin.get(url(job)).content.decode()


def test_a_file_can_be_discarded_while_it_waits_to_be_read(admin: Client) -> None:
    chosen(admin, FILE)
    job = ImportJob.objects.get()
    admin.post(url(job, "confirm"))
    admin.post(url(job, "discard"))
    run_all()
    assert not ImportJob.objects.exists()
    assert not ImportFile.objects.exists()


def test_an_import_with_nothing_to_write_can_not_be_confirmed(admin: Client, ann: Contact) -> None:
    text = words_of(upload(admin, b"Name,Email\nAnn,ann@x.org\n").content.decode())
    assert "Import 0" not in text
    job = ImportJob.objects.get()
    admin.post(url(job, "confirm"))
    job.refresh_from_db()
    assert job.state == "shown"


def test_the_page_says_on_top_what_is_ignored_and_what_will_not_sync(admin: Client, ann: Contact) -> None:
    states.boards()
    titles = b"Name,Email,Mood,Shoe size,Phone,Not imported because"
    page = upload(admin, titles + b"\nBob,b/ob@x.org,good,44,,corrected since\n")
    assert page.context["ignored"] == ["Mood", "Shoe size"]
    assert (page.context["count_warned"], page.context["to_write"]) == (1, 1)
    assert [(row.number, result) for row, result, _why in page.context["problems"]] == [
        (2, "Imported, but may not sync")
    ]


def test_the_page_of_a_large_import_is_short_and_leads_to_every_row(admin: Client, person: User) -> None:
    job = offered(
        person,
        "Name,Email\n"
        + "".join(f"P{n},p{n}@x.org\n" for n in range(120))
        + "".join(f"Bad {n},bad\n" for n in range(60)),
    )
    first = admin.get(url(job)).content.decode()
    assert [first.count('<th scope="row">Row '), first.count("Show all")] == [20, 2]
    assert "Unchanged" not in first
    for kind, number in (("problems", 60), ("new", 120)):
        assert f'href="?rows={kind}"' in first
        told: set[int] = set()
        address = f"?rows={kind}"
        while address:
            html = admin.get(url(job) + address).content.decode()
            assert "Which column becomes" not in html
            told |= {int(one) for one in re.findall(r'<th scope="row">Row (\d+)', html)}
            address = next(iter(re.findall(r'rel="next"\s+href="([^"]*)"', html)), "").replace("&amp;", "&")
        assert len(told) == number
    assert admin.get(url(job) + "?rows=nonsense&p=x").status_code == 200


def test_confirming_twice_writes_once_and_says_so(admin: Client, ann: Contact) -> None:
    upload(admin, FILE)
    job = ImportJob.objects.get()
    admin.post(url(job, "confirm"))
    run_all()
    assert "confirmed already" in words_of(admin.post(url(job, "confirm"), follow=True).content.decode())
    assert "can't be discarded" in words_of(admin.post(url(job, "discard"), follow=True).content.decode())


PAGES = ["job", "progress", "csv", "confirm", "discard", "undo"]


@pytest.mark.parametrize("missing", ["add", "change"])
def test_only_who_may_add_and_change_records_may_import_them(
    client: Client, person: User, ann: Contact, missing: str
) -> None:
    job = offered(person, FILE)
    names = {"add_contact", "change_contact", "view_contact", "add_organization", "change_organization"}
    client.force_login(staff_who_may(*names - {f"{missing}_contact"}))
    assert 'href="/admin/npd/contact/import/"' not in client.get("/admin/npd/contact/").content.decode()
    assert upload(client, FILE).status_code == 403
    for page in PAGES:
        method = client.post if page in ("confirm", "discard", "undo") else client.get
        assert method(url(job, page)).status_code == 403, page
    assert client.get(url(job).replace("contact", "organization")).status_code in (403, 404)
    job.refresh_from_db()
    assert job.state == "shown"


def test_who_may_not_add_organizations_makes_none_by_an_import(client: Client, person: User) -> None:
    job = offered(person, "Name,Email,Company\nBob,bob@x.org,Nova\n", make_organizations=True)
    client.force_login(staff_who_may("add_contact", "change_contact"))
    assert "make_organizations" not in client.get("/admin/npd/contact/import/").content.decode()
    assert client.post(url(job, "confirm")).status_code == 403
    job.refresh_from_db()
    assert job.state == "shown"


def test_to_undo_an_import_that_made_records_one_must_be_allowed_to_delete_them(
    client: Client, person: User, ann: Contact
) -> None:
    job = imported(person, "Name,Email\nNew,new@x.org\n")
    client.force_login(staff_who_may("add_contact", "change_contact"))
    assert "Undo…" not in client.get(url(job)).content.decode()
    assert client.post(url(job, "undo")).status_code == 403


def test_the_pages_ask_a_bounded_number_of_queries(admin: Client, person: User) -> None:
    job = offered(person, "Name,Email\n" + "".join(f"P{n},p{n}@x.org\n" for n in range(150)) + "Bad,bad\n" * 150)
    for path in ("/admin/npd/contact/import/", url(job), url(job, "csv")):
        with CaptureQueriesContext(connection) as asked:
            assert admin.get(path).status_code == 200
        assert len(asked) <= 16, path


def test_no_get_writes_anything(admin: Client, person: User, ann: Contact) -> None:
    job = offered(person, FILE)
    for page in ("confirm", "discard"):
        assert admin.get(url(job, page)).status_code == 405
    assert admin.get(url(job, "undo"), follow=True).status_code == 200
    job.refresh_from_db()
    assert (job.state, Contact.objects.count()) == ("shown", 1)


def test_names_from_a_file_are_escaped(admin: Client, person: User) -> None:
    html: Any = upload(admin, b"Name,Email,<script>x</script>\n<b>Bob</b>,b@x.org,1\n").content.decode()
    assert "<b>Bob</b>" not in html
    assert "<script>x" not in html


def tiles(page: Any) -> dict[str, int]:
    return {str(label): number for label, _icon, _kind, number in page.context["tiles"]}


def test_afterwards_the_figures_are_of_what_was_written_and_undone_and_a_part_is_called_so(
    admin: Client, person: User, ann: Contact
) -> None:
    Contact.objects.create(name="Cleo", email="cleo@x.org")
    job = offered(person, "Name,Email,Role\nAnn,ann@x.org,Head\nBob,bob@x.org,\nCleo,cleo@x.org,CEO\nDan,bad,\n")
    assert tiles(admin.get(url(job))) == {"New": 1, "Changed": 2, "Not imported": 1}
    Contact.objects.filter(pk=ann.pk).update(role_title="typed meanwhile")
    written(job, person)
    page = admin.get(url(job))
    assert tiles(page) == {"New": 1, "Changed": 1, "Not imported": 2}
    assert "Partly imported" in page.context["state_badge"]
    Contact.objects.filter(email="cleo@x.org").update(role_title="typed since")
    job.refresh_from_db()
    taken_back(job, person)
    page = admin.get(url(job))
    assert tiles(page) == {"Undone": 1, "Not undone": 1, "Not imported": 2}
    assert "Partly undone" in page.context["state_badge"]
    assert "Partly undone" in admin.get(reverse("admin:npd_contact_import_file")).content.decode()


def not_imported(admin: Client, job: ImportJob) -> list[int]:
    """How many rows the tile, the sentence, the table and the download say are not imported, and the tiles in all."""
    page = admin.get(url(job))
    text = words_of(page.content.decode())
    said = re.findall(r"(\d+) rows? (?:was|were) not imported", text)
    said += re.findall(r"Not imported (\d+)(?= May| Row)", text) + re.findall(r"Download (\d+)", text)
    lines = list(csv.reader(io.StringIO(admin.get(url(job, "csv")).content.decode("utf-8-sig"))))
    every = {tiles(page)["Not imported"], *map(int, said), len(lines) - 1}
    return [*every, sum(tiles(page).values())]


def test_tiles_sentences_tables_and_downloads_count_the_same_rows_and_all_rows_of_the_file(
    admin: Client, person: User, ann: Contact
) -> None:
    Contact.objects.create(name="Cleo Kay", email="cleo@x.org", role_title="CEO")
    job = offered(
        person,
        "Name,Email,Role\nAnn,ann@x.org,Head\nBob,bob@x.org,\nBob,bob@x.org,\nDan,bad,\nEve,eve@x.org,\n"
        "Eva,eve@x.org,\nMüge,cleo@x.org,CTO\nFay,fay@x,\nb/ob,b/ob@x.org,\n",
    )
    assert not_imported(admin, job) == [4, 9]
    assert tiles(admin.get(url(job)))["Another record?"] == 1
    Contact.objects.filter(pk=ann.pk).delete()
    written(job, person)
    assert not_imported(admin, job) == [6, 9]


def test_where_only_organizations_are_missing_the_answer_is_to_create_them(admin: Client, person: User) -> None:
    job = offered(person, "Name,Email,Company\nA,a@x.org,Nova\nB,b@x.org,Nova\n")
    page = admin.get(url(job))
    assert page.context["unknown_organizations"]
    chosen = dict(re.findall(r'<input\s+type="hidden"\s+name="([a-z_0-9-]+)"\s+value="([^"]*)"', page.content.decode()))
    admin.post(url(job, "columns"), {name: text for name, text in chosen.items() if name != "csrfmiddlewaretoken"})
    run_all()
    job.refresh_from_db()
    assert (job.counts["new"], list(job.organizations.values())) == (2, ["Nova"])
    other = offered(person, "Name,Email,Company,Phone\nA,a@x.org,Nova,\nB,b@x.org,Nova,keine Ahnung\n")
    assert not admin.get(url(other)).context["unknown_organizations"]
    # The rest of the file may be fine, or already imported.
    mixed = offered(person, "Name,Email,Company\nA,a@x.org,Nova\nB,b@x.org,\nB,b@x.org,\n")
    page = admin.get(url(mixed))
    assert (page.context["unknown_organizations"], page.context["to_write"]) == (1, 1)
    assert 'name="make_organizations" value="yes"' in page.content.decode()


def test_a_row_that_makes_somebody_else_of_a_record_is_left_out_and_handed_back_unless_it_is_ticked(
    admin: Client, person: User
) -> None:
    old, new = Organization.objects.create(name="Old"), Organization.objects.create(name="New")
    for name in "abcd":
        Contact.objects.create(name="Łukasz Straßer", email=f"{name}@x.org", phone="+46 8 123 41", organization=old)
    text = (
        "Name,Email,Phone,Company\nMüge Straßer,a@x.org,+46 8 123 42,New\nMüge Straßer,b@x.org,+46 8 123 41,New\n"
        '"Straßer, Łukasz",c@x.org,+46 8 123 42,New\nMüge Ünal,d@x.org,+46 8 123 42,Old\n'
    )
    kinds = {2: "other", 3: "changed", 4: "changed", 5: "other"}
    for ticked, numbers in (["nonsense"], [3, 4]), (["5"], [5]), (["all"], [2]):
        job = offered(person, text)
        assert outcomes(job) == kinds
        assert 'name="other"' in admin.get(url(job)).content.decode()
        admin.post(url(job, "confirm"), {"other": ticked})
        run_all()
        assert sorted(job.rows.filter(result="written").values_list("number", flat=True)) == numbers
        kinds |= dict.fromkeys(numbers, "unchanged")
        left = [number for number, kind in kinds.items() if kind == "other"]
        lines = csv.reader(io.StringIO(admin.get(url(job, "csv")).content.decode("utf-8-sig")))
        assert [line[4].partition(":")[0] for line in list(lines)[1:]] == [f"Row {number}" for number in left]
    assert new.contacts.count() == 3
    taken_back(job, person)
    assert Contact.objects.get(email="a@x.org").name == "Łukasz Straßer"


def test_what_changes_is_spelled_as_on_every_other_page(admin: Client, person: User) -> None:
    states.boards()
    Contact.objects.create(name="Ann", email="ann@x.org", phone="+493012345678")
    [table] = [
        one
        for one in admin.get(url(offered(person, "Email,Phone\nann@x.org,+493012345679\n"))).context["row_tables"]
        if one["rows"]
    ]
    assert table["rows"][0]["fields"] == [("Phone", "+49 30 12345678", "+49 30 12345679")]
