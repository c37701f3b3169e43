"""Worlds for whole plans: records, items and jobs by hand, and what would be answered to whatever a rule asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sync.choices import Cause, QueueDirection, RemovedItemPolicy
from sync.connectors.base.board_items import BatchItems, Item
from sync.models import SyncQueue
from sync.outbox.claim import Claim
from sync.reconcile.decide import RULES, Undecided, decide
from sync.reconcile.facts import (
    AnswerFacts,
    ClaimedFacts,
    IdentityFacts,
    ItemFacts,
    LostCreates,
    MatchExclusions,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    Settings,
)
from sync.reconcile.field_values import BoardContext, Want, WantKind, npd_id_of
from sync.reconcile.pass_plan import Ask, PassFacts, Plan
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from tests.decide.builders import NOW
from tests.decide.field_builders import board

FEW = ApprovalLimit(10, None, 100)
"""Ten deletes or clears an hour go without a person."""


@dataclass
class World:
    """What stands on both sides: records as a pass claims them, and items, of which some have no record.

    `answers` says what else is asked in another way than the plain one.
    """

    of: BoardContext = field(default_factory=board)
    records: Sequence[RecordFacts] = ()
    items: Mapping[str, Item] = field(default_factory=dict)
    unmatched: Sequence[str] = ()
    answers: Mapping[Ask, Callable[[PassFacts, Any], Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def pass_facts(self) -> PassFacts:
        """What is so before anything was asked for."""
        jobs = [Claim(None, key, [_job(None, key)]) for key in self.unmatched]
        claimed = ClaimedFacts(records=tuple(self.records), unmatched=tuple(jobs))
        return PassFacts(self.of, claimed, NOW, Settings(), **self.facts)

    def plan(self) -> Plan:
        """What a pass does, once all that it lacks was told."""
        return self.decided()[1]

    def decided(self) -> tuple[PassFacts, Plan]:
        """The plan, and all that was told for it."""
        facts, plan, rules = self.pass_facts(), None, RULES
        while True:
            try:
                return facts, decide(facts, plan, rules)
            except Undecided as lacking:
                plan, rules = lacking.plan, lacking.rules
                facts = self.told(facts, lacking.wants)

    def told(self, facts: PassFacts, wants: Collection[Want]) -> PassFacts:
        """What is so once this was asked for."""
        known = {want: self._answer(facts, want) for want in wants if isinstance(want.kind, Ask)}
        related = [want for want in wants if isinstance(want.kind, WantKind)]
        told = {want: True if want.kind is WantKind.BOARD else () for want in related}
        found = replace(facts.related, known={**facts.related.known, **told})
        edits = replace(
            facts.edits, history={**facts.edits.history, **{w.value: () for w in related if w.kind is WantKind.EDITS}}
        )
        return replace(facts, known={**facts.known, **known}, related=found, edits=edits)

    def _answer(self, facts: PassFacts, want: Want) -> Any:
        kind = Ask(want.kind)
        return self.answers[kind](facts, want.value) if kind in self.answers else _PLAIN[kind](self, want.value)

    def _found(self, asked: Any) -> BatchItems:
        linked, npd_ids, keys, _ = asked
        active = [item for item in self.items.values() if item.state == "active"]
        return BatchItems(
            linked={key: self.items[key] for key in linked if key in self.items},
            by_npd_id=[item for item in active if npd_id_of(self.of, item) in npd_ids],
            by_match=[item for item in active if _email(item) in keys],
        )

    def _identity(self, asked: Any) -> IdentityFacts:
        _, __, ___, npd_ids = asked
        owners = {one.record.monday_id: one.id for one in self.records if one.record.monday_id}
        existing = frozenset(one.id for one in self.records if one.id in npd_ids)
        return IdentityFacts(owners, existing, MatchExclusions())

    def _unmatched(self, _: Any) -> tuple[ItemFacts, ...]:
        return tuple(self._item_facts(key, number) for number, key in enumerate(self.unmatched))

    def _item_facts(self, key: str, number: int) -> ItemFacts:
        item, records = self.items.get(key), [one.record for one in self.records]
        npd_id, email = (npd_id_of(self.of, item), _email(item)) if item else ("", "")
        return ItemFacts(
            Claim(None, key, [_job(None, key)]),
            item,
            known_since=NOW,
            owner=next((one for one in records if one.monday_id == key), None),
            named=next((one for one in records if str(one.pk) == npd_id), None),
            matching=tuple(one for one in records if email and one.email == email),
            new_id=UUID(int=1_000 + number),
        )


def _email(item: Item) -> str:
    value = item.reading("email").value
    return str(value["email"]) if value else ""


def _job(entity_id: UUID | None, item_id: str | None, cause: Cause = Cause.WEBHOOK) -> SyncQueue:
    return SyncQueue(
        id=1, entity_id=entity_id, remote_id=item_id, causes=int(cause), payload={}, direction=QueueDirection.TO_NPD
    )


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
    Ask.COPIES: lambda *_: {},
    Ask.COPY_HISTORY: lambda *_: ((), frozenset[str]()),
    Ask.CREATOR: lambda *_: "",
    Ask.WRITER: lambda *_: "",
}
