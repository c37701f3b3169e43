"""What becomes of one field when a pass is settled, from values alone."""

from typing import Any

import pytest

from sync.choices import BlockedCode, SyncDirection
from sync.merge import Action, FieldDecision, FieldSides, Side, Unknown
from sync.models import FieldMapping
from sync.monday.board_items import Item, Reading
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.reconcile.outcomes import DONE, Outcome
from sync.reconcile.pass_plan import FieldPlan
from sync.reconcile.settle.record import SettledRecord
from tests.decide.builders import NOW, answered_as, changed, contact, draft

MAPPING = FieldMapping(key="role_title", fields=["role_title"], column_id="role", version=1, label="Role")
TEXT = make_converter("text", ConverterOptions())
KEY = MAPPING.key


def item(value: str | None, *, known: bool = True) -> Item:
    return Item("7", "Ann", "active", values={"role": Reading("role", "text", text=value, value=value, is_known=known)})


def settled(action: Action, answer: Item | None = None, *, creates: bool = False, **values: Any) -> SettledRecord:
    remote = TEXT.cell_value(item("Chair").reading("role"))
    values = {"remote_raw": remote} | values
    field = FieldPlan(MAPPING, TEXT, SyncDirection.BIDIRECTIONAL, FieldDecision(action), {KEY: "Boss"}, **values)
    plan = changed(draft(contact(role_title="Boss"), item=item("Chair")), creates=creates, fields={KEY: field})
    plan.ending = DONE
    plan.write = answered_as(Outcome.OPEN, item=answer)
    record = SettledRecord(plan, plan.record)
    record.settle_fields(NOW)
    return record


def base_of(record: SettledRecord) -> Any:
    """The base without its time."""
    entry = record.plan.sync_state.base.get(KEY)
    return entry and {name: value for name, value in entry.items() if name != "at"}


def pair(record: SettledRecord) -> tuple[Any, Any]:
    return TEXT.canonical_local(base_of(record)["local"]), TEXT.canonical_remote(base_of(record)["remote"])


def remark(record: SettledRecord) -> Any:
    return record.plan.sync_state.altered.get(KEY)


def outcome(record: SettledRecord) -> Outcome:
    return record.plan.outcome


def found(record: SettledRecord) -> tuple[Any, ...]:
    """All that settling found out about a field."""
    return record.values, base_of(record), remark(record), record.plan.log, outcome(record), record.is_overtaken


SENT = {"send_raw": {"role_title": "Boss"}}
TAKEN = {"pull_raw": {"role_title": "Chair"}}


def test_a_push_that_was_answered_moves_the_base_to_what_was_sent_and_answered() -> None:
    result = settled(Action.PUSH, answer=item("Boss"), **SENT)
    assert (pair(result), remark(result), result.values) == (("Boss", "Boss"), None, {})


def test_what_monday_made_of_a_value_is_said() -> None:
    result = settled(Action.PUSH, answer=item("BOSS"), **SENT)
    assert pair(result) == ("Boss", "BOSS")
    assert "Monday stored “Boss” as “BOSS”" in remark(result)["reason"]


OLD = {"local": {"role_title": "Chair"}, "remote": "Chair", "item": "7", "column": "role", "version": 1}


def test_a_write_whose_answer_shows_what_was_read_keeps_its_base() -> None:
    first = settled(Action.PUSH, item("Chair"), base=OLD, **SENT)
    again = settled(Action.PUSH, item("Chair"), base=OLD, sends_in_vain=1, **SENT)
    assert (base_of(first), outcome(first)) == (OLD, Outcome.DEFERRED)
    assert (base_of(again), outcome(again)) == (OLD, Outcome.DONE)
    assert "sent once more" in remark(first)["reason"]
    assert "sent twice" in remark(again)["reason"]
    waits = settled(Action.NOTHING, base=OLD, sends_in_vain=2)
    assert (base_of(waits), remark(waits)) == (OLD, remark(again))
    united = settled(Action.BOTH, item("Chair"), base=OLD, pull_raw={"role_title": "Boss"}, **SENT)
    assert (base_of(united), united.values, outcome(united)) == (OLD, {"role_title": "Boss"}, Outcome.DEFERRED)


@pytest.mark.parametrize(("read", "sent"), [("Boss", "BOSS"), ("Head - x...", "Head — x…"), ("Boss", "Boss\u200b")])
def test_what_monday_normalises_is_no_write_without_effect(read: str, sent: str) -> None:
    differs = {"remote_raw": read, "send_raw": {"role_title": sent}}
    result = settled(Action.PUSH, item(read), base=OLD, **differs)
    lossless = remark(result) and remark(result)["lossless"]
    assert (pair(result), outcome(result), lossless) == ((sent, read), Outcome.DONE, True)


@pytest.mark.parametrize(("action", "sent"), [(Action.PUSH, {"role_title": "Boss"}), (Action.AGREED, None)])
def test_only_what_a_create_lost_gets_no_base(action: Action, sent: dict[str, Any] | None) -> None:
    result = settled(action, item(None), creates=True, remote_raw=None, send_raw=sent)
    assert (base_of(result), outcome(result)) == (None, Outcome.DEFERRED)


def test_what_monday_fills_into_a_new_item_is_read_again() -> None:
    result = settled(Action.AGREED, item("Default"), creates=True)
    assert (base_of(result), outcome(result)) == (None, Outcome.DEFERRED)
    assert pair(settled(Action.AGREED, item("Boss"), creates=True)) == ("Boss", "Boss")


def test_a_push_without_an_answer_moves_nothing() -> None:
    assert found(settled(Action.PUSH, **SENT)) == ({}, None, None, [], Outcome.DONE, False)


def test_a_pull_writes_the_record_and_moves_the_base() -> None:
    result = settled(Action.PULL, **TAKEN)
    assert (result.values, pair(result)) == ({"role_title": "Chair"}, ("Chair", "Chair"))


@pytest.mark.parametrize("reason", [{"blocked_code": BlockedCode.REJECTED}, {"conflict": object()}])
def test_a_field_that_waits_keeps_the_base_that_its_intents_left(reason: dict[str, Any]) -> None:
    base = {"local": {"role_title": "Old"}, "remote": "Old"}
    result = settled(Action.PULL, base=base, **TAKEN, **reason)
    assert found(result) == ({}, base, None, [], Outcome.DONE, False)


UNKNOWN = Unknown("It can't be read.")


@pytest.mark.parametrize(
    ("local", "remote", "base", "expected"),
    [
        ("a", "a", ("a", "a"), "local_unchanged unchanged equal"),
        ("b", "a", ("a", "a"), "local_changed differ"),
        ("a", "b", ("a", "a"), "remote_changed local_unchanged differ"),
        ("b", "b", ("a", "a"), "local_changed remote_changed equal"),
        (None, "a", ("a", "a"), "local_changed differ"),
        # Monday keeps another form: each side is compared with its own half.
        ("+4312", "12", ("+4312", "12"), "local_unchanged unchanged differ"),
        # Without a base both halves count as empty.
        (None, None, None, "equal"),
        ("a", None, None, "local_changed differ"),
        ("a", "b", None, "local_changed remote_changed differ"),
        # Nothing is said of unknown values.
        (UNKNOWN, "a", ("a", "a"), ""),
        ("a", UNKNOWN, ("a", "a"), "local_unchanged"),
        ("b", "b", (UNKNOWN, UNKNOWN), "equal"),
        (UNKNOWN, UNKNOWN, None, ""),
    ],
)
def test_a_field_s_sides(local: Side, remote: Side, base: tuple[Side, Side] | None, expected: str) -> None:
    sides = FieldSides(local, remote, base)
    names = ["local_changed", "remote_changed", "local_unchanged", "unchanged", "equal", "differ"]
    assert {name for name in names if getattr(sides, name)} == set(expected.split())
