"""What taking back decisions would write, and why some of them can't be taken back (any more)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _

from sync import registry
from sync.boards import link_of, mappings_of
from sync.choices import SyncDirection
from sync.engine.related import NotFound, Related
from sync.engine.showing import Shown
from sync.engine.values import cleaned, raw_of_fields, still_holds
from sync.hooks import OpenConflict, desk
from sync.models import Decision, FieldMapping, SyncedModel

WITHOUT_VALUES = {
    "create": "It made something new, which has no earlier state. Delete it where it should not be.",
    "link": "It linked a record with an item. Turn sync off for the record to let them go apart.",
    "delete": "It is about a deleted record. Bring the record back from its tombstone.",
    "archived": "It archived an item. Restore the item on Monday, or bring the record back.",
    "unlinked": "It let an item go. Turn sync on for the record to link them again.",
}
"""Kinds of decisions that change something but no value, and what to do instead of an undo."""
FIRST_VALUE = "It was the first value of a new item: there is nothing before it to go back to."


@dataclass(frozen=True)
class Step:
    """One decision to be taken back: the field's value now and the one to go back to, as displayed.

    `stale` says why it is left alone; empty where it can be done. `note` is what else is to be known.
    """

    decision: Decision
    record: SyncedModel | None
    label: str
    now: str = ""
    back_to: str = ""
    stale: str = ""
    note: str = ""
    write: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the record is called; one that is gone by its type and id."""
        return str(self.record) if self.record else f"{self.decision.entity_type} {self.decision.entity_id}"


def may_be_undone(decision: Decision) -> bool:
    """Whether a decision moved a value that can be put back, as far as the decision itself tells."""
    raws = [decision.values.get(name) for name in ("raw_before", "raw_after")]
    return bool(decision.entity_id and decision.key) and all(isinstance(raw, dict) and raw for raw in raws)


def decisions_of_batch(batch_id: UUID) -> QuerySet[Decision]:
    """Return what a look, or an undo, moved: its moves, and what else it made or removed; oldest first."""
    rows = Decision.objects.filter(batch_id=batch_id)
    moves = rows.filter(values__has_keys=["raw_before", "raw_after"])
    return (moves | rows.filter(kind__in=WITHOUT_VALUES)).order_by("entity_type", "entity_id", "id")


def plan(decisions: Iterable[Decision], *, records: Mapping[UUID, SyncedModel] | None = None) -> list[Step]:
    """Return one step a decision, in the order given; `records` are locked ones, else they are read."""
    rows = list(decisions)
    known: dict[UUID, SyncedModel] = dict(records) if records is not None else {}
    steps: dict[int, Step] = {}
    for entity_type in dict.fromkeys(row.entity_type for row in rows):
        mine = [row for row in rows if row.entity_type == entity_type]
        if records is None:
            known |= records_of(mine)
        view = _View(entity_type, [known[i] for i in {r.entity_id for r in mine} if i in known])
        if records is None:  # a plan that is only shown; before anything is written each is asked for anew
            view.know(mine, [known[i] for i in {r.entity_id for r in mine} if i in known])
        for row in mine:
            steps[row.pk] = view.step(row, known.get(row.entity_id) if row.entity_id else None)
    return [steps[row.pk] for row in rows]


def records_of(rows: Sequence[Decision]) -> dict[UUID, SyncedModel]:
    """Return the records of decisions of one type that are still there."""
    try:
        model = registry.entity(rows[0].entity_type).model
    except registry.UnknownEntity:
        return {}
    return dict(model._default_manager.in_bulk([row.entity_id for row in rows if row.entity_id]))


class _View:
    """What is known of the records of one type whose decisions are to be taken back."""

    def __init__(self, entity_type: str, records: Sequence[SyncedModel]) -> None:
        self.entity_type = entity_type
        link = link_of(entity_type)
        self.mappings = {m.key: m for m in mappings_of(link)} if link else {}
        self.shown = Shown(link, list(self.mappings.values()), records) if link else None
        self.conflicts: dict[UUID, list[OpenConflict]] = desk().open_of(entity_type, [r.pk for r in records])
        self.related = Related()

    def know(self, rows: Iterable[Decision], records: Sequence[SyncedModel]) -> None:
        """Read the records that these ones point at now, and those that the values to go back to name, all at once."""
        try:
            model = registry.entity(self.entity_type).model
        except registry.UnknownEntity:
            return
        fields = {field.name: field for field in model._meta.concrete_fields}
        raws = [raw for row in rows if isinstance(raw := row.values.get("raw_before"), dict)]
        raws = [raw for raw in raws if set(raw) <= set(fields)]
        touched = sorted({name for raw in raws for name in raw if fields[name].is_relation})
        prefetch_related_objects(list(records), *touched)
        self.related.know(model, raws)

    def step(self, row: Decision, record: SyncedModel | None) -> Step:
        mapping = self.mappings.get(row.key)
        label = mapping.label if mapping else row.key
        if not may_be_undone(row):
            why = WITHOUT_VALUES.get(row.kind, FIRST_VALUE if row.kind == "push" else _("It moved no value."))
            return Step(row, record, label, stale=why)
        if record is None:
            return Step(row, None, label, stale="The record was deleted meanwhile. Bring it back first.")
        before, after = dict(row.values["raw_before"]), dict(row.values["raw_after"])
        if unknown := [name for name in before if name not in _field_names(record)]:
            return Step(row, record, label, stale=f"NPD has no field “{unknown[0]}” any more.")
        now = raw_of_fields(record, before)
        stands, goes = self._words(record, mapping, now), self._words(record, mapping, before)
        if stale := self._why_not(record, row, mapping, before, after, stands):
            return Step(row, record, label, stands, goes, stale)
        step = Step(row, record, label, stands, goes, note=_note(record, mapping))
        return self._checked(step, record, before)

    def _words(self, record: SyncedModel, mapping: FieldMapping | None, raw: Mapping[str, Any]) -> str:
        if mapping is not None and self.shown is not None:
            return self.shown.local(record, mapping, raw)
        names = (value.get("name") if isinstance(value, dict) else value for value in raw.values() if value)
        return ", ".join(str(name) for name in names)

    def _why_not(
        self,
        record: SyncedModel,
        row: Decision,
        mapping: FieldMapping | None,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        now: str,
    ) -> str:
        if still_holds(record, before):
            return f"It says “{now}” already." if now else "It is empty already."
        if not still_holds(record, after):
            left = self._words(record, mapping, after)
            return f"It was changed since: it says “{now}” now, not “{left}”, which this line left."
        if _only_from_monday(record, mapping):
            return (
                "It comes from Monday only, so NPD's value would be replaced again at the next look. "
                "Change it on the board."
            )
        asked = [c for c in self.conflicts.get(record.pk, []) if row.key in c.fields]
        return "A conflict on it is open. Settle that instead." if asked else ""

    def _checked(self, step: Step, record: SyncedModel, before: Mapping[str, Any]) -> Step:
        """Give the step what it writes, if NPD's own rules still take the value."""
        try:
            return replace(step, write=cleaned(record, self.related.completed(type(record), before)))
        except NotFound as gone:
            return replace(step, stale=str(gone))
        except ValidationError as refused:
            words = " ".join(refused.messages)
            return replace(step, stale=f"NPD doesn't take the earlier value any more: {words}")


def _field_names(record: SyncedModel) -> set[str]:
    return {f.name for f in record._meta.concrete_fields}


def _only_from_monday(record: SyncedModel, mapping: FieldMapping | None) -> bool:
    if not record.may_sync or mapping is None or not mapping.column_id:
        return False
    ways = {record.sync_direction, mapping.direction}
    return SyncDirection.MONDAY_TO_NPD in ways and SyncDirection.NONE not in ways


def _note(record: SyncedModel, mapping: FieldMapping | None) -> str:
    """Where putting the value back changes NPD alone."""
    if mapping is None or not mapping.column_id:
        return "It has no column on the board, so only NPD changes."
    if not record.may_sync:
        return "Sync is off for this record, so only NPD changes."
    if mapping.direction == SyncDirection.NONE:
        return "The field isn't synced any more, so only NPD changes."
    return ""
