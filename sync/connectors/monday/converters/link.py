"""One field and the address of a link column; the link's text belongs to the board's people."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    object_in,
    only_field,
    only_text,
    shown_value,
    text_at,
    words,
)
from sync.connectors.monday.items import Reading

_PARTS = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_INNER_DOT = re.compile(r"[^.:]\.[^.:]")
# mailto:ada@example.org and the like: a scheme without "//", and no host with a port.
_OTHER = re.compile(r"[a-z][a-z0-9+-]*:(?!//)[^0-9\s]\S*\Z", re.IGNORECASE)


class _Web(NamedTuple):
    """An address on the web; `scheme` is empty where the text has none."""

    scheme: str
    user: str
    host: str
    rest: str


class LinkConverter(Plain):
    """What a base keeps is `{"url", "text"}`, or None for an empty cell.

    Monday takes no address without a scheme (developer.monday.com/api-reference/reference/link); one that NPD
    keeps without is sent, and compared, as https.
    """

    column_type = "link"

    def local(self, raw: Local) -> Canonical:
        return canonical_link(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_link(text_at(raw, "url"))

    def raw_of(self, reading: Reading) -> Any:
        value = object_in(shown_value(reading, "link"))
        url = text_at(value, "url") if value else None
        if not url:
            return None
        label = value.get("text")
        return {"url": url, "text": label if isinstance(label, str) else url}

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        url = _sendable(only_text(raw_local)[1])
        return None if url is None else {"url": url, "text": _own_text(existing_remote_raw) or url}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        same = canonical_link(current) == self.remote(remote_raw)
        return {name: current if same else canonical_text(text_at(remote_raw, "url"))}

    def from_text(self, text: str, current_local: Local) -> Local:
        url = canonical_text(text)
        if url is not None and not _is_link(url):
            raise ValueError(f"{url} is not a web address; it needs a form such as https://example.org.")
        return {only_field(current_local)[0]: url}

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        url = canonical_text(text)
        if url is None or _is_link(url):
            return None
        return f"{words(name)}: “{url}” is not a web address; a link on Monday needs one, such as https://example.org"

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "link")
        if isinstance(value, str):
            raise UnknownValue("the event's link is a bare text, which may be its label")
        return self.remote(value)


def canonical_link(text: str | None) -> str | None:
    """Scheme (https where there is none) and host in lower case, a bare "/" dropped (RFC 3986, 6.2)."""
    url = canonical_text(text)
    web = _web(url)
    if web is None:
        return url
    rest = "" if web.rest == "/" else web.rest
    # The user's name and password before an @ can be case-sensitive.
    return canonical_text(f"{(web.scheme or 'https').lower()}://{web.user}{web.host.lower()}{rest}")


def _sendable(text: str | None) -> str | None:
    url = canonical_text(text)
    web = _web(url)
    return f"https://{url}" if web is not None and not web.scheme else url


def _is_link(url: str) -> bool:
    return _web(url) is not None or _OTHER.match(url) is not None


def _web(url: str | None) -> _Web | None:
    """The parts of a web address; None for any other text. A host without a scheme needs a dot to be one."""
    parts = _PARTS.match(url) if url and not _OTHER.match(url) and len(url.split()) == 1 else None
    if parts is None:
        return None
    scheme, authority, rest = parts.groups(default="")
    user, at, host = authority.rpartition("@")
    named = bool(scheme and host) or host.partition(":")[0] == "localhost" or _INNER_DOT.search(host)
    return _Web(scheme, user + at, host, rest) if named else None


def _own_text(existing: Any) -> str | None:
    """A text that someone gave the link; one that only repeats the old address goes with it."""
    if not isinstance(existing, Mapping):
        return None
    label = canonical_text(existing.get("text"))
    return None if canonical_link(label) == canonical_link(existing.get("url")) else label
