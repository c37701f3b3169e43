"""The link between a record and its item: unlink and link again; and the list of items that no record has.

The list decides nothing; an item's pass does (sync/reconcile/missing/unmatched_items.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pghistory
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from sync import registry
from sync.choices import ActivityKind, Cause, QueueStatus, SyncDirection, UnmatchedReason
from sync.clock import SyncNow, sync_now
from sync.kernel import grouped
from sync.kernel.acts import NotPossible
from sync.kernel.db import retry_on_lock_timeout, run_sql
from sync.models import ActivityLine, BoardLink, IgnoredItem, SyncedModel, SyncQueue, UnmatchedItem, WebhookEvent
from sync.models.activity_lines import fold_alike
from sync.monday.board_events import ITEM_NAME_PATHS
from sync.outbox import enqueue, enqueue_unmatched
from sync.records.authors import UNDO_CAUSE, person_line
from sync.words.message import Message, to_json

# Payload keys of a record's job.
UNLINK_KEY = "unlink"  # who asked for it
RECREATE_KEY = "recreate"  # a person requested a new item for its removed one
RECORD_RESTORED_KEY = "restored"  # a person restored it, so it needs an item; the act's `fold_id` in the activity
NEW_ITEM_KEY = "new_item"  # a person said that none of the items that were found is its own: it gets a new one

# Payload keys of an item's job.
AS_NEW_KEY = "as_new"  # the item becomes a new record
MAY_CREATE_KEY = "create"  # it becomes a record if it matches none, whatever the board's setting
LINK_TO_KEY = "link_to"  # the id of the record that a person chose for it
IGNORED_KEY = "ignored"  # a person ignored it, so its conflict is closed

REQUEST_KEYS = (AS_NEW_KEY, MAY_CREATE_KEY, LINK_TO_KEY)  # of which an item's job has one at most

# Reasons for which a pass opens a conflict about the item.
_CONFLICT_REASONS = (UnmatchedReason.AMBIGUOUS, UnmatchedReason.DUPLICATE)

# ruff: noqa: S608 - statements made of the fragments below, and of the names of synced tables

_FINDINGS = """
    finding AS (
        SELECT * FROM jsonb_to_recordset(%(findings)s::jsonb)
            AS finding (item_id text, name text, reason text, details jsonb, "values" jsonb)
    )
"""

# Skips items that a record owns; unless a pass decided, also ignored items and items of deleted records.
_MAY_NOTE = """
    NOT ({is_owned}) AND (%(from_pass)s OR (
        NOT EXISTS (SELECT FROM sync_ignored_items AS ignored WHERE ignored.entity_type = %(entity_type)s
            AND ignored.item_id = finding.item_id AND ignored.left_alone)
        AND NOT EXISTS (SELECT FROM sync_tombstones AS tombstone WHERE tombstone.entity_type = %(entity_type)s
            AND tombstone.monday_id = finding.item_id AND tombstone.state <> 'restored')))
"""

# Two statements, so that neither can deadlock: the insert waits for transactions that delete a row, but holds no lock
# that they need; the update skips locked rows.
_INSERT = f"""
    WITH {_FINDINGS}
    INSERT INTO sync_unmatched_items (entity_type, board_id, item_id, name, reason_code, details, "values")
    SELECT %(entity_type)s, %(board_id)s, item_id, name, reason, details, "values"
    FROM finding WHERE {_MAY_NOTE} ORDER BY item_id
    ON CONFLICT (item_id, entity_type) DO NOTHING
"""

_UPDATE = f"""
    WITH {_FINDINGS}, listed AS (
        SELECT unmatched.id, finding.* FROM sync_unmatched_items AS unmatched JOIN finding USING (item_id)
        WHERE unmatched.entity_type = %(entity_type)s ORDER BY unmatched.item_id FOR UPDATE OF unmatched SKIP LOCKED
    )
    UPDATE sync_unmatched_items AS unmatched SET last_seen = sync_now(), board_id = %(board_id)s,
        name = CASE WHEN listed.name <> '' THEN listed.name ELSE unmatched.name END,
        reason_code = CASE WHEN %(from_pass)s THEN listed.reason ELSE unmatched.reason_code END,
        details = CASE WHEN %(from_pass)s THEN listed.details ELSE unmatched.details END,
        "values" = unmatched."values" || listed."values"
    FROM listed WHERE listed.id = unmatched.id
"""


def ignore_item(entity_type: str, item_id: str, entity_id: UUID | None, reason: str) -> None:
    """Store an item as ignored, after an unlink or a person's choice, in the caller's transaction."""
    # Lock order: the unmatched row, then the ignored one (see `_locked`).
    unmatched = UnmatchedItem.objects.filter(entity_type=entity_type, item_id=item_id)
    unmatched.update(ignored_at=Coalesce("ignored_at", SyncNow()))
    # Overwrites, because the latest reason counts.
    IgnoredItem.objects.update_or_create(
        entity_type=entity_type,
        item_id=item_id,
        defaults={"reason": reason, "left_alone": True, "entity_id": entity_id},
    )


def exclude_match(entity_type: str, item_id: str, entity_id: UUID, reason: str) -> None:
    """Store that an item doesn't belong to this record, unless it is ignored already; in the caller's transaction."""
    # Lock order: the unmatched row, then the ignored one (see `_locked`).
    list(UnmatchedItem.objects.filter(entity_type=entity_type, item_id=item_id).select_for_update().values("pk"))
    # Doesn't overwrite: an ignored item must not become a mere exclusion.
    IgnoredItem.objects.get_or_create(
        entity_type=entity_type, item_id=item_id, defaults={"reason": reason, "entity_id": entity_id}
    )


def left_by_deleted_record(entity_type: str, item_id: str, name: str) -> IgnoredItem:
    """Return the unsaved row of a second item, such as a copy, whose question ended with its record's deletion.

    It doesn't bring the record back by itself; it is listed, and a person may create a record from it.
    """
    reason = Message("left_by_deleted", record=name)
    return IgnoredItem(entity_type=entity_type, item_id=item_id, reason=reason, left_alone=False)


def request_unlink(entity_type: str, ids: Sequence[UUID], by: str) -> None:
    """Request that the next passes of these records unlink them."""
    payload = {UNLINK_KEY: by, "by": by}
    with transaction.atomic():
        enqueue(entity_type, ids, cause=Cause.PERSON, payload=payload)


def request_recreation(entity_type: str, ids: Sequence[UUID], by: str) -> list[str]:
    """Request new items for records with removed ones; return a sentence for each record that can't have one.

    The next pass creates none if the item is back by then.
    """
    with transaction.atomic():
        suitable = []
        problems = list[str]()
        for record in registry.entity(entity_type).model.objects.filter(pk__in=ids).order_by("pk"):
            if not record.monday_id or not record.may_sync:
                problems.append(Message("not_recreated_unlinked", record=str(record)))
            elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
                problems.append(Message("not_recreated_one_way", record=str(record)))
            else:
                suitable.append(record.pk)
        payload = {RECREATE_KEY: True, "by": by}
        enqueue(entity_type, suitable, cause=Cause.PERSON, payload=payload)
    return problems


def unlinked_item(record: SyncedModel) -> IgnoredItem | None:
    """Return the item from which this record was last unlinked, or None."""
    return unlinked_items(record.entity_type(), [record.pk]).get(record.pk)


def unlinked_items(entity_type: str, ids: Sequence[UUID]) -> dict[UUID, IgnoredItem]:
    """Return the items from which these records were last unlinked, by record."""
    rows = IgnoredItem.objects.filter(entity_type=entity_type, left_alone=True, entity_id__in=ids)
    return {row.entity_id: row for row in rows.order_by("at", "id") if row.entity_id}


def relink(record: SyncedModel, by: str) -> str:
    """Link the record with its former item, turn its sync on, and return the item's id; raises NotPossible.

    The bases are kept, so later changes are synced, and only fields changed on both sides become conflicts.
    """
    model = type(record)
    # Its own line tells of it, not also the edit that turns sync on.
    with pghistory.context(cause=UNDO_CAUSE) as context, transaction.atomic():
        batch_id = context.metadata.setdefault("batch", str(uuid4()))
        # NO KEY, so that rows pointing at this record can still be saved.
        current = model.objects.select_for_update(no_key=True, of=("self",)).get(pk=record.pk)
        former = unlinked_item(current)
        if former is None:
            raise NotPossible(f"“{current}” was not unlinked from an item, so there is none to link it with again.")
        if current.monday_id:
            raise NotPossible(f"“{current}” now has another item ({current.monday_id}). Unlink that one first.")
        if current.sync_direction == SyncDirection.NONE:
            raise NotPossible(
                f"The direction of “{current}” is “Sync off”. Choose another direction, then link it again."
            )
        owner = model.objects.filter(monday_id=former.item_id).first()
        if owner is not None:
            raise NotPossible(f"The item of “{current}” now belongs to “{owner}”. Unlink that record first.")
        item_id = former.item_id
        current.monday_id = item_id
        model.objects.filter(pk=current.pk).update(monday_id=item_id, sync_enabled=True)
        # The item has a record again, so it is no longer ignored.
        IgnoredItem.objects.filter(entity_type=current.entity_type(), item_id=item_id).delete()
        line = person_line(current, ActivityKind.LINK, Message("linked_again"), by)
        line.batch_id = batch_id
        ActivityLine.objects.bulk_create(fold_alike([line]))
        # The trigger's job only has the cause and priority of a save.
        enqueue(current.entity_type(), [current.pk], cause=Cause.PERSON, payload={"by": by})
    return item_id


def item_names(item_ids: Iterable[str | None]) -> dict[str, str]:
    """Return the last known names of items, by id; two queries."""
    ids = {item_id for item_id in item_ids if item_id}
    if not ids:
        return {}
    name_in_event = Coalesce(*(KT("__".join(("body", *path))) for path in ITEM_NAME_PATHS))
    events = WebhookEvent.objects.filter(item_id__in=ids).annotate(item_name=name_in_event)
    latest = events.exclude(item_name=None).order_by("item_id", "-received_at", "-id").distinct("item_id")
    reported = {str(item_id): str(name) for item_id, name in latest.values_list("item_id", "item_name") if name}
    listed = UnmatchedItem.objects.filter(item_id__in=ids).exclude(name="")
    return dict(listed.values_list("item_id", "name")) | reported


@dataclass(frozen=True)
class UnmatchedFinding:
    """An item without a record, and why it has none."""

    item_id: str
    name: str = ""
    reason: UnmatchedReason = UnmatchedReason.QUEUED
    details: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def note_unmatched(link: BoardLink, findings: Iterable[UnmatchedFinding], *, from_pass: bool = False) -> None:
    """List items of a board as unmatched, or update their rows, in the caller's transaction.

    Pass `from_pass=True` to overwrite a stored reason and to include ignored items and deleted records' items.
    """
    rows = [asdict(finding) for finding in findings]
    if not rows:
        return
    params: dict[str, Any] = {
        "entity_type": link.entity_type,
        "board_id": link.board_id,
        "from_pass": from_pass,
        "findings": json.dumps(to_json(rows)),
    }
    quote = connection.ops.quote_name
    tables = [quote(spec.model._meta.db_table) for spec in registry.entities()]
    owners = [f"EXISTS (SELECT FROM {table} AS owner WHERE owner.monday_id = finding.item_id)" for table in tables]
    if run_sql(_INSERT.format(is_owned=" OR ".join(owners) or "false"), params) < len(rows):
        run_sql(_UPDATE, params)


def _locked(rows: QuerySet[UnmatchedItem]) -> QuerySet[UnmatchedItem]:
    """Return these rows for an update or delete that locks them in the order of their items.

    Lock order: unmatched rows by item_id, then the ignored row. The trigger that deletes an unmatched row uses the same
    order; any other can deadlock.
    """
    return UnmatchedItem.objects.filter(pk__in=rows.select_for_update().order_by("item_id"))


def clear_unmatched(entity_type: str, item_ids: Iterable[str]) -> None:
    """Remove from the list items that a record owns or that left the board, in the caller's transaction."""
    if ids := set(item_ids):
        _locked(UnmatchedItem.objects.filter(entity_type=entity_type, item_id__in=ids)).delete()


@transaction.atomic
def delete_obsolete_unmatched(link: BoardLink, read_from: datetime, on_board: Iterable[str]) -> None:
    """Remove items that a record owns, or that a complete reading of the board, begun at `read_from`, lacked.

    Missing ignored items stay.
    """
    # `on_board` also protects rows whose last_seen wasn't updated because they were locked.
    is_obsolete = Q(last_seen__lt=read_from, ignored_at=None) & ~Q(item_id__any_of=list(on_board))
    for spec in registry.entities():
        is_obsolete |= Q(Exists(spec.model.objects.filter(monday_id=OuterRef("item_id"))))
    _locked(UnmatchedItem.objects.filter(is_obsolete, entity_type=link.entity_type)).delete()


def relist(entity_type: str, item_ids: Iterable[str]) -> None:
    """Show ignored items in the list again, in the caller's transaction; their IgnoredItem rows stay."""
    rows = UnmatchedItem.objects.filter(entity_type=entity_type, item_id__in=list(item_ids))
    _locked(rows).update(ignored_at=None)


def request_creation(rows: Iterable[UnmatchedItem], by: str) -> list[UnmatchedItem]:
    """Request a record for each of these items; return the items for which it was requested.

    An item that fits several records becomes a new record. Skips ignored items, and items for which someone else
    requested something different. Creating and linking only enqueue the item; its pass decides and reports.
    """
    items = [row for row in rows if row.ignored_at is None]
    ambiguous = [row for row in items if row.reason_code == UnmatchedReason.AMBIGUOUS]
    others = [row for row in items if row.reason_code != UnmatchedReason.AMBIGUOUS]
    requested = _enqueue_requests(ambiguous, {AS_NEW_KEY: True, "by": by})
    return requested + _enqueue_requests(others, {MAY_CREATE_KEY: True, "by": by})


def request_link(row: UnmatchedItem, record: SyncedModel, by: str) -> None:
    """Request to link an item with a record; raises NotPossible."""
    check_linkable(row, record)
    if not _enqueue_requests([row], {LINK_TO_KEY: str(record.pk), "by": by}):
        raise NotPossible(
            f"Somebody else requested something different for “{row}”, which the next sync does. Look again then."
        )


def check_linkable(row: UnmatchedItem, record: SyncedModel) -> None:
    """Raise NotPossible if a record can't be linked with an item."""
    if row.ignored_at is not None:
        raise NotPossible(f"“{row}” is ignored. Undo that first.")
    if record.entity_type() != row.entity_type:
        raise NotPossible(f"“{record}” belongs to another board than the item “{row}”.")
    if record.monday_id is not None:
        raise NotPossible(f"“{record}” has another item ({record.monday_id}). Unlink that one first.")


def linkable_records(entity_type: str) -> QuerySet[SyncedModel]:
    """Return the records that `check_linkable` lets an item of this type be linked with."""
    records: QuerySet[SyncedModel] = registry.entity(entity_type).model.objects.filter(monday_id=None)
    return records


@retry_on_lock_timeout
@transaction.atomic
def ignore_unmatched(rows: QuerySet[UnmatchedItem], by: str) -> int:
    """Ignore items until somebody undoes it; return how many were not ignored before."""
    # Passes lock in record order, this in item order: the loser retries.
    items = list(rows.filter(ignored_at=None).select_for_update(of=("self",)).order_by("item_id"))
    UnmatchedItem.objects.filter(pk__in=[row.pk for row in items]).update(ignored_at=sync_now())
    ignored_items = [
        IgnoredItem(
            entity_type=row.entity_type, item_id=row.item_id, left_alone=True, reason=Message("ignored_by", by=by)
        )
        for row in items
    ]
    # entity_id is not in update_fields, so the unlinked record stays known.
    IgnoredItem.objects.bulk_create(
        ignored_items,
        update_conflicts=True,
        unique_fields=["entity_type", "item_id"],
        update_fields=["left_alone", "reason"],
    )
    # Drop requests not started yet.
    for entity_type, ids in _ids_by_type(items).items():
        run_sql(
            """UPDATE sync_queue SET payload = payload - %s::text[]
               WHERE status = 'pending' AND entity_id IS NULL AND entity_type = %s AND remote_id = ANY (%s)
                 AND payload ?| %s::text[]""",
            [list(REQUEST_KEYS), entity_type, ids, list(REQUEST_KEYS)],
        )
    # The pass closes the open conflict, and ends what the item held.
    holding = set(BoardLink.objects.exclude(creates_held="").values_list("entity_type", flat=True))
    with_pass = [row for row in items if row.reason_code in _CONFLICT_REASONS or row.entity_type in holding]
    _enqueue_requests(with_pass, {IGNORED_KEY: True, "by": by})
    return len(items)


@retry_on_lock_timeout
@transaction.atomic
def undo_ignore(rows: QuerySet[UnmatchedItem], by: str) -> int:
    """Undo `ignore_unmatched`; return how many items are listed again."""
    items = list(rows.exclude(ignored_at=None).select_for_update(of=("self",)).order_by("item_id"))
    UnmatchedItem.objects.filter(pk__in=[row.pk for row in items]).update(ignored_at=None)
    for entity_type, ids in _ids_by_type(items).items():
        IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=ids, left_alone=True, entity_id=None).delete()
    _enqueue_requests([row for row in items if row.reason_code in _CONFLICT_REASONS], {"by": by})
    return len(items)


@retry_on_lock_timeout
@transaction.atomic
def consider_again(rows: QuerySet[IgnoredItem]) -> int:
    """Stop ignoring items and check each like a new one; return how many."""
    for entity_type, ids in _ids_by_type(rows.all()).items():
        relist(entity_type, ids)
    items = list(rows.select_for_update(of=("self",)).order_by("item_id"))
    # Same transaction: a pass must not run while the item still counts as ignored.
    for entity_type, ids in _ids_by_type(items).items():
        enqueue_unmatched(entity_type, ids, cause=Cause.PERSON)
    IgnoredItem.objects.filter(pk__in=[row.pk for row in items]).delete()
    return len(items)


def open_jobs(item_ids: Iterable[str]) -> dict[tuple[str, str], SyncQueue]:
    """Return the pending and running jobs of these items, by type and item; one query."""
    ids = list(item_ids)
    if not ids:
        return {}
    jobs = SyncQueue.objects.filter(entity_id=None, remote_id__in=ids)
    types = [spec.entity_type for spec in registry.entities()]
    # Each part has its own index; a single condition would read every item's job.
    pending = jobs.filter(status=QueueStatus.PENDING, entity_type__in=types)
    running = jobs.filter(status=QueueStatus.IN_PROGRESS)
    return {(job.entity_type, str(job.remote_id)): job for job in pending.union(running, all=True)}


def _ids_by_type(rows: Iterable[UnmatchedItem | IgnoredItem]) -> dict[str, list[str]]:
    groups = grouped(sorted(rows, key=lambda row: (row.entity_type, row.item_id)), lambda row: row.entity_type)
    return {entity_type: [row.item_id for row in group] for entity_type, group in groups.items()}


def _enqueue_requests(rows: Sequence[UnmatchedItem], payload: Mapping[str, Any]) -> list[UnmatchedItem]:
    """Enqueue items, except those for which someone else requested something different; return the enqueued ones."""
    jobs = open_jobs(row.item_id for row in rows)
    free = []
    for row in rows:
        job = jobs.get((row.entity_type, row.item_id))
        requested = job.payload if job is not None else {}
        # An item has one job: a second request would overwrite the first.
        is_other = any(key in requested and requested[key] != payload.get(key) for key in REQUEST_KEYS)
        if not is_other or requested.get("by") == payload["by"]:
            free.append(row)
    with transaction.atomic():
        for entity_type, ids in _ids_by_type(free).items():
            enqueue_unmatched(entity_type, ids, cause=Cause.PERSON, payload=payload)
    return free
