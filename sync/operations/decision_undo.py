"""Undo of what the sync changed: a decision's inverse, planned, checked for staleness, applied in NPD."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.admin.models import DELETION
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet, prefetch_related_objects
from pghistory.core import event_models

from conflicts.reports import OpenConflict
from conflicts.store import open_conflicts
from sync import registry
from sync.choices import SyncDirection
from sync.kernel.db import update_many
from sync.models import Decision, FieldMapping, SyncedModel
from sync.models.state import IMPORT_KIND, fold_alike
from sync.outbox import notify
from sync.reconcile import field_values
from sync.reconcile.lookups import FieldDisplay, read_related
from sync.records.authors import UNDO_CAUSE, actor_label, log_action_each, log_action_many
from sync.records.tombstones import deleted_names
from sync.registry import link_of, mappings_of


def may_undo_decisions(user: AbstractBaseUser | AnonymousUser, decisions: Iterable[Decision]) -> bool:
    """Whether a user may change every record that these decisions are about, and delete those that they made."""
    if not isinstance(user, PermissionsMixin | AnonymousUser):
        return False
    return all(
        registry.may_act(user, act, entity_type)
        if registry.is_registered(entity_type)
        else user.has_perm("sync.change_decision")
        for act, entity_type in {("delete" if is_creation(row) else "change", row.entity_type) for row in decisions}
    )


# The plan: what an undo would write, and why some decisions can't be undone any more.


UNDO_ALTERNATIVES = {
    "create": "It created something new, which has no earlier state. Delete it if it should not exist.",
    "link": "It linked a record with an item. Unlink the record to end the link.",
    "delete": "It is about a deleted record. Restore the record from the deleted records.",
    "archived": "It archived an item. Restore the item on Monday, or restore the record.",
    "unlinked": "It unlinked an item. Use “Link again” on the record's page.",
}
"""Kinds of decisions that change something but no value, and what to do instead of an undo."""

KEPT = "It was changed or pointed at since the import made it. Delete it yourself where it should go."
FIRST_VALUE_REASON = "It was the first value of a new item: there is no earlier value to go back to."


@dataclass(frozen=True)
class UndoStep:
    """One decision to undo: the field's value now and the one to go back to, as displayed.

    `stale` says why it is left alone, empty where it can be undone. `note` is a warning for the page. `called` is the
    name of a record that was deleted since. `deletes` is of a record that an import made.
    """

    decision: Decision
    record: SyncedModel | None
    label: str
    now: str = ""
    back_to: str = ""
    stale: str = ""
    note: str = ""
    write: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""
    deletes: bool = False

    @property
    def name(self) -> str:
        deleted = self.called or f"{registry.type_label(self.decision.entity_type)} (deleted)"
        return str(self.record) if self.record else deleted


def is_creation(decision: Decision) -> bool:
    """Whether a decision tells that an import made a record, which its undo deletes."""
    return decision.kind == IMPORT_KIND and not decision.key


def is_undoable(decision: Decision) -> bool:
    """Whether a decision made a record, or moved a value that can be put back, as far as the decision itself tells."""
    if is_creation(decision):
        return True
    raws = [decision.values.get(name) for name in ("raw_before", "raw_after")]
    return bool(decision.entity_id and decision.key) and all(isinstance(raw, dict) and raw for raw in raws)


def decisions_of_batch(batch_id: UUID) -> QuerySet[Decision]:
    """Return the decisions of a pass or an undo, oldest first: moves, creations, removals."""
    rows = Decision.objects.filter(batch_id=batch_id)
    moves = rows.filter(values__has_keys=["raw_before", "raw_after"])
    others = rows.filter(kind__in=[*UNDO_ALTERNATIVES, IMPORT_KIND])
    return (moves | others).order_by("entity_type", "entity_id", "id")


def plan_decision_undo(
    decisions: Iterable[Decision], *, records: Mapping[UUID, SyncedModel] | None = None
) -> list[UndoStep]:
    """Return one step per decision, in the order given; without `records` (locked ones) they are read."""
    rows = list(decisions)
    known: dict[UUID, SyncedModel] = dict(records) if records is not None else {}
    steps: dict[int, UndoStep] = {}
    for entity_type in dict.fromkeys(row.entity_type for row in rows):
        type_decisions = [row for row in rows if row.entity_type == entity_type]
        if records is None:
            known |= records_of_decisions(type_decisions)
        context = _UndoContext(entity_type, [known[i] for i in {r.entity_id for r in type_decisions} if i in known])
        context.called = deleted_names(entity_type, {r.entity_id for r in type_decisions if r.entity_id} - known.keys())
        # Of a plan that is only shown, the records that are deleted with the others keep none of them.
        deleted_with = {row.entity_id for row in rows if is_creation(row)} if records is None else set()
        made = [row.entity_id for row in type_decisions if is_creation(row) and row.entity_id in known]
        context.untouched = untouched_records(entity_type, made, deleted_with=deleted_with)
        if records is None:  # this plan is only shown; before anything is written each record is checked anew
            context.prefetch(type_decisions, [known[i] for i in {r.entity_id for r in type_decisions} if i in known])
        for row in type_decisions:
            steps[row.pk] = context.plan_step(row, known.get(row.entity_id) if row.entity_id else None)
    return [steps[row.pk] for row in rows]


def records_of_decisions(rows: Sequence[Decision], *, lock: bool = False) -> dict[UUID, SyncedModel]:
    """Return the records of decisions of one type that still exist; with `lock` locked, in the order of their ids."""
    try:
        model = registry.entity(rows[0].entity_type).model
    except registry.UnknownEntity:
        return {}
    found = model._default_manager.filter(pk__in=[row.entity_id for row in rows if row.entity_id]).order_by("pk")
    if lock:
        # With the key's lock where some are deleted: no row may begin to point at one between the check and that.
        found = found.select_for_update(no_key=not any(map(is_creation, rows)), of=("self",))
    return {record.pk: record for record in found}


def untouched_records(entity_type: str, ids: Sequence[Any], *, deleted_with: Collection[Any]) -> set[UUID]:
    """Return those records that nothing changed since they were made, and to which no record points."""
    if not ids:
        return set()
    model = registry.entity(entity_type).model
    events = event_models(tracks_model=model)[0]._default_manager.filter(pgh_obj_id__in=ids)
    counted = events.order_by().values_list("pgh_obj_id").annotate(number=Count("pgh_id"))
    # The one event is the record's creation.
    untouched = {key for key, number in counted if number == 1}
    for relation in model._meta.related_objects:
        if issubclass(relation.related_model, SyncedModel):
            name = relation.field.attname
            pointing = relation.related_model._default_manager.filter(**{f"{name}__in": ids})
            untouched -= set(pointing.exclude(pk__in=list(deleted_with)).values_list(name, flat=True))
    return untouched


class _UndoContext:
    """The records of one type whose decisions are to be undone, and what their values point at."""

    def __init__(self, entity_type: str, records: Sequence[SyncedModel]) -> None:
        self.entity_type = entity_type
        link = link_of(entity_type)
        self.mappings = {m.key: m for m in mappings_of(link)} if link else {}
        self.display = FieldDisplay(link, list(self.mappings.values()), records) if link else None
        self.conflicts: dict[UUID, list[OpenConflict]] = open_conflicts(entity_type, [r.pk for r in records])
        self.related = field_values.RelatedFacts()
        self.called: Mapping[UUID, str] = {}
        self.untouched: Collection[UUID] = ()

    def prefetch(self, rows: Iterable[Decision], records: Sequence[SyncedModel]) -> None:
        """Read in few queries the records that these point at now and those that the earlier values name."""
        if not records:
            return
        model = type(records[0])
        fields = {field.name: field for field in model._meta.concrete_fields}
        raws = [raw for row in rows if isinstance(raw := row.values.get("raw_before"), dict)]
        raws = [raw for raw in raws if set(raw) <= set(fields)]
        relations = sorted({name for raw in raws for name in raw if fields[name].is_relation})
        prefetch_related_objects(list(records), *relations)
        self.related = read_related(field_values.references_of(model, raws), self.related)

    def plan_step(self, row: Decision, record: SyncedModel | None) -> UndoStep:
        mapping = self.mappings.get(row.key)
        label = mapping.label if mapping else row.key
        if is_creation(row) and record is not None:
            return UndoStep(row, record, "", stale="" if record.pk in self.untouched else KEPT, deletes=True)
        reason = ""
        if not is_undoable(row):
            kind = "delete" if row.kind == "undo" and not row.key else row.kind
            other = FIRST_VALUE_REASON if row.kind == "push" else "It changed no value."
            reason = UNDO_ALTERNATIVES.get(kind, other)
        elif record is None:
            reason = "It was deleted." if is_creation(row) else "The record was deleted meanwhile. Restore it first."
        if reason or record is None:
            called = self.called.get(row.entity_id, "") if row.entity_id else ""
            return UndoStep(row, record, label, stale=reason, called=called)
        before, after = dict(row.values["raw_before"]), dict(row.values["raw_after"])
        if unknown := [name for name in before if name not in {f.name for f in record._meta.concrete_fields}]:
            return UndoStep(row, record, label, stale=f"NPD has no field “{unknown[0]}” any more.")
        current = self._display(record, mapping, field_values.stored_field_values(record, before))
        try:
            # Of what was read on Monday a relation names the item or the name alone.
            related = read_related(field_values.references_of(type(record), [before]), self.related)
            before = related.resolve(type(record), before)
        except field_values.RelatedNotFound as gone:
            return UndoStep(row, record, label, current, self._display(record, mapping, before), str(gone))
        target = self._display(record, mapping, before)
        if stale := self._stale_reason(record, row, mapping, before, after, current):
            return UndoStep(row, record, label, current, target, stale)
        note = ""
        if mapping is None or not mapping.column_id:
            note = "It has no column on the board, so only NPD changes."
        elif not record.may_sync:
            note = "Sync is off for this record, so only NPD changes."
        elif record.is_left_out:
            note = "The filter leaves this record out, so only NPD changes."
        elif mapping.direction == SyncDirection.NONE:
            note = "The field isn't synced any more, so only NPD changes."
        step = UndoStep(row, record, label, current, target, note=note)
        return self._validate(step, record, before)

    def _display(self, record: SyncedModel, mapping: FieldMapping | None, raw: Mapping[str, Any]) -> str:
        if mapping is not None and self.display is not None:
            return self.display.local(record, mapping, raw)
        names = (value.get("name") if isinstance(value, dict) else value for value in raw.values() if value)
        return ", ".join(str(name) for name in names)

    def _stale_reason(
        self,
        record: SyncedModel,
        row: Decision,
        mapping: FieldMapping | None,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        now: str,
    ) -> str:
        if field_values.still_holds(record, before):
            return f"It says “{now}” already." if now else "It is empty already."
        if not field_values.still_holds(record, after):
            expected = self._display(record, mapping, after)
            return f"It was changed since: it says “{now}” now, not “{expected}”, which this line left."
        directions = {record.sync_direction, mapping.direction} if mapping and mapping.column_id else set()
        one_way = SyncDirection.MONDAY_TO_NPD in directions and SyncDirection.NONE not in directions
        if one_way and record.may_sync:
            return (
                "It comes from Monday only, so NPD's value would be replaced again at the next sync. Change it on "
                "the board."
            )
        open_conflicts = [c for c in self.conflicts.get(record.pk, []) if row.key in c.fields]
        return "A conflict on it is open. Resolve that instead." if open_conflicts else ""

    def _validate(self, step: UndoStep, record: SyncedModel, before: Mapping[str, Any]) -> UndoStep:
        """Give the step what it writes, if the value still passes NPD's own validation."""
        try:
            return replace(step, write=field_values.clean_values(record, before))
        except ValidationError as refused:
            message = " ".join(refused.messages)
            return replace(step, stale=f"NPD doesn't take the earlier value any more: {message}")


# Applying an undo: under the records' locks, each value only where it is still the one to undo.


_KIND_LABELS = {
    "pull": "what was updated from Monday",
    "undo": "an undo",
    "import": "what was imported",
    "rejected": "an answer to a rejection",
}


@dataclass(frozen=True)
class UndoResult:
    """What an undo did: its own batch id, by which it can be undone, the steps done, and those left alone."""

    batch_id: UUID
    done: list[UndoStep] = field(default_factory=list)
    left: list[UndoStep] = field(default_factory=list)
    lines: list[Decision] = field(default_factory=list)


def undo_decisions(decisions: Iterable[Decision], *, by: User) -> UndoResult:
    """Undo these decisions, as far as they are not stale, in one transaction; newest first within a field.

    Records are locked in the order of their ids. Only fields of NPD are written; their next pass does the rest.
    """
    rows = sorted(decisions, key=lambda row: -row.pk)
    result = UndoResult(uuid.uuid4())
    with pghistory.context(user=by.pk, cause=UNDO_CAUSE, batch=str(result.batch_id)), transaction.atomic():
        for entity_type in sorted({row.entity_type for row in rows}):
            type_decisions = [row for row in rows if row.entity_type == entity_type]
            records = records_of_decisions(type_decisions, lock=True)
            for part in _rounds(type_decisions):
                steps = plan_decision_undo(part, records=records)
                rejected = _write_steps(result, [step for step in steps if not step.stale and not step.deletes], by)
                _delete_records(result, [step for step in steps if not step.stale and step.deletes], by)
                for step in steps:
                    outcome = rejected.get(step.decision.pk, step)
                    (result.left if outcome.stale else result.done).append(outcome)
            if result.done:
                transaction.on_commit(partial(notify.notify_board, entity_type), robust=True)
    return result


def _rounds(rows: Sequence[Decision]) -> Iterator[list[Decision]]:
    # No field comes twice in a part: its later decision is undone before the earlier one is checked.
    remaining = list(rows)
    while remaining:
        first = {(row.entity_id, row.key): row for row in reversed(remaining)}
        part = [row for row in remaining if first[row.entity_id, row.key] is row]
        yield part
        remaining = [row for row in remaining if first[row.entity_id, row.key] is not row]


def _write_steps(result: UndoResult, steps: Sequence[UndoStep], by: User) -> dict[int, UndoStep]:
    """Write steps of different fields; return those that the database rejected, with the reason.

    Steps that write the same columns are one statement: undoing an import may be thousands of them.
    """
    before = {step.decision.pk: field_values.stored_field_values(_record(step), step.write) for step in steps}
    rejected: dict[int, UndoStep] = {}
    by_columns: dict[tuple[str, ...], list[UndoStep]] = {}
    for step in steps:
        by_columns.setdefault(tuple(sorted(step.write)), []).append(step)
    for group in by_columns.values():
        rejected |= _store_steps(group)
    done = [step for step in steps if step.decision.pk not in rejected]
    actor = actor_label(by)
    lines = [
        Decision(
            entity_type=step.decision.entity_type,
            entity_id=_record(step).pk,
            remote_id=_record(step).monday_id or "",
            key=step.decision.key,
            kind="undo",
            sentence=_sentence(step, actor),
            values={
                "before": step.now,
                "after": step.back_to,
                "raw_before": before[step.decision.pk],
                "raw_after": dict(step.write),
            },
            actor=actor,
            batch_id=result.batch_id,
            cause={"by": actor, "causes": ["person"]},
            undoes=step.decision.pk,
        )
        for step in done
    ]
    result.lines.extend(Decision.objects.bulk_create(fold_alike(lines)))
    acts = zip(done, lines, strict=True)
    log_action_each(by, [(_record(step), f"Undo: {line.sentence}") for step, line in acts])
    return rejected


def _delete_records(result: UndoResult, steps: Sequence[UndoStep], by: User) -> None:
    """Delete the records that an import made."""
    if not steps:
        return
    actor = actor_label(by)
    records = [_record(step) for step in steps]
    lines = [
        Decision(
            entity_type=step.decision.entity_type,
            entity_id=_record(step).pk,
            remote_id=_record(step).monday_id or "",
            kind="undo",
            sentence=f"{actor} undid what was imported: {step.name} was deleted.",
            actor=actor,
            batch_id=result.batch_id,
            cause={"by": actor, "causes": ["person"]},
            undoes=step.decision.pk,
        )
        for step in steps
    ]
    result.lines.extend(Decision.objects.bulk_create(fold_alike(lines)))
    log_action_many(by, records, "Deleted by the undo of an import.", flag=DELETION)
    type(records[0])._default_manager.filter(pk__in=[record.pk for record in records]).delete()


def _record(step: UndoStep) -> SyncedModel:
    assert step.record is not None
    return step.record


def _store_steps(steps: Sequence[UndoStep]) -> dict[int, UndoStep]:
    # Stored together; where the database rejects one, one by one, so that one bad value stops no other.
    records, former = [_record(step) for step in steps], list[dict[str, Any]]()
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
            reason = f"NPD's database rejected it: {str(error).strip().splitlines()[0]}"
            return {steps[0].decision.pk: replace(steps[0], stale=reason)}
        return {key: rejected for step in steps for key, rejected in _store_steps([step]).items()}
    return {}


def _set_values(record: SyncedModel, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(record, name, value)


def _sentence(step: UndoStep, actor: str) -> str:
    """Return a sentence that stands alone: who undid what, in which field, from what to what."""
    label = _KIND_LABELS.get(step.decision.kind, "what was sent to Monday")
    back = f"“{step.back_to}”" if step.back_to else "empty"
    before = f"“{step.now}”" if step.now else "empty"
    # It is stored, and read in many time zones: what it undoes has its own time.
    return f"{actor} undid {label}: {step.label} back to {back} (was {before}). {step.note}".strip()
