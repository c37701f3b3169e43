"""The oracle notices each planted bug in a scene of the act that should show it."""

import pytest

from tests.chaos.arena import Arena
from tests.chaos.conftest import Crew
from tests.chaos.generating import scene
from tests.chaos.planted import BUGS, load
from tests.chaos.run import run

SEED = 1

load()


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_planted_bug_turns_the_suite_red(arena: Arena, crew: Crew, name: str) -> None:
    """The bug is off during `prepare`, whose result all scripts share."""
    planted = BUGS[name]
    with crew.with_bugs() as switch_on:
        arena.prepare(live=False)
        switch_on(name)
        try:
            if planted.begin:
                planted.begin()
            result = run(scene(planted.act, SEED), arena, until_wrong=True)
        finally:
            if planted.end:
                planted.end()
    assert result.violations, f"{planted.words}, and nothing noticed it:\n{result.words()}"
