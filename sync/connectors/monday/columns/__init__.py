"""Converters by name: `make_converter("email", ConverterOptions(region="GB"))`, and by the type of column."""

from collections.abc import Mapping

from sync.connectors.base.conversion import Converter, ConverterOptions, by_label
from sync.connectors.monday.columns.labels import (
    DropdownConverter,
    RelationConverter,
    RelationNameConverter,
    StatusConverter,
    current_labels,
)
from sync.connectors.monday.columns.places import AddressConverter, PhoneConverter
from sync.connectors.monday.columns.raw_values import MondayColumn
from sync.connectors.monday.columns.values import (
    CheckboxConverter,
    DateConverter,
    EmailConverter,
    LinkConverter,
    ListTextConverter,
    LongTextConverter,
    NameConverter,
    NumbersConverter,
    TextConverter,
)

COLUMN_CLASSES: tuple[type[MondayColumn], ...] = (
    *(NameConverter, TextConverter, LongTextConverter, EmailConverter, PhoneConverter, AddressConverter, LinkConverter),
    *(StatusConverter, DropdownConverter, DateConverter, NumbersConverter, CheckboxConverter, ListTextConverter),
    *(RelationConverter, RelationNameConverter),
)
"""Every converter; a new type of column is a class in the module of its family, and its name here."""

_BY_NAME = {column.name: column for column in COLUMN_CLASSES}
BY_TYPE: Mapping[str, type[MondayColumn]] = {column.column_type: column for column in reversed(COLUMN_CLASSES)}
"""Who speaks for each type of column: the first converter of it."""
CONVERTERS = tuple(_BY_NAME)
_NO_OPTIONS = ConverterOptions()


def make_converter(name: str, options: ConverterOptions = _NO_OPTIONS) -> Converter:
    """The converter of that name; raises KeyError for an unknown one."""
    convert = _BY_NAME[name](options)
    if not (options.choices and convert.shows_labels):
        return convert
    return by_label(convert, options.choices, current_labels(options.settings).values())
