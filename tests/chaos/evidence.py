"""What both sides, conflicts and history hold at the end, and which record and item each handle stands for."""

import json
from dataclasses import dataclass, field
from typing import Any

from conflicts.models import SyncConflict
from sync.models import (
    ActivityLine,
    ApprovalRequest,
    BoardLink,
    FieldMapping,
    IgnoredItem,
    Intent,
    SyncedModel,
    SyncMetadata,
    Tombstone,
)
from tests.chaos.journal import FIELDS, Journal, Write
from tests.chaos.stage import MODELS, Stage, local_value, remote_value

# Decisions that keep a value which a rule or a direction replaced. Pushes and pulls are not among them: a person must
# have seen the value that they replaced, or it belongs in a conflict.
TAKEN_BACK_FROM = ("overwritten", "loop", "undo")


@dataclass
class Entity:
    """A person or firm of the script: its record, its item, and all handles that turned out to be it."""

    type: str
    record: SyncedModel | None = None
    item: dict[str, Any] | None = None
    board: str = ""
    handles: set[str] = field(default_factory=set)
    sync_state: SyncMetadata | None = None
    conflicts: list[SyncConflict] = field(default_factory=list)
    stone: Tombstone | None = None
    record_id: str = ""
    at_home: bool = True

    @property
    def words(self) -> str:
        return f"{self.type} {'+'.join(sorted(self.handles)) or '(nobody’s)'}"

    @property
    def linked(self) -> bool:
        return bool(self.record and self.item and self.item["state"] == "active" and self.at_home)

    @property
    def may_sync(self) -> bool:
        return bool(self.record and self.record.sync_enabled and self.record.sync_direction != "none")

    def open_kinds(self) -> set[str]:
        return {conflict.kind for conflict in self.conflicts if conflict.resolved_at is None}

    def in_open_conflict(self, key: str) -> bool:
        return any(c.resolved_at is None and key in c.conflict_fields for c in self.conflicts)

    def ever_in_conflict(self, key: str) -> bool:
        return any(
            key in c.conflict_fields or key in json.dumps([c.npd_data, c.monday_data, c.resolved_data])
            for c in self.conflicts
        )

    def is_held(self, key: str) -> bool:
        """Whether the sync state says that this field waits; a lossless alteration is no wait."""
        if self.sync_state is None:
            return False
        waits = key in self.sync_state.altered and not self.is_noted(key)
        return waits or key in self.sync_state.blocked_fields

    def is_noted(self, key: str) -> bool:
        """Whether Monday stored another form of the value without loss."""
        return bool(self.sync_state and self.sync_state.altered.get(key, {}).get("lossless"))

    def local(self, key: str) -> str:
        return local_value(self.record, key) if self.record else ""


class Evidence:
    def __init__(self, stage: Stage) -> None:
        self.stage, self.journal = stage, stage.journal
        self.mappings = {
            (mapping.link.entity_type, mapping.key): mapping
            for mapping in FieldMapping.objects.select_related("link").exclude(column_id="", converter="")
        }
        self.links = {link.entity_type: link for link in BoardLink.objects.all()}
        self.items = {item["id"]: (board["id"], item) for board in stage.sandbox.boards() for item in board["items"]}
        self.conflicts = list(SyncConflict.objects.all())
        self.stones = list(Tombstone.objects.all())
        self.refused = {ignored.item_id: ignored for ignored in IgnoredItem.objects.all()}
        self.decisions = list(ActivityLine.objects.order_by("id"))
        self.of_item = self._records_of_items()
        self.entities = self._entities()
        self.kept = self._kept()

    def _entities(self) -> list[Entity]:
        by_record: dict[str, Entity] = {}
        for entity_type, model in MODELS.items():
            for record in model._default_manager.all():
                board, item = self.items.get(record.monday_id or "", ("", None))
                by_record[str(record.pk)] = Entity(entity_type, record, item, board, record_id=str(record.pk))
        for stone in self.stones:
            if str(stone.entity_id) not in by_record:
                board, item = self.items.get(stone.monday_id or "", ("", None))
                by_record[str(stone.entity_id)] = Entity(
                    stone.entity_type, None, item, board, stone=stone, record_id=str(stone.entity_id)
                )
        for sync_state in SyncMetadata.objects.filter(entity_id__in=list(by_record)):
            by_record[sync_state.entity_id].sync_state = sync_state
        for conflict in self.conflicts:
            if str(conflict.entity_id) in by_record:
                by_record[str(conflict.entity_id)].conflicts.append(conflict)
        entities = self._with_handles(by_record, self.journal)
        for entity in entities:
            entity.at_home = entity.board == self.links[entity.type].board_id
        return entities

    def _with_handles(self, by_record: dict[str, Entity], journal: Journal) -> list[Entity]:
        by_item: dict[str, Entity] = {}
        for handle, entity_type in journal.types.items():
            record_id = journal.records.get(handle) if handle not in journal.items else None
            item_id = journal.items.get(handle, "")
            entity = by_record.get(record_id or self.of_item.get(item_id, ""))
            if entity is None and item_id in self.items:
                board, item = self.items[item_id]
                entity = by_item.setdefault(item_id, Entity(entity_type, None, item, board))
            if entity is not None:
                entity.handles.add(handle)
        return [*by_record.values(), *by_item.values()]

    def _records_of_items(self) -> dict[str, str]:
        """The record of each item, now or before; links override tombstones, intents and decisions."""
        owners = {d.remote_id: str(d.entity_id) for d in self.decisions if d.remote_id and d.entity_id}
        intents = Intent.objects.exclude(item_id="").order_by("created_at")
        owners |= {intent.item_id: str(intent.entity_id) for intent in intents}
        owners |= {stone.monday_id: str(stone.entity_id) for stone in self.stones if stone.monday_id}
        for model in MODELS.values():
            for record in model._default_manager.exclude(monday_id=None):
                owners[str(record.monday_id)] = str(record.pk)
        return owners

    def _kept(self) -> str:
        """All text outside the two sides in which a person can find a value again."""
        parts: list[Any] = []
        for conflict in self.conflicts:
            parts += [conflict.npd_data, conflict.monday_data, conflict.base_data, conflict.resolved_data]
            parts += [conflict.merge_selections, conflict.resolution, conflict.notes, conflict.about]
        for decision in self.decisions:
            if decision.kind in TAKEN_BACK_FROM or decision.values.get("overridden"):
                parts += [decision.values, decision.sentence]
        parts += [act.values for act in ApprovalRequest.objects.all()]
        return flat(parts)

    def column(self, entity: Entity, key: str) -> str:
        return self.mappings[entity.type, key].column_id or "name"

    def remote(self, entity: Entity, key: str) -> str:
        return remote_value(entity.item, self.column(entity, key)) if entity.item else ""

    def keys(self, entity: Entity) -> list[str]:
        return [key for key in FIELDS[entity.type] if (entity.type, key) in self.mappings]

    def writes_of(self, entity: Entity, key: str) -> list[Write]:
        return [write for write in self.journal.writes if write.handle in entity.handles and write.key == key]


def flat(parts: Any) -> str:
    """One text in which tokens are found, even in telephone numbers written in groups."""
    text = json.dumps(parts, ensure_ascii=False, default=str)
    return text + "".join(character for character in text if character not in " -()")
