"""The arithmetic of the benches."""

import pytest

from bench.latency import Play, percentile
from bench.memory import Watched


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
