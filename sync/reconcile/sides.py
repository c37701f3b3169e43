"""Rules about both sides before fields are compared: no news, stale reads, missing columns, and unlinking.

Implements, of docs/reference/merge.md:

- the end of *lost update*: an event that only reports our own write (an echo) ends its job without a call
- in “Unknown is not ∅”: a field without its column is unknown, and a read that shows what our write has just replaced
  is repeated
- in “A record and its item”, *unlinked by policy or a person*: the sync goes off, and the item loses its NPD ID
- also there, that no item is created while it couldn't be matched later, because such a column is missing
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sync.boards import board_columns
from sync.choices import BlockedCode, Cause, QueueDirection, Rule
from sync.models import FieldMapping, Intent, SyncedModel
from sync.monday.board_events import EventKind, ItemEvent
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.reconcile import field_bases, field_values, pass_plan
from sync.reconcile.facts import PassFacts, RecordFacts, change_events, event_value, is_create
from sync.reconcile.field_values import BoardContext
from sync.records.item_links import UNLINK_KEY
from sync.registry import target_of


def end_without_call(board: BoardContext, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan | None:
    """Return the ended plan of a record that needs no call: sync off, an unchanged save, our own echo. None otherwise.

    The first pass after its sync is turned on again reads the item.
    """
    facts = plan.facts
    if not facts.record.may_sync and not facts.is_push_by_name and not requested_unlink(facts):
        plan = plan.with_state(remote_state="")
        return plan.end(pass_plan.Outcome.SETTLED, "Sync is off for this record.", reason="")
    if facts.causes == Cause.SAVE and not facts.events and _is_local_unchanged(board, plan):
        return plan.end(pass_plan.Outcome.SETTLED, "Nothing that is synced changed.")
    # A job from NPD has something to send, whatever Monday has reported meanwhile.
    is_from_monday = all(row.direction == QueueDirection.TO_NPD for row in facts.claim.rows)
    if facts.causes == Cause.WEBHOOK and is_from_monday and _is_echo(board, plan):
        known = "Monday reported what was known already."
        return replace(plan, ending=pass_plan.Ending(pass_plan.Outcome.SETTLED, known, is_processed=True))
    return None


def has_open_work(plan: pass_plan.RecordPlan) -> bool:
    """Whether a pass would have work, even if no value has changed."""
    facts = plan.facts
    sync_state = plan.sync_state
    return bool(
        facts.conflicts
        or facts.intents
        or plan.lost_updates
        or facts.has_failed_job
        or any(entry.get("code") != BlockedCode.RELATION_SKIPPED for entry in sync_state.blocked_fields.values())
        or sync_state.note
        or sync_state.left_out
        or sync_state.remote_state != field_values.ACTIVE
    )


def _is_local_unchanged(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether the record has the values of NPD's half of every base, and nothing else is open."""
    record = plan.record
    if not record.monday_id or has_open_work(plan):
        return False
    for mapping in board.mapped:
        base = field_bases.base_of(plan.sync_state, mapping, record.monday_id)
        convert = board.converter(mapping, record)
        # Such a base says that Monday has somebody's edit, which no pass has pulled yet.
        if base is None or base.get(field_bases.AS_SENT):
            return False
        if not field_bases.sides_of(convert, base, local=field_values.stored_values(record, mapping)).local_unchanged:
            return False
    return True


def _is_echo(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether all events only report values of the base, which are mostly our own writes."""
    events = plan.facts.events
    record = plan.record
    if not events or not _is_local_unchanged(board, plan):
        return False
    for received in events:
        values = _event_values(board, received.event)
        if values is None:
            return False
        for mapping, value, column_type in values:
            base = field_bases.base_of(plan.sync_state, mapping, record.monday_id or "")
            convert = board.converter(mapping, record)
            try:
                if base is None or event_value(convert, value, column_type) != convert.canonical_remote(base["remote"]):
                    return False
            except UnknownValue:
                return False
    return True


def _event_values(board: BoardContext, event: ItemEvent | None) -> list[tuple[FieldMapping, object, str]] | None:
    """Return the mapped values in an event; None if it reports more than values, or can't be read."""
    if event is None:
        return None
    by_column = {mapping.column_id: mapping for mapping in board.mapped}
    if event.kind in (EventKind.COLUMN, EventKind.RENAMED):
        column = "name" if event.kind is EventKind.RENAMED else event.column_id or ""
        if column == board.link.npd_id_column:
            # Somebody may have typed it, and no base has its value.
            return None
        return [(by_column[column], event.value, event.column_type or "")] if column in by_column else []
    if event.kind is EventKind.CREATED:
        values = dict(event.column_values or {}) | {"name": {"name": event.item_name}}
        return [(mapping, values.get(column), "") for column, mapping in by_column.items()]
    # To another group of the board, by which the filter may leave it out.
    if event.kind is EventKind.MOVED and board.sync_filter.asks_group:
        return None
    return [] if event.kind in (EventKind.MOVED, EventKind.OTHER) else None


def end_unchanged(facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """End every record that needs no call, unless the filter has left it out."""
    # A settled record also forgets the state of an item that is not read.
    endable = (pass_plan.Outcome.OPEN, pass_plan.Outcome.SETTLED)
    records = [
        record_plan
        for record_plan in plan.records.values()
        if not record_plan.left_out and record_plan.outcome in endable
    ]
    ended = [end_without_call(facts.board, record_plan) for record_plan in records]
    return plan.with_records(record_plan for record_plan in ended if record_plan)


def requested_unlink(facts: RecordFacts) -> str:
    """Return why a person asked to unlink the record, as a clause; empty if nobody did, or it has no item."""
    return str(facts.claim.payload.get(UNLINK_KEY, "")) if facts.record.monday_id else ""


def apply_unlinks(facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Unlink the records that a person asked to unlink, whatever happened to their items.

    The write of the pass clears the item's NPD ID (`cleared_columns`). Settling then turns the record's sync off, and
    stores the item as ignored: it is neither matched nor made into a record until a person says so. The board's policy
    for removed items may unlink too (`removed_items.plan_removal`). The base stays in the sync state, in case a person
    links the two again (sync/records/item_links.py).
    """
    requests = [(record_plan, requested_unlink(record_plan.facts)) for record_plan in plan.records.values()]
    return plan.with_records(record_plan.unlinked(why) for record_plan, why in requests if why)


def cleared_columns(board: BoardContext, plan: pass_plan.RecordPlan) -> dict[str, Any]:
    """Return the write of an unlinked record: its item's NPD ID emptied, if the item bears one."""
    column = board.link.npd_id_column
    item = plan.item
    if not column or item is None or not field_values.is_active_on(board, item):
        return {}
    return {} if field_values.npd_id_of(board, item) == "" else {column: None}


STALE_READ = "Monday still shows what was replaced a moment ago. It is read once more."


def is_stale(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether the item still shows a value that a write of ours replaced, because a replica lags behind."""
    # A create has replaced nothing.
    writes = [intent for intent in facts.history.applied if not is_create(intent)]
    return any(_shows_replaced(board, facts, key, intent) for intent in writes for key in intent.values)


def _shows_replaced(board: BoardContext, facts: RecordFacts, key: str, intent: Intent) -> bool:
    """Whether the item shows exactly the value that this write replaced, and nobody has put it back.

    The base, a later read or an event tells if somebody has; a later write of ours, as an undo's, may have, too.
    """
    entry = intent.values[key]
    mapping = next((m for m in board.mappings if (m.key, m.column_id) == (key, entry["column"])), None)
    base = field_bases.base_of(facts.sync_state, mapping, facts.item.id) if mapping and facts.item else None
    if facts.item is None or mapping is None or base is None:
        return False
    convert = board.converter(mapping, facts.record)
    try:
        cell = convert.stored_value(facts.item.reading(entry["column"]))
        current = convert.canonical_remote(cell)
        # An earlier pass that read this value after our write has shown that it is there again.
        seen_at = [datetime.fromisoformat(at) for raw, at, *_ in facts.sync_state.seen.get(key, ()) if raw == cell]
        if current == convert.canonical_remote(base["remote"]) or any(at > intent.created_at for at in seen_at):
            return False
        writes = [write for write in facts.history.applied if write.created_at >= intent.created_at]
        entries = [write.values[key] for write in writes if key in write.values]
        written = [convert.canonical_local(later["local"]) for later in entries if later["column"] == entry["column"]]
        if current != convert.canonical_remote(entry["read"]) or current in written:
            return False
    except UnknownValue:
        return False
    edits = [event for event in change_events(board, facts.record, facts.history.events) if event.key == key]
    return not any(event.is_new and event.value == current and event.at > intent.created_at for event in edits)


def repeat_stale_read(facts: PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """End a record with a stale read, to be repeated by its next pass."""
    return plan.repeat(STALE_READ) if is_stale(facts.board, plan.facts) else plan


def is_resting(board: BoardContext, facts: RecordFacts, item: Item) -> bool:
    """Whether both sides of each field have the values that they last agreed on, and nothing else is open."""
    if facts.conflicts or facts.intents or facts.history.void or facts.sync_state.blocked_fields:
        return False
    return all(field_bases.is_as_agreed(board, facts, mapping, item) for mapping in board.mapped)


def items_of_emptied_cells(board: BoardContext, facts: RecordFacts, item: Item) -> set[tuple[type[SyncedModel], str]]:
    """Return the items that bases name although the cells are empty: they may have been removed."""
    emptied = set[tuple[type[SyncedModel], str]]()
    for mapping, relation in board.relations:
        names = set[str]()
        convert = board.converter(mapping, facts.record)
        base = field_bases.base_of(facts.sync_state, mapping, item.id)
        if (
            not convert.names_items
            or field_bases.side_of(convert.canonical_remote, field_bases.cell_of(convert, mapping, item)) is not None
        ):
            continue
        if base is not None:
            names.add(str(field_bases.side_of(partial(field_bases.base_remote, convert), base)))
        else:
            # The values of an unanswered create count as the base.
            creates = [intent.values.get(mapping.key) for intent in (*facts.intents, *facts.history.ended_creates)]
            names |= {str(field_bases.side_of(convert.canonical_local, entry["local"])) for entry in creates if entry}
        emptied |= {(target_of(relation), name) for name in names - {"None"}}
    return emptied


def needs_edit_times(board: BoardContext, facts: RecordFacts, item: Item) -> bool:
    """Whether the rule “newest” may decide a field of the record: both sides have changed, or there is no base."""
    for mapping in board.mapped:
        if Rule.NEWEST not in (mapping.rule, mapping.first_match):
            continue
        base = field_bases.base_of(facts.sync_state, mapping, item.id)
        if base is None:
            return True
        if base["local"] == field_values.stored_values(facts.record, mapping):
            continue
        cell = field_bases.cell_of(board.converter(mapping), mapping, item)
        if base.get(field_bases.AS_SENT) or cell != base["remote"]:
            return True
    return False


def column_findings(board: BoardContext, read_items: Iterable[Item]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields with missing or retyped columns, and the fields that have no problem any more.

    Only active items on this board count; others may have other columns.
    """
    items = [item for item in read_items if field_values.is_active_on(board, item)]
    if not items:
        return (), ()
    mapped = [mapping for mapping in board.mappings if mapping.column_id not in ("", board_columns.NAME_TYPE)]
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


def end_unmatchable(facts: PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """End a record without an item if a column that matches items is missing: a new item could be a second one."""
    match = facts.board.match_mapping
    reason = facts.board.link.npd_id_problem
    if not reason and match is not None and match.problem:
        reason = f"{match.problem} Records and items are matched by it, so no item is created until then."
    return plan if plan.record.monday_id or not reason else plan.end_settled(reason)
