"""Deleted records: their tombstones, questions, history, intents and jobs."""

from conflicts.store import save_reports
from sync import choices
from sync.clock import sync_now
from sync.kernel.db import update_many
from sync.kernel.messages import RestoreError
from sync.models import ApprovalRequest, SyncMetadata, Tombstone
from sync.outbox.pauses import locked_pause
from sync.reconcile import deleted_records, pass_plan
from sync.reconcile.settle.pass_run import PassRun, end_events, end_intents, end_jobs
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item
from sync.records.tombstones import NEW_ITEM, restore_record


def settle_deleted(run: PassRun, plan: pass_plan.Plan) -> list[pass_plan.DeletedPlan]:
    """Store what became of the pass's deleted records and end their jobs."""
    planned = list(plan.deleted.values())
    entity_type = run.entity_type
    rows = Tombstone.objects.select_for_update().filter(pk__in=[deleted.facts.tombstone.pk for deleted in planned])
    tombstones = {row.entity_id: row for row in rows.order_by("pk") if row.state != choices.TombstoneState.RESTORED}
    pause = locked_pause(entity_type) if any(deleted.restores for deleted in planned) else ""
    locked = [
        deleted_records.deleted_as_locked(deleted, pause, is_there=deleted.id in tombstones) for deleted in planned
    ]
    settled = [_restored(run, deleted, tombstones[deleted.id]) if deleted.restores else deleted for deleted in locked]
    now = sync_now()
    changed = [deleted for deleted in settled if deleted.id in tombstones]
    after = [deleted_records.tombstone_after(deleted, tombstones[deleted.id], now) for deleted in changed]
    update_many(after, ["state", "settled_at", "note", "reason_code"])
    for deleted in changed:
        if deleted.new_state == choices.TombstoneState.UNLINKED and deleted.item_id:
            reason = f"Its record “{deleted.facts.record}” was deleted in NPD, and the item was unlinked."
            ignore_item(entity_type, deleted.item_id, deleted.id, reason)
    freed = [deleted.item_id for deleted in changed if deleted.frees_item and deleted.item_id]
    run.wake(items=freed, due_in_seconds=UNMATCHED_ITEM_WAIT_SECONDS)
    # The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked.
    ledgers = [ledger for deleted in changed if (ledger := deleted_records.ledger_after(deleted)) is not None]
    names = ["conflicts", "asked_items", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(ledgers, update_conflicts=True, unique_fields=key, update_fields=names)
    # What went is counted already, and what didn't is decided anew.
    ended = [deleted for deleted in settled if deleted.ending.outcome is pass_plan.Outcome.SETTLED]
    ApprovalRequest.objects.bulk_create(deleted_records.new_removal_requests(ended))
    save_reports([report for deleted in settled for report in deleted_records.deletion_reports(deleted)])
    plans = [deleted_records.with_its_history(deleted) for deleted in settled]
    run.store_history(plans)
    end_intents(plans, [record_plan for record_plan in plans if record_plan.is_settled])
    # A record that is there again is told by its own pass what was lost.
    still_deleted = {deleted.id for deleted in locked if deleted.id in tombstones and not deleted.restores}
    checked = [deleted for deleted in ended if deleted.id in still_deleted]
    events = [event.pk for deleted in checked for event in deleted.facts.events]
    end_events(f"processed in pass {run.batch_id}", pk__in=events)
    end_jobs(run, [*((deleted.facts.claim, deleted.ending) for deleted in settled), *plan.other_jobs])
    return settled


def _restored(run: PassRun, plan: pass_plan.DeletedPlan, tombstone: Tombstone) -> pass_plan.DeletedPlan:
    """Store the record again as a person chose; a person is asked anew where NPD can't take it back."""
    restored = deleted_records.after_restoring(plan)
    try:
        restore_record(tombstone, item_id=plan.item_to_keep or NEW_ITEM, sentence=restored.reason)
    except RestoreError as error:
        policy = choices.DeletedRecordPolicy(run.board.link.deleted_record_policy)
        return deleted_records.ask_about_deletion(plan, policy, str(error))
    return restored
