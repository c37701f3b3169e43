"""Columns whose value says itself: text, long text, the item's name, email, link, number, tick and day."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sync.monday.board_items import Reading
from sync.monday.columns.raw_values import (
    MondayColumn,
    complete_value,
    event_value,
    known_value,
    object_or_empty,
    text_under,
)
from sync.monday.conversion import (
    SEPARATORS,
    Canonical,
    ConverterOptions,
    ListConverter,
    Local,
    UnknownValue,
    field_label,
    only_field,
    only_text,
    parse_elements,
    unreadable_value,
)
from sync.monday.texts import ascii_domain, canonical_text, drop_invisible, plain_letters, readable_domain

NAME_CHARACTERS = 255  # developer.monday.com/api-reference/reference/name-first-column
LONG_TEXT_CHARACTERS = 2_000  # developer.monday.com/api-reference/reference/long-text
ITEM_BYTES = 65_536  # all values of an item together: developer.monday.com/api-reference/reference/text


class TextConverter(MondayColumn):
    """One field, one text column. A base keeps the text itself."""

    column_type = "text"
    name = "text"
    is_stateless = True
    shows_labels = True
    # A text can be mapped to an existing column of either kind.
    readable_types: ClassVar[tuple[str, ...]] = ("text", "long_text")

    def local(self, raw: Local) -> Canonical:
        return canonical_text(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_text(plain_text(raw))

    def stored_value(self, reading: Reading) -> Any:
        value = known_value(reading, *self.readable_types)
        return (reading.text if value is None else plain_text(value)) or None

    def from_text(self, text: str, current_local: Local) -> Local:
        return {only_field(current_local)[0]: canonical_text(text)}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        return too_large_reason(name, canonical_text(text))


class LongTextConverter(TextConverter):
    """One field, one long text column, which holds 2,000 characters."""

    column_type = "long_text"
    name = "long_text"
    event_type = "long-text"
    is_multiline = True

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        text = canonical_text(only_text(raw_local)[1])
        return {"text": text} if text is not None else None

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        return _too_long_reason(name, canonical_text(text), LONG_TEXT_CHARACTERS, "a long text on Monday")


class NameConverter(TextConverter):
    """One field and the item's name, which can't be empty."""

    column_type = "name"
    name = "name"
    readable_types = ("name",)

    def from_text(self, text: str, current_local: Local) -> Local:
        canonical = canonical_text(text)
        if canonical is None:
            raise ValueError("A name can't be empty.")
        return {only_field(current_local)[0]: canonical}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        canonical = canonical_text(text)
        # Monday rejects an item without a name.
        if canonical is None:
            return f"{field_label(name)} is empty; an item on Monday needs a name"
        return _too_long_reason(name, canonical, NAME_CHARACTERS, "an item's name on Monday")


def plain_text(raw: Any) -> str | None:
    """The text of a text column's value, in any of the forms that items and events have."""
    return text_under(raw, "text", "value", "name")


def too_large_reason(field: str, text: str | None) -> str | None:
    """Why Monday rejects a text for its size, in bytes as Monday's limit counts; or None."""
    size = len((text or "").encode())
    return f"{field_label(field)}: {size:,} bytes; a Monday item holds {ITEM_BYTES:,}" if size > ITEM_BYTES else None


def _too_long_reason(field: str, text: str | None, most: int, holder: str) -> str | None:
    length = len(text or "")
    return f"{field_label(field)}: {length:,} characters; {holder} holds {most:,}" if length > most else None


# A list as a text: its elements between commas, in a text or long text column.


class ListTextConverter(ListConverter, TextConverter):
    """A base keeps the column's text, or None.

    Written with ", " between the elements; read with commas or line breaks between them, because people use
    both. An element that contains one can't be sent, and `rejection_reason` says so.
    """

    name = "list_text"

    def remote_elements(self, raw: Any) -> list[str]:
        return parse_elements(plain_text(raw))

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return ", ".join(self.elements(only_field(raw_local)[1])) or None

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        elements = self.elements(value)
        # Written as text, an element with a separator would come back as two.
        with_separator = next((element for element in elements if SEPARATORS.search(element)), None)
        if with_separator is not None:
            return f"{field_label(name)}: “{with_separator}” holds a comma, which separates the elements on Monday"
        return too_large_reason(name, ", ".join(elements))


# One field and the address of an email column. The column's label is not mapped.


_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")
# The standards allow more before the @ (RFC 5322, 3.2.3) than Monday is known to take.
_DOUBTFUL = re.compile(r"[^A-Za-z0-9._%+'-](?=.*@)")


class _LabelledAddress(MondayColumn):
    """An address under `key`, and its text: the label that a person gave it stays."""

    key: ClassVar[str]
    is_stateless = True

    @staticmethod
    def canonical_address(text: str | None) -> str | None:
        raise NotImplementedError

    def local(self, raw: Local) -> Canonical:
        return self.canonical_address(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return self.canonical_address(text_under(raw, self.key))

    def stored_value(self, reading: Reading) -> Any:
        value = object_or_empty(complete_value(reading, self.column_type))
        address = text_under(value, self.key) if value else None
        if not address:
            return None
        label = value.get("text")
        return {self.key: address, "text": label if isinstance(label, str) else address}

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        address = _plain_address(only_text(raw_local)[1])
        if address is None:
            return None
        sent = self.sent_address(address)
        return {self.key: sent, "text": self._custom_label(existing_remote_raw) or sent}

    def sent_address(self, address: str) -> str:
        """The address as Monday takes it."""
        return self.tidied(address)

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        address = _plain_address(text_under(remote_raw, self.key))
        return address and self.tidied(address)

    def tidied(self, address: str) -> str:
        """The address as both sides' fields take it."""
        raise NotImplementedError

    def _custom_label(self, existing: Any) -> str | None:
        """A label that a person gave the cell; one that only repeats the old address changes with the address."""
        if not isinstance(existing, Mapping):
            return None
        label = canonical_text(existing.get("text"))
        is_address = self.canonical_address(label) == self.canonical_address(existing.get(self.key))
        return None if is_address else label


def _plain_address(text: str | None) -> str | None:
    return canonical_text(drop_invisible(text or ""))


class EmailConverter(_LabelledAddress):
    """A base keeps `{"email", "text"}`, or None for an empty cell."""

    column_type = name = key = "email"
    bare_text_problem = ", which may be a label"
    fragment = "... on EmailValue { email label }"
    is_always_asked = True
    is_distinctive = True

    @staticmethod
    def canonical_address(text: str | None) -> str | None:
        """Without regard to case and width, before the @ too: no provider tells two people apart by it.

        A domain is in its own letters, not in the xn-- form.
        """
        address = _plain_email(_plain_address(text) or "").lower()
        name, at_sign, domain = address.rpartition("@")
        return canonical_text(name + at_sign + readable_domain(domain))

    def tidied(self, address: str) -> str:
        return _plain_email(address)

    def sent_address(self, address: str) -> str:
        """With the xn-- form of a domain, which mail servers and whatever checks addresses know."""
        name, at_sign, domain = _plain_email(address).rpartition("@")
        return name + at_sign + (domain if domain.isascii() else ascii_domain(domain.lower()))

    def from_text(self, text: str, current_local: Local) -> Local:
        address = _plain_email(_plain_address(text) or "") or None
        if address is not None and not _ADDRESS.match(address):
            raise ValueError(f"{address} is not an email address; it needs the form name@example.org.")
        return {only_field(current_local)[0]: address}

    def rejection_risk(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        doubtful = _DOUBTFUL.search(_plain_email(_plain_address(text) or ""))
        if doubtful is None:
            return None
        return (
            f"{field_label(name)}: “{doubtful[0]}” in an email address is probably rejected by Monday; use another one"
        )


def _plain_email(address: str) -> str:
    """The address without the scheme of a link to it, and without the dot with which a whole domain may end."""
    bare = re.sub(r"^(?:mailto:\s*)+", "", plain_letters(address), flags=re.IGNORECASE)
    return bare.rstrip(".") if "@" in bare else bare


# One field and the address of a link column. The link's text is not mapped.


_URL_PARTS = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]*)([^?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_INNER_DOT = re.compile(r"[^.:]\.[^.:]")

# mailto:ada@example.org and the like: a scheme without "//", and no host with a port.
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:(?!//)[^0-9\s]\S*\Z", re.IGNORECASE)


class _WebAddress(NamedTuple):
    """An address on the web; `scheme` is empty where the text has none. `rest` are its query and its fragment."""

    scheme: str
    user: str
    host: str
    path: str
    rest: str


class LinkConverter(_LabelledAddress):
    """A base keeps `{"url", "text"}`, or None for an empty cell.

    Monday takes no address without a scheme (developer.monday.com/api-reference/reference/link); one that NPD
    stores without is sent, and compared, as https.
    """

    column_type = name = "link"
    key = "url"
    bare_text_problem = ", which may be its label"

    @staticmethod
    def canonical_address(text: str | None) -> str | None:
        """As RFC 3986 (6.2) compares addresses: what means the same is written in one way.

        A domain is in its own letters, not in the xn-- form; without a scheme it is https.
        """
        url = _plain_address(text)
        web = _parse_web_address(url)
        if web is None:
            # Of any other link only the scheme has no case.
            scheme, colon, rest = (url or "").partition(":")
            return scheme.lower() + colon + rest if url and _OTHER_SCHEME.match(url) else url
        scheme = (web.scheme or "https").lower()
        path = _resolve_dots(_fold_escapes(web.path))
        # A sign that only opens what doesn't follow says nothing.
        query, _, fragment = web.rest.partition("#")
        query = "" if query == "?" else _fold_escapes(query)
        rest = f"{query}#{_fold_escapes(fragment)}" if fragment else query
        # The user's name and password before an @ can be case-sensitive.
        start = f"{scheme}://{_fold_escapes(web.user)}{_canonical_host(web.host, scheme)}"
        return canonical_text(f"{start}{'' if path == '/' else path}{rest}")

    def sent_address(self, address: str) -> str:
        web = _parse_web_address(address)
        address = self.tidied(address)
        return f"https://{address}" if web is not None and not web.scheme else address

    def tidied(self, address: str) -> str:
        """With an escape for each space: no form takes one."""
        web = _parse_web_address(address)
        return address if web is None else _SPACE.sub(lambda space: quote(space[0]), address)

    def from_text(self, text: str, current_local: Local) -> Local:
        url = _plain_address(text)
        if url is not None and not _is_link(url):
            raise ValueError(f"{url} is not a web address; it needs a form such as https://example.org.")
        return {only_field(current_local)[0]: url}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        url = _plain_address(text)
        if url is None or _is_link(url):
            return None
        return f"{field_label(name)}: “{url}” is not a web address; a link on Monday needs one, such as https://example.org"


def _is_link(url: str) -> bool:
    return _parse_web_address(url) is not None or _OTHER_SCHEME.match(url) is not None


def _parse_web_address(url: str | None) -> _WebAddress | None:
    """The parts of a web address; None for any other text. A host without a scheme needs a dot to be one."""
    parts = _URL_PARTS.match(url) if url and not _OTHER_SCHEME.match(url) else None
    if parts is None:
        return None
    scheme, authority, path, rest = parts.groups(default="")
    # Where a host has a space, a sentence only names an address.
    if _SPACE.search(authority):
        return None
    user, at_sign, host = authority.rpartition("@")
    has_host = bool(scheme and host) or host.partition(":")[0] == "localhost" or _INNER_DOT.search(host)
    return _WebAddress(scheme, user + at_sign, host, path, rest) if has_host else None


_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21"}
# Escapes, and what stands in no address but as one; browsers take it and escape it.
_ESCAPES = re.compile(r"""(?:%[0-9a-f]{2})+|[\s"<>\\^`{|}\[\]]+""", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]|[^\s\x00-\x7f\ud800-\udfff]")


def _canonical_host(host: str, scheme: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or not (port == "" or port.isdecimal()):
        name, port = host, ""
    # Unicode's compatible form has the full-width letters and dots of an input method as plain ones.
    # The brackets of an IPv6 address are its own.
    domain = name if name.startswith("[") else _fold_escapes(name)
    # The dot with which a whole domain may end says nothing.
    name = readable_domain(plain_letters(domain).lower()).removesuffix(".")
    # As a number: 0443 is 443.
    port = plain_letters(port).lstrip("0") or (port and "0")
    return name if port in ("", _DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"


def _fold_escapes(part: str) -> str:
    """The part of an address with escapes only for what has to be escaped, in capitals (RFC 3986, 6.2.2)."""

    def fold(escapes: re.Match[str]) -> str:
        if escapes[0][0] != "%":
            return escaped(escapes[0])
        text = bytes.fromhex(escapes[0].replace("%", "")).decode(errors="surrogateescape")
        plain = {letter for letter in text if _UNRESERVED.match(letter) and drop_invisible(letter)}
        return "".join(letter if letter in plain else escaped(letter) for letter in text)

    def escaped(letters: str) -> str:
        return "".join(f"%{byte:02X}" for byte in letters.encode(errors="surrogateescape"))

    return _ESCAPES.sub(fold, part)


def _resolve_dots(path: str) -> str:
    """The path without “.” and “..” (RFC 3986, 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            kept = kept[:-1] or [""]
        elif segment != ".":
            kept.append(segment)
    return "/".join([*kept, ""] if segments[-1] in (".", "..") else kept)


# One decimal number and a numbers column.


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

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _NUMBER.match(typed):
            raise ValueError(f"{typed} is not a number; write it with a point and no spaces, such as 1234.5.")
        return {only_field(current_local)[0]: canonical_number(typed)}

    def rejection_reason(self, raw_local: Local) -> str | None:
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
    (developer.monday.com/api-reference/reference/date). A day without a time is the same everywhere; a moment has the
    day of the options' time zone, and keeps its time there when NPD changes the day.
    """

    column_type = "date"
    name = "date"
    is_stateless = True
    bare_text_problem = ", which may be in a person's time zone"

    def __init__(self, options: ConverterOptions = ConverterOptions()) -> None:  # noqa: B008 (frozen)
        self._zone = _time_zone(options.time_zone)

    def local(self, raw: Local) -> Canonical:
        return canonical_text(_day_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        day = canonical_text(text_under(raw, "date"))
        moment = _moment(raw, self._zone)
        return day if moment is None else moment.date().isoformat()

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
        sent = {"date": day} | {key: existing[key] for key in ("time", "icon") if existing.get(key)}
        moment = _moment(existing, self._zone)
        if moment is None or not _is_day(str(day)):
            return sent
        try:
            moment = dt.datetime.combine(dt.date.fromisoformat(str(day)), moment.time(), self._zone).astimezone(dt.UTC)
        except OverflowError:
            return sent
        return sent | {"date": moment.date().isoformat(), "time": moment.time().isoformat()}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _is_day(typed):
            raise ValueError(f"{typed} is not a date; write it as year-month-day, such as 2026-01-31.")
        return {only_field(current_local)[0]: typed}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = _day_text(raw_local)
        day = canonical_text(text)
        if day is None or _is_day(day):
            return None
        return f"{field_label(name)}: “{day}” is not a day such as 2026-01-31, and the column on Monday holds days"


@cache
def _time_zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        return dt.UTC


def _moment(raw: Any, zone: dt.tzinfo) -> dt.datetime | None:
    """The moment that a cell holds, in this time zone; None where it holds a day alone."""
    if not isinstance(raw, Mapping) or not raw.get("time"):
        return None
    try:
        return dt.datetime.fromisoformat(f"{raw['date']}T{raw['time']}").replace(tzinfo=dt.UTC).astimezone(zone)
    except (KeyError, ValueError, OverflowError):
        return None


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
