"""Countries and locations."""

import functools
import math
import re
from typing import Any

from phonenumbers.geodata.locale import LOCALE_DATA

from sandbox.columns.base import EMPTY_OBJECT, ColumnKind, Writing, text_in
from sandbox.model import Column

UNKNOWN = "unknown"
NUMBER = re.compile(r"-?\d{1,3}(\.\d{1,20})?")


@functools.cache
def countries() -> dict[str, str]:
    """English names by code of two letters."""
    found = {}
    for code, names in LOCALE_DATA.items():
        name = names.get("en", "")
        found[code] = names.get(name[1:], "") if name.startswith("*") else name
    return {code: name for code, name in found.items() if name and len(code) == 2}


class Country(ColumnKind):
    """A country by code and name (developer.monday.com/api-reference/reference/country)."""

    type = old_type = "country"
    graphql_type = "CountryValue"
    clearings = EMPTY_OBJECT

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        code, name = text_in(self, given, "countryCode"), text_in(self, given, "countryName")
        if not code and not name:
            return None
        if code not in countries():
            raise self.bad('"countryCode" must be a country code of two capital letters')
        if not name:
            raise self.bad('"countryName" must be a country\'s name')
        return {"countryCode": code, "countryName": name, "changed_at": writing.stamp}

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        """A person chooses from the list: by name or code."""
        words = text.strip()
        if not words:
            return None
        for code, name in countries().items():
            if words.casefold() in (name.casefold(), code.casefold()):
                return self.parse_object(column, {"countryCode": code, "countryName": name}, writing)
        raise self.bad(f"{words} is no country of the list")

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["countryName"]) if raw else ""

    def choices(self, column: Column, raw: Any) -> set[str]:
        return {raw["countryCode"]} if raw else set()

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"country": {"code": raw["countryCode"], "name": raw["countryName"]} if raw else None}


class Location(ColumnKind):
    """A point with an address that nobody checks (developer.monday.com/api-reference/reference/location).

    Latitudes lie between -90 and 90, both excluded; longitudes from -180 to 180. Filters can't see it.
    """

    type = old_type = "location"
    graphql_type = "LocationValue"
    clearings = EMPTY_OBJECT
    filterable = False

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        lat, _, rest = text.strip().partition(" ")
        lng, _, address = rest.strip().partition(" ")
        return self._value(lat, lng, address.strip(), writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self._value(given.get("lat"), given.get("lng"), text_in(self, given, "address"), writing)

    def _value(self, lat: Any, lng: Any, address: str, writing: Writing) -> Any:
        north, east = self._degrees(lat, "lat"), self._degrees(lng, "lng")
        if not -90 < north < 90:
            raise self.bad("the latitude must be between -90 and 90")
        if not -180 <= east <= 180:
            raise self.bad("the longitude must be between -180 and 180")
        return {
            "lat": str(lat),
            "lng": str(lng),
            "address": address or UNKNOWN,
            "changed_at": writing.stamp,
        }

    def _degrees(self, given: Any, key: str) -> float:
        number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
        if not number and not (isinstance(given, str) and NUMBER.fullmatch(given)):
            raise self.bad(f'"{key}" must be a number of degrees')
        return float(given)

    def same(self, one: Any, other: Any) -> bool:
        if one is None or other is None:
            return one is other
        return bool(_point(one) == _point(other))

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["address"]) if raw else ""

    def edit_text(self, column: Column, raw: Any) -> str:
        return f"{raw['lat']} {raw['lng']} {raw['address']}" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        parts = dict.fromkeys(
            f"{part}{short}"
            for part in ("city", "country", "street", "street_number")
            for short in ("", "_short")
        )
        if not raw:
            return {"lat": None, "lng": None, "address": None, "place_id": None, **parts}
        found = {"lat": float(raw["lat"]), "lng": float(raw["lng"]), "address": raw["address"]}
        return {**parts, **found, "place_id": None}


def _point(raw: dict[str, Any]) -> tuple[float, float, str]:
    return float(raw["lat"]), float(raw["lng"]), raw["address"]
