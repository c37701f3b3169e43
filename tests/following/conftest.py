"""Who follows what happens."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from tests.support.people import api_of, staff_who_may

EVENTS = "/api/v1/events/"


@pytest.fixture(autouse=True)
def fresh_throttles() -> None:
    cache.clear()


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "long-enough-1", first_name="Ada")


@pytest.fixture
def api(person: User) -> APIClient:
    return api_of(person)


def user_who_may(*codenames: str) -> APIClient:
    return api_of(staff_who_may(*codenames))


def conflict_about(contact: Contact) -> SyncConflict:
    return SyncConflict.objects.create(
        entity_type="contact", entity_id=contact.pk, npd_data={}, monday_data={}, conflict_fields=["phone"]
    )


def all_events(api: APIClient, **query: Any) -> list[dict[str, Any]]:
    """What the feed says from its begin, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.get(EVENTS, query).json()
        found += page["results"]
        if not page["has_more"]:
            return found
        query = {key: value for key, value in query.items() if key != "start"} | {"cursor": page["next_cursor"]}
