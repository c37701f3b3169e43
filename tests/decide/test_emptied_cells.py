"""An empty cell whose base has a value, by docs/reference/merge/empty-cells.md, from facts alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sync.choices import ApprovalKind, ApprovalState, BlockedCode, Cause, SyncDirection
from sync.models import ApprovalRequest, WebhookEvent
from sync.models.activity_lines import UNREPORTED
from sync.reconcile.board_filter import filter_item, leave_out_after_write
from sync.reconcile.emptied_cells import hold_emptied_cells
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.outcomes import DONE
from sync.reconcile.pass_plan import Plan, RecordPlan
from sync.reconcile.restraints import request_approvals
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from tests.decide.builders import (
    ANN_ID,
    ITEM,
    NOW,
    after,
    at,
    board,
    changed,
    claim,
    edit,
    field_facts,
    filtered,
    mapping,
    organization,
    plain,
)

AGREED = -3_600  # when both sides agreed, in seconds
ACME = organization("70")


def row(type_: str, seconds: float = -60) -> WebhookEvent:
    return plain(WebhookEvent, pk=1, type=type_, received_at=at(seconds), body={})


def decided(
    key: str = "role_title",
    events: Sequence[WebhookEvent] = (),
    swept: tuple[float, float] | None = None,
    since: float | None = None,
    state: str = "active",
    on: Any = None,
    base_at: float | None = AGREED,
    sync_pressed: bool = False,
    **extra: Any,
) -> RecordPlan:
    """The plan of a contact whose cell is empty; `swept`: from and to when the log was read; `since`: first read so."""
    agreed = {"organization": ACME}
    case = field_facts(agreed, agreed | {key: None}, on=on, agreed=agreed)
    if sync_pressed:
        pushed = replace(case.facts, claim=claim(case.facts.record, Cause.PERSON, sync_pressed=True))
        case = case._replace(plan=changed(case.plan, facts=pushed))
    link = case.of_pass.board.link
    link.log_read_from, link.log_read_to = (at(swept[0]), at(swept[1])) if swept else (None, None)
    sync_state = case.plan.sync_state
    case.facts.sync_state.remote_state = state
    if base_at is not None:
        sync_state.base[key]["at"] = at(base_at).isoformat()
    sync_state.emptied = {} if since is None else {key: at(since).isoformat()}
    limit = ApprovalFacts(limit=ApprovalLimit(0, None, 10), counted=dict.fromkeys(ApprovalKind, frozenset()))
    values = {"records": (case.facts,), "events": {ITEM: events}, "approvals": limit} | extra
    facts = replace(case.of_pass, **values)
    plan = case.plan
    hold_emptied_cells(facts, plan)
    filter_item(facts, plan)
    plan.fields = decide_fields(facts, plan)
    request_approvals(facts, Plan({ANN_ID: plan}))
    return plan


NO_LIMIT = ApprovalFacts(limit=ApprovalLimit(None, None, 10), counted=dict.fromkeys(ApprovalKind, frozenset()))


def outcome(key: str = "role_title", **case: Any) -> str:
    plan = decided(key, **{"approvals": NO_LIMIT} | case)
    field_plan = plan.fields[key]
    if key in plan.doubts.set_aside:
        return "waits"
    return "asked" if field_plan.blocked_code else "sent" if field_plan.send_raw else "pulled"


COVERED, NOT_COVERED, TOO_EARLY = (-7_200, 0), (-60, 0), (-7_200, -900)
BATCH, BACK = row("batch_change_pulses_column_value"), row("move_pulse_into_board")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param({"events": [edit(None)]}, "pulled", id="an event says so"),
        pytest.param({"events": [edit(None, is_new=False)], "state": "moved"}, "pulled", id="whatever happened else"),
        pytest.param({"events": [edit("x", column_type="phone")]}, "pulled", id="an event can't be read"),
        pytest.param({"events": [edit(None), edit("Boss", seconds=-30)]}, "waits", id="a newer event says otherwise"),
        pytest.param({"events": [edit(None, seconds=AGREED - 60)]}, "waits", id="that was before both sides agreed"),
        pytest.param({"events": [BATCH]}, "pulled", id="a batch row of the log names the item"),
        pytest.param({"state": "archived"}, "sent", id="the item was archived"),
        pytest.param({"events": [BACK]}, "sent", id="the item was moved"),
        pytest.param({"events": [row("move_pulse_into_board", AGREED - 60)]}, "waits", id="it was moved before"),
        pytest.param({}, "waits", id="no word"),
        pytest.param({"sync_pressed": True}, "sent", id="Sync now"),
        pytest.param({"since": -600, "swept": TOO_EARLY}, "waits", id="a sweep that began earlier has ended"),
        pytest.param({"since": -600, "swept": COVERED}, "sent", id="the log says nothing"),
        pytest.param({"since": -600, "swept": NOT_COVERED}, "pulled", id="the log doesn't reach back to the base"),
        pytest.param({"since": -600, "swept": COVERED, "base_at": None}, "pulled", id="nor to the record's creation"),
    ],
)
def test_an_empty_cell(case: dict[str, Any], expected: str) -> None:
    assert outcome(**case) == expected


@pytest.mark.parametrize(
    ("since", "swept", "others", "expected"),
    [
        (None, None, 0, "waits"),
        (-300, COVERED, 0, "waits"),
        (-600, COVERED, 0, "pulled"),
        (-600, COVERED, 4, "pulled"),
        (-600, COVERED, 5, "asked"),
    ],
)
def test_connected_items_that_are_shown_as_none(
    since: float | None, swept: tuple[float, float] | None, others: int, expected: str
) -> None:
    others_now = frozenset(organization().pk for _ in range(others))
    assert outcome("organization", since=since, swept=swept, unreported_records=others_now) == expected


def test_one_that_left_its_board_is_decided_by_its_own_rule() -> None:
    plan = decided("organization", removed_related_items=frozenset({"70"}))
    assert (plan.doubts.set_aside, plan.fields["organization"].blocked_code) == ({}, "relation")


@pytest.mark.parametrize(
    ("state", "limit", "events", "expected"),
    [
        (None, 0, [], "asked"),
        (ApprovalState.PENDING, 0, [], "asked"),
        (ApprovalState.REJECTED, 0, [], "sent"),
        (ApprovalState.APPROVED, 0, [], "pulled"),
        (ApprovalState.PENDING, None, [], "asked"),
        (ApprovalState.PENDING, None, [edit(None)], "pulled"),
        (ApprovalState.REJECTED, None, [edit(None)], "sent"),
    ],
)
def test_beyond_the_guard_a_person_is_asked_and_followed(
    state: ApprovalState | None, limit: int | None, events: list[WebhookEvent], expected: str
) -> None:
    guard = ApprovalFacts(limit=ApprovalLimit(limit, None, 10), counted=dict.fromkeys(ApprovalKind, frozenset()))
    request = ApprovalRequest(
        entity_id=ANN_ID,
        kind=ApprovalKind.CLEAR_NPD,
        key="role_title",
        state=state,
        values={"value": "Boss", UNREPORTED: True},
    )
    approvals = replace(guard, requests=(request,) if state else ())
    assert outcome(state="moved", events=events, approvals=approvals) == expected


def test_sync_now_empties_nothing_beyond_the_guard() -> None:
    guard = ApprovalFacts(limit=ApprovalLimit(0, None, 10), counted=dict.fromkeys(ApprovalKind, frozenset()))
    assert outcome(events=[edit(None)], sync_pressed=True, approvals=guard) == "asked"


def test_what_a_person_keeps_against_the_direction_stays_in_npd() -> None:
    rejected = ApprovalRequest(
        entity_id=ANN_ID,
        kind=ApprovalKind.CLEAR_NPD,
        key="role_title",
        state=ApprovalState.REJECTED,
        values={"value": "Boss", UNREPORTED: True},
    )
    on = board(mapping(direction=SyncDirection.MONDAY_TO_NPD))
    plan = decided(on=on, state="moved", approvals=replace(NO_LIMIT, requests=(rejected,)))
    field_plan = plan.fields["role_title"]
    assert (field_plan.blocked_code, field_plan.send_raw, field_plan.pull_raw) == (BlockedCode.DIRECTION, None, None)


def test_one_way_from_monday_a_person_is_asked() -> None:
    for direction, expected in ((SyncDirection.MONDAY_TO_NPD, "asked"), (SyncDirection.NPD_TO_MONDAY, "sent")):
        on = board(mapping(direction=direction))
        assert outcome(on=on, state="moved") == expected
        assert outcome(on=on, state="moved", sync_pressed=True) == expected
        assert outcome(on=on) == ("waits" if expected == "asked" else "sent")


def test_it_is_no_reason_for_the_filter_to_leave_a_pair_out() -> None:
    on = filtered("items", op="is_filled")
    for case, is_out in (({"state": "moved"}, False), ({}, False), ({"events": [edit(None)]}, True)):
        plan = changed(decided(on=on, approvals=NO_LIMIT, **case), ending=DONE)
        assert bool(after(leave_out_after_write, PassFacts(on, NOW), plan, None).filter_reason) is is_out
