"""POST …/{id}/unlink, …/{id}/link-again and …/{id}/create-item."""

import pytest
from django.contrib.admin.models import LogEntry
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.models import IgnoredItem, SyncQueue
from sync.records.item_links import UNLINK_KEY
from tests.api.conftest import url_of


def let_go(record: Contact | Organization, item_id: str = "77") -> None:
    IgnoredItem.objects.create(
        entity_type=record.entity_type(), item_id=item_id, reason="why", unlinked=True, entity_id=record.pk
    )


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("kind", ["contact", "organization"])
def test_a_record_is_unlinked_by_its_next_look(
    api: APIClient, contact: Contact, organization: Organization, kind: str, slash: str
) -> None:
    record = contact if kind == "contact" else organization
    type(record).objects.filter(pk=record.pk).update(monday_id="77", sync_status="synced")
    answer = api.post(url_of(record, "unlink" + slash))
    assert answer.status_code == 200
    assert answer.json() == {"message": f"“{record}” is unlinked by its next sync.", "monday_id": "77"}
    row = SyncQueue.objects.get(entity_id=record.pk, status="pending", priority=10)
    assert row.payload[UNLINK_KEY] == "ada unlinked it"
    record.refresh_from_db()
    assert record.sync_status == "pending"
    assert "by the API" in LogEntry.objects.get().change_message


def test_a_record_without_an_item_answers_409_and_asks_for_nothing(api: APIClient, contact: Contact) -> None:
    SyncQueue.objects.all().delete()
    answer = api.post(url_of(contact, "unlink"))
    assert answer.status_code == 409
    assert "has no item on Monday, so there is nothing to unlink." in answer.json()["detail"]
    assert not SyncQueue.objects.exists()
    assert not LogEntry.objects.exists()


def test_a_record_is_linked_again_with_the_item_that_was_let_go_of_it(api: APIClient, contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    let_go(contact)
    answer = api.post(url_of(contact, "link-again"))
    assert answer.json() == {"message": "“Grace Hopper” is linked with its item again.", "monday_id": "77"}
    contact.refresh_from_db()
    assert (contact.monday_id, contact.sync_enabled) == ("77", True)
    assert not IgnoredItem.objects.exists()


def test_an_item_that_has_another_record_by_now_answers_409(api: APIClient, contact: Contact) -> None:
    let_go(contact)
    Contact.objects.create(name="Owner", monday_id="77")
    answer = api.post(url_of(contact, "link-again"))
    assert (answer.status_code, "“Owner”" in answer.json()["detail"]) == (409, True)
    assert api.post(url_of(Contact.objects.get(name="Owner"), "link-again")).status_code == 409


def test_an_item_that_is_gone_is_made_again_by_the_next_pass(api: APIClient, contact: Contact) -> None:
    assert api.post(url_of(contact, "create-item")).status_code == 409
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")
    answer = api.post(url_of(contact, "create-item"))
    assert (answer.status_code, answer.json()["monday_id"]) == (200, "77")
    assert SyncQueue.objects.get(entity_id=contact.pk, priority=10).payload["by"] == "ada"
    Contact.objects.filter(pk=contact.pk).update(sync_direction="monday_to_npd")
    assert api.post(url_of(contact, "create-item")).status_code == 409
