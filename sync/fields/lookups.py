"""Reads boards, settings and related records from NPD's database, for passes and pages.

Below: a record's fields outside a pass, as pages display them, people type them, and files are compared with them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import prefetch_related_objects

from sync import registry
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import grouped
from sync.kernel.db import match_key_sql
from sync.models import BoardLink, FieldMapping, MondayAccount, SyncedModel
from sync.monday.columns import make_converter
from sync.monday.conversion import Converter, ConverterOptions, Local, UnknownValue
from sync.monday.text_forms import match_key
from sync.words.message import Message, reason_of


def link_of(entity_type: str) -> BoardLink | None:
    """Return the type's board link with the effective board id, or None before any set-up."""
    link = BoardLink.objects.filter(entity_type=entity_type).first()
    return None if link is None else with_configured_board(link)


def with_configured_board(link: BoardLink) -> BoardLink:
    """Set the link's board id to the one of the environment, if any; not saved."""
    link.board_id = registry.configured_board_id(link.entity_type) or link.board_id
    return link


def no_board_reason(entity_type: str) -> Message:
    """Return why a type has no board, and what to do."""
    if board_id := registry.configured_board_id(entity_type):
        setting = registry.entity(entity_type).board_setting
        return Message("board_not_set_up", board=board_id, setting=setting)
    return Message("no_board", type=entity_type)


def linked_records(entity_type: str) -> models.QuerySet[SyncedModel]:
    """Return the records that have an item."""
    records: models.QuerySet[SyncedModel] = registry.entity(entity_type).model.objects.exclude(monday_id=None)
    return records


def load_board(link: BoardLink, pass_settings: field_values.PassSettings | None = None) -> BoardContext:
    """Read the board with its mappings and, unless they are passed in, its settings.

    The link is read with its mappings, in one query, because a worker keeps a link for minutes. A board without
    mappings keeps the link that was passed in; nothing of it is synced.
    """
    mappings = list(FieldMapping.objects.filter(link=link.pk).select_related("link"))
    link = with_configured_board(mappings[0].link) if mappings else link
    return BoardContext(link, mappings, registry.entity(link.entity_type).model, pass_settings or load_settings())


def load_settings() -> field_values.PassSettings:
    """Return the settings of the installation and of the account."""
    rows = MondayAccount.objects.filter(id=1).only("phone_region", "time_zone", "user_id", "users")
    return settings_with(rows.first())


def settings_with(account: MondayAccount | None) -> field_values.PassSettings:
    """Return the settings of the installation and, if there is one, of the account."""
    return field_values.PassSettings(
        region=(account.phone_region if account else "") or settings.DEFAULT_PHONE_REGION,
        time_zone=(account.time_zone if account else "") or "UTC",
        removed_item_quiet_seconds=float(settings.REMOVED_ITEM_QUIET_SECONDS),
        tombstone_days=settings.TOMBSTONE_DAYS,
        loop_times=settings.LOOP_TIMES,
        new_item_wait_seconds=float(settings.NEW_ITEM_WAIT_SECONDS),
        journal_days=settings.JOURNAL_DAYS,
        token_user=account.user_id if account else "",
        people=account.users if account else {},
    )


def phone_region() -> str:
    """Return the country of phone numbers if neither the number nor its record names one."""
    return load_settings().region


def complete_phone(text: str, country: str = "", installation_region: str = "") -> str:
    """Return a typed phone number with a country: that of the record, `country`, or else the installation's.

    `installation_region` is given if the caller has read it already. Raises ValueError, with a sentence, if the number
    isn't valid in that country, or the country is unknown.
    """
    # A number with a plus has its country, so any region will do, and none is queried.
    region = settings.DEFAULT_PHONE_REGION if text.startswith("+") else country or installation_region or phone_region()
    converter = make_converter("phone", ConverterOptions(region=region))
    try:
        return converter.from_text(text, {"phone": ""})["phone"] or ""  # {"phone": ""} only names the field
    except ValueError as error:
        raise ValueError(reason_of(error)) from error


def read_related(
    references: Iterable[field_values.Reference], loaded: field_values.RelatedRecords = MappingProxyType({})
) -> field_values.RelatedRecords:
    """Add the records that these references name to those in `loaded`, in a query for each model and key."""
    related: dict[field_values.Reference, Sequence[SyncedModel]] = {}
    wanted = set(references) - loaded.keys()
    for (by, model), group in grouped(wanted, lambda reference: (reference.by, reference.model)).items():
        if by != "name":
            records = model.objects.filter(**{f"{by}__in": [reference.value for reference in group]})
            by_value = {str(getattr(record, by)): [record] for record in records}
            related |= {reference: by_value.get(reference.value, []) for reference in group}
            continue
        # By name: all records whose name has the same match key.
        keys = {reference: match_key(reference.value) for reference in group}
        filled_keys = sorted(set(keys.values()) - {""})
        field = registry.name_field(model)
        namesakes = list[SyncedModel]()
        if filled_keys and field is not None:
            with_key = model.objects.annotate(name_key=match_key_sql(field))
            namesakes = list(with_key.filter(name_key__in=filled_keys))
        by_key = grouped(namesakes, lambda record: match_key(field_values.record_name(record)))
        related |= {reference: by_key.get(key, []) for reference, key in keys.items()}
    # Once a value is decided, the rules look up its record again, by id.
    by_id = {
        field_values.Reference(reference.model, "pk", str(record.pk)): [record]
        for reference, records in related.items()
        for record in records
    }
    return {**loaded, **related, **by_id}


RecordKey = tuple[str, UUID]


def record_names(keys: Iterable[tuple[str, UUID | None]]) -> dict[RecordKey, str]:
    """Return the names of existing records, by type and id; one query for each type."""
    ids: dict[str, set[UUID]] = defaultdict(set)
    for entity_type, entity_id in keys:
        if entity_id is not None:
            ids[entity_type].add(entity_id)
    names: dict[RecordKey, str] = {}
    for spec in registry.entities():
        if ids[spec.entity_type]:
            records = spec.model.objects.in_bulk(list(ids[spec.entity_type]))
            names |= {(spec.entity_type, key): str(record) for key, record in records.items()}
    return names


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
        used_settings = pass_settings or load_settings()
        self.board = field_values.BoardContext(link, mappings, model, used_settings, item_names=self._names)
        prefetch_related_objects(list(records), *self.board.joined_relations)
        for mapping, _relation in self.board.relations:
            for record in records:
                self._learn_names(field_values.local_values(record, mapping))

    def current(self, record: SyncedModel, mapping: FieldMapping) -> str:
        """Return NPD's present value of a field, as displayed."""
        return self.display_local(record, mapping, field_values.local_values(record, mapping))

    def base_sides(self, record: SyncedModel, mapping: FieldMapping, base: Mapping[str, Any]) -> tuple[str, str]:
        """Return NPD's and Monday's value of a base, as displayed."""
        local = self.display_local(record, mapping, base["local"])
        converter = self.board.converter(mapping, record)
        try:
            return local, converter.display_remote(base["remote"])
        except UnknownValue:
            return local, NOT_KNOWN

    def display_local(self, record: SyncedModel, mapping: FieldMapping, raw: Local) -> str:
        """Return stored values of NPD, current or earlier ones, as displayed."""
        self._learn_names(raw)
        return field_values.display_local(self.board.converter(mapping, record), raw, NOT_KNOWN)

    def _learn_names(self, raw: Local) -> None:
        """Remember the related records' names, to display their items; the first one stays, the present name."""
        for value in raw.values():
            if isinstance(value, dict) and value.get("item"):
                self._names.setdefault(str(value["item"]), str(value.get("name") or ""))


def read_and_parse_input(converter: Converter, record: SyncedModel, fields: Sequence[str], text: str) -> dict[str, Any]:
    """Return the raw values for a typed text, outside a pass.

    Raises ValueError if the field or column doesn't accept the text, RelatedNotFound if not exactly one record has the
    name.
    """
    related: field_values.RelatedRecords = {}
    if relation := registry.relation_of(type(record), fields):
        related = read_related([field_values.reference_to(registry.target_of(relation), {"name": text})])
    return field_values.parse_input(converter, record, fields, text, related)


def read_and_resolve_relations(model: type[SyncedModel], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw values with existing related records, outside a pass; raises RelatedNotFound."""
    related = read_related(field_values.references_of(model, [raw]))
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
            converter = make_converter(mapping.converter, ConverterOptions(region=region))
            return str(converter.canonical_local({field: text}) or "")
    return text.strip()
