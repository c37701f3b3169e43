"""What a page reads around a record: its board link with mappings, the record itself, its ledger entry; each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from uuid import UUID

from conflicts.models import SyncConflict
from conflicts.records import MappedField, mapped_fields, name_of_gone
from sync import registry
from sync.boards import item_url, link_of, mappings_of, with_setting
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata


class Around:
    """Each part is read when it is first asked for; `known` are mappings with their links that were read already.

    `beside` is another conflict that the page names: its record is read with this one's where both are of a kind.
    """

    def __init__(
        self,
        entity_type: str,
        entity_id: UUID,
        known: Sequence[FieldMapping] = (),
        beside: SyncConflict | None = None,
    ) -> None:
        self.entity_type, self.entity_id = entity_type, entity_id
        self._ids = [entity_id]
        if beside is not None and beside.entity_type == entity_type:
            self._ids.append(beside.entity_id)
        self._known = [one for one in known if one.link.entity_type == entity_type]

    @classmethod
    def of(
        cls, conflict: SyncConflict, known: Sequence[FieldMapping] = (), beside: SyncConflict | None = None
    ) -> Around:
        """What is around a conflict's record."""
        return cls(conflict.entity_type, conflict.entity_id, known, beside)

    @cached_property
    def link(self) -> BoardLink | None:
        """The board link, with the board id that counts."""
        return with_setting(self._known[0].link) if self._known else link_of(self.entity_type)

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The field mappings, in their order; none without a board link."""
        if self._known:
            return sorted(self._known, key=lambda one: (one.position, one.pk))
        return mappings_of(self.link) if self.link is not None else []

    @cached_property
    def mapped(self) -> Mapping[str, MappedField]:
        """The mapped fields by key."""
        return mapped_fields(self.entity_type, self.link, self.mappings)

    @cached_property
    def record(self) -> SyncedModel | None:
        """The record with what its fields point at, or None where it was deleted or its kind is no longer synced."""
        return self._read.get(self.entity_id)

    @cached_property
    def _read(self) -> dict[UUID, SyncedModel]:
        return self.records(self._ids)

    def name_beside(self, other: SyncConflict) -> str:
        """The name of another conflict's record, read with this one's where both are of a kind."""
        if other.entity_type == self.entity_type and (found := self._read.get(other.entity_id)):
            return str(found)
        return Around.of(other, self._known).name

    def records(self, keys: Iterable[UUID]) -> dict[UUID, SyncedModel]:
        """Records of this kind by their ids, with what their fields point at; one query."""
        try:
            model = registry.entity(self.entity_type).model
        except registry.UnknownEntity:
            return {}
        rows = model._default_manager.select_related(*self._pointed_at(model))
        return {row.pk: row for row in rows.filter(pk__in=list(keys))}

    def _pointed_at(self, model: type[SyncedModel]) -> list[str]:
        named = [name for one in self.mapped.values() for name in one.fields]
        found = dict.fromkeys([*model.sync_related, *named])
        return [name for name in found if model._meta.get_field(name).is_relation]

    @cached_property
    def name(self) -> str:
        """The record's name; of a deleted one the name that it had."""
        return str(self.record) if self.record is not None else name_of_gone(self.entity_type, self.entity_id)

    @cached_property
    def ledger(self) -> SyncMetadata | None:
        """What the last look found, or None before the first one."""
        rows = SyncMetadata.objects.filter(entity_type=self.entity_type, entity_id=str(self.entity_id))
        return rows.filter(system="monday").first()

    def item_url(self, item_id: str) -> str:
        """The item's page on Monday; an empty text where there is no board or item."""
        there = self.link is not None and self.link.board_id and item_id
        return item_url(self.link, item_id) if there and self.link else ""
