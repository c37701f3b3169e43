"""A person's answer to a value that Monday rejected, how far it is, and its undo.

An answer sends another value, uses Monday's, or keeps the difference. Each writes NPD alone, or the mark in the ledger;
the pass that it enqueues does the rest, as after any other edit. So nothing here can overwrite what somebody did on
Monday meanwhile: that pass finds it, and asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, transaction

from conflicts import resolution
from conflicts.effects import Sides, is_same
from conflicts.history import quote_value
from conflicts.models import CUSTOM, MONDAY, NPD
from conflicts.progress import APPLYING, HANDED_BACK, SETTLED, UNDOING, Progress
from conflicts.rejections import Rejection
from conflicts.resolution import check_may_type, raw_from_text, request_pass
from sync import registry
from sync.choices import Cause, QueueStatus
from sync.clock import sync_now
from sync.kernel.messages import ActionError
from sync.models import Decision, SyncMetadata, SyncQueue
from sync.operations.decision_undo import undo_decisions
from sync.reconcile import field_values
from sync.records import availability, blocked_fields
from sync.records.authors import actor_label, log_action
from sync.records.blocked_fields import KEPT_BY, FieldRef

DECISION_KIND = "rejected"
"""The kind of decision as which an answer is stored."""


def answer_progress(answer: Decision, rejection: Rejection | None, *, with_delay: bool = True) -> Progress:
    """Return the state of an answer by queue and ledger; `rejection` is None where the record was deleted."""
    if rejection is not None and KEPT_BY not in answer.values:
        if _is_pending(answer, rejection):
            delay_reason = availability.of(answer.entity_type).blocked_reason if with_delay else ""
            return Progress(UNDOING if answer.undoes else APPLYING, answer.sentence, delay_reason)
        if answer.values.get("choose") == CUSTOM and rejection.needs_answer:
            return Progress(HANDED_BACK, f"{answer.sentence} {rejection.reason}", is_undoable=True)
    return Progress(SETTLED, answer.sentence, is_undoable=True)


def _is_pending(answer: Decision, rejection: Rejection) -> bool:
    """Whether the pass that the answer has enqueued is still to come."""
    last_pass = rejection.context.ledger.last_sync_attempt if rejection.context.ledger else None
    if last_pass is not None and last_pass > answer.at:
        return False
    jobs = SyncQueue.objects.filter(entity_type=answer.entity_type, entity_id=answer.entity_id)
    return jobs.filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)).exists()


def can_undo(answer: Decision, rejection: Rejection | None) -> bool:
    """Whether there is anything to undo, as far as the answer itself tells; `undo_answer` says why not."""
    if rejection is None or answer.undoes:
        return False
    return _is_kept_by(answer, rejection) if KEPT_BY in answer.values else "raw_before" in answer.values


def _is_kept_by(answer: Decision, rejection: Rejection) -> bool:
    """Whether the value is kept different by this very answer, not by a later one."""
    mark = answer.values[KEPT_BY]
    return all(rejection.kept_by.get(name) == mark[name] for name in ("id", "at"))


def last_answer(entity_type: str, entity_id: UUID, key: str) -> Decision | None:
    """Return the last answer that somebody gave about this field, or what has undone it; None without one."""
    rows = Decision.objects.filter(entity_type=entity_type, entity_id=entity_id, key=key).order_by("-pk")
    answer = rows.filter(kind=DECISION_KIND).first()
    return (rows.filter(undoes=answer.pk).first() or answer) if answer else None


def answer_rejection(field_ref: FieldRef, *, by: User, choose: str, value: str, seen: Sides) -> Decision:
    """Carry out a choice, npd, monday or custom with a text, for exactly the values seen; return it as it is kept.

    Raises PermissionDenied, NotOpen also where there is no such field, NotAsSeen or InvalidResolution; then
    nothing was written.
    """
    _check_permission(by)
    if choose == CUSTOM:
        check_may_type(by, field_ref[0])
    with pghistory.context(user=by.pk), transaction.atomic():
        rejection = _lock_rejection(field_ref)
        label = rejection.field.label
        record = rejection.record
        current = {rejection.key: rejection.sides}
        if rejection.kept_by:
            who = rejection.kept_by.get("who", "")
            raise resolution.NotOpen(f"{who} has left {label} of {record} different already. Undo that first.", current)
        if not record.may_sync:
            raise resolution.InvalidResolution(
                f"Sync is off for {record}, so nothing is sent. Turn it on at the record."
            )
        if not rejection.needs_answer:
            message = f"{label} of {record} is not rejected any more: it was changed or sent since."
            raise resolution.NotOpen(message, current)
        if not is_same(seen, rejection.sides):
            raise resolution.NotAsSeen(label, current)
        if choose == MONDAY and rejection.would_empty:
            check_may_type(by, field_ref[0], "emptying a value")
        answer = _keep_different(rejection, by) if choose == NPD else _write(rejection, by, choose, value)
        log_action(by, record, answer.sentence)
        # Who keeps one value different asks for nothing to be sent: other rejections stay as they are.
        request_pass(*field_ref[:2], cause=Cause.DEPENDENCY if choose == NPD else Cause.PERSON)
    return answer


def undo_answer(answer: Decision, *, by: User) -> None:
    """Take an answer back; raises PermissionDenied, or an ActionError with why not."""
    _check_permission(by)
    if KEPT_BY not in answer.values:
        if left_alone := undo_decisions([answer], by=by).left_alone:
            raise resolution.InvalidResolution(left_alone[0].stale)
        return
    with transaction.atomic():
        rejection = _lock_rejection(field_ref_of(answer))
        if not _is_kept_by(answer, rejection) or rejection.context.ledger is None:
            raise resolution.InvalidResolution(
                "The value is not kept different any more: since then it was changed, sent, or became a conflict."
            )
        blocked_fields.mark_kept_different(rejection.context.ledger, rejection.key, None)
        value = f"{rejection.field.label} “{rejection.sides[NPD] or ''}” of {rejection.record}"
        sentence = f"{value} is open again, as {actor_label(by)} asked."
        _save_answer(rejection, by, sentence, {"choose": "asked again"}, undoes=answer.pk)
        log_action(by, rejection.record, sentence)
        # The rejected value isn't sent again by this: the pass only updates the record's state.
        request_pass(answer.entity_type, rejection.record.pk, cause=Cause.DEPENDENCY)


def field_ref_of(answer: Decision) -> FieldRef:
    assert answer.entity_id is not None
    return answer.entity_type, answer.entity_id, answer.key


def _check_permission(by: User) -> None:
    if not by.has_perm("conflicts.change_syncconflict"):
        raise PermissionDenied


def _lock_rejection(field_ref: FieldRef) -> Rejection:
    """The rejection, with the record and its ledger entry locked, in this order."""
    entity_type, entity_id, _key = field_ref
    try:
        model = registry.entity(entity_type).model
    except registry.UnknownEntity as unknown:
        raise resolution.NotOpen(str(unknown), {}) from unknown
    # In the order of a pass that settles, or the two would wait for each other. Read after both: a pass may have
    # changed the field while this one waited.
    list(model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=entity_id).values("pk"))
    list(SyncMetadata.objects.of(entity_type, [entity_id]).select_for_update().values("pk"))
    rejection = Rejection.of(field_ref)
    if rejection is None:
        raise resolution.NotOpen("There is no such record or field.", {})
    return rejection


def _keep_different(rejection: Rejection, by: User) -> Decision:
    assert rejection.context.ledger is not None
    mark = {"id": by.pk, "who": actor_label(by), "at": sync_now().isoformat()}
    last_read = rejection.last_read_value
    cell = {blocked_fields.KEPT_REMOTE: last_read[0]} if last_read else {}
    blocked_fields.mark_kept_different(rejection.context.ledger, rejection.key, mark | cell)
    sentence = (
        f"{rejection.field.label} “{rejection.sides[NPD] or ''}” of {rejection.record} is kept different, as "
        f"{actor_label(by)} chose: it isn't sent until it or its column changes. Monday keeps "
        f"{quote_value(rejection.sides[MONDAY])}."
    )
    return _save_answer(rejection, by, sentence, {"choose": NPD, KEPT_BY: mark})


def _write(rejection: Rejection, by: User, choose: str, value: str) -> Decision:
    if choose == MONDAY:
        raw = _checked(rejection.key, rejection.raw_from_monday)
    elif choose == CUSTOM:
        raw = _checked(rejection.key, lambda: raw_from_text(rejection.context, rejection.key, value))
    else:
        raise resolution.InvalidResolution("Nothing is chosen yet. Type another value, or choose a side.")
    record = rejection.record
    before = field_values.stored_values(record, rejection.field)
    previous = rejection.sides[NPD]
    model = type(record)
    # In a savepoint: what NPD's database rejects is told to the person, and the rejection stays open.
    try:
        with transaction.atomic():
            model._default_manager.filter(pk=record.pk).update(**field_values.update_values(model, raw))
    except (IntegrityError, DataError) as error:
        why = str(error).strip().splitlines()[0]
        problem = f"NPD's database rejected it: {why}"
        raise resolution.InvalidResolution("Nothing was stored.", {rejection.key: problem}) from error
    record.refresh_from_db(fields=list(raw))
    now = field_values.stored_field_values(record, before)
    after = rejection.display.local(record, rejection.field, now)
    label = rejection.field.label
    who = actor_label(by)
    was = f"it was {quote_value(previous)}, which Monday rejected."
    if choose == MONDAY:
        sentence = f"{label} of {record} is {quote_value(after)} as on Monday, as {who} chose; {was}"
    elif now == before:
        sentence = f"{label} {quote_value(after)} of {record} is sent to Monday once more, as {who} asked."
    else:
        sentence = f"{label} of {record} became {quote_value(after)}, typed by {who}, and is sent; {was}"
    raw_change = {} if now == before else {"raw_before": before, "raw_after": now}
    return _save_answer(rejection, by, sentence, {"choose": choose, "before": previous, "after": after, **raw_change})


def _checked(key: str, raw_values: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return raw_values()
    except ActionError as why:
        raise resolution.InvalidResolution("Nothing was stored.", {key: str(why)}) from why


def _save_answer(
    rejection: Rejection, by: User, sentence: str, values: Mapping[str, Any], undoes: int | None = None
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
