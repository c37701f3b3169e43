"""A conflict, and the person who settles it."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from conflicts.pages.resolution import resolve
from conflicts.reports import FieldSelection
from npd.models import Contact
from tests.support.world import World


@pytest.fixture
def person(world: World) -> Any:
    return world.administrator("lead")


def clash(world: World) -> tuple[Contact, SyncConflict]:
    """A contact whose role both sides changed differently."""
    contact = world.linked(role_title="Old", notes="old", phone="+442079460018")
    world.edit(contact, "role_title", "Monday's")
    world.save(contact, role_title="NPD's")
    return contact, SyncConflict.objects.get(entity_id=contact.pk)


def choose(conflict: SyncConflict, person: Any, type_: str = "merge", **selections: Any) -> None:
    """Resolve a conflict as it stands now."""
    conflict.refresh_from_db()
    npd, monday = conflict.npd_data, conflict.monday_data
    sides: dict[str, Any] = {key: {"npd": npd.get(key), "monday": monday.get(key)} for key in conflict.conflict_fields}
    if conflict.kind == "identity":
        sides = {"record": {"npd": conflict.question, "monday": None}}
    chosen = {key: FieldSelection(**selection) for key, selection in selections.items()}
    resolve(conflict.pk, by=person, resolution_type=type_, selections=chosen, seen=sides)
