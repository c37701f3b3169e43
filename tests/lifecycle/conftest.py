"""Records and items that come and go: the engine's world, and a person who settles questions."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from tests.engine.conftest import choose as settle
from tests.support.world import World, mail

__all__ = ["choose", "made_twice", "newcomers", "open_conflict", "pat", "quiet_passes", "take_away"]


@pytest.fixture
def pat(world: World) -> Any:
    return world.administrator("pat")


def take_away(world: World, record: Any, action: str = "archive") -> str:
    record.refresh_from_db()
    item_id = str(record.monday_id)
    world.sandbox.act(action, item_id=item_id)
    world.hear()
    return item_id


def made_twice(world: World) -> tuple[Contact, Contact]:
    """A record, and one that was made from an item, which then has the email of the first."""
    original = world.linked("Ann", email="ann@example.com")
    item = world.add("A. Example")
    newcomers(world, seconds=400)
    newer = Contact.objects.get(monday_id=item)
    world.hear()
    world.edit(newer, "email", mail("ann@example.com"))
    world.hear(newer)
    return original, newer


def newcomers(world: World, seconds: float = 360) -> None:
    """Webhooks come and the worker runs after the items' quiet time; the default suits items without a key too."""
    world.hear(seconds=seconds)


def quiet_passes(world: World, times: int = 1) -> None:
    """The time for an undo on Monday passes; the worker runs."""
    for _ in range(times):
        world.work(seconds=601)


def open_conflict(record_id: Any, kind: str = "delete") -> SyncConflict:
    return SyncConflict.objects.get(entity_id=record_id, kind=kind, resolved_at=None)


def choose(conflict: SyncConflict, person: Any, choose: str, value: str = "") -> None:
    """A person picks a way out after seeing the conflict's current state."""
    settle(conflict, person, record={"choose": choose, "value": value or None})
