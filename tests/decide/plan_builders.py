"""Worlds for whole plans: records, items and jobs built by hand, and the facts a pass would read of them."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from conflicts.reports import OpenConflict
from npd.models import Organization
from sync.choices import ApprovalKind, Cause, DeletedRecordPolicy, QueueDirection, RemovedItemPolicy
from sync.fields.field_values import BoardContext, Reference, is_active_on, npd_id_of
from sync.models import IgnoredItem, SyncedModel, SyncQueue, WebhookEvent
from sync.monday.board_items import BatchItems, Item
from sync.outbox.claim import Claim
from sync.reconcile.facts import DeletedFacts, ItemFacts, PassFacts, RecordFacts, RemovedItemFacts
from sync.reconcile.missing.deleted_records import item_npd_id
from sync.reconcile.missing.removed_items import removed_state
from sync.reconcile.pass_plan import Plan, RecordPlan
from sync.reconcile.run import RULES, decide, new_plan
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from sync.records.item_links import AS_NEW_KEY, LINK_TO_KEY
from tests.decide.builders import NOW, arrival, board

# Ten deletes or clears an hour need no approval.
FEW = ApprovalLimit(10, None, 100)

NOTHING_COUNTED: Mapping[ApprovalKind, frozenset[UUID]] = {kind: frozenset() for kind in ApprovalKind}


def decided(facts: PassFacts) -> Plan:
    """The plan of a pass with these facts."""
    plan = new_plan(facts)
    decide(facts, plan, RULES)
    return plan


class Related(dict[Reference, Sequence[SyncedModel]]):
    """The existing organizations by each reference to them; any other reference finds none."""

    def __init__(self, records: Sequence[SyncedModel]) -> None:
        super().__init__()
        for record in records:
            for by, value in (("pk", record.pk), ("monday_id", record.monday_id), ("name", str(record))):
                if value:
                    self[Reference(Organization, by, str(value))] = (record,)

    def __missing__(self, _: Reference) -> Sequence[SyncedModel]:
        return ()


@dataclass
class World:
    """Both sides: records as a pass claims them, and items, some without a record.

    By record: `edits` are NPD's history, `removals` more facts if its item is gone. By item: `heard` are
    Monday's events; without a record, `jobs` are its jobs' payloads, `events` the time of its last event.
    """

    context: BoardContext = field(default_factory=board)
    records: Sequence[RecordFacts] = ()
    items: Mapping[str, Item] = field(default_factory=dict)
    unmatched: Sequence[str] = ()
    deleted: Sequence[DeletedFacts] = ()
    related: Sequence[SyncedModel] = ()
    edits: Mapping[UUID, Sequence[Any]] = field(default_factory=dict)
    heard: Mapping[str, Sequence[WebhookEvent]] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ignored: Mapping[str, IgnoredItem] = field(default_factory=dict)
    events: Mapping[str, datetime] = field(default_factory=dict)
    unlinked: Mapping[UUID, IgnoredItem] = field(default_factory=dict)
    answer_records: dict[UUID, SyncedModel] | None = None
    merge_obstacles: dict[UUID, str] = field(default_factory=dict)
    removal_policy: RemovedItemPolicy = RemovedItemPolicy.ASK
    removals: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)
    deletion_policy: DeletedRecordPolicy = DeletedRecordPolicy.ARCHIVE
    approvals: ApprovalFacts = field(default_factory=lambda: ApprovalFacts(counted=NOTHING_COUNTED, limit=FEW))
    untouched: frozenset[UUID] = frozenset()
    questions: Mapping[str, tuple[UUID, OpenConflict]] = field(default_factory=dict)  # about items, with their records

    @property
    def board(self) -> BoardContext:
        link = copy(self.context.link)
        link.removed_item_policy = self.removal_policy
        link.deleted_record_policy = self.deletion_policy
        return replace(self.context, link=link)

    def pass_facts(self) -> PassFacts:
        jobs = tuple(self._claim(key) for key in self.unmatched)
        records = {facts.id: facts.record for facts in self.records}
        with_items = {key: record for key, record in records.items() if record.monday_id}
        linked = [
            RecordPlan(facts, self.items.get(facts.record.monday_id))
            for facts in self.records
            if facts.record.monday_id
        ]
        gone = {plan.id: state for plan in linked if (state := removed_state(self.context, plan))}
        items_of_deleted = {facts.id: self.items.get(facts.tombstone.monday_id or "") for facts in self.deleted}
        npd_ids = {key: item_npd_id(self.context, item) for key, item in items_of_deleted.items()}
        for facts in self.records:
            facts.npd_edits = self.edits.get(facts.id, ())
            facts.former_item = self.unlinked.get(facts.id)
            facts.is_possible_duplicate = facts.id in self.untouched
            state = gone.get(facts.id)
            facts.removal = RemovedItemFacts(state, **self.removals.get(facts.id, {})) if state else None
        for deleted in self.deleted:
            npd_id = npd_ids[deleted.id]
            deleted.npd_id_record = records.get(npd_id) if npd_id else None
        return PassFacts(
            self.board,
            NOW,
            records=tuple(self.records),
            events=self.heard,
            deleted=tuple(self.deleted),
            item_claims=jobs,
            answer_records=self.answer_records if self.answer_records is not None else with_items,
            merge_obstacles=self.merge_obstacles,
            items=self._batch_items(),
            **self._identity(),
            unmatched=tuple(self._item_facts(key, number) for number, key in enumerate(self.unmatched)),
            approvals=self.approvals,
            related=Related(self.related),
            related_boards=frozenset({"organization"}),
        )

    def plan(self) -> Plan:
        return self.decided()[1]

    def decided(self) -> tuple[PassFacts, Plan]:
        facts = self.pass_facts()
        return facts, decided(facts)

    def _batch_items(self) -> BatchItems:
        unlinked = [facts.record for facts in self.records if not facts.record.monday_id]
        npd_ids, keys = {str(record.pk) for record in unlinked}, {record.email for record in unlinked} - {""}
        active = [item for item in self.items.values() if is_active_on(self.context, item)]
        return BatchItems(
            by_id=dict(self.items),
            by_npd_id=[item for item in active if npd_id_of(self.context, item) in npd_ids],
            by_match=[item for item in active if _email(item) in keys],
        )

    def _identity(self) -> dict[str, Any]:
        owners = {facts.record.monday_id: facts.id for facts in self.records if facts.record.monday_id}
        records = {facts.id: facts.record for facts in self.records}
        same_key: dict[str, list[SyncedModel]] = {}
        for record in sorted(records.values(), key=lambda record: record.pk):
            same_key.setdefault(record.email, []).append(record)
        unedited = {key: record for key, record in records.items() if key in self.untouched}
        return {"owners": owners, "known_npd_ids": frozenset(records), "unedited": unedited, "same_key": same_key}

    def _claim(self, key: str) -> Claim:
        payload, direction = dict(self.jobs.get(key, {})), QueueDirection.TO_NPD
        job = SyncQueue(id=1, remote_id=key, causes=int(Cause.WEBHOOK), payload=payload, direction=direction)
        return Claim(None, key, [job])

    def _item_facts(self, key: str, number: int) -> ItemFacts:
        item = self.items.get(key)
        records = sorted((facts.record for facts in self.records), key=lambda record: record.pk)
        npd_id, email = (npd_id_of(self.context, item), _email(item)) if item else ("", "")
        named = next((record for record in records if str(record.pk) == npd_id), None)
        job, tombstones = self.jobs.get(key, {}), [facts.tombstone for facts in self.deleted]
        question = self.questions.get(key)
        asked = next((record for record in records if question and record.pk == question[0]), None)
        copied = asked if question and question[1].answer == "archive" else None
        original = copied or named
        facts = ItemFacts(
            self._claim(key),
            item,
            events=(arrival(self.events[key]),) if key in self.events else (),
            queued_at=NOW,
            owner=next((record for record in records if record.monday_id == key), None),
            ignored=self.ignored.get(key),
            tombstones=tuple(stone for stone in tombstones if stone.monday_id == key or str(stone.entity_id) == npd_id),
            npd_id_record=named,
            matching=tuple(record for record in records if email and record.email == email),
            chosen_record=next((record for record in records if str(record.pk) == job.get(LINK_TO_KEY)), None),
            question=question[1] if question else None,
            asked_record=asked,
            duplicate_of=next(
                (facts for facts in self.records if facts.record is original and facts.record.monday_id), None
            ),
            new_record_id=(
                UUID(npd_id) if npd_id and not self.jobs.get(key, {}).get(AS_NEW_KEY) else UUID(int=1_000 + number)
            ),
        )
        return replace(facts, original_item=self.items.get(facts.original_item_id))


def _email(item: Item) -> str:
    value = item.reading("email").value if item.reading("email").is_known else None
    return str(value["email"]) if value else ""
