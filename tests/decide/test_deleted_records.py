"""A deleted record whose item is there (docs/reference/merge/removed-and-deleted.md), from facts alone."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.choices import (
    ApprovalKind,
    ApprovalState,
    ColumnProblem,
    DeletedRecordPolicy,
    TombstoneReason,
    TombstoneState,
)
from sync.fields.field_values import BoardContext
from sync.models import IntentState
from sync.monday.board_items import Item
from sync.reconcile.conflict_reports import deletion_reports
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.deleted_records import (
    approve_item_removals,
    ask_about_item,
    decide_before_reading,
    decide_deleted,
    end_restored,
    item_npd_id,
    item_removal_write,
    lost_edits,
    take_lines_and_landed_intents,
    take_locked,
    take_removal_answer,
)
from sync.reconcile.outcomes import Outcome, Write
from sync.reconcile.pass_plan import DeletedPlan
from sync.records.approvals import ApprovalFacts
from tests.decide import builders
from tests.decide.builders import (
    ITEM,
    NOW,
    NPD_ID_COLUMN,
    after,
    answered_as,
    approval_facts,
    at,
    base,
    board,
    changed,
    contact,
    decided,
    deletion,
    filtered,
    gone,
    item,
    mapping,
    removing,
    taken,
    wrote,
)

ARCHIVE, DELETE = DeletedRecordPolicy.ARCHIVE, DeletedRecordPolicy.DELETE
UNLINK, ASK = DeletedRecordPolicy.UNLINK, DeletedRecordPolicy.ASK
EDITED = {"role_title": (None, "Director")}
ASKED = {"state": TombstoneState.ASKED}
NOTED = {"role_title": base("Boss"), "notes": base("Call again", key="notes")}

ON_BOARD = PassFacts(builders.board(), NOW)


def decide(
    deletion: DeletedPlan,
    policy: DeletedRecordPolicy = ARCHIVE,
    *,
    on: BoardContext | None = None,
    linked_now: Collection[str] = (),
    **more: Any,
) -> DeletedPlan:
    of_board = on or board()
    of_board.link.deleted_record_policy = policy
    of_pass = PassFacts(of_board, NOW, **more)
    plan = after(decide_before_reading, of_pass.board, deletion)
    return after(decide_deleted, of_pass, plan, linked_now) if plan.is_open else plan


def chosen(choice: str, role: str = "Director", **shown: tuple[str | None, str | None]) -> DeletedPlan:
    """A deletion whose item was edited since, after somebody's decision."""
    return deletion(role=role, tombstone=ASKED, conflicts=(decided(choice, **shown or EDITED),))


# deleted | there, as the base | policy: archive the item (default), delete it, unlink it, ask


@pytest.mark.parametrize("policy", [ARCHIVE, DELETE, UNLINK])
def test_deleted_there_as_the_base_goes_by_the_policy(policy: DeletedRecordPolicy) -> None:
    plan = decide(deletion(), policy)
    assert (plan.act, plan.ending.outcome, plan.question) == (policy, Outcome.OPEN, None)


def test_deleted_there_as_the_base_is_asked_about_where_the_policy_says_so() -> None:
    plan = decide(deletion(), ASK)
    assert (plan.act, plan.new_state, plan.reason_code) == ("", "asked", TombstoneReason.QUESTION)
    assert plan.question is not None
    assert [option["choose"] for option in plan.question.data["options"]] == [
        "archive_item",
        "restore_record",
        "unlink",
    ]


# deleted | there, changed since the base | conflict "gone here, edited there"


@pytest.mark.parametrize("policy", [ARCHIVE, DELETE, UNLINK, ASK])
def test_deleted_there_changed_since_the_base_is_a_conflict_whatever_the_policy(policy: DeletedRecordPolicy) -> None:
    plan = decide(deletion(role="Director"), policy)
    assert (plan.act, plan.reason_code) == ("", TombstoneReason.QUESTION_EDITED)
    assert plan.question is not None
    (edit,) = plan.question.fields
    assert (edit.key, edit.npd, edit.base, edit.monday) == ("role_title", None, "Boss", "Director")


def test_an_edit_of_a_field_that_flows_to_monday_only_is_nothing_to_ask_about() -> None:
    one_way = board(mapping(direction="npd_to_monday"))
    assert decide(deletion(role="Director"), on=one_way).act == ARCHIVE


def test_an_edit_that_came_as_the_answer_to_our_own_write_is_an_edit_there_too() -> None:
    ours = {"role_title": base("Boss", "Director", as_sent=True)}
    plan = decide(deletion(role="Director", sync_state={"base": ours}))
    assert [(edit.base, edit.monday) for edit in plan.edits] == [("Boss", "Director")]


def test_what_a_call_of_ours_without_an_answer_sent_is_nobodys_edit() -> None:
    unanswered = wrote("Sent", "Boss", state=IntentState.OPEN, settled_at=None)
    assert decide(deletion(role="Sent", history=builders.history(intents=[unanswered]))).act == ARCHIVE
    assert decide(deletion(role="Theirs", history=builders.history(intents=[unanswered]))).act == ""


@pytest.mark.parametrize("policy", [ARCHIVE, DELETE, UNLINK])
def test_a_column_that_was_deleted_says_nothing_of_edits(policy: DeletedRecordPolicy) -> None:
    facts = deletion(contact(notes="Call again"), sync_state={"base": NOTED})
    shown = item(facts.record, unknown=["notes"])
    without = board(mapping("notes", problem_code=ColumnProblem.MISSING, problem="It was deleted."))
    plan = decide(changed(facts, item=shown), policy, on=without)
    assert (plan.act, plan.question) == (policy, None)
    edited = item(facts.record, role_title="Director", unknown=["notes"])
    plan = decide(changed(facts, item=edited), policy, on=without)
    assert (plan.act, [edit.key for edit in plan.edits]) == ("", ["role_title"])


def test_an_unshown_value_of_a_column_is_asked_about_but_is_no_edit() -> None:
    facts = deletion(contact(notes="Call again"), sync_state={"base": NOTED})
    hidden = board(mapping("notes", problem_code=ColumnProblem.HIDDEN, problem="It is hidden."))
    unread = changed(facts, item=item(facts.record, unknown=["notes"]))
    plan = decide(unread, on=hidden)
    assert (plan.act, plan.reason_code) == ("", TombstoneReason.QUESTION)
    assert [edit.key for edit in plan.edits] == ["notes"]


@pytest.mark.parametrize(("policy", "removal"), [(ARCHIVE, ARCHIVE), (ASK, UNLINK), (DELETE, DELETE)])
def test_the_item_goes_as_a_person_chose(policy: DeletedRecordPolicy, removal: DeletedRecordPolicy) -> None:
    assert decide(chosen(removal), policy).act == removal


def test_the_record_comes_back_as_a_person_chose_also_where_its_item_left_meanwhile() -> None:
    facts = chosen("restore_record")
    assert facts.item is not None
    facts.sync_state.removed_since = at(-60)  # Monday didn't show its item then
    for item_now in (facts.item, replace(facts.item, state="archived"), None):
        plan = decide(changed(facts, item=item_now))
        assert (plan.restores, plan.act, plan.ending.outcome) == (True, "", Outcome.DONE)
        assert (plan.sync_state.removed_since is None) is (item_now is not None)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (chosen("archive_item", role="President"), "The item was edited after you chose."),
        (deletion(role="Director", conflicts=(decided("archive_item", **EDITED),)), "deleted in NPD since you"),
    ],
    ids=["of other values", "made while the record was there"],
)
def test_a_choice_that_does_not_hold_is_handed_back_and_asked_anew(facts: DeletedPlan, problem: str) -> None:
    plan = decide(facts)
    assert not plan.act
    assert plan.question is not None
    assert problem in plan.question.rejected["record"]


# deleted | gone | nothing left to do


@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_deleted_gone_leaves_nothing_to_do(state: str) -> None:
    plan = decide(deletion(state=state))
    assert (plan.new_state, plan.reason_code) == (state, TombstoneReason.REMOVED_BEFORE)
    assert len(plan.log) == 1


def test_an_item_that_monday_does_not_show_is_looked_for_once_more_and_then_believed_gone() -> None:
    plan = decide(deletion(item=None))
    expected = (Outcome.DEFERRED, 600, NOW)
    assert (plan.ending.outcome, plan.ending.wait_seconds, plan.sync_state.removed_since) == expected
    plan = decide(deletion(item=None, sync_state={"removed_since": at(-600)}))
    assert (plan.new_state, plan.reason_code) == ("nothing_left", TombstoneReason.NOT_SHOWN)


def test_an_item_that_left_by_a_call_of_ours_without_an_answer_was_archived_by_us() -> None:
    call = removing("archive_item")
    plan = decide(deletion(state="archived", history=builders.history(intents=[call])))
    assert (plan.new_state, taken(take_lines_and_landed_intents, plan).landed) == ("archived", {call.pk})


def test_deciding_again_what_was_decided_says_nothing_new() -> None:
    decided_before = {"state": "archived", "reason_code": TombstoneReason.REMOVED_BEFORE}
    assert decide(deletion(state="archived", tombstone=decided_before)).log == []


# deleted | new or late, bearing the tombstone's NPD ID | as deleted / there


def test_an_item_that_bears_another_records_npd_id_is_no_longer_this_ones() -> None:
    facts, other = deletion(), contact(name="Bea")
    assert item_npd_id(board(), facts.item) == facts.id
    facts.facts.npd_id_record = other
    plan = decide(changed(facts, item=item(other, role_title="Boss")))
    assert (plan.new_state, plan.act, plan.reason_code) == ("nothing_left", "", "other_npd_id")
    assert "“Bea”" in plan.reason


# deleted | restored by someone after we archived it | ask


def test_deleted_restored_after_we_archived_it_is_asked_about() -> None:
    plan = decide(deletion(tombstone={"state": "archived"}))
    assert (plan.reason_code, plan.sync_state.remote_state) == (TombstoneReason.QUESTION_RESTORED, "back")
    assert plan.question is not None
    assert plan.question.data["options"][0]["label"] == "Archive the item again"


# Nothing is sent against the record's settings or for somebody else's item.


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (deletion(contact(sync_enabled=False)), "kept", TombstoneReason.SYNC_OFF),
        (deletion(contact(sync_direction="none")), "kept", TombstoneReason.SYNC_OFF),
        (deletion(contact(sync_direction="monday_to_npd")), "kept", TombstoneReason.ONE_WAY),
        (deletion(contact(monday_id=None)), "nothing_left", TombstoneReason.NO_ITEM),
        (deletion(owner=contact(name="Bea")), "nothing_left", TombstoneReason.OTHER_OWNER),
    ],
)
def test_what_needs_no_item_is_decided_first(facts: DeletedPlan, state: str, reason: TombstoneReason) -> None:
    plan = after(decide_before_reading, board(), facts)
    assert (plan.new_state, plan.reason_code) == (state, reason)
    assert decide(facts).reason == plan.reason


def test_the_item_of_a_record_that_the_filter_leaves_out_stays() -> None:
    vendor = deletion(contact(role_title="Vendor"))
    plan = after(decide_before_reading, filtered("records", "Customer"), vendor)
    assert (plan.new_state, plan.reason_code) == ("kept", TombstoneReason.LEFT_OUT)


@pytest.mark.parametrize("state", ["kept", "unlinked", "restored"])
def test_an_item_that_was_left_where_it_is_on_purpose_stays(state: str) -> None:
    plan = after(decide_before_reading, board(), deletion(tombstone={"state": state, "note": "It stays."}))
    assert (plan.new_state, plan.reason, plan.log) == (None, "It stays.", [])


def test_an_item_on_another_board_stays_there() -> None:
    facts = deletion()
    assert facts.item is not None
    plan = decide(changed(facts, item=replace(facts.item, board_id="2")))
    assert (plan.new_state, plan.reason_code) == ("kept", TombstoneReason.MOVED)


def test_an_item_that_is_being_linked_with_another_record_waits() -> None:
    plan = decide(deletion(), linked_now={ITEM})
    assert (plan.ending.outcome, plan.ending.wait_seconds, plan.new_state) == (Outcome.DEFERRED, 5, None)


# What must wait.


def approved(approvals: ApprovalFacts, *many: DeletedPlan) -> list[DeletedPlan]:
    plans = [decide(facts) for facts in many]
    approve_item_removals(plans, approvals)
    return plans


def test_more_than_the_limit_waits_for_approval_all_together() -> None:
    limit = approval_facts(ApprovalKind.ITEMS, counted=1, most=2)
    (plan,) = approved(limit, deletion())
    assert (plan.act, plan.approval.state) == (ARCHIVE, ApprovalState.DONE)
    plans = approved(limit, deletion(), deletion())
    assert {(plan.act, plan.approval.state, plan.new_state) for plan in plans} == {
        ("", ApprovalState.PENDING, TombstoneState.PENDING_APPROVAL)
    }


def test_what_was_carried_out_before_the_record_was_restored_is_no_permission_for_its_new_deletion() -> None:
    facts = deletion()
    approvals = approval_facts(ApprovalKind.ITEMS, (facts.id, "done"), most=0)
    approvals.requests[0].id = 1
    for before, approval in ((0, None), (1, ApprovalState.PENDING)):
        approvals.requests[0].at = facts.facts.tombstone.deleted_at - timedelta(seconds=before)
        [plan] = approved(approvals, facts)
        assert (plan.approval and plan.approval.state) is approval


def test_what_a_person_chose_for_one_record_and_an_unlinking_go_uncounted() -> None:
    none = approval_facts(ApprovalKind.ITEMS, most=0)
    plans = [decide(deletion(), UNLINK), decide(chosen("archive_item"))]
    approve_item_removals(plans, none)
    assert [(plan.act, plan.approval) for plan in plans] == [(UNLINK, None), (ARCHIVE, None)]


@pytest.mark.parametrize(
    ("state", "removal", "new_state"),
    [
        ("approved", ARCHIVE, None),
        ("done", ARCHIVE, None),
        ("pending", "", "pending_approval"),
        ("rejected", "", "kept"),
    ],
)
def test_a_removal_follows_its_request(state: str, removal: str, new_state: str | None) -> None:
    facts = deletion()
    (plan,) = approved(approval_facts(ApprovalKind.ITEMS, (facts.id, state)), facts)
    assert (plan.act, plan.new_state, plan.approval) == (removal, new_state, None)


# What is sent, and how Monday's answer is taken.


def answered(item: Item) -> Write:
    return answered_as(Outcome.OPEN, item=item)


def test_an_unlinking_empties_the_npd_id() -> None:
    sent = item_removal_write(board(), decide(chosen("unlink")))
    assert (sent.values, sent.removes, sent.approval) == ({NPD_ID_COLUMN: None}, "unlink", None)


@pytest.mark.parametrize(
    ("facts", "is_choice"),
    [(deletion(), False), (chosen("archive_item"), True)],
    ids=["by the policy", "as a person chose, who saw the edit"],
)
def test_an_item_that_left_is_said_so_once(facts: DeletedPlan, is_choice: bool) -> None:
    assert facts.item is not None
    plan = after(take_removal_answer, ON_BOARD, decide(facts), answered(replace(facts.item, state="archived")))
    assert (plan.ending.outcome, plan.new_state) == (Outcome.DONE, "archived")
    assert [bool(report.applied) for report in deletion_reports(plan)] == [True] * is_choice
    assert [line.kind for line in plan.log] == ["archived"]


def test_an_edit_that_nobody_saw_goes_to_the_history_with_the_item() -> None:
    facts = deletion()
    removed = item(facts.record, role_title="Director", state="archived")
    plan = after(take_removal_answer, ON_BOARD, decide(facts), answered(removed))
    lost, archived = plan.log
    expected = ("overwritten", "role_title", "Director", "Boss")
    assert (lost.kind, lost.key, lost.values["before"], lost.values["after"]) == expected
    assert lost.sentence.startswith("Somebody wrote “Director” into Role")
    assert "Role" in archived.sentence


def test_an_item_that_is_let_go_keeps_its_edit_on_the_board() -> None:
    facts = deletion()
    removed = item(facts.record, role_title="Director")
    plan = after(take_removal_answer, ON_BOARD, decide(facts, UNLINK), answered(removed))
    assert (plan.new_state, [line.kind for line in plan.log]) == ("unlinked", ["unlinked"])


def test_a_cell_that_somebody_emptied_is_told_too_and_one_that_nobody_edited_is_not() -> None:
    agreed = {"role_title": base("Boss"), "notes": base("", key="notes")}
    facts = deletion(contact(notes="newer, not sent yet", sync_direction="npd_to_monday"), sync_state={"base": agreed})
    removed = item(facts.record, role_title="")
    (line,) = lost_edits(ON_BOARD, facts, removed).values()
    assert (line.key, line.values["before"]) == ("role_title", "")
    assert line.sentence.startswith("Somebody emptied Role on Monday")


def test_an_item_that_was_gone_before_our_call_leaves_nothing_to_do() -> None:
    facts = deletion()
    plan = after(take_removal_answer, ON_BOARD, decide(facts), gone("It is not there."))
    assert (plan.new_state, plan.reason_code) == ("nothing_left", TombstoneReason.REMOVED_MEANWHILE)


def test_a_removal_that_monday_refuses_fails_and_changes_nothing() -> None:
    facts = deletion()
    plan = after(take_removal_answer, ON_BOARD, decide(facts), answered_as(Outcome.FAILED, "It can't be archived."))
    assert (plan.ending.outcome, plan.new_state, plan.log) == (Outcome.FAILED, None, [])
    assert plan.reason.endswith("could not be removed from the board: It can't be archived.")


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_removal_that_was_not_sent_after_all_leaves_everything_as_it_is(withdrawn: bool) -> None:
    facts = deletion()
    answer = answered_as(Outcome.RELEASED, "Why.", is_withdrawn=withdrawn)
    plan = after(take_removal_answer, ON_BOARD, decide(facts), answer)
    expected = (Outcome.RELEASED, "Why.", None, "")
    assert (plan.ending.outcome, plan.ending.detail, plan.new_state, plan.reason) == expected


def test_a_record_that_npd_cannot_take_back_is_asked_about_with_the_reason() -> None:
    facts = chosen("restore_record")
    plan = taken(ask_about_item, decide(facts), ARCHIVE, "Its number is taken.")
    assert (plan.restores, plan.new_state) == (False, "asked")
    assert plan.question is not None
    assert plan.question.rejected == {"record": "Its number is taken."}
    assert [edit.key for edit in plan.question.fields] == ["role_title"]


# What is checked again once the tombstone is locked.


def test_of_a_record_that_is_there_again_nothing_is_asked_counted_or_restored() -> None:
    for plan in (decide(chosen("restore_record")), decide(deletion(), ASK)):
        locked = taken(take_locked, plan, "", is_there=False)
        assert (locked.restores, locked.new_state, locked.question, locked.approval) == (False, None, None, None)


def test_a_restore_waits_where_the_board_was_paused_since() -> None:
    plan = taken(take_locked, decide(chosen("restore_record")), "Paused by Pat.", is_there=True)
    assert (plan.restores, plan.ending.outcome, plan.ending.detail) == (False, Outcome.RELEASED, "Paused by Pat.")
    other = decide(deletion(), ASK)
    assert taken(take_locked, other, "Paused by Pat.", is_there=True).question == other.question


@pytest.mark.parametrize(("state", "is_kept"), [("active", True), ("archived", False)])
def test_a_restored_record_keeps_the_item_that_is_on_the_board(state: str, is_kept: bool) -> None:
    facts = chosen("restore_record")
    shown = replace(facts.item, state=state) if facts.item else None
    plan = taken(end_restored, decide(changed(facts, item=shown)))
    assert plan.item_to_keep == (ITEM if is_kept else "")
    lines = [(line.kind, line.actor) for line in plan.log]
    assert (plan.new_state, lines) == (TombstoneState.RESTORED, [("restored", "pat")])
    assert ("gets a new one" in plan.reason) is not is_kept
