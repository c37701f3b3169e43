"""Converters by name: `make_converter("email", ConverterOptions(region="GB"))`, and by the type of column."""

from collections.abc import Mapping
from typing import Any

from sync.monday.board_items import Reading
from sync.monday.columns.labels import (
    DropdownConverter,
    RelationConverter,
    RelationNameConverter,
    StatusConverter,
    current_labels,
)
from sync.monday.columns.places import AddressConverter, PhoneConverter
from sync.monday.columns.raw_values import MondayColumn
from sync.monday.columns.values import (
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
from sync.monday.conversion import Converter, ConverterOptions, by_label

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
DISTINCTIVE_TYPES = frozenset(kind for kind, column in BY_TYPE.items() if column.is_distinctive)
"""Types of which a board's only column is most likely the one that is looked for."""
MULTILINE_CONVERTERS = frozenset(column.name for column in COLUMN_CLASSES if column.is_multiline)
"""Converters whose values are mostly of several lines."""
_NO_OPTIONS = ConverterOptions()


def make_converter(name: str, options: ConverterOptions = _NO_OPTIONS) -> Converter:
    """The converter of that name; raises KeyError for an unknown one."""
    convert = _BY_NAME[name](options)
    if not (options.choices and convert.shows_labels):
        return convert
    return by_label(convert, options.choices, current_labels(options.settings).values())


def selectable_labels(column_type: str, settings: Mapping[str, Any]) -> frozenset[str] | None:
    """The labels that can be chosen in a column with these settings; None where its type has none."""
    column = BY_TYPE.get(column_type)
    return frozenset(current_labels(settings).values()) if column and column.has_labels else None


def empty_reading(column_id: str, column_type: str) -> Reading:
    """How an empty cell of a column reads."""
    column = BY_TYPE.get(column_type)
    return Reading(column_id, column_type, text="", extra=column.empty_fields if column else {})
