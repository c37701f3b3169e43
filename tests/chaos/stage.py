"""What every step needs: each handle's record and item, and how to read both sides' values."""

from typing import Any

from npd.models import Contact, Organization
from sync.models import BoardLink, FieldMapping, SyncedModel, Tombstone
from tests.chaos.arena import Arena
from tests.chaos.journal import Write, essence, text_for

MODELS: dict[str, type[SyncedModel]] = {"contact": Contact, "organization": Organization}
ADDRESS = "address_street"
SKIPPED = "skipped"


class Stage:
    """The state of a script's run."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.journal, self.at = arena, arena.journal, 0
        self.steps: list[str] = []
        self.forms: dict[str, Any] = {}
        self.automations: list[dict[str, Any]] = []
        self.heard = 0  # the last of Monday's deliveries that automations have seen
        self.seen_conflicts: dict[str, Any] = {}
        self.hidden: set[tuple[str, str]] = set()  # columns hidden from the token's user
        self.lags = False
        self.killed_in_a_row = 0  # workers, with no other that ended well in between
        self.in_bulk: dict[str, str] = {}  # handle → item, of those that were deleted or emptied together
        self.slow: tuple[Any, ...] = ()  # a save whose transaction is open
        # queue row → leases of killed workers that held only this record
        self.killed_alone: dict[int, set[Any]] = {}

    @property
    def sandbox(self) -> Any:
        return self.arena.sandbox

    def type_of(self, handle: str) -> str:
        return self.journal.types.get(handle, "contact")

    def model_of(self, handle: str) -> type[SyncedModel]:
        return MODELS[self.type_of(handle)]

    def record(self, handle: str) -> SyncedModel | None:
        manager = self.model_of(handle)._default_manager
        if handle in self.journal.records:
            return manager.filter(pk=self.journal.records[handle]).first()
        item = self.journal.items.get(handle)
        return manager.filter(monday_id=item).first() if item else None

    def handle_of(self, record_id: str) -> str:
        for handle in self.journal.types:
            record = self.record(handle)
            if record is not None and str(record.pk) == record_id:
                return handle
        return ""

    def item_id(self, handle: str) -> str:
        """The item's id, also of a deleted record; empty if there is none."""
        if handle in self.journal.items:
            return self.journal.items[handle]
        record = self.record(handle)
        if record is not None:
            return record.monday_id or ""
        stone = Tombstone.objects.filter(entity_id=self.journal.records.get(handle)).first()
        return (stone.monday_id or "") if stone else ""

    def item(self, handle: str) -> dict[str, Any] | None:
        wanted = self.item_id(handle)
        items = (item for board in self.sandbox.boards() for item in board["items"] if item["id"] == wanted)
        return next(items, None) if wanted else None

    def link(self, entity_type: str) -> BoardLink:
        return BoardLink.objects.get(entity_type=entity_type)

    def column(self, handle: str, key: str) -> str:
        """The column of a field; "name" is the item's name."""
        return self.column_of(self.type_of(handle), key)

    def column_of(self, entity_type: str, key: str) -> str:
        mapping = FieldMapping.objects.get(link__entity_type=entity_type, key=key)
        return mapping.column_id or "name"

    def text(self, handle: str, key: str, number: int) -> str:
        return text_for(self.type_of(handle), key, number)

    def field(self, key: str) -> str:
        return ADDRESS if key == "address" else key

    def wrote(self, by: str, side: str, handle: str, key: str, value: str, shown: tuple[Any, ...] = ()) -> None:
        texts = tuple(str(text) for text in shown if text not in (None, ""))
        self.journal.wrote(Write(self.at, by, side, handle, key, value, texts))

    def costs(self, step: str) -> None:
        """Note a step, or a key of `calls.PRICES`, that may take calls."""
        self.journal.costs.append((self.arena.now(), step))
        if self.lags:
            self.journal.costs.append((self.arena.now(), "lag"))

    def wrong(self, words: str) -> None:
        self.journal.wrong.append(f"step {self.at}: {words}")


def local_value(record: SyncedModel, key: str) -> str:
    if key == "address":
        parts = ("address_street", "address_city", "address_state", "address_zip", "address_country")
        return " ".join(filter(None, (str(getattr(record, part)) for part in parts)))
    return str(getattr(record, key))


def remote_value(item: dict[str, Any], column: str) -> str:
    return str(item["name"] if column == "name" else item["values"].get(column) or "")


def event_value(key: str, value: Any) -> str:
    """The text in an event's value, whatever its column type."""
    if isinstance(value, dict):
        for name in ("email", "phone", "address", "name", "text", "value"):
            if value.get(name):
                return str(value[name])
        return ""
    return str(value or "")


def same(key: str, value: Any, other: Any) -> bool:
    return essence(key, value) == essence(key, other)
