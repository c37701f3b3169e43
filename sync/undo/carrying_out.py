"""Carrying out an undo: under the records' locks, each value only where it still is the one that is taken back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from sync import registry, wake
from sync.acts_log import note_each
from sync.authors import called
from sync.bulk import update_many
from sync.engine.values import raw_of_fields, to_store
from sync.models import Decision, SyncedModel
from sync.undo.planning import Step, plan

_WHAT = {
    "pull": "what was taken over from Monday",
    "undo": "an undo",
    "import": "what was imported",
    "refused": "an answer to a refusal",
}


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
        steps = plan(part, records=records)
        refused = _write(undone, [step for step in steps if not step.stale], by, who)
        for step in steps:
            told = refused.get(step.decision.pk, step)
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


def _write(undone: Undone, steps: Sequence[Step], by: User, who: str) -> dict[int, Step]:
    """Write steps of different fields; return those that the database refused, with the reason, by their decisions.

    Those that write the same columns are one statement: an import that is taken back may be thousands of them.
    """
    was = {step.decision.pk: raw_of_fields(_record(step), step.write) for step in steps}
    refused: dict[int, Step] = {}
    alike: dict[tuple[str, ...], list[Step]] = {}
    for step in steps:
        alike.setdefault(tuple(sorted(step.write)), []).append(step)
    for group in alike.values():
        refused |= _stored(group)
    done = [step for step in steps if step.decision.pk not in refused]
    lines = [_line(undone, step, was[step.decision.pk], who) for step in done]
    undone.lines.extend(Decision.objects.bulk_create(lines))
    acts = zip(done, lines, strict=True)
    note_each(by, [(_record(step), f"Undo: {line.sentence}") for step, line in acts])
    return refused


def _record(step: Step) -> SyncedModel:
    assert step.record is not None
    return step.record


def _stored(steps: Sequence[Step]) -> dict[int, Step]:
    """Store them together; where the database refuses, one by one, so that one bad value stops no other."""
    model, names = type(_record(steps[0])), list(steps[0].write)
    before = [{name: getattr(_record(step), _attname(model, name)) for name in names} for step in steps]
    for step in steps:
        for attname, value in to_store(model, step.write).items():
            setattr(_record(step), attname, value)
    try:
        with transaction.atomic():
            update_many([_record(step) for step in steps], names)
    except IntegrityError as error:
        for step, values in zip(steps, before, strict=True):
            for name, value in values.items():
                setattr(_record(step), _attname(model, name), value)
        if len(steps) == 1:
            said = f"NPD's database refused it: {str(error).strip().splitlines()[0]}"
            return {steps[0].decision.pk: replace(steps[0], stale=said)}
        return {key: told for step in steps for key, told in _stored([step]).items()}
    return {}


def _attname(model: type[SyncedModel], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return str(field.attname)


def _line(undone: Undone, step: Step, was: Mapping[str, Any], who: str) -> Decision:
    record = _record(step)
    return Decision(
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
            "raw_after": dict(step.write),
        },
        actor=who,
        batch_id=undone.batch_id,
        cause={"by": who, "causes": ["person"]},
        undoes=step.decision.pk,
    )


def _sentence(step: Step, who: str) -> str:
    """A sentence that stands alone: who, which field, from what to what, and what was taken back."""
    row = step.decision
    what = _WHAT.get(row.kind, "what was sent to Monday")
    back = f"“{step.back_to}”" if step.back_to else "empty"
    was = f"“{step.now}”" if step.now else "empty"
    note = f" {step.note}" if step.note else " The next look sends it to Monday."
    return f"{step.label} put back to {back} (was {was}): {who} took back {what} on {row.at:%d %b %Y, %H:%M} UTC.{note}"
