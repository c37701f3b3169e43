"""One decimal number and a numbers column; one yes-or-no field and a checkbox column; one day and a date column."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from sync.connectors.base.board_items import Reading
from sync.connectors.base.conversion import (
    Canonical,
    Local,
    UnknownValue,
    canonical_text,
    field_label,
    only_field,
    unreadable_value,
)
from sync.connectors.monday.columns.raw_values import (
    MondayColumn,
    complete_value,
    event_value,
    known_value,
    object_or_empty,
    text_under,
)

# Monday's `number` is a floating-point number, which can't hold an exponent of three digits.
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})(e[+-]?[0-9]{1,3})?\Z", re.IGNORECASE)

_MAX_NUMBER = Decimal("1e308")

# Webhooks carry floating-point numbers where items carry texts; a number with more digits than a
# floating-point number keeps for certain may be rounded there.
CERTAIN_DIGITS = 15


class NumbersConverter(MondayColumn):
    """A base keeps the number as text, or None for an empty cell.

    Only null clears: an empty text would set 0 (developer.monday.com/api-reference/reference/number).
    """

    column_type = "numbers"
    name = "numbers"
    is_stateless = True
    event_type = "numeric"

    def local(self, raw: Local) -> Canonical:
        return canonical_number(number_text(only_field(raw)[1]))

    def remote(self, raw: Any) -> Canonical:
        return canonical_number(number_text(raw))

    def stored_value(self, reading: Reading) -> Any:
        return canonical_text(number_text(complete_value(reading, "numbers")))

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.local(raw_local)

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _NUMBER.match(typed):
            raise ValueError(f"{typed} is not a number; write it with a point and no spaces, such as 1234.5.")
        return {only_field(current_local)[0]: canonical_number(typed)}

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        text = canonical_text(number_text(value))
        if text is None:
            return None
        if not _NUMBER.match(text):
            return f"{field_label(name)}: “{text}” is not a number, and the column on Monday holds numbers"
        too_large = abs(Decimal(text)) > _MAX_NUMBER
        return f"{field_label(name)}: the number is too large for Monday" if too_large else None

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "numbers")
        # An event may hold the number inside an object.
        if isinstance(value, dict):
            if "value" not in value:
                raise unreadable_value(value)
            value = value["value"]
        if isinstance(value, int | float):
            digits = (canonical_number(str(value)) or "").replace(".", "").strip("-0")
            if len(digits) > CERTAIN_DIGITS:
                raise UnknownValue("the event's number may have been rounded; the item has all its digits")
        return self.remote(value)


def canonical_number(text: str | None) -> str | None:
    """The number by value: no exponent, no needless zeros, no minus before zero; any other text as it is."""
    plain = canonical_text(text)
    if plain is None or not _NUMBER.match(plain):
        return plain
    # "f" writes every digit; Decimal.normalize would round to the context's 28.
    digits = format(Decimal(plain), "f")
    if "." in digits:
        # 1.50 and 1.5 are the same number.
        digits = digits.rstrip("0").rstrip(".")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").lstrip("0") or "0"
    digits = f"0{digits}" if digits.startswith(".") else digits
    # Zero has no sign.
    return digits if digits == "0" else sign + digits


def number_text(value: Any) -> str | None:
    """The number as a text, as Monday or NPD store it; raises UnknownValue for anything else."""
    if value is None or isinstance(value, str):
        return value
    # A bool is an int in Python, but no number.
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    raise unreadable_value(value)


# One yes-or-no field and a checkbox column, which is ticked or empty.


YES = "yes"
_YES = frozenset({"yes", "y", "true", "1", "x", "v", "on", "ticked"})
_NO = frozenset({"no", "n", "false", "0", "off", "not ticked"})


class CheckboxConverter(MondayColumn):
    """A base keeps `{"checked": true}`, or None. Unticked is the empty value, as on Monday.

    Only null unticks (developer.monday.com/api-reference/reference/checkbox).
    """

    column_type = "checkbox"
    name = "checkbox"
    is_stateless = True
    event_type = "boolean"
    fragment = "... on CheckboxValue { checked }"
    empty_fields: ClassVar[Mapping[str, Any]] = {"checked": False}

    def local(self, raw: Local) -> Canonical:
        return YES if _is_ticked(only_field(raw)[1]) else None

    def remote(self, raw: Any) -> Canonical:
        value = object_or_empty(raw)
        return YES if value and _is_ticked(value.get("checked")) else None

    def stored_value(self, reading: Reading) -> Any:
        value = object_or_empty(known_value(reading, "checkbox"))
        if value and "checked" not in value:
            raise unreadable_value(value)
        # The answer's own field `checked` wins over the raw value.
        checked = reading.extra.get("checked")
        ticked = value.get("checked") if checked is None else checked
        return {"checked": True} if _is_ticked(ticked) else None

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return {"checked": "true"} if self.local(raw_local) else None

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        return self.remote(remote_raw) == YES

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = (canonical_text(text) or "no").casefold()
        if typed not in _YES | _NO:
            raise ValueError(f"{text.strip()} is neither yes nor no; type one of the two.")
        return {only_field(current_local)[0]: typed in _YES}

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = object_or_empty(event_value(payload_value, column_type, "checkbox"))
        if value and "checked" not in value:
            raise unreadable_value(value)
        return self.remote(value)


def _is_ticked(value: Any) -> bool:
    """Whether a value means yes; raises UnknownValue for what is neither yes nor no."""
    if value is None or isinstance(value, bool):
        return bool(value)
    text = (canonical_text(value) or "no").casefold() if isinstance(value, str) else ""
    if text in _YES or text in _NO:
        return text in _YES
    raise unreadable_value(value)


# Days. A date column's time and icon are not mapped and stay as they are on Monday.


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class DateConverter(MondayColumn):
    """A base keeps `{"date", "time", "icon"}`, or None for an empty cell.

    Monday reads and writes day and time in UTC; people see them in the time zone of their profile
    (developer.monday.com/api-reference/reference/date). A day without a time is the same everywhere; with a
    time, the day is UTC's, and the time is sent back unchanged.
    """

    column_type = "date"
    name = "date"
    is_stateless = True
    bare_text_problem = ", which may be in a person's time zone"

    def local(self, raw: Local) -> Canonical:
        return canonical_text(_day_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_text(text_under(raw, "date"))

    def stored_value(self, reading: Reading) -> Any:
        value = object_or_empty(complete_value(reading, "date"))
        day = text_under(value, "date") if value else None
        return {"date": day, "time": value.get("time") or None, "icon": value.get("icon") or None} if day else None

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        day = self.local(raw_local)
        if day is None:
            return None
        existing = existing_remote_raw if isinstance(existing_remote_raw, Mapping) else {}
        # The time and the icon are a person's on the board and stay.
        return {"date": day} | {key: existing[key] for key in ("time", "icon") if existing.get(key)}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _is_day(typed):
            raise ValueError(f"{typed} is not a date; write it as year-month-day, such as 2026-01-31.")
        return {only_field(current_local)[0]: typed}

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, text = _day_text(raw_local)
        day = canonical_text(text)
        if day is None or _is_day(day):
            return None
        return f"{field_label(name)}: “{day}” is not a day such as 2026-01-31, and the column on Monday holds days"


def _day_text(raw: Local) -> tuple[str, str | None]:
    name, value = only_field(raw)
    # A datetime is a date in Python, but its day depends on a time zone.
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return name, value.isoformat()
    if value is None or isinstance(value, str):
        return name, value
    raise UnknownValue(f"{field_label(name)} holds a {type(value).__name__} where a day was expected")


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.match(text) and dt.date.fromisoformat(text))
    except ValueError:
        return False
