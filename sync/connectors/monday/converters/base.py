"""What a converter is: the translation between fields of a record and one column of a board.

Everything here is pure. A value has three forms: raw in NPD (a mapping of field names to texts), raw on
Monday (a JSON value, as it is kept in a base), and canonical (what is compared). `None` is the empty
canonical value.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sync.connectors.monday.items import Reading

Canonical = str | tuple[str, ...] | None
Local = Mapping[str, str | None]


class UnknownValue(ValueError):
    """The value can't be told; nothing may be concluded from it. The message says why, in words."""


class CannotSplit(ValueError):
    """A column's value can't be divided among its fields. The message says why, in words."""


class Converter(Protocol):
    """Fields of one kind of column; `column_type` is the type of a column that is made for them."""

    @property
    def column_type(self) -> str:
        """The Monday column type to create: "text", "long_text", "email", "phone" or "name"."""

    def local(self, raw: Local) -> Canonical:
        """The canonical form of the mapping's NPD fields."""

    def remote(self, raw: Any) -> Canonical:
        """The canonical form of what `raw_of` kept."""

    def raw_of(self, reading: Reading) -> Any:
        """The JSON value of a reading that a base keeps; raises UnknownValue for an unknown reading."""

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        """What to send as the column's value; None clears it. Unmapped parts go back as they were."""

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for Monday's value; a field that already says the same keeps its spelling.

        Raises CannotSplit where the value can't be divided for certain.
        """

    def from_text(self, text: str, current_local: Local) -> Local:
        """The NPD fields for a value that a person typed; raises ValueError with a sentence for them."""

    def limit(self, raw_local: Local) -> str | None:
        """Why Monday certainly won't take the value, or None."""

    def display(self, canonical: Canonical) -> str:
        """The value for people; the empty value is an empty text."""

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        """The canonical form of a webhook's `value`; raises UnknownValue for what it can't decode."""
