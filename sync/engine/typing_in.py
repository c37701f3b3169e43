"""A value that a person typed on the screen of a conflict, as raw values of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync.connectors.monday.converters import Converter
from sync.connectors.monday.converters.forms import folded
from sync.engine.related import Related
from sync.engine.values import raw_of_fields, relation_of
from sync.models import SyncedModel


def typed(
    convert: Converter,
    record: SyncedModel,
    fields: Sequence[str],
    text: str,
    related: Related | None = None,
) -> dict[str, Any]:
    """Return the raw values for a typed text; a related record is named by its name.

    Raises ValueError for a text that the field or column can't be given, NotFound where no record, or more than
    one, has the name; both say so in words.
    """
    current = raw_of_fields(record, fields)
    if relation_of(type(record), fields) is None:
        return dict(convert.from_text(text, current))
    [(field, now)] = current.items()
    name = folded(text)
    if name is None:
        return {field: None}
    if now and folded(now["name"]) == name:
        return current
    return (related or Related()).completed(type(record), {field: {"name": name}})
