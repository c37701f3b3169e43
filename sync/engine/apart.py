"""Items that are not to be matched: let go by a policy or a person, or known not to be a certain record's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from sync.engine.subjects import Batch, Subject
from sync.hooks import KIND_IDENTITY, RECORD
from sync.letting_go import let_go_of_many, tell_apart
from sync.models import RefusedItem


@dataclass(frozen=True)
class Apart:
    """What is remembered of the items and records of one look."""

    by_item: dict[str, RefusedItem] = field(default_factory=dict)
    let_go_of: dict[UUID, RefusedItem] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Batch, items: Iterable[str], records: Iterable[UUID]) -> Apart:
        """Read what is remembered of these items, and of what was let go of these records; a few queries."""
        rows = RefusedItem.objects.filter(entity_type=batch.board.link.entity_type)
        by_item = {row.item_id: row for row in rows.filter(item_id__in=set(items))}
        return cls(by_item, let_go_of_many(batch.board.link.entity_type, list(records)))

    def may_match(self, item_id: str, record_id: UUID) -> bool:
        """Whether nothing is known that keeps this item from being this record's."""
        row = self.by_item.get(item_id)
        return row is None or not (row.let_go or row.entity_id == record_id)


def remember_apart(subject: Subject) -> None:
    """A person said that none of the items found is the record's: remember it once its own item is made."""
    if not subject.as_new:
        return
    own = subject.link_to or subject.record.monday_id
    # Where a look after the answer found the item that a lost call had made, only the question names the others.
    told = [c.monday_item_id for c in subject.conflicts if c.kind == KIND_IDENTITY and RECORD in c.choices]
    for item_id in subject.apart or told:
        if own and item_id and item_id != own:
            why = f"A person said that it is not the item of “{subject.record}”."
            tell_apart(subject.record.entity_type(), item_id, subject.id, why)
