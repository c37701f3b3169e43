from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.support.world import World


@pytest.fixture
def dora(world: World) -> User:
    """An administrator of NPD."""
    return world.administrator("dora", first_name="Dora", last_name="Demo")


@pytest.fixture
def line(world: World) -> Any:
    """The newest line of one kind in a record's log."""
    from sync.models.state import Decision

    def newest(record: Any, kind: str, key: str = "role_title") -> Decision:
        return Decision.objects.filter(entity_id=record.pk, kind=kind, key=key).latest("id")

    return newest
