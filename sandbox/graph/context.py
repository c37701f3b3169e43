"""What every resolver may use."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cursors import Cursors
from sandbox.people import Person
from sandbox.versions import Version
from sandbox.world import World


@dataclass(frozen=True)
class Spent:
    """Complexity points: the request's own, and the minute's allowance around it."""

    query: int
    before: int
    after: int
    reset_in_x_seconds: int


@dataclass(frozen=True)
class Context:
    world: World
    cursors: Cursors
    user: Person
    version: Version
    spent: Spent
    handshake: Callable[[str], bool]
    slow_mutation: Callable[[], None]
