"""What NPD writes to a record from its plan, Monday's answer and its current row: nothing that was overtaken."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from conflicts.reports import REMOVED_ITEM, Option
from sync.choices import Cause, RemovedItemPolicy
from sync.models import BoardLink, FieldMapping, Intent, SyncedModel
from sync.monday.board_items import ARCHIVED, Item
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.questions import ask
from sync.reconcile.missing.removed_items import creating_job, deletion_must_wait, take_deletion_result
from sync.reconcile.outcomes import DONE, Outcome, Write
from sync.reconcile.pass_plan import RecordPlan, Removal
from sync.reconcile.settle.record import SettledRecord, answered_values
from tests.decide.builders import ITEM, answered_as, board, changed, contact, item, record_draft, record_facts, taken
from tests.decide.plan_builders import NOW, World

ROLE, BOARD = "role_title", board()
FACTS = PassFacts(BOARD, NOW)
OPEN_INTENT = Intent()


def decided(local: Mapping[str, Any] | None = None, shown: Item | None = None) -> RecordPlan:
    facts = record_facts(local, causes=[Cause.PERSON], sync_state={"remote_state": "active"})
    [plan] = World(records=[facts], items={ITEM: shown or item()}).plan().records.values()
    return changed(plan, ending=DONE)


def removed(act: RemovedItemPolicy, **more: Any) -> RecordPlan:
    removal = Removal("It is gone.", act=act, **more)
    plan = changed(record_draft(sync_state={"remote_state": ARCHIVED}), removal=removal)
    options = [Option("delete_record", "It goes."), Option("unlink", "It stays.")]
    plan.question = ask(REMOVED_ITEM, plan.record, ITEM, "It is gone.", options)
    if act is RemovedItemPolicy.UNLINK:
        plan.unlink("its item is gone")
    return changed(plan, ending=DONE)


def settled(plan: RecordPlan, locked: SyncedModel, *args: Any) -> SettledRecord:
    record = SettledRecord(plan.copied(), locked)
    record.settle(FACTS, *args)
    return record


def written(plan: RecordPlan, answer: Write | None = None, paused: str = "", **now: Any) -> SettledRecord:
    """What is written if the record has the values `now` by then."""
    values = {key: getattr(plan.record, key) for key in (ROLE, "notes", "monday_id", "sync_enabled")} | now
    own = {key: values.pop(key) for key in ("monday_id", "sync_enabled")}
    return settled(changed(plan, write=answer or plan.write), contact(id=plan.id, **values, **own), paused)


def pull() -> RecordPlan:
    return decided(shown=item(role_title="Chair"))


def test_what_monday_says_is_written_where_npd_still_says_what_was_read() -> None:
    changes = written(pull())
    assert (changes.values, changes.is_overtaken) == ({ROLE: "Chair"}, False)
    assert getattr(changes.plan.record, ROLE) == "Chair"
    assert [line.kind for line in changes.plan.log] == ["pull"]


@pytest.mark.parametrize(
    ("row", "paused", "now", "outcome"),
    [
        ("the board was paused", "Paused.", {}, Outcome.RELEASED),
        ("its settings changed", "", {"sync_enabled": False}, Outcome.RELEASED),
    ],
)
def test_nothing_is_written_any_more(row: str, paused: str, now: dict[str, Any], outcome: Outcome) -> None:
    answer = answered_as(Outcome.OPEN, item=item(), open_intent=OPEN_INTENT)
    changes = written(pull(), answer, paused, **now)
    assert (changes.values, changes.plan.outcome, changes.plan.fields) == ({}, outcome, {}), row
    assert changes.plan.write.open_intent is None, "what was sent is found out by the next pass"


def test_an_answer_that_shows_nothing_leaves_its_intent_open() -> None:
    plan = decided({ROLE: "Chair"})
    answer = answered_as(Outcome.OPEN, item=item(unknown=[ROLE]), open_intent=OPEN_INTENT)
    changes = written(plan, answer)
    assert (changes.keeps_intent, changes.plan.outcome) == (True, Outcome.DEFERRED)
    answered = written(plan, replace(answer, item=item(role_title="Chair")))
    assert (answered.keeps_intent, answered.plan.outcome) == (False, Outcome.DONE)
    assert answered_values(answered.plan) == {ROLE: "Chair"}


def test_a_record_whose_item_is_gone_is_unlinked_remade_or_deleted() -> None:
    unlinked = written(removed(RemovedItemPolicy.UNLINK))
    assert unlinked.values == {"monday_id": None, "sync_enabled": False}
    assert (unlinked.plan.unlinked_item_id, [line.kind for line in unlinked.plan.log]) == (ITEM, ["unlinked"])
    remade = written(removed(RemovedItemPolicy.CREATE, is_chosen=True))
    assert remade.plan.removal is not None
    assert (remade.values, bool(remade.plan.removal.result)) == ({"monday_id": None}, True)
    assert creating_job(remade.plan, remade.plan.removal)["cause"] is Cause.PERSON
    written_before_deletion = written(removed(RemovedItemPolicy.DELETE))
    deletes = written_before_deletion.plan
    assert (deletes.deletes, written_before_deletion.values) == (True, {})
    assert taken(take_deletion_result, deletes, "").is_deleted
    remaining = taken(take_deletion_result, deletes, "Something needs it.")
    assert remaining.question is not None
    assert (remaining.is_deleted, remaining.asks_about_removal) == (False, True)
    assert [option["choose"] for option in remaining.question.data["options"]] == ["unlink"]


@pytest.mark.parametrize(
    ("chosen", "loss", "waits"),
    [(False, "", False), (False, " 1 contact.", True), (True, " 1 contact.", False)],
    ids=["nobody would miss it", "something names it since the policy decided", "a person was told, and chose it"],
)
def test_a_policy_deletes_only_what_nobody_would_miss(chosen: bool, loss: str, waits: bool) -> None:
    changes = written(removed(RemovedItemPolicy.DELETE, is_chosen=chosen)).plan
    assert changes.removal is not None
    assert (changes.deletes, deletion_must_wait(changes.removal, loss)) == (True, waits)


@pytest.mark.parametrize(
    ("act", "now"),
    [
        (RemovedItemPolicy.UNLINK, {"monday_id": "x"}),
        (RemovedItemPolicy.CREATE, {"monday_id": "x"}),
        (RemovedItemPolicy.DELETE, {"notes": "x"}),
    ],
)
def test_a_record_changed_meanwhile_is_left_to_its_next_pass(act: RemovedItemPolicy, now: dict[str, Any]) -> None:
    changes = written(removed(act), **now)
    plan = changes.plan
    assert (changes.values, plan.deletes, plan.unlinked_item_id, plan.act) == ({}, False, "", "")
    assert (plan.outcome, plan.log) == (Outcome.RELEASED, [])


@pytest.mark.parametrize(
    ("plan", "now", "stands"),
    [
        (pull(), {}, True),
        (pull(), {"direction": "npd_to_monday"}, False),
        (pull(), {"version": 2}, False),
        (removed(RemovedItemPolicy.DELETE), {}, True),
        (removed(RemovedItemPolicy.DELETE), {"policy": "ask"}, False),
        (removed(RemovedItemPolicy.DELETE, is_chosen=True), {"policy": "ask"}, True),
        (removed(RemovedItemPolicy.UNLINK), {}, False),
    ],
)
def test_a_changed_setting_leaves_it_to_the_next_pass(plan: RecordPlan, now: dict[str, Any], stands: bool) -> None:
    then = {"version": 1, "direction": "bidirectional", "policy": "delete_record"} | now
    mapping = FieldMapping(key=ROLE, version=then["version"], direction=then["direction"])
    settings = replace(BOARD, link=BoardLink(pk=1, removed_item_policy=then["policy"]), mappings=[mapping])
    changes = settled(plan, plan.record, "", settings)
    is_settled = changes.plan.outcome is Outcome.DONE
    assert (bool(changes.values or changes.plan.deletes), is_settled) == (stands, stands)
