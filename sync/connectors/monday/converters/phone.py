"""One field and a phone column, compared as E.164 where the number can be understood."""

from collections.abc import Mapping
from typing import Any

import phonenumbers

from sync.connectors.monday.converters.base import Canonical, Local, Options, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    folded,
    only_field,
    only_text,
    shown_value,
    text_at,
)
from sync.connectors.monday.items import Reading

_E164 = phonenumbers.PhoneNumberFormat.E164
_INTERNATIONAL = phonenumbers.PhoneNumberFormat.INTERNATIONAL


class PhoneConverter(Plain):
    """What a base keeps is `{"phone", "countryShortName"}`, or None for an empty cell.

    A number without a country is read in the cell's country, and where that fails in the region of the options.
    """

    column_type = "phone"

    def __init__(self, options: Options) -> None:
        self.region = options.region.upper()

    def local(self, raw: Local) -> Canonical:
        return canonical_phone(only_text(raw)[1], self.region)

    def remote(self, raw: Any) -> Canonical:
        text = text_at(raw, "phone")
        country = _country(raw)
        if country and text and _parsed(text, country):
            return canonical_phone(_with_plus(text, country), country)
        return canonical_phone(text, self.region)

    def raw_of(self, reading: Reading) -> Any:
        value = shown_value(reading, "phone")
        number = text_at(value, "phone") if value != {} else None
        if not number:
            return None
        return {"phone": number, "countryShortName": _country(value) or ""}

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        text = folded(only_text(raw_local)[1])
        if text is None:
            return None
        number = _parsed(text, self.region)
        if number is None:
            return {"phone": text, "countryShortName": _country(existing_remote_raw) or self.region}
        return {
            "phone": _sendable(number),
            "countryShortName": self._country_for(number, existing_remote_raw),
        }

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        canonical = self.remote(remote_raw)
        for spelling in (current, folded(text_at(remote_raw, "phone"))):
            if canonical_phone(spelling, self.region) == canonical:
                return {name: spelling}
        return {name: self.display(canonical)}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = folded(text)
        if typed is not None and not any(character.isdigit() for character in typed):
            raise ValueError(f"{typed} is not a telephone number; it has no digits.")
        return {only_field(current_local)[0]: typed}

    def display(self, canonical: Canonical) -> str:
        text = str(canonical or "")
        number = _parsed(text, self.region) if text.startswith("+") else None
        shown = phonenumbers.format_number(number, _INTERNATIONAL) if number is not None else text
        # A form that doesn't read back as the same number would change it in a later comparison.
        return shown if canonical_phone(shown, self.region) == canonical else text

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "phone")
        if isinstance(value, str):
            raise UnknownValue("the event's phone value is a bare text without its country")
        return self.remote(value)

    def _country_for(self, number: phonenumbers.PhoneNumber, existing: Any) -> str:
        """The cell's country where it still has the number's calling code, else the number's own."""
        kept = _country(existing)
        if kept and phonenumbers.country_code_for_region(kept) == number.country_code:
            return kept
        own = phonenumbers.region_code_for_number(number)
        return own or phonenumbers.region_code_for_country_code(number.country_code or 0)


def canonical_phone(text: str | None, region: str) -> str | None:
    """E.164, with ";ext=" and the extension if there is one; else the text with white space folded."""
    plain = folded(text)
    number = _parsed(plain, region) if plain else None
    if number is None:
        return plain
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, _E164) + extension


def _parsed(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
        e164 = phonenumbers.format_number(number, _E164)
        again = phonenumbers.format_number(phonenumbers.parse(e164, None), _E164)
    except phonenumbers.NumberParseException:
        return None
    # Leading zeros of what is no real number ("000000" in Germany) get lost when it is read again.
    return number if phonenumbers.is_possible_number(number) and again == e164 else None


def _with_plus(text: str, country: str) -> str:
    """The number with its plus, where it stands in a cell without it: Monday takes "12025550172" too.

    Only digits that begin with the code of the cell's own country, and not with what is dialled before a
    number within it (developer.monday.com/api-reference/reference/phone).
    """
    digits, code = text.strip(), phonenumbers.country_code_for_region(country)
    if not (digits.isascii() and digits.isdecimal() and code and digits.startswith(str(code))):
        return text
    here, abroad = _parsed(digits, country), _parsed(f"+{digits}", country)
    if here is None or abroad is None or not phonenumbers.is_valid_number(abroad):
        return text
    within = phonenumbers.ndd_prefix_for_region(country, True)
    dialled_within = phonenumbers.is_valid_number(here) and (not within or digits.startswith(within))
    return text if dialled_within else f"+{digits}"


def _sendable(number: phonenumbers.PhoneNumber) -> str:
    extension = f" ext. {number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, _E164) + extension


def _country(raw: Any) -> str | None:
    country = raw.get("countryShortName") if isinstance(raw, Mapping) else None
    return country.upper() if isinstance(country, str) and canonical_text(country) else None
