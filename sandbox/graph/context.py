"""What every resolver may use."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cursors import Cursors
from sandbox.ingest.jobs import Jobs
from sandbox.limits import Limits, Spent
from sandbox.people import Person
from sandbox.versions import Version
from sandbox.world import World


@dataclass(frozen=True)
class Context:
    world: World
    cursors: Cursors
    limits: Limits
    ingest: Jobs
    user: Person
    version: Version
    spent: Spent
    handshake: Callable[[str], bool]
    slow_mutation: Callable[[], None]
