"""A contact on which both sides moved apart, and who may settle that."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction

from conflicts.desk import Desk
from conflicts.models import SyncConflict
from npd.models import Contact
from sync.hooks import FieldConflict, Finding
from tests.engine.conftest import world

__all__ = ["world"]

PHONE = FieldConflict("phone", "+44 20 7946 0812", "+44 20 7946 0018", "+44 20 7946 0999")
ROLE = FieldConflict("role_title", "Head of Procurement", "Head of Purchasing", "Head of Sourcing")


@pytest.fixture
def ada(db: None) -> User:
    """May do everything."""
    return User.objects.create_superuser("ada", "ada@example.test", "long-enough-1", first_name="Ada")


@pytest.fixture
def contact(db: None) -> Contact:
    return Contact.objects.create(name="Grace Hopper", email="grace@navy.test", monday_id="71")


def person_who_may(*codenames: str) -> User:
    user = User.objects.create_user("clerk", "clerk@example.test", "long-enough-1", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def finding(contact: Contact, *fields: FieldConflict, **more: Any) -> Finding:
    """What a look says of a contact."""
    return Finding("contact", contact.pk, contact.monday_id or "", "fields", fields, **more)


def record(*findings: Finding) -> None:
    """Tell the desk, as the settle transaction does."""
    with transaction.atomic():
        Desk().record(findings)


def conflict_of(contact: Contact) -> SyncConflict:
    return SyncConflict.objects.get(entity_id=contact.pk)


def seen(*fields: FieldConflict) -> dict[str, dict[str, str | None]]:
    return {field.key: {"npd": field.npd, "monday": field.monday} for field in fields}
