"""A conflict as its page shows it: its state, its fields with both sides, possible duplicates of a record or item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from conflicts import models, reports
from conflicts.models import BASE, CLOSED_ITSELF, CUSTOM, MONDAY, NPD, SELECTABLE, Effect, Sides, SyncConflict
from conflicts.reports import EDITORS, RECORD_KEY, REJECTED, ConflictKind, FieldSelection, side_headings
from sync import addresses, registry
from sync.boards import availability
from sync.fields import field_values, lookups
from sync.fields.field_bases import base_of
from sync.kernel import as_uuid, grouped, humanize
from sync.merge import BOTH_CHANGED
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata
from sync.models.records_and_items import is_rejected
from sync.records import authors
from sync.records.tombstones import deleted_names, tombstones_of
from sync.words.message import code_of, quote_value

OPEN = "open"
APPLYING = "applying"  # the next pass applies what was chosen
HANDED_BACK = "handed_back"  # a pass didn't apply it, and says why
PARTLY = "partly"  # some fields are resolved
SETTLED = "settled"
UNDOING = "undoing"  # the next pass undoes a resolution

STATES = (OPEN, APPLYING, HANDED_BACK, PARTLY, SETTLED, UNDOING)


@dataclass(frozen=True)
class Progress:
    state: str  # one of STATES
    sentence: str
    delay_reason: str = ""  # why no pass can apply or undo it now
    is_undoable: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the state no longer changes by itself."""
        return self.state not in (APPLYING, UNDOING)


def state_of(conflict: SyncConflict) -> str:
    """Return the state, without a query."""
    if conflict.is_being_undone:
        return UNDOING
    if not conflict.is_open:
        return SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_resolution.handed_back:
        return HANDED_BACK
    return PARTLY if conflict.resolved_entries else OPEN


def conflict_progress(conflict: SyncConflict) -> Progress:
    """Return the state with its sentence."""
    state = state_of(conflict)
    if state == SETTLED:
        return Progress(state, _resolved_sentence(conflict), is_undoable=True)
    if state in (UNDOING, APPLYING):
        chosen = conflict.stored_resolution.fields
        if state == UNDOING:
            labels = conflict.labels(chosen)
            sentence = f"Undoing: {labels}. The next sync first checks that neither side has changed."
        elif conflict.is_about_record:
            option = conflict.chosen_option(chosen[RECORD_KEY])
            choice = f"“{option.label}”. {option.effect}" if option else f"{chosen[RECORD_KEY].choose}."
            sentence = f"Saving: {choice}"
        else:
            values = []
            for key in conflict.in_order(chosen):
                effect = conflict.selection_effect(key, chosen[key])
                values.append(f"{conflict.label(key)} = {quote_value(effect.value)}")
            sentence = f"Saving: {'; '.join(values)}."
        reason = humanize.without_request_id(availability.of(conflict.entity_type).blocked_reason)
        return Progress(state, sentence, reason)
    is_undoable = bool(conflict.resolved_entries)
    if state == HANDED_BACK:
        sentence = f"{_applied_sentence(conflict)} Not saved: {conflict.resolution_problem}".strip()
        return Progress(state, humanize.without_request_id(sentence), is_undoable=is_undoable)
    if conflict.is_about_record:
        return Progress(state, f"Still open: {conflict.question}")
    still_open = f"Still open: {conflict.labels(conflict.conflict_fields)}."
    return Progress(state, f"{_applied_sentence(conflict)} {still_open}".strip(), is_undoable=is_undoable)


def _resolved_sentence(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(models.CLOSING_NOTE, ""))
    entries = conflict.merge_selections
    sentences = [_applied_sentence(conflict)]
    if not entries:
        sentences.append(f"It closed by itself. {note}".strip())
    closed = [key for key in conflict.in_order(entries) if entries[key]["choose"] == CLOSED_ITSELF]
    for reason, keys in grouped(closed, lambda key: str(entries[key].get("why", note))).items():
        sentences.append(f"{conflict.labels(keys)}: closed by itself. {reason}".strip())
    for key, entry in entries.items():
        if entry.get("undo"):
            sentences.append(f"Undo of {conflict.label(key)}: {entry['undo']}")
    return " ".join(filter(None, sentences))


def _applied_sentence(conflict: SyncConflict) -> str:
    if conflict.is_about_record:
        entry = conflict.merge_selections.get(RECORD_KEY, {})
        label = f"“{entry['label']}” was chosen." if entry.get("label") else ""
        return f"{label} {conflict.resolved_data.get(RECORD_KEY) or ''}".strip()
    phrases = []
    for key in conflict.resolved_entries:
        result = quote_value(conflict.resolved_data.get(key))
        phrases.append(f"{conflict.label(key)} is {result}, {conflict.applied_effect(key).written}")
    return f"Resolved: {'; '.join(phrases)}." if phrases else ""


class RecordContext:
    """A record and its sync, each part read on first use."""

    def __init__(self, entity_type: str, entity_id: UUID) -> None:
        self.entity_type = entity_type
        self.entity_id = entity_id

    @classmethod
    def of(cls, conflict: SyncConflict) -> RecordContext:
        return cls(conflict.entity_type, conflict.entity_id)

    @cached_property
    def link(self) -> BoardLink | None:
        if not self.mappings:
            return lookups.link_of(self.entity_type)
        return lookups.with_configured_board(self.mappings[0].link)

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The field mappings in their order; empty without a board link."""
        rows = FieldMapping.objects.filter(link__entity_type=self.entity_type).select_related("link")
        return list(rows.order_by("position", "pk"))

    @cached_property
    def mapped(self) -> Mapping[str, FieldMapping]:
        """The mapped fields by key; empty without a board link."""
        return {mapping.key: mapping for mapping in self.mappings}

    @cached_property
    def record(self) -> SyncedModel | None:
        """The record with its related records, or None if it was deleted or its type is not synced."""
        return records_of(self.entity_type, [self.entity_id], self.mappings).get(self.entity_id)

    @cached_property
    def display(self) -> lookups.FieldDisplay:
        """The display of the record's fields."""
        assert self.link is not None
        return lookups.FieldDisplay(self.link, self.mappings, [self.record] if self.record else [])

    @cached_property
    def name(self) -> str:
        """The record's name, or the last name of a deleted record."""
        if self.record is not None:
            return str(self.record)
        last_names = deleted_names(self.entity_type, [self.entity_id]).values()
        return next(iter(last_names), f"a {registry.type_name(self.entity_type)} that was deleted")

    @cached_property
    def sync_state(self) -> SyncMetadata | None:
        """The sync state, or None before the first pass."""
        return SyncMetadata.objects.of(self.entity_type, [self.entity_id]).first()

    def rejected_entry(self, key: str) -> Mapping[str, Any]:
        """Return the sync state's entry of a value that Monday rejected; empty if it or its column changed since."""
        entry = self.sync_state.blocked_fields.get(key) if self.sync_state else None
        mapping = self.mapped.get(key)
        # Without `local` the entry doesn't say which value was rejected.
        if not entry or not is_rejected(entry) or not entry.get("local") or mapping is None or self.record is None:
            return {}
        is_current = field_values.still_holds(self.record, entry["local"]) and mapping.is_current(entry)
        return dict(entry) if is_current else {}

    def item_url(self, item_id: str) -> str:
        """Return the item's address on Monday; empty without a board or item."""
        return addresses.item_url(self.link, item_id) if self.link and self.link.board_id and item_id else ""


def records_of(entity_type: str, ids: Iterable[UUID], mappings: Sequence[FieldMapping]) -> dict[UUID, SyncedModel]:
    """Return records by their ids, with the related records of their mapped fields, by one query."""
    if not registry.is_registered(entity_type):
        return {}
    model = registry.entity(entity_type).model
    rows = model.objects.select_related(*field_values.joined_relations(model, mappings))
    return {row.pk: row for row in rows.filter(pk__in=list(ids))}


def names_of(conflicts: Iterable[SyncConflict]) -> dict[UUID, str]:
    """Return the names of the conflicts' records, also of deleted ones, by the conflicts' ids."""
    keys = {conflict.pk: (conflict.entity_type, conflict.entity_id) for conflict in conflicts}
    names = lookups.record_names(keys.values())
    tombstones = tombstones_of(set(keys.values()) - names.keys())
    names |= {key: field_values.tombstone_name(tombstone) for key, tombstone in tombstones.items()}
    return {pk: names.get(key) or f"a {registry.type_name(key[0])} that was deleted" for pk, key in keys.items()}


CHOICE_LABELS = {
    NPD: "NPD's value",
    BASE: "the last synced value",
    MONDAY: "Monday's value",
    CUSTOM: "a typed value",
    CLOSED_ITSELF: "closed by itself",
}
LOST_CHOICE_LABELS = {**CHOICE_LABELS, NPD: "the value on both sides", MONDAY: "the lost value"}

SHORTCUTS = {NPD: "1", MONDAY: "3"}

# What choosing a side of a rejected value means.
REJECTED_HINTS = {NPD: "Leave both as they are", MONDAY: "Use Monday's"}


@dataclass
class CaseField:
    """A field with the displayed values of both sides and the base, and a person's choice; None is an empty value."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    base: str | None = None  # None also if there is none
    kind: str = ConflictKind.FIELDS  # a ConflictKind, or REJECTED
    converter: str = ""
    note: str = ""  # why it is in conflict, unless both sides just changed it
    undo_note: str = ""  # why its resolution wasn't undone, or that it is in conflict again
    choose: str = ""  # the choice, also one that a pass rejected
    typed: str = ""
    problem: str = ""  # why the choice can't be stored
    seen_values: Sides | None = None  # the values that it was chosen for
    is_new: bool = False  # whether the field joined the conflict after the person saw it
    removed_side: str = ""  # "npd" or "monday" if the record or its item was deleted
    rejected: str = ""  # why Monday rejected NPD's value
    monday_problem: str = ""  # why Monday's value can't replace a rejected one
    editors: Mapping[str, authors.LastEdit] = field(default_factory=dict)  # who wrote each side's value

    def select(self, selection: FieldSelection) -> None:
        self.choose = selection.choose
        self.typed = selection.value or "" if selection.choose == CUSTOM else ""

    @property
    def is_long(self) -> bool:
        return reports.is_long_text(self.converter, self.npd, self.base, self.monday)

    @property
    def sides(self) -> list[dict[str, Any]]:
        """The sides to choose from, in the order of the page."""
        headings = side_headings(self.kind)
        npd = self._side(NPD, headings[0], self.npd, self._marked_parts(self.npd, self.monday))
        monday = self._side(MONDAY, headings[1], self.monday, self._marked_parts(self.monday, self.npd))
        monday["problem"] = self.monday_problem
        if self.kind in (ConflictKind.OVERWRITTEN, REJECTED):
            return [npd, monday]
        base = self._side(BASE, "Last synced", self.base, humanize.diff_parts(self.base, self.npd, self.monday))
        base["is_missing"] = self.base is None
        return [npd, base, monday]

    def _side(self, name: str, heading: str, value: str | None, parts: list[humanize.TextPart]) -> dict[str, Any]:
        before = self.seen_values.get(name) if self.seen_values else None
        return {
            "name": name,
            "heading": heading,
            "value": value,
            "parts": [] if self.removed_side else parts,
            # The base marks the parts that a side lacks; a side marks its new parts.
            "mark": "del" if name == BASE else "ins",
            "shortcut": SHORTCUTS.get(name, ""),
            "hint": REJECTED_HINTS.get(name, "") if self.kind == REJECTED else "",
            "empties": self.effect_of(name).emptied_side,
            "is_missing": name == self.removed_side,
            "editor": self.editors.get(name),
            "changed": self.seen_values is not None and name != BASE and not reports.same_text(value, before),
            "before": before,
        }

    def _marked_parts(self, value: str | None, other: str | None) -> list[humanize.TextPart]:
        base = self.base if self.kind == ConflictKind.FIELDS else None
        parts = humanize.diff_parts(value, base)
        # If the base is too unlike, nothing is marked; then the value is compared with the other side.
        return parts if any(is_marked for _, is_marked in parts) else humanize.diff_parts(value, other)

    @cached_property
    def both(self) -> str:
        """Both sides of a long text merged; empty if one side already has it all."""
        if not self.is_long or self.kind == REJECTED or self.removed_side:
            return ""
        return reports.combined_text(self.npd, self.monday)

    @property
    def seen_json(self) -> str:
        return json.dumps([self.npd, self.monday])

    @property
    def effect(self) -> Effect | None:
        """What the choice does; None without one."""
        return self.effect_of(self.choose, self.typed) if self.choose in SELECTABLE else None

    def effect_of(self, choose: str, typed: str | None = None) -> Effect:
        values = {NPD: self.npd, BASE: self.base, MONDAY: self.monday}
        return Effect.of(choose, values, typed, kind=self.kind)

    @property
    def input_value(self) -> str:
        """The text in the input: the choice's result, or NPD's value if Monday rejected it, to be corrected."""
        if self.effect:
            return self.effect.value or ""
        return (self.npd or "") if self.kind == REJECTED else ""

    @property
    def selected_label(self) -> str:
        labels = LOST_CHOICE_LABELS if self.kind == ConflictKind.OVERWRITTEN else CHOICE_LABELS
        return labels.get(self.choose, "")


def fields_in_conflict(conflict: SyncConflict, context: RecordContext) -> list[CaseField]:
    """Return the fields in conflict, with their editors if a person has to choose."""
    keys = conflict.conflict_fields
    fields = [_field(conflict, context, key) for key in keys]
    if conflict.is_about_record:
        is_deleted = context.record is None
        deletions = authors.last_deletions(conflict.entity_type, [conflict.entity_id]) if is_deleted else {}
        for row in fields:
            row.removed_side = NPD if is_deleted else MONDAY
            if deletion := deletions.get(conflict.entity_id):
                row.editors = {NPD: deletion}
        return fields
    if not conflict.is_open or conflict.is_being_applied:
        return fields
    names = {key: context.mapped[key].fields if key in context.mapped else () for key in keys}
    model = registry.entity(conflict.entity_type).model
    npd_edits = authors.last_npd_edits(model, conflict.entity_id, names)
    for row in fields:
        row.rejected = context.rejected_entry(row.key).get("reason", "")
        editors = {NPD: npd_edits.get(row.key)}
        if stored := conflict.about.get(EDITORS, {}).get(row.key):
            editors[MONDAY] = authors.LastEdit(stored["who"], "", datetime.fromisoformat(stored["at"]))
        row.editors = {side: edit for side, edit in editors.items() if edit}
    return fields


def _field(conflict: SyncConflict, context: RecordContext, key: str) -> CaseField:
    mapping = context.mapped.get(key)
    note = conflict.notes.get(key, "")
    return CaseField(
        key,
        mapping.label if mapping else conflict.label(key),
        npd=conflict.npd_data.get(key),
        monday=conflict.monday_data.get(key),
        base=conflict.base_data.get(key),
        kind=conflict.kind,
        converter=mapping.converter if mapping else "",
        # Nobody has to be told that both sides changed it.
        note="" if code_of(note) == BOTH_CHANGED.code else note,
    )


def resolved_fields(conflict: SyncConflict, context: RecordContext) -> list[CaseField]:
    """Return the fields that left the conflict, with their resolution and its result."""
    if conflict.is_about_record:
        return []
    resolved = []
    for key in conflict.in_order(conflict.merge_selections):
        if conflict.is_open and key in conflict.conflict_fields:
            continue  # its resolution was undone
        entry = conflict.merge_selections[key]
        row = _field(conflict, context, key)
        row.npd = entry[NPD]
        row.base = entry[BASE]
        row.monday = entry[MONDAY]
        row.undo_note = str(entry.get("undo") or "")
        row.choose = entry["choose"]
        row.typed = conflict.resolved_data.get(key) or ""
        resolved.append(row)
    return resolved


def problem_sentences(conflict: SyncConflict, context: RecordContext) -> list[str]:
    """Return sentences about the record's other fields that are blocked, or that Monday stores in another form."""
    problems = _problem_fields(context)
    keys = problems.keys() - conflict.conflict_fields
    return [f"{mapping.label}: {problems[key]['reason']}" for key, mapping in context.mapped.items() if key in keys]


def equal_fields(conflict: SyncConflict, context: RecordContext) -> list[tuple[str, str]]:
    """Return the labels and values of the record's fields that are the same on both sides."""
    if context.record is None or context.link is None or context.sync_state is None:
        return []
    unequal = {*conflict.conflict_fields, *_problem_fields(context)}
    equal = []
    for mapping in context.mappings:
        if mapping.key in unequal:
            continue
        base = base_of(context.sync_state, mapping, context.record.monday_id or "")
        if base is not None:
            local = context.display.current(context.record, mapping)
            agreed = context.display.display_local(context.record, mapping, base["local"])
            # A field edited since the last pass may differ.
            if local == agreed:
                equal.append((mapping.label, local))
    return equal


def _problem_fields(context: RecordContext) -> dict[str, Any]:
    return {**context.sync_state.altered, **context.sync_state.blocked_fields} if context.sync_state else {}


def candidate_columns(conflict: SyncConflict, context: RecordContext) -> list[dict[str, Any]]:
    """Return the record or item of an identity conflict, then its possible duplicates.

    Each has a title, a place, an address, a note, and its values by field.
    """
    candidates = conflict.about.get("candidates") or []
    if not candidates or context.link is None:
        return []
    item = conflict.about.get("item")
    # Only the id of a record is a UUID.
    ids = [as_uuid(candidate["id"]) for candidate in candidates]
    records = records_of(conflict.entity_type, {conflict.entity_id, *filter(None, ids)}, context.mappings)
    display = lookups.FieldDisplay(context.link, context.mappings, list(records.values()))

    def column(place: str, record: SyncedModel | None, stored: Mapping[str, Any], note: str = "") -> dict[str, Any]:
        if record is not None:
            values = {mapping.key: display.current(record, mapping) for mapping in context.mappings}
            url = addresses.record_url(conflict.entity_type, record.pk)
            return {"title": str(record), "place": place, "url": url, "note": note, "values": values}
        url = "" if as_uuid(stored["id"]) else context.item_url(stored["id"])
        title = stored.get("label") or stored["id"]
        return {"title": title, "place": place, "url": url, "note": note, "values": stored.get("values") or {}}

    columns = []
    if item:
        columns.append(column("The item on Monday", None, item))
    elif conflict.entity_id in records:
        own_place = f"This {registry.type_name(conflict.entity_type)} in NPD"
        columns.append(column(own_place, records[conflict.entity_id], {}))
    for candidate, record_id in zip(candidates, ids, strict=True):
        note = ""
        if linked_to := candidate.get("linked_to"):
            note = f"Has the item {linked_to} already." if record_id else "Belongs to another record already."
        if linked_to == str(conflict.entity_id):
            note = f"Has this {registry.type_name(conflict.entity_type)}'s NPD ID."
        record = records.get(record_id) if record_id else None
        columns.append(column("In NPD" if record_id else "On Monday", record, candidate, note))
    return columns


def compared_lines(context: RecordContext, columns: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Return a line for each field with a value: its label, the columns' texts, and whether each differs."""
    lines = []
    for key, mapping in context.mapped.items():
        # A column without any value is of an item that nobody has read.
        texts = [column["values"].get(key, "") if column["values"] else "not read" for column in columns]
        if any(texts):
            cells = [(text, text != texts[0] and text != "not read") for text in texts]
            lines.append((mapping.label, cells))
    return lines
