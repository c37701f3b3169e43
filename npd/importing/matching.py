"""Which record a row, or a cell that names one, is about: by the sync's own match rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower

from npd.importing.columns import FIELDS, MODELS
from sync import registry
from sync.connectors.monday.converters import converter
from sync.connectors.monday.converters.base import Options
from sync.engine.values import in_canonical_form
from sync.models import SyncedModel


def canonical(entity_type: str, field: str, value: Any) -> Any:
    """Return a field's value as the sync compares it; two values that are the same in this form are no change."""
    for mapping in registry.entity(entity_type).mappings:
        if mapping.fields == (field,) and mapping.converter in (
            "name",
            "email",
            "phone",
            "text",
            "long_text",
        ):
            return (
                converter(mapping.converter, Options(region=settings.DEFAULT_PHONE_REGION)).local(
                    {field: value}
                )
                or ""
            )
    return value.strip() if isinstance(value, str) else value


def records_of(entity_type: str) -> QuerySet[Any]:
    """Return the records with what their relations point at."""
    model: Any = MODELS[entity_type]
    relations = [name for name in FIELDS[entity_type] if model._meta.get_field(name).is_relation]
    records: QuerySet[Any] = model._default_manager.select_related(*relations).order_by("pk")
    return records


def by_id(entity_type: str, ids: Iterable[UUID]) -> dict[UUID, SyncedModel]:
    """Return the records with these ids."""
    return {record.pk: record for record in records_of(entity_type).filter(pk__in=list(ids))}


class Known:
    """The records whose field holds one of these texts, by the text in canonical form, and regardless of case."""

    def __init__(self, entity_type: str, field: str, texts: Iterable[str]) -> None:
        self.entity_type, self.field = entity_type, field
        self._exact: dict[str, list[SyncedModel]] = {}
        self._loose: dict[str, list[SyncedModel]] = {}
        keys = sorted({key for text in texts if (key := str(canonical(entity_type, field, text)))})
        compared = records_of(entity_type).annotate(match_key=Lower(in_canonical_form(field)))
        if not keys:
            return
        # Lowered by the database, whose idea of case depends on its locale; and as a list that it can hash.
        wanted = RawSQL("SELECT lower(wanted) FROM unnest(%s::text[]) AS wanted", [keys])
        for record in compared.filter(match_key__in=wanted):
            key = str(canonical(entity_type, field, getattr(record, field)))
            self._exact.setdefault(key, []).append(record)
            self._loose.setdefault(key.lower(), []).append(record)

    def key(self, text: str) -> str:
        """Return the text in canonical form."""
        return str(canonical(self.entity_type, self.field, text))

    def exactly(self, text: str) -> list[SyncedModel]:
        """Return the records with just this text."""
        return self._exact.get(self.key(text), [])

    def nearly(self, text: str) -> list[SyncedModel]:
        """Return those whose text differs in capital letters at most."""
        return self._loose.get(self.key(text).lower(), [])
