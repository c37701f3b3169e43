"""The column types that the sandbox plays, by Monday's names, and what their settings hold."""

from typing import Any

from sandbox import api_errors
from sandbox.columns import value_kinds
from sandbox.columns.choice_kinds import (
    COLOURS,
    STATUS_LABEL_LENGTH,
    STATUS_LABELS_LIMIT,
    BoardRelation,
    Dropdown,
    Status,
)
from sandbox.columns.value_kinds import ColumnKind
from sandbox.model import Column

KINDS: dict[str, ColumnKind] = {
    kind.type: kind
    for kind in (
        value_kinds.Text(),
        value_kinds.LongText(),
        value_kinds.Email(),
        value_kinds.Phone(),
        value_kinds.Numbers(),
        Status(),
        Dropdown(),
        value_kinds.Date(),
        value_kinds.Link(),
        value_kinds.Checkbox(),
        BoardRelation(),
        value_kinds.Timeline(),
    )
}


def kind_of(column_type: str) -> ColumnKind:
    """The column type; InvalidColumnTypeException for one that the sandbox does not play."""
    try:
        return KINDS[column_type]
    except KeyError:
        raise api_errors.column_type_unsupported(column_type) from None


# Column settings: what a new column starts with, what may be changed, and the two forms readers see.
#
# The sandbox keeps them as `settings_str` shows them. `settings` (since 2025-10) lists labels as objects, where `id` is
# what values are kept by and `index` only the place in the list
# (developer.monday.com/api-reference/changelog/deprecating-settings_str-field-on-columns).


LABELLED = {"status": Status.default_settings, "dropdown": Dropdown.default_settings}


def initial_settings(column_type: str, defaults: Any) -> dict[str, Any]:
    """The settings of a new column: `defaults` over what its type starts with."""
    labelled = LABELLED.get(column_type)
    settings: dict[str, Any] = labelled() if labelled else {}
    if isinstance(defaults, dict) and isinstance(defaults.get("settings"), dict):
        defaults = defaults["settings"]
    return settings | (check_settings(column_type, defaults) if isinstance(defaults, dict) else {})


def check_settings(column_type: str, given: Any) -> dict[str, Any]:
    """Settings as a caller gives them, in the form that is kept. Raises InvalidArgumentException."""
    if not isinstance(given, dict):
        raise api_errors.invalid_argument("settings must be a JSON object")
    checked = {key: value for key, value in given.items() if value is not None}
    if column_type in LABELLED and "labels" in checked:
        checked["labels"] = _labels(column_type, checked["labels"])
    if column_type == "board_relation":
        boards = checked.get("boardIds") or []
        if not isinstance(boards, list) or not all(str(one).isdecimal() for one in boards):
            raise api_errors.invalid_argument("boardIds must be a list of board ids")
        checked["boardIds"] = list(dict.fromkeys(int(one) for one in boards))
    return checked


def settings_json(column: Column) -> dict[str, Any]:
    """What `Column.settings` shows."""
    labels = column.settings.get("labels")
    if column.type == "status" and isinstance(labels, dict):
        done = column.settings.get("done_colors", [])
        shown = [
            {
                "id": int(key),
                "color": int(key),
                "hex": COLOURS[int(key) % len(COLOURS)],
                "label": label,
                "index": place,
                "is_done": int(key) in done,
                "is_deactivated": False,
            }
            for place, (key, label) in enumerate(labels.items())
        ]
        return {key: value for key, value in column.settings.items() if key != "done_colors"} | {"labels": shown}
    if column.type == "dropdown" and isinstance(labels, list):
        names = [{"id": one["id"], "label": one["name"], "is_deactivated": False} for one in labels]
        return column.settings | {"labels": names}
    return column.settings


def _labels(column_type: str, labels: Any) -> Any:
    """Labels as `defaults` give them: of a dropdown `[{"id": 1, "name": "Done"}]`, of a status `{"1": "Done"}`."""
    if column_type == "dropdown":
        if not isinstance(labels, list) or not all({"id", "name"} <= set(one) for one in labels):
            raise api_errors.invalid_argument("labels must be a list of objects with id and name")
        return [{"id": int(one["id"]), "name": str(one["name"])} for one in labels]
    if not isinstance(labels, dict) or not all(key.isdecimal() and isinstance(labels[key], str) for key in labels):
        raise api_errors.invalid_argument("labels must be an object of words by whole numbers")
    if len(labels) > STATUS_LABELS_LIMIT or any(len(name) > STATUS_LABEL_LENGTH for name in labels.values()):
        raise api_errors.invalid_argument(
            f"A status column has at most {STATUS_LABELS_LIMIT} labels of {STATUS_LABEL_LENGTH} characters"
        )
    return dict(labels)
