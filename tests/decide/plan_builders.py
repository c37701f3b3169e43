"""Worlds for whole plans: records, items and jobs by hand, and what would be answered to whatever a rule asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sync.choices import Cause, QueueDirection, RemovedItemPolicy
from sync.models import IgnoredItem, SyncedModel, SyncQueue, Tombstone
from sync.monday.board_items import BatchItems, Item
from sync.outbox.claim import Claim
from sync.reconcile.decide import RULES, Undecided, decide
from sync.reconcile.facts import (
    AnswerFacts,
    ChangeEvent,
    ClaimedFacts,
    DeletedFacts,
    IdentityFacts,
    ItemEvents,
    ItemFacts,
    LostCreates,
    MatchExclusions,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    Settings,
)
from sync.reconcile.field_values import BoardContext, Want, WantKind, is_active_on, npd_id_of
from sync.reconcile.identity import AnswerKind, AnswerPlan
from sync.reconcile.pass_plan import Ask, PassFacts, Plan, PlanRule
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from sync.records.unmatched_items import LINK_TO
from tests.decide.builders import NOW, plain
from tests.decide.field_builders import board

FEW = ApprovalLimit(10, None, 100)
"""Ten deletes or clears an hour go without a person."""


@dataclass
class World:
    """What stands on both sides: records as a pass claims them, and items, of which some have no record.

    `answers` says what else is asked in another way than the plain one. `related` are the organizations that are there,
    `edits` NPD's histories of records and `heard` what Monday told of them; of items without a record `jobs` are what
    their jobs say, `events` what came.
    """

    of: BoardContext = field(default_factory=board)
    records: Sequence[RecordFacts] = ()
    items: Mapping[str, Item] = field(default_factory=dict)
    unmatched: Sequence[str] = ()
    answers: Mapping[Ask, Callable[[PassFacts, Any], Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    deleted: Sequence[DeletedFacts] = ()
    tombstones: Sequence[Tombstone] = ()
    related: Sequence[SyncedModel] = ()
    edits: Mapping[UUID, Sequence[Any]] = field(default_factory=dict)
    heard: Mapping[UUID, Sequence[ChangeEvent]] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ignored: Mapping[str, IgnoredItem] = field(default_factory=dict)
    events: Mapping[str, ItemEvents] = field(default_factory=dict)
    exclusions: MatchExclusions = field(default_factory=MatchExclusions)

    def pass_facts(self) -> PassFacts:
        """What is so before anything was asked for."""
        jobs = tuple(self._claim(key) for key in self.unmatched)
        claimed = ClaimedFacts(tuple(self.records), tuple(self.deleted), unmatched=jobs)
        return PassFacts(self.of, claimed, NOW, Settings(), **self.facts)

    def plan(self) -> Plan:
        """What a pass does, once all that it lacks was told."""
        return self.decided()[1]

    def decided(self) -> tuple[PassFacts, Plan]:
        """The plan, and all that was told for it: people's answers are carried out before anything else is read."""
        facts, plan = self.read_on(self.pass_facts(), None, RULES[:1])
        return self.settled(plan.answers).read_on(facts, plan, RULES[1:])

    def read_on(self, facts: PassFacts, plan: Plan | None, rules: Sequence[PlanRule]) -> tuple[PassFacts, Plan]:
        """What these rules make of the plan, once they were told all that they lack."""
        while True:
            try:
                return facts, decide(facts, plan, rules)
            except Undecided as lacking:
                plan, rules = lacking.plan, lacking.rules
                facts = self.told(facts, lacking.wants)

    def settled(self, answers: Sequence[AnswerPlan]) -> World:
        """The world once these answers are carried out, which is done before anything else is read."""
        records, tombstones = {one.id: one for one in self.records}, list(self.tombstones)
        for one in answers:
            answer, done = one.answer, bool(one.done) and one.answer.record_id is not None
            made = records.pop(answer.made_id) if done and answer.made_id else None
            item_id = answer.item_id if made is None else made.record.monday_id
            if made is not None:
                tombstones.append(
                    plain(Tombstone, entity_type="contact", entity_id=made.id, monday_id=item_id, deleted_at=NOW)
                )
            if done and answer.record_id and (answer.kind is AnswerKind.LINK or one.hands_over):
                given = copy(records[answer.record_id].record)
                given.monday_id = item_id
                records[answer.record_id] = replace(records[answer.record_id], record=given)
        return replace(self, records=tuple(records.values()), tombstones=tombstones)

    def told(self, facts: PassFacts, wants: Collection[Want]) -> PassFacts:
        """What is so once this was asked for."""
        known = {want: self._answer(facts, want) for want in wants if isinstance(want.kind, Ask)}
        related = {want: self._found_related(want) for want in wants if isinstance(want.kind, WantKind)}
        edited = {want.value: self.edits.get(want.value, ()) for want in related if want.kind is WantKind.EDITS}
        found = replace(facts.related, known={**facts.related.known, **related})
        heard = {key: self.heard.get(key, ()) for key in edited}
        changes = {**facts.edits.changes, **heard}
        edits = replace(facts.edits, history={**facts.edits.history, **edited}, changes=changes)
        return replace(facts, known={**facts.known, **known}, related=found, edits=edits)

    def _found_related(self, want: Want) -> Any:
        """The organizations of this id, item or name; their type has a board, and none of them lost its item."""
        names = {WantKind.ID: "pk", WantKind.ITEM: "monday_id", WantKind.NAME: "name"}
        if want.kind in names:
            return tuple(one for one in self.related if str(getattr(one, names[want.kind])) == want.value)
        return want.kind is WantKind.BOARD

    def _answer(self, facts: PassFacts, want: Want) -> Any:
        kind = Ask(want.kind)
        return self.answers[kind](facts, want.value) if kind in self.answers else _PLAIN[kind](self, want.value)

    def _found(self, asked: Any) -> BatchItems:
        linked, npd_ids, keys, _ = asked
        active = [item for item in self.items.values() if is_active_on(self.of, item)]
        return BatchItems(
            linked={key: self.items[key] for key in linked if key in self.items},
            by_npd_id=[item for item in active if npd_id_of(self.of, item) in npd_ids],
            by_match=[item for item in active if _email(item) in keys],
        )

    def _identity(self, asked: Any) -> IdentityFacts:
        _, __, ___, npd_ids = asked
        owners = {one.record.monday_id: one.id for one in self.records if one.record.monday_id}
        existing = frozenset(one.id for one in self.records if one.id in npd_ids)
        return IdentityFacts(owners, existing, self.exclusions)

    def _unmatched(self, _: Any) -> tuple[ItemFacts, ...]:
        return tuple(self._item_facts(key, number) for number, key in enumerate(self.unmatched))

    def _copies(self, asked: Sequence[str]) -> dict[str, tuple[Item, str]]:
        owners = {one.record.monday_id: str(one.record) for one in self.records}
        return {key: (self.items[key], owners.get(key, "")) for key in asked if key in self.items}

    def _claim(self, key: str) -> Claim:
        payload, direction = dict(self.jobs.get(key, {})), QueueDirection.TO_NPD
        job = SyncQueue(id=1, remote_id=key, causes=int(Cause.WEBHOOK), payload=payload, direction=direction)
        return Claim(None, key, [job])

    def _with_own_item(self, facts: RecordFacts) -> RecordFacts:
        return replace(facts, item=self.items.get(facts.record.monday_id or ""))

    def _item_facts(self, key: str, number: int) -> ItemFacts:
        item, records = self.items.get(key), sorted((one.record for one in self.records), key=lambda one: one.pk)
        npd_id, email = (npd_id_of(self.of, item), _email(item)) if item else ("", "")
        named = next((one for one in records if str(one.pk) == npd_id), None)
        chosen, tombstones = self.jobs.get(key, {}).get(LINK_TO), [one.tombstone for one in self.deleted]
        tombstones += self.tombstones
        return ItemFacts(
            self._claim(key),
            item,
            self.events.get(key, ItemEvents()),
            known_since=NOW,
            owner=next((one for one in records if one.monday_id == key), None),
            ignored=self.ignored.get(key),
            tombstones=tuple(one for one in tombstones if one.monday_id == key or str(one.entity_id) == npd_id),
            named=named,
            matching=tuple(one for one in records if email and one.email == email),
            chosen=next((one for one in records if str(one.pk) == chosen), None),
            first=next((self._with_own_item(one) for one in self.records if one.record is named), None),
            new_id=UUID(int=1_000 + number),
        )


def _email(item: Item) -> str:
    value = item.reading("email").value if item.reading("email").known else None
    return str(value["email"]) if value else ""


_PLAIN: Mapping[Ask, Callable[[World, Any], Any]] = {
    Ask.ANSWERS: lambda *_: AnswerFacts(),
    Ask.EVENTS_AND_WRITES: lambda *_: RecordHistory(),
    Ask.ITEMS: World._found,
    Ask.COLUMNS: lambda *_: None,
    Ask.IDENTITY: World._identity,
    Ask.UNEDITED: lambda *_: None,
    Ask.ITEM: lambda world, key: world.items.get(key),
    Ask.ITEM_AGAIN: lambda world, key: world.items.get(key),
    Ask.LOST_CREATES: lambda *_: LostCreates(),
    Ask.REMOVAL_POLICY: lambda *_: RemovedItemPolicy.ASK,
    Ask.REMOVAL: lambda world, asked: RemovalFacts(next(one for one in world.records if one.id == asked[0]), asked[1]),
    Ask.OBSTACLES: lambda *_: ("", ""),
    Ask.APPROVALS: lambda *_: ApprovalFacts(),
    Ask.LIMIT: lambda world, kinds: ApprovalFacts(counted=dict.fromkeys(kinds, frozenset()), limit=FEW),
    Ask.SETTLED_WRITES: lambda *_: None,
    Ask.RECENT_EVENTS: lambda *_: ((), ""),
    Ask.ENDED_CREATES: lambda *_: (),
    Ask.CHANGES: lambda *_: (),
    Ask.MAKER: lambda *_: ("", False, ""),
    Ask.RELATED: lambda *_: True,
    Ask.UNMATCHED: World._unmatched,
    Ask.DELETION_POLICY: lambda *_: ("archive", {}),
    Ask.BEARER: lambda *_: None,
    Ask.EDITORS: lambda *_: ((), {}),
    Ask.SAME_KEY: lambda *_: (),
    Ask.UNTOUCHED: lambda *_: None,
    Ask.LOOPS: lambda *_: {},
    Ask.LAST_WRITES: lambda *_: None,
    Ask.PEOPLE: lambda *_: {},
    Ask.COPIES: World._copies,
    Ask.COPY_HISTORY: lambda *_: ((), frozenset[str]()),
    Ask.CREATOR: lambda *_: ("", frozenset[str]()),
    Ask.WRITER: lambda *_: "",
}
