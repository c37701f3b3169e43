"""An existing record whose item is gone (docs/reference/merge/removed-and-deleted.md), from facts alone."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from conflicts.reports import ConflictKind, OpenConflict
from sync.choices import ApprovalKind, ApprovalState, Cause, ColumnProblem, RemovedItemPolicy
from sync.fields.field_values import BoardContext
from sync.monday.board_items import BatchItems, Item
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.identity import identify_records
from sync.reconcile.missing.removed_items import (
    approve_deletions,
    by_whom,
    decide_removed_item,
    removed_state,
    values_without_item,
)
from sync.reconcile.outcomes import Outcome
from sync.reconcile.pass_plan import LostUpdate, Plan, RecordPlan
from sync.records.approvals import ApprovalFacts
from sync.records.item_links import RECORD_RESTORED_KEY, RECREATE_KEY, UNLINK_KEY
from tests.decide.builders import (
    BOARD,
    ITEM,
    NOW,
    TOM,
    Removal,
    after,
    approval_facts,
    at,
    base,
    board,
    changed,
    claim,
    contact,
    decided,
    draft,
    item,
    mapping,
    organization,
    removal,
)

ASK, UNLINK = RemovedItemPolicy.ASK, RemovedItemPolicy.UNLINK
DELETE, CREATE = RemovedItemPolicy.DELETE, RemovedItemPolicy.CREATE
POLICIES = [ASK, UNLINK, DELETE, CREATE]
NOTHING = ""


def decide(
    case: Removal, policy: RemovedItemPolicy = ASK, *, on: BoardContext | None = None, **differs: Any
) -> RecordPlan:
    on = on or board()
    on.link.removed_item_policy = policy
    plan: RecordPlan = after(decide_removed_item, on, changed(case.plan, **differs), NOW)
    return plan


def problem_of(plan: RecordPlan) -> str:
    return plan.question.rejected.get("record", "") if plan.question else ""


def options(plan: RecordPlan) -> list[str]:
    return [option["choose"] for option in plan.question.data["options"]] if plan.question else []


# How an item can be gone.


@pytest.mark.parametrize(
    ("shown", "before", "state"),
    [
        (Item(ITEM, "Ann", "active", board_id=BOARD), "archived", ""),
        (Item(ITEM, "Ann", "active"), "active", ""),
        (Item(ITEM, "Ann", "active", board_id="2"), "active", "moved"),
        (Item(ITEM, "Ann", "archived", board_id=BOARD), "active", "archived"),
        (Item(ITEM, "Ann", "deleted", board_id=BOARD), "active", "deleted"),
        (Item(ITEM, "Ann", "hidden", board_id=BOARD), "active", "missing"),
        (None, "active", "missing"),
        (None, "archived", "missing"),
        (None, "deleted", "deleted"),
    ],
)
def test_an_item_is_gone_as_it_says_itself(shown: Item | None, before: str, state: str) -> None:
    assert removed_state(board(), draft(item=shown, sync_state={"remote_state": before})) == state


def test_an_item_that_is_back_is_said_so_once() -> None:
    gone = {"removed_since": at(-60), "remote_state": "archived"}
    for sync_state, lines in ((gone, ["returned"]), ({"remote_state": "active"}, [])):
        before = draft(sync_state=sync_state)
        read = PassFacts(board(), NOW, items=BatchItems({ITEM: item()}))
        plan = after(identify_records, read, Plan({before.id: before}))
        assert [line.kind for line in plan.records[before.id].log] == lines


# there, as the base | archived or deleted | policy: ask (default), unlink, delete the record, create the item again


@pytest.mark.parametrize("state", ["archived", "deleted"])
@pytest.mark.parametrize(("policy", "act"), [(ASK, NOTHING), (UNLINK, UNLINK), (DELETE, DELETE), (CREATE, CREATE)])
def test_a_base_whose_item_is_gone_goes_by_policy(
    policy: RemovedItemPolicy, act: RemovedItemPolicy, state: str
) -> None:
    plan = decide(removal(state=state), policy)
    assert (plan.act, plan.ending.outcome) == (act, Outcome.DONE)
    assert bool(plan.unlink_reason) is (act is UNLINK)
    assert ("You are asked" in plan.reason) is (act is NOTHING)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_happens_before_the_quiet_time_is_over(policy: RemovedItemPolicy) -> None:
    fresh = removal(actor="Tom on Monday", sync_state={"removed_since": None, "remote_state": "active"})
    plan = decide(fresh, policy)
    assert (plan.act, plan.ending.outcome, plan.ending.wait_seconds) == (NOTHING, Outcome.DEFERRED, 600)
    assert (plan.sync_state.removed_since, plan.sync_state.removed_passes) == (NOW, 1)
    (line,) = plan.log
    expected = ("removed", "Tom on Monday", "The item “Ann” was archived by Tom on Monday.")
    assert (line.kind, line.actor, line.sentence) == expected
    again = decide(removal(since=-599), policy)
    assert (again.ending.outcome, again.ending.wait_seconds, again.log) == (Outcome.DEFERRED, 1, [])


# there, changed since the base | archived or deleted | conflict "edited here, gone there"


@pytest.mark.parametrize("policy", POLICIES)
def test_there_changed_since_the_base_is_asked_about_whatever_the_policy(policy: RemovedItemPolicy) -> None:
    plan = decide(removal(contact(role_title="Director")), policy)
    assert (plan.act, options(plan)) == (NOTHING, ["create_item", "delete_record", "unlink"])
    (edit,) = plan.removal.edits
    assert (edit.key, edit.npd, edit.base, edit.monday) == ("role_title", "Director", "Boss", None)


def unread(role: str = "Boss", state: str = "archived", **of_role: Any) -> tuple[Removal, BoardContext]:
    record = contact(role_title=role)
    shown = item(record, unknown=["role_title"], state=state)
    shown = replace(shown, state="active", board_id="2") if state == "moved" else shown
    return removal(record, state=state, item=shown), board(mapping(**of_role))


@pytest.mark.parametrize(("role", "edited"), [("Boss", []), ("Director", ["role_title"])])
def test_a_column_that_was_deleted_says_nothing_of_edits_on_monday(role: str, edited: list[str]) -> None:
    facts, on = unread(role, problem="Its column is gone.", problem_code=ColumnProblem.MISSING)
    plan = decide(facts, UNLINK, on=on)
    assert [(edit.key, edit.monday) for edit in plan.removal.edits] == [(key, None) for key in edited]
    assert plan.act == (NOTHING if edited else UNLINK)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_unshown_value_of_a_column_is_asked_about_but_is_no_edit(policy: RemovedItemPolicy) -> None:
    facts, on = unread()
    plan = decide(facts, policy, on=on)
    (edit,) = plan.removal.edits
    expected = (NOTHING, "role_title", "Boss", "Boss", None)
    assert (plan.act, edit.key, edit.npd, edit.base, edit.monday) == expected
    assert "can't be read" in edit.reason
    assert ("Edited since" in plan.removal.sentence, "can't be read" in plan.removal.sentence) == (False, True)


@pytest.mark.parametrize("differs", [{"state": "moved"}, {"direction": "npd_to_monday"}])
def test_an_unread_cell_counts_only_where_it_could_hold_an_edit(differs: dict[str, Any]) -> None:
    """Another board has other columns; a field that only flows to Monday is NPD's."""
    facts, on = unread(**differs)
    assert decide(facts, on=on).removal.edits == ()


def test_a_last_synced_value_that_is_not_known_any_more_is_asked_about() -> None:
    facts = removal(sync_state={"base": {"role_title": base("Boss") | {"remote": {"text": 5}}}})
    (edit,) = decide(facts, DELETE).removal.edits
    assert "not known any more" in edit.reason


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("row", "notes", "cell", "differs", "is_edited"),
    [
        ("Monday never got it", "Call again", "", {}, True),
        ("Monday says something else", "Call again", "Theirs", {}, True),
        ("whether Monday has it can't be read", "Call again", None, {}, True),
        ("Monday has it", "Call again", "Call again", {}, False),
        ("it is Monday's alone, and NPD never got it", "", "Theirs", {}, True),
        ("neither side has any", "", "", {}, False),
        ("nothing of the record is synced", "Call again", "", {"sync_direction": "none"}, False),
    ],
)
def test_a_value_that_never_agreed_and_that_monday_never_got_is_asked_about(
    row: str, notes: str, cell: str | None, differs: dict[str, Any], is_edited: bool, policy: RemovedItemPolicy
) -> None:
    other_item = base("Call again", key="notes", item="999")
    for agreed in ({}, {"notes": other_item}):
        record = contact(notes=notes, **differs)
        shown = item(record, unknown=["notes"] if cell is None else [], notes=cell or "", state="archived")
        sync_state = {"base": {"role_title": base("Boss"), **agreed}}
        plan = decide(removal(record, item=shown, sync_state=sync_state), policy)
        assert [edit.key for edit in plan.removal.edits] == ["notes"] * is_edited, row
        assert not is_edited or plan.act == NOTHING


@pytest.mark.parametrize(("code", "edited"), [("relation", ["organization"]), ("relation_skipped", [])])
def test_a_waiting_relation_never_reached_monday_nor_would_one_that_is_skipped(code: str, edited: list[str]) -> None:
    acme = organization(item=None)
    raw = {"organization": {"id": str(acme.pk), "item": None, "name": "Acme"}}
    entry = {"reason": "", "code": code, "column": "organization", "version": 1, "local": raw}
    sync_state = {"base": {"role_title": base("Boss")}, "blocked_fields": {"organization": entry}}
    facts = removal(contact(organization=acme), sync_state=sync_state)
    assert [edit.key for edit in decide(facts, DELETE).removal.edits] == edited


@pytest.mark.parametrize("policy", POLICIES)
def test_a_conflict_about_its_values_is_a_persons_to_decide_first(policy: RemovedItemPolicy) -> None:
    conflict = OpenConflict(uuid4(), ConflictKind.FIELDS, ITEM, ("role_title",))
    assert decide(removal(conflicts=(conflict,)), policy).act == NOTHING


@pytest.mark.parametrize(("rule", "act"), [("ask", NOTHING), ("npd_wins", DELETE)])
def test_so_is_an_edit_that_our_write_went_over_where_a_person_is_asked_about_it(
    rule: str, act: RemovedItemPolicy
) -> None:
    updates = [LostUpdate("role_title", "Theirs", TOM, NOW, ("w",))]
    assert decide(removal(), DELETE, on=board(mapping(rule=rule)), lost_updates=updates).act == act


# there | not returned when asked by id | "Monday doesn't show this item"; later a person is asked; never a delete


@pytest.mark.parametrize("policy", POLICIES)
def test_what_monday_hides_is_asked_about_after_some_passes_never_deleted(policy: RemovedItemPolicy) -> None:
    waits = decide(removal(state="missing", sync_state={"removed_passes": 1}), policy)
    assert (waits.ending.outcome, waits.ending.wait_seconds, waits.sync_state.removed_passes) == (
        Outcome.DEFERRED,
        600,
        2,
    )
    plan = decide(removal(state="missing", sync_state={"removed_passes": 2}), policy)
    assert (plan.sync_state.removed_passes, plan.act, options(plan)) == (3, NOTHING, ["create_item", "unlink"])
    assert plan.removal.sentence.startswith("Monday doesn't show the item of “Ann” any more")


# there | on another board | as gone from this board, but said so: ask


@pytest.mark.parametrize("policy", POLICIES)
def test_an_item_on_another_board_is_asked_about(policy: RemovedItemPolicy) -> None:
    plan = decide(removal(state="moved"), policy)
    assert (plan.act, options(plan)) == (NOTHING, ["create_item", "delete_record", "unlink"])
    assert plan.removal.sentence.startswith("The item “Ann” is on another board now (2).")


# What the record's direction, NPD's other records and an automation allow.


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({"record": contact(sync_direction="monday_to_npd")}, ["delete_record", "unlink"]),
        ({"record": contact(sync_direction="npd_to_monday")}, ["create_item", "unlink"]),
        ({"needed_by": "3 sprints in NPD can't be without “Ann”."}, ["create_item", "unlink"]),
        ({"loss": " 3 contacts in NPD would no longer name it."}, ["create_item", "delete_record", "unlink"]),
    ],
)
def test_options_and_policies_are_those_that_are_left(differs: dict[str, Any], expected: list[str]) -> None:
    plan = decide(removal(**differs))
    assert options(plan) == expected
    policy = CREATE if "create_item" not in expected else DELETE
    assert decide(removal(**differs), policy).act == NOTHING


def test_an_item_that_is_removed_each_time_it_is_made_again_is_asked_about() -> None:
    plan = decide(removal(is_removed_too_often=True), CREATE)
    assert plan.act == NOTHING
    assert "look for an automation" in plan.reason
    assert decide(removal(is_removed_too_often=True), DELETE).act == DELETE


def test_of_a_record_without_sync_nothing_is_sent() -> None:
    plan = decide(removal(contact(sync_enabled=False), since=-1), DELETE)
    assert (plan.ending.outcome, options(plan), plan.log) == (Outcome.DONE, [], [])
    assert plan.reason.endswith("Nothing was sent.")


# What a person chose.


@pytest.mark.parametrize("act", [CREATE, DELETE, UNLINK])
def test_a_choice_is_carried_out_whatever_was_edited(act: RemovedItemPolicy) -> None:
    conflict = decided(act, role_title=("Director", None))
    plan = decide(removal(contact(role_title="Director"), conflicts=(conflict,)))
    assert (plan.act, plan.removal.is_chosen, by_whom(plan.removal)) == (act, True, "as somebody decided")


@pytest.mark.parametrize(
    ("choice", "differs", "problem"),
    [
        (decided("delete_record", role_title=("Other", None)), {}, "The record was edited after you chose."),
        (
            decided("delete_record"),
            {"needed_by": "1 sprint in NPD can't be without “Ann”."},
            "1 sprint in NPD can't be",
        ),
        (decided("create_item"), {"record": contact(sync_direction="monday_to_npd")}, "This is not possible any more."),
    ],
)
def test_a_choice_that_fails_is_rejected(choice: OpenConflict, differs: dict[str, Any], problem: str) -> None:
    plan = decide(removal(conflicts=(choice,), **differs), DELETE)
    assert plan.act == NOTHING
    assert problem_of(plan).startswith(problem)


def with_payload(case: Removal, **payload: Any) -> Removal:
    facts = replace(case.plan.facts, claim=claim(case.plan.record, Cause.PERSON, **payload))
    return case._replace(plan=changed(case.plan, facts=facts))


def test_a_new_item_that_a_person_asked_for_is_made_at_once() -> None:
    plan = decide(with_payload(removal(since=-1), **{RECREATE_KEY: True}))
    assert (plan.act, plan.removal.is_chosen) == (CREATE, True)
    unlinked_too = with_payload(removal(since=-1), **{RECREATE_KEY: True, UNLINK_KEY: "pat"})
    assert decide(unlinked_too).ending.outcome is Outcome.DEFERRED
    not_shown = with_payload(removal(state="missing", since=-1), **{RECREATE_KEY: True})
    assert decide(not_shown).ending.outcome is Outcome.DEFERRED


@pytest.mark.parametrize(("facts", "lost"), [(removal(role="Chair"), [("role_title", "Chair")]), (removal(), [])])
def test_of_an_edit_that_nobody_was_shown_the_history_has_the_value(facts: Removal, lost: list[Any]) -> None:
    plan = decide(with_payload(facts, **{RECREATE_KEY: True}))
    lines = [line for line in after(values_without_item, board(), plan).log if line.kind == "overwritten"]
    assert [(line.key, line.values["before"]) for line in lines] == lost


@pytest.mark.parametrize("policy", POLICIES)
def test_a_record_that_was_restored_gets_a_new_item_where_its_own_has_left_meanwhile(policy: RemovedItemPolicy) -> None:
    restored = {RECORD_RESTORED_KEY: True, "by": "pat"}
    assert decide(with_payload(removal(since=-1), **restored), policy).act == CREATE
    # An item that was moved to another board still exists.
    assert decide(with_payload(removal(state="moved"), **restored), policy).act == NOTHING


@pytest.mark.parametrize("policy", POLICIES)
def test_a_new_item_that_can_not_be_made_cuts_no_quiet_time_short(policy: RemovedItemPolicy) -> None:
    """Its direction was changed after the person asked for it: the policy still waits as usual."""
    one_way = with_payload(removal(contact(sync_direction="monday_to_npd"), since=-1), **{RECREATE_KEY: True})
    plan = decide(one_way, policy)
    assert (plan.act, plan.ending.outcome) == (NOTHING, Outcome.DEFERRED)


# What must wait for a person's approval.


def approved(approvals: ApprovalFacts, *many: Removal, policy: RemovedItemPolicy = DELETE) -> list[RecordPlan]:
    plans = [decide(case, policy) for case in many]
    approve_deletions(plans, approvals)
    return plans


def test_more_deletions_than_the_limit_wait_for_approval_all_together() -> None:
    limit = approval_facts(ApprovalKind.RECORDS, counted=1, most=2)
    (plan,) = approved(limit, removal())
    assert (plan.act, plan.approval.state) == (DELETE, ApprovalState.DONE)
    plans = approved(limit, removal(), removal())
    assert {(plan.act, plan.approval.state) for plan in plans} == {(NOTHING, ApprovalState.PENDING)}
    assert all("waits for approval" in plan.reason and not plan.asks_about_removal for plan in plans)


def test_a_deletion_counts_anew_where_the_record_was_restored_since_another_went() -> None:
    facts = removal(since=-700)
    approvals = approval_facts(ApprovalKind.RECORDS, (facts.plan.id, "done"), most=0)
    for seconds, approval in ((-700, None), (-701, ApprovalState.PENDING)):
        approvals.requests[0].id = 1
        approvals.requests[0].at = at(seconds)
        (plan,) = approved(approvals, facts)
        assert (plan.approval and plan.approval.state) is approval


def test_a_request_is_over_where_a_person_is_asked_by_now() -> None:
    (plan,) = approved(approval_facts(ApprovalKind.RECORDS), removal(), policy=ASK)
    assert plan.removal.keeps_record


@pytest.mark.parametrize(
    ("rejected", "choices", "act", "problem"),
    [
        ("rejected", (), NOTHING, ""),
        ("kept", (), NOTHING, ""),
        ("rejected", (decided("delete_record"),), NOTHING, "Deleting this record was not approved."),
        ("kept", (decided("delete_record"),), DELETE, ""),
    ],
    ids=["by the policy", "by the policy, later", "chosen before", "chosen afterwards"],
)
def test_a_deletion_that_was_not_approved_stays_undone_until_a_person_wants_it_anew(
    rejected: str, choices: tuple[OpenConflict, ...], act: RemovedItemPolicy, problem: str
) -> None:
    facts = removal(is_deletion_rejected=True, is_rejection_new=rejected == "rejected", conflicts=choices)
    (plan,) = approved(approval_facts(ApprovalKind.RECORDS), facts)
    assert (plan.act, problem_of(plan)) == (act, problem)
