"""Converters by name: `converter("email", Options(region="GB"))`."""

from collections.abc import Callable, Mapping

from sync.connectors.monday.converters.address import AddressConverter
from sync.connectors.monday.converters.base import (
    CannotSplit,
    Canonical,
    Converter,
    Local,
    Options,
    UnknownValue,
)
from sync.connectors.monday.converters.checkbox import CheckboxConverter
from sync.connectors.monday.converters.country import CountryConverter
from sync.connectors.monday.converters.date import DateConverter
from sync.connectors.monday.converters.dropdown import DropdownConverter
from sync.connectors.monday.converters.elements import ListConverter
from sync.connectors.monday.converters.email import EmailConverter
from sync.connectors.monday.converters.link import LinkConverter
from sync.connectors.monday.converters.list_text import ListTextConverter
from sync.connectors.monday.converters.location import LocationConverter
from sync.connectors.monday.converters.numbers import NumbersConverter
from sync.connectors.monday.converters.people import PeopleConverter
from sync.connectors.monday.converters.phone import PhoneConverter
from sync.connectors.monday.converters.relation import RelationConverter, RelationNameConverter
from sync.connectors.monday.converters.status import StatusConverter
from sync.connectors.monday.converters.tags import TagsConverter
from sync.connectors.monday.converters.text import LongTextConverter, NameConverter, TextConverter

__all__ = [
    "CONVERTERS",
    "CannotSplit",
    "Canonical",
    "Converter",
    "ListConverter",
    "Local",
    "Options",
    "UnknownValue",
    "converter",
]

_MAKERS: Mapping[str, Callable[[Options], Converter]] = {
    "name": lambda _: NameConverter(),
    "text": lambda _: TextConverter(),
    "long_text": lambda _: LongTextConverter(),
    "email": lambda _: EmailConverter(),
    "phone": PhoneConverter,
    "address": lambda _: AddressConverter(),
    "link": lambda _: LinkConverter(),
    "status": StatusConverter,
    "dropdown": DropdownConverter,
    "date": lambda _: DateConverter(),
    "numbers": lambda _: NumbersConverter(),
    "checkbox": lambda _: CheckboxConverter(),
    "people": PeopleConverter,
    "country": lambda _: CountryConverter(),
    "location": lambda _: LocationConverter(),
    "relation": RelationConverter,
    "relation_name": lambda _: RelationNameConverter(),
    "tags": TagsConverter,
    "list_text": lambda _: ListTextConverter(),
}

CONVERTERS = tuple(_MAKERS)

_NOTHING_MORE = Options()


def converter(name: str, options: Options = _NOTHING_MORE) -> Converter:
    """The converter of that name; raises KeyError for an unknown one."""
    return _MAKERS[name](options)
