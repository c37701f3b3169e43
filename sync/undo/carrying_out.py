"""Carrying out an undo: under the records' locks, each value only where it still is the one that is taken back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from sync import registry, wake
from sync.acts_log import note
from sync.authors import called
from sync.engine.values import raw_of_fields, to_store
from sync.models import Decision, SyncedModel
from sync.undo.planning import Step, plan


@dataclass(frozen=True)
class Undone:
    """What an undo did: its own batch, by which it can be taken back, the steps done, and those left alone."""

    batch_id: UUID
    done: list[Step] = field(default_factory=list)
    left: list[Step] = field(default_factory=list)
    lines: list[Decision] = field(default_factory=list)


def carry_out(decisions: Iterable[Decision], *, by: User) -> Undone:
    """Take these decisions back, as far as they are not stale, in one transaction; newest first within a field.

    Records are locked in the order of their ids. Only fields of NPD are written; what depends on them happens at
    the next look.
    """
    rows = sorted(decisions, key=lambda row: -row.pk)
    undone = Undone(uuid.uuid4())
    with pghistory.context(user=by.pk, cause="undo", batch=str(undone.batch_id)), transaction.atomic():
        for entity_type in sorted({row.entity_type for row in rows}):
            mine = [row for row in rows if row.entity_type == entity_type]
            _take_back(undone, entity_type, mine, by)
    return undone


def _take_back(undone: Undone, entity_type: str, rows: Sequence[Decision], by: User) -> None:
    who = called(by)
    records = _locked(entity_type, rows)
    for part in _rounds(rows):
        for step in plan(part, records=records):
            told = step if step.stale else _write(undone, step, by, who)
            (undone.left if told.stale else undone.done).append(told)
    if undone.done:
        transaction.on_commit(partial(wake.board, entity_type), robust=True)


def _rounds(rows: Sequence[Decision]) -> Iterator[list[Decision]]:
    """Parts in which no field comes twice: its later line is taken back before an earlier one is looked at."""
    left = list(rows)
    while left:
        first = {(row.entity_id, row.key): row for row in reversed(left)}
        part = [row for row in left if first[row.entity_id, row.key] is row]
        yield part
        left = [row for row in left if first[row.entity_id, row.key] is not row]


def _locked(entity_type: str, rows: Sequence[Decision]) -> dict[UUID, SyncedModel]:
    try:
        model = registry.entity(entity_type).model
    except registry.UnknownEntity:
        return {}
    ids = [row.entity_id for row in rows if row.entity_id]
    found = model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk__in=ids)
    return {record.pk: record for record in found.order_by("pk")}


def _write(undone: Undone, step: Step, by: User, who: str) -> Step:
    record = step.record
    assert record is not None
    was = raw_of_fields(record, step.write)
    values = to_store(type(record), step.write)
    try:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**values)
    except IntegrityError as refused:
        return replace(step, stale=f"NPD's database refused it: {str(refused).strip().splitlines()[0]}")
    record.refresh_from_db(fields=list(step.write))
    line = Decision.objects.create(
        entity_type=step.decision.entity_type,
        entity_id=record.pk,
        remote_id=record.monday_id or "",
        key=step.decision.key,
        kind="undo",
        sentence=_sentence(step, who),
        values={
            "before": step.now,
            "after": step.back_to,
            "raw_before": was,
            "raw_after": raw_of_fields(record, step.write),
        },
        actor=who,
        batch_id=undone.batch_id,
        cause={"by": who, "causes": ["person"]},
        undoes=step.decision.pk,
    )
    undone.lines.append(line)
    note(by, record, f"Undo: {line.sentence}")
    return step


def _sentence(step: Step, who: str) -> str:
    """A sentence that stands alone: who, which field, from what to what, and what was taken back."""
    row = step.decision
    what = {"pull": "what was taken over from Monday", "undo": "an undo", "import": "what was imported"}.get(
        row.kind, "what was sent to Monday"
    )
    back = f"“{step.back_to}”" if step.back_to else "empty"
    was = f"“{step.now}”" if step.now else "empty"
    note = f" {step.note}" if step.note else " The next look sends it to Monday."
    return f"{step.label} put back to {back} (was {was}): {who} took back {what} on {row.at:%d %b %Y, %H:%M} UTC.{note}"
