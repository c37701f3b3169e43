"""Columns whose values name others: people by their email addresses, and items of another board."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from sync.connectors.base.board_items import Reading
from sync.connectors.base.conversion import (
    Canonical,
    ConverterOptions,
    ListConverter,
    Local,
    UnknownValue,
    canonical_text,
    field_label,
    fold_whitespace,
    only_field,
    unreadable_value,
)
from sync.connectors.monday.columns.raw_values import (
    MondayColumn,
    complete_value,
    event_value,
    known_value,
    list_under,
    object_or_empty,
    parse_ids,
)
from sync.connectors.monday.columns.text import TextConverter, plain_text, too_large_reason

# People. The teams of a people column are not mapped and stay as they are on Monday.


PERSON, TEAM = "person", "team"


class PeopleConverter(ListConverter, MondayColumn):
    """A base keeps `{"personsAndTeams": [{"id", "kind"}]}`, or None for an empty cell.

    NPD names people by the email addresses of their Monday accounts. Only persons are compared; teams are
    sent back unchanged.
    """

    column_type = "people"
    name = "people"
    event_type = "multiple-person"
    needs_people = True

    def __init__(self, options: ConverterOptions) -> None:
        self._people = options.people
        # Monday says "0", as a text, where any number of people is allowed.
        most = str(options.settings.get("max_people_allowed") or "0")
        self._max_people = int(most) if most.isascii() and most.isdecimal() and int(most) > 0 else None

    def key(self, element: str) -> str:
        # Addresses are compared without case, as people write them.
        return element.casefold()

    def remote_elements(self, raw: Any) -> list[str]:
        ids = [entry["id"] for entry in _entries(raw) if entry["kind"] == PERSON]
        unknown = [key for key in ids if not self._people.get(key)]
        # With one unknown user the whole value is unknown.
        if unknown:
            raise UnknownValue(f"the email address of Monday's user {unknown[0]} is not known")
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
                f"{unknown_emails[0]} is nobody's email address in the Monday account; type one of its users'."
            )
        return fields

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        if unknown_emails := self._unknown_emails(raw_local):
            return f"{field_label(name)}: nobody in the Monday account has the email address {unknown_emails[0]}"
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
            raise UnknownValue(f"nobody in the Monday account has the email address {email}")
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
    entries = list_under(raw, "personsAndTeams")
    if not all(_is_entry(entry) for entry in entries):
        raise unreadable_value(entries)
    return [{"id": str(entry["id"]), "kind": entry["kind"]} for entry in entries]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or entry.get("kind") not in (PERSON, TEAM):
        return False
    parse_ids([entry.get("id")])
    return True


# A related record, as a link to its item (connected boards) or as its name in a text column.
#
# In NPD the value is `{"id": the record's uuid, "item": its item's id or None, "name": its name}`, or None.
# Monday's value has only the item or only the name: `{"item": "123"}` or `{"name": "ACME"}`; the reconciler
# finds the record.


class RelationConverter(MondayColumn):
    """One related record and a column of connected boards.

    A base keeps `{"item_ids": [...]}`, or None for an empty cell. The column's own JSON is null since API
    version 2025-04 (docs/migrating-to-version-2025-04), so the ids come from `linked_item_ids`.
    """

    column_type = "board_relation"
    name = "relation"
    names_items = True
    event_type = "board-relation"
    fragment = "... on BoardRelationValue { linked_item_ids }"
    empty_fields: ClassVar[Mapping[str, Any]] = {"linked_item_ids": []}

    def __init__(self, options: ConverterOptions) -> None:
        self._names = options.items

    def local(self, raw: Local) -> Canonical:
        name, related = _related_record(raw)
        if related is None:
            return None
        item = canonical_text(related.get("item"))
        # The record waits until the related one has an item; the field is blocked meanwhile.
        if item is None:
            who = fold_whitespace(related.get("name")) or "The related record"
            raise UnknownValue(f"{field_label(name)}: {who} has no item on its board yet; this waits for it")
        return item

    def remote(self, raw: Any) -> Canonical:
        ids = parse_ids(list_under(raw, "item_ids"))
        # NPD holds one related record, and choosing one of several would lose the others.
        if len(ids) > 1:
            raise UnknownValue(f"it is connected with {len(ids)} items where NPD holds one; leave one of them")
        return ids[0] if ids else None

    def stored_value(self, reading: Reading) -> Any:
        known_value(reading, "board_relation")
        # The field is missing from the document or the answer, which must not look like an empty cell.
        if "linked_item_ids" not in reading.extra:
            raise UnknownValue("Monday didn't say which items are connected")
        ids = parse_ids(reading.extra["linked_item_ids"])
        return {"item_ids": ids} if ids else None

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        item = self.local(raw_local)
        return {"item_ids": [item]} if item is not None else None

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = _related_record(current_local)
        item = self.remote(remote_raw)
        if item is None:
            return {name: None}
        # The same item: NPD's record stays, with its id and name.
        is_unchanged = current is not None and canonical_text(current.get("item")) == item
        return {name: current if is_unchanged else {"item": item}}

    def from_text(self, text: str, current_local: Local) -> Local:
        name, current = _related_record(current_local)
        typed = fold_whitespace(text)
        if typed is None:
            return {name: None}
        if current is not None and typed == fold_whitespace(current.get("name")):
            return {name: current}
        found = [
            item for item, known in self._names.items() if typed in (item, fold_whitespace(known), self.display(item))
        ]
        # A name alone may stand for several records.
        if len(found) != 1:
            reason = "several records have this name" if found else "no related record is known by this name"
            raise ValueError(f"{typed}: {reason}. Choose a side, or change the record itself.")
        return {name: {"item": found[0]}}

    def display(self, canonical: Canonical) -> str:
        if canonical is None:
            return ""
        return self._names.get(str(canonical)) or f"item {canonical}"

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        links = list_under(event_value(payload_value, column_type, "board_relation"), "linkedPulseIds")
        return self.remote({"item_ids": [object_or_empty(link).get("linkedPulseId") for link in links]})


class RelationNameConverter(TextConverter):
    """One related record, by its name in a text column. A base keeps the text, or None."""

    name = "relation_name"

    def local(self, raw: Local) -> Canonical:
        name, related = _related_record(raw)
        if related is None:
            return None
        related_name = fold_whitespace(related.get("name"))
        if related_name is None:
            raise UnknownValue(f"{field_label(name)}: the related record has no name by which to write it")
        return related_name

    def remote(self, raw: Any) -> Canonical:
        return fold_whitespace(plain_text(raw))

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = _related_record(current_local)
        related_name = self.remote(remote_raw)
        if related_name is None:
            return {name: None}
        is_unchanged = current is not None and fold_whitespace(current.get("name")) == related_name
        return {name: current if is_unchanged else {"name": related_name}}

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.to_local(text, current_local)

    def unfit_reason(self, raw_local: Local) -> str | None:
        name, related = _related_record(raw_local)
        return too_large_reason(name, fold_whitespace((related or {}).get("name")))


def _related_record(raw: Local) -> tuple[str, Mapping[str, Any] | None]:
    """The field and its related record; raises UnknownValue for a value in another form."""
    name, value = only_field(raw)
    if value is None or (isinstance(value, str) and not value.strip()):
        return name, None
    if not isinstance(value, Mapping):
        raise UnknownValue(f"{field_label(name)} holds a {type(value).__name__} where a related record was expected")
    return name, value
