"""Both sides of a pass: what NPD knows of the claimed records, the one call that reads Monday, and what the two show
of items, relations and columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Value
from django.db.models.functions import Lower

from sync import connectors, registry
from sync.boards import board_columns
from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus, TombstoneState
from sync.clock import SyncNow
from sync.connectors.base.board import EventKind, InvalidEvent, ItemEvent
from sync.connectors.base.board_items import BatchItems, Item, MatchColumn
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ColumnRejected, ConnectorError
from sync.kernel.conflict_store import KIND_IDENTITY, current_store
from sync.limits.metered_client import connector
from sync.limits.pass_budget import board_costs, call_cost
from sync.models import (
    AwaitedRelation,
    FieldMapping,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
)
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit, new_ledger
from sync.reconcile.field_plan import AS_SENT, FieldPlan, base_of, decide_fields, sides_of
from sync.reconcile.field_values import (
    ACTIVE,
    BoardContext,
    Lacking,
    RelatedFacts,
    Want,
    WantKind,
    canonical_expression,
    stored_values,
)
from sync.reconcile.gather import item_names, known_related, read_edits, read_related, related_wants
from sync.records.blocked_fields import LEFT_OUT
from sync.records.item_links import UNLINK_KEY, ignore_item
from sync.records.unmatched_items import clear_unmatched
from sync.registry import relation_of, target_of

# NPD's side: what is known of the claimed records.


def load(batch: Batch, claims: Sequence[Claim]) -> None:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    model, entity_type = batch.board.model, batch.entity_type
    items = [c.remote_id for c in claims if c.entity_id is None]
    owners = dict(model._default_manager.filter(monday_id__in=items).values_list("monday_id", "pk"))
    rows: dict[UUID, list[Any]] = {}
    for claim in claims:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            batch.unmatched_claims.append(WorkUnit(claim))
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    if owners and not batch.is_preview:
        # Its webhook may have come while it was being linked.
        clear_unmatched(entity_type, map(str, owners))
    relations = batch.board.joined_relations
    # Without a name select_related would follow every relation.
    found = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    records = found.in_bulk(list(rows))
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, records)}
    for entity_id, jobs in rows.items():
        claim = Claim(entity_id, None, jobs)
        if entity_id not in records:
            batch.deleted_claims.append(claim)
            continue
        ledger = ledgers.get(str(entity_id)) or new_ledger(entity_type, entity_id)
        batch.record_syncs.append(RecordSync(claim, records[entity_id], ledger))
    _attach_details(batch)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    created = [s.id for s in batch.record_syncs if any(row.operation != Operation.UPDATE for row in s.claim.rows)]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=created)
        tombstones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again.", reason_code=""
        )


def _attach_details(batch: Batch) -> None:
    by_id = {record_sync.id: record_sync for record_sync in batch.record_syncs}
    by_item = {s.record.monday_id: s for s in batch.record_syncs if s.record.monday_id}
    for intent in Intent.objects.filter(entity_id__in=by_id, state=IntentState.OPEN).order_by("created_at"):
        by_id[intent.entity_id].intents.append(intent)
    for entity_id, conflicts in current_store().open_conflicts(batch.entity_type, by_id).items():
        by_id[entity_id].conflicts = list(conflicts)
    failed = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id__in=by_id, status=QueueStatus.FAILED)
    for failed_id in failed.values_list("entity_id", flat=True):
        if failed_id is not None:
            by_id[failed_id].has_failed_job = True
    asked_items = {c.monday_item_id for s in batch.record_syncs for c in s.conflicts if c.kind == KIND_IDENTITY}
    if asked_items:
        owned = set(map(str, batch.records.filter(monday_id__in=asked_items).values_list("monday_id", flat=True)))
        for record_sync in batch.record_syncs:
            record_sync.owned_items = owned
    events = WebhookEvent.objects.filter(processed_at=None, item_id__in=by_item, board_id=batch.link.board_id)
    for event in events.order_by("id"):
        if event.item_id in by_item:
            by_item[event.item_id].events.append(event)


# Passes that end without a call: nothing left its half of the base, so there is nothing to ask
# Monday.


def skip_unchanged(board: BoardContext, record_syncs: Iterable[RecordSync]) -> None:
    """End every record that needs no call: an unchanged save, a record without sync, our own echo."""
    for record_sync in record_syncs:
        is_unlink = bool(record_sync.claim.payload.get(UNLINK_KEY))
        if record_sync.left_out:
            continue
        if not record_sync.record.may_sync and not record_sync.is_push_by_name and not is_unlink:
            # What Monday says meanwhile is not read: the first pass after it is on again reads the item.
            record_sync.ledger.remote_state = ""
            record_sync.end(Outcome.SETTLED, "Sync is off for this record.", reason="")
        elif record_sync.causes == Cause.SAVE and not record_sync.events and _is_local_unchanged(board, record_sync):
            record_sync.end(Outcome.SETTLED, "Nothing that is synced changed.")
        elif record_sync.is_webhook_only and _is_echo(board, record_sync):
            record_sync.processed = True
            record_sync.end(Outcome.SETTLED, "Monday reported what was known already.")


def has_open_work(record_sync: RecordSync) -> bool:
    """Whether a pass would have something to find out or to say, even where no value has changed."""
    ledger = record_sync.ledger
    return bool(
        record_sync.conflicts
        or record_sync.intents
        or record_sync.lost_updates
        or record_sync.has_failed_job
        or any(entry.get("side") != LEFT_OUT for entry in ledger.blocked_fields.values())
        or ledger.note
        or ledger.left_out
        or ledger.remote_state != ACTIVE
    )


def _is_local_unchanged(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    item_id, ledger = record_sync.record.monday_id, record_sync.ledger
    if not item_id or has_open_work(record_sync):
        return False
    for mapping in [mapping for mapping in board.mappings if mapping.column_id]:
        base, convert = base_of(ledger, mapping, item_id), board.converter(mapping, record_sync.record)
        if base is None or base.get(AS_SENT):
            return False
        if not sides_of(convert, base, local=stored_values(record_sync.record, mapping)).local_stands:
            return False
    return True


def _is_echo(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    if not record_sync.events or not _is_local_unchanged(board, record_sync):
        return False
    try:
        told = [_event_values(board, connectors.get().parse_event(event.body)) for event in record_sync.events]
    except InvalidEvent:
        return False
    if any(values is None for values in told):
        return False
    for mapping, value, column_type in [one for values in told for one in values or ()]:
        base = base_of(record_sync.ledger, mapping, record_sync.record.monday_id or "")
        convert = board.converter(mapping, record_sync.record)
        try:
            stored = convert.from_event(value, column_type or convert.column_type)
            if base is None or stored != convert.remote(base["remote"]):
                return False
        except UnknownValue:
            return False
    return True


def _event_values(board: BoardContext, event: ItemEvent) -> list[tuple[FieldMapping, object, str]] | None:
    """The mapped values that an event tells; None where it tells more than values (archived, restored …)."""
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


# Monday's side: the one read call.


MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""


def read(batch: Batch) -> BatchItems:
    """Ask Monday once for everything that the open records and the unmatched items need; raises ConnectorError.

    Where a part has more pages, they are read too: a part of the hits would look like few hits.
    """
    board = batch.board
    linked = [s.record.monday_id for s in batch.open_records if s.record.monday_id]
    linked += [c.claim.remote_id for c in batch.unmatched_claims if c.claim.remote_id]
    linked += [str(deleted_record.tombstone.monday_id) for deleted_record in batch.open_deleted]
    unlinked = [s for s in batch.open_records if not s.record.monday_id]
    match = board.match_mapping
    values = [text for s in unlinked if (text := match_text_of_record(batch, s.record))]
    if not linked and not unlinked:
        return BatchItems()
    batch.calls += 1
    with call_cost(board.link, len(linked) + len(unlinked)):
        result = connector(board.link.system).read_batch(
            board.link.board_id,
            [str(item_id) for item_id in dict.fromkeys(linked)],
            board.columns,
            board.link.npd_id_column,
            [str(s.id) for s in unlinked],
            MatchColumn(match.column_id, board.converter(match).column_type) if match else None,
            sorted(set(values)),
            board.types,
        )
    batch.read_request = result.request_id
    return _with_further_pages(batch, result)


def read_by_id(batch: Batch, ids: Sequence[str]) -> dict[str, Item]:
    """Return these items, whatever became of them, as far as Monday shows them; raises ConnectorError."""
    found: dict[str, Item] = {}
    board = batch.board
    size = connectors.get(board.link.system).items_per_read
    for start in range(0, len(ids), size):
        asked_ids = ids[start : start + size]
        batch.calls += 1
        with call_cost(batch.link, len(asked_ids)):
            items = connector(batch.link.system).read_items(asked_ids, batch.board.columns, batch.board.types)
        found |= {item.id: item for item in items}
    return found


def match_text_of_record(batch: Batch, record: SyncedModel) -> str:
    """Return the record's match key in canonical form, or an empty text."""
    match = batch.board.match_mapping
    if match is None:
        return ""
    return str(batch.board.converter(match, record).local(stored_values(record, match)) or "")


def match_text_of_item(batch: Batch, item: Item) -> str | None:
    """Return the item's match key in canonical form, an empty text where it has none, None where it can't be read."""
    match = batch.board.match_mapping
    if match is None:
        return ""
    convert = batch.board.converter(match)
    try:
        return str(convert.remote(convert.stored_value(item.reading(match.column_id))) or "")
    except UnknownValue:
        return None


def npd_id_of(board: BoardContext, item: Item) -> str | None:
    """Return the NPD ID that the item bears, an empty text where it bears none, None where it can't be read."""
    reading = item.reading(board.link.npd_id_column)
    return (reading.text or "").strip() if reading.known else None


def items_with_npd_ids(board: BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises ConnectorError."""
    found: dict[str, Item] = {}
    size = min(connectors.get(board.link.system).items_per_read, board_costs(board.link.pk).size)
    for start in range(0, len(ids), size):
        asked_ids = ids[start : start + size]
        with call_cost(board.link, len(asked_ids)):
            result = connector(board.link.system).read_batch(
                board.link.board_id, [], board.columns, board.link.npd_id_column, asked_ids, types=board.types
            )
        for item in result.by_npd_id:
            npd_id = npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in asked_ids:
                found.setdefault(npd_id, item)
    return found


def as_uuid(text: str) -> UUID | None:
    """Return the NPD ID in a text, or None where it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _with_further_pages(batch: Batch, result: BatchItems) -> BatchItems:
    found = {"by_npd_id": result.by_npd_id, "by_match": result.by_match}
    for part, first in result.cursors.items():
        cursor: str | None = first
        for _ in range(MAX_PAGES):
            if cursor is None:
                break
            batch.calls += 1
            with call_cost(batch.link, 0):
                page = connector(batch.link.system).next_page(cursor, batch.board.columns, batch.board.types)
            found[part] = [*found[part], *page.items]
            cursor = page.cursor
    return BatchItems(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])


# Which record an item without one could be: by the NPD ID that it bears, else by the board link's
# match rule.


def record_of_npd_id(batch: Batch, item: Item) -> SyncedModel | None:
    """Return the record whose NPD ID the item bears, if there is such a record."""
    npd_id = as_uuid(npd_id_of(batch.board, item) or "")
    return batch.records.filter(pk=npd_id).first() if npd_id is not None else None


def is_npd_id_known(npd_id: UUID) -> bool:
    """Whether a record of any type has this NPD ID."""
    return any(spec.model._default_manager.filter(pk=npd_id).exists() for spec in registry.entities())


def owner_of_other_type(batch: Batch, item: Item) -> SyncedModel | None:
    """Return the record of another type whose item this is: it was moved here from that type's board.

    It stays that record's until a person has said what becomes of it.
    """
    others = [spec.model for spec in registry.entities() if spec.entity_type != batch.entity_type]
    owners = (model._default_manager.filter(monday_id=item.id).first() for model in others)
    return next((owner for owner in owners if owner is not None), None)


def tombstone_of(batch: Batch, item: Item) -> Tombstone | None:
    """Return the deleted record to which the item belongs, by its NPD ID, else as the item that it had.

    An item that bears the NPD ID of a record that is there belongs to that one.
    """
    tombstones = Tombstone.objects.filter(entity_type=batch.entity_type).exclude(state="restored")
    npd_id = as_uuid(npd_id_of(batch.board, item) or "")
    if npd_id is not None:
        if batch.records.filter(pk=npd_id).exists():
            return None
        if tombstone := tombstones.filter(entity_id=npd_id).first():
            return tombstone
    return tombstones.filter(monday_id=item.id).first()


def records_matching(batch: Batch, item: Item) -> list[SyncedModel]:
    """Return the records with the item's match key; none where it has no key."""
    key = match_text_of_item(batch, item)
    return records_by_match_key(batch, [key]).get(key, []) if key else []


def records_by_match_key(batch: Batch, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys in canonical form, by key; one query."""
    wanted, match = sorted(set(keys)), batch.board.match_mapping
    if match is None or not wanted:
        return {}
    convert = batch.board.converter(match)
    records = batch.records.annotate(match_key=Lower(canonical_expression(match.fields[0])))
    found: dict[str, list[SyncedModel]] = {}
    for record in records.filter(match_key__in=[Lower(Value(key)) for key in wanted]):
        found.setdefault(str(convert.local(stored_values(record, match))), []).append(record)
    return {key: found[key] for key in wanted if key in found}


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


def apply_unlinks(batch: Batch) -> None:
    """Unlink those records of which a person asked for it; what became of the item doesn't matter."""
    for record_sync in batch.record_syncs:
        why = str(record_sync.claim.payload.get(UNLINK_KEY, ""))
        if why and record_sync.record.monday_id:
            unlink(record_sync, why, actor=record_sync.by)


def cleared_columns(batch: Batch, record_sync: RecordSync) -> dict[str, Any]:
    """Return what an unlinked record's write is: its item's NPD ID emptied, where it bears one."""
    column, item = batch.link.npd_id_column, record_sync.item
    is_here = item is not None and item.state == ACTIVE and item.board_id in (None, batch.link.board_id)
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


STALE_READ_WINDOW = timedelta(minutes=2)
"""Monday answers plain reads from replicas that may lag behind (its schema's `latest` argument says so)."""


def reread_stale(batch: Batch) -> None:
    """Read once more, in one call, the items that still show a value we replaced; raises ConnectorError."""
    by_id = {record_sync.id: record_sync for record_sync in batch.open_records if record_sync.item is not None}
    recent = Intent.objects.filter(
        entity_id__in=by_id, state=IntentState.APPLIED, settled_at__gt=SyncNow() - STALE_READ_WINDOW
    ).exclude(item_id="")
    latest = {(intent.entity_id, key): intent for intent in recent.order_by("created_at") for key in intent.values}
    stale = {
        entity_id for (entity_id, key), intent in latest.items() if _is_stale(batch, by_id[entity_id], intent, key)
    }
    suspects = [record_sync for record_sync in by_id.values() if record_sync.id in stale]
    items = read_by_id(batch, [record_sync.item.id for record_sync in suspects if record_sync.item])
    for record_sync in suspects:
        if record_sync.item is not None:
            record_sync.item = items.get(record_sync.item.id, record_sync.item)


def _is_stale(batch: Batch, record_sync: RecordSync, intent: Intent, key: str) -> bool:
    """Whether the item shows exactly the value that this write replaced, and not the one it wrote."""
    entry = intent.values[key]
    mapping = next((m for m in batch.board.mappings if (m.key, m.column_id) == (key, entry["column"])), None)
    if record_sync.item is None or mapping is None:
        return False
    convert = batch.board.converter(mapping, record_sync.record)
    try:
        now = convert.remote(convert.stored_value(record_sync.item.reading(entry["column"])))
        return now == convert.remote(entry["read"]) and now != convert.local(entry["local"])
    except UnknownValue:
        return False


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


def end_unmatchable(batch: Batch) -> None:
    """End records without an item while the board lacks a column by which an item of theirs would be known.

    To make one all the same could make a second one; they are looked at as soon as the column is there.
    """
    reason, match = batch.link.npd_id_problem, batch.board.match_mapping
    if not reason and match is not None and match.problem:
        why = "Records and items are matched by it, so no item is created until then: it could be a second one."
        reason = f"{match.problem} {why}"
    for record_sync in batch.open_records if reason else ():
        if not record_sync.record.monday_id:
            record_sync.leave_open(reason)


def is_missing_column_error(batch: Batch, error: ConnectorError) -> bool:
    """Whether a read failed because a column is gone that was not known to be; from now on it is known.

    Costs one call, the first time only.
    """
    if not isinstance(error, ColumnRejected):
        return False
    known_problems = _column_problems(batch)
    try:
        batch.calls += 1
        board_columns.inspect_board(batch.link)
    except ConnectorError:
        return False
    _reload_problems(batch)
    return bool(_column_problems(batch) - known_problems)


def _column_problems(batch: Batch) -> set[str]:
    found = {mapping.key for mapping in batch.board.mappings if mapping.problem}
    return found | ({"npd_id"} if batch.link.npd_id_problem else set())


def check_read_columns(batch: Batch, found: BatchItems) -> None:
    """Compare the columns that an answer shows with those that it should show; flag and heal mappings.

    A column that no item shows is looked up on the board, by one call the first time. Where the board has it all
    the same, the token's user doesn't see it.
    """
    # Items that stand on this board and are active; others may have other columns.
    read_items: Iterable[Item] = [*found.linked.values(), *found.by_npd_id, *found.by_match]
    items = [item for item in read_items if item.state == ACTIVE and item.board_id in (None, batch.link.board_id)]
    if not items:
        return
    clear_column_problems(batch.board, items)
    missing = missing_columns(batch.board, items)
    if not missing:
        return
    batch.calls += 1
    board_columns.inspect_board(batch.link)
    _reload_problems(batch)
    for mapping in missing:
        if not mapping.problem:
            board_columns.set_hidden(batch.link, mapping)


def missing_columns(board: BoardContext, items: Sequence[Item]) -> list[FieldMapping]:
    """Return the fields not known to have a problem whose columns none of these items shows, or as another type."""
    unflagged = [m for m in _mapped_columns(board) if not m.problem]
    return [m for m in unflagged if all(m.column_id not in item.values for item in items) or _is_retyped(m, items)]


def clear_column_problems(board: BoardContext, items: list[Item]) -> None:
    """Let those fields go whose columns these items show again; they are items of the board, and active."""
    for mapping in [mapping for mapping in _mapped_columns(board) if mapping.problem]:
        is_shown = any(mapping.column_id in i.values and i.values[mapping.column_id].known for i in items)
        if is_shown and not _is_retyped(mapping, items):
            board_columns.set_problem(board.link, mapping, None)


def _mapped_columns(board: BoardContext) -> list[FieldMapping]:
    return [m for m in board.mappings if m.column_id not in ("", board_columns.NAME_COLUMN_ID)]


def _is_retyped(mapping: FieldMapping, items: Sequence[Item]) -> bool:
    expected = mapping.options.get("column_type")
    types = {item.values[mapping.column_id].type for item in items if mapping.column_id in item.values}
    return bool(expected) and bool(types - {"", expected}) and not board_columns.reads_type(mapping, types)


def _reload_problems(batch: Batch) -> None:
    """The pass's own mappings learn what was found out about the board."""
    fresh = {mapping.pk: mapping.problem for mapping in batch.link.mappings.all()}
    for mapping in batch.board.mappings:
        mapping.problem = fresh.get(mapping.pk, mapping.problem)
