"""What is displayed of a conflict, or of a value that Monday rejected: one `Case`, whoever shows it.

What a reader needs decides how it is made: `listed_case` of the stored row alone, `screen_case` with all that stands
around a choice. Neither asks more where there are more fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from conflicts.history import quote_value
from conflicts.lifecycle import (
    CLOSING_NOTE,
    Effect,
    Sides,
    applied_effect,
    chosen_option,
    effect_of,
    offered_options,
    resolved_parts,
    same_text,
    selection_effect,
)
from conflicts.models import AUTO, BASE, CHOICES, CUSTOM, MONDAY, NPD, ConflictKind, SyncConflict, default_label
from conflicts.reports import KIND_LOST_UPDATE, KIND_REPLACED, RECORD_KEY
from conflicts.text_diff import DiffPart, both_texts, diff_parts, excerpts
from sync import registry
from sync.kernel import humanize
from sync.merge import FieldSelection
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata
from sync.monday.conversion import Converter
from sync.reconcile.field_plan import base_of
from sync.reconcile.lookups import FieldDisplay, converter_for
from sync.records import availability
from sync.records.authors import Edit, monday_editors, npd_editors
from sync.records.tombstones import deleted_record_names
from sync.registry import item_url, link_of, mappings_of, record_url, type_name, with_configured_board

# What is said of a choice.
VALUE_LABELS = {
    "npd": "NPD's value",
    "base": "the last synced value",
    "monday": "Monday's value",
    "custom": "a typed value",
    "auto": "closed by itself",
    "anew": "now a question of its own",
}

LOST_UPDATE_LABELS = {**VALUE_LABELS, "npd": "the value on both sides", "monday": "the overwritten value"}

# What both sides have now and what was lost, by why: what the two are called, and what choosing either does.
LOST_SIDES = {KIND_LOST_UPDATE: ("Now", "Overwritten"), KIND_REPLACED: ("Now", "In the old column")}


class ConflictContext:
    """Each part is read when first asked for; `mappings` are those that were read already, with their links."""

    def __init__(self, entity_type: str, entity_id: UUID, mappings: Sequence[FieldMapping] = ()) -> None:
        self.entity_type = entity_type
        self.entity_id = entity_id
        self._given_mappings = [mapping for mapping in mappings if mapping.link.entity_type == entity_type]

    @classmethod
    def of(cls, conflict: SyncConflict, mappings: Sequence[FieldMapping] = ()) -> ConflictContext:
        return cls(conflict.entity_type, conflict.entity_id, mappings)

    @cached_property
    def link(self) -> BoardLink | None:
        return (
            with_configured_board(self._given_mappings[0].link) if self._given_mappings else link_of(self.entity_type)
        )

    @cached_property
    def mappings(self) -> Sequence[FieldMapping]:
        """The field mappings, in their order; none without a board link."""
        if self._given_mappings:
            return sorted(self._given_mappings, key=lambda mapping: (mapping.position, mapping.pk))
        return mappings_of(self.link) if self.link is not None else []

    @cached_property
    def mapped(self) -> Mapping[str, FieldMapping]:
        """The mapped fields by key, as the board's mappings say, else as their application proposes."""
        if self.link is not None:
            return {mapping.key: mapping for mapping in self.mappings}
        return {
            spec.key: FieldMapping(
                key=spec.key, label=spec.label, fields=list(spec.fields), converter=spec.converter,
                required=spec.required, options={},
            )
            for spec in registry.entity(self.entity_type).mappings
        }  # fmt: skip

    def converter(self, key: str) -> Converter:
        assert self.record is not None
        return converter_for(self.mapped[key], self.record)

    @cached_property
    def record(self) -> SyncedModel | None:
        """The record with what its fields point at; None where it was deleted or its type is not synced."""
        return self.records([self.entity_id]).get(self.entity_id)

    def records(self, keys: Iterable[UUID]) -> dict[UUID, SyncedModel]:
        """Return records of this type by their ids, with what their fields point at; one query."""
        try:
            model = registry.entity(self.entity_type).model
        except registry.UnknownEntity:
            return {}
        mapped_names = [name for mapping in self.mapped.values() for name in mapping.fields]
        names = dict.fromkeys([*model.sync_related, *mapped_names])
        related = [name for name in names if model._meta.get_field(name).is_relation]
        rows = model._default_manager.select_related(*related)
        return {row.pk: row for row in rows.filter(pk__in=list(keys))}

    @cached_property
    def name(self) -> str:
        """The record's name; of a deleted one its last name, or words for an unknown one."""
        if self.record is not None:
            return str(self.record)
        last_names = deleted_record_names([(self.entity_type, self.entity_id)]).values()
        return next(iter(last_names), f"a {registry.type_name(self.entity_type)} that was deleted")

    @cached_property
    def ledger(self) -> SyncMetadata | None:
        """What the last pass found, or None before the first one."""
        return SyncMetadata.objects.of(self.entity_type, [self.entity_id]).first()

    def item_url(self, item_id: str) -> str:
        """Return the item's page on Monday; empty where there is no board or item."""
        has_item = self.link is not None and self.link.board_id and item_id
        return item_url(self.link, item_id) if has_item and self.link else ""


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
    """How far a conflict, or the answer to a rejected value, is."""

    state: str  # one of the constants above
    sentence: str
    delay_reason: str = ""  # why it takes longer
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
    if conflict.is_being_undone:
        return UNDOING
    if not conflict.is_open:
        return SETTLED
    if conflict.is_being_applied:
        return APPLYING
    if conflict.stored_resolution.handed_back or conflict.resolution_problem:
        return HANDED_BACK
    return PARTLY if resolved_parts(conflict) else OPEN


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
    has_parts = bool(resolved_parts(conflict))
    if state == HANDED_BACK:
        sentences = [_applied_sentence(conflict), "Not applied:", conflict.resolution_problem.replace("\n", " ")]
        return Progress(state, humanize.without_request_id(" ".join(filter(None, sentences))), is_undoable=has_parts)
    if conflict.is_about_record:
        return Progress(state, f"Still open: {conflict.what}")
    still_open = f"Still open: {conflict.labels(conflict.conflict_fields)}."
    return Progress(state, f"{_applied_sentence(conflict)} {still_open}".strip(), is_undoable=has_parts)


def _delay_reason(conflict: SyncConflict, context: ConflictContext | None) -> str:
    """What keeps a look from carrying out what was chosen: the account, the board, or a field that can't be read."""
    if reason := availability.of(conflict.entity_type).blocked_reason:
        return humanize.without_request_id(reason)
    ledger = (context or ConflictContext.of(conflict)).ledger
    blocked = ledger.blocked_fields if ledger else {}
    return " ".join(blocked[key]["reason"] for key in conflict.stored_resolution.fields if key in blocked)


def _resolved_sentence(conflict: SyncConflict) -> str:
    note = str(conflict.notes.get(CLOSING_NOTE, ""))
    entries = conflict.merge_selections
    left = [key for key in conflict.in_order(entries) if entries[key]["choose"] == AUTO]
    # What closed the conflict is no reason for a field that had left it before.
    whys = {key: str(entries[key].get("why", note)) for key in left}
    of_why = {why: [key for key in left if whys[key] == why] for why in whys.values()}
    ended = [] if entries else [f"It closed by itself. {note}"]
    for why, keys in of_why.items():
        anew = [key for key in keys if "asked_in" in entries[key]]
        rest = [key for key in keys if key not in anew]
        ended += [f"{conflict.labels(anew)}: now a question of its own."] if anew else []
        ended += [f"{conflict.labels(rest)}: closed by itself. {why}".strip()] if rest else []
    reasons = {key: entry["undo"] for key, entry in conflict.merge_selections.items() if entry.get("undo")}
    not_undone = [f"Undo of {conflict.label(key)}: {reason}" for key, reason in reasons.items()]
    return " ".join(filter(None, [_applied_sentence(conflict), *(sentence.strip() for sentence in ended), *not_undone]))


def _applied_sentence(conflict: SyncConflict) -> str:
    """What was written where, for the fields that people resolved."""
    if conflict.is_about_record:
        entry = conflict.merge_selections.get(RECORD_KEY, {})
        label = f"“{entry['label']}” was chosen." if entry.get("label") else ""
        return f"{label} {conflict.resolved_data.get(RECORD_KEY) or ''}".strip()
    phrases = []
    for key in resolved_parts(conflict):
        result = quote_value(conflict.resolved_data.get(key))
        phrases.append(f"{conflict.label(key)} is {result}, {applied_effect(conflict, key).written}")
    return f"Resolved: {'; '.join(phrases)}." if phrases else ""


def _resolution_sentence(conflict: SyncConflict) -> str:
    if conflict.is_about_record:
        selection = conflict.stored_resolution.fields[RECORD_KEY]
        option = chosen_option(conflict, selection)
        return f"“{option.label}”. {option.effect}" if option else f"{selection.choose}."
    chosen = conflict.stored_resolution.fields
    phrases = [
        f"{conflict.label(key)} becomes {quote_value(selection_effect(conflict, key, chosen[key]).value)}"
        for key in conflict.in_order(chosen)
    ]
    return f"{'; '.join(phrases)}."


# One field as it is displayed: its sides with what differs in them, what is chosen, and what that leads to.


ASKED_ANEW = "anew"
"""Stands in place of a choice for a field that another conflict asks about since."""

REJECTED = "rejected"
"""Stands in place of a conflict's kind for a field whose value Monday rejected."""


SHORTCUTS = {NPD: "1", MONDAY: "3"}
"""The keys that choose a side, or the option that means it."""


@dataclass(frozen=True)
class Side:
    """One side of a field, or its base, with what it holds."""

    name: str  # npd, base or monday
    heading: str
    value: str | None
    parts: Sequence[DiffPart] = ()
    hint: str = ""  # what choosing it means
    leads: str = ""  # what choosing it leads to, where the page's script can't tell
    empties: str = ""  # where choosing it removes what is there
    off: str = ""  # why it can't be chosen
    is_empty: bool = False  # whether there is no such value at all: never synced, or deleted
    editor: Edit | None = None
    changed: bool = False  # whether it is another value than the person saw
    before: str | None = None  # the value that the person saw

    @property
    def shortcut(self) -> str:
        return SHORTCUTS.get(self.name, "")

    @property
    def mark(self) -> str:
        """The element around what differs: of the base what a side lacks, of a side what is new in it."""
        return "del" if self.name == BASE else "ins"


@dataclass(frozen=True)
class Choice:
    """What a person chose for a field, or a pass handed back."""

    pick: str = ""
    value: str = ""
    problem: str = ""
    seen: Sides | None = None  # the values that it was made for
    is_new: bool = False  # whether the field joined the conflict after the person saw it

    @classmethod
    def of(cls, selection: FieldSelection, **more: Any) -> Choice:
        """Return the choice of what a form or a pass names; a side brings no value of its own."""
        return cls(selection.choose, selection.value or "" if selection.choose == CUSTOM else "", **more)


@dataclass(frozen=True)
class CaseField:
    """A field with both sides' values and their base, as people read them."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    base: str | None = None
    kind: str = ConflictKind.FIELDS
    converter: str = ""
    has_base: bool = True
    note: str = ""
    choice: Choice = Choice()
    removed_side: str = ""  # npd or monday: the side that has nothing since the record or its item was deleted
    monday_problem: str = ""  # why Monday's value can't be used in place of a rejected one
    npd_by: Edit | None = None
    monday_by: Edit | None = None
    is_replaced: bool = False  # whether Monday's value was lost with a column that was replaced

    @property
    def long(self) -> bool:
        has_lines = any("\n" in (text or "") for text in (self.npd, self.base, self.monday))
        return has_lines or self.converter == "long_text"

    @property
    def sides(self) -> list[Side]:
        """The sides to choose among, in the order of the page: with the base where the two sides have one."""
        npd = self._side(NPD, self.npd, self.monday, self.npd_by)
        monday = self._side(MONDAY, self.monday, self.npd, self.monday_by)
        if self.kind == REJECTED:
            stays = "Kept different: it isn't sent until it or its column changes"
            npd = replace(npd, hint="Keep different, don't sync", leads=stays)
            monday = replace(monday, hint="Use Monday's", leads="NPD changes, Monday stays", off=self.monday_problem)
        parts = () if self.removed_side else diff_parts(self.base, self.npd, self.monday)
        base = Side(BASE, "Last synced", self.base, parts, is_empty=not self.has_base)
        has_base = self.kind not in (ConflictKind.OVERWRITTEN, REJECTED)
        return [
            replace(side, empties=self.effect_of(side.name).emptied_side)
            for side in ([npd, base, monday] if has_base else [npd, monday])
        ]

    def _side(self, name: str, value: str | None, other: str | None, editor: Edit | None) -> Side:
        is_lost = self.kind == ConflictKind.OVERWRITTEN
        names = LOST_SIDES[KIND_REPLACED if self.is_replaced else KIND_LOST_UPDATE] if is_lost else ("NPD", "Monday")
        base = self.base if self.has_base and self.kind == ConflictKind.FIELDS else None
        parts = diff_parts(value, base) if not self.removed_side else []
        if parts and not any(part.marked for part in parts):
            parts = diff_parts(value, other)  # against the base nothing is marked where the two are nothing alike
        seen = self.choice.seen
        before = seen.get(name) if seen else None
        return Side(
            name,
            names[name == MONDAY],
            value,
            parts,
            is_empty=self.removed_side == name,
            editor=editor,
            changed=seen is not None and not same_text(value, before),
            before=before,
        )

    @property
    def excerpts(self) -> dict[str, list[DiffPart]]:
        """Both sides on one line around their first difference, by side."""
        npd, monday = excerpts(self.npd, self.monday)
        return {NPD: npd, MONDAY: monday}

    @cached_property
    def both(self) -> str:
        """Of a long text both sides in one, where that says more than either; else empty."""
        if not self.long or self.kind == REJECTED or self.removed_side:
            return ""
        both = both_texts(self.npd, self.monday)
        return "" if same_text(both, self.npd) or same_text(both, self.monday) else both

    @property
    def seen(self) -> str:
        return json.dumps([self.npd, self.monday])

    @property
    def effect(self) -> Effect | None:
        """What the present choice leads to; None while nothing is chosen, and of a rejected value."""
        if self.choice.pick not in CHOICES or self.kind == REJECTED:
            return None
        return self.effect_of(self.choice.pick, self.choice.value)

    def effect_of(self, choose: str, value: str | None = None) -> Effect:
        """Return what a choice leads to; a rejected value that is kept changes nothing."""
        if self.kind == REJECTED and choose == NPD:
            return Effect(self.npd, npd_changes=False, monday_changes=False)
        return effect_of(choose, npd=self.npd, base=self.base, monday=self.monday, value=value, kind=self.kind)

    @property
    def input_value(self) -> str:
        """The text in the input: what the choice leads to; of a rejected value at first NPD's, to be corrected."""
        if self.kind == REJECTED:
            return {CUSTOM: self.choice.value, MONDAY: self.monday or ""}.get(self.choice.pick, self.npd or "")
        return (self.effect.value or "") if self.effect else ""

    @property
    def selected_label(self) -> str:
        if self.is_replaced and self.choice.pick == MONDAY:
            return "the old column's value"
        labels = LOST_UPDATE_LABELS if self.kind == ConflictKind.OVERWRITTEN else VALUE_LABELS
        return labels.get(self.choice.pick, "")


def value_field(entity_type: str, key: str, **values: Any) -> CaseField:
    """Return a field with these values, named as its application proposes; no query."""
    specs = (spec for entity in registry.entities() if entity.entity_type == entity_type for spec in entity.mappings)
    converter = next((spec.converter for spec in specs if spec.key == key), "")
    return CaseField(key, default_label(entity_type, key), converter=converter, **values)


# A conflict about the record itself as it is displayed: its options, and possible duplicates side by side.


@dataclass(frozen=True)
class CaseOption:
    name: str
    label: str
    effect: str
    deletes: bool
    is_chosen: bool

    @property
    def shortcut(self) -> str:
        return SHORTCUTS.get(self.name, "")


@dataclass(frozen=True)
class CandidateColumn:
    """One record or item among those that could be the same."""

    title: str
    where: str
    url: str = ""
    note: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedField:
    """A field in which a candidate has a value: each column's text, and whether it differs from the first one's."""

    label: str
    cells: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class AboutRecord:
    """What can be done with a record or its item."""

    options: Sequence[CaseOption]
    columns: Sequence[CandidateColumn]
    lines: Sequence[ComparedField]
    seen: Sequence[tuple[str, str]]  # what travels with the form: a field's key and its values as JSON


def case_options(conflict: SyncConflict, chosen: Mapping[str, FieldSelection] | None = None) -> list[CaseOption]:
    """The options that are offered; what was posted, chosen, or handed back stays chosen."""
    resolution = conflict.stored_resolution
    selections = chosen if chosen is not None else {**resolution.handed_back, **resolution.fields}
    selection = selections.get(RECORD_KEY, FieldSelection(""))
    wanted = selection.choose, selection.value or ""
    return [
        CaseOption(
            name=f"{option.choose} {option.value}".strip(),
            label=option.label,
            effect=option.effect,
            deletes=option.deletes,
            is_chosen=(option.choose, option.value) == wanted,
        )
        for option in offered_options(conflict)
    ]


def _about_record(
    conflict: SyncConflict, context: ConflictContext, chosen: Mapping[str, FieldSelection] | None
) -> AboutRecord:
    columns = _candidate_columns(conflict, context)
    lines = []
    for key, mapping in context.mapped.items():
        texts = [column.values.get(key, "") for column in columns]
        if any(texts):
            lines.append(ComparedField(mapping.label, [(text, text != texts[0]) for text in texts]))
    values = {key: list(conflict.sides(key).values()) for key in conflict.conflict_fields}
    seen = [(key, json.dumps(pair)) for key, pair in (values | {RECORD_KEY: [conflict.what, None]}).items()]
    return AboutRecord(case_options(conflict, chosen), columns, lines, seen)


def _candidate_columns(conflict: SyncConflict, context: ConflictContext) -> list[CandidateColumn]:
    """The record (or the item) in question, and beside it every possible duplicate; those in NPD by one query."""
    candidates = conflict.about.get("candidates") or []
    if conflict.kind != ConflictKind.IDENTITY or not candidates:
        return []
    # An item's id is none.
    keys = {key for candidate in candidates if (key := parse_uuid(candidate.get("id")))}
    records = context.records(keys) if keys else {}
    in_npd = [*records.values(), *([context.record] if context.record else [])]
    display = FieldDisplay(context.link, context.mappings, in_npd) if context.link else None

    def of_record(record: SyncedModel, where: str, note: str = "") -> CandidateColumn:
        values = {}
        if display:
            values = {mapping.key: display.sides(record, mapping, None)[0] for mapping in context.mappings}
        return CandidateColumn(str(record), where, record_url(conflict.entity_type, record.pk), note, values)

    def of_candidate(candidate: Mapping[str, Any]) -> CandidateColumn:
        key = parse_uuid(candidate.get("id"))
        values = candidate.get("values") or {}
        note = f"Has the item {candidate['linked_to']} already." if candidate.get("linked_to") else ""
        if key in records:
            return of_record(records[key], "In NPD", note)
        label = str(candidate.get("label") or candidate.get("id"))
        if key:
            return CandidateColumn(label, "In NPD", note=note, values=values)
        note = "Belongs to another record already." if note else ""
        return CandidateColumn(label, "On Monday", context.item_url(str(candidate.get("id") or "")), note, values)

    others = [of_candidate(candidate) for candidate in candidates]
    if conflict.about.get("item") or conflict.entity_id in keys:
        item = conflict.about.get("item") or {"id": conflict.monday_item_id}
        title = item.get("label") or f"Item {item['id']}"
        url = context.item_url(str(item["id"]))
        return [CandidateColumn(title, "The item on Monday", url, values=item.get("values") or {}), *others]
    if context.record is None:
        return others
    return [of_record(context.record, f"This {type_name(conflict.entity_type)} in NPD"), *others]


def parse_uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


# The case itself, and who makes it of what.


@dataclass(frozen=True)
class SubmittedForm:
    """What a person sent: the values seen, and a choice by field."""

    seen: Mapping[str, Sides] = field(default_factory=dict)
    chosen: Mapping[str, FieldSelection] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A conflict, or a value that Monday rejected."""

    kind: str  # a conflict's, or REJECTED
    entity_type: str
    name: str
    fields: Sequence[CaseField]  # those in conflict
    progress: Progress
    is_waiting: bool  # whether somebody can decide now
    item_url: str = ""
    conflict: SyncConflict | None = None
    removed_side: str = ""
    about: AboutRecord | None = None
    resolved: Sequence[CaseField] = ()  # the fields that left the conflict
    closed: Sequence[str] = ()  # the labels of those that left it since the person saw them
    equal: Sequence[tuple[str, str]] = ()  # of the record's other fields those that are alike, with their value
    blocked: Sequence[str] = ()  # sentences about those that are blocked
    reason: str = ""  # Monday's reason for a rejected value
    is_unsent: bool = False  # whether the reason is NPD's, which didn't send it
    kept_by: str = ""  # who kept a rejected value different

    @property
    def is_rejected(self) -> bool:
        return self.kind == REJECTED

    @property
    def is_overwritten(self) -> bool:
        """Whether an edit was overwritten: both sides have one value now."""
        return self.kind == ConflictKind.OVERWRITTEN

    @property
    def is_replaced(self) -> bool:
        """Whether nothing was overwritten: all that is asked about was lost with its column."""
        return bool(self.fields) and all(row.is_replaced for row in self.fields)

    @property
    def has_two_sides(self) -> bool:
        return self.is_rejected or self.is_overwritten

    @property
    def rows(self) -> Sequence[CaseField]:
        """The fields to choose in, or in which something is chosen; none where the record as a whole is asked about."""
        if self.conflict is not None:
            return () if self.conflict.is_about_record or not self.conflict.is_open else self.fields
        return self.fields if self.is_waiting else ()


def listed_case(conflict: SyncConflict, name: str, *, removed_side: str = "") -> Case:
    """Return what a row of a list shows: the stored values, named as the application proposes; no query.

    `removed_side` is the one that has nothing any more.
    """
    fields = []
    for key in conflict.conflict_fields:
        values = {**conflict.sides(key), "base": conflict.base_data.get(key), "kind": conflict.kind}
        values["is_replaced"] = key in conflict.replaced_fields
        fields.append(value_field(conflict.entity_type, key, **values))
    is_removed = conflict.kind == ConflictKind.DELETE and conflict.is_open
    progress = conflict_progress(conflict, with_delay=False)
    return _case(conflict, name, fields, progress, removed_side=removed_side if is_removed else "")


def screen_case(
    conflict: SyncConflict,
    context: ConflictContext,
    form: SubmittedForm | None = None,
    problems: Mapping[str, str] | None = None,
    asked: Mapping[str, FieldSelection] | None = None,
) -> Case:
    """Return all that the screen shows; what was posted, `asked` for, or handed back by a pass, stays chosen."""
    resolution = conflict.stored_resolution
    chosen = form.chosen if form else {**resolution.handed_back, **resolution.fields}
    returned = {key: {NPD: pick.npd, MONDAY: pick.monday} for key, pick in resolution.handed_back.items()}
    seen = form.seen if form else returned
    by_field = conflict.is_open and not conflict.is_about_record
    with_base = fields_with_base(conflict, context) if by_field else set()
    fields = []
    for key in conflict.conflict_fields:
        problem = (problems or {}).get(key, "" if form else resolution.reasons.get(key, ""))
        is_new = form is not None and key not in seen
        selection = chosen.get(key, FieldSelection(""))
        choice = Choice.of(selection, problem=problem, seen=seen.get(key), is_new=is_new)
        fields.append(_field(conflict, context, key, with_base, choice))
    still = (*conflict.conflict_fields, RECORD_KEY)
    case = _case(
        conflict,
        context.name,
        fields,
        conflict_progress(conflict, context),
        item_url=context.item_url(conflict.monday_item_id),
        resolved=_resolved_fields(conflict, context),
        closed=[conflict.label(key) for key in form.seen if key not in still] if form else (),
    )
    if conflict.is_about_record:
        removed_side = NPD if context.record is None else MONDAY
        edited = [replace(row, removed_side=removed_side, has_base=row.base is not None) for row in fields]
        options = form.chosen if form else asked
        return replace(case, fields=edited, about=_about_record(conflict, context, options))
    if not by_field:
        return case
    fields = _with_editors(fields, conflict, context) if case.is_waiting else fields
    equal = _equal_fields(conflict, context)
    return replace(case, fields=fields, equal=equal, blocked=_blocked_sentences(conflict, context))


def _case(conflict: SyncConflict, name: str, fields: Sequence[CaseField], progress: Progress, **more: Any) -> Case:
    is_waiting = conflict.is_open and not conflict.is_being_applied
    return Case(
        conflict.kind, conflict.entity_type, name, fields, progress, is_waiting=is_waiting, conflict=conflict, **more
    )


def _field(
    conflict: SyncConflict, context: ConflictContext, key: str, with_base: set[str], choice: Choice = Choice()
) -> CaseField:
    mapping = context.mapped.get(key)
    return CaseField(
        key,
        mapping.label if mapping else conflict.label(key),
        npd=conflict.npd_data.get(key),
        monday=conflict.monday_data.get(key),
        base=conflict.base_data.get(key),
        kind=conflict.kind,
        converter=mapping.converter if mapping else "",
        has_base=key in with_base,
        note=conflict.notes.get(key, ""),
        choice=choice,
        is_replaced=key in conflict.replaced_fields,
    )


def _with_editors(fields: Sequence[CaseField], conflict: SyncConflict, context: ConflictContext) -> list[CaseField]:
    keys = conflict.conflict_fields
    in_npd = {}
    if registry.is_registered(conflict.entity_type):
        names = {key: context.mapped[key].fields if key in context.mapped else () for key in keys}
        in_npd = npd_editors(registry.entity(conflict.entity_type).model, conflict.entity_id, names)
    columns = {mapping.column_id: mapping.key for mapping in context.mappings if mapping.key in keys}
    on_monday = monday_editors(conflict.monday_item_id, columns)
    return [replace(row, npd_by=in_npd.get(row.key), monday_by=on_monday.get(row.key)) for row in fields]


def fields_with_base(conflict: SyncConflict, context: ConflictContext) -> set[str]:
    """Return the fields in conflict that have a base, also an empty one.

    Of an overwritten edit none: both sides have the same value now.
    """
    if conflict.kind == ConflictKind.OVERWRITTEN:
        return set()
    with_value = {key for key in conflict.conflict_fields if conflict.base_data.get(key) is not None}
    if context.ledger is None:
        return with_value
    # What has no mapping any more keeps its base.
    stored = set(context.ledger.base) - {mapping.key for mapping in context.mappings}
    stored |= {mapping.key for mapping in context.mappings if base_of(context.ledger, mapping, conflict.monday_item_id)}
    return with_value | (stored & set(conflict.conflict_fields))


def _resolved_fields(conflict: SyncConflict, context: ConflictContext) -> list[CaseField]:
    """The fields that left the conflict, with their resolution and its result."""
    resolved = []
    for key in () if conflict.is_about_record else conflict.in_order(conflict.merge_selections):
        if conflict.is_open and key in conflict.conflict_fields:
            continue  # it was resolved, and that was undone
        entry = conflict.merge_selections[key]
        pick = ASKED_ANEW if "asked_in" in entry else entry["choose"]
        shown = _field(conflict, context, key, set(), Choice(pick, conflict.resolved_data.get(key) or ""))
        values = {side: entry[side] for side in (NPD, BASE, MONDAY)}
        note = str(entry.get("undo") or "")
        resolved.append(replace(shown, **values, has_base=entry["base"] is not None, note=note))
    return resolved


def _blocked_sentences(conflict: SyncConflict, context: ConflictContext) -> list[str]:
    """Sentences about the other fields that are blocked, as the last pass found them."""
    problems = _problem_fields(context)
    others = [mapping for key, mapping in context.mapped.items() if key not in conflict.conflict_fields]
    reasons = {mapping.label: problems.get(mapping.key, {}).get("reason") for mapping in others}
    return [f"{label} is blocked: {reason}" for label, reason in reasons.items() if reason]


def _equal_fields(conflict: SyncConflict, context: ConflictContext) -> list[tuple[str, str]]:
    """The labels of the other fields that are the same on both sides, each with its value."""
    left_out = {*conflict.conflict_fields, *_problem_fields(context)}
    others = [mapping for mapping in context.mappings if mapping.key not in left_out]
    if context.record is None or context.link is None or context.ledger is None or not others:
        return []
    display = FieldDisplay(context.link, others, [context.record])
    equal = []
    for mapping in others:
        if (base := base_of(context.ledger, mapping, context.record.monday_id or "")) is not None:
            local, agreed, _ = display.sides(context.record, mapping, base)
            # One that was edited since the last pass is not known to be equal.
            if local == agreed:
                equal.append((mapping.label, local))
    return equal


def _problem_fields(context: ConflictContext) -> dict[str, Any]:
    return {**context.ledger.altered, **context.ledger.blocked_fields} if context.ledger else {}
