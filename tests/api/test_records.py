"""Reading and writing contacts and organizations by API."""

from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.api.record_endpoints import etag_of, matches
from sync.kernel.db import fetch_rows
from sync.models import SyncQueue
from sync.models.synced_model import LONG_TEXT_CHARACTERS
from tests.api.conftest import code_of, error_of, url_of
from tests.support.waiting import in_background, somebody_waits_for_us, wait_for

CONTACTS = "/api/v1/contacts/"


def test_a_contact_is_created_read_changed_and_deleted(api: APIClient, organization: Organization) -> None:
    body = {"name": "Ada", "email": "ada@x.test", "organization": str(organization.pk), "phone": "+44 20 7946 0000"}
    created = api.post(CONTACTS, body)
    assert created.status_code == 201
    assert {key: created.json()[key] for key in body} == body
    url = f"{CONTACTS}{created.json()['id']}/"
    assert api.get(url).json()["name"] == "Ada"
    assert api.patch(url, {"notes": "n"}).json()["notes"] == "n"
    written = api.put(url, {"name": "Ada L."}).json()
    assert (written["name"], written["notes"]) == ("Ada L.", "n"), "what it omits stays"
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_sync_can_be_switched_off_and_its_direction_set(api: APIClient, contact: Contact) -> None:
    answer = api.patch(url_of(contact), {"sync_enabled": False, "sync_direction": "npd_to_monday"}).json()
    expected = (False, "npd_to_monday", "disabled")
    assert (answer["sync_enabled"], answer["sync_direction"], answer["sync_status"]) == expected


def test_a_put_of_what_stands_there_writes_nothing(api: APIClient, contact: Contact) -> None:
    SyncQueue.objects.all().delete()
    whole = api.get(url_of(contact)).json()
    with CaptureQueriesContext(connection) as queries:
        assert api.put(url_of(contact), whole).status_code == 200
    assert not [query for query in queries.captured_queries if 'UPDATE "contacts"' in query["sql"]]
    assert not SyncQueue.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "  "}, "name"),
        ({"email": "not an address"}, "email"),
        ({"phone": "030 9988776"}, "phone"),
        ({"notes": "a\0b"}, "notes"),
        ({"notes": "x" * (LONG_TEXT_CHARACTERS + 1)}, "notes"),
    ],
)
def test_a_value_that_does_not_fit_is_named(api: APIClient, contact: Contact, body: dict[str, Any], field: str) -> None:
    answer = api.patch(url_of(contact), body)
    assert (answer.status_code, answer.json()["type"]) == (400, "validation_error")
    assert error_of(answer)["attr"] == field
    assert error_of(answer)["detail"]


def test_an_old_bad_number_stops_no_other_edit_and_a_new_one_gets_its_country(api: APIClient, contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(phone="keine Ahnung")
    whole = api.get(url_of(contact)).json()
    assert api.put(url_of(contact), whole | {"notes": "new"}).status_code == 200
    answer = api.patch(url_of(contact), {"phone": "(202) 555-0143"})
    assert (answer.status_code, answer.json()["phone"]) == (200, "+1 202-555-0143")


def test_what_was_read_may_come_back_though_a_pass_came_between(api: APIClient, contact: Contact) -> None:
    whole = api.get(url_of(contact)).json()
    Contact.objects.filter(pk=contact.pk).update(
        monday_id="77", sync_status="synced", monday_last_synced="2030-01-01T00Z"
    )
    answer = api.put(url_of(contact), whole | {"phone": "+46 8 123 45"})
    assert (answer.status_code, answer.json()["phone"], answer.json()["monday_id"]) == (200, "+46 8 123 45", "77")


@pytest.mark.django_db(transaction=True)
def test_a_write_that_gave_way_to_another_may_be_sent_again(api: APIClient, contact: Contact) -> None:
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}
    with psycopg.connect(**address, password=settings["PASSWORD"], dbname=settings["NAME"]) as session:  # type: ignore[arg-type]
        session.execute("SELECT id FROM contacts FOR UPDATE")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        answer = api.patch(url_of(contact), {"notes": "n"})
        assert (answer.status_code, code_of(answer)) == (409, "conflict")
    connection.close()
    assert api.patch(url_of(contact), {"notes": "n"}).status_code == 200


def read_etag(api: APIClient, contact: Contact) -> str:
    return str(api.get(url_of(contact)).headers["ETag"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [('"a"', True), ('W/"a"', True), ('"b",W/"a"', True), ('"b"', False), ("", False), ("a", False)],
)
def test_if_match_names_a_tag_weak_or_strong_alone_or_in_a_list(header: str, *, expected: bool) -> None:
    assert matches(header, '"a"') is expected


@pytest.mark.parametrize("field", ["name", "email", "phone", "role_title", "notes", "sync_enabled", "sync_direction"])
def test_the_etag_moves_with_what_people_edit(contact: Contact, field: str) -> None:
    before = etag_of(contact)
    setattr(contact, field, {"sync_enabled": False, "sync_direction": "none"}.get(field, "other"))
    assert etag_of(contact) != before


def test_the_etag_of_a_read_a_list_or_a_write_lets_its_reader_write_once(api: APIClient, contact: Contact) -> None:
    before = read_etag(api, contact)
    [listed] = api.get("/api/v1/contacts/").json()["results"]
    assert listed["etag"] == before
    Contact.objects.filter(pk=contact.pk).update(monday_id="5", sync_status="synced")  # as a pass does
    written = api.patch(url_of(contact), {"notes": "new"}, headers={"If-Match": before})
    assert (written.status_code, written.headers["ETag"]) == (200, read_etag(api, contact))
    for refused in (
        api.patch(url_of(contact), {"notes": "more"}, headers={"If-Match": before}),
        api.delete(url_of(contact), headers={"If-Match": before}),
    ):
        assert (refused.status_code, code_of(refused)) == (412, "precondition_failed")
    created = api.post("/api/v1/organizations/", {"name": "Navy", "aliases": ["USN"]})
    assert created.headers["ETag"] == api.get(created.headers["Location"]).headers["ETag"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_if_match_waits_for_a_save_in_progress(api: APIClient, contact: Contact, method: str) -> None:
    etag = read_etag(api, contact)
    write = partial(getattr(api, method), url_of(contact), {"notes": "mine"}, headers={"If-Match": etag})
    with transaction.atomic():
        Contact.objects.filter(pk=contact.pk).update(notes="theirs")
        writer = in_background(write)
        wait_for("the API waits for the row", somebody_waits_for_us)
    assert writer.result(60).status_code == 412
    assert Contact.objects.get(pk=contact.pk).notes == "theirs"


# Who waits for us, and who waits for those.
WAITING = """
    WITH first AS (SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))
    SELECT DISTINCT pid FROM pg_locks
    WHERE NOT granted AND (pid IN (SELECT pid FROM first) OR pg_blocking_pids(pid) && ARRAY(SELECT pid FROM first))
"""


@pytest.mark.django_db(transaction=True)
def test_of_two_writers_that_read_the_same_one_writes(api: APIClient, contact: Contact) -> None:
    etag = read_etag(api, contact)
    write = partial(api.patch, url_of(contact), headers={"If-Match": etag})
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)
        writers = [in_background(partial(write, {field: "mine"})) for field in ("notes", "role_title")]
        wait_for("both wait for the row", lambda: len(fetch_rows(WAITING)) == 2)
    assert sorted(writer.result(60).status_code for writer in writers) == [200, 412]
    contact.refresh_from_db()
    assert sorted((contact.notes, contact.role_title)).count("mine") == 1
