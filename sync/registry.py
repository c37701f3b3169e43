"""Which models are synced, and what of each is mapped by default.

The application that owns a model registers it in its AppConfig; the engine works for any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.utils.text import capfirst

from sync.models import SyncedModel


@dataclass(frozen=True)
class MappingSpec:
    """One field mapping as an application proposes it; `monday_setup` makes or adopts its column.

    An `optional` one is never made: set-up adopts a column of that id or title where the board has one whose
    type is in `column_types`, which gives the converter for each type that will do, the best first. `converter`
    is the one for a column made by hand later, and counts where `column_types` is empty.
    """

    key: str
    label: str
    fields: tuple[str, ...]
    converter: str
    column_id: str
    required: bool = False
    optional: bool = False
    column_types: Mapping[str, str] = field(default_factory=dict)

    def converter_for(self, column_type: str) -> str | None:
        """Return the converter for a column of this type, None where such a column doesn't fit."""
        return self.column_types.get(column_type)


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

    @property
    def name_field(self) -> str | None:
        """The field that is the item's name, and by which a text column on another board names a record."""
        return next((mapping.fields[0] for mapping in self.mappings if mapping.converter == "name"), None)


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


def name_field(model: type[SyncedModel]) -> str | None:
    """Return the model's field that is an item's name; None where it has none, or isn't registered."""
    spec = _entities.get(model.entity_type())
    return spec.name_field if spec else None


def entities() -> Iterator[EntitySpec]:
    """Yield every registered model, in the order of registration."""
    yield from _entities.values()


def kind_words(entity_type: str) -> str:
    """Return what a type of records is called: as its model says, where there is one."""
    return str(capfirst(kind_name(entity_type)))


def kind_name(entity_type: str) -> str:
    """Return the same as it stands within a sentence."""
    try:
        return str(entity(entity_type).model._meta.verbose_name)
    except UnknownEntity:
        return entity_type
