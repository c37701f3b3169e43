"""Undoes lines of activity, also a whole import, under the records' locks; what somebody changed since is left."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from conflicts.store import open_conflicts
from sync import permissions, registry
from sync.choices import ActivityKind, Cause, Priority, SyncDirection, common_direction
from sync.fields import field_values, lookups
from sync.kernel import grouped
from sync.kernel.acts import NotPossible
from sync.kernel.db import update_many
from sync.models import ActivityLine, FieldMapping, SyncedModel, SyncMetadata, history_of
from sync.models.activity_lines import BLOCKED
from sync.models.records_and_items import KEPT_BY
from sync.outbox import enqueue, wakeups
from sync.records import authors
from sync.records.tombstones import deleted_names
from sync.words.message import Message

# The entry that stands for a whole import.
IMPORT_SUMMARY = models.Q(kind=ActivityKind.IMPORT, entity_id=None)

UNDONE = "Undone"

CHANGED_SINCE_IMPORT = Message("changed_since_import")
NO_EARLIER_VALUE = Message("no_earlier_value")


@dataclass
class UndoStep:
    """A line of activity to undo, with the values that its undo writes."""

    line: ActivityLine
    record: SyncedModel | None
    name: str  # the record's name
    label: str  # the field's label
    current_text: str = ""  # the field's current value, as displayed
    restored_text: str = ""  # the value that the undo restores, as displayed
    refusal: str = ""  # why it can't be undone
    note: str = ""  # a warning for the page
    current_values: Mapping[str, Any] = field(default_factory=dict)  # the raw values of the current text
    restored_values: Mapping[str, Any] = field(default_factory=dict)  # the raw values of the restored text
    sync_state: SyncMetadata | None = None  # of an answer about a rejected value, about which people are asked again

    @property
    def deletes(self) -> bool:
        """Whether the undo deletes a record that an import created."""
        return is_creation(self.line)

    @property
    def releases(self) -> bool:
        """Whether the record points at what it pointed at no more: it is deleted, or its reference is put back."""
        if self.refusal or self.record is None:
            return False
        relations = {field.name for field in registry.own_relations(type(self.record))}
        return self.deletes or not relations.isdisjoint(self.restored_values)


def may_undo(user: Any, lines: Iterable[ActivityLine]) -> bool:
    """Whether a user may change every record of these lines, and delete those that an import created."""
    kinds = {(row.entity_type, is_creation(row)) for row in lines}
    return all(_may_undo(user, entity_type, deletes=deletes) for entity_type, deletes in kinds)


def _may_undo(user: Any, entity_type: str, *, deletes: bool) -> bool:
    if registry.is_registered(entity_type):
        return permissions.may_act(user, "delete" if deletes else "change", entity_type)
    return bool(user.has_perm("sync.change_activityline"))


def is_creation(line: ActivityLine) -> bool:
    """Whether a line is the creation of a record by an import; its undo deletes the record."""
    return line.kind == ActivityKind.IMPORT and not line.key and line.entity_id is not None


def is_undoable(line: ActivityLine) -> bool:
    """Whether a line can be undone at all: the creation of a record, or a change with both values."""
    if is_creation(line):
        return True
    raws = [line.values.get(name) for name in ("raw_before", "raw_after")]
    return bool(line.entity_id and line.key and all(raws))


def superseded_changes(lines: Iterable[ActivityLine]) -> set[int]:
    """Return the ids of the changes whose values their records don't hold any more: nothing is left to undo."""
    changes = [row for row in lines if not is_creation(row)]
    superseded = set()
    for rows in grouped(changes, lambda row: row.entity_type).values():
        records = _records_of(rows)
        for row in rows:
            record = records.get(row.entity_id) if row.entity_id else None
            after = row.values["raw_after"]
            is_known = record is not None and after.keys() <= {field.name for field in record._meta.concrete_fields}
            if record is not None and is_known and not field_values.still_holds(record, after):
                superseded.add(row.pk)
    return superseded


def lines_of_acts(act_ids: Collection[UUID]) -> models.QuerySet[ActivityLine]:
    """Return the changes and creations of acts, by record, each record's oldest first.

    An act is a pass, an import or an undo by its `batch_id`, or lines that are folded together by their `fold_id`.
    """
    rows = ActivityLine.objects.filter(models.Q(batch_id__in=act_ids) | models.Q(fold_id__in=act_ids))
    changes = models.Q(values__has_keys=["raw_before", "raw_after"]) | models.Q(kind=ActivityKind.IMPORT)
    return rows.filter(changes).exclude(IMPORT_SUMMARY).order_by("entity_type", "entity_id", "id")


def undone_lines() -> models.QuerySet[ActivityLine, Any]:
    """Return the ids of the lines whose undo was not undone itself, as a column."""
    undos = ActivityLine.objects.filter(undoes__isnull=False)
    return undos.exclude(pk__in=undos.values("undoes")).values_list("undoes", flat=True)


def undo_states(act_ids: Collection[UUID], user: Any) -> dict[UUID, tuple[str, bool]]:
    """Return whether each act is “Undone” or “Partly undone”, empty if neither, and whether the user may undo the rest.

    Acts with nothing to undo are left out.
    """
    act = models.Case(models.When(batch_id__in=act_ids, then="batch_id"), default="fold_id")
    lines = (
        lines_of_acts(act_ids)
        .order_by()
        .annotate(whole_act=act, deletes=models.Q(kind=ActivityKind.IMPORT, key="", entity_id__isnull=False))
    )
    numbers = lines.values("whole_act", "entity_type", "deletes").annotate(
        all=models.Count("pk"), undone=models.Count("pk", filter=models.Q(pk__in=undone_lines()))
    )
    states = {}
    for act_id, rows in grouped(numbers, lambda row: row["whole_act"]).items():
        rest = [row for row in rows if row["undone"] < row["all"]]
        may_undo = all(_may_undo(user, row["entity_type"], deletes=row["deletes"]) for row in rest)
        state = "" if not any(row["undone"] for row in rows) else "Partly undone" if rest else UNDONE
        states[act_id] = (state, bool(rest) and may_undo)
    return states


def plan_undo(lines: Iterable[ActivityLine]) -> list[UndoStep]:
    """Return the step of each line, for display; `undo_lines` checks each of them again."""
    rows = list(lines)
    # References from records that the same undo has deleted, or whose reference it has put back, don't count.
    released: set[UUID | None] = set()
    steps: dict[int, UndoStep] = {}
    by_type = grouped(rows, lambda row: row.entity_type)
    for entity_type in undo_order(by_type):
        type_rows = by_type[entity_type]
        plan = _UndoPlan(entity_type, type_rows, released)
        for row in type_rows:
            step = plan.step(row)
            steps[row.pk] = step
            if step.releases:
                released.add(row.entity_id)
    return [steps[row.pk] for row in rows]


def undo_order(entity_types: Collection[str]) -> list[str]:
    """Return types in the order of their undo: those that were registered last, which point at others, first."""
    registered = [spec.entity_type for spec in registry.entities()]
    known = [entity_type for entity_type in reversed(registered) if entity_type in entity_types]
    return [*known, *sorted(set(entity_types) - set(known))]


def _records_of(rows: Sequence[ActivityLine], *, lock: bool = False) -> dict[UUID, SyncedModel]:
    """Return the existing records of lines of one type; with `lock`, lock them in the order of their ids."""
    if not registry.is_registered(rows[0].entity_type):
        return {}
    model = registry.entity(rows[0].entity_type).model
    records = model.objects.filter(pk__in=[row.entity_id for row in rows if row.entity_id]).order_by("pk")
    if lock:
        # Records that will be deleted are locked with their keys, so that no row can begin to point at them.
        records = records.select_for_update(no_key=not any(map(is_creation, rows)), of=("self",))
    return {record.pk: record for record in records}


def _untouched_records(entity_type: str, ids: Sequence[Any], released: Collection[Any]) -> set[UUID]:
    """Return the records that nobody changed since their creation, and to which no record points but `released`."""
    if not ids:
        return set()
    model = registry.entity(entity_type).model
    events = history_of(model).objects.filter(pgh_obj_id__in=ids)
    counted = events.order_by().values_list("pgh_obj_id").annotate(number=models.Count("pgh_id"))
    # The only event of an untouched record is its creation.
    untouched = {pk for pk, number in counted if number == 1}
    for relation in model._meta.related_objects:
        if issubclass(relation.related_model, SyncedModel):
            name = relation.field.attname
            pointing = relation.related_model.objects.filter(**{f"{name}__in": ids})
            untouched -= set(pointing.exclude(pk__in=list(released)).values_list(name, flat=True))
    return untouched


def _direction_now(record: SyncedModel, mapping: FieldMapping | None) -> SyncDirection:
    """Return the direction in which a record's field is synced now."""
    if mapping is None or not mapping.column_id or not record.may_sync:
        return SyncDirection.NONE
    return common_direction(record.sync_direction, mapping.direction)


class _UndoPlan:
    """Plans the undo of lines about records of one type; loads what their values point at."""

    def __init__(
        self, entity_type: str, rows: Sequence[ActivityLine], released: Collection[Any] = (), *, lock: bool = False
    ) -> None:
        self.records = records = _records_of(rows, lock=lock)
        answered = [row.entity_id for row in rows if BLOCKED in row.values and row.entity_id]
        # Locked after the records, as in settling.
        states = SyncMetadata.objects.of(entity_type, answered)
        states = states.select_for_update() if lock else states
        self.sync_states = {state.entity_id: state for state in states} if answered else {}
        link = lookups.link_of(entity_type)
        mappings = list(link.mappings.all()) if link else []
        self.mappings = {mapping.key: mapping for mapping in mappings}
        self.display = lookups.FieldDisplay(link, mappings, list(records.values())) if link else None
        self.conflicts = open_conflicts(entity_type, records)
        self.last_names = deleted_names(entity_type, {row.entity_id for row in rows if row.entity_id} - records.keys())
        created = [row.entity_id for row in rows if is_creation(row) and row.entity_id in records]
        self.untouched = _untouched_records(entity_type, created, released)
        self.related: field_values.RelatedRecords = {}
        if records:
            # Load the current and the earlier related records in few queries.
            model = registry.entity(entity_type).model
            fields = {field.name: field for field in model._meta.concrete_fields}
            raws = [raw for row in rows if (raw := row.values.get("raw_before", {})).keys() <= fields.keys()]
            relations = {name for raw in raws for name in raw if fields[name].is_relation}
            models.prefetch_related_objects(list(records.values()), *sorted(relations))
            self.related = lookups.read_related(field_values.references_of(model, raws))

    def step(self, row: ActivityLine) -> UndoStep:
        """Return the step of a line, with the values to write or the reason against it."""
        record = self.records.get(row.entity_id) if row.entity_id else None
        mapping = self.mappings.get(row.key)
        name = self.last_names.get(row.entity_id) if row.entity_id else None
        name = str(record or name or f"{registry.type_label(row.entity_type)} (deleted)")
        step = UndoStep(row, record, name, mapping.label if mapping else row.key)
        answered = row.values.get(BLOCKED)
        if not (is_undoable(row) or answered):
            step.refusal = NO_EARLIER_VALUE
        elif record is None:
            step.refusal = Message("was_deleted" if step.deletes else "restore_it_first")
        elif step.deletes and record.pk not in self.untouched:
            step.refusal = CHANGED_SINCE_IMPORT
        if step.refusal or step.deletes or record is None:
            return step
        before = dict(row.values["raw_before"] if is_undoable(row) else answered["before"]["local"])
        if unknown := before.keys() - {field.name for field in record._meta.concrete_fields}:
            step.refusal = Message("no_such_field", field=min(unknown))
            return step
        step.current_values = field_values.local_field_values(record, before)
        step.current_text = self._display(record, mapping, step.current_values)
        try:
            # A related record that was read on Monday has only its item or its name.
            before = field_values.resolve_relations(self.related, type(record), before)
        except field_values.RelatedNotFound as gone:
            step.refusal = str(gone)
        step.restored_text = self._display(record, mapping, before)
        if answered:
            step.sync_state = self.sync_states.get(str(record.pk))
        step.refusal = step.refusal or self._stale_reason(step, record, mapping, before)
        if step.refusal:
            return step
        is_sent = _direction_now(record, mapping) is not SyncDirection.NONE and not record.is_left_out
        step.note = "" if is_sent else Message("only_npd_changes")

        try:
            step.restored_values = field_values.clean_values(record, before)
        except ValidationError as refused:
            step.refusal = Message("earlier_value_refused", quote=" ".join(refused.messages))
        return step

    def _stale_reason(
        self, step: UndoStep, record: SyncedModel, mapping: FieldMapping | None, before: Mapping[str, Any]
    ) -> str:
        if BLOCKED in step.line.values:
            entry = step.sync_state.blocked_fields.get(step.line.key) if step.sync_state else None
            if step.sync_state is None or _kept_mark(entry) != _kept_mark(step.line.values[BLOCKED]["after"]):
                return Message("answered_since")
        if is_undoable(step.line) and field_values.still_holds(record, before):
            return Message("says_it_already" if step.current_text else "is_empty_already", value=step.current_text)
        after = step.line.values.get("raw_after", before)
        if not field_values.still_holds(record, after):
            expected = self._display(record, mapping, after)
            return Message("changed_since_line", value=step.current_text, expected=expected)
        if _direction_now(record, mapping) is SyncDirection.MONDAY_TO_NPD:
            return Message("comes_from_monday_only")
        in_conflict = any(step.line.key in conflict.fields for conflict in self.conflicts.get(record.pk, []))
        return Message("in_open_conflict") if in_conflict else ""

    def _display(self, record: SyncedModel, mapping: FieldMapping | None, raw: Mapping[str, Any]) -> str:
        if mapping is not None and self.display is not None:
            return self.display.display_local(record, mapping, raw)
        names = (value.get("name") if isinstance(value, dict) else value for value in raw.values() if value)
        return ", ".join(str(name) for name in names)


def _kept_mark(entry: Mapping[str, Any] | None) -> Sequence[Any]:
    """Return who left a rejected value, and when; a pass may have added what it read since."""
    kept = (entry or {}).get(KEPT_BY, {})
    return [kept.get("id"), kept.get("at")]


@dataclass(frozen=True)
class UndoResult:
    """The result of an undo."""

    batch_id: UUID  # of the undo itself, by which it can be undone
    undone: list[UndoStep] = field(default_factory=list)
    left_alone: list[UndoStep] = field(default_factory=list)
    lines: list[ActivityLine] = field(default_factory=list)


def undo_lines(lines: Iterable[ActivityLine], *, by: User) -> UndoResult:
    """Undo the lines that nothing forbids, in one transaction; of several about one field, only the newest.

    Records are locked in the order of their ids. Only NPD is written; the next pass does the rest.
    """
    by_type = grouped(sorted(lines, key=lambda row: -row.pk), lambda row: row.entity_type)
    result = UndoResult(uuid.uuid4())
    with pghistory.context(user=by.pk, cause=authors.UNDO_CAUSE, batch=str(result.batch_id)), transaction.atomic():
        for entity_type in undo_order(by_type):
            rows = [rows[0] for rows in grouped(by_type[entity_type], lambda row: (row.entity_id, row.key)).values()]
            plan = _UndoPlan(entity_type, rows, lock=True)
            _undo_steps([plan.step(row) for row in rows], result, by)
            if result.undone:
                wakeups.wake_on_commit(entity_type)
        # One act, for which a deletion stands in the list. The passes fold what they say of it into it.
        result.lines.sort(key=lambda line: not line.values)
        for line in result.lines:
            line.fold_id = result.batch_id
            line.folded = line.entity_id != result.lines[-1].entity_id
        ActivityLine.objects.bulk_create(result.lines)
    return result


def _undo_steps(steps: Sequence[UndoStep], result: UndoResult, by: User) -> None:
    """Write the steps without a refusal, and their own entries and log entries, and add them to the result."""
    writing = [step for step in steps if not step.refusal and not step.deletes and is_undoable(step.line)]
    # An import may have thousands of steps, so steps of the same columns are written at once.
    for group in grouped(writing, lambda step: tuple(sorted(step.restored_values))).values():
        records = [step.record for step in group if step.record is not None]
        for record, step in zip(records, group, strict=True):
            for name, value in field_values.update_values(type(record), step.restored_values).items():
                setattr(record, name, value)
        try:
            update_many(records, list(group[0].restored_values))
        except IntegrityError as error:
            # Such as a former value that another record has by now; the caller's transaction ends.
            raise NotPossible("Nothing was undone: a record can't have its former value any more.") from error
    undone = [step for step in steps if not step.refusal]
    actor = authors.actor_label(by)
    for step in undone:
        assert step.record is not None
        values: dict[str, Any] = {}
        sentence = Message("undone_import", by=actor, name=step.name)
        if step.sync_state is not None:
            sentence = Message("rejected_reopened", label=step.label, npd=step.current_text)
            values[BLOCKED] = step.sync_state.set_blocked(step.line.key, step.line.values[BLOCKED]["before"])
            # Not as a person's request, by which the pass would send rejected values again.
            enqueue(step.line.entity_type, [step.record.pk], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
        if not step.deletes and is_undoable(step.line):
            raws = {"raw_before": step.current_values, "raw_after": dict(step.restored_values)}
            values |= {"before": step.current_text, "after": step.restored_text, **raws}
            # The sentence names no time, because people read it in several time zones.
            sentence = Message(
                "undone_value",
                by=actor,
                label=step.label,
                after=step.restored_text,
                before=step.current_text,
                note=step.note,
            )
        line = authors.person_line(step.record, ActivityKind.UNDO, sentence, actor)
        line.key = step.line.key
        line.values = values
        line.batch_id = result.batch_id
        line.undoes = step.line.pk  # by which the undo can be undone
        result.lines.append(line)
    restored = [step.record for step in undone if step.record and not step.deletes]
    deleted = [step.record for step in undone if step.record and step.deletes]
    authors.log_action_many(by, restored, "Put back by an undo.")
    authors.log_action_many(by, deleted, "Deleted by the undo of an import.", flag=DELETION)
    if deleted:
        type(deleted[0]).objects.filter(pk__in=[record.pk for record in deleted]).delete()
    result.undone.extend(undone)
    result.left_alone.extend(step for step in steps if step.refusal)
