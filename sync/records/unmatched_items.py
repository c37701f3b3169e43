"""Items that no record has: noted wherever they are met, cleared when they are dealt with, and what a person wants of
one. What is noted decides nothing: what becomes of an item is decided by its pass (sync/reconcile/new_items.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from sync import registry
from sync.choices import Cause, Priority, QueueStatus
from sync.clock import sync_now
from sync.kernel.db import retry_on_lock_timeout, run_sql
from sync.kernel.messages import Conflict, UnmatchedReason
from sync.models import BoardLink, IgnoredItem, SyncedModel, SyncQueue, UnmatchedItem
from sync.outbox.queue_rows import enqueue
from sync.records import availability

# The key of an item's job under which it says that the item is to become a record of its own.
AS_NEW = "as_new"

# The same for an item that is to become a record if none matches, whatever the board's setting says.
MAY_CREATE = "create"

# The same for the id of the record that a person wants the item linked with.
LINK_TO = "link_to"

# The same for an item that a person has ignored, so that nothing is to be asked about it any more.
IGNORED = "ignored"

REQUEST_KEYS = (AS_NEW, MAY_CREATE, LINK_TO)

# ruff: noqa: S608 - statements made of the fragments below, and of the names of synced tables

_FOUND = """
    found AS (
        SELECT * FROM jsonb_to_recordset(%(found)s::jsonb)
            AS found (item_id text, name text, reason text, details jsonb, "values" jsonb)
    )
"""

# Whoever deals with an item counts as having met it: its record, a person who ignores it, its deleted record.
_IS_NEW = """
    NOT ({owned}) AND (%(decided)s OR (
        NOT EXISTS (SELECT FROM sync_ignored_items AS ignored WHERE ignored.entity_type = %(entity_type)s
            AND ignored.item_id = found.item_id AND ignored.unlinked)
        AND NOT EXISTS (SELECT FROM sync_tombstones AS tombstone WHERE tombstone.entity_type = %(entity_type)s
            AND tombstone.monday_id = found.item_id AND tombstone.state <> 'restored')))
"""

# Two statements: the first waits for whoever deletes a row and holds none that they want, the second never waits. So
# neither can be part of a deadlock, in whatever order others link items with records.
_INSERT = f"""
    WITH {_FOUND}
    INSERT INTO sync_unmatched_items (entity_type, board_id, item_id, name, reason_code, details, "values")
    SELECT %(entity_type)s, %(board_id)s, found.item_id, found.name, found.reason, found.details, found."values"
    FROM found WHERE {_IS_NEW} ORDER BY found.item_id
    ON CONFLICT (item_id, entity_type) DO NOTHING
"""

_UPDATE = f"""
    WITH {_FOUND}, known AS (
        SELECT unmatched.id, found.* FROM sync_unmatched_items AS unmatched JOIN found USING (item_id)
        WHERE unmatched.entity_type = %(entity_type)s ORDER BY unmatched.item_id FOR UPDATE OF unmatched SKIP LOCKED
    )
    UPDATE sync_unmatched_items AS unmatched SET last_seen = sync_now(), board_id = %(board_id)s,
        name = CASE WHEN known.name <> '' THEN known.name ELSE unmatched.name END,
        reason_code = CASE WHEN %(decided)s THEN known.reason ELSE unmatched.reason_code END,
        details = CASE WHEN %(decided)s THEN known.details ELSE unmatched.details END,
        "values" = unmatched."values" || known."values"
    FROM known WHERE known.id = unmatched.id
"""

_OWNED = "EXISTS (SELECT FROM {table} AS owner WHERE owner.monday_id = {rows}.item_id)"


@dataclass(frozen=True)
class UnmatchedFinding:
    """An item without a record: its name if it is known, and why it has none."""

    item_id: str
    name: str = ""
    reason: UnmatchedReason = UnmatchedReason.QUEUED
    details: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def note_unmatched(link: BoardLink, findings: Iterable[UnmatchedFinding], *, decided: bool = False) -> None:
    """Note that a board's items have no record, in the caller's transaction; two statements for all.

    Only what a pass has decided replaces a reason that is there; nothing else is noted of an item that is ignored, or
    that a deleted record had.
    """
    rows = [asdict(finding) for finding in findings]
    if not rows:
        return
    params: dict[str, Any] = {
        "entity_type": link.entity_type,
        "board_id": link.board_id,
        "decided": decided,
        "found": json.dumps(rows).replace("\\u0000", ""),
    }
    if run_sql(_INSERT.format(owned=_owned_condition("found")), params) < len(rows):
        run_sql(_UPDATE, params)


# Whoever takes several rows takes them in the order in which ignoring does: in two orders each waits for the other. So
# does who takes an unmatched and an ignored item: the unmatched one first, as the trigger does that lets it go when a
# record gets the item.
_LOCKED = """
    WITH locked AS MATERIALIZED (
        SELECT id FROM sync_unmatched_items AS unmatched WHERE unmatched.entity_type = %(entity_type)s AND {which}
        ORDER BY unmatched.item_id FOR UPDATE OF unmatched
    )
"""
_DELETE = f"{_LOCKED} DELETE FROM sync_unmatched_items AS unmatched USING locked WHERE locked.id = unmatched.id"
_RELIST = f"""{_LOCKED} UPDATE sync_unmatched_items AS unmatched SET ignored_at = NULL, ignored_by = ''
    FROM locked WHERE locked.id = unmatched.id"""
_NAMED = "unmatched.item_id = ANY (%(items)s)"


def clear_unmatched(entity_type: str, item_ids: Iterable[str]) -> None:
    """Forget items that a record has, or that are on the board no more."""
    if items := sorted(set(item_ids)):
        run_sql(_DELETE.format(which=_NAMED), {"entity_type": entity_type, "items": items})


def clear_unlisted(link: BoardLink, before: datetime, listed: Iterable[str]) -> None:
    """Forget what a complete listing, which began then, has not shown, and what a record has got meanwhile.

    What is ignored stays. `listed` tells what was shown: a row that was locked when its page came kept its old time.
    """
    which = f"""({_owned_condition("unmatched")} OR (unmatched.last_seen < %(before)s AND unmatched.ignored_at IS NULL
        AND NOT EXISTS (SELECT FROM unnest(%(listed)s::text[]) AS listed (id) WHERE listed.id = unmatched.item_id)))"""
    params = {"entity_type": link.entity_type, "before": before, "listed": list(listed)}
    run_sql(_DELETE.format(which=which), params)


def relist(entity_type: str, *item_ids: str) -> None:
    """List items again that were ignored, in the transaction in which that is forgotten."""
    run_sql(_RELIST.format(which=_NAMED), {"entity_type": entity_type, "items": list(item_ids)})


def reopen_items(link: BoardLink, findings: Sequence[UnmatchedFinding]) -> None:
    """Note items of which a person, or the set-up, said so far that they are to be left alone."""
    relist(link.entity_type, *(finding.item_id for finding in findings))
    note_unmatched(link, findings, decided=True)


def _owned_condition(rows: str) -> str:
    quote = connection.ops.quote_name
    tables = [quote(spec.model._meta.db_table) for spec in registry.entities()]
    return " OR ".join(_OWNED.format(table=table, rows=rows) for table in tables) or "false"


# What a person wants of items. Creating and linking are jobs of the items: their pass finds out whether it can be,
# and its result says what came of it.


def request_creation(rows: Iterable[UnmatchedItem], by: str) -> list[UnmatchedItem]:
    """Have items become records; return those that will. One that fits several records becomes one of its own.

    Of one with which somebody else has other plans, nothing is asked.
    """
    items = [row for row in rows if row.ignored_at is None]
    requested = list[UnmatchedItem]()
    for key, is_question in ((AS_NEW, True), (MAY_CREATE, False)):
        alike = [row for row in items if (row.reason_code == UnmatchedReason.AMBIGUOUS) == is_question]
        requested += _enqueue_requests(alike, {key: True, "by": by})
    return requested


def request_link(row: UnmatchedItem, record: SyncedModel, by: str) -> None:
    """Have an item linked with a record; raises Conflict."""
    check_linkable(row, record)
    if not _enqueue_requests([row], {LINK_TO: str(record.pk), "by": by}):
        raise Conflict(planned_otherwise(row))


def planned_otherwise(row: UnmatchedItem) -> str:
    """Say that somebody else has other plans with an item."""
    return f"Somebody else asked for something else with “{row}”, which is done with the next sync. Look again then."


def check_linkable(row: UnmatchedItem, record: SyncedModel) -> None:
    """Raise Conflict where a record can't be linked with an item as both stand now."""
    if row.ignored_at is not None:
        raise Conflict(f"“{row}” is ignored. Undo that first.")
    if record.entity_type() != row.entity_type:
        raise Conflict(f"“{record}” belongs to another board than the item “{row}”.")
    if record.monday_id is not None:
        raise Conflict(f"“{record}” has another item ({record.monday_id}). Unlink that one first.")
    if not record.may_sync:
        raise Conflict(f"Sync is off for “{record}”. Turn it on, then link it.")


def linkable_records(entity_type: str) -> QuerySet[SyncedModel]:
    records: QuerySet[SyncedModel] = registry.entity(entity_type).model._default_manager.filter(monday_id=None)
    return records.filter(sync_enabled=True).exclude(sync_direction="none")


def ignore_unmatched(rows: QuerySet[UnmatchedItem], by: str) -> int:
    """Leave items alone until somebody takes it back; return how many were not ignored before."""
    # A pass takes its items one by one, in the order of their records: whichever of the two gives way runs again.
    return retry_on_lock_timeout(lambda: _ignore(rows, by))


def _ignore(rows: QuerySet[UnmatchedItem], by: str) -> int:
    with transaction.atomic():
        locked = rows.filter(ignored_at=None).select_for_update(of=("self",)).order_by("item_id")
        items = list(locked.only("id", "entity_type", "item_id", "reason_code"))
        UnmatchedItem.objects.filter(pk__in=[row.pk for row in items]).update(ignored_at=sync_now(), ignored_by=by)
        # Of an item that was kept from one record that record stays remembered.
        IgnoredItem.objects.bulk_create(
            [
                IgnoredItem(entity_type=row.entity_type, item_id=row.item_id, unlinked=True, reason=f"{by} ignored it.")
                for row in items
            ],
            update_conflicts=True,
            unique_fields=["entity_type", "item_id"],
            update_fields=["unlinked", "reason"],
        )
        # What was asked for and has not begun is not done any more.
        for entity_type, ids in _ids_by_type(items):
            run_sql(
                """UPDATE sync_queue SET payload = payload - %s::text[]
                   WHERE status = 'pending' AND entity_id IS NULL AND entity_type = %s AND remote_id = ANY (%s)
                     AND payload ?| %s::text[]""",
                [list(REQUEST_KEYS), entity_type, ids, list(REQUEST_KEYS)],
            )
        # The question that stands open about one is closed by its pass.
        questions = [row for row in items if row.reason_code in _ASKED_REASONS]
        _enqueue_requests(questions, {IGNORED: True, "by": by})
    return len(items)


def undo_ignore(rows: QuerySet[UnmatchedItem], by: str) -> int:
    """Take it back; return how many are listed again."""
    return retry_on_lock_timeout(lambda: _undo_ignore(rows, by))


def _undo_ignore(rows: QuerySet[UnmatchedItem], by: str) -> int:
    with transaction.atomic():
        locked = rows.exclude(ignored_at=None).select_for_update(of=("self",)).order_by("item_id")
        items = list(locked.only("id", "entity_type", "item_id", "reason_code"))
        UnmatchedItem.objects.filter(pk__in=[row.pk for row in items]).update(ignored_at=None, ignored_by="")
        for entity_type, ids in _ids_by_type(items):
            ignored = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=ids, unlinked=True)
            ignored.filter(entity_id=None).delete()
        _enqueue_requests([row for row in items if row.reason_code in _ASKED_REASONS], {"by": by})
    return len(items)


def consider_again(rows: QuerySet[IgnoredItem]) -> int:
    """Forget that items are ignored, and check each like a new one; return how many."""
    return retry_on_lock_timeout(lambda: _consider_again(rows))


def _consider_again(rows: QuerySet[IgnoredItem]) -> int:
    with transaction.atomic():
        for entity_type, ids in _ids_by_type(rows.all()):
            relist(entity_type, *ids)
        # Both or neither, or a pass would come too early.
        items = list(rows.select_for_update(of=("self",)).order_by("item_id"))
        for entity_type, ids in _ids_by_type(items):
            enqueue(entity_type, items=ids, cause=Cause.PERSON, priority=Priority.PERSON)
        IgnoredItem.objects.filter(pk__in=[row.pk for row in items]).delete()
    return len(items)


_ASKED_REASONS = (UnmatchedReason.AMBIGUOUS, UnmatchedReason.DUPLICATE)


def request_wait_text(entity_type: str) -> str:
    """Return why what was asked for on this board is not done within seconds; empty where it is."""
    return availability.of(entity_type, urgent=True).detail


def open_requests(item_ids: Iterable[str]) -> dict[tuple[str, str], SyncQueue]:
    """Return the jobs of these items that are not done, by type and item; one query."""
    ids = list(item_ids)
    if not ids:
        return {}
    of_items = SyncQueue.objects.filter(entity_id=None, remote_id__in=ids)
    types = [spec.entity_type for spec in registry.entities()]
    # Each part has an index of its own: as one condition it would read every item's job.
    pending = of_items.filter(status=QueueStatus.PENDING, entity_type__in=types)
    jobs = pending.union(of_items.filter(status=QueueStatus.IN_PROGRESS), all=True)
    return {(job.entity_type, str(job.remote_id)): job for job in jobs}


def _ids_by_type(rows: Iterable[UnmatchedItem | IgnoredItem]) -> Iterable[tuple[str, list[str]]]:
    ordered = sorted(rows, key=lambda row: (row.entity_type, row.item_id))
    return [(kind, [row.item_id for row in of_type]) for kind, of_type in groupby(ordered, lambda row: row.entity_type)]


def _enqueue_requests(rows: Sequence[UnmatchedItem], payload: Mapping[str, Any]) -> list[UnmatchedItem]:
    """Request this for the items with which nobody else has other plans, and return those."""
    jobs = open_requests(row.item_id for row in rows)
    free = [row for row in rows if not _is_planned_otherwise(jobs.get((row.entity_type, row.item_id)), payload)]
    with transaction.atomic():
        for entity_type, ids in _ids_by_type(free):
            enqueue(entity_type, items=ids, cause=Cause.PERSON, priority=Priority.PERSON, payload=payload)
    return free


def _is_planned_otherwise(job: SyncQueue | None, payload: Mapping[str, Any]) -> bool:
    # Both would be in one job, in which the later wish takes the place of the one before.
    if job is None or job.payload.get("by") == payload["by"]:
        return False
    return any(key in job.payload and job.payload[key] != payload.get(key) for key in REQUEST_KEYS)
