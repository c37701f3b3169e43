"""The column types that the sandbox plays, by Monday's names."""

from typing import Any

from sandbox import errors
from sandbox.columns.base import ColumnKind, Writing
from sandbox.columns.labels import Dropdown, Status
from sandbox.columns.numbers import Checkbox, Date, Numbers
from sandbox.columns.reach import Email, Phone
from sandbox.columns.words import Link, LongText, Text

__all__ = ["KINDS", "ColumnKind", "Writing", "first_settings", "kind_of"]

KINDS: dict[str, ColumnKind] = {
    kind.type: kind
    for kind in (
        Text(),
        LongText(),
        Email(),
        Phone(),
        Numbers(),
        Status(),
        Dropdown(),
        Date(),
        Link(),
        Checkbox(),
    )
}


def kind_of(column_type: str) -> ColumnKind:
    """The column type; a ColumnValueException for one that the sandbox does not play."""
    try:
        return KINDS[column_type]
    except KeyError:
        raise errors.FieldError(
            "This column type is not supported yet in the api",
            "ColumnValueException",
            column_type=column_type,
        ) from None


def first_settings(column_type: str, defaults: Any) -> dict[str, Any]:
    """The settings of a new column: `defaults` over what its type starts with."""
    kind = kind_of(column_type)
    settings: dict[str, Any] = kind.default_settings() if isinstance(kind, Status | Dropdown) else {}
    if not isinstance(defaults, dict):
        return settings
    given = dict(defaults)
    if "labels" in given:
        given["labels"] = _labels(column_type, given["labels"])
    return settings | given


def _labels(column_type: str, labels: Any) -> Any:
    """Labels as either form of `defaults` gives them: `{"1": "Done"}` or `[{"label", "index"}]`."""
    pairs = [(str(index), label) for index, label in labels.items()] if isinstance(labels, dict) else []
    for place, label in enumerate(labels if isinstance(labels, list) else []):
        if isinstance(label, dict):
            name = label.get("label", label.get("name", ""))
            pairs.append((str(label.get("index", label.get("id", place + 1))), str(name)))
        else:
            pairs.append((str(place + 1), str(label)))
    if column_type == "dropdown":
        return [{"id": int(index), "name": label} for index, label in pairs]
    return dict(pairs)
