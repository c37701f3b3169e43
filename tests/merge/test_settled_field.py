"""What becomes of one field when a pass is settled, from values alone."""

from typing import Any

import pytest

from npd.models import Contact
from sync.merge import Action, FieldDecision, FieldSides, Side, Unknown
from sync.models import FieldMapping
from sync.monday.board_items import Item, Reading
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.reconcile.changes import settle_field
from sync.reconcile.pass_plan import FieldPlan

MAPPING = FieldMapping(key="role_title", fields=["role_title"], column_id="role", version=1, label="Role")
TEXT = make_converter("text", ConverterOptions())


def item(value: str | None, *, known: bool = True) -> Item:
    return Item("7", "Ann", "active", values={"role": Reading("role", "text", text=value, value=value, is_known=known)})


def settled(action: Action, answer: Item | None = None, *, creates: bool = False, **values: Any) -> FieldPlan:
    remote = TEXT.cell_value(item("Chair").reading("role"))
    values = {"remote_raw": remote} | values
    plan = FieldPlan(MAPPING, TEXT, FieldDecision(action), {"role_title": "Boss"}, **values)
    settle_field(plan, Contact(role_title="Boss"), item("Chair"), answer, creates=creates)
    return plan


def pair(field: FieldPlan) -> tuple[Any, Any]:
    assert field.new_base is not None
    return TEXT.canonical_local(field.new_base["local"]), TEXT.canonical_remote(field.new_base["remote"])


def found(field: FieldPlan) -> tuple[Any, ...]:
    """All that settling found out about a field."""
    return field.values, field.new_base, field.remark, field.transfer, field.recheck, field.is_overtaken


SENT = {"send_raw": {"role_title": "Boss"}}
TAKEN = {"write_raw": {"role_title": "Chair"}}


def test_a_push_that_was_answered_moves_the_base_to_what_was_sent_and_answered() -> None:
    result = settled(Action.PUSH, answer=item("Boss"), **SENT)
    assert (pair(result), result.remark, result.values) == (("Boss", "Boss"), {}, None)


def test_what_monday_made_of_a_value_is_said() -> None:
    result = settled(Action.PUSH, answer=item("BOSS"), **SENT)
    assert pair(result) == ("Boss", "BOSS")
    assert result.remark
    assert "Monday stored “Boss” as “BOSS”" in result.remark["reason"]


OLD = {"local": {"role_title": "Chair"}, "remote": "Chair", "item": "7", "column": "role", "version": 1}


def test_a_write_whose_answer_shows_what_was_read_keeps_its_base() -> None:
    first = settled(Action.PUSH, item("Chair"), base=OLD, **SENT)
    again = settled(Action.PUSH, item("Chair"), base=OLD, sends_in_vain=1, **SENT)
    assert (first.new_base, bool(first.recheck), again.new_base, again.recheck) == (OLD, True, OLD, "")
    assert first.remark
    assert again.remark
    assert "sent once more" in first.remark["reason"]
    assert "sent twice" in again.remark["reason"]
    waits = settled(Action.NOTHING, base=OLD, sends_in_vain=2)
    assert (waits.new_base, waits.remark) == (OLD, again.remark)
    united = settled(Action.BOTH, item("Chair"), base=OLD, write_raw={"role_title": "Boss"}, **SENT)
    assert (united.new_base, united.values, bool(united.recheck)) == (OLD, {"role_title": "Boss"}, True)


@pytest.mark.parametrize(("read", "sent"), [("Boss", "BOSS"), ("Head - x...", "Head — x…"), ("Boss", "Boss\u200b")])
def test_what_monday_normalises_is_no_write_without_effect(read: str, sent: str) -> None:
    differs = {"remote_raw": read, "send_raw": {"role_title": sent}}
    result = settled(Action.PUSH, item(read), base=OLD, **differs)
    assert (pair(result), result.recheck, result.remark and result.remark["lossless"]) == ((sent, read), "", True)


@pytest.mark.parametrize(("action", "sent"), [(Action.PUSH, {"role_title": "Boss"}), (Action.AGREED, None)])
def test_only_what_a_create_lost_gets_no_base(action: Action, sent: dict[str, Any] | None) -> None:
    result = settled(action, item(None), creates=True, remote_raw=None, send_raw=sent)
    assert (result.new_base, bool(result.recheck)) == (None, True)


def test_what_monday_fills_into_a_new_item_is_read_again() -> None:
    result = settled(Action.AGREED, item("Default"), creates=True)
    assert (result.new_base, bool(result.recheck)) == (None, True)
    assert pair(settled(Action.AGREED, item("Boss"), creates=True)) == ("Boss", "Boss")


def test_a_push_without_an_answer_moves_nothing() -> None:
    assert found(settled(Action.PUSH, **SENT)) == (None, None, None, None, "", False)


def test_a_pull_writes_the_record_and_moves_the_base() -> None:
    result = settled(Action.PULL, **TAKEN)
    assert (result.values, pair(result)) == ({"role_title": "Chair"}, ("Chair", "Chair"))


@pytest.mark.parametrize("reason", [{"blocked_reason": "Monday refused it."}, {"conflict": object()}])
def test_a_field_that_waits_keeps_the_base_that_its_intents_left(reason: dict[str, Any]) -> None:
    base = {"local": {"role_title": "Old"}, "remote": "Old"}
    result = settled(Action.PULL, base=base, **TAKEN, **reason)
    assert found(result) == (None, base, None, None, "", False)


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
