"""Hostile scripts by seed, and those that once failed: nothing is lost, doubled or silent.

CHAOS_SEEDS is the number of seeds, CHAOS_FIRST the first; by default a few seeds are played that have every step.
The report has a failing seed's story, and var/test/chaos/ its script.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.generating import ACTS, generate
from tests.chaos.planted import BUGS, load, owner_of
from tests.chaos.run import STEPS, run
from tests.chaos.script import Script, read_all
from tests.support.servers import FOLDER

WITH_EVERY_STEP = (43, 57, 87, 160, 196, 217, 287)
FIRST, NUMBER = int(os.environ.get("CHAOS_FIRST") or 1), int(os.environ.get("CHAOS_SEEDS") or 0)
SEEDS = range(FIRST, FIRST + NUMBER) if NUMBER else WITH_EVERY_STEP
REGRESSIONS = Path(__file__).parent / "regressions"
KEPT = FOLDER / "chaos"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hostile_script_loses_nothing_and_doubles_nothing(arena: Arena, seed: int) -> None:
    _judge(arena, generate(seed), f"seed-{seed}")


@pytest.mark.parametrize("name", sorted(read_all(REGRESSIONS)))
def test_a_script_that_once_failed_stays_mended(arena: Arena, name: str) -> None:
    _judge(arena, read_all(REGRESSIONS)[name], f"regression-{name}")


def _judge(arena: Arena, script: Script, name: str) -> None:
    arena.prepare(script.live)
    result = run(script, arena)
    if result.violations:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}.json").write_text(result.script.to_json())
    assert not result.violations, result.words()


def test_the_seeds_that_are_always_played_use_every_step() -> None:
    scripts = [generate(seed) for seed in WITH_EVERY_STEP]
    assert {step.do for script in scripts for step in script.steps} == set(STEPS)
    assert all(weight > 0 for weight, _ in ACTS.values())


def test_every_place_of_a_planted_bug_is_still_a_function() -> None:
    load()
    for place in (place for planted in BUGS.values() for place, _ in planted.places):
        owner, attribute = owner_of(place)
        assert callable(getattr(owner, attribute)), place
