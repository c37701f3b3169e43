"""From both sides' values to what a look does with each field: the merge's decision, made concrete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field as ModelField

from sync.choices import Cause, SyncDirection
from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.subjects import Board, Planned, Subject, converter_of, raw_of
from sync.hooks import KIND_FIELDS, Choice, FieldConflict
from sync.merge import Action, Base, Decision, Field, FieldRule, Picked, Way, decide
from sync.models import FieldMapping


def plan(board: Board, subject: Subject, item: Item | None) -> None:
    """Decide every mapped field of a subject against its item; None is an item that is to be created."""
    for mapping in board.mappings:
        planned = _plan_field(board, subject, mapping, item)
        if planned is not None:
            subject.planned[mapping.key] = planned
    if item is not None and board.link.npd_id_column:
        subject.write_npd_id = _npd_id_differs(board, subject, item)


def _npd_id_differs(board: Board, subject: Subject, item: Item) -> bool:
    reading = item.reading(board.link.npd_id_column)
    return reading.known and (reading.text or "").strip() != str(subject.id)


def way_of(subject: Subject, mapping: FieldMapping) -> Way:
    """Return the ways that both the record's and the mapping's direction allow."""
    directions = {subject.record.sync_direction, mapping.direction}
    if SyncDirection.NONE in directions:
        return Way.NONE
    up = SyncDirection.MONDAY_TO_NPD not in directions
    down = SyncDirection.NPD_TO_MONDAY not in directions
    return {(True, True): Way.BOTH, (True, False): Way.TO_MONDAY, (False, True): Way.TO_NPD}.get(
        (up, down), Way.NONE
    )


def base_of(subject: Subject, mapping: FieldMapping, item_id: str) -> dict[str, Any] | None:
    """Return the base pair if it belongs to this item, column and mapping version; else there is no base."""
    entry = subject.ledger.base.get(mapping.key)
    identity = (item_id, mapping.column_id, mapping.version)
    return entry if entry and (entry["item"], entry["column"], entry["version"]) == identity else None


def new_base(mapping: FieldMapping, item_id: str, local_raw: Any, remote_raw: Any) -> dict[str, Any]:
    """Return a base pair with the identity it belongs to."""
    return {
        "local": local_raw,
        "remote": remote_raw,
        "item": item_id,
        "column": mapping.column_id,
        "version": mapping.version,
    }


def _plan_field(board: Board, subject: Subject, mapping: FieldMapping, item: Item | None) -> Planned | None:
    local_raw = raw_of(subject.record, mapping)
    if not mapping.column_id:
        return _held(
            subject, mapping, local_raw, "It has no column on the board. Run `manage.py monday_setup`."
        )
    if item is None:
        return _planned_create(subject, mapping, local_raw)
    try:
        remote_raw = converter_of(mapping).raw_of(item.reading(mapping.column_id))
    except UnknownValue as unknown:
        words = f"Its value on Monday is not known: {unknown}. Mend the column there, or run `manage.py monday_setup`."
        return _held(subject, mapping, local_raw, words)
    base = _base_after_intents(subject, mapping, item, remote_raw)
    field = _field(subject, mapping, local_raw, remote_raw, base, item)
    planned = Planned(mapping, decide(field), local_raw, remote_raw, base=base)
    return _concrete(subject, planned, field)


def _planned_create(subject: Subject, mapping: FieldMapping, local_raw: dict[str, Any]) -> Planned | None:
    convert = converter_of(mapping)
    if way_of(subject, mapping) not in (Way.BOTH, Way.TO_MONDAY) and mapping.column_id != "name":
        return None
    planned = Planned(
        mapping, Decision(mapping.key, Action.PUSH, "new on Monday"), local_raw, send_raw=local_raw
    )
    if reason := convert.limit(local_raw):
        return _hold(planned, reason)
    if convert.local(local_raw) is None:
        return Planned(mapping, Decision(mapping.key, Action.AGREED, "empty on both sides"), local_raw)
    if _stays_held(subject, planned):
        return _hold(planned, subject.ledger.held[mapping.key]["reason"])
    return planned


def _base_after_intents(
    subject: Subject, mapping: FieldMapping, item: Item, remote_raw: Any
) -> dict[str, Any] | None:
    """An intent without an answer: a remote value equal to what it sent is our own write, and the base takes it."""
    convert = converter_of(mapping)
    base = base_of(subject, mapping, item.id)
    for intent in subject.intents:
        entry = intent.values.get(mapping.key)
        if entry and entry["column"] == mapping.column_id and entry["version"] == mapping.version:
            landed = convert.local(entry["local"]) == convert.remote(remote_raw)
            if landed:
                base = new_base(mapping, item.id, entry["local"], remote_raw)
                subject.intents_found[intent.pk] = item.id
    return base


def _field(
    subject: Subject,
    mapping: FieldMapping,
    local_raw: dict[str, Any],
    remote_raw: Any,
    base: dict[str, Any] | None,
    item: Item,
) -> Field:
    convert = converter_of(mapping)
    field = Field(
        key=mapping.key,
        local=convert.local(local_raw),
        remote=convert.remote(remote_raw),
        base=_pair(mapping, base),
        way=way_of(subject, mapping),
        rule=FieldRule(mapping.rule),
        first_match=FieldRule(mapping.first_match),
        required=mapping.required,
        left_base=_pair(mapping, subject.ledger.base.get(mapping.key)) if base is None else None,
    )
    choice = _choice_of(subject, mapping.key)
    return field if choice is None else _with_choice(subject, field, choice, local_raw, mapping)


def _pair(mapping: FieldMapping, entry: dict[str, Any] | None) -> Base | None:
    if entry is None:
        return None
    convert = converter_of(mapping)
    return Base(convert.local(entry["local"]), convert.remote(entry["remote"]))


def _choice_of(subject: Subject, key: str) -> Choice | None:
    return next(
        (c.choices[key] for c in subject.conflicts if c.kind == KIND_FIELDS and key in c.choices), None
    )


def _with_choice(
    subject: Subject, field: Field, choice: Choice, local_raw: dict[str, Any], mapping: FieldMapping
) -> Field:
    """A choice holds for exactly the values that its author saw."""
    convert = converter_of(mapping)
    now = (convert.display(field.local) or None, convert.display(field.remote) or None)
    if now != (choice.seen_npd or None, choice.seen_monday or None):
        subject.rejected[field.key] = (
            "The values changed after you chose. Look at them again and choose anew."
        )
        return field
    if choice.choose == "custom":
        try:
            value = convert.local(convert.from_text(choice.value or "", local_raw))
        except ValueError as refused:
            subject.rejected[field.key] = str(refused)
            return field
        return replace(field, picked=Picked("custom", value))
    return replace(field, picked=Picked(choice.choose))


def _concrete(subject: Subject, planned: Planned, field: Field) -> Planned:  # noqa: PLR0911 - a table
    """Give the decision its raw values, and hold what can't be written on the side it should go to."""
    action = planned.decision.action
    if not subject.record.may_sync:
        return _by_name_only(planned)
    if field.picked and action in (Action.PUSH, Action.PULL, Action.BOTH):
        planned.choice = field.picked.choose
        planned.asked = _field_conflict(planned, field, "")
    match action:
        case Action.PUSH:
            return _push(subject, planned, planned.local_raw)
        case Action.PULL:
            return _pull(subject, planned, field)
        case Action.BOTH:
            return _both(subject, planned)
        case Action.CONFLICT:
            return _conflict(planned, field, planned.decision.reason)
        case Action.HOLD | Action.UNDECIDED:
            return _hold(planned, planned.decision.reason)
        case _:
            return planned


def _push(subject: Subject, planned: Planned, raw: dict[str, Any]) -> Planned:
    if _stays_held(subject, planned):
        return _hold(planned, subject.ledger.held[planned.mapping.key]["reason"])
    if reason := converter_of(planned.mapping).limit(raw):
        return _hold(planned, reason)
    planned.send_raw = raw
    return planned


def _stays_held(subject: Subject, planned: Planned) -> bool:
    """What Monday refused is not sent again until the value, the column or a person changes it."""
    held = subject.ledger.held.get(planned.mapping.key)
    if not held or held["side"] != "monday" or subject.causes & Cause.PERSON:
        return False
    same_place = (held["column"], held["version"]) == (planned.mapping.column_id, planned.mapping.version)
    return bool(same_place and held["local"] == planned.local_raw)


def _pull(subject: Subject, planned: Planned, field: Field) -> Planned:
    convert = converter_of(planned.mapping)
    try:
        raw = dict(convert.to_local(planned.remote_raw, planned.local_raw))
    except CannotSplit as unsure:
        if planned.choice != "monday":
            return _conflict(planned, field, str(unsure))
        raw = dict(convert.from_text(convert.display(field.remote), planned.local_raw))
    return _into_npd(subject, planned, raw)


def _both(subject: Subject, planned: Planned) -> Planned:
    raw = _chosen_raw(subject, planned)
    planned = _into_npd(subject, planned, raw)
    return planned if planned.hold else _push(subject, planned, raw)


def _chosen_raw(subject: Subject, planned: Planned) -> dict[str, Any]:
    if planned.choice == "base" and planned.base is not None:
        return dict(planned.base["local"])
    choice = _choice_of(subject, planned.mapping.key)
    typed = (choice.value if choice else "") or ""
    return {k: v or "" for k, v in converter_of(planned.mapping).from_text(typed, planned.local_raw).items()}


def _into_npd(subject: Subject, planned: Planned, raw: dict[str, Any]) -> Planned:
    """Take a value over if NPD's own constraints allow it, else hold it with the reason."""
    try:
        cleaned = {
            name: _model_field(subject, name).clean(value or "", subject.record)
            for name, value in raw.items()
        }
    except ValidationError as refused:
        return _hold(
            planned, f"NPD can't take Monday's value: {' '.join(refused.messages)} Correct it on the board."
        )
    planned.write_raw = cleaned
    return planned


def _model_field(subject: Subject, name: str) -> ModelField[Any, Any]:
    return subject.record._meta.get_field(name)  # type: ignore[return-value]


def _conflict(planned: Planned, field: Field, note: str) -> Planned:
    planned.decision = Decision(field.key, Action.CONFLICT, note)
    planned.conflict = _field_conflict(planned, field, note)
    return planned


def _field_conflict(planned: Planned, field: Field, note: str) -> FieldConflict:
    display = converter_of(planned.mapping).display
    return FieldConflict(
        key=field.key,
        npd=display(field.local) or None,
        base=display(field.base.local) or None if field.base else None,
        monday=display(field.remote) or None,
        note=note,
    )


def _by_name_only(planned: Planned) -> Planned:
    """A record without sync that a person pushes by name: what NPD changed is sent, nothing else happens."""
    action = planned.decision.action
    if action is Action.PUSH:
        planned.send_raw = planned.local_raw
        reason = converter_of(planned.mapping).limit(planned.local_raw)
        return _hold(planned, reason) if reason else planned
    if action is Action.CONFLICT:
        return _hold(planned, "It was changed on Monday too, so it was not sent. Turn sync on to settle it.")
    if action in (Action.PULL, Action.BOTH):
        planned.decision = Decision(planned.mapping.key, Action.NOTHING, "sync is off")
    return planned


def _hold(planned: Planned, reason: str) -> Planned:
    planned.hold = reason
    planned.send_raw = planned.write_raw = None
    return planned


def _held(subject: Subject, mapping: FieldMapping, local_raw: dict[str, Any], reason: str) -> Planned:
    return _hold(Planned(mapping, Decision(mapping.key, Action.UNDECIDED, reason), local_raw), reason)
