"""What a person does about a value that Monday refuses: send another, take Monday's, leave it in NPD; and the undo.

Each act writes NPD alone, or the ledger's mark; the look that it wakes does the rest, as after any other edit. So
nothing here can overwrite what somebody did on Monday meanwhile: that look finds it, and asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import pghistory
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from conflicts.choice import CUSTOM, MONDAY, NPD
from conflicts.errors import BadResolution, NotWaiting, Sides, StaleSeen
from conflicts.history import WRITTEN_IN
from conflicts.outcome import same, shown
from conflicts.refused_case import Case, NoWay
from conflicts.refused_progress import is_left_by
from sync import registry, wake
from sync.acts_log import note
from sync.authors import called
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.engine.values import raw_of, raw_of_fields, to_store
from sync.enqueue import enqueue_many
from sync.models import Decision, SyncMetadata
from sync.refused import CELL, LEFT_BY, Named, mark_left
from sync.undo import carry_out

KIND = "refused"
"""The kind of decision that an answer to a refusal is kept as."""
MAY = "conflicts.change_syncconflict"
_ASKED_AGAIN = "asked again"


def answer(named: Named, *, by: User, choose: str, value: str, seen: Sides) -> Decision:
    """Carry out a choice, npd, monday or custom with a text, for exactly the values seen; return it as it is kept.

    Raises PermissionDenied, LookupError where there is no such field, NotWaiting, StaleSeen or BadResolution; then
    nothing was written.
    """
    _must_may(by)
    with pghistory.context(user=by.pk), transaction.atomic():
        case = _locked(named)
        _must_wait(case)
        _must_be_seen(case, seen)
        made = _left(case, by) if choose == NPD else _written(case, by, choose, value)
        note(by, case.record, made.sentence)
        # Who leaves one value asks for nothing to be sent: what else Monday refused of the record stays where it is.
        _wake(named, Cause.DEPENDENCY if choose == NPD else Cause.PERSON)
    return made


def undo(decision: Decision, *, by: User) -> str:
    """Take an answer back; return what was done, as a sentence. Raises PermissionDenied, BadResolution with why not."""
    _must_may(by)
    if LEFT_BY in decision.values:
        return _ask_again(decision, by)
    undone = carry_out([decision], by=by)
    if undone.left:
        raise BadResolution(undone.left[0].stale)
    return " ".join(line.sentence for line in undone.lines)


def _ask_again(decision: Decision, by: User) -> str:
    assert decision.entity_id is not None
    named = decision.entity_type, decision.entity_id, decision.key
    with transaction.atomic():
        case = _locked(named)
        if not is_left_by(decision, case) or case.around.ledger is None:
            raise BadResolution(
                _("The value is not left in NPD any more: it was changed, sent, or asked about since.")
            )
        mark_left(case.around.ledger, case.key, None)
        words = "%(field)s “%(value)s” of %(name)s waits for an answer again, as %(who)s asked."
        told = words % {
            "field": case.field.label,
            "value": case.npd or "",
            "name": case.record,
            "who": called(by),
        }
        _keep(case, by, told, {"choose": _ASKED_AGAIN}, undoes=decision.pk)
        note(by, case.record, told)
        # What was refused isn't sent again by this: the look only says anew how the record stands.
        _wake(named, Cause.DEPENDENCY)
    return told


def _must_may(by: User) -> None:
    if not by.has_perm(MAY):
        raise PermissionDenied


def _locked(named: Named) -> Case:
    """The case, with the record and its ledger entry locked, in this order."""
    entity_type, entity_id, key = named
    try:
        model = registry.entity(entity_type).model
    except registry.UnknownEntity as unknown:
        raise LookupError(str(unknown)) from unknown
    list(
        model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=entity_id).values("pk")
    )
    rows = SyncMetadata.objects.filter(entity_type=entity_type, entity_id=str(entity_id), system="monday")
    list(rows.select_for_update().values("pk"))
    case = Case.of(entity_type, entity_id, key)
    if case is None:
        raise LookupError(_("There is no such record or field."))
    return case


def _must_wait(case: Case) -> None:
    told = {"field": case.field.label, "name": case.record}
    current = {case.key: {"npd": case.npd, "monday": case.monday}}
    if case.left_by:
        words = _("%(who)s has left %(field)s of %(name)s in NPD already. Undo that first.")
        raise NotWaiting(words % {**told, "who": case.left_by.get("who", "")}, current)
    if not case.record.may_sync:
        raise BadResolution(
            _("Sync is off for %(name)s, so nothing is sent. Switch it on at the record.") % told
        )
    if not case.waits:
        words = _("%(field)s of %(name)s waits for no answer any more: it was changed or sent since.")
        raise NotWaiting(words % told, current)


def _must_be_seen(case: Case, seen: Sides) -> None:
    now = {"npd": case.npd, "monday": case.monday}
    if not all(same(seen.get(side), value) for side, value in now.items()):
        words = _("%(field)s changed while you were deciding. Look at the values of now, then choose again.")
        raise StaleSeen(words % {"field": case.field.label}, {case.key: now})


def _left(case: Case, by: User) -> Decision:
    assert case.around.ledger is not None
    left = {"id": by.pk, "who": called(by), "at": sync_now().isoformat()}
    cell = {CELL: case.read[0]} if case.read else {}
    mark_left(case.around.ledger, case.key, left | cell)
    words = (
        "%(field)s “%(value)s” of %(name)s stays in NPD alone, as %(who)s chose: it isn’t sent until it or its "
        "column changes. Monday keeps %(monday)s."
    )
    told = words % {
        "field": case.field.label, "value": case.npd or "", "name": case.record, "who": called(by),
        "monday": _shown(case.monday),
    }  # fmt: skip
    return _keep(case, by, told, {"choose": NPD, LEFT_BY: left})


def _written(case: Case, by: User, choose: str, value: str) -> Decision:
    raw = _raw(case, choose, value)
    before, was = raw_of(case.record, case.field), case.npd
    _store(case, raw)
    now = raw_of_fields(case.record, before)
    after = case.shown.local(case.record, case.field, now)
    told = {
        "field": case.field.label,
        "name": case.record,
        "who": called(by),
        "was": _shown(was),
        "now": _shown(after),
    }
    if choose == MONDAY:
        words = "%(field)s of %(name)s is %(now)s as on Monday, as %(who)s chose; it was %(was)s, which Monday refused."
    elif now == before:
        words = "%(field)s %(now)s of %(name)s is sent to Monday once more, as %(who)s asked."
    else:
        words = (
            "%(field)s of %(name)s became %(now)s, typed by %(who)s, and is sent; "
            "it was %(was)s, which Monday refused."
        )
    moved = {} if now == before else {"raw_before": before, "raw_after": now}
    return _keep(case, by, words % told, {"choose": choose, "before": was, "after": after, **moved})


def _raw(case: Case, choose: str, value: str) -> dict[str, Any]:
    try:
        if choose == MONDAY:
            return case.of_monday()
        if choose == CUSTOM:
            return case.of_text(value)
    except NoWay as why:
        raise BadResolution(_("Nothing was stored."), {case.key: str(why)}) from why
    raise BadResolution(_("Nothing is chosen yet. Type another value, or choose a side."))


def _store(case: Case, raw: Mapping[str, Any]) -> None:
    model = type(case.record)
    try:
        with transaction.atomic():
            model._default_manager.filter(pk=case.record.pk).update(**to_store(model, raw))
    except (IntegrityError, DataError) as refused:
        why = str(refused).strip().splitlines()[0]
        problem = _("NPD’s database refused it: %(why)s") % {"why": why}
        raise BadResolution(_("Nothing was stored."), {case.key: problem}) from refused
    case.record.refresh_from_db(fields=list(raw))


def _shown(value: str | None) -> str:
    """A value in a sentence that is kept, and so is English for all readers."""
    with translation.override(WRITTEN_IN):
        return shown(value)


def _keep(case: Case, by: User, told: str, values: Mapping[str, Any], undoes: int | None = None) -> Decision:
    return Decision.objects.create(
        entity_type=case.around.entity_type,
        entity_id=case.record.pk,
        remote_id=case.record.monday_id or "",
        key=case.key,
        kind=KIND,
        sentence=told,
        values=dict(values),
        actor=called(by),
        cause={"by": called(by), "causes": ["person"]},
        undoes=undoes,
    )


def _wake(named: Named, cause: Cause) -> None:
    entity_type, entity_id, _key = named
    enqueue_many(entity_type, [entity_id], cause=cause, priority=Priority.PERSON)
    transaction.on_commit(partial(wake.board, entity_type), robust=True)


def last_answer(entity_type: str, entity_id: UUID, key: str) -> Decision | None:
    """The last answer that somebody gave about this field, or None."""
    rows = Decision.objects.filter(entity_type=entity_type, entity_id=entity_id, key=key, kind=KIND)
    return rows.order_by("-pk").first()
