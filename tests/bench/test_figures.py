"""The arithmetic of the benches."""

import math

import pytest

from bench.allowance import Played, lines, rows, words
from bench.latency import Play, percentile
from bench.memory import Watched
from bench.office import IMPORT_AT, QUIET, Pattern
from bench.webhooks import events


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


def test_of_nothing_the_percentile_is_no_figure_that_could_hold() -> None:
    assert percentile([], 0.5) == math.inf


def test_what_is_never_seen_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.latency.PATIENCE_SECONDS", 0.2)
    done: list[int] = []
    found = Play(done.append, lambda waiting: {n for n in waiting if n % 2}, rate=1_000).run(10)
    assert sorted(done) == list(range(10))
    assert len(found) == 5


def test_an_act_that_fails_ends_the_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.latency.PATIENCE_SECONDS", 0.2)

    def fail(number: int) -> None:
        raise ValueError(f"no {number}")

    with pytest.raises(ValueError, match="no 0"):
        Play(fail, lambda waiting: set(), rate=1_000).run(2)


def test_memory_grows_by_what_was_held_after_the_first_tenth() -> None:
    assert Watched(0, [50, 100, *[150] * 18], 1.0, "").growth == 1.5
    assert Watched(0, [100, 90, *[95] * 18], 1.0, "").growth == 1.0


def test_deliveries_name_the_items_in_turn_and_each_is_its_own() -> None:
    found = events(["1", "2"], "7", 5, "Role")
    assert [one["event"]["pulseId"] for one in found] == [1, 2, 1, 2, 1]
    assert len({one["event"]["triggerUuid"] for one in found}) == 5


def test_a_day_of_the_company_is_the_same_for_the_same_seed() -> None:
    pattern = Pattern("a day", 50, imported=20)
    assert pattern.day(1) == pattern.day(1)
    assert pattern.day(1) != pattern.day(2)


def test_a_day_has_its_edits_in_their_order_and_its_import_at_once() -> None:
    day = Pattern("a day", 50, imported=20).day(1)
    assert len(day) == 70
    assert [edit.at for edit in day] == sorted(edit.at for edit in day)
    imported = [edit for edit in day if edit.at == IMPORT_AT and edit.in_npd]
    assert len({edit.record for edit in imported}) >= 20


def played(allowance: int, waits: list[float], calls: int, edits: int = 3) -> Played:
    return Played(allowance, QUIET, edits, waits, {"edits": calls}, {})


def test_a_day_over_its_allowance_is_missed() -> None:
    assert [row.held for row in rows([played(1_000, [0, 0, 1], 1_000)])] == [True, True]
    assert [row.held for row in rows([played(1_000, [0, 0, 1], 1_001)])] == [False, True]


def test_edits_left_at_midnight_are_missed_from_a_thousand_calls_on() -> None:
    assert rows([played(1_000, [0, 1], 10)])[1].held is False
    assert rows([played(200, [0, 1], 10)])[1].held is True


@pytest.mark.parametrize(("seconds", "told"), [(0, "none"), (40, "40 s"), (600, "10 min"), (7_200, "2.0 h")])
def test_a_wait_is_told_in_the_unit_that_reads_best(seconds: float, told: str) -> None:
    assert words(seconds) == told


def test_a_day_on_which_nothing_was_carried_has_no_waits() -> None:
    full = Played(200, QUIET, 3, [], dict.fromkeys(("edits", "sweeps", "comparisons", "account"), 0), {"sweeps": 2})
    line = lines([full])[2]
    assert "| 0 of 3 | – |" in line
    assert "2 sweeps" in line
