"""A record's values as JSON, the board with its mappings, related records, and match keys.

“Raw values” are NPD's fields as JSON (`local_values`) and Monday's cell as a base keeps it (`Converter.cell_value`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from sync import registry
from sync.choices import BlockedCode, SyncDirection
from sync.fields.sync_filter import SyncFilter
from sync.kernel import as_uuid, grouped
from sync.models import BoardLink, FieldMapping, SyncedModel, Tombstone
from sync.monday import conversion, text_forms
from sync.monday.board_items import GROUP, BatchItems, Item
from sync.monday.columns import make_converter
from sync.monday.columns.labels import FieldChoices
from sync.monday.columns.phones import shown_phone
from sync.monday.text_forms import fold_whitespace, match_key
from sync.words.message import Message


def local_values(record: models.Model, mapping: FieldMapping | registry.MappingSpec) -> dict[str, Any]:
    """Return the values of a mapping's fields as JSON. May query for a related record that isn't loaded."""
    return local_field_values(record, mapping.fields)


def local_field_values(record: models.Model, fields: Iterable[str]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for name in fields:
        value = getattr(record, name)
        is_relation = record._meta.get_field(name).is_relation
        raw[name] = relation_value(value) if is_relation else to_json_value(value)
    return raw


def to_json_value(value: Any) -> Any:
    """Return a field's value as JSON, without rounding."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, list | tuple):
        return [to_json_value(element) for element in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)


def relation_value(record: models.Model | None) -> dict[str, Any] | None:
    """Return the value of a relation to this record, as JSON."""
    if record is None:
        return None
    return {"id": str(record.pk), "item": getattr(record, "monday_id", None), "name": record_name(record)}


def record_name(record: models.Model) -> str:
    """Return the record's name as its item has it: the value of the field that is mapped to the item's name."""
    field = registry.name_field(type(record)) if isinstance(record, SyncedModel) else None
    return str(getattr(record, field) if field else record)


def tombstone_name(tombstone: Tombstone) -> str:
    """Return the deleted record's name; empty if unknown or erased."""
    is_registered = registry.is_registered(tombstone.entity_type)
    field = registry.entity(tombstone.entity_type).name_field if is_registered else None
    return str(tombstone.data.get(field or "name") or "")


def clean_values(record: models.Model, raw: conversion.Local) -> dict[str, Any]:
    """Return raw values as the model's fields accept them; raises ValidationError.

    A related record isn't looked up again: only its absence is checked.
    """
    cleaned = {}
    for name, value in raw.items():
        field = field_of(record, name)
        if field.is_relation and value is None and not field.null:
            raise ValidationError(str(field.error_messages["null"]))
        cleaned[name] = value if field.is_relation else to_json_value(field.clean(_empty_value(field, value), record))
    return cleaned


def _empty_value(field: registry.ModelField, value: Any) -> Any:
    """Return the value; an empty one in the form that the field stores."""
    if value not in (None, "", []):
        return value
    if isinstance(field, ArrayField):
        return []
    if isinstance(field, models.BooleanField):
        return None if field.null else False
    if isinstance(field, models.CharField | models.TextField) and not field.null:
        return ""
    return None


def field_of(record: models.Model | type[models.Model], name: str) -> registry.ModelField:
    return record._meta.get_field(name)  # type: ignore[return-value]


def update_values(model: type[models.Model], raw: conversion.Local) -> dict[str, Any]:
    """Return cleaned raw values keyed by `attname`, for `QuerySet.update`."""
    stored: dict[str, Any] = {}
    for name, value in raw.items():
        field = field_of(model, name)
        if field.is_relation:
            stored[field.attname] = UUID(value["id"]) if value else None
        else:
            stored[name] = field.to_python(_empty_value(field, value))
    return stored


def still_holds(record: models.Model, raw: conversion.Local) -> bool:
    """Whether the record's fields have exactly these values. Compares related records by id, without a query."""
    for name, value in raw.items():
        field = field_of(record, name)
        current = getattr(record, field.attname)
        if field.is_relation:
            if (str(current) if current else None) != (value["id"] if value else None):
                return False
        elif to_json_value(current) != value:
            return False
    return True


@cache
def is_phone(field: Any) -> bool:
    """Whether a model's field holds a phone number: its mapping says so."""
    spec = registry.entity(field.model.entity_type())
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


def joined_relations(model: type[SyncedModel], mappings: Iterable[FieldMapping]) -> list[str]:
    """Return the relations to select with the model's records: those of mappings, and its `sync_related`."""
    mapped = [name for mapping in mappings for name in mapping.fields]
    names = dict.fromkeys([*model.sync_related, *mapped])
    return [name for name in names if model._meta.get_field(name).is_relation]


@dataclass(frozen=True)
class PassSettings:
    """Settings and account data that rules and converters read, filled by `lookups.settings_with`."""

    region: str = "US"  # the country of phone numbers without a country code
    time_zone: str = "UTC"  # that of the token's user, in which times are converted to days
    removed_item_quiet_seconds: float = 600
    tombstone_days: int = 30
    loop_times: int = 5
    new_item_wait_seconds: float = 300
    journal_days: int = 7
    token_user: str = ""  # the Monday user of the token; empty if it isn't known yet
    people: Mapping[str, Any] = field(default_factory=dict)  # Monday's users, by id


@dataclass(frozen=True)
class BoardContext:
    """A board link with its mappings, as a pass uses them."""

    link: BoardLink
    mappings: Sequence[FieldMapping]
    model: type[SyncedModel]
    settings: PassSettings = field(default_factory=PassSettings)
    item_names: Mapping[str, str] = field(default_factory=dict)  # of related records, by item
    hidden_items: Mapping[str, str] = field(default_factory=dict)  # as `ConverterOptions.hidden_items`

    @property
    def columns(self) -> list[str]:
        """The ids of the columns that a pass reads, with the NPD ID's; the name is no column."""
        column_ids = [*(mapping.column_id for mapping in self.mappings), self.link.npd_id_column]
        return [column_id for column_id in dict.fromkeys(column_ids) if column_id not in ("", "name")]

    @cached_property
    def mapped(self) -> Sequence[FieldMapping]:
        """The mappings that have a column; `mappings` has also those whose column is lost."""
        return [mapping for mapping in self.mappings if mapping.column_id]

    @cached_property
    def mapping_by_key(self) -> Mapping[str, FieldMapping]:
        return {mapping.key: mapping for mapping in self.mappings}

    @property
    def types(self) -> list[str]:
        """The columns' types, as set-up read them or their converters create them; the group if the filter reads it."""
        types = [
            str(mapping.options.get("column_type") or self.converter(mapping).column_type) for mapping in self.mapped
        ]
        return [*types, GROUP] if self.sync_filter.asks_group else types

    @cached_property
    def sync_filter(self) -> SyncFilter:
        """The filter of records and items, as of when this was loaded."""
        return SyncFilter.parse(self.link.sync_filter)

    @property
    def match_mapping(self) -> FieldMapping | None:
        return next((mapping for mapping in self.mapped if mapping.key == self.link.match_key), None)

    @property
    def match_label(self) -> str:
        """The match key's name in sentences."""
        return self.match_mapping.label.lower() if self.match_mapping else "key"

    @property
    def relations(self) -> list[tuple[FieldMapping, registry.ModelField]]:
        """The mappings that are relations to other synced models, with the model's field."""
        relations = [(mapping, registry.relation_of(self.model, mapping.fields)) for mapping in self.mapped]
        return [(mapping, field) for mapping, field in relations if field is not None]

    @property
    def joined_relations(self) -> list[str]:
        """The relations to read with the records, so that none needs a query of its own."""
        return joined_relations(self.model, self.mappings)

    def converter(self, mapping: FieldMapping, record: SyncedModel | None = None) -> conversion.Converter:
        """Return the mapping's converter for this record."""
        return self._make_converter(mapping.key, record.sync_region() if record is not None else "")

    @cached_property
    def _make_converter(self) -> Callable[[str, str], conversion.Converter]:
        def make(key: str, region: str) -> conversion.Converter:
            mapping = self.mapping_by_key[key]
            options = conversion.ConverterOptions(
                region=region or self.settings.region,
                time_zone=self.settings.time_zone,
                column_settings=mapping.options.get("settings") or {},
                items=self.item_names,
                hidden_items=self.hidden_items,
                choices=choices_of(self.model, mapping.fields),
            )
            return make_converter(mapping.converter, options)

        # Cached, because making a converter costs ten times as much as using it.
        return lru_cache(maxsize=None)(make)


ACTIVE = "active"


class Reference(NamedTuple):
    """What identifies a related record."""

    model: type[SyncedModel]
    by: str  # "pk", "monday_id" or "name"
    value: str


class AwaitedRecord(NamedTuple):
    """The record that a relation waits for."""

    by: str  # "item" or "name"
    value: str  # the item's id, or the name as written
    is_missing: bool = True  # False for a name that several records have

    @property
    def target(self) -> str:
        """The form of `AwaitedRelation.target`, folded as match keys are; not the board's match key."""
        return match_key(f"{self.by} {self.value}")


class RelatedNotFound(LookupError):
    """A relation names no record, or several; `reason` says so to people."""

    def __init__(self, reason: Message, awaited: AwaitedRecord | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.awaited = awaited


# Related records, read in advance so that rules need no query.
RelatedRecords: TypeAlias = Mapping[Reference, Sequence[SyncedModel]]


def resolve_relations(related: RelatedRecords, model: type[models.Model], raw: conversion.Local) -> dict[str, Any]:
    """Return the raw values with their related records looked up; raises RelatedNotFound."""
    named = records_named(related, model, raw)
    return {**raw, **{name: relation_value(record) for name, record in named.items()}}


def records_named(related: RelatedRecords, model: type[models.Model], raw: conversion.Local) -> dict[str, SyncedModel]:
    """Return the related records that raw values name, by field; raises RelatedNotFound."""
    named: dict[str, SyncedModel] = {}
    for name, value in raw.items():
        if value is None or not field_of(model, name).is_relation or not registry.relation_of(model, [name]):
            continue
        target = registry.target_of(field_of(model, name))
        kind = target._meta.verbose_name
        reference = reference_to(target, value)
        records = related[reference]
        if reference.by == "name":
            # One that is spelled the same comes before those with the same match key.
            records = [record for record in records if fold_name(record_name(record)) == reference.value] or records
        if len(records) == 1:
            named[name] = records[0]
        elif reference.by == "name":
            title = text_forms.name_invisible(reference.value)
            detail = Message("related_missing", kind=str(kind), name=title)
            if records:
                kinds = str(target._meta.verbose_name_plural)
                detail = Message("related_ambiguous", number=len(records), kinds=kinds, name=title)
            raise RelatedNotFound(detail, AwaitedRecord("name", reference.value, is_missing=not records))
        elif reference.by == "pk":
            title = value.get("name") or reference.value
            raise RelatedNotFound(Message("related_deleted", kind=str(kind), name=title))
        else:
            detail = Message("related_item_unknown", item=reference.value, kind=str(kind))
            raise RelatedNotFound(detail, AwaitedRecord("item", reference.value))
    return named


def why_no_item(record: SyncedModel, boards: Collection[str]) -> tuple[BlockedCode, Message]:
    """Return why a related record has no item, and whether the relation waits for it or is skipped."""
    if record.entity_type() not in boards:
        code = "related_without_board"
    elif record.is_left_out:
        code = "related_left_out"
    elif not record.may_sync:
        code = "related_sync_off"
    elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        code = "related_only_to_npd"
    else:
        code = "related_awaited"
    related = Message("the_related", kind=str(record._meta.verbose_name), name=record_name(record))
    reason = Message(code, related=related)
    blocked = BlockedCode.RELATION if code == "related_awaited" else BlockedCode.RELATION_SKIPPED
    return blocked, reason


def reference_to(target: type[SyncedModel], value: conversion.Local) -> Reference:
    """Return what identifies the record in a relation's value: its id, else its item, else its name."""
    if entity_id := value.get("id"):
        return Reference(target, "pk", str(entity_id))
    if item := value.get("item"):
        return Reference(target, "monday_id", str(item))
    return Reference(target, "name", fold_name(value.get("name") or ""))


def differing_relations(
    board: BoardContext, record: SyncedModel, item: Item
) -> Iterator[tuple[registry.ModelField, conversion.Local]]:
    """Yield the relations where the item names another record than NPD does, with the item's value."""
    for mapping, relation in board.relations:
        converter = board.converter(mapping, record)
        local = local_values(record, mapping)
        with suppress(conversion.UnknownValue, conversion.AmbiguousSplit):
            remote = converter.to_local(converter.cell_value(item.reading(mapping.column_id)), local)
            value = remote.get(relation.name)
            if isinstance(value, Mapping) and value != local[relation.name]:
                yield relation, value


def references_of(model: type[models.Model], raws: Iterable[Mapping[str, Any]]) -> set[Reference]:
    """Return the records to read before `resolve_relations` is called with these raw values."""
    return {
        reference_to(registry.target_of(field_of(model, name)), value)
        for raw in raws
        for name, value in raw.items()
        if isinstance(value, Mapping) and field_of(model, name).is_relation and registry.relation_of(model, [name])
    }


def fold_name(name: Any) -> str:
    """Return a record's name as relations compare it: with whitespace folded, case kept."""
    return fold_whitespace(str(name)) or ""


def parse_input(
    converter: conversion.Converter, record: SyncedModel, fields: Sequence[str], text: str, related: RelatedRecords
) -> dict[str, Any]:
    """Return the raw values for a text typed by a person; a related record is typed by its name.

    Raises ValueError if the field or column doesn't accept the text, RelatedNotFound if not exactly one record has the
    name. Both messages are for people.
    """
    current = local_field_values(record, fields)
    if registry.relation_of(type(record), fields) is None:
        return dict(converter.from_text(text, current))
    [(field, value)] = current.items()
    name = fold_whitespace(text)
    if name is None:
        return {field: None}
    if value and fold_whitespace(value["name"]) == name:
        return current
    return resolve_relations(related, type(record), {field: {"name": name}})


def item_values(board: BoardContext, item: Item) -> dict[str, str]:
    """Return the item's values by field as a person reads them, without those that can't be read."""
    values = {}
    for mapping in board.mapped:
        converter = board.converter(mapping)
        with suppress(conversion.UnknownValue):
            values[mapping.key] = converter.display_remote(converter.cell_value(item.reading(mapping.column_id)))
    return values


def record_values(board: BoardContext, record: SyncedModel) -> dict[str, str]:
    """Return the record's values by field as a person reads them, whatever names of related records are loaded."""
    values = {}
    for mapping in board.mapped:
        raw = local_values(record, mapping)
        values[mapping.key] = related_name(raw) or display_local(board.converter(mapping, record), raw)
    return values


def item_data(board: BoardContext, item: Item) -> dict[str, Any]:
    """Return the item as `ConflictReport.data["item"]`."""
    return {"id": item.id, "label": item.name, "values": item_values(board, item)}


def related_id(local_raw: conversion.Local | None) -> str:
    """Return the id of the related record in these raw values, or an empty text."""
    return str(_related(local_raw).get("id") or "")


def related_name(local_raw: conversion.Local | None) -> str:
    """Return the name of the related record in these raw values, or an empty text."""
    return str(_related(local_raw).get("name") or "")


def _related(local_raw: conversion.Local | None) -> Mapping[str, Any]:
    return next((value for value in (local_raw or {}).values() if isinstance(value, Mapping)), {})


def display_local(converter: conversion.Converter, local_raw: Mapping[str, Any] | None, unknown: str = "") -> str:
    """Return raw values as a person reads them; for a related record without an item its name, else `unknown`."""
    try:
        return converter.display(converter.canonical_local(local_raw or {}))
    except conversion.UnknownValue:
        return related_name(local_raw) or unknown


def npd_id_of(board: BoardContext, item: Item) -> str | None:
    """Return the NPD ID on the item, an empty text if it has none, None if it can't be read."""
    reading = item.reading(board.link.npd_id_column)
    return (reading.text or "").strip() if reading.is_known else None


def npd_uuid_of(board: BoardContext, item: Item) -> UUID | None:
    """Return the item's NPD ID; None if it has none, or it can't be read."""
    return as_uuid(npd_id_of(board, item) or "")


def is_active_on(board: BoardContext, item: Item | None) -> bool:
    """Whether there is an item on this board, neither archived nor deleted."""
    return item is not None and item.state == ACTIVE and item.board_id in (None, board.link.board_id)


def with_item(record: SyncedModel, item_id: str | None) -> SyncedModel:
    """Return the record as it will be once it is linked with this item."""
    linked = copy(record)
    linked.monday_id = item_id
    return linked


def match_key_of_record(board: BoardContext, record: SyncedModel) -> str:
    """Return the record's match key, empty if it has no value."""
    match = board.match_mapping
    if match is None:
        return ""
    # Only phone numbers depend on the record's region, which may cost a query.
    converter = board.converter(match, record if match.converter == "phone" else None)
    return _match_key(converter.canonical_local(local_values(record, match)))


def searched_texts(board: BoardContext, record: SyncedModel) -> set[str]:
    """Return the spellings to search for on Monday, which can't search by match key, but ignores case."""
    match = board.match_mapping
    if match is None:
        return set()
    values = local_values(record, match)
    texts = {value for value in values.values() if isinstance(value, str) and len(values) == 1}
    canonical = board.converter(match, record).canonical_local(values)
    if isinstance(canonical, str):
        texts.add(canonical)
        if match.converter == "email":
            # The xn-- form of a domain with non-ASCII letters.
            texts.add(match_key(canonical))
    visible = {fold_whitespace(text_forms.drop_invisible(text)) for text in texts}
    plain = set(map(text_forms.plain_letters, texts))
    spellings = {text for text in {*map(text_forms.canonical_text, texts), *visible, *plain} if text}
    return set().union(*map(text_forms.sign_spellings, spellings))


def name_key_of_record(board: BoardContext, record: SyncedModel) -> str:
    """Return the key of the record's name, empty where the name is the match key, or has no field."""
    name_field = registry.name_field(board.model)
    match = board.match_mapping
    if name_field is None or match is None or name_field in match.fields:
        return ""
    return match_key(record_name(record))


def _match_key(canonical: conversion.Canonical) -> str:
    return match_key(", ".join(canonical) if isinstance(canonical, tuple) else canonical)


def match_key_of_item(board: BoardContext, item: Item) -> str | None:
    """Return the item's match key, empty if it has no value, None if it can't be read."""
    match = board.match_mapping
    if match is None:
        return ""
    converter = board.converter(match)
    try:
        return _match_key(converter.canonical_remote(converter.cell_value(item.reading(match.column_id))))
    except conversion.UnknownValue:
        return None


# Items by NPD ID or match key; under None, the items whose text can't be read.
ItemsByText: TypeAlias = Mapping[str | None, Sequence[Item]]


def items_by_npd_id(board: BoardContext, items: BatchItems) -> ItemsByText:
    """Return the items from the search by NPD ID, which finds only active ones."""
    return grouped(items.by_npd_id, lambda item: npd_id_of(board, item))


def items_by_match_key(board: BoardContext, items: BatchItems) -> ItemsByText:
    """Return the active items from the search by match key."""
    active = [item for item in items.by_match if item.state == ACTIVE]
    return grouped(active, lambda item: match_key_of_item(board, item))
