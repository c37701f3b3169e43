"""Which plans are empty: only those of a record that is as its last pass left it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from conflicts.reports import ConflictKind, FieldSelection, OpenConflict
from sync.choices import SyncDirection
from sync.models import WebhookEvent, WriteLoop
from sync.monday.board_items import Item
from sync.operations.empty_plans import changed_records
from sync.operations.verification import differing_fields
from sync.reconcile.conflict_reports import conflict_reports
from sync.reconcile.facts import RecordFacts
from sync.reconcile.settle.record import complete_sync_state
from tests.decide.builders import IN_SYNC, ITEM, board, history, intent, item, mapping, record_facts, seen
from tests.decide.plan_builders import NOW, World
from tests.support.words import said

ROLE = "role_title"
CONFLICT = OpenConflict(uuid4(), ConflictKind.FIELDS, ITEM, (ROLE,))
ASKED = {"status": "conflict", "conflicts": {"fields": [ROLE]}, "seen": seen(("Chair", -129_600))}
EVENT = WebhookEvent(pk=1, body={}, received_at=NOW)
CHAIR = item(role_title="Chair")
REFUSED = {ROLE: {"reason": "no", "local": {}, "column": ROLE, "version": 1}}


def record(local: Mapping[str, Any] | None = None, *, status: str = "synced", **state: Any) -> RecordFacts:
    """A record as its last pass left it, with these changes."""
    return record_facts(local, causes=(), record={"sync_status": status}, sync_state=IN_SYNC | state)


def with_history(facts: RecordFacts, **past: Any) -> RecordFacts:
    return replace(facts, history=history(**past))


def based(**differs: Any) -> RecordFacts:
    """A record whose role has another base."""
    base = record().sync_state.base
    return record(base=base | {ROLE: base[ROLE] | differs})


def changed(facts: RecordFacts, shown: Item, jobs: Collection[Any] = (), **world: Any) -> bool:
    """Whether a pass would do or say anything."""
    sides = World(records=[facts], items={ITEM: shown}, **world)
    return bool(changed_records(*sides.decided(), jobs))


@pytest.mark.parametrize(
    ("case", "facts", "shown", "expected"),
    [
        ("both sides stand", record(), item(), False),
        ("Monday left its half", record(), CHAIR, True),
        ("both left theirs, for the same", record({ROLE: "Chair"}), CHAIR, True),
        ("a base is wrong in NPD's half", based(local={ROLE: "Other"}), item(), True),
        ("a base is of another item", based(item="1"), item(), True),
        ("asked about, as before", replace(record({ROLE: "Duke"}, **ASKED), conflicts=(CONFLICT,)), CHAIR, True),
        ("in conflict, and nobody is asked", record({ROLE: "Duke"}, **ASKED), CHAIR, True),
        ("asked, though nothing is in conflict", replace(record(), conflicts=(CONFLICT,)), item(), True),
        ("an open intent", with_history(record(), intents=[intent(ROLE, ROLE, {ROLE: "Boss"})]), item(), True),
        ("an event that nobody checked", with_history(record(), events=[EVENT]), item(), True),
        ("a failed job", replace(record(), has_failed_job=True), item(), True),
        ("it says pending", record(status="pending"), item(), True),
        ("a note", record(note=said("It waits.")), item(), True),
        ("a field was blocked", record(blocked_fields=REFUSED), item(), True),
        ("Monday altered a value", record(altered={ROLE: {"reason": "Monday made something of it."}}), item(), True),
        ("the sync state alone knows of a conflict", record(conflicts={"fields": [ROLE]}), item(), True),
        ("an error is noted", record(error_count=1), item(), True),
        ("it was gone", record(remote_state="archived"), item(), True),
        ("something was seen long ago", record(seen=seen(("x", -200_000_000))), item(), False),
    ],
)
def test_a_settled_plan_is_empty(case: str, facts: RecordFacts, shown: Item, expected: bool) -> None:
    assert changed(facts, shown) is expected, case


@pytest.mark.parametrize(
    ("case", "facts", "shown", "expected"),
    [
        ("both sides stand", record(), item(), []),
        ("Monday left its half", record(), CHAIR, [ROLE]),
        ("both left theirs, for the same", record({ROLE: "Chair"}), CHAIR, [ROLE]),
        ("they agree, and never did before", record(base={}), item(), []),
        ("it was blocked before", record(blocked_fields=REFUSED), CHAIR, []),
        ("the field flows nowhere", record(), item(notes="Hates tea"), []),
    ],
)
def test_what_differs_is_told_by_field(case: str, facts: RecordFacts, shown: Item, expected: list[str]) -> None:
    on = board(mapping("notes", direction=SyncDirection.NONE))
    [plan] = World(on, records=[facts], items={ITEM: shown}).plan().records.values()
    assert [entry["key"] for entry in differing_fields(plan) or ()] == expected, case


def test_what_monday_made_of_a_value_is_open_only_while_its_field_is_synced() -> None:
    altered = record(altered={ROLE: {"reason": "Monday made something of it."}})
    assert not changed(altered, item(), context=board(mapping(direction=SyncDirection.NONE)))


def test_a_conflict_on_a_field_that_is_synced_no_longer_closes_with_that_reason() -> None:
    asked = replace(record({ROLE: "Duke"}, **ASKED), conflicts=(CONFLICT,))
    sides = World(board(mapping(direction=SyncDirection.NONE)), records=[asked], items={ITEM: CHAIR})
    [plan] = sides.plan().records.values()
    [report] = conflict_reports(plan)
    assert (report.fields, report.closing_reason) == ((), "Its direction is “Sync off”.")


def test_a_record_made_of_an_item_gets_a_pass_once_another_has_its_key() -> None:
    made, other = record(made_from_item=True), record_facts(record={"id": uuid4(), "sync_status": "pending"}, causes=())
    assert not changed(made, item())
    sides = World(records=[made, other], items={ITEM: item()}, untouched=frozenset({made.id}))
    assert made.id in changed_records(*sides.decided())


def test_what_a_waiting_job_stands_for_is_no_reason_for_another() -> None:
    facts = with_history(record(status="pending"), events=[EVENT])
    assert not changed(facts, item(), jobs=[facts.id])
    assert changed(facts, CHAIR, jobs=[facts.id])


def test_a_choice_waits_to_be_carried_out() -> None:
    chosen = replace(CONFLICT, resolutions={ROLE: FieldSelection("npd")})
    assert changed(replace(record({ROLE: "Duke"}, **ASKED), conflicts=(chosen,)), CHAIR)


def test_a_blocked_field_stays_blocked_until_its_value_or_its_reason_changes() -> None:
    first = World(records=[record()], items={ITEM: item(unknown=[ROLE])})
    [plan] = first.plan().records.values()
    complete_sync_state(plan, plan.facts.sync_state, NOW, ())
    blocked = plan.sync_state.blocked_fields
    assert blocked.keys() == {ROLE}
    again = record(status="pending", sync_status="pending", blocked_fields=blocked)
    assert not changed(again, item(unknown=[ROLE]))
    assert changed(again, item())


def test_a_loop_is_news_only_where_it_ends_or_goes_on() -> None:
    times = [{"at": (NOW - timedelta(hours=3)).isoformat(), "write": ""}]
    for hours, expected in ((1, False), (-2, True)):
        row = WriteLoop(key=ROLE, times=times, throttled_until=NOW + timedelta(hours=hours))
        looping = with_history(record(), loops={ROLE: row})
        assert changed(looping, item()) is expected
