"""What a plan may not write yet: clears over the limit, from facts alone."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from conflicts.reports import FieldSelection
from sync.choices import ApprovalKind, ApprovalState, BlockedCode, SyncDirection
from sync.merge import Action
from sync.models import ApprovalRequest
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.pass_plan import Plan
from sync.reconcile.restraints import find_clears, request_approvals
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from tests.decide.builders import FieldFacts, after, at, board, changed, chosen, mapping, roles
from tests.decide.plan_builders import NOTHING_COUNTED

ANN = UUID(int=1)
MONDAY, NPD = ApprovalKind.CLEAR_MONDAY, ApprovalKind.CLEAR_NPD


def request(state: ApprovalState, value: str = "Boss", kind: ApprovalKind = MONDAY) -> ApprovalRequest:
    named = {"entity_id": ANN, "key": "role_title", "label": "Role “Boss” of Ann"}
    return ApprovalRequest(id=1, kind=kind, state=state, values={"value": value}, **named)


def approval_facts(*requests: ApprovalRequest, most: int = 100, before: int = 0) -> ApprovalFacts:
    """Requests, where `most` records may be emptied in an hour and `before` were."""
    counted = {**NOTHING_COUNTED, MONDAY: frozenset(uuid4() for _ in range(before))}
    return ApprovalFacts(requests, counted, ApprovalLimit(most, None, 1_000))


EMPTIED_IN_NPD = roles("")
EMPTIED_ON_MONDAY = roles(there="")


def decided(facts: ApprovalFacts, fields: FieldFacts = EMPTIED_IN_NPD) -> Plan:
    plan = Plan({ANN: changed(fields.plan, fields=decide_fields(*fields))})
    return after(request_approvals, replace(fields.of_pass, approvals=facts), plan)


def new(plan: Plan) -> list[tuple[ApprovalState, str]]:
    return [(ApprovalState(request.state), request.values["value"]) for request in plan.new_requests]


def test_a_clear_within_the_limit_goes_and_is_counted() -> None:
    plan = decided(approval_facts())
    assert plan.records[ANN].fields["role_title"].send_raw == {"role_title": ""}
    assert new(plan) == [(ApprovalState.DONE, "Boss")]


@pytest.mark.parametrize(
    ("fields", "emptied", "stands"),
    [(EMPTIED_IN_NPD, "in NPD", "on Monday"), (EMPTIED_ON_MONDAY, "on Monday", "in NPD")],
)
def test_one_too_many_waits_and_is_said_once(fields: FieldFacts, emptied: str, stands: str) -> None:
    decision = decided(approval_facts(most=0), fields)
    plan = decision.records[ANN].fields["role_title"]
    assert (plan.blocked_code, plan.send_raw, plan.pull_raw) == (BlockedCode.APPROVAL, None, None)
    assert f"It was emptied {emptied}" in plan.blocked_reason
    assert f"It still says “Boss” {stands}" in plan.blocked_reason
    assert (new(decision), len(decision.records[ANN].log)) == ([(ApprovalState.PENDING, "Boss")], 1)
    kind = MONDAY if fields is EMPTIED_IN_NPD else NPD
    again = decided(approval_facts(request(ApprovalState.PENDING, kind=kind), most=0), fields)
    assert (new(again), again.records[ANN].log, len(again.open_requests)) == ([], [], 1)
    assert again.records[ANN].fields["role_title"].blocked_code is BlockedCode.APPROVAL


@pytest.mark.parametrize("state", [ApprovalState.APPROVED, ApprovalState.DONE])
def test_what_was_approved_or_let_through_within_the_hour_goes_without_counting(state: ApprovalState) -> None:
    plan = decided(approval_facts(request(state), most=0))
    assert plan.records[ANN].fields["role_title"].send_raw is not None
    assert new(plan) == []


@pytest.mark.parametrize(("synced_later", "asked"), [(-1, []), (1, [(ApprovalState.PENDING, "Boss")])])
def test_a_clear_counts_anew_where_the_field_was_filled_in_since_another_went(
    synced_later: float, asked: list[tuple[ApprovalState, str]]
) -> None:
    went = request(ApprovalState.DONE)
    went.at = at(-600)
    fields = roles("")
    fields.facts.sync_state.base["role_title"]["at"] = at(-600 + synced_later).isoformat()
    assert new(decided(approval_facts(went, most=0), fields)) == asked


def test_what_a_person_rejected_gets_its_value_back() -> None:
    plan = decided(approval_facts(request(ApprovalState.REJECTED))).records[ANN].fields["role_title"]
    assert (plan.decision.action, plan.pull_raw) == (Action.PULL, {"role_title": "Boss"})
    rejected = approval_facts(request(ApprovalState.REJECTED, kind=NPD))
    plan = decided(rejected, EMPTIED_ON_MONDAY).records[ANN].fields["role_title"]
    assert (plan.decision.action, plan.send_raw) == (Action.PUSH, {"role_title": "Boss"})
    one_way = roles("", on=board(mapping(direction=SyncDirection.NPD_TO_MONDAY)))
    plan = decided(approval_facts(request(ApprovalState.REJECTED)), one_way).records[ANN].fields["role_title"]
    assert plan.blocked_code is BlockedCode.DIRECTION


def test_a_request_about_another_value_ends_and_the_clear_is_asked_about_anew() -> None:
    before = request(ApprovalState.APPROVED, "Chief")
    plan = decided(approval_facts(before, most=0))
    assert (plan.outdated_requests, plan.open_requests) == ([before], [])
    assert new(plan) == [(ApprovalState.PENDING, "Boss")]


def verdicts(*keys: str, before: int, kind: ApprovalKind = MONDAY) -> list[tuple[bool, ApprovalState | None]]:
    """The verdicts on clears of Ann's fields, where one record an hour may be emptied on Monday."""
    return list(approval_facts(most=1, before=before).verdicts(kind, [(ANN, key) for key in keys]).values())


def test_records_count_once_with_those_of_the_hour_and_each_way_apart() -> None:
    assert verdicts("role_title", "notes", before=0) == [(True, ApprovalState.DONE)] * 2
    assert verdicts("role_title", "notes", before=1) == [(False, ApprovalState.PENDING)] * 2
    assert verdicts("role_title", before=1, kind=NPD) == [(True, ApprovalState.DONE)]


def test_what_a_person_chose_in_a_conflict_needs_no_second_approval() -> None:
    selection = FieldSelection("npd", None, None, "Theirs")
    fields = roles("", "Theirs", conflicts=(chosen("role_title", selection),))
    plan = changed(fields.plan, fields=decide_fields(*fields))
    assert plan.fields["role_title"].send_raw == {"role_title": ""}
    assert list(find_clears(plan)) == []


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (ApprovalLimit(3, None, 1_000), 3),
        (ApprovalLimit(None, 10, 100), 10),
        (ApprovalLimit(3, 10, 100), 3),
        (ApprovalLimit(20, 10, 100), 10),
        (ApprovalLimit(20, 10, 49), 20),
        (ApprovalLimit(None, None, 100), None),
    ],
    ids=["records", "percent", "fewer records", "fewer percent", "a small board has no percent", "switched off"],
)
def test_the_lower_limit_is_exceeded_by_one_more(limit: ApprovalLimit, most: int | None) -> None:
    assert [number for number in range(101) if limit.is_exceeded_by(number)][:1] == ([] if most is None else [most + 1])
