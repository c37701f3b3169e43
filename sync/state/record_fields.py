"""A record's fields outside a pass: displayed on pages, typed by people, and compared with files."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import prefetch_related_objects

from sync import registry
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.monday.columns import make_converter
from sync.monday.conversion import Converter, ConverterOptions, Local, UnknownValue
from sync.reconcile import field_values, lookups

NOT_KNOWN = "(not known)"


class FieldDisplay:
    """Displays the fields of some records of one model; reads their related records in a query for each relation."""

    def __init__(
        self,
        link: BoardLink,
        mappings: Sequence[FieldMapping],
        records: Sequence[SyncedModel],
        pass_settings: field_values.PassSettings | None = None,
    ) -> None:
        # The names of related records by item. The board's cached converters have this dict, too, so they display
        # names that are added later.
        self._names = dict[str, str]()
        model = registry.entity(link.entity_type).model
        used_settings = pass_settings or lookups.load_settings()
        self.board = field_values.BoardContext(link, mappings, model, used_settings, item_names=self._names)
        prefetch_related_objects(list(records), *self.board.joined_relations)
        for mapping, _relation in self.board.relations:
            for record in records:
                self._learn_names(field_values.stored_values(record, mapping))

    def current(self, record: SyncedModel, mapping: FieldMapping) -> str:
        """Return NPD's present value of a field, as displayed."""
        return self.display_local(record, mapping, field_values.stored_values(record, mapping))

    def base_sides(self, record: SyncedModel, mapping: FieldMapping, base: Mapping[str, Any]) -> tuple[str, str]:
        """Return NPD's and Monday's value of a base, as displayed."""
        local = self.display_local(record, mapping, base["local"])
        convert = self.board.converter(mapping, record)
        try:
            return local, convert.display(convert.canonical_remote(base["remote"]))
        except UnknownValue:
            return local, NOT_KNOWN

    def display_local(self, record: SyncedModel, mapping: FieldMapping, raw: Local) -> str:
        """Return stored values of NPD, current or earlier ones, as displayed."""
        self._learn_names(raw)
        return field_values.display_local(self.board.converter(mapping, record), raw, NOT_KNOWN)

    def _learn_names(self, raw: Local) -> None:
        """Remember the names of related records, by which their items are displayed; the first, present one stays."""
        for value in raw.values():
            if isinstance(value, dict) and value.get("item"):
                self._names.setdefault(str(value["item"]), str(value.get("name") or ""))


def typed_value(convert: Converter, record: SyncedModel, fields: Sequence[str], text: str) -> dict[str, Any]:
    """Return the raw values for a typed text, outside a pass.

    Raises ValueError if the field or column doesn't accept the text, RelatedNotFound if not exactly one record has the
    name.
    """
    related: field_values.RelatedRecords = {}
    if relation := registry.relation_of(type(record), fields):
        related = lookups.read_related([field_values.reference_to(registry.target_of(relation), {"name": text})])
    return field_values.parse_input(convert, record, fields, text, related)


def read_and_resolve_relations(model: type[SyncedModel], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw values with existing related records, outside a pass; raises RelatedNotFound."""
    related = lookups.read_related(field_values.references_of(model, [raw]))
    return field_values.resolve_relations(related, model, raw)


# Their canonical form depends on nothing but the text and the region.
_TEXT_CONVERTERS = ("name", "email", "phone", "text", "long_text")


def canonical_value(entity_type: str, field: str, text: str, region: str) -> str:
    """Return a field's text in the form in which an import compares it; texts equal in this form are no change.

    That is the sync's canonical form for names, emails, phone numbers and texts. Others, such as links, are compared
    as they are written. `region` is the country of phone numbers without a country code.
    """
    for mapping in registry.entity(entity_type).mappings:
        if mapping.fields == (field,) and mapping.converter in _TEXT_CONVERTERS:
            convert = make_converter(mapping.converter, ConverterOptions(region=region))
            return str(convert.canonical_local({field: text}) or "")
    return text.strip()
