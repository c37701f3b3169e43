"""From both sides' values to what goes where, field by field: merge, a person's resolution, and what can't go there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection

from sync.choices import BlockedCode, Cause, SyncDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import AmbiguousSplit, Converter, ListConverter, UnknownValue
from sync.kernel.conflict_store import KIND_FIELDS
from sync.merge import (
    Action,
    Base,
    Canonical,
    EditTimes,
    Field,
    FieldDecision,
    FieldDirection,
    FieldSides,
    Rule,
    Side,
    Unknown,
    decide_field,
)
from sync.models import FieldMapping, SyncMetadata, WebhookEvent
from sync.reconcile.batch import Batch, FieldPlan, RecordSync
from sync.reconcile.facts import ReceivedEvent, RecordFacts, change_events
from sync.reconcile.field_values import RelatedNotFound, clean_values, field_of, stored_values
from sync.reconcile.resolutions import as_conflict, plan_undo, typed_values, with_resolution
from sync.records.authors import latest_edits
from sync.records.blocked_fields import KEPT_BY, KEPT_ENTRY, KEPT_REMOTE, LEFT_OUT, SIDE_MONDAY, is_rejected, kept_entry
from sync.registry import relation_of

# When a field was edited on each side, as far as NPD's history and Monday's own times tell.


def _npd_edit_time(record_sync: RecordSync, field_plan: FieldPlan) -> datetime | None:
    """The change in NPD's history that gave the field its value; what the sync itself wrote is nobody's edit."""
    history = latest_edits(type(record_sync.record), [record_sync.id]).get(record_sync.id, [])
    names = [field_of(record_sync.record, name).attname for name in field_plan.mapping.fields]
    for event, before in zip(history, [*history[1:], None], strict=True):
        if before is None and event.pgh_label != "insert":
            return None
        if before is None or any(getattr(event, name) != getattr(before, name) for name in names):
            context = event.pgh_context.metadata if event.pgh_context else {}
            if context.get("cause") == "sync":
                return None
            # History takes PostgreSQL's own time, everything else `sync_now()`, which tests move.
            with connection.cursor() as cursor:
                cursor.execute("SELECT sync_now() - clock_timestamp()")
                ahead: timedelta = cursor.fetchone()[0]
            # The two are read a moment apart; what is left then is no difference of clocks.
            at: datetime = event.pgh_created_at
            return at + ahead if abs(ahead) > timedelta(seconds=1) else at
    return None


def _monday_edit_time(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, field: Field) -> datetime | None:
    """When the newest event told just this value, else the time that the column itself keeps, as dates do.

    A later event of another value says that the one which brought this value back never came.
    """
    rows = WebhookEvent.objects.filter(
        item_id=record_sync.record.monday_id,
        board_id=batch.link.board_id,
        received_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    )
    changes = [
        event
        for event in change_events(batch.board, record_sync.record, map(ReceivedEvent.of, rows))
        if event.key == field.key
    ]
    newest = max((event.at for event in changes), default=None)
    if any(event.value == field.remote for event in changes if event.at == newest):
        return newest
    value = record_sync.item.reading(field_plan.mapping.column_id).value if record_sync.item else None
    changed_at = value.get("changed_at") if isinstance(value, Mapping) else None
    try:
        at = datetime.fromisoformat(changed_at) if isinstance(changed_at, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


# What Monday refused, from pass to pass: kept back, and left in NPD where a person said so.
#
# What a person left stays left until the value, its column or the mapping's version changes, also
# through passes that can't read the cell and through a conflict on the field. It is left beside what
# stood on Monday then: once a pass finds another value there, and sees no conflict in it, people
# are asked anew.


def rejection_reason(record_sync: RecordSync, field_plan: FieldPlan) -> str:
    """Why a value that Monday refused isn't sent again, until it, its column or a person changes that; else empty.

    A value that a person left in NPD stays there, whatever else a person asks of the record; one that is chosen in a
    conflict goes.
    """
    entry = record_sync.ledger.blocked_fields.get(field_plan.mapping.key)
    kept = kept_entry(entry)
    known = kept or entry
    if not known or known["side"] != SIDE_MONDAY or not _is_same_value(known, field_plan):
        return ""
    by_person = bool(record_sync.causes & Cause.PERSON)
    if kept is None:
        return "" if by_person else str(known["reason"])
    is_requested = (by_person or bool(field_plan.choose)) and not _is_monday_unchanged(kept, record_sync, field_plan)
    return "" if is_requested else str(known["reason"])


def is_kept_different(record_sync: RecordSync, field_plan: FieldPlan) -> bool:
    """Whether the value stays in NPD alone as a person said: the field is decided, though its sides differ."""
    kept = kept_entry(record_sync.ledger.blocked_fields.get(field_plan.mapping.key))
    return (
        kept is not None
        and field_plan.blocked_code in (BlockedCode.REJECTED, BlockedCode.LIMIT)
        and _is_same_value(kept, field_plan)
        and _is_monday_unchanged(kept, record_sync, field_plan)
    )


def with_kept_different(record_sync: RecordSync, found: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a pass found blocked, with what stays left of what was blocked `before`."""
    for key, field_plan in record_sync.field_plans.items():
        kept, entry = kept_entry(before.get(key)), found.get(key)
        if kept is None or not _is_same_value(kept, field_plan):
            continue
        if entry is None:
            if field_plan.decision.action is Action.CONFLICT:
                found[key] = kept
        elif not is_rejected(entry):
            entry[KEPT_ENTRY] = kept
        elif _is_monday_unchanged(kept, record_sync, field_plan):
            mark = {name: value for name, value in kept[KEPT_BY].items() if record_sync.item or name != KEPT_REMOTE}
            shown = {KEPT_REMOTE: field_plan.remote_raw} if record_sync.item else {}
            entry[KEPT_BY] = {**shown, **mark}
    return found


def _is_same_value(entry: Mapping[str, Any], field_plan: FieldPlan) -> bool:
    return bool(entry["local"] == field_plan.local_raw) and field_plan.mapping.is_current(entry)


def _is_monday_unchanged(kept: Mapping[str, Any], record_sync: RecordSync, field_plan: FieldPlan) -> bool:
    """Whether Monday shows what it showed when the value was left; an item that is new has shown nothing yet."""
    mark = kept[KEPT_BY]
    if record_sync.item is None or KEPT_REMOTE not in mark:
        return True
    try:
        return field_plan.convert.remote(mark[KEPT_REMOTE]) == field_plan.convert.remote(field_plan.remote_raw)
    except UnknownValue:
        return False


# From the merge's decision to the raw values that go to either side; what can't go there is blocked.


def apply_decision(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, field: Field) -> FieldPlan:  # noqa: PLR0911 - a table
    """Give the decision its raw values, and block what can't be written on the side it should go to."""
    action = field_plan.decision.action
    if not record_sync.record.may_sync:
        return _plan_push_by_name(replace(field_plan, resolves=None))
    if field_plan.resolved_kind == KIND_FIELDS:
        is_carried_out = action in (Action.PUSH, Action.PULL, Action.BOTH) or field_plan.confirmed_entry is not None
        field_plan = field_plan if is_carried_out else replace(field_plan, resolves=None)
    match action:
        case Action.PUSH:
            return _plan_push(record_sync, field_plan, field_plan.local_raw)
        case Action.PULL:
            return _plan_pull(batch, record_sync, field_plan, field)
        case Action.BOTH:
            # Both sides are written; lists that are united, only where each of them can hold every element.
            try:
                raw = _resolved_raw(batch, record_sync, field_plan, field)
            except UnknownValue as unknown:
                return field_plan.block(
                    BlockedCode.INVALID, f"The lists can't be merged: {unknown}. Change that element on either side."
                )
            written = _plan_local_write(batch, record_sync, field_plan, raw)
            return written if written.blocked_reason else _plan_push(record_sync, written, written.write_raw or {})
        case Action.CONFLICT:
            return _plan_conflict(batch, field_plan)
        case Action.HOLD | Action.UNDECIDED:
            return field_plan.block(BlockedCode.REQUIRED, field_plan.decision.reason)
        case _:
            return field_plan


def _plan_push(record_sync: RecordSync, field_plan: FieldPlan, raw: dict[str, Any]) -> FieldPlan:
    if rejection := rejection_reason(record_sync, field_plan):
        return field_plan.block(BlockedCode.REJECTED, rejection)
    if reason := field_plan.convert.rejection_reason(raw):
        return field_plan.block(BlockedCode.LIMIT, reason)
    return replace(field_plan, send_raw=raw)


def _plan_pull(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, field: Field) -> FieldPlan:
    convert = field_plan.convert
    if field.remote is None and convert.names_items:
        # An item that is gone leaves every cell of connected boards empty, though nobody emptied it.
        related = getattr(record_sync.record, field_plan.mapping.fields[0])
        if related is not None and batch.related.has_removed_item(related):
            kind = related._meta.verbose_name
            return _block_undecided(
                field_plan,
                BlockedCode.RELATION,
                f"The item of the {kind} “{related}” left its board, so Monday doesn't show it here any more. NPD "
                f"keeps it. First decide what happens to the {kind}, or choose another here.",
            )
    try:
        raw = convert.to_local(field_plan.remote_raw, field_plan.local_raw)
    except AmbiguousSplit as unsplit:
        if field_plan.choose != "monday":
            return _set_conflict(field_plan, str(unsplit))
        raw = convert.from_text(convert.display(field.remote), field_plan.local_raw)
    except UnknownValue as unknown:
        return field_plan.block(
            BlockedCode.INVALID, f"NPD can't take Monday's value: {unknown}. Correct it on the board."
        )
    return _plan_local_write(batch, record_sync, field_plan, raw)


def _resolved_raw(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, field: Field) -> Mapping[str, Any]:
    if not field.resolution and isinstance(field_plan.convert, ListConverter):
        return field_plan.convert.merge_elements(field_plan.decision.value, field_plan.remote_raw, field_plan.local_raw)
    if field_plan.resolves is None:
        return field_plan.local_raw
    if field_plan.choose == "base" and field_plan.base is not None:
        return dict(field_plan.base["local"])
    return typed_values(batch, record_sync, field_plan)


def _plan_local_write(
    batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, raw: Mapping[str, Any]
) -> FieldPlan:
    """Take a value over if NPD's own constraints allow it, else block it with the reason."""
    try:
        full = batch.related.resolve(type(record_sync.record), raw)
        return replace(field_plan, write_raw=clean_values(record_sync.record, full))
    except RelatedNotFound as unknown:
        return _await_related(field_plan, unknown)
    except ValidationError as invalid:
        return field_plan.block(
            BlockedCode.INVALID, f"NPD can't take Monday's value: {' '.join(invalid.messages)} Correct it on the board."
        )


def _await_related(field_plan: FieldPlan, unknown: RelatedNotFound) -> FieldPlan:
    """A relation to what is no record, or not surely one, is not decided; it is checked again when one comes."""
    return replace(_block_undecided(field_plan, BlockedCode.RELATION, str(unknown)), awaits=unknown.awaits)


def _plan_conflict(batch: Batch, field_plan: FieldPlan) -> FieldPlan:
    """A conflict needs two known sides: whom Monday's relation names has to be known."""
    if relation_of(batch.board.model, field_plan.mapping.fields) is not None:
        try:
            raw = field_plan.convert.to_local(field_plan.remote_raw, field_plan.local_raw)
            batch.related.resolve(batch.board.model, raw)
        except UnknownValue as unknown:
            return field_plan.block(BlockedCode.UNKNOWN, f"Monday's value is not known: {unknown}.")
        except RelatedNotFound as unknown:
            return _await_related(field_plan, unknown)
    return _set_conflict(field_plan, field_plan.decision.reason)


def _set_conflict(field_plan: FieldPlan, reason: str) -> FieldPlan:
    decision = FieldDecision(field_plan.mapping.key, Action.CONFLICT, reason)
    return replace(field_plan, decision=decision, conflict=as_conflict(field_plan, reason))


def _plan_push_by_name(field_plan: FieldPlan) -> FieldPlan:
    """A record without sync that a person pushes by name: what NPD changed is sent, nothing else happens."""
    action = field_plan.decision.action
    if action is Action.PUSH:
        if reason := field_plan.convert.rejection_reason(field_plan.local_raw):
            return field_plan.block(BlockedCode.LIMIT, reason)
        return replace(field_plan, send_raw=field_plan.local_raw)
    if action is Action.CONFLICT:
        return field_plan.block(
            BlockedCode.DIRECTION, "It was changed on Monday too, so it was not sent. Turn sync on to resolve it."
        )
    if action in (Action.PULL, Action.BOTH):
        return replace(field_plan, decision=FieldDecision(field_plan.mapping.key, Action.NOTHING, "sync is off"))
    return field_plan


# From both sides' values to the merge's decision on each field, which the section above makes concrete.


AS_SENT = "as_sent"
"""Marks a base whose Monday half is what we sent: what Monday answered was somebody's edit (lost_updates.py)."""


def plan(batch: Batch, record_sync: RecordSync, item: Item | None) -> None:
    """Decide every mapped field of a record against its item; None is an item that is to be created.

    A record that may only take over from Monday makes no item there.
    """
    for mapping in batch.board.mappings:
        field_plan = _plan_field(batch, record_sync, mapping, item)
        if field_plan is not None:
            record_sync.field_plans[mapping.key] = field_plan
    if item is not None and batch.link.npd_id_column:
        reading = item.reading(batch.link.npd_id_column)
        record_sync.write_npd_id = reading.known and (reading.text or "").strip() != str(record_sync.id)
    if record_sync.creates and record_sync.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        record_sync.leave_open(
            "There is no item for it on Monday, and its direction lets nothing be sent. "
            "Create the item on the board, or change the direction."
        )


def way_of(facts: RecordSync | RecordFacts, mapping: FieldMapping) -> FieldDirection:
    """Return the ways that both the record's and the mapping's direction allow."""
    directions = {facts.record.sync_direction, mapping.direction}
    up = SyncDirection.NONE not in directions and SyncDirection.MONDAY_TO_NPD not in directions
    down = SyncDirection.NONE not in directions and SyncDirection.NPD_TO_MONDAY not in directions
    if up:
        return FieldDirection.BOTH if down else FieldDirection.TO_MONDAY
    return FieldDirection.TO_NPD if down else FieldDirection.NONE


def base_of(ledger: SyncMetadata, mapping: FieldMapping, item_id: str) -> dict[str, Any] | None:
    """Return the base pair if it belongs to this item, column and mapping version; else there is no base."""
    entry = ledger.base.get(mapping.key)
    return entry if entry and entry["item"] == item_id and mapping.is_current(entry) else None


def new_base(mapping: FieldMapping, item_id: str, local_raw: Any, remote_raw: Any) -> dict[str, Any]:
    """Return a base pair with the identity it belongs to."""
    return {
        "local": local_raw,
        "remote": remote_raw,
        "item": item_id,
        "column": mapping.column_id,
        "version": mapping.version,
    }


def base_remote(convert: Converter, entry: dict[str, Any]) -> Canonical:
    """Return the Monday half of a base; where Monday's answer was somebody's edit, what we sent and not that."""
    return convert.local(entry["local"]) if entry.get(AS_SENT) else convert.remote(entry["remote"])


UNREAD: Any = Unknown("It was not read.")


def sides_of(
    convert: Converter, base: dict[str, Any] | None, *, local: Any = UNREAD, remote: Any = UNREAD
) -> FieldSides:
    """Return a field's raw values in the form in which they are compared with its base.

    Of a side that isn't given its half of the base isn't asked for either: some take long.
    """
    here = local if isinstance(local, Unknown) else _side_of(convert.local, local)
    there = remote if isinstance(remote, Unknown) else _side_of(convert.remote, remote)
    if base is None:
        return FieldSides(here, there)
    # Nearly always each raw value is its half of the base, whose form is then the same.
    is_local_same = local is UNREAD or local == base["local"]
    is_remote_same = remote is UNREAD or (remote == base["remote"] and not base.get(AS_SENT))
    pair = (
        here if is_local_same else _side_of(convert.local, base["local"]),
        there if is_remote_same else _side_of(partial(base_remote, convert), base),
    )
    return FieldSides(here, there, pair)


def cell_of(convert: Converter, mapping: FieldMapping, item: Item) -> Any:
    """Return the raw value of an item's column, or Unknown with the reason."""
    try:
        return convert.stored_value(item.reading(mapping.column_id))
    except UnknownValue as unknown:
        return Unknown(str(unknown))


def _side_of(read: Callable[[Any], Canonical], raw: Any) -> Side:
    try:
        return read(raw)
    except UnknownValue as unknown:
        return Unknown(str(unknown))


def _plan_field(batch: Batch, record_sync: RecordSync, mapping: FieldMapping, item: Item | None) -> FieldPlan | None:
    convert = batch.board.converter(mapping, record_sync.record)
    local_raw = stored_values(record_sync.record, mapping)
    field_plan = FieldPlan(mapping, convert, FieldDecision(mapping.key, Action.UNDECIDED), local_raw)
    way = way_of(record_sync, mapping)
    if not mapping.column_id:
        missing = "It has no column on the board. Create one under “Blocked fields”."
        return _plan_unknown(field_plan, way, BlockedCode.COLUMN, missing)
    if item is None:
        return _plan_create(batch, record_sync, field_plan, way)
    try:
        field_plan = replace(field_plan, remote_raw=convert.stored_value(item.reading(mapping.column_id)))
        convert.remote(field_plan.remote_raw)
    except UnknownValue as unknown:
        detail = f"Its value on Monday is not known: {unknown}. Fix it there, or choose another column."
        code = BlockedCode.COLUMN if mapping.problem else BlockedCode.UNKNOWN
        return _plan_unknown(field_plan, way, code, mapping.problem or detail)
    try:
        convert.local(local_raw)
    except UnknownValue as unknown:
        return _plan_unknown_local(batch, record_sync, field_plan, way, unknown)
    return _plan_merged(batch, record_sync, field_plan, way, item)


def _plan_merged(
    batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, way: FieldDirection, item: Item
) -> FieldPlan:
    try:
        base, confirmed_entry = base_after_intents(
            record_sync, field_plan.mapping, field_plan.convert, field_plan.remote_raw, item
        )
        field_plan = replace(field_plan, base=base, confirmed_entry=confirmed_entry)
        field = _merge_field(batch, record_sync, field_plan, way)
        resolved, field = with_resolution(batch, record_sync, field_plan, field)
    except UnknownValue as unknown:
        detail = f"The last synced value is not known any more: {unknown}."
        return _plan_unknown(field_plan, way, BlockedCode.UNKNOWN, detail)
    if (undone := plan_undo(batch, record_sync, field_plan, field, item)) is not None:
        return undone
    return apply_decision(batch, record_sync, replace(resolved, decision=decide_field(field)), field)


def _plan_unknown(field_plan: FieldPlan, way: FieldDirection, code: BlockedCode, detail: str) -> FieldPlan:
    """An unknown side leaves the field undecided; one that may not flow anyway needs no decision."""
    if way is FieldDirection.NONE:
        nothing = FieldDecision(field_plan.mapping.key, Action.NOTHING, "its direction lets nothing be synced")
        return replace(field_plan, decision=nothing)
    return _block_undecided(field_plan, code, detail)


def _block_undecided(field_plan: FieldPlan, code: BlockedCode, reason: str) -> FieldPlan:
    decision = FieldDecision(field_plan.mapping.key, Action.UNDECIDED, reason)
    return replace(field_plan, decision=decision).block(code, reason)


def _plan_unknown_local(
    batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, way: FieldDirection, unknown: UnknownValue
) -> FieldPlan:
    """A related record without an item: the relation waits for it, or is left out where it will get none."""
    mapping, key = field_plan.mapping, field_plan.mapping.key
    if way is FieldDirection.TO_NPD:
        # One way to NPD the source alone counts: it is mirrored over a value that could not be sent.
        remote, shown = field_plan.convert.remote(field_plan.remote_raw), "(a value that Monday can't show)"
        item = record_sync.item
        had_base = item is not None and base_of(record_sync.ledger, mapping, item.id) is not None
        base = Base(None, None) if had_base else None
        field = Field(key, local=shown, remote=remote, base=base, way=way, required=mapping.required)
        return apply_decision(batch, record_sync, replace(field_plan, decision=decide_field(field)), field)
    is_relation = relation_of(type(record_sync.record), mapping.fields) is not None
    related = getattr(record_sync.record, mapping.fields[0]) if is_relation else None
    if related is None or way is FieldDirection.NONE:
        return _plan_unknown(field_plan, way, BlockedCode.UNKNOWN, f"NPD's value can't be sent: {unknown}.")
    detail, left_out = batch.related.missing_item_reason(related)
    before = record_sync.ledger.blocked_fields.get(key)
    is_news = before is None or before["side"] != LEFT_OUT or not _is_same_value(before, field_plan)
    if left_out and is_news:
        record_sync.log_decision("blocked", f"{mapping.label}: {detail}", key)
    return _block_undecided(field_plan, BlockedCode.LEFT_OUT if left_out else BlockedCode.RELATION, detail)


def _plan_create(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, way: FieldDirection) -> FieldPlan | None:
    mapping, convert, local_raw = field_plan.mapping, field_plan.convert, field_plan.local_raw
    if way not in (FieldDirection.BOTH, FieldDirection.TO_MONDAY) and mapping.column_id != "name":
        return None
    field_plan = replace(field_plan, decision=FieldDecision(mapping.key, Action.PUSH, "new on Monday"))
    if mapping.problem:
        return _block_undecided(field_plan, BlockedCode.COLUMN, mapping.problem)
    try:
        empty = convert.local(local_raw) is None
    except UnknownValue as unknown:
        return _plan_unknown_local(batch, record_sync, field_plan, way, unknown)
    if reason := convert.rejection_reason(local_raw):
        return field_plan.block(BlockedCode.LIMIT, reason)
    if empty:
        return replace(field_plan, decision=FieldDecision(mapping.key, Action.AGREED, "empty on both sides"))
    reason = rejection_reason(record_sync, field_plan)
    return field_plan.block(BlockedCode.REJECTED, reason) if reason else replace(field_plan, send_raw=local_raw)


@dataclass(frozen=True)
class BaseAfterIntents:
    """A base as open intents leave it, and the entry of the one whose value Monday shows: our own write.

    `intents` are all those whose value it shows; `unknown` says that what one of them had sent can't be told any more.
    """

    base: dict[str, Any] | None
    entry: dict[str, Any] | None = None
    intents: tuple[UUID, ...] = ()
    unknown: UnknownValue | None = None


def base_with_intents(
    facts: RecordFacts,
    mapping: FieldMapping,
    convert: Converter,
    remote_raw: Any,
    item: Item,
    *,
    late_write: Mapping[str, Any] | None = None,
    create_base: dict[str, Any] | None = None,
) -> BaseAfterIntents:
    """Return what open intents, and writes of ours that had no answer, make of a field that says this on Monday.

    A united list is no base before NPD holds it too: what it has from Monday would count as removed here.
    """
    found = BaseAfterIntents(base_of(facts.ledger, mapping, item.id) or create_base)
    if late_write:
        found = BaseAfterIntents(new_base(mapping, item.id, late_write["local"], remote_raw))
    for intent in facts.intents:
        entry = intent.values.get(mapping.key)
        if not entry or not mapping.is_current(entry):
            continue
        try:
            is_ours = convert.local(entry["local"]) == convert.remote(remote_raw)
        except UnknownValue as unknown:
            return replace(found, unknown=unknown)
        if is_ours:
            base = found.base if entry.get("united") else new_base(mapping, item.id, entry["local"], remote_raw)
            found = BaseAfterIntents(base, entry, (*found.intents, intent.pk))
    return found


def base_after_intents(
    record_sync: RecordSync, mapping: FieldMapping, convert: Converter, remote_raw: Any, item: Item
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the base as open intents leave it, and the entry of the confirmed one; raises UnknownValue."""
    late, made = record_sync.late_writes.get(mapping.key), record_sync.create_bases.get(mapping.key)
    after = base_with_intents(record_sync.facts, mapping, convert, remote_raw, item, late_write=late, create_base=made)
    record_sync.confirmed_intents |= dict.fromkeys(after.intents, item.id)
    if after.unknown is not None:
        raise after.unknown
    return after.base, after.entry


def _merge_field(batch: Batch, record_sync: RecordSync, field_plan: FieldPlan, way: FieldDirection) -> Field:
    mapping, convert, base = field_plan.mapping, field_plan.convert, field_plan.base
    local, remote = convert.local(field_plan.local_raw), convert.remote(field_plan.remote_raw)
    agreed = _canonical_base(convert, base)
    if base and agreed and convert.names_items and remote is None:
        # The related record, the same as before, may have another item by now: a cell that a removed item left empty
        # counts as emptied by nobody.
        now: Any = next(iter(field_plan.local_raw.values()), None)
        then: Any = next(iter(base["local"].values()), None)
        if now and then and now["id"] == then["id"] and now["item"] != then["item"]:
            agreed = Base(agreed.local, None)
    field = Field(
        key=mapping.key,
        local=local,
        remote=remote,
        base=agreed,
        way=way,
        rule=Rule(mapping.rule),
        first_match=Rule(mapping.first_match),
        required=mapping.required,
        left_base=_canonical_base(convert, record_sync.ledger.base.get(mapping.key)) if base is None else None,
    )
    # Whether the rule “newest” has to decide: the times cost queries, record by record.
    rule = field.first_match if base is None else field.rule
    if rule is not Rule.NEWEST or way is not FieldDirection.BOTH or local == remote:
        return field
    if base is not None and not (field.sides.local_changed and field.sides.remote_changed):
        return field
    there = _monday_edit_time(batch, record_sync, field_plan, field)
    return replace(field, edited=EditTimes(_npd_edit_time(record_sync, field_plan), there))


def _canonical_base(convert: Converter, entry: dict[str, Any] | None) -> Base | None:
    if entry is None:
        return None
    return Base(convert.local(entry["local"]), base_remote(convert, entry))
