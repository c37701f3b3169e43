"""What our own writes did to an item's cells: each to one field, bases without an answer, and writes without effect.

Implements W14 to W19 of docs/reference/merge/after-a-write.md, but for creates until their items are looked for
(unanswered_creates.py).
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from sync import merge
from sync.fields import field_values
from sync.fields.field_bases import AS_SENT, ComparedField, new_base, side_of
from sync.fields.field_values import BoardContext
from sync.models import Intent, IntentState
from sync.models.jobs import REFILLED_SINCE
from sync.monday import conversion
from sync.monday.lag import ECHO_WINDOW
from sync.monday.text_forms import looks_same
from sync.reconcile.change_events import ChangeEvent, change_events, creator_of
from sync.reconcile.facts import PassFacts, is_create
from sync.reconcile.pass_plan import EntityPlan, FieldPlan, RecordPlan


def take_confirmed(plan: EntityPlan, field: ComparedField) -> list[Intent]:
    """Return the open intents that sent Monday's current value of a field, which then is its base.

    Intents about another item don't count. Raises UnknownValue if the value of an intent isn't known any more.
    """
    mapping = field.mapping
    confirmed = []
    for intent in plan.intents_about_item:
        entry = intent.values.get(mapping.key)
        if entry and mapping.is_current(entry) and field.converter.canonical_local(entry["local"]) == field.remote:
            confirmed.append(intent)
            # A united list is no base, because its elements from Monday would look removed in NPD.
            if not entry.get("united"):
                field.base = new_base(mapping, plan.item_id, entry["local"], field.remote_raw)
    return confirmed


def is_lossless(converter: conversion.Converter, sent: merge.Canonical, stored: merge.Canonical) -> bool:
    """Whether nothing that anybody reads is lost if Monday stores this value for the sent one."""
    return not converter.names_items and looks_same(sent, stored)


def was_swallowed(converter: conversion.Converter, sent_raw: Any, read_raw: Any, answered_raw: Any) -> bool:
    """Whether the answer to a write shows exactly what was read before, and not a form of what was sent.

    Of a create nothing was read, so it has swallowed a value that its answer shows as empty. Raises UnknownValue.
    """
    sent = converter.canonical_local(sent_raw)
    answered = converter.canonical_remote(answered_raw)
    return answered == converter.canonical_remote(read_raw) != sent and not is_lossless(converter, sent, answered)


def had_no_effect(intent: Intent, key: str, converter: conversion.Converter) -> bool:
    """Whether a write is taken to have left a field as it was: it had no answer, or the answer shows that."""
    if intent.state != IntentState.APPLIED:
        return intent.state == IntentState.VOID
    entry = intent.values[key]
    answer = intent.answer or {}
    with suppress(conversion.UnknownValue):
        return key in answer and was_swallowed(converter, entry["local"], entry["read"], answer[key])
    return False


class OwnWrite:
    """What one intent of ours did to one field; raises UnknownValue if its values aren't known any more."""

    def __init__(self, intent: Intent, field: ComparedField, now: datetime) -> None:
        key = field.mapping.key
        converter = field.converter
        entry = intent.values[key]
        answer = intent.answer or {}
        self.id = str(intent.pk)
        self.item_id = intent.item_id
        self.is_create = is_create(intent)
        self.entry = entry
        self.read = converter.canonical_remote(entry["read"])  # Monday's value as its pass had read it
        self.sent = converter.canonical_local(entry["local"])
        is_void = had_no_effect(intent, key, converter)
        self.state = IntentState.VOID if is_void else intent.state
        has_answer = key in answer and not is_void
        self.answer = converter.canonical_remote(answer[key]) if has_answer else self.sent
        # Its pass read the cell at `read_at` at the earliest, stored the intent at `intended_at`, and the call took
        # effect at `until` at the latest, unless it `may_land_late`.
        read_at = entry.get(REFILLED_SINCE) or entry.get("read_at")
        self.read_at = datetime.fromisoformat(read_at) if read_at else intent.created_at
        # It filled in a cell that nobody was known to have emptied, since both sides agreed.
        self.is_refill = REFILLED_SINCE in entry
        self.intended_at = intent.created_at
        self.until = now if self.state == IntentState.OPEN else (intent.settled_at or intent.created_at)
        # As an event has them.
        self.at = self.until
        self.arrived = self.until
        self.is_known = True
        self.has_previous = True
        # No answer shows that it was done. That goes for a confirmed one too: a pass read the value that it sent, but
        # somebody else may have written it.
        self.may_land_late = self.state in (IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID)
        self.may_have_taken_effect = self.state in (IntentState.OPEN, IntentState.APPLIED, IntentState.CONFIRMED)

    def wrote(self, value: merge.Side) -> bool:
        """Whether the cell may have this value because of this write."""
        return value in (self.sent, self.answer)

    def matches(self, value: merge.Side, raw: Any) -> bool:
        """Whether a cell with this value shows what was written."""
        return self.wrote(value)

    def previous_matches(self, value: merge.Side, raw: Any) -> bool:
        """Whether such a cell shows what was there before the write."""
        return value == self.read

    def may_have_made(self, event: ChangeEvent) -> bool:
        """Whether the event may be this write's own, by its value and time."""
        in_time = self.may_land_late or event.at <= self.until + ECHO_WINDOW
        return self.wrote(event.value) and in_time and event.at >= self.intended_at - ECHO_WINDOW

    def is_replaced_by(self, event: ChangeEvent) -> bool:
        """Whether the event shows that it replaced the value that this write sent; clocks may differ by seconds."""
        is_later = event.at >= self.intended_at - merge.CLOCK_TOLERANCE
        if event.arrived != event.at:
            # A webhook, whose arrival is by our clock; a row of the log has Monday's time alone.
            is_later = is_later and event.arrived >= self.intended_at
        changed_the_cell = self.sent != self.read
        return is_later and changed_the_cell and event.has_previous and event.previous == self.sent


def own_writes(intents: Iterable[Intent], field: ComparedField, now: datetime) -> list[OwnWrite]:
    """Return what these intents did to a field, without those whose column is another or whose values aren't known."""
    writes = []
    for intent in intents:
        entry = intent.values.get(field.mapping.key)
        if entry and field.mapping.is_current(entry):
            with suppress(conversion.UnknownValue):
                writes.append(OwnWrite(intent, field, now))
    return writes


def sends_in_vain(plan: RecordPlan, field_plan: FieldPlan, raw: Any) -> int:
    """Return how often Monday answered this value with the item as it was, while its cell said what it says now.

    What was sent before both sides agreed on the base doesn't count.
    """
    mapping = field_plan.mapping
    converter = field_plan.converter
    agreed_at = (field_plan.base or {}).get("at")
    writes = plan.history.writes
    if agreed_at:
        writes = [write for write in writes if write.created_at >= datetime.fromisoformat(agreed_at)]
    number = 0
    for intent in writes:
        entry = intent.values.get(mapping.key)
        is_about_item = plan.item is not None and intent.item_id == plan.item.id
        if intent.state != IntentState.APPLIED or not is_about_item or not entry or not mapping.is_current(entry):
            continue
        with suppress(conversion.UnknownValue):
            cells = (entry["read"], field_plan.remote_raw)
            is_same_cell = len(set(map(converter.canonical_remote, cells))) == 1
            is_same = is_same_cell and converter.canonical_local(entry["local"]) == converter.canonical_local(raw)
            number += is_same and had_no_effect(intent, mapping.key, converter)
    return number


# After a call without an answer, what it wrote is a base too: a create's values, and those of a change that landed
# late. For a change whose intent is still open, see `take_confirmed`.


def take_bases(facts: PassFacts, plan: RecordPlan) -> None:
    """Take what our unanswered writes left on Monday as the bases."""
    if plan.unlink_reason:
        return
    bases = bases_of_creates(facts, plan)
    if plan.history.ineffective_writes:
        bases |= bases_of_late_writes(facts.board, plan)
    if bases:
        plan.sync_state.base = {**plan.sync_state.base, **bases}


def bases_of_late_writes(board: BoardContext, plan: RecordPlan) -> dict[str, dict[str, Any]]:
    """Return the bases of fields whose value on Monday was sent by a write that seemed to have had no effect.

    If the newest event with this value names another user than the token's, the value is an edit instead.
    """
    item = plan.item
    landed = dict[str, tuple[dict[str, Any], merge.Side]]()
    for intent in plan.history.ineffective_writes:
        for mapping in board.mappings:
            entry = intent.values.get(mapping.key)
            if item is None or intent.item_id != item.id or not entry or not mapping.is_current(entry):
                continue
            field = plan.compared(board, mapping)
            converter = field.converter
            # A create that Monday answered without the value has left no base. A united list has elements that somebody
            # added on Monday, so it is merged as usual.
            if (field.base is None and intent.state == IntentState.VOID) or entry.get("united"):
                continue
            if not had_no_effect(intent, mapping.key, converter):
                continue
            if _was_sent_again(plan, intent, mapping.key, converter):
                continue
            # The cell has the sent value, which is neither the base's nor NPD's.
            has_sent = side_of(converter.canonical_local, entry["local"]) == field.remote
            if has_sent and field.sides.remote_changed and field.sides.differ:
                landed[mapping.key] = (new_base(mapping, item.id, entry["local"], field.remote_raw), field.remote)
    user = plan.history.token_user
    if not landed or not user:
        return {key: base for key, (base, _) in landed.items()}
    changes = change_events(board, plan.record, plan.history.events)
    users: dict[tuple[str, merge.Side], str] = {(event.key, event.value): event.user_id for event in changes}
    return {key: base for key, (base, value) in landed.items() if users.get((key, value), "") in ("", user)}


def _was_sent_again(plan: RecordPlan, intent: Intent, key: str, converter: conversion.Converter) -> bool:
    """Whether a later write sent the same value and took effect, so that the cell has it from that one."""
    later = [write for write in plan.history.writes if write.created_at > intent.created_at and key in write.values]
    return any(
        write.values[key]["local"] == intent.values[key]["local"]
        and write.state in (IntentState.APPLIED, IntentState.CONFIRMED)
        and not had_no_effect(write, key, converter)
        for write in later
    )


def bases_of_creates(facts: PassFacts, plan: RecordPlan) -> dict[str, dict[str, Any]]:
    """Return the values that an unanswered create of ours gave the record's item, as the bases of its fields."""
    board = facts.board
    item = plan.item
    creates = [intent for intent in _unanswered_creates(plan) if _may_be_created_by(facts, plan, intent)]
    if item is None or not creates:
        return {}
    bases = {}
    for mapping in board.mapped:
        field = plan.compared(board, mapping)
        entries = [intent.values.get(mapping.key) for intent in creates]
        is_outdated = any(entry is not None and not mapping.is_current(entry) for entry in entries)
        if field.base is not None or is_outdated or isinstance(field.remote, merge.Unknown):
            continue
        convert = field.converter.canonical_local
        try:
            sent = [(entry["local"], convert(entry["local"])) if entry else (None, None) for entry in entries]
        except conversion.UnknownValue:
            continue
        # The cell's value if one of them sent it, else the value that all sent.
        sent_raw = next((raw for raw, value in sent if raw and value == field.remote), None)
        first_raw, first_value = sent[0]
        if sent_raw is not None:
            bases[mapping.key] = new_base(mapping, item.id, sent_raw, field.remote_raw)
        elif first_raw is not None and all(value == first_value for _, value in sent):
            base = new_base(mapping, item.id, first_raw, field.remote_raw)
            bases[mapping.key] = base | {AS_SENT: True}
    return bases


def _unanswered_creates(plan: RecordPlan) -> list[Intent]:
    """Return creates without an answer whose deadline is over: linked since, given up, or found with another item."""
    linked = [intent for intent in plan.facts.open_intents if intent.item_id]
    return [intent for intent in (*linked, *plan.history.ended_creates) if is_create(intent)]


def item_may_be_ours(board: BoardContext, plan: RecordPlan) -> bool:
    """Whether the item may be that of a create without an answer: it has the NPD ID. Then its events are read.

    It isn't if a change of ours found no base: then the two were linked otherwise, and that change wrote the NPD ID.
    """
    item = plan.item
    if item is None or all(intent.item_id for intent in _unanswered_creates(plan)):
        return False
    was_linked_otherwise = any(
        change.item_id == item.id
        and not is_create(change)
        and not any(entry.get("base") for entry in change.values.values())
        for change in plan.history.intents
    )
    return not was_linked_otherwise and field_values.npd_id_of(board, item) == str(plan.id)


def _may_be_created_by(facts: PassFacts, plan: RecordPlan, intent: Intent) -> bool:
    """Whether this create may have created the item: it is linked with it, or nobody else created it."""
    if intent.item_id:
        return plan.item is not None and intent.item_id == plan.item.id
    # An item that our create made has its NPD ID from the beginning, so nobody typed it.
    events = facts.events.get(plan.item_id, ())
    is_npd_id_typed = any(row.event and row.event.column_id == facts.board.link.npd_id_column for row in events)
    creator = creator_of(events)
    us = plan.history.token_user
    is_ours = not creator or not us or creator == us
    return item_may_be_ours(facts.board, plan) and not is_npd_id_typed and is_ours
