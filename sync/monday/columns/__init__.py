"""Converters by name, such as `make_converter("email", ConverterOptions(region="GB"))`, and by the type of column."""

from collections.abc import Mapping
from typing import Any

from sync.monday.board_items import Reading
from sync.monday.columns import addresses, labels, phones, relations, values
from sync.monday.conversion import Converter, ConverterOptions, ListConverter

_CLASSES: tuple[type[Converter], ...] = (
    values.NameConverter,
    values.TextConverter,
    values.LongTextConverter,
    values.ListTextConverter,
    values.DateConverter,
    values.NumbersConverter,
    values.CheckboxConverter,
    addresses.EmailConverter,
    addresses.LinkConverter,
    phones.PhoneConverter,
    addresses.AddressConverter,
    labels.StatusConverter,
    labels.DropdownConverter,
    relations.RelationConverter,
    relations.RelationNameConverter,
)

# By their names in mappings.
CONVERTERS: Mapping[str, type[Converter]] = {column.name: column for column in _CLASSES}
# The first converter for each type of column.
BY_TYPE: Mapping[str, type[Converter]] = {column.column_type: column for column in reversed(_CLASSES)}
_NO_OPTIONS = ConverterOptions()


def make_converter(name: str, options: ConverterOptions = _NO_OPTIONS) -> Converter:
    """Return the converter with this name, for a field with choices one that sends their labels; raises KeyError."""
    converter = CONVERTERS[name](options)
    if not (options.choices and converter.sends_choice_labels):
        return converter
    kind = labels.ChoiceListConverter if isinstance(converter, ListConverter) else labels.ChoiceConverter
    return kind(converter, labels.FieldChoices(options.choices))


def selectable_labels(column_type: str, settings: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the labels that can be chosen in a column with these settings; None if its type has none."""
    column = BY_TYPE.get(column_type)
    return frozenset(labels.current_labels(settings).values()) if column and column.has_labels else None


def empty_reading(column_id: str, column_type: str) -> Reading:
    """Return the reading of an empty cell."""
    column = BY_TYPE.get(column_type)
    return Reading(column_id, column_type, text="", extra=column.empty_fields if column else {})
