"""A place and a location column: latitude and longitude with an address, in three fields or one text."""

import re
from decimal import Decimal
from typing import Any, NamedTuple

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    event_value,
    folded,
    object_in,
    only_text,
    shown_value,
    unreadable,
    words,
)
from sync.connectors.monday.converters.numbers import canonical_number, number_text
from sync.connectors.monday.items import Reading

_DECIMAL = r"[+-]?[0-9]{1,3}(?:\.[0-9]{0,30})?"
_COORDINATE = re.compile(rf"{_DECIMAL}\Z")
_PLACE = re.compile(rf"({_DECIMAL})[ ,]+({_DECIMAL})(?:[ ,]+(.+))?\Z")
_NO_ADDRESS = "unknown"  # what Monday shows where none was given (reference/location)
_MISSING = "?"
_LAT = frozenset({"lat", "latitude"})
_LNG = frozenset({"lng", "lon", "long", "longitude"})


class _Place(NamedTuple):
    """Texts in canonical form; None where there is nothing."""

    lat: str | None
    lng: str | None
    address: str | None

    def text(self) -> str | None:
        if self.lat is None and self.lng is None:
            return self.address
        return " ".join([self.lat or _MISSING, self.lng or _MISSING, *filter(None, [self.address])])


class LocationConverter(Plain):
    """What a base keeps is `{"lat", "lng", "address"}`, or None for an empty cell.

    NPD has three fields, latitude, longitude and address (told apart by their names), or one text with all of
    them, such as "29.9772 31.1325 Giza". Monday needs latitude and longitude together, and holds no address
    without them (developer.monday.com/api-reference/reference/location).
    """

    column_type = "location"

    def local(self, raw: Local) -> Canonical:
        return _place_of(raw).text()

    def remote(self, raw: Any) -> Canonical:
        return _there(raw).text()

    def raw_of(self, reading: Reading) -> Any:
        place = _there(shown_value(reading, "location"))
        return place._asdict() if place.text() is not None else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        place = _place_of(raw_local)
        if place.text() is None:
            return None
        if reason := self.limit(raw_local):
            raise UnknownValue(reason)
        return {key: text for key, text in place._asdict().items() if text is not None}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        place, current = _there(remote_raw), _place_of(current_local)
        if place.text() == current.text():
            return dict(current_local)
        if len(current_local) == 1:
            return dict.fromkeys(current_local, place.text())
        parts = zip(_names(current_local), place, current, strict=True)
        return {name: current_local[name] if new == before else new for name, new, before in parts}

    def from_text(self, text: str, current_local: Local) -> Local:
        place = _parsed(text)
        fields = dict.fromkeys(current_local, place.text())
        if len(current_local) == 3:
            fields = dict(zip(_names(current_local), place, strict=True))
        if place.text() is not None and _problem(place):
            raise ValueError(
                f"{folded(text)} is not a place; type latitude, longitude and address: 29.98 31.13 Giza."
            )
        return fields

    def limit(self, raw_local: Local) -> str | None:
        place = _place_of(raw_local)
        problem = _problem(place) if place.text() is not None else None
        return f"{words(min(raw_local))}: {problem}" if problem else None

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, "location"))


def _place_of(raw: Local) -> _Place:
    if len(raw) == 1:
        return _parsed(only_text(raw)[1])
    lat, lng, address = (raw[name] for name in _names(raw))
    return _place(number_text(lat), number_text(lng), address)


def _names(raw: Local) -> list[str]:
    """The fields of latitude, longitude and address, by their names: a base doesn't keep an order."""
    lat = [name for name in raw if _LAT & set(name.split("_"))]
    lng = [name for name in raw if _LNG & set(name.split("_"))]
    others = [name for name in raw if name not in lat + lng]
    if (len(lat), len(lng), len(others)) != (1, 1, 1):
        raise ValueError(
            "A location takes one field, or three: one with “lat” or “latitude” in its name, one with “lng”, “lon” "
            f"or “longitude”, and one for the address; not {', '.join(raw)}."
        )
    return [*lat, *lng, *others]


def _parsed(text: str | None) -> _Place:
    plain = folded(text)
    parts = _PLACE.match(plain) if plain else None
    return _place(*parts.groups()) if parts else _place(None, None, plain)


def _there(raw: Any) -> _Place:
    value = object_in(raw)
    if not value:
        return _Place(None, None, None)
    place = _place(number_text(value.get("lat")), number_text(value.get("lng")), value.get("address"))
    if place.lat is None or place.lng is None:
        raise unreadable(raw)
    return place


def _place(lat: str | None, lng: str | None, address: Any) -> _Place:
    if address is not None and not isinstance(address, str):
        raise unreadable(address)
    # Separators before an address would be taken for those behind the longitude.
    where = folded((folded(address) or "").lstrip(" ,"))
    return _Place(canonical_number(lat), canonical_number(lng), None if where == _NO_ADDRESS else where)


def _problem(place: _Place) -> str | None:
    """Why Monday can't hold this place, or None."""
    if place.lat is None or place.lng is None:
        return "Monday holds a place only with its latitude and longitude"
    for text, name in ((place.lat, "latitude"), (place.lng, "longitude")):
        if not _COORDINATE.match(text):
            return f"“{text}” is not a {name} in degrees"
    if abs(Decimal(place.lat)) >= 90:
        return f"the latitude {place.lat} is not between -90 and 90"
    return f"the longitude {place.lng} is not within -180 and 180" if abs(Decimal(place.lng)) > 180 else None
