"""`CHAOS_SHRINK=seed-17 pytest tests/chaos/shrinking.py`: makes a failing script small.

It is kept under regressions/. Not one of the suite's tests: `make chaos` runs it for the first seed that failed.
CHAOS_SHRINK is the name of a script in var/test/chaos/ (without .script.json), CHAOS_RUNS how often it may be run (60),
CHAOS_BUG a planted bug to be switched on meanwhile.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.conftest import Crew
from tests.chaos.run import Result, run
from tests.chaos.script import Script, shrink
from tests.support import rows
from tests.support.servers import FOLDER

REGRESSIONS = Path(__file__).parent / "regressions"


def test_shrink(arena: Arena, crew: Crew) -> None:
    with crew.with_bugs() as switch_on:
        switch_on(os.environ.get("CHAOS_BUG", ""))
        _shrink(arena, os.environ["CHAOS_SHRINK"])


def _shrink(arena: Arena, name: str) -> None:
    script = Script.from_json((FOLDER / "chaos" / f"{name}.script.json").read_text())
    first = _played(arena, script)
    assert first.violations, "it did not fail this time; what fails seldom can't be made small"
    broken = {violation.check for violation in first.violations}

    def fails(smaller: Script) -> bool:
        found = {violation.check for violation in _played(arena, smaller).violations}
        print(f"{len(smaller.steps)} steps: {sorted(found) or 'well'}", file=sys.stderr, flush=True)
        return bool(found & broken)

    small = shrink(script, fails, int(os.environ.get("CHAOS_RUNS") or 60))
    REGRESSIONS.mkdir(exist_ok=True)
    kept = REGRESSIONS / f"{name}.json"
    kept.write_text(small.to_json())
    print(f"\nkept as {kept.relative_to(Path.cwd())}:\n{_played(arena, small).words()}", file=sys.stderr)


def _played(arena: Arena, script: Script) -> Result:
    arena.sandbox.reset()
    rows.empty()
    arena.prepare(script.live)
    try:
        return run(script, arena)
    finally:
        arena.close()
