"""Which models are synced, and what of each is mapped by default.

The application that owns a model registers it in its AppConfig; the engine works for any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sync.models import SyncedModel


@dataclass(frozen=True)
class MappingSpec:
    """One field mapping as an application proposes it; `monday_setup` makes or adopts its column."""

    key: str
    label: str
    fields: tuple[str, ...]
    converter: str
    column_id: str
    required: bool = False


@dataclass(frozen=True)
class EntitySpec:
    """A synced model with its board's title and default mappings.

    `match_key` names the mapping by which a record and an item that don't know each other are matched.
    """

    model: type[SyncedModel]
    board_title: str
    board_setting: str
    match_key: str
    mappings: tuple[MappingSpec, ...] = field(default_factory=tuple)

    @property
    def entity_type(self) -> str:
        """The model's name in lower case."""
        return self.model.entity_type()


class UnknownEntity(LookupError):
    """No synced model has this entity type."""


_entities: dict[str, EntitySpec] = {}


def register(spec: EntitySpec) -> None:
    """Make a model known to the engine."""
    _entities[spec.entity_type] = spec


def entity(entity_type: str) -> EntitySpec:
    """Return what is registered under this type; raises UnknownEntity."""
    try:
        return _entities[entity_type]
    except KeyError as missing:
        known = ", ".join(sorted(_entities)) or "none"
        raise UnknownEntity(f"No synced model is called “{entity_type}”. Known: {known}.") from missing


def entities() -> Iterator[EntitySpec]:
    """Yield every registered model, in the order of registration."""
    yield from _entities.values()
