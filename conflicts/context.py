"""The record that a conflict or a rejected value is about, with its board and what the last pass found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from uuid import UUID

from conflicts.models import SyncConflict
from sync import registry
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata
from sync.monday.conversion import Converter
from sync.reconcile.lookups import converter_for
from sync.records.tombstones import deleted_record_names


class RecordContext:
    """A record by its type and id; each part is read when first asked for."""

    def __init__(self, entity_type: str, entity_id: UUID, mappings: Sequence[FieldMapping] = ()) -> None:
        self.entity_type = entity_type
        self.entity_id = entity_id
        # Where mappings were read already, with their links, those of this type serve.
        if own_mappings := [mapping for mapping in mappings if mapping.link.entity_type == entity_type]:
            self.link = registry.with_configured_board(own_mappings[0].link)
            self.mappings = sorted(own_mappings, key=lambda mapping: (mapping.position, mapping.pk))

    @classmethod
    def of(cls, conflict: SyncConflict, mappings: Sequence[FieldMapping] = ()) -> RecordContext:
        return cls(conflict.entity_type, conflict.entity_id, mappings)

    @cached_property
    def link(self) -> BoardLink | None:
        return registry.link_of(self.entity_type)

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The field mappings, in their order; none without a board link."""
        return registry.mappings_of(self.link) if self.link is not None else []

    @cached_property
    def mapped(self) -> Mapping[str, FieldMapping]:
        """The mapped fields by key, as the board's mappings say, else as their application proposes."""
        if self.link is not None:
            return {mapping.key: mapping for mapping in self.mappings}
        return {
            spec.key: FieldMapping(
                key=spec.key, label=spec.label, fields=list(spec.fields), converter=spec.converter,
                required=spec.required, options={},
            )
            for spec in registry.entity(self.entity_type).mappings
        }  # fmt: skip

    def converter(self, key: str) -> Converter:
        assert self.record is not None
        return converter_for(self.mapped[key], self.record)

    @cached_property
    def record(self) -> SyncedModel | None:
        """The record with what its fields point at; None where it was deleted or its type is not synced."""
        return self.records([self.entity_id]).get(self.entity_id)

    def records(self, ids: Iterable[UUID]) -> dict[UUID, SyncedModel]:
        """Return records of this type by their ids, with what their fields point at; one query."""
        if not registry.is_registered(self.entity_type):
            return {}
        model = registry.entity(self.entity_type).model
        mapped_names = [name for mapping in self.mapped.values() for name in mapping.fields]
        names = dict.fromkeys([*model.sync_related, *mapped_names])
        related = [name for name in names if model._meta.get_field(name).is_relation]
        rows = model._default_manager.select_related(*related)
        return {row.pk: row for row in rows.filter(pk__in=list(ids))}

    @cached_property
    def name(self) -> str:
        """The record's name; of a deleted one its last name, or words for an unknown one."""
        if self.record is not None:
            return str(self.record)
        last_names = deleted_record_names([(self.entity_type, self.entity_id)]).values()
        return next(iter(last_names), f"a {registry.type_name(self.entity_type)} that was deleted")

    @cached_property
    def ledger(self) -> SyncMetadata | None:
        """What the last pass found, or None before the first one."""
        return SyncMetadata.objects.of(self.entity_type, [self.entity_id]).first()

    def item_url(self, item_id: str) -> str:
        """Return the item's page on Monday; empty where there is no board or item."""
        return registry.item_url(self.link, item_id) if self.link and self.link.board_id and item_id else ""


def names_of(conflicts: Iterable[SyncConflict]) -> dict[UUID, str]:
    """Return the names of conflicts' records by the conflicts' ids, of a deleted record its last one."""
    keys = {conflict.pk: (conflict.entity_type, conflict.entity_id) for conflict in conflicts}
    names = registry.record_names(keys.values())
    names |= deleted_record_names(set(keys.values()) - set(names), suffix="")
    return {pk: names.get(key, f"a {registry.type_name(key[0])} that was deleted") for pk, key in keys.items()}
