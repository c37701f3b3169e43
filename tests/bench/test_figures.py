"""The arithmetic of the benches."""

import pytest

from bench.allowance import Played, rows
from bench.latency import Play, percentile
from bench.memory import Watched
from bench.office import IMPORT_AT, QUIET, Pattern


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


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
