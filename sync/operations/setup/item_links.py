"""What a set-up does with the links between records and items.

Those of the board that is left are forgotten, and those that a person chose are made. What the plan had nothing new for
is marked, so that nothing is created for it unasked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import F

from conflicts.models import SyncConflict
from conflicts.reports import ConflictReport
from conflicts.store import reject_resolutions, save_reports
from sync import registry
from sync.choices import ActivityKind, Cause, Priority, QueueStatus, RecordSyncStatus, SyncStatus
from sync.clock import SyncNow
from sync.models import (
    ActivityLine,
    BoardLink,
    FieldMapping,
    Intent,
    IntentState,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WriteLoop,
)
from sync.models.activity_lines import fold_alike
from sync.operations.setup.future_board import STATE_WITHOUT_ITEM
from sync.outbox import enqueue, enqueue_comparison, enqueue_unmatched
from sync.records import authors
from sync.records.approvals import release_obsolete
from sync.records.item_links import AS_NEW_KEY, NEW_ITEM_KEY, UnmatchedFinding, note_unmatched
from sync.records.tombstones import OPEN_TOMBSTONE_STATES
from sync.words.message import Message

BOARD_LEFT = Message("board_left")

CHOSEN = Message("item_linked_as_chosen")

# Rows that a statement takes at once.
BATCH = 1_000


def forget_items(link: BoardLink, by: str) -> None:
    """Forget which items of its board the records have, and what is open about them, in the caller's transaction.

    `by` is who chose another board. The old one stays as it is. On the next one, each record is looked for by its NPD
    ID, then by its match key.
    """
    entity_type = link.entity_type
    records = registry.entity(entity_type).model.objects.all()
    # In the order of ids, as passes lock them. NO KEY, so that rows pointing at these records can still be saved.
    linked = records.exclude(monday_id=None).order_by("pk").select_for_update(no_key=True, of=("self",))
    ids = list(linked.values_list("pk", flat=True))
    records.filter(pk__any_of=ids).update(monday_id=None)
    records.exclude(sync_status=RecordSyncStatus.DISABLED).update(sync_status=RecordSyncStatus.PENDING)
    FieldMapping.objects.filter(link=link).update(version=F("version") + 1)
    WriteLoop.objects.filter(entity_type=entity_type).delete()
    # A call without an answer may have changed the board that is left; nothing depends on it any more.
    calls = Intent.objects.filter(entity_type=entity_type, state=IntentState.OPEN)
    calls.update(state=IntentState.VOID, settled_at=SyncNow())
    reject_resolutions(entity_type, ids, BOARD_LEFT)
    questions = SyncConflict.objects.filter(entity_type=entity_type, resolved_at=None).order_by("id")
    save_reports(
        [
            ConflictReport(entity_type, row.entity_id, row.monday_item_id, row.kind, closing_reason=BOARD_LEFT, by=by)
            for row in questions
        ]
    )
    SyncMetadata.objects.of(entity_type).update(**STATE_WITHOUT_ITEM, sync_status=SyncStatus.PENDING)
    release_obsolete(ids)
    # The passes of deleted records and unmatched items find that the items are on another board, and leave them there.
    deleted = Tombstone.objects.filter(entity_type=entity_type, state__in=OPEN_TOMBSTONE_STATES)
    deleted_ids = sorted(deleted.values_list("entity_id", flat=True))
    enqueue(entity_type, deleted_ids, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)
    unmatched = SyncQueue.objects.filter(entity_type=entity_type, entity_id=None, status=QueueStatus.PENDING)
    items = [job.remote_id for job in unmatched.order_by("remote_id") if job.remote_id]
    enqueue_unmatched(entity_type, items, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


def mark_unplanned(link: BoardLink, record_ids: Sequence[str], items: Mapping[str, str]) -> None:
    """Mark the records and items (names by id) for which the plan had nothing new.

    Before the next pass, in the caller's transaction: until such a record or item is linked, a person is asked before
    anything is created for it.
    """
    entity_type = link.entity_type
    SyncMetadata.objects.bulk_create(
        [SyncMetadata(entity_type=entity_type, entity_id=record_id, is_unplanned=True) for record_id in record_ids],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "system"],
        update_fields=["is_unplanned"],
    )
    findings = [UnmatchedFinding(item_id, name) for item_id, name in items.items()]
    for start in range(0, len(findings), BATCH):
        note_unmatched(link, findings[start : start + BATCH])
    unmatched = UnmatchedItem.objects.filter(entity_type=entity_type, item_id__any_of=list(items))
    unmatched.update(is_unplanned=True)


def link_chosen(link: BoardLink, items: Mapping[str, str], by: str) -> None:
    """Link these records with the items that a person chose for them, unless one of the two has another by now.

    `items` are their ids, by record; in the caller's transaction.
    """
    model = registry.entity(link.entity_type).model
    taken = set(model.objects.filter(monday_id__in=items.values()).values_list("monday_id", flat=True))
    records = model.objects.filter(pk__in=items, monday_id=None).order_by("pk")
    linked = []
    for record in records.select_for_update(no_key=True, of=("self",)):
        record.monday_id = items[str(record.pk)]
        if record.monday_id not in taken:
            model.objects.filter(pk=record.pk).update(monday_id=record.monday_id)
            linked.append(record)
    lines = [authors.person_line(record, ActivityKind.LINK, CHOSEN, by) for record in linked]
    ActivityLine.objects.bulk_create(fold_alike(lines))
    enqueue_comparison(link.entity_type, [record.pk for record in linked])


def request_new(link: BoardLink, records: Sequence[str], items: Sequence[str], by: str) -> None:
    """Request new items for these records, and new records for these items: a person said that they are others."""
    entity_type = link.entity_type
    new_item = {NEW_ITEM_KEY: True, "by": by}
    enqueue(entity_type, map(UUID, records), cause=Cause.PERSON, priority=Priority.SWEEP, payload=new_item)
    new_record = {AS_NEW_KEY: True, "by": by}
    enqueue_unmatched(entity_type, items, cause=Cause.PERSON, priority=Priority.SWEEP, payload=new_record)
