"""One text field, or a list, in a column of text: text, long text, the item's name, email, link."""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from sync.connectors.base.board_items import Reading
from sync.connectors.base.conversion import (
    SEPARATORS,
    Canonical,
    ListConverter,
    Local,
    canonical_text,
    field_label,
    only_field,
    only_text,
    parse_elements,
)
from sync.connectors.monday.columns.raw_values import (
    MondayColumn,
    complete_value,
    known_value,
    object_or_empty,
    text_under,
)

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

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return canonical_text(only_text(raw_local)[1])

    def from_text(self, text: str, current_local: Local) -> Local:
        return {only_field(current_local)[0]: canonical_text(text)}

    def unfit_reason(self, raw_local: Local) -> str | None:
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

    def unfit_reason(self, raw_local: Local) -> str | None:
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

    def unfit_reason(self, raw_local: Local) -> str | None:
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
    both. An element that contains one can't be sent, and `unfit_reason` says so.
    """

    name = "list_text"

    def remote_elements(self, raw: Any) -> list[str]:
        return parse_elements(plain_text(raw))

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return ", ".join(self.elements(only_field(raw_local)[1])) or None

    def unfit_reason(self, raw_local: Local) -> str | None:
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


class EmailConverter(MondayColumn):
    """A base keeps `{"email", "text"}`, or None for an empty cell."""

    column_type = "email"
    name = "email"
    is_stateless = True
    bare_text_problem = ", which may be a label"
    fragment = "... on EmailValue { email label }"
    is_always_asked = True
    is_distinctive = True

    def local(self, raw: Local) -> Canonical:
        return canonical_address(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_address(text_under(raw, "email"))

    def stored_value(self, reading: Reading) -> Any:
        value = complete_value(reading, "email")
        address = text_under(value, "email") if value != {} else None
        if not address:
            return None
        label = value.get("text") if isinstance(value, Mapping) else None
        return {"email": address, "text": label if isinstance(label, str) else address}

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        address = canonical_text(only_text(raw_local)[1])
        if address is None:
            return None
        # The label that a person gave the address stays.
        return {"email": address, "text": _custom_label(existing_remote_raw, "email", canonical_address) or address}

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        return canonical_text(text_under(remote_raw, "email"))

    def from_text(self, text: str, current_local: Local) -> Local:
        address = canonical_text(text)
        if address is not None and not _ADDRESS.match(address):
            raise ValueError(f"{address} is not an email address; it needs the form name@example.org.")
        return {only_field(current_local)[0]: address}

    def rejection_risk(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        found = _DOUBTFUL.search(canonical_text(text) or "")
        if found is None:
            return None
        return (
            f"{field_label(name)}: “{found[0]}” in an email address is probably rejected by Monday; use another address"
        )


def canonical_address(text: str | None) -> str | None:
    """Trimmed, the domain case-folded; the part before the @ can be case-sensitive (RFC 5321, 2.4)."""
    address = canonical_text(text)
    if address is None or "@" not in address:
        return address
    mailbox, domain = address.rsplit("@", 1)
    return canonical_text(f"{mailbox}@{domain.casefold()}")


def _custom_label(existing: Any, key: str, canonical: Callable[[str | None], str | None]) -> str | None:
    """A label that a person gave the cell; one that only repeats the old address changes with the address."""
    if not isinstance(existing, Mapping):
        return None
    label = canonical_text(existing.get("text"))
    return None if canonical(label) == canonical(existing.get(key)) else label


# One field and the address of a link column. The link's text is not mapped.


_URL_PARTS = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_INNER_DOT = re.compile(r"[^.:]\.[^.:]")

# mailto:ada@example.org and the like: a scheme without "//", and no host with a port.
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:(?!//)[^0-9\s]\S*\Z", re.IGNORECASE)


class _WebAddress(NamedTuple):
    """An address on the web; `scheme` is empty where the text has none."""

    scheme: str
    user: str
    host: str
    rest: str


class LinkConverter(MondayColumn):
    """A base keeps `{"url", "text"}`, or None for an empty cell.

    Monday takes no address without a scheme (developer.monday.com/api-reference/reference/link); one that NPD
    stores without is sent, and compared, as https.
    """

    column_type = "link"
    name = "link"
    is_stateless = True
    bare_text_problem = ", which may be its label"

    def local(self, raw: Local) -> Canonical:
        return canonical_link(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_link(text_under(raw, "url"))

    def stored_value(self, reading: Reading) -> Any:
        value = object_or_empty(complete_value(reading, "link"))
        url = text_under(value, "url") if value else None
        if not url:
            return None
        label = value.get("text")
        return {"url": url, "text": label if isinstance(label, str) else url}

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        url = canonical_text(only_text(raw_local)[1])
        if url is None:
            return None
        # Monday takes no address without a scheme.
        web = _parse_web_address(url)
        url = f"https://{url}" if web is not None and not web.scheme else url
        return {"url": url, "text": _custom_label(existing_remote_raw, "url", canonical_link) or url}

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        return canonical_text(text_under(remote_raw, "url"))

    def from_text(self, text: str, current_local: Local) -> Local:
        url = canonical_text(text)
        if url is not None and not _is_link(url):
            raise ValueError(f"{url} is not a web address; it needs a form such as https://example.org.")
        return {only_field(current_local)[0]: url}

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        url = canonical_text(text)
        if url is None or _is_link(url):
            return None
        return f"{field_label(name)}: “{url}” is not a web address; a link on Monday needs one, such as https://example.org"


def canonical_link(text: str | None) -> str | None:
    """Scheme (https where there is none) and host in lower case, a bare "/" dropped (RFC 3986, 6.2)."""
    url = canonical_text(text)
    web = _parse_web_address(url)
    if web is None:
        return url
    rest = "" if web.rest == "/" else web.rest
    # The user's name and password before an @ can be case-sensitive.
    return canonical_text(f"{(web.scheme or 'https').lower()}://{web.user}{web.host.lower()}{rest}")


def _is_link(url: str) -> bool:
    return _parse_web_address(url) is not None or _OTHER_SCHEME.match(url) is not None


def _parse_web_address(url: str | None) -> _WebAddress | None:
    """The parts of a web address; None for any other text. A host without a scheme needs a dot to be one."""
    parts = _URL_PARTS.match(url) if url and not _OTHER_SCHEME.match(url) and len(url.split()) == 1 else None
    if parts is None:
        return None
    scheme, authority, rest = parts.groups(default="")
    user, at_sign, host = authority.rpartition("@")
    has_host = bool(scheme and host) or host.partition(":")[0] == "localhost" or _INNER_DOT.search(host)
    return _WebAddress(scheme, user + at_sign, host, rest) if has_host else None
