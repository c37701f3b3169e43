"""What a workbook's cell shows: its number as its number format writes it (ECMA-376, part 1, 18.8.31)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

# What a date's cell shows in these formats depends on the computer.
ISO_DATE = "yyyy-mm-dd"
BUILT_IN = dict.fromkeys([14, *range(27, 32), 36, *range(50, 59)], ISO_DATE) | {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
    18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "hh:mm", 21: "hh:mm:ss", 22: f"{ISO_DATE} hh:mm", 32: "hh:mm",
    33: "hh:mm:ss", 34: "hh:mm", 35: "hh:mm:ss", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00",
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<skipped>[_*].)|\[(?P<bracket>[^\[\]]*)\]|(?P<other>general|e[+-]|/|@)'
    r"|(?P<half>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<digit>[0#?])|(?P<sign>[,.%;])|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda number, limit: number < limit,
    ">": lambda number, limit: number > limit,
    "=": lambda number, limit: number == limit,
    "<=": lambda number, limit: number <= limit,
    ">=": lambda number, limit: number >= limit,
    "<>": lambda number, limit: number != limit,
}

MAX_TOKENS = 60

Token = tuple[str, str]  # what it is: a group of _TOKEN, "literal", "elapsed" or "condition"; and its text


def shown_number(text: str, code: str, *, counts_from_1904: bool) -> str:
    """Return what a cell with this number and format shows; a format that isn't known shows the plain number."""
    if text.isdecimal() and len(text) < 16 and code in ("", "0", "General"):
        return text
    try:
        number = float(text)
        section, is_for_negatives = _section_for(number, _sections(code))
        kinds = {kind for kind, _ in section}
        if kinds & {"date", "elapsed"}:
            return _shown_date(number, section, counts_from_1904)
        if "other" in kinds or not kinds & {"digit", "literal"}:
            return plain_number(text)
        return _shown_digits(-number if is_for_negatives else number, section)
    except (ValueError, ArithmeticError):  # no number, or no date
        return plain_number(text)


def plain_number(text: str) -> str:
    """Return the number as Excel rounds it, to 15 digits, but never as 4.9E+12, because it may be a phone number."""
    try:
        number = Decimal(text)
        if not number.is_finite() or abs(number.adjusted()) > 30:
            return text
        rounded = number if number == number.to_integral_value() else Decimal(f"{float(text):.15g}")
    except (ValueError, ArithmeticError):
        return text
    digits = f"{rounded:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@lru_cache(maxsize=1_000)
def _sections(code: str) -> list[list[Token]]:
    sections: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = str(match.lastgroup)
        text = match[kind]
        if kind == "bracket":
            if text.startswith("$"):  # a currency and a language: [$€-407]
                kind = "quoted"
                text = text[1:].partition("-")[0]
            elif set(text.lower()) in ({"h"}, {"m"}, {"s"}):
                kind = "elapsed"
            elif _CONDITION.match(text):
                kind = "condition"
            else:
                continue  # a colour
        section = sections[-1]
        if kind in ("quoted", "escaped", "plain"):
            before = section.pop()[1] if section and section[-1][0] == "literal" else ""
            section.append(("literal", before + text))
        elif text == ";" and kind == "sign":
            sections.append([])
        elif kind != "skipped":
            section.append((kind, text.lower() if kind in ("date", "elapsed") else text))
    # Thousands of cells with a format that no program writes would take seconds.
    return sections if max(map(len, sections)) <= MAX_TOKENS else [[("other", "")]]


def _section_for(number: float, sections: list[list[Token]]) -> tuple[list[Token], bool]:
    """Return the section of a format that writes this number, and whether it writes it without its minus."""
    for section in sections:
        condition = next((text for kind, text in section if kind == "condition"), "")
        if condition:
            sign, limit = _CONDITION.match(condition).groups()  # type: ignore[union-attr]
            if _COMPARE[sign](number, float(limit)):
                return section, False
    if any(kind == "condition" for kind, _ in sections[0]):
        return sections[min(1, len(sections) - 1)], False
    if number < 0 and len(sections) > 1:
        return sections[1], True
    if number == 0 and len(sections) > 2:
        return sections[2], False
    return sections[0], False


def _shown_date(number: float, section: list[Token], counts_from_1904: bool) -> str:
    seconds = round(number * 86_400)
    if number < 0 or number >= 2_958_466:
        raise ValueError("no date")
    # Excel counts a 29 February 1900.
    day_zero = datetime(1899, 12, 31 if number < 60 else 30, tzinfo=UTC)
    if counts_from_1904:
        day_zero = datetime(1904, 1, 1, tzinfo=UTC)
    moment = day_zero + timedelta(seconds=seconds)
    letters = [text for kind, text in section if kind == "date"]
    if any(text.startswith(("mmm", "ddd")) for text in letters):  # words of some language
        return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
    hour = (moment.hour - 1) % 12 + 1 if any(kind == "half" for kind, _ in section) else moment.hour
    shown = []
    before = ""
    for place, (kind, text) in enumerate(section):
        if kind == "elapsed":
            elapsed = seconds // {"h": 3_600, "m": 60, "s": 1}[text[0]]
            shown.append(f"{elapsed:0{len(text)}d}")
        elif kind == "half":
            shown.append("AM" if moment.hour < 12 else "PM")
        elif kind == "date":
            after = next((other for later, other in section[place + 1 :] if later == "date"), "")
            is_minute = text[0] == "m" and (before.startswith("h") or after.startswith("s"))
            values = {"y": moment.year, "m": moment.month, "d": moment.day, "h": hour, "s": moment.second}
            value = moment.minute if is_minute else values[text[0]]
            if text[0] == "y":
                shown.append(f"{value:04d}" if len(text) > 2 else f"{value % 100:02d}")
            else:
                shown.append(f"{value:0{min(2, len(text.partition('.')[0]))}d}")
        elif kind != "condition":
            shown.append(text)
        if kind in ("date", "elapsed"):
            before = text
    return "".join(shown)


def _shown_digits(number: float, section: list[Token]) -> str:
    places = [place for place, (kind, _) in enumerate(section) if kind == "digit"]
    texts = [text for _, text in section]
    point = next((place for place, token in enumerate(section) if token == ("sign", ".")), len(section))
    whole = [place for place in places if place < point]
    decimals = [place for place in places if place > point]
    commas = [place for place, token in enumerate(section) if token == ("sign", ",")]
    last_place = max(places, default=-1)
    value = Decimal(repr(abs(number))).scaleb(2 * section.count(("sign", "%")))
    # A comma behind the digits divides by a thousand, one between them separates thousands.
    value = value.scaleb(-3 * sum(place > (whole or [last_place])[-1] for place in commas))
    separates = any(whole and whole[0] < place < whole[-1] for place in commas)
    rounded = value.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    digits, _, fraction = f"{rounded:f}".partition(".")
    rest = list(digits.lstrip("0"))
    written = 0
    shown = ""
    for place in reversed(range(point)):
        kind, text = section[place]
        if kind == "sign":
            shown = text + shown if text == "%" else shown
        elif kind != "digit":
            shown = shown if kind == "condition" else text + shown
        else:
            taken = [rest.pop() if rest else {"0": "0", "?": " ", "#": ""}[text]]
            if place == whole[0]:
                taken += reversed(rest)
            for digit in filter(None, taken):
                shown = digit + ("," if separates and written and written % 3 == 0 else "") + shown
                written += 1
    needed = sum(texts[place] == "0" for place in decimals)
    while len(fraction) > needed and fraction.endswith("0"):
        fraction = fraction[:-1]
    if decimals:
        shown += f".{fraction}" if fraction else ""
        point = decimals[-1]
    shown += "".join(text for kind, text in section[point + 1 :] if kind not in ("digit", "condition") and text != ",")
    return f"-{shown}" if number < 0 and rounded else shown
