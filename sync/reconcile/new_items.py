"""Items that no record has: they wait until they are quiet and named, then are linked, asked about, or become
records.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Max, Min

from sync.boards.sync_filter import FilterSide
from sync.choices import Cause, Priority, QueueDirection, SyncDirection, TombstoneState
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import BatchItems, Item
from sync.connectors.base.conversion import AmbiguousSplit, UnknownValue
from sync.kernel.messages import UnmatchedReason, unmatched_sentence
from sync.models import IgnoredItem, Intent, IntentState, SyncedModel, SyncMetadata, Tombstone, WebhookEvent
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import REPORTED_STATES, Batch, Outcome, WorkUnit, end_jobs
from sync.reconcile.board_filter import exclusion_sentence, item_verdict, record_verdict
from sync.reconcile.conflict_reports import cause_of_item
from sync.reconcile.duplicates import add_duplicate
from sync.reconcile.facts import STALE_READ_WINDOW
from sync.reconcile.field_values import (
    BoardContext,
    RelatedNotFound,
    clean_values,
    item_data,
    item_values,
    stored_values,
    update_values,
)
from sync.reconcile.identity import AnswerOutdated, ask_item_owner, close_identity_conflicts, give_item, quoted_names
from sync.reconcile.removed_items import relink_to_replacement
from sync.reconcile.restraints import defer_item_if_paused
from sync.reconcile.sides import (
    as_uuid,
    is_npd_id_known,
    match_text_of_item,
    npd_id_of,
    owner_of_other_type,
    record_of_npd_id,
    records_matching,
    tombstone_of,
)
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item
from sync.records.tombstones import OPEN_TOMBSTONE_STATES, REMOVED_STATES, enqueue_tombstones
from sync.records.unmatched_items import (
    AS_NEW,
    IGNORED,
    LINK_TO,
    MAY_CREATE,
    UnmatchedFinding,
    clear_unmatched,
    note_unmatched,
)


def fill_from_item(batch: Batch, record: SyncedModel, item: Item) -> list[str]:
    """Give a new record the item's values; return why it can't be made, in sentences.

    A value that NPD can't take stays on the board and is blocked there, but for those that NPD requires.
    """
    problems: list[str] = []
    for mapping in batch.board.mappings:
        one_way = mapping.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE)
        if not mapping.column_id or (one_way and not mapping.required):
            continue
        convert = batch.board.converter(mapping, record)
        try:
            raw_values = convert.to_local(
                convert.stored_value(item.reading(mapping.column_id)), stored_values(record, mapping)
            )
            values = clean_values(record, batch.related.resolve(batch.board.model, raw_values))
            for name, value in update_values(batch.board.model, values).items():
                setattr(record, name, value)
        except (UnknownValue, AmbiguousSplit, ValidationError, RelatedNotFound) as invalid:
            if mapping.required:
                problems.append(f"{mapping.label}: {invalid}")
    return problems


def store_new_record(record: SyncedModel, *, is_automatic: bool = True) -> None:
    """Store a record made from an item; raises DatabaseError.

    One that a person wanted to be a record of its own (not `is_automatic`) is not asked about once more. Its own pass,
    which merges the two sides and writes the NPD ID, is written by the caller.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('npd.settling', %s, true)", [str(record.pk)])
        record.save(force_insert=True)
        key: dict[str, Any] = {"entity_type": record.entity_type(), "entity_id": str(record.pk), "system": "monday"}
        SyncMetadata.objects.update_or_create(**key, defaults={"made_from_item": is_automatic})


# Items that no record has: wait until they are quiet and named, then link, ask, or make a record of
# them.


def settle_unmatched_items(batch: Batch, found: BatchItems) -> None:
    """Decide every claimed item without a record; raises LeaseLost."""
    if not batch.unmatched_claims:
        return
    ids = [unit.claim.remote_id for unit in batch.unmatched_claims if unit.claim.remote_id]
    events = WebhookEvent.objects.filter(item_id__in=ids, board_id=batch.link.board_id)
    rows = events.order_by().values("item_id").annotate(last=Max("received_at"), first=Min("received_at"))
    times = {str(row["item_id"]): (row["last"], row["first"]) for row in rows}
    # A call about the item was announced whose outcome nobody knows. It may part a duplicate from its record; until it
    # has landed, or can't any more, the item looks unmatched.
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    for unit in batch.unmatched_claims:
        item_id = unit.claim.remote_id or ""
        # Claims don't read when a row was written: it is asked for only where no event tells.
        last_event, first_event = times.get(item_id) or (None, unit.claim.rows[0].created_at)
        unmatched_item = UnmatchedClaim(batch, unit, found.linked.get(item_id), unconfirmed.get(item_id))
        batch.in_transaction(partial(_settle_item, unmatched_item, last_event, first_event))


def _settle_item(unmatched_item: UnmatchedClaim, last_event: datetime | None, first_event: datetime) -> None:
    batch, unit = unmatched_item.batch, unmatched_item.unit
    unit.end(Outcome.OPEN)  # whatever an attempt before this one came to
    unit.is_question = False
    if defer_item_if_paused(batch, unit, QueueDirection.TO_NPD):
        unmatched_item.find(UnmatchedReason.PAUSED, pause=unit.detail)
    else:
        unmatched_item.settle(last_event, first_event)
        end_jobs(batch, [unit])
    unmatched_item.note()


def listed_finding(batch: Batch, item: Item) -> UnmatchedFinding:
    """Return what a listing says of an item that no record has, until its pass finds out why."""
    reason, details = UnmatchedReason.QUEUED, _type_words(batch.board)
    verdict = item_verdict(batch.board, item)
    if verdict.holds is False:
        reason = UnmatchedReason.LEFT_OUT
        details["filter"] = exclusion_sentence(batch.board, FilterSide.ITEM, verdict)
    elif not batch.link.creates_records:
        reason = UnmatchedReason.NO_KEY if match_text_of_item(batch.board, item) == "" else UnmatchedReason.CREATION_OFF
    return UnmatchedFinding(item.id, item.name, reason, details, item_values(batch.board, item))


def _type_words(board: BoardContext) -> dict[str, str]:
    """Return how sentences call the board's records, and what they are matched by."""
    opts = board.model._meta
    label = board.match_mapping.label.lower() if board.match_mapping else "key"
    return {"label": label, "type": str(opts.verbose_name), "types": str(opts.verbose_name_plural)}


class UnmatchedClaim:
    """One item that no record had when its job was written."""

    def __init__(
        self, batch: Batch, unit: WorkUnit, item: Item | None, unconfirmed_until: datetime | None = None
    ) -> None:
        self.batch, self.unit, self.item, self.unconfirmed_until = batch, unit, item, unconfirmed_until
        self.claim = unit.claim
        self.link, self.model = batch.link, batch.board.model
        self.as_new = bool(unit.claim.payload.get(AS_NEW))
        self.may_create = self.as_new or bool(unit.claim.payload.get(MAY_CREATE))
        self.chosen_record = as_uuid(str(unit.claim.payload.get(LINK_TO, "")))
        self.finding: UnmatchedFinding | None = None
        self.is_known = False

    def find(self, reason: UnmatchedReason, **details: str) -> str:
        """Say why no record has the item; return it as a sentence."""
        name, item_id = self.item.name if self.item else "", self.claim.remote_id or ""
        values = item_values(self.batch.board, self.item) if self.item else {}
        self.finding = UnmatchedFinding(item_id, name, reason, details, values)
        return unmatched_sentence(reason, **details)

    def note(self) -> None:
        """Note what was found of the item for people, who are shown why it has no record; it decides nothing."""
        if self.finding is not None:
            note_unmatched(self.link, [self.finding], decided=True)
        elif not self.is_known:
            clear_unmatched(self.link.entity_type, [self.claim.remote_id or ""])

    def settle(self, last_event: datetime | None, first_event: datetime) -> None:
        """Decide by the table “a record and its item”; ends or defers its job."""
        item, now = self.item, sync_now()
        if item is None or item.state != "active" or item.board_id not in (None, self.link.board_id):
            enqueue_tombstones(self.link.entity_type, [self.claim.remote_id or ""])
            if item is not None and item.state in REPORTED_STATES:
                reason = f"The item “{item.name}” was {item.state} on Monday, so there is nothing to ask any more."
                close_identity_conflicts(self.link.entity_type, item.id, reason)
            return self._complete("There is no such active item on the board.")
        if owner := owner_of_other_type(self.batch, item):
            kind = owner._meta.verbose_name
            return self._complete(
                f"It is the item of the {kind} “{owner}”, moved here; what becomes of it is asked there."
            )
        if wait := self._wait_reason(item, last_event, now):
            return self._defer(*wait)
        if self.chosen_record is not None:
            return self._link_chosen(self.chosen_record, item)
        return self._settle_unowned(item, first_event, now)

    def _settle_unowned(self, item: Item, first_event: datetime, now: datetime) -> None:
        tombstone = tombstone_of(self.batch, item)
        # One that was unlinked bears no NPD ID: what is remembered of it decides, as of any item.
        if tombstone and (npd_id_of(self.batch.board, item) or not self._was_unlinked(tombstone)):
            return self._settle_deleted(tombstone, item, now)
        verdict = item_verdict(self.batch.board, item)
        if verdict.holds is not True:
            detail = exclusion_sentence(self.batch.board, FilterSide.ITEM, verdict)
            detail = self.find(UnmatchedReason.LEFT_OUT, filter=detail)
            if verdict.holds is None:
                return self._defer(now + self._unreadable_wait, now, detail)
            return self._complete(detail)
        named = now if self._match_key else first_event + timedelta(seconds=settings.NEW_ITEM_WAIT_SECONDS)
        if named > now and not self.may_create:
            return self._defer(named, now, self.find(UnmatchedReason.NO_KEY_YET, label=self._match_label))
        return self._decide(item)

    def _wait_reason(
        self, item: Item, last_event: datetime | None, now: datetime
    ) -> tuple[datetime, datetime, str] | None:
        """Until when it is left alone, from when and why: a call is in the air, it isn't quiet, or can't be read."""
        if self.unconfirmed_until:
            return self.unconfirmed_until, now, self.find(UnmatchedReason.UNCONFIRMED)
        if self.chosen_record is not None:
            return None
        if last_event and (quiet := last_event + timedelta(seconds=UNMATCHED_ITEM_WAIT_SECONDS)) > now:
            return quiet, now, self.find(UnmatchedReason.BEING_EDITED)
        if self._match_key is None:
            reason = self.find(UnmatchedReason.KEY_UNREADABLE, label=self._match_label)
            return now + self._unreadable_wait, now, reason
        if npd_id_of(self.batch.board, item) is None:
            return now + self._unreadable_wait, now, self.find(UnmatchedReason.NPD_ID_UNREADABLE)
        return None

    @property
    def _unreadable_wait(self) -> timedelta:
        """A column known to be gone wakes its items when it is back (board_columns.py); until then it is left alone."""
        match = self.batch.board.match_mapping
        is_missing = self.link.npd_id_problem or (match is not None and match.problem)
        return timedelta(minutes=30 if is_missing else 1)

    @property
    def _match_key(self) -> str | None:
        return match_text_of_item(self.batch.board, self.item) if self.item else ""

    @property
    def _match_label(self) -> str:
        return _type_words(self.batch.board)["label"]

    def _decide(self, item: Item) -> None:  # noqa: PLR0911 - a table
        exclusion = IgnoredItem.objects.filter(entity_type=self.link.entity_type, item_id=item.id).first()
        if exclusion and not self.may_create and (exclusion.unlinked or exclusion.entity_id is None):
            if not exclusion.unlinked:
                self.find(UnmatchedReason.INVALID, problems=exclusion.reason)
            elif self.claim.payload.get(IGNORED):
                reason = f"The item “{item.name}” is ignored, so there is nothing to ask any more."
                close_identity_conflicts(self.link.entity_type, item.id, reason)
            self.is_known = True
            return self._complete(f"It is ignored: {exclusion.reason}")
        owner = record_of_npd_id(self.batch, item)
        if owner is not None and (detail := self._owner_exclusion(owner)):
            return self._complete(self.find(UnmatchedReason.LEFT_OUT, filter=detail))
        if owner is not None:
            return self._settle_with_npd_id(owner, item)
        found = records_matching(self.batch, item) if not self.as_new else []
        found = [record for record in found if not exclusion or record.pk != exclusion.entity_id]
        hits = [record for record in found if not self._record_exclusion(record)]
        if found and not hits:
            return self._complete(self.find(UnmatchedReason.LEFT_OUT, filter=self._record_exclusion(found[0])))
        if len(hits) == 1 and hits[0].monday_id is None and hits[0].may_sync:
            return self._link_record(hits[0], item)
        if hits:
            return self._ask_owner(hits, item)
        if not self.link.creates_records and not self.may_create:
            reason = UnmatchedReason.CREATION_OFF if self._match_key else UnmatchedReason.NO_KEY
            self.find(reason, **_type_words(self.batch.board))
            return self._complete(
                "No record matches, and new items of this board don't become records (a setting of the board)."
            )
        return self._create_record(item)

    def _record_exclusion(self, record: SyncedModel) -> str:
        """Why the filter lets the item not be this record's; empty where it does."""
        verdict = record_verdict(self.batch.board, record)
        if verdict.holds is True:
            return ""
        detail = exclusion_sentence(self.batch.board, FilterSide.RECORD, verdict)
        return f"{detail} That is so of “{record}”, whose item it would be."

    def _owner_exclusion(self, owner: SyncedModel) -> str:
        """Why the filter leaves the record alone whose NPD ID the item bears; a pair is out by its own item, too."""
        if owner.monday_id is not None and owner.is_left_out:
            return f"The filter leaves “{owner}” out, whose NPD ID it has. Both items keep it."
        return self._record_exclusion(owner)

    def _was_unlinked(self, tombstone: Tombstone) -> bool:
        """By this deleted record, or by another one that had the item after it."""
        items = IgnoredItem.objects.filter(entity_type=self.link.entity_type, item_id=self.claim.remote_id)
        return tombstone.state == TombstoneState.UNLINKED or items.filter(unlinked=True).exists()

    def _settle_with_npd_id(self, owner: SyncedModel, item: Item) -> None:
        """The item bears the NPD ID of a record that is there."""
        if owner.monday_id is None and owner.may_sync:
            return self._link_record(owner, item)
        if owner.monday_id is not None and not owner.may_sync:
            self.find(UnmatchedReason.SYNC_OFF, names=f"“{owner}”")
            return self._complete(f"It has the NPD ID of “{owner}”, whose sync is off. Nothing was done.")
        if relink_to_replacement(self.batch, owner, item):
            detail = f"Its item left the board; “{item.name}” has its NPD ID, and is its item now."
            return self._end_linked(owner, detail)
        if owner.monday_id is not None:
            self.find(UnmatchedReason.DUPLICATE, names=f"“{owner}”")
            return add_duplicate(self.batch, self.unit, item, owner)
        return self._ask_owner([owner], item)

    def _settle_deleted(self, tombstone: Tombstone, item: Item, now: datetime) -> None:
        """Never a new record by itself: the deleted record's own pass decides, as of an item that is there."""
        name = tombstone.data.get("name", "a record")
        detail = f"It belongs to “{name}”, which was deleted in NPD."
        if any(deleted_record.item_id == item.id for deleted_record in self.batch.deleted_records):
            return self._complete(f"{detail} This sync decided what happens to it.")
        if tombstone.state in (TombstoneState.KEPT, TombstoneState.UNLINKED):
            return self._complete(f"{detail} The item stays, and makes no new record.")
        stale_until = tombstone.settled_at and tombstone.settled_at + STALE_READ_WINDOW
        if stale_until and stale_until > now:
            # Monday may still show it as it was before our call.
            return self._defer(stale_until, now, f"{detail} It has left the board, as far as is known.")
        if item.id != tombstone.monday_id:
            if tombstone.state in OPEN_TOMBSTONE_STATES and tombstone.monday_id:
                # How long to leave a second item of a deletion: one that waits for a person, or fails, may take days.
                soon = tombstone.state == TombstoneState.WAITING and tombstone.deleted_at + timedelta(hours=1) > now
                return self._defer(
                    now + timedelta(minutes=1 if soon else 30), now, f"{detail} Its first item comes first."
                )
            # A deletion that was settled waits again: it was not this item that left the board.
            state = TombstoneState.WAITING if tombstone.state in REMOVED_STATES else tombstone.state
            Tombstone.objects.filter(pk=tombstone.pk).update(monday_id=item.id, state=state)
        enqueue_many(
            self.link.entity_type,
            [tombstone.entity_id],
            cause=Cause.WEBHOOK,
            priority=Priority.EDIT,
            direction=QueueDirection.TO_NPD,
        )
        return self._complete(f"{detail} It is synced with that record.")

    def _link_chosen(self, record_id: uuid.UUID, item: Item) -> None:
        """A person chose the record: it is linked where it still can be; else the item stands as before."""
        try:
            record = give_item(self.batch, record_id, item.id)
        except AnswerOutdated as why:
            self.is_known = True
            return self._complete(f"It could not be linked. {why}")
        reason = f"The item “{item.name}” was linked with “{record}”, so there is nothing to ask any more."
        close_identity_conflicts(self.link.entity_type, item.id, reason)
        return self._end_linked(record, f"Linked with the item “{item.name}”, as a person chose.")

    def _link_record(self, record: SyncedModel, item: Item) -> None:
        self.model._default_manager.filter(pk=record.pk, monday_id=None).update(monday_id=item.id)
        self._end_linked(record, f"Linked with the item “{item.name}” on the board.")

    def _end_linked(self, record: SyncedModel, detail: str) -> None:
        self._log_decision(record, "link", detail)
        self._enqueue_record(record)
        self._complete(f"Linked with {record}.")

    def _enqueue_record(self, record: SyncedModel) -> None:
        """The record's own pass merges the two sides and writes the NPD ID."""
        enqueue_many(self.link.entity_type, [record.pk], cause=Cause.DEPENDENCY, priority=Priority.EDIT)

    def _ask_owner(self, hits: Sequence[SyncedModel], item: Item) -> None:
        details, self.unit.is_question = item_data(self.batch.board, item), True
        self.find(UnmatchedReason.AMBIGUOUS, names=quoted_names(hits))
        self._complete(f"Who is this? {ask_item_owner(self.link.entity_type, hits, item, details)}")

    def _create_record(self, item: Item) -> None:
        # The NPD ID that it bears was a record's that is here no more (a restored database); else it is a new one.
        npd_id = None if self.as_new else as_uuid(npd_id_of(self.batch.board, item) or "")
        new_id = uuid.uuid4() if npd_id is None or is_npd_id_known(npd_id) else npd_id
        record, refused = self.model(id=new_id, monday_id=item.id), IgnoredItem.objects
        if problems := " ".join(fill_from_item(self.batch, record, item)):
            detail = self.find(UnmatchedReason.INVALID, problems=problems)
            self.note()  # now: the unmatched item is taken before the ignored one
            refused.update_or_create(entity_type=self.link.entity_type, item_id=item.id, defaults={"reason": problems})
            return self._complete(detail)
        if (verdict := record_verdict(self.batch.board, record)).holds is not True:
            detail = exclusion_sentence(self.batch.board, FilterSide.RECORD, verdict)
            detail = f"{detail} A record made of it would not match, so none was made."
            return self._complete(self.find(UnmatchedReason.LEFT_OUT, filter=detail))
        try:
            store_new_record(record, is_automatic=not self.as_new)
        except OperationalError:  # a lock, or the connection: nothing that the item is to blame for
            raise
        except DatabaseError as error:
            problem = str(error).splitlines()[0]
            return self._complete(self.find(UnmatchedReason.DATABASE_REJECTED, problems=problem))
        if not self.as_new:
            refused.filter(entity_type=self.link.entity_type, item_id=item.id).delete()
        else:
            # It stays remembered: none of the records with its key is to find it by that key again.
            ignore_item(self.link.entity_type, item.id, None, "A person said that it is a record of its own.")
            reason = f"“{item.name}” became a record of its own, so there is nothing to ask any more."
            close_identity_conflicts(self.link.entity_type, item.id, reason)
        self._log_decision(record, "create", f"Made from the item “{item.name}” on the board.")
        self._enqueue_record(record)
        return self._complete(f"Became {record}.")

    def _log_decision(self, record: SyncedModel, kind: str, sentence: str) -> None:
        batch, item_id = self.batch, self.claim.remote_id or ""
        cause = cause_of_item(self.claim, f"an item without a record: {kind}", batch.read_request)
        batch.log_decision(
            record.pk, item_id, kind, sentence, actor=self.unit.by, request_id=batch.read_request, cause=cause
        )

    def _defer(self, until: datetime, now: datetime, reason: str) -> None:
        self.unit.wait_seconds = (until - now).total_seconds()
        self.unit.end(Outcome.DEFERRED, reason)

    def _complete(self, detail: str) -> None:
        self.unit.end(Outcome.SETTLED, detail)
        WebhookEvent.objects.filter(item_id=self.claim.remote_id, processed_at=None).update(
            processed_at=sync_now(), outcome=detail[:200]
        )
