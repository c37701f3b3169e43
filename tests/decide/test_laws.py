"""Laws over the plans of whole records: whatever both sides say, and whatever is open, nobody's value is lost."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.choices import Cause, SyncDirection
from sync.kernel.conflict_store import KIND_FIELDS, KIND_LOST_UPDATE
from sync.merge import Action, FieldSelection, Rule
from sync.reconcile.field_plan import FieldFacts, FieldPlan, decide_fields
from sync.reconcile.field_values import BoardContext
from tests.decide.field_builders import board, chosen, field_facts, intent
from tests.decide.test_rules import NOON, TOLD, change, edits

KEYS = {
    "name": ("Ann", "Bea", "x" * 300, ""),
    "email": ("ann@example.com", "bea@example.com", "no address", ""),
    "role_title": ("Boss", "Chair", "x" * 300, ""),
    "notes": ("Likes tea", "Likes coffee", "Likes\nboth", ""),
}
"""Of each field what either side may say; some of it the other side doesn't take."""
THOUSAND = settings(max_examples=1_000)

RULES = [rule.value for rule in Rule]


def world(seed: int) -> FieldFacts:
    """A contact and its item, or none yet, with whatever may be known of them.

    Hypothesis gives the seed alone: forty draws of its own would take it ten times as long.
    """
    draw = Random(seed)

    def maybe(percent: int) -> bool:
        return draw.random() * 100 < percent

    def said() -> dict[str, str]:
        return {key: draw.choice(texts) for key, texts in KEYS.items() if maybe(60)}

    def about_one_field() -> tuple[str, str]:
        key = draw.choice(sorted(KEYS))
        return key, draw.choice(KEYS[key])

    of, creates = any_board(draw), maybe(20)
    conflicts, intents = [], []
    if maybe(40):
        key, text = about_one_field()
        npd, monday = draw.choice(KEYS[key]), draw.choice(KEYS[key])
        choose = draw.choice(["npd", "monday", "base", "custom"])
        kind = draw.choice([KIND_FIELDS, KIND_LOST_UPDATE])
        conflicts.append(chosen(key, FieldSelection(choose, text, npd or None, monday or None), kind))
    if maybe(40) and not creates:
        key, text = about_one_field()
        intents.append(intent(key, key, {key: text}))
    changes = [
        change(draw.choice([-600, -3, 3, 600]), draw.choice(KEYS["role_title"])) for _ in range(draw.randrange(3))
    ]
    history = sorted(changes, key=lambda one: one.pgh_created_at, reverse=True)
    heard = [one for one in (TOLD, replace(TOLD, value="Chair", at=NOON + timedelta(seconds=60))) if maybe(50)]
    given = field_facts(
        said(),
        said(),
        of=of,
        agreed=said(),
        unknown=[key for key in ("email", "role_title") if maybe(10)],
        without_base=[key for key in KEYS if maybe(20)],
        creates=creates,
        record={"sync_direction": draw.choice([BOTH, BOTH, *SyncDirection]), "sync_enabled": maybe(80)},
        causes=[draw.choice([Cause.SAVE, Cause.WEBHOOK, Cause.PERSON])],
        conflicts=tuple(conflicts),
        intents=tuple(intents),
        known={"edits": edits(*history, told=tuple(heard))},
    )
    ledger = given.facts.ledger
    for key in KEYS:
        entry = {"reason": "No.", "side": "monday", "code": "rejected", "column": key, "version": 1}
        if maybe(10):
            ledger.blocked_fields[key] = entry | {"local": {key: getattr(given.facts.record, key)}}
        if maybe(10) and key in ledger.base:
            ledger.base[key]["version"] = 0
    return given


BOTH = SyncDirection.BIDIRECTIONAL


def any_board(draw: Random) -> BoardContext:
    """A board whose fields differ in what a person may set."""
    fields: dict[str, dict[str, Any]] = {}
    for key in KEYS:
        differs = {
            "direction": draw.choice([BOTH, BOTH, *SyncDirection]),
            "rule": draw.choice(RULES),
            "first_match": draw.choice(RULES),
            "required": draw.random() < 0.3,
            "version": 2,
            "problem": "Its column is gone.",
        }
        rare = {"version", "problem"}
        fields[key] = {name: value for name, value in differs.items() if draw.random() < (0.1 if name in rare else 0.5)}
    return board(fields)


seeds = st.integers(0, 2**32)
worlds = seeds.map(world)


def values(plan: FieldPlan) -> tuple[Any, Any]:
    """What both sides say of the field, as they are compared; an item that isn't there says nothing."""
    return plan.convert.local(plan.local_raw), plan.convert.remote(plan.remote_raw)


def written(plan: FieldPlan) -> Iterator[Any]:
    """What either side is to say."""
    for raw in (plan.send_raw, plan.write_raw):
        if raw is not None:
            yield plan.convert.local(raw)


def agreed_before(plan: FieldPlan) -> tuple[Any, Any]:
    """The values that are nobody's news: both halves of the base, and what a write of ours has left."""
    base = plan.base
    return (plan.convert.local(base["local"]), plan.convert.remote(base["remote"])) if base else (None, None)


def is_blocked(plan: FieldPlan) -> bool:
    return bool(plan.blocked_reason) or plan.decision.action in (Action.HOLD, Action.UNDECIDED)


@THOUSAND
@given(worlds)
def test_nobodys_value_is_nowhere(given: FieldFacts) -> None:
    """What a side says that both had not agreed on stays where it stands, goes to the other, is asked about, or is
    said to be overridden, which puts it into the history.
    """
    for key, plan in decide_fields(given).plans.items():
        if is_blocked(plan):
            assert (plan.send_raw, plan.write_raw, plan.conflict) == (None, None, None), key
            continue
        (local, remote), base = values(plan), agreed_before(plan)
        if plan.conflict is not None:
            shown = [plan.convert.display(value) or None for value in (local, remote)]
            assert [plan.conflict.npd, plan.conflict.monday] == shown, key
        stands = {local if plan.write_raw is None else None, remote if plan.send_raw is None else None}
        replaced = {local if local != base[0] else None, remote if remote != base[1] else None} - stands
        assert not replaced - {*written(plan), None} or plan.decision.overrides, key


@THOUSAND
@given(worlds)
def test_nothing_is_planned_twice(given: FieldFacts) -> None:
    """Of sending, writing and asking at most one, but where the two sides get one value that neither has."""
    for key, plan in decide_fields(given).plans.items():
        planned = [plan.send_raw is not None, plan.write_raw is not None, plan.conflict is not None]
        if plan.decision.action is Action.BOTH:
            assert not planned[2], key
            assert planned[0] == planned[1], key
        else:
            assert sum(planned) <= 1, key
        if plan.blocked_reason:
            assert not any(planned), key


@THOUSAND
@given(worlds)
def test_deciding_twice_is_the_same_and_changes_nothing_that_is_known(given: FieldFacts) -> None:
    before = copy.deepcopy((given.facts.ledger.base, given.facts.ledger.blocked_fields))
    first = decide_fields(given)
    assert decide_fields(given) == first
    assert (given.facts.ledger.base, given.facts.ledger.blocked_fields) == before


@THOUSAND
@given(seeds)
def test_of_a_settled_world_nothing_is_planned(seed: int) -> None:
    """Both sides say what they last agreed on, whatever that was, and nothing is open."""
    draw = Random(seed)
    said, of = {key: draw.choice(texts) for key, texts in KEYS.items()}, any_board(draw)
    found = decide_fields(
        field_facts(said, said, agreed=said, of=of, record={"sync_direction": draw.choice([*SyncDirection])})
    )
    assert (found.log, dict(found.confirmed_intents), found.write_npd_id) == ((), {}, False)
    for mapping in of.mappings:
        plan = found.plans[mapping.key]
        assert (plan.send_raw, plan.write_raw, plan.conflict) == (None, None, None), mapping.key
        assert plan.decision.action in (Action.NOTHING, Action.UNDECIDED), mapping.key
        assert bool(mapping.problem) or not plan.blocked_reason, mapping.key
