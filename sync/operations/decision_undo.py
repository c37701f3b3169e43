"""Undo of what the sync changed: under the records' locks, each value only where it is still the one to undo."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from sync import registry
from sync.kernel.db import update_many
from sync.models import Decision, SyncedModel
from sync.models.state import fold_alike
from sync.operations.undo_plan import UndoPlan, UndoStep, decisions_by_type, records_of
from sync.outbox import notify
from sync.reconcile import field_values
from sync.records.authors import UNDO_CAUSE, actor_label, log_action_each, log_action_many

_KIND_LABELS = {
    "pull": "what was updated from Monday",
    "undo": "an undo",
    "import": "what was imported",
    "rejected": "an answer to a rejection",
}


@dataclass(frozen=True)
class UndoResult:
    """What an undo did: its own batch id, by which it can be undone, the steps undone, and those left alone."""

    batch_id: UUID
    undone: list[UndoStep] = field(default_factory=list)
    left_alone: list[UndoStep] = field(default_factory=list)
    lines: list[Decision] = field(default_factory=list)


def undo_decisions(decisions: Iterable[Decision], *, by: User) -> UndoResult:
    """Undo these decisions, as far as they are not stale, in one transaction; newest first within a field.

    Records are locked in the order of their ids. Only fields of NPD are written; their next pass does the rest.
    """
    rows = sorted(decisions, key=lambda row: -row.pk)
    result = UndoResult(uuid.uuid4())
    with pghistory.context(user=by.pk, cause=UNDO_CAUSE, batch=str(result.batch_id)), transaction.atomic():
        for entity_type, type_rows in sorted(decisions_by_type(rows).items()):
            records = records_of(type_rows, lock=True)
            for part in _rounds(type_rows):
                plan = UndoPlan(entity_type, part, records)
                steps = [plan.step(row) for row in part]
                _write([step for step in steps if not step.stale and not step.deletes])
                carried_out = [step for step in steps if not step.stale]
                lines = [_line(step, actor_label(by), result.batch_id) for step in carried_out]
                result.lines.extend(Decision.objects.bulk_create(fold_alike(lines)))
                _log(carried_out, lines, by)
                if deleted := [step.record.pk for step in carried_out if step.deletes and step.record]:
                    registry.entity(entity_type).model._default_manager.filter(pk__in=deleted).delete()
                result.undone.extend(carried_out)
                result.left_alone.extend(step for step in steps if step.stale)
            if result.undone:
                transaction.on_commit(partial(notify.notify_board, entity_type), robust=True)
    return result


def _rounds(rows: Sequence[Decision]) -> Iterator[list[Decision]]:
    """Part the decisions so that no field comes twice in a part: its later one is undone before the earlier one."""
    remaining = list(rows)
    while remaining:
        first = {(row.entity_id, row.key): row for row in reversed(remaining)}
        yield [row for row in remaining if first[row.entity_id, row.key] is row]
        remaining = [row for row in remaining if first[row.entity_id, row.key] is not row]


def _write(steps: Sequence[UndoStep]) -> None:
    """Write steps of different fields: undoing an import may be thousands of them, so the same columns at once."""
    by_columns: dict[tuple[str, ...], list[UndoStep]] = {}
    for step in steps:
        by_columns.setdefault(tuple(sorted(step.write)), []).append(step)
    for group in by_columns.values():
        _store(group)


def _store(steps: Sequence[UndoStep]) -> None:
    """Write steps of the same columns in one statement; where the database rejects one, one by one."""
    records = [step.record for step in steps if step.record is not None]
    former = []
    for record, step in zip(records, steps, strict=True):
        values = field_values.update_values(type(record), step.write)
        former.append({name: getattr(record, name) for name in values})
        _set_values(record, values)
    try:
        with transaction.atomic():
            update_many(records, list(steps[0].write))
    except IntegrityError as error:
        # Nothing was stored, so the records get their values back before the next try or the report.
        for record, values in zip(records, former, strict=True):
            _set_values(record, values)
        if len(steps) == 1:
            steps[0].stale = f"NPD's database rejected it: {str(error).strip().splitlines()[0]}"
            return
        for step in steps:
            _store([step])


def _set_values(record: SyncedModel, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(record, name, value)


def _line(step: UndoStep, actor: str, batch_id: UUID) -> Decision:
    """Return the undo's own decision, by which it can be undone; its sentence stands alone."""
    values: dict[str, Any] = {}
    sentence = f"{actor} undid what was imported: {step.name} was deleted."
    if not step.deletes:
        raws = {"raw_before": step.raw_now, "raw_after": dict(step.write)}
        values = {"before": step.now, "after": step.back_to, **raws}
        label = _KIND_LABELS.get(step.decision.kind, "what was sent to Monday")
        back = f"“{step.back_to}”" if step.back_to else "empty"
        before = f"“{step.now}”" if step.now else "empty"
        # It is stored, and read in many time zones: what it undoes has its own time.
        sentence = f"{actor} undid {label}: {step.label} back to {back} (was {before}). {step.note}".strip()
    return Decision(
        entity_type=step.decision.entity_type,
        entity_id=step.decision.entity_id,
        remote_id=(step.record.monday_id if step.record else "") or "",
        key=step.decision.key,
        kind="undo",
        sentence=sentence,
        values=values,
        actor=actor,
        batch_id=batch_id,
        cause={"by": actor, "causes": ["person"]},
        undoes=step.decision.pk,
    )


def _log(steps: Sequence[UndoStep], lines: Sequence[Decision], by: User) -> None:
    """Say in the admin's log what was put back, and which records were deleted."""
    restored = [(step, line) for step, line in zip(steps, lines, strict=True) if not step.deletes]
    log_action_each(by, [(step.record, f"Undo: {line.sentence}") for step, line in restored if step.record])
    deleted = [step.record for step in steps if step.deletes and step.record]
    log_action_many(by, deleted, "Deleted by the undo of an import.", flag=DELETION)
