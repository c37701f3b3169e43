"""What a list of the API costs."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.models import SyncMetadata
from tests.api.conftest import results, row

SYNC = "/api/v1/sync/"


def blocked(contact: Contact, **held: Any) -> SyncMetadata:
    entry = {"reason": "Monday rejected it.", "code": "rejected", "side": "monday", **held}
    return SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), blocked_fields={"email": entry}
    )


def open_conflict(contact: Contact, **values: Any) -> SyncConflict:
    sides = {"npd_data": {"phone": "1"}, "monday_data": {"phone": "2"}, "base_data": {"phone": "0"}}
    return SyncConflict.objects.create(
        entity_type="contact", entity_id=contact.pk, monday_item_id="77", conflict_fields=["phone"], **sides, **values
    )


def test_every_list_costs_as_many_queries_for_thirty_rows_as_for_three(
    api: APIClient, organization: Organization
) -> None:
    lists = [
        *(
            "/api/v1/contacts/",
            "/api/v1/contacts/?expand=organization",
            "/api/v1/contacts/?pagination=cursor",
            "/api/v1/organizations/",
        ),
        *(f"{SYNC}{name}/" for name in ("queue", "conflicts", "states")),
    ]
    grow(3, organization)
    for address in lists:
        api.get(address)  # what is loaded once
    few = {address: queries(api, address) for address in lists}
    grow(27, organization)
    assert {address: queries(api, address) for address in lists} == few
    assert max(few.values()) <= 15, few


def queries(api: APIClient, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert results(api, address)
    return len(captured)


def grow(number: int, organization: Organization) -> None:
    """So many rows more of everything that is listed."""
    for _ in range(number):
        contact = Contact.objects.create(name="x", organization=organization)
        Organization.objects.create(name="x")
        row()
        blocked(contact)
        open_conflict(contact)
