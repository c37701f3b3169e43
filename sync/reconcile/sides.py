"""What the two sides of a pass show before the rules: nothing new, a stale read, or columns that the board lacks.

Implements, of docs/reference/merge.md: the end of *lost update* (echoes are dropped); in “Unknown is not ∅”, columns
that items don't show and the repeated read; in “A record and its item”, *unlinked by policy or a person*, and that
nothing is created while it couldn't be recognized again.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from sync.boards import board_columns
from sync.choices import Cause, QueueDirection
from sync.merge import Rule
from sync.models import FieldMapping, Intent, SyncedModel
from sync.monday.board import EventKind, ItemEvent
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.reconcile import field_plan, field_values, pass_plan
from sync.reconcile.facts import RecordFacts, change_events, event_value, is_create
from sync.records.blocked_fields import LEFT_OUT
from sync.records.item_links import UNLINK_KEY
from sync.registry import target_of

# Passes that end without a call: nothing left its half of the base, so there is nothing to ask Monday.


def end_without_call(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan | None:
    """Return the end of a pass that needs no call: sync off, an unchanged save, our own echo; None if it needs one.

    Monday's side of a record that isn't synced is not read: the first pass after its sync is on again reads it.
    """
    facts = plan.facts
    if not facts.record.may_sync and not facts.is_push_by_name and not requested_unlink(facts):
        return plan.with_state(remote_state="").end(
            pass_plan.Outcome.SETTLED, "Sync is off for this record.", reason=""
        )
    if facts.causes == Cause.SAVE and not facts.events and _is_local_unchanged(board, plan):
        return plan.end(pass_plan.Outcome.SETTLED, "Nothing that is synced changed.")
    is_from_monday = all(row.direction == QueueDirection.TO_NPD for row in facts.claim.rows)
    if facts.causes == Cause.WEBHOOK and is_from_monday and _is_echo(board, plan):
        return plan.end(pass_plan.Outcome.SETTLED, "Monday reported what was known already.", processed=True)
    return None


def has_open_work(plan: pass_plan.RecordPlan) -> bool:
    """Whether a pass would have something to find out or to say, even where no value has changed."""
    facts = plan.facts
    ledger = plan.ledger
    return bool(
        facts.conflicts
        or facts.intents
        or plan.lost_updates
        or facts.has_failed_job
        or any(entry.get("side") != LEFT_OUT for entry in ledger.blocked_fields.values())
        or ledger.note
        or ledger.left_out
        or ledger.remote_state != field_values.ACTIVE
    )


def _is_local_unchanged(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    record = plan.record
    if not record.monday_id or has_open_work(plan):
        return False
    for mapping in board.mapped:
        base = field_plan.base_of(plan.ledger, mapping, record.monday_id)
        convert = board.converter(mapping, record)
        if base is None or base.get(field_plan.AS_SENT):
            return False
        if not field_plan.sides_of(convert, base, local=field_values.stored_values(record, mapping)).local_stands:
            return False
    return True


def _is_echo(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    events = plan.facts.events
    record = plan.record
    if not events or not _is_local_unchanged(board, plan):
        return False
    for received in events:
        values = _event_values(board, received.event)
        if values is None:
            return False
        for mapping, value, column_type in values:
            base = field_plan.base_of(plan.ledger, mapping, record.monday_id or "")
            convert = board.converter(mapping, record)
            try:
                if base is None or event_value(convert, value, column_type) != convert.remote(base["remote"]):
                    return False
            except UnknownValue:
                return False
    return True


def _event_values(
    board: field_values.BoardContext, event: ItemEvent | None
) -> list[tuple[FieldMapping, object, str]] | None:
    """Return the mapped values in an event; None if it has more (archived, restored …), or can't be read."""
    if event is None:
        return None
    by_column = {mapping.column_id: mapping for mapping in board.mapped}
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


_ENDABLE = (pass_plan.Outcome.OPEN, pass_plan.Outcome.SETTLED)


def end_unchanged(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """End every record that needs no call; one that the filter left out has ended."""
    # One that has ended already still keeps nothing of an item that is not read.
    undecided = [record for record in plan.records.values() if not record.left_out and record.outcome in _ENDABLE]
    ended = [end for record in undecided if (end := end_without_call(facts.board, record))]
    return plan.with_records(ended)


# A record lets go of its item: the item's NPD ID is cleared, then sync goes off, and the item is remembered.
#
# The clearing goes through the pass's usual write, announced by an intent; settling turns sync off only when it was
# carried out, or when there is no item any more that bears the id. NPD's and Monday's values stay as they are. The base
# stays in the sync state, for the day on which a person links the two again (sync/records/item_links.py).


def requested_unlink(facts: RecordFacts) -> str:
    """Return why a person wants the record unlinked, as a clause; empty where nobody does, or it has no item."""
    return str(facts.claim.payload.get(UNLINK_KEY, "")) if facts.record.monday_id else ""


def apply_unlinks(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Unlink those records of which a person asked for it; what became of the item doesn't matter."""
    wanted = [(record, requested_unlink(record.facts)) for record in plan.records.values()]
    return plan.with_records(record.unlinked(why) for record, why in wanted if why)


def cleared_columns(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> dict[str, Any]:
    """Return what an unlinked record's write is: its item's NPD ID emptied, where it bears one."""
    column = board.link.npd_id_column
    item = plan.item
    is_here = item is not None and field_values.is_active_on(board, item)
    if not column or item is None or not is_here or field_values.npd_id_of(board, item) == "":
        return {}
    return {column: None}


# Reads that may be stale: Monday answers from replicas that lag behind.


STALE_READ = "Monday still shows what was replaced a moment ago. It is read once more."


def is_stale(board: field_values.BoardContext, facts: RecordFacts) -> bool:
    """Whether the item still shows, in any field, exactly the value that our last write of the field replaced."""
    latest = {key: intent for intent in facts.history.applied if not is_create(intent) for key in intent.values}
    return any(_shows_replaced(board, facts, key, intent) for key, intent in latest.items())


def _shows_replaced(board: field_values.BoardContext, facts: RecordFacts, key: str, intent: Intent) -> bool:
    """Whether the item shows exactly the value that this write replaced, and nobody is known to have put it back: by
    what is agreed on or was seen since, or by an event.
    """
    entry = intent.values[key]
    mapping = next((m for m in board.mappings if (m.key, m.column_id) == (key, entry["column"])), None)
    base = field_plan.base_of(facts.ledger, mapping, facts.item.id) if mapping and facts.item else None
    if facts.item is None or mapping is None or base is None:
        return False
    convert = board.converter(mapping, facts.record)
    try:
        cell = convert.stored_value(facts.item.reading(entry["column"]))
        now = convert.remote(cell)
        seen_at = [at for raw, at, *_ in facts.ledger.seen.get(key, ()) if raw == cell]
        if now == convert.remote(base["remote"]) or any(
            datetime.fromisoformat(at) > intent.created_at for at in seen_at
        ):
            return False
        if now != convert.remote(entry["read"]) or now == convert.local(entry["local"]):
            return False
    except UnknownValue:
        return False
    edits = [event for event in change_events(board, facts.record, facts.history.events) if event.key == key]
    return not any(event.is_new and event.value == now and event.at > intent.created_at for event in edits)


def look_again_at_stale(facts: pass_plan.PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """End a record whose item still shows a value that we replaced: it is read once more by its next pass."""
    return plan.repeat(STALE_READ) if is_stale(facts.board, plan.facts) else plan


# What has to be read besides, by what both sides show: of nearly all records nothing.


def is_resting(board: field_values.BoardContext, facts: RecordFacts, item: Item) -> bool:
    """Whether both sides of each field say just what they last agreed on, and nothing else is open."""
    if facts.conflicts or facts.intents or facts.history.void or facts.ledger.blocked_fields:
        return False
    return all(field_plan.is_as_agreed(board, facts, mapping, item) for mapping in board.mapped)


def items_of_emptied_cells(
    board: field_values.BoardContext, facts: RecordFacts, item: Item
) -> set[tuple[type[SyncedModel], str]]:
    """Return the items that bases name while the cells are empty, which may have left their boards."""
    emptied = set[tuple[type[SyncedModel], str]]()
    for mapping, relation in board.relations:
        names = set[str]()
        convert = board.converter(mapping, facts.record)
        base = field_plan.base_of(facts.ledger, mapping, item.id)
        if (
            not convert.names_items
            or field_plan.side_of(convert.remote, field_plan.cell_of(convert, mapping, item)) is not None
        ):
            continue
        if base is not None:
            names.add(str(field_plan.side_of(partial(field_plan.base_remote, convert), base)))
        else:
            # What a create without an answer sent counts as the base.
            creates = [intent.values.get(mapping.key) for intent in (*facts.intents, *facts.history.ended_creates)]
            names |= {str(field_plan.side_of(convert.local, entry["local"])) for entry in creates if entry}
        emptied |= {(target_of(relation), name) for name in names - {"None"}}
    return emptied


def needs_edit_times(board: field_values.BoardContext, facts: RecordFacts, item: Item) -> bool:
    """Whether the rule “newest” may have to decide a field of the record: both sides left the base, or have none."""
    for mapping in board.mapped:
        if Rule.NEWEST not in (mapping.rule, mapping.first_match):
            continue
        base = field_plan.base_of(facts.ledger, mapping, item.id)
        if base is None:
            return True
        is_here = base["local"] != field_values.stored_values(facts.record, mapping)
        if is_here and (
            base.get(field_plan.AS_SENT)
            or field_plan.cell_of(board.converter(mapping), mapping, item) != base["remote"]
        ):
            return True
    return False


# What a pass notices of the board's columns, and what it leaves alone while one of them is missing.


def unmatchable_reason(board: field_values.BoardContext) -> str:
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


def column_findings(
    board: field_values.BoardContext, read_items: Iterable[Item]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields whose columns items lack, or show as another type, and those that have no problem any more.

    Only those count that stand on this board and are active; others may have other columns.
    """
    items = [item for item in read_items if field_values.is_active_on(board, item)]
    if not items:
        return (), ()
    mapped = [m for m in board.mappings if m.column_id not in ("", board_columns.NAME_TYPE)]
    missing = list[str]()
    healed = list[str]()
    for mapping in mapped:
        cells = [item.values[mapping.column_id] for item in items if mapping.column_id in item.values]
        types = {cell.type for cell in cells}
        expected = mapping.options.get("column_type")
        is_retyped = bool(expected) and bool(types - {"", expected}) and not board_columns.reads_type(mapping, types)
        if mapping.problem and any(cell.known for cell in cells) and not is_retyped:
            healed.append(mapping.key)
        elif not mapping.problem and (not cells or is_retyped):
            missing.append(mapping.key)
    return tuple(missing), tuple(healed)


def end_unmatchable(facts: pass_plan.PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    if plan.record.monday_id:
        return plan
    reason = unmatchable_reason(facts.board)
    return plan.end_settled(reason) if reason else plan
