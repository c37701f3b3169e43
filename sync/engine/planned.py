"""What a look does with one field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sync.connectors.monday.converters import Converter, UnknownValue
from sync.connectors.monday.items import Item
from sync.hooks import FieldConflict
from sync.merge import Decision
from sync.models import FieldMapping

if TYPE_CHECKING:
    from sync.engine.undoing import Wish


@dataclass
class Planned:
    """What a look does with one field: the decision with the raw values that it rests on.

    `conflict` is there when a person has to decide; `asked` when one has, and `choice` says what. `hold` is why
    nothing is done with it, in words: `refused` by Monday, or `too_much` for its column; or `left_out`, which
    doesn't keep the record from being in sync. `takes_back` is the text of a lost value that a person wants back on
    both sides. `landed` is the entry of an intent without an answer whose value Monday now shows; `undo` is the wish
    to undo how the field was settled, where this look carries it out. `awaits` names, as AwaitedRelation does, the
    item or name for which a record has to come first.
    """

    mapping: FieldMapping
    convert: Converter
    decision: Decision
    local_raw: dict[str, Any]
    remote_raw: Any = None
    send_raw: dict[str, Any] | None = None
    write_raw: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    hold: str = ""
    refused: bool = False
    too_much: bool = False
    left_out: bool = False
    awaits: str = ""
    takes_back: str | None = None
    choice: str = ""
    conflict: FieldConflict | None = None
    asked: FieldConflict | None = None
    answered: Item | None = None
    landed: dict[str, Any] | None = None
    undo: Wish | None = None

    def shown(self, raw_local: dict[str, Any] | None) -> str:
        """Return NPD's raw values for people; of a related record without an item, its name."""
        try:
            return self.convert.display(self.convert.local(raw_local or {}))
        except UnknownValue:
            return named(raw_local)

    def held(self, reason: str, *, refused: bool = False, too_much: bool = False) -> Planned:
        """Do nothing with the field, and say why; what Monday refused is not tried again until something changes."""
        self.hold, self.refused, self.too_much = reason, refused, too_much
        self.send_raw = self.write_raw = None
        return self


def named(raw_local: dict[str, Any] | None) -> str:
    """Return the name of the related record in these raw values, or an empty text."""
    values = [value for value in (raw_local or {}).values() if isinstance(value, dict)]
    return str(values[0].get("name") or "") if values else ""


def column_value(planned: Planned) -> Any:
    """Return what is sent to the field's column."""
    return planned.convert.write(planned.send_raw or {}, planned.remote_raw)


def creates_labels(planned: Iterable[Planned]) -> bool:
    """Whether a value that is sent may be a label that its column doesn't have yet."""
    return any(one.convert.creates_labels and one.send_raw is not None for one in planned)
