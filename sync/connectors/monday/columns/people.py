"""E-mail addresses and the persons of a people column.

Its teams are not mapped and stay as they are on Monday.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sync.connectors.base.board_items import Reading
from sync.connectors.base.conversion import (
    ConverterOptions,
    ListConverter,
    Local,
    UnknownValue,
    field_label,
    only_field,
    unreadable_value,
)
from sync.connectors.monday.columns.raw_values import MondayColumn, complete_value, list_under, parse_ids

PERSON, TEAM = "person", "team"


class PeopleConverter(ListConverter, MondayColumn):
    """A base keeps `{"personsAndTeams": [{"id", "kind"}]}`, or None for an empty cell.

    NPD names people by the e-mail addresses of their Monday accounts. Only persons are compared; teams are
    sent back unchanged.
    """

    column_type = "people"
    name = "people"
    event_type = "multiple-person"
    needs_people = True

    def __init__(self, options: ConverterOptions) -> None:
        self._people = options.people
        self._max_people = _max_people_allowed(options.settings)

    def key(self, element: str) -> str:
        # Addresses are compared without case, as people write them.
        return element.casefold()

    def remote_elements(self, raw: Any) -> list[str]:
        ids = [entry["id"] for entry in _entries(raw) if entry["kind"] == PERSON]
        unknown = [key for key in ids if not self._people.get(key)]
        # With one unknown user the whole value is unknown.
        if unknown:
            raise UnknownValue(f"the e-mail address of Monday's user {unknown[0]} is not known")
        return [self._people[key] for key in ids]

    def stored_value(self, reading: Reading) -> Any:
        entries = _entries(complete_value(reading, "people"))
        return {"personsAndTeams": entries} if entries else None

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        entries = _entries(existing_remote_raw)
        before = [entry["id"] for entry in entries if entry["kind"] == PERSON]
        emails = self.elements(only_field(raw_local)[1])
        persons = [{"id": self._id_of(email, before), "kind": PERSON} for email in emails]
        teams = [entry for entry in entries if entry["kind"] == TEAM]
        return {"personsAndTeams": [*persons, *teams]} if persons or teams else None

    def like_current(self, elements: list[str], current: Any) -> Any:
        # Without a current value the field is the text that most records have.
        return super().like_current(elements, "" if current is None else current)

    def from_text(self, text: str, current_local: Local) -> Local:
        fields = super().from_text(text, current_local)
        unknown_emails = self._unknown_emails(fields)
        if unknown_emails:
            raise ValueError(
                f"{unknown_emails[0]} is nobody's e-mail address in the Monday account; type one of its users'."
            )
        return fields

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        if unknown_emails := self._unknown_emails(raw_local):
            return f"{field_label(name)}: nobody in the Monday account has the e-mail address {unknown_emails[0]}"
        emails = self.canonical(self.elements(value)) or ()
        if self._max_people is not None and len(emails) > self._max_people:
            return f"{field_label(name)}: {len(emails)} people; the column on Monday takes {self._max_people}"
        return None

    def _unknown_emails(self, raw_local: Local) -> list[str]:
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

    @staticmethod
    def import_cell(value: Any, settings: Mapping[str, Any]) -> str:
        kinds = {PERSON: "user", TEAM: "team"}
        members = value["personsAndTeams"]
        return ",".join(f"{kinds.get(str(m.get('kind')), 'user')}:{m['id']}" for m in members)


def _entries(raw: Any) -> list[dict[str, str]]:
    """Persons and teams, ids as text; raises UnknownValue for any other form."""
    entries = list_under(raw, "personsAndTeams")
    if not all(_is_entry(entry) for entry in entries):
        raise unreadable_value(entries)
    return [{"id": str(entry["id"]), "kind": entry["kind"]} for entry in entries]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or entry.get("kind") not in (PERSON, TEAM):
        return False
    parse_ids([entry.get("id")])
    return True


def _max_people_allowed(settings: Mapping[str, Any]) -> int | None:
    """How many people an item may have; None for any number ("0" in the settings)."""
    most = str(settings.get("max_people_allowed") or "0")
    return int(most) if most.isascii() and most.isdecimal() and int(most) > 0 else None
