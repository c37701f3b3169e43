from typing import Any

import pytest
from django.contrib.auth.models import User

from npd.models import Contact
from sync.models import Decision
from tests.admin import states


@pytest.fixture
def dora(request: pytest.FixtureRequest, db: None) -> User:
    """An administrator of NPD, and of the world where there is one."""
    names = {"first_name": "Dora", "last_name": "Demo"}
    if "world" in request.fixturenames:
        found: User = request.getfixturevalue("world").administrator("dora", **names)
        return found
    return User.objects.create_superuser("dora", "dora@example.com", "x", **names)


@pytest.fixture
def line() -> Any:
    """The newest line of one kind in a record's log."""

    def newest(record: Any, kind: str, key: str = "role_title") -> Decision:
        return Decision.objects.filter(entity_id=record.pk, kind=kind, key=key).latest("id")

    return newest


@pytest.fixture
def told(db: None) -> Contact:
    """A contact whose role “Boss” became “Chair” as the board says: by its rows, without a pass."""
    states.boards()
    contact = states.synced("Ann", "5001", role_title="Chair")
    values = {"before": "Boss", "after": "Chair"}
    values |= {f"raw_{name}": {"role_title": value} for name, value in values.items()}
    states.decided(contact, "Role came from Monday.", remote_id="5001", key="role_title", values=values)
    return contact
