"""Facts by hand: each builder makes a plain value, and what its caller says is what differs from it. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model

from npd.models import Contact
from sync.connectors.base.board_items import Item, Reading
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.reconcile.field_plan import new_base
from sync.reconcile.field_values import BoardContext

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ITEM, BOARD, NPD_ID_COLUMN = "7", "100", "npd_id"
TOKEN_USER, TOM, ANN = "1", "2", "3"
"""The user as whom we write, and two people."""

M = TypeVar("M", bound=Model)


def at(seconds: float) -> datetime:
    """So many seconds after now; before it where negative."""
    return NOW + timedelta(seconds=seconds)


def plain(model: type[M], **values: Any) -> M:
    """An unsaved row; what the database would fill in is filled in."""
    for field in model._meta.concrete_fields:
        default = getattr(field.db_default, "value", field.db_default)
        if field.has_db_default() and not hasattr(default, "resolve_expression"):
            values.setdefault(field.attname, default)
    return model(**values)


# The board.


def mapping(key: str = "role_title", **differs: Any) -> FieldMapping:
    """A text field of its own column, synced both ways."""
    values = {"label": key.capitalize(), "fields": [key], "column_id": key, "converter": "text"} | differs
    return plain(FieldMapping, key=key, **values)


def board(*mappings: FieldMapping, **differs: Any) -> BoardContext:
    """The contacts' board, with these fields, or a role and notes."""
    values = {"entity_type": "contact", "board_id": BOARD, "npd_id_column": NPD_ID_COLUMN, "match_key": "email"}
    link = plain(BoardLink, **values | differs)
    return BoardContext(link, mappings or (mapping(), mapping("notes")), Contact)


# A record, its item, and what both sides last agreed on.


def contact(**differs: Any) -> Contact:
    """A contact with an item."""
    return plain(Contact, **{"name": "Ann", "monday_id": ITEM, "role_title": "Ours"} | differs)


def item(record: SyncedModel, **texts: str | None) -> Item:
    """The record's item, with its NPD ID and these texts in its columns."""
    readings = {key: Reading(key, "text", text=text, value=text) for key, text in texts.items()}
    npd_id = Reading(NPD_ID_COLUMN, "text", text=str(record.pk), value=str(record.pk))
    return Item(ITEM, "Ann", "active", board_id=BOARD, values={NPD_ID_COLUMN: npd_id, **readings})


def base(local: str, remote: str | None = None, *, key: str = "role_title", **differs: Any) -> dict[str, Any]:
    """The base of a field: what both sides said, or each of them."""
    return new_base(mapping(key), ITEM, {key: local}, local if remote is None else remote) | differs
