"""How the executor splits refused documents and what it never sends twice: a fake Monday, no database."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from sync.choices import CallKind
from sync.limits.breaker import FAILED_ENOUGH, FEW, WRITES_STOPPED
from sync.limits.failed_writes import FailedDocument, Failures
from sync.models import Intent
from sync.models.boards_and_account import Stop
from sync.monday.board_items import Item, WriteRequest, WriteResult
from sync.monday.errors import (
    BOARD_FORBIDDEN,
    COLUMN_NOT_FOUND,
    DOCUMENT_REJECTED,
    FIELD_REJECTED,
    ITEM_NOT_FOUND,
    NOT_AUTHENTICATED,
    RECORD_REJECTED,
    SERVER_FAILED,
    TIMED_OUT,
    MondayError,
)
from sync.reconcile import send as sending
from sync.reconcile.created_items import CreatedItems
from sync.reconcile.failed_reads import ending_of_failed_read
from sync.reconcile.outcomes import Outcome, Write
from sync.reconcile.send import Executor, request_of
from tests.decide.builders import NOW, NPD_ID_COLUMN, board, mapping

Said = Item | MondayError
CHANGE = CallKind.CHANGE
NAME, ROLE, NOTES = ("name", "role_title", "notes")
OK = Item("7", "Ann", "active")


@dataclass
class Monday:
    """A fake Monday: records what was sent, by units and aliases, and answers each document and alias."""

    sent: list[str] = field(default_factory=list)
    looked_for: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    existing: dict[str, Item] | None = field(default_factory=dict)
    created: CreatedItems | None = None  # since a create was refused; None if the log can't be read
    of_document: Callable[[str], MondayError | None] = lambda units: None
    of_alias: Callable[[str, str], Said] = lambda units, alias: OK
    failed: list[int] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    wait: float | None = 60  # None: whatever fails is at fault
    failures: dict[UUID, Failures] = field(default_factory=dict)
    last_refused: str = ""  # the last unit whose item refused its write, also before the pass
    repeats: int = 20

    def commit(self, executor: Executor, kind: CallKind, writes: Sequence[Write], key: str) -> Any:
        executor.intended_at = time.monotonic()
        self.units = "".join(unit_of(write) for write in writes)
        for number, write in enumerate(writes):
            write.intent = Intent(item_id=write.item_id, alias=f"r{number}")
        return writes, request_of(executor.board, kind, writes)

    def write(self, request: WriteRequest, key: str) -> WriteResult:
        self.sent.append(f"{self.units}: {' '.join(request.aliases)}")
        if error := self.of_document(self.units):
            raise error
        return WriteResult({alias: self.of_alias(self.units, alias) for alias in request.aliases}, "r-1")

    def look_up(self, _: Any, __: Any, ids: Sequence[str]) -> dict[str, Item] | None:
        self.looked_for += ids
        return self.existing

    def is_last_write_refused(self, _: Any, beside: Sequence[Write]) -> bool:
        tried = [call.split(":")[0] for call in self.sent if "npdid" in call]
        refused = [self.last_refused, *tried]
        return any(unit and unit not in map(unit_of, beside) for unit in refused)

    def read_created(self, *_: Any) -> CreatedItems | None:
        return self.created

    def executor(self) -> Executor:
        lease: Any = SimpleNamespace()
        connector: Any = self
        return Executor(lease, board(mapping("name"), mapping(), mapping("notes")), connector)

    def send(self, *writes: Write, by: Executor | None = None) -> dict[str, Write]:
        (by or self.executor()).send(CHANGE, writes)
        return {unit_of(write): write for write in writes}

    def make(self, *writes: Write) -> dict[str, Write]:
        self.executor().create(writes)
        return {unit_of(write): write for write in writes}

    # The breaker's part.

    def stop_board_or_account(self, link: Any, error: MondayError) -> None:
        self.stopped.append(error.kind.code)

    WRITES_STOPPED = WRITES_STOPPED
    FAILED_ENOUGH = FAILED_ENOUGH
    FEW = FEW

    def failures_of(self, records: Sequence[UUID]) -> dict[UUID, Failures]:
        return {record_id: self.failures[record_id] for record_id in records if record_id in self.failures}

    def judge_failed_writes(self, failed: Sequence[FailedDocument], *, others_written: bool) -> set[UUID]:
        self.failed += [len(records) for _, records in failed]
        is_at_fault = others_written or self.wait is None
        return {record_id for _, records in failed for record_id in records if is_at_fault}

    def seconds_until_write(self) -> float:
        return self.wait or 0.0

    def stop_refused_writes(self, error: MondayError) -> None:
        self.failed.append(0)

    def repeats_left(self) -> int:
        return self.repeats

    def seconds_until_repeats(self) -> float:
        return 3_600

    def stop_of_call(self, link: Any, kind: str) -> Stop | None:
        return Stop(NOW, NOW + timedelta(minutes=1), self.refused[kind]) if kind in self.refused else None

    def stop_board(self, link: Any, error: MondayError, kind: str) -> None:
        self.refused[kind] = f"{WRITES_STOPPED} {error.sentence}"

    def end_stop(self, link: Any, kind: str) -> None:
        self.refused.pop(kind, None)

    def sweep_soon(self, links: Any) -> None:
        self.stopped.append("checked soon")


@pytest.fixture
def monday(monkeypatch: pytest.MonkeyPatch) -> Monday:
    """Replaces the breaker, the announcements and the look-up."""
    monday = Monday()
    monkeypatch.setattr(sending, "commit_intents", monday.commit)
    monkeypatch.setattr(sending, "_close_intents", lambda writes, state: None)
    monkeypatch.setattr(sending, "_forget_values", lambda intent, rejected: None)
    monkeypatch.setattr(sending, "breaker", monday)
    monkeypatch.setattr(sending, "failed_writes", monday)
    monkeypatch.setattr(sending, "wakeups", monday)
    monkeypatch.setattr(sending, "sync_now", lambda: NOW)
    monkeypatch.setattr(sending.created_items, "items_with_npd_ids", monday.look_up)
    monkeypatch.setattr(sending.created_items, "read_created_items", monday.read_created)
    monkeypatch.setattr(sending, "is_last_write_refused", monday.is_last_write_refused)
    return monday


def change(unit: str, *fields: str, npd_id: bool = False) -> Write:
    keys = fields or (ROLE, NOTES)
    values = {key: key.upper() for key in keys} | ({NPD_ID_COLUMN: unit} if npd_id else {})
    entries = {key: {"local": {}, "column": key} for key in keys}
    return Write(UUID(int=ord(unit)), f"item {unit}", values, entries)


def create(unit: str, *fields: str) -> Write:
    write = change(unit, *(fields or (NAME, ROLE, NOTES)), npd_id=True)
    write.item_id = ""
    return write


def unit_of(write: Write) -> str:
    return chr(write.record_id.int)


def outcomes(answers: Mapping[str, Write]) -> dict[str, Outcome]:
    return {unit: answer.ending.outcome for unit, answer in answers.items()}


# --- documents --------------------------------------------------------------------------------------------------------


def test_a_document_that_was_refused_is_halved_until_the_bad_one_is_alone(monday: Monday) -> None:
    monday.of_document = lambda units: MondayError(DOCUMENT_REJECTED, "no") if "c" in units else None
    monday.wait = None
    answers = monday.send(*map(change, "abcd"))
    assert [call.split(":")[0] for call in monday.sent] == ["abcd", "ab", "cd", "c", "d"]
    assert outcomes(answers) == {"a": Outcome.OPEN, "b": Outcome.OPEN, "c": Outcome.FAILED, "d": Outcome.OPEN}
    assert answers["a"].open_intent is not None
    assert answers["a"].open_intent.request_id == "r-1"
    assert answers["c"].open_intent is None


@pytest.mark.parametrize(
    "error",
    [MondayError(TIMED_OUT, "late"), MondayError(SERVER_FAILED, "500"), MondayError(NOT_AUTHENTICATED, "no")],
    ids=lambda e: e.scope,
)
def test_a_write_unknown_or_failed_for_all_is_never_divided(monday: Monday, error: MondayError) -> None:
    monday.of_document = lambda units: error
    act_now = monday.executor()
    reason = f"{WRITES_STOPPED} {error.sentence}"
    answers = monday.send(change("a"), change("b"), by=act_now)
    assert set(outcomes(answers).values()) == {Outcome.RELEASED}
    assert {answer.open_intent is not None for answer in answers.values()} == {error.outcome_unknown}
    later = monday.send(change("c"), by=act_now)
    assert (later["c"].ending.outcome, later["c"].ending.detail) == (Outcome.RELEASED, reason)
    assert len(monday.sent) == 1


@pytest.mark.parametrize(
    ("error", "number", "was_isolated", "outcome", "at_most"),
    [
        (MondayError(TIMED_OUT, "late"), 1, True, Outcome.FAILED, 1),
        (MondayError(TIMED_OUT, "late"), 1, False, Outcome.RELEASED, 1),
        (MondayError(TIMED_OUT, "late"), 9, True, Outcome.RELEASED, 2),
        (MondayError(NOT_AUTHENTICATED, "no"), 1, True, Outcome.RELEASED, 0),
    ],
)
def test_a_read_that_fails_alone_again_counts(
    error: MondayError, number: int, was_isolated: bool, outcome: Outcome, at_most: int
) -> None:
    ending = ending_of_failed_read(error, number, was_isolated=was_isolated)
    assert (ending.outcome, ending.at_most, ending.is_unsent) == (outcome, at_most, False)


@pytest.mark.parametrize("error", [MondayError(TIMED_OUT, "late"), MondayError(SERVER_FAILED, "500")])
def test_an_unknown_write_comes_again_in_parts_and_a_single_waits(monday: Monday, error: MondayError) -> None:
    monday.of_document = lambda units: error
    several = monday.send(*map(change, "abcdefgh"))["a"]
    assert several.ending.outcome is Outcome.RELEASED
    alone = monday.send(change("a"))["a"]
    assert (alone.ending.outcome, alone.ending.wait_seconds) == (Outcome.DEFERRED, 60)
    monday.wait = None
    act_now = monday.executor()
    assert monday.send(change("a"), by=act_now)["a"].ending.outcome is Outcome.FAILED
    assert not act_now.stop_reason, "its neighbours go on"
    assert monday.failed == [8, 1, 1]


def test_what_failed_together_comes_in_parts_after_all_else_and_is_judged_by_it(monday: Monday) -> None:
    few = [change(unit) for unit in "abc"]
    many = [change(unit) for unit in "efghijklmnop"]
    monday.failures = {write.record_id: Failures("few", 3, is_at_fault=True) for write in few}
    monday.failures |= {write.record_id: Failures("many", 12, is_at_fault=False) for write in many}
    monday.of_document = lambda units: MondayError(SERVER_FAILED, "500") if "b" in units or "g" in units else None
    answers = outcomes(monday.send(*few, *many, change("z")))
    assert [call.split(":")[0] for call in monday.sent] == ["z", "efg", "hij", "klm", "nop", "a", "b", "c"]
    assert (answers["g"], answers["b"], answers["c"]) == (Outcome.RELEASED, Outcome.FAILED, Outcome.OPEN)


def test_large_parts_are_repeated_first_and_once_no_repeat_is_left_the_rest_waits(monday: Monday) -> None:
    parts = [change(unit) for unit in "efghijklm"]
    singles = [change(unit) for unit in "abcd"]
    monday.repeats = 2
    monday.failures = {write.record_id: Failures(unit_of(write), 1, is_at_fault=True) for write in singles}
    monday.failures |= {write.record_id: Failures("part", 9, is_at_fault=True) for write in parts}
    monday.of_document = lambda units: MondayError(SERVER_FAILED, "500") if units in ("efg", "b") else None
    answers = monday.send(*singles, *parts, change("z"))
    assert [call.split(":")[0] for call in monday.sent] == ["z", "efg", "hij", "klm", "a", "b"]
    assert outcomes(answers) == {
        **dict.fromkeys("efg", Outcome.RELEASED),
        **dict.fromkeys("hijklmaz", Outcome.OPEN),
        "b": Outcome.FAILED,
        **dict.fromkeys("cd", Outcome.DEFERRED),
    }
    assert answers["c"].ending.wait_seconds == 3_600


def test_a_call_of_which_no_part_has_a_known_outcome_has_failed(monday: Monday) -> None:
    monday.of_alias = lambda units, alias: MondayError(SERVER_FAILED, "500")
    assert monday.send(change("a"), change("b"))["b"].ending.outcome is Outcome.RELEASED
    assert monday.failed == [2]


@pytest.mark.parametrize(
    ("error", "outcome", "failed"),
    [
        (MondayError(ITEM_NOT_FOUND, "no item"), Outcome.FAILED, []),
        (MondayError(RECORD_REJECTED, "no"), Outcome.FAILED, []),
        (MondayError(NOT_AUTHENTICATED, "no"), Outcome.RELEASED, [0]),
    ],
)
def test_one_refusal_leaves_the_others(monday: Monday, error: MondayError, outcome: Outcome, failed: list[int]) -> None:
    monday.of_alias = lambda units, alias: error if alias == "r1" else OK
    answers = monday.send(change("a"), change("b"))
    assert outcomes(answers) == {"a": Outcome.OPEN, "b": outcome}
    assert (monday.failed, len(monday.sent)) == (failed, 1)


# --- values -----------------------------------------------------------------------------------------------------------


def test_the_other_values_of_a_refused_change_are_sent_one_by_one(monday: Monday) -> None:
    answers: dict[str, Said] = {"r0": MondayError(FIELD_REJECTED, "no"), "v1": MondayError(FIELD_REJECTED, "too long")}
    monday.of_alias = lambda units, alias: answers.get(alias, OK)
    answer = monday.send(change("a", npd_id=True))["a"]
    assert monday.sent == ["a: r0", "a: v0 v1 npdid"]
    expected = (Outcome.OPEN, OK, ["role_title"], ["notes"])
    assert (answer.ending.outcome, answer.item, list(answer.items_by_field), list(answer.rejected)) == expected


def test_a_value_that_monday_names_by_its_column_is_not_sent_again(monday: Monday) -> None:
    monday.of_alias = lambda units, alias: MondayError(FIELD_REJECTED, "no", column_id="notes") if alias == "r0" else OK
    answers = monday.send(change("a"), change("b", NOTES))
    assert monday.sent == ["ab: r0 r1", "a: v0"]
    assert (list(answers["a"].items_by_field), list(answers["a"].rejected)) == (["role_title"], ["notes"])


def test_the_only_value_of_a_refused_change_is_blocked_and_nothing_more_is_sent(monday: Monday) -> None:
    monday.of_alias = lambda units, alias: MondayError(FIELD_REJECTED, "no")
    answer = monday.send(change("a", ROLE))["a"]
    expected = (["a: r0"], Outcome.OPEN, None, ["role_title"])
    assert (monday.sent, answer.ending.outcome, answer.item, list(answer.rejected)) == expected


def test_values_behind_one_that_fails_otherwise_are_not_believed(monday: Monday) -> None:
    answers: dict[str, Said] = {"r0": MondayError(FIELD_REJECTED, "no"), "v1": MondayError(ITEM_NOT_FOUND, "no item")}
    monday.of_alias = lambda units, alias: answers.get(alias, OK)
    answer = monday.send(change("a"))["a"]
    assert (answer.is_gone, answer.item, answer.unsent) == (True, OK, {"notes"})


def test_what_the_user_may_not_write_is_tried_apart_with_the_npd_id(monday: Monday) -> None:
    closed = MondayError(BOARD_FORBIDDEN, "no")
    monday.of_alias = lambda units, alias: closed if alias in ("r0", "r1", "v0") and len(monday.sent) < 3 else OK
    answers = monday.send(change("a"), change("b"))
    assert monday.sent == ["ab: r0 r1", "a: v0 v1 npdid", "b: r0"]
    assert {unit: list(answer.rejected) for unit, answer in answers.items()} == {
        "a": ["role_title"],
        "b": ["role_title"],
    }
    assert not monday.refused


def test_an_item_that_takes_all_values_after_all_closes_no_board(monday: Monday) -> None:
    """Somebody gave NPD Sync's user the right between the two calls."""
    monday.of_alias = lambda units, alias: MondayError(BOARD_FORBIDDEN, "no") if len(monday.sent) == 1 else OK
    answers = monday.send(change("a"), change("b"))
    assert monday.sent == ["ab: r0 r1", "a: v0 v1 npdid", "b: v0 v1 npdid"]
    assert (outcomes(answers), monday.refused) == ({"a": Outcome.OPEN, "b": Outcome.OPEN}, {})


@pytest.mark.parametrize(
    ("item_before", "units", "outcomes_then", "is_stopped"),
    [
        ("open", "a", {"a": Outcome.FAILED}, False),
        ("closed", "a", {"a": Outcome.DEFERRED}, True),
        ("open", "abc", dict.fromkeys("abc", Outcome.DEFERRED), True),
    ],
    ids=["one after another was written", "one after another was refused", "several at once"],
)
def test_the_second_item_in_a_row_that_takes_nothing_closes_the_board(
    monday: Monday, item_before: str, units: str, outcomes_then: dict[str, Outcome], is_stopped: bool
) -> None:
    monday.last_refused = "z" if item_before == "closed" else ""
    monday.of_alias = lambda units, alias: MondayError(BOARD_FORBIDDEN, "no")
    answers = monday.send(*map(change, units))
    assert len(monday.sent) == 1 + min(2, len(units))
    assert (outcomes(answers), CHANGE in monday.refused) == (outcomes_then, is_stopped)


def test_an_item_that_takes_nothing_fails_alone_where_another_was_written(monday: Monday) -> None:
    monday.last_refused = "z"
    monday.of_alias = lambda units, alias: OK if alias == "r0" else MondayError(BOARD_FORBIDDEN, "no")
    answers = monday.send(change("a"), change("b"))
    assert (outcomes(answers), monday.refused) == ({"a": Outcome.OPEN, "b": Outcome.FAILED}, {})


def test_values_that_were_tried_without_an_outcome_close_nothing(monday: Monday) -> None:
    """The item left the board meanwhile, or no answer came."""
    monday.last_refused = "z"
    answers: dict[str, Said] = {"v1": MondayError(ITEM_NOT_FOUND, "no item")}
    monday.of_alias = lambda units, alias: answers.get(alias, MondayError(BOARD_FORBIDDEN, "no"))
    assert monday.send(change("a"))["a"].is_gone
    monday.of_document = lambda units: (
        MondayError(TIMED_OUT, "no answer") if monday.sent[-1].startswith("b: v") else None
    )
    assert monday.send(change("b"))["b"].ending.outcome is Outcome.DEFERRED
    assert not monday.refused


def test_a_refused_npd_id_holds_what_writes_it(monday: Monday) -> None:
    monday.of_alias = lambda units, alias: MondayError(FIELD_REJECTED, "no", column_id=NPD_ID_COLUMN)
    assert monday.send(change("a"), change("b"))["b"].ending.outcome is Outcome.DEFERRED
    assert len(monday.sent) == 1


# --- new items --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stopped"), [(FIELD_REJECTED, []), (COLUMN_NOT_FOUND, ["checked soon"])])
def test_a_new_item_that_is_refused_for_a_value_is_looked_for_and_made_with_its_name_alone(
    monday: Monday, kind: Any, stopped: list[str]
) -> None:
    """If the column is gone, the board is checked."""
    write = create("a")
    refusal = MondayError(kind, "no", column_id="notes")
    monday.of_alias = lambda units, alias: refusal if len(monday.sent) == 1 else OK
    answer = monday.make(write)["a"]
    assert (monday.sent, monday.looked_for) == (["a: r0", "a: r0"], [str(write.record_id)])
    assert (answer.ending.outcome, answer.item, answer.is_name_only, list(answer.rejected)) == (
        Outcome.OPEN,
        OK,
        True,
        ["notes"],
    )
    assert monday.stopped == stopped


@pytest.mark.parametrize(
    ("is_readable", "outcome", "item"), [(True, Outcome.OPEN, OK), (False, Outcome.RELEASED, None)]
)
def test_one_that_was_made_though_a_value_was_refused_is_not_made_again(
    monday: Monday, is_readable: bool, outcome: Outcome, item: Item | None
) -> None:
    """If the board's NPD IDs can't be read, nothing is made either."""
    write = create("a")
    monday.existing = {str(write.record_id): OK} if is_readable else None
    monday.of_alias = lambda units, alias: MondayError(FIELD_REJECTED, "no", column_id="notes")
    answer = monday.make(write)["a"]
    assert (len(monday.sent), answer.ending.outcome, answer.item, answer.is_name_only) == (1, outcome, item, True)


@pytest.mark.parametrize(
    ("is_there", "has_unknown", "outcome"),
    [(True, True, Outcome.OPEN), (False, True, Outcome.DEFERRED), (False, False, Outcome.OPEN)],
)
def test_before_a_refused_create_is_sent_again_the_log_tells_what_it_made(
    monday: Monday, is_there: bool, has_unknown: bool, outcome: Outcome
) -> None:
    """An item that isn't shown yet may be its own; a record that was never refused doesn't wait for it."""
    refused = create("a")
    refused.refused_at = NOW
    monday.created = CreatedItems({str(refused.record_id): OK} if is_there else {}, has_unknown)
    answers = monday.make(refused, create("b"))
    assert outcomes(answers) == {"a": outcome, "b": Outcome.OPEN}
    assert monday.sent == (["b: r0"] if is_there or has_unknown else ["ab: r0 r1"])
    assert answers["a"].is_name_only is (is_there or has_unknown), "its values follow in the next pass"


def test_without_its_name_no_item_is_made(monday: Monday) -> None:
    monday.of_alias = lambda units, alias: MondayError(FIELD_REJECTED, "no", column_id="name")
    answer = monday.make(create("a"))["a"]
    assert (len(monday.sent), monday.looked_for, answer.ending.outcome) == (1, [], Outcome.FAILED)
    assert (list(answer.rejected), answer.is_name_only) == (["name"], False)
