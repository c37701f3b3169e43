"""One text and a country column, compared by the country's two-letter code."""

from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    folded,
    object_in,
    only_field,
    only_text,
    shown_value,
    text_at,
    words,
)
from sync.connectors.monday.converters.spellings import alpha_3_of, code_of, name_of
from sync.connectors.monday.items import Reading


class CountryConverter(Plain):
    """What a base keeps is `{"countryCode", "countryName"}`, or None for an empty cell.

    NPD's text may be a name or a code ("UK", "GBR", "United Kingdom"). A field that holds a code gets a code.
    """

    column_type = "country"

    def local(self, raw: Local) -> Canonical:
        return canonical_country(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_country(text_at(raw, "countryCode"))

    def raw_of(self, reading: Reading) -> Any:
        value = object_in(shown_value(reading, "country"))
        code = canonical_text(text_at(value, "countryCode")) if value else None
        if code is None:
            return None
        name = value.get("countryName")
        return {"countryCode": code.upper(), "countryName": name if isinstance(name, str) else ""}

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        code = self.local(raw_local)
        if not isinstance(code, str):
            return None
        existing = object_in(existing_remote_raw)
        kept = existing.get("countryName") if existing.get("countryCode") == code else None
        return {"countryCode": code, "countryName": kept or name_of(code) or code}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        code = self.remote(remote_raw)
        if canonical_country(current) == code:
            return {name: current}
        if not isinstance(code, str):
            return {name: None}
        return {name: _spelled(code, canonical_text(object_in(remote_raw).get("countryName")), current)}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = folded(text)
        if typed is not None and code_of(typed) is None:
            raise ValueError(
                f"{typed} is not a country that is known; type its English name or two-letter code."
            )
        return {only_field(current_local)[0]: typed}

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        country = folded(text)
        if country is None or code_of(country) is not None:
            return None
        return f"{words(name)}: “{country}” is not a country that is known, and the column on Monday holds countries"

    def display(self, canonical: Canonical) -> str:
        return name_of(str(canonical)) or str(canonical) if canonical else ""

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "country")
        if isinstance(value, str):
            raise UnknownValue("the event's country is a bare text without its code")
        return self.remote(value)


def canonical_country(text: str | None) -> str | None:
    """The two-letter code of a known country, else the text with white space folded."""
    plain = folded(text)
    return None if plain is None else code_of(plain) or plain


def _spelled(code: str, monday_name: str | None, current: str | None) -> str:
    """The country in the form that the field had: a code of two or three letters, else a name."""
    before = canonical_text(current) or ""
    old = code_of(before) if before.isupper() else None
    if old is not None and before == old:
        return code
    if old is not None and before == alpha_3_of(old):
        return alpha_3_of(code) or code
    # Only a name that reads as the same country again; else the next look would take it for a change.
    return next((n for n in (monday_name, name_of(code)) if n and canonical_country(n) == code), code)
