"""Several items that bear the NPD ID of one record: the link stays, the others lose the NPD ID. And a record made from
an item that may be another one: a person is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from sync import connectors
from sync.choices import ApprovalKind, QueueDirection
from sync.clock import SyncNow
from sync.connectors.base.board import EventKind
from sync.connectors.base.board_items import Item, ItemChange, ItemRemoval, WriteRequest
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ConnectorError
from sync.kernel.conflict_store import (
    KIND_IDENTITY,
    RECORD_KEY,
    ConflictReport,
    OpenConflict,
    Option,
    OptionAct,
    current_store,
)
from sync.limits import monday_account
from sync.merge import FieldSelection
from sync.models import BoardLink, Decision, FieldMapping, Intent, IntentState, SyncedModel, WebhookEvent
from sync.reconcile import gather
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit, end_jobs
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import ACTIVE, BoardContext, item_data, match_text_of_item
from sync.reconcile.identity import LEAVE_ALONE, NEW_RECORD, duplicate_question
from sync.reconcile.mutations import Mutation, close_intent, is_create
from sync.reconcile.reads import read_by_id
from sync.reconcile.restraints import DestructiveChange, count_without_asking, defer_item_if_paused
from sync.reconcile.sides import owner_of_other_type
from sync.records.approvals import is_over_limit
from sync.records.unmatched_items import clear_unmatched

ARCHIVE_OPTION = "archive"
"""Answer: the item is a duplicate, and is to leave the board."""


@dataclass
class DuplicateItem(WorkUnit):
    """A second item of a linked record in a pass.

    It came as a `candidate`, or by a person's answer to the question about it (`record_sync`, `resolution`). `is_ours`
    says that our own create made it twice, `owner` whose item it is by now; `is_archived`, that it left the board.
    """

    item: Item
    record: SyncedModel
    candidate: WorkUnit | None = None
    record_sync: RecordSync | None = None
    resolution: FieldSelection | None = None
    is_ours: bool = False
    is_cleared: bool = False
    is_archived: bool = False
    owner: str = ""

    @property
    def wants_archive(self) -> bool:
        """Whether it is to leave the board: ours by itself, another's because a person said so."""
        return (self.resolution is not None or self.is_ours) and not self.is_archived and not self.owner

    @property
    def question(self) -> str:
        """What happened, as the question about it says; the same at every pass."""
        return (
            f"The item “{self.item.name}” had the NPD ID of “{self.record}”, which already has another item. "
            "The link stays, and the NPD ID was removed from this one. Is it the same?"
        )


def duplicate_options(duplicate: DuplicateItem) -> list[Option]:
    """Return the answers to the question whether a duplicate is the same as its record."""
    item, record = duplicate.item.name, str(duplicate.record)
    archived = (
        f"The item “{item}” is archived on Monday; “{record}” keeps the item that it has. What was written into the "
        "copy alone stays in Monday's archive."
    )
    made = f"A new record is made of the item “{item}” and linked with it; “{record}” stays as it is."
    stays = f"The item “{item}” stays on the board; it is not matched, and no record is created from it."
    return [
        Option("custom", "It is a copy: archive it", archived, ARCHIVE_OPTION, OptionAct.ARCHIVE_ITEM),
        Option("custom", "It is somebody else: create a new record", made, NEW_RECORD),
        Option("custom", "Leave the item alone", stays, LEAVE_ALONE),
    ]


def add_duplicate(batch: Batch, candidate: WorkUnit, item: Item, record: SyncedModel) -> None:
    """Note that an unmatched item bears the NPD ID of a record with another item; settle_duplicates() ends its job."""
    batch.duplicate_items.append(DuplicateItem(candidate.claim, item, record, candidate=candidate))


def load_answered_duplicates(batch: Batch) -> None:
    """Add the duplicates of which a person answered what becomes of them; raises ConnectorError."""
    found = [(s, conflict) for s in batch.open_records if s.item for conflict in answered_conflicts(s)]
    items = read_by_id(batch, [conflict.monday_item_id for _, conflict in found])
    for record_sync, conflict in found:
        item = items.get(conflict.monday_item_id) or Item(conflict.monday_item_id, conflict.monday_item_id, "missing")
        is_on_board = item.state == ACTIVE
        # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
        owner = batch.records.filter(monday_id=item.id).first() if is_on_board else None
        duplicate = DuplicateItem(
            record_sync.claim,
            item,
            record_sync.record,
            record_sync=record_sync,
            resolution=conflict.resolutions[RECORD_KEY],
            is_cleared=True,
            is_archived=not is_on_board,
            owner=str(owner or owner_of_other_type(batch, item) or "") if is_on_board else "",
        )
        batch.duplicate_items.append(duplicate)


def answered_conflicts(record_sync: RecordSync) -> Iterable[OpenConflict]:
    """Yield the questions about duplicates that a person answered with “it is a duplicate”."""
    for conflict in record_sync.conflicts:
        resolution = conflict.resolutions.get(RECORD_KEY)
        if conflict.kind == KIND_IDENTITY and resolution and resolution.value == ARCHIVE_OPTION:
            yield conflict


def mark_own_duplicates(batch: Batch) -> None:
    """Find out which of the pass's duplicates our own creates made; more at once than the limit are asked about."""
    for duplicate in batch.duplicate_items:
        duplicate.is_ours = duplicate.resolution is None and _is_own_create(batch, duplicate)
    ours = {duplicate.record.pk for duplicate in batch.duplicate_items if duplicate.is_ours}
    if ours and is_over_limit(batch.link, ApprovalKind.ITEMS, ours):
        for duplicate in batch.duplicate_items:
            duplicate.is_ours = False
    changes = []
    for duplicate in [duplicate for duplicate in batch.duplicate_items if duplicate.is_ours]:
        label = f"The second item of “{duplicate.record}”, created by a call whose answer was lost"
        values = {"record": str(duplicate.record)}
        changes.append(DestructiveChange(duplicate.record.pk, duplicate.item.id, "copy", label, values))
    count_without_asking(batch.link, ApprovalKind.ITEMS, changes)


def _is_own_create(batch: Batch, duplicate: DuplicateItem) -> bool:
    """Whether a create of ours says just what the item says, and nobody else is known to have made it."""
    item_id, sent = duplicate.item.id, list(Intent.objects.filter(entity_id=duplicate.record.pk))
    # The record may have been linked with it once: then somebody brought it back, and it is no second run's.
    unlinked = Decision.objects.filter(entity_id=duplicate.record.pk, kind="unlinked", remote_id=item_id)
    if any(intent.values and intent.item_id == item_id for intent in sent) or unlinked.exists():
        return False
    mapped = [mapping for mapping in batch.board.mappings if mapping.column_id]
    same = [
        intent
        for intent in sent
        if is_create(intent)
        if all(_matches_sent(batch, duplicate, mapping, intent.values.get(mapping.key)) for mapping in mapped)
    ]
    maker, us = creator_of(item_id), monday_account().user_id
    if maker and us:
        return bool(same) and maker == us
    return any(intent.state == IntentState.VOID and intent.lookups for intent in same)


def _matches_sent(batch: Batch, duplicate: DuplicateItem, mapping: FieldMapping, sent: dict[str, Any] | None) -> bool:
    convert = batch.board.converter(mapping, duplicate.record)
    try:
        current = convert.remote(convert.stored_value(duplicate.item.reading(mapping.column_id)))
        if sent is None:
            return current is None
        return mapping.is_current(sent) and bool(current == convert.local(sent["local"]))
    except UnknownValue:
        return False


def creator_of(item_id: str) -> str:
    """Return the Monday user who made an item, as its webhook told; empty where none has come."""
    row = WebhookEvent.objects.filter(item_id=item_id).of_kind(EventKind.CREATED).order_by("id").first()
    return row.user_id if row is not None else ""


# How a pass over duplicates ends: the question about each, the record's history, and the jobs, in one
# transaction.


def settle_duplicates(batch: Batch) -> None:
    """Store what became of every duplicate; raises LeaseLost."""

    def store() -> None:
        for duplicate in batch.duplicate_items:
            if duplicate.candidate is not None:
                _store_found_duplicate(batch, duplicate, duplicate.candidate)
            elif duplicate.record_sync is not None:
                _store_answer(batch, duplicate, duplicate.record_sync)

    batch.in_transaction(store)


def defer_duplicates(batch: Batch) -> None:
    """Writing to Monday is paused: duplicates stay as they are, with their questions and answers; raises LeaseLost."""
    for record_sync in [record_sync for record_sync in batch.open_records if any(answered_conflicts(record_sync))]:
        record_sync.paused_directions.add(QueueDirection.TO_MONDAY)

    def release() -> None:
        for candidate in [duplicate.candidate for duplicate in batch.duplicate_items if duplicate.candidate]:
            if not defer_item_if_paused(batch, candidate, QueueDirection.TO_MONDAY):  # resumed meanwhile
                candidate.end(Outcome.RELEASED)
                end_jobs(batch, [candidate])

    if batch.duplicate_items:
        batch.in_transaction(release)


def _store_found_duplicate(batch: Batch, duplicate: DuplicateItem, candidate: WorkUnit) -> None:
    """Log that the NPD ID was taken off the duplicate, and ask about it unless it was archived."""
    candidate.end(duplicate.outcome, duplicate.detail)
    item = duplicate.item
    if duplicate.outcome is Outcome.SETTLED:
        if duplicate.is_archived:
            candidate.detail = f"A second item “{item.name}” had this NPD ID; it is not on the board any more."
            if duplicate.is_ours:
                candidate.detail = (
                    f"A second item “{item.name}” was on the board, created by a call whose answer was lost; "
                    "nobody had touched it, so it was archived."
                )
            _log_decision(batch, duplicate, "archived", candidate.detail)
            clear_unmatched(batch.entity_type, [item.id])
        else:
            detail = f"A second item “{item.name}” had this NPD ID. It was removed from that one; the link stays."
            _log_decision(batch, duplicate, "conflict_identity", detail)
            record = duplicate.record
            data = {
                "what": duplicate.question,
                "item": item_data(batch.board, item),
                "candidates": [{"id": str(record.pk), "label": str(record), "linked_to": record.monday_id}],
                "options": [option.to_json() for option in duplicate_options(duplicate)],
            }
            report = ConflictReport(batch.entity_type, record.pk, item.id, KIND_IDENTITY, data=data)
            current_store().save_reports([report])
            candidate.is_question, candidate.detail = True, f"Who is this? {duplicate.question}"
        WebhookEvent.objects.filter(item_id=item.id, processed_at=None).update(
            processed_at=SyncNow(), outcome=candidate.detail[:200]
        )
    end_jobs(batch, [candidate])


def _store_answer(batch: Batch, duplicate: DuplicateItem, record_sync: RecordSync) -> None:
    """Carry a person's answer out; a failed one is tried again with the record's next pass."""
    if duplicate.outcome is not Outcome.SETTLED:
        outcome = Outcome.FAILED if duplicate.outcome is Outcome.FAILED else Outcome.RELEASED
        record_sync.end(outcome, duplicate.detail)
        return
    item = duplicate.item
    clear_unmatched(batch.entity_type, [item.id])
    detail = f"The item “{item.name}” was a copy of “{duplicate.record}”; it was archived on Monday."
    if item.state != ACTIVE:
        detail = f"The item “{item.name}” isn't on the board any more; nothing was left to do."
    if duplicate.owner:
        detail = f"The item “{item.name}” now belongs to “{duplicate.owner}”, so it stays on the board."
    _log_decision(batch, duplicate, "conflict_identity" if duplicate.owner else "archived", detail)
    report = record_sync.conflict_report(KIND_IDENTITY, item.id, applied={RECORD_KEY: detail}, closing_reason=detail)
    current_store().save_reports([report])
    record_sync.conflicts = [c for c in record_sync.conflicts if c.monday_item_id != item.id]


def _log_decision(batch: Batch, duplicate: DuplicateItem, kind: str, sentence: str) -> None:
    read = batch.read_request
    cause = {"read": read, "rule": "a second item has the record's NPD ID"}
    batch.log_decision(duplicate.record.pk, duplicate.item.id, kind, sentence, request_id=read, cause=cause)


# The calls about duplicates: the NPD ID is taken off them all, then those that are ours are archived.
#
# As every write: announced by intents under the lease, an alias an item. What became of a call
# without an answer is read when the duplicate's row is claimed again; both calls may be repeated.


log = structlog.get_logger(__name__)


def split_duplicates(batch: Batch) -> None:
    """Decide and carry out what becomes of the pass's duplicates, and end their jobs; raises LeaseLost."""
    if QueueDirection.TO_MONDAY in batch.pauses:
        return defer_duplicates(batch)
    try:
        load_answered_duplicates(batch)
    except ConnectorError as error:
        log.warning("copies not read", reason=error.sentence)
        for record_sync in [s for s in batch.open_records if any(answered_conflicts(s))]:
            record_sync.end(Outcome.RELEASED, error.sentence)
    if not batch.duplicate_items:
        return None
    mark_own_duplicates(batch)
    ClearNpdIds(batch).send([duplicate for duplicate in batch.duplicate_items if not duplicate.is_cleared])
    leaving = [
        duplicate
        for duplicate in batch.duplicate_items
        if duplicate.is_open and duplicate.is_cleared and duplicate.wants_archive
    ]
    ArchiveDuplicates(batch).send(leaving)
    for duplicate in batch.duplicate_items:
        if duplicate.is_open:
            duplicate.outcome = Outcome.SETTLED
    return settle_duplicates(batch)


class _OfDuplicate(Mutation[DuplicateItem]):
    """What both calls about a duplicate have in common: they may be repeated, and it may have left the board."""

    def target(self, unit: DuplicateItem) -> tuple[UUID, str]:
        return unit.record.pk, unit.item.id

    def body(self) -> dict[str, Any]:
        return {"copy": True}

    def still_wanted(self, units: Sequence[DuplicateItem]) -> Sequence[DuplicateItem]:
        """Where the filter was changed since it was read, copies are released: it may leave their records out now."""
        batch = self.batch
        if not BoardLink.objects.filter(pk=batch.link.pk, sync_filter=batch.link.sync_filter).exists():
            for duplicate in units:
                duplicate.end(Outcome.RELEASED, "The filter changed while it was synced.")
        return [duplicate for duplicate in units if duplicate.is_open]

    def done(self, unit: DuplicateItem, item: Item) -> None:
        close_intent(unit, IntentState.APPLIED)

    def item_gone(self, unit: DuplicateItem, error: ConnectorError) -> None:
        """Somebody was faster: it bears the NPD ID, but is not on the board any more."""
        unit.is_cleared = unit.is_archived = True


class ClearNpdIds(_OfDuplicate):
    """The NPD ID is taken off duplicates."""

    def request(self, units: Sequence[DuplicateItem]) -> WriteRequest:
        column = self.batch.link.npd_id_column
        return self.changes([ItemChange(f"r{n}", c.item.id, {column: None}) for n, c in enumerate(units)])

    def done(self, unit: DuplicateItem, item: Item) -> None:
        super().done(unit, item)
        unit.is_cleared = True


class ArchiveDuplicates(_OfDuplicate):
    """Duplicates leave the board."""

    def request(self, units: Sequence[DuplicateItem]) -> WriteRequest:
        removals = [ItemRemoval(f"r{n}", duplicate.item.id) for n, duplicate in enumerate(units)]
        board = self.batch.board
        return connectors.get(board.link.system).prepare_archive(removals, board.columns, board.types)

    def done(self, unit: DuplicateItem, item: Item) -> None:
        super().done(unit, item)
        unit.is_archived = True


# A record that was made from an item, and that nobody touched in NPD, may turn out to be another
# record's possible duplicate.
#
# Somebody adds a row on the board without an email address, it becomes a record, and the address
# that is filled in later is one that NPD knows already. A person says whether the two are one.


def duplicate_keys(board: BoardContext, records: Iterable[RecordFacts]) -> dict[UUID, str]:
    """Return the match keys of the items from which these records were made, by record."""
    made = [(one.id, one.item) for one in records if one.ledger.made_from_item and one.item is not None]
    return {key: text for key, item in made if (text := match_text_of_item(board, item))}


def others_with_key(
    keys: Mapping[UUID, str], found: Mapping[str, Sequence[SyncedModel]]
) -> dict[UUID, list[SyncedModel]]:
    """Return for each of these records the other ones with its key, where there are any."""
    others = {pk: [record for record in found.get(key, ()) if record.pk != pk] for pk, key in keys.items()}
    return {pk: records for pk, records in others.items() if records}


def possible_duplicates(
    board: BoardContext,
    records: Iterable[RecordFacts],
    others: Mapping[UUID, Sequence[SyncedModel]],
    unedited: Collection[UUID],
) -> dict[UUID, dict[str, Any]]:
    """Return what is to be asked about those records whose item's key is another record's by now."""
    label = board.match_mapping.label.lower() if board.match_mapping else "name"
    asked = [one for one in records if one.id in others and one.id in unedited]
    return {one.id: duplicate_question(one.record, others[one.id], label) for one in asked}


def find_possible_duplicates(batch: Batch) -> None:
    """Ask about every record made from an item whose item's match key is another record's by now."""
    records = [record_sync.facts for record_sync in batch.open_records if record_sync.ledger.made_from_item]
    keys = duplicate_keys(batch.board, records)
    others = others_with_key(keys, gather.records_by_match_key(batch.board, keys.values()))
    unedited = gather.unedited_records(batch.board.model, list(others))
    questions = possible_duplicates(batch.board, records, others, unedited)
    for record_sync in batch.open_records:
        record_sync.possible_duplicate = questions.get(record_sync.id, record_sync.possible_duplicate)
