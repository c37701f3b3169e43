"""Both sides of a pass: what NPD knows of the claimed records, the one call that reads Monday, and what the two show
of items, relations and columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from sync import registry
from sync.boards import board_columns
from sync.choices import Cause, Operation, Priority, QueueDirection, TombstoneState
from sync.clock import SyncNow
from sync.connectors.base.board import EventKind, ItemEvent
from sync.connectors.base.board_items import BatchItems, Item
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ColumnRejected, ConnectorError
from sync.models import AwaitedRelation, FieldMapping, Tombstone
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile import gather
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_plan import AS_SENT, FieldPlan, base_of, decide_fields, sides_of
from sync.reconcile.field_values import (
    ACTIVE,
    BoardContext,
    Lacking,
    RelatedFacts,
    Want,
    WantKind,
    npd_id_of,
    stored_values,
)
from sync.reconcile.gather import claimed_facts
from sync.reconcile.reads import read_by_id
from sync.reconcile.related import item_names, known_related, read_edits, read_related, related_wants
from sync.records.blocked_fields import LEFT_OUT
from sync.records.item_links import UNLINK_KEY, ignore_item
from sync.records.unmatched_items import clear_unmatched
from sync.registry import relation_of, target_of

if TYPE_CHECKING:
    from sync.reconcile.lost_updates import LostUpdate

# NPD's side: what is known of the claimed records.


def load(batch: Batch, claims: Sequence[Claim]) -> None:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    facts = claimed_facts(batch.board, claims, batch.planned_records)
    batch.record_syncs += [
        RecordSync(
            one.claim,
            one.record,
            one.ledger,
            intents=list(one.intents),
            conflicts=list(one.conflicts),
            events=list(one.events),
            has_failed_job=one.has_failed_job,
            owned_items=set(one.owned_items),
        )
        for one in facts.records
    ]
    batch.deleted_claims += facts.deleted
    batch.unmatched_claims += [WorkUnit(claim) for claim in facts.unmatched]
    batch.known_items = facts.known_items


def settle_claimed(batch: Batch, locked: Collection[UUID]) -> None:
    """In settle, with the lock of those records that are there: no item of theirs is unmatched, and none is deleted."""
    if batch.known_items:
        # Its webhook may have come while it was being linked.
        clear_unmatched(batch.entity_type, batch.known_items)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    present = [record_sync for record_sync in batch.record_syncs if record_sync.id in locked]
    created = [s.id for s in present if any(row.operation != Operation.UPDATE for row in s.claim.rows)]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=batch.entity_type, entity_id__in=created)
        tombstones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again.", reason_code=""
        )


# Passes that end without a call: nothing left its half of the base, so there is nothing to ask
# Monday.


@dataclass(frozen=True)
class EndWithoutCall:
    """Why a pass ends before anything is read: `detail` is what its jobs say.

    `is_off`: the record isn't synced, so what Monday says meanwhile is not read, and the first pass after it is on
    again reads the item. `processed`: its events told nothing new.
    """

    detail: str
    is_off: bool = False
    processed: bool = False


def end_without_call(
    board: BoardContext, facts: RecordFacts, lost_updates: Sequence[LostUpdate] = ()
) -> EndWithoutCall | None:
    """Return why a record needs no call, an unchanged save, a record without sync, our own echo; None where it does."""
    is_unlink = bool(facts.claim.payload.get(UNLINK_KEY))
    if not facts.record.may_sync and not facts.is_push_by_name and not is_unlink:
        return EndWithoutCall("Sync is off for this record.", is_off=True)
    if facts.causes == Cause.SAVE and not facts.events and _is_local_unchanged(board, facts, lost_updates):
        return EndWithoutCall("Nothing that is synced changed.")
    if facts.is_webhook_only and _is_echo(board, facts, lost_updates):
        return EndWithoutCall("Monday reported what was known already.", processed=True)
    return None


def has_open_work(facts: RecordFacts, lost_updates: Sequence[LostUpdate] = ()) -> bool:
    """Whether a pass would have something to find out or to say, even where no value has changed."""
    ledger = facts.ledger
    return bool(
        facts.conflicts
        or facts.intents
        or lost_updates
        or facts.has_failed_job
        or any(entry.get("side") != LEFT_OUT for entry in ledger.blocked_fields.values())
        or ledger.note
        or ledger.left_out
        or ledger.remote_state != ACTIVE
    )


def _is_local_unchanged(board: BoardContext, facts: RecordFacts, lost_updates: Sequence[LostUpdate]) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    record, ledger = facts.record, facts.ledger
    if not record.monday_id or has_open_work(facts, lost_updates):
        return False
    for mapping in [mapping for mapping in board.mappings if mapping.column_id]:
        base, convert = base_of(ledger, mapping, record.monday_id), board.converter(mapping, record)
        if base is None or base.get(AS_SENT):
            return False
        if not sides_of(convert, base, local=stored_values(record, mapping)).local_stands:
            return False
    return True


def _is_echo(board: BoardContext, facts: RecordFacts, lost_updates: Sequence[LostUpdate]) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    if not facts.events or not _is_local_unchanged(board, facts, lost_updates):
        return False
    told = [_event_values(board, received.event) for received in facts.events]
    if any(values is None for values in told):
        return False
    for mapping, value, column_type in [one for values in told for one in values or ()]:
        base = base_of(facts.ledger, mapping, facts.record.monday_id or "")
        convert = board.converter(mapping, facts.record)
        try:
            stored = convert.from_event(value, column_type or convert.column_type)
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


def skip_unchanged(board: BoardContext, record_syncs: Iterable[RecordSync]) -> None:
    """End every record that needs no call; one that the filter left out has ended."""
    for record_sync in record_syncs:
        if record_sync.left_out:
            continue
        if end := end_without_call(board, record_sync.facts, record_sync.lost_updates):
            record_sync.processed = record_sync.processed or end.processed
            if end.is_off:
                record_sync.ledger.remote_state = ""
            record_sync.end(Outcome.SETTLED, end.detail, reason="" if end.is_off else None)


# A record lets go of its item: the item's NPD ID is cleared, then sync goes off, and the item is
# remembered.
#
# The clearing goes through the pass's usual write, announced by an intent; settling turns sync off
# only when it was carried out, or when there is no item any more that bears the id. NPD's and
# Monday's values stay as they are. The base stays in the sync state, for the day on which a person
# links the two again (sync/records/item_links.py).


def unlink(record_sync: RecordSync, why: str, *, actor: str = "") -> None:
    """Unlink the record in this pass: nothing else of it is sent or taken over.

    `why` is a clause without a full stop, as “its item was deleted on Monday”; it stands in the record's history and
    beside the item. May be called for a record that identify ended; not after plan.
    """
    record_sync.unlink_reason, record_sync.unlink_actor = why, actor
    record_sync.field_plans, record_sync.creates, record_sync.link_to = {}, False, None
    if record_sync.outcome in (Outcome.SETTLED, Outcome.DEFERRED):
        record_sync.leave_open("")


def requested_unlink(facts: RecordFacts) -> str:
    """Return why a person wants the record unlinked, as a clause; empty where nobody does, or it has no item."""
    return str(facts.claim.payload.get(UNLINK_KEY, "")) if facts.record.monday_id else ""


def apply_unlinks(batch: Batch) -> None:
    """Unlink those records of which a person asked for it; what became of the item doesn't matter."""
    for record_sync in batch.record_syncs:
        if why := requested_unlink(record_sync.facts):
            unlink(record_sync, why, actor=record_sync.by)


def cleared_columns(batch: Batch, record_sync: RecordSync) -> dict[str, Any]:
    """Return what an unlinked record's write is: its item's NPD ID emptied, where it bears one."""
    column, item = batch.link.npd_id_column, record_sync.item
    is_here = item is not None and is_active_on(batch.board, item)
    if not column or item is None or not is_here or npd_id_of(batch.board, item) == "":
        return {}
    return {column: None}


def settle_unlink(record_sync: RecordSync) -> dict[str, Any]:
    """Return what settling writes to an unlinked record, and remember its item; nothing where the pass failed."""
    item_id, why = record_sync.record.monday_id, record_sync.unlink_reason
    if not why or record_sync.outcome is not Outcome.SETTLED or not item_id:
        return {}
    unlinked = f"Unlinked from “{record_sync.record}”: {why}."
    ignore_item(record_sync.record.entity_type(), item_id, record_sync.id, unlinked)
    record_sync.log_decision(
        "unlinked",
        f"Unlinked from its item: {why}. Its sync is off; both sides keep what they have. "
        "“Link again” on the record's page undoes it.",
        actor=record_sync.unlink_actor,
    )
    record_sync.ledger.remote_state = ""
    return {"monday_id": None, "sync_enabled": False}


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


def reread_stale(batch: Batch) -> None:
    """Read once more, in one call, the items that still show a value we replaced; raises ConnectorError."""
    read_items = [record_sync for record_sync in batch.open_records if record_sync.item is not None]
    batch.add_history(gather.with_settled_writes([record_sync.facts for record_sync in read_items]))
    suspects = [s for s in read_items if s.history.applied and is_stale(batch.board, s.facts)]
    items = read_by_id(batch, [record_sync.item.id for record_sync in suspects if record_sync.item])
    for record_sync in suspects:
        if record_sync.item is not None:
            record_sync.item = items.get(record_sync.item.id, record_sync.item)


# Relations in a pass: what their two sides name, and who waits for whom.
#
# Only the relation waits for a record that has no item yet, or for an item or a name that is no
# record yet, never its record: the field is blocked with its reason, and the triggers of the other
# table enqueue the record (sync/kernel/triggers.py).


AWAIT_RETRY_SECONDS = 60
"""What a relation waits for may come while the pass that says so isn't committed: it is looked for once more."""

# Lower case by the database's rules, by which the triggers compare.
_UPSERT_AWAITED = """
    INSERT INTO sync_awaited_relations (id, entity_type, entity_id, key, target_type, target)
    SELECT gen_random_uuid(), %s, entity_id, key, target_type, lower(target)
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS told (entity_id, key, target_type, target)
    ORDER BY entity_id, key
    ON CONFLICT (entity_type, entity_id, key) DO UPDATE
    SET target_type = excluded.target_type, target = excluded.target
    WHERE (sync_awaited_relations.target_type, sync_awaited_relations.target)
        IS DISTINCT FROM (excluded.target_type, excluded.target)
    RETURNING entity_id
"""


def load_related(batch: Batch, found: BatchItems) -> None:
    """Find the records that the batch's relations name on Monday, and by whose names items are shown."""
    board, open_records = batch.board, batch.open_records
    if not board.relations:
        return
    read = [(s.record, s.item) for s in open_records if s.item is not None]
    new = [item for c in batch.unmatched_claims if (item := found.linked.get(c.claim.remote_id or ""))]
    read += [(board.model(), item) for item in new]
    wants = {want for record, item in read for want in related_wants(board, record, item)}
    known = {**batch.related.records, **known_related(board, [s.record for s in open_records])}
    batch.related = read_related(wants - known.keys(), RelatedFacts(known, batch.related.answers))
    board.directory.items.update(item_names(board, batch.related, [s.facts for s in open_records]))


def plan_fields(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """Decide the fields of these records; what that finds lacking is read for all of them together."""
    waiting = list(record_syncs)
    while waiting:
        wants, again = set[Want](), []
        for record_sync in waiting:
            try:
                record_sync.take_fields(decide_fields(batch.field_facts(record_sync)))
            except Lacking as lacking:
                wants |= lacking.wants
                again.append(record_sync)
        if wants:
            batch.related = read_related(wants, batch.related)
            edited = {want.value for want in wants if want.kind is WantKind.EDITS}
            records = {s.id: s.record for s in again if s.id in edited}
            batch.edits = read_edits(batch.board, records, batch.edits) if records else batch.edits
        waiting = again


def awaited_relations(
    board: BoardContext, plans: Mapping[UUID, Mapping[str, FieldPlan]]
) -> list[tuple[UUID, str, str, str]]:
    """Return which relations wait, each with the type and the item or name of the record that has to come. Pure."""
    targets = {mapping.key: target_of(field).entity_type() for mapping, field in board.relations}
    return [
        (entity_id, key, targets[key], field_plan.awaits)
        for entity_id, of_record in plans.items()
        for key, field_plan in of_record.items()
        if field_plan.awaits and key in targets
    ]


def store_awaited(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """Write down which relations wait for a record, in the settle transaction; the others wait no more."""
    planned = {record_sync.id: record_sync.field_plans for record_sync in record_syncs if record_sync.field_plans}
    if not batch.board.relations or not planned:
        return
    waiting = awaited_relations(batch.board, planned)
    current = {(entity_id, key) for entity_id, key, _, _ in waiting}
    known = AwaitedRelation.objects.filter(entity_type=batch.entity_type, entity_id__in=list(planned))
    outdated = [row.pk for row in known if (row.entity_id, row.key) not in current]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    if not waiting:
        return
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT_AWAITED, [batch.entity_type, *columns])
        new = sorted({row[0] for row in cursor.fetchall()})
    enqueue_many(
        batch.entity_type,
        new,
        cause=Cause.DEPENDENCY,
        priority=Priority.SWEEP,
        direction=QueueDirection.TO_NPD,
        due_in_seconds=AWAIT_RETRY_SECONDS,
    )


def enqueue_pointing(batch: Batch, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        for mapping in spec.mappings:
            field = relation_of(spec.model, mapping.fields)
            if field is not None and target_of(field) is batch.board.model:
                pointing = spec.model._default_manager.filter(**{f"{field.name}__in": ids})
                pks = sorted(pointing.values_list("pk", flat=True))
                enqueue_many(spec.entity_type, pks, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


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


@dataclass(frozen=True)
class ColumnFindings:
    """What items show of their board's columns: fields whose columns they lack, or show as another type, and fields
    that were said to have a problem and have none any more.
    """

    missing: tuple[FieldMapping, ...] = ()
    healed: tuple[FieldMapping, ...] = ()


def column_findings(board: BoardContext, read_items: Iterable[Item]) -> ColumnFindings:
    """Compare the columns that items show with those that they should show.

    Only those count that stand on this board and are active; others may have other columns.
    """
    items = [item for item in read_items if is_active_on(board, item)]
    if not items:
        return ColumnFindings()
    mapped = [m for m in board.mappings if m.column_id not in ("", board_columns.NAME_COLUMN_ID)]
    missing, healed = [], []
    for mapping in mapped:
        cells = [item.values[mapping.column_id] for item in items if mapping.column_id in item.values]
        is_retyped = _is_retyped(mapping, {cell.type for cell in cells})
        if mapping.problem and any(cell.known for cell in cells) and not is_retyped:
            healed.append(mapping)
        elif not mapping.problem and (not cells or is_retyped):
            missing.append(mapping)
    return ColumnFindings(tuple(missing), tuple(healed))


def _is_retyped(mapping: FieldMapping, types: set[str]) -> bool:
    expected = mapping.options.get("column_type")
    return bool(expected) and bool(types - {"", expected}) and not board_columns.reads_type(mapping, types)


def is_active_on(board: BoardContext, item: Item) -> bool:
    """Whether the item stands on this board, and is neither archived nor deleted."""
    return item.state == ACTIVE and item.board_id in (None, board.link.board_id)


# What is found of a column is stored at once, and not by settle: it is about the board and all its records, of which
# whole tables are updated (no pass holds its own records' locks meanwhile), it stands whatever becomes of this pass,
# and the pass itself goes by it: a blocked field is neither sent nor taken over.


def store_healed(board: BoardContext, findings: ColumnFindings) -> None:
    """Let those fields go whose columns items show again."""
    for mapping in findings.healed:
        board_columns.set_problem(board.link, mapping, None)


def check_read_columns(batch: Batch, found: BatchItems) -> None:
    """Compare the columns that an answer shows with those that it should show; flag and heal mappings.

    A column that no item shows is looked up on the board, by one call the first time. Where the board has it all
    the same, the token's user doesn't see it.
    """
    findings = column_findings(batch.board, [*found.linked.values(), *found.by_npd_id, *found.by_match])
    store_healed(batch.board, findings)
    if not findings.missing:
        return
    batch.calls += 1
    board_columns.inspect_board(batch.link)
    _reload_problems(batch)
    for mapping in findings.missing:
        if not mapping.problem:
            board_columns.set_hidden(batch.link, mapping)


def is_missing_column_error(batch: Batch, error: ConnectorError) -> bool:
    """Whether a read failed because a column is gone that was not known to be; from now on it is known.

    Costs one call, the first time only.
    """
    if not isinstance(error, ColumnRejected):
        return False
    known_problems = _column_problems(batch.board)
    try:
        batch.calls += 1
        board_columns.inspect_board(batch.link)
    except ConnectorError:
        return False
    _reload_problems(batch)
    return bool(_column_problems(batch.board) - known_problems)


def _column_problems(board: BoardContext) -> set[str]:
    found = {mapping.key for mapping in board.mappings if mapping.problem}
    return found | ({"npd_id"} if board.link.npd_id_problem else set())


def end_unmatchable(batch: Batch) -> None:
    """End the records without an item while none can get one."""
    reason = unmatchable_reason(batch.board)
    for record_sync in batch.open_records if reason else ():
        if not record_sync.record.monday_id:
            record_sync.leave_open(reason)


def _reload_problems(batch: Batch) -> None:
    """The pass's own mappings learn what was found out about the board."""
    fresh = {mapping.pk: mapping.problem for mapping in batch.link.mappings.all()}
    for mapping in batch.board.mappings:
        mapping.problem = fresh.get(mapping.pk, mapping.problem)
