"""A conflict prepared for a page: its state as a sentence, a row per field, or the record's options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from conflicts import conflict_queries
from conflicts.conflict_context import ConflictContext
from conflicts.conflict_queries import FieldEditor
from conflicts.lifecycle import CLOSING_NOTE, chosen_option, offered_options, resolved_by_people
from conflicts.models import AUTO, BASE, CHOICES, CUSTOM, MONDAY, NPD, ConflictKind, SyncConflict
from conflicts.text_diff import DiffPart, base_diff_parts, both_texts, diff_parts
from conflicts.validation import Effect, Sides, effect_of, fields_with_base, quote_value, same_text, selection_effect
from sync import connectors, registry
from sync.choices import QueueDirection
from sync.kernel.conflict_store import RECORD_KEY
from sync.merge import FieldSelection
from sync.models import FieldMapping, SyncedModel
from sync.reconcile.field_plan import base_of
from sync.reconcile.field_values import FieldDisplay
from sync.records import availability
from sync.registry import record_url, type_name

OPEN, APPLYING, HANDED_BACK, PARTLY = "open", "applying", "handed_back", "partly"
SETTLED, UNDOING = "settled", "undoing"

STATE_LABELS: dict[str, str] = {
    OPEN: "open",
    APPLYING: "being applied",
    HANDED_BACK: "returned",
    PARTLY: "partly resolved",
    SETTLED: "resolved",
    UNDOING: "being undone",
}


@dataclass(frozen=True)
class Progress:
    """`state` is one of the constants above; `sentence` says it; `delay_reason` is why it takes longer."""

    state: str
    sentence: str
    delay_reason: str = ""
    is_undoable: bool = False

    @property
    def is_final(self) -> bool:
        """Whether asking again can't tell anything new."""
        return self.state not in (APPLYING, UNDOING)

    def to_json(self) -> dict[str, Any]:
        """Return what the script of a page asks for."""
        return {
            "state": self.state,
            "sentence": self.sentence,
            "waits": self.delay_reason,
            "final": self.is_final,
            "undo": self.is_undoable,
        }


def state_of(conflict: SyncConflict) -> str:
    """Return the state alone; no query."""
    if not conflict.is_open:
        return UNDOING if conflict.is_being_undone else SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_resolution.handed_back or conflict.resolution_problem:
        return HANDED_BACK
    return PARTLY if set(conflict.merge_selections) - set(conflict.conflict_fields) else OPEN


def conflict_progress(
    conflict: SyncConflict, context: ConflictContext | None = None, *, with_delay: bool = True
) -> Progress:
    """Return the state with its sentence; without `with_delay` there is no query."""
    state = state_of(conflict)
    if state == SETTLED:
        return Progress(state, _resolved_sentence(conflict), is_undoable=True)
    if state == UNDOING:
        keys = conflict.labels(conflict.stored_resolution.fields)
        return Progress(
            state,
            f"Being undone: {keys}. The next sync checks that neither side has changed since.",
            _delay_reason(conflict, context) if with_delay else "",
        )
    if state == APPLYING:
        delay_reason = _delay_reason(conflict, context) if with_delay else ""
        return Progress(state, f"Being applied: {_resolution_sentence(conflict)}", delay_reason)
    if state == HANDED_BACK:
        sentences = [_applied_sentence(conflict), "Not applied:", conflict.resolution_problem.replace("\n", " ")]
        return Progress(state, " ".join(filter(None, sentences)))
    if conflict.is_about_record:
        return Progress(state, f"Still open: {conflict.what}")
    still_open = f"Still open: {conflict.labels(conflict.conflict_fields)}."
    return Progress(state, f"{_applied_sentence(conflict)} {still_open}" if state == PARTLY else still_open)


def _delay_reason(conflict: SyncConflict, context: ConflictContext | None) -> str:
    """What keeps a look from carrying out what was chosen: the account, the board, or a field that can't be read."""
    if reason := availability.of(conflict.entity_type).toward(QueueDirection.TO_MONDAY).blocked_reason:
        return reason
    ledger = (context or ConflictContext.of(conflict)).ledger
    blocked = ledger.blocked_fields if ledger else {}
    return " ".join(blocked[key]["reason"] for key in conflict.stored_resolution.fields if key in blocked)


def _resolved_sentence(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(CLOSING_NOTE, ""))
    by_itself = [key for key, entry in conflict.merge_selections.items() if entry["choose"] == AUTO]
    ended = f"{conflict.labels(by_itself)}: closed by itself." if by_itself else ""
    if not conflict.merge_selections:
        ended = "It closed by itself."
    elif not by_itself:
        note = ""  # it would repeat that everything was resolved
    reasons = {key: entry["undo"] for key, entry in conflict.merge_selections.items() if entry.get("undo")}
    not_undone = [f"Undo of {conflict.label(key)}: {reason}" for key, reason in reasons.items()]
    return " ".join(filter(None, [_applied_sentence(conflict), ended, note, *not_undone]))


def _applied_sentence(conflict: SyncConflict) -> str:
    """What was written where, for the fields that people resolved."""
    if conflict.is_about_record:
        entry = conflict.merge_selections.get(RECORD_KEY, {})
        label = f"“{entry['label']}” was chosen." if entry.get("label") else ""
        return f"{label} {conflict.resolved_data.get(RECORD_KEY) or ''}".strip()
    phrases = []
    for key, entry in resolved_by_people(conflict).items():
        if conflict.is_open and key in conflict.conflict_fields:
            continue  # it was resolved, and that was undone
        result = conflict.resolved_data.get(key)
        sides = {side: entry[side] for side in ("npd", "base", "monday")}
        effect = effect_of(entry["choose"], **sides, value=result, kind=conflict.kind)
        phrases.append(f"{conflict.label(key)} is {quote_value(result)}, {effect.written}")
    return f"Resolved: {'; '.join(phrases)}." if phrases else ""


def _resolution_sentence(conflict: SyncConflict) -> str:
    if conflict.is_about_record:
        selection = conflict.stored_resolution.fields[RECORD_KEY]
        option = chosen_option(conflict, selection)
        return f"“{option.label}”. {option.effect}" if option else f"{selection.choose}."
    phrases = [
        f"{conflict.label(key)} becomes {quote_value(selection_effect(conflict, key, selection).value)}"
        for key, selection in conflict.stored_resolution.fields.items()
    ]
    return f"{'; '.join(phrases)}."


# A conflict prepared for its screen: a row per field, and what the other fields have.


VALUE_LABELS = {
    "npd": "NPD’s value",
    "base": "the last synced value",
    "monday": "Monday’s value",
    "custom": "a typed value",
    "auto": "closed by itself",
}

LOST_UPDATE_LABELS = {**VALUE_LABELS, "npd": "the value on both sides", "monday": "the overwritten value"}

REJECTED = "rejected"
"""Stands in place of a conflict's kind for a field whose value Monday rejected."""


@dataclass(frozen=True)
class Side:
    """One side of a field's row: what it holds, and `off`, why it can't be chosen, where it can't.

    `hint` says what choosing it means and `leads` what it leads to, where the page's script can't tell; `before` is the
    value that the person saw, where that is another now.
    """

    name: str
    heading: str
    value: str | None
    parts: Sequence[DiffPart] = ()
    hint: str = ""
    leads: str = ""
    off: str = ""
    is_empty: bool = False
    editor: FieldEditor | None = None
    changed: bool = False
    before: str | None = None

    @property
    def shortcut(self) -> str:
        """The key that chooses it."""
        return {NPD: "1", BASE: "2", MONDAY: "3"}[self.name]

    @property
    def mark(self) -> str:
        """The element around what differs: of the base what a side lacks, of a side what is new in it."""
        return "del" if self.name == BASE else "ins"


@dataclass
class FieldRow:
    """One field of the screen: `pick` and `value` are the person's choice, `problem` what is wrong with it.

    `removed_side` is the side, npd or monday, that has nothing any more since the record or its item was
    deleted; `monday_problem` is why the value that Monday has instead of a rejected one can't be used.
    """

    key: str
    label: str
    npd: str | None
    base: str | None
    monday: str | None
    has_base: bool = True
    long: bool = False
    note: str = ""
    pick: str = ""
    value: str = ""
    problem: str = ""
    before: Sides = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    is_new: bool = False
    kind: str = ConflictKind.FIELDS
    removed_side: str = ""
    monday_problem: str = ""
    npd_by: FieldEditor | None = None
    monday_by: FieldEditor | None = None

    @property
    def sides(self) -> list[Side]:
        """The sides to choose among, in the order of the page: with the base where the two sides have one."""
        has_third = self.kind not in (ConflictKind.OVERWRITTEN, REJECTED)
        base = self.base if self.has_base and self.kind == ConflictKind.FIELDS else None
        headings = {NPD: "NPD", MONDAY: "Monday"}
        if self.kind == ConflictKind.OVERWRITTEN:
            headings = {NPD: "Now", MONDAY: "Overwritten"}
        npd, monday = (
            Side(
                name,
                headings[name],
                value,
                () if self.removed_side else _marked_parts(value, base, other),
                is_empty=self.removed_side == name,
                editor=editor,
                changed=name in self.changed,
                before=self.before.get(name),
            )
            for name, value, other, editor in (
                (NPD, self.npd, self.monday, self.npd_by),
                (MONDAY, self.monday, self.npd, self.monday_by),
            )
        )
        if self.kind == REJECTED:
            stays = "Kept different: it isn’t sent until it or its column changes"
            npd = replace(npd, hint="keep different, don’t sync this value", leads=stays)
            monday = replace(monday, hint="use it", leads="NPD changes, Monday stays", off=self.monday_problem)
        if not has_third:
            return [npd, monday]
        parts = () if self.removed_side else base_diff_parts(self.base, self.npd, self.monday)
        return [npd, Side(BASE, "Last synced", self.base, parts, is_empty=not self.has_base), monday]

    @cached_property
    def both(self) -> str:
        """Of a long text both sides in one, where that says more than either; else empty."""
        if not self.long or self.kind == REJECTED or self.removed_side:
            return ""
        found = both_texts(self.npd, self.monday)
        return "" if any(same_text(found, side) for side in (self.npd, self.monday)) else found

    @property
    def seen(self) -> str:
        """The values on the screen, as they travel with the form."""
        return json.dumps([self.npd, self.monday])

    @property
    def effect(self) -> Effect | None:
        """What the present choice leads to; None while nothing is chosen, and of a rejected value."""
        if self.pick not in CHOICES or self.kind == REJECTED:
            return None
        sides = {"npd": self.npd, "base": self.base, "monday": self.monday}
        return effect_of(self.pick, **sides, value=self.value, kind=self.kind)

    @property
    def input_value(self) -> str:
        """The text in the input: what the choice leads to; of a rejected value at first NPD's, to be corrected."""
        if self.kind == REJECTED:
            return {CUSTOM: self.value, MONDAY: self.monday or ""}.get(self.pick, self.npd or "")
        return (self.effect.value or "") if self.effect else ""

    @property
    def selected_label(self) -> str:
        """The choice in words."""
        labels = LOST_UPDATE_LABELS if self.kind == ConflictKind.OVERWRITTEN else VALUE_LABELS
        return labels.get(self.pick, "")


def _marked_parts(value: str | None, base: str | None, other: str | None) -> list[DiffPart]:
    # Against the base; where the two are nothing alike, against the other side's value.
    marked = diff_parts(value, base)
    return marked if any(part.marked for part in marked) else diff_parts(value, other)


def new_row(
    key: str,
    label: str,
    selection: FieldSelection,
    *,
    npd: str | None,
    monday: str | None,
    base: str | None = None,
    converter: str = "",
    **more: Any,
) -> FieldRow:
    """Return a field's row with what was chosen in it; a value of several lines gets an input of several lines."""
    has_lines = any("\n" in (text or "") for text in (npd, base, monday))
    long = has_lines or converter in connectors.get().multiline_converters
    value = selection.value or "" if selection.choose == CUSTOM else ""
    return FieldRow(key, label, npd, base, monday, long=long, pick=selection.choose, value=value, **more)


def both_values(conflict: SyncConflict) -> dict[str, str]:
    """Both sides in one of each long text in conflict, for who types nothing but uses both; no query."""
    specs = [entity.mappings for entity in registry.entities() if entity.entity_type == conflict.entity_type]
    converters = {spec.key: spec.converter for mappings in specs for spec in mappings}
    fields = [] if conflict.is_about_record else conflict.conflict_fields
    rows = [
        new_row(key, "", FieldSelection(""), **conflict.sides(key), converter=converters.get(key, "")) for key in fields
    ]
    return {row.key: row.both for row in rows if row.both}


@dataclass(frozen=True)
class SubmittedForm:
    """What a person sent: the values seen, and a choice by field."""

    seen: Mapping[str, Sides] = field(default_factory=dict)
    chosen: Mapping[str, FieldSelection] = field(default_factory=dict)


def open_rows(
    conflict: SyncConflict,
    context: ConflictContext,
    form: SubmittedForm | None = None,
    problems: Mapping[str, str] | None = None,
) -> list[FieldRow]:
    """The rows to choose in; what was posted, or handed back by a pass, stays chosen."""
    mapped, with_base = context.mapped, fields_with_base(conflict, context)
    resolution = conflict.stored_resolution
    chosen = form.chosen if form else {**resolution.handed_back, **resolution.fields}
    seen = (
        form.seen if form else {key: {NPD: one.npd, MONDAY: one.monday} for key, one in resolution.handed_back.items()}
    )
    rows = []
    for key in conflict.conflict_fields:
        selection = chosen.get(key, FieldSelection(""))
        row = _row(conflict, key, mapped, selection)
        row.has_base = key in with_base
        row.problem = (problems or {}).get(key, "" if form else resolution.reasons.get(key, ""))
        row.is_new = form is not None and key not in seen
        mark_changes(row, seen)
        rows.append(row)
    return rows


def name_editors(rows: Sequence[FieldRow], conflict: SyncConflict, context: ConflictContext) -> None:
    """Put on each row who gave each side its value, as far as that is known."""
    in_npd = conflict_queries.npd_editors(conflict, context.mapped)
    on_monday = conflict_queries.monday_editors(conflict, context.mappings)
    for row in rows:
        row.npd_by, row.monday_by = in_npd.get(row.key), on_monday.get(row.key)


def _row(conflict: SyncConflict, key: str, mapped: Mapping[str, FieldMapping], selection: FieldSelection) -> FieldRow:
    known = mapped.get(key)
    return new_row(
        key,
        known.label if known else conflict.label(key),
        selection,
        **conflict.sides(key),
        base=conflict.base_data.get(key),
        converter=known.converter if known else "",
        note=conflict.notes.get(key, ""),
        kind=conflict.kind,
    )


def mark_changes(row: FieldRow, seen: Mapping[str, Sides]) -> None:
    """Mark the sides that have changed since the person saw them."""
    if row.key in seen:
        row.before = seen[row.key]
        now = {"npd": row.npd, "monday": row.monday}
        row.changed = tuple(side for side in now if not same_text(now[side], row.before.get(side)))


def resolved_rows(conflict: SyncConflict, context: ConflictContext) -> list[FieldRow]:
    """The fields that left the conflict, with their resolution and its result."""
    if conflict.is_about_record:
        return []
    mapped = context.mapped
    rows = []
    for key, entry in conflict.merge_selections.items():
        if conflict.is_open and key in conflict.conflict_fields:
            continue
        row = _row(conflict, key, mapped, FieldSelection(entry["choose"]))
        row.npd, row.base, row.monday = entry["npd"], entry["base"], entry["monday"]
        row.value = conflict.resolved_data.get(key) or ""
        row.has_base = row.base is not None
        row.note = str(entry.get("undo") or "")
        rows.append(row)
    return rows


def edited_rows(conflict: SyncConflict, context: ConflictContext) -> list[FieldRow]:
    """Of a delete, the fields that were edited on the side that still exists."""
    removed_side = NPD if context.record is None else MONDAY
    rows = [_row(conflict, key, context.mapped, FieldSelection("")) for key in conflict.conflict_fields]
    for row in rows:
        row.removed_side, row.has_base = removed_side, row.base is not None
    return rows


def closed_fields(conflict: SyncConflict, form: SubmittedForm | None) -> list[str]:
    """Labels of fields that the person saw in conflict and that have left it since."""
    seen = form.seen if form else {}
    closed = [key for key in seen if key not in conflict.conflict_fields and key != RECORD_KEY]
    return [conflict.label(key) for key in closed]


def blocked_sentences(conflict: SyncConflict, context: ConflictContext) -> list[str]:
    """Sentences about the other fields that are blocked, as the last pass found them."""
    problems = _problem_fields(context)
    others = [known for key, known in context.mapped.items() if key not in conflict.conflict_fields]
    reasons = {known.label: problems.get(known.key, {}).get("reason") for known in others}
    return [f"{label} is blocked: {reason}" for label, reason in reasons.items() if reason]


def equal_fields(conflict: SyncConflict, context: ConflictContext) -> list[tuple[str, str]]:
    """The other fields that are the same on both sides, each with its value."""
    known = {*conflict.conflict_fields, *_problem_fields(context)}
    others = [mapping for mapping in context.mappings if mapping.key not in known]
    if context.record is None or context.link is None or context.ledger is None or not others:
        return []
    display, equal = FieldDisplay(context.link, others, [context.record]), []
    for one in others:
        if (base := base_of(context.ledger, one, context.record.monday_id or "")) is not None:
            local, agreed, _ = display.sides(context.record, one, base)
            # One that was edited since the last pass is not known to be equal.
            if local == agreed:
                equal.append((one.label, local))
    return equal


def _problem_fields(context: ConflictContext) -> dict[str, Any]:
    return {**context.ledger.altered, **context.ledger.blocked_fields} if context.ledger else {}


# A conflict about the record itself prepared for its screen: options, and possible duplicates side by side.


@dataclass(frozen=True)
class CandidateColumn:
    """One record or item among those that could be the same."""

    title: str
    where: str
    url: str = ""
    note: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def screen_options(conflict: SyncConflict, form: Mapping[str, FieldSelection] | None = None) -> list[dict[str, Any]]:
    """The options, each with the `name` that the form sends; what was posted, chosen, or handed back stays chosen."""
    resolution = conflict.stored_resolution
    chosen = form if form is not None else {**resolution.handed_back, **resolution.fields}
    selection = chosen.get(RECORD_KEY, FieldSelection(""))
    wanted = selection.choose, selection.value or ""
    return [
        {
            "name": f"{one.choose} {one.value}".strip(),
            "label": one.label,
            "effect": one.effect,
            "deletes": one.deletes,
            "chosen": (one.choose, one.value) == wanted,
        }
        for one in offered_options(conflict)
    ]


def seen_values(conflict: SyncConflict) -> list[tuple[str, str]]:
    """What the screen shows, as it travels with the form: a name and JSON."""
    values = {key: list(conflict.sides(key).values()) for key in conflict.conflict_fields}
    return [(key, json.dumps(pair)) for key, pair in (values | {RECORD_KEY: [conflict.what, None]}).items()]


def candidate_columns(conflict: SyncConflict, context: ConflictContext) -> list[CandidateColumn]:
    """The record (or the item) in question, and beside it every possible duplicate; those in NPD by one query."""
    candidates = conflict.about.get("candidates") or []
    if conflict.kind != ConflictKind.IDENTITY or not candidates:
        return []
    keys = {key for candidate in candidates if (key := _record_id(candidate))}
    records = context.records(keys) if keys else {}
    in_npd = [*records.values(), *([context.record] if context.record else [])]
    display = FieldDisplay(context.link, context.mappings, in_npd) if context.link else None

    def of_record(record: SyncedModel, where: str, note: str = "") -> CandidateColumn:
        values = (
            {mapping.key: display.sides(record, mapping, None)[0] for mapping in context.mappings} if display else {}
        )
        return CandidateColumn(str(record), where, record_url(conflict.entity_type, record.pk), note, values)

    def of_candidate(one: Mapping[str, Any]) -> CandidateColumn:
        key, values = _record_id(one), one.get("values") or {}
        note = f"Has the item {one['linked_to']} already." if one.get("linked_to") else ""
        if key in records:
            return of_record(records[key], "In NPD", note)
        label = str(one.get("label") or one.get("id"))
        if key:
            return CandidateColumn(label, "In NPD", note=note, values=values)
        note = "Belongs to another record already." if note else ""
        return CandidateColumn(label, "On Monday", context.item_url(str(one.get("id") or "")), note, values)

    found = [of_candidate(candidate) for candidate in candidates]
    if conflict.about.get("item") or conflict.entity_id in keys:
        item = conflict.about.get("item") or {"id": conflict.monday_item_id}
        title, url = item.get("label") or f"Item {item['id']}", context.item_url(str(item["id"]))
        return [CandidateColumn(title, "The item on Monday", url, values=item.get("values") or {}), *found]
    if context.record is None:
        return found
    return [of_record(context.record, f"This {type_name(conflict.entity_type)} in NPD"), *found]


def comparison_lines(
    context: ConflictContext, columns: Sequence[CandidateColumn]
) -> list[tuple[str, list[tuple[str, bool]]]]:
    """The fields in which any column has a value, each cell with whether it differs from the first column."""
    lines = []
    for key, known in context.mapped.items():
        texts = [column.values.get(key, "") for column in columns]
        if any(texts):
            lines.append((known.label, [(text, text != texts[0]) for text in texts]))
    return lines


def _record_id(candidate: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(candidate.get("id", "")))
    except ValueError:
        return None  # an item of the board
