"""Many records in one request: each row for itself, or all or nothing."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from npd.models import Contact, ContactEvent, Organization  # type: ignore[attr-defined]
from sync.models import SyncQueue, Tombstone
from tests.api.conftest import url_of, user_who_may, with_token

BULK = "/api/v1/contacts/bulk"
NOBODY = str(uuid.UUID(int=1))


def send(api: APIClient, *operations: Any, atomic: bool = False) -> Any:
    return api.post(BULK, {"atomic": atomic, "operations": list(operations)})


def create(name: str, **fields: Any) -> dict[str, Any]:
    return {"action": "create", "record": {"name": name, **fields}}


def test_one_of_each_is_done_in_order_with_its_tag(
    api: APIClient, contact: Contact, organization: Organization
) -> None:
    gone = api.put("/api/v1/contacts/by-external-id/crm/9", {"name": "Gone"}).json()["id"]
    answer = send(
        api,
        create("Ada", organization=str(organization.pk), external_ids={"crm": "1"}),
        {"action": "update", "id": str(contact.pk), "record": {"notes": "new"}},
        {"action": "upsert", "external_id": "crm:2", "record": {"name": "Bob"}},
        {"action": "delete", "external_id": "crm:9"},
    )
    said = answer.json()
    assert (answer.status_code, said["done"], said["refused"]) == (200, 4, 0)
    assert [one["status"] for one in said["results"]] == [201, 200, 201, 204]
    for one in said["results"][:3]:
        assert api.get(f"/api/v1/contacts/{one['id']}/").json()["etag"] == one["etag"]
    assert api.get("/api/v1/contacts/?external_id=crm:1").json()["results"][0]["organization"] == str(organization.pk)
    assert (Contact.objects.get(pk=contact.pk).notes, Tombstone.objects.get().entity_id) == ("new", uuid.UUID(gone))
    again = send(api, {"action": "upsert", "external_id": "crm:2", "record": {"phone": "+46 8 123 45"}}).json()[
        "results"
    ][0]
    assert (again["status"], again["id"]) == (200, said["results"][2]["id"])


def test_a_row_that_is_refused_stops_no_other_and_says_why(api: APIClient, contact: Contact) -> None:
    api.patch(url_of(contact), {"external_ids": {"crm": "1"}})
    update = {"action": "update", "record": {"notes": "n"}}
    answer = send(
        api,
        create("Ada"),
        create(""),
        create("Eve", emial="x"),
        update | {"id": NOBODY},
        update | {"id": str(contact.pk), "if_match": '"stale"'},
        update,
        "nonsense",
        {"action": "explode"},
        create("Taken", external_ids={"crm": "1"}),
        create("Bob"),
    )
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [201, 400, 400, 404, 412, 400, 400, 400, 409, 201]
    assert results[1]["problem"]["errors"][0]["pointer"] == "/record/name"
    assert results[2]["problem"]["errors"][0]["code"] == "unknown_field"
    assert results[8]["problem"]["code"] == "external_id_taken"
    assert set(Contact.objects.values_list("name", flat=True)) == {contact.name, "Ada", "Bob"}


def test_all_or_nothing_names_the_rows_that_are_refused(api: APIClient) -> None:
    answer = send(api, create("Ada"), create(""), atomic=True)
    assert (answer.status_code, answer.json()["code"]) == (422, "bulk_refused")
    assert [one["index"] for one in answer.json()["results"]] == [1]
    assert not Contact.objects.exists()
    assert not SyncQueue.objects.exists()
    assert not LogEntry.objects.exists()
    assert send(api, create("Ada"), create("Bob"), atomic=True).json()["done"] == 2


@pytest.mark.parametrize("atomic", [True, False])
def test_what_only_the_database_refuses_is_found_among_the_others(api: APIClient, *, atomic: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts ADD CONSTRAINT no_eve CHECK (name <> 'Eve')")
    answer = send(api, create("Ada"), create("Eve"), create("Bob"), atomic=atomic)
    if atomic:
        assert (answer.status_code, Contact.objects.count()) == (422, 0)
    else:
        assert [one["status"] for one in answer.json()["results"]] == [201, 409, 201]
        assert Contact.objects.count() == 2


@pytest.mark.parametrize("other", ["2", None])
def test_an_upsert_under_one_name_that_gives_another_is_refused(api: APIClient, other: str | None) -> None:
    twin = {"action": "upsert", "external_id": "crm:1", "record": {"name": "T", "external_ids": {"crm": other}}}
    [result] = send(api, twin).json()["results"]
    assert result["problem"]["errors"][0] | {"detail": ""} == {
        "pointer": "/record/external_ids/crm", "code": "contradiction", "detail": ""
    }  # fmt: skip
    assert not Contact.objects.exists()


@pytest.mark.parametrize("organization", [NOBODY, "no id", 7, True, [1], {}])
def test_a_relation_that_leads_nowhere_is_refused_in_its_row(api: APIClient, organization: Any) -> None:
    results = send(api, create("Ada", organization=organization), create("Bob", organization=None)).json()["results"]
    assert [one["status"] for one in results] == [400, 201]
    assert results[0]["problem"]["errors"][0]["pointer"] == "/record/organization"


@pytest.mark.parametrize("levels", [60, 890, 950, 990])
def test_what_is_nested_too_deeply_is_refused_before_it_is_read(api: APIClient, levels: int) -> None:
    body = json.dumps({"operations": [create("deep")]}).replace('"deep"', "[" * levels + "]" * levels)
    for key in ({}, {"Idempotency-Key": "k"}):
        answer = api.post(BULK, body, content_type="application/json", headers=key)
        assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


def test_a_record_is_named_once(api: APIClient, contact: Contact) -> None:
    row = {"action": "update", "id": str(contact.pk), "record": {"notes": "n"}}
    twin = {"action": "upsert", "external_id": "crm:1", "record": {"name": "T"}}
    results = send(api, row, row | {"record": {"notes": "m"}}, twin, twin).json()["results"]
    assert [one["problem"]["code"] for one in results] == ["named_twice"] * 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operations": []},
        {"operations": [{"action": "create", "record": {"name": "A"}}] * 1_001},
        {"operations": [], "atomc": True},
        {"operations": {"a": 1}},
    ],
)
def test_what_is_no_list_of_up_to_a_thousand_is_refused(api: APIClient, body: Any) -> None:
    assert api.post(BULK, body).status_code == 400
    assert not Contact.objects.exists()


def test_each_row_needs_its_own_permission(contact: Contact) -> None:
    adder = with_token(user_who_may("add_contact"))
    upsert = {"action": "upsert", "external_id": "crm:1", "record": {"name": "B"}}
    results = send(adder, create("Ada"), {"action": "delete", "id": str(contact.pk)}, upsert).json()["results"]
    assert [one["status"] for one in results] == [201, 403, 403]
    assert send(with_token(user_who_may("view_contact", name="reader")), create("Ada")).status_code == 403


def test_history_and_outbox_see_them_as_single_ones_with_the_batch(api: APIClient, contact: Contact) -> None:
    SyncQueue.objects.all().delete()
    batch = send(api, create("Ada"), {"action": "update", "id": str(contact.pk), "record": {"notes": "n"}}).json()[
        "batch"
    ]
    contexts = [event.pgh_context.metadata for event in ContactEvent.objects.order_by("-pgh_id")[:2]]
    assert [(one["cause"], one["batch"]) for one in contexts] == [("api", batch)] * 2
    assert all(one["user"] for one in contexts)
    assert SyncQueue.objects.filter(status="pending", entity_type="contact").count() == 2
    assert LogEntry.objects.filter(change_message__contains=batch).count() == 2


def test_more_rows_take_no_more_statements(api: APIClient, organization: Organization) -> None:
    counts = []
    for number in (1, 10, 100):
        with CaptureQueriesContext(connection) as queries:
            named = {"organization": str(organization.pk), "phone": "(415) 555-2671"}
            made = send(api, *(create("A", **named) for _ in range(number))).json()["results"]
            changed = {"notes": "n", "phone": "(415) 555-2672"}
            send(api, *({"action": "update", "id": one["id"], "record": changed} for one in made))
        counts.append(len(queries))
    assert counts[1] == counts[2]  # the first fills caches
