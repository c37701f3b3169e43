"""The five address fields of a record as one text column, such as "12 Main St, Springfield, IL, 62701, USA".

Compared in the column's form: pieces between commas, trimmed, empty ones dropped. The fields are divided
again only where that is certain; docs/decisions/0025 says when.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sync.connectors.monday.converters.base import CannotSplit, Canonical, Local, Plain
from sync.connectors.monday.converters.forms import canonical_text, folded
from sync.connectors.monday.converters.text import ITEM_BYTES, TextConverter
from sync.connectors.monday.items import Reading

ADDRESS_FIELDS = ("address_street", "address_city", "address_state", "address_zip", "address_country")
# A zip code has a digit; the others have none, or had one before. A street may be anything.
_ZIP = "address_zip"
_WORDS_ONLY = ("address_city", "address_state", "address_country")
_UNSURE = "say what belongs to street, city, state, zip and country"

_Shares = Mapping[str, Sequence[str]]


class AddressConverter(Plain):
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

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(self._column.event(payload_value, column_type))


def _divided(pieces: Sequence[str], current: Local) -> Local:
    """Give each field its pieces; raises CannotSplit where it isn't certain which these are."""
    before = {name: _pieces(current.get(name)) for name in ADDRESS_FIELDS}
    shares = _left_over(pieces, before) or _by_place(pieces, before)
    return {name: _respelled(_joined(shares[name]), current.get(name)) for name in ADDRESS_FIELDS}


def _left_over(pieces: Sequence[str], before: _Shares) -> _Shares | None:
    """Where parts were only taken away, the fields of those that are left; None for any other edit."""
    owners = {piece: name for name, own in before.items() for piece in own}
    everything = [piece for own in before.values() for piece in own]
    if len(owners) < len(everything) or [piece for piece in everything if piece in pieces] != list(pieces):
        return None
    return {name: [piece for piece in own if piece in pieces] for name, own in before.items()}


def _by_place(pieces: Sequence[str], before: _Shares) -> _Shares:
    """Give each filled field as many pieces as it has now, or each field one where all are empty."""
    counts = {name: len(own) for name, own in before.items()}
    if not any(counts.values()):
        counts = dict.fromkeys(ADDRESS_FIELDS, 1)
    expected = sum(counts.values())
    if len(pieces) != expected:
        raise CannotSplit(
            f"Monday's address has {len(pieces)} parts between commas where {expected} were expected; {_UNSURE}"
        )
    rest = iter(pieces)
    shares = {name: [next(rest) for _ in range(count)] for name, count in counts.items()}
    for name, own in shares.items():
        _check_shape(name, own, before[name])
        _check_origin(name, own, before, shares)
    return shares


def _check_shape(name: str, own: Sequence[str], before: Sequence[str]) -> None:
    """A number where a word has always been, or the reverse, has slipped there from another part."""
    for piece in own:
        digits = any(character.isdigit() for character in piece)
        had_digits = any(character.isdigit() for old in before for character in old)
        if name == _ZIP and not digits and (had_digits or not before):
            raise CannotSplit(f"“{piece}” stands where Monday's address had the zip code; {_UNSURE}")
        if name in _WORDS_ONLY and digits and not had_digits:
            part = name.removeprefix("address_")
            raise CannotSplit(f"“{piece}” stands where Monday's address had the {part}; {_UNSURE}")


def _check_origin(name: str, own: Sequence[str], before: _Shares, shares: _Shares) -> None:
    """A piece that another field had, and has no more, has moved: the places don't count from there."""
    stayed = _counted(before[name])
    for other in ADDRESS_FIELDS:
        lost = _counted(before[other]) - _counted(shares[other])
        moved = next((piece for piece in own if lost[_plain(piece)] and not stayed[_plain(piece)]), None)
        if other != name and moved is not None:
            raise CannotSplit(f"“{moved}” has moved to another place in Monday's address; {_UNSURE}")


def _counted(pieces: Sequence[str]) -> Counter[str]:
    return Counter(_plain(piece) for piece in pieces)


def _plain(piece: str) -> str:
    return (folded(piece) or "").casefold()


def _respelled(new: str | None, current: str | None) -> str | None:
    """A part that says the same keeps the spelling that a person gave it."""
    return current if _joined(_pieces(current)) == new else new


def _pieces(text: str | None) -> list[str]:
    pieces = [canonical_text(piece) for piece in (canonical_text(text) or "").split(",")]
    return [piece for piece in pieces if piece is not None]


def _joined(pieces: Sequence[str]) -> str | None:
    return ", ".join(pieces) or None
