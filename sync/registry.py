"""The synced models: their default mappings, board links, searches, names and addresses, and who may see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core import checks
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst, smart_split, unescape_string_literal

from sync.choices import Rule
from sync.kernel import as_uuid, humanize
from sync.kernel.acts import ActionError
from sync.kernel.db import LONGEST_SEARCH, SortKey, contains_unmarked, typed_phone_digits
from sync.models import BoardLink, FieldMapping, SyncedModel, Tombstone
from sync.monday import text_forms
from sync.monday.columns import make_converter
from sync.monday.columns.labels import FieldChoices
from sync.monday.columns.phones import shown_phone
from sync.monday.conversion import ListConverter

# So many matches of a name are listed to choose from.
MAX_MATCHES = 10

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
    file_titles: Mapping[str, Sequence[str]] = field(default_factory=dict)  # more of them, in files only

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


def is_phone(field: Any) -> bool:
    """Whether a model's field holds a phone number: its mapping says so."""
    spec = entity(field.model.entity_type())
    return any(field.name in mapping.fields for mapping in spec.mappings if mapping.converter == "phone")


def field_text(field: Any, value: Any) -> str:
    """Return a field's value as pages and files show it; not for relations."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value)
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    return shown_phone(value) if is_phone(field) else str(value)


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


def name_field(model: type[SyncedModel]) -> str | None:
    """Return the model's field of the item's name; None if it has none, or isn't registered."""
    spec = _entities.get(model.entity_type())
    return spec.name_field if spec else None


def tombstone_name(tombstone: Tombstone) -> str:
    """Return the deleted record's name; empty if unknown or erased."""
    spec = _entities.get(tombstone.entity_type)
    return str(tombstone.data.get((spec and spec.name_field) or "name") or "")


def find_record(entity_type: str, text: str) -> SyncedModel | Tombstone:
    """Find a record, or the tombstone of a deleted one, by id, item id, name or email.

    Raises ActionError unless exactly one matches; UnknownEntity for an unknown type.
    """
    spec = entity(entity_type)
    text = text.strip()
    entity_id = as_uuid(text)
    if entity_id is not None:
        named = models.Q(pk=entity_id)
        deleted = models.Q(entity_id=entity_id)
    else:
        match_keys = {mapping.fields[0] for mapping in spec.mappings if mapping.key == spec.match_key}
        keys = sorted(match_keys | {spec.name_field or "pk"})
        named = reduce(or_, (models.Q(**{f"{key}__iexact": text}) for key in keys), models.Q(monday_id=text))
        deleted = reduce(or_, (models.Q(**{f"data__{key}__iexact": text}) for key in keys), models.Q(monday_id=text))
    matches: Sequence[SyncedModel | Tombstone] = []
    if text:
        tombstones = Tombstone.objects.filter(deleted, entity_type=entity_type)
        matches = list(spec.model.objects.filter(named)[: MAX_MATCHES + 1])
        matches = matches or list(tombstones[: MAX_MATCHES + 1])
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = "\n".join(
            f"  {ids_of(match)[1]}  {humanize.terminal_line(name_of(match))}" for match in matches[:MAX_MATCHES]
        )
        more = "\n  and more" if len(matches) > MAX_MATCHES else ""
        raise ActionError(f"Several {entity_type} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise ActionError(
        f"There is no {entity_type} “{text}”, and none was deleted recently. Give its id, the id of its item on "
        "Monday, its name, or its email address."
    )


def ids_of(subject: SyncedModel | Tombstone) -> tuple[str, UUID]:
    """Return the type and the id of a record or of a tombstone."""
    if isinstance(subject, Tombstone):
        return subject.entity_type, subject.entity_id
    return subject.entity_type(), subject.pk


def name_of(subject: SyncedModel | Tombstone) -> str:
    """Return the name of a record or of a deleted one, or else its id."""
    if isinstance(subject, Tombstone):
        return tombstone_name(subject) or str(subject.entity_id)
    return str(subject)


def match_field(model: type[SyncedModel]) -> str | None:
    """Return the text field of the match key, or None if the match key isn't one text field."""
    spec = _entities.get(model.entity_type())
    if spec is None:
        return None
    fields = next((mapping.fields for mapping in spec.mappings if mapping.key == spec.match_key), ())
    is_text = len(fields) == 1 and isinstance(model._meta.get_field(fields[0]), (models.CharField, models.TextField))
    return fields[0] if is_text else None


def choices_of(model: type[models.Model], fields: Sequence[str]) -> dict[str, str]:
    """Return the labels of a single field's choices, by value; empty without choices."""
    if len(fields) != 1:
        return {}
    field: Any = model._meta.get_field(fields[0])
    pairs = getattr(getattr(field, "base_field", field), "flatchoices", None) or ()
    return {str(value): str(label) for value, label in pairs if value not in (None, "")}


def choice_labels(model: type[models.Model], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a field's choices as boards show them, in order."""
    choices = choices_of(model, fields)
    return tuple(map(FieldChoices(choices).label_of, choices))


def default_ordering(model: type[SyncedModel]) -> tuple[Any, ...]:
    """Return a total order for lists, so that pages don't overlap: the model's own or by name, then by key."""
    order: list[Any] = [*(model._meta.ordering or ())] or [sort_expression(model, name_field(model) or "pk")]
    return (*order,) if "id" in order or "pk" in order else (*order, "pk")


def sort_expression(model: type[SyncedModel], name: str) -> Any:
    """Return what orders a list by this field, or descending by “-” and the field: texts by their sort key."""
    field = name.removeprefix("-")
    if field not in own_texts(model):
        return name
    return SortKey(field).desc() if name.startswith("-") else SortKey(field)


def joined_relations(model: type[SyncedModel], mappings: Iterable[FieldMapping]) -> list[str]:
    """Return the relations to select with the model's records: those of mappings, and its `sync_related`."""
    mapped = [name for mapping in mappings for name in mapping.fields]
    names = dict.fromkeys([*model.sync_related, *mapped])
    return [name for name in names if model._meta.get_field(name).is_relation]


def rules_for(model: type[SyncedModel], mapping: MappingSpec) -> list[Rule]:
    """Return the rules that a person may choose for this field, in order; only lists can be united."""
    converter = make_converter(mapping.converter)
    # If its values may be single texts, NPD's side is a list only if every mapped field is an array.
    are_arrays = all(isinstance(model._meta.get_field(name), ArrayField) for name in mapping.fields)
    is_list = isinstance(converter, ListConverter) and (are_arrays or not converter.takes_single_text)
    return [rule for rule in Rule if is_list or rule is not Rule.UNION]


def searched_fields(model: type[SyncedModel]) -> tuple[str, ...]:
    """Return the fields that a search reads: the model's texts, and the names of related records."""
    named = [(field.name, name_field(target_of(field))) for field in own_relations(model)]
    return (*own_texts(model), *(f"{relation}__{name}" for relation, name in named if name))


def own_texts(model: type[SyncedModel]) -> list[str]:
    return [field.name for field in own_fields(model) if isinstance(field, (models.CharField, models.TextField))]


def search_condition(model: type[SyncedModel], names: Collection[str], term: str) -> models.Q:
    """Return the condition that a record contains every word of a term, in any order, or its phone number.

    Words are split as Django does, so quoted ones may contain spaces. A comma after a word is dropped, so that an
    address is found as boards show it, as one text.
    """
    condition = models.Q()
    for word in smart_split(term[:LONGEST_SEARCH]):
        is_quoted = word[0] in "\"'" and word[0] == word[-1]
        text = unescape_string_literal(word) if is_quoted else word.rstrip(",;")
        condition &= _containing(model, names, text)
    if digits := typed_phone_digits(term):
        for mapping in entity(model.entity_type()).mappings:
            if mapping.converter == "phone" and mapping.fields[0] in names:
                condition |= models.Q(**{f"{mapping.fields[0]}__holds_phone": digits})
    return condition


def _containing(model: type[SyncedModel], fields: Iterable[str], text: str) -> models.Q:
    """Return the condition that one of these fields contains a text, ignoring case and diacritics.

    Related records are searched in a subquery, because they are fewer than the records that point at them.
    """
    condition = models.Q()
    for name in fields:
        relation, _, related_name = name.partition("__")
        if related_name:
            field: Any = model._meta.get_field(relation)
            targets = target_of(field).objects.order_by()
            matching = targets.filter(contains_unmarked(related_name, text)).values("pk")
            condition |= models.Q(**{f"{relation}__in": matching})
        else:
            condition |= contains_unmarked(name, text)
            key = text_forms.match_key(text)
            labels = choices_of(model, [name]).items()
            if values := [value for value, label in labels if key in text_forms.match_key(label)]:
                is_list = isinstance(model._meta.get_field(name), ArrayField)
                condition |= models.Q(**{f"{name}__{'overlap' if is_list else 'in'}": values})
    return condition


def link_of(entity_type: str) -> BoardLink | None:
    """Return the type's board link with the effective board id, or None before any set-up."""
    link = BoardLink.objects.filter(entity_type=entity_type).first()
    return None if link is None else with_configured_board(link)


def with_configured_board(link: BoardLink) -> BoardLink:
    """Set the link's board id to the one of the environment, if any; not saved."""
    link.board_id = configured_board_id(link.entity_type) or link.board_id
    return link


def configured_board_id(entity_type: str) -> str:
    """Return the board id that the environment sets for this type, or an empty text."""
    name = entity(entity_type).board_setting
    return str(getattr(settings, name, settings.BOARD_IDS.get(name)) or "")


def no_board_reason(entity_type: str) -> str:
    """Return why a type has no board, as a sentence that says what to do."""
    if board_id := configured_board_id(entity_type):
        setting = entity(entity_type).board_setting
        return (
            f"The board {board_id} of {setting} isn't set up yet: run `manage.py monday_setup`, or press “Set up…” "
            "under Boards."
        )
    return f"There is no board for {entity_type} records yet: choose one under Boards, “Set up…”."


def column_ids_of(link: BoardLink, mappings: Sequence[FieldMapping]) -> list[str]:
    """Return the ids of the columns that a pass reads, with the NPD ID's; the name is no column."""
    column_ids = [*(mapping.column_id for mapping in mappings), link.npd_id_column]
    return [column_id for column_id in dict.fromkeys(column_ids) if column_id not in ("", "name")]


def linked_records(entity_type: str) -> models.QuerySet[SyncedModel]:
    """Return the records that have an item."""
    records: models.QuerySet[SyncedModel] = entity(entity_type).model.objects.exclude(monday_id=None)
    return records


MONDAY_HOST = "api.monday.com"


def board_url(link: BoardLink) -> str:
    return f"{monday_web_url()}/{'board' if is_sandbox() else 'boards'}/{link.board_id}"


def item_url(link: BoardLink, item_id: str) -> str:
    """Return the address of an item on Monday or in the sandbox."""
    return f"{board_url(link)}/pulses/{item_id}"


def monday_web_url() -> str:
    """Return the address of the boards for browsers."""
    if settings.MONDAY_WEB_URL:
        return str(settings.MONDAY_WEB_URL)
    if not is_sandbox():
        return "https://app.monday.com"
    parts = urlsplit(settings.MONDAY_API_URL)
    port = f":{parts.port}" if parts.port else ""
    # Host and port only: the API's address may contain a user and a password.
    return f"{parts.scheme}://{parts.hostname}{port}"


def is_sandbox() -> bool:
    """Whether calls go to an address other than Monday's own."""
    return urlsplit(settings.MONDAY_API_URL).hostname != MONDAY_HOST


RecordKey = tuple[str, UUID]


def record_names(keys: Iterable[tuple[str, UUID | None]]) -> dict[RecordKey, str]:
    """Return the names of existing records, by type and id; one query for each type."""
    ids: dict[str, set[UUID]] = defaultdict(set)
    for entity_type, entity_id in keys:
        if entity_id is not None:
            ids[entity_type].add(entity_id)
    names: dict[RecordKey, str] = {}
    for spec in entities():
        if ids[spec.entity_type]:
            records = spec.model.objects.in_bulk(list(ids[spec.entity_type]))
            names |= {(spec.entity_type, key): str(record) for key, record in records.items()}
    return names


def record_url(entity_type: str, entity_id: UUID | str) -> str:
    """Return the record's page in the admin, or an empty text if its model has none."""
    if not is_registered(entity_type):
        return ""
    opts = entity(entity_type).model._meta
    return page_url(f"{opts.app_label}_{opts.model_name}_change", entity_id)


def page_url(name: str, *args: Any, query: Mapping[str, str] | None = None) -> str:
    """Return the address of an admin page; empty if it doesn't exist, because its application isn't installed."""
    try:
        return reverse(f"admin:{name}", args=args, query=query)
    except NoReverseMatch:
        return ""


def _has_permission(user: Any, action: str, model: str) -> bool:
    """Whether a person has the permission for an `action` (view, add, …) on a model, by its label (app.model)."""
    app, _, name = model.partition(".")
    return bool(user.has_perm(f"{app}.{action}_{name}"))


def may_view(user: Any, model: str) -> bool:
    """Whether a person may see rows of a model (its label), by the permission to view or to change them."""
    return _has_permission(user, "view", model) or _has_permission(user, "change", model)


def may_act(user: Any, action: str, entity_type: str) -> bool:
    """Whether a person has the permission for an `action` (view, add, …) on records of a registered type."""
    return is_registered(entity_type) and _has_permission(user, action, entity(entity_type).model._meta.label_lower)


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
