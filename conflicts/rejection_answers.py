"""A person's answer to a value that Monday rejected: how it is applied, its progress and its undo.

An answer sends another value, uses Monday's, or keeps the difference. It writes only NPD, or a mark in the sync state,
and enqueues a pass, so it can't overwrite an edit on Monday: the pass would find a conflict.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, transaction

from conflicts import progress, resolution
from conflicts.effects import Sides, is_same
from conflicts.history import quote_value
from conflicts.models import CUSTOM, MONDAY, NPD
from conflicts.rejections import Rejection
from sync import registry
from sync.choices import Cause, QueueStatus
from sync.clock import sync_now
from sync.kernel.messages import ActionError
from sync.models import Decision, SyncMetadata, SyncQueue
from sync.operations.decision_undo import undo_decisions
from sync.reconcile import field_values
from sync.records import authors, blocked_fields

# The kind of the decision that stores an answer.
DECISION_KIND = "rejected"


def answer_progress(answer: Decision, rejection: Rejection | None) -> progress.Progress:
    """Return an answer's state by the queue and the sync state; `rejection` is None if the record was deleted."""
    if rejection is not None and blocked_fields.KEPT_BY not in answer.values:
        if _is_pending(answer, rejection):
            return progress.Progress(progress.UNDOING if answer.undoes else progress.APPLYING, answer.sentence)
        if answer.values.get("choose") == CUSTOM and rejection.needs_answer:
            return progress.Progress(progress.HANDED_BACK, f"{answer.sentence} {rejection.reason}", is_undoable=True)
    return progress.Progress(progress.SETTLED, answer.sentence, is_undoable=True)


def _is_pending(answer: Decision, rejection: Rejection) -> bool:
    """Whether the answer's pass has not run yet."""
    last_pass = rejection.context.sync_state.last_sync_attempt if rejection.context.sync_state else None
    if last_pass is not None and last_pass > answer.at:
        return False
    jobs = SyncQueue.objects.filter(entity_type=answer.entity_type, entity_id=answer.entity_id)
    return jobs.filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)).exists()


def can_undo(answer: Decision, rejection: Rejection | None) -> bool:
    """Whether the answer itself can be undone; `undo_answer` checks the rest."""
    if rejection is None or answer.undoes:
        return False
    return _is_kept_by(answer, rejection) if blocked_fields.KEPT_BY in answer.values else "raw_before" in answer.values


def _is_kept_by(answer: Decision, rejection: Rejection) -> bool:
    """Whether this answer, and no later one, keeps the value different."""
    mark = answer.values[blocked_fields.KEPT_BY]
    return all(rejection.kept_by.get(name) == mark[name] for name in ("id", "at"))


def last_answer(entity_type: str, entity_id: UUID, key: str) -> Decision | None:
    """Return the last answer about this field, or its undo; None without an answer."""
    rows = Decision.objects.filter(entity_type=entity_type, entity_id=entity_id, key=key).order_by("-pk")
    answer = rows.filter(kind=DECISION_KIND).first()
    return (rows.filter(undoes=answer.pk).first() or answer) if answer else None


def answer_rejection(field_ref: blocked_fields.FieldRef, *, by: User, choose: str, value: str, seen: Sides) -> Decision:
    """Apply a choice ("npd", "monday", or "custom" with a value) for exactly the values seen, and return its decision.

    Raises PermissionDenied, NotOpen, NotAsSeen or InvalidResolution; then nothing was written.
    """
    _check_permission(by)
    if choose == CUSTOM:
        resolution.check_may_type(by, field_ref[0])
    # With the person in the context, the record's history says who changed the value.
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
            resolution.check_may_type(by, field_ref[0], "emptying a value")
        answer = _keep_different(rejection, by) if choose == NPD else _write(rejection, by, choose, value)
        authors.log_action(by, record, answer.sentence)
        # With the cause PERSON the pass would send the record's other rejected values again.
        resolution.request_pass(*field_ref[:2], cause=Cause.DEPENDENCY if choose == NPD else Cause.PERSON)
    return answer


def undo_answer(answer: Decision, *, by: User) -> None:
    """Undo an answer; raises PermissionDenied, or an ActionError with the reason."""
    _check_permission(by)
    if blocked_fields.KEPT_BY not in answer.values:
        if left_alone := undo_decisions([answer], by=by).left_alone:
            raise resolution.InvalidResolution(left_alone[0].refusal)
        return
    with transaction.atomic():
        rejection = _lock_rejection(field_ref_of(answer))
        if not _is_kept_by(answer, rejection) or rejection.context.sync_state is None:
            raise resolution.InvalidResolution(
                "The value is not kept different any more: since then it was changed, sent, or became a conflict."
            )
        blocked_fields.mark_kept_different(rejection.context.sync_state, rejection.key, None)
        sentence = f"{rejection.field.label} “{rejection.sides[NPD] or ''}” is open again."
        _save_answer(rejection, by, sentence, {"choose": "asked again"}, undoes=answer.pk)
        authors.log_action(by, rejection.record, sentence)
        # This pass doesn't send the rejected value again; it only updates the record's state.
        resolution.request_pass(answer.entity_type, rejection.record.pk, cause=Cause.DEPENDENCY)


def field_ref_of(answer: Decision) -> blocked_fields.FieldRef:
    assert answer.entity_id is not None
    return answer.entity_type, answer.entity_id, answer.key


def _check_permission(by: User) -> None:
    if not by.has_perm("conflicts.change_syncconflict"):
        raise PermissionDenied


def _lock_rejection(field_ref: blocked_fields.FieldRef) -> Rejection:
    """Lock the record, then its sync state, and return the rejection."""
    entity_type, entity_id, _key = field_ref
    try:
        model = registry.entity(entity_type).model
    except registry.UnknownEntity as unknown:
        raise resolution.NotOpen(str(unknown), {}) from unknown
    # The same order as in settling, to avoid deadlocks. Read after both locks, because a pass may change the field.
    list(model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=entity_id).values("pk"))
    list(SyncMetadata.objects.of(entity_type, [entity_id]).select_for_update().values("pk"))
    rejection = Rejection.of(field_ref)
    if rejection is None:
        raise resolution.NotOpen("There is no such record or field.", {})
    return rejection


def _keep_different(rejection: Rejection, by: User) -> Decision:
    assert rejection.context.sync_state is not None
    mark = {"id": by.pk, "who": authors.actor_label(by), "at": sync_now().isoformat()}
    last_read = rejection.last_read_value
    cell = {blocked_fields.KEPT_REMOTE: last_read[0]} if last_read else {}
    blocked_fields.mark_kept_different(rejection.context.sync_state, rejection.key, mark | cell)
    sentence = (
        f"{rejection.field.label} “{rejection.sides[NPD] or ''}” kept different: it isn't sent until it or its column "
        f"changes. Monday keeps {quote_value(rejection.sides[MONDAY])}."
    )
    return _save_answer(rejection, by, sentence, {"choose": NPD, blocked_fields.KEPT_BY: mark})


def _write(rejection: Rejection, by: User, choose: str, value: str) -> Decision:
    if choose == MONDAY:
        raw = _checked(rejection.key, rejection.raw_from_monday)
    elif choose == CUSTOM:
        raw = _checked(rejection.key, lambda: resolution.raw_from_text(rejection.context, rejection.key, value))
    else:
        raise resolution.InvalidResolution("Nothing is chosen yet. Type another value, or choose a side.")
    record = rejection.record
    before = field_values.stored_values(record, rejection.field)
    previous = rejection.sides[NPD]
    model = type(record)
    # In a savepoint, because NPD's database may reject the value; then the rejection stays open.
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
    was = f"it was {quote_value(previous)}, which Monday rejected."
    if choose == MONDAY:
        sentence = f"{label} is {quote_value(after)} as on Monday; {was}"
    elif now == before:
        sentence = f"{label} {quote_value(after)} is sent to Monday once more."
    else:
        sentence = f"{label} became {quote_value(after)}, which was typed here, and is sent; {was}"
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
    answer = authors.person_line(rejection.record, DECISION_KIND, sentence, authors.actor_label(by))
    answer.key = rejection.key
    answer.values = dict(values)
    answer.undoes = undoes
    answer.save()
    return answer
