"""One decimal number and a numbers column."""

import re
from decimal import Decimal
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    only_field,
    shown_value,
    unreadable,
    words,
)
from sync.connectors.monday.items import Reading

# An exponent of three digits is beyond what a floating-point number holds, as Monday's `number` is one.
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})(e[+-]?[0-9]{1,3})?\Z", re.IGNORECASE
)
_LARGEST = Decimal("1e308")
# Webhooks carry floating-point numbers where items carry texts; what has more digits than a floating-point
# number keeps for certain may stand there rounded.
CERTAIN_DIGITS = 15


class NumbersConverter(Plain):
    """What a base keeps is the number as text, or None for an empty cell.

    Only null clears: an empty text would set 0 (developer.monday.com/api-reference/reference/number).
    """

    column_type = "numbers"

    def local(self, raw: Local) -> Canonical:
        return canonical_number(number_text(only_field(raw)[1]))

    def remote(self, raw: Any) -> Canonical:
        return canonical_number(number_text(raw))

    def raw_of(self, reading: Reading) -> Any:
        return canonical_text(number_text(shown_value(reading, "numbers")))

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_field(current_local)
        canonical = self.remote(remote_raw)
        return {name: current if self.local(current_local) == canonical else canonical}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _NUMBER.match(typed):
            raise ValueError(f"{typed} is not a number; write it with a point and no spaces, such as 1234.5.")
        return {only_field(current_local)[0]: canonical_number(typed)}

    def limit(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        text = canonical_text(number_text(value))
        if text is None:
            return None
        if not _NUMBER.match(text):
            return f"{words(name)}: “{text}” is not a number, and the column on Monday holds numbers"
        too_large = abs(Decimal(text)) > _LARGEST
        return f"{words(name)}: the number is too large for Monday" if too_large else None

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "numbers")
        if isinstance(value, dict):
            if "value" not in value:
                raise unreadable(value)
            value = value["value"]
        if isinstance(value, int | float) and _digits(value) > CERTAIN_DIGITS:
            raise UnknownValue("the event's number may have been rounded; the item has all its digits")
        return self.remote(value)


def canonical_number(text: str | None) -> str | None:
    """The number by value: no exponent, no needless zeros, no minus before zero; another text as it is."""
    plain = canonical_text(text)
    if plain is None or not _NUMBER.match(plain):
        return plain
    # "f" writes every digit; Decimal.normalize would round to the context's 28.
    digits = format(Decimal(plain), "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").lstrip("0") or "0"
    digits = f"0{digits}" if digits.startswith(".") else digits
    return digits if digits == "0" else sign + digits


def number_text(value: Any) -> str | None:
    """The number as a text, as Monday or NPD hold it; raises UnknownValue for anything else."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    raise unreadable(value)


def _digits(number: float) -> int:
    """How many digits a number has between its leading and trailing zeros."""
    return len((canonical_number(str(number)) or "").replace(".", "").strip("-0"))
