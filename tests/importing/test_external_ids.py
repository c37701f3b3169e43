"""Rows that name a record by the id that another system has for it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.imports.import_jobs import run_all
from npd.models import Contact, Organization
from sync.models import Decision, ExternalId
from sync.records.external_ids import external_ids_of, set_external_ids
from tests.importing.conftest import imported, offered, outcomes, said, taken_back, written

pytestmark = pytest.mark.django_db


def ids(record: Contact | Organization) -> dict[str, str]:
    return external_ids_of(record.entity_type(), [record.pk]).get(record.pk, {})


def contact(name: str, email: str = "", **given: str) -> Contact:
    made = Contact.objects.create(name=name, email=email)
    set_external_ids("contact", {made.pk: given})
    return made


def test_a_record_is_found_by_its_external_id_whatever_its_name_and_email(person: User) -> None:
    ann, bob = contact("Ann", "ann@x.org", crm="1"), contact("Bob", crm="2", erp="1")
    job = imported(person, "External ID,Name,Email\ncrm:1,Anne,anne@x.org\nerp:1,Bobby,\n")
    assert outcomes(job) == {2: "changed", 3: "changed"}
    found = dict(Contact.objects.values_list("pk", "name"))
    assert found == {ann.pk: "Anne", bob.pk: "Bobby"}
    assert Contact.objects.get(pk=ann.pk).email == "anne@x.org"


def test_who_has_none_yet_is_given_it_so_that_the_next_file_finds_them(person: User) -> None:
    ann = contact("Ann", "ann@x.org")
    text = "External ID (crm),Name,Email\n1,Ann,ann@x.org\n2,Bob,\n"
    job = imported(person, text)
    assert outcomes(job) == {2: "changed", 3: "new"}
    assert job.rows.get(number=2).after == {"external_id:crm": "1"}
    assert (ids(ann), ids(Contact.objects.get(name="Bob"))) == ({"crm": "1"}, {"crm": "2"})
    assert imported(person, text).counts["unchanged"] == 2
    assert Contact.objects.count() == 2


def test_an_id_that_contradicts_the_row_is_ambiguous_and_nothing_is_written(person: User) -> None:
    ann = contact("Ann", "ann@x.org", crm="1")
    contact("Bob", crm="2", erp="2")
    job = imported(
        person,
        "NPD ID,External ID (crm),External ID (erp),Name,Email\n"
        f"{ann.pk},2,,Ann B,\n,1,2,Ann C,\n,9,,Ann D,ann@x.org\n,3,,Eve,eve@x.org\n,3,,Eva,eva@x.org\n",
    )
    assert outcomes(job) == dict.fromkeys(range(2, 5), "ambiguous") | {5: "repeated", 6: "repeated"}
    assert set(Contact.objects.values_list("name", flat=True)) == {"Ann", "Bob"}
    assert "External ID (crm): The contact has the external id crm:1" in said(job, 4)
    assert ExternalId.objects.count() == 3


def test_what_is_no_external_id_stops_its_row_alone(person: User) -> None:
    job = imported(person, "External ID,Name\n4711,Ann\ncrm:1,Bob\n")
    assert outcomes(job) == {2: "invalid", 3: "new"}
    assert said(job, 2).startswith("External ID: Write source:value")


def test_a_row_with_two_ids_of_one_source_is_rejected_for_a_record_has_one(person: User) -> None:
    job = imported(person, "External ID,External ID (crm),Name\ncrm:1,2,Ann\ncrm:3,3,Bob\nerp:4,4,Cid\n")
    assert outcomes(job) == {2: "invalid", 3: "new", 4: "new"}
    assert said(job, 2).startswith("External ID (crm): ")
    assert {one.name: ids(one) for one in Contact.objects.all()} == {
        "Bob": {"crm": "3"},
        "Cid": {"crm": "4", "erp": "4"},
    }


def test_an_id_that_somebody_got_since_the_preview_makes_nobody_twice(person: User) -> None:
    job = offered(person, "External ID,Name\ncrm:1,Ann\ncrm:2,Bob\n")
    contact("Anne", crm="1")
    written(job, person)
    assert set(Contact.objects.values_list("name", flat=True)) == {"Anne", "Bob"}
    assert dict(job.rows.values_list("number", "result")) == {2: "left", 3: "written"}


def test_an_import_that_gave_ids_alone_is_told_and_can_be_undone(person: User, admin: Client) -> None:
    ann = contact("Ann", "ann@x.org")
    job = imported(person, "External ID (crm),Email\n1,ann@x.org\n")
    line = Decision.objects.get(entity_id=ann.pk, batch_id=job.pk)
    assert line.sentence == "External ID (crm) set to “1” by the import of “people.csv”, row 2."
    page = admin.get(f"/admin/npd/contact/import/{job.pk}/undo/").content.decode()
    assert "1 value goes back" in page
    admin.post(f"/admin/npd/contact/import/{job.pk}/undo/")
    run_all()
    job.refresh_from_db()
    assert (job.state, ids(ann)) == ("undone", {})


def test_an_undo_takes_the_ids_back_but_not_another_that_came_since(person: User) -> None:
    ann, eve = contact("Ann", "ann@x.org"), contact("Eve", "eve@x.org")
    job = imported(person, "External ID,Name,Email\ncrm:1,Ann,ann@x.org\ncrm:2,Eve,eve@x.org\ncrm:3,Bob,bob@x.org\n")
    set_external_ids("contact", {eve.pk: {"crm": "5"}})
    taken_back(job, person)
    assert (ids(ann), ids(eve), Contact.objects.count()) == ({}, {"crm": "5"}, 2)
    set_external_ids("contact", {ann.pk: {"crm": "3"}})
