"""What Monday shows of one record right now, and what its next pass would change; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sync.models import BoardLink
from sync.monday.conversion import UnknownValue
from sync.operations.preview import PlannedChange, plan_record, read_only_client
from sync.reconcile.pass_plan import RecordPlan
from sync.records import availability
from sync.registry import link_of, mappings_of


@dataclass(frozen=True)
class LiveReading:
    """What Monday shows of a record now, by field, of those that could be read, and what its next pass would change.

    `next_changes` is None where it was not asked for or can't be told; `unread_reason` says why something is missing.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    next_changes: Sequence[PlannedChange] | None = None
    unread_reason: str = ""


def read_item(entity_type: str, entity_id: UUID) -> LiveReading:
    """Read a record's item by one call, or a deleted record's; raises MondayError."""
    link = link_of(entity_type)
    reason = availability.of(entity_type).blocked_reason
    if reason or link is None:
        return LiveReading(unread_reason=reason)
    with read_only_client():
        planned, changes = plan_record(link, entity_id)
    plan = next(iter(planned.plan.records.values()), None)
    if plan is not None and plan.item is not None:
        return LiveReading(_shown_values(link, plan) if planned.calls else {}, changes)
    is_unread = plan is not None and not plan.plans and not changes
    return LiveReading({}, changes, plan.ending.detail or plan.reason if plan and is_unread else "")


def _shown_values(link: BoardLink, record: RecordPlan) -> dict[str, str]:
    """What the item shows now, by field, as the pass has read it; nothing where the cell is empty."""
    shown = {}
    for mapping in mappings_of(link):
        plan = record.plans.get(mapping.key)
        if record.item is None or plan is None or not mapping.column_id:
            continue
        try:
            raw = plan.convert.stored_value(record.item.reading(mapping.column_id))
            shown[mapping.key] = plan.convert.display(plan.convert.remote(raw))
        except UnknownValue as unknown:
            shown[mapping.key] = f"(not known: {unknown})"
    return shown
