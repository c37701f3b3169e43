"""What belongs to a conflict, each part read once: its record, names, fields, board link and ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from conflicts.models import SyncConflict
from sync import registry
from sync.connectors.base.conversion import Converter
from sync.kernel.action_errors import NotAllowed
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata, Tombstone
from sync.reconcile.field_values import converter_for
from sync.registry import item_url, link_of, mappings_of, with_configured_board


def may_type(user: Any, entity_type: str) -> bool:
    """Whether somebody may write a value that neither side has: who may change the record may."""
    return registry.may_act(user, "change", entity_type)


def check_may_type(user: Any, entity_type: str) -> None:
    """Raise NotAllowed with what is missing: a value of one's own is a change of the record."""
    if not may_type(user, entity_type):
        kind = registry.type_name(entity_type)
        raise NotAllowed(
            f"Nothing was stored: typing a value changes the {kind} itself, which your account isn't allowed to do. "
            "Choose one of the values shown, or ask an administrator for the permission to change it."
        )


def deleted_record_names(keys: Iterable[tuple[str, UUID]]) -> dict[tuple[str, UUID], str]:
    """Return the last names of deleted records, by type and id; one query."""
    wanted = list(keys)
    if not wanted:
        return {}
    columns = {
        entity.entity_type: mapping.fields[0]
        for entity in registry.entities()
        for mapping in entity.mappings
        if mapping.converter == "name"
    }
    found = {}
    for tombstone in Tombstone.objects.filter(entity_id__in=[entity_id for _, entity_id in wanted]):
        if name := tombstone.data.get(columns.get(tombstone.entity_type, "name")):
            found[tombstone.entity_type, tombstone.entity_id] = f"{name} (deleted)"
    return found


# What a page reads of a record: its board link with mappings, the record itself, its ledger entry; each once.


class ConflictContext:
    """Each part is read when first asked for; `mappings` are those that were read already, with their links.

    `other` is another conflict that the page names: its record is read with this one's where both have one
    type.
    """

    def __init__(
        self,
        entity_type: str,
        entity_id: UUID,
        mappings: Sequence[FieldMapping] = (),
        other: SyncConflict | None = None,
    ) -> None:
        self.entity_type, self.entity_id = entity_type, entity_id
        self._ids = [entity_id]
        if other is not None and other.entity_type == entity_type:
            self._ids.append(other.entity_id)
        self._given_mappings = [mapping for mapping in mappings if mapping.link.entity_type == entity_type]

    @classmethod
    def of(
        cls, conflict: SyncConflict, mappings: Sequence[FieldMapping] = (), other: SyncConflict | None = None
    ) -> ConflictContext:
        """Return the context of a conflict's record."""
        return cls(conflict.entity_type, conflict.entity_id, mappings, other)

    @cached_property
    def link(self) -> BoardLink | None:
        """The board link, with the board id that counts."""
        return (
            with_configured_board(self._given_mappings[0].link) if self._given_mappings else link_of(self.entity_type)
        )

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The field mappings, in their order; none without a board link."""
        if self._given_mappings:
            return sorted(self._given_mappings, key=lambda one: (one.position, one.pk))
        return mappings_of(self.link) if self.link is not None else []

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
        """Return a mapped field's converter for the record, which has to exist."""
        assert self.record is not None
        mapping, board_id = self.mapped[key], self.link.board_id if self.link is not None else ""
        return converter_for(mapping, board_id, self.record)

    @cached_property
    def record(self) -> SyncedModel | None:
        """The record with what its fields point at; None where it was deleted or its type is not synced."""
        return self._records.get(self.entity_id)

    @cached_property
    def _records(self) -> dict[UUID, SyncedModel]:
        return self.records(self._ids)

    def name_of_other(self, other: SyncConflict) -> str:
        """Return the name of another conflict's record, read with this one's where both have one type."""
        if other.entity_type == self.entity_type and (found := self._records.get(other.entity_id)):
            return str(found)
        return ConflictContext.of(other, self._given_mappings).name

    def records(self, keys: Iterable[UUID]) -> dict[UUID, SyncedModel]:
        """Return records of this type by their ids, with what their fields point at; one query."""
        try:
            model = registry.entity(self.entity_type).model
        except registry.UnknownEntity:
            return {}
        mapped_names = [name for one in self.mapped.values() for name in one.fields]
        names = dict.fromkeys([*model.sync_related, *mapped_names])
        related = [name for name in names if model._meta.get_field(name).is_relation]
        rows = model._default_manager.select_related(*related)
        return {row.pk: row for row in rows.filter(pk__in=list(keys))}

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
        has_item = self.link is not None and self.link.board_id and item_id
        return item_url(self.link, item_id) if has_item and self.link else ""
