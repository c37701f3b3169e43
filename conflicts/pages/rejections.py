"""Values that Monday rejected: both sides, and a person's answer with its undo.

A rejection is shown and answered as a conflict of the kind REJECTED. That is no row of sync_conflicts, because the sync
state's entry, which each pass rewrites, is the one place that says whether it holds. An answer sends another value,
uses Monday's, or keeps the difference. It writes only NPD and the sync state's entry, and enqueues a pass, so it can't
overwrite an edit on Monday: the pass would find a conflict. Its line of activity keeps both entries (BLOCKED), so it is
undone as any line is, and asked about again at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction

from conflicts.models import CLOSING_NOTE, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.pages import resolution
from conflicts.pages.case import SETTLED, Progress, RecordContext, records_of
from conflicts.pages.resolution import InvalidResolution, NotOpen, SeenValues, Selections
from conflicts.reports import REJECTED, ConflictKind, FieldSelection
from sync import registry
from sync.choices import ActivityKind, Cause
from sync.clock import parse_moment, sync_now
from sync.fields import field_values
from sync.fields.field_bases import base_of, last_seen_value
from sync.fields.lookups import NOT_KNOWN, FieldDisplay, read_and_resolve_relations
from sync.kernel import grouped
from sync.kernel.acts import ActionError
from sync.models import ActivityLine, FieldMapping, SyncMetadata
from sync.models.activity_lines import BLOCKED
from sync.models.records_and_items import KEPT_BY, KEPT_REMOTE, FieldRef
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.operations.activity_undo import undo_lines, undone_lines
from sync.records import authors
from sync.words.message import Message, reason_of

NOTHING_REJECTED = "It was changed or sent since, is in conflict, or isn't synced any more."


class Rejection:
    """A field of a record whose value Monday rejected, as of the last pass."""

    def __init__(self, context: RecordContext, key: str) -> None:
        assert context.record is not None
        self.context = context
        self.key = key
        self.record = context.record
        self.mapping = context.mapped[key]
        self.sync_state = context.sync_state
        self.entry = context.rejected_entry(key)

    @classmethod
    def of(cls, field_ref: FieldRef) -> Rejection | None:
        """Return the rejection, or None if there is no such type, record, or mapped field."""
        entity_type, entity_id, key = field_ref
        context = RecordContext(entity_type, entity_id)
        return cls(context, key) if key in context.mapped and context.record is not None else None

    @property
    def field_ref(self) -> FieldRef:
        return self.context.entity_type, self.context.entity_id, self.key

    @property
    def kept_by(self) -> Mapping[str, Any]:
        """Who kept the value different, and when; empty if nobody did."""
        return dict(self.entry.get(KEPT_BY, {}))

    @property
    def needs_answer(self) -> bool:
        """Whether a person has to answer; not if an open conflict on the field asks already."""
        conflicts = self.sync_state.conflicts if self.sync_state else {}
        in_conflict = {*conflicts.get(ConflictKind.FIELDS, ()), *conflicts.get(ConflictKind.OVERWRITTEN, ())}
        is_synced = self.record.may_sync and not self.record.is_left_out
        return bool(self.entry) and not self.kept_by and is_synced and self.key not in in_conflict

    @cached_property
    def answer(self) -> ActivityLine | None:
        """The last answer, if the field waits for none and that wasn't undone."""
        return None if self.needs_answer else last_answer(self.field_ref)

    @cached_property
    def conflict(self) -> SyncConflict:
        """The rejection as a conflict, which is stored nowhere: open with this one field, or resolved."""
        conflict = SyncConflict(
            entity_type=self.context.entity_type,
            entity_id=self.record.pk,
            monday_item_id=self.record.monday_id or "",
            kind=REJECTED,
            conflict_fields=[self.key] if self.needs_answer else [],
            npd_data={self.key: self.sides[NPD]},
            monday_data={self.key: self.sides[MONDAY]},
            detected_at=parse_moment(self.entry.get("since", "")) or sync_now(),
        )
        if not self.needs_answer:
            conflict.resolved_at = self.answer.at if self.answer else sync_now()
            conflict.notes = {CLOSING_NOTE: NOTHING_REJECTED}
        return conflict

    @cached_property
    def monday_raw(self) -> Any:
        """Monday's stored value as of the last pass that read it; None if it is empty or unknown."""
        if self.sync_state is None:
            return None
        reading = last_seen_value(self.sync_state, self.key)
        base = base_of(self.sync_state, self.mapping, self.record.monday_id or "")
        return reading.value if reading else base and base["remote"]

    @cached_property
    def sides(self) -> dict[str, str | None]:
        """Both sides' displayed values; None if empty."""
        display = self.context.display
        monday = None
        if self.monday_raw is not None:
            converter = display.board.converter(self.mapping, self.record)
            try:
                monday = converter.display_remote(self.monday_raw) or None
            except UnknownValue:
                monday = NOT_KNOWN
        return {NPD: display.current(self.record, self.mapping) or None, MONDAY: monday}

    @property
    def monday_problem(self) -> str:
        """Why Monday has no value that NPD could use, as far as its stored value tells; empty if it may have one."""
        if not self.record.monday_id:
            return "The record has no item on Monday yet, so there is no value to use. Type another one."
        if self.sides[MONDAY] is None and self.mapping.required:
            return f"{self.mapping.label} can't be empty in NPD. Type another value."
        return ""

    def raw_from_monday(self) -> dict[str, Any]:
        """Return the raw values that NPD would hold with Monday's value; raises ActionError."""
        if self.monday_problem:
            raise ActionError(self.monday_problem)
        stored = field_values.local_values(self.record, self.mapping)
        converter = self.context.display.board.converter(self.mapping, self.record)
        try:
            try:
                local = converter.to_local(self.monday_raw, stored)
            except AmbiguousSplit:
                # An address whose lines don't tell street, city and country apart: it is read as if a person typed it.
                local = converter.from_text(self.sides[MONDAY] or "", stored)
            raw = read_and_resolve_relations(type(self.record), local)
            return field_values.clean_values(self.record, raw)
        except (UnknownValue, field_values.RelatedNotFound) as unknown:
            raise ActionError(f"Monday's value can't be used: {reason_of(unknown)}") from unknown
        except ValidationError as invalid:
            why = " ".join(invalid.messages)
            raise ActionError(f"NPD rejects Monday's value: {why}") from invalid


def rejections_of(field_refs: Iterable[FieldRef], mappings: Sequence[FieldMapping]) -> list[Rejection]:
    """Return the rejections of these fields that exist, with a few queries for each type of records.

    `mappings` are those of all boards, with their links.
    """
    rejections = []
    for entity_type, refs in grouped(field_refs, lambda field_ref: field_ref[0]).items():
        own_mappings = [mapping for mapping in mappings if mapping.link.entity_type == entity_type]
        if not own_mappings:
            continue
        keys = {mapping.key for mapping in own_mappings}
        records = records_of(entity_type, [entity_id for _, entity_id, _ in refs], own_mappings)
        sync_states = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, list(records))}
        display = FieldDisplay(own_mappings[0].link, own_mappings, list(records.values()))
        for _, entity_id, key in refs:
            if entity_id in records and key in keys:
                context = RecordContext(entity_type, entity_id)
                context.mappings = own_mappings
                context.record = records[entity_id]
                context.sync_state = sync_states.get(str(entity_id))
                context.display = display
                rejections.append(Rejection(context, key))
    return rejections


def last_answer(field_ref: FieldRef) -> ActivityLine | None:
    """Return the last answer about this field, unless it was undone."""
    entity_type, entity_id, key = field_ref
    answers = ActivityLine.objects.filter(
        kind=ActivityKind.REJECTED, entity_type=entity_type, entity_id=entity_id, key=key
    )
    answer = answers.order_by("-pk").first()
    return None if answer is None or undone_lines().filter(undoes=answer.pk).exists() else answer


def answer_progress(answer: ActivityLine) -> Progress:
    """Return what an answer did. One that sends the same value once more has changed nothing that can be undone."""
    is_undoable = answer.values["choose"] == NPD or "raw_before" in answer.values
    return Progress(SETTLED, answer.sentence, is_undoable=is_undoable)


def answer_rejection(field_ref: FieldRef, *, by: User, selections: Selections, seen: SeenValues) -> ActivityLine:
    """Apply the choice for the field for exactly the values seen, and return the answer.

    "npd" leaves both sides as they are, because Monday takes no such value; "monday" and "custom" write NPD's field.
    Raises NotAllowed, NotOpen, NotAsSeen or InvalidResolution; then nothing was written.
    """
    with transaction.atomic():
        rejection = _lock_rejection(field_ref)
        conflict = rejection.conflict
        record = rejection.record
        key = rejection.key
        label = rejection.mapping.label
        current = {key: rejection.sides}
        if rejection.kept_by:
            who = rejection.kept_by.get("who", "")
            raise NotOpen(f"{who} has left both sides of {label} as they are. Undo that first.", current)
        if not record.may_sync:
            raise InvalidResolution(f"Sync is off for {record}, so nothing is sent. Turn it on at the record.")
        if not rejection.needs_answer:
            reasons = "it was changed or sent since, it is in conflict, or the filter leaves the record out"
            raise NotOpen(f"{label} of {record} waits for no answer any more: {reasons}.", current)
        resolution.refuse_typing(by, conflict.entity_type, selections)
        chosen = resolution.field_selections(conflict, rejection.context, ResolutionType.MERGE, selections, seen)[key]
        if conflict.selection_effect(key, chosen).emptied_side:
            resolution.refuse(resolution.missing_right(by, conflict.entity_type, "change"))
        answer = _leave_both(rejection, by) if chosen.choose == NPD else _write(rejection, by, chosen)
        authors.log_action(by, record, answer.sentence)
        # With the cause PERSON the pass would send the record's other rejected values again.
        resolution.request_pass(*field_ref[:2], cause=Cause.DEPENDENCY if chosen.choose == NPD else Cause.PERSON)
    return answer


def undo_answer(answer: ActivityLine, *, by: User) -> None:
    """Undo an answer, and ask again; raises an ActionError with the reason."""
    if left_alone := undo_lines([answer], by=by).left_alone:
        raise InvalidResolution(left_alone[0].refusal)


def field_ref_of(answer: ActivityLine) -> FieldRef:
    assert answer.entity_id is not None
    return answer.entity_type, answer.entity_id, answer.key


def _lock_rejection(field_ref: FieldRef) -> Rejection:
    """Lock the record, then its sync state, and return the rejection."""
    entity_type, entity_id, _key = field_ref
    model = registry.entity(entity_type).model
    # The same order as in settling, to avoid deadlocks. Read after both locks, because a pass may change the field.
    list(model.objects.select_for_update(no_key=True, of=("self",)).filter(pk=entity_id).values("pk"))
    list(SyncMetadata.objects.of(entity_type, [entity_id]).select_for_update().values("pk"))
    rejection = Rejection.of(field_ref)
    if rejection is None:
        raise NotOpen("There is no such record or field.", {})
    return rejection


def _leave_both(rejection: Rejection, by: User) -> ActivityLine:
    """Mark the difference as wanted, so that nobody is asked about it any more."""
    assert rejection.sync_state is not None
    mark = {"id": by.pk, "who": authors.actor_label(by), "at": sync_now().isoformat()}
    reading = last_seen_value(rejection.sync_state, rejection.key)
    kept_remote = {KEPT_REMOTE: reading.value} if reading else {}
    entry = {**rejection.entry, KEPT_BY: mark | kept_remote}
    sentence = Message("rejected_kept", label=rejection.mapping.label, **rejection.sides)
    return _save_answer(rejection, by, sentence, {"choose": NPD}, entry)


def _write(rejection: Rejection, by: User, chosen: FieldSelection) -> ActivityLine:
    """Write Monday's value, or a typed one, in NPD; the next pass sends a typed one, and asks again if it has to."""
    record = rejection.record
    model = type(record)
    try:
        if chosen.choose == MONDAY:
            raw = rejection.raw_from_monday()
        else:
            raw = resolution.raw_from_text(rejection.context, rejection.key, chosen.value or "")
        values_before = field_values.local_values(record, rejection.mapping)
        # In a savepoint, because NPD's database may reject the value; then the rejection stays open.
        with transaction.atomic():
            model.objects.filter(pk=record.pk).update(**field_values.update_values(model, raw))
    except ActionError as error:
        raise InvalidResolution("Nothing was stored.", {rejection.key: str(error)}) from error
    except (IntegrityError, DataError) as error:
        problem = f"NPD's database rejected it: {str(error).strip().splitlines()[0]}"
        raise InvalidResolution("Nothing was stored.", {rejection.key: problem}) from error
    record.refresh_from_db(fields=list(raw))
    values_after = field_values.local_field_values(record, values_before)
    text_before = rejection.sides[NPD]
    text_after = rejection.context.display.display_local(record, rejection.mapping, values_after)
    if chosen.choose == MONDAY:
        code = "rejected_taken"
    else:
        code = "rejected_sent_again" if values_after == values_before else "rejected_typed"
    sentence = Message(code, label=rejection.mapping.label, before=text_before, after=text_after)
    values: dict[str, Any] = {"choose": chosen.choose, "before": text_before, "after": text_after}
    if values_after != values_before:
        values |= {"raw_before": values_before, "raw_after": values_after}  # by which it can be undone
    return _save_answer(rejection, by, sentence, values, None)


def _save_answer(
    rejection: Rejection, by: User, sentence: Message, values: Mapping[str, Any], entry: Mapping[str, Any] | None
) -> ActivityLine:
    """Store the field's entry after an answer, and the answer with what undoes it."""
    assert rejection.sync_state is not None
    answer = authors.person_line(rejection.record, ActivityKind.REJECTED, sentence, authors.actor_label(by))
    answer.key = rejection.key
    answer.values = {**values, BLOCKED: rejection.sync_state.set_blocked(rejection.key, entry)}
    answer.save()
    return answer
