"""Another system polls for the records that changed since a time."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.models import Tombstone
from sync.records.tombstones import restore_by_person
from tests.api.conftest import code_of

CONTACTS, ORGANIZATIONS = "/api/v1/contacts/", "/api/v1/organizations/"


def names_since(api: APIClient, moment: Any, address: str = CONTACTS, **query: Any) -> list[str]:
    answer = api.get(address, {"updated_since": moment.isoformat(), **query})
    return [record["name"] for record in answer.json()["results"]]


@pytest.mark.parametrize(("model", "address"), [(Contact, CONTACTS), (Organization, ORGANIZATIONS)])
def test_records_that_changed_at_that_moment_or_later_are_listed(api: APIClient, model: Any, address: str) -> None:
    first, second = (model.objects.create(name=name) for name in ("First", "Second"))
    second.refresh_from_db()
    assert names_since(api, second.updated_at, address) == ["Second"]
    assert names_since(api, second.updated_at + timedelta(microseconds=1), address) == []
    model.objects.filter(pk=first.pk).update(notes="changed past the page")
    assert names_since(api, second.updated_at, address) == ["First", "Second"]


def test_the_syncs_bookkeeping_is_no_change(api: APIClient) -> None:
    contact = Contact.objects.create(name="Grace")
    contact.refresh_from_db()
    Contact.objects.update(monday_id="4711", sync_status="synced", monday_last_synced=timezone.now())
    assert names_since(api, contact.updated_at + timedelta(microseconds=1)) == []


def test_a_restored_record_changed_when_it_was_restored(api: APIClient) -> None:
    contact = Contact.objects.create(name="Grace")
    key = contact.pk
    contact.delete()
    tombstone = Tombstone.objects.get(entity_id=key)
    assert names_since(api, tombstone.deleted_at) == []
    restore_by_person(tombstone, "ada")
    assert names_since(api, tombstone.deleted_at) == ["Grace"]


def test_an_offset_that_the_standard_has_and_postgresql_does_not_is_no_failure_of_ours(api: APIClient) -> None:
    answer = api.get(CONTACTS, {"updated_since": "2026-01-01T22:44:31-21:27"})
    assert (answer.status_code, code_of(answer)) == (400, "out_of_range")
