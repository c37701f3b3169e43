"""One yes-or-no field and a checkbox column, which is ticked or empty."""

from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    known_value,
    object_in,
    only_field,
    unreadable,
)
from sync.connectors.monday.items import Reading

YES = "yes"
_YES = frozenset({"yes", "y", "true", "1", "x", "v", "on", "ticked"})
_NO = frozenset({"no", "n", "false", "0", "off", "not ticked"})


class CheckboxConverter(Plain):
    """What a base keeps is `{"checked": true}`, or None. Not ticked is the empty value, as on Monday.

    Only null takes the tick away (developer.monday.com/api-reference/reference/checkbox).
    """

    column_type = "checkbox"

    def local(self, raw: Local) -> Canonical:
        return YES if _ticked(only_field(raw)[1]) else None

    def remote(self, raw: Any) -> Canonical:
        value = object_in(raw)
        return YES if value and _ticked(value.get("checked")) else None

    def raw_of(self, reading: Reading) -> Any:
        value = object_in(known_value(reading, "checkbox"))
        if value and "checked" not in value:
            raise unreadable(value)
        told = reading.extra.get("checked")
        ticked = value.get("checked") if told is None else told
        return {"checked": True} if _ticked(ticked) else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return {"checked": "true"} if self.local(raw_local) else None

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_field(current_local)
        ticked = self.remote(remote_raw) == YES
        return {name: current if bool(self.local(current_local)) == ticked else ticked}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = (canonical_text(text) or "no").casefold()
        if typed not in _YES | _NO:
            raise ValueError(f"{text.strip()} is neither yes nor no; type one of the two.")
        return {only_field(current_local)[0]: typed in _YES}

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = object_in(event_value(payload_value, column_type, "checkbox"))
        if value and "checked" not in value:
            raise unreadable(value)
        return self.remote(value)


def _ticked(value: Any) -> bool:
    """Whether a value is yes; raises UnknownValue for what is neither yes nor no."""
    if value is None or isinstance(value, bool):
        return bool(value)
    text = (canonical_text(value) or "no").casefold() if isinstance(value, str) else ""
    if text in _YES or text in _NO:
        return text in _YES
    raise unreadable(value)
