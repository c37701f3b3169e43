"""Phone columns, and the countries by which numbers are read.

Countries are known by their ISO 3166 codes and by the names that people, in their own languages, and Monday use. Which
number a text is, and in which form it is compared, is said here alone.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from operator import itemgetter
from typing import Any

import phonenumbers

from sync.monday import conversion, texts
from sync.monday.board_items import Reading

# Names that people, and country pickers such as Monday's, use instead of ISO's wording.
_COMMON_NAMES = {
    "BN": "Brunei", "CC": "Cocos Islands", "CD": "Democratic Republic of the Congo", "CG": "Republic of the Congo",
    "CI": "Ivory Coast", "CV": "Cape Verde", "FK": "Falkland Islands", "FM": "Micronesia", "KP": "North Korea",
    "KR": "South Korea", "LA": "Laos", "MF": "Saint Martin", "PS": "Palestine", "RU": "Russia", "SX": "Sint Maarten",
    "SY": "Syria", "TR": "Turkey", "VA": "Vatican City", "VG": "British Virgin Islands", "VI": "U.S. Virgin Islands",
    "XK": "Kosovo",
}  # fmt: skip

_OTHER_NAMES = {
    "AE": ("UAE", "VAE", "Emirates"), "AT": ("Oesterreich",), "BA": ("Bosnia",), "BO": ("Bolivia",),
    "BY": ("Weißrussland",),
    "CD": ("DR Congo", "Congo-Kinshasa", "Democratic Republic of Congo", "The Democratic Republic of Congo"),
    "CG": ("Congo-Brazzaville",), "CI": ("Cote d'Ivoire",), "CZ": ("Czech Republic", "Tschechien"),
    "DE": ("BRD", "Bundesrepublik Deutschland"),
    "GB": ("UK", "Great Britain", "Großbritannien", "Britain", "England", "Scotland", "Wales", "Northern Ireland"),
    "IR": ("Iran",), "KR": ("Korea, South",), "KP": ("Korea, North",), "LU": ("Lëtzebuerg",), "MK": ("Macedonia",),
    "MM": ("Burma",), "NL": ("Holland", "The Netherlands"), "RU": ("Russian Federation",),
    "SH": ("Saint Helena", "St Helena"), "SZ": ("Swaziland",), "TL": ("East Timor",), "TR": ("Turkiye", "Tuerkei"),
    "US": ("USA", "U.S.A.", "U.S.", "EE.UU.", "EE. UU.", "EUA", "United States of America", "America"),
    "VA": ("Vatican", "Holy See"),
    "VN": ("Vietnam", "Viet Nam"),
}  # fmt: skip


def country_code(text: str) -> str | None:
    """The two-letter code of a country, written as that or by a name that it has anywhere; None for any other text."""
    code = texts.drop_invisible(text).strip().upper()
    return code if country_name(code) else _country_codes().get(_plain_spelling(text))


@cache
def country_name(code: str) -> str | None:
    """The usual name for a two-letter code."""
    return _COMMON_NAMES.get(code) or _names_by_language(code).get("en")


@cache
def _country_codes() -> dict[str, str]:
    """Codes by the plain spelling of names; a name of two countries is that of the one which more languages call so."""
    languages: dict[str, Counter[str]] = {}
    for code in {*_names_by_country(), *_COMMON_NAMES}:
        names = [*_names_by_language(code).values(), *_OTHER_NAMES.get(code, ()), country_name(code) or ""]
        for name, times in Counter(names).items():
            languages.setdefault(_plain_spelling(name), Counter())[code] += times
    codes: dict[str, str] = {}
    for name, counts in languages.items():
        (code, most), (_, next_most) = [*counts.most_common(2), ("", 0)][:2]
        if name and most > next_most:
            codes[name] = code
    return codes


@cache
def _names_by_country() -> Mapping[str, Mapping[str, str]]:
    """What phonenumbers calls each country, by language.

    Read without the package around it, which reads the names of all towns: 95 MB, and a second, in every process.
    """
    path = f"{phonenumbers.__path__[0]}/geodata/locale.py"
    spec = spec_from_file_location("phonenumbers.geodata.locale", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    names: Mapping[str, Mapping[str, str]] = module.LOCALE_DATA
    return names


def _names_by_language(code: str) -> dict[str, str]:
    """What phonenumbers calls a country, by language; there “*de” stands for “as in German”."""
    names = _names_by_country().get(code, {})
    return {language: names.get(name[1:], "") if name.startswith("*") else name for language, name in names.items()}


def _plain_spelling(text: str) -> str:
    """Without case, accents, points and the kind of apostrophe, which never distinguish two countries."""
    # NFKD splits letters from their accents, so that these can be dropped.
    letters = unicodedata.normalize("NFKD", texts.drop_invisible(text).casefold())
    kept = "".join(c for c in letters if not unicodedata.combining(c) and c not in ".'’`")
    return " ".join(kept.replace("&", " and ").replace("-", " ").split())


# One field and a phone column: which number a text is, and in which form it is compared.


_E164 = phonenumbers.PhoneNumberFormat.E164
_INTERNATIONAL = phonenumbers.PhoneNumberFormat.INTERNATIONAL
_IS_POSSIBLE = phonenumbers.ValidationResult.IS_POSSIBLE
_POSSIBLE = phonenumbers.Leniency.POSSIBLE
_WITH_PLUS = phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_PLUS_SIGN
_WITHOUT_CODE = phonenumbers.CountryCodeSource.FROM_DEFAULT_COUNTRY
_ONE_NUMBER = re.compile(
    r"(?:tel:)?[(\[]?[+＋]?[\d\s()\[\].\-‐-―−－/·~]+(?:[,;\s]*(?:e?xt[a-z]*\.?|[x#]|int|anexo|доб)[\s.:=]*\d{1,10}#?)?",
    re.IGNORECASE,
)


class PhoneConverter(conversion.OneText):
    """A base keeps `{"phone", "countryShortName"}`, or None for an empty cell.

    A number without a country is read in the cell's country, and where it is none of that country's in the region of
    the options; where it is none there either, or that is no known country, it is a text, and is not sent: Monday would
    add a wrong country.
    """

    column_type = name = "phone"
    is_stateless = True
    fragment = "... on PhoneValue { phone country_short_name }"
    bare_text_problem = " without its country"

    def __init__(self, options: conversion.ConverterOptions) -> None:
        self.region = country_code(options.region) or options.region

    def canonical(self, text: str | None) -> str | None:
        return canonical_phone(text, self.region)

    def remote(self, raw: Any) -> conversion.Canonical:
        number = self._number_in(raw)
        return _plain_number(conversion.text_under(raw, "phone")) if number is None else _compared_form(number)

    def _number_in(self, cell: Any) -> phonenumbers.PhoneNumber | None:
        text = _plain_number(conversion.text_under(cell, "phone"))
        country = _country_in(cell)
        if text is None:
            return None
        # The cell's country decides how its digits are read; the settings' region is only a fallback.
        in_country = _parse_phone(text, country) if country else None
        return in_country or _parse_phone(text, self.region)

    def stored_value(self, reading: Reading) -> Any:
        value = conversion.complete_value(reading, "phone")
        number = conversion.text_under(value, "phone") if value != {} else None
        if not number:
            return None
        return {"phone": number, "countryShortName": _country_in(value) or ""}

    def to_remote(self, raw_local: conversion.Local, existing_remote_raw: Any) -> Any:
        text = _plain_number(conversion.only_text(raw_local)[1])
        if text is None:
            return None
        number = _parse_phone(text, self.region)
        if number is None:
            # Nobody sends this (rejection_reason); no country is made up for it here, either.
            return {"phone": text, "countryShortName": _country_in(existing_remote_raw) or ""}
        extension = f" ext. {number.extension}" if number.extension else ""
        phone = phonenumbers.format_number(number, _E164) + extension
        return {"phone": phone, "countryShortName": self._country_for(number, existing_remote_raw)}

    def from_event(self, payload_value: Any, column_type: str) -> conversion.Canonical:
        """Webhooks tell no country (recorded in 2024 and 2025), by which the cell's digits are read.

        Raises UnknownValue where the number says none either, so that the item is read.
        """
        value = conversion.event_value(payload_value, column_type, "phone")
        if isinstance(value, Mapping) and not _country_in(value):
            number = _plain_number(conversion.text_under(value, "phone"))
            if number and not number.startswith("+"):
                raise conversion.UnknownValue("the event's phone number has no country; the item has it")
        return super().from_event(payload_value, column_type)

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        number = self._number_in(remote_raw)
        spelling = _plain_number(conversion.text_under(remote_raw, "phone"))
        if spelling is None or number is None:
            return spelling
        # With its country: without one it would mean another number once the record's region is another.
        is_same = spelling.startswith("+") and canonical_phone(spelling, self.region) == _compared_form(number)
        return spelling if is_same else _whole_form(number)

    def tidied(self, text: str | None) -> str | None:
        """With its country, as what is assumed of a number without one may be changed later."""
        plain = _plain_number(text)
        number = _parse_phone(plain, self.region) if plain and not plain.startswith("+") else None
        return plain if number is None else _whole_form(number)

    def completed(self, raw_local: conversion.Local) -> conversion.Local:
        name, text = conversion.only_text(raw_local)
        whole = self.tidied(text)
        return raw_local if whole == _plain_number(text) else {name: whole}

    def problem(self, text: str) -> str | None:
        """Why nobody could dial this, and what to write instead."""
        if _parse_phone(text, self.region):
            return None
        is_number = _ONE_NUMBER.fullmatch(text) and any(character.isdigit() for character in text)
        is_whole = text.startswith("+")
        country = country_name(self.region)
        fault = "is not a phone number"
        if len(list(phonenumbers.PhoneNumberMatcher(text, self.region, _POSSIBLE))) > 1:
            fault = "is more than one phone number"
        elif is_number and not is_whole and country is None:
            fault = f"has no country's code, and the country “{self.region}” is not recognized"
        elif is_number:
            fault = f"is not a complete phone number{'' if is_whole else f' in the country {country} ({self.region})'}"
        return f"“{text}” {fault}; write one number with a plus and its country's code, such as +49 171 1234567"

    def display(self, canonical: conversion.Canonical) -> str:
        text = str(canonical or "")
        number = _parse_phone(text, self.region) if text.startswith("+") else None
        return text if number is None else _whole_form(number)

    def _country_for(self, number: phonenumbers.PhoneNumber, existing: Any) -> str:
        """The cell's country where it still has the number's calling code, else the number's own."""
        kept = _country_in(existing)
        if kept and phonenumbers.country_code_for_region(kept) == number.country_code:
            return kept
        own = phonenumbers.region_code_for_number(number)
        country = own or phonenumbers.region_code_for_country_code(number.country_code or 0)
        # Numbers of no country, such as +800: “001” stands for the world.
        return "" if country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else country


@cache
def phone_regions() -> tuple[tuple[str, str], ...]:
    """The countries that phone numbers may be of: two-letter code and name, by name."""
    names = {region: country_name(region) for region in phonenumbers.SUPPORTED_REGIONS}
    return tuple(sorted(((region, name) for region, name in names.items() if name), key=itemgetter(1)))


def _plain_number(text: str | None) -> str | None:
    return texts.plain_letters(text or "") or None


def canonical_phone(text: str | None, region: str) -> str | None:
    """E.164, with ";ext=" and the extension if there is one; else the text with whitespace folded."""
    plain = _plain_number(text)
    number = _parse_phone(plain, region) if plain else None
    return plain if number is None else _compared_form(number)


# The 9 between Argentina's code and an area's, which says that a mobile phone is called from abroad.
_MOBILE_SIGN = re.compile(r"(\+54)9(?=\d{10}\Z)")


def _compared_form(number: phonenumbers.PhoneNumber) -> str:
    extension = f";ext={number.extension}" if number.extension else ""
    return _MOBILE_SIGN.sub(r"\1", phonenumbers.format_number(number, _E164)) + extension


def _whole_form(number: phonenumbers.PhoneNumber) -> str:
    """The number with its country, as people write it; in the form of machines where that reads back as another."""
    formatted = phonenumbers.format_number(number, _INTERNATIONAL)
    is_same = canonical_phone(formatted, "") == _compared_form(number)
    return formatted if is_same else phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.RFC3966)[4:]


_MEXICO = 52
# What was dialled before a mobile phone's number in Mexico, or another area's, until 2019.
_FORMER_PREFIX = re.compile(r"(?:1|01|04[45])(?=\d{10}\Z)")


def _without_former_prefix(number: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    digits = phonenumbers.national_significant_number(number)
    if number.country_code != _MEXICO or not _FORMER_PREFIX.match(digits):
        return number
    today = f"+{_MEXICO}{_FORMER_PREFIX.sub('', digits)}"
    # As it was read: whether with a plus counts.
    number.national_number = phonenumbers.parse(today, None).national_number
    number.italian_leading_zero = number.number_of_leading_zeros = None
    return number


def _with_own_code(number: phonenumbers.PhoneNumber, text: str, region: str) -> phonenumbers.PhoneNumber:
    """The number that begins with its country's code, without a plus, as Monday has it too: “49 171 1234567” of DE.

    Where a country's numbers are dialled with a prefix of their own, few begin so, and they are written with it.
    """
    code = str(number.country_code)
    begins_so = phonenumbers.normalize_digits_only(text).startswith(code) and text[0] not in "+＋"
    if number.country_code_source != _WITHOUT_CODE or not begins_so:
        return number
    if phonenumbers.is_valid_number(number) and not phonenumbers.ndd_prefix_for_region(region, True):
        return number
    international = phonenumbers.parse(f"+{text}", None, keep_raw_input=True)
    return international if phonenumbers.is_valid_number(international) else number


@lru_cache(maxsize=1_000)  # each side of a field asks for the same number several times, and one takes 50 µs
def _parse_phone(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    """The number that a text says, or None where it says none for certain: only then does it get a country.

    Its country's code may be new to the library, so a number with a plus has to be possible only; one without is
    that country's where it is valid there.
    """
    if not _ONE_NUMBER.fullmatch(text):
        return None
    plain = text
    if plain.startswith("00") and region not in phonenumbers.SUPPORTED_REGIONS:
        plain = f"+{plain[2:].lstrip()}"
    try:
        number = phonenumbers.parse(plain, region, keep_raw_input=True)
        if plain.startswith("00") and not phonenumbers.is_valid_number(number):
            # Dialled so from most countries, and written so in files of any: it means the plus.
            number = phonenumbers.parse(f"+{plain[2:].lstrip()}", None, keep_raw_input=True)
        number = _without_former_prefix(_with_own_code(number, plain, region))
        # Digits of any script are digits.
        number.extension = number.extension and phonenumbers.normalize_digits_only(number.extension)
        e164 = phonenumbers.format_number(number, _E164)
        reparsed = phonenumbers.format_number(phonenumbers.parse(e164, None), _E164)
    except phonenumbers.NumberParseException:
        return None
    # Of zeros alone ("+49 000000") some are lost when the number is read again.
    is_possible = phonenumbers.is_possible_number_with_reason(number) == _IS_POSSIBLE
    is_whole = number.country_code_source == _WITH_PLUS or phonenumbers.is_valid_number(number)
    return number if is_possible and is_whole and reparsed == e164 else None


def _country_in(raw: Any) -> str | None:
    country = raw.get("countryShortName") if isinstance(raw, Mapping) else None
    return country.upper() if isinstance(country, str) and texts.canonical_text(country) else None
