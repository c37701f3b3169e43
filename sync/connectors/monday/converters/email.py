"""One field and the address of an e-mail column; the column's label belongs to the board's people."""

import re
from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    only_field,
    only_text,
    shown_value,
    text_at,
)
from sync.connectors.monday.items import Reading

_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")


class EmailConverter(Plain):
    """What a base keeps is `{"email", "text"}`, or None for an empty cell."""

    column_type = "email"

    def local(self, raw: Local) -> Canonical:
        return canonical_address(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_address(text_at(raw, "email"))

    def raw_of(self, reading: Reading) -> Any:
        value = shown_value(reading, "email")
        address = text_at(value, "email") if value != {} else None
        if not address:
            return None
        label = value.get("text") if isinstance(value, Mapping) else None
        return {"email": address, "text": label if isinstance(label, str) else address}

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        address = canonical_text(only_text(raw_local)[1])
        if address is None:
            return None
        return {"email": address, "text": _own_label(existing_remote_raw) or address}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        address = canonical_text(text_at(remote_raw, "email"))
        return {name: current if canonical_address(current) == canonical_address(address) else address}

    def from_text(self, text: str, current_local: Local) -> Local:
        address = canonical_text(text)
        if address is not None and not _ADDRESS.match(address):
            raise ValueError(f"{address} is not an e-mail address; it needs the form name@example.org.")
        return {only_field(current_local)[0]: address}

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "email")
        if isinstance(value, str):
            raise UnknownValue("the event's e-mail value is a bare text, which may be a label")
        return self.remote(value)


def canonical_address(text: str | None) -> str | None:
    """Trimmed, the domain case-folded; the part before the @ can be case-sensitive (RFC 5321, 2.4)."""
    address = canonical_text(text)
    if address is None or "@" not in address:
        return address
    mailbox, domain = address.rsplit("@", 1)
    return canonical_text(f"{mailbox}@{domain.casefold()}")


def _own_label(existing: Any) -> str | None:
    """A label that someone gave the cell; one that only repeats the old address goes with it."""
    if not isinstance(existing, Mapping):
        return None
    label = canonical_text(existing.get("text"))
    return None if canonical_address(label) == canonical_address(existing.get("email")) else label
