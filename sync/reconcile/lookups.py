"""Reads boards, settings and related records from NPD's database, for passes and pages."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from django.conf import settings
from django.db import models
from django.db.models.expressions import Combinable

from sync import registry
from sync.kernel import grouped
from sync.models import BoardLink, FieldMapping, MondayAccount, SyncedModel
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.monday.texts import MATCH_KEY_SQL, match_key
from sync.reconcile import field_values
from sync.reconcile.field_values import BoardContext
from sync.registry import name_field


def load_board(link: BoardLink, pass_settings: field_values.PassSettings | None = None) -> BoardContext:
    """Read the board with its mappings and, unless they are passed in, its settings.

    The link is read with its mappings, in one query, because a worker keeps a link for minutes. A board without
    mappings keeps the link that was passed in; nothing of it is synced.
    """
    mappings = list(FieldMapping.objects.filter(link=link.pk).select_related("link"))
    link = registry.with_configured_board(mappings[0].link) if mappings else link
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


def match_key_sql(field: str | Combinable) -> models.Func:
    """Return the SQL that computes `match_key` of a field, named by its name or an expression.

    sync/kernel/triggers.py uses the same SQL for names.
    """
    return models.Func(
        field, template=MATCH_KEY_SQL.replace("__TEXT__", "%(expressions)s"), output_field=models.TextField()
    )


def complete_phone(text: str, country: str = "", known_region: str = "") -> str:
    """Return a typed phone number with a country: that of the record, `country`, or else the installation's.

    `known_region` is the installation's, if the caller has read it already. Raises ValueError, with a sentence, if the
    number isn't valid in that country, or the country is unknown.
    """
    # A number with a plus has its country, so any region will do, and none is queried.
    region = settings.DEFAULT_PHONE_REGION if text.startswith("+") else country or known_region or phone_region()
    convert = make_converter("phone", ConverterOptions(region=region))
    return convert.from_text(text, {"phone": ""})["phone"] or ""  # {"phone": ""} only names the field


def read_related(
    references: Iterable[field_values.Reference], already: field_values.RelatedRecords = MappingProxyType({})
) -> field_values.RelatedRecords:
    """Add the records that these references name to those in `already`, in a query for each model and key."""
    related: dict[field_values.Reference, Sequence[SyncedModel]] = {}
    wanted = set(references) - already.keys()
    for (by, model), group in grouped(wanted, lambda reference: (reference.by, reference.model)).items():
        if by != "name":
            records = model._default_manager.filter(**{f"{by}__in": [reference.value for reference in group]})
            by_value = {str(getattr(record, by)): [record] for record in records}
            related |= {reference: by_value.get(reference.value, []) for reference in group}
            continue
        # By name: all records whose name has the same match key.
        keys = {reference: match_key(reference.value) for reference in group}
        filled_keys = sorted(set(keys.values()) - {""})
        field = name_field(model)
        namesakes = list[SyncedModel]()
        if filled_keys and field is not None:
            with_key = model._default_manager.annotate(name_key=match_key_sql(field))
            namesakes = list(with_key.filter(name_key__in=filled_keys))
        by_key = grouped(namesakes, lambda record: match_key(field_values.record_name(record)))
        related |= {reference: by_key.get(key, []) for reference, key in keys.items()}
    # A reference by item or name becomes one by id once its value is decided, and that one is looked up here, too.
    by_id = {
        field_values.Reference(reference.model, "pk", str(record.pk)): [record]
        for reference, records in related.items()
        for record in records
    }
    return {**already, **related, **by_id}
