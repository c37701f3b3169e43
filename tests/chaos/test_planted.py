"""That the oracle would notice: each planted bug must turn the suite red, in a scene of the act that should show it.

`make planted` searches the first 25 seeds of that scene for each bug and records in seeds.toml what it finds
(PLANTED_SEARCH=25).
"""

from __future__ import annotations

import fcntl
import os
import tomllib
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.conftest import Crew
from tests.chaos.generating import scene
from tests.chaos.planted import BUGS, load
from tests.chaos.run import Result, run
from tests.support import rows

SEEDS_FILE = Path(__file__).parent / "seeds.toml"
SEARCH = int(os.environ.get("PLANTED_SEARCH") or 0)
HEAD = "# Which seed shows each planted bug, and by which checks; written by `make planted`.\n"

load()


def recorded() -> dict[str, dict[str, object]]:
    """The seeds that the last `make planted` found."""
    return tomllib.loads(SEEDS_FILE.read_text()) if SEEDS_FILE.exists() else {}


if SEARCH:

    @pytest.mark.parametrize("name", sorted(BUGS))
    def test_search_for_the_seed_that_shows_a_planted_bug(arena: Arena, crew: Crew, name: str) -> None:
        for seed in range(1, SEARCH + 1):
            found = with_bug(arena, crew, name, seed)
            empty(arena)
            if found.violations:
                again = with_bug(arena, crew, name, seed)  # one that shows it now and then is no proof
                empty(arena)
                if again.violations:
                    record(name, seed, again)
                    return
        pytest.fail(f"{BUGS[name].what}, and none of {SEARCH} seeds noticed it")

else:

    def test_every_planted_bug_has_its_seed() -> None:
        assert set(recorded()) == set(BUGS)
        assert len(BUGS) >= 18

    @pytest.mark.parametrize("name", sorted(BUGS))
    def test_a_planted_bug_turns_the_suite_red(arena: Arena, crew: Crew, name: str) -> None:
        seed = recorded()[name]["seed"]
        assert isinstance(seed, int)
        result = with_bug(arena, crew, name, seed)
        assert result.violations, f"{BUGS[name].what}, and nothing noticed it:\n{result.words()}"


def with_bug(arena: Arena, crew: Crew, name: str, seed: int) -> Result:
    """Play a seed's scene with the bug switched on; what is prepared for all scripts is made without it."""
    planted = BUGS[name]
    with crew.with_bugs() as switch_on:
        arena.prepare(live=False)
        switch_on(name)
        try:
            if planted.begin:
                planted.begin()
            return run(scene(planted.act, seed), arena, until_wrong=not SEARCH)
        finally:
            if planted.end:
                planted.end()


def empty(arena: Arena) -> None:
    """As before the first seed, for the next one within a test."""
    arena.close()
    arena.sandbox.reset()
    rows.empty()


def record(name: str, seed: int, result: Result) -> None:
    """Note which seed shows a bug; several processes may do so at once."""
    with SEEDS_FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        checks = sorted({violation.check for violation in result.violations})
        told = recorded() | {name: {"seed": seed, "checks": checks}}
        parts = [
            f"\n[{one}]\nseed = {told[one]['seed']}\nchecks = [{', '.join(map(_quoted, _list(told[one])))}]\n"
            for one in sorted(told)
            if one in BUGS
        ]
        SEEDS_FILE.write_text(HEAD + "".join(parts))


def _list(entry: dict[str, object]) -> list[str]:
    checks = entry["checks"]
    assert isinstance(checks, list)
    return [str(check) for check in checks]


def _quoted(text: str) -> str:
    return f'"{text}"'
