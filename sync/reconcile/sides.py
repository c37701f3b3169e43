"""What the two sides of a pass show before anything is decided of them: nothing new, a read that is stale, columns that
the board lacks, records that an item's relations name.

Decides of docs/reference/merge.md: the end of *lost update* (echoes are dropped); of “Unknown is not ∅” the columns
that items don't show and the read that is repeated; of “A record and its item” *unlinked by policy or a person*, and
that nothing is made while it couldn't be known again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.boards import board_columns
from sync.choices import Cause
from sync.models import FieldMapping
from sync.monday.board import Board, EventKind, ItemEvent
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.reconcile.facts import RecordFacts, told_value
from sync.reconcile.field_plan import AS_SENT, base_of, sides_of
from sync.reconcile.field_values import ACTIVE, BoardContext, is_active_on, npd_id_of, stored_values
from sync.reconcile.pass_plan import Ask, Outcome, PassFacts, Plan, RecordPlan
from sync.records.blocked_fields import LEFT_OUT
from sync.records.item_links import UNLINK_KEY

# Passes that end without a call: nothing left its half of the base, so there is nothing to ask Monday.


def end_without_call(board: BoardContext, plan: RecordPlan) -> RecordPlan | None:
    """Return the end of a pass that needs no call: sync off, an unchanged save, our own echo; None where it does.

    Of a record that isn't synced Monday's side is not read meanwhile: the first pass after it is on again reads it.
    """
    facts = plan.facts
    if not facts.record.may_sync and not facts.is_push_by_name and not requested_unlink(facts):
        return plan.with_state(remote_state="").end(Outcome.SETTLED, "Sync is off for this record.", reason="")
    if facts.causes == Cause.SAVE and not facts.events and _is_local_unchanged(board, plan):
        return plan.end(Outcome.SETTLED, "Nothing that is synced changed.")
    if facts.is_webhook_only and _is_echo(board, plan):
        return plan.end(Outcome.SETTLED, "Monday reported what was known already.", processed=True)
    return None


def has_open_work(plan: RecordPlan) -> bool:
    """Whether a pass would have something to find out or to say, even where no value has changed."""
    facts, ledger = plan.facts, plan.ledger
    return bool(
        facts.conflicts
        or facts.intents
        or plan.lost.found
        or facts.has_failed_job
        or any(entry.get("side") != LEFT_OUT for entry in ledger.blocked_fields.values())
        or ledger.note
        or ledger.left_out
        or ledger.remote_state != ACTIVE
    )


def _is_local_unchanged(board: BoardContext, plan: RecordPlan) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    record = plan.record
    if not record.monday_id or has_open_work(plan):
        return False
    for mapping in [mapping for mapping in board.mappings if mapping.column_id]:
        base, convert = base_of(plan.ledger, mapping, record.monday_id), board.converter(mapping, record)
        if base is None or base.get(AS_SENT):
            return False
        if not sides_of(convert, base, local=stored_values(record, mapping)).local_stands:
            return False
    return True


def _is_echo(board: BoardContext, plan: RecordPlan) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    events, record = plan.facts.events, plan.record
    if not events or not _is_local_unchanged(board, plan):
        return False
    told = [_event_values(board, received.event) for received in events]
    if any(values is None for values in told):
        return False
    for mapping, value, column_type in [one for values in told for one in values or ()]:
        base, convert = base_of(plan.ledger, mapping, record.monday_id or ""), board.converter(mapping, record)
        try:
            stored = told_value(convert, value, column_type)
            if base is None or stored != convert.remote(base["remote"]):
                return False
        except UnknownValue:
            return False
    return True


def _event_values(board: BoardContext, event: ItemEvent | None) -> list[tuple[FieldMapping, object, str]] | None:
    """The mapped values that an event tells; None where it tells more (archived, restored …), or can't be read."""
    if event is None:
        return None
    by_column = {mapping.column_id: mapping for mapping in board.mappings if mapping.column_id}
    if event.kind in (EventKind.COLUMN, EventKind.RENAMED):
        column = "name" if event.kind is EventKind.RENAMED else event.column_id or ""
        if column == board.link.npd_id_column:
            return None
        return [(by_column[column], event.value, event.column_type or "")] if column in by_column else []
    if event.kind is EventKind.CREATED:
        values = dict(event.column_values or {}) | {"name": {"name": event.item_name}}
        return [(mapping, values.get(column), "") for column, mapping in by_column.items()]
    if event.kind is EventKind.MOVED and board.sync_filter.asks_group:
        return None
    return [] if event.kind in (EventKind.MOVED, EventKind.OTHER) else None


_ENDABLE = (Outcome.OPEN, Outcome.SETTLED)


def end_unchanged(facts: PassFacts, plan: Plan) -> Plan:
    """End every record that needs no call; one that the filter left out has ended."""
    # One that has ended already still keeps nothing of an item that is not read.
    undecided = [one for one in plan.records.values() if not one.left_out and one.outcome in _ENDABLE]
    ended = [end for one in undecided if (end := end_without_call(facts.board, one))]
    return plan.with_records(ended)


# A record lets go of its item: the item's NPD ID is cleared, then sync goes off, and the item is remembered.
#
# The clearing goes through the pass's usual write, announced by an intent; settling turns sync off only when it was
# carried out, or when there is no item any more that bears the id. NPD's and Monday's values stay as they are. The base
# stays in the sync state, for the day on which a person links the two again (sync/records/item_links.py).


def requested_unlink(facts: RecordFacts) -> str:
    """Return why a person wants the record unlinked, as a clause; empty where nobody does, or it has no item."""
    return str(facts.claim.payload.get(UNLINK_KEY, "")) if facts.record.monday_id else ""


def apply_unlinks(facts: PassFacts, plan: Plan) -> Plan:
    """Unlink those records of which a person asked for it; what became of the item doesn't matter."""
    wanted = [(one, requested_unlink(one.facts)) for one in plan.records.values()]
    return plan.with_records(one.unlinked(why, actor=one.facts.by) for one, why in wanted if why)


def cleared_columns(board: BoardContext, plan: RecordPlan) -> dict[str, Any]:
    """Return what an unlinked record's write is: its item's NPD ID emptied, where it bears one."""
    column, item = board.link.npd_id_column, plan.item
    is_here = item is not None and is_active_on(board, item)
    if not column or item is None or not is_here or npd_id_of(board, item) == "":
        return {}
    return {column: None}


# Reads that may be stale: one that shows what our own write has just replaced is read once more.


def is_stale(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether the item still shows, in any field, exactly the value that our last write of the field replaced."""
    latest = {key: intent.values[key] for intent in facts.history.applied for key in intent.values}
    return any(_shows_replaced(board, facts, key, entry) for key, entry in latest.items())


def _shows_replaced(board: BoardContext, facts: RecordFacts, key: str, entry: Mapping[str, Any]) -> bool:
    """Whether the item shows exactly the value that this write replaced, and not the one it wrote."""
    mapping = next((m for m in board.mappings if (m.key, m.column_id) == (key, entry["column"])), None)
    if facts.item is None or mapping is None:
        return False
    convert = board.converter(mapping, facts.record)
    try:
        now = convert.remote(convert.stored_value(facts.item.reading(entry["column"])))
        return now == convert.remote(entry["read"]) and now != convert.local(entry["local"])
    except UnknownValue:
        return False


def reread_stale(facts: PassFacts, plan: Plan) -> Plan:
    """Read once more, in one call, the items that still show a value we replaced."""
    read = [one for one in plan.open_records if one.item is not None]
    writes = facts.ask(Ask.SETTLED_WRITES, [one.id for one in read])
    known = [
        one.with_history(applied=writes[one.id][0], void=writes[one.id][1])
        for one in read
        if writes[one.id] is not None
    ]
    suspects = [one for one in known if one.facts.history.applied and is_stale(facts.board, one.facts)]
    items = facts.ask(Ask.ITEM_AGAIN, [one.item.id for one in suspects if one.item])
    fresh = [one.with_facts(item=items[one.item.id] or one.item) for one in suspects if one.item]
    return plan.with_records(known).with_records(fresh)


def know_related(facts: PassFacts, plan: Plan) -> Plan:
    """Let the records be known that relations name on Monday, and by whose names items are shown."""
    if facts.board.relations:
        facts.ask_one(Ask.RELATED)
    return plan


# What a pass notices of the board's columns, and what it leaves alone while one of them is missing.


def unmatchable_reason(board: BoardContext) -> str:
    """Return why no record without an item can get one, while a column is missing by which its item would be known.

    To make one all the same could make a second one; they are looked at as soon as the column is there.
    """
    match = board.match_mapping
    if board.link.npd_id_problem or match is None or not match.problem:
        return board.link.npd_id_problem
    return (
        f"{match.problem} Records and items are matched by it, so no item is created until then: it could be a second "
        "one."
    )


def column_findings(board: BoardContext, read_items: Iterable[Item]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields whose columns items lack, or show as another type, and those that have no problem any more.

    Only those count that stand on this board and are active; others may have other columns.
    """
    items = [item for item in read_items if is_active_on(board, item)]
    if not items:
        return (), ()
    mapped = [m for m in board.mappings if m.column_id not in ("", board_columns.NAME_COLUMN_ID)]
    missing, healed = list[str](), list[str]()
    for mapping in mapped:
        cells = [item.values[mapping.column_id] for item in items if mapping.column_id in item.values]
        is_retyped = _is_retyped(mapping, {cell.type for cell in cells})
        if mapping.problem and any(cell.known for cell in cells) and not is_retyped:
            healed.append(mapping.key)
        elif not mapping.problem and (not cells or is_retyped):
            missing.append(mapping.key)
    return tuple(missing), tuple(healed)


def _is_retyped(mapping: FieldMapping, types: set[str]) -> bool:
    expected = mapping.options.get("column_type")
    return bool(expected) and bool(types - {"", expected}) and not board_columns.reads_type(mapping, types)


@dataclass(frozen=True)
class InspectedColumns:
    """What is to be stored of the board's columns: as the board is `shown`, if it was read, fields whose columns it has
    though items don't show them, and fields that have no problem any more.
    """

    shown: Board | None = None
    hidden: tuple[str, ...] = ()
    healed: tuple[str, ...] = ()


def check_columns(facts: PassFacts, plan: Plan) -> Plan:
    """Compare the columns that items show with those that they should show.

    A column that no item shows is looked up on the board, by one call the first time. Where the board has it all
    the same, the token's user doesn't see it. From then on `facts.board` says so.
    """
    known = next((value for want, value in facts.known.items() if want.kind is Ask.COLUMNS), None)
    if known is None:
        found = facts.found
        findings = column_findings(facts.board, [*found.linked.values(), *found.by_npd_id, *found.by_match])
        if not any(findings):
            return plan
        known = facts.ask_one(Ask.COLUMNS, findings)
    return replace(plan, columns=known)


def end_unmatchable(facts: PassFacts, plan: Plan) -> Plan:
    reason = unmatchable_reason(facts.board)
    waiting = [one for one in plan.open_records if not one.record.monday_id] if reason else []
    return plan.with_records(one.end_settled(reason) for one in waiting)
