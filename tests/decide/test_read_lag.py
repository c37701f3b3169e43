"""Reads that lag behind what Monday has reported, and behind our writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sync.choices import Cause
from sync.models import Intent, WebhookEvent
from sync.monday.board_events import EventKind
from sync.monday.board_items import BatchItems, Reading
from sync.reconcile.board_filter import leave_out_after_write
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import fill_in_fields
from sync.reconcile.outcomes import DONE
from sync.reconcile.read_lag import set_aside, set_aside_stale_reads, wait_for_unmatched_item
from sync.reconcile.run import RULES, decide, new_plan
from sync.reconcile.settle.record import complete_sync_state, sync_status
from tests.decide import builders
from tests.decide.builders import (
    ITEM,
    NOW,
    TOKEN_USER,
    after,
    base,
    changed,
    contact,
    draft,
    edit,
    history,
    item,
    roles,
    seen,
    wrote,
)

OURS = {"user_id": TOKEN_USER}
LATER = edit("New", "Boss", seconds=-5)


def test_a_cell_that_is_set_aside_decides_nothing_and_makes_its_record_pending() -> None:
    case = roles("Ours", "Theirs")
    board = case.of_pass.board
    plan = after(set_aside, board, case.plan, {"role_title": "It lags."}, look_in_seconds=7)
    plan = after(set_aside, board, plan, {"notes": "Nobody emptied it."}, look_in_seconds=60)
    plan = changed(after(fill_in_fields, case.of_pass, plan), ending=DONE)
    complete_sync_state(plan, case.facts.sync_state, NOW, ())
    assert plan.sync_state.note in plan.doubts.set_aside.values()
    assert (plan.doubts.look_in_seconds, plan.sync_state.blocked_fields) == (7, {})
    undecided = {key for key, field in plan.fields.items() if field.decision.action == "undecided"}
    assert undecided == {"role_title", "notes"}
    assert plan.sync_state.base == case.facts.sync_state.base
    assert sync_status(board, plan, has_open_work=False) == "pending"


def look(
    shown: str,
    *,
    events: list[WebhookEvent] | None = None,
    writes: list[Intent] | None = None,
    agreed: str | None = "Boss",
    **state: Any,
) -> float:
    """Return when the item is read again, if a read that shows this role is stale; else 0."""
    record = contact()
    sync_state = {"base": {"role_title": base(agreed)}} if agreed else {}
    before = history(events=events or [], intents=writes or [])
    read = draft(record, item=item(record, role_title=shown), sync_state=sync_state | state, history=before)
    plan = after(set_aside_stale_reads, PassFacts(builders.board(), NOW), read)
    assert bool(plan.doubts.look_in_seconds) is ("role_title" in plan.doubts.set_aside)
    return plan.doubts.look_in_seconds or 0


@pytest.mark.parametrize(
    ("writes", "shown", "seconds"),
    [
        pytest.param([wrote("Boss", seconds=-2)], "Old", 1.5, id="it shows what we replaced"),
        pytest.param([wrote("Boss")], "Old", 1, id="it shows it a minute later"),
        pytest.param([wrote("Boss", seconds=-602)], "Old", 0, id="it shows it after ten minutes"),
        pytest.param([wrote("Boss")], "Boss", 0, id="it shows what we wrote"),
        pytest.param([wrote("Boss")], "Theirs", 0, id="it shows an edit"),
        pytest.param([wrote("Old")], "Old", 0, id="we wrote what stood there"),
        pytest.param([wrote("First"), wrote("Boss", "First", seconds=-30)], "Old", 31, id="it is two writes behind"),
        pytest.param([wrote("Boss"), wrote("Old", "Boss", seconds=-30)], "Old", 0, id="we put it back since"),
        pytest.param([wrote("Boss", entry={"column": "old"})], "Old", 0, id="it was another column"),
        pytest.param([wrote("Boss", item_id="8")], "Old", 0, id="it was another item"),
        pytest.param([wrote("Boss", answer={"role_title": "Old"})], "Old", 0, id="the answer had shown no effect"),
        pytest.param([], "Old", 0, id="nothing was written of late"),
    ],
)
def test_a_read_of_what_we_just_replaced_is_stale(writes: list[Intent], shown: str, seconds: float) -> None:
    assert look(shown, writes=writes) == seconds


@pytest.mark.parametrize(
    ("case", "more"),
    [
        ("it is agreed on since", {"agreed": "Old"}),
        ("a pass saw it since", {"seen": seen(("Old", -30))}),
        ("somebody is said to have put it back", {"events": [edit("Old", seconds=-30)]}),
    ],
)
def test_a_replaced_value_back_is_not_stale(case: str, more: dict[str, Any]) -> None:
    assert not look("Old", writes=[wrote("Boss")], **more), case


def test_a_reported_loss_is_no_read() -> None:
    """A pass that reported the value read it in an event, so the item may show it because its replica lags behind."""
    assert look("Old", writes=[wrote("Boss")], seen=seen(losses=[("Old", -30, uuid4())]))


@pytest.mark.parametrize(
    ("shown", "events", "seconds"),
    [
        pytest.param("Boss", [LATER], 2, id="the base, five seconds after the edit"),
        pytest.param("Boss", [edit("New", "Boss", seconds=-1, is_new=False)], 1.5, id="a checked event counts too"),
        pytest.param("Boss", [edit("New", "Boss", seconds=-599)], 1, id="almost ten minutes"),
        pytest.param("Boss", [edit("New", "Boss", seconds=-600)], 0, id="ten minutes"),
        pytest.param("New", [LATER], 0, id="its value"),
        pytest.param("Newer", [LATER], 0, id="a later edit that is not reported yet"),
        pytest.param("Boss", [edit("B", "Boss", seconds=-9), edit("C", "B", seconds=-5)], 2, id="A of A, B, C"),
        pytest.param("B", [edit("B", "Boss", seconds=-9), edit("C", "B", seconds=-5)], 2, id="B of A, B, C"),
        pytest.param("Boss", [edit("C", "B", seconds=-5)], 2, id="B is not reported yet"),
        pytest.param("Boss", [edit("B", "Boss", seconds=-9), edit("Boss", "B", seconds=-5)], 0, id="back again"),
        pytest.param("B", [edit("B", "Boss", seconds=-9), edit("Boss", "B", seconds=-5)], 2, id="not back yet"),
        pytest.param(
            "C",
            [edit("C", "B", seconds=-5, pk=1), edit("B", "Boss", seconds=-5.5, pk=2, arrived=-1)],
            0,
            id="in another order",
        ),
        pytest.param("Boss", [edit("New", "Boss", seconds=-700, log=True)], 0, id="an old row of the log"),
        pytest.param("Boss", [edit(None, "?", seconds=-5, column_type="odd")], 2, id="an event that can't be read"),
        pytest.param("New", [edit(None, "?", seconds=-5, column_type="odd")], 0, id="the value that it can't tell"),
    ],
)
def test_a_read_that_contradicts_the_newest_event_is_stale(
    shown: str, events: list[WebhookEvent], seconds: float
) -> None:
    assert look(shown, events=events) == seconds


BEFORE_OURS = edit("Theirs", "Old", seconds=-61)


@pytest.mark.parametrize(
    ("shown", "events", "stale"),
    [
        pytest.param("Theirs", [BEFORE_OURS], True, id="what we wrote over"),
        pytest.param(
            "Theirs", [BEFORE_OURS, edit("Boss", "Theirs", seconds=-59.5, **OURS)], True, id="as our echo says"
        ),
        pytest.param("Old", [BEFORE_OURS], True, id="what was there before that"),
        pytest.param("Boss", [BEFORE_OURS], False, id="what we wrote"),
        pytest.param("Theirs", [edit("Theirs", "Boss", seconds=-59.5)], False, id="an edit just after our write"),
        pytest.param("Theirs", [BEFORE_OURS, edit("Theirs", "Boss", seconds=-50)], False, id="written again"),
        pytest.param(
            "Last",
            [edit("Theirs", "Boss", seconds=-58), edit("Last", "Theirs", seconds=-57)],
            False,
            id="two edits just after our write",
        ),
    ],
)
def test_an_edit_that_we_wrote_over_is_over_whatever_is_read(
    shown: str, events: list[WebhookEvent], stale: bool
) -> None:
    assert bool(look(shown, events=events, writes=[wrote("Boss")])) is stale


@pytest.mark.parametrize("minutes", [-3, 3])
@pytest.mark.parametrize(("shown", "stale"), [("Theirs", False), ("Boss", True), ("Last", True)])
def test_mondays_own_order_counts_where_its_clock_is_minutes_off(minutes: int, shown: str, stale: bool) -> None:
    """Somebody wrote “Last” before our write, and “Theirs” after it."""
    off = 60 * minutes
    events = [
        edit("Last", "Old", seconds=-65 + off, arrived=-65, pk=1),
        edit("Boss", "Last", seconds=-60 + off, arrived=-59, pk=2, **OURS),
        edit("Theirs", "Boss", seconds=-57 + off, arrived=-57, pk=3),
    ]
    assert bool(look(shown, events=events, writes=[wrote("Boss")])) is stale


@pytest.mark.parametrize("agreed", ["Boss", "New"])
@pytest.mark.parametrize(
    ("case", "views", "stale"),
    [
        ("a pass saw the edit: this is an older replica", seen(("New", -4)), True),
        ("a pass saw it before", seen(("Boss", -20)), True),
        ("a pass saw this since", seen(("New", -4), ("Boss", -3)), False),
    ],
)
def test_what_newer_reads_have_shown_is_not_stale(case: str, views: Any, stale: bool, agreed: str) -> None:
    assert bool(look("Boss", events=[LATER], agreed=agreed, seen=views)) is stale, case


@pytest.mark.parametrize(("arrived", "agreed", "stale"), [(-5, "Boss", True), (-5, None, True), (-1, "Boss", False)])
def test_what_was_read_before_an_event_that_does_not_tell_what_it_replaced_is_stale(
    arrived: int, agreed: str | None, stale: bool
) -> None:
    """As in a conflict, where Monday's value is not the base. If the event comes late, reads count that came after."""
    event = edit("New", "?", seconds=-5 if stale else -60, arrived=arrived)
    views = seen(("Theirs", -90_000 if stale else -10))
    assert bool(look("Theirs", events=[event], agreed=agreed, seen=views)) is stale


def test_what_can_t_be_read_is_not_stale() -> None:
    unread = Reading.unknown("role_title", "text", "hidden")
    shown = replace(item(contact()), values={"role_title": unread})
    read = draft(item=shown, history=history(intents=[wrote("Boss")]))
    assert not after(set_aside_stale_reads, PassFacts(builders.board(), NOW), read).doubts.set_aside


PHONE = {"column_id": "phone", "column_type": "phone"}


@pytest.mark.parametrize(
    ("reported", "replaced", "agreed", "stale"),
    [
        ("442079460018", None, "+442079460018", False),
        ("442079460099", None, "+442079460018", True),
        ("+44 20 7946 0099", None, "+442079460018", True),
        ("442079460099", "442079460018", "+442079460099", True),
    ],
)
def test_a_phone_as_webhooks_send_it_names_another_number_unless_its_digits_are_shown(
    reported: str, replaced: str | None, agreed: str, stale: bool
) -> None:
    event = edit("x", "x" if replaced else "?", seconds=-5, **PHONE)
    assert event.event
    event.event = replace(event.event, value={"phone": reported}, previous_value={"phone": replaced})
    case = builders.field_facts(history=history(events=[event]), agreed={"phone": agreed})
    plan = after(set_aside_stale_reads, case.of_pass, case.plan)
    assert bool(plan.doubts.set_aside) is stale


@pytest.mark.parametrize(("here", "set_aside_keys"), [("Ours", set()), ("Boss", {"role_title"})])
def test_sync_now_sends_what_was_changed_in_npd_over_an_edit_that_is_not_shown(
    here: str, set_aside_keys: set[str]
) -> None:
    case = roles(here, history=history(events=[LATER]))
    claim = builders.claim(case.facts.record, Cause.PERSON, sync_pressed=True)
    pushed = changed(case.plan, facts=replace(case.facts, claim=claim))
    plan = after(set_aside_stale_reads, case.of_pass, pushed)
    assert plan.doubts.set_aside.keys() == set_aside_keys


# --- the table of docs/reference/merge/stale-cells.md -----------------------------------------------------------------

EDITS = {
    "nothing": [],
    "B": [edit("B", "A", seconds=-5)],
    "B, C": [edit("B", "A", seconds=-9), edit("C", "B", seconds=-5)],
    "B, A": [edit("B", "A", seconds=-9), edit("A", "B", seconds=-5)],
    "what can't be read": [edit(None, "?", seconds=-5, column_type="odd")],
    "our O": [],
    "B, our O": [edit("B", "A", seconds=-6)],
    "our O, B": [edit("B", "O", seconds=-3)],
    "our O, A": [edit("A", "O", seconds=-3)],
}


def decided(reported: str, agreed: str | None, shown: str, here: str) -> str:
    """Return what `decide` does with the role, in the words of the page."""
    board = builders.board()
    before = history(events=EDITS[reported], intents=[wrote("O", "A", seconds=-5)] if "O" in reported else [])
    roles_agreed = {"agreed": {"role_title": agreed}} if agreed else {"without_base": ["role_title"]}
    record = builders.record_facts({"role_title": here}, causes=[Cause.SWEEP], history=before, **roles_agreed)
    items = BatchItems(by_id={ITEM: item(role_title=shown)})
    facts = PassFacts(board, NOW, records=(record,), items=items)
    planned = new_plan(facts)
    decide(facts, planned, RULES)
    [plan] = planned.records.values()
    return "waits" if "role_title" in plan.doubts.set_aside else str(plan.fields["role_title"].decision.action)


WITHOUT_BASE = {"nothing": "agreed", "push": "conflict", "pull": "conflict"}


def test_every_combination_of_shown_reported_base_and_edit_is_decided_by_its_row() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/reference/merge/stale-cells.md").read_text()
    rows = []
    for number, reported in enumerate(EDITS, start=1):
        last = "O" if "O" in reported else "A"
        cells = {shown: [decided(reported, last, shown, here) for here in (last, "N")] for shown in "ABCO"}
        rows.append(f"S{number} {reported} | {' | '.join(map(words, cells.values()))}")
        for shown, decisions in cells.items():
            without = [decided(reported, None, shown, here) for here in (last, "N")]
            if reported == "what can't be read" and shown == last:
                assert without == ["agreed", "conflict"]
            else:
                assert without == [WITHOUT_BASE.get(decision, decision) for decision in decisions]
    assert "\n".join(rows) in page


def words(decisions: list[str]) -> str:
    return ", ".join(dict.fromkeys(decisions))


@pytest.mark.parametrize(("group", "seconds", "shown"), [("new", -5, None), ("old", -5, "old"), ("new", -600, "old")])
def test_a_group_that_reads_do_not_show_yet_is_not_known_to_the_filter(
    group: str, seconds: float, shown: str | None
) -> None:
    moved = edit("x", seconds=seconds, kind=EventKind.MOVED, column_id=None, group_id=group)
    case = roles(on=builders.filtered("items", "new", field="group"), history=history(events=[moved]))
    plan = changed(case.plan, item=replace(item(), group_id="old"))
    plan = after(set_aside_stale_reads, case.of_pass, plan)
    assert plan.item
    assert plan.item.group_id == shown
    assert plan.doubts.kept_events == (set() if shown else {moved.pk})
    unmatched = replace(item(), group_id="old")
    assert bool(wait_for_unmatched_item(case.of_pass, unmatched, [moved])) is not bool(shown)


@pytest.mark.parametrize("events", [[], [LATER]])
def test_a_pair_is_left_out_only_once_all_its_edits_are_shown(events: list[WebhookEvent]) -> None:
    case = roles(on=builders.filtered("items", "Ann", field="name"), history=history(events=events))
    plan = changed(case.plan, item=replace(item(), name="Bea"))
    plan = after(set_aside_stale_reads, case.of_pass, plan)
    plan = after(leave_out_after_write, case.of_pass, changed(plan, ending=DONE), None)
    assert bool(plan.filter_reason) is not bool(events)


def test_a_cell_that_lags_leaves_no_pair_out_after_a_write() -> None:
    case = roles("Boss", "Clerk", on=builders.filtered("items", "Boss"))
    plan = after(set_aside, case.of_pass.board, case.plan, {"role_title": "It lags."}, look_in_seconds=7)
    plan = changed(after(fill_in_fields, case.of_pass, plan), ending=DONE)
    assert not after(leave_out_after_write, case.of_pass, plan, item(role_title="Clerk")).filter_reason


@pytest.mark.parametrize("seconds", [-59, -601, None])
def test_a_write_that_seemed_without_effect_isnt_sent_again_while_an_event_shows_its_value(seconds: int | None) -> None:
    write = wrote("Boss", seconds=(seconds or 0) - 1, answer={"role_title": "Old"})
    events = [edit("Boss", seconds=seconds, user_id=TOKEN_USER)] if seconds else []
    before = history(intents=[write], events=events)
    case = roles("Boss", "Old", agreed={"role_title": "Old"}, history=before)
    plan = after(fill_in_fields, case.of_pass, after(set_aside_stale_reads, case.of_pass, case.plan))
    is_sent = plan.fields["role_title"].send_raw is not None
    assert is_sent is (seconds != -59)
