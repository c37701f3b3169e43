"""From the merge's decision to the raw values that go to either side; what can't go there is held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.converters.elements import ListConverter
from sync.engine.left_in_npd import kept_back
from sync.engine.planned import Planned
from sync.engine.related import NotFound
from sync.engine.subjects import Batch, Subject
from sync.engine.typing_in import typed
from sync.engine.values import cleaned, relation_of
from sync.hooks import KIND_FIELDS, Choice, FieldConflict
from sync.merge import Action, Decision, Field


def carry(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Planned:  # noqa: PLR0911 - a table
    """Give the decision its raw values, and hold what can't be written on the side it should go to."""
    action = planned.decision.action
    if not subject.record.may_sync:
        return _by_name_only(planned)
    if field.picked and field.picked.anew:
        planned.choice = "" if action is Action.AGREED else field.picked.choose
    elif field.picked and (action in (Action.PUSH, Action.PULL, Action.BOTH) or planned.landed is not None):
        planned.choice = field.picked.choose
        planned.asked = _field_conflict(planned, field, "")
    match action:
        case Action.PUSH:
            return _push(subject, planned, planned.local_raw)
        case Action.PULL:
            return _pull(batch, subject, planned, field)
        case Action.BOTH:
            return _both(batch, subject, planned, field)
        case Action.CONFLICT:
            return _clash(batch, planned, field)
        case Action.HOLD | Action.UNDECIDED:
            return planned.held(planned.decision.reason)
        case _:
            return planned


def _push(subject: Subject, planned: Planned, raw: dict[str, Any]) -> Planned:
    if held := kept_back(subject, planned):
        return planned.held(held, refused=True)
    if reason := planned.convert.limit(raw):
        return planned.held(reason, too_much=True)
    planned.send_raw = raw
    return planned


def _pull(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Planned:
    convert = planned.convert
    if field.remote is None and (reason := _emptied_by_a_deletion(batch, subject, planned)):
        planned.decision = Decision(field.key, Action.UNDECIDED, reason)
        return planned.held(reason)
    try:
        raw = convert.to_local(planned.remote_raw, planned.local_raw)
    except CannotSplit as unsure:
        if planned.choice != "monday":
            return _conflict(planned, field, str(unsure))
        raw = convert.from_text(convert.display(field.remote), planned.local_raw)
    except UnknownValue as unknown:
        return planned.held(f"NPD can't take Monday's value: {unknown}. Correct it on the board.")
    return _into_npd(batch, subject, planned, raw)


def _emptied_by_a_deletion(batch: Batch, subject: Subject, planned: Planned) -> str:
    """Why a cell of connected boards is empty that nobody emptied: an item that is gone leaves every such cell."""
    if planned.convert.column_type != "board_relation":
        return ""
    related = getattr(subject.record, planned.mapping.fields[0])
    if related is None or not batch.related.lost_its_item(related):
        return ""
    kind = related._meta.verbose_name
    return (
        f"The item of the {kind} “{related}” is gone from its board, so Monday doesn't show it here any more. "
        f"NPD keeps it. Settle first what becomes of the {kind}, or choose another here."
    )


def _both(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Planned:
    """Write both sides; lists that are united, only where each of them can hold every element."""
    try:
        raw = _chosen_raw(batch, subject, planned, field)
    except UnknownValue as unknown:
        return planned.held(f"The lists can't be united: {unknown}. Change that element on either side.")
    planned = _into_npd(batch, subject, planned, raw)
    return planned if planned.hold else _push(subject, planned, planned.write_raw or {})


def _chosen_raw(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Mapping[str, Any]:
    if not field.picked and isinstance(planned.convert, ListConverter):
        return planned.convert.united(planned.decision.value, planned.remote_raw, planned.local_raw)
    if planned.takes_back is not None:
        return typed(
            planned.convert, subject.record, planned.mapping.fields, planned.takes_back, batch.related
        )
    if planned.choice == "base" and planned.base is not None:
        return dict(planned.base["local"])
    choice = choice_of(subject, planned.mapping.key)
    return typed_by(batch, subject, planned, choice) if choice else planned.local_raw


def choice_of(subject: Subject, key: str) -> Choice | None:
    """Return what a person chose for a field in conflict, if anybody did."""
    return next(
        (c.choices[key] for c in subject.conflicts if c.kind == KIND_FIELDS and key in c.choices), None
    )


def typed_by(batch: Batch, subject: Subject, planned: Planned, choice: Choice) -> dict[str, Any]:
    """Return the raw values of what a person typed; raises ValueError, NotFound, both in words."""
    text = choice.value or ""
    return typed(planned.convert, subject.record, planned.mapping.fields, text, batch.related)


def _into_npd(batch: Batch, subject: Subject, planned: Planned, raw: Mapping[str, Any]) -> Planned:
    """Take a value over if NPD's own constraints allow it, else hold it with the reason."""
    try:
        full = batch.related.completed(type(subject.record), raw)
        planned.write_raw = cleaned(subject.record, full)
    except NotFound as unknown:
        return _awaiting(planned, unknown)
    except ValidationError as refused:
        return planned.held(
            f"NPD can't take Monday's value: {' '.join(refused.messages)} Correct it on the board."
        )
    return planned


def _awaiting(planned: Planned, unknown: NotFound) -> Planned:
    """A relation to what is no record, or not surely one, is not decided; it is looked at again when one comes."""
    planned.decision = Decision(planned.mapping.key, Action.UNDECIDED, str(unknown))
    planned.awaits = unknown.awaits
    return planned.held(str(unknown))


def _clash(batch: Batch, planned: Planned, field: Field) -> Planned:
    """A conflict needs two known sides: whom Monday's relation names has to be known."""
    if relation_of(batch.board.model, planned.mapping.fields) is not None:
        try:
            raw = planned.convert.to_local(planned.remote_raw, planned.local_raw)
            batch.related.completed(batch.board.model, raw)
        except UnknownValue as unknown:
            return planned.held(f"Monday's value is not known: {unknown}.")
        except NotFound as unknown:
            return _awaiting(planned, unknown)
    return _conflict(planned, field, planned.decision.reason)


def _conflict(planned: Planned, field: Field, note: str) -> Planned:
    planned.decision = Decision(field.key, Action.CONFLICT, note)
    planned.conflict = _field_conflict(planned, field, note)
    return planned


def _field_conflict(planned: Planned, field: Field, note: str) -> FieldConflict:
    npd, base, monday = sides(planned, field)
    return FieldConflict(key=field.key, npd=npd, base=base, monday=monday, note=note)


def sides(planned: Planned, field: Field) -> tuple[str | None, str | None, str | None]:
    """Return NPD's, the last agreed and Monday's value as a person reads them, None where there is none.

    Two related records of one name are told apart by their items.
    """
    values = (field.local, field.base.local if field.base else None, field.remote)
    shown = [planned.convert.display(value) or None for value in values]
    twins = {
        text
        for text in shown
        if text and len({v for v, s in zip(values, shown, strict=True) if s == text}) > 1
    }
    if planned.convert.column_type == "board_relation":
        shown = [f"{s} (item {v})" if s in twins else s for v, s in zip(values, shown, strict=True)]
    return shown[0], shown[1], shown[2]


def _by_name_only(planned: Planned) -> Planned:
    """A record without sync that a person pushes by name: what NPD changed is sent, nothing else happens."""
    action = planned.decision.action
    if action is Action.PUSH:
        planned.send_raw = planned.local_raw
        reason = planned.convert.limit(planned.local_raw)
        return planned.held(reason, too_much=True) if reason else planned
    if action is Action.CONFLICT:
        return planned.held("It was changed on Monday too, so it was not sent. Turn sync on to settle it.")
    if action in (Action.PULL, Action.BOTH):
        planned.decision = Decision(planned.mapping.key, Action.NOTHING, "sync is off")
    return planned
