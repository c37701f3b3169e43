"""The column types that the sandbox plays, by Monday's names, and what their settings hold."""

from typing import Any

from sandbox import api_errors
from sandbox.columns import value_kinds
from sandbox.columns.choice_kinds import BoardRelation, Dropdown, Status
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


def initial_settings(column_type: str, defaults: Any) -> dict[str, Any]:
    """The settings of a new column: `defaults` over what its type starts with."""
    if isinstance(defaults, dict) and isinstance(defaults.get("settings"), dict):
        defaults = defaults["settings"]
    changes = check_settings(column_type, defaults) if isinstance(defaults, dict) else {}
    return KINDS.get(column_type, ColumnKind()).default_settings() | changes


def check_settings(column_type: str, changes: Any) -> dict[str, Any]:
    """Settings as a caller gives them, in the form that is kept. Raises InvalidArgumentException."""
    if not isinstance(changes, dict):
        raise api_errors.invalid_argument("settings must be a JSON object")
    settings = {key: value for key, value in changes.items() if value is not None}
    return KINDS.get(column_type, ColumnKind()).checked_settings(settings)


def settings_json(column: Column) -> dict[str, Any]:
    """What `Column.settings` shows."""
    return KINDS.get(column.type, ColumnKind()).shown_settings(column.settings)
