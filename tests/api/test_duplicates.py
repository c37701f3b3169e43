"""A record that is written with another's email: its writer is warned, or refused where that was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from tests.api.conftest import url_of, user_who_may, with_token
from tests.support.waiting import at_once

CONTACTS = "/api/v1/contacts/"
BULK = f"{CONTACTS}bulk"
EMAIL = "grace@navy.test"


@pytest.fixture
def other(db: None) -> Contact:
    return Contact.objects.create(name="Ada")


def warned_of(answer: Any, status: int) -> list[tuple[str, str, list[str]]]:
    assert answer.status_code == status, answer.content
    return [(one["code"], one["field"], one["ids"]) for one in answer.json()["warnings"]]


def test_whoever_writes_anothers_email_is_warned_whose_it_is(api: APIClient, contact: Contact, other: Contact) -> None:
    of_grace = [("possible_duplicate", "email", [str(contact.pk)])]
    same = {"name": "G", "email": " Grace@NAVY.test "}
    assert warned_of(api.patch(url_of(other), same), 200) == of_grace
    assert warned_of(api.put(url_of(other), same), 200) == of_grace
    Contact.objects.filter(pk=other.pk).update(email="")
    assert warned_of(api.put(f"{CONTACTS}by-external-id/crm/{1}", same), 201) == of_grace
    Contact.objects.exclude(pk=contact.pk).delete()
    assert warned_of(api.post(CONTACTS, same), 201) == of_grace


def test_nobody_is_warned_of_oneself_of_no_email_or_of_what_was_not_sent(
    api: APIClient, contact: Contact, other: Contact
) -> None:
    assert warned_of(api.patch(url_of(contact), {"email": EMAIL}), 200) == []
    assert warned_of(api.patch(url_of(other), {"email": ""}), 200) == []
    assert warned_of(api.post(CONTACTS, {"name": "Nobody", "email": ""}), 201) == []
    Contact.objects.filter(pk=other.pk).update(email=EMAIL)
    assert warned_of(api.patch(url_of(other), {"notes": "x"}), 200) == []


def test_an_answer_with_its_warnings_may_be_sent_back_whole(api: APIClient, contact: Contact) -> None:
    made = api.post(CONTACTS, {"name": "G", "email": EMAIL}).json()
    assert api.put(f"{CONTACTS}{made['id']}/", made).status_code == 200
    assert api.patch(f"{CONTACTS}{made['id']}/", {"warnings": []}).status_code == 400


def test_a_bulk_warns_of_each_row_and_of_two_within_it(api: APIClient, contact: Contact) -> None:
    rows = [{"action": "create", "record": {"name": name, "email": email}}
            for name, email in (("G", EMAIL), ("B", "b@x.test"), ("C", "B@x.test"), ("D", ""))]  # fmt: skip
    found = api.post(BULK, {"operations": rows}).json()["results"]
    warned = [[one["ids"] for one in row["warnings"]] for row in found]
    assert warned == [[[str(contact.pk)]], [[found[2]["id"]]], [[found[1]["id"]]], []]


def test_where_unique_is_asked_nothing_is_written_beside_another(
    api: APIClient, contact: Contact, other: Contact
) -> None:
    for answer in (
        api.post(f"{CONTACTS}?unique=email", {"name": "G", "email": EMAIL.upper()}),
        api.patch(f"{url_of(other)}?unique=email", {"email": EMAIL}),
        api.put(f"{url_of(other)}?unique=email", {"name": "G", "email": EMAIL}),
        api.put(f"{CONTACTS}by-external-id/crm/1?unique=email", {"name": "G", "email": EMAIL}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "possible_duplicate")
        assert str(contact.pk) in answer.json()["detail"]
    assert Contact.objects.filter(email=EMAIL).count() == 1
    assert api.patch(f"{url_of(contact)}?unique=email", {"email": EMAIL, "notes": "x"}).status_code == 200
    assert api.post(f"{CONTACTS}?unique=name", {"name": "G"}).json()["errors"][0]["parameter"] == "unique"


def test_a_bulk_that_is_to_be_unique_refuses_the_second_of_two(api: APIClient, contact: Contact) -> None:
    rows = [{"action": "create", "record": {"name": name, "email": email}}
            for name, email in (("G", EMAIL), ("B", "b@x.test"), ("C", "B@x.test"))]  # fmt: skip
    found = api.post(f"{BULK}?unique=email", {"operations": rows}).json()["results"]
    assert [one["status"] for one in found] == [409, 201, 409]
    assert found[0]["problem"]["code"] == found[2]["problem"]["code"] == "possible_duplicate"


def test_organizations_are_known_by_their_name(api: APIClient, organization: Organization) -> None:
    made = api.post("/api/v1/organizations/", {"name": "NAVY"})
    assert warned_of(made, 201) == [("possible_duplicate", "name", [str(organization.pk)])]
    assert api.post("/api/v1/organizations/?unique=name", {"name": "navy"}).status_code == 409


def test_whose_the_email_is_learns_only_who_may_read_contacts(person: User, contact: Contact) -> None:
    nobody = [("possible_duplicate", "email", list[str]())]
    for client in (with_token(person, "write"), with_token(user_who_may("add_contact"))):
        assert warned_of(client.post(CONTACTS, {"name": "G", "email": EMAIL}), 201) == nobody
        refused = client.post(f"{CONTACTS}?unique=email", {"name": "G", "email": EMAIL})
        assert refused.status_code == 409
        assert str(contact.pk) not in refused.content.decode()
        [row] = client.post(
            BULK, {"operations": [{"action": "create", "record": {"name": "G", "email": EMAIL}}]}
        ).json()["results"]
        assert [one["ids"] for one in row["warnings"]] == [[]]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_that_are_to_be_unique_make_one(api: APIClient) -> None:
    """Whichever way each of them is sent."""
    operations = [{"action": "create", "record": {"name": "Ada", "email": "ada@x.test"}}]
    ways = {
        "one": lambda: api.post(f"{CONTACTS}?unique=email", {"name": "Ada", "email": "Ada@X.test"}),
        "bulk": lambda: api.post(f"{BULK}?unique=email", {"operations": operations}),
        "upsert": lambda: api.put(f"{CONTACTS}by-email/ada@x.test", {"name": "Ada"}),
    }
    for first, second in (("one", "one"), ("one", "bulk"), ("bulk", "bulk"), ("one", "upsert")):
        at_once(ways[first], ways[second])
        assert Contact.objects.count() == 1, (first, second)
        Contact.objects.all().delete()
