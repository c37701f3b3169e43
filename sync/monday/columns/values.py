"""Columns with plain values: text, long text, the item's name, number, checkbox and day."""

import datetime as dt
import re
from collections.abc import Mapping
from contextlib import suppress
from decimal import Context, Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sync.monday import conversion
from sync.monday.board_items import Reading, Reason
from sync.monday.conversion import Canonical, Converter, ConverterOptions, ListConverter, Local, OneText, UnknownValue
from sync.monday.text_forms import canonical_text, visible_name

NAME_CHARACTERS = 255  # developer.monday.com/api-reference/reference/name-first-column
LONG_TEXT_CHARACTERS = 2_000  # developer.monday.com/api-reference/reference/long-text
ITEM_BYTES = 65_536  # all values of an item together: developer.monday.com/api-reference/reference/text


class TextColumn(Converter):
    """A column of texts; a base keeps the text itself, or None."""

    may_become_unknown = False
    readable_types: ClassVar[tuple[str, ...]] = ("text", "long_text")

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.known_value(reading, *self.readable_types)
        return (reading.text if value is None else raw_text(value)) or None


class TextConverter(TextColumn, OneText):
    """One field, one text column."""

    column_type = name = "text"
    sends_choice_labels = True

    def canonical_remote(self, raw: Any) -> Canonical:
        return self.canonical(raw_text(raw))

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, text = conversion.only_text(local_raw)
        return too_large_reason(name, canonical_text(text))


class LongTextConverter(TextConverter):
    """One field, one long text column, which holds 2,000 characters."""

    column_type = name = "long_text"

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        text = canonical_text(conversion.only_text(local_raw)[1])
        return {"text": text} if text is not None else None

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, text = conversion.only_text(local_raw)
        return _too_long_reason("text_too_long", name, canonical_text(text), LONG_TEXT_CHARACTERS)


class NameConverter(TextConverter):
    """One field and the item's name, which can't be empty."""

    column_type = name = "name"
    readable_types = ("name",)

    def canonical(self, text: str | None) -> str | None:
        return visible_name(text)

    def from_text(self, text: str, current_local: Local) -> Local:
        if visible_name(text) is None:
            raise ValueError(Reason("typed_no_name"))
        return super().from_text(text, current_local)

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, text = conversion.only_text(local_raw)
        canonical = visible_name(text)
        if canonical is None:
            return Reason("name_empty", field=conversion.field_label(name))
        return _too_long_reason("name_too_long", name, canonical, NAME_CHARACTERS)


def raw_text(raw: Any) -> str | None:
    """Return the text of a text column's value, in any form of items and events."""
    return conversion.text_under(raw, "text", "value", "name")


def too_large_reason(field: str, text: str | None) -> Reason | None:
    """Return why Monday rejects a text for its size in bytes, or None."""
    size = len((text or "").encode())
    if size <= ITEM_BYTES:
        return None
    return Reason("too_many_bytes", field=conversion.field_label(field), size=size, limit=ITEM_BYTES)


def _too_long_reason(code: str, field: str, text: str | None, limit: int) -> Reason | None:
    length = len(text or "")
    if length <= limit:
        return None
    return Reason(code, field=conversion.field_label(field), length=length, limit=limit)


class ListTextConverter(ListConverter, TextColumn):
    """A list as a text: written with commas, read with commas or line breaks, because people use both.

    An element that contains a separator is rejected, because it would be read back as two.
    """

    name = "list_text"
    sends_choice_labels = True

    def remote_elements(self, raw: Any) -> list[str]:
        return conversion.parse_elements(raw_text(raw))

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        return ", ".join(self.elements(conversion.only_field(local_raw)[1])) or None

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, value = conversion.only_field(local_raw)
        elements = self.elements(value)
        for element in elements:
            if reason := conversion.unlistable_reason(element, Reason("on_monday")):
                return conversion.of_field(name, reason)
        return too_large_reason(name, ", ".join(elements))


# At most the digits and exponents of a floating-point number, which Monday's `number` is.
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})(e[+-]?[0-9]{1,3})?\Z", re.IGNORECASE)

_MAX_NUMBER = Decimal("1e308")
_ALL_DIGITS = Context(prec=2_000)  # more than `_NUMBER` takes, so that nothing is rounded

# Webhooks have floating-point numbers where items have texts; more digits than these may be rounded.
_CERTAIN_DIGITS = 15


class NumbersConverter(Converter):
    """One decimal number. A base keeps it as text, or None for an empty cell.

    Only null clears: an empty text would set 0 (developer.monday.com/api-reference/reference/number).
    """

    column_type = name = "numbers"
    may_become_unknown = False

    def canonical_local(self, raw: Local) -> Canonical:
        return canonical_number(number_text(conversion.only_field(raw)[1]))

    def canonical_remote(self, raw: Any) -> Canonical:
        return canonical_number(number_text(raw))

    def cell_value(self, reading: Reading) -> Any:
        return canonical_text(number_text(conversion.complete_value(reading, "numbers")))

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _NUMBER.match(typed):
            raise ValueError(Reason("typed_no_number", value=typed))
        return {conversion.only_field(current_local)[0]: canonical_number(typed)}

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, value = conversion.only_field(local_raw)
        text = canonical_text(number_text(value))
        if text is None:
            return None
        if not _NUMBER.match(text):
            return conversion.of_field(name, Reason("no_number", value=text))
        too_large = abs(Decimal(text)) > _MAX_NUMBER
        return conversion.of_field(name, Reason("number_too_large")) if too_large else None

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = conversion.event_value(payload_value, column_type, "numbers")
        if isinstance(value, dict):
            if "value" not in value:
                raise conversion.unreadable_value(value)
            value = value["value"]
        if isinstance(value, int | float):
            digits = (canonical_number(str(value)) or "").replace(".", "").strip("-0")
            if len(digits) > _CERTAIN_DIGITS:
                raise UnknownValue(conversion.EVENT_UNREADABLE)
        return self.canonical_remote(value)


def canonical_number(text: str | None) -> str | None:
    """Return a number without exponent, needless zeros and a minus before zero; any other text as it is."""
    plain = canonical_text(text)
    if plain is None or not _NUMBER.match(plain):
        return plain
    number = _ALL_DIGITS.normalize(Decimal(plain))
    return format(number or Decimal(0), "f")


def number_text(value: Any) -> str | None:
    """Return a number as text; events have it as a number. Raises UnknownValue for anything else."""
    if value is None or isinstance(value, str):
        return value
    # A bool is an int in Python, but no number.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise conversion.unreadable_value(value)


YES = "yes"  # the canonical form of a ticked box
_YES = frozenset({"yes", "y", "true", "1", "x", "v", "on", "ticked"})
_NO = frozenset({"no", "n", "false", "0", "off", "not ticked"})


class CheckboxConverter(Converter):
    """A yes-or-no field. A base keeps `{"checked": true}`, or None: unticked is the empty value, as on Monday.

    Only null unticks (developer.monday.com/api-reference/reference/checkbox).
    """

    column_type = name = "checkbox"
    may_become_unknown = False
    fragment = "... on CheckboxValue { checked }"
    empty_fields: ClassVar[Mapping[str, Any]] = {"checked": False}

    def canonical_local(self, raw: Local) -> Canonical:
        return YES if _is_ticked(conversion.only_field(raw)[1]) else None

    def canonical_remote(self, raw: Any) -> Canonical:
        return YES if _is_ticked(_checkbox_value(raw).get("checked")) else None

    def cell_value(self, reading: Reading) -> Any:
        value = _checkbox_value(conversion.known_value(reading, "checkbox"))
        # The answer's field `checked` takes precedence over the raw value.
        checked = reading.extra.get("checked")
        ticked = value.get("checked") if checked is None else checked
        return {"checked": True} if _is_ticked(ticked) else None

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        return {"checked": "true"} if self.canonical_local(local_raw) else None

    def changed_value(self, remote_raw: Any) -> Any:
        return self.canonical_remote(remote_raw) == YES

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = (canonical_text(text) or "no").casefold()
        if typed not in _YES | _NO:
            raise ValueError(Reason("typed_no_answer", value=text.strip()))
        return {conversion.only_field(current_local)[0]: typed in _YES}


def _checkbox_value(raw: Any) -> Mapping[str, Any]:
    """Return a checkbox's JSON object, {} for null; raises UnknownValue for anything else."""
    value = conversion.object_or_empty(raw)
    if value and "checked" not in value:
        raise conversion.unreadable_value(value)
    return value


def _is_ticked(value: Any) -> bool:
    """Return whether a value means yes; raises UnknownValue for one that is neither yes nor no."""
    if value is None or isinstance(value, bool):
        return bool(value)
    text = (canonical_text(value) or "no").casefold() if isinstance(value, str) else ""
    if text in _YES or text in _NO:
        return text in _YES
    raise conversion.unreadable_value(value)


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class DateConverter(OneText):
    """A day. A base keeps `{"date", "time", "icon"}`, or None; time and icon are not mapped and stay.

    The API has day and time in UTC; people see them in the time zone of their profile
    (developer.monday.com/api-reference/reference/date). A day without a time is the same everywhere; a moment has its
    day in the options' time zone, and keeps its time there when NPD changes the day.
    """

    column_type = name = "date"
    may_become_unknown = False
    takes_bare_text = False  # it may be in a person's time zone

    def __init__(self, options: ConverterOptions) -> None:
        self._zone: dt.tzinfo = dt.UTC
        # OSError: a folder of zones, such as “Europe”.
        with suppress(OSError, ValueError, ZoneInfoNotFoundError):
            self._zone = ZoneInfo(options.time_zone)

    def canonical_remote(self, raw: Any) -> Canonical:
        day = canonical_text(conversion.text_under(raw, "date"))
        moment = _moment(raw, self._zone)
        return day if moment is None else moment.date().isoformat()

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.object_or_empty(conversion.complete_value(reading, "date"))
        day = conversion.text_under(value, "date") if value else None
        return {"date": day, "time": value.get("time") or None, "icon": value.get("icon") or None} if day else None

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        day = self.canonical_local(local_raw)
        if day is None:
            return None
        existing = current_remote if isinstance(current_remote, Mapping) else {}
        value = {"date": day} | {key: existing[key] for key in ("time", "icon") if existing.get(key)}
        moment = _moment(existing, self._zone)
        if moment is None or not _is_day(str(day)):
            return value
        try:
            moment = dt.datetime.combine(dt.date.fromisoformat(str(day)), moment.time(), self._zone).astimezone(dt.UTC)
        except OverflowError:
            return value
        return value | {"date": moment.date().isoformat(), "time": moment.time().isoformat()}

    def problem(self, text: str) -> Reason | None:
        return None if _is_day(text) else Reason("no_day", value=text)


def _moment(raw: Any, zone: dt.tzinfo) -> dt.datetime | None:
    """Return the moment in a cell, in this time zone; None for a day without a time."""
    if not isinstance(raw, Mapping) or not raw.get("time"):
        return None
    try:
        return dt.datetime.fromisoformat(f"{raw['date']}T{raw['time']}").replace(tzinfo=dt.UTC).astimezone(zone)
    except (KeyError, ValueError, OverflowError):
        return None


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.match(text) and dt.date.fromisoformat(text))
    except ValueError:
        return False
