"""What a list accepts: pages by number and by cursor, filters, order and search."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.models import SyncMetadata
from sync.words.message import Message, sentences
from tests.admin import states
from tests.api.conftest import QUEUE, results, row, url_of

CONTACTS = "/api/v1/contacts/"
CONFLICTS = "/api/v1/sync/conflicts/"
STATES = "/api/v1/sync/states/"


def named(api: APIClient, **query: Any) -> list[str]:
    return [record["name"] for record in results(api, CONTACTS, **query)]


def walk(api: APIClient, address: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    following: str | None = address
    while following:
        answer = api.get(following)
        assert answer.status_code == 200, answer.content
        rows += answer.json()["results"]
        following = answer.json()["next"]
    return rows


LISTS = [CONTACTS, "/api/v1/organizations/", QUEUE, CONFLICTS, STATES] + [
    f"/api/v1/sync/{name}/" for name in ("attention", "approvals", "activity")
]


UNREADABLE = (
    "changed_since=2026-01-01", "updatedsince=2026-01-01", "Search=ann", "entity_type=", "entity_id=", "kind=",
    "page_size=many", "page_size=0", "pagination=pages", "ordering=shoe_size", "mark=yesterday",
    # Of two the first would be left out, and pages by number would all be the first.
    "ordering=id&ordering=-id", "page_size=2&page_size=3", "page=2&pagination=cursor",
)  # fmt: skip


@pytest.mark.parametrize("address", LISTS)
def test_a_parameter_that_is_not_understood_is_refused_by_its_name(api: APIClient, address: str) -> None:
    for query in UNREADABLE:
        answer = api.get(f"{address}?{query}")
        assert answer.status_code == 400, query
        assert [error["attr"] for error in answer.json()["errors"]] == [query.partition("=")[0]]
    assert api.get(f"{address}?format=json&page_size=5&pagination=cursor").status_code == 200


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("changed_since=2026-01-01", "updated_since"),
        ("sync_enabled=2", "true, false"),
        ("sync_enabled=", "true, false"),
        ("sync_enabled=true&sync_enabled=false", "once"),
        ("sync_status=done", "synced"),
        ("sync_direction=up", "npd_to_monday"),
        ("organization=", "the id of a record that exists"),
        ("email=", "email"),
        ("updated_since=soon", "2026-11-22T10:00:00Z"),
        ("ordering=-shoe_size", "role_title"),
        ("pagination=pages", "cursor"),
    ],
)
def test_a_filter_that_is_not_understood_says_what_it_takes(api: APIClient, query: str, known: str) -> None:
    answer = api.get(f"{CONTACTS}?{query}")
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert known in error["detail"]


def test_a_parameter_of_a_list_is_none_of_a_record(api: APIClient, contact: Contact) -> None:
    assert api.get(f"{url_of(contact)}?changed_since=1").status_code == 200


def test_a_page_holds_at_most_500_records(api: APIClient) -> None:
    Contact.objects.bulk_create(Contact(name=f"Contact {number}") for number in range(502))
    for query in ({"page_size": 501}, {"page_size": 9_999, "pagination": "cursor"}):
        assert len(results(api, CONTACTS, **query)) == 500


@pytest.mark.parametrize("ordering", ["phone", "-monday_last_synced"])
def test_equal_rows_are_on_one_page_each(api: APIClient, ordering: str) -> None:
    Contact.objects.bulk_create(Contact(name="Same", phone=str(number % 2)) for number in range(9))
    rows = walk(api, f"{CONTACTS}?page_size=4&ordering={ordering}")
    assert len({record["id"] for record in rows}) == len(rows) == 9


@pytest.mark.parametrize("query", ["", "&ordering=-monday_last_synced&search=same"])
def test_pages_by_cursor_give_each_row_once_whatever_the_order(api: APIClient, query: str) -> None:
    Contact.objects.bulk_create(Contact(name="Same", phone=str(number % 2)) for number in range(9))
    rows = walk(api, f"{CONTACTS}?pagination=cursor&page_size=4{query}")
    assert [record["id"] for record in rows] == sorted(str(key) for key in Contact.objects.values_list("pk", flat=True))
    assert "count" not in api.get(f"{CONTACTS}?pagination=cursor{query}").json()


def test_records_are_filtered_searched_and_ordered(api: APIClient, organization: Organization) -> None:
    Contact.objects.create(name="Old", email="Old@Navy.test", phone="1", notes="long", organization=organization)
    new = Contact.objects.create(name="New", email="new@navy.test", sync_enabled=False, sync_direction="npd_to_monday")
    Contact.objects.filter(pk=new.pk).update(monday_id="77")
    new.refresh_from_db()
    assert named(api, email="old@navy.TEST") == ["Old"]
    assert named(api, email="navy.test") == []
    assert named(api, notes="long", phone="1") == ["Old"]
    assert named(api, sync_enabled="false") == named(api, sync_status="disabled") == ["New"]
    assert named(api, sync_status=["disabled", "pending"]) == ["New", "Old"]
    assert named(api, search="NAVY old") == ["Old"]


def test_an_organization_is_found_by_its_address_as_boards_show_it(api: APIClient, admin_client: Client) -> None:
    address = {"address_street": "Main St 5", "address_zip": "10115", "address_city": "Berlin"}
    nova = Organization.objects.create(name="Nova", address_country="Germany", **address)
    Organization.objects.create(name="Other", address_city="Berlin", address_country="Germany")
    text = "main st 5, 10115 Berlin, Germany"
    [organization] = results(api, "/api/v1/organizations/", search=text)
    assert organization["id"] == str(nova.pk)
    assert list(admin_client.get("/admin/npd/organization/", {"q": text}).context["cl"].result_list) == [nova]


def test_jobs_and_states_are_filtered(api: APIClient, contact: Contact) -> None:
    job = row(entity_id=None, remote_id="55", operation="create", priority=10)
    row(operation="update", attempts=3)
    jobs = results(api, QUEUE, monday_id="55", operation="create", status=["failed", "pending"])
    assert [(row["id"], row["monday_id"]) for row in jobs] == [(job.pk, "55")]
    note = sentences(Message("let_in"), Message("can_restore"))
    SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), remote_id="55", note=note)
    [own] = results(api, STATES, remote_id="55", sync_status="pending")
    assert (own["entity_id"], "local_modified" in own) == (str(contact.pk), False)
    assert (own["note"], own["note_code"], own["error_code"]) == (note, "let_in", "")
    SyncMetadata.objects.create(entity_type="sprint", entity_id="1", system="jira", content_hash="a")
    [other] = results(api, STATES, system="jira")
    assert (other["content_hash"], other["resolution_strategy"]) == ("a", "manual")


def test_each_field_tells_how_it_is_synced_and_monday_is_not_asked(api: APIClient, contact: Contact) -> None:
    states.boards()
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")
    base = {"item": "77", "column": "email", "version": 1}
    raw = {"email": "old@navy.test", "text": "old@navy.test"}
    SyncMetadata.objects.create(
        entity_type="contact",
        entity_id=str(contact.pk),
        base={"email": {"local": {"email": "old@navy.test"}, "remote": raw, **base}},
        blocked_fields={"name": {"reason": "Monday rejected it.", "code": "rejected"}},
    )
    state = api.get(url_of(contact, "sync")).json()
    name, email = state["fields"][:2]
    assert (name["reason_code"], name["detail"]) == ("rejected", "Monday rejected it.")
    expected = ("grace@navy.test", "old@navy.test", "old@navy.test")
    assert (email["npd"], email["base"]["npd"], email["monday"]) == expected
    assert email["reason_code"] == "npd_changed"
    organization = Organization.objects.create(name="Navy")
    assert api.get(f"{CONTACTS}{organization.pk}/sync").status_code == 404


# What a list costs.


def test_thirty_rows_of_a_list_cost_as_many_queries_as_three(api: APIClient, organization: Organization) -> None:
    contacts = (CONTACTS, f"{CONTACTS}?pagination=cursor")
    lists = [*contacts, "/api/v1/organizations/", QUEUE, CONFLICTS, STATES]
    grow(3, organization)
    for address in lists:
        api.get(address)  # fills caches
    queries_before = {address: queries(api, address) for address in lists}
    grow(27, organization)
    assert {address: queries(api, address) for address in lists} == queries_before
    assert max(queries_before.values()) <= 19, queries_before  # three read when what waits is tried next


def queries(api: APIClient, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert results(api, address)
    return len(captured)


def grow(number: int, organization: Organization) -> None:
    for _ in range(number):
        contact = Contact.objects.create(name="x", organization=organization)
        Organization.objects.create(name="x")
        row()
        blocked = {"email": {"reason": "Monday rejected it.", "code": "rejected"}}
        SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), blocked_fields=blocked)
        sides = {"npd_data": {"phone": "1"}, "monday_data": {"phone": "2"}, "base_data": {"phone": "0"}}
        states.conflict(contact, "77", conflict_fields=["phone"], **sides)
