"""The board's filter in a pass: what leaves, what returns, what isn't known, from facts alone."""

from dataclasses import replace
from typing import Any

import pytest

from sync.choices import BlockedCode, Cause
from sync.fields.field_values import BoardContext
from sync.fields.sync_filter import HOLDS, FilterSide
from sync.models import Tombstone
from sync.monday.board_items import Item
from sync.operations.empty_plans import changed_records
from sync.reconcile.board_filter import (
    filter_item,
    filter_record,
    filter_removed_item,
    leave_out_after_write,
    matching_items,
)
from sync.reconcile.facts import DeletedFacts, PassFacts
from sync.reconcile.field_plan import decide_fields
from sync.reconcile.missing.deleted_records import decide_deleted
from sync.reconcile.outcomes import DONE
from sync.reconcile.pass_plan import DeletedPlan, RecordPlan
from sync.records.item_links import UNLINK_KEY
from tests.decide.builders import (
    IN_SYNC,
    ITEM,
    NOW,
    after,
    board,
    changed,
    claim,
    field_facts,
    filtered,
    item,
    organization,
    plain,
    record_draft,
    record_facts,
)
from tests.decide.plan_builders import World

OUT = {"left_out": FilterSide.RECORD, "note": "It was left out."}


def of_pass(on: BoardContext) -> PassFacts:
    return PassFacts(on, NOW)


RECORDS, ITEMS = filtered("records", "Boss"), filtered("items", "Boss")
EMPLOYED = filtered("items", field="organization", op="is_filled")
CHAIR, UNREAD = item(role_title="Chair"), item(unknown=["role_title"])


def test_a_record_that_fails_is_left_out_with_one_line_in_its_history() -> None:
    plan = after(filter_record, of_pass(RECORDS), record_draft({"role_title": "Chair"}))
    assert (plan.sync_state.left_out, "Role is not “Boss”" in plan.filter_reason) == (FilterSide.RECORD, True)
    assert [line.sentence for line in plan.log] == [f"{plan.filter_reason} Both sides keep what they have."]
    again = after(filter_record, of_pass(RECORDS), record_draft({"role_title": "Chair"}, sync_state=OUT))
    assert (bool(again.filter_reason), again.log) == (True, [])


@pytest.mark.parametrize(
    ("row", "more"),
    [("it matches", {}), ("its sync is off", {"local": {"role_title": "x"}, "record": {"sync_enabled": False}})],
)
def test_the_filter_lets_a_record_be(row: str, more: dict[str, Any]) -> None:
    plan = after(filter_record, of_pass(RECORDS), record_draft(**more))
    assert (plan.is_open, plan.filter_reason, plan.reason, plan.log) == (True, "", "", []), row


@pytest.mark.parametrize(("name", "is_left_out"), [("Acme", False), ("Other", True)])
def test_a_relation_is_compared_by_the_name_of_its_record(name: str, is_left_out: bool) -> None:
    of_acme = filtered("records", "Acme", field="organization")
    facts = record_facts({"organization": organization(name=name)}, on=of_acme)
    assert bool(after(filter_record, of_pass(of_acme), RecordPlan(facts)).filter_reason) is is_left_out


def test_one_that_a_person_unlinks_is_not_asked_about() -> None:
    facts = record_facts({"role_title": "Chair"})
    facts.claim.jobs[0].payload[UNLINK_KEY] = "why"
    assert after(filter_record, of_pass(RECORDS), RecordPlan(replace(facts, claim=claim(facts.record)))).filter_reason
    assert not after(filter_record, of_pass(RECORDS), RecordPlan(facts)).filter_reason


@pytest.mark.parametrize("left_out", ["", *FilterSide])
def test_a_condition_on_records_that_is_unknown_leaves_a_pair_as_it_was(left_out: str) -> None:
    facts = record_facts(sync_state={"left_out": left_out})
    plan = after(filter_record, of_pass(filtered("records", "Annie", field="nickname")), RecordPlan(facts))
    assert (bool(plan.filter_reason), plan.sync_state.left_out) == (bool(left_out), left_out)


@pytest.mark.parametrize(
    ("row", "draft", "plan"),
    [
        ("it matches", record_draft(shown=item()), ""),
        ("it matches again", record_draft(shown=item(), sync_state=OUT), "returns"),
        ("a pair that was synced leaves after the pass", record_draft(shown=CHAIR), ""),
        ("one without a base was never in", record_draft(shown=CHAIR, sync_state={"base": {}}), "filter_reason"),
        ("one that is out stays out", record_draft(shown=CHAIR, sync_state=OUT), "filter_reason"),
        ("what can't be read leaves a pair in", record_draft(shown=UNREAD), "reason"),
        ("what can't be read leaves a pair out", record_draft(shown=UNREAD, sync_state=OUT), "filter_reason"),
        ("no item is made to be left out", record_draft({"role_title": "Chair"}), "filter_reason"),
    ],
)
def test_an_item_is_weighed_by_what_it_says(row: str, draft: RecordPlan, plan: str) -> None:
    weighed = after(filter_item, of_pass(ITEMS), changed(draft, creates=draft.item is None))
    outcomes = {"filter_reason": weighed.filter_reason, "reason": weighed.is_open and weighed.reason}
    outcomes["returns"] = [line.kind for line in weighed.log] == ["let_in"]
    assert "".join(name for name in outcomes if outcomes[name]) == plan, row


@pytest.mark.parametrize(
    ("row", "is_removed", "expected"), [("its item left the board", True, False), ("somebody emptied it", False, True)]
)
def test_only_an_emptied_relation_makes_a_pair_leave(row: str, is_removed: bool, expected: bool) -> None:
    acme = organization(item="70")
    draft = record_draft({"organization": acme}, on=EMPLOYED, agreed={"organization": acme}, shown=item())
    facts = PassFacts(EMPLOYED, NOW, removed_related_items=frozenset({"70"} if is_removed else ()))
    plan = after(filter_item, facts, draft)
    assert (bool(plan.reason), plan.filter_reason) == (is_removed, ""), row
    assert bool(after(leave_out_after_write, facts, changed(plan, ending=DONE), None).filter_reason) is expected


@pytest.mark.parametrize(("removed", "is_out"), [("70", False), ("71", True)])
def test_an_emptied_relation_leaves_a_pair_in_also_after_a_write(removed: str, is_out: bool) -> None:
    acme = {"organization": organization(item="70")}
    extra = {"removed_related_items": frozenset({removed})}
    facts = field_facts({"role_title": "Chair", **acme}, on=EMPLOYED, agreed=acme, extra=extra)
    plan = changed(facts.plan, fields=decide_fields(*facts), ending=DONE)
    assert bool(after(leave_out_after_write, facts.of_pass, plan, CHAIR).filter_reason) is is_out


def test_of_items_found_for_a_record_those_that_match_are_kept() -> None:
    facts, ours = record_facts(), item(id="8")
    assert matching_items(ITEMS, facts.record, [CHAIR, ours]) == ([ours], HOLDS)
    items, verdict = matching_items(ITEMS, facts.record, [CHAIR])
    assert (items, verdict.holds) == ([], False)
    items, verdict = matching_items(ITEMS, facts.record, [ours, UNREAD])
    assert (items, verdict.holds, "may be this record's" in verdict.sentence) == ([], None, True)


def test_an_item_that_left_the_board_while_the_filter_left_it_out_stays_out() -> None:
    plan, out = record_draft(), record_draft(sync_state=OUT)
    assert after(filter_removed_item, ITEMS, plan).is_open
    assert after(filter_removed_item, ITEMS, out).sync_state.left_out == FilterSide.ITEM
    assert [line.kind for line in after(filter_removed_item, board(), out).log] == ["let_in"]


@pytest.mark.parametrize(
    ("row", "on", "draft", "written", "side"),
    [
        ("Monday's edit, read", ITEMS, record_draft(shown=CHAIR), None, FilterSide.ITEM),
        ("ours, as the answer shows it", ITEMS, record_draft(shown=item()), CHAIR, FilterSide.ITEM),
        ("Monday's edit, over which ours was written", ITEMS, record_draft(shown=CHAIR), item(), ""),
        ("the value that it took over", RECORDS, record_draft({"role_title": "Chair"}, shown=CHAIR), None, "record"),
        ("nothing was read", ITEMS, record_draft(), None, ""),
        ("its sync is off", ITEMS, record_draft(record={"sync_enabled": False}, shown=CHAIR), None, ""),
    ],
)
def test_a_pair_leaves_by_what_both_sides_say_after_the_write(
    row: str, on: BoardContext, draft: RecordPlan, written: Item | None, side: str
) -> None:
    plan = after(leave_out_after_write, of_pass(on), changed(draft, ending=DONE), written)
    assert (plan.sync_state.left_out, bool(plan.filter_reason)) == (side, bool(side)), row


SENTENCE = after(filter_item, of_pass(ITEMS), record_draft(shown=CHAIR, sync_state=OUT)).filter_reason
IS_OUT = {"left_out": FilterSide.ITEM, "note": SENTENCE, "sync_status": "skipped", "remote_id": ITEM}


@pytest.mark.parametrize(
    ("row", "shown", "state", "status", "changed"),
    [
        ("it matches, and did", item(), IN_SYNC, "synced", False),
        ("it is left out, as its state says", CHAIR, IS_OUT, "disabled", False),
        ("it fails, and was synced", CHAIR, IN_SYNC, "synced", True),
        ("it matches again", item(), IS_OUT, "disabled", True),
    ],
)
def test_beside_a_listing(row: str, shown: Item, state: dict[str, Any], status: str, changed: bool) -> None:
    facts = record_facts(on=ITEMS, record={"sync_status": status}, sync_state=state, causes=())
    world = World(ITEMS, [facts], {shown.id: shown})
    assert bool(changed_records(*world.decided())) is changed, row


def test_a_send_off_record_is_left_out_too() -> None:
    """Even a record whose sync is off, which is pushed as if it were on."""
    facts = record_facts({"role_title": "Chair"}, record={"sync_enabled": False})
    assert not after(filter_record, of_pass(RECORDS), RecordPlan(facts)).filter_reason
    pushed = replace(facts, claim=claim(facts.record, Cause.PERSON, sync_pressed=True))
    assert after(filter_record, of_pass(RECORDS), RecordPlan(pushed)).filter_reason
    # The item is read again only if it fails its own conditions.
    assert after(filter_record, of_pass(ITEMS), RecordPlan(pushed)).is_open


@pytest.mark.parametrize(
    ("removed", "state"),
    [pytest.param("70", None, id="its organization's item was removed"), pytest.param("71", "kept", id="emptied")],
)
def test_a_deleted_records_item_is_kept_only_if_somebody_emptied_the_cell(removed: str, state: str | None) -> None:
    acme = {"organization": organization(item="70")}
    facts = record_facts(acme, on=EMPLOYED, agreed=acme)
    tombstone = plain(Tombstone, entity_type="contact", entity_id=facts.id, monday_id=ITEM)
    pass_facts = PassFacts(EMPLOYED, NOW, removed_related_items=frozenset({removed}))
    plan = after(decide_deleted, pass_facts, DeletedPlan(DeletedFacts(**vars(facts), tombstone=tombstone), item()))
    assert plan.new_state == state


def test_what_waits_for_an_approval_is_taken_over_first() -> None:
    plans = decide_fields(*field_facts(remote={"role_title": "Chair"}))
    plan = changed(record_draft(shown=CHAIR), fields=plans, ending=DONE)
    blocked = plan.copied()
    blocked.fields["role_title"].block(BlockedCode.APPROVAL, "It waits.")
    assert not after(leave_out_after_write, of_pass(ITEMS), blocked, None).filter_reason
    assert after(leave_out_after_write, of_pass(ITEMS), plan, None).filter_reason
