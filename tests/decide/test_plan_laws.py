"""Laws over whole plans: whatever records and items say, a pass plans what can be answered for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.choices import Cause, QueueDirection, SyncDirection
from sync.connectors.base.board_items import Item, Reading
from sync.models import QueuePause
from sync.reconcile.decide import decide
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import Lacking
from sync.reconcile.new_items import GIVING
from sync.reconcile.pass_plan import Ask, Outcome, PassFacts, Plan, RecordPlan
from sync.reconcile.settlement import changed_records
from sync.records.item_links import RECREATE_KEY, UNLINK_KEY
from tests.decide import field_builders
from tests.decide.plan_builders import NOW, World

ADDRESSES = ("ann@example.com", "bea@example.com", "cid@example.com", "")
PLANS = settings(max_examples=1_000)


def any_world(seed: int) -> World:
    """Up to four contacts and five items, alike enough to be taken for each other."""
    draw = Random(seed)

    def maybe(percent: int) -> bool:
        return draw.random() * 100 < percent

    of = field_builders.board()
    of.link.creates_records = maybe(70)
    ids = [UUID(int=number + 1) for number in range(draw.randrange(5))]
    items = {key: _any_item(draw, key, ids) for key in map(str, range(10, 10 + draw.randrange(6)))}
    free, records = [*items, "99"], list[RecordFacts]()
    for key in ids:
        item_id = free.pop(draw.randrange(len(free))) if free and maybe(60) else None
        said: dict[str, Any] = {"email": draw.choice(ADDRESSES), "role_title": draw.choice(["Boss", "Chair", ""])}
        agreed = {"email": said["email"] if maybe(60) else draw.choice(ADDRESSES), "role_title": "Boss"}
        payload = draw.choice([{}, {}, {}, {UNLINK_KEY: "as Pat wants"}, {RECREATE_KEY: True}])
        direction = draw.choice([SyncDirection.BIDIRECTIONAL] * 3 + list(SyncDirection))
        own = {"id": key, "monday_id": item_id, "sync_enabled": maybe(85), "sync_direction": direction}
        facts = field_builders.record_facts(said, of=of, agreed=agreed, record=own)
        rows = field_builders.claim(facts.record, draw.choice([Cause.SAVE, Cause.WEBHOOK, Cause.PERSON]), **payload)
        facts.ledger.remote_state = "active" if item_id else ""
        for entry in facts.ledger.base.values():
            entry["item"] = item_id
        if item_id is None or maybe(20):
            facts.ledger.base = {}
        records.append(replace(facts, claim=rows))
    owned = {one.record.monday_id for one in records}
    unmatched = [key for key in items if key not in owned and maybe(60)]
    paused = [one for one in QueueDirection if maybe(10)]
    pauses = {
        str(one): QueuePause(entity_type="contact", direction=one, paused_by="mary", why="", paused_at=NOW)
        for one in paused
    }
    return World(of, records, items, unmatched, facts={"pauses": pauses})


def _any_item(draw: Random, key: str, ids: list[UUID]) -> Item:
    said = {"name": f"Item {key}", "email": draw.choice(ADDRESSES), "role_title": draw.choice(["Boss", "Duke", ""])}
    state = draw.choice(["active"] * 6 + ["archived", "deleted"])
    bears = str(draw.choice(ids)) if ids and draw.random() < 0.5 else ""
    item = field_builders.item(said, state=state)
    npd_id = Reading("npd_id", "text", text=bears, value=bears)
    return replace(item, id=key, values={**item.values, "npd_id": npd_id})


worlds = st.integers(0, 2**32).map(any_world)


def sends(plan: RecordPlan) -> bool:
    return plan.fields.write_npd_id or any(one.send_raw is not None for one in plan.plans.values())


def outline(plan: Plan) -> dict[Any, Any]:
    """What a plan does, in values that can be compared."""
    found: dict[Any, Any] = {
        key: (
            one.ending,
            one.reason,
            one.link_to,
            one.creates,
            one.removal,
            one.unlink,
            {name: (p.send_raw, p.write_raw, p.blocked_code, bool(p.conflict)) for name, p in one.plans.items()},
        )
        for key, one in plan.records.items()
    }
    return found | {item.facts.item_id: (item.act, item.outcome, item.detail) for item in plan.items}


@pytest.mark.slow
@PLANS
@given(worlds, st.randoms(use_true_random=False))
def test_the_laws_of_every_plan(world: World, draw: Random) -> None:
    """One walk over the worlds for all of them: it is the plans that take the time."""
    facts, plan = world.decided()
    gives_no_item_twice_and_makes_nothing_of_what_is_there(world, plan)
    sends_and_writes_nothing_of_what_ended_or_is_off_gone_or_paused(world, plan)
    is_not_empty_where_it_does_anything(facts, plan)
    # Deciding twice, or in another order, is the same.
    assert outline(decide(facts)) == outline(plan)
    shuffled = list(world.records)
    draw.shuffle(shuffled)
    assert outline(replace(world, records=shuffled).plan()) == outline(plan)


def gives_no_item_twice_and_makes_nothing_of_what_is_there(world: World, plan: Plan) -> None:
    given_to = {(one.link_to or one.record.monday_id, key) for key, one in plan.records.items()}
    given_to |= {(one.facts.item_id, one.record.pk) for one in plan.items if one.act in GIVING and one.record}
    counted = Counter(item for item, _ in given_to if item)
    assert not {item for item, times in counted.items() if times > 1}, "two records would have it"
    for one in plan.records.values():
        if one.creates and one.is_open:
            bearing = [i for i in world.items.values() if i.reading("npd_id").text == str(one.id)]
            assert one.record.monday_id is None
            assert not [item for item in bearing if item.state == "active"], "it has an item already"


def sends_and_writes_nothing_of_what_ended_or_is_off_gone_or_paused(world: World, plan: Plan) -> None:
    for one in plan.records.values():
        if not one.is_open and one.item:
            assert not sends(one)
            assert not any(p.write_raw is not None for p in one.plans.values())
        if not one.record.may_sync and not one.unlink:
            assert one.outcome in (Outcome.SETTLED, Outcome.PAUSED)
        if QueueDirection.TO_MONDAY in world.facts["pauses"]:
            assert not sends(one) or not one.is_open
    if QueueDirection.TO_NPD in world.facts["pauses"]:
        assert not [item for item in plan.items if item.act in GIVING]


def is_not_empty_where_it_does_anything(facts: PassFacts, plan: Plan) -> None:
    """Whatever it would send, write, link, ask or end: who only reads the plan is told so."""
    changed = changed_records(facts, plan, ())
    for key, one in plan.records.items():
        writes = any(p.write_raw is not None or p.conflict or p.blocked_code for p in one.plans.values())
        asks = one.identity.question or one.removal or one.reason or one.log
        if sends(one) or writes or asks or one.creates or one.link_to or one.unlink:
            assert key in changed


@PLANS
@given(worlds)
def test_a_plan_of_a_settled_world_is_empty(world: World) -> None:
    """Each record that is synced as if its plan had been carried out has nothing left to do."""
    settled = []
    for one in world.records:
        item = world.items.get(one.record.monday_id or "")
        if item is None or item.state != "active" or not one.record.may_sync:
            continue
        cells = field_builders.item({key: getattr(one.record, key) for key in ("name", "email", "role_title")})
        npd_id = Reading("npd_id", "text", text=str(one.id), value=str(one.id))
        same = replace(cells, id=item.id, values={**cells.values, "npd_id": npd_id})
        facts = field_builders.record_facts(
            {"email": one.record.email, "role_title": one.record.role_title},
            of=world.of,
            agreed={"email": one.record.email, "role_title": one.record.role_title},
            record={"id": one.id, "monday_id": item.id, "sync_direction": one.record.sync_direction},
        )
        for entry in facts.ledger.base.values():
            entry["item"] = item.id
        for name, value in (field_builders.IN_SYNC | {"remote_id": item.id}).items():
            setattr(facts.ledger, name, value)
        settled.append((facts, same))
    records = [facts for facts, _ in settled]
    items = {item.id: item for _, item in settled}
    for causes in (Cause.SAVE, Cause.PERSON):
        claimed = [replace(one, claim=field_builders.claim(one.record, causes)) for one in records]
        facts, plan = replace(world, records=claimed, items=items, unmatched=[], facts={}).decided()
        assert not changed_records(facts, plan, ())
        assert not [one for one in plan.records.values() if sends(one) or one.reason or one.log]
        assert not [p for one in plan.records.values() for p in one.plans.values() if p.write_raw or p.blocked_code]


def test_what_a_rule_lacks_it_names_and_nobody_else_is_asked() -> None:
    facts = World(records=[field_builders.record_facts({"role_title": "Chair"})]).pass_facts()
    with pytest.raises(Lacking) as lacking:
        decide(facts)
    assert [want.kind for want in lacking.value.wants] == [Ask.ITEMS]
