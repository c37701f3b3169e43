"""Scripts are what they say: the same for the same seed, the same after a trip through JSON, smaller when shrunk."""

import pytest

from tests.chaos.generating import ACTS, generate
from tests.chaos.planted import BUGS, load, owner_of
from tests.chaos.run import STEPS
from tests.chaos.script import Script, Step, shrink

SEEDS = range(1, 201)


@pytest.mark.parametrize("seed", [1, 17, 200])
def test_the_same_seed_gives_the_same_script(seed: int) -> None:
    assert generate(seed) == generate(seed)
    assert generate(seed) != generate(seed + 1)


def test_a_script_comes_back_from_json_as_it_was() -> None:
    for seed in (3, 4, 5):
        assert Script.from_json(generate(seed).to_json()) == generate(seed)


def test_two_hundred_seeds_use_every_step_and_every_act() -> None:
    scripts = [generate(seed) for seed in SEEDS]
    assert {step.do for script in scripts for step in script.steps} == set(STEPS)
    assert all(weight > 0 for weight, _ in ACTS.values())


def test_every_place_of_a_planted_bug_is_still_a_function() -> None:
    load()
    for place in (place for planted in BUGS.values() for place, _ in planted.places):
        owner, attribute = owner_of(place)
        assert callable(getattr(owner, attribute)), place


def test_shrinking_leaves_only_the_steps_that_the_failure_needs() -> None:
    ones = (Step("create", {"handle": "a"}), Step("work", {"of": "b"}), Step("clock", {"seconds": 7}))
    filler = [Step("deliver", {"number": number}) for number in range(40)]
    steps = (*filler[:9], ones[0], *filler[9:30], ones[1], *filler[30:], ones[2])

    def fails(script: Script) -> bool:
        return all(step in script.steps for step in ones)

    small = shrink(Script(1, False, steps), fails)
    assert small.steps == ones
