"""Lookups in NPD's database for a pass: boards, records, edit times; and how pages show a record's fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Func, TextField, prefetch_related_objects
from django.db.models.expressions import Combinable

from sync import registry
from sync.clock import SyncNow
from sync.models import BoardLink, FieldMapping, MondayAccount, SyncedModel, SyncMetadata, WebhookEvent
from sync.monday.board import EventKind
from sync.monday.columns import make_converter
from sync.monday.conversion import Converter, ConverterOptions, UnknownValue
from sync.monday.texts import MATCH_KEY_SQL, match_key
from sync.reconcile.facts import RecordFacts, change_events
from sync.reconcile.field_values import (
    ACTIVE,
    NOTHING_RELATED,
    BoardContext,
    Reference,
    RelatedFacts,
    Settings,
    converter_options,
    parse_input,
    record_name,
    references_of,
    related_name,
    stored_values,
)
from sync.reconcile.pass_plan import EditFacts
from sync.records.authors import latest_edits
from sync.registry import link_of, name_field

# A board, as one pass uses it.


def load_board(
    link: BoardLink, mappings: Sequence[FieldMapping] | None = None, settings_now: Settings | None = None
) -> BoardContext:
    """Read the link's mappings and filter, where they aren't given, and what their converters need to know."""
    if mappings is None:
        # A worker has the link for minutes: filter and hold are those of now, read in the same query.
        mappings = list(link.mappings.annotate(filter_now=F("link__sync_filter"), held_now=F("link__creates_held")))
        if mappings:
            link.sync_filter = getattr(mappings[0], "filter_now")  # noqa: B009 - untyped
            link.creates_held = getattr(mappings[0], "held_now")  # noqa: B009
    return BoardContext(link, mappings, registry.entity(link.entity_type).model, settings_now or load_settings())


def load_settings(converter: str = "phone") -> Settings:
    """Return the settings of the installation, with those of the account that this converter asks for."""
    asks_account = converter in ("phone", "date")
    rows = MondayAccount.objects.filter(id=1).only("phone_region", "time_zone", "user_id")
    return settings_of(rows.first() if asks_account else None)


def settings_of(account: MondayAccount | None) -> Settings:
    """Return the settings of the installation, with those of the account, where it is known."""
    return Settings(
        region=(account.phone_region if account else "") or settings.DEFAULT_PHONE_REGION,
        time_zone=(account.time_zone if account else "") or "UTC",
        gone_quiet_seconds=float(settings.GONE_QUIET_SECONDS),
        tombstone_days=settings.TOMBSTONE_DAYS,
        loop_times=settings.LOOP_TIMES,
        new_item_wait_seconds=float(settings.NEW_ITEM_WAIT_SECONDS),
        journal_days=settings.JOURNAL_DAYS,
        token_user=account.user_id if account else "",
    )


def phone_region() -> str:
    """Return the country of phone numbers without one where the record says none: as chosen, else as proposed."""
    return load_settings().region


def converter_for(mapping: FieldMapping, record: SyncedModel) -> Converter:
    """Return the converter for one record's field outside a pass, as pages need it."""
    options = converter_options(mapping, type(record), record.sync_region(), load_settings(mapping.converter), {})
    return make_converter(mapping.converter, options)


# Records, by what they say.


def match_key_of(text: str | Combinable) -> Func:
    """The database's `match_key` of a field or an expression; sync/kernel/triggers.py compares names by the same."""
    return Func(text, template=MATCH_KEY_SQL.replace("__TEXT__", "%(expressions)s"), output_field=TextField())


def canonical_value(entity_type: str, field: str, value: Any, region: str = "") -> Any:
    """Return a field's value as the sync compares it; two values equal in this form are no change.

    `region` is the country of phone numbers without one, where the record or the caller knows it.
    """
    for mapping in registry.entity(entity_type).mappings:
        if mapping.fields == (field,) and mapping.converter in ("name", "email", "phone", "text", "long_text"):
            region = region or (phone_region() if mapping.converter == "phone" else settings.DEFAULT_PHONE_REGION)
            convert = make_converter(mapping.converter, ConverterOptions(region=region))
            return convert.local({field: value}) or ""
    return value.strip() if isinstance(value, str) else value


def complete_phone(text: str, country: str = "", known_region: str = "") -> str:
    """Return a typed phone number with its country, that of the record or else the installation's (`known_region`).

    Raises ValueError, with a sentence, where it is no number of that country, or that is no known country, as any
    prefix would be a guess.
    """
    # A number with a plus says its country itself.
    region = settings.DEFAULT_PHONE_REGION if text.startswith("+") else country or known_region or phone_region()
    convert = make_converter("phone", ConverterOptions(region=region))
    return convert.from_text(text, {"phone": text})["phone"] or ""


# Related records and edit times, read for all records of a pass together.


def item_names(board: BoardContext, related: RelatedFacts, records: Iterable[RecordFacts]) -> dict[str, str]:
    """Return by whose names items are shown: of NPD's values, of the ones last agreed, of those on Monday. Pure."""
    names: dict[str, str] = {}
    keys = [(mapping, mapping.fields[0]) for mapping, _ in board.relations]
    for facts in records:
        for mapping, name in keys:
            base = facts.ledger.base.get(mapping.key)
            for raw in (stored_values(facts.record, mapping), base["local"] if base else {}):
                reference = raw.get(name)
                if isinstance(reference, dict) and reference.get("item"):
                    names.setdefault(str(reference["item"]), str(reference["name"]))
    for reference, records_found in related.records.items():
        if reference.by == "monday_id" and records_found:
            names[reference.value] = record_name(records_found[0])
    return names


def read_related(references: Iterable[Reference], already: RelatedFacts = NOTHING_RELATED) -> RelatedFacts:
    """Read the records that these name and that aren't known yet, in a query for each model and way of naming."""
    by_kind: dict[tuple[str, type[SyncedModel]], list[Reference]] = {}
    for reference in set(references) - already.records.keys():
        by_kind.setdefault((reference.by, reference.model), []).append(reference)
    records: dict[Reference, Sequence[SyncedModel]] = {}
    for (by, model), of_kind in by_kind.items():
        records |= _records_by_name(model, of_kind) if by == "name" else _records_by(by, model, of_kind)
    # What is named by its item or name is written by its id.
    named = [(reference.model, record) for reference, hits in records.items() for record in hits]
    records |= {Reference(model, "pk", str(record.pk)): (record,) for model, record in named}
    return replace(already, records={**already.records, **records})


def resolve_related(model: type[SyncedModel], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw values whose related records are ones that are there, outside a pass; raises RelatedNotFound."""
    return read_related(references_of(model, [raw])).resolve(model, raw)


def typed_value(convert: Converter, record: SyncedModel, fields: Sequence[str], text: str) -> dict[str, Any]:
    """Return the raw values for a typed text outside a pass; raises as parse_input does."""
    named = references_of(type(record), [{fields[0]: {"name": text}}]) if len(fields) == 1 else ()
    return parse_input(convert, record, fields, text, read_related(named))


def _records_by(
    field: str, model: type[SyncedModel], references: Sequence[Reference]
) -> dict[Reference, Sequence[SyncedModel]]:
    records = model._default_manager.filter(**{f"{field}__in": [reference.value for reference in references]})
    by_value = {str(getattr(record, field)): record for record in records}
    return {reference: [by_value[reference.value]] if reference.value in by_value else [] for reference in references}


def _records_by_name(
    model: type[SyncedModel], references: Sequence[Reference]
) -> dict[Reference, Sequence[SyncedModel]]:
    names = sorted({reference.value for reference in references} - {""})
    field = name_field(model)
    records = list[SyncedModel]()
    if names and field is not None:
        named = model._default_manager.annotate(called=match_key_of(field))
        records = list(named.filter(called__in=[match_key(name) for name in names]))
    keyed = [(match_key(record_name(record)), record) for record in records]
    return {
        reference: [record for key, record in keyed if key == match_key(reference.value)] for reference in references
    }


def items_told_removed(model: type[SyncedModel], items: Collection[str]) -> set[str]:
    """Return which of these items a pass or a webhook said to be gone from their board; of others Monday can tell."""
    owners = dict(model._default_manager.filter(monday_id__in=items).values_list("pk", "monday_id"))
    ledgers = SyncMetadata.objects.of(model.entity_type(), owners).exclude(remote_state__in=("", ACTIVE))
    removed = {str(owners[key]) for key in map(UUID, ledgers.values_list("entity_id", flat=True))}
    events = WebhookEvent.objects.filter(item_id__in=set(items) - removed, processed_at=None)
    taken = events.of_kind(EventKind.ARCHIVED, EventKind.DELETED).values_list("item_id", flat=True)
    return removed | {str(item_id) for item_id in taken}


def events_by_item(rows: Iterable[WebhookEvent]) -> dict[str, list[WebhookEvent]]:
    events: dict[str, list[WebhookEvent]] = {}
    for row in rows:
        events.setdefault(row.item_id or "", []).append(row)
    return events


def read_edits(board: BoardContext, records: Mapping[UUID, SyncedModel]) -> EditFacts:
    """Read when these records' fields were edited on both sides: three queries for all of them."""
    history = latest_edits(board.model, records)
    items = [record.monday_id for record in records.values() if record.monday_id]
    events = WebhookEvent.objects.filter(
        item_id__in=items,
        board_id=board.link.board_id,
        received_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    )
    by_item = events_by_item(events) if items else {}
    changes: dict[UUID, Sequence[Any]] = {
        pk: change_events(board, record, by_item.get(record.monday_id or "", ())) for pk, record in records.items()
    }
    return EditFacts({pk: history.get(pk, []) for pk in records}, changes)


# The values of a record's fields as pages show them, outside a pass.


NOT_KNOWN = "(not known)"


def display_of(record: SyncedModel) -> FieldDisplay | None:
    """Return how a record's fields are shown; None where its type has no board."""
    link = link_of(record.entity_type())
    return FieldDisplay(link, list(link.mappings.all()), [record]) if link else None


class FieldDisplay:
    """What the fields of some records of one model say; asks for their relations in one query each."""

    def __init__(
        self,
        link: BoardLink,
        mappings: Sequence[FieldMapping],
        records: Sequence[SyncedModel],
        settings_now: Settings | None = None,
    ) -> None:
        board = load_board(link, mappings, settings_now)
        self._names = dict[str, str]()
        self.board = replace(board, item_names=self._names)
        prefetch_related_objects(list(records), *self.board.joined_relations)

    def sides(self, record: SyncedModel, mapping: FieldMapping, base: Mapping[str, Any] | None) -> tuple[str, str, str]:
        """Return NPD's value now and both halves of the base, as a person reads them."""
        convert = self.board.converter(mapping, record)
        now = stored_values(record, mapping)
        self._learn_names(now, base["local"] if base else {})
        local = self._display_local(convert, now)
        remote = NOT_KNOWN
        if base is None:
            return local, "", ""
        with suppress(UnknownValue):
            remote = convert.display(convert.remote(base["remote"]))
        return local, self._display_local(convert, base["local"]), remote

    def local(self, record: SyncedModel, mapping: FieldMapping, raw: Mapping[str, Any]) -> str:
        """Return raw values of NPD's, of now or of another time, as a person reads them."""
        self._learn_names(raw)
        return related_name(dict(raw)) or self._display_local(self.board.converter(mapping, record), dict(raw))

    def spelling(self, record: SyncedModel, name: str, text: str) -> str:
        """Return a text of one of NPD's fields as both sides' are shown, where that typed in would say the same."""
        mapping = self._by_field.get(name)
        if mapping is None or not text:
            return text
        raw = {name: text}
        convert = self.board.converter(mapping, record)
        with suppress(UnknownValue, ValueError):
            canonical = convert.local(raw)
            shown = {name: convert.display(canonical)}
            if convert.from_text(shown[name], raw) == shown and convert.local(shown) == canonical:
                return shown[name]
        return text

    def spellings(self, record: SyncedModel) -> dict[str, str]:
        """Return those of its texts that are stored in another spelling than they are shown in, as shown."""
        stored = {name: getattr(record, name) for name in self._by_field}
        texts = {name: self.spelling(record, name, text) for name, text in stored.items() if isinstance(text, str)}
        return {name: text for name, text in texts.items() if text != stored[name]}

    @cached_property
    def _by_field(self) -> Mapping[str, FieldMapping]:
        return {mapping.fields[0]: mapping for mapping in self.board.mappings if len(mapping.fields) == 1}

    def _learn_names(self, *raws: Mapping[str, Any]) -> None:
        """Items of related records are shown by these records' names."""
        for value in (value for raw in raws for value in raw.values()):
            if isinstance(value, dict) and value.get("item"):
                self._names[str(value["item"])] = str(value.get("name") or "")

    def _display_local(self, convert: Converter, raw: dict[str, Any]) -> str:
        try:
            return convert.display(convert.local(raw))
        except UnknownValue:
            return related_name(raw) or NOT_KNOWN
