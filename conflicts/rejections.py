"""A value that Monday rejected: what each side has, a person's options, their answer, its undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, transaction

from conflicts.case import (
    APPLYING,
    HANDED_BACK,
    OPEN,
    REJECTED,
    SETTLED,
    UNDOING,
    Case,
    CaseField,
    Choice,
    ConflictContext,
    Progress,
    SubmittedForm,
)
from conflicts.history import quote_value
from conflicts.lifecycle import Sides, is_same
from conflicts.models import CUSTOM, MONDAY, NPD
from conflicts.resolution import InvalidResolution, NotAsSeen, NotOpen, check_may_type, request_pass, text_problem
from sync import registry
from sync.choices import Cause, QueueStatus
from sync.clock import sync_now
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.monday.conversion import AmbiguousSplit, Converter, UnknownValue
from sync.operations.decision_undo import undo_decisions
from sync.reconcile import field_values
from sync.reconcile.field_plan import AS_SENT, base_of
from sync.reconcile.lookups import NOT_KNOWN, FieldDisplay, resolve_related, typed_value
from sync.reconcile.lost_updates import last_observed
from sync.records import availability
from sync.records.authors import actor_label, log_action
from sync.records.blocked_fields import KEPT_BY, KEPT_REMOTE, SIDE_LIMIT, FieldRef, is_rejected, mark_kept_different


class RejectionCase:
    """One field of one record: everything known of it, and the stored values that each option would write."""

    def __init__(self, context: ConflictContext, key: str) -> None:
        self.context = context
        self.key = key

    @classmethod
    def of(
        cls, entity_type: str, entity_id: UUID, key: str, mappings: Sequence[FieldMapping] = ()
    ) -> RejectionCase | None:
        """Return the rejection, or None where there is no such type, record, or field on its board."""
        if not any(spec.entity_type == entity_type for spec in registry.entities()):
            return None
        rejection = cls(ConflictContext(entity_type, entity_id, mappings), key)
        is_mapped = rejection.context.link is not None and key in rejection.context.mapped
        return rejection if is_mapped and rejection.context.record is not None else None

    @property
    def field(self) -> FieldMapping:
        return self.context.mapped[self.key]

    @property
    def record(self) -> SyncedModel:
        assert self.context.record is not None
        return self.context.record

    @property
    def entry(self) -> Mapping[str, Any]:
        """The ledger's entry of the rejection; empty without one, or where value or column changed since."""
        entry = self.context.ledger.blocked_fields.get(self.key) if self.context.ledger else None
        if entry is None or not is_rejected(entry) or not field_values.still_holds(self.record, entry["local"]):
            return {}
        return dict(entry) if self.field.is_current(entry) else {}

    @property
    def reason(self) -> str:
        """Monday's reason, or NPD's for a value that it doesn't send."""
        return str(self.entry.get("reason", ""))

    @property
    def is_unsent(self) -> bool:
        """Whether the column can't take the value, so that Monday was not asked."""
        return self.entry.get("side") == SIDE_LIMIT

    @property
    def kept_by(self) -> Mapping[str, Any]:
        """Who kept the value different, and when; empty where nobody did."""
        return dict(self.entry.get(KEPT_BY, {}))

    @property
    def needs_answer(self) -> bool:
        """Whether a person has to answer: not where an open conflict on the same field asks already."""
        conflicts = self.context.ledger.conflicts if self.context.ledger else {}
        in_conflict = {*conflicts.get("fields", ()), *conflicts.get("overwritten", ())}
        is_synced = self.record.may_sync and not self.record.is_left_out
        return bool(self.entry) and not self.kept_by and is_synced and self.key not in in_conflict

    @cached_property
    def display(self) -> FieldDisplay:
        assert self.context.link is not None
        return FieldDisplay(self.context.link, self.context.mappings, [self.record])

    @cached_property
    def converter(self) -> Converter:
        return self.display.board.converter(self.field, self.record)

    @cached_property
    def npd(self) -> str | None:
        return self.display.local(self.record, self.field, field_values.stored_values(self.record, self.field)) or None

    @cached_property
    def base(self) -> Mapping[str, Any] | None:
        """The base, where it is about the present item and column."""
        ledger = self.context.ledger
        return base_of(ledger, self.field, self.record.monday_id or "") if ledger else None

    @property
    def last_read_value(self) -> tuple[Any] | None:
        """The stored value that the last pass read on Monday, if one did: of an empty cell it is None."""
        return last_observed(self.context.ledger, self.key) if self.context.ledger else None

    @property
    def _monday_raw(self) -> Any:
        if self.last_read_value is not None:
            return self.last_read_value[0]
        return self.base["remote"] if self.base else None

    @cached_property
    def monday(self) -> str | None:
        """Monday's value as of the last pass, as a person reads it; None where it is empty."""
        if self._monday_raw is None:
            return None
        try:
            return self.converter.display(self.converter.remote(self._monday_raw)) or None
        except UnknownValue:
            return NOT_KNOWN

    @property
    def sides(self) -> dict[str, str | None]:
        return {NPD: self.npd, MONDAY: self.monday}

    @property
    def would_empty(self) -> bool:
        """Whether Monday's side empties the record's field: a deletion, for who may change records."""
        return self.npd is not None and self.monday is None

    def raw_from_monday(self) -> dict[str, Any]:
        """The raw values that NPD would hold with Monday's value; raises ActionError."""
        if not self.record.monday_id:
            raise ActionError("The record has no item on Monday yet, so there is no value to use. Type another one.")
        if self.monday is None and self.field.required:
            raise ActionError(f"{self.field.label} can't be empty in NPD. Type another value.")
        now = field_values.stored_values(self.record, self.field)
        try:
            raw = self._local_from_monday(now)
            return field_values.clean_values(self.record, resolve_related(type(self.record), raw))
        except (UnknownValue, field_values.RelatedNotFound) as unknown:
            raise ActionError(f"Monday's value can't be used: {unknown}") from unknown
        except ValidationError as invalid:
            why = " ".join(invalid.messages)
            raise ActionError(f"NPD rejects Monday's value: {why}") from invalid

    def _local_from_monday(self, now: Mapping[str, Any]) -> dict[str, Any]:
        if self._monday_raw is None:
            return dict.fromkeys(now)
        if self.base and not self.base.get(AS_SENT):
            # Where NPD's half of the base reads as Monday's shown value: what is shown is what is written.
            same_remote = self.converter.remote(self.base["remote"]) == self.converter.remote(self._monday_raw)
            local = self.display.local(self.record, self.field, self.base["local"]) or None
            if same_remote and local == self.monday:
                return dict(self.base["local"])
        try:
            return dict(self.converter.to_local(self._monday_raw, now))
        except AmbiguousSplit:
            return dict(self.converter.from_text(self.monday or "", now))

    def raw_from_text(self, text: str) -> dict[str, Any]:
        """The raw values of a typed text, checked as NPD and Monday's column will; raises ActionError."""
        if "\x00" in text:
            raise ActionError("The text holds a NUL character, which neither side keeps. Type it again without.")
        if not text.strip() and self.field.required:
            raise ActionError(f"{self.field.label} can't be empty in NPD. Type another value.")
        if problem := text_problem(self.context, self.key, text):
            raise ActionError(problem)
        typed = typed_value(self.converter, self.record, self.field.fields, text)
        return field_values.clean_values(self.record, typed)

    def monday_problem(self) -> str:
        """Why Monday's value can't be taken, as a sentence; empty where it can."""
        try:
            self.raw_from_monday()
        except ActionError as why:
            return str(why)
        return ""


def rejection_cases(field_refs: Iterable[FieldRef], mappings: Sequence[FieldMapping]) -> dict[FieldRef, RejectionCase]:
    """Return the rejections of these fields, without those that aren't there; a few queries for each type.

    `mappings` are those of all boards.
    """
    cases: dict[FieldRef, RejectionCase] = {}
    wanted = list(field_refs)
    for entity_type in {field_ref[0] for field_ref in wanted if registry.is_registered(field_ref[0])}:
        of_type = [field_ref for field_ref in wanted if field_ref[0] == entity_type]
        # Of no record: only what all records of the type share is read from it.
        shared = ConflictContext(entity_type, UUID(int=0), mappings)
        records = shared.records(entity_id for _, entity_id, _ in of_type)
        ledgers = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, list(records))}
        display = FieldDisplay(shared.link, shared.mappings, list(records.values())) if shared.link else None
        for _, entity_id, key in of_type:
            if display is None or entity_id not in records or key not in shared.mapped:
                continue
            context = ConflictContext(entity_type, entity_id, mappings)
            context.record = records[entity_id]
            context.ledger = ledgers.get(str(entity_id))
            case = RejectionCase(context, key)
            case.display = display
            cases[entity_type, entity_id, key] = case
    return cases


# The progress of an answer, as a state and a sentence, as for conflicts.


def rejection_progress(decision: Decision, rejection: RejectionCase | None, *, with_delay: bool = True) -> Progress:
    """The state of an answer by queue and ledger; `rejection` is None where the record was deleted."""
    if rejection is not None and KEPT_BY not in decision.values:
        if _is_pending(decision, rejection):
            board = availability.of(decision.entity_type) if with_delay else None
            state = UNDOING if decision.undoes else APPLYING
            return Progress(state, decision.sentence, board.blocked_reason if board else "")
        if decision.values.get("choose") == CUSTOM and rejection.needs_answer:
            return Progress(HANDED_BACK, f"{decision.sentence} {rejection.reason}", is_undoable=True)
    return Progress(SETTLED, decision.sentence, is_undoable=True)


def can_undo(decision: Decision, rejection: RejectionCase | None) -> bool:
    """Whether there is anything to undo, as far as the decision itself tells; `undo_answer` says why not."""
    if rejection is None or decision.undoes:
        return False
    return is_kept_by(decision, rejection) if KEPT_BY in decision.values else "raw_before" in decision.values


def is_kept_by(decision: Decision, rejection: RejectionCase) -> bool:
    """Whether the value is kept different by this very answer, not by a later one."""
    mark = decision.values[KEPT_BY]
    return all(rejection.kept_by.get(name) == mark[name] for name in ("id", "at"))


def _is_pending(decision: Decision, rejection: RejectionCase) -> bool:
    """Whether the pass that the answer has enqueued is still to come."""
    last_pass = rejection.context.ledger.last_sync_attempt if rejection.context.ledger else None
    if last_pass is not None and last_pass > decision.at:
        return False
    rows = SyncQueue.objects.filter(entity_type=decision.entity_type, entity_id=decision.entity_id)
    return rows.filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)).exists()


def rejected_case(
    rejection: RejectionCase, answer: Decision | None, form: SubmittedForm | None = None, problem: str = ""
) -> Case:
    """Return what is displayed; what was posted stays chosen, and what changed meanwhile is marked."""
    progress = rejection_progress(answer, rejection, with_delay=False) if answer else Progress(OPEN, "")
    is_waiting = rejection.needs_answer and progress.is_final
    context = rejection.context
    shown = CaseField(rejection.key, rejection.field.label, None, None, kind=REJECTED)
    if is_waiting:
        submitted = form or SubmittedForm()
        selection = submitted.chosen.get(shown.key, FieldSelection(""))
        seen = submitted.seen.get(shown.key)
        shown = replace(
            shown,
            npd=rejection.npd,
            monday=rejection.monday,
            converter=rejection.field.converter,
            choice=Choice.of(selection, problem=problem, seen=seen),
            monday_problem=rejection.monday_problem(),
        )
    return Case(
        REJECTED,
        context.entity_type,
        context.name,
        [shown],
        progress,
        is_waiting=is_waiting,
        item_url=context.item_url(rejection.record.monday_id or ""),
        reason=rejection.reason,
        is_unsent=rejection.is_unsent,
        kept_by=str(rejection.kept_by.get("who", "")),
    )


# A person's answer to a rejection: send another value, use Monday's, keep the difference; and the undo.
#
# Each writes NPD alone, or the mark in the ledger; the pass that it enqueues does the rest, as after any other edit. So
# nothing here can overwrite what somebody did on Monday meanwhile: that pass finds it, and asks.


DECISION_KIND = "rejected"
"""The kind of decision as which an answer is stored."""


def answer_rejection(field_key: FieldRef, *, by: User, choose: str, value: str, seen: Sides) -> Decision:
    """Carry out a choice, npd, monday or custom with a text, for exactly the values seen; return it as it is kept.

    Raises PermissionDenied, NotOpen also where there is no such field, NotAsSeen or InvalidResolution; then
    nothing was written.
    """
    _check_permission(by)
    if choose == CUSTOM:
        check_may_type(by, field_key[0])
    with pghistory.context(user=by.pk), transaction.atomic():
        rejection = _lock_rejection(field_key)
        field = rejection.field.label
        name = rejection.record
        current = {rejection.key: rejection.sides}
        if rejection.kept_by:
            who = rejection.kept_by.get("who", "")
            raise NotOpen(f"{who} has left {field} of {name} different already. Undo that first.", current)
        if not rejection.record.may_sync:
            raise InvalidResolution(f"Sync is off for {name}, so nothing is sent. Turn it on at the record.")
        if not rejection.needs_answer:
            message = f"{field} of {name} is not rejected any more: it was changed or sent since."
            raise NotOpen(message, current)
        if not is_same(seen, rejection.sides):
            raise NotAsSeen.of(rejection.field.label, {rejection.key: rejection.sides})
        if choose == MONDAY and rejection.would_empty:
            check_may_type(by, field_key[0], "emptying a value")
        decision = _keep_different(rejection, by) if choose == NPD else _write(rejection, by, choose, value)
        log_action(by, rejection.record, decision.sentence)
        # Who keeps one value different asks for nothing to be sent: other rejections stay as they are.
        request_pass(*field_key[:2], cause=Cause.DEPENDENCY if choose == NPD else Cause.PERSON)
    return decision


def undo_answer(decision: Decision, *, by: User) -> None:
    """Take an answer back; raises PermissionDenied, or an ActionError with why not."""
    _check_permission(by)
    if KEPT_BY in decision.values:
        _reopen(decision, by)
    elif left := undo_decisions([decision], by=by).left:
        raise InvalidResolution(left[0].stale)


def _reopen(decision: Decision, by: User) -> None:
    assert decision.entity_id is not None
    field_key = decision.entity_type, decision.entity_id, decision.key
    with transaction.atomic():
        rejection = _lock_rejection(field_key)
        if not is_kept_by(decision, rejection) or rejection.context.ledger is None:
            raise InvalidResolution(
                "The value is not kept different any more: since then it was changed, sent, or became a conflict."
            )
        mark_kept_different(rejection.context.ledger, rejection.key, None)
        value = f"{rejection.field.label} “{rejection.npd or ''}” of {rejection.record}"
        sentence = f"{value} is open again, as {actor_label(by)} asked."
        _save_decision(rejection, by, sentence, {"choose": "asked again"}, undoes=decision.pk)
        log_action(by, rejection.record, sentence)
        # The rejected value isn't sent again by this: the pass only updates the record's state.
        request_pass(*field_key[:2], cause=Cause.DEPENDENCY)


def _check_permission(by: User) -> None:
    if not by.has_perm("conflicts.change_syncconflict"):
        raise PermissionDenied


def _lock_rejection(field_key: FieldRef) -> RejectionCase:
    """The case, with the record and its ledger entry locked, in this order."""
    entity_type, entity_id, key = field_key
    try:
        model = registry.entity(entity_type).model
    except registry.UnknownEntity as unknown:
        raise NotOpen(str(unknown), {}) from unknown
    # In the order of a pass that settles, or the two would wait for each other. Read after both: a pass may have
    # changed the field while this one waited.
    list(model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=entity_id).values("pk"))
    rows = SyncMetadata.objects.of(entity_type, [entity_id])
    list(rows.select_for_update().values("pk"))
    rejection = RejectionCase.of(entity_type, entity_id, key)
    if rejection is None:
        raise NotOpen("There is no such record or field.", {})
    return rejection


def _keep_different(rejection: RejectionCase, by: User) -> Decision:
    assert rejection.context.ledger is not None
    mark = {"id": by.pk, "who": actor_label(by), "at": sync_now().isoformat()}
    cell = {KEPT_REMOTE: rejection.last_read_value[0]} if rejection.last_read_value else {}
    mark_kept_different(rejection.context.ledger, rejection.key, mark | cell)
    sentence = (
        f"{rejection.field.label} “{rejection.npd or ''}” of {rejection.record} is kept different, as "
        f"{actor_label(by)} chose: it isn't sent until it or its column changes. Monday keeps "
        f"{quote_value(rejection.monday)}."
    )
    return _save_decision(rejection, by, sentence, {"choose": NPD, KEPT_BY: mark})


def _write(rejection: RejectionCase, by: User, choose: str, value: str) -> Decision:
    raw = _raw_values(rejection, choose, value)
    before = field_values.stored_values(rejection.record, rejection.field)
    previous = rejection.npd
    # In a savepoint: what NPD's database rejects is told to the person, and the rejection stays open.
    model = type(rejection.record)
    try:
        with transaction.atomic():
            model._default_manager.filter(pk=rejection.record.pk).update(**field_values.update_values(model, raw))
    except (IntegrityError, DataError) as error:
        why = str(error).strip().splitlines()[0]
        problem = f"NPD's database rejected it: {why}"
        raise InvalidResolution("Nothing was stored.", {rejection.key: problem}) from error
    rejection.record.refresh_from_db(fields=list(raw))
    now = field_values.stored_field_values(rejection.record, before)
    after = rejection.display.local(rejection.record, rejection.field, now)
    field = rejection.field.label
    name = rejection.record
    who = actor_label(by)
    was = f"it was {quote_value(previous)}, which Monday rejected."
    if choose == MONDAY:
        sentence = f"{field} of {name} is {quote_value(after)} as on Monday, as {who} chose; {was}"
    elif now == before:
        sentence = f"{field} {quote_value(after)} of {name} is sent to Monday once more, as {who} asked."
    else:
        sentence = f"{field} of {name} became {quote_value(after)}, typed by {who}, and is sent; {was}"
    raw_change = {} if now == before else {"raw_before": before, "raw_after": now}
    return _save_decision(rejection, by, sentence, {"choose": choose, "before": previous, "after": after, **raw_change})


def _raw_values(rejection: RejectionCase, choose: str, value: str) -> dict[str, Any]:
    try:
        if choose == MONDAY:
            return rejection.raw_from_monday()
        if choose == CUSTOM:
            return rejection.raw_from_text(value)
    except ActionError as why:
        raise InvalidResolution("Nothing was stored.", {rejection.key: str(why)}) from why
    raise InvalidResolution("Nothing is chosen yet. Type another value, or choose a side.")


def _save_decision(
    rejection: RejectionCase, by: User, sentence: str, values: Mapping[str, Any], undoes: int | None = None
) -> Decision:
    return Decision.objects.create(
        entity_type=rejection.context.entity_type,
        entity_id=rejection.record.pk,
        remote_id=rejection.record.monday_id or "",
        key=rejection.key,
        kind=DECISION_KIND,
        sentence=sentence,
        values=dict(values),
        actor=actor_label(by),
        cause={"by": actor_label(by), "causes": ["person"]},
        undoes=undoes,
    )


def last_answer(entity_type: str, entity_id: UUID, key: str) -> Decision | None:
    """Return the last answer that somebody gave about this field, or what has undone it; None without one."""
    rows = Decision.objects.filter(entity_type=entity_type, entity_id=entity_id, key=key).order_by("-pk")
    answer = rows.filter(kind=DECISION_KIND).first()
    return (rows.filter(undoes=answer.pk).first() or answer) if answer else None
