"""Countries by their ISO 3166 codes and by the names that people and Monday give them."""

import unicodedata
from functools import cache

import pycountry

# Names for which people, and country pickers such as Monday's, don't use ISO's wording.
_COMMON = {
    "BN": "Brunei",
    "CC": "Cocos Islands",
    "CD": "Democratic Republic of the Congo",
    "CG": "Republic of the Congo",
    "CI": "Ivory Coast",
    "CV": "Cape Verde",
    "FK": "Falkland Islands",
    "FM": "Micronesia",
    "KP": "North Korea",
    "KR": "South Korea",
    "LA": "Laos",
    "MF": "Saint Martin",
    "PS": "Palestine",
    "RU": "Russia",
    "SX": "Sint Maarten",
    "SY": "Syria",
    "TR": "Turkey",
    "VA": "Vatican City",
    "VG": "British Virgin Islands",
    "VI": "U.S. Virgin Islands",
    "XK": "Kosovo",
}
_ALSO = {
    "AE": ("UAE", "Emirates"),
    "BA": ("Bosnia",),
    "BO": ("Bolivia",),
    "CD": ("DR Congo", "Congo-Kinshasa", "Democratic Republic of Congo", "The Democratic Republic of Congo"),
    "CG": ("Congo-Brazzaville",),
    "CI": ("Cote d'Ivoire",),
    "CZ": ("Czech Republic",),
    "GB": ("UK", "Great Britain", "Britain"),
    "IR": ("Iran",),
    "KR": ("Korea, South",),
    "KP": ("Korea, North",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "NL": ("Holland", "The Netherlands"),
    "RU": ("Russian Federation",),
    "SH": ("Saint Helena", "St Helena"),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "TR": ("Turkiye",),
    "US": ("USA", "U.S.A.", "U.S.", "United States of America", "America"),
    "VA": ("Vatican", "Holy See"),
    "VN": ("Vietnam", "Viet Nam"),
}
_ALPHA_3 = {"XK": "XKX"}


def code_of(text: str) -> str | None:
    """The two-letter code of a country that is named in any known way; None for any other text."""
    return _codes().get(_plain(text))


def name_of(code: str) -> str | None:
    """The name that people use for a two-letter code."""
    return _names().get(code)


def alpha_3_of(code: str) -> str | None:
    """The three-letter code for a two-letter one."""
    country = pycountry.countries.get(alpha_2=code)
    return country.alpha_3 if country else _ALPHA_3.get(code)


@cache
def _names() -> dict[str, str]:
    found = {c.alpha_2: str(getattr(c, "common_name", c.name)) for c in pycountry.countries}
    return found | _COMMON


@cache
def _codes() -> dict[str, str]:
    """Codes by plain spelling; a spelling that two countries share names none of them."""
    spellings: dict[str, set[str]] = {}
    for country in pycountry.countries:
        texts = [
            getattr(country, key, "")
            for key in ("alpha_2", "alpha_3", "name", "common_name", "official_name")
        ]
        for text in [*texts, *_ALSO.get(country.alpha_2, ()), _names()[country.alpha_2]]:
            spellings.setdefault(_plain(text), set()).add(country.alpha_2)
    for text in ("XK", "XKX", "Kosovo"):
        spellings.setdefault(_plain(text), set()).add("XK")
    return {text: codes.pop() for text, codes in spellings.items() if text and len(codes) == 1}


def _plain(text: str) -> str:
    """Case, accents, points and the kind of apostrophe don't tell countries apart."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(c for c in letters if not unicodedata.combining(c) and c not in ".'’`")
    return " ".join(kept.replace("&", " and ").replace("-", " ").split())
