"""A contact changed on both sides, and people who may resolve that."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from conflicts.reports import ConflictReport, FieldConflict
from conflicts.store import save_reports
from npd.models import Contact
from sync.models import SyncMetadata, SyncQueue
from tests.admin import states
from tests.support.people import api_of

PHONE = FieldConflict("phone", "+44 20 7946 0812", "+44 20 7946 0018", "+44 20 7946 0999")
REFUSED, GOOD = '"odd"@example.com', "ann@example.com"
ROLE = FieldConflict("role_title", "Head of Procurement", "Head of Purchasing", "Head of Sourcing")


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "long-enough-1", first_name="Ada")


@pytest.fixture
def person(ada: User) -> User:
    return ada


@pytest.fixture
def api(ada: User) -> APIClient:
    return api_of(ada)


@pytest.fixture
def contact(db: None) -> Contact:
    states.boards()
    return Contact.objects.create(name="Grace Hopper", email="grace@navy.test", monday_id="71")


def finding(contact: Contact, *fields: FieldConflict, **more: Any) -> ConflictReport:
    return ConflictReport("contact", contact.pk, contact.monday_id or "", "fields", fields, **more)


def record(*findings: ConflictReport) -> None:
    """Save reports in a transaction, as settle does."""
    with transaction.atomic():
        save_reports(findings)


def of_fields(name: str, *fields: FieldConflict, kind: str = "fields") -> Contact:
    states.boards()
    contact = Contact.objects.create(name=name, monday_id=str(700 + Contact.objects.count()))
    record(ConflictReport("contact", contact.pk, contact.monday_id or "", kind, fields))
    return contact


def conflict_of(contact: Contact) -> SyncConflict:
    return SyncConflict.objects.get(entity_id=contact.pk)


@pytest.fixture
def conflict(contact: Contact) -> SyncConflict:
    record(finding(contact, PHONE, ROLE))
    return conflict_of(contact)


def values_seen(*fields: FieldConflict) -> dict[str, dict[str, str | None]]:
    return {field.key: {"npd": field.npd, "monday": field.monday} for field in fields}


@pytest.fixture
def rejected(db: None) -> Contact:
    """A contact whose new email Monday refused."""
    states.boards()
    return rejected_too("Ann", "75")


def rejected_too(name: str, item: str) -> Contact:
    contact = states.synced(name, item, email=GOOD)
    Contact.objects.filter(pk=contact.pk).update(email=REFUSED)
    reason = {"code": "rejected", "reason": f"Monday rejected “{REFUSED}”", "local": {"email": REFUSED}}
    blocked_fields = {"email": reason | {"column": "email", "version": 1}}
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(blocked_fields=blocked_fields)
    SyncQueue.objects.all().delete()
    return contact
