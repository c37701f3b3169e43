"""What a converter is: the translation between fields of a record and one column of a board.

Everything here is pure. A value has three forms: raw in NPD (a mapping of field names to JSON values), raw on
Monday (a JSON value, as it is kept in a base), and canonical (what is compared). `None` is the empty
canonical value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync.connectors.monday.items import Reading

Canonical = str | tuple[str, ...] | None
"""A text, or for lists the elements sorted and without doubles; never an empty text or an empty tuple."""

Local = Mapping[str, Any]
"""NPD's raw values by field: text, bool (checkbox), list of texts, ISO date, decimal as text, None; a related
record is `{"id": its uuid, "item": its item's id or None, "name": its name}`, or None where there is none."""


class UnknownValue(ValueError):
    """The value can't be told; nothing may be concluded from it. The message says why, in words."""


class CannotSplit(ValueError):
    """A column's value can't be divided among its fields. The message says why, in words."""


@dataclass(frozen=True)
class Options:
    """What a converter needs to know besides the value.

    `region` is the two-letter country of telephone numbers without one; `settings` the column's settings as
    Monday gives them; `people` e-mail addresses by user id, `tags` names by tag id, `items` names of related
    items by id (only to show them).
    """

    region: str = "US"
    settings: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)


class Converter(Protocol):
    """Fields of one kind of column; `column_type` is the type of a column that is made for them."""

    @property
    def column_type(self) -> str:
        """The Monday column type to create: "text", "status", "board_relation" …, or "name"."""

    @property
    def creates_labels(self) -> bool:
        """Whether a value may be a label that the column doesn't have yet, to be made by the write."""

    def local(self, raw: Local) -> Canonical:
        """The canonical form of the mapping's NPD fields.

        Raises UnknownValue where it can't be said yet: a related record without an item.
        """

    def remote(self, raw: Any) -> Canonical:
        """The canonical form of what `raw_of` kept; raises UnknownValue for what can't be told."""

    def raw_of(self, reading: Reading) -> Any:
        """The JSON value of a reading that a base keeps; raises UnknownValue for an unknown reading."""

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        """What to send as the column's value; None clears it. Unmapped parts go back as they were."""

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for Monday's value; a field that already says the same keeps its spelling.

        The form of a list follows the current value: a list stays a list, a text gets the elements between
        commas. Raises CannotSplit where the value can't be divided for certain, UnknownValue where the
        field can't hold it (several values for a field of one).
        """

    def from_text(self, text: str, current_local: Local) -> Local:
        """The NPD fields for a value that a person typed; raises ValueError with a sentence for them."""

    def limit(self, raw_local: Local) -> str | None:
        """Why Monday certainly won't take the value, or None."""

    def missing(self, raw_local: Local) -> list[str]:
        """The names in the value that must be made on Monday before it can be written (tags)."""

    def display(self, canonical: Canonical) -> str:
        """The value for people; the empty value is an empty text."""

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        """The canonical form of a webhook's `value`; raises UnknownValue for what it can't decode."""


class Plain:
    """What most converters have in common."""

    column_type: str = "text"
    creates_labels: bool = False

    def limit(self, raw_local: Local) -> str | None:
        return None

    def missing(self, raw_local: Local) -> list[str]:
        return []

    def display(self, canonical: Canonical) -> str:
        if isinstance(canonical, tuple):
            return ", ".join(canonical)
        return canonical or ""
