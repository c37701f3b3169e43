"""One field and a phone column: the one place that says which number a text is, and in which form it is compared."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import phonenumbers

from sync.connectors.base.board_items import Reading
from sync.connectors.base.conversion import (
    Canonical,
    ConverterOptions,
    Local,
    UnknownValue,
    canonical_text,
    field_label,
    fold_whitespace,
    only_field,
    only_text,
)
from sync.connectors.monday.columns.places import country_code, country_name
from sync.connectors.monday.columns.raw_values import MondayColumn, complete_value, event_value, text_under

_E164 = phonenumbers.PhoneNumberFormat.E164
_INTERNATIONAL = phonenumbers.PhoneNumberFormat.INTERNATIONAL
_IS_POSSIBLE = phonenumbers.ValidationResult.IS_POSSIBLE
_POSSIBLE = phonenumbers.Leniency.POSSIBLE
_WITH_PLUS = phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_PLUS_SIGN
_ONE_NUMBER = re.compile(
    r"(?:tel:)?[(\[]?[+＋]?[\d\s()\[\].\-‐-―−－/·~]+(?:[,;\s]*(?:e?xt[a-z]*\.?|[x#]|int|anexo|доб)[\s.:=]*\d{1,10}#?)?",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""What comes along when a number is copied from an address book."""


class PhoneConverter(MondayColumn):
    """A base keeps `{"phone", "countryShortName"}`, or None for an empty cell.

    A number without a country is read in the cell's country, and where it is none of that country's in the region of
    the options; where it is none there either, or that is no known country, it is a text, and is not sent: Monday would
    add a wrong country.
    """

    column_type = "phone"
    name = "phone"
    is_stateless = True
    fragment = "... on PhoneValue { phone country_short_name }"
    is_always_asked = True
    is_distinctive = True
    bare_text_problem = " without its country"

    def __init__(self, options: ConverterOptions) -> None:
        self.region = country_code(options.region) or options.region

    def local(self, raw: Local) -> Canonical:
        return canonical_phone(only_text(raw)[1], self.region)

    def remote(self, raw: Any) -> Canonical:
        text = text_under(raw, "phone")
        country = _country_in(raw)
        # The cell's country decides how its digits are read; the settings' region is only a fallback.
        whole = _add_plus(text, country) if country and text else text
        if country and whole and _parse_phone(whole, country):
            return canonical_phone(whole, country)
        return canonical_phone(text, self.region)

    def stored_value(self, reading: Reading) -> Any:
        value = complete_value(reading, "phone")
        number = text_under(value, "phone") if value != {} else None
        if not number:
            return None
        return {"phone": number, "countryShortName": _country_in(value) or ""}

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        text = fold_whitespace(only_text(raw_local)[1])
        if text is None:
            return None
        number = _parse_phone(text, self.region)
        if number is None:
            # Nobody sends this (unfit_reason); no country is made up for it here, either.
            return {"phone": text, "countryShortName": _country_in(existing_remote_raw) or ""}
        extension = f" ext. {number.extension}" if number.extension else ""
        phone = phonenumbers.format_number(number, _E164) + extension
        return {"phone": phone, "countryShortName": self._country_for(number, existing_remote_raw)}

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        """Webhooks tell no country (recorded in 2024 and 2025), by which the cell's digits are read.

        Raises UnknownValue where the number says none either, so that the item is read.
        """
        told = event_value(payload_value, column_type, "phone")
        if isinstance(told, Mapping) and not _country_in(told):
            number = fold_whitespace(text_under(told, "phone"))
            if number and not number.startswith("+"):
                raise UnknownValue("the event's phone number has no country; the item has it")
        return super().from_event(payload_value, column_type)

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        canonical, spelling = self.remote(remote_raw), fold_whitespace(text_under(remote_raw, "phone"))
        # Monday's spelling is kept where it means the same number without the cell's country.
        return spelling if canonical_phone(spelling, self.region) == canonical else self.display(canonical)

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = fold_whitespace(text)
        if problem := self._problem(typed):
            raise ValueError(f"{problem}.")
        # With its country, as what is assumed of a number without one may be changed later.
        is_whole = typed is None or typed.startswith("+")
        return {only_field(current_local)[0]: typed if is_whole else self.display(canonical_phone(typed, self.region))}

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        problem = self._problem(fold_whitespace(text))
        return f"{field_label(name)}: {problem}" if problem else None

    def _problem(self, typed: str | None) -> str | None:
        """Why nobody could dial this, and what to write instead."""
        if typed is None or _parse_phone(typed, self.region):
            return None
        is_number = _ONE_NUMBER.fullmatch(typed) and any(character.isdigit() for character in typed)
        country, is_whole = country_name(self.region), typed.startswith("+")
        what = "is not a phone number"
        if len(list(phonenumbers.PhoneNumberMatcher(typed, self.region, _POSSIBLE))) > 1:
            what = "is more than one phone number"
        elif is_number and not is_whole and country is None:
            what = f"has no country's code, and the country “{self.region}” is not recognized"
        elif is_number:
            what = f"is not a complete phone number{'' if is_whole else f' in the country {country} ({self.region})'}"
        return f"“{typed}” {what}; write one number with a plus and its country's code, such as +49 171 1234567"

    def display(self, canonical: Canonical) -> str:
        text = str(canonical or "")
        number = _parse_phone(text, self.region) if text.startswith("+") else None
        formatted = phonenumbers.format_number(number, _INTERNATIONAL) if number is not None else text
        # Otherwise the displayed form would read back as another number and count as a change later.
        return formatted if canonical_phone(formatted, self.region) == canonical else text

    def _country_for(self, number: phonenumbers.PhoneNumber, existing: Any) -> str:
        """The cell's country where it still has the number's calling code, else the number's own."""
        kept = _country_in(existing)
        if kept and phonenumbers.country_code_for_region(kept) == number.country_code:
            return kept
        own = phonenumbers.region_code_for_number(number)
        return own or phonenumbers.region_code_for_country_code(number.country_code or 0)


@cache
def phone_regions() -> tuple[tuple[str, str], ...]:
    """The countries that phone numbers may be of: two-letter code and name, by name."""
    named = [(region, country_name(region)) for region in phonenumbers.SUPPORTED_REGIONS]
    return tuple(sorted(((region, name) for region, name in named if name), key=lambda one: one[1]))


def canonical_phone(text: str | None, region: str) -> str | None:
    """E.164, with ";ext=" and the extension if there is one; else the text with whitespace folded."""
    plain = fold_whitespace(text)
    number = _parse_phone(plain, region) if plain else None
    if number is None:
        return plain
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, _E164) + extension


@lru_cache(maxsize=1_000)  # each side of a field asks for the same number several times, and one takes 50 µs
def _parse_phone(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    """The number that a text says, or None where it says none for certain: only then does it get a country.

    Its country's code may be new to the library, so a number with a plus has to be possible only; one without is
    that country's where it is valid there.
    """
    plain = _INVISIBLE.sub("", text)
    if not _ONE_NUMBER.fullmatch(plain):
        return None
    if plain.startswith("00") and region not in phonenumbers.SUPPORTED_REGIONS:
        plain = f"+{plain[2:].lstrip()}"
    try:
        number = phonenumbers.parse(plain, region, keep_raw_input=True)
        if plain.startswith("00") and not phonenumbers.is_valid_number(number):
            # Dialled so from most countries, and written so in files of any: it means the plus.
            number = phonenumbers.parse(f"+{plain[2:].lstrip()}", None, keep_raw_input=True)
        e164 = phonenumbers.format_number(number, _E164)
        reparsed = phonenumbers.format_number(phonenumbers.parse(e164, None), _E164)
    except phonenumbers.NumberParseException:
        return None
    # Of zeros alone ("+49 000000") some are lost when the number is read again.
    is_possible = phonenumbers.is_possible_number_with_reason(number) == _IS_POSSIBLE
    is_whole = number.country_code_source == _WITH_PLUS or phonenumbers.is_valid_number(number)
    return number if is_possible and is_whole and reparsed == e164 else None


def _add_plus(text: str, country: str) -> str:
    """The number with a plus where the cell lacks it: Monday accepts "12025550172" too.

    Only digits that begin with the calling code of the cell's own country, and not with the prefix that is
    dialled within that country (developer.monday.com/api-reference/reference/phone).
    """
    digits, code = text.strip(), phonenumbers.country_code_for_region(country)
    # Only plain digits: anything else already says how it is to be read.
    if not (digits.isascii() and digits.isdecimal() and code and digits.startswith(str(code))):
        return text
    national, international = _parse_phone(digits, country), _parse_phone(f"+{digits}", country)
    if international is None or not phonenumbers.is_valid_number(international):
        return text
    national_prefix = phonenumbers.ndd_prefix_for_region(country, True)
    dialled_within = national is not None and (not national_prefix or digits.startswith(national_prefix))
    # A number that is also valid within the country is read as such.
    return text if dialled_within else f"+{digits}"


def _country_in(raw: Any) -> str | None:
    country = raw.get("countryShortName") if isinstance(raw, Mapping) else None
    return country.upper() if isinstance(country, str) and canonical_text(country) else None
