"""Several items that bear the NPD ID of one record: the link stays, the others lose the NPD ID. And a record made from
an item that may be another one: a person is asked.

Decides of MERGE.md "there, linked | a second item bears its NPD ID": the copy's NPD ID is cleared; ours and untouched:
archived, with a line in the history; else "same person?"; and what a person answered to that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog

from sync.choices import ApprovalKind, QueueDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import Item
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
from sync.models import BoardLink, FieldMapping, Intent, IntentState, SyncedModel, WebhookEvent
from sync.reconcile import gather
from sync.reconcile.act import OUTCOMES, Answer, Call, Kind, Verdict, Write, executor_of
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit, end_jobs
from sync.reconcile.facts import RecordFacts, is_create
from sync.reconcile.field_values import ACTIVE, BoardContext, item_data, match_text_of_item
from sync.reconcile.identity import LEAVE_ALONE, NEW_RECORD, duplicate_question
from sync.reconcile.reads import read_by_id
from sync.reconcile.restraints import DestructiveChange, count_without_asking, defer_item_if_paused
from sync.records.approvals import is_over_limit
from sync.records.unmatched_items import clear_unmatched

ARCHIVE_OPTION = "archive"
"""Answer: the item is a duplicate, and is to leave the board."""

log = structlog.get_logger(__name__)

# What is so, and what is decided.


@dataclass(frozen=True)
class DuplicateItem:
    """A second item of a linked record in a pass.

    `is_answered`: a person said that it is a copy; else it was found bearing the NPD ID. `owner` is whose item it is by
    now. `writes` is what was announced about the record, `was_linked` says that it had this item once, `maker` is the
    Monday user who made it, as far as is known.
    """

    item: Item
    record: SyncedModel
    is_answered: bool = False
    owner: str = ""
    writes: tuple[Intent, ...] = ()
    was_linked: bool = False
    maker: str = ""

    @property
    def question(self) -> str:
        """What happened, as the question about it says; the same at every pass."""
        return (
            f"The item “{self.item.name}” had the NPD ID of “{self.record}”, which already has another item. "
            "The link stays, and the NPD ID was removed from this one. Is it the same?"
        )


@dataclass(frozen=True)
class DuplicatePlan:
    """What becomes of a duplicate: its NPD ID is taken off, it leaves the board. `is_ours`: our own create made it."""

    duplicate: DuplicateItem
    is_ours: bool = False
    clears: bool = False
    archives: bool = False

    @property
    def about(self) -> Write:
        """What either call is about."""
        item_id, record_id = self.duplicate.item.id, self.duplicate.record.pk
        return Write(
            f"{record_id} {item_id} {'answered' if self.duplicate.is_answered else 'found'}", record_id, item_id
        )


def sent_same(board: BoardContext, duplicate: DuplicateItem) -> list[Intent]:
    """Return the creates of ours that say just what the item says; none where it is known not to be a second run's."""
    # The record may have been linked with it once: then somebody brought it back, and it is no second run's.
    was_written = any(intent.values and intent.item_id == duplicate.item.id for intent in duplicate.writes)
    if duplicate.is_answered or was_written or duplicate.was_linked:
        return []
    mapped = [mapping for mapping in board.mappings if mapping.column_id]
    return [
        intent
        for intent in duplicate.writes
        if is_create(intent)
        if all(_matches_sent(board, duplicate, mapping, intent.values.get(mapping.key)) for mapping in mapped)
    ]


def _matches_sent(
    board: BoardContext, duplicate: DuplicateItem, mapping: FieldMapping, sent: Mapping[str, Any] | None
) -> bool:
    convert = board.converter(mapping, duplicate.record)
    try:
        current = convert.remote(convert.stored_value(duplicate.item.reading(mapping.column_id)))
        if sent is None:
            return current is None
        return mapping.is_current(sent) and bool(current == convert.local(sent["local"]))
    except UnknownValue:
        return False


def is_own_create(board: BoardContext, duplicate: DuplicateItem, us: str) -> bool:
    """Whether a create of ours says just what the item says, and nobody else is known to have made it."""
    same = sent_same(board, duplicate)
    if duplicate.maker and us:
        return bool(same) and duplicate.maker == us
    return any(intent.state == IntentState.VOID and intent.lookups for intent in same)


def duplicate_plan(duplicate: DuplicateItem, *, is_ours: bool) -> DuplicatePlan:
    """Return what becomes of it: ours leaves the board by itself, another's because a person said so."""
    if not duplicate.is_answered:
        return DuplicatePlan(duplicate, is_ours, clears=True, archives=is_ours)
    return DuplicatePlan(duplicate, archives=duplicate.item.state == ACTIVE and not duplicate.owner)


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


def _changed_filter(board: BoardContext, writes: Sequence[Write]) -> dict[str, str]:
    """Return all where the filter was changed since it was read: it may leave their records out now."""
    if BoardLink.objects.filter(pk=board.link.pk, sync_filter=board.link.sync_filter).exists():
        return {}
    return {write.unit: "The filter changed while it was synced." for write in writes}


def _changed_owner(board: BoardContext, writes: Sequence[Write]) -> dict[str, str]:
    """Return also those that a record has by now: they stay on the board."""
    owned = gather.owners_of(board.link.entity_type, [write.item_id for write in writes])
    changed = {write.unit: "It was linked while it was synced." for write in writes if write.item_id in owned}
    return changed | _changed_filter(board, writes)


_CLEAR = Call(Kind.CHANGE, _changed_filter, {"copy": True})
_ARCHIVE = Call(Kind.ARCHIVE, _changed_owner, {"copy": True})

# What the answers mean.


@dataclass(frozen=True)
class DuplicateResult:
    """What became of a duplicate, `detail` says why or how; `kind` is its line's in the history, empty without one.

    `asks` is the question's sentence. `intents` are those of calls that were carried out.
    """

    outcome: Outcome
    detail: str
    kind: str = ""
    asks: str = ""
    intents: tuple[Intent, ...] = ()


def duplicate_result(plan: DuplicatePlan, answers: Sequence[Answer]) -> DuplicateResult:
    """Return what became of it by the answers to its calls, the clearing's and the archiving's.

    Where it left the board meanwhile somebody was faster: nothing is left to do.
    """
    done = tuple(one.intent for one in answers if one.verdict is Verdict.DONE and one.intent)
    failed = next((one for one in answers if one.verdict not in (Verdict.DONE, Verdict.GONE)), None)
    if failed is not None:
        return DuplicateResult(OUTCOMES[failed.verdict], failed.detail, intents=done)
    is_gone = any(one.verdict is Verdict.GONE for one in answers)
    if plan.duplicate.is_answered:
        kind, detail = _answered(plan)
    else:
        kind, detail = _found(plan, is_off_board=is_gone or plan.archives)
    asks = "" if kind == "archived" or plan.duplicate.is_answered else plan.duplicate.question
    return DuplicateResult(Outcome.SETTLED, detail, kind, asks, done)


def _found(plan: DuplicatePlan, *, is_off_board: bool) -> tuple[str, str]:
    name = plan.duplicate.item.name
    if not is_off_board:
        return (
            "conflict_identity",
            f"A second item “{name}” had this NPD ID. It was removed from that one; the link stays.",
        )
    if plan.is_ours:
        return "archived", (
            f"A second item “{name}” was on the board, created by a call whose answer was lost; "
            "nobody had touched it, so it was archived."
        )
    return "archived", f"A second item “{name}” had this NPD ID; it is not on the board any more."


def _answered(plan: DuplicatePlan) -> tuple[str, str]:
    item, owner = plan.duplicate.item, plan.duplicate.owner
    if owner:
        detail = f"The item “{item.name}” now belongs to “{owner}”, so it stays on the board."
        return "conflict_identity", detail
    if item.state != ACTIVE:
        return "archived", f"The item “{item.name}” isn't on the board any more; nothing was left to do."
    return "archived", f"The item “{item.name}” was a copy of “{plan.duplicate.record}”; it was archived on Monday."


# Adapters: from the batch to what is so, and from what became of it to rows.


@dataclass(frozen=True)
class PlannedDuplicates:
    """The duplicates of a pass, each with whose jobs it is about; `unread` is why the answered ones are not among them.

    `units` are the unmatched items that are duplicates, and the records of which a person answered.
    """

    plans: Sequence[DuplicatePlan] = ()
    units: Sequence[WorkUnit] = ()
    unread: str = ""


def add_duplicate(batch: Batch, candidate: WorkUnit, item: Item, record: SyncedModel) -> None:
    """Note that an unmatched item bears the NPD ID of a record with another item; its job ends with the pass."""
    batch.duplicate_items.append((candidate, DuplicateItem(item, record)))


def answered_conflicts(record_sync: RecordSync) -> Iterable[OpenConflict]:
    """Yield the questions about duplicates that a person answered with “it is a duplicate”."""
    for conflict in record_sync.conflicts:
        resolution = conflict.resolutions.get(RECORD_KEY)
        if conflict.kind == KIND_IDENTITY and resolution and resolution.value == ARCHIVE_OPTION:
            yield conflict


def find_duplicates(batch: Batch) -> PlannedDuplicates:
    """Learn what is known of the pass's duplicates, and decide what becomes of them."""
    if QueueDirection.TO_MONDAY in batch.pauses:
        return PlannedDuplicates()
    found, unread = list[tuple[WorkUnit, DuplicateItem]](batch.duplicate_items), ""
    try:
        found += _answered_duplicates(batch)
    except ConnectorError as error:
        log.warning("copies not read", reason=error.sentence)
        unread = error.sentence
    if not found:
        return PlannedDuplicates(unread=unread)
    duplicates = _with_history(batch, [duplicate for _, duplicate in found])
    us = monday_account().user_id if any(sent_same(batch.board, duplicate) for duplicate in duplicates) else ""
    ours = [is_own_create(batch.board, duplicate, us) for duplicate in duplicates]
    records = {duplicate.record.pk for duplicate, is_ours in zip(duplicates, ours, strict=True) if is_ours}
    # More at once than the limit are asked about.
    held = {deleted.id for deleted in batch.deleted_records if deleted.plan.approval}
    is_allowed = not records or not is_over_limit(batch.link, ApprovalKind.ITEMS, records | held)
    plans = [duplicate_plan(one, is_ours=is_ours and is_allowed) for one, is_ours in zip(duplicates, ours, strict=True)]
    return PlannedDuplicates(plans, [unit for unit, _ in found], unread)


def _answered_duplicates(batch: Batch) -> list[tuple[WorkUnit, DuplicateItem]]:
    """Read the duplicates of which a person answered what becomes of them; raises ConnectorError."""
    having = [record_sync for record_sync in batch.open_records if record_sync.item or record_sync.creates]
    asked = [
        (record_sync, conflict.monday_item_id) for record_sync in having for conflict in answered_conflicts(record_sync)
    ]
    items = read_by_id(batch, [item_id for _, item_id in asked])
    # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
    owners = gather.owners_of(batch.entity_type, [item.id for item in items.values() if item.state == ACTIVE])
    found: list[tuple[WorkUnit, DuplicateItem]] = []
    for record_sync, item_id in asked:
        item = items.get(item_id) or Item(item_id, item_id, "missing")
        owner = str(owners.get(item_id) or "")
        found.append((record_sync, DuplicateItem(item, record_sync.record, is_answered=True, owner=owner)))
    return found


def _with_history(batch: Batch, duplicates: Sequence[DuplicateItem]) -> list[DuplicateItem]:
    """What was written and unlinked of the records, and who made the items that a create of ours may have made."""
    records = {duplicate.record.pk for duplicate in duplicates if not duplicate.is_answered}
    writes, unlinked = gather.writes_about(records), gather.unlinked_pairs(records)
    known = [
        replace(
            duplicate,
            writes=tuple(writes.get(duplicate.record.pk, ())),
            was_linked=(duplicate.record.pk, duplicate.item.id) in unlinked,
        )
        for duplicate in duplicates
    ]
    makers = gather.creators_of([duplicate.item.id for duplicate in known if sent_same(batch.board, duplicate)])
    return [replace(duplicate, maker=makers.get(duplicate.item.id, "")) for duplicate in known]


def split_duplicates(batch: Batch, planned: PlannedDuplicates) -> None:
    """Carry out what becomes of the pass's duplicates, and end their jobs; raises LeaseLost."""
    if QueueDirection.TO_MONDAY in batch.pauses:
        return _defer_duplicates(batch)
    for record_sync in [s for s in batch.open_records if planned.unread and any(answered_conflicts(s))]:
        record_sync.end(Outcome.RELEASED, planned.unread)
    found = [(unit, plan) for unit, plan in zip(planned.units, planned.plans, strict=True) if _goes_on(unit)]
    if not found:
        return None
    count_without_asking(batch.link, ApprovalKind.ITEMS, [_change(plan.duplicate) for _, plan in found if plan.is_ours])
    clears = [replace(plan.about, columns={batch.link.npd_id_column: None}) for _, plan in found if plan.clears]
    with executor_of(batch) as executor:
        cleared = executor.send(_CLEAR, clears)
        leaving = [plan.about for _, plan in found if plan.archives and _is_cleared(plan, cleared)]
        archived = executor.send(_ARCHIVE, leaving)
    results = []
    for unit, plan in found:
        answers = [answer for sent in (cleared, archived) if (answer := sent.get(plan.about.unit))]
        results.append((unit, plan.duplicate, duplicate_result(plan, answers)))
    return settle_duplicates(batch, results)


def _goes_on(unit: WorkUnit) -> bool:
    """A record's answered duplicates wait where the record itself was not synced."""
    return not isinstance(unit, RecordSync) or (unit.is_open and unit.item is not None)


def _is_cleared(plan: DuplicatePlan, cleared: Mapping[str, Answer]) -> bool:
    return not plan.clears or cleared[plan.about.unit].verdict is Verdict.DONE


def _change(duplicate: DuplicateItem) -> DestructiveChange:
    label = f"The second item of “{duplicate.record}”, created by a call whose answer was lost"
    return DestructiveChange(duplicate.record.pk, duplicate.item.id, "copy", label, {"record": str(duplicate.record)})


def settle_duplicates(batch: Batch, results: Sequence[tuple[WorkUnit, DuplicateItem, DuplicateResult]]) -> None:
    """Store what became of every duplicate, in one transaction; raises LeaseLost."""

    def store() -> None:
        done = [intent.pk for _, _, result in results for intent in result.intents]
        # Reads of the next minutes are compared with what took effect, by the time at which that was known.
        Intent.objects.filter(pk__in=done).update(state=IntentState.APPLIED, settled_at=SyncNow())
        for unit, duplicate, result in results:
            if result.kind:
                _log_decision(batch, duplicate, result)
            if isinstance(unit, RecordSync):
                _store_answer(batch, unit, duplicate, result)
            else:
                _store_found(batch, unit, duplicate, result)

    batch.in_transaction(store)


def _defer_duplicates(batch: Batch) -> None:
    """Writing to Monday is paused: duplicates stay as they are, with their questions and answers; raises LeaseLost."""
    for record_sync in [record_sync for record_sync in batch.open_records if any(answered_conflicts(record_sync))]:
        record_sync.paused_directions.add(QueueDirection.TO_MONDAY)

    def release() -> None:
        for candidate, _ in batch.duplicate_items:
            if not defer_item_if_paused(batch, candidate, QueueDirection.TO_MONDAY):  # resumed meanwhile
                candidate.end(Outcome.RELEASED)
                end_jobs(batch, [candidate])

    if batch.duplicate_items:
        batch.in_transaction(release)


def _store_found(batch: Batch, candidate: WorkUnit, duplicate: DuplicateItem, result: DuplicateResult) -> None:
    """End the job of an item that bore the NPD ID, and ask about it unless it left the board."""
    item, record = duplicate.item, duplicate.record
    candidate.end(result.outcome, f"Who is this? {result.asks}" if result.asks else result.detail)
    if result.asks:
        data = {
            "what": result.asks,
            "item": item_data(batch.board, item),
            "candidates": [{"id": str(record.pk), "label": str(record), "linked_to": record.monday_id}],
            "options": [option.to_json() for option in duplicate_options(duplicate)],
        }
        current_store().save_reports([ConflictReport(batch.entity_type, record.pk, item.id, KIND_IDENTITY, data=data)])
        candidate.is_question = True
    elif result.kind:
        clear_unmatched(batch.entity_type, [item.id])
    if result.kind:
        WebhookEvent.objects.filter(item_id=item.id, processed_at=None).update(
            processed_at=SyncNow(), outcome=candidate.detail[:200]
        )
    end_jobs(batch, [candidate])


def _store_answer(batch: Batch, record_sync: RecordSync, duplicate: DuplicateItem, result: DuplicateResult) -> None:
    """Close the question whose answer was carried out; a failed one is tried again with the record's next pass."""
    if result.outcome is not Outcome.SETTLED:
        record_sync.end(result.outcome, result.detail)
        return
    item_id, detail = duplicate.item.id, result.detail
    clear_unmatched(batch.entity_type, [item_id])
    report = record_sync.conflict_report(KIND_IDENTITY, item_id, applied={RECORD_KEY: detail}, closing_reason=detail)
    current_store().save_reports([report])
    record_sync.conflicts = [conflict for conflict in record_sync.conflicts if conflict.monday_item_id != item_id]


def _log_decision(batch: Batch, duplicate: DuplicateItem, result: DuplicateResult) -> None:
    read = batch.read_request
    cause = {"read": read, "rule": "a second item has the record's NPD ID"}
    batch.log_decision(duplicate.record.pk, duplicate.item.id, result.kind, result.detail, request_id=read, cause=cause)


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
