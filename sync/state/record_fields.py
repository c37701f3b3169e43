"""A record's fields outside a pass: displayed on pages, typed by people, and compared with files."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import prefetch_related_objects

from sync import registry
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.monday.columns import make_converter
from sync.monday.conversion import Converter, ConverterOptions, UnknownValue
from sync.reconcile import field_values, lookups
from sync.registry import link_of

NOT_KNOWN = "(not known)"


class FieldDisplay:
    """Displays the fields of some records of one model; reads their related records in a query for each relation."""

    def __init__(
        self,
        link: BoardLink,
        mappings: Sequence[FieldMapping],
        records: Sequence[SyncedModel],
        settings_now: field_values.PassSettings | None = None,
    ) -> None:
        board = lookups.load_board(link, mappings, settings_now)
        self._names = dict[str, str]()
        self.board = replace(board, item_names=self._names)
        prefetch_related_objects(list(records), *self.board.joined_relations)

    def sides(self, record: SyncedModel, mapping: FieldMapping, base: Mapping[str, Any] | None) -> tuple[str, str, str]:
        """Return NPD's value and both halves of the base, as displayed."""
        convert = self.board.converter(mapping, record)
        now = field_values.stored_values(record, mapping)
        self._learn_names(now, base["local"] if base else {})
        local = self._display_local(convert, now)
        remote = NOT_KNOWN
        if base is None:
            return local, "", ""
        with suppress(UnknownValue):
            remote = convert.display(convert.canonical_remote(base["remote"]))
        return local, self._display_local(convert, base["local"]), remote

    def local(self, record: SyncedModel, mapping: FieldMapping, raw: Mapping[str, Any]) -> str:
        """Return raw values of NPD, current or earlier ones, as displayed."""
        self._learn_names(raw)
        return field_values.related_name(raw) or self._display_local(self.board.converter(mapping, record), dict(raw))

    def spelling(self, record: SyncedModel, name: str, text: str) -> str:
        """Return a field's text as it is displayed, if typing that would store an equal value; else the text itself."""
        mapping = self._by_field.get(name)
        if mapping is None or not text:
            return text
        raw = {name: text}
        convert = self.board.converter(mapping, record)
        with suppress(UnknownValue, ValueError):
            canonical = convert.canonical_local(raw)
            shown = {name: convert.display(canonical)}
            if convert.from_text(shown[name], raw) == shown and convert.canonical_local(shown) == canonical:
                return shown[name]
        return text

    def spellings(self, record: SyncedModel) -> dict[str, str]:
        """Return the displayed texts of fields that are stored in another spelling, by field."""
        stored = {name: getattr(record, name) for name in self._by_field}
        texts = {name: self.spelling(record, name, text) for name, text in stored.items() if isinstance(text, str)}
        return {name: text for name, text in texts.items() if text != stored[name]}

    @cached_property
    def _by_field(self) -> Mapping[str, FieldMapping]:
        return {mapping.fields[0]: mapping for mapping in self.board.mappings if len(mapping.fields) == 1}

    def _learn_names(self, *raws: Mapping[str, Any]) -> None:
        """Remember the names of related records, by which their items are displayed."""
        for value in (value for raw in raws for value in raw.values()):
            if isinstance(value, dict) and value.get("item"):
                self._names[str(value["item"])] = str(value.get("name") or "")

    def _display_local(self, convert: Converter, raw: dict[str, Any]) -> str:
        try:
            return convert.display(convert.canonical_local(raw))
        except UnknownValue:
            return field_values.related_name(raw) or NOT_KNOWN


def display_of(record: SyncedModel) -> FieldDisplay | None:
    """Return the display of a record's fields; None if its type has no board."""
    link = link_of(record.entity_type())
    return FieldDisplay(link, list(link.mappings.all()), [record]) if link else None


def converter_for(mapping: FieldMapping, record: SyncedModel) -> Converter:
    """Return the converter for one record's field outside a pass, as pages need it."""
    # Other converters read nothing of the account, and pages need not either.
    settings_now = lookups.load_settings(with_account=mapping.converter in ("phone", "date"))
    options = field_values.converter_options(mapping, type(record), record.sync_region(), settings_now, {})
    return make_converter(mapping.converter, options)


def typed_value(convert: Converter, record: SyncedModel, fields: Sequence[str], text: str) -> dict[str, Any]:
    """Return the raw values for a typed text outside a pass; raises as parse_input does."""
    named = field_values.references_of(type(record), [{fields[0]: {"name": text}}]) if len(fields) == 1 else ()
    return field_values.parse_input(convert, record, fields, text, lookups.read_related(named))


def resolve_related(model: type[SyncedModel], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw values with existing related records, outside a pass; raises RelatedNotFound."""
    related = lookups.read_related(field_values.references_of(model, [raw]))
    return field_values.resolve_relations(related, model, raw)


def canonical_value(entity_type: str, field: str, value: Any, region: str = "") -> Any:
    """Return a field's value as the sync compares it; two values equal in this form are no change.

    `region` is the country of phone numbers without a country code, if the caller knows it.
    """
    for mapping in registry.entity(entity_type).mappings:
        if mapping.fields == (field,) and mapping.converter in ("name", "email", "phone", "text", "long_text"):
            region = region or (
                lookups.phone_region() if mapping.converter == "phone" else settings.DEFAULT_PHONE_REGION
            )
            convert = make_converter(mapping.converter, ConverterOptions(region=region))
            return convert.canonical_local({field: value}) or ""
    return value.strip() if isinstance(value, str) else value
