"""The synced models: their boards' titles and default mappings, their fields, and the relations between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from django.conf import settings
from django.core import checks
from django.db import models
from django.utils.text import capfirst

from sync.kernel import humanize
from sync.models import SyncedModel
from sync.monday.columns import make_converter

ModelField: TypeAlias = "models.Field[Any, Any]"


@dataclass(frozen=True)
class MappingSpec:
    """A registered field mapping; set-up creates or adopts its column."""

    key: str
    label: str
    fields: tuple[str, ...]
    converter: str  # for a new column, and if `column_types` is empty
    column_id: str
    required: bool = False
    optional: bool = False  # never created: set-up adopts a column of that id or title with a fitting type
    column_types: Mapping[str, str] = field(default_factory=dict)  # the converter by fitting type, the best first

    @property
    def types(self) -> Mapping[str, str]:
        """The converter for each type of column that fits, the best first."""
        return self.column_types or {make_converter(self.converter).column_type: self.converter}

    @property
    def new_column_type(self) -> str:
        """The type of column that set-up creates."""
        return next(column_type for column_type, converter in self.types.items() if converter == self.converter)

    @property
    def is_name(self) -> bool:
        """Whether its column is the item's name."""
        return self.converter == "name"


@dataclass(frozen=True)
class EntitySpec:
    """A synced model with its board's title and default mappings."""

    model: type[SyncedModel]
    board_title: str
    match_key: str  # the key of the mapping by which unlinked records and unmatched items are matched
    mappings: tuple[MappingSpec, ...] = field(default_factory=tuple)
    icon: str = "table_rows"  # in the admin's sidebar
    titles: Mapping[str, Sequence[str]] = field(default_factory=dict)  # other names of fields on boards and in files

    @property
    def entity_type(self) -> str:
        """The model's name in lower case."""
        return self.model.entity_type()

    @property
    def board_setting(self) -> str:
        """The variable that may name its board."""
        plural = str(self.model._meta.verbose_name_plural).upper().replace(" ", "_")
        return f"MONDAY_{plural}_BOARD_ID"

    @property
    def name_field(self) -> str | None:
        """The field of the item's name, by which a text column on another board names a record."""
        return next((mapping.fields[0] for mapping in self.mappings if mapping.converter == "name"), None)


class UnknownEntity(LookupError):
    """No synced model has this entity type."""


_entities: dict[str, EntitySpec] = {}

# Converters of addresses, numbers and labels; their fields become the model's `tidied_fields`.
_TIDIED = frozenset({"email", "phone", "link", "status", "dropdown"})


def register(spec: EntitySpec) -> None:
    fields = [name for mapping in spec.mappings if mapping.converter in _TIDIED for name in mapping.fields]
    spec.model.tidied_fields = frozenset(fields)
    _entities[spec.entity_type] = spec


def entity(entity_type: str) -> EntitySpec:
    """Return the spec of a type; raises UnknownEntity."""
    try:
        return _entities[entity_type]
    except KeyError as missing:
        types = ", ".join(sorted(_entities)) or "none"
        raise UnknownEntity(f"No synced model is called “{entity_type}”. Known: {types}.") from missing


def entities() -> Iterator[EntitySpec]:
    """Yield every registered model, in the order of registration."""
    yield from _entities.values()


def is_registered(entity_type: str) -> bool:
    return entity_type in _entities


def type_name(entity_type: str) -> str:
    """Return the name of a type as within a sentence; a stored type may not be registered any more."""
    try:
        return str(entity(entity_type).model._meta.verbose_name)
    except UnknownEntity:
        return entity_type


def type_label(entity_type: str) -> str:
    """Return the name of a type, capitalized."""
    return str(capfirst(type_name(entity_type)))


def board_title(entity_type: str) -> str:
    """Return the title of the type's board, or the type if it isn't registered any more."""
    return entity(entity_type).board_title if is_registered(entity_type) else entity_type


def count_of_type(number: int, entity_type: str) -> str:
    """Return a number with the noun of a type: “2,000 contacts”, or “records” for an unknown type."""
    if not is_registered(entity_type):
        return humanize.count_with_noun(number, "record")
    meta = entity(entity_type).model._meta
    return humanize.count_with_noun(number, str(meta.verbose_name), str(meta.verbose_name_plural))


def own_fields(model: type[SyncedModel]) -> list[ModelField]:
    """Return the editable fields that the model adds to SyncedModel, in order."""
    shared = {field.name for field in SyncedModel._meta.get_fields()}
    return [field for field in model._meta.concrete_fields if field.editable and field.name not in shared]


def relation_of(model: type[models.Model], fields: Sequence[str]) -> ModelField | None:
    """Return the relation to another synced model, if these fields are one, or None."""
    if len(fields) != 1:
        return None
    field: Any = model._meta.get_field(fields[0])
    target = field.related_model if field.many_to_one or field.one_to_one else None
    return field if isinstance(target, type) and issubclass(target, SyncedModel) else None


def target_of(field: ModelField) -> type[SyncedModel]:
    return field.related_model  # type: ignore[return-value]


def own_relations(model: type[SyncedModel]) -> list[ModelField]:
    relations = [field for field in own_fields(model) if relation_of(model, [field.name])]
    return [field for field in relations if is_registered(target_of(field).entity_type())]


def relations_to(model: type[SyncedModel]) -> Iterator[Any]:
    """Yield the relations of registered models to this one."""
    for spec in entities():
        yield from (field for field in own_relations(spec.model) if target_of(field) is model)


def name_field(model: type[SyncedModel]) -> str | None:
    """Return the model's field of the item's name; None if it has none, or isn't registered."""
    spec = _entities.get(model.entity_type())
    return spec.name_field if spec else None


def match_field(model: type[SyncedModel]) -> str | None:
    """Return the text field of the match key, or None if the match key isn't one text field."""
    spec = _entities.get(model.entity_type())
    if spec is None:
        return None
    fields = next((mapping.fields for mapping in spec.mappings if mapping.key == spec.match_key), ())
    is_text = len(fields) == 1 and isinstance(model._meta.get_field(fields[0]), (models.CharField, models.TextField))
    return fields[0] if is_text else None


def configured_board_id(entity_type: str) -> str:
    """Return the board id that the environment sets for this type, or an empty text."""
    name = entity(entity_type).board_setting
    return str(getattr(settings, name, settings.BOARD_IDS.get(name)) or "")


def check_synced_models(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the targets of relations have the triggers that wake the records which point at them."""
    warnings: list[checks.CheckMessage] = []
    for spec in entities():
        for mapping in spec.mappings:
            # Only a mapping of exactly one relation depends on other records.
            field = relation_of(spec.model, mapping.fields)
            if field is None:
                continue
            target: Any = target_of(field)
            if f"wake_{spec.entity_type}_{field.name}_changed" in {trigger.name for trigger in target._meta.triggers}:
                continue
            trigger = f"*dependency_triggers({spec.entity_type!r}, {spec.model._meta.db_table!r}, {field.name!r})"
            warning = checks.Warning(
                f"Nothing syncs a {spec.entity_type} when its {field.name} gets an item or a new name.",
                hint=f"Add {trigger} to Meta.triggers of {target.__name__}, then run makemigrations.",
                obj=target,
                id="sync.W001",
            )
            warnings.append(warning)
    return warnings
