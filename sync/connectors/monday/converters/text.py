"""One text field in a text or long text column, or as the item's name."""

from typing import Any, ClassVar

from sync.connectors.monday.converters.base import Canonical, Local, Plain
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    known_value,
    only_field,
    only_text,
    text_at,
    words,
)
from sync.connectors.monday.items import Reading

NAME_CHARACTERS = 255  # developer.monday.com/api-reference/reference/name-first-column
LONG_TEXT_CHARACTERS = 2_000  # developer.monday.com/api-reference/reference/long-text
ITEM_BYTES = 65_536  # all values of an item together: developer.monday.com/api-reference/reference/text


class TextConverter(Plain):
    """One field, one text column. What a base keeps is the text itself."""

    column_type = "text"
    # A text can be mapped to an existing column of either kind.
    readable: ClassVar[tuple[str, ...]] = ("text", "long_text")

    def local(self, raw: Local) -> Canonical:
        return canonical_text(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_text(text_at(raw, "text", "value", "name"))

    def raw_of(self, reading: Reading) -> Any:
        value = known_value(reading, *self.readable)
        if value is None:
            return reading.text or None
        return text_at(value, "text", "value", "name")

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return canonical_text(only_text(raw_local)[1])

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        canonical = canonical_text(text_at(remote_raw, "text", "value", "name"))
        return {name: current if canonical_text(current) == canonical else canonical}

    def from_text(self, text: str, current_local: Local) -> Local:
        return {only_field(current_local)[0]: canonical_text(text)}

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        size = len((canonical_text(text) or "").encode())
        if size <= ITEM_BYTES:
            return None
        return f"{words(name)}: {size:,} bytes; a Monday item holds {ITEM_BYTES:,}"

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, *self.readable))


class LongTextConverter(TextConverter):
    """One field, one long text column, which holds 2,000 characters."""

    column_type = "long_text"

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        text = canonical_text(only_text(raw_local)[1])
        return {"text": text} if text is not None else None

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        return _too_long(name, canonical_text(text), LONG_TEXT_CHARACTERS, "a long text on Monday")


class NameConverter(TextConverter):
    """One field and the item's name, which can't be empty."""

    column_type = "name"
    readable = ("name",)

    def from_text(self, text: str, current_local: Local) -> Local:
        canonical = canonical_text(text)
        if canonical is None:
            raise ValueError("A name can't be empty.")
        return {only_field(current_local)[0]: canonical}

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        canonical = canonical_text(text)
        if canonical is None:
            return f"{words(name)} is empty; an item on Monday needs a name"
        return _too_long(name, canonical, NAME_CHARACTERS, "an item's name on Monday")


def _too_long(field: str, text: str | None, most: int, holder: str) -> str | None:
    length = len(text or "")
    return f"{words(field)}: {length:,} characters; {holder} holds {most:,}" if length > most else None
