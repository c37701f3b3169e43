"""POST …/{id}/sync-to-monday: the push by name."""

from datetime import UTC, datetime

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from npd.models import Contact
from sync.models import BoardLink, SyncMetadata, SyncQueue
from tests.admin import states
from tests.api.conftest import code_of, url_of
from tests.support.words import said


@pytest.fixture(autouse=True)
def boards(db: None) -> None:
    states.boards()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_contact_is_pushed_with_and_without_a_slash(api: APIClient, contact: Contact, slash: str) -> None:
    answer = api.post(url_of(contact, "sync-to-monday" + slash))
    assert answer.status_code == 200
    assert set(answer.json()) == {"contact_id", "sync_triggered", "message", "reason_code", "monday_id"}
    assert answer.json()["contact_id"] == str(contact.pk)
    assert (answer.json()["sync_triggered"], answer.json()["monday_id"]) == (True, None)
    assert answer.json()["message"]
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")  # as it was before the push
    assert api.post(url_of(contact, "sync-to-monday" + slash)).json()["monday_id"] == "77"
    assert SyncQueue.objects.filter(entity_id=contact.pk, status="pending", priority=10).exists()


@pytest.mark.parametrize("missing", ["token", "board"])
def test_without_monday_a_push_is_refused(api: APIClient, contact: Contact, settings: Settings, missing: str) -> None:
    if missing == "token":
        settings.MONDAY_API_KEY = ""
    else:
        BoardLink.objects.all().delete()
        settings.MONDAY_CONTACTS_BOARD_ID = "70002"
    answer = api.post(url_of(contact, "sync-to-monday"))
    assert (answer.status_code, code_of(answer)) == (400, "not_configured")
    if missing == "board":
        # It is named, with the command that sets it up.
        text = answer.content.decode()
        assert "70002" in text
        assert "monday_setup" in text


def test_a_board_is_set_up_once_it_has_a_column_for_the_npd_id(api: APIClient, contact: Contact) -> None:
    links = BoardLink.objects.filter(entity_type="contact")
    links.update(npd_id_problem=said("The column NPD ID was deleted."))  # until somebody restores it
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert (answer["sync_triggered"], answer["reason_code"]) == (True, "")
    assert answer["message"].endswith("if its item is found: the board gets no new items for now.")
    links.update(npd_id_column="")
    answer = api.post(url_of(contact, "sync-to-monday"))
    assert (answer.status_code, code_of(answer)) == (400, "not_configured")


def test_pushes_have_a_throttle_of_their_own(api: APIClient, contact: Contact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "sync-to-monday", "1/min")
    url = url_of(contact, "sync-to-monday")
    assert [api.post(url).status_code for _ in range(2)] == [200, 429]
    assert api.get(url_of(contact)).status_code == 200


def test_while_the_account_is_paused_the_answer_says_that_it_waits(api: APIClient, contact: Contact) -> None:
    states.stop_account(datetime(2999, 1, 1, tzinfo=UTC), "Too many calls.")
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert answer["sync_triggered"] is True
    assert answer["message"] == "It waits: Too many calls. Next attempt at 1 Jan 2999, 00:00 UTC."
    assert answer["reason_code"] == "board"


def test_while_a_stopped_account_is_probed_nothing_is_said_to_be_sent_now(api: APIClient, contact: Contact) -> None:
    states.stop_account(datetime(2020, 1, 1, tzinfo=UTC), needs_probe=True)
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert answer["message"].startswith("It waits: Monday doesn't answer.")
    assert answer["reason_code"] == "board"


def test_of_an_item_that_is_gone_the_answer_says_why_nothing_is_sent(api: APIClient, contact: Contact) -> None:
    SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), remote_state="moved", note=said("Gone.")
    )
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert answer["sync_triggered"] is True
    assert answer["message"] == "It waits: Gone."
    assert answer["reason_code"] == "item_removed"
    assert SyncQueue.objects.filter(entity_id=contact.pk, status="pending", priority=10).exists()


def test_against_its_direction_nothing_is_sent_and_through_a_filter_what_fits(api: APIClient) -> None:
    customers = {"field": "role_title", "op": "is", "values": ["Customer"], "labels": ["Customer"]}
    BoardLink.objects.filter(entity_type="contact").update(sync_filter={"records": [customers]})
    contact = Contact.objects.create(name="Vic", role_title="Vendor", sync_direction="monday_to_npd")
    SyncQueue.objects.all().delete()
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert (answer["sync_triggered"], answer["reason_code"]) == (False, "direction")
    assert not SyncQueue.objects.exists()
    Contact.objects.filter(pk=contact.pk).update(sync_direction="bidirectional")
    answer = api.post(url_of(contact, "sync-to-monday")).json()
    assert (answer["sync_triggered"], "unless the filter" in answer["message"]) == (True, True)


def test_the_next_try_is_not_before_the_end_of_a_pause(api: APIClient, contact: Contact) -> None:
    assert api.get(url_of(contact)).json()["sync"]["next_try"] < "2999"
    states.stop_board("contact", datetime(2999, 1, 1, tzinfo=UTC))
    assert api.get(url_of(contact)).json()["sync"]["next_try"] == "2999-01-01T00:00:00Z"
    states.stop_account(datetime(2999, 2, 1, tzinfo=UTC), "Too many calls.")
    assert api.get(url_of(contact)).json()["sync"]["next_try"] == "2999-02-01T00:00:00Z"
    SyncQueue.objects.update(next_retry="2999-03-01T00:00:00Z")
    assert api.get(url_of(contact)).json()["sync"]["next_try"] == "2999-03-01T00:00:00Z"
