"""The sandbox's column types by Monday's names, and the settings of columns."""

from typing import Any

from sandbox import api_errors
from sandbox.columns import choice_kinds, value_kinds
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
        choice_kinds.Status(),
        choice_kinds.Dropdown(),
        value_kinds.Date(),
        value_kinds.Link(),
        value_kinds.Checkbox(),
        choice_kinds.BoardRelation(),
        value_kinds.Timeline(),
    )
}


def kind_of(column_type: str) -> ColumnKind:
    """Return the column type; raises FieldError for one that the sandbox does not play."""
    try:
        return KINDS[column_type]
    except KeyError:
        raise api_errors.column_type_unsupported(column_type) from None


def initial_settings(column_type: str, defaults: Any) -> dict[str, Any]:
    """Return a new column's settings: `defaults` over its type's own; raises FieldError."""
    kind = KINDS.get(column_type, ColumnKind())
    # Monday's examples wrap the defaults of a dropdown in `settings`, those of a status not
    # (developer.monday.com/api-reference/reference/columns).
    if isinstance(defaults, dict) and isinstance(defaults.get("settings"), dict):
        defaults = defaults["settings"]
    if not isinstance(defaults, dict):
        return kind.default_settings()
    changes = {key: value for key, value in defaults.items() if value is not None}
    return kind.default_settings() | kind.checked_settings(changes)


def settings_json(column: Column) -> dict[str, Any]:
    """Return what `Column.settings` shows.

    The sandbox stores settings as `settings_str` shows them. `settings` (since 2025-10) lists labels as objects, with
    the `id` that values hold and the `index` in the list
    (developer.monday.com/api-reference/changelog/deprecating-settings_str-field-on-columns).
    """
    return KINDS.get(column.type, ColumnKind()).shown_settings(column.settings)
