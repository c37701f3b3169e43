"""If-Match: a stale writer is told, and loses nothing."""

from functools import partial

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from npd.models import Contact
from sync.api.record_endpoints import etag_of, matches
from tests.api.conftest import code_of, url_of
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
    ],
)
def test_if_match_names_a_tag_weak_or_strong_alone_or_in_a_list(header: str, *, expected: bool) -> None:
    assert matches(header, '"a"') is expected


@pytest.mark.parametrize("field", ["name", "email", "phone", "role_title", "notes", "sync_enabled", "sync_direction"])
def test_the_etag_moves_with_what_people_edit(contact: Contact, field: str) -> None:
    before = etag_of(contact)
    setattr(contact, field, {"sync_enabled": False, "sync_direction": "none"}.get(field, "other"))
    assert etag_of(contact) != before


def move_bookkeeping(contact: Contact) -> None:
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
    assert (refused.status_code, code_of(refused)) == (412, "precondition_failed")


def test_a_write_answers_the_etag_that_the_next_read_answers(api: APIClient, contact: Contact) -> None:
    written = api.patch(url_of(contact), {"notes": "new"}).headers["ETag"]
    assert written == read_etag(api, contact)
    created = api.post("/api/v1/organizations/", {"name": "Navy", "aliases": ["USN"]})
    assert created.headers["ETag"] == api.get(created.headers["Location"]).headers["ETag"]


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
