"""Nothing lost, nothing twice, nothing silent: hostile scripts by seed, and those that once failed, as regressions.

CHAOS_SEEDS says how many seeds, CHAOS_FIRST the first of them; without these a few are played that have every step. A
failing seed's story is in the report, and its script in var/test/chaos/.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.generating import generate
from tests.chaos.run import run
from tests.chaos.script import Script, read_all
from tests.support.servers import FOLDER

WITH_EVERY_STEP = (55, 72, 82, 95, 102, 172)
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
