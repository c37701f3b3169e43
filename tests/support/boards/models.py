"""Nine models that are alike: a name, and a text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models

from sync import registry
from sync.models import SyncedModel
from sync.registry import EntitySpec, MappingSpec


def _thing(number: int) -> type[SyncedModel]:
    meta = {"app_label": "boards", "db_table": f"things_{number}"}
    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__str__": lambda self: self.name,
        "name": models.CharField(max_length=100),
        "mark": models.CharField(max_length=100, blank=True, default="", db_default=""),
        "Meta": type("Meta", (SyncedModel.Meta,), meta),
    }
    return type(f"Thing{number}", (SyncedModel,), attributes)


THINGS = [_thing(number) for number in range(1, 10)]
SPECS = [
    EntitySpec(
        model=thing,
        board_title=thing.__name__,
        board_setting=f"MONDAY_{thing.__name__.upper()}_BOARD_ID",
        match_key="name",
        mappings=(
            MappingSpec("name", "Name", ("name",), "name", "name", required=True),
            MappingSpec("mark", "Mark", ("mark",), "text", "mark"),
        ),
    )
    for thing in THINGS
]


@contextmanager
def things() -> Iterator[None]:
    """Have the tables with their triggers, and the models registered, for as long as the block lasts."""
    with connection.schema_editor() as editor:
        for thing in THINGS:
            editor.create_model(thing)
    try:
        for spec in SPECS:
            for trigger in spec.model._meta.triggers:  # type: ignore[attr-defined]
                trigger.install(spec.model)
            registry.register(spec)
        yield
    finally:
        for spec in SPECS:
            registry._entities.pop(spec.entity_type, None)
        with connection.schema_editor() as editor:
            for thing in THINGS:
                editor.delete_model(thing)
