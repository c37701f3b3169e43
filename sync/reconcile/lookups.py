"""Reads boards, settings and related records from NPD's database, for passes and pages."""

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
from sync.reconcile.field_values import BoardContext
from sync.registry import name_field


def load_board(
    link: BoardLink,
    mappings: Sequence[FieldMapping] | None = None,
    settings_now: field_values.PassSettings | None = None,
) -> BoardContext:
    """Return the board with its mappings and settings; both are read unless they are passed in."""
    if mappings is None:
        # A worker keeps the link for minutes: this query reads its present settings too.
        mappings = list(link.mappings.select_related("link"))
        link = registry.with_configured_board(mappings[0].link) if mappings else link
    return BoardContext(link, mappings, registry.entity(link.entity_type).model, settings_now or load_settings())


def load_settings(converter: str = "phone") -> field_values.PassSettings:
    """Return the settings of the installation, and those of the account if this converter needs them."""
    asks_account = converter in ("phone", "date")
    rows = MondayAccount.objects.filter(id=1).only("phone_region", "time_zone", "user_id", "users")
    return settings_of(rows.first() if asks_account else None)


def settings_of(account: MondayAccount | None) -> field_values.PassSettings:
    """Return the settings of the installation and, if there is one, of the account."""
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
    """Return the country of phone numbers if neither the number nor its record names one."""
    return load_settings().region


def match_key_of(text: str | Combinable) -> models.Func:
    """Return the SQL `match_key` of a field or an expression; sync/kernel/triggers.py uses the same for names."""
    return models.Func(
        text, template=MATCH_KEY_SQL.replace("__TEXT__", "%(expressions)s"), output_field=models.TextField()
    )


def complete_phone(text: str, country: str = "", known_region: str = "") -> str:
    """Return a typed phone number with a country: the record's, or else the installation's (`known_region`).

    Raises ValueError, with a sentence, if the number isn't valid in that country, or the country is unknown.
    """
    # A number with a plus has its country.
    region = settings.DEFAULT_PHONE_REGION if text.startswith("+") else country or known_region or phone_region()
    convert = make_converter("phone", ConverterOptions(region=region))
    return convert.from_text(text, {"phone": text})["phone"] or ""


def read_related(
    references: Iterable[field_values.Reference], already: field_values.RelatedRecords = MappingProxyType({})
) -> field_values.RelatedRecords:
    """Add the records that these references name to those in `already`, in a query for each model and key."""
    records: dict[field_values.Reference, Sequence[SyncedModel]] = {}
    wanted = set(references) - already.keys()
    for (by, model), group in grouped(wanted, lambda reference: (reference.by, reference.model)).items():
        if by == "name":
            names = sorted({reference.value for reference in group} - {""})
            field = name_field(model)
            named_records = list[SyncedModel]()
            if names and field is not None:
                keyed = model._default_manager.annotate(name_key=match_key_of(field))
                named_records = list(keyed.filter(name_key__in=[match_key(name) for name in names]))
            by_key = grouped(named_records, lambda record: match_key(field_values.record_name(record)))
            records |= {reference: by_key.get(match_key(reference.value), []) for reference in group}
            continue
        rows = model._default_manager.filter(**{f"{by}__in": [reference.value for reference in group]})
        by_value = {str(getattr(record, by)): (record,) for record in rows}
        records |= {reference: by_value.get(reference.value, ()) for reference in group}
    # Records that are referenced by item or name are written by id.
    named = [(reference.model, record) for reference, hits in records.items() for record in hits]
    records |= {field_values.Reference(model, "pk", str(record.pk)): (record,) for model, record in named}
    return {**already, **records}


def events_by_item(rows: Iterable[WebhookEvent]) -> dict[str, list[WebhookEvent]]:
    return grouped(rows, lambda event: event.item_id or "")
