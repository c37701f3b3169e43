"""Which rules make sense for a field: lists can be united, nothing else can."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField

from sync import registry
from sync.choices import Rule
from sync.connectors.monday.converters import CONVERTERS, ListConverter, converter
from sync.models import FieldMapping


def rules_for(mapping: FieldMapping) -> list[Rule]:
    """Return the rules that a person may choose for this field, in the order in which they are offered."""
    return [rule for rule in Rule if rule is not Rule.UNION or is_list(mapping)]


def is_list(mapping: FieldMapping) -> bool:
    """Whether both sides hold a list: a column of labels over a plain text field holds one label, and is none."""
    if mapping.converter not in CONVERTERS or not isinstance(converter(mapping.converter), ListConverter):
        return False
    if mapping.converter != "dropdown":
        return True
    try:
        model = registry.entity(mapping.link.entity_type).model
    except registry.UnknownEntity:
        return False
    return all(isinstance(model._meta.get_field(name), ArrayField) for name in mapping.fields)
