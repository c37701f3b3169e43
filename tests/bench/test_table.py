"""The one table of `make bench`: what fails it, and what of it comes onto the page."""

from pathlib import Path

import pytest

from bench import __main__ as every
from bench.page import between, cell, place_of, write
from bench.table import HANDED_TO, Handed, Row, handed, publish, status

HELD = Row("calls a record", "≤ 0.03", "0.02", True)
MISSED = Row("calls a record", "≤ 0.03", "0.2", False)
GOAL_MISSED = Row("p99", "≤ 25 ms", "31 ms", False, gate=False)
PAGE = """# Performance

| promised | today |
| --- | --- |
| few calls | <!-- figures:calls -->old calls<!-- /figures:calls --> |
| within the quota | <!-- figures:allowance -->old figures<!-- /figures:allowance --> |

Kept.

<!-- allowance -->
old too
<!-- /allowance -->
"""


def test_a_missed_gate_fails_and_a_missed_goal_is_only_shown() -> None:
    assert status([HELD, MISSED]) == 1
    assert status([HELD, GOAL_MISSED]) == 0
    assert [row.verdict for row in (HELD, MISSED, GOAL_MISSED)] == ["held", "MISSED", "goal missed"]


def test_what_a_bench_found_reaches_the_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HANDED_TO, str(tmp_path / "rows"))
    assert publish([HELD, MISSED], page=["a line"]) == 1
    assert "MISSED" in capsys.readouterr().out
    assert handed(tmp_path / "rows") == Handed([HELD, MISSED], ["a line"])
    assert handed(tmp_path / "nothing") == Handed()


def test_the_page_says_a_benchs_first_figures_and_all_that_it_missed() -> None:
    assert cell([HELD, HELD, HELD, GOAL_MISSED], "today") == (
        "0.02; 0.02; goal missed: p99, 31 ms; 3 of 4 held (today)"
    )
    further = Row("… a second", "≥ 50", "31", False)
    assert "MISSED: calls a record … a second, 31;" in cell([HELD, further], "today")
    assert cell([GOAL_MISSED] * 5, "today").count("p99, 31 ms") == 2


def test_the_page_gets_what_ran_and_keeps_everything_else(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGE)
    found = {"calls": Handed([HELD]), "allowance": Handed([GOAL_MISSED], ["| 200 | carries |"])}
    told = write(page, found, "2026-11-22")
    text = page.read_text()
    assert "| <!-- figures:calls -->0.02; 1 of 1 held (2026-11-22)<!-- /figures:calls --> |" in text
    assert "goal missed: p99, 31 ms; 0 of 1 held (2026-11-22)" in text
    assert "| 200 | carries |" in text
    assert "old" not in text
    assert "\nKept.\n" in text
    assert told == "performance.md has what this run found: calls, allowance."


@pytest.mark.parametrize("name", [*map(place_of, every.BENCHES), "allowance"])
def test_the_real_page_has_a_place_for_each_bench(name: str) -> None:
    assert "x-y" in between(every.PAGE.read_text(), name, ["x-y"])


def test_a_bench_that_ends_without_figures_is_missed_and_its_last_words_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(every, "BENCHES", {"broken": ["bench.nothing_here"]})
    assert every.main(["broken"]) == 1
    told = capsys.readouterr()
    assert "MISSED" in told.out
    assert "nothing_here" in told.err


def test_every_bench_of_the_folder_is_in_the_table() -> None:
    folder = Path(every.__file__).parent
    measuring = {
        f"bench.{path.stem}"
        for path in folder.glob("*.py")
        if "publish(" in (text := path.read_text()) or "hand_on(" in text
    }
    assert measuring - {"bench.table"} == {command[0] for command in every.BENCHES.values()}
