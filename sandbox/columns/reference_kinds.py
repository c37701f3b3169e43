"""Columns whose values are other things, by id: people, tags, items of connected boards, subitems."""

from typing import Any

from sandbox import api_errors
from sandbox.columns.kind import EMPTY_OBJECT, ColumnKind, Writing, ids_in
from sandbox.model import Column, Item

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
            entity = {"id": ids_in(self, [one.get("id")])[0], "kind": one.get("kind", "person")}
            if entity["kind"] not in KINDS:
                raise self.bad('"kind" must be person or team')
            if self._name(column, entity) is None:
                raise api_errors.user_not_found(entity["id"])
            if entity not in found:
                found.append(entity)
        return {"personsAndTeams": found, "changed_at": writing.stamp} if found else None

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


# Connected boards and subitems: columns whose values are other items.


class BoardRelation(ColumnKind):
    """Items of other boards (developer.monday.com/api-reference/reference/connect).

    `value` and `text` are always null since 2025-04: readers take `linked_item_ids` and `display_value`.
    The column's settings say which boards (`boardIds`) and whether several items may be linked.
    An archived item stays linked; a deleted one is gone from the cell until it is restored
    (what Monday does there is not published).
    """

    type = "board_relation"
    old_type = "board-relation"
    graphql_type = "BoardRelationValue"
    clearings = EMPTY_OBJECT
    empty_text = None

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        chosen = given.get("item_ids")
        if chosen is None:
            return None
        if not isinstance(chosen, list):
            raise self.bad('"item_ids" must be a list of ids')
        return self._value(column, chosen, writing)

    def _value(self, column: Column, chosen: list[Any], writing: Writing) -> Any:
        ids = ids_in(self, chosen)
        boards = board_ids(column)
        for item_id in ids:
            item = column.names.item(item_id)
            if item is None:
                raise self.bad(f"there is no item {item_id}")
            if item.board_id not in boards:
                raise api_errors.other_boards_items()
        if len(ids) > 1 and not allows_multiple(column):
            raise self.bad("this column takes one item")
        return {"item_ids": ids, "changed_at": writing.stamp} if ids else None

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        """A person types names, or ids."""
        chosen = []
        for words in (part.strip() for part in text.split(",") if part.strip()):
            item_id = column.names.item_called(words, board_ids(column))
            if item_id is None and not words.isdecimal():
                raise self.bad(f"no item, or more than one, is called {words} on the connected boards")
            chosen.append(item_id or int(words))
        return self._value(column, chosen, writing)

    def linked(self, column: Column, raw: Any) -> list[Item]:
        """The linked items that there still are."""
        items = (column.names.item(one) for one in raw["item_ids"]) if raw else ()
        return [item for item in items if item is not None]

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(item.name for item in self.linked(column, raw))

    def api_text(self, column: Column, raw: Any) -> str | None:
        return None

    def value(self, raw: Any) -> str | None:
        return None

    def choices(self, column: Column, raw: Any) -> set[str]:
        return {str(item.id) for item in self.linked(column, raw)}

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        items = self.linked(column, raw)
        return {
            "display_value": ", ".join(item.name for item in items),
            "linked_item_ids": [item.id for item in items],
            "linked_items": items,
        }

    def payload(self, column: Column, raw: Any) -> Any:
        """With the time, as recorded in 2025-07 (github.com/taesung-ha/salesforce_monday_sync)."""
        if raw is None:
            return None
        linked = [{"linkedPulseId": one} for one in raw["item_ids"]]
        return {"linkedPulseIds": linked, "changed_at": raw["changed_at"]}

    def same(self, one: Any, other: Any) -> bool:
        return sorted(one["item_ids"] if one else ()) == sorted(other["item_ids"] if other else ())


def board_ids(column: Column) -> list[int]:
    """The boards that a column is connected to."""
    return [int(one) for one in column.settings.get("boardIds") or ()]


def allows_multiple(column: Column) -> bool:
    """`allowMultipleItems` is false only where it says so, as JSON or as a word."""
    return column.settings.get("allowMultipleItems", True) not in (False, "false")


class Subtasks(ColumnKind):
    """The subitems of an item; what is in it comes from the subitems board, nobody writes it."""

    type = "subtasks"
    old_type = "subtasks"
    graphql_type = "SubtasksValue"
    empty_text = None

    def parse(self, column: Column, given: Any, writing: Writing) -> Any:
        raise self.bad("subitems are made by create_subitem")

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        return self.parse(column, text, writing)

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        return self.parse(column, text, writing)

    def text(self, column: Column, raw: Any) -> str:
        shown: str = self.fields(column, raw)["display_value"]
        return shown

    def value(self, raw: Any) -> str | None:
        return None

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        items = [column.names.item(one) for one in raw["item_ids"]] if raw else []
        there = [item for item in items if item is not None and item.state == "active"]
        return {
            "display_value": ", ".join(item.name for item in there),
            "subitems_ids": [item.id for item in there],
            "subitems": there,
        }
