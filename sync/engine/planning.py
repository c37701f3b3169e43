"""From both sides' values to the merge's decision on each field; carrying.py makes it concrete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sync.choices import SyncDirection
from sync.connectors.monday.converters import Converter, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.board import Board
from sync.engine.carrying import carry, choice_of, sides, typed_by
from sync.engine.edit_times import edited
from sync.engine.left_in_npd import kept_back
from sync.engine.planned import Planned
from sync.engine.related import NotFound
from sync.engine.subjects import Batch, Subject
from sync.engine.taking_back import with_choice
from sync.engine.undoing import plan_undo
from sync.engine.values import raw_of, relation_of
from sync.hooks import Choice
from sync.merge import Action, Base, Decision, Field, FieldRule, Picked, Way, decide
from sync.models import FieldMapping, SyncedModel

AS_SENT = "as_sent"
"""Marks a base whose Monday half is what we sent: what Monday answered was somebody's edit (weighing.py)."""


def plan(batch: Batch, subject: Subject, item: Item | None) -> None:
    """Decide every mapped field of a subject against its item; None is an item that is to be created."""
    for mapping in batch.board.mappings:
        planned = _plan_field(batch, subject, mapping, item)
        if planned is not None:
            subject.planned[mapping.key] = planned
    if item is not None and batch.board.link.npd_id_column:
        subject.write_npd_id = _npd_id_differs(batch.board, subject, item)


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


def _plan_field(batch: Batch, subject: Subject, mapping: FieldMapping, item: Item | None) -> Planned | None:
    convert = batch.board.converter(mapping, subject.record)
    local_raw = raw_of(subject.record, mapping)
    planned = Planned(mapping, convert, Decision(mapping.key, Action.UNDECIDED), local_raw)
    way = way_of(subject, mapping)
    if not mapping.column_id:
        return _unknown(planned, way, "It has no column on the board. Run `manage.py monday_setup`.")
    if item is None:
        return _plan_create(batch, subject, planned, way)
    try:
        planned.remote_raw = convert.raw_of(item.reading(mapping.column_id))
        convert.remote(planned.remote_raw)
    except UnknownValue as unknown:
        words = f"Its value on Monday is not known: {unknown}. Mend the column there, or run `manage.py monday_setup`."
        return _unknown(planned, way, mapping.problem or words)
    try:
        convert.local(local_raw)
    except UnknownValue as unknown:
        return _local_unknown(batch, subject, planned, way, unknown)
    return _decided(batch, subject, planned, way, item)


def _decided(batch: Batch, subject: Subject, planned: Planned, way: Way, item: Item) -> Planned:
    try:
        planned.base = base_after_intents(subject, planned, item)
        field = _field(batch, subject, planned, way)
    except UnknownValue as unknown:
        return _unknown(planned, way, f"The value last agreed on is not known any more: {unknown}.")
    if plan_undo(batch, subject, planned, field, item):
        return planned
    planned.decision = decide(field)
    return carry(batch, subject, planned, field)


def _unknown(planned: Planned, way: Way, words: str) -> Planned:
    """An unknown side leaves the field undecided; one that may not flow anyway needs no decision."""
    if way is Way.NONE:
        planned.decision = Decision(planned.mapping.key, Action.NOTHING, "its direction lets nothing flow")
        return planned
    return _undecided(planned, words)


def _undecided(planned: Planned, reason: str) -> Planned:
    planned.decision = Decision(planned.mapping.key, Action.UNDECIDED, reason)
    return planned.held(reason)


def _local_unknown(
    batch: Batch, subject: Subject, planned: Planned, way: Way, unknown: UnknownValue
) -> Planned:
    """A related record without an item: the relation waits for it, or is left out where it will get none."""
    if way is Way.TO_NPD:
        return _mirrored_over_unknown(batch, subject, planned)
    related = _related(subject, planned.mapping)
    if related is None or way is Way.NONE:
        return _unknown(planned, way, f"NPD's value can't be sent: {unknown}.")
    words, planned.left_out = batch.related.why_without_item(related)
    if planned.left_out and subject.ledger.held.get(planned.mapping.key, {}).get("reason") != words:
        subject.say("held", f"{planned.mapping.label}: {words}", planned.mapping.key)
    return _undecided(planned, words)


def _mirrored_over_unknown(batch: Batch, subject: Subject, planned: Planned) -> Planned:
    """One way to NPD the source alone counts: it is mirrored over a value that could not be sent."""
    field = Field(
        planned.mapping.key,
        local="(a value that Monday can't show)",
        remote=planned.convert.remote(planned.remote_raw),
        way=Way.TO_NPD,
        required=planned.mapping.required,
    )
    planned.decision = decide(field)
    return carry(batch, subject, planned, field)


def _related(subject: Subject, mapping: FieldMapping) -> SyncedModel | None:
    if relation_of(type(subject.record), mapping.fields) is None:
        return None
    return getattr(subject.record, mapping.fields[0])  # type: ignore[no-any-return]


def _plan_create(batch: Batch, subject: Subject, planned: Planned, way: Way) -> Planned | None:
    mapping, convert, local_raw = planned.mapping, planned.convert, planned.local_raw
    if way not in (Way.BOTH, Way.TO_MONDAY) and mapping.column_id != "name":
        return None
    planned.decision = Decision(mapping.key, Action.PUSH, "new on Monday")
    if mapping.problem:
        return _undecided(planned, mapping.problem)
    try:
        empty = convert.local(local_raw) is None
    except UnknownValue as unknown:
        return _local_unknown(batch, subject, planned, way, unknown)
    if reason := convert.limit(local_raw):
        return planned.held(reason, too_much=True)
    if empty:
        planned.decision = Decision(mapping.key, Action.AGREED, "empty on both sides")
    elif reason := kept_back(subject, planned):
        return planned.held(reason, refused=True)
    else:
        planned.send_raw = local_raw
    return planned


def base_after_intents(subject: Subject, planned: Planned, item: Item) -> dict[str, Any] | None:
    """Return the base as open intents leave it: a remote value equal to what one sent is our own write.

    A united list is no base before NPD holds it too: what it has from Monday would count as removed here.
    """
    mapping, convert = planned.mapping, planned.convert
    base = base_of(subject, mapping, item.id)
    if late := subject.late.get(mapping.key):
        base = new_base(mapping, item.id, late["local"], planned.remote_raw)
    for intent in subject.intents:
        entry = intent.values.get(mapping.key)
        if entry and entry["column"] == mapping.column_id and entry["version"] == mapping.version:
            landed = convert.local(entry["local"]) == convert.remote(planned.remote_raw)
            if landed:
                if not entry.get("united"):
                    base = new_base(mapping, item.id, entry["local"], planned.remote_raw)
                planned.landed = entry
                subject.intents_found[intent.pk] = item.id
    return base


def _field(batch: Batch, subject: Subject, planned: Planned, way: Way) -> Field:
    mapping, convert, base = planned.mapping, planned.convert, planned.base
    field = Field(
        key=mapping.key,
        local=convert.local(planned.local_raw),
        remote=convert.remote(planned.remote_raw),
        base=_agreed(planned),
        way=way,
        rule=FieldRule(mapping.rule),
        first_match=FieldRule(mapping.first_match),
        required=mapping.required,
        left_base=_pair(convert, subject.ledger.base.get(mapping.key)) if base is None else None,
    )
    if _needs_times(field):
        field = replace(field, edited=edited(batch, subject, planned, field))
    field = with_choice(batch, subject, planned, field)
    if field.picked:
        return field
    choice = choice_of(subject, mapping.key)
    return field if choice is None else _with_choice(batch, subject, planned, field, choice)


def _needs_times(field: Field) -> bool:
    """Whether the rule “newest” has to decide: the times cost queries, record by record."""
    if field.way is not Way.BOTH or field.local == field.remote:
        return False
    if field.base is None:
        return field.first_match is FieldRule.NEWEST
    moved = field.local != field.base.local and field.remote != field.base.remote
    return moved and field.rule is FieldRule.NEWEST


def _agreed(planned: Planned) -> Base | None:
    """Return the base pair; a cell that a removed item left empty counts as emptied by nobody."""
    base = planned.base
    if base is not None and _has_new_item(planned, base):
        return Base(planned.convert.local(base["local"]), None)
    return _pair(planned.convert, base)


def _has_new_item(planned: Planned, base: dict[str, Any]) -> bool:
    """Whether the cell is empty and the related record, the same as before, has another item by now."""
    if (
        planned.convert.column_type != "board_relation"
        or planned.convert.remote(planned.remote_raw) is not None
    ):
        return False
    now: Any = next(iter(planned.local_raw.values()), None)
    then: Any = next(iter(base["local"].values()), None)
    return bool(now and then) and now["id"] == then["id"] and now["item"] != then["item"]


def _pair(convert: Converter, entry: dict[str, Any] | None) -> Base | None:
    if entry is None:
        return None
    local = convert.local(entry["local"])
    return Base(local, local if entry.get(AS_SENT) else convert.remote(entry["remote"]))


def _with_choice(batch: Batch, subject: Subject, planned: Planned, field: Field, choice: Choice) -> Field:
    """A choice holds for exactly the values that its author saw, or for what our own call has made of Monday's."""
    if reason := _against_its_way(planned, field, choice):
        subject.rejected[field.key] = reason
        return field
    npd, _, monday = sides(planned, field)
    if planned.landed is not None:
        monday = choice.seen_monday or None
    if (npd, monday) != (choice.seen_npd or None, choice.seen_monday or None):
        subject.rejected[field.key] = (
            "The values changed after you chose. Look at them again and choose anew."
        )
        return field
    if choice.choose == "base" and field.base is None:
        subject.rejected[field.key] = (
            "Both sides never agreed on a value in this column, so there is no value to go back to. Choose another."
        )
        return field
    if choice.choose == "custom":
        try:
            value = planned.convert.local(typed_by(batch, subject, planned, choice))
        except (ValueError, NotFound) as refused:
            subject.rejected[field.key] = str(refused)
            return field
        return replace(field, picked=Picked("custom", value))
    return replace(field, picked=Picked(choice.choose))


_SOURCE = {Way.TO_MONDAY: ("npd", "NPD"), Way.TO_NPD: ("monday", "Monday")}


def _against_its_way(planned: Planned, field: Field, choice: Choice) -> str:
    """Why a choice can't be carried out on a field that flows one way by now; empty where it can."""
    chosen, source = _SOURCE.get(field.way, (choice.choose, ""))
    if chosen == choice.choose:
        return ""
    return (
        f"“{planned.mapping.label}” comes from {source} only by now, so only {source}'s value can be chosen. "
        f"Change the direction first."
    )
