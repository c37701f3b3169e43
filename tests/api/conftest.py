"""API clients, and rows that they ask for."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.models import ApiToken, SyncQueue

QUEUE = "/api/v1/sync/queue/"


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")


@pytest.fixture
def api(person: User) -> APIClient:
    return with_token(person)


def with_token(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {ApiToken.objects.create(user)[1]}")
    return client


def with_session(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def contact(db: None) -> Contact:
    contact = Contact.objects.create(name="Grace Hopper", email="grace@navy.test", notes="COBOL")
    contact.refresh_from_db()
    return contact


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="Navy")


def row(**values: Any) -> SyncQueue:
    return SyncQueue.objects.create(**{"entity_type": "contact", "entity_id": uuid.uuid4(), **values})


def url_of(record: Any, after: str = "") -> str:
    return f"/api/v1/{record.entity_type()}s/{record.pk}/{after}"


def results(api: APIClient, address: str, **query: Any) -> list[dict[str, Any]]:
    answer = api.get(address, query)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def error_of(answer: Any) -> dict[str, Any]:
    [error] = answer.json()["errors"]
    return error


def code_of(answer: Any) -> str:
    return str(error_of(answer)["code"])
