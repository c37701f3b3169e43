"""Scripts have every step and every act, and planted bugs their places."""

from tests.chaos.generating import ACTS, generate
from tests.chaos.planted import BUGS, load, owner_of
from tests.chaos.run import STEPS
from tests.chaos.test_seeds import WITH_EVERY_STEP


def test_the_seeds_that_are_always_played_use_every_step() -> None:
    scripts = [generate(seed) for seed in WITH_EVERY_STEP]
    assert {step.do for script in scripts for step in script.steps} == set(STEPS)
    assert all(weight > 0 for weight, _ in ACTS.values())


def test_every_place_of_a_planted_bug_is_still_a_function() -> None:
    load()
    for place in (place for planted in BUGS.values() for place, _ in planted.places):
        owner, attribute = owner_of(place)
        assert callable(getattr(owner, attribute)), place
