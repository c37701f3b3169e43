"""Which models are synced, their default mappings, what is shown of them, and who may see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core import checks
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst, smart_split, unescape_string_literal

from sync.choices import Rule
from sync.kernel import humanize
from sync.kernel.db import LONGEST_SEARCH, contains_unmarked, typed_phone_digits
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.monday.columns import make_converter
from sync.monday.columns.labels import Choices
from sync.monday.conversion import ListConverter
from sync.monday.texts import match_key

ModelField: TypeAlias = "models.Field[Any, Any]"


@dataclass(frozen=True)
class MappingSpec:
    """One field mapping as an application proposes it; set-up creates or adopts its column.

    An `optional` one is never created: set-up adopts a column of that id or title where the board has one
    whose type is in `column_types`, which gives the converter for each fitting type, the best first.
    `converter` is for a column that is created by hand later, and where `column_types` is empty.
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

    `match_key` names the mapping by which an unlinked record and an unmatched item are matched. `board_setting` is
    the variable that may name its board, MONDAY_<the model's plural>_BOARD_ID unless told; `icon` its symbol in the
    admin's sidebar; `titles` what boards and files may call a field, beside its label.
    """

    model: type[SyncedModel]
    board_title: str
    match_key: str
    mappings: tuple[MappingSpec, ...] = field(default_factory=tuple)
    board_setting: str = ""
    icon: str = "table_rows"
    titles: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plural = str(self.model._meta.verbose_name_plural).upper().replace(" ", "_")
        object.__setattr__(self, "board_setting", self.board_setting or f"MONDAY_{plural}_BOARD_ID")

    @property
    def entity_type(self) -> str:
        """The model's name in lower case."""
        return self.model.entity_type()

    @property
    def name_field(self) -> str | None:
        """The field that is the item's name, and by which a text column on another board names a record."""
        return next((mapping.fields[0] for mapping in self.mappings if mapping.converter == "name"), None)

    @property
    def phone_fields(self) -> frozenset[str]:
        return frozenset(mapping.fields[0] for mapping in self.mappings if mapping.converter == "phone")


class UnknownEntity(LookupError):
    """No synced model has this entity type."""


_entities: dict[str, EntitySpec] = {}


_ADDRESSES = frozenset({"email", "phone", "link", "status", "dropdown"})


def register(spec: EntitySpec) -> None:
    fields = [name for mapping in spec.mappings if mapping.converter in _ADDRESSES for name in mapping.fields]
    spec.model.addresses = frozenset(fields)
    _entities[spec.entity_type] = spec


def entity(entity_type: str) -> EntitySpec:
    """Return what is registered under this type; raises UnknownEntity."""
    try:
        return _entities[entity_type]
    except KeyError as missing:
        types = ", ".join(sorted(_entities)) or "none"
        raise UnknownEntity(f"No synced model is called “{entity_type}”. Known: {types}.") from missing


def name_field(model: type[SyncedModel]) -> str | None:
    """Return the model's field that is an item's name; None where it has none, or isn't registered."""
    # Not `entity()`: a model that isn't registered has no item's name, which is no error.
    spec = _entities.get(model.entity_type())
    return spec.name_field if spec else None


def entities() -> Iterator[EntitySpec]:
    """Yield every registered model, in the order of registration."""
    yield from _entities.values()


def is_registered(entity_type: str) -> bool:
    """Whether things of this type are records of this application."""
    return entity_type in _entities


def type_label(entity_type: str) -> str:
    """Return the name of a type of records: its model's, where there is one."""
    return str(capfirst(type_name(entity_type)))


def count_of_type(number: int, entity_type: str) -> str:
    """Return so many records with the noun of their type, as “2,000 contacts”; of no type that is known, “records”."""
    if not is_registered(entity_type):
        return humanize.count_with_noun(number, "record")
    meta = entity(entity_type).model._meta
    return humanize.count_with_noun(number, str(meta.verbose_name), str(meta.verbose_name_plural))


def type_name(entity_type: str) -> str:
    """Return the same name as it is written within a sentence."""
    try:
        return str(entity(entity_type).model._meta.verbose_name)
    # A stored type may not be registered any more.
    except UnknownEntity:
        return entity_type


def board_title(entity_type: str) -> str:
    """Return the title of the type's board; of a type that nobody registers any more, its name; of none, nothing."""
    return entity(entity_type).board_title if is_registered(entity_type) else entity_type


# What the doors show of a model whose application says nothing else: its admin, its API.


def own_fields(model: type[SyncedModel]) -> list[ModelField]:
    """Return the fields of the model itself that people may edit, in its order."""
    shared = {field.name for field in SyncedModel._meta.get_fields()}
    return [field for field in model._meta.concrete_fields if field.editable and field.name not in shared]


def own_relations(model: type[SyncedModel]) -> list[ModelField]:
    pointing = [field for field in own_fields(model) if relation_of(model, [field.name])]
    return [field for field in pointing if is_registered(target_of(field).entity_type())]


def match_field(model: type[SyncedModel]) -> str | None:
    """Return the text field of the match key, by which a record is known to be the same; None where there is none."""
    spec = _entities.get(model.entity_type())
    fields = next((mapping.fields for mapping in spec.mappings if mapping.key == spec.match_key), ()) if spec else ()
    texts = (models.CharField, models.TextField)
    return fields[0] if len(fields) == 1 and isinstance(model._meta.get_field(fields[0]), texts) else None


def searched_fields(model: type[SyncedModel]) -> tuple[str, ...]:
    """Return what a search reads: the model's texts, and the names of the records that it points at."""
    texts = [field.name for field in own_fields(model) if isinstance(field, (models.CharField, models.TextField))]
    named = [(field.name, name_field(target_of(field))) for field in own_relations(model)]
    return (*texts, *(f"{relation}__{name}" for relation, name in named if name))


def containing(model: type[SyncedModel], fields: Iterable[str], text: str) -> models.Q:
    """Return the condition that a text occurs in one of these fields, whatever its case and marks.

    Related records are looked for by themselves: they are fewer than those that point at them, and need no join.
    """
    condition = models.Q()
    for name in fields:
        relation, _, theirs = name.partition("__")
        if theirs:
            field: Any = model._meta.get_field(relation)
            others = target_of(field)._default_manager.order_by()
            named = others.filter(contains_unmarked(theirs, text)).values("pk")
            condition |= models.Q(**{f"{relation}__in": named})
        else:
            condition |= contains_unmarked(name, text)
            labels = choices_of(model, [name]).items()
            if values := [value for value, label in labels if match_key(text) in match_key(label)]:
                is_list = isinstance(model._meta.get_field(name), ArrayField)
                condition |= models.Q(**{f"{name}__{'overlap' if is_list else 'in'}": values})
    return condition


def searching(model: type[SyncedModel], names: Collection[str], term: str) -> models.Q:
    """Return the condition that a record shows every word of a term, in any order, or its phone number.

    Words are what Django takes for such, one in quotes may hold spaces. A comma behind a word is none of it: so an
    address is found as boards show it, as one text.
    """
    condition = models.Q()
    for word in smart_split(term[:LONGEST_SEARCH]):
        is_quoted = word[0] in "\"'" and word[0] == word[-1]
        text = unescape_string_literal(word) if is_quoted else word.rstrip(",;")
        condition &= containing(model, names, text)
    if digits := typed_phone_digits(term):
        for name in entity(model.entity_type()).phone_fields.intersection(names):
            condition |= models.Q(**{f"{name}__holds_phone": digits})
    return condition


def is_contained(model: type[SyncedModel], name: str) -> bool:
    """Whether `containing` takes this name: a field of the model's own, or one of a record that it points at."""
    relation, _, theirs = name.partition("__")
    own = {field.name: field for field in model._meta.concrete_fields}
    if not theirs:
        return name in own and not own[name].is_relation
    field = relation_of(model, [relation]) if relation in own else None
    return field is not None and is_contained(target_of(field), theirs) and "__" not in theirs


def choices_of(model: type[models.Model], fields: Sequence[str]) -> dict[str, str]:
    """Return the labels of the values that a mapping's one field may have, by value; empty where it may have any."""
    if len(fields) != 1:
        return {}
    field: Any = model._meta.get_field(fields[0])
    pairs = getattr(getattr(field, "base_field", field), "flatchoices", None) or ()
    return {str(value): str(label) for value, label in pairs if value not in (None, "")}


def choice_labels(model: type[models.Model], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of these values as boards show them, in their order."""
    choices = choices_of(model, fields)
    return tuple(map(Choices(choices).label_of, choices))


def default_ordering(model: type[SyncedModel]) -> tuple[str, ...]:
    """Return the order of lists, of equal rows too, for pages must not overlap: the model's own, or by name."""
    order: list[Any] = [*(model._meta.ordering or ())] or [name_field(model) or "pk"]
    return (*order, *(() if "id" in order or "pk" in order else ("pk",)))


# Board links in effect: the database's row, with the board id of the settings where one is set.


MONDAY_HOST = "api.monday.com"


def configured_board_id(entity_type: str) -> str:
    """Return the board id that the environment names for this type, or an empty text."""
    name = entity(entity_type).board_setting
    return str(getattr(settings, name, settings.BOARD_IDS.get(name)) or "")


def linked_records(entity_type: str) -> models.QuerySet[SyncedModel]:
    """Return the records that have an item."""
    records: models.QuerySet[SyncedModel] = entity(entity_type).model._default_manager.exclude(monday_id=None)
    return records


def link_of(entity_type: str) -> BoardLink | None:
    """Return the type's board link with the board id in effect, or None before any set-up."""
    link = BoardLink.objects.filter(entity_type=entity_type).first()
    return None if link is None else with_configured_board(link)


def with_configured_board(link: BoardLink) -> BoardLink:
    """Return the link with the board id in effect: the environment's, where it names one."""
    # On the instance only; nothing is saved here.
    link.board_id = configured_board_id(link.entity_type) or link.board_id
    return link


def mappings_of(link: BoardLink) -> Sequence[FieldMapping]:
    """Return the link's mappings in their order."""
    return list(link.mappings.all())


def joined_relations(model: type[SyncedModel], mappings: Iterable[FieldMapping]) -> list[str]:
    """Return the relations to read with the model's records: those of mappings, and the model's `sync_related`."""
    mapped = [name for mapping in mappings for name in mapping.fields]
    names = dict.fromkeys([*model.sync_related, *mapped])
    return [name for name in names if model._meta.get_field(name).is_relation]


def columns_of(link: BoardLink, mappings: Sequence[FieldMapping]) -> list[str]:
    """Return the column ids that a pass reads, the NPD ID column included; the name is no column."""
    columns = [m.column_id for m in mappings if m.column_id and m.column_id != "name"]
    # Each column once.
    return [*dict.fromkeys([*columns, *([link.npd_id_column] if link.npd_id_column else [])])]


def item_url(link: BoardLink, item_id: str) -> str:
    """Return the address of an item for a person: Monday's own, or the sandbox's board page."""
    return f"{board_url(link)}/pulses/{item_id}"


def board_url(link: BoardLink) -> str:
    return f"{monday_web_url()}/{'board' if is_sandbox() else 'boards'}/{link.board_id}"


def monday_web_url() -> str:
    """Return where a browser finds the boards, without anything secret that the API's URL may hold."""
    if settings.MONDAY_WEB_URL:
        return str(settings.MONDAY_WEB_URL)
    if not is_sandbox():
        return "https://app.monday.com"
    parts = urlsplit(settings.MONDAY_API_URL)
    port = f":{parts.port}" if parts.port else ""
    # Host and port only: the address of the API may hold a user and a password.
    return f"{parts.scheme}://{parts.hostname}{port}"


def is_sandbox() -> bool:
    """Whether calls go to an address other than Monday's own."""
    return urlsplit(settings.MONDAY_API_URL).hostname != MONDAY_HOST


# Which rules make sense for a field: only lists can be united.


def rules_for(mapping: FieldMapping) -> list[Rule]:
    """Return the rules that a person may choose for this field, in the order in which they are offered."""
    converter = make_converter(mapping.converter)
    is_list = isinstance(converter, ListConverter)
    if isinstance(converter, ListConverter) and converter.takes_single_text:
        spec = _entities.get(mapping.link.entity_type)
        fields = [spec.model._meta.get_field(name) for name in mapping.fields] if spec else [None]
        # NPD's side is a list only where every mapped field is an array.
        is_list = all(isinstance(field, ArrayField) for field in fields)
    return [rule for rule in Rule if is_list or not rule.for_lists]


# System checks: whether an application's declarations of its synced models fit together.


def check_synced_models(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse models that can't be synced, and warn of relations whose other table has no triggers."""
    synced = [model for model in apps.get_models() if issubclass(model, SyncedModel)]
    return [*unfit_models(synced), *_missing_triggers()]


def unfit_models(synced: Iterable[type[SyncedModel]]) -> Iterator[checks.CheckMessage]:
    """Yield an error for each model with another key than a UUID, and for the second of two with one name."""
    first: dict[str, type[SyncedModel]] = {}
    for model in synced:
        key = model._meta.pk
        if not isinstance(key, models.UUIDField) or key.name != "id":
            yield checks.Error(
                f"{model.__name__} has a primary key of its own, “{key.name}”, with which its table can't be written.",
                hint="Remove the field: SyncedModel brings the key “id”, a UUID. Rows of a table with another key "
                "can't keep theirs: make a new model, and copy them into that in a data migration.",
                obj=model,
                id="sync.E001",
            )
        other = first.setdefault(model.entity_type(), model)
        if other is not model:
            yield checks.Error(
                f"Two synced models are called {model.__name__}: {other._meta.label} and {model._meta.label}.",
                hint=f"Rename one of them, its table and its registration; everything of the sync goes by the name "
                f"“{model.entity_type()}”, whatever the application.",
                obj=model,
                id="sync.E002",
            )


def _missing_triggers() -> Iterator[checks.CheckMessage]:
    for spec in entities():
        for mapping in spec.mappings:
            # Only a mapping of exactly one relation depends on other records.
            field = relation_of(spec.model, mapping.fields)
            if field is None:
                continue
            target: Any = target_of(field)
            wanted = f"wake_{spec.entity_type}_{field.name}_changed"
            if wanted not in {trigger.name for trigger in target._meta.triggers}:
                yield checks.Warning(
                    f"Nothing syncs a {spec.entity_type} when its {field.name} gets an item or a new name.",
                    hint=f"Add *dependency_triggers({spec.entity_type!r}, {spec.model._meta.db_table!r}, "
                    f"{field.name!r}) "
                    f"to Meta.triggers of {target.__name__} (sync/kernel/triggers.py), then run makemigrations.",
                    obj=target,
                    id="sync.W001",
                )


RecordKey = tuple[str, UUID]


def record_names(keys: Iterable[tuple[str, UUID | None]]) -> dict[RecordKey, str]:
    """Return the names of records by type and id, one query for each type; deleted records are missing."""
    wanted: dict[str, set[UUID]] = defaultdict(set)
    for entity_type, entity_id in keys:
        if entity_id is not None:
            wanted[entity_type].add(entity_id)
    names: dict[RecordKey, str] = {}
    for spec in entities():
        if wanted[spec.entity_type]:
            records = spec.model._default_manager.in_bulk(list(wanted[spec.entity_type]))
            names |= {(spec.entity_type, key): str(record) for key, record in records.items()}
    return names


def page_url(name: str, *args: Any, query: str = "") -> str:
    """Return the address of a page of the admin; empty where no application serves it, as that of conflicts may not."""
    try:
        return f"{reverse(f'admin:{name}', args=args)}{'?' if query else ''}{query}"
    except NoReverseMatch:
        return ""


def record_url(entity_type: str, entity_id: UUID | str) -> str:
    """Return the record's page in the admin, or an empty text where its model has none."""
    if not is_registered(entity_type):
        return ""
    opts = entity(entity_type).model._meta
    return page_url(f"{opts.app_label}_{opts.model_name}_change", entity_id)


def relation_of(model: type[models.Model], fields: Sequence[str]) -> ModelField | None:
    """Return the relation to another synced model that these fields are, or None."""
    if len(fields) != 1:
        return None
    field: Any = model._meta.get_field(fields[0])
    target = field.related_model if field.many_to_one or field.one_to_one else None
    return field if isinstance(target, type) and issubclass(target, SyncedModel) else None


def target_of(field: ModelField) -> type[SyncedModel]:
    return field.related_model  # type: ignore[return-value]


# What a person may do with records and rows, by Django's permissions.


def has_right(user: Any, act: str, model: str) -> bool:
    """Whether this person has the right to view, add, change or delete rows of a model, by its label (app.model)."""
    app, _, name = model.partition(".")
    return bool(user.has_perm(f"{app}.{act}_{name}"))


def may_view(user: Any, model: str) -> bool:
    """Whether this person may see rows of a model, by its label: by the right to view them, or to change them."""
    return has_right(user, "view", model) or has_right(user, "change", model)


def may_act(user: Any, act: str, entity_type: str) -> bool:
    """Whether this person may view, add, change or delete records of a type; none of a type that nobody keeps."""
    return is_registered(entity_type) and has_right(user, act, entity(entity_type).model._meta.label_lower)
