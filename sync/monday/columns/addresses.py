"""Columns with an address and its label (email, link), and the five fields of a postal address as one text column.

A label is not mapped, and stays as a person wrote it.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

from sync.monday import conversion, text_forms
from sync.monday.board_items import Reading, Reason
from sync.monday.columns.values import TextColumn, raw_text, too_large_reason
from sync.monday.conversion import AmbiguousSplit, Canonical, Local, OneText


class AddressWithLabel(OneText):
    """An address under `key`; a base keeps it with its label under "text", or None for an empty cell."""

    key: ClassVar[str]
    may_become_unknown = False

    def canonical_remote(self, raw: Any) -> Canonical:
        return self.canonical(conversion.text_under(raw, self.key))

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.object_or_empty(conversion.complete_value(reading, self.column_type))
        address = conversion.text_under(value, self.key) if value else None
        if not address:
            return None
        label = value.get("text")
        return {self.key: address, "text": label if isinstance(label, str) else address}

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        address = self.tidied(conversion.only_text(local_raw)[1])
        if address is None:
            return None
        address = self.for_monday(address)
        existing = current_remote if isinstance(current_remote, Mapping) else {}
        label = text_forms.canonical_text(existing.get("text"))
        # A label that only repeats the old address changes with it.
        is_own = label is not None and self.canonical(label) != self.canonical(existing.get(self.key))
        return {self.key: address, "text": label if is_own else address}

    def for_monday(self, address: str) -> str:
        """Return the address in a form that Monday accepts."""
        raise NotImplementedError

    def changed_value(self, remote_raw: Any) -> Any:
        return self.tidied(conversion.text_under(remote_raw, self.key))


class EmailConverter(AddressWithLabel):
    column_type = name = key = "email"
    takes_bare_text = False  # it may be a label
    fragment = "... on EmailValue { email label }"

    def canonical(self, text: str | None) -> str | None:
        """Fold case, also before the @, where no provider distinguishes people by it."""
        return self.tidied((self.tidied(text) or "").lower())

    def tidied(self, text: str | None) -> str | None:
        return text_forms.email_address(text or "") or None

    def for_monday(self, address: str) -> str:
        """Return the address with the xn-- form of its domain, which checks of addresses accept."""
        name, at_sign, domain = address.rpartition("@")
        return name + at_sign + (domain if domain.isascii() else text_forms.ascii_domain(domain.lower()))

    # Only what a person types is checked here; a stored address is sent, because only Monday knows which it accepts.
    def problem(self, text: str) -> Reason | None:
        is_address = re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", text)
        return None if is_address else Reason("no_email", value=text)

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        return None


# Scheme, host and path, each of which may be missing, and the rest.
_URL_PARTS = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]*)([^?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_INNER_DOT = re.compile(r"[^.:]\.[^.:]")

# Such as mailto:ada@example.org: a scheme without "//", and no host with a port.
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+-]*:(?!//)[^0-9\s]\S*\Z", re.IGNORECASE)


class _WebAddress(NamedTuple):
    """The parts of a web address."""

    scheme: str  # may be empty
    user: str  # with its “@”
    host: str
    path: str
    rest: str  # query and fragment


class LinkConverter(AddressWithLabel):
    """A link. One that NPD stores without a scheme is sent and compared as https, because Monday requires a scheme
    (developer.monday.com/api-reference/reference/link).
    """

    column_type = name = "link"
    key = "url"
    takes_bare_text = False  # it may be the link's label

    def canonical(self, text: str | None) -> str | None:
        """Return the address with its scheme and its domain's own letters in lower case, without a usual port, and with
        its percent escapes in one form.
        """
        url = self.tidied(text)
        web = _parse_web_address(url)
        if web is None:
            # In other links only the scheme ignores case.
            scheme, colon, rest = (url or "").partition(":")
            return scheme.lower() + colon + _with_same_escapes(rest) if url and _OTHER_SCHEME.match(url) else url
        scheme = (web.scheme or "https").lower()
        host = text_forms.readable_domain(text_forms.plain_letters(web.host).lower())
        host = host.removesuffix(_USUAL_PORTS.get(scheme, ":"))  # of other schemes, an empty port
        path = "" if web.path == "/" else web.path
        escaped = _with_same_escapes(path + web.rest)
        return text_forms.canonical_text(f"{scheme}://{web.user}{host}{escaped}")

    def tidied(self, text: str | None) -> str | None:
        """Escape spaces, which no form accepts."""
        url = text_forms.canonical_text(text_forms.drop_invisible(text or ""))
        return url if _parse_web_address(url) is None else _SPACE.sub(lambda space: quote(space[0]), url or "")

    def for_monday(self, address: str) -> str:
        web = _parse_web_address(address)
        return f"https://{address}" if web is not None and not web.scheme else address

    def problem(self, text: str) -> Reason | None:
        is_link = _parse_web_address(text) is not None or _OTHER_SCHEME.match(text)
        return None if is_link else Reason("no_link", value=text)


def _parse_web_address(url: str | None) -> _WebAddress | None:
    """Return the parts of a web address, None for any other text; a host without a scheme needs a dot."""
    parts = _URL_PARTS.match(url) if url and not _OTHER_SCHEME.match(url) else None
    if parts is None:
        return None
    scheme, authority, path, rest = parts.groups(default="")
    # A host with a space: a sentence that contains an address.
    if _SPACE.search(authority):
        return None
    user, at_sign, host = authority.rpartition("@")
    has_host = bool(scheme and host) or host.partition(":")[0] == "localhost" or _INNER_DOT.search(host)
    return _WebAddress(scheme, user + at_sign, host, path, rest) if has_host else None


def _with_same_escapes(text: str) -> str:
    """Return a path, query and fragment with the same characters escaped, and in capitals (RFC 3986, 6.2.2).

    Monday stores other letters than ASCII's as the escapes of their UTF-8. A percent sign that begins no escape counts
    as an escaped one.
    """

    def normal_escape(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%25"
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return quote(_PERCENT.sub(normal_escape, text), safe=f"{_RESERVED}%", errors="surrogatepass")


_PERCENT = re.compile(r"%([0-9a-f]{2})?", re.IGNORECASE)
_UNRESERVED = frozenset(f"{string.ascii_letters}{string.digits}-._~")
_RESERVED = ":/?#[]@!$&'()*+,;="
_USUAL_PORTS = {"http": ":80", "https": ":443"}
_SPACE = re.compile(r"\s+")

# A field belongs to the part with which its name ends.
_PARTS = ("street", "city", "state", "zip", "country")

# A zip code has a digit; parts that are words have none unless they had one before; a street may be anything.
_ZIP = "zip"
_WORDS_ONLY = ("city", "state", "country")
_Shares = Mapping[str, Sequence[str]]  # pieces of an address, by part


class AddressConverter(TextColumn):
    """Five fields as one text, such as "12 Main St, Springfield, IL, 62701, USA".

    Compared by the trimmed pieces between commas. A text is split into fields only where that is certain;
    docs/decisions/0013-the-connector.md says when.
    """

    name = "address"

    def canonical_local(self, raw: Local) -> Canonical:
        return _join_pieces([piece for name in _field_names(raw).values() for piece in _split_pieces(raw[name])])

    def canonical_remote(self, raw: Any) -> Canonical:
        return _join_pieces(_split_pieces(raw_text(raw)))

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        pieces = _split_pieces(remote_raw)
        # Equal pieces stay in NPD's fields.
        if _join_pieces(pieces) == self.canonical_local(current_local):
            return dict(current_local)
        if not pieces:
            return dict.fromkeys(current_local)
        names = _field_names(current_local)
        before = {part: _split_pieces(current_local[name]) for part, name in names.items()}
        # If pieces were only removed, it is certain which remain, even if positions have moved. Pieces that occur
        # twice, or in another order, can't be assigned for certain.
        former = [piece for part_pieces in before.values() for piece in part_pieces]
        has_twice = len(set(former)) < len(former)
        if not has_twice and [piece for piece in former if piece in pieces] == pieces:
            shares: _Shares = {
                part: [piece for piece in part_pieces if piece in pieces] for part, part_pieces in before.items()
            }
        else:
            shares = _shares_by_position(pieces, before)
        local = {}
        for part, name in names.items():
            text = _join_pieces(shares[part])
            current = current_local[name]
            # Equal pieces keep the spelling that the field has.
            local[name] = current if _join_pieces(_split_pieces(current)) == text else text
        return local

    def from_text(self, text: str, current_local: Local) -> Local:
        try:
            return self.to_local(text, current_local)
        except AmbiguousSplit:
            # The whole text goes into the first field.
            first = next(iter(_field_names(current_local).values()))
            return dict.fromkeys(current_local) | {first: text_forms.canonical_text(text)}

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        return too_large_reason("address", str(self.canonical_local(local_raw) or ""))


def _field_names(raw: Local) -> dict[str, str]:
    """Return the fields' names by part, in the order of an address."""
    return {part: name for part in _PARTS for name in raw if name.endswith(part)}


def _shares_by_position(pieces: Sequence[str], before: _Shares) -> _Shares:
    """Give each filled field as many pieces as it has now; one to each field if all are empty."""
    counts = {part: len(part_pieces) for part, part_pieces in before.items()}
    if not any(counts.values()):
        counts = dict.fromkeys(before, 1)
    expected = sum(counts.values())
    if len(pieces) != expected:
        raise AmbiguousSplit(Reason("address_other_parts", number=len(pieces), expected=expected))
    rest = iter(pieces)
    shares = {part: [next(rest) for _ in range(count)] for part, count in counts.items()}
    for part, part_pieces in shares.items():
        _check_shape(part, part_pieces, before[part])
        # If a piece has moved from one field to another, positions can't be trusted.
        remaining = _piece_counts(before[part])
        for other_part in before:
            if other_part == part:
                continue
            lost = _piece_counts(before[other_part]) - _piece_counts(shares[other_part])
            for piece in part_pieces:
                if lost[_comparable(piece)] and not remaining[_comparable(piece)]:
                    raise AmbiguousSplit(Reason("address_moved", piece=piece))
    return shares


def _check_shape(part: str, pieces: Sequence[str], before: Sequence[str]) -> None:
    """Raise AmbiguousSplit for a number where the field had only words, or a word instead of the zip code."""
    for piece in pieces:
        has_digits = any(character.isdigit() for character in piece)
        had_digits = any(character.isdigit() for old in before for character in old)
        if part == _ZIP and not has_digits and (had_digits or not before):
            raise AmbiguousSplit(Reason("address_no_zip", piece=piece))
        if part in _WORDS_ONLY and has_digits and not had_digits:
            raise AmbiguousSplit(Reason("address_number", piece=piece, part=part))


def _piece_counts(pieces: Sequence[str]) -> Counter[str]:
    return Counter(_comparable(piece) for piece in pieces)


def _comparable(piece: str) -> str:
    return (text_forms.fold_whitespace(piece) or "").casefold()


def _split_pieces(text: str | None) -> list[str]:
    pieces = [text_forms.canonical_text(piece) for piece in (text_forms.canonical_text(text) or "").split(",")]
    return [piece for piece in pieces if piece is not None]


def _join_pieces(pieces: Sequence[str]) -> str | None:
    return ", ".join(pieces) or None
