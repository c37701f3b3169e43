"""E-mail addresses and the persons of a people column; its teams belong to the board's people."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Options, UnknownValue
from sync.connectors.monday.converters.elements import ListConverter
from sync.connectors.monday.converters.forms import (
    event_value,
    ids_in,
    list_at,
    only_field,
    shown_value,
    unreadable,
    words,
)
from sync.connectors.monday.items import Reading

PERSON, TEAM = "person", "team"


class PeopleConverter(ListConverter):
    """What a base keeps is `{"personsAndTeams": [{"id", "kind"}]}`, or None for an empty cell.

    NPD names people by the e-mail addresses of their Monday accounts. Only persons are compared; teams go
    back as they were read.
    """

    column_type = "people"

    def __init__(self, options: Options) -> None:
        self._people = options.people
        self._most = _most_people(options.settings)

    def key(self, element: str) -> str:
        return element.casefold()

    def remote(self, raw: Any) -> Canonical:
        return self.canonical(self._emails(raw))

    def raw_of(self, reading: Reading) -> Any:
        entries = _entries(shown_value(reading, "people"))
        return {"personsAndTeams": entries} if entries else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        entries = _entries(existing_remote_raw)
        before = [entry["id"] for entry in entries if entry["kind"] == PERSON]
        emails = self.elements(only_field(raw_local)[1])
        persons = [{"id": self._id_of(email, before), "kind": PERSON} for email in emails]
        teams = [entry for entry in entries if entry["kind"] == TEAM]
        return {"personsAndTeams": [*persons, *teams]} if persons or teams else None

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self._emails(remote_raw), current_local)

    def shaped(self, elements: list[str], current: Any) -> Any:
        # Without a current value the field is the text that most records have.
        return super().shaped(elements, "" if current is None else current)

    def from_text(self, text: str, current_local: Local) -> Local:
        fields = super().from_text(text, current_local)
        wrong = self._strangers(fields)
        if wrong:
            raise ValueError(
                f"{wrong[0]} is nobody's e-mail address in the Monday account; type one of its users'."
            )
        return fields

    def limit(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        if strangers := self._strangers(raw_local):
            return f"{words(name)}: nobody in the Monday account has the e-mail address {strangers[0]}"
        emails = self.canonical(self.elements(value)) or ()
        if self._most is not None and len(emails) > self._most:
            return f"{words(name)}: {len(emails)} people; the column on Monday takes {self._most}"
        return None

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, "people"))

    def _emails(self, raw: Any) -> list[str]:
        ids = [entry["id"] for entry in _entries(raw) if entry["kind"] == PERSON]
        unknown = [key for key in ids if not self._people.get(key)]
        if unknown:
            raise UnknownValue(f"the e-mail address of Monday's user {unknown[0]} is not known")
        return [self._people[key] for key in ids]

    def _strangers(self, raw_local: Local) -> list[str]:
        emails = self.elements(only_field(raw_local)[1])
        return [email for email in emails if self.key(email) not in self._ids]

    def _id_of(self, email: str, before: Sequence[str]) -> str:
        """The user with this address: one who is in the cell already, else the oldest account."""
        found = self._ids.get(self.key(email), [])
        if not found:
            raise UnknownValue(f"nobody in the Monday account has the e-mail address {email}")
        return min(found, key=lambda user: (user not in before, len(user), user))

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Users by address; an account can have 20,000 of them."""
        found: dict[str, list[str]] = {}
        for user, email in self._people.items():
            found.setdefault(self.key(email), []).append(user)
        return found


def _entries(raw: Any) -> list[dict[str, str]]:
    """Persons and teams, ids as text; raises UnknownValue for any other form."""
    entries = list_at(raw, "personsAndTeams")
    if not all(_is_entry(entry) for entry in entries):
        raise unreadable(entries)
    return [{"id": str(entry["id"]), "kind": entry["kind"]} for entry in entries]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or entry.get("kind") not in (PERSON, TEAM):
        return False
    ids_in([entry.get("id")])
    return True


def _most_people(settings: Mapping[str, Any]) -> int | None:
    """How many people an item may have; None for any number ("0" in the settings)."""
    most = str(settings.get("max_people_allowed") or "0")
    return int(most) if most.isascii() and most.isdecimal() and int(most) > 0 else None
