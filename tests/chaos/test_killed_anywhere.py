"""A worker is killed (SIGKILL) between any two writes of its work, and nothing is lost or doubled."""

import os

import pytest

from tests.chaos.arena import Arena
from tests.chaos.run import run
from tests.chaos.script import Script, Step

# One piece of work: two creates, a push, a pull, a cleared cell, a conflict, a taken-over item.
WORK = (
    Step("create", {"handle": "c1", "entity": "contact", "keys": ["email", "role_title"], "number": 1}),
    Step("create", {"handle": "c2", "entity": "contact", "keys": ["email", "phone"], "number": 2}),
    Step("create", {"handle": "o3", "entity": "organization", "keys": ["notes"], "number": 3}),
    Step("work"),
    Step("deliver"),
    Step("work"),
    Step("add", {"handle": "c4", "entity": "contact", "keys": ["email"], "number": 4}),
    Step("deliver"),
    Step("clock", {"seconds": 15}),
    Step("patch", {"handle": "c1", "key": "role_title", "number": 5}),
    Step("edit", {"handle": "c1", "key": "role_title", "number": 6}),
    Step("edit", {"handle": "c1", "key": "name", "number": 7}),
    Step("patch", {"handle": "c2", "key": "phone", "number": 0}),
    Step("patch", {"handle": "o3", "key": "notes", "number": 8}),
    Step("create", {"handle": "c5", "entity": "contact", "keys": ["email"], "number": 9}),
    Step("import_new", {"handles": ["c6", "c7"], "number": 10}),
    Step("deliver"),
)
# at least as many as the work has; a kill that comes too late is an ordinary run
POINTS = 60
STRIDE = 4
# Each point is a kill point of one of four stories; `make hostile` plays one, and another on real servers.
STORIES: tuple[int, ...] = (3,) if os.environ.get("TEST_SERVERS") == "1" else (1,)
if os.environ.get("CHAOS_ALL_KILLS") == "1":
    STORIES = (1, 2, 3, 4)


@pytest.mark.slow
@pytest.mark.parametrize("first", STORIES)
def test_a_worker_killed_at_any_point_loses_and_doubles_nothing(arena: Arena, first: int) -> None:
    """Kill at every `STRIDE`-th point of one long story, with new edits between kills."""
    steps = list(WORK)
    for number, point in enumerate(range(first, POINTS, STRIDE)):
        steps += _round(number, point)
    arena.prepare(live=False)
    result = run(Script(0, False, tuple(steps)), arena)
    assert not result.violations, result.words()
    killed = sum(count for name, count in result.counts.items() if name.startswith("killed after"))
    assert killed >= 5, result.words()


def _round(number: int, point: int) -> list[Step]:
    """A kill, edits before the next worker, that worker, and new work for the next kill."""
    token = 20 + 10 * number
    handle = f"c{20 + number}"
    return [
        Step("kill_worker", {"at": point}),
        Step("edit", {"handle": "c2", "key": "name", "number": token}),
        Step("patch", {"handle": "c2", "key": "email", "number": token + 1}),
        Step("clock", {"seconds": 200}),
        Step("work"),
        Step("create", {"handle": handle, "entity": "contact", "keys": ["email"], "number": token + 2}),
        Step("patch", {"handle": "c1", "key": "email", "number": token + 3}),
        Step("edit", {"handle": "c1", "key": "phone", "number": token + 4}),
        Step("patch", {"handle": "o3", "key": "notes", "number": token + 5}),
        Step("edit", {"handle": "c6", "key": "role_title", "number": token + 6}),
        Step("patch", {"handle": "c6", "key": "role_title", "number": token + 7}),
        Step("deliver"),
    ]
