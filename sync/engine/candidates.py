"""Items that no record has: wait until they are quiet and named, then link, ask, or make a record of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import pghistory
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.db.models import Max, Min, Value
from django.db.models.functions import Lower

from sync import finish
from sync.choices import Cause, Priority, SyncDirection
from sync.claims import Claimed
from sync.clock import sync_now
from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.items import Item, LookResult
from sync.engine.reading import as_uuid, match_text_of_item, npd_id_of
from sync.engine.related import NotFound
from sync.engine.subjects import Batch
from sync.engine.values import cleaned, in_canonical_form, raw_of, to_store
from sync.enqueue import enqueue_many
from sync.hooks import KIND_IDENTITY, Finding, desk
from sync.lease import giving_way
from sync.models import Decision, RefusedItem, SyncedModel, SyncMetadata, Tombstone, WebhookEvent

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

    def settle(self, last: datetime | None, first: datetime) -> None:
        """Decide by MERGE's table "a record and its item"; ends or snoozes the row."""
        if (
            self.item is None
            or self.item.state != "active"
            or self.item.board_id not in (None, self.link.board_id)
        ):
            return self._end("There is no such active item on the board.")
        now = sync_now()
        if last and (quiet := last + timedelta(seconds=QUIET_SECONDS)) > now:
            return self._wait(quiet, now, "Somebody is still filling it in.")
        if self._key is None:
            return self._wait(now + timedelta(minutes=1), now, f"Its {self._key_label} can't be read.")
        named = now if self._key else first + timedelta(seconds=settings.NEW_ITEM_WAIT_SECONDS)
        if named > now:
            return self._wait(named, now, f"It has no {self._key_label} yet, by which it could be matched.")
        if npd_id_of(self.batch.board, self.item) is None:
            return self._wait(now + timedelta(minutes=1), now, "Its NPD ID can't be read.")
        return self._decide(self.item)

    def _decide(self, item: Item) -> None:
        if refused := RefusedItem.objects.filter(entity_type=self.link.entity_type, item_id=item.id).first():
            return self._end(f"It was refused before: {refused.reason}")
        if tombstone := self._tombstone(item):
            name = tombstone.data.get("name", "a record")
            return self._end(
                f"It belongs to “{name}”, which was deleted in NPD. The item stays, and makes no new record."
            )
        hits = self._hits(item)
        free = [record for record in hits if record.monday_id is None and record.may_sync]
        if len(hits) == 1 and free:
            return self._link(free[0], item)
        if hits:
            return self._ask(hits, item)
        if not self.link.creates_records:
            return self._end(
                "No record matches, and this board's items don't become records (a setting of the board link)."
            )
        return self._create(item)

    @property
    def _key(self) -> str | None:
        return match_text_of_item(self.batch, self.item) if self.item else ""

    @property
    def _key_label(self) -> str:
        return self.batch.board.match.label.lower() if self.batch.board.match else "key"

    def _tombstone(self, item: Item) -> Tombstone | None:
        stones = Tombstone.objects.filter(entity_type=self.link.entity_type)
        if (npd_id := as_uuid(npd_id_of(self.batch.board, item) or "")) is not None:
            if self.model._default_manager.filter(pk=npd_id).exists():
                return None
            if stone := stones.filter(entity_id=npd_id).first():
                return stone
        return stones.filter(monday_id=item.id).first()

    def _hits(self, item: Item) -> list[SyncedModel]:
        """Records that this item could be: by its NPD ID, else by the match rule."""
        npd_id = as_uuid(npd_id_of(self.batch.board, item) or "")
        if npd_id is not None and (named := self.model._default_manager.filter(pk=npd_id).first()):
            return [named]
        match = self.batch.board.match
        if match is None or not self._key:
            return []
        convert = self.batch.board.converter(match)
        records = self.model._default_manager.annotate(match_key=Lower(in_canonical_form(match.fields[0])))
        found = records.filter(match_key=Lower(Value(self._key)))
        return [r for r in found if convert.local(raw_of(r, match)) == self._key]

    def _link(self, record: SyncedModel, item: Item) -> None:
        self.model._default_manager.filter(pk=record.pk, monday_id=None).update(monday_id=item.id)
        self._say(record, "link", f"Linked with the item “{item.name}” on the board.")
        self._look_at(record)
        self._end(f"Linked with {record}.")

    def _look_at(self, record: SyncedModel) -> None:
        """The record's own look merges the two sides and writes the NPD ID."""
        enqueue_many(self.link.entity_type, [record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)

    def _ask(self, hits: Sequence[SyncedModel], item: Item) -> None:
        what = f"The item “{item.name}” could be {_names(hits)}"
        known = [r for r in hits if r.monday_id]
        if known:
            what += f", which {'has' if len(known) == 1 else 'have'} an item already"
        data = {
            "what": f"{what}. Nothing was created.",
            "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in hits],
        }
        desk().record([Finding(self.link.entity_type, hits[0].pk, item.id, KIND_IDENTITY, data=data)])
        for record in hits:
            if record.monday_id is None and record.may_sync:
                self._mark_conflict(record, what)
        self._end(f"Who is this? {what}.")

    def _mark_conflict(self, record: SyncedModel, what: str) -> None:
        SyncMetadata.objects.get_or_create(
            entity_type=self.link.entity_type,
            entity_id=str(record.pk),
            system="monday",
            defaults={"base": {}},
        )
        SyncMetadata.objects.filter(
            entity_type=self.link.entity_type, entity_id=str(record.pk), system="monday"
        ).update(conflicts={"identity": [what]})
        self.model._default_manager.filter(pk=record.pk).update(sync_status="conflict")

    def _create(self, item: Item) -> None:
        record = self.model(id=uuid.uuid4(), monday_id=item.id)
        problems = self._fill(record, item)
        if problems:
            RefusedItem.objects.create(
                entity_type=self.link.entity_type, item_id=item.id, reason=" ".join(problems)
            )
            return self._end(f"No record can be made of it: {' '.join(problems)}")
        try:
            with transaction.atomic():
                _set_settling(record.pk)
                record.save(force_insert=True)
        except DatabaseError as refused:
            return self._end(f"NPD's database refused it: {str(refused).splitlines()[0]}")
        self._say(record, "create", f"Made from the item “{item.name}” on the board.")
        self._look_at(record)
        return self._end(f"Became {record}.")

    def _fill(self, record: SyncedModel, item: Item) -> list[str]:
        """Give the new record the item's values; a value that NPD can't take stays on the board and is held there."""
        problems: list[str] = []
        for mapping in self.batch.board.mappings:
            one_way = mapping.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE)
            if not mapping.column_id or (one_way and not mapping.required):
                continue
            convert = self.batch.board.converter(mapping, record)
            try:
                told = convert.to_local(
                    convert.raw_of(item.reading(mapping.column_id)), raw_of(record, mapping)
                )
                values = cleaned(record, self.batch.related.completed(self.model, told))
                for name, value in to_store(self.model, values).items():
                    setattr(record, name, value)
            except (UnknownValue, CannotSplit, ValidationError, NotFound) as refused:
                if mapping.required:
                    problems.append(f"{mapping.label}: {refused}")
        return problems

    def _say(self, record: SyncedModel, kind: str, sentence: str) -> None:
        Decision.objects.create(
            entity_type=self.link.entity_type,
            entity_id=record.pk,
            remote_id=self.claimed.remote_id or "",
            kind=kind,
            sentence=sentence,
            batch_id=self.batch.id,
        )

    def _wait(self, until: datetime, now: datetime, reason: str) -> None:
        self.batch.snoozed.add(self.claimed.rows[0].id)
        finish.snooze(self.claimed.rows, self.batch.lease.token, (until - now).total_seconds(), reason)

    def _end(self, words: str) -> None:
        finish.complete(self.claimed.rows, self.batch.lease.token, words)
        WebhookEvent.objects.filter(item_id=self.claimed.remote_id, weighed_at=None).update(
            weighed_at=sync_now(), outcome=words[:200]
        )


def _names(records: Sequence[SyncedModel]) -> str:
    return " or ".join(f"“{record}”" for record in records[:3])


def _set_settling(entity_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [str(entity_id)])
