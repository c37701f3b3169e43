"""Phone columns, and countries by their ISO 3166 codes and by the names that people and Monday use.

Nothing else parses phone numbers.
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

from sync.monday import conversion, text_forms
from sync.monday.board_items import Reading, Reason

# Longer texts are no phone cells; searching them, or after so many numbers that aren't valid, would take long.
MAX_SEARCHED = 100
MAX_TRIES = 5

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


# Names before which a sentence says “the”.
_TAKES_ARTICLE = re.compile(r"^(United|Bahamas|Comoros|Gambia|Maldives|Netherlands|Philippines)\b|Islands$|Republic")


@lru_cache(maxsize=1_000)  # an import asks for each number
def region_code(text: str) -> str | None:
    """Return a country's two-letter code (not +49) by that code or a name in any language; None for other texts."""
    code = text_forms.drop_invisible(text).strip().upper()
    return code if country_name(code) else _region_codes().get(_plain_spelling(text))


@cache
def country_name(code: str) -> str | None:
    """Return the usual name for a two-letter code."""
    return _COMMON_NAMES.get(code) or _names_by_language(code).get("en")


@cache
def _region_codes() -> dict[str, str]:
    """Return codes by plain names; a name of several countries means the one that has it in more languages."""
    uses: dict[str, Counter[str]] = {}
    for code in {*_names_by_country(), *_COMMON_NAMES}:
        for name in (*_names_by_language(code).values(), *_OTHER_NAMES.get(code, ()), country_name(code) or ""):
            uses.setdefault(_plain_spelling(name), Counter())[code] += 1
    uses.pop("", None)
    rankings = {name: codes.most_common(2) for name, codes in uses.items()}
    return {name: first[0] for name, (first, *rest) in rankings.items() if not rest or first[1] > rest[0][1]}


@cache
def _names_by_country() -> Mapping[str, Mapping[str, str]]:
    """Return phonenumbers' names of each country, by language.

    Its package would load the names of all towns: 95 MB and a second in every process.
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
    """Return phonenumbers' names of a country, by language; in its data “*de” means “as in German”."""
    names = _names_by_country().get(code, {})
    return {language: names.get(name[1:], "") if name.startswith("*") else name for language, name in names.items()}


def _plain_spelling(text: str) -> str:
    """Fold case, accents, points and apostrophes, which never distinguish two countries."""
    # NFKD separates letters from their accents.
    letters = unicodedata.normalize("NFKD", text_forms.drop_invisible(text).casefold())
    plain = "".join(c for c in letters if not unicodedata.combining(c) and c not in ".'’`")
    return " ".join(plain.replace("&", " and ").replace("-", " ").split())


_E164 = phonenumbers.PhoneNumberFormat.E164
_NATIONAL = phonenumbers.PhoneNumberFormat.NATIONAL
_INTERNATIONAL = phonenumbers.PhoneNumberFormat.INTERNATIONAL
_IS_POSSIBLE = phonenumbers.ValidationResult.IS_POSSIBLE
_WITH_PLUS = phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_PLUS_SIGN
_WITHOUT_CODE = phonenumbers.CountryCodeSource.FROM_DEFAULT_COUNTRY
# How people write extensions, in the languages of our users; the library knows only some of these words.
_EXTENSION = re.compile(
    r"[\s,;]{0,3}\(?(?:e?xt[^\W\d]*|x|#|int[^\W\d]*|anexo|доб[^\W\d]*|durchw[^\W\d]*|dw|app[^\W\d]*|nebenstelle|"
    r"nst|klappe|poste|toestel|wew[^\W\d]*|ramal|linka|ankn[^\W\d]*)[\s.:=]{0,3}(\d{1,10})[#)]?$",
    re.IGNORECASE,
)
# A few digits in brackets at the end may be an extension, too, or say nothing: “030 901820 (5)”.
_ONE_NUMBER = re.compile(
    r"(?!.*[(\[]\d{1,3}[)\]]$)(?:tel:)?[(\[]?[+＋]?[\d\s()\[\].\-‐-―−－/·~]+(?: ext\. \d{1,10})?", re.IGNORECASE
)
# No more digits than a number has, with a sign or two between them: no part of them is a number of its own.
_DIGITS = re.compile(r"[+＋]?\(?\d(?:[\s()\[\].\-/]{0,2}\d){0,14}")
MIN_DIGITS = 5  # of a number
# A day, as 2026-11-20, 20.11.2026 or 11/20/26: dialled in some countries, its digits would be a valid number.
_DAY_OR_MONTH = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"(?<![\d+.\-/])(?<!\d )(?:(?:19|20)\d\d([-./]){_DAY_OR_MONTH}\1{_DAY_OR_MONTH}"
    rf"|{_DAY_OR_MONTH}([-./]) ?{_DAY_OR_MONTH}\2 ?(?:19|20)?\d\d)"
    r"(?:[T ]?\d\d:\d\d(?::\d\d)?)?(?![\d\-/]|\.\d)"
)
_SECOND_LINE = re.compile(r"(.*\d{3}) ?(/ ?\d{1,3})")  # “030 901820/21”
_ROUNDED = re.compile(r"(\d)[.,](\d+)E\+(\d{1,2})", re.IGNORECASE)


class PhoneConverter(conversion.OneText):
    """One phone number. A base keeps `{"phone", "countryShortName"}`, or None for an empty cell.

    A number without a country is parsed in the cell's country, else in the options' region. One that is no number in
    either is a text, which is not sent, because Monday would add a wrong country.
    """

    column_type = name = "phone"
    may_become_unknown = False  # an unchanged number always has the same form
    fragment = "... on PhoneValue { phone country_short_name }"
    takes_bare_text = False  # it has no country

    def __init__(self, options: conversion.ConverterOptions) -> None:
        self.region = region_code(options.region) or options.region

    def canonical(self, text: str | None) -> str | None:
        return canonical_phone(text, self.region)

    def canonical_remote(self, raw: Any) -> conversion.Canonical:
        number = self._number_in(raw)
        return _plain_letters(conversion.text_under(raw, "phone")) if number is None else _canonical_form(number)

    def _number_in(self, cell: Any) -> phonenumbers.PhoneNumber | None:
        text = _plain_letters(conversion.text_under(cell, "phone"))
        country = _country_in(cell)
        if text is None:
            return None
        in_country = _parse_phone(text, country) if country else None
        return in_country or _parse_phone(text, self.region)

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.complete_value(reading, "phone")
        text = conversion.text_under(value, "phone") if value != {} else None
        if not text:
            return None
        return {"phone": text, "countryShortName": _country_in(value) or ""}

    def to_remote(self, local_raw: conversion.Local, current_remote: Any) -> Any:
        text = _plain_letters(conversion.only_text(local_raw)[1])
        if text is None:
            return None
        number = _parse_phone(text, self.region)
        if number is None:
            # Never sent, because it has a `rejection_reason`.
            return {"phone": text, "countryShortName": _country_in(current_remote) or ""}
        extension = f" ext. {number.extension}" if number.extension else ""
        phone = phonenumbers.format_number(number, _E164) + extension
        # The cell's country stays if it has the number's calling code: +1 may be Canada's.
        country = _country_in(current_remote)
        if not country or phonenumbers.country_code_for_region(country) != number.country_code:
            own_region = phonenumbers.region_code_for_number(number)
            country = own_region or phonenumbers.region_code_for_country_code(number.country_code or 0)
        # Numbers such as +800 belong to no country.
        is_nowhere = country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
        return {"phone": phone, "countryShortName": "" if is_nowhere else country}

    def from_event(self, payload_value: Any, column_type: str) -> conversion.Canonical:
        """Raise UnknownValue for a number without a country, so that the item is read.

        Webhooks leave out the cell's country (recorded in 2024 and 2025), which determines the number.
        """
        value = conversion.event_value(payload_value, column_type, "phone")
        if isinstance(value, Mapping) and not _country_in(value):
            text = _plain_letters(conversion.text_under(value, "phone"))
            if text and not text.startswith("+"):
                raise conversion.UnknownValue(conversion.EVENT_UNREADABLE)
        return super().from_event(payload_value, column_type)

    def changed_value(self, remote_raw: Any) -> Any:
        """Return NPD's new value when Monday's differs: the spelling on the board if it is the same number here."""
        number = self._number_in(remote_raw)
        spelling = _plain_letters(conversion.text_under(remote_raw, "phone"))
        if spelling is None or number is None:
            return spelling
        # With its country, because without one it would be another number in another region.
        is_same = spelling.startswith("+") and canonical_phone(spelling, self.region) == _canonical_form(number)
        return spelling if is_same else _international_form(number)

    def tidied(self, text: str | None) -> str | None:
        """Add the country, because the assumed region may be changed later."""
        plain = _plain_letters(text)
        number = _parse_phone(plain, self.region) if plain and not plain.startswith("+") else None
        return plain if number is None else _international_form(number)

    def completed(self, local_raw: conversion.Local) -> conversion.Local:
        name, text = conversion.only_text(local_raw)
        with_country = self.tidied(text)
        return local_raw if with_country == _plain_letters(text) else {name: with_country}

    def problem(self, text: str) -> Reason | None:
        if _parse_phone(text, self.region):
            return None
        country = country_name(self.region) or self.region
        place = f"the {country}" if _TAKES_ARTICLE.search(country) else country
        return Reason("no_phone", value=text, country="" if text.startswith("+") else place)

    def display(self, canonical: conversion.Canonical) -> str:
        return shown_phone(str(canonical or ""))


@cache
def phone_regions() -> tuple[tuple[str, str], ...]:
    """Return the countries with phone numbers, as pairs of two-letter code and name, by name."""
    names = {region: country_name(region) for region in phonenumbers.SUPPORTED_REGIONS}
    return tuple(sorted(((region, name) for region, name in names.items() if name), key=itemgetter(1)))


def shown_phone(text: str) -> str:
    """Return a stored number in the form that pages and files show; any other text as it is."""
    plain = _plain_letters(text) or ""
    number = _parse_phone(plain, "") if plain.startswith("+") else None
    return text if number is None else _international_form(number)


def phone_example(region: str) -> tuple[str, str] | None:
    """Return a number of a country without and with its code."""
    number = phonenumbers.example_number(region)
    if number is None:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL), _international_form(number)


def _plain_letters(text: str | None) -> str | None:
    return text_forms.plain_letters(text or "") or None


def canonical_phone(text: str | None, region: str) -> str | None:
    """Return the number as E.164, with ";ext=" before an extension; for any other text its plain form."""
    plain = _plain_letters(text)
    number = _parse_phone(plain, region) if plain else None
    return plain if number is None else _canonical_form(number)


def first_phone(text: str, region: str) -> tuple[str, str]:
    """Return a text that is one number as it is, else the first number in it, “030 901820” of “Tel. 030 901820, ask”.

    The second text is what stands beside that number. A text without a number is returned as it is.
    """
    # Excel writes “4.91711234567E+11”; with fewer digits than that the number is lost.
    if (rounded := _ROUNDED.fullmatch(text.strip())) and len(rounded[2]) == int(rounded[3]):
        text = rounded[1] + rounded[2]
    plain = ", ".join(map(text_forms.plain_letters, text.strip().splitlines()))
    region = region_code(region) or region
    if len(plain) > MAX_SEARCHED or sum(map(str.isdecimal, plain)) < MIN_DIGITS:
        return text, ""
    if (second := _SECOND_LINE.fullmatch(plain)) and _parse_phone(second[1], region):
        return second[1], second[2]
    # Looking for numbers takes ten times as long as parsing one.
    if _parse_phone(plain, region) or _DIGITS.fullmatch(plain):
        return text, ""
    without_dates = _DATE.sub(lambda date: "_" * len(date[0]), plain)
    matches = phonenumbers.PhoneNumberMatcher(without_dates, region, max_tries=MAX_TRIES)
    match = next(iter(matches), None)
    if match is None:
        return text, ""
    return _international_form(match.number), plain[: match.start] + plain[match.end :]


def _canonical_form(number: phonenumbers.PhoneNumber) -> str:
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, _E164) + extension


def _international_form(number: phonenumbers.PhoneNumber) -> str:
    """Return the number as people write it, with its country; as RFC 3966 if that would be parsed as another number.

    The library's own word for an extension depends on the country.
    """
    bare = phonenumbers.PhoneNumber(country_code=number.country_code)
    bare.merge_from(number)
    bare.extension = None
    extension = f" ext. {number.extension}" if number.extension else ""
    formatted = phonenumbers.format_number(bare, _INTERNATIONAL)
    if _has_digits_of(formatted, phonenumbers.format_number(bare, _E164)):
        return formatted + extension
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.RFC3966)[4:]


def _has_digits_of(text: str, e164: str) -> bool:
    """Whether a text is parsed as this number is, because parsing sees only the plus and the digits."""
    return text.startswith("+") and re.sub("[^0-9]", "", text) == e164[1:]


def _with_own_code(number: phonenumbers.PhoneNumber, text: str, region: str) -> phonenumbers.PhoneNumber:
    """Return the number of a text that begins with its country's code but without a plus: “49 171 1234567” in DE.

    Monday stores such texts too. In countries with a dialling prefix few national numbers begin so.
    """
    if number.country_code_source != _WITHOUT_CODE or text[0] in "+＋":
        return number
    if not phonenumbers.normalize_digits_only(text).startswith(str(number.country_code)):
        return number
    if phonenumbers.is_valid_number(number) and not phonenumbers.ndd_prefix_for_region(region, True):
        return number
    international = phonenumbers.parse(f"+{text}", None, keep_raw_input=True)
    return international if phonenumbers.is_valid_number(international) else number


def _parse_phone(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    # With a plus, a number is the same everywhere.
    return _parse_dialled(text, "" if text.startswith("+") else region)


@lru_cache(maxsize=1_000)  # a pass parses each number several times, for 50 µs each
def _parse_dialled(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    """Return the number that a text certainly is, or None.

    With a plus it must only be possible, because its country may have ranges that the library doesn't know; without
    one it is read as dialled in the region, and must be valid.
    """
    plain = _EXTENSION.sub(r" ext. \1", text) if len(text) <= MAX_SEARCHED else ""
    if not _ONE_NUMBER.fullmatch(plain):
        return None
    # 00 means the plus in most countries; in one that the library knows, its own prefixes are tried first.
    if plain.startswith("00") and region not in phonenumbers.SUPPORTED_REGIONS:
        plain = f"+{plain[2:].lstrip()}"
    try:
        number = phonenumbers.parse(plain, region, keep_raw_input=True)
        # New Caledonia writes its numbers like days.
        if _DATE.fullmatch(plain) and phonenumbers.format_number(number, _NATIONAL) != plain:
            return None
        if plain.startswith("00") and not phonenumbers.is_valid_number(number):
            number = phonenumbers.parse(f"+{plain[2:].lstrip()}", None, keep_raw_input=True)
        number = _with_own_code(number, plain, region)
        # The extension may have digits of another script.
        number.extension = number.extension and phonenumbers.normalize_digits_only(number.extension)
        if phonenumbers.is_possible_number_with_reason(number) != _IS_POSSIBLE:
            return None
        if number.country_code_source != _WITH_PLUS:
            return number if phonenumbers.is_valid_number(number) else None
        # If a number has only zeros ("+49 000000"), some are lost when it is parsed again.
        e164 = phonenumbers.format_number(number, _E164)
        if _has_digits_of(plain, e164):
            return number
        return number if phonenumbers.format_number(phonenumbers.parse(e164, None), _E164) == e164 else None
    except phonenumbers.NumberParseException:
        return None


def _country_in(raw: Any) -> str | None:
    country = raw.get("countryShortName") if isinstance(raw, Mapping) else None
    return country.upper() if isinstance(country, str) and text_forms.canonical_text(country) else None
