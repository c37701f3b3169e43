"""What waits for a person about records and items, and ends by a set-up."""

from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from conflicts.lifecycle import has_conflict
from conflicts.models import SyncConflict
from conflicts.reports import ConflictKind
from sync import attention
from sync.attention import Kind
from sync.choices import CHOSEN_REASONS, QUIET_REASONS, UnmatchedReason
from sync.fields import field_values, lookups
from sync.operations.planned_changes import ChangeKind, PlannedChange
from sync.reconcile import pass_plan
from sync.reconcile.conflict_reports import conflict_reports
from sync.words.message import Message

QUESTIONS = (Kind.APPROVAL, Kind.REMOVED, Kind.CONFLICT, Kind.DUPLICATE, Kind.UNMATCHED)


def of_left_board(entity_type: str) -> Iterator[PlannedChange]:
    """Yield everything about the board that is left; what the chosen one asks is planned anew."""
    for entry in _waiting(entity_type, QUESTIONS):
        yield _ended(entity_type, entry.name, entry.entity_id, entry.item_id, reason=entry.title)
    # Answered, so that they wait for nobody any more.
    conflicts = SyncConflict.objects.filter(entity_type=entity_type, resolved_at=None)
    answered = [conflict for conflict in conflicts if conflict.stored_resolution.fields]
    names = lookups.record_names((entity_type, conflict.entity_id) for conflict in answered)
    for conflict in answered:
        name = names.get((entity_type, conflict.entity_id), "")
        yield _ended(entity_type, name, conflict.entity_id, reason=Message("answer_not_applied"))


def of_records(record_plans: Iterable[pass_plan.RecordPlan], remapped: Collection[str]) -> Iterator[PlannedChange]:
    """Yield the conflicts that the chosen columns, directions and rules end; `remapped` fields get another column."""
    for record_plan in record_plans:
        record = record_plan.record
        entity_type = record.entity_type()
        open_keys = set(record_plan.facts.open_fields(ConflictKind.FIELDS))
        if open_keys.intersection(remapped):
            yield _ended(entity_type, str(record), record_plan.id, reason=Message("column_replaced"))
        open_keys = open_keys.difference(remapped)
        for report in conflict_reports(record_plan):
            if report.kind == ConflictKind.FIELDS:
                still_open = {*report.undecided, *report.applied, *(conflict.key for conflict in report.fields)}
                is_ended = not still_open.issuperset(open_keys)
            else:
                is_ended = not has_conflict(report) and bool(report.closing_reason or report.ended)
            if is_ended:
                reason = report.closing_reason or next(iter(report.ended.values()))
                yield _ended(entity_type, str(record), record_plan.id, reason=reason)


def of_items(
    board: field_values.BoardContext, item_plans: Collection[pass_plan.ItemPlan], listed: Collection[str] | None
) -> Iterator[PlannedChange]:
    """Yield the questions about items whose causes end, and the items that then wait for nobody.

    Those are gone, or new items become no records. `listed` are the items of the board; None if some may be missing.
    """
    entity_type = board.link.entity_type
    for item_plan in item_plans:
        asked = item_plan.facts.asked_record if item_plan.facts.question else None
        if asked is not None and item_plan.closing_reason and not item_plan.facts.is_creation_requested:
            reason = item_plan.closing_reason
            yield _ended(entity_type, str(asked), asked.pk, item_plan.facts.item_id, reason=reason)
    needs_nobody = {*QUIET_REASONS, *CHOSEN_REASONS}
    if not board.link.creates_records:
        needs_nobody.add(UnmatchedReason.NO_KEY_YET)  # after a while it is NO_KEY
    findings = {item_plan.facts.item_id: item_plan.finding for item_plan in item_plans}
    for entry in _waiting(entity_type, [Kind.UNMATCHED]):
        finding = findings.get(entry.item_id)
        is_gone = listed is not None and entry.item_id not in listed
        if is_gone or (finding is not None and finding.reason in needs_nobody):
            yield _ended(entity_type, entry.name, None, entry.item_id, reason=entry.title)


def _waiting(entity_type: str, kinds: Collection[Kind]) -> list[attention.Entry]:
    rows = attention.waiting(kinds=kinds).filter(entity_type=entity_type)
    return attention.entries(attention.without_notices(rows), limit=None)


def _ended(entity_type: str, name: str, entity_id: UUID | None, item_id: str = "", *, reason: str) -> PlannedChange:
    return PlannedChange(ChangeKind.ENDED, entity_type, name, entity_id, item_id, reason=reason)
