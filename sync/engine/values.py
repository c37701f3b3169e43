"""A record's values as a base keeps them, and back into the fields of the model.

Raw values are JSON: text, true or false, a list of texts, a date and a number as text, and a related record as
`{"id": its uuid, "item": its item's id or None, "name": its name}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Func, TextField, Value

from sync import registry
from sync.models import FieldMapping, SyncedModel
from sync.triggers import NAME_AS_COMPARED

Raw: TypeAlias = Mapping[str, Any]
ModelField: TypeAlias = "models.Field[Any, Any]"


def raw_of(record: models.Model, mapping: FieldMapping | registry.MappingSpec) -> dict[str, Any]:
    """Return NPD's raw values of a mapping; a related record is read where it wasn't yet."""
    return raw_of_fields(record, mapping.fields)


def raw_of_fields(record: models.Model, fields: Iterable[str]) -> dict[str, Any]:
    """Return the raw values of these fields."""
    return {name: _raw(record, name) for name in fields}


def _raw(record: models.Model, name: str) -> Any:
    if record._meta.get_field(name).is_relation:
        return reference(getattr(record, name))
    return plain(getattr(record, name))


def plain(value: Any) -> Any:
    """Return a field's value as JSON can say it, nothing rounded."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)


def reference(record: models.Model | None) -> dict[str, Any] | None:
    """Return a related record as raw values name it."""
    if record is None:
        return None
    return {"id": str(record.pk), "item": getattr(record, "monday_id", None), "name": name_of(record)}


def name_of(record: models.Model) -> str:
    """Return the name by which a board's text column knows a record: the field that is its item's name."""
    field = registry.name_field(type(record)) if isinstance(record, SyncedModel) else None
    return str(getattr(record, field) if field else record)


def relation_of(model: type[models.Model], fields: Sequence[str]) -> ModelField | None:
    """Return the relation to another synced model that a mapping of these fields is, or None."""
    if len(fields) != 1:
        return None
    field: Any = model._meta.get_field(fields[0])
    target = field.related_model if field.many_to_one or field.one_to_one else None
    return field if isinstance(target, type) and issubclass(target, SyncedModel) else None


def target_of(field: ModelField) -> type[SyncedModel]:
    """Return the synced model to which a relation points."""
    return field.related_model  # type: ignore[return-value]


def cleaned(record: models.Model, raw: Raw) -> dict[str, Any]:
    """Return raw values as NPD's own fields take them; raises ValidationError.

    Of a related record only its absence is checked: that it is there has been looked up.
    """
    return {name: _cleaned(record, field_of(record, name), value) for name, value in raw.items()}


def _cleaned(record: models.Model, field: ModelField, value: Any) -> Any:
    if not field.is_relation:
        return plain(field.clean(_filled(field, value), record))
    if value is None and not field.null:
        raise ValidationError(str(field.error_messages["null"]))
    return value


def _filled(field: ModelField, value: Any) -> Any:
    """An empty value in the form that the field keeps."""
    if value not in (None, "", []):
        return value
    if isinstance(field, ArrayField):
        return []
    if isinstance(field, models.BooleanField):
        return None if field.null else False
    if isinstance(field, models.CharField | models.TextField) and not field.null:
        return ""
    return None


def field_of(record: models.Model | type[models.Model], name: str) -> ModelField:
    """Return a model's field by name."""
    return record._meta.get_field(name)  # type: ignore[return-value]


def to_store(model: type[models.Model], raw: Raw) -> dict[str, Any]:
    """Return cleaned raw values as an UPDATE takes them, by the names of the columns' attributes."""
    stored: dict[str, Any] = {}
    for name, value in raw.items():
        field = field_of(model, name)
        if field.is_relation:
            stored[field.attname] = UUID(value["id"]) if value else None
        else:
            stored[name] = field.to_python(_filled(field, value))
    return stored


def still_holds(record: models.Model, raw: Raw) -> bool:
    """Whether the record's fields hold just these raw values; related records are compared by id, not read."""
    for name, value in raw.items():
        field = field_of(record, name)
        now = getattr(record, field.attname)
        if field.is_relation:
            if (str(now) if now else None) != (value["id"] if value else None):
                return False
        elif plain(now) != value:
            return False
    return True


def name_as_compared(field: str) -> Func:
    """A record's name as relations compare it, white space folded; the triggers in sync/triggers.py do the same."""
    return Func(
        F(field), template=NAME_AS_COMPARED.replace("__NAME__", "%(expressions)s"), output_field=TextField()
    )


def in_canonical_form(field: str) -> Func:
    """The field as the merge compares texts, whatever form it is stored in."""
    composed = Func(F(field), function="normalize", output_field=TextField())
    return Func(composed, Value(" \t\n\r\f\v\u00a0"), function="btrim", output_field=TextField())
