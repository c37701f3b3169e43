"""A field is mapped to another column, by a person: what was held flows then, by the rules for what has no base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F

from sync import registry
from sync.choices import SyncDirection
from sync.connectors.monday.setup import RELATION
from sync.drift import NAME, let_go
from sync.models import FieldMapping
from sync.setup import look_again
from sync.setup_columns import fitting_types, spec_of, target_board_of


class CannotRemap(ValueError):
    """The column won't do; the message says why and what to do."""


def choices(mapping: FieldMapping) -> list[tuple[str, str]]:
    """The columns that the field may have, id and title; its present one first.

    They are those that the board last showed, of a type that the field can live with, and not another field's.
    """
    columns: Mapping[str, Mapping[str, Any]] = mapping.link.shape.get("columns", {})
    present = (mapping.column_id, _titled(mapping.column_id, columns.get(mapping.column_id, {})))
    if mapping.column_id == NAME:
        return [present]
    others = _others(mapping)
    fitting = [
        (column_id, _titled(column_id, told))
        for column_id, told in columns.items()
        if column_id != mapping.column_id and not _why_not(mapping, column_id, others)
    ]
    return [present, *sorted(fitting, key=lambda one: one[1].casefold())]


def _titled(column_id: str, told: Mapping[str, Any]) -> str:
    if not column_id:
        return "(no column)"
    title = f"{told['title']} ({column_id})" if told.get("title") else column_id
    return f"{title}, gone" if told.get("gone") else title


def remap(mapping_id: int, column_id: str, *, shown: str | None = None) -> str:
    """Map a field to another column and look at every linked record; return what was done, in words.

    `shown` is the column that the person saw, where they saw one. Raises CannotRemap, also where it has another by now.
    """
    with transaction.atomic():
        mapping = (
            FieldMapping.objects.select_related("link").select_for_update(of=("self",)).get(pk=mapping_id)
        )
        if shown is not None and mapping.column_id != shown:
            raise CannotRemap(f"The column of {mapping.label} was changed meanwhile. Look again.")
        if reason := _why_not(mapping, column_id, _others(mapping)):
            raise CannotRemap(reason)
        told = mapping.link.shape["columns"][column_id]
        spec = spec_of(mapping)
        FieldMapping.objects.filter(pk=mapping.pk).update(
            column_id=column_id,
            converter=(spec.converter_for(told["type"]) if spec else None) or mapping.converter,
            options={"column_type": told["type"], "settings": told.get("settings") or {}},
            version=F("version") + 1,
            problem="",
        )
        let_go(mapping.link, mapping)
        again = look_again(registry.entity(mapping.link.entity_type))
    words = f"{mapping.label} is in the column {_titled(column_id, told)} now"
    return ". ".join([words, *again]) + "."


def _others(mapping: FieldMapping) -> dict[str, str]:
    """The columns that other fields have, with the fields' labels."""
    others = mapping.link.mappings.exclude(pk=mapping.pk).exclude(direction=SyncDirection.NONE)
    return dict(others.values_list("column_id", "label"))


def _why_not(mapping: FieldMapping, column_id: str, others: Mapping[str, str]) -> str:
    told = mapping.link.shape.get("columns", {}).get(column_id)
    if mapping.column_id == NAME:
        return f"{mapping.label} is the item's name, which is no column."
    if not told or told.get("gone"):
        return f"The column {column_id} is not on the board, as far as is known. Choose another."
    return _taken(mapping, column_id, told, others) or _unfit(mapping, column_id, told)


def _taken(mapping: FieldMapping, column_id: str, told: Mapping[str, Any], others: Mapping[str, str]) -> str:
    if column_id == mapping.link.npd_id_column:
        return f"The column {_titled(column_id, told)} holds the NPD ID. Choose another."
    if other := others.get(column_id):
        return f"The column {_titled(column_id, told)} is mapped to {other} already. Choose another."
    return ""


def _unfit(mapping: FieldMapping, column_id: str, told: Mapping[str, Any]) -> str:
    types = fitting_types(mapping)
    if told["type"] not in types:
        return f"{mapping.label} needs a column of type {' or '.join(types)}; this one is of type {told['type']}."
    if told["type"] == RELATION and not _leads_there(mapping, told):
        return (
            f"The column {_titled(column_id, told)} doesn't lead to the board that {mapping.label} points at."
        )
    return ""


def _leads_there(mapping: FieldMapping, told: Mapping[str, Any]) -> bool:
    boards = (told.get("settings") or {}).get("boardIds") or []
    return target_board_of(mapping) in {str(board) for board in boards}
