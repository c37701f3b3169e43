"""What becomes of an item whose record was deleted in NPD, and how such a pass ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings

from sync.choices import (
    ApprovalKind,
    Cause,
    DeletedRecordPolicy,
    Priority,
    QueueDirection,
    SyncDirection,
    TombstoneState,
)
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import ARCHIVED, BatchItems, Item
from sync.connectors.base.conversion import AmbiguousSplit, Converter, UnknownValue
from sync.kernel.action_errors import RestoreError
from sync.kernel.conflict_store import (
    KIND_DELETE,
    RECORD_KEY,
    ConflictReport,
    FieldConflict,
    Option,
    OptionAct,
    current_store,
)
from sync.kernel.messages import TombstoneReason
from sync.merge import FieldDirection, Unknown
from sync.models import BoardLink, Decision, FieldMapping, Intent, IntentState, SyncMetadata, Tombstone, WebhookEvent
from sync.models.state import fold_alike
from sync.outbox.queue_rows import enqueue_item
from sync.reconcile.act import OUTCOMES, Answer, Call, Expected, Kind, Verdict, Write, executor_of
from sync.reconcile.batch import (
    Batch,
    DeletedRecord,
    Outcome,
    RecordSync,
    WorkUnit,
    change_events,
    end_jobs,
    new_ledger,
)
from sync.reconcile.board_filter import deleted_exclusion
from sync.reconcile.conflict_reports import decisions_with_cause
from sync.reconcile.field_plan import base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import ACTIVE, BoardContext, stored_values
from sync.reconcile.restraints import (
    DestructiveChange,
    allowed_changes,
    defer_deleted_records,
    enqueue_paused,
    rejected_records,
    unpaused_records,
)
from sync.reconcile.settlement import end_intents
from sync.reconcile.sides import record_of_npd_id
from sync.records.authors import monday_user_name, monday_users
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item
from sync.records.tombstones import NEW_ITEM, OPEN_TOMBSTONE_STATES, REMOVED_STATES, rebuild_record, restore_record

# What somebody changed on Monday since both sides agreed, of a record that is no more in NPD.
#
# Where the item leaves the board, its edits leave with it: those that nobody saw who decided that
# go to the history.


def log_lost_edits(board: BoardContext, deleted: DeletedRecord, item: Item) -> list[str]:
    """Write the edits into the history that leave with the item, and return the names of their fields.

    Of a field that flows to Monday only an edit is overwritten unseen, as in every pass; of the others only those that
    came after the pass had read the item, or that the author of the choice was not shown. `item` is as it left.
    """
    seen_values = deleted.resolution.seen if deleted.resolution else {}
    ways = (FieldDirection.BOTH, FieldDirection.TO_NPD, FieldDirection.TO_MONDAY)
    edits = {edit.key: edit for edit in edits_since_base(board, deleted, item, ways)}
    events = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id=item.id)
    changes = change_events(board, deleted.record, events) if edits else []
    labels = []
    for mapping in [mapping for mapping in board.mappings if mapping.key in edits]:
        _, seen_monday = seen_values.get(mapping.key, (None, None))
        if mapping.key in seen_values and (seen_monday or None) == edits[mapping.key].monday:
            continue
        convert, local_raw = board.converter(mapping, deleted.record), stored_values(deleted.record, mapping)
        try:
            remote_raw = convert.stored_value(item.reading(mapping.column_id))
            value = convert.remote(remote_raw)
        except UnknownValue:
            continue
        lost_text, after = convert.display(value), ""
        raws: dict[str, Any] = {}
        with suppress(UnknownValue):
            after = convert.display(convert.local(local_raw))
        # What NPD would hold had the value been taken over, and what it held; nothing where that can't be told.
        with suppress(AmbiguousSplit, UnknownValue, ValueError):
            raws = {"raw_before": dict(convert.to_local(remote_raw, local_raw)), "raw_after": local_raw}
        users = [
            change.user_id
            for change in changes
            if change.key == mapping.key and change.value == value and change.user_id
        ]
        who = monday_user_name(users[-1], monday_users()) if users else "Somebody"
        wrote = f"wrote “{lost_text}” into {mapping.label}" if lost_text else f"emptied {mapping.label}"
        deleted.log_decision(
            "overridden",
            f"{who} {wrote} on Monday, and the item left the board with that, because its record was deleted in NPD. "
            "Once the record is restored, that can be undone here.",
            mapping.key,
            before=lost_text,
            after=after,
            overridden=True,
            **raws,
        )
        labels.append(mapping.label)
    return labels


def edits_since_base(
    board: BoardContext,
    record_sync: RecordSync,
    item: Item,
    ways: Collection[FieldDirection] = (FieldDirection.BOTH, FieldDirection.TO_NPD),
) -> tuple[FieldConflict, ...]:
    """Return the fields whose cell has left its half of the base, or can't be read.

    A field that only flows to Monday is NPD's, so that an edit of its cell is nothing to ask about. Without a base a
    cell counts that says something else than the record said.
    """
    mapped = [mapping for mapping in board.mappings if mapping.column_id and way_of(record_sync, mapping) in ways]
    edits = (_edit_since_base(board.converter(m, record_sync.record), record_sync, m, item) for m in mapped)
    return tuple(edit for edit in edits if edit is not None)


def _edit_since_base(
    convert: Converter, record_sync: RecordSync, mapping: FieldMapping, item: Item
) -> FieldConflict | None:
    base = base_of(record_sync.ledger, mapping, item.id)
    cell, local_raw = cell_of(convert, mapping, item), stored_values(record_sync.record, mapping)
    sides = sides_of(convert, base, local=local_raw, remote=cell)
    remote, agreed = sides.remote, sides.base[1] if sides.base else None
    if isinstance(remote, Unknown):
        detail = f"Its value on Monday can't be read: {remote.reason}."
        return FieldConflict(mapping.key, None, None, None, detail)
    shown = convert.display(remote) or None
    if isinstance(agreed, Unknown):
        detail = f"The last synced value is not known any more: {agreed.reason}."
        return FieldConflict(mapping.key, None, None, shown, detail)
    # An item that was deleted leaves every cell of connected boards empty by itself.
    vanished = convert.names_items and remote is None
    if not sides.remote_changed or sides.equal or vanished:
        return None
    # A value that a call of ours without an answer sent is nobody's edit.
    entries = [intent.values.get(mapping.key) for intent in record_sync.intents]
    with suppress(UnknownValue):
        if any(convert.local(entry["local"]) == remote for entry in entries if entry and mapping.is_current(entry)):
            return None
    detail = ""
    if not isinstance(sides.local, Unknown) and sides.local != agreed:
        detail = f"In NPD it was “{convert.display(sides.local)}” when the record was deleted."
    return FieldConflict(mapping.key, None, convert.display(agreed) or None, shown, detail)


# How a pass over deleted records ends: tombstones, questions, log, intents and jobs, in one
# transaction.


def settle_removed(batch: Batch, deleted: DeletedRecord, state: TombstoneState, item: Item) -> None:
    """The item has left the board by our call; what it took with it stands in the history."""
    is_archived, more = state == TombstoneState.ARCHIVED, ""
    if deleted.tombstone.state != state and (edited_labels := log_lost_edits(batch.board, deleted, item)):
        more = f" What was edited there before is in its activity: {', '.join(edited_labels)}."
    reason = TombstoneReason.ARCHIVED if is_archived else TombstoneReason.DELETED
    deleted.settle(state, reason, kind="archived" if is_archived else "deleted", more=more, item=item.name)
    if deleted.resolution:
        deleted.carried_out[KIND_DELETE, RECORD_KEY] = deleted.reason


def settle_deleted(batch: Batch) -> None:
    """Store what became of the pass's deleted records and end their jobs; raises LeaseLost."""

    def attempt() -> list[DeletedRecord]:
        deleted_records = [deleted.copy() for deleted in batch.deleted_records]
        _settle_all_deleted(batch, deleted_records)
        return deleted_records

    if batch.deleted_claims:
        batch.deleted_records = batch.in_transaction(attempt)


def _settle_all_deleted(batch: Batch, deleted_records: Sequence[DeletedRecord]) -> None:
    ids = [deleted.tombstone.pk for deleted in deleted_records]
    tombstones = {s.pk: s for s in Tombstone.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    for deleted in deleted_records:
        tombstone = tombstones.get(deleted.tombstone.pk)
        if tombstone is None or tombstone.state == TombstoneState.RESTORED:
            deleted.new_state = deleted.question = None
            continue
        if deleted.restores and unpaused_records(batch, [deleted], QueueDirection.TO_NPD):
            _restore_record(batch, deleted, tombstone)
        _store_deleted(deleted, tombstone)
    current_store().save_reports([report for deleted in deleted_records for report in _deletion_reports(deleted)])
    Decision.objects.bulk_create(fold_alike(decisions_with_cause(batch, deleted_records)))
    end_intents(deleted_records, [deleted for deleted in deleted_records if deleted.outcome is Outcome.SETTLED])
    end_jobs(batch, [*deleted_records, *batch.unknown_jobs])
    enqueue_paused(batch.entity_type, deleted_records)


def _store_deleted(deleted: DeletedRecord, tombstone: Tombstone) -> None:
    """The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked."""
    if deleted.new_state is not None:
        tombstone.state = deleted.new_state
        tombstone.settled_at = None if deleted.new_state in OPEN_TOMBSTONE_STATES else SyncNow()
    if deleted.reason:
        tombstone.note = deleted.reason
    tombstone.reason_code = deleted.reason_code or tombstone.reason_code
    tombstone.save(update_fields=["state", "settled_at", "note", "reason_code"])
    if deleted.new_state == TombstoneState.UNLINKED and tombstone.monday_id:
        why = f"Its record “{deleted.record}” was deleted in NPD, and the item was unlinked."
        ignore_item(tombstone.entity_type, tombstone.monday_id, tombstone.entity_id, why)
    ledger = deleted.ledger
    conflicts = {"delete": [edit.key for edit in deleted.edits] or [RECORD_KEY]} if deleted.question else {}
    is_worth_a_row = ledger.pk is not None or conflicts or ledger.removed_since
    if deleted.new_state != TombstoneState.RESTORED and is_worth_a_row:
        key = {"entity_type": tombstone.entity_type, "entity_id": str(tombstone.entity_id), "system": "monday"}
        values: dict[str, Any] = {
            "conflicts": conflicts,
            "asked_items": [],
            "note": deleted.reason,
            "removed_since": ledger.removed_since,
        }
        SyncMetadata.objects.update_or_create(
            **key,
            defaults={**values, "remote_state": ledger.remote_state if conflicts else ""},
            create_defaults={**key, **values, "remote_state": ledger.remote_state},
        )


def _restore_record(batch: Batch, deleted: DeletedRecord, tombstone: Tombstone) -> None:
    item_id, detail = (
        NEW_ITEM,
        (
            "Restored as a person chose, as it was when it was deleted: its item has left the board meanwhile, so "
            "it gets a new one. What was edited there is in the conflict."
        ),
    )
    if deleted.item is not None and deleted.item.state == ACTIVE:
        item_id, detail = deleted.item.id, "Restored with what was edited on Monday, as a person chose."
    try:
        restore_record(tombstone, item_id=item_id, sentence=detail)
    except RestoreError as error:
        ask_about_deletion(deleted, DeletedRecordPolicy(batch.link.deleted_record_policy), str(error))
        return
    deleted.new_state, deleted.reason = TombstoneState.RESTORED, detail
    deleted.carried_out[KIND_DELETE, RECORD_KEY] = detail
    deleted.log_decision("restored", detail)


def _deletion_reports(deleted: DeletedRecord) -> Iterator[ConflictReport]:
    if deleted.question is not None:
        yield deleted.question
    for conflict in deleted.conflicts if deleted.outcome is Outcome.SETTLED else ():
        if conflict.kind != KIND_DELETE:
            why = "The record was deleted in NPD."
            yield deleted.conflict_report(conflict.kind, conflict.monday_item_id, closing_reason=why)
        elif deleted.question is None:
            applied = deleted.carried_out_of(KIND_DELETE)
            yield deleted.conflict_report(
                KIND_DELETE, conflict.monday_item_id, applied=applied, closing_reason=deleted.reason
            )


# The calls that take a deleted record's item off the board, or take its NPD ID from it.
#
# As every write: announced by intents under the lease, an alias a record, divided only where Monday
# refused the document before it ran; what became of a call without an answer is read by the next
# pass.


_STATE_AFTER = {
    DeletedRecordPolicy.ARCHIVE: TombstoneState.ARCHIVED,
    DeletedRecordPolicy.DELETE: TombstoneState.DELETED,
}
_KINDS = {
    DeletedRecordPolicy.ARCHIVE: Kind.ARCHIVE,
    DeletedRecordPolicy.DELETE: Kind.DELETE,
    DeletedRecordPolicy.UNLINK: Kind.CHANGE,
}


def send_removals(batch: Batch, wanted: Mapping[DeletedRecordPolicy, Sequence[DeletedRecord]]) -> None:
    """Send what was decided, as far as the limit lets it go; raises LeaseLost."""
    for act in (DeletedRecordPolicy.ARCHIVE, DeletedRecordPolicy.DELETE, DeletedRecordPolicy.UNLINK):
        found = wanted.get(act, ())
        leaving = found if act is DeletedRecordPolicy.UNLINK else _approved(batch, found)
        if not batch.is_preview:
            Removals(batch, act).send(leaving)
        for deleted in leaving:
            deleted.planned_removal = act


def _approved(batch: Batch, deleted_records: Sequence[DeletedRecord]) -> list[DeletedRecord]:
    """What a person chose for one record goes; the rest only as long as it isn't more than is plausible."""
    unresolved = [deleted for deleted in deleted_records if deleted.resolution is None]
    rejected_ids = rejected_records(batch.link, ApprovalKind.ITEMS, [deleted.id for deleted in unresolved])
    changes = {
        deleted.id: DestructiveChange(
            deleted.id,
            deleted.tombstone.monday_id or "",
            "",
            f"The item of “{deleted.record}”, which was deleted in NPD",
            {"record": str(deleted.record)},
        )
        for deleted in unresolved
        if deleted.id not in rejected_ids
    }
    approved = allowed_changes(batch.link, ApprovalKind.ITEMS, list(changes.values()))
    for deleted in unresolved:
        if deleted.id in rejected_ids:
            deleted.settle(TombstoneState.KEPT, TombstoneReason.REMOVAL_REJECTED)
        elif changes[deleted.id] not in approved:
            deleted.settle(TombstoneState.PENDING_APPROVAL, TombstoneReason.PENDING_APPROVAL, kind="approval")
    return [deleted for deleted in deleted_records if deleted.resolution or changes.get(deleted.id) in approved]


class Removals:
    """Items leave the board, or lose their NPD ID, because their records were deleted in NPD."""

    def __init__(self, batch: Batch, act: DeletedRecordPolicy) -> None:
        self.batch, self.act = batch, act

    def send(self, units: Sequence[DeletedRecord]) -> None:
        """Send it, and note on each deleted record what became of it; raises LeaseLost."""
        call = Call(_KINDS[self.act], _changed_deletions, {"removes": str(self.act)})
        with executor_of(self.batch) as executor:
            answers = executor.send(call, [self._write(unit) for unit in units])
        for unit in units:
            self._note(unit, answers[str(unit.id)])

    def _write(self, deleted: DeletedRecord) -> Write:
        tombstone = deleted.tombstone
        columns = {self.batch.link.npd_id_column: None} if self.act is DeletedRecordPolicy.UNLINK else {}
        expected = Expected(tombstone=tombstone.pk, policy=None if deleted.resolution else self.act)
        return Write(str(deleted.id), deleted.id, str(tombstone.monday_id), columns=columns, expected=expected)

    def _note(self, deleted: DeletedRecord, answer: Answer) -> None:
        deleted.intent, deleted.written_item = answer.intent, answer.item
        deleted.isolate = answer.verdict is Verdict.DIVIDED
        if answer.item is not None and self.act is not DeletedRecordPolicy.UNLINK:
            settle_removed(self.batch, deleted, _STATE_AFTER[self.act], answer.item)
        elif answer.item is not None:
            name = answer.item.name
            deleted.settle(TombstoneState.UNLINKED, TombstoneReason.UNLINKED, kind="unlinked", item=name)
            if deleted.resolution:
                deleted.carried_out[KIND_DELETE, RECORD_KEY] = deleted.reason
        elif answer.verdict is Verdict.GONE:
            deleted.settle(TombstoneState.NOTHING_LEFT, TombstoneReason.REMOVED_MEANWHILE, error=answer.detail)
        else:
            refused = f"Deleted in NPD. Its item could not be removed from the board: {answer.detail}"
            reason = refused if answer.verdict is Verdict.REFUSED else None
            deleted.end(OUTCOMES[answer.verdict], answer.detail, reason=reason)


def _changed_deletions(board: BoardContext, writes: Sequence[Write]) -> dict[str, str]:
    """Return the deletions of which the policy, the filter, the record or the item's owner changed since."""
    records, items = board.model._default_manager, [write.item_id for write in writes]
    restored_ids = set(records.filter(pk__in=[write.record_id for write in writes]).values_list("pk", flat=True))
    owned = set(records.filter(monday_id__in=items).values_list("monday_id", flat=True))
    tombstones = Tombstone.objects.filter(pk__in=[write.expected.tombstone for write in writes])
    items_now: dict[int | None, str | None] = dict(tombstones.values_list("pk", "monday_id"))
    links = BoardLink.objects.filter(pk=board.link.pk)
    policy, sync_filter = links.values_list("deleted_record_policy", "sync_filter").get()

    def is_same(write: Write) -> bool:
        expected = write.expected
        is_there = items_now.get(expected.tombstone) == write.item_id and write.item_id not in owned
        same_policy = expected.policy in (None, policy) and sync_filter == board.link.sync_filter
        return is_there and same_policy and write.record_id not in restored_ids

    return {write.unit: "It changed while it was synced." for write in writes if not is_same(write)}


# What becomes of an item whose record was deleted in NPD: the rows "deleted | …" of a record
# and its item.
#
# The tombstone knows the record as it was, the sync state what both sides last agreed on. An item that
# stands as agreed goes the board link's way (archive, delete, unlink, ask); one that somebody
# edited since is asked about; nothing is sent for a record whose settings let nothing be sent.


FINAL_STATES = (TombstoneState.KEPT, TombstoneState.UNLINKED, TombstoneState.RESTORED)
"""States that no pass changes: the item was left where it is on purpose."""

RESTORED_STATE = "restored"
"""The sync state's word for an item that somebody restored after it had left the board."""

UNLINK_ITEM = "unlink"
"""The value of the choice that lets the item go."""

NEXT_PASS_SECONDS = 5.0
"""Seconds until a pass finds out whether the record that was being linked with the item has it."""


def prepare_deleted(batch: Batch) -> None:
    """Load the pass's deleted records, and end those for which Monday needn't be asked."""
    if not batch.deleted_claims:
        return
    load_deleted_records(batch)
    items = [deleted.tombstone.monday_id for deleted in batch.deleted_records if deleted.tombstone.monday_id]
    owners = {str(record.monday_id): record for record in batch.records.filter(monday_id__in=items)}
    for deleted in batch.deleted_records:
        record, item_id = deleted.record, deleted.tombstone.monday_id
        if deleted.tombstone.state in FINAL_STATES:
            deleted.leave_open(deleted.tombstone.note)
        elif item_id is None:
            deleted.settle(TombstoneState.NOTHING_LEFT, TombstoneReason.NO_ITEM)
        elif item_id in owners:
            deleted.settle(TombstoneState.NOTHING_LEFT, TombstoneReason.OTHER_OWNER, owner=owners[item_id])
        elif not record.may_sync:
            deleted.settle(TombstoneState.KEPT, TombstoneReason.SYNC_OFF)
        elif (excluded := deleted_exclusion(batch.board, deleted)) != "":
            deleted.settle(TombstoneState.KEPT, TombstoneReason.LEFT_OUT, filter=excluded)
        elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            deleted.settle(TombstoneState.KEPT, TombstoneReason.ONE_WAY)


def plan_and_send_deleted(batch: Batch, found: BatchItems) -> None:
    """Decide every open deleted record by its item, and send what the decisions ask for; raises LeaseLost."""
    linked_now = {record_sync.link_to for record_sync in batch.record_syncs if record_sync.link_to}
    wanted: dict[DeletedRecordPolicy, list[DeletedRecord]] = {}
    policy = _current_policy(batch)[0] if batch.open_deleted else DeletedRecordPolicy.ASK
    for deleted in batch.open_deleted:
        deleted.item = found.linked.get(str(deleted.tombstone.monday_id))
        if (removal := _decide_removal(batch, deleted, linked_now, policy)) is not None:
            wanted.setdefault(removal, []).append(deleted)
    send_removals(batch, defer_deleted_records(batch, wanted))


def _current_policy(batch: Batch) -> tuple[DeletedRecordPolicy, dict[str, Any]]:
    """Return what becomes of items and the filter, as they are now and not when the board was taken, minutes ago."""
    links = BoardLink.objects.filter(pk=batch.link.pk)
    policy, sync_filter = links.values_list("deleted_record_policy", "sync_filter").get()
    return DeletedRecordPolicy(policy), sync_filter


def load_deleted_records(batch: Batch) -> None:
    """Read what is known of the deleted records of this pass; rows of what never was a record end."""
    entity_type = batch.entity_type
    ids = [claim.entity_id for claim in batch.deleted_claims if claim.entity_id]
    tombstone_by_id = {s.entity_id: s for s in Tombstone.objects.filter(entity_type=entity_type, entity_id__in=ids)}
    ledgers = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, tombstone_by_id)}
    conflicts = current_store().open_conflicts(entity_type, tombstone_by_id)
    intents: dict[UUID, list[Intent]] = {}
    open_intents = Intent.objects.filter(entity_id__in=list(tombstone_by_id), state=IntentState.OPEN)
    for intent in open_intents.exclude(item_id="").order_by("created_at"):
        intents.setdefault(intent.entity_id, []).append(intent)
    for claim in batch.deleted_claims:
        tombstone = tombstone_by_id.get(claim.entity_id) if claim.entity_id else None
        if tombstone is None:
            unknown = WorkUnit(claim)
            unknown.end(Outcome.SETTLED, "There is no such record, and none is remembered.")
            batch.unknown_jobs.append(unknown)
            continue
        entity_id = tombstone.entity_id
        deleted = DeletedRecord(
            claim,
            rebuild_record(batch.board.model, tombstone),
            ledgers.get(str(entity_id)) or new_ledger(entity_type, entity_id),
            intents=intents.get(entity_id, []),
            conflicts=list(conflicts.get(entity_id, [])),
            tombstone=tombstone,
        )
        batch.deleted_records.append(deleted)


def _decide_removal(
    batch: Batch, deleted: DeletedRecord, linked_now: set[str], policy: DeletedRecordPolicy
) -> DeletedRecordPolicy | None:
    """End the deleted record, ask, or return what is to be done with its item."""
    item = deleted.item
    if item is not None:
        deleted.ledger.removed_since = None
    if (item is None or item.state != ACTIVE) and deleted.resolution and deleted.resolution.choose == "monday":
        deleted.restores = True
        deleted.end(Outcome.SETTLED)
    elif item is None:
        _end_not_shown(deleted)
    elif item.state != ACTIVE:
        _end_already_removed(batch, deleted, item)
    elif item.board_id not in (None, batch.link.board_id):
        deleted.settle(TombstoneState.KEPT, TombstoneReason.MOVED, item=item.name, board=item.board_id)
    elif (other := record_of_npd_id(batch, item)) is not None:
        deleted.settle(TombstoneState.NOTHING_LEFT, TombstoneReason.OTHER_NPD_ID, item=item.name, owner=other)
        # The item is treated as any that no record has.
        enqueue_item(
            batch.entity_type,
            item.id,
            cause=Cause.DEPENDENCY,
            priority=Priority.EDIT,
            due_in_seconds=UNMATCHED_ITEM_WAIT_SECONDS,
        )
    elif (excluded := deleted_exclusion(batch.board, deleted, item)) != "":
        deleted.settle(TombstoneState.KEPT, TombstoneReason.LEFT_OUT, filter=excluded)
    elif item.id in linked_now:
        deleted.wait_seconds = NEXT_PASS_SECONDS
        deleted.end(Outcome.DEFERRED, "Another record is being linked with its item.")
    else:
        return _removal_by_policy(batch, deleted, item, policy)
    return None


def _end_not_shown(deleted: DeletedRecord) -> None:
    """Monday may just have failed to show the item: it is believed when it says so after the quiet time too."""
    ledger, now = deleted.ledger, sync_now()
    ledger.removed_since = ledger.removed_since or now
    left = settings.GONE_QUIET_SECONDS - (now - ledger.removed_since).total_seconds()
    if deleted.tombstone.state in OPEN_TOMBSTONE_STATES and left > 0:
        detail = "Deleted in NPD. Monday doesn't show its item; it is looked for once more in a few minutes."
        deleted.wait_seconds = left
        return deleted.end(Outcome.DEFERRED, detail, reason=detail)
    return deleted.settle(TombstoneState.NOTHING_LEFT, TombstoneReason.NOT_SHOWN)


def _end_already_removed(batch: Batch, deleted: DeletedRecord, item: Item) -> None:
    """The item has left the board: by us, where a call of ours got no answer, or by somebody."""
    state = TombstoneState.ARCHIVED if item.state == ARCHIVED else TombstoneState.DELETED
    ours = [intent for intent in deleted.intents if (intent.body or {}).get("removes")]
    if ours or deleted.tombstone.state == state:
        deleted.confirmed_intents |= {intent.pk: item.id for intent in ours}
        return settle_removed(batch, deleted, state, item)
    reason = TombstoneReason.REMOVED_BEFORE
    return deleted.settle(TombstoneState.NOTHING_LEFT, reason, item=item.name, state=item.state)


def _removal_by_policy(
    batch: Batch, deleted: DeletedRecord, item: Item, policy: DeletedRecordPolicy
) -> DeletedRecordPolicy | None:
    """A choice holds where the item still says what its author saw; the policy, where nobody edited the item."""
    is_restored = deleted.tombstone.state in REMOVED_STATES or deleted.ledger.remote_state == RESTORED_STATE
    if is_restored:
        deleted.ledger.remote_state = RESTORED_STATE
    deleted.edits = edits_since_base(batch.board, deleted, item)
    choice, problem = deleted.resolution, ""
    if choice is None and not (is_restored or deleted.edits or policy is DeletedRecordPolicy.ASK):
        return policy
    if choice is not None:
        now = {edit.key: (edit.npd or None, edit.monday or None) for edit in deleted.edits}
        if now != choice.seen_values:
            problem = "The item was edited after you chose. Check it and choose again."
        elif choice.choose == "npd":
            return DeletedRecordPolicy.DELETE if policy is DeletedRecordPolicy.DELETE else DeletedRecordPolicy.ARCHIVE
        elif choice.choose == "monday":
            deleted.restores = True
            deleted.end(Outcome.SETTLED)
            return None
        elif choice.value == UNLINK_ITEM:
            return DeletedRecordPolicy.UNLINK
        else:
            problem = "That is not one of the options. Choose one of them."
    ask_about_deletion(deleted, policy, problem)
    return None


def ask_about_deletion(deleted: DeletedRecord, policy: DeletedRecordPolicy, problem: str = "") -> None:
    """Ask what becomes of the item; the deleted record's pass ends. `problem` is why a choice can't be carried out."""
    if deleted.resolution is None:
        problem = "The record was deleted in NPD since you chose. Choose again."
    reason, again = TombstoneReason.QUESTION_EDITED if deleted.edits else TombstoneReason.QUESTION, ""
    if deleted.ledger.remote_state == RESTORED_STATE:
        reason, again = TombstoneReason.QUESTION_RESTORED, " again"
    called = f"“{deleted.item.name}”" if deleted.item else "its item"
    deleted.settle(TombstoneState.ASKED, reason, kind="conflict_delete", record=deleted.record, item=called)
    removes, restorable, removal = "Archive", ".", OptionAct.ARCHIVE_ITEM
    if policy is DeletedRecordPolicy.DELETE:
        removes, restorable, removal = "Delete", " for 30 days.", OptionAct.DELETE_ITEM
    leaves = f"The deletion stays. The item leaves the board; people can restore it on Monday{restorable}"
    comes_back = "The record comes back as it was, linked with its item, and is updated with what was edited on Monday."
    stays = "The record stays deleted; the item stays on the board without an NPD ID, and makes no new record."
    options = [
        Option("npd", f"{removes} the item{again}", leaves, does=removal),
        Option("monday", "Restore the record", comes_back, does=OptionAct.RESTORE_RECORD),
        Option("custom", "Unlink the item", stays, UNLINK_ITEM, OptionAct.UNLINK),
    ]
    deleted.question = deleted.conflict_report(
        KIND_DELETE,
        deleted.tombstone.monday_id or "",
        fields=deleted.edits,
        rejected={RECORD_KEY: problem} if problem else {},
        data={"what": deleted.reason, "options": [option.to_json() for option in options]},
    )
