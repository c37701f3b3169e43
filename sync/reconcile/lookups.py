"""Lookups in NPD's database for a pass: boards, records, edit times."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from django.conf import settings
from django.db import models
from django.db.models.expressions import Combinable

from sync import registry
from sync.kernel import grouped
from sync.models import BoardLink, FieldMapping, MondayAccount, SyncedModel, WebhookEvent
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.monday.texts import MATCH_KEY_SQL, match_key
from sync.reconcile import field_values
from sync.registry import name_field

# A board, as one pass uses it.


def load_board(
    link: BoardLink,
    mappings: Sequence[FieldMapping] | None = None,
    settings_now: field_values.PassSettings | None = None,
) -> field_values.BoardContext:
    """Read the link with its mappings, where these aren't given, and what their converters need to know."""
    if mappings is None:
        # A worker has the link for minutes: its settings are those of now, read in the same query.
        mappings = list(link.mappings.select_related("link"))
        link = registry.with_configured_board(mappings[0].link) if mappings else link
    return field_values.BoardContext(
        link, mappings, registry.entity(link.entity_type).model, settings_now or load_settings()
    )


def load_settings(converter: str = "phone") -> field_values.PassSettings:
    """Return the settings of the installation, with those of the account that this converter asks for."""
    asks_account = converter in ("phone", "date")
    rows = MondayAccount.objects.filter(id=1).only("phone_region", "time_zone", "user_id", "users")
    return settings_of(rows.first() if asks_account else None)


def settings_of(account: MondayAccount | None) -> field_values.PassSettings:
    """Return the settings of the installation, with those of the account, where it is known."""
    return field_values.PassSettings(
        region=(account.phone_region if account else "") or settings.DEFAULT_PHONE_REGION,
        time_zone=(account.time_zone if account else "") or "UTC",
        gone_quiet_seconds=float(settings.GONE_QUIET_SECONDS),
        tombstone_days=settings.TOMBSTONE_DAYS,
        loop_times=settings.LOOP_TIMES,
        new_item_wait_seconds=float(settings.NEW_ITEM_WAIT_SECONDS),
        journal_days=settings.JOURNAL_DAYS,
        token_user=account.user_id if account else "",
        people=account.users if account else {},
    )


def phone_region() -> str:
    """Return the country of phone numbers without one where the record says none: as chosen, else as proposed."""
    return load_settings().region


# Records, by what they say.


def match_key_of(text: str | Combinable) -> models.Func:
    """Return the database's `match_key` of a field or an expression, as sync/kernel/triggers.py uses it for names."""
    return models.Func(
        text, template=MATCH_KEY_SQL.replace("__TEXT__", "%(expressions)s"), output_field=models.TextField()
    )


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


def read_related(
    references: Iterable[field_values.Reference], already: field_values.RelatedRecords = MappingProxyType({})
) -> field_values.RelatedRecords:
    """Add the records that these name and that aren't known yet, in a query for each model and way of naming."""
    records: dict[field_values.Reference, Sequence[SyncedModel]] = {}
    wanted = set(references) - already.keys()
    for (by, model), of_kind in grouped(wanted, lambda reference: (reference.by, reference.model)).items():
        if by == "name":
            records |= _records_by_name(model, of_kind)
            continue
        rows = model._default_manager.filter(**{f"{by}__in": [reference.value for reference in of_kind]})
        by_value = {str(getattr(record, by)): (record,) for record in rows}
        records |= {reference: by_value.get(reference.value, ()) for reference in of_kind}
    # What is named by its item or name is written by its id.
    named = [(reference.model, record) for reference, hits in records.items() for record in hits]
    records |= {field_values.Reference(model, "pk", str(record.pk)): (record,) for model, record in named}
    return {**already, **records}


def _records_by_name(
    model: type[SyncedModel], references: Sequence[field_values.Reference]
) -> dict[field_values.Reference, Sequence[SyncedModel]]:
    names = sorted({reference.value for reference in references} - {""})
    field = name_field(model)
    records = list[SyncedModel]()
    if names and field is not None:
        named = model._default_manager.annotate(called=match_key_of(field))
        records = list(named.filter(called__in=[match_key(name) for name in names]))
    keyed = [(match_key(field_values.record_name(record)), record) for record in records]
    return {
        reference: [record for key, record in keyed if key == match_key(reference.value)] for reference in references
    }


def events_by_item(rows: Iterable[WebhookEvent]) -> dict[str, list[WebhookEvent]]:
    return grouped(rows, lambda event: event.item_id or "")
