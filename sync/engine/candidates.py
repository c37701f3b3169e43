"""Items that no record has: wait until they are quiet and named, then link, ask, or make a record of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import pghistory
from django.conf import settings
from django.db import DatabaseError, OperationalError
from django.db.models import Max, Min

from sync import finish
from sync.choices import Cause, Priority, QueueDirection, TombstoneState
from sync.claims import Claimed
from sync.clock import sync_now
from sync.connectors.monday.items import Item, LookResult
from sync.engine import making
from sync.engine.answering import AS_NEW
from sync.engine.causes import cause_of_item
from sync.engine.copies import add_copy
from sync.engine.gone import SAID_SO
from sync.engine.items_shown import item_as_told
from sync.engine.matching import bearer, by_match_rule, owner_elsewhere, tombstone_of
from sync.engine.paused_graves import item_waits
from sync.engine.questions import ask_whose_item, close_questions_about
from sync.engine.reading import match_text_of_item, npd_id_of
from sync.engine.stale_reads import WINDOW
from sync.engine.subjects import Batch
from sync.enqueue import enqueue_many
from sync.graveyard import OPEN, REMOVED, wake_graves
from sync.lease import giving_way
from sync.models import Decision, RefusedItem, SyncedModel, Tombstone, WebhookEvent

QUIET_SECONDS = 10
"""An item is left alone until nobody has touched it for so long: people fill in a row cell by cell."""


def settle_candidates(batch: Batch, found: LookResult) -> None:
    """Decide every claimed item without a record; raises LeaseLost."""
    if not batch.candidates:
        return
    last, first = _touched(batch)
    for claimed in batch.candidates:
        giving_way(partial(_settle_one, batch, claimed, found, last, first))


def _settle_one(
    batch: Batch, claimed: Claimed, found: LookResult, last: dict[str, datetime], first: dict[str, datetime]
) -> None:
    item_id = claimed.remote_id or ""
    candidate = Candidate(batch, claimed, found.linked.get(item_id))
    with pghistory.context(cause="sync", batch=str(batch.id)), batch.lease.held():
        if item_waits(batch, claimed, QueueDirection.TO_NPD):
            return
        candidate.settle(last.get(item_id), first.get(item_id) or claimed.rows[0].created_at)


def _touched(batch: Batch) -> tuple[dict[str, datetime], dict[str, datetime]]:
    ids = [claimed.remote_id for claimed in batch.candidates if claimed.remote_id]
    events = WebhookEvent.objects.filter(item_id__in=ids, board_id=batch.board.link.board_id)
    rows = events.order_by().values("item_id").annotate(last=Max("received_at"), first=Min("received_at"))
    found = [(str(row["item_id"]), row["last"], row["first"]) for row in rows]
    return {item: last for item, last, _ in found}, {item: first for item, _, first in found}


class Candidate:
    """One item that no record had when its row was written."""

    def __init__(self, batch: Batch, claimed: Claimed, item: Item | None) -> None:
        self.batch, self.claimed, self.item = batch, claimed, item
        self.link, self.model = batch.board.link, batch.board.model
        self.as_new = bool(claimed.payload.get(AS_NEW))

    def settle(self, last: datetime | None, first: datetime) -> None:
        """Decide by MERGE's table "a record and its item"; ends or snoozes the row."""
        item, now = self.item, sync_now()
        if item is None or item.state != "active" or item.board_id not in (None, self.link.board_id):
            wake_graves(self.link.entity_type, [self.claimed.remote_id or ""])
            if item is not None and item.state in SAID_SO:
                close_questions_about(self.link.entity_type, item)
            return self._end("There is no such active item on the board.")
        if owner := owner_elsewhere(self.batch, item):
            kind = owner._meta.verbose_name
            return self._end(
                f"It is the item of the {kind} “{owner}”, moved here; what becomes of it is asked there."
            )
        if wait := self._why_not_yet(item, last, now):
            return self._wait(*wait)
        stone = tombstone_of(self.batch, item)
        # One that was let go bears no NPD ID: what is remembered of it decides, as of any item.
        if stone and (npd_id_of(self.batch.board, item) or not self._was_let_go(stone)):
            return self._of_a_deleted_record(stone, item, now)
        named = now if self._key else first + timedelta(seconds=settings.NEW_ITEM_WAIT_SECONDS)
        if named > now and not self.as_new:
            return self._wait(named, now, f"It has no {self._key_label} yet, by which it could be matched.")
        return self._decide(item)

    def _why_not_yet(
        self, item: Item, last: datetime | None, now: datetime
    ) -> tuple[datetime, datetime, str] | None:
        """Until when it is left alone, from when and why: it isn't quiet yet, or can't be read."""
        if last and (quiet := last + timedelta(seconds=QUIET_SECONDS)) > now:
            return quiet, now, "Somebody is still filling it in."
        if self._key is None:
            return now + self._until_readable, now, f"Its {self._key_label} can't be read."
        if npd_id_of(self.batch.board, item) is None:
            return now + self._until_readable, now, "Its NPD ID can't be read."
        return None

    @property
    def _until_readable(self) -> timedelta:
        """A column that is known to be gone wakes its items when it is back (drift.py); until then it is left alone."""
        match = self.batch.board.match
        gone = self.link.npd_id_problem or (match is not None and match.problem)
        return timedelta(minutes=30 if gone else 1)

    @property
    def _key(self) -> str | None:
        return match_text_of_item(self.batch, self.item) if self.item else ""

    @property
    def _key_label(self) -> str:
        return self.batch.board.match.label.lower() if self.batch.board.match else "key"

    def _decide(self, item: Item) -> None:
        refused = RefusedItem.objects.filter(entity_type=self.link.entity_type, item_id=item.id).first()
        if refused and not self.as_new and (refused.let_go or refused.entity_id is None):
            return self._end(f"It was refused before: {refused.reason}")
        named = bearer(self.batch, item)
        if named is not None:
            return self._of_the_named(named, item)
        return self._create(item) if self.as_new else self._by_match_rule(item, refused)

    def _was_let_go(self, stone: Tombstone) -> bool:
        """By this deleted record, or by another one that had the item after it."""
        items = RefusedItem.objects.filter(entity_type=self.link.entity_type, item_id=self.claimed.remote_id)
        return stone.state == TombstoneState.UNLINKED or items.filter(let_go=True).exists()

    def _by_match_rule(self, item: Item, refused: RefusedItem | None) -> None:
        hits = [r for r in by_match_rule(self.batch, item) if not refused or r.pk != refused.entity_id]
        if len(hits) == 1 and hits[0].monday_id is None and hits[0].may_sync:
            return self._link(hits[0], item)
        if hits:
            return self._ask(hits, item)
        if not self.link.creates_records:
            return self._end(
                "No record matches, and this board's items don't become records (a setting of the board link)."
            )
        return self._create(item)

    def _of_the_named(self, named: SyncedModel, item: Item) -> None:
        """The item bears the NPD ID of a record that is there."""
        if named.monday_id is None and named.may_sync:
            return self._link(named, item)
        if named.monday_id is not None and not named.may_sync:
            return self._end(f"It bears the NPD ID of “{named}”, whose sync is off. Nothing was done.")
        if named.monday_id is not None:
            return add_copy(self.batch, self.claimed, item, named)
        return self._ask([named], item)

    def _of_a_deleted_record(self, stone: Tombstone, item: Item, now: datetime) -> None:
        """Never a new record by itself: the deleted record's own look decides, as of an item that is there."""
        name = stone.data.get("name", "a record")
        words = f"It belongs to “{name}”, which was deleted in NPD."
        if any(grave.item and grave.item.id == item.id for grave in self.batch.graves):
            return self._end(f"{words} What becomes of it was decided in this look.")
        if stone.state in (TombstoneState.KEPT, TombstoneState.UNLINKED):
            return self._end(f"{words} The item stays, and makes no new record.")
        fresh = stone.settled_at and stone.settled_at + WINDOW
        if fresh and fresh > now:
            # Monday may still show it as it was before our call.
            return self._wait(fresh, now, f"{words} It has left the board, as far as is known.")
        if item.id != stone.monday_id:
            if stone.state in OPEN and stone.monday_id:
                return self._wait(now + _patience(stone, now), now, f"{words} Its first item comes first.")
            Tombstone.objects.filter(pk=stone.pk).update(monday_id=item.id, state=_state_for(stone))
        enqueue_many(
            self.link.entity_type,
            [stone.entity_id],
            cause=Cause.WEBHOOK,
            priority=Priority.EDIT,
            direction=QueueDirection.TO_NPD,
        )
        return self._end(f"{words} It is looked at with that record.")

    def _link(self, record: SyncedModel, item: Item) -> None:
        self.model._default_manager.filter(pk=record.pk, monday_id=None).update(monday_id=item.id)
        self._say(record, "link", f"Linked with the item “{item.name}” on the board.")
        self._look_at(record)
        self._end(f"Linked with {record}.")

    def _look_at(self, record: SyncedModel) -> None:
        """The record's own look merges the two sides and writes the NPD ID."""
        enqueue_many(self.link.entity_type, [record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)

    def _ask(self, hits: Sequence[SyncedModel], item: Item) -> None:
        told = item_as_told(self.batch.board, item)
        self._end(f"Who is this? {ask_whose_item(self.link.entity_type, hits, item, told)}")

    def _create(self, item: Item) -> None:
        record = self.model(id=uuid.uuid4(), monday_id=item.id)
        if problems := making.fill(self.batch, record, item):
            RefusedItem.objects.update_or_create(
                entity_type=self.link.entity_type, item_id=item.id, defaults={"reason": " ".join(problems)}
            )
            return self._end(f"No record can be made of it: {' '.join(problems)}")
        try:
            making.store(record, by_itself=not self.as_new)
        except OperationalError:  # a lock, or the connection: nothing that the item is to blame for
            raise
        except DatabaseError as refused:
            return self._end(f"NPD's database refused it: {str(refused).splitlines()[0]}")
        if not self.as_new:
            RefusedItem.objects.filter(entity_type=self.link.entity_type, item_id=item.id).delete()
        self._say(record, "create", f"Made from the item “{item.name}” on the board.")
        self._look_at(record)
        return self._end(f"Became {record}.")

    def _say(self, record: SyncedModel, kind: str, sentence: str) -> None:
        Decision.objects.create(
            entity_type=self.link.entity_type,
            entity_id=record.pk,
            remote_id=self.claimed.remote_id or "",
            kind=kind,
            sentence=sentence,
            batch_id=self.batch.id,
            actor=str(self.claimed.payload.get("by", "")),
            request_id=self.batch.read_request,
            cause=cause_of_item(self.claimed, f"an item without a record: {kind}", self.batch.read_request),
        )

    def _wait(self, until: datetime, now: datetime, reason: str) -> None:
        self.batch.snoozed.add(self.claimed.rows[0].id)
        finish.snooze(self.claimed.rows, self.batch.lease.token, (until - now).total_seconds(), reason)

    def _end(self, words: str) -> None:
        finish.complete(self.claimed.rows, self.batch.lease.token, words)
        WebhookEvent.objects.filter(item_id=self.claimed.remote_id, weighed_at=None).update(
            weighed_at=sync_now(), outcome=words[:200]
        )


def _patience(stone: Tombstone, now: datetime) -> timedelta:
    """How long to leave a second item of a deletion: one that waits for a person, or fails, may take days."""
    soon = stone.state == TombstoneState.WAITING and stone.deleted_at + timedelta(hours=1) > now
    return timedelta(minutes=1 if soon else 30)


def _state_for(stone: Tombstone) -> str:
    """A deletion that was settled waits again when another item turns up; it was not the one that left the board."""
    return TombstoneState.WAITING if stone.state in REMOVED else stone.state
