"""People and tags: columns whose values are things of the account, by id."""

import re
from typing import Any

from sandbox import errors
from sandbox.columns.base import ColumnKind, Writing, ids_in
from sandbox.model import Column

KINDS = ("person", "team")


class People(ColumnKind):
    """Users and teams (developer.monday.com/api-reference/reference/people).

    Ids are written as text or numbers and read back as numbers. Simple strings are ids of users.
    """

    type = "people"
    old_type = "multiple-person"
    graphql_type = "PeopleValue"
    blank_choices = ("", "person-0", "0")

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        ids = [part.strip() for part in text.split(",") if part.strip()]
        return self._value(column, [{"id": one, "kind": "person"} for one in ids], writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        chosen = given.get("personsAndTeams")
        if chosen is None:
            return None
        if not isinstance(chosen, list) or not all(isinstance(one, dict) for one in chosen):
            raise self.bad('"personsAndTeams" must be a list of objects with id and kind')
        return self._value(column, chosen, writing)

    def _value(self, column: Column, chosen: list[dict[str, Any]], writing: Writing) -> Any:
        found: list[dict[str, Any]] = []
        for one in chosen:
            entity = {"id": self._number(one.get("id")), "kind": one.get("kind", "person")}
            if entity["kind"] not in KINDS:
                raise self.bad('"kind" must be person or team')
            if self._name(column, entity) is None:
                raise errors.user_not_found(entity["id"])
            if entity not in found:
                found.append(entity)
        return {"personsAndTeams": found, "changed_at": writing.stamp} if found else None

    def _number(self, given: Any) -> int:
        if isinstance(given, bool) or not re.fullmatch(r"\d{1,18}", str(given)):
            raise self.bad("an id must be a number")
        return int(given)

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        """A person types names, addresses or ids."""
        chosen = []
        for words in (part.strip() for part in text.split(",") if part.strip()):
            person_id = column.names.person_called(words)
            if person_id is None and not words.isdecimal():
                raise self.bad(f"nobody here is called {words}")
            chosen.append({"id": person_id or int(words), "kind": "person"})
        return self._value(column, chosen, writing)

    @staticmethod
    def _name(column: Column, entity: dict[str, Any]) -> str | None:
        look_up = column.names.team if entity["kind"] == "team" else column.names.person
        return look_up(entity["id"])

    def text(self, column: Column, raw: Any) -> str:
        names = [self._name(column, one) or "" for one in raw["personsAndTeams"]] if raw else []
        return ", ".join(name for name in names if name)

    def choices(self, column: Column, raw: Any) -> set[str]:
        return {f"{one['kind']}-{one['id']}" for one in raw["personsAndTeams"]} if raw else set()

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"persons_and_teams": raw["personsAndTeams"] if raw else []}


class Tags(ColumnKind):
    """Tags of the account (developer.monday.com/api-reference/reference/tags): `{"tag_ids": [1, 2]}`.

    Whether Monday takes simple strings here is not published; the sandbox takes ids, separated by commas.
    """

    type = "tags"
    old_type = "tag"
    graphql_type = "TagsValue"
    blank_choices = ("", "-1")

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        return self._value(column, [part for part in text.replace(" ", "").split(",") if part])

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        chosen = given.get("tag_ids")
        if chosen is None:
            return None
        if not isinstance(chosen, list):
            raise self.bad('"tag_ids" must be a list of ids')
        return self._value(column, chosen)

    def _value(self, column: Column, chosen: list[Any]) -> Any:
        ids = ids_in(self, chosen)
        for tag_id in ids:
            if column.names.tag(tag_id) is None:
                raise self.bad(f"there is no tag {tag_id}")
        return {"tag_ids": ids} if ids else None

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        """A person types names, and a new one makes a tag."""
        names = [part.strip() for part in text.split(",") if part.strip()]
        return self._value(column, [column.names.tag_called(name) for name in names])

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(column.names.tag(one) or "" for one in raw["tag_ids"]) if raw else ""

    def choices(self, column: Column, raw: Any) -> set[str]:
        return {str(one) for one in raw["tag_ids"]} if raw else set()

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        # The resolver of `tags` finds the rest by these ids.
        return {"tag_ids": raw["tag_ids"] if raw else []}
