"""If-Match: a stale writer is told, and loses nothing."""

from functools import partial

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from npd.models import Contact
from sync.api.preconditions import etag_of, matches_etag
from tests.api.conftest import url_of
from tests.support.waiting import beside, somebody_waits_for_us, wait_for


def read_etag(api: APIClient, contact: Contact) -> str:
    return str(api.get(url_of(contact)).headers["ETag"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ("*", True),
        ('"b", "a"', True),
        ('"b",W/"a"', True),
        ('"b"', False),
        ("", False),
        ("a", False),
        ('"*"', False),
        ('"a.0f"', True),
        ('"b.0f"', False),
    ],
)
def test_if_match_names_a_tag_weak_or_strong_alone_or_in_a_list(header: str, *, expected: bool) -> None:
    assert matches_etag(header, '"a"') is expected


@pytest.mark.parametrize("field", ["name", "email", "phone", "role_title", "notes", "sync_enabled", "sync_direction"])
def test_the_etag_moves_with_what_people_edit(contact: Contact, field: str) -> None:
    before = etag_of(contact)
    setattr(contact, field, {"sync_enabled": False, "sync_direction": "none"}.get(field, "other"))
    assert etag_of(contact) != before


def move_bookkeeping(contact: Contact) -> None:
    """What a pass does to a record."""
    Contact.objects.filter(pk=contact.pk).update(
        monday_id="5", sync_status="synced", monday_last_synced="2026-01-01T00:00:00Z"
    )


def test_an_etag_that_was_read_before_a_pass_lets_its_reader_write(api: APIClient, contact: Contact) -> None:
    before = read_etag(api, contact)
    move_bookkeeping(contact)
    assert api.patch(url_of(contact), {"notes": "new"}, headers={"If-Match": before}).status_code == 200
    assert api.patch(url_of(contact), {"notes": "more"}, headers={"If-Match": before}).status_code == 412


def test_a_row_of_a_list_says_the_etag_that_a_write_takes(api: APIClient, contact: Contact) -> None:
    [listed] = api.get("/api/v1/contacts/").json()["results"]
    assert listed["etag"] == api.get(url_of(contact)).json()["etag"]
    assert api.patch(url_of(contact), {"notes": "new"}, headers={"If-Match": listed["etag"]}).status_code == 200
    refused = api.delete(url_of(contact), headers={"If-Match": listed["etag"]})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")


def test_a_write_answers_the_etag_that_the_next_read_answers(api: APIClient, contact: Contact) -> None:
    written = api.patch(url_of(contact), {"notes": "new"}).headers["ETag"]
    assert written == read_etag(api, contact)
    created = api.post("/api/v1/organizations/", {"name": "Navy", "aliases": ["USN"]})
    assert created.headers["ETag"] == api.get(created.headers["Location"]).headers["ETag"]


READ_AGAIN = ["contact", "/api/v1/contacts/", "/api/v1/contacts/?pagination=cursor&fields=name,sync_status"]


@pytest.mark.parametrize("address", READ_AGAIN)
def test_what_was_read_and_did_not_change_is_answered_with_304(api: APIClient, contact: Contact, address: str) -> None:
    address = url_of(contact) if address == "contact" else address
    tag = api.get(address).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = api.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag), known
        assert "Content-Type" not in answer.headers


def test_the_schema_is_answered_with_304_while_it_is_the_same(api: APIClient) -> None:
    """Asked twice alone: each answer makes the whole document."""
    tag = api.get("/api/v1/schema/").headers["ETag"]
    assert api.get("/api/v1/schema/", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("address", READ_AGAIN)
def test_no_304_hides_what_a_pass_changed(api: APIClient, contact: Contact, address: str) -> None:
    address = url_of(contact) if address == "contact" else address
    tag = api.get(address).headers["ETag"]
    move_bookkeeping(contact)
    answer = api.get(address, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.headers["ETag"] == tag) == (200, False)


def test_the_tag_of_a_row_alone_never_answers_304(api: APIClient, contact: Contact) -> None:
    [listed] = api.get("/api/v1/contacts/").json()["results"]
    assert api.get(url_of(contact), headers={"If-None-Match": listed["etag"]}).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_if_match_is_compared_with_what_a_save_in_progress_commits(
    api: APIClient, contact: Contact, method: str
) -> None:
    etag = read_etag(api, contact)
    write = partial(getattr(api, method), url_of(contact), {"notes": "mine"}, headers={"If-Match": etag})
    with transaction.atomic():
        Contact.objects.filter(pk=contact.pk).update(notes="theirs")
        writer = beside(write)
        wait_for("the API waits for the row", somebody_waits_for_us)
    assert writer.result(60).status_code == 412
    assert Contact.objects.get(pk=contact.pk).notes == "theirs"
