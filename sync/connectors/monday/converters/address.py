"""The five address fields of a record as one text column, such as "12 Main St, Springfield, IL, 62701, USA".

Compared in the column's form: pieces between commas, trimmed, empty ones dropped. The fields are divided
again only where that is certain.
"""

from collections.abc import Sequence
from typing import Any

from sync.connectors.monday.converters.base import CannotSplit, Canonical, Local
from sync.connectors.monday.converters.forms import canonical_text
from sync.connectors.monday.converters.text import ITEM_BYTES, TextConverter
from sync.connectors.monday.items import Reading

ADDRESS_FIELDS = ("address_street", "address_city", "address_state", "address_zip", "address_country")


class AddressConverter:
    """Five fields, one text column. What a base keeps is the column's text."""

    column_type = "text"

    def __init__(self) -> None:
        self._column = TextConverter()

    def local(self, raw: Local) -> Canonical:
        return _joined([piece for name in ADDRESS_FIELDS for piece in _pieces(raw.get(name))])

    def remote(self, raw: Any) -> Canonical:
        return _joined(_pieces(raw))

    def raw_of(self, reading: Reading) -> Any:
        return self._column.raw_of(reading)

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        pieces = _pieces(remote_raw)
        if _joined(pieces) == self.local(current_local):
            return {name: current_local.get(name) for name in ADDRESS_FIELDS}
        if not pieces:
            return dict.fromkeys(ADDRESS_FIELDS)
        return _divided(pieces, current_local)

    def from_text(self, text: str, current_local: Local) -> Local:
        try:
            return self.to_local(text, current_local)
        except CannotSplit:
            return dict.fromkeys(ADDRESS_FIELDS) | {"address_street": canonical_text(text)}

    def limit(self, raw_local: Local) -> str | None:
        size = len((str(self.local(raw_local) or "")).encode())
        return f"address: {size:,} bytes; a Monday item holds {ITEM_BYTES:,}" if size > ITEM_BYTES else None

    def display(self, canonical: Canonical) -> str:
        return str(canonical or "")

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(self._column.event(payload_value, column_type))


def _divided(pieces: Sequence[str], current: Local) -> Local:
    """Give each filled field as many pieces as it has now, or each field one where all are empty."""
    shares = {name: len(_pieces(current.get(name))) for name in ADDRESS_FIELDS}
    if not any(shares.values()):
        shares = dict.fromkeys(ADDRESS_FIELDS, 1)
    expected = sum(shares.values())
    if len(pieces) != expected:
        raise CannotSplit(
            f"Monday's address has {len(pieces)} parts between commas where {expected} were expected;"
            " say what belongs to street, city, state, zip and country"
        )
    rest = iter(pieces)
    return {
        name: _respelled(_joined([next(rest) for _ in range(share)]), current.get(name))
        for name, share in shares.items()
    }


def _respelled(new: str | None, current: str | None) -> str | None:
    """A part that says the same keeps the spelling that a person gave it."""
    return current if _joined(_pieces(current)) == new else new


def _pieces(text: str | None) -> list[str]:
    pieces = [canonical_text(piece) for piece in (canonical_text(text) or "").split(",")]
    return [piece for piece in pieces if piece is not None]


def _joined(pieces: Sequence[str]) -> str | None:
    return ", ".join(pieces) or None
