"""What our own writes to an item count for: bases without an answer, and writes without effect.

Implements W14 to W19 of docs/reference/merge/after-a-write.md, but for creates until their items are looked for
(unanswered_creates.py).
"""

from datetime import datetime
from typing import Any

from sync import merge
from sync.fields import field_values
from sync.fields.field_bases import AS_SENT, ComparedField, new_base, side_of
from sync.fields.field_values import BoardContext
from sync.models import Intent, IntentState
from sync.monday import conversion
from sync.reconcile.change_events import creator_of
from sync.reconcile.facts import PassFacts, is_create, may_be_swallowed
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


def sends_in_vain(board: BoardContext, plan: RecordPlan, field_plan: FieldPlan, raw: Any) -> int:
    """Return how often Monday answered this value with the item as it was, while its cell said what it says now.

    What was sent before both sides agreed on the base doesn't count.
    """
    agreed_at = (field_plan.base or {}).get("at")
    values = (
        side_of(field_plan.converter.canonical_local, raw),
        side_of(field_plan.converter.canonical_remote, field_plan.remote_raw),
    )
    intents = filter(may_be_swallowed, plan.history.writes)  # few
    return sum(
        write.is_swallowed and write.item_id == plan.item_id and (write.sent, write.read) == values
        for write in plan.cell(board, field_plan.mapping).writes_of(intents)
        if not agreed_at or write.intended_at >= datetime.fromisoformat(agreed_at)
    )


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
    bases: dict[str, dict[str, Any]] = {}
    if plan.item is None:
        return bases
    ineffective = {str(intent.pk) for intent in plan.history.ineffective_writes}
    us = ("", plan.history.token_user)
    for mapping in board.mappings:
        cell = plan.cell(board, mapping)
        field = plan.compared(board, mapping)
        late = [
            write
            for write in cell.writes
            if write.id in ineffective and write.state == IntentState.VOID and write.item_id == plan.item.id
            # A create that Monday answered without the value has left no base. A united list has elements that somebody
            # added on Monday, so it is merged as usual.
            if (field.base is not None or write.is_swallowed) and not write.entry.get("united")
            # Nor if the cell has the value from a later write.
            if not any(
                later.took_effect and later.sent == write.sent
                for later in cell.writes
                if later.intended_at > write.intended_at
            )
            # The cell has the sent value, which is neither the base's nor NPD's.
            if write.sent == field.remote and field.sides.remote_changed and field.sides.differ
        ]
        same = [change for change in cell.changes if change.is_known and change.value == field.remote]
        is_edit = bool(plan.history.token_user and same) and same[-1].user_id not in us
        if late and not is_edit:
            bases[mapping.key] = new_base(mapping, plan.item.id, late[-1].entry["local"], field.remote_raw)
    return bases


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
