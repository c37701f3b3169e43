"""A list as a text: its elements between commas, in a text or long text column."""

from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local
from sync.connectors.monday.converters.elements import SEPARATORS, ListConverter, elements_of
from sync.connectors.monday.converters.forms import event_value, known_value, only_field, text_at, words
from sync.connectors.monday.converters.text import ITEM_BYTES
from sync.connectors.monday.items import Reading


class ListTextConverter(ListConverter):
    """What a base keeps is the column's text, or None.

    Written with ", " between the elements; read with commas or line breaks between them, for people use
    both. An element that holds one can't be carried, and `limit` says so.
    """

    column_type = "text"

    def remote(self, raw: Any) -> Canonical:
        return self.canonical(elements_of(text_at(raw, "text", "value")))

    def raw_of(self, reading: Reading) -> Any:
        value = known_value(reading, "text", "long_text")
        return (reading.text if value is None else text_at(value, "text", "value")) or None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return ", ".join(self.elements(only_field(raw_local)[1])) or None

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(elements_of(text_at(remote_raw, "text", "value")), current_local)

    def limit(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        elements = self.elements(value)
        spoilt = next((element for element in elements if SEPARATORS.search(element)), None)
        if spoilt is not None:
            return f"{words(name)}: “{spoilt}” holds a comma, which separates the elements on Monday"
        size = len(", ".join(elements).encode())
        return (
            f"{words(name)}: {size:,} bytes; a Monday item holds {ITEM_BYTES:,}"
            if size > ITEM_BYTES
            else None
        )

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, "text", "long_text"))
