"""Which column of a file becomes which field: recognized, shown, and chosen by a person."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.imports.import_jobs import choose_columns, run_all
from npd.imports.models import ImportFile, ImportJob
from npd.imports.resources import recognize_fields
from npd.models import Contact
from tests.importing.conftest import imported, offered, outcomes, said, upload
from tests.importing.test_pages import url
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
FILE = b"Person,Mailbox,Line,Name\nAnn,ann@x.org,+46 8 123 41,nickname\nBob,bob@x.org,+46 8 123 42,nick\n"


def choose(client: Client, job: ImportJob, *fields: str) -> Any:
    """Choose the fields on the page, and let a worker compare the file anew."""
    data = {f"column-{position}": name for position, name in enumerate(fields)}
    answer = client.post(url(job, "columns"), data)
    run_all()
    job.refresh_from_db()
    return answer


def test_columns_that_are_chosen_replace_what_was_recognized(admin: Client) -> None:
    page = upload(admin, FILE)
    job = ImportJob.objects.get()
    assert [(one["title"], one["field"], one["samples"]) for one in page.context["columns"]] == [
        ("Person", "", ["Ann", "Bob"]), ("Mailbox", "", ["ann@x.org", "bob@x.org"]),
        ("Line", "", ["+46 8 123 41", "+46 8 123 42"]), ("Name", "name", ["nickname", "nick"]),
    ]  # fmt: skip
    choose(admin, job, "name", "email", "phone", "")
    assert (job.state, job.counts["new"], job.rows.count()) == ("shown", 2, 2)
    admin.post(url(job, "confirm"))
    run_all()
    assert set(Contact.objects.values_list("name", "email", "phone")) == {
        ("Ann", "ann@x.org", "+46 8 123 41"), ("Bob", "bob@x.org", "+46 8 123 42"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "titles", ["Name,E-Mail,Telefon,Firma,Bemerkungen", "Nom,Courriel,Téléphone,Société,Remarques"]
)
def test_german_and_french_titles_are_recognized(titles: str) -> None:
    fields = ["name", "email", "phone", "organization", "notes"]
    assert recognize_fields("contact", titles.split(",")) == fields


@pytest.mark.parametrize("title", ["Firma", "company", "Organization", "Unternehmen", "Société", "Account"])
def test_a_title_that_means_an_organization_is_its_name_in_a_file_of_organizations(title: str) -> None:
    assert recognize_fields("organization", [title, "Ort"]) == ["name", "address_city"]
    assert recognize_fields("contact", [title, "Name"]) == ["organization", "name"]


def test_while_a_column_is_ignored_its_choice_comes_before_the_import(admin: Client) -> None:
    def places(page: Any) -> list[int]:
        html = page.content.decode()
        return [html.index(mark) for mark in ('name="column-0"', "data-import-confirm")]

    ignoring = upload(admin, FILE)
    assert places(ignoring) == sorted(places(ignoring))
    choose(admin, ImportJob.objects.get(), "name", "email", "phone", "role_title")
    whole = admin.get(url(ImportJob.objects.get()))
    assert places(whole) == sorted(places(whole), reverse=True)
    assert (ignoring.context["columns_first"], whole.context["columns_first"]) == (True, False)
    empty = upload(admin, b"Name,Email,Colour\nAnn,ann@x.org,\n", "empty.csv")
    assert (empty.context["ignored"], empty.context["columns_first"]) == ([], False)
    late = b"Name,Email,Colour\n" + b"".join(b"A%d,a%d@x.org,\n" % (n, n) for n in range(30)) + b"B,b@x.org,red\n"
    assert upload(admin, late, "late.csv").context["ignored"] == ["Colour"]


def test_a_file_whose_columns_say_nothing_or_say_it_twice_waits_for_a_choice(admin: Client) -> None:
    for titles, code in (("x,y", "no_known_column"), ("Name,Full name", "column_twice"), ("y,Phone", "no_key_column")):
        upload(admin, f"{titles}\nAnn,ann@x.org\n".encode(), f"{code}.csv")
        job = ImportJob.objects.get(file_name=f"{code}.csv")
        assert (job.state, job.reason, job.counts) == ("columns", code, {})
        assert not ImportFile.objects.exists()
        admin.post(url(job, "confirm"))
        choose(admin, job, "name", "email")
        assert (job.state, job.reason, outcomes(job)) == ("shown", "", {2: "new"})
    assert not Contact.objects.exists()


def test_a_choice_that_names_a_field_twice_or_nobody_changes_nothing(admin: Client) -> None:
    upload(admin, FILE)
    job = ImportJob.objects.get()
    for fields in (("name", "name", "", ""), ("", "", "phone", ""), ("", "", "", ""), ("no field", "", "", "")):
        choose(admin, job, *fields)
        assert (job.state, job.options["fields"]) == ("shown", ["", "", "", "name"])
        assert "chosen" not in job.options


def test_a_cell_that_could_not_be_read_is_still_known_after_another_choice(admin: Client, person: User) -> None:
    upload(admin, FILE)
    job = ImportJob.objects.get()
    job.rows.filter(number=3).update(broken={"2": "#REF!"})
    choose(admin, job, "name", "email", "phone", "")
    assert outcomes(job) == {2: "new", 3: "invalid"}
    assert "Cell C3 shows the error #REF!" in said(job, 3)


def test_the_columns_of_what_was_confirmed_stay(admin: Client, person: User) -> None:
    job = imported(person, "Name,Email\nAnn,ann@x.org\n")
    assert not choose_columns(job, ["email", "name"], by=person)
    choose(admin, job, "email", "name")
    assert (job.state, job.options["fields"]) == ("done", ["name", "email"])


def test_organizations_are_created_by_a_choice_in_the_preview_of_whoever_may(admin: Client) -> None:
    upload(admin, b"Name,Email,Company\nAnn,ann@x.org,Nova\n")
    job = ImportJob.objects.get()
    columns = {"column-0": "name", "column-1": "email", "column-2": "organization", "make_organizations": "yes"}
    client = Client()
    client.force_login(staff_who_may("view_contact", "add_contact", "change_contact", "view_organization"))
    for person, outcome in ((client, "invalid"), (admin, "new")):
        person.post(url(job, "columns"), columns)
        run_all()
        job.refresh_from_db()
        assert outcomes(job) == {2: outcome}


def test_all_faults_of_a_row_are_told_each_by_its_name(person: User) -> None:
    Contact.objects.create(name="Ann", email="same@x.org")
    Contact.objects.create(name="Ann Two", email="same@x.org")
    text = (
        "NPD ID,Name,Email,Organization,Role\n"
        f"nope,A,not an address,Nobody,{'x' * 300}\n"
        f",B,same@x.org,,{'x' * 300}\n"
        ",C,same@x.org,,\n"
    )
    job = offered(person, text)
    told = {row.number: [label for label, _what in row.problems] for row in job.rows.order_by("number")}
    assert told == {2: ["NPD ID", "Organization", "Email", "Role"], 3: ["Email", "Role"], 4: ["Email"]}
    assert outcomes(job) == {2: "invalid", 3: "invalid", 4: "ambiguous"}
