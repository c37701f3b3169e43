"""What each rule may touch: its own part of the draft, and no record that an earlier rule has ended."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from sync.reconcile.pass_plan import Plan
from sync.reconcile.run import RULES, new_plan
from tests.decide.any_world import Drawn, worlds
from tests.decide.test_plan_laws import contents, outline

WORLDS = 1000 if os.environ.get("CI") == "true" else 75

END = frozenset({"ending", "reason"})
TOMBSTONE = frozenset({"new_state", "reason_code"})
WAIT_FOR_LOOK = frozenset({"item", "doubts", "reason", "lost_updates"})

LINK = {"link_to", "creates", "item"}
# A draft that is started anew.
ANEW = {*END, "filter_reason", "log", "sync_state", "doubts"}
REMOVAL = {"removal", "question"}

# Of the drafts of records, deleted records and unmatched items, and of the plan.
TOUCHED = {
    "apply_answers": {"answers", "ending", "sync_state"},
    "end_deleted_without_call": {*END, *TOMBSTONE, "log"},
    "filter_record": {*END, "filter_reason", "log", "sync_state"},
    "find_lost_updates": {"lost_updates", "landed", "event_faults", "sync_state"},
    "end_without_call": {*END, "sync_state"},
    "end_unmatchable": {*END},
    "take_items_of_deleted": {"item"},
    "wait_for_stale_items": {*END, "doubts"},
    "identify_records": {*ANEW, *LINK, "question"},
    "decide_removed_items": {*END, *REMOVAL, "unlink_reason", "doubts", "log", "sync_state"},
    "apply_unlinks": {*END, "removal", "link_to", "creates", "unlink_reason"},
    "set_aside_stale_reads": {*WAIT_FOR_LOOK},
    "hold_emptied_cells": {*WAIT_FOR_LOOK, "sync_state"},
    "filter_item": {*END, "creates", "filter_reason", "log", "sync_state"},
    "decide_unmatched": {*ANEW, *LINK, *REMOVAL, *WAIT_FOR_LOOK, "items"},
    "decide_deleted_records": {
        *(*END, *TOMBSTONE, "act", "approval", "question", "edits", "doubts", "log", "sync_state")
    },
    "find_possible_duplicates": {"question"},
    "take_bases": {"sync_state"},
    "fill_in_fields": {*END, "fields", "landed", "doubts"},
    "throttle_write_loops": {"fields", "log"},
    "request_approvals": {"new_requests", "open_requests", "outdated_requests", "fields", "log"},
    "keep_lost_updates": {"lost_updates", "log"},
    "end_uncreatable": {*END},
}

# A request to unlink overrides what was decided about a removed item, and an item may take over from one.
REOPENING = {"apply_unlinks", "decide_unmatched"}

# What our writes overwrote, and which of them landed, holds however the record's pass ends.
OF_ENDED = {"find_lost_updates": TOUCHED["find_lost_updates"]}
LATER_OF_ENDED = {"lost_updates"}


def test_each_rule_has_its_part() -> None:
    assert [rule.__name__ for rule in RULES] == list(TOUCHED)


@pytest.mark.slow
@settings(max_examples=WORLDS)
@given(world=worlds)
def test_a_rule_touches_only_its_part_of_the_draft(world: Drawn) -> None:
    facts = world.pass_facts()
    plan = new_plan(facts)
    before = dict(parts(plan))
    for rule in RULES:
        ended = {key for key, entry in drafts(plan) if not entry.is_open}
        rule(facts, plan)
        after = dict(parts(plan))
        touched = {place for place, value in after.items() if before[place] != value}
        assert after.keys() == before.keys()
        assert {name for _, name in touched} <= TOUCHED[rule.__name__]
        if rule.__name__ not in REOPENING:
            assert {name for key, name in touched if key in ended} <= OF_ENDED.get(rule.__name__, LATER_OF_ENDED)
        before = after


def drafts(plan: Plan) -> list[tuple[Any, Any]]:
    return [*plan.records.items(), *plan.deleted.items()]


def parts(plan: Plan) -> Iterator[tuple[tuple[Any, str], Any]]:
    """The draft's parts with their content, by their record, if they are of one, and their name."""
    for name, value in vars(plan).items():
        yield ("", name), [*value] if name in ("records", "deleted") else outline(value)
    for key, entry in drafts(plan):
        for name, value in vars(entry).items():
            if name in ("facts", "record"):
                yield (key, name), id(value)
            else:
                yield (key, name), contents(value) if name == "sync_state" else outline(value)
