"""Converters by name: `converter("email")`."""

from sync.connectors.monday.converters.address import AddressConverter
from sync.connectors.monday.converters.base import CannotSplit, Canonical, Converter, Local, UnknownValue
from sync.connectors.monday.converters.email import EmailConverter
from sync.connectors.monday.converters.phone import PhoneConverter
from sync.connectors.monday.converters.text import LongTextConverter, NameConverter, TextConverter

__all__ = ["CONVERTERS", "CannotSplit", "Canonical", "Converter", "Local", "UnknownValue", "converter"]

CONVERTERS = ("name", "text", "long_text", "email", "phone", "address")


def converter(name: str, *, default_region: str = "US") -> Converter:
    """The converter of that name.

    `default_region` is the two-letter country of telephone numbers without one. Raises KeyError for an
    unknown name.
    """
    made: dict[str, Converter] = {
        "name": NameConverter(),
        "text": TextConverter(),
        "long_text": LongTextConverter(),
        "email": EmailConverter(),
        "phone": PhoneConverter(default_region),
        "address": AddressConverter(),
    }
    return made[name]
