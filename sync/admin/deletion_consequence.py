"""What the page that asks before a deletion says of its consequences."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from sync import registry
from sync.choices import DeletedRecordPolicy, SyncDirection
from sync.fields import lookups
from sync.kernel import humanize
from sync.models import SyncedModel
from sync.records.approvals import limit_exceeded_by_item_removals
from sync.words.message import Message

# The consequence for a deleted record's item, by the board's policy.
_CONSEQUENCES = {
    DeletedRecordPolicy.ARCHIVE: ("is archived on Monday", "are archived on Monday"),
    DeletedRecordPolicy.DELETE: ("is deleted on Monday", "are deleted on Monday"),
    DeletedRecordPolicy.UNLINK: ("stays on Monday, unlinked", "stay on Monday, unlinked"),
    DeletedRecordPolicy.ASK: (
        "stays on Monday until you choose what to do",
        "stay on Monday until you choose what to do",
    ),
}


@dataclass(frozen=True)
class DeletionConsequence:
    """The consequence of a deletion, in sentences."""

    items: tuple[str, ...] = ()  # what becomes of the items; empty without any
    waits: bool = False  # whether that waits for approval
    relations: str = ""  # which relations are emptied

    @property
    def sentence(self) -> str:
        restorable = Message("can_be_restored", days=settings.TOMBSTONE_DAYS)
        return " ".join(filter(None, [*self.items, self.relations, restorable if self.items else ""]))


def deletion_consequence(records: Collection[SyncedModel], released: Collection[UUID] = ()) -> DeletionConsequence:
    """Return the consequence of deleting these records of one type at once.

    `released` records point at them no more, because the same act deletes them, or changes what they point at.
    """
    ids = [record.pk for record in records]
    # The relations that it empties: “3 contacts lose their organization; …”.
    parts = list[str]()
    for field in registry.relations_to(type(next(iter(records)))) if ids else ():
        pointing = field.model.objects.filter(**{f"{field.name}__in": ids}).exclude(pk__in=[*ids, *released])
        if number := pointing.count():
            whose = humanize.plural(number, "loses its", "lose their")
            parts.append(f"{registry.count_of_type(number, field.model.entity_type())} {whose} {field.verbose_name}")
    relations = Message("relations_emptied", relations=parts) if parts else ""
    linked = [record for record in records if record.monday_id]
    if not linked:
        return DeletionConsequence((), False, relations)
    entity_type = linked[0].entity_type()
    items = _items_of(linked)
    syncable = [record for record in linked if record.may_sync and not record.is_left_out]
    sent = [record for record in syncable if record.sync_direction != SyncDirection.MONDAY_TO_NPD]
    if not sent:
        stay = humanize.plural(len(linked), "stays on Monday, because it isn't", "stay on Monday, because they aren't")
        return DeletionConsequence((f"{items} {stay} synced to Monday.",), False, relations)
    link = lookups.link_of(entity_type)
    policy = DeletedRecordPolicy(link.deleted_record_policy if link else DeletedRecordPolicy.ARCHIVE)
    removes = policy in (DeletedRecordPolicy.ARCHIVE, DeletedRecordPolicy.DELETE)
    if removes and (limit := limit_exceeded_by_item_removals(entity_type, {record.pk for record in sent})):
        # Only these wait; the others stay on Monday.
        waits = f"{_items_of(sent)} {humanize.plural(len(sent), 'waits', 'wait')}"
        sentence = Message("removal_waits", waits=waits, limit=limit)
        return DeletionConsequence((sentence,), True, relations)
    sentences = [f"{items} {humanize.plural(len(linked), *_CONSEQUENCES[policy])}."]
    if len(sent) < len(linked):
        sentences.append(Message("unsynced_items_stay"))
    if policy is not DeletedRecordPolicy.ASK:
        sentences.append(Message("edited_item_is_asked_about" if len(linked) == 1 else "edited_items_are_asked_about"))
    return DeletionConsequence(tuple(sentences), False, relations)


def _items_of(records: Sequence[SyncedModel]) -> str:
    """Return a phrase without a number, because a pass may ask about some of them instead."""
    return humanize.plural(
        len(records),
        f"The {records[0]._meta.verbose_name}'s item",
        Message("items_of_these", records=records[0]._meta.verbose_name_plural),
    )
