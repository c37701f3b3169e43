"""The one table of `make bench`: what fails it, and what reaches it."""

from pathlib import Path

import pytest

from bench import __main__ as every
from bench.table import HANDED_TO, Row, handed, publish, status

HELD = Row("calls a record", "≤ 0.03", "0.02", True)
MISSED = Row("calls a record", "≤ 0.03", "0.2", False)
GOAL_MISSED = Row("p99", "≤ 25 ms", "31 ms", False, gate=False)


def test_a_missed_gate_fails_and_a_missed_goal_is_only_shown() -> None:
    assert status([HELD, MISSED]) == 1
    assert status([HELD, GOAL_MISSED]) == 0
    assert [row.verdict for row in (HELD, MISSED, GOAL_MISSED)] == ["held", "MISSED", "goal missed"]


def test_what_a_bench_found_reaches_the_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HANDED_TO, str(tmp_path / "rows"))
    assert publish([HELD, MISSED]) == 1
    assert "MISSED" in capsys.readouterr().out
    assert handed(tmp_path / "rows") == [HELD, MISSED]
    assert handed(tmp_path / "nothing") == []


def test_a_bench_that_ends_without_figures_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(every, "BENCHES", ("nothing_here",))
    assert every.main(["nothing_here"]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_every_bench_of_the_folder_is_in_the_table() -> None:
    folder = Path(every.__file__).parent
    measuring = {path.stem for path in folder.glob("*.py") if "return publish(" in path.read_text()}
    assert measuring - {"table"} == set(every.BENCHES)
