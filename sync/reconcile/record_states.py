"""A record's sync state and status after a pass, and whether a pass would change anything that is stored.

Implements docs/reference/merge/sync-status.md.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from conflicts.reports import ConflictKind, OpenConflict
from sync.choices import RecordSyncStatus, SyncDirection, SyncStateDirection, SyncStatus
from sync.fields.field_values import BoardContext
from sync.kernel.humanize import without_request_id
from sync.merge import Action
from sync.models import SyncMetadata
from sync.models.records_and_items import KEPT_BY, KEPT_REMOTE, is_blocking
from sync.reconcile import pass_plan
from sync.reconcile.field_plan import is_kept_different

# What a pass stores of a sync state, beside its own duration and calls.
STORED = (
    *("base", "altered", "blocked_fields", "note", "remote_id", "remote_state", "seen", "emptied"),
    *("removed_since", "removed_passes", "is_unplanned", "conflicts", "left_out"),
    *("error_count", "last_error", "sync_direction"),
)


def complete_sync_state(
    plan: pass_plan.RecordPlan, before: SyncMetadata, now: datetime, conflicts: Iterable[OpenConflict]
) -> None:
    """Fill in the rest of the record's sync state after this pass, which ran at `now`.

    `before` is the stored one, and `conflicts` are those that are open after the pass.
    """
    sync_state = plan.sync_state
    sync_state.conflicts = {}
    for conflict in conflicts if plan.is_synced else ():
        is_about_record = conflict.kind in (ConflictKind.DELETE, ConflictKind.IDENTITY)
        # Whether a record with an item is another's, too, keeps nothing of it from being synced.
        if conflict.kind == ConflictKind.IDENTITY and plan.record.monday_id:
            continue
        sync_state.conflicts[conflict.kind] = [conflict.about["what"]] if is_about_record else [*conflict.fields]
    # A pass that planned no fields keeps the blocked ones, with people's decisions about them.
    sync_state.blocked_fields = _blocked_fields(plan, before, now) if plan.fields else before.blocked_fields
    sync_state.note = plan.reason
    sync_state.remote_id = plan.record.monday_id
    sync_state.error_count = before.error_count
    sync_state.last_error = before.last_error
    if plan.outcome is pass_plan.Outcome.FAILED:
        sync_state.error_count += 1
        sync_state.last_error = plan.ending.detail
    elif plan.outcome is pass_plan.Outcome.SETTLED:
        sync_state.error_count = 0
        sync_state.last_error = ""
    # In which this pass transferred values.
    is_sent = any(field_plan.send_raw is not None for field_plan in plan.fields.values())
    is_pulled = any(field_plan.write_raw is not None for field_plan in plan.fields.values())
    sync_state.sync_direction = SyncStateDirection.BIDIRECTIONAL
    if is_sent is not is_pulled:
        one_way = SyncStateDirection.LOCAL_TO_REMOTE if is_sent else SyncStateDirection.REMOTE_TO_LOCAL
        sync_state.sync_direction = one_way


def _blocked_fields(plan: pass_plan.RecordPlan, before: SyncMetadata, now: datetime) -> dict[str, Any]:
    """Return the fields that this pass found blocked, each with its reason, and since when for this reason.

    Those that a person keeps in NPD only stay marked so, and those of which nothing was read stay as they were.
    """
    blocked = {}
    for key, field_plan in plan.fields.items():
        if field_plan.blocked_code is None:
            continue
        entry: dict[str, Any] = {
            "reason": field_plan.blocked_reason,
            "code": field_plan.blocked_code,
            "local": field_plan.local_raw,
            "column": field_plan.mapping.column_id,
            "version": field_plan.mapping.version,
        }
        stored = before.blocked_fields.get(key, {})
        is_same = all(_comparable(stored.get(name)) == _comparable(value) for name, value in entry.items())
        entry["since"] = stored.get("since", now.isoformat()) if is_same else now.isoformat()
        if is_kept_different(stored, plan.item, field_plan):
            entry[KEPT_BY] = dict(stored[KEPT_BY])
            if plan.item:
                entry[KEPT_BY].setdefault(KEPT_REMOTE, field_plan.remote_raw)
            else:
                entry[KEPT_BY].pop(KEPT_REMOTE, None)
        blocked[key] = entry
    return blocked | {key: entry for key, entry in before.blocked_fields.items() if key in plan.doubts.set_aside}


def _comparable(value: Any) -> Any:
    """Return the value without the id of Monday's request, which differs each time."""
    return without_request_id(value) if isinstance(value, str) else value


def sync_status(board: BoardContext, plan: pass_plan.RecordPlan, *, has_open_work: bool) -> RecordSyncStatus:
    """Return the record's status, by its sync state after this pass; the order of the checks matters."""
    sync_state = plan.sync_state
    if not plan.is_synced:
        return RecordSyncStatus.DISABLED
    if sync_state.conflicts:
        return RecordSyncStatus.CONFLICT
    if not plan.is_settled or not plan.record.monday_id:
        return RecordSyncStatus.PENDING
    if has_open_work or plan.reason or any(map(is_blocking, sync_state.blocked_fields.values())):
        return RecordSyncStatus.PENDING
    # Monday stored another value than was sent, which doesn't count for a field that isn't synced any more.
    altered = {key for key, entry in sync_state.altered.items() if not entry.get("lossless")}
    if altered and any(
        mapping.key in altered and plan.direction_of(mapping) is not SyncDirection.NONE for mapping in board.mappings
    ):
        return RecordSyncStatus.PENDING
    # A side may differ from its base, for example after a pull was dropped because of a save. Relations that are left
    # out, and values that a person keeps in NPD only, may differ.
    has_diverged = plan.item is not None and any(
        field_plan.decision.action is not Action.NOTHING and key not in sync_state.base
        for key, field_plan in plan.fields.items()
        if field_plan.mapping.column_id and not field_plan.is_relation_skipped
        if KEPT_BY not in sync_state.blocked_fields.get(key, {})
    )
    return RecordSyncStatus.PENDING if has_diverged else RecordSyncStatus.SYNCED


SYNC_STATE_STATUS = {
    RecordSyncStatus.SYNCED: SyncStatus.COMPLETED,
    RecordSyncStatus.DISABLED: SyncStatus.SKIPPED,
    RecordSyncStatus.CONFLICT: SyncStatus.COMPLETED,
    RecordSyncStatus.PENDING: SyncStatus.PENDING,
}
