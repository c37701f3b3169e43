"""The records that conflicts are about: their names, fields and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from conflicts.models import SyncConflict
from sync import registry
from sync.boards import mappings_of
from sync.connectors.monday.converters import Converter
from sync.engine.board import converter_for
from sync.models import BoardLink, FieldMapping, SyncedModel, Tombstone


@dataclass(frozen=True)
class MappedField:
    """What a screen and a validation need to know of a field mapping."""

    key: str
    label: str
    fields: tuple[str, ...]
    converter: str
    required: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    board_id: str = ""

    def converter_for(self, record: SyncedModel) -> Converter:
        """Return the field's converter for this record."""
        return converter_for(self.converter, self.options, self.board_id, record)


def default_label(entity_type: str, key: str) -> str:
    """The field's label as its application proposes it; asks nothing of the database."""
    try:
        specs = registry.entity(entity_type).mappings
    except registry.UnknownEntity:
        specs = ()
    return next((spec.label for spec in specs if spec.key == key), key.replace("_", " ").capitalize())


def mapped_fields(
    entity_type: str, link: BoardLink | None, mappings: Sequence[FieldMapping] | None = None
) -> dict[str, MappedField]:
    """The mapped fields by key, as the board's set-up says, else as their application proposes.

    `mappings` are those of the link, where they have been read already.
    """
    rows: Sequence[FieldMapping | registry.MappingSpec]
    if link is None:
        rows = registry.entity(entity_type).mappings
    else:
        rows = mappings_of(link) if mappings is None else mappings
    return {
        row.key: MappedField(
            row.key,
            row.label,
            tuple(row.fields),
            row.converter,
            row.required,
            row.options if isinstance(row, FieldMapping) else {},
            link.board_id if link is not None else "",
        )
        for row in rows
    }


def record_of(conflict: SyncConflict) -> SyncedModel | None:
    """The record, or None where it was deleted or its kind is no longer synced."""
    try:
        model = registry.entity(conflict.entity_type).model
    except registry.UnknownEntity:
        return None
    return model._default_manager.filter(pk=conflict.entity_id).first()


def name_of(conflict: SyncConflict, record: SyncedModel | None) -> str:
    """The record's name; of a deleted record the one that it had, or words for a record of which nothing is known."""
    return str(record) if record is not None else name_of_gone(conflict.entity_type, conflict.entity_id)


def name_of_gone(entity_type: str, entity_id: UUID) -> str:
    """The name that a deleted record had, or words for one of which nothing is known."""
    names = names_of_deleted([(entity_type, entity_id)])
    return names.get((entity_type, entity_id)) or _("a %(kind)s that is gone") % {
        "kind": registry.kind_name(entity_type)
    }


def names_of_deleted(keys: Iterable[tuple[str, UUID]]) -> dict[tuple[str, UUID], str]:
    """The names that deleted records had, by type and id; one query."""
    wanted = list(keys)
    if not wanted:
        return {}
    stones = Tombstone.objects.filter(entity_id__in=[entity_id for _, entity_id in wanted])
    named = {
        (stone.entity_type, stone.entity_id): str(stone.data.get(_name_column(stone.entity_type)) or "")
        for stone in stones
    }
    return {key: _("%(name)s (deleted)") % {"name": name} for key, name in named.items() if name}


def _name_column(entity_type: str) -> str:
    """The column that holds a record's name."""
    try:
        specs = registry.entity(entity_type).mappings
    except registry.UnknownEntity:
        specs = ()
    return next((spec.fields[0] for spec in specs if spec.converter == "name"), "name")
