"""Column types whose cells choose from something: labels of the column, or items of other boards."""

import json
import re
from typing import Any

from sandbox import api_errors
from sandbox.columns.value_kinds import ColumnKind, Writing
from sandbox.model import Column, Item

# developer.monday.com/api-reference/reference/status, the index of the empty label too.
STATUS_LABELS_LIMIT = 40
STATUS_LABEL_LENGTH = 30
EMPTY_INDEX = 5

# For labels in turn; which colour Monday gives a new label isn't published.
COLOURS = ("#fdab3d", "#00c875", "#df2f4a", "#007eb5", "#9d50dd", "#c4c4c4", "#037f4c", "#579bfc", "#caffb6", "#bb3354")


class Status(ColumnKind):
    """One label by index (developer.monday.com/api-reference/reference/status).

    Digits are read as an index, in a simple string and in `{"label"}` alike, so a label that is a number must be
    written by its index, and can't be created by a write.
    """

    type = "status"
    old_type = "color"
    graphql_type = "StatusValue"
    empty_text = None

    def default_settings(self) -> dict[str, Any]:
        return {"labels": {"0": "Working on it", "1": "Done", "2": "Stuck", "5": ""}, "done_colors": [1]}

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Check labels from `defaults`: `{"1": "Done"}`."""
        labels = settings.get("labels", {})
        if not isinstance(labels, dict) or not all(key.isdecimal() and isinstance(labels[key], str) for key in labels):
            raise api_errors.invalid_argument("labels must be an object of words by whole numbers")
        if len(labels) > STATUS_LABELS_LIMIT or any(len(name) > STATUS_LABEL_LENGTH for name in labels.values()):
            raise api_errors.invalid_argument(
                f"A status column has at most {STATUS_LABELS_LIMIT} labels of {STATUS_LABEL_LENGTH} characters"
            )
        return settings

    def shown_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        labels = settings.get("labels")
        done_colors = settings.get("done_colors", [])
        if not isinstance(labels, dict):
            return settings
        entries = [
            {
                "id": int(key),
                "color": int(key),
                "hex": COLOURS[int(key) % len(COLOURS)],
                "label": label,
                "index": place,
                "is_done": int(key) in done_colors,
                "is_deactivated": False,
            }
            for place, (key, label) in enumerate(labels.items())
        ]
        return {key: value for key, value in settings.items() if key != "done_colors"} | {"labels": entries}

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        if text.isdecimal():
            return self._by_index(column, text)
        return self._by_label(column, text, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        if content.get("index") is not None:
            return self._by_index(column, str(content["index"]))
        label = content.get("label")
        if not isinstance(label, str) or not label.strip():
            raise self.refusal("an index or a label is expected")
        return self.parse_simple(column, label, writing)

    def named(self, column: Column, label: str, writing: Writing) -> Any:
        """Return the raw value of a label by its text, also where that is digits; None for an empty one."""
        return self._by_label(column, label, writing) if label else None

    def _by_index(self, column: Column, index: str) -> Any:
        if index not in column.settings["labels"]:
            raise self._unknown(column, index)
        return {"index": int(index)}

    def _by_label(self, column: Column, label: str, writing: Writing) -> Any:
        for index, text in column.settings["labels"].items():
            if text == label:
                return {"index": int(index)}
        if not writing.create_labels:
            raise self._unknown(column, label)
        labels = column.settings["labels"]
        if not label.strip():
            raise self.refusal("a label needs a word")
        if len(label) > STATUS_LABEL_LENGTH:
            raise self.refusal(f"a status label has at most {STATUS_LABEL_LENGTH} characters")
        if len(labels) >= STATUS_LABELS_LIMIT:
            raise self.refusal(f"a status column has at most {STATUS_LABELS_LIMIT} labels")
        # The place of the empty label is never given to another one.
        index = next(i for i in range(len(labels) + 2) if str(i) not in labels and i != EMPTY_INDEX)
        labels[str(index)] = label
        return {"index": index}

    def _unknown(self, column: Column, label: str) -> api_errors.FieldError:
        labels = ", ".join(f"{index}: {text}" for index, text in column.settings["labels"].items())
        return api_errors.FieldError(
            f"This status label doesn't exist, possible statuses are: {{{labels}}}",
            "ColumnValueException",
            # As Monday's Ruby prints it (community 106054).
            column_value=f'{{"label"=>{json.dumps(label, ensure_ascii=False)}}}',
            column_id=column.id,
        )

    def text(self, column: Column, raw: Any) -> str:
        return str(column.settings["labels"].get(str(raw["index"]), "")) if raw else ""

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"index": raw["index"], "label": self.text(column, raw)} if raw else {}

    def event_value(self, column: Column, raw: Any) -> Any:
        if raw is None:
            return None
        colour = COLOURS[raw["index"] % len(COLOURS)]
        label = {
            "index": raw["index"],
            "text": self.text(column, raw),
            "style": {"color": colour, "border": colour, "var_name": f"colour-{raw['index']}"},
            "is_done": raw["index"] in column.settings.get("done_colors", []),
        }
        return {"label": label, "post_id": None}


class Dropdown(ColumnKind):
    """Several labels by id."""

    type = old_type = "dropdown"
    graphql_type = "DropdownValue"
    empty_text = None

    def default_settings(self) -> dict[str, Any]:
        return {"labels": []}

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Check labels from `defaults`: `[{"id": 1, "name": "Done"}]`."""
        if "labels" not in settings:
            return settings
        labels = settings["labels"]
        if not isinstance(labels, list) or not all({"id", "name"} <= set(label) for label in labels):
            raise api_errors.invalid_argument("labels must be a list of objects with id and name")
        return settings | {"labels": [{"id": int(label["id"]), "name": str(label["name"])} for label in labels]}

    def shown_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        labels = settings.get("labels")
        if not isinstance(labels, list):
            return settings
        entries = [{"id": label["id"], "label": label["name"], "is_deactivated": False} for label in labels]
        return settings | {"labels": entries}

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        numbers = [part for part in parts if part.isdecimal()]
        if parts and len(numbers) == len(parts):
            return self._by_ids(column, parts)
        # As in a status, digits are ids here, so a label that is a number needs the form of an object.
        if numbers:
            raise self.refusal("ids and labels cannot be mixed")
        return self._by_labels(column, parts, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        ids = content.get("ids")
        choices = content.get("labels") if ids is None else ids
        if not isinstance(choices, list):
            raise self.refusal("ids or labels are expected, as a list")
        if ids is not None:
            return self._by_ids(column, [str(label_id) for label_id in ids])
        if not all(isinstance(label, str) and label.strip() for label in choices):
            raise self.refusal("a label is a word")
        return self._by_labels(column, choices, writing)

    def _by_ids(self, column: Column, ids: list[str]) -> Any:
        existing = {str(label["id"]) for label in column.settings["labels"]}
        for label_id in ids:
            if label_id not in existing:
                raise self._unknown(column, label_id)
        return self._raw(column, [int(label_id) for label_id in ids])

    def _by_labels(self, column: Column, names: list[str], writing: Writing) -> Any:
        ids = {label["name"]: label["id"] for label in column.settings["labels"]}
        missing = [name for name in names if name not in ids]
        if missing and not writing.create_labels:
            raise self._unknown(column, missing[0])
        for name in missing:
            ids[name] = max(ids.values(), default=0) + 1
            column.settings["labels"].append({"id": ids[name], "name": name})
        return self._raw(column, [ids[name] for name in names])

    def _raw(self, column: Column, ids: list[int]) -> Any:
        """Return the raw value of these labels, each once; the column's settings may limit their number."""
        unique = list(dict.fromkeys(ids))
        limit = column.settings.get("label_limit_count")
        if column.settings.get("limit_select") and isinstance(limit, int) and len(unique) > limit:
            raise self.refusal(f"this column takes at most {limit} of its labels")
        return {"ids": unique} if unique else None

    def _unknown(self, column: Column, label: str) -> api_errors.FieldError:
        labels = ", ".join(f"{entry['id']}: {entry['name']}" for entry in column.settings["labels"])
        return api_errors.FieldError(
            f"The dropdown label '{label}' does not exist, possible labels are: {{{labels}}}",
            "ColumnValueException",
            column_id=column.id,
            column_type=self.old_type,
        )

    def _names(self, column: Column, raw: Any) -> list[dict[str, Any]]:
        names = {label["id"]: label["name"] for label in column.settings["labels"]}
        return [{"id": label_id, "name": names.get(label_id, "")} for label_id in raw["ids"]] if raw else []

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(label["name"] for label in self._names(column, raw))

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"values": [{"id": label["id"], "label": label["name"]} for label in self._names(column, raw)]}

    def event_value(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"chosenValues": self._names(column, raw)}


class BoardRelation(ColumnKind):
    """Items of other boards (developer.monday.com/api-reference/reference/connect).

    `value` and `text` are always null since 2025-04: clients read `linked_item_ids` and `display_value`. The column's
    settings hold the boards (`boardIds`) and whether several items may be linked. An archived item stays linked; a
    deleted one leaves the cell until it is restored (what Monday does there is not published).
    """

    type = "board_relation"
    old_type = "board-relation"
    graphql_type = "BoardRelationValue"
    clearings = ({},)
    empty_text = None

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        boards = settings.get("boardIds") or []
        if not isinstance(boards, list) or not all(str(board).isdecimal() for board in boards):
            raise api_errors.invalid_argument("boardIds must be a list of board ids")
        return settings | {"boardIds": list(dict.fromkeys(int(board) for board in boards))}

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        values = content.get("item_ids")
        if values is None:
            return None
        if not isinstance(values, list):
            raise self.refusal('"item_ids" must be a list')
        for item_id in values:
            if isinstance(item_id, bool) or not re.fullmatch(r"\d{1,18}", str(item_id)):
                raise self.refusal("an id must be a number")
        ids = list(dict.fromkeys(int(item_id) for item_id in values))
        boards = board_ids(column)
        for item_id in ids:
            item = column.find_item(item_id)
            # An archived item may be linked, a deleted one not.
            if item is None:
                raise self.refusal(f"there is no item {item_id}")
            if item.board_id not in boards:
                raise api_errors.other_boards_items()
        # False only where the settings say so, as JSON or as a text.
        if len(ids) > 1 and column.settings.get("allowMultipleItems", True) in (False, "false"):
            raise self.refusal("this column takes one item")
        return {"item_ids": ids, "changed_at": writing.stamp} if ids else None

    def linked(self, column: Column, raw: Any) -> list[Item]:
        items = (column.find_item(item_id) for item_id in raw["item_ids"]) if raw else ()
        return [item for item in items if item is not None]

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(item.name for item in self.linked(column, raw))

    def api_text(self, column: Column, raw: Any) -> str | None:
        return None

    def api_value(self, raw: Any) -> str | None:
        return None

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"linked_item_ids": [item.id for item in self.linked(column, raw)]}

    def event_value(self, column: Column, raw: Any) -> Any:
        """With the time, as recorded in 2025-07 (github.com/taesung-ha/salesforce_monday_sync)."""
        if raw is None:
            return None
        # All of them, also an item that was deleted since: an event tells what was written.
        linked = [{"linkedPulseId": item_id} for item_id in raw["item_ids"]]
        return {"linkedPulseIds": linked, "changed_at": raw["changed_at"]}

    def same(self, raw: Any, other: Any) -> bool:
        # The order of links means nothing, and no event reports it.
        return sorted(raw["item_ids"] if raw else ()) == sorted(other["item_ids"] if other else ())


def board_ids(column: Column) -> list[int]:
    return [int(board_id) for board_id in column.settings.get("boardIds") or ()]
