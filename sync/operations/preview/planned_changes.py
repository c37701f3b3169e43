"""What a pass would change, line by line, read off the batch that was decided and never written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sync.choices import QueueStatus, RecordGone, TombstoneState
from sync.connectors.base.conversion import UnknownValue
from sync.kernel.conflict_store import KIND_FIELDS, KIND_LOST_UPDATE
from sync.kernel.humanize import quote
from sync.models import Decision, SyncQueue
from sync.reconcile.batch import Batch, DeletedRecord, FieldPlan, Outcome, RecordAction, RecordSync
from sync.reconcile.conflict_reports import conflict_reports


class ChangeKind(StrEnum):
    """What would happen, in the order in which it is listed."""

    PUSH = "push"
    PULL = "pull"
    CREATE = "create"
    LINK = "link"
    NEW_RECORD = "new record"
    CONFLICT = "conflict"
    ASK = "ask"
    ARCHIVE = "archive"
    DELETE_ITEM = "delete item"
    DELETE_RECORD = "delete record"
    UNLINK = "unlink"
    BLOCKED = "held"
    LEFT = "left"
    FAILED = "failed"


WRITE_KINDS = frozenset(
    {ChangeKind.PUSH, ChangeKind.CREATE, ChangeKind.ARCHIVE, ChangeKind.DELETE_ITEM, ChangeKind.UNLINK}
)
"""Kinds that cost the points of a write on Monday."""

_ITEM_REMOVALS = {
    RecordGone.ARCHIVE: ChangeKind.ARCHIVE,
    RecordGone.DELETE: ChangeKind.DELETE_ITEM,
    RecordGone.UNLINK: ChangeKind.UNLINK,
}

_REMOVED_ITEM_KINDS = {
    RecordAction.CREATE: ChangeKind.CREATE,
    RecordAction.DELETE: ChangeKind.DELETE_RECORD,
    RecordAction.UNLINK: ChangeKind.UNLINK,
}
_NEW_ITEM_KINDS = {"create": ChangeKind.NEW_RECORD, "link": ChangeKind.LINK}


@dataclass(frozen=True)
class PlannedChange:
    """One thing that would happen to one record, item or field; values as displayed."""

    kind: ChangeKind
    entity_type: str
    name: str
    entity_id: UUID | None = None
    item_id: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""


def batch_changes(batch: Batch) -> Iterator[PlannedChange]:
    """Yield what the batch decided; to be called in the transaction in which it was decided."""
    for record_sync in batch.record_syncs:
        yield from _record_changes(record_sync)
    for deleted_record in batch.deleted_records:
        yield from _deletion_changes(deleted_record)
    yield from _new_item_changes(batch)


def _record_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    """Yield what the pass would do with one record; nothing where both sides equal their base."""
    changes = [*_lifecycle_changes(record_sync), *_conflict_changes(record_sync)]
    if record_sync.is_open:
        changes += _field_changes(record_sync)
    changes += [
        _record_change(record_sync, ChangeKind.BLOCKED, field_plan, reason=field_plan.blocked_reason)
        for field_plan in record_sync.field_plans.values()
        if field_plan.blocked_reason and not field_plan.is_left_out and not field_plan.conflict
    ]
    yield from changes
    if record_sync.outcome in (Outcome.FAILED, Outcome.RELEASED):
        yield _record_change(record_sync, ChangeKind.FAILED, reason=record_sync.detail)
    elif not changes and record_sync.reason:
        yield _record_change(record_sync, ChangeKind.LEFT, reason=record_sync.reason)


def _record_change(
    record_sync: RecordSync, kind: ChangeKind, field_plan: FieldPlan | None = None, **values: str
) -> PlannedChange:
    return PlannedChange(
        kind,
        record_sync.record.entity_type(),
        str(record_sync.record),
        record_sync.id,
        record_sync.record.monday_id or record_sync.item_id,
        field_plan.mapping.label if field_plan else "",
        **values,
    )


def _lifecycle_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    if record_sync.removed_item is not None and record_sync.removed_item.act:
        yield _record_change(
            record_sync,
            _REMOVED_ITEM_KINDS[record_sync.removed_item.act],
            reason=f"{record_sync.removed_item.what} {record_sync.removed_item.by}".strip(),
        )
    elif record_sync.unlink_reason:
        yield _record_change(record_sync, ChangeKind.UNLINK, reason="It is to be unlinked.")
    elif record_sync.is_open and record_sync.creates:
        yield _record_change(record_sync, ChangeKind.CREATE, reason="It has no item on the board.")
    elif record_sync.link_to:
        name = record_sync.item.name if record_sync.item else record_sync.link_to
        yield _record_change(record_sync, ChangeKind.LINK, after=name, reason="Its item was found on the board.")


def _field_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    # A created item's fields are part of its creation, and no changes of their own.
    for field_plan in record_sync.field_plans.values():
        local, remote = field_plan.display_local(field_plan.local_raw), ""
        if field_plan.remote_raw is not None:
            try:
                remote = field_plan.convert.display(field_plan.convert.remote(field_plan.remote_raw))
            except UnknownValue:
                remote = "(not known)"
        reason = field_plan.decision.reason
        if field_plan.send_raw is not None and not record_sync.creates:
            after = field_plan.display_local(field_plan.send_raw)
            yield _record_change(record_sync, ChangeKind.PUSH, field_plan, before=remote, after=after, reason=reason)
        if field_plan.write_raw is not None:
            after = field_plan.display_local(field_plan.write_raw)
            yield _record_change(record_sync, ChangeKind.PULL, field_plan, before=local, after=after, reason=reason)


def _conflict_changes(record_sync: RecordSync) -> Iterator[PlannedChange]:
    """Return the conflicts that would be open, new or not."""
    labels = {key: field_plan.mapping.label for key, field_plan in record_sync.field_plans.items()}
    for report in conflict_reports(record_sync):
        if report.kind in (KIND_FIELDS, KIND_LOST_UPDATE):
            for one in report.fields:
                field_plan = record_sync.field_plans.get(one.key)
                if field_plan is not None and field_plan.choose:
                    continue
                change = _record_change(
                    record_sync, ChangeKind.CONFLICT, before=one.npd or "", after=one.monday or "", reason=one.reason
                )
                yield replace(change, field=labels.get(one.key, one.key))
        elif report.data:
            yield _record_change(record_sync, ChangeKind.ASK, reason=str(report.data.get("what", "")))


def _deletion_changes(deleted_record: DeletedRecord) -> Iterator[PlannedChange]:
    about: Mapping[str, Any] = {
        "entity_type": deleted_record.tombstone.entity_type,
        "name": str(deleted_record.record),
        "entity_id": deleted_record.tombstone.entity_id,
        "item_id": deleted_record.tombstone.monday_id or "",
    }
    if deleted_record.planned_removal is not None:
        yield PlannedChange(
            _ITEM_REMOVALS[deleted_record.planned_removal], **about, reason="Its record was deleted in NPD."
        )
    elif deleted_record.question is not None:
        yield PlannedChange(ChangeKind.ASK, **about, reason=str(deleted_record.question.data.get("what", "")))
    elif deleted_record.restores:
        yield PlannedChange(ChangeKind.NEW_RECORD, **about, reason="A person chose to restore it.")
    elif deleted_record.new_state is TombstoneState.PENDING_APPROVAL:
        yield PlannedChange(ChangeKind.BLOCKED, **about, reason=deleted_record.reason)
    elif deleted_record.outcome in (Outcome.FAILED, Outcome.RELEASED):
        yield PlannedChange(ChangeKind.FAILED, **about, reason=deleted_record.detail)


def _new_item_changes(batch: Batch) -> Iterator[PlannedChange]:
    """What became of items without a record: by the lines that were written for them, else by how their rows ended."""
    units = {candidate.claim.rows[0].pk: candidate for candidate in batch.unmatched_claims}
    if not units:
        return
    entity_type = batch.entity_type
    decisions = {
        line.remote_id: line
        for line in Decision.objects.filter(batch_id=batch.id, kind__in=_NEW_ITEM_KINDS, remote_id__gt="")
    }
    for row in SyncQueue.objects.filter(pk__in=units).order_by("pk"):
        item = row.remote_id or ""
        if line := decisions.get(item):
            record = batch.board.model._default_manager.filter(monday_id=item).first()
            kind = _NEW_ITEM_KINDS[line.kind]
            yield PlannedChange(kind, entity_type, str(record), line.entity_id, item, reason=line.sentence)
        elif units[row.pk].is_question:
            yield PlannedChange(ChangeKind.ASK, entity_type, f"item {item}", None, item, reason=row.error_message)
        else:
            reason = row.error_message if row.status == QueueStatus.COMPLETED else row.reason or row.error_message
            yield PlannedChange(ChangeKind.LEFT, entity_type, f"item {item}", None, item, reason=reason)


# How a change reads: counted in a plan, and by itself as an act, for people and for programs.


VALUE_LENGTH = 60


class _ChangeText(NamedTuple):
    """The sign and the words of one kind of change: of many that are counted, and of a single one."""

    sign: str
    counted: str
    act: str


CHANGE_TEXTS = {
    ChangeKind.PUSH: _ChangeText("→", "to send to Monday", "send to Monday"),
    ChangeKind.PULL: _ChangeText("←", "to update from Monday", "update from Monday"),
    ChangeKind.CREATE: _ChangeText("+", "items to make on the board", "make an item"),
    ChangeKind.LINK: _ChangeText("=", "to link with an item", "link"),
    ChangeKind.NEW_RECORD: _ChangeText("+", "records to make in NPD", "make a record"),
    ChangeKind.CONFLICT: _ChangeText("!", "fields in conflict", "ask you"),
    ChangeKind.ASK: _ChangeText("?", "questions to you", "ask you"),
    ChangeKind.ARCHIVE: _ChangeText("-", "items to archive", "archive the item"),
    ChangeKind.DELETE_ITEM: _ChangeText("-", "items to delete", "delete the item"),
    ChangeKind.DELETE_RECORD: _ChangeText("-", "records to delete in NPD", "delete the record"),
    ChangeKind.UNLINK: _ChangeText("~", "to unlink", "unlink"),
    ChangeKind.BLOCKED: _ChangeText("·", "blocked", "leave blocked"),
    ChangeKind.LEFT: _ChangeText("·", "left as they are", "leave as it is"),
    ChangeKind.FAILED: _ChangeText("x", "that could not be synced", "fail"),
}


def change_act(change: PlannedChange) -> str:
    """Return what the next pass would do, as an act: “send to Monday: …”."""
    return f"{CHANGE_TEXTS[change.kind].act}: {change_line(change)}"


def change_line(change: PlannedChange) -> str:
    """Return a change as a person reads it: the record, the field, from what to what, and why."""
    name = f"{change.name} · {change.field}" if change.field else change.name
    reason = f" ({change.reason.rstrip('.')})" if change.reason else ""
    before, after = quote(change.before, VALUE_LENGTH), quote(change.after, VALUE_LENGTH)
    if change.kind is ChangeKind.CONFLICT:
        return f"{name}: NPD {before}, Monday {after}{reason}"
    if change.kind in (ChangeKind.PUSH, ChangeKind.PULL):
        return f"{name}: {before} → {after}{reason}"
    if change.after:
        return f"{name}: {after}{reason}"
    return f"{name}: {change.reason}" if change.reason else name


def change_json(change: PlannedChange) -> dict[str, Any]:
    """Return one change for a program."""
    return {
        "what": str(change.kind),
        "record": change.name,
        "entity_id": str(change.entity_id) if change.entity_id else None,
        "item_id": change.item_id or None,
        "field": change.field or None,
        "before": change.before,
        "after": change.after,
        "reason": change.reason,
    }
