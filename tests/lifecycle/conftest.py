"""Records and items that come and go: the world of the engine's tests, and a person who settles what is asked."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from tests.engine.conftest import choose as settle
from tests.support.world import World

__all__ = ["choose", "newcomers", "open_conflict", "pat", "quiet_passes", "take_away"]


@pytest.fixture
def pat(world: World) -> Any:
    return world.administrator("pat")


def take_away(world: World, record: Any, action: str = "archive") -> str:
    """A person archives or deletes the record's item on the board; the webhook comes, the worker looks."""
    record.refresh_from_db()
    item_id = str(record.monday_id)
    world.sandbox.act(action, item_id=item_id)
    world.hear()
    return item_id


def newcomers(world: World, seconds: float = 360) -> None:
    """Webhooks come, the items' quiet time passes, by default that of those without a key too, and the worker looks."""
    world.hear(seconds=seconds)


def quiet_passes(world: World, times: int = 1) -> None:
    """The time passes in which Monday could undo it; the worker looks."""
    for _ in range(times):
        world.work(seconds=601)


def open_conflict(record_id: Any, kind: str = "delete") -> SyncConflict:
    """The one open conflict of this kind."""
    return SyncConflict.objects.get(entity_id=record_id, kind=kind, resolved_at=None)


def choose(conflict: SyncConflict, person: Any, choose: str, value: str = "") -> None:
    """A person picks one of the ways out, having seen the conflict as it stands now."""
    settle(conflict, person, record={"choose": choose, "value": value or None})
