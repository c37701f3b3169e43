"""System checks: what an application declares of its synced models fits together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks

from sync import registry
from sync.engine.values import relation_of, target_of


def relations_wake(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Warn of relations whose other table has no triggers that wake those that point at it."""
    return list(_without_triggers())


def _without_triggers() -> Iterator[checks.CheckMessage]:
    for spec in registry.entities():
        for mapping in spec.mappings:
            field = relation_of(spec.model, mapping.fields)
            if field is None:
                continue
            target: Any = target_of(field)
            wanted = f"wake_{spec.entity_type}_{field.name}_changed"
            if wanted not in {trigger.name for trigger in target._meta.triggers}:
                yield checks.Warning(
                    f"Nothing wakes a {spec.entity_type} when its {field.name} gets an item or a new name.",
                    hint=f"Add *wakes({spec.entity_type!r}, {spec.model._meta.db_table!r}, {field.name!r}) "
                    f"to Meta.triggers of {target.__name__} (sync/triggers.py), then run makemigrations.",
                    obj=target,
                    id="sync.W001",
                )
