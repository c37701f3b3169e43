"""Linked records whose item is gone from its board: left alone for a while, then the link's policy or a person
decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, OperationalError, models, transaction
from django.db.models import Count, ProtectedError, RestrictedError
from django.db.models.deletion import Collector

from sync.choices import ApprovalKind, ApprovalState, Cause, Priority, RemovedItemPolicy, SyncDirection, TombstoneState
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board import EventKind
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import UnknownValue
from sync.kernel import humanize
from sync.kernel.conflict_store import (
    KIND_DELETE,
    KIND_FIELDS,
    KIND_LOST_UPDATE,
    RECORD_KEY,
    FieldConflict,
    Option,
    OptionAct,
)
from sync.kernel.db import retry_on_lock_timeout
from sync.kernel.triggers import BOOKKEEPING
from sync.merge import FieldDirection, Unknown
from sync.models import (
    ApprovalRequest,
    AwaitedRelation,
    BoardLink,
    FieldMapping,
    Intent,
    IntentState,
    SyncedModel,
    Tombstone,
    WebhookEvent,
)
from sync.models import Decision as LoggedDecision
from sync.reconcile.batch import (
    ARCHIVED,
    DELETED,
    MISSING,
    MOVED,
    REMOVED_STATES,
    REPORTED_STATES,
    Batch,
    Outcome,
    RecordAction,
    RecordSync,
    RemovedItem,
    shown_of,
)
from sync.reconcile.field_plan import UNREAD, base_after_intents, base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import record_name, stored_values
from sync.reconcile.restraints import DestructiveChange, allowed_changes, defer_removed_items, release_approvals
from sync.reconcile.sides import unlink
from sync.records.authors import monday_editor_name, monday_user_name, monday_users
from sync.records.item_links import RECREATE_KEY, UNLINK_KEY

UNLINK_OPTION = "unlink"
"""The value under which a choice names the option to keep both as they are, and sync them no more."""

DAYS_IN_TRASH = 30
"""How long a person can restore a deleted item on Monday (support.monday.com, “the recycle bin”)."""


def removal_sentence(record_sync: RecordSync, state: str, who: str, board: str = "") -> str:
    """Return what happened to the record's item, as a sentence; `who` did it, as a name, where that is known."""
    name = record_sync.item.name if record_sync.item else record_name(record_sync.record)
    if state == MISSING:
        seen = "it may be deleted permanently, or hidden from the token's user"
        return f"Monday doesn't show the item of “{name}” any more: {seen}."
    if state == MOVED:
        return f"The item “{name}” is on another board now ({board})."
    return f"The item “{name}” was {state} on Monday{f' by {who}' if who else ''}."


RESTORE_HINTS = {
    ARCHIVED: "restore it from Monday's archive",
    DELETED: f"restore it from Monday's recycle bin within {DAYS_IN_TRASH} days",
    MOVED: "move it back",
    MISSING: "let the token's user see it again",
}
"""What a person may do on Monday instead, as a clause."""


def removal_options(record_sync: RecordSync, state: str) -> tuple[Option, ...]:
    """Return the options that the record's direction and NPD's other records leave."""
    name, direction = record_name(record_sync.record), record_sync.record.sync_direction
    found = []
    if direction != SyncDirection.MONDAY_TO_NPD:
        effect = (
            f"A new item is created on the board from what “{name}” says in NPD now, and linked with it. A removed "
            f"item can't be restored from here; you may instead {RESTORE_HINTS[state]}: then this question closes by "
            "itself."
        )
        found.append(Option("npd", "Keep the record and create its item again", effect, does=OptionAct.CREATE_ITEM))
    if state != MISSING and direction != SyncDirection.NPD_TO_MONDAY:
        needed, loss = deletion_obstacles(record_sync.record)
        effect = (
            f"“{name}” is deleted in NPD, with what was edited here.{loss} For {settings.TOMBSTONE_DAYS} days it can "
            "be restored from the list of deleted records."
        )
        if not needed:
            found.append(Option("monday", "Delete the record in NPD too", effect, does=OptionAct.DELETE_RECORD))
    effect = (
        f"“{name}” stays in NPD as it is, and its sync is turned off. The item is unlinked: restored, it is neither "
        "matched nor made into a record until a person says so."
    )
    unlink = Option("custom", "Keep the record and end its sync", effect, UNLINK_OPTION, OptionAct.UNLINK)
    return (*found, unlink)


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (ProtectedError, RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_count_by_kind(list(objects))} in NPD can't be without “{record}”.", ""
    others = [one for rows in collector.data.values() for one in rows if one != record]
    others += [one for rows in collector.fast_deletes for one in rows]
    if others:
        return f"{_count_by_kind(others)} in NPD would be deleted with “{record}”.", ""
    emptied: list[models.Model] = []
    groups: list[Any] = [group for rows in collector.field_updates.values() for group in rows]
    for group in groups:
        emptied += [group] if isinstance(group, models.Model) else list(group)
    return "", f" {_count_by_kind(emptied)} in NPD would no longer name it." if emptied else ""


def _count_by_kind(records: list[models.Model]) -> str:
    """So many records by their kind, as “3 contacts and 1 organization”."""
    counts = Counter(record._meta for record in records)
    return " and ".join(f"{n} {m.verbose_name if n == 1 else m.verbose_name_plural}" for m, n in counts.items())


# What was edited, on either side, since a record and its gone item last agreed.


MISSED_EDIT = "It was changed on Monday before the item left the board, and never synced."
"""Said of a field whose last value on Monday is not NPD's."""


def edits_since_agreed(batch: Batch, record_sync: RecordSync, item: Item | None) -> tuple[FieldConflict, ...]:
    """Return the fields that left what both sides last agreed on; None stands for a side that has nothing more.

    `item` is the gone item as it was read, None where it wasn't shown. Monday's side of a field is there only where
    it was edited too, and never reached NPD.
    """
    found = (_field_edit(batch, record_sync, mapping, item) for mapping in batch.board.mappings if mapping.column_id)
    return tuple(edit for edit in found if edit is not None)


def _field_edit(
    batch: Batch, record_sync: RecordSync, mapping: FieldMapping, item: Item | None
) -> FieldConflict | None:
    way, convert = way_of(record_sync, mapping), batch.board.converter(mapping, record_sync.record)
    if way is FieldDirection.NONE:
        return None
    local_raw, cell = stored_values(record_sync.record, mapping), UNREAD
    base = base_of(record_sync.ledger, mapping, record_sync.record.monday_id or "")
    shown = cell_of(convert, mapping, item) if item is not None else UNREAD
    if item is not None and not isinstance(sides_of(convert, None, remote=shown).remote, Unknown):
        cell = shown
        with suppress(UnknownValue):
            base, _ = base_after_intents(record_sync, mapping, convert, cell, item)
    sides = sides_of(convert, base, local=local_raw, remote=cell)
    if isinstance(sides.local, Unknown) or (sides.base and isinstance(sides.base[0], Unknown)):
        is_local_edited = _comparable(local_raw) != (_comparable(base["local"]) if base else None)
    elif sides.base is None and not isinstance(sides.remote, Unknown):
        is_local_edited = sides.differ
    else:
        is_local_edited = sides.local_changed
    # An item that is gone leaves every cell of connected boards empty.
    is_emptied = sides.remote is None and convert.names_items
    is_remote_edited = sides.remote_changed and (sides.base is not None or sides.differ) and not is_emptied
    is_remote_edited = is_remote_edited and way is not FieldDirection.TO_MONDAY
    if not is_local_edited and not is_remote_edited:
        return None
    return FieldConflict(
        key=mapping.key,
        npd=shown_of(convert, local_raw) or None,
        base=(shown_of(convert, base["local"]) or None) if base else None,
        monday=(convert.display(convert.remote(cell)) or None) if is_remote_edited else None,
        reason=MISSED_EDIT if is_remote_edited else "",
    )


def _comparable(raw: dict[str, Any]) -> list[Any]:
    """The values by which two raw values are told apart where they have no canonical form: of a relation its id."""
    return [value.get("id") if isinstance(value, dict) else value for value in raw.values()]


# Items that are taken away each time they are made again: an automation on the board, mostly, and
# not a mistake.


DAY = timedelta(days=1)

REMOVED_TOO_OFTEN = (
    "It was created several times within a day, and removed each time: look for an automation on the board that "
    "archives or deletes it."
)


def recreated_too_often(record_syncs: Sequence[RecordSync]) -> set[UUID]:
    """Return the records whose item was made again by the board's setting LOOP_TIMES times within a day; 0 is never."""
    if settings.LOOP_TIMES <= 0:
        return set()
    made = LoggedDecision.objects.filter(
        entity_id__in=[s.id for s in record_syncs], kind="unlinked", values__again=True, at__gt=SyncNow() - DAY
    )
    often = made.order_by().values("entity_id").annotate(times=Count("id")).filter(times__gte=settings.LOOP_TIMES)
    return {row["entity_id"] for row in often if row["entity_id"]}


# Records whose items are gone are deleted in NPD only as far as the limit lets them go.


def rejected_deletions(batch: Batch, record_syncs: Sequence[RecordSync]) -> dict[UUID, str]:
    """Return the records whose deletion a person rejected since their items are gone: `rejected`, later `kept`.

    Until the item is back no policy deletes these; what a person chooses afterwards is a new wish.
    """
    since = {s.id: s.ledger.removed_since for s in record_syncs if s.ledger.removed_since}
    acts = ApprovalRequest.objects.filter(
        entity_type=batch.entity_type,
        kind=ApprovalKind.RECORDS,
        entity_id__in=since,
        state__in=(ApprovalState.REJECTED, ApprovalState.KEPT),
    )
    found = {a.entity_id: a.state for a in acts.order_by("id") if a.at >= since[a.entity_id]}
    acts.filter(state=ApprovalState.REJECTED, entity_id__in=found).update(state=ApprovalState.KEPT, at=SyncNow())
    return found


def request_deletions(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """Request approval of these deletions in NPD, and block those that have to wait for it."""
    wanted = {
        s.id: DestructiveChange(
            s.id,
            s.record.monday_id or "",
            label=record_name(s.record),
            values={conflict.key: conflict.npd for conflict in s.removed_item.fields} if s.removed_item else {},
        )
        for s in record_syncs
    }
    changes = list(wanted.values())
    allowed = batch.in_transaction(lambda: allowed_changes(batch.link, ApprovalKind.RECORDS, changes))
    for record_sync in record_syncs:
        removed_item = record_sync.removed_item
        if removed_item is None or wanted[record_sync.id] in allowed:
            continue
        # Neither asked nor done: a choice that led here stays with its conflict.
        options = removed_item.options if is_asked(record_sync) else ()
        record_sync.removed_item = replace(removed_item, act=RecordAction.NOTHING, options=options)
        record_sync.leave_open(
            f"{removed_item.what} Its deletion in NPD waits for approval: too many records would go at once. See "
            "“Waiting for approval” in the admin."
        )


# Linked records whose item is gone: left alone for a while, then the board link's policy or a
# person decides.
#
# “Gone” is what the item says of itself when it is asked for by its id, while the board itself
# answers `active`, and still says after the quiet time: Monday has an undo. What
# Monday doesn't show is never deleted here.


PASSES_BEFORE_ASKING = 3
"""How often an item has to be missing from Monday's answers before a person is asked; passes are a quiet time apart."""

_OPTION_ACTIONS = {"npd": RecordAction.CREATE, "monday": RecordAction.DELETE, "custom": RecordAction.UNLINK}
_POLICY_ACTIONS = {
    RemovedItemPolicy.UNLINK: RecordAction.UNLINK,
    RemovedItemPolicy.DELETE: RecordAction.DELETE,
    RemovedItemPolicy.CREATE: RecordAction.CREATE,
}


def removed_state(batch: Batch, record_sync: RecordSync, item: Item | None) -> str:
    """Return in which way a linked record's item is gone, an empty text where it is on its board.

    An item that was deleted when it was last seen, and is not shown any more, is deleted: Monday forgets it in time.
    """
    if item is None:
        return DELETED if record_sync.ledger.remote_state == DELETED else MISSING
    if item.state != "active":
        return item.state if item.state in REPORTED_STATES else MISSING
    elsewhere = item.board_id and item.board_id != batch.link.board_id
    return MOVED if elsewhere else ""


def clear_removed_state(record_sync: RecordSync) -> None:
    """The item is on its board: whatever was known of its absence is over."""
    if record_sync.ledger.removed_since and record_sync.ledger.remote_state in REMOVED_STATES:
        record_sync.log_decision("restored", "Its item is on the board again.")
    record_sync.ledger.removed_since, record_sync.ledger.removed_passes = None, 0
    record_sync.ledger.remote_state = "active"


def plan_removed_items(batch: Batch) -> None:
    """End every open record whose item is gone: quiet for now, acted on, blocked, or asked about."""
    record_syncs = [record_sync for record_sync in batch.open_records if record_sync.removed_item]
    if not record_syncs:
        return
    # As it is now, and not as it was when the board was taken: a run may last for minutes.
    batch.link.removed_item_policy = BoardLink.objects.values_list("removed_item_policy", flat=True).get(
        pk=batch.link.pk
    )
    now, rejected = sync_now(), rejected_deletions(batch, record_syncs)
    # Who archived or deleted these items, by name, as far as webhooks told.
    ids = [record_sync.record.monday_id for record_sync in record_syncs]
    events = WebhookEvent.objects.filter(item_id__in=ids).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
    users = {str(event.item_id): event.user_id for event in events.order_by("id")}
    people = monday_users() if users else {}
    actors = {
        item: (monday_user_name(user, people), monday_editor_name(user, people)) for item, user in users.items() if user
    }
    repeated = (
        recreated_too_often(record_syncs) if batch.link.removed_item_policy == RemovedItemPolicy.CREATE else set()
    )
    for record_sync in record_syncs:
        actor = actors.get(record_sync.record.monday_id or "", ("", ""))
        _plan_removed_item(batch, record_sync, now, actor, rejected.get(record_sync.id, ""))
        removed_item = record_sync.removed_item
        is_remade = removed_item and removed_item.act is RecordAction.CREATE and not removed_item.chosen
        if removed_item and is_remade and record_sync.id in repeated:
            # What takes the item away takes every new one away too: a person has to say what becomes of it.
            what = f"{removed_item.what} {REMOVED_TOO_OFTEN}"
            record_sync.removed_item = replace(removed_item, act=RecordAction.NOTHING, by="", what=what)
            _apply_or_ask(record_sync, record_sync.removed_item)
    defer_removed_items(batch, record_syncs)
    found = [(s, s.removed_item) for s in record_syncs if s.removed_item]
    # Deletions that wait for approval are over where by now it is to be something else, or is asked.
    asked = [s.id for s, removed in found if removed.needs_answer and removed.act is not RecordAction.DELETE]
    if asked:
        retry_on_lock_timeout(lambda: release_approvals(batch.link, ApprovalKind.RECORDS, asked))
    if deletions := [s for s, removed in found if removed.act is RecordAction.DELETE]:
        request_deletions(batch, deletions)


def _plan_removed_item(
    batch: Batch, record_sync: RecordSync, now: datetime, actor: tuple[str, str], rejected: str
) -> None:
    assert record_sync.removed_item is not None
    state, ledger = record_sync.removed_item.state, record_sync.ledger
    # It was found gone once more.
    known = ledger.removed_since if ledger.remote_state in REMOVED_STATES else None
    ledger.removed_passes = (ledger.removed_passes or 0) + 1 if known and ledger.remote_state == state else 1
    ledger.removed_since, ledger.remote_state = known or now, state
    board = record_sync.item.board_id if record_sync.item else ""
    name, editor = actor
    sentence = removal_sentence(record_sync, state, name, board or "")
    if ledger.removed_since == now and record_sync.record.may_sync:
        record_sync.log_decision("removed", sentence, actor=editor)
    if not record_sync.record.may_sync:
        return record_sync.leave_open(f"{sentence} Nothing was sent.")
    # What Monday merely doesn't show has to be missed several times.
    quiet = float(settings.GONE_QUIET_SECONDS)
    wait = quiet - (now - ledger.removed_since).total_seconds()
    if state == MISSING and ledger.removed_passes < PASSES_BEFORE_ASKING and not is_asked(record_sync):
        wait = max(wait, quiet)
    payload = record_sync.claim.payload
    # Of two people at once, who unlinks it is followed: that takes nothing away, and can be undone.
    is_recreation = state != MISSING and bool(payload.get(RECREATE_KEY)) and not payload.get(UNLINK_KEY)
    if wait > 0 and not is_recreation:
        record_sync.wait_seconds, until = wait, humanize.time_of_day(now + timedelta(seconds=wait))
        detail = (
            f"{sentence} Nothing was changed in NPD, and nothing is sent. You may {RESTORE_HINTS[state]} until "
            f"{until}. Otherwise {_after_quiet_time(batch, state)}."
        )
        return record_sync.end(Outcome.DEFERRED, detail, reason=detail)
    fields = edits_since_agreed(batch, record_sync, record_sync.item)
    labels = {mapping.key: mapping.label for mapping in batch.board.mappings}
    what = f"{sentence} Nothing was edited since the last sync."
    if fields:
        edited = ", ".join(labels.get(conflict.key, conflict.key) for conflict in fields)
        what = f"{sentence} Edited since the last sync: {edited}."
    options = removal_options(record_sync, state)
    removed_item = replace(record_sync.removed_item, what=what, fields=fields, options=options)
    if is_recreation and record_sync.record.sync_direction != SyncDirection.MONDAY_TO_NPD:
        removed_item = replace(removed_item, act=RecordAction.CREATE, by="as a person chose", chosen=True)
    else:
        removed_item = _with_action(batch, record_sync, removed_item)
    # What a person didn't approve stays undone (`rejected` as rejected_deletions() says); a choice made later is new.
    is_new_wish = removed_item.chosen and rejected != ApprovalState.REJECTED
    if rejected and removed_item.act is RecordAction.DELETE and not is_new_wish:
        problem = "Deleting this record was not approved." if removed_item.chosen else ""
        removed_item = replace(removed_item, act=RecordAction.NOTHING, problem=problem)
    record_sync.removed_item = removed_item
    return _apply_or_ask(record_sync, removed_item)


def _after_quiet_time(batch: Batch, state: str) -> str:
    """What happens then, as a clause; where the board's setting decides, for a record that nobody edited."""
    acts = {
        RemovedItemPolicy.UNLINK: "the record is unlinked",
        RemovedItemPolicy.DELETE: "the record is deleted in NPD too",
        RemovedItemPolicy.CREATE: "its item is created again",
    }
    act = acts.get(RemovedItemPolicy(batch.link.removed_item_policy)) if state in REPORTED_STATES else None
    if act is None:
        return "you are then asked in the Inbox what happens to the record"
    return f"{act} then, as the board's setting says; where it was edited since, you are asked in the Inbox"


def is_asked(record_sync: RecordSync) -> bool:
    """Whether a person is asked already what becomes of the record."""
    return any(conflict.kind == KIND_DELETE for conflict in record_sync.conflicts)


def _with_action(batch: Batch, record_sync: RecordSync, removed_item: RemovedItem) -> RemovedItem:
    """Decide by what a person chose, else by the policy where nothing was edited.

    A choice holds for exactly the values that its author saw, and while its option is open.
    """
    choice = record_sync.resolution_for(KIND_DELETE, RECORD_KEY)
    if choice is None:
        act = _action_by_policy(batch, record_sync, removed_item)
        return replace(removed_item, act=act, by="as this board's setting says" if act else "")
    if choice.seen_values != {conflict.key: (conflict.npd, conflict.monday) for conflict in removed_item.fields}:
        problem = "The record was edited after you chose. Check the current values, then choose again."
    elif (choice.choose, choice.value or "") in {(option.choose, option.value) for option in removed_item.options}:
        return replace(removed_item, act=_OPTION_ACTIONS[choice.choose], by="as a person chose", chosen=True)
    else:
        needed = deletion_obstacles(record_sync.record)[0] if choice.choose == "monday" else ""
        problem = needed or "This is not possible any more. Choose another option."
    return replace(removed_item, problem=problem)


def _apply_or_ask(record_sync: RecordSync, removed_item: RemovedItem) -> None:
    if not removed_item.act:
        return record_sync.leave_open(f"{removed_item.what} You are asked what happens to the record.")
    record_sync.leave_open("")
    if removed_item.act is RecordAction.UNLINK:
        happened = f"was {removed_item.state}" if removed_item.state in (ARCHIVED, DELETED) else "was removed"
        unlink(record_sync, f"its item {happened}, {removed_item.by}")
    return None


def _action_by_policy(batch: Batch, record_sync: RecordSync, removed_item: RemovedItem) -> RecordAction:
    """What the board link says of a record that stands as both sides agreed; nothing where it can't decide."""
    act = _POLICY_ACTIONS.get(RemovedItemPolicy(batch.link.removed_item_policy), RecordAction.NOTHING)
    # A conflict about the record's values is a person's to decide first.
    has_conflict = any(conflict.kind in (KIND_FIELDS, KIND_LOST_UPDATE) for conflict in record_sync.conflicts)
    is_surely_gone = removed_item.state in REPORTED_STATES and record_sync.item is not None
    against = {RecordAction.CREATE: SyncDirection.MONDAY_TO_NPD, RecordAction.DELETE: SyncDirection.NPD_TO_MONDAY}
    if removed_item.fields or has_conflict or not is_surely_gone:
        return RecordAction.NOTHING
    if record_sync.record.sync_direction == against.get(act):
        return RecordAction.NOTHING
    is_needed = act is RecordAction.DELETE and any(deletion_obstacles(record_sync.record))
    return RecordAction.NOTHING if is_needed else act


# What settling does with a record whose item is gone: let it make a new item, or delete it in NPD.
#
# Unlinking (sides.py) goes its own way; here it is only said that it was
# done.


def apply_removed_item(record_sync: RecordSync, record: SyncedModel) -> dict[str, Any]:
    """Do what was decided, under the record's lock; return what else is to be written to it."""
    removed_item = record_sync.removed_item
    if removed_item is None or not removed_item.act or record_sync.outcome is not Outcome.SETTLED:
        return {}
    # Anything of it, mapped or not, may differ from what the pass read.
    names = [f.attname for f in record._meta.concrete_fields if f.attname not in BOOKKEEPING]
    is_edited = any(getattr(record, name) != getattr(record_sync.record, name) for name in names)
    is_linked_anew = record.monday_id != record_sync.record.monday_id
    if is_linked_anew or (removed_item.act is RecordAction.DELETE and is_edited):
        record_sync.removed_item = None
        record_sync.drop(Outcome.RELEASED, "It changed while it was synced.")
    elif removed_item.act is RecordAction.CREATE:
        return _recreate_item(record_sync, removed_item)
    elif removed_item.act is RecordAction.DELETE:
        _delete_record(record_sync, removed_item, record)
    return {}


def note_unlinked(record_sync: RecordSync) -> None:
    """The record is unlinked from its removed item: the question is answered."""
    removed_item = record_sync.removed_item
    if removed_item is not None and record_sync.unlink_reason and record_sync.outcome is Outcome.SETTLED:
        result = "The record stays in NPD; its sync is off, and its item was unlinked."
        record_sync.removed_item = replace(removed_item, result=result)
        _clear_removed(record_sync)


def finish_deleted(batch: Batch, deleted: list[RecordSync]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    entity_type, ids = batch.entity_type, [record_sync.id for record_sync in deleted]
    for record_sync in deleted:
        assert record_sync.removed_item is not None
        Tombstone.objects.filter(entity_type=entity_type, entity_id=record_sync.id).update(
            state=TombstoneState.NOTHING_LEFT,
            note=record_sync.removed_item.result,
            reason_code="",
            settled_at=SyncNow(),
        )
    AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for record_sync in deleted for intent in record_sync.intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())


def _recreate_item(record_sync: RecordSync, removed_item: RemovedItem) -> dict[str, Any]:
    """Unlink, and look again at once: a record without an item is looked up on the board, and made there if need be.

    The old base stays in the sync state; it belongs to the old item, and holds again should that one be linked again.
    """
    result, is_chosen = "The record is kept, and its item is created again from what NPD says now.", removed_item.chosen
    by = "" if is_chosen else removed_item.by
    record_sync.log_decision("unlinked", f"{removed_item.what} {result}", actor=by, again=not is_chosen)
    record_sync.removed_item = replace(removed_item, result=result)
    _clear_removed(record_sync)
    record_sync.reason = "Its item is created again at the next sync."
    if is_chosen:
        record_sync.enqueue(Cause.PERSON, Priority.PERSON)
    else:
        record_sync.enqueue()
    return {"monday_id": None}


def _clear_removed(record_sync: RecordSync) -> None:
    record_sync.ledger.remote_state = ""
    record_sync.ledger.removed_since, record_sync.ledger.removed_passes = None, 0


def _delete_record(record_sync: RecordSync, removed_item: RemovedItem, record: SyncedModel) -> None:
    needed = deletion_obstacles(record)[0]
    if not needed:
        try:
            with transaction.atomic():
                copy(record).delete()
        except OperationalError:
            raise
        except (ProtectedError, RestrictedError, DatabaseError) as error:
            needed = f"NPD's database rejected it: {str(error).splitlines()[0]}"
    if needed:
        # A person is asked, and of a choice told why it can't be carried out.
        options = tuple(option for option in removed_item.options if option.choose != "monday")
        problem = needed if removed_item.chosen else ""
        record_sync.removed_item = replace(removed_item, act=RecordAction.NOTHING, options=options, problem=problem)
        record_sync.reason = f"{removed_item.what} It can't be deleted in NPD: {needed}"
        return
    result = f"{removed_item.what} So it was deleted in NPD too, {removed_item.by}."
    record_sync.log_decision("delete", result)
    record_sync.removed_item = replace(removed_item, result=result)
