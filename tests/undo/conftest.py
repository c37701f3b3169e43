from typing import Any

import pytest
from django.contrib.auth.models import User

from sync.models import Decision
from tests.admin import states
from tests.support.world import World

MOVED = {
    "before": "Boss", "after": "Chair", "raw_before": {"role_title": "Boss"}, "raw_after": {"role_title": "Chair"},
}  # fmt: skip


@pytest.fixture
def dora(world: World) -> User:
    return world.administrator("dora", first_name="Dora", last_name="Demo")


@pytest.fixture
def line(world: World) -> Any:
    """The newest line of one kind in a record's log."""

    def newest(record: Any, kind: str, key: str = "role_title") -> Decision:
        return Decision.objects.filter(entity_id=record.pk, kind=kind, key=key).latest("id")

    return newest


@pytest.fixture
def pull(db: None) -> Decision:
    """That a contact's role “Boss” was changed to “Chair” on the board and taken over, as a pass leaves it."""
    states.boards()
    return states.decided(states.synced("Ann", "1", role_title="Chair"), "Chair.", key="role_title", values=MOVED)
