"""External ids, and writing a record by one of them or by its e-mail: made once, changed from then on."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.kernel.db import fetch_rows
from sync.models import ExternalId, Tombstone
from sync.records.external_ids import VALUE_LOCKS, lock_sources
from sync.records.tombstones import restore_by_person
from tests.api.conftest import url_of, user_who_may, with_token
from tests.support.waiting import at_once

CONTACTS = "/api/v1/contacts/"
CRM = f"{CONTACTS}by-external-id/crm/"


def by_email(email: str) -> str:
    return f"{CONTACTS}by-email/{quote(email)}"


def test_by_an_external_id_a_record_is_made_and_then_changed(api: APIClient) -> None:
    made = api.put(f"{CRM}4711", {"name": "Ada", "phone": "+46 8 123 41"})
    assert (made.status_code, made.json()["external_ids"]) == (201, {"crm": "4711"})
    changed = api.put(f"{CRM}4711/", {"phone": "+46 8 123 42", "external_ids": {"shop": "gid://1"}})
    assert (changed.status_code, changed.json()["id"]) == (200, made.json()["id"])
    assert (changed.json()["name"], changed.json()["phone"]) == ("Ada", "+46 8 123 42")
    assert changed.json()["external_ids"] == {"crm": "4711", "shop": "gid://1"}
    assert changed.headers["ETag"] == api.get(made.headers["Location"]).headers["ETag"]


def test_a_record_is_read_at_the_address_at_which_it_is_written(api: APIClient, organization: Organization) -> None:
    api.put(f"{CRM}47/11", {"name": "Ada", "organization": str(organization.pk)})
    api.put("/api/v1/organizations/by-external-id/crm/7", {"name": "Navy Yard"})
    by_its_id = api.get(url_of(Contact.objects.get()))
    found = api.get(f"{CRM}47/11/")
    assert (found.status_code, found.json()) == (200, by_its_id.json())
    assert found.headers["ETag"] == by_its_id.headers["ETag"]
    cut = api.get(f"{CRM}47/11?fields=name,organization&expand=organization").json()
    assert (set(cut), cut["organization"]["name"]) == ({"name", "organization"}, "Navy")
    assert api.get("/api/v1/organizations/by-external-id/crm/7").json()["name"] == "Navy Yard"
    assert [api.get(f"{CRM}{value}").status_code for value in ("4712", "9" * 256)] == [404, 400]
    assert with_token(user_who_may("add_contact")).get(f"{CRM}47/11").status_code == 403


def test_ids_are_filtered_by_and_shown_in_lists_without_a_query_for_each(
    api: APIClient, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        api.put(f"{CRM}{number}", {"name": f"P{number}"})
    with django_assert_max_num_queries(20):
        listed = api.get(CONTACTS).json()["results"]
    assert sorted(one["external_ids"]["crm"] for one in listed) == list("01234")
    found = api.get(f"{CONTACTS}?external_id=crm:3").json()["results"]
    assert [one["name"] for one in found] == ["P3"]
    assert api.get(f"{CONTACTS}?external_id=crm:9").json()["count"] == 0
    refused = api.get(f"{CONTACTS}?external_id=crm")
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, "external_id")


def test_an_id_is_given_moved_and_taken_away(api: APIClient, contact: Contact) -> None:
    assert api.patch(url_of(contact), {"external_ids": {"crm": "1"}}).json()["external_ids"] == {"crm": "1"}
    other = api.post(CONTACTS, {"name": "Bob", "external_ids": {"crm": "1"}})
    assert (other.status_code, other.json()["code"]) == (409, "external_id_taken")
    assert str(contact.pk) in other.json()["detail"]
    assert Contact.objects.count() == 1
    assert api.patch(url_of(contact), {"external_ids": {"crm": None}}).json()["external_ids"] == {}
    assert api.post(CONTACTS, {"name": "Bob", "external_ids": {"crm": "1"}}).status_code == 201


def test_whose_an_id_is_learns_only_who_may_read_the_record(api: APIClient, person: User, contact: Contact) -> None:
    api.patch(url_of(contact), {"external_ids": {"crm": "1"}})
    record = {"name": "Bob", "external_ids": {"crm": "1"}}
    bulk = {"operations": [{"action": "create", "record": record}]}
    clerk = user_who_may("add_contact")
    for client, is_told in ((api, True), (with_token(clerk), False), (with_token(person, "write"), False)):
        for refused in (client.post(CONTACTS, record), client.post(f"{CONTACTS}bulk/", bulk)):
            assert "external_id_taken" in refused.content.decode()
            assert (str(contact.pk) in refused.content.decode()) is is_told


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (f"{CRM}1", {"name": "A", "external_ids": {"crm": "2"}}),
        (f"{CONTACTS}by-external-id/no space/1", {"name": "A"}),
        (f"{CRM}{'9' * 256}", {"name": "A"}),
        (f"{CRM}1", {"name": "A", "emial": "x"}),
        (f"{CRM}1", [1]),
        (by_email("ada@x.test"), {"name": "A", "email": "bob@x.test"}),
        (by_email("no address"), {"name": "A"}),
        (by_email(" "), {"name": "A"}),
        (by_email("a\0b@x.test"), {"name": "A"}),
        (f"{CRM}1", {"name": "A", "external_ids": {f"s{number}": "1" for number in range(51)}}),
        (f"{CRM}1", {"name": "A", "external_ids": {"bad source": "2"}}),
    ],
)  # fmt: skip
def test_what_contradicts_the_address_or_is_no_value_is_refused(api: APIClient, url: str, body: Any) -> None:
    assert api.put(url, body).status_code == 400
    assert not Contact.objects.exists()


def test_by_email_the_contact_is_found_as_the_sync_finds_it(api: APIClient, contact: Contact) -> None:
    changed = api.put(by_email("GRACE@Navy.test"), {"notes": "Admiral"})
    assert (changed.status_code, changed.json()["id"]) == (200, str(contact.pk))
    assert changed.json()["email"] == "grace@navy.test"
    made = api.put(by_email("ada@x.test"), {"name": "Ada"})
    assert (made.status_code, made.json()["email"]) == (201, "ada@x.test")


def test_two_contacts_with_the_email_are_told_and_left_alone(api: APIClient, contact: Contact) -> None:
    other = Contact.objects.create(name="G", email=contact.email)
    answer = api.put(by_email(contact.email), {"notes": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous")
    assert str(contact.pk) in answer.json()["detail"]
    assert str(other.pk) in answer.json()["detail"]


def test_who_only_makes_is_told_that_there_is_one_also_where_there_are_several(
    api: APIClient, contact: Contact
) -> None:
    Contact.objects.create(name="G", email=contact.email)
    answer = api.put(by_email(contact.email), {"notes": "x"}, headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")


def test_a_model_is_written_by_the_field_that_its_records_are_matched_by(api: APIClient) -> None:
    url = f"/api/v1/organizations/by-name/{quote('A/S Kontor', safe='')}"
    assert [api.put(url, {"notes": note}).status_code for note in ("1", "2")] == [201, 200]
    assert Organization.objects.get().notes == "2"


def test_preconditions_say_whether_the_record_must_be_there(api: APIClient, contact: Contact) -> None:
    tag = api.get(url_of(contact)).headers["ETag"]
    url, new = by_email(contact.email), by_email("new@x.test")
    assert api.put(new, {"name": "N"}, headers={"If-Match": "*"}).status_code == 412
    assert api.put(url, {"notes": "1"}, headers={"If-None-Match": "*"}).status_code == 412
    assert api.put(url, {"notes": "1"}, headers={"If-Match": tag}).status_code == 200
    assert api.put(url, {"notes": "2"}, headers={"If-Match": tag}).status_code == 412
    assert api.put(new, {"name": "N"}, headers={"If-None-Match": "*"}).status_code == 201


def test_an_upsert_needs_the_permissions_to_add_and_to_change(contact: Contact) -> None:
    both = user_who_may("add_contact", "change_contact", name="both")
    for user, expected in ((user_who_may("change_contact"), 403), (both, 200)):
        assert with_token(user).put(by_email(contact.email), {"notes": "1"}).status_code == expected


def test_a_deleted_record_lets_its_ids_go_and_a_restored_one_has_them_again(api: APIClient) -> None:
    ids = [api.put(f"{CRM}{number}", {"name": f"P{number}"}).json()["id"] for number in (1, 2)]
    Contact.objects.all().delete()
    new = api.put(f"{CRM}2", {"name": "Other"})
    assert new.status_code == 201
    for record_id in ids:
        restore_by_person(Tombstone.objects.get(entity_id=record_id), "Ada")
    found = {one["name"]: one["external_ids"] for one in api.get(CONTACTS).json()["results"]}
    assert found == {"P1": {"crm": "1"}, "P2": {}, "Other": {"crm": "2"}}


def test_a_thousand_sources_take_some_hundred_of_the_locks_that_all_share(db: None) -> None:
    lock_sources("contact", map(str, range(1_000)))
    [(held,)] = fetch_rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
    assert 200 < held <= VALUE_LOCKS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", [f"{CRM}1", by_email("ada@x.test")])
def test_two_upserts_at_once_make_one_record(api: APIClient, url: str) -> None:
    answers = at_once(*(partial(api.put, url, {"name": "Ada", "phone": f"+46 8 123 4{number}"}) for number in "01"))
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert Contact.objects.count() == 1
    assert ExternalId.objects.count() == ("crm" in url)
